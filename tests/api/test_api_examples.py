"""The example in each public docstring gives what it shows, and docs/api.md is those docstrings."""

import doctest
import inspect
import runpy
from pathlib import Path

import pytest

import l2vault
from l2vault.analytics import provenance
from l2vault.api import books as books_room
from l2vault.api import context as context_room
from l2vault.api import deep as deep_room
from l2vault.api import result, snapshot, snapshots, tables, times, vault
from l2vault.api import trades as trades_room
from l2vault.vault.coverage import model
from l2vault.vault.coverage.context import ContextCoverage
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.coverage.trades import TradeCoverage
from support.small_vault import small_vault

DOCS = Path(__file__).resolve().parents[2] / "docs"
DOORS = [
    vault,
    books_room,
    context_room,
    deep_room,
    trades_room,
    result,
    provenance,
    snapshot,
    snapshots,
    tables,
    times,
]
PUBLIC = {
    name: found
    for room in DOORS
    for name, found in vars(room).items()
    if inspect.isclass(found) and found.__module__ == room.__name__ and not name.startswith("_")
} | {"open_vault": vault.open_vault, "Coverage": model.Coverage, "ContextCoverage": ContextCoverage}
PUBLIC |= {"TradeCoverage": TradeCoverage, "DeepCoverage": DeepCoverage}
EXAMPLES = [
    example
    for name, found in PUBLIC.items()
    for example in doctest.DocTestFinder().find(found, name, globs={"l2vault": l2vault})
    if example.examples
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    small_vault(tmp_path / "Vault")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_gives_what_it_shows(example):
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=said.append)
    assert not runner.failures, "".join(said)


def test_each_class_and_measure_has_an_example():
    shown = {example.name for example in EXAMPLES}
    measures = {f"Books.{name}" for name, found in vars(books_room.Books).items() if inspect.isfunction(found)}
    measures = {name for name in measures if "._" not in name}
    assert measures - {"Books.at"} <= shown
    assert {"open_vault", "Vault", "Books", "Snapshot", "Snapshots", "Result", "Provenance", "Coverage"} <= shown


def test_each_public_class_and_method_says_what_it_does():
    for name, found in PUBLIC.items():
        assert inspect.getdoc(found), name


def test_the_reference_is_what_the_docstrings_say():
    made = runpy.run_path(str(DOCS / "api_page.py"))["page"]()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == made, "run: python docs/api_page.py"
