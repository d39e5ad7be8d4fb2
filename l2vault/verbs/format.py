"""How sizes, moments and progress look to a person."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from l2vault.analytics.figures import amount
from l2vault.book.utc import utc_text
from l2vault.foreign import printable

if TYPE_CHECKING:
    from l2vault.analytics.books import About

_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_BAR: Final = 24
_TELLING_PARTS: Final = 3
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


def size_text(size_bytes: float) -> str:
    """`1.2 GB`: powers of 1000, as disks are sold and as `--max-gb` counts."""
    for unit in _UNITS:
        if abs(size_bytes) < _STEP or unit == _UNITS[-1]:
            break
        size_bytes /= _STEP
    return f"{size_bytes:.0f} {unit}" if unit == _UNITS[0] else f"{size_bytes:.1f} {unit}"


def span_text(span_ms: int) -> str:
    """`1.877 s`, or `5 h 3 min`: the two largest units."""
    if span_ms < _MINUTE_MS:
        return f"{span_ms / 1000:.3f} s"
    parts: list[str] = []
    for unit_ms, name in ((_DAY_MS, "d"), (_HOUR_MS, "h"), (_MINUTE_MS, "min"), (1000, "s")):
        count, span_ms = divmod(span_ms, unit_ms)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def bar(done: int, total: int, what: str) -> str:
    """`[######------]  50%  BTC-USDT-SWAP/2026-01-31/03.jsonl`: of a path only what tells one file from another."""
    share = min(1.0, done / total) if total else 1.0
    filled = int(share * _BAR)
    telling = printable("/".join(what.split("/")[-_TELLING_PARTS:]))
    return f"[{'#' * filled}{'-' * (_BAR - filled)}] {share:4.0%}  {telling}"
