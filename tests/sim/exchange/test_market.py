from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice, pairwise

import pytest

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import Memo, is_zero, price_key
from l2vault.errors import UsageError
from l2vault.okx.sequence import is_chained
from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.instruments import instrument_row, known_inst_ids
from l2vault.sim.exchange.market import Market

START_MS = 1_790_000_000_000
BTC, ETH, QUIET = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "UNI-USD-SWAP"
BANDS = (0, 1, 5, 25, 100, 399)
KEYS = Memo(price_key, 10_000)


def ticks_of(inst_ids: Sequence[str], count: int, seed: int = 1) -> list[Tick]:
    return list(islice(Market(inst_ids, seed, START_MS).ticks(), count))


def one_market(inst_id: str, ticks: list[Tick]) -> list[BookChange]:
    return [tick.change for tick in ticks if tick.change.inst_id == inst_id]


def quantile(values: list[int], share: float) -> int:
    return sorted(values)[int(len(values) * share)]


@dataclass
class Tally:
    """What a client of one busy instrument sees, counted while it replays."""

    levels: list[int] = field(default_factory=list)
    steps_ms: list[int] = field(default_factory=list)
    seq_steps: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    ranks: dict[str, Counter[int]] = field(default_factory=dict)
    orders: Counter[int] = field(default_factory=Counter)
    gaps: Counter[int] = field(default_factory=Counter)
    images: list[tuple[int, list[Level], list[Level]]] = field(default_factory=list)
    moved: int = 0

    def note(self, kind: str, rank: int) -> None:
        self.kinds[kind] += 1
        self.ranks.setdefault(kind, Counter())[max(band for band in BANDS if band <= rank)] += 1


def keys_of(levels: list[Level], sign: int) -> list[int]:
    """Ascending for a side that is best first."""
    return [sign * KEYS[level[0]] for level in levels]


def kind_of(held: list[Level], keys: list[int], key: int, level: Level) -> tuple[str, int]:
    rank = bisect_left(keys, key)
    is_held = rank < len(keys) and keys[rank] == key
    if is_zero(level[1]):
        return ("delete" if is_held else "delete unknown"), rank
    if not is_held:
        return "add", rank
    return ("same" if held[rank] == level else "change"), rank


@pytest.fixture(scope="module")
def btc() -> Tally:
    """A quarter of an hour of BTC-USDT-SWAP, replayed and counted."""
    tally, book = Tally(), Book()
    for number, (tick, following) in enumerate(pairwise(ticks_of([BTC], 8001))):
        change = tick.change
        if not change.is_snapshot:
            tally.levels.append(len(change.bids) + len(change.asks))
            sides = zip(book.top(CHANNEL_DEPTH), (-1, 1), (change.bids, change.asks), strict=True)
            for held, sign, levels in sides:
                keys = keys_of(held, sign)
                for level in levels:
                    tally.note(*kind_of(held, keys, sign * price_key(level[0]), level))
        before = book.top(1)
        book.apply(change)
        tally.moved += [side[0][0] for side in before if side] != [side[0][0] for side in book.top(1)]
        tally.steps_ms.append(following.ts_ms - tick.ts_ms)
        assert following.change.seq_id is not None and change.seq_id is not None
        tally.seq_steps.append(following.change.seq_id - change.seq_id)
        if number % 80 == 0:
            bids, asks = book.top(400)
            tally.images.append((tick.ts_ms, bids, asks))
            for held, sign in zip(book.top(CHANNEL_DEPTH), (-1, 1), strict=True):
                tally.orders.update(int(level[3]) for level in held)
                tally.gaps.update((worse - better) // 10**17 for better, worse in pairwise(keys_of(held, sign)))
    return tally


def test_every_instrument_begins_with_a_full_book_at_the_start_time() -> None:
    inst_ids = [BTC, ETH, QUIET]
    ticks = ticks_of(inst_ids, 40)
    assert [tick.change.inst_id for tick in ticks[:3]] == inst_ids
    for tick in ticks[:3]:
        assert tick.change.is_snapshot
        assert (tick.ts_ms, tick.change.ts_ms) == (START_MS, START_MS)
        assert (tick.change.prev_seq_id, tick.change.checksum, tick.frame) == (-1, 0, None)
        assert not any(is_zero(level[1]) for level in [*tick.change.bids, *tick.change.asks])
    assert not any(tick.change.is_snapshot for tick in ticks[3:])


def test_pushes_of_all_instruments_come_in_order_of_their_time() -> None:
    ticks = ticks_of(known_inst_ids(12), 3000)
    times = [tick.ts_ms for tick in ticks]
    assert times == sorted(times)
    assert {tick.change.inst_id for tick in ticks} == set(known_inst_ids(12))
    assert all(tick.ts_ms == tick.change.ts_ms and tick.frame is None and tick.change.checksum == 0 for tick in ticks)


@pytest.mark.parametrize("inst_id", [BTC, ETH, "BTC-USD-SWAP", "SHIB-USDT-SWAP", "WIDGET-USDT-SWAP"])
def test_a_busy_book_holds_exactly_400_a_side_and_never_crosses(inst_id: str) -> None:
    book = Book()
    for tick in ticks_of([inst_id], 2500):
        assert is_chained(tick.change, book.seq_id)
        book.apply(tick.change)
        bids, asks = book.top(401)
        assert (len(bids), len(asks)) == (400, 400)
        assert book.violation(is_live=True) is None


def test_a_short_book_never_crosses_nor_loses_its_chain_nor_fills_the_channel() -> None:
    book = Book()
    for tick in ticks_of([QUIET], 8000):
        assert is_chained(tick.change, book.seq_id)
        book.apply(tick.change)
        bids, asks = book.top(401)
        assert 150 < len(bids) < 400 and 150 < len(asks) < 400
        assert book.violation(is_live=True) is None


@pytest.mark.parametrize("inst_id", [BTC, "SHIB-USDT-SWAP", QUIET])
def test_a_full_book_emitted_later_equals_the_replayed_one(inst_id: str) -> None:
    market, replayed, fresh = Market([inst_id], 3, START_MS), Book(), Book()
    for tick in islice(market.ticks(), 3000):
        replayed.apply(tick.change)
    full = next(market.ticks()).change
    assert full.is_snapshot
    fresh.apply(full)
    assert fresh.top(400) == replayed.top(400)
    assert (fresh.seq_id, fresh.ts_ms) == (replayed.seq_id, replayed.ts_ms)


@pytest.mark.parametrize("inst_id", [BTC, ETH, "BTC-USD-SWAP", "SHIB-USDT-SWAP", QUIET, "WIDGET-USDC-SWAP"])
def test_levels_are_okx_s_strings_on_the_instrument_s_grids_in_order_of_price(inst_id: str) -> None:
    row = instrument_row(inst_id)
    tick_size, lot_size = Decimal(str(row["tickSz"])), Decimal(str(row["lotSz"]))
    for tick in ticks_of([inst_id], 600):
        for sign, levels in ((-1, tick.change.bids), (1, tick.change.asks)):
            order = [sign * price_key(level[0]) for level in levels]
            assert order == sorted(set(order))
            for level in levels:
                price, quantity, liquidated, orders = level
                for text in (price, quantity):
                    assert "." not in text or text[-1] not in ".0", level
                    assert text.replace(".", "", 1).isdigit(), level
                    assert not (text[0] == "0" and text[:2] != "0." and text != "0"), level
                assert Decimal(price) % tick_size == 0 and Decimal(quantity) % lot_size == 0
                assert liquidated == "0"
                assert (orders == "0") == (quantity == "0")


def test_the_same_arguments_give_the_same_market_and_another_seed_another() -> None:
    first = ticks_of([BTC, QUIET], 800, seed=5)
    assert ticks_of([BTC, QUIET], 800, seed=5) == first
    assert ticks_of([BTC, QUIET], 800, seed=6) != first


def test_an_instrument_does_not_depend_on_what_else_is_simulated() -> None:
    alone = one_market(ETH, ticks_of([ETH], 500))
    for others in ([BTC, ETH], [ETH, BTC], [*known_inst_ids(10), QUIET], [ETH, ETH]):
        among = one_market(ETH, ticks_of(others, 500 * len(others)))
        assert among[:400] == alone[:400]


def test_a_name_that_is_no_swap_is_refused() -> None:
    with pytest.raises(UsageError, match="BTC-USDT"):
        Market(["BTC-USDT"], 1, START_MS)


def test_messages_come_about_nine_times_a_second_in_steps_of_100_to_125_ms(btc: Tally) -> None:
    assert min(btc.steps_ms) >= 100
    assert 100 <= quantile(btc.steps_ms, 0.10) <= 105
    assert 109 <= quantile(btc.steps_ms, 0.50) <= 117
    assert 120 <= quantile(btc.steps_ms, 0.90) <= 127
    assert 8.0 <= 1000 * len(btc.steps_ms) / sum(btc.steps_ms) <= 9.3


def test_messages_are_as_large_as_those_of_2026_with_the_tail_of_2022(btc: Tally) -> None:
    assert min(btc.levels) == 1
    assert 2 <= quantile(btc.levels, 0.10) <= 7
    assert 5 <= quantile(btc.levels, 0.25) <= 12
    assert 8 <= quantile(btc.levels, 0.50) <= 23
    assert 18 <= quantile(btc.levels, 0.75) <= 36
    assert 60 <= quantile(btc.levels, 0.99) <= 163
    assert max(btc.levels) <= 500


def test_sequence_numbers_step_by_1_to_300_and_grow_by_about_2000_a_second(btc: Tally) -> None:
    assert min(btc.seq_steps) >= 1
    assert max(btc.seq_steps) <= 300
    assert 1800 <= 1000 * sum(btc.seq_steps) / sum(btc.steps_ms) <= 2200


def test_quiet_instruments_number_their_pushes_in_small_steps() -> None:
    steps = [
        change.seq_id - change.prev_seq_id
        for change in one_market(QUIET, ticks_of([QUIET], 2000))[1:]
        if change.seq_id is not None and change.prev_seq_id is not None
    ]
    assert 1 <= quantile(steps, 0.5) <= 20


def test_adds_equal_deletes_and_some_messages_delete_the_unknown_or_repeat_the_known(btc: Tally) -> None:
    total = btc.kinds.total()
    assert btc.kinds["add"] == btc.kinds["delete"]
    assert 0.60 <= (btc.kinds["add"] + btc.kinds["delete"]) / total <= 0.88
    assert 0.08 <= btc.kinds["change"] / total <= 0.30
    assert 0.005 <= btc.kinds["delete unknown"] / total <= 0.10
    assert 0.001 <= btc.kinds["same"] / total <= 0.07


@pytest.mark.parametrize(
    ("kind", "real", "tolerance"),
    [
        ("change", (0.135, 0.085, 0.265, 0.410, 0.104, 0.000), 0.12),
        ("add", (0.054, 0.096, 0.226, 0.364, 0.096, 0.164), 0.15),
        ("delete", (0.013, 0.118, 0.256, 0.355, 0.200, 0.058), 0.12),
    ],
)
def test_changes_fall_at_the_ranks_of_2022(btc: Tally, kind: str, real: tuple[float, ...], tolerance: float) -> None:
    """Shares at the ranks 0, 1-4, 5-24, 25-99, 100-398 and beyond, from 97 messages of BTC-USDT, no-ops left out."""
    ranks = btc.ranks[kind]
    assert [ranks[band] / ranks.total() for band in BANDS] == pytest.approx(real, abs=tolerance)


def test_some_messages_touch_one_side_only_and_most_leave_the_touch_alone(btc: Tally) -> None:
    changes = one_market(BTC, ticks_of([BTC], 2000))[1:]
    one_sided = sum(not change.bids or not change.asks for change in changes) / len(changes)
    assert 0.05 <= one_sided <= 0.35
    assert 0.10 <= btc.moved / len(btc.steps_ms) <= 0.45


def test_most_levels_are_one_order(btc: Tally) -> None:
    shares = {count: btc.orders[count] / btc.orders.total() for count in (1, 2, 3)}
    assert 0.61 <= shares[1] <= 0.86
    assert 0.10 <= shares[2] <= 0.19
    assert 0.03 <= shares[3] <= 0.08
    assert max(btc.orders) <= 80


def test_gaps_between_neighbours_and_the_span_are_those_of_2026(btc: Tally) -> None:
    shares = {gap: btc.gaps[gap] / btc.gaps.total() for gap in (1, 2, 3)}
    assert 0.26 <= shares[1] <= 0.51
    assert 0.15 <= shares[2] <= 0.23
    assert 0.11 <= shares[3] <= 0.16
    for _, bids, asks in btc.images:
        for side in (bids, asks):
            assert 0.0012 <= abs(float(side[-1][0]) / float(side[0][0]) - 1) <= 0.0030


def test_the_touch_is_large_and_the_far_levels_are_small(btc: Tally) -> None:
    touch = sorted(float(side[0][1]) for _, *sides in btc.images for side in sides)
    far = sorted(float(level[1]) for _, *sides in btc.images for side in sides for level in side[100:])
    assert 200 <= touch[len(touch) // 2] <= 1000
    assert 0.05 <= far[len(far) // 2] <= 1.0
    assert sum(int(side[0][3]) >= 4 for _, *sides in btc.images for side in sides) > 0.9 * 2 * len(btc.images)


@pytest.mark.parametrize("side", [1, 2])
def test_the_price_moves_in_bursts_that_roll_the_window(btc: Tally, side: int) -> None:
    """Of a side's 400 prices most are still there 9 s later as a rule, and at some time next to none 80 s later."""
    shown = [{level[0] for level in image[side]} for image in btc.images]
    soon = sorted(len(earlier & later) / 400 for earlier, later in pairwise(shown))
    late = [len(earlier & later) / 400 for earlier, later in zip(shown, shown[9:], strict=False)]
    assert soon[len(soon) // 2] > 0.5
    assert min(late) < 0.15


def lives(inst_id: str, least: float, count: int) -> Iterator[tuple[int, list[float]]]:
    """How long, in ms, each level first sent with a quantity of at least `least` stood, and its quantities."""
    standing: dict[str, tuple[int, list[float]]] = {}
    for tick in ticks_of([inst_id], count):
        for price, quantity, *_ in [*tick.change.bids, *tick.change.asks]:
            if price in standing and quantity == "0":
                born_ms, quantities = standing.pop(price)
                yield tick.ts_ms - born_ms, quantities
            elif price in standing:
                standing[price][1].append(float(quantity))
            elif float(quantity) >= least:
                standing[price] = (tick.ts_ms, [float(quantity)])


def test_walls_stand_for_minutes_until_they_are_pulled_or_eaten() -> None:
    walls = list(lives(BTC, 2000, 8000))
    assert len(walls) >= 5
    assert any(life_ms > 60_000 for life_ms, _ in walls)
    assert any(quantities[-1] > 0.8 * quantities[0] for _, quantities in walls)
    assert any(quantities[-1] < 0.6 * quantities[0] for _, quantities in walls)


def test_a_quiet_instrument_sends_a_heartbeat_after_each_minute_without_a_change() -> None:
    ticks = ticks_of([QUIET], 30_000)
    heartbeats = 0
    for before, tick in pairwise(ticks):
        change = tick.change
        assert tick.ts_ms - before.ts_ms <= 60_000
        if change.bids or change.asks:
            assert change.seq_id is not None and before.change.seq_id is not None
            assert change.seq_id > before.change.seq_id
        else:
            heartbeats += 1
            assert tick.ts_ms - before.ts_ms == 60_000
            assert change.seq_id == change.prev_seq_id == before.change.seq_id
    assert heartbeats >= 3


def test_a_busy_instrument_never_pauses_and_sends_no_heartbeat() -> None:
    ticks = ticks_of([ETH], 3000)
    assert max(later.ts_ms - earlier.ts_ms for earlier, later in pairwise(ticks)) < 2000
    assert all(tick.change.bids or tick.change.asks for tick in ticks)
