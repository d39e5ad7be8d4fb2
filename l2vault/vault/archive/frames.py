"""An archived hour as two Polars frames, straight from its files: a third of the time of Arrow tables, which readers
that want Arrow or exact numbers take (`read`). Loads no pandas.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from l2vault.errors import VaultError
from l2vault.vault.archive.intervals import OF_BOOK, OLD_SNAPSHOTS, SNAPSHOTS
from l2vault.vault.archive.parquet import facts_of, groups_at, opened, values_of
from l2vault.vault.archive.read import CANNOT_READ as _CANNOT_READ
from l2vault.vault.archive.read import note_read_through
from l2vault.vault.store.layout import ArchivedHour

CANNOT_READ: Final = (*_CANNOT_READ, pl.exceptions.PolarsError)

_PLAIN: Final = ["side", "price_num", "qty_num", "orders", "t_from", "t_to"]
_DENS: Final = ["price_den", "qty_den"]
_OTHERS: Final = pl.col("nth_from", "nth_to", "level_text", *_DENS).null_count()
"""Read too where the others were read whole: it is known then that all of the file reads."""
_TIMES: Final = (pl.col("timestamp").alias("t_from"), pl.col("t_to"))


def archived_frames(
    archived: ArchivedHour, span: tuple[int, int], is_noted: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Levels and books as `reading.level_table` has them, cut to the span; the levels in no order.

    `is_noted`: that all of the hour reads was found out before. Raises one of `CANNOT_READ` where it is damaged.
    """
    with opened(archived.levels, ["side"]) as levels, opened(archived.snapshots) as snapshots:
        if facts_of(levels) != facts_of(snapshots):
            raise VaultError(f"{archived.levels} and {archived.snapshots} are not of one archive.")
        groups = list(groups_at(levels, *span))
        rows, is_whole = _levels(levels, groups), len(groups) == levels.num_row_groups
        books = _books(snapshots)
    if is_whole and not is_noted:
        pl.scan_parquet(archived.levels).select(_OTHERS).collect()
        note_read_through(archived.levels)
    return _cut(rows, span), _cut(books, span)


def archived_books(archived: ArchivedHour, span: tuple[int, int]) -> pl.DataFrame:
    """The books alone, without a look at the levels. Raises one of `CANNOT_READ` where their file is damaged."""
    with opened(archived.snapshots) as snapshots:
        facts_of(snapshots)
        return _cut(_books(snapshots), span)


def _levels(file: pq.ParquetFile, groups: list[int]) -> pl.DataFrame:
    """Denominators, which are one for all rows of a file that we wrote, are not read where its statistics say so."""
    frame: dict[str, npt.NDArray[np.float64]] = {}
    values = {name: values_of(file, groups, name) for name in _DENS}
    columns = _PLAIN + [name for name in _DENS if len(values[name]) != 1]
    table = file.read_row_groups(groups, columns=columns, use_threads=False)
    read = _frame(table.drop_columns("side"))  # apart from sides, which come in pieces: numpy takes it as it is
    for name in ("price", "qty"):
        den = values[f"{name}_den"]
        # By numpy: polars multiplies by the reciprocal of a scalar, which is not the double nearest to the fraction.
        by = den.pop() if len(den) == 1 else read[f"{name}_den"].to_numpy()
        frame[name] = read[f"{name}_num"].to_numpy() / by
    side = _frame(table.select(["side"]))["side"]
    return pl.DataFrame([side, *(pl.Series(name, frame[name]) for name in frame), *read["orders", "t_from", "t_to"]])


def _books(file: pq.ParquetFile) -> pl.DataFrame:
    is_old = file.schema_arrow.names == OLD_SNAPSHOTS.names
    if not is_old and file.schema_arrow.names != SNAPSHOTS.names:
        raise VaultError("a Parquet file with other columns than those of snapshots.")
    known = [name for name in OF_BOOK if not is_old or name in OLD_SNAPSHOTS.names]
    frame = _frame(file.read(columns=["timestamp", "t_to", "depth", *known], use_threads=False))
    return frame.select(*_TIMES, "depth", *known)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # what a table becomes
    return frame


def _cut(rows: pl.DataFrame, span: tuple[int, int]) -> pl.DataFrame:
    """Most hours lie in the span with all their rows, and are given as they are."""
    t_from, t_to = rows["t_from"].to_numpy(), rows["t_to"].to_numpy()
    if len(rows) and t_from.min() >= span[0] and t_to.max() <= span[1] and (t_from < t_to).all():
        return rows
    inside = rows.lazy().filter(pl.col("t_from") < span[1], pl.col("t_to") > span[0], pl.col("t_from") < pl.col("t_to"))
    return inside.with_columns(
        pl.col("t_from").clip(lower_bound=span[0]), pl.col("t_to").clip(upper_bound=span[1])
    ).collect()
