"""`l2vault archive`: hours into Parquet that gives their lines back byte for byte."""

import argparse
import logging
import sys
from typing import Final, NamedTuple

from filelock import Timeout

from l2vault.clock import Clock
from l2vault.errors import VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.coverage.checked import check_hours
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.retention.pace import Allowance
from l2vault.vault.retention.plan import SETTLE_MS, Action, Policy, Room, is_fresh
from l2vault.vault.retention.run import Limits, RetentionReport, enforce, locked
from l2vault.vault.store.catalog import Catalog, HourForms, StoredHour
from l2vault.vault.store.layout import HOUR_MS, KINDS, Layout
from l2vault.vault.store.lock import open_hours
from l2vault.vault.store.names import held_instruments
from l2vault.verbs.context import Context
from l2vault.verbs.format import progress_bar, size_text
from l2vault.verbs.processes import process_for_each_core
from l2vault.verbs.words import asked_instruments, configure_instruments, moment

HELP: Final = "turn hours into Parquet that gives their lines back byte for byte"
EXAMPLE: Final = "l2vault archive BTC-USDT-SWAP --to 2026-01-30 --keep"

_ASKED: Final = "asked for by hand"
_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    configure_choice(parser)
    parser.add_argument("--keep", action="store_true", help="keep the raw files beside their archive")


def configure_choice(parser: argparse.ArgumentParser) -> None:
    """The options that choose hours, for `restore` too."""
    configure_instruments(parser, "only these instruments")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--kind", choices=KINDS, default="books", help="whose hours: books (default), trades, ...")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="only hours from this time on")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="only hours that end by this time")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if every hour was archived that can be, 1 if one was refused and so left as it was; the others go on."""
    with analysis_extra():
        import pyarrow  # noqa: F401 - before anything is begun
    layout = open_vault(context.vault).layout
    try:
        with locked(layout):
            choice = _choose(layout, args, Clock().wall_ms())
            report = _archive(layout, choice, args.keep)
            if args.kind == "books":
                _note_checked(layout, report)
    except Timeout:
        raise VaultError(f"retention is at work in {printable(layout.root)}.", "again in a minute") from None
    for failure in report.failures:
        sys.stderr.write(f"l2vault: {printable(failure.file)}: {printable(failure.text)}\n")
    done = [step for step in report.done if step.action.kind == "archive"]
    before, after = sum(step.bytes_before for step in done), sum(step.bytes_after for step in done)
    sys.stdout.write(f"{len(done)} hours archived, {size_text(before)} of files in {size_text(after)}\n")
    sys.stdout.write(_left(choice))
    return 1 if report.failures else 0


class _Choice(NamedTuple):
    """Raw files to archive, how many of their hours have file times in the `future`, which do not say when they were
    written, and how many hours were left out, by why."""

    raw: list[StoredHour]
    too_fresh: int
    future: int
    open: int
    archived: int


def _choose(layout: Layout, args: argparse.Namespace, wall_ms: int) -> _Choice:
    """An hour is taken whole: with all its raw files or with none."""
    hours_chosen = choose_hours(layout, args)
    raw = [held for forms in hours_chosen for held in forms.raw if held.is_file]
    opened = open_hours(layout) & {forms.key for forms in hours_chosen if forms.raw}
    fresh = {held.key for held in raw if is_fresh(held, wall_ms)} - opened
    kept = [held for held in raw if held.key not in fresh | opened]
    future = {held.key for held in kept if held.written_ms - wall_ms >= SETTLE_MS}
    archived = sum(1 for forms in hours_chosen if not forms.raw)
    return _Choice(kept, len(fresh), len(future), len(opened), archived)


def _left(choice: _Choice) -> str:
    """Which hours were not archived though chosen, and why."""
    text = ""
    if choice.too_fresh:
        minutes = SETTLE_MS // 60_000
        text += f"{choice.too_fresh} hours left for now: written to within the last {minutes} minutes\n"
    if choice.future:
        text += (
            f"{choice.future} hours have file times in the future: taken for settled, since no clock can prove them\n"
        )
    if choice.open:
        text += f"{choice.open} hours left for now: the recorder is writing them\n"
    if not choice.raw and choice.archived:
        text += f"{choice.archived} hours are archived already\n"
    if not any(choice):
        text += "no hour that has ended is chosen: see l2vault ls --hours\n"
    return text


def _archive(layout: Layout, choice: _Choice, is_kept: bool) -> RetentionReport:
    """By the means of retention: the same checks, the same journal, the same safety when killed.

    What is deleted has an archive that gives it back, and was asked for: no allowance bounds it.
    """
    raw = choice.raw
    firsts = {held.key: held for held in reversed(raw)}
    plan = [Action("archive", held, _ASKED) for held in firsts.values()]
    if not is_kept:
        plan += [Action("delete", held, _ASKED, once_archived=True) for held in raw]
    room = Room(Policy(), sum(held.size_bytes for held in raw), 0)
    clock = Clock()
    journal = verb_journal(layout, "archive", clock.wall_text, clock.monotonic_ms)
    with progress_bar() as show, process_for_each_core(len(firsts)) as executor:
        limits = Limits(room, lambda: 0, Allowance(None), executor)
        return enforce(layout, plan, journal, clock.wall_ms(), limits, show)


def _note_checked(layout: Layout, report: RetentionReport) -> None:
    """As a recorder's child does: otherwise each question reads all rows of an archive, to say what it covers."""
    archived = {step.action.held.key for step in report.done if step.action.kind == "archive"}
    if not archived:
        return
    try:
        check_hours(layout, Clock().wall_ms(), is_wanted=lambda forms: forms.key in archived, most=len(archived))
    except OSError as error:
        _log.warning("Which archives were read and are good cannot be noted: %s", error)


def choose_hours(layout: Layout, args: argparse.Namespace) -> list[HourForms]:
    """The hours that the options name, of those that have ended."""
    catalog = Catalog(layout.of(args.kind))
    held = catalog.instruments()
    chosen = held_instruments(asked_instruments(args), held) or held
    end_ms = Clock().wall_ms() if args.end is None else args.end
    return [
        forms
        for inst_id in chosen
        for forms in catalog.hours(inst_id)
        if forms.hour_ms + HOUR_MS <= end_ms and (args.start is None or forms.hour_ms >= args.start)
    ]
