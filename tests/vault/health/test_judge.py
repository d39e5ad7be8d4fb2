"""Whether a recorder is healthy: each threshold at its edge, and what a file without a recorder is worth."""

from typing import Any

import msgspec
import pytest

from l2vault.vault.health.form import Health, TaskHealth, read_health, write_health
from l2vault.vault.health.judge import judge
from l2vault.vault.store.layout import Layout
from support.healths import BTC, WRITTEN_MS, ago, feed, health, instrument


def codes(one: Health | None, after_sec: float = 1, is_held: bool | None = True) -> tuple[str, list[tuple[str, str]]]:
    verdict = judge(one, WRITTEN_MS + round(after_sec * 1000), is_held)
    return verdict.state, [(reason.code, reason.of) for reason in verdict.reasons]


def queue(**changed: Any) -> dict[str, Any]:
    return {"queue": msgspec.structs.replace(health().queue, **changed)}


def disk(**changed: Any) -> dict[str, Any]:
    return {"disk": msgspec.structs.replace(health().disk, **changed)}


def clock(offset_ms: int | None, uncertain_ms: int | None) -> dict[str, Any]:
    return {"clock": msgspec.structs.replace(health().clock, offset_ms=offset_ms, uncertain_ms=uncertain_ms)}


def test_a_recorder_with_nothing_amiss_is_healthy() -> None:
    assert codes(health()) == ("healthy", [])
    assert codes(health(), is_held=None) == ("healthy", [])


NOT_HEALTHY = [
    ({"feeds": []}, ("no_feed", "")),
    ({"feeds": [feed(1, state="down", reason="refused"), feed(2, state="connecting")]}, ("no_feed", "")),
    ({"feeds": [feed(1, state="down", since=ago(60)), feed(2)]}, ("feed_down", "1")),
    ({"instruments": [instrument(BTC, state="waiting")]}, ("not_in_sync", BTC)),
    ({"instruments": [instrument(BTC, state="lost")]}, ("not_in_sync", BTC)),
    ({"instruments": [instrument(BTC, state="refused")]}, ("refused", BTC)),
    ({"instruments": [instrument(BTC, state="unverifiable")]}, ("unverifiable", BTC)),
    ({"instruments": [instrument(BTC, book_age_sec=89.5)]}, ("book_old", BTC)),
    ({"instruments": [instrument(BTC, book_age_sec=None)]}, ("book_old", BTC)),
    (queue(stalled_sec=10.0), ("disk_stalled", "")),
    (queue(lines_lost=1, lines_lost_at=ago(599)), ("lines_lost", "")),
    (disk(free_bytes=999_999_999), ("disk_low", "")),
    (disk(days_left=1.9, bounded_by=None), ("disk_low", "")),
    (clock(1012, 11), ("clock_off", "")),
    (clock(-1001, None), ("clock_off", "")),
]
HEALTHY = [
    {"feeds": [feed(1, state="down", since=ago(58)), feed(2)]},
    {"instruments": [instrument(BTC, book_age_sec=88.9)]},
    queue(stalled_sec=9.9),
    queue(lines_lost=1, lines_lost_at=ago(600)),
    disk(free_bytes=1_000_000_000),
    disk(free_bytes=None, vault_bytes=None, bytes_a_day=None, days_left=None, bounded_by=None),
    disk(days_left=2.0, bounded_by=None),
    clock(1011, 11),
    clock(None, None),
    {"tasks": [TaskHealth(ago(5), "audit", "ValueError: x", 1)]},
]


@pytest.mark.parametrize(("changed", "reason"), NOT_HEALTHY, ids=lambda each: str(each)[:40])
def test_each_threshold_passed_is_one_reason(changed: dict[str, Any], reason: tuple[str, str]) -> None:
    assert codes(health(**changed)) == ("not healthy", [reason])
    (found,) = judge(health(**changed), WRITTEN_MS + 1000, True).reasons
    assert found.text.endswith(".") and found.cure
    assert "\x1b" not in found.text


@pytest.mark.parametrize("changed", HEALTHY, ids=lambda each: str(each)[:40])
def test_what_has_not_reached_its_threshold_is_healthy(changed: dict[str, Any]) -> None:
    assert codes(health(**changed)) == ("healthy", [])


def test_the_age_of_the_file_is_part_of_the_age_of_a_book() -> None:
    one = health(instruments=[instrument(BTC, book_age_sec=80.0)])
    assert codes(one, after_sec=10) == ("healthy", [])
    assert codes(one, after_sec=10.1) == ("not healthy", [("book_old", BTC)])


@pytest.mark.parametrize(
    ("is_held", "after_sec", "reason"),
    [
        (False, 1, "no_recorder"),
        (False, 31, "no_recorder"),
        (True, 30.1, "hangs"),
        (None, 30.1, "stale"),
        (True, -30.1, "clock_set"),
        (None, -30.1, "clock_set"),
    ],
)
def test_a_file_without_a_recorder_is_never_healthy(is_held: bool | None, after_sec: float, reason: str) -> None:
    assert codes(health(), after_sec, is_held) == ("no recorder", [(reason, "")])
    assert codes(health(), 30, True) == ("healthy", [])


@pytest.mark.parametrize(
    ("free_bytes", "is_held", "after_sec", "found"),
    [
        (999_999, True, 31, ("not healthy", "disk_full")),
        (1_000_000, True, 31, ("no recorder", "hangs")),
        (999_999, False, 31, ("no recorder", "no_recorder")),
        (999_999, None, 31, ("no recorder", "stale")),
        (999_999, True, -31, ("no recorder", "clock_set")),
        (999_999, True, 29, ("not healthy", "disk_low")),
    ],
)
def test_an_old_file_on_a_full_disk_is_no_sign_that_the_recorder_has_gone(
    free_bytes: int, is_held: bool | None, after_sec: float, found: tuple[str, str]
) -> None:
    verdict = judge(health(), WRITTEN_MS + round(after_sec * 1000), is_held, free_bytes)
    assert (verdict.state, [reason.code for reason in verdict.reasons]) == (found[0], [found[1]])


def test_without_a_file_the_lock_alone_decides() -> None:
    assert codes(None, is_held=False) == ("no recorder", [("no_recorder", "")])
    assert codes(None, is_held=None) == ("no recorder", [("no_recorder", "")])
    assert codes(None, is_held=True) == ("not healthy", [("no_health_file", "")])


def test_a_file_comes_back_as_it_was_written_and_is_replaced_whole(tmp_path: Any) -> None:
    layout = Layout(tmp_path)
    assert read_health(layout) is None
    for pid in (1, 2):
        write_health(layout, health(pid=pid))
        assert read_health(layout) == health(pid=pid)
    assert [path.name for path in layout.health_file.parent.iterdir()] == ["health.json"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\x00" * 100,
        b"[" * 100_000,
        msgspec.json.encode(health(form=2)),
        msgspec.json.encode(health(written="yesterday")),
        msgspec.json.encode(health(instruments=[instrument(line="2026-13-01T00:00:00.000Z")])),
        msgspec.json.encode(health()).replace(b'"pid":4711', b'"pid":"4711"'),
    ],
)
def test_a_file_that_does_not_read_is_none(tmp_path: Any, data: bytes) -> None:
    layout = Layout(tmp_path)
    layout.health_file.parent.mkdir(parents=True)
    layout.health_file.write_bytes(data)
    assert read_health(layout) is None


def test_a_later_version_may_add_keys(tmp_path: Any) -> None:
    layout = Layout(tmp_path)
    layout.health_file.parent.mkdir(parents=True)
    layout.health_file.write_bytes(msgspec.json.encode(health()).replace(b'"form":1', b'"form":1,"new":{"at":"x"}'))
    assert read_health(layout) == health()
