"""The level-interval table at the resolution of messages: changes of an hour as rows that last while a level does.

The rules of what follows what are those of `book/replay.py`, here for all messages at once. Knows no file; needs numpy
and pyarrow.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.change_columns import ChangeTables
from l2vault.vault.archive.columns import Ints
from l2vault.vault.archive.intervals import LEVELS, OF_BOOK, SIDES, SNAPSHOTS, Hour

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


class _Rows(NamedTuple):
    """Level rows, each column as LEVELS names it; `orders` is -1 where OKX sent no number."""

    side: npt.NDArray[np.int8]
    price: Ints
    qty: Ints
    orders: Ints
    t_from: Ints
    t_to: Ints

    def take(self, which: Ints | Bools) -> "_Rows":
        side, price, qty, orders, t_from, t_to = self
        return _Rows(side[which], price[which], qty[which], orders[which], t_from[which], t_to[which])


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
    is_full = tables.messages["is_full"].to_numpy()
    part = np.cumsum(is_full)[message]
    begins = tables.messages["timestamp"].to_numpy()[message]
    rows = _Rows(
        pc.equal(events["side"], "ask").to_numpy().astype(np.int8),
        events["price_num"].to_numpy(),
        events["qty_num"].to_numpy(),
        events["orders"].cast(pa.int64()).fill_null(-1).to_numpy(),
        begins,
        ends_ms[_last_of_parts(steps, is_full)[part]],
    )
    # Stable: of a price that stands twice in a message the last one counts.
    order = np.lexsort((message, rows.price, rows.side, part))
    rows, part = rows.take(order), part[order]
    is_same = (part[1:] == part[:-1]) & (rows.side[1:] == rows.side[:-1]) & (rows.price[1:] == rows.price[:-1])
    rows.t_to[:-1][is_same] = rows.t_from[1:][is_same]
    stands = (rows.qty > 0) & (rows.t_from < rows.t_to)
    return _table(_merged(rows.take(stands)), _den(events, "price_den"), _den(events, "qty_den"))


def _last_of_parts(steps: Steps, is_full: Bools) -> Ints:
    """By the number of a part, from one full book to the next: its last message of which a book is known."""
    part = np.cumsum(is_full)
    last = np.zeros(int(part[-1]) + 1 if len(part) else 1, np.int64)
    known = np.flatnonzero(steps.is_known)
    last[part[known]] = known  # ascending, so the last one stays
    return last


def _merged(rows: _Rows) -> _Rows:
    """Rows of one level that touch, as one: a re-send changes nothing, nor does a full book."""
    if not len(rows.side):
        return rows
    rows = rows.take(np.lexsort((rows.t_from, rows.orders, rows.qty, rows.price, rows.side)))
    is_same = rows.t_to[:-1] == rows.t_from[1:]
    for column in (rows.side, rows.price, rows.qty, rows.orders):
        is_same &= column[1:] == column[:-1]
    first, last = np.append(True, ~is_same), np.append(~is_same, True)
    return rows.take(first)._replace(t_to=rows.t_to[last])


def _table(rows: _Rows, price_den: int, qty_den: int) -> pa.Table:
    count = len(rows.side)
    zeros = np.zeros(count, np.int32)
    return pa.table(
        {
            "side": pa.DictionaryArray.from_arrays(pa.array(rows.side), pa.array(SIDES)),
            "price_num": rows.price,
            "price_den": np.full(count, price_den),
            "qty_num": rows.qty,
            "qty_den": np.full(count, qty_den),
            "orders": pa.array(rows.orders.astype(np.int32), mask=rows.orders == -1),
            "t_from": rows.t_from,
            "t_to": rows.t_to,
            "nth_from": zeros,
            "nth_to": zeros,
            "level_text": pa.nulls(count, pa.string()),
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
            "depth": np.full(count, CHANNEL_DEPTH, np.int32),
            **{name: pa.nulls(count, SNAPSHOTS.field(name).type) for name in OF_BOOK},
        },
        SNAPSHOTS,
    )
    return table.filter(pa.array(steps.is_known))
