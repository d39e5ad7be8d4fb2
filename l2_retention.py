"""Compresses and deletes by age: edit the values, then run `python l2_retention.py` every hour from a scheduler.

`VAULT` is that of `l2_exporter.py`. Not needed while the recorder runs: that does the same by itself. See
docs/retention.md.
"""

import sys
from pathlib import Path

from l2vault.entry import launch

COMPRESS_AFTER_HOURS = 6
DELETE_AFTER_DAYS = 5
VAULT = "Vault"
TRUST_CLOCK = False  # True: this machine's clock alone makes hours old enough, even where the vault no longer grows


def values() -> dict[str, object]:
    return {
        "compress_after_hours": COMPRESS_AFTER_HOURS,
        "delete_after_days": DELETE_AFTER_DAYS,
        "vault": VAULT,
        "trust_clock": TRUST_CLOCK,
    }


def main() -> int:
    return launch("retain", Path(__file__).resolve().parent, values())


if __name__ == "__main__":
    sys.exit(main())
