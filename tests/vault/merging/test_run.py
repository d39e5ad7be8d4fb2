"""A merge as a whole, on small vaults: what is done again and what is not, what is counted, what is said of it."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.merging import run
from l2vault.vault.merging.run import Merge, Report
from l2vault.vault.merging.source import Source, with_gaps
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, put, started, synced
from support.vaults import HOURS, good_vault

EVER = 0, 2**60


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return good_vault(tmp_path / "one")


def merge(into: Path, *layouts: Layout, seen: list[tuple[int, int, str]] | None = None) -> Report:
    target = Layout(into)
    run.merged_root(target).mkdir(parents=True, exist_ok=True)
    ticks = iter(range(1, 1_000))
    journal = verb_journal(target, "merge", lambda: at(10 * HOUR_MS), lambda: next(ticks))
    merging = Merge(target, [(each.root.name, each) for each in layouts], journal, lambda: at(10 * HOUR_MS))
    return merging.run([], EVER, lambda *each: None if seen is None else seen.append(each))


def merged(into: Path) -> list[Merged]:
    return [event for event in read_journal(Layout(into)) if isinstance(event, Merged)]


def test_each_hour_is_announced_once_with_how_many_are_done(layout: Layout, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    merge(tmp_path / "into", layout, seen=seen)
    hours = [utc_text(HOUR_AT_MS + hour * HOUR_MS)[:13] for hour in range(HOURS)]
    assert seen == [(nth, HOURS, f"{INST} books {hour}h") for nth, hour in enumerate(hours)]


def test_what_is_the_same_again_is_counted_as_unchanged_whether_or_not_it_was_read(
    layout: Layout, tmp_path: Path
) -> None:
    first = merge(tmp_path / "into", layout)
    assert (first.merged, first.unchanged, first.contradicted, first.unaligned, first.disputed) == (HOURS, 0, 0, 0, [])
    before = (tmp_path / "into").rglob("*.gz")
    images = {path: path.read_bytes() for path in before}
    for path in layout.root.rglob("03.jsonl"):
        os.utime(path, (1_800_000_000, 1_800_000_000))
    again = merge(tmp_path / "into", layout)
    assert (again.merged, again.unchanged, again.lines) == (0, HOURS, 0)
    assert {path: path.read_bytes() for path in images} == images


def test_an_hour_without_a_line_of_which_something_is_known_is_known_in_the_result(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "one")
    put(layout, [line(0)])
    quiet = noted.Quiet(at(0), at(2_000), at(HOUR_MS + 20_000))
    minute = noted.Minute(at(HOUR_MS + 20_000), {INST: noted.MinuteOf(quiet=[quiet], due=1, first=at(0), last=at(0))})
    journal_of(layout, started(-1), synced(0), minute, noted.Alive(at(HOUR_MS + 20_000), at(HOUR_MS + 20_000)))
    merge(tmp_path / "into", layout)
    stood = [(each.since, each.first, each.last) for event in merged(tmp_path / "into") for each in event.quiet]
    assert stood == [(at(0), at(2_000), at(HOUR_MS - 2_000)), (at(0), at(HOUR_MS), at(HOUR_MS + 20_000))]
    span = HOUR_AT_MS, HOUR_AT_MS + HOUR_MS + 18_000
    known, found = (open_vault(root).coverage(INST, *span) for root in (layout.root, tmp_path / "into"))
    assert known.count("quiet") > 1_700
    assert [(each.first_ms, each.last_ms, each.state) for each in found.stretches] == [
        (each.first_ms, each.last_ms, each.state) for each in known.stretches
    ]


def test_what_is_known_of_the_books_begins_and_ends_in_the_result_as_in_its_vault(
    layout: Layout, tmp_path: Path
) -> None:
    merge(tmp_path / "into", layout)
    known, found = (Source(each, "").evidence(INST) for each in (layout, Layout(tmp_path / "into")))
    assert found == known
    assert known is not None and known[0] == HOUR_AT_MS


def test_what_is_known_begins_in_the_result_where_slots_were_due_though_their_lines_are_missing(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "one")
    put(layout, [line(20_000), line(22_000)])
    minute = noted.Minute(at(30_000), {INST: noted.MinuteOf(due=12, first=at(0), last=at(22_000))})
    journal_of(layout, started(-1), synced(0), minute, noted.Alive(at(30_000), at(30_000)))
    merge(tmp_path / "into", layout)
    known, found = (Source(each, "").evidence(INST) for each in (layout, Layout(tmp_path / "into")))
    assert known is not None and found is not None
    assert known[0] == found[0] == HOUR_AT_MS


def test_without_any_journal_an_hour_keeps_the_cadence_that_the_result_knows(tmp_path: Path) -> None:
    one, bare, other = (Layout(tmp_path / name) for name in ("one", "bare", "other"))
    for each in (one, bare, other):
        put(each, [line(1_000 * second) for second in range(5)])
    journal_of(one, started(-1, cadence_ms=1_000), synced(0))
    merge(tmp_path / "into", one)
    put(bare, [line(1_000 * second) for second in range(6)])
    merge(tmp_path / "into", bare, other)
    assert {event.cadence_ms for event in merged(tmp_path / "into")} == {1_000}


def test_of_two_rows_of_one_instrument_the_newer_is_kept_and_of_one_age_the_first(
    layout: Layout, tmp_path: Path
) -> None:
    other = Layout(tmp_path / "other")
    shutil.copytree(layout.root, other.root)
    rows = [each.instrument_file(INST) for each in (layout, other)]
    rows[1].write_text(rows[0].read_text().replace("live", "preopen"))
    assert rows[0].read_bytes() != rows[1].read_bytes()
    for times, kept in (((1, 1), 0), ((1, 2), 1), ((3, 2), 0)):
        for path, time in zip(rows, times, strict=True):
            os.utime(path, (1_700_000_000 + time, 1_700_000_000 + time))
        merge(tmp_path / "into", layout, other)
        assert Layout(tmp_path / "into").instrument_file(INST).read_bytes() == rows[kept].read_bytes()


def test_hours_between_two_that_are_there_are_looked_at_up_to_a_month() -> None:
    month = 31 * 24
    assert with_gaps(set()) == []
    assert with_gaps({5 * HOUR_MS, 2 * HOUR_MS}) == [hour * HOUR_MS for hour in (2, 3, 4, 5)]
    far = {900 * HOUR_MS, (900 + month) * HOUR_MS, (901 + 2 * month) * HOUR_MS}
    assert with_gaps(far) == [hour * HOUR_MS for hour in (*range(900, 901 + month), 901 + 2 * month)]


def test_an_hour_rests_on_the_journal_of_its_day_and_of_those_beside_it(layout: Layout) -> None:
    days = {day: layout.journal_file(HOUR_AT_MS + day * 24 * HOUR_MS) for day in range(-2, 3)}
    for path in days.values():
        path.touch()
    stamps = Source(layout, "one").stamp("books", INST, HOUR_AT_MS)
    names = {Path(name).name for name, _, _ in stamps}
    assert {day for day, path in days.items() if path.name in names} == {-1, 0, 1}
    assert layout.hour_file(INST, HOUR_AT_MS).relative_to(layout.root).as_posix() in {name for name, _, _ in stamps}


def test_the_books_of_an_hour_go_up_to_the_slot_at_its_end(layout: Layout) -> None:
    for hour_ms in (HOUR_AT_MS, HOUR_AT_MS + HOUR_MS):
        coverage = Source(layout, "one").books_coverage(INST, hour_ms)
        assert (coverage.start_ms, coverage.end_ms) == (hour_ms, hour_ms + HOUR_MS + 1)


def test_vaults_of_two_depths_in_one_hour_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    put(one, [line(0), line(2_000)])
    put(other, [line(4_000, depth=50)])
    with pytest.raises(VaultError, match=r"03h: the vaults hold 50 and 400 levels a side\..*--from and --to"):
        merge(tmp_path / "into", one, other)
    assert not [path for path in (tmp_path / "into" / "raw").rglob("*") if path.is_file()]


def test_trades_that_contradict_are_named_by_their_hour(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    for layout, price in ((one, "100"), (other, "101")):
        path = layout.of("trades").hour_file(INST, HOUR_AT_MS)
        path.parent.mkdir(parents=True)
        push = TradePush(INST, "7", price, "1", "buy", str(HOUR_AT_MS), "1", "0", None, 10**15, "ws")
        path.write_bytes(trade_to_line(push) + b"\n")
    report = merge(tmp_path / "into", one, other)
    assert (report.contradicted, report.disputed) == (1, [(INST, "trades", at(0), at(0))])


def test_of_changes_the_vault_that_proves_most_time_is_taken_and_the_rest_of_the_hour_is_noted(tmp_path: Path) -> None:
    many, long = Layout(tmp_path / "many"), Layout(tmp_path / "long")
    for layout, seconds in ((many, range(5, 9)), (long, (100, 1_900))):
        writer = ChangeWriter(layout)
        for seq_id, second in enumerate(seconds, 1):
            ts_ms, is_first = HOUR_AT_MS + second * 1_000, seq_id == 1
            levels = [("100", "5", "0", "1")] if is_first else []
            change = BookChange(INST, is_first, levels, [], ts_ms, seq_id, -1 if is_first else seq_id - 1, 0, 10**15)
            writer.write(RecordedChange(ts_ms, change, "ws", 1))
        writer.close()
    merge(tmp_path / "into", many, long)
    (event,) = merged(tmp_path / "into")
    assert (event.kind, event.vaults) == ("changes", {"long": 2})
    assert [(span.from_, span.to) for span in event.spans] == [(at(0), at(100_000)), (at(1_900_001), at(HOUR_MS))]


def test_a_plain_hour_of_the_result_is_gone_for_good_once_its_lines_are_in_the_packed_one(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restored by hand, as from a copy of an hour that had not ended."""
    merge(tmp_path / "into", layout)
    plain = Layout(tmp_path / "into").hour_file(INST, HOUR_AT_MS)
    whole = packed_path(plain).read_bytes()
    packed_path(plain).unlink()
    plain.write_bytes(b"".join(gzip.decompress(whole).splitlines(keepends=True)[:5]))
    os.utime(layout.hour_file(INST, HOUR_AT_MS), (1_800_000_000, 1_800_000_000))
    durable: list[tuple[Path, bool]] = []
    monkeypatch.setattr(run, "sync_folder", lambda folder: durable.append((folder, plain.exists())))
    merge(tmp_path / "into", layout)
    assert packed_path(plain).read_bytes() == whole
    assert durable == [(plain.parent, False)]
