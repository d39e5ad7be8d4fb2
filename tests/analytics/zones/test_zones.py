"""Zones: what rested where, how steadily, and what price did there; each told by a small market made for it."""

import msgspec
import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

from l2vault.analytics import books as books_module
from l2vault.analytics.zones import zones as zones_module
from l2vault.analytics.zones.zones import ZONES, ahead, zones
from l2vault.errors import UsageError
from support.books import INVERSE, LINEAR, T0_MS, drawn, hand_made, mirrored
from support.markets import DEPTH, TICK, changing, markets

pytestmark = pytest.mark.filterwarnings("error")

ASKS = "101 5 2"


def zone(drawings, side, price_from, width=10, unit="contracts", depth=400, contract=LINEAR, **how):
    """The row of one zone, None if there is none."""
    frame = zones(hand_made(*drawings, depth=depth, contract=contract), unit, width, **how).frame
    found = frame.filter(pl.col("side") == side, pl.col("price_from") == price_from)
    return found.row(0, named=True) if len(found) else None


STEADY = [
    drawn(0, "99 4 2, 95 6 1, 88 10 5", ASKS),
    drawn(2_000, "99 4 2, 88 40 5", ASKS),
    drawn(8_000, "99 4 2, 88 40 5", ASKS),
]


def test_size_and_orders_are_means_over_time():
    near, far = (zone(STEADY, "bid", low) for low in (90, 80))
    assert (near["price_to"], near["peak"]) == (100, 10)
    assert near["size"] == pytest.approx((10 * 2 + 4 * 8) / 10)
    assert near["orders"] == pytest.approx((3 * 2 + 2 * 8) / 10)
    assert (far["price_to"], far["size"], far["peak"], far["orders"]) == (
        90,
        pytest.approx((10 * 2 + 40 * 8) / 10),
        40,
        5,
    )


def test_strength_and_persistence_are_against_the_usual_bucket_of_the_side():
    far = zone(STEADY, "bid", 80)  # usual are 10: of 20 s of buckets 8 hold 40, 4 hold 10 and 8 hold 4
    assert far["strength"] == pytest.approx(34 / 10)
    assert far["persistence"] == pytest.approx(8 / 10)  # at least 20 in 8 of 10 s
    assert far["score"] == pytest.approx(34 / 10 * 8_000 / 10_000)  # all of the span
    assert zone(STEADY, "bid", 80, presence=4)["persistence"] == pytest.approx(8 / 10)
    assert zone(STEADY, "bid", 80, presence=4.1)["persistence"] == 0
    assert (zone(STEADY, "bid", 90)["persistence"], zone(STEADY, "bid", 90)["score"]) == (0, 0)
    assert zone(STEADY, "ask", 100)["strength"] == 1


@pytest.mark.parametrize(
    ("contract", "unit", "size"),
    [
        (LINEAR, "contracts", 10),
        (LINEAR, "coin", 10 * 0.01),
        (LINEAR, "usd", 4 * 0.01 * 99 + 6 * 0.01 * 95),
        (INVERSE, "contracts", 10),
        (INVERSE, "coin", 4 * 100 / 99 + 6 * 100 / 95),
        (INVERSE, "usd", 10 * 100),
    ],
)
def test_sizes_are_told_in_every_unit(contract, unit, size):
    row = zone([drawn(0, "99 4 2, 95 6 1", ASKS)], "bid", 90, unit=unit, contract=contract)
    assert row["size"] == pytest.approx(size)
    assert row["strength"] == pytest.approx(1, rel=0.004)


def test_best_zones_come_first_and_the_rest_by_size():
    frame = zones(hand_made(*STEADY), "contracts", 10).frame
    assert frame.select("side", "price_from").rows() == [("bid", 80), ("bid", 90), ("ask", 100)]
    assert frame.schema == ZONES


def test_an_edge_belongs_to_the_bucket_behind_it():
    book = [drawn(0, "99 1 1, 90 2 1, 89.5 4 1", "101 1 1, 110 2 1, 110.5 4 1")]
    assert [zone(book, "bid", low)["size"] for low in (90, 80)] == [3, 4]
    assert [zone(book, "ask", low)["size"] for low in (100, 110)] == [3, 4]
    assert [zone(book, "ask", low)["price_to"] for low in (100, 110)] == [110, 120]


def test_a_bucket_that_reaches_beyond_the_window_is_not_claimed():
    assert zone([drawn(0, "99 5 1, 90.5 5 1", ASKS)], "bid", 90, depth=2) is None
    assert zone([drawn(0, "99 5 1, 90 5 1", ASKS)], "bid", 90, depth=2)["size"] == 10
    assert zone([drawn(0, "99 5 1, 88 7 1", ASKS)], "bid", 80, depth=2) is None
    assert zone([drawn(0, "99 5 1, 88 7 1", ASKS)], "bid", 80, depth=3)["size"] == 7  # whole: nothing lies beyond


def test_time_out_of_the_window_neither_lowers_the_mean_nor_counts_as_seen():
    books = [
        drawn(0, "95 5 1, 80 20 1", ASKS),
        drawn(2_000, "99 1 1, 95 5 1", ASKS),
        drawn(4_000, "95 5 1, 80 20 1", ASKS),
        drawn(6_000, "99 1 1, 95 5 1", ASKS),
    ]
    row = zone(books, "bid", 80, depth=2)
    assert (row["size"], row["seen_share"]) == (20, 0.5)
    assert (row["t_first"] - T0_MS, row["t_last"] - T0_MS) == (0, 6_000)


def test_a_bucket_seen_empty_has_a_lower_mean():
    row = zone([drawn(0, "95 5 1, 80 20 1", ASKS), drawn(2_000, "95 5 1, 79 1 1", ASKS)], "bid", 80, depth=2)
    assert (row["size"], row["seen_share"]) == (10, 1)


def test_a_hole_is_no_time_at_all():
    books = [drawn(0, "99 4 1", ASKS, until_ms=1_000), drawn(8_000, "99 8 1", ASKS)]
    row = zone(books, "bid", 90)
    assert (row["size"], row["seen_share"]) == (pytest.approx((4 * 1 + 8 * 2) / 3), 1)
    assert (row["t_first"] - T0_MS, row["t_last"] - T0_MS) == (0, 10_000)


def test_distance_is_to_the_near_edge_and_negative_once_price_has_passed_it():
    books = [drawn(0, "119 1 1, 95 1 1", "121 1 1, 145 1 1"), drawn(2_000, "99 1 1", "101 1 1, 145 1 1")]
    bid, passed, ask = zone(books, "bid", 90), zone(books, "bid", 110), zone(books, "ask", 140)
    assert [row["distance_bps"] for row in (bid, passed, ask)] == pytest.approx([0, -2_000, 4_000])  # mid is 100
    assert [row["is_current"] for row in (bid, passed, ask)] == [True, False, True]


def walk(*bests, hole_before=None):
    """Best bids every 2 s, and a level in [90, 100) behind them; 0 is a book without bids."""
    drawings = []
    for number, best in enumerate(bests):
        rest = ", 95 1 1" if best > 95 else ""
        drawings.append(drawn(number * 2_000, f"{best} 1 1{rest}" if best else "", f"{max(best, 95) + 1} 1 1"))
        if hole_before == number:
            drawings[-2] = drawings[-2]._replace(until_ms=number * 2_000 - 1)
    return drawings


@pytest.mark.parametrize(
    ("drawings", "tests", "holds", "breaks"),
    [
        pytest.param(walk(115, 95, 115), 1, 1, 0, id="it came and turned"),
        pytest.param(walk(115, 95, 75), 1, 0, 1, id="it came and went through"),
        pytest.param(walk(115, 75), 1, 0, 1, id="it fell through at once"),
        pytest.param(walk(110, 99.5, 110), 1, 1, 0, id="a whole bucket away is away"),
        pytest.param(walk(109.5, 99.5, 109.5), 0, 0, 0, id="less is not"),
        pytest.param(walk(115, 105, 115), 0, 0, 0, id="it came near only"),
        pytest.param(walk(115, 95, 105, 95, 105, 95, 115), 1, 1, 0, id="trembling at the near edge is one test"),
        pytest.param(walk(115, 95, 85, 95, 115), 1, 1, 0, id="trembling at the far edge is no break"),
        pytest.param(walk(115, 95, 115, 95, 75), 2, 1, 1, id="it held once"),
        pytest.param(walk(75, 95, 115), 0, 0, 0, id="it came from beyond"),
        pytest.param(walk(115, 95, 75, 95, 115, 95), 2, 0, 1, id="it is tested again from the front only"),
        pytest.param(walk(115, 95), 1, 0, 0, id="still open"),
        pytest.param(walk(115, 95, 115, hole_before=2), 1, 0, 0, id="how it ended is lost in a hole"),
        pytest.param(walk(115, 95, 115, hole_before=1), 0, 0, 0, id="how it came is lost in a hole"),
        pytest.param(walk(115, 95, 0, 115), 1, 0, 0, id="a side without bids has no best price"),
    ],
)
def test_price_tests_a_zone(drawings, tests, holds, breaks):
    row = zone(drawings, "bid", 90)
    assert (row["tests"], row["holds"], row["breaks"]) == (tests, holds, breaks)
    row = zone(mirrored(drawings, 100), "ask", 100)
    assert (row["tests"], row["holds"], row["breaks"]) == (tests, holds, breaks)


@pytest.mark.parametrize(
    ("worst_bid", "worst_ask", "width"),
    [(80, 120, 1), (38, 162, 2), (36, 164, 5), (98, 101, 0.5), (1, 999, 20)],
)
def test_width_is_a_round_number_near_a_twentieth_of_the_reach(worst_bid, worst_ask, width):
    books = [drawn(0, "", "101 1 1"), drawn(2_000, f"99 1 1, {worst_bid} 1 1", f"100.5 1 1, {worst_ask} 1 1")]
    settings = zones(hand_made(*books)).provenance.settings
    assert settings == {
        "width": width,
        "is_width_given": False,
        "presence": 2,
        "last_mid": 99.75,
        "least_reach": None,
    }


@pytest.mark.parametrize(("lowest", "width"), [(60, 5), (99, 0.5), (20, 10)])
def test_where_price_moved_width_is_a_tenth_of_its_range_within_what_is_seen(lowest, width):
    """Of 60 to 110 a tenth is 5; of 20 to 110 it is 9, but sides are seen 30 far."""
    far = "{} 1 1, {} 1 1"
    books = [
        drawn(2_000 * nth, far.format(mid - 0.5, mid - 30), far.format(mid + 0.5, mid + 30))
        for nth, mid in enumerate((110, lowest, 104))
    ]
    assert zones(hand_made(*books)).provenance.settings["width"] == (width if lowest != 99 else 1)


def test_a_glimpse_weighs_what_it_was_seen_of_the_span():
    """Ten times as much for a twentieth of the span is half of what stood all the time."""
    near = drawn(0, "90 20 1, 80 200 1", ASKS)
    later = [drawn(2_000 * nth, "99.5 1 1, 90 20 1", ASKS) for nth in range(1, 20)]
    frame = zones(hand_made(near, *later, depth=2), "contracts", 10, presence=0.5).frame.filter(side="bid")
    glimpse, steady = (frame.row(by_predicate=pl.col("price_from") == low, named=True) for low in (80, 90))
    assert (glimpse["seen_share"], glimpse["persistence"]) == (pytest.approx(1 / 20), 1)
    assert glimpse["score"] == pytest.approx(glimpse["strength"] / 20)
    assert glimpse["strength"] > 9 * steady["strength"]
    assert steady["score"] > glimpse["score"]


def test_support_lies_below_the_price_and_resistance_above_nearest_first():
    books = [
        drawn(0, "119 9 1, 112 9 1, 95 1 1", "121 1 1, 145 3 1"),
        drawn(2_000, "99 2 1, 72 40 1", "101 1 1, 128 7 1, 145 3 1"),
    ]
    frame = zones(hand_made(*books), "contracts", 10).frame
    bids, asks = (ahead(frame.filter(side=side), 10) for side in ("bid", "ask"))
    assert bids["price_from"].to_list() == [90, 70]
    assert asks["price_from"].to_list() == [100, 120, 140]
    assert ahead(frame.filter(side="bid"), 1)["price_from"].to_list() == [
        frame.filter(side="bid", is_current=True)["price_from"][0]
    ]


def test_a_width_is_rounded_to_whole_ticks():
    about = zones(hand_made(*STEADY), width=9.8).provenance
    assert (about.settings["width"], about.settings["is_width_given"], about.settings["last_mid"]) == (10, True, 100)
    assert about.method == "zones/2"
    assert zones(hand_made(*STEADY), width=0.01).provenance.settings["width"] == TICK


@pytest.mark.parametrize(
    "how", [{"width": 0}, {"width": -1}, {"presence": 0}, {"width": float("nan")}, {"width": 1e17}]
)
def test_what_is_impossible_is_refused(how):
    with pytest.raises(UsageError, match=next(iter(how))):
        zones(hand_made(*STEADY), **how)


def test_where_nothing_was_seen_there_is_no_zone():
    frame = zones(hand_made(drawn(0, "99 1 1", "101 1 1"), depth=1), width=10).frame
    assert frame.rows() == []
    assert frame.schema == ZONES


def test_a_change_of_contract_changes_sizes_and_keeps_the_buckets():
    finer = msgspec.structs.replace(LINEAR, value=0.001, tick=0.1)
    books = changing([drawn(0, "99 4 1", ASKS), drawn(2_000, "99.1 40 1, 90 1 1", ASKS)], 2_000, (LINEAR, finer))
    row = zones(books, "coin", 10).frame.filter(pl.col("side") == "bid").row(0, named=True)
    assert (row["price_from"], row["size"]) == (90, pytest.approx((4 * 0.01 + 41 * 0.001) / 2))


@given(markets(center=100))
def test_a_mirrored_market_has_mirrored_zones(drawings):
    told, other = (
        zones(hand_made(*books, depth=DEPTH), "contracts", 2).frame.drop("distance_bps")
        for books in (drawings, mirrored(drawings, 100))
    )
    turned = other.with_columns(
        side=pl.when(pl.col("side") == "bid").then(pl.lit("ask")).otherwise(pl.lit("bid")),
        price_from=200 - pl.col("price_to"),
        price_to=200 - pl.col("price_from"),
    )
    assert_frame_equal(told, turned, check_row_order=False)


@given(markets(center=100))
def test_zones_do_not_depend_on_how_books_are_cut_into_pieces(drawings):
    whole = zones(hand_made(*drawings, depth=DEPTH))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(books_module, "_BOOKS_AT_ONCE", 2)
        patched.setattr(zones_module, "_CELLS_AT_ONCE", 5)
        cut = zones(hand_made(*drawings, depth=DEPTH))
    assert_frame_equal(whole.frame, cut.frame)
    assert whole.provenance == cut.provenance
