"""One instrument on one feed: chain, book and its time, REST join, provisional full books, audit and sampler. Pure.

Knows nothing of other instruments, of frames or of sockets. It asks the session for a resync and returns outputs;
which feed's snapshot is written and where a second book comes from are decided elsewhere.
"""

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, contradicts_its_numbers
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot
from l2vault.errors import LevelError
from l2vault.okx.audit import Audit
from l2vault.okx.book_time import SLACK_MS, UNTIMED_MS, BookTime, ahead
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.messages import decode
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
from l2vault.okx.plausibility import implausible, is_clearly_longer, is_like, is_short, unreadable
from l2vault.okx.rest_join import JoinFailure, RestJoin
from l2vault.okx.sequence import is_repeat, reject_reason
from l2vault.okx.session import Session

SEED_WITHIN_MS: Final = 3_000
ASK_AGAIN_MS: Final = 1_000
JOIN_WITHIN_MS: Final = 60_000
SECOND_BOOK_WITHIN_MS: Final = 2_000
"""How long a short full book waits to be compared with another one, of monotonic time or of its messages' own.

In a fast replay the messages end the wait, so that no timer of ours decides what is written.
"""
AUDIT_AGAIN_MS: Final = 60_000
"""Between two audits asked for because of what a message said."""
NOTE_TIME_EVERY_MS: Final = 500
"""Messages come ten times a second; proving time needs fewer."""

Verifiable = Literal["chain", "checksum"]
_Fault = tuple[Trouble, str]
_DISPROVED: Final = frozenset({"conflict", "audit", "implausible"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What all instruments of a pipeline have in common."""

    cadence_ms: int
    depth: int
    feed: int
    time: ExchangeTime
    record_unverifiable: bool
    changes: bool = False
    """Whether every push that is applied is put out, as `Applied`."""


@dataclass(slots=True)
class _Wait:
    """A short full book that waits for a second one, and what is to be said once it is believed."""

    until_ms: int
    from_ms: int | None
    """Its own time."""
    trusted_ms: int | None
    """Time of the book that it replaced; None where none was reported."""
    outputs: list[Output]
    counts: LevelCounts
    """Levels of the full book itself: what it lacked may have come one by one since."""


class InstrumentBook:
    """`change`, `tick` and `join` return all consequences, in the order in which they are to take effect."""

    def __init__(self, inst_id: str, session: Session, terms: Terms, counts: Counts) -> None:
        self.inst_id = inst_id
        self.is_live = True
        self.counts = counts
        self.book: Book | None = None
        self.audit: Audit | None = None
        self._session = session
        self._terms = terms
        self._rest_join = RestJoin()
        self._ask_rest_ms: int | None = None
        self._is_reported = False
        self._wait: _Wait | None = None
        self._usual: LevelCounts | None = None
        """Levels of the last full book that was believed."""
        self._verifiable: Verifiable | None = None
        self._is_called_unverifiable = False
        self._last: BookChange | bytes | None = None
        """The message that was applied last, or the frame that it came in."""
        self._time = BookTime(terms.time)
        self._note_after_ms = 0
        self._proofs_seen = terms.time.proofs
        self._audit_after_ms: int | None = None

    @property
    def is_in_sync(self) -> bool:
        """Whether a book was reported as `Synced` and not yet as `Lost`."""
        return self._is_reported

    def open(self) -> None:
        """A new connection stands, on which nothing is subscribed."""
        self._forget_updates()
        self._is_called_unverifiable = False

    def close(self, cause: Ending, detail: str) -> list[Output]:
        """The connection is gone. A book that was never reported goes without a word."""
        was_reported = self._is_reported
        lost = self._lose(cause, detail, None)
        return [lost] if was_reported else []

    def change(self, change: BookChange, now_ms: int) -> list[Output]:
        """A full book or an update."""
        self.counts.messages += 1
        book = self.book
        if book is None:
            self._note_time(change, now_ms)
            return self._without_book(change, now_ms)
        is_of_our_number = change.seq_id is not None and change.seq_id == book.seq_id
        if is_of_our_number and is_repeat(change, self._last_change()):
            self.counts.duplicates += 1
            return []
        if change.ts_ms is not None and now_ms >= self._note_after_ms:
            self._note_time(change, now_ms)
        released = [] if self._wait is None else self._end_wait(now_ms)
        if change.is_snapshot:
            return released + self._replace(change, book, now_ms)
        if change.prev_seq_id != book.seq_id or (is_of_our_number and contradicts_its_numbers(change)):
            return [*released, self._break(change, book, now_ms)]
        fault = self._update_fault(change, book, now_ms)
        if fault is not None:
            return [*released, self._fail(fault, None, now_ms)]
        outputs = self._update(change, book, now_ms)
        if self._wait is not None:
            outputs += self._end_wait(now_ms)
        return released + outputs if released else outputs

    def keep_frame(self, change: BookChange, frame: bytes) -> None:
        """To be told after `change` in which frame it came: what is kept to know a repeat by is then the frame alone.

        The levels read from it are hundreds of small objects. Held on to until the next message is applied, they made
        the handling of a message 3 to 7 % slower (`benchmarks/against.py`, a BTC-USDT-SWAP feed).
        """
        if self._last is change:
            self._last = frame

    def tick(self, now_ms: int) -> list[Output]:
        """What time alone brings about."""
        outputs = [] if self._wait is None else self._end_wait(now_ms)
        if self._proofs_seen != self._terms.time.proofs:
            self._proofs_seen = self._terms.time.proofs
            outputs += self._check_against_proof(now_ms)
        return outputs + self._ask_rest(now_ms) if self._rest_join or self._ask_rest_ms is not None else outputs

    def silent(self, now_ms: int) -> list[Output]:
        """The session has begun a resync, since nothing came."""
        self._is_called_unverifiable = False
        if self.book is None:
            return []
        return [*self._end_wait(now_ms), self._lose("silence", "no message, not even a heartbeat", None)]

    def fail(self, cause: Trouble, detail: str, now_ms: int) -> list[Output]:
        """Something outside shows that the book, or its stream, is not to be trusted: drop it and resync."""
        return [*self._end_wait(now_ms), self._fail((cause, detail), None, now_ms)]

    def join(self, full: BookChange, now_ms: int) -> list[Output]:
        """Seed from a REST book where it stands exactly at an update's `seqId`."""
        if self.book is not None or not self._session.awaiting_snapshot(self.inst_id):
            return []
        joined = self._rest_join.join(full)
        if isinstance(joined, JoinFailure):
            return []
        seeded, *updates = joined
        outputs = self._seed(seeded, now_ms, "rest")
        for update in updates:
            outputs += self.change(update, now_ms)
        return outputs

    def judge_short(self, counts: LevelCounts | None, now_ms: int) -> list[Output]:
        """Another book of this moment has so many levels: believe ours, or refuse it as cut off."""
        if self._wait is None or self.book is None or counts is None:
            return []
        held = self._wait.counts
        if is_clearly_longer(counts, held):
            detail = f"{held[0]} bids and {held[1]} asks, where another book has {counts[0]} and {counts[1]}"
            return [self._fail(("implausible", detail), None, now_ms)]
        return self._release()

    def begin_audit(self) -> bool:
        """Follow the stream from here; False where there is no book to audit."""
        if self.book is not None:
            self.audit = Audit(self.book, CHANNEL_DEPTH)
        return self.book is not None

    # Without a book

    def _without_book(self, change: BookChange, now_ms: int) -> list[Output]:
        if change.is_snapshot:
            return self._seed(change, now_ms, "stream")
        if _verified_by(change) is None and not self._terms.record_unverifiable:
            return self._leave_unverified(change, now_ms)
        met = self._rest_join.add(change, now_ms)
        return [] if met is None else self.join(met, now_ms)

    def _leave_unverified(self, change: BookChange, now_ms: int) -> list[Output]:
        """Neither numbers nor checksum: the subscription stands, since a new one would bring the same."""
        self._session.synced(self.inst_id, now_ms)
        if self._is_called_unverifiable:
            return []
        self._is_called_unverifiable = True
        return [Unverifiable(self.inst_id, change.ts_ms, is_recorded=False)]

    def _ask_rest(self, now_ms: int) -> list[Output]:
        """OKX sends the full book within 200 ms of the ack; 3 s of updates without one say that it will not come."""
        if not self._session.awaiting_snapshot(self.inst_id):
            self._forget_updates()
        elif (
            self._rest_join
            and now_ms - self._rest_join.since_ms >= SEED_WITHIN_MS
            and now_ms >= (self._ask_rest_ms or 0)
        ):
            if self._ask_rest_ms is None:
                self._session.wait_longer(self.inst_id, now_ms + JOIN_WITHIN_MS)
            self._ask_rest_ms = now_ms + ASK_AGAIN_MS
            return [NeedBook(self.inst_id)]
        return []

    def _forget_updates(self) -> None:
        self._rest_join.clear()
        self._ask_rest_ms = None

    # A full book

    def _seed(self, full: BookChange, now_ms: int, source: Literal["stream", "rest"]) -> list[Output]:
        self._forget_updates()
        self._verifiable = _verified_by(full)
        if self._verifiable is None and not self._terms.record_unverifiable:
            return self._leave_unverified(full, now_ms)
        fault = self._full_fault(full, None, now_ms)
        if fault is not None:
            return [self._fail(fault, self._believed(full.ts_ms, now_ms), now_ms)]
        book = self.book = Book()
        self._time = BookTime(self._terms.time)
        lost = self._apply(full, book, now_ms)
        if lost is not None:
            return [lost]
        self._session.synced(self.inst_id, now_ms)
        outputs: list[Output] = [Synced(self.inst_id, book.ts_ms, book.seq_id, source)]
        if self._verifiable is None:
            outputs.append(Unverifiable(self.inst_id, book.ts_ms, is_recorded=True))
        if self._terms.changes:
            outputs.append(Applied(full, book.ts_ms, "ws" if source == "stream" else "rest"))
        outputs.append(AuditSoon(self.inst_id))
        self._audit_after_ms = now_ms + AUDIT_AGAIN_MS
        if self._must_wait(book.counts(), None):
            return self._begin_wait(None, outputs, now_ms)
        return self._believe(outputs)

    def _replace(self, full: BookChange, book: Book, now_ms: int) -> list[Output]:
        """A full book that nobody asked for takes the place of ours, after the sample that was due."""
        fault: _Fault | None = reject_reason(full, book.seq_id)
        verifiable = _verified_by(full)
        if fault is None and verifiable is None and self._verifiable is not None:
            fault = ("unverifiable", "a full book with neither seqId nor checksum")
        fault = fault or self._full_fault(full, book.ts_ms, now_ms)
        if fault is not None:
            return [self._fail(fault, self._believed(full.ts_ms, now_ms), now_ms)]
        before, trusted_ms = book.counts(), book.ts_ms
        outputs = self._update(full, book, now_ms)
        if self.book is None:
            return outputs
        self._verifiable = verifiable
        counts = book.counts()
        if self._wait is not None:
            if is_clearly_longer(counts, before):
                self._wait.outputs = _without_the_short_one(self._wait.outputs, full)
            return outputs
        if self._must_wait(counts, before):
            applied = [one for one in outputs if isinstance(one, Applied)]
            known = [one for one in outputs if not isinstance(one, Applied)]
            return known + self._begin_wait(trusted_ms, [*applied, AuditSoon(self.inst_id)], now_ms)
        return outputs + self._ask_audit(now_ms)

    def _full_fault(self, full: BookChange, book_ms: int | None, now_ms: int) -> _Fault | None:
        reason = unreadable(full.bids) or unreadable(full.asks)
        if reason is not None:
            return "schema", reason
        if book_ms is not None:
            clock = self._time.fault(full, book_ms, now_ms)
        else:
            clock = None if full.ts_ms is None else ahead(self._terms.time, full.ts_ms, None, now_ms)
        if clock is not None:
            return "clock", clock
        reason = implausible(full, self.is_live)
        return None if reason is None else ("implausible", reason)

    # A short full book, until it is believed

    def _must_wait(self, counts: LevelCounts, before: LevelCounts | None) -> bool:
        known = [one for one in (self._usual, before) if one is not None]
        return is_short(counts) and not any(is_like(counts, one) for one in known)

    def _begin_wait(self, trusted_ms: int | None, outputs: list[Output], now_ms: int) -> list[Output]:
        book_ms, counts = (None, (0, 0)) if self.book is None else (self.book.ts_ms, self.book.counts())
        self._wait = _Wait(now_ms + SECOND_BOOK_WITHIN_MS, book_ms, trusted_ms, outputs, counts)
        return [NeedSecondBook(self.inst_id)]

    def _end_wait(self, now_ms: int) -> list[Output]:
        """Where no second book has come in time, the short one is believed, unless a longer one was believed before."""
        wait, book = self._wait, self.book
        if wait is None or book is None:
            return []
        passed_ms = (book.ts_ms or 0) - wait.from_ms if wait.from_ms is not None else 0
        if now_ms < wait.until_ms and passed_ms < SECOND_BOOK_WITHIN_MS:
            return []
        held = wait.counts
        if self._usual is not None and is_clearly_longer(self._usual, held):
            # Once: the refusal forgets the longer one, so that a market which has thinned out is recorded again.
            detail = f"{held[0]} bids and {held[1]} asks, where there were {self._usual[0]} and {self._usual[1]}"
            return [self._fail(("implausible", detail), None, now_ms)]
        return self._release()

    def _release(self) -> list[Output]:
        wait, self._wait = self._wait, None
        return self._believe(wait.outputs if wait is not None else [])

    def _believe(self, outputs: list[Output]) -> list[Output]:
        self._is_reported = True
        self._usual = self.book.counts() if self.book is not None else None
        return outputs

    def _say(self, outputs: list[Output]) -> list[Output]:
        """What is said of a book that waits is kept until it is believed."""
        if self._wait is None:
            return outputs
        self._wait.outputs += outputs
        return []

    # An update

    def _update_fault(self, change: BookChange, book: Book, now_ms: int) -> _Fault | None:
        ts_ms, book_ms = change.ts_ms, book.ts_ms
        if change.seq_id is None:
            fault = reject_reason(change, book.seq_id)
            if fault is not None:
                return fault
        elif ts_ms is not None and book_ms is not None and book_ms < ts_ms <= book_ms + UNTIMED_MS:
            self._time.goes_on()
            return None
        clock = self._time.fault(change, book_ms, now_ms)
        return None if clock is None else ("clock", clock)

    def _update(self, change: BookChange, book: Book, now_ms: int) -> list[Output]:
        # The sampling rule (docs/format.md): the book as it stands before a later message is the book at the grid time.
        grid_ms = due_grid_time(book.ts_ms, change.ts_ms, self._terms.cadence_ms)
        due: list[Output] = []
        if grid_ms is not None and change.ts_ms is not None:
            snapshot = take_snapshot(self.inst_id, book, self._terms.depth)
            due.append(Sampled(snapshot, grid_ms, change.ts_ms, change.recv_us))
        whole = book.unknown_in_whole
        # Without numbers a message that fails may follow one that was lost before the grid time.
        stands_anyway = self._wait is None and self._verifiable != "checksum"
        lost = self._apply(change, book, now_ms)
        if lost is not None:
            return [*due, lost] if stands_anyway else [lost]
        if self._terms.changes:
            due.append(Applied(change, book.ts_ms))
        if book.unknown_in_whole != whole:
            due += self._ask_audit(now_ms)
        return self._say(due) if due else due

    def _apply(self, change: BookChange, book: Book, now_ms: int) -> Lost | None:
        """Apply and verify. A book that fails is dropped here, before anything could be sampled from it."""
        from_ms, before = book.ts_ms, book.unknown_deletes
        try:
            book.apply(change)
        except LevelError as error:
            fault: _Fault | None = ("schema", str(error))
        else:
            if book.unknown_deletes != before:
                self.counts.unknown_deletes += book.unknown_deletes - before
            fault = self._verify(change, book)
        if fault is None:
            self._last = change
            if self.audit is not None:
                self.audit.follow(change)
            return None
        book.ts_ms = from_ms  # that of the last message which was right
        return self._fail(fault, change.ts_ms, now_ms)

    def _verify(self, change: BookChange, book: Book) -> _Fault | None:
        violation = book.violation(self.is_live)
        if violation is not None:
            return "invariant", violation
        if not is_provided(change.checksum):
            self.counts.checksums_absent += 1
            if self._verifiable == "checksum":
                return "unverifiable", "no checksum, on a stream without sequence numbers"
            return None
        computed = book_checksum(*book.top(25))
        if computed != change.checksum:
            return "checksum", f"computed {computed}, OKX says {change.checksum}"
        self.counts.checksums_verified += 1
        return None

    def _last_change(self) -> BookChange | None:
        message = decode(self._last) if isinstance(self._last, bytes) else self._last
        return message if isinstance(message, BookChange) else None

    def _ask_audit(self, now_ms: int) -> list[Output]:
        if self._audit_after_ms is not None and now_ms < self._audit_after_ms:
            return []
        self._audit_after_ms = now_ms + AUDIT_AGAIN_MS
        return [AuditSoon(self.inst_id)]

    # Time

    def _note_time(self, change: BookChange, now_ms: int) -> None:
        if change.ts_ms is not None:
            self._note_after_ms = now_ms + NOTE_TIME_EVERY_MS
            self._terms.time.note_message(self._terms.feed, self.inst_id, change.ts_ms, now_ms)

    def _check_against_proof(self, now_ms: int) -> list[Output]:
        """Time was proved after the book took its time over."""
        book, time = self.book, self._terms.time
        if book is None or book.ts_ms is None or time.allows_full(book.ts_ms, now_ms):
            return []
        detail = f"the book's time {book.ts_ms} is ahead of the proved time {time.now_ms(now_ms)}"
        return [self._fail(("clock", detail), None, now_ms)]

    def _believed(self, ts_ms: int | None, now_ms: int) -> int | None:
        """A time fit to be written down; None for one that cannot be true."""
        book_ms = self.book.ts_ms if self.book is not None else None
        is_near = ts_ms is not None and book_ms is not None and abs(ts_ms - book_ms) <= SLACK_MS
        if ts_ms is None or is_near or ahead(self._terms.time, ts_ms, book_ms, now_ms) is None:
            return ts_ms
        return None

    # The end of a book

    def _break(self, change: BookChange, book: Book, now_ms: int) -> Lost:
        flagged = None
        if book.ts_ms is not None and self._wait is None:
            last_good = take_snapshot(self.inst_id, book, self._terms.depth)
            flagged = msgspec.structs.replace(last_good, prev_seq_id=change.prev_seq_id, gap_detected=True)
        detail = f"expected prevSeqId {book.seq_id}, got {change.prev_seq_id}"
        if change.prev_seq_id == book.seq_id:
            detail = f"seqId {change.seq_id} again, with other levels"
        return self._fail(("chain", detail), self._believed(change.ts_ms, now_ms), now_ms, flagged)

    def _fail(self, fault: _Fault, to_ms: int | None, now_ms: int, flagged: Snapshot | None = None) -> Lost:
        self._session.resync(self.inst_id, now_ms)
        self._is_called_unverifiable = False
        return self._lose(*fault, to_ms, flagged)

    def _lose(self, cause: Trouble | Ending, detail: str, to_ms: int | None, flagged: Snapshot | None = None) -> Lost:
        from_ms = None
        if self.book is not None and self._is_reported:
            from_ms = self.book.ts_ms if self._wait is None else self._wait.trusted_ms
        if cause in _DISPROVED:
            self._usual = None
        self.book = self.audit = self._wait = self._last = None
        self._is_reported = False
        return Lost(self.inst_id, cause, detail, from_ms, to_ms, flagged)


def _without_the_short_one(outputs: list[Output], full: BookChange) -> list[Output]:
    """What waits, once a longer full book has come: nothing that shows the short one before it."""
    return [
        one for one in outputs if not isinstance(one, Sampled) and (not isinstance(one, Applied) or one.change is full)
    ]


def _verified_by(change: BookChange) -> Verifiable | None:
    """What would show that a message of this stream was lost."""
    if change.seq_id is not None:
        return "chain"
    return "checksum" if is_provided(change.checksum) else None
