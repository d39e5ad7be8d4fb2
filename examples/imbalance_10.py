"""The imbalance of the best 10 levels, minute by minute, and what the mid did in the minute after.

python examples/imbalance_10.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

import l2vault


def imbalance_and_move(books: l2vault.Books) -> pl.DataFrame:
    """`time`, `covered_share` of the minute, `imbalance` (mean), `mid` at its end, `move_bps` after it."""
    balance = books.imbalance(step="1m", unit="contracts", levels=[10], bands_bps=[]).frame
    mids = books.spread(step="1m", show="last").frame.select("t_from", "mid")
    # A minute later by the clock, not by the row: where there is a hole, nothing is claimed.
    later = mids.select(pl.col("t_from").dt.offset_by("-1m"), mid_after="mid")
    return (
        balance.filter(pl.col("covered_share") > 0.5)
        .join(mids, on="t_from")
        .join(later, on="t_from", how="left", maintain_order="left")
        .select(
            "covered_share",
            "mid",
            time="t_from",
            imbalance="top10",
            move_bps=(pl.col("mid_after") / pl.col("mid") - 1) * 10_000,
        )
        .select("time", "covered_share", "imbalance", "mid", "move_bps")
    )


def main(folder: str, inst_id: str) -> None:
    books = l2vault.open(folder).books(inst_id, last="1h")
    table = imbalance_and_move(books)
    print(f"{inst_id}: imbalance of the best 10 levels, and the move of the mid in the minute after\n")
    print("time (UTC)  covered  imbalance         mid  move after")
    for row in table.iter_rows(named=True):
        move = "-" if row["move_bps"] is None else f"{row['move_bps']:+.2f} bps"
        share = f"{row['covered_share']:.0%}"
        print(f"{row['time']:%H:%M}       {share:>7}  {row['imbalance']:+9.2f}  {row['mid']:>10.10g}  {move:>10}")
    both = table.drop_nulls()
    told = both.select(pl.corr("imbalance", "move_bps")).item() if len(both) >= 10 else None
    is_known = told is not None and told == told
    print(f"\ncorrelation over {len(both)} minutes: {f'{told:.2f}' if is_known else 'too few minutes, or none moved'}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/imbalance_10.py VAULT INSTRUMENT")
    try:
        main(sys.argv[1], sys.argv[2])
    except l2vault.errors.L2VaultError as error:
        sys.exit(f"error: {error}")
