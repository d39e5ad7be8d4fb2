"""The socket of a line against servers that misbehave, with a clock that runs a thousand times as fast."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.okx.pipeline import Lost, Sampled, Synced
from l2vault.okx.websocket import Line, LineDown, LineOutput, LineUp
from support.fast_clock import FastClock
from support.second_book import ShortBookPipeline

INST_ID = "BTC-USDT-SWAP"
WITHIN_SEC = 20


class Heard:
    """Collects what a line delivers, until it has heard enough."""

    def __init__(self, enough: Callable[[list[LineOutput]], bool]) -> None:
        self.outputs: list[LineOutput] = []
        self.done = asyncio.Event()
        self._enough = enough

    async def deliver(self, outputs: list[LineOutput]) -> None:
        self.outputs += outputs
        if self._enough(self.outputs):
            self.done.set()

    def of(self, kind: type) -> list[LineOutput]:
        return [output for output in self.outputs if isinstance(output, kind)]


async def _listen(url: str, enough: Callable[[list[LineOutput]], bool], clock: Clock) -> Heard:
    heard = Heard(enough)
    line = Line(url, ShortBookPipeline([INST_ID], 2000, 400, Random(1)), heard.deliver, clock, Random(1))
    task = asyncio.create_task(line.run())
    try:
        async with asyncio.timeout(WITHIN_SEC):
            await heard.done.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return heard


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
    assert [type(output) for output in heard.outputs] == [LineUp, Synced, Sampled]
    sampled = heard.outputs[-1]
    assert isinstance(sampled, Sampled)
    assert (sampled.grid_ms, sampled.snapshot.ts_ms, sampled.snapshot.seq_id) == (4000, 3000, 5)


async def test_a_socket_that_answers_nothing_is_replaced() -> None:
    """T9: connected, no data, no pong, no close. T20: the forced close raises nothing at the caller."""
    opened = []

    async def dead(websocket: ServerConnection) -> None:
        opened.append(websocket)
        await websocket.wait_closed()

    async with _server(dead) as url:
        heard = await _listen(url, lambda outputs: sum(isinstance(o, LineDown) for o in outputs) == 2, FastClock())
    assert len(opened) >= 2
    for down in heard.of(LineDown):
        assert isinstance(down, LineDown)
        assert down.was_up
        assert "no answer" in down.reason


async def test_a_socket_that_pongs_but_sends_no_book_is_replaced() -> None:
    """T9, the other kind: every request acknowledged, every ping answered, no data."""

    async def hollow(websocket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await _ack(websocket)

    async with _server(hollow) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, LineDown) for o in outputs), FastClock())
    down = heard.of(LineDown)[0]
    assert isinstance(down, LineDown)
    assert down.reason.startswith(f"no answer for {INST_ID}")


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
        heard = await _listen(url, lambda outputs: sum(isinstance(o, Synced) for o in outputs) == 2, FastClock())
    assert requests == [[{"channel": "books", "instId": INST_ID}]] * 2
    assert [type(output) for output in heard.outputs] == [LineUp, Synced, Lost, LineDown, LineUp, Synced]
    lost = heard.outputs[2]
    assert isinstance(lost, Lost)
    assert (lost.cause, lost.from_ms) == ("disconnect", 1000)


async def test_a_close_by_the_exchange_is_told_with_its_code() -> None:
    async def closes(websocket: ServerConnection) -> None:
        await websocket.close(4004, "No data received in 30s.")

    async with _server(closes) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, LineDown) for o in outputs), FastClock())
    down = heard.of(LineDown)[0]
    assert isinstance(down, LineDown)
    assert down.reason == "closed by the exchange: 4004 No data received in 30s."


async def test_a_loss_after_a_notice_is_blamed_on_the_notice() -> None:
    """T12: OKX announces a service upgrade, then closes."""

    async def upgrading(websocket: ServerConnection) -> None:
        await _ack(websocket)
        await websocket.send(_push("snapshot", 1, -1, 1000))
        await websocket.send('{"event":"notice","msg":"will soon be closed","code":"64008","connId":"a4d3ae55"}')
        await websocket.close(1001)

    async with _server(upgrading) as url:
        heard = await _listen(url, lambda outputs: any(isinstance(o, Lost) for o in outputs), FastClock())
    lost = heard.of(Lost)[0]
    assert isinstance(lost, Lost)
    assert lost.cause == "notice"


async def test_nobody_listening_is_tried_again_less_and_less_often() -> None:
    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    heard = await _listen(f"ws://127.0.0.1:{port}", lambda outputs: len(outputs) == 8, FastClock())
    downs = [output for output in heard.outputs if isinstance(output, LineDown)]
    assert len(downs) == 8
    assert not any(down.was_up for down in downs)
    assert all("Connect" in down.reason for down in downs)
    assert downs[0].retry_sec <= 1 and 15 <= downs[-1].retry_sec <= 30
