"""For pictures: walls as bars at their price over their life, a mark for how each ended, the biggest labelled."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from l2vault.analytics.figures import amount
from l2vault.analytics.pictures.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, day_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

END_COLOURS: Final = {
    "standing": BLUE,
    "pulled": VERMILION,
    "consumed": GREEN,
    "refilled": GREEN,
    "unknown": GREY,
    "moved": PURPLE,
    "left view": SKY,
    "gap": GREY,
}
END_MARKERS: Final = {
    "standing": ">",
    "pulled": "v",
    "consumed": "X",
    "refilled": "P",
    "unknown": "d",
    "moved": "D",
    "left view": "s",
    "gap": "o",
}

_OTHER: Final = ORANGE, "*"
"""How an end is drawn that a later method may tell."""

Edges = Callable[[float], tuple[float, float]]

_LIFE: Final = pl.col("t_to") - pl.col("t_from")
_WEIGHT: Final = pl.col("peak") * _LIFE
_BIGGEST: Final = 3
_LABEL_FONT: Final = 8.5
_END_EDGE_PT: Final = 0.6
_LABEL_SPACE_PX: Final = 3.0
_SAME_WALL_PX: Final = 300


def heaviest(walls: pl.DataFrame, most: int) -> pl.DataFrame:
    """The lives that were the most for the longest, peak times time, in order of birth."""
    return walls.sort(_WEIGHT, descending=True).head(most).sort("t_from")


def end_colour(end: str) -> str:
    """Of a wall, by the cause of its end."""
    return END_COLOURS.get(end, _OTHER[0])


def draw_ends(axes: "Axes", walls: pl.DataFrame, size: float) -> None:
    """A mark behind the end of each wall, by its cause; `size` in square points. It touches the end and lies beside it,
    and below all walls: on top it would hide those of short lives."""
    from matplotlib.transforms import ScaledTranslation

    aside_in = (size**0.5 / 2 + _END_EDGE_PT) / 72
    aside = ScaledTranslation(aside_in, 0, axes.figure.dpi_scale_trans)
    for (end,), own in walls.group_by("end", maintain_order=True):
        axes.scatter(
            day_number(1) * own["t_to"].to_numpy(),
            own["price"].to_numpy(),
            s=size,
            marker=END_MARKERS.get(str(end), _OTHER[1]),
            facecolor=end_colour(str(end)),
            edgecolor="black",
            linewidth=_END_EDGE_PT,
            zorder=4.8,
            clip_on=False,
            transform=axes.transData + aside,
        )


def end_handles(walls: pl.DataFrame) -> "list[Line2D]":
    """For a legend: the ends that occur."""
    from matplotlib.lines import Line2D

    ends = [end for end in END_MARKERS if end in set(walls["end"])]
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=END_MARKERS[end],
            markerfacecolor=END_COLOURS[end],
            markeredgecolor="black",
            markeredgewidth=_END_EDGE_PT,
            label=end,
        )
        for end in ends
    ]


def label_biggest(  # noqa: PLR0913 - where, what, and how
    figure: "Figure",
    axes: "Axes",
    walls: pl.DataFrame,
    most: int,
    edges: Edges | None = None,
    is_dark: bool = False,
) -> None:
    """Writes the peak of the biggest walls beside them, where no label hides another or leaves the axes. Walls that are
    no straight lines have `t_top`, `top`, `t_bottom` and `bottom`: their highest and their lowest point.

    `edges` says between which prices labels would hide something at a time (ms): they are led out of there. Fixes the
    layout: whatever takes room must be there by now.
    """
    from matplotlib.text import Text

    engine = figure.get_layout_engine()
    if engine is not None:  # all that drawing would do first
        engine.execute(figure)
        figure.set_layout_engine("none")
    frame = axes.get_window_extent()
    taken: list[tuple[float, Bbox]] = []
    for wall in _worth_telling(walls).to_dicts():
        if len(taken) == most:
            break
        for is_above in (True, False):
            label = _label(axes, wall, is_above, edges, is_dark)
            label.get_window_extent()  # finds its place; with the line to it, so it is not what must be free
            box = Text.get_window_extent(label).padded(_LABEL_SPACE_PX)
            is_inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
            is_labelled = any(
                price == wall["price"] and abs(other.x0 - box.x0) < _SAME_WALL_PX for price, other in taken
            )
            if is_inside and not is_labelled and not any(box.overlaps(other) for _, other in taken):
                taken.append((wall["price"], box))
                break
            label.remove()


def _worth_telling(walls: pl.DataFrame) -> pl.DataFrame:
    """The biggest few, then the heaviest."""
    biggest = walls.sort("peak", _LIFE, descending=True).head(_BIGGEST)
    rest = walls.sort(_WEIGHT, descending=True)
    return pl.concat([biggest, rest]).unique(["side", "price", "t_from"], keep="first", maintain_order=True)


def _anchor(wall: dict[str, Any], is_above: bool) -> tuple[float, float]:
    """The time and price that a label stands at: half-way through a life, or the highest and the lowest point of one
    that is no straight line."""
    if "top" not in wall:
        return (wall["t_from"] + wall["t_to"]) / 2, wall["price"]
    return (wall["t_top"], wall["top"]) if is_above else (wall["t_bottom"], wall["bottom"])


def _label(axes: "Axes", wall: dict[str, Any], is_above: bool, edges: Edges | None, is_dark: bool) -> "Annotation":
    t_ms, price = _anchor(wall, is_above)
    how: dict[str, Any] = {"xytext": (0, 4 if is_above else -4), "textcoords": "offset points"}
    if edges is not None:
        low, high = edges(t_ms)
        how = {
            "xytext": (day_number(t_ms), high if is_above else low),
            "arrowprops": {"arrowstyle": "-", "lw": 0.8, "color": "#D3D8DF" if is_dark else "black"},
        }
    return axes.annotate(
        amount(wall["peak"]),
        (day_number(t_ms), price),
        ha="center",
        va="bottom" if is_above else "top",
        fontsize=_LABEL_FONT,
        weight="bold",
        bbox={
            "boxstyle": "round,pad=0.15",
            "facecolor": "black" if is_dark else "white",
            "edgecolor": "none",
            "alpha": 0.8,
        },
        zorder=7,
        **how,
    )
