"""The socket of one line: connect, pump frames through its pipeline, back off, connect again, until cancelled.

Decides nothing about books; every consequence goes to `deliver`, whose waiting (a full disk queue) stops the reading.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from l2vault.clock import Clock
from l2vault.okx.messages import Notice
from l2vault.okx.pipeline import Ending, Output, Pipeline
from l2vault.okx.rest import LOOPBACK
from l2vault.okx.session import Dead

TICK_SEC: Final = 0.1
OPEN_WITHIN_SEC: Final = 10.0
SEND_WITHIN_SEC: Final = 5.0
LARGEST_FRAME_BYTES: Final = 4 * 1024 * 1024
"""A full book is 26 KB; an unasked push of another channel may reach 1 MB."""
STABLE_SEC: Final = 60.0
FIRST_DELAY_SEC: Final = 0.5
LONGEST_DELAY_SEC: Final = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineUp:
    """The line's connection stands."""

    url: str


@dataclass(frozen=True, slots=True)
class LineDown:
    """The line's connection ended, or could not be made; the next try is in `retry_sec`."""

    reason: str
    was_up: bool
    retry_sec: float


LineOutput = Output | LineUp | LineDown
Deliver = Callable[[list[LineOutput]], Awaitable[None]]


class Line:
    """One of the connections that record. `run` goes on until it is cancelled."""

    def __init__(self, url: str, pipeline: Pipeline, deliver: Deliver, clock: Clock, rng: Random) -> None:
        self._url = url
        self._pipeline = pipeline
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._cause: Ending = "disconnect"
        self._dead: str | None = None
        self._websocket: ClientConnection | None = None
        self._is_retiring = False

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
        failures = 0
        while not self._is_retiring:
            began_ms = self._clock.monotonic_ms()
            was_up, reason = await self._live_once()
            lived_sec = (self._clock.monotonic_ms() - began_ms) / 1000
            failures = 0 if was_up and lived_sec >= STABLE_SEC else failures + 1
            retry_sec = _retry_sec(failures, self._rng)
            await self._deliver([*self._pipeline.close(self._cause, reason), LineDown(reason, was_up, retry_sec)])
            if not self._is_retiring:
                await self._clock.sleep(retry_sec)

    async def _live_once(self) -> tuple[bool, str]:
        """One connection from handshake to end: whether it stood, and why it ended."""
        self._cause, self._dead = "disconnect", None
        was_up = False
        try:
            async with connect(
                self._url,
                open_timeout=OPEN_WITHIN_SEC,
                close_timeout=1,
                ping_interval=None,  # OKX's keepalive is the text frame `ping`; RFC 6455 pings are not relied on
                compression=None,
                max_size=LARGEST_FRAME_BYTES,
                proxy=None if urlsplit(self._url).hostname in LOOPBACK else True,
            ) as websocket:
                was_up = True
                self._websocket = websocket
                self._pipeline.open(self._clock.monotonic_ms())
                await self._deliver([LineUp(self._url)])
                async with asyncio.TaskGroup() as group:
                    ticker = group.create_task(self._tick(websocket))
                    reason = await self._read(websocket)
                    ticker.cancel()
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            self._websocket = None
        return was_up, self._dead or reason

    async def _read(self, websocket: ClientConnection) -> str:
        """Every frame through the pipeline until the connection ends; returns why it ended."""
        try:
            while True:
                frame = await websocket.recv(decode=False)
                outputs = self._pipeline.receive(frame, self._clock.monotonic_ms())
                if outputs:
                    await self._act(outputs)
        except ConnectionClosed as closed:
            return _closed_reason(closed)

    async def _tick(self, websocket: ClientConnection) -> None:
        """Deadlines and everything that is sent, apart from reading, so that neither waits for the other."""
        try:
            while True:
                outputs = self._pipeline.tick(self._clock.monotonic_ms())
                for frame in self._pipeline.take_outgoing():
                    _log.debug("> %s", frame)
                    async with asyncio.timeout(SEND_WITHIN_SEC):
                        await websocket.send(frame)
                if outputs:
                    await self._act(outputs)
                await self._clock.sleep(TICK_SEC)
        except (ConnectionClosed, TimeoutError) as error:
            self.drop(f"cannot send: {error or 'time-out'}")

    async def _act(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Notice):
                self._cause = "notice"
            elif isinstance(output, Dead):
                self.drop(output.reason)  # it does not answer: a closing handshake would only wait
        await self._deliver(list(outputs))


def _closed_reason(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "connection lost without a close frame (1006)"
    return f"closed by the exchange: {closed.rcvd.code} {closed.rcvd.reason}".rstrip()


def _retry_sec(failures: int, rng: Random) -> float:
    """Exponential, capped, between half and all of it: far under OKX's 3 connects a second."""
    full = min(LONGEST_DELAY_SEC, FIRST_DELAY_SEC * 2 ** min(failures, 10))
    return rng.uniform(full / 2, full)
