"""Archiving loses nothing: every line comes back byte for byte, whatever the hour holds and whenever a process dies."""

import gzip
import os
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from l2vault.book.snapshot import to_line
from l2vault.errors import VaultError
from l2vault.vault.archive import write
from l2vault.vault.archive.parquet import encode_levels, facts_of, opened
from l2vault.vault.archive.read import archived_books, archived_lines, archived_times, read_archived
from l2vault.vault.archive.twins import make_columns
from l2vault.vault.archive.write import archive_hour, check_archive, remove_archive, restore_hour
from l2vault.vault.coverage.checked import check_hours, checked_hours, column_work, columns_of, note_columns
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.forms import hour_lines
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import (
    HOUR_AT_MS,
    INST,
    contents,
    hours_of_lines,
    journal_v1_of,
    levels,
    line,
    lost,
    put,
    put_bytes,
    synced,
)
from support.hours import started as run_started

BOOKS = [line(at * 2000, levels("100 5 2", f"9{at} 1 1")) for at in range(5)]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


@pytest.fixture
def archived(layout):
    return layout.archived_hour(INST, HOUR_AT_MS)


def archive(layout, path):
    return archive_hour(layout, layout.parse_hour_file(path))


def test_a_line_of_an_archive_is_placed_where_it_stood_among_the_lines(layout):
    path = put(layout, BOOKS)
    data = contents(BOOKS)
    archive(layout, path)
    path.unlink()
    (forms,) = Catalog(layout).hours(INST)
    placed = [(each.text, each.offset) for each in hour_lines(Catalog(layout), forms, False, pytest.fail)]
    assert placed == [(text, data.index(text)) for text in data.splitlines()]


def test_both_files_say_what_lines_they_hold(layout, archived):
    """Whoever has the lines can compare them, and those of earlier versions say it in the same way."""
    archive(layout, put(layout, BOOKS))
    data = contents(BOOKS)
    for path in (archived.levels, archived.snapshots):
        with pq.ParquetFile(path) as file:
            facts = facts_of(file)
        assert (facts.lines, facts.jsonl_bytes) == (5, len(data))
        assert facts.jsonl_blake2b == blake2b(data, digest_size=16).hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_an_archived_hour_gives_its_lines_back(layout, archived, packed):
    path = put(layout, BOOKS, packed)
    assert archive(layout, path) == archived.levels.stat().st_size + archived.snapshots.stat().st_size
    assert path.exists()
    assert check_archive(archived) is None
    path.unlink()
    assert restore_hour(archived, layout.hour_file(INST, HOUR_AT_MS)) == 5
    assert layout.hour_file(INST, HOUR_AT_MS).read_bytes() == contents(BOOKS)


def test_it_can_be_restored_compressed(layout, archived, tmp_path):
    archive(layout, put(layout, BOOKS))
    restore_hour(archived, tmp_path / "03.jsonl.gz")
    assert gzip.decompress((tmp_path / "03.jsonl.gz").read_bytes()) == contents(BOOKS)


def test_nothing_is_restored_over_a_file(layout, archived):
    path = put(layout, BOOKS)
    archive(layout, path)
    with pytest.raises(VaultError, match="is there already"):
        restore_hour(archived, path)


@given(hours_of_lines())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_hour_can_be_archived(tmp_path_factory, snapshots):
    layout = Layout(tmp_path_factory.mktemp("vault"))
    archive(layout, put(layout, snapshots))
    archived = layout.archived_hour(INST, HOUR_AT_MS)
    assert b"".join(text + b"\n" for text in archived_lines(archived)) == contents(snapshots)
    unflagged = [snapshot.ts_ms for snapshot in snapshots if not snapshot.gap_detected]
    assert archived_times(archived) == unflagged
    for span in [(0, 1 << 47), (snapshots[len(snapshots) // 2].ts_ms, snapshots[-1].ts_ms)] if snapshots else []:
        inside = [snapshot for snapshot in snapshots if span[0] <= snapshot.ts_ms < span[1]]
        assert list(archived_books(archived, span)) == inside


def test_a_reopened_hour_is_archived_whole(layout, archived):
    put(layout, BOOKS[:3], packed=True)
    archive(layout, put(layout, BOOKS[3:]))
    assert b"".join(text + b"\n" for text in archived_lines(archived)) == contents(BOOKS)


def test_lines_that_stand_in_two_files_are_archived_once(layout, archived):
    put(layout, BOOKS[:4], packed=True)
    archive(layout, put(layout, BOOKS[2:]))
    assert archived_lines(archived) == [to_line(book) for book in BOOKS]


@pytest.fixture
def with_columns(layout):
    """The path of an hour that has its column files."""
    path = put(layout, BOOKS)
    put(layout, [line(HOUR_MS)])
    check_hours(layout, HOUR_AT_MS + 2 * HOUR_MS)
    assert make_columns(layout, column_work(layout, HOUR_AT_MS + 2 * HOUR_MS)) == 1
    return path


def test_column_files_become_the_archive_which_is_the_one_made_of_the_lines(
    layout, archived, with_columns, monkeypatch
):
    archive(layout, with_columns)
    made_anew = [path.read_bytes() for path in archived.files]
    rows = read_archived(archived)
    remove_archive(archived)
    monkeypatch.setattr(write, "build_hour", None)
    size = archive(layout, with_columns)
    assert check_archive(archived) is None
    assert archived_lines(archived) == [to_line(book) for book in BOOKS]
    assert size == sum(map(len, made_anew))
    assert read_archived(archived) == rows


@pytest.mark.parametrize("wrong", ["other rows", "another hour", "damaged"])
def test_column_files_that_do_not_give_back_the_lines_are_passed_by(layout, archived, with_columns, wrong):
    columns = layout.columns.archived_hour(INST, HOUR_AT_MS)
    facts = columns.levels.stat()
    if wrong == "damaged":
        columns.levels.write_bytes(bytes(facts.st_size))
    else:
        hour = read_archived(columns)
        with opened(columns.levels) as file:
            said = facts_of(file)
        if wrong == "another hour":
            said = msgspec.structs.replace(said, jsonl_blake2b="0" * 32)
        columns.levels.write_bytes(encode_levels(hour.levels.slice(1), said, 3))
    note_columns(layout, forms_of(layout))  # as if these had been made of the lines
    assert columns_of(layout, checked_hours(layout).hour(forms_of(layout)), forms_of(layout)) is not None
    archive(layout, with_columns)
    assert archived_lines(archived) == [to_line(book) for book in BOOKS]


def forms_of(layout):
    return Catalog(layout).hour(INST, HOUR_AT_MS)


def test_archiving_twice_changes_nothing(layout, archived):
    path = put(layout, BOOKS)
    archive(layout, path)
    before = archived.levels.read_bytes(), archived.snapshots.stat().st_mtime_ns
    archive(layout, path)
    assert (archived.levels.read_bytes(), archived.snapshots.stat().st_mtime_ns) == before


def test_lines_that_come_after_the_archive_join_those_in_it(layout, archived):
    path = put(layout, BOOKS[:3], packed=True)
    archive(layout, path)
    path.unlink()
    archive(layout, put(layout, BOOKS[3:]))
    assert archived_lines(archived) == [to_line(book) for book in BOOKS]


BAD = {
    "torn": (contents(BOOKS) + b'{"timestamp_utc":"2024-', len(contents(BOOKS)), "torn"),
    "foreign": (contents(BOOKS[:2]) + b"hello\n" + contents(BOOKS[2:]), len(contents(BOOKS[:2])), "not a snapshot"),
    "of another hour": (contents([*BOOKS, line(HOUR_MS)]), len(contents(BOOKS)), "another hour"),
    "back in time": (contents([*BOOKS, BOOKS[0]]), len(contents(BOOKS)), "back in time"),
    "unreadable": (contents(BOOKS).replace(b'"93"', b'"xx"'), len(contents(BOOKS[:3])), "plain decimal"),
    "unsorted": (
        contents([BOOKS[0], line(2000, levels("99 1 1", "100 5 2"))]),
        len(contents(BOOKS[:1])),
        "do not give back",
    ),
    "with a wrong mid price": (
        contents(BOOKS).replace(b'"mid_price":"100.25"', b'"mid_price":"100.5"', 1),
        0,
        "do not give back",
    ),
    "spelled with spaces": (contents(BOOKS).replace(b",", b", "), 0, "do not give back"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("packed", [False, True])
def test_an_hour_with_a_bad_line_is_refused_and_left_as_it_is(layout, archived, what, packed):
    data, offset, reason = BAD[what]
    path = put_bytes(layout, HOUR_AT_MS, data, packed)
    before = path.read_bytes()
    with pytest.raises(VaultError) as refused:
        archive(layout, path)
    assert f"{path} at byte {offset}: " in refused.value.message
    assert reason in refused.value.message
    assert path.read_bytes() == before
    assert not archived.levels.exists()
    assert not archived.snapshots.exists()


def test_an_empty_hour_is_refused(layout):
    path = put_bytes(layout, HOUR_AT_MS, b"")
    with pytest.raises(VaultError, match="no line to archive"):
        archive(layout, path)


def test_a_damaged_gzip_is_refused(layout):
    path = put(layout, BOOKS, packed=True)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(VaultError, match="gzip data ends too early"):
        archive(layout, path)


def test_rows_end_where_the_journal_knows_of_a_hole(layout, archived):
    same = levels("100 5 2")
    journal_v1_of(layout, run_started(-1000), synced(-500), lost(5100), synced(7000))
    archive(layout, put(layout, [line(0, same, []), line(8000, same, [])]))
    rows = read_archived(archived).levels.to_pylist()
    assert [(row["t_from"] - HOUR_AT_MS, row["t_to"] - HOUR_AT_MS) for row in rows] == [(0, 5100), (8000, 10_000)]


def test_what_stands_at_the_end_goes_on_to_the_first_line_of_the_next_hour(layout, archived):
    same = levels("100 5 2")
    journal_v1_of(layout, run_started(-1000), synced(-500), lost(HOUR_MS + 5000))
    put(layout, [line(HOUR_MS + 700, same, [])])
    archive(layout, put(layout, [line(HOUR_MS - 1300, same, [])]))
    assert [row["t_to"] - HOUR_AT_MS for row in read_archived(archived).levels.to_pylist()] == [HOUR_MS + 700]


def test_an_archive_that_was_tampered_with_says_so(layout, archived, tmp_path):
    other = layout.archived_hour(INST, HOUR_AT_MS + HOUR_MS)
    archive(layout, put(layout, BOOKS))
    archive(layout, put(layout, [line(HOUR_MS)]))
    whole = archived.levels.read_bytes(), archived.snapshots.read_bytes()

    archived.levels.write_bytes(whole[0][:-40])
    assert check_archive(archived).startswith("cannot be read")
    archived.levels.write_bytes(other.levels.read_bytes())
    assert "not of one archive" in check_archive(archived)
    archived.snapshots.write_bytes(other.snapshots.read_bytes())
    assert check_archive(archived) == "is the archive of BTC-USDT-SWAP, 2024-08-20T04 h UTC"
    with pytest.raises(VaultError, match="is the archive of"):
        restore_hour(archived, tmp_path / "03.jsonl")


def test_an_archive_without_its_snapshots_is_none_and_can_be_found(layout, archived):
    path = put(layout, BOOKS)
    archive(layout, path)
    archived.snapshots.unlink()
    assert Catalog(layout).hour(INST, HOUR_AT_MS).archive is None
    assert list(Catalog(layout).halves()) == [archived.levels]
    archive(layout, path)
    assert list(Catalog(layout).halves()) == []
    remove_archive(archived)
    assert not archived.levels.exists()
    assert not archived.snapshots.exists()
    remove_archive(archived)


KILLED = """
import sys
from pathlib import Path
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.layout import Layout
layout = Layout(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for path in sorted(layout.raw.glob("*/*/*.jsonl*")):
        archive_hour(layout, layout.parse_hour_file(path))
    for path in sorted(layout.archive.glob("*/*/*/*.parquet")):
        path.unlink()
"""


@pytest.mark.parametrize("delay_ms", [0, 17, 41, 83])
def test_whenever_archiving_is_killed_every_line_still_reads_once(layout, delay_ms):
    paths = [put(layout, [line(hour * HOUR_MS + at * 2000) for at in range(40)], packed=True) for hour in range(3)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(layout.root)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        time.sleep(delay_ms / 1000)  # where it dies is the point: anywhere
    finally:
        process.kill()
        process.communicate()
    for hour, path in enumerate(paths):
        forms = Catalog(layout).hour(INST, HOUR_AT_MS + hour * HOUR_MS)
        texts = [read.text for read in hour_lines(Catalog(layout), forms, False, pytest.fail)]
        assert b"".join(text + b"\n" for text in texts) == gzip.decompress(path.read_bytes())
        archive(layout, path)
        assert check_archive(layout.archived_hour(INST, HOUR_AT_MS + hour * HOUR_MS)) is None


def test_leftovers_of_a_killed_run_are_no_parquet_to_others(layout, archived):
    archive(layout, put(layout, BOOKS))
    assert {path.suffix for path in Path(layout.archive).rglob("*") if path.is_file()} == {".parquet"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["levels", "snapshots"])
def test_a_pipe_in_the_place_of_an_archive_is_not_waited_for(layout, archived, name):
    path = put(layout, BOOKS)
    archive(layout, path)
    path.unlink()
    getattr(archived, name).unlink()
    os.mkfifo(getattr(archived, name))
    reported = []
    assert list(hour_lines(Catalog(layout), Catalog(layout).hour(INST, HOUR_AT_MS), False, reported.append)) == []
    (finding,) = reported
    assert "no regular file" in finding.reason
    assert check_archive(archived) is not None
