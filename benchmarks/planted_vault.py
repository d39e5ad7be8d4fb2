"""The planted market recorded as the recorder would: lines at a cadence of 2 s, a journal, and holes."""

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
from l2vault.book.utc import utc_ms, utc_text
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import HOUR_MS, Layout

START_MS: Final = utc_ms("2024-08-20T00:00:00.000Z")
CADENCE_MS: Final = 2_000
_DEPTH: Final = 400
_HOLE_EVERY_MS: Final = HOUR_MS // 2
_HOLE_MS: Final = (8_000, 60_000)


@dataclass(slots=True)
class Recording:
    """The time of each recorded book, and the numbers of those behind which a hole lies."""

    market: PlantedMarket
    end_ms: int
    times: list[int] = field(default_factory=list)
    before_holes: set[int] = field(default_factory=set)


def record(root: Path, seed: int, hours: float, is_quiet: bool = False) -> Recording:
    """Write the vault at `root`; what truly happened is in the market. A quiet one has no planted wall and no hole."""
    end_ms = START_MS + int(hours * HOUR_MS)
    recording = Recording(PlantedMarket(seed, START_MS), end_ms)
    layout = Layout(root)
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), START_MS)
    journal = Journal(layout)
    at = utc_text(START_MS)
    journal.append(noted.Started(at, "0", "host", 1, "os", [INST], CADENCE_MS, _DEPTH, 1, "digest"))
    for snapshot in _lines(recording, journal, [] if is_quiet else _holes(seed, end_ms), is_quiet):
        path = layout.hour_file(INST, snapshot.ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(to_line(snapshot) + b"\n")
    journal.append(noted.Stopped(utc_text(recording.market.now_ms), "the end"))
    return recording


def _lines(recording: Recording, journal: Journal, holes: list[tuple[int, int]], is_quiet: bool) -> Iterator[Snapshot]:
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
        if not is_quiet:
            scripts.step()
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


def _holes(seed: int, end_ms: int) -> list[tuple[int, int]]:
    """One in every half-hour, at least one."""
    rng = Random(f"holes {seed}")
    every_ms = min(_HOLE_EVERY_MS, end_ms - START_MS)
    holes = []
    for from_ms in range(START_MS, end_ms - every_ms + 1, every_ms):
        at_ms = from_ms + int(every_ms * rng.uniform(0.3, 0.8))
        holes.append((at_ms, at_ms + rng.randrange(*_HOLE_MS)))
    return holes
