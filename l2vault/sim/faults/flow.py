"""Faults in how pushes flow on one connection: held back, out of order, merged, or not at all.

Each keeps what it needs of earlier frames; none changes what a push says, but for `Batch`, which merges several into
one that says the same.
"""

import asyncio

import msgspec

from l2vault.errors import LevelError
from l2vault.sim.exchange.books import encode_push
from l2vault.sim.exchange.levels import ASK, BID, last_words
from l2vault.sim.faults.context import FaultContext
from l2vault.sim.faults.frame import FaultySocket, Frame, Item, SetHalfOpen


class NoBook:
    """Requests and pings are answered, but no push of the instrument and no full book goes out."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context

    def feed(self, frame: Frame) -> list[Item]:
        is_silenced = frame.change is not None and self._context.is_on(frame.change.inst_id)
        return [] if is_silenced else [frame]


class NoFullBook:
    """Subscriptions are acknowledged and updates flow, but never a full book."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context

    def feed(self, frame: Frame) -> list[Item]:
        change = frame.change
        is_silenced = change is not None and change.is_snapshot and self._context.is_on(change.inst_id)
        return [] if is_silenced else [frame]


class LateFullBook:
    """A subscription's full book comes after so many updates: the one of then, which fits, or the stale one."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._waiting: dict[str, tuple[Frame, int]] = {}

    def feed(self, frame: Frame) -> list[Item]:
        change = frame.change
        if change is None:
            return [frame]
        if change.is_snapshot:
            if frame.number or not self._context.is_on(change.inst_id):
                self._waiting.pop(change.inst_id, None)
                return [frame]
            self._waiting[change.inst_id] = (frame, self._context.fault.number("updates"))
            return []
        full_book, left = self._waiting.pop(change.inst_id, (None, 0))
        if full_book is None:
            return [frame]
        if left > 1:
            self._waiting[change.inst_id] = (full_book, left - 1)
            return [frame]
        fresh = self._context.full_book(change.inst_id) if self._context.fault.word("book") == "fresh" else None
        return [frame, fresh or full_book]


class Reorder:
    """A struck push changes places with the next one of its instrument and channel."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._held: dict[tuple[str, bool], Frame] = {}

    def feed(self, frame: Frame) -> list[Item]:
        change, key = frame.change, (frame.inst_id, frame.trade is not None)
        if not frame.inst_id:
            return [frame]
        held = self._held.pop(key, None)
        if held is not None:
            # A new subscription's full book makes what was held a thing of the past.
            return [frame] if change is not None and change.is_snapshot and not frame.number else [frame, held]
        if not self._context.hits(frame):
            return [frame]
        self._held[key] = frame
        return []

    def settle(self) -> list[Item]:
        held, self._held = self._held, {}
        return list(held.values())


class Batch:
    """Consecutive updates leave as one, with the first's `prevSeqId` and the last's `seqId` and `ts`.

    Where a batch ends follows from the numbers of the pushes, so that two connections with the same `merge` and
    different offsets are out of phase for good.
    """

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._merge = context.fault.number("merge")
        self._offset = context.fault.number("offset")
        self._pending: dict[str, list[Frame]] = {}

    def feed(self, frame: Frame) -> list[Item]:
        change = frame.change
        if change is None:
            return [frame]
        if change.is_snapshot:
            self._pending.pop(change.inst_id, None)  # it is in there
            return [frame]
        pending = self._pending.setdefault(change.inst_id, [])
        pending.append(frame)
        is_whole = (frame.number + self._offset) % self._merge == 0
        if not is_whole and self._context.is_on(change.inst_id):
            return []
        del self._pending[change.inst_id]
        return _merged(pending)

    def settle(self) -> list[Item]:
        pending, self._pending = self._pending, {}
        return [item for frames in pending.values() for item in _merged(frames)]


class Stall:
    """Everything waits until the strike is over and then leaves in order."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._held: list[Item] = []

    def feed(self, frame: Frame) -> list[Item]:
        self._held.append(frame)
        return [] if self._context.is_on() else self.settle()

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        return [] if self._context.is_on() else self.settle()

    def settle(self) -> list[Item]:
        held, self._held = self._held, []
        return held


class HalfOpen:
    """The connection is dead without either side having been told: nothing goes out, not even a close."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._is_on = False

    def feed(self, frame: Frame) -> list[Item]:
        turned = self._turn()
        return turned if self._is_on else [*turned, frame]

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        return self._turn()

    def _turn(self) -> list[Item]:
        was_on, self._is_on = self._is_on, self._context.is_on()
        return [] if was_on == self._is_on else [SetHalfOpen(self._is_on)]


class Trickle:
    """Frames leave in pieces of a few bytes."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context

    def feed(self, frame: Frame) -> list[Item]:
        return [frame._replace(manner=frame.manner or self._send)] if self._context.is_on() else [frame]

    async def _send(self, socket: FaultySocket, text: str) -> None:
        await socket.send_in_pieces(text, self._context.fault.number("piece"), self._pause)

    async def _pause(self) -> None:
        pause_ms = self._context.fault.number("pause")
        if pause_ms:
            await self._context.scaled_clock.sleep(pause_ms)
        else:
            await asyncio.sleep(0)  # a turn of the loop is enough for the system to send the pieces apart


def _merged(frames: list[Frame]) -> list[Item]:
    """One frame in place of all; what cannot be read cannot be merged and goes as it is."""
    changes = [frame.change for frame in frames if frame.change is not None]
    times = [change.ts_ms for change in changes if change.ts_ms is not None]
    if len(frames) == 1:
        return [frames[0]]
    try:
        change = msgspec.structs.replace(
            changes[-1],
            bids=last_words((change.bids for change in changes), BID),
            asks=last_words((change.asks for change in changes), ASK),
            ts_ms=max(times, default=None),
            prev_seq_id=changes[0].prev_seq_id,
        )
    except LevelError:
        return list(frames)
    struck = frozenset[int]().union(*(frame.struck for frame in frames))
    return [frames[-1]._replace(text=encode_push(change), change=change, struck=struck)]
