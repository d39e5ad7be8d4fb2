import pytest

from l2vault.sim.faults.schedule import Schedule
from l2vault.sim.faults.spec import parse_faults

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
START_MS = 1_790_000_000_000


def schedule(spec, seed=0):
    return Schedule(parse_faults(spec), seed, START_MS)


def test_pushes_are_numbered_by_instrument_and_struck_by_the_faults_that_concern_them():
    one = schedule(f"drop:push=2;duplicate:inst={ETH},push=1;drop:inst={BTC},push=3")
    pushes = [BTC, ETH, BTC, BTC, ETH]

    assert [one.note_push(inst_id, START_MS + place)[:2] for place, inst_id in enumerate(pushes)] == [
        (1, frozenset()),
        (1, {1}),
        (2, {0}),
        (3, {2}),
        (2, {0}),
    ]


def test_a_fault_of_whole_connections_counts_the_pushes_of_all_instruments_or_of_its_own():
    one = schedule(f"close:push=3;close:push=3,inst={ETH}")
    begun = [one.note_push(inst_id, START_MS)[2] for inst_id in (BTC, ETH, BTC, ETH, ETH)]

    assert begun == [set(), set(), {0}, set(), {1}]


def test_time_begins_the_faults_of_whole_connections_once_each():
    one = schedule("close:at=1s;big-frame:at=1s,every=1s;drop:at=1s;close:push=1")

    assert one.next_ms == START_MS + 1000
    assert one.note_time(START_MS + 1000) == {0, 1}
    assert one.next_ms == START_MS + 2000
    assert one.note_time(START_MS + 1500) == set()
    assert one.note_time(START_MS + 2000) == {1}
    assert one.next_ms == START_MS + 3000


def test_a_mode_wakes_at_both_its_ends():
    one = schedule("stall:at=1s,for=2s")

    assert one.next_ms == START_MS + 1000
    assert not one.is_on(0, "")
    one.note_time(START_MS + 1000)
    assert (one.is_on(0, ""), one.next_ms) == (True, START_MS + 3000)
    one.note_time(START_MS + 3000)
    assert (one.is_on(0, ""), one.next_ms) == (False, None)


def test_a_mode_that_a_push_begins_wakes_at_its_end():
    one = schedule("stall:push=2,for=2s")
    one.note_push(BTC, START_MS + 10)
    assert (one.is_on(0, ""), one.next_ms) == (False, None)
    one.note_push(ETH, START_MS + 20)

    assert (one.is_on(0, ""), one.next_ms) == (True, START_MS + 2020)


def test_a_mode_of_one_instrument_leaves_the_others_alone():
    one = schedule(f"no-book:inst={BTC},at=1s;no-book:push=2")
    one.note_push(ETH, START_MS + 900)
    one.note_push(ETH, START_MS + 1000)

    assert [one.is_on(index, inst_id) for index in (0, 1) for inst_id in (BTC, ETH)] == [True, False, False, True]


def test_what_is_counted_on_a_connection_strikes_nothing_here():
    one = schedule("drop:frame=1;error:request=1;refuse;rest:request=1")

    assert one.note_push(BTC, START_MS) == (1, set(), set())
    assert one.next_ms is None


def test_whoever_asks_is_woken():
    one = schedule("close:at=5s")
    one.wake_at(START_MS + 7)

    assert one.next_ms == START_MS + 7
    one.note_time(START_MS + 7)
    assert one.next_ms == START_MS + 5000


@pytest.mark.parametrize(("spec", "seed", "expected"), [("drop", 5, 5), ("seed=9;drop", 5, 9)])
def test_the_seed_is_the_plan_s_or_else_the_simulator_s(spec, seed, expected):
    assert schedule(spec, seed).seed == expected


def test_chances_follow_the_seed_and_the_place_in_the_plan():
    def struck(spec, seed):
        one = schedule(spec, seed)
        return [one.note_push(BTC, START_MS + number)[1] for number in range(300)]

    assert struck("drop:p=0.1;drop:p=0.1", 1) == struck("drop:p=0.1;drop:p=0.1", 1)
    assert struck("drop:p=0.1", 1) != struck("drop:p=0.1", 2)
    both = struck("drop:p=0.1;drop:p=0.1", 1)
    assert any(0 in hit for hit in both) and any(hit == {1} for hit in both)
