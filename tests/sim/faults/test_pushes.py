"""What a push says of the book, made wrong on one connection while the exchange's own book stays right."""

from itertools import islice

import pytest

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.price import price_key
from l2vault.okx.checksum import book_checksum
from l2vault.sim.exchange.books import Tick
from l2vault.sim.faults.pushes import _free_prices
from support.captured import read_books
from support.rehearsal import BTC, ETH, START_MS, rehearse, timeline

DERIVED = "derived/DERIVED_BTC-USDT-SWAP_from-binance-20240808.jsonl.zst"


def side_keys(levels, sign):
    return [sign * price_key(level[0]) for level in levels]


def in_order(push):
    bids, asks = side_keys(push.bids, -1), side_keys(push.asks, 1)
    return bids == sorted(set(bids)) and asks == sorted(set(asks))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("zero", [0, 100, 200, None, 400]),
        ("back,by=5s", [0, 100, 200, -4700, 400]),
        ("repeat", [0, 100, 200, 200, 400]),
    ],
)
async def test_the_time_of_a_push_is_wrong_on_the_wire_only(clock, how, expected):
    stage = await rehearse(clock, f"ts:push=3,conn=first,how={how}", timeline(4), connections=2)

    struck, other = stage.viewers
    assert [push.ts_ms and push.ts_ms - START_MS for push in struck.pushes] == expected
    assert [push.ts_ms - START_MS for push in other.pushes] == [0, 100, 200, 300, 400]
    assert [truth.ts_ms - START_MS for truth in stage.oracle.truths(BTC)] == [0, 100, 200, 300, 400]
    assert struck.book().top(400) == other.book().top(400)


async def test_a_time_of_zero_is_the_text_0(clock):
    stage = await rehearse(clock, "ts:push=1", timeline(1))

    assert '"ts":"0","checksum"' in stage.viewers[0].texts[-1]


@pytest.mark.parametrize(("side", "sizes"), [("asks", (5, 401)), ("bids", (401, 5)), ("both", (401, 401))])
async def test_levels_beyond_the_window_are_added_until_there_are_too_many(clock, side, sizes):
    stage = await rehearse(clock, f"levels:push=2,side={side},count=401", timeline(3))

    viewer = stage.viewers[0]
    bids, asks = viewer.book().top(1000)
    true_bids, true_asks = stage.oracle.truths(BTC)[-1].image
    assert (len(bids), len(asks)) == sizes
    assert (bids[:5], asks[:5]) == (true_bids, true_asks)
    assert (len(true_bids), len(true_asks)) == (5, 5)
    assert viewer.breaks() == []
    assert all(in_order(push) for push in viewer.pushes)


async def test_401_levels_are_400_and_one_more(clock, captures):
    ticks = list(islice(read_books([captures / DERIVED], verbatim=False), 6))
    stage = await rehearse(clock, "levels:push=3", ticks)

    book, violations = Book(), []
    for push in stage.viewers[0].pushes[:4]:
        book.apply(push)
        violations.append(book.violation(is_live=True))
    assert violations == [None, None, None, "400 bids and 401 asks, where OKX keeps 400 a side"]


@pytest.mark.parametrize("how", ["crossed", "locked"])
async def test_a_crossed_book_reaches_one_connection_and_is_nobody_else_s(clock, how):
    stage = await rehearse(clock, f"crossed:push=2,conn=second,how={how}", timeline(3), connections=2)

    well, struck = (viewer.book() for viewer in stage.viewers)
    best = {"crossed": "101", "locked": "100.5"}[how]
    assert struck.top(1)[0][0][0] == best
    assert struck.violation(is_live=True) == f"crossed: best bid {best}, best ask 100.5"
    assert well.top(400) == stage.oracle.truths(BTC)[-1].image
    assert well.violation(is_live=True) is None


async def test_deletes_of_unknown_prices_change_nothing_for_whoever_ignores_them(clock):
    stage = await rehearse(clock, "unknown-delete:push=2,k=2,count=7", timeline(4))

    viewer = stage.viewers[0]
    deletes = [[level for level in push.bids + push.asks if level[1:] == ("0", "0", "0")] for push in viewer.pushes]
    assert [len(of_push) for of_push in deletes] == [0, 0, 7, 7, 0]
    assert viewer.book().unknown_deletes == 14
    assert viewer.book().top(400) == stage.oracle.truths(BTC)[-1].image
    assert all(in_order(push) for push in viewer.pushes)


def test_free_prices_hold_nothing_lie_among_the_levels_and_beyond_and_are_positive():
    levels = [(price, "1", "0", "1") for price in ("101", "101.1", "101.3")]

    assert _free_prices(levels, 1, 2) == ["101.2", "101.4", "101.5", "101.6"]
    assert _free_prices([("0.2", "1", "0", "1")], -1, 3) == ["0.1"]


async def test_levels_sent_again_as_they_are_change_nothing(clock):
    stage = await rehearse(clock, "resend:push=2,count=5", timeline(3))

    viewer, before = stage.viewers[0], Book()
    for push in viewer.pushes[:2]:
        before.apply(push)
    held = {level for side in before.top(400) for level in side}
    same = [level for level in viewer.pushes[2].bids + viewer.pushes[2].asks if level in held]
    assert len(same) == 5
    assert viewer.book().top(400) == stage.oracle.truths(BTC)[-1].image
    assert all(in_order(push) for push in viewer.pushes)


async def test_a_checksum_is_real_wrong_or_zero(clock):
    ticks = timeline(9)
    stage = await rehearse(clock, "checksum:push=2,how=real,k=2;checksum:push=5,how=wrong,k=2", ticks)

    viewer, book, verdicts = stage.viewers[0], Book(), []
    for push in viewer.pushes:
        book.apply(push)
        real = book_checksum(*book.top(25))
        verdicts.append("zero" if push.checksum == 0 else "real" if push.checksum == real else "wrong")
    assert verdicts == [*["zero"] * 2, *["real"] * 2, "zero", *["wrong"] * 2, *["zero"] * 3]


async def test_a_feed_with_real_checksums_has_them_in_its_full_books_too(clock):
    stage = await rehearse(clock, f"checksum:how=real,inst={BTC}", timeline(2, BTC, ETH))

    for push in stage.viewers[0].pushes:
        assert (push.checksum != 0) == (push.inst_id == BTC)
    full = stage.viewers[0].pushes[0]
    assert (full.is_snapshot, full.checksum) == (True, book_checksum(full.bids, full.asks))


@pytest.mark.parametrize("kind", ["levels", "crossed", "unknown-delete:count=2", "resend", "checksum:how=real"])
async def test_an_instrument_whose_book_is_unknown_is_left_alone(clock, kind):
    unreadable = BookChange(BTC, False, [("1e5", "1", "0", "1")], [], START_MS + 200, 1020, 1010, 0)
    ticks = [*timeline(1), Tick(START_MS + 200, unreadable, None)]
    spec = f"{kind}{',' if ':' in kind else ':'}push=2"
    stage = await rehearse(clock, spec, ticks)

    assert stage.viewers[0].pushes[-1].bids == unreadable.bids
