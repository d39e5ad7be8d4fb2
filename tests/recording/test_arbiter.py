"""Feeds meet: the first writes, the others are compared; what one feed suffers leaves no trace."""

from collections import Counter
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot
from l2vault.recording.arbiter import (
    HELD_AT_MOST,
    HELD_FOR_MS,
    REMEMBERED,
    REMEMBERED_AT_MOST,
    Arbiter,
    Claim,
    Conflict,
    Decision,
    Matched,
    TooLate,
    Unaligned,
    Write,
)

INST_ID = "BTC-USDT-SWAP"


def snapshot(seq_id: int | None, ts_ms: int = 0, quantity: str = "1", prev_seq_id: int | None = 1) -> Snapshot:
    bids = [("1", quantity, "0", "1")]
    return Snapshot(INST_ID, ts_ms, 400, bids, [], 0, seq_id, prev_seq_id)


def offer(
    arbiter: Arbiter, feed: int, book: Snapshot, grid_ms: int, now_ms: int = 0, until_ms: int = 0
) -> list[object]:
    """What becomes of it, each decision as its kind and its slot; a write as the book itself."""
    claim = Claim(feed, INST_ID, grid_ms, max(until_ms, grid_ms + 100), book.ts_ms, book.seq_id)
    return told(arbiter.offer(book, claim, now_ms))


def told(decisions: list[Decision]) -> list[object]:
    return [
        decision.snapshot if isinstance(decision, Write) else (type(decision), decision.claim.grid_ms)
        for decision in decisions
    ]


def two_in_sync() -> Arbiter:
    """Two feeds that have met at the slot 0."""
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    arbiter.synced(2, INST_ID)
    for feed in (1, 2):
        offer(arbiter, feed, snapshot(0), 0)
    return arbiter


def test_the_first_feed_writes_and_an_equal_second_one_matches() -> None:
    arbiter = two_in_sync()
    assert offer(arbiter, 2, snapshot(5), 2000) == [snapshot(5)]
    assert offer(arbiter, 1, snapshot(5), 2000) == [(Matched, 2000)]


def test_levels_that_differ_at_one_seq_id_are_a_conflict_of_both_feeds_since_their_last_match() -> None:
    arbiter = two_in_sync()
    for slot, feed in ((2000, 1), (4000, 2), (6000, 2)):
        offer(arbiter, feed, snapshot(slot), slot)
    claim = Claim(1, INST_ID, 6000, 6100, 0, 6000)
    assert arbiter.offer(snapshot(6000, quantity="2"), claim) == [Conflict(claim, (2, 1), (2000, 6000))]


def test_a_match_ends_what_is_in_question_up_to_its_slot() -> None:
    arbiter = two_in_sync()
    for slot in (2000, 4000, 6000):
        offer(arbiter, 1, snapshot(slot), slot)
    assert arbiter.unproved(1, INST_ID) == (2000, 6000)
    assert offer(arbiter, 2, snapshot(4000), 4000) == [(Matched, 4000)]
    assert arbiter.unproved(1, INST_ID) == (6000, 6000)
    arbiter.confirm(1, INST_ID)
    assert arbiter.unproved(1, INST_ID) is None
    assert arbiter.unproved(2, INST_ID) is None, "it has written nothing"


def test_another_time_at_one_seq_id_is_no_conflict() -> None:
    """A heartbeat moves the time and nothing else; the feeds may see it on different sides of the grid time."""
    arbiter = two_in_sync()
    offer(arbiter, 1, snapshot(5, ts_ms=1), 2000)
    assert offer(arbiter, 2, snapshot(5, ts_ms=2), 2000) == [(Matched, 2000)]


def test_another_seq_id_or_none_proves_nothing_either_way() -> None:
    arbiter = two_in_sync()
    offer(arbiter, 1, snapshot(5), 2000)
    assert offer(arbiter, 2, snapshot(6), 2000) == [(Unaligned, 2000)]
    offer(arbiter, 1, snapshot(None), 4000)
    assert offer(arbiter, 2, snapshot(None, quantity="2"), 4000) == [(Unaligned, 4000)]


def test_a_slot_brought_after_a_later_one_is_too_late() -> None:
    arbiter = two_in_sync()
    offer(arbiter, 1, snapshot(9), 6000)
    assert offer(arbiter, 2, snapshot(5), 4000) == [(TooLate, 4000)]


def test_a_feed_that_has_just_joined_waits_for_the_other_and_is_compared() -> None:
    arbiter = two_in_sync()
    arbiter.lost(1, INST_ID)
    arbiter.synced(1, INST_ID)
    fresh = snapshot(5, prev_seq_id=-1)
    assert offer(arbiter, 1, fresh, 2000) == []
    assert offer(arbiter, 2, snapshot(5), 2000) == [snapshot(5), (Matched, 2000)]
    assert offer(arbiter, 1, snapshot(6), 4000) == [snapshot(6)], "they have met: whoever is first writes"


def test_a_feed_alone_that_comes_to_a_book_anew_is_waited_for_by_the_next_that_joins() -> None:
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(0), 0)
    arbiter.synced(1, INST_ID)
    arbiter.synced(2, INST_ID)
    assert offer(arbiter, 2, snapshot(6), 4000) == []
    assert offer(arbiter, 1, snapshot(5), 2000) == [snapshot(5)], "not too late"


def test_a_feed_that_has_just_joined_makes_no_line_of_the_slower_one_too_late() -> None:
    """A fast replay: the second feed is 50 slots ahead when it joins, and the first comes after it, slot by slot."""
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(0), 0)
    arbiter.synced(2, INST_ID)
    kinds: Counter[object] = Counter()
    for slot in range(20, 70):
        assert offer(arbiter, 2, snapshot(slot), slot * 2000) == []
    for slot in range(1, 100):
        for decision in offer(arbiter, 1, snapshot(slot), slot * 2000):
            kinds[decision[0] if isinstance(decision, tuple) else Write] += 1
    assert kinds == {Write: 99, Matched: 50}


def test_what_waits_is_bounded_and_the_oldest_goes_first() -> None:
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    arbiter.synced(2, INST_ID)
    for slot in range(HELD_AT_MOST):
        assert offer(arbiter, 2, snapshot(slot), slot * 2000) == []
    assert offer(arbiter, 2, snapshot(99), HELD_AT_MOST * 2000) == [snapshot(0)]


def test_a_feed_that_is_passed_leaves_its_slot_to_the_one_that_waits() -> None:
    arbiter = two_in_sync()
    arbiter.lost(1, INST_ID)
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(5, prev_seq_id=-1), 2000)
    assert offer(arbiter, 2, snapshot(6), 4000) == [snapshot(5, prev_seq_id=-1), snapshot(6)]


def test_a_feed_whose_book_is_known_to_stand_over_a_slot_is_not_waited_for() -> None:
    arbiter = two_in_sync()
    arbiter.lost(1, INST_ID)
    offer(arbiter, 2, snapshot(5), 2000, until_ms=9000)
    arbiter.synced(1, INST_ID)
    assert offer(arbiter, 1, snapshot(5, 7, prev_seq_id=-1), 8000) == [snapshot(5, 7, prev_seq_id=-1)]


def test_the_wait_ends_when_the_other_feed_is_lost() -> None:
    arbiter = Arbiter()
    arbiter.synced(2, INST_ID)
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(5, prev_seq_id=-1), 2000)
    assert told(arbiter.lost(2, INST_ID)) == [snapshot(5, prev_seq_id=-1)]
    assert arbiter.in_sync(INST_ID) == {1}
    assert offer(arbiter, 1, snapshot(6), 4000) == [snapshot(6)]


def test_what_a_feed_brought_before_it_was_lost_still_counts() -> None:
    arbiter = Arbiter()
    arbiter.synced(2, INST_ID)
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(5), 2000)
    assert arbiter.lost(1, INST_ID) == []
    assert offer(arbiter, 2, snapshot(5), 2000) == [snapshot(5), (Matched, 2000)]


def test_the_wait_ends_when_the_other_feed_brings_nothing_more() -> None:
    arbiter = Arbiter()
    arbiter.synced(2, INST_ID)
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(5), 2000, now_ms=100)
    offer(arbiter, 1, snapshot(6), 4000, now_ms=2100)
    assert arbiter.tick(100 + HELD_FOR_MS - 1) == []
    assert told(arbiter.tick(100 + HELD_FOR_MS)) == [snapshot(5), snapshot(6)]
    assert offer(arbiter, 1, snapshot(7), 6000, now_ms=12_000) == [snapshot(7)], "it waits no more"


def test_a_snapshot_of_the_other_feed_shows_that_its_messages_keep_coming() -> None:
    arbiter = Arbiter()
    arbiter.synced(2, INST_ID)
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(50), 100_000, now_ms=0)
    for now_ms in range(0, 60_000, 5_000):
        offer(arbiter, 2, snapshot(now_ms), now_ms, now_ms=now_ms)
        assert arbiter.tick(now_ms + 5_000) == []


def test_a_feed_alone_waits_for_nobody() -> None:
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    assert offer(arbiter, 1, snapshot(5, prev_seq_id=-1), 2000) == [snapshot(5, prev_seq_id=-1)]


@given(st.permutations([(feed, slot) for feed in (1, 2) for slot in range(1, 6)]))
def test_whatever_the_interleaving_each_slot_is_written_once_in_order_and_compared(
    order: list[tuple[int, int]],
) -> None:
    arbiter = two_in_sync()
    queues = {feed: iter(range(1, 6)) for feed in (1, 2)}
    decisions: list[object] = []
    for feed, _ in order:  # each feed brings its slots in order; how the feeds interleave is arbitrary
        slot = next(queues[feed])
        decisions += offer(arbiter, feed, snapshot(slot), slot * 2000)
    assert [each.seq_id for each in decisions if isinstance(each, Snapshot)] == [1, 2, 3, 4, 5]
    assert sum(isinstance(each, tuple) and each[0] is Matched for each in decisions) == 5


@pytest.mark.parametrize("behind", [0, 1, 30, REMEMBERED - 1, REMEMBERED + 50, REMEMBERED_AT_MOST - 1])
def test_every_slot_that_both_feeds_bring_is_compared_however_long_it_runs(behind: int) -> None:
    arbiter = two_in_sync()
    kinds: Counter[object] = Counter()
    slots = 3 * REMEMBERED_AT_MOST
    for slot in range(1, slots + behind + 1):
        for feed, own in ((1, slot), (2, slot - behind)):
            if 1 <= own <= slots:
                for each in offer(arbiter, feed, snapshot(own), own * 2000):
                    kinds[each[0] if isinstance(each, tuple) else Write] += 1
    assert kinds == {Write: slots, Matched: slots}


def test_a_feed_that_is_further_behind_than_is_remembered_is_not_called_late() -> None:
    arbiter = two_in_sync()
    for slot in range(1, REMEMBERED_AT_MOST + 50):
        offer(arbiter, 1, snapshot(slot), slot * 2000)
    assert offer(arbiter, 2, snapshot(1), 2000) == [(Unaligned, 2000)]


def test_slots_are_kept_for_a_feed_half_an_hour_behind_and_not_for_one_that_is_an_hour() -> None:
    """At the default cadence. 300 instruments whose second feed hangs must not take gigabytes."""
    arbiter = two_in_sync()
    for slot in range(1, 1_801):
        offer(arbiter, 1, snapshot(slot), slot * 2000)
    assert offer(arbiter, 2, snapshot(1), 2000) == [(Unaligned, 2000)]
    assert offer(arbiter, 2, snapshot(900), 900 * 2000) == [(Matched, 900 * 2000)]


def test_nothing_is_remembered_for_feeds_that_have_passed() -> None:
    arbiter = two_in_sync()
    for slot in range(1, 1000):
        for feed in (1, 2):
            offer(arbiter, feed, snapshot(slot), slot * 2000)
    meeting = arbiter._of(INST_ID)
    assert len(meeting.written) == REMEMBERED
    assert not meeting.held


def test_a_fault_on_one_feed_leaves_the_same_lines_whoever_is_first() -> None:
    for first, second in permutations((1, 2)):
        arbiter = two_in_sync()
        written: list[object] = []
        for slot in range(1, 8):
            if slot == 3:
                written += told(arbiter.lost(1, INST_ID))
            if slot == 5:
                arbiter.synced(1, INST_ID)
            for feed in (first, second):
                if feed == 2 or not 3 <= slot < 5:
                    fresh = feed == 1 and slot == 5
                    written += offer(arbiter, feed, snapshot(slot, prev_seq_id=-1 if fresh else 1), slot * 2000)
        assert [each for each in written if isinstance(each, Snapshot)] == [snapshot(slot) for slot in range(1, 8)]


@pytest.mark.parametrize("seed", range(20))
def test_no_slot_that_some_feed_in_sync_brought_is_lost_to_a_join(seed: int) -> None:
    """Feeds at their own pace, up to 40 slots apart, that lose their book now and then: each slot that any of them
    brings is written, or was too late only because its feed was behind what another had written *before* it joined."""
    rng, arbiter = Random(seed), Arbiter()
    at, synced = {1: 0, 2: 0}, {1: False, 2: False}
    brought: set[int] = set()
    written: list[int] = []
    for _ in range(2000):
        feed = rng.choice((1, 2))
        if not synced[feed]:
            arbiter.synced(feed, INST_ID)
            synced[feed] = True
        elif rng.random() < 0.02 and synced[3 - feed]:
            written += [each.seq_id for each in told(arbiter.lost(feed, INST_ID)) if isinstance(each, Snapshot)]  # type: ignore[misc]
            synced[feed] = False
            continue
        if at[feed] > at[3 - feed] + 40:
            continue
        at[feed] += 1
        brought.add(at[feed])
        for each in offer(arbiter, feed, snapshot(at[feed]), at[feed] * 2000):
            if isinstance(each, Snapshot):
                written.append(int(each.seq_id or 0))
    assert written == sorted(set(written))
    waiting = {held.claim.grid_ms // 2000 for held in arbiter._of(INST_ID).held}
    assert brought - set(written) - waiting == set()


def test_a_feed_that_joins_is_compared_over_the_last_two_minutes_and_not_over_more() -> None:
    """The number of remembered slots, by what it is for: at one slot every 2 s."""
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    for slot in range(200):
        offer(arbiter, 1, snapshot(slot), slot * 2000)
    arbiter.synced(2, INST_ID)
    assert offer(arbiter, 2, snapshot(140), 140 * 2000) == [(Matched, 140 * 2000)]
    assert offer(arbiter, 2, snapshot(120), 120 * 2000) == [(Unaligned, 120 * 2000)], "forgotten: memory has a bound"


def test_a_feed_that_joins_waits_for_a_minute_and_a_half_of_slots_but_not_for_three() -> None:
    """The number of held snapshots: a fast replay runs up to 56 slots ahead, and 300 instruments share the memory."""
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    offer(arbiter, 1, snapshot(0), 0)
    arbiter.synced(2, INST_ID)
    written = [bool(offer(arbiter, 2, snapshot(slot), slot * 2000)) for slot in range(1, 91)]
    assert 56 <= written.index(True) < 90
