"""What becomes of everything the feeds say, each kind in one place: which snapshot is written, what the journal and the
log are given, whom else it concerns.

Holds the rules of a file: one line a slot, whoever brings it first; no line twice or older than the last. It takes
what a feed says however dead that feed is by then: a loss that nobody takes would leave its book in sync for ever.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, assert_never

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.okx.context_messages import ContextFailure, ContextPush
from l2vault.okx.exchange_time import FUTURE_MS
from l2vault.okx.hosts import FAILURES_TO_MOVE
from l2vault.okx.messages import BOOKS, Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.pipeline import (
    Applied,
    AuditSoon,
    Lost,
    NeedBook,
    NeedSecondBook,
    Pipeline,
    Sampled,
    Synced,
    Traded,
    Unverifiable,
)
from l2vault.okx.session import Dead, Refused
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.recording.arbiter import Arbiter, Claim, Conflict, Decision, Matched, TooLate, Write
from l2vault.recording.counters import Counters
from l2vault.recording.slots import SlotLedger
from l2vault.recording.tails import LookUp, Tail, Tails
from l2vault.vault.journal import events
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.lines import LATEST_MS

QUOTE_EVERY_MS: Final = 10_000
RULING_WITHIN_MS: Final = 30_000
"""For a third voice on a conflict; after that none decides, and both feeds resync."""
SKIPS_EVERY_MS: Final = 60_000
"""Between two warnings of slots that are not written: after a step of the exchange's clock it is every one."""

_QUOTED_BYTES: Final = 400
_UNKNOWN_INSTRUMENT: Final = "60018"
_BUILD_FAIL: Final = "BUILD_FAIL: Missing required fields for %s: %s; the message: %s"

_log = logging.getLogger("l2vault.recorder")


class ProvedTime(Protocol):
    """Exchange time that something proves, by this machine's monotonic time (`okx.exchange_time`)."""

    def now_ms(self, mono_ms: int) -> int | None: ...


class Audits(Protocol):
    """Whoever asks REST about books (`recording.tasks.auditor`)."""

    def synced(self, number: int, inst_id: str) -> None: ...
    def lost(self, number: int, inst_id: str) -> None: ...
    def need_book(self, number: int, inst_id: str) -> None: ...
    def need_second_book(self, number: int, inst_id: str) -> None: ...
    def audit_soon(self, inst_id: str) -> None: ...

    def on_conflict(self, inst_id: str, seq_id: int | None, feeds: tuple[int, int]) -> bool:
        """Two feeds differ, the written one first. True: `Router.rule` will be called for it."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Whom the router asks for help, by name. None of them may wait."""

    audits: Audits
    note_age: Callable[[int, int], None]
    """A message of this exchange time was received at this time of our wall clock."""
    read_row: Callable[[str], None]
    """OKX's row of an instrument may have changed: crossed is legal once it says so."""
    renew_feed: Callable[[int, str], None]
    """A feed was found wrong: it gets a new connection."""
    set_aside: Callable[[str, int], Tail | None]
    """Lines of the instrument are later than this proved time: move them out; returns what the vault then ends with,
    None where they stay."""
    look_up: LookUp
    time: ProvedTime
    proved: Callable[[int, str, int], None]
    """A feed's book of this time was seen to equal another feed's."""
    beside: Callable[[int, Sequence[FeedOutput]], Sequence[FeedOutput]]
    """Takes what is no business of the sampled books (trades, changes, context), and returns the rest."""


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


@dataclass(slots=True)
class _Skips:
    """Slots of an instrument that are not written, since the log said so last."""

    slots: int = 0
    feed: int = 0
    newest: str = ""
    log_after_ms: int = 0


class Router:
    """Takes everything the feeds put out, by its kind, in order; `put` gets what is to be written, in order.

    `pipelines` are the feeds' own, by number: a feed that is over is not among them, and may still have something to
    say.
    """

    def __init__(
        self,
        pipelines: Mapping[int, Pipeline],
        counters: Counters,
        clock: Clock,
        put: Callable[[Snapshot | Event], None],
        ledger: SlotLedger,
        asks: Asks,
    ) -> None:
        self._pipelines = pipelines
        self._counters = counters
        self._clock = clock
        self._put = put
        self._ledger = ledger
        self._asks = asks
        self._tails = Tails(asks.look_up)
        self._arbiter = Arbiter()
        self._disputes: dict[str, _Dispute] = {}
        self._confirmed: set[tuple[int, str]] = set()
        self._unverifiable: set[tuple[int, str]] = set()
        self._unverifiable_told: set[str] = set()
        self._future_told: dict[str, int] = {}
        """By instrument: the newest line that is from the future and stays where it is."""
        self._quote_after_ms = 0
        self._skips: dict[str, _Skips] = {}

    def resume(self, tails: Mapping[str, Tail]) -> None:
        """What the vault holds already."""
        self._tails.resume(tails)

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """Everything a feed has to say, in order."""
        for output in self._asks.beside(number, outputs):
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
                self._invalidate(number, inst_id, detail)
            return
        _log.error("Feed %d holds a wrong book of %s: %s. It gets a new connection", wrong, inst_id, detail)
        slots = self._arbiter.unproved(wrong, inst_id)
        if slots is not None:
            self._dispute(inst_id, min(slots[0], dispute.own.get(wrong, slots[0])), slots[1], "feeds", detail)
        self._invalidate(wrong, inst_id, detail)
        self._asks.renew_feed(wrong, f"its book of {inst_id} was found wrong")

    def synced_again(self) -> None:
        """The journal's former run may be gone: note every book in sync anew, from its present time on."""
        self._confirmed.clear()
        for number, pipeline in self._pipelines.items():
            for inst_id, ms in pipeline.book_times().items():
                self._put(events.Synced(self._clock.wall_text(), number, inst_id, utc_text(ms), None))

    def tick(self) -> None:
        """Call it about once a second: waits that no message ends are ended."""
        now_ms = self._clock.monotonic_ms()
        self._decide(self._arbiter.tick(now_ms))
        for inst_id, skips in self._skips.items():
            self._log_skips(inst_id, skips, now_ms)
        for inst_id, dispute in list(self._disputes.items()):
            if now_ms >= dispute.until_ms:
                self.rule(inst_id, None, f"feeds {dispute.feeds} differ at seqId {dispute.seq_id}, nothing decides")

    def close(self) -> None:
        """The end of a run: the log is given what it was to be given later."""
        for inst_id, skips in self._skips.items():
            self._log_skips(inst_id, skips, skips.log_after_ms)

    def _take(self, number: int, output: FeedOutput) -> None:  # noqa: C901 - one arm a kind, and no other place knows
        match output:
            case Sampled():
                self._sampled(number, output)
            case Synced():
                self._synced(number, output)
            case Lost():
                self._lost(number, output)
            case Unverifiable():
                self._cannot_verify(number, output)
            case NeedBook(inst_id):
                self._asks.audits.need_book(number, inst_id)
            case NeedSecondBook(inst_id):
                self._asks.audits.need_second_book(number, inst_id)
            case AuditSoon(inst_id):
                self._asks.audits.audit_soon(inst_id)
            case Refused(inst_id, code, message):
                self._put(events.Refused(self._clock.wall_text(), number, inst_id, code, message, output.channel))
                _log_refused(output)
            case Notice(code, message):
                self._put(events.Noticed(self._clock.wall_text(), number, code, message))
                _log.warning("OKX announces on feed %d: %s %s", number, code, message)
            case Refusal(code, message):
                _log.warning("OKX reports an error on feed %d: %s %s", number, code, message)
            case SchemaFailure():
                self._unreadable(output)
            case Unknown(what):
                _log.debug("ignored on feed %d: %s", number, what)
            case Dead(reason):
                _log.warning("Closing feed %d: %s", number, reason)
            case FeedUp(url):
                self._put(events.Connected(self._clock.wall_text(), number, url))
                _log.info("Feed %d connected to %s", number, url)
            case FeedDown():
                self._down(number, output)
            case Applied() | Traded() | ContextPush() | ContextFailure():
                pass  # taken beside
            case _:
                assert_never(output)

    def _sampled(self, number: int, sampled: Sampled) -> None:
        snapshot, now_ms = sampled.snapshot, self._clock.monotonic_ms()
        self._asks.note_age(sampled.until_ms, self._clock.wall_ms())
        if not 0 <= sampled.grid_ms < LATEST_MS:
            self._counters.held_back(snapshot.inst_id)  # no file could have this time
            return
        is_verifiable = (number, snapshot.inst_id) not in self._unverifiable
        until_ms = sampled.until_ms if is_verifiable else sampled.grid_ms  # such a stream proves no slot quiet
        slot = sampled.grid_ms, until_ms, snapshot.ts_ms, snapshot.seq_id
        self._decide(self._arbiter.offer(snapshot, Claim(number, snapshot.inst_id, *slot), now_ms))

    def _synced(self, number: int, synced: Synced) -> None:
        inst_id, ts, source = synced.inst_id, _time(synced.ts_ms), synced.source
        self._confirmed.discard((number, inst_id))
        self._arbiter.synced(number, inst_id)
        self._put(events.Synced(self._clock.wall_text(), number, inst_id, ts, synced.seq_id, source))
        words = "full book" if source == "stream" else "full book by REST"
        _log.info("%s in sync on feed %d: %s of %s, seqId %s", inst_id, number, words, ts, synced.seq_id)
        self._asks.audits.synced(number, inst_id)

    def _lost(self, number: int, lost: Lost) -> None:
        inst_id = lost.inst_id
        self._unverifiable.discard((number, inst_id))
        self._confirmed.discard((number, inst_id))
        self._decide(self._arbiter.lost(number, inst_id))
        is_covered = bool(self._arbiter.in_sync(inst_id))
        if lost.cause != "our_restart":
            self._counters.lost(lost, is_covered)
        # A break on one feed while another is in sync is no gap: the flagged line is the last feed's to write.
        if lost.flagged is not None and not is_covered:
            self._write_flagged(lost.flagged)
        if lost.cause in ("invariant", "implausible"):
            self._asks.read_row(inst_id)
        bounds = _time(lost.from_ms), _time(lost.to_ms)
        self._put(events.Lost(self._clock.wall_text(), number, inst_id, lost.cause, *bounds, lost.detail))
        _log_lost(lost, number, is_covered)
        self._asks.audits.lost(number, inst_id)

    def _cannot_verify(self, number: int, unverifiable: Unverifiable) -> None:
        inst_id, is_recorded = unverifiable.inst_id, unverifiable.is_recorded
        self._unverifiable.add((number, inst_id))
        self._put(events.Unverifiable(self._clock.wall_text(), number, inst_id, _time(unverifiable.ts_ms), is_recorded))
        if inst_id in self._unverifiable_told:
            return  # one ERROR: what one feed lacks, the other lacks too
        self._unverifiable_told.add(inst_id)
        words = "Its lines are recorded all the same, as a setting asks" if is_recorded else "It is not recorded"
        _log.error("%s on feed %d has neither sequence numbers nor checksums. %s", inst_id, number, words)

    def _unreadable(self, failure: SchemaFailure) -> None:
        """Frames that name no instrument are counted, and quoted once in a while: every push could be one."""
        self._counters.unreadable += 1
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._quote_after_ms:
            self._quote_after_ms = now_ms + QUOTE_EVERY_MS
            whose = "an unknown instrument" if failure.inst_id is None else f"{failure.channel} of {failure.inst_id}"
            _log.error(_BUILD_FAIL, whose, failure.reason, _quote(failure.frame))

    def _down(self, number: int, down: FeedDown) -> None:
        if down.was_up:
            self._put(events.Disconnected(self._clock.wall_text(), number, down.reason))
        if down.moved_to is not None:
            words = "Feed %d failed %d times in a row at one address and goes on at %s"
            _log.warning(words, number, FAILURES_TO_MOVE, down.moved_to)
        if down.is_last:
            _log.info("Feed %d ended: %s", number, down.reason)
            return
        words = "lost" if down.was_up else "cannot connect"
        _log.warning("Feed %d %s: %s. Next try in %.1f s", number, words, down.reason, down.retry_sec)

    def _decide(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            claim = decision.claim
            if isinstance(decision, Write):
                self._write(decision.snapshot, claim)
                continue
            self._ledger.compared(claim)
            self._counters.compared(decision)
            if isinstance(decision, Matched):
                for number in (decision.first, claim.feed):
                    self._asks.proved(number, claim.inst_id, claim.ts_ms)
                    self._confirm(number, claim.inst_id, "feed", claim.seq_id)
            elif isinstance(decision, Conflict):
                self._conflict(decision)
            elif isinstance(decision, TooLate) and not self._ledger.accounts_for(claim.inst_id, claim.grid_ms):
                self._skip(claim)

    def _skip(self, claim: Claim) -> None:
        """Each is in the journal; the log has the first at once, and then a count a minute."""
        grid = utc_text(claim.grid_ms)
        self._put(events.Skipped(self._clock.wall_text(), claim.feed, claim.inst_id, grid))
        skips = self._skips.setdefault(claim.inst_id, _Skips())
        skips.slots, skips.feed, skips.newest = skips.slots + 1, claim.feed, grid
        self._log_skips(claim.inst_id, skips, self._clock.monotonic_ms())

    def _log_skips(self, inst_id: str, skips: "_Skips", now_ms: int) -> None:
        if not skips.slots or now_ms < skips.log_after_ms:
            return
        words = "%s: %d slots came after a later line and are not written, the newest %s on feed %d"
        _log.warning(words, inst_id, skips.slots, skips.newest, skips.feed)
        skips.slots, skips.log_after_ms = 0, now_ms + SKIPS_EVERY_MS

    def _conflict(self, conflict: Conflict) -> None:
        inst_id, seq_id, (from_ms, to_ms) = conflict.claim.inst_id, conflict.claim.seq_id, conflict.slots
        pending = self._disputes.get(inst_id)
        if pending is not None:
            pending.to_ms = max(pending.to_ms, to_ms)
            return
        _log.error("Feeds %s disagree on %s at seqId %s", conflict.feeds, inst_id, seq_id)
        grid = utc_text(conflict.claim.grid_ms)
        self._put(events.Conflicted(self._clock.wall_text(), inst_id, seq_id, grid, conflict.feeds))
        own = {feed: slots[0] for feed in conflict.feeds if (slots := self._arbiter.unproved(feed, inst_id))}
        until_ms = self._clock.monotonic_ms() + RULING_WITHIN_MS
        self._disputes[inst_id] = _Dispute(conflict.feeds, seq_id, from_ms, to_ms, until_ms, own)
        if not self._asks.audits.on_conflict(inst_id, seq_id, conflict.feeds):
            detail = f"feeds {conflict.feeds[0]} and {conflict.feeds[1]} differ at seqId {seq_id}"
            self.rule(inst_id, None, detail)

    def _dispute(self, inst_id: str, from_ms: int, to_ms: int, cause: Literal["feeds", "audit"], detail: str) -> None:
        bounds = utc_text(from_ms), utc_text(to_ms)
        _log.warning("Disputed: %s from %s to %s (%s): %s", inst_id, *bounds, cause, detail)
        self._put(events.Disputed(self._clock.wall_text(), inst_id, *bounds, cause, detail))

    def _invalidate(self, number: int, inst_id: str, detail: str) -> None:
        pipeline = self._pipelines.get(number)
        if pipeline is not None:
            self.take(number, pipeline.invalidate(inst_id, "conflict", detail, self._clock.monotonic_ms()))

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
            self._put(events.Confirmed(self._clock.wall_text(), number, inst_id, by, seq_id))

    def _write(self, snapshot: Snapshot, claim: Claim) -> None:
        self._look_for_future(snapshot.inst_id)
        tail = self._tails.of(snapshot)
        if tail is not None and tail.takes(snapshot):
            tail.add(snapshot)
            self._counters.wrote(snapshot)
            self._put(snapshot)
            self._ledger.wrote(claim)
            return
        self._counters.held_back(snapshot.inst_id)
        self._ledger.held_back(claim, tail is not None and tail.holds(snapshot))

    def _write_flagged(self, snapshot: Snapshot) -> None:
        self._look_for_future(snapshot.inst_id)
        tail = self._tails.of(snapshot)
        if 0 <= snapshot.ts_ms < LATEST_MS and tail is not None and tail.takes(snapshot):
            tail.add(snapshot)
            self._counters.wrote(snapshot)
            self._put(snapshot)

    def _look_for_future(self, inst_id: str) -> None:
        """Lines later than proved exchange time would keep every later line from the file of their hour."""
        newest_ms = self._tails.newest_ms(inst_id)
        now_ms = self._asks.time.now_ms(self._clock.monotonic_ms()) if newest_ms >= 0 else None
        if now_ms is None or newest_ms <= now_ms + FUTURE_MS or self._future_told.get(inst_id) == newest_ms:
            return
        tail = self._asks.set_aside(inst_id, now_ms + FUTURE_MS)
        if tail is None:
            self._future_told[inst_id] = newest_ms
        else:
            self._tails.reset(inst_id, tail)


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
    if refused.channel != BOOKS:
        words = "OKX refused %s of %s (%s: %s); asking again in %.0f s, the books go on"
        _log.error(words, refused.channel, refused.inst_id, refused.code, refused.message, refused.retry_ms / 1000)
    elif refused.code == _UNKNOWN_INSTRUMENT:
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
