"""How large levels usually are: of this book, at like distance from mid; and from what size on none comes by chance.

Sizes are counted by the time they stood, in steps of 3 %, so that a week of them takes no more room than an hour.
"""

import sys
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Ints
from l2vault.analytics.contract import Floats
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.tail import TAIL_FROM, TAIL_TO, beyond_chance

_MANTISSA_BITS: Final = 20
"""Of the upper half of a double, all that is looked at: half the memory to go through."""
_STEP_BITS: Final = 5
"""An octave has 32 steps: a size is counted by the exponent and the first bits of the mantissa of its double."""
_LEAST_SIZE: Final = 2.0**-40
_STEPS: Final = 120 << _STEP_BITS

_FIRST_BPS: Final = 0.25
_BANDS: Final = 12
"""Distances from mid: below 0.25 bps, 0.5, 1, 2, 4, ...: like distance is less than twice as far."""

_LEAST_LEVELS: Final = 2.0
"""A band of fewer levels a book, on average, says nothing of what is usual: the whole book does."""

_NORMAL: Final = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Usual:
    """`(bands,)` float64 of some books: the median size of the levels at each distance from mid plus one robust
    deviation, `median + 1.4826 * median(|size - median|)`."""

    by_band: Floats

    def at(self, distance_bps: Floats) -> Floats:
        """What is usual so far from mid."""
        return self.by_band[_band(distance_bps)]


NONE_COUNTED: Final = np.zeros((_BANDS, _STEPS))


NOTHING_USUAL: Final = Usual(np.zeros(_BANDS))


def counted(piece: Piece, sizes: Floats) -> Floats:
    """`(bands, steps)` float64: for how many ms levels of each size stood at each distance from mid. A level counts at
    the distance that it had in the middle of its stay."""
    middle = (piece.first + piece.past - 1) >> 1
    with np.errstate(invalid="ignore", divide="ignore"):
        away = np.abs(piece.price / piece.mid.take(middle) - 1) * BPS
    step = _bits(sizes, _STEP_BITS) - _FIRST_STEP
    cell = _band(away) * _STEPS + np.clip(step, 0, _STEPS - 1)
    found: Floats = np.bincount(cell, piece.ms, _BANDS * _STEPS).astype(np.float64)
    return found.reshape(_BANDS, _STEPS)


def usual_of(cells: Floats, stood_ms: int) -> Usual:
    """Of what was `counted` while books stood for so long."""
    whole = _usual(cells.sum(axis=0))
    is_told = cells.sum(axis=1) >= _LEAST_LEVELS * stood_ms
    return Usual(np.array([_usual(own) if is_own else whole for own, is_own in zip(cells, is_told, strict=True)]))


def quantile(by_size: Floats, share: float) -> float:
    """The size that levels stay below for so great a share of their time; within a step in proportion."""
    passed = np.cumsum(by_size)
    if not passed[-1]:
        return 0.0
    at = int(np.searchsorted(passed, share * passed[-1]))
    into = (share * passed[-1] - (passed[at] - by_size[at])) / by_size[at]
    return float(_edge(at + into))


def chance_size(by_size: Floats) -> float:
    """From which size on next to none comes by chance: one level in 10,000, if the sizes above the 99th percentile thin
    out as they do from the 90th to it. A power law would, as Maslov and Mills (2001, "Price fluctuations from the order
    book perspective") found of limit orders; with a thinner tail, such as a log-normal one, it is one in 200,000."""
    return beyond_chance(quantile(by_size, TAIL_FROM), quantile(by_size, TAIL_TO))


def _band(distance_bps: Floats) -> Ints:
    """Of what has no distance, since a side is empty, the last one."""
    band: Ints = _bits(np.abs(distance_bps), 0) - _FIRST_BAND + 1
    return np.clip(band, 0, _BANDS - 1)


def _bits(values: Floats, mantissa_bits: int) -> Ints:
    """The exponents with so many bits of the mantissa: in order as the values are, which are 0 or more."""
    upper = np.ascontiguousarray(values).view(np.int32)[1 if sys.byteorder == "little" else 0 :: 2]
    bits: Ints = upper >> (_MANTISSA_BITS - mantissa_bits)
    return bits


_FIRST_STEP: Final = int(_bits(np.array([_LEAST_SIZE]), _STEP_BITS)[0])
_FIRST_BAND: Final = int(_bits(np.array([_FIRST_BPS]), 0)[0])


def _usual(by_size: Floats) -> float:
    if not by_size.any():
        return 0.0
    median = quantile(by_size, 0.5)
    held = np.flatnonzero(by_size)
    away = np.abs(_edge(held + 0.5) - median)
    order = np.argsort(away, kind="stable")
    passed = np.cumsum(by_size[held][order])
    deviation = away[order][np.searchsorted(passed, passed[-1] / 2)]
    return float(median + _NORMAL * deviation)


def _edge(step: "np.typing.ArrayLike") -> Floats:
    """The size at which a step begins; within a step in proportion."""
    step = np.asarray(step, np.float64)
    whole = np.floor(step)
    step_bits = _MANTISSA_BITS + 32 - _STEP_BITS
    bits = (whole.astype(np.int64) + _FIRST_STEP) << step_bits
    low, high = bits.view(np.float64), (bits + (1 << step_bits)).view(np.float64)
    edge: Floats = low + (step - whole) * (high - low)
    return edge
