"""The level-interval table: its rules of time, and that it gives the lines back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.snapshot import to_line
from l2vault.vault.archive.columns import read_columns
from l2vault.vault.archive.intervals import hour_of_lines
from l2vault.vault.archive.rebuild import lines_of_hour
from support.hours import HOUR_AT_MS, INST, hours_of_lines, levels, line

HOUR_MS = 3_600_000


def table(snapshots, holes=(), after_ms=10_000):
    columns = read_columns([to_line(snapshot) for snapshot in snapshots], INST)
    spans = [(HOUR_AT_MS + start, HOUR_AT_MS + end) for start, end in holes]
    return hour_of_lines(columns, spans, HOUR_AT_MS + after_ms)


def rows(hour):
    """`(side, price, qty, orders, t_from, t_to)` with times from the start of the hour."""
    found = []
    for row in hour.levels.to_pylist():
        price, qty = row["price_num"] / row["price_den"], row["qty_num"] / row["qty_den"]
        times = row["t_from"] - HOUR_AT_MS, row["t_to"] - HOUR_AT_MS
        found.append((row["side"], price, qty, row["orders"], *times))
    return sorted(found, key=repr)


def reach(hour):
    return [row["t_to"] - HOUR_AT_MS for row in hour.snapshots.to_pylist()]


HOLES = st.lists(st.integers(0, 200_000), max_size=6, unique=True).map(
    lambda edges: [tuple(pair) for pair in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False)]
)


@given(hours_of_lines(), HOLES)
def test_the_lines_come_back_byte_for_byte(snapshots, holes):
    lines = [to_line(snapshot) for snapshot in snapshots]
    assert lines_of_hour(table(snapshots, holes), INST) == lines


@given(hours_of_lines(), HOLES)
def test_the_book_at_a_line_is_the_rows_that_stand_then(snapshots, holes):
    times = [snapshot.ts_ms for snapshot in snapshots]
    hour = table(snapshots, holes, after_ms=HOUR_MS)
    for snapshot in snapshots:
        if times.count(snapshot.ts_ms) > 1:
            continue
        standing = [row for row in hour.levels.to_pylist() if row["t_from"] <= snapshot.ts_ms < row["t_to"]]
        expected = [(side, float(level[0])) for side in ("bid", "ask") for level in getattr(snapshot, f"{side}s")]
        assert sorted((row["side"], row["price_num"] / row["price_den"]) for row in standing) == sorted(expected)


@given(hours_of_lines(), HOLES)
def test_no_row_stands_inside_a_hole_unless_a_line_lies_there(snapshots, holes):
    times = [snapshot.ts_ms - HOUR_AT_MS for snapshot in snapshots]
    for *_, t_from, t_to in rows(table(snapshots, holes)):
        for start, end in holes:
            if not any(start <= time < end for time in times) and t_from < end and t_to > start:
                assert t_to <= start or (t_to - 1 in times and t_to - 1 <= start)


def test_a_row_ends_at_the_first_line_without_it():
    hour = table([line(0, levels("100 5 2"), []), line(2000, levels("100 5 2"), []), line(4000, levels("99 1 1"), [])])
    assert rows(hour) == [("bid", 100.0, 5.0, 2, 0, 4000), ("bid", 99.0, 1.0, 1, 4000, 10_000)]


@pytest.mark.parametrize("changed", ["100 6 2", "100 5 3", "100.0 5 2"], ids=["quantity", "orders", "spelling"])
def test_a_level_that_changes_in_anything_is_a_new_row(changed):
    hour = table([line(0, levels("100 5 2"), []), line(2000, levels(changed), [])])
    assert [(row[4], row[5]) for row in rows(hour)] == [(0, 2000), (2000, 10_000)]


def test_the_same_level_on_the_other_side_is_another_row():
    hour = table([line(0, levels("100 5 2"), []), line(2000, [], levels("100 5 2"))])
    assert rows(hour) == [("ask", 100.0, 5.0, 2, 2000, 10_000), ("bid", 100.0, 5.0, 2, 0, 2000)]


def test_behind_a_flagged_line_every_row_ends_and_begins_anew():
    same = levels("100 5 2")
    hour = table([line(0, same, []), line(1500, same, [], gap_detected=True), line(6000, same, [])])
    assert [(row[4], row[5]) for row in rows(hour)] == [(0, 1501), (6000, 10_000)]
    assert reach(hour) == [1500, 1501, 10_000]


def test_a_flagged_line_of_the_same_time_as_an_unflagged_one_adds_no_moment():
    same = levels("100 5 2")
    hour = table([line(0, same, []), line(0, same, [], gap_detected=True, prev_seq_id=77), line(6000, same, [])])
    assert [(row[4], row[5]) for row in rows(hour)] == [(0, 1), (6000, 10_000)]


def test_two_books_of_one_time_do_not_stand_together():
    hour = table([line(0, levels("100 5 2"), [], gap_detected=True), line(0, levels("99 1 1"), [])])
    assert rows(hour) == [("bid", 100.0, 5.0, 2, 0, 0), ("bid", 99.0, 1.0, 1, 0, 10_000)]


def test_a_row_ends_where_a_hole_begins_and_another_begins_behind_it():
    same = levels("100 5 2")
    hour = table([line(0, same, []), line(8000, same, [])], holes=[(3100, 7900)])
    assert [(row[4], row[5]) for row in rows(hour)] == [(0, 3100), (8000, 10_000)]


def test_without_a_hole_a_row_goes_on_however_long_no_line_came():
    same = levels("100 5 2")
    assert [(row[4], row[5]) for row in rows(table([line(0, same, []), line(8000, same, [])]))] == [(0, 10_000)]


def test_what_stands_at_the_end_goes_on_to_the_next_hour_or_to_the_hole_before_it():
    assert reach(table([line(0)], after_ms=7000)) == [7000]
    assert reach(table([line(0)], holes=[(5000, 7000)], after_ms=7000)) == [5000]
    assert reach(table([line(0)], holes=[(0, 7000)], after_ms=7000)) == [1]


def test_the_snapshots_hold_what_the_levels_cannot():
    empty = line(2000, [], [], depth=5, checksum=None, seq_id=None, prev_seq_id=None, gap_detected=True)
    hour = table([line(0, checksum=-7, seq_id=2**40, prev_seq_id=-1), empty])
    assert hour.snapshots.to_pylist() == [
        {
            "timestamp": HOUR_AT_MS,
            "t_to": HOUR_AT_MS + 2000,
            "seqId": 2**40,
            "prevSeqId": -1,
            "checksum": -7,
            "gap_detected": False,
            "best_bid": 100.0,
            "best_ask": 100.5,
            "depth": 400,
            "worst_bid": 99.5,
            "worst_ask": 100.5,
            "bids": 2,
            "asks": 1,
            "best_bid_qty": 5.0,
            "best_ask_qty": 7.0,
        },
        {
            "timestamp": HOUR_AT_MS + 2000,
            "t_to": HOUR_AT_MS + 2001,
            "seqId": None,
            "prevSeqId": None,
            "checksum": None,
            "gap_detected": True,
            "best_bid": None,
            "best_ask": None,
            "depth": 5,
            "worst_bid": None,
            "worst_ask": None,
            "bids": 0,
            "asks": 0,
            "best_bid_qty": None,
            "best_ask_qty": None,
        },
    ]


def test_an_hour_without_lines_is_an_hour_without_rows():
    hour = hour_of_lines(read_columns([], INST), [], HOUR_AT_MS)
    assert (len(hour.levels), len(hour.snapshots), lines_of_hour(hour, INST)) == (0, 0, [])
