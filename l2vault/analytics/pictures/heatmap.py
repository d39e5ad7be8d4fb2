"""The heatmap as a picture: dark, with the largest alight. Knows matplotlib and values; reads no vault.

`heat_colours` has the light of the cells, `heat_marks` what stands on them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SideName
from l2vault.analytics.figures import counted
from l2vault.analytics.heatmap.heatmap import Heatmap
from l2vault.analytics.pictures import canvas
from l2vault.analytics.pictures.coverage import draw_strips, state_patches
from l2vault.analytics.pictures.heat_colours import EMPTY, GROUND, Lights, is_remembered, lights_of, pixels_of
from l2vault.analytics.pictures.heat_marks import SIDE_COLOURS, draw_last_price, draw_profile, draw_trades, draw_walls
from l2vault.analytics.pictures.wall_marks import Edges, draw_ends, end_handles, heaviest, label_biggest
from l2vault.vault.coverage.model import STATES, Coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DARK: Final[dict[Any, Any]] = {
    "figure.facecolor": "#10141B",
    "axes.facecolor": GROUND,
    "axes.edgecolor": "#4A5260",
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), "#D3D8DF"),
}
_NOTE: Final = "#98A2B0"
_LEGEND: Final[dict[str, Any]] = {
    "frameon": False,
    "fontsize": 8.5,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
    "borderaxespad": 0.2,
}
_KEY_HEIGHT: Final = 1.5
_CELLS_HEIGHT: Final = 26
"""Of the legend and of the cells, where the coverage strip has 1."""
_BESIDE_WIDTH: Final = 1.5, 0.47
"""Of the tag beside the last book, without its letters and of each of them, where the cells have 80."""
_WALLS: Final = 40
_END_PT2: Final = 20
_LABELS: Final = 8
_TOUCH_PT: Final = 1.1
_NARROW_TOUCH_PT: Final = 0.8
_NARROW_SHARE: Final = 0.25
_AROUND: Final = 18
"""Time bins to either side that a label may cover."""
_LIFTS: Final[dict[SideName, int]] = {"ask": 1, "bid": -1}


@canvas.in_own_style
def draw_heatmap(
    heat: Heatmap,
    coverage: Coverage | None,
    walls: pl.DataFrame | None,
    path: Path,
    trades: pl.DataFrame | None = None,
) -> None:
    """To a PNG. `walls` are lives of the wall ledger, `trades` rows of `t`, `price`, `size`, `is_buy` and `count`, how
    many of OKX's trades each is; sizes of both are in the unit of `heat`. None where none were asked for.

    Of many walls those are marked that were the most for the longest, of many trades the largest sums.
    """
    import matplotlib as mpl

    mpl.rcParams.update(_DARK)  # until the end of `in_own_style`
    provenance = heat.provenance
    figure = canvas.new_figure(8.6)
    figure.get_layout_engine().set(w_pad=0.04, wspace=0.0)  # type: ignore[union-attr, call-arg]
    axes, profile, bar_axes, strip, key = _parts(figure, coverage, heat)
    shown = heaviest(walls, _WALLS) if walls is not None else pl.DataFrame()
    lights = lights_of(heat, float(shown["peak"].max()) if len(shown) else 0.0)  # type: ignore[arg-type]
    axes.pcolorfast(canvas.day_number(1) * heat.t_ms, heat.price, pixels_of(heat, lights))
    canvas.shade_holes(axes, _bookless(heat), *canvas.DARK_HOLE)
    _draw_bar(figure, lights, bar_axes, heat)
    handles = [] if heat.is_around_mid else _draw_touch(axes, heat)
    _price_axes(axes, profile, heat)
    _time_axes(axes, strip, heat)
    notes = [_cell_note(heat), _wall_note(walls, len(shown))]
    if trades is not None:
        dots, note = draw_trades(axes, trades, heat)
        handles, notes = handles + dots, [*notes, note]
    draw_profile(profile, heat)
    draw_last_price(axes, profile, heat)
    if len(shown):
        handles += draw_walls(axes, shown, heat, lights)
        draw_ends(axes, _placed(shown, heat), _END_PT2)
        handles += end_handles(shown)
    handles += _ground_patches(heat)
    key.legend(handles=handles, loc="lower left", ncols=-(-len(handles) // 2), **_LEGEND).set_in_layout(False)
    what = "resting liquidity around mid" if heat.is_around_mid else "resting liquidity"
    canvas.head(figure, what, provenance, *notes, colour=_NOTE)
    if len(shown):
        _label_walls(figure, axes, shown, heat)
    canvas.save(figure, path)


def _price_axes(axes: "Axes", profile: "Axes", heat: Heatmap) -> None:
    margin = (heat.price[-1] - heat.price[0]) * 0.01
    for each in (axes, profile):
        each.set_ylim(heat.price[0] - margin, heat.price[-1] + margin)
    axes.yaxis.set_major_formatter(canvas.prices())
    axes.set_ylabel("distance from mid, bps" if heat.is_around_mid else f"price, {canvas.quote(heat.provenance)}")


def _placed(walls: pl.DataFrame, heat: Heatmap) -> pl.DataFrame:
    """With `price` where each ended on the axis of prices; without those whose end lies beyond it."""
    y = heat.place(walls["t_to"].to_numpy() - 1, walls["price"].to_numpy())
    return _within(walls.with_columns(price=pl.Series(y, dtype=pl.Float64)), heat)


def _label_walls(figure: "Figure", axes: "Axes", walls: pl.DataFrame, heat: Heatmap) -> None:
    labelled = _labelled(walls, heat)
    if len(labelled):
        label_biggest(figure, axes, labelled, _LABELS, _edges(heat) if _is_narrow(heat) else None, is_dark=True)


def _labelled(walls: pl.DataFrame, heat: Heatmap) -> pl.DataFrame:
    """Around mid with the time and place of the highest and of the lowest point of each, where its label hides no part
    of it."""
    if not heat.is_around_mid:
        return _within(walls, heat)
    rows = []
    for wall in walls.to_dicts():
        around = heat.distances(wall["price"], wall["t_from"], wall["t_to"])
        if not len(around.t_from):
            continue
        t_ms = (around.t_from + around.t_to) / 2
        top, bottom = int(np.argmax(around.high)), int(np.argmin(around.low))
        ends = {"t_top": t_ms[top], "top": around.high[top], "t_bottom": t_ms[bottom], "bottom": around.low[bottom]}
        rows.append(wall | ends)
    return pl.DataFrame(rows, infer_schema_length=None)


def _within(walls: pl.DataFrame, heat: Heatmap) -> pl.DataFrame:
    return walls.filter(pl.col("price").is_between(heat.price[0], heat.price[-1]))


def _parts(figure: "Figure", coverage: Coverage | None, heat: Heatmap) -> "tuple[Axes, Axes, Axes, Axes | None, Axes]":
    """Where the cells, the last book, the colour bar, the coverage strip and the legend go.

    The legend has a row of its own over the whole width: as a part of the cells' axes it would narrow them wherever it
    is wider. A column is left free for what is written beside the last book.
    """
    heights = (_KEY_HEIGHT, _CELLS_HEIGHT, *(() if coverage is None else (1,)))
    frame, letter = _BESIDE_WIDTH
    widths = (80, 7, frame + letter * len(canvas.plain(heat.last_price or 0.0)), 1)
    grid = figure.add_gridspec(len(heights), 4, height_ratios=heights, width_ratios=widths)
    axes = figure.add_subplot(grid[1, 0])
    profile = figure.add_subplot(grid[1, 1])
    bar = figure.add_subplot(grid[1, 3])
    strip = None if coverage is None else figure.add_subplot(grid[2, 0], sharex=axes)
    key = figure.add_subplot(grid[0, :])
    key.set_axis_off()
    if strip is not None and coverage is not None:
        draw_strips(strip, [coverage])
        strip.set_facecolor("none")
        strip.set_yticks([0], ["coverage"])
        patches = state_patches([state for state in STATES if coverage.count(state)])
        strip.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.8), ncols=4, **_LEGEND)
    return axes, profile, bar, strip, key


def _bookless(heat: Heatmap) -> list[tuple[int, int]]:
    """Stretches of time bins in which no book stood, in ms."""
    has_book = np.concatenate([[True], heat.covered_ms > 0, [True]]).astype(np.int8)
    change = np.diff(has_book)
    begins, ends = np.flatnonzero(change < 0), np.flatnonzero(change > 0)
    return [(int(heat.t_ms[begin]), int(heat.t_ms[end])) for begin, end in zip(begins, ends, strict=True)]


def _draw_bar(figure: "Figure", lights: Lights, axes: "Axes", heat: Heatmap) -> None:
    from matplotlib.ticker import LogLocator

    bar = figure.colorbar(lights.mappable(), cax=axes, extend="min", format=canvas.amounts())
    bar.ax.minorticks_off()
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.set_label(f"{heat.provenance.unit} resting per {_cell_height(heat)}, and of a wall")


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
            line.set_color("black" if is_outline else SIDE_COLOURS[name])
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


def _ground_patches(heat: Heatmap) -> list[Any]:
    """For the legend: what has no colour of the bar, if it occurs."""
    from matplotlib.patches import Patch

    total = heat.total
    patches = []
    if (total == 0).any():
        patches.append(Patch(facecolor=EMPTY, edgecolor="#4A5260", label="seen, empty"))
    if np.isnan(total[heat.covered_ms > 0]).any():
        patches.append(Patch(facecolor=GROUND, edgecolor="#4A5260", label="beyond the visible range"))
    if is_remembered(heat).any():
        patches.append(Patch(facecolor="#122F52", edgecolor="#4A5260", label="seen before, fading with its age"))
    return patches + canvas.hole_patches(_bookless(heat), *canvas.DARK_HOLE)


def _time_axes(axes: "Axes", strip: "Axes | None", heat: Heatmap) -> None:
    """Times are written below the strip where there is one."""
    canvas.time_axis(strip or axes, int(heat.t_ms[0]), int(heat.t_ms[-1]))
    if strip is not None:
        axes.tick_params(labelbottom=False)
        axes.xaxis.get_offset_text().set_visible(False)


def _cell_height(heat: Heatmap) -> str:
    provenance = heat.provenance
    if heat.is_around_mid:
        return f"{canvas.plain(provenance.setting('bin_bps'))} bps"
    return f"{canvas.plain(provenance.setting('bin_price'))} {canvas.quote(provenance)} of price"


def _cell_note(heat: Heatmap) -> str:
    return f"cells of {heat.provenance.setting('bin_ms') / 1000:g} s by {_cell_height(heat)}"


def _wall_note(walls: pl.DataFrame | None, shown: int) -> str:
    """A wall that moved or returned has several lives."""
    if walls is None or not shown:
        return "no walls marked"
    lives = (
        f"the {shown} heaviest of {len(walls):,} lives"
        if shown < len(walls)
        else f"all {counted(shown, 'life', 'lives')}"
    )
    return f"{lives} of {counted(walls['track'].n_unique(), 'wall')} marked"
