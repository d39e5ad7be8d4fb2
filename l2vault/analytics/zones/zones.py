"""Support and resistance from resting liquidity: how much rested at which prices, how steadily, and what price did.

Counts a bucket only while all of it that lies on its side of the market can be seen. Pure; `docs/intelligence.md` has
the formulas.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import NOWHERE, SIDES, Ints, Ladders, SideName, decimals_of, levels_of
from l2vault.analytics.books import Books, CoverageMeter, Result
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.one_book import BPS
from l2vault.analytics.zones.zone_tests import Touches, zone_tests
from l2vault.errors import UsageError

ZONES: Final = pl.Schema(
    {
        "side": pl.String,
        "price_from": pl.Float64,
        "price_to": pl.Float64,
        "size": pl.Float64,
        "peak": pl.Float64,
        "orders": pl.Float64,
        "strength": pl.Float64,
        "persistence": pl.Float64,
        "seen_share": pl.Float64,
        "tests": pl.Int64,
        "holds": pl.Int64,
        "breaks": pl.Int64,
        "score": pl.Float64,
        "distance_bps": pl.Float64,
        "t_first": pl.Int64,
        "t_last": pl.Int64,
        "is_current": pl.Boolean,
    }
)
"""A row per zone."""

BUCKETS_IN_VIEW: Final = 20

SHRINKAGE_MS: Final = 60_000
"""For the score a bucket counts as seen for so much longer, without holding: a short sight is no persistence."""

_STEPS: Final = 256
"""Sizes are ranked with 8 bits of precision, at most 0.4 % off, so that what is kept of them stays small."""

_ROWS_KEPT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets of so many points of `10 ** -decimals`: bids `[k * width, (k + 1) * width)`, asks `(k * width, ...]`."""

    points: int
    decimals: int

    @property
    def width(self) -> float:
        """Of a bucket, as a price."""
        return self.price(1)

    def price(self, bucket: int) -> float:
        """The lower edge of a bid bucket; the upper one of an ask bucket, negative."""
        return float(round(bucket * self.points / 10.0**self.decimals, self.decimals))


def zones(books: Books, unit: Unit = "usd", width: float | None = None, presence: float = 2.0) -> Result:
    """A row per bucket that held anything, as `ZONES` says, best score first. `width` is a price, rounded to whole
    ticks; without one it is the round number closest to a twentieth of the visible range of the first two-sided book.

    `presence`: the persistence of a bucket is the share of its seen time in which it holds at least this many times the
    median size of the side's buckets. Raises UsageError for what is not above 0, VaultError as all measures do. The
    rules are ours; time at price is the idea of the market profile (Steidlmayer).
    """
    for name, value in (("width", width), ("presence", presence)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} = {value:g} is impossible.", "a number above 0")
    first, pieces = _first_reach(books.ladders())
    contracts = [period.contract for period in books.periods]
    grid = _grid(first / BUCKETS_IN_VIEW if width is None else width, contracts, is_given=width is not None)
    meter = CoverageMeter(books)
    gathered = {name: _Gathered(name, grid) for name in SIDES}
    mid = math.nan
    for ladders in pieces:
        meter.add(ladders)
        for name in SIDES:
            gathered[name].add(ladders, unit)
        mids = ladders.mid[np.isfinite(ladders.mid)]
        mid = float(mids[-1]) if len(mids) else mid
    frame = pl.concat([each.zones(presence, mid) for each in gathered.values()])
    frame = frame.sort(["score", "size", "price_from"], descending=[True, True, False])
    settings = {"width": grid.width, "is_width_given": width is not None, "presence": presence, "last_mid": mid}
    return Result(frame, meter.provenance("zones/1", unit, **settings))


def _first_reach(pieces: Iterator[Ladders]) -> tuple[float, Iterator[Ladders]]:
    """How far from mid the first book with two sides is seen on average, as a price; and all the pieces."""
    passed: list[Ladders] = []
    for ladders in pieces:
        passed.append(ladders)
        reach = (ladders.asks.worst - ladders.bids.worst) / 2
        if np.isfinite(reach).any():
            return float(reach[np.isfinite(reach)][0]), chain(passed, pieces)
    return 0.0, iter(passed)


def _grid(width: float, contracts: list[Contract], is_given: bool) -> Grid:
    if width > 0 and not is_given:
        ten = 10.0 ** math.floor(math.log10(width))
        width = min((ten, 2 * ten, 5 * ten, 10 * ten), key=lambda nice: abs(math.log(nice / width)))
    tick = max(contract.tick for contract in contracts)
    decimals = decimals_of(contracts)
    return Grid(max(1, round(width / tick)) * round(tick * 10**decimals), decimals)


class _Gathered:
    """What is kept of one side: per bucket sums, and how long it held which size; per book where the touch was."""

    def __init__(self, name: SideName, grid: Grid) -> None:
        self.name = name
        self.grid = grid
        self.sums: list[pl.DataFrame] = []
        self.held: list[pl.DataFrame] = []
        self.touches: list[Touches] = []

    def add(self, ladders: Ladders, unit: Unit) -> None:
        levels = levels_of(ladders, self.name, self.grid.decimals)
        best = np.where(levels.best == NOWHERE, NOWHERE, levels.best // self.grid.points)
        farthest = np.where(ladders.is_full(self.name), -(-levels.worst // self.grid.points), NOWHERE)
        self.touches.append(Touches(ladders.t_from, ladders.t_to, best, farthest, ladders.is_linked))
        bucket = levels.point // self.grid.points
        changes = (np.diff(levels.book, prepend=-1) != 0) | (np.diff(bucket, prepend=NOWHERE) != 0)
        start = np.flatnonzero(changes)
        if not len(start):
            return
        book = levels.book[start]
        size = np.add.reduceat(ladders.contract.sizes(levels.qty, levels.price, unit), start)
        frame = pl.DataFrame(
            {
                "bucket": bucket[start],
                "size": size,
                "step": _rounded(size),
                "orders": np.add.reduceat(levels.orders, start, dtype=np.int64),
                "ms": (ladders.t_to - ladders.t_from)[book],
                "is_seen": bucket[start] >= farthest[book],
            }
        ).filter("is_seen")
        ms = pl.col("ms")
        size_ms, orders_ms = ((pl.col(column) * ms).sum().alias(f"{column}_ms") for column in ("size", "orders"))
        self.sums.append(frame.group_by("bucket").agg(size_ms, orders_ms, pl.col("size").max().alias("peak")))
        self.held.append(frame.group_by("bucket", "step").agg(ms.sum()))
        if sum(map(len, self.held[1:])) > max(_ROWS_KEPT, len(self.held[0])):
            self.held = [_summed(self.held)]

    def zones(self, presence: float, mid: float) -> pl.DataFrame:
        if not any(map(len, self.sums)):
            return pl.DataFrame(schema=ZONES)
        touches = _joined(self.touches)
        usual, frame = self._summed_up(presence)
        buckets, large_ms = frame["bucket"].to_numpy(), frame["large_ms"].to_numpy()
        seen_ms, first_ms, last_ms = _sight(buckets, touches)
        tested = zone_tests(buckets, touches)
        size = frame["size_ms"].to_numpy() / seen_ms
        columns = self._prices(buckets, mid) | {
            "size": size,
            "peak": frame["peak"],
            "orders": frame["orders_ms"].to_numpy() / seen_ms,
            "strength": size / usual,
            "persistence": large_ms / seen_ms,
            "seen_share": seen_ms / (touches.t_to - touches.t_from).sum(),
            "tests": tested.tests,
            "holds": tested.holds,
            "breaks": tested.breaks,
            "score": size / usual * large_ms / (seen_ms + SHRINKAGE_MS),
            "t_first": first_ms,
            "t_last": last_ms,
            "is_current": buckets <= touches.best[touches.best != NOWHERE][-1],
        }
        return pl.DataFrame(columns).select(*ZONES).cast(ZONES).with_columns(pl.col("distance_bps").fill_nan(None))

    def _summed_up(self, presence: float) -> tuple[float, pl.DataFrame]:
        """The median size of buckets that hold anything; what is kept of each bucket, in ascending order."""
        held = _summed(self.held)
        usual = _median(held["step"].to_numpy(), held["ms"].to_numpy())
        large = held.filter(pl.col("step") >= presence * usual).group_by("bucket").agg(large_ms=pl.col("ms").sum())
        sums = pl.concat(self.sums).group_by("bucket").agg(pl.col("size_ms", "orders_ms").sum(), pl.col("peak").max())
        return usual, sums.join(large, "bucket", "left").sort("bucket").with_columns(pl.col("large_ms").fill_null(0))

    def _prices(self, buckets: Ints, mid: float) -> "dict[str, list[str] | Floats]":
        low, high = (np.array([self.grid.price(bucket) for bucket in edges]) for edges in (buckets, buckets + 1))
        sign = 1 if self.name == "bid" else -1
        return {
            "side": [self.name] * len(buckets),
            "price_from": low if sign > 0 else -high,
            "price_to": high if sign > 0 else -low,
            "distance_bps": (sign * mid - high) / mid * BPS,
        }


def _rounded(size: Floats) -> Floats:
    mantissa, exponent = np.frexp(size)
    rounded: Floats = np.ldexp(np.rint(mantissa * _STEPS) / _STEPS, exponent)
    return rounded


def _summed(held: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(held).group_by("bucket", "step").agg(pl.col("ms").sum())


def _median(sizes: Floats, ms: Ints) -> float:
    """The size that is reached or exceeded half of the time."""
    order = np.argsort(-sizes, kind="stable")
    passed = ms[order].cumsum()
    return float(sizes[order][np.searchsorted(passed, passed[-1] / 2)])


def _joined(parts: list[Touches]) -> Touches:
    names = ("t_from", "t_to", "best", "farthest", "is_linked")
    return Touches(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _sight(buckets: Ints, touches: Touches) -> tuple[Ints, Ints, Ints]:
    """For how long each bucket was seen, from when and until when (ms)."""
    low = np.searchsorted(buckets, touches.farthest)
    high = np.maximum(np.searchsorted(buckets, touches.best, side="right"), low)
    ms = touches.t_to - touches.t_from
    enters, leaves = (np.bincount(at, ms, len(buckets) + 1) for at in (low, high))
    first, last = np.zeros(len(buckets), np.int64), np.zeros(len(buckets), np.int64)
    for start, end, until_ms in zip(low.tolist(), high.tolist(), touches.t_to.tolist(), strict=True):
        last[start:end] = until_ms
    for start, end, from_ms in zip(low[::-1].tolist(), high[::-1].tolist(), touches.t_from[::-1].tolist(), strict=True):
        first[start:end] = from_ms
    return np.rint((enters - leaves).cumsum()[:-1]).astype(np.int64), first, last
