"""Lines of book changes as two tables, and these as the lines again, byte for byte. Knows no file.

A row for each message and one for each level in it, in the order of the line: re-sends, and deletes of prices that are
not there, included. What is not exactly as `to_change_line` writes it is refused. Needs numpy and pyarrow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l2vault.book.change import BookChange, Level
from l2vault.book.change_line import RecordedChange, from_change_line, to_change_line
from l2vault.errors import LineError
from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.columns import NO_ORDERS, Ints, distinct_levels
from l2vault.vault.archive.intervals import SIDES
from l2vault.vault.archive.rebuild import level_texts
from l2vault.vault.store.line import read_as

ORIGINS: Final = ("ws", "rest", "book")

_SHORT_TEXT: Final = pa.dictionary(pa.int8(), pa.string())

EVENTS: Final = pa.schema(
    [
        pa.field("message", pa.int32(), nullable=False),
        pa.field("side", _SHORT_TEXT, nullable=False),
        pa.field("price_num", pa.int64(), nullable=False),
        pa.field("price_den", pa.int64(), nullable=False),
        pa.field("qty_num", pa.int64(), nullable=False),
        pa.field("qty_den", pa.int64(), nullable=False),
        pa.field("orders", pa.int32()),
        pa.field("place", pa.int32()),
        pa.field("level_text", pa.string()),
    ]
)
"""A row for each level of each message: `message` is the number of its row in MESSAGES, from 0. `price_num / price_den`
is the price, exactly; quantities likewise, 0 deletes. `place` counts the levels before it in its message, and is null
where all of that stand as OKX sends them: asks ascending, then bids descending. `level_text` has the JSON members of a
level that its numbers cannot give back."""

MESSAGES: Final = pa.schema(
    [
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("ts", pa.int64()),
        pa.field("is_full", pa.bool_(), nullable=False),
        pa.field("seqId", pa.int64()),
        pa.field("prevSeqId", pa.int64()),
        pa.field("checksum", pa.int64()),
        pa.field("recv_us", pa.int64(), nullable=False),
        pa.field("origin", _SHORT_TEXT, nullable=False),
        pa.field("feed", pa.int64(), nullable=False),
    ]
)
"""A row for each line, in the order of the file, with its values; `timestamp` is `timestamp_utc`, `ts` null where the
message carried no time, `is_full` where it is a full book."""

_NO_LEVELS: Final = b'"asks":[],"bids":[],"ts":"'
_BETWEEN_LEVELS: Final = "],["


@dataclass(frozen=True, slots=True)
class ChangeTables:
    """The lines of one instrument and hour; the rows of `events` in the order of the lines."""

    messages: pa.Table
    events: pa.Table


def read_changes(lines: Sequence[bytes], inst_id: str) -> ChangeTables:
    """The tables of lines without newlines. Raises LineError, without saying where, if any is not as it should be."""
    return tables_of(_exact(line, inst_id) for line in lines)


def tables_of(changes: Iterable[RecordedChange]) -> ChangeTables:
    """The tables of changes of one instrument, which are let go one by one. Raises LineError for a level that no table
    can hold."""
    numbers: dict[Level, int] = {}
    codes: list[int] = []
    counts: list[tuple[int, int]] = []
    heads: list[tuple[object, ...]] = []
    for recorded in changes:
        change = recorded.change
        counts.append((len(change.asks), len(change.bids)))
        codes += [numbers.setdefault(level, len(numbers)) for level in (*change.asks, *change.bids)]
        heads.append(_head(recorded))
    sizes = np.array(counts, np.int64).reshape(-1, 2)
    return ChangeTables(_messages(heads), _events(list(numbers), np.array(codes, np.int64), sizes))


def changes_of(tables: ChangeTables, inst_id: str) -> list[bytes]:
    """The lines, without newlines, in the order of the file."""
    number = tables.events["message"].to_numpy()
    is_bid = pc.equal(tables.events["side"], "bid").to_numpy()
    bounds = np.searchsorted(number * 2 + is_bid, np.arange(2 * len(tables.messages) + 1))
    texts = level_texts(tables.events)
    joined = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(bounds), texts), _BETWEEN_LEVELS).to_pylist()
    rows = tables.messages.to_pylist()
    return [_line(row, inst_id, *joined[2 * at : 2 * at + 2]) for at, row in enumerate(rows)]


def _exact(line: bytes, inst_id: str) -> RecordedChange:
    recorded = read_as(line, inst_id, from_change_line)
    if to_change_line(recorded) != line:
        raise LineError("a line of book changes with other keys, or in another spelling, than this version writes")
    return recorded


def _head(recorded: RecordedChange) -> tuple[object, ...]:
    """A row of MESSAGES, its origin as a number."""
    change = recorded.change
    numbers = change.seq_id, change.prev_seq_id, change.checksum, change.recv_us
    return recorded.ts_ms, change.ts_ms, change.is_snapshot, *numbers, ORIGINS.index(recorded.origin), recorded.feed


def _messages(heads: list[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*heads, strict=True)) if heads else [()] * len(MESSAGES)
    types = [pa.int8() if field.name == "origin" else field.type for field in MESSAGES]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    at = MESSAGES.get_field_index("origin")
    arrays[at] = pa.DictionaryArray.from_arrays(arrays[at], pa.array(ORIGINS))
    return pa.table(arrays, schema=MESSAGES)


def _events(levels: list[Level], codes: Ints, counts: Ints) -> pa.Table:
    known = distinct_levels(levels)
    number = np.repeat(np.arange(len(counts), dtype=np.int32), counts.sum(axis=1))
    is_ask = np.repeat(np.tile(np.array([1, 0], np.int8), len(counts)), counts.ravel())
    orders = known.orders[codes]
    price = known.price.num[codes]
    texts = pa.nulls(len(codes), pa.string())
    if known.texts:
        texts = pa.array([known.texts.get(code) for code in codes.tolist()], pa.string())
    return pa.table(
        {
            "message": number,
            "side": pa.DictionaryArray.from_arrays(pa.array(is_ask), pa.array(SIDES)),
            "price_num": price,
            "price_den": np.full(len(codes), known.price.den),
            "qty_num": known.qty.num[codes],
            "qty_den": np.full(len(codes), known.qty.den),
            "orders": pa.array(orders, mask=orders == NO_ORDERS),
            "place": _places(number, is_ask, price),
            "level_text": texts,
        },
        EVENTS,
    )


def _places(number: npt.NDArray[np.int32], is_ask: npt.NDArray[np.int8], price: Ints) -> pa.Array:
    """Of the levels of the messages that are in another order than OKX's."""
    rank = np.where(is_ask == 1, price, -price)
    is_same_side = (number[1:] == number[:-1]) & (is_ask[1:] == is_ask[:-1])
    odd = number[1:][is_same_side & (rank[1:] <= rank[:-1])]
    if not len(odd):
        return pa.nulls(len(number), pa.int32())
    places = np.arange(len(number)) - np.searchsorted(number, number)
    return pa.array(places.astype(np.int32), mask=~np.isin(number, odd))


def in_order(events: pa.Table) -> pa.Table:
    """Rows in the order of the lines, whatever order they come in."""
    price = events["price_num"].to_numpy()
    is_ask = pc.equal(events["side"], "ask").to_numpy()
    rank, is_bid = np.where(is_ask, price, -price), ~is_ask
    if events["place"].null_count < len(events):
        place = events["place"].to_numpy(zero_copy_only=False)
        is_placed = ~np.isnan(place)
        rank, is_bid = np.where(is_placed, np.nan_to_num(place), rank), is_bid & ~is_placed
    order = np.lexsort((rank, is_bid, events["message"].to_numpy()))
    return events.take(pa.array(order))


def _line(row: dict[str, Any], inst_id: str, asks: str, bids: str) -> bytes:
    """The line of a message without levels, with all of them put in their place."""
    change = BookChange(
        inst_id,
        row["is_full"],
        [],
        [],
        row["ts"],
        row["seqId"],
        row["prevSeqId"],
        row["checksum"],
        row["recv_us"],
    )
    head, found, tail = to_change_line(RecordedChange(row["timestamp"], change, row["origin"], row["feed"])).partition(
        _NO_LEVELS
    )
    assert found
    sides = (f"[{text}]" if text else "" for text in (asks, bids))
    return b"".join((head, '"asks":[{}],"bids":[{}],"ts":"'.format(*sides).encode(), tail))
