"""The sockets of the built-in exchange on 127.0.0.1: `/ws/v5/public` on one port, REST on another.

Wires captures or the market, the exchange, its clients and the timeline together; decides nothing about any of them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from random import Random
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Final

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from l2vault.clock import Clock
from l2vault.errors import L2VaultError, UsageError
from l2vault.sim.captures import capture_inst_ids, read_captures
from l2vault.sim.exchange import Exchange
from l2vault.sim.instruments import instrument_row, known_inst_ids
from l2vault.sim.link import GOING_AWAY, GRACE_SEC, Link
from l2vault.sim.market import Market
from l2vault.sim.peer import REQUEST_LIMIT_BYTES, Peer
from l2vault.sim.playback import Pace, Playback, split_head
from l2vault.sim.rest_api import answer

_log = logging.getLogger(__name__)

# The library reports every REST answer as a handshake it turned down, at INFO; our own lines say what matters.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.WARNING)

_HOST: Final = "127.0.0.1"
_WS_PATH: Final = "/ws/v5/public"

_WRITE_LIMIT_BYTES: Final = 16 * 1024
_PATIENT_SEND_BUFFER_BYTES: Final = 64 * 1024
"""Small, both of them: left to itself the system buffers megabytes, thousands of pushes by which the timeline, and
with it what REST answers, would run ahead of a slow reader."""

_OUTBOX_LIMIT_FRAMES: Final = 8192
"""Three seconds of all of OKX's swaps (300 at 9 pushes a second) before a slow client is cut off."""

_PATIENT_OUTBOX_LIMIT_FRAMES: Final = 64

_LAST_GRACE_SEC: Final = 60.0
"""For the end of a replay: the client may have megabytes of it still to read, and none of them may be lost."""

_DEFAULT_INSTRUMENTS: Final = 2

_Handler = Callable[[ServerConnection], Awaitable[None]]
_Hook = Callable[[ServerConnection, Request], Response | None]
"""Looks at an opening request before it becomes a websocket; its response, if any, is the answer instead."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """What the exchange shows and where. Port 0 lets the system choose.

    With `replay` the instruments are those of the captures; without, `inst_ids` and `seed` make a market of our own,
    which has no speed but 1 and no end. `speed` None replays as fast as the clients read; `once` ends with the replay.
    """

    port: int = 0
    rest_port: int = 0
    replay: tuple[Path, ...] = ()
    verbatim: bool = False
    speed: float | None = 1.0
    hold_sec: float = 1.0
    inst_ids: tuple[str, ...] = ()
    seed: int = 0
    once: bool = False
    compression: bool = False

    def __post_init__(self) -> None:
        if self.speed is not None and self.speed <= 0:
            raise UsageError(f"A speed of {self.speed} gets nowhere.", "a number above 0, or max")
        if self.hold_sec < 0:
            raise UsageError(f"A hold of {self.hold_sec} seconds is not possible.", "0 or more")


class Simulator:
    """The whole exchange. `start` it, use its URLs, `stop` it; then it is used up."""

    def __init__(self, options: SimOptions, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or Clock()
        self._conn_ids = Random(options.seed)
        self._exchange: Exchange
        self._playback: Playback
        self._timeline: asyncio.Task[None] | None = None
        self._servers: list[Server] = []
        self._is_stopping = False

    @property
    def ws_url(self) -> str:
        return f"ws://{_HOST}:{_port(self._servers[0])}{_WS_PATH}"

    @property
    def rest_url(self) -> str:
        return f"http://{_HOST}:{_port(self._servers[1])}"

    async def start(self) -> None:
        """Load the first books, open both ports, start the timeline.

        Raises CaptureError for a capture that is not one, L2VaultError for a port that cannot be had.
        """
        await self._load()
        try:
            port, rest_port = self._options.port, self._options.rest_port
            ws_server = await self._listen(port, self._serve_client, _refuse_other_paths, _LAST_GRACE_SEC)
            self._servers.append(ws_server)
            self._servers.append(await self._listen(rest_port, _unreachable, self._answer_rest, GRACE_SEC))
        except L2VaultError:
            await self.stop()
            raise
        self._timeline = asyncio.create_task(self._playback.run())

    async def wait_ended(self) -> None:
        """Returns once the replay is over and every frame of it has been handed to every client's socket.

        Raises what ended the timeline before its end, for instance CaptureError for a file damaged half-way.
        """
        if self._timeline is None:
            raise RuntimeError("the simulator has not been started")
        await asyncio.wait([self._timeline])
        if not self._timeline.cancelled():
            self._timeline.result()
            await self._playback.drained()

    async def stop(self, grace_sec: float = GRACE_SEC) -> None:
        """Close every connection (1001) and both ports; returns when nothing of it runs any more.

        A client that has not read what it was sent within `grace_sec` is cut off.
        """
        self._is_stopping = True
        if self._timeline is not None:
            self._timeline.cancel()
            await asyncio.wait([self._timeline])
        for server in self._servers:
            server.close(close_connections=False)
        if self._servers:
            for link in self._playback.links:
                link.hang_up(GOING_AWAY, grace_sec)
        for server in self._servers:
            await server.wait_closed()

    async def _load(self) -> None:
        options = self._options
        if options.replay:
            # Reading the names takes a while for big captures, and others may share this event loop.
            inst_ids = await asyncio.to_thread(capture_inst_ids, options.replay)
            ticks = read_captures(options.replay, options.verbatim)
            pace = Pace(options.speed, options.hold_sec)
        else:
            inst_ids = list(options.inst_ids) or known_inst_ids(_DEFAULT_INSTRUMENTS)
            pace = Pace(1.0, 0.0, begun_ms=self._clock.monotonic_ms())
            ticks = iter(Market(inst_ids, options.seed, self._clock.wall_ms()).ticks())
        self._exchange = Exchange(inst_ids, _rows(inst_ids))
        self._playback = Playback(self._exchange, split_head(ticks, inst_ids), pace, self._clock)

    async def _listen(self, port: int, handler: _Handler, hook: _Hook, close_sec: float) -> Server:
        """One listening port; `close_sec` is how long a client may take to follow when a connection is closed.

        OKX neither pings its clients nor is known to compress today.
        """
        try:
            return await serve(
                handler,
                _HOST,
                port,
                compression="deflate" if self._options.compression else None,
                process_request=hook,
                ping_interval=None,
                close_timeout=close_sec,
                max_size=REQUEST_LIMIT_BYTES,
                write_limit=_WRITE_LIMIT_BYTES,
                logger=_library_log,
            )
        except (OSError, OverflowError) as error:
            raise L2VaultError(
                f"Port {port} on {_HOST} cannot be opened: {error}.", "another port, or 0 to let the system choose"
            ) from error

    async def _serve_client(self, socket: ServerConnection) -> None:
        if self._is_stopping:
            await socket.close(*GOING_AWAY)
            return
        peer = Peer(self._exchange, f"{self._conn_ids.getrandbits(32):08x}", self._clock.monotonic_ms())
        is_patient = self._playback.is_patient
        limit = _OUTBOX_LIMIT_FRAMES
        if is_patient:
            limit = _PATIENT_OUTBOX_LIMIT_FRAMES
            raw = socket.transport.get_extra_info("socket")
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, _PATIENT_SEND_BUFFER_BYTES)
        link = Link(peer, socket, self._clock, limit, is_patient)
        self._playback.links.add(link)
        try:
            await link.run(self._playback.note_audience)
        finally:
            self._playback.links.discard(link)
            self._playback.note_audience()

    def _answer_rest(self, connection: ServerConnection, request: Request) -> Response:
        status, body = answer(self._exchange, request.path, self._clock.wall_ms())
        response = connection.respond(HTTPStatus(status), body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response


async def serve_simulator(
    options: SimOptions, stop: asyncio.Event, announce: Callable[[str], None], clock: Clock | None = None
) -> None:
    """Run the exchange until `stop` is set, or with `once` until its replay has been sent.

    `announce` gets one line of JSON, `{"ws_url": ..., "rest_url": ...}`, as soon as clients may connect. Raises as
    `Simulator.start` and `Simulator.wait_ended` do.
    """
    simulator = Simulator(options, clock)
    await simulator.start()
    ended = asyncio.create_task(simulator.wait_ended())
    stopped = asyncio.create_task(stop.wait())
    grace_sec = GRACE_SEC
    try:
        announce(msgspec.json.encode({"ws_url": simulator.ws_url, "rest_url": simulator.rest_url}).decode())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
            if options.once:
                grace_sec = _LAST_GRACE_SEC
            else:
                await stopped
    finally:
        for task in (ended, stopped):
            task.cancel()
        await asyncio.wait([ended, stopped])
        await simulator.stop(grace_sec)


def _rows(inst_ids: list[str]) -> dict[str, dict[str, object]]:
    """OKX's row of each instrument. Old captures hold spot and futures, of which only the books are known."""
    rows = {}
    for inst_id in inst_ids:
        try:
            rows[inst_id] = instrument_row(inst_id)
        except UsageError:
            _log.info("%s is no swap: it has books, but no row in /public/instruments", inst_id)
    return rows


def _port(server: Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def _refuse_other_paths(connection: ServerConnection, request: Request) -> Response | None:
    if request.path.partition("?")[0] == _WS_PATH:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, f"The channels of this exchange are on {_WS_PATH}.\n")


async def _unreachable(connection: ServerConnection) -> None:
    """The REST port answers every request before it could become a websocket."""
    raise AssertionError(f"a websocket was opened on the REST port: {connection.remote_address}")
