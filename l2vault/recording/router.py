"""What becomes of everything the feeds say: which snapshot is written, what the journal and the log are given.

Holds the rules of a file: one line a slot, whoever brings it first; no line twice or older than the last. It takes
what a feed says however dead that feed is by then: a loss that nobody takes would leave its book in sync for ever.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.okx.messages import Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.pipeline import Lost, Output, Pipeline, Sampled, Synced, Unverifiable
from l2vault.okx.session import Dead, Refused
from l2vault.okx.websocket import LineDown, LineOutput, LineUp
from l2vault.recording.arbiter import Arbiter, Claim, Conflict, Decision, Matched, TooLate, Write
from l2vault.recording.counters import Tally
from l2vault.recording.slots import SlotLedger
from l2vault.recording.tails import LookUp, Tail, Tails
from l2vault.vault.journal import events
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.lines import LATEST_MS
from l2vault.vault.retention.plan import GB, Policy

_QUOTED_BYTES: Final = 400
_UNKNOWN_INSTRUMENT: Final = "60018"
_BUILD_FAIL: Final = "BUILD_FAIL: Missing required fields for %s: %s; the message: %s"

_log = logging.getLogger("l2vault.recorder")


def journal_event(output: LineOutput, feed: int, at: str) -> events.Event | None:
    """The event that keeps this output for readers of the vault; None where it says nothing about coverage."""
    match output:
        case Synced(inst_id, ts_ms, seq_id, source):
            return events.Synced(at, feed, inst_id, _time(ts_ms), seq_id, source)
        case Lost():
            bounds = _time(output.from_ms), _time(output.to_ms)
            return events.Lost(at, feed, output.inst_id, output.cause, *bounds, output.detail)
        case Unverifiable(inst_id, ts_ms, is_recorded):
            return events.Unverifiable(at, feed, inst_id, _time(ts_ms), is_recorded)
        case Refused():
            return events.Refused(at, feed, output.inst_id, output.code, output.message)
        case Notice():
            return events.Noticed(at, feed, output.code, output.message)
        case LineUp(url):
            return events.Connected(at, feed, url)
        case LineDown() if output.was_up:
            return events.Disconnected(at, feed, output.reason)
    return None


def log_output(output: LineOutput, feed: int, is_covered: bool = False) -> None:
    """One line per change of state; nothing per message. `is_covered`: what this feed lost, another still has."""
    match output:
        case Synced(inst_id, ts_ms, seq_id, source):
            words = "full book" if source == "stream" else "full book by REST"
            _log.info("%s in sync on feed %d: %s of %s, seqId %s", inst_id, feed, words, _time(ts_ms), seq_id)
        case Lost():
            _log_lost(output, feed, is_covered)
        case Unverifiable(inst_id, _, is_recorded):
            words = "Its lines are recorded all the same, as a setting asks" if is_recorded else "It is not recorded"
            _log.error("%s on feed %d has neither sequence numbers nor checksums. %s", inst_id, feed, words)
        case Refused():
            _log_refused(output)
        case SchemaFailure():
            _log.error(_BUILD_FAIL, "an unknown instrument", output.reason, _quote(output.frame))
        case Notice():
            _log.warning("OKX announces on feed %d: %s %s", feed, output.code, output.message)
        case Refusal():
            _log.warning("OKX reports an error on feed %d: %s %s", feed, output.code, output.message)
        case Unknown(what):
            _log.debug("ignored on feed %d: %s", feed, what)
        case Dead() | LineUp() | LineDown():
            _log_connection(output, feed)


def policy_words(policy: Policy | None) -> str:
    """What will be compressed and deleted, and when; None: retention is off."""
    if policy is None:
        return "off, nothing is compressed or deleted while recording"
    parts = []
    if policy.compress_after_hours is not None:
        parts.append(f"hours are gzipped after {policy.compress_after_hours:g} h")
    if policy.delete_after_days is not None:
        kept = "archive_days keeps them as Parquet" if policy.archive_days is None else "their Parquet archive stays"
        parts.append(f"DELETED after {policy.delete_after_days:g} days ({kept})")
    words = " and ".join(parts) or "nothing is compressed or deleted by age"
    if policy.archive_days is not None:
        words += f"; archives are DELETED after {policy.archive_days:g} days"
    if policy.max_bytes is not None:
        words += f"; the oldest hours go beyond {policy.max_bytes / GB:g} GB"
    if policy.min_free_bytes is not None:
        words += f"; the oldest hours go below {policy.min_free_bytes / GB:g} GB free"
    return words


def _log_connection(output: Dead | LineUp | LineDown, feed: int) -> None:
    match output:
        case Dead(reason):
            _log.warning("Closing feed %d: %s", feed, reason)
        case LineUp(url):
            _log.info("Feed %d connected to %s", feed, url)
        case LineDown() if output.is_last:
            _log.info("Feed %d ended: %s", feed, output.reason)
        case LineDown():
            words = "lost" if output.was_up else "cannot connect"
            _log.warning("Feed %d %s: %s. Next try in %.1f s", feed, words, output.reason, output.retry_sec)


def _log_lost(lost: Lost, feed: int, is_covered: bool) -> None:
    if lost.cause == "our_restart":
        return  # the recorder says that it stops; the journal has the rest
    bounds = f"last good book {_time(lost.from_ms) or 'none'}"
    if lost.cause == "chain" and is_covered:
        _log.warning("%s broke on feed %d, another feed has it: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "chain":
        _log.error("GAP DETECTED: %s on feed %d: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "checksum":
        _log.error("Checksum mismatch: %s on feed %d: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "schema":
        _log.error(_BUILD_FAIL, lost.inst_id, f"{lost.detail}; {bounds}", _quote(lost.frame or b""))
    else:
        _log.warning("%s lost on feed %d (%s): %s; %s", lost.inst_id, feed, lost.cause, lost.detail, bounds)
    if lost.cause not in ("disconnect", "notice"):
        _log.warning("Forced resubscribe: %s (%s)", lost.inst_id, lost.cause)


def _log_refused(refused: Refused) -> None:
    if refused.code == _UNKNOWN_INSTRUMENT:
        cure = f"Check its name at OKX; asking again in {refused.retry_ms / 1000:.0f} s, the others go on"
        _log.error("OKX does not know %s (60018). %s", refused.inst_id, cure)
    else:
        words = f"({refused.code}): {refused.message}"
        _log.error("OKX refused %s %s; asking again in %.0f s", refused.inst_id, words, refused.retry_ms / 1000)


def _time(ms: int | None) -> str | None:
    """A `ts` beyond the year 9998 is the exchange's slip, and no time that a file could have."""
    return None if ms is None or not 0 <= ms < LATEST_MS else utc_text(ms)


def _quote(frame: bytes) -> str:
    """As a literal: whatever it holds, it stays on its line of the log."""
    quoted = repr(frame[:_QUOTED_BYTES].decode("utf-8", "replace"))
    return quoted + "..." if len(frame) > _QUOTED_BYTES else quoted


QUOTE_EVERY_MS: Final = 10_000
RULING_WITHIN_MS: Final = 30_000
"""For a third voice on a conflict; after that none decides, and both feeds resync."""
FUTURE_MS: Final = 5_000
"""A line this much later than proved exchange time is from the future."""


class ProvedTime(Protocol):
    """Exchange time that something proves, by this machine's monotonic time (`okx.exchange_time`)."""

    def now_ms(self, mono_ms: int) -> int | None: ...


class NoProof:
    """Where nothing proves exchange time."""

    def now_ms(self, mono_ms: int) -> int | None:
        return None


Conflicts = Callable[[str, int | None, tuple[int, int], tuple[int, int]], bool]
"""Told of a conflict: instrument, `seqId`, feeds (the written one first), slots. True: `rule` will be called for it."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Whom the intake asks for help, by name. None of them may wait."""

    invariant: Callable[[str], None] = lambda inst_id: None
    deliver: Callable[[int, list[LineOutput]], None] | None = None
    """Takes what a pipeline puts out when its book is dropped; by default the intake alone does."""
    on_conflict: Conflicts = lambda inst_id, seq_id, feeds, slots: False
    renew_feed: Callable[[int, str], None] = lambda number, reason: None
    """A feed was found wrong: it gets a new connection."""
    set_aside: Callable[[str, int], Tail | None] = lambda inst_id, limit_ms: None
    """Lines of the instrument are later than this proved time: move them out; returns what the vault then ends with,
    None where they stay."""
    look_up: LookUp = lambda inst_id, hour_ms: Tail()
    time: ProvedTime = NoProof()


@dataclass(slots=True)
class _Dispute:
    """A conflict that awaits its ruling."""

    feeds: tuple[int, int]
    seq_id: int | None
    from_ms: int
    to_ms: int
    until_ms: int
    """Monotonic: for so long a ruling is awaited."""
    own: dict[int, int] = field(default_factory=dict)
    """By feed: the first slot that it wrote and that is in question."""


class Intake:
    """`put` gets what is to be written, in order."""

    def __init__(
        self,
        tally: Tally,
        clock: Clock,
        put: Callable[[Snapshot | Event], None],
        ledger: SlotLedger,
        asks: Asks,
    ) -> None:
        self._tally = tally
        self._clock = clock
        self._put = put
        self._ledger = ledger
        self._asks = asks
        self._tails = Tails(asks.look_up)
        self._time = asks.time
        self._arbiter = Arbiter()
        self.pipelines: Mapping[int, Pipeline] = {}
        """Each feed's by its number; given by whoever runs the feeds."""
        self._disputes: dict[str, _Dispute] = {}
        self._confirmed: set[tuple[int, str]] = set()
        self._unverifiable: set[tuple[int, str]] = set()
        self._unverifiable_told: set[str] = set()
        self._future_told: dict[str, int] = {}
        """By instrument: the newest line that is from the future and stays where it is."""
        self._quote_after_ms = 0

    def resume(self, tails: Mapping[str, Tail]) -> None:
        """What the vault holds already."""
        self._tails.resume(tails)

    def take(self, number: int, outputs: list[LineOutput]) -> None:
        """Everything a feed has to say, in order."""
        for output in outputs:
            self._take(number, output)

    def note(self, event: Event) -> None:
        """What an optional task notes goes to the journal; an audit says something about the slots too."""
        self._put(event)
        if isinstance(event, events.Audited):
            self._audited(event)

    def rule(self, inst_id: str, wrong: int | None, detail: str) -> None:
        """A third voice on a conflict: the feed found wrong gets a new connection, the other goes on.

        Only what the wrong feed wrote is disputed. None: nothing decides, both resync, every slot stays disputed.
        """
        dispute = self._disputes.pop(inst_id, None)
        if dispute is None:
            return
        if wrong not in dispute.feeds:
            self._dispute(inst_id, dispute.from_ms, dispute.to_ms, "feeds", detail)
            for number in dispute.feeds:
                self._invalidate(number, inst_id, "conflict", detail)
            return
        _log.error("Feed %d holds a wrong book of %s: %s. It gets a new connection", wrong, inst_id, detail)
        slots = self._arbiter.unproved(wrong, inst_id)
        if slots is not None:
            self._dispute(inst_id, min(slots[0], dispute.own.get(wrong, slots[0])), slots[1], "feeds", detail)
        self._invalidate(wrong, inst_id, "conflict", detail)
        self._asks.renew_feed(wrong, f"its book of {inst_id} was found wrong")

    def synced_again(self) -> None:
        """The journal's former run may be gone: note every book in sync anew, from its present time on."""
        self._confirmed.clear()
        for number, pipeline in self.pipelines.items():
            for inst_id, ms in pipeline.book_times().items():
                self._put(events.Synced(self._at(), number, inst_id, utc_text(ms), None))

    def tick(self) -> None:
        """Call it about once a second: waits that no message ends are ended."""
        now_ms = self._clock.monotonic_ms()
        self._decide(self._arbiter.tick(now_ms))
        for inst_id, dispute in list(self._disputes.items()):
            if now_ms >= dispute.until_ms:
                self.rule(inst_id, None, f"feeds {dispute.feeds} differ at seqId {dispute.seq_id}, nothing decides")

    def close(self) -> None:
        """The end of a run: a dispute that nobody has decided stands."""
        for inst_id, dispute in self._disputes.items():
            detail = f"feeds {dispute.feeds} differ at seqId {dispute.seq_id}, undecided"
            self._dispute(inst_id, dispute.from_ms, dispute.to_ms, "feeds", detail)
        self._disputes.clear()

    def _take(self, number: int, output: LineOutput) -> None:
        if isinstance(output, Sampled):
            snapshot, now_ms = output.snapshot, self._clock.monotonic_ms()
            if not 0 <= output.grid_ms < LATEST_MS:
                self._tally.held_back(snapshot.inst_id)  # no file could have this time
                return
            is_verifiable = (number, snapshot.inst_id) not in self._unverifiable
            until_ms = output.until_ms if is_verifiable else output.grid_ms  # such a stream proves no slot quiet
            slot = output.grid_ms, until_ms, snapshot.ts_ms, snapshot.seq_id
            self._decide(self._arbiter.offer(snapshot, Claim(number, snapshot.inst_id, *slot), now_ms))
            return
        if isinstance(output, SchemaFailure) and not self._may_quote():
            return
        if isinstance(output, Synced):
            self._confirmed.discard((number, output.inst_id))
            self._arbiter.synced(number, output.inst_id)
        if isinstance(output, Unverifiable):
            self._unverifiable.add((number, output.inst_id))
        if isinstance(output, Lost):
            self._unverifiable.discard((number, output.inst_id))
            self._lose(number, output)
        event = journal_event(output, number, self._at())
        if event is not None:
            self._put(event)
        is_covered = isinstance(output, Lost) and bool(self._arbiter.in_sync(output.inst_id))
        if isinstance(output, Unverifiable):
            if output.inst_id in self._unverifiable_told:
                return  # one ERROR: what one feed lacks, the other lacks too
            self._unverifiable_told.add(output.inst_id)
        log_output(output, number, is_covered)

    def _lose(self, number: int, lost: Lost) -> None:
        self._confirmed.discard((number, lost.inst_id))
        self._decide(self._arbiter.lost(number, lost.inst_id))
        is_covered = bool(self._arbiter.in_sync(lost.inst_id))
        if lost.cause != "our_restart":
            self._tally.lost(lost, is_covered)
        # A break on one feed while another is in sync is no gap: the flagged line is the last feed's to write.
        if lost.flagged is not None and not is_covered:
            self._write_flagged(lost.flagged)
        if lost.cause in ("invariant", "implausible"):
            self._asks.invariant(lost.inst_id)  # crossed is legal once OKX's row says so

    def _decide(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            claim = decision.claim
            if isinstance(decision, Write):
                self._write(decision.snapshot, claim)
                continue
            self._ledger.compared(claim)
            self._tally.compared(decision)
            if isinstance(decision, Matched):
                for number in (decision.first, claim.feed):
                    self._confirm(number, claim.inst_id, "feed", claim.seq_id)
            elif isinstance(decision, Conflict):
                self._conflict(decision)
            elif isinstance(decision, TooLate) and not self._ledger.accounts_for(claim.inst_id, claim.grid_ms):
                self._skip(claim)

    def _skip(self, claim: Claim) -> None:
        grid = utc_text(claim.grid_ms)
        self._put(events.Skipped(self._at(), claim.feed, claim.inst_id, grid))
        words = "%s of %s on feed %d came after a later line; not written"
        _log.warning(words, claim.inst_id, grid, claim.feed)

    def _conflict(self, conflict: Conflict) -> None:
        inst_id, seq_id, (from_ms, to_ms) = conflict.claim.inst_id, conflict.claim.seq_id, conflict.slots
        pending = self._disputes.get(inst_id)
        if pending is not None:
            pending.to_ms = max(pending.to_ms, to_ms)
            return
        _log.error("Feeds %s disagree on %s at seqId %s", conflict.feeds, inst_id, seq_id)
        grid = utc_text(conflict.claim.grid_ms)
        self._put(events.Conflicted(self._at(), inst_id, seq_id, grid, conflict.feeds))
        own = {feed: slots[0] for feed in conflict.feeds if (slots := self._arbiter.unproved(feed, inst_id))}
        until_ms = self._clock.monotonic_ms() + RULING_WITHIN_MS
        self._disputes[inst_id] = _Dispute(conflict.feeds, seq_id, from_ms, to_ms, until_ms, own)
        if not self._asks.on_conflict(inst_id, seq_id, conflict.feeds, conflict.slots):
            detail = f"lines {conflict.feeds[0]} and {conflict.feeds[1]} differ at seqId {seq_id}"
            self.rule(inst_id, None, detail)

    def _dispute(self, inst_id: str, from_ms: int, to_ms: int, cause: Literal["feeds", "audit"], detail: str) -> None:
        bounds = utc_text(from_ms), utc_text(to_ms)
        _log.warning("Disputed: %s from %s to %s (%s): %s", inst_id, *bounds, cause, detail)
        self._put(events.Disputed(self._at(), inst_id, *bounds, cause, detail))

    def _invalidate(self, number: int, inst_id: str, cause: Literal["conflict"], detail: str) -> None:
        pipeline = self.pipelines.get(number)
        if pipeline is not None:
            outputs: list[Output] = pipeline.invalidate(inst_id, cause, detail, self._clock.monotonic_ms())
            (self._asks.deliver or self.take)(number, list(outputs))

    def _audited(self, event: events.Audited) -> None:
        if event.outcome in ("equal", "consistent"):
            self._arbiter.confirm(event.feed, event.inst_id)
            self._confirm(event.feed, event.inst_id, "audit", event.seq_id)
        elif event.outcome == "mismatch":
            slots = self._arbiter.unproved(event.feed, event.inst_id)
            if slots is not None:
                self._dispute(event.inst_id, *slots, "audit", event.detail)
                self._arbiter.confirm(event.feed, event.inst_id)  # what is disputed once is not disputed again

    def _confirm(self, number: int, inst_id: str, by: Literal["audit", "feed"], seq_id: int | None) -> None:
        """Once for each sync of a feed."""
        if number in self._arbiter.in_sync(inst_id) and (number, inst_id) not in self._confirmed:
            self._confirmed.add((number, inst_id))
            self._put(events.Confirmed(self._at(), number, inst_id, by, seq_id))

    def _may_quote(self) -> bool:
        """Frames that name no instrument are counted, and quoted once in a while: every push could be one."""
        self._tally.unreadable += 1
        now_ms = self._clock.monotonic_ms()
        due = now_ms >= self._quote_after_ms
        if due:
            self._quote_after_ms = now_ms + QUOTE_EVERY_MS
        return due

    def _write(self, snapshot: Snapshot, claim: Claim) -> None:
        self._look_for_future(snapshot.inst_id)
        tail = self._tails.of(snapshot)
        if tail is not None and tail.takes(snapshot):
            tail.add(snapshot)
            self._tally.wrote(snapshot)
            self._put(snapshot)
            self._ledger.wrote(claim)
            return
        self._tally.held_back(snapshot.inst_id)
        self._ledger.held_back(claim, tail is not None and tail.holds(snapshot))

    def _write_flagged(self, snapshot: Snapshot) -> None:
        self._look_for_future(snapshot.inst_id)
        tail = self._tails.of(snapshot)
        if 0 <= snapshot.ts_ms < LATEST_MS and tail is not None and tail.takes(snapshot):
            tail.add(snapshot)
            self._tally.wrote(snapshot)
            self._put(snapshot)

    def _look_for_future(self, inst_id: str) -> None:
        """Lines later than proved exchange time would keep every later line from the file of their hour."""
        newest_ms = self._tails.newest_ms(inst_id)
        now_ms = self._time.now_ms(self._clock.monotonic_ms()) if newest_ms >= 0 else None
        if now_ms is None or newest_ms <= now_ms + FUTURE_MS or self._future_told.get(inst_id) == newest_ms:
            return
        tail = self._asks.set_aside(inst_id, now_ms + FUTURE_MS)
        if tail is None:
            self._future_told[inst_id] = newest_ms
        else:
            self._tails.reset(inst_id, tail)

    def _at(self) -> str:
        return self._clock.wall_text()
