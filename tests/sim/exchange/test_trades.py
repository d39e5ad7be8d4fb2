"""The channel `trades` of the built-in exchange, and REST's twin of it."""

import json
from itertools import islice, pairwise

import pytest

from l2vault.book.book import Book
from l2vault.book.price import price_key
from l2vault.errors import UsageError
from l2vault.okx.messages import Traded, decode
from l2vault.sim.exchange.books import Exchange, TradeTick, encode_push
from l2vault.sim.exchange.captures import read_captures, survey
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.trades import Trades, encode_trade
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.rest import answer
from support.captured import write_frames
from support.rehearsal import BTC, ETH, START_MS, Stage, timeline
from support.wire import trade as trade_frame

UPDATES = 3000


def market_ticks(count, *inst_ids, seed=1):
    return list(islice(Market(inst_ids or (BTC,), seed, START_MS).ticks(), count))


@pytest.fixture(scope="module")
def minutes():
    """Five minutes of a market: each update with the book before it and the trades of its interval."""
    trades, book, played = Trades(seed=3), Book(), []
    for tick in market_ticks(UPDATES):
        found = trades.follow(tick.change, book.copy() if book.seq_id is not None else None)
        if not tick.change.is_snapshot:
            played.append((book.copy(), tick.change, found))
        book.apply(tick.change)
    return played, trades


def all_trades(minutes):
    return [trade for _, _, trades in minutes[0] for trade in trades]


def test_a_push_has_the_keys_of_the_wire_in_order_and_only_seq_id_is_a_number(minutes):
    trade = all_trades(minutes)[0]
    push = json.loads(encode_trade(trade))

    assert list(push) == ["arg", "data"]
    assert push["arg"] == {"channel": "trades", "instId": BTC}
    (data,) = push["data"]
    assert list(data) == ["instId", "tradeId", "px", "sz", "side", "ts", "count", "source", "seqId"]
    assert data.pop("seqId") == trade.seq_id
    assert all(isinstance(value, str) for value in data.values())
    assert encode_trade(trade).count(" ") == 0


def test_a_feed_without_sequence_numbers_has_trades_without_them(minutes):
    trade = all_trades(minutes)[0]._replace(seq_id=None)

    assert "seqId" not in json.loads(encode_trade(trade))["data"][0]


def test_ids_are_the_last_of_each_group_and_have_no_gap(minutes):
    trades = all_trades(minutes)

    assert len(trades) > 300
    assert all(after.trade_id - after.matches == before.trade_id for before, after in pairwise(trades))
    assert any(trade.matches > 1 for trade in trades)


def test_a_trade_stands_between_the_two_books_in_number_and_time(minutes):
    for book, change, trades in minutes[0]:
        for trade in trades:
            assert book.seq_id < trade.seq_id <= change.seq_id
            assert book.ts_ms < trade.ts_ms <= change.ts_ms
        assert [trade.seq_id for trade in trades] == sorted(trade.seq_id for trade in trades)


def test_an_ordinary_trade_explains_what_the_push_takes_from_the_touch_and_no_more(minutes):
    seen = 0
    for book, change, trades in minutes[0]:
        bids, asks = book.top(400)
        held = {"buy": {level[0]: level[1] for level in asks}, "sell": {level[0]: level[1] for level in bids}}
        left = {"buy": {level[0]: level[1] for level in change.asks}, "sell": {x[0]: x[1] for x in change.bids}}
        for side in ("buy", "sell"):
            taken = [trade for trade in trades if trade.side == side and trade.source == "0"]
            best_first = list(held[side])[: len(taken)]
            assert [trade.px for trade in taken] == best_first  # from the touch on, without leaving one out
            for trade in taken:
                lost = price_key(held[side][trade.px]) - price_key(left[side][trade.px])
                assert price_key(trade.sz) == lost > 0
                seen += 1
    assert seen > 300


def test_a_few_trades_are_against_rpi_orders_at_the_touch(minutes):
    sources = [trade.source for trade in all_trades(minutes)]

    assert set(sources) == {"0", "1"}
    assert 0.01 < sources.count("1") / len(minutes[0]) < 0.03


def test_the_same_seed_makes_the_same_trades_whoever_else_is_traded():
    def run(*inst_ids, seed=3):
        trades, books, found = Trades(seed), {}, []
        for tick in market_ticks(600 * len(inst_ids), *inst_ids):
            found += trades.follow(tick.change, books.get(tick.change.inst_id))
            books.setdefault(tick.change.inst_id, Book()).apply(tick.change)
        return [trade for trade in found if trade.inst_id == BTC]

    alone, with_another = run(BTC), run(BTC, ETH)
    assert alone[:100] == with_another[:100]
    assert run(BTC, seed=4)[:100] != alone[:100]


def test_rest_gives_single_matches_newest_first_that_add_up_to_the_groups(minutes):
    _, trades = minutes
    groups = all_trades(minutes)
    rows = list(trades.rows(BTC))

    ids = [int(row.tradeId) for row in rows]
    assert ids == list(range(groups[-1].trade_id, groups[-1].trade_id - len(rows), -1))
    sizes = {}
    for row in rows:
        sizes.setdefault((row.px, row.ts, row.side, row.source), []).append(price_key(row.sz))
    last = groups[-1]
    expected = sum(
        price_key(group.sz)
        for group in groups
        if (group.px, str(group.ts_ms), group.side, group.source) == (last.px, str(last.ts_ms), last.side, last.source)
    )
    assert sum(sizes[last.px, str(last.ts_ms), last.side, last.source]) == expected
    assert all(size > 0 for each in sizes.values() for size in each)


@pytest.fixture
def traded():
    """An exchange after a while of trading."""
    exchange = Exchange([BTC, ETH], {inst_id: instrument_row(inst_id) for inst_id in (BTC, ETH)}, seed=3)
    for tick in market_ticks(2500):
        exchange.trades.follow(tick.change, exchange.book(BTC))
        exchange.apply(tick.change)
    return exchange


def rows_of(exchange, target):
    answered = answer(exchange, target, 0)
    assert answered.status == 200
    return json.loads(answered.body)["data"]


def test_rest_has_a_hundred_trades_unless_asked_and_five_hundred_at_most(traded):
    target = f"/api/v5/market/trades?instId={BTC}"
    assert len(rows_of(traded, target)) == 100
    assert len(rows_of(traded, f"{target}&limit=500")) == 500
    assert answer(traded, f"{target}&limit=501", 0).status == 400
    assert list(rows_of(traded, target)[0]) == ["instId", "side", "sz", "source", "px", "tradeId", "ts"]
    assert rows_of(traded, f"/api/v5/market/trades?instId={ETH}") == []
    assert json.loads(answer(traded, "/api/v5/market/trades?instId=XX-USDT-SWAP", 0).body)["code"] == "51001"


def test_the_history_is_paged_by_trade_id_with_exclusive_bounds(traded):
    target = f"/api/v5/market/history-trades?instId={BTC}"
    newest = [int(row["tradeId"]) for row in rows_of(traded, target)]
    page = [int(row["tradeId"]) for row in rows_of(traded, f"{target}&after={newest[9]}&limit=5")]
    newer = [int(row["tradeId"]) for row in rows_of(traded, f"{target}&before={newest[3]}")]

    assert page == newest[10:15]
    assert newer == newest[:3]
    for wrong in ("limit=101", "after=x", "type=2"):
        assert answer(traded, f"{target}&{wrong}", 0).status == 400


def trade_ids(viewer):
    pushes = [json.loads(text) for text in viewer.texts]
    return [int(push["data"][0]["tradeId"]) for push in pushes if "data" in push and push["arg"]["channel"] == "trades"]


async def play(clock, spec, ticks, *channels):
    """The viewers, one for each tuple of channels, after the timeline was played."""
    stage = Stage(clock, spec, ticks)
    viewers = [stage.enter() for _ in channels]
    for viewer, taken in zip(viewers, channels, strict=True):
        for channel in taken:
            viewer.say("subscribe", BTC, channel=channel)
    await stage.play()
    return viewers


async def test_books_are_the_same_bytes_with_and_without_trades(clock):
    ticks = market_ticks(400)
    (alone,) = await play(clock, None, ticks, ("books",))
    both, only_trades = await play(clock, None, ticks, ("books", "trades"), ("trades",))

    def books(viewer):
        return [text for text in viewer.texts if '"channel":"books"' in text and '"data"' in text]

    assert len(books(alone)) == 400
    assert books(both) == books(alone)
    assert books(only_trades) == []
    assert trade_ids(both) == trade_ids(only_trades) != []
    assert trade_ids(alone) == []


async def test_a_trade_is_sent_between_the_books_it_stands_between(clock):
    (viewer,) = await play(clock, None, market_ticks(400), ("books", "trades"))

    last_book, waiting, placed = 0, [], []
    for text in viewer.texts:
        push = json.loads(text)
        if "data" not in push:
            continue
        (data,) = push["data"]
        if push["arg"]["channel"] == "books":
            assert all(last_book < trade["seqId"] <= data["seqId"] for trade in waiting)
            last_book, waiting = data["seqId"], []
        else:
            waiting.append(data)
            placed.append(data["source"])
    assert placed.count("0") > 50


async def test_a_dropped_trade_is_missing_on_the_connections_it_concerns(clock):
    first, second = await play(clock, "trade-drop:push=5,k=2,conn=first", market_ticks(400), ("trades",), ("trades",))

    assert trade_ids(first) == trade_ids(second)[:4] + trade_ids(second)[6:]


async def test_a_duplicated_trade_comes_again_and_the_books_do_not_notice(clock):
    (viewer,) = await play(clock, "trade-duplicate:push=5,copies=2", market_ticks(400), ("books", "trades"))

    ids = trade_ids(viewer)
    assert ids.count(ids[4]) == 3
    assert len(set(ids)) == len(ids) - 2
    assert viewer.breaks() == []


PUSH_FAULTS = {
    "drop:channel=trades,push=5,k=2": lambda ids: ids[:4] + ids[6:],
    "duplicate:channel=trades,push=5": lambda ids: ids[:5] + ids[4:],
    "reorder:channel=trades,push=5": lambda ids: [*ids[:4], ids[5], ids[4], *ids[6:]],
    "corrupt:channel=trades,push=5,how=cut": lambda ids: ids[:4] + ids[5:],
    "corrupt:channel=trades,push=5,how=flip": lambda ids: ids[:4] + ids[5:],
    "unknown-field:channel=trades,push=5": lambda ids: ids,
    "missing:channel=trades,push=5,field=px": lambda ids: ids[:4] + ids[5:],
}


def readable_ids(viewer):
    messages = [decode(text.encode()) for text in viewer.texts]
    return [push.last_id for message in messages if isinstance(message, Traded) for push in message.pushes]


@pytest.mark.parametrize("spec", PUSH_FAULTS)
async def test_a_fault_of_pushes_strikes_the_channel_that_it_names(clock, spec):
    ticks = market_ticks(400)
    (clean,) = await play(clock, None, ticks, ("books", "trades"))
    first, second = await play(clock, f"{spec},conn=first", ticks, ("books", "trades"), ("trades",))

    assert readable_ids(first) == PUSH_FAULTS[spec](readable_ids(clean))
    assert readable_ids(second) == readable_ids(clean)
    assert [push.seq_id for push in first.pushes] == [push.seq_id for push in clean.pushes]


async def test_a_fault_of_both_channels_counts_each_apart(clock):
    ticks = market_ticks(400)
    (clean,) = await play(clock, None, ticks, ("books", "trades"))
    (struck,) = await play(clock, "drop:channel=both,push=5", ticks, ("books", "trades"))

    assert readable_ids(struck) == readable_ids(clean)[:4] + readable_ids(clean)[5:]
    assert len(struck.pushes) == len(clean.pushes) - 1


async def test_a_stalled_connection_keeps_its_trades_back_and_then_sends_them_in_order(clock):
    ticks = market_ticks(400)
    (clean,) = await play(clock, None, ticks, ("books", "trades"))
    (stalled,) = await play(clock, "stall:at=5s,for=20s", ticks, ("books", "trades"))

    assert readable_ids(stalled) == readable_ids(clean)


async def test_two_connections_may_sum_up_an_order_differently(clock):
    split, whole = await play(
        clock, "trade-split:push=1,for=1h,conn=first", market_ticks(2000), ("trades",), ("trades",)
    )

    def pushes(viewer):
        messages = [decode(text.encode()) for text in viewer.texts]
        return [push for message in messages if isinstance(message, Traded) for push in message.pushes]

    parts = {push.last_id: push for push in pushes(split)}
    seen = 0
    for push in pushes(whole):
        before = parts.get(push.first_id)
        if push.first_id == push.last_id:
            assert parts[push.last_id] == push
            continue
        seen += 1
        after = parts[push.last_id]
        assert (before.first_id, before.last_id, after.first_id) == (push.first_id, push.first_id, push.first_id + 1)
        assert price_key(before.sz) + price_key(after.sz) == price_key(push.sz)
    assert seen > 20


def test_frames_of_trades_are_not_counted():
    with pytest.raises(UsageError, match="counts frames of books"):
        parse_faults("drop:channel=trades,frame=5")


def test_the_truth_is_every_trade_in_order_whoever_takes_it(traded):
    trades, seen, book = Trades(3), [], Book()
    trades.watch(seen.append)
    made = []
    for tick in market_ticks(600):
        made += trades.follow(tick.change, book if book.seq_id is not None else None)
        book.apply(tick.change)
    assert seen == made != []


def test_a_page_deep_in_the_past_is_the_same_as_one_by_one(traded):
    every = list(traded.trades.rows(BTC))
    for at in range(0, len(every) - 5, 37):
        bound = int(every[at].tradeId)
        assert traded.trades.page(BTC, 4, bound, None) == every[at + 1 : at + 5]


def recorded(inst_id, trade_id):
    return json.loads(trade_frame(inst_id, trade_id, START_MS + 50, 2, 7))


async def test_trades_of_a_capture_are_sent_as_recorded_and_answered_by_rest(tmp_path):
    books = [json.loads(encode_push(tick.change)) for tick in timeline(3)]
    path = write_frames(tmp_path / "x.jsonl", [books[0], recorded(BTC, 41), books[1], recorded(BTC, 43), *books[2:]])
    assert survey([path]) == ([BTC], frozenset({BTC}))
    ticks = list(read_captures([path], verbatim=True))
    assert [type(tick).__name__ for tick in ticks] == ["Tick", "TradeTick", "Tick", "TradeTick", "Tick", "Tick"]
    exchange = Exchange([BTC], {}, recorded=frozenset({BTC}))
    for tick in ticks:
        if isinstance(tick, TradeTick):
            assert tick.frame == encode_trade(tick.trade)
            exchange.trades.note(tick.trade)
        else:
            assert exchange.trades.follow(tick.change, exchange.book(BTC)) == []
            exchange.apply(tick.change)
    assert [row.tradeId for row in exchange.trades.rows(BTC)] == ["43", "42", "41", "40"]


async def test_faults_of_the_books_leave_the_trades_alone(clock):
    ticks = market_ticks(400)
    (clean,) = await play(clock, None, ticks, ("books", "trades"))
    (struck,) = await play(clock, "drop:p=0.3;duplicate:p=0.3;no-book:at=20s", ticks, ("books", "trades"))

    assert trade_ids(struck) == trade_ids(clean)


async def test_after_unsubscribing_no_trade_comes(clock):
    stage = Stage(clock, None, market_ticks(400))
    viewer = stage.enter(BTC)
    viewer.say("subscribe", BTC, channel="trades")
    (ack,) = viewer.say("unsubscribe", BTC, channel="trades")
    await stage.play()

    assert json.loads(ack.text)["event"] == "unsubscribe"
    assert trade_ids(viewer) == []
    assert viewer.peer.subscriptions == 1


def test_a_timeline_without_losses_at_the_touch_has_no_ordinary_trades():
    trades, book = Trades(), Book()
    for tick in timeline(30):
        found = trades.follow(tick.change, book if book.seq_id is not None else None)
        assert all(trade.source == "1" for trade in found)
        book.apply(tick.change)


def test_numbers_that_are_none_make_no_trades_and_no_error():
    (full, update, *_) = [tick.change for tick in timeline(2)]
    book = Book()
    book.apply(full)
    damaged = type(update)(BTC, False, [], [("100.5", "x", "0", "1")], update.ts_ms, update.seq_id, full.seq_id, 0)

    assert Trades().follow(damaged, book) == []


def test_matches_are_whole_lots(minutes):
    lot = price_key(str(instrument_row(BTC)["lotSz"]))

    assert all(price_key(row.sz) % lot == 0 for row in minutes[1].rows(BTC))
