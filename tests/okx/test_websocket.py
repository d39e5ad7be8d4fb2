"""The socket of a feed against servers that misbehave, with a clock that runs a thousand times as fast."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from l2vault.clock import Clock
from l2vault.okx import websocket as websocket_module
from l2vault.okx.hosts import Route
from l2vault.okx.pipeline import Lost, Sampled, Synced
from l2vault.okx.websocket import Feed, FeedDown, FeedOutput, FeedUp
from support.manual_clock import ManualClock, some_turns, until
from support.second_book import ShortBookPipeline
from support.virtual import over_sockets, running_clock

INST_ID = "BTC-USDT-SWAP"
WITHIN_SEC = 3600


class Heard:
    """Collects what a feed delivers, until it has heard enough."""

    def __init__(self, enough: Callable[[list[FeedOutput]], bool]) -> None:
        self.outputs: list[FeedOutput] = []
        self.done = asyncio.Event()
        self._enough = enough

    async def deliver(self, outputs: list[FeedOutput]) -> None:
        self.outputs += outputs
        if self._enough(self.outputs):
            self.done.set()

    def of(self, kind: type) -> list[FeedOutput]:
        return [output for output in self.outputs if isinstance(output, kind)]


async def _listen(url: str | Route, enough: Callable[[list[FeedOutput]], bool], clock: Clock) -> Heard:
    heard = Heard(enough)
    async with _running(url, heard, clock):
        await heard.done.wait()
    return heard


@asynccontextmanager
async def _running(url: str | Route, heard: "Heard", clock: Clock):
    task = asyncio.create_task(_feed(url, heard, clock).run())
    try:
        async with asyncio.timeout(WITHIN_SEC):
            yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _feed(url: str | Route, heard: "Heard", clock: Clock) -> Feed:
    return Feed(url, ShortBookPipeline([INST_ID], 2000, 400, Random(1)), heard.deliver, clock, Random(1))


@asynccontextmanager
async def _server(handler: Callable[[ServerConnection], Awaitable[None]]):
    async with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/v5/public"


def _push(action: str, seq_id: int, prev_seq_id: int, ts_ms: int) -> str:
    data = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": str(ts_ms), "checksum": 0}
    data |= {"seqId": seq_id, "prevSeqId": prev_seq_id}
    return json.dumps({"arg": {"channel": "books", "instId": INST_ID}, "action": action, "data": [data]})


async def _ack(websocket: ServerConnection) -> dict:
    """Answer pings until a request comes, and acknowledge it."""
    while True:
        text = await websocket.recv()
        if text == "ping":
            await websocket.send("pong")
            continue
        request = json.loads(text)
        for arg in request["args"]:
            await websocket.send(json.dumps({"id": request["id"], "event": request["op"], "arg": arg}))
        return request


async def test_a_line_samples_what_the_socket_brings() -> None:
    async def exchange(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 5, -1, 3000))
        await websocket.send(_push("update", 6, 5, 4100))
        await websocket.wait_closed()

    async with _server(exchange) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, Sampled) for o in outputs), Clock())
    assert [type(output) for output in heard.outputs] == [FeedUp, Synced, Sampled]
    sampled = heard.outputs[-1]
    assert isinstance(sampled, Sampled)
    assert (sampled.grid_ms, sampled.snapshot.ts_ms, sampled.snapshot.seq_id) == (4000, 3000, 5)


@over_sockets
async def test_a_socket_that_answers_nothing_is_replaced() -> None:
    """T9: connected, no data, no pong, no close. T20: the forced close raises nothing at the caller."""
    opened = []

    async def dead(websocket: ServerConnection) -> None:
        opened.append(websocket)
        await websocket.wait_closed()

    async with _server(dead) as url:
        heard = await _listen(url, lambda outputs: sum(isinstance(o, FeedDown) for o in outputs) == 2, running_clock())
    assert len(opened) >= 2
    for down in heard.of(FeedDown):
        assert isinstance(down, FeedDown)
        assert down.was_up
        assert "no answer" in down.reason


@over_sockets
async def test_a_socket_that_pongs_but_sends_no_book_is_replaced() -> None:
    """T9, the other kind: every request acknowledged, every ping answered, no data."""

    async def hollow(websocket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await _ack(websocket)

    async with _server(hollow) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, FeedDown) for o in outputs), running_clock())
    down = heard.of(FeedDown)[0]
    assert isinstance(down, FeedDown)
    assert down.reason.startswith(f"no answer for {INST_ID}")


@over_sockets
async def test_after_a_connection_is_lost_everything_is_subscribed_anew() -> None:
    """T14; and the loss is said with its cause before the next connection stands."""
    requests = []

    async def flaky(websocket: ServerConnection) -> None:
        requests.append((await _ack(websocket))["args"])
        await websocket.send(_push("snapshot", len(requests), -1, 1000 * len(requests)))
        if len(requests) == 1:
            websocket.transport.abort()
        await websocket.wait_closed()

    async with _server(flaky) as url:
        heard = await _listen(url, lambda outputs: sum(isinstance(o, Synced) for o in outputs) == 2, running_clock())
    assert requests == [[{"channel": "books", "instId": INST_ID}]] * 2
    assert [type(output) for output in heard.outputs] == [FeedUp, Synced, Lost, FeedDown, FeedUp, Synced]
    lost = heard.outputs[2]
    assert isinstance(lost, Lost)
    assert (lost.cause, lost.from_ms) == ("disconnect", 1000)


@over_sockets
async def test_a_close_by_the_exchange_is_told_with_its_code() -> None:
    async def closes(websocket: ServerConnection) -> None:
        await websocket.close(4004, "No data received in 30s.")

    async with _server(closes) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, FeedDown) for o in outputs), running_clock())
    down = heard.of(FeedDown)[0]
    assert isinstance(down, FeedDown)
    assert down.reason == "closed by the exchange: 4004 No data received in 30s."


@over_sockets
async def test_a_loss_after_a_notice_is_blamed_on_the_notice() -> None:
    """T12: OKX announces a service upgrade, then closes."""

    async def upgrading(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 1, -1, 1000))
        await websocket.send('{"event":"notice","msg":"will soon be closed","code":"64008","connId":"a4d3ae55"}')
        await websocket.close(1001)

    async with _server(upgrading) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, Lost) for o in outputs), running_clock())
    lost = heard.of(Lost)[0]
    assert isinstance(lost, Lost)
    assert lost.cause == "notice"


@over_sockets
async def test_nobody_listening_is_tried_again_less_and_less_often() -> None:
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    heard = await _listen(f"ws://127.0.0.1:{port}", lambda outputs: len(outputs) == 8, running_clock())
    downs = [output for output in heard.outputs if isinstance(output, FeedDown)]
    assert len(downs) == 8
    assert not any(down.was_up for down in downs)
    assert all(f"127.0.0.1:{port} refuses connections" in down.reason for down in downs)
    assert downs[0].retry_sec <= 0.5 and 15 <= downs[-1].retry_sec <= 30


async def _downs(url: str | Route, count: int, clock: Clock | None = None) -> list[FeedDown]:
    """The first `count` ends and failures of a feed."""
    heard = await _listen(
        url, lambda outputs: sum(isinstance(o, FeedDown) for o in outputs) == count, clock or running_clock()
    )
    return [output for output in heard.outputs if isinstance(output, FeedDown)]


@over_sockets
async def test_a_connection_that_brought_a_book_is_replaced_at_once_however_often_it_ends() -> None:
    async def flapping(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 1, -1, 1000))
        await websocket.close(1012)

    async with _server(flapping) as url:
        downs = await _downs(url, 12)
    assert all(down.was_up and down.retry_sec <= 0.1 for down in downs)


@over_sockets
async def test_connections_without_a_book_are_made_less_and_less_often_until_one_brings_it() -> None:
    opened = []

    async def seldom(websocket: ServerConnection) -> None:
        opened.append(websocket)
        if len(opened) == 7:
            await _ack(websocket)
            await websocket.send(_push("snapshot", 1, -1, 1000))
        await websocket.close(1012)

    async with _server(seldom) as url:
        delays = [down.retry_sec for down in await _downs(url, 8)]
    most = [0.5, 1, 2, 4, 8, 16, 0.1, 0.5]
    assert all(full / 2 <= delay <= full for full, delay in zip(most, delays, strict=True)), delays


@over_sockets
async def test_a_stable_minute_ends_the_back_off_though_no_book_came() -> None:
    """An instrument that is not yet listed is refused for hours; the connections are sound."""
    opened = []

    async def refusing(websocket: ServerConnection) -> None:
        opened.append(websocket)
        if len(opened) != 5:
            await websocket.close(1012)
            return
        heard = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - heard < 70:
            text = await websocket.recv()
            if text == "ping":
                await websocket.send("pong")
                continue
            said = f"Wrong URL or channel:books, instId:{INST_ID} doesn't exist."
            answer = {"id": json.loads(text)["id"], "event": "error", "code": "60018", "msg": said}
            await websocket.send(json.dumps(answer))
        await websocket.close(1012)

    async with _server(refusing) as url:
        delays = [down.retry_sec for down in await _downs(url, 6)]
    most = [0.5, 1, 2, 4, 0.1, 0.5]
    assert all(full / 2 <= delay <= full for full, delay in zip(most, delays, strict=True)), delays


@over_sockets
async def test_a_feed_that_fails_three_times_in_a_row_goes_on_at_its_next_address() -> None:
    async def closing(websocket: ServerConnection) -> None:
        await websocket.close(1012)

    async def sound(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 1, -1, 1000))
        await websocket.wait_closed()

    async with _server(closing) as bad, _server(sound) as good:
        heard = await _listen(Route([bad, good]), lambda outputs: isinstance(outputs[-1], Synced), running_clock())
    assert [output.moved_to for output in heard.of(FeedDown)] == [None, None, good]
    assert [output.url for output in heard.of(FeedUp)] == [bad, bad, bad, good]


@over_sockets
async def test_a_close_reason_cannot_break_out_of_its_line() -> None:
    async def rude(websocket: ServerConnection) -> None:
        await websocket.close(4000, "bye\n2026-11-25 ERROR   GAP DETECTED \x1b[2J")

    async with _server(rude) as url:
        (down,) = await _downs(url, 1)
    assert down.reason == "closed by the exchange: 4000 bye\\n2026-11-25 ERROR   GAP DETECTED \\x1b[2J"


@over_sockets
async def test_a_frame_that_breaks_the_protocol_is_closed_by_us_and_said() -> None:
    async def huge(websocket: ServerConnection) -> None:
        await websocket.send("x" * 5_000_000)
        await websocket.wait_closed()

    async with _server(huge) as url:
        (down,) = await _downs(url, 1)
    assert down.reason.startswith("closed by us: 1009 ")


async def _flood(websocket: ServerConnection) -> None:
    """Pings as fast as the peer takes them; its answers are not read."""
    websocket.transport.pause_reading()
    while not websocket.transport.is_closing():
        if websocket.transport.get_write_buffer_size() < 10_000:
            websocket.transport.write(b"\x89\x00" * 5_000)
        await asyncio.sleep(0)


@over_sockets
async def test_a_flood_of_pings_ends_the_connection_with_its_reason() -> None:
    async with _server(_flood) as url:
        (down,) = await _downs(url, 1)
    assert down.reason == "more than 100 ping or pong frames within 10 s"


@over_sockets
async def test_a_malformed_proxy_is_tried_again_and_said_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "htp://somewhere")
    downs = await _downs("wss://exchange.test/ws/v5/public", 3)
    assert all("no address of a proxy" in down.reason and not down.was_up for down in downs)


class FakeConnection:
    """A connection whose frames and sends the test decides; aborting it ends its reading."""

    flood = None

    def __init__(self, frames: list[bytes], send: Callable[[str], Awaitable[None]]) -> None:
        self.transport = self
        self.sent: list[str] = []
        self._frames = frames
        self._send = send
        self._aborted = asyncio.Event()
        self._asked = asyncio.Event()

    def abort(self) -> None:
        self._aborted.set()

    def take_arrival_us(self) -> int:
        return 0

    async def recv(self, decode: bool) -> bytes:
        assert not decode
        await self._asked.wait()
        if not self._frames:
            await self._aborted.wait()
            raise ConnectionClosedError(None, None)
        return self._frames.pop(0)

    async def send(self, frame: str) -> None:
        self.sent.append(frame)
        self._asked.set()
        await self._send(frame)


def _opens(monkeypatch: pytest.MonkeyPatch, connection: FakeConnection) -> None:
    async def open_connection(_: str, now_us: object) -> FakeConnection:
        return connection

    monkeypatch.setattr(websocket_module, "open_connection", open_connection)


async def _never(_: str) -> None:
    await asyncio.Event().wait()


async def _fail(_: str) -> None:
    raise ConnectionClosedError(None, None)


async def test_a_peer_that_takes_nothing_is_given_up_after_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection: nothing comes, and what is sent fills the buffers."""
    connection, clock, heard = FakeConnection([], _never), ManualClock(), Heard(lambda _: False)
    _opens(monkeypatch, connection)
    async with _running("ws://exchange.test", heard, clock):
        await until(lambda: connection.sent)
        clock.advance(4_900)
        await some_turns()
        assert heard.of(FeedDown) == []
        clock.advance(200)
        await until(lambda: heard.of(FeedDown))
    (down,) = heard.of(FeedDown)
    assert isinstance(down, FeedDown)
    assert down.reason == "cannot send: the peer took nothing for 5 s"


async def test_what_a_deadline_lost_is_delivered_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instrument is found silent in the very tick whose send finds the socket dead."""
    clock, heard = ManualClock(), Heard(lambda _: False)
    pipeline = ShortBookPipeline([INST_ID], 2000, 400, Random(1))
    pipeline.open(clock.now_ms)
    pipeline.tick(clock.now_ms)
    pipeline.take_outgoing()
    pipeline.receive(_push("snapshot", 10, -1, 1000).encode(), clock.now_ms)
    clock.advance(400_000)
    connection = FakeConnection([], _fail)
    feed = Feed("ws://exchange.test", pipeline, heard.deliver, clock, Random(1))
    await feed._tick(connection)  # type: ignore[arg-type]
    assert len(connection.sent) == 1
    (lost,) = heard.outputs
    assert isinstance(lost, Lost)
    assert lost.cause == "silence"


async def test_everything_is_delivered_in_order_while_the_queue_behind_it_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection ends, then the recorder stops, while a delivery waits for room."""
    frames = [_push("snapshot", 5, -1, 3000), _push("update", 6, 5, 4100)]
    room = asyncio.Event()

    class Full(Heard):
        async def deliver(self, outputs: list[FeedOutput]) -> None:
            await super().deliver(outputs)
            if isinstance(outputs[-1], Sampled | Lost):
                await room.wait()

    connection, clock, heard = FakeConnection([frame.encode() for frame in frames], _never), ManualClock(), Full(bool)
    _opens(monkeypatch, connection)
    async with _running("ws://exchange.test", heard, clock) as task:
        await until(lambda: heard.of(Sampled))
        clock.advance(400_000)  # the sending ends by its time-out, and with it the connection
        await some_turns()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [type(output) for output in heard.outputs] == [FeedUp, Synced, Sampled]
    assert not room.is_set()


@pytest.mark.parametrize("kind", [FeedUp, Synced])
async def test_a_delivery_that_fails_is_no_failure_to_connect(kind: type) -> None:
    """It would be tried again and again, and what was to be delivered would be lost each time."""

    async def broken(outputs: list[FeedOutput]) -> None:
        if isinstance(outputs[0], kind):
            raise OSError("the delivery is broken")

    async def exchange(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 5, -1, 3000))
        await websocket.wait_closed()

    async with _server(exchange) as url:
        feed = Feed(url, ShortBookPipeline([INST_ID], 2000, 400, Random(1)), broken, Clock(), Random(1))
        running = asyncio.create_task(feed.run())
        await asyncio.wait([running], timeout=WITHIN_SEC)
        assert running.done()
        raised = running.exception()
    errors = raised.exceptions if isinstance(raised, ExceptionGroup) else [raised]
    assert [str(error) for error in errors] == ["the delivery is broken"]


async def test_a_feed_under_a_flood_of_pings_ends_as_soon_as_it_is_cancelled() -> None:
    heard = Heard(lambda outputs: any(isinstance(output, FeedUp) for output in outputs))
    async with _server(_flood) as url, _running(url, heard, Clock()) as task:
        await heard.done.wait()
        task.cancel()
        await asyncio.wait([task], timeout=WITHIN_SEC)
        assert task.cancelled()


async def test_the_wire_is_logged_at_debug_in_both_directions(caplog: pytest.LogCaptureFixture) -> None:
    async def exchange(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 5, -1, 3000) + " " * 300)
        await websocket.wait_closed()

    with caplog.at_level(logging.DEBUG, "l2vault.wire"):
        async with _server(exchange) as url:
            await _listen(Route([url], feed=7), lambda outputs: isinstance(outputs[-1], Synced), Clock())
    said = [record.getMessage() for record in caplog.records if record.name == "l2vault.wire"]
    assert said[0] == f"7 = connecting to {url}"
    assert any(text.startswith('7 > {"id":"l2v1","op":"subscribe"') for text in said)
    full = next(text for text in said if '"snapshot"' in text)
    assert full.startswith('7 < {"arg"') and len(full) == len("7 < ") + 200
    assert "7 = Synced" in said
