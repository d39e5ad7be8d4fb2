"""Retention inside the recorder: made by the hour with exactly its own policy, and ended with it."""

import asyncio
import gzip
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from l2vault.recording.tasks import retention_child
from l2vault.recording.tasks.retention import CLOSE_SEC, EVERY_SEC, FIRST_AFTER_SEC, Retention
from l2vault.recording.tasks.retention_child import Outcome
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Failure, Options, locked
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import contents, line
from support.manual_clock import ManualClock, some_turns, until

BTC = "BTC-USDT-SWAP"
FIRST_SEC = FIRST_AFTER_SEC + CLOSE_SEC


class Rig:
    def __init__(self, root: Path, policy: Policy | None = None) -> None:
        self.layout = Layout(root / "Vault")
        self.layout.root.mkdir(parents=True)
        self.clock = ManualClock()
        self.policy = policy or Policy()
        self.happened: list[str] = []
        self.act: Callable[[], Outcome] = Outcome
        self.exchange_ms: int | None = self.clock.wall_ms()

    def hour(self, hours_ago: int) -> Path:
        """A plain hour that ended so long ago, last written to then."""
        hour_ms = (self.clock.wall_ms() // HOUR_MS - hours_ago - 1) * HOUR_MS
        path = self.layout.hour_file(BTC, hour_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        snapshot = msgspec.structs.replace(line(0), inst_id=BTC, ts_ms=hour_ms)
        path.write_bytes(contents([snapshot]))
        os.utime(path, (hour_ms / 1000 + 3600,) * 2)
        return path

    def held(self) -> list[str]:
        """Names of the raw files that are left, in their order."""
        return sorted(path.name for path in (self.layout.root / "raw").rglob("*.jsonl*"))

    def pass_time(self) -> PassTime:
        return PassTime(self.clock.wall_ms(), self.exchange_ms)

    def _pass(self) -> Outcome:
        self.happened.append("pass")
        return self.act()

    @asynccontextmanager
    async def running(self, is_real: bool = False) -> AsyncIterator["asyncio.Task[None]"]:
        run_pass = None if is_real else self._pass
        close = lambda: self.happened.append("files closed")  # noqa: E731
        task = Retention(self.layout, self.policy, self.clock, self.pass_time, close, run_pass)
        self.task = asyncio.create_task(task.run())
        try:
            yield self.task
        finally:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def pass_sec(rig: Rig, seconds: float) -> None:
    await rig.clock.pass_time(round(seconds * 1000), lambda: bool(rig.clock._waiting()) or rig.task.done())


async def reach_a_pass(rig: Rig) -> None:
    """Up to the moment at which the first pass begins; it may not end."""
    for seconds in (FIRST_AFTER_SEC, CLOSE_SEC):
        await some_turns()
        rig.clock.advance(round(seconds * 1000))


async def test_a_pass_is_made_soon_after_the_start_and_every_hour_with_the_files_closed_before(rig: Rig) -> None:
    async with rig.running():
        await pass_sec(rig, FIRST_AFTER_SEC - 1)
        assert rig.happened == []
        await pass_sec(rig, 1)
        assert rig.happened == ["files closed"]
        await pass_sec(rig, CLOSE_SEC)
        await pass_sec(rig, 3 * (EVERY_SEC + CLOSE_SEC))
        assert rig.happened == ["files closed", "pass"] * 4
    assert EVERY_SEC == 3600


async def test_what_failed_on_single_files_is_logged_and_the_next_pass_comes(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.act = lambda: Outcome([Failure("raw/x.jsonl", "compress failed: no room")])
    async with rig.running():
        await pass_sec(rig, FIRST_SEC + EVERY_SEC + CLOSE_SEC)
    assert [record.getMessage() for record in caplog.records] == [
        "Retention failed on raw/x.jsonl: compress failed: no room"
    ] * 2


async def test_a_pass_that_can_make_more_room_soon_is_followed_by_one_then(rig: Rig) -> None:
    rig.act = lambda: Outcome(again_sec=300)
    async with rig.running():
        await pass_sec(rig, FIRST_SEC + 10 * (300 + CLOSE_SEC))
    assert rig.happened.count("pass") == 11


async def test_without_proved_time_nothing_is_deleted_by_this_machine_s_clock(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.exchange_ms = None
    rig.hour(24 * 20)
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert len(rig.held()) == 1


async def test_a_pass_that_cannot_be_made_leaves_the_task_by_its_error_for_the_supervisor(rig: Rig) -> None:
    def fail() -> Outcome:
        raise OSError(5, "Input/output error")

    rig.act = fail
    async with rig.running() as task:
        await reach_a_pass(rig)
        with pytest.raises(OSError, match="Input/output"):
            await asyncio.wait_for(task, 10)


async def test_the_recorder_s_own_policy_deletes_and_compresses(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Policy(compress_after_hours=3, delete_after_days=2))
    for hours_ago in (49, 30, 2):
        rig.hour(hours_ago)
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert len(rig.held()) == 2, "what is older than two days is gone"
    assert [name.endswith(".gz") for name in rig.held()].count(True) == 1


async def test_a_longer_delete_after_days_keeps_what_the_default_would_delete(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Policy(delete_after_days=30))
    rig.hour(24 * 20)
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert len(rig.held()) == 1


@pytest.mark.parametrize("is_archiving", [False, True])
async def test_another_config_file_and_the_environment_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_archiving: bool
) -> None:
    """A pass in a child process, which archiving needs, reads them as little as one in a thread."""
    if is_archiving:
        pytest.importorskip("pyarrow")
    (tmp_path / "l2vault.toml").write_text("min_free_gb = 1000000\ndelete_after_days = 0.01\nnonsense = true\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"DELETE_AFTER_DAYS": "0.01", "MIN_FREE_GB": "1000000", "VAULT": "elsewhere"}.items():
        monkeypatch.setenv(f"L2VAULT_{name}", value)
    rig = Rig(tmp_path, Policy(archive_days=40 if is_archiving else None, delete_after_days=30))
    paths = [rig.hour(hours_ago) for hours_ago in (24 * 6, 24 * 5, 2)]
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert len(rig.held()) == 3
    assert [path.name for path in paths if path.exists()] == [paths[2].name], "compressed by age, nothing else"
    assert gzip.decompress(paths[0].with_suffix(".jsonl.gz").read_bytes()).count(b"\n") == 1


@pytest.mark.parametrize("is_archiving", [False, True])
async def test_no_pass_of_the_recorder_reads_hours_for_coverage(tmp_path: Path, is_archiving: bool) -> None:
    """A hundred of them take twenty seconds of processor; a child of low priority does it, `closed_hours`."""
    if is_archiving:
        pytest.importorskip("pyarrow")
    rig = Rig(tmp_path, Policy(archive_days=40 if is_archiving else None))
    for hours_ago in (8, 7, 2):
        rig.hour(hours_ago)
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert sum(name.endswith(".gz") for name in rig.held()) == 2, "the pass was made"
    assert not (rig.layout.root / "meta" / "okx" / "checked").exists()


async def test_a_pass_that_finds_another_at_work_is_made_again_in_a_minute(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Policy(compress_after_hours=3))
    for hours_ago in (5, 2):
        rig.hour(hours_ago)
    with ExitStack() as other:
        other.enter_context(locked(rig.layout))
        async with rig.running(is_real=True):
            await pass_sec(rig, FIRST_SEC + 1)
            assert not any(name.endswith(".gz") for name in rig.held())
            other.close()
            await pass_sec(rig, 60 + CLOSE_SEC)
    assert any(name.endswith(".gz") for name in rig.held())


async def test_a_child_process_archives_by_the_policy_it_is_handed(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rig = Rig(tmp_path, Policy(archive_days=40, delete_after_days=2))
    rig.hour(24 * 3)
    async with rig.running(is_real=True):
        await pass_sec(rig, FIRST_SEC + 1)
    assert rig.held() == []
    assert list(rig.layout.root.rglob("*.parquet"))


async def test_a_child_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Policy(archive_days=40))
    (rig.layout.root / "raw").write_text("a file where a folder belongs")
    rig.layout.root.rename(tmp_path / "moved")
    async with rig.running(is_real=True) as task:
        await reach_a_pass(rig)
        with pytest.raises(Exception, match="the retention pass failed with code 1: no vault at"):
            await asyncio.wait_for(task, 30)


async def test_the_task_ends_at_once_and_a_pass_in_a_thread_between_two_files(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, steps, is_inside = threading.Event(), list[int](), threading.Event()

    def slow(layout: Layout, policy: Policy, time: PassTime, journal: object, options: Options) -> object:
        is_inside.set()
        assert gate.wait(10)
        for step in range(3):
            assert options.progress is not None
            options.progress(step, 3, "a file")
            steps.append(step)
        raise AssertionError("it should have ended")

    monkeypatch.setattr(retention_child, "run_retention", slow)
    async with rig.running(is_real=True) as task:
        await reach_a_pass(rig)
        await until(is_inside.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    gate.set()
    await until(lambda: "_pass" not in [thread.name for thread in threading.enumerate()])
    assert steps == []


async def test_a_child_process_ends_with_the_recorder(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.policy = Policy(archive_days=40)
    started = []

    class Child:
        returncode = -15

        def __init__(self, order: bytes | None = None) -> None:
            self.ended = threading.Event()
            self.order = order
            started.append(self)

        def communicate(self, order: bytes) -> tuple[bytes, bytes]:
            self.order = order
            assert self.ended.wait(10)
            return b"", b"terminated"

        def terminate(self) -> None:
            self.ended.set()

    monkeypatch.setattr("l2vault.recording.child.start_child", lambda words, module, **popen: Child())
    async with rig.running(is_real=True) as task:
        await reach_a_pass(rig)
        await until(lambda: started and started[0].order)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert started[0].ended.is_set()
    assert json.loads(started[0].order) == {
        "vault": str(rig.layout.root.resolve()),
        "wall_ms": rig.clock.wall_ms(),
        "exchange_ms": rig.exchange_ms,
        "trust_clock": False,
        "policy": {
            "compress_after_hours": 6,
            "delete_after_days": 5,
            "archive_days": 40,
            "max_bytes": None,
            "min_free_bytes": None,
            "keep_until_pushed": "",
        },
    }
