"""The one way from the recorder's event loop to the disk: a bounded queue and one thread.

Order is kept across lines and journal events. When the disk is slow the queue fills and `room` makes the readers of
the sockets wait, so nothing is dropped here; when it refuses, lines are counted as lost and the journal says so.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.vault.journal.events import DiskStalled, Event, WriteFailed
from l2vault.vault.journal.log import Journal
from l2vault.vault.writer import LineWriter

QUEUE_LIMIT: Final = 256
"""Items waiting before the sockets are made to wait. Lines share their levels with the book, so this is a few MB."""
STALL_MS: Final = 10_000
"""A batch that takes longer is journaled once it is through."""
JOURNAL_BACKLOG: Final = 10_000
"""Events kept in memory while the disk refuses them: hours of trouble; beyond it the oldest go."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lost:
    lines: int
    from_ms: int
    to_ms: int
    error: str


class Disk:
    """`put` from the event loop, `await room()` after it; `run` is the task that writes."""

    def __init__(self, writer: LineWriter, journal: Journal, clock: Clock, fsync_ms: int) -> None:
        self._writer = writer
        self._journal = journal
        self._clock = clock
        self._fsync_ms = fsync_ms
        self._thread = ThreadPoolExecutor(1, "disk")
        self._queue: list[Snapshot | Event] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finishing = False
        self._is_closing = False
        self._backlog: list[Event] = []
        self._lost: dict[str, _Lost] = {}
        self._events_dropped = 0
        self._is_journal_refused = False
        self._is_sync_refused = False
        self._synced_ms = 0
        self._busy_since_ms: int | None = None
        self.lines_lost = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def stalled_ms(self) -> int:
        """For how long the worker has been at its present batch; 0 while it waits for one."""
        return 0 if self._busy_since_ms is None else self._clock.monotonic_ms() - self._busy_since_ms

    def put(self, item: Snapshot | Event) -> None:
        """Never waits and never drops; callers that can wait do so in `room`."""
        self._queue.append(item)
        self._wake.set()
        if len(self._queue) >= QUEUE_LIMIT:
            self._room.clear()

    async def room(self) -> None:
        await self._room.wait()

    def close_files(self) -> None:
        """Close every data file once what was put before is written; the next line opens its file again."""
        self._is_closing = True
        self._wake.set()

    def finish(self) -> None:
        """Ends `run` once everything put so far is written and every file is closed."""
        self._finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until told to `finish`."""
        while not (self._finishing and not self._queue):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._fsync_ms / 1000):
                    await self._wake.wait()
            self._wake.clear()
            batch, self._queue = self._queue, []
            self._room.set()
            self._busy_since_ms = self._clock.monotonic_ms()
            await self._in_thread(self._write, batch)
            if self.stalled_ms() >= STALL_MS:
                self.put(DiskStalled(utc_text(self._clock.wall_ms()), self.stalled_ms() / 1000))
            self._busy_since_ms = None
        await self._in_thread(self._close)
        self._thread.shutdown()

    async def _in_thread(self, act: Callable[..., None], *args: object) -> None:
        """In the disk's own thread: lines must never queue behind a REST call or a retention pass."""
        await asyncio.get_running_loop().run_in_executor(self._thread, act, *args)

    def _write(self, batch: list[Snapshot | Event]) -> None:
        """In the worker thread."""
        for item in batch:
            if isinstance(item, Snapshot):
                self._write_line(item)
            else:
                self._backlog.append(item)
                self._write_events()
        if self._is_closing or self._clock.monotonic_ms() - self._synced_ms >= self._fsync_ms:
            self._sync()
        if self._is_closing:
            self._is_closing = False
            self._close_writer()

    def _write_line(self, snapshot: Snapshot) -> None:
        inst_id = snapshot.inst_id
        try:
            self._writer.append(snapshot)
        except OSError as error:
            self._note_lost(snapshot, error)
            return
        _log.debug("Snapshot written: %s %s seqId %s", inst_id, utc_text(snapshot.ts_ms), snapshot.seq_id)
        lost = self._lost.pop(inst_id, None)
        if lost is not None:
            _log.warning("Writing %s again; %d lines were lost (%s)", inst_id, lost.lines, lost.error)
            self._journal_lost(inst_id, lost)

    def _note_lost(self, snapshot: Snapshot, error: OSError) -> None:
        self.lines_lost += 1
        lost = self._lost.get(snapshot.inst_id)
        if lost is None:
            _log.error("Cannot write %s: %s. Lines are lost until the disk takes them again", snapshot.inst_id, error)
            self._lost[snapshot.inst_id] = _Lost(1, snapshot.ts_ms, snapshot.ts_ms, str(error))
        else:
            lost.lines += 1
            lost.to_ms = snapshot.ts_ms

    def _journal_lost(self, inst_id: str, lost: _Lost) -> None:
        at = utc_text(self._clock.wall_ms())
        bounds = utc_text(lost.from_ms), utc_text(lost.to_ms)
        self._backlog.append(WriteFailed(at, inst_id, lost.lines, *bounds, lost.error))
        self._write_events()

    def _write_events(self) -> None:
        """Oldest first, as far as the disk takes them."""
        excess = max(0, len(self._backlog) - JOURNAL_BACKLOG)
        self._events_dropped += excess
        del self._backlog[:excess]
        try:
            while self._backlog:
                self._journal.append(self._backlog[0])
                del self._backlog[0]
        except OSError as error:
            if not self._is_journal_refused:
                _log.error("Cannot write the journal: %s. Events wait in memory", error)
            self._is_journal_refused = True
            return
        if self._is_journal_refused:
            _log.warning("The journal is written again; %d events were dropped", self._events_dropped)
        self._is_journal_refused = False
        self._events_dropped = 0

    def _sync(self) -> None:
        self._synced_ms = self._clock.monotonic_ms()
        try:
            self._writer.sync()
        except OSError as error:
            if not self._is_sync_refused:
                _log.error("Cannot sync the vault: %s", error)
            self._is_sync_refused = True
        else:
            self._is_sync_refused = False
        for gone in self._writer.take_vanished():
            reason = f"{gone.path} was moved or deleted while it was being written"
            _log.error("%s: %d lines of %s are lost", reason, gone.lines, gone.inst_id)
            self.lines_lost += gone.lines
            self._journal_lost(gone.inst_id, _Lost(gone.lines, gone.from_ms, gone.to_ms, reason))

    def _close(self) -> None:
        self._sync()
        for inst_id, lost in self._lost.items():
            _log.error("%d lines of %s were lost (%s)", lost.lines, inst_id, lost.error)
            self._journal_lost(inst_id, lost)
        self._write_events()
        if self._backlog:
            _log.error("%d events are not in the journal, which cannot be written", len(self._backlog))
        self._close_writer()

    def _close_writer(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            _log.error("Cannot close the vault's files: %s", error)
