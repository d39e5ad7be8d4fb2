"""The way to the disk: nothing out of order, nothing dropped, nothing lost in silence when the disk misbehaves."""

import asyncio
import errno
import gzip
import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.recording import eventlog
from l2vault.recording.disk import (
    END_WITHIN_SEC,
    QUEUE_LIMIT,
    STALL_MS,
    SYNC_WITHIN_SEC,
    THREAD_AGAIN_SEC,
    Disk,
    Guard,
    Past,
)
from l2vault.vault.journal.events import (
    Alive,
    DiskStalled,
    Event,
    HourClosed,
    Minute,
    MinuteOf,
    Started,
    Stopped,
    VaultReplaced,
    WriteFailed,
)
from l2vault.vault.journal.log import Journal, Place, read_journal
from l2vault.vault.journal.trade_events import TradesOf
from l2vault.vault.store.digest import HourDigest, digest_of
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import ClosedHour, LineWriter, Vanished
from support.manual_clock import ManualClock, some_turns, until
from support.no_thread import no_thread

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
FSYNC_MS = 5_000
AT_MS = 1_767_225_600_000
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


class FakeWriter:
    """Keeps what is appended, unless `refuse` says otherwise or `gate` is closed."""

    def __init__(self) -> None:
        self.happened: list[Snapshot | Event | str] = []
        self.refuse: Callable[[Snapshot], bool] = lambda _: False
        self.sync_error: OSError | None = None
        self.vanished: list[Vanished] = []
        self.closed: list[ClosedHour] = []
        self.open: list[tuple[str, int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_inside = threading.Event()

    def append(self, snapshot: Snapshot) -> None:
        self.is_inside.set()
        assert self.gate.wait(10)
        if self.refuse(snapshot):
            raise NO_SPACE
        self.happened.append(snapshot)

    def sync(self, is_late: Callable[[], bool] = lambda: False) -> None:
        self.happened.append("sync")
        if self.sync_error is not None:
            raise self.sync_error

    def take_vanished(self) -> list[Vanished]:
        vanished, self.vanished = self.vanished, []
        return vanished

    def take_closed(self) -> list[ClosedHour]:
        closed, self.closed = self.closed, []
        return closed

    def open_hours(self) -> list[tuple[str, int]]:
        return self.open

    def abandon(self) -> None:
        self.happened.append("abandon")

    def close(self, is_final: bool = False, is_late: Callable[[], bool] = lambda: False) -> None:
        self.happened.append("close")

    def unsynced(self) -> list[str]:
        return []


class FakeJournal:
    """Appends to the writer's own list, so that the order of both is seen."""

    def __init__(self, writer: FakeWriter) -> None:
        self._writer = writer
        self.is_refusing = False
        self.tries = 0
        self.left_out = 0
        self.syncs = 0
        self.rooms = 0
        self.run = "ab12"
        self.newest_line = b""

    def leave_out(self, events: int) -> None:
        self.left_out += events

    def begin_again(self) -> Place:
        former, self.run = Place(self.run, self.tries), "cd34"
        return former

    def sync(self) -> None:
        self.syncs += 1

    def keep_room(self) -> None:
        self.rooms += 1

    def append(self, event: Event, is_synced: bool = True) -> None:
        self.tries += 1
        self.syncs += is_synced
        if self.is_refusing:
            raise NO_SPACE
        self._writer.happened.append(event)
        self.newest_line = msgspec.json.encode(event)


class Rig:
    def __init__(self, fsync_ms: int = FSYNC_MS) -> None:
        self.clock = ManualClock()
        self.writer = FakeWriter()
        self.journal = FakeJournal(self.writer)
        self.disk = Disk(self.writer, self.journal, self.clock, fsync_ms)  # type: ignore[arg-type]

    @property
    def written(self) -> list[Snapshot | Event]:
        return [item for item in self.writer.happened if not isinstance(item, str)]

    @property
    def syncs(self) -> int:
        return self.writer.happened.count("sync")


@asynccontextmanager
async def running(disk: Disk) -> AsyncIterator[None]:
    """The disk's task, told to finish at the end and waited for."""
    task = asyncio.create_task(disk.run())
    try:
        yield
    finally:
        disk.finish()
        async with asyncio.timeout(10):
            await task


def line(inst_id: str, ts_ms: int) -> Snapshot:
    return Snapshot(inst_id, ts_ms, 400, [("1", "2", "0", "3")], [("2", "2", "0", "1")], 0, ts_ms, ts_ms - 1)


def beat(second: int) -> Alive:
    return Alive(utc_text(AT_MS + second * 1000))


async def test_while_the_disk_refuses_lines_each_sign_of_life_says_which_were_lost_until_then() -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: True
    async with running(rig.disk):
        for second in range(0, 32, 2):
            rig.disk.put(line(BTC, second * 1000))
            if second in (14, 30):
                rig.disk.put(beat(second))
        await until(lambda: len(rig.written) == 5)
        assert rig.written == [
            WriteFailed(utc_text(AT_MS), BTC, 1, utc_text(0), utc_text(0), str(NO_SPACE), goes_on=True),
            WriteFailed(utc_text(AT_MS), BTC, 7, utc_text(2_000), utc_text(14_000), str(NO_SPACE), goes_on=True),
            beat(14),
            WriteFailed(utc_text(AT_MS), BTC, 8, utc_text(16_000), utc_text(30_000), str(NO_SPACE), goes_on=True),
            beat(30),
        ]


async def test_the_journal_keeps_its_room_each_minute() -> None:
    rig = Rig()
    async with running(rig.disk):
        rig.disk.put(Minute(utc_text(AT_MS)))
        await until(lambda: rig.journal.rooms == 1)


async def test_lines_and_events_keep_the_order_in_which_they_were_put() -> None:
    rig = Rig()
    items = [item for n in range(200) for item in (line(BTC, n), beat(n), line(ETH, n))]
    async with running(rig.disk):
        for item in items:
            rig.disk.put(item)
            if isinstance(item, Alive):
                await some_turns(3)
    assert rig.written == items


async def test_room_is_closed_while_the_queue_is_full_and_opens_when_the_disk_takes_it() -> None:
    rig = Rig()
    rig.writer.gate.clear()
    async with running(rig.disk):
        rig.disk.put(line(BTC, 0))
        await until(rig.writer.is_inside.is_set)
        for ts_ms in range(1, QUEUE_LIMIT):
            rig.disk.put(line(BTC, ts_ms))
        async with asyncio.timeout(10):
            await rig.disk.room()  # one fewer than the limit
        rig.disk.put(line(BTC, QUEUE_LIMIT))
        waiting = asyncio.create_task(rig.disk.room())
        await some_turns()
        assert not waiting.done()
        assert rig.disk.waiting == QUEUE_LIMIT
        rig.writer.gate.set()
        async with asyncio.timeout(10):
            await waiting
    assert rig.written == [line(BTC, ts_ms) for ts_ms in range(QUEUE_LIMIT + 1)], "a slow disk drops nothing"


async def test_put_never_waits_and_never_drops_even_beyond_the_limit() -> None:
    rig = Rig()
    items = [line(BTC, ts_ms) for ts_ms in range(QUEUE_LIMIT * 3)]
    for item in items:
        rig.disk.put(item)
    async with running(rig.disk):
        pass
    assert rig.written == items


async def test_a_full_disk_costs_the_lines_it_refuses_and_the_journal_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: snapshot.inst_id == BTC and 2000 <= snapshot.ts_ms <= 6000
    async with running(rig.disk):
        for ts_ms in range(0, 10_000, 2000):
            rig.disk.put(line(BTC, ts_ms))
            rig.disk.put(line(ETH, ts_ms))
    assert [item for item in rig.written if getattr(item, "inst_id", "") == BTC] == [
        line(BTC, 0),
        WriteFailed(utc_text(AT_MS), BTC, 1, utc_text(2000), utc_text(2000), str(NO_SPACE), goes_on=True),
        line(BTC, 8000),
        WriteFailed(utc_text(AT_MS), BTC, 2, utc_text(4000), utc_text(6000), str(NO_SPACE)),
    ]
    assert [item for item in rig.written if getattr(item, "inst_id", "") == ETH] == [
        line(ETH, ts_ms) for ts_ms in range(0, 10_000, 2000)
    ]
    assert rig.disk.lines_lost == 3
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == [f"Cannot write {BTC}: {NO_SPACE}. Lines are lost until the disk takes them again"]
    assert f"Writing {BTC} again; 3 lines were lost" in caplog.text


async def test_a_second_trouble_is_told_and_journaled_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: snapshot.ts_ms in (1, 3)
    async with running(rig.disk):
        for ts_ms in range(5):
            rig.disk.put(line(BTC, ts_ms))
    failures = [item for item in rig.written if isinstance(item, WriteFailed)]
    assert [(failed.lines, failed.from_, failed.to, failed.goes_on) for failed in failures] == [
        (1, utc_text(1), utc_text(1), True),
        (0, utc_text(1), utc_text(1), False),
        (1, utc_text(3), utc_text(3), True),
        (0, utc_text(3), utc_text(3), False),
    ]
    assert caplog.text.count(f"Cannot write {BTC}") == 2


async def test_a_full_disk_is_journaled_each_minute_so_that_a_kill_hides_no_cause() -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: snapshot.ts_ms >= 2000
    async with running(rig.disk):
        for ts_ms in (0, 2000, 4000):
            rig.disk.put(line(BTC, ts_ms))
        rig.disk.put(Minute(utc_text(AT_MS)))
        rig.disk.put(Minute(utc_text(AT_MS)))
        rig.disk.put(line(BTC, 6000))
    failures = [item for item in rig.written if isinstance(item, WriteFailed)]
    assert [(failed.lines, failed.from_, failed.to) for failed in failures] == [
        (1, utc_text(2000), utc_text(2000)),
        (1, utc_text(4000), utc_text(4000)),
        (1, utc_text(6000), utc_text(6000)),
    ]
    assert rig.disk.lines_lost == 3


async def test_lines_that_never_came_through_are_journaled_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: snapshot.ts_ms >= 2000
    async with running(rig.disk):
        for ts_ms in (0, 2000, 4000):
            rig.disk.put(line(BTC, ts_ms))
    assert rig.written == [
        line(BTC, 0),
        WriteFailed(utc_text(AT_MS), BTC, 1, utc_text(2000), utc_text(2000), str(NO_SPACE), goes_on=True),
        WriteFailed(utc_text(AT_MS), BTC, 1, utc_text(4000), utc_text(4000), str(NO_SPACE), goes_on=True),
    ]
    assert f"2 lines of {BTC} were lost" in caplog.text


async def test_with_the_real_writer_an_obstacle_costs_one_instrument_only_what_it_blocks(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    obstacle = layout.instrument_folder(BTC)
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where a folder belongs")
    disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS)
    async with running(disk):
        disk.put(line(BTC, AT_MS))
        disk.put(line(ETH, AT_MS))
        await until(lambda: disk.lines_lost == 1)
        obstacle.unlink()
        disk.put(line(BTC, AT_MS + 2000))
    assert layout.hour_file(BTC, AT_MS).read_bytes() == to_line(line(BTC, AT_MS + 2000)) + b"\n"
    assert layout.hour_file(ETH, AT_MS).read_bytes() == to_line(line(ETH, AT_MS)) + b"\n"
    failed, over = [event for event in read_journal(layout) if isinstance(event, WriteFailed)]
    assert (failed.inst_id, failed.lines, failed.from_, failed.to) == (BTC, 1, utc_text(AT_MS), utc_text(AT_MS))
    assert (over.lines, over.goes_on) == (0, False)
    assert str(obstacle) in failed.error


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody move a file that is open")
@pytest.mark.parametrize("when", ["at the next sync", "at the end"])
async def test_lines_in_a_file_that_was_taken_away_are_journaled(tmp_path: Path, when: str) -> None:
    layout, clock = Layout(tmp_path), ManualClock()
    disk = Disk(LineWriter(layout), Journal(layout), clock, FSYNC_MS)
    file = layout.hour_file(BTC, AT_MS)
    async with running(disk):
        disk.put(line(BTC, AT_MS))
        await until(file.exists)
        clock.advance(FSYNC_MS)
        disk.put(beat(0))
        await until(lambda: list(read_journal(layout)))
        disk.put(line(BTC, AT_MS + 2000))
        await until(lambda: len(file.read_bytes().splitlines()) == 2)

        def move() -> tuple[()]:
            """In the disk's thread, between two lines of one batch."""
            file.rename(tmp_path / "moved")
            if when == "at the next sync":
                clock.advance(FSYNC_MS)
            return ()

        disk.put(move)
        if when == "at the next sync":
            disk.put(line(BTC, AT_MS + 4000))
            await until(lambda: disk.lines_lost)
            disk.put(line(BTC, AT_MS + 6000))
    noted = [event for event in read_journal(layout) if isinstance(event, WriteFailed)]
    assert [failed.inst_id for failed in noted] == [BTC]
    if when == "at the end":
        assert (noted[0].lines, noted[0].from_, noted[0].to) == (1, *[utc_text(AT_MS + 2000)] * 2)
        assert not file.exists()
    else:
        assert (noted[0].lines, noted[0].from_, noted[0].to) == (2, utc_text(AT_MS + 2000), utc_text(AT_MS + 4000))
        assert file.read_bytes() == to_line(line(BTC, AT_MS + 6000)) + b"\n"
    assert disk.lines_lost == noted[0].lines


async def test_files_are_closed_on_demand_and_opened_by_the_next_line(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS)
    async with running(disk):
        disk.put(line(BTC, AT_MS))
        await until(lambda: _open_files(tmp_path))
        disk.close_files()
        await until(lambda: not _open_files(tmp_path))
        disk.put(line(BTC, AT_MS + 2000))
    whole = b"".join(to_line(line(BTC, AT_MS + ms)) + b"\n" for ms in (0, 2000))
    assert layout.hour_file(BTC, AT_MS).read_bytes() == whole


async def test_events_wait_in_their_order_while_the_journal_refuses(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.journal.is_refusing = True
    async with running(rig.disk):
        for second in range(3):
            rig.disk.put(beat(second))
            rig.disk.put(line(BTC, second))
        await until(lambda: rig.journal.tries == 3)
        assert [item for item in rig.written if isinstance(item, Alive)] == []
        rig.journal.is_refusing = False
        rig.disk.put(beat(3))
    assert rig.written == [*(line(BTC, second) for second in range(3)), *(beat(second) for second in range(4))]
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == [f"Cannot write the journal: {NO_SPACE}. Events wait in memory"]
    assert "The journal is written again; 0 events were dropped" in caplog.text


async def test_of_too_many_waiting_events_the_oldest_go_and_the_log_says_how_many(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(eventlog, "JOURNAL_BACKLOG", 3)
    rig = Rig()
    rig.journal.is_refusing = True
    async with running(rig.disk):
        for second in range(8):
            rig.disk.put(beat(second))
        await until(lambda: rig.journal.tries == 8)
        rig.journal.is_refusing = False
        rig.disk.put(beat(8))
    assert rig.written == [beat(6), beat(7), beat(8)]
    assert "The journal is written again; 6 events were dropped" in caplog.text
    assert rig.journal.left_out == 6, "readers see that events are missing"


async def test_a_journal_that_refuses_to_the_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.journal.is_refusing = True
    async with running(rig.disk):
        rig.disk.put(beat(0))
        rig.disk.put(beat(1))
    assert "2 events are not in the journal, which cannot be written" in caplog.text
    assert rig.writer.happened[-1] == "close"


async def test_finish_writes_what_is_queued_and_closes_every_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    writer = LineWriter(layout)
    disk = Disk(writer, Journal(layout), ManualClock(), FSYNC_MS)
    lines = [line(inst_id, AT_MS + n * 2000) for n in range(300) for inst_id in (BTC, ETH)]
    for one in lines:
        disk.put(one)
    disk.put(beat(0))
    disk.finish()
    async with asyncio.timeout(10):
        await disk.run()
    for inst_id in (BTC, ETH):
        expected = b"".join(to_line(one) + b"\n" for one in lines if one.inst_id == inst_id)
        assert layout.hour_file(inst_id, AT_MS).read_bytes() == expected
    events = list(read_journal(layout))
    assert events[0] == beat(0)
    assert {(event.inst_id, event.lines, event.is_open) for event in events[1:]} == {(BTC, 300, True), (ETH, 300, True)}
    assert disk.waiting == 0
    assert not _open_files(tmp_path)


async def test_what_is_put_while_the_last_batch_is_written_is_written_too() -> None:
    rig = Rig()
    rig.writer.gate.clear()
    async with running(rig.disk):
        rig.disk.put(line(BTC, 0))
        await until(rig.writer.is_inside.is_set)
        rig.disk.put(line(BTC, 1))
        rig.disk.finish()
        rig.disk.put(beat(2))
        rig.writer.gate.set()
    assert rig.written == [line(BTC, 0), line(BTC, 1), beat(2)]
    assert rig.writer.happened[-1] == "close"


async def test_files_are_synced_at_the_interval_of_the_clock_and_no_oftener() -> None:
    rig = Rig()
    syncs_after: list[int] = []
    async with running(rig.disk):
        for nth, passed_ms in enumerate((0, 0, FSYNC_MS - 1, 1, 1, FSYNC_MS * 3)):
            rig.clock.advance(passed_ms)
            rig.disk.put(line(BTC, nth))
            await until(lambda: line(BTC, nth) in rig.written)  # noqa: B023
            rig.disk.put(beat(nth))  # in a batch after the line's own, so that one is through
            await until(lambda: beat(nth) in rig.written)  # noqa: B023
            syncs_after.append(rig.syncs)
    assert syncs_after == [1, 1, 1, 2, 2, 3]


async def test_an_idle_disk_is_synced_too() -> None:
    """The last line before a quiet hour must not stay in the system's caches for that hour."""
    rig = Rig(fsync_ms=1)
    async with running(rig.disk):
        rig.disk.put(line(BTC, 0))
        await until(lambda: rig.syncs == 1)
        rig.clock.advance(1)
        await until(lambda: rig.syncs == 2)
    assert rig.written == [line(BTC, 0)]


async def test_a_disk_that_cannot_sync_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.writer.sync_error = OSError(errno.EIO, "Input/output error")
    async with running(rig.disk):
        for nth in range(4):
            rig.clock.advance(FSYNC_MS)
            rig.disk.put(line(BTC, nth))
            await until(lambda: rig.syncs == nth + 1)  # noqa: B023
        rig.writer.sync_error = None
        rig.clock.advance(FSYNC_MS)
        rig.disk.put(line(BTC, 4))
        await until(lambda: rig.syncs == 5)
        rig.writer.sync_error = OSError(errno.EIO, "Input/output error, again")
        rig.clock.advance(FSYNC_MS)
        rig.disk.put(line(BTC, 5))
        await until(lambda: rig.syncs == 6)
    assert caplog.text.count("Cannot sync the vault") == 2
    assert len(rig.written) == 6


async def test_where_the_system_has_no_thread_lines_wait_for_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", no_thread)
        running_disk = asyncio.create_task(rig.disk.run())
        rig.disk.put(line(BTC, 0))
        for _ in range(3):
            await rig.clock.pass_time(round(THREAD_AGAIN_SEC * 1000))
        assert rig.written == [] and not running_disk.done()
        assert rig.disk.stalled_ms() == 3 * THREAD_AGAIN_SEC * 1000
    rig.clock.advance(round(THREAD_AGAIN_SEC * 1000))
    await until(lambda: rig.written)
    rig.disk.finish(beat(1))
    await asyncio.wait_for(running_disk, 10)
    assert rig.written == [line(BTC, 0), beat(1)]
    assert caplog.text.count("Nothing can be written at this moment") == 1


async def test_interrupted_while_the_disk_hangs_it_ends_all_the_same() -> None:
    """At a second Ctrl-C the event loop cancels every task and waits for each."""
    rig = Rig()
    rig.writer.gate.clear()
    task = asyncio.create_task(rig.disk.run())
    rig.disk.put(line(BTC, 0))
    await until(rig.writer.is_inside.is_set)
    rig.disk.finish()
    cancelled = [task, *(asyncio.all_tasks() - {task, asyncio.current_task()})]
    for each in cancelled:
        each.cancel()
    await some_turns()
    rig.clock.advance(round(END_WITHIN_SEC * 1000))
    async with asyncio.timeout(10):
        await asyncio.wait(cancelled)
    rig.writer.gate.set()


async def test_a_stall_is_seen_while_it_lasts_and_journaled_after_it() -> None:
    rig = Rig()
    rig.writer.gate.clear()
    async with running(rig.disk):
        assert rig.disk.stalled_ms() == 0
        rig.disk.put(line(BTC, 0))
        await until(rig.writer.is_inside.is_set)
        rig.clock.advance(STALL_MS + 2500)
        assert rig.disk.stalled_ms() == STALL_MS + 2500
        rig.writer.gate.set()
        await until(lambda: len(rig.written) == 2)
    stalled = rig.written[1]
    assert isinstance(stalled, DiskStalled)
    assert stalled.seconds == 12.5


async def test_a_debug_line_is_logged_for_every_line_that_was_really_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "l2vault")
    rig = Rig()
    rig.writer.refuse = lambda snapshot: snapshot.inst_id == ETH
    async with running(rig.disk):
        rig.disk.put(line(BTC, AT_MS))
        rig.disk.put(line(ETH, AT_MS))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert [words for words in said if "Snapshot written" in words] == [
        f"Snapshot written: {BTC} {utc_text(AT_MS)} seqId {AT_MS}"
    ]


def _open_files(folder: Path) -> list[Path]:
    """The data files of this vault that this process has open."""
    psutil = pytest.importorskip("psutil")
    paths = [Path(file.path) for file in psutil.Process().open_files()]
    return [path for path in paths if path.is_relative_to(folder) and "raw" in path.parts]


def minute(**instruments: MinuteOf) -> Minute:
    return Minute(utc_text(AT_MS), {f"{name.upper()}-USDT-SWAP": one for name, one in instruments.items()}, 3, 2, 1)


async def written_through(rig: Rig, *items: object) -> None:
    """Put them and wait until the disk has taken everything."""
    async with running(rig.disk):
        for item in items:
            rig.disk.put(item)  # type: ignore[arg-type]


async def test_a_minute_says_what_the_disk_took_after_it_was_synced() -> None:
    rig = Rig()
    flagged = msgspec.structs.replace(line(BTC, 4000), gap_detected=True)
    await written_through(rig, line(BTC, 2000), line(BTC, 4000), flagged, line(ETH, 2000), minute(btc=MinuteOf(due=2)))
    (noted,) = [item for item in rig.written if isinstance(item, Minute)]
    assert noted.instruments == {
        BTC: MinuteOf(due=2, lines=2, flagged=1, last_line=utc_text(4000)),
        ETH: MinuteOf(lines=1, last_line=utc_text(2000)),
    }
    assert (noted.matched, noted.unaligned, noted.conflicting) == (3, 2, 1)
    assert rig.writer.happened.index("sync") < rig.writer.happened.index(noted)


async def test_each_line_is_in_one_minute() -> None:
    rig = Rig()
    await written_through(rig, line(BTC, 2000), minute(), line(BTC, 4000), minute(), minute())
    noted = [item for item in rig.written if isinstance(item, Minute)]
    assert [one.instruments for one in noted] == [
        {BTC: MinuteOf(lines=1, last_line=utc_text(2000))},
        {BTC: MinuteOf(lines=1, last_line=utc_text(4000))},
        {},
    ]


async def test_lines_that_the_disk_refused_are_in_no_minute_and_those_before_are_noted_at_the_resume() -> None:
    rig = Rig()
    rig.writer.refuse = lambda snapshot: 4000 <= snapshot.ts_ms <= 6000
    lines = [line(BTC, ts_ms) for ts_ms in (2000, 4000, 6000, 8000)]
    await written_through(rig, *lines, minute(btc=MinuteOf(due=4)))
    at = utc_text(AT_MS)
    assert rig.written == [
        lines[0],
        WriteFailed(at, BTC, 1, utc_text(4000), utc_text(4000), str(NO_SPACE), goes_on=True),
        lines[3],
        Minute(at, {BTC: MinuteOf(lines=1, last_line=utc_text(2000))}),
        WriteFailed(at, BTC, 1, utc_text(6000), utc_text(6000), str(NO_SPACE)),
        Minute(at, {BTC: MinuteOf(due=4, lines=1, last_line=utc_text(8000))}, 3, 2, 1),
    ]
    resumed = rig.writer.happened.index(rig.written[3])
    assert rig.writer.happened[resumed - 1] == "sync", "no record of what a power cut may still take"


async def test_lines_that_could_not_be_synced_wait_for_the_minute_after_the_next_sync() -> None:
    rig = Rig()
    rig.writer.sync_error = OSError(errno.EIO, "Input/output error")

    def mend() -> list[Event]:
        rig.writer.sync_error = None
        return []

    await written_through(rig, line(BTC, 2000), minute(btc=MinuteOf(due=1)), mend, minute())
    noted = [item for item in rig.written if isinstance(item, Minute)]
    assert [one.instruments for one in noted] == [
        {BTC: MinuteOf(due=1)},
        {BTC: MinuteOf(lines=1, last_line=utc_text(2000))},
    ]


@pytest.mark.parametrize("times", [(2000, 4000), (2000, 4000, 6000)])
async def test_lines_of_a_file_that_is_gone_are_in_no_minute(times: tuple[int, ...]) -> None:
    rig = Rig()
    gone = Vanished(BTC, Path("15.jsonl"), 2, 2000, 4000)

    def vanish() -> list[Event]:
        rig.writer.vanished = [gone]
        return []

    await written_through(rig, *[line(BTC, ts_ms) for ts_ms in times], vanish, minute())
    (noted,) = [item for item in rig.written if isinstance(item, Minute)]
    assert noted.instruments.get(BTC, MinuteOf()).lines == len(times) - 2


async def test_a_chore_is_done_between_two_lines_and_its_failure_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()

    def fails() -> list[Event]:
        raise NO_SPACE

    await written_through(rig, line(BTC, 1), lambda: [beat(1), beat(2)], line(BTC, 2), fails, line(BTC, 3))
    assert rig.written == [line(BTC, 1), beat(1), beat(2), line(BTC, 2), line(BTC, 3)]
    assert "A change of the vault's files failed" in caplog.text


def closed(hour: int, is_open: bool = False) -> ClosedHour:
    return ClosedHour(BTC, hour * 3_600_000, HourDigest(5, 50, f"{hour:064x}"), is_open)


async def test_closed_hours_are_journaled_each_with_the_digest_of_the_record_before() -> None:
    rig = Rig()
    before = b'{"event":"hour_closed", of a run before}'
    digests = iter([HourDigest(9, 90, "ab")])

    class Digest:
        bytes = 90

        def value(self) -> HourDigest:
            return next(digests)

    rig.disk.resume(Past([("books", ETH, 0)], lambda kind, inst_id, hour_ms: Digest(), before))  # type: ignore[arg-type, return-value]
    rig.writer.closed = [closed(1)]
    async with running(rig.disk):
        rig.disk.put(beat(0))
        await until(lambda: len(rig.written) == 3)
        rig.writer.closed = [closed(2, is_open=True)]
        rig.disk.finish(beat(9))
    hours = [item for item in rig.written if isinstance(item, HourClosed)]
    assert [(hour.inst_id, hour.hour, hour.lines, hour.bytes, hour.is_open) for hour in hours] == [
        (BTC, utc_text(3_600_000), 5, 50, False),
        (ETH, utc_text(0), 9, 90, False),
        (BTC, utc_text(7_200_000), 5, 50, True),
    ]
    lines = [before, *(msgspec.json.encode(hour) for hour in hours)]
    assert [hour.previous for hour in hours] == [hashlib.sha256(text).hexdigest() for text in lines[:-1]]
    assert rig.written[-1] == beat(9), "the end comes last"


async def test_every_closed_hour_comes_by_the_one_hook_and_a_failing_one_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(tmp_path)
    came: list[ClosedHour] = []

    def refuse(closed: ClosedHour) -> None:
        raise NO_SPACE

    disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS, None, [refuse, came.append])
    past = layout.hour_file(ETH, AT_MS)
    past.parent.mkdir(parents=True)
    past.write_bytes(b"{}\n")
    disk.resume(
        Past([("books", ETH, AT_MS)], lambda kind, inst_id, hour_ms: digest_of(layout.hour_file(inst_id, hour_ms)))
    )
    async with running(disk):
        for hour in range(2):
            disk.put(line(BTC, AT_MS + hour * 3_600_000))
        disk.put(beat(0))
    assert [(closed.inst_id, closed.hour_ms, closed.kind, closed.is_open) for closed in came] == [
        (BTC, AT_MS, "books", False),
        (ETH, AT_MS, "books", False),
        (BTC, AT_MS + 3_600_000, "books", True),
    ]
    hours = [event for event in read_journal(layout) if isinstance(event, HourClosed)]
    assert [closed.digest for closed in came] == [(hour.lines, hour.bytes, hour.sha256) for hour in hours]
    assert caplog.text.count("No space left on device") == 3


async def test_a_real_hour_s_record_is_that_of_the_file_and_the_chain_holds(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS)
    async with running(disk):
        for hour in range(3):
            disk.put(line(BTC, AT_MS + hour * 3_600_000))
        disk.put(beat(0))
    (file,) = layout.journal.glob("*.jsonl")
    texts = [text for text in file.read_bytes().splitlines() if text.startswith(b'{"event":"hour_closed"')]
    hours = [event for event in read_journal(layout) if isinstance(event, HourClosed)]
    assert [hour.is_open for hour in hours] == [False, False, True]
    for nth, hour in enumerate(hours):
        data = layout.hour_file(BTC, AT_MS + nth * 3_600_000).read_bytes()
        assert (hour.lines, hour.bytes, hour.sha256) == (1, len(data), hashlib.sha256(data).hexdigest())
    assert [hour.previous for hour in hours] == [None, *(hashlib.sha256(text).hexdigest() for text in texts[:-1])]


class FakeLock:
    """Of the vault; `replaced` is what the next look finds, an error where it is another's."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, set[tuple[str, int]]]] = []
        self.replaced: list[str] | VaultError = []
        self.is_gone = False

    def note(self, run: str, hours: list[tuple[str, int]]) -> None:
        self.noted.append((run, set(hours)))

    def is_in_place(self) -> bool:
        return not self.is_gone

    def check(self) -> list[str]:
        self.is_gone = False
        if isinstance(self.replaced, VaultError):
            raise self.replaced
        replaced, self.replaced = self.replaced, []
        return replaced


class GuardedRig(Rig):
    def __init__(self) -> None:
        super().__init__()
        self.lock = FakeLock()
        self.called = 0
        guard = Guard(self.lock, self._begin, self._on_replaced, (BTC, ETH))  # type: ignore[arg-type]
        self.disk = Disk(self.writer, self.journal, self.clock, FSYNC_MS, guard)  # type: ignore[arg-type]

    def _begin(self, former: Place) -> Started:
        return Started(utc_text(AT_MS), "", "", 1, "", cadence_ms=2000, previous_run=former.run)

    def _on_replaced(self) -> None:
        self.called += 1


async def test_the_hours_being_written_are_announced_before_their_first_line_once_for_all() -> None:
    rig = GuardedRig()
    seen: list[int] = []
    rig.writer.refuse = lambda snapshot: bool(seen.append(len(rig.lock.noted)))
    hour = 3_600_000
    rig.writer.open = [(BTC, hour), (ETH, 0)]
    async with running(rig.disk):
        for inst_id, ts_ms in ((BTC, 5), (ETH, 6), (BTC, hour), (ETH, hour + 5)):
            rig.disk.put(line(inst_id, ts_ms))
            await until(lambda ts_ms=ts_ms: line(inst_id, ts_ms) in rig.written)  # noqa: B023
    assert rig.lock.noted[0] == ("ab12", {(BTC, 0), (ETH, 0)})
    assert {(BTC, 0), (ETH, 0), (BTC, hour), (ETH, hour)} in [hours for _, hours in rig.lock.noted]
    assert min(seen) == 1
    assert len(rig.lock.noted) <= 5


async def test_a_vault_that_was_replaced_is_a_new_run_before_anything_else() -> None:
    rig = GuardedRig()
    rig.lock.replaced = ["Vault/meta"]
    async with running(rig.disk):
        rig.disk.put(beat(0))
        await until(lambda: rig.called)
        rig.disk.put(beat(1))
    start, replaced = rig.written[1:3]
    assert isinstance(start, Started)
    assert start.previous_run == "ab12"
    assert replaced == VaultReplaced(utc_text(AT_MS), "Vault/meta")
    assert rig.written[3:] == [beat(1)]
    assert rig.called == 1


async def test_nothing_is_written_once_the_vault_is_another_s(caplog: pytest.LogCaptureFixture) -> None:
    rig = GuardedRig()
    rig.lock.replaced = VaultError("the vault is being recorded by process 7.", "stop it")
    task = asyncio.create_task(rig.disk.run())
    rig.disk.put(line(BTC, 1))
    await until(task.done)
    rig.disk.put(line(BTC, 2))
    rig.disk.finish(beat(3))
    with pytest.raises(VaultError, match="process 7"):
        await task
    assert rig.written == [line(BTC, 1)]
    assert rig.writer.happened[-1] == "abandon"
    async with asyncio.timeout(1):
        await rig.disk.room()


async def test_once_the_lock_s_file_is_gone_no_further_line_is_written_before_the_vault_is_looked_at() -> None:
    """Another recorder may hold the vault by then, and writes the same slots."""
    rig = GuardedRig()
    task = asyncio.create_task(rig.disk.run())
    rig.disk.put(line(BTC, 1))
    await until(lambda: line(BTC, 1) in rig.written)
    rig.lock.is_gone = True
    rig.lock.replaced = VaultError("the vault is being recorded by process 7.", "stop it")
    rig.disk.put(line(BTC, 2))
    await until(task.done)
    with pytest.raises(VaultError, match="process 7"):
        await task
    assert [item for item in rig.written if isinstance(item, Snapshot)] == [line(BTC, 1)]


async def test_a_lock_that_is_taken_again_costs_no_line() -> None:
    rig = GuardedRig()
    async with running(rig.disk):
        rig.disk.put(line(BTC, 1))
        await until(lambda: line(BTC, 1) in rig.written)
        rig.lock.is_gone = True
        rig.lock.replaced = ["Vault/meta/recorder.lock"]
        rig.disk.put(line(BTC, 2))
        await until(lambda: rig.called)
    kinds = [type(item).__name__ for item in rig.written]
    assert kinds == ["Snapshot", "Started", "VaultReplaced", "Snapshot"]


async def test_a_disk_that_hangs_delays_the_end_by_four_seconds_and_what_it_lacks_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    rig.writer.gate.clear()
    task = asyncio.create_task(rig.disk.run())
    try:
        rig.disk.put(line(BTC, 0))
        await until(rig.writer.is_inside.is_set)
        rig.disk.put(line(BTC, 1))
        rig.disk.finish(beat(1))
        await until(lambda: rig.clock.slept_sec)
        rig.clock.advance(round(END_WITHIN_SEC * 1000) - 1)
        await some_turns()
        assert not task.done()
        rig.clock.advance(1)
        with pytest.raises(VaultError, match="the disk of the vault hangs: 2 lines and 1 events"):
            async with asyncio.timeout(10):
                await task
    finally:
        rig.writer.gate.set()
    assert rig.disk.is_hanging
    assert rig.disk.lines_lost == 2
    assert "2 lines and 1 events are lost" in caplog.text
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "disk"), "none keeps the process"


async def test_the_events_of_a_batch_are_synced_once() -> None:
    rig = Rig()
    for second in range(500):
        rig.disk.put(beat(second))
    async with running(rig.disk):
        await until(lambda: len(rig.written) == 500 and rig.journal.syncs)
    assert rig.journal.syncs <= 3, "of the batch, and of the end"


async def test_500_files_of_a_slow_disk_are_written_at_the_end_and_those_not_synced_in_time_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each sync takes 12 ms, as a disk that turns does: 500 of them would be 6 s, and the process has 5."""
    clock, layout = ManualClock(), Layout(tmp_path)
    journal = Journal(layout, clock.monotonic_ms)
    disk = Disk(LineWriter(layout), journal, clock, FSYNC_MS)
    names = [f"X{number}-USDT-SWAP" for number in range(500)]
    for inst_id in names:
        disk.put(line(inst_id, AT_MS))
    at = utc_text(AT_MS)
    disk.put(Minute(at, {inst_id: MinuteOf(due=1, first=at, last=at) for inst_id in names}))
    began_ms = clock.now_ms
    disk.finish(Stopped(at, "asked to stop"))
    fsync = os.fsync

    def slow(handle: int) -> None:
        clock.now_ms += 12
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    await disk.run()
    assert SYNC_WITHIN_SEC * 1000 <= clock.now_ms - began_ms < END_WITHIN_SEC * 1000
    assert all(layout.hour_file(inst_id, AT_MS).stat().st_size for inst_id in names), "every line is in its file"
    *_, minute, stopped = [event for event in read_journal(layout) if isinstance(event, Minute | Stopped)]
    assert isinstance(stopped, Stopped)
    assert isinstance(minute, Minute)
    assert 200 < len(stopped.unsynced) < 500
    assert set(stopped.unsynced) < set(names)
    assert all(one.lines == 0 for one in minute.instruments.values()), "nothing is said to be on disk that may not be"
    assert f"the newest lines of {len(stopped.unsynced)} instruments" in caplog.text


async def test_a_stop_that_had_time_enough_names_no_file(tmp_path: Path) -> None:
    clock, layout = ManualClock(), Layout(tmp_path)
    disk = Disk(LineWriter(layout), Journal(layout, clock.monotonic_ms), clock, FSYNC_MS)
    disk.put(line(BTC, AT_MS))
    disk.finish(Stopped(utc_text(AT_MS), "asked to stop"))
    await disk.run()
    *_, stopped = read_journal(layout)
    assert stopped == Stopped(utc_text(AT_MS), "asked to stop")


class TestTrades:
    """Lines of trades go the same way: the same queue, thread, files and records."""

    @staticmethod
    def push(last: int = 7, at: int = 10_000, inst_id: str = BTC, origin: str = "ws") -> TradePush:
        ts = str(AT_MS + at)
        return TradePush(inst_id, str(last), "100", "1", "buy", ts, "2", "0", None, 0, origin)

    async def test_a_minute_counts_what_the_disk_took_of_them(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS)
        async with running(disk):
            for push in (self.push(7), self.push(9, 11_000), self.push(3, 9_000, origin="rest")):
                disk.put(push)
            disk.put(Minute(utc_text(AT_MS)))
            disk.put(Minute(utc_text(AT_MS)))
        first, second = (event for event in read_journal(layout) if isinstance(event, Minute))
        assert first.trades == {BTC: TradesOf(3, 6, 2, 9, utc_text(AT_MS + 11_000))}
        assert (first.instruments, second.trades) == ({}, {})
        lines = layout.of("trades").hour_file(BTC, AT_MS).read_bytes().splitlines()
        assert [json.loads(line)["tradeId"] for line in lines] == ["7", "9", "3"]

    async def test_what_the_disk_refused_is_told_and_so_is_that_it_takes_lines_again(self, tmp_path: Path) -> None:
        told: list[object] = []

        class Keeper:
            def unwritten(self, push: TradePush) -> None:
                told.append(push.last_id)

            def written_again(self, inst_id: str) -> None:
                told.append(inst_id)

        layout, writer = Layout(tmp_path), FakeWriter()
        writer.refuse = lambda row: row.ts_ms < AT_MS + 12_000
        disk = Disk(writer, Journal(layout), ManualClock(), FSYNC_MS, trades=Keeper())
        async with running(disk):
            for at in (10, 11, 12, 13):
                disk.put(self.push(at, at * 1000))
            await until(lambda: len(told) == 3)
        assert told == [10, 11, BTC]
        failed = [event for event in read_journal(layout) if isinstance(event, WriteFailed)]
        assert [(event.kind, event.lines) for event in failed] == [("trades", 1), ("trades", 1)]
        assert disk.lines_lost == 2

    async def test_books_that_the_disk_refuses_say_nothing_of_trades(self, tmp_path: Path) -> None:
        layout, writer = Layout(tmp_path), FakeWriter()
        writer.refuse = lambda row: isinstance(row, Snapshot)
        disk = Disk(writer, Journal(layout), ManualClock(), FSYNC_MS)
        async with running(disk):
            disk.put(line(BTC, AT_MS))
            disk.put(self.push())
        assert [row for row in writer.happened if isinstance(row, TradePush)] == [self.push()]
        failed = [event for event in read_journal(layout) if isinstance(event, WriteFailed)]
        assert {event.kind for event in failed} == {"books"}

    async def test_a_late_line_continues_a_compressed_hour_which_is_closed_anew(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        disk = Disk(LineWriter(layout), Journal(layout), ManualClock(), FSYNC_MS)
        old = layout.of("trades").hour_file(BTC, AT_MS)
        old.parent.mkdir(parents=True)
        old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(trade_to_line(self.push(7)) + b"\n"))
        async with running(disk):
            disk.put(self.push(20, 3_600_000))
            disk.put(self.push(5, origin="rest"))
        assert old.read_bytes() == trade_to_line(self.push(5, origin="rest")) + b"\n"
        closed = [event for event in read_journal(layout) if isinstance(event, HourClosed)]
        assert ("trades", utc_text(AT_MS), 2) in [(event.kind, event.hour, event.lines) for event in closed]
