"""Which pushes the vault keeps of an instrument: one feed's at a time, without a gap wherever one feed has them all.

Every feed's book is followed here a second time, so that another feed can go on at the very push at which the written
one ends. Pure: what it decides goes to `put`, and nothing is written of what that has no room for.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.book.replay import full_book
from l2vault.okx.outputs import Applied
from l2vault.vault.store.layout import HOUR_MS

BEHIND_MS: Final = 2_000
"""Of exchange time: a feed that is this far behind another one stands still, or will soon be found lost."""
WAITING_AT_MOST: Final = 256
"""Pushes of a feed that is ahead of the written one; 2 s of OKX's are about 20."""
BACK_MS: Final = 60_000
"""Where no feed is written and one in sync is this much older than what was, that had a time of the future."""

REMEMBERED: Final = 64
"""Pushes of an instrument that the other feed's are compared with; feeds are hardly ever 6 s apart."""

_DISPROVED: Final = frozenset({"conflict", "audit"})
"""Losses which say that pushes before may have been wrong, not only those to come."""


class Sink(Protocol):
    """Where changes go, and what says how they fare."""

    def has_room(self) -> bool: ...
    def put(self, recorded: RecordedChange, cause: str | None, dropped: int) -> None:
        """`cause`: a full book that does not follow what was put before, and why; `dropped` pushes came between."""


Doubt = Callable[[str, int, int, str], None]
"""Is told of changes that were written and may be wrong: instrument, from after, up to, cause."""


@dataclass(slots=True)
class _Feed:
    """A feed's book as far as it was written, or as the written time has passed it, and its pushes from there on."""

    book: Book | None = None
    waiting: deque[Applied] = field(default_factory=deque)
    proved_ms: int = -1
    """Up to here another source was seen to have the same book."""

    def pass_one(self) -> Applied:
        """The oldest push is behind what is written: it is in the book from now on."""
        applied = self.waiting.popleft()
        self._apply(applied.change)
        return applied

    def _apply(self, change: BookChange) -> None:
        if self.book is None:
            self.book = Book()
        self.book.apply(change)


@dataclass(slots=True)
class _Instrument:
    feeds: dict[int, _Feed] = field(default_factory=dict)
    current: int | None = None
    begun_ms: int = -1
    """Since when the current feed is the written one."""
    written_ms: int | None = None
    cause: str | None = "our_restart"
    """Why the next full book does not follow; None where nothing came between."""
    lost_cause: str = "our_restart"
    dropped: int = 0
    dropped_ms: int = -1
    seen: dict[int, tuple[int, int | None, int]] = field(default_factory=dict)
    """By `seqId`, of whoever brought a push first: the feed, `prevSeqId` and a hash of the levels."""
    disputed_ms: int | None = None
    """After this time the feeds brought a push of the same numbers with other levels, and no equal book since."""

    def contradicts(self, number: int, change: BookChange) -> bool:
        """Whether another feed brought a push of these numbers with other levels."""
        if change.is_snapshot or change.seq_id is None or change.seq_id == change.prev_seq_id:
            return False
        levels = hash((tuple(change.asks), tuple(change.bids)))
        first = self.seen.setdefault(change.seq_id, (number, change.prev_seq_id, levels))
        if len(self.seen) > REMEMBERED:
            del self.seen[next(iter(self.seen))]
        return first[0] != number and first[1] == change.prev_seq_id and first[2] != levels

    def look_back(self, applied: Applied) -> None:
        ts_ms, written_ms = applied.ts_ms, self.written_ms
        if self.current is None and ts_ms is not None and written_ms is not None and written_ms - ts_ms > BACK_MS:
            self.written_ms, self.cause = None, self.cause or "clock"

    def drop(self, applied: Applied) -> None:
        """There was no room for it. Feeds bring the same: what an earlier one brought is not counted again."""
        if (applied.ts_ms or 0) > self.dropped_ms:
            self.dropped, self.dropped_ms = self.dropped + 1, applied.ts_ms or 0


class ChangeRelay:
    """Give it every `Applied` and every loss of every feed, in the order in which they happen."""

    def __init__(self, sink: Sink, doubt: Doubt, cause: str = "our_restart") -> None:
        """`cause` is why the first full book of each instrument does not follow what was written before."""
        self._sink = sink
        self._doubt = doubt
        self._cause = cause
        self._instruments: dict[str, _Instrument] = {}

    def take(self, number: int, applied: Applied) -> None:
        """A push that a feed has applied to its book."""
        one = self._of(applied.change.inst_id)
        feed = one.feeds.setdefault(number, _Feed())
        if feed.book is None and not feed.waiting and not applied.change.is_snapshot:
            return  # a feed is followed from a full book on
        if one.contradicts(number, applied.change) and one.disputed_ms is None:
            before_ms = (applied.ts_ms or 0) - 1
            one.disputed_ms = before_ms if one.written_ms is None else min(before_ms, one.written_ms)
        feed.waiting.append(applied)
        one.look_back(applied)
        if one.current == number:
            self._write(one, number, feed)
            return
        _pass_written(one, feed)
        if feed.waiting and one.current is not None and self._is_behind(one, feed):
            one.current, one.lost_cause = None, "behind"
        if feed.waiting and one.current is None:
            self._begin(one, number, feed)

    def lost(self, number: int, inst_id: str, cause: str) -> None:
        """The feed's book is not known any more. Another one that is in sync goes on at once."""
        one = self._of(inst_id)
        feed = one.feeds.pop(number, None)
        if feed is None:
            return
        if one.current == number:
            one.current, one.lost_cause = None, cause
            from_ms = max(one.begun_ms, feed.proved_ms)
            if cause in _DISPROVED and one.written_ms is not None and from_ms < one.written_ms:
                self._doubt(inst_id, from_ms, one.written_ms, cause)
                one.disputed_ms = None
            for other, ahead in one.feeds.items():
                _pass_written(one, ahead)
                if one.current is None and ahead.waiting:
                    self._begin(one, other, ahead)

    def proved(self, number: int, inst_id: str, ts_ms: int) -> None:
        """The feed's book of this time was seen to be right. What the feeds contradicted each other in is over then."""
        one = self._of(inst_id)
        feed = one.feeds.get(number)
        if feed is not None:
            feed.proved_ms = max(feed.proved_ms, ts_ms)
        if one.disputed_ms is not None and ts_ms > one.disputed_ms:
            self._doubt(inst_id, one.disputed_ms, ts_ms, "conflict")
            one.disputed_ms = None

    def close(self) -> None:
        """The end of a run: what the feeds contradicted each other in stays in doubt."""
        for inst_id, one in self._instruments.items():
            if one.disputed_ms is not None and one.written_ms is not None:
                self._doubt(inst_id, one.disputed_ms, max(one.written_ms, one.disputed_ms), "conflict")

    def restart(self, inst_id: str, cause: str) -> None:
        """What was put last is not on the disk: begin anew with a full book."""
        one = self._of(inst_id)
        one.current, one.cause = None, one.cause or cause

    def _of(self, inst_id: str) -> _Instrument:
        one = self._instruments.get(inst_id)
        if one is None:
            one = self._instruments[inst_id] = _Instrument(cause=self._cause, lost_cause=self._cause)
        return one

    def _is_behind(self, one: _Instrument, feed: _Feed) -> bool:
        """Whether the written feed is so far behind this one that this one is written instead."""
        newest_ms = feed.waiting[-1].ts_ms or 0
        return newest_ms - (one.written_ms or 0) > BEHIND_MS or len(feed.waiting) > WAITING_AT_MOST

    def _begin(self, one: _Instrument, number: int, feed: _Feed) -> None:
        """Write this feed's book as it stood when the writing ended, and its pushes since."""
        if not self._sink.has_room():
            one.cause = one.cause or "queue"
            one.current = None
            while feed.waiting:
                one.drop(feed.pass_one())
            return
        first, full = feed.waiting[0], None
        if feed.book is None or feed.book.ts_ms is None:
            feed.pass_one()
            if first.ts_ms is None:
                return  # a book without a time cannot be written
            full = first if first.change.is_snapshot else None
        one.begun_ms = self._put_first(one, number, first, full)
        one.current = number
        self._write(one, number, feed)

    def _put_first(self, one: _Instrument, number: int, first: Applied, full: Applied | None) -> int:
        """The full book with which a feed begins: a push of its own, or the recorder's book before or after `first`.
        Returns its exchange time."""
        book = one.feeds[number].book
        assert book is not None and book.ts_ms is not None
        follows = one.written_ms is not None and book.ts_ms <= one.written_ms and full is None
        if not follows:
            one.cause = one.cause or one.lost_cause
        at_ms = max(book.ts_ms, one.written_ms or 0)
        if full is not None:
            self._put(one, RecordedChange(at_ms, full.change, full.origin, number))
        else:
            own = full_book(first.change.inst_id, book, first.change.recv_us)
            self._put(one, RecordedChange(at_ms, own, "book", number))
        return at_ms

    def _write(self, one: _Instrument, number: int, feed: _Feed) -> None:
        """Everything of the written feed; at the turn of an hour its book first."""
        while feed.waiting:
            if not self._sink.has_room():
                self._begin(one, number, feed)
                return
            applied = feed.waiting[0]
            assert applied.ts_ms is not None and feed.book is not None and one.written_ms is not None
            hour_ms = applied.ts_ms // HOUR_MS * HOUR_MS
            if one.written_ms < hour_ms and not applied.change.is_snapshot:
                own = full_book(applied.change.inst_id, feed.book, applied.change.recv_us)
                self._put(one, RecordedChange(hour_ms, own, "book", number))
            feed.pass_one()
            if applied.change.is_snapshot:
                one.cause = one.cause or "full_book"
            self._put(one, RecordedChange(applied.ts_ms, applied.change, applied.origin, number))

    def _put(self, one: _Instrument, recorded: RecordedChange) -> None:
        self._sink.put(recorded, one.cause if recorded.change.is_snapshot else None, one.dropped)
        one.written_ms, one.cause, one.dropped = recorded.ts_ms, None, 0


def _pass_written(one: _Instrument, feed: _Feed) -> None:
    """A push of the time that is written already, or of none, is in the feed's book from now on."""
    while feed.waiting:
        ts_ms = feed.waiting[0].ts_ms
        if ts_ms is not None and (one.written_ms is None or ts_ms > one.written_ms):
            return
        feed.pass_one()
