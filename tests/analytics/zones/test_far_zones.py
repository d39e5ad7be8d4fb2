"""Zones beyond the levels seen, from deep books: hand-worked, with source and age."""

import argparse
import json
from pathlib import Path

import pytest

import l2vault
from l2vault import cli
from l2vault.analytics.books import read_books
from l2vault.analytics.zones import zones as zones_module
from l2vault.analytics.zones.zones import with_far, zones
from l2vault.book.deep import DeepSample
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs import zones as verb
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, journal_of, levels, line, lost, put, started, synced
from support.small_vault import put_deep

ASKS = [("101", "4", "1"), ("102", "6", "1"), ("103", "7", "1"), ("104", "8", "2")]
SPAN = HOUR_AT_MS, HOUR_AT_MS + 100_000


def sample(offset_ms: int, size_at_97: str) -> DeepSample:
    bids = [("99", "10", "1"), ("98", "5", "1"), ("97.5", size_at_97, "2"), ("95", "2", "1")]
    return DeepSample(INST, HOUR_AT_MS + offset_ms, bids, ASKS, None, 0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Books of two levels a side; samples of four at 10, 40 and 70 s."""
    layout = Layout(tmp_path / "Vault")
    sides = levels("99 10 1", "98 5 1"), levels("101 4 1", "102 6 1")
    put(layout, [line(offset, *sides, depth=2) for offset in range(0, 100_000, 2_000)])
    put_deep(layout, [sample(10_000, "3"), sample(40_000, "3"), sample(70_000, "9")])
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    journal_of(layout, started(0), synced(0), lost(100_000))
    return layout


def test_buckets_that_no_book_saw_come_from_the_samples_and_say_so(layout: Layout) -> None:
    books = read_books(layout.root, INST, *SPAN)
    near = zones(books, "contracts", 1.0)
    found = with_far(books, near, "contracts")
    assert found.frame.filter(source="books").drop("source", "age_ms").equals(near.frame)
    far = {(row["side"], row["price_from"]): row for row in found.frame.filter(source="books-full").to_dicts()}
    assert far.keys() == {("bid", 97.0), ("bid", 95.0), ("ask", 102.0), ("ask", 103.0)}
    at_97 = far["bid", 97.0]
    assert (at_97["size"], at_97["peak"], at_97["orders"], at_97["price_to"]) == (5.0, 9.0, 2.0, 98.0)
    assert (at_97["seen_share"], at_97["tests"], at_97["is_current"]) == (1.0, 0, True)
    assert far["ask", 103.0]["size"] == 8.0 and far["ask", 103.0]["distance_bps"] == pytest.approx(300)
    assert {row["age_ms"] for row in far.values()} == {29_999}
    assert (found.provenance.settings["deep_samples"], found.provenance.settings["deep_last_ms"]) == (3, 29_999)


def test_samples_of_the_archive_are_counted_apart(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for path in layout.of("deep").raw.rglob("*.gz"):
        path.unlink()
    put_deep(layout, [sample(10_000, "3")])
    put_deep(layout.okx_archive, [sample(offset_ms, "3") for offset_ms in (12_000, 42_000, 72_000)])
    span = ["--from", str(SPAN[0]), "--to", str(SPAN[1]), "--unit", "contracts", "--width", "1"]
    words = ["zones", INST, "--vault", str(layout.root), *span]
    assert cli.main([*words, "--sources", "recorded,archive"]) == 0
    assert "from 3 samples of books-full (2 of them of OKX's archive)" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert "from 1 samples of books-full, " in capsys.readouterr().out


def test_of_a_long_span_some_samples_say_it(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones_module, "_SAMPLES_AT_MOST", 2)
    books = read_books(layout.root, INST, *SPAN)
    found = with_far(books, zones(books, "contracts", 1.0), "contracts")
    assert found.provenance.settings["deep_samples"] == 2, "those at 10 and 70 s"
    (at_97,) = found.frame.filter(source="books-full", price_from=97.0).to_dicts()
    assert at_97["size"] == pytest.approx((3 * 60 + 9 * 30) / 90) and at_97["seen_share"] == 1.0


def test_without_a_sample_of_the_span_nothing_is_added(layout: Layout) -> None:
    books = read_books(layout.root, INST, HOUR_AT_MS, HOUR_AT_MS + 9_000)
    near = zones(books, "contracts", 1.0)
    assert with_far(books, near, "contracts") is near


def test_the_verb_and_the_api_name_source_and_age(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--json"]):
        parser = argparse.ArgumentParser()
        verb.configure(parser)
        args = parser.parse_args([INST, "--width", "1", "--unit", "contracts", "--from", "2024-08-20T03:00", *words])
        args.verb = "zones"
        assert verb.run(Context(layout.root), args) == 0
    said, _, document = capsys.readouterr().out.partition("{")
    head = next(row for row in said.splitlines() if row.startswith("beyond"))
    assert head == "beyond the levels seen, from 3 samples of books-full, 28 s old"
    rows = json.loads("{" + document)["rows"]
    assert [row["age_ms"] for row in rows if row["source"] == "books-full"] == [28_000] * 4
    frame = l2vault.open(layout.root).books(INST).zones(1.0, "contracts", far=True).frame
    assert frame["source"].to_list().count("books-full") == 4
    assert "source" not in l2vault.open(layout.root).books(INST).zones(1.0, "contracts").frame.columns
