"""What the snapshots table says of a book is what its levels say, and questions of books alone read no level."""

import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from l2vault.analytics import books as books_module
from l2vault.analytics.books import read_books
from l2vault.analytics.interval_rows import BookRows, Piece, order_of
from l2vault.analytics.metrics import spread
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.intervals import OLD_SNAPSHOTS
from l2vault.vault.archive.parquet import encode_levels, encode_table, facts_of, opened, read_levels
from l2vault.vault.archive.read import archived_lines, read_archived
from l2vault.vault.archive.write import archive_hour, check_archive
from l2vault.vault.coverage.checked import check_hours
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, journal_v1_of, levels, line, put, started, synced

SPAN = HOUR_AT_MS + 1_000, HOUR_AT_MS + 11_000
"""Begins within the first book and ends within the last one."""

LINES = [
    line(0, levels("59990 2.5 1", "59980 7 3"), levels("60001 2 1"), depth=2),
    line(2000, levels("59990 1 1"), levels("60001 2 1", "60002 1 1"), depth=2),
    line(4000, [], levels("60002 1 1"), depth=2),
    line(6000, levels("59991.5 4 1", "59980 7 3"), [], depth=2),
    line(6000, levels("59991 4 1", "59980 7 3"), levels("60003 9 1"), depth=2),
    line(10_000, levels("59991 5 1", "59979 7 3"), levels("60003 9 1"), depth=2),
]


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "Vault")
    put(layout, LINES)
    journal_v1_of(layout, started(0), synced(0))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    return layout


def archive(layout):
    (path,) = layout.root.glob("raw/okx/l2_perps/*/*/*.jsonl")
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    return layout.archived_hour(INST, HOUR_AT_MS)


def as_version_1(archived):
    """Its two files as they were before the snapshots had what is of the levels."""
    hour = read_archived(archived)
    with opened(archived.levels) as file:
        facts = msgspec.structs.replace(facts_of(file), schema_version=1)
        rows = read_levels(file)
    archived.levels.write_bytes(encode_levels(rows, facts))
    old = hour.snapshots.select(OLD_SNAPSHOTS.names)
    archived.snapshots.write_bytes(encode_table([old], OLD_SNAPSHOTS, {}, facts))


def books_of_vault(layout):
    return read_books(layout.root, INST, *SPAN)


def said(rows):
    """All that books are asked for."""
    of_sides = (
        [rows.count(side), rows.is_full[side], rows.visible_bps(side), rows.best_qty(side)] for side in ("bid", "ask")
    )
    ends = (rows.best.bid, rows.best.ask, rows.worst.bid, rows.worst.ask, rows.mid)
    return np.array([*ends, *(each.astype(float) for side in of_sides for each in side)])


def as_said(pieces):
    return [(type(piece) is BookRows, said(piece)) for piece in pieces]


def without_what_is_told(pieces):
    return [
        said(Piece(piece.levels, piece.books.select("t_from", "t_to", "depth"), piece.contract)) for piece in pieces
    ]


def test_the_snapshots_table_says_of_each_book_what_its_levels_say(layout):
    (found,) = books_of_vault(layout).mapped(without_what_is_told)
    assert found[0].shape == (13, 5)  # of the two lines of one time the first never stood
    for wanted in (False, True):
        for is_light in ("mapped", "mapped_books"):
            (told,) = getattr(books_of_vault(layout), is_light)(as_said)
            assert [books_alone for books_alone, _ in told] == [wanted and is_light == "mapped_books"]
            np.testing.assert_array_equal([each for _, each in told], found)
        if not wanted:
            archive(layout)


def test_spread_reads_no_level_of_an_hour_with_columns(layout, monkeypatch):
    of_lines = spread(books_of_vault(layout))
    archive(layout)
    monkeypatch.delattr(books_module, "archived_frames")
    of_columns = spread(books_of_vault(layout))
    assert of_columns.frame.equals(of_lines.frame) and of_columns.provenance == of_lines.provenance
    assert of_lines.frame["bid_size"].to_list() == [1499.75, 599.9, None, 2399.64, 2999.55]


@pytest.mark.parametrize("is_checked", [False, True])
def test_an_archive_that_was_checked_is_not_read_through_again(layout, monkeypatch, is_checked):
    archive(layout)
    noted = []
    monkeypatch.setattr("l2vault.vault.archive.frames.note_read_through", noted.append)
    monkeypatch.setattr(Vault, "is_checked", lambda vault, forms: is_checked)
    assert list(books_of_vault(layout).mapped(lambda pieces: sum(len(piece.levels) for piece in pieces))) != [0]
    assert len(noted) == (not is_checked)


def test_an_archive_of_schema_version_1_is_read_and_checked_as_before(layout):
    of_lines = spread(books_of_vault(layout))
    archived = archive(layout)
    lines = archived_lines(archived)
    as_version_1(archived)
    assert archived_lines(archived) == lines and check_archive(archived) is None
    of_old = spread(books_of_vault(layout))
    assert of_old.frame.equals(of_lines.frame) and of_old.provenance == of_lines.provenance


@pytest.mark.parametrize("most", [1, 2**16, 2**33, 2**62])
def test_whole_numbers_of_any_size_are_ordered_and_equal_ones_keep_their_order(most):
    random = np.random.default_rng(most)
    numbers = random.integers(0, most, 300).repeat(2)[random.permutation(600)]
    np.testing.assert_array_equal(order_of(numbers), np.argsort(numbers, kind="stable"))
    np.testing.assert_array_equal(order_of(numbers[:0]), [])


COLUMNS_ALONE = """
import sys
from l2vault.analytics.books import read_books
books = read_books(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
print([[len(piece.levels) for piece in pieces] for pieces in books.mapped(list)], "pyarrow.compute" in sys.modules)
"""


def test_columns_are_read_without_pyarrow_s_compute(layout):
    """It takes a tenth of the time in which a short question is answered."""
    archive(layout)
    put(layout, [line(3_600_000, levels("59990 1 1"), levels("60001 2 1"), depth=2)])  # the newest hour is never noted
    check_hours(layout, sys.maxsize)
    words = [str(layout.root), INST, *map(str, SPAN)]
    done = subprocess.run([sys.executable, "-c", COLUMNS_ALONE, *words], capture_output=True, text=True, check=True)
    ((piece,),) = books_of_vault(layout).mapped(list)
    assert done.stdout == f"[[{len(piece.levels)}]] False\n"
