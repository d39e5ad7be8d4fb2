"""From the two tables of an hour back to its lines, byte for byte; the inverse of `levels`. Needs numpy and pyarrow."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l2vault.book.change import Level
from l2vault.book.snapshot import Snapshot
from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.columns import NO_ORDERS, Ints, plain_text
from l2vault.vault.archive.intervals import Hour, is_ask_side, line_bounds
from l2vault.vault.store.line import with_levels

_LEVEL_DECODER: Final = msgspec.json.Decoder(Level)
_HEADS: Final = ["timestamp", "depth", "checksum", "seqId", "prevSeqId", "gap_detected"]
_BETWEEN_LEVELS: Final = "],["
_MOST_SHORT_NUMBERS: Final = 1 << 16
"""numpy sorts 16-bit numbers by radix, which takes a tenth of the time of a sort by comparison."""


def lines_of_hour(hour: Hour, inst_id: str) -> list[bytes]:
    """The lines, without newlines, in the order in which they stood in the file."""
    ts_ms = hour.snapshots["timestamp"].to_numpy()
    sides, best = _sides(hour, len(ts_ms))
    rows = hour.snapshots.select(_HEADS).to_pylist()
    return [_line(row, inst_id, sides[2 * at : 2 * at + 2], best[2 * at : 2 * at + 2]) for at, row in enumerate(rows)]


def books_of_hour(hour: Hour, inst_id: str, span: tuple[int, int]) -> Iterator[Snapshot]:
    """The books of the lines with a time in the span, as `from_line` would read them, in their order; no line is made.
    The levels may be only those that bear on the span."""
    ts_ms = hour.snapshots["timestamp"].to_numpy()
    first, past = (int(np.searchsorted(ts_ms, at)) for at in span)
    rows, offsets = _ranked(hour.levels, ts_ms, (first, past))
    levels, bounds = _level_tuples(hour.levels), offsets.tolist()
    return (
        _book(row, inst_id, levels[rows[opens:between]].tolist(), levels[rows[between:closes]].tolist())
        for row, opens, between, closes in zip(
            hour.snapshots.select(_HEADS).slice(first, past - first).to_pylist(),
            bounds[::2],
            bounds[1::2],
            bounds[2::2],
            strict=False,
        )
    )


def _level_tuples(levels: pa.Table) -> npt.NDArray[np.object_]:
    """Each level as its four strings; of equal ones the strings are the same objects."""
    numbers = levels["orders"].combine_chunks().fill_null(NO_ORDERS).dictionary_encode()
    texts = ["" if number == NO_ORDERS else str(number) for number in numbers.dictionary.to_pylist()]
    orders = pa.DictionaryArray.from_arrays(numbers.indices, pa.array(texts, pa.string()))
    members = zip(
        _distinct(_decimals(levels, "price")),
        _distinct(_decimals(levels, "qty")),
        repeat("0"),
        _distinct(orders),
        strict=False,
    )
    found = np.fromiter(members, np.object_, len(levels))
    odd = pc.is_valid(levels["level_text"]).to_numpy().nonzero()[0]
    for at, text in zip(odd.tolist(), levels["level_text"].take(pa.array(odd)).to_pylist(), strict=True):
        found[at] = levels_of([text])[0]
    return found


def _distinct(texts: pa.DictionaryArray) -> list[str]:
    made: list[str] = np.array(texts.dictionary.to_pylist(), np.object_)[texts.indices.to_numpy()].tolist()
    return made


def level_texts(levels: pa.Table) -> pa.Array:
    """The JSON members of each level, `"price","qty","0","orders"`."""
    prices = _decimals(levels, "price").dictionary_decode()
    quantities = _decimals(levels, "qty").dictionary_decode()
    orders = pc.cast(levels["orders"], pa.string()).combine_chunks().fill_null("")
    texts = pc.binary_join_element_wise('"', prices, '","', quantities, '","0","', orders, '"', "")
    return pc.coalesce(levels["level_text"].combine_chunks(), texts)


def levels_of(texts: list[str]) -> list[Level]:
    """Levels from their JSON members."""
    return [_LEVEL_DECODER.decode(f"[{text}]") for text in texts]


def _decimals(levels: pa.Table, name: str) -> pa.DictionaryArray:
    """Each distinct number becomes text once."""
    encoded = levels[f"{name}_num"].combine_chunks().dictionary_encode()
    den = levels[f"{name}_den"][0].as_py() if len(levels) else 1
    texts = pa.array([plain_text(num, den) for num in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, texts)


def _sides(hour: Hour, lines: int) -> tuple[list[str], list[str]]:
    """The levels of each side of each line, best first: all of them joined, and the best alone; empty where none."""
    rows, offsets = _ranked(hour.levels, hour.snapshots["timestamp"].to_numpy(), (0, lines))
    texts = level_texts(hour.levels).take(pa.array(rows))
    joined = pc.binary_join(pa.LargeListArray.from_arrays(pa.array(offsets), texts), _BETWEEN_LEVELS)
    first = pa.array(offsets[:-1], mask=np.diff(offsets) == 0)
    return joined.to_pylist(), texts.take(first).fill_null("").to_pylist()


def _ranked(levels: pa.Table, ts_ms: Ints, lines: tuple[int, int]) -> tuple[npt.NDArray[np.int32], Ints]:
    """The rows that stand in each of the lines `[lines[0], lines[1])`, bids, then asks, best first; and where in them
    each side of each line begins, with the end of the last."""
    is_ask = is_ask_side(levels)
    order = _best_first(is_ask, levels["price_num"].combine_chunks())
    line_from, line_to = (np.clip(bound, *lines) - lines[0] for bound in line_bounds(levels, ts_ms))
    times, count = (line_to - line_from)[order], lines[1] - lines[0]
    line = _each_line(line_from[order], times)
    if count < _MOST_SHORT_NUMBERS:
        line = line.astype(np.uint16)
    rows = np.repeat(order.astype(np.int32), times)[np.argsort(line, kind="stable")]
    bids = int(times[: len(order) - np.count_nonzero(is_ask)].sum())  # they come first
    counts = np.column_stack([np.bincount(own, minlength=count) for own in (line[:bids], line[bids:])])
    return rows, np.concatenate([[0], np.cumsum(counts)])


def _best_first(is_ask: npt.NDArray[np.bool_], prices: pa.Array) -> Ints:
    """The order of rows that puts bids before asks, and of each side the best price first."""
    encoded = prices.dictionary_encode()
    distinct = len(encoded.dictionary)
    rank = np.empty(distinct, np.int64)
    rank[np.argsort(encoded.dictionary.to_numpy())] = np.arange(distinct)
    own = rank[encoded.indices.to_numpy()]
    place = np.where(is_ask, own + distinct, distinct - 1 - own)
    order: Ints = np.argsort(place.astype(np.uint16) if 2 * distinct < _MOST_SHORT_NUMBERS else place, kind="stable")
    return order


def _each_line(first: Ints, counts: Ints) -> Ints:
    """`first[0], first[0] + 1, ..` for `counts[0]` numbers, then the next row's lines."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Ints = np.repeat(first - (ends - counts), counts)
    numbers += np.arange(total)
    return numbers


def _line(row: dict[str, Any], inst_id: str, sides: list[str], best: list[str]) -> bytes:
    """The line of a book of only the best levels, with all the levels put in their place."""
    short = _book(row, inst_id, *([_LEVEL_DECODER.decode(f"[{text}]")] if text else [] for text in best))
    return with_levels(short, *(f"[{text}]".encode() if text else b"" for text in sides))


def _book(row: dict[str, Any], inst_id: str, bids: list[Level], asks: list[Level]) -> Snapshot:
    """The book of a row of the snapshots with these levels."""
    return Snapshot(
        inst_id,
        row["timestamp"],
        row["depth"],
        bids,
        asks,
        row["checksum"],
        row["seqId"],
        row["prevSeqId"],
        row["gap_detected"],
    )
