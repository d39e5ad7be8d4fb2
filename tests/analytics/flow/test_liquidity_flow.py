"""Shifts: what came, what went and why, as far as two books tell; each told by a small market made for it."""

import math

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from l2vault.analytics import books as books_module
from l2vault.analytics.books import books_of
from l2vault.analytics.contract import UNITS
from l2vault.analytics.flow import book_diff
from l2vault.analytics.flow.book_diff import CAUSES
from l2vault.analytics.flow.liquidity_flow import LEAST_LOOKS, SHIFTS, chance_z, net_by_window, shifts, totals
from l2vault.errors import UsageError
from support.books import INVERSE, LINEAR, T0_MS, drawn, frames, hand_made, mirrored
from support.ladders import ladders_in
from support.markets import DEPTH, changing, markets

pytestmark = pytest.mark.filterwarnings("error")

ASKS = "10000.5 5 1"
BIDS = "9999.5 5 1"
FAR = 1_000_000
CUTS = [(books_module, "_BOOKS_AT_ONCE", 2), (book_diff, "_ROWS_AT_ONCE", 3)]
NARROW = (0.0311, 0.0719, 0.1511)
"""Bands for books near `FAR`; no level lies so near an edge that a mirrored book would have it in another band."""


def flows(books, depth=400, unit="contracts", contract=LINEAR, side="bid"):
    """`{(band, cause): size}` of all flows that are not 0."""
    frame = shifts(hand_made(*books, depth=depth, contract=contract), unit).frame.filter(pl.col("side") == side)
    return {
        (row["band"], cause): pytest.approx(row[cause]) for row in frame.to_dicts() for cause in CAUSES if row[cause]
    }


@pytest.mark.parametrize(
    ("before", "after", "depth", "expected"),
    [
        pytest.param(BIDS, f"{BIDS}, 9997.5 3 1", 400, {("2-5", "added"): 3}, id="a new level"),
        pytest.param(BIDS, f"{BIDS}, 9998 3 1", 400, {("0-2", "added"): 3}, id="at 2 bps is within 2 bps"),
        pytest.param(BIDS, "9999.5 7.5 1", 400, {("0-2", "added"): 2.5}, id="more at the best price"),
        pytest.param(f"{BIDS}, 9997 3 1", f"{BIDS}, 9997 1 1", 400, {("2-5", "pulled"): 2}, id="less behind the best"),
        pytest.param(
            f"{BIDS}, 9998 3 1",
            f"{BIDS}, 9998.02 4 1",
            400,
            {("0-2", "pulled"): 3, ("0-2", "added"): 4},
            id="a price between two ticks, of a time when they were finer, is another one",
        ),
        pytest.param(f"{BIDS}, 9950 3 1", BIDS, 400, {("25+", "pulled"): 3}, id="gone from far away"),
        pytest.param(f"{BIDS}, 9999 4 1", "9999.5 2 1, 9999 4 1", 400, {("0-2", "consumed"): 3}, id="less at the best"),
        pytest.param(f"{BIDS}, 9999 4 1", "9999 1 1", 400, {("0-2", "consumed"): 5 + 3}, id="the best went down"),
        pytest.param(f"{BIDS}, 9997 3 1", "", 400, {("0-2", "consumed"): 5, ("2-5", "consumed"): 3}, id="all are gone"),
        pytest.param(
            f"{BIDS}, 9997 3 1",
            f"{BIDS}, 9998 3 1",
            400,
            {("2-5", "moved_out"): 3, ("0-2", "moved_in"): 3},
            id="an equal amount moved",
        ),
        pytest.param(
            f"{BIDS}, 9998 0.3 1, 9997 0.1 1",
            f"{BIDS}, 9998 0.1 1, 9997 0.3 1",
            400,
            {("0-2", "moved_out"): 0.2, ("2-5", "moved_in"): 0.2},
            id="part of a level moved, exact to the decimal",
        ),
        pytest.param(
            f"{BIDS}, 9997 3 1",
            f"{BIDS}, 9992 3 1",
            400,
            {("2-5", "moved_out"): 3, ("5-10", "moved_in"): 3},
            id="5 bps is not too far",
        ),
        pytest.param(
            f"{BIDS}, 9997 3 1",
            f"{BIDS}, 9991.5 3 1",
            400,
            {("2-5", "pulled"): 3, ("5-10", "added"): 3},
            id="farther is too far to have moved",
        ),
        pytest.param(
            f"{BIDS}, 9998 2 1, 9996 2 1",
            f"{BIDS}, 9997 2 1, 9990 2 1",
            400,
            {("0-2", "moved_out"): 2, ("2-5", "moved_in"): 2, ("2-5", "pulled"): 2, ("5-10", "added"): 2},
            id="the best goes with the best",
        ),
        pytest.param(
            f"{BIDS}, 9998 2 1, 9996 2 1",
            f"{BIDS}, 9997 2 1",
            400,
            {("0-2", "moved_out"): 2, ("2-5", "moved_in"): 2, ("2-5", "pulled"): 2},
            id="one place cannot take two",
        ),
        pytest.param(
            f"{BIDS}, 9998 3 1",
            f"{BIDS}, 9999 1 1",
            2,
            {("0-2", "left_view"): 3, ("0-2", "added"): 1},
            id="the window left a level behind",
        ),
        pytest.param(
            f"{BIDS}, 9999 1 1",
            f"{BIDS}, 9998 3 1",
            2,
            {("0-2", "pulled"): 1, ("0-2", "entered_view"): 3},
            id="the window came to a level",
        ),
        pytest.param(
            f"{BIDS}, 9998 3 1",
            f"{BIDS}, 9999 1 1",
            3,
            {("0-2", "pulled"): 3, ("0-2", "added"): 1},
            id="a whole side has no window",
        ),
        pytest.param(f"{BIDS}, 9998 3 1", "9998 3 1", 2, {("0-2", "consumed"): 5}, id="a side no longer full"),
        pytest.param(BIDS, f"10000.0 1 1, {BIDS}", 400, {("0-2", "added"): 1}, id="at the old mid"),
        pytest.param(BIDS, BIDS, 400, {}, id="nothing"),
    ],
)
def test_a_change_has_its_cause_and_its_band(before, after, depth, expected):
    books = [drawn(0, before, ASKS), drawn(2_000, after, ASKS)]
    assert flows(books, depth) == expected
    assert flows(mirrored(books, 10_000), depth, side="ask") == expected


def test_a_price_beyond_the_old_mid_is_in_the_first_band():
    books = [drawn(0, BIDS, ASKS), drawn(2_000, f"10003 1 1, {BIDS}", "10004 5 1")]
    assert flows(books) == {("0-2", "added"): 1}
    assert flows(books, side="ask") == {("0-2", "consumed"): 5, ("2-5", "added"): 5}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("9999.5 5 1", ""), ("9999.5 5 1, 9996 1 1", "10000.5 5 1"), {("2-5", "added"): 1}),  # from the next mid
        (("10000 5 1", ""), ("10000 5 1, 9996 1 1", ""), {("2-5", "added"): 1}),  # from the best bid
        (("", "10000 5 1"), ("10000 5 1, 9996 1 1", ""), {("0-2", "added"): 5, ("2-5", "added"): 1}),
    ],
)
def test_where_there_is_no_mid_distance_is_from_what_there_is(first, second, expected):
    books = [drawn(0, *first), drawn(2_000, *second), drawn(4_000, BIDS, ASKS, until_ms=6_000)]
    books[1] = books[1]._replace(until_ms=3_000)  # the book with both sides is behind a hole
    assert flows(books) == expected


@pytest.mark.parametrize(
    ("contract", "unit", "pulled", "consumed"),
    [
        (LINEAR, "coin", 2 * 0.01, 3 * 0.01),
        (LINEAR, "usd", 2 * 0.01 * 9_997, 3 * 0.01 * 9_999.5),
        (INVERSE, "coin", 2 * 100 / 9_997, 3 * 100 / 9_999.5),
        (INVERSE, "usd", 2 * 100, 3 * 100),
    ],
)
def test_flows_are_told_in_every_unit_at_the_price_of_each_level(contract, unit, pulled, consumed):
    books = [drawn(0, f"{BIDS}, 9997 3 1", ASKS), drawn(2_000, "9999.5 2 1, 9997 1 1", ASKS)]
    assert flows(books, unit=unit, contract=contract) == {("2-5", "pulled"): pulled, ("0-2", "consumed"): consumed}


def test_net_counts_the_window_and_net_flow_does_not():
    books = [
        drawn(0, "9999.5 5 1, 9999 4 1, 9998 3 1, 9997.5 8 1", ASKS),
        drawn(2_000, "9999.5 4 1, 9999 9 1, 9998.5 3 1, 9998 1 1", ASKS),
    ]
    row = shifts(hand_made(*books, depth=4), "contracts", bands_bps=(5,)).frame.row(0, named=True)
    told = {cause: row[cause] for cause in CAUSES if row[cause]}
    # of the 3 at 9998 two left; three came to 9998.5, which is not two
    assert told == {"added": 5 + 3, "pulled": 2, "consumed": 1, "left_view": 8}
    assert (row["net_flow"], row["net"]) == (8 - 2 - 1, 8 - 2 - 1 - 8)


def test_a_row_per_window_side_and_band():
    books = [drawn(at, f"9999.5 {5 + at / 1_000} 1", ASKS) for at in (0, 2_000, 4_000, 6_000)]
    frame = shifts(hand_made(*books), "contracts", horizon_ms=4_000, bands_bps=(2.5, 5)).frame
    assert frame.schema == SHIFTS
    head = frame.select(pl.col("t_from", "t_to") - T0_MS, "side", "band", "band_from_bps", "band_to_bps", "added")
    assert head.rows() == [
        (0, 4_000, "bid", "0-2.5", 0, 2.5, 2),
        (0, 4_000, "bid", "2.5-5", 2.5, 5, 0),
        (0, 4_000, "bid", "5+", 5, None, 0),
        (0, 4_000, "ask", "0-2.5", 0, 2.5, 0),
        (0, 4_000, "ask", "2.5-5", 2.5, 5, 0),
        (0, 4_000, "ask", "5+", 5, None, 0),
        (4_000, 8_000, "bid", "0-2.5", 0, 2.5, 2 + 2),  # the steps to 4 s and to 6 s
        (4_000, 8_000, "bid", "2.5-5", 2.5, 5, 0),
        (4_000, 8_000, "bid", "5+", 5, None, 0),
        (4_000, 8_000, "ask", "0-2.5", 0, 2.5, 0),
        (4_000, 8_000, "ask", "2.5-5", 2.5, 5, 0),
        (4_000, 8_000, "ask", "5+", 5, None, 0),
    ]


def test_nothing_is_told_across_a_hole():
    books = [
        drawn(0, "9999.5 1 1", ASKS),
        drawn(2_000, "9999.5 2 1", ASKS, until_ms=3_000),
        drawn(6_000, "9999.5 50 1", ASKS),
        drawn(8_000, "9999.5 51 1", ASKS),
    ]
    frame = shifts(hand_made(*books), "contracts", horizon_ms=4_000, bands_bps=(2,)).frame
    rows = frame.filter(pl.col("side") == "bid", pl.col("band") == "0-2")
    assert rows.select(pl.col("t_from") - T0_MS, "added", "covered_share").rows() == [
        (0, 1, 0.75),
        (8_000, 1, 1),  # the span ends at 10 s: all of what it has of the window stood
    ]


def test_nothing_is_told_across_a_change_of_contract():
    drawings = [drawn(at, f"9999.5 {5 + at / 1_000} 1", ASKS) for at in (0, 2_000, 4_000, 6_000)]
    books = changing(drawings, 4_000, (LINEAR, msgspec.structs.replace(LINEAR, value=0.1)))
    told = totals(shifts(books, "coin").frame)
    assert told.select("side", "added").rows() == [("bid", pytest.approx(2 * 0.01 + 2 * 0.1)), ("ask", 0)]


def test_a_band_no_book_reached_is_null_and_a_whole_side_reaches_all():
    books = [drawn(0, "9999.5 5 1, 9996 1 1", ASKS), drawn(2_000, "9999.5 6 1, 9996 1 1", ASKS)]
    frame = shifts(hand_made(*books, depth=2), "contracts").frame
    bids = frame.filter(pl.col("side") == "bid")
    assert bids.select("band", "added", "net").rows() == [
        ("0-2", 1, 1),
        ("2-5", 0, 0),
        ("5-10", None, None),
        ("10-25", None, None),
        ("25+", None, None),
    ]
    assert bids["visible_bps"].to_list() == pytest.approx([4] * 5)
    asks = frame.filter(pl.col("side") == "ask")
    assert asks["visible_bps"].to_list() == [math.inf] * 5
    assert asks["added"].to_list() == [0] * 5


def grown(*amounts, depth=400):
    """Every 2 s so much is added at the best bid."""
    total, books = 5, [drawn(0, "9999.5 5 1", ASKS)]
    for number, amount in enumerate(amounts):
        total += amount
        books.append(drawn(2_000 * (number + 1), f"9999.5 {total} 1", ASKS))
    return hand_made(*books, depth=depth)


def first_band(result):
    return result.frame.filter(pl.col("side") == "bid", pl.col("band") == "0-2")


def test_z_is_against_the_median_and_the_mean_absolute_deviation():
    books = grown(1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 33)
    frame = first_band(shifts(books, "contracts", horizon_ms=2_000, alert_z=3))
    spread = (7 * 1 + 31) / 12 * math.sqrt(math.pi / 2)  # the median is 2; seven are 1 from it, one is 31
    assert frame["z"].to_list() == pytest.approx([away / spread for away in (-1, 0, 1) * 3 + (-1, 0, 31)])
    assert frame["is_alert"].to_list() == [False] * 11 + [True]
    calm = first_band(shifts(grown(1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 33), "contracts", horizon_ms=2_000, alert_z=8))
    assert not calm["is_alert"].any()


@pytest.mark.parametrize("amounts", [(1, 2, 3, 1, 2, 3, 1, 2, 33), (4,) * 12])
def test_without_a_history_or_without_any_change_in_it_there_is_no_z(amounts):
    frame = first_band(shifts(grown(*amounts), "contracts", horizon_ms=2_000))
    assert frame["z"].to_list() == [None] * len(amounts)
    assert not frame["is_alert"].any()


def test_a_window_seen_for_less_than_half_has_no_z_and_is_no_history():
    books = [
        drawn(0, "9999.5 5 1", ASKS),
        drawn(10, "9999.5 99 1", ASKS, until_ms=900),
        *(drawn(2_000 + 1_000 * at, f"9999.5 {5 + at + at % 2} 1", ASKS) for at in range(24)),
    ]
    frame = first_band(shifts(hand_made(*books), "contracts", horizon_ms=2_000))
    assert frame["added"][0] == 94
    assert frame["covered_share"].to_list() == [0.45] + [1] * 12
    assert frame["z"][0] is None
    # the 94 are no history: the first whole window has one step (+2), all others +0 and +2
    assert frame["z"].null_count() == 13


def test_a_band_that_was_not_always_reached_has_no_z():
    amounts = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]
    total, books = 5, [drawn(0, "9999.5 1 1, 9997 5 1", ASKS)]
    for number, amount in enumerate(amounts):
        total += amount
        books.append(drawn(2_000 * (number + 1), f"9999.5 1 1, 9997 {total} 1", ASKS))
    reached = shifts(hand_made(*books, depth=2), "contracts", horizon_ms=2_000, bands_bps=(2, 3)).frame
    second = reached.filter(pl.col("side") == "bid", pl.col("band") == "2-3")
    assert second["z"].null_count() == 0
    third = reached.filter(pl.col("side") == "bid", pl.col("band") == "3+")
    assert third["z"].null_count() == len(amounts)


def test_totals_sum_up_the_span_by_side():
    frame = totals(shifts(grown(1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 33), "contracts", horizon_ms=2_000, alert_z=3).frame)
    assert frame.select("side", "added", "net", "net_flow", "alerts").rows() == [
        ("bid", 54, 54, 54, 1),
        ("ask", 0, 0, 0, 0),
    ]


def test_one_book_alone_has_no_shifts():
    result = shifts(hand_made(drawn(0, BIDS, ASKS)))
    assert result.frame.rows() == []
    assert result.frame.schema == SHIFTS
    assert totals(result.frame).rows() == []
    assert result.provenance.method == "shifts/3"
    assert result.provenance.settings == {
        "false_alarms_a_day": 1,
        "horizon_ms": 60_000,
        "bands_bps": [2, 5, 10, 25],
        "alert_z": None,
        "move_bps": 5,
        "windows": 0,
    }


def test_of_too_few_looks_nobody_knows_what_chance_gives():
    draws = np.abs(np.random.default_rng(2).normal(size=LEAST_LOOKS))
    assert chance_z(draws[1:], 5_760, 1.0) is None
    assert chance_z(np.where(draws > np.sort(draws)[-9], draws, 0), 5_760, 1.0) is None, "eight values make no tail"
    assert chance_z(draws, 5_760, 1.0) > chance_z(draws, 5_760, 24.0) > 2
    assert chance_z(draws, 288, 72.0) == pytest.approx(np.quantile(draws, 0.75), rel=0.05), "no tail is needed"


def test_a_few_enormous_shifts_do_not_raise_what_chance_gives():
    draws = np.abs(np.random.default_rng(3).normal(size=2_000))
    some = draws.copy()
    some[:4] = 1e6
    assert chance_z(some, 5_760, 1.0) < 1.5 * chance_z(draws, 5_760, 1.0)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0, 1.5])
def test_the_stated_rate_holds_whatever_the_tails(spread):
    """Log-normal flows of a hundred days, of which one of 5,760 a day is an alert, judged by a day of them."""
    rng = np.random.default_rng(1)
    draws = rng.choice((-1, 1), 576_000) * np.exp(spread * np.abs(rng.normal(size=576_000)))
    z = draws / (np.abs(draws).mean() * math.sqrt(math.pi / 2))
    alarms = (np.abs(z) >= chance_z(z[:5_760], 5_760, 1.0)).sum() / 100
    assert 0.05 < alarms < 2


def test_a_band_counts_only_where_all_of_it_was_seen():
    """The far end of 2-5 bps lies beyond what these books show, whatever comes and goes at 3."""
    amounts = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 300]
    books, total = [drawn(0, "9999.5 1 1, 9997 5 1", ASKS)], 5
    for number, amount in enumerate(amounts):
        total += amount
        books.append(drawn(2_000 * (number + 1), f"9999.5 1 1, 9997 {total} 1", ASKS))
    seen, not_seen = (
        shifts(hand_made(*books, depth=2), "contracts", 2_000, bands, alert_z=3).frame for bands in ((2, 3), (2, 5))
    )
    assert seen.filter("is_alert")["band"].to_list() == ["2-3"]
    assert not not_seen["is_alert"].any()


def test_the_windows_that_matter_come_first():
    frame = net_by_window(shifts(grown(1, 2, 30, 1), "contracts", horizon_ms=2_000).frame)
    assert frame.select("bid_net", "ask_net", "shift").row(0) == (30, 0, 30)
    assert frame["shift"].is_sorted(descending=True)


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"bands_bps": ()}, "bands"),
        ({"bands_bps": (5, 2)}, "bands"),
        ({"bands_bps": (0, 2)}, "bands"),
        ({"horizon_ms": 0}, "horizon"),
        ({"alert_z": 0}, "z"),
    ],
)
def test_what_is_impossible_is_refused(how, word):
    with pytest.raises(UsageError, match=word):
        shifts(hand_made(drawn(0, BIDS, ASKS)), **how)


@given(markets(center=100, has_holes=False), st.sampled_from(UNITS), st.sampled_from([LINEAR, INVERSE]))
def test_what_came_less_what_went_is_what_there_is_more(drawings, unit, contract):
    books = hand_made(*drawings, depth=DEPTH, contract=contract)
    told = dict(totals(shifts(books, unit, horizon_ms=4_000, bands_bps=(60, 200)).frame).select("side", "net").rows())
    held = {side: [row.sum() for ladders in ladders_in(books) for row in ladders.sizes(side, unit)] for side in told}
    assert told == {side: pytest.approx(sizes[-1] - sizes[0], abs=1e-6) for side, sizes in held.items()}


@given(markets(center=FAR))
def test_a_mirrored_market_has_mirrored_shifts(drawings):
    told, other = (
        shifts(hand_made(*books, depth=DEPTH), "contracts", horizon_ms=4_000, bands_bps=NARROW).frame
        for books in (drawings, mirrored(drawings, FAR))
    )
    turned = other.with_columns(side=pl.when(pl.col("side") == "bid").then(pl.lit("ask")).otherwise(pl.lit("bid")))
    assert_frame_equal(told, turned, check_row_order=False, rel_tol=1e-4)


@given(
    markets(center=100),
    st.sampled_from(CUTS),
)
def test_shifts_do_not_depend_on_how_books_are_cut_into_pieces(drawings, setting):
    how = {"horizon_ms": 4_000, "bands_bps": (60, 200)}
    whole = shifts(hand_made(*drawings, depth=DEPTH), **how)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(*setting)
        cut = shifts(hand_made(*drawings, depth=DEPTH), **how)
    assert_frame_equal(whole.frame, cut.frame)
    assert whole.provenance == cut.provenance


def test_amounts_are_told_apart_where_they_do_not_fit_into_one_number_with_the_rest(monkeypatch):
    before = f"{BIDS}, 9998 3 1, 9997.5 2 1, 9997 1.5 1"
    after = f"{BIDS}, 9996 3 1, 9995.5 2 1, 9995 1.5 1"
    expected = {("2-5", "moved_in"): 6.5, ("2-5", "moved_out"): 3.5, ("0-2", "moved_out"): 3}
    for bits in (63, 1):
        monkeypatch.setattr(book_diff, "_KEY_BITS", bits)
        assert flows([drawn(0, before, ASKS), drawn(2_000, after, ASKS)]) == expected


@pytest.mark.parametrize("amount", ["0.00000001", "123456789.12345678", "1000000000000", "10000000000000000000"])
def test_the_finest_and_the_largest_amounts_move(amount):
    books = [drawn(0, f"{BIDS}, 9998 {amount} 1", ASKS), drawn(2_000, f"{BIDS}, 9996 {amount} 1", ASKS)]
    moved = flows(books)
    assert moved == {("0-2", "moved_out"): float(amount), ("2-5", "moved_in"): float(amount)}


def test_beside_an_enormous_amount_a_tiny_one_counts_for_nothing_and_spoils_nothing():
    bids = [f"{BIDS}, 9998 {amount} 1, 9997 0.00000001 1" for amount in ("4000000000000", "3000000000000")]
    told = flows([drawn(0, bids[0], ASKS), drawn(2_000, bids[1].replace("0.00000001", "0.00000002"), ASKS)])
    assert told == {("0-2", "pulled"): 1e12}


def test_hours_read_from_lines_and_from_columns_follow_each_other():
    """The former have their sides as categories, the latter as text."""
    whole = hand_made(*(drawn(at, f"9999.5 {5 + at / 1_000} 1", ASKS) for at in (0, 2_000, 4_000, 6_000)))
    ((levels, held),) = whole._frames()
    early, late = (
        tuple(rows.filter((pl.col("t_from") < T0_MS + 4_000) == is_early) for rows in (levels, held))
        for is_early in (True, False)
    )
    early = early[0].with_columns(pl.col("side").cast(pl.Categorical), pl.col("orders").cast(pl.Int64)), early[1]
    span = whole.start_ms, whole.end_ms
    joined = books_module.Books(whole.inst_id, span, lambda: iter([early, late]), whole.periods)
    assert_frame_equal(shifts(joined, "contracts").frame, shifts(whole, "contracts").frame)


ORDERS = {
    "by time": pl.col("t_from"),
    "long ones last, as in a column file": pl.when(pl.col("t_to") - pl.col("t_from") > 2_000).then(1 << 50).otherwise(0)
    + pl.col("t_from"),
    "backwards": -pl.col("t_from"),
    "by price": pl.col("price"),
}


@given(markets(center=100), st.sampled_from(list(ORDERS)))
def test_shifts_do_not_depend_on_the_order_of_rows_nor_on_how_long_each_lasts(drawings, order):
    levels, times = frames(drawings, DEPTH)
    how = {"unit": "contracts", "horizon_ms": 4_000, "bands_bps": (60, 200)}
    one, other = (
        shifts(books_of(rows, times, LINEAR), **how).frame for rows in (levels, _lasting(levels).sort(ORDERS[order]))
    )
    assert_frame_equal(one, other, abs_tol=1e-9)


def _lasting(levels):
    """With one row where several say the same of times that follow each other."""
    own = ["side", "price", "qty", "orders"]
    rows = levels.sort(*own, "t_from")
    begins = pl.any_horizontal(pl.col(own).ne_missing(pl.col(own).shift()), pl.col("t_from") != pl.col("t_to").shift())
    runs = rows.with_columns(run=begins.fill_null(True).cum_sum())
    return runs.group_by("run", *own).agg(pl.col("t_from").min(), pl.col("t_to").max()).drop("run")
