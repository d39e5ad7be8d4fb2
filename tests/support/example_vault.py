"""The vault of docs/intelligence-example.md: what a recorder writes of the derived pair of captures."""

import json
from pathlib import Path
from typing import Final

from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import take_snapshot, to_line
from l2vault.okx.messages import decode
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from support.captured import PAIR, book_frames, capture

CADENCE_MS: Final = 2_000
DEPTH: Final = 400


def make_example_vault(root: Path) -> Path:
    """The lines that a recorder writes of the derived pair; a test of the recorder holds that it does."""
    layout = Layout(root)
    for inst_id in PAIR:
        book = Book()
        for push in book_frames(capture(f"derived/DERIVED_{inst_id}_from-binance-20240808.jsonl.zst")):
            change = decode(json.dumps(push).encode())
            if due_grid_time(book.ts_ms, change.ts_ms, CADENCE_MS) is not None:
                snapshot = take_snapshot(inst_id, book, DEPTH)
                path = layout.hour_file(inst_id, snapshot.ts_ms)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(to_line(snapshot) + b"\n")
            book.apply(change)
        row = layout.instrument_file(inst_id)
        row.parent.mkdir(parents=True, exist_ok=True)
        row.write_text(json.dumps(instrument_row(inst_id)), encoding="utf-8")
    return layout.root
