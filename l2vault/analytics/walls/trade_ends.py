"""How a wall ended, by the trades at its price: what left it was traded, or it was cancelled. Pure.

Of each step between two books the fall of its size is compared with what takers of the other side traded at its price
meanwhile. Trades against orders that are in no book (RPI) made no level fall, and are left out.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from l2vault.analytics.contract import ContractPeriod, Unit
from l2vault.analytics.standing_walls import MOST_TRADED
from l2vault.analytics.trades import Trades, TradeSpan, traded_sizes
from l2vault.book.utc import HOUR_MS

TIMES_SHOWN: Final = 1.5
"""A consumed wall was refilled if so many times its largest size was traded. Others come to its price too: on the
planted markets of benchmarks/bench_walls.py one in four of those with 1.25 times had never been filled up again."""

_BETWEEN_MS: Final = 2 * HOUR_MS
"""Spans of walls that are not farther apart are read in one go: reading a span takes the hours before and behind it."""

_TOLD: Final = pl.Schema(
    {
        "run": pl.UInt32,
        "traded": pl.Float64,
        "filled": pl.Float64,
        "cancelled": pl.Float64,
        "open": pl.Float64,
        "is_told": pl.Boolean,
    }
)


def told_of(runs: pl.DataFrame, trades: Trades, periods: Sequence[ContractPeriod], unit: Unit) -> pl.DataFrame | None:
    """What trades tell of the walls of some runs, a row each; None where none were recorded while any of them stood.
    Each must have ended in sight, so that the book behind it says what was left.

    `traded`: what takers took at the price of the wall, from the book that first shows it to the one behind its last.
    `filled`: what its size fell by, so far as so much was traded in the same step. `cancelled`: what it fell by beyond
    that; `open`: the same of steps that a hole in the trades touches, so that it may have been either. `is_told`:
    trades were recorded when it ended. Sizes in `unit`.
    """
    frames = [_of_span(own, read, periods, unit) for own in _together(runs) if (read := _read(own, trades)).is_recorded]
    return pl.concat(frames) if frames else None


def with_ends(lives: pl.DataFrame, told: pl.DataFrame | None) -> pl.DataFrame:
    """The lives with `traded`, `cancelled`, `consumed_share`, `end_from`; and with their `end` by trades, where it was
    inferred before.

    `consumed_share = filled / (filled + cancelled)`: of all that the price lost from book to book, what was traded.
    What was traded and filled up again between two books is in `traded` alone: no share exceeds 1. Where a hole leaves
    `open` sizes the share lies between two bounds: if these are on two sides of `MOST_TRADED` the end is `unknown`, and
    the share null; else it is the lower one.
    """
    known = _TOLD.to_frame() if told is None else told
    lives = lives.join(known.with_columns(pl.col("run").cast(lives["run"].dtype)), "run", "left", maintain_order="left")
    filled, left = pl.col("filled"), pl.col("filled") + pl.col("cancelled") + pl.col("open")
    is_inferred = pl.col("end").is_in(["consumed", "pulled"])
    is_known = pl.col("is_told").fill_null(False)
    is_told = is_known & (left > 0)
    least, most = filled / left, (filled + pl.col("open")) / left
    by_trades = (
        pl.when(most < MOST_TRADED)
        .then(pl.lit("pulled"))
        .when(least < MOST_TRADED)
        .then(pl.lit("unknown"))
        .when(pl.col("traded") >= TIMES_SHOWN * pl.col("peak"))
        .then(pl.lit("refilled"))
        .otherwise(pl.lit("consumed"))
    )
    end_from = pl.when(is_told).then(pl.lit("trades")).otherwise(pl.lit("inferred"))
    return lives.with_columns(
        end=pl.when(is_inferred & is_told).then(by_trades).otherwise("end"),
        end_from=pl.when(is_inferred).then(end_from),
        **{name: pl.when(is_known).then(name) for name in ("traded", "cancelled")},
        consumed_share=pl.when(is_told & ((least >= MOST_TRADED) | (most < MOST_TRADED))).then(least),
    )


def _together(runs: pl.DataFrame) -> list[pl.DataFrame]:
    """The rows of those runs that stood in about the same hours."""
    if not len(runs):
        return []
    bounds = runs.group_by("run").agg(pl.col("t_from").min(), pl.col("t_to").max()).sort("t_from", "run")
    is_apart = bounds["t_from"] > bounds["t_to"].cum_max().shift() + _BETWEEN_MS
    groups = bounds.select("run", group=is_apart.fill_null(False).cum_sum())
    return runs.join(groups, "run", maintain_order="left").partition_by("group", maintain_order=True)


def _read(runs: pl.DataFrame, trades: Trades) -> TradeSpan:
    span = runs["t_from"].min(), runs["t_to"].max()
    assert isinstance(span[0], int) and isinstance(span[1], int)  # there is a row
    return trades.read((span[0], span[1] + 1), frozenset(runs["price"].unique().to_list()))


def _of_span(runs: pl.DataFrame, read: TradeSpan, periods: Sequence[ContractPeriod], unit: Unit) -> pl.DataFrame:
    taken = _taken(runs, read.frame.with_columns(size=pl.Series(traded_sizes(read.frame, periods, unit))))
    # The last book with this size stands from t_last on, the next one begins at t_to: what it lacks went after the one
    # and no later than the other.
    after, until = runs["t_last"].to_numpy() + 1, runs["t_to"].to_numpy() + 1
    is_proved = read.proved_ms(after, until) == until - after
    fell = (pl.col("size") - pl.col("after")).clip(lower_bound=0)
    rows = taken.with_columns(
        filled=pl.min_horizontal(fell, "in_fall"),
        unexplained=(fell - pl.col("in_fall")).clip(lower_bound=0),
        is_proved=pl.Series(is_proved),
        is_recorded=pl.Series(read.not_recorded_ms(after, until) == 0),
    )
    return (
        rows.group_by("run", maintain_order=True)
        .agg(
            (pl.col("in_stay") + pl.col("in_fall")).sum().alias("traded"),
            pl.col("filled").sum(),
            pl.col("unexplained").filter("is_proved").sum().alias("cancelled"),
            pl.col("unexplained").filter(~pl.col("is_proved")).sum().alias("open"),
            pl.col("is_recorded").last().alias("is_told"),
        )
        .select(pl.col(name).cast(kind) for name, kind in _TOLD.items())
    )


def _taken(runs: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """The rows with what was traded of each while its size stayed, `in_stay`, and in the step in which it changed."""
    own = trades.filter(~pl.col("is_rpi")).select("t", "price", "size", is_ask="is_buy", t_from=pl.col("t") - 1)
    rows = runs.with_row_index("row")
    joined = own.sort("t_from").join_asof(
        rows.select("row", "is_ask", "price", "t_from", "t_last", "t_to").sort("t_from"),
        on="t_from",
        by=["is_ask", "price"],
        check_sortedness=False,
    )
    sums = (
        joined.filter(pl.col("t") <= pl.col("t_to"))
        .group_by("row")
        .agg(
            in_stay=pl.col("size").filter(pl.col("t") <= pl.col("t_last")).sum(),
            in_fall=pl.col("size").filter(pl.col("t") > pl.col("t_last")).sum(),
        )
    )
    return rows.join(sums, "row", "left", maintain_order="left").with_columns(
        pl.col("in_stay", "in_fall").fill_null(0.0)
    )
