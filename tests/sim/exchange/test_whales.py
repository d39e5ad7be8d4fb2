"""Whales of the built-in market: seen in the demo's first minute, one at a time, and ended in every way there is."""

from pathlib import Path
from random import Random

import msgspec
import pytest

import l2vault
from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import take_snapshot, to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.market_shape import shape_of
from l2vault.sim.exchange.market_side import MarketSide
from l2vault.sim.exchange.whales import Whales
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
STEP_MS = 2_000


def minute_of(root: Path, inst_id: str) -> None:
    """The books that a recorder of the demo has after a minute."""
    layout, book, lines = Layout(root), Book(), list[bytes]()
    for tick in Market([inst_id], 0, HOUR_AT_MS, has_whales=True).ticks():
        if tick.ts_ms >= HOUR_AT_MS + 60_000:
            break
        if book.ts_ms and due_grid_time(book.ts_ms, tick.ts_ms, 2_000) is not None:
            lines.append(to_line(take_snapshot(inst_id, book, 400)) + b"\n")
        book.apply(tick.change)
    path = layout.hour_file(inst_id, HOUR_AT_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    keep_row(layout, inst_id, msgspec.json.encode(instrument_row(inst_id)), HOUR_AT_MS)


@pytest.mark.parametrize(("inst_id", "side"), [(BTC, "bid"), (ETH, "bid")])
def test_the_largest_wall_of_the_demo_after_a_minute_is_its_whale(tmp_path: Path, inst_id: str, side: str) -> None:
    minute_of(tmp_path, inst_id)
    found = l2vault.open(tmp_path).books(inst_id, start=HOUR_AT_MS, end=HOUR_AT_MS + 60_000).walls().frame.to_dicts()
    assert [(row["side"], row["began"], row["end"]) for row in found] == [(side, "placed", "standing")]
    assert found[0]["seen_ms"] > 45_000
    assert found[0]["orders"] <= 4


class Stage:
    """Two sides that nobody else alters, and the whales of a seed."""

    def __init__(self, seed: int) -> None:
        shape = shape_of(BTC)
        self.bids, self.asks = (MarketSide(sign, shape.start_tick + (sign > 0), shape, Random(1)) for sign in (-1, 1))
        self.whales, self.now_ms = Whales(seed, BTC, shape, 0), 0
        self.least = 80e6 * shape.lots_per_usd / 100
        self.whale: dict[str, str] = {}

    def pass_time(self) -> dict[str, str]:
        """One step; price and contracts of what is as large as a whale, by what was sent."""
        self.now_ms += STEP_MS
        self.whales.act(self.now_ms, self.bids, self.asks)
        for price, contracts, *_ in self.bids.changes() + self.asks.changes():
            self.whale.pop(price, None)
            if float(contracts) >= self.least:
                self.whale[price] = contracts
        return dict(self.whale)


def test_there_is_one_at_a_time_which_moves_a_little_with_all_it_has_or_is_pulled() -> None:
    placed, moved, pulled = 0, 0, 0
    for seed in range(6):
        stage, before = Stage(seed), dict[str, str]()
        for step in range(1_200_000 // STEP_MS):
            now = stage.pass_time()
            assert len(now) <= 1
            assert step >= 120 or bool(now) == (step >= 3), "the first comes within 10 s and stands for minutes"
            placed, pulled = placed + (not before and bool(now)), pulled + (bool(before) and not now)
            if now and before and now != before:
                moved += 1
                (price, size), (price_before, size_before) = *now.items(), *before.items()
                assert size == size_before
                assert abs(float(price) / float(price_before) - 1) < 5e-4, "as near as one wall may move"
            before = now
    assert placed >= 10
    assert moved >= 5
    assert pulled >= 6


def test_a_market_that_comes_to_it_eats_it_bit_by_bit_and_another_follows() -> None:
    stage = Stage(0)
    while not stage.pass_time():
        pass
    ((price, contracts),) = stage.whale.items()
    key = int(float(price) * 10)
    side, key = (stage.asks, key) if stage.asks.has_wall(key) else (stage.bids, -key)
    bites = 0
    while side.has_wall(key):
        assert side.eat(key + 1) == key + (not side.has_wall(key)), "it holds until it gives way"
        bites += 1
    assert bites >= 0.8 * float(contracts) * 100 / (6e6 * shape_of(BTC).lots_per_usd), "none takes more than 6 M USD"
    stage.pass_time()
    assert not stage.pass_time()
    for _ in range(155_000 // STEP_MS):
        now = stage.pass_time()
    assert now
