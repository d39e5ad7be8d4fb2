"""The planted market recorded as the recorder would: lines at a cadence of 2 s, every trade, a journal, and holes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import msgspec
from planted import INST, PlantedMarket
from planted_scripts import Scripts

from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot, to_line
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import HOUR_MS, Layout

START_MS: Final = utc_ms("2024-08-20T00:00:00.000Z")
CADENCE_MS: Final = 2_000
_DEPTH: Final = 400
_HOLE_EVERY_MS: Final = HOUR_MS // 2
_HOLE_MS: Final = (8_000, 60_000)
_TRADE_HOLE_MS: Final = (5_000, 20_000)
_RPI_CHANCE: Final = 0.02
"""A trade, of which another one of source 1 comes with it: against an order that is in no book."""
_MATCHES: Final = 12


@dataclass(slots=True)
class Recording:
    """The time of each recorded book, and the numbers of those behind which a hole lies."""

    market: PlantedMarket
    end_ms: int
    times: list[int] = field(default_factory=list)
    before_holes: set[int] = field(default_factory=set)
    trade_holes: list[tuple[int, int]] = field(default_factory=list)
    """Between which times trades were lost."""


def record(root: Path, seed: int, hours: float, is_quiet: bool = False) -> Recording:
    """Write the vault at `root`; what truly happened is in the market. A quiet one has no planted wall and no hole."""
    end_ms = START_MS + int(hours * HOUR_MS)
    recording = Recording(PlantedMarket(seed, START_MS), end_ms)
    if not is_quiet:
        recording.trade_holes = _holes(seed + 1_000_000, end_ms, _TRADE_HOLE_MS)
    layout = Layout(root)
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), START_MS)
    journal = Journal(layout)
    at = utc_text(START_MS)
    journal.append(noted.Started(at, "0", "host", 1, "os", [INST], CADENCE_MS, _DEPTH, 1, "digest"))
    holes, trades = ([], None) if is_quiet else (_holes(seed, end_ms, _HOLE_MS), _Trades(layout, journal, recording))
    for snapshot in _lines(recording, journal, holes, trades):
        path = layout.hour_file(INST, snapshot.ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(to_line(snapshot) + b"\n")
    journal.append(noted.Stopped(utc_text(recording.market.now_ms), "the end"))
    return recording


class _Trades:
    """Writes what is taken in each step as OKX pushes it: each price in a push of its own, with ids that follow each
    other. Those of the holes are lost, and nobody can give them. Its random numbers are its own: the market is the
    same with and without it."""

    def __init__(self, layout: Layout, journal: Journal, recording: Recording) -> None:
        self._layout = layout.of("trades")
        self._journal = journal
        self._market = recording.market
        self._holes = list(recording.trade_holes)
        self._rng = Random(f"trades {recording.market.seed}")
        self._last_id = 1_000
        self._last_ms = 0
        self._lost_from: int | None = None
        self._before_ms = recording.market.now_ms

    def step(self) -> None:
        market = self._market
        taken = [*market.bids.taken, *market.asks.taken]
        times = sorted(self._rng.randrange(self._before_ms + 1, market.now_ms + 1) for _ in taken)
        self._before_ms = market.now_ms
        for (key, lots), ts_ms in zip(taken, times, strict=True):
            self._push(key, lots, ts_ms, "0")
            if self._rng.random() < _RPI_CHANCE:
                self._push(key, 1 + int(lots * self._rng.random()), ts_ms, "1")

    def _push(self, key: int, lots: int, ts_ms: int, source: str) -> None:
        first_id, matches = self._last_id + 1, self._rng.randrange(1, _MATCHES)
        self._last_id += matches
        shape, market = self._market.shape, self._market
        while self._holes and self._lost_from is None and self._holes[0][1] <= ts_ms:  # nobody traded in it
            del self._holes[0]
        if self._holes and self._holes[0][0] <= ts_ms < self._holes[0][1]:
            self._lost_from = self._lost_from or first_id
            return
        if self._lost_from is not None:
            self._note_hole(self._lost_from, first_id - 1, ts_ms)
        if self._last_ms == 0:
            at = utc_text(ts_ms)
            self._journal.append(TradesBegun(at, INST, first_id, at, "first"))
        push = TradePush(
            *(INST, str(self._last_id), shape.price.text(abs(key)), shape.quantity.text(lots)),
            *("buy" if key > 0 else "sell", str(ts_ms), str(matches), source, market.seq_id + 1),
            *(ts_ms * 1000 + 30_000, "ws"),
        )
        path = self._layout.hour_file(INST, ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(trade_to_line(push) + b"\n")
        self._last_ms = ts_ms

    def _note_hole(self, first_id: int, last_id: int, ts_ms: int) -> None:
        del self._holes[0]
        self._lost_from = None
        at, since = utc_text(ts_ms), utc_text(self._last_ms)
        ids = first_id, last_id, last_id - first_id + 1, since, at
        self._journal.append(TradesHole(at, INST, *ids, "disconnect"))
        self._journal.append(TradesMissing(at, INST, *ids, "nobody has them"))


def _lines(
    recording: Recording, journal: Journal, holes: list[tuple[int, int]], trades: _Trades | None
) -> Iterator[Snapshot]:
    """Every second hole is a broken chain, which leaves a flagged line; the others are lost connections."""
    market = recording.market
    scripts = Scripts(market)
    book: Book | None = _synced(market, journal)
    while market.now_ms < recording.end_ms:
        next_ms = market.next_ms()
        if book is not None and due_grid_time(book.ts_ms, next_ms, CADENCE_MS) is not None:
            market.mark(len(recording.times))
            recording.times.append(market.now_ms)
            yield take_snapshot(INST, book, _DEPTH)
        if book is not None and holes and next_ms >= holes[0][0]:
            is_chain = len(holes) % 2 == 0
            _lost(market, journal, "chain" if is_chain else "disconnect")
            recording.before_holes.add(len(recording.times) - 1)
            if is_chain:
                yield msgspec.structs.replace(take_snapshot(INST, book, _DEPTH), gap_detected=True)
            book = None
        market.begin(next_ms)
        if trades is not None:
            scripts.step()
            trades.step()
        change = market.push()
        if book is not None:
            book.apply(change)
        elif next_ms >= holes[0][1]:
            del holes[0]
            book = _synced(market, journal)


def _synced(market: PlantedMarket, journal: Journal) -> Book:
    book = Book()
    book.apply(market.image())
    at = utc_text(market.now_ms)
    journal.append(noted.Synced(at, 1, INST, at, book.seq_id))
    return book


def _lost(market: PlantedMarket, journal: Journal, cause: noted.Cause) -> None:
    at = utc_text(market.now_ms)
    journal.append(noted.Lost(at, 1, INST, cause, at, None, ""))


def _holes(seed: int, end_ms: int, length_ms: tuple[int, int]) -> list[tuple[int, int]]:
    """One in every half-hour, at least one."""
    rng = Random(f"holes {seed}")
    every_ms = min(_HOLE_EVERY_MS, end_ms - START_MS)
    holes = []
    for from_ms in range(START_MS, end_ms - every_ms + 1, every_ms):
        at_ms = from_ms + int(every_ms * rng.uniform(0.3, 0.8))
        holes.append((at_ms, at_ms + rng.randrange(*length_ms)))
    return holes
