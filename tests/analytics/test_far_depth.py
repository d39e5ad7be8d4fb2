"""Depth beyond the levels seen, from deep books: hand-worked, with the age of what it rests on."""

import argparse
import json
from pathlib import Path

import pytest

from l2vault.analytics.books import read_books
from l2vault.analytics.metrics import depth
from l2vault.book.deep import DeepSample
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs import depth as verb
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, journal_of, levels, line, lost, put, started, synced
from support.small_vault import put_deep

BIDS = [("99", "10", "1"), ("98", "5", "1"), ("97", "3", "1"), ("95", "2", "1")]
ASKS = [("101", "4", "1"), ("102", "6", "1"), ("103", "7", "1"), ("104", "8", "2")]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A book of two levels a side as they are recorded; a sample of four at 10 s, and none after it."""
    layout = Layout(tmp_path / "Vault")
    near = levels("99 10 1", "98 5 1"), levels("101 4 1", "102 6 1")
    moved = levels("100 1 1", "99 10 1"), levels("102 1 1", "103 2 1")
    put(
        layout,
        [line(offset, *(near if offset != 30_000 else moved), depth=2) for offset in (8_000, 10_000, 30_000, 58_000)],
    )
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, BIDS, ASKS, None, 0)])
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    journal_of(layout, started(0), synced(8_000), lost(60_000))
    return layout


def test_what_lies_beyond_the_levels_seen_is_the_sample_s_and_what_is_seen_the_book_s(layout: Layout) -> None:
    books = read_books(layout.root, INST, HOUR_AT_MS, HOUR_AT_MS + 60_000)
    result = depth(books, "contracts", (200, 300, 400, 500))
    rows = {row["t_from"] - HOUR_AT_MS: row for row in result.frame.to_dicts()}
    before, at_it, moved, late = (rows[offset] for offset in (8_000, 10_000, 30_000, 58_000))
    assert [before[f"ask_{band}bps"] for band in (200, 300)] == [10, None], "the sample came later"
    assert [at_it[f"ask_{band}bps"] for band in (200, 300, 400, 500)] == [10, 17, 25, 25]
    assert [at_it[f"bid_{band}bps"] for band in (200, 300, 400, 500)] == [15, 18, 18, 20]
    # Mid is 101 now: its own 102 and 103, and of the sample what lies behind 103 up to 104.03.
    assert [moved[f"ask_{band}bps"] for band in (200, 300, 500)] == [3, 11, 11]
    # Its own 100 and 99, and of the sample 98 (up to 97.97 at 300 bps) and 97 (95.95 at 500).
    assert [moved[f"bid_{band}bps"] for band in (300, 500)] == [16, 19]
    assert late["ask_300bps"] is None, "48 s are too old"
    assert [row["deep_age_ms"] for row in (before, at_it, moved, late)] == [None, 0, 20_000, None]
    settings = result.provenance.settings
    assert (settings["deep_books"], settings["deep_oldest_ms"], settings["deep_last_ms"]) == (2, 20_000, 20_000)


def test_without_a_sample_of_the_span_nothing_is_claimed(layout: Layout) -> None:
    books = read_books(layout.root, INST, HOUR_AT_MS + 58_000, HOUR_AT_MS + 60_000)
    result = depth(books, "contracts", (300,))
    assert result.frame["ask_300bps"].to_list() == [None] and "deep_books" not in result.provenance.settings


def test_the_verb_names_source_and_age(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    args = parser.parse_args([INST, "--at", "2024-08-20T03:00:30Z", "--unit", "contracts"])
    args.verb = "depth"
    assert verb.run(Context(layout.root), args) == 0
    said = capsys.readouterr().out
    assert "bands beyond the levels seen are from books-full, 20 s old" in said
    assert "bid_200bps" in said and "deep_age" not in said
