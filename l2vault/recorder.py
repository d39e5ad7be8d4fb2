"""The recorder: wires the lines to the vault and supervises what runs. Every rule it follows lives in a room below.

wire -> `recording.lines` (session, chain, book, sampler each) -> `recording.intake` -> `recording.disk` -> vault
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.errors import L2VaultError, VaultError
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.hosts import addresses, closed_port_warnings
from l2vault.okx.pipeline import Counts, Pipeline, Sampled
from l2vault.okx.rest import OkxRest
from l2vault.okx.websocket import LineOutput
from l2vault.recording.disk import STALL_MS, Disk
from l2vault.recording.intake import Intake
from l2vault.recording.lines import Lines
from l2vault.recording.supervisor import Supervisor
from l2vault.recording.tally import Tally
from l2vault.recording.tasks.auditor import Auditor
from l2vault.recording.tasks.clock import ClockCheck
from l2vault.recording.tasks.memory import trim_regularly
from l2vault.recording.tasks.metadata import Metadata
from l2vault.recording.tasks.retention import Retention
from l2vault.vault.journal.events import Alive, ClockStepped, Stopped, UncleanEnd
from l2vault.vault.journal.log import Journal, Place, PreviousRun, previous_run, start_of_run
from l2vault.vault.layout import Layout
from l2vault.vault.lock import VaultLock
from l2vault.vault.recovery import recover
from l2vault.vault.retention.plan import policy_of
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.writer import LineWriter

ALIVE_SEC: Final = 15.0
SUMMARY_SEC: Final = 60.0
STATUS_SEC: Final = 2.0
WATCH_SEC: Final = 1.0
REST_WITHIN_SEC: Final = 10.0
CLOCK_STEP_MS: Final = 5_000
SLEPT_MS: Final = 30_000
"""OKX closes a connection after 30 s without a word: after a longer sleep every socket is a stranger's."""

_log = logging.getLogger(__name__)


class Recorder:
    """Records `settings.instruments` into a vault it alone writes. One `run` a recorder."""

    def __init__(
        self, settings: Settings, layout: Layout, clock: Clock, rng: Random, show_status: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._clock = clock
        self._rng = rng
        self._show_status = show_status
        self._tally = Tally(settings.instruments)
        self._counts = Counts()
        self._journal = Journal(layout, clock.monotonic_ms)
        self._previous: PreviousRun | None = None
        self._disk = Disk(LineWriter(layout), self._journal, clock, round(settings.fsync_sec * 1000))
        hosts = addresses(settings.region, settings.ws_url, settings.rest_url)
        self._time = ExchangeTime()
        rest = self._rest = OkxRest(hosts.rest_url, REST_WITHIN_SEC, hosts.headers)
        self._supervisor = Supervisor(self._disk.put, clock, rng)
        self._lines = Lines(hosts.ws_urls, self._new_pipeline, self._deliver, clock, rng)
        self._metadata = Metadata(layout, rest, clock, rng, self._disk.put, self._set_live)
        self._auditor = Auditor(rest, clock, rng, self._disk.put, self._take, self._lines.pipelines)
        self._auditor.resolve = self._resolve
        self._clock_check = ClockCheck(rest, clock, rng, self._disk.put, self._time)
        self._intake = Intake(self._tally, clock, self._disk.put, self._metadata.refresh_soon, lambda *_: None)
        self._retention = Retention(layout, policy_of(settings), clock, self._pass_time, self._disk.close_files)
        self._intake.pipelines = self._lines.pipelines
        self._not_live: set[str] = set()
        self._watched = (clock.wall_ms(), clock.monotonic_ms())
        self._is_stall_told = False

    async def run(self, stop: asyncio.Event, reason: Callable[[], str] = lambda: "asked to stop") -> None:
        """Record until `stop` is set; `reason` then says why. Raises VaultError before anything starts if the vault
        cannot be had."""
        lock = VaultLock(self._layout)
        lock.acquire(self._at())
        try:
            self._begin()
            await self._supervise(stop, reason)
        finally:
            lock.release()

    async def _supervise(self, stop: asyncio.Event, reason: Callable[[], str]) -> None:
        """The one place that catches everything: a task that dies takes the recorder with it, never in silence."""
        try:
            # Outside the group below: whatever cancels that, what has been put must still be written.
            writing = asyncio.create_task(self._disk.run())
            why = "interrupted"
            try:
                await self._record(stop, writing)
                why = reason()
            except Exception:
                why = "crashed"
                raise
            finally:
                self._note_end(why)
                self._disk.finish()
                await asyncio.wait([writing])
            writing.result()
        except Exception as error:
            _log.exception("The recorder crashed")
            raise L2VaultError("the recorder crashed; the log holds the details.", "start it again") from error

    async def _record(self, stop: asyncio.Event, writing: asyncio.Task[None]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_crash_with(writing)),
                group.create_task(self._run_feeds()),
                *(group.create_task(self._supervisor.run(name, task)) for name, task in self._optional()),
            ]
            try:
                await stop.wait()
            finally:
                self._rest.close()  # whatever waits for REST, in whatever thread, waits no longer
            for task in tasks:
                task.cancel()

    def _optional(self) -> Iterator[tuple[str, Callable[[], Coroutine[object, object, object]]]]:
        """What the recorder can do without, by name: whatever one of these raises, the feeds and the disk go on."""
        inst_ids = self._settings.instruments
        yield "clock", self._clock_check.run
        yield "metadata", partial(self._metadata.run, inst_ids)
        yield "audit", partial(self._auditor.run, inst_ids)
        if self._settings.retention:
            yield "retention", self._retention.run
        yield "memory", partial(trim_regularly, self._clock)
        for name, seconds, act in (
            ("beat", ALIVE_SEC, self._beat),
            ("summary", SUMMARY_SEC, self._summarise),
            ("status", STATUS_SEC, self._status),
            ("watch", WATCH_SEC, self._watch),
        ):
            yield name, partial(self._every, seconds, act)

    async def _run_feeds(self) -> None:
        """After OKX's time is known, where it can be had soon: then exchange time is proved from the first message."""
        await self._clock_check.first_asked()
        await self._lines.run(self._settings.feeds)

    def _begin(self) -> None:
        try:
            self._recover()
        except OSError as error:
            cure = "make room on its disk, and let this user read and write everything in it"
            raise VaultError(f"the journal of {self._layout.root} cannot be used: {error}.", cure) from error

    def _recover(self) -> None:
        previous = self._previous = previous_run(self._layout)
        events, last_ms = recover(self._layout, self._at())
        self._intake.resume(last_ms)
        self._note_start()
        if previous is not None and not previous.is_stopped:
            _log.warning("The last recorder of this vault did not stop cleanly; its last sign of life: %s", previous.at)
            self._journal.append(UncleanEnd(self._at(), previous.at))
        for event in events:
            _log.warning("Recovered %s: %d torn bytes cut, kept in %s", event.file, event.cut_bytes, event.kept_in)
            self._journal.append(event)

    def _note_start(self) -> None:
        settings, previous = self._settings, self._previous
        place = None if previous is None or previous.run is None else Place(previous.run, previous.n)
        self._journal.append(
            msgspec.structs.replace(
                start_of_run(self._at(), "recorder", place),
                instruments=list(settings.instruments),
                cadence_ms=settings.cadence_ms,
                depth=settings.depth,
                feeds=settings.feeds,
                config_digest=settings.digest(),
            )
        )
        for words in closed_port_warnings(settings.ws_url):
            _log.warning(words)
        names, root = ", ".join(settings.instruments), self._layout.root
        _log.info("Recording %s every %g s, %d levels, into %s", names, settings.cadence_sec, settings.depth, root)

    def _note_end(self, reason: str) -> None:
        self._summarise()  # first, while the books that the minute ended with are known
        for number, pipeline in self._lines.pipelines.items():
            self._intake.take(number, [*pipeline.close("our_restart", "the recorder stopped")])
        self._disk.put(Stopped(self._at(), reason))
        _log.info("Stopped (%s) after %d lines, %d gaps", reason, self._tally.lines, self._tally.gaps)

    def _new_pipeline(self, feed: int) -> Pipeline:
        settings = self._settings
        pipeline = Pipeline(
            settings.instruments,
            settings.cadence_ms,
            settings.depth,
            self._rng,
            feed,
            self._time,
            settings.record_unverifiable,
        )
        pipeline.counts = self._counts
        for inst_id in self._not_live:
            pipeline.set_live(inst_id, False)
        return pipeline

    def _set_live(self, inst_id: str, is_live: bool) -> None:
        self._not_live = self._not_live - {inst_id} if is_live else self._not_live | {inst_id}
        for pipeline in self._lines.pipelines.values():
            pipeline.set_live(inst_id, is_live)

    async def _deliver(self, number: int, outputs: list[LineOutput]) -> None:
        """Everything a line has to say, in order; waits while the disk is behind, which stops that line's reading."""
        self._take(number, outputs)
        await self._disk.room()

    def _take(self, number: int, outputs: Sequence[LineOutput]) -> None:
        wall_ms = self._clock.wall_ms()
        for output in outputs:
            if isinstance(output, Sampled):
                self._clock_check.note(output.until_ms, wall_ms)
        self._intake.take(number, [*outputs])
        self._auditor.take(number, outputs)

    def _pass_time(self) -> PassTime:
        """From what time ages count in a retention pass: this machine's clock alone never makes an hour older."""
        proved_ms = self._time.now_ms(self._clock.monotonic_ms())
        return PassTime(self._clock.wall_ms(), proved_ms, self._settings.trust_clock)

    def _resolve(self, inst_id: str, feeds: tuple[int, int], wrong: int | None, detail: str) -> None:
        """Two feeds differed: the one found wrong connects anew; where nothing decides, both resync."""
        if wrong is not None:
            self._lines.reconnect(wrong, f"its book of {inst_id} was found wrong: {detail}")
            return
        for number in feeds:
            if number in self._lines.pipelines:
                lost = self._lines.pipelines[number].doubt(inst_id, "conflict", detail, self._clock.monotonic_ms())
                self._take(number, lost)

    def _beat(self) -> None:
        self._disk.put(Alive(self._at()))

    def _summarise(self) -> None:
        slots = self._tally.minute(self._at(), self._lines.book_times())
        self._disk.put(slots)
        _log.info("Snapshot written: %s", self._tally.summary(slots, self._counts, self._disk.lines_lost))

    def _status(self) -> None:
        self._show_status(self._tally.status(self._clock.wall_ms(), len(self._lines.book_times()), self._counts))

    def _watch(self) -> None:
        """A host that slept, a clock that was set, a disk that takes nothing: each is told within seconds."""
        before, self._watched = self._watched, (self._clock.wall_ms(), self._clock.monotonic_ms())
        wall_ms, passed_ms = self._watched[0] - before[0], self._watched[1] - before[1]
        if abs(wall_ms - passed_ms) >= CLOCK_STEP_MS:
            seconds = (wall_ms - passed_ms) / 1000
            _log.warning("The clock stepped by %+.1f s: the host slept, or its clock was set", seconds)
            self._disk.put(ClockStepped(self._at(), seconds))
        if max(wall_ms, passed_ms) >= SLEPT_MS:  # some systems' monotonic clocks go on through a sleep
            self._lines.reconnect_all("the host slept")
        stalled_ms = self._disk.stalled_ms()
        if stalled_ms >= STALL_MS and not self._is_stall_told:
            _log.error("The disk has taken nothing for %d s; %d items wait", stalled_ms // 1000, self._disk.waiting)
        self._is_stall_told = stalled_ms >= STALL_MS

    async def _every(self, seconds: float, act: Callable[[], object]) -> None:
        while True:
            await self._clock.sleep(seconds)
            act()

    def _at(self) -> str:
        return utc_text(self._clock.wall_ms())


async def _crash_with(writing: asyncio.Task[None]) -> None:
    """Bring the end of the disk's task into the group that a crash ends; cancelling this leaves that task alone."""
    await asyncio.shield(writing)
