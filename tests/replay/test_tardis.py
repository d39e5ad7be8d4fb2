"""tardis-machine's routes on a vault: they send what the vault holds, and say where it holds nothing."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from l2vault.book.book import Book as Truth
from l2vault.book.utc import utc_micros_text, utc_ms, utc_text
from l2vault.clock import Clock
from l2vault.replay.tardis.asked import Normalized
from l2vault.replay.tardis.normalized import normalized
from l2vault.replay.tardis.routes import TardisRoutes, _Player
from l2vault.sim.exchange.books import encode_push
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.changes_vault import START_MS, write_vault
from support.hours import HOUR_AT_MS, INST, contents, levels, line, put, put_bytes
from support.small_vault import FIRST_ID, small_vault
from support.tardis_client import Book, asked, lines, messages, received, serving, subscribe, target
from support.virtual import over_sockets

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
LOST = range(322, 325)
"""Pushes of the vault of changes that never came."""
SPAN = utc_text(START_MS + 33_000), utc_text(START_MS + 43_000)
OF_TRADES = {"symbols": [INST], "dataTypes": ["trade"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of sampled books, trades and values."""
    return small_vault(tmp_path_factory.mktemp("small") / "Vault")[0].root


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory):
    """Every change of 44 s; an hour ends after 40."""
    root = tmp_path_factory.mktemp("changed") / "Vault"
    return root, write_vault(root, 44, LOST)


def options(start="2024-08-20T03:00:00.000Z", end="2024-08-20T03:10:00.000Z", **more):
    return {"exchange": "okex-swap", "from": start, "to": end, **more}


@over_sockets
async def test_normalized_trades_are_the_rows_of_the_vault_and_lost_ones_a_disconnect(root: Path) -> None:
    async with serving(root) as site:
        found = await messages(site, "replay-normalized", options(**OF_TRADES))
    trades = [each for each in found if each["type"] == "trade"]
    rows = list(TradeReader(Layout(root)).rows(INST, (HOUR_AT_MS, HOUR_AT_MS + 600_000), pytest.fail))
    assert [(each["id"], each["price"], each["amount"], each["side"], each["timestamp"]) for each in trades] == [
        (str(row.last_id), float(row.push.px), float(row.size), row.push.side, utc_text(row.push.ts_ms)) for row in rows
    ]
    by_socket = [row.push for row in rows if row.push.origin == "ws"]
    local = {each["id"]: each["localTimestamp"] for each in trades}
    assert all(local[push.trade_id] == utc_micros_text(push.recv_us) for push in by_socket)
    assert {each["exchange"] for each in found} == {"okex-swap"} and len(trades) > 590
    holes = [(each["cause"], each["symbols"]) for each in found if each["type"] == "disconnect"]
    assert [cause for cause, _ in holes] == ["trades: unknown", "trades: missing: disconnect", "trades: unknown"]
    at = next(number for number, each in enumerate(found) if each.get("cause") == "trades: missing: disconnect")
    assert int(found[at + 1]["id"]) - int(found[at - 1]["id"]) > 4, "between the trades beside what was lost"


@over_sockets
async def test_normalized_books_are_those_of_the_vault_and_none_where_it_has_none(root: Path) -> None:
    span = HOUR_AT_MS - 60_000, HOUR_AT_MS + 200_000
    asked = options(*map(utc_text, span), symbols=[INST], dataTypes=["book_change"])
    async with serving(root) as site:
        found = await messages(site, "replay-normalized", asked)
    assert (found[0]["type"], found[0]["cause"]) == ("disconnect", "unknown: no file")
    vault, book = open_vault(root), Book()
    shown = {}
    for message in found:
        if message["type"] == "book_change":
            book.take(message)
            shown[utc_ms(message["timestamp"])] = [dict(side) for side in book.sides]
    wanted = {
        each.ts_ms: [{float(level[0]): float(level[1]) for level in side} for side in (each.bids, each.asks)]
        for each in vault.snapshots(INST, *span)
    }
    (hole,) = (hole for hole in vault.coverage(INST, *span).holes if hole.cause == "chain")
    assert len(wanted) > 90 and shown == wanted | {hole.start_ms: [{}, {}]}
    (at,) = (number for number, each in enumerate(found) if each.get("cause") == "missing: chain")
    assert utc_ms(found[at - 1]["timestamp"]) == hole.start_ms and found[at + 1]["isSnapshot"]
    assert [each["isSnapshot"] for each in found if each["type"] == "book_change"].count(True) == 2


@over_sockets
async def test_normalized_books_of_every_change_go_on_over_the_end_of_an_hour(changed) -> None:
    root, sent = changed
    asked = options(*SPAN, symbols=[INST], dataTypes=["book_change"])
    async with serving(root) as site:
        found = await messages(site, "replay-normalized", asked)
    changes = [each for each in found if each["type"] == "book_change"]
    assert [each["isSnapshot"] for each in changes].count(True) == 2, "at the start, and behind the hole"
    pushes, truth, book, of_pushes = iter(sent), Truth(), Book(), 0
    push = next(pushes)
    for message in changes:
        book.take(message)
        t_ms = utc_ms(message["timestamp"])
        while push.ts_ms <= t_ms:
            truth.apply(push)
            of_pushes += push.ts_ms == t_ms and message["localTimestamp"] == utc_micros_text(push.recv_us)
            push = next(pushes)
        if any(book.sides):
            assert book.sides == tuple({float(row[0]): float(row[1]) for row in side} for side in truth.top(400))
    assert of_pushes > len(changes) - 4 > 60
    assert [each["localTimestamp"] for each in found] == sorted(each["localTimestamp"] for each in found)


@over_sockets
async def test_the_ticker_gathers_the_values_and_names_none_that_it_lacks(root: Path) -> None:
    asked = options(end="2024-08-20T03:00:30Z", symbols=[INST], dataTypes=["derivative_ticker"])
    async with serving(root) as site:
        found = await messages(site, "replay-normalized", asked)
    tickers = [each for each in found if each["type"] == "derivative_ticker"]
    assert tickers[-1] == {
        "type": "derivative_ticker",
        "symbol": INST,
        "exchange": "okex-swap",
        "openInterest": 2216113.01000000309,
        "fundingRate": 0.000066,
        "fundingTimestamp": utc_text(HOUR_AT_MS + 300_000),
        "indexPrice": 60003.1,
        "markPrice": 60000.5,
        "timestamp": tickers[-1]["timestamp"],
        "localTimestamp": tickers[-1]["localTimestamp"],
    }
    assert [set(each) & {"openInterest", "fundingRate", "indexPrice", "markPrice"} for each in tickers] == [
        {"openInterest"},
        {"openInterest", "fundingRate"},
        {"openInterest", "fundingRate", "indexPrice", "markPrice"},
    ], "one for each push that changes something, but the index waits for the next"


@over_sockets
async def test_native_messages_are_the_pushes_that_came(changed) -> None:
    root, sent = changed
    async with serving(root) as site:
        early = options(utc_text(START_MS - 20_000), utc_text(START_MS - 1))
        assert (await asked(site, target("replay", early)))[0] == 400, "in the hour of the first line, and before it"
        found = await lines(site, "replay", options(*SPAN, filters=[{"channel": "books", "symbols": [INST.lower()]}]))
    texts = {encode_push(push): push for push in sent}
    pushes = [texts.get(text.partition(',"message":')[2][:-1]) for text in found]
    came = [push for push in pushes if push is not None]
    span = [utc_ms(bound) for bound in SPAN]
    wanted = [push for at, push in enumerate(sent) if at not in LOST and span[0] < push.ts_ms < span[1]]
    assert len(came) > 60 and came == [push for push in wanted if push in came]
    assert len(wanted) - len(came) <= 1, "all but the one at which the full book behind the hole was made"
    seq_id = -1
    for text in found:
        (data,) = json.loads(text)["message"]["data"]
        assert data["prevSeqId"] in (-1, seq_id), "the chain holds, but for the full book behind the hole"
        seq_id = data["seqId"]


@over_sockets
async def test_a_hole_among_native_messages_is_one_too_or_an_empty_line_or_nothing_as_asked(root: Path) -> None:
    asked = options("2024-08-20T03:01:50Z", "2024-08-20T03:02:10Z", filters=[{"channel": "books"}])
    async with serving(root) as site:
        found = await lines(site, "replay", asked)
        marked = await lines(site, "replay", asked | {"withDisconnects": True})
        unmarked = await lines(site, "replay", asked | {"withDisconnects": False})
        before = await messages(site, "replay", asked | {"from": "2024-08-20T02:59:00Z", "to": "2024-08-20T03:00:01Z"})
    assert [each["message"].get("msg", "book") for each in before[:2]] == ["unknown: no file", "book"]
    (at,) = (number for number, text in enumerate(found) if '"event":"disconnect"' in text)
    arg = {"channel": "books", "instId": INST}
    assert json.loads(found[at])["message"] == {"event": "disconnect", "arg": arg, "msg": "missing: chain"}
    resumed = json.loads(found[at + 1])["message"]
    assert resumed["action"] == "snapshot" and int(resumed["data"][0]["ts"]) == HOUR_AT_MS + 128_000
    assert marked == [*found[:at], "", *found[at + 1 :]] and unmarked == [*found[:at], *found[at + 1 :]]


@over_sockets
async def test_native_filters_take_channels_and_symbols_and_no_filter_takes_all(root: Path) -> None:
    def kinds(found):
        return {each["message"]["arg"]["channel"] for each in found if "event" not in each["message"]}

    minute = {"to": "2024-08-20T03:01:00.000Z"}
    async with serving(root) as site:
        every = await messages(site, "replay", options() | minute)
        some = await messages(
            site,
            "replay",
            options()
            | minute
            | {"filters": [{"channel": "index-tickers", "symbols": ["BTC-USDT"]}, {"channel": "trades"}]},
        )
    assert kinds(every) == {
        "books",
        "trades",
        "mark-price",
        "index-tickers",
        "funding-rate",
        "open-interest",
        "price-limit",
    }
    assert kinds(some) == {"index-tickers", "trades"}
    assert [
        each for each in every if kinds([each]) <= {"index-tickers", "trades"} and "event" not in each["message"]
    ] == [each for each in some if "event" not in each["message"]]
    trade = next(each for each in some if kinds([each]) == {"trades"})
    assert trade["localTimestamp"] == "2024-08-20T03:00:00.5200000Z"
    assert trade["message"]["data"][0]["tradeId"] == str(FIRST_ID + 1)


@over_sockets
async def test_the_websocket_sends_what_http_does_and_a_list_of_options_is_merged_by_time(root: Path) -> None:
    one = options(end="2024-08-20T03:02:00.000Z", **OF_TRADES)
    both = [one, options(end="2024-08-20T03:03:00.000Z", symbols=[INST], dataTypes=["quote"])]
    async with serving(root) as site:
        over_http = await messages(site, "replay-normalized", both)
        over_ws, code, reason = await received(site, target("ws-replay-normalized", both), "whatever", "ping")
    assert over_ws == over_http and (code, reason) == (1000, "WS replay finished")
    times = [each["localTimestamp"] for each in over_http]
    assert times == sorted(times) and {each["type"] for each in over_http} == {"trade", "book_snapshot", "disconnect"}


@over_sockets
async def test_a_replay_of_native_messages_over_websocket_is_asked_as_okx_is(root: Path) -> None:
    span = "exchange=okex-swap&from=2024-08-20T03:00:00Z&to=2024-08-20T03:03:00Z"
    filters = [{"channel": "books", "symbols": [INST]}, {"channel": "trades", "symbols": [INST]}]
    request = subscribe(("books", INST), ("trades", INST), ("books-l2-tbt", INST))
    async with serving(root) as site:
        over_http = await messages(site, "replay", options(end="2024-08-20T03:03:00Z", filters=filters))
        found, code, reason = await received(site, f"/ws-replay?{span}", "ping", request)
        _, none, why = await received(site, f"/ws-replay?{span}")
    pong, *acks, refused = found[:4]
    assert pong == "pong" and [ack["arg"]["channel"] for ack in acks] == ["books", "trades"]
    assert refused["code"] == "60011"
    assert found[4:] == [each["message"] for each in over_http] and (code, reason) == (1000, "WS replay finished")
    assert (none, why.partition(".")[0]) == (1011, "nothing was subscribed to")


@over_sockets
async def test_a_session_that_breaks_off_for_whatever_reason_closes_its_connections(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TardisRoutes, "_session_messages", lambda self, players: 1 // 0)
    async with serving(root) as site:
        span = "exchange=okex-swap&from=2024-08-20T03:00:00Z&to=2024-08-20T03:03:00Z"
        _, code, reason = await asyncio.wait_for(received(site, f"/ws-replay?{span}"), 60)
    assert (code, reason) == (1011, "integer division or modulo by zero")


def test_connections_of_one_session_are_played_in_step_and_none_joins_late(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/ws-replay?exchange=okex-swap&from=2024-08-20T03:00:00Z&to=2024-08-20T03:01:00Z&session=both&speed=20"
    sent: list[tuple[int, str]] = []
    send = _Player.send

    async def noted(player: _Player, text: str) -> None:
        message = json.loads(text)
        if "data" in message:
            sent.append((int(message["data"][0]["ts"]), message["arg"]["channel"]))
        await send(player, text)

    monkeypatch.setattr(_Player, "send", noted)

    async def listen(url: str, channel: str) -> list[str]:
        found = []
        async with connect(url, proxy=None) as socket:
            await socket.send(json.dumps(subscribe((channel, INST))))
            async for text in socket:
                if "data" in json.loads(text) and not any("begun" in each for each in found):
                    await socket.send(json.dumps(subscribe(("books", INST))))
                found.append(text)
        return found

    @over_sockets
    async def play() -> None:
        async with serving(root) as site:
            url = site.ws + path
            books, trades = await asyncio.gather(listen(url, "books"), listen(url, "trades"))
            assert any("The replay has begun" in text for text in books)
            assert not any('"channel":"books"' in text for text in trades)
            _, code, why = await received(site, path.replace("=20", "=0"))
            assert (code, why.partition(".")[0]) == (1011, "speed = '0' is no pace")

    play()
    assert sent == sorted(sent, key=lambda each: each[0]) and len(sent) > 80
    assert len({channel for _, channel in sent[:4]}) == 2


REFUSED = [
    ("/replay", "the parameter options is missing"),
    ("/replay?options=%7B", "options: Input data was truncated"),
    ("/replay?options=[]", "options is an empty list"),
    ("/replay?options=7", "options: Expected `object | array`"),
    ("/replay?options={}&optoins={}", "the parameter 'optoins' is unknown"),
    (target("replay", options(), speed="0"), "speed = '0' is no pace"),
    (target("replay", options(), speed="fast"), "speed = 'fast' is no pace"),
    (target("replay", options(exchange="binance")), "exchange = 'binance': the vault has okex-swap alone"),
    (target("replay", options(start="yesterdy")), "from: 'yesterdy' is not a time"),
    (target("replay", options(end="2024-08-20T03:00Z")), "is not later than from"),
    (target("replay", {"exchange": "okex-swap", "from": 1}), "options: Object missing required field `to`"),
    (target("replay", options(filters=[{"channel": "books-l2-tbt"}])), "no channel 'books-l2-tbt' in that time"),
    (target("replay", options(filters=[{"channel": "books", "symbols": ["ETH-USDT-SWAP"]}])), "no 'ETH-USDT-SWAP'"),
    (target("replay", options("2030-01-01", "2030-01-02")), "Try: BTC-USDT-SWAP has 2024-08-20T03:00:00.000Z to"),
    (target("replay", options("2024-08-20T03:20Z", "2024-08-20T03:30Z")), "nothing was recorded from 2024-08-20T03:2"),
    (target("replay", options("2024-08-20T02:50Z", "2024-08-20T03:00Z")), "nothing was recorded from 2024-08-20T02:5"),
    (target("replay-normalized", options()), "missing required field `dataTypes`"),
    (target("replay-normalized", options(dataTypes=[])), "dataTypes is empty"),
    (target("replay-normalized", options(dataTypes=["trade"], symbol=INST)), "unknown field `symbol`"),
    (target("replay-normalized", options(dataTypes=["liquidation"])), "'liquidation' is not among those served"),
    (target("replay-normalized", options(dataTypes=["book_snapshot_25"])), "'book_snapshot_25' is not among those"),
    (target("replay-normalized", options(dataTypes=["trade"], symbols=["X"])), "vault has no 'X'. Try: one of BTC-"),
]  # fmt: skip


@over_sockets
async def test_what_cannot_be_is_refused_in_a_sentence(root: Path) -> None:
    async with serving(root) as site:
        for path, said in REFUSED:
            status, message = await asked(site, path)
            assert status == 400 and said in message, message
            if "normalized" in path:
                found, code, reason = await received(site, path.replace("/replay", "/ws-replay"))
                assert (found, code) == ([], 1011) and message.startswith(reason) and len(reason) > 20


class StoppedClock(Clock):
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now_ms, self.sleeps = 5, 0

    def monotonic_ms(self) -> int:
        return round(self.now_ms)

    async def sleep(self, seconds: float) -> None:
        self.now_ms += seconds * 1000
        self.sleeps += 1
        await asyncio.sleep(0)


class EndlessClock(Clock):
    """Nobody who sleeps by it wakes up."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@over_sockets
async def test_speed_is_how_many_times_as_fast_as_it_was_received(root: Path) -> None:
    asked = options("2024-08-20T03:00:00.000Z", "2024-08-20T03:00:30.000Z", symbols=[INST], dataTypes=["trade"])
    clock = StoppedClock()
    async with serving(root, clock) as site:
        at_once = await messages(site, "replay-normalized", asked)
        assert await messages(site, "replay-normalized", asked, speed="max") == at_once and clock.sleeps == 0
        for speed, seconds in (("1", 29), ("10", 2.9), ("0.5", 58)):
            begun_ms = clock.now_ms
            assert await messages(site, "replay-normalized", asked, speed=speed) == at_once
            assert (clock.now_ms - begun_ms) / 1000 == pytest.approx(seconds, abs=0.01)
        assert clock.sleeps > 80


@over_sockets
async def test_who_leaves_is_forgotten_and_a_stop_ends_who_stays(root: Path) -> None:
    path = target("ws-replay-normalized", options(**OF_TRADES), speed="0.001")
    async with serving(root, EndlessClock()) as site:
        async with connect(site.ws + path, proxy=None) as socket:
            await socket.recv()
            drained = asyncio.create_task(site.routes.drained())
            await asyncio.sleep(0)
            assert not drained.done()
        await drained
        async with connect(site.ws + path, proxy=None) as socket:
            await socket.recv()
            stopped = asyncio.create_task(site.simulator.stop())
            await socket.wait_closed()
            assert socket.close_code == 1001
            await stopped


@over_sockets
async def test_what_a_client_sends_behind_its_request_is_passed_over_and_one_that_closes_is_forgotten(
    root: Path,
) -> None:
    request = f"GET {target('replay-normalized', options(**OF_TRADES), speed='0.001')} HTTP/1.1\r\nHost: x\r\n\r\n"
    async with serving(root, EndlessClock()) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.http.rpartition(":")[2]))
        writer.write(request.encode())
        assert b"200 OK" in await reader.readline()
        writer.write(b"and more")
        assert b"disconnect" in await reader.readuntil(b"}\n")
        writer.close()
        await site.routes.drained()


@over_sockets
async def test_the_recipe_of_the_page_runs_and_finds_the_holes(root: Path) -> None:
    (code,) = (code for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if "replay-normalized" in code)
    names: dict[str, object] = {}
    async with serving(root) as site:
        code = code.replace("http://127.0.0.1:8000", site.http)
        await asyncio.to_thread(exec, code, names)  # the documentation is what is tested
    assert (names["best_bid"], names["best_ask"]) == (59999, 60001)
    assert "missing: chain" in [cause for _, cause in names["holes"]]


def test_behind_a_disconnect_the_books_that_stand_come_whole(root: Path, tmp_path: Path) -> None:
    """A client may forget all books of the exchange."""
    layout, path = small_vault(tmp_path / "Vault")
    other = [line(ms, levels("10 1 1"), levels("11 1 1")) for ms in range(0, 600_000, 2_000)]
    put_bytes(layout, HOUR_AT_MS, contents(other).replace(INST.encode(), b"ETH-USDT-SWAP"), inst_id="ETH-USDT-SWAP")
    found = _normalized(layout.root, ["book_change", "quote"], HOUR_AT_MS, HOUR_AT_MS + 300_000)
    at = next(number for number, each in enumerate(found) if each.get("cause") == "missing: chain")
    assert found[at]["symbols"] == [INST]
    whole, quote = found[at + 1], found[at + 2]
    assert (whole["symbol"], whole["isSnapshot"], whole["bids"]) == (
        "ETH-USDT-SWAP",
        True,
        [{"price": 10, "amount": 1}],
    )
    assert (quote["symbol"], quote["name"]) == ("ETH-USDT-SWAP", "quote")
    silent = _normalized(layout.root, ["book_change"], HOUR_AT_MS, HOUR_AT_MS + 300_000, tells=False)
    assert not [each for each in silent if each["type"] == "disconnect"]
    snapshots = [each["symbol"] for each in silent if each.get("isSnapshot")]
    assert sorted(snapshots) == [INST, INST, "ETH-USDT-SWAP"]


def test_a_book_that_changed_in_the_dark_over_the_end_of_an_hour_comes_whole(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(ms, levels("10 1 1"), levels("11 1 1")) for ms in range(3_590_000, 3_600_000, 2_000)])
    put(layout, [line(ms, levels("9 1 1"), levels("11 1 1")) for ms in range(3_600_000, 3_610_000, 2_000)])
    start = HOUR_AT_MS + HOUR_MS - 8_000
    found = _normalized(layout.root, ["book_change"], start, start + 16_000)
    assert [(each["isSnapshot"], each["bids"]) for each in found if each["type"] == "book_change"] == [
        (True, [{"price": 10, "amount": 1}]),
        (True, [{"price": 9, "amount": 1}]),
    ] or found[0]["type"] == "disconnect"


def _normalized(root: Path, types: list[str], start_ms: int, end_ms: int, tells: bool = True):
    from l2vault.replay.tardis.asked import SnapshotType

    vault = open_vault(root)
    snapshots = [SnapshotType("quote", 1, 0)] if "quote" in types else []
    asked = Normalized(vault.instruments(), (start_ms, end_ms), frozenset(types) - {"quote"}, snapshots, [], tells)
    return [json.loads(message.data) for message in normalized(vault, asked, pytest.fail)]
