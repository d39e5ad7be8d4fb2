"""The walls of a span as bars, coloured by how they ended. Knows matplotlib and values; reads no vault."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES
from l2vault.analytics.contract import Floats
from l2vault.analytics.figures import amount, counted
from l2vault.analytics.pictures import canvas
from l2vault.analytics.pictures.wall_marks import draw_ends, end_colour, end_handles, heaviest, label_biggest
from l2vault.analytics.provenance import Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST: Final = 400
_LABELS: Final = 12
_END_ROOM_IN: Final = 0.11
"""For the marks of ends beside the right edge."""
_WIDTHS_PT: Final = (1.2, 8.0)


@canvas.in_own_style
def draw_walls(frame: pl.DataFrame, provenance: Provenance, path: Path, touch: pl.DataFrame | None = None) -> None:
    """A bar a life of the wall ledger, the wider the larger its peak; of very many those that were most for longest.

    `touch`, a row a book with `t_from, t_to, bid, ask` as `instant.spread` gives it, draws the market between them.
    """
    start_ms, end_ms = provenance.span_ms
    figure = canvas.new_figure(8.2)
    figure.get_layout_engine().set(w_pad=_END_ROOM_IN)  # type: ignore[union-attr, call-arg]
    axes = figure.add_subplot()
    shown = heaviest(frame, _MOST)
    holes = [] if touch is None else canvas.holes_of(touch, start_ms, end_ms)
    if touch is not None:
        _draw_touch(axes, touch)
        canvas.shade_holes(axes, holes)
    if len(shown):
        _draw_bars(axes, shown)
        draw_ends(axes, shown, 16)
    else:
        axes.text(0.5, 0.5, "no walls", transform=axes.transAxes, ha="center")
    axes.margins(y=0.06)
    axes.yaxis.set_major_formatter(canvas.prices())
    axes.set_ylabel(f"price, {canvas.quote(provenance)}")
    axes.grid(color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    canvas.time_axis(axes, start_ms, end_ms)
    handles = [
        *axes.get_legend_handles_labels()[0],
        *(end_handles(shown) + _width_handles(shown) if len(shown) else []),
    ]
    if handles:
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=12, frameon=False, fontsize=8.5)
    lives, every = counted(len(frame), "life", "lives"), counted(frame["track"].n_unique(), "wall")
    notes = [f"{len(shown):,} of {lives} of {every} drawn"]
    notes += [f"walls from {amount(provenance.setting('threshold'))} {provenance.unit} on"]
    canvas.head(figure, f"walls, {provenance.unit}", provenance, *notes)
    if len(shown):
        label_biggest(figure, axes, shown, _LABELS)
    canvas.save(figure, path)


def _draw_touch(axes: "Axes", touch: pl.DataFrame) -> None:
    for name in SIDES:
        t_days, price = canvas.stepped(touch, name)
        axes.step(t_days, price, where="post", color=canvas.GREY, linewidth=1.0, zorder=2)
    axes.plot([], [], color=canvas.GREY, linewidth=1.0, label="best bid and ask")


def _draw_bars(axes: "Axes", walls: pl.DataFrame) -> None:
    t_from, t_to = (canvas.day_number(1) * walls[name].to_numpy() for name in ("t_from", "t_to"))
    colours = [end_colour(end) for end in walls["end"]]
    widths = _widths(walls["peak"].to_numpy(), walls)
    axes.hlines(walls["price"].to_numpy(), t_from, t_to, colors=colours, linewidths=widths, zorder=5)


def _widths(peaks: Floats, walls: pl.DataFrame) -> Floats:
    """By area: a wall four times as large is drawn twice as wide, within bounds."""
    least, most = _WIDTHS_PT
    largest = max(float(walls["peak"].max()), 1e-12)  # type: ignore[arg-type]
    widths: Floats = np.clip(most * np.sqrt(peaks / largest), least, most)
    return widths


def _width_handles(walls: pl.DataFrame) -> list[Any]:
    from matplotlib.lines import Line2D

    sizes = np.unique([walls["peak"].min(), walls["peak"].max()])
    widths = _widths(sizes, walls)
    return [
        Line2D([], [], color=canvas.BLACK, linewidth=width, solid_capstyle="butt", label=amount(size))
        for size, width in zip(sizes, widths, strict=True)
    ]
