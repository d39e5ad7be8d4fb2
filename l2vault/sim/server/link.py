"""One client's connection in motion: frames out in order, requests in, and OKX's reasons for hanging up.

Every frame to the client passes through `ClientConnection.emit`, and there through the chain of faults planned for it
(`chain`). What the frames say is the peer's business (`peer`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.chain import Chain
from l2vault.sim.faults.frame import ABNORMAL, Frame, HangUp, Item, SetHalfOpen
from l2vault.sim.server.peer import ServerSession
from l2vault.sim.server.wire import WiredConnection

_log = logging.getLogger(__name__)

GRACE_SEC: Final = 5.0
"""How long a client may take to read what it was sent and to answer the close frame, before the line is cut."""


GOING_AWAY: Final = HangUp(1001, "")
_SILENT: Final = HangUp(4004, "No data received in 30s.")
_TOO_SLOW: Final = HangUp(4005, "buffer is full, cannot write data")


class Outbox:
    """What is on its way to one socket, in order, the item being sent included."""

    def __init__(self, limit_items: int) -> None:
        self._limit_items = limit_items
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._empty = asyncio.Event()
        self._settle()

    @property
    def is_full(self) -> bool:
        return len(self._items) >= self._limit_items

    @property
    def is_empty(self) -> bool:
        return not self._items

    def put(self, item: Item) -> None:
        """Never refuses: whoever must not overfill it asks `is_full` before or waits for `room` after."""
        self._items.append(item)
        self._settle()

    async def first(self) -> Item:
        """The oldest item, once there is one; it stays until `drop_first`."""
        await self._filled.wait()
        return self._items[0]

    def drop_first(self) -> None:
        """It has been sent. Where `clear` was quicker there is nothing to drop."""
        if self._items:
            self._items.popleft()
            self._settle()

    def clear(self) -> None:
        self._items.clear()
        self._settle()

    async def room(self) -> None:
        await self._roomy.wait()

    async def drained(self) -> None:
        await self._empty.wait()

    def _settle(self) -> None:
        for event, holds in (
            (self._filled, not self.is_empty),
            (self._roomy, not self.is_full),
            (self._empty, self.is_empty),
        ):
            if holds:
                event.set()
            else:
                event.clear()


class ClientConnection:
    """A peer, its socket, and the frames between them.

    `is_patient` is for a timeline that goes as fast as its clients read: it waits for a slow one, where otherwise a
    full outbox ends the connection as OKX ends it, so that one slow client never stalls the others.
    """

    def __init__(
        self,
        peer: ServerSession,
        socket: WiredConnection,
        chain: Chain,
        scaled_clock: ScaledClock,
        outbox: Outbox,
        is_patient: bool,
    ) -> None:
        self.peer = peer
        self._socket = socket
        self._chain = chain
        self._scaled_clock = scaled_clock
        self._outbox = outbox
        self._is_patient = is_patient
        self._ending = asyncio.Event()
        self._hang_up: HangUp | None = None
        self._grace_sec = GRACE_SEC

    def emit(self, frame: Frame) -> None:
        """Put one frame on its way: the only door through which anything leaves for this client."""
        self._put(self._chain.feed(frame))

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> None:
        """Exchange time has come to `ts_ms`; the faults `begun` begin."""
        self._put(self._chain.pass_time(ts_ms, begun))

    def end(self, reason: HangUp) -> None:
        """End the connection behind all that is on its way."""
        self._put([reason])

    def settle(self) -> None:
        """The timeline has ended: what faults keep back goes out."""
        self._put(self._chain.settle())

    async def room(self) -> None:
        """Returns once the client has read enough to be sent more, or is gone."""
        await self._outbox.room()

    async def drained(self) -> None:
        """Returns once every frame has been handed to the socket, or the client is gone."""
        await self._outbox.drained()

    def hang_up(self, reason: HangUp | None, grace_sec: float = GRACE_SEC) -> None:
        """End the connection, with a close frame unless the client is gone already (None).

        Frames not yet handed to the socket are dropped; for those that were, the client has `grace_sec` to read them.
        """
        if not self._ending.is_set():
            self._hang_up = reason
            self._grace_sec = grace_sec
            self._ending.set()
            self._outbox.clear()

    async def run(self, on_request: Callable[[], None]) -> None:
        """Serve the client until either side ends it; `on_request` is told after each request it has made."""
        _log.info("peer %s connected", self.peer.conn_id)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._receive(on_request)),
                group.create_task(self._send()),
                group.create_task(self._watch()),
            ]
            await self._ending.wait()
            for task in tasks:
                task.cancel()
        await self._close()

    async def _receive(self, on_request: Callable[[], None]) -> None:
        try:
            while True:
                text = await self._socket.recv(decode=True)
                before = self.peer.subscriptions
                for frame in self.peer.receive(text, self._scaled_clock.now_ms()):
                    self.emit(frame)
                if self.peer.subscriptions != before:
                    _log.info("peer %s has %d subscriptions", self.peer.conn_id, self.peer.subscriptions)
                on_request()
                await self.room()
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                self.peer.note_oversized()
            self.hang_up(None)

    async def _send(self) -> None:
        try:
            while True:
                await self._deliver(await self._outbox.first())
                self._outbox.drop_first()
                self.peer.note_sent(self._scaled_clock.now_ms())
        except ConnectionClosed:
            self.hang_up(None)

    async def _deliver(self, item: Item) -> None:
        if isinstance(item, HangUp):
            self.hang_up(item)
        elif isinstance(item, SetHalfOpen):
            self._socket.wire.is_deaf = item.is_on
        elif item.manner is not None:
            await item.manner(self._socket, item.text)
        else:
            await self._socket.send(item.text)

    def _put(self, items: Iterable[Item]) -> None:
        for item in items:
            if self._ending.is_set():
                return
            if self._outbox.is_full and not self._is_patient:
                self.hang_up(_TOO_SLOW)
                return
            self._outbox.put(item)

    async def _watch(self) -> None:
        """OKX gives up a connection on which nothing passes; a patient link does not while frames wait for it, and of
        one that is half open nobody knows."""
        while (remaining_ms := self.peer.silence_deadline_ms - self._scaled_clock.now_ms()) > 0:
            await self._scaled_clock.sleep(remaining_ms)
            if self._socket.wire.is_deaf or (self._is_patient and not self._outbox.is_empty):
                self.peer.note_sent(self._scaled_clock.now_ms())
        self.hang_up(_SILENT)

    async def _close(self) -> None:
        if self._hang_up is None:
            _log.info("peer %s is gone", self.peer.conn_id)
            return
        _log.info("peer %s closed: %d %s", self.peer.conn_id, *self._hang_up)
        wire = self._socket.wire
        try:
            async with asyncio.timeout(self._grace_sec):
                if self._hang_up.code == ABNORMAL:
                    wire.vanish()
                    await self._socket.wait_closed()
                elif wire.is_deaf:
                    wire.abort()
                else:
                    await self._socket.close(*self._hang_up)
        except TimeoutError:  # it does not read, so it would never see the close frame either
            wire.abort()
