"""Trades, funding and deep books that were recorded, and those of the archive where none was: by API and verbs."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import l2vault
from l2vault import cli
from l2vault.book.deep import DeepSample
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.book.utc import HOUR_MS, utc_ms
from l2vault.history.books import DayReport
from l2vault.history.funding import keep_funding
from l2vault.history.hours import HourKeeper
from l2vault.history.naming import Wanted
from l2vault.history.trades import TradeDay
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.joined_beside import JoinedContext
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import Layout
from support.exported import csv_rows
from support.fetched import put_row
from support.hours import HOUR_AT_MS, INST, at, journal_of, levels, line, lost, put, started, synced
from support.small_vault import FIRST_ID, LOST, deep_samples, first_id_of, put_deep, small_vault

BOTH = ("recorded", "archive")
AT = "2024-08-21T00:00:00.000Z"
NOON8_MS = utc_ms("2024-08-20T16:00:00.000Z")
"""Where OKX's days of trades and funding are cut."""
Match = tuple[int, int, str]
"""Id, time and side of one trade."""


def keeper(root: Path, kind: str) -> HourKeeper:
    archive = Layout(root).okx_archive
    return HourKeeper(archive, kind, verb_journal(archive, "test", lambda: AT, lambda: 0), lambda: AT)  # type: ignore[arg-type]


def archive_trades(root: Path, day: str, matches: Sequence[Match]) -> None:
    """The file of a day of UTC+8, backfilled."""
    rows = (f"{INST},{one},{side},60000,2,{ts_ms},0".encode() for one, ts_ms, side in matches)
    TradeDay(Wanted("trades", INST, day), keeper(root, "trades"), "sha", DayReport()).read(rows, lambda _: None)


def put_pushes(layout: Layout, pushes: Sequence[TradePush]) -> None:
    for push in pushes:
        path = layout.of("trades").hour_file(INST, push.ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(trade_to_line(push) + b"\n")


def push_of(matches: Sequence[Match]) -> TradePush:
    """One push of trades that follow each other."""
    last, ts_ms, side = matches[-1]
    count = str(len(matches))
    size = str(2 * len(matches))
    return TradePush(INST, str(last), "60000", size, side, str(ts_ms), count, "0", ts_ms, (ts_ms + 20) * 1000, "ws")


def no_finding(finding: Finding) -> None:
    pytest.fail(str(finding))


def ids_of(vault: Path, span: tuple[int, int]) -> list[tuple[int, int, str]]:
    rows = open_sources(vault, BOTH).trades().rows(INST, span, no_finding)
    return [(row.first_id, row.last_id, row.push.origin) for row in rows]


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ten minutes of the examples; in the archive every trade of them, and two minutes before and behind."""
    root = tmp_path_factory.mktemp("beside") / "Vault"
    layout = small_vault(root)
    layout = Layout(root)
    times = {one: push.ts_ms for push in small_pushes(layout) for one in range(push.first_id, push.last_id + 1)}
    lost = first_id_of(LOST)
    times |= {lost + nth: HOUR_AT_MS + LOST * 2_000 + 500 + 500 * nth for nth in range(4)}
    first, last = FIRST_ID, max(times)
    times |= {first - nth: HOUR_AT_MS - nth * 1_000 for nth in range(1, 121)}
    times |= {last + nth: HOUR_AT_MS + 600_000 + nth * 1_000 for nth in range(1, 121)}
    archive_trades(root, "2024-08-20", [(one, times[one], "buy") for one in sorted(times)])
    keep_funding(
        Wanted("funding", INST, "2024-08-20"),
        [f"{INST},0.00012,{HOUR_AT_MS + each}".encode() for each in (0, 4 * HOUR_MS)],
        keeper(root, "context"),
        "sha",
        DayReport(),
    )
    return root


def small_pushes(layout: Layout) -> Iterator[TradePush]:
    for row in open_sources(layout.root, ("recorded",)).trades().rows(INST, (0, 2 * HOUR_AT_MS), no_finding):
        yield row.push


def test_trades_that_were_lost_are_the_archives_and_no_other(vault: Path) -> None:
    recorded = l2vault.open(vault, sources=("recorded",)).trades(INST)
    joined = l2vault.open(vault, sources=BOTH).trades(INST)
    frame, own = joined.frame, recorded.frame
    lost = first_id_of(LOST)
    archived = frame.filter(origin="archive")
    inner = [one for one in archived["first_id"] if FIRST_ID <= one <= own["last_id"].max()]
    assert inner == [lost, lost + 1, lost + 2, lost + 3]
    assert len(archived) == 244 and archived["received"].null_count() == 244
    assert frame.filter(frame["origin"] != "archive").equals(own), "what was recorded is as it was"
    assert frame["first_id"].is_sorted() and ((frame["first_id"] - frame["last_id"].shift(1)).drop_nulls() >= 1).all()
    coverage = joined.coverage
    assert not coverage.holes and coverage.archive_ids == 244 and coverage.rest_ids == recorded.coverage.rest_ids
    assert (coverage.skipped_ids, recorded.coverage.missing_ids) == (2, 4)
    assert coverage.rows == len(frame) and coverage.ids == int((frame["last_id"] - frame["first_id"] + 1).sum())
    assert 0.99 < coverage.known_share <= 1 and coverage.share() < recorded.coverage.share()
    first = l2vault.open(vault, sources=BOTH).trades(INST, start=HOUR_AT_MS + 250_000, end=HOUR_AT_MS + 350_000)
    states = [(each.state, each.cause) for each in first.coverage.stretches]
    assert states == [("proved", ""), ("archive", ""), ("proved", "")] and "of the archive" in repr(first.coverage)
    alone = l2vault.open(vault, sources=("archive",)).trades(INST).coverage
    assert alone.share() == 0 and alone.archive_ids == alone.ids and alone.share("archive") > 0.99


def test_by_default_trades_are_those_that_were_recorded(vault: Path) -> None:
    assert set(l2vault.open(vault).trades(INST).frame["origin"]) == {"ws", "rest"}


def test_a_hole_over_the_cut_of_utc8_is_filled_as_far_as_the_files_reach(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "Vault")
    matches = [(nth, NOON8_MS - 300_000 + nth * 1_000 + 500, "buy") for nth in range(600)]
    pushes = [push_of(matches[at_ : at_ + 2]) for at_ in range(0, 600, 2)]
    put_pushes(layout, [push for push in pushes if not 200 <= push.first_id < 400])
    bounds = "2024-08-20T15:58:20.000Z", "2024-08-20T16:01:41.000Z"
    begun = TradesBegun(bounds[0], INST, 0, "2024-08-20T15:55:00.500Z", "first")
    journal_of(layout, started(0), begun, TradesHole(bounds[1], INST, 200, 399, 200, *bounds, "disconnect"))
    archive_trades(layout.root, "2024-08-20", [each for each in matches if each[1] < NOON8_MS])
    span = NOON8_MS - 240_000, NOON8_MS + 240_000
    coverage = open_sources(layout.root, BOTH).trades().coverage(INST, span)
    assert [(each.first_id, each.last_id, each.cause, each.from_ms) for each in coverage.holes] == [
        (300, 399, "disconnect", NOON8_MS - 500)
    ]
    assert coverage.archive_ids == 100 and coverage.missing_ids == 100
    assert [each.state for each in coverage.stretches] == ["proved", "archive", "missing", "proved"]
    assert coverage.stretches[1].end_ms == NOON8_MS - 500
    archive_trades(layout.root, "2024-08-21", [each for each in matches if each[1] >= NOON8_MS])
    coverage = open_sources(layout.root, BOTH).trades().coverage(INST, span)
    assert not coverage.holes and [each.state for each in coverage.stretches] == ["proved", "archive", "proved"]
    assert (coverage.stretches[1].start_ms, coverage.stretches[1].end_ms) == (NOON8_MS - 100_500, NOON8_MS + 101_501)
    within = open_sources(layout.root, BOTH).trades().coverage(INST, (NOON8_MS - 50_000, NOON8_MS + 50_000))
    assert not within.holes and [each.state for each in within.stretches] == ["archive"]
    assert [one for one, _, origin in ids_of(layout.root, span) if origin == "archive"] == list(range(200, 400))


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_the_law_of_joined_trades(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each id that either has once, recorded ones as they are; and coverage says which neither has."""
    layout = Layout(tmp_path_factory.mktemp("law") / "Vault")
    count = data.draw(st.integers(8, 30))
    gaps = data.draw(st.lists(st.integers(0, 400_000), min_size=count, max_size=count))
    times = [NOON8_MS - 3_000_000 + sum(gaps[: nth + 1]) for nth in range(count)]
    matches = [(100 + nth, ts_ms, "buy") for nth, ts_ms in enumerate(times)]
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
    pushes: list[TradePush] = []
    at_ = 0
    for size in sizes:
        group = [each for each in matches[at_ : at_ + size] if each[1] // HOUR_MS == matches[at_][1] // HOUR_MS]
        at_ += len(group)
        if group and data.draw(st.booleans()):
            pushes.append(push_of(group))
        if at_ >= count:
            break
    put_pushes(layout, pushes)
    kept = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    for day, is_first in (("2024-08-20", True), ("2024-08-21", False)):
        own = [
            each for each, is_kept in zip(matches, kept, strict=True) if is_kept and (each[1] < NOON8_MS) == is_first
        ]
        if own:
            archive_trades(layout.root, day, own)
    if not any(kept):
        return
    recorded = {one for push in pushes for one in range(push.first_id, push.last_id + 1)}
    archived = {one for (one, _, _), is_kept in zip(matches, kept, strict=True) if is_kept}
    span = times[0] - 10_000, times[-1] + 10_000
    found = ids_of(layout.root, span)
    assert [(first, last) for first, last, origin in found if origin == "ws"] == [
        (push.first_id, push.last_id) for push in pushes
    ]
    assert [first for first, _, origin in found if origin == "archive"] == sorted(archived - recorded)
    assert [first for first, _, _ in found] == sorted(first for first, _, _ in found)
    coverage = open_sources(layout.root, BOTH).trades().coverage(INST, span)
    assert coverage.ids == len(recorded | archived) and coverage.archive_ids == len(archived - recorded)
    either = recorded | archived
    lacking = set(range(min(either), max(either))) - either
    holes = {one for hole in coverage.holes for one in range(hole.first_id, hole.last_id + 1)}
    assert holes <= lacking, "no hole names an id that is there"
    inner = {one for one in lacking if not recorded or min(recorded) < one < max(recorded)}
    assert inner <= holes
    own = open_sources(layout.root, ("recorded",)).trades().coverage(INST, span) if recorded else None
    assert own is None or coverage.share() == own.share()
    for each in coverage.stretches:
        for one, ts_ms, _ in matches:
            is_inside = each.start_ms <= ts_ms < each.end_ms and each.state in ("proved", "archive")
            assert not (is_inside and one in lacking), "no time is proved in which a trade lacks"


def test_ids_begun_anew_are_no_ids_of_the_numbering_before(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "Vault")
    begin_ms = NOON8_MS - 3_600_000
    old = [(5_000_000 + nth, begin_ms + nth * 1_000, "buy") for nth in range(10)]
    new = [(1 + nth, begin_ms + 600_000 + nth * 1_000, "buy") for nth in range(10)]
    old = [(one, ts_ms - HOUR_MS, side) for one, ts_ms, side in old]
    archive_trades(layout.root, "2024-08-20", [*old, *new])
    put_pushes(layout, [push_of(old[:4]), push_of(old[7:]), push_of(new[5:8])])
    journal_of(
        layout,
        started(0),
        TradesBegun(AT, INST, 5_000_000, "2024-08-20T14:00:00.000Z", "first"),
        TradesBegun(AT, INST, 6, "2024-08-20T15:10:05.000Z", "numbering"),
    )
    span = begin_ms - HOUR_MS - 10_000, begin_ms + 700_000
    archived = [(first, last) for first, last, origin in ids_of(layout.root, span) if origin == "archive"]
    assert archived == [(5_000_000 + nth,) * 2 for nth in (4, 5, 6)] + [(nth,) * 2 for nth in (1, 2, 3, 4, 5, 9, 10)]
    coverage = open_sources(layout.root, BOTH).trades().coverage(INST, span)
    assert coverage.ids == 20 and coverage.archive_ids == 10 and not coverage.holes


def test_deep_books_of_the_archive_stand_where_none_was_sampled(tmp_path: Path) -> None:
    root = tmp_path / "Vault"
    small_vault(root)
    for path in Layout(root).of("deep").raw.rglob("*.gz"):
        path.unlink()
    samples = list(deep_samples())
    put_deep(Layout(root), samples, missed=range(5, 12))
    shifted = [DeepSample(INST, each.ts_ms + 7_000, each.bids, each.asks, None, 0) for each in samples]
    put_deep(Layout(root).okx_archive, shifted)
    vault = l2vault.open(root, sources=BOTH)
    span = {"start": HOUR_AT_MS, "end": HOUR_AT_MS + 600_000}
    deep = vault.deep(INST, **span)
    found = [((each.ts_ms - HOUR_AT_MS) // 1_000, each.origin) for each in deep]
    # The last sample before the hole, of 130 s, stands up to 175 s; the first one behind it is of 370 s.
    recorded = [(second, "recorded") for second in (*range(10, 131, 30), *range(370, 600, 30))]
    assert found == sorted([(second, "archive") for second in range(167, 370, 30)] + recorded)
    coverage = deep.coverage
    assert [(each.start_ms - HOUR_AT_MS, each.end_ms - HOUR_AT_MS, each.state) for each in coverage.stretches][1:4] == [
        (10_000, 175_000, "proved"),
        (175_000, 370_000, "archive"),
        (370_000, 600_000, "proved"),
    ]
    assert coverage.archive_samples == 7 and coverage.samples == len(found)
    assert [deep.at(HOUR_AT_MS + second * 1_000).origin for second in (166, 174, 176, 369, 370)] == [
        *("recorded", "recorded", "archive", "archive", "recorded")
    ]
    assert set(deep.frame.filter(deep.frame["origin"] == "archive")["time"].dt.epoch("ms")) == {
        HOUR_AT_MS + second * 1_000 for second, origin in found if origin == "archive"
    }
    thinned = open_sources(root, BOTH).deep().samples(INST, (span["start"], span["end"]), no_finding, 60_000)
    times = [each.ts_ms for each in thinned]
    assert all(two - one >= 60_000 for one, two in zip(times, times[1:], strict=False)) and len(times) >= 8


def test_bands_beyond_the_levels_seen_say_that_the_archive_filled_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "Vault")
    sides = levels("99.9 10 1", "99.5 5 1"), levels("100.1 4 1", "100.5 6 1")
    put(layout, [line(offset_ms, *sides, depth=2) for offset_ms in (10_000, 30_000)])
    put_row(layout)
    journal_of(layout, started(0), synced(8_000), lost(60_000))
    bids, asks = [("99.9", "10", "1"), ("95", "2", "1")], [("100.1", "4", "1"), ("104", "8", "2")]
    put_deep(layout.okx_archive, [DeepSample(INST, HOUR_AT_MS + 5_000, bids, asks, None, 0)])
    words = ["depth", INST, "--vault", str(layout.root), "--from", at(10_000), "--to", at(40_000)]
    assert cli.main([*words, "--sources", "recorded,archive"]) == 0
    assert "from books-full in 2 of 2 books (2 of them from OKX's archive)" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "books-full" not in capsys.readouterr().out


def test_funding_of_the_archive_stands_where_the_recorded_one_is_not_current(vault: Path) -> None:
    root = vault
    joined = l2vault.open(root, sources=BOTH).context(INST, start=HOUR_AT_MS, end=HOUR_AT_MS + 5 * HOUR_MS)
    frame = joined.frame
    archived = frame.filter(origin="archive")
    assert archived.select("funding_rate", "mark").rows() == [(0.00012, None)]
    assert archived["time"].dt.epoch("ms").to_list() == [HOUR_AT_MS + 4 * HOUR_MS], "that of 03:00 was recorded"
    own = l2vault.open(root, sources=("recorded",)).context(INST)
    assert frame.filter(origin="recorded").height == own.frame.height and set(own.frame["origin"]) == {"recorded"}
    coverage = joined.coverage
    assert coverage.share("funding", "archive") > 0.19 and coverage.share("mark", "archive") == 0
    assert coverage.share("funding") == own.coverage.share("funding") or coverage.share("funding") > 0


def test_the_verbs_take_sources_for_all_kinds(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert cli.main([*words, "--vault", str(vault), "--sources", "recorded,archive"]) == 0
        return capsys.readouterr().out

    rows = json.loads(said("coverage", "--kind", "trades", "--json"))
    assert rows["archive_ids"] == 244 and rows["archive_share"] > 0.2 and not rows["holes"]
    assert "of archive" in said("coverage", "--kind", "trades")
    assert " archive" in said("coverage", "--kind", "context").splitlines()[0]
    assert "proved" in said("coverage", "--kind", "deep")
    tape = said("show", INST, "--kind", "trades", "--at", str(HOUR_AT_MS + 301_000), "--last", "2s")
    assert tape.count(" of the archive") == 2 and "missing" not in tape
    assert "funding" in said("show", INST, "--kind", "context", "--at", str(HOUR_AT_MS + 4 * HOUR_MS + 5_000))
    span = "--from", str(HOUR_AT_MS + 240_000), "--to", str(HOUR_AT_MS + 360_000)
    flow = said("flow", INST, *span)
    assert "by OKX's archive" in flow and "proved for 100.00 % of the span, 2.50 % by" in flow
    assert cli.main(["flow", INST, *span, "--vault", str(vault)]) == 0
    assert "archive" not in capsys.readouterr().out


def test_sql_has_what_the_sources_give(vault: Path) -> None:
    with l2vault.open(vault, sources=BOTH).duckdb(INST, start=HOUR_AT_MS, end=HOUR_AT_MS + 599_000) as sql:
        assert sql.sql("SELECT count(*) FROM trades WHERE origin = 'archive'").fetchall() == [(4,)]
        assert sql.sql("SELECT count(*) FROM trade_holes").fetchall() == [(0,)]


def test_what_a_vault_has_of_the_archive_itself_comes_once_too(tmp_path: Path) -> None:
    """As one into which the archive's vault was merged."""
    layout = Layout(tmp_path / "Vault")
    matches = [(nth, NOON8_MS - 60_000 + nth * 1_000, "buy") for nth in range(20)]
    archive_trades(layout.root, "2024-08-20", matches)
    own = [msgspec.structs.replace(push_of([each]), origin="archive") for each in matches if each[0] not in (7, 8)]
    put_pushes(layout, own)
    assert [first for first, _, _ in ids_of(layout.root, (NOON8_MS - HOUR_MS, NOON8_MS))] == list(range(20))
    assert open_sources(layout.root, BOTH).trades().coverage(INST, (NOON8_MS - HOUR_MS, NOON8_MS)).archive_ids == 2


def test_at_the_edge_of_a_span_an_id_that_was_recorded_is_not_the_archives(tmp_path: Path) -> None:
    """A push has one time, and the archive another one for the first of its trades."""
    layout = Layout(tmp_path / "Vault")
    begin_ms = NOON8_MS - 1_800_000
    put_pushes(
        layout, [push_of([(8, 0, "buy"), (9, begin_ms, "buy")]), push_of([(10, 0, "buy"), (11, begin_ms + 9, "buy")])]
    )
    archived = [(8, begin_ms), (9, begin_ms + 3), (10, begin_ms + 4), (11, begin_ms + 9)]
    archive_trades(layout.root, "2024-08-20", [(one, ts_ms, "buy") for one, ts_ms in archived])
    for span in ((begin_ms + 2, begin_ms + 20), (begin_ms - 5, begin_ms + 6), (begin_ms + 2, begin_ms + 6)):
        assert all(origin == "ws" for _, _, origin in ids_of(layout.root, span))
        assert open_sources(layout.root, BOTH).trades().coverage(INST, span).archive_ids == 0


def test_before_the_first_recorded_id_the_archive_stands_in_from_id_0_on(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "Vault")
    matches = [(nth, NOON8_MS - 60_000 + nth * 1_000, "buy") for nth in range(10)]
    archive_trades(layout.root, "2024-08-20", matches)
    put_pushes(layout, [push_of(matches[5:])])
    coverage = open_sources(layout.root, BOTH).trades().coverage(INST, (NOON8_MS - HOUR_MS, NOON8_MS))
    assert (coverage.ids, coverage.archive_ids, coverage.holes) == (10, 5, [])
    assert coverage.runs[0].first_id == 0


def test_a_recorded_funding_rate_that_is_current_stands_though_the_archive_has_a_newer_one(
    vault: Path, tmp_path: Path
) -> None:
    newer = [f"{INST},0.00077,{HOUR_AT_MS + 301_500}".encode()]
    keep_funding(Wanted("funding", INST, "2024-08-20"), newer, keeper(tmp_path, "context"), "sha", DayReport())
    archive = ContextReader(Layout(tmp_path).okx_archive, "archive")
    own, asked_ms = ContextReader(Layout(vault)), HOUR_AT_MS + 301_900
    assert archive.at(INST, asked_ms).context.funding.ts_ms > own.at(INST, asked_ms).context.funding.ts_ms
    assert JoinedContext(Layout(vault), archive).at(INST, asked_ms) == own.at(INST, asked_ms)


def test_an_export_counts_the_trades_that_are_the_archives(
    vault: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = "--from", at(280_000), "--to", at(320_000)
    for name, words, count in (("both", ("--sources", "recorded,archive"), 4), ("own", (), 0)):
        assert (
            cli.main(["export", "csv", INST, "--vault", str(vault), *span, "--out", str(tmp_path / name), *words]) == 0
        )
        label = json.loads((tmp_path / name / "coverage.json").read_text(encoding="utf-8"))
        assert label["trades"]["archive_rows"] == count and bool(label["trades"]["holes"]) == (count == 0)
        assert (f", {count} of them of OKX's archive" in capsys.readouterr().out) == (count > 0)
        assert label["days"][0]["trades_proved_share"] == 1.0 or not count
        (path,) = (tmp_path / name).glob("*_trades_*")
        origins = [row["origin"] for row in csv_rows(path)]
        assert origins.count("archive") == count and origins.count("recorded") == len(origins) - count > 0
