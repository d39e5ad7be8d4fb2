"""`RecordedChange`, one push of an order book as the vault keeps it, and its one form as a line (docs/format.md).

Shared by writers and readers; knows no file and no path. What a row of such lines proves is `replay`'s to say.
"""

import re
from typing import Annotated, Final, Literal

import msgspec

from l2vault.book.change import BookChange, Level
from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text
from l2vault.errors import LineError

Origin = Literal["ws", "rest", "book"]
"""Where a push came from: the websocket, REST (a full book), or the recorder's own book, written whole."""

_EXCHANGE: Final = "okx"
_MARKET: Final = "perp"
_CHANNEL: Final = "books"
_NO_TIME: Final = "0"
"""OKX's `ts` where it is no time; also written for a push that carried an empty one."""
_TIME: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class RecordedChange(msgspec.Struct, frozen=True):
    """A push that was applied to the book of one feed, or that book itself (`origin` is `book`).

    `ts_ms` is the time of the book once it is applied: the push's own, or that of a push before it where its own is
    none or a little older. Of the book at the start of an hour's file it is the beginning of the hour.
    """

    ts_ms: int
    change: BookChange
    origin: Origin
    feed: int

    @property
    def inst_id(self) -> str:
        return self.change.inst_id

    @property
    def is_full(self) -> bool:
        """Whether it needs no line before it."""
        return self.change.is_snapshot

    def line(self) -> bytes:
        """`to_change_line` of it."""
        return to_change_line(self)


class _Row(msgspec.Struct, gc=False):
    """The line, its keys in the order of docs/format.md. Keys that a later version adds are passed over."""

    timestamp_utc: str
    exchange: str
    market: str
    channel: str
    instId: str
    action: Literal["snapshot", "update"]
    asks: list[Level]
    bids: list[Level]
    ts: str
    checksum: _Number | None
    seqId: _Number | None
    prevSeqId: _Number | None
    recv_utc: str
    origin: Origin
    feed: _Number


class ChangeHead(msgspec.Struct, frozen=True, gc=False):
    """A line without its levels: what shows whether it follows the line before it."""

    timestamp_utc: str
    action: Literal["snapshot", "update"]
    seqId: _Number | None
    prevSeqId: _Number | None
    origin: Origin

    def follows(self, before: "ChangeHead") -> bool:
        """Whether nothing came between the two, by the law of docs/format.md."""
        if self.action == "update":
            return self.prevSeqId == before.seqId
        is_same = self.seqId is not None and self.seqId == before.seqId
        return self.origin == "book" and (is_same or self.timestamp_utc == before.timestamp_utc)


_ENCODER: Final = msgspec.json.Encoder()
_HEADS: Final = msgspec.json.Decoder(ChangeHead)
_DECODER: Final = msgspec.json.Decoder(_Row)


def to_change_line(recorded: RecordedChange) -> bytes:
    """The line without its newline: compact JSON, the keys in the order of docs/format.md."""
    change = recorded.change
    row = _Row(
        utc_text(recorded.ts_ms),
        _EXCHANGE,
        _MARKET,
        _CHANNEL,
        change.inst_id,
        "snapshot" if change.is_snapshot else "update",
        change.asks,
        change.bids,
        _NO_TIME if change.ts_ms is None else str(change.ts_ms),
        change.checksum,
        change.seq_id,
        change.prev_seq_id,
        utc_micros_text(change.recv_us),
        recorded.origin,
        recorded.feed,
    )
    return _ENCODER.encode(row)


def head_of_change(line: bytes) -> ChangeHead | None:
    """None for a line that is none of a change."""
    try:
        return _HEADS.decode(line)
    except ValueError:
        return None


def from_change_line(line: bytes) -> RecordedChange:
    """What a line holds; raises LineError for a torn or foreign one. `to_change_line` gives an unaltered one back."""
    try:
        row = _DECODER.decode(line)
        ts_ms, recv_us = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
        own_ms = int(row.ts) if _TIME.fullmatch(row.ts) else -1
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a line of book changes: {error}") from error
    if (row.exchange, row.market, row.channel) != (_EXCHANGE, _MARKET, _CHANNEL):
        raise LineError(f"not a line of OKX perp book changes: {row.exchange}, {row.market}, {row.channel}")
    if own_ms < 0:
        raise LineError(f"not a line of book changes: ts is {row.ts[:60]!r}")
    change = BookChange(
        row.instId,
        row.action == "snapshot",
        row.bids,
        row.asks,
        own_ms or None,
        row.seqId,
        row.prevSeqId,
        row.checksum,
        recv_us,
    )
    return RecordedChange(ts_ms, change, row.origin, row.feed)
