"""Feeds against a small exchange: staggered starts, addresses, hand-overs in which nothing is ever out of sync."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.okx import websocket as websocket_module
from l2vault.okx.connection import CannotConnect, Connection
from l2vault.okx.messages import Notice
from l2vault.okx.pipeline import Lost, Synced
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.recording import feeds as feeds_module
from l2vault.recording.feeds import Feeds
from l2vault.recording.pipelines import Pipelines
from support.manual_clock import ManualClock, some_turns, until
from support.second_book import ShortBookPipeline
from support.virtual import over_sockets, running_clock

INST_ID = "BTC-USDT-SWAP"
WITHIN_SEC = 3600
NOTICE = '{"event":"notice","msg":"The connection will soon be closed","code":"64008","connId":"a4d3ae55"}'

Said = list[tuple[int, FeedOutput]]


class Exchange:
    """Serves full books; tells each connection in turn what `script` says."""

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.accepted = 0

    async def __call__(self, websocket: ServerConnection) -> None:
        self.accepted += 1
        nth = self.accepted
        with suppress(ConnectionClosed):
            async for text in websocket:
                if text == "ping":
                    await websocket.send("pong")
                    continue
                request = json.loads(text)
                await websocket.send(
                    json.dumps({"id": request["id"], "event": request["op"], "arg": request["args"][0]})
                )
                if request["op"] == "subscribe":
                    await websocket.send(_full_book(nth))
                    for frame in self.script[nth - 1 : nth]:
                        await websocket.send(frame)


def _full_book(seq_id: int) -> str:
    data = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": "1000", "checksum": 0}
    data |= {"seqId": seq_id, "prevSeqId": -1}
    return json.dumps({"arg": {"channel": "books", "instId": INST_ID}, "action": "snapshot", "data": [data]})


@asynccontextmanager
async def _serving(exchange: Exchange):
    async with serve(exchange, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/v5/public"


async def _run(
    url: str | list[str],
    count: int,
    enough: Callable[[Said, Feeds], bool],
    clock: Clock,
    beside: Callable[[Pipelines], Coroutine[None, None, None]] | None = None,
) -> tuple[Said, Pipelines]:
    said: Said = []
    done = asyncio.Event()

    async def deliver(number: int, outputs: list[FeedOutput]) -> None:
        said.extend((number, output) for output in outputs)
        if enough(said, feeds):
            done.set()

    feeds, pipelines = Feeds([url] if isinstance(url, str) else url, clock, Random(1)), _pipelines()
    tasks = [asyncio.create_task(feeds.run(count, pipelines, deliver))]
    if beside is not None:
        tasks.append(asyncio.create_task(beside(pipelines)))
    try:
        async with asyncio.timeout(WITHIN_SEC):
            await done.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return said, pipelines


def _pipelines(inst_ids: Sequence[str] = (INST_ID,)) -> Pipelines:
    return Pipelines(lambda feed: ShortBookPipeline(inst_ids, 2000, 400, Random(1)))


def _of(said: Said, *kinds: type) -> list[tuple[int, str]]:
    return [(number, type(output).__name__) for number, output in said if isinstance(output, kinds)]


@over_sockets
async def test_two_feeds_start_at_different_moments() -> None:
    moments: list[int] = []
    clock = running_clock()

    def both_up(said: Said, feeds: Feeds) -> bool:
        if isinstance(said[-1][1], FeedUp):
            moments.append(clock.monotonic_ms())
        return len(moments) == 2

    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 2, both_up, clock)
    assert _of(said, FeedUp) == [(1, "FeedUp"), (2, "FeedUp")]
    assert moments[1] - moments[0] >= 1_000


@over_sockets
async def test_an_announced_close_opens_the_successor_before_the_old_one_ends() -> None:
    """T12: `notice` 64008, "the connection will soon be closed for a service upgrade"."""
    async with _serving(Exchange(NOTICE)) as url:
        said, pipelines = await _run(url, 1, lambda said, _: isinstance(said[-1][1], FeedDown), running_clock())
    assert _of(said, FeedUp, FeedDown, Synced, Lost) == [
        (1, "FeedUp"),
        (1, "Synced"),
        (2, "FeedUp"),
        (2, "Synced"),
        (1, "Lost"),
        (1, "FeedDown"),
    ]
    assert list(pipelines.by_feed) in ([2], [1, 2])
    assert pipelines.book_times() == {INST_ID: 1000}


@over_sockets
async def test_a_connection_is_renewed_by_plan_without_a_moment_out_of_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "RENEW_AFTER_SEC", 30.0)
    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 1, lambda said, _: len(_of(said, FeedDown)) == 2, running_clock())
    in_sync: set[int] = set()
    for number, output in said:
        if isinstance(output, Synced):
            in_sync.add(number)
        elif isinstance(output, Lost):
            in_sync.discard(number)
            assert in_sync, f"feed {number} ended before its successor was in sync"
    assert [number for number, _ in _of(said, FeedUp)][:3] == [1, 2, 3]


@over_sockets
async def test_after_a_sleep_of_the_host_every_connection_is_made_anew() -> None:
    def act(said: Said, feeds: Feeds) -> bool:
        if len(_of(said, Synced)) == 1 and not _of(said, FeedDown):
            feeds.reconnect_all("the host slept")
        return len(_of(said, Synced)) == 2

    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 1, act, running_clock())
    downs = [output for _, output in said if isinstance(output, FeedDown)]
    assert [down.reason for down in downs] == ["the host slept"]


@over_sockets
async def test_the_second_feed_takes_the_second_address() -> None:
    async with _serving(Exchange()) as first, _serving(Exchange()) as second:
        said, _ = await _run([first, second], 3, lambda said, _: len(_of(said, FeedUp)) == 3, running_clock())
    urls = {number: output.url for number, output in said if isinstance(output, FeedUp)}
    assert urls == {1: first, 2: second, 3: first}


@over_sockets
async def test_a_feed_that_moves_to_another_address_says_so() -> None:
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0) as server:
        dead = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with _serving(Exchange()) as good:
        said, _ = await _run([dead, good], 1, lambda said, _: isinstance(said[-1][1], Synced), running_clock())
    assert [output.url for _, output in said if isinstance(output, FeedUp)] == [good]
    assert [output.moved_to for _, output in said if isinstance(output, FeedDown)] == [None, None, good]


@over_sockets
async def test_a_hand_over_goes_to_the_next_address_too_where_its_own_fails() -> None:
    exchange = Exchange(NOTICE)

    def is_over(said: Said, feeds: Feeds) -> bool:
        return (1, "FeedDown") in _of(said, FeedDown)

    async with _serving(Exchange()) as other, serve(exchange, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        def closes_its_door(said: Said, feeds: Feeds) -> bool:
            if isinstance(said[-1][1], Synced):
                server.close(close_connections=False)
            return is_over(said, feeds)

        said, _ = await _run([url, other], 1, closes_its_door, running_clock())
    assert [(number, output.url) for number, output in said if isinstance(output, FeedUp)] == [(1, url), (2, other)]
    assert sum(number == 2 and isinstance(output, FeedDown) for number, output in said) == 3
    assert said[-1][1].is_last  # type: ignore[union-attr]


@over_sockets
async def test_a_close_announced_on_every_new_connection_makes_no_storm() -> None:
    """All nodes are being upgraded: each new connection is told at once that it will be closed."""
    exchange, clock = Exchange(*[NOTICE] * 1000), running_clock()
    began_ms = clock.monotonic_ms()

    async with _serving(exchange) as url:
        await _run(url, 2, lambda *_: clock.monotonic_ms() - began_ms >= 25_000, clock)
    assert 4 <= exchange.accepted <= 20


@over_sockets
async def test_feeds_that_end_each_second_share_the_limit_and_stay_in_sync_most_of_the_time() -> None:
    clock = running_clock()
    began_ms = clock.monotonic_ms()

    class Flapping(Exchange):
        async def __call__(self, websocket: ServerConnection) -> None:
            asyncio.get_running_loop().call_later(1, websocket.transport.abort)
            await super().__call__(websocket)

    exchange = Flapping()
    samples: list[bool] = []

    async with _serving(exchange) as url:

        def enough(said: Said, feeds: Feeds) -> bool:
            return clock.monotonic_ms() - began_ms >= 30_000

        async def sample(pipelines: Pipelines) -> None:
            while True:
                await clock.sleep(0.1)
                samples.append(bool(pipelines.book_times()))

        await _run(url, 2, enough, clock, sample)
    assert sum(samples) >= 0.8 * len(samples)
    assert 20 <= exchange.accepted <= 3 * 31


async def test_all_feeds_of_a_recorder_share_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, tried_ms = ManualClock(), []

    async def refuse(_: str, now_us: object) -> Connection:
        tried_ms.append(clock.now_ms)
        raise CannotConnect("nobody there", "TCP")

    monkeypatch.setattr(websocket_module, "open_connection", refuse)
    monkeypatch.setattr(feeds_module, "STAGGER_SEC", 0.0)
    feeds = Feeds(["ws://exchange.test"], clock, Random(1))
    task = asyncio.create_task(feeds.run(8, _pipelines([]), _take))
    for _ in range(400):
        await some_turns(20)
        clock.advance(10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(tried_ms) >= 9
    assert all(later - earlier > 1_000 for earlier, later in zip(tried_ms, tried_ms[3:], strict=False)), tried_ms


async def _take(_: int, outputs: list[FeedOutput]) -> None:
    assert outputs


@over_sockets
async def test_a_feed_found_wrong_gets_a_new_connection_and_the_second_time_another_address() -> None:
    def act(said: Said, feeds: Feeds) -> bool:
        if isinstance(said[-1][1], Synced) and said[-1][0] == 1:
            feeds.reconnect(99, "no such feed")
            feeds.reconnect(1, "its books were wrong")
        return len(_of(said, FeedUp)) == 5

    async with _serving(Exchange()) as first, _serving(Exchange()) as second:
        said, _ = await _run([first, second], 1, act, running_clock())
    assert [output.url for _, output in said if isinstance(output, FeedUp)] == [first, first, second, second, first]
    assert {output.reason for _, output in said if isinstance(output, FeedDown)} == {"its books were wrong"}


@over_sockets
async def test_a_feed_found_wrong_goes_to_another_address_at_once_where_that_is_asked() -> None:
    def act(said: Said, feeds: Feeds) -> bool:
        if isinstance(said[-1][1], Synced):
            feeds.reconnect(1, "its books were wrong", next_address=True)
        return len(_of(said, FeedUp)) == 2

    async with _serving(Exchange()) as first, _serving(Exchange()) as second:
        said, _ = await _run([first, second], 1, act, running_clock())
    assert [output.url for _, output in said if isinstance(output, FeedUp)] == [first, second]


@pytest.mark.parametrize(("count", "hours"), [(1, 12), (2, 6)])
async def test_connections_are_renewed_after_twelve_hours_at_the_latest(count: int, hours: int) -> None:
    """With two feeds half a period apart, so that the first renewal comes after six."""
    clock, said = ManualClock(), []

    async def deliver(number: int, outputs: list[FeedOutput]) -> None:
        said.extend((number, output) for output in outputs)

    async with _serving(Exchange()) as url:
        pipelines = _pipelines()
        task = asyncio.create_task(Feeds([url], clock, Random(1)).run(count, pipelines, deliver))
        await some_turns()
        clock.advance(3_000)  # for the start of the second
        await until(lambda: len(_of(said, Synced)) == count)
        clock.advance(hours * 3_600_000 - 60_000)
        await some_turns(500)
        assert {number for number, _ in _of(said, FeedUp)} <= {1, 2}
        assert list(pipelines.by_feed) == list(range(1, count + 1))
        clock.advance(120_000)
        await until(lambda: count + 1 in pipelines.by_feed)
        await until(lambda: (count + 1, "FeedUp") in _of(said, FeedUp))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_while_every_new_connection_is_announced_to_close_each_is_replaced_within_half_a_minute() -> None:
    """OKX announces 60 s ahead: a feed that waited longer would be cut off before its successor is in sync."""
    clock, said = ManualClock(), []

    async def deliver(number: int, outputs: list[FeedOutput]) -> None:
        said.extend((number, output) for output in outputs)

    async with _serving(Exchange(*[NOTICE] * 100)) as url:
        pipelines = _pipelines()
        task = asyncio.create_task(Feeds([url], clock, Random(1)).run(1, pipelines, deliver))
        for number in range(1, 12):
            await until(lambda: number in {one for one, _ in _of(said, Notice)})  # noqa: B023
            clock.advance(30_500)
            await until(lambda: number + 1 in pipelines.by_feed)  # noqa: B023
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
