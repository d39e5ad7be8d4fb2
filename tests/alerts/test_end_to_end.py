"""A whole recorder in virtual time, and what befalls it until the receiver has it: each within a minute."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from l2vault.alerts.rule import Command, Receiver, read_rules
from l2vault.alerts.run import AlertRun
from support.rough import Life, looked_at

RULES = [
    {"when": when, "command": ["x"], **more}
    for when, more in [
        ("recorder absent", {}),
        ("feed down", {}),
        ("hole longer than 20s", {}),
        ("disk days below 3", {}),
        ("clock off by 1s", {}),
    ]
]


class Inbox:
    """A receiver of the test's own, and the alert process that is looked after each 5 s."""

    def __init__(self, expected: str) -> None:
        self.fired: list[str] = []
        self._expected = expected
        self._run: AlertRun | None = None

    def __call__(self, life: Life) -> bool:
        if self._run is None:
            self._run = AlertRun(read_rules(RULES, {}), str(life.root), life.clock, self._take)
        self._run.step()
        return self._expected in self.fired

    def _take(self, receiver: Receiver, body: bytes) -> str | None:
        assert isinstance(receiver, Command)
        said = json.loads(body)
        self.fired += [said["alert"]] if said["state"] == "firing" else []
        return None


def _kill(life: Life) -> None:
    life.running.cancel()


def _fill_the_disk(life: Life) -> None:
    life.world.full_disk = "disk_lines"


def _fill_the_disk_at_once(life: Life) -> None:
    """So that not even health.json can be replaced."""
    life.world.full_disk = "disk_full"


def _step_the_clock(life: Life) -> None:
    life.clock.wall_error_ms = 7_000


def _lose_one_feed(life: Life) -> None:
    life.world.is_refusing = True
    life.world.close(life.world.connections[0])


def _lose_both_feeds(life: Life) -> None:
    life.world.is_refusing = True
    for one in list(life.world.connections):
        life.world.close(one)


HARMS: dict[str, tuple[Callable[[Life], None], str]] = {
    "the recorder is killed": (_kill, "recorder absent"),
    "the disk is full": (_fill_the_disk, "disk days below 3"),
    "the disk is full at once": (_fill_the_disk_at_once, "disk days below 3"),
    "the clock steps": (_step_the_clock, "clock off by 1s"),
    "one feed is lost": (_lose_one_feed, "feed down"),
    "both feeds are lost": (_lose_both_feeds, "hole longer than 20s"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_befalls_a_recorder_reaches_the_receiver_within_a_minute_and_nothing_before(
    tmp_path: Path, harm: str
) -> None:
    befall, alert = HARMS[harm]
    inbox = Inbox(alert)
    before, took = looked_at(tmp_path, befall, inbox, (20, 60))
    assert before == [False] * len(before)
    assert took is not None, inbox.fired
    others = {"one feed is lost": set(), "both feeds are lost": {"feed down"}}.get(harm, set())
    assert set(inbox.fired) - {alert} <= others
