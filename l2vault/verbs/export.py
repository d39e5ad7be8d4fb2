"""`l2vault export`: a span of a vault in the format of a backtester or a data library."""

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.api.vault import books_span
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError
from l2vault.exports.run import FORMATS, Export
from l2vault.foreign import printable
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Finding
from l2vault.verbs.analysis import the_instrument
from l2vault.verbs.context import Context
from l2vault.verbs.format import counted, exact_share, progress_bar, with_cause
from l2vault.verbs.sources import configure_sources
from l2vault.verbs.words import configure_instruments, configure_span

if TYPE_CHECKING:
    from l2vault.exports.label import Label

HELP: Final = "write a span in the format of hftbacktest, nautilus_trader, Tardis CSV, Parquet or CSV"
EXAMPLE: Final = "l2vault export hftbacktest BTC-USDT-SWAP --last 1d --out btc"

_SHOWN: Final = 5
"""Findings and holes that are named."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    configure_span(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the files")
    configure_sources(parser)
    parser.add_argument("--force", action="store_true", help="replace an export made before")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if everything is written; holes are named, and are no failure."""
    if args.out.resolve().is_relative_to(context.vault.resolve()):
        raise UsageError(f"{printable(args.out)} lies in the vault.", "--out with a folder beside it")
    vault = open_sources(context.vault, args.sources)
    inst_id = the_instrument(vault, args)
    findings: list[Finding] = []
    with progress_bar() as show:
        export = Export(vault, inst_id, _span(vault, inst_id, args), findings.append, show)
        label = export.write(args.format, args.out, args.force)
    for finding in findings[:_SHOWN]:
        sys.stderr.write(f"left out: {printable(finding.path)}, byte {finding.offset}: {printable(finding.reason)}\n")
    if len(findings) > _SHOWN:
        sys.stderr.write(f"... and {len(findings) - _SHOWN} more: l2vault verify names them\n")
    sys.stdout.write(_text(label, args.out))
    return 0


def _span(vault: Vault, inst_id: str, args: argparse.Namespace) -> tuple[int, int]:
    last = None if args.last is None else timedelta(milliseconds=args.last)
    return books_span(vault, inst_id, last, args.start, args.end)


def _text(label: "Label", out: Path) -> str:
    span = " to ".join(utc_text(bound)[:19].replace("T", " ") for bound in label.span)
    holes = label.holes
    parts = (
        (label.share("changes"), "from every change"),
        (label.share("lines"), "from sampled books"),
        (label.share("archive"), "of OKX's archive, which stands in"),
        (label.hole_share, f"in {counted(len(holes), 'hole')}"),
    )
    lines = [
        f"{label.subject.inst_id}, {span} UTC: {counted(len(label.files), 'file')} for {label.format} in "
        f"{printable(out)}",
        f"books: {', '.join(f'{exact_share(share)} of the time {of}' for share, of in parts if share)}",
    ]
    lines += [f"  {hole.t_from} to {hole.t_to}: {with_cause(hole.kind, hole.cause)}" for hole in holes[:_SHOWN]]
    if len(holes) > _SHOWN:
        lines.append(f"  ... and {len(holes) - _SHOWN} more: coverage.json names them")
    lines += _trades(label) + _instrument(label)
    lines += [f"note: {note}" for note in label.notes]
    return "".join(f"{line}\n" for line in lines)


def _trades(label: "Label") -> list[str]:
    if not label.has_trades:
        return []
    lost = sum(len(day.trade_holes) for day in label.days)
    without = sum(day.unsized_trades for day in label.days)
    kept = "kept without one" if label.format in ("parquet", "csv") else "left out"
    unsized = f", {counted(without, 'row')} of unknown size {kept}" if without else ""
    archived = sum(day.archive_trades for day in label.days)
    of_archive = f", {archived} of them of OKX's archive" if archived else ""
    return [f"trades: {counted(label.trades, 'row')}{of_archive}, {counted(lost, 'hole')} in their ids{unsized}"]


def _instrument(label: "Label") -> list[str]:
    contract = label.subject.contract
    if contract is None:
        return []
    worth = f"{contract.value:g} {contract.quote if contract.is_inverse else contract.coin}"
    return [f"tick size {label.subject.text('tickSz')}, lot size {label.subject.text('lotSz')}, a contract is {worth}"]
