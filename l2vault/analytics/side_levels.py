"""The levels of one side of many books, book by book, best first, and sums over them. Pure; needs numpy.

Rows that last over several books are repeated for some books at a time, so that what is looked up stays in the cache;
nothing is padded. What needs every rank of a book side by side is in `book_matrix`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Bools, Ints, SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.interval_rows import Piece, order_of
from l2vault.analytics.one_book import BPS, ROUNDING_BPS

_LEVELS_AT_ONCE: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class SideLevels:
    """One side of the books `start`, `start + 1`, ... of a piece."""

    start: int
    count: Ints
    """`(books,)`: how many levels each has."""
    book: Ints
    """`(levels,)`, ascending from 0: the book of each level."""
    row: Ints
    """`(levels,)`: its row in the piece; within a book the best price comes first."""

    @property
    def own(self) -> slice:
        """Its books among those of the piece."""
        return slice(self.start, self.start + len(self.count))

    def sums(self, values: Floats) -> Floats:
        """`(books,)`: of a value for each level; 0 where a book has none."""
        return self._reduced(np.add, values)

    def most(self, values: Floats) -> Floats:
        """`(books,)`: the largest of a value, which is none below 0, for each level; 0 where a book has none."""
        return self._reduced(np.maximum, values)

    def _reduced(self, reduce: np.ufunc, values: Floats) -> Floats:
        reduced = np.zeros(len(self.count))
        filled = np.flatnonzero(self.count)
        if len(filled):
            reduced[filled] = reduce.reduceat(values, (np.cumsum(self.count) - self.count)[filled])
        return reduced

    def ranked(self, values: Floats) -> Floats:
        """`(books, ranks)`: a value for each level, the best first, side by side, and 0 behind the last."""
        begins = np.cumsum(self.count) - self.count
        ranked = np.zeros((len(self.count), max(1, int(self.count.max(initial=0)))))
        ranked[self.book, np.arange(len(self.book)) - np.repeat(begins, self.count)] = values
        return ranked


def side_levels(piece: Piece, name: SideName) -> Iterator[SideLevels]:
    """The side of every book of a piece, some books at a time, in order of time."""
    rows = np.flatnonzero(piece.is_ask == (name == "ask"))
    price = piece.price[rows]
    # Prices above 0 are in the order of their bits.
    bits = price.view(np.int64)
    rows = rows[order_of(bits - bits.min(initial=1 << 62) if name == "ask" else bits.max(initial=0) - bits)]
    first, past = piece.first[rows], piece.past[rows]
    levels = int((past - first).sum())
    at_once = max(1, len(piece) * _LEVELS_AT_ONCE // max(1, levels))
    for start in range(0, len(piece), at_once):
        end = min(start + at_once, len(piece))
        own = np.flatnonzero((first < end) & (past > start))
        begins = np.maximum(first[own], start) - start
        times = np.minimum(past[own], end) - start - begins
        book = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times - begins, times)
        order = order_of(book)
        yield SideLevels(
            start, np.bincount(book, minlength=end - start), book[order], np.repeat(rows[own], times)[order]
        )


def within(piece: Piece, name: SideName, sizes: Floats, band_bps: float) -> Floats:
    """`(books,)`: what rests on a side within so much of mid, of `(rows,)` sizes; NaN where the band goes beyond the
    visible range, or there is no mid."""
    parts = [near_sums(piece, name, side, sizes[side.row], [band_bps]) for side in side_levels(piece, name)]
    return np.where(is_seen(piece, name, band_bps), np.concatenate([sums for part in parts for sums in part]), np.nan)


def near_sums(
    piece: Piece, name: SideName, side: SideLevels, sizes: Floats, bands_bps: Sequence[float]
) -> Iterator[Floats]:
    """`(books,)` of each band: the sum of `(levels,)` sizes within so much of mid, be it seen or not."""
    mid = piece.mid[side.own][side.book]
    away = piece.price[side.row] - mid
    distance_bps = (away if name == "ask" else -away) / mid * BPS
    for band_bps in bands_bps:
        yield side.sums(sizes * (distance_bps <= band_bps + ROUNDING_BPS))


def is_seen(piece: Piece, name: SideName, band_bps: float) -> Bools:
    """`(books,)`: whether a book has a mid and all of a band of it lies within what can be seen of the side."""
    seen: Bools = (piece.visible_bps(name) >= band_bps - ROUNDING_BPS) & np.isfinite(piece.mid)
    return seen
