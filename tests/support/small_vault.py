"""Ten minutes of one instrument with a hole of three slots: the vault that the examples of the documents are about."""

import json
from collections.abc import Iterator
from pathlib import Path

from l2vault.book.context import KINDS, Context, Funding, Index, Limits, Mark, OpenInterest
from l2vault.book.context import to_line as context_line
from l2vault.book.snapshot import Snapshot
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, put, started, synced

SLOTS = 300
SETTLED_MS = 300_000
LOSS_MS, RESYNC_MS = 120_300, 126_100


def books() -> Iterator[Snapshot]:
    """A bid that stands all the time, one that changes with every line, and an ask 20 bps away from the mid price."""
    for slot in range(SLOTS):
        offset_ms = slot * 2_000
        if not LOSS_MS <= offset_ms < RESYNC_MS:
            bids = levels("59999 10 3", f"59990 {slot + 1} 1")
            yield line(offset_ms, bids, levels("60001 2.5 1", "60120 900 40"))


def contexts() -> Iterator[Context]:
    """Values beside those books; a settlement of funding in the middle of them."""
    for slot in range(SLOTS):
        grid_ms = HOUR_AT_MS + slot * 2_000
        settled_ms = HOUR_AT_MS + SETTLED_MS if slot * 2_000 >= SETTLED_MS else HOUR_AT_MS + SETTLED_MS - 28_800_000
        times = [str(settled_ms + period * 28_800_000) for period in (1, 2, 0)]
        settled = "0.00005" if slot * 2_000 >= SETTLED_MS else "0.0001"
        yield Context(
            INST,
            grid_ms,
            Mark(grid_ms - 100, "60000.5"),
            Index(grid_ms - 200, "60003.1"),
            Funding(grid_ms - 1_000, "0.000066", times[0], None, times[1], times[2], settled, "settled", "-0.00004"),
            OpenInterest(grid_ms - 2_000, "2216113.01000000309", "22161.1301000000309", "1329667806.0"),
            Limits(HOUR_AT_MS - 5_000, "60600.5", "59400.5", True),
        )


def put_context(layout: Layout) -> Path:
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(context_line(row) + b"\n" for row in contexts()))
    return path


def context_noted() -> ContextNoted:
    return ContextNoted(at(-5_000), 1, INST, "present", dict.fromkeys(KINDS, at(-5_000)))


def small_vault(root: Path, packed: bool = False) -> tuple[Layout, Path]:
    """The vault, and the file of its hour."""
    layout = Layout(root)
    before, after = (synced(-8_000), context_noted()), (lost(LOSS_MS), synced(RESYNC_MS), lost(600_000))
    journal_v1_of(layout, started(-9_000), *before, *after)
    put_context(layout)
    path = put(layout, list(books()), packed)
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout, path
