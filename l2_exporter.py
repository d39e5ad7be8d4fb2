"""Records OKX order books: edit the three values, then `python l2_exporter.py`. Files go into `Vault` beside it."""

import sys
from pathlib import Path

from l2vault.cli import launch

INSTRUMENTS = ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
SNAPSHOT_CADENCE_SEC = 2
DEPTH_LEVELS = 400


def main() -> int:
    values = {"instruments": INSTRUMENTS, "cadence_sec": SNAPSHOT_CADENCE_SEC, "depth": DEPTH_LEVELS}
    return launch("record", Path(__file__).resolve().parent, values)


if __name__ == "__main__":
    sys.exit(main())
