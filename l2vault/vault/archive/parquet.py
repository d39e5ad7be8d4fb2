"""The two tables of an hour as Parquet bytes and back. Knows encodings and metadata, no path; needs numpy and pyarrow.

What is small was measured on an hour of real books (benchmarks/bench_reading.py): rows in order of time make the times
nearly free; within one time the prices ascend. Whole numbers split into byte streams halve what decimals or doubles
take, because zstd finds nothing in numbers packed to 11 or 13 bits.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.vault.archive.columns import Ints
from l2vault.vault.archive.intervals import LEVELS, OF_BOOK, OLD_SNAPSHOTS, SNAPSHOTS, is_ask_side
from l2vault.vault.store.forms import why_no_file
from l2vault.vault.store.layout import ArchivedHour

SCHEMA_VERSION: Final = 2
"""Of books: 2, since the snapshots have what most questions need of the levels; of all else 1."""

LONG_LIVED_MS: Final = 60_000
"""Rows that stand longer come last, in row groups of their own, so that the times of the others bound what a query for
one moment must read."""

ROWS_PER_GROUP: Final = 32_768

_PRICE_FACTOR: Final = 4
"""Numerator and denominator of prices are multiplied by it in the file: shifted by two bits, the numbers split into
bytes of which fewer change, a tenth less. (Measured for 1 to 64; quantities and order counts gain nothing.)"""

ZSTD_SMALL: Final = 19
ZSTD_QUICK: Final = 3
_HIGHEST: Final = {"price_num": 15, "qty_num": 15, "orders": 15}
"""The columns that take the time. At 19 an hour of books is 0.1 % smaller and takes 1.1 s in the place of 0.4 s (prices
0.5 % smaller, quantities as large, order counts 1 % larger)."""
_SPLIT: Final = "BYTE_STREAM_SPLIT"
_DELTA: Final = "DELTA_BINARY_PACKED"
_LEVEL_ENCODINGS: Final = {"price_num": _SPLIT, "qty_num": _SPLIT, "orders": _SPLIT}
_SNAPSHOT_ENCODINGS: Final = {
    "timestamp": _DELTA,
    "t_to": _DELTA,
    "seqId": _DELTA,
    "prevSeqId": _DELTA,
    "checksum": _SPLIT,
    **{name: _SPLIT for name in OF_BOOK if SNAPSHOTS.field(name).type == pa.float64()},
}
_MARK: Final = b"l2vault"
_UNITS: Final = {
    "t_from": "ms since 1970-01-01 UTC, exchange time",
    "t_to": "ms since 1970-01-01 UTC, exchange time, exclusive",
    "timestamp": "ms since 1970-01-01 UTC, exchange time",
    "price": "price_num / price_den, exact, in the quote currency",
    "qty": "qty_num / qty_den, exact, in contracts",
    "orders": "orders resting at the price",
    "bids, asks": "levels of the side",
    "best_bid_qty, best_ask_qty": "contracts at the best price, the double nearest to them",
}


class Facts(msgspec.Struct, frozen=True):
    """What the metadata of both files of an hour says; `jsonl_blake2b` is of the lines with their newlines."""

    inst_id: str
    hour_utc: str
    lines: int
    jsonl_bytes: int
    jsonl_blake2b: str
    schema_version: int = 1
    partitions: tuple[str, ...] = ("inst_id", "date")
    exchange: str = "okx"
    market: str = "perp"
    channel: str = "books"
    kind: str = "books"
    units: dict[str, str] = msgspec.field(default_factory=lambda: dict(_UNITS))


def opened(path: Path, by_number: Sequence[str] = ()) -> pq.ParquetFile:
    """One of the two files of an archive. Raises OSError for a pipe, whose reader would wait, too.

    Columns of text named in `by_number` are read as numbers into a list of distinct texts, which costs less.
    """
    trouble = why_no_file(path)
    if trouble:
        raise OSError(f"{path}: {trouble}")
    return pq.ParquetFile(path, read_dictionary=list(by_number))


def hour_text(hour_ms: int) -> str:
    """`2026-01-31T12`: how an hour is named in the metadata."""
    return utc_text(hour_ms)[:13]


def encode_levels(levels: pa.Table, facts: Facts, zstd_level: int = ZSTD_SMALL) -> bytes:
    """Small, and quick to ask for one moment."""
    order, longs_at = _order(levels)
    rows = len(order)
    cuts = sorted({*range(0, longs_at, ROWS_PER_GROUP), *range(longs_at, rows, ROWS_PER_GROUP), rows})
    ordered = _times(levels.take(pa.array(order)), lambda numbers: numbers * _PRICE_FACTOR)
    return encode_table(
        [ordered.slice(at, to - at) for at, to in pairwise(cuts)], LEVELS, _LEVEL_ENCODINGS, facts, zstd_level
    )


def encode_snapshots(snapshots: pa.Table, facts: Facts, zstd_level: int = ZSTD_SMALL) -> bytes:
    return encode_table([snapshots], SNAPSHOTS, _SNAPSHOT_ENCODINGS, facts, zstd_level)


def recompressed(levels: pq.ParquetFile, snapshots: pq.ParquetFile, facts: Facts) -> tuple[bytes, bytes]:
    """The contents of both files of an hour again as small as an archive's are; a row group at a time in memory."""
    return (
        encode_table(_groups(levels, LEVELS), LEVELS, _LEVEL_ENCODINGS, facts, ZSTD_SMALL),
        encode_table(_groups(snapshots, SNAPSHOTS), SNAPSHOTS, _SNAPSHOT_ENCODINGS, facts, ZSTD_SMALL),
    )


def _groups(file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.Table]:
    for group in range(file.num_row_groups):
        yield file.read_row_group(group, use_threads=False).cast(schema)


def read_snapshots(file: pq.ParquetFile) -> pa.Table:
    """Its rows; what files of schema version 1 lack is null. Raises VaultError for other columns."""
    if file.schema_arrow.names == SNAPSHOTS.names:
        return file.read(use_threads=False).cast(SNAPSHOTS)
    if file.schema_arrow.names != OLD_SNAPSHOTS.names:
        raise VaultError("a Parquet file with other columns than those of snapshots.")
    table = file.read(use_threads=False).cast(OLD_SNAPSHOTS)
    lacking = [pa.nulls(len(table), field.type) for field in SNAPSHOTS if field.name not in table.column_names]
    return pa.table([*table.columns, *lacking], schema=SNAPSHOTS)


def facts_of(file: pq.ParquetFile) -> Facts:
    """What a file says of itself; raises VaultError for one that is none of ours, or of a later version."""
    try:
        facts = msgspec.json.decode((file.metadata.metadata or {}).get(_MARK, b""), type=Facts)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise VaultError(f"a Parquet file that is no archive of an hour ({error}).") from error
    if facts.schema_version > SCHEMA_VERSION:
        raise VaultError(f"an archive of schema version {facts.schema_version}.", "a newer version of l2vault")
    return facts


def refuse_other_kind(file: pq.ParquetFile, archived: ArchivedHour) -> None:
    """Raises VaultError for a file of another kind than that of the place in which it lies."""
    if (kind := facts_of(file).kind) != archived.kind:
        raise VaultError(f"an archive of {kind} in the place of one of {archived.kind}.")


def read_levels(file: pq.ParquetFile, groups: Iterable[int] | None = None) -> pa.Table:
    """Its rows, or those of some row groups. A column that holds one value throughout is made, not read."""
    wanted = list(range(file.num_row_groups) if groups is None else groups)
    table, constants = _read_varying(file, wanted)
    columns = {
        name: pa.repeat(pa.scalar(constants[name], LEVELS.field(name).type), len(table))
        if name in constants
        else table[name]
        for name in LEVELS.names
    }
    return _times(pa.table(columns).cast(LEVELS), lambda numbers: numbers // _PRICE_FACTOR)


def _read_varying(file: pq.ParquetFile, groups: list[int]) -> tuple[pa.Table, dict[str, Any]]:
    """The columns that hold more than one value in some row groups, and the values of the others."""
    facts = [file.metadata.row_group(group) for group in groups]
    values = {name: _values(facts, at) for at, name in enumerate(LEVELS.names)}
    constants = {name: next(iter(each)) for name, each in values.items() if len(each) == 1}
    varying = [name for name in LEVELS.names if name not in constants]
    return file.read_row_groups(groups, columns=varying, use_threads=False), constants


def level_rows_at(file: pq.ParquetFile, moment: int) -> dict[str, list[Any]]:
    """The rows that stand at a moment or end at it, as Python values by column.

    Nothing here makes an Arrow value of a Python or numpy one, nor the other way round by `to_numpy`: at the first of
    those pyarrow loads pandas, where that is installed, which takes longer than all the rest (measured: 0.1 s, 40 MB).
    """
    table, constants = _read_varying(file, list(groups_at(file, moment - 1, moment + 1)))
    times = [
        numbers(table[name]) if name not in constants else np.full(len(table), constants[name], np.int64)
        for name in ("t_from", "t_to")
    ]
    stands = (times[0] <= moment) & (times[1] >= moment)
    bits = pa.py_buffer(np.packbits(stands, bitorder="little"))
    found = table.filter(pa.Array.from_buffers(pa.bool_(), len(stands), [None, bits]))
    rows = {name: _plain(found[name]).to_pylist() for name in found.column_names}
    rows |= {name: [value] * int(stands.sum()) for name, value in constants.items()}
    for name in ("price_num", "price_den"):
        rows[name] = [number // _PRICE_FACTOR for number in rows[name]]
    return rows


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same column with its texts in place of their numbers, of which pyarrow makes Python values slowly."""
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type)


def numbers(column: pa.ChunkedArray) -> Ints:
    """A column of 64-bit integers without nulls, straight from its buffers; see `level_rows_at`."""
    parts = [np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset :][: len(chunk)] for chunk in column.chunks]
    return np.concatenate(parts or [np.empty(0, np.int64)])


def read_through(file: pq.ParquetFile) -> None:
    """Decode every row group and keep none; raises what `read_levels` raises where the file is damaged."""
    if file.schema_arrow.names != LEVELS.names:
        raise VaultError("a Parquet file with other columns than those of levels.")
    for group in range(file.num_row_groups):
        file.read_row_group(group, use_threads=False)


def values_of(file: pq.ParquetFile, groups: Iterable[int], name: str) -> set[Any]:
    """The values of a column of levels in some row groups, if the statistics tell all of them; else none."""
    return _values([file.metadata.row_group(group) for group in groups], LEVELS.get_field_index(name))


def _times(levels: pa.Table, change: Callable[[Ints], Ints]) -> pa.Table:
    """The same prices as other fractions."""
    for name in ("price_num", "price_den"):
        changed = pa.array(change(levels[name].to_numpy()))
        levels = levels.set_column(levels.schema.get_field_index(name), LEVELS.field(name), changed)
    return levels


def _values(groups: list[pq.RowGroupMetaData], at: int) -> set[Any]:
    """The values of a column, told by its statistics; empty if they do not tell all of them."""
    values: set[Any] = set()
    for group in groups:
        column = group.column(at)
        facts = column.statistics
        if facts is not None and facts.null_count == column.num_values:
            values.add(None)
        elif facts is None or facts.null_count or not facts.has_min_max or facts.min != facts.max:
            return set()
        else:
            values.add(facts.min)
    return values


def groups_at(file: pq.ParquetFile, from_ms: int, to_ms: int) -> Iterator[int]:
    """The row groups that may hold rows which stand at some moment of `[from_ms, to_ms)`."""
    t_from, t_to = LEVELS.get_field_index("t_from"), LEVELS.get_field_index("t_to")
    for group in range(file.num_row_groups):
        facts = file.metadata.row_group(group)
        if facts.column(t_from).statistics.min < to_ms and facts.column(t_to).statistics.max > from_ms:
            yield group


def _order(levels: pa.Table) -> tuple[npt.NDArray[np.int64], int]:
    """The order of the rows in the file, and where those of long life begin."""
    t_from, t_to = levels["t_from"].to_numpy(), levels["t_to"].to_numpy()
    is_long = t_to - t_from > LONG_LIVED_MS
    order = np.lexsort((levels["price_num"].to_numpy(), is_ask_side(levels), t_to, t_from, is_long))
    return order, int(len(order) - is_long.sum())


def encode_table(
    groups: Iterable[pa.Table],
    schema: pa.Schema,
    encodings: dict[str, str],
    facts: Facts,
    zstd_level: int = ZSTD_SMALL,
) -> bytes:
    """A row group for each table. Columns without an encoding of their own are written by a dictionary."""
    sink = pa.BufferOutputStream()
    settings: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": {name: min(zstd_level, _HIGHEST.get(name, zstd_level)) for name in schema.names},
        "use_dictionary": [name for name in schema.names if name not in encodings],
        "column_encoding": encodings,
        "store_schema": False,
    }
    with pq.ParquetWriter(sink, schema, **settings) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, len(group)))
        writer.add_key_value_metadata({_MARK: msgspec.json.encode(facts)})
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded
