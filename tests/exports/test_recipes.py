"""The verb, and every block of docs/exports.md: those of tools that are not installed here skip (`make consumers`)."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

import l2vault
from l2vault import cli
from support.hours import INST
from support.small_vault import small_vault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "exports.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
TOOLS = ("hftbacktest", "nautilus_trader")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    small_vault(folder / "Vault")
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def need_tool(code):
    for tool in TOOLS:
        if f"import {tool}" in code or f"from {tool}" in code or ("export nautilus" in code and tool == TOOLS[1]):
            pytest.importorskip(tool)


def run(code):
    names = {}
    exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102 - the documentation is what is tested
    return names


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_runs(number, capsys):
    """In the order of the page: what one writes the next ones read."""
    language, code = BLOCKS[number]
    need_tool(code)
    if language == "python":
        run(code)
        return
    assert language == "sh"
    for line in code.splitlines():
        program, *words = line.split()
        assert program == "l2vault"
        assert cli.main(words) == 0, capsys.readouterr().err


def test_the_recipe_of_a_book_gives_that_of_the_vault():
    code = next(code for _, code in BLOCKS if "eq_missing" in code)
    export("parquet", "--out", "btc-parquet", "--force")
    bids = run(code)["bids"]
    wanted = l2vault.open("Vault").book_at(INST, "2024-08-20T03:01:00Z")
    assert bids.select(pl.col("price"), pl.col("qty")).rows() == [
        (level.price, level.qty) for level in wanted.levels("bid")
    ]


@pytest.fixture
def recipe(capsys):
    """Runs the one block that has all of these words, on what the page's commands write; gives its names."""
    for form in ("tardis-csv", "csv"):
        lines = (line for _, code in BLOCKS for line in code.splitlines())
        out = next(line.split()[-1] for line in lines if f"l2vault export {form} " in line)
        assert export(form, "--out", out, "--force") == 0
    return lambda *words: run(next(code for _, code in BLOCKS if all(word in code for word in words)))


def test_the_recipes_of_csv_give_what_the_vault_knows(recipe):
    opened = l2vault.open("Vault")
    trades = list(opened.trades(INST, end="2024-08-20T03:09:58Z"))  # where the newest line is, and the span ends
    book = recipe("read_csv", "btc-tardis")["book"]
    wanted = opened.book_at(INST, "2024-08-20T03:09:58Z")
    for side in ("bid", "ask"):
        assert dict(book[side]) == {level.price: level.qty for level in wanted.levels(side)}
    volume, signed = sum(row.size for row in trades), sum(row.size * (1 if row.side == "buy" else -1) for row in trades)
    minutes = recipe("scan_csv")["minutes"]
    assert minutes["volume"].sum() == volume and minutes["vwap"].is_between(59_999, 60_001).all() and len(minutes) == 10
    delta = recipe("make_timestamp")["delta"]
    assert sum(contracts for _, contracts in delta) == signed and len(delta) == 10
    bars = recipe("ohlc")["bars"]
    assert bars["contracts"].sum() == volume and set(bars["open"]) == {59_999.0} and len(bars) == 10


def export(form, *words):
    return cli.main(["export", form, INST, "--vault", "Vault", *words])


def test_what_it_says_of_sampled_books_and_of_holes(capsys, tmp_path):
    assert export("csv", "--from", "2024-08-20T03:00Z", "--to", "2024-08-20T03:05Z", "--out", str(tmp_path / "o")) == 0
    said = capsys.readouterr().out
    assert "from sampled books" in said
    assert "in 1 hole" in said
    assert "missing (chain)" in said
    assert "queue positions, fills and latencies" in said
    label = json.loads((tmp_path / "o" / "coverage.json").read_text())
    (hole,) = label["books"]["holes"]
    coverage = l2vault.open("Vault").coverage(INST, start="2024-08-20T03:00Z", end="2024-08-20T03:05Z")
    assert (hole["kind"], hole["cause"]) == (coverage.holes[0].kind, coverage.holes[0].cause)
    assert label["books"]["changes_share"] == 0
    assert label["trades"]["rows"] > 0


def test_a_span_that_begins_between_two_lines_has_the_book_that_stood_then(capsys, tmp_path):
    assert (
        export("csv", "--from", "2024-08-20T03:00:01Z", "--to", "2024-08-20T03:01Z", "--out", str(tmp_path / "o")) == 0
    )
    assert "books: 100.00 % of the time from sampled books\n" in capsys.readouterr().out


def test_the_length_of_a_span_ends_at_the_newest_line(capsys, tmp_path):
    assert export("csv", "--last", "90s", "--out", str(tmp_path / "o")) == 0
    assert "2024-08-20 03:08:28 to 2024-08-20 03:09:58 UTC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--out", str(PAGE.parent)], 2, "exists already"),
        (["--out", str(PAGE.parent), "--force"], 2, "is no export of l2vault"),
        (["--out", "Vault"], 2, "lies in the vault"),
        (["--out", "Vault/../Vault/x"], 2, "lies in the vault"),
        (["--out", "Vault/x", "--sources", "archive"], 2, "lies in the vault"),
        (["--out", ".."], 2, "names no new folder"),
        (["--out", "."], 2, "names no new folder"),
        (["--out", "x", "--from", "2030-01-01"], 1, "holds no book"),
        (["--out", "x", "--from", "2024-08-20T04:00Z", "--to", "2024-08-20T03:00Z"], 2, "is empty"),
        (["--out", "x", "--last", "1h", "--from", "2024-08-20"], 2, "both say where the span begins"),
        (["--out", "Vault/raw/x/y\0z"], 2, "NUL"),
    ],
)
def test_wrong_words_end_in_one_sentence(words, code, said, capsys):
    assert export("csv", *words) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("x").exists()


def test_a_missing_extra_is_named_with_the_command_that_installs_it(capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nautilus_trader", None)
    assert export("nautilus", "--out", "n") == 1
    error = capsys.readouterr().err
    assert "needs the nautilus extra" in error and "[nautilus]" in error
    assert not Path("n").exists() and not list(Path().glob(".n*"))


def test_the_library_of_nautilus_may_load_pandas_which_verbs_keep_out(monkeypatch):
    import sys

    from l2vault.errors import VaultError
    from l2vault.exports.nautilus import Nautilus
    from l2vault.own_process import keep_pandas_out

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.setitem(sys.modules, "nautilus_trader", None)
    keep_pandas_out()
    with pytest.raises(ModuleNotFoundError, match="no use for pandas"):
        __import__("pandas")
    with pytest.raises(VaultError, match="nautilus extra"):
        Nautilus(Path("n"), None, has_trades=True)
    assert __import__("importlib.util").util.find_spec("pandas") is not None
