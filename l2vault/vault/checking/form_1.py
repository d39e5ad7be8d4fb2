"""What the first form of the journal (0.1) counted of the lines, held against the lines that are there.

Once a minute it noted how many lines had been queued, and the time of each book, so a line near that time may be of
the minute before or after it; nor was all that was queued on the disk when a recorder was killed. Therefore the minutes
of an hour are taken together, with room at both ends, and whatever the journal itself makes doubtful is left out: too
few lines is then said only where lines are missing. It is pure.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.sync_history import ALWAYS_MS, DEFAULT_CADENCE_MS, NEVER_MS
from l2vault.vault.journal.events import Recovered, SetAside, Slots, Started, Stopped, Synced, WriteFailed
from l2vault.vault.journal.log import Entry
from l2vault.vault.store.layout import HOUR_MS, Layout

ROOM_MS: Final = 30_000
"""Before and behind the minutes of an hour: the book time noted is that of a feed in sync, and one that was not may
have written lines ahead of it."""
DOUBTFUL_MINUTES: Final = 2
"""At the end of a run that did not note its end: what was queued is not what a killed recorder or a power cut left."""


class Counted(NamedTuple):
    """So many lines of times in `[from_ms, to_ms)`, flagged ones included, were queued."""

    from_ms: int
    to_ms: int
    lines: int

    @property
    def hours_ms(self) -> set[int]:
        return {self.from_ms // HOUR_MS * HOUR_MS, self.to_ms // HOUR_MS * HOUR_MS}


class LineCounts:
    """Of one instrument: is given the time of every line that reads, then says where there are too few."""

    def __init__(self, entries: Iterable[Entry], layout: Layout, inst_id: str) -> None:
        self._minutes = _minutes(list(entries), layout, inst_id)
        self._groups = _by_hour(self._minutes)
        self._starts = [group.from_ms for group in self._groups]
        self._seen = [0] * len(self._groups)

    def add(self, ts_ms: int) -> None:
        at = bisect_right(self._starts, ts_ms) - 1
        for near in range(max(0, at - 1), min(len(self._groups), at + 2)):
            group = self._groups[near]
            if group.from_ms - ROOM_MS <= ts_ms < group.to_ms + ROOM_MS:
                self._seen[near] += 1

    def lacking(self, there: Collection[int]) -> Iterator[tuple[Counted, int]]:
        """Minutes of an hour with too few lines, and how many there are. `there` has the hours of which a form is."""
        for group, seen in zip(self._groups, self._seen, strict=True):
            if seen < group.lines and group.hours_ms.issubset(there):
                yield group, seen


def _by_hour(minutes: list[Counted]) -> list[Counted]:
    """Minutes that follow each other without a gap and begin in one hour, as one."""
    groups: list[Counted] = []
    for minute in minutes:
        last = groups[-1] if groups else None
        if last is not None and last.to_ms == minute.from_ms and last.from_ms // HOUR_MS == minute.from_ms // HOUR_MS:
            groups[-1] = Counted(last.from_ms, minute.to_ms, last.lines + minute.lines)
        else:
            groups.append(minute)
    return [group for group in groups if group.lines]


def _minutes(entries: list[Entry], layout: Layout, inst_id: str) -> list[Counted]:
    """In order of time, without those that may rightly have fewer lines."""
    doubtful = list(_doubtful(entries, layout, inst_id))
    return [
        minute
        for minute in sorted(each for run in _runs(entries) for each in _minutes_of(run, inst_id))
        if not any(from_ms < minute.to_ms + ROOM_MS and to_ms > minute.from_ms for from_ms, to_ms in doubtful)
    ]


def _doubtful(entries: list[Entry], layout: Layout, inst_id: str) -> Iterator[tuple[int, int]]:
    """Spans of which lines were refused by the disk, cut off by recovery, or set aside."""
    for entry in entries:
        event = entry.event
        if isinstance(event, WriteFailed | SetAside) and event.inst_id == inst_id:
            yield utc_ms(event.from_), utc_ms(event.to) + 1
        elif isinstance(event, Recovered):
            file = layout.parse_hour_file(layout.root / event.file)
            if file is not None and file.inst_id == inst_id:
                yield file.hour_ms, file.hour_ms + HOUR_MS


def _runs(entries: list[Entry]) -> Iterator[list[Entry]]:
    """The recorders' runs, each from its `started` on."""
    run: list[Entry] = []
    for entry in entries:
        if isinstance(entry.event, Started) and entry.event.program == "recorder":
            yield run
            run = []
        run.append(entry)
    yield run


def _minutes_of(run: list[Entry], inst_id: str) -> list[Counted]:
    found: list[Counted] = []
    counted_ms: int | None = None
    lines, cadence_ms, is_stopped = 0, DEFAULT_CADENCE_MS, False
    for entry in run:
        event = entry.event
        if isinstance(event, Started):
            cadence_ms = event.cadence_ms if event.cadence_ms > 0 else DEFAULT_CADENCE_MS
        elif isinstance(event, Stopped):
            is_stopped = True
        elif isinstance(event, Synced) and event.inst_id == inst_id and event.ts is not None and counted_ms is None:
            counted_ms = utc_ms(event.ts)
        elif isinstance(event, Slots):
            lines += event.written.get(inst_id, 0)
            if inst_id not in event.book_times:
                continue
            book_ms = utc_ms(event.book_times[inst_id])
            if counted_ms is not None and ALWAYS_MS < counted_ms < book_ms < NEVER_MS:
                # More than one line a slot: flagged ones, or the journals of two recorders in one.
                is_possible = lines <= (book_ms - counted_ms) // cadence_ms + 2
                found += [Counted(counted_ms, book_ms, lines)] if is_possible else []
            counted_ms, lines = book_ms, 0
    return found if is_stopped else found[:-DOUBTFUL_MINUTES]
