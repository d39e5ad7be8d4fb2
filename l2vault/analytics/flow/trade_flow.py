"""What takers did: signed volume step by step, their large orders, and VPIN. Pure; of trades alone.

Trades are rows as `trades.TRADES` has them, in order. OKX says which side the taker was on, so nothing is inferred.
"""

from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import Ints
from l2vault.analytics.contract import Floats
from l2vault.analytics.trades import TradeSpan
from l2vault.book.utc import DAY_MS
from l2vault.errors import UsageError

LARGE_SHARE: Final = 0.99
"""An order is large if it is worth more than this share of all the orders of the span."""
LEAST_ORDERS: Final = 100
"""Of fewer orders none is called large, unless a size is given."""

VPIN_BUCKETS: Final = 50
"""Buckets that one VPIN rests on, and into which a day's volume is cut: as Easley, Lopez de Prado, O'Hara 2012 have it.
"""
MOST_BUCKETS: Final = 1_000_000
"""In one stretch of trades. A bucket is meant to hold many; what is smaller would take gigabytes."""


def orders_of(trades: pl.DataFrame) -> pl.DataFrame:
    """The taker orders: rows of one millisecond and side that follow each other, as one order that went through several
    prices leaves them. `t`, `is_buy`, `contracts`, `usd`, `matches`, `price_first`, `price_last`. `trades` has `usd`.

    Two orders of one side in one millisecond count as one: OKX publishes no id of an order.
    """
    number = ((pl.col("t") != pl.col("t").shift()) | (pl.col("is_buy") != pl.col("is_buy").shift())).fill_null(True)
    return (
        trades.with_columns(order=number.cum_sum())
        .group_by("order", maintain_order=True)
        .agg(
            pl.col("t", "is_buy").first(),
            pl.col("qty").sum().alias("contracts"),
            pl.col("usd").sum(),
            pl.col("matches").sum(),
            pl.col("price").first().alias("price_first"),
            pl.col("price").last().alias("price_last"),
        )
        .drop("order")
    )


def large_size(orders: pl.DataFrame) -> float | None:
    """From which notional on an order is large; None of too few orders to tell."""
    if len(orders) < LEAST_ORDERS:
        return None
    return float(np.quantile(orders["usd"].to_numpy(), LARGE_SHARE, method="higher"))


def volumes(trades: pl.DataFrame, large: pl.DataFrame, steps: Ints, step_ms: int) -> pl.DataFrame:
    """A row per step (its start, ms): `trades` (OKX's ids), bought, sold and net in contracts and in quote currency,
    and the `large` orders. 0 where nothing was traded, whatever is proved of that."""
    bought = pl.col("is_buy")
    sums = [
        pl.col("matches").sum().alias("trades"),
        *(
            pl.col(column).filter(is_side).sum().alias(f"{side}_{name}")
            for column, name in (("qty", "contracts"), ("usd", "usd"))
            for side, is_side in (("buy", bought), ("sell", ~bought))
        ),
    ]
    of_large = [
        pl.len().alias("large_orders"),
        pl.col("usd").filter(bought).sum().alias("large_buy_usd"),
        pl.col("usd").filter(~bought).sum().alias("large_sell_usd"),
    ]
    step = (pl.col("t") // step_ms * step_ms).alias("t_from")
    frame = pl.DataFrame({"t_from": steps})
    for rows, aggregated in ((trades, sums), (large, of_large)):
        own = rows.group_by(step, maintain_order=True).agg(aggregated)
        frame = frame.join(own, "t_from", "left", maintain_order="left")
    return frame.fill_null(0).with_columns(
        net_contracts=pl.col("buy_contracts") - pl.col("sell_contracts"),
        net_usd=pl.col("buy_usd") - pl.col("sell_usd"),
    )


def bucket_volume(read: TradeSpan) -> float:
    """The volume of a bucket, contracts: 1/50 of a day's. A span that is shorter than a day does not know that: then
    1/100 of what was traded in its longest part without a hole, so that half of that has a VPIN, which is none to
    compare with another span's. 0 where nothing was traded."""
    days = (read.end_ms - read.start_ms) / DAY_MS
    if days >= 1:
        return float(read.frame["qty"].sum()) / (VPIN_BUCKETS * days)
    proved = [each for each in read.stretches if each.state == "proved"]
    if not proved:
        return 0.0
    longest = max(proved, key=lambda each: each.end_ms - each.start_ms)
    inside = pl.col("t").is_between(longest.start_ms, longest.end_ms - 1)
    return float(read.frame.filter(inside)["qty"].sum()) / (2 * VPIN_BUCKETS)


def vpin(read: TradeSpan, volume: float, buckets: int = VPIN_BUCKETS) -> pl.DataFrame:
    """The VPIN at the end of each bucket: `t`, `vpin`; null at the start of each time that is not proved, since no
    bucket and no window of buckets reaches over it.

    Volume-synchronized probability of informed trading (Easley, Lopez de Prado, O'Hara 2012, "Flow Toxicity and
    Liquidity in a High-frequency World"): successive trades are cut into buckets of one `volume`, a trade at a border
    into both, and `VPIN = (1/n) * sum over the last n buckets of |V_buy - V_sell| / V`. There sides are estimated by
    bulk classification; here they are OKX's own, so that the figures are not those of papers that estimate.
    """
    times, values = [np.empty(0, np.int64)], [np.empty(0)]
    t_ms, qty, is_buy = (read.frame[name].to_numpy() for name in ("t", "qty", "is_buy"))
    by_time = np.argsort(t_ms, kind="stable")
    t_ms, qty, is_buy = t_ms[by_time], qty[by_time], is_buy[by_time]
    for each in read.stretches:
        first, past = np.searchsorted(t_ms, (each.start_ms, each.end_ms))
        if each.state != "proved":
            times.append(np.array([each.start_ms]))
            values.append(np.array([np.nan]))
        elif past > first and volume > 0:
            at, imbalance = _buckets(qty[first:past], is_buy[first:past], volume)
            passed = np.concatenate([[0.0], np.cumsum(imbalance)])
            times.append(t_ms[first:past][at[buckets - 1 :]])
            values.append(np.clip((passed[buckets:] - passed[:-buckets]) / buckets, 0.0, 1.0))
    found = pl.DataFrame({"t": np.concatenate(times), "vpin": np.concatenate(values)})
    return found.with_columns(pl.col("vpin").fill_nan(None))


def _buckets(qty: Floats, is_buy: "np.typing.NDArray[np.bool_]", volume: float) -> tuple[Ints, Floats]:
    """Of each full bucket the trade that fills it, and `|V_buy - V_sell| / V`."""
    passed = np.concatenate([[0.0], np.cumsum(qty)])
    bought = np.concatenate([[0.0], np.cumsum(np.where(is_buy, qty, 0.0))])
    whole = passed[-1] / volume * (1 + 1e-12)  # what is whole but for the rounding of sums is whole
    if whole > MOST_BUCKETS:
        cure = f"at least {passed[-1] / MOST_BUCKETS:.2g}, or none, which fits one"
        raise UsageError(f"a bucket of {volume:g} contracts: the trades fill {whole:.2g} of them.", cure)
    count = int(whole)
    edges = np.minimum(np.arange(count + 1) * volume, passed[-1])
    own = np.diff(np.interp(edges, passed, bought))
    at: Ints = np.maximum(np.searchsorted(passed, edges[1:], "left") - 1, 0)
    return at, np.abs(2 * own - volume) / volume
