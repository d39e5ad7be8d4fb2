"""The law of optional tasks: whatever one raises, the recorder keeps recording, the journal names it, it comes back."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, suppress
from itertools import cycle
from pathlib import Path
from random import Random

import msgspec
import psutil
import pytest

from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot, from_line
from l2vault.book.trade import TradePush
from l2vault.config import Settings
from l2vault.okx.outputs import Traded
from l2vault.okx.pipeline import Sampled
from l2vault.okx.rest import OkxRest, ServerTime, Unavailable
from l2vault.okx.trade_chain import TradeChain, TradeOutput
from l2vault.recorder import Network, Recorder
from l2vault.recording.feeds import Deliver, Feeds
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.tasks.retention_child import Outcome
from l2vault.vault.health.form import Health, read_health
from l2vault.vault.journal.events import ClockSkew, Stopped, TaskFailed
from l2vault.vault.journal.log import read_journal
from l2vault.vault.journal.trade_events import TradesHole, TradesMissing
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import contents, line
from support.manual_clock import ManualClock, some_turns, until

BTC = "BTC-USDT-SWAP"
T0_MS = 1_767_225_600_000
OPTIONAL = (
    "clock",
    "metadata",
    "audit",
    "trades",
    "retention",
    "closed hours",
    "health",
    "service",
    "memory",
    "beat",
    "summary",
    "status",
    "watch",
)
Task = Callable[[], Coroutine[object, object, object]]


class FakeFeeds(Feeds):
    """In place of the sockets: whatever the test says, a feed reports."""

    def __init__(self) -> None:
        self.is_up = False

    async def run(self, count: int, pipelines: Pipelines, deliver: Deliver) -> None:
        self.deliver = deliver
        self.is_up = True
        await asyncio.Event().wait()

    def reconnect(self, number: int, reason: str, next_address: bool = False) -> None:
        pass


class FakeRest(OkxRest):
    """No network, unless a test raises something else."""

    error: Exception = Unavailable("no answer.", "check the network")

    def __init__(self) -> None:
        self.is_closed = False

    def instrument(self, inst_id: str) -> bytes:
        raise self.error

    def book(self, inst_id: str, depth: int) -> BookChange:
        raise self.error

    def server_time(self, monotonic_ms: object) -> ServerTime:
        raise self.error

    def close(self) -> None:
        self.is_closed = True


class Rig:
    def __init__(self, root: Path, **changes: object) -> None:
        self.layout = Layout(root)
        self.clock = ManualClock()
        self.stop = asyncio.Event()
        settings = msgspec.structs.replace(Settings(instruments=(BTC,), feeds=1), **changes)
        self.feeds, self.rest = FakeFeeds(), FakeRest()
        network = Network(self.feeds, self.rest)
        self.recorder = Recorder(settings, self.layout, self.clock, Random(1), lambda text: None, network)
        self.slots = 0

    @asynccontextmanager
    async def recording(self) -> AsyncIterator["Rig"]:
        task = asyncio.create_task(self.recorder.run(self.stop))
        while not self.feeds.is_up:  # OKX's time is waited for first, for two seconds at most
            self.clock.advance(200)
            await some_turns(20)
            assert not task.done()
        try:
            yield self
        finally:
            self.stop.set()
            async with asyncio.timeout(10):
                await task

    async def write_a_line(self) -> None:
        self.slots += 1
        ms = T0_MS + 2000 * self.slots
        levels = [("1", "1", "0", "1")], [("2", "1", "0", "1")]
        snapshot = Snapshot(BTC, ms, 400, *levels, 0, self.slots, self.slots - 1)
        await self.feeds.deliver(1, [Sampled(snapshot, ms, ms + 100)])

    def failed(self) -> list[TaskFailed]:
        return [event for event in read_journal(self.layout) if isinstance(event, TaskFailed)]

    def written(self) -> int:
        files = self.layout.instrument_folder(BTC).glob("*/*.jsonl")
        return sum(not from_line(text).gap_detected for file in files for text in file.read_bytes().splitlines())


def trade(trade_id: int) -> TradePush:
    return TradePush(BTC, str(trade_id), "1", "1", "buy", str(T0_MS - 60_000), "1", "0", None, 0, "ws")


async def pass_sec(rig: Rig, seconds: int) -> None:
    for _ in range(seconds * 5):
        rig.clock.advance(200)
        await some_turns(20)


def test_everything_but_feeds_and_disk_is_optional(tmp_path: Path) -> None:
    assert tuple(name for name, _ in Rig(tmp_path).recorder._optional()) == OPTIONAL


ERRORS = [ValueError("x"), KeyError("x"), OSError(5, "x"), RecursionError("x")]


@pytest.mark.parametrize(("name", "error"), list(zip(OPTIONAL, cycle(ERRORS), strict=False)))
async def test_whatever_an_optional_task_raises_recording_goes_on_and_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    starts: list[int] = []
    optional = Recorder._optional

    def failing(task: Task) -> Task:
        async def run() -> None:
            starts.append(1)
            if len(starts) < 3:
                raise error
            await task()

        return run

    def with_a_fault(recorder: Recorder) -> Iterator[tuple[str, Task]]:
        for each, task in optional(recorder):
            yield each, failing(task) if each == name else task

    monkeypatch.setattr(Recorder, "_optional", with_a_fault)
    async with Rig(tmp_path).recording() as rig:
        await rig.write_a_line()
        await pass_sec(rig, 5)
        await rig.write_a_line()
        assert len(starts) == 3
    assert rig.written() == 2
    assert [(event.task, type(error).__name__ in event.error) for event in rig.failed()] == [(name, True)] * 2
    events = list(read_journal(rig.layout))
    assert isinstance(events[-1], Stopped)
    assert events[-1].reason == "asked to stop"


async def test_whatever_rest_raises_recording_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRest, "error", KeyError("a bug of ours"))
    async with Rig(tmp_path).recording() as rig:
        for _ in range(3):
            await rig.write_a_line()
            await pass_sec(rig, 3)
    assert rig.written() == 3
    assert {"clock", "metadata"} <= {event.task for event in rig.failed()}


async def test_a_status_line_that_cannot_be_shown_ends_nothing(tmp_path: Path) -> None:
    def broken(text: str) -> None:
        raise OSError(32, "Broken pipe")

    rig = Rig(tmp_path)
    rig.recorder._show_status = broken
    async with rig.recording():
        await pass_sec(rig, 10)
        await rig.write_a_line()
    assert rig.written() == 1
    assert {event.task for event in rig.failed()} == {"status"}


async def test_the_skew_of_what_the_feeds_bring_reaches_the_journal(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        rig.clock.wall_offset_ms += 5 * 3_600_000
        await rig.write_a_line()
        await pass_sec(rig, 10)
    (skew,) = [event for event in read_journal(rig.layout) if isinstance(event, ClockSkew)]
    assert skew.samples == 1
    assert skew.median_ms == pytest.approx(5 * 3_600_000, abs=10_000)


async def test_a_pass_of_retention_finds_no_data_file_open(tmp_path: Path) -> None:
    """Windows deletes and renames no open file, and a silent instrument keeps an hour long past open."""
    process = psutil.Process()

    def is_open() -> bool:
        return any(file.path.endswith(".jsonl") and BTC in file.path for file in process.open_files())

    async with Rig(tmp_path).recording() as rig:
        await rig.write_a_line()
        await until(is_open)
        await pass_sec(rig, 50)
        assert is_open()
        await pass_sec(rig, 12)
        await until(lambda: not is_open())


async def test_a_run_that_ends_while_its_trades_have_failed_names_the_ids_that_its_files_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain that would have named them is not to be relied on: what stands on the disk is."""

    def broken(*_: object) -> list[TradeOutput]:
        raise KeyError("a bug of ours")

    async with Rig(tmp_path).recording() as rig:
        for trade_id in (7, 8, 11):
            await rig.feeds.deliver(1, [Traded(BTC, [trade(trade_id)])])
        monkeypatch.setattr(TradeChain, "offer", broken)
        await rig.feeds.deliver(1, [Traded(BTC, [trade(12)])])
    events = list(read_journal(rig.layout))
    (hole,) = [event for event in events if isinstance(event, TradesHole)]
    (missing,) = [event for event in events if isinstance(event, TradesMissing)]
    assert (hole.from_id, hole.to_id, hole.cause) == (9, 10, "task_failed")
    assert (missing.from_id, missing.to_id, missing.detail) == (9, 10, "the recorder stopped")


def write_hour(rig: Rig, hours_ago: int) -> Path:
    hour_ms = (rig.clock.wall_ms() // HOUR_MS - hours_ago) * HOUR_MS
    path = rig.layout.hour_file(BTC, hour_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents([msgspec.structs.replace(line(0), inst_id=BTC, ts_ms=hour_ms)]))
    os.utime(path, (hour_ms / 1000 + 3600,) * 2)
    return path


@pytest.mark.parametrize(("days", "trusts", "is_kept"), [(2, True, False), (4, True, True), (2, False, True)])
async def test_retention_acts_by_the_recorder_s_own_settings_and_by_no_clock_that_is_not_trusted(
    tmp_path: Path, days: int, trusts: bool, is_kept: bool
) -> None:
    rig = Rig(tmp_path, delete_after_days=days, trust_clock=trusts, compress_after_hours=1)
    newest = write_hour(rig, hours_ago=1)
    old = write_hour(rig, hours_ago=72)
    passes: list[int] = []
    run_pass = rig.recorder._retention._run_pass

    def counted() -> Outcome:
        outcome = run_pass()
        passes.append(1)
        return outcome

    rig.recorder._retention._run_pass = counted
    async with rig.recording():
        await pass_sec(rig, 62)
        await until(lambda: passes)
    assert [any(path.parent.glob(f"{path.name}*")) for path in (old, newest)] == [is_kept, True], "compressed or not"


async def test_a_stop_closes_what_waits_for_rest(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        pass
    assert rig.rest.is_closed


@pytest.mark.parametrize("peer", ["drips", "is silent"])
def test_the_process_ends_within_seconds_whatever_rest_does(tmp_path: Path, peer: str) -> None:
    """A whole process, since what could keep it from ending are its threads."""
    is_over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" if peer == "drips" else b"")
            while not is_over.wait(0.2):
                connection.sendall(b" " if peer == "drips" else b"")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        words = ["record", "--inst", BTC, "--vault", "v", "--log-file", "l.log", "--duration", "2", "--rest-url", url]
        command = [sys.executable, "-m", "l2vault", *words, "--ws-url", "ws://127.0.0.1:9/ws/v5/public"]
        # What waits for such a peer waits without end; the rest is for a busy machine.
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        is_over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


async def until_written(rig: Rig, is_so: Callable[[Health], bool]) -> Health:
    """The first health file for which it holds, within a minute of the recorder's time."""
    for _ in range(12):
        await pass_sec(rig, 5)
        found = await asyncio.to_thread(read_health, rig.layout)
        if found is not None and is_so(found):
            return found
    raise AssertionError("no such file was written")


async def test_the_health_file_says_how_the_recorder_is(tmp_path: Path) -> None:
    async with Rig(tmp_path).recording() as rig:
        await rig.write_a_line()
        await rig.feeds.deliver(1, [Traded(BTC, [trade(7)])])
        health = await until_written(rig, lambda found: found.counts.lines == found.counts.trade_lines == 1)
        again = await until_written(rig, lambda found: found.written > health.written)
    assert (health.pid, health.instruments[0].inst_id, health.instruments[0].lines) == (os.getpid(), BTC, 1)
    assert health.run == again.run != ""
    assert health.disk.free_bytes is not None and health.disk.free_bytes > 0
    assert {"clock", "metadata"}.isdisjoint(task.task for task in health.tasks), "that REST is not there is no failure"


async def test_the_health_file_says_how_much_waits_for_a_push(tmp_path: Path) -> None:
    store = {"push_url": (tmp_path / "store").as_uri(), "keep_until_pushed": True}
    rig = Rig(tmp_path / "Vault", delete_after_days=0.5, **store)
    for age in (1, 24):
        path = rig.layout.hour_file(BTC, T0_MS - age * HOUR_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.gz").write_bytes(bytes(age * 100))
    async with rig.recording():
        health = await until_written(rig, lambda found: True)
    assert (health.disk.unpushed_bytes, health.disk.bounded_by) == (2400, None)
    assert health.disk.days_left is not None


def _bar(path: Path) -> None:
    """A folder where the file was: nothing can be put in its place. A thread may be writing the file meanwhile."""
    while not path.is_dir():
        path.unlink(missing_ok=True)
        with suppress(FileExistsError):
            path.mkdir()


async def test_a_health_file_that_cannot_be_written_ends_nothing_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig(tmp_path).recording() as rig:
        await until_written(rig, lambda found: True)
        _bar(rig.layout.health_file)
        await pass_sec(rig, 30)
        await until(lambda: "health.json" in caplog.text)
        await rig.write_a_line()
        rig.layout.health_file.rmdir()
        health = await until_written(rig, lambda found: found.counts.lines == 1)
    assert health.tasks == [] and rig.failed() == [], "it is no failure of the task, which goes on at once"
    assert caplog.text.count("Cannot write") == 1
    assert rig.written() == 1
