"""What the probe asks of REST and when: the clock, each instrument's row, a few books, and the small open questions.

One request at a time, far under OKX's limits (books 40, rows 20, time 10 in 2 s).
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange
from l2vault.clock import Clock
from l2vault.okx.audit import Audit
from l2vault.probe.findings import Findings, RestBook, RestRefusal, TimeSample
from l2vault.probe.rest import Answer, RestClient, book_of, row_of, time_of

TIME_FIRST: Final = 5
"""Requests for the clock at once: the shortest round trip of several bounds the offset best."""
PAUSE_SEC: Final = 0.25
BOOKS_AFTER_SEC: Final = 6.0
BOOK_ROUNDS: Final = 40
SHORTEST_ROUND_SEC: Final = 3.0
JUDGE_AFTER_SEC: Final = 1.5
"""The stream may stand behind REST's book by the cadence and the network's delay."""


class _Waiting(NamedTuple):
    book: RestBook
    change: BookChange
    audit: Audit


class RestRound:
    """All requests of a run, one after the other. `begin_audit` starts the recorder's comparison of an instrument."""

    def __init__(
        self, findings: Findings, client: RestClient, clock: Clock, begin_audit: Callable[[str], Audit | None]
    ) -> None:
        self._findings = findings
        self._rest = findings.rest
        self._client = client
        self._clock = clock
        self._begin_audit = begin_audit
        self._turn = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._rest.proxy = client.proxy

    async def run(self) -> None:
        """Until all rounds are done or it is cancelled."""
        for _ in range(TIME_FIRST):
            await self._ask_time()
        for inst_id in self._findings.inst_ids:
            await self._ask_row(inst_id)
        await self._clock.sleep(BOOKS_AFTER_SEC)
        pause_sec = max(SHORTEST_ROUND_SEC, self._findings.wanted_sec / BOOK_ROUNDS)
        is_first = True
        while True:
            for inst_id in self._findings.inst_ids:
                await self._audit(inst_id)
            await self._clock.sleep(JUDGE_AFTER_SEC)
            self.judge_all()
            if is_first:
                await self._ask_questions()
            is_first = False
            await self._ask_time()
            await self._clock.sleep(pause_sec)

    async def book(self, inst_id: str) -> BookChange | None:
        """A full book, or None where there is none; refusals are noted."""
        answer = await self._get("/api/v5/market/books", instId=inst_id, sz=str(CHANNEL_DEPTH))
        return book_of(answer, inst_id) if answer.is_good else None

    def judge_all(self) -> None:
        """Compare the books that wait for the stream to have come up with them."""
        waiting, self._waiting = self._waiting, []
        for book, change, audit in waiting:
            verdict = audit.judge(change)
            book.audit, book.audit_detail = verdict.outcome, verdict.detail

    async def _audit(self, inst_id: str) -> None:
        last = [feed.books[inst_id].last_seq_id for feed in self._findings.feeds]
        newest = [seq_id for seq_id in last if seq_id is not None]
        audit = self._begin_audit(inst_id)
        change = await self.book(inst_id)
        if change is None:
            return
        sides = (len(change.bids), len(change.asks))
        book = RestBook(inst_id, change.seq_id, sides, max(newest, default=None))
        self._rest.books.append(book)
        if audit is not None:
            self._waiting.append(_Waiting(book, change, audit))

    async def _ask_time(self) -> None:
        answer = await self._get("/api/v5/public/time")
        server_ms = time_of(answer) if answer.is_good else None
        if server_ms is not None:
            self._rest.times.append(TimeSample(server_ms, answer.received_wall_ms, answer.rtt_ms))
        await self._clock.sleep(PAUSE_SEC)

    async def _ask_row(self, inst_id: str) -> None:
        answer = await self._get("/api/v5/public/instruments", instType="SWAP", instId=inst_id)
        if answer.is_good:
            self._rest.rows[inst_id] = row_of(answer)
        await self._clock.sleep(PAUSE_SEC)

    async def _ask_questions(self) -> None:
        """`source=0` on a book, and whether a funding rate names the time before."""
        inst_id = self._findings.inst_ids[0]
        answer = await self._get("/api/v5/market/books", is_question=True, instId=inst_id, sz="400", source="0")
        book = book_of(answer, inst_id) if answer.is_good else None
        levels = "" if book is None else f"accepted: {len(book.bids)} bids, {len(book.asks)} asks, seqId {book.seq_id}"
        self._rest.source_0 = levels or f"refused: {answer.said}"
        for each in self._findings.inst_ids:
            answer = await self._get("/api/v5/public/funding-rate", is_question=True, instId=each)
            self._rest.prev_funding[each] = "prevFundingTime" in row_of(answer) if answer.is_good else None
            await self._clock.sleep(PAUSE_SEC)

    async def _get(self, path: str, is_question: bool = False, **query: str) -> Answer:
        """One request in a thread, in its turn. A refused question is an answer, every other refusal is a finding."""
        async with self._turn:
            answer = await asyncio.to_thread(self._client.get, path, **query)
        rest = self._rest
        rest.answers += answer.status != 0
        rest.limit_headers |= {
            name: value for name, value in answer.headers.items() if "ratelimit" in name.replace("-", "")
        }
        if not answer.is_good and not is_question:
            rest.refusals.append(RestRefusal(path, answer.status, answer.said))
        return answer
