"""Lines against a small exchange: staggered starts, and a hand-over in which nothing is ever out of sync."""

import asyncio
import json
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.okx.pipeline import Lost, Pipeline, Synced
from l2vault.okx.websocket import LineDown, LineOutput, LineUp
from l2vault.recording import lines as lines_module
from l2vault.recording.lines import Lines
from support.fast_clock import FastClock

INST_ID = "BTC-USDT-SWAP"
WITHIN_SEC = 20
NOTICE = '{"event":"notice","msg":"The connection will soon be closed","code":"64008","connId":"a4d3ae55"}'

Said = list[tuple[int, LineOutput]]


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


async def _run(url: str, count: int, enough: Callable[[Said, Lines], bool], clock: Clock) -> tuple[Said, Lines]:
    said: Said = []
    done = asyncio.Event()

    async def deliver(number: int, outputs: list[LineOutput]) -> None:
        said.extend((number, output) for output in outputs)
        if enough(said, lines):
            done.set()

    lines = Lines([url], lambda _: Pipeline([INST_ID], 2000, 400, Random(1)), deliver, clock, Random(1))
    task = asyncio.create_task(lines.run(count))
    try:
        async with asyncio.timeout(WITHIN_SEC):
            await done.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return said, lines


def _of(said: Said, *kinds: type) -> list[tuple[int, str]]:
    return [(number, type(output).__name__) for number, output in said if isinstance(output, kinds)]


async def test_two_lines_start_at_different_moments() -> None:
    moments: list[int] = []
    clock = FastClock()

    def both_up(said: Said, lines: Lines) -> bool:
        if isinstance(said[-1][1], LineUp):
            moments.append(clock.monotonic_ms())
        return len(moments) == 2

    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 2, both_up, clock)
    assert _of(said, LineUp) == [(1, "LineUp"), (2, "LineUp")]
    assert moments[1] - moments[0] >= 1_000


async def test_an_announced_close_opens_the_successor_before_the_old_line_ends() -> None:
    """T12: `notice` 64008, "the connection will soon be closed for a service upgrade"."""
    async with _serving(Exchange(NOTICE)) as url:
        said, lines = await _run(url, 1, lambda said, _: isinstance(said[-1][1], LineDown), FastClock())
    assert _of(said, LineUp, LineDown, Synced, Lost) == [
        (1, "LineUp"),
        (1, "Synced"),
        (2, "LineUp"),
        (2, "Synced"),
        (1, "Lost"),
        (1, "LineDown"),
    ]
    assert list(lines.pipelines) == [2] or list(lines.pipelines) == [1, 2]
    assert lines.book_times() == {INST_ID: 1000}


async def test_a_connection_is_renewed_by_plan_without_a_moment_out_of_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "RENEW_AFTER_SEC", 30.0)
    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 1, lambda said, _: len(_of(said, LineDown)) == 2, FastClock())
    in_sync: set[int] = set()
    for number, output in said:
        if isinstance(output, Synced):
            in_sync.add(number)
        elif isinstance(output, Lost):
            in_sync.discard(number)
            assert in_sync, f"line {number} ended before its successor was in sync"
    assert [number for number, _ in _of(said, LineUp)][:3] == [1, 2, 3]


async def test_after_a_sleep_of_the_host_every_connection_is_made_anew() -> None:
    def act(said: Said, lines: Lines) -> bool:
        if len(_of(said, Synced)) == 1 and not _of(said, LineDown):
            lines.reconnect_all("the host slept")
        return len(_of(said, Synced)) == 2

    async with _serving(Exchange()) as url:
        said, _ = await _run(url, 1, act, FastClock())
    downs = [output for _, output in said if isinstance(output, LineDown)]
    assert [down.reason for down in downs] == ["the host slept"]
