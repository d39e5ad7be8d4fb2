"""The journal of one instrument as intervals in exchange time: when a feed held its book, what was noted as quiet, what
ended each, and what was wrong besides.

Pure over journal entries in the order in which they happened. Several feeds may have held the book: it was in sync
while at least one did. A disconnect, a connect, a second sync, a recovery and the end of a run each end what a feed
held before; a `lost` that never reached the journal leaves nothing open.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.maintenance import Maintenance
from l2vault.vault.coverage.model import HoleKind
from l2vault.vault.journal.context_events import MaintenanceNoted
from l2vault.vault.journal.events import (
    Alive,
    ClockStepped,
    Confirmed,
    Connected,
    Disconnected,
    Disputed,
    Event,
    Lost,
    Minute,
    MinuteOf,
    Recovered,
    Skipped,
    Slots,
    Started,
    Stopped,
    Synced,
    UncleanEnd,
    Unverifiable,
    WriteFailed,
)
from l2vault.vault.journal.log import Entry

DEFAULT_CADENCE_MS: Final = 2_000
"""The owner's default, for vaults without a journal."""

OUR_RESTART: Final = "our_restart"
DISCONNECT: Final = "disconnect"
DISK_FULL: Final = "disk_full"
OVERTAKEN: Final = "overtaken"
"""The cause of a slot whose line came only after a later one was written: lines never go back in time."""
UNVERIFIABLE: Final = "unverifiable"
"""The cause of slots of a stream without sequence numbers and checksums: no loss could have been seen."""

ALWAYS_MS: Final = -(1 << 62)
NEVER_MS: Final = 1 << 62

_SIGN_EVERY_MS: Final = 15_000
"""A recorder that lives gives a sign of it so often, and says before it what the disk has refused since the last one.
"""

_SAME_CLOCK_MS: Final = 60_000
"""An event noted within so much of the exchange time it names shows that the wall clock went with exchange time."""


@dataclass(slots=True)
class SyncInterval:
    """A feed held the book over `[from_ms, to_ms)`.

    `is_cut_short`: its end was not noted; it goes on to the newest line before the next beginning. `is_cut_back`:
    recovery cut lines off, so that it ends with that line even if more had been noted. `is_form_1`: noted in the first
    form of the journal, which has no record of what was quiet.
    """

    from_ms: int
    to_ms: int
    is_cut_short: bool = False
    is_cut_back: bool = False
    is_form_1: bool = False
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class HoleCause:
    """What is to be said, from here on, of time in which no feed held the book."""

    from_ms: int
    kind: HoleKind
    cause: str


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Lines that the file lacks though the book was in sync: time or slot of the first and the last, and why."""

    from_ms: int
    to_ms: int
    cause: str


@dataclass(frozen=True, slots=True)
class QuietRange:
    """The book of the line of time `since_ms` stood unchanged over the grid times `[first_ms, last_ms]`."""

    since_ms: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class UnverifiableSpan:
    """Grid times in `[from_ms, to_ms)` over which a stream could not be verified; `is_recorded`: lines were written."""

    from_ms: int
    to_ms: int
    is_recorded: bool


@dataclass(frozen=True, slots=True)
class LineCount:
    """Form 1: so many lines of times in `[from_ms, to_ms)`, flagged ones included, were written."""

    from_ms: int
    to_ms: int
    lines: int


@dataclass(slots=True)
class SyncHistory:
    """`intervals` in order of their beginnings, `causes` in order of time; `cadences` is `(from_ms, cadence_ms)`.

    `due` has the grid times `(first, last)` of each minute of form 2; `newest_ms` is the newest exchange time that the
    journal proves while the instrument was recorded, None where it proves none.
    """

    intervals: list[SyncInterval] = field(default_factory=list)
    causes: list[HoleCause] = field(default_factory=lambda: [HoleCause(ALWAYS_MS, "unknown", "")])
    cadences: list[tuple[int, int]] = field(default_factory=list)
    unwritten: list[Unwritten] = field(default_factory=list)
    quiet: list[QuietRange] = field(default_factory=list)
    due: list[tuple[int, int]] = field(default_factory=list)
    disputed: list[tuple[int, int]] = field(default_factory=list)
    unverifiable: list[UnverifiableSpan] = field(default_factory=list)
    counts: list[LineCount] = field(default_factory=list)
    newest_ms: int | None = None
    maintenance: list[tuple[int, int]] = field(default_factory=list)
    """Times, both bounds included, for which OKX had announced maintenance."""
    unaudited: list[tuple[int, int]] = field(default_factory=list)
    merged: list[tuple[int, int]] = field(default_factory=list)
    """Half-open: of merged hours, what was never confirmed, and what any of the vaults knew of."""
    merged_holes: list[tuple[int, int]] = field(default_factory=list)
    """Half-open: the holes of merged hours, of which `intervals` know nothing."""


def sync_history(entries: Iterable[Entry], inst_id: str) -> SyncHistory:
    """The history of entries in the order in which they happened (`log.in_order`)."""
    reading = _Reading(inst_id)
    for entry in entries:
        reading.take(entry.event, is_form_1=entry.run is None)
    return reading.close()


@dataclass(slots=True)
class _Held:
    """What one feed holds: since when, and whether its book was confirmed since."""

    from_ms: int
    is_form_1: bool
    is_confirmed: bool = False


class _Reading:
    def __init__(self, inst_id: str) -> None:
        self._inst_id = inst_id
        self._history = SyncHistory()
        self._held: dict[int, _Held] = {}
        """Feed to what it holds."""
        self._unverifiable: dict[int, tuple[int, bool]] = {}
        """Feed to the time from which it could not be verified, and whether its lines were written."""
        self._ended_unverifiable: list[tuple[int, bool]] = []
        """The same of feeds whose end was not noted: they end where the instrument is in sync again."""
        self._cut_at_end: list[SyncInterval] = []
        """What was held when the newest run that is over ended without a word."""
        self._is_fresh = False
        """Nothing of this instrument was noted yet in the present run."""
        self._known_ms = ALWAYS_MS
        """The newest time at which the book is known to have been in sync."""
        self._is_running = False
        self._cadence_ms = DEFAULT_CADENCE_MS
        self._is_synced_once = False
        """In the present run: its first `synced` says from when on its cadence counts."""
        self._noted_ms = ALWAYS_MS
        self._is_recorded = True
        """Whether the present run records this instrument."""
        self._is_same_clock = False
        """Whether the wall clock was seen to go with exchange time in the present run."""
        self._counted_ms: int | None = None
        self._uncounted = 0
        self._maintenance = Maintenance()
        self._is_refused = False
        """In the present run, by its newest word of it: the disk takes no line of the instrument."""
        self._dead_ms = ALWAYS_MS
        """A run that ended so would have given a sign by then."""

    def take(self, event: Event, is_form_1: bool) -> None:
        self._noted_ms = max(self._noted_ms, utc_ms(event.at))
        match event:
            case Started():
                self._start(event)
            case Stopped():
                self._end_run(utc_ms(event.at))
            case UncleanEnd():
                self._end_unclean(utc_ms(event.last_sign_of_life))
            case Connected() | Disconnected():
                self._end_feed(event.feed)
            case Alive():
                self._beat(event)
            case ClockStepped():
                self._is_same_clock = False
            case MaintenanceNoted():
                self._maintenance.take(event)
            case Slots() | Minute() | Recovered():
                self._sum_up(event)
            case _ if getattr(event, "inst_id", None) == self._inst_id:
                self._take_own(event, is_form_1)

    def _sum_up(self, event: Slots | Minute | Recovered) -> None:
        """What names several instruments, or a file."""
        match event:
            case Slots():
                self._count(event)
            case Minute():
                self._minute(event)
            case Recovered():
                self._recover(event)

    def _take_own(self, event: Event, is_form_1: bool) -> None:
        """An event of this instrument."""
        match event:
            case Synced() if event.ts is not None:
                self._sync(event, is_form_1)
            case Lost():
                self._lose(event)
            case Confirmed() if event.feed in self._held:
                self._held[event.feed].is_confirmed = True
            case Unverifiable() if event.ts is not None:
                self._no_more_verifiable(event)
            case Disputed():
                self._history.disputed.append((utc_ms(event.from_), utc_ms(event.to)))
            case WriteFailed() if event.kind == "books":
                self._not_written(utc_ms(event.from_), utc_ms(event.to))
                self._is_refused = event.goes_on
            case Skipped():
                grid_ms = utc_ms(event.grid)
                self._history.unwritten.append(Unwritten(grid_ms, grid_ms, OVERTAKEN))

    def _not_written(self, from_ms: int, to_ms: int) -> None:
        """Lines that the disk refused were lines of a book in sync, through the slot of the last one, however the run
        ended after that."""
        self._history.unwritten.append(Unwritten(from_ms, to_ms, DISK_FULL))
        if self._held:
            slot_ms = -(-to_ms // self._cadence_ms) * self._cadence_ms
            self._known_ms = max(self._known_ms, slot_ms + 1)

    def close(self) -> SyncHistory:
        """A run without an end is still going on, or was killed: after its newest sign nothing is known."""
        self._end_every_unverifiable()
        if self._held:
            self._cut_short("unknown", "")
        elif self._is_running:
            self._cause(self._noted_ms, "unknown", "")
        found = self._history
        found.maintenance = self._maintenance.windows()
        self._verifiable_again(NEVER_MS)
        found.intervals.sort(key=lambda interval: interval.from_ms)
        found.causes.sort(key=lambda cause: cause.from_ms)
        found.disputed.sort()
        return found

    def _start(self, event: Started) -> None:
        if event.program != "recorder":
            return
        at_ms = utc_ms(event.at)
        self._end_run(at_ms)
        self._is_running = True
        self._cadence_ms = event.cadence_ms if event.cadence_ms > 0 else DEFAULT_CADENCE_MS
        self._is_synced_once = self._is_same_clock = False
        self._is_fresh = True
        self._is_refused = False
        self._is_recorded = self._inst_id in event.instruments
        self._counted_ms, self._uncounted = None, 0
        if not self._is_recorded:
            self._cause(at_ms, "unknown", "")

    def _end_run(self, at_ms: int) -> None:
        """Books still held are held until their newest sign; what was lost before is ours from the run's end on."""
        if not self._is_running:
            return
        self._is_running = False
        was_known = bool(self._history.intervals or self._unverifiable)
        self._end_every_unverifiable()
        if self._held:
            self._cut_short("missing", OUR_RESTART)
        elif was_known:
            self._cause(at_ms, "missing", OUR_RESTART)

    def _end_unclean(self, last_sign_ms: int) -> None:
        """Noted by the run that follows: in form 1 before its `started`, in form 2 behind it."""
        if not self._is_fresh:
            self._end_run(last_sign_ms)
        elif self._history.intervals:
            self._cause(max(last_sign_ms, self._known_ms, self._dead_ms), "missing", OUR_RESTART)

    def _cut_short(self, kind: HoleKind, cause: str) -> None:
        """Every feed's book ended, and nobody noted when."""
        known_ms = max(self._known_ms, *(held.from_ms for held in self._held.values()))
        self._cut_at_end = [self._end(feed, known_ms, is_cut_short=True) for feed in list(self._held)]
        if self._is_refused and cause == OUR_RESTART:
            self._cause(known_ms, kind, DISK_FULL)
            known_ms = self._dead_ms = known_ms + _SIGN_EVERY_MS
        self._cause(known_ms, kind, cause)

    def _end_feed(self, feed: int) -> None:
        """A connection ended or began, so whatever its feed had held before is over."""
        if feed in self._unverifiable:
            self._ended_unverifiable.append(self._unverifiable.pop(feed))
        held = self._held.get(feed)
        if held is not None:
            to_ms = max(self._known_ms, held.from_ms)
            self._end(feed, to_ms, is_cut_short=True)
            self._cause(to_ms, "missing", DISCONNECT)

    def _recover(self, event: Recovered) -> None:
        """A torn end was cut off: what the run before held ends with the newest line that is left."""
        if event.kind != "books":
            return
        path = event.file.split("/")
        if (event.inst_id or (path[-3] if len(path) > 2 else "")) != self._inst_id:
            return
        for interval in self._cut_at_end:
            interval.is_cut_back = True
            self._cause(interval.from_ms if event.since is None else utc_ms(event.since), "missing", OUR_RESTART)

    def _sync(self, event: Synced, is_form_1: bool) -> None:
        assert event.ts is not None
        ts_ms = utc_ms(event.ts)
        self._compare_clocks(event.at, ts_ms)
        self._note_newest(ts_ms)
        if event.feed in self._unverifiable and ts_ms <= self._unverifiable[event.feed][0]:
            return  # the same full book, of which it was said already that nothing after it can be verified
        if event.feed in self._held or event.feed in self._unverifiable:
            self._end_feed(event.feed)  # a second sync: the loss between the two was never noted
        self._verifiable_again(ts_ms)
        if ts_ms < self._dead_ms:  # it was started again before that: the causes of its own time count
            self._history.causes = [one for one in self._history.causes if one.from_ms != self._dead_ms]
        self._dead_ms = ALWAYS_MS
        self._held[event.feed] = _Held(ts_ms, is_form_1)
        self._known_ms = max(self._known_ms, ts_ms)
        self._is_fresh = False
        if is_form_1 and self._counted_ms is None:
            self._counted_ms = ts_ms
        if not self._is_synced_once:
            self._history.cadences.append((ts_ms, self._cadence_ms))
            self._is_synced_once = True

    def _lose(self, event: Lost) -> None:
        from_ms = None if event.from_ is None else utc_ms(event.from_)
        if event.feed in self._unverifiable:
            self._lose_unverifiable(event.feed, from_ms, event.cause)
        held = self._held.get(event.feed)
        if held is None:
            return
        from_ms = held.from_ms if from_ms is None else max(held.from_ms, from_ms)
        self._known_ms = max(self._known_ms, from_ms)
        self._end(event.feed, from_ms, is_cut_short=False)
        self._cause(from_ms, "missing", event.cause)

    def _end(self, feed: int, to_ms: int, is_cut_short: bool) -> SyncInterval:
        held = self._held.pop(feed)
        interval = SyncInterval(held.from_ms, to_ms, is_cut_short, False, held.is_form_1, held.is_confirmed)
        self._history.intervals.append(interval)
        return interval

    def _no_more_verifiable(self, event: Unverifiable) -> None:
        assert event.ts is not None
        ts_ms = utc_ms(event.ts)
        if event.feed in self._held:
            self._end(event.feed, max(ts_ms, self._held[event.feed].from_ms), is_cut_short=False)
        self._unverifiable.setdefault(event.feed, (ts_ms, event.is_recorded))
        self._is_fresh = False
        self._cause(ts_ms, "unknown", UNVERIFIABLE)
        self._note_newest(ts_ms)

    def _lose_unverifiable(self, feed: int, from_ms: int | None, cause: str) -> None:
        begun_ms, is_recorded = self._unverifiable.pop(feed)
        if from_ms is None:
            self._ended_unverifiable.append((begun_ms, is_recorded))
            return
        end_ms = max(begun_ms, from_ms)
        self._history.unverifiable.append(UnverifiableSpan(begun_ms, end_ms, is_recorded))
        self._cause(end_ms, "missing", cause)

    def _end_every_unverifiable(self) -> None:
        """Where their ends were not noted, they reach to the time from which the book is known again."""
        self._ended_unverifiable += self._unverifiable.values()
        self._unverifiable.clear()

    def _verifiable_again(self, ts_ms: int) -> None:
        for from_ms, is_recorded in self._ended_unverifiable:
            self._history.unverifiable.append(UnverifiableSpan(from_ms, max(from_ms, ts_ms), is_recorded))
        self._ended_unverifiable.clear()

    def _count(self, event: Slots) -> None:
        """Form 1: the lines of a minute, between the book times of two such events."""
        self._uncounted += event.written.get(self._inst_id, 0)
        text = event.book_times.get(self._inst_id)
        if text is None:
            return
        book_ms = utc_ms(text)
        self._compare_clocks(event.at, book_ms)
        if self._counted_ms is not None and self._counted_ms < book_ms:
            self._history.counts.append(LineCount(self._counted_ms, book_ms, self._uncounted))
        self._counted_ms, self._uncounted = book_ms, 0
        self._known_ms = max(self._known_ms, book_ms)
        self._note_newest(book_ms)

    def _minute(self, event: Minute) -> None:
        found: MinuteOf | None = event.instruments.get(self._inst_id)
        if found is None:
            return
        if found.first is not None and found.last is not None:
            self._history.due.append((utc_ms(found.first), utc_ms(found.last)))
        for quiet in found.quiet:
            self._history.quiet.append(QuietRange(utc_ms(quiet.since), utc_ms(quiet.first), utc_ms(quiet.last)))
        if found.book_time is not None:
            book_ms = utc_ms(found.book_time)
            self._compare_clocks(event.at, book_ms)
            self._known_ms = max(self._known_ms, book_ms)
            self._note_newest(book_ms)

    def _beat(self, event: Alive) -> None:
        """Proved exchange time; where none was noted, the wall clock, once it was seen to go with exchange time."""
        if event.exchange is not None:
            self._note_newest(utc_ms(event.exchange))
        elif self._is_same_clock:
            self._note_newest(utc_ms(event.at))

    def _compare_clocks(self, at: str, ts_ms: int) -> None:
        self._is_same_clock = self._is_same_clock or abs(utc_ms(at) - ts_ms) <= _SAME_CLOCK_MS

    def _note_newest(self, ts_ms: int) -> None:
        if self._is_recorded:
            self._history.newest_ms = max(ts_ms, self._history.newest_ms or ts_ms)

    def _cause(self, from_ms: int, kind: HoleKind, cause: str) -> None:
        self._history.causes.append(HoleCause(from_ms, kind, cause))
