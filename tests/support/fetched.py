"""A vault as `l2vault fetch` leaves it, made without a server."""

import hashlib
import json
from pathlib import Path

import msgspec

from l2vault.history.naming import parse_name
from l2vault.history.shelf import FileNote, Shelf
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout
from support.archive_world import BEGIN_MS, END_MS, INST, ArchiveWorld


def fetched(world: ArchiveWorld, root: Path) -> Shelf:
    """Every file of the world on the shelf of a vault, with its note."""
    shelf = Shelf(Layout(root))
    for file in world.files:
        wanted = parse_name(file.name, INST)
        assert wanted is not None
        path = shelf.path(wanted)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = file.path.read_bytes()
        path.write_bytes(data)
        note = FileNote("https://static.okx.com" + file.target, "listed", len(data), 0.0)
        note = msgspec.structs.replace(note, sha256=hashlib.sha256(data).hexdigest())
        shelf.keep_note(wanted, note)
    return shelf


def put_row(layout: Layout) -> None:
    """OKX's row of the instrument, as a recorder keeps it."""
    path = layout.instrument_file(INST)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")


def is_as_the_exchange_knows(vault: Vault, world: ArchiveWorld, cadence_ms: int = 2_000) -> None:
    """Every line, level for level, and no other."""
    due = world.due(cadence_ms)
    wanted = [(each.truth.ts_ms, each.truth.image.bids, each.truth.image.asks) for each in due]
    found = [(book.ts_ms, book.bids, book.asks) for book in vault.snapshots(INST, BEGIN_MS, END_MS)]
    assert found == wanted
