"""What is known of one of the vaults that are merged."""

from pathlib import Path

from l2vault.book.utc import DAY_MS
from l2vault.vault.merging.source import Source
from l2vault.vault.store.layout import Layout
from support.hours import INST


def test_the_journal_of_deep_books_is_read_for_all_days_by_one_reader(tmp_path: Path) -> None:
    source = Source(Layout(tmp_path), "one")
    spans = []
    for day in (1, 2):
        first = source.deep_coverage(INST, day * DAY_MS)
        spans.append((first.start_ms, first.end_ms))
        reader = source.__dict__["_deep"]
    assert spans == [(DAY_MS, 2 * DAY_MS), (2 * DAY_MS, 3 * DAY_MS)]
    assert source._deep is reader
