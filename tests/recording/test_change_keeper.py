"""Changes between feeds and disk: when files are brought up to date, what a full queue costs, what is journaled."""

import asyncio
import gzip
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from l2vault.book.change import BookChange
from l2vault.book.utc import HOUR_MS, utc_text
from l2vault.okx.pipeline import Applied, Lost
from l2vault.recording import change_keeper
from l2vault.recording.change_keeper import ChangeKeeper
from l2vault.vault.journal.change_events import ChangesLost, Latency
from l2vault.vault.journal.events import HourClosed
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import Layout, packed_path
from support.manual_clock import ManualClock

INST = "BTC-USDT-SWAP"
T0 = 1_767_225_600_000


class Rig:
    """Chores are done when `work` says so, as the disk's thread would."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.clock = ManualClock()
        self.chores: list[Callable[[], list[object]]] = []
        self.events: list[object] = []
        self.touched: int | None = None
        self.keeper = ChangeKeeper(ChangeWriter(self.layout), self.clock, self._put, lambda: self.touched)
        self.seq_id = 0

    def _put(self, item: object) -> None:
        (self.chores if callable(item) else self.events).append(item)

    def work(self) -> None:
        chores, self.chores = self.chores, []
        for chore in chores:
            self.events += chore()

    def push(self, count: int = 1) -> None:
        for _ in range(count):
            before, self.seq_id = self.seq_id, self.seq_id + 1
            levels = [("99", str(self.seq_id), "0", "1")]
            ts_ms = T0 + self.seq_id
            change = BookChange(INST, not before, levels, [], ts_ms, self.seq_id, before, 0, ts_ms * 1000 + 66_600)
            self.keeper.take(1, [Applied(change, ts_ms)])

    def size(self) -> int:
        path = packed_path(self.layout.of("changes").hour_file(INST, T0))
        return path.stat().st_size if path.exists() else 0

    async def pass_time(self, ms: int) -> None:
        self.clock.advance(ms)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_files_are_brought_up_to_date_each_5_s_and_5_times_a_second_while_somebody_follows(rig: Rig) -> None:
    sizes = []
    for second in range(14):
        if second in (7, 8):
            rig.touched = second
        rig.push()
        rig.clock.advance(1_000)
        rig.keeper.hand_on()
        rig.work()
        sizes.append(rig.size())
    grown = [second for second in range(1, 14) if sizes[second] > sizes[second - 1]]
    assert grown == [4, 7, 8, 9, 10, 11, 12], "each second from the touch until 5 s behind the last one"


async def looking(rig: Rig) -> None:
    while True:
        await rig.clock.sleep(rig.keeper.pause_sec())
        rig.keeper.hand_on()


async def test_while_somebody_follows_it_looks_five_times_a_second(rig: Rig) -> None:
    running = asyncio.create_task(looking(rig))
    await asyncio.sleep(0)
    rig.touched = 1
    await rig.clock.pass_time(1_000)
    await rig.clock.pass_time(400)
    running.cancel()
    assert rig.clock.slept_sec == [1.0, 0.2, 0.2, 0.2]


def test_the_disk_is_given_one_chore_at_a_time(rig: Rig) -> None:
    rig.push()
    rig.clock.advance(6_000)
    rig.keeper.hand_on()
    rig.push()
    rig.clock.advance(6_000)
    rig.keeper.hand_on()
    assert len(rig.chores) == 1
    rig.work()
    rig.keeper.hand_on()
    assert len(rig.chores) == 1


def test_a_full_queue_drops_changes_until_half_of_it_is_written_and_the_journal_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_keeper, "QUEUE_LIMIT", 10)
    rig.push(10)
    rig.push(5)
    rig.keeper.hand_on()
    rig.work()
    rig.push(3)
    rig.keeper.finish()
    rig.work()
    (lost,) = [event for event in rig.events if isinstance(event, ChangesLost)]
    assert (lost.cause, lost.pushes) == ("queue", 5)
    assert (lost.from_, lost.to) == ("2026-01-01T00:00:00.010Z", "2026-01-01T00:00:00.015Z")


def test_what_the_disk_refuses_begins_anew_with_a_full_book(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    rig.push(3)
    with monkeypatch.context() as full:
        full.setattr("l2vault.vault.store.gzip_append.write_all", refuse)
        rig.clock.advance(6_000)
        rig.keeper.hand_on()
        rig.work()
    rig.push(2)
    rig.keeper.hand_on()  # learns of it
    rig.work()
    rig.push(2)
    rig.keeper.finish()
    rig.work()
    assert [(event.cause, event.to is None) for event in rig.events if isinstance(event, ChangesLost)] == [
        ("disk_full", True),
        ("disk_full", False),
    ]


def test_a_restart_of_a_feed_is_named_with_its_cause(rig: Rig) -> None:
    rig.push(3)
    rig.keeper.take(1, [Lost(INST, "silence", "", T0, None)])
    rig.seq_id += 10
    before, rig.seq_id = rig.seq_id, 0
    rig.push()  # a full book
    rig.seq_id = before
    rig.keeper.finish()
    rig.work()
    assert rig.events == [], "of the same moment as what is written"


def test_each_minute_says_how_late_the_pushes_of_each_feed_came(rig: Rig) -> None:
    rig.push(100)
    rig.keeper.note_latency((-3, 5))
    rig.keeper.note_latency(None)
    (event,) = rig.events
    assert isinstance(event, Latency)
    assert (event.feed, event.pushes, event.p50_ms, event.max_ms) == (1, 100, 66.6, 66.6)
    assert (event.offset_ms, event.uncertain_ms) == (-3, 5)


def test_an_hour_of_changes_that_is_over_is_closed_with_its_digest(rig: Rig) -> None:
    rig.push(3)
    rig.keeper.hand_on()
    rig.work()
    for ts_ms in (T0 + HOUR_MS - 1, T0 + HOUR_MS + 1):
        before, rig.seq_id = rig.seq_id, rig.seq_id + 1
        change = BookChange(INST, False, [("99", "7", "0", "1")], [], ts_ms, rig.seq_id, before, 0, ts_ms * 1000)
        rig.keeper.take(1, [Applied(change, ts_ms)])
    for _ in range(2):
        rig.clock.advance(6_000)
        rig.keeper.hand_on()
        rig.work()
    (closed,) = [event for event in rig.events if isinstance(event, HourClosed)]
    path = packed_path(rig.layout.of("changes").hour_file(INST, T0))
    data = gzip.decompress(path.read_bytes())
    assert (closed.inst_id, closed.kind, closed.hour, closed.is_open) == (INST, "changes", utc_text(T0), False)
    assert (closed.lines, closed.bytes, closed.sha256) == (4, len(data), sha256(data).hexdigest())


def test_an_hour_that_ended_while_nobody_recorded_is_closed_by_the_next_run(rig: Rig, tmp_path: Path) -> None:
    rig.push(3)
    rig.keeper.finish()
    rig.work()
    assert [event for event in rig.events if isinstance(event, HourClosed)] == []
    later = Rig(tmp_path)
    ts_ms = T0 + 2 * HOUR_MS
    later.keeper.take(1, [Applied(BookChange(INST, True, [("99", "1", "0", "1")], [], ts_ms, 9, -1, 0, 1), ts_ms)])
    later.clock.advance(6_000)
    later.keeper.hand_on()
    later.work()
    (closed,) = [event for event in later.events if isinstance(event, HourClosed)]
    assert (closed.hour, closed.lines) == (utc_text(T0), 3)
