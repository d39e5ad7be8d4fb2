"""When a feed hands over to its successor, against an exchange in memory and in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from unittest import mock

from websockets.exceptions import ConnectionClosedError

from l2vault.okx.websocket import FeedOutput
from l2vault.recording.feeds import Feeds
from l2vault.recording.pipelines import Pipelines
from support.second_book import ShortBookPipeline
from support.virtual import VirtualClock, VirtualLoop, run_virtually
from support.world import Socket, World

BTC = "BTC-USDT-SWAP"
START_MS = 1_767_225_600_000
CLOSING = "64008"


class Life:
    """One feed of a world, and its successors."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.clock = VirtualClock(loop, START_MS)
        self.world = World([BTC], Random(1), self.clock.true_ms)
        self.feeds = Feeds(["ws://127.0.0.1:1"], self.clock, Random(1))
        self.pipelines = Pipelines(lambda feed: ShortBookPipeline([BTC], 2000, 400, Random(feed)))

    async def deliver(self, number: int, outputs: list[FeedOutput]) -> None:
        assert outputs

    async def connect(self, url: str, now_us: Callable[[], int]) -> Socket:
        socket = self.world.connect()
        socket.closed = lambda: ConnectionClosedError(None, None)
        return socket

    def announce(self, code: str = CLOSING) -> None:
        """On the newest connection."""
        words = {"event": "notice", "code": code, "msg": "soon", "connId": "a4d3ae55"}
        self.world.send(self.world.connections[-1], words)

    async def seconds_to_connection(self, number: int) -> float:
        """From now on; fails after a minute."""
        began = self.loop.time()
        while self.world.made < number:
            assert self.loop.time() - began < 60
            await asyncio.sleep(0.05)
        return self.loop.time() - began


def live(script: Callable[[Life], Coroutine[None, None, None]]) -> None:
    async def main(loop: VirtualLoop) -> None:
        life = Life(loop)
        with mock.patch("l2vault.okx.websocket.open_connection", life.connect):
            tasks = [
                asyncio.create_task(life.world.run()),
                asyncio.create_task(life.feeds.run(1, life.pipelines, life.deliver)),
            ]
            await asyncio.sleep(1)
            await script(life)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(main)


def test_an_announced_end_of_an_old_connection_is_acted_upon_at_once_and_the_old_feed_is_gone_then() -> None:
    async def script(life: Life) -> None:
        await asyncio.sleep(70)
        life.announce()
        assert await life.seconds_to_connection(2) <= 1.0
        await asyncio.sleep(2)
        assert list(life.pipelines.by_feed) == [2]
        assert list(life.pipelines.book_times()) == [BTC]
        assert len(life.world.connections) == 1

    live(script)


def test_a_notice_of_another_kind_changes_no_connection() -> None:
    async def script(life: Life) -> None:
        life.announce("64001")
        await asyncio.sleep(60)
        assert life.world.made == 1

    live(script)


def test_an_announcement_ends_with_its_connection() -> None:
    """The connection that follows by itself is not announced to end."""

    async def script(life: Life) -> None:
        life.announce()
        await asyncio.sleep(0.15)
        life.world.close(life.world.connections[-1])
        await asyncio.sleep(60)
        assert life.world.made == 2
        assert list(life.pipelines.by_feed) == [1]

    live(script)


def test_where_young_connections_are_announced_to_end_too_each_stays_longer_until_one_was_stable() -> None:
    async def script(life: Life) -> None:
        waits = []
        for number in (2, 3, 4, 5):
            life.announce()
            waits.append(await life.seconds_to_connection(number))
            await asyncio.sleep(1)
        assert waits[0] < 2 <= waits[-1] < 9, waits
        await asyncio.sleep(65)
        life.announce()
        assert await life.seconds_to_connection(6) <= 1.0
        await asyncio.sleep(1)
        life.announce()
        assert await life.seconds_to_connection(7) <= 1.6, "as after a first one"

    live(script)
