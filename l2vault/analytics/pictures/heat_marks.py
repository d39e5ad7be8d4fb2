"""What stands on a heatmap: walls as wide as they are large, trades as dots, the last price, the book at the end."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.figures import amount
from l2vault.analytics.heatmap.heatmap import Distances, Heatmap
from l2vault.analytics.pictures import canvas
from l2vault.analytics.pictures.heat_colours import Lights, Pixels
from l2vault.book.utc import utc_text

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
_DOT_ALPHA: Final = 0.55
"""A dot lets what lies under it be seen, and has a firm edge."""
_RANGE_ALPHA: Final = 0.35


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
    if heat.is_around_mid:
        around = [heat.distances(*_place_and_life(wall)) for wall in walls.to_dicts()]
        _draw_ranges(axes, around, colours)
        lines = [_steps(each) for each in around]
    else:
        lines = [_straight(*_place_and_life(wall)) for wall in walls.to_dicts()]
    axes.add_collection(LineCollection(lines, linewidths=widths + 1.6, colors="black", zorder=5), autolim=False)
    axes.add_collection(LineCollection(lines, linewidths=widths, colors=colours, zorder=5.1), autolim=False)
    order = [int(np.argmin(peaks)), int(np.argmax(peaks))] if len(peaks) > 1 else [0]
    return [
        Line2D([], [], color=colours[at], linewidth=widths[at], label=f"wall of {amount(peaks[at])}") for at in order
    ]


def _place_and_life(wall: dict[str, Any]) -> tuple[float, int, int]:
    return wall["price"], wall["t_from"], wall["t_to"]


def _straight(price: float, t_from: int, t_to: int) -> Floats:
    return np.array([(canvas.day_number(t_from), price), (canvas.day_number(t_to), price)])


def _steps(around: Distances) -> Floats:
    """`(vertices, 2)`: of each time bin the median of the wall's distances from mid, broken where none is known."""
    t_days = canvas.day_number(1) * np.column_stack([around.t_from, around.t_to]).ravel()
    path = np.column_stack([t_days, np.repeat(around.middle, 2)])
    breaks = 2 * (np.flatnonzero(around.t_from[1:] != around.t_to[:-1]) + 1)
    return np.insert(path, breaks, np.nan, axis=0)


def _draw_ranges(axes: "Axes", around: list[Distances], colours: Pixels) -> None:
    """From the least to the most distance of each wall in each time bin, faint: mid may move far within one."""
    from matplotlib.collections import PolyCollection

    boxes, shades = [], []
    for each, colour in zip(around, colours, strict=True):
        begins, ends = canvas.day_number(1) * each.t_from, canvas.day_number(1) * each.t_to
        corners = [(begins, each.low), (ends, each.low), (ends, each.high), (begins, each.high)]
        boxes.append(np.stack([np.column_stack(corner) for corner in corners], axis=1))
        shades.append(np.tile([*colour[:3], _RANGE_ALPHA], (len(begins), 1)))
    faint = PolyCollection(
        list(np.concatenate(boxes)), facecolors=np.concatenate(shades), edgecolors="none", zorder=4.9
    )
    axes.add_collection(faint, autolim=False)


def draw_trades(axes: "Axes", trades: pl.DataFrame, heat: Heatmap) -> tuple[list[Any], str]:
    """Dots where takers bought and sold: rows of `t`, `price`, `size`, `is_buy` and `count` (of OKX's trade ids), those
    near each other as one, the largest alone. Returns handles for a legend, and what the picture's note says of them.
    """
    from matplotlib.lines import Line2D

    if not len(trades):
        return [], "no trades"
    dots = _dots(trades, heat)
    total = len(dots)
    count, placed = int(trades["count"].sum()), int(dots["count"].sum())
    if not total:
        return [], f"none of {count:,} trades within the prices drawn"
    largest = float(dots["size"].max())  # type: ignore[arg-type]
    small, large = _DOT_PT2
    shown = dots.head(_DOTS)
    colours = [_TAKER_COLOURS[is_buy] for is_buy in shown["is_buy"]]
    axes.scatter(  # the largest first, whatever its side: what is drawn later lies on top
        canvas.day_number(1) * shown["t"].to_numpy(),
        shown["y"].to_numpy(),
        s=small + (large - small) * shown["size"].to_numpy() / largest,
        facecolors=[(colour, _DOT_ALPHA) for colour in colours],
        edgecolors=colours,
        linewidth=0.8,
        zorder=4.5,
    )
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=label)
        for label, colour in (("takers bought", _TAKER_COLOURS[True]), ("takers sold", _TAKER_COLOURS[False]))
    ]
    of_all = f"the {len(shown)} largest of {total:,} dots" if len(shown) < total else f"all {total:,} dots"
    beyond = f" ({count - placed:,} of them without a book or beyond the prices drawn)" if placed < count else ""
    return handles, f"{of_all}, up to {amount(largest)}, of {count:,} trades{beyond}"


def _dots(trades: pl.DataFrame, heat: Heatmap) -> pl.DataFrame:
    """Their sums, the largest first, with `y` where they belong and the `count` of trades."""
    start, end = float(heat.t_ms[0]), float(heat.t_ms[-1])
    low, high = float(heat.price[0]), float(heat.price[-1])
    y = heat.place(trades["t"].to_numpy(), trades["price"].to_numpy())
    placed = trades.with_columns(y=pl.Series(y, dtype=pl.Float64)).filter(pl.col("y").is_between(low, high))
    column = ((pl.col("t") - start) / (end - start) * _DOT_COLUMNS).floor()
    row = ((pl.col("y") - low) / (high - low) * _DOT_ROWS).floor()
    weighed = [((pl.col(name) * pl.col("size")).sum() / pl.col("size").sum()).alias(name) for name in ("t", "y")]
    sums = placed.group_by(column.alias("column"), row.alias("row"), "is_buy").agg(
        *weighed, pl.col("size", "count").sum()
    )
    return sums.sort(["size", "t", "y", "is_buy"], descending=[True, False, False, False])


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
    axes.set_title(_last_book(heat), fontsize=8.5)


def _last_book(heat: Heatmap) -> str:
    """With its time where it ended before the span did: the price beside it, too, is of then."""
    if not heat.provenance.behind_ms:
        return "last book"
    return f"last book\n{utc_text(heat.provenance.span_ms[1] - heat.provenance.behind_ms)[11:19]}"


def _cut_giants(axes: "Axes", sums: dict[SideName, Floats], heat: Heatmap) -> None:
    """So that one giant does not make hairs of all the others: the axis ends at a few times what most rows stay below,
    and the largest that go beyond are written beside their bars."""
    every = np.concatenate(list(sums.values()))
    held = every[every > 0]
    limit = min(_GIANT * float(np.percentile(held, _MOST_SHARE)), float(held.max())) if len(held) else 1.0
    axes.set_xlim(0, limit * 1.05)
    y = np.tile((heat.price[:-1] + heat.price[1:]) / 2, len(SIDES))
    apart = (heat.price[-1] - heat.price[0]) * _APART
    tag_y = _last_y(heat)
    told: list[float] = []
    for at in np.argsort(-every, kind="stable")[: np.count_nonzero(every > limit)]:
        place = float(y[at])
        if tag_y is not None and abs(place - tag_y) < apart:  # beside the tag of the last price, on its own side of it
            place = tag_y + apart * (1 if place >= tag_y else -1)
        if len(told) < _TOLD and all(abs(place - other) >= apart for other in told):
            told.append(place)
            _write_beside(axes, place, amount(every[at]), fontsize=7, color="white")


def _write_beside(axes: "Axes", y: float, text: str, **how: Any) -> None:
    """At the right of the last book, where room is left for it."""
    axes.annotate(
        text,
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        ha="left",
        annotation_clip=False,
        **how,
    ).set_in_layout(False)


def _last_y(heat: Heatmap) -> float | None:
    """Where the last mid lies on the axis of prices: it is no distance from itself."""
    return 0.0 if heat.is_around_mid and heat.last_price is not None else heat.last_price


def draw_last_price(axes: "Axes", profile: "Axes", heat: Heatmap) -> None:
    """A line through both, and a tag at the right."""
    y = _last_y(heat)
    if heat.last_price is None or y is None:
        return
    for each in (axes, profile):
        each.axhline(y, color="white", linewidth=0.7, linestyle=(0, (4, 3)), alpha=0.7, zorder=3.5)
    box = {"boxstyle": "larrow,pad=0.2", "facecolor": "white", "edgecolor": "none"}
    text = canvas.plain(heat.last_price)
    _write_beside(profile, y, text, fontsize=8.5, weight="bold", color="black", bbox=box, zorder=9)
