"""Which ids of trades are new, which are missing, and what fills them: on values alone."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.trade import IdSpan, TradePush
from l2vault.okx.trade_chain import (
    GRACE_MS,
    MOST_HOLES,
    STANDSTILL_MS,
    WAIT_MS,
    Begun,
    Filled,
    Foreign,
    Hole,
    NeedTrades,
    Skipped,
    StillMissing,
    Take,
    TradeChain,
)
from l2vault.okx.trade_leaps import MOST_HELD

BTC = "BTC-USDT-SWAP"
T0 = 1_790_000_000_000
A, B = 1, 2


def push(last, count=1, at=None, origin="ws"):
    """A push of `count` ids that ends with `last`; by default a second of exchange time for each id."""
    ts = str(T0 + last * 1000 if at is None else at)
    return TradePush(BTC, str(last), "100", "1", "buy", ts, str(count), "0", last * 10, 0, origin)


def rows(*ids):
    return [push(one, origin="rest") for one in ids]


def begun(*feeds, at=10):
    chain = TradeChain(BTC)
    for feed in feeds or (A,):
        chain.offer(feed, push(at), 0)
    return chain


def kinds(outputs):
    return [type(output).__name__ for output in outputs]


def ids_of(outputs):
    return [(one.push.first_id, one.push.last_id) for one in outputs if isinstance(one, Take)]


def test_the_first_push_begins_the_chain() -> None:
    chain = TradeChain(BTC)
    first = push(10, 3)
    assert chain.offer(A, first, 0) == [Begun(BTC, 8, first.ts_ms, "first"), Take(first)]
    assert chain.head == 10


def test_a_step_that_fits_is_taken_and_the_same_of_another_feed_is_a_repeat() -> None:
    chain = begun(A, B)
    assert chain.offer(A, push(13, 3), 0) == [Take(push(13, 3))]
    assert chain.offer(B, push(13, 3), 0) == []
    assert chain.offer(B, push(11), 0) == []
    assert chain.missing == 0


def test_what_two_feeds_sum_up_differently_is_written_whole_and_marked() -> None:
    chain = begun(A, B)
    chain.offer(A, push(12, 2), 0)
    (taken,) = chain.offer(B, push(13, 3), 0)
    assert (taken.push.first_id, taken.push.last_id, taken.push.overlap) == (11, 13, True)
    assert chain.offer(A, push(13), 0) == []


def test_a_hole_is_nothing_until_the_other_feed_has_passed_it() -> None:
    chain = begun(A, B)
    assert kinds(chain.offer(A, push(15), 0)) == ["Take"]
    assert ids_of(chain.offer(B, push(12, 2), 0)) == [(11, 12)]
    assert ids_of(chain.offer(B, push(14, 2), 0)) == [(13, 14)]
    assert chain.missing == 0
    assert chain.tick(10**9) == []


def test_a_hole_that_both_have_passed_is_reported_with_both_ids_and_asked_of_rest() -> None:
    chain = begun(A, B)
    chain.offer(A, push(15), 0)
    outputs = chain.offer(B, push(16), 0)
    hole = Hole(BTC, 11, 14, T0 + 10_000, T0 + 15_000, "chain")
    assert outputs == [Take(push(16)), hole, NeedTrades(BTC, 11, 14)]
    assert chain.offer(A, push(17), 0) == [Take(push(17))]


def test_a_feed_alone_waits_a_moment_for_messages_that_changed_places() -> None:
    chain = begun(A)
    late = push(11, at=T0 + 10_000)
    assert kinds(chain.offer(A, push(12, at=T0 + 10_001), 0)) == ["Take"]
    assert chain.offer(A, late, 0) == [Take(late)]
    chain.offer(A, push(14, at=T0 + 10_002), 0)
    assert "Hole" not in kinds(chain.offer(A, push(15, at=T0 + 10_002 + GRACE_MS - 1), 0))
    assert "Hole" in kinds(chain.offer(A, push(16, at=T0 + 10_002 + GRACE_MS), 0))


def test_a_feed_that_lags_is_not_waited_for_longer_than_messages_say() -> None:
    chain = begun(A, B)
    chain.offer(A, push(12, at=T0 + 20_000), 0)
    assert "Hole" not in kinds(chain.offer(A, push(13, at=T0 + 20_000 + WAIT_MS - 1), 0))
    assert "Hole" in kinds(chain.offer(A, push(14, at=T0 + 20_000 + WAIT_MS), 0))


def test_where_messages_stop_the_wait_ends_all_the_same() -> None:
    chain = begun(A, B)
    chain.offer(A, push(12, at=T0 + 10_000), 5_000)
    assert chain.tick(5_000 + STANDSTILL_MS - 1) == []
    assert kinds(chain.tick(5_000 + STANDSTILL_MS)) == ["Hole", "NeedTrades"]


def test_a_feed_that_is_gone_is_not_waited_for() -> None:
    chain = begun(A, B)
    chain.feed_down(B, "disconnect")
    chain.offer(A, push(15), 0)
    assert "Hole" in kinds(chain.offer(A, push(16), 0))


@pytest.mark.parametrize(
    ("downs", "cause"), [([], "chain"), ([A], "chain"), ([A, B], "disconnect"), ([B, A], "disconnect")]
)
def test_the_cause_is_the_end_of_the_last_feed_if_there_was_one(downs: list[int], cause: str) -> None:
    chain = begun(A, B)
    for feed in downs:
        chain.feed_down(feed, "disconnect")
    chain.offer(B, push(15), 0)
    found = [one for one in chain.tick(STANDSTILL_MS) if isinstance(one, Hole)]
    assert [one.cause for one in found] == [cause]
    chain.offer(B, push(20), 0)
    found = [one for one in chain.tick(STANDSTILL_MS) if isinstance(one, Hole)]
    assert [one.cause for one in found] == ["chain"]


def asked(first=11, last=14):
    """A chain that has asked REST for these ids."""
    chain = begun(A, at=first - 1)
    chain.offer(A, push(last + 1), 0)
    chain.tick(STANDSTILL_MS)
    return chain


def test_a_page_of_rest_fills_the_hole_in_order_and_each_id_once() -> None:
    chain = asked()
    outputs = chain.join(rows(15, 14, 13, 12, 11, 10, 9), None)
    assert ids_of(outputs) == [(11, 11), (12, 12), (13, 13), (14, 14)]
    assert outputs[-1] == Filled(BTC, 11, 14, 4, "rest")
    assert chain.join(rows(15, 14, 13, 12, 11, 10), None) == []
    assert chain.give_up(11, 14, "done") == []
    assert chain.offer(B, push(14, 4), 0) == []


def test_ids_that_rest_passes_over_between_two_neighbours_were_never_used() -> None:
    chain = asked()
    outputs = chain.join(rows(15, 12, 10), None)
    assert ids_of(outputs) == [(12, 12)]
    assert [one for one in outputs if isinstance(one, Skipped)] == [Skipped(BTC, 11, 11), Skipped(BTC, 13, 14)]
    assert chain.missing == 0


def test_without_the_upper_neighbour_a_page_proves_nothing_above_its_first_row() -> None:
    chain = asked()
    outputs = chain.join(rows(12, 10, 9), None)
    assert [one for one in outputs if isinstance(one, Skipped)] == [Skipped(BTC, 11, 11)]
    assert chain.give_up(11, 14, "REST is behind") == [
        StillMissing(BTC, 13, 14, T0 + 12_000, T0 + 15_000, "REST is behind")
    ]


def test_without_the_lower_neighbour_nothing_below_the_last_row_is_proved() -> None:
    chain = asked()
    outputs = chain.join(rows(15, 14), None)
    assert not any(isinstance(one, Skipped) for one in outputs)
    assert chain.missing == 3


def test_pages_that_follow_one_another_prove_what_lies_between_them() -> None:
    chain = asked()
    assert chain.join(rows(15, 14), None)[-1] == Filled(BTC, 14, 14, 1, "rest")
    assert chain.join(rows(11, 10), 14)[1:] == [Filled(BTC, 11, 11, 1, "rest"), Skipped(BTC, 12, 13)]
    assert chain.missing == 0


def test_what_a_feed_brings_into_a_reported_hole_is_said_once_a_tick() -> None:
    chain = asked()
    assert ids_of(chain.offer(B, push(12, 2), 0)) == [(11, 12)]
    chain.offer(B, push(13), 0)
    assert chain.tick(STANDSTILL_MS) == [Filled(BTC, 11, 13, 3, "feed")]
    assert chain.tick(STANDSTILL_MS) == []


def test_a_hole_given_up_is_said_once_and_filled_by_whoever_comes_late() -> None:
    chain = asked()
    assert kinds(chain.give_up(11, 14, "REST has not answered")) == ["StillMissing"]
    assert chain.give_up(11, 14, "again") == []
    assert ids_of(chain.offer(B, push(14, 4), 0)) == [(11, 14)]
    assert chain.missing == 0


def test_a_run_goes_on_where_the_one_before_ended_and_knows_its_holes() -> None:
    chain = TradeChain(BTC)
    chain.resume([IdSpan(5, 9, T0, T0 + 5), IdSpan(12, 20, T0 + 7, T0 + 20_000)], 0)
    outputs = chain.offer(A, push(20), 0)
    assert ids_of(outputs) == []
    outputs += chain.offer(A, push(25, 2), 0)
    assert ids_of(outputs) == [(24, 25)]
    outputs += chain.tick(STANDSTILL_MS)
    holes = [one for one in outputs if isinstance(one, Hole)]
    assert [(one.first, one.last, one.cause) for one in holes] == [(10, 11, "our_restart"), (21, 23, "our_restart")]
    assert (holes[0].from_ms, holes[0].to_ms) == (T0 + 5, T0 + 7)


def test_a_chain_in_a_new_vault_has_nothing_to_go_on_with() -> None:
    chain = TradeChain(BTC)
    chain.resume([], 0)
    assert kinds(chain.offer(A, push(20), 0)) == ["Begun", "Take"]


def test_numbers_that_begin_anew_are_a_new_chain_and_no_repeats() -> None:
    chain = begun(A, at=500_000)
    head_ms = T0 + 500_000_000
    assert chain.offer(A, push(7, at=head_ms + 1), 0) == []  # far back, but no newer: a repeat
    fresh, second = push(8, 2, at=head_ms + 6_000), push(9, at=head_ms + 6_001)
    assert chain.offer(A, fresh, 0) == [], "one push is not enough"
    assert chain.offer(A, second, 0) == [Begun(BTC, 7, fresh.ts_ms, "numbering"), Take(fresh), Take(second)]
    assert chain.offer(A, push(10, at=head_ms + 6_002), 0) == [Take(push(10, at=head_ms + 6_002))]


@pytest.mark.parametrize("absurd", [10**15, 5_000, 7])
def test_one_absurd_id_costs_nothing_and_is_named_when_nobody_has_agreed_for_three_seconds(absurd: int) -> None:
    chain = TradeChain(BTC)
    start = 2_000
    chain.offer(A, push(start, at=T0), 0)
    outputs = chain.offer(A, push(absurd, at=T0 + 6_000), 0)
    for one in range(start + 1, start + 60):
        outputs += chain.offer(A, push(one, at=T0 + 6_000 + one), (one - start) * 60)
    assert [one for one in outputs if not isinstance(one, Take)] == [Foreign(BTC, absurd, absurd, T0 + 6_000, A)]
    assert ids_of(outputs) == [(one, one) for one in range(start + 1, start + 60)]
    assert (chain.head, chain.missing) == (start + 59, 0)


@pytest.mark.parametrize("far", [900_000, 7])
@pytest.mark.parametrize("by", ["the next push", "the other feed", "REST"])
def test_ids_far_away_count_when_a_second_word_agrees(far: int, by: str) -> None:
    chain = begun(A, B, at=50_000)
    at = T0 + 50_000_000 + 6_000
    assert chain.offer(A, push(far, at=at), 0) == []
    if by == "the next push":
        outputs, head = chain.offer(A, push(far + 1, at=at + 10), 10), far + 1
    elif by == "the other feed":
        outputs, head = chain.offer(B, push(far, at=at), 10), far
    else:
        outputs, head = chain.reach(push(far + 3, at=at + 10, origin="rest"), 10), far + 3
    assert ids_of(outputs)[0] == (far, far)
    assert (kinds(outputs)[0] == "Begun") == (far == 7)
    assert chain.head == head
    assert chain.missing == (3 if by == "REST" else 0) + (far - 50_001 if far > 50_000 else 0)


def test_the_same_word_again_is_no_second_one() -> None:
    chain = begun(A, B)
    far = push(10**15, at=T0 + 20_000)
    assert chain.offer(A, far, 0) == chain.offer(A, far, 10) == []
    assert chain.reach(push(10**16, at=T0 + 30_000, origin="rest"), 20) == [], "nor is one that is far from both"
    assert kinds(chain.end()) == ["Foreign"]
    assert chain.head == 10


def test_rest_alone_is_believed_when_it_says_so_twice() -> None:
    chain = begun(A, at=50_000)
    assert chain.reach(push(7, at=T0 + 60_000_000, origin="rest"), 0) == []
    (begun_anew,) = chain.reach(push(9, at=T0 + 60_120_000, origin="rest"), 120_000)
    assert begun_anew == Begun(BTC, 7, T0 + 60_000_000, "numbering")
    assert chain.missing == 3, "and what it names is asked for"


def test_many_that_are_far_from_each_other_are_held_up_to_a_bound() -> None:
    chain = begun(A)
    outputs = [one for at in range(1, 12) for one in chain.offer(A, push(at * 10**9, at=T0 + 20_000), 0)]
    assert [one.first for one in outputs] == [at * 10**9 for at in (1, 2, 3)]
    assert len(chain.end()) == MOST_HELD


def test_a_step_of_a_thousand_ids_and_a_hundred_more_a_second_needs_no_second_word() -> None:
    for seconds, ids in ((0, 1_000), (60, 7_000)):
        fits, leaps = begun(A), begun(A)
        assert ids_of(fits.offer(A, push(10 + ids, at=T0 + 10_000 + seconds * 1000), 0)) == [(10 + ids, 10 + ids)]
        assert leaps.offer(A, push(11 + ids, at=T0 + 10_000 + seconds * 1000), 0) == []


def test_a_quiet_chain_learns_from_rest_that_it_has_missed_something() -> None:
    chain = begun(A)
    chain.reach(push(10, origin="rest"), 0)
    assert chain.missing == 0
    chain.reach(push(13, origin="rest"), 0)
    assert ids_of(chain.offer(A, push(11), 0)) == [(11, 11)]  # it was only on its way
    (hole, need) = chain.tick(STANDSTILL_MS)
    assert (hole.first, hole.last, hole.cause, need) == (12, 13, "silence", NeedTrades(BTC, 12, 13))
    assert ids_of(chain.join(rows(13, 12, 11), None)) == [(12, 12), (13, 13)]


def test_where_nothing_is_waited_for_each_hole_that_waits_is_asked_for_at_once_and_no_other() -> None:
    chain = begun(A, B)
    chain.offer(A, push(12), 0)
    assert NeedTrades(BTC, 11, 11) in chain.tick(10 * WAIT_MS)
    chain.offer(A, push(14), 10 * WAIT_MS)
    first = [one for one in chain.ask_all() if isinstance(one, NeedTrades)]
    assert first == [NeedTrades(BTC, 13, 13)], "11 was asked for before"
    assert chain.ask_all() == []


def test_lines_that_the_disk_refused_are_asked_of_rest_once_it_takes_lines_again() -> None:
    chain = begun(A)
    for last in (13, 16, 19):
        chain.offer(A, push(last, 3), 0)
    for last in (13, 16):
        chain.unwritten(push(last, 3))
    assert chain.missing == 6
    assert chain.tick(10**9) == []
    hole = Hole(BTC, 11, 16, T0 + 13_000, T0 + 16_000, "disk_full")
    assert chain.written_again() == [hole, NeedTrades(BTC, 11, 16)]
    assert ids_of(chain.join(rows(*range(17, 9, -1)), None)) == [(one, one) for one in range(11, 17)]
    assert chain.written_again() == []


def test_of_an_overlap_that_the_disk_refused_only_the_new_ids_are_missing() -> None:
    chain = begun(A, B)
    chain.offer(A, push(12, 2), 0)
    (taken,) = chain.offer(B, push(14, 4), 0)
    chain.unwritten(taken.push)
    assert [one for one in chain.written_again() if isinstance(one, NeedTrades)] == [NeedTrades(BTC, 13, 14)]


def test_of_an_overlap_that_filled_two_holes_the_ids_of_both_are_missing_once_the_disk_refused_it() -> None:
    chain = begun(A, B)
    for last in (12, 14):
        chain.offer(A, push(last), 0)
    (taken, *_) = chain.offer(B, push(14, 4), 0)
    assert (taken.push.overlap, chain.missing) == (True, 0)
    chain.unwritten(taken.push)
    assert chain.missing == 2
    asked = [one for one in chain.written_again() if isinstance(one, NeedTrades)]
    assert {id_ for one in asked for id_ in range(one.first, one.last + 1)} >= {11, 13}


def test_an_overlap_that_the_disk_refused_behind_the_lines_before_it_is_missing_too() -> None:
    chain = begun(A, B)
    chain.offer(A, push(13, 3), 0)
    (taken,) = chain.offer(B, push(15, 4), 0)
    chain.unwritten(push(13, 3))
    chain.unwritten(taken.push)
    assert [one for one in chain.written_again() if isinstance(one, NeedTrades)] == [NeedTrades(BTC, 11, 15)]


def test_ids_that_are_missing_already_are_not_missing_twice() -> None:
    chain = begun(A)
    chain.offer(A, push(16, 6), 0)
    for last, count in ((12, 1), (15, 2), (16, 6), (16, 6)):
        chain.unwritten(push(last, count))
    assert chain.missing == 6


def test_a_line_of_a_numbering_that_is_over_is_not_missing() -> None:
    chain = begun(A, at=1000)
    chain.offer(A, push(3, 3, at=T0 + 2_000_000), 0)
    assert chain.head == 1000
    chain.unwritten(push(1001))
    assert chain.missing == 0


def test_lines_refused_until_the_end_of_the_run_are_said_to_be_missing() -> None:
    chain = begun(A)
    chain.offer(A, push(11), 0)
    chain.unwritten(push(11))
    assert kinds(chain.end()) == ["Hole", "StillMissing"]


def test_holes_are_bounded_and_the_oldest_goes_with_a_word() -> None:
    chain = begun(A, at=10)
    outputs = []
    for one in range(1, MOST_HOLES + 3):
        outputs += chain.offer(A, push(10 + 2 * one, at=T0 + 10_000), 0)
    missing = [one for one in outputs if isinstance(one, StillMissing)]
    assert [(one.first, one.last) for one in missing] == [(11, 11), (13, 13)]
    assert chain.missing == MOST_HOLES


def test_the_end_of_a_run_says_what_it_leaves_missing() -> None:
    chain = begun(A)
    chain.offer(A, push(15), 0)
    assert kinds(chain.end()) == ["Hole", "StillMissing"]
    assert chain.end() == []


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_every_id_is_taken_once_or_said_to_be_missing(seed: int) -> None:
    """Two feeds sum up differently, lose, repeat and swap pushes; REST knows all but a few ids that were never used."""
    rng = Random(seed)
    last = 100 + rng.randint(20, 150)
    unused = {one for one in range(105, last - 5) if rng.random() < 0.05}
    streams = {feed: _stream(rng, last) for feed in (A, B)}
    chain, outputs, asks = TradeChain(BTC), [], []
    while any(streams.values()):
        feed = rng.choice([feed for feed, left in streams.items() if left])
        if rng.random() < 0.03:
            chain.feed_down(feed, "disconnect")
        found = chain.offer(feed, streams[feed].pop(0), 0)
        asks += [one for one in found if isinstance(one, NeedTrades)]
        outputs += found
        while asks and rng.random() < 0.3:
            outputs += _answer(chain, asks.pop(0), last, unused, rng)
    asks += [one for one in chain.tick(STANDSTILL_MS) if isinstance(one, NeedTrades)]
    for ask in asks:
        outputs += _answer(chain, ask, last, unused, rng)
    outputs += chain.end()

    first = next(one.trade_id for one in outputs if isinstance(one, Begun))
    taken = Counter(
        one_id
        for one in outputs
        if isinstance(one, Take) and not one.push.overlap
        for one_id in range(one.push.first_id, one.push.last_id + 1)
    )
    overlapped = {
        one_id
        for one in outputs
        if isinstance(one, Take) and one.push.overlap
        for one_id in range(one.push.first_id, one.push.last_id + 1)
    }
    explained = {
        one_id
        for one in outputs
        if isinstance(one, StillMissing | Skipped)
        for one_id in range(one.first, one.last + 1)
    }
    assert chain.head is not None
    assert set(taken) | overlapped | explained >= set(range(first, chain.head + 1))
    assert max(taken.values()) == 1
    assert not {one.first for one in outputs if isinstance(one, Skipped)} & set(taken)


def _stream(rng, last):
    pushes, at = [], 100
    while at < last:
        count = rng.randint(1, 4)
        at += count
        pushes.append(push(at, count))
    kept = [one for one in pushes if rng.random() > 0.15]
    for _ in range(3):
        spot = rng.randrange(len(kept))
        kept.insert(spot, kept[spot])
        if spot + 1 < len(kept):
            kept[spot], kept[spot + 1] = kept[spot + 1], kept[spot]
    return kept


def _answer(chain, ask, last, unused, rng):
    """Pages of three rows from above the hole to below it, or no answer at all."""
    outputs, above, at = [], None, ask.last + 1
    if rng.random() < 0.2:
        return chain.give_up(ask.first, ask.last, "no answer")
    while at >= ask.first - 1 and at > 90:
        ids = [one for one in range(at, 90, -1) if one not in unused][:3]
        outputs += chain.join(rows(*ids), above)
        above = ids[-1]
        at = above - 1
    return outputs + chain.give_up(ask.first, ask.last, "the end")
