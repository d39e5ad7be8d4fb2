"""Hours that were read whole and found good: coverage takes their lines from the note, and only as long as it holds."""

import gzip
import os

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.vault.checking.verify import Verification
from l2vault.vault.coverage import hour_lines
from l2vault.vault.coverage.checked import check_hours, checked_hours
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store import forms
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Layout

INST = "BTC-USDT-SWAP"
HOUR_AT_MS = utc_ms("2024-08-20T10:00:00.000Z")
SIDES = [("100.5", "5", "0", "2")], [("101", "7", "0", "1")]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def put(layout, hour, seconds, is_packed=True, tail=b""):
    """An hour with a line at each of these seconds."""
    hour_ms = HOUR_AT_MS + hour * HOUR_MS
    books = [Snapshot(INST, hour_ms + second * 1000, 400, *SIDES, 0, second, second - 1) for second in seconds]
    data = b"".join(to_line(book) + b"\n" for book in books) + tail
    path = layout.hour_file(INST, hour_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(f"{path.name}.gz") if is_packed else path
    path.write_bytes(gzip.compress(data, mtime=0) if is_packed else data)
    return path


def checked(layout, hour):
    return checked_hours(layout).hour(Catalog(layout).hour(INST, HOUR_AT_MS + hour * HOUR_MS))


def coverage(layout):
    return open_vault(layout.root).coverage(INST, HOUR_AT_MS, HOUR_AT_MS + 3 * HOUR_MS)


def test_a_checked_hour_is_not_read_again_and_tells_the_same(layout, monkeypatch):
    put(layout, 0, [2, 4, 6, 100])
    put(layout, 1, [1, 3], is_packed=False)
    put(layout, 2, [0])
    before = coverage(layout)
    assert check_hours(layout, HOUR_AT_MS + 3 * HOUR_MS) == 2, "the newest hour may still go on"
    read = []
    real = hour_lines.hour_times
    monkeypatch.setattr(
        hour_lines,
        "hour_times",
        lambda catalog, forms, *rest: read.append(forms.hour_ms) or real(catalog, forms, *rest),
    )
    assert coverage(layout) == before
    assert read == [HOUR_AT_MS + 2 * HOUR_MS]
    assert checked(layout, 0).times(HOUR_AT_MS).tolist() == [HOUR_AT_MS + at for at in (2000, 4000, 6000, 100_000)]


@pytest.mark.parametrize("change", ["size", "time", "form"])
def test_a_file_that_changed_is_read(layout, change):
    path = put(layout, 0, [2, 4])
    put(layout, 1, [0])
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS) == 1
    facts = path.stat()
    if change == "size":
        put(layout, 0, [2, 4, 8, 16, 30])
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        assert path.stat().st_size != facts.st_size
    elif change == "time":
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    else:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert checked(layout, 0) is None
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS) == 1, "it is noted anew"
    assert checked(layout, 0) is not None


@pytest.mark.parametrize("tail", [b"rubbish\n", b'{"torn'])
def test_an_hour_with_a_finding_is_never_noted(layout, tail):
    put(layout, 0, [2], tail=tail)
    put(layout, 1, [0])
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS) == 1, "it was read"
    assert checked(layout, 0) is None
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS) == 0, "and is not read again"


def test_an_hour_that_has_not_ended_is_not_noted(layout):
    put(layout, 0, [2])
    put(layout, 1, [0])
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS - 1) == 0


def test_what_changes_unseen_is_found_by_verify_which_always_reads(layout):
    path = put(layout, 0, [2, 4], is_packed=False)
    put(layout, 1, [0])
    check_hours(layout, HOUR_AT_MS + HOUR_MS)
    facts = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"100.5"', b'"100x5"', 1))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert checked(layout, 0) is not None
    (finding,) = Verification(layout, HOUR_AT_MS + 10 * HOUR_MS).run()
    assert "00x5" in finding.text and layout.root / finding.file == path


OTHER_FORM, NESTED = b'{"form":9,"hours":{}}', b"[" * 10_000


@pytest.mark.parametrize(
    "data",
    [b"", b"rubbish", gzip.compress(OTHER_FORM), gzip.compress(NESTED)],
    ids=["empty", "rubbish", "another form", "nested"],
)
def test_a_note_that_does_not_read_is_none_and_is_made_anew(layout, data):
    put(layout, 0, [2])
    put(layout, 1, [0])
    check_hours(layout, HOUR_AT_MS + HOUR_MS)
    note = layout.checked_file(INST, HOUR_AT_MS)
    note.write_bytes(data)
    assert checked(layout, 0) is None
    assert check_hours(layout, HOUR_AT_MS + HOUR_MS) == 1
    assert checked(layout, 0) is not None


def test_a_reader_sees_what_another_process_has_noted_since(layout):
    put(layout, 0, [2])
    put(layout, 1, [0])
    check_hours(layout, HOUR_AT_MS + HOUR_MS)
    notes, forms = checked_hours(layout), Catalog(layout).hour(INST, HOUR_AT_MS)
    assert notes.hour(forms) is not None
    layout.checked_file(INST, HOUR_AT_MS).write_bytes(b"rubbish")
    assert notes.hour(forms) is None


def test_the_note_of_a_day_goes_with_its_last_hour(layout):
    path = put(layout, 0, [2])
    put(layout, 24, [0])
    put(layout, 25, [0])
    check_hours(layout, HOUR_AT_MS + 100 * HOUR_MS)
    note = layout.checked_file(INST, HOUR_AT_MS)
    assert note.exists()
    path.unlink()
    check_hours(layout, HOUR_AT_MS + 100 * HOUR_MS)
    assert not note.exists()
    assert layout.checked_file(INST, HOUR_AT_MS + 24 * HOUR_MS).exists()


def test_a_question_about_the_end_of_an_hour_looks_only_there_and_the_next_one_everywhere(layout, monkeypatch):
    put(layout, 0, range(0, 1800, 2), is_packed=False)
    path = layout.hour_file(INST, HOUR_AT_MS)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[100], lines[700] = (lines[at][:-20] + b"\n" for at in (100, 700))
    path.write_bytes(b"".join(lines))
    seen, real = [], forms.why_unreadable
    monkeypatch.setattr(forms, "why_unreadable", lambda text, inst_id: seen.append(text) or real(text, inst_id))
    vault = open_vault(layout.root)
    late = HOUR_AT_MS + 1_390_000, HOUR_AT_MS + 1_420_000
    first = vault.coverage(INST, *late)
    assert [(hole.start_ms - HOUR_AT_MS, hole.end_ms - HOUR_AT_MS) for hole in first.holes] == [(1_400_000, 1_402_000)]
    assert len(seen) < 250
    assert vault.coverage(INST, *late) == first
    assert len(seen) > 900
    early = vault.coverage(INST, HOUR_AT_MS + 190_000, HOUR_AT_MS + 210_000)
    assert [(hole.start_ms - HOUR_AT_MS, hole.cause) for hole in early.holes] == [(200_000, "unreadable")]
