"""A clock that stands still until a test moves it, for whatever takes an `l2vault.clock.Clock`."""

import asyncio
from collections.abc import Callable

from l2vault.clock import Clock

WITHIN_SEC = 10


class ManualClock(Clock):
    """Starts at 2026-01-01T00:00:00Z. Whoever sleeps wakes when `advance` has passed his time, and not before."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.wall_offset_ms = 1_767_225_600_000 - self.now_ms
        self.asleep_ms = 0
        """For how long the host has slept."""
        self.slept_sec: list[float] = []
        """Every sleep asked for, in order."""
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def wall_ms(self) -> int:
        return self.wall_offset_ms + self.now_ms

    def wall_us(self) -> int:
        return self.wall_ms() * 1000

    def monotonic_ms(self) -> int:
        return self.now_ms

    def elapsed_ms(self) -> int:
        return self.now_ms + self.asleep_ms

    async def sleep(self, seconds: float) -> None:
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slept_sec.append(seconds)
        self._sleepers.append((self.now_ms + round(seconds * 1000), awake))
        await awake

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        for due_ms, awake in self._sleepers:
            if due_ms <= self.now_ms and not awake.done():
                awake.set_result(None)

    async def pass_time(self, milliseconds: int, is_settled: Callable[[], bool] | None = None) -> None:
        """Advance from one sleeper's time to the next, letting each act until `is_settled`: by default, that
        somebody sleeps again."""
        end_ms = self.now_ms + milliseconds
        settled = is_settled or (lambda: bool(self._waiting()))
        while True:
            await until(settled)
            due_ms = min(self._waiting(), default=end_ms)
            if due_ms > end_ms:
                break
            self.advance(due_ms - self.now_ms)
            if due_ms == end_ms:
                await until(settled)
                return
        self.advance(end_ms - self.now_ms)

    def _waiting(self) -> list[int]:
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]
        return [due_ms for due_ms, _ in self._sleepers]


async def until(condition: Callable[[], object]) -> None:
    """Give everything else its turns until `condition` holds; fails the test if it never does."""
    async with asyncio.timeout(WITHIN_SEC):
        while not condition():  # noqa: ASYNC110  (what changes it may be a thread)
            await asyncio.sleep(0)


async def some_turns(turns: int = 50) -> None:
    """For what must not happen: everything that can act without time passing has acted."""
    for _ in range(turns):
        await asyncio.sleep(0)
