"""Measures over time as lines, those of one kind in a panel. Knows matplotlib and values; reads no vault."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import polars as pl

from l2vault.analytics.contract import Floats
from l2vault.analytics.heatmap.grid import time_bins
from l2vault.analytics.pictures import canvas
from l2vault.analytics.provenance import Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Style = Literal["plain", "size", "balance"]

_KINDS: Final[tuple[tuple[str, str, _Style], ...]] = (
    (r"bid|ask|mid|microprice|best_\w+|\w+_(avg|worst)", "price, {quote}", "plain"),
    (r"spread", "spread, {quote}", "plain"),
    (r"spread_bps", "spread, bps", "plain"),
    (r"\w+_ticks", "spread, ticks", "plain"),
    (r"top\d+|[\d.]+bps", "{name}", "balance"),
    (r"bid_([\d.]+bps|total)", "bids, {unit}", "size"),
    (r"ask_([\d.]+bps|total)", "asks, {unit}", "size"),
    (r"(bid|ask)_size", "at the touch, {unit}", "size"),
    (r"(bid|ask)_largest", "largest, {unit}", "size"),
    (r"\w+_visible_bps", "visible range, bps", "plain"),
    (r"\w+_hhi", "concentration", "plain"),
    (r"\w+_per_order", "{unit} an order", "size"),
    (r"net_usd", "net taken, {unit}", "plain"),
    (r"cum_usd", "cumulative delta, {unit}", "plain"),
    (r"ofi_touch_usd", "OFI of the touch, {unit}", "plain"),
    (r"vpin", "VPIN", "plain"),
    (r"basis_bps", "basis, bps", "plain"),
    (r"open_interest_contracts", "open interest, contracts", "plain"),
    (r"buy_[\w.]+_bps", "to buy, bps", "plain"),
    (r"sell_[\w.]+_bps", "to sell, bps", "plain"),
)
"""Which measures share a panel, what that is called, and how it is drawn; sizes on a log scale."""

_PLAIN: Final[_Style] = "plain"
_HEIGHTS_IN: Final[dict[_Style, float]] = {"plain": 1.7, "size": 1.7, "balance": 1.05}
_LEGEND_ROWS: Final = 7
_SHADED: Final = 2
"""In a panel of more lines shades would hide them."""
_STEPS: Final = 1500
"""More than so many books are drawn as the mean of each step, and between least and most a shade."""

_MAPS: Final = {"bid": "Blues", "sell": "Blues", "ask": "Oranges", "buy": "Oranges"}
"""What rests on a side, and the orders that would take it: maps told apart by colour-blind readers."""


class _Panel(NamedTuple):
    label: str
    style: _Style
    names: list[str]


@canvas.in_own_style
def draw_series(
    frame: pl.DataFrame,
    columns: Sequence[str],
    provenance: Provenance,
    path: Path,
    ylabel: str | None = None,
    note: str = "",
) -> None:
    """The named measures of a frame with a row per book (`t_from`, `t_to`), broken where none stood.

    Measures of one kind share a panel; with `ylabel` all do. `note` says what a row is, if not a book. A measure that
    is null, NaN or without end has no line.
    """
    panels = [_Panel(ylabel, "plain", list(columns))] if ylabel else _panels(columns, provenance)
    figure = canvas.new_figure(1.2 + max(3.4, sum(_HEIGHTS_IN[panel.style] for panel in panels)))
    ratios = [_HEIGHTS_IN[panel.style] for panel in panels]
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    start_ms, end_ms = provenance.span_ms
    steps, step_ms = _thinned(frame, columns, start_ms, end_ms)
    holes = canvas.holes_of(frame, start_ms, end_ms)
    for axes, panel in zip(every, panels, strict=True):
        canvas.shade_holes(axes, holes)
        _draw_balance(axes, steps, panel.names[0]) if panel.style == "balance" else _draw_lines(axes, steps, panel)
        axes.set_ylabel(panel.label)
        if not any(steps[name].count() for name in panel.names):
            axes.text(0.5, 0.7, "no value in any book of the span", transform=axes.transAxes, ha="center", va="center")
    if holes or panels[-1].style == "balance":
        unseen = canvas.unseen_patches() if panels[-1].style == "balance" else []
        handles = _handles(every[-1]) + unseen + canvas.hole_patches(holes)
        every[-1].legend(handles=handles, **_legend(panels[-1]))
    figure.align_ylabels()
    canvas.time_axis(every[-1], start_ms, end_ms)
    canvas.head(
        figure,
        provenance.method.partition("/")[0],
        provenance,
        note if note and not step_ms else _note(panels, step_ms),
    )
    canvas.save(figure, path)


def _panels(columns: Sequence[str], provenance: Provenance) -> list[_Panel]:
    panels: dict[str, _Panel] = {}
    for pattern, label, style in (*_KINDS, (".*", "{name}", _PLAIN)):
        for name in columns:
            if re.fullmatch(pattern, name) and not any(name in panel.names for panel in panels.values()):
                text = label.format(unit=provenance.unit, quote=canvas.quote(provenance), name=name)
                panels.setdefault(text, _Panel(text, style, [])).names.append(name)
    return list(panels.values())


def _note(panels: Sequence[_Panel], step_ms: int) -> str:
    if not step_ms:
        return "each book a step"
    has_shade = any(panel.style != "balance" and len(panel.names) <= _SHADED for panel in panels)
    return f"mean of every {step_ms / 1000:g} s" + (", shade: least to most" if has_shade else "")


def _thinned(frame: pl.DataFrame, columns: Sequence[str], start_ms: int, end_ms: int) -> tuple[pl.DataFrame, int]:
    """The rows with `NAME_least` and `NAME_most`, or those of many summed up by steps of so many ms."""
    rows = frame.select("t_from", "t_to", *(_finite(name) for name in columns))
    if len(rows) <= _STEPS:
        return rows, 0
    step_ms = time_bins(start_ms, end_ms, 1, _STEPS).width_ms
    weight = pl.col("t_to") - pl.col("t_from")
    steps = rows.group_by((pl.col("t_from") // step_ms).alias("step"), maintain_order=True).agg(
        pl.col("t_from").min().alias("t_from"),
        pl.col("t_to").max().alias("t_to"),
        *(
            ((pl.col(name) * weight).sum() / weight.filter(pl.col(name).is_not_null()).sum()).fill_nan(None).alias(name)
            for name in columns
        ),
        *(pl.col(name).min().alias(f"{name}_least") for name in columns),
        *(pl.col(name).max().alias(f"{name}_most") for name in columns),
    )
    return steps, step_ms


def _finite(name: str) -> pl.Expr:
    column = pl.col(name).cast(pl.Float64)
    return pl.when(column.is_finite()).then(column)


def _draw_lines(axes: "Axes", steps: pl.DataFrame, panel: _Panel) -> None:
    colours = _colours(panel.names)
    for name in panel.names:
        t_days, values = canvas.stepped(steps, name)
        axes.step(t_days, values, where="post", color=colours[name], linewidth=1.1, label=_label(name, values))
        if len(panel.names) <= _SHADED and f"{name}_least" in steps.columns:
            least, most = (canvas.stepped(steps, f"{name}_{end}")[1] for end in ("least", "most"))
            axes.fill_between(t_days, least, most, step="post", color=colours[name], alpha=0.25, linewidth=0)
    if panel.style == "size":
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(canvas.amounts() if panel.style == "size" else canvas.prices())
    axes.legend(handles=_handles(axes), **_legend(panel))
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _label(name: str, values: Floats) -> str:
    return name if np.isfinite(values).any() else f"{name}: no value"


def _draw_balance(axes: "Axes", steps: pl.DataFrame, name: str) -> None:
    """Filled from 0: more bids above it, more asks below."""
    t_days, values = canvas.stepped(steps, name)
    for label, part, colour in (
        ("more bids", np.where(values < 0, 0, values), canvas.BLUE),
        ("more asks", np.where(values > 0, 0, values), canvas.ORANGE),
    ):
        axes.fill_between(t_days, 0, part, step="post", color=colour, linewidth=0, label=label)
    known = np.where(np.isnan(values), np.nan, 1.0)
    axes.set_facecolor(canvas.UNSEEN)
    axes.fill_between(t_days, -known, known, step="post", color="white", linewidth=0, zorder=0.6)
    axes.plot(t_days, 0 * known, color=canvas.BLACK, linewidth=0.6)
    axes.set_ylim(-1, 1)
    axes.set_yticks([-0.5, 0, 0.5])


def _handles(axes: "Axes") -> list[Any]:
    handles: list[Any] = axes.get_legend_handles_labels()[0]
    return handles


def _legend(panel: _Panel) -> dict[str, Any]:
    """To the right of the panel, no taller than it."""
    return {
        "loc": "upper left",
        "bbox_to_anchor": (1.0, 1.04),
        "frameon": False,
        "fontsize": 8.5,
        "handlelength": 1.2,
        "labelspacing": 0.3,
        "columnspacing": 0.8,
        "ncols": 2 if len(panel.names) > _LEGEND_ROWS else 1,
    }


def _colours(names: Sequence[str]) -> dict[str, Any]:
    """Of bids and asks a colour each, the paler the later the measure; otherwise one after another."""
    import matplotlib as mpl

    sides = {name: name.partition("_")[0] for name in names}
    if not set(sides.values()) <= set(_MAPS):
        return {name: canvas.CYCLE[at % len(canvas.CYCLE)] for at, name in enumerate(names)}
    colours: dict[str, Any] = {}
    for side in dict.fromkeys(sides.values()):
        own = [name for name in names if sides[name] == side]
        shades = np.linspace(1.0, 0.4, len(own)) if len(own) > 1 else [0.75]
        colours |= {name: mpl.colormaps[_MAPS[side]](shade) for name, shade in zip(own, shades, strict=True)}
    return colours
