"""The wall ledger: from large levels, book by book, to lives with a beginning, a course and a cause of their end. Pure.

Whether a wall at the touch was hit or withdrawn in the last moment only trades can tell (`trade_ends`). Whatever
happened between two recorded books is seen only by what it left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from l2vault.analytics.standing_walls import KEPT_SHARE
from l2vault.analytics.walls.tracks import linked
from l2vault.analytics.walls.trade_ends import with_ends

Began = Literal["found", "returned", "entered view", "grown", "moved", "placed"]
"""`found`: it stood when the span or the time after a hole began. `entered view`: the visible range came to it.
`returned`: one of these, and a wall of like size had been lost from sight at this price."""

End = Literal["standing", "gap", "consumed", "refilled", "unknown", "left view", "moved", "pulled"]
"""`standing`: it stood at the end of the span. `gap`: a hole followed, between two books or until the end of the span.
By trades, where they were recorded: `consumed` if most of what left it was traded, `refilled` if besides far more
was traded there than it ever showed, `pulled` if most was cancelled, `unknown` if a hole in the trades leaves that
open. Inferred without them: `consumed` if the market reached its price, and it fell; `pulled` if it fell while better
prices stood before it."""

FILLED_AT_TOUCH_SHARE: Final = 0.5
"""A consumed wall that lost so much of its peak while it was the best price was traded away: of such walls 98.6 %
were traded away, of those with less than half of it 34 % (benchmarks/bench_walls.py). Without it, who can tell."""

LEDGER: Final = pl.Schema(
    {
        "wall": pl.Int64,
        "side": pl.String,
        "price": pl.Float64,
        "began": pl.String,
        "end": pl.String,
        "t_from": pl.Int64,
        "t_to": pl.Int64,
        "size_born": pl.Float64,
        "grown": pl.Float64,
        "shrunk": pl.Float64,
        "shrunk_at_touch": pl.Float64,
        "filled_at_touch_share": pl.Float64,
        "refilled": pl.Boolean,
        "size_end": pl.Float64,
        "size_left": pl.Float64,
        "peak": pl.Float64,
        "mean": pl.Float64,
        "orders": pl.Float64,
        "per_order": pl.Float64,
        "times_around": pl.Float64,
        "distance_bps": pl.Float64,
        "nearest_bps": pl.Float64,
        "at_touch_share": pl.Float64,
        "continues": pl.Int64,
        "continued_by": pl.Int64,
        "track": pl.Int64,
        "times_usual": pl.Float64,
        "end_from": pl.String,
        "traded": pl.Float64,
        "cancelled": pl.Float64,
        "consumed_share": pl.Float64,
    }
)
"""A row is a life. `size_born + grown - shrunk = size_end`, the last size it had as a wall; `size_left` is what its
price held in the book after that, null where there is none; `filled_at_touch_share` is `shrunk_at_touch / peak`, at
most 1; `refilled` where more was taken from it at the touch than it ever held at once. Means are weighted by time;
`times_around` is its size at birth over the mean of its neighbours, `times_usual` its mean size over what was usual so
far from mid in the hour of its birth, `at_touch_share` the share of its life in which it was the best price of its
side. `end_from` is `trades` or `inferred`, null where neither trades nor the touch decide the end; what was `traded` of
it and `cancelled`, and `consumed_share`, are as `trade_ends` says, null without trades. Lives that are one wall (moved,
or back in sight) name each other and share a `track`."""


@dataclass(frozen=True, slots=True)
class Birth:
    """What a level must have to become a wall, in the unit of its size; `relative` is in means of its neighbours."""

    threshold: float
    relative: float | None
    per_order: float | None
    crumbs_share: float = 0.0
    """A price that held at most so much of the wall before held crumbs: the wall was placed there, and did not grow."""

    def test(self) -> pl.Expr:
        """Over rows with `size`, `orders` and `around`: whether a wall is born there."""
        size, orders = pl.col("size"), pl.col("orders")
        is_born = size >= self.threshold
        if self.relative is not None:  # a level that stands alone is larger than all its neighbours
            is_born &= pl.col("around").is_nan() | (size >= self.relative * pl.col("around"))
        if self.per_order is not None:
            is_born &= (orders > 0) & (size >= self.per_order * orders)
        return is_born


def runs_of(rows: pl.DataFrame, birth: Birth) -> pl.DataFrame:
    """The rows of all levels that have, or as a wall might still have, the threshold, from the first book in which each
    may be born; with `run`, the number of the unbroken run of books that each belongs to, and `step`, by how much its
    size changed since the row before.

    `rows` are those of `large_levels`, in order of side, price and time, with books numbered through the whole span and
    `usual`, what was usual where each began.
    """
    kept = rows.filter(pl.col("size") >= birth.threshold * KEPT_SHARE).with_columns(is_born=birth.test())
    goes_on = (
        (pl.col("is_ask") == pl.col("is_ask").shift())
        & (pl.col("price") == pl.col("price").shift())
        & (pl.col("first") == pl.col("past").shift())
        & pl.col("is_linked")
    )
    return (
        kept.with_columns(run=(~goes_on.fill_null(False)).cum_sum())
        .filter(pl.col("is_born").cum_max().over("run"))
        .with_columns(step=pl.col("size").diff().over("run").fill_null(0.0))
    )


def ledger_of(runs: pl.DataFrame, birth: Birth, told: pl.DataFrame | None = None) -> pl.DataFrame:
    """The ledger of the runs, with the number of its `run` behind each row. `told` is what trades tell of some of them,
    as `trade_ends.told_of` gives it."""
    if not len(runs):
        return LEDGER.to_frame().with_columns(run=pl.lit(None, pl.UInt32))
    lives = _lives(runs).with_columns(began=_beginning(birth.crumbs_share), end=_end())
    lives = with_ends(lives, told)
    lives = lives.sort("first", "side", "price").with_row_index("wall").with_columns(pl.col("wall").cast(pl.Int64))
    return linked(lives).select(*(pl.col(name).cast(kind) for name, kind in LEDGER.items()), "run")


def _lives(runs: pl.DataFrame) -> pl.DataFrame:
    """A row per unbroken run of books in which a price holds a wall."""
    lives = runs.group_by("run", maintain_order=True).agg(*_born(), *_course(), *_ended())
    return lives.with_columns(
        filled_at_touch_share=(pl.col("shrunk_at_touch") / pl.col("peak")).clip(upper_bound=1.0),
        refilled=pl.col("shrunk_at_touch") > pl.col("peak"),
        per_order=pl.when(pl.col("orders") > 0).then(pl.col("mean") / pl.col("orders")),
        times_usual=pl.when(pl.col("usual") > 0).then(pl.col("mean") / pl.col("usual")),
    )


def _born() -> list[pl.Expr]:
    firsts = {"size": "size_born", "before": "size_before"}
    is_ask = pl.col("is_ask").first()
    return [
        pl.when(is_ask).then(pl.lit("ask")).otherwise(pl.lit("bid")).alias("side"),
        *(pl.col(name).first().alias(alias) for name, alias in firsts.items()),
        pl.col("price", "first", "t_from", "usual", "was_beyond").first(),
        (~pl.col("is_linked").first()).alias("is_found"),
        (pl.col("size") / pl.col("around")).first().fill_nan(None).alias("times_around"),
    ]


def _course() -> list[pl.Expr]:
    ms, shrunk = pl.col("ms"), pl.when(pl.col("step") < 0).then(-pl.col("step")).otherwise(0.0)
    return [
        pl.col("step").clip(lower_bound=0).sum().alias("grown"),
        shrunk.sum().alias("shrunk"),
        shrunk.filter("is_at_touch").sum().alias("shrunk_at_touch"),
        pl.col("size").max().alias("peak"),
        ((pl.col("size") * ms).sum() / ms.sum()).alias("mean"),
        ((pl.col("orders") * ms).sum() / ms.sum()).alias("orders"),
        (pl.col("distance_ms").sum() / ms.sum()).fill_nan(None).alias("distance_bps"),
        pl.col("nearest_bps").min().fill_nan(None),
        (pl.col("touch_ms").sum() / ms.sum()).alias("at_touch_share"),
    ]


def _ended() -> list[pl.Expr]:
    return [
        (pl.col("past").last() - 1).alias("last"),
        pl.col("size").last().alias("size_end"),
        pl.col("after").last().alias("size_left"),
        pl.col("t_to", "has_next", "is_linked_on", "is_reached", "is_beyond").last(),
    ]


def _beginning(crumbs_share: float) -> pl.Expr:
    return _first_true(
        [
            (pl.col("is_found"), "found"),
            (pl.col("size_before") > crumbs_share * pl.col("size_born"), "grown"),
            (pl.col("was_beyond"), "entered view"),
        ],
        "placed",
    )


def _end() -> pl.Expr:
    return _first_true(
        [
            (~pl.col("has_next"), "standing"),
            (~pl.col("is_linked_on"), "gap"),
            (pl.col("is_reached"), "consumed"),
            (pl.col("is_beyond"), "left view"),
        ],
        "pulled",
    )


def _first_true(choices: Sequence[tuple[pl.Expr, str]], otherwise: str) -> pl.Expr:
    return pl.coalesce(*(pl.when(is_so).then(pl.lit(name)) for is_so, name in choices), pl.lit(otherwise))
