"""`l2vault repair`: holes are filled, called what they are, noted and taken back; what was recorded stays as it was."""

import json
from pathlib import Path

import pytest

import l2vault
from l2vault import cli
from l2vault.vault.journal.log import read_journal
from l2vault.vault.journal.merge_events import Repaired
from l2vault.vault.reading.sources import JoinedVault, open_sources
from l2vault.vault.store import repairs
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.repairs import RepairedSpans, keep_repairs, repaired_spans
from l2vault.vault.store.spans import joined
from support.archive_world import DAY, INST, MIDNIGHT_MS, ArchiveWorld
from support.fetched import fetched, record

SPAN = MIDNIGHT_MS + 10_000, MIDNIGHT_MS + 960_000
WORDS = ("--from", f"{DAY}T00:00:10Z", "--to", f"{DAY}T00:16Z")


@pytest.fixture
def vault(world: ArchiveWorld, tmp_path: Path) -> Path:
    """Recorded with a hole of a quarter of an hour; the days are fetched, and nothing is made of them."""
    record(Layout(tmp_path / "Vault"), world, 50, has_hole=True)
    fetched(world, tmp_path / "Vault")
    return tmp_path / "Vault"


def repair(vault: Path, *words: str) -> int:
    return cli.main(["repair", INST, "--vault", str(vault), *WORDS, *words])


def recorded(vault: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (vault / "raw").rglob("*") if path.is_file()}


def test_a_hole_is_filled_labelled_journaled_and_undone(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, every = recorded(vault), sorted(vault.rglob("*"))
    own = open_sources(vault).coverage(INST, *SPAN)
    assert repair(vault, "--dry-run") == 1, "nothing is made of the archive yet"
    assert sorted(vault.rglob("*")) == every, "nothing is written, no lock either"
    assert open_sources(vault).coverage(INST, *SPAN) == own
    capsys.readouterr()
    assert repair(vault) == 0
    lacking = sum(hole.slots for hole in own.holes)
    assert f"{lacking} of {lacking} slots in holes are filled" in capsys.readouterr().out and lacking > 400
    coverage = l2vault.open(vault).coverage(INST, start=SPAN[0], end=SPAN[1])
    assert (coverage.count("archive"), coverage.count("recorded")) == (lacking, own.count("recorded"))
    assert not coverage.holes
    assert recorded(vault) == before, "byte for byte"
    assert open_sources(vault, ("recorded",)).coverage(INST, *SPAN) == own
    events = [event for event in read_journal(Layout(vault)) if isinstance(event, Repaired)]
    assert [(event.slots, event.undone) for event in events] == [(lacking, False)]
    assert cli.main(["spread", "--vault", str(vault), *WORDS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["about"]["slots"]["archive"] > 0.8
    assert repair(vault) == 0
    assert len([event for event in read_journal(Layout(vault)) if isinstance(event, Repaired)]) == 1
    assert repair(vault, "--undo") == 0
    assert open_sources(vault).coverage(INST, *SPAN) == own
    assert [event.undone for event in read_journal(Layout(vault)) if isinstance(event, Repaired)] == [False, True]
    assert repair(vault, "--undo") == 1
    assert "nothing of" in capsys.readouterr().err


def test_without_the_files_it_says_which_days_to_fetch(
    world: ArchiveWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(Layout(tmp_path / "Vault"), world, 50, has_hole=True)
    assert repair(tmp_path / "Vault") == 1
    said = capsys.readouterr()
    assert f"l2vault fetch {INST} --from {DAY} --to {DAY}" in said.err and "left: " in said.out


def test_only_what_was_repaired_is_read_from_the_archive(vault: Path) -> None:
    assert repair(vault) == 0
    layout = Layout(vault)
    keep_repairs(layout, INST, [(MIDNIGHT_MS + 100_000, MIDNIGHT_MS + 200_000)])
    opened = open_sources(vault)
    assert isinstance(opened, JoinedVault)
    assert opened.coverage(INST, *SPAN).count("archive") == 50
    depths = [book.depth for book in opened.snapshots(INST, *SPAN)]
    assert 20 <= depths.count(400) <= 51 and depths.count(50) > 10


def test_spans_are_kept_in_order_and_joined(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert repaired_spans(layout, INST) == []
    keep_repairs(layout, INST, [(5_000, 9_000), (1_000, 2_000), (2_000, 3_000)])
    assert repaired_spans(layout, INST) == joined([(1_000, 3_000), (5_000, 9_000)])
    layout.repairs_file(INST).write_text("{")
    assert repaired_spans(layout, INST) == []
    keep_repairs(layout, INST, [])
    assert not layout.repairs_file(INST).exists()


def test_a_file_of_repairs_is_read_again_only_once_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, read, asked = Layout(tmp_path), repairs.read_small, []
    monkeypatch.setattr(repairs, "read_small", lambda path: (asked.append(path), read(path))[1])
    spans = RepairedSpans(layout)
    assert spans.of(INST) == spans.of(INST) == []
    for kept in ([(1_000, 2_000)], [(1_000, 2_000), (5_000, 9_000)], []):
        keep_repairs(layout, INST, kept)
        assert spans.of(INST) == spans.of(INST) == kept
    assert len(asked) == 4
