"""Reads closed hours of trades and notes which are good, with the runs of their ids (`coverage.checked_trades`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from l2vault.vault.coverage.checked_trades import checked_trade_hours
from l2vault.vault.coverage.hour_notes import closed_hours
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
    catalog, checked = Catalog(trades), checked_trade_hours(trades)
    done = 0
    for inst_id in catalog.instruments():
        every = catalog.hours(inst_id)
        found = {}
        lacking = [forms for forms in closed_hours(every, before_ms) if checked.record(forms) is None]
        for forms in lacking[: MOST_HOURS - done]:
            before_each(forms.every[0].path)
            found[forms.hour_ms] = reader.check(forms)
        checked.put(inst_id, found, every)
        done += len(found)
    return done
