"""One limit over all connection attempts of the process, so that no trouble of any kind becomes a storm.

OKX: "Connection limit: 3 requests per second (based on IP)" (API guide, read 2026-11). It counts by this computer's
address, so feeds, hand-overs and every host share the one limit.
"""

import asyncio
from collections import deque
from typing import Final

from l2vault.clock import Clock

MOST_CONNECTS: Final = 3
WINDOW_MS: Final = 1_500
"""Half a second more than OKX's: it counts when an attempt arrives, and the way there (name, TCP, TLS) takes one longer
than the next."""


class ConnectLimiter:
    """Lets at most `MOST_CONNECTS` begin within any `WINDOW_MS`; who asked first goes first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_ms: deque[int] = deque(maxlen=MOST_CONNECTS)
        self._queue = asyncio.Lock()  # asyncio's locks are handed on in the order of asking

    async def turn(self) -> None:
        """Wait until one more connection may begin, and count it."""
        async with self._queue:
            while (wait_ms := self._wait_ms()) > 0:
                await self._clock.sleep(wait_ms / 1000)
            self._begun_ms.append(self._clock.monotonic_ms())

    def _wait_ms(self) -> int:
        if len(self._begun_ms) < MOST_CONNECTS:
            return 0
        return self._begun_ms[0] + WINDOW_MS - self._clock.monotonic_ms()
