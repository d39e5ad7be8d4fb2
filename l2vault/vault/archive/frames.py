"""An archived hour as two Polars frames, straight from its files: half the time of Arrow tables, which readers that
want Arrow or exact numbers take (`read`). Loads no pandas.
"""

from typing import Final

import polars as pl

from l2vault.errors import VaultError
from l2vault.vault.archive.parquet import facts_of, opened
from l2vault.vault.archive.read import CANNOT_READ as _CANNOT_READ
from l2vault.vault.archive.read import note_read_through
from l2vault.vault.store.layout import ArchivedHour

CANNOT_READ: Final = (*_CANNOT_READ, pl.exceptions.PolarsError)

_LEVELS: Final = (
    pl.col("side"),
    (pl.col("price_num") / pl.col("price_den")).alias("price"),
    (pl.col("qty_num") / pl.col("qty_den")).alias("qty"),
    pl.col("orders", "t_from", "t_to"),
)
_OTHERS: Final = pl.col("nth_from", "nth_to", "level_text").null_count()
"""Read too where the others were read whole: it is known then that all of the file reads."""
_BOOKS: Final = (pl.col("timestamp").alias("t_from"), pl.col("t_to", "depth", "best_bid", "best_ask"))


def archived_frames(archived: ArchivedHour, span: tuple[int, int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Levels and books as `reading.level_table` has them, cut to the span, the books with their best prices.

    Raises one of `CANNOT_READ` where the archive is damaged.
    """
    with opened(archived.levels) as levels, opened(archived.snapshots) as snapshots:
        if facts_of(levels) != facts_of(snapshots):
            raise VaultError(f"{archived.levels} and {archived.snapshots} are not of one archive.")
        count = levels.metadata.num_rows
    paths = ((archived.levels, _LEVELS), (archived.snapshots, _BOOKS))
    rows, books = (_cut(pl.scan_parquet(path).select(*columns), span).collect() for path, columns in paths)
    if len(rows) == count:
        pl.scan_parquet(archived.levels).select(_OTHERS).collect()
        note_read_through(archived.levels)
    return rows, books


def _cut(rows: pl.LazyFrame, span: tuple[int, int]) -> pl.LazyFrame:
    inside = rows.filter(pl.col("t_from") < span[1], pl.col("t_to") > span[0], pl.col("t_from") < pl.col("t_to"))
    return inside.with_columns(pl.col("t_from").clip(lower_bound=span[0]), pl.col("t_to").clip(upper_bound=span[1]))
