"""One feed's whole pipeline, sans-I/O: a session and a book for each instrument; frames in, snapshots and losses out.

Each instrument stands alone: its gap or bad message changes nothing of another's. Where snapshots go, who reads of a
loss, and what a second feed brings are decided elsewhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Literal

import msgspec

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.replay import full_book
from l2vault.book.trade import TRADES
from l2vault.okx.audit import Verdict
from l2vault.okx.book_time import ahead
from l2vault.okx.context import topics_of
from l2vault.okx.context_messages import ContextPush, fault_of
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.instrument import JOIN_WITHIN_MS, InstrumentBook, Terms
from l2vault.okx.messages import BOOKS, SchemaFailure, Traded
from l2vault.okx.outputs import (
    Applied,
    AuditSoon,
    Counts,
    Ending,
    Lost,
    NeedBook,
    NeedSecondBook,
    Output,
    Sampled,
    Synced,
    Trouble,
    Unverifiable,
)
from l2vault.okx.plausibility import Counts as LevelCounts
from l2vault.okx.session import Event, Session, Silent

# The door of this room for whoever runs a feed: what comes out of it is named here, though `instrument` makes it.
__all__ = [
    "JOIN_WITHIN_MS",
    "Applied",
    "AuditSoon",
    "Counts",
    "Ending",
    "Lost",
    "NeedBook",
    "NeedSecondBook",
    "Output",
    "Pipeline",
    "Sampled",
    "Synced",
    "Traded",
    "Trouble",
    "Unverifiable",
]


class Pipeline:
    """`depth` levels of each of `inst_ids`, sampled every `cadence_ms` of exchange time.

    After each `receive` and `tick` the caller delivers the outputs, all of them and in order, and then sends what
    `take_outgoing` returns. An output is returned once; a `Lost` that was returned is not repeated by `close`.
    `time` and `counts` are shared by all pipelines of the process; `feed` tells their messages apart in `time`. With
    `trades`, pushes of trades come out as they are (`Traded`): whether they are new is for whoever sees all feeds.
    With `changes`, every push that is applied to a book comes out too (`Applied`).
    """

    def __init__(  # noqa: PLR0913 - six of them are for one pipeline among several
        self,
        inst_ids: Iterable[str],
        cadence_ms: int,
        depth: int,
        rng: Random,
        feed: int = 0,
        time: ExchangeTime | None = None,
        record_unverifiable: bool = False,
        counts: Counts | None = None,
        trades: bool = False,
        changes: bool = False,
    ) -> None:
        names = list(dict.fromkeys(inst_ids))
        self._session = Session(names, rng, (TRADES,) if trades else ())
        self.counts = counts or Counts()
        """What was received, together with what else counts in it."""
        self._time = time or ExchangeTime()
        self._counted: set[str] = set()
        """Instruments whose pushes of trades say how many matches they sum up; OKX's of 2022 did not."""
        terms = Terms(cadence_ms, depth, feed, self._time, record_unverifiable, changes)
        self._instruments = {name: InstrumentBook(name, self._session, terms, self.counts) for name in names}

    @property
    def _books(self) -> Mapping[str, Book | None]:
        return {inst_id: instrument.book for inst_id, instrument in self._instruments.items()}

    def open(self, now_ms: int) -> None:
        """A connection stands; the next `tick` subscribes."""
        self._session.open(now_ms)
        for instrument in self._instruments.values():
            instrument.open()

    def carry_context(self, is_carrying: bool, now_ms: int) -> None:
        """Whether the channels beside books and trades come on this feed; their pushes are then outputs as they are."""
        topics = topics_of(self._instruments)
        (self._session.carry if is_carrying else self._session.drop)(topics, now_ms)

    @property
    def heard_ms(self) -> int:
        """When the newest frame came, monotonic; 0 before the first connection."""
        return self._session.heard_ms

    def take_outgoing(self) -> list[str]:
        return self._session.take_outgoing()

    def set_live(self, inst_id: str, is_live: bool) -> None:
        """From OKX's instrument row: outside `live` a crossed or empty book is legal. Unknown counts as live."""
        self._instruments[inst_id].is_live = is_live

    def book_times(self) -> dict[str, int]:
        """Exchange time of each book in sync that has one."""
        return {
            inst_id: one.book.ts_ms
            for inst_id, one in self._instruments.items()
            if one.book is not None and one.book.ts_ms and one.is_in_sync
        }

    def full_books(self, recv_us: int) -> list[Applied]:
        """Each book in sync that has a time, whole, as if it had come at `recv_us`: where somebody begins to follow
        changes in the middle."""
        return [
            Applied(full_book(inst_id, one.book, recv_us), one.book.ts_ms, "book")
            for inst_id, one in self._instruments.items()
            if one.book is not None and one.book.ts_ms and one.is_in_sync
        ]

    def level_counts(self, inst_id: str) -> LevelCounts | None:
        """Bids and asks of the book held, even one that still waits to be believed; None without a book."""
        book = self._instruments[inst_id].book
        return book.counts() if book is not None else None

    def receive(self, frame: bytes, now_ms: int, recv_us: int = 0) -> list[Output]:
        """One received frame, all its consequences, in the order in which they are to take effect.

        `recv_us` is our clock when it arrived, before any queue, in microseconds since the epoch.
        """
        outputs: list[Output] = []
        for event in self._session.receive(frame, now_ms, recv_us):
            if isinstance(event, BookChange):
                instrument = self._instruments[event.inst_id]
                outputs += instrument.change(event, now_ms)
                instrument.keep_frame(event, frame)
            else:
                outputs += self._take(event, now_ms)
        return [_quote(output, frame) for output in outputs] if outputs else outputs

    def tick(self, now_ms: int) -> list[Output]:
        """What time alone brings about; call it several times a second."""
        outputs: list[Output] = []
        for event in self._session.tick(now_ms):
            outputs += self._take(event, now_ms)
        for instrument in self._instruments.values():
            outputs += instrument.tick(now_ms)
        return outputs

    def close(self, cause: Ending, detail: str) -> list[Output]:
        """The connection is gone: every book that was reported in sync is lost."""
        return [output for one in self._instruments.values() for output in one.close(cause, detail)]

    def invalidate(self, inst_id: str, cause: Literal["conflict", "audit"], detail: str, now_ms: int) -> list[Output]:
        """Another source contradicts this book: drop it and resync."""
        instrument = self._instruments[inst_id]
        return [] if instrument.book is None else instrument.fail(cause, detail, now_ms)

    def join_rest_book(self, full: BookChange, now_ms: int) -> list[Output]:
        """Seed from a REST book where it stands exactly at an update's `seqId`; otherwise `NeedBook` comes again.

        One that comes after the subscription was given up changes nothing: no update would ever follow it.
        """
        return self._instruments[full.inst_id].join(full, now_ms)

    def judge_short(self, inst_id: str, counts: LevelCounts | None, now_ms: int) -> list[Output]:
        """The answer to `NeedSecondBook`: bids and asks of another book of this moment, another feed's or REST's.

        Ours is refused as `implausible` if the other is clearly longer, else believed. None says nothing: without any
        second book ours is believed after 2 s.
        """
        return self._instruments[inst_id].judge_short(counts, now_ms)

    def begin_audit(self, inst_id: str) -> bool:
        """Follow the stream from here for `judge`; False where there is no book to audit."""
        return self._instruments[inst_id].begin_audit()

    def judge(self, rest: BookChange) -> Verdict | None:
        """What a REST book says of ours; None if ours was lost since the audit began."""
        audit = self._instruments[rest.inst_id].audit
        return audit.judge(rest) if audit is not None else None

    def end_audit(self, inst_id: str) -> None:
        self._instruments[inst_id].audit = None

    def _take(self, event: Event, now_ms: int) -> list[Output]:
        if isinstance(event, BookChange):
            return self._instruments[event.inst_id].change(event, now_ms)
        if isinstance(event, Silent):
            return self._instruments[event.inst_id].silent(now_ms)
        if isinstance(event, SchemaFailure) and event.inst_id is not None and event.channel == BOOKS:
            return self._instruments[event.inst_id].fail("schema", event.reason, now_ms)
        self.counts.context += isinstance(event, ContextPush)
        if not isinstance(event, Traded):
            return [event]
        try:
            return [self._dated(event, now_ms)]
        except Exception as error:  # noqa: BLE001  (trades never end the reading of books; reported as our fault)
            return [SchemaFailure(event.inst_id, fault_of(error), b"", TRADES, True)]

    def _dated(self, traded: Traded, now_ms: int) -> Traded | SchemaFailure:
        """Trades from the future are unreadable: they would stand in the file of another hour. Old ones are not: OKX
        has been seen to begin a subscription with the newest trade, which may be hours old. A push that no longer says
        how many matches it sums up is unreadable too: it would be taken for one.
        """
        self.counts.trades += len(traded.pushes)
        for push in traded.pushes:
            fault = ahead(self._time, push.ts_ms, None, now_ms)
            if push.count is not None:
                self._counted.add(push.inst_id)
            elif fault is None and push.inst_id in self._counted:
                fault = "no count, where the pushes before it had one: its ids are not known"
            if fault is not None:
                return SchemaFailure(traded.inst_id, fault, b"", TRADES)
        return traded


def _quote(output: Output, frame: bytes) -> Output:
    if isinstance(output, Lost) and output.cause == "schema":
        return replace(output, frame=frame)
    if isinstance(output, SchemaFailure) and not output.frame:
        return msgspec.structs.replace(output, frame=frame)
    return output
