"""What every format is written from: full books, changes of them, the end of what is known of the book, and trades,
each with its exchange time and its receive time.

Pure. It turns books that stood for a known time into such events, so that a reader of the events has at every
millisecond the book that is known, and none where none is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from l2vault.book.change import Level
from l2vault.book.change_line import RecordedChange
from l2vault.book.price import is_zero, price_key
from l2vault.book.snapshot import Snapshot

Source = Literal["changes", "lines", "archive"]
"""Of a book: every push was recorded; it was sampled; or it was not recorded, and is a sampled one of OKX's archive."""
Levels = tuple[list[Level], list[Level]]
"""Bids and asks, best first."""
Span = tuple[int, int]
"""Half-open, in milliseconds of exchange time."""

BELIEVED_LATENCY_MS: Final = 600_000
"""A receive time farther from the exchange's is that of a clock which was set wrong, and tells nothing."""


class BookEvent(msgspec.Struct, frozen=True, gc=False):
    """`full`: the whole book, best first, whatever stood before. `update`: levels that changed, in OKX's order, a
    quantity of zero for one that is gone. `clear`: from here on nothing is known of the book, until a `full`.

    `recv_us` is when the push came, by the recorder's clock; 0 where no push did, as of books of 2 s. `seq_id` is that
    of the push or line. `is_archive`: it was not recorded, and is of OKX's archive.
    """

    kind: Literal["full", "update", "clear"]
    ts_ms: int
    recv_us: int
    seq_id: int | None
    bids: list[Level]
    asks: list[Level]
    is_archive: bool = False


class TradeEvent(msgspec.Struct, frozen=True, gc=False):
    """The matches of one taker order at one price. `trade_id` is the last of its ids; `size` (contracts) is None where
    nothing tells the share of these ids in a sum."""

    ts_ms: int
    recv_us: int
    trade_id: int
    count: int
    side: str
    price: str
    size: str | None
    is_archive: bool = False


Event = BookEvent | TradeEvent


class Piece(NamedTuple):
    """A book that is known to stand over `[from_ms, to_ms)`, which may be empty: the next push has the same time.

    `update` is what changed since the piece before, None where this one does not follow it. `full` gives the levels, as
    long as the next piece has not been asked for.
    """

    source: Source
    from_ms: int
    to_ms: int
    recv_us: int
    seq_id: int | None
    update: Levels | None
    full: Callable[[], Levels]
    of: RecordedChange | Snapshot | None = None
    """What it was read from."""


class Shown:
    """Books as events, and how much of the span they fill: `shown_ms` by source, `holes`, each up to the event that
    ends it or to the end of the span, and `archived`, the times in which they are of OKX's archive. All are whole once
    `events` is exhausted. Where what was recorded and the archive meet, a `clear` parts them."""

    def __init__(self, span: Span, hidden: dict[Source, Sequence[Span]]) -> None:
        """`hidden` are spans, in order of time, in which books of a source are not shown: coverage calls them a
        hole. Of a source that it does not name all are shown."""
        self._span = span
        self._hidden = hidden
        self._until_ms: int | None = None
        """What the events show is right up to here; None: they show nothing."""
        self._last_ms = span[0]
        self._is_archive = False
        self.shown_ms: dict[Source, int] = {"changes": 0, "lines": 0, "archive": 0}
        self.holes: list[Span] = []
        self.archived: list[Span] = []

    def events(self, pieces: Iterable[Piece]) -> Iterator[BookEvent]:
        """In order of time, of pieces in order of time. The first is of the start of the span: the book that stood
        then, or a `clear`. So each span can be read alone, or behind the one before it."""
        begun = False
        for piece in pieces:
            for start_ms, end_ms in self._parts(piece):
                if not begun:
                    begun = True
                    if start_ms > self._span[0]:
                        yield self._ends(self._span[0])
                if piece.update is not None and self._until_ms == piece.from_ms == start_ms:
                    if piece.update[0] or piece.update[1]:
                        is_archive = piece.source == "archive"
                        yield BookEvent("update", start_ms, piece.recv_us, piece.seq_id, *piece.update, is_archive)
                else:
                    yield from self._shows(piece, start_ms)
                self._count(piece.source, start_ms, end_ms)
                self._until_ms = end_ms
        if not begun:
            yield self._ends(self._span[0])
        elif self._until_ms is not None and self._until_ms < self._span[1]:
            yield self._ends(self._until_ms)
        if self._until_ms is None:
            self.holes.append((self._last_ms, self._span[1]))

    def _count(self, source: Source, start_ms: int, end_ms: int) -> None:
        self.shown_ms[source] += end_ms - start_ms
        self._is_archive = source == "archive"
        if not self._is_archive:
            return
        if self.archived and self.archived[-1][1] == start_ms:
            self.archived[-1] = self.archived[-1][0], end_ms
        else:
            self.archived.append((start_ms, end_ms))

    def _shows(self, piece: Piece, start_ms: int) -> Iterator[BookEvent]:
        is_archive = piece.source == "archive"
        if self._until_ms is not None and (self._until_ms < start_ms or is_archive != self._is_archive):
            yield self._ends(self._until_ms)
        if self._until_ms is None and self._last_ms < start_ms:
            self.holes.append((self._last_ms, start_ms))
        recv_us = piece.recv_us if start_ms == piece.from_ms else 0
        yield BookEvent("full", start_ms, recv_us, piece.seq_id, *piece.full(), is_archive)

    def _ends(self, ts_ms: int) -> BookEvent:
        self._until_ms, self._last_ms = None, ts_ms
        return BookEvent("clear", ts_ms, 0, None, [], [])

    def _parts(self, piece: Piece) -> Iterator[Span]:
        """What of the piece is in the span and not hidden. Behind a hole a sampled book is not the one of then, even
        if the hole ends before the next sample; changes go on through what is hidden of them."""
        hidden = self._hidden.get(piece.source, ())
        at_ms, end_ms = max(piece.from_ms, self._span[0]), min(piece.to_ms, self._span[1])
        if piece.from_ms == piece.to_ms:
            is_shown = self._span[0] <= piece.from_ms < self._span[1]
            if is_shown and not any(start <= piece.from_ms < end for start, end in hidden):
                yield piece.from_ms, piece.from_ms
            return
        for start, end in hidden:
            if end <= at_ms:
                continue
            if start >= end_ms:
                break
            if at_ms < start:
                yield at_ms, start
            if piece.source != "changes":
                return
            at_ms = end
        if at_ms < end_ms:
            yield at_ms, end_ms


class AtItsTime(NamedTuple):
    """Of something else the times alone, of which that of receipt may not be known."""

    ts_ms: int
    recv_us: int = 0


class Timed(Protocol):
    """What has an exchange time and a receive time, 0 where none is known."""

    @property
    def ts_ms(self) -> int: ...

    @property
    def recv_us(self) -> int: ...


class Receipts:
    """Gives every event the time at which it was received, in microseconds by the recorder's clock.

    What has none of its own (books of 2 s, trades by REST, the beginning and the end of what is known) is given the
    latency of the event before it that has one; before the first, none. `disbelieved` receive times were more than ten
    minutes off. No book was received before the one that it changes, and no trade before the one before it, though the
    recorder's clock was put back in between or a latency fell by more than the time that passed: a reader that goes by
    the time of receipt would apply the changes in another order.
    """

    def __init__(self) -> None:
        self._latency_us = 0
        self._last_us: dict[type[Timed], int] = {}
        self.disbelieved = 0

    def local_us(self, event: Timed) -> int:
        """Ask once of each event, in their order."""
        kind = type(event)
        last_us = self._last_us[kind] = max(self._last_us.get(kind, 0), self._own_us(event))
        return last_us

    def _own_us(self, event: Timed) -> int:
        if event.recv_us:
            latency_us = event.recv_us - event.ts_ms * 1000
            if abs(latency_us) <= BELIEVED_LATENCY_MS * 1000:
                self._latency_us = latency_us
                return event.recv_us
            self.disbelieved += 1
        return event.ts_ms * 1000 + self._latency_us


def in_order(books: Iterable[BookEvent], trades: Iterable[TradeEvent]) -> Iterator[Event]:
    """Both by exchange time. Of one time trades come first: they took what the book then lacks, and a reader that knows
    where an order queues must not count them twice."""
    return merge(trades, books, key=lambda event: event.ts_ms)


def changed(before: Levels, after: Levels) -> Levels:
    """The levels that make one book of the other: first those that are gone, with quantity zero, then the new and the
    changed ones. A level that only its order count changed is one too."""
    bids, asks = (_changed_side(old, new) for old, new in zip(before, after, strict=True))
    return bids, asks


def _changed_side(old: list[Level], new: list[Level]) -> list[Level]:
    held, stays = set(old), {level[0] for level in new}
    keys = {price_key(price) for price in stays}
    gone = [
        (price, "0", "0", "0")
        for price in (level[0] for level in old)
        if price not in stays and price_key(price) not in keys
    ]
    return [*gone, *(level for level in new if level not in held)]


class Prices:
    """The prices at which a reader of the events has a level, a side each, as they were written last."""

    def __init__(self) -> None:
        self._held: tuple[dict[int, str], dict[int, str]] = {}, {}

    def update(self, side: int, level: Level) -> Literal["added", "changed", "deleted", "none"]:
        """Apply one level of side 0 (bids) or 1 (asks); what it does."""
        held, key = self._held[side], price_key(level[0])
        if is_zero(level[1]):
            return "none" if held.pop(key, None) is None else "deleted"
        was = key in held
        held[key] = level[0]
        return "changed" if was else "added"

    def replace(self, side: int, levels: Sequence[Level]) -> list[str]:
        """Take a full side; the prices that stood and do not any more."""
        new = {price_key(level[0]): level[0] for level in levels}
        gone = [price for key, price in self._held[side].items() if key not in new]
        self._held[side].clear()
        self._held[side].update(new)
        return gone
