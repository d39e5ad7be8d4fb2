"""What the built-in exchange publishes beside its books: keys of the wire, OKX's pace, values that fit the books."""

import json
from decimal import Decimal
from itertools import islice, pairwise

import pytest

from l2vault.book.day_lines import Liquidation, Status
from l2vault.okx.context_messages import CHANNEL_OF, ContextPush, Update, decode_context
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.context import CHANNELS, ContextMarket, encode_context
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.server.rest import answer
from support.captured import capture
from support.rehearsal import BTC, ETH, START_MS, Stage, rehearse, timeline

BTC_USD = "BTC-USD-SWAP"
NAMES = (BTC, ETH, BTC_USD)
MINUTES = 5
VALUES = tuple(CHANNEL_OF.values())


def played(seed=1, minutes=MINUTES, names=NAMES):
    """Minutes of a market: every push, and mid of its instrument's book at that time."""
    exchange = Exchange(list(names), {name: instrument_row(name) for name in names}, seed)
    pushes = []
    for tick in Market(names, seed, START_MS).ticks():
        if tick.ts_ms > START_MS + minutes * 60_000:
            return exchange, pushes
        for push in exchange.context.pass_time(tick.ts_ms):
            pushes.append((push, mid(exchange, push.inst_id)))
        exchange.apply(tick.change)
    raise AssertionError("the market has ended")


def mid(exchange, inst_id):
    book = exchange.book(inst_id)
    bids, asks = book.top(1) if book is not None else ((), ())
    return (float(bids[0][0]) + float(asks[0][0])) / 2 if bids and asks else None


@pytest.fixture(scope="module")
def minutes():
    return played()


def rows(minutes, channel, inst_id=BTC):
    return [push.row for push, _ in minutes[1] if push.channel == channel and push.inst_id == inst_id]


def times(minutes, channel, inst_id=BTC):
    return [push.ts_ms for push, _ in minutes[1] if push.channel == channel and push.inst_id == inst_id]


def test_keys_and_their_order_are_those_of_the_real_frames(minutes):
    texts = [
        *capture("okx-other/okx_ws_other_channels_real_frames.jsonl").read_text(encoding="utf-8").splitlines(),
        *capture("okx-other/okx_docs_examples.jsonl").read_text(encoding="utf-8").splitlines(),
    ]
    real = [json.loads(text)["frame"] for text in texts]
    ours = {push.channel: push for push, _ in minutes[1]}
    seen = set()
    for frame in real:
        channel = frame.get("arg", {}).get("channel")
        if channel in ours:
            push = ours[channel]
            mine = json.loads(encode_context(channel, push.name, [push.row]))
            assert list(mine) == list(frame)
            assert list(mine["arg"]) == list(frame["arg"])
            assert list(mine["data"][0]) == list(frame["data"][0])
            seen.add(channel)

    assert seen == {"mark-price", "funding-rate", "open-interest", "liquidation-orders"}


def test_rows_of_the_documented_channels_have_its_keys(minutes):
    assert " ".join(rows(minutes, "index-tickers")[0]) == "instId idxPx open24h high24h low24h sodUtc0 sodUtc8 ts"
    assert " ".join(rows(minutes, "price-limit")[0]) == "instId buyLmt sellLmt ts enabled"
    assert rows(minutes, "price-limit")[0]["enabled"] is True


def test_every_push_is_one_that_the_recorder_reads(minutes):
    for push, _ in minutes[1]:
        read = decode_context(encode_context(push.channel, push.name, [push.row]).encode())
        assert isinstance(read, ContextPush)
        (item,) = read.items
        assert isinstance(item, Update | Liquidation)


def test_the_pace_is_okxs(minutes):
    steps = {channel: [b - a for a, b in pairwise(times(minutes, channel))] for channel in VALUES}

    assert min(steps["mark-price"]) >= 200
    assert max(steps["mark-price"]) <= 10_200
    assert min(steps["index-tickers"]) >= 100
    assert set(steps["open-interest"]) == {3000}
    assert all(30_000 <= step <= 90_000 for step in steps["funding-rate"])
    assert len(times(minutes, "funding-rate")) >= MINUTES * 60 / 90
    assert min(steps["price-limit"]) >= 200


def test_nothing_is_sent_again_that_did_not_change_before_it_is_time(minutes):
    for channel, repeat_ms in (("mark-price", 10_000), ("price-limit", None)):
        for (before, b_ms), (after, a_ms) in pairwise(
            zip(rows(minutes, channel), times(minutes, channel), strict=True)
        ):
            same = {key for key in after if after[key] == before[key]} >= set(after) - {"ts"}
            assert not same or (repeat_ms is not None and a_ms - b_ms >= repeat_ms)


def test_mark_is_near_mid_index_near_mark_and_limits_around_it(minutes):
    stood = {}
    for push, middle in minutes[1]:
        if push.channel == "mark-price":
            stood[push.inst_id] = float(push.row["markPx"])
            assert abs(stood[push.inst_id] / middle - 1) < 0.002
        elif push.inst_id in stood and push.channel == "index-tickers":
            assert abs(float(push.row["idxPx"]) / stood[push.inst_id] - 1) < 0.001
        elif push.inst_id in stood and push.channel == "price-limit":
            assert float(push.row["sellLmt"]) < stood[push.inst_id] < float(push.row["buyLmt"])


def test_prices_are_on_the_tick_with_all_their_decimals(minutes):
    for row in rows(minutes, "mark-price"):
        assert Decimal(row["markPx"]) % Decimal("0.1") == 0
        assert len(row["markPx"].partition(".")[2]) == 1


@pytest.mark.parametrize("inst_id", NAMES)
def test_the_three_sums_of_open_interest_fit_each_other(minutes, inst_id):
    row = instrument_row(inst_id)
    marks = dict(zip(times(minutes, "mark-price", inst_id), rows(minutes, "mark-price", inst_id), strict=True))
    for push in rows(minutes, "open-interest", inst_id):
        price = float(next(mark["markPx"] for ts, mark in reversed(marks.items()) if ts <= int(push["ts"])))
        contracts, coin, usd = (float(push[key]) for key in ("oi", "oiCcy", "oiUsd"))
        value = contracts * float(row["ctVal"])
        assert (usd if row["ctType"] == "inverse" else coin) == pytest.approx(value)
        assert usd == pytest.approx(coin * price, rel=1e-3)


def test_funding_settles_every_eight_hours_and_names_the_settlement_before(minutes):
    for row in rows(minutes, "funding-rate"):
        before, coming, after = (int(row[key]) for key in ("prevFundingTime", "fundingTime", "nextFundingTime"))
        assert coming % 28_800_000 == 0
        assert (coming - before, after - coming) == (28_800_000, 28_800_000)
        assert before <= int(row["ts"]) < coming
        assert row["nextFundingRate"] == ""
        assert -0.00375 <= float(row["fundingRate"]) <= 0.00375


def test_liquidations_are_of_all_swaps_and_sell_what_was_long(minutes):
    found = [push.row for push, _ in minutes[1] if push.channel == "liquidation-orders"]

    assert {row["instId"] for row in found} == set(NAMES)
    sides = {(row["details"][0]["side"], row["details"][0]["posSide"]) for row in found}
    assert sides == {("sell", "long"), ("buy", "short")}


def test_the_same_seed_gives_the_same_values_and_an_instruments_do_not_depend_on_others():
    def of_btc(pushes):
        return [push for push, _ in pushes if push.inst_id == BTC and push.channel in VALUES]

    first, again, other = played(3, 1)[1], played(3, 1)[1], played(4, 1)[1]

    assert first == again
    assert of_btc(first) == of_btc(played(3, 1, (BTC,))[1])
    assert of_btc(first) != of_btc(other)


def test_a_leap_of_the_timeline_is_not_filled():
    exchange = Exchange([BTC], {BTC: instrument_row(BTC)})
    for tick in islice(Market([BTC], 1, START_MS).ticks(), 1):
        exchange.apply(tick.change)
    exchange.context.pass_time(START_MS)
    pushes = exchange.context.pass_time(START_MS + 86_400_000)

    assert 0 < len(pushes) < 1000
    assert min(push.ts_ms for push in pushes) >= START_MS + 86_400_000 - 60_000


def test_an_instrument_without_a_book_or_a_row_has_no_values():
    exchange = Exchange([BTC, "BTC-USDT"], {BTC: instrument_row(BTC)})

    assert {push.channel for push in exchange.context.pass_time(START_MS + 60_000)} <= set()
    assert exchange.context.names["mark-price"] == {BTC}
    assert isinstance(exchange.context, ContextMarket)


# --- on a connection


def asked(stage_peer, op, *args, **more):
    return [json.loads(frame.text) for frame in stage_peer.receive(json.dumps({"op": op, "args": args} | more), 0)]


@pytest.fixture
def stage(clock):
    stage = Stage(clock, "", timeline(50, BTC, ETH))
    stage.exchange.context.pass_time(START_MS)
    return stage


def test_a_subscription_is_acknowledged_and_given_the_value_that_stands(stage):
    peer = stage.enter().peer
    ack, value = asked(peer, "subscribe", {"channel": "mark-price", "instId": BTC}, id="a1")

    assert ack == {
        "id": "a1",
        "event": "subscribe",
        "arg": {"channel": "mark-price", "instId": BTC},
        "connId": "00000001",
    }
    assert value["arg"] == ack["arg"]
    assert value["data"][0]["markPx"] == "100.0"
    assert [reply["event"] for reply in asked(peer, "subscribe", {"channel": "mark-price", "instId": BTC})] == [
        "subscribe"
    ]
    assert peer.subscriptions == 1


def test_the_index_is_asked_for_by_its_own_name(stage):
    peer = stage.enter().peer

    assert asked(peer, "subscribe", {"channel": "index-tickers", "instId": BTC})[0]["code"] == "60018"
    ack, value = asked(peer, "subscribe", {"channel": "index-tickers", "instId": "BTC-USDT"})
    assert (ack["event"], value["data"][0]["instId"]) == ("subscribe", "BTC-USDT")


def test_liquidations_take_the_type_alone_and_drop_the_rest_from_the_ack(stage):
    peer = stage.enter().peer

    assert asked(peer, "subscribe", {"channel": "liquidation-orders", "instId": BTC})[0]["code"] == "60018"
    (ack,) = asked(peer, "subscribe", {"channel": "liquidation-orders", "instType": "SWAP", "instId": BTC})
    assert ack["arg"] == {"channel": "liquidation-orders", "instType": "SWAP"}


def test_status_takes_no_name_and_instruments_gives_the_whole_list_first(stage):
    peer = stage.enter().peer

    (ack,) = asked(peer, "subscribe", {"channel": "status"})
    assert ack["arg"] == {"channel": "status"}
    ack, full = asked(peer, "subscribe", {"channel": "instruments", "instType": "SWAP"})
    assert ack["arg"] == full["arg"] == {"channel": "instruments", "instType": "SWAP"}
    assert [row["instId"] for row in full["data"]] == [BTC, ETH]


@pytest.mark.parametrize("channel", ["mark-price", "funding-rate", "open-interest", "price-limit"])
def test_an_instrument_that_is_not_listed_is_refused_and_unsubscribing_ends_it(stage, channel):
    peer = stage.enter().peer

    assert asked(peer, "subscribe", {"channel": channel, "instId": "NONE-USDT-SWAP"})[0]["code"] == "60018"
    asked(peer, "subscribe", {"channel": channel, "instId": BTC})
    assert peer.takes_context(channel, BTC)
    asked(peer, "unsubscribe", {"channel": channel, "instId": BTC})
    assert not peer.takes_context(channel, BTC)
    assert not peer.has_context


ALL_ARGS = [
    *({"channel": channel, "instId": BTC} for channel in VALUES if channel != "index-tickers"),
    {"channel": "index-tickers", "instId": "BTC-USDT"},
    {"channel": "liquidation-orders", "instType": "SWAP"},
    {"channel": "instruments", "instType": "SWAP"},
    {"channel": "status"},
]


async def watched(clock, spec, updates=600):
    """What a client that takes every channel of BTC was sent by a timeline with these faults."""
    stage = Stage(clock, spec, timeline(updates, BTC))
    viewer = stage.enter()
    for frame in viewer.peer.receive(json.dumps({"op": "subscribe", "args": ALL_ARGS}), 0):
        viewer.emit(frame)
    stage.playback.note_audience()
    await stage.play()
    return [text for text in viewer.texts if '"event"' not in text]


def of(texts, channel):
    return [text for text in texts if f'"channel":"{channel}"' in text]


async def test_every_channel_flows_between_the_books(clock):
    texts = await watched(clock, "")

    assert {channel for channel in CHANNELS if of(texts, channel)} >= set(VALUES) | {"instruments"}
    assert len(of(texts, "mark-price")) > 5  # a flat minute: one each 10 s


async def test_while_no_book_changes_values_are_still_sent_in_time(clock):
    stage = Stage(clock, "", timeline(1))
    viewer = stage.enter()
    for frame in viewer.peer.receive(json.dumps({"op": "subscribe", "args": ALL_ARGS[:1]}), 0):
        viewer.emit(frame)
    assert stage.playback._next_ms(START_MS + 500) == START_MS + 100
    assert stage.playback._next_ms(START_MS + 99) is None


async def test_books_are_the_same_whoever_takes_the_context(clock):
    alone = await rehearse(clock, "", timeline(200, BTC))
    stage = Stage(clock, "", timeline(200, BTC))
    viewer = stage.enter(BTC)
    for frame in viewer.peer.receive(json.dumps({"op": "subscribe", "args": ALL_ARGS}), 0):
        viewer.emit(frame)
    await stage.play()

    assert of(viewer.texts, "books") == of(alone.viewers[0].texts, "books")


async def test_a_dropped_push_does_not_arrive_and_only_its_channel_is_struck(clock):
    clean = await watched(clock, "")
    struck = await watched(clock, "context-drop:channel=open-interest,push=2,k=3")

    assert len(of(clean, "open-interest")) - len(of(struck, "open-interest")) == 3
    assert of(clean, "mark-price") == of(struck, "mark-price")


async def test_a_channel_may_be_silent_for_a_time(clock):
    struck = await watched(clock, "context-drop:channel=mark-price,at=10s,for=20s")

    sent = [int(json.loads(text)["data"][0]["ts"]) - START_MS for text in of(struck, "mark-price")]
    assert [ts for ts in sent if 10_000 <= ts < 29_900] == []
    assert any(ts < 10_000 for ts in sent)
    assert any(ts >= 30_000 for ts in sent)


async def test_a_push_may_come_twice_be_no_json_or_have_another_time(clock):
    twice = await watched(clock, "context-duplicate:channel=open-interest,push=3,copies=2")
    assert len(of(twice, "open-interest")) == 2 + len(of(await watched(clock, ""), "open-interest"))

    (cut,) = [
        text
        for text in await watched(clock, "context-corrupt:channel=open-interest,how=flip,push=2")
        if "open-interest" in text and not isinstance(decode_context(text.encode()), ContextPush)
    ]
    assert cut

    ahead = await watched(clock, "context-ts:channel=open-interest,how=ahead,by=1h,push=2")
    stamps = [int(json.loads(text)["data"][0]["ts"]) for text in of(ahead, "open-interest")]
    assert max(stamps) - sorted(stamps)[-2] > 3_000_000


async def test_a_fault_of_one_instrument_leaves_the_others(clock):
    struck = await watched(clock, f"context-drop:inst={ETH}")

    assert of(struck, "mark-price") == of(await watched(clock, ""), "mark-price")
    assert of(await watched(clock, f"context-drop:inst={BTC},channel=index-tickers"), "index-tickers")[1:] == []


async def test_a_maintenance_is_announced_goes_on_and_ends(clock):
    texts = of(await watched(clock, "maintenance:at=5s,notice=10s,lasts=20s"), "status")
    found = [decode_context(text.encode()) for text in texts]
    statuses = [push.items[0] for push in found if isinstance(push, ContextPush)]

    assert all(isinstance(status, Status) for status in statuses)
    assert [status.state for status in statuses] == ["scheduled", "ongoing", "completed"]
    assert {(status.begin_ms, status.end_ms) for status in statuses} == {(START_MS + 15_000, START_MS + 35_000)}
    assert [status.ts_ms - START_MS for status in statuses] == [5_000, 15_000, 35_000]
    keys = "title state begin end href preOpenBegin scheDesc serviceType system maintType env ts"
    assert " ".join(statuses[0].row) == keys


async def test_a_maintenance_may_be_canceled(clock):
    texts = of(await watched(clock, "maintenance:at=5s,notice=10s,end=canceled,service=5"), "status")

    assert [json.loads(text)["data"][0]["state"] for text in texts] == ["scheduled", "canceled"]
    assert json.loads(texts[0])["data"][0]["serviceType"] == "5"


async def test_only_the_row_that_changed_is_pushed(clock):
    full, announced, changed = of(await watched(clock, "tick-size:at=5s,notice=10s,tick=0.5"), "instruments")

    assert [row["instId"] for row in json.loads(full)["data"]] == [BTC]
    (row,) = json.loads(announced)["data"]
    assert row["upcChg"] == [{"param": "tickSz", "newValue": "0.5", "effTime": str(START_MS + 15_000)}]
    (row,) = json.loads(changed)["data"]
    assert (row["tickSz"], row["upcChg"]) == ("0.5", [])
    assert list(row) == list(instrument_row(BTC))


# --- REST


def rest(exchange, target):
    reply = answer(exchange, target, START_MS)
    return reply.status, json.loads(reply.body)


@pytest.mark.parametrize(
    ("target", "channel", "name"),
    [
        (f"/api/v5/public/mark-price?instType=SWAP&instId={BTC}", "mark-price", BTC),
        (f"/api/v5/public/funding-rate?instId={BTC}", "funding-rate", BTC),
        (f"/api/v5/public/open-interest?instType=SWAP&instId={BTC}", "open-interest", BTC),
        (f"/api/v5/public/price-limit?instId={BTC}", "price-limit", BTC),
        ("/api/v5/market/index-tickers?instId=BTC-USDT", "index-tickers", "BTC-USDT"),
    ],
)
def test_rest_has_the_row_that_the_channel_sent_last(minutes, target, channel, name):
    exchange, pushes = minutes
    newest = [push for push, _ in pushes if (push.channel, push.name) == (channel, name)][-1]

    status, body = rest(exchange, target)

    assert (status, body["code"], body["data"]) == (200, "0", [newest.row])


def test_rest_gives_all_where_okx_does_and_refuses_what_it_refuses(minutes):
    exchange, _ = minutes

    assert len(rest(exchange, "/api/v5/public/mark-price?instType=SWAP")[1]["data"]) == len(NAMES)
    assert len(rest(exchange, "/api/v5/public/funding-rate?instId=ANY")[1]["data"]) == len(NAMES)
    assert rest(exchange, "/api/v5/public/mark-price")[1]["code"] == "51000"
    assert rest(exchange, "/api/v5/public/funding-rate")[1]["code"] == "51000"
    assert rest(exchange, "/api/v5/public/price-limit?instId=NONE-USDT-SWAP")[1]["code"] == "51001"


async def test_rest_names_the_maintenance_without_its_ts(clock):
    stage = await rehearse(clock, "maintenance:at=1s,notice=10s", timeline(50, BTC))

    status, body = rest(stage.exchange, "/api/v5/system/status")
    assert (status, body["data"][0]["state"], "ts" in body["data"][0]) == (200, "scheduled", False)
    assert rest(stage.exchange, "/api/v5/system/status?state=ongoing")[1]["data"] == []
