"""RPI (retail price improvement) orders within bands of mid, from samples of OKX's `books-rpi`.

They rest beside the book: what is measured here is in no measure that rests on `books`, and nothing of those is in it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import SIDES, SideName
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.deep import Newest, Reach
from l2vault.analytics.one_book import BPS, ROUNDING_BPS
from l2vault.book.deep import RPI_DEPTH, DeepLevel, DeepSample, rpi_quantity
from l2vault.vault.coverage.deep import COVERS_MS
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.store.catalog import unreported

_SIGN: Final[dict[SideName, float]] = {"bid": -1.0, "ask": 1.0}


@dataclass(frozen=True, slots=True)
class RpiSide:
    """One side of a sample, `(levels,)` each, best first. `is_whole`: it has fewer than 400 levels, so that nothing
    lies beyond."""

    price: Floats
    qty: Floats
    """Contracts in all."""
    rpi: Floats
    """Contracts of them that are of RPI orders."""
    is_whole: bool


@dataclass(frozen=True, slots=True)
class RpiBook:
    """A sample of exchange time `ts_ms`; `mid` is half-way between the best prices of other than RPI orders, NaN where
    a side has none."""

    ts_ms: int
    mid: float
    bids: RpiSide
    asks: RpiSide

    def side(self, name: SideName) -> RpiSide:
        """Bids or asks, by name."""
        return self.bids if name == "bid" else self.asks


RpiSamples = Callable[[], Iterator[RpiBook]]
"""Reads those that bear on a span anew, in order of time."""


def read_rpi(reader: DeepReader, inst_id: str, span: tuple[int, int]) -> RpiSamples | None:
    """The samples of a vault from the one that may stand at the start of a span; None where none were recorded."""
    if inst_id not in reader.instruments():
        return None
    bearing = span[0] - COVERS_MS, span[1]
    return lambda: map(rpi_book, reader.samples(inst_id, bearing, unreported))


def rpi_book(sample: DeepSample) -> RpiBook:
    """The same as arrays."""
    bids, asks = _side(sample.bids), _side(sample.asks)
    touch = [side.price[side.qty > side.rpi][:1] for side in (bids, asks)]
    mid = float(sum(touch[0]) + sum(touch[1])) / 2 if all(map(len, touch)) else np.nan
    return RpiBook(sample.ts_ms, mid, bids, asks)


def _side(levels: Sequence[DeepLevel]) -> RpiSide:
    price, qty = (np.array([float(level[at]) for level in levels]) for at in range(2))
    rpi = np.array([float(rpi_quantity(level)) for level in levels])
    return RpiSide(price, qty, rpi, len(levels) < RPI_DEPTH)


class RpiBands:
    """What RPI orders hold within each band, for books given in order of time: of the newest sample at most 45 s old.

    Both the size and its share of all that rests in the band are of the sample, around the sample's own mid. `used`
    counts the books for which one stood; `oldest_ms` and `last_ms` are ages of samples when they were used: most, and
    last.
    """

    def __init__(self, samples: RpiSamples, unit: Unit, bands_bps: Sequence[float]) -> None:
        self._newest = Newest(samples())
        self._unit: Unit = unit
        self._bands = np.array(bands_bps, dtype=np.float64)
        self._of: tuple[RpiBook, Contract] | None = None
        self._row: Floats = np.empty(0)
        self.names: tuple[str, ...] = tuple(
            f"rpi_{side}_{band:g}bps{end}" for side in SIDES for end in ("", "_share") for band in self._bands
        )
        self.used = 0
        self.oldest_ms = 0
        self.last_ms = 0

    def columns(self, books: Reach) -> dict[str, Floats]:
        """`(books,)` of each of `names`, the size in the unit asked for and its share, and of `rpi_age_ms`; NaN where
        no sample stood, or the band reaches beyond its levels, and of a share where nothing rests in the band."""
        found = np.full((len(books.t_from), len(self.names)), np.nan)
        ages = np.full(len(books.t_from), np.nan)
        for at, t_ms in enumerate(books.t_from.tolist()):
            book = self._newest.at(t_ms)
            if book is None:
                continue
            found[at] = self._measured(book, books.contract)
            ages[at] = self.last_ms = t_ms - book.ts_ms
            self.used, self.oldest_ms = self.used + 1, max(self.oldest_ms, self.last_ms)
        return {name: found[:, at] for at, name in enumerate(self.names)} | {"rpi_age_ms": ages}

    def _measured(self, book: RpiBook, contract: Contract) -> Floats:
        """The values of a sample in the order of `names`; most books have that of the one before them."""
        if self._of is None or self._of[0] is not book or self._of[1] != contract:
            self._of = book, contract
            self._row = np.concatenate([part for side in SIDES for part in self._of_side(book, side, contract)])
        return self._row

    def _of_side(self, book: RpiBook, name: SideName, contract: Contract) -> tuple[Floats, Floats]:
        """`(bands,)` sizes of RPI orders and their shares."""
        side, sign = book.side(name), _SIGN[name]
        price = side.price * sign
        ends = sign * book.mid + book.mid * (self._bands + ROUNDING_BPS) / BPS
        within = np.searchsorted(price, ends, side="right")
        sums = [
            np.concatenate([[0.0], contract.sizes(qty, side.price, self._unit).cumsum()])[within]
            for qty in (side.rpi, side.qty)
        ]
        is_seen = np.isfinite(ends) & (side.is_whole | (price[-1] >= ends if len(price) else False))
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing rests there: no share
            shares = sums[0] / sums[1]
        return np.where(is_seen, sums[0], np.nan), np.where(is_seen, shares, np.nan)
