import asyncio

import pytest
from websockets.exceptions import ConnectionClosedOK

from l2vault.book.change import BookChange
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.chain import Chain
from l2vault.sim.faults.frame import Frame
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.link import GOING_AWAY, ClientConnection, Outbox
from l2vault.sim.server.peer import ServerSession

BTC = "BTC-USDT-SWAP"
SUBSCRIBE = f'{{"op":"subscribe","args":[{{"channel":"books","instId":"{BTC}"}}]}}'


class FakeWire:
    is_deaf = False


class Socket:
    """What a link needs of a websocket. `reads` stands for a client that takes frames off the line."""

    def __init__(self):
        self.wire = FakeWire()
        self.sent = []
        self.closed_with = None
        self.requests = asyncio.Queue()
        self.reads = asyncio.Event()
        self.reads.set()
        self.got_frame = asyncio.Event()

    async def send(self, frame):
        await self.reads.wait()
        self.sent.append(frame)
        self.got_frame.set()

    async def recv(self, decode):
        assert decode
        request = await self.requests.get()
        if request is None:
            raise ConnectionClosedOK(None, None)
        return request

    async def close(self, code, reason):
        self.closed_with = (code, reason)


@pytest.fixture
def socket():
    return Socket()


@pytest.fixture
async def serve(socket, clock):
    """Starts a link on the socket; ends it with the test."""
    tasks = []

    def start(limit_frames=4, is_patient=False):
        exchange = Exchange([BTC], {})
        exchange.apply(BookChange(BTC, True, [], [], 1, 1, -1, 0))
        peer = ServerSession(exchange, "a4d3ae55", clock.monotonic_ms(), Limits())
        link = ClientConnection(peer, socket, Chain(()), ScaledClock(clock, 1.0), Outbox(limit_frames), is_patient)
        task = asyncio.create_task(link.run(lambda: None))
        tasks.append(task)
        return link, task

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_outbox_keeps_the_order_and_counts_the_frame_being_sent():
    outbox = Outbox(2)
    outbox.put("a")
    assert not outbox.is_full
    outbox.put("b")
    assert outbox.is_full
    assert await outbox.first() == "a"
    assert outbox.is_full
    outbox.drop_first()
    assert not outbox.is_full
    assert await outbox.first() == "b"
    outbox.drop_first()
    await outbox.drained()
    outbox.drop_first()
    assert outbox.is_empty


async def test_room_is_given_as_soon_as_a_frame_has_gone():
    outbox = Outbox(1)
    outbox.put("a")
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.drop_first()
    await waiting


async def test_answers_and_pushes_leave_in_the_order_in_which_they_arose(serve, socket):
    link, _ = serve(limit_frames=8)
    await socket.requests.put(SUBSCRIBE)
    while len(socket.sent) < 2:
        socket.got_frame.clear()
        await socket.got_frame.wait()
    link.emit(Frame("next"))
    await link.drained()

    assert ['"subscribe"' in socket.sent[0], '"snapshot"' in socket.sent[1], socket.sent[2]] == [True, True, "next"]


async def test_a_slow_reader_is_cut_off_with_4005_where_the_timeline_does_not_wait(serve, socket):
    link, task = serve(limit_frames=3)
    socket.reads.clear()
    for frame in "abc":
        link.emit(Frame(frame))
    assert socket.closed_with is None
    link.emit(Frame("d"))
    await task

    assert socket.closed_with == (4005, "buffer is full, cannot write data")
    await link.room()
    await link.drained()


async def test_a_patient_link_takes_more_than_its_limit_and_drops_nothing(serve, socket):
    link, _ = serve(limit_frames=2, is_patient=True)
    socket.reads.clear()
    for frame in "abcd":
        link.emit(Frame(frame))
    waiting = asyncio.create_task(link.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    socket.reads.set()
    await waiting
    await link.drained()

    assert socket.sent == ["a", "b", "c", "d"]


async def test_a_patient_link_takes_no_further_request_before_its_answers_are_read(serve, socket):
    link, _ = serve(limit_frames=1, is_patient=True)
    socket.reads.clear()
    for _ in range(3):
        await socket.requests.put("ping")
    for _ in range(20):
        await asyncio.sleep(0)
    assert socket.requests.qsize() == 2

    socket.reads.set()
    while not socket.requests.empty():
        socket.got_frame.clear()
        await socket.got_frame.wait()
    await link.drained()
    assert socket.sent == ["pong", "pong", "pong"]


async def test_a_connection_on_which_nothing_passes_is_closed_4004_after_30_seconds(serve, socket, clock):
    _, task = serve()
    await clock.somebody_sleeps(30_000)
    clock.advance(29_999)
    await socket.requests.put("ping")
    await socket.got_frame.wait()
    clock.advance(1)
    await clock.somebody_sleeps(29_999)
    clock.advance(29_998)
    assert socket.closed_with is None
    clock.advance(1)
    await task

    assert socket.sent == ["pong"]
    assert socket.closed_with == (4004, "No data received in 30s.")


async def test_a_push_is_a_sign_of_life_too(serve, socket, clock):
    link, _ = serve()
    await clock.somebody_sleeps(30_000)
    clock.advance(20_000)
    link.emit(Frame("push"))
    await link.drained()
    clock.advance(10_000)

    await clock.somebody_sleeps(20_000)


async def test_a_patient_link_does_not_call_a_slow_reader_silent(serve, socket, clock):
    link, _ = serve(is_patient=True)
    socket.reads.clear()
    link.emit(Frame("push"))
    await clock.somebody_sleeps(30_000)
    clock.advance(30_000)
    await clock.somebody_sleeps(30_000)
    assert socket.closed_with is None


async def test_an_impatient_link_gives_up_a_reader_that_takes_nothing_for_30_seconds(serve, socket, clock):
    link, task = serve()
    socket.reads.clear()
    link.emit(Frame("push"))
    await clock.somebody_sleeps(30_000)
    clock.advance(30_000)
    await task

    assert socket.closed_with == (4004, "No data received in 30s.")


async def test_a_client_that_leaves_needs_no_close_frame(serve, socket):
    link, task = serve()
    await socket.requests.put(None)
    await task
    link.emit(Frame("too late"))

    assert (socket.sent, socket.closed_with) == ([], None)


async def test_hanging_up_ends_the_link_whatever_it_waits_for(serve, socket):
    link, task = serve()
    socket.reads.clear()
    link.emit(Frame("never read"))
    await asyncio.sleep(0)
    link.hang_up(GOING_AWAY)
    await task

    assert socket.closed_with == (1001, "")
