"""The supervisor: whatever an optional task raises is logged once, journaled each time, and followed by a restart."""

import asyncio
import logging
from random import Random

import pytest

from l2vault.recording.supervisor import FIRST_RETRY_SEC, LONGEST_RETRY_SEC, STABLE_SEC, Supervisor
from l2vault.vault.journal.events import Event, TaskFailed
from support.manual_clock import ManualClock, some_turns, until


class Nasty(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Rig:
    """A task that raises what `raises` holds, one after the other, and then sleeps for ever."""

    def __init__(self, *raises: BaseException, after_sec: float = 0.0) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.starts: list[float] = []
        self._raises = list(raises)
        self._after_sec = after_sec
        self._supervisor = Supervisor(self.events.append, self.clock, Random(1))
        self._began_ms = self.clock.now_ms

    async def task(self) -> None:
        self.starts.append((self.clock.now_ms - self._began_ms) / 1000)
        if self._after_sec:
            await self.clock.sleep(self._after_sec)
        if self._raises:
            raise self._raises.pop(0)
        await self.clock.sleep(1e9)

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._supervisor.run("audit", self.task))

    @property
    def failed(self) -> list[TaskFailed]:
        return [event for event in self.events if isinstance(event, TaskFailed)]


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        OSError(28, "No space left"),
        RecursionError("x"),
        RuntimeError("x"),
        StopAsyncIteration(),
        ExceptionGroup("several", [ValueError("x"), KeyError("y")]),
        TimeoutError(),
        asyncio.CancelledError("of something else"),
        Nasty(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_task_raises_it_is_journaled_and_the_task_comes_back(error: BaseException) -> None:
    rig = Rig(error)
    task = rig.start()
    await rig.clock.pass_time(round(FIRST_RETRY_SEC * 1000))
    assert len(rig.starts) == 2
    (failed,) = rig.failed
    assert (failed.at, failed.task) == ("2026-01-01T00:00:00.000Z", "audit")
    assert type(error).__name__ in failed.error or isinstance(error, StopAsyncIteration)
    assert FIRST_RETRY_SEC / 2 <= failed.retry_sec <= FIRST_RETRY_SEC
    assert failed.retry_sec == pytest.approx(rig.starts[1], abs=0.06)
    await stop(task)


async def test_the_log_and_the_journal_name_the_same_pause_and_the_task_waits_that_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(ValueError("x"))
    task = rig.start()
    await rig.clock.pass_time(round(FIRST_RETRY_SEC * 1000))
    (failed,) = rig.failed
    assert f"starting it again in {failed.retry_sec} s." in caplog.text
    assert rig.starts[1] == failed.retry_sec
    await stop(task)


async def test_the_one_error_of_a_group_is_named_itself() -> None:
    rig = Rig(ExceptionGroup("outer", [ExceptionGroup("inner", [KeyError("the cause")])]))
    task = rig.start()
    await until(lambda: rig.failed)
    assert rig.failed[0].error == "KeyError: 'the cause'"
    await stop(task)


async def test_foreign_text_in_an_error_stays_on_its_line_and_short(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(ValueError("a\nGAP DETECTED: forged \x1b[2J" + "x" * 10_000))
    task = rig.start()
    await until(lambda: rig.failed)
    assert rig.failed[0].error.isprintable()
    assert len(rig.failed[0].error) < 500
    assert caplog.records[0].getMessage().isprintable()
    await stop(task)


async def test_a_repeated_failure_is_logged_once_and_restarts_come_later_and_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig(*[ValueError("the same") for _ in range(12)], KeyError("another"))
    task = rig.start()
    await rig.clock.pass_time(3_600_000)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert caplog.records[0].exc_info is not None
    assert "ValueError: the same" in caplog.records[0].getMessage()
    assert "KeyError: 'another'" in caplog.records[1].getMessage()
    assert len(rig.failed) == 13
    waits = [event.retry_sec for event in rig.failed]
    assert all(LONGEST_RETRY_SEC / 2 <= wait <= LONGEST_RETRY_SEC for wait in waits[9:])
    for nth, wait in enumerate(waits[:9]):
        full = min(LONGEST_RETRY_SEC, FIRST_RETRY_SEC * 2**nth)
        assert full / 2 - 0.05 <= wait <= full + 0.05
    await stop(task)


async def test_a_task_that_ran_for_long_starts_its_back_off_anew(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(*[ValueError("the same") for _ in range(4)], after_sec=STABLE_SEC)
    task = rig.start()
    await rig.clock.pass_time(round(4 * (STABLE_SEC + FIRST_RETRY_SEC) * 1000))
    assert len(rig.failed) == 4
    assert max(event.retry_sec for event in rig.failed) <= FIRST_RETRY_SEC
    assert len(caplog.records) == 4, "each is news"
    await stop(task)


async def test_a_cancelled_run_ends_with_its_task_and_journals_nothing() -> None:
    rig = Rig()
    task = rig.start()
    await until(lambda: rig.starts)
    await stop(task)
    assert rig.events == []


async def test_a_run_cancelled_while_it_waits_ends_too() -> None:
    rig = Rig(ValueError("x"))
    task = rig.start()
    await until(lambda: rig.failed)
    await some_turns()
    await stop(task)
    assert len(rig.starts) == 1


async def test_a_task_that_returns_is_done() -> None:
    async def short() -> None:
        return

    clock, events = ManualClock(), list[Event]()
    await Supervisor(events.append, clock, Random(1)).run("clock", short)
    assert events == []


class PartRig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.did: list[str] = []
        supervisor = Supervisor(self.events.append, self.clock, Random(1))
        self.part = supervisor.part("trades", lambda: self.did.append("gave up"), lambda: self.did.append("began"))

    def fails(self) -> list[Event]:
        raise ValueError("a\nb")


def test_a_part_that_failed_does_nothing_until_it_has_begun_again() -> None:
    rig = PartRig()
    assert rig.part.call(lambda: rig.did.append("one"))
    assert not rig.part.call(rig.fails)
    assert not rig.part.is_working
    assert not rig.part.call(lambda: rig.did.append("two"))
    rig.part.tick()
    rig.clock.advance(round(FIRST_RETRY_SEC * 1000))
    rig.part.tick()
    assert rig.part.call(lambda: rig.did.append("three"))
    assert rig.did == ["one", "gave up", "began", "three"]
    (failed,) = rig.events
    assert isinstance(failed, TaskFailed)
    assert (failed.task, failed.error) == ("trades", "ValueError: a\\nb")


def test_what_a_part_gave_to_the_disk_before_it_failed_is_not_done_after_it() -> None:
    rig = PartRig()
    before = rig.part.chore(lambda: [rig.did.append("before")])
    rig.part.call(rig.fails)
    assert before() == []
    rig.clock.advance(round(FIRST_RETRY_SEC * 1000))
    rig.part.tick()
    assert before() == []
    assert rig.part.chore(lambda: [])() == []
    assert "before" not in rig.did


def test_a_failure_in_the_disk_s_thread_is_noted_there_and_stops_the_part_at_the_next_look() -> None:
    rig = PartRig()
    (failed,) = rig.part.chore(rig.fails)()
    assert isinstance(failed, TaskFailed)
    assert rig.part.chore(lambda: [rig.did.append("after")])() == []
    rig.part.tick()
    assert rig.did == ["gave up"]
    assert rig.events == [], "the chore's own answer has it"
    rig.clock.advance(round(FIRST_RETRY_SEC * 1000))
    rig.part.tick()
    assert rig.part.is_working


def test_what_the_disk_refuses_is_no_failure_of_the_part() -> None:
    def full() -> list[Event]:
        raise OSError(28, "No space left")

    rig = PartRig()
    with pytest.raises(OSError, match="No space"):
        rig.part.chore(full)()
    assert rig.part.is_working


def test_a_part_that_cannot_even_give_up_or_begin_goes_on_trying_later_and_later() -> None:
    clock, events = ManualClock(), list[Event]()

    def fails() -> None:
        raise KeyError("x")

    part = Supervisor(events.append, clock, Random(1)).part("context", fails, fails)
    assert not part.call(fails)
    for _ in range(600):
        clock.advance(1_000)
        part.tick()
    assert 10 < len(events) < 40
    assert not part.is_working


def test_pushes_that_our_code_cannot_read_are_reported_now_and_then() -> None:
    rig = PartRig()
    for _ in range(1_000):
        rig.clock.advance(100)
        rig.part.report("a push of trades could not be read")
    assert 3 < len(rig.events) < 10
    assert rig.part.is_working
