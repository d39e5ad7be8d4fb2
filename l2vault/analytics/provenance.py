"""What must be known to use a result: its span, how much of it is covered, how far the books could be seen. Pure.

Needs no library, and knows no file: `coverage_meter.CoverageMeter` measures it; terminals, pictures and programs show
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from l2vault.analytics.figures import percent, time_span


@dataclass(frozen=True, slots=True)
class VisibleRange:
    """How far from mid a side could be seen, in basis points, over all books: at the least and at the most. None, None
    where the side was always whole, so that nothing lies beyond what was seen."""

    least_bps: float | None
    most_bps: float | None

    def __str__(self) -> str:
        """`8.7 to 12.5 bps`, or `all`."""
        if self.least_bps is None or self.most_bps is None:
            return "all"
        return f"{self.least_bps:.1f} to {self.most_bps:.1f} bps"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What must be known to use a result.

    `method` is the measure and its version, `walls/3`: figures or words of two versions need not agree. `start`, `end`
    are the half-open span, aware datetimes in exchange time; `covered_share` is the share of its time in which a book
    stood, from 0 to 1; `slots` the share of grid slots in each state, empty where the books came from frames; `holes`
    their number; `visible` has `bid` and `ask`; `unit` is what sizes are in, such as USDT; `settings` what the method
    was given or found, such as a threshold; `until` is the time up to which the last book of the span stood, before
    `end` where a hole lies between, None where no book was counted.

    >>> vault = l2vault.open("Vault")
    >>> rests_on = vault.books("BTC-USDT-SWAP").walls().provenance
    >>> rests_on.method, rests_on.unit, rests_on.cadence_ms, round(rests_on.covered_share, 3), rests_on.holes
    ('walls/3', 'USDT', 2000, 0.987, 1)
    """

    method: str
    inst_id: str
    start: datetime
    end: datetime
    unit: str
    books: int
    cadence_ms: int | None
    covered_share: float
    slots: Mapping[str, float]
    holes: int
    visible: Mapping[Literal["bid", "ask"], VisibleRange]
    settings: Mapping[str, object] = field(default_factory=dict)
    until: datetime | None = None

    @property
    def behind_ms(self) -> int:
        """For how long no book had stood when the span ended."""
        return 0 if self.until is None else max(0, _ms(self.end) - _ms(self.until))

    @property
    def span_ms(self) -> tuple[int, int]:
        """`start` and `end` as milliseconds since 1970."""
        return _ms(self.start), _ms(self.end)

    def setting(self, name: str) -> float:
        """One of the `settings` that is a number. Raises KeyError where the method has none of this name."""
        value = self.settings[name]
        assert isinstance(value, int | float)  # the method's own name for a number
        return value

    def coverage_note(self) -> str:
        """`covered 98.71 % of the time, 1 hole`"""
        holes = f", {self.holes} hole{'' if self.holes == 1 else 's'}" if self.holes else ""
        return f"covered {percent(self.covered_share)} of the time{holes}"

    def books_note(self) -> str:
        """`visible range: bids 8.7 to 12.5 bps, asks all; cadence 2 s; 172 books; spread/1`"""
        sides = ", ".join(f"{side}s {seen}" for side, seen in self.visible.items())
        cadence = "" if self.cadence_ms is None else f"; cadence {self.cadence_ms / 1000:g} s"
        count = f"{self.books:,} book{'' if self.books == 1 else 's'}"
        return f"visible range: {sides}{cadence}; {count}; {self.method}"

    def __str__(self) -> str:
        """One line for people."""
        head = f"{self.inst_id}, {time_span(*self.span_ms)}, sizes in {self.unit}"
        return f"{head}; {self.coverage_note()}; {self.books_note()}"


def aware(ms: int) -> datetime:
    """The time of so many milliseconds since 1970, exactly, in UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _ms(time: datetime) -> int:
    return int(time.replace(microsecond=0).timestamp()) * 1000 + time.microsecond // 1000
