"""The arithmetic of the results: medians, spreads, ratios within a round, verdicts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs, round by round: both halves of a round saw the same machine."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


@dataclass(frozen=True, slots=True)
class Target:
    """A measure with the most it may be. `what` is in the words of the table, `unit` empty for ratios.

    `kind` joins targets that would be missed for one reason.
    """

    what: str
    measured: float | None
    limit: float
    unit: str = ""
    kind: str = ""

    @property
    def is_missed(self) -> bool:
        return self.measured is not None and self.measured > self.limit

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        return "MISSED" if self.is_missed else "met"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Of the same rounds in the same order."""
    each = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Ratio(median(each), min(each), max(each))


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (lowest to highest)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all do not exceed; raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    rank = -(-len(ranked) * percent // 100)
    return ranked[max(0, int(rank) - 1)]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def targets_table(targets: Sequence[Target]) -> str:
    def shown(value: float | None, unit: str) -> str:
        if value is None:
            return "-"
        figure = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
        return f"{figure} {unit}" if unit else figure

    rows = [(one.what, shown(one.measured, one.unit), shown(one.limit, one.unit), one.verdict) for one in targets]
    return table(["measure", "measured", "at most", "verdict"], rows)
