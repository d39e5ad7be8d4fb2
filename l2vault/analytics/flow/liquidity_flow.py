"""Liquidity that came and went, by window of time, side and band of distance; and which of it was out of the ordinary.

What each kind of change claims, `book_diff.CAUSES` says. Nothing is claimed across a hole. Pure.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import BANDS_BPS, SIDES, Ints
from l2vault.analytics.books import Books, Result
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.coverage_meter import CoverageMeter, Tally, tally_of
from l2vault.analytics.flow.book_diff import CAUSES, row_changes
from l2vault.analytics.interval_rows import Ends, Piece
from l2vault.analytics.one_book import MOVE_BPS, ROUNDING_BPS
from l2vault.book.utc import DAY_MS
from l2vault.errors import UsageError

SHIFTS: Final = pl.Schema(
    {
        "t_from": pl.Int64,
        "t_to": pl.Int64,
        "side": pl.String,
        "band": pl.String,
        "band_from_bps": pl.Float64,
        "band_to_bps": pl.Float64,
        **dict.fromkeys(CAUSES, pl.Float64),
        "net": pl.Float64,
        "net_flow": pl.Float64,
        "visible_bps": pl.Float64,
        "covered_share": pl.Float64,
        "z": pl.Float64,
        "is_alert": pl.Boolean,
    }
)
"""A row per window, side and band; `band_to_bps` of the last band is null: it is open. `visible_bps` is how far from
mid the side was seen in every book of the window, infinite where it was whole. Flows are null in a band beyond the
visible range of every book."""

LEAST_COVERED_SHARE: Final = 0.5
"""A window of which less was seen has no z, and is no history for others. Neither has one in which a book did not
reach to the far end of the band: what comes and goes at the edge of what is seen is the edge's doing."""

FALSE_ALARMS_A_DAY: Final = 1.0
LEAST_LOOKS: Final = 200
"""Values of z from which on they say what chance gives; a minute's windows of an hour are 300 to 600."""
_RANKS: Final = (5, 10)
_TENFOLD: Final = 10

LEAST_HISTORY: Final = 10

_NORMAL: Final = math.sqrt(math.pi / 2)
"""The standard deviation of a normal distribution over its mean absolute deviation."""

_FLOWS: Final = (*CAUSES, "net", "net_flow")


def shifts(
    books: Books,
    unit: Unit = "usd",
    horizon_ms: int = 60_000,
    bands_bps: Sequence[float] = BANDS_BPS,
    alert_z: float | None = None,
    false_alarms_a_day: float = FALSE_ALARMS_A_DAY,
) -> Result:
    """A row per window of `horizon_ms` (multiples since the epoch), side and band as `SHIFTS` says, in order of time.

    A step between two books belongs to the window in which the later one begins; a window without any has no rows.
    An alert is a z of at least `alert_z`; where that is None, of what the windows, sides and bands of a day exceed
    `false_alarms_a_day` times by chance. Where that cannot be said there is none, and `settings["alert_z"]` is None.
    """
    edges = [float(edge) for edge in bands_bps]
    _insist(edges, {"a horizon": horizon_ms, "a z": alert_z, "a rate": false_alarms_a_day})
    meter = CoverageMeter(books)
    frame = _with_z(_flows(books, meter, unit, horizon_ms, edges))
    settings: dict[str, object] = {} if alert_z is not None else {"false_alarms_a_day": false_alarms_a_day}
    if alert_z is None:
        known = frame.filter(pl.col("z").is_not_null())
        series = known.select("side", "band").n_unique()
        alert_z = chance_z(known["z"].to_numpy(), max(series, 1) * DAY_MS / horizon_ms, false_alarms_a_day)
    settings |= {"horizon_ms": horizon_ms, "bands_bps": edges, "alert_z": alert_z, "move_bps": MOVE_BPS}
    settings["windows"] = frame["t_from"].n_unique()
    is_alert = pl.lit(False) if alert_z is None else (pl.col("z").abs() >= alert_z).fill_null(False)
    frame = frame.with_columns(is_alert=is_alert).select(*SHIFTS).cast(SHIFTS)
    return Result(frame, meter.provenance("shifts/3", unit, **settings))


def _insist(edges: list[float], numbers: dict[str, float | None]) -> None:
    if not edges or edges[0] <= 0 or edges != sorted(set(edges)):
        raise UsageError(f"bands of {edges} bps are impossible.", "rising numbers above 0, such as 2 5 10 25")
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} of {value:g} is impossible.", "a number above 0")


def _flows(books: Books, meter: CoverageMeter, unit: Unit, horizon_ms: int, edges: list[float]) -> pl.DataFrame:
    """Every row of `SHIFTS` but for what is out of the ordinary."""
    own = partial(flows_of, unit=unit, horizon_ms=horizon_ms, edges=edges)
    sums: list[pl.DataFrame] = []
    stood: list[Ints] = []
    before: Ends | None = None
    for hour in books.mapped(own):
        for each in hour:
            meter.count_in(each.tally)
            stood.append(each.stood)
            step = None if before is None else before.before(each.ends)
            if step is not None:
                sums.append(_sums(step, unit, horizon_ms, edges))
            sums.append(each.sums)
            before = each.ends
    if before is None:
        raise books.no_book()
    frame = (
        pl.concat(sums)
        .group_by("window", "is_ask", "number", maintain_order=True)
        .agg(pl.col(CAUSES).sum(), pl.col("visible_bps").fill_nan(None).min(), pl.col("most_bps").fill_nan(None).max())
    )
    frame = _with_bands(frame.sort("window", "is_ask", "number"), horizon_ms, edges)
    bounds = frame["t_from"].clip(lower_bound=books.start_ms), frame["t_to"].clip(upper_bound=books.end_ms)
    return frame.with_columns(covered_share=_stood_shares(np.concatenate(stood), *bounds))


@dataclass(frozen=True, slots=True)
class PieceFlows:
    """What is kept of a piece: sums by window, side and band; its first and its last book; when its books stood."""

    sums: pl.DataFrame
    ends: Ends
    stood: Ints
    tally: Tally


def flows_of(pieces: Iterator[Piece], unit: Unit, horizon_ms: int, edges: list[float]) -> list[PieceFlows]:
    """The work on one hour: what is kept of each of its pieces."""
    return [_piece_flows(piece, unit, horizon_ms, edges) for piece in pieces]


def _piece_flows(piece: Piece, unit: Unit, horizon_ms: int, edges: list[float]) -> PieceFlows:
    is_apart = np.flatnonzero(piece.t_from[1:] != piece.t_to[:-1])
    stood = np.stack([piece.t_from[np.append(0, is_apart + 1)], piece.t_to[np.append(is_apart, -1)]], axis=1)
    return PieceFlows(
        _sums(piece, unit, horizon_ms, edges),
        piece.ends(),
        stood.reshape(-1),
        tally_of(piece),
    )


def chance_z(z: Floats, looks_a_day: float, false_alarms_a_day: float) -> float | None:
    """The |z| that so many looks exceed so often a day by chance, of `z`, `(values,)` float64; None of fewer than
    `LEAST_LOOKS` values.

    The tail of the values themselves is drawn out from its far end: the logarithm of |z| in proportion to the quantile
    of a normal distribution, as it would be if orders are log-normal, from the 50th largest value to the 5th and
    beyond, and from the 100th to the 10th; the larger of the two. The largest few have no say, so that a true shift
    does not hide itself.
    """
    size = np.sort(np.abs(z))[::-1]
    if len(size) < LEAST_LOOKS:
        return None
    chance = min(1.0, false_alarms_a_day / max(looks_a_day, 1.0))
    found = [_drawn_out(size, rank, chance) for rank in _RANKS]
    return max(found) if all(found) else None


def _drawn_out(size: Floats, rank: int, chance: float) -> float:
    """What a value exceeds with such a chance, of sizes in descending order; 0 where the tail says nothing."""
    count = len(size)
    if chance >= rank / count:
        return float(size[min(count - 1, math.ceil(chance * count) - 1)])
    from_rank = min(_TENFOLD * rank, count // 4)
    low, high = float(size[from_rank - 1]), float(size[rank - 1])
    at_low, at_high, wanted = (
        NormalDist().inv_cdf(1 - beyond / 2) for beyond in (from_rank / count, rank / count, chance)
    )
    return high * (high / low) ** ((wanted - at_high) / (at_high - at_low)) if low else 0.0


def net_by_window(frame: pl.DataFrame) -> pl.DataFrame:
    """A row per window, those with the largest shifts first: `bid_net`, `ask_net`, the net flow of each side over all
    bands that were seen, and `shift`, the sum of both without their signs."""
    net = {side: pl.col("net_flow").filter(pl.col("side") == side).sum() for side in SIDES}
    windows = frame.group_by("t_from", "t_to", maintain_order=True).agg(bid_net=net["bid"], ask_net=net["ask"])
    shift = pl.col("bid_net").abs() + pl.col("ask_net").abs()
    return windows.with_columns(shift=shift).sort("shift", descending=True, maintain_order=True)


def totals(frame: pl.DataFrame) -> pl.DataFrame:
    """A row per side: every flow summed over all windows and bands, and the number of `alerts`."""
    return frame.group_by("side", maintain_order=True).agg(pl.col(_FLOWS).sum(), alerts=pl.col("is_alert").sum())


def _sums(piece: Piece, unit: Unit, horizon_ms: int, edges: list[float]) -> pl.DataFrame:
    """By window (its number), side, band (its number) and cause, for every window with a linked step."""
    later = np.flatnonzero(piece.is_linked)
    windows, first, of_later = np.unique(piece.t_from[later] // horizon_ms, return_index=True, return_inverse=True)
    row = np.zeros(len(piece), np.int64)
    row[later] = of_later
    bands = len(edges) + 1
    cells = len(windows) * 2 * bands * len(CAUSES)
    sums = np.zeros(cells)
    row *= 2 * bands * len(CAUSES)
    for changed, is_ask in row_changes(piece, unit):
        band = np.zeros(len(is_ask), np.int32)
        distance_bps = changed.distance_bps - ROUNDING_BPS
        for edge in edges:
            band += distance_bps > edge
        cell = row.take(changed.book) + ((is_ask * np.int32(bands) + band) * np.int32(len(CAUSES)) + changed.cause)
        sums += np.bincount(cell, changed.size, cells)
    by_cause = sums.reshape(-1, len(CAUSES))
    reach = np.stack([piece.visible_bps(name)[later] for name in SIDES], axis=1)
    least, most = (end.reduceat(reach, first) if len(first) else reach for end in (np.fmin, np.fmax))
    keys = {
        "window": np.repeat(windows, 2 * bands),
        "is_ask": np.tile(np.repeat([False, True], bands), len(windows)),
        "number": np.tile(np.arange(bands), 2 * len(windows)),
        "visible_bps": np.repeat(least.reshape(-1), bands),
        "most_bps": np.repeat(most.reshape(-1), bands),
    }
    return pl.DataFrame(keys | {cause: by_cause[:, at] for at, cause in enumerate(CAUSES)})


def _with_bands(frame: pl.DataFrame, horizon_ms: int, edges: list[float]) -> pl.DataFrame:
    starts = [0.0, *edges]
    bands = pl.DataFrame(
        {
            "number": np.arange(len(starts)),
            "band": [f"{low:g}-{high:g}" for low, high in zip(starts, edges, strict=False)] + [f"{edges[-1]:g}+"],
            "band_from_bps": starts,
            "band_to_bps": [*edges, None],
        }
    )
    flow = pl.col("added") + pl.col("moved_in") - pl.col("pulled") - pl.col("consumed") - pl.col("moved_out")
    frame = frame.join(bands, "number", "left", maintain_order="left").with_columns(
        t_from=pl.col("window") * horizon_ms,
        t_to=(pl.col("window") + 1) * horizon_ms,
        side=pl.when("is_ask").then(pl.lit("ask")).otherwise(pl.lit("bid")),
        net_flow=flow,
        net=flow + pl.col("entered_view") - pl.col("left_view"),
    )
    is_hidden = (pl.col("most_bps") <= pl.col("band_from_bps")) & (pl.sum_horizontal(CAUSES) == 0)
    return frame.with_columns(pl.when(is_hidden).then(None).otherwise(pl.col(_FLOWS)).name.keep())


def _with_z(frame: pl.DataFrame) -> pl.DataFrame:
    """With `z`: how many standard deviations from the median, the deviation estimated from the mean absolute one.

    Flows have heavy tails. The plain deviation lets a few enormous windows hide each other, and of n windows none could
    be more than `(n - 1) / sqrt(n)` of it from the mean: of ten not one 3. The median absolute deviation of a band in
    which most windows see next to nothing is next to nothing, and calls out every other one.
    """
    far_end = pl.col("band_to_bps").fill_null(math.inf)
    is_history = (pl.col("covered_share") >= LEAST_COVERED_SHARE) & (pl.col("visible_bps") >= far_end - ROUNDING_BPS)
    flow = pl.when(is_history).then("net_flow")
    own = ("side", "band")
    away = flow - flow.median().over(own)
    spread = away.abs().mean().over(own) * _NORMAL
    is_known = (flow.count().over(own) >= LEAST_HISTORY) & (spread > 0)
    return frame.with_columns(z=pl.when(is_known).then(away / spread))


def _stood_shares(bounds: Ints, t_from: pl.Series, t_to: pl.Series) -> pl.Series:
    """Of each span, the share in which a book stood: between each two bounds, which ascend."""
    stood = np.zeros(len(bounds))
    stood[1::2] = bounds[1::2] - bounds[::2]
    passed = stood.cumsum()
    start, end = t_from.to_numpy(), t_to.to_numpy()
    return pl.Series((np.interp(end, bounds, passed) - np.interp(start, bounds, passed)) / (end - start))
