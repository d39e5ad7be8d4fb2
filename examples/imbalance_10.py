"""The imbalance of the best 10 levels, minute by minute, and what the mid did in the minute after.

python examples/imbalance_10.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

from l2vault.analytics.books import newest_span, read_books
from l2vault.analytics.instant import imbalance, spread
from l2vault.analytics.series import by_step

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


def imbalance_and_move(vault: str, inst_id: str) -> pl.DataFrame:
    books = read_books(vault, inst_id, *newest_span(vault, inst_id, HOUR_MS))
    balance = by_step(imbalance(books, "contracts", levels=(10,), bands_bps=()).frame, MINUTE_MS)
    mids = by_step(spread(books).frame.select("t_from", "t_to", "mid"), MINUTE_MS, "last").drop("vouched_share", "t_to")
    # A minute later by the clock, not by the row: where there is a hole, nothing is claimed.
    later = mids.select(pl.col("t_from") - MINUTE_MS, mid_after="mid")
    return (
        balance.filter(pl.col("vouched_share") > 0.5)
        .join(mids, on="t_from")
        .join(later, on="t_from", how="left", maintain_order="left")
        .with_columns(
            pl.from_epoch("t_from", time_unit="ms"), move_bps=(pl.col("mid_after") / pl.col("mid") - 1) * 10_000
        )
        .select("t_from", "vouched_share", "top10", "mid", "move_bps")
    )


if __name__ == "__main__":
    table = imbalance_and_move(*sys.argv[1:3])
    print(table)
    print("correlation of imbalance and the move after it:", table.select(pl.corr("top10", "move_bps")).item())
