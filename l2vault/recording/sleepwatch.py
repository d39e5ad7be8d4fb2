"""Tells a host that slept, or a process that was stopped, from a clock that was set. Pure; time is handed in.

A watch that is to wake every second and wakes 400 s late has slept, whichever clock went on meanwhile: some systems'
monotonic clocks stand still while a host sleeps, and go on while a process is stopped.
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
    """Call `look` every `every_ms`."""

    def __init__(self, every_ms: int, wall_ms: int, mono_ms: int) -> None:
        self._every_ms = every_ms
        self._wall_ms = wall_ms
        self._mono_ms = mono_ms

    def look(self, wall_ms: int, mono_ms: int) -> Woken:
        """A wall clock that went further than the monotonic one was set, or the host slept: that cannot be told apart
        by two clocks, so a step ahead counts as both."""
        wall_passed, mono_passed = wall_ms - self._wall_ms, mono_ms - self._mono_ms
        self._wall_ms, self._mono_ms = wall_ms, mono_ms
        stepped_ms = wall_passed - mono_passed
        late_ms = max(wall_passed, mono_passed) - self._every_ms
        return Woken(late_ms if late_ms >= SLEPT_MS else 0, stepped_ms if abs(stepped_ms) >= CLOCK_STEP_MS else 0)
