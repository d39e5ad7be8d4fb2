"""The sockets of the built-in exchange on 127.0.0.1: `/ws/v5/public` on one port, REST on another.

Wires captures or the market, the exchange, its clients and the timeline together; decides nothing about any of them.
"""

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path
from random import Random
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from l2vault.book.utc import DAY_MS
from l2vault.clock import Clock
from l2vault.errors import L2VaultError, UsageError
from l2vault.sim.exchange.archive import ArchivedFile, make_archive
from l2vault.sim.exchange.books import Exchange, OnTick, Tick
from l2vault.sim.exchange.captures import read_captures, survey
from l2vault.sim.exchange.deep import MarketTails
from l2vault.sim.exchange.instruments import instrument_row, known_inst_ids
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.rpi import MarketRpi
from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.exchange.timeline import RecordedContext, Timeline
from l2vault.sim.exchange.trades import OnTrade
from l2vault.sim.faults.engine import Faults
from l2vault.sim.faults.plan import ConnectionSlot, FaultPlan
from l2vault.sim.server.archive import INDEX_PATH, ArchiveServer, Shelf
from l2vault.sim.server.gate import WS_PATH, Gate
from l2vault.sim.server.limits import REQUEST_LIMIT_BYTES, Limits
from l2vault.sim.server.link import GOING_AWAY, GRACE_SEC, ClientConnection, Outbox
from l2vault.sim.server.options import SimOptions
from l2vault.sim.server.peer import ServerSession
from l2vault.sim.server.playback import Head, Pace, Playback, split_head, timeline_head
from l2vault.sim.server.rest import TOO_MANY_REQUESTS, Answer, RestFaults
from l2vault.sim.server.routes import HttpConnection, Routes
from l2vault.sim.server.wire import WiredConnection

_log = logging.getLogger(__name__)

# The library reports every REST answer as a handshake it turned down, at INFO; our own lines say what matters.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.WARNING)

_HOST: Final = "127.0.0.1"

_WRITE_LIMIT_BYTES: Final = 16 * 1024
_PATIENT_SEND_BUFFER_BYTES: Final = 64 * 1024
"""Small, both of them: left to itself the system buffers megabytes, thousands of pushes by which the timeline, and
with it what REST answers, would run ahead of a slow reader."""

_OUTBOX_LIMIT: Final = 8192
"""Three seconds of all of OKX's swaps (300 at 9 pushes a second) before a slow client is cut off."""

_PATIENT_OUTBOX_LIMIT: Final = 64

_LAST_GRACE_SEC: Final = 60.0
"""For the end of a replay: the client may have megabytes of it still to read, and none of them may be lost."""

_OPEN_WITHIN_SEC: Final = 10.0
"""How long a client may take to say what it wants, beside what a plan makes it wait."""

_NO_ANSWER_MS: Final = 60_000
"""How long a request that is to get no answer is kept waiting: longer than any client should."""

_DEFAULT_INSTRUMENTS: Final = 2

_Handler = Callable[[ServerConnection], Awaitable[None]]
_Hook = Callable[[ServerConnection, Request], Awaitable[Response | None]]
"""Looks at an opening request before it becomes a websocket; its response, if any, is the answer instead."""


class Simulator:
    """The whole exchange. `start` it, use its URLs, `stop` it; then it is used up.

    `on_tick` is told every change of its own books, first ones included, and `on_trade` every trade: the truth,
    whatever goes wrong on the wire.
    `timeline` is what it shows in place of captures or a market, `routes` what is served on its ports beside it.
    `limits` counts what clients did and where they went beyond what OKX allows.
    """

    def __init__(
        self,
        options: SimOptions,
        clock: Clock | None = None,
        on_tick: OnTick | None = None,
        on_trade: OnTrade | None = None,
        timeline: Timeline | None = None,
        routes: Routes | None = None,
    ) -> None:
        self._recorded = timeline
        self._routes = routes
        self.limits = Limits(is_kept=options.time_scale is not None)
        self._options = options
        self._clock = clock or Clock()
        self._on_tick = on_tick
        self._on_trade = on_trade
        self._scaled_clock = ScaledClock(self._clock, options.time_scale or 1.0)
        self._conn_ids = Random(options.seed)
        self._exchange: Exchange
        self._faults: Faults
        self._playback: Playback
        self._gate: Gate
        self._rest: RestFaults
        self._timeline: asyncio.Task[None] | None = None
        self._servers: list[Server] = []
        self._shelf = Shelf([])
        self._archive: ArchiveServer | None = None
        self._archived = tempfile.TemporaryDirectory(prefix="l2vault-archive-") if options.archive_days else None

    @property
    def archive_url(self) -> str | None:
        """Where the files of the archive are served; None without one."""
        return None if self._archive is None else self._archive.url

    @property
    def ws_url(self) -> str:
        return f"ws://{_HOST}:{_port(self._servers[0])}{WS_PATH}"

    @property
    def rest_url(self) -> str:
        return f"http://{_HOST}:{_port(self._servers[1])}"

    async def start(self) -> None:
        """Load the first books, open both ports, start the timeline.

        Raises CaptureError for a capture that is not one, L2VaultError for a port that cannot be had.
        """
        await self._load()
        try:
            if self._archived is not None:
                files = await self._made_archive(Path(self._archived.name))
                self._shelf = Shelf(files, self._options.archive_faults)
                self._archive = ArchiveServer(self._shelf, self._options.archive_port)
            await self._listen(self._options.port, self._serve_client, self._gate.accept, _LAST_GRACE_SEC)
            await self._listen(self._options.rest_port, _unreachable, self._answer_rest, GRACE_SEC)
        except L2VaultError:
            await self.stop()
            raise
        self._timeline = asyncio.create_task(self._playback.run())
        self._timeline.add_done_callback(_report_failure)

    async def wait_ended(self) -> None:
        """Returns once the replay is over, every frame of it has been handed to every client's socket, and nobody is
        served by the further routes.

        Raises what ended the timeline before its end, for instance CaptureError for a file damaged half-way.
        """
        if self._timeline is None:
            raise RuntimeError("the simulator has not been started")
        await asyncio.wait([self._timeline])
        if not self._timeline.cancelled():
            self._timeline.result()
            await self._playback.drained()
            if self._routes is not None:
                await self._routes.drained()

    async def stop(self, grace_sec: float = GRACE_SEC) -> None:
        """Close every connection (1001) and both ports; returns when nothing of it runs any more.

        A client that has not read what it was sent within `grace_sec` is cut off.
        """
        self._scaled_clock.stop()
        if self._archive is not None:
            await asyncio.to_thread(self._archive.close)
        if self._archived is not None:
            self._archived.cleanup()
        if self._timeline is not None:
            self._timeline.cancel()
            await asyncio.wait([self._timeline])
        for server in self._servers:
            server.close(close_connections=False)
        if self._routes is not None:
            await self._routes.stop()
        if self._servers:
            for link in self._playback.links:
                link.hang_up(GOING_AWAY, grace_sec)
        for server in self._servers:
            await server.wait_closed()

    async def _made_archive(self, folder: Path) -> list[ArchivedFile]:
        """Days of it take a while. Cancelled, it waits for its thread, which ends with the push that it is at."""
        making = asyncio.ensure_future(asyncio.to_thread(self._make_archive, folder))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._scaled_clock.stop()
            await asyncio.wait([making])
            raise

    def _make_archive(self, folder: Path) -> list[ArchivedFile]:
        """Of a replay all that it replays; of a market the days before the present one, of a market of their own."""
        options = self._options
        wanted = partial(takewhile, lambda _: not self._scaled_clock.is_over)
        if options.replay:
            pushes = (tick for tick in read_captures(options.replay, options.verbatim) if isinstance(tick, Tick))
            return make_archive(folder, wanted(pushes), options.seed)
        today_ms = self._exchange_wall_ms() // DAY_MS * DAY_MS
        start_ms = today_ms - options.archive_days * DAY_MS
        inst_ids = list(options.inst_ids) or known_inst_ids(_DEFAULT_INSTRUMENTS)
        market = Market(inst_ids, options.seed, start_ms, options.archive_step_ms)
        return make_archive(folder, wanted(takewhile(lambda tick: tick.ts_ms < today_ms, market.ticks())), options.seed)

    async def _load(self) -> None:
        options = self._options
        pace = Pace(options.speed, options.hold_sec, clients=options.clients)
        if self._recorded is not None:
            # Trades that nobody recorded are not made up, nor is anything else.
            rows = {inst_id: dict(row) for inst_id, row in self._recorded.rows.items()}
            context = RecordedContext(self._recorded.names)
            inst_ids = list(self._recorded.inst_ids)
            exchange = self._exchange = Exchange(inst_ids, rows, options.seed, frozenset(inst_ids), context=context)
            self._open(exchange, timeline_head(self._recorded), pace)
            return
        if options.replay:
            # Reading the names takes a while for big captures, and others may share this event loop.
            inst_ids, traded = await asyncio.to_thread(survey, options.replay)
            ticks = read_captures(options.replay, options.verbatim)
        else:
            inst_ids, traded = list(options.inst_ids) or known_inst_ids(_DEFAULT_INSTRUMENTS), frozenset()
            pace = Pace(1.0, 0.0, begun_ms=self._clock.monotonic_ms())
            start_ms = self._exchange_wall_ms()
            ticks = iter(Market(inst_ids, options.seed, start_ms, has_whales=options.has_whales).ticks())
        tails = None if options.replay else MarketTails(options.seed)
        rpi = None if options.replay else MarketRpi(options.seed)
        exchange = self._exchange = Exchange(inst_ids, _rows(inst_ids), options.seed, traded, tails, rpi=rpi)
        self._open(exchange, split_head(ticks, inst_ids), pace)

    def _open(self, exchange: Exchange, head: Head, pace: Pace) -> None:
        """Put the rooms together. Whoever watches the exchange must do so before the first books are in it."""
        options = self._options
        if self._on_tick is not None:
            exchange.watch(self._on_tick)
        if self._on_trade is not None:
            exchange.trades.watch(self._on_trade)
        faults = self._faults = Faults(options.faults or FaultPlan(), options.seed, head.start_ms, exchange)
        self._rest = RestFaults(faults.schedule, exchange, lambda: self._playback.exchange_ms())
        self._playback = Playback(exchange, head, pace, self._clock, faults)
        further = frozenset[str]() if self._routes is None else self._routes.ws_paths
        now_ms = self._playback.exchange_ms
        self._gate = Gate(faults.schedule, self.limits, now_ms, self._scaled_clock, options.compression, further)

    async def _listen(self, port: int, handler: _Handler, hook: _Hook, close_sec: float) -> None:
        """One listening port; `close_sec` is how long a client may take to follow when a connection is closed.

        OKX neither pings its clients nor is known to compress today.
        """
        is_websocket = handler == self._serve_client
        connection = partial(WiredConnection, self._gate.begin) if is_websocket else HttpConnection
        try:
            server = await serve(
                handler,
                _HOST,
                port,
                compression="deflate" if is_websocket and self._gate.may_compress else None,
                process_request=hook,
                open_timeout=_OPEN_WITHIN_SEC + self._longest_wait_sec() if is_websocket else None,
                ping_interval=None,
                close_timeout=close_sec,
                max_size=REQUEST_LIMIT_BYTES,
                write_limit=_WRITE_LIMIT_BYTES,
                logger=_library_log,
                create_connection=cast(Any, connection),
            )
        except (OSError, OverflowError) as error:
            raise L2VaultError(
                f"Port {port} on {_HOST} cannot be opened: {error}.", "another port, or 0 to let the system choose"
            ) from error
        self._servers.append(server)

    def _longest_wait_sec(self) -> float:
        """What a plan may make a client wait before its websocket is open."""
        faults = self._faults.schedule.faults
        waits_ms = [fault.number("delay") for fault in faults if fault.kind == "slow-handshake"]
        return max(waits_ms, default=0) / 1000 / (self._options.time_scale or 1.0)

    async def _serve_client(self, socket: ServerConnection) -> None:
        assert isinstance(socket, WiredConnection)
        if socket.attempt.slot is None:
            assert self._routes is not None  # the gate has admitted it to one of them
            await self._routes.serve(socket)
            return
        if self._scaled_clock.is_over:
            await socket.close(*GOING_AWAY)
            return
        link = self._link(socket, socket.attempt.slot)
        if socket.attempt.fault("accept-silent"):
            socket.wire.is_deaf = True
        self._playback.links[link] = None
        try:
            await link.run(self._playback.note_audience)
        finally:
            self._playback.links.pop(link, None)
            self._playback.note_audience()

    def _link(self, socket: WiredConnection, slot: ConnectionSlot) -> ClientConnection:
        conn_id = f"{self._conn_ids.getrandbits(32):08x}"
        request_errors = self._faults.request_errors(slot, self._playback.exchange_ms)
        peer = ServerSession(self._exchange, conn_id, self._scaled_clock.now_ms(), self.limits, request_errors)
        chain = self._faults.chain(slot, conn_id, self._scaled_clock)
        limit = _OUTBOX_LIMIT
        if self._playback.is_patient:
            limit = _PATIENT_OUTBOX_LIMIT
            raw = socket.transport.get_extra_info("socket")
            raw.setsockopt(SOL_SOCKET, SO_SNDBUF, _PATIENT_SEND_BUFFER_BYTES)
        return ClientConnection(peer, socket, chain, self._scaled_clock, Outbox(limit), self._playback.is_patient)

    def _exchange_wall_ms(self) -> int:
        return self._clock.wall_ms() + round(self._options.clock_offset_sec * 1000)

    async def _answer_rest(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._routes is not None and request.path.partition("?")[0] in self._routes.http_paths:
            assert isinstance(connection, HttpConnection)
            return await self._routes.answer(connection, request)
        if not self.limits.allows_rest(request.path.partition("?")[0], self._scaled_clock.now_ms()):
            answer: Answer | None = TOO_MANY_REQUESTS
        elif request.path.startswith(INDEX_PATH):
            params = dict(parse_qsl(urlsplit(request.path).query))
            answer = Answer(200, msgspec.json.encode(self._shelf.index(params)).decode())
        else:
            answer = self._rest.answer(request.path, self._exchange_wall_ms())
        if answer is None:
            await self._scaled_clock.wait(_NO_ANSWER_MS)
            connection.transport.abort()
            await connection.wait_closed()
            return None
        response = connection.respond(HTTPStatus(answer.status), answer.body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json" if answer.body.startswith("{") else "text/html"
        return response


class Addresses(NamedTuple):
    """Where the simulator is served."""

    ws_url: str
    rest_url: str
    archive_url: str | None = None


async def serve_simulator(
    options: SimOptions,
    stop: asyncio.Event,
    announce: Callable[[Addresses], None],
    clock: Clock | None = None,
    timeline: Timeline | None = None,
    routes: Routes | None = None,
) -> None:
    """Run the exchange until `stop` is set, or with `once` until its replay (or the `timeline`) has been sent.

    `announce` gets both addresses, websocket and REST, as soon as clients may connect. Raises as
    `Simulator.start` and `Simulator.wait_ended` do.
    """
    simulator = Simulator(options, clock, timeline=timeline, routes=routes)
    stopped = asyncio.create_task(stop.wait())
    if not await _has_started(simulator, stopped):
        return
    ended = asyncio.create_task(simulator.wait_ended())
    grace_sec = GRACE_SEC
    try:
        announce(Addresses(simulator.ws_url, simulator.rest_url, simulator.archive_url))
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


async def _has_started(simulator: Simulator, stopped: "asyncio.Task[bool]") -> bool:
    """Start it, unless it is stopped before it has begun. Raises as `Simulator.start` does."""
    starting = asyncio.create_task(simulator.start())
    try:
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if is_early := not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            await simulator.stop()
    if is_early:
        return False
    if starting.exception() is not None:
        stopped.cancel()
    starting.result()
    return True


def _rows(inst_ids: list[str]) -> dict[str, dict[str, object]]:
    """OKX's row of each instrument. Old captures hold spot and futures, of which only the books are known."""
    rows = {}
    for inst_id in inst_ids:
        try:
            rows[inst_id] = instrument_row(inst_id)
        except UsageError:
            _log.info("%s is no swap: it has books, but no row in /public/instruments", inst_id)
    return rows


def _report_failure(timeline: asyncio.Task[None]) -> None:
    """Clients would only see silence, and a caller may never ask `wait_ended`."""
    error = None if timeline.cancelled() else timeline.exception()
    if error is not None:
        _log.error("the timeline broke off: %s", error)


def _port(server: Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _unreachable(connection: ServerConnection) -> None:
    """The REST port answers every request before it could become a websocket."""
    raise AssertionError(f"a websocket was opened on the REST port: {connection.remote_address}")
