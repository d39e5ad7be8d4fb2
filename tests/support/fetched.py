"""A vault as `l2vault fetch` leaves it, made without a server."""

import hashlib
import json
from pathlib import Path

import msgspec

from l2vault.history.books import BookDay, Law
from l2vault.history.hours import HourKeeper
from l2vault.history.naming import parse_name
from l2vault.history.shelf import FileNote, Shelf
from l2vault.history.unpack import lines_of
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import Layout
from support.archive_world import BEGIN_MS, END_MS, INST, MIDNIGHT_MS, ArchiveWorld

AT = "2026-01-05T00:00:00.000Z"
DAY_MS = 86_400_000


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


def record(layout: Layout, world: ArchiveWorld, depth: int, *, has_hole: bool) -> None:
    """The books of the world as hours of a vault; with a hole from midnight to a quarter past."""
    keeper = HourKeeper(layout, "books", verb_journal(layout, "test", lambda: AT, lambda: 0), lambda: AT)
    day = BookDay(INST, Law(2_000, depth), keeper)
    files = [file for file in world.files if file.kind == "books400"]
    for file, start_ms in zip(files, (MIDNIGHT_MS - DAY_MS, MIDNIGHT_MS), strict=True):
        lines = list(lines_of(file.path))
        if has_hole and start_ms == MIDNIGHT_MS:
            day = BookDay(INST, Law(2_000, depth), keeper)
            lines = lines[1:]  # without the first full book: a hole up to the next
        day.read(lines, (file.name, "sha"), (start_ms, start_ms + DAY_MS), lambda _: None)
        day.end(is_followed=not has_hole and start_ms < MIDNIGHT_MS)
    put_row(layout)
