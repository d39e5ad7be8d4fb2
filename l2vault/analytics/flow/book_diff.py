"""What changed from one book to the next, level by level, and why as far as two books can tell. Pure.

Two books do not show what happened between them: see `CAUSES` for what each word claims.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import Bools, Ints, decimals_of
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.interval_rows import Numbers, Piece, order_of
from l2vault.analytics.one_book import BPS, MOVE_BPS, ROUNDING_BPS

CAUSES: Final = ("added", "pulled", "consumed", "moved_in", "moved_out", "entered_view", "left_view")
"""- `entered_view`, `left_view`: the visible range of a full side came to the price, or left it; it may
  rest there all along.
- `consumed`: it left at the later book's best price or beyond, or its whole side did: the market was there. Whether an
  order was hit, or withdrawn in time, only trades could tell.
- `moved_out`, `moved_in`: exactly so many contracts left one price and came to another, at most `MOVE_BPS` away.
- `pulled`, `added`: all else that left or came."""

ADDED, PULLED, CONSUMED, MOVED_IN, MOVED_OUT, ENTERED_VIEW, LEFT_VIEW = range(len(CAUSES))

_FINEST: Final = 8
"""Amounts are compared as whole numbers of so small a part of a contract, as a power of ten, or of a larger one where
that says them too: differences of decimals are no whole numbers."""

_SAMPLE: Final = 512
"""So many tell of most decimals that they are too few."""

_LARGEST: Final = 2.0**62
_KEY_BITS: Final = 63
_ROWS_AT_ONCE: Final = 1 << 17
"""What is looked up among so many rows stays near the processor. With half as many, the threads of two cores wait for
each other more than they gain: measured, a tenth more time. It is looked up by `take`, which needs two thirds of the
time of an index, and with numbers of 64 bits, which it needs."""
_MOST_RUNS: Final = 8


Causes = npt.NDArray[np.int8]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Changes:
    """A row per price at which a linked book differs from the one before it, in no order."""

    book: Ints
    """`(changes,)`, int64: the row of the later book."""
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
    parts = _parts(piece)
    for part in range((len(piece) - 1 >> parts.bits) + 1):
        signed, book, gain, lots, bids = _edges(piece, parts, part)
        later = book.copy()
        later[bids:] += len(piece)
        is_loss = gain < 0
        is_rolled = signed < edge.take(later - ~is_loss)  # of whichever book the level is not in
        cause = _cause(is_loss, is_rolled, ~(signed < best.take(later)))  # of a side that is gone, NaN: all was reached
        from_price = origin.take(later - 1)
        away_bps = (from_price - signed) / np.abs(from_price) * BPS
        amount = np.abs(gain)
        _mark_moves(cause, later, amount, away_bps)
        size = piece.contract.sizes(amount / lots, np.abs(signed), unit)
        yield Changes(book, cause, size, away_bps), np.arange(len(book)) >= bids


class _Parts(NamedTuple):
    """Which rows begin or end in each of the parts into which the books of a piece are cut."""

    bits: int
    """Two to the power of it is how many books a part has."""
    order: Ints | None
    """The rows in order of their first books, where they do not stand so in a few runs."""
    runs: list[Ints]
    """Where the rows of each part begin in each run, `(parts + 1,)`."""
    crossing: Ints
    """The rows that end in another part than that in which they begin,"""
    crossing_into: npt.NDArray[np.int32]
    """and in which."""


def _parts(piece: Piece) -> _Parts:
    bits = max(1, len(piece) * _ROWS_AT_ONCE // len(piece.levels)).bit_length() - 1
    first, past = piece.first, piece.past
    crossing = np.flatnonzero((first ^ past) >> bits != 0)
    into = past.take(crossing) >> np.int32(bits)
    turns = np.append(np.flatnonzero(first[1:] < first[:-1]) + 1, len(first))
    order = None
    if len(turns) > _MOST_RUNS:
        order = order_of(first.astype(np.int64))
        first, turns = first.take(order), turns[-1:]
    bounds = (np.arange((len(piece) - 1 >> bits) + 2) << bits).astype(np.int32)
    starts = [0, *turns[:-1].tolist()]
    runs = [at + np.searchsorted(first[at:end], bounds) for at, end in zip(starts, turns.tolist(), strict=True)]
    return _Parts(bits, order, runs, crossing, into)


class _Edges(NamedTuple):
    """Each change from a linked book to one of a part, `(changes,)`. Bids come first, the best of each side."""

    signed: Floats
    """The price, negated of asks."""
    book: Ints
    """The number of the later book."""
    gain: Ints
    """Never 0."""
    lots: float
    """Of which so many are a contract."""
    bids: int
    """How many are of bids."""


def _edges(piece: Piece, parts: _Parts, part: int) -> _Edges:
    is_own = np.zeros(len(piece) + 1, np.bool_)
    books = slice(part << parts.bits, min((part + 1) << parts.bits, len(piece)))
    is_own[books] = piece.is_linked[books]
    own = _own(parts, part)
    is_ask, price = own(piece.is_ask), own(piece.price)
    place, asks_from = _places(piece.contract, price, is_ask)
    first, past = own(piece.first), own(piece.past)
    order = _order(place, first)
    place, begins, ends = place.take(order), first.take(order), past.take(order)
    signed = np.where(is_ask, -price, price).take(order)
    lots, decimals = _whole(own(piece.levels["qty"].to_numpy()), range(_FINEST + 1), _FINEST)
    lots = lots.take(order)
    goes_on = (place[1:] == place[:-1]) & (ends[:-1] == begins[1:])  # each row but the last, into the next one
    gain = np.empty((len(order), 2), np.int64)
    gain[:, 0] = lots
    gain[1:, 0] -= lots[:-1] * goes_on
    gain[:, 1] = -lots
    happens = np.empty((len(order), 2), np.bool_)
    happens[:, 0] = is_own.take(begins) & (gain[:, 0] != 0)
    happens[:, 1] = is_own.take(ends) & (lots != 0)
    happens[:-1, 1] &= ~goes_on
    event = np.flatnonzero(happens.reshape(-1))
    book = np.stack([begins, ends], axis=1).reshape(-1).take(event).astype(np.int64)
    bids = int(np.searchsorted(event, 2 * int(np.searchsorted(place, asks_from))))
    return _Edges(signed.take(event >> 1), book, gain.reshape(-1).take(event), 10.0**decimals, bids)


def _own(parts: _Parts, part: int) -> "Callable[[npt.NDArray[_T]], npt.NDArray[_T]]":
    """Takes out of an array of the rows those that begin or end in the part, those that begin before it first."""
    crossing = parts.crossing.compress(parts.crossing_into == part)
    runs = [slice(run[part], run[part + 1]) for run in parts.runs]
    if parts.order is not None:
        rows = np.concatenate([crossing, *(parts.order[run] for run in runs)])
        return lambda values: values.take(rows)
    return lambda values: np.concatenate([values.take(crossing), *(values[run] for run in runs)])


def _places(contract: Contract, price: Floats, is_ask: Bools) -> tuple[Ints, int]:
    """A number for each side and price, with that of the best place an ask can have: bids come before asks, and of each
    side the best first."""
    finest = decimals_of([contract])
    points, _ = _whole(price, (contract.tick_decimals, finest), finest)
    low, high = (int(points.min()), int(points.max())) if len(points) else (0, 0)
    place = is_ask * np.int64(2 * (low - high) - 1)
    place += high
    place -= points
    return np.abs(place, out=place), high - low + 1


def _whole(values: Floats, decimals: Iterable[int], finest: int) -> tuple[Ints, int]:
    """Values, 0 or more, as whole numbers of `10 ** -decimals`, and which: the first of `decimals` that says them all
    up to half of the finest, else the last in which the largest fits, be it coarser than all of them."""
    largest = float(values.max(initial=0))
    chosen: int | None = None
    for own in decimals:
        if chosen is not None and largest * 10.0**own >= _LARGEST:
            break
        chosen, tolerance = own, 0.5 * 10.0 ** (own - finest)
        if _off(values[:_SAMPLE], own) <= tolerance and _off(values, own) <= tolerance:
            break
    assert chosen is not None, "some decimals are given"
    while largest * 10.0**chosen >= _LARGEST:
        chosen -= 1
    return np.rint(values * 10.0**chosen).astype(np.int64), chosen


def _off(values: Floats, decimals: int) -> float:
    """How far the farthest of them is from a whole number of `10 ** -decimals`, in these."""
    exact = values * 10.0**decimals
    exact -= np.rint(exact)
    return float(np.abs(exact, out=exact).max(initial=0))


def _order(place: Ints, first: Numbers) -> Ints:
    """By place, and of one place in order of time. What begins in the part comes run by run, so that a row may stand
    behind one of its place that follows it: seldom, since a later run has few rows and those last long."""
    order = order_of(place)
    ordered, begins = place.take(order), first.take(order)
    is_late = (ordered[1:] == ordered[:-1]) & (begins[1:] < begins[:-1])
    for at in np.unique(ordered[1:][is_late]).tolist():
        some = slice(*np.searchsorted(ordered, (at, at + 1)))
        order[some] = order[some][np.argsort(begins[some], kind="stable")]
    return order


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


def _mark_moves(cause: Causes, step: Ints, amount: Ints, away_bps: Floats) -> None:
    """Among equal amounts of a step (a number for each) the best price that lost one goes with the best that gained
    one, and so on. The best prices of a step come first."""
    some = np.flatnonzero(cause <= PULLED)  # or ADDED
    if not len(some):
        return
    # What is sorted is one number: step, amount, whether it came, and which change it is, of which the best come first.
    event_bits = len(cause).bit_length()
    step, amount = step.take(some), amount.take(some)
    if int(step.max()).bit_length() + int(amount.max()).bit_length() + 1 + event_bits > _KEY_BITS:
        amount = np.unique(amount, return_inverse=True)[1]
    key = step << int(amount.max()).bit_length()
    key |= amount
    key <<= 1
    key |= cause.take(some) == ADDED
    key <<= event_bits
    key |= some
    key.sort()
    event = key & ((1 << event_bits) - 1)
    key >>= event_bits
    bounds = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1, [len(key)]])
    alike = key.take(bounds[:-1])
    lost = np.flatnonzero((alike[1:] == alike[:-1] + 1) & (alike[1:] & 1 == 1))  # and what came stands behind it
    start, middle, end = bounds.take(lost), bounds.take(lost + 1), bounds.take(lost + 2)
    pairs = np.minimum(middle - start, end - middle)
    nth = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    old, new = (event.take(np.repeat(begin, pairs) + nth) for begin in (start, middle))
    near = np.flatnonzero(np.abs(away_bps.take(old) - away_bps.take(new)) <= MOVE_BPS + ROUNDING_BPS)
    cause[old[near]] = MOVED_OUT
    cause[new[near]] = MOVED_IN
