"""The level-interval table: a row for each level for as long as its quantity and order count stay the same.

Knows no file; needs numpy and pyarrow. Rows come from lines (`hour_of_lines`) and give them back byte for byte
(`lines_of_hour`). Times are exchange time, half-open: the book at `t` is `t_from <= t < t_to`.

Rules: a row begins at the time of its first line and ends at the time of the first line without it. Behind a flagged
line, and where a hole lies before the next line, every row ends: at the hole, or 1 ms after its line if that is later.
What still stands at the end of the hour goes on to `after_ms`, the time of the next line of the vault.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.columns import NO_ORDERS, Columns, Ints

SIDES: Final = ("bid", "ask")

_SIDE_TYPE: Final = pa.dictionary(pa.int8(), pa.string())

LEVELS: Final = pa.schema(
    [
        pa.field("side", _SIDE_TYPE, nullable=False),
        pa.field("price_num", pa.int64(), nullable=False),
        pa.field("price_den", pa.int64(), nullable=False),
        pa.field("qty_num", pa.int64(), nullable=False),
        pa.field("qty_den", pa.int64(), nullable=False),
        pa.field("orders", pa.int32()),
        pa.field("t_from", pa.int64(), nullable=False),
        pa.field("t_to", pa.int64(), nullable=False),
        pa.field("nth_from", pa.int32(), nullable=False),
        pa.field("nth_to", pa.int32(), nullable=False),
        pa.field("level_text", pa.string()),
    ]
)
"""`price_num / price_den` is the price, exactly; quantities likewise. `level_text` has the JSON members of a level that
its numbers cannot give back. `nth_from` counts the lines before its first one that have `t_from` or later, negative
for none: 0 unless lines share a time; `nth_to` likewise, of the first line without it."""

SNAPSHOTS: Final = pa.schema(
    [
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("t_to", pa.int64(), nullable=False),
        pa.field("seqId", pa.int64()),
        pa.field("prevSeqId", pa.int64()),
        pa.field("checksum", pa.int64()),
        pa.field("gap_detected", pa.bool_(), nullable=False),
        pa.field("best_bid", pa.float64()),
        pa.field("best_ask", pa.float64()),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("worst_bid", pa.float64()),
        pa.field("worst_ask", pa.float64()),
        pa.field("bids", pa.int32()),
        pa.field("asks", pa.int32()),
        pa.field("best_bid_qty", pa.float64()),
        pa.field("best_ask_qty", pa.float64()),
    ]
)
"""One row per line, in the order of the file; its book stands over `[timestamp, t_to)`.

`worst_*` are the farthest prices of each side, `bids` and `asks` how many levels it has, `best_*_qty` the contracts at
its best price: what most questions need of a book, so that they need no levels. Null all six: not known, since the file
was written before there were such columns; `bids` 0 and the others of the side null: the side is empty."""

OF_BOOK: Final = ("best_bid", "best_ask", *SNAPSHOTS.names[SNAPSHOTS.get_field_index("depth") + 1 :])
"""Those of them that are of the levels of a book; all null where they are not known."""

OLD_SNAPSHOTS: Final = pa.schema([SNAPSHOTS.field(at) for at in range(SNAPSHOTS.get_field_index("depth") + 1)])
"""The columns of files of schema version 1."""


@dataclass(frozen=True, slots=True)
class Hour:
    """The two tables of one instrument and one hour, as the schemas above say; the levels in no order."""

    levels: pa.Table
    snapshots: pa.Table


@dataclass(frozen=True, slots=True)
class _Runs:
    """Level `codes[i]` of a side stands in the lines `[line_from[i], line_to[i])`."""

    codes: npt.NDArray[np.int32]
    is_ask: npt.NDArray[np.bool_]
    line_from: npt.NDArray[np.int32]
    line_to: npt.NDArray[np.int32]


def hour_of_lines(columns: Columns, holes: Sequence[tuple[int, int]], after_ms: int) -> Hour:
    """The tables of lines whose times never go back; `holes` are half-open, in order, disjoint."""
    ts_ms = columns.ts_ms
    ends_ms, is_cut = _reach(ts_ms, columns.gap_detected, holes, after_ms)
    runs = _find_runs(columns, is_cut)
    levels = columns.levels
    t_from = ts_ms[runs.line_from]
    t_to = ends_ms[runs.line_to - 1]
    orders = levels.orders[runs.codes]
    rows = len(runs.codes)
    table = pa.table(
        {
            "side": pa.DictionaryArray.from_arrays(pa.array(runs.is_ask.astype(np.int8)), pa.array(SIDES)),
            "price_num": levels.price.num[runs.codes],
            "price_den": np.full(rows, levels.price.den),
            "qty_num": levels.qty.num[runs.codes],
            "qty_den": np.full(rows, levels.qty.den),
            "orders": pa.array(orders, mask=orders == NO_ORDERS),
            "t_from": t_from,
            "t_to": t_to,
            "nth_from": _nth(ts_ms, t_from, runs.line_from),
            "nth_to": _nth(ts_ms, t_to, runs.line_to),
            "level_text": _texts(levels.texts, runs.codes),
        },
        LEVELS,
    )
    return Hour(table, _snapshots(columns, ends_ms))


def line_bounds(levels: pa.Table, ts_ms: Ints) -> tuple[Ints, Ints]:
    """The lines `[from, to)` of each row, by number in the hour."""
    line_from = np.searchsorted(ts_ms, _ints(levels, "t_from")) + _ints(levels, "nth_from")
    line_to = np.searchsorted(ts_ms, _ints(levels, "t_to")) + _ints(levels, "nth_to")
    return line_from, line_to


def is_ask_side(levels: pa.Table) -> npt.NDArray[np.bool_]:
    is_ask: npt.NDArray[np.bool_] = pc.equal(levels["side"], "ask").to_numpy()
    return is_ask


def _ints(table: pa.Table, name: str) -> Ints:
    column: Ints = table[name].to_numpy()
    return column


def _reach(
    ts_ms: Ints, gap_detected: npt.NDArray[np.bool_], holes: Sequence[tuple[int, int]], after_ms: int
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Until when the book of each line stands, and after which lines nothing carries over to the next."""
    next_ms = np.append(ts_ms[1:], max(after_ms, int(ts_ms[-1]))) if len(ts_ms) else ts_ms
    starts = np.array([start for start, _ in holes] + [np.iinfo(np.int64).max], np.int64)
    ends = np.array([end for _, end in holes], np.int64)
    hole_ms = starts[np.searchsorted(ends, ts_ms, side="right")]
    hole_ms = np.where(gap_detected, ts_ms, hole_ms)
    is_cut = hole_ms < next_ms
    is_cut |= gap_detected
    return np.where(is_cut, np.minimum(np.maximum(hole_ms, ts_ms + 1), next_ms), next_ms), is_cut


def _find_runs(columns: Columns, is_cut: npt.NDArray[np.bool_]) -> _Runs:
    """One pass over the lines, comparing each with the one before by the numbers of its levels."""
    sides = np.repeat(np.tile(np.array([0, 1], np.int32), len(columns.counts)), columns.counts.ravel())
    keys = columns.codes * 2 + sides
    distinct = 2 * len(columns.levels.orders)
    newest = np.full(distinct, -2, np.int32)
    begun = np.zeros(distinct, np.int32)
    ended: list[npt.NDArray[np.int32]] = []
    begins: list[npt.NDArray[np.int32]] = []
    ends: list[int] = []
    standing = np.empty(0, np.int32)
    at = 0
    for line, to in enumerate(np.cumsum(columns.counts.sum(axis=1)).tolist()):
        here = keys[at:to]
        is_fresh = line == 0 or is_cut[line - 1]
        new = here if is_fresh else here[newest[here] != line - 1]
        newest[here] = line
        gone = standing if is_fresh else standing[newest[standing] != line]
        ended.append(gone)
        begins.append(begun[gone])
        ends.append(line)
        begun[new] = line
        standing, at = here, to
    ended.append(standing)
    begins.append(begun[standing])
    ends.append(len(columns.counts))
    all_ended = np.concatenate(ended)
    line_to = np.repeat(np.array(ends, np.int32), [len(part) for part in ended])
    return _Runs(all_ended >> 1, (all_ended & 1).astype(np.bool_), np.concatenate(begins), line_to)


def _nth(ts_ms: Ints, t_ms: Ints, line: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return (line - np.searchsorted(ts_ms, t_ms)).astype(np.int32)


def _texts(texts: dict[int, str], codes: npt.NDArray[np.int32]) -> pa.Array:
    if not texts:
        return pa.nulls(len(codes), pa.string())
    return pa.array([texts.get(code) for code in codes.tolist()], pa.string())


def _snapshots(columns: Columns, ends_ms: Ints) -> pa.Table:
    prices = columns.levels.price
    filled = columns.counts > 0
    quantities = columns.levels.qty
    first = np.concatenate([[0], np.cumsum(columns.counts.ravel())])[:-1].reshape(-1, 2)[filled]
    best, worst, qty = np.zeros((3, *filled.shape))
    best[filled] = prices.num[columns.codes[first]] / prices.den
    worst[filled] = prices.num[columns.codes[first + columns.counts[filled] - 1]] / prices.den
    qty[filled] = quantities.num[columns.codes[first]] / quantities.den
    return pa.table(
        {
            "timestamp": columns.ts_ms,
            "t_to": ends_ms,
            "seqId": pa.array(columns.seq_id, pa.int64()),
            "prevSeqId": pa.array(columns.prev_seq_id, pa.int64()),
            "checksum": pa.array(columns.checksum, pa.int64()),
            "gap_detected": columns.gap_detected,
            "depth": columns.depth.astype(np.int32),
            **{
                name.format(side): pa.array(values[:, at], mask=~filled[:, at])
                for name, values in (("best_{}", best), ("worst_{}", worst), ("best_{}_qty", qty))
                for at, side in enumerate(SIDES)
            },
            **{f"{side}s": columns.counts[:, at].astype(np.int32) for at, side in enumerate(SIDES)},
        },
        SNAPSHOTS,
    )
