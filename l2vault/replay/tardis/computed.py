"""What tardis-machine computes of books and trades: `book_snapshot`, `quote` and `trade_bar`. Pure.

By its documented rules (docs.tardis.dev, "Data types"): a snapshot where the levels within the depth changed, at once
or at the end of each interval; a bar of the trades of each interval, by exchange time, none where there were none.
"""

from decimal import Decimal
from typing import NamedTuple

from l2vault.book.change import Level
from l2vault.exports.events import TradeEvent
from l2vault.replay.tardis.asked import BarType, SnapshotType

Top = tuple[list[Level], list[Level]]
"""Bids and asks down to a depth, best first."""


class Snapshots:
    """Of one instrument. `feed` it the best levels after each change of the book; anew from where the book was lost."""

    def __init__(self, kind: SnapshotType) -> None:
        self.kind = kind
        self._top: Top = [], []
        self._shown: list[list[tuple[str, str]]] = [[], []]
        self._ts_ms = 0
        self._is_changed = False
        self._is_begun = False

    def feed(self, ts_ms: int, top: Top) -> list[tuple[int, Top]]:
        """Snapshots that are due, with their times: the one of the interval that is over, then the book's first one or,
        without an interval, the change itself."""
        due: list[tuple[int, Top]] = []
        interval_ms = self.kind.interval_ms
        if interval_ms and self._is_changed and ts_ms // interval_ms > self._ts_ms // interval_ms:
            due.append(((self._ts_ms // interval_ms + 1) * interval_ms, self._top))
            self._is_changed = False
        shown = [[level[:2] for level in side] for side in top]
        if shown != self._shown or not self._is_begun:
            self._shown, self._is_changed = shown, True
        self._top, self._ts_ms = top, ts_ms
        if self._is_changed and (not interval_ms or not self._is_begun):
            due.append((ts_ms, top))
            self._is_changed, self._is_begun = False, True
        return due


class Bar(NamedTuple):
    """Prices as texts; volumes in contracts. `ts_ms` is the end of the interval, for other kinds the last trade's."""

    open: str
    high: str
    low: str
    close: str
    buy: Decimal
    sell: Decimal
    trades: int
    notional: Decimal
    open_ms: int
    close_ms: int
    ts_ms: int

    @property
    def volume(self) -> Decimal:
        return self.buy + self.sell


class Bars:
    """Of one instrument. `feed` it every trade; anew from where trades were lost. A bar that is not over is nowhere."""

    def __init__(self, kind: BarType) -> None:
        self.kind = kind
        self._bar: Bar | None = None

    def feed(self, trade: TradeEvent) -> list[Bar]:
        """Bars that are over: the one whose interval this trade is behind, or that which it completes."""
        done: list[Bar] = []
        kind, bar = self.kind, self._bar
        if bar is not None and kind.kind == "time":
            ends_ms = (bar.open_ms // kind.interval + 1) * kind.interval
            if trade.ts_ms >= ends_ms:
                done.append(bar._replace(ts_ms=ends_ms))
                bar = None
        bar = self._bar = _grown(bar, trade)
        if kind.kind != "time" and (bar.trades if kind.kind == "tick" else bar.volume) >= kind.interval:
            done.append(bar)
            self._bar = None
        return done


def _grown(bar: Bar | None, trade: TradeEvent) -> Bar:
    """A bar with one trade more."""
    price, size = trade.price, Decimal(trade.size or 0)
    buy, sell = (size, Decimal(0)) if trade.side == "buy" else (Decimal(0), size)
    notional = Decimal(price) * size
    if bar is None:
        return Bar(price, price, price, price, buy, sell, 1, notional, *(trade.ts_ms,) * 3)
    return bar._replace(
        high=max(bar.high, price, key=Decimal),
        low=min(bar.low, price, key=Decimal),
        close=price,
        buy=bar.buy + buy,
        sell=bar.sell + sell,
        trades=bar.trades + 1,
        notional=bar.notional + notional,
        close_ms=trade.ts_ms,
        ts_ms=trade.ts_ms,
    )
