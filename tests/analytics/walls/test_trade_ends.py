"""How walls ended, by the trades at their price: each told by a small market and a few trades made for it."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.analytics.books import books_of
from l2vault.analytics.trades import TRADES, trades_of
from l2vault.analytics.walls.tracks import tracks_of
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.vault.coverage.proved import TimeStretch
from support.books import LINEAR, T0_MS, drawn, frames

LARGE = Criteria(min_size=100)
ASKS = "101 5 2, 102 5 1"
ALWAYS = [(0, 60_000)]


def market(*bids):
    """A book every 2 s with these bids."""
    return [drawn(number * 2_000, side, ASKS) for number, side in enumerate(bids)]


def traded(*rows, proved=ALWAYS, lost=()):
    """Sales by takers (ms, price, contracts), or with a fourth word `buy` or `rpi` what that says; the time in which no
    trade is missing, and where some were lost."""
    tape = [
        (T0_MS + ms, float(price), float(qty), word == ["buy"], word == ["rpi"], 1) for ms, price, qty, *word in rows
    ]
    stretches = [TimeStretch(T0_MS + start, T0_MS + end, "proved", "") for start, end in proved]
    stretches += [TimeStretch(T0_MS + start, T0_MS + end, "missing", "disconnect") for start, end in lost]
    return trades_of(pl.DataFrame(tape, TRADES, orient="row"), stretches)


def ledger(bids, trades, criteria=LARGE, unit="contracts"):
    return walls(books_of(*frames(market(*bids)), LINEAR, trades), unit, criteria).frame


def told(bids, trades):
    return ledger(bids, trades).select("end", "end_from", "traded", "cancelled", "consumed_share").rows()


GONE = ("99 150 1, 98 5 1", "99 150 1, 98 5 1", "98 5 1")
"""A wall of 150 at the touch, which the book of 4 s lacks."""


@pytest.mark.parametrize(
    ("trades", "answer"),
    [
        ([(3_000, 99, 150)], ("consumed", "trades", 150, 0, 1.0)),
        ([(2_001, 99, 100), (4_000, 99, 20)], ("consumed", "trades", 120, 30, 0.8)),
        ([(3_000, 99, 30)], ("pulled", "trades", 30, 120, 0.2)),
        ([], ("pulled", "trades", 0, 150, 0.0)),
        ([(3_000, 99, 75)], ("consumed", "trades", 75, 75, 0.5)),
        ([(3_000, 98, 150)], ("pulled", "trades", 0, 150, 0.0)),  # at another price
        ([(3_000, 99, 150, "buy")], ("pulled", "trades", 0, 150, 0.0)),  # of takers of the other side
        ([(3_000, 99, 150, "rpi")], ("pulled", "trades", 0, 150, 0.0)),  # against an order that is in no book
        ([(4_001, 99, 150)], ("pulled", "trades", 0, 150, 0.0)),  # after the book that lacks it
    ],
)
def test_what_left_a_wall_was_traded_or_cancelled(trades, answer):
    assert told(GONE, traded(*trades)) == [answer]


def test_what_was_traded_before_the_first_book_with_the_wall_is_none_of_it():
    bids = ("98 5 1", "99 150 1, 98 5 1", "98 5 1")
    assert told(bids, traded((2_000, 99, 150))) == [("pulled", "trades", 0, 150, 0.0)]
    assert told(bids, traded((2_001, 99, 150))) == [("consumed", "trades", 150, 0, 1.0)]


def test_trades_that_were_filled_up_again_excuse_no_later_withdrawal():
    """It was hit for 300 and stood as before; then it was taken away."""
    bids = ("99 150 1, 98 5 1", "99 150 1, 98 5 1", "99 150 1, 98 5 1", "98 5 1")
    assert told(bids, traded((1_000, 99, 150), (3_000, 99, 150))) == [("pulled", "trades", 300, 150, 0.0)]


def test_a_wall_of_which_far_more_was_traded_than_it_ever_showed_was_refilled():
    bids = ("99 150 1, 98 5 1", "99 120 1, 98 5 1", "98 5 1")
    row = ledger(bids, traded((1_000, 99, 105), (3_000, 99, 120))).row(0, named=True)
    assert (row["end"], row["traded"], row["consumed_share"]) == ("refilled", 225, 1.0)
    assert row["filled_at_touch_share"] == 0.2 and not row["refilled"]  # what the books alone say stays
    assert told(bids, traded((1_000, 99, 30), (3_000, 99, 120)))[0][0] == "consumed"


def test_a_hole_that_leaves_both_open_makes_the_end_unknown():
    hole = {"proved": [(0, 2_500), (3_500, 60_000)], "lost": [(2_500, 3_500)]}
    assert told(GONE, traded(**hole)) == [("unknown", "trades", 0, 0, None)]
    assert told(GONE, traded((2_100, 99, 60), **hole)) == [("unknown", "trades", 60, 0, None)]


def test_a_hole_that_cannot_change_the_answer_does_not_hide_it():
    hole = {"proved": [(0, 2_500), (3_500, 60_000)], "lost": [(2_500, 3_500)]}
    assert told(GONE, traded((2_100, 99, 90), **hole)) == [("consumed", "trades", 90, 0, 0.6)]
    bids = ("99 150 1, 98 5 1", "99 130 1, 98 5 1", "98 5 1")
    early = {"proved": [(0, 500), (1_500, 60_000)], "lost": [(500, 1_500)]}
    assert told(bids, traded(**early)) == [("pulled", "trades", 0, 130, 0.0)]


def test_a_hole_while_nothing_fell_says_nothing():
    assert told(GONE, traded((3_000, 99, 150), proved=[(0, 100), (1_900, 60_000)], lost=[(100, 1_900)])) == [
        ("consumed", "trades", 150, 0, 1.0)
    ]


def test_where_no_trades_were_recorded_the_end_is_inferred_and_says_so():
    none = [("consumed", "inferred", None, None, None)]
    assert told(GONE, None) == none
    assert told(GONE, traded(proved=[(6_000, 60_000)])) == none  # before the first of them
    behind = ledger(GONE, traded(proved=[(0, 3_000)]))  # the newest came while it stood
    assert behind.select("end", "end_from").rows() == [("consumed", "inferred")]


def test_of_a_wall_that_ended_before_trades_were_recorded_nothing_is_said_to_be_traded():
    """Though they were when another one ended, of which they are read with it."""
    bids = (*GONE, "98 5 1", *GONE)
    rows = ledger(bids, traded((11_000, 99, 150), proved=[(7_000, 60_000)])).sort("t_from")
    assert rows.select("end", "end_from", "traded", "cancelled", "consumed_share").rows() == [
        ("consumed", "inferred", None, None, None),
        ("consumed", "trades", 150, 0, 1.0),
    ]


def test_an_end_that_no_trade_can_tell_stays_as_it_was():
    standing = ("99 150 1, 98 5 1", "99 150 1, 98 5 1")
    assert ledger(standing, traded((1_000, 99, 40))).select("end", "end_from").rows() == [("standing", None)]


def test_a_wall_pulled_at_the_touch_and_placed_elsewhere_has_moved_and_one_consumed_has_not():
    bids = ("99 150 1, 98 5 1", "98.99 150 1, 98 5 1", "98.99 150 1, 98 5 1")
    assert ledger(bids, None)["end"].to_list() == ["consumed", "standing"]
    assert ledger(bids, traded())["end"].to_list() == ["moved", "standing"]
    assert ledger(bids, traded((1_000, 99, 150)))["end"].to_list() == ["consumed", "standing"]


def test_trades_are_asked_of_what_only_they_make_part_of_a_wall_too():
    """Of these at least 6 s are asked: the first stood for 6, the second, to which it moved from the touch, for 4."""
    bids = (*["99 150 1, 98 5 1"] * 3, *["98.99 150 1, 98 5 1"] * 2, "98 5 1")
    frame = ledger(bids, traded((9_000, 98.99, 150)), Criteria(min_size=100, min_life_ms=6_000))
    assert frame.select("end", "end_from").rows() == [("moved", "trades"), ("consumed", "trades")]


def test_at_the_touch_only_what_is_nearly_the_same_size_has_moved():
    """146 comes for 150: 0.973 of it. 144: 0.96, which would do away from the touch."""
    for size, end in ((146, "moved"), (144, "pulled")):
        bids = ("99 150 1, 98 5 1", f"98.99 {size} 1, 98 5 1", f"98.99 {size} 1, 98 5 1")
        assert ledger(bids, traded())["end"].to_list() == [end, "standing"]
        behind = (
            "99 5 1, 98.9 150 1, 98 5 1",
            f"99 5 1, 98.89 {size} 1, 98 5 1",
            f"99 5 1, 98.89 {size} 1, 98 5 1",
        )
        assert ledger(behind, traded())["end"].to_list() == ["moved", "standing"]


def test_what_left_view_was_not_cancelled():
    bids = ("99 5 1, 98 150 1", "100 5 1, 99 5 1")
    row = walls(books_of(*frames(market(*bids), 2), LINEAR, traded()), "contracts", LARGE).frame.row(0, named=True)
    assert (row["end"], row["end_from"], row["cancelled"], row["consumed_share"]) == ("left view", None, None, None)


def test_a_track_has_what_was_traded_of_all_its_lives():
    bids = ("99 150 1, 98 5 1", "98.99 150 1, 98 5 1", "98 5 1")
    (track,) = tracks_of(ledger(bids, traded((3_000, 98.99, 150)))).to_dicts()
    names = ("end", "end_from", "traded", "cancelled", "consumed_share")
    assert [track[name] for name in names] == ["consumed", "trades", 150, 150, 1.0]


def test_sizes_are_in_the_unit_asked_for_and_the_method_says_that_trades_were_asked():
    in_usd = ledger(GONE, traded((3_000, 99, 150)), Criteria(min_size=100), "usd")
    assert in_usd["traded"].to_list() == [pytest.approx(150 * 0.01 * 99)]
    for trades, method in ((traded(), "walls/4"), (None, "walls/2")):
        result = walls(books_of(*frames(market(*GONE)), LINEAR, trades), "contracts", LARGE)
        assert result.provenance.method == method
        assert result.provenance.settings["is_ended_by_trades"] == (trades is not None)


SIZES = st.lists(st.integers(100, 300), min_size=1, max_size=6)
TAPE = st.lists(st.tuples(st.integers(0, 15_000), st.sampled_from([98, 99]), st.integers(1, 400)), max_size=12)


@given(sizes=SIZES, rows=TAPE)
def test_what_fell_was_filled_or_cancelled(sizes, rows):
    """By hand, step by step: a wall at the touch of these sizes, then none."""
    bids = [*(f"99 {size} 1, 98 5 1" for size in sizes), "98 5 1", "98 5 1"]
    row = ledger(bids, traded(*rows)).row(0, named=True)
    falls = [max(0, now - after) for now, after in zip(sizes, [*sizes[1:], 0], strict=True)]
    taken = [
        sum(qty for ms, price, qty in rows if price == 99 and at * 2_000 < ms <= (at + 1) * 2_000)
        for at in range(len(sizes))
    ]
    cancelled = sum(max(0, fall - own) for fall, own in zip(falls, taken, strict=True))
    assert (row["traded"], row["cancelled"]) == (sum(taken), cancelled)
    assert row["consumed_share"] == pytest.approx(1 - cancelled / sum(falls))
    assert 0 <= row["consumed_share"] <= 1
    assert (row["end"] == "pulled") == (cancelled > sum(falls) / 2)
