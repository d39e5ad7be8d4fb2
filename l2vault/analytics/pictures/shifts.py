"""What came and what went, by side over time. Knows matplotlib and values; reads no vault."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.pictures import canvas
from l2vault.analytics.provenance import Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CAME: Final = {"added": canvas.GREEN, "moved_in": canvas.SKY, "entered_view": "#D5D5D5"}
_WENT: Final = {
    "pulled": canvas.VERMILION,
    "consumed": canvas.ORANGE,
    "moved_out": canvas.PURPLE,
    "left_view": canvas.GREY,
}
_TOP_DOWN: Final[tuple[SideName, ...]] = ("ask", "bid")
_BARS: Final = 360


@canvas.in_own_style
def draw_shifts(frame: pl.DataFrame, provenance: Provenance, path: Path) -> None:
    """Of each side what came above 0 and what went below it, all bands together; alerts of any band are marked.

    `frame` has a row a window, side and band: `t_from, t_to, side, added, moved_in, entered_view, pulled, consumed,
    moved_out, left_view, z, is_alert`. Windows that are many are drawn several to a bar.
    """
    start_ms, end_ms = provenance.span_ms
    bars, together = _bars(frame)
    figure = canvas.new_figure(8.0)
    every = figure.subplots(2, 1, sharex=True)
    holes = canvas.holes_of(bars.filter(pl.col("side") == bars["side"].first()), start_ms, end_ms) if len(bars) else []
    for axes, name in zip(every, _TOP_DOWN, strict=True):
        canvas.shade_holes(axes, holes)
        own = bars.filter(pl.col("side") == name)
        _stack(axes, own, _CAME, 1)
        _stack(axes, own, _WENT, -1)
        axes.axhline(0, color=canvas.BLACK, linewidth=0.8)
        axes.margins(y=0.12)
        _mark_alerts(axes, frame.filter(pl.col("side") == name, pl.col("is_alert")))
        axes.yaxis.set_major_formatter(canvas.amounts(is_mirrored=True))
        axes.set_ylabel(f"{name}s, {provenance.unit}")
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    every[0].legend(
        handles=_handles() + canvas.hole_patches(holes),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=12,
        frameon=False,
        fontsize=8.5,
        columnspacing=1.2,
    )
    canvas.time_axis(every[-1], start_ms, end_ms)
    note = "a bar a window" if together == 1 else f"a bar for {together} windows"
    canvas.head(figure, "liquidity that came and went", provenance, note)
    canvas.save(figure, path)


def _bars(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """All bands together, and so many windows that neighbours make one bar."""
    flows = [pl.col(name).sum() for name in (*_CAME, *_WENT)]
    windows = frame.group_by("t_from", "t_to", "side", maintain_order=True).agg(flows)
    together = -(-windows["t_from"].n_unique() // _BARS)
    if together <= 1:
        return windows, 1
    width_ms = together * int((frame["t_to"] - frame["t_from"]).max())  # type: ignore[arg-type]
    bars = windows.group_by(pl.col("t_from") // width_ms * width_ms, "side", maintain_order=True)
    return bars.agg(pl.col("t_to").max(), *flows), together


def _stack(axes: "Axes", bars: pl.DataFrame, kinds: dict[str, str], direction: int) -> None:
    t_days = canvas.day_number(1) * bars["t_from"].to_numpy()
    width = canvas.day_number(1) * (bars["t_to"] - bars["t_from"]).to_numpy()
    base: Floats = np.zeros(len(bars))
    for name, colour in kinds.items():
        size = direction * bars[name].fill_null(0).to_numpy()
        axes.bar(t_days, size, width, bottom=base, align="edge", color=colour, linewidth=0)
        base = base + size


def _mark_alerts(axes: "Axes", alerts: pl.DataFrame) -> None:
    """At the upper edge where more came, at the lower one where more went than is usual."""
    windows = alerts.group_by("t_from", "t_to").agg(pl.col("z").sort_by(pl.col("z").abs()).last())
    for is_gain, edge, marker in ((True, 0.965, "^"), (False, 0.035, "v")):
        own = windows.filter((pl.col("z") > 0) == is_gain)
        middle = canvas.day_number(1) * ((own["t_from"] + own["t_to"]) / 2).to_numpy()
        axes.plot(
            middle,
            np.full(len(middle), edge),
            linestyle="",
            marker=marker,
            color=canvas.BLACK,
            markersize=5.5,
            transform=axes.get_xaxis_transform(),
        )


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=name.replace("_", " ")) for name, colour in (_CAME | _WENT).items()]
    marks = [
        Line2D([], [], linestyle="", marker=marker, color=canvas.BLACK, markersize=5.5, label=label)
        for marker, label in (("^", "alert: came"), ("v", "alert: went"))
    ]
    return [*patches, *marks]
