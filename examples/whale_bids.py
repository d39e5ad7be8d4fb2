"""Whale bids: the largest walls below the market in the last hour, since when, and what became of them.

python examples/whale_bids.py Vault BTC-USDT-SWAP
"""

import sys

import polars as pl

import l2vault


def whale_bids(walls: l2vault.Result) -> pl.DataFrame:
    """The walls on the bid side, largest first."""
    return walls.frame.filter(side="bid").sort("peak", descending=True)


def main(folder: str, inst_id: str) -> None:
    # Every level larger than 99.8 % of all, by whales and not by a crowd: 100,000 an order on average. Without a
    # percentile only what stands out from the large levels too, and for 10 s: often none.
    walls = l2vault.open(folder).books(inst_id, last="1h").walls(percentile=99.8, per_order="100k")
    bids = whale_bids(walls)
    unit = walls.provenance.unit
    print(f"{inst_id}: {len(bids)} whale bids in the last hour, covered: {walls.provenance.covered_share:.1%} of it\n")
    print(f"     price     peak {unit}  from (UTC)  to        orders  nearest   began     end")
    for bid in bids.head(10).iter_rows(named=True):
        size, near = f"{bid['peak'] / 1e6:.2f} M", f"{bid['nearest_bps']:.1f} bps"
        print(
            f"{bid['price']:>10.10g}  {size:>12}  {bid['t_from']:%H:%M:%S}    {bid['t_to']:%H:%M:%S}"
            f"  {bid['orders']:>6.1f}  {near:>8}  {bid['began']:<8}  {bid['end']}"
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/whale_bids.py VAULT INSTRUMENT")
    try:
        main(sys.argv[1], sys.argv[2])
    except l2vault.errors.L2VaultError as error:
        sys.exit(f"error: {error}")
