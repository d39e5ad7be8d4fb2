"""A small vault as a recorder of the second journal form leaves it: three hours of one instrument, quiet slots, one
loss, minutes and closed hours in the journal, an instrument row."""

import json
from hashlib import sha256
from pathlib import Path

from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal, start_of_run
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import CADENCE_MS, HOUR_AT_MS, INST, at, levels, line, put
from support.reference_coverage import Truth

SLOTS = 40
"""Of each hour."""
HOURS = 3
QUIET = range(20, 24)
"""Slots of each hour over which the book stood."""
LOST = range(30, 33)


def offsets(hour: int) -> list[int]:
    """Times of the lines of an hour, from the start of the first."""
    slots = [slot for slot in range(SLOTS) if slot not in QUIET and slot not in LOST]
    return [hour * HOUR_MS + slot * CADENCE_MS - 100 * (slot > 0) for slot in slots]


def good_vault(root: Path, hours: int = HOURS) -> Layout:
    layout = Layout(root)
    clock = iter(range(1, 10_000))
    journal = Journal(layout, lambda: next(clock), lambda place: _started())
    previous = None
    for hour in range(hours):
        books = [_book(offset) for offset in offsets(hour)]
        path = put(layout, books)
        base = hour * HOUR_MS
        journal.append(synced(base))
        journal.append(noted.Confirmed(at(base + 5_000), 1, INST, "audit", 1))
        journal.append(lost(base + LOST[0] * CADENCE_MS - 1_500))
        journal.append(synced(base + LOST[-1] * CADENCE_MS + 500))
        journal.append(_minute(base, len(books)))
        journal.append(noted.Alive(at(base + SLOTS * CADENCE_MS), at(base + SLOTS * CADENCE_MS)))
        journal.append(lost(base + SLOTS * CADENCE_MS, "our_restart"))
        data = path.read_bytes()
        closed = noted.HourClosed(
            at(base + HOUR_MS), INST, at(base), len(books), len(data), sha256(data).hexdigest(), previous=previous
        )
        journal.append(closed)
        previous = sha256(newest_line(layout)).hexdigest()
    journal.append(noted.Stopped(at(hours * HOUR_MS), "asked to stop"))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    return layout


def newest_line(layout: Layout) -> bytes:
    path = max(layout.journal.glob("*.jsonl"))
    return path.read_bytes().splitlines()[-1]


def synced(offset_ms: int) -> noted.Synced:
    return noted.Synced(at(offset_ms), 1, INST, at(offset_ms), 1)


def lost(from_ms: int, cause: noted.Cause = "chain") -> noted.Lost:
    return noted.Lost(at(from_ms), 1, INST, cause, at(from_ms), None, "")


def _started() -> noted.Started:
    begun = start_of_run(at(0), "recorder", None)
    return noted.Started(begun.at, "0", "host", 1, "os", [INST], CADENCE_MS, 400, 1, "digest", schema=noted.SCHEMA)


def _book(offset_ms: int):
    slot = offset_ms // CADENCE_MS
    bids = levels(f"59999 {10 + slot % 7} 3", f"59990 {slot + 1} 1", "59980 1 1")
    return line(offset_ms, bids, levels("60001 2.5 1", "60120 900 40"))


def _minute(base: int, lines: int) -> noted.Minute:
    since = at(base + (QUIET[0] - 1) * CADENCE_MS - 100)
    quiet = noted.Quiet(since, at(base + QUIET[0] * CADENCE_MS), at(base + QUIET[-1] * CADENCE_MS))
    last = at(base + (SLOTS - 1) * CADENCE_MS)
    last_line = at(base + (SLOTS - 1) * CADENCE_MS - 100)
    due = SLOTS - len(LOST)
    one = noted.MinuteOf(due, at(base), last, lines, 0, last_line, 0, [quiet], last_line)
    return noted.Minute(at(base + SLOTS * CADENCE_MS), {INST: one})


def truth() -> Truth:
    """What the exchange sent: the lines' books, and those of the lost slots."""
    books = []
    for hour in range(HOURS):
        for slot in range(SLOTS):
            if slot not in QUIET:
                book = _book(hour * HOUR_MS + slot * CADENCE_MS - 100 * (slot > 0))
                books.append((book.ts_ms, book.bids, book.asks))
    return Truth(INST, CADENCE_MS, HOUR_AT_MS, HOUR_AT_MS + HOURS * HOUR_MS, books)
