"""`verify` holds the files against what a journal of version 0.1 counted, and never accuses a vault that is whole."""

import gzip

import pytest

from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal import events as noted
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import CADENCE_MS, HOUR_AT_MS, INST, at, contents, journal_v1_of, line, lost, put, started, synced

MINUTE_MS = 60_000
NOW_MS = HOUR_AT_MS + 100 * HOUR_MS
PER_MINUTE = MINUTE_MS // CADENCE_MS


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def slots(minute, lines=PER_MINUTE, book_ms=None):
    book_ms = minute * MINUTE_MS + 300 if book_ms is None else book_ms
    return noted.Slots(at(minute * MINUTE_MS + 500), {INST: lines}, {INST: at(book_ms)}, {})


def recorded(layout, minutes, first=0, is_stopped=True, counts=None):
    """A run of a recorder of 0.1: its lines, and its journal. Returns its lines by hour."""
    base = first * MINUTE_MS
    books = [line(base + nth * CADENCE_MS + 100) for nth in range(minutes * PER_MINUTE)]
    hours = {}
    for book in books:
        hours.setdefault(book.ts_ms // HOUR_MS, []).append(book)
    for hour in hours.values():
        path = layout.hour_file(INST, hour[0].ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(contents(hour))
    journal_v1_of(layout, started(base), synced(base + 50))
    for nth in range(1, minutes + 1):
        journal_v1_of(layout, slots(first + nth, **(counts or {}).get(nth, {})))
    if is_stopped:
        end = base + minutes * MINUTE_MS + 400
        journal_v1_of(layout, lost(end, "our_restart"), noted.Stopped(at(end), "asked to stop"))
    return list(hours.values())


def findings(layout):
    return [(found.kind, found.file.rpartition("/")[2], found.text) for found in Verification(layout, NOW_MS).run()]


def kinds(layout):
    return [kind for kind, _, _ in findings(layout)]


def test_a_whole_vault_of_version_0_1_has_no_finding_in_whatever_form_its_hours_are(layout):
    hours = recorded(layout, 150)
    assert kinds(layout) == []
    for hour in hours[:2]:
        path = layout.hour_file(INST, hour[0].ts_ms)
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert kinds(layout) == []


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("left", [0, 1, 1700])
def test_an_hour_that_lost_lines_is_found(layout, left, is_packed):
    hour = recorded(layout, 150)[1]
    path = layout.hour_file(INST, hour[0].ts_ms)
    path.unlink()
    kept = contents(hour[:left])
    path.with_name(path.name + ".gz" * is_packed).write_bytes(gzip.compress(kept) if is_packed else kept)
    (found,) = findings(layout)
    assert found[:2] == ("fewer", "04.jsonl")
    assert f"at most {left + 30} are there" in found[2], "15 lines before it and 15 behind might be its own"
    assert "of 1800 lines that a journal of form 1 counted from 2024-08-20T04:00:00.300Z" in found[2]


def test_an_hour_that_is_gone_is_not_found_for_whoever_deleted_it_knows(layout):
    hours = recorded(layout, 150)
    layout.hour_file(INST, hours[1][0].ts_ms).unlink()
    assert kinds(layout) == []


def test_lines_of_the_minute_before_or_after_are_no_finding(layout):
    """The feed that wrote them was not in sync when the minute was noted, and the other one was behind."""
    behind = {nth: {"book_ms": nth * MINUTE_MS - 25_000} for nth in (1, 59, 60, 61, 119, 120)}
    recorded(layout, 130, counts=behind)
    assert kinds(layout) == []


def test_flagged_lines_were_counted_too(layout):
    flagged = [line(HOUR_MS + 100 + nth * MINUTE_MS, gap_detected=True, prev_seq_id=1) for nth in range(60)]
    hours = recorded(layout, 150, counts={nth: {"lines": PER_MINUTE + 1} for nth in range(61, 121)})
    path = layout.hour_file(INST, hours[1][0].ts_ms)
    path.write_bytes(contents(sorted([*hours[1], *flagged], key=lambda each: each.ts_ms)))
    assert kinds(layout) == []
    path.write_bytes(contents(hours[1]))
    assert kinds(layout) == ["fewer"]


@pytest.mark.parametrize(
    "event",
    [
        noted.WriteFailed(at(70 * MINUTE_MS), INST, 900, at(65 * MINUTE_MS), at(95 * MINUTE_MS), "disk full"),
        noted.SetAside(at(160 * MINUTE_MS), INST, "f", 900, at(65 * MINUTE_MS), at(95 * MINUTE_MS), "kept"),
    ],
)
def test_lines_that_were_refused_or_set_aside_are_no_finding(layout, event):
    hour = recorded(layout, 150)[1]
    assert put(layout, [*hour[:150], *hour[1000:]])
    assert kinds(layout) == ["fewer"]
    journal_v1_of(layout, event)
    assert kinds(layout) == []


def test_an_hour_of_which_recovery_cut_an_end_is_no_finding(layout):
    hour = recorded(layout, 150)[1]
    path = put(layout, hour[:1000])
    journal_v1_of(layout, noted.Recovered(at(160 * MINUTE_MS), path.relative_to(layout.root).as_posix(), 1, 9, "kept"))
    assert kinds(layout) == []


def test_the_last_minutes_of_a_run_without_an_end_may_have_been_lost_in_a_power_cut(layout):
    hour = recorded(layout, 50, is_stopped=False)[0]
    journal_v1_of(layout, noted.UncleanEnd(at(61 * MINUTE_MS), at(50 * MINUTE_MS)))
    recorded(layout, 20, first=65)
    put(layout, hour[: -2 * PER_MINUTE])
    assert kinds(layout) == []
    put(layout, hour[: -4 * PER_MINUTE])
    assert kinds(layout) == ["fewer"]


def test_journals_of_two_recorders_in_one_folder_accuse_nobody(layout):
    """Each wrote a part of the lines, and both counted."""
    recorded(layout, 150)
    for path in layout.journal.glob("*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(each + each.replace(b".300Z", b".900Z") for each in lines))
    assert kinds(layout) == []


def test_hostile_counts_accuse_nobody_and_raise_nothing(layout):
    recorded(layout, 150, counts={70: {"lines": 10**30}, 80: {"lines": -1}, 90: {"lines": 9999}})
    assert [text[:23] for _, _, text in findings(layout)] == ["line 72 cannot be read:", "line 82 cannot be read:"]
