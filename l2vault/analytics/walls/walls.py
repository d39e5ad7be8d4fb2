"""Whale walls: levels far larger than the others, each followed from its birth to its end. Pure arithmetic.

Finds in every book what may be (part of) a wall; `ledger` makes lives of it. `docs/intelligence.md` has the rules.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Ladders, SideName
from l2vault.analytics.books import Books, CoverageMeter, Result
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.walls.ledger import KEPT_SHARE, Birth, ledger_of
from l2vault.errors import UsageError

PERCENTILE: Final = 99.8
"""Of the sizes of all levels, each weighted by its time. On 344 s of real books of August 2024 it is 0.95 M USD for BTC
and 0.62 M for ETH, where the trade draws walls from 1 M and 0.5 M on."""

NEIGHBOURS: Final = 10
"""Levels to either side with which a level is compared."""

_SLACK: Final = 0.5
"""Levels are first gathered down to half of what the piece alone would need, lest that of the whole span be lower."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What makes a level a wall; sizes are in the unit asked for. Raises UsageError for an impossible value.

    It is born with at least `min_size`, or where that is None with more than `percentile` per cent of the span's
    levels, each weighted by its time; and, where they are given, with `relative` times the mean size of the
    `NEIGHBOURS` levels to either side, and `per_order` on average in each of its orders.
    """

    min_size: float | None = None
    percentile: float = PERCENTILE
    relative: float | None = None
    per_order: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise UsageError(f"a percentile of {self.percentile:g} is impossible.", "99.8")
        for name in ("min_size", "relative", "per_order"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} = {value:g} is impossible.", "a number above 0")


def walls(books: Books, unit: Unit = "usd", criteria: Criteria | None = None) -> Result:
    """A row per life of a wall as `ledger.LEDGER` says, in order of birth. Sizes are in `unit`, times ms since 1970.

    `settings` has the `threshold` that was used. Raises VaultError where the span has no book, or none with two sides.
    """
    criteria = criteria or Criteria()
    least = None if criteria.min_size is None else criteria.min_size * KEPT_SHARE
    found = _gather(books, unit, criteria, least)
    threshold = found.threshold(criteria)
    if least is None and threshold * KEPT_SHARE < found.floor:
        # Some piece was cut above what the whole needs; what it left out can only have made the threshold too low.
        found = _gather(books, unit, criteria, threshold * KEPT_SHARE)
        threshold = found.threshold(criteria)
    marks, after, passed = (pl.concat(frames) for frames in (found.marks, found.after, found.books))
    frame = ledger_of(marks, after, passed, Birth(threshold, criteria.relative, criteria.per_order))
    settings = {"threshold": threshold, "kept_share": KEPT_SHARE}
    settings |= {
        name: value
        for name in ("percentile", "min_size", "relative", "per_order")
        if (value := getattr(criteria, name))
    }
    if criteria.min_size is not None:
        del settings["percentile"]
    return Result(frame, found.meter.provenance("walls/2", unit, **settings))


class _Found:
    """Marks are levels of at least `floor`; `after` is what stood at the price of each in the next book."""

    def __init__(self, books: Books) -> None:
        self.meter = CoverageMeter(books)
        self.marks: list[pl.DataFrame] = []
        self.after: list[pl.DataFrame] = []
        self.books: list[pl.DataFrame] = []
        self.floor = 0.0
        self.level_ms = 0.0
        self.count = 0

    def threshold(self, criteria: Criteria) -> float:
        """The size that only the rest of the levels, by their time, have or exceed."""
        if criteria.min_size is not None:
            return criteria.min_size
        marks = pl.concat(self.marks).sort("size", descending=True)
        rest_ms = self.level_ms * (1 - criteria.percentile / 100)
        at = int(np.searchsorted(marks["ms"].cum_sum().to_numpy(), rest_ms))
        return float(marks["size"][min(at, len(marks) - 1)]) if len(marks) else 0.0


def _gather(books: Books, unit: Unit, criteria: Criteria, least: float | None) -> _Found:
    found = _Found(books)
    for repeated, ladders in books.neighbours():
        own = ladders.rows(slice(repeated, None))
        found.meter.add(own)
        sizes: dict[SideName, Floats] = {name: ladders.sizes(name, unit) for name in SIDES}
        floor = _floor(sizes, criteria.percentile) if least is None else least
        found.floor = max(found.floor, floor)
        first = found.count - repeated
        for name in SIDES:
            marks, after = _marks(ladders, name, sizes[name], floor)
            marks = marks.filter(pl.col("book") >= repeated)
            found.marks.append(marks.with_columns(pl.col("book") + first))
            found.after.append(after.with_columns(pl.col("book") + first))
            found.level_ms += float((own.side(name).count * (own.t_to - own.t_from)).sum())
        found.books.append(_touches(own))
        found.count += len(own)
    return found


def _floor(sizes: dict[SideName, Floats], percentile: float) -> float:
    levels = np.concatenate([matrix[matrix > 0] for matrix in sizes.values()])
    return float(np.percentile(levels, percentile)) * KEPT_SHARE * _SLACK if len(levels) else 0.0


def _marks(ladders: Ladders, name: SideName, sizes: Floats, floor: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    side = ladders.side(name)
    book, rank = np.nonzero((sizes >= floor) & (sizes > 0))
    price = side.price[book, rank]
    size = sizes[book, rank]
    keys = {"book": book, "side": [name] * len(book), "price": price}
    marks = pl.DataFrame(
        keys
        | {
            "size": size,
            "orders": side.orders[book, rank].astype(np.int64),
            "ms": (ladders.t_to - ladders.t_from)[book],
            "around": _around(sizes, side.count, book, rank),
            "before": _size_at(side.price, sizes, book - 1, price),
            "distance_bps": ladders.distance_bps(name)[book, rank],
        },
        schema_overrides={"side": pl.String},
    )
    has_next = book < len(ladders) - 1
    after = pl.DataFrame(
        keys | {"after": _size_at(side.price, sizes, book + 1, price)}, schema_overrides={"side": pl.String}
    )
    return marks, after.filter(pl.Series(has_next, dtype=pl.Boolean))


def _around(
    sizes: Floats, count: npt.NDArray[np.int64], book: npt.NDArray[np.int64], rank: npt.NDArray[np.int64]
) -> Floats:
    """The mean size of the levels next to each, without itself; NaN where it stands alone."""
    passed = np.pad(sizes.cumsum(axis=1), ((0, 0), (1, 0)))
    first, last = np.maximum(rank - NEIGHBOURS, 0), np.minimum(rank + NEIGHBOURS + 1, count[book])
    others = last - first - 1
    total = passed[book, last] - passed[book, first] - sizes[book, rank]
    return np.where(others > 0, total / np.maximum(others, 1), np.nan)


def _size_at(prices: Floats, sizes: Floats, book: npt.NDArray[np.int64], price: Floats) -> Floats:
    """What stands at each price in each book; 0 where nothing does, or there is no such book."""
    inside = np.clip(book, 0, len(prices) - 1)
    here = prices[inside] == price[:, None]
    return np.where(book == inside, np.where(here, sizes[inside], 0).sum(axis=1), 0)


def _touches(ladders: Ladders) -> pl.DataFrame:
    """What decides how walls begin and end: a row a book."""
    return pl.DataFrame(
        {
            "t_from": ladders.t_from,
            "t_to": ladders.t_to,
            "is_linked": ladders.is_linked,
            "best_bid": ladders.bids.best,
            "best_ask": ladders.asks.best,
            "worst_bid": ladders.bids.worst,
            "worst_ask": ladders.asks.worst,
            "is_full_bid": ladders.is_full("bid"),
            "is_full_ask": ladders.is_full("ask"),
        }
    )
