"""Ten minutes of one instrument with a hole of three slots: the vault that the examples of the documents are about."""

import json
from collections.abc import Iterator
from pathlib import Path

from l2vault.book.snapshot import Snapshot
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from support.hours import INST, journal_v1_of, levels, line, lost, put, started, synced

SLOTS = 300
LOSS_MS, RESYNC_MS = 120_300, 126_100


def books() -> Iterator[Snapshot]:
    """A bid that stands all the time, one that changes with every line, and an ask 20 bps away from the mid price."""
    for slot in range(SLOTS):
        offset_ms = slot * 2_000
        if not LOSS_MS <= offset_ms < RESYNC_MS:
            bids = levels("59999 10 3", f"59990 {slot + 1} 1")
            yield line(offset_ms, bids, levels("60001 2.5 1", "60120 900 40"))


def small_vault(root: Path, packed: bool = False) -> tuple[Layout, Path]:
    """The vault, and the file of its hour."""
    layout = Layout(root)
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(LOSS_MS), synced(RESYNC_MS), lost(600_000))
    path = put(layout, list(books()), packed)
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout, path
