"""What the journal says of one instrument, in exchange time: when its book was vouched for, and what was wrong else.

Pure over journal events. Several connections may have held the book: it is vouched for while at least one did.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.model import HoleKind
from l2vault.vault.journal.events import Event, Lost, Skipped, Slots, Started, Stopped, Synced, UncleanEnd, WriteFailed

DEFAULT_CADENCE_MS: Final = 2_000
"""The owner's default, for vaults without a journal."""

OUR_RESTART: Final = "our_restart"
DISK_FULL: Final = "disk_full"
OVERTAKEN: Final = "overtaken"
"""The cause of a slot whose line came only after a later one was written: lines never go back in time."""

ALWAYS_MS: Final = -(1 << 62)
NEVER_MS: Final = 1 << 62


@dataclass(slots=True)
class Vouched:
    """A connection held the book over `[from_ms, to_ms)`. `is_cut_short`: its end was not noted; lines may move it."""

    from_ms: int
    to_ms: int
    is_cut_short: bool = False


@dataclass(frozen=True, slots=True)
class Blame:
    """What is to be said, from here on, of time that is not vouched for."""

    from_ms: int
    kind: HoleKind
    cause: str


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Lines that the file lacks though the book was in sync: time or slot of the first and the last, and why."""

    from_ms: int
    to_ms: int
    cause: str


@dataclass(slots=True)
class Testimony:
    """`vouched` in order of its beginnings, `blames` in order of time; `cadences` is `(from_ms, cadence_ms)`."""

    vouched: list[Vouched] = field(default_factory=list)
    blames: list[Blame] = field(default_factory=lambda: [Blame(ALWAYS_MS, "unknown", "")])
    cadences: list[tuple[int, int]] = field(default_factory=list)
    unwritten: list[Unwritten] = field(default_factory=list)


def hear(events: Iterable[Event], inst_id: str) -> Testimony:
    """The testimony of events in the order in which they were noted."""
    hearing = _Hearing(inst_id)
    for event in events:
        hearing.take(event)
    return hearing.close()


class _Hearing:
    def __init__(self, inst_id: str) -> None:
        self._inst_id = inst_id
        self._testimony = Testimony()
        self._open: dict[int, int] = {}
        """Connection to the time from which it has held the book."""
        self._known_ms = ALWAYS_MS
        """The newest time at which the book is known to have been in sync."""
        self._is_running = False
        self._cadence_ms = DEFAULT_CADENCE_MS
        self._is_synced_once = False
        """In the present run: its first `synced` says from when on its cadence counts."""
        self._noted_ms = ALWAYS_MS

    def take(self, event: Event) -> None:
        self._noted_ms = max(self._noted_ms, utc_ms(event.at))
        match event:
            case Started():
                self._start(event)
            case Stopped():
                self._end_run(utc_ms(event.at))
            case UncleanEnd():
                self._end_run(utc_ms(event.last_sign_of_life))
            case Synced() if event.inst_id == self._inst_id and event.ts is not None:
                self._sync(event.feed, utc_ms(event.ts))
            case Lost() if event.inst_id == self._inst_id:
                self._lose(event)
            case Slots() if self._inst_id in event.book_times:
                self._known_ms = max(self._known_ms, utc_ms(event.book_times[self._inst_id]))
            case WriteFailed() if event.inst_id == self._inst_id:
                self._testimony.unwritten.append(Unwritten(utc_ms(event.from_), utc_ms(event.to), DISK_FULL))
            case Skipped() if event.inst_id == self._inst_id:
                grid_ms = utc_ms(event.grid)
                self._testimony.unwritten.append(Unwritten(grid_ms, grid_ms, OVERTAKEN))

    def close(self) -> Testimony:
        """A run without an end is still going on, or was killed: after its newest sign nothing is known."""
        if self._open:
            self._cut_short("unknown", "")
        elif self._is_running:
            self._blame(self._noted_ms, "unknown", "")
        told = self._testimony
        told.vouched.sort(key=lambda vouched: vouched.from_ms)
        told.blames.sort(key=lambda blame: blame.from_ms)
        return told

    def _start(self, event: Started) -> None:
        at_ms = utc_ms(event.at)
        self._end_run(at_ms)
        self._is_running = True
        self._cadence_ms = event.cadence_ms
        self._is_synced_once = False
        if self._inst_id not in event.instruments:
            self._blame(at_ms, "unknown", "")

    def _end_run(self, at_ms: int) -> None:
        """Books still held are held until their newest sign; what was lost before is ours from the run's end on."""
        if not self._is_running:
            return
        self._is_running = False
        if self._open:
            self._cut_short("missing", OUR_RESTART)
        elif self._testimony.vouched:
            self._blame(at_ms, "missing", OUR_RESTART)

    def _cut_short(self, kind: HoleKind, cause: str) -> None:
        known_ms = max(self._known_ms, *self._open.values())
        self._testimony.vouched += [Vouched(from_ms, known_ms, True) for from_ms in self._open.values()]
        self._open.clear()
        self._blame(known_ms, kind, cause)

    def _sync(self, line: int, ts_ms: int) -> None:
        self._open.setdefault(line, ts_ms)
        self._known_ms = max(self._known_ms, ts_ms)
        if not self._is_synced_once:
            self._testimony.cadences.append((ts_ms, self._cadence_ms))
            self._is_synced_once = True

    def _lose(self, event: Lost) -> None:
        since_ms = self._open.pop(event.feed, None)
        if since_ms is None:
            return
        from_ms = since_ms if event.from_ is None else max(since_ms, utc_ms(event.from_))
        self._testimony.vouched.append(Vouched(since_ms, from_ms))
        self._known_ms = max(self._known_ms, from_ms)
        self._blame(from_ms, "missing", event.cause)

    def _blame(self, from_ms: int, kind: HoleKind, cause: str) -> None:
        self._testimony.blames.append(Blame(from_ms, kind, cause))
