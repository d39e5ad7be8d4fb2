"""Asks REST for the deep books, or the RPI books, each chosen instrument every 30 s, one request at a time and well
under OKX's limit.

Whatever REST answers ends nothing: a sample that cannot be had is noted, and asked for again soon.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from l2vault.book.deep import DEEP_EVERY_MS, DeepSample
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.exchange_time import FUTURE_MS
from l2vault.okx.rest import Throttled, TryLater, wait_sec
from l2vault.recording.deep import DeepKeeper
from l2vault.recording.threads import in_daemon_thread

SPACING_SEC: Final = 0.5
"""Between two requests of an endpoint: 4 in 2 s, where OKX allows an address 10 of `books-full` (docs, "Get full order
book", 2026-07) and 20 of `books-rpi` (docs, "GET / RPI order book", 2026-08)."""
RETRY_MS: Final = 10_000
"""After a request that brought no sample."""


@dataclass(frozen=True, slots=True)
class DeepBooks:
    """`run` until cancelled. `ask` is the method of `OkxRest` that gives a sample; `exchange_ms` is proved exchange
    time, None while unknown; `room` returns when the disk can take more; `keeper` gives the one at work."""

    ask: Callable[[str, Callable[[], int]], DeepSample]
    clock: Clock
    keeper: Callable[[], DeepKeeper]
    exchange_ms: Callable[[], int | None]
    room: Callable[[], Awaitable[None]]

    async def run(self, inst_ids: Sequence[str]) -> None:
        """Each instrument has its own place in the 30 s, so that requests are spread over them."""
        now_ms = self.clock.monotonic_ms()
        due_ms = {inst_id: now_ms + at * DEEP_EVERY_MS // len(inst_ids) for at, inst_id in enumerate(inst_ids)}
        beat_ms = dict(due_ms)
        while True:
            inst_id = min(due_ms, key=due_ms.__getitem__)
            now_ms = self.clock.monotonic_ms()
            if due_ms[inst_id] > now_ms:
                await self.clock.sleep((due_ms[inst_id] - now_ms) / 1000)
            await self.room()
            retry_ms = await self._sample(inst_id)
            now_ms = self.clock.monotonic_ms()
            while beat_ms[inst_id] <= now_ms:
                beat_ms[inst_id] += DEEP_EVERY_MS
            due_ms[inst_id] = beat_ms[inst_id]
            if retry_ms is not None:
                due_ms[inst_id] = now_ms + retry_ms if retry_ms > RETRY_MS else min(now_ms + retry_ms, due_ms[inst_id])
            await self.clock.sleep(SPACING_SEC)

    async def _sample(self, inst_id: str) -> int | None:
        """Ask once; where that brought nothing, after how many milliseconds to ask again, before the next beat."""
        if not self.keeper().is_due(inst_id):
            return None
        try:
            sample = await in_daemon_thread(self.ask, inst_id, self.clock.wall_us)
        except RestError as error:
            self.keeper().missed(inst_id, _cause_of(error), error.message)
            return round(wait_sec(error, RETRY_MS / 1000) * 1000)
        now_ms = self.exchange_ms()
        if now_ms is not None and sample.ts_ms > now_ms + FUTURE_MS:
            self.keeper().missed(inst_id, "clock", "the answer's time lies in the future")
            return RETRY_MS
        return None if self.keeper().take(sample) else RETRY_MS


def _cause_of(error: RestError) -> str:
    if isinstance(error, Throttled):
        return "throttled"
    return "unavailable" if isinstance(error, TryLater) else "refused"
