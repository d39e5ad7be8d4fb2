"""What changed from one book to the next, level by level, and why as far as two books can tell. Pure.

Two books do not show what happened between them: see `CAUSES` for what each word claims.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import Bools, Ints, decimals_of
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.interval_rows import GOLDEN, Numbers, Piece, order_of
from l2vault.analytics.one_book import BPS, MOVE_BPS, ROUNDING_BPS

CAUSES: Final = ("added", "pulled", "consumed", "moved_in", "moved_out", "entered_view", "left_view")
"""- `entered_view`, `left_view`: the visible range of a full side came to the price, or left it; it may
  rest there all along.
- `consumed`: it left at the later book's best price or beyond, or its whole side did: the market was there. Whether an
  order was hit, or withdrawn in time, only trades could tell.
- `moved_out`, `moved_in`: exactly so many contracts left one price and came to another, at most `MOVE_BPS` away.
- `pulled`, `added`: all else that left or came."""

ADDED, PULLED, CONSUMED, MOVED_IN, MOVED_OUT, ENTERED_VIEW, LEFT_VIEW = range(len(CAUSES))

_PARTS: Final = 10**8
"""Amounts are compared as whole numbers of so many parts of a contract, which differences of decimals are not."""

_MIXER: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_ROWS_AT_ONCE: Final = 1 << 16
"""What is looked up among so many rows stays near the processor: measured, half the time of an hour's at once. It is
looked up by `take`, which needs two thirds of the time of an index."""
_TABLE_BITS: Final = 18
_HASH_BITS: Final = 32
"""So that two sorts by radix do: of thirty thousand amounts two that differ have the same hash once in ten times."""


Causes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Changes:
    """A row per price at which a linked book differs from the one before it, in no order."""

    book: "Ints | Numbers"
    """`(changes,)`, int64 or int32: the row of the later book."""
    cause: Causes
    """`(changes,)`, int8: its place in `CAUSES`."""
    size: Floats
    """`(changes,)`, float64, in the unit asked for, above 0 whatever the cause."""
    distance_bps: Floats
    """`(changes,)`, float64: from the earlier book's mid, negative for a price beyond it."""


def row_changes(piece: Piece, unit: Unit) -> Iterator[tuple[Changes, Bools]]:
    """The same of both sides at once, of rows that last over several books: only where one begins or ends did anything
    change. And which of them are of asks, `(changes,)`. Given some books at a time, in their order."""
    if not len(piece.levels):
        return
    best = np.concatenate([piece.best.bid, -piece.best.ask])  # of bids in every book, and then of asks
    edge = np.concatenate(
        [np.where(piece.is_full["bid"], piece.worst.bid, -np.inf)]
        + [np.where(piece.is_full["ask"], -piece.worst.ask, -np.inf)]
    )
    origin = np.concatenate([_origin(piece.mid, piece.best.bid), -_origin(piece.mid, piece.best.ask)])
    at_once = max(1, len(piece) * _ROWS_AT_ONCE // len(piece.levels))
    rows = _rows(piece, at_once.bit_length() - 1)
    for part in range((len(piece) - 1 >> rows.part_bits) + 1):
        signed, book, delta, bids = _edges(piece, rows, part)
        later = book.copy()
        later[bids:] += len(piece)
        is_loss = delta < 0
        is_rolled = signed < edge.take(later - ~is_loss)  # of whichever book the level is not in
        cause = _cause(is_loss, is_rolled, ~(signed < best.take(later)))  # of a side that is gone, NaN: all was reached
        from_price = origin.take(later - 1)
        away_bps = (from_price - signed) / np.abs(from_price) * BPS
        size = np.abs(delta)
        _mark_moves(cause, later, size, away_bps)
        yield (
            Changes(book, cause, piece.contract.sizes(size, np.abs(signed), unit), away_bps),
            np.arange(len(book)) >= bids,
        )


class _Rows(NamedTuple):
    """What is asked of the levels of a piece for each of some books; arrays `(rows,)`."""

    key: Ints
    """A number for side and price, the same for equal ones; in lower bits the first book, and the one behind the last:
    one number, so that one look-up brings all three. Bids come before asks, and of each side the best first."""
    asks_from: int
    """The number of the best place that an ask can have."""
    signed: Floats
    """The price, negated of asks."""
    qty: Floats
    part_bits: int
    """Two to the power of it is how many books are looked at at a time."""
    first_part: npt.NDArray[np.unsignedinteger]
    past_part: npt.NDArray[np.unsignedinteger]
    """In which of these parts its first book is, and the one behind its last."""
    turn: int | None
    """Rows begin one after the other up to this one, and again from it on, as those that last stand at the end of a
    column file; None where they are in no such order."""


def _rows(piece: Piece, part_bits: int) -> _Rows:
    places, asks_from, signed = _places(piece)
    bits = len(piece).bit_length()
    key = places << bits
    key |= piece.first
    key <<= bits
    key |= piece.past
    back = np.flatnonzero(piece.first[1:] < piece.first[:-1])
    turn = None if len(back) > 1 else int(back[0]) + 1 if len(back) else len(key)
    small = np.min_scalar_type(len(piece) >> part_bits)
    first, past = ((books >> part_bits).astype(small) for books in (piece.first, piece.past))
    return _Rows(key, asks_from, signed, piece.levels["qty"].to_numpy(), part_bits, first, past, turn)


def _places(piece: Piece) -> tuple[Ints, int, Floats]:
    """A number for each row's side and price, with that of the best place an ask can have; and the signed prices."""
    contract = piece.contract
    signed = np.where(piece.is_ask, -piece.price, piece.price)
    finest = decimals_of([contract])
    for decimals in (contract.tick_decimals, finest):
        exact = signed * -(10.0**decimals)
        points = np.rint(exact)
        exact -= points
        if max(exact.max(), -exact.min()) <= 0.5 * 10.0 ** (decimals - finest):  # of the finest grid all are
            break
    low, high = (round(float(price) * 10**decimals) for price in (piece.price.min(), piece.price.max()))
    places = points.astype(np.int64)
    places += np.where(piece.is_ask, high - 2 * low + 1, high)
    return places, high - low + 1, signed


def _edges(piece: Piece, rows: _Rows, part: int) -> tuple[Floats, Ints, Floats, int]:
    """Of each change from a linked book to one of a part: its price, negated of asks, the number of the later book,
    contracts gained; and how many are of bids. Bids come first, the best of each side."""
    is_own = np.zeros(len(piece) + 1, np.bool_)
    books = slice(part << rows.part_bits, min((part + 1) << rows.part_bits, len(piece)))
    is_own[books] = piece.is_linked[books]
    own = _of_part(piece, rows, part)
    bits = len(piece).bit_length()
    key = rows.key.take(own)
    order = order_of(key >> (bits if rows.turn is None else 2 * bits))
    # Each is brought near before it is put in order: what is looked up far and wide takes twice as long.
    key, qty, signed = key.take(order), rows.qty.take(own).take(order), rows.signed.take(own).take(order)
    place, ends = key >> 2 * bits, key & ((1 << bits) - 1)
    begins = (key >> bits) & ((1 << bits) - 1)
    goes_on = np.zeros(len(own) + 1, np.bool_)  # the row before each into it
    goes_on[1:-1] = (place[1:] == place[:-1]) & (ends[:-1] == begins[1:])
    gain = np.empty((len(own), 2))
    gain[:, 0] = qty * (is_own.take(begins) & ~goes_on[:-1])
    gain[:, 1] = (np.append(qty[1:], 0) * goes_on[1:] - qty) * is_own.take(ends)
    event = np.flatnonzero(gain.reshape(-1) != 0)
    book = np.stack([begins, ends], axis=1).reshape(-1).take(event)
    bids = 2 * int(np.searchsorted(place, rows.asks_from))
    return signed.take(event >> 1), book, gain.reshape(-1).take(event), int(np.searchsorted(event, bids))


def _of_part(piece: Piece, rows: _Rows, part: int) -> Ints:
    """The rows that begin or end in it; where there is a `turn`, in the order in which they begin."""
    own = np.flatnonzero((rows.first_part == part) | (rows.past_part == part))
    if rows.turn is None:
        return own
    early, late = np.split(own, [np.searchsorted(own, rows.turn)])
    if not len(late):
        return early
    return np.insert(early, np.searchsorted(piece.first.take(early), piece.first.take(late)), late)


_CAUSES_OF: Final = np.array(
    [ADDED, ADDED, ENTERED_VIEW, ENTERED_VIEW, PULLED, CONSUMED, LEFT_VIEW, LEFT_VIEW], np.int8
)


def _cause(is_loss: Bools, is_rolled: Bools, is_reached: Bools) -> Causes:
    """Before any move is known."""
    cause: Causes = _CAUSES_OF.take(is_loss * np.int8(4) + is_rolled * np.int8(2) + is_reached)
    return cause


def _origin(mid: Floats, best: Floats) -> Floats:
    """From where each book's changes are measured: its mid; where it has only one side the next one's mid, else the
    best price there is on the side."""
    origin = mid
    for other in (np.append(mid[1:], np.nan), best, np.append(best[1:], np.nan)):
        origin = np.where(np.isnan(origin), other, origin)
    return origin


def _mark_moves(cause: Causes, step: "Ints | Numbers", size: Floats, away_bps: Floats) -> None:
    """Among equal sizes of a step (a number for each) the best price that lost one goes with the best that gained
    one, and so on. The best prices of a step come first."""
    some = np.flatnonzero(cause <= PULLED)  # or ADDED
    amount = np.rint(size.take(some) * _PARTS).astype(np.int64)
    some, is_first = _alike(some, step.take(some), amount, cause.take(some) == ADDED)
    is_added = cause.take(some) == ADDED
    group = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    bounds = np.append(np.flatnonzero(is_first), len(some))
    passed = np.append(0, np.cumsum(is_added))
    added = np.diff(passed[bounds])
    # Group by group, each in the order of prices.
    new = _paired(np.flatnonzero(is_added), group, added, np.diff(bounds) - added)
    old = _paired(np.flatnonzero(~is_added), group, np.diff(bounds) - added, added)
    old, new = some.take(old), some.take(new)
    near = np.flatnonzero(np.abs(away_bps.take(old) - away_bps.take(new)) <= MOVE_BPS + ROUNDING_BPS)
    cause[old[near]] = MOVED_OUT
    cause[new[near]] = MOVED_IN


def _paired(own: Ints, group: Numbers, count: Ints, others: Ints) -> Ints:
    """Those of `own`, ascending, that have a partner in their group: as many as there are `others`. `count` is how many
    of each group are of `own`."""
    groups = group.take(own)
    nth = np.arange(len(own)) - (np.cumsum(count) - count).take(groups)
    return own.compress(nth < others.take(groups))


def _alike(some: Ints, step: "Ints | Numbers", amount: Ints, is_added: Bools) -> tuple[Ints, Bools]:
    """Those with an equal amount among the others of their step (and a few more), in an order in which equal ones stand
    together, each in the order they had; and where each group begins.

    They are brought together by their hashes, and by themselves where two that differ have the same one.
    """
    mixed = (step.astype(np.uint64) * _MIXER) ^ (amount.astype(np.uint64) * GOLDEN)
    slot = (mixed >> np.uint64(64 - _TABLE_BITS)).view(np.int64)
    has = np.zeros(2 << _TABLE_BITS, np.bool_)
    has[slot + (is_added * np.int64(1 << _TABLE_BITS))] = True
    is_met = has.take(slot + (~is_added * np.int64(1 << _TABLE_BITS)))
    met = np.flatnonzero(is_met)
    some, step, amount = some.take(met), step.take(met), amount.take(met)
    mixed = mixed.take(met) >> np.uint64(64 - _HASH_BITS)
    order = order_of(mixed)
    is_first = _begins(step.take(order), amount.take(order))
    has_met = _begins(mixed.take(order))
    if np.any(is_first > has_met):
        bounds = np.append(np.flatnonzero(has_met), len(order))
        shared = np.flatnonzero(np.add.reduceat(is_first, bounds[:-1], dtype=np.int64) > 1)
        for start, end in zip(bounds[shared].tolist(), bounds[shared + 1].tolist(), strict=True):
            own = order[start:end]
            order[start:end] = own[np.lexsort((amount[own], step[own]))]
        is_first = _begins(step.take(order), amount.take(order))
    return some.take(order), is_first


def _begins(*keys: "Ints | Numbers | npt.NDArray[np.uint64]") -> Bools:
    """Where any differs from the one before it, and at the first."""
    begins = np.zeros(len(keys[0]), np.bool_)
    begins[:1] = True
    for key in keys:
        begins[1:] |= key[1:] != key[:-1]
    return begins
