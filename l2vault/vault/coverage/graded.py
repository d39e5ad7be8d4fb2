"""How far the recorded books of each hour of a year agree with OKX's archive, by what `audit` kept. Pure.

An hour that was recorded and of which no witness says anything is `no witness`: neither good nor bad, and another thing
than one that was not recorded.
"""

from collections.abc import Mapping, Set
from typing import Final, Literal, NamedTuple, get_args

from l2vault.book.utc import HOUR_MS, utc_ms
from l2vault.vault.store.audits import AuditedHour

Grade = Literal["all", "most", "some", "few", "no witness", "not recorded"]
"""Of the judged lines of an hour agree: all; at least 99.9 %; at least 99 %; fewer."""
GRADES: Final[tuple[Grade, ...]] = get_args(Grade)
LEAST: Final[dict[Grade, float]] = {"all": 1.0, "most": 0.999, "some": 0.99, "few": 0.0}


class Graded(NamedTuple):
    """Some hours in sum: how many have which grade, and their lines."""

    grades: dict[Grade, int]
    lines: AuditedHour

    @property
    def recorded(self) -> int:
        """Hours of which anything was recorded."""
        return sum(self.grades.values()) - self.grades["not recorded"]

    @property
    def judged(self) -> int:
        """Those of them that have a witness."""
        return self.recorded - self.grades["no witness"]


class GradedYear:
    """Of one instrument: `audited` are the hours of which anything was kept, `recorded` those of which the vault has,
    or had, a file."""

    def __init__(self, inst_id: str, year: int, audited: Mapping[int, AuditedHour], recorded: Set[int]) -> None:
        self.inst_id = inst_id
        self.year = year
        self.start_ms, self.end_ms = span_of(year)
        self._audited = audited
        self._recorded = recorded

    def grade(self, hour_ms: int) -> Grade:
        """Of one hour."""
        hour = self._audited.get(hour_ms)
        if hour is not None and hour.judged:
            share = hour.agreed / hour.judged
            return next(grade for grade, least in LEAST.items() if share >= least)
        return "no witness" if hour is not None or hour_ms in self._recorded else "not recorded"

    def hour(self, hour_ms: int) -> AuditedHour:
        """Its lines; none where nothing was kept."""
        return self._audited.get(hour_ms, AuditedHour())

    def of(self, span: tuple[int, int]) -> Graded:
        """The hours of a span."""
        hours = range(span[0], span[1], HOUR_MS)
        grades = dict.fromkeys(GRADES, 0)
        for hour_ms in hours:
            grades[self.grade(hour_ms)] += 1
        each = [self._audited[hour_ms] for hour_ms in hours if hour_ms in self._audited]
        sums = (sum(getattr(hour, name) for hour in each) for name in AuditedHour.__struct_fields__)
        return Graded(grades, AuditedHour(*sums))

    def months(self) -> list[tuple[int, int]]:
        """The months as spans, in order."""
        starts = [utc_ms(f"{self.year:04d}-{month:02d}-01T00:00:00.000Z") for month in range(1, 13)]
        return list(zip(starts, [*starts[1:], self.end_ms], strict=True))


def span_of(year: int) -> tuple[int, int]:
    """Its first millisecond, and that of the next one."""
    return utc_ms(f"{year:04d}-01-01T00:00:00.000Z"), utc_ms(f"{year + 1:04d}-01-01T00:00:00.000Z")
