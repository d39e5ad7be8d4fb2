"""Pictures. Knows matplotlib and values; reads no vault."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from l2vault.vault.spans import Coverage, State

# Okabe and Ito's colours, told apart by colour-blind readers too; missing is also the tallest, so grey prints tell it.
_COLOURS: Final[dict[State, str]] = {
    "recorded": "#009E73",
    "quiet": "#56B4E9",
    "missing": "#D55E00",
    "unknown": "#999999",
}
_HEIGHTS: Final[dict[State, float]] = {"recorded": 0.5, "quiet": 0.5, "missing": 0.9, "unknown": 0.7}
_LEAST_SHARE: Final = 1 / 1200
"""Of the picture's width: a hole of one slot in a week is still drawn as wide as a pixel or two."""


def plot_coverage(coverages: Sequence[Coverage], path: Path) -> None:
    """A strip an instrument, time from left to right, to a PNG (or what the name's ending says)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.patches import Patch

    figure, axes = plt.subplots(figsize=(12, 1.6 + 0.6 * len(coverages)), layout="constrained")
    start_ms, end_ms = coverages[0].start_ms, coverages[0].end_ms
    least_days = (end_ms - start_ms) * _LEAST_SHARE / 86_400_000
    for row, coverage in enumerate(coverages):
        # Bad stretches last, so that none hides under a good neighbour that was widened.
        for state in ("recorded", "quiet", "unknown", "missing"):
            bars = [
                (date2num(_moment(stretch.first_ms)), max(stretch.slots * stretch.cadence_ms / 86_400_000, least_days))
                for stretch in coverage.stretches
                if stretch.state == state
            ]
            height = _HEIGHTS[state]
            axes.broken_barh(bars, (row - height / 2, height), facecolors=_COLOURS[state])
    axes.set_yticks(range(len(coverages)), [coverage.inst_id for coverage in coverages])
    axes.set_ylim(len(coverages) - 0.4, -0.6)
    axes.set_xlim(date2num(_moment(start_ms)), date2num(_moment(end_ms)))
    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlabel("exchange time, UTC")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    patches = [Patch(color=colour, label=state) for state, colour in _COLOURS.items()]
    figure.legend(handles=patches, loc="outside upper right", ncols=len(patches), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
