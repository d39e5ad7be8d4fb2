"""The level-interval table at the resolution of messages: changes of an hour as rows that last while a level does.

The rules of what follows what are those of `book/replay.py`, here for all messages at once. Knows no file; needs numpy
and pyarrow.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.vault.archive.change_columns import ChangeTables
from l2vault.vault.archive.columns import Ints
from l2vault.vault.archive.intervals import LEVELS, SIDES, SNAPSHOTS, Hour

Bools = npt.NDArray[np.bool_]

_NONE: Final = np.iinfo(np.int64).min
"""Stands for a number that a message did not carry. OKX's are positive, or -1."""


class Steps(NamedTuple):
    """Of each message: whether a book is known once it is applied, and whether the book before stood until then."""

    is_known: Bools
    follows: Bools


def steps_of(tables: ChangeTables) -> Steps:
    """What the messages prove; the first one follows nothing here."""
    messages, count = tables.messages, len(tables.messages)
    is_full = messages["is_full"].to_numpy()
    ts_ms = messages["timestamp"].to_numpy()
    seq, prev = (messages[name].fill_null(_NONE).to_numpy() for name in ("seqId", "prevSeqId"))
    has_levels = np.bincount(tables.events["message"].to_numpy(), minlength=count) > 0
    before = np.concatenate([[_NONE], seq[:-1]]) if count else seq
    is_chained = (prev == before) & ~((seq == prev) & (seq != _NONE) & has_levels)
    # From a full book on every update must be chained; one that is not ends what is known up to the next full one.
    broken = np.cumsum(~is_full & ~is_chained)
    begun = np.cumsum(is_full)
    at_full = np.concatenate([[0], broken[is_full]])[begun]
    is_known = (begun > 0) & (broken == at_full)
    is_known_before = np.concatenate([[False], is_known[:-1]]) if count else is_known
    is_own = pc.equal(messages["origin"], "book").to_numpy()
    is_at_once = np.concatenate([[False], ts_ms[1:] == ts_ms[:-1]]) if count else is_own
    goes_on = np.where(is_full, is_own & (is_at_once | ((seq == before) & (seq != _NONE))), is_chained)
    return Steps(is_known, is_known & is_known_before & goes_on)


def hour_of_changes(tables: ChangeTables, after_ms: int | None) -> Hour:
    """The two tables of changes whose times never go back. The last book stands until `after_ms`, the time of a line
    that follows it; None: until 1 ms after its own."""
    steps = steps_of(tables)
    ends_ms = _ends(tables.messages["timestamp"].to_numpy(), steps, after_ms)
    return Hour(_levels(tables, steps, ends_ms), _snapshots(tables.messages, steps, ends_ms))


def _ends(ts_ms: Ints, steps: Steps, after_ms: int | None) -> Ints:
    """Until when the book of each message stands."""
    if not len(ts_ms):
        return ts_ms
    next_ms = np.append(ts_ms[1:], ts_ms[-1] + 1 if after_ms is None else max(after_ms, int(ts_ms[-1])))
    goes_on = np.append(steps.follows[1:], after_ms is not None)
    ends: Ints = np.where(goes_on, next_ms, np.minimum(ts_ms + 1, next_ms))
    return ends


def _levels(tables: ChangeTables, steps: Steps, ends_ms: Ints) -> pa.Table:
    """Events of known messages, each lasting to the next of its price, or to the next full book; then equal rows that
    touch become one."""
    events = tables.events
    message = events["message"].to_numpy()
    is_used = steps.is_known[message]
    events, message = events.filter(pa.array(is_used)), message[is_used]
    ts_ms = tables.messages["timestamp"].to_numpy()
    is_full = tables.messages["is_full"].to_numpy()
    part = np.cumsum(is_full)[message]
    side = pc.equal(events["side"], "ask").to_numpy().astype(np.int8)
    price, qty = events["price_num"].to_numpy(), events["qty_num"].to_numpy()
    orders = events["orders"].fill_null(-1).to_numpy()
    order = np.lexsort((message, price, side, part))  # stable: of a price that stands twice in a message the last counts
    message, part, side, price, qty, orders = (each[order] for each in (message, part, side, price, qty, orders))
    last = _last_of_parts(steps, is_full)[part]
    is_next_same = np.append(
        (part[1:] == part[:-1]) & (side[1:] == side[:-1]) & (price[1:] == price[:-1]), False
    ) if len(part) else np.zeros(0, np.bool_)
    t_from = ts_ms[message]
    t_to = np.where(is_next_same, np.append(t_from[1:], 0), ends_ms[last])
    kept = (qty > 0) & (t_from < t_to)
    columns = (side[kept], price[kept], qty[kept], orders[kept], t_from[kept], t_to[kept])
    return _table(*_merged(*columns), _den(events, "price_den"), _den(events, "qty_den"))


def _last_of_parts(steps: Steps, is_full: Bools) -> Ints:
    """By the number of a part, from one full book to the next: its last message of which a book is known."""
    part = np.cumsum(is_full)
    last = np.zeros(int(part[-1]) + 1 if len(part) else 1, np.int64)
    known = np.flatnonzero(steps.is_known)
    last[part[known]] = known  # ascending, so the last one stays
    return last


def _merged(*columns: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], ...]:
    """Rows of one level that touch, as one: a re-send changes nothing, nor does a full book."""
    side, price, qty, orders, t_from, t_to = columns
    order = np.lexsort((t_from, orders, qty, price, side))
    side, price, qty, orders, t_from, t_to = (each[order] for each in columns)
    if not len(order):
        return columns
    same = (t_to[:-1] == t_from[1:]) & (side[1:] == side[:-1]) & (price[1:] == price[:-1])
    same &= (qty[1:] == qty[:-1]) & (orders[1:] == orders[:-1])
    first, last = np.append(True, ~same), np.append(~same, True)
    return side[first], price[first], qty[first], orders[first], t_from[first], t_to[last]


def _table(*columns: object) -> pa.Table:
    side, price, qty, orders, t_from, t_to, price_den, qty_den = columns
    rows = len(side)  # type: ignore[arg-type]
    zeros = np.zeros(rows, np.int32)
    return pa.table(
        {
            "side": pa.DictionaryArray.from_arrays(pa.array(side), pa.array(SIDES)),
            "price_num": price,
            "price_den": np.full(rows, price_den),
            "qty_num": qty,
            "qty_den": np.full(rows, qty_den),
            "orders": pa.array(orders, mask=orders == -1),  # type: ignore[operator]
            "t_from": t_from,
            "t_to": t_to,
            "nth_from": zeros,
            "nth_to": zeros,
            "level_text": pa.nulls(rows, pa.string()),
        },
        LEVELS,
    )


def _den(events: pa.Table, name: str) -> int:
    den: int = events[name][0].as_py() if len(events) else 1
    return den


def _snapshots(messages: pa.Table, steps: Steps, ends_ms: Ints) -> pa.Table:
    count = len(messages)
    table = pa.table(
        {
            "timestamp": messages["timestamp"],
            "t_to": ends_ms,
            "seqId": messages["seqId"],
            "prevSeqId": messages["prevSeqId"],
            "checksum": messages["checksum"],
            "gap_detected": np.zeros(count, np.bool_),
            "best_bid": pa.nulls(count, pa.float64()),
            "best_ask": pa.nulls(count, pa.float64()),
            "depth": np.full(count, CHANNEL_DEPTH, np.int32),
        },
        SNAPSHOTS,
    )
    return table.filter(pa.array(steps.is_known))
