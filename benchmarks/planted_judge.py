"""What the ledger said of the planted walls, beside what truly became of them.

The truth is cut as an observer of the recorded books could cut it: a *stretch* is a run of recorded books that show one
wall at one price; between two of them it was out of the window, or a hole lay there.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import polars as pl
from planted import INST, Life
from planted_vault import Recording

from l2vault.sim.exchange.instruments import reference_price

AT_ONCE_MS: Final = 2_000
NEAR_TICKS: Final = 32
"""Half a basis point."""

Row = dict[str, Any]


class Stretch(NamedTuple):
    """`first` and `last` are numbers of recorded books."""

    life: Life
    first: int
    last: int
    end: str

    @property
    def peak(self) -> int:
        """Lots."""
        return max(self.life.seen[number] for number in range(self.first, self.last + 1))

    @property
    def detail(self) -> str:
        """The row of the table in which it is counted."""
        life = self.life
        if self.end == "pulled":
            if not life.ticks_behind:
                return "pulled at the touch"
            return "pulled within 0.5 bps of it" if life.ticks_behind <= NEAR_TICKS else "pulled far from it"
        if self.end == "consumed":
            is_swept = (life.until_ms or 0) - life.first_trade_ms < AT_ONCE_MS
            return "consumed within 2 s" if is_swept else "consumed slowly"
        return self.end


class Judged(NamedTuple):
    """`rows` are the lives of the ledger that tell of it, in order of time; none if it was not found."""

    stretch: Stretch
    times_threshold: float
    rows: list[Row]


@dataclass(slots=True)
class Verdict:
    """All that the report counts, of one market."""

    recording: Recording
    threshold: float
    judged: list[Judged]
    strangers: list[Row]
    """Lives of the ledger at whose price and time no wall was planted."""
    wall_of: dict[int, int]
    """The planted wall of each life of the ledger that has one."""


def judge(recording: Recording, ledger: pl.DataFrame, threshold: float) -> Verdict:
    rows_at: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in ledger.sort("t_from").iter_rows(named=True):
        rows_at[row["side"], row["price"]].append(row)
    judged: list[Judged] = []
    wall_of: dict[int, int] = {}
    price_text = recording.market.shape.price.text
    reference = float(reference_price(INST))
    for stretch in stretches(recording):
        life = stretch.life
        price = float(price_text(abs(life.key)))
        from_ms, last_ms = recording.times[stretch.first], recording.times[stretch.last]
        own = rows_at["ask" if life.sign > 0 else "bid", price]
        found = [row for row in own if row["t_from"] <= last_ms and row["t_to"] > from_ms]
        wall_of |= {row["wall"]: life.wall for row in found}
        usd = stretch.peak / recording.market.shape.lots_per_usd * price / reference
        judged.append(Judged(stretch, usd / threshold, found))
    strangers = [row for row in ledger.iter_rows(named=True) if row["wall"] not in wall_of]
    return Verdict(recording, threshold, judged, strangers, wall_of)


def stretches(recording: Recording) -> list[Stretch]:
    found = []
    for life in recording.market.planted:
        numbers = sorted(life.seen)
        if not numbers:
            continue
        cuts = [
            nth
            for nth, (one, other) in enumerate(pairwise(numbers), 1)
            if other != one + 1 or one in recording.before_holes
        ]
        for start, stop in pairwise([0, *cuts, len(numbers)]):
            found.append(_stretch(recording, life, numbers[start], numbers[stop - 1]))
    return found


def _stretch(recording: Recording, life: Life, first: int, last: int) -> Stretch:
    if last == len(recording.times) - 1:
        return Stretch(life, first, last, "standing")
    if last in recording.before_holes:
        return Stretch(life, first, last, "gap")
    has_ended = life.until_ms is not None and life.until_ms <= recording.times[last + 1]
    if has_ended and life.was_in_sight:
        return Stretch(life, first, last, life.end)
    return Stretch(life, first, last, "left view")
