"""The recorder: wires the feeds to the vault and supervises what runs. Every rule it follows lives in a room below.

wire -> `recording.feeds` (session, chain, book, sampler each) -> `recording.router` -> `recording.disk` -> vault
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from random import Random
from typing import Final, NamedTuple

import msgspec

from l2vault.book.context import Context
from l2vault.book.deep import DeepKind, DeepSample
from l2vault.book.trade import TradePush
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.config import Settings, environment
from l2vault.errors import L2VaultError, VaultError
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.hosts import addresses
from l2vault.okx.pipeline import Counts, Pipeline
from l2vault.okx.rest import OkxRest
from l2vault.okx.websocket import FeedOutput
from l2vault.recording.beside import Beside, Surroundings
from l2vault.recording.counters import Counters
from l2vault.recording.disk import STALL_MS, Disk, Guard, Past
from l2vault.recording.feeds import Feeds
from l2vault.recording.handles import open_files, raise_limit
from l2vault.recording.health import HealthBoard
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.router import Asks, Router
from l2vault.recording.sleepwatch import SleepWatch
from l2vault.recording.slots import SlotLedger
from l2vault.recording.start_words import check_region, log_start
from l2vault.recording.supervisor import Chore, Supervisor
from l2vault.recording.tails import Tail
from l2vault.recording.tasks.auditor import Auditor
from l2vault.recording.tasks.clock import ClockCheck
from l2vault.recording.tasks.closed_hours import ClosedHours, can_make_columns
from l2vault.recording.tasks.deep_books import DeepBooks
from l2vault.recording.tasks.health import HealthFile, Sources
from l2vault.recording.tasks.memory import trim_regularly
from l2vault.recording.tasks.metadata import Metadata
from l2vault.recording.tasks.retention import Retention
from l2vault.recording.tasks.service import ServiceManager
from l2vault.recording.tasks.trade_filler import TradeFiller
from l2vault.vault.journal.events import (
    Alive,
    ClockStepped,
    Event,
    HostSlept,
    Minute,
    Recovered,
    SetAside,
    Started,
    Stopped,
    UncleanEnd,
)
from l2vault.vault.journal.log import Journal, Place, PreviousRun, previous_run, start_of_run
from l2vault.vault.journal.places import closed_hours
from l2vault.vault.retention.plan import policy_of
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.store.digest import RunningDigest, digest_of, hours_without_record
from l2vault.vault.store.layout import Kind, Layout
from l2vault.vault.store.lock import VaultLock
from l2vault.vault.store.newest import LastLine, last_line, last_line_of_hour
from l2vault.vault.store.recovery import Cut, future_lines, recover, set_aside
from l2vault.vault.store.writer import LineWriter

ALIVE_SEC: Final = 15.0
SUMMARY_SEC: Final = 60.0
STATUS_SEC: Final = 2.0
WATCH_SEC: Final = 1.0
REST_WITHIN_SEC: Final = 10.0
STALE_AFTER_MS: Final = 30_000
"""OKX closes a connection after 30 s without a word: after a longer sleep every socket is a stranger's."""

_RECORDED: Final[tuple[Kind, ...]] = ("books", "trades", "context")

_log = logging.getLogger(__name__)

ShowStatus = Callable[[Callable[[int], str]], None]
"""Gets a function that makes the status line for a number of columns."""


class Network(NamedTuple):
    """The two ways in which a recorder reaches OKX."""

    feeds: Feeds
    rest: OkxRest


def network_of(settings: Settings, clock: Clock, rng: Random) -> Network:
    """As the settings say where OKX is."""
    hosts = addresses(settings.region, settings.ws_url, settings.rest_url)
    return Network(Feeds(hosts.ws_urls, clock, rng), OkxRest(hosts.rest_url, REST_WITHIN_SEC, hosts.headers))


class Recorder:
    """Records `settings.instruments` into a vault it alone writes. One `run` a recorder.

    `network` is by default what the settings name.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Layout,
        clock: Clock,
        rng: Random,
        show_status: ShowStatus,
        network: Network | None = None,
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._clock = clock
        self._rng = rng
        self._show_status = show_status
        self._counters = Counters(settings.instruments, settings.trades)
        self._ledger = SlotLedger(settings.cadence_ms)
        self._counts = Counts()
        self._journal = Journal(layout, clock.monotonic_ms)
        self._lock = VaultLock(layout)
        self._previous: PreviousRun | None = None
        self._writer = LineWriter(layout, open_files(settings.feeds, raise_limit()))
        self._board = HealthBoard(settings.instruments, clock)
        self._time = ExchangeTime()
        self._feeds, self._rest = network or network_of(settings, clock, rng)
        self._pipelines = Pipelines(self._make_pipeline)
        self._supervisor = Supervisor(self._put, clock, rng)
        self._metadata = Metadata(layout, self._rest, clock, rng, self._put, self._pipelines.set_live)
        self._beside = Beside(settings, self._surroundings())
        guard = Guard(self._lock, self._started, self._on_replaced, settings.instruments)
        fsync_ms = round(settings.fsync_sec * 1000)
        self._disk = Disk(
            self._writer, self._journal, clock, fsync_ms, guard, (), self._beside.trades, self._beside.watch
        )
        self._auditor = Auditor(self._rest, clock, rng, self._pipelines.by_feed)
        self._clock_check = ClockCheck(self._rest, clock, rng, self._disk.put, self._time)
        self._filler = TradeFiller(self._rest, clock, self._beside.trades, self._disk.room)
        self._deep_books = self._sampling("deep", self._rest.full_book)
        self._rpi_books = self._sampling("rpi", self._rest.rpi_book)
        self._policy = policy_of(settings)
        self._retention = Retention(layout, self._policy, clock, self._pass_time, self._disk.close_files)
        pipelines, put = self._pipelines.by_feed, self._disk.put
        self._router = Router(pipelines, self._counters, clock, put, self._ledger, self._asks())
        self._sleep_watch = SleepWatch(round(WATCH_SEC * 1000), clock.wall_ms(), clock.elapsed_ms())
        self._is_stall_told = False

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            layout=self._layout,
            clock=self._clock,
            supervisor=self._supervisor,
            pipelines=self._pipelines,
            counters=self._counters,
            put=self._put,
            exchange_ms=self._exchange_ms,
            on_row=self._metadata.take_row,
            board=self._board,
        )

    def _sampling(self, kind: DeepKind, ask: Callable[[str, Callable[[], int]], DeepSample]) -> DeepBooks:
        return DeepBooks(ask, self._clock, partial(self._beside.keeper_of, kind), self._exchange_ms, self._disk.room)

    async def run(self, stop: asyncio.Event, reason: Callable[[], str] = lambda: "asked to stop") -> None:
        """Record until `stop` is set; `reason` then says why. Raises VaultError before anything starts if the vault
        cannot be had, and while it runs if it is another's by then."""
        self._lock.acquire(self._clock.wall_text(), self._journal.run)
        try:
            self._begin()
            await self._supervise(stop, reason)
        finally:
            if not self._disk.is_hanging:  # then the end of the process frees the lock
                self._lock.release()

    async def _supervise(self, stop: asyncio.Event, reason: Callable[[], str]) -> None:
        """The one place that catches everything: a task that dies takes the recorder with it, never in silence."""
        try:
            # Outside the group below: whatever cancels that, what has been put must still be written.
            writing = asyncio.create_task(self._disk.run())
            why = "interrupted"
            try:
                await self._record(stop, writing)
                why = reason()
            except Exception as error:
                why = "crashed" if _vault_error(error) is None else "the vault is another's"
                raise
            finally:
                self._note_end(why)
                await asyncio.wait([writing])
            writing.result()
        except Exception as error:
            given_up = _vault_error(error)
            if given_up is not None:
                raise given_up from error
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
        yield "audit", partial(self._auditor.run, inst_ids, self._router)
        if self._settings.trades:
            yield "trades", self._filler.run
        if self._settings.retention:
            yield "retention", self._retention.run
        makes_columns = self._settings.columns and can_make_columns()
        if self._settings.retention or makes_columns:
            yield "closed hours", ClosedHours(self._layout, self._clock, makes_columns).run
        if self._settings.changes:
            yield "changes", self._beside.hand_on_changes
        if self._settings.deep:
            yield "deep", partial(self._deep_books.run, self._settings.deep)
        if self._settings.rpi:
            yield "rpi", partial(self._rpi_books.run, self._settings.rpi)
        counted = self._board, self._pipelines, self._counts, self._counters
        trades, clock_check = self._beside.trades, self._clock_check
        sources = Sources(*counted, self._disk, trades, clock_check, self._time, lambda: self._journal.run)
        yield "health", HealthFile(self._settings, self._layout, self._clock, sources).run
        yield "service", ServiceManager(environment(), self._clock, sources).run
        yield "memory", partial(trim_regularly, self._clock)
        seldom = ("beat", ALIVE_SEC, self._beat), ("summary", SUMMARY_SEC, self._summarise)
        for name, seconds, act in (*seldom, ("status", STATUS_SEC, self._status), ("watch", WATCH_SEC, self._watch)):
            yield name, partial(self._every, seconds, act)

    async def _run_feeds(self) -> None:
        """After OKX's time is known, where it can be had soon: then exchange time is proved from the first message."""
        await self._clock_check.first_asked()
        await self._feeds.run(self._settings.feeds, self._pipelines, self._deliver)

    def _asks(self) -> Asks:
        return Asks(
            audits=self._auditor,
            note_age=self._clock_check.note,
            read_row=self._metadata.refresh_soon,
            renew_feed=self._feeds.reconnect,
            set_aside=self._set_aside,
            look_up=partial(_tail_of, self._layout),
            proved=self._beside.proved,
            beside=self._beside.take,
            time=self._time,
        )

    def _begin(self) -> None:
        try:
            self._recover()
        except OSError as error:
            cure = "make room on its disk, and let this user read and write everything in it"
            raise VaultError(f"the journal of {self._layout.root} cannot be used: {error}.", cure) from error

    def _recover(self) -> None:
        previous = self._previous = previous_run(self._layout)
        check_region(self._settings, self._layout, previous)
        recovered = {kind: recover(self._layout.of(kind)) for kind in _RECORDED}
        self._router.resume({inst_id: Tail(*line) for inst_id, line in recovered["books"].last.items()})
        self._resume_hours({kind: found.last for kind, found in recovered.items()})
        self._beside.resume()
        self._journal.append(self._started(previous))
        self._journal.keep_room()
        self._lock.watch_journal()
        if previous is not None and not previous.is_stopped:
            _log.warning("The last recorder of this vault did not stop cleanly; its last sign of life: %s", previous.at)
            self._journal.append(UncleanEnd(self._clock.wall_text(), previous.at))
        for kind, found in recovered.items():
            self._note_cuts(found.cuts, kind)
        self._beside.complete_files()
        log_start(self._settings, self._layout, self._policy)

    def _note_cuts(self, cuts: Iterable[Cut], kind: Kind) -> None:
        for cut in cuts:
            _log.warning("Recovered %s: %d torn bytes cut, kept in %s", cut.file, cut.cut_bytes, cut.kept_in)
            since = None if cut.since_ms is None else utc_text(cut.since_ms)
            place = cut.file, cut.offset, cut.cut_bytes, cut.kept_in, cut.inst_id, since
            self._journal.append(Recovered(self._clock.wall_text(), *place, kind))

    def _resume_hours(self, last: dict[Kind, dict[str, LastLine]]) -> None:
        """What the run before left without a closing record gets one while recording."""
        settings = self._settings
        going_on: dict[Kind, tuple[str, ...]] = {
            "books": settings.instruments,
            "trades": settings.instruments if settings.trades else (),
            "context": settings.instruments if settings.context else (),
            "changes": settings.instruments if settings.changes else (),
            "deep": settings.deep,
            "rpi": settings.rpi,
        }
        closed = closed_hours(self._layout)
        unclosed: list[tuple[Kind, str, int]] = []
        is_form_2 = self._previous is not None and self._previous.run is not None
        for kind, inst_ids in going_on.items():
            if kind in _RECORDED:  # the others have a writer of their own
                self._writer.resume({one: last[kind][one].ts_ms for one in inst_ids if one in last[kind]}, kind)
            if is_form_2:
                hours = hours_without_record(self._layout.of(kind), closed.of(kind), inst_ids)
                unclosed += [(kind, *hour) for hour in hours]
        self._disk.resume(Past(unclosed, self._digest, closed.newest_line))

    def _digest(self, kind: Kind, inst_id: str, hour_ms: int) -> RunningDigest:
        return digest_of(self._layout.of(kind).hour_file(inst_id, hour_ms))

    def _started(self, previous: PreviousRun | Place | None) -> Started:
        settings = self._settings
        place = None if previous is None or previous.run is None else Place(previous.run, previous.n)
        return msgspec.structs.replace(
            start_of_run(self._clock.wall_text(), "recorder", place),
            instruments=list(settings.instruments),
            cadence_ms=settings.cadence_ms,
            depth=settings.depth,
            feeds=settings.feeds,
            config_digest=settings.digest(),
            region=settings.region,
            trades=settings.trades,
            context=settings.context,
        )

    def _on_replaced(self) -> None:
        self._router.synced_again()
        self._metadata.refresh_all()
        self._beside.noted_again()

    def _put(self, item: TradePush | Context | Event | Chore) -> None:
        self._disk.put(item)

    def _set_aside(self, inst_id: str, limit_ms: int) -> Tail | None:
        """Lines from the future, against proved exchange time: moved out in the disk's thread, between two lines."""
        try:
            files = future_lines(self._layout, inst_id, limit_ms)
            last = last_line(self._layout, inst_id, limit_ms)
        except (OSError, VaultError) as error:
            _log.error("Lines of %s lie in the future, and cannot be looked at: %s", inst_id, error)
            return None
        if len(files) > 1 or any(not file.lines for file in files):
            names = ", ".join(file.path.name for file in files)
            words = (
                "Lines of %s lie later than exchange time in more than one file (%s). They stay where they are, and "
            )
            _log.error(words + "each new line goes into the file of its own hour; move those files out", inst_id, names)
            return None
        self._disk.put(lambda: self._set_aside_now(inst_id, limit_ms))
        return Tail() if last is None else Tail(*last)

    def _set_aside_now(self, inst_id: str, limit_ms: int) -> list[Event]:
        self._writer.close_instrument(inst_id)
        moved = set_aside(self._layout, inst_id, limit_ms)
        if moved is None:
            return []
        bounds = utc_text(moved.from_ms), utc_text(moved.to_ms)
        words = "Set aside %d lines of %s, %s to %s: later than exchange time, kept in %s"
        _log.warning(words, moved.lines, inst_id, *bounds, moved.kept_in)
        return [SetAside(self._clock.wall_text(), inst_id, moved.file, moved.lines, *bounds, moved.kept_in)]

    def _note_end(self, reason: str) -> None:
        self._summarise()  # first, while the books that the minute ended with are known
        for number, pipeline in self._pipelines.by_feed.items():
            self._router.take(number, pipeline.close("our_restart", "the recorder stopped"))
        self._router.close()
        self._beside.close()
        self._put_minute()  # what waited for another feed was written just now
        self._beside.finish()
        self._disk.finish(Stopped(self._clock.wall_text(), reason))
        _log.info("Stopped (%s) after %d lines, %d gaps", reason, self._counters.lines, self._counters.gaps)

    def _make_pipeline(self, feed: int) -> Pipeline:
        settings = self._settings
        return Pipeline(
            settings.instruments,
            settings.cadence_ms,
            settings.depth,
            self._rng,
            feed,
            self._time,
            settings.record_unverifiable,
            self._counts,
            settings.trades,
            settings.changes,
        )

    async def _deliver(self, number: int, outputs: list[FeedOutput]) -> None:
        """Everything a feed has to say, in order; waits while the disk is behind, which stops that feed's reading."""
        self._router.take(number, outputs)
        await self._disk.room()

    def _exchange_ms(self) -> int | None:
        """Proved exchange time of now."""
        return self._time.now_ms(self._clock.monotonic_ms())

    def _pass_time(self) -> PassTime:
        """From what time ages count in a retention pass: this machine's clock alone never makes an hour older."""
        return PassTime(self._clock.wall_ms(), self._exchange_ms(), self._settings.trust_clock)

    def _beat(self) -> None:
        exchange_ms = self._exchange_ms()
        self._disk.put(Alive(self._clock.wall_text(), None if exchange_ms is None else utc_text(exchange_ms)))

    def _put_minute(self) -> bool:
        """What the feeds brought since the last time, if anything; the disk adds what it took."""
        instruments = self._ledger.take_minute({})
        if instruments:
            self._disk.put(Minute(self._clock.wall_text(), instruments))
        return bool(instruments)

    def _summarise(self) -> None:
        book_times = self._pipelines.book_times()
        counts = self._counters.take_minute(self._counts)
        self._disk.put(Minute(self._clock.wall_text(), self._ledger.take_minute(book_times), *counts.compared))
        self._beside.note_latency(self._clock_check.offset)
        summary = self._counters.summary(counts, len(book_times), self._counts, self._disk.lines_lost)
        beside = self._beside.summary()
        _log.info("Snapshot written: %s%s", summary, beside and f"; {beside}")

    def _status(self) -> None:
        wall_ms, in_sync = self._clock.wall_ms(), len(self._pipelines.book_times())
        self._show_status(lambda width: self._counters.status(wall_ms, in_sync, self._counts, width))

    def _watch(self) -> None:
        """A host that slept, a clock that was set, a disk that takes nothing: each is told within seconds."""
        woken = self._sleep_watch.look(self._clock.wall_ms(), self._clock.elapsed_ms())
        if woken.stepped_ms:
            seconds = woken.stepped_ms / 1000
            _log.warning("The clock stepped by %+.1f s: it was set. Nothing that is recorded depends on it", seconds)
            self._disk.put(ClockStepped(self._clock.wall_text(), seconds))
        if woken.slept_ms:
            _log.warning("Nothing ran for %.1f s: the host slept, or this process was stopped", woken.slept_ms / 1000)
            self._disk.put(HostSlept(self._clock.wall_text(), woken.slept_ms / 1000))
        if woken.slept_ms > STALE_AFTER_MS:
            self._feeds.reconnect_all("the host slept")
        self._router.tick()
        self._beside.tick()
        stalled_ms = self._disk.stalled_ms()
        if stalled_ms >= STALL_MS and not self._is_stall_told:
            _log.error("The disk has taken nothing for %d s; %d items wait", stalled_ms // 1000, self._disk.waiting)
        self._is_stall_told = stalled_ms >= STALL_MS

    async def _every(self, seconds: float, act: Callable[[], object]) -> None:
        while True:
            await self._clock.sleep(seconds)
            act()


def _tail_of(layout: Layout, inst_id: str, hour_ms: int) -> Tail:
    return Tail(*last_line_of_hour(layout, inst_id, hour_ms))


async def _crash_with(writing: asyncio.Task[None]) -> None:
    """Bring the end of the disk's task into the group that a crash ends; cancelling this leaves that task alone."""
    await asyncio.shield(writing)


def _vault_error(error: BaseException) -> VaultError | None:
    """The vault's own trouble among what ended the tasks: it has a sentence and a cure, and is no crash."""
    if isinstance(error, VaultError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((found for each in inner if (found := _vault_error(each)) is not None), None)
