"""The last book at or before a moment, wherever and in whatever form its line stands."""

import gzip
import subprocess
import sys

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import HOUR_MS, Layout

BTC = "BTC-USDT-SWAP"
HOUR_AT_MS = utc_ms("2024-08-20T03:00:00.000Z")
DAY_MS = 24 * HOUR_MS


def last_book(layout, inst_id, at_ms):
    """As `l2vault show` asks for it."""
    return Vault(layout).book_at(inst_id, at_ms, with_flagged=True)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def book(ts_ms, seq_id=1, flagged=False):
    return Snapshot(BTC, ts_ms, 400, [("100", "5", "0", "2")], [], 0, seq_id, 0, flagged)


def put(layout, *books, packed=False, tail=b""):
    path = layout.hour_file(BTC, books[0].ts_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(to_line(each) + b"\n" for each in books) + tail
    if packed:
        path = path.with_name(path.name + ".gz")
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at_ms", "expected_ms"),
    [
        (HOUR_AT_MS + 1, None),
        (HOUR_AT_MS + 2, HOUR_AT_MS + 2),
        (HOUR_AT_MS + 3, HOUR_AT_MS + 2),
        (HOUR_AT_MS + 4, HOUR_AT_MS + 4),
        (HOUR_AT_MS + HOUR_MS, HOUR_AT_MS + 4),
        (HOUR_AT_MS + HOUR_MS + 9, HOUR_AT_MS + HOUR_MS + 9),
        (HOUR_AT_MS + DAY_MS - 1, HOUR_AT_MS + HOUR_MS + 9),
        (HOUR_AT_MS + 3 * DAY_MS, HOUR_AT_MS + DAY_MS),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_it_is_the_newest_line_that_is_not_newer_than_the_moment(layout, at_ms, expected_ms, packed):
    put(layout, book(HOUR_AT_MS + 2), book(HOUR_AT_MS + 4), packed=packed)
    put(layout, book(HOUR_AT_MS + HOUR_MS + 9))
    put(layout, book(HOUR_AT_MS + DAY_MS), packed=packed)
    found = last_book(layout, BTC, at_ms)
    assert (found and found.snapshot.ts_ms) == expected_ms


def test_of_two_lines_of_one_time_it_is_the_later_one(layout):
    put(layout, book(HOUR_AT_MS, 1), book(HOUR_AT_MS, 2, flagged=True))
    assert last_book(layout, BTC, HOUR_AT_MS).snapshot.gap_detected


def test_both_forms_of_an_hour_are_asked(layout):
    put(layout, book(HOUR_AT_MS), book(HOUR_AT_MS + 5), packed=True)
    put(layout, book(HOUR_AT_MS + 7))
    assert last_book(layout, BTC, HOUR_AT_MS + 6).snapshot.ts_ms == HOUR_AT_MS + 5
    assert last_book(layout, BTC, HOUR_AT_MS + 8).snapshot.ts_ms == HOUR_AT_MS + 7


def test_a_foreign_line_is_passed_by_and_told_and_the_torn_end_of_the_newest_hour_is_normal(layout):
    foreign = to_line(book(HOUR_AT_MS + 4)).replace(b"okx", b"not")
    path = put(layout, book(HOUR_AT_MS + 2), tail=foreign + b"\n" + b'{"timestamp_utc":"2024-08-20T03:00:00.006Z","ex')
    found = last_book(layout, BTC, HOUR_AT_MS + 9)
    assert found.snapshot.ts_ms == HOUR_AT_MS + 2
    offset = len(to_line(book(HOUR_AT_MS + 2))) + 1
    assert found.findings == [Finding(path, offset, "not a line of OKX perp books: not, perp, books")]


def test_an_hour_without_a_readable_line_gives_way_to_the_one_before(layout):
    put(layout, book(HOUR_AT_MS + 2))
    gz = put(layout, book(HOUR_AT_MS + HOUR_MS), packed=True)
    gz.write_bytes(gz.read_bytes()[:15])
    found = last_book(layout, BTC, HOUR_AT_MS + DAY_MS)
    assert found.snapshot.ts_ms == HOUR_AT_MS + 2
    assert found.findings == [Finding(gz, 0, "the gzip data ends too early")]


def test_an_hour_that_is_only_in_the_archive_is_read_from_there(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour

    path = put(layout, book(HOUR_AT_MS + 2), book(HOUR_AT_MS + 4))
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    assert last_book(layout, BTC, HOUR_AT_MS + 3).snapshot == book(HOUR_AT_MS + 2)


def test_levels_from_the_archive_are_in_the_order_of_their_prices(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour

    bids = [("100.1", "5", "0", "2"), ("99.8", "5", "0", "2"), ("9.5", "5", "0", "2")]
    asks = [("999.9", "5", "0", "2"), ("1000", "5", "0", "2"), ("1000.1", "5", "0", "2"), ("20000", "5", "0", "2")]
    stands = Snapshot(BTC, HOUR_AT_MS + 2, 400, bids, asks, 0, 1, 0, False)
    path = put(layout, stands)
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    assert last_book(layout, BTC, HOUR_AT_MS + 3).snapshot == stands


ONE_BOOK = """
import sys
from pathlib import Path
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout
found = Vault(Layout(Path(sys.argv[1]))).book_at("BTC-USDT-SWAP", int(sys.argv[2]))
print(found.snapshot.ts_ms, [name for name in ("pyarrow", "pandas", "polars", "duckdb") if name in sys.modules])
"""


def test_one_book_of_an_archive_loads_no_library_of_tables(layout):
    """At the first Arrow value made of a Python one pyarrow loads pandas, which takes longer than all the rest."""
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour

    path = put(layout, book(HOUR_AT_MS + 2), book(HOUR_AT_MS + 4))
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    command = [sys.executable, "-c", ONE_BOOK, str(layout.root), str(HOUR_AT_MS + 3)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(HOUR_AT_MS + 2), "['pyarrow']\n"]


def test_without_the_libraries_for_archives_it_says_what_is_missing(layout, monkeypatch):
    files = layout.archived_hour(BTC, HOUR_AT_MS)
    for path in (files.levels, files.snapshots):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "l2vault.vault.archive.read", None)
    with pytest.raises(VaultError, match="needs the analysis extra"):
        last_book(layout, BTC, HOUR_AT_MS + HOUR_MS)


def test_an_instrument_the_vault_does_not_hold_has_no_book(layout):
    assert last_book(layout, "ETH-USDT-SWAP", HOUR_AT_MS) is None
