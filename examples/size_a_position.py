"""How large may an order be so that getting in and out again costs at most so many basis points?

python examples/size_a_position.py Vault BTC-USDT-SWAP 3

Reads the last hour, not the last book: the size must do in all but the worst 5 % of the time.
"""

# %% The books of the last hour
import sys

from l2vault.analytics.books import Result, newest_span, read_books
from l2vault.analytics.instant import size_name, slippage
from l2vault.analytics.series import summary

HOUR_MS = 3_600_000
SIZES = tuple(step * scale for scale in (1e3, 1e4, 1e5, 1e6) for step in (1, 2, 5)) + (1e7,)
LEAST_VOUCHED = 0.9


# %% What a round trip costs, size by size
def round_trip_bps(result: Result) -> dict[float, float | None]:
    """For each size the sum of both ways in bad moments (p95); None where the visible book could not always fill it."""
    rows = {row["measure"]: row for row in summary(result.frame).to_dicts()}
    costs: dict[float, float | None] = {}
    for size in SIZES:
        ways = [rows[f"{way}_{size_name(size)}_bps"] for way in ("buy", "sell")]
        is_filled = all(way["told_share"] == 1 for way in ways)
        costs[size] = sum(way["p95"] for way in ways) if is_filled else None
    return costs


# %% The largest that is cheap enough
def largest_position(vault: str, inst_id: str, budget_bps: float) -> float:
    """In quote currency; 0 if even the smallest is too dear, or too little of the hour is vouched for."""
    result = slippage(read_books(vault, inst_id, *newest_span(vault, inst_id, HOUR_MS)), SIZES)
    if result.about.vouched_share < LEAST_VOUCHED:
        print(f"only {result.about.vouched_share:.1%} of the hour is vouched for: no size is advised")
        return 0.0
    costs = round_trip_bps(result)
    for size, cost in costs.items():
        told = "beyond the visible book" if cost is None else f"{cost:.2f} bps"
        print(f"{size_name(size):>5} {result.about.unit}: {told}")
    return max((size for size, cost in costs.items() if cost is not None and cost <= budget_bps), default=0.0)


if __name__ == "__main__":
    print("largest position:", largest_position(sys.argv[1], sys.argv[2], float(sys.argv[3])))
