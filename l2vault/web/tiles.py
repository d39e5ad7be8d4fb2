"""Hours of books as cells of time and price: a tile is an hour at one width of its time bins.

An hour is read once; the wider bins are sums of the narrowest, so that they say the same. What a cell holds is the mean
over the time in which it could be seen; NaN where it never could.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import SIDES
from l2vault.analytics.books import read_books
from l2vault.analytics.contract import Floats, contract_periods
from l2vault.analytics.heatmap.grid import Ask, Cells, TimeBins, cells_of
from l2vault.clock import Clock
from l2vault.vault.coverage.hour_notes import FileStamp
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.instruments import Row
from l2vault.vault.store.layout import HOUR_MS
from l2vault.web.kept import Basis, Kept, basis_of, good_until
from l2vault.web.opened import Opened, stamps_of
from l2vault.web.tile import BINS_MS, Tile, last_known, price_step
from l2vault.web.tile_files import TileFiles
from l2vault.web.turns import Turns

ROWS: Final = 500
"""Price bins of a tile at most. While an hour is read it takes up to ten times as many rows for a moment."""
KEPT_BYTES: Final = 64 << 20
"""In memory: a week at five minutes takes 12 MB, an hour at two seconds 5 MB."""
IDLE_MS: Final = 15 * 60_000
"""What nobody asked for in so long is let go of: a page that follows the newest hour for months holds one or two."""
_TIMES_WORK: Final = 4
"""Open pages have the newest lines of an hour that is still written from elsewhere, and ask for it when their view
changes."""
_FORM: Final = 1
"""Of what is computed here: another one makes every tile on disk anew."""
_MOST_WAITING: Final = 48
"""Hours that are made or wait for it. Of a longer span the rest comes when it is asked for again."""


_Key = tuple[str, int, int]
"""Instrument, hour, width of bins."""


class Tiles:
    """The tiles of a vault, made in `executor` when they are asked for and kept up to `most_bytes`, the latest used; of
    hours that are settled in `files` too."""

    def __init__(
        self,
        root: Path | Opened,
        executor: Executor,
        clock: Clock,
        turns: Turns | None = None,
        files: TileFiles | None = None,
        most_bytes: int = KEPT_BYTES,
    ) -> None:
        self.opened = root if isinstance(root, Opened) else Opened(root)
        self._vault = self.opened.vault
        self._most_bytes = most_bytes
        self._executor = executor
        self._clock = clock
        self.turns = turns or Turns()
        self.files = files
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Kept[Tile | None]] = OrderedDict()
        self._used_ms: dict[_Key, int] = {}
        self._bytes = 0
        self._working: dict[_Key, Future[Tile | None]] = {}
        self._asked: dict[str, None] = {}
        self._ahead: dict[_Key, str] = {}
        """What hours were made of that `make_ahead` has seen on disk, or without a book."""

    def get(
        self, inst_id: str, hours: Sequence[int], bin_ms: int, patience_sec: float | None = None
    ) -> tuple[list[Tile], list[int]]:
        """The tiles of some hours (ms, ascending) in order, none for an hour without a book; and the hours that are
        still to be read once `patience_sec` are over: ask again. Raises VaultError where the vault has no row of the
        instrument."""
        asked_ms = self._clock.monotonic_ms()
        vault = self._vault()
        with self._lock:
            self._asked.pop(inst_id, None)
            self._asked[inst_id] = None
        rows, known_ms = vault.instrument_rows(inst_id), vault.newest_evidence_ms(inst_id)
        begun, left_sec = dict[int, Future[Tile | None] | None](), patience_sec
        for hour_ms in reversed(hours):
            key = inst_id, hour_ms, bin_ms
            basis = basis_of(stamps_of(vault, ("books",), inst_id, hour_ms), hour_ms, known_ms)
            begun[hour_ms] = self._at_hand(key, basis)
            if begun[hour_ms] is None and (left_sec is None or left_sec > 0):
                begun[hour_ms] = self._begun(key, basis, rows)
                if patience_sec is not None:
                    left_sec = patience_sec - (self._clock.monotonic_ms() - asked_ms) / 1000
        wait([each for each in begun.values() if each is not None], None if left_sec is None else max(0.0, left_sec))
        tiles, unread = [], []
        for hour_ms in hours:
            future = begun[hour_ms]
            if future is None or not future.done():
                unread.append(hour_ms)
            elif (tile := future.result()) is not None:
                tiles.append(tile)
        return tiles, unread

    def asked(self) -> list[str]:
        """The instruments of which tiles were asked for, the latest first."""
        with self._lock:
            return list(reversed(self._asked))

    def make_ahead(self, inst_id: str, hour_ms: int, bin_ms: int) -> bool:
        """Put the tiles of an hour on disk, from `bin_ms` on, where it is settled and they are not there; whether it
        was read for that. Waits for its turn behind everybody else; for one thread. Raises VaultError, OSError."""
        if self.files is None:
            return False
        vault, key = self._vault(), (inst_id, hour_ms, bin_ms)
        stamp = stamps_of(vault, ("books",), inst_id, hour_ms)
        digest = _digest(key, stamp, vault.instrument_rows(inst_id))
        if self._ahead.get(key) == digest or self.files.has(*key, digest):
            self._ahead[key] = digest
            return False
        if not basis_of(stamp, hour_ms, vault.newest_evidence_ms(inst_id)).is_settled:
            return False
        with self.turns.patient():
            made = tiles_of_hour(vault, inst_id, hour_ms, bin_ms)
        for tile in made.values():
            self.files.write(inst_id, tile, digest)
        self._ahead[key] = digest
        return True

    def _at_hand(self, key: _Key, basis: Basis) -> "Future[Tile | None] | None":
        """None where it is not in memory, or no longer good."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or (kept.basis != basis and self._clock.monotonic_ms() >= kept.until_ms):
                return None
            self._kept.move_to_end(key)
            self._used_ms[key] = self._clock.monotonic_ms()
            return _done(kept.made)

    def _begun(self, key: _Key, basis: Basis, rows: list[tuple[int | None, Row]]) -> "Future[Tile | None] | None":
        """From disk, or to be made; None where too many others wait."""
        if self.files is not None and basis.is_settled and key not in self._working:
            stored = self.files.read(*key, _digest(key, basis.stamp, rows))
            if stored is not None:
                with self._lock:
                    self._keep(key, Kept(basis, self._clock.monotonic_ms(), stored))
                return _done(stored)
        with self._lock:
            if key not in self._working:
                if len(self._working) >= _MOST_WAITING:
                    return None
                self._working[key] = self._executor.submit(self._make, key, basis)
            return self._working[key]

    def _make(self, key: _Key, basis: Basis) -> Tile | None:
        inst_id, hour_ms, bin_ms = key
        try:
            vault = self._vault()
            with self.turns.patient():
                begun_ms = self._clock.monotonic_ms()
                made = tiles_of_hour(vault, inst_id, hour_ms, bin_ms)
                until_ms = good_until(begun_ms, self._clock.monotonic_ms(), _TIMES_WORK)
            with self._lock:
                for width_ms in BINS_MS[BINS_MS.index(bin_ms) :]:
                    self._keep((inst_id, hour_ms, width_ms), Kept(basis, until_ms, made.get(width_ms)))
            if self.files is not None and basis.is_settled:
                digest = _digest(key, basis.stamp, vault.instrument_rows(inst_id))
                for tile in made.values():
                    self.files.write(inst_id, tile, digest)
            return made.get(bin_ms)
        finally:
            with self._lock:
                self._working.pop(key, None)

    def _keep(self, key: _Key, kept: Kept[Tile | None]) -> None:
        before = self._kept.pop(key, None)
        self._bytes += _bytes_of(kept.made) - (_bytes_of(before.made) if before is not None else 0)
        self._kept[key], self._used_ms[key] = kept, self._clock.monotonic_ms()
        while len(self._kept) > 1 and (self._bytes > self._most_bytes or self._is_idle(next(iter(self._kept)))):
            gone, unused = self._kept.popitem(last=False)
            self._bytes -= _bytes_of(unused.made)
            del self._used_ms[gone]

    def _is_idle(self, key: _Key) -> bool:
        return self._clock.monotonic_ms() - self._used_ms[key] > IDLE_MS


def tiles_of_hour(vault: Vault, inst_id: str, hour_ms: int, least_bin_ms: int) -> dict[int, Tile]:
    """The tiles of an hour by the width of their bins, from `least_bin_ms` on; none of an hour without a book."""
    bins = TimeBins(least_bin_ms, hour_ms, hour_ms + HOUR_MS)
    books = read_books(vault, inst_id, hour_ms, hour_ms + HOUR_MS)
    tick = books.contract.tick
    cells = Cells(bins, ROWS)
    ask = Ask(bins, tick, ROWS, "usd", keeps_most=True)
    pieces = [piece for some in books.mapped(partial(cells_of, ask=ask)) for piece in some]
    if not pieces:
        return {}
    for piece in pieces:
        cells.add(piece)
    fine, first, last = cells.price_bins()
    low, high = first * fine, last * fine + fine - 1
    step = price_step(low, high, ROWS)
    rows = low // step, high // step
    size_ms = [cells.size_ms(name, step, *rows) for name in SIDES]
    seen_ms = [cells.seen_ms(name, step, *rows) for name in SIDES]
    most = cells.most(step, *rows)
    made = {}
    for width_ms in BINS_MS[BINS_MS.index(least_bin_ms) :]:
        times = width_ms // least_bin_ms
        sides = [_mean(_summed(size, times), _summed(seen, times)) for size, seen in zip(size_ms, seen_ms, strict=True)]
        best = tuple(last_known(cells.best[name].reshape(-1, times)) for name in SIDES)
        covered_ms = cells.covered_ms.reshape(-1, times).sum(axis=1)
        size = (sides[0] + sides[1]).astype(np.float32)
        largest = np.where(np.isfinite(size), most.reshape(-1, times, most.shape[1]).max(axis=1), np.nan)
        best_of = best[0], best[1]
        made[width_ms] = Tile(
            hour_ms, width_ms, tick, step, rows[0], size, largest.astype(np.float32), best_of, covered_ms
        )
    return made


def _digest(key: _Key, stamp: list[FileStamp], rows: list[tuple[int | None, Row]]) -> str:
    """Of what a tile is made of: the files of its hour as they are, what a contract was worth in it, this form."""
    inst_id, hour_ms, _ = key
    periods = contract_periods(inst_id, rows, (hour_ms, hour_ms + HOUR_MS))
    return sha256(repr((_FORM, ROWS, stamp, periods)).encode()).hexdigest()


def _done(tile: Tile | None) -> "Future[Tile | None]":
    done: Future[Tile | None] = Future()
    done.set_result(tile)
    return done


def _mean(size_ms: Floats, seen_ms: Floats) -> Floats:
    return np.where(seen_ms > 0, size_ms / np.maximum(seen_ms, 1), np.nan)


def _summed(cells: "Floats | npt.NDArray[np.int64]", times: int) -> Floats:
    summed: Floats = cells.reshape(-1, times, cells.shape[1]).sum(axis=1, dtype=np.float64)
    return summed


def _bytes_of(tile: Tile | None) -> int:
    return 256 if tile is None else tile.bytes
