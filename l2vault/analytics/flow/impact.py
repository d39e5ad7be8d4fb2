"""What flow does to the price and to the book: Kyle's lambda, and how depth comes back after it was hit. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Bools, Ints
from l2vault.analytics.contract import Floats

LEAST_PAIRS: Final = 10
"""Of fewer moves between two books there is no lambda."""

BAND_BPS: Final = 5.0
"""Depth is what rests within so much of mid."""
HIT_SHARE: Final = 0.1
"""An event takes at least so much of the depth of a side, from one book to the next."""
TRADED_SHARE: Final = 0.5
"""Of what a hit took at least so much was traded; of a withdrawal, its control, at most a tenth of that share."""
LEAST_EVENTS: Final = 10
"""Of fewer events there is no curve."""
AFTER_SEC: Final = (2, 10, 60)

_CURVE_SEC: Final = np.arange(2, 61, 2)
_TAUS_SEC: Final = np.geomspace(0.2, 120.0, 400)


@dataclass(frozen=True, slots=True)
class Slope:
    """An estimate, its standard error, and of how many observations."""

    value: float
    error: float
    count: int


def kyle_lambda(signed: Floats, moves: Floats) -> Slope | None:
    """Kyle's lambda: the slope of `moves = lambda * signed + eps`, both `(observations,)` float64, in order of time;
    None of fewer than 10, or where nothing was traded.

    Kyle 1985, "Continuous auctions and insider trading", estimated by ordinary least squares without a constant:
    without flow nothing should move. The standard error is that of Newey and West 1987, with `floor(4 (n/100)^(2/9))`
    lags and Bartlett weights, since moves that follow each other are not independent.
    """
    count, total = len(signed), float(signed @ signed)
    if count < LEAST_PAIRS or total == 0:
        return None
    value = float(signed @ moves) / total
    scores = signed * (moves - value * signed)
    lags = min(math.floor(4 * (count / 100) ** (2 / 9)), count - 1)
    variance = float(scores @ scores)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(scores[lag:] @ scores[:-lag])
    return Slope(value, math.sqrt(max(variance, 0.0)) / total, count)


@dataclass(frozen=True, slots=True)
class Depths:
    """One side of some books that are in order of time: `(books,)` each."""

    t_from: Ints
    t_to: Ints
    is_linked: Bools
    depth: Floats
    """Quote currency, within `BAND_BPS` of mid; NaN where that is not seen."""
    taken: Floats
    """What takers took of the side since the book before, quote currency; NaN where a hole in the trades is between."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How the depth of a side came back after events, each a fall of it from one book to the next."""

    t_ms: Ints
    """`(events,)`: when each book begins that lacks what was taken."""
    fall: Floats
    """`(events,)`, quote currency."""
    back: Floats
    """`(events, curve)`, quote currency: what was there again so many seconds later (below 0 if more had gone); NaN
    where no book stood, or not near enough to mid was seen."""

    def at(self, sec: int) -> tuple[float, int] | None:
        """The share of all that fell that was back after so many seconds, and of how many events; None of none."""
        place = int(np.searchsorted(_CURVE_SEC, sec))
        known = np.isfinite(self.back[:, place])
        return (float(self._curve()[place]), int(known.sum())) if known.any() else None

    def fit(self) -> tuple[float, float] | None:
        """`(tau, R_inf)` of `R(s) = R_inf (1 - exp(-s / tau))`, tau in seconds: the curve nearest to the shares of `at`
        by least squares. None of fewer than 10 events, and where it does not level off within what is measured.

        `D(s) = D_inf - (D_inf - D_0) exp(-s / tau)` in shares of the fall: R is `(D(s) - D_0)` over what was taken. The
        half-life of the recovery is `tau ln 2`. Exponential recovery is that of Obizhaeva and Wang 2013, "Optimal
        trading strategy and supply/demand dynamics".
        """
        curve = self._curve()
        if len(self.t_ms) < LEAST_EVENTS or not np.isfinite(curve).all():
            return None
        shape = 1 - np.exp(-_CURVE_SEC / _TAUS_SEC[:, None])
        share = shape @ curve / (shape**2).sum(axis=1)
        miss = ((curve - share[:, None] * shape) ** 2).sum(axis=1)
        best = int(np.argmin(miss))
        is_level = 0 < best < len(_TAUS_SEC) - 1 and share[best] > 0
        return (float(_TAUS_SEC[best]), float(share[best])) if is_level else None

    def _curve(self) -> Floats:
        """`(curve,)`: large falls count as much more as they are larger, lest small ones, of which any noise is many
        times the size, decide."""
        known = np.isfinite(self.back)
        with np.errstate(invalid="ignore"):
            shares: Floats = np.where(known, self.back, 0).sum(axis=0) / (known * self.fall[:, None]).sum(axis=0)
        return shares


def recoveries(side: Depths) -> tuple[Recovery, Recovery]:
    """After hits, and after withdrawals of the same size, their control: falls of depth of at least a tenth, of which
    half or more was traded, or next to nothing. An event within 60 s of one of its kind is none of its own."""
    fall = np.append(np.nan, side.depth[:-1] - side.depth[1:])
    before = np.append(np.nan, side.depth[:-1])
    is_fall = side.is_linked & (fall >= HIT_SHARE * before) & (fall > 0) & np.isfinite(side.taken)
    is_hit = is_fall & (side.taken >= TRADED_SHARE * fall)
    is_pulled = is_fall & (side.taken <= TRADED_SHARE * fall / 10)
    return _recovery(side, np.flatnonzero(is_hit), fall), _recovery(side, np.flatnonzero(is_pulled), fall)


def _recovery(side: Depths, books: Ints, fall: Floats) -> Recovery:
    chosen: list[int] = []
    for book in books.tolist():
        if not chosen or side.t_from[book] >= side.t_from[chosen[-1]] + _CURVE_SEC[-1] * 1000:
            chosen.append(book)
    events = np.array(chosen, np.int64)
    stretch = np.cumsum(~side.is_linked)
    t_ms = side.t_from[events][:, None] + _CURVE_SEC * 1000
    later = np.maximum(np.searchsorted(side.t_from, t_ms, "right") - 1, 0)
    stands = (stretch[later] == stretch[events][:, None]) & (t_ms < side.t_to[later])
    back = np.where(stands, side.depth[later] - side.depth[events][:, None], np.nan)
    return Recovery(side.t_from[events], fall[events], back)
