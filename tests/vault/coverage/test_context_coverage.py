"""What is known of each value of the context, and holes of books that an announced maintenance explains."""

from itertools import pairwise

import pytest

from l2vault.book.context import KINDS
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.coverage.compute import Lines, MissingLines, cover
from l2vault.vault.coverage.context import ContextCoverage, context_history, cover_context
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS, sync_history
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from support.hours import HOUR_AT_MS, INST, at, entries, lost, started, synced

ETH = "ETH-USDT-SWAP"
SPAN = HOUR_AT_MS, HOUR_AT_MS + 100_000


def context(at_ms, state, cause="", inst_id=INST, **kinds):
    times = {kind: None if time is None else at(time) for kind, time in kinds.items()}
    return ContextNoted(at(at_ms), 1, inst_id, state, times, cause)


def alive(at_ms):
    return noted.Alive(at(at_ms), at(at_ms))


def maintenance(at_ms, from_ms, to_ms, state="scheduled", title="upgrade", service="0"):
    bounds = (None if time is None else at(time) for time in (from_ms, to_ms))
    return MaintenanceNoted(at(at_ms), title, state, *bounds, service)


def covered(events, times=None, missing=()):
    """`times` are those of the lines: without them there is one at each sign of life."""
    history = context_history(entries(events), INST)
    lines = [HOUR_AT_MS + time for time in times or ()]
    if times is None:
        lines = [utc_ms(event.at) for event in events if isinstance(event, noted.Alive)]
    gone = [MissingLines(HOUR_AT_MS + from_ms, HOUR_AT_MS + to_ms, cause) for from_ms, to_ms, cause in missing]
    return cover_context(history, INST, SPAN, lines, gone)


def told(coverage, kind="mark"):
    """Stretches of one value, in seconds from the start of the hour."""
    return [
        ((each.start_ms - HOUR_AT_MS) // 1000, (each.end_ms - HOUR_AT_MS) // 1000, each.state, each.cause)
        for each in coverage.stretches
        if each.kind == kind
    ]


BEGIN = started(0)


def test_without_a_record_nothing_is_known_of_any_value():
    coverage = covered([])

    assert {kind for kind in KINDS if told(coverage, kind) == [(0, 100, "unknown", "")]} == set(KINDS)
    assert coverage.share("mark") == 0.0


def test_a_value_is_present_from_its_first_message_to_the_last_line_of_the_run():
    events = [BEGIN, context(10_000, "present", mark=10_000), alive(60_000)]

    assert told(covered(events, times=[12_000, 58_000])) == [
        (0, 10, "unknown", ""),
        (10, 58, "present", ""),
        (58, 100, "unknown", ""),
    ]


@pytest.mark.parametrize("times", [[], [8_000]])
def test_without_a_line_since_it_came_a_sign_of_life_makes_no_value_present(times):
    """The recorder lived on, but its connection may have been silent and its lines never written."""
    events = [BEGIN, context(10_000, "present", mark=10_000), alive(60_000)]

    assert told(covered(events, times=times)) == [(0, 100, "unknown", "")]


def test_behind_the_last_line_a_file_that_is_gone_is_unknown_and_the_rest_lost():
    events = [
        *entries([BEGIN, context(0, "present", mark=0), alive(60_000)]),
        *entries([started(70_000), context(71_000, "present", mark=71_000)], "2"),
    ]
    gone = [MissingLines(HOUR_AT_MS + 40_000, HOUR_AT_MS + 50_000, "retention")]
    coverage = cover_context(context_history(events, INST), INST, SPAN, [HOUR_AT_MS + 30_000], gone)

    assert told(coverage)[:4] == [
        (0, 30, "present", ""),
        (30, 40, "lost", "our_restart"),
        (40, 50, "unknown", "retention"),
        (50, 71, "lost", "our_restart"),
    ]


def test_lines_in_the_file_show_that_it_went_on_behind_the_last_beat():
    events = [BEGIN, context(10_000, "present", mark=10_000), alive(60_000)]

    assert told(covered(events, times=[58_000, 70_000]))[1] == (10, 70, "present", "")


def test_a_sign_of_life_counts_by_the_exchange_s_time_not_by_the_machine_s():
    for wall_ms in (20_000, 90_000):
        before = [BEGIN, context(10_000, "present", mark=10_000), context(40_000, "stale", "silence", mark=39_000)]
        events = [*before, noted.Alive(at(wall_ms), at(60_000)), started(95_000)]
        assert told(covered(events, times=[50_000]))[2:] == [
            (39, 60, "stale", "silence"),
            (60, 100, "lost", "our_restart"),
        ]


def test_each_value_has_its_own_history():
    events = [
        BEGIN,
        context(1_000, "present", mark=1_000, funding=0),
        context(40_000, "stale", "silence", mark=9_000),
        context(50_000, "present", mark=50_000),
        noted.Stopped(at(100_000), "x"),
    ]
    coverage = covered([*events[:-1], alive(100_000)])

    assert told(coverage)[1:] == [(1, 9, "present", ""), (9, 50, "stale", "silence"), (50, 100, "present", "")]
    assert told(coverage, "funding") == [(0, 100, "present", "")]
    assert told(coverage, "index") == [(0, 100, "unknown", "")]
    assert coverage.share("mark") == pytest.approx(0.58)
    assert coverage.share("mark", "stale") == pytest.approx(0.41)


def test_another_instruments_values_are_none_of_ours():
    assert told(covered([BEGIN, context(1_000, "present", inst_id=ETH, mark=1_000), alive(90_000)])) == [
        (0, 100, "unknown", "")
    ]


def test_a_lost_feed_loses_what_it_carried_until_another_brings_it():
    events = [
        BEGIN,
        context(0, "present", mark=0),
        context(30_000, "lost", "disconnect", mark=20_000),
        context(32_000, "present", mark=31_000),
        alive(100_000),
    ]

    assert told(covered(events)) == [(0, 20, "present", ""), (20, 31, "lost", "disconnect"), (31, 100, "present", "")]


def test_a_stopped_recorder_knows_nothing_until_it_is_back():
    events = [
        BEGIN,
        context(0, "present", mark=0),
        context(20_000, "lost", "our_restart", mark=20_000),
        noted.Stopped(at(20_000), "asked to stop"),
    ]
    again = [started(40_000), context(41_000, "present", mark=41_000), alive(100_000)]
    first = told(cover_context(context_history(entries(events), INST), INST, SPAN, [], []))
    history = context_history([*entries(events), *entries(again, run="2")], INST)
    both = cover_context(history, INST, SPAN, [HOUR_AT_MS + 100_000], [])

    assert first == [(0, 20, "present", ""), (20, 100, "lost", "our_restart")]
    assert told(both) == [(0, 20, "present", ""), (20, 41, "lost", "our_restart"), (41, 100, "present", "")]


def test_a_killed_recorder_held_its_values_up_to_its_last_line_and_not_beyond():
    events = [
        *entries([BEGIN, context(0, "present", mark=0), alive(15_000)]),
        *entries(
            [started(40_000), noted.UncleanEnd(at(40_000), at(15_000)), context(41_000, "present", mark=41_000)], "2"
        ),
    ]
    coverage = cover_context(context_history(events, INST), INST, SPAN, [HOUR_AT_MS + 28_000], [])

    assert told(coverage)[:2] == [(0, 28, "present", ""), (28, 41, "lost", "our_restart")]
    assert told(coverage)[2:] == [(41, 100, "unknown", "")]


def test_a_beat_from_the_future_in_one_run_proves_nothing_in_the_next():
    events = [
        *entries([BEGIN, context(0, "present", mark=0), alive(99_000), noted.Stopped(at(10_000), "x")]),
        *entries([started(20_000), context(20_000, "present", index=20_000), alive(30_000)], "2"),
    ]
    coverage = cover_context(context_history(events, INST), INST, SPAN, [HOUR_AT_MS + 30_000], [])

    assert told(coverage, "index") == [(0, 20, "unknown", ""), (20, 30, "present", ""), (30, 100, "unknown", "")]


def test_lines_of_the_next_run_say_nothing_of_the_one_that_was_killed():
    events = [
        *entries([BEGIN, context(0, "present", mark=0, funding=0), alive(15_000)]),
        *entries(
            [started(40_000), context(41_000, "present", funding=26_000), context(45_000, "present", mark=44_000)], "2"
        ),
    ]
    coverage = cover_context(context_history(events, INST), INST, SPAN, [HOUR_AT_MS + 24_000, HOUR_AT_MS + 28_000], [])

    assert told(coverage)[:2] == [(0, 24, "present", ""), (24, 44, "lost", "our_restart")]


def test_a_line_of_the_next_run_of_before_the_last_sign_of_the_killed_one_is_not_the_killed_one_s():
    """The next run's first values are up to some seconds older than its start, and so is the first line it writes."""
    events = [
        *entries([BEGIN, context(0, "present", mark=0), alive(15_000)]),
        *entries([started(15_700), context(16_700, "present", mark=13_600)], "2"),
    ]
    lines = [HOUR_AT_MS + 2_000, HOUR_AT_MS + 14_000]
    coverage = cover_context(context_history(events, INST), INST, SPAN, lines, [])

    assert told(coverage)[:2] == [(0, 2, "present", ""), (2, 15, "lost", "our_restart")]


def test_files_that_are_gone_leave_nothing_present_and_what_was_lost_stays_lost():
    events = [
        BEGIN,
        context(0, "present", mark=0),
        context(60_000, "lost", "disconnect", mark=50_000),
        context(70_000, "present", mark=70_000),
        alive(100_000),
    ]
    coverage = covered(events, missing=[(20_000, 80_000, "retention")])

    assert told(coverage) == [
        (0, 20, "present", ""),
        (20, 50, "unknown", "retention"),
        (50, 70, "lost", "disconnect"),
        (70, 80, "unknown", "retention"),
        (80, 100, "present", ""),
    ]


def test_lines_that_the_disk_refused_lack_until_the_next_one():
    events = [
        BEGIN,
        context(0, "present", mark=0),
        noted.WriteFailed(at(30_000), INST, 3, at(20_000), at(24_000), "full", "context"),
        noted.WriteFailed(at(30_000), INST, 3, at(60_000), at(64_000), "full"),
        noted.WriteFailed(at(30_000), ETH, 3, at(70_000), at(74_000), "full", "context"),
        alive(100_000),
    ]

    assert told(covered(events, times=[0, 30_000, 60_000, 90_000, 99_999])) == [
        (0, 20, "present", ""),
        (20, 30, "unknown", "disk_full"),
        (30, 100, "present", ""),
    ]


def test_stretches_have_no_gap_and_every_value_its_own():
    events = [
        BEGIN,
        context(0, "present", **dict.fromkeys(KINDS, 0)),
        context(30_000, "lost", "disconnect", **dict.fromkeys(KINDS, 20_000)),
        context(40_000, "present", mark=40_000, index=41_000),
        alive(100_000),
    ]
    coverage = covered(events, missing=[(10_000, 15_000, "no file")])

    for kind in KINDS:
        own = [each for each in coverage.stretches if each.kind == kind]
        assert (own[0].start_ms, own[-1].end_ms) == SPAN
        assert all(before.end_ms == after.start_ms for before, after in pairwise(own))
        states = ("present", "stale", "lost", "unknown")
        assert sum(coverage.share(kind, state) for state in states) == pytest.approx(1)


def test_a_time_that_goes_back_and_one_that_is_not_known_move_nothing_back():
    events = [
        BEGIN,
        context(0, "stale", "silence", mark=None),
        context(20_000, "present", mark=20_000),
        context(30_000, "lost", "disconnect", mark=10_000),
        context(35_000, "stale", "silence", mark=None),
        context(40_000, "present", mark=40_000),
        alive(100_000),
    ]

    assert told(covered(events)) == [
        (0, 20, "unknown", ""),
        (20, 40, "stale", "silence"),
        (40, 100, "present", ""),
    ]


def test_as_a_table_and_as_a_sentence():
    coverage = covered([BEGIN, context(0, "present", mark=0), alive(100_000)])

    frame = coverage.to_polars()
    assert frame.filter(kind="mark").select("state", "cause").rows() == [("present", "")]
    assert str(frame.schema["t_from"]) == "Datetime(time_unit='ms', time_zone='UTC')"
    assert coverage.to_polars(raw=True)["t_from"][0] == HOUR_AT_MS
    assert "present mark 100 %, index 0 %" in repr(coverage)
    assert isinstance(coverage, ContextCoverage)


# --- maintenance


def holes(*events):
    history = sync_history(entries(events), INST)
    lines = Lines([HOUR_AT_MS], ALWAYS_MS, NEVER_MS)
    found = cover(history, INST, lines, (HOUR_AT_MS, HOUR_AT_MS + 600_000), []).holes
    return [(hole.kind, hole.cause) for hole in found if hole.cause]


def broken(from_ms, cause="disconnect"):
    """The book was held until then, and again much later."""
    return [BEGIN, synced(0), lost(from_ms, cause=cause), synced(590_000)]


def test_a_hole_that_begins_in_an_announced_maintenance_is_maintenance():
    assert holes(maintenance(1_000, 100_000, 200_000), *broken(150_000)) == [("missing", "maintenance")]
    assert holes(*broken(150_000)) == [("missing", "disconnect")]


@pytest.mark.parametrize("cause", ["disconnect", "silence", "notice"])
def test_what_comes_from_outside_may_be_maintenance(cause):
    assert holes(maintenance(1_000, 100_000, 200_000), *broken(150_000, cause)) == [("missing", "maintenance")]


@pytest.mark.parametrize("cause", ["chain", "schema", "invariant", "conflict", "clock", "our_restart"])
def test_what_a_message_showed_and_what_we_did_ourselves_is_never_maintenance(cause):
    assert holes(maintenance(1_000, 100_000, 200_000), *broken(150_000, cause)) == [("missing", cause)]


def test_a_hole_before_and_one_after_it_keep_their_causes():
    announced = maintenance(1_000, 100_000, 200_000)

    assert holes(announced, *broken(30_000)) == [("missing", "disconnect")]
    assert holes(announced, *broken(250_000)) == [("missing", "disconnect")]
    assert holes(announced, *broken(99_000)) == [("missing", "maintenance")]  # its last book came just before


def test_a_canceled_maintenance_explains_nothing():
    told = [maintenance(1_000, 100_000, 200_000), maintenance(90_000, 100_000, 200_000, "canceled")]

    assert holes(*told, *broken(150_000)) == [("missing", "disconnect")]


def test_one_that_is_put_off_before_it_begins_counts_at_its_new_time_only():
    told = [maintenance(1_000, 100_000, 150_000), maintenance(50_000, 300_000, 350_000)]

    assert holes(*told, *broken(120_000)) == [("missing", "disconnect")]
    assert holes(*told, *broken(320_000)) == [("missing", "maintenance")]


def test_the_next_one_of_the_same_title_does_not_undo_the_one_that_was():
    told = [
        maintenance(1_000, 100_000, 150_000),
        maintenance(150_000, 100_000, 150_000, "completed"),
        maintenance(200_000, 300_000, 350_000),
    ]

    assert holes(*told, *broken(120_000)) == [("missing", "maintenance")]
    assert holes(*told, *broken(320_000)) == [("missing", "maintenance")]


def test_its_newest_end_counts():
    told = [maintenance(1_000, 100_000, 150_000), maintenance(140_000, 100_000, 250_000, "ongoing")]

    assert holes(*told, *broken(200_000)) == [("missing", "maintenance")]


def test_one_without_bounds_goes_from_its_announcement_on():
    assert holes(maintenance(100_000, None, None, "ongoing"), *broken(150_000)) == [("missing", "maintenance")]
    assert holes(maintenance(300_000, None, None, "ongoing"), *broken(150_000)) == [("missing", "disconnect")]


def test_a_loss_of_the_context_may_be_maintenance_too():
    events = [
        BEGIN,
        maintenance(0, 10_000, 50_000),
        context(0, "present", mark=0),
        context(30_000, "lost", "disconnect", mark=20_000),
        context(60_000, "present", mark=60_000),
        alive(100_000),
    ]

    assert told(covered(events))[1:] == [(20, 60, "lost", "maintenance"), (60, 100, "present", "")]


def test_a_vault_whose_clock_was_wrong_still_reads():
    history = context_history(entries([BEGIN, context(0, "present", mark=0)]), INST)

    assert cover_context(history, INST, (0, utc_ms("9998-01-01T00:00:00.000Z")), [], []).inst_id == INST
    assert utc_text(HOUR_AT_MS).startswith("2024")
