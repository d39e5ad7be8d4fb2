"""Frames of OKX's v5 public websocket as types, both directions. Pure.

Tolerant where OKX grows (unknown events, channels and fields pass), strict where a wrong book or trade could follow: a
`books` push without `ts`, `bids` or `asks` is a `SchemaFailure`, never a guess.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from l2vault.book.change import BookChange, Level
from l2vault.book.trade import TRADES, Int64, TradePush, trade_fault
from l2vault.okx.context_messages import BY_TYPE, CONTEXT_HEADS, ContextFailure, ContextPush, decode_context, fault_of

BOOKS: Final = "books"
"""The channel: 400 levels a side, a full book once, then changes every 100 ms. Matched exactly: `books5` is another."""

PING: Final = "ping"
"""OKX: "send the String 'ping'": a bare text frame. `{"op":"ping"}` is answered with error 60012."""

_QUOTED_CHARS: Final = 60
"""Of a foreign text in a reason."""
_PONG: Final = b"pong"
_TIME: Final = re.compile(r"[0-9]{1,15}")
_YEAR_10000_MS: Final = 253_402_300_800_000
"""The first time that cannot be written as `timestamp_utc`."""


class Pong(msgspec.Struct, frozen=True):
    """The answer to `ping`: a bare text frame, not JSON."""


class Ack(msgspec.Struct, frozen=True):
    """OKX acknowledges one `arg` of a request. `request_id` is echoed only if one was sent.

    `inst_id` is what the arg names beside its channel: an instrument, an index, a type of instruments, or nothing.
    """

    is_subscribe: bool
    channel: str
    inst_id: str
    request_id: str | None
    conn_id: str | None


class Refusal(msgspec.Struct, frozen=True):
    """An `error` event. It names no instrument: match it by `request_id`, or for 60018 by the text of `message`."""

    code: str
    message: str
    request_id: str | None


class Notice(msgspec.Struct, frozen=True):
    """A `notice` event; 64008 announces that the connection will soon be closed for a service upgrade."""

    code: str
    message: str


class Unknown(msgspec.Struct, frozen=True):
    """An event, or a push of a channel, that we did not ask for: tolerated and counted."""

    what: str


class Traded(msgspec.Struct, frozen=True):
    """A push of `trades`. OKX sends one object a push; more are in the order of the wire."""

    inst_id: str
    pushes: list[TradePush]


class SchemaFailure(msgspec.Struct, frozen=True):
    """A frame we cannot read as what it claims to be. `inst_id` is None where not even that can be told."""

    inst_id: str | None
    reason: str
    frame: bytes
    channel: str = BOOKS
    is_our_fault: bool = False
    """Our own code failed at it, where it may be well. Only of channels beside the books."""


Message = BookChange | Traded | ContextPush | ContextFailure | Pong | Ack | Refusal | Notice | Unknown | SchemaFailure


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""
    instType: str = ""


class _Books(msgspec.Struct, gc=False):
    asks: list[Level]
    bids: list[Level]
    ts: str | int
    checksum: Int64 | None = None
    seqId: Int64 | None = None
    prevSeqId: Int64 | None = None


class _Push(msgspec.Struct, gc=False):
    """The hot path: a `books` push and nothing else."""

    arg: _Arg
    action: str
    data: list[_Books]


class _Trade(msgspec.Struct, gc=False):
    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str
    count: str | None = None
    source: str | None = None
    seqId: Int64 | None = None


class _TradesPush(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_Trade]


class _Frame(msgspec.Struct, gc=False):
    """Any frame, as far as it is common to all."""

    arg: _Arg | None = None
    event: str = ""
    code: str | int = ""
    msg: str = ""
    id: str | None = None
    connId: str | None = None


_PUSH_DECODER: Final = msgspec.json.Decoder(_Push)
_TRADES_DECODER: Final = msgspec.json.Decoder(_TradesPush)
_FRAME_DECODER: Final = msgspec.json.Decoder(_Frame)
_BOOKS_HEAD: Final = b'{"arg":{"channel":"books",'
_TRADES_HEAD: Final = b'{"arg":{"channel":"trades",'
"""How OKX writes them; spelt otherwise, a push of `books` or `trades` is read all the same, a little later."""
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Malformed or ill-typed JSON, invalid UTF-8, and nesting so deep that the decoder gives up."""
_ACTIONS: Final = {"snapshot": True, "update": False}


def decode(frame: bytes, recv_us: int = 0) -> Message:
    """One received frame. Never raises: what cannot be read is a `SchemaFailure`.

    `recv_us` is our clock when it arrived, in microseconds; books and trades carry it on.
    """
    if not frame.startswith(_BOOKS_HEAD):  # asked first: most frames are these, and the other questions cost more
        if frame.startswith(_TRADES_HEAD):
            return _trades(frame, recv_us)
        if frame.startswith(CONTEXT_HEADS) and (context := decode_context(frame)) is not None:
            return context
    try:
        push = _PUSH_DECODER.decode(frame)
    except _UNREADABLE as error:
        return _decode_other(frame, str(error), recv_us)
    if push.arg.channel != BOOKS:
        return decode_context(frame) or Unknown(f"channel {push.arg.channel}")
    return _book_change(push, frame, recv_us)


def encode_request(op: str, topics: Sequence[tuple[str, str]], request_id: str) -> str:
    """A `subscribe` or `unsubscribe` of many channels and names at once (480 requests an hour, so batch)."""
    args = [_arg_of(channel, name) for channel, name in topics]
    return msgspec.json.encode({"id": request_id, "op": op, "args": args}).decode()


def _arg_of(channel: str, name: str) -> dict[str, str]:
    if not name:
        return {"channel": channel}
    return {"channel": channel, "instType" if channel in BY_TYPE else "instId": name}


def _book_change(push: _Push, frame: bytes, recv_us: int) -> BookChange | SchemaFailure:
    inst_id = push.arg.instId
    if not inst_id:
        return SchemaFailure(None, "a push of `books` that names no instrument", frame)
    is_snapshot = _ACTIONS.get(push.action)
    if is_snapshot is None:
        return SchemaFailure(inst_id, f"action is {push.action[:_QUOTED_CHARS]!r}", frame)
    if len(push.data) != 1:
        return SchemaFailure(inst_id, f"{len(push.data)} objects in data, where OKX sends one", frame)
    data = push.data[0]
    ts = str(data.ts or "0")
    ts_ms = int(ts) if _TIME.fullmatch(ts) else _YEAR_10000_MS
    if ts_ms >= _YEAR_10000_MS:
        return SchemaFailure(inst_id, f"ts is {str(data.ts)[:_QUOTED_CHARS]!r}", frame)
    # "0" occurs in real archives (tardis-node skips it); it says nothing, so it must not move the book's time.
    known_ms = ts_ms or None
    return BookChange(
        inst_id, is_snapshot, data.bids, data.asks, known_ms, data.seqId, data.prevSeqId, data.checksum, recv_us
    )


def _trades(frame: bytes, recv_us: int) -> Message:
    try:
        return _decode_trades(frame, recv_us)
    except Exception as error:  # noqa: BLE001  (trades never end the reading of books; reported as our fault)
        return SchemaFailure(None, fault_of(error), frame, TRADES, True)


def _decode_trades(frame: bytes, recv_us: int) -> Message:
    try:
        push = _TRADES_DECODER.decode(frame)
    except _UNREADABLE as error:
        return _unreadable_trades(frame, str(error))
    inst_id = push.arg.instId
    pushes = []
    for row in push.data:
        values = row.tradeId, row.px, row.sz, row.side, row.ts, row.count, row.source, row.seqId
        one = TradePush(row.instId, *values, recv_us, "ws")
        fault = trade_fault(one) if row.instId == inst_id else f"a trade of {row.instId[:_QUOTED_CHARS]!r}"
        if fault is not None:
            return SchemaFailure(inst_id or None, fault, frame, TRADES)
        pushes.append(one)
    if not inst_id or not pushes:
        return SchemaFailure(inst_id or None, "a push of `trades` without instrument or trade", frame, TRADES)
    return Traded(inst_id, pushes)


def _unreadable_trades(frame: bytes, reason: str) -> SchemaFailure:
    """Its instrument is named as far as the rest of the frame is JSON."""
    try:
        arg = _FRAME_DECODER.decode(frame).arg
    except _UNREADABLE:
        arg = None
    return SchemaFailure(arg.instId or None if arg is not None else None, reason, frame, TRADES)


def _decode_other(frame: bytes, push_error: str, recv_us: int) -> Message:
    """What is not a well-formed `books` push: a `pong`, an event, another channel, or a failure."""
    if frame == _PONG:
        return Pong()
    try:
        head = _FRAME_DECODER.decode(frame)
    except _UNREADABLE as error:
        return SchemaFailure(None, str(error), frame)
    arg = head.arg or _Arg()
    if head.event in ("subscribe", "unsubscribe"):
        return Ack(head.event == "subscribe", arg.channel, arg.instId or arg.instType, head.id, head.connId)
    if head.event == "error":
        return Refusal(str(head.code), head.msg, head.id)
    if head.event == "notice":
        return Notice(str(head.code), head.msg)
    if not head.event and arg.channel == TRADES:
        return _trades(frame, recv_us)
    if head.event:
        return Unknown(f"event {head.event}")
    if arg.channel != BOOKS:
        return decode_context(frame) or Unknown(f"channel {arg.channel}")
    return SchemaFailure(arg.instId or None, push_error, frame)
