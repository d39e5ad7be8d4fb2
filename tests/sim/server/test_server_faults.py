"""Faults whose point is the socket: how connections are refused, starved, cut and closed, and OKX's limits on them."""

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from l2vault.book.book import Book
from l2vault.errors import UsageError
from l2vault.okx.messages import Notice, decode
from l2vault.sim.exchange.books import Oracle, encode_push
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.server import SimOptions, Simulator
from support.rehearsal import BTC, ETH, START_MS, timeline

HARD_LIMIT_SEC = 30
HANDSHAKE = (
    "GET /ws/v5/public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def running(tmp_path, clock, spec, updates=20, on_tick=None, **options):
    """The exchange with a replay of one update each 100 ms, which begins at once after the first subscription."""
    path = tmp_path / "capture.jsonl"
    ticks = timeline(updates, BTC, ETH)
    path.write_text("".join(encode_push(tick.change) + "\n" for tick in ticks), encoding="utf-8")
    faults = parse_faults(spec) if spec else None
    options = {"replay": (path,), "hold_sec": 0.0, "faults": faults} | options
    simulator = Simulator(SimOptions(**options), clock, on_tick)
    async with asyncio.timeout(HARD_LIMIT_SEC):
        await simulator.start()
        try:
            yield simulator
        finally:
            await simulator.stop(grace_sec=0.2)


def client(simulator, **options):
    options = {"compression": None, "proxy": None, "ping_interval": None, "close_timeout": 0.2} | options
    return connect(simulator.ws_url, **options)


async def subscribe(ws, *inst_ids):
    args = [{"channel": "books", "instId": inst_id} for inst_id in inst_ids or (BTC,)]
    await ws.send(json.dumps({"op": "subscribe", "args": args}))


async def until(clock, *at_ms):
    """Let exchange time come to each of these times, counted from the start, which the timeline then stands at."""
    now = 0
    await clock.somebody_sleeps(0)
    clock.advance(0)
    for at in at_ms:
        await clock.somebody_sleeps(at - now)
        clock.advance(at - now)
        now = at


async def everything(ws):
    """All that comes until the connection ends, and how it ended."""
    got = []
    try:
        while True:
            got.append(await ws.recv())
    except ConnectionClosed as closed:
        return got, closed


def numbers(frames):
    changes = [decode(frame.encode()) for frame in frames]
    return [(change.ts_ms - START_MS) // 100 for change in changes if hasattr(change, "ts_ms")]


async def silence(ws, seconds=0.05):
    """Nothing comes for a while of real time."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await ws.recv()


async def get(simulator, target, timeout_sec=5):
    def fetch():
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(simulator.rest_url + target, timeout=timeout_sec) as response:
                return response.status, response.headers.get_content_type(), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read().decode()

    return await asyncio.to_thread(fetch)


@pytest.mark.parametrize(
    ("code", "received"),
    [(1006, None), (4004, (4004, "No data received in 30s.")), (4005, (4005, "buffer is full, cannot write data"))],
)
async def test_a_close_arrives_with_its_code_behind_all_that_was_sent(tmp_path, clock, code, received):
    async with running(tmp_path, clock, f"close:code={code},at=250ms") as simulator, client(simulator) as ws:
        await subscribe(ws)
        await until(clock, 100, 200, 250)
        got, closed = await everything(ws)

    assert numbers(got) == [0, 1, 2]
    assert (closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)) == received


async def test_only_the_chosen_connection_is_closed_and_its_successor_takes_its_place(tmp_path, clock):
    spec = "close:at=150ms,every=200ms,times=2,conn=first"
    async with running(tmp_path, clock, spec) as simulator, client(simulator) as first, client(simulator) as second:
        await subscribe(first)
        await subscribe(second)
        await until(clock, 100, 150)
        assert (await everything(first))[1].rcvd is None
        async with client(simulator) as third:  # sits where the first one sat
            await subscribe(third)
            assert [json.loads(await third.recv())["event"], numbers([await third.recv()])] == ["subscribe", [1]]
            for step in (50, 100, 50):
                await clock.somebody_sleeps(step)
                clock.advance(step)
            got, closed = await everything(third)
            assert (numbers(got), closed.rcvd) == ([2, 3], None)
        assert [numbers([await second.recv()]) for _ in range(5)] == [[], [0], [1], [2], [3]]


@pytest.mark.parametrize("keep", [1, 10, 150])
async def test_a_frame_is_cut_in_the_middle(tmp_path, clock, keep):
    async with (
        running(tmp_path, clock, f"cut:at=150ms,keep={keep}") as simulator,
        raw_client(simulator) as (reader, writer),
    ):
        await send_frame(writer, subscription())
        await until(clock, 100, 150, 200)
        received = await reader.read()

    texts, rest = frames_of(received)
    assert numbers(texts) == [0, 1]
    assert len(rest) == keep


async def test_a_client_sees_a_cut_as_1006(tmp_path, clock):
    async with running(tmp_path, clock, "cut:at=150ms") as simulator, client(simulator) as ws:
        await subscribe(ws)
        await until(clock, 100, 150, 200)
        got, closed = await everything(ws)

    assert (numbers(got), closed.rcvd) == ([0, 1], None)


@pytest.mark.parametrize("piece", [1, 16, 100_000])
async def test_a_frame_trickles_in_pieces_and_is_whole_all_the_same(tmp_path, clock, piece):
    async with (
        running(tmp_path, clock, f"trickle:piece={piece},at=50ms,pause=3ms") as simulator,
        raw_client(simulator) as (reader, writer),
    ):
        await send_frame(writer, subscription())
        whole = [await read_frame(reader), await read_frame(reader)]
        await until(clock, 50, 100)
        sizes = []
        received = b""
        while not frames_of(received)[0]:
            part = await reader.read(1 << 20)
            sizes.append(len(part))
            received += part
            await clock.somebody_sleeps(3)
            clock.advance(3)

    assert numbers(whole) == [0]
    assert numbers(frames_of(received)[0]) == [1]
    assert sizes == [piece] * (len(received) // piece) + [len(received) % piece] * bool(len(received) % piece)


async def test_the_library_s_own_answers_keep_their_place_between_trickling_frames(tmp_path, clock):
    async with running(tmp_path, clock, "trickle:piece=5", updates=40) as simulator, client(simulator) as ws:
        await subscribe(ws)
        pings = []
        reading = asyncio.create_task(everything(ws))
        await clock.somebody_sleeps(0)
        clock.advance(0)
        for _ in range(40):
            await clock.somebody_sleeps(100)
            clock.advance(100)
            pings.append(await ws.ping())
        await asyncio.gather(*pings)
        await simulator.wait_ended()
        await simulator.stop(0.2)
        got, closed = await reading

    assert (numbers(got), closed.rcvd.code) == ([*range(41)], 1001)


async def test_nothing_passes_a_half_open_connection_until_it_is_well_again(tmp_path, clock):
    spec = "half-open:at=150ms,for=200ms"
    async with running(tmp_path, clock, spec) as simulator, client(simulator) as ws:
        await subscribe(ws)
        await until(clock, 100, 150, 200, 300)
        assert numbers([await ws.recv() for _ in range(3)]) == [0, 1]
        await ws.send("ping")
        control = await ws.ping()
        await silence(ws)
        assert not control.done()
        await clock.somebody_sleeps(50)
        clock.advance(50)
        await clock.somebody_sleeps(50)
        await ws.send("ping")
        assert await ws.recv() == "pong"
        clock.advance(50)
        assert numbers([await ws.recv()]) == [4]


async def test_a_half_open_connection_is_never_closed_for_its_silence(tmp_path, clock):
    async with running(tmp_path, clock, "half-open:at=50ms", updates=1) as simulator, client(simulator) as ws:
        await subscribe(ws)
        await until(clock, 50, 100)
        await simulator.wait_ended()
        clock.advance(30_000)
        for _ in range(3):
            await clock.somebody_sleeps(30_000)
            clock.advance(30_000)
        await clock.somebody_sleeps(30_000)
        assert numbers([await ws.recv() for _ in range(2)]) == [0]
        await silence(ws)


async def test_a_half_open_connection_follows_no_close(tmp_path, clock):
    async with running(tmp_path, clock, "half-open") as simulator:
        ws = await client(simulator, close_timeout=0.05)
        await subscribe(ws)
        await silence(ws)
        await ws.close()
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()

    assert closed.value.rcvd is None


async def test_a_connection_is_accepted_and_stays_silent(tmp_path, clock):
    async with (
        running(tmp_path, clock, "accept-silent:conn=first") as simulator,
        client(simulator) as silent,
        client(simulator) as well,
    ):
        for ws in (silent, well):
            await subscribe(ws)
            await ws.send("ping")
        assert [await well.recv() for _ in range(3)][-1] == "pong"
        await silence(silent)


async def test_without_a_book_a_client_still_has_its_pings_answered(tmp_path, clock):
    async with running(tmp_path, clock, f"no-book:inst={BTC}") as simulator, client(simulator) as ws:
        await subscribe(ws, BTC, ETH)
        await ws.send("ping")
        got = [await ws.recv() for _ in range(4)]

    assert [decode(frame.encode()).__class__.__name__ for frame in got] == ["Ack", "Ack", "BookChange", "Pong"]
    assert decode(got[2].encode()).inst_id == ETH


@pytest.mark.parametrize(("how", "status"), [("403", 403), ("429", 429), ("503", 503)])
async def test_a_connection_is_refused_with_a_status(tmp_path, clock, how, status):
    async with running(tmp_path, clock, f"refuse:how={how},k=2") as simulator:
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refused:
                await client(simulator)
            assert refused.value.response.status_code == status
        async with client(simulator) as ws:
            await subscribe(ws)


@pytest.mark.parametrize("how", ["tcp", "handshake"])
async def test_a_connection_is_dropped_before_it_stands(tmp_path, clock, how):
    async with running(tmp_path, clock, f"refuse:how={how},k=1") as simulator:
        with pytest.raises((OSError, EOFError, InvalidMessage)):
            await client(simulator)
        async with client(simulator) as ws:
            await subscribe(ws)


async def test_connections_are_refused_for_a_time_though_the_timeline_has_not_begun(tmp_path, clock):
    async with running(tmp_path, clock, "refuse:how=503,for=10s") as simulator:
        for wait in (0, 9_999):
            clock.advance(wait)
            with pytest.raises(InvalidStatus):
                await client(simulator)
        clock.advance(1)
        async with client(simulator) as ws:
            await subscribe(ws)


async def test_the_second_connection_is_refused_as_long_as_the_first_stands(tmp_path, clock):
    async with running(tmp_path, clock, "refuse:how=403,conn=second") as simulator:
        async with client(simulator):
            for _ in range(2):
                with pytest.raises(InvalidStatus):
                    await client(simulator)
        clock.advance(1000)
        async with client(simulator):  # the first again
            pass


async def test_a_handshake_is_slow(tmp_path, clock):
    async with running(tmp_path, clock, "slow-handshake:delay=3s,conn=1") as simulator:
        connecting = asyncio.create_task(client(simulator).__aenter__())
        await clock.somebody_sleeps(3000)
        clock.advance(2999)
        await asyncio.sleep(0.02)
        assert not connecting.done()
        clock.advance(1)
        ws = await connecting
        await ws.close()


async def test_a_client_that_leaves_during_a_slow_handshake_keeps_no_place(tmp_path, clock):
    spec = "slow-handshake:delay=3s,k=1;refuse:how=403,conn=second"
    async with running(tmp_path, clock, spec) as simulator:
        port = int(simulator.ws_url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE.encode())
        await clock.somebody_sleeps(3000)
        writer.close()
        assert await reader.read() == b""  # the exchange has seen it leave
        clock.advance(3000)
        async with client(simulator) as ws:  # the first, which nobody refuses
            await subscribe(ws)


async def test_compression_is_offered_where_the_plan_says_so(tmp_path, clock):
    async with (
        running(tmp_path, clock, "deflate:conn=second") as simulator,
        client(simulator, compression="deflate") as plain,
        client(simulator, compression="deflate") as compressed,
    ):
        extensions = [[extension.name for extension in ws.protocol.extensions] for ws in (plain, compressed)]
        assert extensions == [[], ["permessage-deflate"]]
        for ws in (plain, compressed):
            await subscribe(ws)
        await until(clock, 100)
        assert [await plain.recv() for _ in range(3)][1:] == [await compressed.recv() for _ in range(3)][1:]


async def test_a_notice_and_its_close_reach_the_client(tmp_path, clock):
    spec = "notice:at=150ms,after=100ms,code=1006"
    async with running(tmp_path, clock, spec) as simulator, client(simulator) as ws:
        await subscribe(ws)
        await until(clock, 100, 150, 200, 250)
        got, closed = await everything(ws)

    assert (numbers(got), closed.rcvd) == ([0, 1, 2], None)
    assert isinstance(decode(got[3].encode()), Notice)


async def test_a_frame_of_two_megabytes_passes(tmp_path, clock):
    spec = "big-frame:at=50ms,size=2MB"
    async with running(tmp_path, clock, spec) as simulator, client(simulator, max_size=4 << 20) as ws:
        await subscribe(ws)
        await until(clock, 50, 100)
        got = [await ws.recv() for _ in range(4)]

    assert len(got[2]) > 2 << 20
    assert numbers(got) == [0, 1]


async def test_two_connections_batched_out_of_phase_hold_the_exchange_s_own_books(tmp_path, clock):
    oracle = Oracle()
    spec = "batch:merge=2,conn=first;batch:merge=2,offset=1,conn=second"
    async with (
        running(tmp_path, clock, spec, on_tick=oracle.note, speed=None) as simulator,
        client(simulator) as first,
        client(simulator) as second,
    ):
        readers = []
        for ws in (first, second):
            await subscribe(ws)
            readers.append(asyncio.create_task(everything(ws)))
        await clock.somebody_sleeps(0)
        clock.advance(0)
        await simulator.wait_ended()
        await simulator.stop(5)
        received = [(await reader)[0] for reader in readers]

    assert [numbers(got) for got in received] == [[*range(0, 21, 2)], [0, *range(1, 21, 2), 20]]
    for got in received:
        book = Book()
        for frame in got[1:]:
            change = decode(frame.encode())
            book.apply(change)
            assert book.top(400) == oracle.at(BTC, change.seq_id)[0].image


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("rest:answer=429", (429, "application/json")),
        ("rest:answer=429-html", (429, "text/html")),
        ("rest:answer=403", (403, "text/html")),
        ("rest:answer=50011", (200, "application/json")),
        ("rest:answer=502", (502, "text/html")),
        ("rest:answer=empty", (200, "application/json")),
        ("rest:at=1s", (200, "application/json")),
    ],
)
async def test_rest_answers_as_planned_and_in_the_right_type(tmp_path, clock, spec, expected):
    async with running(tmp_path, clock, spec) as simulator:
        status, content_type, body = await get(simulator, f"/api/v5/market/books?instId={BTC}")

    assert (status, content_type) == expected
    assert body.startswith("{" if content_type.endswith("json") else "<html>")


async def test_rest_without_an_answer_lets_the_client_time_out(tmp_path, clock):
    async with running(tmp_path, clock, "rest:answer=timeout,k=1") as simulator:
        with pytest.raises(TimeoutError):
            await get(simulator, "/api/v5/public/time", timeout_sec=0.1)
        assert (await get(simulator, "/api/v5/public/time"))[0] == 200


async def test_the_end_waits_for_nobody_whom_a_fault_holds(tmp_path, clock):
    spec = "rest:answer=timeout;slow-handshake:conn=2,delay=1h;half-open"
    async with running(tmp_path, clock, spec) as simulator:
        asking = asyncio.create_task(get(simulator, "/api/v5/public/time", timeout_sec=20))
        ws = await client(simulator)
        await subscribe(ws)
        connecting = asyncio.create_task(client(simulator).__aenter__())
        await clock.somebody_sleeps(3_600_000)
        await clock.somebody_sleeps(60_000)
        await asyncio.wait_for(simulator.stop(grace_sec=0.1), 20)
        for task in (asking, connecting):
            with pytest.raises((OSError, EOFError, InvalidMessage, InvalidStatus)):
                await task
        await ws.close()


async def test_the_fourth_connection_within_a_second_is_answered_429_and_counted(tmp_path, clock):
    async with running(tmp_path, clock, "") as simulator:
        for _ in range(3):
            async with client(simulator):
                pass
        with pytest.raises(InvalidStatus) as refused:
            await client(simulator)
        assert (refused.value.response.status_code, simulator.limits.connects_over) == (429, 1)
        clock.advance(1000)
        async with client(simulator):
            pass
        assert (simulator.limits.connects, simulator.limits.violations) == (5, 1)


@pytest.mark.parametrize(("time_scale", "host_ms"), [(20.0, 50), (0.5, 2000)])
async def test_limits_pass_as_fast_as_the_time_of_the_run(tmp_path, clock, time_scale, host_ms):
    async with running(tmp_path, clock, "", time_scale=time_scale) as simulator:
        for _ in range(3):
            async with client(simulator):
                pass
        clock.advance(host_ms - 1)
        with pytest.raises(InvalidStatus):
            await client(simulator)
        clock.advance(1)
        async with client(simulator) as ws:
            await clock.somebody_sleeps(30_000 / time_scale)
            clock.advance(int(30_000 / time_scale))
            assert (await everything(ws))[1].rcvd.code == 4004


async def test_limits_may_be_off(tmp_path, clock):
    async with running(tmp_path, clock, "", time_scale=None) as simulator:
        for _ in range(6):
            async with client(simulator):
                pass
        assert simulator.limits.violations == 0


async def test_requests_beyond_480_an_hour_are_answered_60014_and_counted(tmp_path, clock):
    async with running(tmp_path, clock, "") as simulator, client(simulator) as ws:
        for _ in range(481):
            await ws.send('{"op":"unsubscribe","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}')
        answers = [json.loads(await ws.recv()) for _ in range(481)]
        assert [answer["event"] for answer in answers[:480]] == ["unsubscribe"] * 480
        assert answers[480]["code"] == "60014"
        assert (simulator.limits.requests, simulator.limits.requests_over) == (481, 1)


async def test_a_request_of_more_than_64_kb_is_counted(tmp_path, clock):
    async with running(tmp_path, clock, "") as simulator, client(simulator) as ws:
        await ws.send("x" * 65_537)
        assert (await everything(ws))[1].rcvd.code == 1009
        await simulator.stop()
        assert (simulator.limits.oversized, simulator.limits.violations) == (1, 1)


@pytest.mark.parametrize("time_scale", [0, -1.0])
def test_an_impossible_time_scale_is_refused(time_scale):
    with pytest.raises(UsageError):
        SimOptions(time_scale=time_scale)


def subscription():
    return json.dumps({"op": "subscribe", "args": [{"channel": "books", "instId": BTC}]}).encode()


@asynccontextmanager
async def raw_client(simulator):
    """A websocket connection of which every byte can be seen."""
    port = int(simulator.ws_url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    try:
        yield reader, writer
    finally:
        writer.close()


async def send_frame(writer, payload):
    assert len(payload) < 126
    writer.write(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
    await writer.drain()


async def read_frame(reader):
    head = await reader.readexactly(2)
    length = head[1]
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return (await reader.readexactly(length)).decode()


def frames_of(received):
    """The texts of whole frames shorter than 64 KB, and the bytes of one that is not whole."""
    texts = []
    while len(received) >= 2:
        start, length = (4, int.from_bytes(received[2:4], "big")) if received[1] == 126 else (2, received[1])
        if len(received) < start + length:
            break
        texts.append(received[start : start + length].decode())
        received = received[start + length :]
    return texts, received
