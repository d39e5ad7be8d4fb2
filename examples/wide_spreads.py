"""When was the spread above 10 basis points in the last hour, and for how long?

python examples/wide_spreads.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

from l2vault.analytics.books import newest_span, read_books
from l2vault.analytics.instant import spread

HOUR_MS = 3_600_000
WIDE_BPS = 10


def wide_spreads(vault: str, inst_id: str, wide_bps: float = WIDE_BPS) -> pl.DataFrame:
    result = spread(read_books(vault, inst_id, *newest_span(vault, inst_id, HOUR_MS)))
    print(f"vouched for {result.about.vouched_share:.1%} of the hour: what lies in the rest is not known")
    wide = pl.col("spread_bps") > wide_bps
    episodes = result.frame.with_columns(episode=(wide != wide.shift()).fill_null(True).cum_sum()).filter(wide)
    return episodes.group_by("episode", maintain_order=True).agg(
        start=pl.from_epoch(pl.col("t_from").first(), time_unit="ms"),
        seconds=(pl.col("t_to") - pl.col("t_from")).sum() / 1000,
        widest_bps=pl.col("spread_bps").max(),
    )


if __name__ == "__main__":
    print(wide_spreads(*sys.argv[1:3]))
