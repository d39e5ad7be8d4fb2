"""Coverage from a journal of form 1 and lines: exactly the holes that there were, each with its cause.

Form 1 has no record of what was quiet: there it is inferred, and named so. Form 2 has a module of its own.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.vault.coverage.compute import Lines, MissingLines, cover, valid_until
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS, sync_history
from l2vault.vault.journal import events as noted
from support.hours import HOUR_AT_MS, INST, at, entries, lost, started, synced

ETH = "ETH-USDT-SWAP"


def stopped(offset_ms):
    return noted.Stopped(at(offset_ms), "asked to stop")


def unclean(noted_ms, last_ms):
    return noted.UncleanEnd(at(noted_ms), at(last_ms))


def slots_event(noted_ms, book_ms, inst_id=INST):
    return noted.Slots(at(noted_ms), {}, {inst_id: at(book_ms)}, {})


def write_failed(from_ms, to_ms, inst_id=INST):
    return noted.WriteFailed(at(to_ms), inst_id, 1, at(from_ms), at(to_ms), "disk full")


def coverage(events, times, end_ms=20_000, start_ms=0, missing=()):
    lines = [HOUR_AT_MS + time for time in times]
    span = HOUR_AT_MS + start_ms, HOUR_AT_MS + end_ms
    return cover(history(events), INST, all_lines(lines), span, missing)


def history(events):
    return sync_history(entries(events, run=None), INST)


def all_lines(times):
    return Lines(times, ALWAYS_MS, NEVER_MS)


def told(covered):
    """Slots as one letter each, and the holes with times from the start of the hour."""
    letters = "".join(stretch.state[0] * stretch.slots for stretch in covered.stretches)
    holes = [
        (hole.start_ms - HOUR_AT_MS, hole.end_ms - HOUR_AT_MS, hole.kind, hole.cause, hole.slots)
        for hole in covered.holes
    ]
    return letters, holes


EVERY_SLOT = range(0, 20_000, 2_000)


def test_in_sync_a_slot_without_a_line_is_quiet():
    events = [started(-9_000), synced(-8_000), lost(30_000)]
    assert told(coverage(events, [0, 1_900, 8_000, 17_001])) == ("rrqqrqqqqr", [])


def test_between_a_loss_and_the_next_full_book_slots_are_missing():
    events = [started(-9_000), synced(-8_000), lost(5_300), synced(9_100), lost(30_000)]
    covered = coverage(events, [0, 2_000, 4_000, 10_000, 12_000, 14_000, 16_000, 18_000])
    assert told(covered) == ("rrrmmrrrrr", [(5_300, 9_100, "missing", "chain", 2)])


def test_a_short_hole_costs_no_slot_and_is_told_all_the_same():
    events = [started(-9_000), synced(-8_000), lost(4_100), synced(5_900), lost(30_000)]
    assert told(coverage(events, EVERY_SLOT)) == ("r" * 10, [(4_100, 5_900, "missing", "chain", 0)])


def test_the_slot_at_the_time_of_the_last_good_book_is_not_vouched_for():
    events = [started(-9_000), synced(-8_000), lost(4_000), synced(4_001), lost(30_000)]
    assert told(coverage(events, [0, 2_000, 6_000]))[0] == "rrmrqqqqqq"


def test_while_one_connection_is_in_sync_nothing_is_missing():
    events = [
        started(-9_000),
        synced(-8_000, 1),
        synced(-7_000, 2),
        lost(4_000, "chain", 1),
        synced(6_500, 1),
        lost(8_500, "disconnect", 2),
        lost(30_000, "chain", 1),
    ]
    assert told(coverage(events, EVERY_SLOT)) == ("r" * 10, [])


def test_the_hole_has_the_cause_of_the_connection_that_was_lost_last():
    events = [
        started(-9_000),
        synced(-8_000, 1),
        synced(-7_000, 2),
        lost(8_500, "disconnect", 2),
        lost(4_000, "chain", 1),
        synced(13_000, 2),
        lost(30_000, "chain", 2),
    ]
    lines = [0, 2_000, 4_000, 6_000, 8_000, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrrrmmrrr", [(8_500, 13_000, "missing", "disconnect", 2)])


def test_another_instrument_s_trouble_is_its_own():
    events = [started(-9_000), synced(-8_000), synced(-8_000, 1, ETH), lost(2_000, "silence", 1, ETH), lost(30_000)]
    assert told(coverage([*events, write_failed(4_000, 6_000, ETH)], EVERY_SLOT)) == ("r" * 10, [])


def test_a_clean_restart_is_ours():
    events = [
        started(-9_000),
        synced(-8_000),
        lost(5_100, "our_restart"),
        stopped(5_200),
        started(8_000),
        synced(9_000),
        lost(30_000),
    ]
    lines = [0, 2_000, 4_000, 10_000, 12_000, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrmmrrrrr", [(5_100, 9_000, "missing", "our_restart", 2)])


@pytest.mark.parametrize(
    ("last_slots_ms", "from_ms"), [(3_000, 4_000), (5_700, 5_700)], ids=["its newest line", "its last word"]
)
def test_a_killed_recorder_is_vouched_for_until_its_newest_sign(last_slots_ms, from_ms):
    events = [
        started(-9_000),
        synced(-8_000),
        slots_event(last_slots_ms, last_slots_ms),
        unclean(8_000, 5_900),
        started(8_000),
        synced(9_000),
        lost(30_000),
    ]
    lines = [0, 1_900, 3_950, 10_000, 12_000, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrmmrrrrr", [(from_ms, 9_000, "missing", "our_restart", 2)])


def test_a_start_ends_the_run_before_it_even_if_nobody_noted_that():
    events = [started(-9_000), synced(-8_000), started(8_000), synced(9_000), lost(30_000)]
    lines = [0, 2_000, 4_000, 10_000, 12_000, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrmmrrrrr", [(4_000, 9_000, "missing", "our_restart", 2)])


def test_what_was_lost_before_the_recorder_stopped_is_ours_from_then_on():
    events = [started(-9_000), synced(-8_000), lost(2_100, "silence"), stopped(9_000), started(13_000), synced(15_000)]
    holes = [(2_100, 9_000, "missing", "silence", 3), (9_000, 15_000, "missing", "our_restart", 3)]
    assert told(coverage(events, [0, 2_000, 16_000, 18_000])) == ("rrmmmmmmrr", holes)


def test_after_a_clean_stop_nothing_is_recorded_and_that_is_ours():
    events = [started(-9_000), synced(-8_000), lost(9_500, "our_restart"), stopped(9_600)]
    holes = [(9_500, 20_000, "missing", "our_restart", 5)]
    assert told(coverage(events, [0, 2_000, 4_000, 6_000, 8_000])) == ("rrrrrmmmmm", holes)


def test_behind_the_newest_sign_of_a_running_recorder_nothing_is_known_yet():
    events = [started(-9_000), synced(-8_000), slots_event(7_000, 7_000)]
    holes = [(10_000, 20_000, "unknown", "", 5)]
    assert told(coverage(events, [0, 2_000, 4_000, 6_000, 8_000])) == ("rrrrruuuuu", holes)


def test_before_the_first_full_book_nothing_is_known():
    events = [started(3_000), synced(5_000), lost(30_000)]
    assert told(coverage(events, [6_000])) == ("uuurqqqqqq", [(0, 5_000, "unknown", "", 3)])


def test_without_a_journal_lines_are_recorded_and_the_rest_is_unknown():
    holes = [(4_000, 7_500, "unknown", "", 2), (10_000, 20_000, "unknown", "", 5)]
    assert told(coverage([], [0, 2_000, 7_500])) == ("rruuruuuuu", [(4_000, 7_500, "unknown", "", 2), holes[1]])


def test_a_span_without_anything_is_one_unknown_hole():
    assert told(coverage([], [])) == ("u" * 10, [(0, 20_000, "unknown", "", 10)])


def test_an_instrument_that_is_recorded_no_more_is_unknown_from_then_on():
    events = [
        started(-9_000),
        synced(-8_000),
        lost(3_900, "our_restart"),
        stopped(4_000),
        started(8_000, 2_000, (ETH,)),
    ]
    holes = [(3_900, 8_000, "missing", "our_restart", 2), (8_000, 20_000, "unknown", "", 6)]
    assert told(coverage(events, [0, 2_000])) == ("rrmmuuuuuu", holes)


def test_lines_that_the_disk_refused_are_missing_though_the_book_was_in_sync():
    events = [started(-9_000), synced(-8_000), write_failed(5_950, 9_970), lost(30_000)]
    lines = [0, 2_000, 4_000, 11_980, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrmmmrrrr", [(5_950, 11_980, "missing", "disk_full", 3)])


def test_slots_that_were_overtaken_are_missing_until_the_next_line():
    skipped = [noted.Skipped(at(12_000), 1, INST, at(slot)) for slot in (6_000, 8_000)]
    events = [started(-9_000), synced(-8_000), *skipped, lost(30_000)]
    lines = [0, 2_000, 4_000, 9_700, 12_000, 14_000, 16_000, 18_000]
    assert told(coverage(events, lines)) == ("rrrmmrrrrr", [(6_000, 9_700, "missing", "overtaken", 2)])


def test_lines_that_cannot_be_had_are_unknown_but_losses_stay():
    events = [started(-9_000), synced(-8_000), lost(5_300), synced(9_100), lost(30_000)]
    holes = [
        (0, 5_300, "unknown", "retention", 3),
        (5_300, 9_100, "missing", "chain", 2),
        (9_100, 20_000, "unknown", "retention", 5),
    ]
    assert told(coverage(events, [], missing=[MissingLines(HOUR_AT_MS, HOUR_AT_MS + 3_600_000, "retention")])) == (
        "uuummuuuuu",
        holes,
    )


def test_a_new_cadence_counts_from_the_first_full_book_of_its_run():
    events = [
        started(-9_000),
        synced(-8_000),
        lost(5_100, "our_restart"),
        stopped(5_200),
        started(8_000, 5_000),
        synced(9_000),
        lost(30_000),
    ]
    covered = coverage(events, [0, 2_000, 4_000, 10_000, 15_000])
    assert told(covered) == ("rrrmmrr", [(5_100, 9_000, "missing", "our_restart", 2)])
    assert [stretch.cadence_ms for stretch in covered.stretches] == [2_000, 2_000, 5_000]


def test_a_line_before_the_span_may_be_the_line_of_its_first_slot():
    events = [started(-9_000), synced(-8_000), lost(30_000)]
    assert told(coverage(events, [2_300, 4_100], start_ms=4_000, end_ms=8_000)) == ("rr", [])


@pytest.mark.parametrize(
    ("t_ms", "expected"),
    [
        (1_950, ("recorded", "")),
        (3_999, ("recorded", "")),
        (4_000, ("quiet", "journal v1")),
        (5_299, ("quiet", "journal v1")),
        (5_300, ("missing", "chain")),
        (9_500, ("missing", "chain")),
    ],
)
def test_a_book_stands_until_the_first_doubt(t_ms, expected):
    told = history([started(-9_000), synced(-8_000), lost(5_300), synced(9_100), lost(30_000)])
    ts_ms = HOUR_AT_MS + 1_950
    assert valid_until(told, all_lines([ts_ms]), ts_ms, HOUR_AT_MS + t_ms) == expected


@pytest.mark.parametrize(("t_ms", "state"), [(1_950, "recorded"), (3_999, "recorded"), (4_000, "unknown")])
def test_without_a_journal_a_book_stands_for_its_slot(t_ms, state):
    ts_ms = HOUR_AT_MS + 1_950
    assert valid_until(history([]), all_lines([ts_ms]), ts_ms, HOUR_AT_MS + t_ms)[0] == state


@st.composite
def runs(draw):
    """Connections that hold and lose the book, in order of time, and what a plain sweep over moments makes of it."""
    events, held, now = [started(-9_000)], {}, 0
    in_sync = []
    for _ in range(draw(st.integers(1, 8))):
        now += draw(st.integers(1, 4_000))
        connection = draw(st.integers(1, 2))
        if connection in held:
            events.append(lost(now, "chain", connection))
            in_sync.append((held.pop(connection), now))
        else:
            events.append(synced(now, connection))
            held[connection] = now
    events += [lost(40_000, "chain", connection) for connection in held]
    in_sync += [(since, 40_000) for since in held.values()]
    return [*events, noted.Alive(at(40_000))], in_sync


@given(runs(), st.sets(st.integers(0, 19).map(lambda slot: slot * 1_000)))
def test_every_slot_is_in_the_state_that_a_plain_look_at_the_journal_gives(run, lines):
    events, in_sync = run
    covered = coverage(events, sorted(lines))
    recorded = {-(-time // 2_000) * 2_000 for time in lines}
    states = {}
    for stretch in covered.stretches:
        for slot_ms in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms):
            states[slot_ms - HOUR_AT_MS] = stretch.state
    first = min(since for since, _ in in_sync)
    for slot_ms in range(0, 20_000, 2_000):
        is_vouched = any(since <= slot_ms < until for since, until in in_sync)
        expected = "quiet" if is_vouched else "missing" if slot_ms > first else "unknown"
        assert states[slot_ms] == ("recorded" if slot_ms in recorded else expected)
    assert covered.slots == 10
