"""Books rebuilt from recorded changes, held against the lines that were recorded beside them."""

from itertools import zip_longest

import msgspec

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.config import Settings
from l2vault.vault.reading.vault import open_vault
from support.rig import Outcome

EARLY_MS, LATE_MS = 10**12, 10**13 - 1


def assert_rebuilt(outcome: Outcome, settings: Settings) -> None:
    """Books rebuilt from the changes are the recorded lines, byte for byte."""
    vault = open_vault(outcome.root)
    kept = vault.change_catalog.instruments()
    assert kept
    for inst_id in settings.instruments:
        if inst_id not in kept:  # its one full book was never believed
            assert outcome.raw_lines(inst_id) == []
            continue
        rebuilt = vault.snapshots(inst_id, EARLY_MS, LATE_MS, "changes", settings.cadence_ms)
        lines = [to_line(snapshot if settings.depth == 400 else _cut(snapshot, settings.depth)) for snapshot in rebuilt]
        differing = [pair for pair in zip_longest(lines, outcome.raw_lines(inst_id)) if pair[0] != pair[1]]
        assert [tuple(line and line[:60] + line[-90:] for line in pair) for pair in differing] == []
        assert rebuilt.findings == []


def _cut(snapshot: Snapshot, depth: int) -> Snapshot:
    return msgspec.structs.replace(snapshot, depth=depth, bids=snapshot.bids[:depth], asks=snapshot.asks[:depth])
