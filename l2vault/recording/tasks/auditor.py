"""OKX's own book by REST at work: it audits ours, seeds one for which no full book came, rules between two feeds.

Never in capture's way: `rounds` audits in its own time; what waits for an answer has a lane of its own, under the same
limit of requests. The pipeline judges what is found, the recorder acts on a ruling.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.rest import OkxRest
from l2vault.recording.tasks.rest_books import RestBooks, fault_of
from l2vault.recording.tasks.rounds import Findings, Rounds
from l2vault.recording.tasks.ruling import Ruling

SECOND_BOOK_SEC: Final = 2.0
"""A short full book waits that long for another one."""
RULE_SEC: Final = 5.0
"""A ruling that takes longer decides nothing."""
RULE_EVERY_SEC: Final = 0.3
"""Between two looks at REST, or at a REST book that the stream has not reached."""

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Conflict:
    seq_id: int | None
    feeds: tuple[int, int]


class Auditor:
    """`run` until cancelled; every other method may be called at any time from the event loop, and never waits."""

    def __init__(self, rest: OkxRest, clock: Clock, rng: Random, pipelines: Mapping[int, Pipeline]) -> None:
        self._clock = clock
        self._pipelines = pipelines
        self._books = RestBooks(rest, clock)
        self._rounds = Rounds(self._books, clock, rng, pipelines)
        self._wake = asyncio.Event()
        self._needed: dict[tuple[int, str], int | None] = {}
        """Feeds that wait for a book: to be joined (None), or for a second one until that time."""
        self._served: set[tuple[int, str]] = set()
        self._conflicts: dict[str, _Conflict] = {}
        self._to_rule: list[str] = []
        self._is_running = False
        self._findings: Findings

    def synced(self, number: int, inst_id: str) -> None:
        """A feed has joined: what it holds is not confirmed until its first audit."""
        self._rounds.synced(number, inst_id)

    def lost(self, number: int, inst_id: str) -> None:
        """A feed has no book of this instrument any more."""
        self._rounds.lost(number, inst_id)

    def audit_soon(self, inst_id: str) -> None:
        """Something speaks against a book of this instrument."""
        self._rounds.audit_soon(inst_id)

    def need_book(self, number: int, inst_id: str) -> None:
        """A feed has updates of this instrument but no full book."""
        self._needed[number, inst_id] = None
        self._wake.set()

    def need_second_book(self, number: int, inst_id: str) -> None:
        """A feed has a full book that is short: the length of another one is to judge it, within 2 s."""
        self._needed[number, inst_id] = self._clock.monotonic_ms() + round(SECOND_BOOK_SEC * 1000)
        self._wake.set()

    def on_conflict(self, inst_id: str, seq_id: int | None, feeds: tuple[int, int]) -> bool:
        """Two feeds differ at this `seqId`. True: `Findings.rule` is called when REST has decided, after about RULE_SEC
        at most. False, where the auditor does not run: nothing will decide.

        While an instrument is being ruled on, further conflicts of it belong to the same one.
        """
        if not self._is_running:
            return False
        if inst_id not in self._conflicts:
            self._conflicts[inst_id] = _Conflict(seq_id, feeds)
            self._to_rule.append(inst_id)
            self._rounds.leave_alone(inst_id)
            self._wake.set()
        return True

    async def run(self, inst_ids: tuple[str, ...], findings: Findings) -> None:
        """What is found goes to `findings`, for as long as this runs."""
        self._findings = findings
        self._is_running = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._rounds.run(inst_ids, findings))
                group.create_task(self._serve(group))
        finally:
            self._is_running = False
            self._to_rule.clear()
            for inst_id in list(self._conflicts):
                self._close(inst_id, None, "the ruling was broken off")

    async def rule(
        self, inst_id: str, seq_id: int | None, feeds: tuple[int, int], snapshots: Mapping[int, Snapshot] | None = None
    ) -> tuple[int | None, str]:
        """Which of two feeds is wrong, by REST's books, and why; None where these do not decide within RULE_SEC.

        `snapshots`, by feed, are what differed at `seq_id`: a REST book of that very `seqId` decides at once. Any other
        is compared with how each feed's book goes on from here.
        """
        ruling = Ruling(feeds, snapshots or {})
        audited = [feed for feed in feeds if feed in self._pipelines and self._pipelines[feed].begin_audit(inst_id)]
        until_ms = self._clock.monotonic_ms() + round(RULE_SEC * 1000)
        try:
            while not ruling.is_settled and self._clock.monotonic_ms() < until_ms:
                rest = await self._within(until_ms, self._books.fetch(inst_id))
                if rest is not None and not fault_of(rest):
                    await self._compare(ruling, rest, audited, until_ms)
        except RestError as error:
            _log.warning("Feeds %s differ on %s, and REST gives no book to decide: %s", feeds, inst_id, error)
        finally:
            for feed in audited:
                if feed in self._pipelines:
                    self._pipelines[feed].end_audit(inst_id)
        wrong = ruling.wrong(is_last=True)
        words = "neither" if wrong is None else f"feed {wrong}"
        _log.warning(
            "Feeds %s differ on %s at seqId %s; found wrong: %s (%s)", feeds, inst_id, seq_id, words, ruling.detail
        )
        return wrong, ruling.detail

    async def _compare(self, ruling: Ruling, rest: BookChange, feeds: list[int], until_ms: int) -> None:
        """Add one REST book to the ruling, once the stream of each feed has come that far."""
        while True:
            verdicts = {feed: self._pipelines[feed].judge(rest) for feed in feeds if feed in self._pipelines}
            ruling.add(rest, verdicts)
            is_ahead = any(verdict is not None and verdict.outcome == "ahead" for verdict in verdicts.values())
            if ruling.is_settled or self._clock.monotonic_ms() >= until_ms:
                return
            await self._clock.sleep(RULE_EVERY_SEC)
            if not is_ahead:
                return

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        """Everything that waits for an answer, each in a task of its own; `books` spaces their requests."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for key in [key for key in self._needed if key not in self._served]:  # in the order of asking
                self._served.add(key)
                group.create_task(self._answer(*key, self._needed.pop(key)))
            while self._to_rule:
                inst_id = self._to_rule.pop()
                group.create_task(self._decide(inst_id, self._conflicts[inst_id]))

    async def _answer(self, number: int, inst_id: str, until_ms: int | None) -> None:
        try:
            if until_ms is None:
                await self._seed(number, inst_id)
            else:
                await self._second(number, inst_id, until_ms)
        finally:
            self._served.discard((number, inst_id))
            self._wake.set()  # the same may have been asked for meanwhile

    async def _decide(self, inst_id: str, conflict: _Conflict) -> None:
        self._close(inst_id, *await self.rule(inst_id, conflict.seq_id, conflict.feeds))

    def _close(self, inst_id: str, wrong: int | None, detail: str) -> None:
        conflict = self._conflicts.pop(inst_id)
        self._rounds.take_back(inst_id)
        words = f"feeds {conflict.feeds[0]} and {conflict.feeds[1]} differ at seqId {conflict.seq_id}: {detail}"
        self._findings.rule(inst_id, wrong, words)

    async def _seed(self, number: int, inst_id: str) -> None:
        try:
            full = await self._books.fetch(inst_id)
        except RestError as error:
            _log.warning("%s has no full book on feed %d, and REST gives none: %s", inst_id, number, error)
            return
        pipeline = self._pipelines.get(number)
        if pipeline is not None:
            self._findings.take(number, pipeline.join_rest_book(full, self._clock.monotonic_ms()))

    async def _second(self, number: int, inst_id: str, until_ms: int) -> None:
        """The length of another feed's book where there is one, else of REST's."""
        others = [pipeline for other, pipeline in self._pipelines.items() if other != number]
        known = [counts for pipeline in others if (counts := pipeline.level_counts(inst_id)) is not None]
        counts = known[0] if known else await self._counts_by_rest(inst_id, until_ms)
        pipeline = self._pipelines.get(number)
        if pipeline is not None and counts is not None:  # without any second book the pipeline believes ours in time
            self._findings.take(number, pipeline.judge_short(inst_id, counts, self._clock.monotonic_ms()))

    async def _counts_by_rest(self, inst_id: str, until_ms: int) -> tuple[int, int] | None:
        try:
            full = await self._within(until_ms, self._books.fetch(inst_id))
        except RestError as error:
            _log.warning("A short book of %s has no second one to be compared with: %s", inst_id, error)
            return None
        return None if full is None else (len(full.bids), len(full.asks))

    async def _within(self, until_ms: int, work: Coroutine[object, object, _Value]) -> _Value | None:
        """What `work` comes to, None if its time is up before; by our clock, so that a test need not wait."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self._clock.sleep((until_ms - self._clock.monotonic_ms()) / 1000))
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            waiting.cancel()
