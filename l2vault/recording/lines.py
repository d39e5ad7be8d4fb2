"""The lines of a recorder: how many, when each starts, and how one hands over to its successor before it ends.

Each line is a whole pipeline with a connection of its own and a number never used again. What they say goes to
`deliver` with that number; who is right among them is the arbiter's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from l2vault.clock import Clock
from l2vault.okx.messages import Notice
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.websocket import Line, LineOutput

STAGGER_SEC: Final = 3.0
"""Between the starts of two lines: OKX allows 3 connects a second, and what hits one start should miss the other."""
RENEW_AFTER_SEC: Final = 12 * 3600.0
"""A connection is replaced by plan before it ages; half a period apart with two lines."""
WATCH_SEC: Final = 0.5
SERVICE_UPGRADE: Final = "64008"

_log = logging.getLogger(__name__)

Deliver = Callable[[int, list[LineOutput]], Awaitable[None]]


@dataclass(slots=True)
class _Member:
    number: int
    line: Line
    pipeline: Pipeline
    renew_ms: int
    successor: "_Member | None" = None


class Lines:
    """`count` lines with the same subscriptions, for as long as `run` runs."""

    def __init__(
        self, url: str, new_pipeline: Callable[[], Pipeline], deliver: Deliver, clock: Clock, rng: Random
    ) -> None:
        self._url = url
        self._new_pipeline = new_pipeline
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._members: dict[int, _Member] = {}
        self.pipelines: dict[int, Pipeline] = {}
        """Each line's by its number, oldest first; the same object for as long as this lives."""
        self._numbers = 0
        self._group: asyncio.TaskGroup

    async def run(self, count: int) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for nth in range(count):
                self._start(nth * STAGGER_SEC, RENEW_AFTER_SEC * (nth + 1) / count)
            while True:
                await self._clock.sleep(WATCH_SEC)
                self._hand_over()

    def book_times(self) -> dict[str, int]:
        """Exchange time of each instrument in sync on any line."""
        times: dict[str, int] = {}
        for pipeline in self.pipelines.values():
            for inst_id, ms in pipeline.book_times().items():
                times[inst_id] = max(ms, times.get(inst_id, ms))
        return times

    def reconnect_all(self, reason: str) -> None:
        """Drop every connection now; each line connects again by itself."""
        for member in self._members.values():
            member.line.drop(reason)

    def reconnect(self, number: int, reason: str) -> None:
        """Drop the connection of one feed; it connects again by itself."""
        member = self._members.get(number)
        if member is not None:
            member.line.drop(reason)

    def _start(self, delay_sec: float, renew_sec: float) -> _Member:
        self._numbers += 1
        number, pipeline = self._numbers, self._new_pipeline()

        async def deliver(outputs: list[LineOutput]) -> None:
            for output in outputs:
                if isinstance(output, Notice) and output.code == SERVICE_UPGRADE:
                    member.renew_ms = self._clock.monotonic_ms()
            await self._deliver(number, outputs)

        line = Line(self._url, pipeline, deliver, self._clock, self._rng)
        renew_ms = self._clock.monotonic_ms() + round((delay_sec + renew_sec) * 1000)
        member = _Member(number, line, pipeline, renew_ms)
        self._members[number] = member
        self.pipelines[number] = pipeline
        self._group.create_task(self._live(member, delay_sec))
        return member

    async def _live(self, member: _Member, delay_sec: float) -> None:
        await self._clock.sleep(delay_sec)
        await member.line.run()
        del self._members[member.number], self.pipelines[member.number]

    def _hand_over(self) -> None:
        """Open the new connection before the old one dies; close the old one when nothing is lost by it."""
        now_ms = self._clock.monotonic_ms()
        for member in list(self._members.values()):
            if member.successor is None:
                if now_ms >= member.renew_ms:
                    member.successor = self._start(0.0, RENEW_AFTER_SEC)
                    member.line.retire()
                    _log.info("Line %d hands over to line %d", member.number, member.successor.number)
            elif member.pipeline.book_times().keys() <= member.successor.pipeline.book_times().keys():
                member.line.drop("handed over to its successor")
