"""`l2vault archive`: hours into Parquet that gives their lines back byte for byte."""

import argparse
import sys
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.vault.census import scan
from l2vault.vault.files import HourForms, analysis_extra, hours
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.reader import open_vault
from l2vault.vault.retention.plan import SETTLE_MS, Action, Policy, Room
from l2vault.vault.retention.run import RetentionReport, enforce
from l2vault.verbs.terminal import bar, moment, size_text

HELP: Final = "turn hours into Parquet that gives their lines back byte for byte"
EXAMPLE: Final = "l2vault archive BTC-USDT-SWAP --to 2026-01-30 --keep"

_ASKED: Final = "asked for by hand"


def configure(parser: argparse.ArgumentParser) -> None:
    configure_choice(parser)
    parser.add_argument("--keep", action="store_true", help="keep the raw files beside their archive")


def configure_choice(parser: argparse.ArgumentParser) -> None:
    """The options that choose hours, for `restore` too."""
    parser.add_argument("inst_ids", nargs="*", metavar="INST", help="only these instruments")
    parser.add_argument("--vault", type=Path, metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="hours from this time on")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="hours that end by this time")


def run(args: argparse.Namespace) -> int:
    """0 if every hour was archived, 1 if one was refused and so left as it was; the others go on."""
    with analysis_extra():
        import pyarrow  # noqa: F401 - before anything is begun
    layout = open_vault(args.vault).layout
    try:
        with FileLock(layout.retention_lock, timeout=0):
            report = _archive(layout, args)
    except Timeout:
        raise VaultError(f"retention is at work in {layout.root}.", "again in a minute") from None
    for failure in report.failures:
        sys.stderr.write(f"l2vault: {failure.file}: {failure.text}\n")
    done = [step for step in report.done if step.action.kind == "archive"]
    before, after = sum(step.bytes_before for step in done), sum(step.bytes_after for step in done)
    sys.stdout.write(f"{len(done)} hours archived, {size_text(before)} of files in {size_text(after)}\n")
    return 1 if report.failures else 0


def _archive(layout: Layout, args: argparse.Namespace) -> RetentionReport:
    """By the means of retention: the same checks, the same journal, the same safety when killed."""
    now_ms = Clock().wall_ms()
    chosen = {(forms.inst_id, forms.hour_ms) for forms in choose_hours(layout, args) if forms.raw}
    raw = [
        held
        for held in scan(layout)
        if held.form != "archive" and (held.inst_id, held.hour_ms) in chosen and held.written_ms + SETTLE_MS <= now_ms
    ]
    firsts = {(held.inst_id, held.hour_ms): held for held in reversed(raw)}
    plan = [Action("archive", held, _ASKED) for held in firsts.values()]
    if not args.keep:
        plan += [Action("delete", held, _ASKED, once_archived=True) for held in raw]
    room = Room(Policy(), sum(held.size_bytes for held in raw), 0)
    return enforce(layout, plan, now_ms, room, lambda: 0, _progress)


def choose_hours(layout: Layout, args: argparse.Namespace) -> list[HourForms]:
    """The hours that the options name, of those that have ended."""
    held = open_vault(layout.root).instruments()
    for inst_id in args.inst_ids:
        if inst_id not in held:
            raise VaultError(f"the vault holds nothing of {inst_id}.", "l2vault ls, for what it holds")
    end_ms = Clock().wall_ms() if args.end is None else args.end
    return [
        forms
        for inst_id in args.inst_ids or held
        for forms in hours(layout, inst_id)
        if forms.hour_ms + HOUR_MS <= end_ms and (args.start is None or forms.hour_ms >= args.start)
    ]


def show_progress(done: int, total: int, forms: HourForms) -> None:
    _progress(done, total, f"{forms.inst_id} {utc_text(forms.hour_ms)[:13]}h")


def _progress(done: int, total: int, what: str) -> None:
    """A bar on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write("\r" + bar(done, total, what).ljust(78))
        sys.stderr.flush()
