"""The trades of one instrument, ready for analysis: frames of a span, and which of its time the chain of ids proves.

`read_trades` takes them from a vault, `trades_of` from rows of your own. A trade knows no book: what a trade means to a
level is said where both meet.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from msgspec.structs import replace

from l2vault.analytics.book_matrix import Ints
from l2vault.analytics.contract import ContractPeriod, Floats, Unit
from l2vault.vault.coverage.proved import TimeStretch, clipped, painted, share_of
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.reading.trades import TradeReader, TradeRow

TRADES: Final = pl.Schema(
    {
        "t": pl.Int64,
        "price": pl.Float64,
        "qty": pl.Float64,
        "is_buy": pl.Boolean,
        "is_rpi": pl.Boolean,
        "matches": pl.Int64,
    }
)
"""A row is the matches of one taker order at one price: `t`, exchange time in ms since 1970; `qty`, contracts;
`is_buy`, what the taker did; `is_rpi`, whether it was against an order that is in no book (OKX's `source` 1), so that
no level of a book fell by it; `matches`, how many of OKX's trade ids. In order of ids."""

NOT_RECORDED: Final = ""
"""The cause of time of which nothing was recorded at all: before the first trade, and behind the newest."""
UNSIZED: Final = "no size of its own"
"""The cause of a moment whose trades two connections summed up in ways that do not fit into each other."""

_RPI: Final = "1"
_ROWS_AT_ONCE: Final = 1 << 16
"""A row as Python's own objects takes ten times the room that it takes as a row of columns."""


@dataclass(frozen=True, slots=True)
class TradeSpan:
    """What was read of a half-open span: rows as `TRADES` says, and its time in its states, in order without a gap."""

    start_ms: int
    end_ms: int
    frame: pl.DataFrame
    stretches: Sequence[TimeStretch]
    archive_share: float = 0.0
    """The share of the span's time that is proved by OKX's archive, because it was not recorded."""

    @property
    def proved_share(self) -> float:
        """The share of the span's time in which no trade is missing, from 0 to 1."""
        return share_of(self.stretches, (self.start_ms, self.end_ms), "proved")

    @property
    def is_recorded(self) -> bool:
        """Whether trades were recorded at any time of it."""
        return any(each.cause != NOT_RECORDED or each.state == "proved" for each in self.stretches)

    def proved_ms(self, t_from: Ints, t_to: Ints) -> Ints:
        """Of each half-open time, for how many ms it is proved: `(times,)` int64."""
        return _within([each for each in self.stretches if each.state == "proved"], t_from, t_to)

    def not_recorded_ms(self, t_from: Ints, t_to: Ints) -> Ints:
        """Of each half-open time, for how many ms nothing was recorded, within the span: `(times,)` int64."""
        own = [each for each in self.stretches if each.state == "unknown" and each.cause == NOT_RECORDED]
        return _within(own, t_from, t_to)


def _within(stretches: Sequence[TimeStretch], t_from: Ints, t_to: Ints) -> Ints:
    """For how many ms of each time one of the stretches, which are in order, lasts."""
    if not stretches:
        return np.zeros(len(t_from), np.int64)
    bounds = np.array([(each.start_ms, each.end_ms) for each in stretches], np.float64)
    held = np.zeros(bounds.size)
    held[1::2] = bounds[:, 1] - bounds[:, 0]
    passed = held.cumsum()
    inside: Ints = np.rint(
        np.interp(t_to, bounds.reshape(-1), passed) - np.interp(t_from, bounds.reshape(-1), passed)
    ).astype(np.int64)
    return inside


class Trades:
    """The trades of one instrument; `read` reads those of a span anew each time, `covered` what is known of its time
    without its rows, which is much less to read where hours were checked before."""

    def __init__(
        self,
        read: Callable[[tuple[int, int], Collection[float] | None], TradeSpan],
        covered: Callable[[tuple[int, int]], TradeSpan],
    ) -> None:
        self._read = read
        self._covered = covered

    def read(self, span: tuple[int, int], prices: Collection[float] | None = None) -> TradeSpan:
        """Those of a half-open span; of some `prices` only, if these are given. Holds two hours of lines at a time, and
        50 bytes of each row that is given."""
        return self._read(span, prices)

    def covered(self, span: tuple[int, int]) -> TradeSpan:
        """The time of a half-open span in its states, with no rows."""
        return self._covered(span)


def read_trades(reader: TradeReader, inst_id: str) -> Trades | None:
    """Of a vault; None where it has, and its journal knows of, no trades of the instrument. What OKX's archive proves
    is proved, and `archive_share` says how much of the time that is."""
    if inst_id not in reader.noted_instruments():
        return None

    def read(span: tuple[int, int], prices: Collection[float] | None) -> TradeSpan:
        columns = _Columns(prices)
        coverage = reader.read(inst_id, span, columns.take)
        return known(span, coverage, columns)

    def covered(span: tuple[int, int]) -> TradeSpan:
        return known(span, reader.coverage(inst_id, span), _Columns(()))

    def known(span: tuple[int, int], coverage: TradeCoverage, columns: _Columns) -> TradeSpan:
        marks = [*coverage.stretches, *(TimeStretch(ms, ms + 1, "unknown", UNSIZED) for ms in columns.unsized)]
        marks = [replace(each, state="proved") if each.state == "archive" else each for each in marks]
        return TradeSpan(*span, columns.frame(), painted(span, marks), coverage.share("archive"))

    return Trades(read, covered)


def trades_of(frame: pl.DataFrame, stretches: Iterable[TimeStretch]) -> Trades:
    """Of rows as `TRADES` says, and of the time that they prove; beyond that nothing is recorded."""
    known = list(stretches)

    def read(span: tuple[int, int], prices: Collection[float] | None) -> TradeSpan:
        own = frame.filter(pl.col("t") >= span[0], pl.col("t") < span[1])
        if prices is not None:
            own = own.filter(pl.col("price").is_in(list(prices)))
        return TradeSpan(*span, own, painted(span, clipped(known, span)))

    def covered(span: tuple[int, int]) -> TradeSpan:
        return TradeSpan(*span, frame.clear(), painted(span, clipped(known, span)))

    return Trades(read, covered)


def traded_sizes(frame: pl.DataFrame, periods: Sequence[ContractPeriod], unit: Unit) -> Floats:
    """`(rows,)` float64: the size of each row of `TRADES` in `unit`, by the contract that was valid then."""
    t_ms, qty, price = (frame[name].to_numpy() for name in ("t", "qty", "price"))
    sizes = periods[0].contract.sizes(qty, price, unit)
    for period in periods[1:]:
        sizes = np.where(t_ms >= period.from_ms, period.contract.sizes(qty, price, unit), sizes)
    return sizes


class _Columns:
    """Gathers rows as columns."""

    def __init__(self, prices: Collection[float] | None) -> None:
        self.unsized: list[int] = []
        self._prices = None if prices is None else frozenset(prices)
        self._rows: list[tuple[int, float, float, bool, bool, int]] = []
        self._frames: list[pl.DataFrame] = []

    def take(self, row: TradeRow) -> None:
        push = row.push
        price = float(push.px)
        if self._prices is not None and price not in self._prices:
            return
        if row.size is None:
            self.unsized.append(push.ts_ms)
            return
        of_push = push.ts_ms, price, float(row.size), push.side == "buy", push.source == _RPI
        self._rows.append((*of_push, row.last_id - row.first_id + 1))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def frame(self) -> pl.DataFrame:
        self._flush()
        return pl.concat(self._frames)

    def _flush(self) -> None:
        self._frames.append(pl.DataFrame(self._rows, TRADES, orient="row"))
        self._rows = []
