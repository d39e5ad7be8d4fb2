"""The grid of a heatmap, worked out by hand: cells, books across bins, holes, reach, units; and its laws."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from l2vault.analytics.book_matrix import SIDES
from l2vault.analytics.books import Books, Frames, books_of, read_books
from l2vault.analytics.contract import ContractPeriod
from l2vault.analytics.heatmap.grid import Cells, TimeBins, time_bins
from l2vault.analytics.heatmap.heatmap import Heatmap, heatmap, with_walls
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.errors import VaultError
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from support.books import INVERSE, LINEAR, T0_MS, Drawn, drawn, frames, hand_made, mirrored
from support.hours import HOUR_AT_MS, INST, journal_v1_of, line, lost, put, started, synced

DAY_MS = 86_400_000
DEPTH = 2


def _grid(heated: Heatmap, side: str) -> list[list[float | None]]:
    """A row a time bin; None where the cell was not seen."""
    matrix = heated.size["bid" if side == "bid" else "ask"]
    return [[None if np.isnan(size) else round(float(size), 9) for size in row] for row in matrix]


def _cell(heated: Heatmap, side: str, column: int, price: float) -> float | None:
    row = int(np.searchsorted(heated.price, price, side="right")) - 1
    return _grid(heated, side)[column][row]


def _walk() -> list[Drawn]:
    """Books that move, of levels of many sizes, with a hole in the middle."""
    steps = np.random.default_rng(5)
    books = []
    for at in range(40):
        middle = 100 + float(steps.integers(-4, 5)) / 2
        bids = ", ".join(f"{middle - 0.5 * (rank + 1)} {steps.integers(1, 90)} 1" for rank in range(DEPTH))
        asks = ", ".join(f"{middle + 0.5 * (rank + 1)} {steps.integers(1, 90)} 1" for rank in range(DEPTH))
        books.append(drawn(at * 2000, bids, asks, until_ms=at * 2000 + 700 if at == 20 else None))
    return books


def _recorded(tmp_path: Path) -> Books:
    """Seven slots of 2 s of a vault, two of them in a hole."""
    layout = Layout(tmp_path)
    layout.instruments.mkdir(parents=True)
    (layout.instruments / f"{INST}.json").write_text(json.dumps(instrument_row(INST)))
    journal_v1_of(layout, started(0), synced(0), lost(6_000), synced(10_000))
    put(layout, [line(at_ms) for at_ms in (0, 2_000, 4_000, 10_000, 12_000)])
    return read_books(tmp_path, INST, HOUR_AT_MS, HOUR_AT_MS + 14_000)


def test_a_cell_holds_what_rests_at_its_prices_and_the_edges_say_where_it_lies() -> None:
    books = hand_made(drawn(0, "99 5 2, 98.5 1 1", "100 7 3"))
    heated = heatmap(books, "contracts")
    assert heated.t_ms.tolist() == [T0_MS, T0_MS + 2000]
    assert heated.price.tolist() == [98.5, 99.0, 99.5, 100.0, 100.5]
    assert _grid(heated, "bid") == [[1, 5, 0, 0]]
    assert _grid(heated, "ask") == [[0, 0, 0, 7]]
    assert heated.total.tolist() == [[1, 5, 0, 7]]
    assert heated.provenance.method == "heatmap/1"
    assert heated.provenance.settings == {"bin_ms": 2000, "bin_price": 0.5}
    assert heated.provenance.covered_share == 1.0


def test_a_book_across_bins_counts_in_each_for_its_time_there() -> None:
    # Bins of 2 s (the median book); the middle book stands from 1 s to 5 s, so half of the first bin and of the third.
    books = hand_made(
        drawn(0, "99 4 1", "100 1 1"),
        drawn(1000, "99 8 1", "100 1 1"),
        drawn(5000, "99 2 1", "100 1 1"),
    )
    heated = heatmap(books, "contracts")
    assert heated.provenance.settings["bin_ms"] == 2000
    assert [row[0] for row in _grid(heated, "bid")] == [6, 8, 5, 2]
    assert np.diff(heated.t_ms).tolist() == [2000, 2000, 2000, 1000]
    assert heated.covered_ms.tolist() == [2000, 2000, 2000, 1000]


def test_nothing_is_seen_in_a_hole_and_a_bin_cut_by_one_is_the_mean_of_what_was_vouched_for() -> None:
    books = hand_made(
        drawn(0, "99 4 1", "100 1 1", until_ms=2500),
        drawn(6000, "99 8 1", "100 1 1"),
        drawn(8000, "99 8 1", "100 1 1"),
    )
    heated = heatmap(books, "contracts")
    assert [row[0] for row in _grid(heated, "bid")] == [4, 4, None, 8, 8]
    assert heated.covered_ms.tolist() == [2000, 500, 0, 2000, 2000]
    assert heated.best["bid"].tolist()[:2] == [99, 99]
    assert np.isnan(heated.best["bid"][2])
    assert np.isnan(heated.worst["ask"][2])


def test_beyond_the_farthest_level_of_a_full_side_nothing_is_known_within_it_no_level_is_none() -> None:
    books = hand_made(
        drawn(0, "99 5 1, 98 1 1", "100 7 1, 101 1 1"),
        drawn(2000, "97 5 1, 96 1 1", "98 7 1, 99 1 1"),
        depth=DEPTH,
    )
    heated = heatmap(books, "contracts")
    assert [_cell(heated, "bid", 0, price) for price in (96, 97, 97.5, 98, 98.5, 99, 101)] == [
        *[None] * 3,
        *(1, 0, 5, 0),
    ]
    assert [_cell(heated, "ask", 1, price) for price in (96, 98, 98.5, 99, 99.5, 101)] == [0, 7, 0, 1, None, None]
    assert np.isnan(heated.total[1]).tolist() == [False] * 7 + [True] * 4


def test_a_side_with_fewer_levels_than_the_depth_is_seen_to_the_end_of_the_grid() -> None:
    books = hand_made(drawn(0, "99 5 1", "100 7 1, 101 1 1"), drawn(2000, "97 5 1, 96 1 1", "98 7 1"), depth=DEPTH)
    heated = heatmap(books, "contracts")
    assert [_cell(heated, "bid", 0, price) for price in (96, 97.5, 99)] == [0, 0, 5]
    assert [_cell(heated, "ask", 1, price) for price in (98, 99.5, 101)] == [7, 0, 0]


def test_a_cell_in_reach_for_part_of_its_time_is_the_mean_of_that_part() -> None:
    books = hand_made(
        drawn(0, "99 4 1, 98.5 2 1", "100 1 1, 101 1 1"),
        drawn(500, "99 4 1, 98 6 1", "100 1 1, 101 1 1"),
        drawn(1000, "99 4 1, 98 6 1", "100 1 1, 101 1 1", until_ms=2000),
        depth=DEPTH,
    )
    heated = heatmap(books, "contracts", columns=1)
    assert _grid(heated, "bid")[0][:3] == [6, 0.5, 4]
    assert heated.seen_ms["bid"][0, :3].tolist() == [1500, 2000, 2000]


def test_sizes_of_an_inverse_contract_are_its_quote_currency_whatever_the_price() -> None:
    books = [drawn(0, "99 5 1", "100 7 1")]
    assert _grid(heatmap(hand_made(*books, contract=INVERSE), "usd"), "bid") == [[500, 0, 0]]
    assert _grid(heatmap(hand_made(*books, contract=LINEAR), "usd"), "bid") == [[round(5 * 0.01 * 99, 9), 0, 0]]
    assert _grid(heatmap(hand_made(*books, contract=INVERSE), "coin"), "ask") == [[0, 0, 7]]


def test_best_prices_are_those_of_the_last_book_of_a_bin_and_worst_ones_the_farthest_of_any() -> None:
    books = hand_made(
        drawn(0, "99 5 1, 97 1 1", "100 7 1, 104 2 1"), drawn(500, "98 5 1", "101 7 1"), drawn(2000, "", "101 7 1")
    )
    heated = heatmap(books, "contracts")
    assert heated.best["bid"][0] == 98
    assert np.isnan(heated.best["bid"]).tolist() == [False, True]
    assert heated.best["ask"].tolist() == [101, 101]
    assert heated.worst["bid"][0] == 97
    assert heated.worst["ask"].tolist() == [104, 101]


def test_a_mirrored_market_has_a_mirrored_heatmap() -> None:
    straight, turned = (
        heatmap(hand_made(*books, depth=DEPTH), "contracts") for books in (_walk(), mirrored(_walk(), 100.25))
    )
    assert np.array_equal(straight.size["bid"], turned.size["ask"][:, ::-1], equal_nan=True)
    assert np.array_equal(straight.size["ask"], turned.size["bid"][:, ::-1], equal_nan=True)


@pytest.mark.parametrize(("columns", "rows"), [(1200, 400), (7, 3), (1, 2)])
def test_size_times_time_is_kept_whatever_the_grid(columns: int, rows: int) -> None:
    levels, books = frames(_walk(), DEPTH)
    heated = heatmap(books_of(levels, books, LINEAR), "contracts", columns, rows)
    assert len(heated.t_ms) - 1 <= columns
    assert len(heated.price) - 1 <= rows
    for name in SIDES:
        own = levels.filter(pl.col("side") == name)
        stood = (own["qty"] * (own["t_to"] - own["t_from"])).sum()
        assert np.nansum(heated.size[name] * heated.seen_ms[name]) == pytest.approx(stood)
    assert heated.covered_ms.sum() == (books["t_to"] - books["t_from"]).sum()


@pytest.mark.parametrize("rows", [400, 6, 2])
def test_the_grid_does_not_depend_on_how_the_books_are_read(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    def drawn_again() -> Heatmap:
        return heatmap(hand_made(*_walk(), depth=DEPTH), "usd", 9, rows)

    whole = drawn_again()
    monkeypatch.setattr("l2vault.analytics.books._BOOKS_AT_ONCE", 2)
    pieces = drawn_again()
    assert pieces.price.tolist() == whole.price.tolist()
    for name in SIDES:
        assert np.allclose(pieces.size[name], whole.size[name], equal_nan=True)
        assert np.array_equal(pieces.seen_ms[name], whole.seen_ms[name])
        assert np.array_equal(pieces.best[name], whole.best[name], equal_nan=True)


def test_rows_are_the_seen_cells_behind_the_front_of_each_side() -> None:
    books = hand_made(drawn(0, "99 5 1, 98 1 1", "100 7 1, 101 1 1"), depth=DEPTH)
    frame = heatmap(books, "contracts").frame()
    assert frame.select("side", "price_from", "price_to", "size").rows() == [
        ("bid", 98.0, 98.5, 1.0),
        ("bid", 98.5, 99.0, 0.0),
        ("bid", 99.0, 99.5, 5.0),
        ("ask", 100.0, 100.5, 7.0),
        ("ask", 100.5, 101.0, 0.0),
        ("ask", 101.0, 101.5, 1.0),
    ]
    assert set(frame["t_from"]) == {T0_MS}
    assert set(frame["seen_share"]) == {1.0}


def test_around_mid_a_cell_is_a_distance_from_the_mid_of_each_book() -> None:
    books = hand_made(
        drawn(0, "99 5 2, 98 1 1", "101 7 3"), drawn(2000, "198 4 2, 196 8 1", "202 2 3"), drawn(4000, "198 1 1", "")
    )
    heated = heatmap(books, "contracts", is_around_mid=True)
    assert heated.provenance.settings == {"bin_ms": 2000, "bin_bps": 0.8, "around_mid": True}
    assert (heated.price[0], heated.price[-1]) == (-200.0, 100.8)
    assert _cell(heated, "bid", 0, -100.0) == 5
    assert _cell(heated, "bid", 0, -200.0) == 1
    assert _cell(heated, "ask", 0, 100.0) == 7
    assert [_cell(heated, "bid", 1, bps) for bps in (-200.0, -150.0, -100.0)] == [8, 0, 4]
    assert heated.place(np.array([T0_MS + 2500]), np.array([202.0])).tolist() == [100.0]
    assert heated.last_price == 200
    assert np.nansum(heated.size["bid"][2]) == 0, "a book without a mid counts nowhere"
    assert heated.frame().columns[3:5] == ["bps_from", "bps_to"]


def test_the_last_book_stands_beside_the_grid() -> None:
    heated = heatmap(hand_made(drawn(0, "99 5 1", "100 7 1"), drawn(2000, "98 4 1, 97 1 1", "100 6 1")), "contracts")
    assert heated.closing.sort("price").rows() == [("bid", 97.0, 1.0), ("bid", 98.0, 4.0), ("ask", 100.0, 6.0)]
    assert heated.closing_ms == T0_MS + 2000


def test_without_any_level_the_grid_is_one_row() -> None:
    assert Cells(TimeBins(2_000, T0_MS, T0_MS + 1), 400).price_bins() == (1, 0, 0)


@pytest.mark.parametrize(
    ("span_ms", "least_ms", "columns", "width_ms"),
    [
        (300_000, 2_000, 1200, 2_000),
        (3_600_000, 2_000, 1200, 3_000),
        (DAY_MS, 2_000, 1200, 72_000),
        (40 * DAY_MS, 2_000, 20, 2 * DAY_MS),
        (1, 2_000, 1200, 2_000),
        (10_000, 100, 1200, 100),
    ],
)
def test_time_bins_are_round_and_no_finer_than_the_books(
    span_ms: int, least_ms: int, columns: int, width_ms: int
) -> None:
    start_ms = 20_000 * DAY_MS
    bins = time_bins(start_ms, start_ms + span_ms, least_ms, columns)
    assert bins == TimeBins(width_ms, start_ms, start_ms + span_ms)
    assert bins.count <= columns
    assert bins.edges()[0] == start_ms
    assert bins.edges()[-1] == start_ms + span_ms


def test_bins_of_a_vault_keep_its_cadence_and_its_holes(tmp_path: Path) -> None:
    books = _recorded(tmp_path)
    heated = heatmap(books, "contracts")
    assert heated.provenance.settings["bin_ms"] == 2000
    assert heated.covered_ms.tolist() == [2000] * 3 + [0] * 2 + [2000] * 2
    assert heated.provenance.holes == 1
    assert heated.provenance.covered_share == pytest.approx(10 / 14)


def test_a_span_without_books_is_an_error(tmp_path: Path) -> None:
    books = _recorded(tmp_path)
    empty = Books(books.inst_id, (0, 10), lambda: iter(()), books.periods)
    with pytest.raises(VaultError, match="no book"):
        heatmap(empty)


@pytest.mark.parametrize("criteria", [Criteria(), Criteria(min_size=300.0), Criteria(relative=1.5)])
@pytest.mark.parametrize("is_around_mid", [False, True])
def test_with_walls_reads_the_books_once_and_both_are_as_alone(criteria: Criteria, is_around_mid: bool) -> None:
    levels, held = frames(_walk())
    read: list[int] = []

    def once() -> Iterator[Frames]:
        read.append(len(levels))
        yield levels, held

    span = held["t_from"][0], held["t_to"][-1]
    books = Books(INST, span, once, [ContractPeriod(*span, LINEAR)])
    drawn_alone, alone = heatmap(books, "usd", is_around_mid=is_around_mid), walls(books, "usd", criteria)
    read.clear()
    heated, found = with_walls(books, "usd", criteria, is_around_mid)
    assert len(read) == 2, "and once more for the cadence, which no journal tells of these"
    assert found.frame.equals(alone.frame) and found.provenance == alone.provenance
    assert heated.frame().equals(drawn_alone.frame()) and heated.provenance == drawn_alone.provenance


def test_a_price_is_placed_by_the_mid_of_the_book_that_stood_then_not_by_that_of_its_time_bin() -> None:
    books = hand_made(
        drawn(0, "99 5 1", "101 5 1"),
        drawn(1_000, "199 5 1", "201 5 1"),
        drawn(2_000, "", "201 5 1"),
        drawn(3_000, "99 5 1", "101 5 1", until_ms=3_500),
        drawn(6_000, "99 5 1", "101 5 1"),
    )
    heated = heatmap(books, columns=1, is_around_mid=True)
    at_ms = T0_MS + np.array([-1, 0, 999, 1_000, 1_999, 2_000, 3_000, 3_500, 6_000, 7_999, 8_000])
    placed = heated.place(at_ms, np.full(len(at_ms), 101.0))
    near, far = 100.0, (101 - 200) / 200 * 1e4
    known = [np.nan, near, near, far, far, np.nan, near, np.nan, near, near, np.nan]
    assert np.allclose(placed, known, equal_nan=True)
    around = heated.distances(101.0, T0_MS, T0_MS + 8_000)
    assert (around.t_from.tolist(), around.t_to.tolist()) == ([T0_MS], [T0_MS + 8_000])
    assert (around.middle.tolist(), around.low.tolist(), around.high.tolist()) == ([near], [far], [near])
    assert heatmap(books, columns=1).place(at_ms, np.full(len(at_ms), 101.0)).tolist() == [101.0] * len(at_ms)
