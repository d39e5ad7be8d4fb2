"""What an archived hour holds: its tables, lines and times, or one book without the rest. Needs numpy and pyarrow.

Where the archive is damaged everything here raises one of `CANNOT_READ`; `or_reported` makes a finding of that, and is
the one place that does.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from l2vault.book.snapshot import Snapshot
from l2vault.errors import VaultError
from l2vault.vault.archive.columns import Ints
from l2vault.vault.archive.intervals import SNAPSHOTS, Hour, is_ask_side, line_bounds
from l2vault.vault.archive.parquet import facts_of, groups_at, read_levels
from l2vault.vault.archive.rebuild import level_texts, levels_of, lines_of_hour
from l2vault.vault.store.catalog import Finding, Report, StoredHour
from l2vault.vault.store.layout import ArchivedHour, levels_beside

CANNOT_READ: Final = (OSError, ValueError, VaultError)
"""What reading an archive raises where it is damaged; pyarrow's own errors are of the first two kinds."""

_HEADS: Final = ["timestamp", "gap_detected", "seqId", "prevSeqId", "checksum", "depth"]

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
    return ArchivedHour(hour.inst_id, hour.hour_ms, levels_beside(hour.path), hour.path)


def archived_lines(archived: ArchivedHour) -> list[bytes]:
    """The lines, without newlines, in the order in which they stood in the file."""
    return lines_of_hour(read_archived(archived), archived.inst_id)


def archived_times(archived: ArchivedHour, with_flagged: bool = False) -> list[int]:
    """The times of the lines of an archived hour."""
    with pq.ParquetFile(archived.snapshots) as file:
        table = file.read(columns=["timestamp", "gap_detected"], use_threads=False)
    if not with_flagged:
        table = table.filter(pc.invert(table["gap_detected"]))
    times: list[int] = table["timestamp"].to_pylist()
    return times


def archived_stands(archived: ArchivedHour) -> list[tuple[int, bool]]:
    """Time and flag of each line of an archived hour of which both files read."""
    hour = read_archived(archived)
    times: list[int] = hour.snapshots["timestamp"].to_pylist()
    flags: list[bool] = hour.snapshots["gap_detected"].to_pylist()
    return list(zip(times, flags, strict=True))


def read_archived(archived: ArchivedHour, span: tuple[int, int] | None = None) -> Hour:
    """Both tables; with a span only the row groups that bear on it."""
    with pq.ParquetFile(archived.levels) as levels, pq.ParquetFile(archived.snapshots) as snapshots:
        if facts_of(levels) != facts_of(snapshots):
            raise VaultError(f"{archived.levels} and {archived.snapshots} are not of one archive.")
        groups = None if span is None else groups_at(levels, *span)
        return Hour(read_levels(levels, groups), snapshots.read(use_threads=False).cast(SNAPSHOTS))


def archived_book(archived: ArchivedHour, t_ms: int, with_flagged: bool) -> Snapshot | None:
    """The last snapshot of the hour at or before `t_ms`, flagged ones only where asked for; None if there is none."""
    with pq.ParquetFile(archived.snapshots) as file:
        heads = file.read(columns=_HEADS, use_threads=False)
    ts_ms = heads["timestamp"].to_numpy()
    candidates = np.flatnonzero((ts_ms <= t_ms) & (with_flagged | ~heads["gap_detected"].to_numpy()))
    if not len(candidates):
        return None
    line = int(candidates[-1])
    bids, asks = _sides(archived, ts_ms, line)
    head = heads.slice(line, 1).to_pylist()[0]
    texts = levels_of(level_texts(pa.concat_tables([bids, asks])).to_pylist())
    return Snapshot(
        archived.inst_id,
        head["timestamp"],
        head["depth"],
        texts[: len(bids)],
        texts[len(bids) :],
        head["checksum"],
        head["seqId"],
        head["prevSeqId"],
        head["gap_detected"],
    )


def _sides(archived: ArchivedHour, ts_ms: Ints, line: int) -> tuple[pa.Table, pa.Table]:
    """The rows that stand in a line, best first. Times find them; among lines of one time their numbers decide."""
    at_ms = int(ts_ms[line])
    with pq.ParquetFile(archived.levels) as file:
        near = read_levels(file, groups_at(file, at_ms - 1, at_ms + 1), at_ms)
    line_from, line_to = line_bounds(near, ts_ms)
    here = near.take(np.flatnonzero((line_from <= line) & (line < line_to)))
    is_ask = is_ask_side(here)
    price = here["price_num"].to_numpy()
    bids, asks = np.flatnonzero(~is_ask), np.flatnonzero(is_ask)
    return here.take(bids[np.argsort(-price[bids])]), here.take(asks[np.argsort(price[asks])])
