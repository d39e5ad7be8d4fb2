"""Whale bids: the largest walls below the market in the last hour, since when, and what became of them.

python examples/whale_bids.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

from l2vault.analytics.books import newest_span, read_books
from l2vault.analytics.tracks import tracks_of
from l2vault.analytics.walls import Criteria, walls

HOUR_MS = 3_600_000


def whale_bids(vault: str, inst_id: str) -> pl.DataFrame:
    books = read_books(vault, inst_id, *newest_span(vault, inst_id, HOUR_MS))
    result = walls(books, "usd", Criteria(per_order=100_000))  # large because of whales, not because of a crowd
    bids = tracks_of(result.frame).filter(pl.col("side") == "bid").sort("peak", descending=True)
    return bids.with_columns(pl.from_epoch("t_from", time_unit="ms"), pl.from_epoch("t_to", time_unit="ms"))


if __name__ == "__main__":
    print(whale_bids(*sys.argv[1:3]))
