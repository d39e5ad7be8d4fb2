"""Audits in their order: who comes first, one REST book for all feeds of an instrument, and when to look again.

What a verdict means for the slots is said by whoever gets the `Audited`; a feed with a mismatch resyncs. A feed that
has just joined is audited before anything periodic. Nothing is claimed where REST gives no book. One request at a time,
whatever waits.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from l2vault.book.change import BookChange
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.audit import Verdict
from l2vault.okx.backoff import Backoff
from l2vault.okx.pipeline import Output, Pipeline
from l2vault.okx.rest import TryLater, wait_sec
from l2vault.recording.tasks.rest_books import RestBooks, fault_of
from l2vault.vault.journal.events import Audited, Event

AUDIT_EVERY_SEC: Final = 300.0
"""Each instrument, all its feeds against one REST book."""
LOOK_SEC: Final = 0.1
ATTEMPTS: Final = 5
"""Requests for one audit: REST has several caches, some older than where the audit began."""
ATTEMPT_SEC: Final = 0.5
CATCH_UP_SEC: Final = 0.2
CATCH_UPS: Final = 15
"""A REST book ahead of the stream is judged again that often."""
MOST_OPEN: Final = 16
"""Audits that wait for the stream or for a newer REST book, at a time: each keeps a copy of a book a feed."""
FIRST_RETRY_SEC: Final = 5.0
LONGEST_RETRY_SEC: Final = 300.0
AGAIN_SEC: Final = 15.0
AGAIN_TIMES: Final = 4
"""An audit after a join that confirmed nothing is made again so much later, so often; then it is periodic."""

_log = logging.getLogger(__name__)


class Findings(Protocol):
    """Where what an audit finds goes: `recording.router`."""

    def take(self, number: int, outputs: Sequence[Output]) -> None:
        """What a feed's pipeline makes of a REST book."""

    def note(self, event: Event) -> None:
        """An event for the journal."""

    def rule(self, inst_id: str, wrong: int | None, detail: str) -> None:
        """Which of two feeds that differ was found wrong, and why; None where nothing decides."""


@dataclass(slots=True)
class _Stretch:
    """What a feed holds since its join, and how many audits of it settled nothing."""

    is_confirmed: bool = False
    tries: int = 0


@dataclass(slots=True)
class _Round:
    """One audit of an instrument; `feeds` are those not judged yet."""

    inst_id: str
    feeds: set[int]
    next_ms: int
    attempts: int = 0
    ahead: BookChange | None = None
    catch_ups: int = 0


class Rounds:
    """`run` until cancelled; every other method may be called at any time from the event loop."""

    def __init__(
        self,
        books: RestBooks,
        clock: Clock,
        rng: Random,
        pipelines: Mapping[int, Pipeline],
    ) -> None:
        self._books = books
        self._clock = clock
        self._pipelines = pipelines
        self._findings: Findings
        self._backoff = Backoff(FIRST_RETRY_SEC, LONGEST_RETRY_SEC, rng)
        self._resume_ms = 0
        """Until then REST is left alone: it did not answer."""
        self._stretches: dict[tuple[int, str], _Stretch] = {}
        self._soon: dict[str, int] = {}
        """Instruments to be audited before their time, each from when on."""
        self._due_ms: dict[str, int] = {}
        self._open: dict[str, _Round] = {}
        self._left_alone: set[str] = set()

    def synced(self, number: int, inst_id: str) -> None:
        """A feed has joined: what it holds is not confirmed until its first audit."""
        self._stretches[number, inst_id] = _Stretch()
        self.audit_soon(inst_id)

    def lost(self, number: int, inst_id: str) -> None:
        self._stretches.pop((number, inst_id), None)

    def audit_soon(self, inst_id: str) -> None:
        """Before any periodic audit."""
        now_ms = self._clock.monotonic_ms()
        self._soon[inst_id] = min(now_ms, self._soon.get(inst_id, now_ms))

    def leave_alone(self, inst_id: str) -> None:
        """Somebody else uses the audits of this instrument's pipelines, until `take_back`."""
        self._open.pop(inst_id, None)
        self._left_alone.add(inst_id)

    def take_back(self, inst_id: str) -> None:
        self._left_alone.discard(inst_id)
        self.audit_soon(inst_id)

    async def run(self, inst_ids: tuple[str, ...], findings: Findings) -> None:
        self._findings = findings
        self._due_ms = dict.fromkeys(inst_ids, self._clock.monotonic_ms() + round(AUDIT_EVERY_SEC * 1000))
        self._open.clear()
        while True:
            await self._clock.sleep(LOOK_SEC)
            now_ms = self._clock.monotonic_ms()
            for one in list(self._open.values()):
                if one.ahead is not None and now_ms >= one.next_ms:
                    self._judge(one, one.ahead)
            chosen = self._choose(now_ms)
            if chosen is not None:
                await self._ask(chosen)

    def _choose(self, now_ms: int) -> _Round | None:
        """The next to ask REST for: one that has begun, else one that has just joined, else the longest overdue."""
        if now_ms < self._resume_ms:
            return None
        for one in self._open.values():
            if one.ahead is None and now_ms >= one.next_ms:
                return one
        if len(self._open) >= MOST_OPEN:
            return None
        for inst_id in [inst_id for inst_id, ms in self._soon.items() if ms <= now_ms and self._is_free(inst_id)]:
            del self._soon[inst_id]
            if (begun := self._begin(inst_id, now_ms)) is not None:
                return begun
        due = [(ms, inst_id) for inst_id, ms in self._due_ms.items() if ms <= now_ms and self._is_free(inst_id)]
        return self._begin(min(due)[1], now_ms) if due else None

    def _is_free(self, inst_id: str) -> bool:
        return inst_id not in self._open and inst_id not in self._left_alone

    def _begin(self, inst_id: str, now_ms: int) -> _Round | None:
        """An audit of every feed that has a book which is believed; None where none has."""
        self._due_ms[inst_id] = now_ms + round(AUDIT_EVERY_SEC * 1000)
        feeds = {
            number
            for number, pipeline in self._pipelines.items()
            if inst_id in pipeline.book_times() and pipeline.begin_audit(inst_id)
        }
        if not feeds:
            return None
        begun = self._open[inst_id] = _Round(inst_id, feeds, now_ms)
        return begun

    async def _ask(self, one: _Round) -> None:
        try:
            rest = await self._books.fetch(one.inst_id)
        except RestError as error:
            if self._open.get(one.inst_id) is one:
                self._miss(one, error)
            return
        self._backoff.reset()
        if self._open.get(one.inst_id) is one:
            self._judge(one, rest)

    def _miss(self, one: _Round, error: RestError) -> None:
        """REST gives no book: nothing is claimed, and who waits for a first audit waits on."""
        del self._open[one.inst_id]
        retry_sec = wait_sec(error, self._backoff.next_sec())
        if isinstance(error, TryLater):
            self._resume_ms = self._clock.monotonic_ms() + round(retry_sec * 1000)
        for number in sorted(one.feeds):
            self._findings.note(Audited(self._clock.wall_text(), number, one.inst_id, "unavailable", None, str(error)))
            self._end(number, one.inst_id)
            if not self._stretch(number, one).is_confirmed:
                self._soon[one.inst_id] = self._clock.monotonic_ms() + round(retry_sec * 1000)

    def _judge(self, one: _Round, rest: BookChange) -> None:
        """One REST book against every feed that is not judged yet; then the round waits or ends."""
        waiting: dict[int, Verdict] = {}
        for number in sorted(one.feeds):
            pipeline = self._pipelines.get(number)
            verdict = None if pipeline is None else pipeline.judge(rest)
            if verdict is None:
                one.feeds.discard(number)  # the book was lost meanwhile; the journal has that
            elif verdict.outcome in ("older", "ahead"):
                waiting[number] = verdict
            else:
                self._settle(one, number, verdict, rest)
        is_ahead = any(verdict.outcome == "ahead" for verdict in waiting.values())
        one.ahead = rest if is_ahead else None
        one.catch_ups += is_ahead
        one.attempts += not is_ahead
        one.next_ms = self._clock.monotonic_ms() + round((CATCH_UP_SEC if is_ahead else ATTEMPT_SEC) * 1000)
        if one.attempts >= ATTEMPTS or one.catch_ups > CATCH_UPS:
            for number, verdict in waiting.items():
                self._settle(one, number, verdict, rest)
        if not one.feeds and self._open.get(one.inst_id) is one:
            del self._open[one.inst_id]

    def _settle(self, one: _Round, number: int, verdict: Verdict, rest: BookChange) -> None:
        stretch = self._stretch(number, one)
        one.feeds.discard(number)
        fault = fault_of(rest) if verdict.outcome == "mismatch" else ""
        if fault:
            verdict = Verdict("inconclusive", f"REST's own book is {fault}; {verdict.detail}")
        self._findings.note(
            Audited(self._clock.wall_text(), number, one.inst_id, verdict.outcome, rest.seq_id, verdict.detail)
        )
        if verdict.outcome == "mismatch":
            _log.error("Audit of %s on feed %d against REST: %s", one.inst_id, number, verdict.detail)
            now_ms = self._clock.monotonic_ms()
            outputs = self._pipelines[number].invalidate(one.inst_id, "audit", verdict.detail, now_ms)
            self._findings.take(number, outputs)
            return
        self._end(number, one.inst_id)
        if verdict.outcome in ("equal", "consistent"):
            stretch.is_confirmed = True
        elif not stretch.is_confirmed and stretch.tries < AGAIN_TIMES:
            stretch.tries += 1
            self._soon[one.inst_id] = self._clock.monotonic_ms() + round(AGAIN_SEC * 1000)

    def _stretch(self, number: int, one: _Round) -> _Stretch:
        return self._stretches.setdefault((number, one.inst_id), _Stretch())

    def _end(self, number: int, inst_id: str) -> None:
        pipeline = self._pipelines.get(number)
        if pipeline is not None:
            pipeline.end_audit(inst_id)
