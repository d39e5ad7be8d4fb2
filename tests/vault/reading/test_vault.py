"""A vault for reading: every form serves alike, every result carries its coverage and what could not be read."""

import random
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from l2vault.book.snapshot import to_line
from l2vault.errors import UsageError, VaultError, install_command
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.journal import events as noted
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import (
    HOUR_AT_MS,
    INST,
    at,
    contents,
    journal_of,
    journal_v1_of,
    levels,
    line,
    lost,
    minute,
    put,
    put_bytes,
    started,
    synced,
)

FORMS = ("plain", "gzip", "archive")
START, END = at(0), at(20_000)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "Vault")
    layout.root.mkdir()
    return layout


def store(layout, form, snapshots):
    path = put(layout, snapshots, packed=form == "gzip")
    if form == "archive":
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()


def table(found):
    rows = found.to_pandas().astype({"side": str}).values.tolist()
    return sorted([*row[:4], row[4] - HOUR_AT_MS, row[5] - HOUR_AT_MS] for row in rows)


BOOKS = [
    line(0, levels("100 5 2", "99.5 1 1"), levels("101 1 1")),
    line(2_000, levels("100 5 2"), levels("101 1 1", "102 2.5 3")),
    line(4_000, levels("100 6 2"), levels("101 1 1")),
]


def in_sync(layout, *events):
    journal_v1_of(layout, started(-9_000), synced(-8_000), *events)


def test_there_must_be_a_vault(tmp_path):
    with pytest.raises(VaultError, match="no vault at"):
        open_vault(tmp_path / "nowhere")


def test_it_tells_what_it_holds(layout):
    store(layout, "archive", [line(-24 * HOUR_MS)])
    store(layout, "gzip", BOOKS)
    path = put(layout, [line(HOUR_MS)])
    vault = open_vault(str(layout.root))
    assert vault.instruments() == [INST]
    assert vault.days(INST) == ["2024-08-19", "2024-08-20"]
    assert [(span.hour_ms - HOUR_AT_MS, span.form) for span in vault.spans(INST)] == [
        (-24 * HOUR_MS, "archive"),
        (0, "gzip"),
        (HOUR_MS, "plain"),
    ]
    assert vault.spans(INST)[2] == StoredHour(
        "books",
        INST,
        HOUR_AT_MS + HOUR_MS,
        "plain",
        path,
        len(contents([line(HOUR_MS)])),
        path.stat().st_mtime_ns // 1_000_000,
    )
    assert vault.spans("ETH-USDT-SWAP") == []


@pytest.mark.parametrize("form", FORMS)
def test_snapshots_are_the_lines_of_the_span_as_objects(layout, form):
    store(layout, form, BOOKS)
    vault = open_vault(layout.root)
    assert list(vault.snapshots(INST, START, END)) == BOOKS
    assert list(vault.snapshots(INST, HOUR_AT_MS + 1, datetime(2024, 8, 20, 3, 0, 4, tzinfo=UTC))) == BOOKS[1:2]
    assert list(vault.snapshots("ETH-USDT-SWAP", START, END)) == []


def test_snapshots_go_on_over_the_end_of_an_hour(layout):
    for form, hour in zip(FORMS, range(3), strict=True):
        store(layout, form, [line(hour * HOUR_MS), line(hour * HOUR_MS + 2_000)])
    found = open_vault(layout.root).snapshots(INST, at(1), at(3 * HOUR_MS))
    assert [each.ts_ms - HOUR_AT_MS for each in found] == [2_000, 3_600_000, 3_602_000, 7_200_000, 7_202_000]


@pytest.mark.parametrize("form", FORMS)
def test_the_level_table_is_the_same_from_every_form(layout, form):
    in_sync(layout, lost(9_000))
    store(layout, form, BOOKS)
    assert table(open_vault(layout.root).levels(INST, START, END)) == [
        ["ask", 101.0, 1.0, 1, 0, 9_000],
        ["ask", 102.0, 2.5, 3, 2_000, 4_000],
        ["bid", 99.5, 1.0, 1, 0, 2_000],
        ["bid", 100.0, 5.0, 2, 0, 4_000],
        ["bid", 100.0, 6.0, 2, 4_000, 9_000],
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_level_table_is_cut_to_its_span(layout, form):
    in_sync(layout, lost(9_000))
    store(layout, form, BOOKS)
    assert table(open_vault(layout.root).levels(INST, at(2_500), at(3_500))) == [
        ["ask", 101.0, 1.0, 1, 2_500, 3_500],
        ["ask", 102.0, 2.5, 3, 2_500, 3_500],
        ["bid", 100.0, 5.0, 2, 2_500, 3_500],
    ]


@pytest.mark.parametrize("forms", [("plain", "plain"), ("gzip", "plain"), ("archive", "gzip"), ("archive", "archive")])
def test_a_row_goes_on_over_the_end_of_an_hour(layout, forms):
    in_sync(layout, lost(HOUR_MS + 9_000))
    put(layout, [line(HOUR_MS + 1_500, levels("100 5 2", "98 1 1"), [])])  # archiving looks for the next hour
    store(layout, forms[0], [line(HOUR_MS - 1_000, levels("100 5 2", "99 1 1"), [])])
    store(layout, forms[1], [line(HOUR_MS + 1_500, levels("100 5 2", "98 1 1"), [])])
    if forms[1] != "plain":
        layout.hour_file(INST, HOUR_AT_MS + HOUR_MS).unlink(missing_ok=True)
    vault = open_vault(layout.root)
    whole = [
        ["bid", 98.0, 1.0, 1, HOUR_MS + 1_500, HOUR_MS + 9_000],
        ["bid", 99.0, 1.0, 1, HOUR_MS - 1_000, HOUR_MS + 1_500],
        ["bid", 100.0, 5.0, 2, HOUR_MS - 1_000, HOUR_MS + 9_000],
    ]
    assert table(vault.levels(INST, at(0), at(2 * HOUR_MS))) == whole
    at_the_turn = table(vault.levels(INST, at(HOUR_MS), at(HOUR_MS + 1_000)))
    assert at_the_turn == [
        ["bid", 99.0, 1.0, 1, HOUR_MS, HOUR_MS + 1_000],
        ["bid", 100.0, 5.0, 2, HOUR_MS, HOUR_MS + 1_000],
    ]


def test_a_row_does_not_go_on_over_a_hole_at_the_end_of_an_hour(layout):
    in_sync(layout, lost(HOUR_MS - 500), synced(HOUR_MS + 700), lost(HOUR_MS + 9_000))
    store(layout, "gzip", [line(HOUR_MS - 1_000, levels("100 5 2"), [])])
    store(layout, "plain", [line(HOUR_MS + 1_500, levels("100 5 2"), [])])
    assert table(open_vault(layout.root).levels(INST, at(0), at(2 * HOUR_MS))) == [
        ["bid", 100.0, 5.0, 2, HOUR_MS - 1_000, HOUR_MS - 500],
        ["bid", 100.0, 5.0, 2, HOUR_MS + 1_500, HOUR_MS + 9_000],
    ]


def test_the_level_table_comes_as_arrow_polars_and_pandas(layout):
    store(layout, "plain", BOOKS)
    found = open_vault(layout.root).levels(INST, START, END)
    assert found.arrow.schema.names == ["side", "price", "qty", "orders", "t_from", "t_to"]
    assert found.to_polars().columns == list(found.to_pandas().columns) == found.arrow.schema.names
    assert sum(len(part) for part in found.tables()) == len(found.arrow) == 5


def test_a_span_without_lines_is_an_empty_table(layout):
    store(layout, "plain", BOOKS)
    vault = open_vault(layout.root)
    assert len(vault.levels(INST, at(5 * HOUR_MS), at(6 * HOUR_MS)).arrow) == 0
    assert len(vault.levels("ETH-USDT-SWAP", START, END).arrow) == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("t_ms", "book", "state", "cause"),
    [
        (0, 0, "recorded", ""),
        (1_999, 0, "recorded", ""),
        (2_000, 1, "recorded", ""),
        (5_999, 2, "recorded", ""),
        (6_000, 2, "quiet", "journal v1"),
        (9_000, 2, "missing", "chain"),
        (15_000, 2, "missing", "chain"),
    ],
)
def test_the_book_at_a_moment_is_the_last_before_it_and_says_how_good_it_is(layout, form, t_ms, book, state, cause):
    in_sync(layout, lost(9_000), synced(11_000), lost(30_000))
    store(layout, form, [*BOOKS, line(8_500, levels("1 1 1"), [], gap_detected=True)])
    found = open_vault(layout.root).book_at(INST, HOUR_AT_MS + t_ms)
    assert (found.snapshot, found.age_ms) == (BOOKS[book], t_ms - book * 2_000)
    assert (found.state, found.cause, found.findings) == (state, cause, [])


@pytest.mark.parametrize("form", FORMS)
def test_the_book_at_a_moment_may_stand_in_an_earlier_hour(layout, form):
    store(layout, form, BOOKS)
    store(layout, "plain", [line(HOUR_MS + 700)])
    vault = open_vault(layout.root)
    assert vault.book_at(INST, HOUR_AT_MS + HOUR_MS + 699).snapshot == BOOKS[2]
    assert vault.book_at(INST, HOUR_AT_MS + 90 * HOUR_MS).snapshot == line(HOUR_MS + 700)
    assert vault.book_at(INST, HOUR_AT_MS - 1) is None
    assert vault.book_at("ETH-USDT-SWAP", HOUR_AT_MS) is None


@pytest.mark.parametrize("form", FORMS)
def test_of_two_books_of_one_time_the_unflagged_one_is_found(layout, form):
    twins = [line(0), line(2_000, levels("7 7 7"), []), line(2_000, levels("8 8 8"), [], gap_detected=True)]
    store(layout, form, twins)
    assert open_vault(layout.root).book_at(INST, at(3_000)).snapshot == twins[1]


@pytest.mark.parametrize("form", FORMS)
def test_a_book_with_odd_spellings_and_empty_sides_is_exact(layout, form):
    odd = line(0, [("100.0", "5.50", "1", "many")], [], depth=5, checksum=None, seq_id=None, prev_seq_id=None)
    store(layout, form, [odd, line(2_000, [], [])])
    vault = open_vault(layout.root)
    assert vault.book_at(INST, HOUR_AT_MS + 1).snapshot == odd
    assert vault.book_at(INST, HOUR_AT_MS + 2_000).snapshot == line(2_000, [], [])


def test_a_book_whose_later_hours_were_deleted_is_not_said_to_stand(layout):
    deleted = noted.Retained(at(0), "delete", f"raw/okx/l2_perps/{INST}/2024-08-20/04.jsonl.gz", "", 1, 0)
    in_sync(layout, deleted, lost(9 * HOUR_MS))
    store(layout, "plain", [line(HOUR_MS - 1_000)])
    found = open_vault(layout.root).book_at(INST, at(HOUR_MS + 5_000))
    assert (found.snapshot, found.state, found.cause) == (line(HOUR_MS - 1_000), "unknown", "retention")


@pytest.mark.parametrize("form", FORMS)
def test_every_result_carries_its_coverage(layout, form):
    in_sync(layout, lost(5_300), synced(9_100), lost(30_000))
    store(layout, form, [*BOOKS, line(10_000), line(16_500)])
    vault = open_vault(layout.root)
    coverage = vault.coverage(INST, START, END)
    assert [coverage.count(state) for state in ("recorded", "quiet", "missing", "unknown")] == [5, 3, 2, 0]
    assert [(hole.start_ms - HOUR_AT_MS, hole.end_ms - HOUR_AT_MS, hole.cause) for hole in coverage.holes] == [
        (5_300, 9_100, "chain")
    ]
    assert vault.snapshots(INST, START, END).coverage == coverage
    assert vault.levels(INST, START, END).coverage == coverage


def test_a_flagged_line_records_no_slot(layout):
    in_sync(layout, lost(3_900), synced(30_000))
    store(layout, "plain", [line(0), line(2_000), line(3_900, gap_detected=True)])
    coverage = open_vault(layout.root).coverage(INST, START, at(8_000))
    assert [coverage.count(state) for state in ("recorded", "missing")] == [2, 2]


def test_the_line_of_the_first_slot_may_stand_in_the_hour_before(layout):
    in_sync(layout, lost(2 * HOUR_MS))
    store(layout, "plain", [line(-300), line(2_000)])
    store(layout, "gzip", [line(-300)])
    put(layout, [line(2_000)])
    assert open_vault(layout.root).coverage(INST, START, at(4_000)).count("recorded") == 2


def test_an_hour_deleted_by_retention_is_unknown_and_an_archived_one_is_not(layout):
    deleted = [
        noted.Retained(at(0), "delete", f"raw/okx/l2_perps/{INST}/2024-08-20/{hour}.jsonl.gz", "", 1, 0)
        for hour in ("03", "04")
    ]
    in_sync(layout, *deleted, lost(9 * HOUR_MS))
    store(layout, "archive", [line(0)])
    coverage = open_vault(layout.root).coverage(INST, at(0), at(2 * HOUR_MS))
    assert [coverage.count(state) for state in ("recorded", "quiet", "unknown")] == [1, 1799, 1800]
    assert [hole.cause for hole in coverage.holes] == ["retention"]


BAD = contents(BOOKS[:1]) + b"hello\n" + contents(BOOKS[1:]).replace(b'"102"', b'"1o2"')


@pytest.mark.parametrize("packed", [False, True])
def test_what_cannot_be_read_is_told_and_costs_nothing_else(layout, packed, caplog):
    path = put_bytes(layout, HOUR_AT_MS, BAD + to_line(line(6_000))[:99], packed)
    put(layout, [line(HOUR_MS)])
    vault = open_vault(layout.root)
    foreign, torn = len(contents(BOOKS[:1])), len(BAD)

    found = vault.snapshots(INST, START, END)
    assert [each.ts_ms - HOUR_AT_MS for each in found] == [0, 2_000, 4_000]  # any string is a price to `from_line`
    assert [(each.path, each.offset) for each in found.findings] == [(path, foreign), (path, torn)]
    assert f"{path} at byte {foreign}: not a snapshot line" in caplog.messages

    rows = vault.levels(INST, START, END)
    assert {row[4] for row in table(rows)} == {0, 4_000}
    assert [(each.path, each.offset) for each in rows.findings] == [
        (path, foreign),
        (path, torn),
        (path, foreign + len(b"hello\n")),
    ]
    assert vault.book_at(INST, at(5_000)).snapshot == BOOKS[2]


def test_the_torn_end_of_the_newest_file_is_no_finding(layout):
    put(layout, BOOKS, tail=b'{"timestamp')
    vault = open_vault(layout.root)
    snapshots, rows = vault.snapshots(INST, START, END), vault.levels(INST, START, END)
    assert (len(list(snapshots)), snapshots.findings) == (3, [])
    assert (len(rows.arrow), rows.findings) == (5, [])


def test_a_line_of_another_instrument_is_told(layout):
    stray = to_line(line(2_000)).replace(b"BTC-", b"ETH-") + b"\n"
    put_bytes(layout, HOUR_AT_MS, contents(BOOKS[:1]) + stray + contents(BOOKS[2:]))
    vault = open_vault(layout.root)
    found = vault.snapshots(INST, START, END)
    assert [each.ts_ms - HOUR_AT_MS for each in found] == [0, 4_000]
    assert [each.reason for each in found.findings] == ["a line of ETH-USDT-SWAP among those of BTC-USDT-SWAP"]
    rows = vault.levels(INST, START, END)
    assert len(rows.arrow) == 5
    assert [each.reason for each in rows.findings] == ["a line of ETH-USDT-SWAP among those of BTC-USDT-SWAP"]


def test_an_archive_that_cannot_be_read_is_told(layout):
    store(layout, "archive", BOOKS)
    store(layout, "plain", [line(HOUR_MS)])
    layout.archived_hour(INST, HOUR_AT_MS).levels.write_bytes(b"PAR1")
    vault = open_vault(layout.root)
    rows = vault.levels(INST, START, at(2 * HOUR_MS))
    assert {row[4] for row in table(rows)} == {HOUR_MS}
    assert [each.path.name for each in rows.findings] == ["03.parquet"]
    found = vault.book_at(INST, at(HOUR_MS - 1))
    assert found is None


def test_moments_that_leave_a_doubt_are_refused(layout):
    layout.raw.mkdir(parents=True)
    vault = open_vault(layout.root)
    with pytest.raises(UsageError, match="names no time zone"):
        vault.book_at(INST, datetime(2024, 8, 20))  # noqa: DTZ001 - the mistake under test
    with pytest.raises(UsageError, match="is empty"):
        vault.snapshots(INST, END, START)


def test_the_tail_can_be_followed(layout):
    put(layout, BOOKS)

    def sleep(seconds):
        raise KeyboardInterrupt

    following = open_vault(layout.root).follow(INST, since=START, sleep=sleep)
    assert [next(following) for _ in BOOKS] == BOOKS
    with pytest.raises(KeyboardInterrupt):
        next(following)


ALONE = """
import sys
for name in ("numpy", "pyarrow", "polars", "pandas", "duckdb"):
    sys.modules[name] = None
from l2vault.errors import VaultError
from l2vault.vault.reading.vault import open_vault
vault = open_vault(sys.argv[1])
span = "BTC-USDT-SWAP", "2024-08-20T03:00:00Z", "2024-08-20T03:00:20Z"
print(len(list(vault.snapshots(*span))), vault.coverage(*span).slots, vault.book_at(*span[:2]).snapshot.best_bid)
try:
    vault.levels(*span)
except VaultError as error:
    print(error.cure)
"""


def test_without_the_analysis_extra_plain_files_can_be_read(layout):
    store(layout, "gzip", BOOKS)
    run = subprocess.run([sys.executable, "-c", ALONE, str(layout.root)], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["3 10 100", install_command("analysis")]


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_book_stands_over_the_end_of_an_hour_though_the_recorder_was_killed_soon_after(layout, is_archived):
    """Its last sign of life in the journal is older than its last lines."""
    killed = noted.UncleanEnd(at(HOUR_MS + 60_000), at(HOUR_MS - 50_000))
    journal_v1_of(layout, started(0), synced(0), killed, started(HOUR_MS + 60_000))
    path = put(layout, [line(HOUR_MS - 2_114), line(HOUR_MS - 114)])
    put(layout, [line(HOUR_MS + 1_943), line(HOUR_MS + 3_900)])
    if is_archived:
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
    levels_of_span = open_vault(layout.root).levels(INST, at(HOUR_MS - 2_114), at(HOUR_MS + 2_000))
    assert levels_of_span.coverage.holes == []
    assert {tuple(row[4:]) for row in table(levels_of_span)} == {(HOUR_MS - 2_114, HOUR_MS + 2_000)}


def two_hours(layout):
    first = minute(2_000, first=0, last=0, last_line=0, lines=1)
    second = minute(HOUR_MS + 2_000, first=HOUR_MS, last=HOUR_MS, last_line=HOUR_MS, lines=1)
    journal_of(layout, started(-9_000), synced(-8_000), first, second)
    return [put(layout, [line(0)]), put(layout, [line(HOUR_MS)])]


def test_coverage_begins_with_what_the_journal_noted_though_the_first_file_is_gone(layout):
    two_hours(layout)[0].unlink()
    covered = open_vault(layout.root).coverage(INST)
    assert covered.start_ms == HOUR_AT_MS
    assert (covered.holes[0].kind, covered.holes[0].cause) == ("unknown", "no file")


def test_coverage_begins_with_the_first_line_where_retention_deleted_what_was_before(layout):
    deleted = two_hours(layout)[0]
    deleted.unlink()
    name = deleted.relative_to(layout.root).as_posix()
    journal_of(layout, noted.Retained(at(2 * HOUR_MS), "delete", name, "old", 1, 0))
    assert open_vault(layout.root).coverage(INST).start_ms == HOUR_AT_MS + HOUR_MS


@pytest.mark.parametrize("left", ["emptied files", "no file"])
def test_of_an_instrument_without_a_line_the_journal_tells_what_is_missing(layout, left):
    for path in two_hours(layout):
        path.write_bytes(b"") if left == "emptied files" else path.unlink()
    vault = open_vault(layout.root)
    assert vault.noted_instruments() == [INST]
    covered = vault.coverage(INST)
    assert (covered.start_ms, covered.covered_share) == (HOUR_AT_MS, 0)
    assert covered.end_ms > HOUR_AT_MS + HOUR_MS


DAY_MS = 24 * HOUR_MS


@pytest.mark.parametrize(
    ("noted_ms", "newest_ms"), [(30_000, 30_000), (31 * DAY_MS, 31 * DAY_MS), (31 * DAY_MS + 1, 0), (-60_000, 0)]
)
def test_what_the_vault_knows_ends_with_the_newest_time_that_the_journal_proves(layout, noted_ms, newest_ms):
    """At most 31 days behind the newest line: one absurd time opens no ages."""
    journal_of(layout, started(-90_000), synced(-80_000), noted.Alive(at(40_000), at(noted_ms)))
    put(layout, [line(0)])
    vault = open_vault(layout.root)
    assert vault.newest_evidence_ms(INST) == HOUR_AT_MS + newest_ms
    assert vault.coverage(INST).end_ms == HOUR_AT_MS + newest_ms + 1


def test_of_a_vault_of_the_first_form_the_newest_book_noted_is_the_end_of_what_is_known(layout):
    counted = noted.Slots(at(60_000), {INST: 1}, {INST: at(58_000)}, {})
    journal_v1_of(layout, started(-9_000), synced(-8_000), counted)
    put(layout, [line(0)])
    assert open_vault(layout.root).newest_evidence_ms(INST) == HOUR_AT_MS + 58_000


def test_a_kind_of_damage_is_one_warning_a_file_however_many_lines_have_it(layout, caplog):
    path = put_bytes(
        layout, HOUR_AT_MS, contents(BOOKS[:1]) + b"hello\n" * 5 + contents(BOOKS[1:]) + contents(BOOKS[:1])
    )
    put(layout, [line(HOUR_MS)])
    found = open_vault(layout.root).snapshots(INST, START, END)
    assert (len(list(found)), len(found.findings)) == (3, 6)
    assert [str(path) in message for message in caplog.messages] == [True, True], "foreign lines, and one back in time"


def test_an_hour_of_several_megabytes_is_the_same_from_every_form(layout, tmp_path):
    """Far more than is looked through at once."""
    rng = random.Random(1)
    books = [
        line(at_ms, [(str(price), str(rng.randint(1, 99)), "0", "1") for price in range(60_000, 59_600, -1)], [])
        for at_ms in range(0, 400_000, 2_000)
    ]
    other = Layout(tmp_path / "Other")
    other.root.mkdir()
    store(layout, "plain", books)
    store(other, "archive", books)
    span = INST, START, at(400_000)
    assert list(open_vault(other.root).snapshots(*span)) == books
    assert table(open_vault(other.root).levels(*span)) == table(open_vault(layout.root).levels(*span))


def test_the_book_at_a_moment_is_looked_for_in_the_archive_and_in_what_stands_beside_it(layout):
    """As a kill between archiving and deleting leaves an hour, or a line that came after it was archived."""
    path = put(layout, BOOKS[:2])
    archive_hour(layout, layout.parse_hour_file(path))
    put(layout, BOOKS[2:])
    vault = open_vault(layout.root)
    assert [vault.book_at(INST, at(t_ms)).snapshot for t_ms in (0, 2_000, 4_000)] == BOOKS


def test_what_an_open_vault_answers_goes_with_its_files(layout):
    put(layout, BOOKS[:1])
    vault = open_vault(layout.root)
    for count in (1, 2, 3):
        put(layout, BOOKS[:count])
        assert vault.coverage(INST).end_ms == BOOKS[count - 1].ts_ms + 1
        assert vault.coverage(INST, START, END).count("recorded") == count
        assert vault.newest_line_ms(INST) == BOOKS[count - 1].ts_ms


def test_no_level_stands_where_no_book_may_whether_it_ends_there_or_goes_on(layout):
    """One bid ends within the time left out, one begins there, one goes on over it."""
    put(
        layout, [line(ms, levels("100 5 2", "99 1 1" if ms < 4_000 else "98 1 1"), []) for ms in range(0, 8_000, 2_000)]
    )
    left_out = [(HOUR_AT_MS + 3_000, HOUR_AT_MS + 5_000)]
    assert table(open_vault(layout.root).levels(INST, START, END, left_out=left_out)) == [
        ["bid", 98.0, 1.0, 1, 5_000, 8_000],
        ["bid", 99.0, 1.0, 1, 0, 3_000],
        ["bid", 100.0, 5.0, 2, 0, 3_000],
        ["bid", 100.0, 5.0, 2, 5_000, 8_000],
    ]
