"""`verify` of the day files: each kind of damage is found with its file and line, and sound files have none."""

import gzip
import json
from pathlib import Path

import pytest

from l2vault.book.day_lines import Liquidation, Status, liquidation_to_line, status_to_line
from l2vault.book.utc import DAY_MS, utc_ms
from l2vault.vault.checking.verify import Finding, Verification
from l2vault.vault.journal.events import ClockStepped
from l2vault.vault.store.layout import DayKind, Layout
from support.hours import INST, journal_of, started

DAY_AT_MS = utc_ms("2024-08-20T00:00:00.000Z")
NOW_MS = DAY_AT_MS + 3 * DAY_MS
SECOND = 1_000
KINDS: tuple[DayKind, ...] = ("liquidations", "status")


def line(kind: DayKind, second: int, received: float | None = None, has_time: bool = True) -> bytes:
    """Of this second of the day, received half a second later or at another second."""
    ts_ms = DAY_AT_MS + second * SECOND
    recv_us = round((DAY_AT_MS + (second + 0.5 if received is None else received) * SECOND) * 1000)
    if kind == "liquidations":
        return (
            liquidation_to_line(Liquidation(INST, ts_ms, "sell", "long", "100.5", str(second), "0", ""), recv_us)
            + b"\n"
        )
    row = {"title": "Upgrade", "state": "scheduled", "ts": str(ts_ms) if has_time else ""}
    return status_to_line(Status(ts_ms if has_time else 0, "", "", None, None, "", "", row), recv_us) + b"\n"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> DayKind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "Vault")


def put(layout: Layout, kind: DayKind, data: bytes, is_packed: bool = False) -> Path:
    path = layout.day_file(kind, DAY_AT_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(f"{path.name}.gz") if is_packed else path
    path.write_bytes(gzip.compress(data) if is_packed else data)
    return path


def findings(layout: Layout, now_ms: int = NOW_MS) -> list[Finding]:
    return list(Verification(layout, now_ms).run())


def found(layout: Layout, now_ms: int = NOW_MS) -> list[tuple[str, str, int | None]]:
    return [(each.kind, each.file, each.offset) for each in findings(layout, now_ms)]


@pytest.mark.parametrize("is_packed", [False, True])
def test_sound_files_have_no_finding_and_are_counted(layout: Layout, is_packed: bool) -> None:
    """Times of liquidations are in no order, and an announcement without a time has that of its receipt."""
    put(layout, "liquidations", b"".join(line("liquidations", at, 100 + at) for at in (5, 9, 7)), is_packed)
    put(layout, "status", line("status", 5) + line("status", 6, has_time=False), is_packed)
    journal_of(layout, started(-1))
    check = Verification(layout, NOW_MS)
    assert list(check.run()) == []
    assert (check.files, check.lines) == (2, 5)
    assert check.bytes_read == sum(path.stat().st_size for path in layout.root.glob("raw/okx/*/*.jsonl*"))


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_line_that_does_not_read_is_named_by_file_and_offset(layout: Layout, kind: DayKind, is_packed: bool) -> None:
    first = line(kind, 1)
    path = put(layout, kind, first + b'{"rubbish":1}\n' + line(kind, 2), is_packed)
    assert found(layout) == [("line", path.relative_to(layout.root).as_posix(), len(first))]


def test_another_form_of_the_same_values_is_altered_and_a_new_key_is_of_a_newer_version(
    layout: Layout, kind: DayKind
) -> None:
    first, second = line(kind, 1), line(kind, 2)
    spaced = json.dumps(json.loads(first)).encode() + b"\n"
    newer = second[:-2] + b',"new":1}\n'
    path = put(layout, kind, spaced + newer)
    name = path.relative_to(layout.root).as_posix()
    assert found(layout) == [("altered", name, 0), ("newer", name, len(spaced))]


def test_a_time_that_is_not_the_announcement_s_is_found(layout: Layout) -> None:
    put(layout, "status", line("status", 1).replace(b'"2024-08-20T00:00:01.000Z"', b'"2024-08-20T00:00:02.000Z"', 1))
    assert [each.kind for each in findings(layout)] == ["line"]


def test_a_line_of_another_day_is_misplaced(layout: Layout, kind: DayKind) -> None:
    first = line(kind, 1)
    path = put(layout, kind, first + line(kind, 86_400))
    assert found(layout) == [("misplaced", path.relative_to(layout.root).as_posix(), len(first))]


def test_a_torn_end_is_found_once_the_day_is_over_and_one_that_lines_follow_at_once(
    layout: Layout, kind: DayKind
) -> None:
    first = line(kind, 1)
    path = put(layout, kind, first + line(kind, 2)[:-9])
    torn = [("torn", path.relative_to(layout.root).as_posix(), len(first))]
    assert found(layout, DAY_AT_MS + 60_000) == [], "it may be on its way"
    assert found(layout) == torn
    put(layout, kind, first + line(kind, 2)[:-9] + b"\n" + line(kind, 3))
    assert found(layout, DAY_AT_MS + 60_000) == torn


def test_a_line_received_before_the_one_ahead_of_it_is_out_of_order_unless_our_clock_was_set(
    layout: Layout, kind: DayKind
) -> None:
    first = line(kind, 1, 9_000)
    path = put(layout, kind, first + line(kind, 2, 8_994) + line(kind, 3, 8_990))
    assert found(layout) == [("order", path.relative_to(layout.root).as_posix(), len(first))], "4 s are no step"
    journal_of(layout, started(-1), ClockStepped("2024-08-20T02:29:55.000Z", -6.0))
    assert found(layout) == []


def test_lines_that_stand_in_the_compressed_file_too_are_doubles(layout: Layout, kind: DayKind) -> None:
    put(layout, kind, line(kind, 1) + line(kind, 2), is_packed=True)
    path = put(layout, kind, line(kind, 2) + line(kind, 3))
    assert found(layout) == [("double", path.relative_to(layout.root).as_posix(), None)]


def test_a_damaged_gz_is_named(layout: Layout, kind: DayKind) -> None:
    path = put(layout, kind, b"".join(line(kind, at) for at in range(500)), is_packed=True)
    path.write_bytes(path.read_bytes()[:-30])
    assert [(kind, file) for kind, file, _ in found(layout)] == [("gzip", path.relative_to(layout.root).as_posix())]


def test_what_is_no_day_file_stands_out(layout: Layout, kind: DayKind) -> None:
    path = put(layout, kind, line(kind, 1))
    (path.parent / "notes.txt").write_bytes(b"x")
    (path.parent / "2024-13-99.jsonl").write_bytes(line(kind, 1))
    (path.parent / "2024-08-21.jsonl").mkdir()
    assert sorted(found(layout)) == [
        ("foreign", f"raw/okx/{kind}/{name}", None) for name in ("2024-08-21.jsonl", "2024-13-99.jsonl", "notes.txt")
    ]
