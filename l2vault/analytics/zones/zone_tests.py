"""What the market's best price did at price buckets: tested, turned, went through. Pure; knows bucket numbers only.

A bucket is larger the better its prices are, so that what is said of bids holds for asks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import NOWHERE, Bools, Ints

_AWAY, _NEAR, _HERE, _THROUGH = range(4)
_AROUND: Final = 1
"""Buckets to either side of a change of the best bucket that may see it differently than before."""


@dataclass(frozen=True, slots=True)
class Touches:
    """`(books,)` each, in order of time (ms): the bucket of the best price (`NOWHERE` for an empty side), the farthest
    bucket that is wholly visible, and whether the book follows the one before."""

    t_from: Ints
    t_to: Ints
    best: Ints
    farthest: Ints
    is_linked: Bools


@dataclass(frozen=True, slots=True)
class ZoneTests:
    """`(buckets,)`, int64 each. A test that neither held nor broke was lost in a hole or is still open."""

    tests: Ints
    holds: Ints
    breaks: Ints


def zone_tests(buckets: Ints, touches: Touches) -> ZoneTests:
    """A test begins when the best price, having been a whole bucket or more away, comes to the bucket.

    It holds when the best price is again a whole bucket away, and breaks when that is a whole bucket beyond: a price
    that trembles at an edge is one test. `buckets` are in ascending order.
    """
    runs = _runs(touches)
    at, order, best = _passed(runs, buckets)
    state = _state(best - buckets[at])
    kept = state != _NEAR
    at, order, state = at[kept], order[kept], state[kept]
    sorting = np.lexsort((order, at))
    life, state = (at + runs.stretch[order // 2] * len(buckets))[sorting], state[sorting]
    is_new = np.ones(len(state), np.bool_)
    is_new[1:] = (life[1:] != life[:-1]) | (state[1:] != state[:-1])
    life, state = life[is_new], state[is_new]
    goes_on = np.append(life[1:] == life[:-1], False)  # the next row tells of the same bucket, nothing lost between
    before = np.where(np.roll(goes_on, 1), np.roll(state, 1), _NEAR)
    after = np.where(goes_on, np.roll(state, -1), _NEAR)
    is_test = (before == _AWAY) & (state != _AWAY)
    holds = is_test & (state == _HERE) & (after == _AWAY)
    breaks = is_test & ((state == _THROUGH) | ((state == _HERE) & (after == _THROUGH)))
    of = life % max(len(buckets), 1)
    return ZoneTests(*(np.bincount(of[some], minlength=len(buckets)) for some in (is_test, holds, breaks)))


def _state(ahead: Ints) -> Ints:
    """Of a bucket, by how many buckets the best price is ahead of it."""
    return np.select([ahead >= 2, ahead == 1, ahead >= -1], [_AWAY, _NEAR, _HERE], _THROUGH)


@dataclass(frozen=True, slots=True)
class _Runs:
    """A row for as long as the best price stays in one bucket; a stretch is what nothing interrupts."""

    best: Ints
    stretch: Ints


def _runs(touches: Touches) -> _Runs:
    is_empty = touches.best == NOWHERE
    stretch = np.cumsum(~touches.is_linked | is_empty)[~is_empty]
    best = touches.best[~is_empty]
    is_first = np.ones(len(best), np.bool_)
    is_first[1:] = (best[1:] != best[:-1]) | (stretch[1:] != stretch[:-1])
    return _Runs(best[is_first], stretch[is_first])


def _passed(runs: _Runs, buckets: Ints) -> tuple[Ints, Ints, Ints]:
    """Two rows per change of the best bucket and bucket to which it matters, for before and after it: the index of the
    bucket, the order in time (twice the run, one less for before), the best bucket."""
    later = np.flatnonzero(runs.stretch[1:] == runs.stretch[:-1]) + 1
    old, new = runs.best[later - 1], runs.best[later]
    low = np.searchsorted(buckets, np.minimum(old, new) - _AROUND)
    count = np.searchsorted(buckets, np.maximum(old, new) + _AROUND, side="right") - low
    of = np.repeat(np.arange(len(later)), count)
    at = np.arange(len(of)) - np.repeat(np.cumsum(count) - count - low, count)
    order = 2 * later[of]
    return np.concatenate([at, at]), np.concatenate([order - 1, order]), np.concatenate([old[of], new[of]])
