"""The one way from the recorder's event loop to the disk: a bounded queue and one thread.

Order is kept across lines and journal events. When the disk is slow the queue fills and `room` makes the readers of
the sockets wait, so nothing is dropped here; when it refuses, lines are counted as lost and the journal says so. What
the journal says was written is what the disk took, after it was synced.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import L2VaultError, VaultError
from l2vault.foreign import printable
from l2vault.recording.eventlog import EventLog
from l2vault.recording.on_disk import OnDisk
from l2vault.recording.supervisor import said_of
from l2vault.recording.threads import NoThread, in_daemon_thread
from l2vault.vault.journal.events import (
    Alive,
    DiskStalled,
    Event,
    HourClosed,
    Minute,
    Started,
    Stopped,
    TaskFailed,
    VaultReplaced,
    WriteFailed,
)
from l2vault.vault.journal.log import Journal, Place
from l2vault.vault.store.digest import RunningDigest
from l2vault.vault.store.layout import HOUR_MS, Kind
from l2vault.vault.store.lock import VaultLock
from l2vault.vault.store.writer import ClosedHour, LineWriter, Row, kind_of

QUEUE_LIMIT: Final = 256
"""Items waiting before the sockets are made to wait. Lines share their levels with the book, so this is a few MB."""
STALL_MS: Final = 10_000
"""A batch that takes longer is journaled once it is through."""
END_WITHIN_SEC: Final = 4.0
"""From the wish to stop on; what the disk has not taken by then is lost. Service managers kill a little later."""
SYNC_WITHIN_SEC: Final = 2.0
"""From the wish to stop on; by then everything is written, and files that are not synced yet are left to the system."""
THREAD_AGAIN_SEC: Final = 0.5
"""Where the system had no room for one more thread."""

_log = logging.getLogger(__name__)

Chore = Callable[[], list[Event]]
"""Something that must be done between two lines, in the disk's thread; returns what the journal is to hold of it."""
Item = Row | Event | Chore
_Stream = tuple[Kind, str]
"""The lines of one kind of an instrument."""


HourHook = Callable[[ClosedHour], None]
"""What is to be done with an hour that is complete on the disk, or that the recorder leaves (`is_open`). Called in the
disk's thread, where lines wait meanwhile: what takes longer than a moment belongs in a thread of its own. May raise
OSError and L2VaultError, which are logged, and nothing else."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What keeps the vault ours: its lock, the beginning of a new run behind a place, and whom to call after that."""

    lock: VaultLock
    begin: Callable[[Place], Started]
    on_replaced: Callable[[], None]
    inst_ids: tuple[str, ...] = ()


@dataclass(slots=True)
class _Lost:
    lines: int
    from_ms: int
    to_ms: int
    error: str
    noted: int = 0
    """How many of them are in the journal; the bounds are those of the others."""
    is_over: bool = False
    """The disk takes lines again, or has taken what is left."""


@dataclass(slots=True)
class Past:
    """What the runs before left to do: hours that lack their closing record, oldest first, by kind, instrument and
    beginning; how an hour is digested; the newest closing record."""

    unclosed: list[tuple[Kind, str, int]] = field(default_factory=list)
    digest: Callable[[Kind, str, int], RunningDigest] = lambda kind, inst_id, hour_ms: RunningDigest()
    newest_hour_line: bytes | None = None


class Trades(Protocol):
    """Who can have trades again that the disk refused. Both are called in the event loop."""

    def unwritten(self, push: TradePush) -> None: ...

    def written_again(self, inst_id: str) -> None: ...


class Disk:
    """`put` from the event loop, `await room()` after it; `run` is the task that writes."""

    def __init__(  # noqa: PLR0913 - the last four are of the recorder alone
        self,
        writer: LineWriter,
        journal: Journal,
        clock: Clock,
        fsync_ms: int,
        guard: Guard | None = None,
        on_hour_closed: Sequence[HourHook] = (),
        trades: Trades | None = None,
        watch: Callable[[Item], None] = lambda item: None,
    ) -> None:
        """`watch` sees everything that is put, when it is put; it may neither wait nor raise."""
        self._watch = watch
        self._writer = writer
        self._journal = journal
        self._clock = clock
        self._fsync_ms = fsync_ms
        self._guard = guard
        self._hour_hooks: tuple[HourHook, ...] = (self._journal_hour, *on_hour_closed)
        self._trades = trades
        self._events = EventLog(journal)
        self._past = Past()
        self._alone = threading.Lock()
        self._queue: list[Item] = []
        self._batch: list[Item] = []
        """What the thread is at."""
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finishing = asyncio.Event()
        self._last: Event | None = None
        self._sync_until_ms: int | None = None
        self._is_closing = False
        self._lost: dict[_Stream, _Lost] = {}
        self._on_disk = OnDisk()
        self._announced: set[tuple[str, int]] = set()
        self._is_sync_refused = False
        self._synced_ms = 0
        self._busy_since_ms: int | None = None
        self._given_up: VaultError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lines_lost = 0
        self.is_hanging = False
        """Whether `run` ended without the disk: a call of its thread has not come back."""

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def resume(self, past: Past) -> None:
        """Before `run`: what the runs before left to do."""
        self._past = past
        self._events = EventLog(self._journal, past.newest_hour_line)

    def stalled_ms(self) -> int:
        """For how long the worker has been at its present batch; 0 while it waits for one."""
        return 0 if self._busy_since_ms is None else self._clock.monotonic_ms() - self._busy_since_ms

    def put(self, item: Item) -> None:
        """Never waits and never drops; callers that can wait do so in `room`.

        A `Minute` is completed with what the disk took of the lines before it, after these were synced.
        """
        self._queue.append(item)
        self._watch(item)
        self._wake.set()
        if len(self._queue) >= QUEUE_LIMIT:
            self._room.clear()

    async def room(self) -> None:
        await self._room.wait()

    def close_files(self) -> None:
        """Close every data file once what was put before is written; the next line opens its file again."""
        self._is_closing = True
        self._wake.set()

    def finish(self, last: Event | None = None) -> None:
        """Ends `run` once everything put so far is written and every file is closed; `last` is journaled after that."""
        if self._sync_until_ms is None:
            self._sync_until_ms = self._clock.monotonic_ms() + round(SYNC_WITHIN_SEC * 1000)
        self._finishing.set()
        self._last = last or self._last
        self._wake.set()

    async def run(self) -> None:
        """Write until told to `finish`. Raises VaultError once the vault is another's: nothing is written then; and
        where the disk does not take what is left within END_WITHIN_SEC.
        """
        self._loop = asyncio.get_running_loop()
        writing, late = asyncio.ensure_future(self._write_on()), asyncio.ensure_future(self._late())
        try:
            await asyncio.wait({writing, late}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                raise self._hanging()
            writing.result()
        finally:
            writing.cancel()
            late.cancel()

    async def _late(self) -> None:
        await self._finishing.wait()
        await self._clock.sleep(END_WITHIN_SEC)

    def _hanging(self) -> VaultError:
        """The thread cannot be ended from outside. What it is at may still come through, and counts as lost."""
        self.is_hanging = True
        left = [*self._batch, *self._queue, *([] if self._last is None else [self._last])]
        lines = sum(isinstance(item, Row) for item in left)
        self.lines_lost += lines
        words = "The disk took nothing for %g s after the wish to stop: %d lines and %d events are lost"
        _log.error(words, END_WITHIN_SEC, lines, len(left) - lines)
        return VaultError(
            f"the disk of the vault hangs: {lines} lines and {len(left) - lines} events could not be written.",
            "look after the disk; the next start finds what is missing and records it",
        )

    async def _write_on(self) -> None:
        try:
            while not (self._finishing.is_set() and not self._queue):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._fsync_ms / 1000):
                        await self._wake.wait()
                self._wake.clear()
                self._batch, self._queue = self._queue, []
                self._room.set()
                self._busy_since_ms = self._clock.monotonic_ms()
                await self._in_thread(self._write, self._batch)
                if self.stalled_ms() >= STALL_MS:
                    self.put(DiskStalled(self._clock.wall_text(), self.stalled_ms() / 1000))
                self._batch, self._busy_since_ms = [], None
        finally:
            self._room.set()
            if not self.is_hanging:
                await self._close_in_time()

    async def _close_in_time(self) -> None:
        """Bounded by itself: where the event loop is ending, `run` is no more."""
        closing = asyncio.ensure_future(self._in_thread(self._close))
        late = asyncio.ensure_future(self._clock.sleep(END_WITHIN_SEC))
        try:
            await asyncio.wait({closing, late}, return_when=asyncio.FIRST_COMPLETED)
            if closing.done():
                closing.result()
        finally:
            closing.cancel()
            late.cancel()

    async def _in_thread(self, act: Callable[..., None], *args: object) -> None:
        """In a thread of its own: lines must never queue behind a REST call or a retention pass. One at a time, also
        where the wait for the one before was cancelled. Where the system has no thread, the lines wait for one."""

        def disk() -> None:
            with self._alone, self._events.together():
                act(*args)

        is_told = False
        while True:
            try:
                return await in_daemon_thread(disk)
            except NoThread as error:
                if not is_told:
                    _log.error("Nothing can be written at this moment, lines wait: %s", error)
                is_told = True
                await self._clock.sleep(THREAD_AGAIN_SEC)

    def _write(self, batch: list[Item]) -> None:
        """In the worker thread."""
        if self._guard is not None and not self._guard.lock.is_in_place():
            self._sync()  # whoever holds the vault now writes the same slots
        for item in batch:
            if isinstance(item, Row):
                self._write_line(item)
            elif isinstance(item, Minute):
                self._sync_files()
                self._journal_all_lost()
                self._events.put(self._completed(item))
                self._journal.keep_room()
            elif callable(item):
                self._do(item)
            else:
                if isinstance(item, Alive):  # each sign of life says what was lost until then
                    self._journal_all_lost()
                self._events.put(item)
        if self._is_closing or self._clock.monotonic_ms() - self._synced_ms >= self._fsync_ms:
            self._sync()
        if self._is_closing:
            self._is_closing = False
            self._close_writer(is_final=False)

    def _do(self, chore: Chore) -> None:
        try:
            self._events.put(*chore())
        except (OSError, VaultError) as error:
            _log.error("A change of the vault's files failed: %s", error)

    def _write_line(self, row: Row) -> None:
        inst_id = row.inst_id
        self._announce(inst_id, row.ts_ms // HOUR_MS * HOUR_MS)
        stream = kind_of(row), inst_id
        try:
            self._writer.append(row)
        except OSError as error:
            self._note_lost(row, error)
            return
        except Exception as error:  # only the books' own lines may end the run
            if isinstance(row, Snapshot):
                raise
            if stream not in self._lost:
                self._events.put(TaskFailed(self._clock.wall_text(), stream[0], said_of(error), 0.0))
            self._note_lost(row, error)
            return
        lost = self._lost.pop(stream, None)
        if lost is not None:
            lost.is_over = True
            _log.warning("Writing %s again; %d lines were lost (%s)", inst_id, lost.lines, lost.error)
            self._sync_files()
            if self._on_disk:
                self._events.put(self._completed(Minute(self._clock.wall_text())))
            self._journal_lost(stream, lost)
            if self._trades is not None and self._loop is not None and isinstance(row, TradePush):
                self._loop.call_soon_threadsafe(self._trades.written_again, inst_id)
        self._on_disk.add(row)
        if isinstance(row, Snapshot):
            _log.debug("Snapshot written: %s %s seqId %s", inst_id, utc_text(row.ts_ms), row.seq_id)

    def _completed(self, minute: Minute) -> Minute:
        """With the lines that the disk took since the record before, of every instrument."""
        if self._is_sync_refused:
            return minute  # what is not synced may be gone after a power cut: it is for the record after the next sync
        completed = self._on_disk.completed(minute)
        self._on_disk.clear()
        return completed

    def _note_lost(self, row: Row, error: Exception) -> None:
        self.lines_lost += 1
        stream, ts_ms = (kind_of(row), row.inst_id), row.ts_ms
        lost = self._lost.get(stream)
        if lost is None:
            said = printable(str(error) if isinstance(error, OSError) else said_of(error))
            _log.error("Cannot write %s: %s. Lines are lost until the disk takes them again", row.inst_id, said)
            lost = self._lost[stream] = _Lost(1, ts_ms, ts_ms, said)
            self._journal_lost(stream, lost)  # at once: a disk that fills up may soon refuse the journal too
        else:
            if lost.noted == lost.lines:
                lost.from_ms = ts_ms
            lost.lines += 1
            lost.to_ms = ts_ms
        if self._trades is not None and self._loop is not None and isinstance(row, TradePush):
            self._loop.call_soon_threadsafe(self._trades.unwritten, row)

    def _journal_all_lost(self) -> None:
        for stream, lost in self._lost.items():
            self._journal_lost(stream, lost)

    def _journal_lost(self, stream: _Stream, lost: _Lost) -> None:
        """What was lost since the last time: every 15 s, so that a kill while the disk is full hides no cause."""
        if lost.lines > lost.noted or lost.is_over:
            kind, inst_id = stream
            first_ms = lost.from_ms if lost.lines > lost.noted else lost.to_ms
            bounds = utc_text(min(first_ms, lost.to_ms)), utc_text(max(first_ms, lost.to_ms))
            what = lost.lines - lost.noted, *bounds, lost.error, kind
            self._events.put(WriteFailed(self._clock.wall_text(), inst_id, *what, goes_on=not lost.is_over))
            lost.noted = lost.lines

    def _sync(self) -> None:
        self._synced_ms = self._clock.monotonic_ms()
        gone = self._sync_files()
        for closed in self._writer.take_closed():
            self._hour_closed(closed)
        self._close_past_hour()
        if self._guard is not None:
            self._check(self._guard, gone)

    def _sync_files(self) -> list[str]:
        """Returns the data files that were found gone; what they held is no longer on the disk."""
        try:
            self._writer.sync(self._is_late)
        except OSError as error:
            if not self._is_sync_refused:
                _log.error("Cannot sync the vault: %s", error)
            self._is_sync_refused = True
        else:
            self._is_sync_refused = False
        files: list[str] = []
        for gone in self._writer.take_vanished():
            reason = f"{gone.path} was moved or deleted while it was being written"
            _log.error("%s: %d lines of %s are lost", reason, gone.lines, gone.inst_id)
            self.lines_lost += gone.lines
            self._on_disk.drop(gone.kind, gone.inst_id, gone.lines)
            self._journal_lost(
                (gone.kind, gone.inst_id), _Lost(gone.lines, gone.from_ms, gone.to_ms, reason, is_over=True)
            )
            files.append(gone.path.name if self._guard is None else str(gone.path))
        return files

    def _hour_closed(self, closed: ClosedHour) -> None:
        """The one place where it is said that an hour is complete, to the journal first. Every hour comes by here, also
        one that a run before left, or that late lines came to and that is closed anew."""
        for hook in self._hour_hooks:
            try:
                hook(closed)
            except (OSError, L2VaultError) as error:
                _log.error("After hour %s of %s was closed: %s", utc_text(closed.hour_ms), closed.inst_id, error)

    def _journal_hour(self, closed: ClosedHour) -> None:
        at, hour = self._clock.wall_text(), utc_text(closed.hour_ms)
        kind, is_open = closed.kind, closed.is_open
        self._events.put(HourClosed(at, closed.inst_id, hour, *closed.digest, kind=kind, is_open=is_open))

    def _close_past_hour(self) -> None:
        """One a round: to digest an hour of 90 MB takes a moment, in which lines wait."""
        if not self._past.unclosed:
            return
        kind, inst_id, hour_ms = self._past.unclosed.pop(0)
        with suppress(OSError):  # deleted or compressed meanwhile, or damaged: then it has no record
            digest = self._past.digest(kind, inst_id, hour_ms)
            if digest.bytes:
                self._hour_closed(ClosedHour(inst_id, hour_ms, digest.value(), False, kind))

    def _announce(self, inst_id: str, hour_ms: int) -> None:
        """Before the first line of an hour: other processes keep their hands off it. Once for all instruments."""
        if self._guard is None or (inst_id, hour_ms) in self._announced:
            return
        self._announced |= {(inst_id, hour_ms), *((other, hour_ms) for other in self._guard.inst_ids)}
        self._note_open_hours(self._guard, self._announced)

    def _note_open_hours(self, guard: Guard, hours: Iterable[tuple[str, int]]) -> None:
        try:
            guard.lock.note(self._events.run, list(hours))
        except OSError as error:
            _log.warning("Cannot note the hours being written: %s", error)

    def _check(self, guard: Guard, gone: list[str]) -> None:
        """Whether the vault is still ours. Taken again, it is a new run: what the journal said before may be gone."""
        newest_ms = max((hour_ms for _, hour_ms in self._announced), default=0)
        begun = {hour for hour in self._announced if hour[1] == newest_ms}
        self._announced = begun | set(self._writer.open_hours())
        self._note_open_hours(guard, self._announced)
        try:
            replaced = [*guard.lock.check(), *gone]
        except VaultError as error:
            self._given_up = error
            raise
        if replaced:
            what = ", ".join(replaced)
            _log.error("Deleted or replaced while recording: %s. The vault is taken again, in a new run", what)
            self._events.begin_run(guard.begin(self._journal.begin_again()))
            self._events.put(VaultReplaced(self._clock.wall_text(), what))
            if self._loop is not None:
                self._loop.call_soon_threadsafe(guard.on_replaced)

    def _close(self) -> None:
        if self._given_up is not None:
            _log.error("%d items are not written: %s", len(self._queue), self._given_up)
            self._writer.abandon()
            return
        self._sync_files()
        for stream, lost in self._lost.items():
            _log.error("%d lines of %s were lost (%s)", lost.lines, stream[1], lost.error)
            self._journal_lost(stream, lost)
        self._close_writer(is_final=True)
        for closed in self._writer.take_closed():
            self._hour_closed(closed)
        if self._last is not None:
            self._events.put(self._with_unsynced(self._last))
        if self._events.waiting:
            _log.error("%d events are not in the journal, which cannot be written", self._events.waiting)

    def _with_unsynced(self, last: Event) -> Event:
        unsynced = self._writer.unsynced()
        if not unsynced:
            return last
        words = "Not synced when the recorder stopped: the newest lines of %d instruments. They are written; only a "
        _log.warning(words + "power cut of the next half minute could take them", len(unsynced))
        return msgspec.structs.replace(last, unsynced=unsynced) if isinstance(last, Stopped) else last

    def _close_writer(self, is_final: bool) -> None:
        try:
            self._writer.close(is_final, self._is_late)
        except OSError as error:
            _log.error("Cannot close the vault's files: %s", error)

    def _is_late(self) -> bool:
        """Asked between two syncs, in whatever thread; the wish to stop may come in the middle of them."""
        return self._sync_until_ms is not None and self._clock.monotonic_ms() >= self._sync_until_ms
