"""Where lines meet: for each instrument and grid time the first snapshot is written, every other is its witness.

Pure. Knows which lines are in sync; knows neither how a line came to its book nor what happens to a decision.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.snapshot import Snapshot

REMEMBERED: Final = 64
"""Grid times of an instrument that a slower line may still be compared at: two minutes at 2 s."""
_FULL_BOOK: Final = -1
"""`prevSeqId` of a book to which no change was applied since the full one."""


@dataclass(frozen=True, slots=True)
class Write:
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Witnessed:
    """Another line came to the same levels at the same `seqId`."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class Uncomparable:
    """Another line has another `seqId` at this grid time: two connections may batch their 100 ms differently."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two lines hold different levels at one `seqId`: at least one of them is wrong, so neither is trusted."""

    inst_id: str
    seq_id: int | None
    grid_ms: int
    lines: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A line was so late with this grid time that a newer line of the file is written already."""

    inst_id: str
    grid_ms: int


Decision = Write | Witnessed | Uncomparable | Conflict | Overtaken


@dataclass(slots=True)
class _Offer:
    line: int
    grid_ms: int
    snapshot: Snapshot


@dataclass(slots=True)
class _Written:
    """What a witness is compared with. Not the snapshot itself: remembered books of 300 instruments are gigabytes."""

    line: int
    seq_id: int | None
    levels_hash: int


@dataclass(slots=True)
class _Meeting:
    """One instrument's state."""

    in_sync: set[int] = field(default_factory=set)
    written: OrderedDict[int, _Written] = field(default_factory=OrderedDict)
    held: _Offer | None = None


class Arbiter:
    """Tell it of every sync, loss and snapshot of every line, in the order in which they happen."""

    def __init__(self) -> None:
        self._meetings: dict[str, _Meeting] = {}

    def in_sync(self, inst_id: str) -> frozenset[int]:
        return frozenset(self._of(inst_id).in_sync)

    def synced(self, line: int, inst_id: str) -> None:
        self._of(inst_id).in_sync.add(line)

    def lost(self, line: int, inst_id: str) -> list[Decision]:
        """What was waiting for this line is decided without it."""
        meeting = self._of(inst_id)
        meeting.in_sync.discard(line)
        if meeting.held is not None and not meeting.in_sync - {meeting.held.line}:
            return self._release(meeting)
        return []

    def offer(self, line: int, snapshot: Snapshot, grid_ms: int) -> list[Decision]:
        """A line's snapshot for a grid time.

        A line that has just been seeded holds the full book itself, whose `prevSeqId` is -1. While another line in
        sync is about to bring the same book by its chain, that one is waited for: a fault on one line then leaves no
        trace in the files. It is messages that end the wait, never a timer.
        """
        meeting = self._of(snapshot.inst_id)
        offer = _Offer(line, grid_ms, snapshot)
        decisions: list[Decision] = []
        held = meeting.held
        if held is not None and grid_ms == held.grid_ms and line != held.line:
            meeting.held = None
            write = self._write(meeting, offer)
            return [write, _compare(meeting.written[grid_ms], held)]
        if held is not None and (grid_ms > held.grid_ms or line == held.line):
            decisions += self._release(meeting)
        return decisions + self._decide(meeting, offer)

    def _decide(self, meeting: _Meeting, offer: _Offer) -> list[Decision]:
        first = meeting.written.get(offer.grid_ms)
        if first is not None:
            return [_compare(first, offer)]
        if meeting.written and offer.grid_ms < next(reversed(meeting.written)):
            return [Overtaken(offer.snapshot.inst_id, offer.grid_ms)]
        if offer.snapshot.prev_seq_id == _FULL_BOOK and meeting.in_sync - {offer.line}:
            meeting.held = offer
            return []
        return [self._write(meeting, offer)]

    def _release(self, meeting: _Meeting) -> list[Decision]:
        held, meeting.held = meeting.held, None
        return [] if held is None else [self._write(meeting, held)]

    def _write(self, meeting: _Meeting, offer: _Offer) -> Write:
        snapshot = offer.snapshot
        meeting.written[offer.grid_ms] = _Written(offer.line, snapshot.seq_id, _levels_hash(snapshot))
        if len(meeting.written) > REMEMBERED:
            meeting.written.popitem(last=False)
        return Write(offer.snapshot)

    def _of(self, inst_id: str) -> _Meeting:
        return self._meetings.setdefault(inst_id, _Meeting())


def _compare(first: _Written, other: _Offer) -> Decision:
    theirs = other.snapshot
    if first.seq_id is None or first.seq_id != theirs.seq_id or first.line == other.line:
        return Uncomparable(theirs.inst_id)
    if first.levels_hash == _levels_hash(theirs):
        return Witnessed(theirs.inst_id)
    return Conflict(theirs.inst_id, first.seq_id, other.grid_ms, (first.line, other.line))


def _levels_hash(snapshot: Snapshot) -> int:
    """64 bits, equal for equal levels within this process: two books that differ are told apart but once in 2^64."""
    return hash((tuple(snapshot.bids), tuple(snapshot.asks)))
