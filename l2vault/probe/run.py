"""The probe in motion: two feeds as the recorder has them, a third short connection, and REST within its limits.

Records nothing. Everything seen goes into `Findings`, which are complete whenever `run` returns, however it ends.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.exceptions import ConnectionClosed

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange
from l2vault.clock import Clock
from l2vault.okx.audit import Audit
from l2vault.okx.connection import CannotConnect, Connection
from l2vault.okx.hosts import CLOSED_PORT
from l2vault.okx.messages import BOOKS, Ack, Notice, Refusal, SchemaFailure, decode
from l2vault.okx.rest_join import JoinFailure, RestJoin
from l2vault.okx.session import Dead, Refused, Session, Silent
from l2vault.probe.findings import End, ErrorFrame, Failure, Feed, Findings, Rest
from l2vault.probe.network import is_port_open, open_websocket
from l2vault.probe.plan import Plan
from l2vault.probe.rest import RestClient
from l2vault.probe.rest_round import RestRound
from l2vault.probe.stream import TRADES, BookStream, Step, TradeData, TradeStream, decode_trades

FEEDS: Final = 2
STAGGER_SEC: Final = 3.0
"""Between the connections: OKX allows 3 connects a second, and the recorder leaves as much."""
TICK_SEC: Final = 0.1
NO_BOOKS_SEC: Final = 30.0
"""Without any book for so long the run ends: more time would show nothing more."""
SEED_WITHIN_MS: Final = 3_000
"""OKX sends the full book within 200 ms of the ack; updates for so long without one say that it will not come."""
REST_EVERY_MS: Final = 2_000
GIVE_UP_MS: Final = 3_600_000
RETRY_SEC: Final = (1.0, 2.0, 4.0, 8.0)
NEXT_ADDRESS_AFTER: Final = 3
"""Failures in a row on one address before the next one of the region is tried."""
UNLISTED: Final = "L2VAULT-PROBE-SWAP"
"""An instrument that OKX does not have."""

_log = logging.getLogger(__name__)


class Probe:
    """One run. `show` gets a line of progress several times a second."""

    def __init__(
        self, plan: Plan, version: str, clock: Clock, rng: Random, show: Callable[[str], None] = lambda text: None
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._rng = rng
        self._show = show
        feeds = [
            Feed(number, {i: BookStream(i) for i in plan.inst_ids}, {i: TradeStream(i) for i in plan.inst_ids})
            for number in range(1, FEEDS + 1)
        ]
        self.findings = Findings(
            version,
            clock.wall_ms(),
            plan.region,
            plan.inst_ids,
            plan.named_flags,
            plan.left_out,
            plan.seconds,
            feeds,
            Rest(plan.hosts.rest_url),
            was_closed_port_named=plan.was_closed_port_named,
        )
        self._runners = [_FeedRunner(feed, plan, clock, rng, self._join_by_rest) for feed in feeds]
        self._client = RestClient(plan.hosts.rest_url, plan.hosts.headers, plan.within_sec, clock)
        self._rest = RestRound(self.findings, self._client, clock, self._begin_audit)

    async def run(self, stop: asyncio.Event) -> Findings:
        """Until the time is up, `stop` is set, or there is no hope of a book."""
        began_ms = self._clock.monotonic_ms()
        tasks = [asyncio.create_task(runner.run()) for runner in self._runners]
        tasks += [asyncio.create_task(task) for task in (self._side(), self._rest.run(), self._port())]
        try:
            while not self._is_over((self._clock.monotonic_ms() - began_ms) / 1000, stop):
                self._raise_failures(tasks)
                await self._clock.sleep(TICK_SEC)
        finally:
            self.findings.seconds = (self._clock.monotonic_ms() - began_ms) / 1000
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._client.close()
        self._rest.judge_all()
        return self.findings

    def _is_over(self, seconds: float, stop: asyncio.Event) -> bool:
        findings = self.findings
        has_book = any(
            stream.full_books or stream.joined_by_rest for feed in findings.feeds for stream in feed.books.values()
        )
        messages = sum(stream.messages for stream in findings.feeds[0].books.values())
        self._show(
            f"probing: {seconds:.0f} s of {self._plan.seconds:.0f} s, {messages} messages on feed 1; Ctrl-C ends it"
        )
        if stop.is_set():
            findings.ended = "interrupted"
        elif not has_book and seconds >= NO_BOOKS_SEC:
            findings.ended = "no books"
        else:
            return seconds >= self._plan.seconds
        return True

    @staticmethod
    def _raise_failures(tasks: "list[asyncio.Task[None]]") -> None:
        """A fault of ours must not pass for silence of OKX's."""
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _begin_audit(self, inst_id: str) -> Audit | None:
        return self._runners[0].begin_audit(inst_id)

    async def _join_by_rest(self, runner: "_FeedRunner", inst_id: str) -> None:
        book = await self._rest.book(inst_id)
        if book is not None:
            runner.join(book)

    async def _side(self) -> None:
        """Offer compression, and ask for one instrument that exists and one that does not, in one request."""
        await self._clock.sleep(STAGGER_SEC * FEEDS)
        side = self.findings.side
        try:
            opened = await open_websocket(self._plan.hosts.ws_urls[0], self._clock, self._plan.within_sec, "deflate")
        except CannotConnect as error:
            side.failure = _failure(self._plan.hosts.ws_urls[0], error)
            return
        side.connection = opened.seen
        good = self._plan.inst_ids[0]
        args = [{"channel": BOOKS, "instId": inst_id} for inst_id in (good, UNLISTED)]
        side.acked = False
        try:
            await opened.websocket.send(msgspec.json.encode({"id": "probe", "op": "subscribe", "args": args}).decode())
            async with asyncio.timeout(self._plan.within_sec):
                while not (side.error and side.acked and side.full_book):
                    self._note_side(decode(await opened.websocket.recv(decode=False)), good)
        except (ConnectionClosed, TimeoutError):
            pass
        finally:
            opened.websocket.transport.abort()

    def _note_side(self, message: object, good: str) -> None:
        side = self.findings.side
        if isinstance(message, Ack):
            side.acked = side.acked or (message.is_subscribe and message.inst_id == good)
        elif isinstance(message, Refusal):
            side.error = ErrorFrame(message.code, message.message)
        elif isinstance(message, BookChange):
            side.full_book = side.full_book or (message.is_snapshot and message.inst_id == good)

    async def _port(self) -> None:
        """Whether the port that OKX said it closed is closed."""
        host = urlsplit(self._plan.hosts.ws_urls[0]).hostname or ""
        self.findings.old_port_host = host
        if host == "okx.com" or host.endswith(".okx.com"):
            await self._clock.sleep(STAGGER_SEC * (FEEDS + 1))
            self.findings.port_8443 = await is_port_open(host, CLOSED_PORT, self._plan.within_sec)


class _FeedRunner:
    """One feed: connect, subscribe, measure, connect again; until cancelled."""

    def __init__(
        self,
        feed: Feed,
        plan: Plan,
        clock: Clock,
        rng: Random,
        join_by_rest: "Callable[[_FeedRunner, str], Coroutine[None, None, None]]",
    ) -> None:
        self._feed = feed
        self._plan = plan
        self._clock = clock
        self._session = Session(plan.inst_ids, rng)
        self._rest_joins = {inst_id: RestJoin() for inst_id in plan.inst_ids}
        self._ask_rest_ms: dict[str, int] = {}
        self._join_by_rest = join_by_rest
        self._joining: set[asyncio.Task[None]] = set()
        self._audits: dict[str, Audit] = {}
        self._dead: str | None = None

    async def run(self) -> None:
        await self._clock.sleep(STAGGER_SEC * (self._feed.number - 1))
        failures, urls = 0, self._plan.hosts.ws_urls
        while True:
            url = urls[(self._feed.number - 1 + failures // NEXT_ADDRESS_AFTER) % len(urls)]
            try:
                opened = await open_websocket(url, self._clock, self._plan.within_sec)
            except CannotConnect as error:
                self._feed.failures.append(_failure(url, error))
                failures += 1
            else:
                self._feed.connections.append(opened.seen)
                failures = 0
                await self._live(opened.websocket)
            await self._clock.sleep(RETRY_SEC[min(failures, len(RETRY_SEC) - 1)])

    def begin_audit(self, inst_id: str) -> Audit | None:
        """The recorder's comparison of its book with REST's, from here on; None without a book."""
        book = self._feed.books[inst_id].book
        if book is None:
            return None
        audit = self._audits[inst_id] = Audit(book, CHANNEL_DEPTH)
        return audit

    def join(self, full: BookChange) -> None:
        """Join a book from REST with the updates kept, where it fits: the recorder's way if none comes in band."""
        inst_id = full.inst_id
        if not self._session.awaiting_snapshot(inst_id):
            return
        joined = self._rest_joins[inst_id].join(full)
        if not isinstance(joined, JoinFailure):
            self._feed.books[inst_id].seed(joined)
            self._session.synced(inst_id, self._clock.monotonic_ms())

    async def _live(self, websocket: Connection) -> None:
        began_ms = self._clock.monotonic_ms()
        self._session.open(began_ms)
        self._dead = None
        for inst_id in self._plan.inst_ids:
            self._begin(inst_id)
            self._feed.trades[inst_id].begin()
        try:
            async with asyncio.TaskGroup() as group:
                ticker = group.create_task(self._tick(websocket))
                await self._read(websocket, began_ms)
                ticker.cancel()
        finally:
            websocket.transport.abort()

    async def _read(self, websocket: Connection, began_ms: int) -> None:
        try:
            await websocket.send(_trades_request(self._plan.inst_ids))
            while True:
                frame = await websocket.recv(decode=False)
                self._take(frame, self._clock.wall_ms(), self._clock.monotonic_ms())
        except ConnectionClosed as closed:
            lived_ms = self._clock.monotonic_ms() - began_ms
            code = None if closed.rcvd is None else closed.rcvd.code
            said = "no close frame (1006)" if closed.rcvd is None else f"{code} {closed.rcvd.reason}".rstrip()
            self._feed.ends.append(End(code, self._dead or websocket.flood or said, lived_ms))

    async def _tick(self, websocket: Connection) -> None:
        with suppress(ConnectionClosed):
            while True:
                now_ms = self._clock.monotonic_ms()
                for event in self._session.tick(now_ms):
                    self._note(event, websocket)
                for frame in self._session.take_outgoing():
                    _log.debug("> %s", frame)
                    await websocket.send(frame)
                self._seek_by_rest(now_ms)
                await self._clock.sleep(TICK_SEC)

    def _take(self, frame: bytes, wall_ms: int, now_ms: int) -> None:
        traded = decode_trades(frame)
        if traded is not None:
            self._take_trades(*traded, wall_ms)
        elif b'"event"' in frame[:64]:
            self._take_event(frame, now_ms)
        for event in self._session.receive(frame, now_ms):
            if isinstance(event, BookChange):
                self._take_book(event, len(frame), wall_ms, now_ms)
            elif isinstance(event, SchemaFailure):
                self._feed.unreadable_frames += 1
            else:
                self._note(event, None)

    def _take_trades(self, inst_id: str, trades: list[TradeData], wall_ms: int) -> None:
        stream = self._feed.trades.get(inst_id)
        if stream is not None:
            book_seq_id = self._feed.books[inst_id].last_seq_id
            for trade in trades:
                stream.take(trade, book_seq_id, wall_ms)

    def _take_event(self, frame: bytes, now_ms: int) -> None:
        message = decode(frame)
        if isinstance(message, Ack) and message.channel == BOOKS and message.inst_id in self._feed.books:
            stream = self._feed.books[message.inst_id]
            if message.is_subscribe:
                stream.acknowledge(now_ms)
        elif isinstance(message, Refusal):
            self._feed.errors.append(ErrorFrame(message.code, message.message))

    def _take_book(self, change: BookChange, size_bytes: int, wall_ms: int, now_ms: int) -> None:
        inst_id = change.inst_id
        stream = self._feed.books[inst_id]
        step = stream.take(change, size_bytes, wall_ms, now_ms)
        if step is Step.FULL:
            self._audits.pop(inst_id, None)
            self._forget(inst_id)
            self._session.synced(inst_id, now_ms)
        elif step is Step.APPLIED and inst_id in self._audits:
            self._audits[inst_id].follow(change)
        elif step is Step.UNSEEDED:
            met = self._rest_joins[inst_id].add(change, now_ms)
            if met is not None:
                self.join(met)
        elif step is Step.BROKEN:
            self._session.resync(inst_id, now_ms)
            self._begin(inst_id)

    def _begin(self, inst_id: str) -> None:
        self._feed.books[inst_id].begin()
        self._audits.pop(inst_id, None)
        self._forget(inst_id)

    def _forget(self, inst_id: str) -> None:
        self._rest_joins[inst_id].clear()
        self._ask_rest_ms.pop(inst_id, None)

    def _note(self, event: object, websocket: Connection | None) -> None:
        if isinstance(event, Silent):
            self._feed.books[event.inst_id].silences += 1
            self._begin(event.inst_id)
        elif isinstance(event, Refused):
            self._feed.refused[event.inst_id] = ErrorFrame(event.code, event.message)
        elif isinstance(event, Notice):
            self._feed.notices.append(f"{event.code} {event.message}")
        elif isinstance(event, Dead) and websocket is not None:
            self._dead = event.reason
            websocket.transport.abort()

    def _seek_by_rest(self, now_ms: int) -> None:
        """Ask for a book by REST where updates flow and none came in band, as the recorder does."""
        for inst_id, rest_join in self._rest_joins.items():
            if (
                not rest_join
                or not self._session.awaiting_snapshot(inst_id)
                or now_ms - rest_join.since_ms < SEED_WITHIN_MS
            ):
                continue
            if now_ms >= self._ask_rest_ms.get(inst_id, 0):
                self._ask_rest_ms[inst_id] = now_ms + REST_EVERY_MS
                self._session.wait_longer(inst_id, now_ms + GIVE_UP_MS)
                task = asyncio.create_task(self._join_by_rest(self, inst_id))
                self._joining.add(task)
                task.add_done_callback(self._joining.discard)


def _trades_request(inst_ids: tuple[str, ...]) -> str:
    args = [{"channel": TRADES, "instId": inst_id} for inst_id in inst_ids]
    return msgspec.json.encode({"id": "probetrades", "op": "subscribe", "args": args}).decode()


def _failure(url: str, error: CannotConnect) -> Failure:
    return Failure(url, error.stage, str(error), error.status, error.is_certificate)
