from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.sim.faults.plan import When
from l2vault.sim.faults.timing import Trigger, draw

ORIGIN_MS = 1_790_000_000_000


def strikes(when, salt="0 0"):
    return Trigger(when, ORIGIN_MS, salt)


def hit_pushes(when, pushes=30, step_ms=100, salt="0 0"):
    """The numbers of the pushes that are struck, of so many with one each `step_ms`, the first after a step."""
    one = strikes(when, salt)
    return [number for number in range(1, pushes + 1) if one.hits("BTC", number, ORIGIN_MS + number * step_ms)]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (When(pushes=1), [1]),
        (When(start=1000, pushes=1), [10]),
        (When(start=1001, pushes=1), [11]),
        (When(start=1000, pushes=3), [10, 11, 12]),
        (When(start=1000, lasts_ms=300), [10, 11, 12]),
        (When(start=1050, lasts_ms=300), [11, 12, 13]),
        (When(start=2800), [28, 29, 30]),
        (When(start=500, every=1000, pushes=1), [5, 15, 25]),
        (When(start=500, every=1000, times=2, pushes=2), [5, 6, 15, 16]),
        (When(start=500, every=1000, until_ms=2500, pushes=1), [5, 15]),
        (When(start=500, every=1000, lasts_ms=200), [5, 6, 15, 16, 25, 26]),
        (When("push", 4, pushes=1), [4]),
        (When("push", 4, pushes=2), [4, 5]),
        (When("push", 4, every=10, pushes=2), [4, 5, 14, 15, 24, 25]),
        (When("push", 4, every=10, times=2, pushes=1), [4, 14]),
        (When("push", 4, lasts_ms=250), [4, 5, 6]),
        (When("push", 29), [29, 30]),
        (When(start=60_000, pushes=1), []),
        (When(chance=1.0, start=2800, pushes=1), [28, 29, 30]),
        (When(chance=1.0, times=2, pushes=3), [1, 2, 3, 4, 5, 6]),
        (When("push", 28, chance=1.0, pushes=1), [28, 29, 30]),
        (When(chance=1.0, until_ms=300, pushes=1), [1, 2]),
    ],
)
def test_a_rule_strikes_these_pushes_of_thirty(when, expected):
    assert hit_pushes(when) == expected


def test_a_strike_nobody_was_there_for_falls_on_the_next_push():
    one = strikes(When(start=1000, pushes=2))

    assert [one.hits("BTC", number, ORIGIN_MS + 50_000 + number) for number in (1, 2, 3)] == [True, True, False]


def test_a_strike_that_lasts_for_a_time_is_over_when_nobody_was_there_for_it():
    assert not strikes(When(start=1000, lasts_ms=500)).hits("BTC", 1, ORIGIN_MS + 2000)


def test_each_key_has_strikes_of_its_own():
    one = strikes(When("push", 2, pushes=1))

    assert [one.hits(key, number, ORIGIN_MS) for key, number in (("A", 1), ("B", 1), ("A", 2), ("B", 2))] == [
        *(False, False),
        *(True, True),
    ]


def test_chance_strikes_about_as_often_as_it_says_and_never_goes_by_the_order_of_asking():
    when = When(chance=0.1, pushes=1)
    first = hit_pushes(when, 3000)

    assert 200 < len(first) < 400
    assert hit_pushes(when, 3000) == first
    assert hit_pushes(when, 3000, salt="1 0") != first
    assert hit_pushes(when, 1000) == [number for number in first if number <= 1000]


def test_a_strike_by_chance_lasts_and_the_next_begins_only_after_it():
    struck = hit_pushes(When(chance=0.05, pushes=4), 2000)
    runs = [number for number in struck if number - 1 not in struck]

    assert len(runs) > 20
    assert all({run, run + 1, run + 2, run + 3} <= set(struck) for run in runs[:-1])


@given(st.text(max_size=20))
def test_a_draw_is_a_number_from_0_to_1_that_only_its_text_decides(text):
    assert 0 <= draw(text) < 1
    assert draw(text) == draw(text)


@pytest.mark.parametrize(
    ("when", "times"),
    [
        (When(start=1000), [1000]),
        (When(start=1000, lasts_ms=500), [1000, 1500]),
        (When(start=0, every=1000, times=2, lasts_ms=1500), [0, 1000, 1500, 2500]),
        (When(start=0, every=1000), [0, 1000, 2000, 3000, 4000, 5000]),
        (When("push", 3, lasts_ms=500), []),
        (When(chance=0.5), []),
    ],
)
def test_alarms_are_the_times_at_which_time_alone_begins_or_ends_a_strike(when, times):
    assert list(islice(strikes(when).alarms(), 6)) == [ORIGIN_MS + time for time in times]


def test_a_mode_is_on_from_its_beginning_to_its_end():
    one = strikes(When(start=1000, lasts_ms=500))

    assert [one.is_on("", ORIGIN_MS + at) for at in (999, 1000, 1499, 1500)] == [False, True, True, False]
    assert one.end_ms("") == ORIGIN_MS + 1500


def test_a_mode_that_begins_with_a_push_is_on_from_there():
    one = strikes(When("push", 2, lasts_ms=500))
    assert not one.is_on("BTC", ORIGIN_MS)
    assert [one.begins("BTC", number, ORIGIN_MS + number) for number in (1, 2, 3)] == [False, True, False]

    assert [one.is_on("BTC", ORIGIN_MS + at) for at in (2, 501, 502)] == [True, True, False]
    assert not one.is_on("ETH", ORIGIN_MS + 3)


@given(
    st.builds(
        When,
        start=st.integers(0, 3000),
        every=st.none() | st.integers(1, 2000),
        pushes=st.integers(1, 4),
        until_ms=st.none() | st.integers(0, 5000),
    ),
    st.lists(st.integers(1, 400), min_size=1, max_size=60),
)
def test_no_strike_begins_before_its_time_nor_after_until(when, steps_ms):
    one, ts_ms = strikes(when), ORIGIN_MS
    for number, step_ms in enumerate(steps_ms, 1):
        ts_ms += step_ms
        begins = one.begins("BTC", number, ts_ms)
        if begins:
            assert ts_ms - ORIGIN_MS >= when.start
            assert when.until_ms is None or ts_ms - ORIGIN_MS < when.until_ms
