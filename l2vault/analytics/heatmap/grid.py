"""Sums over cells of time and price, gathered from ladders piece by piece in bounded memory. Pure.

Each piece is summed up on a grid of its own, whose steps divide those of the one that the whole span turns out to need.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from l2vault.analytics.book_matrix import SIDES, Ints, Ladders, SideName
from l2vault.analytics.contract import Floats, Unit
from l2vault.book.utc import DAY_MS

_WIDTHS_MS: Final = sorted(
    width_ms
    for two in range(11)
    for three in range(4)
    for five in range(6)
    if (width_ms := 2**two * 3**three * 5**five) < 1000 or width_ms % 1000 == 0
)
"""All of whole seconds or less than one that divide a day, so that a bin begins at midnight whatever the span."""

_LEADS: Final = (1, 2, 4, 5, 8)
"""A price bin is one of these times a power of ten of ticks."""

_HAIR: Final = 1e-6
"""Of a tick: what a price as a binary fraction may lack."""

_FAR: Final = 1 << 60
"""Ticks to where a side reaches that is whole."""


@dataclass(frozen=True, slots=True)
class TimeBins:
    """Multiples of `width_ms`; the first and the last are cut to the span."""

    width_ms: int
    start_ms: int
    end_ms: int

    @property
    def count(self) -> int:
        """How many bins the span has."""
        return (self.end_ms - 1) // self.width_ms - self.start_ms // self.width_ms + 1

    def edges(self) -> Ints:
        """`(bins + 1,)`, int64, ascending, ms since 1970."""
        edges = (self.start_ms // self.width_ms + np.arange(self.count + 1)) * self.width_ms
        return np.clip(edges, self.start_ms, self.end_ms)

    def at(self, t_ms: Ints) -> Ints:
        """In which bin each time lies, from 0; an array of the same shape."""
        return t_ms // self.width_ms - self.start_ms // self.width_ms


class _Parts(NamedTuple):
    """Books cut where time bins meet: which book, in which bin, for how long. In order of time."""

    book: Ints
    bin: Ints
    ms: Ints


class _Piece(NamedTuple):
    """Size times ms by time bin, from `first_bin` on, and by `step` ticks, from `first_row` times that on."""

    first_bin: int
    first_row: int
    step: int
    size_ms: dict[SideName, Floats]


def time_bins(start_ms: int, end_ms: int, least_ms: int, columns: int) -> TimeBins:
    """The shortest of at least `least_ms` that divide a day, or are whole days, and are at most `columns`."""
    days = (DAY_MS * count for count in range(2, end_ms // DAY_MS + 3))
    for width_ms in (*_WIDTHS_MS, *days):
        bins = TimeBins(width_ms, start_ms, end_ms)
        if width_ms >= least_ms and bins.count <= columns:
            break
    return bins


class Cells:
    """Takes ladders in order of time. Bins are those of `bins` and, once all has been seen, of `price_bins`."""

    def __init__(self, bins: TimeBins, tick: float, rows: int) -> None:
        self._bins, self._tick, self._rows = bins, tick, rows
        self._pieces: list[_Piece] = []
        self._ends: dict[SideName, list[tuple[Ints, Ints, Ints]]] = {name: [] for name in SIDES}
        self._low, self._high = _FAR, -_FAR
        self.best: dict[SideName, Floats] = {name: np.full(bins.count, np.nan) for name in SIDES}
        self.worst: dict[SideName, Floats] = {name: np.full(bins.count, np.nan) for name in SIDES}
        self.covered_ms: Ints = np.zeros(bins.count, np.int64)

    def add(self, ladders: Ladders, unit: Unit) -> None:
        """Call it once for each piece, in order of time."""
        parts = self._parts(ladders)
        self.covered_ms += _sums(parts.bin, parts.ms, self._bins.count).astype(np.int64)
        for name in SIDES:
            side = ladders.side(name)
            self.best[name][parts.bin] = side.best[parts.book]  # of several the last one stays
            farthest = np.fmin if name == "bid" else np.fmax
            farthest.at(self.worst[name], parts.bin, side.worst[parts.book])
            ends = np.where(ladders.is_full(name), self._ticks(side.worst), -_FAR if name == "bid" else _FAR)
            self._ends[name].append((parts.bin, ends[parts.book], parts.ms))
        self._add_levels(ladders, parts, unit)

    def price_bins(self) -> tuple[int, int, int]:
        """Ticks a row, and the first and the last row: row n begins at n times the ticks of one.

        Of books without any level it is one row at 0.
        """
        if self._low > self._high:
            return 1, 0, 0
        step = _price_step(self._low, self._high, self._rows)
        return step, self._low // step, self._high // step

    def size_ms(self, name: SideName, step: int, first: int, last: int) -> Floats:
        """`(time bins, rows)`, float64: size times the ms for which it stood."""
        total = np.zeros((self._bins.count, last - first + 1))
        for piece in self._pieces:
            fine = piece.size_ms[name]
            rows = (piece.first_row + np.arange(fine.shape[1])) * piece.step // step
            begins = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
            summed = np.add.reduceat(fine, begins, axis=1)
            bins = slice(piece.first_bin, piece.first_bin + len(fine))
            total[bins, rows[begins] - first] += summed
        return total

    def seen_ms(self, name: SideName, step: int, first: int, last: int) -> Ints:
        """`(time bins, rows)`, int64, ms: for how long a book stood in which the cell was visible. Bids are from
        their farthest level up, asks down."""
        rows = last - first + 1
        begun: Ints = np.zeros((self._bins.count, rows), np.int64)
        for bins, ends, ms in self._ends[name]:
            at = np.clip(ends // step - first, 0, rows - 1)
            begun += _sums(bins * rows + at, ms, begun.size).astype(np.int64).reshape(begun.shape)
        passed = begun if name == "bid" else begun[:, ::-1]
        seen = np.cumsum(passed, axis=1)
        return seen if name == "bid" else seen[:, ::-1]

    def _parts(self, ladders: Ladders) -> _Parts:
        first, last = self._bins.at(ladders.t_from), self._bins.at(ladders.t_to - 1)
        times = last - first + 1
        book = np.repeat(np.arange(len(ladders)), times)
        within = np.arange(len(book)) - np.repeat(np.cumsum(times) - times, times)
        column = first[book] + within
        edges = self._bins.edges()
        begins = np.maximum(ladders.t_from[book], edges[column])
        return _Parts(book, column, np.minimum(ladders.t_to[book], edges[column + 1]) - begins)

    def _add_levels(self, ladders: Ladders, parts: _Parts, unit: Unit) -> None:
        ticks = {name: self._ticks(ladders.side(name).price) for name in SIDES}
        held = [ticks[name][ladders.side(name).qty > 0] for name in SIDES]
        held = [some for some in held if len(some)]
        if not held:
            return
        low, high = min(int(some.min()) for some in held), max(int(some.max()) for some in held)
        self._low, self._high = min(low, self._low), max(high, self._high)
        step = _fine_step(_price_step(low, high, self._rows))
        first_bin, first_row = int(parts.bin[0]), low // step
        shape = int(parts.bin[-1]) - first_bin + 1, high // step - first_row + 1
        size_ms: dict[SideName, Floats] = {}
        for name in SIDES:
            sizes = ladders.sizes(name, unit)
            rows = np.clip(ticks[name] // step - first_row, 0, shape[1] - 1)  # where there is no level the size is 0
            cells = rows[parts.book] + ((parts.bin - first_bin) * shape[1])[:, None]
            weights = sizes[parts.book] * parts.ms[:, None]
            size_ms[name] = _sums(cells.ravel(), weights.ravel(), shape[0] * shape[1]).reshape(shape)
        self._pieces.append(_Piece(first_bin, first_row, step, size_ms))

    def _ticks(self, price: Floats) -> Ints:
        """In which tick each price lies; 0 where there is none."""
        return np.floor(np.nan_to_num(price) / self._tick + _HAIR).astype(np.int64)


def _price_step(low: int, high: int, rows: int) -> int:
    """Ticks a row, so that those from `low` to `high` take at most so many rows (or two)."""
    power = 1
    while True:
        for lead in _LEADS:
            if high // (lead * power) - low // (lead * power) < max(2, rows):
                return lead * power
        power *= 10


def _fine_step(step: int) -> int:
    """The power of ten that divides this step and every larger one."""
    power: int = 10 ** (len(str(step)) - 1)
    return power


def _sums(at: Ints, weights: "Ints | Floats", count: int) -> Floats:
    return np.bincount(at, weights, count).astype(np.float64, copy=False)
