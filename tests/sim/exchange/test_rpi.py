"""REST `books-rpi` of the built-in exchange: the book of the moment, and what RPI orders add to it."""

import json

import msgspec
import pytest

from l2vault.book.price import price_key
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.rpi import MarketRpi
from l2vault.sim.server.rest import answer
from support.rehearsal import BTC, ETH, START_MS

TARGET = f"/api/v5/market/books-rpi?instId={BTC}"
SIDES = ("bids", "asks")


def market(rpi_seed: int | None = 3, *inst_ids: str):
    """An exchange, and a function that lets its market go on to a time of the book."""
    names = list(inst_ids or (BTC,))
    rpi = None if rpi_seed is None else MarketRpi(rpi_seed)
    exchange = Exchange(names, {name: instrument_row(name) for name in names}, 3, rpi=rpi)
    ticks = Market(names, 3, START_MS).ticks()

    def go_on(until_ms: int, is_watching: bool = False) -> list:
        """Those of the trades of source 1 on the way, if it is watching, each with the RPI book before it."""
        found = []
        while exchange.book(names[0]) is None or exchange.book(names[0]).ts_ms < until_ms:
            change = next(ticks).change
            before = exchange.book(change.inst_id)
            for trade in exchange.trades.follow(change, before):
                if is_watching and trade.source == "1":
                    found.append((trade, exchange.rpi_row(change.inst_id, 400)))
            exchange.apply(change)
        return found

    go_on(START_MS)
    return exchange, go_on


def row_of(exchange: Exchange, depth: int = 400) -> dict:
    reply = answer(exchange, f"{TARGET}&sz={depth}", 0)
    assert reply.status == 200
    (row,) = json.loads(reply.body)["data"]
    return row


def test_it_is_the_book_of_the_moment_with_more_at_and_near_the_touch():
    exchange, go_on = market()
    only_rpi = 0
    for second in range(1, 40):
        go_on(START_MS + 1_000 * second)
        row, book = row_of(exchange), exchange.book(BTC)
        assert list(row) == ["asks", "bids", "ts", "seqId"]
        assert (row["ts"], row["seqId"]) == (str(book.ts_ms), book.seq_id)
        for name, organic in zip(SIDES, book.top(400), strict=True):
            levels = row[name]
            keys = [price_key(price) for price, _, _, _ in levels]
            assert len(levels) == 400 and keys == sorted(set(keys), reverse=name == "bids")
            own = [(price, quantity, orders) for price, quantity, _, orders in organic]
            parts = {price: (total, rest, orders) for price, total, rest, orders in levels}
            kept = [(price, quantity) for price, quantity, _ in own if price in parts]
            assert kept == [(price, rest) for price, _, rest, _ in levels if rest != "0"]
            assert kept == [(price, quantity) for price, quantity, _ in own[: len(kept)]], "only the far end is cut off"
            for price, quantity, orders in own[: len(kept)]:
                total, _, count = parts[price]
                more = price_key(total) - price_key(quantity)
                assert more >= 0 and (int(count) > int(orders)) == (more > 0)
            assert levels[0][0] == own[0][0] and price_key(levels[0][1]) > price_key(levels[0][2]) > 0
            only_rpi += sum(rest == "0" for _, _, rest, _ in levels)
            assert all(total == rest for _, total, rest, _ in levels[30:]), "only near the touch"
        assert price_key(row["bids"][0][0]) < price_key(row["asks"][0][0])
    assert only_rpi > 0, "some levels are of RPI orders alone"


def test_a_trade_of_source_1_fills_against_what_was_there():
    exchange, go_on = market()
    found = go_on(START_MS + 180_000, is_watching=True)
    assert len(found) > 10
    for trade, row in found:
        levels = row.asks if trade.side == "buy" else row.bids
        price, total, rest, _ = levels[0]
        assert trade.px == price
        assert price_key(trade.sz) <= price_key(total) - price_key(rest)


def test_at_the_touch_is_as_much_as_any_trade_of_source_1_may_take():
    """Such a trade takes up to 20 units of the last digit of the quantity at the touch: 20,000 of 5000."""
    ((price, total, rest, orders), *_) = MarketRpi(3).side(BTC, [("60000", "5000", "0", "3")], True, START_MS)
    assert (price, rest) == ("60000", "5000") and int(total) == 25_000 and int(orders) > 3


def test_it_is_renewed_each_200_ms_and_the_same_for_whoever_asks():
    one, go_on = market()
    other, follow = market()
    first = row_of(one)
    assert row_of(one) == first == row_of(other)
    for ms in (150, 400, 3_000):
        go_on(START_MS + ms)
        follow(START_MS + ms)
        made_ms = int(row_of(one)["ts"])
        assert one.book(BTC).ts_ms - made_ms < 200
        assert row_of(other) == row_of(one)
    assert int(first["ts"]) < made_ms
    assert row_of(one, 7)["bids"] == row_of(one)["bids"][:7]
    stranger, _ = market(4)
    assert row_of(stranger)["bids"] != first["bids"], "another seed, other orders"


def test_asking_for_it_changes_nothing_of_the_books():
    asked, go_on = market()
    left, follow = market()
    for second in range(5):
        go_on(START_MS + second * 1_000)
        row_of(asked)
        follow(START_MS + second * 1_000)
    assert asked.book(BTC).top(400) == left.book(BTC).top(400)
    assert asked.books_row(BTC, 400) == left.books_row(BTC, 400)


def test_without_rpi_orders_both_quantities_are_the_same():
    exchange, _ = market(None)
    row = row_of(exchange)
    for name, organic in zip(SIDES, exchange.book(BTC).top(400), strict=True):
        assert row[name] == [[price, quantity, quantity, orders] for price, quantity, _, orders in organic]


def test_a_forgotten_book_has_none_and_another_instrument_its_own():
    exchange, go_on = market(3, BTC, ETH)
    go_on(START_MS + 2_000)
    row = row_of(exchange)
    full = exchange.full_book(BTC)
    exchange.forget(BTC)
    assert json.loads(answer(exchange, TARGET, 0).body) == {"code": "0", "data": [], "msg": ""}
    (other,) = json.loads(answer(exchange, TARGET.replace(BTC, ETH), 0).body)["data"]
    assert other["bids"][0][0] != row["bids"][0][0]
    exchange.apply(msgspec.structs.replace(full, bids=full.bids[5:]))
    assert row_of(exchange)["bids"][0][0] == full.bids[5][0] != row["bids"][0][0], "not the one before it was forgotten"
    assert json.loads(answer(exchange, TARGET.replace(BTC, "X-USDT-SWAP"), 0).body)["code"] == "51001"


@pytest.mark.parametrize("sz", ["0", "401", "5000", "x"])
def test_it_has_400_levels_at_most(sz):
    exchange, _ = market()
    assert answer(exchange, f"{TARGET}&sz={sz}", 0).status == 400
