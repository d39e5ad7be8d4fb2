"""Support and resistance in zones of 100 dollars: where liquidity rested in the last hour, and whether it held.

python examples/zones_100.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

from l2vault.analytics.books import newest_span, read_books
from l2vault.analytics.zones import zones

HOUR_MS = 3_600_000


def zones_of_100(vault: str, inst_id: str) -> pl.DataFrame:
    result = zones(read_books(vault, inst_id, *newest_span(vault, inst_id, HOUR_MS)), "usd", width=100)
    print(f"vouched for {result.about.vouched_share:.1%}; bids seen {result.about.reach_bps['bid']} from mid")
    return result.frame.select(
        "side", "price_from", "price_to", "size", "persistence", "seen_share", "tests", "holds", "breaks", "score"
    )


if __name__ == "__main__":
    print(zones_of_100(*sys.argv[1:3]))
