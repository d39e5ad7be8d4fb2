"""Measures of one book, against numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.analytics import one_book
from l2vault.analytics.metrics import depth, depth_and_slippage, imbalance, size_name, slippage, spread
from l2vault.book.snapshot import Snapshot
from support.books import INVERSE, LINEAR, T0_MS, drawn, hand_made, mirrored
from support.hours import levels

BOOK = drawn(0, "99 5 2, 98 10 1", "101 7 3, 102 20 4")
ONE_SIDED = drawn(2_000, "99 5 2", "")


def row(result, at=0):
    return result.frame.row(at, named=True)


def test_spread_mid_and_microprice():
    found = row(spread(hand_made(BOOK)))
    assert (found["bid"], found["ask"], found["mid"]) == (99, 101, 100)
    assert (found["spread"], found["spread_bps"], found["spread_ticks"]) == (2, 200, 4)
    assert found["microprice"] == pytest.approx((99 * 7 + 101 * 5) / 12)
    assert (found["bid_size"], found["ask_size"]) == pytest.approx((4.95, 7.07))
    coin = row(spread(hand_made(BOOK, contract=INVERSE), "coin"))
    assert (coin["bid_size"], coin["ask_size"]) == pytest.approx((500 / 99, 700 / 101))


def test_a_spread_of_one_tick_is_exactly_that():
    found = row(spread(hand_made(drawn(0, "64216.5 1 1", "64217 1 1"))))
    assert (found["spread"], found["spread_ticks"]) == (0.5, 1)


def test_imbalance_over_levels_and_bands():
    found = row(imbalance(hand_made(BOOK), "contracts", levels=(1, 2), bands_bps=(100, 200)))
    assert found["top1"] == pytest.approx((5 - 7) / 12)
    assert found["top2"] == pytest.approx((15 - 27) / 42)
    assert found["100bps"] == found["top1"]  # a level at the edge of a band is in it
    assert found["200bps"] == found["top2"]
    usd = row(imbalance(hand_made(BOOK), "usd", levels=(1,)))["top1"]
    assert usd == pytest.approx((4.95 - 7.07) / (4.95 + 7.07))


def test_nothing_is_said_of_more_levels_than_were_recorded():
    """Of a side that is full nobody knows what lies behind it; one that is whole has no more than it shows."""
    deep = drawn(0, "99 5 1, 98 10 1, 97 15 1", "101 7 1, 102 20 1")
    found = row(imbalance(hand_made(deep, depth=3), "contracts", levels=(1, 2, 3, 4, 100)))
    assert found["top1"] == pytest.approx((5 - 7) / 12)
    assert found["top2"] == pytest.approx((15 - 27) / 42)
    assert found["top3"] == pytest.approx((30 - 27) / 57), "the asks are whole: two levels are all there are"
    assert found["top4"] is found["top100"] is None, "the bids are full: a fourth may lie behind them"
    whole = row(imbalance(hand_made(deep), "contracts", levels=(3, 400, 401)))
    assert whole["top3"] == whole["top400"] == whole["top401"] == pytest.approx((30 - 27) / 57)


@pytest.mark.parametrize("depth_", [2, 3, 400])
def test_one_book_alone_says_as_much_of_its_levels_as_many_do(depth_):
    bids, asks = levels("99 5 1", "98 10 1", "97 15 1"), levels("101 7 1", "102 20 1")
    alone = Snapshot(LINEAR.inst_id, T0_MS, depth_, bids[:depth_], asks[:depth_], None, 1, 0)
    text = [", ".join(f"{price} {qty} {orders}" for price, qty, _, orders in side[:depth_]) for side in (bids, asks)]
    counts = (1, 2, 3, 4)
    many = row(imbalance(hand_made(drawn(0, *text), depth=depth_), levels=counts))
    for count in counts:
        found = one_book.imbalance(alone, count, "usd", LINEAR)
        assert found == (None if many[f"top{count}"] is None else pytest.approx(many[f"top{count}"]))
        assert (found is None) == (count > depth_ and depth_ < 400)


def test_nothing_is_said_of_a_band_beyond_the_reach():
    whole, cut = (row(depth(hand_made(BOOK, depth=depth_), bands_bps=(100, 250))) for depth_ in (400, 2))
    assert whole["bid_250bps"] == pytest.approx(4.95 + 9.8)
    assert (cut["bid_100bps"], cut["bid_250bps"], cut["ask_250bps"]) == (pytest.approx(4.95), None, None)
    assert (cut["bid_visible_bps"], whole["bid_visible_bps"]) == (200, float("inf"))
    assert row(imbalance(hand_made(BOOK, depth=2), bands_bps=(250,)))["250bps"] is None


@pytest.mark.parametrize(
    ("contract", "unit", "bids", "asks"),
    [
        (LINEAR, "contracts", [5, 10], [7, 20]),
        (LINEAR, "coin", [0.05, 0.1], [0.07, 0.2]),
        (LINEAR, "usd", [4.95, 9.8], [7.07, 20.4]),
        (INVERSE, "usd", [500, 1000], [700, 2000]),
        (INVERSE, "coin", [500 / 99, 1000 / 98], [700 / 101, 2000 / 102]),
    ],
)
def test_depth_concentration_and_size_an_order_in_every_unit(contract, unit, bids, asks):
    found = row(depth(hand_made(BOOK, contract=contract), unit, bands_bps=(100,)))
    for side, sizes, orders in (("bid", bids, [2, 1]), ("ask", asks, [3, 4])):
        assert found[f"{side}_100bps"] == pytest.approx(sizes[0])
        assert found[f"{side}_total"] == pytest.approx(sum(sizes))
        assert found[f"{side}_largest"] == pytest.approx(max(sizes))
        assert found[f"{side}_hhi"] == pytest.approx((sizes[0] ** 2 + sizes[1] ** 2) / sum(sizes) ** 2)
        assert found[f"{side}_per_order"] == pytest.approx(sum(sizes) / sum(orders))
        assert found[f"{side}_largest_per_order"] == pytest.approx(
            max(size / count for size, count in zip(sizes, orders, strict=True))
        )


def test_slippage_of_a_linear_contract():
    found = row(slippage(hand_made(BOOK), sizes=(5, 10, 20, 27.47, 28)))
    assert (found["buy_5_avg"], found["buy_5_worst"], found["buy_5_bps"]) == (101, 101, pytest.approx(100))
    bought = 10 / (0.07 + 2.93 / 102)
    assert (found["buy_10_avg"], found["buy_10_worst"]) == (pytest.approx(bought), 102)
    assert found["buy_10_bps"] == pytest.approx((bought - 100) * 100)
    sold = 10 / (0.05 + 5.05 / 98)
    assert (found["sell_10_avg"], found["sell_10_worst"]) == (pytest.approx(sold), 98)
    assert found["sell_10_bps"] == pytest.approx((100 - sold) * 100)
    assert [found[f"sell_20_{what}"] for what in ("avg", "worst", "bps")] == [None] * 3
    assert found["buy_27.47_worst"] == 102  # all there is, to the last contract
    assert found["buy_28_bps"] is None


def test_slippage_of_an_inverse_contract():
    found = row(slippage(hand_made(BOOK, contract=INVERSE), sizes=(1_000, 3_000)))
    assert found["buy_1k_avg"] == pytest.approx(1_000 / (700 / 101 + 300 / 102))
    assert found["sell_1k_avg"] == pytest.approx(1_000 / (500 / 99 + 500 / 98))
    assert found["buy_3k_avg"] is None


def test_a_book_with_one_side_leaves_its_measures_empty_and_the_others_alone():
    books = hand_made(BOOK, ONE_SIDED)
    empty = row(spread(books), 1)
    assert (empty["bid"], empty["ask"], empty["mid"], empty["spread_bps"], empty["microprice"]) == (99, *[None] * 4)
    both = row(depth_and_slippage(books, bands_bps=(100,), sizes=(4,)), 1)
    assert (both["bid_total"], both["ask_total"]) == (pytest.approx(4.95), 0)
    assert (both["bid_100bps"], both["buy_4_avg"], both["sell_4_bps"], both["ask_hhi"]) == (None,) * 4
    assert both["sell_4_avg"] == pytest.approx(99)
    assert row(imbalance(books, levels=(1,)), 1)["top1"] == 1
    assert row(spread(books))["spread"] == 2


def test_depth_and_slippage_together_are_what_they_are_alone():
    books = hand_made(BOOK, ONE_SIDED)
    together = depth_and_slippage(books).frame
    assert together.equals(depth(books).frame.hstack(slippage(books).frame.drop("t_from", "t_to")))


@pytest.mark.parametrize(("size", "name"), [(10, "10"), (10_000, "10k"), (2.5e6, "2.5M"), (1e9, "1B")])
def test_sizes_are_named_as_people_say_them(size, name):
    assert size_name(size) == name


def side_of(draw, sign):
    steps = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    price, texts = 100.0, []
    for step in steps:
        price += sign * step / 2
        texts.append(f"{price:g} {draw(st.integers(1, 500))} {draw(st.integers(1, 9))}")
    return ", ".join(texts)


@st.composite
def any_book(draw):
    return drawn(0, side_of(draw, -1), side_of(draw, 1))


@given(any_book(), st.sampled_from([LINEAR, INVERSE]), st.sampled_from(["contracts", "coin", "usd"]))
def test_imbalance_lies_between_minus_one_and_one_and_turns_with_the_book(book, contract, unit):
    found = row(imbalance(hand_made(book, contract=contract), unit))
    told = {name: value for name, value in found.items() if name not in ("t_from", "t_to") and value is not None}
    assert told and all(-1 <= value <= 1 for value in told.values())
    if unit == "contracts":  # other units weigh by the price, which a mirror changes
        (turned,) = mirrored([book], 100)
        other = row(imbalance(hand_made(turned, contract=contract), unit))
        assert {name: -other[name] for name in told} == pytest.approx(told)


@given(any_book(), st.sampled_from([LINEAR, INVERSE]))
def test_slippage_grows_with_size_and_is_never_better_than_the_touch(book, contract):
    sizes = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
    found = row(slippage(hand_made(book, contract=contract), sizes))
    for word in ("buy", "sell"):
        costs = [found[f"{word}_{size_name(size)}_bps"] for size in sizes]
        filled = [cost for cost in costs if cost is not None]
        assert costs == filled + [None] * (len(costs) - len(filled))
        assert all(cost <= later + 1e-9 for cost, later in zip(filled, filled[1:], strict=False))
        assert all(cost >= found_spread_bps(book) / 2 - 1e-6 for cost in filled)


def found_spread_bps(book):
    return row(spread(hand_made(book)))["spread_bps"]
