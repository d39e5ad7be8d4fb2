"""Many books side by side as matrices, a row a book, a column a rank, best first. Pure; needs numpy and polars.

Built from the level-interval table: a level stands in every book that begins while its row lasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.one_book import BPS

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


@dataclass(frozen=True, slots=True)
class Ladders:
    """Books in order of time, side by side."""

    t_from: Ints
    """`(books,)`, int64, ascending: exchange time in ms since 1970 from which each book stands, inclusive."""
    t_to: Ints
    """`(books,)`, int64: until when, exclusive. No book overlaps the next."""
    depth: Ints
    """`(books,)`, int64: how many levels a side each was recorded to at most."""
    is_linked: Bools
    """`(books,)`: nothing lies between this book and the one before it, be that in an earlier `Ladders`."""
    bids: Side
    asks: Side
    contract: Contract

    def __len__(self) -> int:
        return len(self.t_from)

    def side(self, name: SideName) -> Side:
        """Bids or asks, by name."""
        return self.bids if name == "bid" else self.asks

    @property
    def mid(self) -> Floats:
        """`(books,)`, float64: half of best bid plus best ask; NaN where a side is empty."""
        return (self.bids.best + self.asks.best) / 2

    def sizes(self, name: SideName, unit: Unit) -> Floats:
        """`(books, ranks)`, float64, in `unit`: of every level; 0 where there is none."""
        side = self.side(name)
        return np.nan_to_num(self.contract.sizes(side.qty, side.price, unit))

    def is_full(self, name: SideName) -> Bools:
        """`(books,)`: whether the side has `depth` levels, so that more may lie beyond. Otherwise it is whole."""
        return self.side(name).count >= self.depth

    def visible_bps(self, name: SideName) -> Floats:
        """`(books,)`, float64: how far from mid the farthest level of a side lies; infinite where it is whole."""
        side = self.side(name)
        reach = np.abs(side.worst - self.mid) / self.mid * BPS
        return np.where(self.is_full(name), reach, np.inf)


def ladders_of(levels: pl.DataFrame, books: pl.DataFrame, contract: Contract, follows_ms: int | None) -> Ladders:
    """The books of a frame (`t_from`, `t_to`, `depth`), whose levels are the rows of the level-interval table
    (`side`, `price`, `qty`, `orders`, `t_from`, `t_to`), in any order. The books are in order of time.

    `follows_ms` is the end of the last book before these, None if there is none that bears on them.
    """
    t_from, t_to = (books[name].to_numpy() for name in ("t_from", "t_to"))
    ends_before = np.concatenate([[-1 if follows_ms is None else follows_ms], t_to[:-1]])
    bids, asks = (side_of(levels.filter(pl.col("side") == name), t_from, name) for name in SIDES)
    return Ladders(
        t_from, t_to, books["depth"].to_numpy().astype(np.int64), ends_before == t_from, bids, asks, contract
    )


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
