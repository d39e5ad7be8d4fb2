"""Counts of one run, for the log's summary, the status line and the journal's `slots`. Knows no file and no clock."""

from collections import Counter
from typing import Final

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.okx.pipeline import Counts, Lost
from l2vault.recording.arbiter import Conflict, Decision, Uncomparable, Witnessed
from l2vault.vault.journal.events import Slots

_NAMED: Final = 4
"""Instruments named one by one in a line; more are only summed up."""


class Tally:
    """What was written and lost, since the start and since the last minute's summary."""

    def __init__(self, inst_ids: tuple[str, ...]) -> None:
        self._inst_ids = inst_ids
        self._minute: Counter[str] = Counter()
        self._doubled: Counter[str] = Counter()
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

    def doubled(self, inst_id: str) -> None:
        """A line was held back because the vault holds its time, or a later one, already."""
        self._doubled[inst_id] += 1

    def compared(self, decision: Decision) -> None:
        """A second line came to a slot that was written."""
        self._compared[type(decision)] += 1

    def lost(self, lost: Lost, is_covered: bool) -> None:
        """`is_covered`: another line is in sync, so that nothing is missing and a broken chain is no gap."""
        self.losses += 1
        self.gaps += lost.cause == "chain" and not is_covered

    def minute(self, at: str, book_times: dict[str, int]) -> Slots:
        """The journal's event of the minute now ending; the next one starts from zero."""
        written, doubled = dict(self._minute), dict(self._doubled)
        compared = tuple(self._compared[kind] for kind in (Witnessed, Uncomparable, Conflict))
        self._minute.clear()
        self._doubled.clear()
        self._compared.clear()
        return Slots(at, written, {inst_id: utc_text(ms) for inst_id, ms in book_times.items()}, doubled, *compared)

    def summary(self, slots: Slots, counts: Counts, lines_lost: int) -> str:
        """The minute in one line of log."""
        total = sum(slots.written.values())
        by_name = self._by_name(slots.written)
        messages, self._messages_before = counts.messages - self._messages_before, counts.messages
        parts = [
            f"{total} since the last summary{by_name}",
            f"in sync {len(slots.book_times)} of {len(self._inst_ids)}",
            f"messages {messages}",
            *_witness(slots, total),
            f"since the start: gaps {self.gaps}, losses {self.losses}, "
            f"checksums verified {counts.checksums_verified}, not provided {counts.checksums_absent}, "
            f"deletes of unknown prices {counts.unknown_deletes}",
        ]
        if self.unreadable:
            parts.append(f"unreadable frames {self.unreadable}")
        if slots.doubled:
            parts.append(f"held back as already in the vault: {sum(slots.doubled.values())}")
        if lines_lost:
            parts.append(f"LOST to the disk: {lines_lost}")
        return "; ".join(parts)

    def status(self, wall_ms: int, in_sync: int, counts: Counts) -> str:
        """The state at a glance, one line for a terminal."""
        prices = "  ".join(
            f"{inst_id} {last.best_bid or '-'} / {last.best_ask or '-'}"
            for inst_id, last in list(self._last.items())[:_NAMED]
        )
        state = f"in sync {in_sync}/{len(self._inst_ids)}  lines {self.lines}  gaps {self.gaps}"
        return f"{utc_text(wall_ms)[11:19]}Z  {state}  messages {counts.messages}  {prices}".rstrip()

    def _by_name(self, written: dict[str, int]) -> str:
        if not 0 < len(written) <= _NAMED:
            return ""
        return " (" + ", ".join(f"{inst_id} {count}" for inst_id, count in sorted(written.items())) + ")"


def _witness(slots: Slots, total: int) -> list[str]:
    """What a second line said, where there is one."""
    if not slots.witnessed + slots.uncomparable + slots.conflicting:
        return []
    share = slots.witnessed / total if total else 0.0
    return [f"witnessed {share:.0%}, uncomparable {slots.uncomparable}, in conflict {slots.conflicting}"]
