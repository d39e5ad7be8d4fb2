"""The owner's retention, carried out: finds what there is, has `plan` decide, does it, and notes each step.

One pass at a time in a vault. Killed at any moment, a pass leaves every line readable in one form, or its file deleted
and noted; the next pass finishes. An error on one file never stops the others.
"""

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from l2vault.book.utc import utc_text
from l2vault.errors import L2VaultError, VaultError
from l2vault.vault.census import Held, scan
from l2vault.vault.compress import compress
from l2vault.vault.files import analysis_extra
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal
from l2vault.vault.layout import HOUR_MS, HourFile, Layout
from l2vault.vault.removal import remove
from l2vault.vault.retention.plan import Action, Policy, Room, is_fresh, select
from l2vault.vault.retention.tidy import clean, prune
from l2vault.vault.stream import read_chunks

__all__ = ["Done", "Failure", "Policy", "RetentionReport", "enforce", "run_retention", "select"]

Progress = Callable[[int, int, str], None]
"""Told before each step: steps done, steps in all, the file whose turn it is. May raise to end the pass there."""

_log = logging.getLogger(__name__)


class Done(NamedTuple):
    action: Action
    bytes_before: int
    bytes_after: int


class Failure(NamedTuple):
    file: str
    text: str


@dataclass(slots=True)
class RetentionReport:
    """What a pass planned and did.

    `spared` was planned for want of room and not needed. `waiting` was let alone, though its hour has ended, because
    it was just written to. `shortage` is what room is still lacking, in words. `is_busy`: another pass was at work, so
    this one did nothing.
    """

    planned: list[Action] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    spared: list[Action] = field(default_factory=list)
    waiting: list[Held] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    shortage: str = ""
    is_busy: bool = False

    @property
    def freed_bytes(self) -> int:
        """What archiving made small is freed only by the deletion after it."""
        before = sum(each.bytes_before for each in self.done if each.action.kind != "archive")
        return before - sum(each.bytes_after for each in self.done)


def run_retention(
    layout: Layout,
    policy: Policy,
    now_ms: int,
    progress: Progress | None = None,
    dry_run: bool = False,
    free_bytes: Callable[[], int] | None = None,
) -> RetentionReport:
    """One pass; `now_ms` is wall time. Blocks for seconds per hour file, so call it in a thread of its own.

    A dry run plans the same and touches nothing. Failures of single files are in the report, not raised.
    """
    if not layout.root.is_dir():
        raise VaultError(f"no vault at {layout.root}.", "--vault with the folder the recorder writes to")
    free_bytes = free_bytes or (lambda: shutil.disk_usage(layout.root).free)
    if dry_run:
        files = scan(layout)
        return RetentionReport(select(policy, files, now_ms, free_bytes()), waiting=_waiting(files, now_ms))
    layout.retention_lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(layout.retention_lock, timeout=0):
            return _run_locked(layout, policy, now_ms, progress, free_bytes)
    except Timeout:
        _log.info("Retention: another pass is at work in %s, nothing done", layout.root)
        return RetentionReport(is_busy=True)


def enforce(
    layout: Layout,
    actions: Iterable[Action],
    now_ms: int,
    room: Room,
    free_bytes: Callable[[], int],
    progress: Progress | None = None,
) -> RetentionReport:
    """Carry out a plan in its order. `room` is kept up to date; the caller holds the lock of retention."""
    plan = list(actions)
    work = _Pass(layout, now_ms, room, free_bytes, RetentionReport(plan))
    for number, action in enumerate(plan):
        if progress is not None:
            progress(number, len(plan), work.name(action.held.path))
        work.step(action)
    return work.report


def _run_locked(
    layout: Layout, policy: Policy, now_ms: int, progress: Progress | None, free_bytes: Callable[[], int]
) -> RetentionReport:
    failures = [
        Failure(path.relative_to(layout.root).as_posix(), f"left by a killed pass, cannot be removed: {error}")
        for path, error in clean(layout, now_ms)
    ]
    files = scan(layout)
    room = Room(policy, sum(each.size_bytes for each in files if each.form != "archive"), free_bytes())
    report = enforce(layout, select(policy, files, now_ms, room.free_bytes), now_ms, room, free_bytes, progress)
    report.failures = failures + report.failures
    report.waiting = _waiting(files, now_ms)
    prune(layout, now_ms)
    room.free_bytes = free_bytes()
    report.shortage = room.shortage if room.is_short else ""
    if report.done:
        _log.info("Retention: %d steps done, %d bytes freed", len(report.done), report.freed_bytes)
    if report.shortage:
        _log.warning("Retention: room is still lacking, %s", report.shortage)
    return report


def _waiting(files: list[Held], now_ms: int) -> list[Held]:
    return [held for held in files if held.hour_ms + HOUR_MS <= now_ms and is_fresh(held, now_ms)]


class _Pass:
    """One plan being carried out."""

    def __init__(
        self, layout: Layout, now_ms: int, room: Room, free_bytes: Callable[[], int], report: RetentionReport
    ) -> None:
        self._layout = layout
        self._now_ms = now_ms
        self._room = room
        self._free_bytes = free_bytes
        self.report = report
        self._archived: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()

    def name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()

    def step(self, action: Action) -> None:
        """Do one action, or note why not."""
        hour = action.held.inst_id, action.held.hour_ms
        if action.once_archived and hour not in self._archived:
            return
        reason = action.reason
        if action.only_if_short:
            self._room.free_bytes = self._free_bytes()
            if not self._room.is_short:
                self.report.spared.append(action)
                return
            reason = f"{reason}: {self._room.shortage}"
            _log.warning("Retention: %s %s %s", action.kind, self.name(action.held.path), reason)
        try:
            self._act(action, reason, hour)
        except FileNotFoundError as error:
            if action.held.path.exists():
                self._fail(action, error, hour)
        except (OSError, L2VaultError, ValueError) as error:  # pyarrow's own are OSErrors and ValueErrors
            self._fail(action, error, hour)

    def _act(self, action: Action, reason: str, hour: tuple[str, int]) -> None:
        held = action.held
        if action.kind == "compress":
            result = compress(held.path)
            self._room.raw_bytes -= result.bytes_before - result.bytes_after
            self._note(action, reason, result.bytes_before, result.bytes_after)
        elif action.kind == "archive":
            if hour in self._failed:
                raise VaultError("its two forms could not be made one, so it is not archived.", "l2vault verify")
            raw_bytes = held.path.stat().st_size
            archive_bytes = _archive(self._layout, held)
            self._archived.add(hour)
            self._note(action, reason, raw_bytes, archive_bytes)
        else:
            self._delete(action, reason)

    def _delete(self, action: Action, reason: str) -> None:
        """An archive ceases to be one with its snapshots; its levels follow."""
        path = action.held.path
        size_bytes = path.stat().st_size
        if action.held.form == "archive":
            levels = self._layout.archived_hour(action.held.inst_id, action.held.hour_ms).levels
            size_bytes += levels.stat().st_size if levels.exists() else 0
            remove(path, partial(self._note, action, reason, size_bytes, 0))
            levels.unlink(missing_ok=True)
            return
        try:
            remove(path, partial(self._note, action, reason, size_bytes, 0))
        finally:
            if not path.exists():
                self._room.raw_bytes -= size_bytes

    def _note(self, action: Action, reason: str, bytes_before: int, bytes_after: int) -> None:
        file = self.name(action.held.path)
        event = Retained(utc_text(self._now_ms), action.kind, file, reason, bytes_before, bytes_after)
        Journal(self._layout).append(event)
        self.report.done.append(Done(action, bytes_before, bytes_after))
        _log.debug("Retention: %s %s, %s", action.kind, file, reason)

    def _fail(self, action: Action, error: Exception, hour: tuple[str, int]) -> None:
        self._failed.add(hour)
        failure = Failure(self.name(action.held.path), f"{action.kind} failed: {error}")
        self.report.failures.append(failure)
        _log.warning("Retention: %s: %s; the next pass tries again", failure.file, failure.text)


def _archive(layout: Layout, held: Held) -> int:
    """Have the archive built and checked; returns its size. An hour without a byte has nothing to archive."""
    if not any(read_chunks(held.path)):
        return 0
    with analysis_extra():
        from l2vault.vault.archive import archive_hour
    return archive_hour(layout, HourFile(held.inst_id, held.hour_ms, held.form == "gzip", held.path))
