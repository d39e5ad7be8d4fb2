"""The evidence for each grid time, as the feeds bring it: due, written, held back, or quiet and since which line.

Pure. A slot is quiet only if a message showed that a book in sync stood unchanged over it, and that book is the one
whose line stands in the vault; every slot is counted once. Holds what is new since the last minute, one interval set
of what was counted before, and the newest few lines: nothing for each slot of a long run.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.utc import utc_text
from l2vault.recording.arbiter import Claim
from l2vault.vault.journal.events import MinuteOf, Quiet

LONGEST_QUIET_MS: Final = 600_000
"""OKX sends a heartbeat every 60 s, and a book without one for 75 s is lost: a longer claim is no evidence but a fault
of a `ts`, and would keep every later slot from being counted."""
_LINES: Final = 64
_INTERVALS: Final = 64


@dataclass(slots=True)
class _Counted:
    """Disjoint ranges of grid times, both ends included, in order. Of very many the oldest are joined to one."""

    cadence_ms: int
    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)

    def add(self, first_ms: int, last_ms: int) -> list[tuple[int, int]]:
        """Count the grid times from `first_ms` to `last_ms`; returns those that were not counted before, in ranges."""
        new, at_ms = [], first_ms
        from_at = bisect_left(self.lasts, first_ms - self.cadence_ms)
        to_at = bisect_right(self.firsts, last_ms + self.cadence_ms)
        for first, last in zip(self.firsts[from_at:to_at], self.lasts[from_at:to_at], strict=True):
            if at_ms < first:
                new.append((at_ms, min(first - self.cadence_ms, last_ms)))
            at_ms = max(at_ms, last + self.cadence_ms)
        if at_ms <= last_ms:
            new.append((at_ms, last_ms))
        bounds = [*self.firsts[from_at:to_at], *self.lasts[from_at:to_at], first_ms, last_ms]
        self.firsts[from_at:to_at] = [min(bounds)]
        self.lasts[from_at:to_at] = [max(bounds)]
        if len(self.firsts) > _INTERVALS:
            del self.firsts[1], self.lasts[0]
        return new

    def has(self, grid_ms: int) -> bool:
        at = bisect_left(self.lasts, grid_ms)
        return at < len(self.firsts) and self.firsts[at] <= grid_ms


@dataclass(slots=True)
class _Instrument:
    counted: _Counted
    lines: OrderedDict[int, tuple[int, int | None]] = field(default_factory=OrderedDict)
    """Of the newest slots: time and `seqId` of the line that the vault holds for it."""
    due: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    held_back: int = 0
    quiet: list[tuple[int, int, int]] = field(default_factory=list)


class SlotLedger:
    """Give it every decision of the arbiter; `take_minute` has what came since the last one."""

    def __init__(self, cadence_ms: int) -> None:
        self._cadence_ms = cadence_ms
        self._instruments: dict[str, _Instrument] = {}

    def wrote(self, claim: Claim) -> None:
        """A line for this slot is on its way to the disk."""
        self._settle(claim, is_held_back=False, is_in_vault=True)

    def held_back(self, claim: Claim, is_in_vault: bool) -> None:
        """No line was written, since the vault holds this time or a later one; `is_in_vault`: it is known to hold
        this very book, by its time and its `seqId`."""
        self._settle(claim, is_held_back=True, is_in_vault=is_in_vault)

    def compared(self, claim: Claim) -> None:
        """Another feed brought the slot too. What it says of later slots counts if its book is the one written."""
        one = self._of(claim.inst_id)
        if one.lines.get(claim.grid_ms) == (claim.ts_ms, claim.seq_id):
            self._stood(one, claim)

    def accounts_for(self, inst_id: str, grid_ms: int) -> bool:
        """Whether the slot is written, held back or known to be quiet."""
        return self._of(inst_id).counted.has(grid_ms)

    def take_minute(self, book_times: dict[str, int]) -> dict[str, MinuteOf]:
        """What came since the last call; the lines on disk are for the disk to add."""
        minute: dict[str, MinuteOf] = {}
        for inst_id in sorted(self._instruments.keys() | book_times.keys()):
            one = self._of(inst_id)
            book_ms = book_times.get(inst_id)
            if not (one.due or one.held_back or book_ms is not None):
                continue
            minute[inst_id] = MinuteOf(
                due=one.due,
                first=_text(one.first_ms),
                last=_text(one.last_ms),
                held_back=one.held_back,
                quiet=[Quiet(*(utc_text(ms) for ms in each)) for each in one.quiet],
                book_time=_text(book_ms),
            )
            one.due, one.held_back, one.first_ms, one.last_ms, one.quiet = 0, 0, None, None, []
        return minute

    def _settle(self, claim: Claim, is_held_back: bool, is_in_vault: bool) -> None:
        one = self._of(claim.inst_id)
        self._count(one, claim.grid_ms, claim.grid_ms)
        one.held_back += is_held_back
        if not is_in_vault:
            return
        one.lines[claim.grid_ms] = claim.ts_ms, claim.seq_id
        if len(one.lines) > _LINES:
            one.lines.popitem(last=False)
        self._stood(one, claim)

    def _stood(self, one: _Instrument, claim: Claim) -> None:
        """Every slot behind the claim's own and before the message that showed it stood unchanged."""
        first_ms = claim.grid_ms + self._cadence_ms
        last_ms = -(-claim.until_ms // self._cadence_ms) * self._cadence_ms - self._cadence_ms
        if last_ms < first_ms or claim.until_ms - claim.ts_ms > max(LONGEST_QUIET_MS, 2 * self._cadence_ms):
            return
        for range_ms in self._count(one, first_ms, last_ms):
            _add_quiet(one.quiet, claim.ts_ms, *range_ms, self._cadence_ms)

    def _count(self, one: _Instrument, first_ms: int, last_ms: int) -> list[tuple[int, int]]:
        new = one.counted.add(first_ms, last_ms)
        for first, last in new:
            one.due += (last - first) // self._cadence_ms + 1
            one.first_ms = first if one.first_ms is None else min(one.first_ms, first)
            one.last_ms = last if one.last_ms is None else max(one.last_ms, last)
        return new

    def _of(self, inst_id: str) -> _Instrument:
        one = self._instruments.get(inst_id)
        if one is None:
            one = self._instruments[inst_id] = _Instrument(_Counted(self._cadence_ms))
        return one


def _add_quiet(quiet: list[tuple[int, int, int]], since_ms: int, first_ms: int, last_ms: int, cadence_ms: int) -> None:
    """Ranges of one book that touch are one range."""
    if quiet and quiet[-1][0] == since_ms and quiet[-1][2] + cadence_ms == first_ms:
        first_ms = quiet.pop()[1]
    quiet.append((since_ms, first_ms, last_ms))


def _text(ms: int | None) -> str | None:
    return None if ms is None else utc_text(ms)
