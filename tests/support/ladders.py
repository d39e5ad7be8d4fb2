"""Books as ladders, every level at its rank: what the fast ways over level rows must agree with."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Bools, Ints, Side, SideName, side_of
from l2vault.analytics.books import Books
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.one_book import BPS


def ladders_in(books: Books) -> Iterator["Ladders"]:
    """All books in order of time, piece by piece. Raises VaultError if there is none."""
    before: Ladders | None = None
    for pieces in books.mapped(list):
        for piece in pieces:
            is_same = before is not None and before.contract == piece.contract
            follows_ms = int(before.t_to[-1]) if before is not None and is_same else None
            before = _ladders_of(piece.levels, piece.books, piece.contract, follows_ms)
            yield before
    if before is None:
        raise books.no_book()


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


def _ladders_of(levels: pl.DataFrame, books: pl.DataFrame, contract: Contract, follows_ms: int | None) -> Ladders:
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
