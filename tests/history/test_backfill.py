"""`l2vault backfill` as it is typed, on days of the built-in exchange; then the vault that comes of it."""

import errno
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.book.utc import HOUR_MS
from l2vault.history import backfill as history_backfill
from l2vault.history import hours
from l2vault.history.rows import rate_of, trade_of
from l2vault.vault.checking.verify import Verification
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout, packed_path
from support.archive_world import BEGIN_MS, DAY, END_MS, INST, MIDNIGHT_MS, ArchiveWorld
from support.fetched import fetched, is_as_the_exchange_knows, put_row


@pytest.fixture
def vault(world: ArchiveWorld, tmp_path: Path) -> Path:
    """A vault into which both days, and their trades, were fetched."""
    fetched(world, tmp_path / "Vault")
    put_row(Layout(tmp_path / "Vault"))
    return tmp_path / "Vault"


def backfill(vault: Path, *words: str) -> int:
    return cli.main(["backfill", "--vault", str(vault), *words])


def files_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_books_and_trades_of_two_days_are_what_the_exchange_knows(
    world: ArchiveWorld, vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert backfill(vault) == 0
    assert "rebuilt to 1 full book of the files: all of them equal" in capsys.readouterr().out
    assert backfill(vault, "--what", "trades") == 0
    archive = Layout(vault).okx_archive
    is_as_the_exchange_knows(Vault(archive), world)
    reader = TradeReader(archive)
    span = BEGIN_MS, END_MS
    rows = [row.push for row in reader.rows(INST, span, lambda finding: pytest.fail(str(finding)))]
    assert [(row.trade_id, row.px, row.sz, row.side, row.ts_ms) for row in rows] == world.matches()
    coverage = reader.coverage(INST, span)
    assert not coverage.holes and coverage.ids == len(rows)
    assert not list(Verification(archive, END_MS + 24 * HOUR_MS).run())
    assert not Layout(vault).raw.exists(), "nothing of it is among what is recorded"
    before = files_of(vault)
    assert backfill(vault) == backfill(vault, "--what", "trades") == 0
    assert "there already" in capsys.readouterr().out
    assert files_of(vault) == before


def test_deep_books_and_funding_are_kinds_of_the_vault_that_comes(
    world: ArchiveWorld, vault: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("--what", "books5000", "--deep"), ("--what", "funding")):
        assert backfill(vault, *words) == 0
    archive = Layout(vault).okx_archive
    samples = list(DeepReader(archive).samples(INST, (BEGIN_MS, END_MS), lambda finding: pytest.fail(str(finding))))
    truths = {each.ts_ms: each.image for each in world.oracle.truths(INST)}
    assert len(samples) > 30
    for sample in samples:
        bids, asks = truths[sample.ts_ms]
        assert sample.bids == [(price, size, orders) for price, size, _, orders in bids]
        assert sample.asks == [(price, size, orders) for price, size, _, orders in asks]
    holes = [
        (each.start_ms, each.end_ms)
        for each in DeepReader(archive).coverage(INST, (BEGIN_MS + 40_000, END_MS - 40_000)).stretches
        if each.state != "proved"
    ]
    assert len(holes) <= 1 and all(MIDNIGHT_MS <= one < two < MIDNIGHT_MS + 31_000 for one, two in holes)
    (rate,) = ContextReader(archive).rows(INST, (BEGIN_MS, END_MS), lambda finding: pytest.fail(str(finding)))
    assert rate.funding is not None and (rate.grid_ms, rate.funding.time) == (MIDNIGHT_MS, str(MIDNIGHT_MS))
    assert rate.funding.rate == rate.funding.settled_rate == world.rates()[MIDNIGHT_MS]
    assert not list(Verification(archive, END_MS + 24 * HOUR_MS).run())
    before = files_of(vault)
    assert backfill(vault, "--what", "funding") == backfill(vault, "--what", "books5000", "--deep") == 0
    assert files_of(vault) == before
    assert backfill(vault, "--deep") == 2


def test_days_that_were_made_are_not_read_again(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    lines_of = history_backfill.lines_of
    monkeypatch.setattr(history_backfill, "lines_of", lambda path: (read.append(path.name[-17:-7]), lines_of(path))[1])
    archive = Layout(vault).okx_archive
    assert backfill(vault, "--from", "2026-01-01") == backfill(vault) == 0
    assert read == ["2026-01-01", DAY], "the second goes on where the first ended, without reading it"
    is_as_the_exchange_knows(Vault(archive), world)
    made = files_of(vault / "okx_archive" / "raw")
    for lost, again in (
        (None, []),
        (packed_path(archive.hour_file(INST, MIDNIGHT_MS)), [DAY]),
        (archive.carried_file(INST, MIDNIGHT_MS - 1), ["2026-01-01", DAY]),
    ):
        read.clear()
        if lost is not None:
            lost.unlink()
        assert backfill(vault) == 0
        assert (read, files_of(vault / "okx_archive" / "raw")) == (again, made)
    read.clear()
    assert backfill(vault, "--depth", "5") == 0 and len(read) == 2, "another law"


def test_a_full_disk_and_a_torn_file_end_in_one_sentence_with_nothing_half_written(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: object, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = files_of(vault)
    with monkeypatch.context() as patched:
        patched.setattr(hours, "write_all", full)
        assert backfill(vault) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert files_of(vault).keys() - before.keys() <= {Layout(vault).okx_archive.instrument_file(INST)}
    (path,) = (vault / "okx_archive" / "files" / "books400").glob(f"*{DAY}.tar.gz")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(1000))
    assert backfill(vault) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert path.name in said and ("The hours before it are whole" in said or "damaged" in said)
    made = [each.name for each in (vault / "okx_archive" / "raw").rglob("*") if each.is_file()]
    assert made == ["23.jsonl.gz"] or not made, "of the torn day nothing; the hour before it is whole"


def test_nothing_fetched_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backfill(tmp_path / "Vault") == 1
    assert "l2vault fetch" in capsys.readouterr().err
    assert backfill(tmp_path / "Vault", "--what", "funding") == 2, "its files name no instrument"


def test_a_blank_line_is_no_damage() -> None:
    assert trade_of(b"", INST) is trade_of(b"\r", INST) is rate_of(b"") is rate_of(b"\r") is None
