"""What is sent, and when: once each, never a storm, nothing lost to a dead receiver."""

from hypothesis import given
from hypothesis import strategies as st

from l2vault.alerts.conditions import Held
from l2vault.alerts.outbox import HOUR_MS, LEAST_GAP_MS, Now, Outbox
from l2vault.alerts.rule import Command, Rule

DAY_AT_MS = 1_767_225_600_000  # midnight


class World:
    """A recorder that is looked at every 5 s, and a receiver that may be dead."""

    def __init__(self, **changed: object) -> None:
        rule = Rule("x", "feed down", 0.0, (Command(("x",)),), **changed)  # type: ignore[arg-type]
        self.outbox, self.sec, self.is_dead = Outbox(rule), 0, False
        self.messages: list[tuple[int, list[str]]] = []
        self.tries = 0

    def go(self, seconds: int, *of: str, is_known: bool = True) -> list[str]:
        """For so long the condition holds of these; returns what was sent meanwhile."""
        before = len(self.messages)
        for _ in range(seconds // 5):
            self.sec += 5
            now = Now(1_000 + self.sec * 1000, DAY_AT_MS + self.sec * 1000)
            self.outbox.look([Held(each, f"{each}.", "do") for each in of] if is_known else None, now)
            entries = self.outbox.due(now)
            if entries:
                self.tries += 1
                if self.is_dead:
                    self.outbox.failed(now)
                    continue
                words = [f"{each.of} {'still ' if each.is_reminder else ''}{each.state}" for each in entries]
                self.messages.append((self.sec, words))
                self.outbox.sent(entries, now)
        return [word for _, words in self.messages[before:] for word in words]


def test_it_fires_once_it_has_held_and_recovers_once_it_has_not() -> None:
    world = World()
    assert world.go(15, "A") == []
    assert world.go(5, "A") == ["A firing"]
    assert world.go(600, "A") == []
    assert world.go(60) == []
    assert world.go(5) == ["A recovered"]
    assert world.go(7200) == []


def test_what_comes_and_goes_within_the_time_is_not_sent() -> None:
    world = World()
    for _ in range(100):
        assert world.go(10, "A") == []
        assert world.go(5) == []
    assert world.go(20, "A") == ["A firing"]
    for _ in range(100):
        assert world.go(55) == []
        assert world.go(5, "A") == [] or world.messages[-1][1] == ["A still firing"]


def test_while_nothing_is_known_nothing_changes() -> None:
    world = World()
    assert world.go(20, "A") == ["A firing"]
    assert world.go(600, is_known=False) == []
    assert world.go(60) == []
    assert world.go(5) == ["A recovered"]


def test_it_is_sent_again_while_it_lasts_but_seldom() -> None:
    world = World()
    assert world.go(20, "A") == ["A firing"]
    assert world.go(3595, "A") == []
    assert world.go(5, "A") == ["A still firing"]
    assert world.go(3600, "A") == ["A still firing"]


def test_many_at_once_are_one_message() -> None:
    world = World()
    names = [f"C{number:03}" for number in range(300)]
    assert len(world.go(20, *names)) == 300
    assert len(world.messages) == 1
    world.go(65)
    assert len(world.messages) == 2


def test_a_dead_receiver_is_tried_less_and_less_often_and_then_gets_one_message() -> None:
    world = World()
    world.is_dead = True
    assert world.go(3600, "A", "B") == []
    assert 10 <= world.tries <= 20
    assert world.go(100, "B") == []
    world.is_dead = False
    assert world.go(300, "B") == ["A recovered", "B firing"], "what has been over meanwhile is said too"
    assert len(world.messages) == 1


def test_in_quiet_hours_everything_waits_for_their_end() -> None:
    world = World(quiet=(0, 60))
    assert world.go(600, "A") == []
    assert world.go(600, "B") == []
    assert world.go(2395, "B") == []
    assert world.go(5, "B") == ["A recovered", "B firing"]


def test_a_bound_an_hour_holds_what_is_beyond_it_back() -> None:
    world = World(most_an_hour=2, for_ms=0, clear_ms=0)
    for number in range(100):
        world.go(10, f"C{number}")
    assert len(world.messages) == 2
    world.go(HOUR_MS // 1000)
    assert len(world.messages) == 3
    assert len(world.messages[-1][1]) >= 95, "the one after it has all that waited"


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.booleans(), st.booleans()), max_size=60))
def test_however_it_comes_and_goes_there_is_no_storm_and_states_take_turns(
    steps: list[tuple[int, bool, bool, bool]],
) -> None:
    world = World(for_ms=0, clear_ms=0, most_an_hour=5)
    for count, holds, is_known, is_dead in steps:
        world.is_dead = is_dead
        world.go(5 * count, *(["A"] if holds else []), is_known=is_known)
    world.is_dead = False
    world.go(HOUR_MS // 1000 + 600)
    times = [sec for sec, _ in world.messages]
    assert all(later - sooner >= LEAST_GAP_MS // 1000 for sooner, later in zip(times, times[1:], strict=False))
    for at in times:
        assert sum(at - 3600 < each <= at for each in times) <= 5
    words = [word for _, each in world.messages for word in each if "still" not in word]
    assert "A firing" not in words[-1:], "nothing holds at the end"
    for one, other in zip(words, words[1:], strict=False):
        assert (one, other) != ("A firing", "A firing")
