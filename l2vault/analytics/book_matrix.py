"""One side of many books as matrices, a row a book, a column a rank, best first. Pure; needs numpy and polars.

Built from the level-interval table: a level stands in every book that begins while its row lasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.contract import Contract, Floats

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
SideName = Literal["bid", "ask"]
SIDES: Final[tuple[SideName, ...]] = ("bid", "ask")

BANDS_BPS: Final = (2.0, 5.0, 10.0, 25.0)
"""Distances from mid that are measured unless others are asked for."""
_FEW: Final = np.iinfo(np.int16).max
"""Up to so many books numpy sorts their numbers by radix: measured, five times as fast as any other sort."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of many books. Ranks go from the best level outwards, up to the deepest of these books."""

    price: Floats
    """`(books, ranks)`, float64, NaN-padded where a book has no such rank."""
    qty: Floats
    """`(books, ranks)`, float64, contracts, padded with 0."""
    orders: npt.NDArray[np.int32]
    """`(books, ranks)`, int32, padded with 0; 0 too where OKX sent no number."""
    count: Ints
    """`(books,)`, int64: how many levels each book has."""

    @property
    def best(self) -> Floats:
        """`(books,)`: the best price; NaN for an empty side."""
        return self.price[:, 0]

    @property
    def worst(self) -> Floats:
        """`(books,)`: the farthest price that can be seen; NaN for an empty side."""
        worst: Floats = self.price[np.arange(len(self.count)), np.maximum(self.count - 1, 0)]
        return worst


def side_of(rows: pl.DataFrame, t_ms: Ints, name: SideName) -> Side:
    """One side of the books that begin at some times (ms, ascending), of the rows of that side in any order."""
    price = rows["price"].to_numpy()
    first = np.searchsorted(t_ms, rows["t_from"].to_numpy())
    times = np.searchsorted(t_ms, rows["t_to"].to_numpy()) - first
    best_first = np.argsort(price if name == "ask" else -price, kind="stable")
    first, times = first[best_first], times[best_first]
    book = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times - first, times)
    by_book = np.argsort(book.astype(np.int16) if len(t_ms) <= _FEW else book, kind="stable")
    level = np.repeat(best_first, times)[by_book]
    book = book[by_book]
    count = np.bincount(book, minlength=len(t_ms))
    rank = np.arange(len(book)) - np.repeat(np.cumsum(count) - count, count)
    shape = len(t_ms), max(1, int(count.max(initial=0)))
    side = Side(np.full(shape, np.nan), np.zeros(shape), np.zeros(shape, np.int32), count)
    side.price[book, rank] = price[level]
    side.qty[book, rank] = rows["qty"].to_numpy()[level]
    side.orders[book, rank] = rows["orders"].fill_null(0).to_numpy()[level]
    return side


NOWHERE: Final = -(1 << 62)
"""Where an empty side has its best point: below all."""

_FINER: Final = 2
"""Decimals beyond those of the tick, which may have been finer before the oldest instrument row that was kept."""


def decimals_of(contracts: Sequence[Contract]) -> int:
    """Such that every price of the contracts is a whole number of points of `10 ** -decimals`."""
    return max(contract.tick_decimals for contract in contracts) + _FINER
