"""What a recorder says when it starts: what is recorded of which instruments, where to, and how long it stays; or that
the vault is of another region."""

import logging
from typing import Final

from l2vault.config import Settings
from l2vault.errors import VaultError
from l2vault.okx.hosts import closed_port_warnings
from l2vault.recording.deep import BYTES_A_DAY
from l2vault.vault.journal.log import PreviousRun
from l2vault.vault.retention.plan import GB, Policy
from l2vault.vault.store.layout import Layout

CHANGES_MB_A_DAY: Final = 100
"""Of a busy instrument, compressed: `python benchmarks/bench_light.py --changes` gives 3.7 to 3.9 MB an hour."""
DEEP_GB_RECEIVED_A_DAY: Final = 0.7
"""2,880 answers of 10,000 levels as OKX writes them; the same command."""

RPI_GB_RECEIVED_A_DAY: Final = 0.1
"""2,880 answers of 800 levels: 0.07, rounded up; the same command with `--kind rpi`."""

_log = logging.getLogger("l2vault.recorder")


def log_start(settings: Settings, layout: Layout, policy: Policy) -> None:
    """A line for each kind that is recorded or left out, and for retention."""
    for words in closed_port_warnings(settings.ws_url):
        _log.warning(words)
    names = ", ".join(settings.instruments)
    _log.info("Recording %s every %g s, %d levels, into %s", names, settings.cadence_sec, settings.depth, layout.root)
    kept = "every push, into raw/okx/trades" if settings.trades else "not recorded (trades = false)"
    _log.info("Trades: %s", kept)
    beside = "mark, index, funding, open interest, limits each grid time anything is new, into raw/okx/context"
    _log.info("Context: %s", beside if settings.context else "not recorded (context = false)")
    if settings.changes:
        _log.info("Changes: every push of the books is kept, up to %d MB a day of an instrument", CHANGES_MB_A_DAY)
    if settings.deep:
        words = "Deep books: %s each 30 s by REST, 5000 levels a side, into raw/okx/books_full: of an instrument up to "
        cost = BYTES_A_DAY["deep"] // 1_000_000, DEEP_GB_RECEIVED_A_DAY
        _log.info(words + "%d MB a day on the disk and %g GB a day received", ", ".join(settings.deep), *cost)
    if settings.rpi:
        words = "RPI books: %s each 30 s by REST, 400 levels a side, into raw/okx/books_rpi: of an instrument up to "
        cost = BYTES_A_DAY["rpi"] // 1_000_000, RPI_GB_RECEIVED_A_DAY
        _log.info(words + "%d MB a day on the disk and %g GB a day received", ", ".join(settings.rpi), *cost)
    _log.info("Retention: %s", policy_words(policy if settings.retention else None))


def check_region(settings: Settings, layout: Layout, previous: PreviousRun | None) -> None:
    """Books of two regions in one vault would pass for each other. Raises VaultError."""
    if previous is not None and previous.region not in ("", settings.region):
        raise VaultError(
            f"the vault {layout.root} holds books of OKX's region {previous.region}, and this recorder is "
            f"set to {settings.region}.",
            f'region = "{previous.region}", or another vault with --vault',
        )


def policy_words(policy: Policy | None) -> str:
    """What will be compressed and deleted, and when; None: retention is off."""
    if policy is None:
        return "off, nothing is compressed or deleted while recording"
    parts = []
    if policy.compress_after_hours is not None:
        parts.append(f"hours are gzipped after {policy.compress_after_hours:g} h")
    if policy.delete_after_days is not None:
        kept = "archive_days keeps them as Parquet" if policy.archive_days is None else "their Parquet archive stays"
        parts.append(f"DELETED after {policy.delete_after_days:g} days ({kept})")
    words = " and ".join(parts) or "nothing is compressed or deleted by age"
    if policy.archive_days is not None:
        words += f"; archives are DELETED after {policy.archive_days:g} days"
    if policy.max_bytes is not None:
        words += f"; the oldest hours go beyond {policy.max_bytes / GB:g} GB"
    if policy.min_free_bytes is not None:
        words += f"; the oldest hours go below {policy.min_free_bytes / GB:g} GB free"
    if policy.keep_until_pushed:
        words += f"; nothing is deleted before it is pushed to {policy.keep_until_pushed}"
    return words
