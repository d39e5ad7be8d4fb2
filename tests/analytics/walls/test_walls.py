"""Whale walls: what makes one, what it does, and why it ends; each told by a small market made for it."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.analytics import books as books_module
from l2vault.analytics.walls.tracks import lives_sorted_by, tracks_of
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.errors import UsageError
from support.books import INVERSE, LINEAR, T0_MS, drawn, hand_made, mirrored

LARGE = Criteria(min_size=100)
ASKS = "101 5 2, 102 5 1"


def market(*bids, asks=ASKS):
    """A book every 2 s with these bids; None is a hole of 2 s before the next one."""
    drawings = []
    for number, side in enumerate(bids):
        if side is None:
            drawings[-1] = drawings[-1]._replace(until_ms=number * 2_000)
        else:
            drawings.append(drawn(number * 2_000, side, asks))
    return drawings


def ledger(drawings, criteria=LARGE, depth=400, unit="contracts"):
    return walls(hand_made(*drawings, depth=depth), unit, criteria).frame


def lives(drawings, **how):
    return ledger(drawings, **how).select("price", "began", "end").rows()


def test_a_life_has_its_course():
    frame = ledger(
        market(
            "100 5 1, 99 5 1",
            "100 5 1, 99 120 4",
            "100 5 1, 99 150 2",
            "99 130 2",
            "99 130 2",
            "100 5 1, 99 60 1",
            "100 5 1, 99 20 1",
        )
    )
    row = frame.row(0, named=True)
    assert (row["wall"], row["side"], row["price"], row["began"], row["end"]) == (0, "bid", 99, "grown", "pulled")
    assert (row["t_from"] - T0_MS, row["t_to"] - T0_MS) == (2_000, 12_000)
    assert (row["size_born"], row["grown"], row["shrunk"], row["size_end"], row["size_left"]) == (120, 30, 90, 60, 20)
    assert (row["shrunk_at_touch"], row["at_touch_share"]) == (20, 0.4)
    assert (row["peak"], row["mean"], row["orders"]) == (150, pytest.approx(118), pytest.approx(2.2))
    assert row["per_order"] == pytest.approx(118 / 2.2)
    assert row["nearest_bps"] == pytest.approx(1 / 100 * 10_000)  # at the touch mid is 100
    assert row["times_around"] == 24  # the one other bid holds 5
    assert len(frame) == 1


def test_what_was_eaten_is_a_share_and_a_wall_filled_up_again_meanwhile_is_told_apart():
    eaten = ledger(market("99 150 1", "99 60 1", "98 5 1"))
    assert eaten.select("end", "filled_at_touch_share", "refilled").rows() == [("consumed", 0.6, False)]
    refilled = ledger(market("99 150 1", "99 60 1", "99 150 1", "99 60 1", "98 5 1"))
    assert refilled.select("end", "filled_at_touch_share", "refilled", "shrunk_at_touch").rows() == [
        ("consumed", 1.0, True, 180)
    ]
    assert tracks_of(refilled).select("filled_at_touch_share", "refilled").rows() == [(1.0, True)]


@pytest.mark.parametrize(
    ("bids", "depth", "began"),
    [
        (["99 120 1"], 400, "found"),
        (["99 5 1", "99 120 1"], 400, "grown"),
        (["99 5 1", "99 5 1, 98 120 1"], 400, "placed"),
        (["100 5 1, 99 5 1", "99 5 1, 98 120 1"], 2, "entered view"),
        (["100 5 1, 99 5 1", "99 5 1, 98 120 1"], 400, "placed"),
        (["99 120 1", None, "99 120 1"], 400, "returned"),
        (["99 120 1", None, "99 500 1"], 400, "found"),
    ],
)
def test_how_it_began(bids, depth, began):
    assert ledger(market(*bids), depth=depth)["began"].to_list()[-1] == began


@pytest.mark.parametrize(
    ("bids", "depth", "end"),
    [
        (["99 120 1"], 400, "standing"),
        (["99 120 1", None, "99 120 1"], 400, "gap"),
        (["99 120 1", "98 5 1"], 400, "consumed"),  # the market went through it
        (["99 120 1", "99 20 1, 98 5 1"], 400, "consumed"),  # most of it, at the touch
        (["99 120 1", ""], 400, "consumed"),  # the whole side is gone
        (["100 5 1, 99 120 1", "100 5 1"], 400, "pulled"),
        (["100 5 1, 99 120 1", "100 5 1, 99 20 1"], 400, "pulled"),
        (["100 5 1, 99 120 1", "100.5 5 1, 100 5 1"], 2, "left view"),
        (["100 5 1, 99 120 1", "100.5 5 1, 100 5 1"], 400, "pulled"),
        (["100 5 1, 99.97 120 1", "100 5 1, 99.96 120 1"], 400, "moved"),
    ],
)
def test_how_it_ended(bids, depth, end):
    assert ledger(market(*bids), depth=depth)["end"].to_list()[0] == end


def test_a_wall_that_keeps_half_its_size_lives_on():
    assert lives(market("99 100 1", "99 50 1", "99 100 1")) == [(99, "found", "standing")]
    assert lives(market("99 100 1", "99 49 1", "99 100 1")) == [(99, "found", "consumed"), (99, "grown", "standing")]


def test_a_wall_moves_if_one_alike_comes_nearby_within_two_books():
    other = "100 5 1, 99.96 {} 1"
    assert [row[1:] for row in lives(market("100 5 1, 99.97 120 1", other.format(110)))] == [
        ("found", "moved"),
        ("moved", "standing"),
    ]
    late = market("100 5 1, 99.97 120 1", "100 5 1", other.format(120))
    assert [row[1:] for row in lives(late)] == [("found", "moved"), ("moved", "standing")]
    too_late = market("100 5 1, 99.97 120 1", "100 5 1", "100 5 1", other.format(120))
    assert [row[1:] for row in lives(too_late)] == [("found", "pulled"), ("placed", "standing")]
    other_size = market("100 5 1, 99.97 120 1", other.format(200))
    assert [row[1:] for row in lives(other_size)] == [("found", "pulled"), ("placed", "standing")]
    too_far = market("100 5 1, 99.97 120 1", "100 5 1, 99.9 120 1")
    assert [row[1:] for row in lives(too_far)] == [("found", "pulled"), ("placed", "standing")]


def test_a_wall_out_of_sight_may_change_more_than_one_that_moves():
    """At its old price it is known by the price; elsewhere its size is all there is to know it by."""
    elsewhere = market("100 5 1, 99.97 120 1", "100 5 1, 99.96 105 1")
    assert [row[1:] for row in lives(elsewhere)] == [("found", "pulled"), ("placed", "standing")]
    out_and_back = market("100 5 1, 99 120 1", "100.5 5 1, 100 5 1", "100 5 1, 99 105 1")
    assert [row[1:] for row in lives(out_and_back, depth=2)] == [("found", "left view"), ("returned", "standing")]


def test_of_two_that_come_the_likest_is_the_one_that_moved():
    frame = ledger(market("100 5 1, 99.97 120 1", "100 5 1, 99.98 110 1, 99.96 121 1"))
    assert frame.select("price", "began", "continues", "track").rows() == [
        (99.97, "found", None, 0),
        (99.96, "moved", 0, 0),
        (99.98, "placed", None, 2),
    ]
    assert frame["continued_by"].to_list() == [1, None, None]


def test_a_wall_that_moves_in_every_book_is_one_track_however_alike_its_places_are():
    """The first and the last place are the likest, but the second is the one that came when the first went."""
    frame = ledger(market("100 5 1, 99.97 120 1", "100 5 1, 99.96 119 1", "100 5 1, 99.95 120 1"))
    assert frame.select("price", "end", "track").rows() == [
        (99.97, "moved", 0),
        (99.96, "moved", 0),
        (99.95, "standing", 0),
    ]


def test_a_wall_lost_from_sight_and_back_is_one_wall_of_several_lives():
    drawings = market("100 5 1, 99 120 1", "100.5 5 1, 100 5 1", "100 5 1, 99 125 2", None, "100 5 1, 99 125 2")
    frame = ledger(drawings, depth=2)
    assert frame.select("began", "end", "track").rows() == [
        ("found", "left view", 0),
        ("returned", "gap", 0),
        ("returned", "standing", 0),
    ]
    (track,) = tracks_of(frame).to_dicts()
    assert (track["began"], track["end"], track["lives"], track["moves"]) == ("found", "standing", 3, 0)
    assert (track["t_from"] - T0_MS, track["t_to"] - T0_MS, track["seen_ms"]) == (0, 10_000, 6_000)
    assert (track["peak"], track["mean"]) == (125, pytest.approx((120 + 125 + 125) / 3))


def test_another_size_at_its_price_is_another_wall():
    frame = ledger(market("100 5 1, 99 120 1", "100.5 5 1, 100 5 1", "100 5 1, 99 500 2"), depth=2)
    assert frame.select("began", "track").rows() == [("found", 0), ("entered view", 1)]


def test_the_default_threshold_is_a_percentile_of_the_levels_by_their_time():
    books = hand_made(
        drawn(0, "100 5 1, 99 90 1", "101 5 1, 102 6 1"), drawn(2_000, "100 5 1, 99 10 1", "101 5 1, 102 6 1")
    )
    result = walls(books, "contracts", Criteria(percentile=80))
    assert result.provenance.settings["threshold"] == 10  # 90 holds an eighth of the level time, 10 the next
    assert result.provenance.settings["percentile"] == 80
    assert result.frame.select("price", "size_born", "size_end").rows() == [(99, 90, 10)]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_pieces_of_any_size_give_the_same_ledger(at_once, monkeypatch):
    drawings = market(
        "100 5 1, 99 120 1", "100 5 1, 99 60 1", "100 5 1", "100 5 1, 98 700 1", None, "100 5 1, 98 700 1", "97 5 1"
    )
    whole = walls(hand_made(*drawings), "usd", Criteria(percentile=70))
    monkeypatch.setattr(books_module, "_BOOKS_AT_ONCE", at_once)
    cut = walls(hand_made(*drawings), "usd", Criteria(percentile=70))
    assert cut.frame.equals(whole.frame)
    assert cut.provenance == whole.provenance


def test_a_span_with_quiet_and_busy_parts_is_judged_by_one_threshold(monkeypatch):
    """Its first pieces need larger levels than the whole, so that the books are gone through once more."""
    monkeypatch.setattr(books_module, "_BOOKS_AT_ONCE", 1)
    busy = "100 5 1, 99 9000 1, 98 8000 1, 97 13 1"
    drawings = market(busy, *["100 5 1, 99 12 1, 98 11 1, 97 3 1"] * 5)
    result = walls(hand_made(*drawings), "contracts", Criteria(percentile=80))  # 7.2 of 36 levels
    assert result.provenance.settings["threshold"] == 12  # 9000, 8000, 13 and five times 12
    assert result.frame.select("price", "size_born", "size_end").rows() == [
        (97, 13, 13),
        (98, 8000, 11),
        (99, 9000, 12),
    ]


def test_a_wall_may_be_asked_to_stand_out_and_to_be_a_whale():
    drawings = market("100 100 1, 99 120 60, 98 10 1, 97 400 2")
    assert ledger(drawings)["price"].to_list() == [97, 99, 100]
    assert ledger(drawings, Criteria(min_size=100, relative=2))["price"].to_list() == [97]
    assert ledger(drawings, Criteria(min_size=100, per_order=50))["price"].to_list() == [97, 100]


@pytest.mark.parametrize(("contract", "size"), [(LINEAR, 99 * 120 * 0.01), (INVERSE, 120 * 100)])
def test_sizes_are_in_the_unit_asked_for(contract, size):
    frame = walls(hand_made(*market("99 120 1"), contract=contract), "usd", Criteria(min_size=size)).frame
    assert frame["peak"].to_list() == pytest.approx([size])
    assert not len(
        walls(hand_made(*market("99 120 1"), contract=contract), "usd", Criteria(min_size=size * 1.01)).frame
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"percentile": 100}, "a percentile of 100"),
        ({"min_size": 0}, "min_size = 0"),
        ({"relative": -1}, "relative = -1"),
    ],
)
def test_impossible_criteria_are_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        Criteria(**wrong)


@st.composite
def any_market(draw):
    """Sides that roll, walls that come, go and change, and holes."""
    sides = []
    for _ in range(draw(st.integers(1, 12))):
        if sides and sides[-1] is not None and draw(st.integers(0, 6)) == 0:
            sides.append(None)
            continue
        top = draw(st.integers(0, 3))
        prices = [100 - 0.01 * (top + step) for step in range(4)]
        sides.append(", ".join(f"{price:.2f} {draw(st.sampled_from([5, 60, 100, 120, 300]))} 1" for price in prices))
    return market(*([*sides, "99.9 5 1"] if sides[-1] is None else sides))


@given(any_market(), st.sampled_from([2, 4, 400]))
def test_the_ledger_keeps_count_of_every_contract(drawings, depth):
    frame = ledger(drawings, depth=depth)
    assert (frame["size_born"] + frame["grown"] - frame["shrunk"] - frame["size_end"]).abs().max() in (None, 0)
    standing = frame.filter(pl.col("end") == "standing")["size_end"].sum()
    ended = frame.filter(pl.col("end") != "standing")["size_end"].sum()
    assert frame["size_born"].sum() + frame["grown"].sum() == frame["shrunk"].sum() + ended + standing
    last = drawings[-1]
    held = sum(float(qty) for price, qty, *_ in last.bids if is_standing(frame, float(price)))
    assert standing == held


def is_standing(frame, price):
    return len(frame.filter(pl.col("end") == "standing", pl.col("price") == price)) == 1


@given(any_market(), st.sampled_from([2, 4, 400]))
def test_a_mirrored_market_has_the_mirrored_walls(drawings, depth):
    frame, other = ledger(drawings, depth=depth), ledger(mirrored(drawings, 100.5), depth=depth)
    columns = ["began", "end", "t_from", "t_to", "size_born", "grown", "shrunk", "shrunk_at_touch", "size_end", "peak"]
    assert sorted(frame.select(columns).rows()) == sorted(other.select(columns).rows())
    assert set(other["side"]) <= {"ask"}


def test_lives_are_sorted_as_tracks_are_and_one_that_stands_is_as_near_as_it_is_now():
    rows = [
        (100.0, "standing", 0, 4_000, 9.0, 8.0, 1.0),
        (104.0, "pulled", 0, 1_000, 20.0, 20.0, 3.0),
        (103.0, "gap", 0, 30_000, 5.0, 5.0, 2.0),
    ]
    names = ["price", "end", "t_from", "t_to", "peak", "mean", "nearest_bps"]
    ledger = pl.DataFrame(rows, names, orient="row")

    def order(sort, last_mid=None):
        return lives_sorted_by(ledger, sort, last_mid)["price"].to_list()

    assert order("size") == [104, 100, 103]
    assert order("time") == [103, 100, 104]
    assert order("weight") == [103, 100, 104]
    assert order("near") == [100, 103, 104]
    assert order("near", 110.0) == [103, 104, 100], "price has left it: it is 909 bps away by now"
