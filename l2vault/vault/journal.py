"""What the vault can vouch for: one JSON line per event, appended and fsynced."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from l2vault.book.utc import utc_ms
from l2vault.vault.durable import make_folders, sync_folder
from l2vault.vault.events import Event, Retained, Stopped
from l2vault.vault.layout import Layout

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Journal:
    """Appends events to the file of their day. Every event is on the disk when `append` returns."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def append(self, event: Event) -> None:
        """Raises OSError where the disk refuses; a torn line it may leave is skipped by `read_journal`."""
        path = self._layout.journal_file(utc_ms(event.at))
        changed_folders = {path.parent, *make_folders(path.parent)}
        with path.open("ab+") as file:
            is_new = file.tell() == 0
            torn = not is_new and _last_byte(path) != b"\n"
            file.write((b"\n" if torn else b"") + _ENCODER.encode(event) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            for folder in changed_folders:
                sync_folder(folder)


def read_journal(layout: Layout) -> Iterator[Event]:
    """Every event of the vault, oldest day first. Lines torn by a crash and events of later versions are skipped."""
    for path in sorted(layout.journal.glob("????-??-??.jsonl")):
        yield from read_events(path)


def read_events(path: Path) -> Iterator[Event]:
    """The events of one day's file."""
    for line in path.read_bytes().splitlines():
        try:
            yield _DECODER.decode(line)
        except ValueError:  # a torn line, perhaps not even UTF-8, or an event this version does not know
            continue


def last_event_at(layout: Layout) -> tuple[str, bool] | None:
    """When a recorder last noted anything, and whether that was the `stopped` of a clean end; None in a new vault."""
    for path in sorted(layout.journal.glob("????-??-??.jsonl"), reverse=True):
        events = [event for event in read_events(path) if not isinstance(event, Retained)]
        if events:
            return events[-1].at, isinstance(events[-1], Stopped)
    return None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
