"""The two tables of an hour from its lines, with what is known of the time between and behind them."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from l2vault.errors import LineError
from l2vault.vault.archive.columns import Columns, read_columns, readable_only
from l2vault.vault.archive.intervals import LEVELS, SNAPSHOTS, Hour, hour_of_lines
from l2vault.vault.archive.read import CANNOT_READ, files_of, or_reported, read_archived
from l2vault.vault.coverage.compute import Lines, MissingLines, cover, slot_of
from l2vault.vault.coverage.missing import LinePosition, in_altered_files, unreadable
from l2vault.vault.coverage.sync_history import SyncHistory
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report
from l2vault.vault.store.forms import PlacedLine, first_ms, hour_lines
from l2vault.vault.store.layout import HOUR_MS, ArchivedHour
from l2vault.vault.store.line import time_ms


class HourContext(NamedTuple):
    """What surrounds the lines of an hour: the journal's history, the time of the next hour's first line if that hour
    is held, and what of this one could not be read."""

    history: SyncHistory
    next_ms: int | None
    missing: Sequence[MissingLines] = ()


def build_hour(columns: Columns, inst_id: str, hour_ms: int, setting: HourContext) -> Hour:
    """The tables of the lines of an hour. Disputed books are in them: whoever reads leaves them out."""
    after_ms = hour_ms + HOUR_MS if setting.next_ms is None else setting.next_ms
    times = columns.ts_ms[~columns.gap_detected].tolist()
    flagged = columns.ts_ms[columns.gap_detected].tolist()
    if setting.next_ms is not None:
        times.append(setting.next_ms)  # of a recorder that was killed, only its lines tell how long it held the book
    lines = Lines(times, hour_ms, after_ms, flagged)
    coverage = cover(setting.history, inst_id, lines, (hour_ms, after_ms), setting.missing)
    holes = [(hole.start_ms, hole.end_ms) for hole in coverage.holes if hole.kind in ("missing", "unknown")]
    return hour_of_lines(columns, holes, after_ms)


def read_columns_of_hour(twin: ArchivedHour, span: tuple[int, int]) -> Hour | None:
    """The tables of an hour from files that were made of just its lines; None where they cannot be read: the lines
    can."""
    try:
        return read_archived(twin, span)
    except CANNOT_READ:
        return None


def read_hour(
    catalog: Catalog,
    every: Sequence[HourForms],
    at: int,
    history: SyncHistory,
    span: tuple[int, int],
    report: Report,
) -> Hour:
    """The tables of hour number `at` of `every`, as far as they bear on a span; empty where nothing can be read."""
    forms = every[at]
    if forms.archive is not None and not forms.raw:
        archived = files_of(forms.archive)
        try:
            hour = or_reported(forms.archive, report, lambda: read_archived(archived, span))
        except FileNotFoundError:
            forms = catalog.hour(forms.inst_id, forms.hour_ms)
        else:
            return hour or Hour(LEVELS.empty_table(), SNAPSHOTS.empty_table())
    found: list[Finding] = []
    columns, positions = _read(catalog, forms, at == len(every) - 1, found.append)
    for finding in found:
        report(finding)
    if any(True for _ in in_altered_files(positions, found)):  # any of its lines may be altered
        return Hour(LEVELS.empty_table(), SNAPSHOTS.empty_table())
    missing = list(unreadable(positions, found, forms.hour_ms, partial(slot_of, history)))
    next_ms = first_ms(catalog.hour(forms.inst_id, forms.hour_ms + HOUR_MS))
    return build_hour(columns, forms.inst_id, forms.hour_ms, HourContext(history, next_ms, missing))


def _read(catalog: Catalog, forms: HourForms, is_newest: bool, report: Report) -> tuple[Columns, list[LinePosition]]:
    """The columns, and where their lines are. The lines themselves, 40 MB of them, are let go here."""
    lines = list(hour_lines(catalog, forms, is_newest, report))
    columns = readable(lines, forms.inst_id, report)
    return columns, [LinePosition(time_ms(line.text), line.path, line.offset) for line in lines]


def readable(lines: Sequence[PlacedLine], inst_id: str, report: Report) -> Columns:
    """The lines that can be read, as columns; the others are reported."""
    texts = [line.text for line in lines]
    try:
        return read_columns(texts, inst_id)
    except LineError:
        readable = readable_only(texts, inst_id)
        for index, reason in readable.bad:
            report(Finding(lines[index].path, lines[index].offset, reason))
        return read_columns(readable.lines, inst_id)
