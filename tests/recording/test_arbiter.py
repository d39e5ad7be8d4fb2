"""Two lines meet: the first writes, the other witnesses; what one line suffers leaves no trace."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot
from l2vault.recording.arbiter import Arbiter, Conflict, Decision, Overtaken, Uncomparable, Witnessed, Write

INST_ID = "BTC-USDT-SWAP"


def snapshot(seq_id: int | None, ts_ms: int = 0, quantity: str = "1", prev_seq_id: int | None = 1) -> Snapshot:
    bids = [("1", quantity, "0", "1")]
    return Snapshot(INST_ID, ts_ms, 400, bids, [], 0, seq_id, prev_seq_id)


def two_in_sync() -> Arbiter:
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    arbiter.synced(2, INST_ID)
    return arbiter


def test_the_first_line_writes_and_an_equal_second_one_witnesses() -> None:
    arbiter = two_in_sync()
    assert arbiter.offer(2, snapshot(5), 2000) == [Write(snapshot(5))]
    assert arbiter.offer(1, snapshot(5), 2000) == [Witnessed(INST_ID)]


def test_levels_that_differ_at_one_seq_id_are_a_conflict_of_both_lines() -> None:
    arbiter = two_in_sync()
    arbiter.offer(1, snapshot(5), 2000)
    assert arbiter.offer(2, snapshot(5, quantity="2"), 2000) == [Conflict(INST_ID, 5, 2000, (1, 2))]


def test_another_time_at_one_seq_id_is_no_conflict() -> None:
    """A heartbeat moves the time and nothing else; the lines may see it on different sides of the grid time."""
    arbiter = two_in_sync()
    arbiter.offer(1, snapshot(5, ts_ms=1), 2000)
    assert arbiter.offer(2, snapshot(5, ts_ms=2), 2000) == [Witnessed(INST_ID)]


def test_another_seq_id_or_none_proves_nothing_either_way() -> None:
    arbiter = two_in_sync()
    arbiter.offer(1, snapshot(5), 2000)
    assert arbiter.offer(2, snapshot(6), 2000) == [Uncomparable(INST_ID)]
    arbiter.offer(1, snapshot(None), 4000)
    assert arbiter.offer(2, snapshot(None, quantity="2"), 4000) == [Uncomparable(INST_ID)]


def test_a_slot_brought_after_a_later_one_is_overtaken_not_written() -> None:
    arbiter = two_in_sync()
    arbiter.offer(1, snapshot(9), 6000)
    assert arbiter.offer(2, snapshot(5), 4000) == [Overtaken(INST_ID, 4000)]


def test_a_freshly_seeded_line_waits_for_the_chained_book_of_the_other() -> None:
    arbiter = two_in_sync()
    assert arbiter.offer(1, snapshot(5, prev_seq_id=-1), 2000) == []
    assert arbiter.offer(2, snapshot(5), 2000) == [Write(snapshot(5)), Witnessed(INST_ID)]


def test_the_wait_ends_with_the_next_slot_of_either_line() -> None:
    for other in (1, 2):
        arbiter = two_in_sync()
        arbiter.offer(1, snapshot(5, prev_seq_id=-1), 2000)
        assert arbiter.offer(other, snapshot(6), 4000) == [Write(snapshot(5, prev_seq_id=-1)), Write(snapshot(6))]


def test_the_wait_ends_when_the_other_line_is_lost() -> None:
    arbiter = two_in_sync()
    arbiter.offer(1, snapshot(5, prev_seq_id=-1), 2000)
    assert arbiter.lost(2, INST_ID) == [Write(snapshot(5, prev_seq_id=-1))]
    assert arbiter.in_sync(INST_ID) == {1}


def test_a_line_alone_waits_for_nobody() -> None:
    arbiter = Arbiter()
    arbiter.synced(1, INST_ID)
    assert arbiter.offer(1, snapshot(5, prev_seq_id=-1), 2000) == [Write(snapshot(5, prev_seq_id=-1))]


@given(st.permutations([(line, slot) for line in (1, 2) for slot in range(5)]))
def test_whatever_the_interleaving_each_slot_is_written_once_in_order_or_overtaken(
    order: list[tuple[int, int]],
) -> None:
    arbiter = two_in_sync()
    queues = {line: iter(range(5)) for line in (1, 2)}
    decisions: list[Decision] = []
    for line, _ in order:  # each line brings its slots in order; how the lines interleave is arbitrary
        slot = next(queues[line])
        decisions += arbiter.offer(line, snapshot(slot + 1), slot * 2000)
    written = [decision.snapshot.seq_id for decision in decisions if isinstance(decision, Write)]
    assert written == [1, 2, 3, 4, 5]
    assert sum(isinstance(decision, Witnessed) for decision in decisions) == 5


def test_a_fault_on_one_line_leaves_the_same_lines_whoever_is_first() -> None:
    for first, second in permutations((1, 2)):
        arbiter = two_in_sync()
        written = []
        for slot in range(1, 8):
            if slot == 3:
                written += arbiter.lost(1, INST_ID)
            if slot == 5:
                arbiter.synced(1, INST_ID)
            for line in (first, second):
                if line == 2 or not 3 <= slot < 5:
                    fresh = line == 1 and slot == 5
                    written += arbiter.offer(line, snapshot(slot, prev_seq_id=-1 if fresh else 1), slot * 2000)
        lines = [decision.snapshot for decision in written if isinstance(decision, Write)]
        assert lines == [snapshot(slot) for slot in range(1, 8)]
