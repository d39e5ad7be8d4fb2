"""Writes `meta/okx/health.json` every 5 s, in a thread of its own: whatever the disk answers, nothing waits for it."""

import logging
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.okx.exchange_time import ExchangeTime
from l2vault.okx.outputs import Counts
from l2vault.recording.counters import Counters
from l2vault.recording.disk import Disk
from l2vault.recording.health import HealthBoard
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.tasks.clock import ClockCheck
from l2vault.recording.threads import in_daemon_thread
from l2vault.recording.trades import TradeIntake
from l2vault.vault.health import form
from l2vault.vault.retention.forecast import Recording, forecast, measure
from l2vault.vault.retention.plan import policy_of
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import KINDS, Layout
from l2vault.vault.store.pushed import unpushed_hours
from l2vault.version import __version__

EVERY_SEC: Final = 5.0
LIST_EVERY_MS: Final = 60_000
LIST_SHARE: Final = 300
"""Between two listings of the vault for the forecast of the disk a minute passes, and 300 times as long as the last one
took: of a vault of 100,000 files that is seconds."""

_STALLED_FROM_MS: Final = 1_000
"""What a batch takes less is the disk at work, and no stall."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom the file is asked of, by name. None of them waits."""

    board: HealthBoard
    pipelines: Pipelines
    counts: Counts
    counters: Counters
    disk: Disk
    trades: TradeIntake
    clock_check: ClockCheck
    time: ExchangeTime
    run: Callable[[], str]
    """The journal's run."""


class HealthFile:
    """`run` until cancelled."""

    def __init__(self, settings: Settings, layout: Layout, clock: Clock, sources: Sources) -> None:
        self._settings = settings
        self._layout = layout
        self._clock = clock
        self._of = sources
        self._policy = policy_of(settings) if settings.retention else None
        recorded = ("trades", settings.trades), ("context", settings.context), ("changes", settings.changes)
        self._kinds = frozenset(kind for kind, is_recorded in recorded if is_recorded)
        self._recording = Recording(0, None)
        self._list_after_ms: int | None = None
        self._lost_before = 0
        self._lost_at: str | None = None
        self._is_refused = False

    async def run(self) -> None:
        while True:
            await in_daemon_thread(self._write, self.health())
            await self._clock.sleep(EVERY_SEC)

    def health(self) -> form.Health:
        """How the recorder is now, but for the disk, which only a thread may ask."""
        settings, board = self._settings, self._of.board
        books = self._of.pipelines.book_times()
        now_ms = self._of.time.now_ms(self._clock.monotonic_ms())
        missing = self._of.trades.missing_by_instrument()
        instruments = board.instruments(
            books, self._clock.wall_ms() if now_ms is None else now_ms, missing, self._kinds
        )
        offset = self._of.clock_check.offset
        return form.Health(
            form=form.FORM,
            written=self._clock.wall_text(),
            run=self._of.run(),
            pid=os.getpid(),
            host=platform.node(),
            version=__version__,
            python=platform.python_version(),
            platform=platform.platform(),
            started=board.started,
            cadence_sec=settings.cadence_sec,
            feeds_wanted=settings.feeds,
            feeds=board.feeds({number: one.heard_ms for number, one in self._of.pipelines.by_feed.items()}),
            instruments=instruments,
            queue=self._queue(),
            disk=form.DiskHealth(None, None, None, None, None),
            clock=form.ClockHealth(*(offset or (None, None))),
            losses=list(board.losses),
            tasks=board.tasks(),
            counts=self._counts(instruments),
        )

    def _queue(self) -> form.QueueHealth:
        disk = self._of.disk
        if disk.lines_lost != self._lost_before:
            self._lost_before, self._lost_at = disk.lines_lost, self._clock.wall_text()
        stalled_ms = disk.stalled_ms()
        stalled_sec = stalled_ms / 1000 if stalled_ms >= _STALLED_FROM_MS else 0.0
        return form.QueueHealth(disk.waiting, stalled_sec, disk.lines_lost, self._lost_at)

    def _counts(self, instruments: list[form.InstrumentHealth]) -> form.CountsHealth:
        counts, board = self._of.counts, self._of.board
        return form.CountsHealth(
            messages=counts.messages,
            trade_messages=counts.trades,
            context_messages=counts.context,
            unreadable=self._of.counters.unreadable,
            lines=sum(one.lines for one in instruments),
            trade_lines=sum(one.trades.lines for one in instruments if one.trades is not None),
            context_lines=sum(one.context.lines for one in instruments if one.context is not None),
            gaps=board.gaps,
            losses=dict(board.causes),
            compared=dict(board.compared),
            audits=dict(board.audits),
            audited_at=board.audited_at,
        )

    def _write(self, health: form.Health) -> None:
        """In a thread. A refusal is logged once, until the disk takes the file again."""
        try:
            form.write_health(self._layout, msgspec.structs.replace(health, disk=self._disk()))
        except OSError as error:
            if not self._is_refused:
                _log.error("Cannot write %s: %s. Recording goes on", self._layout.health_file, error)
            self._is_refused = True
        else:
            self._is_refused = False

    def _disk(self) -> form.DiskHealth:
        free_bytes = shutil.disk_usage(self._layout.root).free
        began_ms = self._clock.monotonic_ms()
        if self._list_after_ms is None or began_ms >= self._list_after_ms:
            files = [each for kind in KINDS for each in Catalog(self._layout.of(kind)).files()]
            url = "" if self._policy is None else self._policy.keep_until_pushed
            unpushed = unpushed_hours(self._layout, url, files)
            self._recording = measure(files, Catalog(self._layout.columns).archives(), self._policy, unpushed)
            now_ms = self._clock.monotonic_ms()
            self._list_after_ms = now_ms + max(LIST_EVERY_MS, LIST_SHARE * (now_ms - began_ms))
        return form.DiskHealth(free_bytes, *forecast(self._recording, self._policy, free_bytes))
