"""One channel of one instrument on one connection, measured message by message. Pure: times are handed in.

Applies the recorder's own rules (chain, book, checksum), and counts instead of recording.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key
from l2vault.errors import LevelError
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.sequence import is_chained

TRADES: Final = "trades"
MOST_KEPT: Final = 100_000
"""Samples of each figure; beyond it the oldest go. Three hours of a busy instrument."""
REACH_EVERY: Final = 50
"""Messages from one look at the whole book to the next."""


class Step(Enum):
    """What a message of `books` was, and so what the caller has to do."""

    FULL = auto()  # the book is there
    APPLIED = auto()
    UNSEEDED = auto()  # an update without a book: it may still be joined with one from REST
    DUPLICATE = auto()
    BROKEN = auto()  # the book is gone: subscribe again


@dataclass(slots=True)
class Break:
    """A message whose `prevSeqId` is not the last `seqId`."""

    at_ms: int
    expected: int | None
    got: int | None


def _samples() -> "deque[int]":
    return deque(maxlen=MOST_KEPT)


@dataclass(slots=True)
class BookStream:
    """`books` of one instrument on one feed, across the feed's connections."""

    inst_id: str
    messages: int = 0
    full_books: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    full_after_ack_ms: list[int] = field(default_factory=list)
    full_before_ack: int = 0
    unasked_full_books: int = 0
    joined_by_rest: int = 0
    breaks: list[Break] = field(default_factory=list)
    heartbeats: int = 0
    resets: int = 0
    duplicates: int = 0
    unreadable: int = 0
    unknown_deletes: int = 0
    without_seq_id: int = 0
    checksums_absent: int = 0
    checksums_right: int = 0
    checksums_wrong: int = 0
    silences: int = 0
    largest_side: int = 0
    levels: "deque[int]" = field(default_factory=_samples)
    sizes: "deque[int]" = field(default_factory=_samples)
    full_sizes: list[int] = field(default_factory=list)
    delays_ms: "deque[int]" = field(default_factory=_samples)
    numbered: "deque[tuple[int, int]]" = field(default_factory=lambda: deque(maxlen=MOST_KEPT))
    """`seqId` and time of arrival of every message."""
    bid_reach_bps: list[float] = field(default_factory=list)
    ask_reach_bps: list[float] = field(default_factory=list)
    sides: tuple[int, int] = (0, 0)
    """Levels of the book at the last look."""
    book: Book | None = None
    _acked_ms: int | None = None
    _awaits_full: bool = False
    _last: BookChange | None = None

    @property
    def last_seq_id(self) -> int | None:
        return self.numbered[-1][0] if self.numbered else None

    def begin(self) -> None:
        """A new connection or subscription: nothing follows what came before."""
        self.book = None
        self._last = None
        self._acked_ms = None
        self._awaits_full = True

    def acknowledge(self, now_ms: int) -> None:
        self._acked_ms = now_ms

    def take(self, change: BookChange, size_bytes: int, wall_ms: int, now_ms: int) -> Step:
        """One message. After `BROKEN` the caller resubscribes and calls `begin`."""
        self.messages += 1
        self.first_ms = now_ms if self.first_ms is None else self.first_ms
        self.last_ms = now_ms
        if change.seq_id is None:
            self.without_seq_id += 1
        else:
            self.numbered.append((change.seq_id, now_ms))
        if change.is_snapshot:
            return self._take_full(change, size_bytes, now_ms)
        self.levels.append(len(change.bids) + len(change.asks))
        self.sizes.append(size_bytes)
        if change.ts_ms is not None:
            self.delays_ms.append(wall_ms - change.ts_ms)
        return self._take_update(change, now_ms)

    def seed(self, changes: list[BookChange]) -> None:
        """A book that REST gave, and the updates after it."""
        self.joined_by_rest += 1
        self.book = Book()
        for change in changes:
            self._apply(change, self.book)

    def _take_full(self, change: BookChange, size_bytes: int, now_ms: int) -> Step:
        self.full_books += 1
        self.full_sizes.append(size_bytes)
        if not self._awaits_full:
            self.unasked_full_books += 1
        elif self._acked_ms is None:
            self.full_before_ack += 1
        else:
            self.full_after_ack_ms.append(now_ms - self._acked_ms)
        self._awaits_full = False
        self.book = Book()
        self._last = change
        if not self._apply(change, self.book):
            return Step.BROKEN
        self._look()
        return Step.FULL

    def _take_update(self, change: BookChange, now_ms: int) -> Step:
        last, self._last = self._last, change
        if last is not None:
            if _is_same(change, last):
                self.duplicates += 1
                return Step.DUPLICATE
            if not is_chained(change, last.seq_id):
                self.breaks.append(Break(now_ms, last.seq_id, change.prev_seq_id))
                was_seeded, self.book = self.book is not None, None
                return Step.BROKEN if was_seeded else Step.UNSEEDED
            self._note_kind(change)
        if self.book is None:
            return Step.UNSEEDED
        if not self._apply(change, self.book):
            return Step.BROKEN
        if self.messages % REACH_EVERY == 0:
            self._look()
        return Step.APPLIED

    def _note_kind(self, change: BookChange) -> None:
        if change.seq_id is None or change.prev_seq_id is None:
            return
        self.heartbeats += change.seq_id == change.prev_seq_id
        self.resets += change.seq_id < change.prev_seq_id

    def _apply(self, change: BookChange, book: Book) -> bool:
        before = book.unknown_deletes
        try:
            book.apply(change)
        except LevelError:
            self.unreadable += 1
            self.book = None
            return False
        self.unknown_deletes += book.unknown_deletes - before
        if not is_provided(change.checksum):
            self.checksums_absent += 1
        elif book_checksum(*book.top(25)) == change.checksum:
            self.checksums_right += 1
        else:
            self.checksums_wrong += 1
        return True

    def _look(self) -> None:
        """How far from mid the whole book reaches."""
        if self.book is None:
            return
        bids, asks = self.book.top(CHANNEL_DEPTH + 1)
        self.sides = (len(bids), len(asks))
        self.largest_side = max(self.largest_side, *self.sides)
        if bids and asks:
            double_mid = price_key(bids[0][0]) + price_key(asks[0][0])
            self.bid_reach_bps.append(_reach_bps(bids, double_mid))
            self.ask_reach_bps.append(_reach_bps(asks, double_mid))


def _is_same(change: BookChange, last: BookChange) -> bool:
    """Whether it is the message before once more. A heartbeat repeats numbers without being one."""
    return (
        change.seq_id is not None
        and change.seq_id != change.prev_seq_id
        and (change.seq_id, change.prev_seq_id) == (last.seq_id, last.prev_seq_id)
        and (change.bids, change.asks) == (last.bids, last.asks)
    )


def _reach_bps(levels: list[Level], double_mid: int) -> float:
    return abs(2 * price_key(levels[-1][0]) - double_mid) / double_mid * 10_000


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""


class TradeData(msgspec.Struct, gc=False):
    """One object of a push of `trades`, as far as it is measured."""

    tradeId: str
    ts: str = "0"
    count: str | None = None
    source: str | None = None
    seqId: int | None = None


class _TradePush(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[TradeData]


_TRADE_DECODER: Final = msgspec.json.Decoder(_TradePush)


def decode_trades(frame: bytes) -> tuple[str, list[TradeData]] | None:
    """Instrument and trades of a push of `trades`; None for every other frame, and for one that cannot be read."""
    if b'"trades"' not in frame[:64]:
        return None
    try:
        push = _TRADE_DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (push.arg.instId, push.data) if push.arg.channel == TRADES else None


@dataclass(slots=True)
class TradeStream:
    """`trades` of one instrument on one feed.

    OKX (docs, 2026-07-22): a push aggregates `count` matches, and `tradeId` is the last one's id. So nothing is missing
    where `tradeId - count` is the id before it; every other step is unexplained until somebody says what it means.
    """

    inst_id: str
    pushes: int = 0
    matches: int = 0
    fits: int = 0
    unexplained: list[int] = field(default_factory=list)
    """The sizes of the steps that do not fit: ids missing, or negative where ids came again with others."""
    repeats: int = 0
    with_seq_id: int = 0
    above_book: int = 0
    """With a `seqId` above that of the last book on arrival."""
    compared_with_book: int = 0
    without_count: int = 0
    unreadable: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    delays_ms: "deque[int]" = field(default_factory=_samples)
    _last_id: int | None = None

    def begin(self) -> None:
        """A new connection: what passed meanwhile is no step."""
        self._last_id = None

    def take(self, trade: TradeData, book_seq_id: int | None, wall_ms: int) -> None:
        """One trade; `book_seq_id` is that of the instrument's last message of `books` on the same feed."""
        self.pushes += 1
        count = trade.count if trade.count is not None else "1"
        if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in (trade.tradeId, trade.ts, count)):
            self.unreadable += 1
            return
        self.without_count += trade.count is None
        self.delays_ms.append(wall_ms - int(trade.ts))
        source = trade.source if trade.source is not None else "absent"
        self.sources[source] = self.sources.get(source, 0) + 1
        if trade.seqId is not None:
            self.with_seq_id += 1
            if book_seq_id is not None:
                self.compared_with_book += 1
                self.above_book += trade.seqId > book_seq_id
        self._follow(int(trade.tradeId), int(count))

    def _follow(self, trade_id: int, count: int) -> None:
        last = self._last_id
        if trade_id == last:
            self.repeats += 1
            return
        self._last_id = trade_id if last is None else max(last, trade_id)
        self.matches += count
        if last is None:
            return
        step = trade_id - count - last
        if step == 0:
            self.fits += 1
        else:
            self.unexplained.append(step)
