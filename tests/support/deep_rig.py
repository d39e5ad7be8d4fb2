"""A recorder of samples alone, in a test's own time: no feed, REST of the made-up exchange, no thread."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from l2vault.config import Settings
from l2vault.recorder import Network, Recorder
from l2vault.recording.feeds import Deliver, Feeds
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.tasks import deep_books
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from support.deep_world import DeepWorld
from support.manual_clock import ManualClock, some_turns, until

BEFORE_MIDNIGHT_MS = 70_000


class NoFeeds(Feeds):
    """Nothing but samples is recorded."""

    def __init__(self) -> None:
        self.is_up = False

    async def run(self, count: int, pipelines: Pipelines, deliver: Deliver) -> None:
        self.is_up = True
        await asyncio.Event().wait()


def clock_before_midnight() -> ManualClock:
    clock = ManualClock()
    clock.wall_offset_ms -= BEFORE_MIDNIGHT_MS
    return clock


def ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """REST is asked in the loop itself, so that no test waits for a thread."""

    async def call(act: Callable[..., object], *args: object) -> object:
        return act(*args)

    monkeypatch.setattr(deep_books, "in_daemon_thread", call)


@asynccontextmanager
async def recording(root: Path, world: DeepWorld, clock: ManualClock, settings: Settings) -> AsyncIterator[Recorder]:
    feeds, stop = NoFeeds(), asyncio.Event()
    recorder = Recorder(settings, Layout(root), clock, Random(1), lambda text: None, Network(feeds, world.rest))
    task = asyncio.create_task(recorder.run(stop))
    await until(lambda: feeds.is_up or task.done())
    yield recorder
    stop.set()
    async with asyncio.timeout(10):
        await task


async def pass_sec(clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1000)
        await some_turns(30)


def noted(root: Path, kind: type) -> list:
    return [event for event in read_journal(Layout(root)) if isinstance(event, kind)]


def findings(root: Path, now_ms: int) -> list[str]:
    return [f"{each.file}: {each.text}" for each in Verification(Layout(root), now_ms).run()]
