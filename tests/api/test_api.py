"""`import l2vault` is enough: the examples of the public door, on files of every form, and how it refuses."""

import datetime as dt
import subprocess
import sys
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import l2vault
from l2vault.api.result import Provenance
from l2vault.vault.archive.write import archive_hour
from support.hours import CADENCE_MS, HOUR_AT_MS, INST, put
from support.small_vault import books as recorded
from support.small_vault import small_vault

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
NEWEST_MS = HOUR_AT_MS + 299 * CADENCE_MS
UTC_MS = pl.Datetime("ms", "UTC")


@pytest.fixture
def vault(tmp_path):
    small_vault(tmp_path / "Vault")
    return l2vault.open(tmp_path / "Vault")


@pytest.fixture(params=["plain", "gzip", "archive"])
def any_vault(request, tmp_path):
    layout, path = small_vault(tmp_path / "Vault", packed=request.param == "gzip")
    if request.param == "archive":
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
    return l2vault.open(tmp_path / "Vault")


def test_the_names_are_these_and_one_that_leaves_needs_an_entry():
    assert sorted(l2vault.__all__) == dir(l2vault)
    text = CHANGELOG.read_text(encoding="utf-8")
    (entry,) = [part for part in text.split("\n- ") if part.startswith("Public names")]
    named = {word.removeprefix("l2vault.") for word in entry.replace("`", " ").split() if word.startswith("l2vault.")}
    assert named == set(l2vault.__all__), "CHANGELOG.md lists the public names: change it with them"
    for name in l2vault.__all__:
        assert getattr(l2vault, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opens'"):
        l2vault.opens  # noqa: B018


def test_no_vault_is_an_error_with_a_cure(tmp_path):
    with pytest.raises(l2vault.errors.VaultError) as caught:
        l2vault.open(tmp_path / "nowhere")
    assert "no vault at" in caught.value.message
    assert "l2vault.open(FOLDER)" in caught.value.cure


def test_a_name_that_is_not_held_is_answered_with_the_nearest(vault):
    for ask in (vault.books, vault.snapshots, vault.coverage, vault.levels, vault.follow):
        with pytest.raises(l2vault.errors.VaultError, match=f"holds nothing of BTC-USD-SWAP. Try: {INST}"):
            ask("BTC-USD-SWAP")


def test_every_measure_is_a_method_that_gives_a_result(vault):
    books = vault.books(INST, last="2h")
    measures = [
        books.walls(),
        books.walls(min_size="5M", unit="usd"),
        books.walls(lives=True, per_order=10, relative=2),
        books.spread(step="1m"),
        books.imbalance(),
        books.depth(),
        books.slippage(["10k", 1e6]),
        books.zones(),
        books.shifts(horizon=dt.timedelta(minutes=2)),
        books.heatmap(),
        books.spread().summary(),
    ]
    for result in measures:
        assert isinstance(result, l2vault.Result)
        times = [name for name in ("t_from", "t_to", "t_first", "t_last") if name in result.frame.columns]
        assert all(result.frame.schema[name] == UTC_MS for name in times)
        assert all(result.to_polars(raw=True).schema[name] == pl.Int64 for name in times)
        assert all(str(result.to_pandas()[name].dtype) == "datetime64[ms, UTC]" for name in times)
        assert all(result.to_arrow().schema.field(name).type == pa.timestamp("ms", "UTC") for name in times)
        assert not {"vouched_share", "told_share", "eaten_share"} & set(result.frame.columns)
        assert result.provenance.inst_id == INST
        assert result.provenance.cadence_ms == CADENCE_MS
        assert 0 < result.provenance.covered_share < 0.1  # ten minutes of two hours: the span is as long as asked for
        assert result.provenance.method in str(result)
        assert result.provenance.method in result._repr_html_()
        assert "<table" in result._repr_html_()
    assert len({result.provenance.method for result in measures}) == 9  # walls of a size alone, and whales


def test_a_result_keeps_all_it_rests_on(vault):
    provenance = vault.books(INST, start="2024-08-20T03:00Z", end="2024-08-20T03:10Z").walls(min_size="500k").provenance
    assert {field.name for field in fields(Provenance)} >= {"start", "end", "covered_share", "visible", "cadence_ms"}
    assert provenance.end - provenance.start == dt.timedelta(minutes=10)
    assert provenance.covered_share == pytest.approx((600_000 - 7_700) / 600_000)
    assert provenance.settings["threshold"] == 500_000
    assert provenance.holes == 1
    assert provenance.visible["bid"].most_bps is None


def test_steps_say_how_much_of_each_is_covered(vault):
    steps = vault.books(INST).spread(step="1m").frame
    assert steps["spread"].to_list() == [2.0] * 10
    assert steps["covered_share"].to_list()[:3] == pytest.approx([1, 1, 1 - 7.7 / 60])


def test_books_know_their_coverage_and_any_book(vault):
    books = vault.books(INST, start="2024-08-20T03:00Z", end="2024-08-20T03:10Z")
    assert isinstance(books.coverage, l2vault.Coverage)
    assert books.coverage.covered_share == 0.99
    assert [hole for hole in vault.coverage(INST).holes if hole.start_ms >= HOUR_AT_MS] == books.coverage.holes
    book = books.at("2024-08-20T03:05:01Z")
    assert (book.best_bid, book.best_ask, book.mid, book.state, book.age_ms) == (59999, 60001, 60000, "recorded", 1000)
    assert book == vault.book_at(INST, HOUR_AT_MS + 301_000)


def test_a_book_inside_a_hole_says_so(vault):
    book = vault.book_at(INST, HOUR_AT_MS + 123_000)
    assert (book.state, book.cause, book.age_ms) == ("missing", "chain", 3_000)
    assert "3 s old (missing: chain)" in repr(book)


def test_before_the_first_book_there_is_none(vault):
    with pytest.raises(l2vault.errors.VaultError, match=r"no book .* Try: 2024-08-20T03:00:00.000Z or later"):
        vault.book_at(INST, "2024-08-20T02:59Z")


def test_snapshots_are_the_same_in_every_form(any_vault):
    snapshots = any_vault.snapshots(INST, start="2024-08-20T03:00Z", end="2024-08-20T03:10Z")
    assert [book.ts_ms for book in snapshots] == [book.ts_ms for book in recorded()]
    assert all(isinstance(book, l2vault.Snapshot) for book in snapshots)
    frame = snapshots.to_polars(levels=2)
    assert frame.schema["time"] == UTC_MS
    assert frame["time"].to_list() == [book.time for book in snapshots]
    assert frame.select("best_bid", "best_ask", "mid", "spread").unique().rows() == [(59999, 60001, 60000, 2)]
    assert frame["bid_qty_2"].to_list() == [float(book.bids[1][1]) for book in recorded()]
    assert frame["ask_orders_2"].to_list() == [40] * 297
    assert not frame["gap_detected"].any()
    deep = snapshots.to_pandas(levels=10)
    assert deep["bid_price_3"].isna().all()
    assert str(deep["time"].dtype) == "datetime64[ms, UTC]"
    assert snapshots.to_arrow(levels=0).num_columns == 8
    assert snapshots.to_polars(raw=True)["time"][0] == HOUR_AT_MS
    assert len(snapshots.coverage.holes) == 1


def test_the_tail_yields_the_same_type_with_the_same_measures(vault):
    tail = vault.follow(INST, since=HOUR_AT_MS)
    for book, line in zip(islice(tail, 5), recorded(), strict=False):
        assert isinstance(book, l2vault.Snapshot)
        assert book == vault.book_at(INST, line.ts_ms)
        assert (book.mid, book.best_bid, book.best_ask) == (60_000, 59_999, 60_001)
        assert book.spread_bps == pytest.approx(2 / 60_000 * 1e4)
        assert -1 < book.imbalance(10) < 1


def test_measures_of_one_book_are_those_of_history(vault):
    books = vault.books(INST)
    sizes = [1e3, 1e5, 2e6]
    for unit in ("usd", "coin", "contracts"):
        wide = {"unit": unit, "bands_bps": [0.1, 2, 21]}
        spread = books.spread(unit=unit).to_polars(raw=True)
        rows = pl.concat(
            [
                spread.select("t_from", "mid", "microprice", "spread", "spread_bps"),
                books.imbalance(levels=[1, 10], **wide).frame.select("top1", "top10"),
                books.depth(**wide).frame.select("bid_0.1bps", "bid_2bps", "bid_21bps", "ask_2bps", "ask_21bps"),
                books.slippage(sizes).frame.select(pl.col("^(buy|sell)_.*_bps$")),
            ],
            how="horizontal",
        )
        for row in rows.iter_rows(named=True):
            book = vault.book_at(INST, row["t_from"])
            one = [book.mid, book.microprice, book.spread, book.spread_bps, book.imbalance(1, unit)]
            one += [book.imbalance(10, unit), *(book.depth(bps, unit).bid for bps in (0.1, 2, 21))]
            one += [book.depth(2, unit).ask, book.depth(21, unit).ask]
            one += [book.slippage(size).buy_bps for size in sizes] + [book.slippage(size).sell_bps for size in sizes]
            for found, expected in zip(one, list(row.values())[1:], strict=True):
                assert found == (expected if expected is None else pytest.approx(expected, rel=1e-9)), row


def test_an_empty_side_has_no_measure(tmp_path):
    layout, path = small_vault(tmp_path / "Vault")
    path.unlink()
    put(layout, [next(recorded()).__class__(INST, HOUR_AT_MS, 400, [("1", "2", "0", "1")], [], None, 1, 0)])
    book = l2vault.open(layout.root).book_at(INST, HOUR_AT_MS)
    assert (book.mid, book.spread, book.spread_bps, book.microprice, book.best_ask) == (None,) * 5
    assert book.depth(10) == (None, None)
    assert book.slippage("1k") == (None, None)
    assert book.imbalance() == 1


def test_a_full_window_claims_nothing_beyond_it(tmp_path):
    layout, path = small_vault(tmp_path / "Vault")
    path.unlink()
    first = next(recorded())
    put(layout, [first.__class__(INST, HOUR_AT_MS, 2, first.bids, first.asks, None, 1, 0)])
    book = l2vault.open(layout.root).book_at(INST, HOUR_AT_MS)
    assert book.depth(10, "contracts") == (None, 2.5)
    assert book.depth(1, "contracts") == (10, 2.5)


def test_without_an_instrument_row_contracts_still_count(vault, tmp_path):
    for path in (tmp_path / "Vault" / "meta" / "okx" / "instruments").iterdir():
        path.unlink()
    book = vault.book_at(INST, NEWEST_MS)
    assert book.imbalance(1, "contracts") == pytest.approx(0.6)
    with pytest.raises(l2vault.errors.VaultError, match="no instrument row"):
        book.imbalance(1)


T = HOUR_AT_MS + 300_000
TIMES = [
    "2024-08-20T03:05Z",
    "2024-08-20 03:05",
    dt.datetime(2024, 8, 20, 3, 5, tzinfo=dt.UTC),
    pd.Timestamp("2024-08-20T03:05Z"),
    np.datetime64("2024-08-20T03:05"),
    np.datetime64("2024-08-20T03:05:00.000000000"),
    T,
    np.int64(T),
    np.uint64(T),
    float(T),
    np.float64(T),
    pa.scalar(T, pa.timestamp("ms", "UTC")),
]


@pytest.mark.parametrize("time", TIMES, ids=repr)
def test_any_way_to_write_a_time_is_taken(vault, time):
    assert vault.book_at(INST, time).ts_ms == T
    assert next(iter(vault.snapshots(INST, start=time))).ts_ms == T


def test_a_date_is_its_midnight_and_now_is_now(vault):
    day = dt.date(2024, 8, 20)
    assert len(list(vault.snapshots(INST, start=day, end=day + dt.timedelta(days=1)))) == 297
    assert vault.book_at(INST, "now").ts_ms == NEWEST_MS


def test_a_value_of_our_own_frames_is_taken(vault):
    books = vault.books(INST)
    for result in (books.spread(step="5m"), books.walls(min_size="500k"), vault.levels(INST), vault.snapshots(INST)):
        name = "time" if "time" in result.to_polars().columns else "t_to"
        expected = result.to_polars(raw=True)[name][-1]
        for value in (
            result.to_polars()[name][-1],
            result.to_polars(raw=True)[name][-1],
            result.to_polars()[name].to_numpy()[-1],
            result.to_pandas()[name].iloc[-1],
            result.to_pandas(raw=True)[name].iloc[-1],
            result.to_arrow()[name][-1],
        ):
            assert vault.coverage(INST, end=value, last="1h").end_ms == expected


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"last": "2h", "start": T}, "both say where"),
        ({"last": "soon"}, "no duration"),
        ({"last": 5}, "no length of time"),
        ({"start": T, "end": T}, "empty"),
        ({"start": pd.NaT}, "NaT"),
        ({"start": "2025-01-01"}, "Try: a time in 2024-08-20T03:00:00.000Z to 2024-08-20T03:09:58.000Z"),
        ({"end": "2024-01-01"}, "no book of BTC-USDT-SWAP in that span"),
    ],
)
def test_an_impossible_span_is_refused_with_a_cure(vault, asked, reason):
    for ask in (vault.books, vault.snapshots, vault.levels, vault.coverage, vault.duckdb):
        with pytest.raises(l2vault.errors.L2VaultError, match=reason) as caught:
            ask(INST, **asked)
        assert caught.value.cure


def test_duckdb_asks_all_forms_together(tmp_path):
    layout, path = small_vault(tmp_path / "Vault")
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    for hour, packed in ((1, True), (2, False)):
        later = [book.__class__(INST, book.ts_ms + hour * 3_600_000, *_rest(book)) for book in islice(recorded(), 30)]
        put(layout, later, packed)
    with l2vault.open(layout.root).duckdb(INST, levels=1) as sql:
        hours = sql.sql("SELECT hour(time), count(*), avg(mid) FROM snapshots GROUP BY ALL ORDER BY ALL").fetchall()
        standing = sql.sql("SELECT max(qty) FROM levels WHERE side = 'ask'").fetchall()
        holes = sql.sql("SELECT count(*) FROM holes WHERE cause = 'chain'").fetchall()
    assert hours == [(3, 297, 60_000), (4, 30, 60_000), (5, 30, 60_000)]
    assert (standing, holes) == ([(900,)], [(1,)])


def _rest(book):
    return book.depth, book.bids, book.asks, book.checksum, book.seq_id, book.prev_seq_id


def test_each_repr_is_a_sentence(vault):
    books = vault.books(INST, last="5m")
    for thing in (vault, books, vault.snapshots(INST), vault.coverage(INST), vault.levels(INST), vault.follow(INST)):
        assert "object at 0x" not in repr(thing)
        assert len(repr(thing)) < 250  # the folder is part of it


def test_the_live_tail_needs_no_library_of_the_analysis(tmp_path):
    small_vault(tmp_path / "Vault")
    code = f"""
import sys
for name in ("numpy", "polars", "pyarrow", "pandas", "duckdb"):
    sys.modules[name] = None
import l2vault
book = next(l2vault.open("Vault").follow("{INST}", since="2024-08-20T03:00Z"))
print(book.spread_bps, book.imbalance(10), book.mid, book.microprice, book.depth(5), book.slippage("10k"))
try:
    l2vault.open("Vault").books("{INST}")
except l2vault.errors.VaultError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("0.3333")
    assert "this needs the analysis extra" in second


def test_nothing_the_door_gives_is_any():
    import typing

    from l2vault.api import books, result, snapshot, snapshots, vault

    for room in (books, result, snapshot, snapshots, vault):
        assert typing.Any not in vars(room).values()
