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
_OF_TRADES: Final = frozenset({"net_usd", "cum_usd", "vpin"})
_OF_NEITHER: Final = frozenset({"basis_bps", "open_interest_contracts"})
"""Measures of trades, and of what is recorded beside books and trades; all others are of books."""
_NO_BOOK: Final = "not covered"
_STEPS: Final = 1500
"""More than so many books are drawn as the mean of each step, and between least and most a shade."""

_MAPS: Final = {"bid": "Blues", "sell": "Blues", "ask": "Oranges", "buy": "Oranges"}
"""What rests on a side, and the orders that would take it: maps told apart by colour-blind readers."""


class Steps(NamedTuple):
    """Rows that are steps of time instead of books: what the picture says of them, and what their times do not say.

    `stood` are the times (`t_from`, `t_to`) in which books stood. `unproved` are those in which trades may be missing:
    there, and not where no book stood, measures of trades are hatched; measures of neither are hatched nowhere.
    """

    note: str
    stood: pl.DataFrame
    unproved: pl.DataFrame | None = None


class _Hatched(NamedTuple):
    """Times (ms) that a panel hatches, why, and on which ground."""

    holes: list[tuple[int, int]]
    why: str
    ground: str = canvas.NO_BOOK


class _Panel(NamedTuple):
    label: str
    style: _Style
    names: list[str]


@canvas.in_own_style
def draw_series(
    frame: pl.DataFrame, columns: Sequence[str], provenance: Provenance, path: Path, steps: Steps | None = None
) -> None:
    """The named measures of a frame with a row per book (`t_from`, `t_to`), broken where none stood, or a row per step,
    as `steps` says: these are drawn as they are, however many.

    Measures of one kind share a panel. A measure that is null, NaN or without end has no line.
    """
    panels = _panels(columns, provenance)
    figure = canvas.new_figure(1.2 + max(3.4, sum(_HEIGHTS_IN[panel.style] for panel in panels)))
    ratios = [_HEIGHTS_IN[panel.style] for panel in panels]
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    span_ms = provenance.span_ms
    rows, thinned_ms = _thinned(frame, columns, span_ms, steps is not None)
    hatched = [_hatched(panel, frame, span_ms, steps) for panel in panels]
    for axes, panel, own in zip(every, panels, hatched, strict=True):
        canvas.shade_holes(axes, own.holes, own.ground)
        _draw_balance(axes, rows, panel.names[0]) if panel.style == "balance" else _draw_lines(axes, rows, panel)
        axes.set_ylabel(panel.label)
        if not any(rows[name].count() for name in panel.names):
            row = "book" if steps is None else "step"
            text = axes.text(0.5, 0.7, f"no value in any {row} of the span", transform=axes.transAxes)
            text.set(ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})
    reasons = {each.why: each for each in hatched}.values()
    patches = [patch for each in reasons for patch in canvas.hole_patches(each.holes, each.ground, label=each.why)]
    if patches or panels[-1].style == "balance":
        unseen = canvas.unseen_patches() if panels[-1].style == "balance" else []
        every[-1].legend(handles=_handles(every[-1]) + unseen + patches, **_legend(panels[-1]))
    figure.align_ylabels()
    canvas.time_axis(every[-1], *span_ms)
    note = _note(panels, thinned_ms) if steps is None else steps.note
    canvas.head(figure, provenance.method.partition("/")[0], provenance, note)
    canvas.save(figure, path)


def _hatched(panel: _Panel, frame: pl.DataFrame, span_ms: tuple[int, int], steps: Steps | None) -> _Hatched:
    if steps is None:
        return _Hatched(canvas.holes_of(frame, *span_ms), _NO_BOOK)
    if _OF_NEITHER.intersection(panel.names):
        return _Hatched([], "")
    if _OF_TRADES.intersection(panel.names):
        unproved = [] if steps.unproved is None else steps.unproved.select("t_from", "t_to").rows()
        return _Hatched(unproved, "trades not all proved", canvas.UNPROVED)
    return _Hatched(canvas.holes_of(steps.stood, *span_ms), _NO_BOOK)


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


def _thinned(
    frame: pl.DataFrame, columns: Sequence[str], span_ms: tuple[int, int], are_steps: bool
) -> tuple[pl.DataFrame, int]:
    """The rows as they are and 0; or of many books the means over steps of so many ms, with `NAME_least` and
    `NAME_most`."""
    rows = frame.select("t_from", "t_to", *(_finite(name) for name in columns))
    if are_steps or len(rows) <= _STEPS:
        return rows, 0
    step_ms = time_bins(*span_ms, 1, _STEPS).width_ms
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
            t_days, least = canvas.stepped(steps, f"{name}_least", is_area=True)
            most = canvas.stepped(steps, f"{name}_most", is_area=True)[1]
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
    t_days, values = canvas.stepped(steps, name, is_area=True)
    for label, part, colour in (
        ("more bids", np.where(values < 0, 0, values), canvas.BLUE),
        ("more asks", np.where(values > 0, 0, values), canvas.ORANGE),
    ):
        axes.fill_between(t_days, 0, part, step="post", color=colour, linewidth=0, label=label)
    known = np.where(np.isnan(values), np.nan, 1.0)
    axes.set_facecolor(canvas.UNSEEN)
    axes.fill_between(t_days, -known, known, step="post", color="white", linewidth=0, zorder=0.4)
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
