"""Support and resistance by price. Knows matplotlib and values; reads no vault."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, SideName
from l2vault.analytics.contract import Floats
from l2vault.analytics.figures import amount, percent
from l2vault.analytics.pictures import canvas
from l2vault.analytics.provenance import Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAPS: Final[dict[SideName, str]] = {"bid": "Blues", "ask": "Oranges"}
_DIRECTIONS: Final[dict[SideName, int]] = {"bid": -1, "ask": 1}
_ANNOTATED: Final = 12
"""Of each side, the best scores."""

_CUT_PERCENTILE: Final = 95.0
_CUT_TIMES: Final = 4.0
_LEAST_ROWS: Final = 42
"""So many annotations find room below each other."""


@canvas.in_own_style
def draw_zones(frame: pl.DataFrame, provenance: Provenance, last_mid: float | None, path: Path) -> None:
    """A bar a zone: bids to the left, asks to the right, as long as its size, the darker the longer much
    stood there: for the share of the span in which it was seen with much.

    `frame` has `side, price_from, price_to, size, persistence, seen_share, tests, holds, breaks, score`.
    """
    figure = canvas.new_figure(9.0)
    axes = figure.add_subplot()
    longest = _longest(frame)
    for name in SIDES:
        _draw_bars(axes, frame.filter(pl.col("side") == name), name, longest)
    axes.axvline(0, color=canvas.BLACK, linewidth=0.8)
    handles = _patches()
    if last_mid is not None:
        label = f"last mid {canvas.plain(last_mid)}"
        handles.append(axes.axhline(last_mid, color=canvas.BLACK, linewidth=1.2, linestyle="--", label=label))
    if len(frame):
        _annotate(axes, frame, longest)
    axes.set_xlim(-1.25 * longest, 1.25 * longest)
    axes.xaxis.set_major_formatter(canvas.amounts(is_mirrored=True))
    axes.yaxis.set_major_formatter(canvas.prices())
    axes.set_xlabel(
        f"bids    \N{LEFTWARDS ARROW}    mean size of the zone, {provenance.unit}    \N{RIGHTWARDS ARROW}    asks"
    )
    axes.set_ylabel(f"price, {canvas.quote(provenance)}")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, fontsize=8.5)
    canvas.head(
        figure, "support and resistance", provenance, "beside the best scores: of how many decided tests how many held"
    )
    canvas.save(figure, path)


def _longest(frame: pl.DataFrame) -> float:
    """How long a bar may be, in the unit of size: what is far beyond nearly all others is cut, and written in words."""
    sizes = frame["size"].drop_nulls().to_numpy()
    if not len(sizes):
        return 1.0
    return float(min(sizes.max(), _CUT_TIMES * np.percentile(sizes, _CUT_PERCENTILE))) or 1.0


def _draw_bars(axes: "Axes", zones: pl.DataFrame, name: SideName, longest: float) -> None:
    low, high = zones["price_from"].to_numpy(), zones["price_to"].to_numpy()
    length = _DIRECTIONS[name] * np.minimum(zones["size"].fill_null(0).to_numpy(), longest)
    colours = _colour(name, (zones["persistence"] * zones["seen_share"]).fill_null(0).to_numpy())
    axes.barh(low, length, height=high - low, align="edge", color=colours, edgecolor="white", linewidth=0.3)


def _colour(name: SideName, span_share: Floats) -> Any:
    import matplotlib as mpl

    return mpl.colormaps[_MAPS[name]](0.2 + 0.75 * np.clip(span_share, 0, 1))


def _annotate(axes: "Axes", frame: pl.DataFrame, longest: float) -> None:
    """`2/3 held`: of three decided tests two; the best scores first, none over another. Sizes of bars that were cut."""
    low, high = float(frame["price_from"].min()), float(frame["price_to"].max())  # type: ignore[arg-type]
    apart = (high - low) / _LEAST_ROWS
    is_cut = pl.col("size") > longest
    for name in SIDES:
        noted = frame.filter(pl.col("side") == name, is_cut | (pl.col("tests") > 0))
        taken: list[float] = []
        for zone in noted.sort(is_cut, "score", descending=True, nulls_last=True).to_dicts():
            price = (zone["price_from"] + zone["price_to"]) / 2
            if len(taken) == _ANNOTATED or any(abs(price - other) < apart for other in taken):
                continue
            taken.append(price)
            _write(axes, name, min(zone["size"], longest) + 0.01 * longest, price, _words(zone, longest))


def _words(zone: dict[str, Any], longest: float) -> str:
    size = f"{amount(zone['size'])} (cut)" if zone["size"] > longest else ""
    decided = zone["holds"] + zone["breaks"]
    held = f"{zone['holds']}/{decided} held" if decided else ""
    return ", ".join(filter(None, (size, held)))


def _write(axes: "Axes", name: SideName, length: float, price: float, text: str) -> None:
    axes.text(
        _DIRECTIONS[name] * length,
        price,
        text,
        ha="right" if name == "bid" else "left",
        va="center",
        fontsize=8.5,
        bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
    )


def _patches() -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(color=_colour(name, np.array(share)), label=f"{name}s: much for {percent(share)} of the span")
        for name in SIDES
        for share in (0.1, 0.5, 1.0)
    ]
