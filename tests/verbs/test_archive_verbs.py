"""`l2vault archive` and `restore`: what they leave out and why, what they note, what they warn of."""

import gzip
import hashlib
import os
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

pytest.importorskip("pyarrow", reason="archives need the analysis extra")

from filelock import FileLock

from l2vault import cli
from l2vault.analytics import executors
from l2vault.book.utc import utc_ms, utc_text
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.vault.archive import read
from l2vault.vault.coverage.checked import checked_hours
from l2vault.vault.journal.events import Restored, Retained, Started
from l2vault.vault.journal.log import read_journal
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.verbs import processes, restore
from support.hours import HOUR_AT_MS, INST, contents, line, put

NOW_MS = HOUR_AT_MS + 30 * HOUR_MS
NAME = "raw/okx/l2_perps/BTC-USDT-SWAP/2024-08-20/03.jsonl"
DATA = contents([line(0), line(2000), line(4000)])


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS)
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(0), line(2000), line(4000)])
    return layout


def plain(layout):
    return layout.hour_file(INST, HOUR_AT_MS)


def stamp(path, ms):
    os.utime(path, ns=(ms * 1_000_000,) * 2)


def run(*words):
    return cli.main([*words])


def test_hours_just_written_to_are_left_and_named_and_no_failure(layout, capsys):
    stamp(plain(layout), NOW_MS - 60_000)
    assert run("archive") == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 hours archived, 0 B of files in 0 B",
        "1 hours left for now: written to within the last 10 minutes",
    ]
    assert plain(layout).exists()


@pytest.mark.parametrize("written_ms", [NOW_MS - HOUR_MS, utc_ms("2036-01-01T00:00:00.000Z")])
def test_a_file_time_far_off_in_either_direction_is_no_sign_of_a_writer(layout, capsys, written_ms):
    stamp(plain(layout), written_ms)
    assert run("archive") == 0
    out = capsys.readouterr().out
    assert out.startswith("1 hours archived")
    assert ("1 hours have file times in the future" in out) == (written_ms > NOW_MS)
    assert not plain(layout).exists()


def test_an_hour_of_which_one_form_is_fresh_is_left_whole(layout):
    packed = plain(layout).with_name("03.jsonl.gz")
    packed.write_bytes(gzip.compress(DATA))
    stamp(packed, NOW_MS - HOUR_MS)
    stamp(plain(layout), NOW_MS)
    assert run("archive") == 0
    assert packed.exists()
    assert plain(layout).exists()
    assert not layout.archive.exists()


def test_an_hour_that_the_recorder_is_writing_is_left_and_named(layout, monkeypatch, capsys):
    monkeypatch.setattr("l2vault.verbs.archive.open_hours", lambda layout: {(INST, HOUR_AT_MS)})
    assert run("archive") == 0
    assert "1 hours left for now: the recorder is writing them" in capsys.readouterr().out
    assert plain(layout).exists()


def test_a_choice_without_an_hour_says_so(layout, capsys):
    assert run("archive", "--to", "2024-08-01") == 0
    assert "no hour that has ended is chosen" in capsys.readouterr().out
    assert run("restore") == 0
    assert capsys.readouterr().out == "0 hours restored: none of the hours chosen is archived\n"


def test_hours_archived_already_are_named(layout, capsys):
    run("archive")
    capsys.readouterr()
    assert run("archive") == 0
    assert "1 hours are archived already" in capsys.readouterr().out


def test_what_was_archived_is_noted_as_read_so_that_no_question_reads_all_its_rows_again(layout, monkeypatch):
    for hour in (1, 2):
        put(layout, [line(hour * HOUR_MS)])
    assert run("archive", "--from", utc_text(HOUR_AT_MS + HOUR_MS)) == 0
    catalog = Catalog(layout)
    hours = [catalog.hour(INST, HOUR_AT_MS + hour * HOUR_MS) for hour in range(3)]
    assert [checked_hours(layout).hour(forms) is not None for forms in hours] == [False, True, False], "asked for, over"
    monkeypatch.delattr(read, "read_through")
    assert open_vault(layout.root).coverage(INST, HOUR_AT_MS + HOUR_MS, HOUR_AT_MS + 2 * HOUR_MS).count("recorded") == 1


def raw_bytes(layout):
    return {path.name: path.read_bytes() for path in layout.raw.rglob("*.jsonl")}


def test_more_hours_than_retention_may_delete_are_archived_because_they_are_asked_for(layout, monkeypatch, capsys):
    """Six hours are so many that processes make them."""
    for number in range(1, 6):
        put(layout, [line(number * HOUR_MS)])
    before = raw_bytes(layout)
    monkeypatch.setattr(executors, "_MOST_PROCESSES", 2)
    assert run("archive") == 0
    assert list(layout.raw.rglob("*.jsonl*")) == []
    started, *steps = read_journal(layout)
    assert isinstance(started, Started)
    assert started.program == "archive"
    assert [step.action for step in steps if isinstance(step, Retained)] == ["archive"] * 6 + ["delete"] * 6

    monkeypatch.setattr(restore, "process_for_each_core", threads)
    monkeypatch.setattr(restore, "_MOST_AHEAD", 2)
    assert run("restore", "--plain") == 0
    assert capsys.readouterr().out.endswith("6 hours restored, 8 lines\n")
    assert raw_bytes(layout) == before
    restored = [step for step in read_journal(layout) if isinstance(step, Restored)]
    assert [step.file[-8:] for step in restored] == sorted(before)


@contextmanager
def threads(hours):
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_a_process_that_dies_is_one_sentence(monkeypatch):
    monkeypatch.setattr(processes, "is_own", lambda: True)
    with pytest.raises(VaultError, match="ended from outside"), processes.process_for_each_core(processes.LEAST_HOURS):
        raise BrokenExecutor("a worker was killed")


@pytest.mark.parametrize("is_plain", [False, True])
def test_what_is_restored_is_noted_with_count_and_digest_of_its_lines(layout, capsys, is_plain):
    run("archive")
    assert run("restore", *(["--plain"] if is_plain else [])) == 0
    assert capsys.readouterr().out.endswith("1 hours restored, 3 lines\n")
    (event,) = [event for event in read_journal(layout) if isinstance(event, Restored)]
    name = NAME if is_plain else f"{NAME}.gz"
    digest = hashlib.sha256(DATA).hexdigest()
    assert event == Restored(utc_text(NOW_MS), INST, utc_text(HOUR_AT_MS), name, 3, digest)


def test_restored_into_another_folder_it_is_noted_there(layout, tmp_path):
    run("archive")
    assert run("restore", "--into", str(tmp_path / "Other")) == 0
    kinds = [type(event) for event in read_journal(Layout(tmp_path / "Other"))]
    assert kinds == [Started, Restored]


def test_hours_that_retention_would_delete_again_are_named_with_the_setting_to_change(layout, monkeypatch, capsys):
    run("archive")
    capsys.readouterr()
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS + 6 * 24 * HOUR_MS)
    assert run("restore") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 hours restored, 3 lines",
        "1 of them ended more than 5 days ago: retention in that vault deletes them again, unless "
        "delete_after_days is more, such as 8, or retention = false",
    ]


def test_an_hour_that_the_recorder_is_writing_is_not_restored(layout, monkeypatch, capsys):
    run("archive")
    monkeypatch.setattr("l2vault.verbs.restore.open_hours", lambda layout: {(INST, HOUR_AT_MS)})
    assert run("restore") == 1
    assert "the recorder is writing this hour" in capsys.readouterr().err
    assert list(layout.raw.rglob("*.jsonl*")) == []


@pytest.mark.parametrize("verb", ["archive", "restore"])
def test_while_retention_is_at_work_both_say_so(layout, capsys, verb):
    run("archive")
    layout.retention_lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(layout.retention_lock):
        assert run(verb) == 1
    assert "retention is at work" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["archive", "restore"])
def test_a_lock_that_this_user_cannot_have_is_one_sentence(layout, capsys, verb):
    run("archive")
    layout.retention_lock.unlink(missing_ok=True)
    layout.retention_lock.mkdir(parents=True)
    assert run(verb) == 1
    assert "the lock of retention cannot be used" in capsys.readouterr().err


def test_a_script_that_calls_a_verb_at_its_top_starts_no_process_that_would_run_it_again() -> None:
    with processes.process_for_each_core(100) as executor:
        assert executor is None
