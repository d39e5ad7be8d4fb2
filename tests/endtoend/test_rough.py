"""A rough life in virtual time: whatever befalls feeds, host, process and files, nothing is claimed that was not so.

`make torture` runs 500 seeds of it. A seed that complains is run alone with `live_through(plan_of(SEED), folder)`.
"""

from pathlib import Path

import pytest

from support.rough import (
    DAMAGES,
    FEED_ACTS,
    INST_IDS,
    LINK_ACTS,
    RUN_ACTS,
    WORLD_ACTS,
    Act,
    Plan,
    live_through,
    plan_of,
)

SEEDS = range(25)


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


def test_ten_minutes_of_two_feeds_that_flap_each_second_cost_few_slots_and_each_says_why(tmp_path: Path) -> None:
    """Every connection ends 1.0 to 1.4 s after it was made, whatever it does: about 900 of them."""
    flaps = Act(0.5, "flap", INST_IDS[0], 0, 700)
    judgement = live_through(Plan(1, 2, 600, (flaps,), "none"), tmp_path)
    assert judgement.complaints == []
    slots = judgement.slots
    # Of a quiet instrument nothing is known after its last message: that is up to a minute of the end, and no flap.
    lost = sum(count for state, count in slots.items() if state not in ("recorded", "quiet", "missing (our_restart)"))
    assert slots["recorded"] + slots["quiet"] > 2 * 300 * 0.9
    assert lost <= 2 * 300 * 0.05, slots
    assert set(slots) <= {"recorded", "quiet", "missing (our_restart)", "missing (disconnect)"}, "each with its cause"


def test_500_seeds_try_every_act_and_every_damage() -> None:
    plans = [plan_of(seed) for seed in range(500)]
    acts = {act.name for plan in plans for act in plan.acts}
    assert acts == {*FEED_ACTS, *LINK_ACTS, *WORLD_ACTS, *RUN_ACTS, "wrong_level"}
    assert {plan.damage for plan in plans} == set(DAMAGES)
    assert {plan.feeds for plan in plans} == {1, 2}
