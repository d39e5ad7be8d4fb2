"""Support and resistance in zones of 100 dollars: where liquidity rested in the last hour, and whether it held.

python examples/zones_100.py Vault BTC-USDT-SWAP
"""

import sys

import l2vault


def main(folder: str, inst_id: str) -> None:
    zones = l2vault.open(folder).books(inst_id, last="1h").zones(width=100)
    about = zones.provenance
    print(f"{inst_id}: zones of 100 {about.unit}, best score first")
    print(f"covered: {about.covered_share:.1%} of the last hour")
    for side, seen in about.visible.items():
        far = "all of it" if seen.most_bps is None else f"{seen.least_bps:.1f} to {seen.most_bps:.1f} bps from mid"
        print(f"visible {side}s: {far}")
    for side, name in (("ask", "resistance"), ("bid", "support")):
        print(f"\n{name:<18}  mean size  persistence  held / decided  score")
        for row in zones.frame.filter(side=side).head(5).iter_rows(named=True):
            edges = f"{row['price_from']:g} to {row['price_to']:g}"
            size, held = f"{row['size'] / 1e6:.2f} M", f"{row['holds']} / {row['holds'] + row['breaks']}"
            print(f"{edges:<18}  {size:>9}  {row['persistence']:>11.0%}  {held:>14}  {row['score']:>5.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/zones_100.py VAULT INSTRUMENT")
    try:
        main(sys.argv[1], sys.argv[2])
    except l2vault.errors.L2VaultError as error:
        sys.exit(f"error: {error}")
