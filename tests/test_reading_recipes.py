"""Every block of docs/reading.md and docs/intelligence.md runs as it stands and is right on a small vault. Blocks of
`py` need more than a vault: a cluster (tests/analytics has one)."""

import re
from pathlib import Path

import duckdb
import pytest

from l2vault.vault.archive.write import archive_hour
from support.hours import HOUR_AT_MS, INST
from support.small_vault import small_vault

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCKS = [
    block
    for name in ("reading.md", "intelligence.md")
    for block in re.findall(r"^```(\w+)\n(.*?)^```$", (DOCS / name).read_text(encoding="utf-8"), re.M | re.S)
]
PYTHON = [code for language, code in BLOCKS if language == "python"]
SQL = [code for language, code in BLOCKS if language == "sql"]


@pytest.fixture(autouse=True)
def vault(tmp_path, monkeypatch):
    layout, path = small_vault(tmp_path / "Vault")
    archive_hour(layout, layout.parse_hour_file(path))
    of_trades = layout.of("trades")
    archive_hour(of_trades, of_trades.parse_hour_file(of_trades.hour_file(INST, HOUR_AT_MS)))
    monkeypatch.chdir(tmp_path)
    return layout


def run(block):
    names = {}
    exec(compile(block, "docs", "exec"), names)  # noqa: S102 - the documentation is what is tested
    return names


def python_with(*words):
    return run(next(code for code in PYTHON if all(word in code for word in words)))


@pytest.fixture
def ask():
    """Runs the one query that has all of these words, behind the views; gives its rows."""
    with duckdb.connect() as connection:
        connection.execute(SQL[0])
        yield lambda *words: connection.execute(
            next(code for code in SQL[1:] if all(word in code for word in words))
        ).fetchall()


BOOK_AT_5_01 = [
    ("ask", 60120.0, 900.0, 40),
    ("ask", 60001.0, 2.5, 1),
    ("bid", 59999.0, 10.0, 3),
    ("bid", 59990.0, 151.0, 1),
]


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_every_python_block_runs(number):
    run(PYTHON[number])


def test_every_sql_block_runs():
    with duckdb.connect() as connection:
        for code in SQL:
            connection.execute(code)


def test_trades_come_once_and_their_coverage_names_what_lacks(capsys):
    names = python_with("trade.side")
    assert (names["volume"], names["frame"].height) == (298 * 6, 599)
    assert capsys.readouterr().out.splitlines() == ["1194 4 4 2 0.9917", "1603 1606 missing disconnect"]


def test_bars_and_the_cumulative_delta():
    names = python_with("cumulative_delta")
    bars = names["bars"]
    assert [(bar[0].minute, *bar[1:5]) for bar in bars] == [
        (at, 59999.0, 60001.0, 59999.0, 60001.0) for at in range(9)
    ] + [(9, 59999.0, 60001.0, 59999.0, 59999.0)]
    assert [bar[5:] for bar in bars[3:6]] == [(300.0, 120, False), (300.0, 120, True), (290.0, 116, True)]
    assert bars[-1][5] == 294.0
    assert len(names["delta"]) == 599
    assert round(names["delta"][-1][1], 9) == (298 * 6 - 299 * 4) / 100


def test_each_purchase_beside_the_book_before_it():
    rows = python_with("paid_bps")["paid_bps"]
    assert {round(bps, 6) for _, bps in rows} == {round((60001 / 60000 - 1) * 1e4, 6)}


def test_duckdb_alone_sums_up_archived_trades(ask):
    assert ask("AS pushes") == [("buy", 298 * 6.0, 299), ("sell", 299 * 4.0, 300)]


def test_the_basis_and_the_funding_that_was_paid():
    names = python_with("settled ASOF JOIN")
    assert len(names["basis"]) == 10
    assert {round(bps, 4) for _, bps in names["basis"]} == {-0.4333}
    ((settled_at, rate, mark, paid),) = names["paid"]
    assert (f"{settled_at:%H:%M:%S}", rate, mark) == ("03:05:00", 0.00005, 60000.5)
    assert round(paid, 6) == 3.000025


def test_the_context_has_a_frame_and_shares(capsys):
    names = python_with("basis_bps=(frame")
    assert names["premium"].columns == ["time", "basis_bps"]
    assert names["frame"].height == 300
    assert capsys.readouterr().out == "1.0 0.0\n"


def test_deep_books_have_a_frame_and_are_rebuilt_without_our_code():
    made = python_with("deep.frame")
    assert made["within_1_percent"].shape == (4, 3)
    assert made["within_1_percent"]["ask"][0] == pytest.approx(0.01 * (2.5 * 60_001 + 900 * 60_120 + 5 * 16 * 60_375))
    books = python_with("books_full")["books"]
    assert len(books) == 20
    assert books["2024-08-20T03:05:10.000Z"]["bids"]["59990"] == ["156", "1"]
    assert all(len(levels) == 45 for book in books.values() for levels in book.values())


def test_rpi_books_have_a_frame_with_the_part_of_rpi_orders():
    made = python_with("rpi.frame")
    assert made["best"] == ("60000.5", "4", "0", "1")
    assert made["levels"].columns[4:9] == ["size", "non_rpi", "rpi", "usd", "rpi_usd"]
    assert made["rpi_usd"].shape == (4, 3)
    assert made["rpi_usd"]["ask"].to_list() == pytest.approx([0.01 * 4 * 60_000.5] * 4)
    assert made["rpi_usd"]["bid"].to_list() == pytest.approx([0.01 * 2.5 * 59_999] * 4)


def test_duckdb_alone_reads_the_lines_of_the_context():
    ((hour, usd),) = python_with("read_json", "oiUsd")["per_hour"]
    assert (hour.hour, usd) == (3, 1329667806.0)


def test_plain_python_reads_every_book(vault):
    best_bids = python_with("json.loads")["best_bids"]
    assert len(best_bids) == 297
    assert set(best_bids.values()) == {"59999"}


def test_our_reader_gives_books_and_a_book_at_a_moment(capsys):
    names = python_with("book_at")
    assert names["depths"] == [2] * 297
    assert names["found"].bids[1][:2] == ("59990", "151")
    assert capsys.readouterr().out == "59999.0 1000 recorded\n"


def test_coverage_names_the_hole(capsys):
    names = python_with("coverage.count")
    shares = names["shares"]
    assert shares == {"recorded": 0.99, "quiet": 0, "missing": 0.01, "unknown": 0}
    assert capsys.readouterr().out.endswith("2024-08-20T03:10:00.000Z: 99 % of 300 slots, 1 hole>\n")
    assert names["holes"].select("kind", "cause", "slots").rows() == [("missing", "chain", 3)]


def test_the_tail_gives_each_line(capsys):
    python_with("follow")
    assert [text.split()[0] for text in capsys.readouterr().out.splitlines()] == [
        str(HOUR_AT_MS + offset_ms) for offset_ms in (0, 2_000, 4_000)
    ]


def test_the_level_table_ends_rows_at_the_hole():
    names = python_with("alive_sec")
    assert (names["longest"].price, names["longest"].alive_sec) == (59999.0, 600 - 128)
    assert len(names["frame"]) == 297 + 3 * 2


def test_duckdb_alone_gives_the_book_at_a_moment(ask):
    assert ask("SELECT side, price, qty, orders") == BOOK_AT_5_01


def test_duckdb_alone_finds_the_largest_resting_bid_by_time_alive(ask):
    rows = ask("contract_sec")
    alive_sec = 600 - 128 + 120.3
    assert rows[0] == pytest.approx((59999.0, 10.0, alive_sec, 10 * alive_sec))
    assert rows[1] == pytest.approx((59990.0, 300.0, 2.0, 600.0))


def test_duckdb_alone_gives_the_depth_near_the_mid_price_each_minute(ask):
    rows = ask("mids AS")
    times = [(row[0].hour, row[0].minute, row[0].second) for row in rows]
    assert times == [(3, minute, 0) for minute in range(10)]
    assert [row[1:] for row in rows[:3]] == [
        (60000.0, 10 + 1, 2.5),
        (60000.0, 10 + 31, 2.5),
        (60000.0, 10 + 61, 2.5),
    ]


def test_duckdb_reads_the_raw_lines_too(ask):
    rows = ask("read_json")
    assert (len(rows), rows[0]) == (297, (HOUR_AT_MS, "59999", "10"))


def test_polars_and_pandas_alone_give_the_book_at_a_moment(vault):
    vault.hour_file(INST, HOUR_AT_MS).unlink()
    book = python_with("pl.scan_parquet")["book"]
    assert sorted(book.rows()) == sorted(BOOK_AT_5_01)
    rows = python_with("read_parquet(", "pandas")["rows"]
    assert sorted(rows[["side", "price", "qty", "orders"]].itertuples(index=False, name=None)) == sorted(BOOK_AT_5_01)


def test_walls_tell_their_threshold_and_what_they_rest_on(capsys):
    result = python_with("books.walls", "lives")["result"]
    settings = result.provenance.settings
    assert (settings["levels"], settings["times_usual"], settings["min_life_ms"]) == (4, 20, 10_000)
    assert result.frame.is_empty()  # four levels a book are too few to call one of them a whale
    assert str((600_000 - 7_700) / 600_000) in capsys.readouterr().out  # from the loss to the first line after it


def test_sql_over_every_form_counts_the_books_of_each_minute():
    minutes = python_with("duckdb(")["per_minute"]
    assert [row[1] for row in minutes] == [30, 30, 27, *[30] * 7]
