"""Coverage: what can be said of every grid slot of a span, from the journal's testimony and the times of the lines.

Pure. `recorded`: a line is the slot's. `quiet`: no line, but the book was in sync, so it stood unchanged. `missing`: it
was not in sync, or its line was lost, and the cause is known. `unknown`: nothing vouches for it, nothing accuses.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal

import msgspec

State = Literal["recorded", "quiet", "missing", "unknown"]
HoleKind = Literal["missing", "unknown"]


class Hole(msgspec.Struct, frozen=True):
    """A part of a span, half-open in exchange time, that the vault cannot answer for.

    `slots` may be 0: a hole between two grid times costs no line, yet the book after it need not be the one before.
    """

    start_ms: int
    end_ms: int
    kind: HoleKind
    cause: str
    slots: int


class Stretch(msgspec.Struct, frozen=True):
    """Slots that follow each other in one state, by their first and last grid time; `cause` is empty for good ones."""

    first_ms: int
    last_ms: int
    cadence_ms: int
    state: State
    cause: str

    @property
    def slots(self) -> int:
        return (self.last_ms - self.first_ms) // self.cadence_ms + 1


class Coverage(msgspec.Struct, frozen=True):
    """The grid slots in `[start_ms, end_ms)`, in order, and the holes with their exact bounds."""

    inst_id: str
    start_ms: int
    end_ms: int
    stretches: list[Stretch]
    holes: list[Hole]

    @property
    def slots(self) -> int:
        return sum(stretch.slots for stretch in self.stretches)

    def count(self, state: State) -> int:
        """Slots in this state."""
        return sum(stretch.slots for stretch in self.stretches if stretch.state == state)

    def at(self, t_ms: int) -> tuple[State, str]:
        """What can be said of a moment, and its cause if that is nothing good; outside the span nothing can."""
        if not self.start_ms <= t_ms < self.end_ms:
            return "unknown", ""
        for hole in self.holes:
            if hole.start_ms <= t_ms < hole.end_ms:
                return hole.kind, hole.cause
        if not self.stretches:
            return "quiet", ""
        at = bisect_right(self.stretches, t_ms, key=lambda stretch: stretch.first_ms) - 1
        # A moment outside every hole is vouched for, even if the slot before it was not.
        return ("recorded" if self.stretches[max(at, 0)].state == "recorded" else "quiet"), ""

    def clip(self, start_ms: int, end_ms: int) -> "Coverage":
        """The part of it in `[start_ms, end_ms)`."""
        start_ms, end_ms = max(start_ms, self.start_ms), min(end_ms, self.end_ms)
        parts = (_clip_stretch(stretch, start_ms, end_ms) for stretch in self.stretches)
        stretches = [part for part in parts if part.slots > 0]
        holes = []
        for hole in self.holes:
            hole_start_ms, hole_end_ms = max(hole.start_ms, start_ms), min(hole.end_ms, end_ms)
            if hole_start_ms < hole_end_ms:
                slots = count_slots(stretches, hole_start_ms, hole_end_ms)
                holes.append(Hole(hole_start_ms, hole_end_ms, hole.kind, hole.cause, slots))
        return Coverage(self.inst_id, start_ms, end_ms, stretches, holes)

    def every(self, span_ms: int) -> Iterator["Coverage"]:
        """It in pieces of `span_ms`, such as hours or days of UTC, cut at the multiples of it."""
        start_ms = self.start_ms
        while start_ms < self.end_ms:
            end_ms = min((start_ms // span_ms + 1) * span_ms, self.end_ms)
            yield self.clip(start_ms, end_ms)
            start_ms = end_ms


def count_slots(stretches: list[Stretch], start_ms: int, end_ms: int) -> int:
    """Slots in `[start_ms, end_ms)` that are missing or unknown."""
    bad = (stretch for stretch in stretches if stretch.state in ("missing", "unknown"))
    return sum(max(0, _clip_stretch(stretch, start_ms, end_ms).slots) for stretch in bad)


def _clip_stretch(stretch: Stretch, start_ms: int, end_ms: int) -> Stretch:
    """May come out empty, with 0 slots or fewer."""
    cadence_ms = stretch.cadence_ms
    first_ms = max(stretch.first_ms, -(-start_ms // cadence_ms) * cadence_ms)
    last_ms = min(stretch.last_ms, (end_ms - 1) // cadence_ms * cadence_ms)
    return Stretch(first_ms, last_ms, cadence_ms, stretch.state, stretch.cause)
