"""Any verb on the vault of `l2_exporter.py`: `./l2 walls BTC-USDT-SWAP` (Windows: `l2.bat walls BTC-USDT-SWAP`).

It has no values of its own: those at the top of `l2_exporter.py` hold here too, and for `retain` those of
`l2_retention.py`. It works from any folder.
"""

import sys
from pathlib import Path

import l2_exporter
import l2_retention
from l2vault.entry import launch


def main() -> int:
    values = l2_retention.values() if sys.argv[1:2] == ["retain"] else l2_exporter.values()
    return launch(None, Path(__file__).resolve().parent, values)


if __name__ == "__main__":
    sys.exit(main())
