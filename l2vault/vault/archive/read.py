"""What an archived hour holds: its tables, lines and times, or one book without the rest. Needs numpy and pyarrow."""

from pathlib import Path
from typing import Final

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
from l2vault.vault.store.catalog import Report, unreadable_archive, why_no_file
from l2vault.vault.store.layout import ArchivedHour

CANNOT_READ: Final = (OSError, ValueError, VaultError)
"""What reading an archive raises where it is damaged; pyarrow's own errors are of the first two kinds."""

_HEADS: Final = ["timestamp", "gap_detected", "seqId", "prevSeqId", "checksum", "depth"]


def opened(path: Path) -> pq.ParquetFile:
    """One of the two files of an archive. Raises one of `CANNOT_READ`, also for a pipe, whose reader would wait."""
    trouble = why_no_file(path)
    if trouble:
        raise OSError(f"{path}: {trouble}")
    return pq.ParquetFile(path)


def archived_lines(archived: ArchivedHour) -> list[bytes]:
    """The lines, without newlines, in the order in which they stood in the file."""
    return lines_of_hour(read_archived(archived), archived.inst_id)


def archived_times(archived: ArchivedHour, with_flagged: bool = False) -> list[int]:
    """The times of the lines of an archived hour. Raises one of `CANNOT_READ` where it cannot be read."""
    with opened(archived.snapshots) as file:
        table = file.read(columns=["timestamp", "gap_detected"], use_threads=False)
    if not with_flagged:
        table = table.filter(pc.invert(table["gap_detected"]))
    times: list[int] = table["timestamp"].to_pylist()
    return times


def archived_stands(archived: ArchivedHour) -> list[tuple[int, bool]]:
    """Time and flag of each line of an archived hour of which both files read. Raises one of `CANNOT_READ`."""
    hour = read_archived(archived)
    times: list[int] = hour.snapshots["timestamp"].to_pylist()
    flags: list[bool] = hour.snapshots["gap_detected"].to_pylist()
    return list(zip(times, flags, strict=True))


def read_archived(archived: ArchivedHour, span: tuple[int, int] | None = None) -> Hour:
    """Both tables; with a span only the row groups that bear on it. Raises one of `CANNOT_READ` where it cannot."""
    with opened(archived.levels) as levels, opened(archived.snapshots) as snapshots:
        if facts_of(levels) != facts_of(snapshots):
            raise VaultError(f"{archived.levels} and {archived.snapshots} are not of one archive.")
        groups = None if span is None else groups_at(levels, *span)
        return Hour(read_levels(levels, groups), snapshots.read(use_threads=False).cast(SNAPSHOTS))


def archived_book(archived: ArchivedHour, t_ms: int, report: Report) -> Snapshot | None:
    """The last unflagged snapshot of the hour at or before `t_ms`; None if there is none, or nothing can be read."""
    try:
        return _book(archived, t_ms)
    except CANNOT_READ as error:
        report(unreadable_archive(archived, error))
        return None


def _book(archived: ArchivedHour, t_ms: int) -> Snapshot | None:
    with opened(archived.snapshots) as file:
        heads = file.read(columns=_HEADS, use_threads=False)
    ts_ms = heads["timestamp"].to_numpy()
    candidates = np.flatnonzero((ts_ms <= t_ms) & ~heads["gap_detected"].to_numpy())
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
    )


def _sides(archived: ArchivedHour, ts_ms: Ints, line: int) -> tuple[pa.Table, pa.Table]:
    """The rows that stand in a line, best first. Times find them; among lines of one time their numbers decide."""
    at_ms = int(ts_ms[line])
    with opened(archived.levels) as file:
        near = read_levels(file, groups_at(file, at_ms - 1, at_ms + 1), at_ms)
    line_from, line_to = line_bounds(near, ts_ms)
    here = near.take(np.flatnonzero((line_from <= line) & (line < line_to)))
    is_ask = is_ask_side(here)
    price = here["price_num"].to_numpy()
    bids, asks = np.flatnonzero(~is_ask), np.flatnonzero(is_ask)
    return here.take(bids[np.argsort(-price[bids])]), here.take(asks[np.argsort(price[asks])])
