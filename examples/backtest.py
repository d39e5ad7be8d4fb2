"""A backtest on your own recording with hftbacktest: quote one contract a side at the touch, and see what was filled.

python examples/backtest.py Vault BTC-USDT-SWAP

It needs hftbacktest in the same environment (pip install hftbacktest). The instrument must be linear, and recorded with
`changes = true`: sampled books leave out what happens between them, and the script then says so.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LATENCY_NS = 10_000_000
FEE = 0.0002
MOST_CONTRACTS = 3
STEP_NS = 500_000_000


def exported(vault: str, inst_id: str, folder: Path) -> dict[str, Any]:
    """Write the event files; returns what they rest on."""
    words = ["export", "hftbacktest", inst_id, "--vault", vault, "--out", str(folder)]
    ran = subprocess.run([sys.executable, "-m", "l2vault", *words], capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"error: {ran.stderr.strip()}")
    about: dict[str, Any] = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))
    return about


def strategy():
    """The quoting, compiled. Raises ImportError without hftbacktest."""
    import hftbacktest as hft
    from numba import njit

    @njit
    def cancel_others(hbt, side, kept_id):
        values = hbt.orders(0).values()
        while values.has_next():
            order = values.get()
            if order.order_id % 2 == side and order.order_id != kept_id and order.cancellable:
                hbt.cancel(0, order.order_id, False)

    @njit
    def quote(hbt):
        steps = 0
        while hbt.elapse(STEP_NS) == 0:
            steps += 1
            hbt.clear_inactive_orders(0)
            depth, position = hbt.depth(0), hbt.position(0)
            if depth.best_bid_qty <= 0 or depth.best_ask_qty <= 0:  # a hole: no book is known
                continue
            bid_id, ask_id = 2 * depth.best_bid_tick, 2 * depth.best_ask_tick + 1
            cancel_others(hbt, 0, bid_id)
            cancel_others(hbt, 1, ask_id)
            if bid_id not in hbt.orders(0) and position < MOST_CONTRACTS:
                hbt.submit_buy_order(0, bid_id, depth.best_bid, 1, hft.GTX, hft.LIMIT, False)
            if ask_id not in hbt.orders(0) and position > -MOST_CONTRACTS:
                hbt.submit_sell_order(0, ask_id, depth.best_ask, 1, hft.GTX, hft.LIMIT, False)
        return steps

    return quote


def backtest(folder: Path, about: dict[str, Any]) -> str:
    """What was filled, and what it was worth."""
    import hftbacktest as hft

    instrument = about["instrument"]
    asset = (
        hft.BacktestAsset()
        .data([str(folder / name) for name in about["files"]])
        .linear_asset(instrument["contract_size"])
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(FEE, FEE)
        .tick_size(float(instrument["tick_size"]))
        .lot_size(float(instrument["lot_size"]))
    )
    hbt = hft.HashMapMarketDepthBacktest([asset])
    steps = strategy()(hbt)
    state, depth = hbt.state_values(0), hbt.depth(0)
    mid = (depth.best_bid + depth.best_ask) / 2
    equity = state.balance + state.position * mid * instrument["contract_size"] - state.fee
    return (
        f"{steps} steps of {STEP_NS / 1e9:g} s: {state.num_trades} fills, {state.position:g} contracts left, "
        f"{equity:+.2f} with fees of {state.fee:.2f}"
    )


def main(vault: str, inst_id: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        about = exported(vault, inst_id, out)
        try:
            found = backtest(out, about)
        except ImportError:
            sys.exit("error: this needs hftbacktest. Try: pip install hftbacktest")
    print(f"{inst_id}: {about['books']['hole_share']:.1%} of the time without a book")
    print(found)
    for note in about["notes"]:
        print(f"note: {note}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/backtest.py VAULT INSTRUMENT")
    main(sys.argv[1], sys.argv[2])
