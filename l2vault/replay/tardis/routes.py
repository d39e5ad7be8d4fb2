"""tardis-machine's four routes over HTTP and websocket: who asked, how fast it goes out, and how it ends.

What is sent is made by `normalized` and `native`, in threads, an hour of lines in memory. Nothing is sent ahead of a
client that does not read.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import suppress
from heapq import merge
from http import HTTPStatus
from itertools import islice
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from l2vault.book.utc import utc_micros_text
from l2vault.clock import Clock
from l2vault.errors import L2VaultError, UsageError
from l2vault.exports.events import Span
from l2vault.foreign import quoted
from l2vault.replay.beside import CHANNELS
from l2vault.replay.tardis.asked import (
    Native,
    check_exchange,
    check_held,
    native_of,
    normalized_of,
    query_of,
    span_of,
    speed_of,
)
from l2vault.replay.tardis.native import Pushed, channels_of, native
from l2vault.replay.tardis.normalized import Message, normalized
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.context import index_name
from l2vault.sim.exchange.timeline import RecordedContext
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.peer import ServerSession
from l2vault.sim.server.routes import HttpConnection
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.catalog import Report

_log = logging.getLogger(__name__)

_REPLAY: Final = "/replay"
_REPLAY_NORMALIZED: Final = "/replay-normalized"
_WS_REPLAY: Final = "/ws-replay"
_WS_REPLAY_NORMALIZED: Final = "/ws-replay-normalized"
_OF_OPTIONS: Final = frozenset({"options", "speed"})
_OF_SESSION: Final = frozenset({"exchange", "from", "to", "session", "speed"})
_NDJSON: Final = "application/x-json-stream"
_BATCH: Final = 64
"""Messages that one turn of a thread makes."""
_SESSION_WAIT_SEC: Final = 2.0
"""For subscriptions, and for further connections of a session: tardis-machine's own."""
_SHORTEST_WAIT_MS: Final = 5
"""Messages closer than this go out together."""
_DONE: Final = (1000, "WS replay finished")
_GOING_AWAY: Final = (1001, "")
_FAILED: Final = 1011
_REASON_BYTES: Final = 120
"""A close frame has room for 123 bytes of text."""
_LATE: Final = '{"event":"error","msg":"The replay has begun: subscribe within 2 s of connecting.","code":"60012"}'

_PING: Final = "ping"

_Name = tuple[str, str]


class _Player:
    """One connection to `/ws-replay`: OKX's answers to what it asks, and what it is subscribed to."""

    def __init__(self, socket: ServerConnection, session: ServerSession, span: Span) -> None:
        self.socket = socket
        self._session = session
        self._span = span

    def answers(self, text: str, now_ms: int) -> list[str]:
        """To a frame of the client's, before the replay has begun."""
        return [frame.text for frame in self._session.receive(text, now_ms)]

    def asked(self, inst_ids: Sequence[str]) -> Native:
        """An index is asked of the first instrument that follows it."""
        wanted: dict[str, set[_Name]] = {}
        for channel, name in self._session.wanted:
            inst_id = next(each for each in inst_ids if name in (each, index_name(each)))
            wanted.setdefault(inst_id, set()).add((channel, name))
        return Native(self._span, {inst_id: frozenset(args) for inst_id, args in wanted.items()})

    async def send(self, text: str) -> None:
        """Waits for a slow reader; of one that is gone nothing is known here."""
        with suppress(ConnectionClosed):
            await self.socket.send(text)


class _Session:
    """Connections that are played in step, at one speed."""

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self.players: list[_Player] = []
        self.has_begun = False


class _ToPlayer(NamedTuple):
    """A message of a session, and the connection that it is for."""

    local_us: int
    player: _Player
    text: str
    is_disconnect: bool


_Timed = TypeVar("_Timed", Message, _ToPlayer)


class TardisRoutes:
    """On the vault at `root`, whatever of it is replayed beside. `report` is given lines that do not read, from any
    thread."""

    http_paths: frozenset[str] = frozenset({_REPLAY, _REPLAY_NORMALIZED})
    ws_paths: frozenset[str] = frozenset({_WS_REPLAY, _WS_REPLAY_NORMALIZED})

    def __init__(self, root: Path, report: Report, clock: Clock | None = None) -> None:
        self._root = root
        self._report = report
        self._clock = clock or Clock()
        self._jobs: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._sessions: dict[str, _Session] = {}
        self._names = Random(0)

    async def answer(self, connection: HttpConnection, request: Request) -> Response | None:
        """Stream what was asked for, or refuse it: 400, and 500 where the vault cannot be read."""
        connection.take_over()
        url = urlsplit(request.path)
        try:
            query = query_of(parse_qsl(url.query, keep_blank_values=True), _OF_OPTIONS)
            speed = speed_of(query.get("speed"))
            batches = self._paced(await asyncio.to_thread(self._messages, url.path, query.get("options")), speed)
            # Whatever is wrong with the span shows in its first messages, while there still is a status to say so.
            first: list[Message] = await anext(batches, [])
        except L2VaultError as error:
            return _refusal(connection, error)
        # An error is logged there, and the client sees that the answer ends short of its end.
        with suppress(L2VaultError, OSError):
            await self._while_there(connection, connection.send_chunks(_NDJSON, _chunks(first, batches)))
        connection.transport.abort()
        await connection.wait_closed()
        return None

    async def serve(self, socket: ServerConnection) -> None:
        """Send what was asked for, and close: 1000 at its end, 1011 with the reason where it is refused or fails."""
        assert socket.request is not None
        url = urlsplit(socket.request.path)
        params = parse_qsl(url.query, keep_blank_values=True)
        serve = self._serve_session if url.path == _WS_REPLAY else self._serve_normalized
        try:
            await self._while_there(socket, serve(socket, params))
        except L2VaultError as error:
            await socket.close(_FAILED, _reason(str(error)))
        else:
            await socket.close(*_GOING_AWAY)

    async def drained(self) -> None:
        """Returns once nobody is being served."""
        await self._idle.wait()

    async def stop(self) -> None:
        """End what is being served."""
        for job in self._jobs:
            job.cancel()
        await self._idle.wait()

    async def _while_there(self, connection: ServerConnection, work: Coroutine[Any, Any, None]) -> None:
        """Do it, as long as the client is there and nobody stops all. Raises what it raises."""
        job, gone = self._begin(work), asyncio.create_task(connection.wait_closed())
        try:
            await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            job.cancel()
            gone.cancel()
            await asyncio.wait({job, gone})
        error = None if job.cancelled() else job.exception()
        if error is not None and not isinstance(error, ConnectionClosed | ConnectionError):  # of a client that left
            _log.warning("a replay broke off: %s", error)
            raise error

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        self._idle.clear()
        job.add_done_callback(self._end)
        return job

    def _end(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if not self._jobs:
            self._idle.set()

    def _messages(self, path: str, options: str | None) -> Iterator[Message]:
        """Reads as much of the vault as must be known to refuse."""
        vault = open_vault(self._root)
        if path == _REPLAY:
            asked = native_of(options, vault, channels_of)
            streams = [_lines_of(native(vault, each, self._report), each.disconnects) for each in asked]
        else:
            streams = [normalized(vault, each, self._report) for each in normalized_of(options, vault)]
        return merge(*streams, key=attrgetter("local_us"))

    async def _serve_normalized(self, socket: ServerConnection, params: list[_Name]) -> None:
        query = query_of(params, _OF_OPTIONS)
        speed = speed_of(query.get("speed"))
        messages = await asyncio.to_thread(self._messages, _WS_REPLAY_NORMALIZED, query.get("options"))
        passing_over = asyncio.create_task(_pass_over(socket))
        try:
            async for batch in self._paced(messages, speed):
                for message in batch:
                    await socket.send(message.data)
            await socket.close(*_DONE)
        finally:
            passing_over.cancel()

    async def _serve_session(self, socket: ServerConnection, params: list[_Name]) -> None:
        """Answer the client as OKX does, while the session that it joins waits and plays."""
        query = query_of(params, _OF_SESSION)
        speed = speed_of(query.get("speed"))
        exchange, span = await asyncio.to_thread(self._exchange, query)
        name = query.get("session", f"{self._names.getrandbits(64):x}")
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = _Session(speed)
            self._begin(self._play(name, session))
        if session.speed != speed:
            raise UsageError(f"the session {quoted(name, 32)} has another speed.", "one for all its connections")
        conn_id = f"{self._names.getrandbits(32):08x}"
        peer = ServerSession(exchange, conn_id, self._clock.monotonic_ms(), Limits(is_kept=False))
        player = _Player(socket, peer, span)
        session.players.append(player)
        async for text in socket:
            if session.has_begun and text != _PING:
                await player.send(_LATE)
                continue
            for answer in player.answers(str(text), self._clock.monotonic_ms()):
                await player.send(answer)

    def _exchange(self, query: dict[str, str]) -> tuple[Exchange, Span]:
        """What may be subscribed to, and the span."""
        for name in ("exchange", "from", "to"):
            if name not in query:
                raise UsageError(f"the parameter {name} is missing.", "?exchange=okex-swap&from=2026-01-31&to=...")
        check_exchange(query["exchange"])
        span, vault = span_of(query["from"], query["to"]), open_vault(self._root)
        inst_ids = vault.instruments()
        check_held(vault, inst_ids, span)
        beside = [each for each in ContextReader(vault.layout).instruments() if each in inst_ids]
        names = {
            channel: frozenset(index_name(each) if kind == "index" else each for each in beside)
            for kind, channel in CHANNELS.items()
        }
        return Exchange(inst_ids, {}, context=RecordedContext(names)), span

    async def _play(self, name: str, session: _Session) -> None:
        """Wait for the session's connections and their subscriptions, send each what it took, and close them."""
        await self._clock.sleep(_SESSION_WAIT_SEC)
        session.has_begun = True
        del self._sessions[name]
        ending = _DONE
        try:
            batches = self._paced(await asyncio.to_thread(self._session_messages, session.players), session.speed)
            async for batch in batches:
                for message in batch:
                    await message.player.send(message.text)
                if all(player.socket.state is State.CLOSED for player in session.players):
                    break
        except Exception as error:  # noqa: BLE001 - said to the clients, which would wait for a job that is no more
            _log.warning("a replay broke off: %s", error)
            ending = _FAILED, _reason(str(error))
        for player in session.players:
            await player.socket.close(*ending)

    def _session_messages(self, players: Sequence[_Player]) -> Iterator[_ToPlayer]:
        vault = open_vault(self._root)
        inst_ids, streams = vault.instruments(), []
        for player in players:
            asked = player.asked(inst_ids)
            if not asked.wanted:
                raise UsageError("nothing was subscribed to.", "OKX's subscribe within 2 s of connecting")
            streams.append(_to_player(player, native(vault, asked, self._report)))
        return merge(*streams, key=attrgetter("local_us"))

    async def _paced(self, messages: Iterator[_Timed], speed: float | None) -> AsyncGenerator[list[_Timed], None]:
        """As they are due: at once, or `speed` times as fast as they were received, from the first one on that is no
        disconnect: nobody waits for the hours before the recording."""
        begun_ms, first_us = 0, None
        while batch := await asyncio.to_thread(_next, messages):
            if speed is None:
                yield batch
                continue
            due: list[_Timed] = []
            for message in batch:
                if first_us is None and message.is_disconnect:
                    due.append(message)
                    continue
                if first_us is None:
                    begun_ms, first_us = self._clock.monotonic_ms(), message.local_us
                at_ms = begun_ms + (message.local_us - first_us) / 1000 / speed
                if (wait_ms := at_ms - self._clock.monotonic_ms()) > 0:
                    if due:
                        yield due
                    due = []
                    await self._clock.sleep(max(wait_ms, _SHORTEST_WAIT_MS) / 1000)
                due.append(message)
            yield due


def _next(messages: Iterator[_Timed]) -> list[_Timed]:
    return list(islice(messages, _BATCH))


def _lines_of(pushed: Iterator[Pushed], disconnects: bool | None) -> Iterator[Message]:
    """Of `/replay`. A disconnect is an empty line for who asked for them, as in tardis-machine; a message of its own
    for who did not say; and nothing for who wants none."""
    for each in pushed:
        if not each.is_disconnect or disconnects is None:
            local = f"{utc_micros_text(each.local_us)[:-1]}0Z"
            line = f'{{"localTimestamp":"{local}","message":{each.text}}}'
            yield Message(each.local_us, line, each.is_disconnect)
        elif disconnects:
            yield Message(each.local_us, "", is_disconnect=True)


def _to_player(player: _Player, pushed: Iterator[Pushed]) -> Iterator[_ToPlayer]:
    for each in pushed:
        yield _ToPlayer(each.local_us, player, each.text, each.is_disconnect)


async def _chunks(first: list[Message], batches: AsyncIterator[list[Message]]) -> AsyncIterator[bytes]:
    if first:
        yield _ndjson(first)
    async for batch in batches:
        yield _ndjson(batch)


def _ndjson(messages: list[Message]) -> bytes:
    return "".join([f"{message.data}\n" for message in messages]).encode()


async def _pass_over(socket: ServerConnection) -> None:
    """What a client sends that has nothing to say: its pings would wait behind it."""
    with suppress(ConnectionClosed):
        async for _ in socket:
            pass


def _refusal(connection: ServerConnection, error: L2VaultError) -> Response:
    """In tardis-machine's form."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, UsageError) else HTTPStatus.INTERNAL_SERVER_ERROR
    response = connection.respond(status, msgspec.json.encode({"message": str(error)}).decode())
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _reason(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode(errors="ignore")
