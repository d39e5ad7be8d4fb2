"""A small market over a midnight of UTC, its archive on disk, and what was true: for all that reads OKX's archive."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from l2vault.book.book import Book
from l2vault.book.utc import DAY_MS, utc_ms
from l2vault.sim.exchange.archive import ArchivedFile, make_archive
from l2vault.sim.exchange.books import Due, Oracle, Tick
from l2vault.sim.exchange.market import Market
from l2vault.sim.server.archive import ArchiveFault, ArchiveServer, Shelf

INST = "BTC-USDT-SWAP"
DAY = "2026-01-02"
MIDNIGHT_MS = utc_ms(f"{DAY}T00:00:00.000Z")
BEGIN_MS = MIDNIGHT_MS - 120_000
END_MS = MIDNIGHT_MS + 1_000_000
"""Two minutes before a midnight to seventeen behind it, so that a full book comes in the middle of the second day."""
STEP_MS = 3_000


@dataclass
class ArchiveWorld:
    """The files, and every state of the books of which they were made."""

    files: list[ArchivedFile]
    oracle: Oracle = field(default_factory=Oracle)

    def due(self, cadence_ms: int) -> Iterator[Due]:
        """Every line that a recorder of all pushes writes."""
        return self.oracle.due(INST, cadence_ms)

    def matches(self) -> list[tuple[str, str, str, str, int]]:
        """Id, price, size, side and time of every trade, from the file."""
        found = []
        for file in (file for file in self.files if file.kind == "trades" and len(file.date) == len(DAY)):
            with zipfile.ZipFile(file.path) as packed:
                for row in packed.read(packed.namelist()[0]).decode().splitlines()[1:]:
                    _, one, side, price, size, ts, _ = row.split(",")
                    found.append((one, price, size, side, int(ts)))
        return sorted(found, key=lambda each: int(each[0]))

    def rates(self) -> dict[int, str]:
        """By the time of the settlement, what the files of funding say."""
        found = {}
        for file in (file for file in self.files if file.kind == "funding"):
            with zipfile.ZipFile(file.path) as packed:
                for row in packed.read(packed.namelist()[0]).decode().splitlines()[1:]:
                    _, rate, time = row.split(",")
                    found[int(time)] = rate
        return found

    def server(self, *faults: ArchiveFault) -> ArchiveServer:
        return ArchiveServer(Shelf(self.files, faults))


def ticks(step_ms: int = STEP_MS, begin_ms: int = BEGIN_MS, end_ms: int = END_MS) -> Iterator[Tick]:
    return takewhile(lambda tick: tick.ts_ms < end_ms, Market([INST], 7, begin_ms, step_ms).ticks())


def make_world(folder: Path) -> ArchiveWorld:
    world = ArchiveWorld([])
    book = Book()

    def seen() -> Iterator[Tick]:
        for tick in ticks():
            book.apply(tick.change)
            world.oracle.note(INST, tick.change, book)
            yield tick

    world.files = make_archive(folder, seen(), 7)
    return world


assert MIDNIGHT_MS % DAY_MS == 0
