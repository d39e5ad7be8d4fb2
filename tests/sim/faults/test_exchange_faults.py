"""Faults of the exchange itself: what is true changes, and every connection, REST and the oracle agree on it."""

import json
from decimal import Decimal
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.book import Book
from l2vault.book.price import price_key
from l2vault.okx.checksum import book_checksum
from l2vault.okx.sequence import is_chained
from l2vault.sim.exchange.levels import ASK, BID, difference
from l2vault.sim.exchange.market import Market
from l2vault.sim.faults.exchange import _on_grid
from l2vault.sim.server.rest import answer
from support.captured import read_books
from support.rehearsal import BTC, ETH, SEQ, START_MS, Stage, rehearse, timeline

DERIVED = "derived/DERIVED_BTC-USDT-SWAP_from-binance-20240808.jsonl.zst"


def sequence(viewer, inst_id=BTC):
    return [(push.prev_seq_id, push.seq_id) for push in viewer.pushes if push.inst_id == inst_id]


def assert_all_agree(stage, inst_ids=(BTC,)):
    """Every connection applied every push to the exchange's own book of that push, and REST and new clients get it."""
    for inst_id in inst_ids:
        truths = stage.oracle.truths(inst_id)
        for viewer in stage.viewers:
            book, pushes = Book(), [push for push in viewer.pushes if push.inst_id == inst_id]
            for push, truth in zip(pushes, truths, strict=True):
                assert is_chained(push, book.seq_id)
                book.apply(push)
                assert book.top(1000) == truth.image
                assert (push.seq_id, book.ts_ms) == (truth.seq_id, truth.ts_ms)
        full = stage.exchange.full_book(inst_id)
        assert ((full.bids, full.asks), full.seq_id) == (truths[-1].image, truths[-1].seq_id)
        (row,) = json.loads(answer(stage.exchange, f"/api/v5/market/books?instId={inst_id}&sz=400", 0).body)["data"]
        assert ([tuple(bid) for bid in row["bids"]], row["seqId"]) == (truths[-1].image.bids, truths[-1].seq_id)


async def test_maintenance_restarts_the_sequence_for_everybody(clock):
    stage = await rehearse(clock, f"reset:push=3,inst={BTC}", timeline(5, BTC, ETH), connections=2)

    expected = [(-1, 1000), (1000, 1010), (1010, 1020), (1020, 3), (3, 13), (13, 23)]
    assert [sequence(viewer) for viewer in stage.viewers] == [expected, expected]
    assert sequence(stage.viewers[0], ETH)[-1] == (1040, 1050)
    assert [truth.epoch for truth in stage.oracle.truths(BTC)] == [0, 0, 0, 1, 1, 1]
    assert_all_agree(stage, (BTC, ETH))


async def test_a_sequence_may_restart_again_and_at_any_small_number(clock):
    stage = await rehearse(clock, "reset:push=2,every=2,times=2,to=0", timeline(6))

    assert sequence(stage.viewers[0]) == [(-1, 1000), (1000, 1010), (1010, 0), (0, 10), (10, 0), (0, 10), (10, 20)]
    assert_all_agree(stage)


@pytest.mark.parametrize(
    ("lost", "hit"), [("none", []), ("first", [0]), ("second", [1]), ("all", [0, 1]), ("2", [1]), ("odd", [0])]
)
async def test_the_message_that_restarts_the_sequence_may_be_lost(clock, lost, hit):
    stage = await rehearse(clock, f"reset:push=3,lost={lost}", timeline(5), connections=2)

    for place, viewer in enumerate(stage.viewers):
        numbers = [seq_id for _, seq_id in sequence(viewer)]
        assert numbers == [1000, 1010, 1020, *([] if place in hit else [3]), 13, 23]
        assert viewer.breaks() == ([(13 - SEQ) // 10] if place in hit else [])


async def test_neither_a_heartbeat_nor_a_full_book_restarts_a_sequence(clock):
    ticks = timeline(5)
    beat = msgspec.structs.replace(ticks[2].change, bids=[], asks=[], seq_id=1010, prev_seq_id=1010)
    full = msgspec.structs.replace(ticks[3].change, is_snapshot=True, prev_seq_id=-1, seq_id=1015)
    ticks[2], ticks[3] = ticks[2]._replace(change=beat), ticks[3]._replace(change=full)
    ticks[4] = ticks[4]._replace(change=msgspec.structs.replace(ticks[4].change, prev_seq_id=1015))
    stage = await rehearse(clock, "reset:push=2", ticks)

    assert sequence(stage.viewers[0]) == [(-1, 1000), (1000, 1010), (1010, 1010), (-1, 1015), (1015, 3), (3, 13)]


async def test_a_feed_without_numbers_has_nothing_to_restart(clock):
    ticks = [
        tick._replace(change=msgspec.structs.replace(tick.change, seq_id=None, prev_seq_id=None))
        for tick in timeline(3)
    ]
    stage = await rehearse(clock, "reset:push=2", ticks)

    assert sequence(stage.viewers[0]) == [(None, None)] * 4


def row(stage, inst_id=BTC):
    (one,) = json.loads(answer(stage.exchange, f"/api/v5/public/instruments?instType=SWAP&instId={inst_id}", 0).body)[
        "data"
    ]
    return one


def market(count, *inst_ids):
    return list(islice(Market(inst_ids or (BTC,), 5, START_MS).ticks(), count))


@pytest.mark.parametrize("how", ["full", "levels"])
async def test_a_new_tick_size_is_announced_then_in_force_and_the_book_stands_on_its_grid(clock, how):
    stage = Stage(clock, f"tick-size:tick=0.5,at=2s,notice=3s,how={how},inst={BTC}", market(120, BTC, ETH))
    rows = []
    stage.exchange.watch(
        lambda inst_id, change, book: rows.append((change.ts_ms - START_MS, row(stage)["tickSz"], row(stage)["upcChg"]))
    )
    stage.enter(BTC, ETH)
    stage.enter(BTC, ETH)
    await stage.play()

    announced = [{"param": "tickSz", "newValue": "0.5", "effTime": str(START_MS + 5000)}]
    for at_ms, tick_size, upcoming in rows:
        assert tick_size == ("0.1" if at_ms < 5000 else "0.5")
        assert upcoming == (announced if 2000 <= at_ms < 5000 else [])
    assert (row(stage, ETH)["tickSz"], row(stage, ETH)["upcChg"]) == ("0.01", [])
    for truth in stage.oracle.truths(BTC):
        prices = [Decimal(level[0]) for side in truth.image for level in side]
        assert all(price % Decimal("0.5") == 0 for price in prices) == (truth.ts_ms >= START_MS + 5000)
    full_books = [push.ts_ms for push in stage.viewers[0].pushes if push.is_snapshot and push.inst_id == BTC]
    assert len(full_books) == (2 if how == "full" else 1)
    assert_all_agree(stage, (BTC, ETH))


LEVELS = st.dictionaries(st.integers(1, 400), st.tuples(st.integers(1, 500), st.integers(1, 9)), min_size=1)


@given(LEVELS, st.sampled_from([BID, ASK]), st.sampled_from(["0.3", "1", "0.1", "0.01", "25"]))
def test_levels_go_to_the_next_price_of_the_grid_away_from_the_touch_and_are_added_up(by_price, sign, tick):
    def text(number):
        return f"{number / 10:f}".rstrip("0").rstrip(".")

    levels = [
        (text(price), f"{quantity / 100:f}".rstrip("0").rstrip("."), "0", str(orders))
        for price, (quantity, orders) in sorted(by_price.items(), key=lambda item: sign * item[0])
    ]
    moved = _on_grid(levels, sign, tick)

    keys = [sign * price_key(level[0]) for level in moved]
    assert keys == sorted(set(keys))
    assert all(Decimal(level[0]) % Decimal(tick) == 0 for level in moved)
    kept = [level for level in levels if sign == ASK or Decimal(level[0]) >= Decimal(tick)]
    assert sum(Decimal(level[1]) for level in moved) == sum(Decimal(level[1]) for level in kept)
    assert sum(int(level[3]) for level in moved) == sum(int(level[3]) for level in kept)
    if moved:
        assert sign * Decimal(moved[0][0]) >= sign * Decimal(kept[0][0])
    if tick in ("0.1", "0.01"):
        assert moved == levels


@given(LEVELS, LEVELS, st.sampled_from([BID, ASK]))
def test_a_difference_leads_from_one_side_to_the_other(before, after, sign):
    def side(by_price):
        return [
            (str(price), str(quantity), "0", str(orders))
            for price, (quantity, orders) in sorted(by_price.items(), key=lambda item: sign * item[0])
        ]

    held = {level[0]: level for level in side(before)}
    update = difference(side(before), side(after), sign)
    for level in update:
        assert held.get(level[0]) != level
        if level[1] == "0":
            del held[level[0]]
        else:
            held[level[0]] = level
    assert sorted(held.values()) == sorted(side(after))
    keys = [sign * price_key(level[0]) for level in update]
    assert keys == sorted(keys)


@pytest.mark.parametrize("to", ["post_only", "suspend"])
async def test_an_instrument_is_in_another_state_for_a_time(clock, to):
    stage = Stage(clock, f"state:to={to},at=150ms,for=200ms,inst={BTC}", timeline(5, BTC, ETH))
    states = []
    stage.exchange.watch(
        lambda inst_id, change, book: states.append(
            (change.ts_ms - START_MS, row(stage)["state"], row(stage, ETH)["state"])
        )
    )
    stage.enter(BTC, ETH)
    await stage.play()

    assert states == [
        (100 * number, to if number in (2, 3) else "live", "live") for number in range(1, 6) for _ in range(2)
    ]
    assert stage.viewers[0].numbers() == [0, 1, 2, 3, 4, 5]
    assert_all_agree(stage, (BTC, ETH))


@pytest.mark.parametrize(
    ("more", "crossed_from_ms"), [("", 1500), (",lead=2s", 3500), (",crossed=no", None)], ids=["", "lead", "no"]
)
async def test_before_the_opening_the_book_is_crossed_and_no_other_rule_is_broken(clock, more, crossed_from_ms):
    stage = Stage(clock, f"state:to=preopen,at=1500ms,for=4s{more}", market(90))
    seen = []
    stage.exchange.watch(
        lambda inst_id, change, book: seen.append(
            (change.ts_ms - START_MS, book.violation(is_live=True), book.violation(is_live=False))
        )
    )
    stage.enter(BTC)
    stage.enter(BTC)
    await stage.play()

    for at_ms, violation, breach_in_auction in seen:
        is_crossed = crossed_from_ms is not None and crossed_from_ms <= at_ms < 5500
        assert (violation is not None, breach_in_auction) == (is_crossed, None)
    assert seen[-1][0] > 7000
    assert_all_agree(stage)


async def test_a_row_says_so_as_long_as_the_book_is_crossed(clock):
    stage = Stage(clock, "state:to=preopen,at=1s,for=2s", market(60))
    states = []
    stage.exchange.watch(
        lambda inst_id, change, book: states.append((book.violation(is_live=True) is not None, row(stage)["state"]))
    )
    stage.enter(BTC)
    await stage.play()

    assert {(True, "preopen"), (False, "live")} == set(states)


async def test_real_checksums_stay_real_when_the_book_is_another(clock, captures):
    ticks = list(islice(read_books([captures / DERIVED], verbatim=False), 90))
    stage = Stage(clock, "tick-size:tick=2,at=1s,notice=1s,how=levels;state:to=preopen,at=3s,for=2s", ticks)
    stage.enter(BTC)
    await stage.play()

    assert_all_agree(stage)
    truths = stage.oracle.truths(BTC)
    assert len({truth.checksum for truth in truths}) == len(truths) == 90
    for truth in truths:
        assert truth.checksum == book_checksum(*truth.image)


async def test_an_unreadable_change_costs_the_other_view_of_the_book_too_until_the_next_full_one(clock):
    ticks = timeline(6)
    ticks[3] = ticks[3]._replace(change=msgspec.structs.replace(ticks[3].change, asks=[("1e5", "1", "0", "1")]))
    ticks[5] = ticks[5]._replace(change=msgspec.structs.replace(ticks[0].change, ts_ms=START_MS + 500, seq_id=1050))
    stage = await rehearse(clock, "tick-size:tick=3,at=50ms,notice=0s,how=levels", ticks)

    tops = [truth.image.asks[0][0] for truth in stage.oracle.truths(BTC)]
    assert tops == ["100.5", "102", "102", "102", "102"]


async def test_a_fault_from_the_first_moment_is_true_of_the_first_books(clock):
    stage = Stage(clock, "tick-size:tick=3,notice=0s;state:to=suspend", timeline(1))

    assert (row(stage)["tickSz"], row(stage)["state"]) == ("3", "suspend")
    assert stage.exchange.full_book(BTC).asks[0][0] == "102"
