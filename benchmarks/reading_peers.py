"""What careful users of pandas, Polars and DuckDB write to read a `.jsonl.gz` hour: its level-interval table, a book.

Each makes one frame of all levels of all lines, then runs by comparing each row with the one before it.
"""

import gzip
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from l2vault.book.utc import utc_ms, utc_text

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

LINE_MS = 2_000

_COLUMNS = "{timestamp_utc: 'VARCHAR', best_bid: 'VARCHAR', bids_top400: 'VARCHAR[][]', asks_top400: 'VARCHAR[][]'}"
_LINES = f"read_json('$path', format='newline_delimited', columns={_COLUMNS}, maximum_object_size=1048576)"
_TABLE_SQL = f"""
WITH lines AS (
  SELECT row_number() OVER (ORDER BY timestamp_utc) AS line, epoch_ms(timestamp_utc::TIMESTAMP) AS t,
         lead(epoch_ms(timestamp_utc::TIMESTAMP)) OVER (ORDER BY timestamp_utc) AS t_next, bids_top400, asks_top400
  FROM {_LINES}
), levels AS (
  SELECT line, t, t_next, 'bid' AS side, unnest(bids_top400) AS level FROM lines
  UNION ALL SELECT line, t, t_next, 'ask' AS side, unnest(asks_top400) AS level FROM lines
), keyed AS (
  SELECT line, t, t_next, side, level[1]::DOUBLE AS price, level[2]::DOUBLE AS qty, level[4]::INTEGER AS orders
  FROM levels
), marked AS (
  SELECT *, CASE WHEN lag(line) OVER w = line - 1 AND lag(qty) OVER w = qty AND lag(orders) OVER w = orders
                 THEN 0 ELSE 1 END AS is_new
  FROM keyed WINDOW w AS (PARTITION BY side, price ORDER BY line)
), runs AS (
  SELECT *, sum(is_new) OVER (PARTITION BY side, price ORDER BY line) AS run FROM marked
)
SELECT side, price, first(qty) AS qty, first(orders) AS orders, min(t) AS t_from,
       max(coalesce(t_next, t + {LINE_MS})) AS t_to
FROM runs GROUP BY side, price, run
"""


def table_by_pandas(path: Path) -> "pd.DataFrame":
    """With `json` for the lines."""
    import pandas as pd

    rows, times = [], []
    with gzip.open(path) as lines:
        for number, line in enumerate(lines):
            book = json.loads(line)
            times.append(utc_ms(book["timestamp_utc"]))
            for side, key in (("bid", "bids_top400"), ("ask", "asks_top400")):
                rows += [(side, price, qty, orders, number) for price, qty, _, orders in book[key]]
    frame = pd.DataFrame(rows, columns=["side", "price", "qty", "orders", "line"])
    frame = frame.astype({"side": "category", "price": float, "qty": float, "orders": int})
    frame = frame.sort_values(["side", "price", "line"], kind="stable")
    level = frame[["side", "price", "qty", "orders"]]
    is_new = (level != level.shift()).any(axis=1) | (frame.line != frame.line.shift() + 1)
    runs = frame.assign(last=frame.line).groupby(is_new.cumsum())
    table = runs.agg(dict.fromkeys(["side", "price", "qty", "orders", "line"], "first") | {"last": "last"})
    ends = pd.Series([*times[1:], times[-1] + LINE_MS])
    return table.assign(t_from=table.line.map(pd.Series(times)), t_to=table["last"].map(ends))


def table_by_polars(path: Path) -> "pl.DataFrame":
    """With `read_ndjson` for the lines."""
    import polars as pl

    lines = pl.read_ndjson(io.BytesIO(gzip.decompress(path.read_bytes()))).with_row_index("line")
    t = pl.col("timestamp_utc").str.to_datetime(time_zone="UTC").dt.epoch("ms")
    lines = lines.with_columns(t=t).with_columns(t_next=pl.col("t").shift(-1).fill_null(pl.col("t") + LINE_MS))
    level = pl.col("level").list
    sides = [
        lines.select("line", "t", "t_next", side=pl.lit(side), level=key).explode("level")
        for side, key in (("bid", "bids_top400"), ("ask", "asks_top400"))
    ]
    rows = pl.concat(sides).select(
        "line",
        "t",
        "t_next",
        "side",
        price=level.get(0).cast(pl.Float64),
        qty=level.get(1).cast(pl.Float64),
        orders=level.get(3).cast(pl.Int32),
    )
    rows = rows.sort("side", "price", "line")
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in ("side", "price", "qty", "orders"))
    is_next = pl.col("line") == pl.col("line").shift() + 1
    runs = rows.with_columns(run=(~(same & is_next)).fill_null(True).cum_sum())
    first = [pl.col(name).first() for name in ("side", "price", "qty", "orders")]
    return runs.group_by("run").agg(*first, t_from=pl.col("t").first(), t_to=pl.col("t_next").last())


def table_by_duckdb(path: Path) -> int:
    """With `read_json` for the lines; returns the number of rows of the table it makes."""
    import duckdb

    with duckdb.connect() as database:
        database.execute("CREATE TABLE intervals AS " + _TABLE_SQL.replace("$path", path.as_posix()))
        rows = database.sql("SELECT count(*) FROM intervals").fetchall()
    return int(rows[0][0])


def book_by_scan(path: Path, t_ms: int) -> str | None:
    """The best bid at a moment with `json` alone."""
    until, found = utc_text(t_ms), None
    with gzip.open(path) as lines:
        for line in lines:
            book = json.loads(line)
            if book["timestamp_utc"] > until:
                break
            found = book["best_bid"]
    return found


def book_by_polars(path: Path, t_ms: int) -> str | None:
    import polars as pl

    lines = pl.read_ndjson(io.BytesIO(gzip.decompress(path.read_bytes())))
    until = lines.filter(pl.col("timestamp_utc") <= utc_text(t_ms))
    return str(until["best_bid"][-1]) if len(until) else None


def book_by_duckdb(path: Path, t_ms: int) -> str | None:
    import duckdb

    query = f"SELECT best_bid, bids_top400, asks_top400 FROM {_LINES.replace('$path', path.as_posix())}"
    query += " WHERE timestamp_utc <= ? ORDER BY timestamp_utc DESC LIMIT 1"
    with duckdb.connect() as database:
        rows = database.execute(query, [utc_text(t_ms)]).fetchall()
    return str(rows[0][0]) if rows else None
