"""OKX's own book by REST: to audit ours every few minutes, and to seed one for which no full book came.

One worker, one request at a time, far under OKX's limit; never in capture's way. The pipeline judges what is found.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.pipeline import Output, Pipeline
from l2vault.okx.rest import OkxRest
from l2vault.vault.journal.events import Audited, Event

AUDIT_EVERY_SEC: Final = 300.0
"""Each instrument, one line at a time."""
SPACING_SEC: Final = 0.1
"""Between two requests: OKX allows 40 in 2 s."""
ATTEMPTS: Final = 5
"""Requests for one audit: REST has several caches, some older than where the audit began."""
CATCH_UP_SEC: Final = 0.2
CATCH_UPS: Final = 15
"""A REST book ahead of the stream is judged again that often."""

_log = logging.getLogger(__name__)

Deliver = Callable[[int, list[Output]], None]


class Auditor:
    """`run` until cancelled; `need_book` may be called at any time from the event loop."""

    def __init__(self, rest: OkxRest, clock: Clock, note: Callable[[Event], None], deliver: Deliver) -> None:
        self._rest = rest
        self._clock = clock
        self._note = note
        self._deliver = deliver
        self._needed: dict[tuple[int, str], None] = {}
        self._due: list[tuple[int, str]] = []
        self.pipelines: Mapping[int, Pipeline] = {}

    def need_book(self, number: int, inst_id: str) -> None:
        """A line has updates of this instrument but no full book."""
        self._needed[number, inst_id] = None

    async def run(self, inst_ids: tuple[str, ...]) -> None:
        next_round_ms = self._clock.monotonic_ms() + round(AUDIT_EVERY_SEC * 1000)
        while True:
            await self._clock.sleep(SPACING_SEC)
            if self._needed:
                number, inst_id = next(iter(self._needed))
                del self._needed[number, inst_id]
                await self._seed(number, inst_id)
            elif self._due:
                await self._audit(*self._due.pop(0))
            elif self._clock.monotonic_ms() >= next_round_ms:
                next_round_ms += round(AUDIT_EVERY_SEC * 1000)
                self._due = [(number, inst_id) for number in self.pipelines for inst_id in inst_ids]

    async def _seed(self, number: int, inst_id: str) -> None:
        try:
            full = await self._fetch(inst_id)
        except RestError as error:
            _log.warning("%s has no full book on line %d, and REST gives none: %s", inst_id, number, error)
            return
        pipeline = self.pipelines.get(number)
        if pipeline is not None:
            self._deliver(number, pipeline.join_rest_book(full, self._clock.monotonic_ms()))

    async def _audit(self, number: int, inst_id: str) -> None:
        pipeline = self.pipelines.get(number)
        if pipeline is None or not pipeline.begin_audit(inst_id):
            return
        try:
            for _ in range(ATTEMPTS):
                if await self._judge(number, pipeline, inst_id):
                    return
                await self._clock.sleep(SPACING_SEC)
            self._note(Audited(self._at(), number, inst_id, "older", None, f"{ATTEMPTS} REST books, all older"))
        except RestError as error:
            self._note(Audited(self._at(), number, inst_id, "unavailable", None, str(error)))
        finally:
            pipeline.end_audit(inst_id)

    async def _judge(self, number: int, pipeline: Pipeline, inst_id: str) -> bool:
        """One REST book against ours; whether that settled it."""
        rest = await self._fetch(inst_id)
        verdict = pipeline.judge(rest)
        for _ in range(CATCH_UPS):
            if verdict is None or verdict.outcome != "ahead":
                break
            await self._clock.sleep(CATCH_UP_SEC)
            verdict = pipeline.judge(rest)
        if verdict is None:
            return True  # the book was lost meanwhile; the journal has that
        if verdict.outcome == "older":
            return False
        self._note(Audited(self._at(), number, inst_id, verdict.outcome, rest.seq_id, verdict.detail))
        if verdict.outcome == "mismatch":
            _log.error("Audit of %s on line %d against REST: %s", inst_id, number, verdict.detail)
            self._deliver(number, pipeline.doubt(inst_id, "audit", verdict.detail, self._clock.monotonic_ms()))
        return True

    async def _fetch(self, inst_id: str) -> BookChange:
        return await asyncio.to_thread(self._rest.book, inst_id, CHANNEL_DEPTH)

    def _at(self) -> str:
        return utc_text(self._clock.wall_ms())
