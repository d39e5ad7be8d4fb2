"""The heatmap as a picture. Knows matplotlib and values; reads no vault."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.heatmap.heatmap import Heatmap
from l2vault.analytics.pictures import canvas
from l2vault.analytics.pictures.coverage import draw_strips, state_patches
from l2vault.analytics.pictures.wall_marks import Edges, draw_ends, end_handles, heaviest, label_biggest
from l2vault.vault.coverage.model import STATES, Coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

TOUCH_COLOURS: Final[dict[SideName, str]] = {"bid": canvas.SKY, "ask": canvas.VERMILION}
_MAP: Final = "cividis"
_EMPTY: Final = "#000A1C"
"""Darker than all of the map: within reach, and nothing there."""
_FAINT_PERCENTILE: Final = 20.0
_BRIGHT_PERCENTILE: Final = 99.3
"""Between these of all cells that hold something the colours run; what is beyond has the last one."""
_LEGEND: Final[dict[str, Any]] = {
    "frameon": False,
    "fontsize": 8.5,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
    "borderaxespad": 0.2,
}
_WALLS: Final = 40
_LABELS: Final = 8
_TOUCH_PT: Final = 1.3
_NARROW_TOUCH_PT: Final = 0.9
_NARROW_SHARE: Final = 0.25
_AROUND: Final = 18
"""Time bins to either side that a label may cover."""
_LIFTS: Final[dict[SideName, int]] = {"ask": 1, "bid": -1}


@canvas.in_own_style
def draw_heatmap(heat: Heatmap, coverage: Coverage | None, walls: pl.DataFrame | None, path: Path) -> None:
    """To a PNG (or what the name's ending says). `walls` are lives of the wall ledger, in the unit of `heat`.

    Of many walls those are marked that were the most for the longest.
    """
    provenance = heat.provenance
    figure = canvas.new_figure(8.6)
    axes, bar_axes, strip = _parts(figure, coverage)
    image = _draw_cells(axes, heat)
    _finish_bar(figure, image, bar_axes, heat)
    handles = _draw_touch(axes, heat)
    margin = (heat.price[-1] - heat.price[0]) * 0.01
    axes.set_ylim(heat.price[0] - margin, heat.price[-1] + margin)
    axes.yaxis.set_major_formatter(canvas.prices())
    axes.set_ylabel(f"price, {canvas.quote(provenance)}")
    _time_axes(axes, strip, heat)
    shown = heaviest(walls, _WALLS) if walls is not None else pl.DataFrame()
    if len(shown):
        handles += _draw_walls(axes, shown)
    handles += _ground_patches(heat)
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(handles), **_LEGEND)
    canvas.head(figure, "resting liquidity", provenance, _cell_note(heat), _wall_note(walls, len(shown)))
    if len(shown):
        label_biggest(figure, axes, shown, _LABELS, _edges(heat) if _is_narrow(heat) else None)
    canvas.save(figure, path)


def _parts(figure: "Figure", coverage: Coverage | None) -> "tuple[Axes, Axes, Axes | None]":
    """Where the cells, the colour bar and the coverage strip go."""
    if coverage is None:
        grid = figure.add_gridspec(1, 2, width_ratios=(80, 1))
        return figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), None
    grid = figure.add_gridspec(2, 2, height_ratios=(26, 1), width_ratios=(80, 1))
    axes = figure.add_subplot(grid[0, 0])
    strip = figure.add_subplot(grid[1, 0], sharex=axes)
    draw_strips(strip, [coverage])
    strip.set_yticks([0], ["coverage"])
    patches = state_patches([state for state in STATES if coverage.count(state)])
    strip.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.8), ncols=4, **_LEGEND)
    return axes, figure.add_subplot(grid[0, 1]), strip


def _draw_cells(axes: "Axes", heat: Heatmap) -> "ScalarMappable":
    import matplotlib as mpl
    from matplotlib.colors import LogNorm

    total: Floats = heat.total.T
    held = total[total > 0]
    faint, bright = np.percentile(held, [_FAINT_PERCENTILE, _BRIGHT_PERCENTILE]) if len(held) else (1.0, 10.0)
    norm = LogNorm(faint, max(bright, faint * 10))
    colours = mpl.colormaps[_MAP].with_extremes(under=mpl.colormaps[_MAP](0.0), bad=(0, 0, 0, 0))
    axes.set_facecolor(canvas.UNSEEN)
    edges = canvas.day_number(1) * heat.t_ms, heat.price
    axes.pcolorfast(*edges, np.where(total == 0, 1.0, np.nan), cmap=mpl.colors.ListedColormap([_EMPTY]))
    image = axes.pcolorfast(*edges, np.where(total > 0, total, np.nan), cmap=colours, norm=norm)
    canvas.shade_holes(axes, _bookless(heat))
    return image


def _bookless(heat: Heatmap) -> list[tuple[int, int]]:
    """Stretches of time bins in which no book stood, in ms."""
    has_book = np.concatenate([[True], heat.covered_ms > 0, [True]]).astype(np.int8)
    change = np.diff(has_book)
    begins, ends = np.flatnonzero(change < 0), np.flatnonzero(change > 0)
    return [(int(heat.t_ms[begin]), int(heat.t_ms[end])) for begin, end in zip(begins, ends, strict=True)]


def _finish_bar(figure: "Figure", image: "ScalarMappable", axes: "Axes", heat: Heatmap) -> None:
    from matplotlib.ticker import LogLocator

    provenance = heat.provenance
    bar = figure.colorbar(image, cax=axes, extend="both", format=canvas.amounts())
    bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    height = f"{canvas.plain(provenance.setting('bin_price'))} {canvas.quote(provenance)}"
    bar.set_label(f"{provenance.unit} resting per {height} of price")


def _draw_touch(axes: "Axes", heat: Heatmap) -> list[Any]:
    """The best prices as each time bin's last book has them, broken where none stood.

    Each is moved aside by a pixel, or one would hide the other wherever the spread is finer than that. Where what was
    seen is a narrow band of all prices the lines are thin, or they would hide it.
    """
    from matplotlib.transforms import ScaledTranslation

    t_days = canvas.day_number(1) * heat.t_ms
    width = _NARROW_TOUCH_PT if _is_narrow(heat) else _TOUCH_PT
    drawn = []
    for is_outline in (True, False):  # under both, then the colours
        for name, lift in _LIFTS.items():
            line = axes.step(t_days, np.append(heat.best[name], np.nan), where="post", zorder=4, label=f"best {name}")[
                0
            ]
            line.set_color("black" if is_outline else TOUCH_COLOURS[name])
            line.set_linewidth(width * 1.8 if is_outline else width)
            aside_in = lift * width / 2 / 72
            line.set_transform(axes.transData + ScaledTranslation(-aside_in, aside_in, axes.figure.dpi_scale_trans))
            drawn.append(line)
    return drawn[len(_LIFTS) :]


def _is_narrow(heat: Heatmap) -> bool:
    """Whether what is within reach is, at most times, but a small part of the height of the picture."""
    seen = np.isfinite(heat.total[heat.covered_ms > 0]).mean(axis=1)
    return bool(np.median(seen) < _NARROW_SHARE)


def _edges(heat: Heatmap) -> Edges:
    """Between which prices the cells lie that were seen around a time."""
    seen = np.isfinite(heat.total)
    margin = (heat.price[-1] - heat.price[0]) * 0.01

    def between(t_ms: float) -> tuple[float, float]:
        at = int(np.searchsorted(heat.t_ms, t_ms, side="right")) - 1
        rows = np.flatnonzero(seen[max(0, at - _AROUND) : at + _AROUND + 1].any(axis=0))
        if not len(rows):
            return float(heat.price[0]), float(heat.price[-1])
        return float(heat.price[rows[0]] - margin), float(heat.price[rows[-1] + 1] + margin)

    return between


def _draw_walls(axes: "Axes", walls: pl.DataFrame) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    t_from, t_to = (canvas.day_number(1) * walls[name].to_numpy() for name in ("t_from", "t_to"))
    style: dict[str, Any] = {"path_effects": [withStroke(linewidth=3.2, foreground="black")]}
    axes.hlines(walls["price"].to_numpy(), t_from, t_to, color="white", linewidth=1.6, zorder=5, **style)
    draw_ends(axes, walls, 26)
    return [Line2D([], [], color="white", linewidth=1.6, label="wall; its end:", **style), *end_handles(walls)]


def _ground_patches(heat: Heatmap) -> list[Any]:
    """For the legend: what has no colour of the bar, if it occurs."""
    from matplotlib.patches import Patch

    total = heat.total
    patches = []
    if (total == 0).any():
        patches.append(Patch(color=_EMPTY, label="empty"))
    if np.isnan(total[heat.covered_ms > 0]).any():
        patches += canvas.unseen_patches()
    return patches + canvas.hole_patches(_bookless(heat))


def _time_axes(axes: "Axes", strip: "Axes | None", heat: Heatmap) -> None:
    """Times are written below the strip where there is one."""
    canvas.time_axis(strip or axes, int(heat.t_ms[0]), int(heat.t_ms[-1]))
    if strip is not None:
        axes.tick_params(labelbottom=False)
        axes.xaxis.get_offset_text().set_visible(False)


def _cell_note(heat: Heatmap) -> str:
    provenance = heat.provenance
    height = f"{canvas.plain(provenance.setting('bin_price'))} {canvas.quote(provenance)}"
    return f"cells of {provenance.setting('bin_ms') / 1000:g} s by {height}"


def _wall_note(walls: pl.DataFrame | None, shown: int) -> str:
    if walls is None or not shown:
        return "no walls marked"
    return f"the {shown} heaviest of {len(walls):,} walls marked" if shown < len(walls) else f"all {shown} walls marked"
