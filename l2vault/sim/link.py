"""One client's connection in motion: frames out in order, requests in, and OKX's reasons for hanging up.

Every frame to the client passes through `Link.emit`. What the frames say is the peer's business (`peer`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.sim.peer import Peer

_log = logging.getLogger(__name__)

GRACE_SEC: Final = 5.0
"""How long a client may take to read what it was sent and to answer the close frame, before the line is cut."""


class HangUp(NamedTuple):
    """Why the exchange ends a connection: a websocket close code and its text."""

    code: int
    reason: str


GOING_AWAY: Final = HangUp(1001, "")
_SILENT: Final = HangUp(4004, "No data received in 30s.")
_TOO_SLOW: Final = HangUp(4005, "buffer is full, cannot write data")


class Outbox:
    """Frames on their way to one socket, in order, the one being sent included."""

    def __init__(self, limit_frames: int) -> None:
        self._limit_frames = limit_frames
        self._frames: deque[str] = deque()
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._empty = asyncio.Event()
        self._settle()

    @property
    def is_full(self) -> bool:
        return len(self._frames) >= self._limit_frames

    @property
    def is_empty(self) -> bool:
        return not self._frames

    def put(self, frame: str) -> None:
        """Never refuses: whoever must not overfill it asks `is_full` before or waits for `room` after."""
        self._frames.append(frame)
        self._settle()

    async def first(self) -> str:
        """The oldest frame, once there is one; it stays until `drop_first`."""
        await self._filled.wait()
        return self._frames[0]

    def drop_first(self) -> None:
        """It has been sent. Where `clear` was quicker there is nothing to drop."""
        if self._frames:
            self._frames.popleft()
            self._settle()

    def clear(self) -> None:
        self._frames.clear()
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


class Link:
    """A peer, its socket, and the frames between them.

    `is_patient` is for a timeline that goes as fast as its clients read: it waits for a slow one, where otherwise a
    full outbox ends the connection as OKX ends it, so that one slow client never stalls the others.
    """

    def __init__(
        self, peer: Peer, socket: ServerConnection, clock: Clock, outbox_limit_frames: int, is_patient: bool
    ) -> None:
        self.peer = peer
        self._socket = socket
        self._clock = clock
        self._outbox = Outbox(outbox_limit_frames)
        self._is_patient = is_patient
        self._ending = asyncio.Event()
        self._verdict: HangUp | None = None
        self._grace_sec = GRACE_SEC

    def emit(self, frame: str) -> None:
        """Put one frame on its way: the only door through which anything leaves for this client."""
        if self._ending.is_set():
            return
        if self._outbox.is_full and not self._is_patient:
            self.hang_up(_TOO_SLOW)
            return
        self._outbox.put(frame)

    async def room(self) -> None:
        """Returns once the client has read enough to be sent more, or is gone."""
        await self._outbox.room()

    async def drained(self) -> None:
        """Returns once every frame has been handed to the socket, or the client is gone."""
        await self._outbox.drained()

    def hang_up(self, verdict: HangUp | None, grace_sec: float = GRACE_SEC) -> None:
        """End the connection, with a close frame unless the client is gone already (None).

        Frames not yet handed to the socket are dropped; for those that were, the client has `grace_sec` to read them.
        """
        if not self._ending.is_set():
            self._verdict = verdict
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
                for frame in self.peer.receive(text, self._clock.monotonic_ms()):
                    self.emit(frame)
                if self.peer.subscriptions != before:
                    _log.info("peer %s has %d subscriptions", self.peer.conn_id, self.peer.subscriptions)
                on_request()
                await self.room()
        except ConnectionClosed:
            self.hang_up(None)

    async def _send(self) -> None:
        try:
            while True:
                await self._socket.send(await self._outbox.first())
                self._outbox.drop_first()
                self.peer.note_sent(self._clock.monotonic_ms())
        except ConnectionClosed:
            self.hang_up(None)

    async def _watch(self) -> None:
        """OKX gives up a connection on which nothing passes; a patient link does not while frames wait for it."""
        while (remaining_ms := self.peer.silence_deadline_ms - self._clock.monotonic_ms()) > 0:
            await self._clock.sleep(remaining_ms / 1000)
            if self._is_patient and not self._outbox.is_empty:
                self.peer.note_sent(self._clock.monotonic_ms())
        self.hang_up(_SILENT)

    async def _close(self) -> None:
        if self._verdict is None:
            _log.info("peer %s is gone", self.peer.conn_id)
            return
        _log.info("peer %s closed: %d %s", self.peer.conn_id, *self._verdict)
        try:
            async with asyncio.timeout(self._grace_sec):
                await self._socket.close(*self._verdict)
        except TimeoutError:  # it does not read, so it would never see the close frame either
            self._socket.transport.abort()
