"""How far the wall ledger can be trusted must not fall: one short market of `benchmarks/bench_walls.py`, floors well
below what the whole benchmark measures."""

import importlib
import math
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("bench_walls")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def both(bench):
    return bench.verdicts_of(seed=2, hours=0.5)


@pytest.fixture(scope="module")
def verdicts(both):
    """As if no trades had been recorded."""
    return [both[0]]


@pytest.fixture(scope="module")
def by_trades(both):
    return [both[1]]


def test_every_wall_of_the_threshold_is_found(bench, verdicts):
    due = bench.due(verdicts)
    assert len(due) > 50
    assert all(judged.rows for judged in due)


@pytest.mark.parametrize(
    ("cause", "precision", "recall"),
    [
        ("consumed", 0.45, 0.75),
        ("pulled", 0.7, 0.4),
        ("moved", 0.8, 0.75),
        ("left view", 0.8, 0.9),
        ("gap", 0.8, 0.6),
    ],
)
def test_a_cause_can_be_trusted_as_far_as_was_measured(bench, verdicts, cause, precision, recall):
    told_right, said, found, truly = bench.scores(verdicts)[cause]
    assert said and truly
    assert (told_right >= precision, found >= recall) == (True, True), (told_right, found)


@pytest.mark.parametrize(("cause", "precision", "recall"), [("consumed", 0.9, 0.9), ("pulled", 0.9, 0.8)])
def test_trades_tell_consumed_from_pulled(bench, by_trades, cause, precision, recall):
    told_right, said, found, truly = bench.scores(by_trades)[cause]
    assert said > 15 and truly > 15
    assert (told_right >= precision, found >= recall) == (True, True), (told_right, found)


def test_what_was_filled_up_again_while_it_was_traded_is_told(bench, by_trades):
    told_right, said, found, truly = bench.refills(by_trades)
    assert said and truly
    assert (told_right >= 0.8, found >= 0.8) == (True, True), (told_right, found)


def test_a_wall_that_was_seen_eaten_was_consumed(bench, verdicts):
    right, told = bench.filled_in_view(verdicts, 0.5, math.inf)
    assert told > 5
    assert right >= 0.9 * told


def test_nothing_is_told_to_have_returned_that_did_not(bench, verdicts):
    joined = bench.links(verdicts, "returned")
    assert joined["right"] > 5
    assert joined["wrong"] == 0


def test_times_are_late_by_at_most_the_distance_of_two_books(bench, verdicts):
    """Those of walls that come and go at once; recorded books are at most 2.13 s apart."""
    late = bench.lateness(verdicts)
    assert all(0 <= each <= 2_130 for name in ("birth", "end, consumed within 2 s") for each in late[name])
