"""The owner's retention, carried out: finds what there is, has `plan` decide, does it, and notes each step.

One pass at a time in a vault. Killed at any moment, a pass leaves every line readable in one form, or its file deleted
and noted; the next pass finishes. An error on one file never stops the others. What is deleted rests on proved time
(`proved_time`) and is bounded (`pace`); the hour that a recorder is writing is never touched.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from filelock import FileLock, Timeout

from l2vault.book.utc import utc_text
from l2vault.errors import L2VaultError, VaultError
from l2vault.vault.journal.events import Retained, RetentionHeld
from l2vault.vault.journal.log import Journal
from l2vault.vault.retention import day_files, pace
from l2vault.vault.retention.archives import Archives
from l2vault.vault.retention.cleanup import clean, prune
from l2vault.vault.retention.compress import compress
from l2vault.vault.retention.day_files import DayStep
from l2vault.vault.retention.pace import Allowance
from l2vault.vault.retention.plan import ROOM_ORDER, Action, Clocks, Policy, Room, due_by_age, is_fresh, select
from l2vault.vault.retention.proved_time import PassTime, Proved, newest_line, prove
from l2vault.vault.store.catalog import Catalog, StoredHour
from l2vault.vault.store.digest import file_digest
from l2vault.vault.store.durable import is_no_room, remove, unlink
from l2vault.vault.store.layout import Kind, Layout, levels_beside
from l2vault.vault.store.lock import open_hours
from l2vault.vault.store.pushed import unpushed_hours
from l2vault.vault.store.root import open_layout

Progress = Callable[[int, int, str], None]
"""Called before each step: steps done, steps in all, the file whose turn it is. May raise to end the pass there."""

AGAIN_SEC: Final = pace.ROOM_EVERY_MS // 1000
BUSY_AGAIN_SEC: Final = 60
"""Where another held the lock: whoever checks hours for coverage holds it for half a minute at most."""

RETAINED: Final = ROOM_ORDER
"""Kinds that the policy is carried out on."""

_log = logging.getLogger(__name__)


class Done(NamedTuple):
    action: Action
    bytes_before: int
    bytes_after: int


class Failure(NamedTuple):
    file: str
    text: str


class HeldBack(NamedTuple):
    """Deletions that the policy asks for and that this pass left undone, why, and when to use which command."""

    actions: list[Action]
    reason: str
    command: str
    when: str = "to delete them at once"

    @property
    def hours(self) -> int:
        return len({action.kind_hour for action in self.actions})

    @property
    def size_bytes(self) -> int:
        return sum({action.held.path: action.held.size_bytes for action in self.actions}.values())


@dataclass(slots=True)
class RetentionReport:
    """What a pass planned and did.

    `not_needed` was planned for want of room that was there when its turn came. `too_fresh` is due, but its file was
    just written to; `open` is due, but a recorder is writing it. `waiting` is more than a pass may delete; `held_back`
    says that, and what no proved time makes due, in words. `shortage` is what room is still lacking, in words.
    `days` is what was done, or in a dry run would be, with files of a day. `is_busy`: another pass was at work, so this
    one did nothing. `proved` is the time that ages were counted from.
    """

    planned: list[Action] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    not_needed: list[Action] = field(default_factory=list)
    too_fresh: list[StoredHour] = field(default_factory=list)
    open: list[StoredHour] = field(default_factory=list)
    waiting: list[Action] = field(default_factory=list)
    held_back: list[HeldBack] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    days: list[DayStep] = field(default_factory=list)
    shortage: str = ""
    is_busy: bool = False
    proved: Proved | None = None

    @property
    def freed_bytes(self) -> int:
        """What archiving made small is freed only by the deletion after it."""
        before = sum(each.bytes_before for each in self.done if each.action.kind != "archive")
        return before - sum(each.bytes_after for each in self.done)

    @property
    def again_sec(self) -> int | None:
        """After how many seconds a further pass can do more; None where the usual time will do."""
        if self.is_busy:
            return BUSY_AGAIN_SEC
        return AGAIN_SEC if any(action.only_if_short for action in self.waiting) else None


@dataclass(frozen=True, slots=True)
class Options:
    """How a pass is made. `at_once` deletes everything that is due, however much it is."""

    dry_run: bool = False
    at_once: bool = False
    free_bytes: Callable[[], int] | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a plan that is carried out; `room` is kept up to date. `executor` makes archives, some at a time."""

    room: Room
    free_bytes: Callable[[], int]
    allowance: Allowance
    executor: Executor | None = None


def run_retention(
    layout: Layout, policy: Policy, time: PassTime, journal: Journal, options: Options | None = None
) -> RetentionReport:
    """One pass. Blocks for seconds per hour file, so call it in a thread of its own.

    A dry run plans the same and touches nothing. Failures of single files are in the report, not raised. Raises
    VaultError where there is no vault or its lock of retention cannot be used.
    """
    options = options or Options()
    open_layout(layout.root)
    if options.dry_run:
        return _Decision(layout, policy, time, options).dry()
    try:
        with locked(layout):
            return _run_locked(layout, policy, time, journal, options)
    except Timeout:
        _log.info("Retention: another pass is at work in %s, nothing done", layout.root)
        return RetentionReport(is_busy=True)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the lock of retention. Raises filelock's Timeout where another process holds it, VaultError where nobody
    can be asked, as for a lock file of another user."""
    lock = FileLock(layout.retention_lock)
    try:
        layout.retention_lock.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks, older filelock
        is_full = isinstance(error, OSError) and is_no_room(error)
        cure = "run this as the user who owns that file, or let this user write to it"
        cure = "make room, then the same again" if is_full else cure
        raise VaultError(f"the lock of retention cannot be used: {error}.", cure) from error
    try:
        yield
    finally:
        lock.release()


def enforce(
    layout: Layout,
    actions: Iterable[Action],
    journal: Journal,
    wall_ms: int,
    limits: Limits,
    progress: Progress | None = None,
) -> RetentionReport:
    """Carry out a plan in its order; the caller holds the lock of retention."""
    plan = list(actions)
    work = _Pass(layout, journal, wall_ms, limits, RetentionReport(plan))
    for number, action in enumerate(plan):
        if progress is not None:
            progress(number, len(plan), work.name(action.held.path))
        work.step(action)
    return work.report


class _Decision:
    """What is to be done, and what the pass before leaves of it."""

    def __init__(self, layout: Layout, policy: Policy, time: PassTime, options: Options) -> None:
        self.layout = layout
        self.policy = policy
        self.time = time
        self.options = options
        self.free_bytes = options.free_bytes or (lambda: shutil.disk_usage(layout.root).free)
        self.files = [held for kind in RETAINED for held in Catalog(layout.of(kind)).files()]
        self.open_hours = open_hours(layout)
        self.kept = unpushed_hours(layout, policy.keep_until_pushed, self.files)
        self.proved = self._prove()
        self.clocks = Clocks(self.proved.now_ms, time.wall_ms)
        self.before = pace.read_record(layout)
        self.most = pace.hours_allowed(self.proved, time.wall_ms, self.before)
        raw_bytes = sum(each.size_bytes for each in self.files if each.form != "archive")
        self.room = Room(policy, raw_bytes, self.free_bytes())
        self.plan = select(policy, self.files, self.clocks, self.room.free_bytes, self.open_hours, self.kept)

    @property
    def makes_room(self) -> bool:
        """Whether hours may be deleted for want of room in this pass."""
        is_asked = any(action.is_irreversible and action.only_if_short for action in self.plan)
        return is_asked and (self.options.at_once or pace.may_make_room(self.time.wall_ms, self.before))

    def allowance(self, most: int) -> Allowance:
        return Allowance(None if self.options.at_once else most, self.makes_room)

    def dry(self) -> RetentionReport:
        report, allowance = RetentionReport(proved=self.proved), self.allowance(self.most)
        for action in self.plan:
            if allowance.allows(action):
                allowance.count(action)
                report.planned.append(action)
            else:
                report.waiting.append(action)
        self.complete(report)
        report.days = day_files.due(self.layout, self.policy, self.clocks, self.options.at_once)
        return report

    def complete(self, report: RetentionReport) -> None:
        """Add what was left undone, and why."""
        report.proved = self.proved
        report.held_back = [*self._paced(report.waiting), *self._unproved(), *self._unpushed()]
        due = {action.kind_hour for action in self._due(Clocks(self.clocks.proved_ms, 0), ())}
        for held in self.files:
            if held.kind_key in due and held.key in self.open_hours:
                report.open.append(held)
            elif held.kind_key in due and is_fresh(held, self.time.wall_ms):
                report.too_fresh.append(held)

    def _prove(self) -> Proved:
        """OKX's clock is asked only where its answer would make something due that no line proves to be."""
        time = self.time
        newest_ms = None if time.exchange_ms is not None else newest_line(self.files)
        proved = prove(time, newest_ms)
        is_open = time.exchange_ms is None and not time.trust_clock and time.ask_server is not None
        if is_open and proved.now_ms < time.wall_ms:
            clocks = Clocks(proved.now_ms, time.wall_ms)
            if self._due(clocks._replace(proved_ms=time.wall_ms)) != self._due(clocks):
                proved = prove(time, newest_ms, time.ask_server() if time.ask_server else None)
        return proved

    def _due(self, clocks: Clocks, opened: Iterable[tuple[str, int]] | None = None) -> list[Action]:
        return due_by_age(
            self.policy, self.files, clocks, set(self.open_hours if opened is None else opened), self.kept
        )

    def _paced(self, waiting: list[Action]) -> Iterator[HeldBack]:
        command = self._command("--yes", *(["--trust-clock"] if self.proved.source == "trusted clock" else []))
        early = [action for action in waiting if action.only_if_short]
        aged = [action for action in waiting if not action.only_if_short]
        if aged:
            reason = f"a pass deletes at most {self.most} hours of an instrument"
            yield HeldBack(aged, f"{reason}; ages count from {self._time_text()}", command)
        if early:
            minutes = pace.ROOM_EVERY_MS // 60_000
            reason = f"for want of room at most {pace.LEAST_HOURS} hours of an instrument go in {minutes} minutes"
            yield HeldBack(early, reason, command)

    def _unproved(self) -> Iterator[HeldBack]:
        """What this machine's clock alone would have deleted."""
        if self.proved.source not in ("clock and newest line", "") or self.time.wall_ms <= self.proved.now_ms:
            return
        proved = {action.kind_hour for action in self._due(self.clocks) if action.kind != "compress"}
        by_wall = self._due(self.clocks._replace(proved_ms=self.time.wall_ms))
        actions = [action for action in by_wall if action.kind != "compress" and action.kind_hour not in proved]
        if actions:
            wall = utc_text(self.time.wall_ms)
            reason = f"due by this machine's clock alone ({wall}), not by proved time: {self._time_text()}"
            yield HeldBack(actions, reason, self._command("--trust-clock"), "only if this machine's clock is right")

    def _unpushed(self) -> Iterator[HeldBack]:
        """What waits for a push alone."""
        every = due_by_age(self.policy, self.files, self.clocks, set(self.open_hours)) if self.kept else []
        if actions := [each for each in every if each.is_irreversible and each.kind_hour in self.kept]:
            command = f"l2vault push --vault {_quoted(str(self.layout.root))}"
            reason = f"not pushed to {self.policy.keep_until_pushed}, and keep_until_pushed is set"
            yield HeldBack(actions, reason, command, "to push them, so that the next pass deletes them")

    def _time_text(self) -> str:
        proved = self.proved
        return f"{utc_text(proved.now_ms)} ({proved.basis})" if proved.source else proved.basis

    def _command(self, *flags: str) -> str:
        return " ".join(["l2vault retain --vault", _quoted(str(self.layout.root)), *self.policy.flags, *flags])


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def _run_locked(layout: Layout, policy: Policy, time: PassTime, journal: Journal, options: Options) -> RetentionReport:
    failures = [
        Failure(path.relative_to(layout.root).as_posix(), f"left by a killed pass, cannot be removed: {error}")
        for kind in RETAINED
        for path, error in clean(layout.of(kind), journal, time.wall_ms)
    ]
    decision = _Decision(layout, policy, time, options)
    record, most = _begin(decision)
    limits = Limits(decision.room, decision.free_bytes, decision.allowance(most))
    report = enforce(layout, decision.plan, journal, time.wall_ms, limits, options.progress)
    report.failures = failures + report.failures
    decision.complete(report)
    for kind in RETAINED:
        prune(layout.of(kind), decision.clocks)
    steps = day_files.due(layout, policy, decision.clocks, options.at_once)
    report.days = day_files.carry_out(layout, steps, journal, time.wall_ms)
    report.failures += [Failure(step.file, f"{step.action} failed: {step.error}") for step in report.days if step.error]
    limits.room.free_bytes = limits.free_bytes()
    report.shortage = limits.room.shortage if limits.room.is_short else ""
    _say(report)
    if report.held_back and pace.may_report(time.wall_ms, decision.before):
        _report_held_back(layout, report, journal, record, time.wall_ms)
    return report


def _begin(decision: _Decision) -> tuple[pace.PassRecord, int]:
    """Note the pass before it deletes anything. A disk that takes no note must be given room all the same."""
    wall_ms = decision.time.wall_ms
    record = pace.new_record(decision.proved, wall_ms, decision.before)
    if decision.makes_room:
        record = msgspec.structs.replace(record, room=utc_text(wall_ms))
    try:
        pace.write_record(decision.layout, record)
    except OSError as error:
        _log.warning("Retention: %s cannot be written: %s", pace.record_path(decision.layout), error)
        return record, pace.LEAST_HOURS
    return record, decision.most


def _say(report: RetentionReport) -> None:
    if report.done:
        _log.info("Retention: %d steps done, %d bytes freed", len(report.done), report.freed_bytes)
    if report.shortage:
        _log.warning("Retention: room is still lacking, %s", report.shortage)


def _report_held_back(
    layout: Layout, report: RetentionReport, journal: Journal, record: pace.PassRecord, wall_ms: int
) -> None:
    at = utc_text(wall_ms)
    for each in report.held_back:
        _log.warning(
            "Retention: %d hours, %d bytes, wait: %s; %s: %s",
            each.hours,
            each.size_bytes,
            each.reason,
            each.when,
            each.command,
        )
    try:
        for each in report.held_back:
            journal.append(RetentionHeld(at, each.hours, each.size_bytes, each.reason, each.command))
        pace.write_record(layout, msgspec.structs.replace(record, reported=at))
    except OSError as error:
        _log.warning("Retention: what waits cannot be noted: %s", error)


class _Pass:
    """One plan being carried out."""

    def __init__(self, layout: Layout, journal: Journal, wall_ms: int, limits: Limits, report: RetentionReport) -> None:
        self._archives = Archives(layout, report.planned, limits.executor)
        self._layout = layout
        self._journal = journal
        self._wall_ms = wall_ms
        self._room = limits.room
        self._free_bytes = limits.free_bytes
        self._allowance = limits.allowance
        self.report = report
        self._archived: set[tuple[Kind, str, int]] = set()
        self._failed: set[tuple[Kind, str, int]] = set()

    def name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()

    def step(self, action: Action) -> None:
        """Do one action, or note why not."""
        hour = action.kind_hour
        if action.once_archived and hour not in self._archived:
            return
        reason = action.reason
        if action.only_if_short:
            self._room.free_bytes = self._free_bytes()
            if not self._room.is_short:
                self.report.not_needed.append(action)
                return
            reason = f"{reason}: {self._room.shortage}"
        if not self._allowance.allows(action):
            self.report.waiting.append(action)
            return
        if action.held.key in open_hours(self._layout):  # opened since the plan was made, as for a late line
            self.report.open.append(action.held)
            return
        if action.only_if_short:
            _log.warning("Retention: %s %s %s", action.kind, self.name(action.held.path), reason)
        try:
            self._act(action, reason, hour)
        except FileNotFoundError as error:
            if action.held.path.exists():
                self._fail(action, error, hour)
        except (OSError, L2VaultError, ValueError) as error:  # pyarrow's own are OSErrors and ValueErrors
            self._fail(action, error, hour)

    def _act(self, action: Action, reason: str, hour: tuple[Kind, str, int]) -> None:
        held = action.held
        if action.kind == "compress":
            result = compress(held.path)
            self._room.raw_bytes -= result.bytes_before - result.bytes_after
            self._note(action, reason, result.bytes_before, result.bytes_after)
        elif action.kind == "archive":
            if hour in self._failed:
                raise VaultError("its two forms could not be made one, so it is not archived.", "l2vault verify")
            raw_bytes = held.path.stat().st_size
            archive_bytes = self._archives.make(held)
            self._archived.add(hour)
            self._note(action, reason, raw_bytes, archive_bytes, self._digests(held))
        else:
            self._delete(action, reason)

    def _delete(self, action: Action, reason: str) -> None:
        """An archive ceases to be one with its snapshots; its levels follow."""
        path = action.held.path
        size_bytes = path.stat().st_size
        if action.held.form == "archive":
            levels = levels_beside(path)
            size_bytes += levels.stat().st_size if levels.exists() else 0
            remove(path, partial(self._note, action, reason, size_bytes, 0))
            unlink(levels, missing_ok=True)
            return
        try:
            remove(path, partial(self._note, action, reason, size_bytes, 0))
        finally:
            if not path.exists():
                self._room.raw_bytes -= size_bytes
                self._drop_columns(action.held)

    def _drop_columns(self, held: StoredHour) -> None:
        """They go with the last raw file of their hour. What refuses to go is tried again when columns are made."""
        if held.kind != "books" or Catalog(self._layout).hour(held.inst_id, held.hour_ms).raw:
            return
        for file in self._layout.columns.archived_hour(held.inst_id, held.hour_ms).files:
            with suppress(OSError):
                unlink(file, missing_ok=True)

    def _digests(self, held: StoredHour) -> dict[str, str]:
        """Of the files of an archive that has just been checked; an hour without a byte has none."""
        archived = self._layout.of(held.kind).archived_hour(held.inst_id, held.hour_ms)
        return {self.name(file): file_digest(file) for file in archived.files if file.exists()}

    def _note(
        self,
        action: Action,
        reason: str,
        bytes_before: int,
        bytes_after: int,
        digests: dict[str, str] | None = None,
    ) -> None:
        file = self.name(action.held.path)
        sizes = bytes_before, bytes_after
        event = Retained(utc_text(self._wall_ms), action.kind, file, reason, *sizes, digests or {})
        self._allowance.count(action)
        self._journal.append(event)
        self.report.done.append(Done(action, bytes_before, bytes_after))
        _log.debug("Retention: %s %s, %s", action.kind, file, reason)

    def _fail(self, action: Action, error: Exception, hour: tuple[Kind, str, int]) -> None:
        self._failed.add(hour)
        failure = Failure(self.name(action.held.path), f"{action.kind} failed: {error}")
        self.report.failures.append(failure)
        _log.warning("Retention: %s: %s; the next pass tries again", failure.file, failure.text)
