"""Verify over changes: what is right has no finding; each way to be wrong has one that says what differs."""

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from l2vault.book.snapshot import to_line
from l2vault.book.utc import HOUR_MS, utc_ms, utc_text
from l2vault.vault.checking.changes import ChangeCheck
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal.events import HourClosed, Minute, MinuteOf
from l2vault.vault.store.layout import Layout, packed_path
from support.changes_vault import INST, START_MS, book_after, write_vault
from support.hours import journal_of, started

Lines = list[bytes]


def check(root: Path) -> tuple[list[tuple[str, str]], ChangeCheck]:
    found = ChangeCheck(Layout(root))
    return [(trouble.kind, trouble.text) for trouble in found.run()], found


def edit(root: Path, change: Callable[[Lines], Lines], kind: str = "changes") -> None:
    """Of the first hour."""
    layout = Layout(root).of(kind)
    plain = layout.hour_file(INST, START_MS)
    path = plain if kind == "books" else plain.with_name(f"{plain.name}.gz")
    data = path.read_bytes() if kind == "books" else gzip.decompress(path.read_bytes())
    after = b"".join(line + b"\n" for line in change(data.splitlines()))
    path.write_bytes(after if kind == "books" else gzip.compress(after))


def test_every_line_is_rebuilt(tmp_path: Path) -> None:
    write_vault(tmp_path)
    troubles, found = check(tmp_path)
    assert troubles == []
    assert found.compared.equal > 30
    assert (found.compared.different, found.compared.uncovered, found.compared.unaligned) == (0, 0, 0)
    files = list(tmp_path.glob("raw/okx/book_changes/*/*/*"))
    assert (found.files, found.bytes_read) == (2, sum(path.stat().st_size for path in files))
    kinds = {finding.kind for finding in Verification(Layout(tmp_path), START_MS + 10**7).run()}
    assert "changes" not in kinds


def test_lines_beside_a_hole_are_not_compared(tmp_path: Path) -> None:
    write_vault(tmp_path, lost=range(150, 260))
    troubles, found = check(tmp_path)
    assert troubles == []
    assert found.compared.equal > 20


def test_lines_before_the_first_full_book_are_counted_as_not_compared(tmp_path: Path) -> None:
    write_vault(tmp_path)
    _, whole = check(tmp_path)
    edit(tmp_path, lambda lines: lines[1:])
    _, found = check(tmp_path)
    assert found.compared.uncovered == whole.compared.equal - found.compared.equal > 10


def _edited(line: bytes, key: str, value: object) -> bytes:
    row = json.loads(line)
    row[key] = value
    return json.dumps(row, separators=(",", ":")).encode()


def other_level(lines: Lines) -> Lines:
    row = json.loads(lines[5])
    row["bids_top400"][3][1] = "999"
    return [*lines[:5], json.dumps(row, separators=(",", ":")).encode(), *lines[6:]]


EDITS = {
    "a level of a line": ("books", other_level, "bids_top400: level 3 is .*'999'.*, the changes give"),
    "a line that has a level less": (
        "books",
        lambda lines: [*lines[:5], _edited(lines[5], "asks_top400", json.loads(lines[5])["asks_top400"][:-1])],
        "asks_top400 has 399 levels, the changes give 400",
    ),
    "another number": (
        "books",
        lambda lines: [*lines[:5], _edited(lines[5], "seqId", 17), *lines[6:]],
        "seqId is 17, the changes give",
    ),
    "a change that is missing": ("changes", lambda lines: lines[:50] + lines[51:], "a change that fits no book: prevS"),
    "a level of a change": (
        "changes",
        lambda lines: [*lines[:50], _edited(lines[50], "bids", [["1", "7", "0", "1"]]), *lines[51:]],
        "is not the book that the changes give: bids_top400",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_differs_is_a_finding_that_says_what(name: str, tmp_path: Path) -> None:
    import re

    write_vault(tmp_path)
    kind, change, words = EDITS[name]
    edit(tmp_path, change, kind)
    troubles, _ = check(tmp_path)
    assert troubles and {kind for kind, _ in troubles} == {"changes"}
    assert re.search(words, troubles[0][1])
    found = [finding for finding in Verification(Layout(tmp_path), START_MS + 10**7).run() if finding.kind == "changes"]
    assert len(found) == len(troubles)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: [*lines[:9], lines[9].replace(b'"ws"', b'"radio"'), *lines[10:]], "line"),
        (lambda lines: [*lines[:9], lines[9].replace(b"BTC-", b"ETH-"), *lines[10:]], "misplaced"),
        (lambda lines: [*lines[:9], lines[9][:-1] + b',"later":1}', *lines[10:]], "altered"),
    ],
)
def test_a_line_that_is_none_is_named(change: Callable[[Lines], Lines], kind: str, tmp_path: Path) -> None:
    write_vault(tmp_path)
    edit(tmp_path, change)
    troubles, _ = check(tmp_path)
    assert troubles[0][0] == kind


def test_what_the_journal_calls_doubtful_is_no_finding(tmp_path: Path) -> None:
    write_vault(tmp_path)
    edit(tmp_path, other_level, "books")
    event = {
        "event": "changes_lost",
        "at": "2025-12-31T23:59:59.000Z",
        "inst_id": INST,
        "from": "2025-12-31T23:59:00.000Z",
        "cause": "conflict",
        "to": "2025-12-31T23:59:59.000Z",
        "run": "r",
        "n": 1,
        "mono_ms": 1,
    }
    (Layout(tmp_path).journal / "2025-12-31.jsonl").write_bytes(json.dumps(event).encode() + b"\n")
    assert check(tmp_path)[0] == []


LINE = 5
"""Of the lines of books: far from the ends of its hour."""


def rows(root: Path, kind: str) -> list[dict]:
    found: list[dict] = []
    edit(root, lambda lines: found.extend(map(json.loads, lines)) or lines, kind)
    return found


def place(root: Path) -> int:
    """Where the change is whose book is the line `LINE`: it and the ones beside it have times of their own."""
    changes, line = rows(root, "changes"), rows(root, "books")[LINE]
    at = next(at for at, change in enumerate(changes) if change["seqId"] == line["seqId"])
    times = [change["timestamp_utc"] for change in changes[at - 2 : at + 2]]
    assert len(set(times)) == 4 and line["timestamp_utc"] == times[2]
    return at


def without_times(lines: Lines, *places: int) -> Lines:
    """Changes as they are kept of a feed on which these came with a time two minutes back, or with none."""
    for at in places:
        before = json.loads(lines[at - 1])["timestamp_utc"]
        lines[at] = _edited(_edited(lines[at], "timestamp_utc", before), "ts", "0")
    return lines


@pytest.mark.parametrize("how_many", [1, 2])
def test_a_line_of_one_feed_beside_changes_of_another_whose_pushes_had_no_time_is_no_finding(
    how_many: int, tmp_path: Path
) -> None:
    """The line has the time with which its own feed brought the push, or is the book before one that had none."""
    write_vault(tmp_path)
    at = place(tmp_path)
    equal = check(tmp_path)[1].compared.equal
    edit(tmp_path, lambda lines: without_times(lines, *range(at, at + how_many)))
    troubles, found = check(tmp_path)
    assert (troubles, found.compared.equal) == ([], equal)


def test_a_level_that_differs_beside_a_push_without_a_time_is_a_finding(tmp_path: Path) -> None:
    write_vault(tmp_path)
    at = place(tmp_path)
    edit(tmp_path, lambda lines: without_times(lines, at))
    edit(tmp_path, other_level, "books")
    ((kind, text),) = check(tmp_path)[0]
    assert kind == "changes" and "bids_top400: level 3" in text


def test_a_line_of_a_feed_on_which_the_push_had_no_time_is_dated_early_and_no_finding(tmp_path: Path) -> None:
    write_vault(tmp_path)
    at, equal = place(tmp_path), check(tmp_path)[1].compared.equal
    before = rows(tmp_path, "changes")[at - 1]["timestamp_utc"]
    edit(tmp_path, lambda lines: [*lines[:5], _edited(lines[5], "timestamp_utc", before), *lines[6:]], "books")
    troubles, found = check(tmp_path)
    assert (troubles, found.compared.equal) == ([], equal)


def test_a_line_dated_earlier_than_the_change_before_its_own_is_a_finding(tmp_path: Path) -> None:
    write_vault(tmp_path)
    at = place(tmp_path)
    before = rows(tmp_path, "changes")[at - 2]["timestamp_utc"]
    early = utc_text(utc_ms(before) + 1)
    edit(tmp_path, lambda lines: [*lines[:5], _edited(lines[5], "timestamp_utc", early), *lines[6:]], "books")
    assert [kind for kind, _ in check(tmp_path)[0]] == ["changes"]


def test_a_line_with_the_book_of_after_its_slot_is_a_finding(tmp_path: Path) -> None:
    """As a recorder would write that samples a book after it has applied the message which makes it due."""
    sent = write_vault(tmp_path)
    at = place(tmp_path)
    line, later = rows(tmp_path, "books")[LINE], rows(tmp_path, "changes")[at + 1]
    wrong = replace(book_after(sent, utc_ms(later["timestamp_utc"])), ts_ms=utc_ms(line["timestamp_utc"]))
    edit(tmp_path, lambda lines: [*lines[:5], to_line(wrong), *lines[6:]], "books")
    ((kind, text),) = check(tmp_path)[0]
    assert kind == "changes" and f"seqId is {later['seqId']}" in text
    for minute, unaligned in ((utc_ms(line["timestamp_utc"]) + 120_000, 0), (utc_ms(line["timestamp_utc"]), 1)):
        of = MinuteOf(1, utc_text(minute), utc_text(minute))
        journal_of(Layout(tmp_path), started(-1), Minute(utc_text(minute + 60_000), {INST: of}, unaligned=1))
        found = check(tmp_path)[1].compared
        assert (found.different, found.unaligned) == (1 - unaligned, unaligned), "in that minute feeds were not aligned"


def test_an_archive_that_does_not_give_its_lines_back_is_named(tmp_path: Path) -> None:
    from vault.reading.test_changes import archive_everything  # noqa: PLC0415

    write_vault(tmp_path)
    archive_everything(tmp_path)
    troubles, found = check(tmp_path)
    assert troubles == [] and found.compared.equal > 30
    path = next((tmp_path / "archive" / "okx" / "book_changes" / "levels").glob("*/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    troubles, _ = check(tmp_path)
    assert [kind for kind, _ in troubles] == ["archive"]


def test_an_hour_that_is_not_what_was_noted_when_it_was_closed_and_one_that_is_gone(tmp_path: Path) -> None:
    write_vault(tmp_path)
    layout = Layout(tmp_path)
    path = packed_path(layout.of("changes").hour_file(INST, START_MS))
    data = gzip.decompress(path.read_bytes())
    hour = utc_text(START_MS // HOUR_MS * HOUR_MS)
    numbers = data.count(b"\n"), len(data), sha256(data).hexdigest()
    closed = HourClosed(utc_text(START_MS + HOUR_MS), INST, hour, *numbers, kind="changes")
    journal_of(layout, started(-1), closed)
    assert check(tmp_path)[0] == []
    path.write_bytes(gzip.compress(data[: data.rindex(b"\n", 0, -1) + 1]))
    assert [kind for kind, _ in check(tmp_path)[0]] == ["contents"]
    path.unlink()
    assert [kind for kind, _ in check(tmp_path)[0]] == ["missing"]
