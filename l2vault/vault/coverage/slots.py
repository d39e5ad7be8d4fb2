"""The grid times, and those that follow each other with a line each: what coverage is computed in. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import sub
from typing import NamedTuple

from l2vault.vault.coverage.model import State
from l2vault.vault.coverage.sync_history import ALWAYS_MS, DEFAULT_CADENCE_MS, SyncHistory


class Grid:
    """The grid times, whose distance may change from one run of a recorder to the next."""

    def __init__(self, history: SyncHistory) -> None:
        known = history.cadences
        self._parts = [(ALWAYS_MS, known[0][1] if known else DEFAULT_CADENCE_MS), *sorted(known[1:])]

    @property
    def has_changes(self) -> bool:
        return len(self._parts) > 1

    def cadence_ms(self, t_ms: int) -> int:
        return self._parts[bisect_right(self._parts, t_ms, key=lambda part: part[0]) - 1][1]

    def slot_of(self, ts_ms: int) -> int:
        """The grid time whose line this is."""
        cadence_ms = self.cadence_ms(ts_ms)
        return -(-ts_ms // cadence_ms) * cadence_ms

    def slots_of(self, times: Iterable[int]) -> list[int]:
        """`slot_of` of each, times in order."""
        if self.has_changes:
            return [self.slot_of(ts_ms) for ts_ms in times]
        cadence_ms = self._parts[0][1]
        return [-(-ts_ms // cadence_ms) * cadence_ms for ts_ms in times]

    def next_slot(self, slot_ms: int) -> int:
        return slot_ms + self.cadence_ms(slot_ms)

    def parts(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, int]]:
        """A span in its parts of one cadence: where each begins and ends, and its cadence."""
        bounds = [from_ms for from_ms, _ in self._parts[1:] if start_ms < from_ms < end_ms]
        for from_ms, to_ms in zip([start_ms, *bounds], [*bounds, end_ms], strict=True):
            yield from_ms, to_ms, self.cadence_ms(from_ms)


class Run(NamedTuple):
    """Slots from `first_ms` to `last_ms`, each with a line, all in one state; the first line is of time `from_ms`."""

    first_ms: int
    last_ms: int
    cadence_ms: int
    from_ms: int
    own: tuple[State, str]

    def has(self, slot_ms: int) -> bool:
        return self.first_ms <= slot_ms <= self.last_ms and (slot_ms - self.first_ms) % self.cadence_ms == 0


def unbroken(grid: Grid, times: Sequence[int], slots: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Places in `slots` from and up to which no grid time is left out, and the cadence there. Two lines of one slot
    break nothing."""
    if not times:
        return
    for from_ms, to_ms, cadence_ms in grid.parts(times[0], times[-1] + 1):
        from_at, to_at = bisect_left(times, from_ms), bisect_left(times, to_ms)
        steps = map(sub, slots[from_at + 1 : to_at], slots[from_at:to_at])
        for after in [at for at, step in enumerate(steps, from_at + 1) if step != cadence_ms and step]:
            yield from_at, after, cadence_ms
            from_at = after
        if from_at < to_at:
            yield from_at, to_at, cadence_ms


def in_slot_order(runs: Iterable[Run]) -> list[Run]:
    """The same slots in runs that do not overlap. The last line before another cadence may be of a slot that comes
    after the first one of that."""
    found: list[Run] = []
    for run in runs:
        before = found[-1] if found else None
        if before is None or before.last_ms < run.first_ms:
            found.append(run)
            continue
        found.pop()
        early_ms = before.last_ms - before.cadence_ms
        if early_ms >= before.first_ms:
            found.append(before._replace(last_ms=early_ms))
        found.append(run)
        if before.last_ms > run.last_ms:
            found.append(before._replace(first_ms=before.last_ms))
    return found
