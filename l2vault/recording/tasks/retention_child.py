"""A retention pass in a process of its own: what to do comes on stdin as JSON, what came of it leaves on stdout.

Reads no settings, no environment and no configuration file: the recorder's policy is the only one there is.
"""

import sys
from pathlib import Path

import msgspec

from l2vault.errors import L2VaultError
from l2vault.vault.layout import Layout
from l2vault.vault.plan import Policy
from l2vault.vault.retention import run_retention


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`now_ms` is the time from which ages count, as the recorder knows it."""

    vault: str
    policy: Policy
    now_ms: int


class Outcome(msgspec.Struct, frozen=True):
    steps: int
    freed_bytes: int
    shortage: str
    failures: list[tuple[str, str]]


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        report = run_retention(Layout(Path(order.vault)), order.policy, order.now_ms)
    except (L2VaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    failures = [(failure.file, failure.text) for failure in report.failures]
    outcome = Outcome(len(report.done), report.freed_bytes, report.shortage, failures)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
