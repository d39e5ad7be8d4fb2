"""Tiles: the mean and the largest level of each cell, kept on disk over a restart and made anew of other files."""

import gzip
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest

from l2vault.analytics.trades import Trades
from l2vault.book.trade import trade_to_line
from l2vault.clock import Clock
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.verbs.screen import _cache_of
from l2vault.web import beside as beside_hours
from l2vault.web import tiles as making
from l2vault.web.ahead import BACK_MS, Ahead
from l2vault.web.beside import SERIES, Beside, BesideHour, read_hour
from l2vault.web.kept import SETTLED_MS
from l2vault.web.opened import Opened
from l2vault.web.tile import Tile
from l2vault.web.tile_files import TileFiles
from l2vault.web.tiles import IDLE_MS, Tiles, tiles_of_hour
from l2vault.web.turns import Turns
from support import hours
from support.hours import HOUR_AT_MS, INST
from support.screen_asked import Asked
from support.screen_site import LINES, WALL, book, trade, write_vault

SPAN = {"from": HOUR_AT_MS, "to": HOUR_AT_MS + LINES * 2000}
BLINK = 3
"""Of 100 lines so many have the large level."""


@pytest.fixture
def settled(tmp_path: Path) -> Layout:
    """A vault whose first hour is over: ten minutes of the next one are there."""
    layout = write_vault(tmp_path / "Vault")
    path = layout.hour_file(INST, HOUR_AT_MS + HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hours.contents([book(HOUR_MS // 2000 + n) for n in range(300)]))
    return layout


def tiles_of(layout: Layout, files: TileFiles | None) -> Tiles:
    return Tiles(layout.root, ThreadPoolExecutor(1), Clock(), files=files)


def test_the_largest_level_of_a_cell_is_not_made_smaller_by_time_or_by_its_neighbours(tmp_path: Path) -> None:
    layout = write_vault(tmp_path / "Vault")
    path = layout.hour_file(INST, HOUR_AT_MS)
    lines = []
    for number in range(100):
        shown = book(number + 100, without_wall=not 20 <= number < 20 + BLINK)
        lines.append(hours.line(number * 2000, shown.bids, shown.asks))
    path.write_bytes(hours.contents(lines))
    found = Asked(layout.root)
    value = float(WALL[1]) * 0.01 * float(WALL[0])
    for columns in (2400, 20, 1):
        head, most = found.window(**SPAN, columns=columns, of="max")
        column = (HOUR_AT_MS + 20 * 2000 - head["start_ms"]) // head["bin_ms"]
        row = int((60050 - head["price_from"]) / head["price_step"] + 1e-6)
        assert most["size"][column, row] == pytest.approx(value, rel=1e-5), head["bin_ms"]
        _, mean = found.window(**SPAN, columns=columns)
        assert (mean["size"][column, row] < value / 5) == (columns < 2400)
    head, most = found.window(**SPAN, columns=2400, of="max", low=59_000, high=61_000)
    assert np.nanmax(most["size"]) == pytest.approx(value, rel=1e-5)
    assert found.raw("/api/books", inst=INST, **SPAN, of="least")[0] == 400
    found.screen.stop()


def test_an_hour_that_is_over_is_on_disk_for_the_next_start_and_the_one_being_written_is_not(
    settled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [HOUR_AT_MS, HOUR_AT_MS + HOUR_MS]
    made, _ = tiles_of(settled, TileFiles(tmp_path / "cache")).get(INST, both, 60_000)
    names = sorted(path.name for path in (tmp_path / "cache" / INST).iterdir())
    assert names == [f"{HOUR_AT_MS}_{width}.arrow" for width in (1_800_000, 300_000, 60_000)]

    def never(*args: object) -> None:
        raise AssertionError("it is on disk")

    monkeypatch.setattr(making, "tiles_of_hour", never)
    again, unread = tiles_of(settled, TileFiles(tmp_path / "cache")).get(INST, both[:1], 60_000)
    assert unread == []
    for name in ("hour_ms", "bin_ms", "tick", "step", "first_row"):
        assert getattr(again[0], name) == getattr(made[0], name)
    for name in ("size", "most", "covered_ms"):
        np.testing.assert_array_equal(getattr(again[0], name), getattr(made[0], name))
    np.testing.assert_array_equal(again[0].best, made[0].best)


def test_settled_hours_of_the_last_week_are_on_disk_before_anybody_asks_and_made_anew_of_other_files(
    settled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, rests = tmp_path / "cache", list[float]()
    tiles = tiles_of(settled, TileFiles(cache))
    long_ago = settled.hour_file(INST, HOUR_AT_MS - BACK_MS)
    long_ago.parent.mkdir(parents=True)
    long_ago.write_bytes(b"")

    def rest(seconds: float) -> bool:
        rests.append(seconds)
        if len(rests) == 4:
            path = settled.hour_file(INST, HOUR_AT_MS)
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        return len(rests) == 6

    made = list[int]()

    def noted(vault: Vault, inst_id: str, hour_ms: int, bin_ms: int) -> dict[int, Tile]:
        made.append(hour_ms)
        return tiles_of_hour(vault, inst_id, hour_ms, bin_ms)

    monkeypatch.setattr(making, "tiles_of_hour", noted)
    Ahead(tiles, Clock(), rest).run()
    assert made == [HOUR_AT_MS] * 2, "settled, of the last week, and once more when it was compressed"
    assert [seconds == 60 for seconds in rests[1:]] == [False, True, True, False, True]
    names = sorted(path.name for path in (cache / INST).iterdir())
    assert names == [f"{HOUR_AT_MS}_{width}.arrow" for width in (10_000, 1_800_000, 300_000, 60_000)]
    again = tiles_of(settled, TileFiles(cache))
    assert not again.make_ahead(INST, HOUR_AT_MS, 10_000)
    assert len(again.get(INST, [HOUR_AT_MS], 60_000)[0]) == 1
    assert len(made) == 2, "all of it is on disk"
    assert not tiles_of(settled, None).make_ahead(INST, HOUR_AT_MS, 10_000), "without a cache nothing is made"


class Looked(Tiles):
    """Notes what would be made ahead."""

    of: set[str]

    def make_ahead(self, inst_id: str, hour_ms: int, bin_ms: int) -> bool:
        self.of.add(inst_id)
        return False


def test_of_many_instruments_those_are_made_ahead_that_pages_asked_for(settled: Layout) -> None:
    others = ["AAA-USDT-SWAP", "BBB-USDT-SWAP", "CCC-USDT-SWAP", "DDD-USDT-SWAP"]
    for inst_id in others:
        path = settled.hour_file(inst_id, HOUR_AT_MS)
        path.parent.mkdir(parents=True)
        path.write_bytes(settled.hour_file(INST, HOUR_AT_MS).read_bytes().replace(INST.encode(), inst_id.encode()))
    (settled.instrument_file(others[3])).write_bytes(settled.instrument_file(INST).read_bytes())
    tiles = Looked(settled.root, ThreadPoolExecutor(1), Clock())
    found = []
    for _ in range(2):
        tiles.of = set()
        Ahead(tiles, Clock(), lambda seconds: seconds == 60).run()
        found.append(tiles.of)
        tiles.get(others[3], [], 60_000)
    assert found == [{*others[:3], INST}, {*others[:2], others[3], INST}]


def test_an_hour_that_cannot_be_made_ahead_keeps_no_other_from_it(settled: Layout) -> None:
    class Failing(Tiles):
        tried = 0

        def make_ahead(self, inst_id: str, hour_ms: int, bin_ms: int) -> bool:
            self.tried += 1
            raise ZeroDivisionError

    tiles = Failing(settled.root, ThreadPoolExecutor(1), Clock())
    Ahead(tiles, Clock(), lambda seconds: seconds == 60).run()
    assert tiles.tried == 2


class ClockByHand(Clock):
    now_ms = 0

    def monotonic_ms(self) -> int:
        return self.now_ms


def next_hour(layout: Layout, lines: int) -> None:
    path = layout.hour_file(INST, HOUR_AT_MS + HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hours.contents([book(HOUR_MS // 2000 + n) for n in range(lines)]))


def test_an_hour_is_made_anew_by_what_came_behind_it_until_it_is_settled_and_then_is_on_disk(tmp_path: Path) -> None:
    layout, clock, cache = write_vault(tmp_path / "Vault"), ClockByHand(), tmp_path / "cache"
    tiles = Tiles(layout.root, ThreadPoolExecutor(1), clock, files=TileFiles(cache))
    found = []
    for lines in (10, 100, 160, 200):
        next_hour(layout, lines)
        found += tiles.get(INST, [HOUR_AT_MS], 1_800_000)[0]
        assert bool(list(cache.glob("*/*"))) == (lines * 2000 > SETTLED_MS)
        clock.now_ms += 60_000
    assert found[0] is not found[1] is not found[2] is found[3]


def test_cells_that_nobody_asked_for_in_a_while_are_let_go_of(settled: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = ClockByHand(), list[int]()

    def noted(vault: Vault, inst_id: str, hour_ms: int, bin_ms: int) -> dict[int, Tile]:
        made.append(hour_ms)
        return tiles_of_hour(vault, inst_id, hour_ms, bin_ms)

    monkeypatch.setattr(making, "tiles_of_hour", noted)
    tiles = Tiles(settled.root, ThreadPoolExecutor(1), clock)
    for idle_ms, bin_ms in ((0, 300_000), (IDLE_MS, 60_000), (IDLE_MS + 1, 10_000)):
        tiles.get(INST, [HOUR_AT_MS], 1_800_000)
        clock.now_ms += idle_ms
        tiles.get(INST, [HOUR_AT_MS + HOUR_MS], bin_ms)
    tiles.get(INST, [HOUR_AT_MS], 1_800_000)
    assert made.count(HOUR_AT_MS) == 2, "once more when it had been let go of"


def test_beside_is_read_anew_by_what_came_behind_it_until_it_is_settled(tmp_path: Path) -> None:
    layout, clock = write_vault(tmp_path / "Vault"), ClockByHand()
    turns = list[None]()
    beside = Beside(Opened(layout.root), clock, Turns(lambda: turns.append(None)))
    end_ms, found = HOUR_AT_MS + HOUR_MS, []

    def look(known_ms: int) -> float:
        found.append(beside.get(INST, [HOUR_AT_MS], known_ms, 0)[0][HOUR_AT_MS])
        clock.now_ms += 60_000
        return float(found[-1].values["bought"][-1])

    assert np.isnan([look(end_ms), look(end_ms + HOUR_MS)]).all(), "books prove nothing of trades"
    assert found[0] is found[1]
    path = layout.of("trades").hour_file(INST, end_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    late = msgspec.structs.replace(trade(5), ts=str(end_ms + 2_400_000))
    path.write_bytes(trade_to_line(late) + b"\n")
    assert look(end_ms + 1000) == look(end_ms + SETTLED_MS) == look(end_ms + HOUR_MS) == 0, (
        "the next id proves it quiet"
    )
    assert found[2] is not found[3] is found[4]
    assert len(turns) == 3, "one for each reading"


def test_what_belongs_beside_a_settled_hour_is_made_ahead_and_read_from_disk_until_its_files_change(
    settled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled.of("trades").hour_file(INST, HOUR_AT_MS + HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(trade_to_line(msgspec.structs.replace(trade(5), ts=str(HOUR_AT_MS + HOUR_MS + 600_000))) + b"\n")
    files, read = TileFiles(tmp_path / "cache"), list[int]()

    def noted(vault: Vault, inst_id: str, hour_ms: int, trades: Trades | None) -> BesideHour:
        read.append(hour_ms)
        return read_hour(vault, inst_id, hour_ms, trades)

    monkeypatch.setattr(beside_hours, "read_hour", noted)

    def looked() -> BesideHour:
        asked = Beside(Opened(settled.root), Clock(), Turns(), files)
        return asked.get(INST, [HOUR_AT_MS], HOUR_AT_MS + 2 * HOUR_MS, 0)[0][HOUR_AT_MS]

    Ahead(tiles_of(settled, files), Clock(), lambda seconds: seconds == 60).run()
    assert read == [HOUR_AT_MS], "the newest one is still written"
    found, alone = looked(), Beside(Opened(settled.root), Clock(), Turns())
    (plain,) = alone.get(INST, [HOUR_AT_MS], HOUR_AT_MS + 2 * HOUR_MS, 0)[0].values()
    assert len(read) == 2 and found.newest_ms == plain.newest_ms == HOUR_AT_MS + 8000
    assert all(np.array_equal(found.values[name], plain.values[name], equal_nan=True) for name in SERIES)
    own = settled.of("trades").hour_file(INST, HOUR_AT_MS)
    own.write_bytes(own.read_bytes() + trade_to_line(trade(200)) + b"\n")
    assert looked().newest_ms == looked().newest_ms == HOUR_AT_MS + 400_000
    assert len(read) == 3, "another file, read once"


def test_no_more_hours_are_taken_from_disk_once_the_patience_is_over(
    settled: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tile = tiles_of(settled, None).get(INST, [HOUR_AT_MS], 1_800_000)[0][0]
    clock, files = ClockByHand(), TileFiles(tmp_path / "cache")

    def slow(*key: object) -> Tile:
        clock.now_ms += 400
        return tile

    monkeypatch.setattr(files, "read", slow)
    tiles = Tiles(settled.root, ThreadPoolExecutor(1), clock, files=files)
    past = [HOUR_AT_MS - n * HOUR_MS for n in (4, 3, 2, 1, 0)]
    assert tiles.get(INST, past, 1_800_000, 0.6)[1] == past[:3]
    assert tiles.get(INST, past, 1_800_000, 0.6)[1] == past[:1]


@pytest.mark.parametrize("harm", ["other lines", "other contract", "cut short", "no Arrow", "gone"])
def test_what_was_made_of_other_files_or_is_damaged_is_made_anew(settled: Layout, tmp_path: Path, harm: str) -> None:
    tiles_of(settled, TileFiles(tmp_path / "cache")).get(INST, [HOUR_AT_MS], 300_000)
    path = tmp_path / "cache" / INST / f"{HOUR_AT_MS}_300000.arrow"
    before = path.read_bytes()
    if harm == "other lines":
        settled.hour_file(INST, HOUR_AT_MS).write_bytes(hours.contents([book(n) for n in range(30)]))
    elif harm == "other contract":
        row = settled.instrument_file(INST)
        row.write_text(row.read_text().replace('"0.01"', '"0.02"', 1))
    elif harm == "gone":
        path.unlink()
    else:
        path.write_bytes(before[: len(before) // 2] if harm == "cut short" else b"{}")
    (tile,), _ = tiles_of(settled, TileFiles(tmp_path / "cache")).get(INST, [HOUR_AT_MS], 300_000)
    is_other = harm.startswith("other")
    assert (path.read_bytes() == before) != is_other
    assert (int(tile.covered_ms.sum()) < 100_000) == (harm == "other lines")


def test_the_cache_stays_within_its_bound_and_lets_go_of_what_was_used_longest_ago(
    settled: Layout, tmp_path: Path
) -> None:
    (tile,), _ = tiles_of(settled, None).get(INST, [HOUR_AT_MS], 1_800_000)
    folder = tmp_path / "cache"
    TileFiles(folder).write("A", tile, "x")
    size = next(folder.glob("*/*")).stat().st_size
    bounded = TileFiles(folder, most_bytes=int(size * 3.5))
    for number, name in enumerate("ABC"):
        bounded.write(name, tile, "x")
        path = next((folder / name).iterdir())
        os.utime(path, (1000 + number, 1000 + number))
    assert bounded.read("A", tile.hour_ms, tile.bin_ms, "x") is not None, "used now"
    bounded.write("D", tile, "x")
    assert sorted(path.parent.name for path in folder.glob("*/*.arrow")) == ["A", "C", "D"]
    assert bounded.read("A", tile.hour_ms, tile.bin_ms, "y") is None


def test_a_cache_that_cannot_be_written_fails_no_request(settled: Layout, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found, _ = tiles_of(settled, TileFiles(tmp_path / "file")).get(INST, [HOUR_AT_MS], 1_800_000)
    assert len(found) == 1


def test_each_vault_has_a_folder_of_its_own_and_none_is_in_a_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "caches"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    one, other = _cache_of(tmp_path / "Vault"), _cache_of(tmp_path / "Other")
    assert one != other and one == _cache_of(tmp_path / "x" / ".." / "Vault")
    assert one.is_relative_to(tmp_path) and not one.is_relative_to(tmp_path / "Vault")


def test_work_is_done_one_at_a_time_and_the_urgent_goes_first_and_memory_is_given_back_behind_each() -> None:
    order: list[str] = []
    turns = Turns(lambda: order.append("trim"))
    begun, waiting = threading.Event(), threading.Barrier(3)

    def work(name: str) -> None:
        waiting.wait()
        with turns.urgent() if name == "urgent" else turns.patient():
            order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("patient", "urgent")]
    with turns.patient():
        order.append("first")
        for thread in threads:
            thread.start()
        waiting.wait()
        while turns._urgent == 0:  # until it has asked
            begun.wait(0.001)
    for thread in threads:
        thread.join()
    assert order == ["first", "trim", "urgent", "trim", "patient", "trim"]
    with pytest.raises(ZeroDivisionError), turns.patient():
        _ = 1 / 0
    with turns.patient():
        order.append("again")
    assert order[-2:] == ["again", "trim"]
