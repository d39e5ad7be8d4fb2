"""`verify` of trades and of the context: each kind of damage is found where it is, and a sound vault has none."""

import gzip
import os
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from l2vault.book.trade import trade_from_line, trade_to_line
from l2vault.book.utc import utc_ms
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal import events as noted
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, started
from support.small_vault import small_vault

NOW_MS = HOUR_AT_MS + 30 * HOUR_MS
KINDS = ("trades", "context")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_vault(tmp_path / "Vault")
    return tmp_path / "Vault"


def file_of(root: Path, kind: str) -> Path:
    return Layout(root).of(kind).hour_file(INST, HOUR_AT_MS)  # type: ignore[arg-type]


def found(root: Path) -> list[tuple[str, str, int | None]]:
    findings = Verification(Layout(root), NOW_MS).run()
    return [(each.kind, each.file.split("/")[2], each.offset) for each in findings if "l2_perps" not in each.file]


def texts(root: Path) -> list[str]:
    return [each.text for each in Verification(Layout(root), NOW_MS).run() if "l2_perps" not in each.file]


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def closed(path: Path, kind: str, is_open: bool = False, **changed: object) -> noted.HourClosed:
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    fields = {"lines": data.count(b"\n"), "bytes": len(data), "sha256": sha256(data).hexdigest()} | changed
    return noted.HourClosed(at(HOUR_MS), INST, at(0), kind=kind, is_open=is_open, **fields)  # type: ignore[arg-type]


def test_a_sound_vault_has_no_finding_and_every_line_is_counted(root: Path) -> None:
    for kind in KINDS:
        journal_of(Layout(root), started(-1), closed(file_of(root, kind), kind))
    check = Verification(Layout(root), NOW_MS)
    assert [each for each in check.run() if "l2_perps" not in each.file] == []
    assert check.lines == 297 + 599 + 300 + 20 + 20


@pytest.mark.parametrize("form", ["gzip", "archive", "archive beside raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_hour_of_another_form_has_none_either(root: Path, kind: str, form: str) -> None:
    path = file_of(root, kind)
    journal_of(Layout(root), started(-1), closed(path, kind))
    if form == "gzip":
        path.with_name("03.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    else:
        layout = Layout(root).of(kind)  # type: ignore[arg-type]
        archive_hour(layout, layout.parse_hour_file(path))
        if form == "archive":
            path.unlink()
    assert found(root) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("was", "becomes", "finding"),
    [
        (b'"instId":"BTC-', b'"instId":"ETH-', "misplaced"),
        (b'"channel":"', b'"channel": "', "altered"),
        (b"}\n", b',"later":1}\n', "newer"),
        (b'{"timestamp_utc":"2024', b'{"timestamp_utc":"2x24', "line"),
        (b"}\n", b"\n", "line"),
    ],
)
def test_each_line_is_held_against_its_form_and_place(
    root: Path, kind: str, was: bytes, becomes: bytes, finding: str
) -> None:
    path = file_of(root, kind)
    first, second, *rest = lines_of(path)
    assert was in second
    path.write_bytes(first + second.replace(was, becomes, 1) + b"".join(rest))
    assert (finding, kind, len(first)) in found(root)


def test_a_trade_of_another_hour_is_misplaced(root: Path) -> None:
    path = file_of(root, "trades")
    first, *rest = lines_of(path)
    path.write_bytes(b"".join(rest))
    other = path.with_name("04.jsonl")
    other.write_bytes(first)
    assert ("misplaced", "trades", 0) in found(root)


def test_a_torn_end_is_found_once_nobody_can_be_writing_it(root: Path) -> None:
    path = file_of(root, "trades")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"timestamp_utc"')
    assert found(root) == [("torn", "trades", len(whole))]
    young = Verification(Layout(root), HOUR_AT_MS + HOUR_MS).run()
    assert [each for each in young if "l2_perps" not in each.file] == []


def test_a_damaged_gzip_is_found(root: Path) -> None:
    path = file_of(root, "trades")
    packed = path.with_name("03.jsonl.gz")
    packed.write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()
    assert "gzip" in {kind for kind, _, _ in found(root)}


def test_an_id_that_lacks_is_found_unless_the_journal_knows_of_it(root: Path) -> None:
    """The four ids of the vault that were lost are in the journal: no finding."""
    path = file_of(root, "trades")
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:40] + lines[42:]))
    assert found(root) == [("lacking", "trades", None)]
    assert texts(root)[0].startswith("the ids 1081 to 1084 (4), between ")


def test_lines_cut_from_the_end_and_the_beginning_lack_too(root: Path) -> None:
    path = file_of(root, "trades")
    lines = lines_of(path)
    minute = noted.Minute(at(600_000), trades={INST: noted.TradesOf(599, 1194, 1001, 2200, at(598_500))})
    journal_of(Layout(root), started(-1), minute)
    newest = max(range(len(lines)), key=lambda at_: trade_from_line(lines[at_]).last_id)
    path.write_bytes(b"".join(lines[1:newest] + lines[newest + 1 :]))
    assert [text.partition(" (")[0] for text in texts(root)] == ["the ids 1001 to 1002", "the ids 2199 to 2200"]


def test_a_whole_file_that_is_gone_lacks(root: Path) -> None:
    path = file_of(root, "trades")
    journal_of(Layout(root), started(-1), closed(path, "trades"))
    path.unlink()
    assert ("missing", "trades", None) in found(root)


def test_a_doubled_id_is_told_from_an_overlap(root: Path) -> None:
    path = file_of(root, "trades")
    lines = lines_of(path)
    push = trade_from_line(lines[10])
    longer = msgspec.structs.replace(push, count="3", overlap=True)
    path.write_bytes(b"".join([*lines, trade_to_line(longer) + b"\n"]))
    assert [kind for kind, _, _ in found(root)] == ["double"], "it has no id of its own"
    whole = path.read_bytes()
    doubled = msgspec.structs.replace(push, count="1")
    path.write_bytes(b"".join([*lines, trade_to_line(doubled) + b"\n"]))
    assert found(root) == [("double", "trades", len(b"".join(lines)))]
    assert whole != path.read_bytes()
    part = msgspec.structs.replace(push, trade_id=str(push.first_id), count="1")
    whole_push = msgspec.structs.replace(push, overlap=True)
    others = lines[:10] + lines[11:]
    path.write_bytes(b"".join([*others, trade_to_line(part) + b"\n", trade_to_line(whole_push) + b"\n"]))
    assert found(root) == [], "a part, and then the whole marked as an overlap"


def test_an_id_that_okx_never_used_and_that_is_there_contradicts_the_journal(root: Path) -> None:
    path = file_of(root, "trades")
    lines = lines_of(path)
    push = msgspec.structs.replace(trade_from_line(lines[121]), trade_id="1246")
    path.write_bytes(b"".join(lines) + trade_to_line(push) + b"\n")
    assert ("journal", "trades", len(b"".join(lines))) in found(root)


def test_lines_of_a_plain_file_that_its_gzip_has_too_are_one_finding(root: Path) -> None:
    path = file_of(root, "trades")
    path.with_name("03.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert found(root) == [("double", "trades", None)]


def test_the_context_is_in_order_of_time_and_no_value_is_of_later_than_its_line(root: Path) -> None:
    path = file_of(root, "context")
    lines = lines_of(path)
    path.write_bytes(b"".join([*lines[:5], lines[5], lines[5], lines[7], lines[6], *lines[8:]]))
    assert [kind for kind, _, _ in found(root)] == ["double", "order"]
    late = lines[5].replace(b'"mark_utc":"2024-08-20T03:00:09.900Z"', b'"mark_utc":"2024-08-20T03:00:10.001Z"')
    assert late != lines[5]
    path.write_bytes(b"".join([*lines[:5], late, *lines[6:]]))
    assert [kind for kind, _, _ in found(root)] == ["line"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_hour_that_is_not_what_was_noted_when_it_was_closed_is_found(root: Path, kind: str) -> None:
    path = file_of(root, kind)
    journal_of(Layout(root), started(-1), closed(path, kind))
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"instId":"BTC-USDT-SWAP"', b'"instId":"BTC-USDT-SWAX"', 1))
    assert ("contents", kind, None) in found(root)
    path.write_bytes(data)
    assert found(root) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_hour_that_was_deleted_by_policy_is_not_missing(root: Path, kind: str) -> None:
    path = file_of(root, kind)
    file = path.relative_to(root).as_posix()
    events = [closed(path, kind), noted.Retained(at(2 * HOUR_MS), "delete", file, "old", 1, 0)]
    path.unlink()
    journal_of(Layout(root), started(-1), *events[:1])
    assert ("missing", kind, None) in found(root)
    journal_of(Layout(root), started(-1), *events)
    assert found(root) == []


def test_an_hour_of_books_that_was_restored_brings_no_trades_back(root: Path) -> None:
    path = file_of(root, "trades")
    file = path.relative_to(root).as_posix()
    events = [
        closed(path, "trades"),
        noted.Retained(at(2 * HOUR_MS), "delete", file, "old", 1, 0),
        noted.Restored(at(3 * HOUR_MS), INST, at(0), file.replace("trades", "l2_perps"), 1, "x"),
    ]
    path.unlink()
    journal_of(Layout(root), started(-1), *events)
    assert found(root) == []


def test_a_damaged_archive_is_found(root: Path) -> None:
    layout = Layout(root).of("trades")
    path = file_of(root, "trades")
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    archived = layout.archived_hour(INST, HOUR_AT_MS).snapshots
    data = bytearray(archived.read_bytes())
    data[len(data) // 3] ^= 0xFF
    archived.write_bytes(data)
    assert "archive" in {kind for kind, _, _ in found(root)}


@pytest.mark.parametrize("kind", [*KINDS, "changes"])
def test_what_is_no_file_of_the_kind_is_foreign_and_an_old_temporary_file_a_leftover(root: Path, kind: str) -> None:
    day = Layout(root).of(kind).hour_file(INST, HOUR_AT_MS).parent  # type: ignore[arg-type]
    day.mkdir(parents=True, exist_ok=True)
    for name in ("notes.txt", ".03.1.packing"):
        (day / name).write_bytes(b"x")
        os.utime(day / name, (HOUR_AT_MS / 1000, HOUR_AT_MS / 1000))
    folder = "book_changes" if kind == "changes" else kind
    assert sorted(found(root)) == [("foreign", folder, None), ("leftover", folder, None)]


def test_the_time_of_the_tests_is_that_of_their_vault() -> None:
    assert utc_ms("2024-08-20T03:00:00.000Z") == HOUR_AT_MS


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_of_an_archive_that_changes_no_line_shows_in_its_digest(root: Path, kind: str) -> None:
    layout = Layout(root).of(kind)  # type: ignore[arg-type]
    path = file_of(root, kind)
    hour_file = layout.parse_hour_file(path)
    assert hour_file is not None
    archive_hour(layout, hour_file)
    path.unlink()
    snapshots = layout.archived_hour(INST, HOUR_AT_MS).snapshots
    whole, name = snapshots.read_bytes(), snapshots.relative_to(root).as_posix()
    made = noted.Retained(at(HOUR_MS), "archive", name, "asked", 9, 9, {name: sha256(whole).hexdigest()})
    journal_of(Layout(root), started(-1), made)
    assert found(root) == []
    written_by = whole.rindex(b"parquet-cpp-arrow")
    snapshots.write_bytes(whole[:written_by] + b"P" + whole[written_by + 1 :])
    assert [each[0] for each in found(root)] == ["archive"]
