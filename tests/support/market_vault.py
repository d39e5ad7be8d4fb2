"""Ten minutes of one instrument in which all that an alert on the market can be about happens at a known time."""

import json
from collections.abc import Iterator
from pathlib import Path

from l2vault.book.context import Context, Funding
from l2vault.book.context import to_line as context_line
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.trade_events import TradesBegun
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, started, synced

SECONDS = 640
SPAN = (HOUR_AT_MS, HOUR_AT_MS + SECONDS * 1000)
PULLED_WALL = 60, 120
CONSUMED_WALL = 180, 240
WIDE = 300, 340
LEANING = 400, 440
THIN = 460, 500
CROSSED = 520
HELD_WALL = 550
HOLE = 560, 600
FUNDED = 200, 280
WALL = 10_000
"""Contracts of 0.01 BTC at 60,000: 6 M."""


def books() -> Iterator[Snapshot]:
    """One each 2 s, but for the hole."""
    for second in range(0, SECONDS, 2):
        if not HOLE[0] <= second < HOLE[1]:
            yield line(second * 1000, *_sides(second))


def _sides(second: int) -> tuple[list[tuple[str, str, str, str]], list[tuple[str, str, str, str]]]:
    middle = 60_400 if second >= CROSSED else 60_000
    bids = {middle - 1: 3000 if _in(second, LEANING) else 100, middle - 10: 50 + second % 7}
    asks = {middle + 1: 10 if _in(second, THIN) else 100, middle + 10: 1 if _in(second, THIN) else 50}
    if _in(second, PULLED_WALL):
        asks[60_050] = WALL
    if _in(second, CONSUMED_WALL):
        bids[59_995] = WALL
    if second == CONSUMED_WALL[1]:
        bids = {59_990: 50}
    if _in(second, WIDE):
        asks = {60_100: 200}
    if second >= HELD_WALL:
        asks[60_450] = WALL
    return (
        levels(*(f"{price} {bids[price]} 3" for price in sorted(bids, reverse=True))),
        levels(*(f"{price} {asks[price]} 3" for price in sorted(asks))),
    )


def _in(second: int, span: tuple[int, int]) -> bool:
    return span[0] <= second < span[1]


def trades() -> Iterator[TradePush]:
    """A small one each second, those that consumed a wall, and two that took nothing of the pulled one: against
    an order in no book, and by a seller."""
    odd = {
        CONSUMED_WALL[1] - 1: ("59995", "sell", "0"),
        PULLED_WALL[1] - 1: ("60050", "buy", "1"),
        PULLED_WALL[1] - 2: ("60050", "sell", "0"),
    }
    for number in range(SECONDS):
        price, side, source = odd.get(number, ("60001", "buy", "0"))
        size = str(WALL) if number in odd else "1"
        ts_ms = HOUR_AT_MS + number * 1000 + 500
        of = price, size, side, str(ts_ms), "1", source, number, ts_ms * 1000, "ws"
        yield TradePush(INST, str(1000 + number), *of)


def contexts() -> Iterator[Context]:
    """One each 10 s."""
    for second in range(0, SECONDS, 10):
        grid_ms = HOUR_AT_MS + second * 1000
        rate = "-0.001" if _in(second, FUNDED) else "0.0001"
        yield Context(INST, grid_ms, None, None, Funding(grid_ms, rate, str(HOUR_AT_MS + 28_800_000)), None, None)


class MarketVault:
    """A vault that is written as far as a test says."""

    def __init__(self, root: Path, has_trades: bool = True) -> None:
        self.layout = Layout(root)
        self._has_trades = has_trades
        self._rows = sorted(
            [*((book.ts_ms, "books", to_line(book)) for book in books())]
            + [(push.ts_ms, "trades", trade_to_line(push)) for push in trades() if has_trades]
            + [(context.grid_ms, "context", context_line(context)) for context in contexts()],
        )
        row = self.layout.instrument_file(INST)
        row.parent.mkdir(parents=True, exist_ok=True)
        row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
        begun = [TradesBegun(at(0), INST, 1000, at(500), "first")] if has_trades else []
        journal_v1_of(self.layout, started(-9_000), synced(-8_000), *begun)
        self._noted = 0

    def write(self, until_sec: int = SECONDS) -> None:
        """Everything up to a time, the lines of it and the losses."""
        events = [(HOLE[0], lost(HOLE[0] * 1000 - 1_900)), (HOLE[1], synced(HOLE[1] * 1000))]
        due = [event for second, event in events if second <= until_sec]
        journal_v1_of(self.layout, *due[self._noted :])
        self._noted = len(due)
        while self._rows and self._rows[0][0] <= HOUR_AT_MS + until_sec * 1000:
            ts_ms, kind, text = self._rows.pop(0)
            path = (self.layout if kind == "books" else self.layout.of(kind)).hour_file(INST, ts_ms)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(text + b"\n")
