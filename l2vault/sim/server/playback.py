"""The timeline at work: ticks in their order and at their pace, applied to the exchange and handed to the clients.

Knows when things happen and to whom they go; where ticks come from and what a client's socket is, it does not.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from l2vault.clock import Clock
from l2vault.errors import LevelError
from l2vault.sim.exchange.books import Exchange, Tick, TradeTick, encode_push
from l2vault.sim.exchange.context import encode_context
from l2vault.sim.exchange.timeline import ContextLost, ContextTick, Cut, Event, Timeline
from l2vault.sim.exchange.trades import Trade, encode_trade
from l2vault.sim.faults.engine import Faults
from l2vault.sim.faults.frame import Frame, HangUp
from l2vault.sim.server.link import GOING_AWAY, ClientConnection

_log = logging.getLogger(__name__)

_HEAD_MS: Final = 10_000
"""How far from its start a timeline is searched for first full books; OKX sends them 3 to 200 ms after the ack."""

_CONTEXT_MS: Final = 100
"""How often what stands beside the books is published while no book changes."""

_BACK_WITHIN_SEC: Final = 60.0
"""How long a timeline that waits for its clients waits for those that a cut has disconnected."""

_CAUSE_BYTES: Final = 100
"""A close frame has room for 123 bytes of text."""

_SHORTEST_SLEEP_MS: Final = 5
"""Ticks closer than this go out together: hundreds of instruments would wake the loop thousands of times a second."""


class Head(NamedTuple):
    """The start of a timeline: the books there are before it begins, and everything after them."""

    start_ms: int
    books: list[Tick]
    rest: Iterator[Event]


def timeline_head(timeline: Timeline) -> Head:
    """The full books that stand when a recorded timeline begins, and the rest of it."""
    books: dict[str, Tick] = {}
    passed: list[Event] = []
    for event in timeline.events:
        if event.ts_ms > timeline.start_ms:
            passed.append(event)
            break
        if isinstance(event, Tick) and event.change.is_snapshot and event.inst_id not in books:
            books[event.inst_id] = event
        else:
            passed.append(event)
    return Head(timeline.start_ms, list(books.values()), chain(passed, timeline.events))


def _wanted(links: Iterable[ClientConnection]) -> frozenset[tuple[str, str]]:
    return frozenset(chain.from_iterable(link.peer.wanted for link in links))


class Pace(NamedTuple):
    """How a timeline runs: `speed` times as fast as it was recorded, or at None as fast as its clients read.

    It begins `hold_sec` after `clients` of them have subscribed, unless it has begun already: at `begun_ms`, monotonic
    time.
    """

    speed: float | None
    hold_sec: float
    begun_ms: int | None = None
    clients: int = 1


def split_head(ticks: Iterator[Tick | TradeTick], inst_ids: Collection[str]) -> Head:
    """Take the first full book of each instrument off the start of a timeline.

    An instrument whose first full book comes later has no book until then. What precedes the full book of an
    instrument is dropped: nobody can be at a book from which it would lead on.
    """
    books: dict[str, Tick] = {}
    passed: list[Tick | TradeTick] = []
    start_ms = 0
    for tick in ticks:
        inst_id = tick.inst_id
        if not books and not passed:
            start_ms = tick.ts_ms
        if isinstance(tick, Tick) and tick.change.is_snapshot and inst_id not in books:
            books[inst_id] = tick
            passed = [each for each in passed if each.inst_id != inst_id or isinstance(each, TradeTick)]
        else:
            passed.append(tick)
        if len(books) == len(inst_ids) or tick.ts_ms - start_ms > _HEAD_MS:
            break
    return Head(start_ms, list(books.values()), chain(passed, ticks))


class Playback:
    """One timeline, the exchange it happens on, and the clients who watch."""

    def __init__(self, exchange: Exchange, head: Head, pace: Pace, clock: Clock, faults: Faults) -> None:
        self.links: dict[ClientConnection, None] = {}
        """Who watches, in the order of coming: each is sent to in that order."""
        self._exchange = exchange
        self._ticks = head.rest
        self._start_ms = head.start_ms
        self._pace = pace
        self._clock = clock
        self._faults = faults
        self._begun_ms = pace.begun_ms
        self._event_ms = head.start_ms
        self._event_at_ms = clock.monotonic_ms()
        self._latest_ms = head.start_ms
        self._published_ms = head.start_ms
        self._audience = asyncio.Event()
        self._come_or_gone = asyncio.Event()
        for tick in head.books:
            self._apply(faults.first(tick))
        exchange.context.pass_time(head.start_ms)

    @property
    def is_patient(self) -> bool:
        """Whether it waits for clients that read slowly."""
        return self._pace.speed is None

    def note_audience(self) -> None:
        """To be told whenever a client has subscribed, unsubscribed or left."""
        self._come_or_gone.set()
        if any(link.peer.subscriptions for link in self.links):
            self._audience.set()
        else:
            self._audience.clear()

    def exchange_ms(self) -> int:
        """Where the timeline is, for what happens between its pushes. It goes on while the timeline stands still, so
        that a client which is refused until some time is not refused for ever."""
        now_ms = self._clock.monotonic_ms()
        if self._pace.speed is None or self._begun_ms is None:
            here_ms = self._event_ms + now_ms - self._event_at_ms
        else:
            here_ms = self._start_ms + round((now_ms - self._begun_ms) * self._pace.speed)
        self._latest_ms = max(self._latest_ms, here_ms)
        return self._latest_ms

    async def run(self) -> None:
        """Play to the end. What the source of the ticks raises comes out here; the clients stay connected."""
        if self._begun_ms is None:
            await self._gathered()
            await self._clock.sleep(self._pace.hold_sec)
            self._begun_ms = self._clock.monotonic_ms()
        _log.info("timeline started")
        for tick in self._ticks:
            while (alarm_ms := self._next_ms(tick.ts_ms)) is not None:
                await self._come_to(alarm_ms)
                self._pass_time(alarm_ms)
            await self._come_to(tick.ts_ms)
            if isinstance(tick, ContextTick):
                self._exchange.context.announce(tick.push.channel, tick.push.name, tick.push.row)
                self._publish(tick.ts_ms)
            elif isinstance(tick, ContextLost):
                self._exchange.context.forget(tick.names)
            elif isinstance(tick, Cut):
                await self._cut(tick)
            elif isinstance(tick, TradeTick):
                self._exchange.trades.note(tick.trade)
                self._send_trade(tick.trade, tick.ts_ms, tick.frame)
            else:
                self._play(tick)
        for link in self.links:
            link.settle()
        _log.info("timeline ended")

    async def _gathered(self) -> None:
        """Returns once as many clients as the pace says are subscribed."""
        while sum(bool(link.peer.subscriptions) for link in self.links) < self._pace.clients:
            self._come_or_gone.clear()
            await self._come_or_gone.wait()

    async def drained(self) -> None:
        """Returns once every frame has been handed to the socket it was for."""
        for link in list(self.links):
            await link.drained()

    async def _cut(self, cut: Cut) -> None:
        """Disconnect whoever is subscribed to the instrument, behind all that was sent before."""
        _log.info("%s has no book: %s", cut.inst_id, cut.cause)
        self._exchange.forget(cut.inst_id)
        cause = cut.cause.encode()[:_CAUSE_BYTES].decode(errors="ignore")
        ended = [link for link in self.links if link.peer.lose_book(cut.inst_id)]
        for link in ended:
            link.end(HangUp(GOING_AWAY.code, cause))
        if self.is_patient and ended:
            await self._back_again(ended)

    async def _back_again(self, ended: list[ClientConnection]) -> None:
        """A timeline without a pace would be far ahead before anybody is connected anew. Returns once all that these
        clients took is taken again, or nobody has come for it."""
        wanted = _wanted(ended)
        try:
            async with asyncio.timeout(_BACK_WITHIN_SEC):
                while not self._is_taken(wanted, ended):
                    self._come_or_gone.clear()
                    await self._come_or_gone.wait()
        except TimeoutError:
            _log.warning("not everybody who was disconnected has come back: the timeline goes on")

    def _is_taken(self, wanted: frozenset[tuple[str, str]], ended: Iterable[ClientConnection]) -> bool:
        gone = set(ended)
        if not gone.isdisjoint(self.links):
            return False
        return wanted <= _wanted(self.links)

    async def _come_to(self, ts_ms: int) -> None:
        """Wait until it is that late on the exchange."""
        if self._pace.speed is None:
            await self._until_read()
        else:
            begun_ms = self._begun_ms or 0
            await self._until(begun_ms + (ts_ms - self._start_ms) / self._pace.speed)
        self._event_ms = ts_ms
        self._event_at_ms = self._clock.monotonic_ms()

    def _next_ms(self, until_ms: int) -> int | None:
        """When, up to a time, something happens that is no push of a book: a fault, or what stands beside the books."""
        alarm_ms = self._faults.schedule.next_ms
        times = [] if alarm_ms is None else [alarm_ms]
        if any(link.peer.has_context for link in self.links):
            times.append(self._published_ms + _CONTEXT_MS)
        return min((ts_ms for ts_ms in times if ts_ms <= until_ms), default=None)

    def _pass_time(self, ts_ms: int) -> None:
        begun = self._faults.pass_time(ts_ms)
        for link in self.links:
            link.pass_time(ts_ms, begun)
        self._publish(ts_ms)

    def _play(self, tick: Tick) -> None:
        played = self._faults.play(tick)
        if played.begun:
            for link in self.links:
                link.pass_time(tick.ts_ms, played.begun)
        tick = played.tick
        self._publish(tick.ts_ms)
        self._trade(tick)
        self._apply(tick)
        watching = [link for link in self.links if link.peer.takes(tick.change)]
        if watching:
            text = encode_push(tick.change) if tick.frame is None else tick.frame
            frame = Frame(text, tick.change, played.number, played.struck)
            for link in watching:
                link.emit(frame)

    def _publish(self, ts_ms: int) -> None:
        """Send what the exchange says beside its books up to this time."""
        self._published_ms = max(ts_ms, self._published_ms)
        for push in self._exchange.context.pass_time(ts_ms):
            struck = self._faults.schedule.note_context(push.channel, push.inst_id, ts_ms)
            watching = [link for link in self.links if link.peer.takes_context(push.channel, push.name)]
            if watching:
                frame = Frame(encode_context(push.channel, push.name, [push.row]), struck=struck)
                for link in watching:
                    link.emit(frame)

    def _trade(self, tick: Tick) -> None:
        """Send the trades of the interval that this push ends, before it."""
        inst_id = tick.change.inst_id
        for trade in self._exchange.trades.follow(tick.change, self._exchange.book(inst_id)):
            self._send_trade(trade, tick.ts_ms, None)

    def _send_trade(self, trade: Trade, ts_ms: int, text: str | None) -> None:
        struck = self._faults.schedule.note_trade(trade.inst_id, ts_ms)
        watching = [link for link in self.links if link.peer.takes_trades(trade.inst_id)]
        if watching:
            frame = Frame(encode_trade(trade) if text is None else text, struck=struck, trade=trade)
            for link in watching:
                link.emit(frame)

    def _apply(self, tick: Tick) -> None:
        """A capture may hold what no book can: the clients get it all the same, as they did when it was recorded."""
        try:
            self._exchange.apply(tick.change)
        except LevelError as error:
            _log.warning("%s has no book until its next full one: %s", tick.change.inst_id, error)

    async def _until_read(self) -> None:
        """As fast as the slowest client reads, so not at all while nobody is subscribed to anything."""
        await self._audience.wait()
        for link in list(self.links):
            await link.room()
        await asyncio.sleep(0)  # at full speed nothing else gives the senders their turn

    async def _until(self, due_ms: float) -> None:
        while (delay_ms := due_ms - self._clock.monotonic_ms()) > 0:
            await self._clock.sleep(max(delay_ms, _SHORTEST_SLEEP_MS) / 1000)
        await asyncio.sleep(0)  # a timeline that is late would otherwise let nobody else have a turn
