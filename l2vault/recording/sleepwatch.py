"""Tells a host that slept, or a process that was stopped, from a clock that was set. Pure; time is handed in.

A watch that is to wake every second and wakes 400 s late, by the clock that goes on while a host sleeps, was not
running. A wall clock that says otherwise was set: no connection is the worse for it.
"""

from typing import Final, NamedTuple

CLOCK_STEP_MS: Final = 5_000
SLEPT_MS: Final = 5_000
"""A watch that is this late: the process was not running. A loop of ours is busy for no second of this."""


class Woken(NamedTuple):
    """What a look at the clocks shows: for how long nothing ran (0: it ran), and how far the wall clock was set."""

    slept_ms: int
    stepped_ms: int


class SleepWatch:
    """Call `look` every `every_ms`. `elapsed_ms` is a monotonic clock that goes on while the host sleeps."""

    def __init__(self, every_ms: int, wall_ms: int, elapsed_ms: int) -> None:
        self._every_ms = every_ms
        self._wall_ms = wall_ms
        self._elapsed_ms = elapsed_ms

    def look(self, wall_ms: int, elapsed_ms: int) -> Woken:
        passed_ms = elapsed_ms - self._elapsed_ms
        stepped_ms = wall_ms - self._wall_ms - passed_ms
        self._wall_ms, self._elapsed_ms = wall_ms, elapsed_ms
        late_ms = passed_ms - self._every_ms
        return Woken(late_ms if late_ms >= SLEPT_MS else 0, stepped_ms if abs(stepped_ms) >= CLOCK_STEP_MS else 0)
