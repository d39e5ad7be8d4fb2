"""`coverage`, `archive` and `restore` on a small vault with a known hole."""

import json
import os
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.journal.events import Alive, Event, Lost, Retained, Started, Stopped, Synced, Unverifiable
from l2vault.vault.journal.log import Journal, read_journal
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.writer import LineWriter
from support.hours import journal_v1_of

BTC = "BTC-USDT-SWAP"
START_MS = utc_ms("2026-01-31T14:00:00.000Z")


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten minutes at 2 s: in sync but for 14:02:00 to 14:03:00, and nothing changed from 14:05 to 14:06."""
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "Vault")
    writer = LineWriter(layout)
    events: list[Event] = []

    def at(seconds: int) -> str:
        return utc_text(START_MS + seconds * 1000)

    events.append(Started(at(0), "0", "host", 1, "p", [BTC], 2000, 400, 2, "d"))
    events.append(Synced(at(0), 1, BTC, at(0), 1))
    for slot in range(300):
        if not 60 <= slot < 90 and not 150 < slot < 180:
            level = [(f"{100 + slot}", "1", "0", "1")]
            writer.append(Snapshot(BTC, START_MS + slot * 2000, 400, level, [], 0, slot, slot - 1))
    events.append(Lost(at(121), 1, BTC, "chain", at(120), at(121), "why"))
    events.append(Synced(at(180), 1, BTC, at(180), 90))
    events.append(Lost(at(600), 1, BTC, "our_restart", at(600), None, "stop"))
    events.append(Stopped(at(600), "asked to stop"))
    writer.close()
    journal_v1_of(layout, *events)
    return layout.root


def test_the_shares_and_the_hole_are_those_that_were_made(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--from", utc_text(START_MS), "--to", utc_text(START_MS + 600_000), "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {key: row[key] for key in ("slots", "recorded", "quiet", "missing", "unknown")} == {
        "slots": 300,
        "recorded": 241,
        "quiet": 29,
        "missing": 30,
        "unknown": 0,
    }
    (hole,) = row["holes"]
    assert (hole["start_ms"], hole["end_ms"]) == (START_MS + 120_000, START_MS + 180_000)
    assert (hole["kind"], hole["cause"], hole["slots"]) == ("missing", "chain", 30)


def test_a_person_reads_the_same(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", BTC, "--from", utc_text(START_MS), "--to", utc_text(START_MS + 600_000)]) == 0
    out = capsys.readouterr().out
    names, row = (line.split("  ") for line in out.splitlines()[:2])
    assert [name for name in names if name] == [
        *("instrument", " from (UTC)", "slots", "recorded", " quiet", "missing", "unknown")
    ]
    assert [cell.strip() for cell in row if cell][-4:] == ["80.33 %", "9.67 %", "10.00 %", "0.00 %"]
    hole = "missing (chain): BTC-USDT-SWAP 2026-01-31T14:02:00.000Z to 2026-01-31T14:03:00.000Z, 1 min 0 s, 30 slots\n"
    assert out.endswith(hole)


def test_without_bounds_it_covers_what_the_vault_holds(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--by", "hour", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["start_utc"], row["slots"]) == ("2026-01-31T14:00:00.000Z", 300)


def test_the_picture_is_drawn(vault: Path) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main(["coverage", "--plot", "coverage.png"]) == 0
    assert Path("coverage.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["coverage", "NOPE-USDT-SWAP"], "the vault holds nothing of NOPE-USDT-SWAP"),
        (["coverage", "--vault", "absent"], "no vault at absent"),
        (["coverage", "--from", "2027-01-01"], "nothing lies between"),
        (["archive", "NOPE-USDT-SWAP"], "the vault holds nothing of NOPE-USDT-SWAP"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    vault: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    err = capsys.readouterr().err
    assert says in err and "Try: " in err and err.count("\n") == 1


def test_the_archive_has_no_changes_to_join(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--kind", "changes", "--sources", "recorded,archive"]) == 2
    assert "no changes as they were pushed" in capsys.readouterr().err


def test_an_hour_goes_into_the_archive_and_comes_back_byte_for_byte(
    vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    layout = Layout(vault)
    plain = layout.hour_file(BTC, START_MS)
    before = plain.read_bytes()
    _age(plain)
    assert cli.main(["archive", BTC]) == 0
    assert "1 hours archived" in capsys.readouterr().out
    assert not plain.exists()
    assert layout.archived_hour(BTC, START_MS).snapshots.exists()
    actions = [event.action for event in read_journal(layout) if isinstance(event, Retained)]
    assert actions == ["archive", "delete"]
    assert cli.main(["verify"]) == 0
    assert cli.main(["restore", BTC, "--plain", "--into", "Restored"]) == 0
    assert Layout(Path("Restored")).hour_file(BTC, START_MS).read_bytes() == before
    assert cli.main(["restore", BTC, "--plain", "--into", "Restored"]) == 1
    assert "is there already" in capsys.readouterr().err


def test_keep_leaves_the_lines_beside_their_archive(vault: Path) -> None:
    pytest.importorskip("pyarrow")
    plain = Layout(vault).hour_file(BTC, START_MS)
    before = plain.read_bytes()
    _age(plain)
    assert cli.main(["archive", "--keep"]) == 0
    assert plain.read_bytes() == before
    assert Layout(vault).archived_hour(BTC, START_MS).snapshots.exists()


def _age(path: Path) -> None:
    """As if it had been written when its hour was."""
    os.utime(path, (START_MS / 1000 + HOUR_MS / 1000,) * 2)


@pytest.mark.parametrize("words", [["btc-usdt-swap"], ["--inst", "btc-usdt-swap,BTC-USDT-SWAP"]])
@pytest.mark.parametrize("verb", ["coverage", "archive", "restore"])
def test_an_instrument_is_named_in_any_case_and_by_the_option_of_record_too(
    vault: Path, verb: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, *words]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", ["coverage", "archive", "restore"])
def test_a_misspelt_instrument_is_answered_with_the_nearest(
    vault: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, "BTC-USD-SWAP"]) == 1
    assert capsys.readouterr().err == "l2vault: the vault holds nothing of BTC-USD-SWAP. Try: BTC-USDT-SWAP\n"


def test_a_picture_of_coverage_is_a_png(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--plot", "holes.jpg"]) == 2
    assert "a name that ends in .png" in capsys.readouterr().err


def test_an_instrument_of_which_nothing_could_be_recorded_is_covered_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path)
    journal = Journal(layout, run="aa")
    at = "2026-01-31T10:00:{:02d}.000Z"
    journal.append(Started(at.format(0), "1", "host", 1, "Linux", instruments=["ETH-USDT-SWAP"]))
    journal.append(Unverifiable(at.format(0), 1, "ETH-USDT-SWAP", at.format(0), False))
    journal.append(Alive(at.format(20), at.format(20)))
    journal.append(Stopped(at.format(20), "asked to stop"))
    assert cli.main(["coverage", "--vault", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "100.00 %" in out.splitlines()[1]
    assert "unknown (unverifiable): ETH-USDT-SWAP 2026-01-31T10:00:00.000Z to 2026-01-31T10:00:20" in out
