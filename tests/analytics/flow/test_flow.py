"""Flow: every formula worked out by hand on a small market and a few trades, and laws that hold of any."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from l2vault.analytics import books as books_module
from l2vault.analytics.books import Beside, Books, books_of
from l2vault.analytics.context import CONTEXT
from l2vault.analytics.contract import ContractPeriod
from l2vault.analytics.flow.flow import Ask, flow
from l2vault.analytics.flow.impact import Depths, kyle_lambda, recoveries
from l2vault.analytics.flow.order_flow_imbalance import imbalances
from l2vault.analytics.flow.trade_flow import VPIN_BUCKETS, bucket_volume, large_size, orders_of, vpin
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.trades import TRADES, trades_of
from l2vault.errors import UsageError, VaultError
from l2vault.vault.coverage.proved import TimeStretch
from support.books import INVERSE, LINEAR, T0_MS, drawn, frames, mirrored
from support.markets import markets

MINUTE = 60_000
CALM = "99 10 1, 98 5 1", "101 10 1, 102 5 1"


def tape(*rows):
    """(ms, price, contracts, buy, sell or rpi, ids)"""
    columns = [
        (T0_MS + ms, float(price), float(qty), side != "sell", side == "rpi", count)
        for ms, price, qty, side, count in rows
    ]
    return pl.DataFrame(columns, TRADES, orient="row")


def traded(*rows, proved=((0, 600_000),), lost=()):
    stretches = [TimeStretch(T0_MS + start, T0_MS + end, "proved", "") for start, end in proved]
    stretches += [TimeStretch(T0_MS + start, T0_MS + end, "missing", "disconnect") for start, end in lost]
    return trades_of(tape(*rows), sorted(stretches, key=lambda each: each.start_ms))


def market(*books, every_ms=2_000):
    return [drawn(number * every_ms, bids, asks) for number, (bids, asks) in enumerate(books)]


def measured(drawings, trades=None, ask=None, contract=LINEAR):
    return flow(books_of(*frames(drawings), contract, trades), ask or Ask())


def piece_of(*drawings, contract=LINEAR, depth=400):
    return Piece(*frames(drawings, depth), contract)


TWO_MINUTES = market(*[CALM] * 60)
SOME = ((1_000, 101, 10, "buy", 2), (1_000, 102, 5, "buy", 1), (30_000, 99, 4, "sell", 1), (70_000, 99, 6, "sell", 3))


def test_volume_is_signed_by_the_taker_in_contracts_and_in_notional():
    one, other = measured(TWO_MINUTES, traded(*SOME)).frame.to_dicts()
    assert (one["trades"], one["buy_contracts"], one["sell_contracts"], one["net_contracts"]) == (4, 15, 4, 11)
    assert one["buy_usd"] == pytest.approx(0.01 * (10 * 101 + 5 * 102))  # ctVal is 0.01 coin
    assert one["net_usd"] == pytest.approx(one["buy_usd"] - 0.01 * 4 * 99)
    assert (other["trades"], other["net_contracts"], other["cum_contracts"]) == (3, -6, 5)
    assert other["cum_usd"] == pytest.approx(one["net_usd"] + other["net_usd"])
    assert other["t_from"] - one["t_from"] == MINUTE == other["t_to"] - other["t_from"]


def test_notional_of_an_inverse_contract_is_its_value_whatever_the_price():
    row = measured(TWO_MINUTES, traded(*SOME), contract=INVERSE).frame.row(0, named=True)
    assert (row["buy_usd"], row["sell_usd"]) == (1_500, 400)


def test_an_order_is_what_one_side_took_in_one_millisecond():
    orders = orders_of(tape(*SOME).with_columns(usd=pl.col("qty") * pl.col("price")))
    names = ("contracts", "usd", "matches", "price_first", "price_last")
    assert orders.select(*names).rows() == [(15, 1_520, 3, 101, 102), (4, 396, 1, 99, 99), (6, 594, 3, 99, 99)]


def test_both_sides_in_one_millisecond_are_two_orders():
    both = tape((0, 101, 1, "buy", 1), (0, 99, 2, "sell", 1), (0, 99, 3, "sell", 1))
    assert orders_of(both.with_columns(usd=pl.col("qty")))["contracts"].to_list() == [1, 5]


def test_large_is_what_99_of_100_orders_are_below_or_the_size_that_was_given():
    many = tape(*((number * 10, 100, number + 1, "buy", 1) for number in range(200)))
    assert large_size(orders_of(many.with_columns(usd=pl.col("qty")))) == 199
    assert large_size(orders_of(many.head(99).with_columns(usd=pl.col("qty")))) is None
    result = measured(TWO_MINUTES, traded(*SOME), Ask(least_usd=5.0))
    names = ("large_orders", "large_buy_usd", "large_sell_usd")
    assert result.frame.select(*names).rows() == [(1, pytest.approx(15.2), 0), (1, 0, pytest.approx(5.94))]
    largest = result.provenance.settings["largest"]
    assert [(order["side"], order["contracts"], order["at_utc"][-10:]) for order in largest] == [
        ("buy", 15, "00:01.000Z"),
        ("sell", 6, "01:10.000Z"),
    ]


def test_what_is_not_proved_is_null_and_the_share_that_is_stands_beside_it():
    trades = traded(*SOME, proved=((0, 15_000), (45_000, 60_000)), lost=((15_000, 45_000),))
    result = measured(market(*[CALM] * 90), trades)
    assert result.frame["proved_share"].to_list() == [0.5, 0, 0]
    assert result.frame["net_contracts"].to_list() == [11, -6, None]  # what was recorded counts
    assert result.provenance.settings["proved_share"] == pytest.approx(1 / 6)
    assert measured(TWO_MINUTES).frame["net_contracts"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("bids", "asks", "of_bids", "of_asks"),
    [
        ("99 12 1", "101 10 1", 99 * 2, 0),  # more at the best bid
        ("99 7 1", "101 10 1", -99 * 3, 0),
        ("100 4 1, 99 10 1", "101 10 1", 100 * 4, 0),  # a better bid: all of it came
        ("98 5 1", "101 10 1", -99 * 10, 0),  # the best bid went: all of it left
        ("99 10 1", "101 13 1", 0, -101 * 3),  # more asks: pressure down
        ("99 10 1", "102 5 1", 0, 101 * 10),  # the best ask went
        ("99 10 1", "100 2 1, 101 10 1", 0, -100 * 2),
        ("99 10 1", "", 0, 101 * 10),  # the whole side
    ],
)
def test_imbalance_of_the_touch_is_that_of_cont_kukanov_stoikov(bids, asks, of_bids, of_asks):
    piece = piece_of(*market(("99 10 1", "101 10 1"), (bids, asks)))
    assert imbalances(piece, (5.0,))["ofi_touch_usd"].tolist() == [0, pytest.approx(0.01 * (of_bids + of_asks))]


def test_imbalance_within_a_band_is_all_that_came_there_less_all_that_left():
    """Mid is 100: 98 lies 200 bps away, 102 too, 97 at 300."""
    before = "99 10 1, 98 5 1, 97 7 1", "101 10 1, 102 5 1"
    after = "99 10 1, 98 9 1, 97 1 1", "101 8 1, 102 5 1"
    piece = piece_of(*market(before, after))
    found = imbalances(piece, (100.0, 200.0, 300.0))
    assert found["ofi_100bps_usd"][1] == pytest.approx(0.01 * 2 * 101)
    assert found["ofi_200bps_usd"][1] == pytest.approx(0.01 * (2 * 101 + 4 * 98))
    assert found["ofi_300bps_usd"][1] == pytest.approx(0.01 * (2 * 101 + 4 * 98 - 6 * 97))


def test_a_band_beyond_what_is_visible_has_no_imbalance():
    piece = piece_of(*market(CALM, CALM), depth=2)
    found = imbalances(piece, (200.0, 201.0))
    assert found["ofi_200bps_usd"][1] == 0 and math.isnan(found["ofi_201bps_usd"][1])


def test_no_imbalance_is_claimed_over_a_hole():
    books = market(CALM, ("99 90 1", "101 10 1"))
    books[0] = books[0]._replace(until_ms=1_000)
    row = measured(books).frame.row(0, named=True)
    assert (row["ofi_touch_usd"], row["ofi_2bps_usd"], row["ofi_covered_share"]) == (0, 0, 0.75)


def test_flow_does_not_depend_on_how_books_are_cut_into_pieces(monkeypatch):
    """The step from the last book of a piece to the first of the next is one like any other, but for holes."""
    books = market(CALM, ("99 7 1, 98 9 1", "101 4 1"), ("99 8 1", "101 4 1, 102 1 1"), CALM, ("100 5 1, 99 10 1", ""))
    books[2] = books[2]._replace(until_ms=5_000)
    ask = Ask(step_ms=2_000, bands_bps=(100.0, 200.0))
    whole = measured(books, traded(*SOME), ask)
    assert whole.frame["ofi_200bps_usd"].to_list()[1] == pytest.approx(0.01 * (-3 * 99 + 4 * 98 + 6 * 101 + 5 * 102))
    for at_once in (1, 2, 3):
        monkeypatch.setattr(books_module, "_BOOKS_AT_ONCE", at_once)
        cut = measured(books, traded(*SOME), ask)
        assert_frame_equal(whole.frame, cut.frame)
        assert whole.provenance == cut.provenance


@given(markets(1000))
def test_imbalance_of_the_mirrored_market_is_the_reverse(drawings):
    """In contracts' own value: what is asked of bids must be asked of asks."""
    one, other = (piece_of(*each, contract=INVERSE) for each in (drawings, mirrored(drawings, 1000)))
    there, back = (imbalances(each, (1e6,)) for each in (one, other))
    for name in ("ofi_touch_usd", "ofi_1e+06bps_usd"):
        np.testing.assert_allclose(there[name], -back[name])


def of_trades(*rows, **how):
    return traded(*rows, **how).read((T0_MS, T0_MS + 600_000))


def test_vpin_is_the_mean_imbalance_of_the_last_buckets():
    """Buckets of 10: 10 bought; 6 bought and 4 sold (a trade goes into two buckets); 10 sold; 5 and 5."""
    rows = [(100, 1, 10, "buy", 1), (200, 1, 6, "buy", 1), (300, 1, 14, "sell", 1), (400, 1, 5, "buy", 1)]
    rows += [(500, 1, 5, "sell", 1), (600, 1, 9, "sell", 1)]
    found = vpin(of_trades(*rows), 10.0, buckets=2).filter(pl.col("t") < T0_MS + 500_000)
    assert [(t - T0_MS, value) for t, value in found.rows()] == [
        (300, pytest.approx((1 + 0.2) / 2)),
        (300, pytest.approx((0.2 + 1) / 2)),
        (500, pytest.approx((1 + 0) / 2)),
    ]


def test_buckets_that_would_take_gigabytes_are_refused():
    with pytest.raises(UsageError, match=r"1e-09 contracts: the trades fill 1\S+ of them"):
        vpin(of_trades((100, 1, 10, "buy", 1)), 1e-9)


def test_no_bucket_of_vpin_reaches_over_a_hole():
    rows = [(number * 100, 1, 10, "buy", 1) for number in range(1, 5)]
    assert vpin(of_trades(*rows), 10.0, buckets=3)["vpin"].drop_nulls().to_list() == [1, 1]
    holed = of_trades(*rows, proved=((0, 250), (260, 600_000)), lost=((250, 260),))
    assert vpin(holed, 10.0, buckets=3)["vpin"].drop_nulls().to_list() == []


def test_a_bucket_has_a_fiftieth_of_a_days_volume_or_a_hundredth_of_a_shorter_spans():
    day = traded((0, 1, 500, "buy", 1)).read((T0_MS, T0_MS + 86_400_000))
    assert bucket_volume(day) == 10
    assert bucket_volume(of_trades((0, 1, 500, "buy", 1))) == 5
    holed = of_trades((0, 1, 500, "buy", 1), (9_000, 1, 300, "buy", 1), proved=((0, 100), (200, 99_000)))
    assert bucket_volume(holed) == 3  # of the longest part without a hole
    assert VPIN_BUCKETS == 50


SIZED = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=60)


@given(SIZED, st.integers(1, 40), st.integers(1, 5))
def test_vpin_lies_between_0_and_1_and_is_1_of_one_sided_trade(sizes, volume, buckets):
    rows = [(at * 10, 1, size, "buy" if buys else "sell", 1) for at, (size, buys) in enumerate(sizes)]
    values = vpin(of_trades(*rows), float(volume), buckets)["vpin"].drop_nulls()
    assert len(values) == max(0, sum(size for size, _ in sizes) // volume - buckets + 1)
    assert values.is_between(0, 1).all()
    if len({buys for _, buys in sizes}) == 1:
        assert all(value == pytest.approx(1) for value in values)


def test_kyle_lambda_and_its_error_by_hand():
    """Ten moves; u = x * residual. Of ten there are floor(4 * 0.1 ** (2/9)) = 2 lags with weights 2/3 and 1/3."""
    signed = np.array([1.0, 2, -1, 0, 1, -2, 3, 0, -1, 1])
    moves = np.array([2.5, 3.0, -2, 1, 2, -5, 6, 0, -1, 2])
    slope = kyle_lambda(signed, moves)
    total = 22.0
    value = (2.5 + 6 + 2 + 0 + 2 + 10 + 18 + 0 + 1 + 2) / total
    u = [x * (y - value * x) for x, y in zip(signed, moves, strict=True)]
    lagged = [sum(u[at] * u[at - lag] for at in range(lag, 10)) for lag in (0, 1, 2)]
    variance = lagged[0] + 2 * (2 / 3 * lagged[1] + 1 / 3 * lagged[2])
    assert slope.value == pytest.approx(value)
    assert slope.error == pytest.approx(math.sqrt(max(variance, 0)) / total)
    assert slope.count == 10


def test_too_few_moves_or_no_trade_have_no_lambda():
    assert kyle_lambda(np.ones(9), np.ones(9)) is None
    assert kyle_lambda(np.zeros(20), np.ones(20)) is None


@given(st.lists(st.integers(-50, 50), min_size=10, max_size=40).filter(any), st.integers(-5, 5))
def test_a_price_that_follows_flow_exactly_has_that_lambda_without_error(signed, slope):
    found = kyle_lambda(np.array(signed, float), slope * np.array(signed, float))
    assert found.value == pytest.approx(slope) and found.error == pytest.approx(0, abs=1e-9)


def test_lambda_is_of_moves_of_mid_on_what_was_traded_between_two_books():
    """Each book of 12 is 1 higher than the one before, after a purchase of 100 contracts at 101 + its number."""
    books = market(*((f"{99 + at} 10 1", f"{101 + at} 10 1") for at in range(12)))
    trades = traded(*((at * 2_000 + 2_000, 101 + at, 100, "buy", 1) for at in range(11)))
    result = measured(books, trades)
    signed = np.array([0.01 * 100 * (101 + at) / 1e6 for at in range(11)])
    moves = np.array([1 / (100 + at) * 1e4 for at in range(11)])
    expected = kyle_lambda(signed, moves)
    row = result.frame.row(0, named=True)
    assert (row["lambda_moves"], row["lambda_bps_per_musd"]) == (11, pytest.approx(expected.value))
    assert result.provenance.settings["lambda_error"] == pytest.approx(expected.error)
    assert row["mid"] == 111 and row["mid_change_bps"] is None
    hidden = traded(*((at * 2_000 + 2_000, 101 + at, 100, "rpi", 1) for at in range(11)))
    assert measured(books, hidden).frame["lambda_moves"].to_list() == [None]  # not against the book
    assert measured(books, hidden).frame["buy_contracts"].to_list() == [1_100]  # but volume


def test_no_move_counts_during_which_a_trade_may_be_missing():
    books = market(*((f"{99 + at} 10 1", f"{101 + at} 10 1") for at in range(14)))
    rows = [(at * 2_000 + 2_000, 101 + at, 100, "buy", 1) for at in range(13)]
    holed = traded(*rows, proved=((0, 4_500), (4_600, 600_000)), lost=((4_500, 4_600),))
    assert measured(books, traded(*rows)).frame["lambda_moves"].to_list() == [13]
    assert measured(books, holed).frame["lambda_moves"].to_list() == [12]


def side(depth, taken, every_ms=2_000):
    t_ms = np.arange(len(depth)) * every_ms
    is_linked = np.arange(len(depth)) > 0
    return Depths(t_ms, t_ms + every_ms, is_linked, np.array(depth, float), np.array(taken, float))


def test_recovery_is_the_share_of_the_fall_that_is_back():
    """100 falls to 60, of which 30 were traded; after 2 s 10 are back, after 10 s 30."""
    depth = [100, 100, 60, 70, 75, 80, 85, 90, *[100] * 40]
    hits, pulled = recoveries(side(depth, [0, 0, 30, *[0] * 45]))
    assert (hits.t_ms.tolist(), hits.fall.tolist(), len(pulled.t_ms)) == ([4_000], [40], 0)
    assert hits.at(2) == (0.25, 1) and hits.at(10) == (0.75, 1) and hits.at(60) == (1.0, 1)


def test_nothing_is_said_of_a_time_at_which_no_book_stood():
    hits, _ = recoveries(side([100, 60, 80, 80], [0, 40, 0, 0]))
    assert hits.at(2) == (0.5, 1) and hits.at(10) is None and hits.fit() is None
    holed = side([100, 60, 80, 80], [0, 40, 0, 0])
    holed.is_linked[2] = False
    assert recoveries(holed)[0].at(2) is None


def test_a_fall_without_trades_is_the_control_and_one_of_both_is_neither():
    depth = [100, 60, *[100] * 40]
    for taken, count in ((20, (1, 0)), (2, (0, 1)), (10, (0, 0)), (math.nan, (0, 0))):
        hits, pulled = recoveries(side(depth, [0, taken, *[0] * 40]))
        assert (len(hits.t_ms), len(pulled.t_ms)) == count
    small = recoveries(side([100, 91, *[100] * 40], [0, 9, *[0] * 40]))
    assert [len(each.t_ms) for each in small] == [0, 0]  # less than a tenth


def test_events_within_a_minute_of_one_are_none_of_their_own():
    depth = [100, 50, 100, 50, *[100] * 30, 50, *[100] * 40]
    hits, _ = recoveries(side(depth, [50] * len(depth)))
    assert hits.t_ms.tolist() == [2_000, 68_000]


def test_an_exponential_recovery_is_found_again():
    """Falls from 100 to 50, of which 80 % come back with tau = 8 s."""
    after = [50 + 50 * 0.8 * (1 - math.exp(-2 * step / 8)) for step in range(1, 35)]
    depth, taken = [], []
    for _ in range(12):
        depth += [100, 50, *after]
        taken += [0, 50, *[0] * len(after)]
    hits, pulled = recoveries(side(depth, taken))
    assert len(hits.t_ms) == 12 and not len(pulled.t_ms)
    tau, share = hits.fit()
    assert tau == pytest.approx(8, rel=0.02) and share == pytest.approx(0.8, abs=0.01)


def test_what_goes_on_growing_has_no_half_life():
    depth = ([100, 50, *range(50, 84)]) * 12
    hits, _ = recoveries(side(depth, ([0, 50, *[0] * 34]) * 12))
    assert len(hits.t_ms) >= 10 and hits.fit() is None


def test_basis_funding_and_open_interest_stand_beside_it():
    rows = [(T0_MS + 1_000, 100.5, 100.0, 1e-4, 50.0, 500.0), (T0_MS + 61_000, 100.0, 100.0, None, 60.0, 600.0)]
    context = pl.DataFrame(rows, CONTEXT, orient="row")
    levels, held = frames(TWO_MINUTES)
    span = T0_MS, int(held["t_to"][-1])
    books = Books(
        "X", span, lambda: iter([(levels, held)]), [ContractPeriod(*span, LINEAR)], Beside(context=lambda: context)
    )
    frame = flow(books).frame
    assert frame["basis_bps"].to_list() == [pytest.approx(50), 0]
    assert frame["funding_rate"].to_list() == [1e-4, None]
    assert frame["open_interest_change_contracts"].to_list() == [None, 10]


def test_the_changes_of_the_book_give_what_books_two_seconds_apart_net_out():
    """A bid of 3 comes and goes within two seconds, and one of 1 stays."""
    coarse = market(("99 10 1", "101 10 1"), ("99 11 1", "101 10 1"))
    fine = [drawn(0, "99 10 1", "101 10 1"), drawn(500, "99 13 1", "101 10 1"), drawn(900, "99 10 1", "101 10 1")]
    fine.append(drawn(2_000, "99 11 1", "101 10 1"))
    (levels, held), span = frames(coarse), (T0_MS, T0_MS + 4_000)
    periods = [ContractPeriod(*span, LINEAR)]
    exact = Books("X", span, lambda: iter([frames(fine)]), periods)
    for beside, source in ((Beside(), "books"), (Beside(changes=lambda: exact), "changes")):
        row = flow(Books("X", span, lambda: iter([(levels, held)]), periods, beside)).frame.row(0, named=True)
        assert (row["ofi_from"], row["ofi_touch_usd"]) == (source, pytest.approx(0.99))
    few = Books("X", span, lambda: iter([frames(fine[:1])]), periods)  # that stand for half of the time
    row = flow(Books("X", span, lambda: iter([(levels, held)]), periods, Beside(changes=lambda: few))).frame.row(
        0, named=True
    )
    assert (row["ofi_from"], row["ofi_covered_share"]) == ("books", 1)


@given(markets(1000), st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9), st.booleans()), max_size=20))
def test_steps_of_any_length_sum_up_to_the_same(drawings, rows):
    trades = traded(*((ms, 1000, size, "buy" if buys else "sell", 1) for ms, size, buys in sorted(rows)))
    try:
        one, other = (measured(drawings, trades, Ask(step_ms)).frame for step_ms in (1_000, 7_000))
    except VaultError as error:
        assert "both bids and asks" in str(error)
        return
    for name in ("trades", "buy_contracts", "net_usd", "ofi_touch_usd"):
        assert one[name].sum() == pytest.approx(other[name].sum())
    assert one["cum_contracts"].drop_nulls().tail(1).to_list() == pytest.approx(
        other["cum_contracts"].drop_nulls().tail(1).to_list()
    )


def test_bands_of_one_name_are_refused():
    with pytest.raises(UsageError, match="not all different"):
        Ask(bands_bps=[2, 5, 2.0])


@pytest.mark.parametrize(
    "ask", [{"step_ms": 0}, {"bands_bps": (-1.0,)}, {"least_usd": 0.0}, {"bucket_contracts": -1.0}]
)
def test_an_impossible_question_is_refused(ask):
    with pytest.raises(UsageError, match="impossible"):
        Ask(**ask)


def test_too_many_steps_are_refused():
    with pytest.raises(UsageError, match="too many"):
        measured(TWO_MINUTES, ask=Ask(1))
