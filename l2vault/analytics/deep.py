"""Deep books for analysis: each sample as arrays, one in memory at a time; what lies in bands that the channel's levels
do not reach.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from l2vault.analytics.book_matrix import SIDES, Ints, SideName
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.interval_rows import End
from l2vault.analytics.one_book import BPS, ROUNDING_BPS
from l2vault.book.deep import DEEP_DEPTH, DeepLevel, DeepSample
from l2vault.vault.coverage.deep import COVERS_MS
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.store.catalog import unreported

FAR_BANDS_BPS: Final = (50.0, 100.0, 200.0)
"""Distances from mid that are measured too, unless others are asked for, where deep books were recorded."""


@dataclass(frozen=True, slots=True)
class DeepSide:
    """One side of a sample, best first. `is_whole`: it has fewer than 5000 levels, so that nothing lies beyond."""

    price: Floats
    qty: Floats
    """Contracts."""
    orders: Floats
    is_whole: bool


@dataclass(frozen=True, slots=True)
class DeepBook:
    """A sample of exchange time `ts_ms`. `is_archive`: it was not recorded, but made of OKX's archive."""

    ts_ms: int
    bids: DeepSide
    asks: DeepSide
    is_archive: bool = False

    def side(self, name: SideName) -> DeepSide:
        """Bids or asks, by name."""
        return self.bids if name == "bid" else self.asks


Samples = Callable[[int], Iterator[DeepBook]]
"""Reads those that bear on a span anew, in order of time, each at least so many milliseconds after the one before."""


def read_deep(reader: DeepReader, inst_id: str, span: tuple[int, int]) -> Samples | None:
    """The samples of a vault from the one that may stand at the start of a span; None where none were recorded."""
    if inst_id not in reader.instruments():
        return None
    bearing = span[0] - COVERS_MS, span[1]
    return lambda every_ms: map(deep_book, reader.samples(inst_id, bearing, unreported, every_ms))


def deep_book(sample: DeepSample) -> DeepBook:
    """The same as arrays."""
    return DeepBook(sample.ts_ms, _side(sample.bids), _side(sample.asks), sample.origin == "archive")


def _side(levels: Sequence[DeepLevel]) -> DeepSide:
    price, qty, orders = (np.array([float(level[at]) for level in levels]) for at in range(3))
    return DeepSide(price, qty, orders, len(levels) < DEEP_DEPTH)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far some books, of one contract and in order of time, can be seen: `(books,)` each."""

    t_from: Ints
    mid: Floats
    worst: End
    contract: Contract


class _Timed(Protocol):
    @property
    def ts_ms(self) -> int: ...


_T = TypeVar("_T", bound=_Timed)


class Newest(Generic[_T]):
    """Of samples in order of time, the one that stands at each of some times in order."""

    def __init__(self, samples: Iterator[_T]) -> None:
        self._samples = samples
        self._next = next(samples, None)
        self._now: _T | None = None

    def at(self, t_ms: int) -> _T | None:
        """The newest sample at or before a time, which is none before the one asked for last; None where it is more
        than 45 s old."""
        while self._next is not None and self._next.ts_ms <= t_ms:
            self._now, self._next = self._next, next(self._samples, None)
        return None if self._now is None or t_ms - self._now.ts_ms > COVERS_MS else self._now


class FarBands:
    """Fills the bands of `metrics.depth` that reach beyond the levels seen, from the newest sample.

    What is within the levels seen is the book's own; from its farthest level on, up to the band's end at the book's own
    mid, it is the sample's, which is at most 45 s old. Give it the books in order of time. `used` counts the books of
    which a band was filled, `used_archive` those of them that OKX's archive filled; `oldest_ms` and `last_ms` are ages
    of samples when they were used: most, and last.
    """

    def __init__(self, samples: Samples, unit: Unit, bands_bps: Sequence[float]) -> None:
        self._newest = Newest(samples(0))
        self._now: DeepBook | None = None
        self._unit: Unit = unit
        self._bands = np.array(bands_bps, dtype=np.float64)
        self._sums: dict[SideName, tuple[Floats, Floats]] = {}
        self._contract: Contract | None = None
        self.used = 0
        self.used_archive = 0
        self.oldest_ms = 0
        self.last_ms = 0

    def fill(self, books: Reach, columns: dict[str, Floats]) -> None:
        """Sets what is NaN in the columns `bid_25bps`, .. and adds `deep_age_ms`: how old the sample was that filled
        any of a book's; NaN where none did."""
        ages = np.full(len(books.mid), np.nan)
        names = {side: [f"{side}_{band:g}bps" for band in self._bands] for side in SIDES}
        lacks = np.isnan(np.column_stack([columns[name] for side in SIDES for name in names[side]])).any(axis=1)
        worst = {"bid": books.worst.bid, "ask": books.worst.ask}
        for at in np.flatnonzero(lacks & np.isfinite(books.mid)).tolist():
            t_ms = int(books.t_from[at])
            deep = self._at(t_ms, books.contract)
            if deep is None:
                continue
            is_used = False
            for side in SIDES:
                beyond = self._beyond(deep, side, float(books.mid[at]), float(worst[side][at]))
                for name, more in zip(names[side], beyond.tolist(), strict=True):
                    if np.isnan(columns[name][at]) and np.isfinite(more):
                        columns[name][at] = columns[f"{side}_total"][at] + more
                        is_used = True
            if is_used:
                ages[at] = t_ms - deep.ts_ms
                self.used, self.last_ms = self.used + 1, t_ms - deep.ts_ms
                self.used_archive += deep.is_archive
                self.oldest_ms = max(self.oldest_ms, self.last_ms)
        columns["deep_age_ms"] = ages

    def _at(self, t_ms: int, contract: Contract) -> DeepBook | None:
        """The sample that stands at a time; sums are kept as long as it does, and the contract."""
        found = self._newest.at(t_ms)
        if found is not self._now or contract != self._contract:
            self._now, self._contract = found, contract
            self._sums.clear()
        return found

    def _beyond(self, deep: DeepBook, name: SideName, mid: float, worst: float) -> Floats:
        """`(bands,)`: what rests behind the price `worst` up to the end of each band; NaN where that is not seen."""
        sign = 1.0 if name == "ask" else -1.0
        if name not in self._sums:
            assert self._contract is not None
            side = deep.side(name)
            sizes = self._contract.sizes(side.qty, side.price, self._unit)
            self._sums[name] = side.price * sign, np.concatenate([[0.0], sizes.cumsum()])
        price, total = self._sums[name]
        ends = sign * mid + mid * (self._bands + ROUNDING_BPS) / BPS
        inner = np.searchsorted(price, sign * worst, side="right")
        outer = np.searchsorted(price, ends, side="right")
        is_seen = deep.side(name).is_whole | (len(price) > 0 and price[-1] >= ends)
        return np.where(is_seen, total[np.maximum(inner, outer)] - total[inner], np.nan)
