"""How large may an order be so that getting in and out again costs at most so many basis points?

python examples/size_a_position.py Vault BTC-USDT-SWAP 3

Reads the last hour, not the last book: the size must do in all but the worst 5 % of the time.
"""

import sys

import l2vault

SIZES = ["1k", "2k", "5k", "10k", "20k", "50k", "100k", "200k", "500k", "1M", "2M", "5M", "10M"]
LEAST_COVERED = 0.9


def round_trip_bps(costs: l2vault.Result) -> dict[str, float | None]:
    """For each size both ways together in bad moments (p95), in bps of mid; None where the visible book could not
    always fill it."""
    summary = costs.summary().frame.rows_by_key("measure", named=True, unique=True)
    found: dict[str, float | None] = {}
    for size in SIZES:
        ways = [summary[f"{way}_{size}_bps"] for way in ("buy", "sell")]
        is_filled = all(way["non_null_share"] == 1 for way in ways)
        found[size] = sum(way["p95"] for way in ways) if is_filled else None
    return found


def largest_position(costs: dict[str, float | None], budget_bps: float) -> str | None:
    """None if even the smallest is too dear."""
    cheap = [size for size, cost in costs.items() if cost is not None and cost <= budget_bps]
    return cheap[-1] if cheap else None


def main(folder: str, inst_id: str, budget_bps: float) -> None:
    books = l2vault.open(folder).books(inst_id, last="1h")
    covered = books.coverage.covered_share
    slippage = books.slippage(SIZES)
    costs, currency = round_trip_bps(slippage), slippage.provenance.unit
    print(f"{inst_id}: a round trip in the last hour, in all but the worst 5 % of the time (no fees)\n")
    for size, cost in costs.items():
        print(f"{size:>5} {currency}  {'beyond the visible book' if cost is None else f'{cost:8.2f} bps'}")
    if covered < LEAST_COVERED:
        print(f"\nOnly {covered:.0%} of the hour is covered: too little to advise a size.")
        return
    largest = largest_position(costs, budget_bps)
    print(f"\nlargest position for {budget_bps:g} bps: {f'{largest} {currency}' if largest else 'none of these'}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/size_a_position.py VAULT INSTRUMENT BPS")
    try:
        main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    except (l2vault.errors.L2VaultError, ValueError) as error:
        sys.exit(f"error: {error}")
