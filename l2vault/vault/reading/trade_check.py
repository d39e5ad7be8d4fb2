"""Reads closed hours of trades and notes which are good, with the runs of their ids (`coverage.checked_trades`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from l2vault.vault.coverage.checked_trades import checked_trade_hours
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import Layout

MOST_HOURS: Final = 50
"""Hours that one call checks, up to a second each."""


def check_trades(layout: Layout, before_ms: int, before_each: Callable[[Path], object] = lambda path: None) -> int:
    """Read hours of trades that ended before a time and are not yet checked, the newest first, and note them.

    Returns how many, `MOST_HOURS` at most. `before_each` is told which file comes; it may raise to end it. Call it with
    the lock of retention held. Raises OSError where no note can be written.
    """
    trades, reader = layout.of("trades"), TradeReader(layout)
    return checked_trade_hours(trades).fill(Catalog(trades), before_ms, MOST_HOURS, reader.check, before_each)
