"""`verify` holds the files against the journal: what was noted and is not there, or not the same, is a finding."""

import pytest

from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal, start_of_run
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, minute, put, started
from support.vaults import HOURS, good_vault

NOW_MS = HOUR_AT_MS + 100 * HOUR_MS


@pytest.fixture
def layout(tmp_path):
    return good_vault(tmp_path / "Vault")


def kinds(layout):
    return [finding.kind for finding in Verification(layout, NOW_MS).run()]


def noted_later(layout, *events):
    journal = Journal(layout, lambda: 0, lambda place: start_of_run(at(9 * HOUR_MS), "retain", place))
    for event in events:
        journal.append(event)


def first(layout):
    return layout.hour_file(INST, HOUR_AT_MS)


def deleted(layout, path):
    return noted.Retained(at(9 * HOUR_MS), "delete", path.relative_to(layout.root).as_posix(), "age", 1, 0)


def test_a_sound_vault_agrees_with_its_journal_and_its_chain_is_whole(layout):
    assert kinds(layout) == []
    assert list(Verification(layout, NOW_MS).chain()) == []


def test_a_byte_changed_in_any_hour_is_found(layout):
    for hour in range(HOURS):
        path = layout.hour_file(INST, HOUR_AT_MS + hour * HOUR_MS)
        path.write_bytes(path.read_bytes().replace(b'"59980","1"', b'"59980","2"', 1))
    assert kinds(layout) == ["contents"] * HOURS


def test_an_hour_that_is_gone_is_missing_unless_it_was_deleted(layout):
    first(layout).unlink()
    assert kinds(layout) == ["missing", "lacking"]
    noted_later(layout, deleted(layout, first(layout)))
    assert kinds(layout) == []


def test_an_hour_that_was_brought_back_is_missing_when_it_is_gone_again(layout):
    first(layout).unlink()
    name = first(layout).relative_to(layout.root).as_posix()
    restored = noted.Restored(at(10 * HOUR_MS), INST, at(0), name, 1, "ef" * 32)
    noted_later(layout, deleted(layout, first(layout)), restored)
    assert kinds(layout) == ["missing", "lacking"]


def test_a_journal_that_lost_events_or_a_predecessor_is_told(layout):
    path = next(layout.journal.glob("*.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    (finding,) = Verification(layout, NOW_MS).run()
    assert finding.kind == "journal" and "are missing" in finding.text


def test_an_edited_past_breaks_the_chain_at_its_place(layout):
    path = next(layout.journal.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"lines":33,"bytes"', b'"lines":32,"bytes"', 1))
    (finding,) = Verification(layout, NOW_MS).chain()
    assert finding.kind == "chain" and "does not continue the hour_closed before it" in finding.text


def test_a_record_that_another_program_wrote_anew_breaks_the_chain_too(layout):
    """With other spacing, as a JSON editor leaves it: the entry reads, but it is not the line that was digested."""
    path = next(layout.journal.glob("*.jsonl"))
    before, found, after = path.read_bytes().partition(b'{"event":"hour_closed"')
    path.write_bytes(before + b'{"event": "hour_closed"' + after)
    assert found
    (finding,) = Verification(layout, NOW_MS).chain()
    assert "does not continue the hour_closed before it, no other" in finding.text


def test_an_open_hour_may_have_gone_on_but_not_have_changed(layout):
    path = layout.hour_file(INST, HOUR_AT_MS + (HOURS - 1) * HOUR_MS)
    journal = next(layout.journal.glob("*.jsonl"))
    text = journal.read_bytes()
    at_closed = text.rindex(b'{"event":"hour_closed"')
    journal.write_bytes(text[:at_closed] + text[at_closed:].replace(b',"previous"', b',"is_open":true,"previous"', 1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1].replace(b":17.900Z", b":39.900Z"))
    assert kinds(layout) == []
    path.write_bytes(whole.replace(b'"59980","1"', b'"59980","2"', 1) + whole.splitlines(keepends=True)[-1])
    assert "contents" in kinds(layout)


def test_an_hour_that_is_hardly_over_may_have_gone_on_since_it_was_closed(layout):
    hour_ms = HOUR_AT_MS + (HOURS - 1) * HOUR_MS
    path = layout.hour_file(INST, hour_ms)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1].replace(b":17.900Z", b":39.900Z"))
    for now_ms, found in ((hour_ms + 2 * HOUR_MS - 1, []), (hour_ms + 2 * HOUR_MS, ["contents"])):
        assert [finding.kind for finding in Verification(layout, now_ms).run()] == found


def test_a_folder_in_the_place_of_a_day_of_the_journal_is_found(layout):
    (layout.journal / "2024-08-30.jsonl").mkdir()
    assert kinds(layout) == ["journal"]


def test_a_file_in_the_place_of_the_journal_is_found(layout):
    for path in layout.journal.iterdir():
        path.unlink()
    layout.journal.rmdir()
    layout.journal.write_bytes(b"")
    assert kinds(layout) == ["journal"]


def test_what_differs_is_said_in_lines_and_bytes_and_an_altered_hour_of_the_same_size_is_called_so(layout):
    path = first(layout)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"59980","1"', b'"59980","2"', 1))
    (altered,) = Verification(layout, NOW_MS).run()
    assert altered.text.endswith("it does, but not the same ones: it was altered")
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    shorter = next(each for each in Verification(layout, NOW_MS).run() if each.kind == "contents")
    assert f"it holds {len(whole.splitlines()) - 1} lines, {path.stat().st_size} bytes" in shorter.text


def test_lines_from_before_a_minute_do_not_stand_in_for_those_it_lacks(tmp_path):
    """As an hour that was restored, or recorded by another version, and goes on."""
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(ms) for ms in (0, 2_000, 4_000, 6_000, 8_000)])
    journal_of(layout, started(0), minute(9_000, lines=3, first=6_000, last=10_000, last_line=10_000))
    (lacking,) = Verification(layout, NOW_MS).run()
    assert lacking.kind == "lacking"
    assert lacking.text.startswith("of 3 lines") and lacking.text.endswith("2 are there")


def test_a_minute_whose_lines_are_no_later_than_those_before_asks_for_none(tmp_path):
    """Its lines cannot be told from the others by their times, so none of them can be called missing."""
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(ms) for ms in (0, 2_000, 4_000)])
    once = minute(5_000, lines=3, first=0, last=4_000, last_line=4_000)
    again = minute(65_000, lines=2, first=0, last=4_000, last_line=4_000)
    journal_of(layout, started(0), once, again)
    assert kinds(layout) == []
