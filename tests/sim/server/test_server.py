import asyncio
import gzip
import json
import logging
import socket
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from l2vault.book.book import Book
from l2vault.errors import CaptureError, L2VaultError, UsageError
from l2vault.okx.messages import decode
from l2vault.okx.sequence import is_chained
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.server.server import SimOptions, Simulator, serve_simulator
from support.captured import read_books

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
OKX_2022 = "okx-ws/cryptofeed_2022-05-13_books.log.zst"


def push(number, is_snapshot=False, inst_id=BTC, levels=1):
    """The `number`-th push of a capture with one push each 100 ms, `seqId` equal to `number`."""
    data = {
        "asks": [[str(70_000 + rank), str(number + 1), "0", "1"] for rank in range(levels)],
        "bids": [],
        "ts": str(1_783_786_800_000 + 100 * number),
        "checksum": 0,
        "seqId": number,
        "prevSeqId": -1 if is_snapshot else number - 1,
    }
    action = "snapshot" if is_snapshot else "update"
    frame = {"arg": {"channel": "books", "instId": inst_id}, "action": action, "data": [data]}
    return json.dumps(frame, separators=(",", ":"))


@pytest.fixture
def capture(tmp_path):
    """Writes a capture of one full book and `updates` updates; gives its path and its frames."""

    def write(updates, levels=1):
        frames = [push(0, is_snapshot=True)] + [push(number, levels=levels) for number in range(1, updates + 1)]
        path = tmp_path / "capture.jsonl"
        path.write_text("".join(f"{frame}\n" for frame in frames), encoding="utf-8")
        return path, frames

    return write


@asynccontextmanager
async def running(clock=None, **options):
    simulator = Simulator(SimOptions(**options), clock)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def client(simulator, **options):
    options = {"compression": None, "proxy": None, "ping_interval": None} | options
    return connect(simulator.ws_url, **options)


async def subscribe(ws, *inst_ids):
    """Subscribes and takes the acks off the line."""
    args = [{"channel": "books", "instId": inst_id} for inst_id in inst_ids]
    await ws.send(json.dumps({"op": "subscribe", "args": args}))
    for inst_id in inst_ids:
        assert json.loads(await ws.recv())["arg"]["instId"] == inst_id


async def receive(ws, count):
    return [await ws.recv() for _ in range(count)]


async def read_slowly():
    """Lets the loop turn a few times for each frame, in which the exchange could long have sent more."""
    for _ in range(5):
        await asyncio.sleep(0)


async def get(simulator, target):
    """Status, content type and body of a GET, by the client that a program without a library would use."""

    def fetch():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(simulator.rest_url + target, timeout=10) as response:
                return response.status, response.headers.get_all("Content-Type"), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get_all("Content-Type"), error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_at_full_speed_a_slow_reader_gets_every_frame(capture, clock):
    path, frames = capture(updates=600, levels=150)
    async with (
        running(clock, replay=(path,), speed=None) as simulator,
        client(simulator, max_queue=1) as slow,
        client(simulator, max_queue=1) as quick,
    ):
        await subscribe(slow, BTC)
        await subscribe(quick, BTC)
        await clock.somebody_sleeps(1000)
        clock.advance(1000)
        got_quickly = asyncio.create_task(receive(quick, len(frames)))
        got_slowly = [await slow.recv()]
        for _ in frames[1:]:
            await read_slowly()
            got_slowly.append(await slow.recv())
        await simulator.wait_ended()

        assert got_slowly == frames
        assert await got_quickly == frames


async def test_all_of_a_real_capture_arrives_as_it_was_recorded(captures):
    ticks = list(read_books([captures / OKX_2022], verbatim=False))
    async with (
        running(replay=(captures / OKX_2022,), speed=None, hold_sec=0.0) as simulator,
        client(simulator) as ws,
    ):
        await subscribe(ws, "BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT")
        got = await receive(ws, len(ticks))

    assert got == [tick.frame for tick in ticks]


async def test_a_subscriber_in_mid_timeline_gets_the_book_of_this_moment_and_then_what_follows_it(capture, clock):
    path, frames = capture(updates=4)
    async with running(clock, replay=(path,)) as simulator, client(simulator) as early, client(simulator) as late:
        await subscribe(early, BTC)
        await clock.somebody_sleeps(1000)
        clock.advance(1000)
        for _ in range(2):
            await clock.somebody_sleeps(100)
            clock.advance(100)
        assert await receive(early, 3) == frames[:3]

        await subscribe(late, BTC)
        full = decode((await late.recv()).encode())
        await clock.somebody_sleeps(100)
        clock.advance(100)
        update = decode((await late.recv()).encode())
        assert await early.recv() == frames[3]

    expected = Book()
    for frame in frames[:3]:
        expected.apply(decode(frame.encode()))
    assert (full.is_snapshot, full.bids, full.asks) == (True, *expected.top(400))
    assert (full.seq_id, full.ts_ms) == (2, expected.ts_ms)
    assert is_chained(update, full.seq_id)
    assert update == decode(frames[3].encode())


async def test_after_an_unsubscribe_the_socket_is_quiet_until_the_next_subscription(capture, clock):
    path, frames = capture(updates=3)
    async with running(clock, replay=(path,), hold_sec=0.0) as simulator, client(simulator) as ws:
        await subscribe(ws, BTC)
        await ws.send(json.dumps({"op": "unsubscribe", "args": [{"channel": "books", "instId": BTC}]}))
        assert [json.loads(frame).get("event") for frame in await receive(ws, 2)] == [None, "unsubscribe"]
        await clock.somebody_sleeps(0)
        clock.advance(0)
        for _ in range(2):
            await clock.somebody_sleeps(100)
            clock.advance(100)
        await clock.somebody_sleeps(100)
        await subscribe(ws, BTC)

        assert decode((await ws.recv()).encode()).seq_id == 2
        clock.advance(100)
        assert await ws.recv() == frames[3]


async def test_once_ends_with_1001_after_every_frame(capture):
    path, frames = capture(updates=400, levels=150)  # more than the sockets hold, so that some wait at the end
    announced = asyncio.Queue()
    options = SimOptions(replay=(path,), speed=None, hold_sec=0.0, once=True)
    serving = asyncio.create_task(serve_simulator(options, asyncio.Event(), announced.put_nowait))
    urls = await announced.get()

    got = []
    async with connect(urls.ws_url, proxy=None, max_queue=1) as ws:
        await subscribe(ws, BTC)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                got.append(await ws.recv())
                await read_slowly()
    await serving

    assert got == frames
    assert closed.value.rcvd.code == 1001
    with pytest.raises(OSError, match=r"."):
        await connect(urls.ws_url, proxy=None)


async def test_a_stop_while_it_makes_its_archive_ends_it(monkeypatch):
    """Days of it take minutes."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def endless(folder, ticks, seed):
        for _ in ticks:
            loop.call_soon_threadsafe(stop.set)
        return []

    monkeypatch.setattr("l2vault.sim.server.server.make_archive", endless)
    announced = []
    options = SimOptions(inst_ids=(BTC,), archive_days=1000, archive_step_ms=1)
    await asyncio.wait_for(serve_simulator(options, stop, announced.append), 60)
    assert announced == []


async def test_without_once_it_serves_on_after_the_end_until_it_is_stopped(capture):
    path, frames = capture(updates=2)
    announced, stop = asyncio.Queue(), asyncio.Event()
    options = SimOptions(replay=(path,), speed=None, hold_sec=0.0)
    serving = asyncio.create_task(serve_simulator(options, stop, announced.put_nowait))
    url = (await announced.get()).ws_url
    async with connect(url, proxy=None) as ws:
        await subscribe(ws, BTC)
        assert await receive(ws, 3) == frames
        await ws.send("ping")
        assert await ws.recv() == "pong"
        stop.set()
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    await serving

    assert closed.value.rcvd.code == 1001


async def test_a_capture_damaged_half_way_ends_the_serving_with_its_error(tmp_path, caplog):
    text = "".join(push(number, is_snapshot=not number) + "\n" for number in range(4000))
    whole = tmp_path / "whole.jsonl.gz"
    whole.write_bytes(gzip.compress(text.encode(), compresslevel=0))  # longer than any read-ahead
    options = SimOptions(replay=(whole,), speed=None, hold_sec=0.0)
    announced = asyncio.Queue()
    serving = asyncio.create_task(serve_simulator(options, asyncio.Event(), announced.put_nowait))
    url = (await announced.get()).ws_url
    with whole.open("r+b") as file:  # the disk fails after the start, when every name had been read
        file.truncate(file.seek(0, 2) // 2)
    async with connect(url, proxy=None) as ws:
        await subscribe(ws, BTC)
        with pytest.raises(ConnectionClosed):
            while True:
                await ws.recv()

    with pytest.raises(CaptureError, match=r"whole\.jsonl\.gz"):
        await serving
    assert "the timeline broke off" in caplog.text


async def test_the_market_runs_from_now_whether_or_not_anybody_watches(clock):
    async with running(clock, inst_ids=(BTC,), seed=7) as simulator, client(simulator) as ws:
        await subscribe(ws, BTC)
        full = decode((await ws.recv()).encode())
        assert (full.is_snapshot, full.prev_seq_id, full.ts_ms) == (True, -1, clock.wall_ms())
        assert [len(full.bids), len(full.asks)] == [400, 400]

        clock.advance(1_000)
        update = decode((await ws.recv()).encode())
        assert is_chained(update, full.seq_id)


async def test_the_market_goes_on_for_those_who_come_later(clock):
    async with running(clock, inst_ids=(BTC,), seed=7) as simulator:
        clock.advance(10_000)
        book_ms = 0
        while not 0 <= clock.wall_ms() - book_ms < 1_000:
            _, _, body = await get(simulator, f"/api/v5/market/books?instId={BTC}")
            book_ms = int(json.loads(body)["data"][0]["ts"])
        async with client(simulator) as ws:
            await subscribe(ws, BTC)
            full = decode((await ws.recv()).encode())

    assert book_ms <= full.ts_ms <= clock.wall_ms()


async def test_without_a_choice_there_are_two_instruments(clock):
    async with running(clock) as simulator:
        _, _, body = await get(simulator, "/api/v5/public/instruments?instType=SWAP")

    assert [row["instId"] for row in json.loads(body)["data"]] == [BTC, ETH]


async def test_rest_answers_a_plain_client(capture, clock):
    path, _ = capture(updates=1)
    async with running(clock, replay=(path,)) as simulator:
        answers = [
            await get(simulator, target)
            for target in (
                "/api/v5/public/time",
                f"/api/v5/market/books?instId={BTC}&sz=400",
                f"/api/v5/public/instruments?instType=SWAP&instId={BTC}",
                "/api/v5/public/instruments",
                "/nowhere",
            )
        ]

    row = json.dumps(instrument_row(BTC), separators=(",", ":"))
    assert answers == [
        (200, ["application/json"], f'{{"code":"0","data":[{{"ts":"{clock.wall_ms()}"}}],"msg":""}}'),
        (
            200,
            ["application/json"],
            '{"code":"0","data":[{"asks":[["70000","1","0","1"]],"bids":[],"ts":"1783786800000","seqId":0}],"msg":""}',
        ),
        (200, ["application/json"], f'{{"code":"0","data":[{row}],"msg":""}}'),
        (400, ["application/json"], '{"code":"51000","data":[],"msg":"Parameter instType error."}'),
        (404, ["application/json"], '{"code":"404","data":[],"msg":"Not Found"}'),
    ]


async def test_a_client_that_has_stopped_reading_does_not_hold_up_the_end(capture):
    path, _ = capture(updates=400, levels=150)
    async with running(replay=(path,), speed=None, hold_sec=0.0) as simulator:
        ws = await client(simulator)
        await subscribe(ws, BTC)
        ws.transport.pause_reading()
        await simulator.stop(grace_sec=0.01)
        ws.transport.abort()
        await ws.wait_closed()


async def test_every_connection_has_an_id_of_its_own_that_the_seed_decides(capture, clock):
    async def ids_of_two(seed):
        async with running(clock, replay=(capture(updates=1)[0],), seed=seed) as simulator:
            ids = []
            for _ in range(2):
                async with client(simulator) as ws:
                    await ws.send('{"op":"subscribe","args":[]}')
                    await ws.send('{"op":"nonsense"}')
                    ids.append({json.loads(frame)["connId"] for frame in await receive(ws, 2)})
            return ids

    first = await ids_of_two(1)
    assert [len(of_one) for of_one in first] == [1, 1]
    assert first[0] != first[1]
    assert await ids_of_two(1) == first
    assert await ids_of_two(2) != first


async def test_a_request_of_more_than_64_kb_is_closed_1009(capture, clock):
    async with running(clock, replay=(capture(updates=1)[0],)) as simulator, client(simulator) as ws:
        await ws.send("x" * 65_537)
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()

    assert closed.value.rcvd.code == 1009


async def test_a_silent_client_is_closed_4004(capture, clock):
    async with running(clock, replay=(capture(updates=1)[0],)) as simulator, client(simulator) as ws:
        await clock.somebody_sleeps(30_000)
        clock.advance(30_000)
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "No data received in 30s.")


async def test_other_paths_are_not_found(capture, clock):
    async with running(clock, replay=(capture(updates=1)[0],)) as simulator:
        for path in ("/ws/v5/business", "/"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(simulator.ws_url.replace("/ws/v5/public", path), proxy=None)
            assert refused.value.response.status_code == 404


@pytest.mark.parametrize(("compression", "extensions"), [(False, []), (True, ["permessage-deflate"])])
async def test_compression_is_negotiated_only_where_it_is_asked_for(capture, clock, compression, extensions):
    path, frames = capture(updates=1)
    async with (
        running(clock, replay=(path,), compression=compression) as simulator,
        client(simulator, compression="deflate") as ws,
    ):
        assert [extension.name for extension in ws.protocol.extensions] == extensions
        await subscribe(ws, BTC)
        assert await ws.recv() == frames[0]


@pytest.mark.parametrize("which", ["port", "rest_port"])
async def test_a_port_in_use_is_an_error_that_names_it(which, clock):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(L2VaultError, match=rf"Port {port} on 127\.0\.0\.1 .*Try: another port"):
            await Simulator(SimOptions(**{which: port}), clock).start()


async def test_a_file_that_is_no_capture_is_an_error_before_any_port_opens(tmp_path, clock):
    (tmp_path / "notes.jsonl").write_text("{}\n", encoding="utf-8")

    with pytest.raises(CaptureError, match=r"notes\.jsonl"):
        await Simulator(SimOptions(replay=(tmp_path / "notes.jsonl",)), clock).start()


@pytest.mark.parametrize("options", [{"speed": 0}, {"speed": -1.0}, {"hold_sec": -0.1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(UsageError):
        SimOptions(**options)


async def test_the_log_has_a_line_for_each_change_of_state_and_none_for_a_push(capture, caplog):
    path, frames = capture(updates=30)
    with caplog.at_level(logging.INFO, logger="l2vault"):
        async with (
            running(replay=(path,), speed=None, hold_sec=0.0, seed=1) as simulator,
            client(simulator) as ws,
        ):
            await subscribe(ws, BTC)
            await receive(ws, len(frames))
            await simulator.wait_ended()
            await get(simulator, "/api/v5/public/time")

    peer = "peer 2265b1f5"
    assert [record.getMessage() for record in caplog.records] == [
        f"{peer} connected",
        f"{peer} has 1 subscriptions",
        "timeline started",
        "timeline ended",
        f"{peer} is gone",
    ]


async def test_the_time_of_the_exchange_is_ahead_of_the_clock_by_the_offset(clock):
    async with running(clock, inst_ids=(BTC,), clock_offset_sec=3.5) as simulator:
        _, _, body = await get(simulator, "/api/v5/public/time")
        async with client(simulator) as ws:
            await subscribe(ws, BTC)
            full = decode((await ws.recv()).encode())

        assert json.loads(body)["data"] == [{"ts": str(clock.wall_ms() + 3500)}]
        assert full.ts_ms == clock.wall_ms() + 3500


async def test_rest_refuses_who_asks_more_often_than_okx_allows(clock):
    async with running(clock, inst_ids=(BTC,)) as simulator:
        answers = [await get(simulator, "/api/v5/public/time") for _ in range(11)]
        assert [status for status, _, _ in answers] == [200] * 10 + [429]
        assert json.loads(answers[-1][2])["code"] == "50011"
        assert simulator.limits.rest_over == 1
