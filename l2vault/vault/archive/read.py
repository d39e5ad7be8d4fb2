"""What an archived hour holds: its tables, lines and times, or one book without the rest. Needs numpy and pyarrow.

Where the archive is damaged everything here raises one of `CANNOT_READ`; `or_reported` makes a finding of that, and is
the one place that does.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import compress
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow.parquet as pq

from l2vault.book.change import Level
from l2vault.book.snapshot import Snapshot
from l2vault.errors import VaultError
from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.change_files import KIND as CHANGES
from l2vault.vault.archive.change_files import archived_changes, read_change_tables
from l2vault.vault.archive.columns import Ints, plain_text
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.archive.parquet import (
    facts_of,
    groups_at,
    level_rows_at,
    numbers,
    opened,
    read_levels,
    read_snapshots,
    read_through,
    refuse_other_kind,
)
from l2vault.vault.archive.rebuild import books_of_hour, levels_of, lines_of_hour
from l2vault.vault.archive.rows import FORMS, archived_rows, row_times
from l2vault.vault.store.catalog import Finding, Report, StoredHour
from l2vault.vault.store.layout import ArchivedHour, levels_beside

CANNOT_READ: Final = (OSError, ValueError, VaultError)
"""What reading an archive raises where it is damaged; pyarrow's own errors are of the first two kinds."""

_HEADS: Final = ["timestamp", "gap_detected", "seqId", "prevSeqId", "checksum", "depth"]

_OF_LEVEL: Final = ["side", "price_num", "price_den", "qty_num", "qty_den", "orders", "level_text"]

T = TypeVar("T")


def or_reported(hour: StoredHour, report: Report, read: Callable[[], T]) -> T | None:
    """What is read of an archive; None, and a finding, where it cannot be read. A file that has gone raises."""
    try:
        return read()
    except FileNotFoundError:
        raise
    except CANNOT_READ as error:
        report(Finding(hour.path, 0, f"an archive that cannot be read: {error}", is_of_file=True))
        return None


def files_of(hour: StoredHour) -> ArchivedHour:
    """The two files of an archived hour."""
    return ArchivedHour(hour.inst_id, hour.hour_ms, levels_beside(hour.path), hour.path, hour.kind)


def archived_lines(archived: ArchivedHour) -> list[bytes]:
    """The lines, without newlines, in the order in which they stood in the file."""
    if archived.kind == CHANGES:
        return archived_changes(archived)
    if archived.kind in FORMS:
        return archived_rows(archived)
    return lines_of_hour(read_archived(archived), archived.inst_id)


def archived_books(archived: ArchivedHour, span: tuple[int, int]) -> Iterator[Snapshot]:
    """The books of an archived hour with a time in the span, in their order."""
    return books_of_hour(read_archived(archived, span), archived.inst_id, span)


def archived_times(archived: ArchivedHour, with_flagged: bool = False) -> list[int]:
    """The times of the lines of an archived hour."""
    if archived.kind in FORMS:
        return row_times(archived)
    if archived.kind == CHANGES:
        with opened(archived.snapshots) as file:
            refuse_other_kind(file, archived)
            changes: list[int] = file.read(columns=["timestamp"], use_threads=False)["timestamp"].to_pylist()
            return changes
    with opened(archived.snapshots) as file:
        refuse_other_kind(file, archived)
        table = file.read(columns=["timestamp", "gap_detected"], use_threads=False)
    if not with_flagged:
        table = table.filter(pc.invert(table["gap_detected"]))
    times: list[int] = table["timestamp"].to_pylist()
    return times


def archived_stands(archived: ArchivedHour) -> list[tuple[int, bool]]:
    """Time and flag of each line of an archived hour of which all files read."""
    if archived.kind in FORMS:
        return [(ts_ms, False) for ts_ms in row_times(archived)]
    if archived.kind == CHANGES:
        return [(ts_ms, False) for ts_ms in read_change_tables(archived).messages["timestamp"].to_pylist()]
    with opened(archived.levels) as levels, opened(archived.snapshots) as snapshots:
        _refuse_unless_of_one(archived, levels, snapshots)
        if _stamp(archived.levels) not in _read_through:
            read_through(levels)
        table = snapshots.read(use_threads=False)
    return list(zip(table["timestamp"].to_pylist(), table["gap_detected"].to_pylist(), strict=True))


def read_archived(archived: ArchivedHour, span: tuple[int, int] | None = None) -> Hour:
    """Both tables; with a span only the row groups that bear on it."""
    with opened(archived.levels) as levels, opened(archived.snapshots) as snapshots:
        _refuse_unless_of_one(archived, levels, snapshots)
        groups = None if span is None else groups_at(levels, *span)
        return Hour(read_levels(levels, groups), read_snapshots(snapshots))


_Stamp = tuple[Path, int, int]

_read_through: set[_Stamp] = set()


def note_read_through(levels: Path) -> None:
    """Says that every row of a file of levels was read: until it changes `archived_stands` need not read it again."""
    _read_through.add(_stamp(levels))


def _stamp(path: Path) -> _Stamp:
    facts = path.stat()
    return path, facts.st_size, facts.st_mtime_ns


def _refuse_unless_of_one(archived: ArchivedHour, levels: pq.ParquetFile, snapshots: pq.ParquetFile) -> None:
    refuse_other_kind(snapshots, archived)
    if facts_of(levels) != facts_of(snapshots):
        raise VaultError(f"{archived.levels} and {archived.snapshots} are not of one archive.")


def archived_book(archived: ArchivedHour, t_ms: int, with_flagged: bool) -> Snapshot | None:
    """The last snapshot of the hour at or before `t_ms`, flagged ones only where asked for; None if there is none."""
    with opened(archived.snapshots) as file:
        heads = file.read(columns=_HEADS, use_threads=False)
    ts_ms = numbers(heads["timestamp"])
    line = bisect_right(ts_ms, t_ms) - 1
    flags = heads["gap_detected"]
    while line >= 0 and not with_flagged and flags[line].as_py():
        line -= 1
    if line < 0:
        return None
    head = heads.slice(line, 1).to_pylist()[0]
    with opened(archived.levels, ["side"]) as file:
        rows = level_rows_at(file, head["timestamp"])
    return Snapshot(
        archived.inst_id,
        head["timestamp"],
        head["depth"],
        *_sides(rows, ts_ms, line),
        head["checksum"],
        head["seqId"],
        head["prevSeqId"],
        head["gap_detected"],
    )


def _sides(rows: dict[str, list[Any]], ts_ms: Ints, line: int) -> tuple[list[Level], list[Level]]:
    """The levels that stand in a line, best first. Times found the rows; among lines of one time numbers decide."""
    line_from = np.searchsorted(ts_ms, rows["t_from"]) + rows["nth_from"]
    line_to = np.searchsorted(ts_ms, rows["t_to"]) + rows["nth_to"]
    stands = ((line_from <= line) & (line < line_to)).tolist()
    bids: list[tuple[int, Level]] = []
    asks: list[tuple[int, Level]] = []
    found = compress(zip(*(rows[name] for name in _OF_LEVEL), strict=True), stands)
    for side, price, price_den, qty, qty_den, orders, text in found:
        level = _level(price, price_den, qty, qty_den, orders) if text is None else levels_of([text])[0]
        (asks if side == "ask" else bids).append((price, level))
    bids.sort(key=itemgetter(0), reverse=True)
    asks.sort(key=itemgetter(0))
    return [level for _, level in bids], [level for _, level in asks]


def _level(price: int, price_den: int, qty: int, qty_den: int, orders: int | None) -> Level:
    return plain_text(price, price_den), plain_text(qty, qty_den), "0", "" if orders is None else str(orders)
