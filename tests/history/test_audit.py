"""Recorded books against the archive's: each class of verdict, the archive against itself, and no witness."""

import json
from pathlib import Path

import msgspec
import pytest

from l2vault import cli
from l2vault.book.change import BookChange, Level
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.errors import LineError
from l2vault.history.audit import Auditor
from l2vault.vault.store.layout import Layout
from support.archive_world import DAY, INST, MIDNIGHT_MS, ArchiveWorld
from support.fetched import fetched, put_row

T = MIDNIGHT_MS + 10_000


def levels(*texts: str) -> list[Level]:
    return [(price, size, "0", "1") for price, size in (text.split() for text in texts)]


def line(ts_ms: int, *bids: str, whole: bool = False) -> BookChange:
    asks = levels("101 1") if whole else []
    return BookChange(INST, whole, levels(*bids), asks, ts_ms, None, None, None)


def book(ts_ms: int, *bids: str) -> Snapshot:
    return Snapshot(INST, ts_ms, 400, levels(*bids), levels("101 1"), 0, 7, 6)


def verdicts(lines: list[BookChange], *books: Snapshot) -> tuple[list[str], Auditor]:
    auditor = Auditor()
    audit = auditor.run(lines, books)
    return [name for hour in audit.hours.values() for name, count in hour.counts.items() for _ in range(count)], auditor


WHOLE = line(T - 5_000, "100 1", "99 1", whole=True)
STEPS = [line(T - 60, "100 2"), line(T - 30, "99 2"), line(T + 40, "100 3")]
NEXT = line(T + 5_000, "100 3", "99 2", whole=True)


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (book(T, "100 2.0", "99 2"), "exact"),
        (book(T, "100 2", "99 1"), "window"),
        (book(T, "100 3", "99 2"), "window"),
        (book(T, "100 1", "99 1"), "window"),
        (book(T, "100 1", "99 2"), "batching"),
        (book(T, "100 4", "99 2"), "ours"),
        (book(T, "100 2"), "ours"),
        (book(T, "100 2", "99 2", "98 1"), "ours"),
        (book(T + 200, "100 2", "99 2"), "ours"),
        (book(T - 9_000, "100 2", "99 2"), "no witness"),
        (book(T - 5_000, "100 1", "99 1"), "exact"),
        (book(T + 5_100, "100 9", "99 2"), "no witness"),
        (book(T + 5_000 + 61_000, "100 3", "99 2"), "no witness"),
    ],
)
def test_a_book_is_looked_for_among_the_states_of_its_100_ms(own: Snapshot, verdict: str) -> None:
    assert verdicts([WHOLE, *STEPS, NEXT], own)[0] == [verdict]


def test_a_stretch_that_does_not_rebuild_makes_a_disagreement_theirs() -> None:
    broken = line(T + 5_000, "100 3", "99 7", whole=True)
    found, auditor = verdicts([WHOLE, *STEPS, broken], book(T, "100 4", "99 2"))
    assert found == ["theirs"] and (auditor.audit.whole, auditor.audit.rebuilt) == (1, 0)
    (each,) = auditor.audit.disagreements
    assert (each.side, each.price, each.ours, each.theirs, each.levels) == ("bid", "100", "4 (1)", "2 (1)", 1)


@pytest.fixture
def vault(world: ArchiveWorld, tmp_path: Path) -> Path:
    """What a recorder wrote of the second day, with one size altered in one line."""
    root = tmp_path / "Vault"
    fetched(world, root)
    layout = Layout(root)
    put_row(layout)
    path = layout.hour_file(INST, MIDNIGHT_MS)
    path.parent.mkdir(parents=True)
    rows = []
    for each in world.due(2_000):
        truth = each.truth
        if truth.ts_ms is not None and truth.ts_ms >= MIDNIGHT_MS:
            own = Snapshot(INST, truth.ts_ms, 400, truth.image.bids, truth.image.asks, 0, truth.seq_id, None)
            rows.append(own)
    bids = [(rows[50].bids[0][0], "987654", "0", "3"), *rows[50].bids[1:]]
    rows[50] = msgspec.structs.replace(rows[50], bids=bids)
    path.write_bytes(b"".join(to_line(row) + b"\n" for row in rows))
    return root


def test_a_day_is_audited_by_the_verb_and_a_wrong_size_is_found(
    vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["audit", INST, "--vault", str(vault), "--day", DAY]
    assert cli.main([*words, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "disagreed" and found["compared"] == found["agreed"] + 1 > 250
    assert found["counts"]["exact"] == found["agreed"] and found["counts"]["ours"] == 1
    (each,) = found["disagreements"]
    assert each["ours"] == "987654 (3)" and each["side"] == "bid"
    assert found["full_books"] == found["rebuilt"] == 1
    assert found["inside_spread"] > 0.95 * found["trades"] > 2 * found["inside_control"], "and chance does much worse"
    assert cli.main(words) == 1
    text = capsys.readouterr().out
    assert "ours: 2026-01-02T00:0" in text and "within the rebuilt spread of their time" in text
    assert cli.main(["audit", INST, "--vault", str(vault), "--year", "2026", "--json"]) == 0
    (month,) = json.loads(capsys.readouterr().out)["months"]
    assert (month["lines"]["ours"], month["lines"]["agreed"]) == (1, found["agreed"]), "kept for the year"


def test_a_vault_that_cannot_be_written_to_is_audited_all_the_same(
    vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("l2vault.vault.store.audits.write_atomically", refuse)
    assert cli.main(["audit", INST, "--vault", str(vault), "--day", DAY]) == 1
    said = capsys.readouterr()
    assert "ours: 2026-01-02" in said.out and "not kept for --year" in said.err


def test_a_bad_row_of_trades_is_told_of_the_file_of_trades(
    vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bad(line: bytes, inst_id: str) -> None:
        raise LineError("no row of trades")

    monkeypatch.setattr("l2vault.verbs.audit.trade_of", bad)
    assert cli.main(["audit", INST, "--vault", str(vault), "--day", DAY]) == 1
    said = capsys.readouterr().err
    assert f"{INST}-trades-2026-01" in said and "line 1: no row of trades" in said


def test_without_the_day_there_is_no_witness_and_that_is_no_failure(
    vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", INST, "--vault", str(vault), "--day", "2026-01-07"]) == 0
    said = capsys.readouterr()
    assert "no witness today" in said.out and "l2vault fetch" in said.err
    assert cli.main(["audit", INST, "--vault", str(vault), "--day", "2026-01-07", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "no witness"
    assert cli.main(["audit", INST, "--vault", str(vault), "--day", "2026-01-07T10:00Z"]) == 2
