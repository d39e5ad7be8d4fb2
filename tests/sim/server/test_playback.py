import asyncio
import logging

import pytest

from l2vault.book.change import BookChange
from l2vault.okx.messages import decode
from l2vault.sim.exchange.books import Exchange, Tick
from l2vault.sim.faults.engine import Faults
from l2vault.sim.faults.plan import FaultPlan
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.peer import ServerSession
from l2vault.sim.server.playback import Pace, Playback, split_head

BTC, ETH, SOL = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"


def tick(ts_ms, inst_id, is_snapshot=False, price="1", frame=None):
    level = (price, "1", "0", "1")
    return Tick(ts_ms, BookChange(inst_id, is_snapshot, [level], [], ts_ms, ts_ms, -1, 0), frame)


def split(ticks, *inst_ids):
    head = split_head(iter(ticks), inst_ids)
    return head.start_ms, head.books, list(head.rest)


def test_the_first_full_books_are_taken_off_the_start_and_only_they():
    ticks = [tick(1, BTC, True), tick(2, BTC), tick(3, ETH, True), tick(4, ETH), tick(5, BTC, True)]

    assert split(ticks, BTC, ETH) == (1, [ticks[0], ticks[2]], [ticks[1], ticks[3], ticks[4]])


def test_what_precedes_the_full_book_of_an_instrument_is_dropped():
    ticks = [tick(1, ETH), tick(2, BTC, True), tick(3, ETH), tick(4, BTC), tick(5, ETH, True), tick(6, ETH)]

    assert split(ticks, BTC, ETH) == (1, [ticks[1], ticks[4]], [ticks[3], ticks[5]])


def test_a_full_book_that_comes_late_stays_in_its_place():
    ticks = [tick(0, BTC, True), tick(9_000, BTC), tick(11_000, BTC), tick(12_000, ETH, True)]

    assert split(ticks, BTC, ETH) == (0, [ticks[0]], ticks[1:])


def test_the_start_is_searched_no_further_than_needed():
    def endless():
        yield tick(7, BTC, True)
        raise AssertionError("asked for more than the head")

    assert split_head(endless(), [BTC]).books == [tick(7, BTC, True)]


class Viewer:
    """A link without a socket: it notes what is emitted, and has room while it is told to read."""

    def __init__(self, exchange, playback):
        self.peer = ServerSession(exchange, "a4d3ae55", 0, Limits())
        self.frames = []
        self.reads = asyncio.Event()
        self.reads.set()
        self._playback = playback
        playback.links[self] = None

    def ask(self, op, inst_id):
        request = f'{{"op":"{op}","args":[{{"channel":"books","instId":"{inst_id}"}}]}}'
        self.frames += [frame.text for frame in self.peer.receive(request, 0)]
        self._playback.note_audience()

    def emit(self, frame):
        self.frames.append(frame.text)

    def settle(self):
        self.is_settled = True

    async def room(self):
        await self.reads.wait()

    async def drained(self):
        await self.reads.wait()

    def seen(self):
        """The `seqId` of each push, which these ticks have from their time."""
        return [decode(frame.encode()).seq_id for frame in self.frames if '"action"' in frame]


@pytest.fixture
async def stage(clock):
    """Sets up a playback of ticks that runs in the background until the test ends."""
    running = []

    def set_up(ticks, pace):
        exchange = Exchange([BTC, ETH, SOL], {})
        head = split_head(iter(ticks), [BTC, ETH])
        faults = Faults(FaultPlan(), 0, head.start_ms, exchange)
        playback = Playback(exchange, head, pace, clock, faults)
        task = asyncio.create_task(playback.run())
        running.append(task)
        return exchange, playback, task

    yield set_up
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


TICKS = [tick(1000, BTC, True), tick(1000, ETH, True), tick(1100, BTC), tick(1250, ETH), tick(1300, BTC)]


async def test_a_replay_starts_its_hold_after_the_first_subscription(stage, clock):
    exchange, playback, _ = stage(TICKS, Pace(1.0, 2.0))
    viewer = Viewer(exchange, playback)
    clock.advance(60_000)

    viewer.ask("subscribe", BTC)

    assert viewer.seen() == [1000]
    await clock.somebody_sleeps(2000)
    clock.advance(2000)
    await clock.somebody_sleeps(100)
    assert viewer.seen() == [1000]
    clock.advance(100)
    await clock.somebody_sleeps(150)
    assert viewer.seen() == [1000, 1100]


@pytest.mark.parametrize(("speed", "steps_ms"), [(1.0, [100, 150, 50]), (10.0, [10, 15, 5]), (0.5, [200, 300, 100])])
async def test_a_replay_keeps_the_distances_of_its_times_at_its_speed(stage, clock, speed, steps_ms):
    exchange, playback, task = stage(TICKS, Pace(speed, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    viewer.ask("subscribe", ETH)

    await clock.somebody_sleeps(0)
    clock.advance(0)
    for step_ms, seen in zip(steps_ms, ([], [1100], [1100, 1250]), strict=True):
        await clock.somebody_sleeps(step_ms)
        assert viewer.seen() == [1000, 1000, *seen]
        clock.advance(step_ms)
    await task
    assert viewer.seen() == [1000, 1000, 1100, 1250, 1300]


async def test_a_market_of_now_runs_without_anybody_watching(stage, clock):
    pace = Pace(1.0, 0.0, begun_ms=clock.monotonic_ms())
    clock.advance(130)
    exchange, _, _ = stage(TICKS, pace)

    await clock.somebody_sleeps(120)

    assert exchange.books_row(BTC, 1).ts == "1100"


async def test_a_replay_at_full_speed_goes_no_faster_than_its_slowest_reader(stage, clock):
    exchange, playback, task = stage(TICKS, Pace(None, 0.0))
    quick, slow = Viewer(exchange, playback), Viewer(exchange, playback)
    slow.reads.clear()
    quick.ask("subscribe", BTC)
    slow.ask("subscribe", BTC)
    await clock.somebody_sleeps(0)
    clock.advance(0)
    for _ in range(20):
        await asyncio.sleep(0)

    assert quick.seen() == [1000]
    slow.reads.set()
    await task
    assert quick.seen() == slow.seen() == [1000, 1100, 1300]


async def test_a_replay_at_full_speed_stands_still_while_nobody_is_subscribed(stage, clock):
    exchange, playback, task = stage(TICKS, Pace(None, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    await clock.somebody_sleeps(0)
    viewer.ask("unsubscribe", BTC)
    clock.advance(0)
    for _ in range(20):
        await asyncio.sleep(0)

    assert exchange.books_row(BTC, 1).ts == "1000"
    viewer.ask("subscribe", BTC)
    await task
    assert viewer.seen() == [1000, 1000, 1100, 1300]


async def test_recorded_text_is_sent_as_it_was_recorded(stage, clock):
    recorded = '{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},  "action":"update","data":[]}'
    exchange, playback, task = stage([TICKS[0], TICKS[1], tick(1000, BTC, frame=recorded)], Pace(1.0, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    await clock.somebody_sleeps(0)
    clock.advance(0)
    await task

    assert viewer.frames[-1] == recorded


async def test_a_later_full_book_is_sent_unasked(stage, clock):
    exchange, playback, task = stage([*TICKS[:2], tick(1000, BTC, True, price="2")], Pace(1.0, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    await clock.somebody_sleeps(0)
    clock.advance(0)
    await task

    last = decode(viewer.frames[-1].encode())
    assert (last.is_snapshot, last.bids) == (True, [("2", "1", "0", "1")])


async def test_what_no_book_can_hold_is_reported_and_sent_all_the_same(stage, clock, caplog):
    exchange, playback, task = stage([*TICKS[:2], tick(1000, BTC, price="1e5"), tick(1000, BTC)], Pace(1.0, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    await clock.somebody_sleeps(0)
    clock.advance(0)
    with caplog.at_level(logging.WARNING):
        await task

    assert [decode(frame.encode()).bids[0][0] for frame in viewer.frames[1:]] == ["1", "1e5", "1"]
    assert "BTC-USDT-SWAP has no book until its next full one" in caplog.text
    assert exchange.full_book(BTC) is None


async def test_nothing_has_drained_while_one_client_has_frames_to_read(stage, clock):
    exchange, playback, _ = stage(TICKS, Pace(1.0, 0.0))
    viewer = Viewer(exchange, playback)
    viewer.reads.clear()
    waiting = asyncio.create_task(playback.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    viewer.reads.set()
    await waiting


async def test_at_the_end_every_connection_is_told_that_nothing_more_will_come(stage, clock):
    exchange, playback, task = stage(TICKS, Pace(None, 0.0, begun_ms=clock.monotonic_ms()))
    viewer = Viewer(exchange, playback)
    viewer.ask("subscribe", BTC)
    await task

    assert viewer.is_settled


@pytest.mark.parametrize("speed", [1.0, 20.0])
async def test_between_its_pushes_the_exchange_is_where_the_clock_says(stage, clock, speed):
    _, playback, _ = stage(TICKS, Pace(speed, 0.0, begun_ms=clock.monotonic_ms()))
    clock.advance(50)

    assert playback.exchange_ms() == 1000 + 50 * speed


async def test_while_the_timeline_stands_still_the_clock_goes_on_but_never_back(stage, clock):
    exchange, playback, task = stage(TICKS, Pace(None, 0.0, begun_ms=clock.monotonic_ms()))
    clock.advance(250)
    assert playback.exchange_ms() == 1250

    Viewer(exchange, playback).ask("subscribe", BTC)
    await task
    assert playback.exchange_ms() == 1300
    clock.advance(10_000)
    assert playback.exchange_ms() == 11_300
