"""A heatmap as numbers: what rested in each cell of a grid of time and price, and for how long it could be seen. Pure.

A cell that was never within reach, or in whose time no book stood, is not known, which is not the same as empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Ints, SideName
from l2vault.analytics.books import Books, Result
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.coverage_meter import CoverageMeter
from l2vault.analytics.heatmap.grid import MID_TICK_BPS, Ask, Cells, Mids, PieceCells, TimeBins, cells_of, time_bins
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.provenance import Provenance
from l2vault.analytics.walls.large_levels import Ask as Look
from l2vault.analytics.walls.large_levels import Survey, survey
from l2vault.analytics.walls.walls import Criteria, first_look, walls

COLUMNS: Final = 1200
ROWS: Final = 400


class Distances(NamedTuple):
    """How far a price was from mid, a row for each time bin in which that is known, in order of time.

    `t_from` and `t_to`, int64, ms: when it was first and last known within the bin. `middle`, `low` and `high`,
    float64, bps: the median over the books of the bin, each weighted by its time, the least, and the most.
    """

    t_from: Ints
    t_to: Ints
    middle: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Heatmap:
    """What rested in each cell of time and price, by side, and for how long the cell could be seen."""

    t_ms: Ints
    """`(bins + 1,)`, int64, ascending: edges of the time bins, ms since 1970."""
    price: Floats
    """`(rows + 1,)`, float64, ascending: edges of the price bins; around mid in basis points from it."""
    size: dict[SideName, Floats]
    """`(bins, rows)`, float64, in the unit asked for: the mean of what rested in a cell over its `seen_ms`; NaN where
    that is 0."""
    seen_ms: dict[SideName, Ints]
    """`(bins, rows)`, int64: the time in which a book stood and the cell was visible."""
    best: dict[SideName, Floats]
    """`(bins,)`, float64: the best price of each bin's last book; NaN where there is none."""
    worst: dict[SideName, Floats]
    """`(bins,)`, float64: the farthest level of any of its books; NaN where there is none."""
    mid: Floats
    """`(bins,)`, float64: of each bin's last book that has one; NaN where there is none."""
    mids: Mids
    """Of each book, where prices are distances from it; else none."""
    covered_ms: Ints
    """`(bins,)`, int64: the time in which a book stood."""
    closing: pl.DataFrame
    """The levels of the last book: `side`, `price`, `size`."""
    closing_ms: int
    """When that began."""
    provenance: Provenance

    @property
    def is_around_mid(self) -> bool:
        """Whether prices are distances from mid."""
        return bool(self.provenance.settings.get("around_mid"))

    @property
    def last_price(self) -> float | None:
        """The last mid there is."""
        known = self.mid[np.isfinite(self.mid)]
        return float(known[-1]) if len(known) else None

    def place(self, t_ms: Ints, price: Floats) -> Floats:
        """Where prices lie on the axis of prices at some times: around mid, their distance from the mid of the book
        that stood then; NaN where none did."""
        if not self.is_around_mid:
            return price
        mid = self.mids.at(t_ms)
        return (price - mid) / mid * BPS

    def distances(self, price: float, t_from: int, t_to: int) -> Distances:
        """Of a price around mid while it stood, from `t_from` up to `t_to`, from the mid of each book then.

        The median is a distance at which it truly was, and so lies in a cell that holds it. The mean would lie between
        two places wherever mid jumps.
        """
        mids = self.mids
        some = slice(np.searchsorted(mids.t_to, t_from, "right"), np.searchsorted(mids.t_from, t_to, "left"))
        bounds = np.concatenate([[t_from, t_to], mids.t_from[some], mids.t_to[some], self.t_ms])
        bounds = np.unique(bounds[(bounds >= t_from) & (bounds <= t_to)])
        begins, ends = bounds[:-1], bounds[1:]
        y = self.place(begins, np.full(len(begins), price))
        is_known = np.isfinite(y)
        begins, ends, y = begins[is_known], ends[is_known], y[is_known]
        column = np.searchsorted(self.t_ms, begins, side="right")
        first = np.flatnonzero(np.diff(column, prepend=-1))
        last = np.append(first[1:], len(column))[: len(first)] - 1
        order = np.lexsort((y, column))  # by bin, then by distance; as many of each bin as before
        passed = np.cumsum((ends - begins)[order])
        before = np.append(0, passed[last][:-1])[: len(first)]
        half = np.searchsorted(passed, (before + passed[last]) / 2)
        return Distances(begins[first], ends[last], y[order][half], y[order][first], y[order][last])

    @property
    def total(self) -> Floats:
        """`(bins, rows)`, float64: both sides; NaN where either could not be seen."""
        return self.size["bid"] + self.size["ask"]

    def frame(self) -> pl.DataFrame:
        """A row per side and cell within reach, empty or not: `t_from, t_to, side, price_from, price_to, size,
        seen_share`, the last of the time bin; around mid `bps_from, bps_to` in the place of prices. Left out are cells
        that lie before the first level of their side."""
        rows = pl.concat([self._rows(name) for name in SIDES]).sort("t_from", "price_from", "side")
        return rows.rename({"price_from": "bps_from", "price_to": "bps_to"}) if self.is_around_mid else rows

    def _rows(self, name: SideName) -> pl.DataFrame:
        best_first = 1 if name == "ask" else -1
        holds = self.size[name][:, ::best_first] > 0
        is_behind = np.logical_or.accumulate(holds, axis=1)[:, ::best_first]
        column, row = np.nonzero(is_behind & (self.seen_ms[name] > 0))
        return pl.DataFrame(
            {
                "t_from": self.t_ms[column],
                "t_to": self.t_ms[column + 1],
                "side": pl.repeat(name, len(column), dtype=pl.String, eager=True),
                "price_from": self.price[row],
                "price_to": self.price[row + 1],
                "size": self.size[name][column, row],
                "seen_share": self.seen_ms[name][column, row] / np.diff(self.t_ms)[column],
            }
        )


def heatmap(
    books: Books, unit: Unit = "usd", columns: int = COLUMNS, rows: int = ROWS, is_around_mid: bool = False
) -> Heatmap:
    """At most so many time and price bins, over all that was seen; time bins are no shorter than the cadence. Around
    mid the price bins are distances from the mid of each book, and books without one count nowhere.

    Raises VaultError if there is no book. `settings` has the size of a cell, `bin_ms` and `bin_price`, or `bin_bps`.
    """
    ask = _ask(books, unit, columns, rows, is_around_mid)
    return _heatmap_of(books, ask, books.mapped(partial(cells_of, ask=ask)))


def with_walls(
    books: Books, unit: Unit = "usd", criteria: Criteria | None = None, is_around_mid: bool = False
) -> tuple[Heatmap, Result]:
    """`heatmap` and `walls`, each as it is alone, in one pass over the books."""
    ask, look = _ask(books, unit, COLUMNS, ROWS, is_around_mid), first_look(unit, criteria or Criteria())
    looked: dict[int, list[Survey]] = {}

    def hours() -> Iterator[list[PieceCells]]:
        both = books.mapped(partial(_cells_and_levels, ask=ask, look=look))
        for hour_ms, (cells, found) in zip(books.hours, both, strict=True):
            looked[hour_ms] = found
            yield cells

    drawn = _heatmap_of(books, ask, hours())
    return drawn, walls(books, unit, criteria, looked)


def _cells_and_levels(pieces: Iterator[Piece], ask: Ask, look: Look) -> tuple[list[PieceCells], list[Survey]]:
    """The work on one hour; all its pieces are held meanwhile, which share what is found out of each."""
    held = list(pieces)
    return cells_of(iter(held), ask), survey(iter(held), look)


def _ask(books: Books, unit: Unit, columns: int, rows: int, is_around_mid: bool) -> Ask:
    return Ask(_bins(books, columns), books.contract.tick, rows, unit, is_around_mid)


def _heatmap_of(books: Books, ask: Ask, hours: Iterator[list[PieceCells]]) -> Heatmap:
    """Of the cells of each hour, in order of time."""
    bins, contract, unit, is_around_mid = ask.bins, books.contract, ask.unit, ask.is_around_mid
    meter = CoverageMeter(books)
    cells = Cells(bins, ask.rows)
    for hour in hours:
        for piece in hour:
            meter.count_in(piece.tally)
            cells.add(piece)
    if cells.closing is None:
        raise books.no_book()
    step, first, last = cells.price_bins()
    tick, decimals = (MID_TICK_BPS, 2) if is_around_mid else (contract.tick, contract.tick_decimals)
    edges = np.round(np.arange(first, last + 2) * step * tick, decimals)
    seen_ms = {name: cells.seen_ms(name, step, first, last) for name in SIDES}
    size: dict[SideName, Floats] = {}
    for name in SIDES:
        size_ms = cells.size_ms(name, step, first, last)
        size[name] = np.where(seen_ms[name] > 0, size_ms / np.maximum(seen_ms[name], 1), np.nan)
    settings: dict[str, object] = {"bin_ms": bins.width_ms}
    settings |= {"bin_bps" if is_around_mid else "bin_price": round(step * tick, decimals)}
    settings |= {"around_mid": True} if is_around_mid else {}
    levels, books_alone = cells.closing
    sizes = contract.sizes(levels["qty"].to_numpy(), levels["price"].to_numpy(), unit)
    return Heatmap(
        t_ms=bins.edges(),
        price=edges,
        size=size,
        seen_ms=seen_ms,
        best=cells.best,
        worst=cells.worst,
        mid=cells.mid,
        mids=cells.mids,
        covered_ms=cells.covered_ms,
        closing=levels.select("side", "price", size=pl.Series(sizes)),
        closing_ms=int(books_alone["t_from"][0]),
        provenance=meter.provenance("heatmap/1", unit, **settings),
    )


def _stood_ms(pieces: Iterator[Piece]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *(piece.t_to - piece.t_from for piece in pieces)])


def _bins(books: Books, columns: int) -> TimeBins:
    """No shorter than the cadence: of the journal, or without one the median time for which a book stands."""
    coverage = books.coverage
    if coverage is not None and coverage.stretches:
        cadence_ms = max(stretch.cadence_ms for stretch in coverage.stretches)
    else:
        stood_ms = np.concatenate([np.empty(0), *books.mapped(_stood_ms)])
        if not len(stood_ms):
            raise books.no_book()
        cadence_ms = max(1, int(np.median(stood_ms)))
    return time_bins(books.start_ms, books.end_ms, cadence_ms, columns)
