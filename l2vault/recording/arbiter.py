"""Where feeds meet: for each instrument and grid time the first snapshot is written, every other is compared with it.

Pure. Knows which feeds are in sync; knows neither how a feed came to its book nor what happens to a decision. It is
messages that end a wait here, and `tick` only where they no longer come.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.snapshot import Snapshot

REMEMBERED: Final = 64
"""Written slots of an instrument that are always kept, for a feed that joins and lags: two minutes at 2 s."""
REMEMBERED_AT_MOST: Final = 1_024
"""Kept for a feed in sync that is that far behind: only a fast replay comes near. 200 bytes each."""
HELD_AT_MOST: Final = 64
"""Snapshots of a feed that has just joined, waiting for the others to come as far. They share levels with the book."""
HELD_FOR_MS: Final = 10_000
"""Without a snapshot of a feed that was in sync before: then its messages do not keep coming."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a feed says of the slot `grid_ms`, without the levels: this book, unchanged until the message of `until_ms`.

    `until_ms` equal to `grid_ms` says nothing of later slots.
    """

    feed: int
    inst_id: str
    grid_ms: int
    until_ms: int
    ts_ms: int
    seq_id: int | None


@dataclass(frozen=True, slots=True)
class Write:
    """The first snapshot of a slot."""

    snapshot: Snapshot
    claim: Claim


@dataclass(frozen=True, slots=True)
class Matched:
    """Another feed came to the same levels at the same `seqId` as `first`, the feed that was written."""

    claim: Claim
    first: int


@dataclass(frozen=True, slots=True)
class Unaligned:
    """Another feed has another `seqId` at this grid time: two connections may batch their 100 ms differently."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two feeds hold different levels at one `seqId`: at least one of them is wrong.

    `feeds` has the written one first; `slots` are the first and the last grid time that either of them wrote since it
    was last seen to be right.
    """

    claim: Claim
    feeds: tuple[int, int]
    slots: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TooLate:
    """A feed brought this slot only after a later one was written, and no feed had brought it before."""

    claim: Claim


Decision = Write | Matched | Unaligned | Conflict | TooLate


@dataclass(slots=True)
class _Offer:
    claim: Claim
    snapshot: Snapshot


@dataclass(slots=True)
class _Written:
    """What others are compared with. Not the snapshot itself: remembered books of 300 instruments are gigabytes."""

    feed: int
    seq_id: int | None
    levels_hash: int


@dataclass(slots=True)
class _Member:
    """A feed in sync. `passed_ms`: it will bring no slot up to and at this time any more."""

    passed_ms: int = -1
    is_joining: bool = False


@dataclass(slots=True)
class _Meeting:
    """One instrument's state."""

    members: dict[int, _Member] = field(default_factory=dict)
    written: OrderedDict[int, _Written] = field(default_factory=OrderedDict)
    newest_ms: int = -1
    forgotten_ms: int = -1
    held: list[_Offer] = field(default_factory=list)
    held_since_ms: int = 0
    unproved: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By feed: the first and the last slot it wrote since its book was last seen to equal another one."""

    def is_awaited(self, feed: int, grid_ms: int) -> bool:
        """Whether another feed, in sync before this one, is still on its way to this slot."""
        others = (member for number, member in self.members.items() if number != feed and not member.is_joining)
        return any(member.passed_ms < grid_ms for member in others)


class Arbiter:
    """Give it every sync, loss and snapshot of every feed, in the order in which they happen."""

    def __init__(self) -> None:
        self._meetings: dict[str, _Meeting] = {}

    def in_sync(self, inst_id: str) -> frozenset[int]:
        return frozenset(self._of(inst_id).members)

    def synced(self, feed: int, inst_id: str) -> None:
        """A feed that comes to a book while another one is in sync joins it: until they meet, the other goes first."""
        meeting = self._of(inst_id)
        meeting.members.pop(feed, None)
        meeting.members[feed] = _Member(is_joining=bool(meeting.members))
        known = {feed for feed in meeting.members} | {written.feed for written in meeting.written.values()}
        meeting.unproved = {number: slots for number, slots in meeting.unproved.items() if number in known - {feed}}

    def lost(self, feed: int, inst_id: str) -> list[Decision]:
        """What was waiting for this feed is decided without it; what it brought itself stays good."""
        meeting = self._of(inst_id)
        meeting.members.pop(feed, None)
        if all(member.is_joining for member in meeting.members.values()):
            for member in meeting.members.values():
                member.is_joining = False
            return list(self._release(meeting, len(meeting.held)))
        return list(self._release_passed(meeting))

    def confirm(self, feed: int, inst_id: str) -> None:
        """The feed's book was seen to be right by other means: what it wrote before is no longer in question."""
        self._of(inst_id).unproved.pop(feed, None)

    def unproved(self, feed: int, inst_id: str) -> tuple[int, int] | None:
        """The first and the last slot that this feed wrote since its book was last seen to be right."""
        return self._of(inst_id).unproved.get(feed)

    def offer(self, snapshot: Snapshot, claim: Claim, now_ms: int = 0) -> list[Decision]:
        """A feed's snapshot for a grid time; `now_ms` is monotonic.

        The snapshots of a feed that has just joined wait while a feed that was in sync before it has not come as far:
        written at once they would make every line of the slower feed too late. At most 64 wait.
        """
        meeting = self._of(claim.inst_id)
        offer = _Offer(claim, snapshot)
        member = meeting.members.get(claim.feed)
        if member is not None:
            member.passed_ms = max(member.passed_ms, claim.grid_ms, claim.until_ms - 1)
        if member is not None and member.is_joining:
            return list(self._join(meeting, member, offer, now_ms))
        meeting.held_since_ms = now_ms
        decisions = [*self._release_before(meeting, claim.grid_ms), self._decide(meeting, offer)]
        return [*decisions, *self._release_passed(meeting)]

    def tick(self, now_ms: int) -> list[Decision]:
        """Call it about once a second: what waits for a feed that brings nothing more is decided."""
        decisions: list[Decision] = []
        for meeting in self._meetings.values():
            if meeting.held and now_ms - meeting.held_since_ms >= HELD_FOR_MS:
                for member in meeting.members.values():
                    member.is_joining = False
                decisions += self._release(meeting, len(meeting.held))
        return decisions

    def _join(self, meeting: _Meeting, member: _Member, offer: _Offer, now_ms: int) -> Iterator[Decision]:
        if offer.claim.grid_ms in meeting.written or not meeting.is_awaited(offer.claim.feed, offer.claim.grid_ms):
            member.is_joining = False
            yield self._decide(meeting, offer)
            return
        if not meeting.held:
            meeting.held_since_ms = now_ms
        meeting.held.append(offer)
        meeting.held.sort(key=lambda each: each.claim.grid_ms)
        yield from self._release(meeting, len(meeting.held) - HELD_AT_MOST)

    def _release_before(self, meeting: _Meeting, grid_ms: int) -> Iterator[Decision]:
        yield from self._release(meeting, sum(offer.claim.grid_ms < grid_ms for offer in meeting.held))

    def _release_passed(self, meeting: _Meeting) -> Iterator[Decision]:
        """Everything that no feed is on its way to any more; a feed of which nothing waits has joined."""
        while meeting.held and not meeting.is_awaited(meeting.held[0].claim.feed, meeting.held[0].claim.grid_ms):
            feed = meeting.held[0].claim.feed
            yield from self._release(meeting, 1)
            if feed in meeting.members and all(offer.claim.feed != feed for offer in meeting.held):
                meeting.members[feed].is_joining = False

    def _release(self, meeting: _Meeting, count: int) -> Iterator[Decision]:
        for _ in range(count):
            yield self._decide(meeting, meeting.held.pop(0))

    def _decide(self, meeting: _Meeting, offer: _Offer) -> Decision:
        claim = offer.claim
        first = meeting.written.get(claim.grid_ms)
        if first is not None:
            return self._compare(meeting, first, offer)
        if claim.grid_ms <= meeting.forgotten_ms:
            return Unaligned(claim)
        if claim.grid_ms < meeting.newest_ms:
            return TooLate(claim)
        return self._write(meeting, offer)

    def _write(self, meeting: _Meeting, offer: _Offer) -> Write:
        claim = offer.claim
        meeting.written[claim.grid_ms] = _Written(claim.feed, claim.seq_id, _levels_hash(offer.snapshot))
        meeting.newest_ms = claim.grid_ms
        first_ms, _ = meeting.unproved.get(claim.feed, (claim.grid_ms, 0))
        meeting.unproved[claim.feed] = first_ms, claim.grid_ms
        _forget(meeting)
        return Write(offer.snapshot, claim)

    def _compare(self, meeting: _Meeting, first: _Written, offer: _Offer) -> Decision:
        claim = offer.claim
        if first.seq_id is None or first.seq_id != claim.seq_id or first.feed == claim.feed:
            return Unaligned(claim)
        if first.levels_hash == _levels_hash(offer.snapshot):
            for feed in (first.feed, claim.feed):
                _prove(meeting, feed, claim.grid_ms)
            return Matched(claim, first.feed)
        feeds = first.feed, claim.feed
        slots = [slot for feed in feeds for slot in meeting.unproved.get(feed, ())] + [claim.grid_ms]
        return Conflict(claim, feeds, (min(slots), max(slots)))

    def _of(self, inst_id: str) -> _Meeting:
        return self._meetings.setdefault(inst_id, _Meeting())


def _prove(meeting: _Meeting, feed: int, grid_ms: int) -> None:
    """The feed's slots up to this one are right; a feed may have written some behind it already."""
    slots = meeting.unproved.pop(feed, None)
    if slots is not None and slots[1] > grid_ms:
        later = [at for at, written in meeting.written.items() if at > grid_ms and written.feed == feed]
        if later:
            meeting.unproved[feed] = later[0], slots[1]


def _forget(meeting: _Meeting) -> None:
    """The oldest first, and none to which a feed in sync may still come, up to the bound."""
    behind_ms = min((member.passed_ms for member in meeting.members.values()), default=meeting.newest_ms)
    while len(meeting.written) > REMEMBERED:
        oldest_ms = next(iter(meeting.written))
        if oldest_ms > behind_ms and len(meeting.written) <= REMEMBERED_AT_MOST:
            return
        del meeting.written[oldest_ms]
        meeting.forgotten_ms = oldest_ms


def _levels_hash(snapshot: Snapshot) -> int:
    """64 bits, equal for equal levels within this process: two books that differ are told apart but once in 2^64."""
    return hash((tuple(snapshot.bids), tuple(snapshot.asks)))
