"""When was the spread above 10 basis points in the last hour, and for how long?

python examples/wide_spreads.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

import l2vault

WIDE_BPS = 10


def wide_spreads(spread: l2vault.Result, wide_bps: float = WIDE_BPS) -> pl.DataFrame:
    """A row per episode: `start`, `seconds`, `widest_bps`."""
    wide = pl.col("spread_bps") > wide_bps
    episodes = spread.frame.with_columns(episode=(wide != wide.shift()).fill_null(True).cum_sum()).filter(wide)
    return episodes.group_by("episode", maintain_order=True).agg(
        start=pl.col("t_from").first(),
        seconds=(pl.col("t_to") - pl.col("t_from")).sum().dt.total_milliseconds() / 1000,
        widest_bps=pl.col("spread_bps").max(),
    )


def main(folder: str, inst_id: str) -> None:
    spread = l2vault.open(folder).books(inst_id, last="1h").spread()
    episodes = wide_spreads(spread)
    about = spread.provenance
    print(f"{inst_id}: {len(episodes)} times a spread above {WIDE_BPS} bps in the last hour")
    print(f"covered: {about.covered_share:.1%} of it, and nothing is known of the rest\n")
    for row in episodes.iter_rows(named=True):
        print(f"{row['start']:%H:%M:%S} UTC  for {row['seconds']:6.1f} s, at most {row['widest_bps']:.1f} bps")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/wide_spreads.py VAULT INSTRUMENT")
    try:
        main(sys.argv[1], sys.argv[2])
    except l2vault.errors.L2VaultError as error:
        sys.exit(f"error: {error}")
