"""How figures, times and tables look on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from l2vault.analytics.figures import amount
from l2vault.book.utc import utc_text

if TYPE_CHECKING:
    from l2vault.analytics.books import About

_DAY_MS: Final = 86_400_000
_NONE: Final = "-"


def size(value: float | None) -> str:
    """`30.9 M`, padded to line up in a column."""
    return _NONE if value is None else amount(value, is_padded=True)


def figure(value: float | None, decimals: int | None = None) -> str:
    """A price, exactly, or any number to so many decimals."""
    if value is None:
        return _NONE
    if decimals is None:
        return f"{value:.10g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # the sum spells what is rounded to nothing without a sign


def share(value: float | None) -> str:
    """`62 %`"""
    return _NONE if value is None else f"{100 * value:.0f} %"


def clock(ms: int | None, span_ms: int) -> str:
    """The time of day, UTC; with the date where the span is longer than a day."""
    if ms is None:
        return _NONE
    text = utc_text(ms)
    return text[5:19].replace("T", " ") if span_ms > _DAY_MS else text[11:19]


def heading(about: "About") -> str:
    start, end = (text[:19].replace("T", " ") for text in (about.from_utc, about.to_utc))
    return f"{about.inst_id}  {start} to {end} UTC, sizes in {about.unit}\n"


def table(names: Sequence[str], rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """Columns as wide as they need to be, the first `left` of them flush left, the others right."""
    every = [list(names), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in every) for at in range(len(names))]
    lines = []
    for row in every:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
