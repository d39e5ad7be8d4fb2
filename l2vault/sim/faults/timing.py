"""When faults strike: a rule on exchange time, push numbers and a seed, the same in every run of the same timeline.

Pure. One `Trigger` follows one fault; what it counts is kept apart by key (an instrument, or "" for all together).
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count, islice

from l2vault.sim.faults.plan import When


@dataclass(slots=True)
class _Run:
    """The strikes of one key so far."""

    last: int = -1
    begun: int = 0
    pushes_left: int = 0
    end_ms: int | None = None


class Trigger:
    """The strikes of one fault on a timeline that starts at `origin_ms`; `salt` makes its chances its own."""

    def __init__(self, when: When, origin_ms: int, salt: str) -> None:
        self.when = when
        self._origin_ms = origin_ms
        self._salt = salt
        self._runs: dict[str, _Run] = {}

    def begins(self, key: str, number: int, ts_ms: int) -> bool:
        """Whether a strike begins with this push, or (`number` 0) with this moment. Each strike begins once."""
        run = self._runs.setdefault(key, _Run())
        when = self.when
        if when.until_ms is not None and ts_ms >= self._origin_ms + when.until_ms:
            return False
        if when.chance is not None:
            start_ms = self._by_chance(run, key, number, ts_ms)
        else:
            start_ms = self._by_rule(run, number, ts_ms)
        if start_ms is None:
            return False
        run.begun += 1
        run.pushes_left = when.pushes or 0
        run.end_ms = None if when.lasts_ms is None else start_ms + when.lasts_ms
        return True

    def hits(self, key: str, number: int, ts_ms: int) -> bool:
        """Whether this push is struck. To be asked once for each push, in order."""
        self.begins(key, number, ts_ms)
        run = self._runs[key]
        if self.when.pushes is None:
            return self._lasts(run, ts_ms)
        if not run.pushes_left:
            return False
        run.pushes_left -= 1
        return True

    def is_on(self, key: str, ts_ms: int) -> bool:
        """Whether a strike that lasts for a time, or for ever, is going on."""
        if self.when.unit == "time" and self.when.chance is None:
            self.begins(key, 0, ts_ms)
        run = self._runs.get(key)
        return run is not None and self._lasts(run, ts_ms)

    def end_ms(self, key: str) -> int | None:
        """When the strike that began last ends, if time ends it."""
        run = self._runs.get(key)
        return None if run is None else run.end_ms

    def alarms(self) -> Iterator[int]:
        """The exchange times, in order, at which time alone begins or ends a strike. May go on for ever."""
        when = self.when
        if when.unit != "time" or when.chance is not None:
            return iter(())
        if when.lasts_ms is None:
            return self._starts()
        return heapq.merge(self._starts(), (start + when.lasts_ms for start in self._starts()))

    def _starts(self) -> Iterator[int]:
        when = self.when
        starts = count(self._origin_ms + when.start, when.every or 1)
        return starts if when.every and when.times is None else islice(starts, when.times or 1)

    def _by_rule(self, run: _Run, number: int, ts_ms: int) -> int | None:
        """When the strike begins that is due by now, or None. One that was missed altogether begins late."""
        when = self.when
        by_time = when.unit == "time"
        passed = (ts_ms - self._origin_ms if by_time else number) - when.start
        if passed < 0 or (not by_time and number == 0):
            return None
        index = passed // when.every if when.every else 0
        if when.times is not None:
            index = min(index, when.times - 1)
        if index <= run.last:
            return None
        run.last = index
        return self._origin_ms + when.start + index * (when.every or 0) if by_time else ts_ms

    def _by_chance(self, run: _Run, key: str, number: int, ts_ms: int) -> int | None:
        when = self.when
        position = ts_ms - self._origin_ms if when.unit == "time" else number
        if not number or position < when.start or (when.times is not None and run.begun >= when.times):
            return None
        is_going_on = run.pushes_left > 0 if when.pushes is not None else self._lasts(run, ts_ms)
        if is_going_on or draw(f"{self._salt} {key} {number}") >= (when.chance or 0.0):
            return None
        return ts_ms

    @staticmethod
    def _lasts(run: _Run, ts_ms: int) -> bool:
        return run.begun > 0 and (run.end_ms is None or ts_ms < run.end_ms)


def draw(text: str) -> float:
    """A number from 0 to 1 that only the text decides, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56
