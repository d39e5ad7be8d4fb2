"""What price did at a level, on paths worked out by hand, and laws that hold of any path."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.analytics.chance.visits import Barriers, Levels, Path, visits

ONE = Barriers(near_bps=1.0, turn_bps=4.0)


def path(*moved_bps, holes=()):
    """Mid from 100 on, by how many bps it is away from that, every 2 s; holes before these books."""
    is_linked = np.array([at > 0 and at not in holes for at in range(len(moved_bps))])
    return Path(np.arange(len(moved_bps)) * 2_000, 100 * (1 + np.array(moved_bps) / 1e4), is_linked)


def at(*away_bps, is_ask=False, until_ms=np.inf):
    count = len(away_bps)
    return Levels(np.full(count, is_ask), np.array(away_bps, np.float64), np.full(count, float(until_ms)))


def told(found):
    return found.visits.tolist(), found.holds.tolist(), found.breaks.tolist()


def test_a_visit_begins_near_the_level_and_holds_when_price_turned():
    assert told(visits(path(0, -5, -9, -7, -6, 0), at(10), ONE)) == ([1], [1], [0])
    assert told(visits(path(0, -5, -8.9, 0), at(10), ONE)) == ([0], [0], [0])  # 1.1 bps away is not near


def test_it_breaks_when_price_went_through_by_as_much_and_that_took_so_long():
    found = visits(path(0, -9, -11, -13.9, -14), at(10), ONE)
    assert told(found) == ([1], [0], [1])
    assert found.break_ms.tolist() == [6_000]


def test_a_level_that_is_jumped_over_broke_at_once_and_is_no_level_any_more():
    found = visits(path(0, -20, 0, -9, 0), at(10), ONE)
    assert told(found) == ([1], [0], [1]) and found.break_ms.tolist() == [0]


def test_a_price_that_trembles_at_the_level_is_one_visit_and_one_that_comes_again_another():
    assert told(visits(path(0, -9, -7, -9, -11, -8, -10, 0), at(10), ONE)) == ([1], [1], [0])
    assert told(visits(path(0, -9, 0, -10, 0, -9), at(10), ONE)) == ([3], [2], [0])  # the last is open


def test_where_price_begins_at_the_level_no_visit_began():
    assert told(visits(path(0, -1, 2, 5), at(0.5), ONE)) == ([0], [0], [0])
    assert told(visits(path(0, 3, 0, 5), at(0.5), ONE)) == ([1], [1], [0])  # it went away first


def test_asks_are_bids_in_a_mirror():
    moves = 0, 5, 9, 11, 6, 0, 14
    assert told(visits(path(*moves), at(10, is_ask=True), ONE)) == ([2], [1], [1])
    assert told(visits(path(*moves), at(10), ONE)) == ([0], [0], [0])


def test_a_wall_that_is_gone_is_not_visited_but_what_came_before_counts():
    moves = 0, -9, 0, -9, -14  # begins at 2 s and at 6 s
    assert told(visits(path(*moves), at(10, until_ms=6_001), ONE)) == ([2], [1], [1])
    assert told(visits(path(*moves), at(10, until_ms=6_000), ONE)) == ([1], [1], [0])
    assert told(visits(path(*moves), at(10, until_ms=0), ONE)) == ([0], [0], [0])


def test_what_began_before_a_hole_does_not_end_behind_it():
    assert told(visits(path(0, -9, 0, 0, holes=[2]), at(10), ONE)) == ([1], [0], [0])
    assert told(visits(path(0, -9, -14, 0, -9, 0, holes=[3]), at(10), ONE)) == ([1], [0], [1])  # it stays broken


def test_levels_at_a_barrier_to_the_last_bit_have_reached_it():
    assert told(visits(path(0, -9.0, -6.0), at(10), ONE)) == ([1], [1], [0])


def test_volatility_is_of_the_moves_that_no_hole_lies_in():
    assert path(0, 3, 3, -1).volatility == pytest.approx(5, rel=1e-3)
    assert path(0, 3, 3, -1, holes=[3]).volatility == pytest.approx(3, rel=1e-3)


MOVES = st.lists(st.floats(-30, 30), min_size=1, max_size=60)


@given(MOVES, st.lists(st.floats(0.1, 25), min_size=1, max_size=5), st.sets(st.integers(1, 59)))
def test_a_level_breaks_once_at_most_and_nothing_is_decided_that_did_not_begin(moves, away, holes):
    found = visits(path(0, *moves, holes=holes), at(*away), ONE)
    assert (found.breaks <= 1).all() and (found.holds + found.breaks <= found.visits).all()
    assert (np.isfinite(found.break_ms) == (found.breaks == 1)).all()
    assert (found.break_ms[found.breaks == 1] >= 0).all()


@given(MOVES, st.floats(0.1, 25), st.floats(0.1, 25))
def test_what_one_level_meets_knows_nothing_of_the_others(moves, one, other):
    own = path(0, *moves)
    both = visits(own, at(one, other), ONE)
    for number, away in enumerate((one, other)):
        alone = visits(own, at(away), ONE)
        assert (both.visits[number], both.holds[number], both.breaks[number]) == (
            alone.visits[0],
            alone.holds[0],
            alone.breaks[0],
        )


def by_hand(moves, away, until_ms):
    """The same, book by book."""
    is_armed, begun, holds, breaks, at_work = False, 0, 0, 0, False
    for number, moved in enumerate(moves):
        left = away + moved
        if at_work:
            if left >= 4:
                holds, at_work, is_armed = holds + 1, False, True
            elif left <= -4:
                return begun, holds, breaks + 1
        elif is_armed and left <= 1:
            if number * 2_000 >= until_ms:
                return begun, holds, breaks
            begun += 1
            if left <= -4:
                return begun, holds, breaks + 1
            at_work = True
        is_armed |= left > 1
    return begun, holds, breaks


@given(st.lists(st.integers(-30, 30), min_size=1, max_size=60), st.integers(2, 25), st.integers(0, 130_000))
def test_the_matrix_says_what_a_walk_from_book_to_book_says(moves, away, until_ms):
    moves = [0.0, *(each + 0.25 for each in moves)]
    found = visits(path(*moves), at(away, until_ms=until_ms), ONE)
    assert (found.visits[0], found.holds[0], found.breaks[0]) == by_hand(moves, away, until_ms)
