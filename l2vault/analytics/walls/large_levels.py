"""The large levels of an hour, and what was before, behind and around each: all that walls are made of. Pure.

`survey` is the work on one hour. It knows no other hour: what lies at the hour's two edges it hands on with its finds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Bools, Ints
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.coverage_meter import Tally, tally_of
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.standing_walls import KEPT_SHARE
from l2vault.analytics.walls.usual import (
    NONE_COUNTED,
    NOTHING_USUAL,
    Usual,
    chance_size,
    counted,
    quantile,
    usual_of,
)

NEIGHBOURS: Final = 10
"""Levels to either side with which a level is compared."""

SLACK: Final = 0.5
"""Levels are first gathered down to half of what the hour alone would need, lest that of the whole span be lower."""

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Ask:
    """What to look for: levels of at least `cut`; where that is None, of what the hour alone would need by its
    `percentile`, or without one by its `chance_size`. `is_each_book`: a row for each book, as `around` differs."""

    unit: Unit
    percentile: float | None
    cut: float | None = None
    is_each_book: bool = False
    is_of_size_alone: bool = False
    """Nothing but its size makes a level a wall: one that is no larger than the book before had it was born before."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The first or last book of a piece, and all that stands in it, in arrays, since those of every hour are kept until
    the end of the span."""

    best: tuple[float, float]
    worst: tuple[float, float]
    is_full: tuple[bool, bool]
    signed: Floats
    """`(levels,)`, ascending: prices of bids, and those of asks below 0."""
    sizes: Floats

    def size_at(self, signed: Floats) -> Floats:
        """What stands at some prices, signed likewise; 0 where nothing does."""
        if not len(self.signed):
            return np.zeros(len(signed))
        at = np.minimum(np.searchsorted(self.signed, signed), len(self.signed) - 1)
        return np.where(self.signed[at] == signed, self.sizes[at], 0.0)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is kept of a piece. `rows` has a row for each stay of a large level with one size and order count."""

    rows: pl.DataFrame
    cut: float
    contract: Contract
    t_from: int
    t_to: int
    books: int
    last_mid: float | None
    opening: Edge
    closing: Edge
    by_size: Floats
    level_ms: int
    tally: Tally
    usual: Usual = NOTHING_USUAL


def survey(pieces: Iterator[Piece], ask: Ask) -> list[Survey]:
    """Of each piece of an hour. What was usual is one for all of them."""
    found: list[Survey] = []
    cells, stood_ms = NONE_COUNTED, 0
    for piece in pieces:
        sizes = piece.sizes(ask.unit)
        own = counted(piece, sizes)
        found.append(_of_piece(piece, sizes, own.sum(axis=0), ask))
        cells, stood_ms = cells + own, stood_ms + int(piece.stood_ms[-1])
    usual = usual_of(cells, stood_ms)
    return [replace(each, usual=usual) for each in found]


def _of_piece(piece: Piece, sizes: Floats, by_size: Floats, ask: Ask) -> Survey:
    cut = ask.cut
    if cut is None:
        needed = chance_size(by_size) if ask.percentile is None else quantile(by_size, ask.percentile / 100)
        cut = needed * KEPT_SHARE * SLACK
    mids = piece.mid[np.isfinite(piece.mid)]
    return Survey(
        _rows(piece, sizes, cut, ask),
        cut,
        piece.contract,
        int(piece.t_from[0]),
        int(piece.t_to[-1]),
        len(piece),
        float(mids[-1]) if len(mids) else None,
        _edge(piece, sizes, 0),
        _edge(piece, sizes, len(piece) - 1),
        by_size,
        int(piece.ms.sum()),
        tally_of(piece),
    )


def _edge(piece: Piece, sizes: Floats, book: int) -> Edge:
    stands = np.flatnonzero((piece.first <= book) & (book < piece.past))
    signed = np.where(piece.is_ask[stands], -piece.price[stands], piece.price[stands])
    order = np.argsort(signed)
    return Edge(
        (float(piece.best.bid[book]), float(piece.best.ask[book])),
        (float(piece.worst.bid[book]), float(piece.worst.ask[book])),
        (bool(piece.is_full["bid"][book]), bool(piece.is_full["ask"][book])),
        signed[order],
        sizes[stands][order],
    )


def _rows(piece: Piece, sizes: Floats, cut: float, ask: Ask) -> pl.DataFrame:
    """In order of side, price and time."""
    large = np.flatnonzero((sizes >= cut) & (sizes > 0))
    rows = piece.beside(large)
    place = piece.price[rows] * np.where(piece.is_ask[rows], 1.0, -1.0)
    order = np.lexsort((piece.first[rows], place))
    rows, place = rows[order], place[order]
    same = place[1:] == place[:-1]
    touch = same & (piece.past[rows][:-1] == piece.first[rows][1:])
    before = np.append(0.0, np.where(touch, sizes[rows][:-1], 0)) if len(rows) else np.empty(0)
    after = np.append(np.where(touch, sizes[rows][1:], 0), 0.0) if len(rows) else np.empty(0)
    is_large = (sizes[rows] >= cut) & (sizes[rows] > 0)
    rows, before, after = rows[is_large], before[is_large], after[is_large]
    found: Columns = {
        "is_ask": piece.is_ask[rows],
        "price": piece.price[rows],
        "size": sizes[rows],
        "orders": piece.orders[rows],
        "first": piece.first[rows].astype(np.int64),
        "past": piece.past[rows].astype(np.int64),
    }
    cells = _Cells(piece, found)
    gaps = np.cumsum(~piece.is_linked)
    if ask.is_each_book or (gaps[found["first"]] != gaps[found["past"] - 1]).any():  # a row goes on over a hole
        is_start, is_end = cells.is_start, np.roll(cells.is_start, -1)
        found = {name: column[cells.row] for name, column in found.items()}
        before = np.where(is_start, before[cells.row], found["size"])
        after = np.where(is_end, after[cells.row], found["size"])
        found |= {"first": cells.book, "past": cells.book + 1}
        cells = _Cells(piece, found)
    found |= {"before": before, "after": after}
    may_be_born = found["size"] >= cut / KEPT_SHARE
    if ask.is_of_size_alone:
        may_be_born &= (found["size"] > before) | ~piece.is_linked[found["first"]]
    around = _around(piece, found, may_be_born, ask.unit)
    return pl.DataFrame(found | cells.sums() | _ends(piece, found) | {"around": around})


class _Cells:
    """Each row in each of its books."""

    def __init__(self, piece: Piece, found: Columns) -> None:
        times = found["past"] - found["first"]
        self._piece = piece
        self._found = found
        self._starts = np.cumsum(times) - times
        self.row = np.repeat(np.arange(len(times)), times)
        self.book: Ints = np.arange(len(self.row)) - (self._starts - found["first"])[self.row]
        self.is_start: Bools = self.book == found["first"][self.row]

    def sums(self) -> Columns:
        """A row each: for how long it stood, in all and at the touch; its distance from mid times ms, and the least."""
        if not len(self.row):
            whole, none = np.empty(0, np.int64), np.empty(0)
            return {"ms": whole, "touch_ms": whole, "distance_ms": none, "nearest_bps": none}
        piece, book = self._piece, self.book
        is_ask, price = self._found["is_ask"][self.row], self._found["price"][self.row]
        ms = (piece.t_to - piece.t_from)[book]
        away = (price - piece.mid[book]) / piece.mid[book] * BPS
        away = np.where(is_ask, away, -away)
        is_at_touch = piece.best.of(is_ask, book) == np.where(is_ask, -price, price)
        return {
            "ms": np.add.reduceat(ms, self._starts),
            "touch_ms": np.add.reduceat(np.where(is_at_touch, ms, 0), self._starts),
            "distance_ms": np.add.reduceat(away * ms, self._starts),
            "nearest_bps": np.fmin.reduceat(away, self._starts),
        }


def _ends(piece: Piece, found: Columns) -> Columns:
    """What the books at both ends of each row, and those before and behind it, say of its price."""
    is_ask, price, first, past = (found[name] for name in ("is_ask", "price", "first", "past"))
    signed = np.where(is_ask, -price, price)
    previous, later = np.maximum(first - 1, 0), np.minimum(past, len(piece) - 1)
    return {
        "t_from": piece.t_from[first],
        "t_last": piece.t_from[past - 1],
        "t_to": piece.t_to[past - 1],
        "is_at_touch": piece.best.of(is_ask, first) == signed,
        "is_linked": piece.is_linked[first],
        "was_beyond": piece.is_beyond(is_ask, price, previous),
        "is_linked_on": np.where(past < len(piece), piece.is_linked[later], False),
        # Not "at most": where the whole side is gone its best is NaN, and the price was reached as well.
        "is_reached": ~(piece.best.of(is_ask, later) > signed),
        "is_beyond": piece.is_beyond(is_ask, price, later),
    }


def _around(piece: Piece, found: Columns, may_be_born: Bools, unit: Unit) -> Floats:
    """The mean size of the levels next to each in its first book, without itself, of those that may be born there; NaN
    for the others, and where it stands alone."""
    around = np.full(len(found["price"]), np.nan)
    for name in SIDES:
        own = np.flatnonzero((found["is_ask"] == (name == "ask")) & may_be_born)
        if not len(own):
            continue
        books, at = np.unique(found["first"][own], return_inverse=True)
        side = piece.ladder(name, books)
        sizes = np.nan_to_num(piece.contract.sizes(side.qty, side.price, unit))
        rank = np.argmax(side.price[at] == found["price"][own][:, None], axis=1)
        around[own] = _mean_around(sizes, side.count, at, rank)
    return around


def _mean_around(sizes: Floats, count: Ints, book: Ints, rank: Ints) -> Floats:
    passed = np.pad(sizes.cumsum(axis=1), ((0, 0), (1, 0)))
    first, last = np.maximum(rank - NEIGHBOURS, 0), np.minimum(rank + NEIGHBOURS + 1, count[book])
    others = last - first - 1
    total = passed[book, last] - passed[book, first] - sizes[book, rank]
    return np.where(others > 0, total / np.maximum(others, 1), np.nan)
