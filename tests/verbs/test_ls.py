"""`l2vault ls`: what there is, by day or by hour."""

import argparse
import gzip
import json

import pytest

from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.root import open_layout
from l2vault.verbs import ls
from l2vault.verbs.context import Context

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
DAY_AT_MS = utc_ms("2024-08-20T00:00:00.000Z")


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "Vault")
    for hour in (3, 4, 5, 7):
        put(layout, BTC, hour, b"x\n" * 500, packed=hour < 5)
    put(layout, BTC, 24, b"x\n")
    put(layout, ETH, 3, b"x\n" * 600_000)
    return layout


def put(layout, inst_id, hour, data, packed=False):
    path = layout.hour_file(inst_id, DAY_AT_MS + hour * HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(path.name + ".gz")
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return path


def run(layout, *words):
    parser = argparse.ArgumentParser()
    ls.configure(parser)
    return ls.run(Context(layout.root), parser.parse_args(["--vault", str(layout.root), *words]))


def test_a_row_a_day_with_its_hours_and_forms(layout, capsys):
    assert run(layout) == 0
    size = len(gzip.compress(b"x\n" * 500))
    assert capsys.readouterr().out.splitlines() == [
        "instrument     date        hours     forms              size",
        f"BTC-USDT-SWAP  2024-08-20  03-05,07  2 plain, 2 gzip  {(2000 + 2 * size) / 1000:.1f} kB",
        "BTC-USDT-SWAP  2024-08-21  00        1 plain             2 B",
        "ETH-USDT-SWAP  2024-08-20  03        1 plain          1.2 MB",
    ]


def test_a_row_an_hour_with_lines_if_asked(layout, capsys):
    assert run(layout, BTC, "--hours", "--lines") == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["instrument", "date", "hour", "form", "size", "lines"]
    assert [(row[1], row[2], row[3], row[-1]) for row in rows[1:]] == [
        ("2024-08-20", "03", "gzip", "500"),
        ("2024-08-20", "04", "gzip", "500"),
        ("2024-08-20", "05", "plain", "500"),
        ("2024-08-20", "07", "plain", "500"),
        ("2024-08-21", "00", "plain", "1"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        [BTC, ETH],
        ["--inst", BTC, ETH],
        ["--inst", BTC, "--inst", ETH],
        [f"{BTC},{ETH}"],
        ["--inst", "btc-usdt-swap", "eth-usdt-swap"],
        [BTC.lower(), "--inst", ETH],
    ],
)
def test_instruments_are_named_in_any_of_the_usual_ways(layout, capsys, words):
    put(layout, "SOL-USDT-SWAP", 3, b"x\n")
    assert run(layout, *words) == 0
    assert {row.split()[0] for row in capsys.readouterr().out.splitlines()} == {"instrument", BTC, ETH}


def test_an_instrument_the_vault_does_not_hold_is_told_with_the_nearest_it_holds(layout):
    with pytest.raises(VaultError, match=rf"the vault holds nothing of BTC-USD-SWAP\. Try: {BTC}"):
        run(layout, "btc-usd-swap")
    with pytest.raises(VaultError, match=rf"holds nothing of ZZZ\. Try: one of {BTC}, {ETH}"):
        run(layout, "zzz")


def test_a_folder_s_foreign_name_moves_no_cursor(layout, capsys):
    try:
        put(layout, "EVIL\x1b[2J\nSWAP", 3, b"x\n")
    except OSError:
        pytest.skip("this file system has no such names")
    assert run(layout) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and r"EVIL\x1b[2J\nSWAP" in out


def test_lines_that_cannot_all_be_counted_are_marked(layout, capsys):
    packed = put(layout, BTC, 4, b"x\n" * 500, packed=True)
    packed.write_bytes(packed.read_bytes()[:-5])
    assert run(layout, BTC, "--lines") == 0
    assert [row.split()[-1] for row in capsys.readouterr().out.splitlines()] == ["lines", "1500+?", "1"]


def test_every_hour_as_json_lines(layout, capsys):
    assert run(layout, "--json", "--lines", ETH) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row == {
        "schema": "l2vault.ls/1",
        "inst_id": ETH,
        "date": "2024-08-20",
        "hour": 3,
        "form": "plain",
        "size_bytes": 1_200_000,
        "lines": 600_000,
        "kind": "books",
    }


def test_an_instrument_the_vault_does_not_hold_is_an_error(layout):
    with pytest.raises(VaultError, match="holds nothing of SOL-USDT-SWAP"):
        run(layout, BTC, "SOL-USDT-SWAP")


def test_a_vault_without_data_lists_nothing_and_one_that_is_not_there_is_an_error(tmp_path, capsys):
    layout = Layout(tmp_path)
    with pytest.raises(VaultError, match="the folder has neither raw/okx nor meta/okx"):
        run(layout)
    layout.journal.mkdir(parents=True)
    assert run(layout) == 0
    assert capsys.readouterr().out.split() == ["instrument", "date", "hours", "forms", "size"]
    with pytest.raises(VaultError, match="no vault at"):
        run(Layout(tmp_path / "Valut"))


def test_an_archived_hour_is_one_row_with_its_lines(layout, capsys):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.book.snapshot import Snapshot, to_line
    from l2vault.vault.archive.write import archive_hour

    start_ms = DAY_AT_MS + 30 * HOUR_MS
    books = [Snapshot(BTC, start_ms + at, 400, [("100", "5", "0", "2")], [], 0, at, at - 1) for at in range(3)]
    path = put(layout, BTC, 30, b"".join(to_line(book) + b"\n" for book in books))
    size = archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    assert run(layout, BTC, "--lines", "--json") == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = {"date": "2024-08-21", "hour": 6, "form": "archive", "size_bytes": size, "lines": 3, "kind": "books"}
    assert row == {"schema": "l2vault.ls/1", "inst_id": BTC, **expected}


def test_what_was_made_of_okxs_archive_has_a_table_of_its_own(layout, capsys):
    run(layout)
    before, size = capsys.readouterr().out, 3 * len(gzip.compress(b"x\n"))
    assert "archive" not in before
    archive = layout.okx_archive
    for hour in (-24, -23, 2):
        put(archive, BTC, hour, b"x\n", packed=True)
    put(archive, "SOL-USDT-SWAP", 5, b"x\n")
    put(archive.of("trades"), BTC, 2, b"x\n")
    assert run(layout) == 0
    out = capsys.readouterr().out
    assert out.startswith(before)
    assert [row.split() for row in out[len(before) :].splitlines()] == [
        [],
        ["of", "OKX's", "archive", "(read", "with", "--sources", "recorded,archive):"],
        ["instrument", "kind", "days", "first", "last", "hours", "size"],
        [BTC, "books", "2", "2024-08-19", "2024-08-20", "3", str(size), "B"],
        [BTC, "trades", "1", "2024-08-20", "2024-08-20", "1", "2", "B"],
        ["SOL-USDT-SWAP", "books", "1", "2024-08-20", "2024-08-20", "1", "2", "B"],
    ]
    assert run(layout, "sol-usdt-swap") == 0
    assert "SOL-USDT-SWAP" in capsys.readouterr().out, "an instrument that the archive alone has"
    assert run(layout, "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 6, "hours that were recorded"


def test_a_vault_that_holds_the_archive_alone_is_listed_and_other_verbs_say_how_to_read_it(tmp_path, capsys):
    layout = Layout(tmp_path / "Vault")
    put(layout.okx_archive, BTC, 3, b"x\n")
    assert run(layout) == 0
    out = capsys.readouterr().out
    assert "of OKX's archive (read with --sources archive):" in out
    assert out.splitlines()[-1].split()[:3] == [BTC, "books", "1"]
    with pytest.raises(VaultError, match=r"nothing was recorded in .*Try: --sources archive .*Vault.okx_archive"):
        open_layout(layout.root)
