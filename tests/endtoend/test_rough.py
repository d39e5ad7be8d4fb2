"""A rough life in virtual time: whatever befalls feeds, host, process and files, nothing is claimed that was not so.

`make torture` runs 500 seeds of it. A seed that complains is run alone with `live_through(plan_of(SEED), folder)`.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from support.rough import (
    DAMAGES,
    FEED_ACTS,
    LINK_ACTS,
    RUN_ACTS,
    TRADE_ACTS,
    WORLD_ACTS,
    Plan,
    flapping,
    live_through,
    plan_of,
)

SEEDS = (0, 5, 7, 14, 16, 20, 24, 27, 43, 51, 124)
"""Few and short ones that have every act and every damage between them."""


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_called_recorded_or_quiet_that_is_not_and_no_hour_goes_too_early(seed: int, tmp_path: Path) -> None:
    plan = plan_of(seed)
    judgement = live_through(plan, tmp_path)
    assert judgement.complaints == [], str(plan)


def test_an_undisturbed_life_is_recorded_or_quiet_from_its_first_slot_to_its_last(tmp_path: Path) -> None:
    """So that the law above is not kept by claiming nothing."""
    judgement = live_through(Plan(1, 2, 150, (), "none"), tmp_path)
    assert judgement.complaints == []
    assert set(judgement.slots) == {"recorded", "quiet", "missing (our_restart)"}
    assert judgement.slots["quiet"] > 10
    # Nothing is known of a quiet instrument after its last message, which may be half a minute before the end.
    assert judgement.slots["recorded"] + judgement.slots["quiet"] >= 130
    assert judgement.slots["missing (our_restart)"] <= 2 * 30_000 // 2_000 + 20
    assert judgement.rebuilt == judgement.slots["recorded"], "each line is rebuilt from the changes"
    assert judgement.not_rebuilt == 0
    assert judgement.pushes > 1_000


def test_minutes_of_two_feeds_that_flap_each_second_cost_few_slots_and_each_says_why(tmp_path: Path) -> None:
    """Every connection ends 1.0 to 1.4 s after it was made, whatever it does. `make torture` has ten minutes of it."""
    assert flapping(240, tmp_path) == []


@pytest.mark.parametrize("seeds", [SEEDS, range(500)], ids=["here", "make torture"])
def test_every_act_and_every_damage_is_tried(seeds: Sequence[int]) -> None:
    plans = [plan_of(seed) for seed in seeds]
    acts = {act.name for plan in plans for act in plan.acts}
    assert acts == {*FEED_ACTS, *LINK_ACTS, *WORLD_ACTS, *RUN_ACTS, *TRADE_ACTS, "wrong_level"}
    assert {plan.damage for plan in plans} == set(DAMAGES)
    assert {plan.feeds for plan in plans} == {1, 2}
