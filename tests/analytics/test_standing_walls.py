"""Walls and flows book by book, in plain Python, say what the ledger and the shifts say of the whole span."""

import pytest

from l2vault.analytics.books import read_books
from l2vault.analytics.contract import contract_of
from l2vault.analytics.flow.liquidity_flow import shifts
from l2vault.analytics.standing_walls import (
    Fall,
    Gone,
    SizedBook,
    SizedSide,
    StandingWalls,
    Take,
    ending,
    net_flow,
    sized,
)
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.reading.vault import Vault, open_vault
from support.captured import PAIR
from support.example_vault import CADENCE_MS, make_example_vault

CONTRACT = {inst_id: contract_of(inst_id, instrument_row(inst_id)) for inst_id in PAIR}


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(make_example_vault(tmp_path_factory.mktemp("walls") / "Vault"))


def span_of(vault: Vault, inst_id: str) -> tuple[int, int]:
    first_ms, newest_ms = vault.first_line_ms(inst_id), vault.newest_line_ms(inst_id)
    assert first_ms is not None and newest_ms is not None
    return first_ms, newest_ms + 1


def books_of(vault: Vault, inst_id: str) -> list[SizedBook]:
    return [sized(line, CONTRACT[inst_id]) for line in vault.snapshots(inst_id, *span_of(vault, inst_id))]


@pytest.mark.parametrize("inst_id", PAIR)
@pytest.mark.parametrize("least", [100_000.0, 500_000.0, 2_000_000.0])
def test_the_walls_of_real_books_are_those_of_the_ledger(vault: Vault, inst_id: str, least: float) -> None:
    ledger = walls(read_books(vault, inst_id, *span_of(vault, inst_id)), "usd", Criteria(min_size=least)).frame
    tracker = StandingWalls(least)
    lives: set[tuple[str, float, int]] = set()
    began: dict[tuple[str, float, int], str] = {}
    ends: dict[tuple[str, float, int], tuple[str, bool]] = {}
    last_ms: int | None = None
    for book in books_of(vault, inst_id):
        is_linked = last_ms is not None and book.ts_ms - last_ms < 2 * CADENCE_MS
        last_ms = book.ts_ms
        step = tracker.take(book, is_linked)
        for wall in step.born:
            lives.add((wall.side, wall.price, wall.born_ms))
        for wall in step.born:
            began[wall.side, wall.price, wall.born_ms] = wall.began
        for gone in step.gone:
            ends[gone.wall.side, gone.wall.price, gone.wall.born_ms] = gone.how, gone.is_reached
    rows = ledger.select("side", "price", "t_from", "began", "end").rows()
    assert rows and {row[:3] for row in rows} == lives
    for *key, birth, end in rows:
        of_ledger = "entered view" if birth == "returned" else birth
        # One that the market had reached was consumed, says the ledger where no trades were recorded; here it is said
        # to have moved if one came that is alike, unless trades say otherwise.
        how, is_reached = ends.get(tuple(key), ("", False))  # type: ignore[call-overload]
        if how:  # the newest are not said yet
            assert how == {"consumed": "fell", "pulled": "fell"}.get(end, end) or (how == "moved" and is_reached)
        assert began[tuple(key)] in (of_ledger, *(["moved"] if _has_reached(ends) else []))  # type: ignore[index]


def _has_reached(ends: dict[tuple[str, float, int], tuple[str, bool]]) -> bool:
    return ("moved", True) in ends.values()


@pytest.mark.parametrize("inst_id", PAIR)
@pytest.mark.parametrize("bps", [2.0, 5.0])
def test_the_net_flow_of_real_books_is_that_of_the_shifts(vault: Vault, inst_id: str, bps: float) -> None:
    frame = shifts(read_books(vault, inst_id, *span_of(vault, inst_id)), "usd", 60_000, [bps]).frame
    nearest = frame.filter(band=f"0-{bps:g}")
    windows: dict[tuple[int, str], list[float | None]] = {}
    books = books_of(vault, inst_id)
    for before, after in zip(books, books[1:], strict=False):
        if after.ts_ms - before.ts_ms < 2 * CADENCE_MS:
            for side in ("bid", "ask"):
                flow = net_flow(before, after, side, bps)
                windows.setdefault((after.ts_ms // 60_000 * 60_000, side), []).append(flow)
    compared = 0
    for t_from, side, net in nearest.select("t_from", "side", "net_flow").rows():
        flows = windows[t_from, side]
        if None not in flows:
            compared += 1
            assert sum(flows) == pytest.approx(net, rel=1e-6, abs=1)  # type: ignore[arg-type]
    assert compared


def book(ts_ms: int, bids: dict[float, float], asks: dict[float, float], is_full: bool = False) -> SizedBook:
    return SizedBook(ts_ms, SizedSide(bids, is_full), SizedSide(asks, is_full))


def ends_of(books: list[SizedBook], is_linked: bool = True) -> list[tuple[float, str]]:
    tracker = StandingWalls(100.0)
    gone: list[Gone] = []
    for at, each in enumerate(books):
        gone += tracker.take(each, is_linked or at == 0).gone
    return [(one.wall.price, one.how) for one in gone]


def test_a_wall_that_comes_elsewhere_within_two_books_has_moved_and_one_unlike_it_has_not() -> None:
    bids = {100.0: 1.0}
    gone, empty = book(0, bids, {100.1: 1.0, 100.5: 200.0}), book(2, bids, {100.1: 1.0})
    for size, how in ((200.0, "moved"), (150.0, "fell")):
        there = book(4, bids, {100.1: 1.0, 100.52: size})
        assert ends_of([gone, there, there]) == [(100.5, how)]
        assert ends_of([gone, empty, there, there]) == [(100.5, how)]
        assert ends_of([gone, empty, empty, there]) == [(100.5, "fell")]


def test_a_wall_beyond_the_visible_range_or_a_hole_was_not_pulled() -> None:
    far = book(0, {100.0: 1.0}, {100.1: 1.0, 101.0: 200.0}, is_full=True)
    near = book(2, {100.0: 1.0}, {100.1: 1.0, 100.2: 1.0}, is_full=True)
    assert ends_of([far, near, near]) == [(101.0, "left view")]
    whole = book(2, {100.0: 1.0}, {100.1: 1.0, 100.2: 1.0})
    assert ends_of([far, whole, whole]) == [(101.0, "fell")]
    assert ends_of([far, near, near], is_linked=False) == [(101.0, "gap")]


def test_a_wall_lives_on_until_it_falls_below_half_of_the_size() -> None:
    sizes = (100.0, 51.0, 99.0, 49.0)
    books = [book(at, {100.0: 1.0}, {100.1: 1.0, 101.0: size}) for at, size in enumerate(sizes)]
    tracker = StandingWalls(100.0)
    assert [len(tracker.take(each, True).born) for each in books] == [1, 0, 0, 0]
    assert tracker.standing == []


def test_how_a_wall_ended_only_trades_that_are_proved_can_tell() -> None:
    falls = [Fall(0, 10, 40.0), Fall(10, 20, 60.0)]

    def proved(start_ms: int, end_ms: int) -> bool:
        return True

    def unproved(start_ms: int, end_ms: int) -> bool:
        return end_ms <= 11

    assert ending(falls, [], proved) == "pulled"
    assert ending(falls, [Take(5, 40.0), Take(15, 10.0)], proved) == "consumed"
    assert ending(falls, [Take(5, 40.0), Take(15, 9.0)], proved) == "pulled"
    assert ending(falls, [Take(0, 100.0), Take(21, 100.0)], proved) == "pulled", "before and after it"
    assert ending(falls, [Take(5, 1000.0)], proved) == "pulled", "a fall of 40 explains no more than 40"
    assert ending(falls, [], unproved) == "unknown"
    assert ending(falls, [Take(15, 60.0)], unproved) == "consumed"
    assert ending([], [], proved) == "unknown"
