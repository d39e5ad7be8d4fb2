"""Where lines ought to be and cannot be had."""

from pathlib import Path

import pytest

from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.missing import LinePosition, missing_hours, unreadable
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import HOUR_MS

PLAIN, PACKED = Path("03.jsonl"), Path("03.jsonl.gz")
POSITIONS = [
    LinePosition(10_000, PACKED, 0),
    LinePosition(12_000, PACKED, 100),
    LinePosition(13_900, PLAIN, 0),
    LinePosition(16_000, PLAIN, 100),
]


def slot_of(ts_ms):
    return -(-ts_ms // 2_000) * 2_000


@pytest.mark.parametrize(
    ("path", "offset", "expected"),
    [
        (PACKED, 50, [(10_001, 12_000)]),
        (PACKED, 200, [(12_001, HOUR_MS)]),
        (PLAIN, 50, [(14_001, 16_000)]),
        (PLAIN, 0, [(0, 16_000)]),
        (Path("03.parquet"), 0, [(0, HOUR_MS)]),
    ],
    ids=["between two lines", "behind the last", "of the other file", "the first", "of a file without lines"],
)
def test_what_cannot_be_read_is_unknown_from_the_line_before_to_the_line_after(path, offset, expected):
    found = unreadable(POSITIONS, [Finding(path, offset, "torn")], 0, slot_of)
    assert list(found) == [MissingLines(*bounds, "unreadable") for bounds in expected]


def test_nothing_found_is_nothing_absent():
    assert list(unreadable(POSITIONS, [], 0, slot_of)) == []


def test_hours_without_a_file_are_absent_and_retention_is_told_from_the_rest():
    found = list(missing_hours({HOUR_MS}, {2 * HOUR_MS}, (5, 3 * HOUR_MS + 1)))
    assert found == [
        MissingLines(0, HOUR_MS, "no file"),
        MissingLines(2 * HOUR_MS, 3 * HOUR_MS, "retention"),
        MissingLines(3 * HOUR_MS, 4 * HOUR_MS, "no file"),
    ]


def test_hours_that_follow_each_other_without_a_file_are_one_span_however_many():
    year_9999_ms = 253_370_764_800_000
    found = list(missing_hours({HOUR_MS, 4 * HOUR_MS}, {HOUR_MS, 3 * HOUR_MS}, (0, year_9999_ms)))
    assert found == [
        MissingLines(0, HOUR_MS, "no file"),
        MissingLines(2 * HOUR_MS, 3 * HOUR_MS, "no file"),
        MissingLines(3 * HOUR_MS, 4 * HOUR_MS, "retention"),
        MissingLines(5 * HOUR_MS, year_9999_ms, "no file"),
    ]
