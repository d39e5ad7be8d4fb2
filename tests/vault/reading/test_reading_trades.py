"""The trades of a vault: each id once and in order, whatever the files look like; and what is said of the others."""

import gzip
from pathlib import Path
from random import Random

import pytest

from l2vault.book.trade import TradePush, trade_to_line
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing, TradesOf, TradesSkipped
from l2vault.vault.reading.trades import OnceById, TradeReader
from l2vault.vault.store.catalog import Findings
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, started
from support.judge_read_trades import ALWAYS
from support.pushes import push


def lines(pushes: list[TradePush]) -> bytes:
    return b"".join(trade_to_line(each) + b"\n" for each in pushes)


def put(root: Path, pushes: list[TradePush], packed: bool = False, tail: bytes = b"") -> list[Path]:
    """Each into the file of its hour, in their order."""
    layout = Layout(root).of("trades")
    paths = []
    for hour_ms in sorted({each.ts_ms // HOUR_MS * HOUR_MS for each in pushes}):
        path = layout.hour_file(INST, hour_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = lines([each for each in pushes if each.ts_ms // HOUR_MS * HOUR_MS == hour_ms]) + tail
        path = path.with_name(f"{path.name}.gz") if packed else path
        path.write_bytes(gzip.compress(data) if packed else data)
        paths.append(path)
    return paths


def read(root: Path, span: tuple[int, int] = ALWAYS) -> list[tuple[int, int, str | None]]:
    findings = Findings()
    rows = list(TradeReader(Layout(root)).rows(INST, span, findings.report))
    assert findings == []
    return [(row.first_id, row.last_id, row.size) for row in rows]


def coverage(root: Path, from_ms: int | None = None, to_ms: int | None = None) -> TradeCoverage:
    reader = TradeReader(Layout(root))
    bounds = reader.evidence(INST)
    assert bounds is not None
    start_ms = bounds[0] if from_ms is None else HOUR_AT_MS + from_ms
    return reader.coverage(INST, (start_ms, bounds[1] + 1 if to_ms is None else HOUR_AT_MS + to_ms))


def holes(found: TradeCoverage) -> list[tuple[int, int, str, str]]:
    return [(hole.first_id, hole.last_id, hole.state, hole.cause) for hole in found.holes]


def states(found: TradeCoverage) -> list[tuple[int, int, str, str]]:
    return [(each.start_ms - HOUR_AT_MS, each.end_ms - HOUR_AT_MS, each.state, each.cause) for each in found.stretches]


def begun(one: int, offset_ms: int, cause: str = "first") -> TradesBegun:
    return TradesBegun(at(offset_ms), INST, one, at(offset_ms), cause)  # type: ignore[arg-type]


def hole(first: int, last: int, from_ms: int, to_ms: int, cause: str = "disconnect") -> TradesHole:
    return TradesHole(at(to_ms), INST, first, last, last - first + 1, at(from_ms), at(to_ms), cause)  # type: ignore[arg-type]


def test_what_is_known_begins_where_the_journal_says_that_a_chain_began(tmp_path: Path) -> None:
    put(tmp_path, [push(12, 500), push(13, 700)])
    journal_of(Layout(tmp_path), started(0), begun(10, 200))
    reader = TradeReader(Layout(tmp_path))
    assert reader.bounds(INST) == (HOUR_AT_MS + 500, HOUR_AT_MS + 700)
    assert reader.evidence(INST) == (HOUR_AT_MS + 200, HOUR_AT_MS + 700)


def test_rows_are_in_the_order_of_ids_and_a_count_is_one_row(tmp_path: Path) -> None:
    put(tmp_path, [push(3, 10, 3), push(6, 30, 1), push(5, 20, 2), push(7, 40, None)])
    assert read(tmp_path) == [(1, 3, "3"), (4, 5, "2"), (6, 6, "1"), (7, 7, "1")]


def test_a_line_that_stands_twice_is_one_row(tmp_path: Path) -> None:
    put(tmp_path, [push(3, 10, 3), push(4, 20), push(3, 10, 3), push(4, 20)])
    assert read(tmp_path) == [(1, 3, "3"), (4, 4, "1")]


def test_the_whole_of_an_order_stands_for_the_part_that_came_before_it(tmp_path: Path) -> None:
    put(tmp_path, [push(2, 10, 2), push(4, 10, 4, overlap=True), push(5, 20)])
    assert read(tmp_path) == [(1, 4, "4"), (5, 5, "1")]


def test_pushes_that_share_ids_and_do_not_fit_into_each_other_leave_a_row_without_a_size(tmp_path: Path) -> None:
    put(tmp_path, [push(3, 10, 3), push(5, 10, 3, overlap=True)])
    assert read(tmp_path) == [(1, 3, "3"), (4, 5, None)]
    assert coverage(tmp_path).runs[0].unsized == 1


def test_singles_by_rest_in_a_hole_of_a_push_that_came_late_are_one_row(tmp_path: Path) -> None:
    singles = [push(one, 10, origin="rest") for one in (2, 3)]
    put(tmp_path, [push(1, 5), push(5, 20), *singles, push(4, 10, 3, overlap=True)])
    assert read(tmp_path) == [(1, 1, "1"), (2, 4, "3"), (5, 5, "1")]


def test_the_rest_of_a_push_has_the_size_that_is_left_of_it() -> None:
    once = OnceById()
    once.take(push(2, 10, 2, size="0.25"), 0)
    once.take(push(3, 10, origin="rest", size="0.05"), 0)
    (row,) = once.take(push(5, 10, 5, size="1.0"), 0)
    assert (row.first_id, row.last_id, row.size) == (4, 5, "0.70")


def test_two_rests_of_one_push_have_no_size_of_their_own() -> None:
    once = OnceById()
    once.take(push(3, 10), 0)
    assert [(row.first_id, row.last_id, row.size) for row in once.take(push(5, 10, 5), 0)] == [
        (1, 2, None),
        (4, 5, None),
    ]


@pytest.mark.parametrize("form", ["plain", "gzip", "gzip and plain", "archive", "archive and plain"])
def test_late_lines_of_rest_are_in_their_place_whatever_form_the_hour_has(tmp_path: Path, form: str) -> None:
    early = [push(2, 10, 2), push(9, 90, 3)]
    late = [push(one, one * 10, origin="rest") for one in (3, 4, 5, 6)]
    if form == "gzip and plain":
        put(tmp_path, early, packed=True)
        put(tmp_path, late)
    elif form == "archive and plain":
        layout = Layout(tmp_path).of("trades")
        (path,) = put(tmp_path, early, packed=True)
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
        put(tmp_path, late)
    else:
        (path,) = put(tmp_path, early + late, packed=form == "gzip")
        if form == "archive":
            layout = Layout(tmp_path).of("trades")
            archive_hour(layout, layout.parse_hour_file(path))
            path.unlink()
    assert [first for first, _, _ in read(tmp_path)] == [1, 3, 4, 5, 6, 7]
    assert coverage(tmp_path).rest_ids == 4


def test_ids_are_in_order_over_the_border_of_an_hour_where_times_are_not(tmp_path: Path) -> None:
    put(tmp_path, [push(1, HOUR_MS - 30), push(3, HOUR_MS - 5), push(2, HOUR_MS + 4), push(4, HOUR_MS + 9)])
    assert [first for first, _, _ in read(tmp_path)] == [1, 2, 3, 4]
    found = coverage(tmp_path)
    assert (found.ids, found.holes) == (4, [])
    assert coverage(tmp_path, HOUR_MS - 29, HOUR_MS + 9).share() == 1


def test_a_part_and_its_whole_on_both_sides_of_a_border_are_one_row_of_one_span(tmp_path: Path) -> None:
    put(tmp_path, [push(2, HOUR_MS - 1, 2), push(4, HOUR_MS, 4, overlap=True)])
    border = HOUR_AT_MS + HOUR_MS
    assert read(tmp_path, (0, border)) == []
    assert read(tmp_path, (border, border + HOUR_MS)) == [(1, 4, "4")]


def test_random_pushes_of_two_feeds_in_any_order_and_files_come_out_id_by_id(tmp_path: Path) -> None:
    for seed in range(20):
        rng = Random(seed)
        root = tmp_path / str(seed)
        pushes, one = [], 0
        while one < 300:
            count = rng.choice((1, 1, 2, 5))
            whole = push(one + count, one * 40_000 + rng.randrange(3), count)
            part = rng.randrange(1, count + 1)
            if rng.random() < 0.3 and part < count:
                pushes.append(push(one + part, whole.ts_ms - HOUR_AT_MS, part))
            pushes += [whole] * rng.choice((1, 1, 1, 2))
            one += count
        for at_ in range(len(pushes) - 5):
            if rng.random() < 0.1:  # came late
                pushes[at_], pushes[at_ + 4] = pushes[at_ + 4], pushes[at_]
        put(root, pushes, packed=bool(seed % 2))
        rows = read(root)
        assert [each for first, last, _ in rows for each in range(first, last + 1)] == list(range(1, one + 1))
        assert sum(int(size or "-1") for _, _, size in rows) == one


@pytest.mark.parametrize("is_noted", [True, False])
@pytest.mark.parametrize("offset_ms", [20_000, HOUR_MS + 20_000])
def test_where_okx_numbers_anew_the_new_ids_follow_the_old_ones(tmp_path: Path, is_noted: bool, offset_ms: int) -> None:
    old = [push(5_000_001, 0), push(5_000_003, 50), push(5_000_002, 40, origin="rest")]
    new = [push(1, offset_ms), push(3, offset_ms + 9), push(2, offset_ms + 4)]
    put(tmp_path, [*old[:2], new[0], old[2], *new[1:]])
    if is_noted:
        journal_of(Layout(tmp_path), started(-1), begun(5_000_001, 0), begun(1, offset_ms, "numbering"))
    assert [first for first, _, _ in read(tmp_path)] == [5_000_001, 5_000_002, 5_000_003, 1, 2, 3]
    found = coverage(tmp_path)
    assert (found.ids, found.holes) == (6, [])
    assert states(found) == [
        (0, 1, "unknown", ""),
        (1, 50, "proved", ""),
        (50, offset_ms + 1, "unknown", "numbering"),
        (offset_ms + 1, offset_ms + 9, "proved", ""),
        (offset_ms + 9, offset_ms + 10, "unknown", ""),
    ]


def test_the_same_ids_of_two_numberings_are_both_given(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(2_000, 10), push(1, 20_000), push(2, 20_010)])
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), hole(2, 1999, 0, 10), begun(1, 20_000, "numbering"))
    assert [first for first, _, _ in read(tmp_path)] == [1, 2_000, 1, 2]
    assert holes(coverage(tmp_path)) == [(2, 1999, "missing", "disconnect")]


def test_a_hole_has_both_ids_its_cause_and_why_nobody_could_fill_it(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(2, 1_000), push(7, 5_000), push(8, 6_000)])
    missing = TradesMissing(at(6_000), INST, 3, 6, 4, at(1_000), at(5_000), "OKX gave other ids")
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), hole(3, 6, 1_000, 5_000), missing)
    found = coverage(tmp_path)
    (only,) = found.holes
    assert (only.first_id, only.last_id, only.size, only.state, only.cause, only.detail) == (
        *(3, 6, 4, "missing", "disconnect", "OKX gave other ids"),
    )
    assert (only.from_ms, only.to_ms) == (HOUR_AT_MS + 1_000, HOUR_AT_MS + 5_000)
    assert states(found) == [
        (0, 1, "unknown", ""),
        (1, 1_000, "proved", ""),
        (1_000, 5_001, "missing", "disconnect"),
        (5_001, 6_000, "proved", ""),
        (6_000, 6_001, "unknown", ""),
    ]


def test_what_was_filled_of_a_hole_is_none(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(5, 5_000), push(2, 1_000, origin="rest"), push(4, 4_000, origin="rest")])
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), hole(2, 4, 0, 5_000))
    found = coverage(tmp_path)
    assert holes(found) == [(3, 3, "missing", "disconnect")]
    assert (found.rest_ids, found.missing_ids) == (2, 1)


def test_ids_that_rest_proved_empty_are_skipped_and_their_time_is_proved(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(5, 5_000)])
    journal_of(
        Layout(tmp_path), started(-1), begun(1, 0), hole(2, 4, 0, 5_000), TradesSkipped(at(5_000), INST, 2, 4, 3)
    )
    found = coverage(tmp_path)
    assert (found.holes, found.skipped_ids) == ([], 3)
    assert coverage(tmp_path, 1, 5_000).share() == 1


def test_ids_whose_lines_the_disk_refused_are_missing_with_that_cause(tmp_path: Path) -> None:
    """Their hole is noted only once the disk takes lines again, or the run ends."""
    put(tmp_path, [push(1, 0), push(5, 5_000)])
    refused = noted.WriteFailed(at(5_000), INST, 1, at(2_000), at(3_000), "full", "trades")
    of_books = noted.WriteFailed(at(5_000), INST, 1, at(2_000), at(3_000), "full")
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), refused)
    assert holes(coverage(tmp_path)) == [(2, 4, "missing", "disk_full")]
    journal_of(Layout(tmp_path / "b"), started(-1), begun(1, 0), of_books)
    put(tmp_path / "b", [push(1, 0), push(5, 5_000)])
    assert holes(coverage(tmp_path / "b")) == [(2, 4, "missing", "no line")]


def test_ids_of_which_nothing_says_why_they_lack_are_missing(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(5, 5_000)])
    journal_of(Layout(tmp_path), started(-1), begun(1, 0))
    assert holes(coverage(tmp_path)) == [(2, 4, "missing", "no line")]


def test_time_without_a_trade_is_quiet_only_where_the_ids_on_both_sides_follow_each_other(tmp_path: Path) -> None:
    """Two hours without a file in both; in the second an id lacks."""
    put(tmp_path, [push(1, 0), push(2, 3 * HOUR_MS)])
    assert coverage(tmp_path, HOUR_MS, 2 * HOUR_MS).is_quiet
    put(tmp_path, [push(1, 0), push(3, 3 * HOUR_MS)])
    found = coverage(tmp_path, HOUR_MS, 2 * HOUR_MS)
    assert not found.is_quiet
    assert holes(found) == [(2, 2, "unknown", "no file")]


def test_nothing_is_proved_before_the_first_trade_and_behind_the_newest(tmp_path: Path) -> None:
    """Nor are the milliseconds of these two: others may have been lost before the one and after the other."""
    put(tmp_path, [push(3, 1_000), push(4, 2_000)])
    journal_of(Layout(tmp_path), started(-1), begun(3, 1_000))
    assert states(coverage(tmp_path, 0, 4_000)) == [
        (0, 1_001, "unknown", ""),
        (1_001, 2_000, "proved", ""),
        (2_000, 4_000, "unknown", ""),
    ]


def test_a_vault_of_one_millisecond_proves_nothing(tmp_path: Path) -> None:
    put(tmp_path, [push(3, 1_000), push(4, 1_000)])
    assert states(coverage(tmp_path)) == [(1_000, 1_001, "unknown", "")]


def test_a_hole_between_trades_of_one_millisecond_makes_it_missing(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(2, 1_000), push(4, 1_000), push(5, 2_000)])
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), hole(3, 3, 1_000, 1_000))
    assert states(coverage(tmp_path, 1, 2_000)) == [
        (1, 1_000, "proved", ""),
        (1_000, 1_001, "missing", "disconnect"),
        (1_001, 2_000, "proved", ""),
    ]


def test_an_hour_that_retention_deleted_is_unknown_and_no_loss(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(9, 2 * HOUR_MS)])
    layout = Layout(tmp_path).of("trades")
    gone = layout.hour_file(INST, HOUR_AT_MS + HOUR_MS).relative_to(tmp_path).as_posix()
    deleted = noted.Retained(at(3 * HOUR_MS), "delete", f"{gone}.gz", "old", 1, 0)
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), hole(3, 4, 10, 20), deleted)
    found = coverage(tmp_path)
    assert holes(found) == [
        (2, 2, "unknown", "retention"),
        (3, 4, "missing", "disconnect"),
        (5, 8, "unknown", "retention"),
    ]
    assert (found.missing_ids, found.unknown_ids) == (2, 5)
    assert "2 missing, 5 unknown, 0 skipped" in repr(found)


def test_what_does_not_read_is_unknown_and_found(tmp_path: Path) -> None:
    (path,) = put(tmp_path, [push(1, 0), push(2, 10), push(3, 20)])
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b'{"timestamp_utc":"x"}\n' + last)
    findings = Findings()
    rows = list(TradeReader(Layout(tmp_path)).rows(INST, ALWAYS, findings.report))
    assert [row.first_id for row in rows] == [1, 3]
    assert len(findings) == 1
    assert holes(coverage(tmp_path)) == [(2, 2, "unknown", "unreadable")]


def test_time_whose_lines_do_not_read_says_so_where_no_ids_prove_it_and_time_without_a_file_says_nothing(
    tmp_path: Path,
) -> None:
    """Of an hour without a file nobody knows whether it had a trade."""
    put(tmp_path, [push(1, 0), push(2, 1_000)])
    (path,) = put(tmp_path, [push(3, HOUR_MS)])
    path.write_bytes(b"rubbish\n")
    assert states(coverage(tmp_path, 0, 3 * HOUR_MS)) == [
        (0, 1, "unknown", ""),
        (1, 1_000, "proved", ""),
        (1_000, HOUR_MS, "unknown", ""),
        (HOUR_MS, 2 * HOUR_MS, "unknown", "unreadable"),
        (2 * HOUR_MS, 3 * HOUR_MS, "unknown", ""),
    ]


def test_a_hole_that_begins_where_a_span_ends_is_none_of_it(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(2, 1_000), push(5, 5_000)])
    assert holes(coverage(tmp_path, 0, 1_000)) == []
    assert holes(coverage(tmp_path, 0, 1_001)) == holes(coverage(tmp_path, 1_000, 6_000)) != []


def test_lines_at_the_end_that_the_journal_noted_and_that_are_gone_are_missing(tmp_path: Path) -> None:
    """As of a file that was cut: nothing behind shows it."""
    put(tmp_path, [push(1, 0), push(2, 10)])
    minute = noted.Minute(at(60_000), trades={INST: TradesOf(4, 4, 1, 4, at(40))})
    journal_of(Layout(tmp_path), started(-1), begun(1, 0), minute)
    found = coverage(tmp_path)
    assert holes(found) == [(3, 4, "missing", "no line")]
    assert found.end_ms == HOUR_AT_MS + 41


def test_a_first_id_that_the_journal_noted_and_that_is_gone_is_missing(tmp_path: Path) -> None:
    put(tmp_path, [push(4, 40)])
    journal_of(Layout(tmp_path), started(-1), begun(1, 0))
    assert holes(coverage(tmp_path)) == [(1, 3, "missing", "no line")]


def test_announced_maintenance_is_the_cause_of_a_hole_from_outside(tmp_path: Path) -> None:
    from l2vault.vault.journal.context_events import MaintenanceNoted

    put(tmp_path, [push(1, 0), push(5, 5_000)])
    planned = MaintenanceNoted(at(-60_000), "upgrade", "scheduled", at(0), at(60_000), "0")
    journal_of(Layout(tmp_path), started(-90_000), planned, begun(1, 0), hole(2, 4, 0, 5_000))
    assert holes(coverage(tmp_path)) == [(2, 4, "missing", "maintenance")]


def test_the_torn_end_of_the_hour_being_written_is_no_finding(tmp_path: Path) -> None:
    put(tmp_path, [push(1, 0), push(2, 10)], tail=b'{"timestamp_utc":"2024')
    assert [first for first, _, _ in read(tmp_path)] == [1, 2]


def test_a_span_has_the_same_rows_as_the_whole_and_its_pieces_add_up(tmp_path: Path) -> None:
    put(tmp_path, [push(one, one * 60_000 + 7) for one in range(1, 200) if one not in (80, 81, 150, 151, 152)])
    lost = hole(80, 81, 79 * 60_000 + 7, 82 * 60_000 + 7)
    journal_of(Layout(tmp_path), started(-1), begun(1, 60_007), lost, TradesSkipped(at(9_180_000), INST, 150, 152, 3))
    whole = read(tmp_path)
    cut = HOUR_AT_MS + HOUR_MS + 1_234_567
    assert read(tmp_path, (0, cut)) + read(tmp_path, (cut, ALWAYS[1])) == whole
    found = coverage(tmp_path)
    pieces = list(found.every(HOUR_MS))
    assert sum(piece.ids for piece in pieces) == found.ids == 194
    assert [piece.missing_ids for piece in pieces] == [0, 2, 0, 0]
    assert [piece.skipped_ids for piece in pieces] == [0, 0, 3, 0]
    assert sum(piece.share("missing") * (piece.end_ms - piece.start_ms) for piece in pieces) == pytest.approx(180_001)
