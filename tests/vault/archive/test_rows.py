"""Trades and context as Parquet: one file an hour that gives the lines back byte for byte, and that others read."""

import gzip
from pathlib import Path

import duckdb
import pytest

from l2vault.book.trade import TradePush, trade_to_line
from l2vault.errors import VaultError
from l2vault.vault.archive.write import archive_hour, check_archive, remove_archive, restore_hour
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Catalog, Finding, Findings
from l2vault.vault.store.forms import hour_times
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST
from support.small_vault import small_vault

KINDS = ("trades", "context")
ALL = 0, 1 << 47


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small_vault(tmp_path / "Vault")
    return tmp_path / "Vault"


def archived(root: Path, kind: str):
    layout = Layout(root).of(kind)  # type: ignore[arg-type]
    path = layout.hour_file(INST, HOUR_AT_MS)
    size = archive_hour(layout, layout.parse_hour_file(path))
    return layout, path, layout.archived_hour(INST, HOUR_AT_MS), size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [True, False])
def test_an_archived_hour_gives_back_its_bytes(root: Path, kind: str, packed: bool, tmp_path: Path) -> None:
    layout, path, hour, size = archived(root, kind)
    assert check_archive(hour) is None
    assert [file.name for file in layout.archive.rglob("*.parquet")] == ["03.parquet"]
    assert size == hour.snapshots.stat().st_size < path.stat().st_size / 30
    target = tmp_path / ("x.jsonl.gz" if packed else "x.jsonl")
    assert restore_hour(hour, target) == path.read_bytes().count(b"\n")
    written = target.read_bytes()
    assert (gzip.decompress(written) if packed else written) == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_archiving_again_changes_nothing_and_removing_leaves_nothing(root: Path, kind: str) -> None:
    layout, _, hour, size = archived(root, kind)
    before = hour.snapshots.read_bytes()
    assert archived(root, kind)[3] == size
    assert hour.snapshots.read_bytes() == before
    remove_archive(hour)
    assert list(layout.archive.rglob("*.parquet")) == []


def test_readers_take_the_archive_for_the_lines(root: Path) -> None:
    trades, context, findings = TradeReader(Layout(root)), ContextReader(Layout(root)), Findings()
    before = list(trades.rows(INST, ALL, findings.report)), list(context.rows(INST, ALL, findings.report))
    covered = trades.coverage(INST, (HOUR_AT_MS, HOUR_AT_MS + 600_000))
    for kind in KINDS:
        _, path, _, _ = archived(root, kind)
        path.unlink()
        (forms,) = Catalog(Layout(root).of(kind)).hours(INST)  # type: ignore[arg-type]
        assert forms.archive is not None and not forms.raw
    after = list(trades.rows(INST, ALL, findings.report)), list(context.rows(INST, ALL, findings.report))
    assert after == before
    assert trades.coverage(INST, (HOUR_AT_MS, HOUR_AT_MS + 600_000)) == covered
    assert findings == []
    assert context.bounds(INST) is not None


def test_duckdb_alone_reads_both(root: Path) -> None:
    for kind in KINDS:
        archived(root, kind)
    trades = f"read_parquet('{root}/archive/okx/trades/rows/**/*.parquet', hive_partitioning = true)"
    context = f"read_parquet('{root}/archive/okx/context/rows/**/*.parquet', hive_partitioning = true)"
    assert duckdb.sql(f"SELECT inst_id, sum(sz::DOUBLE), count(overlap) FROM {trades} GROUP BY ALL").fetchall() == [
        (INST, 299 * 4.0 + 298 * 6.0, 599)
    ]
    assert duckdb.sql(f"SELECT min(markPx::DOUBLE), max(mark_ts - timestamp) FROM {context}").fetchall() == [
        (60000.5, -100)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b'"channel":"', b'"channel": "'),
        (b'"instId":"BTC', b'"instId":"ETH'),
        (b"}\n", b',"later":1}\n'),
        (b'"okx"', b'"OKX"'),
    ],
)
def test_a_line_that_the_columns_do_not_give_back_is_refused_by_its_place(
    root: Path, kind: str, was: bytes, becomes: bytes
) -> None:
    path = Layout(root).of(kind).hour_file(INST, HOUR_AT_MS)  # type: ignore[arg-type]
    first, second, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(was, becomes, 1) + b"".join(rest))
    with pytest.raises(VaultError, match=f"03.jsonl at byte {len(first)}: (not )?a line of {kind}"):
        archived(root, kind)
    assert not list((root / "archive").rglob("*.parquet"))


def test_every_form_of_a_line_of_trades_comes_back(root: Path) -> None:
    path = Layout(root).of("trades").hour_file(INST, HOUR_AT_MS)
    of = (INST, "7", "0.10", "1e3", "buy", str(HOUR_AT_MS))
    pushes = [
        TradePush(*of, None, None, None, HOUR_AT_MS * 1000, "rest"),
        TradePush(*of, "2", "1", -5, HOUR_AT_MS * 1000 + 999, "ws", True),
        TradePush(*of, None, None, 5, HOUR_AT_MS * 1000, "archive"),
    ]
    path.write_bytes(b"".join(trade_to_line(push) + b"\n" for push in pushes))
    _, _, hour, _ = archived(root, "trades")
    target = path.with_name("x.jsonl")
    restore_hour(hour, target)
    assert target.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_seen(root: Path, kind: str) -> None:
    _, _, hour, _ = archived(root, kind)
    data = bytearray(hour.snapshots.read_bytes())
    data[len(data) // 3] ^= 0xFF
    hour.snapshots.write_bytes(data)
    assert check_archive(hour) is not None


def test_an_archive_in_the_place_of_another_kind_is_refused(root: Path) -> None:
    _, _, context, _ = archived(root, "context")
    layout, path, trades, _ = archived(root, "trades")
    path.unlink()
    trades.snapshots.write_bytes(context.snapshots.read_bytes())
    assert check_archive(trades) == "cannot be read (an archive of context in the place of one of trades.)"
    findings: list[Finding] = []
    forms = Catalog(layout).hour(INST, HOUR_AT_MS)
    assert list(hour_times(Catalog(layout), forms, False, findings.append)) == []
    assert "in the place of one of trades" in findings[0].reason
