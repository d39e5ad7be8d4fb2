"""REST books for whoever asks, under one limit: at most ten requests a second in all."""

from typing import Final

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange
from l2vault.book.price import price_key
from l2vault.clock import Clock
from l2vault.okx.rest import OkxRest
from l2vault.recording.threads import in_daemon_thread

SPACING_SEC: Final = 0.1
"""Between two requests: a quarter of the 40 in 2 s that OKX allows (docs, "Get order book", 2026-07)."""


class RestBooks:
    """`fetch` from any task of the event loop."""

    def __init__(self, rest: OkxRest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._free_ms = 0

    async def fetch(self, inst_id: str) -> BookChange:
        """A full book, once it is this caller's turn; raises RestError."""
        now_ms = self._clock.monotonic_ms()
        turn_ms = max(now_ms, self._free_ms)
        self._free_ms = turn_ms + round(SPACING_SEC * 1000)
        if turn_ms > now_ms:
            await self._clock.sleep((turn_ms - now_ms) / 1000)
        return await in_daemon_thread(self._rest.book, inst_id, CHANNEL_DEPTH)


def fault_of(rest: BookChange) -> str:
    """Why a REST book that differs from ours proves nothing: it could be no book of a live instrument."""
    if not rest.bids or not rest.asks:
        return "empty on a side"
    best_bid = max(price_key(level[0]) for level in rest.bids)
    best_ask = min(price_key(level[0]) for level in rest.asks)
    return "crossed" if best_bid >= best_ask else ""
