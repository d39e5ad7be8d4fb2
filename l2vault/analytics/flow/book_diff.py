"""What changed from one book to the next, level by level, and why as far as two books can tell. Pure.

Two books do not show what happened between them: see `CAUSES` for what each word claims.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Bools, Ints, Ladders, Levels, SideName, decimals_of, levels_of
from l2vault.analytics.contract import Floats, Unit
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

_FIBONACCI: Final = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS: Final = 22


@dataclass(frozen=True, slots=True)
class Changes:
    """A row per price at which a linked book differs from the one before it, in no order."""

    book: Ints
    """`(changes,)`, int64: the row of the later book."""
    cause: Ints
    """`(changes,)`, int64: its place in `CAUSES`."""
    size: Floats
    """`(changes,)`, float64, in the unit asked for, above 0 whatever the cause."""
    distance_bps: Floats
    """`(changes,)`, float64: from the earlier book's mid, negative for a price beyond it."""


def changes(ladders: Ladders, name: SideName, unit: Unit) -> Changes:
    """Of all neighbours; `book` is the later one."""
    levels = levels_of(ladders, name, decimals_of([ladders.contract]))
    left, came, kept_from, kept_to = _matched(levels, ladders.is_linked)
    delta = levels.qty[kept_to] - levels.qty[kept_from]
    kept_to, delta = kept_to[delta != 0], delta[delta != 0]
    level = np.concatenate([left, came, kept_to])
    book = np.concatenate([levels.book[left] + 1, levels.book[came], levels.book[kept_to]])
    delta = np.concatenate([-levels.qty[left], levels.qty[came], delta])
    point, price = levels.point[level], levels.price[level]
    beyond = np.where(delta < 0, book, book - 1)  # of whichever book the level is not in
    is_rolled = ladders.is_full(name)[beyond] & (point < levels.worst[beyond])
    cause = np.select(
        [is_rolled & (delta < 0), is_rolled, delta > 0, point >= levels.best[book]],
        [LEFT_VIEW, ENTERED_VIEW, ADDED, CONSUMED],
        PULLED,
    )
    origin = _origin(ladders, name)[book - 1]
    away_bps = (price - origin if name == "ask" else origin - price) / origin * BPS
    _mark_moves(cause, book, np.rint(np.abs(delta) * _PARTS).astype(np.int64), point, away_bps)
    return Changes(book, cause, ladders.contract.sizes(np.abs(delta), price, unit), away_bps)


def _matched(levels: Levels, is_linked: Bools) -> tuple[Ints, Ints, Ints, Ints]:
    """Levels (their rows) that the next book has no more, that the one before had not, and those in both: in the
    earlier and in the later one."""
    span = 2 * int(np.abs(levels.point).max(initial=0)) + 1
    key = levels.book * span - levels.point  # ascending: books are in order, and the best come first
    has_next = np.append(is_linked[1:], False)[levels.book]
    has_past = np.where(levels.book > 0, is_linked[levels.book], False)
    found = np.minimum(np.searchsorted(key, key + span), max(len(key) - 1, 0))
    is_in_next = has_next & (key[found] == key + span)
    is_new = has_past
    is_new[found[is_in_next]] = False
    return np.flatnonzero(has_next & ~is_in_next), np.flatnonzero(is_new), np.flatnonzero(is_in_next), found[is_in_next]


def _origin(ladders: Ladders, name: SideName) -> Floats:
    """From where each book's changes are measured: its mid; where it has only one side the next one's mid, else the
    best price there is."""
    origin = ladders.mid
    best = ladders.side(name).best
    for other in (np.append(origin[1:], np.nan), best, np.append(best[1:], np.nan)):
        origin = np.where(np.isnan(origin), other, origin)
    return origin


def _mark_moves(cause: Ints, book: Ints, amount: Ints, point: Ints, away_bps: Floats) -> None:
    """Among equal amounts of a step the best price that lost one goes with the best that gained one, and so on."""
    some = np.concatenate(_paired(np.flatnonzero(cause == PULLED), np.flatnonzero(cause == ADDED), book, amount))
    if not len(some):
        return
    some = some[np.lexsort((-point[some], cause[some] == ADDED, amount[some], book[some]))]
    is_first = (np.diff(book[some], prepend=-1) != 0) | (np.diff(amount[some], prepend=-1) != 0)
    first = np.flatnonzero(is_first)
    gained = np.add.reduceat(cause[some] == ADDED, first, dtype=np.int64)
    lost = np.diff(first, append=len(some)) - gained
    pairs = np.minimum(lost, gained)
    nth = np.arange(pairs.sum()) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    old, new = (some[np.repeat(start, pairs) + nth] for start in (first, first + lost))
    is_near = np.abs(away_bps[old] - away_bps[new]) <= MOVE_BPS + ROUNDING_BPS
    cause[old[is_near]] = MOVED_OUT
    cause[new[is_near]] = MOVED_IN


def _paired(pulled: Ints, added: Ints, book: Ints, amount: Ints) -> tuple[Ints, Ints]:
    """Those with an equal amount among the others of their step, and a few more: only what would be sorted in vain,
    most of all, is left out, by a table of hashes."""
    mixed = (book.astype(np.uint64) << np.uint64(44)) ^ amount.astype(np.uint64)
    slot = (mixed * _FIBONACCI) >> np.uint64(64 - _TABLE_BITS)
    is_pulled, is_added = np.zeros(1 << _TABLE_BITS, np.bool_), np.zeros(1 << _TABLE_BITS, np.bool_)
    is_pulled[slot[pulled]] = True
    is_added[slot[added]] = True
    return pulled[is_added[slot[pulled]]], added[is_pulled[slot[added]]]
