"""Exports of a vault of which a part is OKX's archive: the books of each time, parted where the sources change."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import polars as pl
import pytest

from l2vault import cli
from l2vault.book.utc import utc_ms, utc_text
from l2vault.exports.events import BookEvent, Piece, Shown
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.repairs import keep_repairs
from support.archive_world import END_MS, INST, MIDNIGHT_MS, ArchiveWorld
from support.exported import Rebuilt, csv_rows
from support.fetched import record

BOTH = "recorded,archive"
BEFORE, AFTER = (MIDNIGHT_MS - 8_000, MIDNIGHT_MS + 8_000), (MIDNIGHT_MS + 892_000, MIDNIGHT_MS + 908_000)
"""About the begin and the end of the hole."""


@pytest.fixture(scope="module")
def vault(world: ArchiveWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parted") / "Vault"
    record(Layout(root), world, 50, has_hole=True)
    record(Layout(root).okx_archive, world, 60, has_hole=False)
    return root


def export(vault: Path, form: str, span: tuple[int, int], out: Path, *words: str) -> dict[str, object]:
    bounds = "--from", utc_text(span[0]), "--to", utc_text(span[1])
    assert cli.main(["export", form, INST, "--vault", str(vault), *bounds, "--out", str(out), *words]) == 0
    found: dict[str, object] = json.loads((out / "coverage.json").read_text(encoding="utf-8"))
    return found


def plain(folder: Path) -> tuple[list[tuple[int, str, int | None, float, float]], list[tuple[int, str]]]:
    """The rows for `Rebuilt`, and time and kind of each event."""
    rows: list[tuple[int, str, int | None, float, float]] = []
    events: list[tuple[int, str]] = []
    before: tuple[str, str] | None = None
    for path in sorted(folder.glob("*book*")):
        for row in csv_rows(path):
            ts_ms = utc_ms(row["time"])
            if (row["time"], row["event"]) != before or row["event"] == "clear":
                events.append((ts_ms, row["event"]))
                if row["event"] != "update":
                    rows.append((ts_ms, "clear", None, 0.0, 0.0))
            before = row["time"], row["event"]
            if row["side"]:
                rows.append((ts_ms, "level", ("bid", "ask").index(row["side"]), float(row["price"]), float(row["qty"])))
    return rows, events


def tardis(folder: Path) -> list[tuple[int, str, int | None, float, float]]:
    found: list[tuple[int, str, int | None, float, float]] = []
    was_snapshot = False
    for path in sorted(folder.glob("*book*")):
        for row in csv_rows(path):
            ts_ms, is_snapshot = int(row["timestamp"]) // 1000, row["is_snapshot"] == "true"
            if is_snapshot and not was_snapshot:
                found.append((ts_ms, "clear", None, 0.0, 0.0))
            was_snapshot = is_snapshot
            side = ("bid", "ask").index(row["side"])
            found.append((ts_ms, "level", side, float(row["price"]), float(row["amount"])))
    return found


def is_the_vaults(vault: Path, rebuilt: Rebuilt, span: tuple[int, int]) -> None:
    """At random times and about each whole slot."""
    joined, rng = open_sources(vault, ("recorded", "archive")), Random(1)
    times = [rng.randrange(*span) for _ in range(6)]
    times += [edge + step for edge in range(span[0], span[1], 2_000) for step in (0, 1)]
    depths = set()
    for t_ms in times:
        found = joined.book_at(INST, t_ms)
        assert found is not None and found.state in ("recorded", "quiet", "archive")
        depths.add((found.state == "archive", found.snapshot.depth))
        sides = (found.snapshot.bids, found.snapshot.asks)
        assert rebuilt.at(t_ms) == tuple({float(each[0]): float(each[1]) for each in side} for side in sides), t_ms
    assert depths == {(False, 50), (True, 60)}


def test_an_export_with_both_sources_has_the_vaults_book_at_any_time(vault: Path, tmp_path: Path) -> None:
    for name, span in (("before", BEFORE), ("after", AFTER)):
        label = export(vault, "csv", span, tmp_path / name, "--sources", BOTH)
        rows, events = plain(tmp_path / name)
        is_the_vaults(vault, Rebuilt(rows), span)
        books = label["books"]
        assert isinstance(books, dict) and not books["holes"] and 0.2 < books["archive_share"] < 0.8
        ((begin, end),) = books["archived"]
        border_ms = utc_ms(begin if name == "before" else end)
        at_ = events.index((border_ms, "clear"))
        assert events[at_ + 1] == (border_ms, "full"), "a change of source is a clear and a full book"
        assert label["sources"] == ["recorded", "archive"] and "archived" in str(label["notes"])
    export(vault, "tardis-csv", BEFORE, tmp_path / "tardis", "--sources", BOTH)
    is_the_vaults(vault, Rebuilt(tardis(tmp_path / "tardis")), BEFORE)


def test_by_default_an_export_has_holes_and_what_repair_filled(
    vault: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    books = export(vault, "csv", BEFORE, tmp_path / "without")["books"]
    assert isinstance(books, dict) and books["archive_share"] == 0 and len(books["holes"]) >= 1
    layout = Layout(vault)
    try:
        keep_repairs(layout, INST, [(MIDNIGHT_MS, MIDNIGHT_MS + 6_000)])
        label = export(vault, "csv", BEFORE, tmp_path / "repaired")
        assert "of OKX's archive, which stands in" in capsys.readouterr().out
        books = label["books"]
        assert isinstance(books, dict) and label["sources"] == ["recorded", "repaired"]
        assert [utc_ms(each) for each in books["archived"][-1]][1] == MIDNIGHT_MS + 6_000
        assert books["holes"][-1]["t_from"] == utc_text(MIDNIGHT_MS + 6_000)
        alone = export(vault, "csv", BEFORE, tmp_path / "alone", "--sources", "recorded")["books"]
        assert isinstance(alone, dict) and alone["archive_share"] == 0
    finally:
        keep_repairs(layout, INST, [])
    label = export(vault, "csv", BEFORE, tmp_path / "archive", "--sources", "archive")
    books = label["books"]
    assert isinstance(books, dict) and books["archive_share"] > 0.99 and books["sampled_share"] == 0
    late = export(vault, "csv", (END_MS - 10_000, END_MS + 10_000), tmp_path / "late", "--sources", "archive")["books"]
    assert isinstance(late, dict) and 0.3 < late["archive_share"] < 0.7 and late["holes"], "its own end is a hole"


@pytest.mark.parametrize(
    ("words", "known"),
    [((), {"recorded"}), (("--sources", BOTH), {"recorded", "archive"}), (("--sources", "archive"), {"archive"})],
)
def test_each_row_says_of_which_source_it_is(
    vault: Path, tmp_path: Path, words: tuple[str, ...], known: set[str]
) -> None:
    for form in ("csv", "parquet"):
        label = export(vault, form, BEFORE, tmp_path / form, *words)
    books = label["books"]
    assert isinstance(books, dict)
    archived = [tuple(map(utc_ms, span)) for span in books["archived"]]
    rows = [row for path in sorted((tmp_path / "csv").glob("*_book_*")) for row in csv_rows(path)]
    assert list(rows[0])[-2:] == ["orders", "origin"]
    for row in rows:
        is_archived = any(start <= utc_ms(row["time"]) < end for start, end in archived)
        assert row["origin"] == ("" if row["event"] == "clear" else "archive" if is_archived else "recorded")
    assert {row["origin"] for row in rows} - {""} == known
    frame = pl.concat(map(pl.read_parquet, sorted((tmp_path / "parquet").glob("*_book_*"))))
    assert frame.columns[-1] == "origin" and frame["origin"].cast(pl.String).fill_null("").to_list() == [
        row["origin"] for row in rows
    ]


def test_the_archives_own_vault_is_never_called_recorded(vault: Path, tmp_path: Path) -> None:
    label = export(vault / "okx_archive", "csv", BEFORE, tmp_path / "out")
    books = label["books"]
    assert label["sources"] == ["archive"] and isinstance(books, dict) and books["archive_share"] > 0.99
    assert {row["origin"] for path in (tmp_path / "out").glob("*_book_*") for row in csv_rows(path)} == {"archive"}
    archive = open_sources(vault / "okx_archive")
    assert archive.coverage(INST, *BEFORE).count("archive") > 0 == archive.coverage(INST, *BEFORE).count("recorded")


def test_recorded_changes_and_the_archive_are_parted_too() -> None:
    def piece(source: str, from_ms: int, to_ms: int, price: str) -> Piece:
        levels: Callable[[], object] = lambda: ([(price, "1", "0", "1")], [("200", "1", "0", "1")])  # noqa: E731
        return Piece(source, from_ms, to_ms, 0, None, None, levels)  # type: ignore[arg-type]

    shown = Shown((0, 100), {"changes": [], "lines": []})
    pieces = [piece("changes", 0, 40, "1"), piece("archive", 40, 50, "2"), piece("archive", 50, 70, "3")]
    events: list[BookEvent] = list(shown.events([*pieces, piece("lines", 70, 100, "4")]))
    assert [(each.ts_ms, each.kind) for each in events] == [
        *((0, "full"), (40, "clear"), (40, "full"), (50, "full"), (70, "clear"), (70, "full"))
    ]
    assert shown.archived == [(40, 70)] and not shown.holes
    assert shown.shown_ms == {"changes": 40, "lines": 30, "archive": 30}
