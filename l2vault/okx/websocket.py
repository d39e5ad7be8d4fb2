"""The socket of one feed: connect, pump frames through its pipeline, back off, connect again, until cancelled.

Decides nothing about books; every consequence goes to `deliver`, whose waiting (a full disk queue) stops the reading.
At DEBUG the logger `l2vault.wire` shows what was received (`<`), what was sent (`>`), and what became of it (`=`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.foreign import printable
from l2vault.okx.backoff import Backoff
from l2vault.okx.connection import CannotConnect, Connection, open_connection
from l2vault.okx.hosts import Route
from l2vault.okx.limiter import Attempt, ConnectLimiter
from l2vault.okx.messages import Notice
from l2vault.okx.pipeline import Ending, Lost, Output, Pipeline, Synced
from l2vault.okx.session import Dead

TICK_SEC: Final = 0.1
SEND_WITHIN_SEC: Final = 5.0
STABLE_SEC: Final = 60.0
AT_ONCE_SEC: Final = 0.1
"""Before the first try after a connection that was good for something: half of it to all of it, at random."""
FIRST_DELAY_SEC: Final = 0.5
LONGEST_DELAY_SEC: Final = 30.0
SERVICE_UPGRADE: Final = "64008"
"""OKX's notice that it will close the connection. It announces 60 s ahead (changelog of 2026-06-11)."""

_wire = logging.getLogger("l2vault.wire")


@dataclass(frozen=True, slots=True)
class FeedUp:
    """The feed's connection stands."""

    url: str


@dataclass(frozen=True, slots=True)
class FeedDown:
    """The feed's connection ended, or could not be made; the next try is in `retry_sec`.

    `moved_to` is the address of that try, where failures in a row have just moved the feed to another one. `is_last`:
    the feed has handed over to its successor, and there will be no try.
    """

    reason: str
    was_up: bool
    retry_sec: float
    moved_to: str | None = None
    is_last: bool = False


FeedOutput = Output | FeedUp | FeedDown
Deliver = Callable[[list[FeedOutput]], Awaitable[None]]
"""Takes everything it is given before it waits for the first time: a feed may be cancelled while it waits."""


class Feed:
    """One of the connections that record. `run` goes on until it is cancelled.

    `url` is where to connect, or the route of several addresses. `limiter` is the process's limit on connections.
    """

    def __init__(
        self,
        url: str | Route,
        pipeline: Pipeline,
        deliver: Deliver,
        clock: Clock,
        rng: Random,
        limiter: ConnectLimiter | None = None,
    ) -> None:
        self._route = Route([url]) if isinstance(url, str) else url
        self._pipeline = pipeline
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._limiter = limiter or ConnectLimiter(clock)
        self._backoff = Backoff(FIRST_DELAY_SEC, LONGEST_DELAY_SEC, rng)
        self._cause: Ending = "disconnect"
        self._dead: str | None = None
        self._had_book = False
        self._websocket: ClientConnection | None = None
        self._is_retiring = False
        self.up_ms = 0
        """When the newest connection came to stand, monotonic."""
        self.end_announced_ms: int | None = None
        """When OKX announced that it will end that connection."""

    def retire(self) -> None:
        """Let this connection be the last: `run` returns when it has ended."""
        self._is_retiring = True

    def drop(self, reason: str) -> None:
        """End the connection that stands, if one does, without a closing handshake."""
        if self._websocket is not None:
            self._dead = self._dead or reason
            self._websocket.transport.abort()

    async def run(self) -> None:
        """Connect, record, connect again; until cancelled or, once retired, until the connection ends."""
        while not self._is_retiring:
            attempt = await self._limiter.turn()
            url, began_ms = self._route.url, self._clock.monotonic_ms()
            was_up, reason = await self._live_once(url, attempt)
            lived_sec = (self._clock.monotonic_ms() - began_ms) / 1000
            closing = self._pipeline.close(self._cause, reason)
            # A book may have come by REST too, past this feed: then there is one to lose.
            was_good = self._had_book or any(isinstance(output, Lost) for output in closing)
            retry_sec = self._next_try_sec(was_good or (was_up and lived_sec >= STABLE_SEC))
            moved_to = None if self._route.url == url else self._route.url
            self._log("= down: %s; next try in %.2f s", reason, retry_sec)
            await self._deliver([*closing, FeedDown(reason, was_up, retry_sec, moved_to, self._is_retiring)])
            if not self._is_retiring:
                await self._clock.sleep(retry_sec)

    def _next_try_sec(self, was_good: bool) -> float:
        """At once after a connection that brought a book or was stable; else less and less often, and elsewhere."""
        if not was_good:
            self._route.failed()
            return self._backoff.next_sec()
        self._route.worked()
        self._backoff.reset()
        return self._rng.uniform(AT_ONCE_SEC / 2, AT_ONCE_SEC)

    async def _live_once(self, url: str, attempt: Attempt) -> tuple[bool, str]:
        """One connection from handshake to end: whether it stood, and why it ended."""
        self._cause, self._dead, self._had_book = "disconnect", None, False
        self._log("= connecting to %s", url)
        try:
            with attempt:
                websocket = await open_connection(url, self._clock.wall_us)
        except CannotConnect as error:
            return False, str(error)
        self._websocket = websocket
        try:
            self.up_ms, self.end_announced_ms = self._clock.monotonic_ms(), None
            self._pipeline.open(self.up_ms)
            self._log("= up: %s", url)
            await self._deliver([FeedUp(url)])
            async with asyncio.TaskGroup() as group:
                ticker = group.create_task(self._tick(websocket))
                reason = await self._read(websocket)
                ticker.cancel()
        finally:
            # No closing handshake: it would wait for the peer, and whoever cancels this may be in a hurry.
            self._websocket = None
            websocket.transport.abort()
        return True, self._dead or websocket.flood or reason

    async def _read(self, websocket: Connection) -> str:
        """Every frame through the pipeline until the connection ends; returns why it ended."""
        is_shown = _wire.isEnabledFor(logging.DEBUG)  # a setting of the process: it need not be asked for each frame
        try:
            while True:
                frame = await websocket.recv(decode=False)
                recv_us = websocket.take_arrival_us()
                if is_shown:
                    self._log("< %s", printable(frame.decode("utf-8", "replace")))
                outputs = self._pipeline.receive(frame, self._clock.monotonic_ms(), recv_us)
                if outputs:
                    await self._act(outputs)
        except ConnectionClosed as closed:
            return _closed_reason(closed)

    async def _tick(self, websocket: ClientConnection) -> None:
        """Deadlines and everything that is sent, apart from reading, so that neither waits for the other.

        What the deadlines brought is delivered before anything is sent: a send that fails ends the connection.
        """
        try:
            while True:
                outputs = self._pipeline.tick(self._clock.monotonic_ms())
                if outputs:
                    await self._act(outputs)
                for frame in self._pipeline.take_outgoing():
                    self._log("> %s", frame)
                    await self._send(websocket, frame)
                await self._clock.sleep(TICK_SEC)
        except (ConnectionClosed, OSError) as error:
            self.drop(f"cannot send: {printable(str(error)) or type(error).__name__}")

    async def _send(self, websocket: ClientConnection, frame: str) -> None:
        """Raises TimeoutError where the peer takes nothing: a half-open connection shows first in what is sent."""
        sending = asyncio.ensure_future(websocket.send(frame))
        sending.add_done_callback(lambda sent: sent.cancelled() or sent.exception())  # read, whoever is cancelled
        late = asyncio.ensure_future(self._clock.sleep(SEND_WITHIN_SEC))
        try:
            await asyncio.wait({sending, late}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise TimeoutError(f"the peer took nothing for {SEND_WITHIN_SEC:g} s")
            sending.result()
        finally:
            late.cancel()
            sending.cancel()

    async def _act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Notice(code):
                    self._cause = "notice"
                    if code == SERVICE_UPGRADE and self.end_announced_ms is None:
                        self.end_announced_ms = self._clock.monotonic_ms()
                case Synced():
                    self._had_book = True
                case Dead(reason):
                    self.drop(reason)  # it does not answer: a closing handshake would only wait
            self._log("= %s", type(output).__name__)
        await self._deliver(list(outputs))

    def _log(self, words: str, *details: object) -> None:
        _wire.debug(f"%d {words}", self._route.feed, *details)


def _closed_reason(closed: ConnectionClosed) -> str:
    rcvd, sent = closed.rcvd, closed.sent
    if sent is not None and not closed.rcvd_then_sent:
        return f"closed by us: {sent.code} {printable(sent.reason)}".rstrip()
    if rcvd is None:
        return "connection lost without a close frame (1006)"
    return f"closed by the exchange: {rcvd.code} {printable(rcvd.reason)}".rstrip()
