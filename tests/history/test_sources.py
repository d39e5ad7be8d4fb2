"""Recorded books first, those of the archive in their holes: as lines, as levels, as measures, and in coverage."""

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import l2vault
from l2vault import cli
from l2vault.errors import UsageError, VaultError
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.coverage.filled import filled
from l2vault.vault.coverage.model import Coverage, Hole, Stretch
from l2vault.vault.reading.joined_levels import JoinedLevels
from l2vault.vault.reading.level_table import Levels
from l2vault.vault.reading.sources import JoinedVault, open_sources
from l2vault.vault.store.catalog import Finding, Findings
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.spans import holds, intersection, meets, outside
from support.archive_world import BEGIN_MS, DAY, END_MS, INST, MIDNIGHT_MS, ArchiveWorld
from support.fetched import record

BOTH = ("recorded", "archive")
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="a link there needs a privilege")
RECORDED_DEPTH, ARCHIVE_DEPTH = 50, 400
"""By which the source of a book is told."""


@pytest.fixture(scope="module")
def vault(world: ArchiveWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded two minutes before midnight and from a quarter past on; all of it in the archive."""
    root = tmp_path_factory.mktemp("both") / "Vault"
    record(Layout(root), world, RECORDED_DEPTH, has_hole=True)
    record(Layout(root).okx_archive, world, ARCHIVE_DEPTH, has_hole=False)
    return root


def test_each_slot_has_its_book_once_and_the_recorded_one_first(world: ArchiveWorld, vault: Path) -> None:
    joined = open_sources(vault, BOTH)
    books = list(joined.snapshots(INST, BEGIN_MS, END_MS))
    due = [each.truth.ts_ms for each in world.due(2_000)]
    assert [book.ts_ms for book in books] == due
    holes = open_sources(vault).coverage(INST, BEGIN_MS + 2_000, END_MS - 8_000).holes
    begin_ms, end_ms = holes[0].start_ms, holes[-1].end_ms
    assert MIDNIGHT_MS - 4_000 <= begin_ms <= MIDNIGHT_MS and end_ms > MIDNIGHT_MS + 890_000
    depths = [book.depth for book in books if not -4_000 < book.ts_ms - begin_ms < 4_000]
    assert depths == [
        RECORDED_DEPTH if ts_ms < begin_ms or ts_ms >= end_ms else ARCHIVE_DEPTH
        for ts_ms in due
        if not -4_000 < ts_ms - begin_ms < 4_000
    ]
    coverage = joined.coverage(INST, BEGIN_MS + 2_000, END_MS - 8_000)
    own = open_sources(vault).coverage(INST, BEGIN_MS + 2_000, END_MS - 8_000)
    assert coverage.count("recorded") == own.count("recorded") and coverage.count("quiet") == own.count("quiet")
    assert coverage.count("archive") == own.slots - own.count("recorded") - own.count("quiet") > 400
    assert not coverage.holes and coverage.covered_share == 1.0
    found = joined.book_at(INST, MIDNIGHT_MS + 300_000)
    assert found is not None and (found.state, found.snapshot.depth) == ("archive", ARCHIVE_DEPTH)
    found = joined.book_at(INST, END_MS - 20_000)
    assert found is not None and found.state in ("recorded", "quiet") and found.snapshot.depth == RECORDED_DEPTH


def test_the_books_of_a_measure_follow_each_other_without_a_gap_or_an_overlap(vault: Path) -> None:
    span = MIDNIGHT_MS - 60_000, END_MS - 10_000
    levels = open_sources(vault, BOTH).levels(INST, *span)
    books = pl.concat([pl.DataFrame(part.books) for part in levels.parts()])
    assert (books["t_from"][1:] == books["t_to"][:-1]).all(), "each ends where the next begins"
    assert (books["t_from"][0], books["t_to"][-1]) == span
    assert set(books["depth"].unique()) == {RECORDED_DEPTH, ARCHIVE_DEPTH}
    opened = l2vault.open(vault, sources=BOTH).books(INST, start=span[0], end=span[1])
    alone = l2vault.open(vault, sources=("archive",)).books(INST, start=span[0], end=span[1])
    steps = [each.spread(step="1m").frame.select("t_from", "bid", "ask", "covered_share") for each in (opened, alone)]
    assert steps[0]["t_from"].equals(steps[1]["t_from"]) and len(steps[0]) > 15
    for name in ("bid", "ask", "covered_share"):
        assert (steps[0][name] - steps[1][name]).abs().max() < 1e-6
    assert opened.coverage.count("archive") > 400
    assert alone.coverage.count("archive") == alone.coverage.slots, "none of it was recorded here"


def test_the_verbs_take_sources(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--vault", str(vault), "--from", f"{DAY}T00:05Z", "--to", f"{DAY}T00:16Z"]
    assert cli.main(["spread", *words, "--sources", "recorded,archive", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)["about"]
    assert about["covered_share"] == 1.0 and about["slots"]["archive"] > 0.8
    assert cli.main(["coverage", *words, "--sources", "archive,recorded"]) == 0
    assert "archive" in capsys.readouterr().out
    assert cli.main(["coverage", *words, "--sources", "dreams"]) == 2


@pytest.mark.parametrize("is_link", [False, pytest.param(True, marks=on_posix)])
def test_a_book_of_the_archives_own_vault_is_never_called_recorded(
    vault: Path, tmp_path: Path, is_link: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = vault / "okx_archive"
    if is_link:
        elsewhere = shutil.copytree(root, tmp_path / "big" / "okx")
        root = tmp_path / "okx_archive"
        root.symlink_to(elsewhere)
    assert cli.main(["show", "--vault", str(root), "--at", f"{DAY}T00:10Z", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "archive"
    assert open_sources(root, ("recorded",)).coverage(INST, MIDNIGHT_MS, END_MS - 10_000).count("recorded") == 0


def test_what_is_no_source_and_an_archive_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "raw" / "okx").mkdir(parents=True)
    with pytest.raises(VaultError, match="l2vault fetch, then l2vault backfill"):
        open_sources(tmp_path, BOTH)
    with pytest.raises(UsageError, match="no source"):
        open_sources(tmp_path, ())


def test_only_holes_are_filled_and_what_is_left_of_one_keeps_its_cause() -> None:
    own = Coverage(
        INST,
        0,
        100,
        [Stretch(0, 20, 10, "recorded", ""), Stretch(30, 80, 10, "missing", "chain"), Stretch(90, 90, 10, "quiet", "")],
        [Hole(25, 90, "missing", "chain", 6)],
    )
    other = Coverage(INST, 0, 100, [], [Hole(0, 35, "unknown", "", 4), Hole(60, 70, "missing", "silence", 1)])
    found = filled(own, other)
    assert [(each.first_ms, each.last_ms, each.state) for each in found.stretches] == [
        *((0, 20, "recorded"), (30, 30, "missing"), (40, 50, "archive"), (60, 60, "missing")),
        *((70, 80, "archive"), (90, 90, "quiet")),
    ]
    assert [(each.start_ms, each.end_ms, each.cause, each.slots) for each in found.holes] == [
        (25, 35, "chain", 1),
        (60, 70, "chain", 1),
    ]
    assert filled(own, other, [(70, 100)]).count("archive") == 2 and filled(own, other, []) == own
    assert intersection([(0, 5), (6, 9)], [(3, 7), (8, 20)]) == [(3, 5), (6, 7), (8, 9)]
    assert list(outside([(3, 4), (8, 20)], 0, 10)) == [(0, 3), (4, 8)]
    assert [holds([(3, 5), (8, 9)], ms) for ms in (2, 3, 4, 5, 8, 9)] == [False, True, True, False, True, False]
    assert [meets([(3, 5), (8, 9)], *span) for span in ((0, 3), (0, 4), (5, 8), (4, 6), (0, 20))] == [
        *(False, True, False, True, True)
    ]


def test_what_is_wrong_with_a_file_of_the_archive_is_found_by_who_reads_both(vault: Path, tmp_path: Path) -> None:
    root = tmp_path / "Vault"
    shutil.copytree(vault, root)
    path = next(Layout(root).okx_archive.raw.rglob(f"*{INST}*/**/00.jsonl*"))
    read = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    damaged = read + b"no line\n"
    path.write_bytes(gzip.compress(damaged) if path.suffix == ".gz" else damaged)
    joined, span = open_sources(root, BOTH), (MIDNIGHT_MS, MIDNIGHT_MS + 60_000)
    snapshots = joined.snapshots(INST, *span)
    list(snapshots)
    assert [finding.path for finding in snapshots.findings] == [path]


def test_what_either_table_finds_the_joined_one_tells_once_for_each_time_it_is_read() -> None:
    def table(name: str) -> Levels:
        def hours(findings: Findings) -> Iterator[Hour]:
            findings.report(Finding(Path(name), 0, "damaged"))
            return iter(())

        return Levels(INST, (0, 1_000), hours, lambda: Coverage(INST, 0, 1_000, [], []))

    own, other = table("own"), table("other")
    levels = JoinedLevels(own, other, lambda: own.coverage)
    for read_all in (levels.tables, levels.parts, levels.parts):
        list(read_all())
        assert [finding.path.name for finding in levels.findings] == ["own", "other"]


def test_where_the_archive_stands_in_no_recorded_book_stands_beside_it(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = open_sources(vault, BOTH)
    assert isinstance(joined, JoinedVault)
    span = END_MS - 60_000, END_MS - 20_000
    disputed = [(END_MS - 50_000, END_MS - 40_000)]
    monkeypatch.setattr(joined, "_find_given", lambda inst_id, span: disputed)
    books = list(joined.snapshots(INST, *span))
    due = [each.truth.ts_ms for each in world.due(2_000) if span[0] <= each.truth.ts_ms < span[1]]
    assert [book.ts_ms for book in books] == due, "each once"
    archived = [book.ts_ms for book in books if book.depth == ARCHIVE_DEPTH]
    assert archived == [ts_ms for ts_ms in due if disputed[0][0] - 2_000 < ts_ms <= disputed[0][1] - 2_000]


def test_nothing_is_kept_of_each_moment_that_was_asked_for(vault: Path) -> None:
    joined = open_sources(vault, BOTH)
    assert isinstance(joined, JoinedVault)
    found = [joined.book_at(INST, MIDNIGHT_MS + at_ms) for at_ms in (300_000, 310_000)]
    assert [each and each.state for each in found] == ["archive", "archive"]
    assert not joined._spans_given
