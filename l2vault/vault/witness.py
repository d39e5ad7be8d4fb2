"""Reads the journal for the reading half: each day once, and of it only what bears on coverage."""

from collections.abc import Iterable
from pathlib import Path

from l2vault.vault.coverage.sync_history import Testimony, hear
from l2vault.vault.journal.events import (
    Event,
    Lost,
    Retained,
    Skipped,
    Slots,
    Started,
    Stopped,
    Synced,
    UncleanEnd,
    WriteFailed,
)
from l2vault.vault.journal.log import read_events
from l2vault.vault.layout import Layout

_BEARING = (Started, Stopped, UncleanEnd, Synced, Lost, Skipped, WriteFailed, Retained)


class Witness:
    """The journal of one vault. Asked again, it reads only the days that have changed since."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._days: dict[Path, tuple[tuple[int, int], list[Event]]] = {}
        self._heard: dict[str, Testimony] = {}

    def testimony(self, inst_id: str) -> Testimony:
        """What the journal says of the instrument, up to now."""
        if self._refresh():
            self._heard.clear()
        if inst_id not in self._heard:
            self._heard[inst_id] = hear(self._events(), inst_id)
        return self._heard[inst_id]

    def deleted_hours(self, inst_id: str) -> set[int]:
        """Hours of which retention deleted a raw file, whether or not another form is left."""
        self._refresh()
        deleted = set()
        for event in self._events():
            if isinstance(event, Retained) and event.action == "delete":
                file = self._layout.parse_hour_file(self._layout.root / event.file)
                if file is not None and file.inst_id == inst_id:
                    deleted.add(file.hour_ms)
        return deleted

    def _events(self) -> Iterable[Event]:
        for path in sorted(self._days):
            yield from self._days[path][1]

    def _refresh(self) -> bool:
        """Whether anything was read anew."""
        is_changed = False
        for path in self._layout.journal.glob("????-??-??.jsonl"):
            facts = path.stat()
            stamp = facts.st_size, facts.st_mtime_ns
            if path not in self._days or self._days[path][0] != stamp:
                self._days[path] = stamp, _bearing(read_events(path))
                is_changed = True
        return is_changed


def _bearing(events: Iterable[Event]) -> list[Event]:
    """Without beats, and of `slots` only the newest before each other event: it tells until when a book was held."""
    kept: list[Event] = []
    newest: Event | None = None
    for event in events:
        if isinstance(event, _BEARING):
            kept += [newest, event] if isinstance(newest, Slots) else [event]
            newest = None
        elif isinstance(event, Slots) or newest is None:
            newest = event
    return kept if newest is None else [*kept, newest]
