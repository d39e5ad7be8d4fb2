"""Records OKX order books, trades and context: edit the seven values, then `python l2_exporter.py`.

`VAULT` is a folder beside this script, or anywhere: 'D:/l2/Vault', '../RaveQuant/Vault' (with slashes, on Windows too).
`CHANGES = True` keeps every push of the books too.
"""

import sys
from pathlib import Path

from l2vault.entry import launch

INSTRUMENTS = ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
SNAPSHOT_CADENCE_SEC = 2
DEPTH_LEVELS = 400
VAULT = "Vault"
TRADES = True
CONTEXT = True
CHANGES = False


def values() -> dict[str, object]:
    return {
        "instruments": INSTRUMENTS,
        "cadence_sec": SNAPSHOT_CADENCE_SEC,
        "depth": DEPTH_LEVELS,
        "vault": VAULT,
        "trades": TRADES,
        "context": CONTEXT,
        "changes": CHANGES,
    }


def main() -> int:
    return launch("record", Path(__file__).resolve().parent, values())


if __name__ == "__main__":
    sys.exit(main())
