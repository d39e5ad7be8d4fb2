"""Flow step by step: what takers bought and sold, what came to the book and left it, and what both did to the price.

`trade_flow` measures trades, `order_flow_imbalance` books, `impact` both; here they stand side by side. Nothing is
claimed of time that is not proved: it is null, and `proved_share` says how much that is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Ints
from l2vault.analytics.books import Books, Result
from l2vault.analytics.context import CONTEXT
from l2vault.analytics.contract import Floats
from l2vault.analytics.coverage_meter import CoverageMeter
from l2vault.analytics.flow.impact import AFTER_SEC, BAND_BPS, HIT_SHARE, Depths, Recovery, kyle_lambda, recoveries
from l2vault.analytics.flow.order_flow_imbalance import all_steps, by_step, imbalances, of_changes, ofi_name
from l2vault.analytics.flow.trade_flow import VPIN_BUCKETS, bucket_volume, large_size, orders_of, volumes, vpin
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.side_levels import within
from l2vault.analytics.trades import TradeSpan, traded_sizes
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError

BANDS: Final = (2.0, 5.0)
"""Distances from mid within which order-flow imbalance is measured, beside the touch."""
MOST_STEPS: Final = 100_000
LARGEST: Final = 10
_MILLION: Final = 1e6
_ENOUGH: Final = 0.02
"""Changes are preferred to books if they cover at most so much less of a step."""

FLOW: Final = (
    *("t_from", "t_to", "proved_share", "trades", "buy_contracts", "sell_contracts", "net_contracts", "cum_contracts"),
    *("buy_usd", "sell_usd", "net_usd", "cum_usd", "large_orders", "large_buy_usd", "large_sell_usd"),
    *("vpin", "ofi_from", "ofi_covered_share", "ofi_touch_usd"),
)
"""Columns of a row: a step. Behind them stand `ofi_{X}bps_usd` of each band, and those of `_AFTER`."""
_AFTER: Final = (
    *("mid", "mid_change_bps", "lambda_bps_per_musd", "lambda_error", "lambda_moves", "hits", "recovered_10s_share"),
    *("mark", "index", "basis_bps", "funding_rate"),
    *("open_interest_contracts", "open_interest_usd", "open_interest_change_contracts"),
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to measure. `least_usd` is from which notional on an order is large, `bucket_contracts` the volume of a
    bucket of VPIN; None leaves either to the span. Raises UsageError for an impossible value."""

    step_ms: int = 60_000
    bands_bps: Sequence[float] = BANDS
    least_usd: float | None = None
    bucket_contracts: float | None = None

    def __post_init__(self) -> None:
        if not self.bands_bps or min(self.bands_bps) <= 0:
            raise UsageError(f"bands of {list(self.bands_bps)} bps are impossible.", "numbers above 0, such as 2,5")
        if len({ofi_name(each) for each in self.bands_bps}) < len(self.bands_bps):
            raise UsageError(f"bands of {list(self.bands_bps)} bps are not all different.", "each once, such as 2,5")
        for name, value in (
            ("a step", self.step_ms),
            ("a large order", self.least_usd),
            ("a bucket", self.bucket_contracts),
        ):
            if value is not None and not 0 < value < np.inf:
                raise UsageError(f"{name} of {value:g} is impossible.", "a number above 0")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A row per book: `frame` has its times, `mid` (NaN without), `is_linked`, the imbalances of the step to it, and
    the depth of each side near mid."""

    frame: pl.DataFrame

    def column(self, name: str) -> Floats:
        found: Floats = self.frame[name].to_numpy()
        return found

    def times(self, name: str) -> Ints:
        found: Ints = self.frame[name].to_numpy()
        return found


def flow(books: Books, ask: Ask | None = None) -> Result:
    """A row per step of `ask.step_ms` (multiples since the epoch) that the span touches, in order of time: `FLOW`, the
    bands, `_AFTER`. What a column is, and in what unit, docs/intelligence.md says; `settings` has the figures of the
    whole span: what makes an order large and the largest ones, Kyle's lambda, resilience, the bucket of VPIN.

    Trades against orders that are in no book (RPI) count as volume and in VPIN, and are left out where trades and books
    are compared. Raises VaultError where the span has no book, or none with two sides, UsageError for too many steps.
    """
    ask = ask or Ask()
    first, past = books.start_ms // ask.step_ms, -(-books.end_ms // ask.step_ms)
    if past - first > MOST_STEPS:
        raise UsageError(f"{past - first:,} steps are too many.", "a longer step, or a shorter span")
    steps = np.arange(first, past) * ask.step_ms
    meter = CoverageMeter(books)
    seen = _seen(books, meter, ask)
    frame = pl.DataFrame({"t_from": steps, "t_to": steps + ask.step_ms})
    settings: dict[str, object] = {"step_ms": ask.step_ms, "bands_bps": list(ask.bands_bps)}
    read = _trades(books)
    frame = _with_trades(frame, books, read, ask, settings)
    frame = _with_imbalances(frame, books, seen, ask)
    frame = _with_impact(frame, seen, read, ask, settings)
    frame = _with_context(frame, books.context, ask.step_ms)
    bands = [ofi_name(band_bps) for band_bps in ask.bands_bps]
    return Result(frame.select(*FLOW, *bands, *_AFTER), meter.provenance("flow/1", "usd", **settings))


def _seen(books: Books, meter: CoverageMeter, ask: Ask) -> _Seen:
    return _Seen(all_steps(books, partial(_of_books, bands_bps=ask.bands_bps), meter.count_in))


def _of_books(piece: Piece, bands_bps: Sequence[float]) -> dict[str, Floats]:
    """Beside the imbalances what rests within `BAND_BPS` of mid, NaN where that is not seen."""
    sizes = piece.sizes("usd")
    depths = {f"{name}_depth": within(piece, name, sizes, BAND_BPS) for name in SIDES}
    return imbalances(piece, bands_bps) | depths | {"mid": piece.mid}


def _trades(books: Books) -> TradeSpan | None:
    """Those of the span, with `usd`; None where none were recorded in it."""
    read = None if books.trades is None else books.trades.read((books.start_ms, books.end_ms))
    if read is None or not read.is_recorded:
        return None
    usd = pl.Series("usd", traded_sizes(read.frame, books.periods, "usd"), pl.Float64)
    return TradeSpan(read.start_ms, read.end_ms, read.frame.with_columns(usd), read.stretches, read.archive_share)


def _with_trades(
    frame: pl.DataFrame, books: Books, read: TradeSpan | None, ask: Ask, settings: dict[str, object]
) -> pl.DataFrame:
    settings["proved_share"] = 0.0 if read is None else read.proved_share
    settings["are_trades_recorded"] = read is not None
    if read is not None and read.archive_share:
        settings["archive_share"] = read.archive_share
    names = [name for name in FLOW if name not in frame.columns and not name.startswith("ofi_")]
    if read is None:
        return frame.with_columns(
            pl.lit(0.0 if name == "proved_share" else None, pl.Float64).alias(name) for name in names
        )
    orders = orders_of(read.frame)
    least_usd = ask.least_usd or large_size(orders)
    large = orders.clear() if least_usd is None else orders.filter(pl.col("usd") >= least_usd)
    settings |= {"large_usd": least_usd, "orders": len(orders)}
    shown = large.sort("usd", descending=True, maintain_order=True).head(LARGEST)
    settings["largest"] = [_order(row) for row in shown.to_dicts()]
    steps, ends = frame["t_from"].to_numpy(), frame["t_to"].to_numpy()
    inside = np.maximum(steps, books.start_ms), np.minimum(ends, books.end_ms)
    proved = read.proved_ms(*inside)
    frame = frame.join(volumes(read.frame, large, steps, ask.step_ms), "t_from", maintain_order="left")
    frame = frame.with_columns(proved_share=pl.Series(proved / (inside[1] - inside[0])))
    is_known = (pl.col("proved_share") > 0) | (pl.col("trades") > 0)
    frame = frame.with_columns(
        pl.when(is_known).then(name).alias(name) for name in names if name in frame.columns and name != "proved_share"
    ).with_columns(cum_contracts=pl.col("net_contracts").cum_sum(), cum_usd=pl.col("net_usd").cum_sum())
    volume = ask.bucket_contracts or bucket_volume(read)
    settings |= {"bucket_contracts": volume, "buckets": VPIN_BUCKETS}
    toxic = vpin(read, volume).with_columns(t_to=pl.col("t") + 1).sort("t_to", maintain_order=True)
    return frame.join_asof(toxic.select("t_to", "vpin"), on="t_to")


def _order(row: dict[str, Any]) -> dict[str, object]:
    """An order as text and numbers."""
    side = "buy" if row["is_buy"] else "sell"
    return {
        "at_utc": utc_text(row["t"]),
        "side": side,
        **{name: row[name] for name in row if name not in ("t", "is_buy")},
    }


def _with_imbalances(frame: pl.DataFrame, books: Books, seen: _Seen, ask: Ask) -> pl.DataFrame:
    """From every change where these cover the step, else from the books."""
    names = ["ofi_touch_usd", *(ofi_name(band_bps) for band_bps in ask.bands_bps)]
    found = by_step(seen.frame.select("t_from", "t_to", *names), ask.step_ms)
    frame = frame.join(found, "t_from", "left", maintain_order="left")
    frame = frame.with_columns(ofi_from=pl.when(pl.col("covered_ms") > 0).then(pl.lit("books")))
    if books.changes is not None:
        try:
            exact = of_changes(books.changes, ask.bands_bps, ask.step_ms)
        except VaultError:  # of this span there are none
            exact = None
        if exact is not None:
            both = frame.join(exact, "t_from", "left", suffix="_exact", maintain_order="left")
            least = pl.col("covered_ms").fill_null(0) - _ENOUGH * ask.step_ms
            is_exact = (pl.col("covered_ms_exact").fill_null(0) > 0) & (pl.col("covered_ms_exact") >= least)
            frame = both.with_columns(
                *(
                    pl.when(is_exact).then(f"{name}_exact").otherwise(name).alias(name)
                    for name in [*names, "covered_ms"]
                ),
                ofi_from=pl.when(is_exact).then(pl.lit("changes")).otherwise("ofi_from"),
            )
    inside = pl.col("t_to").clip(upper_bound=books.end_ms) - pl.col("t_from").clip(lower_bound=books.start_ms)
    return frame.with_columns(ofi_covered_share=pl.col("covered_ms").fill_null(0) / inside)


def _with_impact(
    frame: pl.DataFrame, seen: _Seen, read: TradeSpan | None, ask: Ask, settings: dict[str, object]
) -> pl.DataFrame:
    rows = seen.frame.with_columns(pl.col("mid").fill_nan(None), step=pl.col("t_from") // ask.step_ms)
    mids = (
        rows.group_by("step").agg(pl.col("mid").drop_nulls().last()).with_columns(t_from=pl.col("step") * ask.step_ms)
    )
    frame = frame.join(mids.select("t_from", "mid"), "t_from", "left", maintain_order="left").with_columns(
        mid_change_bps=(pl.col("mid") / pl.col("mid").shift() - 1) * BPS
    )
    names = ("lambda_bps_per_musd", "lambda_error", "lambda_moves", "hits", "recovered_10s_share")
    if read is None:
        return frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names)
    taken = _taken(seen, read)
    frame = _with_lambdas(frame, seen, taken["buy"] - taken["sell"], ask.step_ms, settings)
    hit: list[Recovery] = []
    pulled: list[Recovery] = []
    for name, side in (("ask", "buy"), ("bid", "sell")):
        depth = seen.column(f"{name}_depth")
        is_linked = seen.frame["is_linked"].to_numpy()
        own = Depths(seen.times("t_from"), seen.times("t_to"), is_linked, depth, taken[side])
        for kind, recovery in zip((hit, pulled), recoveries(own), strict=True):
            kind.append(recovery)
    hits, control = _joined(hit), _joined(pulled)
    settings["resilience"] = {"hits": _told(hits), "withdrawals": _told(control)}
    settings |= {"resilience_band_bps": BAND_BPS, "resilience_hit_share": HIT_SHARE}
    times = hits.t_ms // ask.step_ms * ask.step_ms
    after = pl.DataFrame({"t_from": times, "fall": hits.fall, "back": hits.back[:, _TEN]})
    is_known = pl.col("back").is_not_nan()
    back = pl.when(is_known.any()).then(pl.col("back").filter(is_known).sum() / pl.col("fall").filter(is_known).sum())
    of_step = after.group_by("t_from", maintain_order=True).agg(hits=pl.len(), recovered_10s_share=back)
    frame = frame.join(of_step, "t_from", "left", maintain_order="left")
    return frame.with_columns(pl.when(pl.col("proved_share") > 0).then(pl.col("hits").fill_null(0)).alias("hits"))


_TEN: Final = 4
"""The place of 10 s in the curve of a recovery."""


def _taken(seen: _Seen, read: TradeSpan) -> dict[str, Floats]:
    """`(books,)` of each side of takers: what they took since the book before, in quote currency, of orders that were
    in the book; NaN for the first book, behind a hole, and where trades may be missing."""
    t_from = seen.frame["t_from"].to_numpy()
    own = read.frame.filter(~pl.col("is_rpi"))
    at = np.searchsorted(t_from, own["t"].to_numpy(), "left")
    is_inside = at < len(t_from)
    since, until = np.append(t_from[:1], t_from[:-1]) + 1, t_from + 1
    is_known = seen.frame["is_linked"].to_numpy() & (read.proved_ms(since, until) == until - since)
    is_buy, usd = own["is_buy"].to_numpy(), own["usd"].to_numpy()
    found = {}
    for name, is_side in (("buy", is_buy), ("sell", ~is_buy)):
        chosen = is_inside & is_side
        found[name] = np.where(is_known, np.bincount(at[chosen], usd[chosen], len(t_from)), np.nan)
    return found


def _with_lambdas(
    frame: pl.DataFrame, seen: _Seen, net_usd: Floats, step_ms: int, settings: dict[str, object]
) -> pl.DataFrame:
    """Kyle's lambda of each step and of the span, over the moves from book to book."""
    mid = seen.column("mid")
    moves = np.append(np.nan, (mid[1:] / mid[:-1] - 1) * BPS)
    known = np.flatnonzero(np.isfinite(moves) & np.isfinite(net_usd))
    signed, moves = net_usd[known] / _MILLION, moves[known]
    whole = kyle_lambda(signed, moves)
    if whole is not None:
        settings |= {"lambda_bps_per_musd": whole.value, "lambda_error": whole.error, "lambda_moves": whole.count}
    step = seen.frame["t_from"].to_numpy()[known] // step_ms
    steps, first = np.unique(step, return_index=True)
    rows = []
    for number, start, end in zip(steps.tolist(), first, np.append(first, len(step))[1:], strict=True):
        own = kyle_lambda(signed[start:end], moves[start:end])
        rows.append((number * step_ms, *((None, None, None) if own is None else (own.value, own.error, own.count))))
    floats = dict.fromkeys(("lambda_bps_per_musd", "lambda_error"), pl.Float64())
    found = pl.DataFrame(rows, {"t_from": pl.Int64(), **floats, "lambda_moves": pl.Int64()}, orient="row")
    return frame.join(found, "t_from", "left", maintain_order="left")


def _joined(sides: list[Recovery]) -> Recovery:
    columns = ([getattr(each, name) for each in sides] for name in ("t_ms", "fall", "back"))
    return Recovery(*(np.concatenate(column) for column in columns))


def _told(recovery: Recovery) -> dict[str, object]:
    """What is said of the recoveries of the span."""
    said: dict[str, object] = {"events": len(recovery.t_ms)}
    for sec in AFTER_SEC:
        found = recovery.at(sec)
        said[f"recovered_{sec}s_share"] = None if found is None else found[0]
        said[f"recovered_{sec}s_events"] = 0 if found is None else found[1]
    fit = recovery.fit()
    said["half_life_sec"] = None if fit is None else float(fit[0] * np.log(2))
    said["recovered_in_the_end_share"] = None if fit is None else fit[1]
    return said


def _with_context(frame: pl.DataFrame, context: pl.DataFrame | None, step_ms: int) -> pl.DataFrame:
    """The last value of each step; the basis is that of the mark price against the index."""
    rows = CONTEXT.to_frame() if context is None else context
    values = [name for name in CONTEXT if name != "t"]
    found = rows.group_by(t_from=pl.col("t") // step_ms * step_ms).agg(
        pl.col(name).drop_nulls().last() for name in values
    )
    frame = frame.join(found, "t_from", "left", maintain_order="left")
    interest = pl.col("open_interest_contracts")
    return frame.with_columns(
        basis_bps=(pl.col("mark") / pl.col("index") - 1) * BPS,
        open_interest_change_contracts=interest - interest.shift(),
    )
