"""The feeds of a recorder: how many, when and where each starts, and how one hands over to its successor.

Each feed is a whole pipeline with a connection of its own and a number never used again. What they report goes to
`deliver` with that number; who is right among them is the arbiter's business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from l2vault.clock import Clock
from l2vault.okx.backoff import Backoff
from l2vault.okx.hosts import FAILURES_TO_MOVE, Route
from l2vault.okx.limiter import ConnectLimiter
from l2vault.okx.messages import Notice
from l2vault.okx.pipeline import Pipeline
from l2vault.okx.websocket import STABLE_SEC, Feed, FeedDown, FeedOutput, FeedUp

STAGGER_SEC: Final = 3.0
"""Between the starts of two feeds: what hits one start should miss the other."""
RENEW_AFTER_SEC: Final = 12 * 3600.0
"""A connection is replaced by plan before it ages; half a period apart with two feeds."""
WATCH_SEC: Final = 0.5
SERVICE_UPGRADE: Final = "64008"
FIRST_UPGRADE_DELAY_SEC: Final = 1.0
LONGEST_UPGRADE_DELAY_SEC: Final = 30.0
"""Where each new connection is announced to be closed too. OKX announces 60 s ahead (changelog of 2026-06-11)."""
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
    up_ms: int = 0
    upgrade_ms: int | None = None
    """When to hand over because OKX has announced the end of the connection that stands."""
    successor: "_Member | None" = field(default=None, repr=False)

    def is_due(self, now_ms: int) -> bool:
        return now_ms >= self.renew_ms or (self.upgrade_ms is not None and now_ms >= self.upgrade_ms)


class Feeds:
    """Feeds with the same subscriptions, for as long as `run` runs. The nth begins at the nth of `urls`.

    `new_pipeline` makes the pipeline of the feed with that number. All connections wait for one limiter.
    """

    def __init__(
        self,
        urls: Sequence[str],
        new_pipeline: Callable[[int], Pipeline],
        deliver: Deliver,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._urls = tuple(urls)
        self._new_pipeline = new_pipeline
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._limiter = ConnectLimiter(clock)
        self._members: dict[int, _Member] = {}
        self.pipelines: dict[int, Pipeline] = {}
        """Each feed's by its number, oldest first; the same object for as long as this lives."""
        self._numbers = 0
        self._group: asyncio.TaskGroup

    async def run(self, count: int) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            for nth in range(count):
                place = _Place(nth, Backoff(FIRST_UPGRADE_DELAY_SEC, LONGEST_UPGRADE_DELAY_SEC, self._rng))
                self._start(place, nth * STAGGER_SEC, RENEW_AFTER_SEC * (nth + 1) / count)
            while True:
                await self._clock.sleep(WATCH_SEC)
                self._hand_over()

    def book_times(self) -> dict[str, int]:
        """Exchange time of each instrument in sync on any feed."""
        times: dict[str, int] = {}
        for pipeline in self.pipelines.values():
            for inst_id, ms in pipeline.book_times().items():
                times[inst_id] = max(ms, times.get(inst_id, ms))
        return times

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

    def _start(self, place: _Place, delay_sec: float, renew_sec: float) -> _Member:
        self._numbers += 1
        number = self._numbers
        pipeline, route = self._new_pipeline(number), Route(self._urls, place.home, number)

        async def deliver(outputs: list[FeedOutput]) -> None:
            for output in outputs:
                self._note(member, output)
            await self._deliver(number, outputs)

        feed = Feed(route, pipeline, deliver, self._clock, self._rng, self._limiter)
        renew_ms = self._clock.monotonic_ms() + round((delay_sec + renew_sec) * 1000)
        member = _Member(number, feed, pipeline, route, place, renew_ms)
        self._members[number] = member
        self.pipelines[number] = pipeline
        self._group.create_task(self._live(member, delay_sec))
        return member

    async def _live(self, member: _Member, delay_sec: float) -> None:
        if delay_sec > 0:
            await self._clock.sleep(delay_sec)
        await member.feed.run()
        del self._members[member.number], self.pipelines[member.number]

    def _note(self, member: _Member, output: FeedOutput) -> None:
        if isinstance(output, FeedUp):
            member.up_ms, member.upgrade_ms = self._clock.monotonic_ms(), None
        elif isinstance(output, Notice) and output.code == SERVICE_UPGRADE and member.upgrade_ms is None:
            self._plan_upgrade(member)
        elif isinstance(output, FeedDown) and output.moved_to is not None:
            words = "Feed %d failed %d times in a row at one address and goes on at %s"
            _log.warning(words, member.number, FAILURES_TO_MOVE, output.moved_to)

    def _plan_upgrade(self, member: _Member) -> None:
        """At once; but where young connections are announced to end too, later and later: none of them is better."""
        now_ms, upgrades = self._clock.monotonic_ms(), member.place.upgrades
        if now_ms - member.up_ms >= STABLE_SEC * 1000:
            upgrades.reset()
            member.upgrade_ms = now_ms
        else:
            member.upgrade_ms = now_ms + round(upgrades.next_sec() * 1000)

    def _hand_over(self) -> None:
        """Open the new connection before the old one dies; close the old one when nothing is lost by it."""
        now_ms = self._clock.monotonic_ms()
        for member in list(self._members.values()):
            if member.successor is None:
                if member.is_due(now_ms):
                    member.successor = self._start(member.place, 0.0, RENEW_AFTER_SEC)
                    member.feed.retire()
                    _log.info("Feed %d hands over to feed %d", member.number, member.successor.number)
            elif member.pipeline.book_times().keys() <= member.successor.pipeline.book_times().keys():
                member.feed.drop("handed over to its successor")
