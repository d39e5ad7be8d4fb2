"""The level-interval table with times as this door gives them, and tables of a span for SQL. Needs pyarrow."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa

from l2vault.api.times import with_times
from l2vault.book.utc import utc_text
from l2vault.vault.reading.level_table import Levels as Read

if TYPE_CHECKING:
    import pandas as pd


class Levels:
    """A row per (side, price) for as long as its quantity and order count stay the same, cut to the span, in no order:
    `side`, `price`, `qty` (contracts), `orders` (null where OKX sent no number), `t_from`, `t_to` (half-open). The book
    at `t` is `t_from <= t < t_to`."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def to_polars(self, raw: bool = False) -> pl.DataFrame:
        """With `raw` times are integers: milliseconds since 1970."""
        frame = self._read.to_polars()
        return frame if raw else with_times(frame)

    def to_pandas(self, raw: bool = False) -> "pd.DataFrame":
        """The same for pandas; times are aware, in UTC."""
        return self.to_polars(raw).to_pandas()

    def to_arrow(self, raw: bool = False) -> pa.Table:
        """The same as an Arrow table; times are `timestamp[ms, UTC]`."""
        return self.to_polars(raw).to_arrow()

    def __repr__(self) -> str:
        read = self._read
        return f"<Levels of {read.inst_id}, {utc_text(read.start_ms)} to {utc_text(read.end_ms)}>"


def connected(tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """A connection of its own that has them as tables, by name."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, table in tables.items():
        connection.register(name, table)
    return connection
