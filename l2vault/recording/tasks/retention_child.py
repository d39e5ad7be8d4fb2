"""A retention pass in a process of its own: what to do comes on stdin as JSON, what came of it leaves on stdout.

Reads no settings, no environment and no configuration file: the recorder's policy is the only one there is. What the
pass logs goes to stderr, a line each.
"""

import logging
import sys
from pathlib import Path

import msgspec

from l2vault.clock import Clock
from l2vault.errors import L2VaultError
from l2vault.own_process import keep_pandas_out
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Failure, Options, Progress, run_retention
from l2vault.vault.store.layout import Layout


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The times are the recorder's: its wall clock, and exchange time as far as it is proved."""

    vault: str
    policy: Policy
    wall_ms: int
    exchange_ms: int | None
    trust_clock: bool


class Outcome(msgspec.Struct, frozen=True):
    """What failed, and after how many seconds a further pass can do more (None: the usual time will do)."""

    failures: list[Failure] = []
    again_sec: int | None = None


def carry_out(
    layout: Layout, policy: Policy, time: PassTime, clock: Clock, progress: Progress | None = None
) -> Outcome:
    """One pass, here. Raises what kept it from being made."""
    journal = verb_journal(layout, "retention", clock.wall_text, clock.monotonic_ms)
    report = run_retention(layout, policy, time, journal, Options(progress=progress))
    return Outcome(report.failures, report.again_sec)


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    time = PassTime(order.wall_ms, order.exchange_ms, order.trust_clock)
    try:
        outcome = carry_out(Layout(Path(order.vault)), order.policy, time, Clock())
    except (L2VaultError, OSError) as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    keep_pandas_out()
    sys.exit(main())
