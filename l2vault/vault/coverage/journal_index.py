"""The journal for the reading half: each day's file read once; kept is what bears on coverage."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.merged import lay_books, merged_hours
from l2vault.vault.coverage.sync_history import SyncHistory, sync_history
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.journal.deep_events import DeepMissed, RpiMissed
from l2vault.vault.journal.events import (
    Alive,
    ClockStepped,
    Confirmed,
    Connected,
    Disconnected,
    Disputed,
    HourClosed,
    Lost,
    Minute,
    Recovered,
    Restored,
    Retained,
    SetAside,
    Skipped,
    Slots,
    Started,
    Stopped,
    Synced,
    UncleanEnd,
    Unverifiable,
    WriteFailed,
)
from l2vault.vault.journal.log import Entry, in_order, journal_files, read_file
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.journal.trade_events import TradesBegun, TradesFilled, TradesHole, TradesMissing, TradesSkipped
from l2vault.vault.store.layout import HOUR_MS, Kind, Layout

_BEARING: Final = (
    Started,
    Stopped,
    UncleanEnd,
    Recovered,
    Connected,
    Disconnected,
    Synced,
    Confirmed,
    Lost,
    Unverifiable,
    Disputed,
    Skipped,
    WriteFailed,
    Slots,
    Minute,
    HourClosed,
    ClockStepped,
    Retained,
    Restored,
    SetAside,
    ContextNoted,
    MaintenanceNoted,
    TradesBegun,
    TradesHole,
    TradesFilled,
    TradesSkipped,
    TradesMissing,
    ChangesLost,
    DeepMissed,
    RpiMissed,
    Merged,
)

_OF_BOOKS: Final = (Synced, Unverifiable, HourClosed, Merged)

Stamp = tuple[int, int]


class Unreadable(NamedTuple):
    """A day's file of the journal that the file system does not give."""

    path: Path
    reason: str


class _Day(NamedTuple):
    stamp: Stamp
    entries: list[Entry]


class JournalIndex:
    """The journal of one vault. Asked again, it reads only the days that have changed since."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._days: dict[Path, _Day] = {}
        self._entries: list[Entry] = []
        self._histories: dict[str, SyncHistory] = {}
        self.unreadable: list[Unreadable] = []
        """Files that could not be read when the index was last asked."""

    def history(self, inst_id: str) -> SyncHistory:
        """What the journal says of the instrument, up to now."""
        self._refresh()
        if inst_id not in self._histories:
            history = sync_history(self._entries, inst_id)
            lay_books(history, merged_hours(self._entries, inst_id, "books"))
            history.causes.sort(key=lambda cause: cause.from_ms)
            history.disputed.sort()
            self._histories[inst_id] = history
        return self._histories[inst_id]

    def entries(self) -> list[Entry]:
        """What bears on coverage and checks, in the order in which it happened."""
        self._refresh()
        return self._entries

    def instruments(self) -> set[str]:
        """Those of which a minute of either form notes lines, a book came, or an hour was closed."""
        found: set[str] = set()
        for entry in self.entries():
            if isinstance(entry.event, Minute):
                found.update(entry.event.instruments)
            elif isinstance(entry.event, Slots):
                found.update(inst_id for inst_id, lines in entry.event.written.items() if lines)
            elif isinstance(entry.event, _OF_BOOKS) and getattr(entry.event, "kind", "books") == "books":
                found.add(entry.event.inst_id)
        return found

    def traded(self) -> set[str]:
        """Those of which trades were recorded."""
        merged = {
            entry.event.inst_id
            for entry in self.entries()
            if isinstance(entry.event, Merged) and entry.event.kind == "trades"
        }
        return merged | {entry.event.inst_id for entry in self.entries() if isinstance(entry.event, TradesBegun)}

    def oldest_ms(self, inst_id: str) -> int | None:
        """The exchange time of the first book of the instrument; None where the journal has none."""
        books = (entry.event for entry in self.entries() if isinstance(entry.event, (Synced, Unverifiable)))
        times = (book.ts for book in books if book.inst_id == inst_id and book.ts is not None)
        return min(map(utc_ms, times), default=None)

    def deleted_hours(self, inst_id: str) -> set[int]:
        """Hours of which retention deleted a raw file, whether or not another form is left."""
        return {hour_ms for entry in self.entries() if (hour_ms := self._touched(entry, inst_id, "delete")) is not None}

    def not_restored(self, inst_id: str) -> set[int]:
        """Hours of which retention deleted a raw file, and no later event says that it was brought back."""
        gone: set[int] = set()
        for entry in self.entries():
            event = entry.event
            if (hour_ms := self._touched(entry, inst_id, "delete")) is not None:
                gone.add(hour_ms)
            elif (hour_ms := self._touched(entry, inst_id, "restore")) is not None:
                gone.discard(hour_ms)
            elif isinstance(event, Restored) and event.inst_id == inst_id:
                gone.discard(utc_ms(event.hour) // HOUR_MS * HOUR_MS)
        return gone

    def closed_hours(self, inst_id: str, kind: Kind = "books") -> dict[int, HourClosed]:
        """By its start, the newest record of what the file of an hour holds, unless it was cut since. The kind is that
        of the layout."""
        found: dict[int, HourClosed] = {}
        for entry in self.entries():
            event = entry.event
            if isinstance(event, HourClosed) and event.inst_id == inst_id and event.kind == kind:
                found[utc_ms(event.hour) // HOUR_MS * HOUR_MS] = event
            elif isinstance(event, Recovered | SetAside):
                file = self._layout.parse_hour_file(self._layout.root / event.file)
                if file is not None and file.inst_id == inst_id:
                    found.pop(file.hour_ms, None)
        return found

    def _touched(self, entry: Entry, inst_id: str, action: str) -> int | None:
        """The hour of a raw file of the instrument on which retention acted so."""
        if not isinstance(entry.event, Retained) or entry.event.action != action:
            return None
        file = self._layout.parse_hour_file(self._layout.root / entry.event.file)
        return file.hour_ms if file is not None and file.inst_id == inst_id else None

    def _refresh(self) -> None:
        self.unreadable = []
        paths = self._paths()
        is_changed = bool(self._days.keys() - set(paths))
        for path in set(self._days) - set(paths):
            del self._days[path]
        for path in paths:
            try:
                facts = path.stat()
                stamp = facts.st_size, facts.st_mtime_ns
                if path not in self._days or self._days[path].stamp != stamp:
                    file = read_file(path)
                    self._days[path] = _Day(stamp, _bearing(file.entries))
                    is_changed = True
            except OSError as error:
                self.unreadable.append(Unreadable(path, error.strerror or str(error)))
        if is_changed:
            self._histories.clear()
            self._entries = in_order(entry for _, day in sorted(self._days.items()) for entry in day.entries).entries

    def _paths(self) -> list[Path]:
        try:
            return journal_files(self._layout)
        except OSError as error:
            self.unreadable.append(Unreadable(self._layout.journal, error.strerror or str(error)))
            return []


def _bearing(entries: Iterable[Entry]) -> list[Entry]:
    """Of the beats only the newest before each other event: they tell how far a run is known to have gone."""
    kept: list[Entry] = []
    newest: Entry | None = None
    for entry in entries:
        if isinstance(entry.event, _BEARING):
            kept += [entry] if newest is None else [newest, entry]
            newest = None
        elif newest is None or not isinstance(newest.event, Alive) or _says_more(entry.event, newest.event):
            newest = entry
    return kept if newest is None else [*kept, newest]


def _says_more(event: object, than: Alive) -> bool:
    """A beat with proved exchange time is not given up for an event without."""
    return isinstance(event, Alive) and (event.exchange is not None or than.exchange is None)
