"""Measures over time: weighted by how long each book stood, split where steps meet."""

import math

import polars as pl
import pytest

from l2vault.analytics.resample import by_step, summary, weighted_quantiles

FRAME = pl.DataFrame(
    {
        "t_from": [0, 1_000, 4_000, 9_000],
        "t_to": [1_000, 4_000, 5_000, 12_000],  # nothing is known from 5 s to 9 s
        "value": [10.0, 2.0, None, 6.0],
    }
)


def test_a_summary_weighs_each_value_by_its_time():
    found = summary(FRAME).row(0, named=True)
    assert found["mean"] == pytest.approx((10 * 1 + 2 * 3 + 6 * 3) / 7)
    assert (found["min"], found["max"], found["last"]) == (2, 10, 6)
    assert (found["p5"], found["p50"], found["p95"]) == (2, 6, 10)
    assert found["non_null_share"] == 7 / 8


def test_a_measure_that_was_never_told_says_so():
    never = summary(FRAME.with_columns(value=pl.lit(None, pl.Float64))).row(0, named=True)
    assert never == {
        "measure": "value",
        "non_null_share": 0.0,
        **dict.fromkeys(["mean", "min", "p5", "p50", "p95", "max", "last"]),
    }


def test_a_book_counts_in_each_step_for_its_time_there():
    steps = by_step(FRAME, 2_000)
    assert steps.rows() == [
        (0, 2_000, 1.0, pytest.approx((10 * 1 + 2 * 1) / 2)),
        (2_000, 4_000, 1.0, 2.0),
        (4_000, 6_000, 0.5, None),
        (8_000, 10_000, 0.5, 6.0),
        (10_000, 12_000, 1.0, 6.0),
    ]


@pytest.mark.parametrize(("statistic", "expected"), [("min", 2), ("max", 10), ("last", 2)])
def test_steps_tell_extremes_too(statistic, expected):
    steps = by_step(FRAME, 4_000, statistic)
    assert steps["value"].to_list() == [expected, None, 6]
    assert steps["covered_share"].to_list() == [1.0, 0.25, 0.75]


def test_quantiles_are_values_that_occurred():
    values, weight = FRAME["value"].fill_null(0).to_numpy(), (FRAME["t_to"] - FRAME["t_from"]).to_numpy()
    assert weighted_quantiles(values, weight, [0.5, 0.0, 1.0]) == [2, 0, 10]
    assert all(map(math.isnan, weighted_quantiles(values[:0], weight[:0], [0.1, 0.9])))
