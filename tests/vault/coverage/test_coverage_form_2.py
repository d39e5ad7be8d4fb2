"""Coverage from a journal of form 2 and lines: quiet is what a record made at the time says, and nothing else."""

import pytest

from l2vault.vault.coverage.compute import Lines, MissingLines, cover, reach, valid_until
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS, sync_history
from l2vault.vault.journal import events as noted
from support.hours import HOUR_AT_MS, INST, at, entries, lost, minute, quiet, started, synced

IN_SYNC = [started(-9_000), synced(-8_000)]
END = [lost(30_000, "our_restart"), noted.Stopped(at(30_000), "asked to stop")]


def history(events):
    return sync_history(entries(events), INST)


def coverage(events, times, start_ms=0, end_ms=20_000, missing=(), **others):
    others = {key: [HOUR_AT_MS + time for time in value] for key, value in others.items()}
    lines = Lines([HOUR_AT_MS + time for time in times], ALWAYS_MS, NEVER_MS, **others)
    gone = [MissingLines(HOUR_AT_MS + from_ms, HOUR_AT_MS + to_ms, cause) for from_ms, to_ms, cause in missing]
    return cover(history(events), INST, lines, (HOUR_AT_MS + start_ms, HOUR_AT_MS + end_ms), gone)


def letters(covered):
    return "".join(("v" if each.state == "unverifiable" else each.state[0]) * each.slots for each in covered.stretches)


def holes(covered):
    return [
        (hole.start_ms - HOUR_AT_MS, hole.end_ms - HOUR_AT_MS, hole.kind, hole.cause, hole.slots)
        for hole in covered.holes
    ]


def connected(feed=1):
    return noted.Connected(at(0), feed, "wss://x")


def disconnected(feed=1):
    return noted.Disconnected(at(0), feed, "gone")


def confirmed(feed=1):
    return noted.Confirmed(at(0), feed, INST, "audit", 1)


def disputed(from_ms, to_ms):
    return noted.Disputed(at(to_ms), INST, at(from_ms), at(to_ms), "feeds", "")


def unverifiable(ts_ms, is_recorded, feed=1):
    return noted.Unverifiable(at(ts_ms), feed, INST, at(ts_ms), is_recorded)


def test_a_slot_is_quiet_where_it_was_noted_so_and_only_there():
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 6_000), first=0, last=6_000), *END]
    covered = coverage(events, [0, 1_900, 7_900, 10_000])
    assert letters(covered) == "rrqqrruuuu"
    assert holes(covered) == [(12_000, 20_000, "unknown", "", 4)]


def test_a_minute_says_that_every_slot_of_it_was_due_so_what_is_neither_there_nor_quiet_is_missing():
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 6_000), first=0, last=18_000), *END]
    covered = coverage(events, [0, 1_900, 7_900, 12_000])
    assert letters(covered) == "rrqqrmrmmm"
    assert holes(covered) == [(10_000, 12_000, "missing", "no line", 1), (14_000, 20_000, "missing", "no line", 3)]


@pytest.mark.parametrize("there", [[0], [0, 1_899], [0, 1_901], []], ids=["gone", "older", "newer", "all gone"])
def test_without_the_line_it_rests_on_a_quiet_slot_is_missing(there):
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 18_000), first=0, last=18_000), *END]
    states = letters(coverage(events, there))
    assert states[2:] == "m" * 8


def test_a_flagged_line_is_no_ground_for_quiet():
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 18_000), first=0, last=18_000), *END]
    assert letters(coverage(events, [0], flagged=[1_900])) == "r" + "m" * 9


def test_a_later_line_ends_what_was_noted_as_quiet():
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 18_000), first=0, last=18_000), *END]
    assert letters(coverage(events, [0, 1_900, 9_000])) == "rrqqqrmmmm"


def test_the_line_a_quiet_slot_rests_on_may_lie_long_before_the_span():
    events = [*IN_SYNC, minute(20_000, quiet(-50_000, 0, 18_000), first=0, last=18_000), *END]
    assert letters(coverage(events, [-50_000])) == "q" * 10
    for end_ms in (6_000, 600_000):
        assert reach(history(events), (HOUR_AT_MS + 4_000, HOUR_AT_MS + end_ms))[0] == HOUR_AT_MS - 50_000


def test_a_record_stands_whatever_became_of_the_feed_but_lost_time_has_its_cause():
    events = [*IN_SYNC, minute(5_000, quiet(0, 2_000, 4_000), first=0, last=4_000), lost(5_300), synced(9_100), *END]
    covered = coverage(events, [0, 10_000, 12_000, 14_000, 16_000, 18_000])
    assert letters(covered) == "rqqmmrrrrr"
    assert holes(covered) == [(5_300, 10_000, "missing", "chain", 2)]


def test_a_loss_goes_on_to_the_first_line_behind_it_where_no_slot_is_between():
    events = [*IN_SYNC, minute(20_000, first=0, last=18_000), lost(5_300), synced(9_100), *END]
    covered = coverage(events, [0, 2_000, 4_000, 9_900, 12_000, 14_000, 16_000, 18_000])
    assert holes(covered) == [(5_300, 9_900, "missing", "chain", 2)]


def test_lines_that_cannot_be_read_are_unknown_and_quiet_slots_with_them():
    events = [*IN_SYNC, minute(20_000, quiet(2_000, 4_000, 6_000), first=0, last=18_000), *END]
    covered = coverage(events, [0, 8_000], missing=[(1, 8_000, "unreadable")])
    assert letters(covered)[:5] == "ruuur"
    assert holes(covered)[0] == (2_000, 8_000, "unknown", "unreadable", 3)


def test_an_hour_without_a_file_is_unknown_but_what_is_quiet_since_before_it_is_quiet():
    events = [*IN_SYNC, minute(20_000, quiet(-400, 0, 8_000), first=0, last=18_000), *END]
    assert letters(coverage(events, [-400], missing=[(0, 20_000, "no file")])) == "rqqqquuuuu"


@pytest.mark.parametrize("ending", [[disconnected()], [connected()], [synced(14_000)]], ids=["gone", "new", "second"])
def test_a_feed_that_ends_without_a_loss_holds_nothing_more(ending):
    """Form 1 would have called the slots after it quiet, form 2 calls them lost."""
    events = [*IN_SYNC, *ending, *END]
    assert letters(coverage(events, [0, 2_000, 4_000], end_ms=14_000)) == "rrrmmmm"
    former = cover(
        sync_history(entries(events, run=None), INST),
        INST,
        Lines([HOUR_AT_MS + time for time in (0, 2_000, 4_000)], ALWAYS_MS, NEVER_MS),
        (HOUR_AT_MS, HOUR_AT_MS + 14_000),
    )
    assert letters(former) == "rrrmmmm"
    assert {stretch.cause for stretch in former.stretches if stretch.state == "missing"} == {"disconnect"}


def test_behind_the_last_minute_of_a_killed_run_nothing_is_quiet():
    killed = noted.UncleanEnd(at(16_000), at(9_000))
    events = [*IN_SYNC, minute(4_000, quiet(0, 2_000, 4_000), first=0, last=4_000, book_time=4_000)]
    events += [started(16_000), killed, synced(16_500), lost(30_000)]
    covered = coverage(events, [0, 6_000, 10_000, 17_900])
    assert letters(covered) == "rqqrurmmmr"
    assert [hole[3] for hole in holes(covered)] == ["", "our_restart"]


def test_recovery_ends_what_form_1_had_noted_after_the_last_line_that_is_left():
    slots = noted.Slots(at(12_000), {}, {INST: at(12_000)}, {})
    cut = noted.Recovered(at(16_000), f"raw/okx/l2_perps/{INST}/2024-08-20/03.jsonl", 10, 10, "x")
    killed = [noted.UncleanEnd(at(16_000), at(12_000)), started(16_000)]
    for ending, expected in ((killed, "rrrqqqmmuu"), ([*killed, cut], "rrrmmmmmuu")):
        told = sync_history(entries([*IN_SYNC, slots, *ending], run=None), INST)
        lines = Lines([HOUR_AT_MS + time for time in (0, 2_000, 4_000)], ALWAYS_MS, NEVER_MS)
        covered = cover(told, INST, lines, (HOUR_AT_MS, HOUR_AT_MS + 20_000))
        assert letters(covered) == expected


def test_disputed_slots_are_a_state_of_their_own_and_what_rests_on_them_is_too():
    events = [*IN_SYNC, minute(20_000, quiet(3_900, 6_000, 8_000), first=0, last=18_000), disputed(2_000, 4_000), *END]
    covered = coverage(events, [0, 1_900, 3_900, 9_900, 12_000, 14_000, 16_000, 18_000])
    assert letters(covered) == "rddddrrrrr"
    assert holes(covered) == [(1_900, 9_900, "disputed", "", 4)]
    assert covered.covered_share == 0.6


def test_a_disputed_slot_that_has_no_line_is_missing_all_the_same():
    events = [*IN_SYNC, minute(20_000, first=0, last=18_000), disputed(2_000, 4_000), *END]
    assert letters(coverage(events, [0, 6_000]))[:4] == "rmmr"


def test_a_stream_that_cannot_be_verified_is_unknown_or_if_asked_for_unverifiable():
    events = [*IN_SYNC, unverifiable(4_000, False), lost(9_000, "silence"), synced(11_000), *END]
    covered = coverage(events, [0, 2_000, 12_000, 14_000, 16_000, 18_000])
    assert letters(covered) == "rruuumrrrr"
    assert [hole[2:4] for hole in holes(covered)] == [("unknown", "unverifiable"), ("missing", "silence")]
    events = [*IN_SYNC, unverifiable(4_000, True), lost(9_000, "silence"), synced(11_000), *END]
    covered = coverage(events, [0, 2_000, 4_000, 6_000, 12_000, 14_000, 16_000, 18_000])
    assert letters(covered) == "rrvvumrrrr"
    assert covered.covered_share == 0.6


def test_lines_of_a_stream_that_cannot_be_verified_count_only_where_another_feed_held_the_book():
    events = [*IN_SYNC, synced(-8_000, 2), unverifiable(4_000, False), lost(7_000, "chain", 2)]
    events += [lost(13_000, "silence"), synced(15_000), *END]
    assert letters(coverage(events, range(0, 20_000, 2_000))) == "rrrruuurrr"


def test_without_a_noted_end_a_stream_stays_unverifiable_until_the_next_sync():
    run = [*IN_SYNC, unverifiable(4_000, True)]
    again = [started(8_000), synced(11_000), *END]
    assert letters(coverage([*run, *again], range(0, 20_000, 2_000))) == "rrvvvvrrrr"
    assert letters(coverage(run, range(0, 20_000, 2_000))) == "rrvvvvvvvv"


def test_slots_that_no_confirmed_feed_held_are_recorded_and_marked_unaudited():
    events = [*IN_SYNC, synced(-8_000, 2), confirmed(2), lost(9_000, "chain", 2), synced(13_000, 2), *END]
    covered = coverage(events, range(0, 20_000, 2_000))
    assert letters(covered) == "r" * 10
    assert covered.unaudited == 5
    assert covered.clip(HOUR_AT_MS, HOUR_AT_MS + 12_000).unaudited == 1
    assert coverage([*IN_SYNC, confirmed(), *END], range(0, 20_000, 2_000)).unaudited == 0


def test_of_a_vault_of_both_forms_each_hour_follows_its_own_law():
    former = entries([*IN_SYNC, lost(7_000, "our_restart"), noted.Stopped(at(7_000), "")], run=None)
    now = entries([started(8_000), synced(9_000), minute(20_000, quiet(10_000, 12_000, 12_000)), *END])
    lines = Lines([HOUR_AT_MS, HOUR_AT_MS + 10_000], ALWAYS_MS, NEVER_MS)
    covered = cover(sync_history([*former, *now], INST), INST, lines, (HOUR_AT_MS, HOUR_AT_MS + 20_000))
    assert letters(covered) == "rqqqmrquuu"
    assert [stretch.cause for stretch in covered.stretches if stretch.state == "quiet"] == ["journal v1", ""]


def slots_event(noted_ms, lines):
    return noted.Slots(at(noted_ms), {INST: lines}, {INST: at(noted_ms)}, {})


@pytest.mark.parametrize(("times", "expected"), [([0, 2_000], "rrqqqqqqqq"), ([0], "ruuuuuqqqq")])
def test_minutes_of_form_1_of_which_lines_are_gone_are_unknown(times, expected):
    events = [started(-9_000), synced(0), slots_event(9_000, 2), slots_event(18_500, 0), lost(30_000)]
    told = sync_history(entries(events, run=None), INST)
    lines = Lines([HOUR_AT_MS + time for time in times], ALWAYS_MS, NEVER_MS)
    covered = cover(told, INST, lines, (HOUR_AT_MS, HOUR_AT_MS + 20_000))
    assert letters(covered) == expected
    assert {stretch.cause for stretch in covered.stretches if stretch.state == "unknown"} <= {"no line"}


def test_a_book_stands_as_long_as_its_slots_are_noted_as_quiet():
    events = [*IN_SYNC, minute(20_000, quiet(1_900, 4_000, 6_000), first=0, last=6_000), *END]
    lines = Lines([HOUR_AT_MS + 1_900], ALWAYS_MS, NEVER_MS)
    told = [
        valid_until(history(events), lines, HOUR_AT_MS + 1_900, HOUR_AT_MS + t_ms)
        for t_ms in (1_900, 3_999, 4_000, 7_999, 8_000)
    ]
    assert told == [("recorded", "")] * 2 + [("quiet", "")] * 2 + [("unknown", "")]


def test_the_newest_evidence_is_proved_exchange_time_while_the_instrument_is_recorded():
    beat = noted.Alive(at(60_000), at(50_000))
    assert history([*IN_SYNC, beat]).newest_ms == HOUR_AT_MS + 50_000
    assert history([*IN_SYNC, noted.Alive(at(60_000))]).newest_ms == HOUR_AT_MS + 60_000, "the clocks agree"
    skewed = noted.Synced(at(5_000_000), 1, INST, at(-8_000), 1)
    assert history([started(-9_000), skewed, noted.Alive(at(5_060_000))]).newest_ms == HOUR_AT_MS - 8_000
    other = started(70_000, instruments=("ETH-USDT-SWAP",))
    assert history([*IN_SYNC, beat, other, noted.Alive(at(90_000), at(90_000))]).newest_ms == HOUR_AT_MS + 50_000


def test_a_killed_run_s_last_sign_of_life_begins_what_our_restart_cost():
    """Nothing was held any more, so only the run after it knows when the one before was still alive."""
    events = [*IN_SYNC, minute(1_000, first=0, last=0), lost(2_000, "chain"), started(14_000)]
    events += [noted.UncleanEnd(at(14_000), at(8_000)), synced(16_000)]
    assert [hole[3] for hole in holes(coverage(events, [0, 15_900], end_ms=16_000))] == ["chain", "our_restart"]
    assert holes(coverage(events, [0, 15_900], end_ms=16_000))[1][0] == 8_000


def refused(from_ms, to_ms, goes_on=True):
    return noted.WriteFailed(at(to_ms), INST, 1, at(from_ms), at(to_ms), "full", goes_on=goes_on)


KILLED = [started(40_000), noted.UncleanEnd(at(40_000), at(4_100)), synced(42_000), lost(60_000, "our_restart")]


def test_what_a_killed_run_lost_to_a_full_disk_goes_on_until_it_would_have_given_a_sign():
    """The run noted what the disk refused at its last sign of life; the next one, 15 s later, never came."""
    events = [*IN_SYNC, minute(1_000, first=0, last=0), refused(2_000, 2_000), refused(4_000, 4_000), *KILLED]
    found = holes(coverage(events, [0, 42_000], end_ms=42_000))
    assert [(hole[1], hole[3]) for hole in found] == [(19_001, "disk_full"), (42_000, "our_restart")]


def test_where_the_disk_took_lines_again_a_kill_after_that_is_no_full_disk():
    events = [*IN_SYNC, minute(1_000, first=0, last=0), refused(2_000, 2_000), refused(4_000, 4_000, False), *KILLED]
    found = holes(coverage(events, [0, 5_900, 42_000], end_ms=42_000))
    assert [hole[3] for hole in found] == ["disk_full", "our_restart"]
    assert found[0][1] == 5_900


def test_a_run_that_began_before_that_has_its_own_causes():
    restarted = [started(6_000), noted.UncleanEnd(at(6_000), at(4_100)), synced(7_000), lost(9_000, "chain")]
    events = [*IN_SYNC, minute(1_000, first=0, last=0), refused(2_000, 2_000), *restarted, synced(42_000)]
    found = holes(coverage(events, [0, 7_100, 8_100, 42_000], end_ms=42_000))
    assert [(hole[1], hole[3]) for hole in found] == [(7_100, "disk_full"), (42_000, "chain")]


def test_a_second_sync_without_a_loss_between_leaves_a_hole_that_is_a_disconnect():
    events = [*IN_SYNC, minute(4_000, first=0, last=2_000), synced(9_000), minute(20_000, first=10_000, last=18_000)]
    times = [0, 2_000, 10_000, 12_000, 14_000, 16_000, 18_000]
    covered = coverage([*events, *END], times)
    assert letters(covered) == "rrmmmrrrrr"
    assert [hole[2:] for hole in holes(covered)] == [("missing", "disconnect", 3)]


def test_a_hole_that_ends_where_a_part_begins_is_not_in_it():
    covered = coverage([*IN_SYNC, lost(2_000, "chain"), synced(9_000), *END], [0, 9_900])
    (hole,) = [each for each in covered.holes if each.cause == "chain"]
    after = covered.clip(hole.end_ms, covered.end_ms)
    assert [each.cause for each in after.holes if each.cause == "chain"] == []
    assert all(each.start_ms < each.end_ms for each in after.holes)


def test_an_interval_cut_short_ends_where_the_next_one_begins():
    """Its newest line is of a slot behind that beginning; the loss in between is none the less."""
    events = [*IN_SYNC, disconnected(), connected(), synced(9_000), lost(9_200, "chain"), synced(13_000)]
    covered = coverage([*events, *END], [0, 1_900, 3_900, 5_900, 7_900, 8_500, 13_900], end_ms=14_000)
    assert (9_200, "missing", "chain") in [(hole[0], *hole[2:4]) for hole in holes(covered)]


def test_what_was_noted_after_the_clock_was_set_back_makes_the_newest_sign_of_life_no_older():
    events = [*IN_SYNC, lost(2_000, "chain"), noted.Alive(at(12_000)), noted.Alive(at(6_000))]
    assert [(hole[1], *hole[2:4]) for hole in holes(coverage(events, [0, 1_900]))] == [
        (12_000, "missing", "chain"),
        (20_000, "unknown", ""),
    ]


def test_a_feed_that_syncs_anew_is_verifiable_again():
    events = [*IN_SYNC, unverifiable(3_000, True), synced(9_000), minute(20_000, first=0, last=18_000), *END]
    assert letters(coverage(events, range(0, 20_000, 2_000))) == "rrvvvrrrrr"
