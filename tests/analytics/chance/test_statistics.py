"""p, q, the interval and the two ways to draw chance, worked out by hand; and that chance gives any p alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.analytics.chance.statistics import (
    block_interval,
    classes_of,
    drawn_sums,
    p_value,
    q_values,
    shares,
    shifted_hits,
    shifts_of,
)


class Dealt:
    """A generator whose numbers are given."""

    def __init__(self, *numbers):
        self._numbers = numbers

    def integers(self, low, high, shape):
        drawn = np.resize(self._numbers, shape)
        assert low == 0 and drawn.max() < high
        return drawn


def ints(*numbers):
    return np.array(numbers, np.int64)


def test_p_is_one_more_than_the_draws_that_reach_the_rate_of_one_more_than_all():
    draws = np.array([0.2, 0.5, 0.6, 0.9])
    assert p_value(0.6, draws) == 3 / 5
    assert p_value(0.95, draws) == 1 / 5  # never 0
    assert p_value(0.1, draws) == 1


def test_a_draw_without_a_rate_counts_against_the_edge_and_a_tie_too():
    assert p_value(0.9, np.array([0.5, np.nan, 0.3])) == 2 / 4
    assert p_value(0.1 + 0.2, np.array([0.3])) == 1  # 0.30000000000000004


def test_q_is_by_benjamini_and_hochberg_in_the_order_given():
    # sorted: 0.01 * 4/1, 0.02 * 4/2, 0.03 * 4/3, 0.5 * 4/4; none is larger than a later one
    assert q_values([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert q_values([0.04]) == pytest.approx([0.04])
    assert len(q_values([])) == 0


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30))
def test_q_is_never_below_p_and_keeps_its_order(p):
    q = q_values(p)
    assert (q >= np.array(p) - 1e-12).all() and q.max() == pytest.approx(max(p))
    assert (np.diff(q[np.argsort(p)]) >= -1e-12).all()


def test_the_interval_is_of_whole_blocks_drawn_with_replacement():
    # blocks of 1 of 2 and 3 of 4; drawn: both, twice the first, twice the second, both
    dealt = Dealt(0, 1, 0, 0, 1, 1, 1, 0)
    low, high = block_interval(ints(1, 3), ints(2, 4), dealt, draws=4, least=2)
    rates = [4 / 6, 2 / 4, 6 / 8, 4 / 6]
    assert (low, high) == pytest.approx((np.quantile(rates, 0.025), np.quantile(rates, 0.975)))


def test_blocks_without_an_event_are_none_and_few_give_no_interval():
    dealt = Dealt(0, 1)
    assert block_interval(ints(1, 0, 3), ints(2, 0, 4), dealt, draws=1, least=2) == pytest.approx((4 / 6, 4 / 6))
    assert block_interval(ints(1, 1, 1, 1, 0), ints(2, 2, 2, 2, 0), dealt) is None


def test_a_shift_moves_the_signal_around_and_leaves_out_what_has_no_sign():
    signal, move = np.array([1.0, -2.0, np.nan, 4.0]), np.array([1.0, 5.0, -1.0, 0.0])
    hits, pairs = shifted_hits(signal, move)
    # by 0: (1, 1) (-2, 5) - -; by 1 the signal is 4, 1, -2, nan: (4, 1) (1, 5) (-2, -1); and so on
    assert hits.tolist() == [1, 3, 1, 0] and pairs.tolist() == [2, 3, 2, 2]


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, np.nan]), min_size=1, max_size=40), st.integers(0, 39))
def test_a_shift_by_the_transform_is_the_same_as_by_hand(signal, by):
    own = np.array(signal)
    move = np.roll(own, 3) * np.where(np.arange(len(own)) % 3 == 0, -1, 1)
    by %= len(own)
    turned = np.nan_to_num(np.roll(own, by)) * np.nan_to_num(move)
    hits, pairs = shifted_hits(own, move)
    assert (hits[by], pairs[by]) == ((turned > 0).sum(), (turned != 0).sum())


def test_shifts_are_all_there_are_but_the_near_ones_or_some_of_them_once():
    assert shifts_of(10, 3, np.random.default_rng(0)).tolist() == [3, 4, 5, 6, 7]
    assert len(shifts_of(10, 6, np.random.default_rng(0))) == 0
    some = shifts_of(5_000, 10, np.random.default_rng(0), draws=100)
    assert len(set(some.tolist())) == 100 and some.min() >= 10 and some.max() <= 4_990


def test_windows_of_like_volatility_are_a_class():
    assert [each.tolist() for each in classes_of(np.array([5.0, 1.0, 2.0]))] == [[1, 2, 0]]
    assert [len(each) for each in classes_of(np.arange(12.0))] == [6, 6]
    assert [len(each) for each in classes_of(np.arange(100.0))] == [10] * 10
    assert max(len(each) for each in classes_of(np.arange(1_000.0))) == 24


def test_a_draw_gives_the_levels_of_each_window_to_another_of_its_class_and_adds_up():
    holds, told = np.array([[1, 0], [2, 5]]), np.array([[1, 2], [2, 5]])
    alone = np.array([[7]]), np.array([[9]])
    sums, totals = drawn_sums([[holds, told], list(alone)], np.random.default_rng(1), draws=200)
    assert set(zip(sums.tolist(), totals.tolist(), strict=True)) == {(1 + 5 + 7, 1 + 5 + 9), (0 + 2 + 7, 2 + 2 + 9)}
    assert 60 < (sums == 13).sum() < 140  # each of the two orders about as often


def test_a_rate_of_nothing_is_none():
    assert np.isnan(shares(ints(0), ints(0))[0]) and shares(ints(1), ints(4))[0] == 0.25


def lasting(rng, count, keep):
    values = np.empty(count)
    value = rng.normal()
    for at, shock in enumerate(rng.normal(0, np.sqrt(1 - keep**2), count)):
        values[at] = value = value * keep + shock
    return values


def uniform(found):
    """The largest distance from the uniform distribution, in what of it is chance (Kolmogorov)."""
    own = np.sort(found)
    steps = np.arange(1, len(own) + 1) / len(own)
    return max(np.abs(own - steps).max(), np.abs(own - steps + 1 / len(own)).max()) * np.sqrt(len(own))


def test_of_signals_that_know_nothing_every_p_is_as_likely_however_long_they_last():
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hits, pairs = shifted_hits(lasting(rng, 400, 0.9), rng.normal(size=400))
        shifts = shifts_of(400, 30, rng)
        found.append(p_value(hits[0] / pairs[0], shares(hits[shifts], pairs[shifts])))
    assert uniform(found) < 1.63  # beyond it once in 100


def test_of_levels_that_know_nothing_every_p_is_as_likely():
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        told = rng.integers(1, 6, (12, 12))
        holds = rng.binomial(told, rng.random(12))  # of some windows all hold more often
        draws = drawn_sums([[holds[:6, :6], told[:6, :6]], [holds[6:, 6:], told[6:, 6:]]], rng, 199)
        rate = np.trace(holds) / np.trace(told)
        found.append(p_value(rate, shares(*draws)))
    assert uniform(found) < 1.63
