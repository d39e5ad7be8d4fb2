"""A tile: an hour of books as cells of time and price, at one width of its time bins. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from l2vault.analytics.contract import Floats

BINS_MS: Final = (2_000, 10_000, 60_000, 300_000, 1_800_000)
"""Widths of time bins. Each divides the next, and an hour, so that a wider cell is made of whole narrower ones and no
cell lies in two files; 16 s and 16 min, which the design names, do neither."""

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tile:
    """An hour at one width of time bins; row `n` holds the prices from `(first_row + n) * step` ticks on."""

    hour_ms: int
    bin_ms: int
    tick: float
    step: int
    first_row: int
    size: Singles
    """`(bins, rows)`, float32, in the quote currency: the mean of what rested in a cell, NaN if never seen."""
    most: Singles
    """The same of the largest single level that stood in the cell at any time, which no averaging makes smaller."""
    best: tuple[Floats, Floats]
    """`(bins,)` each, float64: best bid and best ask of each bin's last book; NaN where there is none."""
    covered_ms: npt.NDArray[np.int64]
    """`(bins,)`: the time in which a book stood."""

    @property
    def read_to_ms(self) -> int:
        """Up to where it holds books: behind its last bin that has any."""
        return self.hour_ms + self.bin_ms * (int(np.flatnonzero(self.covered_ms)[-1]) + 1)

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return self.size.nbytes + self.most.nbytes + 24 * len(self.covered_ms) + 256


def last_known(values: Floats) -> Floats:
    """`(rows,)`: of each row of `(rows, columns)` the last value that is a number, NaN where none is."""
    at = values.shape[1] - 1 - np.argmax(np.isfinite(values[:, ::-1]), axis=1)
    last: Floats = values[np.arange(len(values)), at]
    return last


def price_step(low: int, high: int, rows: int) -> int:
    """Ticks a row so that `low` to `high` take at most so many rows: 1, 2, 10, 20, 100, ..., of which each divides all
    larger ones, so that tiles of different steps can be put together."""
    step = 1
    while high // step - low // step >= max(2, rows):
        step = step * 2 if str(step).startswith("1") else step * 5
    return step
