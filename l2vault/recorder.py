"""The recorder: wires the lines to the vault and supervises what runs. Every rule it follows lives in a room below.

wire -> `okx.websocket.Line` (session, chain, book, sampler) -> here (what is new) -> `recording.disk` -> vault
"""

import asyncio
import logging
import platform
import socket
from collections.abc import Callable
from os import getpid
from random import Random
from typing import Final

import l2vault
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.errors import L2VaultError
from l2vault.okx.messages import SchemaFailure
from l2vault.okx.pipeline import Lost, Pipeline, Sampled
from l2vault.okx.rest import OkxRest
from l2vault.okx.websocket import Line, LineOutput
from l2vault.recording.disk import Disk
from l2vault.recording.metadata import Metadata
from l2vault.recording.report import journal_event, log_output
from l2vault.recording.tally import Tally
from l2vault.vault import journal
from l2vault.vault.layout import Layout
from l2vault.vault.lock import VaultLock
from l2vault.vault.recovery import recover
from l2vault.vault.writer import LineWriter

ALIVE_SEC: Final = 15.0
SUMMARY_SEC: Final = 60.0
STATUS_SEC: Final = 2.0
REST_WITHIN_SEC: Final = 10.0
QUOTE_EVERY_MS: Final = 10_000
LINE: Final = 1

_log = logging.getLogger(__name__)


class Recorder:
    """Records `settings.instruments` into a vault it alone writes. One `run` a recorder."""

    def __init__(
        self, settings: Settings, layout: Layout, clock: Clock, rng: Random, show_status: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._clock = clock
        self._show_status = show_status
        self._tally = Tally(settings.instruments)
        self._journal = journal.Journal(layout)
        self._disk = Disk(LineWriter(layout), self._journal, clock, round(settings.fsync_sec * 1000))
        self._pipeline = Pipeline(settings.instruments, settings.cadence_ms, settings.depth, rng)
        self._line = Line(settings.ws_url, self._pipeline, self._deliver, clock, rng)
        rest = OkxRest(settings.rest_url, REST_WITHIN_SEC)
        self._metadata = Metadata(layout, rest, clock, self._disk.put, self._pipeline.set_live)
        self._last_ms: dict[str, int] = {}
        """Time of the newest unflagged line of each instrument, in the vault or on its way."""
        self._newest_ms: dict[str, int] = {}
        """The same of any line, flagged or not."""
        self._quote_after_ms = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Record until `stop` is set. Raises VaultError before anything starts if the vault cannot be had."""
        lock = VaultLock(self._layout)
        lock.acquire(self._at())
        try:
            self._recover()
            self._note_start()
            await self._supervise(stop)
        finally:
            lock.release()

    async def _supervise(self, stop: asyncio.Event) -> None:
        """The one place that catches everything: a task that dies takes the recorder with it, never in silence."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._disk.run())
                try:
                    await self._record(stop)
                finally:
                    self._note_end("asked to stop" if stop.is_set() else "crashed")
                    self._disk.finish()
        except Exception as error:
            _log.exception("The recorder crashed")
            raise L2VaultError("the recorder crashed; the log holds the details.", "start it again") from error

    async def _record(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._line.run()),
                group.create_task(self._metadata.run(self._settings.instruments)),
                group.create_task(self._every(ALIVE_SEC, self._beat)),
                group.create_task(self._every(SUMMARY_SEC, self._summarise)),
                group.create_task(self._every(STATUS_SEC, self._status)),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()

    def _recover(self) -> None:
        previous = journal.last_event_at(self._layout)
        events, self._last_ms = recover(self._layout, self._at())
        self._newest_ms = dict(self._last_ms)
        if previous is not None and not previous[1]:
            _log.warning("The last recorder of this vault did not stop cleanly; its last sign of life: %s", previous[0])
            self._journal.append(journal.UncleanEnd(self._at(), previous[0]))
        for event in events:
            _log.warning("Recovered %s: %d torn bytes cut, kept in %s", event.file, event.cut_bytes, event.kept_in)
            self._journal.append(event)

    def _note_start(self) -> None:
        settings = self._settings
        self._journal.append(
            journal.Started(
                self._at(),
                l2vault.__version__,
                socket.gethostname(),
                getpid(),
                platform.platform(),
                list(settings.instruments),
                settings.cadence_ms,
                settings.depth,
                settings.lines,
                settings.digest(),
            )
        )
        names = ", ".join(settings.instruments)
        _log.info(
            "Recording %s every %g s, %d levels, into %s",
            names,
            settings.cadence_sec,
            settings.depth,
            self._layout.root,
        )

    def _note_end(self, reason: str) -> None:
        for output in self._pipeline.close("our_restart", "the recorder stopped"):
            self._handle(output)
        self._summarise()
        self._disk.put(journal.Stopped(self._at(), reason))
        _log.info("Stopped (%s) after %d lines, %d gaps", reason, self._tally.lines, self._tally.gaps)

    def _beat(self) -> None:
        self._disk.put(journal.Alive(self._at()))

    def _summarise(self) -> None:
        slots = self._tally.minute(self._at(), self._pipeline.book_times())
        self._disk.put(slots)
        _log.info("Snapshot written: %s", self._tally.summary(slots, self._pipeline.counts, self._disk.lines_lost))

    def _status(self) -> None:
        in_sync = len(self._pipeline.book_times())
        self._show_status(self._tally.status(self._clock.wall_ms(), in_sync, self._pipeline.counts))

    async def _every(self, seconds: float, act: Callable[[], None]) -> None:
        while True:
            await self._clock.sleep(seconds)
            act()

    def _at(self) -> str:
        return utc_text(self._clock.wall_ms())

    async def _deliver(self, outputs: list[LineOutput]) -> None:
        """Everything a line has to say, in order; waits while the disk is behind, which stops that line's reading."""
        for output in outputs:
            self._handle(output)
        await self._disk.room()

    def _handle(self, output: LineOutput) -> None:
        if isinstance(output, Sampled):
            self._write(output.snapshot)
            return
        if isinstance(output, SchemaFailure) and not self._may_quote():
            return
        if isinstance(output, Lost):
            if output.cause != "our_restart":
                self._tally.lost(output)
            if output.flagged is not None:
                self._write(output.flagged)
            if output.cause == "invariant":
                self._metadata.refresh_soon(output.inst_id)  # crossed is legal once the row says so
        event = journal_event(output, LINE, self._at())
        if event is not None:
            self._disk.put(event)
        log_output(output, LINE)

    def _may_quote(self) -> bool:
        """Frames that name no instrument are counted, and quoted once in a while: every push could be one."""
        self._tally.unreadable += 1
        now_ms = self._clock.monotonic_ms()
        due = now_ms >= self._quote_after_ms
        if due:
            self._quote_after_ms = now_ms + QUOTE_EVERY_MS
        return due

    def _write(self, snapshot: Snapshot) -> None:
        """No two unflagged lines of an instrument share a time, and no line is older than the one before it."""
        inst_id, ts_ms = snapshot.inst_id, snapshot.ts_ms
        is_older = ts_ms < self._newest_ms.get(inst_id, ts_ms)
        if is_older or not (snapshot.gap_detected or ts_ms > self._last_ms.get(inst_id, -1)):
            self._tally.doubled(inst_id)
            return
        self._newest_ms[inst_id] = ts_ms
        if not snapshot.gap_detected:
            self._last_ms[inst_id] = ts_ms
        self._tally.wrote(snapshot)
        self._disk.put(snapshot)
