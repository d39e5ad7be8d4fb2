"""Coverage: what can be said of every grid slot of a span, from what was noted at the time and the lines of the files.

Pure. `recorded`: a readable line is the slot's. `quiet`: a record made at the time says that the book stood unchanged
over the slot, and the line of that book is in the file. `disputed`: two sources contradicted each other there.
`unverifiable`: there is a line, of a stream in which no loss could be seen. `missing`: the book was not in sync, or its
line was lost, with the cause. `unknown`: nothing proves it. `archive`: it was not recorded, and a book of OKX's archive
stands in, where that was asked for (`filled`). Only the first two and the last are covered.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec

from l2vault.book.utc import utc_text

if TYPE_CHECKING:
    import polars as pl

Source = Literal["recorded", "archive"]
"""Where books, trades and values come from: our recording, or what was made of OKX's own archive."""
State = Literal["recorded", "quiet", "disputed", "unverifiable", "missing", "unknown", "archive"]
HoleKind = Literal["disputed", "unverifiable", "missing", "unknown"]

STATES: Final[tuple[State, ...]] = get_args(State)
COVERED: Final[tuple[State, ...]] = ("recorded", "quiet", "archive")


class Hole(msgspec.Struct, frozen=True):
    """A part of a span, half-open in exchange time, in which no book is known, or none that is beyond doubt.

    `slots` may be 0: a hole between two grid times costs no line, yet the book after it need not be the one before.
    """

    start_ms: int
    end_ms: int
    kind: HoleKind
    cause: str
    slots: int


class Stretch(msgspec.Struct, frozen=True):
    """Slots that follow each other in one state, by their first and last grid time.

    `cause` is empty for covered slots, but for the quiet ones of journal form 1 it is `journal v1`.
    """

    first_ms: int
    last_ms: int
    cadence_ms: int
    state: State
    cause: str
    is_unaudited: bool = False

    @property
    def slots(self) -> int:
        return (self.last_ms - self.first_ms) // self.cadence_ms + 1


class Coverage(msgspec.Struct, frozen=True):
    """The grid slots in `[start_ms, end_ms)`, in order, and the holes with their exact bounds.

    A slot is a multiple of the cadence (2 s) since 1970, in exchange time. Each is in one state: `recorded`, `quiet`,
    `disputed`, `unverifiable`, `missing` or `unknown` (docs/format.md defines them).

    >>> coverage = l2vault.open("Vault").coverage("BTC-USDT-SWAP", start="2024-08-20T03:00Z", end="2024-08-20T03:05Z")
    >>> coverage
    <Coverage of BTC-USDT-SWAP, 2024-08-20T03:00:00.000Z to 2024-08-20T03:05:00.000Z: 98 % of 150 slots, 1 hole>
    >>> coverage.count("recorded"), coverage.count("quiet"), coverage.count("missing")
    (147, 0, 3)
    >>> coverage.to_polars().select("kind", "cause", "slots").rows()
    [('missing', 'chain', 3)]
    """

    inst_id: str
    start_ms: int
    end_ms: int
    stretches: list[Stretch]
    holes: list[Hole]

    @property
    def slots(self) -> int:
        return sum(stretch.slots for stretch in self.stretches)

    @property
    def covered_share(self) -> float:
        """Covered slots (recorded, quiet, of the archive) over all slots; 0 where there is no slot."""
        slots = self.slots
        return sum(self.count(state) for state in COVERED) / slots if slots else 0.0

    @property
    def unaudited(self) -> int:
        """Recorded slots whose book was never seen to equal another one: REST's or a second feed's."""
        return sum(stretch.slots for stretch in self.stretches if stretch.is_unaudited)

    def count(self, state: State) -> int:
        """Slots in this state."""
        return sum(stretch.slots for stretch in self.stretches if stretch.state == state)

    def at(self, t_ms: int) -> tuple[State, str]:
        """What can be said of a moment, and its cause if that is not covered; outside the span nothing can."""
        if not self.start_ms <= t_ms < self.end_ms:
            return "unknown", ""
        at = bisect_right(self.holes, t_ms, key=lambda hole: hole.start_ms) - 1
        if at >= 0 and t_ms < self.holes[at].end_ms:
            return self.holes[at].kind, self.holes[at].cause
        # A moment outside every hole is covered, even if the slot before it was not.
        nearest = bisect_right(self.stretches, t_ms, key=lambda stretch: stretch.first_ms) - 1
        if nearest >= 0 and self.stretches[nearest].state in COVERED:
            return self.stretches[nearest].state, self.stretches[nearest].cause
        return "quiet", ""

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """The holes, a row each in order of time: `t_from, t_to` (`Datetime("ms", "UTC")`, or with `raw` integers),
        `kind`, `cause`, `slots` (those that the hole cost). Needs polars."""
        import polars as pl

        rows = [(hole.start_ms, hole.end_ms, hole.kind, hole.cause, hole.slots) for hole in self.holes]
        schema = {"t_from": pl.Int64, "t_to": pl.Int64, "kind": pl.String, "cause": pl.String, "slots": pl.Int64}
        frame = pl.DataFrame(rows, schema, orient="row")
        return frame if raw else frame.with_columns(pl.col("t_from", "t_to").cast(pl.Datetime("ms", "UTC")))

    def __repr__(self) -> str:
        holes = f"{len(self.holes)} hole{'' if len(self.holes) == 1 else 's'}"
        span = f"{utc_text(self.start_ms)} to {utc_text(self.end_ms)}"
        # Never 100 % of what is not all.
        share = f"{min(100 * self.covered_share, 99.99) if self.holes else 100 * self.covered_share:.4g} %"
        return f"<Coverage of {self.inst_id}, {span}: {share} of {self.slots} slots, {holes}>"

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
    """Slots in `[start_ms, end_ms)` that are not covered; `stretches` in order."""
    count = 0
    at = max(0, bisect_right(stretches, start_ms, key=lambda stretch: stretch.first_ms) - 1)
    while at < len(stretches) and stretches[at].first_ms < end_ms:
        if stretches[at].state not in COVERED:
            count += max(0, _clip_stretch(stretches[at], start_ms, end_ms).slots)
        at += 1
    return count


def _clip_stretch(stretch: Stretch, start_ms: int, end_ms: int) -> Stretch:
    """May come out empty, with 0 slots or fewer."""
    cadence_ms = stretch.cadence_ms
    first_ms = max(stretch.first_ms, -(-start_ms // cadence_ms) * cadence_ms)
    last_ms = min(stretch.last_ms, (end_ms - 1) // cadence_ms * cadence_ms)
    return Stretch(first_ms, last_ms, cadence_ms, stretch.state, stretch.cause, stretch.is_unaudited)
