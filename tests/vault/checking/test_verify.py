"""Each fault of a vault is named once, with its place, and a sound vault gives nothing to say."""

import gzip
import json
import os
import sys
import zlib

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.errors import install_command
from l2vault.vault.checking.verify import Finding, Verification
from l2vault.vault.retention.compress import compress
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.linecheck import check_line

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
HOUR_AT_MS = utc_ms("2024-08-20T03:00:00.000Z")
NOW_MS = utc_ms("2024-08-20T15:30:00.000Z")
STEP_MS = 2000


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def line(number=0, hour_ms=HOUR_AT_MS, inst_id=BTC, flagged=False):
    bids = [("100.5", "5", "0", "2"), ("100", "7.25", "0", "1"), ("99.5", "1", "0", "1")]
    asks = [("101", "7", "0", "1"), ("101.5", "0.01", "0", "4")]
    ts_ms = hour_ms + number * STEP_MS
    return to_line(Snapshot(inst_id, ts_ms, 400, bids, asks, 0, ts_ms, ts_ms - 1, flagged)) + b"\n"


def hour(numbers=range(10), hour_ms=HOUR_AT_MS, inst_id=BTC):
    return b"".join(line(number, hour_ms, inst_id) for number in numbers)


def put(layout, data, hour_ms=HOUR_AT_MS, inst_id=BTC, packed=False):
    path = layout.hour_file(inst_id, hour_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(path.name + ".gz")
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


def name(layout, path):
    return path.relative_to(layout.root).as_posix()


def verify(layout, now_ms=NOW_MS):
    return list(Verification(layout, now_ms).run())


def only(layout, now_ms=NOW_MS):
    (finding,) = verify(layout, now_ms)
    return finding


def sound_vault(layout):
    """Both forms, two members in one gzip file, a flagged line that repeats a time, the current hour."""
    put(layout, hour())
    put(layout, hour(hour_ms=HOUR_AT_MS + HOUR_MS) + line(9, HOUR_AT_MS + HOUR_MS, flagged=True), HOUR_AT_MS + HOUR_MS)
    late = put(layout, hour(range(5), inst_id=ETH), inst_id=ETH)
    compress(late)
    put(layout, hour(range(5, 9), inst_id=ETH), inst_id=ETH)
    compress(late)
    current_ms = NOW_MS - NOW_MS % HOUR_MS
    put(layout, hour(hour_ms=current_ms) + line(10, current_ms)[:700], current_ms)
    put(layout, b"", HOUR_AT_MS + 2 * HOUR_MS)
    layout.journal.mkdir(parents=True)
    (layout.journal / "2024-08-20.jsonl").write_bytes(b"torn")


def test_a_sound_vault_has_no_finding_and_tells_how_much_was_checked(layout):
    sound_vault(layout)
    verification = Verification(layout, NOW_MS)
    assert list(verification.run()) == []
    assert (verification.files, verification.lines) == (5, 10 + 11 + 9 + 11)


def test_a_vault_without_data_has_no_finding(layout):
    assert verify(layout) == []


def test_a_vault_with_five_faults_names_each_and_nothing_else(layout):
    """A truncated gz, a bad line, a file in the wrong folder, a double and an unsorted side among sound files."""
    sound_vault(layout)
    hours = [HOUR_AT_MS + number * HOUR_MS for number in range(10, 15)]
    packed = put(layout, hour(range(200), hours[0], ETH), hours[0], ETH, packed=True)
    packed.write_bytes(packed.read_bytes()[:-100])
    bad = put(
        layout, hour(range(3), hours[1], ETH) + b'{"no":"line"}\n' + hour(range(3, 5), hours[1], ETH), hours[1], ETH
    )
    wrong = put(layout, hour(range(4), hours[2], ETH), hours[2], BTC)
    double = put(layout, hour([0, 1, 2, 2, 3], hours[3], ETH), hours[3], ETH)
    swapped = line(1, hours[4], ETH).replace(
        b'["100","7.25","0","1"],["99.5","1","0","1"]', b'["99.5","1","0","1"],["100","7.25","0","1"]'
    )
    unsorted = put(layout, line(0, hours[4], ETH) + swapped + line(2, hours[4], ETH), hours[4], ETH)
    findings = verify(layout)
    size = len(line())
    assert [(finding.file, finding.kind) for finding in findings] == [
        (name(layout, wrong), "misplaced"),
        (name(layout, packed), "gzip"),
        (name(layout, bad), "line"),
        (name(layout, double), "double"),
        (name(layout, unsorted), "sorting"),
    ]
    by_kind = {finding.kind: finding for finding in findings}
    assert (by_kind["misplaced"].offset, by_kind["misplaced"].text) == (
        0,
        "4 lines from here on are of ETH-USDT-SWAP, 2024-08-20T15 h UTC",
    )
    assert by_kind["gzip"].offset % size == 0
    assert by_kind["gzip"].text == "the gzip data ends too early, after the line at this offset"
    assert by_kind["line"].offset == 3 * size
    assert (by_kind["double"].offset, by_kind["double"].text) == (
        3 * size,
        f"2024-08-20T16:00:04.000Z stands at offset {2 * size} too",
    )
    assert (by_kind["sorting"].offset, by_kind["sorting"].text) == (size, "bids not best first: 100 follows 99.5")


@pytest.mark.parametrize(
    ("old", "new", "kind", "text"),
    [
        (b'"best_bid":"100.5"', b'"best_bid":"100.6"', "altered", 'best_bid is "100.6", its levels give "100.5"'),
        (b'"best_ask":"101"', b'"best_ask":null', "altered", 'best_ask is null, its levels give "101"'),
        (
            b'"mid_price":"100.75"',
            b'"mid_price":"100.750"',
            "altered",
            'mid_price is "100.750", its levels give "100.75"',
        ),
        (b'"okx",', b'"okx", ', "altered", "its keys, their order or the spacing are not those of a snapshot line"),
        (b'"seqId":', b'"seqID":', "line", "not a snapshot line"),
        (b'"okx"', b'"okc"', "line", "not a line of OKX perp books"),
        (b'"100.5","5"', b'"100.5","0"', "line", "a level of quantity 0 among the bids"),
        (b'"100.5","5"', b'"100.5","0.00"', "line", "a level of quantity 0 among the bids"),
        (b'["101","7"', b'["1e2","7"', "line", "'1e2' is not a plain decimal price"),
        (b'["101.5"', b'["101.0"', "sorting", "asks not best first: 101.0 follows 101"),
        (b'["99.5"', b'["100.1"', "sorting", "bids not best first: 100.1 follows 100"),
        (b"top400", b"top2", "line", "3 bids, where its key says at most 2"),
    ],
)
def test_an_altered_line_is_named_with_what_is_wrong(layout, old, new, kind, text):
    sound = line(1)
    altered = sound.replace(old, new)
    assert altered != sound
    path = put(layout, line(0) + altered + line(2))
    finding = only(layout)
    assert finding == Finding(name(layout, path), len(sound), kind, finding.text)
    assert finding.text.startswith(text)


def test_a_line_with_two_faults_of_its_sides_names_both():
    text = line().replace(b'"100.5","5"', b'"99","0"').rstrip()
    assert [objection.kind for objection in check_line(text)[1]] == ["line", "sorting"]


@pytest.mark.parametrize("more", [{"mood": 1}, {"a": 1, "b": [2], "c": None, "d": 4}])
def test_a_line_that_only_has_more_keys_is_one_of_a_newer_version_and_they_are_named(layout, more):
    put(layout, json.dumps(json.loads(line()) | more, separators=(",", ":")).encode() + b"\n")
    finding = only(layout)
    assert finding.kind == "newer"
    names = ", ".join(map(repr, list(more)[:3]))
    assert finding.text == f"a line of a newer version of l2vault: it has {names}, which this one does not know"


@pytest.mark.parametrize(
    ("numbers", "places"),
    [([0, 2, 1, 3], [2]), ([0, 1, 5, 2, 3], [3]), ([3, 2, 1], [1, 2]), ([0, 1, 2], [])],
)
def test_a_time_that_goes_back_is_named_where_it_does(layout, numbers, places):
    put(layout, hour(numbers))
    size = len(line())
    assert [(finding.kind, finding.offset) for finding in verify(layout)] == [
        ("order", place * size) for place in places
    ]


def test_a_double_further_on_is_one_finding_not_two(layout):
    put(layout, hour([0, 1, 2, 1, 3]))
    assert [finding.kind for finding in verify(layout)] == ["double"]


def test_a_flagged_line_may_repeat_a_time_and_does_not_hide_a_double(layout):
    put(layout, line(0) + line(1) + line(1, flagged=True) + line(2))
    assert verify(layout) == []
    put(layout, line(0) + line(1) + line(1, flagged=True) + line(1))
    assert only(layout).kind == "double"


def test_the_two_forms_of_an_hour_are_held_against_each_other(layout):
    put(layout, hour(range(5)), packed=True)
    plain = put(layout, hour(range(4, 8)))
    size = len(line())
    text = f"2024-08-20T03:00:08.000Z stands in the .gz of this hour too, at offset {4 * size}"
    assert only(layout) == Finding(name(layout, plain), 0, "double", text)
    put(layout, hour(range(5, 8)))
    assert verify(layout) == []


def test_a_compression_cut_short_is_one_finding(layout):
    put(layout, hour(range(5)), packed=True)
    plain = put(layout, hour(range(5)))
    finding = only(layout)
    assert (finding.file, finding.offset, finding.kind) == (name(layout, plain), None, "double")
    assert finding.text.startswith("all its 5 times stand in its .gz too")


@pytest.mark.parametrize("packed", [False, True])
def test_a_torn_last_line_is_named_where_no_recorder_is_writing(layout, packed):
    path = put(layout, hour() + line(10)[:-1], packed=packed)
    assert only(layout) == Finding(name(layout, path), len(hour()), "torn", "the last line lacks its end")


@pytest.mark.parametrize(("ended_ago_ms", "kinds"), [(-HOUR_MS, []), (0, []), (HOUR_MS - 1, []), (HOUR_MS, ["torn"])])
def test_a_torn_last_line_is_normal_until_its_hour_ended_an_hour_ago(layout, ended_ago_ms, kinds):
    put(layout, hour() + b"torn")
    now_ms = HOUR_AT_MS + HOUR_MS + ended_ago_ms
    assert [finding.kind for finding in verify(layout, now_ms)] == kinds


def test_a_torn_end_of_a_gz_is_never_normal(layout):
    put(layout, hour() + b"torn", packed=True)
    assert only(layout, HOUR_AT_MS).kind == "torn"


def test_a_line_torn_in_the_middle_of_a_file_costs_one_finding(layout):
    torn = line(1)[:300]
    put(layout, line(0) + torn + b"\n" + line(2))
    assert (only(layout).kind, only(layout).offset) == ("line", len(line()))


def test_a_long_run_without_a_newline_is_not_gathered_in_memory(layout):
    import tracemalloc

    put(layout, line(0) + b"\0" * 30_000_000 + b"\n" + line(1))
    tracemalloc.start()
    finding = only(layout)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (finding.kind, finding.offset, finding.text) == ("line", len(line()), "far too long for a snapshot line")
    assert peak < 6_000_000


def test_a_gz_of_high_ratio_is_not_inflated_at_once(layout):
    import tracemalloc

    packed = put(layout, b"", packed=True)
    packed.write_bytes(gzip.compress(b"\0" * 50_000_000))
    tracemalloc.start()
    assert only(layout, NOW_MS).kind == "torn"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000


def test_a_gz_with_a_wrong_checksum_is_named_after_its_lines_were_checked(layout):
    packed = put(layout, hour(), packed=True)
    data = bytearray(packed.read_bytes())
    data[-8] ^= 1
    packed.write_bytes(data)
    finding = only(layout)
    assert (finding.kind, finding.offset) == ("gzip", 9 * len(line()))
    assert "incorrect data check" in finding.text


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"plain text\n", gzip.compress(b"", mtime=0) + b"rubbish"])
def test_what_is_not_gzip_under_its_name_is_named(layout, data):
    put(layout, b"", packed=True).write_bytes(data)
    assert only(layout).kind == "gzip"


def test_zeros_after_gzip_data_are_padding(layout):
    packed = put(layout, hour(), packed=True)
    packed.write_bytes(packed.read_bytes() + bytes(512))
    assert verify(layout) == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_wherever_a_gz_is_cut_it_is_one_finding(layout, cut):
    packed = put(layout, hour(range(40)), packed=True)
    packed.write_bytes(packed.read_bytes()[: -cut or None])
    assert only(layout).kind == "gzip"


def test_two_misplaced_runs_in_a_file_are_two_findings_between_its_own_lines(layout):
    other_ms = HOUR_AT_MS + HOUR_MS
    put(layout, hour(range(2)) + hour(range(3), other_ms) + hour([0], other_ms + HOUR_MS))
    size = len(line())
    assert [(finding.kind, finding.offset, finding.text[:7]) for finding in verify(layout)] == [
        ("misplaced", 2 * size, "3 lines"),
        ("misplaced", 5 * size, "1 lines"),
    ]


def test_a_misplaced_copy_tells_that_the_same_times_stand_in_the_right_place(layout):
    put(layout, hour(range(6)), packed=True)
    wrong = put(layout, hour(range(4, 8)), HOUR_AT_MS + HOUR_MS)
    finding = only(layout)
    assert (finding.file, finding.kind) == (name(layout, wrong), "misplaced")
    assert finding.text.endswith("where 2 of their times stand already")


def test_a_line_of_an_impossible_instrument_reads_no_file_outside_the_vault(layout):
    outside = "../../../other"
    put(layout, line(0, inst_id=outside), inst_id=outside)
    assert (layout.root / "other" / "2024-08-20" / "03.jsonl").exists()
    put(layout, line(0, inst_id=outside))
    assert only(layout).text == "1 lines from here on are of ../../../other, 2024-08-20T03 h UTC"


@pytest.mark.parametrize(
    "place",
    [
        "notes.txt",
        f"{BTC}/notes.txt",
        f"{BTC}/03.jsonl",
        f"{BTC}/2024-08-20/3.jsonl",
        f"{BTC}/2024-08-20/24.jsonl",
        f"{BTC}/2024-08-20/03.jsonl.zst",
        f"{BTC}/2024-08-20/copy/03.jsonl",
        f"{BTC}/2024-02-30/03.jsonl",
    ],
)
def test_a_file_or_folder_that_is_none_of_ours_is_named_once(layout, place):
    sound_vault(layout)
    path = layout.raw / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"what ever")
    finding = only(layout)
    assert finding.kind == "foreign"
    assert name(layout, path).startswith(finding.file)


@pytest.mark.parametrize("suffix", [".packing", ".deleting", ".tmp"])
def test_a_temporary_file_is_named_once_it_is_an_hour_old(layout, suffix):
    path = put(layout, hour())
    left = path.with_name(f"05.jsonl.gz{suffix}")
    left.write_bytes(b"half")
    for age_ms, kinds in ((0, []), (HOUR_MS - 1, []), (HOUR_MS, ["leftover"])):
        os.utime(left, ns=((NOW_MS - age_ms) * 1_000_000,) * 2)
        assert [finding.kind for finding in verify(layout)] == kinds
    assert only(layout).text == "a temporary file, left by a run that was killed"


def test_a_file_compressed_between_the_listing_and_the_reading_is_read_in_its_new_form(layout, monkeypatch):
    put(layout, hour())
    second = put(layout, hour(hour_ms=HOUR_AT_MS + HOUR_MS), HOUR_AT_MS + HOUR_MS)
    verification = Verification(layout, NOW_MS)

    def compress_meanwhile(done, total, what):
        if what.endswith("04.jsonl"):
            compress(second)

    assert list(verification.run(compress_meanwhile)) == []
    assert verification.lines == 20


def test_a_file_deleted_between_the_listing_and_the_reading_is_no_finding(layout):
    path = put(layout, hour())
    assert list(Verification(layout, NOW_MS).run(lambda done, total, what: path.unlink())) == []


def test_progress_tells_bytes_done_and_in_all(layout):
    first, second = put(layout, hour()), put(layout, hour(inst_id=ETH), inst_id=ETH)
    seen = []
    list(Verification(layout, NOW_MS).run(lambda *told: seen.append(told)))
    total = 2 * first.stat().st_size
    assert seen == [(0, total, name(layout, first)), (total // 2, total, name(layout, second))]


def test_nothing_is_changed(layout):
    sound_vault(layout)
    put(layout, hour()[:-3], packed=True)
    before = {path: zlib.crc32(path.read_bytes()) for path in layout.root.rglob("*") if path.is_file()}
    verify(layout)
    after = {path: zlib.crc32(path.read_bytes()) for path in layout.root.rglob("*") if path.is_file()}
    assert after == before


def archived(layout):
    """An hour archived and its raw form gone."""
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour

    path = put(layout, hour(range(20)))
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    return layout.archived_hour(BTC, HOUR_AT_MS)


def test_a_sound_archive_is_no_finding_and_counts_as_one_file(layout):
    files = archived(layout)
    verification = Verification(layout, NOW_MS)
    assert list(verification.run()) == []
    size = files.levels.stat().st_size + files.snapshots.stat().st_size
    assert (verification.files, verification.lines, verification.bytes_read) == (1, 20, size)


@pytest.mark.parametrize("part", ["levels", "snapshots"])
def test_an_archive_that_contradicts_itself_is_named(layout, part):
    files = archived(layout)
    path = getattr(files, part)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data[: len(data) - 30])
    finding = only(layout)
    assert (finding.file, finding.offset, finding.kind) == (name(layout, files.snapshots), None, "archive")


def test_an_archive_in_the_place_of_another_hour_is_named(layout):
    files = archived(layout)
    wrong = layout.archived_hour(BTC, HOUR_AT_MS + HOUR_MS)
    files.levels.rename(wrong.levels)
    files.snapshots.rename(wrong.snapshots)
    finding = only(layout)
    assert (finding.file, finding.kind) == (name(layout, wrong.snapshots), "archive")
    assert "2024-08-20T03 h UTC" in finding.text


def test_levels_without_snapshots_are_half_of_an_archive_unless_they_are_young(layout):
    files = archived(layout)
    files.snapshots.unlink()
    for age_ms, kinds in ((0, []), (HOUR_MS, ["leftover"])):
        os.utime(files.levels, ns=((NOW_MS - age_ms) * 1_000_000,) * 2)
        assert [finding.kind for finding in verify(layout)] == kinds
    assert only(layout).text == "half of an archive, left by a run that was killed"


def test_a_file_of_somebody_else_in_the_archive_is_named(layout):
    files = archived(layout)
    other = files.levels.with_name("notes.txt")
    other.write_text("mine")
    assert only(layout) == Finding(name(layout, other), None, "foreign", "no data file by its place and name")


def test_without_the_libraries_for_archives_there_is_one_finding_that_says_so(layout, monkeypatch):
    for hour_ms in (HOUR_AT_MS, HOUR_AT_MS + HOUR_MS):
        files = layout.archived_hour(BTC, hour_ms)
        for path in (files.levels, files.snapshots):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "l2vault.vault.archive.write", None)
    finding = only(layout)
    assert (finding.file, finding.kind) == (name(layout, layout.archive), "archive")
    assert install_command("analysis") in finding.text


AT = "2024-08-20T15:30:00.000Z"


def archived_by_retention(layout, kind="books"):
    """As `archived`, with what the journal then has of it."""
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.journal.log import verb_journal
    from l2vault.vault.retention.plan import Action, Policy, Room
    from l2vault.vault.retention.run import Allowance, Limits, enforce
    from l2vault.vault.store.catalog import Catalog

    held = [one for one in Catalog(layout.of(kind)).files() if one.form != "archive"]
    plan = [Action("archive", one, "asked") for one in held]
    plan += [Action("delete", one, "asked", once_archived=True) for one in held]
    limits = Limits(Room(Policy(), 0, 0), lambda: 0, Allowance(None))
    report = enforce(layout, plan, verb_journal(layout, "archive", lambda: AT, lambda: 0), NOW_MS, limits)
    assert report.failures == []
    return layout.of(kind).archived_hour(BTC, held[0].hour_ms)


@pytest.mark.parametrize("part", ["levels", "snapshots"])
def test_every_flipped_byte_of_an_archive_is_found_also_where_no_line_changes(layout, part):
    """Footer, statistics, padding and data alike: the digest of the file was noted when it was made."""
    put(layout, hour())
    path = getattr(archived_by_retention(layout), part)
    assert verify(layout) == []
    whole = path.read_bytes()
    lines_read = 0
    for offset in sorted({*range(0, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 12, len(whole))}):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 1]) + whole[offset + 1 :])
        findings = [finding for finding in verify(layout) if finding.kind == "archive"]
        assert len(findings) == 1, f"byte {offset} of {len(whole)}"
        lines_read += "though it gives back its lines" in findings[0].text
    assert lines_read > 5, "the digest alone told these"
    path.write_bytes(whole)
    assert verify(layout) == []


def test_an_archive_of_which_the_journal_has_no_digest_is_judged_by_its_lines_alone(layout):
    """As every archive of an earlier version."""
    path = archived(layout).levels
    whole = path.read_bytes()
    at = whole.rindex(b"parquet-cpp-arrow")  # who wrote it: metadata
    path.write_bytes(whole[:at] + b"P" + whole[at + 1 :])
    assert verify(layout) == []


def test_an_archive_made_anew_counts_with_its_newest_digest(layout):
    put(layout, hour())
    archived_by_retention(layout)
    put(layout, hour(range(10, 20)))
    archived_by_retention(layout)
    assert verify(layout) == []
