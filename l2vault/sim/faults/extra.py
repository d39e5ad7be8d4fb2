"""Faults that add something of their own: frames nobody asked for, notices, and the end of the connection."""

from collections.abc import Callable
from typing import Final

import msgspec

from l2vault.book.change import BookChange
from l2vault.sim.exchange.books import encode_push
from l2vault.sim.faults.context import FaultContext
from l2vault.sim.faults.frame import ABNORMAL, FaultySocket, Frame, HangUp, Item

_REASONS: Final = {4004: "No data received in 30s.", 4005: "buffer is full, cannot write data"}
_UPGRADE: Final = "The connection will soon be closed for a service upgrade. Please reconnect."
_ROW_OF_NOTHING: Final[dict[str, object]] = {"instType": "SWAP", "state": "live"}


def heartbeat(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """Behind the push, OKX's sign that nothing changed: no levels, `seqId` equal to `prevSeqId`."""
    beat = msgspec.structs.replace(change, is_snapshot=False, bids=[], asks=[], prev_seq_id=change.seq_id)
    return [frame, Frame(encode_push(beat), beat)]


def unasked_full_book(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    full_book = context.full_book(change.inst_id)
    return [frame] if full_book is None else [frame, full_book]


def close(context: FaultContext) -> list[Item]:
    return [_hang_up(context)]


def big_frame(context: FaultContext) -> list[Item]:
    """A push of the channel `instruments`, as legal as it is large: OKX's whole list may come in one frame."""
    row = next(iter(context.exchange.instrument_rows()), _ROW_OF_NOTHING)
    one = msgspec.json.encode(row).decode()
    rows = ",".join([one] * (context.fault.number("size") // len(one) + 1))
    return [Frame(f'{{"arg":{{"channel":"instruments","instType":"SWAP"}},"data":[{rows}]}}')]


def unknown_event(context: FaultContext) -> list[Item]:
    """Documented for private channels only; whoever records public ones should let it pass."""
    event = {"event": "channel-conn-count", "channel": "orders", "connCount": "2", "connId": context.conn_id}
    return [Frame(msgspec.json.encode(event).decode())]


class OneShot:
    """Something done once at the beginning of each strike, before the push that brought it about.

    A strike that is counted on this connection alone shows in the frame; all others begin for all connections at once.
    """

    def __init__(self, context: FaultContext, act: Callable[[FaultContext], list[Item]]) -> None:
        self._context = context
        self._act = act

    def feed(self, frame: Frame) -> list[Item]:
        return [*self._act(self._context), frame] if self._context.hits(frame) else [frame]

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        return self._act(self._context) if self._context.index in begun else []


class Notice:
    """OKX's 64008, and some time later the close it announces."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._close_ms: int | None = None

    def feed(self, frame: Frame) -> list[Item]:
        return [*self._announce(), frame] if self._context.hits(frame) else [frame]

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        announced = self._announce() if self._context.index in begun else []
        if self._close_ms is None or ts_ms < self._close_ms:
            return announced
        return [*announced, _hang_up(self._context)]

    def _announce(self) -> list[Item]:
        """The key order of the wire; the documentation prints `code` before `msg`."""
        schedule = self._context.schedule
        if self._close_ms is None:
            self._close_ms = schedule.now_ms + self._context.fault.number("after")
            schedule.wake_at(self._close_ms)
        notice = {"event": "notice", "msg": _UPGRADE, "code": "64008", "connId": self._context.conn_id}
        return [Frame(msgspec.json.encode(notice).decode())]


class Cut:
    """The next push leaves in part: the connection ends in the middle of its frame."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._is_armed = False

    def feed(self, frame: Frame) -> list[Item]:
        is_due = self._is_armed or self._context.hits(frame)
        if not is_due or frame.change is None:
            return [frame]
        self._is_armed = False
        return [frame._replace(manner=self._send), HangUp(ABNORMAL, "cut in the middle of a frame")]

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        self._is_armed = self._is_armed or self._context.index in begun
        return []

    async def _send(self, socket: FaultySocket, text: str) -> None:
        await socket.send_cut(text, self._context.fault.number("keep"))


def _hang_up(context: FaultContext) -> HangUp:
    code = context.fault.number("code")
    return HangUp(code, _REASONS.get(code, ""))
