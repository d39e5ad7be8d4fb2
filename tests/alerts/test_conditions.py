"""When each condition holds, of what, and when it cannot be known."""

from typing import Any

import msgspec
import pytest

from l2vault.alerts.conditions import held
from l2vault.alerts.rule import Command, Rule
from l2vault.vault.health.form import Health
from l2vault.vault.health.judge import Look, judge
from support.healths import BTC, ETH, WRITTEN_MS, ago, feed, health, instrument


def view(one: Health | None, after_sec: float = 1, is_held: bool | None = True) -> Look:
    now_ms = WRITTEN_MS + round(after_sec * 1000)
    return Look(now_ms, one, is_held, judge(one, now_ms, is_held))


def of(condition: str, limit: float, seen: Look, *instruments: str) -> list[str] | None:
    found = held(Rule("x", condition, limit, (Command(("x",)),), frozenset(instruments)), seen)
    assert found is None or all(each.text.endswith(".") and each.cure for each in found)
    return None if found is None else [each.of for each in found]


def disk(**changed: Any) -> Health:
    return health(disk=msgspec.structs.replace(health().disk, **changed))


LIMITS = [
    ("recorder absent", 0),
    ("not healthy", 0),
    ("feed down", 0),
    ("hole longer than", 30),
    ("book older than", 90),
    ("clock off by", 1),
    ("disk days below", 3),
]


@pytest.mark.parametrize(("condition", "limit"), LIMITS)
def test_nothing_holds_of_a_healthy_recorder(condition: str, limit: float) -> None:
    assert of(condition, limit, view(health())) == []


def test_a_recorder_is_absent_without_lock_file_or_sign_of_life() -> None:
    for seen in (view(health(), is_held=False), view(health(), 31), view(None, is_held=False)):
        assert of("recorder absent", 0, seen) == [""]
        assert of("not healthy", 0, seen) != []
    assert of("recorder absent", 0, view(None, is_held=True)) == [], "it has just started"


@pytest.mark.parametrize(("condition", "limit"), LIMITS[2:])
def test_what_only_a_recorder_knows_is_not_known_without_one(condition: str, limit: float) -> None:
    assert of(condition, limit, view(None, is_held=False)) is None
    if condition != "hole longer than":
        assert of(condition, limit, view(health(feeds=[]), is_held=False)) is None


def test_a_feed_is_down_at_once() -> None:
    assert of("feed down", 0, view(health(feeds=[feed(1, state="down", since=ago(0), reason="x"), feed(2)]))) == [""]
    assert of("feed down", 0, view(health(feeds=[feed(2)]))) == [""], "two are set"


def test_a_hole_is_of_each_instrument_that_no_feed_holds() -> None:
    lost = health(instruments=[instrument(BTC, state="lost", since=ago(30)), instrument(ETH)])
    assert of("hole longer than", 30, view(lost, 0)) == []
    assert of("hole longer than", 30, view(lost, 0.1)) == [BTC]
    assert of("hole longer than", 30, view(lost, 0.1), ETH) == []


def test_without_a_recorder_every_instrument_has_a_hole_since_its_last_sign_of_life() -> None:
    lost = health(instruments=[instrument(BTC, state="lost", since=ago(60)), instrument(ETH)])
    assert of("hole longer than", 30, view(lost, 30, is_held=False)) == [BTC]
    assert of("hole longer than", 30, view(lost, 30.1, is_held=False)) == [BTC, ETH]


def test_a_book_grows_old_with_the_file_and_one_that_never_came_since_the_start() -> None:
    one = health(instruments=[instrument(BTC, book_age_sec=85.0), instrument(ETH, book_age_sec=None, since=ago(95))])
    assert of("book older than", 90, view(one, 5)) == [ETH]
    assert of("book older than", 90, view(one, 5.1)) == [BTC, ETH]
    assert of("book older than", 90, view(one, 5.1), BTC) == [BTC]


@pytest.mark.parametrize(
    ("offset", "uncertain", "found"), [(1010, 10, []), (1011, 10, [""]), (-3000, None, [""]), (None, None, None)]
)
def test_a_clock_is_off_beyond_what_is_uncertain(
    offset: int | None, uncertain: int | None, found: list[str] | None
) -> None:
    clock = msgspec.structs.replace(health().clock, offset_ms=offset, uncertain_ms=uncertain)
    assert of("clock off by", 1, view(health(clock=clock))) == found


def test_a_disk_has_too_few_days_or_too_few_bytes_or_refuses_lines() -> None:
    assert of("disk days below", 3, view(disk(days_left=2.9, bounded_by=None))) == [""]
    assert of("disk days below", 3, view(disk(days_left=3.0, bounded_by=None))) == []
    assert of("disk days below", 3, view(disk(free_bytes=10, bytes_a_day=None))) == [""], "before a rate is known"
    refuses = msgspec.structs.replace(health().queue, lines_lost=5, lines_lost_at=ago(3))
    assert of("disk days below", 3, view(health(queue=refuses))) == [""]


def test_a_full_disk_is_told_from_a_recorder_that_has_gone() -> None:
    now_ms, one = WRITTEN_MS + 40_000, health()
    seen = Look(now_ms, one, True, judge(one, now_ms, True, 0), 0)
    assert of("disk days below", 3, seen) == [""] and of("recorder absent", 0, seen) == []
    assert of("feed down", 0, seen) is None, "the file is of before"
    (hole, _) = held(Rule("x", "hole longer than", 30, (Command(("x",)),), frozenset()), seen) or []
    assert hole.text.endswith("the disk is full.")


def test_what_status_calls_not_healthy_is_told_apart_by_its_reason() -> None:
    one = health(instruments=[instrument(BTC, state="lost"), instrument(ETH, state="lost")], feeds=[])
    assert of("not healthy", 0, view(one)) == ["no_feed", f"not_in_sync {BTC}", f"not_in_sync {ETH}"]
