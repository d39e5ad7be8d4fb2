"""The clock task: OKX's time is proof, the skew of each minute is journaled, and a wrong clock is told once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest

from l2vault.errors import RestError
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.rest import ServerTime, Unavailable
from l2vault.recording.tasks.clock import EVERY_SEC, FIRST_REPORT_SEC, SAMPLES, ClockCheck, Reservoir
from l2vault.vault.journal.events import ClockSkew, Event
from support.manual_clock import ManualClock, some_turns

RTT_MS = 40


class FakeRest:
    """OKX's clock is `behind_ms` behind this machine's; an `error` is raised instead of telling it."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.behind_ms = 0
        self.asked_sec: list[int] = []
        self.error: Exception | None = None
        self._began_ms = clock.now_ms

    def server_time(self, monotonic_ms: Callable[[], int]) -> ServerTime:
        self.asked_sec.append((self.clock.now_ms - self._began_ms) // 1000)
        if self.error is not None:
            raise self.error
        received_ms = monotonic_ms()
        return ServerTime(self.clock.wall_ms() - RTT_MS // 2 - self.behind_ms, RTT_MS, received_ms)


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rest = FakeRest(self.clock)
        self.events: list[Event] = []
        self.time = ExchangeTime()
        self.is_hanging = False
        self.check = ClockCheck(self.rest, self.clock, Random(1), self.events.append, self.time)  # type: ignore[arg-type]

    async def call(self, act: Callable[..., object], *args: object) -> object:
        if self.is_hanging:
            await asyncio.Event().wait()
        return act(*args)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.check.run())
        try:
            await some_turns()
            yield
        finally:
            task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(outcome, asyncio.CancelledError), "nothing ends it"

    async def minutes(self, *skews_ms: int) -> None:
        """A message every 2 s for a minute each, this machine's clock so far ahead of its time."""
        for skew_ms in skews_ms:
            for _ in range(30):
                self.check.note(self.clock.wall_ms() - skew_ms, self.clock.wall_ms())
                await self.clock.pass_time(2000)

    @property
    def skews(self) -> list[ClockSkew]:
        return [event for event in self.events if isinstance(event, ClockSkew)]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig()
    monkeypatch.setattr("l2vault.recording.tasks.clock.in_daemon_thread", rig.call)
    return rig


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_okx_is_asked_at_the_start_and_every_minute_and_its_answer_is_proof(rig: Rig) -> None:
    rig.rest.behind_ms = 5 * 3_600_000
    assert rig.time.now_ms(rig.clock.now_ms) is None
    async with rig.running():
        assert rig.time.source == "server"
        proved = rig.time.now_ms(rig.clock.now_ms)
        assert proved == pytest.approx(rig.clock.wall_ms() - rig.rest.behind_ms, abs=RTT_MS)
        await rig.clock.pass_time(600_000)
    assert rig.rest.asked_sec[0] == 0
    assert len(rig.rest.asked_sec) == 11
    steps = [after - before for before, after in zip(rig.rest.asked_sec, rig.rest.asked_sec[1:], strict=False)]
    assert set(steps) == {int(EVERY_SEC)}


async def test_the_feeds_wait_for_the_first_answer_for_two_seconds_and_no_longer(rig: Rig) -> None:
    rig.is_hanging = True
    async with rig.running():
        waiting = asyncio.create_task(rig.check.first_asked())
        await some_turns()
        rig.clock.advance(1999)
        await some_turns()
        assert not waiting.done()
        rig.clock.advance(1)
        await asyncio.wait_for(waiting, 20)


@pytest.mark.parametrize("error", [None, RestError("no answer."), Unavailable("HTTP 503.", "later")])
async def test_the_feeds_start_as_soon_as_okx_has_answered_or_failed_to(rig: Rig, error: Exception | None) -> None:
    rig.rest.error = error
    async with rig.running():
        await asyncio.wait_for(rig.check.first_asked(), 20)


async def test_the_feeds_start_even_if_the_task_crashes(rig: Rig) -> None:
    rig.rest.error = KeyError("a bug of ours")
    task = asyncio.create_task(rig.check.run())
    await asyncio.wait_for(rig.check.first_asked(), 20)
    with pytest.raises(KeyError):
        await task


async def test_each_minute_has_its_skew_in_the_journal_and_a_good_clock_no_word_in_the_log(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running():
        for skew_ms in (*range(60, 89), 900):
            rig.check.note(rig.clock.wall_ms() - skew_ms, rig.clock.wall_ms())
        await rig.clock.pass_time(5_000)
        assert rig.skews == [ClockSkew("2026-01-01T00:00:05.000Z", 60, 75, 900, 30)]
        await rig.minutes(80, 90, 100)
    assert [skew.median_ms for skew in rig.skews[1:]] == [80, 90, 100]
    assert [skew.samples for skew in rig.skews[1:]] == pytest.approx([30] * 3, abs=3)
    assert warnings(caplog) == []


async def test_without_messages_nothing_is_claimed(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async with rig.running():
        await rig.clock.pass_time(300_000)
    assert rig.skews == []
    assert warnings(caplog) == []


async def test_a_clock_hours_ahead_is_told_within_seconds_with_the_amount_and_the_cure_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.rest.behind_ms = 5 * 3_600_000
    async with rig.running():
        for _ in range(3):
            rig.check.note(rig.clock.wall_ms() - 18_000_050, rig.clock.wall_ms())
        await rig.clock.pass_time(round(FIRST_REPORT_SEC * 1000))
        (warning,) = warnings(caplog)
        assert "This machine's clock is 18000.0 s ahead of the exchange's" in warning
        assert "Recording is exact all the same" in warning
        assert "NTP" in warning
        await rig.minutes(*[18_000_050] * 30)
    assert len(warnings(caplog)) == 1, "not every minute"
    assert {skew.median_ms for skew in rig.skews} == {18_000_050}


async def test_a_clock_behind_is_told_too(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.rest.error = Unavailable("no answer.", "later")
    async with rig.running():
        await rig.minutes(-90_000, -90_000)
    (warning,) = warnings(caplog)
    assert "90.0 s behind the exchange's" in warning


async def test_it_is_told_again_after_an_hour_when_it_doubled_and_when_it_came_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running():
        await rig.minutes(*[3000] * 59)
        assert len(warnings(caplog)) == 1
        await rig.minutes(*[3000] * 4)
        assert len(warnings(caplog)) == 2, "an hour later"
        await rig.minutes(4000, 4000, 7000, 7000, 7000)
        assert len(warnings(caplog)) == 3, "more than twice as much"
        await rig.minutes(50, 50, 50)
        assert len(warnings(caplog)) == 3
        await rig.minutes(3000, 3000)
        assert len(warnings(caplog)) == 4, "it had been well meanwhile"


async def test_late_messages_under_a_right_clock_are_not_blamed_on_the_clock(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running():
        await rig.minutes(4000, 4000)
    (warning,) = warnings(caplog)
    assert "Messages of the feeds come 4.0 s late" in warning
    assert "this machine's clock is right" in warning
    assert "NTP" not in warning


@pytest.mark.parametrize("count", [1, 2, SAMPLES, 50 * SAMPLES])
def test_a_reservoir_is_bounded_keeps_the_minimum_and_stands_for_all(count: int) -> None:
    reservoir, values = Reservoir(Random(3)), list(range(1000, 1000 + count))
    Random(4).shuffle(values)
    for value in values:
        reservoir.add(value)
    assert len(reservoir._values) <= SAMPLES
    taken = reservoir.take()
    assert taken is not None
    least, median, p99, seen = taken
    assert (least, seen) == (1000, count)
    assert median == pytest.approx(1000 + count / 2, abs=max(1, count * 0.1))
    assert p99 == pytest.approx(1000 + count * 0.99, abs=max(1, count * 0.03))
    assert reservoir.take() is None
