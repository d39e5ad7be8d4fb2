"""Rows of an answer as an Arrow stream: the columns of each kind of row, and what else the answer says. Pure.

The stream's schema has the metadata `about`: the answer's JSON without its rows, its coverage among it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import pyarrow as pa

ARROW: Final = "application/vnd.apache.arrow.stream"
TIME: Final = pa.timestamp("ms", "UTC")

_LEVELS: Final = pa.list_(pa.struct([("price", pa.float64()), ("contracts", pa.float64()), ("orders", pa.int64())]))
_LIVES: Final = pa.list_(pa.struct([("t_from", TIME), ("t_to", TIME), ("price", pa.float64())]))

BOOKS: Final = pa.schema(
    [
        ("book_ms", TIME),
        ("bids", _LEVELS),
        ("asks", _LEVELS),
        ("depth", pa.int64()),
        ("is_flagged", pa.bool_()),
        ("origin", pa.string()),
    ]
)
WALLS: Final = pa.schema(
    [
        ("track", pa.int64()),
        *((name, pa.string()) for name in ("side", "began", "end", "end_from")),
        ("price", pa.float64()),
        *((name, TIME) for name in ("t_from", "t_to")),
        *((name, pa.int64()) for name in ("seen_ms", "moves")),
        *((name, pa.float64()) for name in ("peak", "mean", "size_end", "orders", "weight", "times_usual")),
        *((name, pa.float64()) for name in ("nearest_bps", "standing_bps", "filled_at_touch_share")),
        *((name, pa.float64()) for name in ("consumed_share", "traded", "cancelled")),
        ("refilled", pa.bool_()),
        ("lives", _LIVES),
    ]
)
ZONES: Final = pa.schema(
    [
        ("side", pa.string()),
        *((name, pa.float64()) for name in ("price_from", "price_to", "size", "peak", "orders", "strength")),
        *((name, pa.float64()) for name in ("persistence", "seen_share", "score", "distance_bps")),
        *((name, pa.int64()) for name in ("tests", "holds", "breaks")),
        *((name, TIME) for name in ("t_first", "t_last")),
        ("is_current", pa.bool_()),
    ]
)
TRADES: Final = pa.schema(
    [
        ("time", TIME),
        ("price", pa.float64()),
        ("contracts", pa.float64()),
        ("side", pa.string()),
        ("origin", pa.string()),
    ]
)
HOLES: Final = pa.schema(
    [("from", TIME), ("to", TIME), ("kind", pa.string()), ("cause", pa.string()), ("slots", pa.int64())]
)
FLOWSURFACE: Final = pa.schema(
    [("ts", pa.int64()), ("price", pa.float64()), ("qty", pa.float64()), ("is_sell", pa.bool_())]
)
"""Of `/trades.arrow`, as flowsurface's server has it (its README, read 2026-11-26)."""


def as_arrow(rows: Sequence[object], schema: pa.Schema, about: Mapping[str, object]) -> bytes:
    """Rows by name or in the order of the schema; those by name may have more, which is left out."""
    columns = [
        pa.array([_typed(_of(row, at, field.name), field.type) for row in rows], field.type)
        for at, field in enumerate(schema)
    ]
    said = {"about": msgspec.json.encode(about)}
    return stream_of(pa.table(columns, schema=schema.with_metadata(said)))


def stream_of(table: pa.Table) -> bytes:
    """The table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _of(row: object, at: int, name: str) -> object:
    if isinstance(row, Mapping):
        return row.get(name)
    assert isinstance(row, Sequence)
    return row[at]


def _typed(value: object, kind: pa.DataType) -> object:
    """Rows within a row become what Arrow calls a struct."""
    if not pa.types.is_list(kind) or value is None:
        return value
    names = [kind.value_type.field(at).name for at in range(kind.value_type.num_fields)]
    assert isinstance(value, Sequence)
    return [dict(zip(names, each, strict=True)) for each in value]
