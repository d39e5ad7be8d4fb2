"""Records OKX order books: edit the five values, then `python l2_exporter.py`.

`CHANGES = True` keeps every change of the books too, some 4 MB an hour of BTC. `VAULT` is a folder beside this script, or anywhere: 'D:/l2/Vault', '../RaveQuant/Vault' (with slashes, on Windows too).
"""

import sys
from pathlib import Path

from l2vault.entry import launch

INSTRUMENTS = ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
SNAPSHOT_CADENCE_SEC = 2
DEPTH_LEVELS = 400
CHANGES = False
VAULT = "Vault"


def values() -> dict[str, object]:
    return {
        "instruments": INSTRUMENTS,
        "cadence_sec": SNAPSHOT_CADENCE_SEC,
        "depth": DEPTH_LEVELS,
        "changes": CHANGES,
        "vault": VAULT,
    }


def main() -> int:
    return launch("record", Path(__file__).resolve().parent, values())


if __name__ == "__main__":
    sys.exit(main())
