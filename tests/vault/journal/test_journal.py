"""The journal keeps every event, survives torn lines, and can say how the last recorder ended."""

import errno
import json
import os
import threading
import tracemalloc
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2vault.book.utc import utc_ms
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal import change_events, context_events, deep_events, merge_events, trade_events
from l2vault.vault.journal import events as noted
from l2vault.vault.journal import log as journal
from l2vault.vault.journal.lines import journal_files
from l2vault.vault.journal.log import (
    Journal,
    Place,
    PreviousRun,
    newest_place,
    previous_run,
    read_events,
    read_file,
    read_journal,
    read_ordered,
    start_of_run,
    verb_journal,
)
from l2vault.vault.journal.places import closed_hours
from l2vault.vault.store.layout import Layout
from support import hours

AT = "2026-11-22T10:00:00.000Z"
NEXT_DAY = "2026-11-23T00:00:00.000Z"
TS = "2026-11-22T09:59:58.123Z"

BTC = "BTC-USDT-SWAP"
DATA_FILE = "raw/okx/l2_perps/BTC-USDT-SWAP/2026-11-22/09.jsonl"
MINUTE_OF = noted.MinuteOf(30, TS, AT, 28, 1, TS, 1, [noted.Quiet(TS, AT, AT), noted.Quiet(TS, TS, AT)], AT)

ONE_OF_EACH = [
    noted.Started(AT, "0.1.0", "host", 4711, "Linux", [BTC], 2000, 400, 2, "ab12", region="eea", schema=2),
    noted.Recovered(AT, DATA_FILE, 100, 7, "meta/okx/torn/x", BTC, TS),
    noted.SetAside(AT, BTC, DATA_FILE, 2, TS, AT, "meta/okx/torn/y"),
    noted.UncleanEnd(AT, TS),
    noted.Connected(AT, 1, "wss://ws.okx.com/ws/v5/public"),
    noted.Synced(AT, 1, BTC, TS, 78677952608),
    noted.Synced(AT, 1, "ETH-USDT-SWAP", None, None, "rest"),
    noted.Confirmed(AT, 1, BTC, "audit", 5),
    noted.Slots(AT, {BTC: 30}, {BTC: TS}, {BTC: 1}),
    noted.Minute(AT, {BTC: MINUTE_OF}, 30, 2, 1),
    noted.HourClosed(AT, BTC, "2026-11-22T09:00:00.000Z", 1800, 90_000_000, "ab" * 32, previous="cd" * 32),
    noted.Lost(AT, 1, BTC, "chain", TS, None, "prevSeqId 5, last seqId 4"),
    noted.Unverifiable(AT, 1, BTC, TS, True),
    noted.Disputed(AT, BTC, TS, AT, "feeds", "feeds 1 and 2 differ at seqId 5"),
    noted.Refused(AT, 1, "NO-SUCH-SWAP", "60018", "doesn't exist"),
    noted.Noticed(AT, 1, "64008", "service upgrade \u2028 \r\n"),
    noted.InstrumentNoted(AT, BTC, "changed", "state live"),
    noted.WriteFailed(AT, BTC, 3, TS, TS, "No space left on device"),
    noted.Retained(AT, "compress", "raw/okx/l2_perps/BTC-USDT-SWAP/2026-11-22/03.jsonl", "older than 6 h", 100, 10),
    noted.Restored(AT, BTC, "2026-11-22T03:00:00.000Z", DATA_FILE, 1800, "ef" * 32),
    noted.RetentionHeld(AT, 12, 10**9, "the clock is not proved", "l2vault retain --yes"),
    noted.Disconnected(AT, 1, "1006"),
    noted.Alive(AT),
    noted.Alive(AT, TS),
    noted.Conflicted(AT, BTC, 78677952608, TS, (1, 2)),
    noted.Skipped(AT, 2, BTC, TS),
    noted.Audited(AT, 1, BTC, "mismatch", 78677952608, "1 levels differ, first 64223"),
    noted.ClockStepped(AT, -3.5),
    noted.HostSlept(AT, 400.25),
    noted.ClockSkew(AT, -12, 3, 250, 600),
    noted.DiskStalled(AT, 12.25),
    noted.VaultReplaced(AT, "recorder.lock"),
    noted.TaskFailed(AT, "audit", "ValueError: x", 1.5),
    noted.Stopped(AT, "asked to stop"),
    trade_events.TradesBegun(AT, "BTC-USDT-SWAP", 5, AT, "first"),
    trade_events.TradesHole(AT, "BTC-USDT-SWAP", 6, 9, 4, AT, AT, "chain"),
    trade_events.TradesFilled(AT, "BTC-USDT-SWAP", 6, 7, 2, "rest"),
    trade_events.TradesForeign(AT, "BTC-USDT-SWAP", 10**15, 10**15 + 1, AT, 1),
    trade_events.TradesSkipped(AT, "BTC-USDT-SWAP", 8, 8, 1),
    trade_events.TradesMissing(AT, "BTC-USDT-SWAP", 9, 9, 1, AT, AT, "REST has not answered"),
    change_events.ChangesLost(AT, BTC, TS, "disconnect", None, 3, "the only feed ended"),
    deep_events.DeepMissed(AT, BTC, TS, "throttled", None, 3, "HTTP 429"),
    deep_events.RpiMissed(AT, BTC, TS, "refused", TS, 2),
    change_events.Latency(AT, 1, 600, 1.5, 2.0, 3.0, 9.5, 20.0, 12, 3),
    context_events.ContextNoted(AT, 1, BTC, "stale", {"mark": TS, "funding": None}, "silence"),
    context_events.MaintenanceNoted(AT, "upgrade", "scheduled", TS, None, "0"),
    merge_events.Repaired(AT, BTC, [(TS, TS)], 7, True),
    merge_events.Merged(
        AT,
        BTC,
        TS,
        "books",
        {"/mnt/a": 1},
        TS,
        TS,
        2_000,
        [merge_events.MergedQuiet(TS, TS, TS)],
        [merge_events.MergedSpan(TS, TS, "missing", "chain, silence")],
        [(TS, TS)],
        begun=[merge_events.MergedBegun(7, TS)],
        ids=[merge_events.MergedIds(7, 9, TS, TS, "skipped", "", "")],
        values={"mark": [merge_events.MergedSpan(TS, TS, "present", "")]},
    ),
]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def write(layout, *events):
    """One run of these events."""
    journal_of_one_run = Journal(layout)
    for event in events:
        journal_of_one_run.append(event)


def raw(layout, *lines, at=AT):
    """Lines as they stand in the file of a day, with their newlines."""
    path = layout.journal_file(utc_ms(at))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    return path


def started(at=AT, program="recorder", previous=None):
    """The beginning of a run as its program would make it."""
    fields = {"cadence_ms": 2000, "instruments": [BTC]} if program == "recorder" else {}
    return msgspec.structs.replace(start_of_run(at, program, previous), **fields)


def run_of(layout, *events, previous=None, program="recorder", at=AT, run=None):
    """A whole run behind the place `previous`; returns the place of its last event."""
    journal_of_one_run = Journal(layout, run=run)
    for event in (started(at, program, previous), *events):
        journal_of_one_run.append(event)
    return Place(journal_of_one_run.run, journal_of_one_run.n)


def beat(second):
    return noted.Alive(f"2026-11-22T10:00:{second:02d}.000Z")


def placed(event, run, n):
    return journal.place_line(msgspec.json.encode(event), run, n, 0)


def test_every_kind_of_event_is_read_back_as_it_was_written(layout):
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(noted.Event))
    write(layout, *ONE_OF_EACH)
    assert list(read_journal(layout)) == ONE_OF_EACH


def test_what_is_appended_without_a_sync_is_put_on_the_disk_by_the_next_one(layout, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    one = Journal(layout)
    one.append(noted.Alive(AT), is_synced=False)
    one.append(noted.Alive(NEXT_DAY), is_synced=False)
    assert synced == []
    one.sync()
    assert {path.stat().st_ino for path in journal.journal_files(layout)} <= set(synced)
    synced.clear()
    one.sync()
    assert synced == []


def test_an_event_is_one_json_line_that_names_its_kind(layout):
    write(layout, *ONE_OF_EACH)
    lines = layout.journal_file(utc_ms(AT)).read_bytes().split(b"\n")
    assert lines.pop() == b""
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds[:3] == ["started", "recovered", "set_aside"]
    assert len(kinds) == len(ONE_OF_EACH)


def test_the_bounds_of_a_loss_are_named_from_and_to(layout):
    Journal(layout, lambda: 77, run="ab12").append(noted.Lost(AT, 1, "BTC-USDT-SWAP", "chain", TS, None, "why"))
    assert json.loads(layout.journal_file(utc_ms(AT)).read_bytes()) == {
        "event": "lost",
        "at": AT,
        "feed": 1,
        "inst_id": "BTC-USDT-SWAP",
        "cause": "chain",
        "from": TS,
        "to": None,
        "detail": "why",
        "run": "ab12",
        "n": 1,
        "mono_ms": 77,
    }


def test_a_run_is_read_in_its_order_whatever_the_wall_clock_and_the_files_said(layout):
    write(layout, noted.Alive(NEXT_DAY), noted.Alive(AT))
    assert [event.at for event in read_journal(layout)] == [NEXT_DAY, AT]


def test_a_loss_noted_after_the_clock_was_set_back_is_read_after_the_sync_before_it(layout):
    """The clock stood a day ahead for some events: their file is read later, and they still come first."""
    synced = "2026-11-22T09:00:{:02d}.000Z"
    events = [
        noted.Synced(AT, 1, BTC, synced.format(1), 1),
        noted.Lost(NEXT_DAY, 1, BTC, "disconnect", synced.format(10), None, ""),
        noted.Synced(NEXT_DAY, 1, BTC, synced.format(11), 1),
        noted.Lost(AT, 1, BTC, "disconnect", synced.format(20), None, ""),
        noted.Synced(AT, 1, BTC, synced.format(50), 1),
    ]
    run_of(layout, *events)
    assert [len(read_file(path).entries) for path in journal.journal_files(layout)] == [4, 2]
    ordered, bad = read_ordered(layout)
    assert [entry.event for entry in ordered.entries][1:] == events
    assert (ordered.troubles, bad) == ([], [])


@pytest.mark.parametrize("torn", [b'{"event":"ali', b"\x00" * 300, b'{"event":"alive","at":"\xff\xfe"}', b"\xff", b"7"])
def test_a_torn_line_costs_no_other_event(layout, torn):
    write(layout, noted.Alive(AT))
    day = layout.journal_file(utc_ms(AT))
    with day.open("ab") as file:
        file.write(torn)
    write(layout, noted.Stopped(AT, "later"))
    assert list(read_events(day)) == [noted.Alive(AT), noted.Stopped(AT, "later")]
    assert [bad.number for bad in read_file(day).bad] == [2], "once something stands behind it, it is damage"


def torn_by_a_full_disk(monkeypatch, bytes_taken):
    """The next write takes so many bytes, and no more."""
    whole, refused = journal.write_all, []

    def write_all(file, data):
        if refused:
            return whole(file, data)
        refused.append(data)
        whole(file, data[:bytes_taken])
        raise OSError(errno.ENOSPC, "No space left on device", str(file.name))

    monkeypatch.setattr(journal, "write_all", write_all)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("bytes_taken", [1, 12, 90, 10_000])
def test_what_a_full_disk_tore_is_no_damage_once_the_event_stands_whole(layout, monkeypatch, place, bytes_taken):
    """Wherever it was torn, also of the first event of a run, and with another monotonic time at the second try."""
    clock = iter(range(100, 900, 7))
    log = journal.Journal(layout, monotonic_ms=lambda: next(clock))
    events = [hours.started(0), hours.synced(1_000), hours.lost(2_000)]
    for number, event in enumerate(events):
        if number == place:
            torn_by_a_full_disk(monkeypatch, bytes_taken)
            with pytest.raises(OSError, match="No space left"):
                log.append(event)
        log.append(event)
    ordered, bad = read_ordered(layout)
    assert ([entry.event for entry in ordered.entries], ordered.troubles, bad) == (events, [], [])


def test_a_line_that_a_kill_tore_is_no_damage_once_a_run_names_the_event_before_it(layout):
    first = journal.Journal(layout, run="aa")
    first.append(hours.started(0))
    first.append(hours.synced(1_000))
    (day,) = journal.journal_files(layout)
    whole = day.read_bytes()
    for previous, bad in ((("aa", 2), []), (("aa", 3), [3]), (("aa", 1), [3]), (("bb", 2), [3])):
        day.write_bytes(whole + b'{"event":"lost","at":"2024-08-20T03:0')
        start = msgspec.structs.replace(hours.started(5_000), previous_run=previous[0], previous_n=previous[1])
        journal.Journal(layout, run="cc").append(start)
        assert [each.number for each in read_file(day).bad] == bad, "an event that was there is missing"


def test_damage_that_no_write_leaves_stays_a_finding_whatever_follows(layout):
    log = journal.Journal(layout, run="aa")
    log.append(hours.started(0))
    log.append(hours.synced(1_000))
    (day,) = journal.journal_files(layout)
    lines = day.read_bytes().splitlines(keepends=True)
    for damage in (lines[1][:50], b"\0" * 50, lines[1].replace(b'"at":"2', b'"at":"x')[:60]):
        day.write_bytes(lines[0] + damage + b"\n" + b"".join(lines[2:]))
        journal.Journal(layout, run="bb").append(hours.lost(3_000))
        assert [each.number for each in read_file(day).bad] == [2]


def test_a_torn_last_line_is_silent(layout):
    write(layout, noted.Alive(AT))
    day = layout.journal_file(utc_ms(AT))
    with day.open("ab") as file:
        file.write(b'{"event":"ali')
    assert read_file(day).bad == []
    assert [entry.event for entry in read_file(day).entries] == [noted.Alive(AT)]


def test_what_a_later_version_adds_is_passed_over(layout):
    write(layout, noted.Alive(AT))
    day = layout.journal_file(utc_ms(AT))
    with day.open("ab") as file:
        file.write(
            b'{"event":"witnessed","at":"x"}\n{"event":"stopped","at":"2026-11-22T10:00:00.000Z","reason":"z","mood":"good"}\n'
        )
    assert list(read_events(day)) == [noted.Alive(AT), noted.Stopped(AT, "z")]
    assert read_file(day).bad == []


def test_foreign_files_beside_the_days_are_left_alone(layout):
    write(layout, noted.Alive(AT))
    (layout.journal / "notes.jsonl").write_text('{"event":"alive","at":"never"}\n')
    assert [event.at for event in read_journal(layout)] == [AT]


def test_a_vault_without_a_journal_has_no_events(layout):
    assert list(read_journal(layout)) == []
    assert previous_run(layout) is None
    assert newest_place(layout) is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([noted.Alive(AT), noted.Stopped(NEXT_DAY, "asked")], (NEXT_DAY, True)),
        ([noted.Stopped(AT, "asked"), noted.Alive(NEXT_DAY)], (NEXT_DAY, False)),
        ([noted.Stopped(AT, "asked"), noted.Retained(NEXT_DAY, "delete", "f", "old", 1, 0)], (AT, True)),
        ([noted.Alive(AT), noted.Retained(AT, "delete", "f", "old", 1, 0)], (AT, False)),
    ],
)
@pytest.mark.parametrize("form", [1, 2])
def test_the_last_sign_of_life_is_the_recorders_own(layout, events, expected, form):
    if form == 1:
        raw(layout, *(msgspec.json.encode(event) for event in events))
        assert previous_run(layout) == PreviousRun(None, 0, *expected)
    else:
        place = run_of(layout, *events, run="ab12")
        assert previous_run(layout) == PreviousRun("ab12", place.n, *expected)


@pytest.mark.parametrize("form", [1, 2])
def test_a_clean_end_is_known_behind_all_that_a_pass_of_retention_noted_since(layout, form):
    events = [noted.Stopped(AT, "asked"), *[noted.Retained(NEXT_DAY, "delete", "f", "old", 1, 0)] * 48]
    if form == 1:
        raw(layout, *(msgspec.json.encode(event) for event in events))
    else:
        run_of(layout, *events, run="ab12")
    found = previous_run(layout)
    assert found is not None
    assert (found.at, found.is_stopped) == (AT, True)


def test_what_a_verb_noted_is_no_recorders_run(layout):
    run_of(layout, noted.Retained(AT, "delete", "f", "old", 1, 0), program="retain")
    assert previous_run(layout) is None
    first = run_of(layout, noted.Stopped(AT, "asked"), run="aa")
    run_of(layout, noted.Retained(NEXT_DAY, "delete", "f", "old", 1, 0), program="retain", previous=first)
    assert previous_run(layout) == PreviousRun("aa", 2, AT, True)


def test_a_run_that_lost_its_beginning_is_a_recorder_s_unless_it_begins_with_what_verbs_note(layout):
    raw(layout, placed(beat(1), "aa", 2))
    raw(layout, placed(noted.Retained(NEXT_DAY, "delete", "f", "old", 1, 0), "bb", 2), at=NEXT_DAY)
    assert previous_run(layout) == PreviousRun("aa", 2, beat(1).at, False)
    assert newest_place(layout) == Place("aa", 2)


def test_the_newest_run_is_the_last_of_the_chain_whatever_the_wall_clock_said(layout):
    first = run_of(layout, noted.Alive(NEXT_DAY), run="aa", at=NEXT_DAY)
    second = run_of(layout, noted.Stopped(AT, "asked"), run="bb", at=AT, previous=first)
    assert previous_run(layout) == PreviousRun("bb", 2, AT, True)
    assert newest_place(layout) == second


def test_the_region_is_the_newest_that_a_recorder_named(layout):
    eea = msgspec.structs.replace(started(), region="eea")
    former = Journal(layout, run="aa")
    former.append(eea)
    run_of(layout, run="bb", previous=Place("aa", 1))
    found = previous_run(layout)
    assert found is not None
    assert (found.run, found.region) == ("bb", "eea")


def test_a_verb_s_run_stands_behind_the_event_it_names(layout):
    recorder = Journal(layout, run="aa")
    for event in (started(), beat(1)):
        recorder.append(event)
    verb = verb_journal(layout, "retain", lambda: AT, lambda: 5)
    assert newest_place(layout) == Place("aa", 2)
    gone = noted.Retained(AT, "delete", "f", "old", 1, 0)
    verb.append(gone)
    recorder.append(beat(2))
    verb.append(noted.Restored(AT, BTC, AT, "f", 1, "ab"))
    kinds = [type(event).__name__ for event in read_journal(layout)]
    assert kinds == ["Started", "Alive", "Started", "Retained", "Restored", "Alive"]
    (start,) = [entry.event for entry in read_ordered(layout)[0].entries if entry.run == verb.run and entry.n == 1]
    assert (start.program, start.previous_run, start.previous_n, start.schema) == ("retain", "aa", 2, 2)
    assert newest_place(layout) == Place("aa", 3), "the recorder has noted more since"


def test_a_second_verb_stands_behind_the_first(layout):
    run_of(layout, beat(1), run="aa")
    for _ in range(2):
        verb_journal(layout, "retain", lambda: AT, lambda: 0).append(noted.Retained(AT, "delete", "f", "old", 1, 0))
    starts = [event for event in read_journal(layout) if isinstance(event, noted.Started)]
    assert [start.previous_run == "aa" for start in starts[1:]] == [True, False]
    assert newest_place(layout) == Place(str(read_ordered(layout)[0].entries[-1].run), 2)


def test_verbs_behind_one_event_each_stand_there(layout):
    run_of(layout, beat(1), run="aa")
    for program in ("retain", "archive", "restore"):
        behind = started(program=program, previous=Place("aa", 1))
        verb = Journal(layout, lambda: 5, begin=lambda place, behind=behind: behind)
        verb.append(noted.Retained(AT, "delete", program, "old", 1, 0))
    events = [getattr(event, "program", getattr(event, "file", "beat")) for event in read_journal(layout)]
    assert (events[0], events[-1]) == ("recorder", "beat")
    assert sorted(events[1:-1]) == sorted(["retain", "archive", "restore"] * 2)


def test_a_minute_without_comparisons_says_that_there_were_none():
    minute = noted.Minute(AT, {})
    assert (minute.matched, minute.unaligned, minute.conflicting) == (0, 0, 0)


def test_a_verb_that_changes_nothing_leaves_no_trace(layout):
    verb_journal(layout, "retain", lambda: AT, lambda: 0)
    assert not layout.journal.exists()


def test_a_beginning_that_the_disk_refused_is_tried_again(layout, monkeypatch):
    verb = verb_journal(layout, "retain", lambda: AT, lambda: 0)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", full_disk)
        verb.append(beat(1))
    verb.append(beat(1))
    ordered, _ = read_ordered(layout)
    assert [type(entry.event).__name__ for entry in ordered.entries] == ["Started", "Alive"]
    assert ordered.troubles == [], "the line that stands twice is the same event"


def test_runs_are_read_in_the_order_in_which_they_name_each_other(layout):
    place = None
    for nth, at in enumerate([NEXT_DAY, AT, "2026-11-20T00:00:00.000Z", AT]):
        place = run_of(layout, noted.Stopped(at, str(nth)), previous=place, at=at)
    stops = [event.reason for event in read_journal(layout) if isinstance(event, noted.Stopped)]
    assert stops == ["0", "1", "2", "3"]


def test_thousands_of_runs_are_no_depth_of_recursion(layout):
    lines, place = [], None
    for nth in range(3000):
        lines.append(placed(started(previous=place), f"{nth:x}", 1))
        place = Place(f"{nth:x}", 1)
    raw(layout, *lines)
    ordered, _ = read_ordered(layout)
    assert [entry.run for entry in ordered.entries] == [f"{nth:x}" for nth in range(3000)]
    assert ordered.troubles == []


def test_form_1_comes_first_with_its_former_names(layout):
    """The keys `line` and `lines` meant a connection."""
    run_of(layout, run="aa", at=AT)
    raw(
        layout,
        b'{"event":"started","at":"2026-11-23T00:00:00.000Z","version":"0.1","host":"h","pid":1,"platform":"p",'
        b'"instruments":["BTC-USDT-SWAP"],"cadence_ms":2000,"depth":400,"lines":2,"config_digest":"d"}',
        b'{"event":"synced","at":"2026-11-23T00:00:00.000Z","line":2,"inst_id":"BTC-USDT-SWAP",'
        b'"ts":"2026-11-22T09:59:58.123Z","seq_id":5,"source":"stream"}',
        b'{"event":"conflict","at":"2026-11-23T00:00:00.000Z","inst_id":"BTC-USDT-SWAP","seq_id":5,'
        b'"grid":"2026-11-22T09:59:58.123Z","lines":[1,2]}',
        b'{"event":"write_failed","at":"2026-11-23T00:00:00.000Z","inst_id":"BTC-USDT-SWAP","lines":3,'
        b'"from":"2026-11-22T09:59:58.123Z","to":"2026-11-22T09:59:58.123Z","error":"full"}',
        at=NEXT_DAY,
    )
    assert list(read_journal(layout))[:-1] == [
        noted.Started(NEXT_DAY, "0.1", "h", 1, "p", [BTC], 2000, 400, 2, "d"),
        noted.Synced(NEXT_DAY, 2, BTC, TS, 5),
        noted.Conflicted(NEXT_DAY, BTC, 5, TS, (1, 2)),
        noted.WriteFailed(NEXT_DAY, BTC, 3, TS, TS, "full"),
    ]
    assert read_ordered(layout)[0].entries[0].run is None


def test_what_an_earlier_recorder_did_not_write_is_nothing():
    started = noted.Started(AT, "0.1", "h", 1, "p")
    assert (started.instruments, started.cadence_ms, started.depth, started.feeds) == ([], 0, 0, 0)
    assert (noted.MinuteOf().due, noted.MinuteOf().lines, noted.MinuteOf().flagged) == (0, 0, 0)


def troubles(layout):
    return read_ordered(layout)[0].troubles


def test_a_missing_predecessor_is_a_trouble_and_the_run_stands_by_the_wall_clock(layout):
    run_of(layout, run="aa", at=AT)
    run_of(layout, run="cc", at=NEXT_DAY, previous=Place("bb", 7))
    run_of(layout, run="dd", at="2026-11-21T00:00:00.000Z", previous=Place("dd", 1))
    assert [event.at for event in read_journal(layout)] == ["2026-11-21T00:00:00.000Z", AT, NEXT_DAY]
    assert troubles(layout) == [
        "run dd: the run before it, dd, is missing",
        "run cc: the run before it, bb, is missing",
    ]


def test_events_that_are_missing_are_a_trouble(layout):
    raw(layout, placed(started(), "aa", 1), placed(beat(2), "aa", 2), placed(beat(5), "aa", 5))
    raw(layout, placed(beat(3), "bb", 3))
    assert troubles(layout) == [
        "run aa: 2 of its 5 events are missing",
        "run bb: its beginning is missing, first event 3",
    ]
    assert len(list(read_journal(layout))) == 4


def test_events_of_a_later_version_are_not_missing(layout):
    later = b'{"event":"moon_phase","at":"2026-11-22T10:00:00.000Z","run":"aa","n":2,"mono_ms":0}'
    raw(layout, placed(started(), "aa", 1), later, placed(beat(3), "aa", 3))
    assert troubles(layout) == []
    assert len(list(read_journal(layout))) == 2


def test_two_different_events_at_one_place_are_a_trouble_and_a_copy_is_none(layout):
    lines = [placed(started(), "aa", 1), placed(beat(2), "aa", 2)]
    raw(layout, *lines, *lines)
    assert troubles(layout) == []
    raw(layout, placed(beat(9), "aa", 2))
    assert troubles(layout) == ["run aa: two different events stand at place 2"]
    assert [event.at for event in read_journal(layout)] == [AT, beat(2).at]


def test_runs_in_a_circle_are_a_trouble_and_each_is_read_once(layout):
    raw(layout, placed(started(previous=Place("bb", 1)), "aa", 1), placed(started(previous=Place("aa", 1)), "bb", 1))
    assert [entry.run for entry in read_ordered(layout)[0].entries] == ["aa", "bb"]
    assert troubles(layout) == [f"run aa, begun at {AT}: it stands before itself, in a circle of runs"]
    previous_run(layout), newest_place(layout)


def test_two_recorders_that_follow_one_run_are_a_trouble(layout):
    first = run_of(layout, run="aa")
    run_of(layout, run="bb", previous=first)
    run_of(layout, run="cc", previous=first)
    assert troubles(layout) == ["run aa: more than one recorder's run follows it: bb, cc"]


def test_what_the_journal_could_not_keep_is_seen_to_be_missing(layout):
    kept = Journal(layout, run="aa")
    kept.append(started())
    kept.leave_out(3)
    kept.append(beat(1))
    assert troubles(layout) == ["run aa: 3 of its 5 events are missing"]


def test_a_run_that_begins_again_gives_the_place_of_the_former(layout):
    kept = Journal(layout, run="aa")
    kept.append(started())
    former = kept.begin_again()
    kept.append(started(previous=former))
    assert former == Place("aa", 1)
    assert kept.run != "aa"
    assert troubles(layout) == []
    assert previous_run(layout) == PreviousRun(kept.run, 1, AT, False)


def test_events_of_many_threads_have_a_place_each(layout):
    kept = Journal(layout)
    threads = [threading.Thread(target=lambda: [kept.append(beat(1)) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.n for entry in read_ordered(layout)[0].entries] == list(range(1, 81))


MINUTE = b'{"event":"minute","at":"%b","instruments":{"X":%b}}'
BAD_LINES = [
    b"7",
    b"null",
    b'"event"',
    b"[" * 100_000,
    b'{"event":' + b"[" * 100_000,
    b'{"event":["alive"],"at":"2026-11-22T10:00:00.000Z"}',
    b'{"event":"alive"}',
    b'{"event":"alive","at":"\xff"}',
    b'{"event":"alive","at":"2026-13-22T10:00:00.000Z"}',
    b'{"event":"alive","at":"2026-11-22T10:00:00Z"}',
    b'{"event":"alive","at":"0000-11-22T10:00:00.000Z"}',
    b'{"event":"alive","at":"1969-12-31T23:59:59.999Z"}',
    b'{"event":"alive","at":"9999-12-31T23:59:59.999Z"}',
    b'{"event":"alive","at":"2026-11-22T10:00:00.000Z","exchange":"soon"}',
    b'{"event":"disconnected","at":"2026-11-22T10:00:00.000Z","feed":1180591620717411303424,"reason":""}',
    b'{"event":"clock_step","at":"2026-11-22T10:00:00.000Z","seconds":1e400}',
    b'{"event":"skipped","at":"2026-11-22T10:00:00.000Z","feed":1,"inst_id":"X","grid":""}',
    b'{"event":"alive","at":"2026-11-22T10:00:00.000Z","run":"ab","n":-1,"mono_ms":0}',
    b'{"event":"alive","at":"2026-11-22T10:00:00.000Z","run":"ab","n":1180591620717411303424,"mono_ms":0}',
    b'{"event":"alive","at":"2026-11-22T10:00:00.000Z","run":"ab"}',
    MINUTE % (AT.encode(), b'{"due":-1}'),
    MINUTE % (AT.encode(), b'{"quiet":[["x","2026-11-22T10:00:00.000Z","2026-11-22T10:00:00.000Z"]]}'),
    MINUTE % (AT.encode(), b'{"last_line":"yesterday"}'),
    b'{"event":"started","at":"2026-11-22T10:00:00.000Z","version":"","host":"","pid":1,"platform":"","cadence_ms":0}',
]


@pytest.mark.parametrize("line", BAD_LINES, ids=range(len(BAD_LINES)))
def test_a_line_that_is_no_event_is_reported_and_costs_no_other(layout, line):
    path = raw(layout, placed(started(), "aa", 1), line, placed(beat(2), "aa", 2))
    found = read_file(path)
    assert [(bad.path, bad.number) for bad in found.bad] == [(path, 2)]
    assert 0 < len(found.bad[0].reason) <= 200
    assert [entry.n for entry in found.entries] == [1, 2]
    assert previous_run(layout) == PreviousRun("aa", 2, beat(2).at, False)
    assert newest_place(layout) == Place("aa", 2)


def test_lines_that_another_program_wrote_anew_keep_their_place(layout):
    """An editor of Windows ends them otherwise; others put blanks in and turn the keys."""
    turned = b'{"n": 2, "event": "alive", "mono_ms": 5, "run": "aa", "at": "2026-11-22T10:00:02.000Z"}'
    raw(layout, placed(beat(3), "aa", 3) + b"\r", turned, placed(started(), "aa", 1) + b"\r")
    assert [entry.n for entry in read_ordered(layout)[0].entries] == [1, 2, 3]
    assert troubles(layout) == []


def test_a_text_that_looks_like_a_place_is_none(layout):
    words = 'x","run":"ff","n":9,"mono_ms":1}'
    run_of(layout, noted.Stopped(AT, words), run="aa")
    assert [(entry.run, entry.n) for entry in read_ordered(layout)[0].entries] == [("aa", 1), ("aa", 2)]
    raw(layout, msgspec.json.encode(noted.Stopped(AT, words)))
    assert read_ordered(layout)[0].entries[0].run is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_journal_raises(tmp_path_factory, data):
    layout = Layout(tmp_path_factory.mktemp("vault"))
    place = None
    for _ in range(3):
        place = run_of(layout, beat(1), noted.Minute(AT, {BTC: MINUTE_OF}), previous=place)
    path = layout.journal_file(utc_ms(AT))
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 40))
        text[at : at + length] = data.draw(st.one_of(st.binary(max_size=20), st.just(bytes(text[:200]))))
    path.write_bytes(text)
    ordered, _ = read_ordered(layout)
    assert len(ordered.entries) <= 9 + 20
    previous_run(layout), newest_place(layout), closed_hours(layout)


def test_closed_hours_are_those_with_a_final_record_and_the_newest_line_is_of_the_newest_run(layout):
    def closed(hour, is_open):
        return noted.HourClosed(AT, BTC, f"2026-11-22T{hour:02d}:00:00.000Z", 1, 1, "ab", is_open=is_open)

    newer = Journal(layout, run="bb")
    for event in (started(previous=Place("aa", 3)), closed(2, False), closed(3, True)):
        newer.append(event)
    run_of(layout, closed(1, False), closed(9, False), run="aa")
    found = closed_hours(layout)
    assert found.of("books") == {(BTC, f"2026-11-22T{hour:02d}:00:00.000Z") for hour in (1, 2, 9)}
    assert found.newest_line == newer.newest_line


def full_disk(handle):
    raise OSError(28, "No space left on device")


def test_an_event_is_on_the_disk_before_append_returns(layout, monkeypatch):
    sizes = []
    real_fsync = os.fsync

    def fsync(handle):
        sizes.append(os.fstat(handle).st_size)
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write(layout, noted.Alive(AT))
    assert sizes[0] == layout.journal_file(utc_ms(AT)).stat().st_size


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync for folders")
def test_a_new_days_name_is_made_durable_too(layout, monkeypatch):
    synced = []
    monkeypatch.setattr(journal, "sync_folder", synced.append)
    write(layout, noted.Alive(AT))
    assert layout.journal in synced
    assert layout.root.parent in synced  # it got the new entry "Vault"
    synced.clear()
    write(layout, noted.Alive(AT))
    assert synced == []


def test_a_refusing_disk_is_told_to_the_caller(layout, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(layout, noted.Alive(AT))


@pytest.mark.parametrize("time", ["soon", "2026-11-22 10:00:00", "9999-12-31T23:59:59.999Z"])
def test_a_state_of_the_context_with_a_time_that_is_none_is_no_event(layout, time):
    event = context_events.ContextNoted(AT, 1, BTC, "present", {"mark": time})
    path = raw(layout, placed(event, "ab", 1))

    (bad,) = read_file(path).bad
    assert (bad.path, bad.number) == (path, 1)


def test_a_line_far_too_long_is_one_bad_line_and_is_not_gathered_in_memory(layout):
    """A quarter of a gigabyte of zeros between two events, as a lost extent of a file system leaves it."""
    Journal(layout).append(ONE_OF_EACH[0])
    (day,) = journal_files(layout)
    first = day.read_bytes()
    os.truncate(day, len(first) + (1 << 28))
    with day.open("ab") as file:
        file.write(b"\n" + first)
    tracemalloc.start()
    found = read_file(day)
    place = newest_place(layout)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 80 << 20
    assert [bad.number for bad in found.bad] == [2]
    assert len(found.entries) == 2 and place is not None


def test_of_many_bad_lines_only_the_first_are_told_one_by_one(layout):
    Journal(layout).append(ONE_OF_EACH[0])
    (day,) = journal_files(layout)
    day.write_bytes(b"{\n" * 100_000 + day.read_bytes())
    found = read_file(day)
    assert ([bad.number for bad in found.bad], found.more_bad) == (list(range(1, 101)), 99_900)
    assert len(found.entries) == 1
    told = [each.text for each in Verification(layout, 0).run() if "cannot be read" in each.text]
    assert len(told) == 101 and told[-1] == "99900 lines behind it cannot be read either"


@pytest.mark.parametrize(
    "slots",
    [
        noted.Slots(AT, {BTC: 30}, {BTC: "soon"}, {}),
        noted.Slots(AT, {BTC: 30}, {BTC: "9999-12-31T23:59:59.999Z"}, {}),
        noted.Slots(AT, {BTC: 10**30}, {}, {}),
        noted.Slots(AT, {BTC: 30}, {}, {BTC: -1}),
    ],
)
def test_counts_and_book_times_of_form_1_that_are_none_are_a_bad_line(layout, slots):
    Journal(layout).append(ONE_OF_EACH[0])
    (day,) = journal_files(layout)
    with day.open("ab") as file:
        file.write(msgspec.json.encode(slots) + b"\n")
    found = read_file(day)
    assert ([type(entry.event) for entry in found.entries], [bad.number for bad in found.bad]) == ([noted.Started], [2])
