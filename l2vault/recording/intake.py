"""What becomes of everything the lines say: which snapshot is written, what the journal and the log are told.

Holds the two rules of a file: one line a slot, whoever brings it first, and no line twice or older than the last.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.okx.messages import SchemaFailure
from l2vault.okx.pipeline import Lost, NeedBook, Output, Pipeline, Sampled, Synced
from l2vault.okx.websocket import LineOutput
from l2vault.recording.arbiter import Arbiter, Conflict, Decision, Overtaken, Write
from l2vault.recording.report import journal_event, log_output
from l2vault.recording.tally import Tally
from l2vault.vault.journal.events import Conflicted, Event, Skipped

QUOTE_EVERY_MS: Final = 10_000

_log = logging.getLogger("l2vault.recorder")


class Intake:
    """`put` gets what is to be written, in order; `on_invariant` and `on_need_book` are asked for help by name."""

    def __init__(
        self,
        tally: Tally,
        clock: Clock,
        put: Callable[[Snapshot | Event], None],
        on_invariant: Callable[[str], None],
        on_need_book: Callable[[int, str], None],
    ) -> None:
        self._tally = tally
        self._clock = clock
        self._put = put
        self._on_invariant = on_invariant
        self._on_need_book = on_need_book
        self._arbiter = Arbiter()
        self.pipelines: Mapping[int, Pipeline] = {}
        """Each line's by its number; given by whoever runs the lines."""
        self._last_ms: dict[str, int] = {}
        """Time of the newest unflagged line of each instrument, in the vault or on its way."""
        self._newest_ms: dict[str, int] = {}
        """The same of any line, flagged or not."""
        self._quote_after_ms = 0

    def resume(self, last_ms: Mapping[str, int]) -> None:
        """What the vault holds already."""
        self._last_ms = dict(last_ms)
        self._newest_ms = dict(last_ms)

    def take(self, number: int, outputs: list[LineOutput]) -> None:
        """Everything a line has to say, in order."""
        for output in outputs:
            self._take(number, output)

    def _take(self, number: int, output: LineOutput) -> None:
        if isinstance(output, Sampled):
            self._decide(number, self._arbiter.offer(number, output.snapshot, output.grid_ms))
            return
        if isinstance(output, NeedBook):
            self._on_need_book(number, output.inst_id)
            return
        if isinstance(output, SchemaFailure) and not self._may_quote():
            return
        if isinstance(output, Synced):
            self._arbiter.synced(number, output.inst_id)
        if isinstance(output, Lost):
            self._lose(number, output)
        event = journal_event(output, number, self._at())
        if event is not None:
            self._put(event)
        is_covered = isinstance(output, Lost) and bool(self._arbiter.in_sync(output.inst_id))
        log_output(output, number, is_covered)

    def _lose(self, number: int, lost: Lost) -> None:
        self._decide(number, self._arbiter.lost(number, lost.inst_id))
        is_covered = bool(self._arbiter.in_sync(lost.inst_id))
        if lost.cause != "our_restart":
            self._tally.lost(lost, is_covered)
        # A break on one line while another is in sync is no gap: the flagged line is the last line's to write.
        if lost.flagged is not None and not is_covered:
            self._write(lost.flagged)
        if lost.cause in ("invariant", "implausible"):
            self._on_invariant(lost.inst_id)  # crossed is legal once OKX's row says so

    def _decide(self, number: int, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Write):
                self._write(decision.snapshot)
                continue
            self._tally.compared(decision)
            if isinstance(decision, Conflict):
                self._resync_both(decision)
            elif isinstance(decision, Overtaken):
                at, grid = self._at(), utc_text(decision.grid_ms)
                self._put(Skipped(at, number, decision.inst_id, grid))
                _log.warning("%s of %s on line %d came after a later line; not written", decision.inst_id, grid, number)

    def _resync_both(self, conflict: Conflict) -> None:
        grid = utc_text(conflict.grid_ms)
        _log.error("Lines %s disagree on %s at seqId %s", conflict.lines, conflict.inst_id, conflict.seq_id)
        self._put(Conflicted(self._at(), conflict.inst_id, conflict.seq_id, grid, conflict.lines))
        detail = f"lines {conflict.lines[0]} and {conflict.lines[1]} differ at seqId {conflict.seq_id}"
        for number in conflict.lines:
            pipeline = self.pipelines.get(number)
            if pipeline is not None:
                now_ms = self._clock.monotonic_ms()
                doubted: list[Output] = pipeline.doubt(conflict.inst_id, "conflict", detail, now_ms)
                self.take(number, list(doubted))

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
        self._put(snapshot)

    def _at(self) -> str:
        return utc_text(self._clock.wall_ms())
