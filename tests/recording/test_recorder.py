"""The recorder as a whole: its lines say what a test wants and its clock stands still; the vault and disk are real."""

import asyncio
import hashlib
import json
import logging
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest

from l2vault.book.change import BookChange
from l2vault.book.context import Mark
from l2vault.book.snapshot import Snapshot, from_line
from l2vault.book.trade import TradePush
from l2vault.book.utc import utc_text
from l2vault.config import Settings
from l2vault.errors import L2VaultError, VaultError
from l2vault.okx.context_messages import ContextPush, Update
from l2vault.okx.messages import SchemaFailure, Traded
from l2vault.okx.pipeline import Lost, Sampled
from l2vault.okx.rest import OkxRest, ServerTime, Unavailable
from l2vault.okx.websocket import FeedOutput, FeedUp
from l2vault.recorder import ALIVE_SEC, STATUS_SEC, SUMMARY_SEC, Network, Recorder
from l2vault.recording.disk import QUEUE_LIMIT
from l2vault.recording.feeds import Deliver, Feeds
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.router import QUOTE_EVERY_MS
from l2vault.recording.tasks.metadata import REFRESH_SEC
from l2vault.recording.tasks.rounds import AUDIT_EVERY_SEC
from l2vault.vault.journal import events as noted
from l2vault.vault.journal import log as journal
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.journal.log import read_journal
from l2vault.vault.journal.trade_events import TradesHole
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock
from l2vault.vault.store.writer import LineWriter
from support import wire
from support.manual_clock import WITHIN_SEC, ManualClock, some_turns, until
from support.second_book import with_second_books

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T0_MS = 1_767_225_600_000
Script = Callable[["FakeFeeds"], Awaitable[None]]


class FakeFeeds(Feeds):
    """In place of the sockets: one pipeline, fed by the test; `script` is what the feeds' task does first."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.reconnected: list[str] = []
        self.is_up = False

    async def run(self, count: int, pipelines: Pipelines, deliver: Deliver) -> None:
        self.pipelines, self._deliver = pipelines, deliver
        self.begin(1)
        self.is_up = True
        if self.script is not None:
            await self.script(self)
        await asyncio.Event().wait()

    def begin(self, feed: int) -> None:
        pipeline = self.pipelines.add(feed)
        pipeline.open(0)
        pipeline.tick(0)  # subscribes, so that data is taken

    async def say(self, *outputs: FeedOutput) -> None:
        await self._deliver(1, list(outputs))

    async def hear(self, frame: bytes, now_ms: int = 0, feed: int = 1) -> None:
        """The books of the tests have two levels a side; each finds its second one at once."""
        pipeline = self.pipelines.by_feed[feed]
        await self._deliver(feed, list(with_second_books(pipeline, pipeline.receive(frame, now_ms), now_ms)))

    def reconnect_all(self, reason: str) -> None:
        self.reconnected.append(reason)

    def reconnect(self, number: int, reason: str, next_address: bool = False) -> None:
        self.reconnected.append(f"{number}: {reason}")


class FakeRest(OkxRest):
    """No network, unless `rows` or `books` has the instrument, or `server_ms` is set."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.books: dict[str, BookChange] = {}
        self.server_ms: int | None = None
        self.asked: list[str] = []
        self.is_closed = False

    def instrument(self, inst_id: str) -> bytes:
        self.asked.append(inst_id)
        if inst_id in self.rows:
            return self.rows[inst_id]
        raise Unavailable("no answer.", "check the network")

    def book(self, inst_id: str, depth: int) -> BookChange:
        if inst_id in self.books:
            return self.books[inst_id]
        raise Unavailable("no answer.", "check the network")

    def server_time(self, monotonic_ms: Callable[[], int]) -> ServerTime:
        if self.server_ms is not None:
            return ServerTime(self.server_ms, 0, monotonic_ms())
        raise Unavailable("no answer.", "check the network")

    def close(self) -> None:
        self.is_closed = True


class Rig:
    def __init__(self, root: Path, script: Script | None = None, **changes: object) -> None:
        self.layout = Layout(root)
        self.clock = ManualClock()
        self.statuses: list[str] = []
        self.stop = asyncio.Event()
        settings = msgspec.structs.replace(Settings(instruments=(BTC, ETH), feeds=1, retention=False), **changes)
        self.feeds, self.rest = FakeFeeds(script), FakeRest()
        show, network = lambda status: self.statuses.append(status(120)), Network(self.feeds, self.rest)
        self.recorder = Recorder(settings, self.layout, self.clock, Random(1), show, network)

    @asynccontextmanager
    async def recording(self) -> AsyncIterator["Rig"]:
        """Recording, until the end of the block asks it to stop."""
        task = asyncio.create_task(self.recorder.run(self.stop))
        await until(lambda: self.feeds.is_up or task.done())
        try:
            yield self
        finally:
            self.stop.set()
            async with asyncio.timeout(10):
                await task

    async def run(self) -> None:
        async with asyncio.timeout(10):
            await self.recorder.run(self.stop)

    @property
    def events(self) -> list[noted.Event]:
        return list(read_journal(self.layout))

    def of(self, *kinds: type) -> list[noted.Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def written(self, inst_id: str) -> list[tuple[int, bool]]:
        """Time, in ms since `T0_MS`, and flag of every line in the vault."""
        files = sorted(self.layout.instrument_folder(inst_id).glob("*/*.jsonl"))
        lines = [from_line(text) for file in files for text in file.read_bytes().splitlines()]
        return [(line.ts_ms - T0_MS, line.gap_detected) for line in lines]


def line(ms: int, is_flagged: bool = False, inst_id: str = BTC) -> Snapshot:
    return Snapshot(inst_id, T0_MS + ms, 400, [("1", "1", "0", "1")], [("2", "1", "0", "1")], 0, ms, 0, is_flagged)


def sampled(ms: int, inst_id: str = BTC, grid_ms: int | None = None) -> Sampled:
    grid_ms = ms if grid_ms is None else grid_ms
    return Sampled(line(ms, inst_id=inst_id), T0_MS + grid_ms, T0_MS + grid_ms + 100)


def gap(ms: int) -> Lost:
    return Lost(BTC, "chain", "expected prevSeqId 1, got 2", T0_MS + ms, T0_MS + ms + 100, line(ms, True))


async def test_no_two_unflagged_lines_share_a_time_and_none_is_older_than_the_last(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(sampled(2000), sampled(4000), sampled(4000, grid_ms=6000), sampled(3000, grid_ms=8000))
        await rig.feeds.say(sampled(4001, grid_ms=10_000), sampled(1000, ETH))
    assert rig.written(BTC) == [(2000, False), (4000, False), (4001, False)]
    assert rig.written(ETH) == [(1000, False)], "each instrument has a time of its own"
    (minute,) = rig.of(noted.Minute)
    assert isinstance(minute, noted.Minute)
    one = minute.instruments[BTC]
    assert (one.due, one.lines, one.held_back) == (5, 3, 2)
    assert one.last_line == utc_text(T0_MS + 4001)


async def test_room_is_kept_for_the_journal_from_the_start_on(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        assert rig.layout.journal_reserve.stat().st_size > 0


async def test_that_holds_across_a_restart(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as first:
        await first.feeds.say(sampled(2000), sampled(4000), sampled(6000, ETH))
    async with Rig(tmp_path).recording() as second:
        await second.feeds.say(sampled(2000), sampled(4000), gap(3999), sampled(4000, ETH))
        await second.feeds.say(sampled(6000), sampled(8000, ETH))
    assert second.written(BTC) == [(2000, False), (4000, False), (6000, False)]
    assert second.written(ETH) == [(6000, False), (8000, False)]


async def test_a_flagged_line_may_share_its_time_but_is_never_older(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(sampled(2000), gap(2000))
        await rig.feeds.say(sampled(2000, grid_ms=3000))
        await rig.feeds.say(gap(4000), sampled(4000), gap(3999))
    assert rig.written(BTC) == [(2000, False), (2000, True), (4000, True), (4000, False)]
    assert len(rig.of(noted.Lost)) == 3, "each loss is journaled, whether its line is written or not"


async def test_unreadable_frames_are_all_counted_but_quoted_once_in_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken = SchemaFailure(None, "truncated", b'{"arg"')
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(*[broken] * 50)
        rig.clock.advance(QUOTE_EVERY_MS - 1)
        await rig.feeds.say(broken)
        assert caplog.text.count("BUILD_FAIL: Missing required fields") == 1
        rig.clock.advance(1)
        await rig.feeds.say(*[broken] * 50)
    assert caplog.text.count("BUILD_FAIL: Missing required fields") == 2
    assert "unreadable frames 101" in caplog.text


async def test_a_clean_stop_journals_our_restart_and_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await rig.feeds.hear(wire.full(ETH, T0_MS + 600, 6))
        await rig.feeds.hear(wire.update(ETH, T0_MS + 2100, 6, 7))
    at = utc_text(rig.clock.wall_ms())
    ended = rig.events[-5:]
    times = {BTC: utc_text(T0_MS + 500), ETH: utc_text(T0_MS + 2100)}
    slot = utc_text(T0_MS + 2000)
    of_eth = noted.MinuteOf(1, slot, slot, 1, 0, utc_text(T0_MS + 600), book_time=times[ETH])
    closed = ended.pop(3)
    assert isinstance(closed, noted.HourClosed)
    assert (closed.inst_id, closed.hour, closed.lines, closed.is_open) == (ETH, utc_text(T0_MS), 1, True)
    assert ended == [
        noted.Minute(at, {BTC: noted.MinuteOf(book_time=times[BTC]), ETH: of_eth}),
        noted.Lost(at, 1, BTC, "our_restart", times[BTC], None, "the recorder stopped"),
        noted.Lost(at, 1, ETH, "our_restart", times[ETH], None, "the recorder stopped"),
        noted.Stopped(at, "asked to stop"),
    ]
    assert rig.written(ETH) == [(600, False)]
    assert "Stopped (asked to stop) after 1 lines, 0 gaps" in caplog.text
    assert f"Snapshot written: 1 since the last summary ({ETH} 1); in sync 2 of 2; messages 3" in caplog.text
    _assert_free(rig.layout)


async def test_after_a_clean_stop_the_next_start_finds_nothing_to_note(tmp_path: Path) -> None:
    for _ in range(2):
        async with Rig(tmp_path).recording() as rig:
            pass
    assert [type(event) for event in rig.of(noted.Started, noted.Stopped, noted.UncleanEnd)] == [
        noted.Started,
        noted.Stopped,
    ] * 2


async def test_an_unclean_end_is_noted_at_the_next_start_with_its_last_sign_of_life(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = journal.Journal(Layout(tmp_path))
    killed.append(noted.Started("2025-12-31T23:00:00.000Z", "0.1", "host", 1, "Linux", [BTC], 2000, 400, 1, "x"))
    killed.append(noted.Alive("2025-12-31T23:59:45.000Z"))
    async with Rig(tmp_path).recording() as rig:
        pass
    at = utc_text(rig.clock.wall_ms())
    kinds = (noted.Started, noted.UncleanEnd)
    start, unclean = rig.of(*kinds)[1:]
    assert isinstance(start, noted.Started), "the first event of every run"
    assert (start.previous_run, start.previous_n) == (killed.run, 2)
    assert unclean == noted.UncleanEnd(at, "2025-12-31T23:59:45.000Z")
    assert "did not stop cleanly; its last sign of life: 2025-12-31T23:59:45.000Z" in caplog.text


async def test_torn_bytes_are_cut_before_recording_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layout = Layout(tmp_path)
    file = layout.hour_file(BTC, T0_MS)
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"timestamp_utc":"2026-')
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(sampled(2000))
    (cut,) = rig.of(noted.Recovered)
    assert isinstance(cut, noted.Recovered)
    assert (tmp_path / cut.kept_in).read_bytes() == b'{"timestamp_utc":"2026-'
    assert rig.written(BTC) == [(2000, False)]
    assert "23 torn bytes cut" in caplog.text


async def test_a_task_that_crashes_ends_the_recorder_with_everything_put_before_it_written_t19(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is in the middle of a line when it happens, and more is waiting behind that."""
    gate, is_inside = threading.Event(), threading.Event()
    append = LineWriter.append

    def slow(self: LineWriter, snapshot: Snapshot) -> None:
        is_inside.set()
        assert gate.wait(10)
        append(self, snapshot)

    async def crash(feeds: FakeFeeds) -> None:
        await feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await feeds.say(sampled(2000, ETH))
        await until(is_inside.is_set)
        await feeds.say(sampled(4000, ETH))
        asyncio.get_running_loop().call_later(0.01, gate.set)
        raise ValueError("a bug of ours")

    monkeypatch.setattr(LineWriter, "append", slow)
    rig = Rig(tmp_path, crash)
    with pytest.raises(L2VaultError, match=r"^the recorder crashed; the log holds the details\. Try: start it again$"):
        await rig.run()
    assert rig.written(ETH) == [(2000, False), (4000, False)]
    (lost,) = rig.of(noted.Lost)
    assert isinstance(lost, noted.Lost)
    assert (lost.inst_id, lost.cause) == (BTC, "our_restart")
    assert rig.events[-1] == noted.Stopped(utc_text(rig.clock.wall_ms()), "crashed")
    assert "The recorder crashed" in caplog.text
    assert "ValueError: a bug of ours" in caplog.text
    _assert_free(rig.layout)


async def test_a_crash_of_the_disk_s_own_task_ends_the_recorder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: LineWriter, snapshot: Snapshot) -> None:
        raise ValueError("a bug of ours")

    async def talk(feeds: FakeFeeds) -> None:
        await feeds.say(sampled(2000))

    with monkeypatch.context() as patched:
        patched.setattr(LineWriter, "append", broken)
        rig = Rig(tmp_path, talk)
        with pytest.raises(L2VaultError, match="the recorder crashed"):
            await rig.run()
    assert "ValueError: a bug of ours" in caplog.text
    _assert_free(rig.layout)
    async with Rig(tmp_path).recording() as again:
        await again.feeds.say(sampled(2000))
    assert again.of(noted.UncleanEnd), "the first one could journal no end"
    assert again.written(BTC) == [(2000, False)]


async def test_being_cancelled_writes_and_closes_everything_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    task = asyncio.create_task(rig.run())
    await until(lambda: rig.feeds.is_up)
    await rig.feeds.say(sampled(2000), sampled(4000))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.written(BTC) == [(2000, False), (4000, False)]
    assert rig.events[-1] == noted.Stopped(utc_text(rig.clock.wall_ms()), "interrupted")
    _assert_free(rig.layout)


@pytest.mark.parametrize("obstacle", ["journal", "journal/2026-01-01.jsonl"])
async def test_a_journal_that_cannot_be_written_is_refused_before_anything_starts(
    tmp_path: Path, obstacle: str
) -> None:
    rig = Rig(tmp_path)
    path = rig.layout.journal.parent / obstacle
    if obstacle == "journal":
        path.parent.mkdir(parents=True)
        path.write_text("a file where a folder belongs")
    else:
        path.mkdir(parents=True)
    with pytest.raises(VaultError, match=r"the journal of .* cannot be used: .*journal.* Try: make room"):
        await rig.run()
    assert not rig.feeds.is_up
    _assert_free(rig.layout)


async def test_it_beats_sums_up_and_shows_its_state_by_the_clock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await _pass(rig, round(SUMMARY_SEC * 1000))
        await until(lambda: rig.of(noted.Minute) and len(rig.of(noted.Alive)) == SUMMARY_SEC // ALIVE_SEC)
        assert len(rig.statuses) == SUMMARY_SEC // STATUS_SEC
    assert rig.statuses[-1].startswith("00:01:00Z  in sync 1/2  lines 0  gaps 0  messages 1")
    (minute, _last) = rig.of(noted.Minute)
    assert minute == noted.Minute("2026-01-01T00:01:00.000Z", {BTC: noted.MinuteOf(book_time=utc_text(T0_MS + 500))})
    summaries = [record for record in caplog.records if record.getMessage().startswith("Snapshot written: ")]
    assert [record.levelname for record in summaries] == ["INFO"] * 2


async def test_a_crossed_book_has_its_row_asked_for_and_is_legal_once_that_says_so(tmp_path: Path) -> None:
    crossed = {"bids": [["101", "1", "0", "1"]], "asks": [["100", "1", "0", "1"]]}
    async with Rig(tmp_path).recording() as rig:
        rig.rest.rows[BTC] = json.dumps({"instId": BTC, "state": "live"}).encode()
        await _pass_until(rig, lambda: _rows_noted(rig) == ["first"])
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5, **crossed))
        await until(lambda: rig.of(noted.Lost))
        (lost,) = rig.of(noted.Lost)
        assert isinstance(lost, noted.Lost)
        assert (lost.inst_id, lost.cause) == (BTC, "implausible")
        rig.rest.rows[BTC] = json.dumps({"instId": BTC, "state": "preopen"}).encode()
        before_ms = rig.clock.now_ms
        await _pass_until(rig, lambda: _rows_noted(rig) == ["first", "changed"])
        assert rig.clock.now_ms - before_ms < REFRESH_SEC * 1000, "before it would have been refreshed anyway"
        fresh = rig.feeds.pipelines.add(2)
        fresh.open(0)
        fresh.tick(0)
        outputs = with_second_books(fresh, fresh.receive(wire.full(BTC, T0_MS, 5, **crossed), 0), 0)
        assert [type(output).__name__ for output in outputs] == ["Synced", "AuditSoon"]


async def test_a_host_that_slept_is_journaled_and_every_connection_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig(tmp_path).recording() as rig:
        await _pass(rig, 3000)
        assert rig.feeds.reconnected == []
        rig.clock.wall_offset_ms += 3_600_000
        rig.clock.asleep_ms += 3_600_000
        await _pass(rig, 1000)
        await until(lambda: rig.of(noted.HostSlept))
    (slept,) = rig.of(noted.HostSlept)
    assert isinstance(slept, noted.HostSlept)
    assert slept.seconds == pytest.approx(3600, abs=1)
    assert rig.of(noted.ClockStepped) == []
    assert rig.feeds.reconnected == ["the host slept"]
    assert "Nothing ran for 3600" in caplog.text


@pytest.mark.parametrize("step_ms", [-7_000, 7_000, 3_600_000, -86_400_000])
async def test_a_clock_that_was_set_is_journaled_and_disturbs_no_connection(tmp_path: Path, step_ms: int) -> None:
    async with Rig(tmp_path).recording() as rig:
        rig.clock.wall_offset_ms += step_ms
        await _pass(rig, 1000)
        await until(lambda: rig.of(noted.ClockStepped))
    (step,) = rig.of(noted.ClockStepped)
    assert isinstance(step, noted.ClockStepped)
    assert step.seconds == pytest.approx(step_ms / 1000, abs=1)
    assert rig.of(noted.HostSlept) == []
    assert rig.feeds.reconnected == []


async def test_a_process_that_was_stopped_sees_it_on_the_clock_that_went_on(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        await _pass(rig, 3000)
        rig.clock.advance(400_000)
        await until(lambda: rig.of(noted.HostSlept))
        assert rig.feeds.reconnected == ["the host slept"]
        rig.clock.advance(20_000)
        await until(lambda: len(rig.of(noted.HostSlept)) == 2)
    assert [slept.seconds for slept in rig.of(noted.HostSlept)] == pytest.approx([400, 19], abs=1.2)
    assert rig.feeds.reconnected == ["the host slept"], "a short one costs no connection"
    assert rig.of(noted.ClockStepped) == []


async def test_a_vault_of_another_region_is_refused_with_the_cure(tmp_path: Path) -> None:
    former = journal.Journal(Layout(tmp_path))
    start = journal.start_of_run("2025-12-31T23:00:00.000Z", "recorder", None)
    former.append(msgspec.structs.replace(start, cadence_ms=2000, region="eea"))
    with pytest.raises(VaultError, match=r'holds books of OKX\'s region eea.* Try: region = "eea", or another vault'):
        await Rig(tmp_path).run()
    _assert_free(Layout(tmp_path))


async def test_the_start_says_what_will_be_deleted_and_the_journal_which_region(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Rig(tmp_path).recording() as rig:
        pass
    (start,) = rig.of(noted.Started)
    assert isinstance(start, noted.Started)
    assert (start.region, start.schema, start.feeds, start.cadence_ms) == ("global", 2, 1, 2000)
    assert "Retention: off, nothing is compressed or deleted while recording" in caplog.text


async def test_a_run_that_was_asked_to_last_so_long_says_so(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.stop.set()
    async with asyncio.timeout(10):
        await rig.recorder.run(rig.stop, lambda: "as long as asked")
    assert rig.events[-1] == noted.Stopped(utc_text(rig.clock.wall_ms()), "as long as asked")


async def passing(rig: Rig, condition: Callable[[], bool]) -> None:
    """Time passes, and the disk keeps up with it, until it holds."""
    async with asyncio.timeout(WITHIN_SEC):
        while not condition():
            rig.clock.advance(1_000)
            await _settled_again(rig)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
async def test_a_vault_whose_meta_was_deleted_gets_its_instrument_rows_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.rest.rows[BTC] = b'{"instId":"BTC-USDT-SWAP","state":"live"}'
    row = rig.layout.instrument_file(BTC)
    async with rig.recording():
        await passing(rig, row.exists)
        for _ in range(2):
            await _settled_again(rig)  # the disk has looked after its files; the next look is a round away
        shutil.rmtree(tmp_path / "meta")
        await passing(rig, row.exists)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
async def test_a_vault_whose_meta_was_deleted_is_taken_again_in_a_new_run(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await _settled(rig)
        shutil.rmtree(tmp_path / "meta")
        rig.clock.advance(5_000)
        await rig.feeds.hear(wire.update(BTC, T0_MS + 2100, 5, 6))
        await until(lambda: rig.of(noted.Synced))
        second = VaultLock(rig.layout)
        with pytest.raises(VaultError, match="is being recorded"):
            second.acquire("2026-01-01T00:00:00.000Z")
    kinds = [type(event) for event in rig.of(noted.Started, noted.VaultReplaced, noted.Synced, noted.Stopped)]
    assert kinds == [noted.Started, noted.VaultReplaced, noted.Synced, noted.Stopped]
    (synced,) = rig.of(noted.Synced)
    assert isinstance(synced, noted.Synced)
    assert synced.ts == utc_text(T0_MS + 2100)
    assert rig.written(BTC) == [(500, False)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
async def test_a_vault_that_another_took_meanwhile_is_left_within_a_round_with_the_reason(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    task = asyncio.create_task(rig.run())
    await until(lambda: rig.feeds.is_up)
    await rig.feeds.say(sampled(2000))
    await _settled(rig)
    rig.layout.lock_file.unlink()
    other = VaultLock(rig.layout)
    other.acquire("2026-01-01T00:00:00.000Z")
    journaled = rig.events
    rig.clock.advance(5_000)
    await rig.feeds.say(sampled(4000))
    with pytest.raises(VaultError, match="is being recorded by process"):
        await task
    await rig.feeds.say(sampled(6000))
    assert rig.written(BTC)[:1] == [(2000, False)]
    assert len(rig.written(BTC)) <= 2
    assert rig.events[: len(journaled)] == journaled
    assert rig.of(noted.Stopped, noted.Minute) == [], "not a byte more once it is known"
    assert rig.layout.owner_file.exists(), "the other's"
    other.release()


async def test_an_hour_that_the_run_before_left_open_is_closed_by_the_next_one_in_one_chain(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as first:
        await first.feeds.say(sampled(2000), sampled(4000, ETH))
    async with Rig(tmp_path).recording() as second:
        await second.feeds.say(sampled(3_602_000))
    hours = [event for event in second.events if isinstance(event, noted.HourClosed)]
    assert [(hour.inst_id, hour.hour[11:13], hour.is_open) for hour in hours] == [
        (BTC, "00", True),
        (ETH, "00", True),
        (BTC, "00", False),
        (BTC, "01", True),
    ]
    file = second.layout.hour_file(BTC, T0_MS)
    assert hours[2].sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    (day,) = second.layout.journal.glob("*.jsonl")
    lines = [text for text in day.read_bytes().splitlines() if text.startswith(b'{"event":"hour_closed"')]
    assert [hour.previous for hour in hours[1:]] == [hashlib.sha256(text).hexdigest() for text in lines[:-1]]


async def test_an_hour_that_a_killed_run_ended_without_a_record_gets_one_while_the_next_records(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    journal.Journal(layout).append(
        msgspec.structs.replace(journal.start_of_run("2025-12-31T23:00:00.000Z", "recorder", None), cadence_ms=2000)
    )
    killed = LineWriter(layout)
    for hour in (-2, -1, 0):
        killed.append(line(hour * 3_600_000 + 5))
    killed.close()
    async with Rig(tmp_path).recording() as rig:
        for _ in range(20):
            rig.clock.advance(5_000)
            await rig.feeds.say(sampled(rig.clock.now_ms))
            await _settled_again(rig)
            if len(rig.of(noted.HourClosed)) == 2:
                break
    hours = [(event.hour[11:13], event.is_open) for event in rig.events if isinstance(event, noted.HourClosed)]
    assert hours == [("22", False), ("23", False), ("00", True)]


async def _settled_again(rig: Rig) -> None:
    beats = len(rig.of(noted.Alive))
    rig.recorder._beat()
    await until(lambda: len(rig.of(noted.Alive)) > beats)


async def _settled(rig: Rig) -> None:
    """The disk has written everything and looked after its files; the next look is a round away."""
    for count in (1, 2):
        rig.recorder._beat()
        await until(lambda: len(rig.of(noted.Alive)) == count)  # noqa: B023


def _rows_noted(rig: Rig) -> list[str]:
    events = rig.of(noted.InstrumentNoted)
    return [event.what for event in events if isinstance(event, noted.InstrumentNoted) and event.inst_id == BTC]


async def _pass(rig: Rig, milliseconds: int) -> None:
    """Let time pass in steps that every period of the recorder is a multiple of."""
    for _ in range(milliseconds // 200):
        rig.clock.advance(200)
        await some_turns(20)


async def _pass_until(rig: Rig, condition: Callable[[], object]) -> None:
    """Let time pass until something that needs a thread, and so an unknown number of turns, has happened."""
    async with asyncio.timeout(10):
        while not condition():
            await _pass(rig, 200)
            await asyncio.to_thread(lambda: None)


def _assert_free(layout: Layout) -> None:
    lock = VaultLock(layout)
    lock.acquire("2026-01-01T00:00:00.000Z")
    lock.release()


async def test_a_feed_that_rest_finds_wrong_gets_a_new_connection_and_the_other_goes_on(tmp_path: Path) -> None:
    """From frames to the ruling and its consequence: both hold seqId 7, with different quantities at 99."""
    async with Rig(tmp_path).recording() as rig:
        rig.feeds.begin(2)
        for feed, quantity in ((1, "1"), (2, "2")):
            await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5), feed=feed)
            bids = [["99", quantity, "0", "1"]]
            await rig.feeds.hear(wire.update(BTC, T0_MS + 2100, 5, 7, bids), feed=feed)
        right = [tuple(level) for level in [*wire.BIDS, ["99", "1", "0", "1"]]]
        asks = [tuple(level) for level in wire.ASKS]
        rig.rest.books[BTC] = BookChange(BTC, True, right, asks, T0_MS + 4100, 8, None, None)
        for feed in (1, 2):
            await rig.feeds.hear(wire.update(BTC, T0_MS + 4100, 7, 8), feed=feed)
        await until(lambda: rig.feeds.reconnected)
        assert rig.feeds.reconnected == [f"2: its book of {BTC} was found wrong"]
        assert BTC in rig.feeds.pipelines.by_feed[1].book_times()
        await until(lambda: rig.of(noted.Lost))
    conflict, *_ = rig.of(noted.Conflicted)
    assert isinstance(conflict, noted.Conflicted)
    assert (conflict.seq_id, conflict.feeds) == (7, (1, 2))
    assert [(lost.feed, lost.cause) for lost in rig.of(noted.Lost)][0] == (2, "conflict")  # type: ignore[attr-defined]


async def test_a_stop_in_the_middle_of_a_ruling_leaves_the_slots_disputed(tmp_path: Path) -> None:
    asked, answered = threading.Event(), threading.Event()

    def hang(inst_id: str, depth: int) -> BookChange:
        asked.set()
        answered.wait(10)
        raise Unavailable("no answer.", "check the network")

    async with Rig(tmp_path).recording() as rig:
        rig.rest.book = hang  # type: ignore[method-assign]
        rig.feeds.begin(2)
        for feed, quantity in ((1, "1"), (2, "2")):
            await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5), feed=feed)
            await rig.feeds.hear(wire.update(BTC, T0_MS + 2100, 5, 7, [["99", quantity, "0", "1"]]), feed=feed)
        for feed in (1, 2):
            await rig.feeds.hear(wire.update(BTC, T0_MS + 4100, 7, 8), feed=feed)
        await until(asked.is_set)
        await until(lambda: rig.of(noted.Conflicted))
        assert rig.of(noted.Disputed) == []
    answered.set()
    (disputed,) = rig.of(noted.Disputed)
    assert isinstance(disputed, noted.Disputed)
    assert disputed.to == utc_text(T0_MS + 4000)


async def test_what_waited_for_another_feed_until_the_end_is_in_the_last_minute(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        rig.feeds.begin(2)
        for feed in (1, 2):
            await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5), feed=feed)
        await rig.feeds.hear(wire.update(BTC, T0_MS + 2100, 5, 6), feed=2)
    assert rig.written(BTC) == [(500, False)]
    minutes = [event.instruments[BTC] for event in rig.of(noted.Minute) if BTC in event.instruments]  # type: ignore[attr-defined]
    assert (sum(one.due for one in minutes), sum(one.lines for one in minutes)) == (1, 1)


async def test_lines_from_the_future_are_moved_out_once_okx_has_told_its_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    future = LineWriter(rig.layout)
    future.append(line(3_600_000))
    future.close()
    rig.rest.server_ms = T0_MS + 1000
    async with rig.recording():
        await rig.feeds.say(sampled(2000))
    assert rig.written(BTC) == [(2000, False)]
    (moved,) = rig.of(noted.SetAside)
    assert isinstance(moved, noted.SetAside)
    assert (moved.lines, moved.from_) == (1, utc_text(T0_MS + 3_600_000))


async def test_without_okx_s_time_no_line_is_moved_and_each_hour_goes_on_where_it_ended(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    before = LineWriter(rig.layout)
    before.append(line(2000))
    before.append(line(3_600_000))
    before.close()
    async with rig.recording():
        await rig.feeds.say(sampled(2000), sampled(4000))
    assert rig.of(noted.SetAside) == []
    assert rig.written(BTC) == [(2000, False), (4000, False), (3_600_000, False)]


async def test_cadence_and_depth_of_the_settings_decide_what_is_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path, cadence_sec=1.0, depth=1)
    async with rig.recording():
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await rig.feeds.hear(wire.update(BTC, T0_MS + 1100, 5, 6))
    (path,) = rig.layout.instrument_folder(BTC).glob("*/*.jsonl")
    (written,) = [json.loads(text) for text in path.read_bytes().splitlines()]
    assert written["bids_top1"] == [wire.BIDS[0]]


@pytest.mark.parametrize("is_asked", [True, False])
async def test_a_stream_that_nothing_verifies_is_recorded_where_the_settings_ask_for_it(
    tmp_path: Path, is_asked: bool
) -> None:
    rig = Rig(tmp_path, record_unverifiable=is_asked)
    without: dict[str, object] = {"seqId": None, "prevSeqId": None}
    async with rig.recording():
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5, **without))
        for ms in (1100, 2100, 2200, 4100, 6100):
            await rig.feeds.hear(wire.update(BTC, T0_MS + ms, 5, 6, [["99", str(ms), "0", "1"]], **without))
    (found,) = rig.of(noted.Unverifiable)
    assert isinstance(found, noted.Unverifiable)
    assert found.is_recorded is is_asked
    assert bool(rig.written(BTC)) is is_asked


@pytest.mark.parametrize("server_ms", [T0_MS, None])
async def test_okx_s_time_proves_a_jump_wrong(tmp_path: Path, server_ms: int | None) -> None:
    rig = Rig(tmp_path)
    rig.rest.server_ms = server_ms
    async with rig.recording():
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        await rig.feeds.hear(wire.update(BTC, T0_MS + 500_000, 5, 6))
        await until(lambda: any(lost.cause == "clock" for lost in rig.of(noted.Lost)) or server_ms is None)  # type: ignore[attr-defined]
    assert any(lost.cause == "clock" for lost in rig.of(noted.Lost)) is (server_ms is not None)  # type: ignore[attr-defined]


async def test_what_waits_for_a_feed_that_brings_nothing_more_is_written_within_seconds(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        rig.feeds.begin(2)
        for feed in (1, 2):
            await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5), feed=feed)
        await rig.feeds.hear(wire.update(BTC, T0_MS + 2100, 5, 6), feed=2)
        await some_turns()
        assert rig.written(BTC) == [], "feed 1, in sync before it, may still bring the slot"
        for _ in range(12):
            rig.clock.advance(1000)
            await some_turns()
        await until(lambda: rig.written(BTC))
        assert rig.written(BTC) == [(500, False)]


async def test_a_feed_waits_while_the_disk_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, append = threading.Event(), LineWriter.append

    def slow(self: LineWriter, snapshot: Snapshot) -> None:
        assert gate.wait(10)
        append(self, snapshot)

    monkeypatch.setattr(LineWriter, "append", slow)
    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(sampled(2000))
        await until(lambda: rig.recorder._disk.waiting == 0)
        told = asyncio.create_task(rig.feeds.say(*[sampled(2000 * slot) for slot in range(2, QUEUE_LIMIT + 3)]))
        await some_turns()
        assert not told.done()
        gate.set()
        await asyncio.wait_for(told, 10)
    assert len(rig.written(BTC)) == QUEUE_LIMIT + 2


async def test_a_book_is_audited_when_it_joins_and_every_five_minutes(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        bids, asks = [[tuple(level) for level in side] for side in (wire.BIDS, wire.ASKS)]
        rig.rest.books[BTC] = BookChange(BTC, True, bids, asks, T0_MS + 500, 5, None, None)
        await rig.feeds.hear(wire.full(BTC, T0_MS + 500, 5))
        for _ in range(20):
            rig.clock.advance(100)
            await some_turns()
        await until(lambda: rig.of(noted.Audited))
        for second in range(1, round(AUDIT_EVERY_SEC) + 5):
            await rig.feeds.hear(wire.update(BTC, T0_MS + 500 + 1000 * second, 5, 5))
            rig.clock.advance(1000)
            await some_turns(5)
        await until(lambda: len(rig.of(noted.Audited)) == 2)
    assert {event.outcome for event in rig.of(noted.Audited)} == {"equal"}  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
async def test_a_vault_whose_meta_was_deleted_is_told_again_which_values_of_the_context_are_current(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    mark = ContextPush("mark-price", BTC, [Update("mark", BTC, Mark(T0_MS, "60000.5"))])
    async with rig.recording():
        await rig.feeds.say(FeedUp("ws://exchange.test"), mark)
        await passing(rig, lambda: bool(rig.of(ContextNoted)))
        for _ in range(2):
            await _settled_again(rig)  # the disk has looked after its files; the next look is a round away
        shutil.rmtree(tmp_path / "meta")
        await passing(rig, lambda: bool(rig.of(noted.VaultReplaced)) and bool(rig.of(ContextNoted)))
    told = [event for event in rig.of(ContextNoted) if isinstance(event, ContextNoted) and event.state == "present"]
    assert [(event.inst_id, list(event.kinds)) for event in told] == [(BTC, ["mark"])]


async def test_ids_that_no_feed_brought_are_a_hole_within_seconds_though_no_message_follows(tmp_path: Path) -> None:
    def traded(trade_id: int, ms: int) -> Traded:
        ts = str(T0_MS + ms)
        return Traded(BTC, [TradePush(BTC, str(trade_id), "100", "1", "buy", ts, "1", "0", None, 0, "ws")])

    async with Rig(tmp_path).recording() as rig:
        await rig.feeds.say(FeedUp("ws://exchange.test"), traded(1, 100), traded(5, 200))
        await passing(rig, lambda: bool(rig.of(TradesHole)))
        (hole,) = rig.of(TradesHole)
    assert isinstance(hole, TradesHole)
    assert (hole.inst_id, hole.from_id, hole.to_id) == (BTC, 2, 4)
