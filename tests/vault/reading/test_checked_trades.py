"""Hours of trades that were read whole: coverage says from their notes exactly what it says from their files."""

import gzip
import os
from pathlib import Path
from random import Random

import msgspec
import pytest

from l2vault.book.trade import TradePush, trade_to_line
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole
from l2vault.vault.reading import trade_check
from l2vault.vault.reading.trade_check import check_trades
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import HourForms
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, started
from support.pushes import push

HOURS = 6
END_MS = HOUR_AT_MS + HOURS * HOUR_MS
LATER_MS = END_MS + HOUR_MS


def put(root: Path, pushes: list[TradePush], tail: bytes = b"") -> list[Path]:
    """Each into the file of its hour, in their order; every second hour compressed."""
    layout, paths = Layout(root).of("trades"), []
    for hour in range(HOURS):
        hour_ms = HOUR_AT_MS + hour * HOUR_MS
        data = b"".join(trade_to_line(one) + b"\n" for one in pushes if one.ts_ms // HOUR_MS * HOUR_MS == hour_ms)
        path = layout.hour_file(INST, hour_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        path = path.with_name(f"{path.name}.gz") if hour % 2 else path
        path.write_bytes(gzip.compress(data + tail) if hour % 2 else data + tail)
        paths.append(path)
    return paths


def of_ids(first: int, last: int, seed: int = 0, step_ms: int = 60_000) -> list[TradePush]:
    """A push an id, or of a few, at about this distance; ids are missing, shared and out of order now and then."""
    rng, found, each = Random(seed), list[TradePush](), first
    while each <= last:
        count = rng.choice((1, 1, 2, 3))
        found.append(push(each + count - 1, max(0, each * step_ms + rng.randint(-4_000, 4_000)), count))
        each += count + (rng.random() < 0.02) * 3
        if rng.random() < 0.05:
            found.append(msgspec.structs.replace(push(each, each * step_ms, 2), overlap=True))
    return found


def coverage(root: Path, span: tuple[int, int] | None = None) -> object:
    reader = TradeReader(Layout(root))
    return reader.coverage(INST, span or (HOUR_AT_MS, END_MS)), reader.bounds(INST), reader.evidence(INST)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which hours are read, by their number."""
    hours: list[int] = []
    real = TradeReader.lines

    def lines(reader: TradeReader, inst_id: str, forms: HourForms, *rest: object) -> object:
        hours.append((forms.hour_ms - HOUR_AT_MS) // HOUR_MS)
        return real(reader, inst_id, forms, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TradeReader, "lines", lines)
    return hours


def check(root: Path) -> int:
    return check_trades(Layout(root), LATER_MS)


def test_hours_that_were_checked_are_not_read_again_but_the_newest_is(tmp_path: Path, read: list[int]) -> None:
    put(tmp_path, [push(each, each * 60_000) for each in range(1, HOURS * 60) if each not in (100, 101)])
    journal_of(Layout(tmp_path), started(-1), TradesBegun(at(0), INST, 1, at(60_000), "first"))
    before = coverage(tmp_path)
    assert check(tmp_path) == HOURS - 1
    assert check(tmp_path) == 0
    read.clear()
    assert TradeReader(Layout(tmp_path)).coverage(INST, (HOUR_AT_MS, END_MS)) == before[0]  # type: ignore[index]
    assert read == [HOURS - 1]
    assert coverage(tmp_path) == before


@pytest.mark.parametrize("seed", range(12))
def test_notes_give_what_the_files_give_whatever_the_ids(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    pushes = of_ids(1, HOURS * 60 - 2, seed)
    put(tmp_path, pushes)
    hole = TradesHole(at(0), INST, 120, 125, 6, at(7_200_000), at(7_500_000), "disconnect")
    journal_of(Layout(tmp_path), started(-1), TradesBegun(at(0), INST, 1, at(60_000), "first"), hole)
    spans = [(HOUR_AT_MS, END_MS)]
    for _ in range(6):
        start = rng.randrange(HOUR_AT_MS, END_MS - 1)
        spans.append((start, rng.randrange(start + 1, END_MS)))
    before = [coverage(tmp_path, span) for span in spans]
    check(tmp_path)
    assert [coverage(tmp_path, span) for span in spans] == before


@pytest.mark.parametrize("noted", [True, False])
def test_ids_that_begin_anew_are_told_as_before(tmp_path: Path, noted: bool) -> None:
    """Between two hours, and within one."""
    old = [push(1_000_000 + each, each * 60_000) for each in range(150)]
    new = [push(each, 9_060_000 + each * 60_000) for each in range(100)]
    newer = [push(5 + each, 16_000_000 + each * 60_000) for each in range(5_000, 5_090)]
    newer = [msgspec.structs.replace(one, ts=str(int(one.ts) - 300_000_000)) for one in newer]
    put(tmp_path, [*old, *new, *newer])
    events = [
        TradesBegun(at(0), INST, 1_000_000, at(0), "first"),
        TradesBegun(at(0), INST, 0, at(9_060_000), "numbering"),
    ]
    journal_of(Layout(tmp_path), started(-1), *(events if noted else ()))
    before = coverage(tmp_path)
    check(tmp_path)
    assert coverage(tmp_path) == before


def test_ids_that_began_anew_and_have_passed_the_old_ones_are_told_as_before(tmp_path: Path) -> None:
    """By their ids alone those of the next hour would go on behind the old ones, and the journal has no word of it."""
    old = [push(each, each * 100) for each in range(2_000, 2_010)]
    new = [push(each, 300_000 + each, 500) for each in range(504, 2_505, 500)]
    put(tmp_path, [*old, *new, *(push(each, HOUR_MS + each * 100) for each in range(2_505, 2_600))])
    before = coverage(tmp_path)
    assert before[0].ids == 10 + 2_595 and before[0].holes == []  # type: ignore[index]
    check(tmp_path)
    assert coverage(tmp_path) == before


def test_ids_that_come_again_hours_later_are_found_as_before(tmp_path: Path) -> None:
    pushes = [push(each, each * 60_000) for each in range(1, HOURS * 60)]
    stray = [push(30, 200 * 60_000), push(500, 70 * 60_000)]
    put(tmp_path, [*pushes, *stray])
    before = coverage(tmp_path)
    check(tmp_path)
    assert coverage(tmp_path) == before


@pytest.mark.parametrize("tail", [b"rubbish\n", trade_to_line(push(3, HOURS * HOUR_MS)) + b"\n"])
def test_an_hour_with_a_line_that_does_not_read_or_is_of_another_hour_is_read_each_time(
    tmp_path: Path, read: list[int], tail: bytes
) -> None:
    put(tmp_path, [push(each, each * 60_000) for each in range(1, HOURS * 60)], tail)
    before = coverage(tmp_path)
    check(tmp_path)
    read.clear()
    assert coverage(tmp_path) == before
    assert set(read) == set(range(HOURS))
    assert check(tmp_path) == 0, "but it is not checked again before it changes"


@pytest.mark.parametrize("change", ["size", "time"])
def test_an_hour_that_changed_is_read(tmp_path: Path, read: list[int], change: str) -> None:
    pushes = [push(each, each * 60_000) for each in range(1, HOURS * 60) if each != 130]
    path = put(tmp_path, pushes)[2]
    check(tmp_path)
    facts = path.stat()
    if change == "size":
        path.write_bytes(path.read_bytes() + trade_to_line(push(130, 130 * 60_000)) + b"\n")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + (change == "time")))
    read.clear()
    found = TradeReader(Layout(tmp_path)).coverage(INST, (HOUR_AT_MS, END_MS))
    assert [hole.first_id for hole in found.holes] == ([130] if change == "time" else [])
    assert read == [2, HOURS - 1]
    assert check(tmp_path) == 1


def test_verify_reads_all_the_same(tmp_path: Path) -> None:
    path = put(tmp_path, [push(each, each * 60_000) for each in range(1, HOURS * 60)])[2]
    journal_of(Layout(tmp_path), started(-1), TradesBegun(at(0), INST, 1, at(60_000), "first"))
    check(tmp_path)
    facts = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"tradeId":"130"', b'"tradeId":"131"'))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    findings = [each.kind for each in Verification(Layout(tmp_path), LATER_MS).run()]
    assert "lacking" in findings and "double" in findings


def test_one_call_checks_a_bounded_number_and_notes_go_with_their_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = put(tmp_path, [push(each, each * 60_000) for each in range(1, HOURS * 60)])
    monkeypatch.setattr(trade_check, "MOST_HOURS", 2)
    assert [check(tmp_path) for _ in range(4)] == [2, 2, 1, 0]
    note = Layout(tmp_path).checked_trades_file(INST, HOUR_AT_MS)
    note.write_bytes(b"rubbish")
    assert check(tmp_path) == 2, "a note that does not read is made anew"
    for path in paths:
        path.unlink()
    put(tmp_path / "other", [])
    assert check(tmp_path) == 0
