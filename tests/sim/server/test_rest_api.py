import json

import pytest

from l2vault.book.change import BookChange
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.deep import MarketTails
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.server.rest import answer

BTC, ETH, SPOT = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USDT"
NO_INSTRUMENT = '{"code":"51001","data":[],"msg":"Instrument ID, Instrument ID code, or Spread ID doesn\'t exist."}'


@pytest.fixture
def exchange():
    """Two swaps with a row, of which BTC has a book, and a spot pair that has neither."""
    one = Exchange([BTC, ETH, SPOT], {inst_id: instrument_row(inst_id) for inst_id in (BTC, ETH)})
    bids = [(str(50_000 - rank), "1", "0", "1") for rank in range(400)]
    asks = [("50001", "2.5", "0", "3"), ("50002", "4", "0", "1")]
    one.apply(BookChange(BTC, True, bids, asks, 1_700_000_000_123, 40144272512, -1, 0))
    return one


def data(answered):
    assert answered.status == 200
    body = json.loads(answered.body)
    assert list(body) == ["code", "data", "msg"]
    assert (body["code"], body["msg"]) == ("0", "")
    return body["data"]


def test_the_time_is_that_of_the_wall(exchange):
    answered = answer(exchange, "/api/v5/public/time", 1597026383085)

    assert answered == (200, '{"code":"0","data":[{"ts":"1597026383085"}],"msg":""}')


def test_a_book_is_one_level_deep_unless_asked_for_more(exchange):
    answered = answer(exchange, f"/api/v5/market/books?instId={BTC}", 0)

    assert answered == (
        200,
        '{"code":"0","data":[{"asks":[["50001","2.5","0","3"]],"bids":[["50000","1","0","1"]],'
        '"ts":"1700000000123","seqId":40144272512}],"msg":""}',
    )


@pytest.mark.parametrize(("depth", "bids", "asks"), [("1", 1, 1), ("2", 2, 2), ("399", 399, 2), ("400", 400, 2)])
def test_a_book_is_as_deep_as_asked(exchange, depth, bids, asks):
    (book,) = data(answer(exchange, f"/api/v5/market/books?instId={BTC}&sz={depth}", 0))

    assert [bid[0] for bid in book["bids"]] == [str(50_000 - rank) for rank in range(bids)]
    assert [ask[0] for ask in book["asks"]] == ["50001", "50002"][:asks]


def test_an_instrument_without_a_book_yet_has_no_data(exchange):
    assert data(answer(exchange, f"/api/v5/market/books?instId={ETH}", 0)) == []


def test_instruments_are_listed_by_their_type(exchange):
    assert data(answer(exchange, "/api/v5/public/instruments?instType=SWAP", 0)) == [
        instrument_row(BTC),
        instrument_row(ETH),
    ]
    assert data(answer(exchange, "/api/v5/public/instruments?instType=OPTION", 0)) == []


@pytest.mark.parametrize("by", [f"instId={ETH}", "instFamily=ETH-USDT", f"instId={ETH}&instFamily=ETH-USDT"])
def test_instruments_are_narrowed_by_name_and_family(exchange, by):
    rows = data(answer(exchange, f"/api/v5/public/instruments?instType=SWAP&{by}", 0))

    assert rows == [instrument_row(ETH)]


@pytest.mark.parametrize(
    "target",
    [
        "/api/v5/market/books?instId=XX-USDT-SWAP&sz=400",
        "/api/v5/public/instruments?instType=SWAP&instId=XX-USDT-SWAP",
        f"/api/v5/public/instruments?instType=SPOT&instId={BTC}",
        f"/api/v5/public/instruments?instType=SPOT&instId={SPOT}",
    ],
)
def test_an_unknown_instrument_is_51001_with_status_200(exchange, target):
    assert answer(exchange, target, 0) == (200, NO_INSTRUMENT)


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ("/api/v5/public/instruments", "instType"),
        (f"/api/v5/public/instruments?instId={BTC}", "instType"),
        ("/api/v5/public/instruments?instType=SWAPS", "instType"),
        ("/api/v5/market/books", "instId"),
        ("/api/v5/market/books?sz=5", "instId"),
        *((f"/api/v5/market/books?instId={BTC}&sz={sz}", "sz") for sz in ("0", "401", "-1", "x", "1.5", "9" * 5000)),
    ],
)
def test_a_bad_parameter_is_51000_with_status_400(exchange, target, parameter):
    assert answer(exchange, target, 0) == (
        400,
        f'{{"code":"51000","data":[],"msg":"Parameter {parameter} error."}}',
    )


@pytest.mark.parametrize("target", ["/", "/api/v5/market/books/", "/api/v5/market/candles?instId=BTC-USDT"])
def test_an_unknown_path_is_404_as_json(exchange, target):
    assert answer(exchange, target, 0) == (404, '{"code":"404","data":[],"msg":"Not Found"}')


FULL = f"/api/v5/market/books-full?instId={BTC}"


def test_the_full_book_of_a_capture_is_what_its_pushes_name_in_levels_of_three(exchange):
    (book,) = data(answer(exchange, f"{FULL}&sz=5000", 0))

    assert list(book) == ["asks", "bids", "ts"]
    assert (len(book["bids"]), book["bids"][0]) == (400, ["50000", "1", "1"])
    assert book["asks"] == [["50001", "2.5", "3"], ["50002", "4", "1"]]
    assert data(answer(exchange, FULL, 0))[0]["asks"] == [["50001", "2.5", "3"]], "one level unless asked for more"


def test_a_capture_with_more_levels_than_the_channel_gives_them_all(exchange):
    bids = [(str(50_000 - rank), "1", "0", "1") for rank in range(900)]
    exchange.apply(BookChange(BTC, True, bids, [("50001", "1", "0", "1")], 1_700_000_009_000, 40144272600, -1, 0))

    (book,) = data(answer(exchange, f"{FULL}&sz=5000", 0))
    assert len(book["bids"]) == 900


def test_behind_the_channel_s_levels_a_made_up_market_goes_on_and_is_renewed_once_a_second():
    market = Market([BTC], 3, 1_700_000_000_000).ticks()
    exchange = Exchange([BTC], {BTC: instrument_row(BTC)}, 3, tails=MarketTails(3))
    exchange.apply(next(market).change)
    target = f"{FULL}&sz=5000"
    first = data(answer(exchange, target, 0))[0]
    for side, channel in zip(("bids", "asks"), exchange.book(BTC).top(400), strict=True):
        prices = [float(price) for price, _, _ in first[side]]
        assert [tuple(level) for level in first[side][:400]] == [
            (price, size, orders) for price, size, _, orders in channel
        ]
        assert len(prices) == 5000 and prices == sorted(set(prices), reverse=side == "bids")
    assert data(answer(exchange, target, 0))[0] == first
    while exchange.book(BTC).ts_ms < 1_700_000_000_600:
        exchange.apply(next(market).change)
    assert data(answer(exchange, target, 0))[0] == first
    while exchange.book(BTC).ts_ms < 1_700_000_031_000:
        exchange.apply(next(market).change)
    later = data(answer(exchange, target, 0))[0]
    assert later["ts"] == str(exchange.book(BTC).ts_ms)
    stood = {tuple(level) for level in first["asks"][1000:]} & {tuple(level) for level in later["asks"]}
    assert 2000 < len(stood) < 3900, "most levels stay, many do not"
    assert data(answer(exchange, f"{FULL}&sz=7", 0))[0]["bids"] == later["bids"][:7]


@pytest.mark.parametrize("sz", ["0", "5001", "x", "10000"])
def test_a_full_book_has_5000_levels_at_most(exchange, sz):
    assert answer(exchange, f"{FULL}&sz={sz}", 0).status == 400
