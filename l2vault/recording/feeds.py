"""The feeds of a recorder: how many, when and where each starts, and how one hands over to its successor.

Each feed is a whole pipeline with a connection of its own and a number never used again. What they report goes to
`deliver` with that number, unlooked at; who is right among them is the arbiter's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final, NamedTuple

from l2vault.clock import Clock
from l2vault.okx.backoff import Backoff
from l2vault.okx.hosts import Route
from l2vault.okx.limiter import ConnectLimiter
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.websocket import STABLE_SEC, Feed, FeedOutput
from l2vault.recording.pipelines import Pipelines

STAGGER_SEC: Final = 3.0
"""Between the starts of two feeds: what hits one start should miss the other."""
RENEW_AFTER_SEC: Final = 12 * 3600.0
"""A connection is replaced by plan before it ages; half a period apart with two feeds."""
WATCH_SEC: Final = 0.5
FIRST_UPGRADE_DELAY_SEC: Final = 1.0
LONGEST_UPGRADE_DELAY_SEC: Final = 30.0
"""Where each new connection is announced to be closed too: well within the 60 s from the announcement to the end."""
FOUND_WRONG_TO_MOVE: Final = 2
"""The second time a feed's books are found wrong, its next connection goes to another address."""

_log = logging.getLogger(__name__)

Deliver = Callable[[int, list[FeedOutput]], Awaitable[None]]
"""Takes everything it is given before it waits for the first time."""


@dataclass(slots=True)
class _Place:
    """One of the `count` places of feeds, through all successors: where they begin, and what befell them."""

    home: int
    upgrades: Backoff
    found_wrong: int = 0


@dataclass(slots=True)
class _Member:
    number: int
    feed: Feed
    pipeline: Pipeline
    route: Route
    place: _Place
    renew_ms: int
    announced_ms: int | None = None
    """When OKX announced the end that `upgrade_ms` is about."""
    upgrade_ms: int | None = None
    """When to hand over because OKX has announced the end of the connection that stands."""
    successor: "_Member | None" = field(default=None, repr=False)

    def is_due(self, now_ms: int) -> bool:
        return now_ms >= self.renew_ms or (self.upgrade_ms is not None and now_ms >= self.upgrade_ms)


class _Run(NamedTuple):
    """What every feed of a run is part of."""

    group: asyncio.TaskGroup
    pipelines: Pipelines
    deliver: Deliver


class Feeds:
    """Feeds with the same subscriptions, for as long as `run` runs. The nth begins at the nth of `urls`.

    All connections wait for one limiter.
    """

    def __init__(self, urls: Sequence[str], clock: Clock, rng: Random) -> None:
        self._urls = tuple(urls)
        self._clock = clock
        self._rng = rng
        self._limiter = ConnectLimiter(clock)
        self._members: dict[int, _Member] = {}
        self._numbers = 0

    async def run(self, count: int, pipelines: Pipelines, deliver: Deliver) -> None:
        """Until cancelled: `count` feeds, each with one of `pipelines`; whatever they report goes to `deliver`."""
        async with asyncio.TaskGroup() as group:
            run = _Run(group, pipelines, deliver)
            for nth in range(count):
                place = _Place(nth, Backoff(FIRST_UPGRADE_DELAY_SEC, LONGEST_UPGRADE_DELAY_SEC, self._rng))
                self._start(run, place, nth * STAGGER_SEC, RENEW_AFTER_SEC * (nth + 1) / count)
            while True:
                await self._clock.sleep(WATCH_SEC)
                for member in list(self._members.values()):
                    self._hand_over(run, member)

    def reconnect_all(self, reason: str) -> None:
        """Drop every connection now; each feed connects again by itself."""
        for member in self._members.values():
            member.feed.drop(reason)

    def reconnect(self, number: int, reason: str, next_address: bool = False) -> None:
        """Give a feed whose books were found wrong a new connection; a number that is no more changes nothing.

        It goes to another address where `next_address` says so, and in any case the second time. Nothing changes for
        the other feeds.
        """
        member = self._members.get(number)
        if member is None:
            return
        place = member.place
        place.found_wrong += 1
        if next_address or place.found_wrong >= FOUND_WRONG_TO_MOVE:
            place.found_wrong = 0
            if member.route.move():
                _log.warning("Feed %d goes on at %s: %s", number, member.route.url, reason)
        member.feed.drop(reason)

    def _start(self, run: _Run, place: _Place, delay_sec: float, renew_sec: float) -> _Member:
        self._numbers += 1
        number = self._numbers
        pipeline, route = run.pipelines.add(number), Route(self._urls, place.home, number)
        feed = Feed(route, pipeline, partial(run.deliver, number), self._clock, self._rng, self._limiter)
        renew_ms = self._clock.monotonic_ms() + round((delay_sec + renew_sec) * 1000)
        member = self._members[number] = _Member(number, feed, pipeline, route, place, renew_ms)
        run.group.create_task(self._live(member, run.pipelines, delay_sec))
        return member

    async def _live(self, member: _Member, pipelines: Pipelines, delay_sec: float) -> None:
        if delay_sec > 0:
            await self._clock.sleep(delay_sec)
        await member.feed.run()
        del self._members[member.number]
        pipelines.remove(member.number)

    def _hand_over(self, run: _Run, member: _Member) -> None:
        """Open the new connection before the old one dies; close the old one when nothing is lost by it."""
        self._plan_upgrade(member)
        if member.successor is None:
            if member.is_due(self._clock.monotonic_ms()):
                member.successor = self._start(run, member.place, 0.0, RENEW_AFTER_SEC)
                member.feed.retire()
                _log.info("Feed %d hands over to feed %d", member.number, member.successor.number)
        elif member.pipeline.book_times().keys() <= member.successor.pipeline.book_times().keys():
            member.feed.drop("handed over to its successor")

    def _plan_upgrade(self, member: _Member) -> None:
        """At once; but where young connections are announced to end too, later and later: none of them is better."""
        announced_ms = member.feed.end_announced_ms
        if announced_ms == member.announced_ms:
            return
        member.announced_ms, member.upgrade_ms = announced_ms, announced_ms
        if announced_ms is None:
            return  # another connection stands, of which nothing is announced
        if announced_ms - member.feed.up_ms >= STABLE_SEC * 1000:
            member.place.upgrades.reset()
        else:
            member.upgrade_ms = announced_ms + round(member.place.upgrades.next_sec() * 1000)
