"""What all pictures share: colours, size, time axis, title, footnote, and how figures are written. Reads no vault."""

import errno
import io
import logging
import os
from collections.abc import Callable
from datetime import UTC
from functools import wraps
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, ParamSpec

import numpy as np
import polars as pl

from l2vault.analytics.contract import Floats
from l2vault.analytics.figures import amount, time_span
from l2vault.analytics.provenance import Provenance
from l2vault.book.utc import DAY_MS
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable, quoted
from l2vault.vault.store.durable import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLACK: Final = "#000000"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#999999"
CYCLE: Final = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

UNSEEN: Final = "#EBEBEB"
NO_BOOK: Final = "#C4C4C4"
UNPROVED: Final = "#E0D6C4"
DARK_HOLE: Final = ("#1C222C", "#4A5260")
"""Ground and hatching of a hole in a dark picture."""
_NOTE: Final = "#555555"
_NOTE_LETTERS: Final = 205

DPI: Final = 120
WIDTH_IN: Final = 14.0

_Given = ParamSpec("_Given")


_STYLE: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "timezone": "UTC",
    "date.epoch": "1970-01-01T00:00:00",  # what `day_number` counts from
}


def in_own_style(draw: Callable[_Given, None]) -> Callable[_Given, None]:
    """A function that draws, under matplotlib's own defaults and ours, whatever the user's matplotlibrc, style sheets
    or folder of settings say; theirs hold again afterwards. Its complaints about those are not the reader's business.
    """

    @wraps(draw)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> None:
        log = logging.getLogger("matplotlib")
        before = log.level
        log.setLevel(logging.CRITICAL)
        try:
            try:
                import matplotlib as mpl
            except (OSError, ValueError) as error:  # a matplotlibrc that is no text, or no folder to write to at all
                raise VaultError(f"matplotlib does not start: {printable(error)}.", "another matplotlibrc") from error
            with mpl.rc_context():
                mpl.rcdefaults()
                mpl.rcParams.update(_STYLE)
                draw(*args, **kwargs)
        finally:
            log.setLevel(before)

    return drawn


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> "Figure":
    """Its parts find their places by themselves. Knows no window: the caller's own figures and backend stay as they
    are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: "Figure", path: Path) -> None:
    """As PNG; raises UsageError for a name that promises something else. A picture that has the name stays as it is
    until the new one is whole."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"{quoted(path)} is no name of a picture.", "as PNG: a name that ends in .png")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format="png")
    write_atomically(path.resolve(), drawn.getvalue(), is_durable=False)


def day_number(ms: float) -> float:
    """Matplotlib's time: days since 1970, a fraction."""
    return ms / DAY_MS


def time_axis(axes: "Axes", start_ms: int, end_ms: int, label: str = "exchange time, UTC") -> None:
    """Limits (ms since 1970), ticks and label of a time axis in matplotlib's days."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC, minticks=6, maxticks=14)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))
    axes.set_xlim(day_number(start_ms), day_number(end_ms))
    axes.set_xlabel(label)


def head(figure: "Figure", what: str, provenance: Provenance, *more: str, colour: str = _NOTE) -> None:
    """What is drawn, of which instrument and when; below the picture what it rests on."""
    figure.suptitle(
        f"{provenance.inst_id}  {what}  {time_span(*provenance.span_ms)}", x=0.008, ha="left", weight="bold"
    )
    figure.supxlabel(
        fill("; ".join([provenance.coverage_note(), provenance.books_note(), *more]), _NOTE_LETTERS),
        x=0.008,
        ha="left",
        fontsize=8.5,
        color=colour,
    )


def quote(provenance: Provenance) -> str:
    """The currency of the instrument's price: OKX names it second."""
    return provenance.inst_id.partition("-")[2].partition("-")[0]


def amounts(is_mirrored: bool = False) -> "FuncFormatter":
    """For an axis of sizes; mirrored, a size below zero is written without its sign."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: amount(abs(value) if is_mirrored else value))


def prices() -> "FuncFormatter":
    """`61,812.5`: no exponent, no offset."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: plain(value))


def plain(value: float) -> str:
    """`61,812.5`: up to ten decimals, no zeros at the end."""
    text = f"{value:,.10f}".rstrip("0").rstrip(".")
    return text if len(text.replace(",", "")) <= 12 else f"{value:.10g}"


def shade_holes(axes: "Axes", holes: list[tuple[int, int]], ground: str = NO_BOOK, hatching: str = "white") -> None:
    """No book stood in these times (ms)."""
    for start_ms, end_ms in holes:
        axes.axvspan(
            day_number(start_ms),
            day_number(end_ms),
            facecolor=ground,
            edgecolor=hatching,
            hatch="///",
            lw=0,
            zorder=0.5,
        )


def unseen_patches() -> "list[Patch]":
    """For a legend: what could not be seen."""
    from matplotlib.patches import Patch

    return [Patch(facecolor=UNSEEN, edgecolor="#BBBBBB", label="beyond the visible range")]


def hole_patches(
    holes: list[tuple[int, int]], ground: str = NO_BOOK, hatching: str = "white", label: str = "not covered"
) -> "list[Patch]":
    """For a legend, if there are any."""
    from matplotlib.patches import Patch

    return [Patch(facecolor=ground, edgecolor=hatching, hatch="///", label=label)] if holes else []


def holes_of(frame: pl.DataFrame, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """The times of a span in which no row of the frame (`t_from`, `t_to`, in order of time) stands."""
    begins = [start_ms, *frame["t_to"].cum_max().to_list()]
    ends = [*frame["t_from"].to_list(), end_ms]
    return [(begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end]


def stepped(steps: pl.DataFrame, name: str, is_area: bool = False) -> tuple[Floats, Floats]:
    """Times in days and values for a line of steps, broken where a row does not begin at the end of the one before.

    For an area the value stands once more at the end before each break: an area ends at the last point that has one.
    """
    t_from, t_to = steps["t_from"].to_numpy(), steps["t_to"].to_numpy()
    values = steps[name].fill_null(np.nan).to_numpy()
    ends = np.append(t_from[1:] != t_to[:-1], np.ones(min(1, len(steps)), bool))
    points = 2 if is_area else 1
    breaks = np.repeat(np.flatnonzero(ends) + 1, points)
    last = np.column_stack([values[ends], np.full(np.count_nonzero(ends), np.nan)])[:, -points:].ravel()
    t_days = day_number(1) * np.insert(t_from, breaks, np.repeat(t_to[ends], points))
    return t_days, np.insert(values, breaks, last)
