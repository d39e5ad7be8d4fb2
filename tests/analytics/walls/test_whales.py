"""Which levels are whales by default, and that all ways to work on the hours give the same; beside a plain loop."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault import cli
from l2vault.analytics import books as books_module
from l2vault.analytics import executors
from l2vault.analytics.books import books_of, read_books
from l2vault.analytics.walls.tracks import sorted_by, tracks_of
from l2vault.analytics.walls.usual import chance_size, quantile
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.errors import UsageError
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.layout import HOUR_MS, Layout
from support import reference_walls
from support.books import LINEAR, T0_MS, drawn, hand_made
from support.hours import HOUR_AT_MS, INST, journal_v1_of, levels, line, put, started, synced
from support.markets import markets

BOOKS = 450
"""A quarter of an hour."""
CADENCE_MS = 2_000
USD_A_CONTRACT = 600


def quiet_market(seed: int, books: int = BOOKS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """400 levels a side around a mid of 60,000, log-normal with the median and spread of real sizes (3,000 USD, 2.0):
    every level is drawn anew after a stay whose mean is 20 s. Nothing in it is a whale."""
    rng = np.random.default_rng(seed)
    rows = []
    for side, sign in (("bid", -1), ("ask", 1)):
        for rank in range(400):
            cuts = np.unique(np.append(np.cumsum(rng.geometric(0.1, books)), 0))
            cuts = np.append(cuts[cuts < books], books)
            sizes = np.exp(rng.normal(np.log(3_000), 2.0, len(cuts) - 1)) / USD_A_CONTRACT
            price = 60_000 + sign * (0.5 + 0.5 * rank)
            rows += [(side, price, *row) for row in zip(sizes, cuts[:-1], cuts[1:], strict=True)]
    frame = pl.DataFrame(rows, ["side", "price", "qty", "t_from", "t_to"], orient="row")
    return _timed(frame.with_columns(orders=pl.lit(1, pl.Int32)), books)


def _timed(frame: pl.DataFrame, books: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    held = pl.DataFrame({"t_from": np.arange(books), "t_to": np.arange(1, books + 1)})
    ms = pl.col("t_from", "t_to").cast(pl.Int64) * CADENCE_MS + T0_MS
    return frame.with_columns(ms), held.with_columns(ms, depth=pl.lit(400, pl.Int32))


def with_level(frame: pl.DataFrame, side: str, price: float, usd: float, first: int, past: int) -> pl.DataFrame:
    """The market with this much at a price of its own, between two others."""
    row = {"side": side, "price": price, "qty": usd / USD_A_CONTRACT, "orders": 2}
    times = {"t_from": T0_MS + first * CADENCE_MS, "t_to": T0_MS + past * CADENCE_MS}
    return pl.concat([frame, pl.DataFrame([row | times]).select(frame.columns).cast(dict(frame.schema))])


@pytest.mark.parametrize("seed", range(4))
def test_a_market_of_one_law_has_no_whale(seed):
    result = walls(books_of(*quiet_market(seed), LINEAR))
    assert result.frame.is_empty()
    assert result.provenance.settings["levels"] == 800
    assert result.provenance.settings["threshold"] < 40e6
    assert len(walls(books_of(*quiet_market(seed), LINEAR), criteria=Criteria(percentile=99.8)).frame) > 50


def test_a_whale_is_found_among_them_and_stands_first():
    frame, held = quiet_market(1)
    frame = with_level(frame, "ask", 60_030.25, 90e6, 100, BOOKS)
    frame = with_level(frame, "bid", 59_980.25, 60e6, 50, 60)
    frame = with_level(frame, "bid", 59_990.25, 500e6, 200, 203)  # for 6 s
    result = walls(books_of(frame, held, LINEAR))
    rows = sorted_by(tracks_of(result.frame, result.provenance.settings["last_mid"]), "weight")
    assert rows.select("side", "price", "end", "began").rows() == [
        ("ask", 60_030.25, "standing", "placed"),
        ("bid", 59_980.25, "pulled", "placed"),
    ]
    assert rows["standing_bps"].to_list() == [pytest.approx(30.25 / 60_000 * 1e4), None]
    assert rows["times_usual"].min() > 1_000
    assert rows["weight"][0] == pytest.approx(90e6 * 60_030.25 / 60_000 * (BOOKS - 100) * 2, rel=1e-3)
    short = walls(books_of(frame, held, LINEAR), criteria=Criteria(min_life_ms=0)).frame
    assert 59_990.25 in short["price"]


def test_whales_that_stand_all_the_time_do_not_hide_each_other():
    frame, held = quiet_market(3)
    prices = [60_000 + sign * (10.25 + 20 * nth) for sign in (-1, 1) for nth in range(2)]
    for price in prices:
        frame = with_level(frame, "bid" if price < 60_000 else "ask", price, 100e6, 0, BOOKS)
    assert sorted(walls(books_of(frame, held, LINEAR)).frame["price"]) == sorted(prices)


def test_a_whale_counts_for_as_long_as_it_was_in_sight_however_often_it_moved():
    frame, held = quiet_market(5)
    for nth in range(4):
        frame = with_level(frame, "ask", 60_030.25 + nth, 90e6, 100 + 2 * nth, 102 + 2 * nth)  # 4 s at each
    (track,) = tracks_of(walls(books_of(frame, held, LINEAR)).frame).to_dicts()
    assert (track["moves"], track["seen_ms"]) == (3, 16_000)


def test_a_level_is_compared_with_those_at_like_distance():
    """Where a hundred times as much is usual, at the touch, the same size is a hundredth of a whale."""
    frame, held = quiet_market(1)
    is_touch = (pl.col("price") - 60_000).abs() < 1.2
    frame = frame.with_columns(qty=pl.when(is_touch).then(pl.col("qty") * 100).otherwise("qty"))
    frame = with_level(frame, "ask", 60_000.25, 200e6, 100, 200)
    frame = with_level(frame, "ask", 60_030.25, 200e6, 100, 200)
    criteria = Criteria(min_size=190e6, times_usual=1)
    near, far = walls(books_of(frame, held, LINEAR), criteria=criteria).frame.sort("price")["times_usual"]
    assert 30 < far / near < 300
    only = walls(books_of(frame, held, LINEAR), criteria=Criteria(times_usual=2 * near)).frame
    assert only["price"].to_list() == [60_030.25]


def test_the_chance_size_goes_on_as_the_tail_begins():
    """A power law of exponent 1: a tenth of the levels has ten times the size."""
    shares = (np.arange(1_000_000) + 0.5) / 1_000_000
    frame, held = pl.DataFrame({"qty": 1 / (1 - shares)}), None
    by_size = _counted(frame["qty"].to_numpy())
    assert held is None
    assert quantile(by_size, 0.99) == pytest.approx(100, rel=0.02)
    assert chance_size(by_size) == pytest.approx(10_000, rel=0.05)


def _counted(sizes):
    from l2vault.analytics.interval_rows import Piece
    from l2vault.analytics.walls.usual import counted

    count = len(sizes)
    rows = pl.DataFrame({"price": np.linspace(50_000, 59_000, count), "qty": sizes}).with_columns(
        side=pl.lit("bid"), orders=pl.lit(1, pl.Int32), t_from=pl.lit(T0_MS), t_to=pl.lit(T0_MS + 2_000)
    )
    held = pl.DataFrame({"t_from": [T0_MS], "t_to": [T0_MS + 2_000], "depth": [400]})
    piece = Piece(rows, held, LINEAR)
    return counted(piece, piece.sizes("contracts")).sum(axis=0)


@pytest.mark.parametrize(("wrong", "says"), [({"times_usual": 0}, "times_usual = 0"), ({"min_life_ms": -1}, "-1 is")])
def test_impossible_criteria_are_refused(wrong, says):
    with pytest.raises(UsageError, match=says):
        Criteria(**wrong)


@given(markets(100.0), st.sampled_from([2, 3, 400]), st.sampled_from(["contracts", "usd"]), st.sampled_from([1, 2, 9]))
def test_the_ledger_is_that_of_a_plain_loop(drawings, depth, unit, at_once):
    books = hand_made(*drawings, depth=depth)
    threshold = 2.0 if unit == "contracts" else 2.0
    frame = None
    before = books_module._BOOKS_AT_ONCE
    books_module._BOOKS_AT_ONCE = at_once
    try:
        frame = walls(books, unit, Criteria(min_size=threshold)).frame
    finally:
        books_module._BOOKS_AT_ONCE = before
    expected = reference_walls.lives(hand_made(*drawings, depth=depth), unit, threshold)
    rows = frame.to_dicts()
    assert len(rows) == len(expected)
    for row, life in zip(rows, expected, strict=True):
        assert row["end"] == life.pop("end") or row["end"] == "moved"
        assert row["began"] == life.pop("began") or row["began"] in ("moved", "returned")
        for name, value in life.items():
            assert row[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value), name


def test_a_level_that_goes_on_over_a_hole_is_two_lives():
    """A vault ends its rows at a hole; frames of one's own need not."""
    row = {"side": "bid", "price": 99.0, "qty": 120.0, "orders": 1, "t_from": T0_MS, "t_to": T0_MS + 8_000}
    rows = pl.DataFrame([row, row | {"side": "ask", "price": 101.0, "qty": 5.0}])
    held = pl.DataFrame({"t_from": [T0_MS, T0_MS + 4_000], "t_to": [T0_MS + 2_000, T0_MS + 8_000], "depth": [400, 400]})
    frame = walls(books_of(rows, held, LINEAR), "contracts", Criteria(min_size=100)).frame
    assert frame.select("began", "end", "size_left").rows() == [("found", "gap", 120), ("returned", "standing", None)]


@pytest.mark.parametrize(("end_ms", "end"), [(8_000, "standing"), (7_000, "standing"), (8_001, "gap"), (60_000, "gap")])
def test_a_wall_stands_at_the_end_only_where_a_book_is_known_then(end_ms, end):
    whole = hand_made(*(drawn(at, "99 120 1", "101 5 1") for at in (0, 2_000, 4_000, 6_000)))
    ((levels, held),) = whole._frames()
    cut = [rows.with_columns(pl.col("t_to").clip(upper_bound=T0_MS + end_ms)) for rows in (levels, held)]
    span = T0_MS, T0_MS + end_ms
    books = books_module.Books(whole.inst_id, span, lambda: iter([tuple(cut)]), whole.periods)
    found = walls(books, "contracts", Criteria(min_size=100))
    assert found.frame.select("began", "end", "size_left").rows() == [("found", end, None)]
    assert found.provenance.behind_ms == max(0, end_ms - 8_000)


def three_hours(root: Path) -> Layout:
    """A wall that stands over the turns of two hours and one that is moved at the first, beside 40 small levels."""
    layout = Layout(root)
    every = range(0, 3 * HOUR_MS, 60_000)
    for hour in range(3):
        own = [offset for offset in every if offset // HOUR_MS == hour]
        put(layout, [_line(offset) for offset in own])
    journal_v1_of(layout, started(0), synced(0))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    return layout


def _line(offset_ms: int):
    minute = offset_ms // 60_000
    small = [f"{59_980 - nth} {1 + (minute * 7 + nth * 3) % 11} 1" for nth in range(40)]
    moved = "59988 9000 3" if minute < 60 else "59987 9000 3"
    size = 5_000 if minute % 4 else 7_000
    return line(offset_ms, levels("59990 2 1", moved, *small), levels("60001 2.5 1", f"60120 {size} 40"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return three_hours(tmp_path_factory.mktemp("hours") / "Vault")


def _found(layout, executor=None, criteria=None):
    last_ms = HOUR_AT_MS + 3 * HOUR_MS - 60_000
    books = read_books(layout.root, INST, HOUR_AT_MS, last_ms + 1)
    books.executor = executor
    return walls(books, "usd", criteria or Criteria(min_size=1e6))


def test_a_wall_goes_on_over_the_turn_of_an_hour(layout):
    frame = _found(layout).frame
    assert frame.select("side", "price", "began", "end", "track").rows() == [
        ("ask", 60_120, "found", "standing", 0),
        ("bid", 59_988, "found", "moved", 1),
        ("bid", 59_987, "moved", "standing", 1),
    ]
    assert frame["t_from"][2] == HOUR_AT_MS + HOUR_MS


@pytest.mark.parametrize("criteria", [Criteria(min_size=1e6), Criteria(percentile=95), Criteria(times_usual=2)])
def test_threads_processes_one_after_the_other_and_archived_hours_give_the_same(
    layout, criteria, monkeypatch, tmp_path
):
    whole = _found(layout, criteria=criteria)
    with ThreadPoolExecutor(3) as threads:
        assert _found(layout, threads, criteria).frame.equals(whole.frame)
        monkeypatch.setattr(books_module, "AT_ONCE", 1)
        assert _found(layout, threads, criteria).frame.equals(whole.frame)
    monkeypatch.setattr(books_module.os, "cpu_count", lambda: 1)
    one_by_one = _found(layout, criteria=criteria)
    assert one_by_one.frame.equals(whole.frame)
    assert one_by_one.provenance == whole.provenance
    archived = three_hours(tmp_path / "Vault")
    for path in sorted(archived.root.glob("raw/okx/l2_perps/*/*/*.jsonl")):
        archive_hour(archived, archived.parse_hour_file(path))
        path.unlink()
    from_archive = _found(archived, criteria=criteria)
    assert from_archive.frame.equals(whole.frame)
    assert from_archive.provenance == whole.provenance


def test_another_process_may_do_the_work(layout):
    whole = _found(layout)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert _found(layout, processes).frame.equals(whole.frame)


def test_the_command_line_works_on_many_hours_of_lines_in_processes(layout, monkeypatch, capsys, tmp_path):
    words = ["walls", INST, "--vault", str(layout.root), "--last", "3h", "--min-size", "1M"]
    assert cli.main(words) == 0
    alone = capsys.readouterr().out
    started_with = []
    monkeypatch.setattr(executors, "_LEAST_SEC", 3)
    monkeypatch.setattr(executors.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda *given, **how: _noted(started_with, *given, **how))
    assert cli.main([*words, "--plot", str(tmp_path / "walls.png")]) == 0
    assert capsys.readouterr().out == alone
    assert started_with == [2]  # the same two draw the picture


def _noted(started_with, workers, *given, **how):
    started_with.append(workers)
    return ProcessPoolExecutor(workers, *given, **how)
