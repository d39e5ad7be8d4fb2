"""The lines of an hour from every form it has: each once, in order; what is no line is reported where it stands."""

import gzip
import sys

import pytest

from l2vault.book.snapshot import to_line
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.catalog import Catalog, Findings
from l2vault.vault.store.forms import hour_book, hour_lines, hour_times
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, contents, line, put, put_bytes

BOOKS = [line(at * 2000) for at in range(5)]
TEXTS = [to_line(book) for book in BOOKS]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def read(layout, is_newest=False):
    findings = Findings()
    lines = list(hour_lines(Catalog(layout), Catalog(layout).hour(INST, HOUR_AT_MS), is_newest, findings.report))
    return [each.text for each in lines], [(each.path.name, each.offset, each.reason) for each in findings]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_gives_its_lines(layout, packed):
    put(layout, BOOKS, packed)
    assert read(layout) == (TEXTS, [])


def test_two_forms_are_one_hour_and_a_line_in_both_is_given_once(layout):
    put(layout, BOOKS[:3], packed=True)
    put(layout, BOOKS[2:])
    assert read(layout) == (TEXTS, [])


def test_an_archive_beside_raw_files_adds_only_what_they_lack(layout):
    path = put(layout, BOOKS[:4])
    archive_hour(layout, layout.parse_hour_file(path))
    put(layout, BOOKS[2:])
    assert read(layout) == (TEXTS, [])


def test_lines_of_one_time_keep_their_order(layout):
    twins = [line(0), line(0, gap_detected=True, prev_seq_id=99)]
    put(layout, twins)
    assert read(layout) == ([to_line(twin) for twin in twins], [])


def test_a_line_that_stands_twice_in_one_file_is_given_twice(layout):
    put(layout, [BOOKS[0], BOOKS[0]])
    assert read(layout)[0] == [TEXTS[0], TEXTS[0]]


BAD = {
    "foreign": b"hello\n",
    "empty": b"\n",
    "too long": b"x" * (1 << 21) + b"\n",
    "of another hour": to_line(line(HOUR_MS)) + b"\n",
    "without a time": TEXTS[2].replace(b"03:00:04.000Z", b"03:00:04.0000") + b"\n",
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_line_is_reported_and_the_others_are_given(layout, what, packed):
    head = contents(BOOKS[:2])
    path = put_bytes(layout, HOUR_AT_MS, head + BAD[what] + contents(BOOKS[2:]), packed)
    texts, findings = read(layout)
    assert texts == TEXTS
    assert [(name, offset) for name, offset, _ in findings] == [(path.name, len(head))]


def test_a_line_that_goes_back_in_time_is_reported(layout):
    put(layout, [*BOOKS, BOOKS[1]])
    texts, findings = read(layout)
    assert texts == TEXTS
    assert [offset for _, offset, _ in findings] == [len(contents(BOOKS))]
    assert "goes back in time" in findings[0][2]


def test_a_torn_end_is_normal_in_the_file_being_written_and_reported_elsewhere(layout):
    put(layout, BOOKS, tail=TEXTS[0][:99])
    assert read(layout, is_newest=True) == (TEXTS, [])
    assert read(layout) == (TEXTS, [("03.jsonl", len(contents(BOOKS)), "a torn line, without its end")])


def test_of_a_damaged_gzip_every_whole_line_is_given_and_the_damage_reported(layout):
    path = put(layout, BOOKS, packed=True)
    path.write_bytes(path.read_bytes()[:-8])
    assert read(layout) == (TEXTS, [("03.jsonl.gz", len(contents(BOOKS)), "the gzip data ends too early")])


def test_an_archive_that_cannot_be_read_is_reported(layout):
    path = put(layout, BOOKS)
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    layout.archived_hour(INST, HOUR_AT_MS).levels.write_bytes(b"PAR1")
    texts, findings = read(layout)
    assert texts == []
    assert [(name, offset) for name, offset, _ in findings] == [("03.parquet", 0)]


def test_findings_are_warnings_in_the_log_too(layout, caplog):
    path = put_bytes(layout, HOUR_AT_MS, b"hello\n")
    read(layout)
    assert [record.getMessage() for record in caplog.records] == [f"{path} at byte 0: not a snapshot line"]


def test_a_file_that_is_compressed_while_it_is_read_is_read_on_in_its_new_form(layout):
    path = put(layout, BOOKS)
    forms = Catalog(layout).hour(INST, HOUR_AT_MS)
    path.with_name("03.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    lines = hour_lines(Catalog(layout), forms, False, pytest.fail)
    assert [each.text for each in lines] == TEXTS


@pytest.mark.skipif(sys.platform == "win32", reason="no open file is replaced there")
def test_lines_that_were_given_before_a_file_went_are_not_given_again_and_none_is_passed_over(layout):
    of_trades = layout.of("trades")
    packed = put_bytes(of_trades, HOUR_AT_MS, contents(BOOKS[:3]), True)
    plain = put_bytes(of_trades, HOUR_AT_MS, contents(BOOKS[3:]))
    lines = hour_lines(Catalog(of_trades), Catalog(of_trades).hour(INST, HOUR_AT_MS), False, pytest.fail)
    given = [next(lines).text for _ in range(3)]
    whole = packed.with_name("whole")
    whole.write_bytes(gzip.compress(contents(BOOKS)))
    whole.replace(packed)
    plain.unlink()
    assert [*given, *(each.text for each in lines)] == TEXTS


def test_a_file_that_is_deleted_while_it_is_read_ends_there(layout):
    path = put(layout, BOOKS)
    forms = Catalog(layout).hour(INST, HOUR_AT_MS)
    path.unlink()
    assert list(hour_lines(Catalog(layout), forms, False, pytest.fail)) == []


def test_a_file_that_went_and_did_not_come_back_in_another_form_is_a_finding(layout):
    archive_hour(layout, layout.parse_hour_file(path := put(layout, BOOKS)))
    path.unlink()
    levels = layout.archived_hour(INST, HOUR_AT_MS).levels
    levels.unlink()
    forms = Catalog(layout).hour(INST, HOUR_AT_MS)
    for read in (hour_lines, hour_times):
        findings = Findings()
        assert list(read(Catalog(layout), forms, False, findings.report)) == []
        assert [(each.reason, each.is_of_file) for each in findings] == [("a file of this hour is missing", True)]
    findings = Findings()
    assert hour_book(Catalog(layout), forms, HOUR_AT_MS + 9999, False, findings.report) is None
    assert len(findings) == 1


def test_times_and_books_are_found_in_the_new_form_of_a_file_that_went(layout):
    path = put(layout, BOOKS)
    forms = Catalog(layout).hour(INST, HOUR_AT_MS)
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    times = [each.ts_ms for each in hour_times(Catalog(layout), forms, False, pytest.fail)]
    assert times == [book.ts_ms for book in BOOKS]
    assert hour_book(Catalog(layout), forms, HOUR_AT_MS + 3999, False, pytest.fail) == BOOKS[1]


@pytest.mark.parametrize("form", ["plain", "gzip", "archive", "archive and plain"])
def test_every_form_tells_the_same_times_and_books(layout, form):
    books = [line(0), line(2000, gap_detected=True), line(2000), line(4000, gap_detected=True)]
    path = put(layout, books, packed=form == "gzip")
    if "archive" in form:
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
    if "and" in form:
        put(layout, books[1:])
    catalog = Catalog(layout)
    forms = catalog.hour(INST, HOUR_AT_MS)
    assert [(each.ts_ms, each.is_flagged) for each in hour_times(catalog, forms, False, pytest.fail)] == [
        (book.ts_ms, book.gap_detected) for book in books
    ]
    for offset_ms, unflagged, flagged in ((0, 0, 0), (1999, 0, 0), (2000, 2, 2), (4000, 2, 3)):
        t_ms = HOUR_AT_MS + offset_ms
        assert hour_book(catalog, forms, t_ms, False, pytest.fail) == books[unflagged]
        assert hour_book(catalog, forms, t_ms, True, pytest.fail) == books[flagged]
    assert hour_book(catalog, forms, HOUR_AT_MS - 1, True, pytest.fail) is None


def test_the_times_of_an_archive_whose_levels_are_damaged_count_for_nothing(layout):
    path = put(layout, BOOKS)
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    levels = layout.archived_hour(INST, HOUR_AT_MS).levels
    data = levels.read_bytes()
    levels.write_bytes(data[:4] + bytes(60) + data[64:])  # the footer is sound, the first pages are not
    catalog, findings = Catalog(layout), Findings()
    assert list(hour_times(catalog, catalog.hour(INST, HOUR_AT_MS), False, findings.report)) == []
    assert [(each.path.parts[-5], each.is_of_file) for each in findings] == [("l2_perps", True)]
    assert "an archive that cannot be read" in findings[0].reason


def test_lines_of_another_kind_are_read_from_the_files_of_that_kind_and_have_no_flag(layout):
    trades = layout.of("trades")
    lines = [f'{{"timestamp_utc":"2024-08-20T03:00:0{at}.000Z","px":"{at}"}}'.encode() for at in range(3)]
    put_bytes(trades, HOUR_AT_MS, b"".join(each + b"\n" for each in lines), packed=True)
    put(layout, BOOKS)
    catalog = Catalog(trades)
    (forms,) = catalog.hours(INST)
    assert [each.text for each in hour_lines(catalog, forms, False, pytest.fail)] == lines
    times = list(hour_times(catalog, forms, False, pytest.fail))
    assert [(each.ts_ms, each.is_flagged) for each in times] == [(HOUR_AT_MS + at * 1000, False) for at in range(3)]
