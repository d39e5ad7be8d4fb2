"""What came less what went, and both, by side over time. Knows matplotlib and values; reads no vault."""

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
_NET: Final[dict[SideName, str]] = {"bid": canvas.BLUE, "ask": canvas.VERMILION}
_NET_NOTE: Final = "net: what was added and moved in less what was pulled, consumed and moved out"
_GROSS_ALPHA: Final = 0.45
_LEGEND: Final[dict[str, Any]] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "ncols": 12,
    "frameon": False,
    "fontsize": 8.5,
    "columnspacing": 1.2,
}


@canvas.in_own_style
def draw_shifts(frame: pl.DataFrame, provenance: Provenance, path: Path, stood: pl.DataFrame) -> None:
    """Above, the net flow of both sides, all bands together, on a scale of its own: gross flows are much larger.
    Below, each side: the same net before what came, above 0, and what went, below it; alerts of any band are marked.

    `frame` has a row a window, side and band: `t_from, t_to, side, added, moved_in, entered_view, pulled, consumed,
    moved_out, left_view, net_flow, z, is_alert`. Windows that are many are drawn several to a bar. `stood` are the
    times (`t_from, t_to`) in which books stood.
    """
    start_ms, end_ms = provenance.span_ms
    bars, together = _bars(frame)
    figure = canvas.new_figure(9.6)
    every = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 4))
    holes = canvas.holes_of(stood, start_ms, end_ms)
    _draw_net(every[0], bars)
    for axes, name in zip(every[1:], _TOP_DOWN, strict=True):
        own = bars.filter(pl.col("side") == name)
        _stack(axes, own, _CAME, 1)
        _stack(axes, own, _WENT, -1)
        _draw_net_line(axes, own)
        axes.use_sticky_edges = False  # a flow of 0 upon another one would hold the limit at its end
        axes.margins(y=0.12)
        _mark_alerts(axes, frame.filter(pl.col("side") == name, pl.col("is_alert")))
        axes.set_ylabel(f"{name}s, {provenance.unit}")
    every[0].set_ylabel(f"net of each side, {provenance.unit}")
    for axes in every:
        canvas.shade_holes(axes, holes)
        axes.axhline(0, color=canvas.BLACK, linewidth=0.8)
        axes.yaxis.set_major_formatter(canvas.amounts(is_mirrored=axes is not every[0]))
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    every[0].legend(handles=_net_handles() + canvas.hole_patches(holes), **_LEGEND)
    every[1].legend(handles=_handles(), **_LEGEND)
    canvas.time_axis(every[-1], start_ms, end_ms)
    note = "a bar a window" if together == 1 else f"a bar for {together} windows"
    canvas.head(figure, "liquidity that came and went", provenance, note, _NET_NOTE)
    canvas.save(figure, path)


def _bars(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """All bands together, and so many windows that neighbours make one bar."""
    flows = [pl.col(name).sum() for name in (*_CAME, *_WENT, "net_flow")]
    windows = frame.group_by("t_from", "t_to", "side", maintain_order=True).agg(flows)
    together = -(-windows["t_from"].n_unique() // _BARS)
    if together <= 1:
        return windows, 1
    width_ms = together * int((frame["t_to"] - frame["t_from"]).max())  # type: ignore[arg-type]
    bars = windows.group_by(pl.col("t_from") // width_ms * width_ms, "side", maintain_order=True)
    return bars.agg(pl.col("t_to").max(), *flows), together


def _draw_net(axes: "Axes", bars: pl.DataFrame) -> None:
    """Of each window two bars side by side: above 0 more came than went."""
    for at, (name, colour) in enumerate(_NET.items()):
        own = bars.filter(pl.col("side") == name)
        t_days = canvas.day_number(1) * own["t_from"].to_numpy()
        half = canvas.day_number(1) * (own["t_to"] - own["t_from"]).to_numpy() / 2
        axes.bar(t_days + at * half, own["net_flow"].to_numpy(), half, align="edge", color=colour, linewidth=0)
    axes.margins(y=0.12)


def _draw_net_line(axes: "Axes", bars: pl.DataFrame) -> None:
    t_days, net = canvas.stepped(bars.select("t_from", "t_to", pl.col("net_flow").cast(pl.Float64)), "net_flow")
    axes.step(t_days, net, where="post", color=canvas.BLACK, linewidth=1.4, zorder=3)


def _stack(axes: "Axes", bars: pl.DataFrame, kinds: dict[str, str], direction: int) -> None:
    t_days = canvas.day_number(1) * bars["t_from"].to_numpy()
    width = canvas.day_number(1) * (bars["t_to"] - bars["t_from"]).to_numpy()
    base: Floats = np.zeros(len(bars))
    for name, colour in kinds.items():
        size = direction * bars[name].fill_null(0).to_numpy()
        axes.bar(t_days, size, width, bottom=base, align="edge", color=colour, alpha=_GROSS_ALPHA, linewidth=0)
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


def _net_handles() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=f"net of {name}s") for name, colour in _NET.items()]


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = (_CAME | _WENT).items()
    patches = [Patch(color=colour, alpha=_GROSS_ALPHA, label=name.replace("_", " ")) for name, colour in kinds]
    marks = [
        Line2D([], [], linestyle="", marker=marker, color=canvas.BLACK, markersize=5.5, label=label)
        for marker, label in (("^", "alert: came"), ("v", "alert: went"))
    ]
    return [Line2D([], [], color=canvas.BLACK, linewidth=1.4, label="net"), *patches, *marks]
