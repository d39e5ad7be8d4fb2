"""The zones that a price may cross, of the hour before a time: those of `l2vault zones`. Needs the analysis extra,
which loads when the first alert on zones is looked at."""

from typing import Final

from l2vault.alerts.market import Zone
from l2vault.errors import analysis_extra
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS

MOST_A_SIDE: Final = 3
"""The strongest of each side that price has not left behind."""


def zones_before(vault: Vault, inst_id: str, t_ms: int) -> list[Zone]:
    """Of the hour before a time, bids first. Raises VaultError where it has no book with both sides, L2VaultError
    without the extra."""
    with analysis_extra():
        from l2vault.analytics.books import read_books
        from l2vault.analytics.zones.zones import ahead, zones

    frame = zones(read_books(vault, inst_id, t_ms - HOUR_MS, t_ms)).frame
    sides = (frame.filter(frame["side"] == side) for side in ("bid", "ask"))
    rows = [row for own in sides for row in ahead(own, MOST_A_SIDE).select("side", "price_from", "price_to").rows()]
    return [Zone(*row) for row in rows]
