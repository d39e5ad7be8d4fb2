"""The tables of an hour of changes, at the resolution of messages, from whatever forms the hour has."""

from collections.abc import Iterator, Sequence

from l2vault.book.change_line import RecordedChange, from_change_line
from l2vault.errors import LineError
from l2vault.vault.archive.change_columns import ChangeTables, tables_of
from l2vault.vault.archive.change_files import read_change_tables
from l2vault.vault.archive.change_intervals import hour_of_changes
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.archive.parquet import opened
from l2vault.vault.archive.read import files_of, or_reported
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import PlacedLine, hour_lines, row_of
from l2vault.vault.store.layout import HOUR_MS, MAY_BE_WRITTEN


def read_change_hour(catalog: Catalog, every: Sequence[HourForms], at: int, report: Report) -> Hour:
    """The level intervals of hour number `at` of `every`, and the book of each message; empty where nothing reads."""
    forms = every[at]
    tables = _tables(catalog, forms, at >= len(every) - MAY_BE_WRITTEN, report)
    return hour_of_changes(tables, _goes_on(catalog, every, at, tables))


def _tables(catalog: Catalog, forms: HourForms, is_newest: bool, report: Report) -> ChangeTables:
    if forms.archive is not None and not forms.raw:
        archived = files_of(forms.archive)
        try:
            return or_reported(forms.archive, report, lambda: read_change_tables(archived)) or tables_of([])
        except FileNotFoundError:  # restored meanwhile
            forms = catalog.hour(forms.inst_id, forms.hour_ms)
    lines = list(hour_lines(catalog, forms, is_newest, report))
    try:
        return tables_of(change for _, change in _readable(lines, forms.inst_id, report))
    except LineError:  # a level that no table can hold
        return tables_of(_storable(lines, forms.inst_id, report))


def _readable(lines: Sequence[PlacedLine], inst_id: str, report: Report) -> Iterator[tuple[PlacedLine, RecordedChange]]:
    for line in lines:
        if (recorded := row_of(line, inst_id, from_change_line, report)) is not None:
            yield line, recorded


def _storable(lines: Sequence[PlacedLine], inst_id: str, report: Report) -> Iterator[RecordedChange]:
    """One by one: which of them no table can hold. What does not read was reported already."""
    for line, recorded in _readable(lines, inst_id, unreported):
        try:
            tables_of([recorded])
        except LineError as error:
            report(Finding(line.path, line.offset, error.message))
        else:
            yield recorded


def _goes_on(catalog: Catalog, every: Sequence[HourForms], at: int, tables: ChangeTables) -> int | None:
    """The time of the next hour's first line, if that shows that the last book of this one still stood then."""
    hour_ms = every[at].hour_ms
    if at + 1 == len(every) or every[at + 1].hour_ms != hour_ms + HOUR_MS or not len(tables.messages):
        return None
    first = _first(catalog, every[at + 1])
    last_seq = tables.messages["seqId"][-1].as_py()
    if first is None or first[1] != "book" or last_seq is None or first[2] != last_seq:
        return None
    return first[0]


def _first(catalog: Catalog, forms: HourForms) -> tuple[int, str, int | None] | None:
    """Time, origin and `seqId` of an hour's first change."""
    if forms.archive is not None and not forms.raw:
        with opened(forms.archive.path) as file:
            rows = file.read(columns=["timestamp", "origin", "seqId"], use_threads=False).slice(0, 1).to_pylist()
        return (rows[0]["timestamp"], rows[0]["origin"], rows[0]["seqId"]) if rows else None
    for line in hour_lines(catalog, forms, True, unreported):
        try:
            recorded = from_change_line(line.text)
        except LineError:
            return None
        return recorded.ts_ms, recorded.origin, recorded.change.seq_id
    return None
