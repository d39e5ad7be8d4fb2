"""Counts of one run, for the log's summary, the status line and the journal's `minute`. Knows no file and no clock."""

from collections import Counter
from typing import Final, NamedTuple

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.okx.pipeline import Counts, Lost
from l2vault.recording.arbiter import Conflict, Decision, Matched, Unaligned

_NAMED: Final = 4
"""Instruments named one by one in a line; more are only summed up."""


class Compared(NamedTuple):
    """Slots that a second feed brought too, by what the comparison gave."""

    matched: int = 0
    unaligned: int = 0
    conflicting: int = 0


class MinuteCounts(NamedTuple):
    """What came since the last minute."""

    written: dict[str, int]
    held_back: int
    compared: Compared
    messages: int


class Counters:
    """What was written and lost, since the start and since the last minute's summary."""

    def __init__(self, inst_ids: tuple[str, ...]) -> None:
        self._inst_ids = inst_ids
        self._minute: Counter[str] = Counter()
        self._held_back = 0
        self._last: dict[str, Snapshot] = {}
        self._compared: Counter[type[Decision]] = Counter()
        self._messages_before = 0
        self.lines = 0
        self.gaps = 0
        self.losses = 0
        self.unreadable = 0

    def wrote(self, snapshot: Snapshot) -> None:
        self.lines += 1
        self._minute[snapshot.inst_id] += 1
        self._last[snapshot.inst_id] = snapshot

    def held_back(self, inst_id: str) -> None:
        """A line was held back because the vault holds its time, or a later one, already."""
        self._held_back += 1

    def compared(self, decision: Decision) -> None:
        """A second feed came to a slot that was written."""
        self._compared[type(decision)] += 1

    def lost(self, lost: Lost, is_covered: bool) -> None:
        """`is_covered`: another feed is in sync, so that nothing is missing and a broken chain is no gap."""
        self.losses += 1
        self.gaps += lost.cause == "chain" and not is_covered

    def take_minute(self, counts: Counts) -> MinuteCounts:
        """What came since the last call; the next one starts from zero."""
        compared = Compared(*(self._compared[kind] for kind in (Matched, Unaligned, Conflict)))
        messages, self._messages_before = counts.messages - self._messages_before, counts.messages
        minute = MinuteCounts(dict(self._minute), self._held_back, compared, messages)
        self._minute.clear()
        self._held_back = 0
        self._compared.clear()
        return minute

    def summary(self, minute: MinuteCounts, in_sync: int, counts: Counts, lines_lost: int) -> str:
        """The minute in one line of log: what it brought, and then only what is out of the ordinary."""
        total = sum(minute.written.values())
        parts = [
            f"{total} since the last summary{_by_name(minute.written)}",
            f"in sync {in_sync} of {len(self._inst_ids)}",
            f"messages {minute.messages}",
            *_comparison(minute.compared, total),
        ]
        since_start = {
            "gaps": self.gaps,
            "losses": self.losses,
            "checksums verified": counts.checksums_verified,
            "unreadable frames": self.unreadable,
        }
        told = ", ".join(f"{name} {count}" for name, count in since_start.items() if count)
        if told:
            parts.append(f"since the start: {told}")
        if minute.held_back:
            parts.append(f"held back as already in the vault: {minute.held_back}")
        if lines_lost:
            parts.append(f"LOST to the disk: {lines_lost}")
        return "; ".join(parts)

    def status(self, wall_ms: int, in_sync: int, counts: Counts, width: int) -> str:
        """The state at a glance, one line of at most `width` characters. Whole fields are left out, never a digit:
        the prices first, the last instrument's before the first one's."""
        fields = [
            f"{utc_text(wall_ms)[11:19]}Z",
            f"in sync {in_sync}/{len(self._inst_ids)}",
            f"lines {self.lines}",
            f"gaps {self.gaps}",
            f"messages {counts.messages}",
            *self._prices(),
        ]
        while len(fields) > 1 and len("  ".join(fields)) > width:
            fields.pop()
        return "  ".join(fields)

    def _prices(self) -> list[str]:
        seen = [(inst_id, self._last[inst_id]) for inst_id in self._inst_ids if inst_id in self._last]
        return [f"{inst_id} {last.best_bid or '-'} / {last.best_ask or '-'}" for inst_id, last in seen[:_NAMED]]


def _by_name(written: dict[str, int]) -> str:
    if not 0 < len(written) <= _NAMED:
        return ""
    return " (" + ", ".join(f"{inst_id} {count}" for inst_id, count in sorted(written.items())) + ")"


def _comparison(compared: Compared, total: int) -> list[str]:
    """What a second feed brought, where there is one."""
    if not sum(compared):
        return []
    parts = [f"matched by the second feed {compared.matched / total if total else 0.0:.0%}"]
    if compared.unaligned:
        parts.append(f"not aligned {compared.unaligned}")
    if compared.conflicting:
        parts.append(f"CONFLICTS {compared.conflicting}")
    return [", ".join(parts)]
