"""The picture of coverage, and its strip for other pictures. Knows matplotlib and values; reads no vault."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.analytics.figures import time_span
from l2vault.analytics.pictures.canvas import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    day_number,
    in_own_style,
    new_figure,
    save,
    time_axis,
)
from l2vault.book.utc import DAY_MS
from l2vault.vault.coverage.model import STATES, Coverage, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

STATE_COLOURS: Final[dict[State, str]] = {
    "recorded": GREEN,
    "quiet": SKY,
    "disputed": PURPLE,
    "unverifiable": YELLOW,
    "missing": VERMILION,
    "unknown": GREY,
    "archive": BLUE,
}
# Missing is also the tallest, so grey prints tell it.
_HEIGHTS: Final[dict[State, float]] = {
    "recorded": 0.5,
    "quiet": 0.5,
    "disputed": 0.8,
    "unverifiable": 0.6,
    "missing": 0.9,
    "unknown": 0.7,
    "archive": 0.4,
}
_DRAWN: Final[tuple[State, ...]] = (
    *("recorded", "quiet", "archive", "unverifiable", "unknown", "disputed", "missing"),
)
_LEAST_SHARE: Final = 1 / 1200
"""Of the picture's width: a hole of one slot in a week is still drawn as wide as a pixel or two."""


@in_own_style
def plot_coverage(coverages: Sequence[Coverage], path: Path) -> None:
    """A strip an instrument, time from left to right, to a PNG."""
    figure = new_figure(1.6 + 0.6 * len(coverages), 12)
    axes = figure.subplots()
    draw_strips(axes, coverages)
    span = coverages[0].start_ms, coverages[0].end_ms
    time_axis(axes, *span, label=f"exchange time, {time_span(*span)}")  # the picture has no title that names the day
    patches = state_patches(states_of(coverages))
    figure.legend(handles=patches, loc="outside upper right", ncols=len(patches), frameon=False)
    save(figure, path)


def draw_strips(axes: "Axes", coverages: Sequence[Coverage]) -> None:
    """A strip for each, one below the other, in matplotlib's time; the time axis is the caller's."""
    least_days = (coverages[0].end_ms - coverages[0].start_ms) * _LEAST_SHARE / DAY_MS
    for row, coverage in enumerate(coverages):
        # Bad stretches last, so that none hides under a good neighbour that was widened.
        for state in _DRAWN:
            bars = [
                (day_number(stretch.first_ms), max(stretch.slots * stretch.cadence_ms / DAY_MS, least_days))
                for stretch in coverage.stretches
                if stretch.state == state
            ]
            height = _HEIGHTS[state]
            axes.broken_barh(bars, (row - height / 2, height), facecolors=STATE_COLOURS[state])
    axes.set_yticks(range(len(coverages)), [coverage.inst_id for coverage in coverages])
    axes.set_ylim(len(coverages) - 0.4, -0.6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def states_of(coverages: Sequence[Coverage]) -> list[State]:
    """What a legend names: the four that there may always be, the rarer ones where there are any."""
    rare = ("disputed", "unverifiable", "archive")
    return [state for state in STATES if state not in rare or any(each.count(state) for each in coverages)]


def state_patches(states: Sequence[State]) -> "list[Patch]":
    """For a legend."""
    from matplotlib.patches import Patch

    return [Patch(color=STATE_COLOURS[state], label=state) for state in states]
