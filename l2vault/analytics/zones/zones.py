"""Support and resistance from resting liquidity: how much rested at which prices, how steadily, and what price did.

Counts a bucket only while all of it that lies on its side of the market can be seen. Pure; `docs/intelligence.md` has
the formulas.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import NOWHERE, SIDES, Ints, SideName, decimals_of
from l2vault.analytics.books import Books, Result
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.coverage_meter import CoverageMeter, Tally, tally_of
from l2vault.analytics.deep import DeepBook, Samples
from l2vault.analytics.interval_rows import BookRows, Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.zones.zone_tests import Touches, zone_tests
from l2vault.book.deep import DEEP_EVERY_MS
from l2vault.errors import UsageError
from l2vault.vault.coverage.deep import COVERS_MS

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

STEPS_OF_RANGE: Final = 10
"""A zone is a tenth of what price ranged over: that a zone holds means that price turned by as much."""
MOST_TICKS: Final = 10**9
"""A zone of so many ticks is higher than any price, and the prices in points no longer fit 64 bits."""
_STEPS_IN_VIEW: Final = 3
_STEPS_WITHOUT: Final = 20
_HOURS_OF_WIDTH: Final = 6
_SAMPLES_AT_MOST: Final = 360
"""Of deep books: each takes 20 ms, and a zone stands for longer than the 4 minutes between those of a day."""

_STEPS: Final = 256
"""Sizes are ranked with 8 bits of precision, at most 0.4 % off, so that what is kept of them stays small."""

_CELLS_AT_ONCE: Final = 1 << 21


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
    ticks; without one it is the round number closest to a tenth of what mid ranged over in the span, but at most a
    third of how far a side is seen.

    `presence`: the persistence of a bucket is the share of its seen time in which it holds at least this many times the
    median size of the side's buckets. Raises UsageError for what is not above 0, VaultError as all measures do. The
    rules are ours; time at price is the idea of the market profile (Steidlmayer).
    """
    for name, value in (("width", width), ("presence", presence)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} = {value:g} is impossible.", "a number above 0")
    contracts = [period.contract for period in books.periods]
    grid = _grid(_fitting_width(books) if width is None else width, contracts, is_given=width is not None)
    meter = CoverageMeter(books)
    parts = [part for hour in books.mapped(partial(gathered, grid=grid, unit=unit)) for part in hour]
    if not parts:
        raise books.no_book()
    for part in parts:
        meter.count_in(part.tally)
    mids = [part.last_mid for part in parts if part.last_mid is not None]
    mid = mids[-1] if mids else math.nan
    frame = pl.concat([_zones_of(parts, name, grid, presence, mid) for name in SIDES])
    frame = frame.sort(["score", "size", "price_from"], descending=[True, True, False])
    reaches = [part.least_reach for part in parts if part.least_reach is not None]
    settings = {
        "width": grid.width,
        "is_width_given": width is not None,
        "presence": presence,
        "last_mid": mid,
        "least_reach": min(reaches) if reaches else None,
    }
    return Result(frame, meter.provenance("zones/2", unit, **settings))


def ahead(zones: pl.DataFrame, top: int) -> pl.DataFrame:
    """Of one side, the zones that price has not left behind: the `top` strongest by score, nearest first."""
    own = zones.filter("is_current").sort("score", descending=True, maintain_order=True).head(top)
    return own.sort(pl.col("distance_bps").clip(lower_bound=0), maintain_order=True)


def with_far(books: Books, found: Result, unit: Unit = "usd") -> Result:
    """What `zones` found, and behind it the zones of the deep books in buckets of which the books themselves saw
    nothing: `source` is `books` or `books-full`, `age_ms` how old the newest sample was at the end of the span.

    Their rules are the same, of samples instead of books: each stands up to the next one, for 45 s at most, and what is
    usual is the median of the samples' own buckets. Without a sample of the span nothing is added.
    """
    settings = found.provenance.settings
    mid, presence = found.provenance.setting("last_mid"), found.provenance.setting("presence")
    contracts = [period.contract for period in books.periods]
    grid = _grid(found.provenance.setting("width"), contracts, is_given=True)
    archived: list[int] = []
    part = None if books.deep is None else _sampled(_noting(books.deep, archived), books, grid, unit)
    if part is None:
        return found
    far = pl.concat([_zones_of([part], name, grid, presence, mid) for name in SIDES])
    far = far.join(found.frame, ["side", "price_from"], "anti").sort("score", descending=True, maintain_order=True)
    times = part.sides["bid"].touches.t_from
    age_ms = books.end_ms - 1 - int(times[-1])
    rows = [
        found.frame.with_columns(source=pl.lit("books"), age_ms=pl.lit(None, pl.Int64)),
        far.with_columns(source=pl.lit("books-full"), age_ms=pl.lit(age_ms, pl.Int64)),
    ]
    more: dict[str, object] = {"deep_samples": len(times), "deep_last_ms": age_ms}
    if of_archive := sum(ts_ms >= books.start_ms for ts_ms in archived):
        more["deep_archive_samples"] = of_archive
    return Result(pl.concat(rows), replace(found.provenance, settings={**settings, **more}))


def _noting(samples: Samples, archived: list[int]) -> Samples:
    """The same, and in `archived` the times of those that are made of OKX's archive."""

    def read(every_ms: int) -> Iterator[DeepBook]:
        for sample in samples(every_ms):
            if sample.is_archive:
                archived.append(sample.ts_ms)
            yield sample

    return read


def _sampled(samples: Samples, books: Books, grid: Grid, unit: Unit) -> "Part | None":
    """What is kept of the samples of a span, as if they were its books; None where there is none. Of more than three
    hours some samples say it."""
    every_ms = (books.end_ms - books.start_ms) // _SAMPLES_AT_MOST
    covers_ms = COVERS_MS if every_ms <= DEEP_EVERY_MS else COVERS_MS + every_ms
    times: list[int] = []
    ends: dict[SideName, list[tuple[int, int]]] = {name: [] for name in SIDES}
    cells: dict[SideName, list[pl.DataFrame]] = {name: [] for name in SIDES}
    for sample in samples(every_ms):
        if not books.start_ms <= sample.ts_ms < books.end_ms:
            continue
        for name in SIDES:
            side, sign = sample.side(name), 1 if name == "bid" else -1
            points = _points(side.price, sign, grid)
            bucket, place = np.unique(points // grid.points, return_inverse=True)
            size = books.contract.sizes(side.qty, side.price, unit)
            sums = (np.bincount(place, each, len(bucket)) for each in (size, side.orders))
            values = dict(zip(("size", "orders"), sums, strict=True))
            cells[name].append(pl.DataFrame({"bucket": bucket, "book": np.full(len(bucket), len(times)), **values}))
            worst = NOWHERE if side.is_whole else int(-(-points[-1] // grid.points))
            ends[name].append((int(points[0] // grid.points), worst))
        times.append(sample.ts_ms)
    if not times:
        return None
    t_from = np.array(times, dtype=np.int64)
    t_to = np.minimum(np.append(t_from[1:], books.end_ms), t_from + covers_ms)
    is_linked = np.append(False, t_to[:-1] == t_from[1:])
    sides = {}
    for name in SIDES:
        best, farthest = np.array(ends[name], dtype=np.int64).T
        sides[name] = _kept(pl.concat(cells[name]), Touches(t_from, t_to, best, farthest, is_linked))
    return Part(sides, Tally(len(times), len(times), 0, {}), books.contract, None, None)


class _Movement(NamedTuple):
    """Of an hour: between which prices mid moved; how far sides were seen, summed up over its books."""

    least: float
    most: float
    reaches: float
    books: int


def moved(pieces: Iterator[BookRows]) -> _Movement | None:
    """How far the price of an hour went; None where no book had both sides."""
    mids, reaches = [np.empty(0)], [np.empty(0)]
    for piece in pieces:
        mids.append(piece.mid[np.isfinite(piece.mid)])
        reaches.append(((piece.worst.ask - piece.worst.bid) / 2)[np.isfinite(piece.mid)])
    mid = np.concatenate(mids)
    return _Movement(mid.min(), mid.max(), np.concatenate(reaches).sum(), len(mid)) if len(mid) else None


def _fitting_width(books: Books) -> float:
    """A tenth of the range of mid, but at most a third of what is seen of a side; where nothing moved, a twentieth. Of
    a long span some of its hours say it: a round number is all that is asked for."""
    at_most = np.linspace(0, len(books.hours) - 1, min(_HOURS_OF_WIDTH, len(books.hours))).round().astype(int)
    hours = [hour for hour in books.mapped_books(moved, [books.hours[at] for at in at_most]) if hour is not None]
    if not hours:
        return 0.0
    ranged = max(hour.most for hour in hours) - min(hour.least for hour in hours)
    reach = float(sum(hour.reaches for hour in hours) / sum(hour.books for hour in hours))
    return min(ranged / STEPS_OF_RANGE, reach / _STEPS_IN_VIEW) if ranged else reach / _STEPS_WITHOUT


def _grid(width: float, contracts: list[Contract], is_given: bool) -> Grid:
    if width > 0 and not is_given:
        ten = 10.0 ** math.floor(math.log10(width))
        width = min((ten, 2 * ten, 5 * ten, 10 * ten), key=lambda nice: abs(math.log(nice / width)))
    tick = max(contract.tick for contract in contracts)
    if width / tick > MOST_TICKS:
        raise UsageError(f"a width of {width:g} is higher than any price.", "one such as 100, or none, which fits one")
    decimals = decimals_of(contracts)
    return Grid(max(1, round(width / tick)) * round(tick * 10**decimals), decimals)


class Gathered(NamedTuple):
    """What is kept of one side: per bucket sums, and how long it held which size; per book where the touch was."""

    sums: pl.DataFrame
    held: pl.DataFrame
    touches: Touches


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept of a piece."""

    sides: dict[SideName, Gathered]
    tally: Tally
    contract: Contract
    last_mid: float | None
    least_reach: float | None


def gathered(pieces: Iterator[Piece], grid: Grid, unit: Unit) -> list[Part]:
    """Of each piece of an hour."""
    return [_part(piece, grid, unit) for piece in pieces]


def _part(piece: Piece, grid: Grid, unit: Unit) -> Part:
    mids = piece.mid[np.isfinite(piece.mid)]
    reach = np.concatenate([piece.mid - piece.worst.bid, piece.worst.ask - piece.mid])
    is_full = np.concatenate([piece.is_full["bid"], piece.is_full["ask"]])
    reach = reach[is_full & np.isfinite(reach)]
    sizes = piece.sizes(unit)
    return Part(
        {name: _side(piece, name, grid, sizes) for name in SIDES},
        tally_of(piece),
        piece.contract,
        float(mids[-1]) if len(mids) else None,
        float(reach.min()) if len(reach) else None,
    )


def _side(piece: Piece, name: SideName, grid: Grid, sizes: Floats) -> Gathered:
    sign = 1 if name == "bid" else -1
    ends = [piece.best.bid, piece.worst.bid] if sign > 0 else [piece.best.ask, piece.worst.ask]
    best, worst = (_points(end, sign, grid) for end in ends)
    best = np.where(best == NOWHERE, NOWHERE, best // grid.points)
    farthest = np.where(piece.is_full[name], -(-worst // grid.points), NOWHERE)
    touches = Touches(piece.t_from, piece.t_to, best, farthest, piece.is_linked)
    own = np.flatnonzero(piece.is_ask == (name == "ask"))
    bucket = _points(piece.price.take(own), sign, grid) // grid.points
    return _kept(_cells(piece, own, bucket, sizes.take(own)), touches)


def _kept(cells: pl.DataFrame, touches: Touches) -> Gathered:
    """What is kept of a side, of what each bucket holds in each book."""
    cells = cells.with_columns(
        step=pl.Series(_rounded(cells["size"].to_numpy())),
        ms=pl.Series((touches.t_to - touches.t_from)[cells["book"].to_numpy()], dtype=pl.Int64),
        is_seen=pl.Series(cells["bucket"].to_numpy() >= touches.farthest[cells["book"].to_numpy()], dtype=pl.Boolean),
    ).filter("is_seen")
    ms = pl.col("ms")
    size_ms, orders_ms = ((pl.col(column) * ms).sum().alias(f"{column}_ms") for column in ("size", "orders"))
    sums = cells.group_by("bucket", maintain_order=True).agg(size_ms, orders_ms, pl.col("size").max().alias("peak"))
    return Gathered(sums, cells.group_by("bucket", "step").agg(ms.sum()), touches)


def _points(price: Floats, sign: int, grid: Grid) -> Ints:
    """Whole numbers, more the better the price is; `NOWHERE` where there is none."""
    is_price = np.isfinite(price)
    points = np.rint(np.where(is_price, price, 0) * sign * 10**grid.decimals).astype(np.int64)
    return np.where(is_price, points, NOWHERE)


def _cells(piece: Piece, own: Ints, bucket: Ints, size: Floats) -> pl.DataFrame:
    """What each bucket holds in each book in which it holds anything: what comes with the first book of each row, less
    what goes behind its last, summed up. So many buckets at once as take little room."""
    books = len(piece) + 1
    at_once = max(1, _CELLS_AT_ONCE // books)
    first, past, orders = piece.first.take(own), piece.past.take(own), piece.orders.take(own)
    frames = [pl.DataFrame(schema={"bucket": pl.Int64, "book": pl.Int64, "size": pl.Float64, "orders": pl.Int64})]
    low, high = (int(bucket.min()), int(bucket.max())) if len(bucket) else (0, -1)
    for start in range(low, high + 1, at_once):
        rows = np.flatnonzero((bucket >= start) & (bucket < start + at_once)) if high - low >= at_once else slice(None)
        row = (bucket[rows] - start) * books
        cells = row + first[rows], row + past[rows]
        shape = min(high, start + at_once - 1) - start + 1, books
        held = _stood(cells, None, shape)
        at, book = np.nonzero(np.rint(held))
        sums = (_stood(cells, each[rows], shape)[at, book] for each in (size, orders))
        values = dict(zip(("size", "orders"), sums, strict=True))
        frames.append(pl.DataFrame({"bucket": at + start, "book": book, **values}).cast(frames[0].schema))
    return pl.concat(frames)


def _stood(cells: tuple[Ints, Ints], values: "Floats | Ints | None", shape: tuple[int, int]) -> Floats:
    """`(buckets, books)`: the sum of `values`, or how many there are, each from its first cell up to its last one."""
    comes, goes = (np.bincount(at, values, shape[0] * shape[1]) for at in cells)
    stood: Floats = (comes - goes).reshape(shape).cumsum(axis=1)
    return stood[:, :-1]


def _zones_of(parts: list[Part], name: SideName, grid: Grid, presence: float, mid: float) -> pl.DataFrame:
    own = [part.sides[name] for part in parts]
    sums, held = (pl.concat(frames) for frames in zip(*((each.sums, each.held) for each in own), strict=True))
    if not len(sums):
        return pl.DataFrame(schema=ZONES)
    touches = _joined(parts, name)
    usual, frame = _summed_up(sums, held.group_by("bucket", "step").agg(pl.col("ms").sum()), presence)
    buckets, large_ms = frame["bucket"].to_numpy(), frame["large_ms"].to_numpy()
    seen_ms, first_ms, last_ms = _sight(buckets, touches)
    stood_ms = (touches.t_to - touches.t_from).sum()
    tested = zone_tests(buckets, touches)
    size = frame["size_ms"].to_numpy() / seen_ms
    columns = _prices(name, grid, buckets, mid) | {
        "size": size,
        "peak": frame["peak"],
        "orders": frame["orders_ms"].to_numpy() / seen_ms,
        "strength": size / usual,
        "persistence": large_ms / seen_ms,
        "seen_share": seen_ms / stood_ms,
        "tests": tested.tests,
        "holds": tested.holds,
        "breaks": tested.breaks,
        "score": size / usual * large_ms / stood_ms,
        "t_first": first_ms,
        "t_last": last_ms,
        "is_current": buckets <= touches.best[touches.best != NOWHERE][-1],
    }
    return pl.DataFrame(columns).select(*ZONES).cast(ZONES).with_columns(pl.col("distance_bps").fill_nan(None))


def _summed_up(sums: pl.DataFrame, held: pl.DataFrame, presence: float) -> tuple[float, pl.DataFrame]:
    """The median size of buckets that hold anything; what is kept of each bucket, in ascending order."""
    usual = _median(held["step"].to_numpy(), held["ms"].to_numpy())
    large = held.filter(pl.col("step") >= presence * usual).group_by("bucket").agg(large_ms=pl.col("ms").sum())
    whole = sums.group_by("bucket", maintain_order=True).agg(pl.col("size_ms", "orders_ms").sum(), pl.col("peak").max())
    return usual, whole.join(large, "bucket", "left").sort("bucket").with_columns(pl.col("large_ms").fill_null(0))


def _prices(name: SideName, grid: Grid, buckets: Ints, mid: float) -> "dict[str, list[str] | Floats]":
    low, high = (np.array([grid.price(bucket) for bucket in edges]) for edges in (buckets, buckets + 1))
    sign = 1 if name == "bid" else -1
    return {
        "side": [name] * len(buckets),
        "price_from": low if sign > 0 else -high,
        "price_to": high if sign > 0 else -low,
        "distance_bps": (sign * mid - high) / mid * BPS,
    }


def _rounded(size: Floats) -> Floats:
    mantissa, exponent = np.frexp(size)
    rounded: Floats = np.ldexp(np.rint(mantissa * _STEPS) / _STEPS, exponent)
    return rounded


def _median(sizes: Floats, ms: Ints) -> float:
    """The size that is reached or exceeded half of the time."""
    order = np.argsort(-sizes, kind="stable")
    passed = ms[order].cumsum()
    return float(sizes[order][np.searchsorted(passed, passed[-1] / 2)])


def _joined(parts: list[Part], name: SideName) -> Touches:
    """Of all pieces; of the first book of each it is known now whether it follows the one before."""
    every = [part.sides[name].touches for part in parts]
    joined = Touches(*(np.concatenate([getattr(each, column) for each in every]) for column in Touches.__slots__))
    starts = np.cumsum([0, *(len(each.t_from) for each in every[:-1])])
    for at, (start, part) in enumerate(zip(starts.tolist(), parts, strict=True)):
        is_same = at > 0 and parts[at - 1].contract == part.contract
        joined.is_linked[start] = is_same and joined.t_to[start - 1] == joined.t_from[start]
    return joined


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
