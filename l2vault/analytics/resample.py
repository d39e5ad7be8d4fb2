"""Measures over time: a span summed up, or step by step. Every figure is weighted by how long each book stood. Pure.

Takes frames with a row per book, `t_from` and `t_to` (ms) and measures; a time in which no book stood weighs nothing.
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import polars as pl

from l2vault.analytics.contract import Floats

Statistic = Literal["mean", "min", "max", "last"]

TIMES: Final = ["t_from", "t_to"]
_QUANTILES: Final = {"p5": 0.05, "p50": 0.5, "p95": 0.95}


def measures_of(frame: pl.DataFrame) -> list[str]:
    """The columns that are no times."""
    return [name for name in frame.columns if name not in TIMES]


def summary(frame: pl.DataFrame) -> pl.DataFrame:
    """A row per measure: `mean, min, p5, p50, p95, max, last` over the time in which it has a value, and
    `non_null_share`, the share of the covered time in which it has one."""
    weight = (frame["t_to"] - frame["t_from"]).to_numpy().astype(np.float64)
    return pl.DataFrame(
        [_summed_up(name, frame[name], weight) for name in measures_of(frame)], infer_schema_length=None
    )


def by_step(frame: pl.DataFrame, step_ms: int, statistic: Statistic = "mean") -> pl.DataFrame:
    """A row per step (multiples of `step_ms` since the epoch) in which a book stood: `t_from, t_to, covered_share` and
    one statistic of each measure. A book that stands in several steps counts in each for its time there."""
    first, last = frame["t_from"] // step_ms, (frame["t_to"] - 1) // step_ms
    parts = (
        frame.with_columns(step=pl.int_ranges(first, last + 1))
        .explode("step")
        .with_columns(
            t_from=pl.max_horizontal("t_from", pl.col("step") * step_ms),
            t_to=pl.min_horizontal("t_to", (pl.col("step") + 1) * step_ms),
        )
        .with_columns(weight=pl.col("t_to") - pl.col("t_from"))
    )
    names = measures_of(frame)
    steps = parts.group_by("step", maintain_order=True).agg(
        (pl.col("weight").sum() / step_ms).alias("covered_share"), *(_statistic(name, statistic) for name in names)
    )
    times = [(pl.col("step") * step_ms).alias("t_from"), ((pl.col("step") + 1) * step_ms).alias("t_to")]
    return steps.select(*times, "covered_share", *names)


def weighted_quantiles(values: Floats, weight: Floats, shares: Sequence[float]) -> list[float]:
    """Of each share: the least of `values` (any order, no NaN) that at least so much of the `weight` does not exceed;
    NaN of nothing. Both arrays are `(values,)`, float64."""
    if not len(values):
        return [float("nan")] * len(shares)
    order = np.argsort(values)
    passed = np.cumsum(weight[order])
    at = np.minimum(np.searchsorted(passed, np.array(shares) * passed[-1]), len(values) - 1)
    found: list[float] = values[order[at]].tolist()
    return found


def _summed_up(name: str, column: pl.Series, weight: Floats) -> dict[str, object]:
    has_value = column.is_not_null().to_numpy()
    values, own = column.drop_nulls().to_numpy(), weight[has_value]
    row: dict[str, object] = {"measure": name, "non_null_share": float(own.sum() / weight.sum())}
    if not len(values):
        return row | dict.fromkeys(["mean", "min", *_QUANTILES, "max", "last"])
    quantiles = dict(zip(_QUANTILES, weighted_quantiles(values, own, [*_QUANTILES.values()]), strict=True))
    mean = float(np.average(values, weights=own)) if np.isfinite(values).all() else float("inf")
    last = column[-1]
    return row | {"mean": mean, "min": float(values.min()), **quantiles, "max": float(values.max()), "last": last}


def _statistic(name: str, statistic: Statistic) -> pl.Expr:
    column = pl.col(name)
    if statistic == "mean":
        known = pl.col("weight").filter(column.is_not_null())
        return ((column * pl.col("weight")).sum() / known.sum()).fill_nan(None).alias(name)
    return {"min": column.min(), "max": column.max(), "last": column.last()}[statistic]
