"""`l2vault verify`: findings on stdout, the summary on stderr, the exit code for scripts."""

import argparse
import json
import subprocess
import sys

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.vault.store.layout import Layout
from l2vault.verbs import verify
from l2vault.verbs.context import Context

HOUR_AT_MS = utc_ms("2024-08-20T03:00:00.000Z")
LINE = to_line(Snapshot("BTC-USDT-SWAP", HOUR_AT_MS, 400, [("100", "5", "0", "2")], [], 0, 2, 1)) + b"\n"


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def put(layout, data):
    path = layout.hour_file("BTC-USDT-SWAP", HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path.relative_to(layout.root).as_posix()


def run(layout, *words):
    parser = argparse.ArgumentParser()
    verify.configure(parser)
    return verify.run(Context(layout.root), parser.parse_args(["--vault", str(layout.root), *words]))


def test_a_sound_vault_is_exit_code_0_and_prints_nothing_on_stdout(layout, capsys):
    put(layout, LINE)
    assert run(layout) == 0
    assert capsys.readouterr() == ("", f"checked 1 files, 1 lines, {len(LINE)} B: no findings\n")


def test_each_finding_is_a_line_and_exit_code_1(layout, capsys):
    file = put(layout, LINE + LINE)
    (layout.raw / "notes.txt").write_text("mine")
    assert run(layout) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"double     {file} at byte {len(LINE)}: 2024-08-20T03:00:00.000Z stands at offset 0 too",
        "foreign    raw/okx/l2_perps/notes.txt: no data file by its place and name",
    ]
    assert err.endswith(": 2 findings\n")


def test_findings_as_json_lines(layout, capsys):
    file = put(layout, LINE + b"what\n")
    assert run(layout, "--json") == 1
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    text = "not a snapshot line: it has no key bids_topN"
    assert row == {"schema": "l2vault.verify/1", "file": file, "offset": len(LINE), "kind": "line", "text": text}


def test_a_vault_that_is_not_there_is_an_error_not_a_clean_bill(layout):
    with pytest.raises(VaultError, match="no vault at"):
        run(layout)


@pytest.mark.parametrize("name", ["verify", "ls", "show"])
def test_the_reading_verbs_load_neither_the_network_nor_the_analysis_libraries(name):
    code = f"import sys, l2vault.verbs.{name}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.split()}
    heavy = {"asyncio", "websockets", "polars", "pyarrow", "numpy", "pandas", "duckdb", "matplotlib"}
    assert loaded & heavy == set()
    assert "l2vault.okx" not in done.stdout.split()
