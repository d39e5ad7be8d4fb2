"""What stands on a heatmap: walls as wide as they are large, trades as dots, the last price, the book at the end."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.figures import amount
from l2vault.analytics.heatmap.heatmap import Heatmap
from l2vault.analytics.pictures import canvas
from l2vault.analytics.pictures.heat_colours import Lights

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE_COLOURS: Final[dict[SideName, str]] = {"bid": canvas.SKY, "ask": canvas.VERMILION}
_TAKER_COLOURS: Final = {True: "#63E6A5", False: "#FF5C7A"}
"""Of buyers and sellers; the one is lighter too."""
_WALL_PT: Final = (1.0, 5.0)
_BENT_WALL_PT: Final = (0.7, 2.5)
"""Around mid, where a wall goes up and down with mid and would cover much."""
_MOST_SHARE: Final = 90
_GIANT: Final = 3.0
"""Of the rows of the last book that hold something 90 % are below a size; beyond three times that a bar is cut."""
_TOLD, _APART = 3, 0.03
"""So many of those are written, none nearer to another than this share of the height."""
_DOTS: Final = 200
_DOT_COLUMNS, _DOT_ROWS = 150, 60
_DOT_PT2: Final = (2.0, 110.0)


def _widths(peaks: Floats, thin: float, thick: float) -> Floats:
    """In points: the largest has all, another by its size."""
    widths: Floats = thin + (thick - thin) * peaks / max(float(peaks.max(initial=0)), 1e-300)
    return widths


def draw_walls(axes: "Axes", walls: pl.DataFrame, heat: Heatmap, lights: Lights) -> list[Any]:
    """Lines at their prices over their lives, each in the light of its peak. Returns handles for a legend."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    peaks = walls["peak"].to_numpy()
    widths, colours = _widths(peaks, *(_BENT_WALL_PT if heat.is_around_mid else _WALL_PT)), lights.of(peaks)
    lines = [_path(heat, wall) for wall in walls.to_dicts()]
    axes.add_collection(LineCollection(lines, linewidths=widths + 1.6, colors="black", zorder=5), autolim=False)
    axes.add_collection(LineCollection(lines, linewidths=widths, colors=colours, zorder=5.1), autolim=False)
    order = [int(np.argmin(peaks)), int(np.argmax(peaks))] if len(peaks) > 1 else [0]
    return [
        Line2D([], [], color=colours[at], linewidth=widths[at], label=f"wall of {amount(peaks[at])}") for at in order
    ]


def _path(heat: Heatmap, wall: dict[str, Any]) -> list[tuple[float, float]]:
    """A straight line; around mid it bends wherever mid moves."""
    t_ms = np.array([wall["t_from"], wall["t_to"]])
    if heat.is_around_mid:
        inner = heat.t_ms[(heat.t_ms > t_ms[0]) & (heat.t_ms < t_ms[1])]
        t_ms = np.concatenate([t_ms[:1], np.repeat(inner, 2), t_ms[1:]])
        before = np.arange(len(t_ms)) % 2 == 1
        y = heat.place(t_ms - before, np.full(len(t_ms), wall["price"]))
    else:
        y = np.full(len(t_ms), wall["price"])
    return [(canvas.day_number(float(t)), float(at)) for t, at in zip(t_ms, y, strict=True) if np.isfinite(at)]


def draw_trades(axes: "Axes", trades: pl.DataFrame, heat: Heatmap) -> tuple[list[Any], str]:
    """Dots where takers bought and sold: rows of `t`, `price`, `size`, `is_buy`, those near each other as one, the
    largest alone. Returns handles for a legend, and what the picture's note says of them."""
    from matplotlib.lines import Line2D

    if not len(trades):
        return [], "no trades"
    dots, total = _dots(trades, heat)
    largest = float(dots["size"].max())  # type: ignore[arg-type]
    small, large = _DOT_PT2
    for (is_buy,), own in dots.group_by("is_buy", maintain_order=True):
        axes.scatter(
            canvas.day_number(1) * own["t"].to_numpy(),
            own["y"].to_numpy(),
            s=small + (large - small) * own["size"].to_numpy() / largest,
            color=_TAKER_COLOURS[bool(is_buy)],
            edgecolor="black",
            linewidth=0.5,
            alpha=0.8,
            zorder=4.5,
        )
    handles = [
        Line2D([], [], linestyle="", marker="o", markeredgecolor="black", color=colour, label=label)
        for label, colour in (("takers bought", _TAKER_COLOURS[True]), ("takers sold", _TAKER_COLOURS[False]))
    ]
    of_all = f"the {len(dots)} largest of {total:,} dots" if len(dots) < total else f"all {total:,} dots"
    return handles, f"{of_all} of {len(trades):,} trades, up to {amount(largest)}"


def _dots(trades: pl.DataFrame, heat: Heatmap) -> tuple[pl.DataFrame, int]:
    """The largest sums, with `y` where they belong, and how many sums there are."""
    start, end = float(heat.t_ms[0]), float(heat.t_ms[-1])
    low, high = float(heat.price[0]), float(heat.price[-1])
    y = heat.place(trades["t"].to_numpy(), trades["price"].to_numpy())
    placed = trades.with_columns(y=pl.Series(y, dtype=pl.Float64)).filter(pl.col("y").is_between(low, high))
    column = ((pl.col("t") - start) / (end - start) * _DOT_COLUMNS).floor()
    row = ((pl.col("y") - low) / (high - low) * _DOT_ROWS).floor()
    weighed = [((pl.col(name) * pl.col("size")).sum() / pl.col("size").sum()).alias(name) for name in ("t", "y")]
    sums = placed.group_by(column.alias("column"), row.alias("row"), "is_buy").agg(*weighed, pl.col("size").sum())
    return sums.sort(["size", "t"], descending=[True, False]).head(_DOTS), len(sums)


def draw_profile(axes: "Axes", heat: Heatmap) -> None:
    """What the last book holds, row by row, beside the cells."""
    from matplotlib.ticker import MaxNLocator

    at = heat.closing_ms
    y = heat.place(np.full(len(heat.closing), at), heat.closing["price"].to_numpy())
    is_ask = (heat.closing["side"] == "ask").to_numpy()
    size = heat.closing["size"].to_numpy()
    sums: dict[SideName, Floats] = {}
    for name in SIDES:
        own = (is_ask == (name == "ask")) & np.isfinite(y)
        sums[name] = np.histogram(y[own], heat.price, weights=size[own])[0]
        axes.stairs(sums[name], heat.price, orientation="horizontal", fill=True, color=SIDE_COLOURS[name], zorder=2)
    _cut_giants(axes, sums, heat)
    axes.xaxis.set_major_formatter(canvas.amounts())
    axes.xaxis.set_major_locator(MaxNLocator(2, prune="lower"))
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.set_title("last book", fontsize=8.5)


def _cut_giants(axes: "Axes", sums: dict[SideName, Floats], heat: Heatmap) -> None:
    """So that one giant does not make hairs of all the others: the axis ends at a few times what most rows stay below,
    and the largest that go beyond are written at its end."""
    every = np.concatenate(list(sums.values()))
    held = every[every > 0]
    limit = min(_GIANT * float(np.percentile(held, _MOST_SHARE)), float(held.max())) if len(held) else 1.0
    axes.set_xlim(0, limit * 1.05)
    y = np.tile((heat.price[:-1] + heat.price[1:]) / 2, len(SIDES))
    apart = (heat.price[-1] - heat.price[0]) * _APART
    told: list[float] = []
    for at in np.argsort(-every, kind="stable")[: np.count_nonzero(every > limit)]:
        if len(told) < _TOLD and all(abs(y[at] - other) > apart for other in told):
            told.append(float(y[at]))
            how: dict[str, Any] = {"va": "bottom", "xytext": (0, 2), "textcoords": "offset points", "zorder": 3}
            axes.annotate(f"{amount(every[at])} >", (limit, y[at]), ha="right", fontsize=7, color="white", **how)


def draw_last_price(axes: "Axes", profile: "Axes", heat: Heatmap) -> None:
    """A line through both, and a tag at the right."""
    if heat.last_price is None:
        return
    (y,) = heat.place(np.array([heat.closing_ms]), np.array([heat.last_price]))
    for each in (axes, profile):
        each.axhline(float(y), color="white", linewidth=0.7, linestyle=(0, (4, 3)), alpha=0.7, zorder=3.5)
    profile.annotate(
        canvas.plain(heat.last_price),
        (1.0, float(y)),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        ha="left",
        fontsize=8.5,
        weight="bold",
        color="black",
        bbox={"boxstyle": "larrow,pad=0.2", "facecolor": "white", "edgecolor": "none"},
        annotation_clip=False,
        zorder=9,
    )
