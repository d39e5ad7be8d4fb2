"""A vault of lines and changes of the built-in market, by the recorder's own parts, without sockets."""

from pathlib import Path
from random import Random

import msgspec

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.replay import full_book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot
from l2vault.okx.outputs import Applied
from l2vault.recording.changes import ChangeRelay
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import LineWriter

INST = "BTC-USDT-SWAP"
START_MS = 1_767_225_600_000 - 40_000
"""2025-12-31 23:59:20 UTC: an hour, a day and a year end after 40 s."""


class _ToDisk:
    """Writes at once what the relay decides."""

    def __init__(self, writer: ChangeWriter) -> None:
        self._writer = writer

    def has_room(self) -> bool:
        return True

    def put(self, *change: object) -> None:
        self._writer.write(*change)


def pushes(seconds: int, seed: int = 7) -> list[BookChange]:
    """Of one instrument, from its full book on."""
    rng, found = Random(seed), []
    for tick in Market((INST,), seed, START_MS).ticks():
        if tick.ts_ms >= START_MS + seconds * 1000:
            return found
        recv_us = tick.ts_ms * 1000 + 60_000 + rng.randrange(9_000)
        found.append(msgspec.structs.replace(tick.change, recv_us=recv_us))
    return found


def write_vault(root: Path, seconds: int = 80, lost: range = range(0), is_closed: bool = True) -> list[BookChange]:
    """Lines every 2 s and every change; the pushes in `lost` (by number) never came, and a full book follows them."""
    layout, sent = Layout(root), pushes(seconds)
    lines, changes = LineWriter(layout), ChangeWriter(layout)
    relay = ChangeRelay(_ToDisk(changes), lambda *doubt: None)
    book = Book()
    for number, push in enumerate(sent):
        if number in lost:
            if number == lost.start:
                relay.lost(1, INST, "chain")
            book.apply(push)
            continue
        if number == lost.stop and len(lost):
            book.apply(push)
            push = BookChange(INST, True, *book.top(400), push.ts_ms, push.seq_id, -1, 0, push.recv_us)
            book = Book()
        elif (grid := due_grid_time(book.ts_ms, push.ts_ms, 2_000)) is not None and grid:
            lines.append(take_snapshot(INST, book, 400))
        book.apply(push)
        relay.take(1, Applied(push, book.ts_ms))
    lines.close()
    changes.close() if is_closed else changes.flush()
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_bytes(msgspec.json.encode(instrument_row(INST)))
    layout.journal.mkdir(parents=True, exist_ok=True)
    return sent


def book_after(sent: list[BookChange], t_ms: int) -> Snapshot:
    """The book after the last push at or before a time."""
    book = Book()
    for push in sent:
        if push.ts_ms is not None and push.ts_ms <= t_ms:
            book.apply(push)
    return take_snapshot(INST, book, 400)


def full_book_after(sent: list[BookChange], t_ms: int) -> BookChange:
    """The same as the recorder writes its own book."""
    book = Book()
    for push in sent:
        if push.ts_ms is not None and push.ts_ms <= t_ms:
            book.apply(push)
    return full_book(INST, book, 0)
