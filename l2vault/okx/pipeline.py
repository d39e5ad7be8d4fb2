"""One connection's whole pipeline, sans-I/O: session, chain, book and sampler; frames in, snapshots and losses out.

Each instrument stands alone: its gap or bad message changes nothing of another's. Where snapshots go, who is told of a
loss, and what a second connection says are decided elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot
from l2vault.errors import LevelError
from l2vault.okx.audit import Audit, Verdict
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.messages import Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.sequence import is_chained, unfitness
from l2vault.okx.session import Dead, Event, Refused, Session, Silent
from l2vault.okx.stitch import Misfit, Stitch

SEED_WITHIN_MS: Final = 3_000
ASK_AGAIN_MS: Final = 1_000
STITCH_WITHIN_MS: Final = 60_000

Trouble = Literal["chain", "checksum", "invariant", "schema", "silence", "conflict", "audit"]
Ending = Literal["disconnect", "notice", "our_restart"]


@dataclass(frozen=True, slots=True)
class Sampled:
    """The book that is due at `grid_ms`; the message of time `until_ms` shows that it stood unchanged until then."""

    snapshot: Snapshot
    grid_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A full book has come, in band or by REST: from exchange time `ts_ms` on the instrument is exact."""

    inst_id: str
    ts_ms: int | None
    seq_id: int | None
    source: Literal["stream", "rest"] = "stream"


@dataclass(frozen=True, slots=True)
class Lost:
    """The book after `from_ms` cannot be vouched for; a resync has begun. `to_ms` is the time of what showed it.

    `flagged` is the last good book to be written with its flag, where a chain broke; `frame` is the message that could
    not be read, where that is the cause.
    """

    inst_id: str
    cause: Trouble | Ending
    detail: str
    from_ms: int | None
    to_ms: int | None
    flagged: Snapshot | None = None
    frame: bytes | None = None


@dataclass(frozen=True, slots=True)
class NeedBook:
    """Updates flow but no full book came in band: fetch one by REST and hand it to `Pipeline.join_rest_book`."""

    inst_id: str


Output = Sampled | Synced | Lost | NeedBook | Refused | Notice | Refusal | SchemaFailure | Unknown | Dead


@dataclass(slots=True)
class Counts:
    """Since the start, for the log: what arrived and what it said."""

    messages: int = 0
    checksums_verified: int = 0
    checksums_absent: int = 0
    unknown_deletes: int = 0


class Pipeline:
    """`depth` levels of each of `inst_ids`, sampled every `cadence_ms` of exchange time."""

    def __init__(self, inst_ids: Iterable[str], cadence_ms: int, depth: int, rng: Random) -> None:
        self._books: dict[str, Book | None] = dict.fromkeys(inst_ids)
        self._not_live: set[str] = set()
        self._cadence_ms = cadence_ms
        self._depth = depth
        self._session = Session(self._books, rng)
        self._stitches = {inst_id: Stitch() for inst_id in self._books}
        self._ask_rest_ms: dict[str, int] = {}
        self._audits: dict[str, Audit] = {}
        self.counts = Counts()

    def open(self, now_ms: int) -> None:
        """A connection stands; the next `tick` subscribes."""
        self._session.open(now_ms)
        for inst_id in self._stitches:
            self._forget_updates(inst_id)

    def take_outgoing(self) -> list[str]:
        return self._session.take_outgoing()

    def set_live(self, inst_id: str, is_live: bool) -> None:
        """From OKX's instrument row: outside `live` a crossed book is legal. Unknown counts as live."""
        if is_live:
            self._not_live.discard(inst_id)
        else:
            self._not_live.add(inst_id)

    def book_times(self) -> dict[str, int]:
        """Exchange time of each book in sync that has one."""
        return {inst_id: book.ts_ms for inst_id, book in self._books.items() if book is not None and book.ts_ms}

    def receive(self, frame: bytes, now_ms: int) -> list[Output]:
        """One received frame, all its consequences, in the order in which they are to take effect."""
        outputs: list[Output] = []
        for event in self._session.receive(frame, now_ms):
            outputs += self._take(event, now_ms)
        return [_quote(output, frame) for output in outputs]

    def tick(self, now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        for event in self._session.tick(now_ms):
            outputs += self._take(event, now_ms)
        return outputs + self._ask_rest(now_ms)

    def close(self, cause: Ending, detail: str) -> list[Output]:
        """The connection is gone: every book in sync is lost."""
        return [self._lose(inst_id, cause, detail, None) for inst_id, book in self._books.items() if book is not None]

    def doubt(self, inst_id: str, cause: Literal["conflict", "audit"], detail: str, now_ms: int) -> list[Output]:
        """A witness contradicts this book: drop it and resync."""
        if self._books[inst_id] is None:
            return []
        self._session.resync(inst_id, now_ms)
        return [self._lose(inst_id, cause, detail, None)]

    def join_rest_book(self, full: BookChange, now_ms: int) -> list[Output]:
        """Seed from a REST book where it stands exactly at an update's `seqId`; otherwise `NeedBook` comes again.

        One that comes after the subscription was given up changes nothing: no update would ever follow it.
        """
        if self._books[full.inst_id] is not None or not self._session.seeks_book(full.inst_id):
            return []
        joined = self._stitches[full.inst_id].join(full)
        if isinstance(joined, Misfit):
            return []
        seeded, *updates = joined
        outputs = [
            replace(one, source="rest") if isinstance(one, Synced) else one for one in self._seed(seeded, now_ms)
        ]
        for update in updates:
            outputs += self._change(update, now_ms)
        return outputs

    def begin_audit(self, inst_id: str) -> bool:
        """Follow the stream from here for `judge`; False where there is no book to audit."""
        book = self._books[inst_id]
        if book is not None:
            self._audits[inst_id] = Audit(book, CHANNEL_DEPTH)
        return book is not None

    def judge(self, rest: BookChange) -> Verdict | None:
        """What a REST book says of ours; None if ours was lost since the audit began."""
        audit = self._audits.get(rest.inst_id)
        return audit.judge(rest) if audit is not None else None

    def end_audit(self, inst_id: str) -> None:
        self._audits.pop(inst_id, None)

    def _ask_rest(self, now_ms: int) -> list[Output]:
        """OKX sends the full book within 200 ms of the ack; 3 s of updates without one say that it will not come."""
        needs: list[Output] = []
        for inst_id, stitch in self._stitches.items():
            if not self._session.seeks_book(inst_id):
                self._forget_updates(inst_id)
            elif stitch and now_ms - stitch.since_ms >= SEED_WITHIN_MS and now_ms >= self._ask_rest_ms.get(inst_id, 0):
                if inst_id not in self._ask_rest_ms:
                    self._session.wait_longer(inst_id, now_ms + STITCH_WITHIN_MS)
                self._ask_rest_ms[inst_id] = now_ms + ASK_AGAIN_MS
                needs.append(NeedBook(inst_id))
        return needs

    def _keep(self, update: BookChange, now_ms: int) -> list[Output]:
        """Without a book an update changes nothing, but a full book by REST may yet meet it."""
        met = self._stitches[update.inst_id].add(update, now_ms)
        return [] if met is None else self.join_rest_book(met, now_ms)

    def _forget_updates(self, inst_id: str) -> None:
        self._stitches[inst_id].clear()
        self._ask_rest_ms.pop(inst_id, None)

    def _take(self, event: Event, now_ms: int) -> list[Output]:
        if isinstance(event, BookChange):
            return self._change(event, now_ms)
        if isinstance(event, Silent):
            return [self._lose(event.inst_id, "silence", "no message, not even a heartbeat", None)]
        if isinstance(event, SchemaFailure) and event.inst_id is not None:
            self._session.resync(event.inst_id, now_ms)
            return [self._lose(event.inst_id, "schema", event.reason, None)]
        return [event]

    def _change(self, change: BookChange, now_ms: int) -> list[Output]:
        self.counts.messages += 1
        book = self._books[change.inst_id]
        if book is None:
            return self._seed(change, now_ms) if change.is_snapshot else self._keep(change, now_ms)
        if not is_chained(change, book.seq_id):
            return [self._break(change, book, now_ms)]
        objection = unfitness(change, book.seq_id, book.ts_ms)
        if objection is not None:
            self._session.resync(change.inst_id, now_ms)
            return [self._lose(change.inst_id, *objection, None)]
        # The sampling rule (docs/format.md): the book as it stands before a later message is the book at the grid time.
        grid_ms = due_grid_time(book.ts_ms, change.ts_ms, self._cadence_ms)
        outputs: list[Output] = []
        if grid_ms is not None and change.ts_ms is not None:
            outputs.append(Sampled(take_snapshot(change.inst_id, book, self._depth), grid_ms, change.ts_ms))
        lost = self._apply(change, book, now_ms)
        if lost is not None:
            outputs.append(lost)
        return outputs

    def _seed(self, change: BookChange, now_ms: int) -> list[Output]:
        book = Book()
        self._books[change.inst_id] = book
        self._forget_updates(change.inst_id)
        lost = self._apply(change, book, now_ms)
        if lost is not None:
            return [lost]
        self._session.synced(change.inst_id, now_ms)
        return [Synced(change.inst_id, book.ts_ms, book.seq_id)]

    def _break(self, change: BookChange, book: Book, now_ms: int) -> Lost:
        flagged = None
        if book.ts_ms is not None:
            last_good = take_snapshot(change.inst_id, book, self._depth)
            flagged = msgspec.structs.replace(last_good, prev_seq_id=change.prev_seq_id, gap_detected=True)
        self._session.resync(change.inst_id, now_ms)
        detail = f"expected prevSeqId {book.seq_id}, got {change.prev_seq_id}"
        return self._lose(change.inst_id, "chain", detail, change.ts_ms, flagged)

    def _apply(self, change: BookChange, book: Book, now_ms: int) -> Lost | None:
        """Apply and verify. A book that fails is dropped here, before anything could be sampled from it."""
        from_ms = book.ts_ms
        before = book.unknown_deletes
        try:
            book.apply(change)
        except LevelError as error:
            trouble: tuple[Trouble, str] | None = ("schema", str(error))
        else:
            self.counts.unknown_deletes += book.unknown_deletes - before
            trouble = self._verify(change, book)
        if trouble is None:
            audit = self._audits.get(change.inst_id)
            if audit is not None:
                audit.follow(change)
            return None
        self._session.resync(change.inst_id, now_ms)
        return replace(self._lose(change.inst_id, *trouble, change.ts_ms), from_ms=from_ms)

    def _verify(self, change: BookChange, book: Book) -> tuple[Trouble, str] | None:
        breach = book.breach(change.inst_id not in self._not_live)
        if breach is not None:
            return "invariant", breach
        if not is_provided(change.checksum):
            self.counts.checksums_absent += 1
            return None
        computed = book_checksum(*book.top(25))
        if computed != change.checksum:
            return "checksum", f"computed {computed}, OKX says {change.checksum}"
        self.counts.checksums_verified += 1
        return None

    def _lose(
        self, inst_id: str, cause: Trouble | Ending, detail: str, to_ms: int | None, flagged: Snapshot | None = None
    ) -> Lost:
        book = self._books[inst_id]
        self._books[inst_id] = None
        self._audits.pop(inst_id, None)
        return Lost(inst_id, cause, detail, book.ts_ms if book is not None else None, to_ms, flagged)


def _quote(output: Output, frame: bytes) -> Output:
    if isinstance(output, Lost) and output.cause == "schema":
        return replace(output, frame=frame)
    return output
