"""One limit over all connection attempts of the process, so that no trouble of any kind becomes a storm.

OKX: "Connection limit: 3 requests per second (based on IP)" (API guide, read 2026-11). It counts by this computer's
address, so feeds, hand-overs and every host share the one limit.

OKX counts an attempt when it arrives. The way there (name, TCP, TLS) may take one attempt seconds longer than the next,
so an attempt counts from its begin until a second after its end, whenever in between it arrived.
"""

import asyncio
from types import TracebackType
from typing import Final

from l2vault.clock import Clock

MOST_CONNECTS: Final = 3
WINDOW_MS: Final = 1_100
"""OKX's second, and a tenth of it for clocks of another pace."""


class Attempt:
    """One that may begin now: enter it, and leave it once the connection stands or has failed."""

    def __init__(self, limiter: "ConnectLimiter") -> None:
        self._limiter = limiter

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._limiter.end(self)


class ConnectLimiter:
    """At most `MOST_CONNECTS` are on their way or ended within the last `WINDOW_MS`; who asked first goes first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended_ms: dict[Attempt, int | None] = {}
        """Attempts that count; None while one is on its way."""
        self._some_ended = asyncio.Event()
        self._queue = asyncio.Lock()  # asyncio's locks are handed on in the order of asking

    async def turn(self) -> Attempt:
        """Wait until one more connection may begin; the caller enters what it gets at once."""
        async with self._queue:
            while self._is_full():
                await self._wait()
            attempt = Attempt(self)
            self._ended_ms[attempt] = None
            return attempt

    def end(self, attempt: Attempt) -> None:
        """It has arrived, or never will."""
        self._ended_ms[attempt] = self._clock.monotonic_ms()
        self._some_ended.set()

    def _is_full(self) -> bool:
        after_ms = self._clock.monotonic_ms() - WINDOW_MS
        self._ended_ms = {one: ms for one, ms in self._ended_ms.items() if ms is None or ms > after_ms}
        return len(self._ended_ms) >= MOST_CONNECTS

    async def _wait(self) -> None:
        """Until the oldest of those that have ended counts no more; where none has, until one does."""
        ended = [ms for ms in self._ended_ms.values() if ms is not None]
        if ended:
            await self._clock.sleep((min(ended) + WINDOW_MS - self._clock.monotonic_ms()) / 1000)
        else:
            self._some_ended.clear()
            await self._some_ended.wait()
