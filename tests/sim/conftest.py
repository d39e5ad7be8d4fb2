"""What tests of the built-in exchange share: a clock that stands still until told, and the folder of real captures."""

import asyncio
from pathlib import Path

import pytest

from l2vault.clock import Clock
from support.captured import CAPTURES


class ManualClock(Clock):
    """Time passes only by `advance`, and whoever sleeps wakes when his time has come."""

    def __init__(self) -> None:
        self._now_ms = 1_000_000
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._changed = asyncio.Condition()

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self._now_ms

    def wall_us(self) -> int:
        return self.wall_ms() * 1000

    def monotonic_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((round(self._now_ms + seconds * 1000, 3), awake))
        async with self._changed:
            self._changed.notify_all()
        await awake

    async def somebody_sleeps(self, milliseconds: float) -> None:
        """Returns once somebody sleeps until exactly that long from now."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: any(due == self._now_ms + milliseconds for due, awake in self._sleepers if not awake.done())
            )

    def advance(self, milliseconds: int) -> None:
        self._now_ms += milliseconds
        for due, awake in self._sleepers:
            if due <= self._now_ms and not awake.done():
                awake.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def captures() -> Path:
    if not CAPTURES.is_dir():
        pytest.skip(f"no real captures: {CAPTURES} is not there")
    return CAPTURES
