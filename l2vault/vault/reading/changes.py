"""Books rebuilt from recorded changes: every one of a span, those of a grid, the one at a time, and the hours' tables.

Reads the lines in order and holds one book at a time; only the tables hold an hour. What the lines prove decides
(`book/replay.py`); no journal is asked. Needs only what recording needs, but for tables and archives.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from l2vault.book.change_line import ChangeHead, RecordedChange, from_change_line, head_of_change
from l2vault.book.replay import Replay
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot
from l2vault.errors import analysis_extra
from l2vault.vault.coverage.changes import ChangeCoverage, breaks_of, cover_changes, lost_changes
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import LinePosition, missing_hours, unreadable
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import PlacedLine, hour_lines, row_of
from l2vault.vault.store.layout import HOUR_MS, MAY_BE_WRITTEN
from l2vault.vault.store.line import time_ms

if TYPE_CHECKING:
    from l2vault.vault.archive.intervals import Hour


class PlacedChange(NamedTuple):
    """A change, and the line that it is."""

    recorded: RecordedChange
    line: PlacedLine


class Standing(NamedTuple):
    """A book, and whether a later line shows that it still stood at the time that was asked for."""

    snapshot: Snapshot
    is_proved: bool


def changes(catalog: Catalog, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[PlacedChange]:
    """Every change of the hours that a span touches, in order; what does not read is reported."""
    every = catalog.hours(inst_id, report)
    for forms in every:
        if span[0] - HOUR_MS < forms.hour_ms < span[1]:
            yield from _of_hour(catalog, forms, forms in every[-MAY_BE_WRITTEN:], report)


def change_snapshots(
    catalog: Catalog, inst_id: str, span: tuple[int, int], every_ms: int | None, report: Report
) -> Iterator[Snapshot]:
    """The book after each message of a span; with `every_ms` the one at each multiple of it, by the recorder's own law:
    the book as it stands before the first message behind that time. One that has not changed is not given twice."""
    replay, last_grid_ms = Replay(), -1
    for placed in changes(catalog, inst_id, span, report):
        recorded = placed.recorded
        follows = replay.follows(recorded)
        if every_ms is None:
            apply_reported(replay, placed, report)
            is_push = recorded.origin != "book" or not follows
            if replay.book is not None and is_push and span[0] <= recorded.ts_ms < span[1]:
                yield replay.snapshot(inst_id)
            continue
        if follows and recorded.origin != "book" and replay.book is not None:
            grid_ms = due_grid_time(replay.book.ts_ms, recorded.change.ts_ms, every_ms)
            if grid_ms is not None and grid_ms > last_grid_ms:
                last_grid_ms = grid_ms
                due = replay.snapshot(inst_id)
                if span[0] <= due.ts_ms < span[1]:
                    yield due
        apply_reported(replay, placed, report)


def change_book(catalog: Catalog, inst_id: str, t_ms: int, report: Report) -> Standing | None:
    """The last book at or before a time; None if there is none so early."""
    hour_ms = t_ms // HOUR_MS * HOUR_MS
    every = catalog.hours(inst_id, report)
    started = [at for at, forms in enumerate(every) if forms.hour_ms <= hour_ms]
    found = (_last_book(catalog, every[at : at + 2], t_ms, report) for at in reversed(started))
    return next((standing for standing in found if standing is not None), None)


def _last_book(catalog: Catalog, hours: Sequence[HourForms], t_ms: int, report: Report) -> Standing | None:
    """Of the first of two hours; the other's first line may show that its last book stood on. A book before changes
    that fit none is the last one known."""
    replay, last = Replay(), None
    inst_id = hours[0].inst_id
    for placed in chain.from_iterable(_of_hour(catalog, forms, True, report) for forms in hours):
        follows = replay.follows(placed.recorded)
        if placed.recorded.ts_ms > t_ms:
            if replay.book is None:
                break
            return Standing(replay.snapshot(inst_id), follows)
        if replay.book is not None and not follows:
            last = replay.snapshot(inst_id)
        apply_reported(replay, placed, report)
    if replay.book is not None:
        last = replay.snapshot(inst_id)
    return None if last is None else Standing(last, False)


def change_bounds(catalog: Catalog, inst_id: str) -> tuple[int, int] | None:
    """The times of the first and the newest line; None if none reads."""
    every = catalog.hours(inst_id)
    first = next((times[0] for forms in every if (times := _times(catalog, forms, unreported))), None)
    newest = next((times[-1] for forms in reversed(every) if (times := _times(catalog, forms, unreported))), None)
    return None if first is None or newest is None else (first, newest)


def change_coverage(catalog: Catalog, journal: JournalIndex, inst_id: str, span: tuple[int, int]) -> ChangeCoverage:
    """Where the changes of a span are whole, from what was noted at the time and the lines that are there."""
    lost = lost_changes(journal.entries(), inst_id)  # before the files
    every = catalog.hours(inst_id)
    hours: list[list[int]] = []
    heads: list[tuple[int, ChangeHead | None]] = []
    gone: list[MissingLines] = []
    for forms in every:
        if span[0] - 2 * HOUR_MS < forms.hour_ms < span[1] + HOUR_MS:
            findings: list[Finding] = []
            lines = list(hour_lines(catalog, forms, forms in every[-MAY_BE_WRITTEN:], findings.append))
            positions = [LinePosition(time_ms(line.text), line.path, line.offset) for line in lines]
            hours.append([position.ts_ms for position in positions])
            heads += zip(hours[-1], map(head_of_change, (line.text for line in lines)), strict=True)
            gone += unreadable(positions, findings, forms.hour_ms, lambda ts_ms: ts_ms)
    gone += missing_hours({forms.hour_ms for forms in every}, journal.deleted_hours(inst_id), span)
    return cover_changes(inst_id, span, hours, lost, gone, breaks_of(heads))


def _times(catalog: Catalog, forms: HourForms, report: Report) -> list[int]:
    return [time_ms(line.text) for line in hour_lines(catalog, forms, True, report)]


def change_hours(
    catalog: Catalog, inst_id: str, span: tuple[int, int], report: Report, only_ms: int | None = None
) -> Iterator["Hour"]:
    """The tables of each hour that a span touches, or of the one that begins at `only_ms`, at the resolution of
    messages."""
    with analysis_extra():
        from l2vault.vault.archive.change_build import read_change_hour
    every = catalog.hours(inst_id, report)
    for at, forms in enumerate(every):
        if span[0] - HOUR_MS < forms.hour_ms < span[1] and only_ms in (None, forms.hour_ms):
            yield read_change_hour(catalog, every, at, report)


def _of_hour(catalog: Catalog, forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedChange]:
    for line in hour_lines(catalog, forms, is_newest, report):
        if (recorded := row_of(line, forms.inst_id, from_change_line, report)) is not None:
            yield PlacedChange(recorded, line)


def apply_reported(replay: Replay, placed: PlacedChange, report: Report) -> None:
    """Apply it; the first of a row of changes that fit no book is reported."""
    had_book = replay.book is not None
    if replay.apply(placed.recorded) == "refused" and had_book:
        report(Finding(placed.line.path, placed.line.offset, f"a change that fits no book: {replay.why_refused}"))
