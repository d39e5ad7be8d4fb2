from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.change import Level
from l2vault.sim.exchange.market_shape import Shape, shape_of
from l2vault.sim.exchange.market_side import MarketSide

FULL = shape_of("BTC-USDT-SWAP")
SHORT = shape_of("NOT-USDT-SWAP")


def side_of(shape: Shape, sign: int = 1, seed: int = 1) -> MarketSide:
    return MarketSide(sign, shape.start_tick, shape, Random(seed))


def applied(shown: list[Level], changes: list[Level], sign: int) -> list[Level]:
    """The book of a client that held `shown` and receives `changes`, best first."""
    held = {level[0]: level for level in shown}
    for level in changes:
        if level[1] == "0":
            held.pop(level[0], None)
        else:
            held[level[0]] = level
    return sorted(held.values(), key=lambda level: sign * float(level[0]))


def wall_of(side: MarketSide, until_ms: int = 10**9) -> tuple[int, Level]:
    """Raises a wall; its rank and its level."""
    before = {level[0]: level for level in side.image()}
    side.raise_wall(until_ms)
    [wall] = [level for level in side.image() if before.get(level[0]) != level]
    return [level[0] for level in side.image()].index(wall[0]), wall


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([FULL, SHORT]),
    sign=st.sampled_from([1, -1]),
    seed=st.integers(0, 2**32),
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["stir", "eat", "lay", "wall", "pull", "refill"]), st.integers(1, 400)),
            max_size=6,
        ),
        max_size=12,
    ),
)
def test_a_client_that_applies_every_change_holds_the_image(
    shape: Shape, sign: int, seed: int, batches: list[list[tuple[str, int]]]
) -> None:
    side = side_of(shape, sign, seed)
    shown = side.image()
    for batch in batches:
        for what, amount in batch:
            if what == "stir":
                side.stir(amount, side.best - 3)
            elif what == "eat":
                side.eat(side.best + amount)
            elif what == "lay":
                side.lay(side.best - amount)
            elif what == "wall":
                side.raise_wall(amount)
            elif what == "pull":
                side.pull_walls(amount)
            else:
                side.refill()
        changes = side.changes()
        order = [sign * float(price) for price, *_ in changes]
        assert order == sorted(set(order))
        before, shown = shown, applied(shown, changes, sign)
        assert shown == side.image()
        if len(before) == len(shown) == 400:
            assert order[-1:] <= [max(sign * float(before[-1][0]), sign * float(shown[-1][0]))]
        assert 1 <= len(shown) <= 400


def test_what_is_pushed_out_of_the_window_is_deleted_and_comes_back_as_it_was() -> None:
    side = side_of(FULL)
    before = side.image()
    side.lay(side.best - 30)
    pushed = side.changes()
    deleted = [level[0] for level in pushed if level[1] == "0"]
    assert deleted == [level[0] for level in before[-len(deleted) :]]
    assert len(deleted) >= 3

    old_best = round(float(before[0][0]) * 10)
    side.eat(old_best)
    returned = side.changes()
    assert returned[-len(deleted) :] == before[-len(deleted) :]
    assert side.image() == before


def test_nothing_is_set_at_or_below_the_limit() -> None:
    side = side_of(FULL)
    limit = side.best - 4
    for _ in range(2000):
        side.stir(3, limit)
        side.refill()
        assert side.best > limit


def test_gaps_stay_geometric_however_long_orders_stir() -> None:
    side = side_of(FULL)
    gaps: Counter[int] = Counter()
    for _ in range(60):
        side.stir(1500, side.best - 1)
        side.refill()
        gaps.update(after - before for before, after in pairwise(side.keys[1:150]))
    total = gaps.total()
    for gap in (1, 2, 3, 4):
        expected = FULL.occupied * (1 - FULL.occupied) ** (gap - 1)
        assert gaps[gap] / total == pytest.approx(expected, abs=0.03)


def test_a_trade_takes_every_level_before_its_limit_and_the_next_best_grows_to_a_touch() -> None:
    side = side_of(FULL)
    keys = list(side.keys)
    limit = keys[6] + 1
    assert side.eat(limit) == min(limit, keys[7])
    side.refill()
    assert side.keys[: 400 - 7] == keys[7:400]
    changes = side.changes()
    assert [level[1] for level in changes[:7]] == ["0"] * 7
    assert float(changes[7][1]) > 200


def test_the_last_level_is_never_eaten() -> None:
    side = side_of(SHORT)
    last = side.keys[-1]
    assert side.eat(last + 1000) == last
    assert side.keys == [last]


def test_a_wall_stops_a_trade_until_it_has_been_eaten_down() -> None:
    side = side_of(FULL)
    rank, wall = wall_of(side)
    assert float(wall[1]) > 2000
    key = side.keys[rank]
    sizes = [float(wall[1])]
    while side.eat(key + 1) == key:
        assert side.best == key
        sizes.append(float(side.image()[0][1]))
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) >= 3
    assert key not in side.keys


def test_passing_orders_neither_cancel_nor_dwarf_a_wall() -> None:
    side = side_of(FULL)
    rank, wall = wall_of(side)
    key = side.keys[rank]
    for _ in range(300):
        side.stir(5, side.best - 1)
    now = next(level for level in side.image() if level[0] == wall[0])
    assert key in side.keys
    assert float(now[1]) > float(wall[1]) / 3


def test_a_wall_is_pulled_when_its_time_is_over_and_not_before() -> None:
    side = side_of(FULL)
    rank, wall = wall_of(side, until_ms=5000)
    key = side.keys[rank]
    side.pull_walls(4999)
    assert key in side.keys
    side.changes()
    side.pull_walls(5000)
    assert (wall[0], "0", "0", "0") in side.changes()


def test_walls_stand_at_round_prices_and_no_more_than_five_at_once() -> None:
    side = side_of(FULL)
    before = set(side.image())
    for _ in range(50):
        side.raise_wall(10**9)
    walls = [level for level in side.image() if level not in before and float(level[1]) > 1300]
    assert 1 <= len(walls) <= 5
    assert all(float(level[0]) % 10 == 0 for level in walls)


def test_a_short_book_keeps_its_own_depth() -> None:
    side = side_of(SHORT)
    for _ in range(500):
        side.stir(20, side.best - 1)
        side.refill()
        assert SHORT.levels <= len(side.image()) <= SHORT.levels * 9 / 8
