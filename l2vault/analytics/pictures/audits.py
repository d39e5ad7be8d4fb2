"""The picture of a year's audits: a column a day, a row an hour. Knows matplotlib and values; reads no vault."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from l2vault.analytics.figures import percent
from l2vault.analytics.pictures.canvas import (
    BLACK,
    ORANGE,
    UNSEEN,
    VERMILION,
    day_number,
    in_own_style,
    new_figure,
    save,
    time_axis,
)
from l2vault.book.utc import DAY_MS, HOUR_MS, utc_text
from l2vault.vault.coverage.graded import GRADES, Grade, Graded, GradedYear

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From light to dark as it gets worse, so that grey prints and colour-blind readers have the same order.
COLOURS: Final[dict[Grade, str]] = {
    "all": "#A6D3EF",
    "most": ORANGE,
    "some": VERMILION,
    "few": BLACK,
    "no witness": UNSEEN,
    "not recorded": "white",
}
_WORDS: Final[dict[Grade, str]] = {
    "all": "all lines agree",
    "most": "99.9 % or more",
    "some": "99 % or more",
    "few": "less than 99 %",
    "no witness": "recorded, no witness",
    "not recorded": "not recorded",
}
_HATCHED: Final = "#9A9A9A"
_HOURS: Final = 24
_NOTE: Final = "#555555"


@in_own_style
def plot_audits(year: GradedYear, path: Path) -> None:
    """The months of a year of which anything was recorded, to a PNG: above the grade of each hour, below how many lines
    of each day the archive contradicts."""
    months = [month for month in year.months() if year.of(month).recorded] or year.months()
    span = months[0][0], months[-1][1]
    figure = new_figure(5.2)
    hours, lines = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _draw_hours(hours, year, span)
    _draw_lines(lines, year, span)
    time_axis(lines, *span, label="day, UTC")
    _head(figure, year, span)
    save(figure, path)


def _draw_hours(axes: "Axes", year: GradedYear, span: tuple[int, int]) -> None:
    from matplotlib.colors import ListedColormap

    days = range(*span, DAY_MS)
    grades = [[GRADES.index(year.grade(day_ms + hour * HOUR_MS)) for day_ms in days] for hour in range(_HOURS)]
    bounds = day_number(span[0]), day_number(span[1]), _HOURS, 0
    colours = ListedColormap([COLOURS[grade] for grade in GRADES])
    axes.imshow(
        np.array(grades), colours, extent=bounds, aspect="auto", interpolation="nearest", vmin=0, vmax=len(GRADES) - 1
    )
    unseen = GRADES.index("no witness")
    for hour, row in enumerate(grades):
        runs = [(day_number(span[0]) + at, 1) for at, grade in enumerate(row) if grade == unseen]
        axes.broken_barh(_together(runs), (hour, 1), facecolor="none", edgecolor=_HATCHED, hatch="/////", lw=0)
    axes.set_yticks(range(0, _HOURS + 1, 6))
    axes.set_ylabel("hour, UTC")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _together(runs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Bars that touch as one, so that their hatching goes through."""
    found: list[tuple[float, float]] = []
    for start, width in runs:
        if found and found[-1][0] + found[-1][1] == start:
            found[-1] = found[-1][0], found[-1][1] + width
        else:
            found.append((start, width))
    return found


def _draw_lines(axes: "Axes", year: GradedYear, span: tuple[int, int]) -> None:
    """On a scale of powers of ten, of which the first step is even: one line a day shows."""
    from matplotlib.ticker import FuncFormatter

    days = range(*span, DAY_MS)
    counts = [year.of((day_ms, day_ms + DAY_MS)).lines.ours for day_ms in days]
    bars = [(day_number(day_ms) + 0.5, count) for day_ms, count in zip(days, counts, strict=True) if count]
    axes.bar([at for at, _ in bars], [count for _, count in bars], width=0.9, color=BLACK)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, max(10, 2 * max(counts, default=0)))
    axes.set_ylabel("lines\ncontradicted")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _head(figure: "Figure", year: GradedYear, span: tuple[int, int]) -> None:
    from matplotlib.patches import Patch

    bounds = f"{utc_text(span[0])[:10]} to {utc_text(span[1] - 1)[:10]}"
    what = "agreement with OKX's archive by the hour"
    figure.suptitle(f"{year.inst_id}  {what}  {bounds}", x=0.008, ha="left", weight="bold")
    patches = [
        Patch(
            facecolor=COLOURS[grade],
            edgecolor=_HATCHED if grade in ("no witness", "not recorded") else COLOURS[grade],
            hatch="/////" if grade == "no witness" else None,
            label=_WORDS[grade],
        )
        for grade in GRADES
    ]
    figure.axes[0].legend(
        handles=patches, ncols=len(patches), frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2
    )
    figure.supxlabel(_note(year.of(span)), x=0.008, ha="left", fontsize=8.5, color=_NOTE)


def _note(found: Graded) -> str:
    lines = found.lines
    judged = f"{found.judged:,} of {found.recorded:,} recorded hours have a witness"
    if not lines.judged:
        return judged
    agreed = percent(lines.agreed / lines.judged)
    return (
        f"{judged}; of {lines.judged:,} lines compared {agreed} agree, {lines.ours:,} are contradicted; "
        f"{lines.theirs:,} more where the archive contradicts itself, {lines.unseen:,} without a witness"
    )
