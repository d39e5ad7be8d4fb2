"""Runs of slots in order. The last line before another cadence may be of a slot behind the first one of that."""

from l2vault.vault.coverage.slots import Run, in_slot_order

OWN = ("recorded", "")


def run(first_ms: int, last_ms: int, cadence_ms: int, from_ms: int = 0) -> Run:
    return Run(first_ms, last_ms, cadence_ms, from_ms, OWN)


def spans(*runs: Run) -> list[tuple[int, int, int]]:
    return [(each.first_ms, each.last_ms, each.cadence_ms) for each in in_slot_order(runs)]


def test_runs_one_behind_the_other_stay_as_they_are() -> None:
    assert spans(run(0, 4_000, 2_000), run(6_000, 8_000, 1_000)) == [(0, 4_000, 2_000), (6_000, 8_000, 1_000)]


def test_a_last_slot_behind_the_next_run_stands_behind_it() -> None:
    assert spans(run(0, 60_000, 30_000), run(32_000, 34_000, 2_000)) == [
        (0, 30_000, 30_000),
        (32_000, 34_000, 2_000),
        (60_000, 60_000, 30_000),
    ]


def test_a_last_slot_within_the_next_run_is_in_that_one_alone() -> None:
    assert spans(run(0, 60_000, 30_000), run(32_000, 64_000, 2_000)) == [(0, 30_000, 30_000), (32_000, 64_000, 2_000)]


def test_a_run_of_that_one_slot_leaves_nothing_before_the_next() -> None:
    assert spans(run(60_000, 60_000, 30_000), run(32_000, 34_000, 2_000)) == [
        (32_000, 34_000, 2_000),
        (60_000, 60_000, 30_000),
    ]
