"""`l2vault coverage`: what is known of each hour or day, and each hole with its cause."""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from l2vault.book.deep import DEEP_CHANNELS
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.coverage.compute import FORM_1
from l2vault.vault.coverage.model import STATES, Coverage, Hole, State
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS, KINDS
from l2vault.vault.store.names import held_instruments
from l2vault.verbs.context import Context
from l2vault.verbs.context_tables import print_coverage
from l2vault.verbs.documents import document
from l2vault.verbs.format import minute, share_of, span_text, table, with_cause
from l2vault.verbs.sources import configure_sources
from l2vault.verbs.trade_tables import change_pieces, deep_pieces, trade_pieces
from l2vault.verbs.words import asked_instruments, configure_instruments, moment, png

HELP: Final = "report which times were recorded and which were not, and why"
EXAMPLE: Final = "l2vault coverage BTC-USDT-SWAP --from 2026-01-31 --by hour"

_ALWAYS_SHOWN: Final[tuple[State, ...]] = ("recorded", "quiet", "missing", "unknown")
_PIECES: Final = {"hour": HOUR_MS, "day": 24 * HOUR_MS}


class Row(msgspec.Struct, frozen=True):
    """The slots of one instrument in one piece of time, by what can be said of them.

    `unaudited` slots are recorded ones, `quiet_journal_v1` quiet ones of which only a journal of form 1 speaks.
    """

    inst_id: str
    start_utc: str
    slots: int
    recorded: int
    quiet: int
    missing: int
    unknown: int
    holes: list[Hole]
    disputed: int = 0
    unverifiable: int = 0
    archive: int = 0
    unaudited: int = 0
    quiet_journal_v1: int = 0
    covered_share: float = 0.0


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "only these instruments")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument(
        "--from",
        dest="start",
        type=moment,
        metavar="TIME",
        help="start of the span (default: the oldest evidence)",
    )
    parser.add_argument(
        "--to",
        dest="end",
        type=moment,
        metavar="TIME",
        help="end of the span (default: just behind the newest evidence)",
    )
    parser.add_argument(
        "--by", choices=tuple(_PIECES), default="day", help="print a row for each hour or day (default: day)"
    )
    parser.add_argument("--json", action="store_true", help="print each row as one JSON object, holes included")
    parser.add_argument("--plot", type=png, metavar="FILE", help="draw it too, as PNG; needs the analysis extra")
    words = (
        "books (default); trades: ids that are there, missing, skipped; where changes are whole; values of the "
        "context; where deep books, or RPI books, were sampled"
    )
    parser.add_argument("--kind", choices=KINDS, default="books", help=words)
    configure_sources(parser)


def run(context: Context, args: argparse.Namespace) -> int:
    """0 whatever the coverage is: a hole that is known is no failure of this command."""
    missing = {"changes": "changes as they were pushed", "rpi": "RPI books"}.get(args.kind)
    if missing is not None and args.sources is not None and "archive" in args.sources:
        raise UsageError(f"OKX's archive has no {missing}.", "--sources recorded, or another --kind")
    vault = open_sources(context.vault, args.sources)
    if args.kind != "books":
        return _of_kind(vault, args)
    held = vault.noted_instruments()
    inst_ids = held_instruments(asked_instruments(args), held) or held
    if not inst_ids:
        raise VaultError(f"the vault at {printable(context.vault)} holds no instrument yet.", "l2vault record")
    start_ms, end_ms = _span(vault, inst_ids, args.start, args.end)
    coverages = [vault.coverage(inst_id, start_ms, end_ms) for inst_id in inst_ids]
    rows = [_row(piece) for coverage in coverages for piece in coverage.every(_PIECES[args.by])]
    if args.json:
        sys.stdout.write("".join(document("coverage", row) for row in rows))
    else:
        sys.stdout.write(_table(rows) + "".join(_holes(coverages)))
    if args.plot is not None:
        with analysis_extra():
            from l2vault.analytics.pictures import plot_coverage
        plot_coverage(coverages, args.plot)
    return 0


def _of_kind(vault: Vault, args: argparse.Namespace) -> int:
    if args.plot is not None:
        raise UsageError("--plot draws the coverage of books.", f"--plot without --kind {args.kind}")
    span = args.start, args.end
    if args.kind == "context":
        return _context(vault.context(), args)
    if args.kind == "trades":
        trade_pieces(vault.trades(), asked_instruments(args), span, _PIECES[args.by], args.json)
    elif args.kind in DEEP_CHANNELS:
        reader = vault.deep() if args.kind == "deep" else vault.rpi()
        deep_pieces(reader, asked_instruments(args), span, args.json)
    else:
        change_pieces(vault.layout, asked_instruments(args), span, args.json)
    return 0


def _context(reader: ContextReader, args: argparse.Namespace) -> int:
    """Each value over the whole span, of every instrument that has a line of context."""
    held = reader.instruments()
    inst_ids = held_instruments(asked_instruments(args), held) or held
    known = {inst_id: bounds for inst_id in inst_ids if (bounds := reader.bounds(inst_id)) is not None}
    if not known:
        raise VaultError(
            f"the vault at {printable(str(reader.layout.root))} holds no context.",
            "l2vault record, with context = true",
        )
    start_ms = min(first for first, _ in known.values()) if args.start is None else args.start
    end_ms = max(newest for _, newest in known.values()) + 1 if args.end is None else args.end
    if end_ms <= start_ms:
        raise VaultError(f"nothing lies between {utc_text(start_ms)} and {utc_text(end_ms)}.", "a later --to")
    print_coverage([reader.coverage(inst_id, (start_ms, end_ms)) for inst_id in known], args.json)
    return 0


def _span(vault: Vault, inst_ids: list[str], start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    """What was asked for, or all there is: from the first evidence to just after the newest."""
    if start_ms is None:
        starts = [first for inst_id in inst_ids if (first := vault.first_evidence_ms(inst_id)) is not None]
        start_ms = min(starts, default=None)
    if end_ms is None:
        ends = [newest for inst_id in inst_ids if (newest := vault.newest_evidence_ms(inst_id)) is not None]
        end_ms = max(ends) + 1 if ends else None
    if start_ms is None or end_ms is None:
        named = printable(", ".join(inst_ids))
        raise VaultError(f"no line of {named} can be read.", "l2vault verify, for what is wrong")
    if end_ms <= start_ms:
        raise VaultError(f"nothing lies between {utc_text(start_ms)} and {utc_text(end_ms)}.", "a later --to")
    return start_ms, end_ms


def _row(piece: Coverage) -> Row:
    inferred = (each for each in piece.stretches if each.state == "quiet" and each.cause == FORM_1)
    return Row(
        inst_id=piece.inst_id,
        start_utc=utc_text(piece.start_ms),
        slots=piece.slots,
        holes=piece.holes,
        unaudited=piece.unaudited,
        quiet_journal_v1=sum(each.slots for each in inferred),
        covered_share=piece.covered_share,
        **{state: piece.count(state) for state in STATES},
    )


def _table(rows: list[Row]) -> str:
    """A column for each state that there may always be, for the rarer ones where there are any."""
    shown = [state for state in STATES if state in _ALWAYS_SHOWN or any(getattr(row, state) for row in rows)]
    cells = [
        [
            printable(row.inst_id),
            minute(utc_ms(row.start_utc)),
            str(row.slots),
            *(share_of(getattr(row, state), row.slots) for state in shown),
        ]
        for row in rows
    ]
    text = table(["instrument", "from (UTC)", "slots", *shown], cells, left=2)
    if unaudited := sum(row.unaudited for row in rows):
        text += f"unaudited: {unaudited} recorded slots whose book was not compared with another one\n"
    if inferred := sum(row.quiet_journal_v1 for row in rows):
        text += f"quiet (journal v1): {inferred} slots; the journal of that time did not note what was quiet\n"
    return text


def _holes(coverages: list[Coverage]) -> Iterator[str]:
    """Those that cost a slot; of the others, between two grid times, only how many there are."""
    between = 0
    for coverage in coverages:
        for hole in coverage.holes:
            if not hole.slots:
                between += 1
                continue
            kind = with_cause(hole.kind, hole.cause)
            bounds = f"{utc_text(hole.start_ms)} to {utc_text(hole.end_ms)}"
            length = span_text(hole.end_ms - hole.start_ms)
            yield f"{kind}: {printable(coverage.inst_id)} {bounds}, {length}, {hole.slots} slots\n"
    if between:
        yield f"and {between} shorter than a slot, between two grid times: --json has them\n"
