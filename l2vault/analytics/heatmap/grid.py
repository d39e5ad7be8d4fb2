"""Sums over cells of time and price, gathered from level rows piece by piece in bounded memory. Pure.

Each piece is summed up on a grid of its own, whose steps divide those of the one that the whole span turns out to need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from l2vault.analytics.book_matrix import SIDES, Bools, Ints, SideName
from l2vault.analytics.books import Frames
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.coverage_meter import Tally, tally_of
from l2vault.analytics.interval_rows import Numbers, Piece
from l2vault.analytics.one_book import BPS
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

MID_TICK_BPS: Final = 0.01
"""Around mid prices are counted in so many basis points of it."""

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


@dataclass(frozen=True, slots=True)
class _Sums:
    """Size times ms of both sides by time bin, from `first_bin` on, and by `step` ticks, from `first_row` times that
    on."""

    first_bin: int
    first_row: int
    step: int
    low: int
    high: int
    size_ms: dict[SideName, Floats]
    most: "Floats | None"
    """In the same cells, of both sides: the largest level that stood there at any time."""


@dataclass(frozen=True, slots=True)
class Mids:
    """The mid of each book that has one, `(steps,)` arrays in order of time. Books that follow each other without a
    hole and have the same mid are one step."""

    t_from: Ints
    t_to: Ints
    mid: Floats

    def at(self, t_ms: Ints) -> Floats:
        """The mid of the book that stood at each time, of the same shape; NaN where none did, or one without a mid."""
        if not len(self.mid):
            return np.full(np.shape(t_ms), np.nan)
        step = np.searchsorted(self.t_from, t_ms, side="right") - 1
        stands = (step >= 0) & (np.asarray(t_ms) < self.t_to[np.maximum(step, 0)])
        return np.where(stands, self.mid[np.maximum(step, 0)], np.nan)

    @staticmethod
    def joined(parts: "Sequence[Mids]") -> "Mids":
        """Of parts in order of time."""
        t_from, t_to = (
            np.concatenate([np.empty(0, np.int64), *(getattr(each, name) for each in parts)])
            for name in ("t_from", "t_to")
        )
        return Mids(t_from, t_to, np.concatenate([np.empty(0), *(each.mid for each in parts)]))


def mids_of(piece: Piece) -> Mids:
    """Of the books of a piece."""
    known = np.flatnonzero(np.isfinite(piece.mid))
    t_from, t_to, mid = piece.t_from[known], piece.t_to[known], piece.mid[known]
    is_new = np.ones(len(known), np.bool_)
    is_new[1:] = (t_from[1:] != t_to[:-1]) | (mid[1:] != mid[:-1])
    begins = np.flatnonzero(is_new)
    lasts = np.append(begins[1:], len(known))[: len(begins)] - 1
    return Mids(t_from[begins], t_to[lasts], mid[begins])


@dataclass(frozen=True, slots=True)
class PieceCells:
    """What `Cells` must know of a piece. Its time bins are those from `first_bin` on."""

    first_bin: int
    covered_ms: Ints
    best: dict[SideName, Floats]
    worst: dict[SideName, Floats]
    ends: dict[SideName, tuple[Ints, Ints, Ints]]
    """In which bin (of all), to which tick, for how many ms a side could be seen."""
    mid: Floats
    """Of each bin's last book that has one."""
    mids: Mids | None
    """Of each book, where cells lie around mid."""
    sums: _Sums | None
    closing: Frames
    tally: Tally


def time_bins(start_ms: int, end_ms: int, least_ms: int, columns: int) -> TimeBins:
    """The shortest of at least `least_ms` that divide a day, or are whole days, and are at most `columns`."""
    days = (DAY_MS * count for count in range(2, end_ms // DAY_MS + 3))
    for width_ms in (*_WIDTHS_MS, *days):
        bins = TimeBins(width_ms, start_ms, end_ms)
        if width_ms >= least_ms and bins.count <= columns:
            break
    return bins


@dataclass(frozen=True, slots=True)
class Ask:
    """What to sum up: sizes in `unit` by the time bins and, at most `rows` of them, by price in `tick`, or around mid
    by `MID_TICK_BPS`; `keeps_most`: the largest level of each cell too."""

    bins: TimeBins
    tick: float
    rows: int
    unit: Unit
    is_around_mid: bool = False
    keeps_most: bool = False

    def ticks(self, price: Floats, mid: Floats) -> Ints:
        """In which tick each price lies; 0 where there is none."""
        if self.is_around_mid:
            return _ticks((price - mid) / mid * BPS, MID_TICK_BPS)
        return _ticks(price, self.tick)


def cells_of(pieces: Iterator[Piece], ask: Ask) -> list[PieceCells]:
    """The work on one hour: what is kept of each of its pieces."""
    return [_cells(piece, ask) for piece in pieces]


def _cells(piece: Piece, ask: Ask) -> PieceCells:
    parts = _parts(piece, ask.bins)
    first_bin = int(parts.bin[0])
    at = parts.bin - first_bin
    count = int(at[-1]) + 1
    best: dict[SideName, Floats] = {name: np.full(count, np.nan) for name in SIDES}
    worst: dict[SideName, Floats] = {name: np.full(count, np.nan) for name in SIDES}
    mid = np.full(count, np.nan)
    has_mid = np.isfinite(piece.mid[parts.book])
    mid[at[has_mid]] = piece.mid[parts.book[has_mid]]
    ends: dict[SideName, tuple[Ints, Ints, Ints]] = {}
    for name in SIDES:
        of_best, of_worst = (end.bid if name == "bid" else end.ask for end in (piece.best, piece.worst))
        best[name][at] = of_best[parts.book]  # of several the last one stays
        (np.fmin if name == "bid" else np.fmax).at(worst[name], at, of_worst[parts.book])
        reach = np.where(piece.is_full[name], ask.ticks(of_worst, piece.mid), -_FAR if name == "bid" else _FAR)
        ends[name] = _summed_ends(_chosen(parts, has_mid) if ask.is_around_mid else parts, reach)
    covered_ms = _sums(at, parts.ms, count).astype(np.int64)
    closing = piece.book_alone(len(piece) - 1)
    mids = mids_of(piece) if ask.is_around_mid else None
    sums = _sums_of(piece, ask)
    return PieceCells(first_bin, covered_ms, best, worst, ends, mid, mids, sums, closing, tally_of(piece))


def _chosen(parts: _Parts, is_chosen: Bools) -> _Parts:
    return _Parts(*(each[is_chosen] for each in parts))


def _parts(piece: Piece, bins: TimeBins) -> _Parts:
    first, last = bins.at(piece.t_from), bins.at(piece.t_to - 1)
    times = last - first + 1
    book = np.repeat(np.arange(len(piece)), times)
    column = first[book] + _within(times)
    edges = bins.edges()
    begins = np.maximum(piece.t_from[book], edges[column])
    return _Parts(book, column, np.minimum(piece.t_to[book], edges[column + 1]) - begins)


def _summed_ends(parts: _Parts, reach: Ints) -> tuple[Ints, Ints, Ints]:
    """One for each bin and tick: a book reaches as far as the one before it, more often than not."""
    if not len(parts.book):
        return parts.bin, parts.book, parts.ms
    order = np.lexsort((reach[parts.book], parts.bin))
    bins, reach, ms = parts.bin[order], reach[parts.book][order], parts.ms[order]
    begins = np.flatnonzero((np.diff(bins, prepend=-1) != 0) | (np.diff(reach, prepend=0) != 0))
    return bins[begins], reach[begins], np.add.reduceat(ms, begins)


class _Rows(NamedTuple):
    """Levels, and the books from `first` up to `past` in which each stands at its tick."""

    ticks: Ints
    first: Numbers
    past: Numbers
    size: Floats
    is_ask: Bools


def _rows_of(piece: Piece, ask: Ask) -> _Rows:
    """Around mid a level is at another tick in each book."""
    if not ask.is_around_mid:
        return _Rows(_ticks(piece.price, ask.tick), piece.first, piece.past, piece.sizes(ask.unit), piece.is_ask)
    times = piece.past - piece.first
    row = np.repeat(np.arange(len(times), dtype=np.int32), times)
    book = (piece.first[row] + _within(times)).astype(np.int32)
    is_known = np.isfinite(piece.mid[book])
    row, book = row[is_known], book[is_known]
    ticks = ask.ticks(piece.price[row], piece.mid[book])
    return _Rows(ticks, book, book + np.int32(1), piece.sizes(ask.unit)[row], piece.is_ask[row])


def _sums_of(piece: Piece, ask: Ask) -> _Sums | None:
    """Each row counts in every bin for as long as books stood there in which it stands. None without any level."""
    rows = _rows_of(piece, ask)
    if not len(rows.ticks):
        return None
    low, high = int(rows.ticks.min()), int(rows.ticks.max())
    step = _fine_step(_price_step(low, high, ask.rows))
    stood = _stood_before(piece, ask.bins.edges())
    from_bin = np.searchsorted(stood, piece.stood_ms, side="right") - 1
    to_bin = np.searchsorted(stood, piece.stood_ms, side="left") - 1
    first_bin, first_row = int(from_bin[0]), low // step
    shape = int(to_bin[-1]) - first_bin + 1, high // step - first_row + 1
    row_from = from_bin.take(rows.first)
    times = to_bin.take(rows.past) - row_from + 1
    cell = rows.is_ask * (shape[0] * shape[1]) + (row_from - first_bin) * shape[1] + (rows.ticks // step - first_row)
    total = np.zeros(2 * shape[0] * shape[1])
    most = np.zeros(len(total) if ask.keeps_most else 0)
    is_one = times == 1
    ms = piece.stood_ms.take(rows.past) - piece.stood_ms.take(rows.first)
    total += _sums(cell[is_one], rows.size[is_one] * ms[is_one], len(total))
    if ask.keeps_most:
        np.maximum.at(most, cell[is_one], rows.size[is_one])
    many = np.flatnonzero(~is_one)
    if len(many):
        row, nth = np.repeat(many, times[many]), _within(times[many])
        column = row_from[row] + nth
        begins = np.maximum(piece.stood_ms[rows.first[row]], stood[column])
        lasts = np.minimum(piece.stood_ms[rows.past[row]], stood[column + 1]) - begins
        total += _sums(cell[row] + nth * shape[1], rows.size[row] * lasts, len(total))
        if ask.keeps_most:
            np.maximum.at(most, cell[row] + nth * shape[1], rows.size[row])
    bids, asks = total.reshape(2, *shape)
    largest = most.reshape(2, *shape).max(axis=0) if ask.keeps_most else None
    return _Sums(first_bin, first_row, step, low, high, {"bid": bids, "ask": asks}, largest)


def _stood_before(piece: Piece, edges: Ints) -> Ints:
    """For how long books stood before each edge of a bin."""
    book = np.searchsorted(piece.t_from, edges, side="right") - 1
    own = np.maximum(book, 0)
    of_book = np.minimum(edges, piece.t_to[own]) - piece.t_from[own]
    return piece.stood_ms[own] + np.where(book < 0, 0, of_book)


def _within(times: Ints) -> Ints:
    """`0, 1, ..., times[0] - 1, 0, 1, ..., times[1] - 1, ...`"""
    nth: Ints = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return nth


class Cells:
    """Takes pieces in order of time. Bins are those of `bins` and, once all has been seen, of `price_bins`."""

    def __init__(self, bins: TimeBins, rows: int) -> None:
        self._bins, self._rows = bins, rows
        self._pieces: list[_Sums] = []
        self._ends: dict[SideName, list[tuple[Ints, Ints, Ints]]] = {name: [] for name in SIDES}
        self.best: dict[SideName, Floats] = {name: np.full(bins.count, np.nan) for name in SIDES}
        self.worst: dict[SideName, Floats] = {name: np.full(bins.count, np.nan) for name in SIDES}
        self.mid: Floats = np.full(bins.count, np.nan)
        self.covered_ms: Ints = np.zeros(bins.count, np.int64)
        self.closing: Frames | None = None
        self._mids: list[Mids] = []

    def add(self, piece: PieceCells) -> None:
        """Call it once for each piece, in order of time."""
        own = slice(piece.first_bin, piece.first_bin + len(piece.covered_ms))
        self.covered_ms[own] += piece.covered_ms
        for name in SIDES:
            has_book = piece.covered_ms > 0
            self.best[name][own] = np.where(has_book, piece.best[name], self.best[name][own])
            farthest = np.fmin if name == "bid" else np.fmax
            self.worst[name][own] = farthest(self.worst[name][own], piece.worst[name])
            self._ends[name].append(piece.ends[name])
        self.mid[own] = np.where(np.isfinite(piece.mid), piece.mid, self.mid[own])
        self.closing = piece.closing
        if piece.mids is not None:
            self._mids.append(piece.mids)
        if piece.sums is not None:
            self._pieces.append(piece.sums)

    @property
    def mids(self) -> Mids:
        """Of each book; none where cells do not lie around mid."""
        return Mids.joined(self._mids)

    def price_bins(self) -> tuple[int, int, int]:
        """Ticks a row, and the first and the last row: row n begins at n times the ticks of one.

        Of books without any level it is one row at 0.
        """
        if not self._pieces:
            return 1, 0, 0
        low, high = min(each.low for each in self._pieces), max(each.high for each in self._pieces)
        step = _price_step(low, high, self._rows)
        return step, low // step, high // step

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

    def most(self, step: int, first: int, last: int) -> Floats:
        """`(time bins, rows)`, float64: the size of the largest single level, of either side, that stood in a cell at
        any time; 0 where none did. Of pieces that were made with `keeps_most`."""
        largest = np.zeros((self._bins.count, last - first + 1))
        for piece in self._pieces:
            assert piece.most is not None
            rows = (piece.first_row + np.arange(piece.most.shape[1])) * piece.step // step
            begins = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
            own = largest[piece.first_bin : piece.first_bin + len(piece.most)]
            at = rows[begins] - first
            own[:, at] = np.maximum(own[:, at], np.maximum.reduceat(piece.most, begins, axis=1))
        return largest

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


def _ticks(price: Floats, tick: float) -> Ints:
    """In which tick each price lies; 0 where there is none."""
    return np.floor(np.nan_to_num(price) / tick + _HAIR).astype(np.int64)


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
