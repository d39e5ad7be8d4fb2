"""What price did when it came to a level: held, broke, or neither before the window ended. Pure; needs numpy.

A level is known by its side and its distance from the mid at which a window began, so that the same level can be laid
into any other window: that is what an artificial level is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import Bools, Ints
from l2vault.analytics.contract import Floats
from l2vault.analytics.one_book import BPS, ROUNDING_BPS

_UNTOLD, _BACK, _AT, _THROUGH = range(4)


@dataclass(frozen=True, slots=True)
class Path:
    """The books of a window, `(books,)` each, in order: `t_ms` from its first book, `mid` (finite), and whether a book
    follows the one before."""

    t_ms: Ints
    mid: Floats
    is_linked: Bools

    @property
    def volatility(self) -> float:
        """The root of the sum of squared moves of mid from book to book, in bps."""
        moves = np.diff(np.log(self.mid))[self.is_linked[1:]]
        return float(np.sqrt((moves**2).sum())) * BPS


@dataclass(frozen=True, slots=True)
class Levels:
    """`(levels,)` each: which side, how far from the mid of the first book (above 0 on either side), and for how long
    after that book it stood (ms, infinite without an end)."""

    is_ask: Bools
    away_bps: Floats
    until_ms: Floats


@dataclass(frozen=True, slots=True)
class Barriers:
    """A visit begins `near_bps` before the level; it holds `turn_bps` before it, and breaks so much behind it."""

    near_bps: float
    turn_bps: float


@dataclass(frozen=True, slots=True)
class Visits:
    """`(levels,)` each: how many visits began, how many held, how many broke (one at most: a broken level is none), and
    how long that took, NaN where it did not. What neither held nor broke was open at the end, or lost in a hole."""

    visits: Ints
    holds: Ints
    breaks: Ints
    break_ms: Floats


def visits(path: Path, levels: Levels, barriers: Barriers) -> Visits:
    """The triple barrier at each level (Lopez de Prado 2018, "Advances in Financial Machine Learning", chapter 3; the
    third one is the end of the window).

    A visit begins when mid, having been farther away, comes within `near_bps` of a level that stands. The next begins
    only after this one held. What begins before a hole does not end behind it.
    """
    moved = (path.mid / path.mid[0] - 1) * BPS
    away = levels.away_bps[:, None] + np.where(levels.is_ask[:, None], -moved, moved)
    starts = np.flatnonzero(~path.is_linked[1:]) + 1
    none = np.zeros(len(away), np.int64)
    sums = Visits(none, none, none, np.full(len(away), np.nan))
    for first, past in zip([0, *starts.tolist()], [*starts.tolist(), len(moved)], strict=True):
        own = _of_stretch(away[:, first:past], path.t_ms[first:past], levels.until_ms, barriers)
        stands = sums.breaks == 0
        sums = Visits(
            sums.visits + np.where(stands, own.visits, 0),
            sums.holds + np.where(stands, own.holds, 0),
            np.where(stands, own.breaks, sums.breaks),
            np.where(stands, own.break_ms, sums.break_ms),
        )
    return sums


def _of_stretch(away: Floats, t_ms: Ints, until_ms: Floats, barriers: Barriers) -> Visits:
    state = _states(away, barriers)
    is_gone = state == _THROUGH
    gone_at = np.where(is_gone.any(axis=1), is_gone.argmax(axis=1), away.shape[1])
    before, after = state[:, :-1], state[:, 1:]
    is_before_end = np.arange(1, away.shape[1]) <= gone_at[:, None]
    begins = (before == _BACK) & (after > _BACK) & is_before_end
    holds = ((before == _AT) & (after == _BACK) & is_before_end).sum(axis=1)
    every = begins.sum(axis=1)
    counted = (begins & (t_ms[1:] < until_ms[:, None])).sum(axis=1)
    is_broken = (gone_at < away.shape[1]) & (counted == every)  # the visit that broke it is the last
    last = t_ms[np.where(begins, np.arange(1, away.shape[1]), 0).max(axis=1, initial=0)]
    took = t_ms[np.minimum(gone_at, away.shape[1] - 1)] - last
    return Visits(counted, np.minimum(counted, holds), is_broken.astype(np.int64), np.where(is_broken, took, np.nan))


def _states(away: Floats, barriers: Barriers) -> "npt.NDArray[np.int8]":
    """`(levels, books)`: where price was last, of the three places at which something is decided; nothing is, before it
    was first seen to be away."""
    number = np.arange(away.shape[1])
    is_off = away > barriers.near_bps + ROUNDING_BPS
    from_on = np.where(is_off.any(axis=1), is_off.argmax(axis=1), away.shape[1])[:, None]
    told = np.where(is_off, np.int8(_UNTOLD), np.int8(_AT))
    told[away <= -barriers.turn_bps + ROUNDING_BPS] = _THROUGH
    told[away >= barriers.turn_bps - ROUNDING_BPS] = _BACK
    told[number == from_on] = _BACK
    told[number < from_on] = _UNTOLD
    last = np.maximum.accumulate(np.where(told != _UNTOLD, number, 0), axis=1)
    found: npt.NDArray[np.int8] = np.take_along_axis(told, last, axis=1)
    return found
