"""How far a rate is from what chance gives: p, q, an interval, and the two ways to draw chance. Pure; needs numpy.

Random numbers come from a generator that the caller gives: the same seed gives the same figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Ints
from l2vault.analytics.contract import Floats

DRAWS: Final = 1000
LEAST_EVENTS: Final = 30
"""Of fewer events no rate is given."""
LEAST_COVERED_SHARE: Final = 0.99
"""Of a span of which less is covered no rate is given."""
LEAST_BLOCKS: Final = 5
LEVEL: Final = 0.05
"""A q below it is called an edge."""

_TIE: Final = 1e-12
"""Two rates that differ by less are the same, rounded differently."""
_INTERVAL: Final = (0.025, 0.975)
_CLASSES: Final = 10
_LEAST_CLASS: Final = 5
_LARGEST_CLASS: Final = 24
"""Windows of a class are compared each with each, which costs its square."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something came true, and how often by chance: `chance` is the mean of the `draws`, and None with `p`
    where there was none. `open`: what came neither true nor false. The medians are how long a break took."""

    events: int
    successes: int
    interval: tuple[float, float] | None
    chance: float | None
    p: float | None
    open: int = 0
    draws: int = 0
    median_ms: float | None = None
    chance_median_ms: float | None = None


def shares(successes: Ints, events: Ints) -> Floats:
    """The rates of draws; NaN of those without an event."""
    return np.where(events > 0, successes / np.maximum(events, 1), np.nan)


def mean_of(rates: Floats) -> float | None:
    """Of the draws that have a rate; None if none has."""
    told = rates[np.isfinite(rates)]
    return float(told.mean()) if len(told) else None


def p_value(rate: float, draws: Floats) -> float:
    """`(1 + #{draws >= rate}) / (N + 1)`: never 0 (Phipson and Smyth 2010, "Permutation P-values should never be
    zero"). A draw that has no rate (NaN) counts as one that reaches it."""
    is_reached = np.isnan(draws) | (draws >= rate - _TIE)
    return (1 + int(is_reached.sum())) / (len(draws) + 1)


def q_values(p: Sequence[float]) -> Floats:
    """Of each p, in the order given: the least false discovery rate at which it would count among so many.

    `q_(j) = min over k >= j of p_(k) * M / k`, with `p_(1) <= .. <= p_(M)` (Benjamini and Hochberg 1995).
    """
    own = np.asarray(p, np.float64)
    order = np.argsort(own, kind="stable")
    scaled = own[order] * len(own) / np.arange(1, len(own) + 1)
    q = np.empty(len(own))
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return q


def block_interval(
    successes: Ints, events: Ints, rng: np.random.Generator, draws: int = DRAWS, least: int = LEAST_BLOCKS
) -> tuple[float, float] | None:
    """The 95 % interval of `sum(successes) / sum(events)` by a block bootstrap: `(blocks,)` each; whole blocks are
    drawn with replacement, since what happens within one is not independent (Künsch 1989). None of fewer blocks that
    have events than `least`: of a few there is little to draw."""
    held = np.flatnonzero(events)
    if len(held) < least:
        return None
    drawn = rng.integers(0, len(held), (draws, len(held)))
    rates = successes[held][drawn].sum(axis=1) / events[held][drawn].sum(axis=1)
    low, high = np.quantile(rates, _INTERVAL)
    return float(low), float(high)


def shifted_hits(signal: Floats, move: Floats) -> tuple[Ints, Ints]:
    """`(steps,)` each: with the signal shifted around by 0, 1, 2, ... steps, how often it has the sign of the move, and
    how often both have one. NaN and 0 have none. By the Fourier transform, exactly."""
    up, down = (np.sign(np.nan_to_num(each)) for each in (signal, move))
    agreed, pairs = _rotated(up, down), _rotated(np.abs(up), np.abs(down))
    return (agreed + pairs) // 2, pairs


def shifts_of(steps: int, least: int, rng: np.random.Generator, draws: int = DRAWS) -> Ints:
    """Which shifts of a ring of so many steps are drawn: all that are `least` steps or more either way around, or so
    many of them, none twice. Empty where the ring is too short."""
    every = np.arange(least, steps - least + 1)
    return every if len(every) <= draws else rng.choice(every, draws, replace=False)


def classes_of(volatility: Floats) -> list[Ints]:
    """The numbers of the windows of like volatility: by rank, in ten classes if each has five windows, in fewer if not,
    and in more where one would have more than 24."""
    count = len(volatility)
    classes = max(min(_CLASSES, count // _LEAST_CLASS), -(-count // _LARGEST_CLASS), 1)
    return list(np.array_split(np.argsort(volatility, kind="stable"), classes))


def drawn_sums(tables: Sequence[Sequence[Ints]], rng: np.random.Generator, draws: int = DRAWS) -> tuple[Ints, ...]:
    """`(draws,)` of each kind of table: of each class the rows, which are windows, are given its columns in a random
    order, and what stands there is summed up over all classes.

    `tables` has, class by class, one table `(windows, windows)` of each kind: what the levels of the one window met in
    the prices of the other. All kinds of a class are drawn alike.
    """
    sums = np.zeros((len(tables[0]), draws), np.int64)
    for kinds in tables:
        size = len(kinds[0])
        order = rng.permuted(np.tile(np.arange(size), (draws, 1)), axis=1)
        for kind, table in enumerate(kinds):
            sums[kind] += table[np.arange(size), order].sum(axis=1)
    return tuple(sums)


def _rotated(one: Floats, other: Floats) -> Ints:
    """Of each shift, the sum over all steps of `one[step - shift] * other[step]`; both are -1, 0 or 1."""
    if not len(one):
        return np.empty(0, np.int64)
    turned = np.fft.irfft(np.conj(np.fft.rfft(one)) * np.fft.rfft(other), len(one))
    return np.rint(turned).astype(np.int64)
