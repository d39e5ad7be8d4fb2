"""How figures, sizes, times, tables, bars and footnotes look to a person. No other module of a verb lays anything out.

Text from outside is the caller's to escape before it gets here, but for what a bar names.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from l2vault.analytics.figures import amount, percent, time_span
from l2vault.analytics.figures import counted as counted
from l2vault.book.utc import DAY_MS, HOUR_MS, MINUTE_MS, utc_text
from l2vault.foreign import printable

if TYPE_CHECKING:
    from l2vault.analytics.provenance import Provenance

PAGE_WIDTH: Final = 100
"""Columns of a page of labels and texts."""
BAR_COLUMNS: Final = 78
NONE: Final = "-"
"""For what is not known."""

_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_BAR: Final = 24
_TELLING_PARTS: Final = 3
_LABEL: Final = 26
_INDENT: Final = "  "


def size(value: float | None) -> str:
    """`30.9 M`, padded to line up in a column."""
    return NONE if value is None else amount(value, is_padded=True)


def figure(value: float | None, decimals: int | None = None) -> str:
    """A price, exactly, or any number to so many decimals."""
    if value is None:
        return NONE
    if decimals is None:
        return f"{value:.10g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # the sum spells what is rounded to nothing without a sign


def aligned(figures: Sequence[str]) -> list[str]:
    """Decimals as they are spelled, below each other by the point: `61664  ` over `61664.7`."""
    behind = [len(text.partition(".")[2]) + ("." in text) for text in figures]
    most = max(behind, default=0)
    return [text + " " * (most - own) for text, own in zip(figures, behind, strict=True)]


def share(value: float | None) -> str:
    """`62 %`"""
    return NONE if value is None else f"{figure(100 * value, 0)} %"


def share_of(count: int, total: int) -> str:
    """`99.98 %`; never `100.00 %` of what is not all, nor `0.00 %` of what is not none."""
    if total == 0:
        return NONE
    hundredths = 100 * count / total
    if 0 < count < total:
        hundredths = min(max(hundredths, 0.01), 99.99)
    return f"{hundredths:.2f} %"


def exact_share(value: float) -> str:
    """The same of a share, from 0 to 1."""
    return f"{100 * value if value in (0, 1) else min(max(100 * value, 0.01), 99.99):.2f} %"


def clock(ms: int | None, span_ms: int) -> str:
    """The time of day, UTC; with the date where the span is longer than a day."""
    if ms is None:
        return NONE
    text = utc_text(ms)
    return text[5:19].replace("T", " ") if span_ms > DAY_MS else text[11:19]


def minute(ms: int) -> str:
    """`2026-01-31 03:00`"""
    return utc_text(ms)[:16].replace("T", " ")


def with_cause(state: str, cause: str) -> str:
    """`missing (disconnect)`, or `unknown` where nothing more is known."""
    return f"{state} ({cause})" if cause else state


def heading(provenance: "Provenance") -> str:
    """Instrument, span and unit of an answer, a line."""
    return f"{provenance.inst_id}  {time_span(*provenance.span_ms)}, sizes in {provenance.unit}\n"


def last_book(provenance: "Provenance") -> str:
    """`, of 11 min before the end of the span` where the last book ended before it, else nothing."""
    behind_ms = provenance.behind_ms
    if not behind_ms:
        return ""
    behind = length_text(max(1, round(behind_ms / _STEP)) * _STEP)
    return f", of {behind} before the end of the span: no book stood since"


def footnote(provenance: "Provenance") -> str:
    """What an answer rests on, in two lines below a blank one."""
    slots = ", ".join(f"{state} {percent(share)}" for state, share in provenance.slots.items() if share)
    covered = provenance.coverage_note() + (f" (slots: {slots})" if slots else "")
    if provenance.holes:
        covered += f"; see: l2vault coverage {provenance.inst_id}"
    return f"\n{covered}\n{provenance.books_note()}\n"


def table(
    names: Sequence[str], rows: Sequence[Sequence[str]], left: int = 0, rule: tuple[int, str] | None = None
) -> str:
    """Columns as wide as they need to be, the first `left` of them flush left, the others right.

    `rule` is a row's number (from 0) and a line of text that stands before it.
    """
    every = [list(names), *(list(row) for row in rows)]
    widths = [max(len(row[at]) for row in every) for at in range(len(names))]
    lines = []
    for row in every:
        cells = [
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    if rule is not None:
        lines.insert(rule[0] + 1, rule[1])
    return "\n".join(lines) + "\n"


def size_text(size_bytes: float) -> str:
    """`1.2 GB`: powers of 1000, as disks are sold and as `--max-gb` counts."""
    for unit in _UNITS:
        if abs(size_bytes) < _STEP or unit == _UNITS[-1]:
            break
        size_bytes /= _STEP
    return f"{size_bytes:.0f} {unit}" if unit == _UNITS[0] else f"{size_bytes:.1f} {unit}"


def span_text(span_ms: int) -> str:
    """`1.877 s`, `40 s`, or `5 h 3 min`: the two largest units."""
    if span_ms < MINUTE_MS:
        return f"{span_ms / 1000:g} s"
    parts: list[str] = []
    for unit_ms, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (1000, "s")):
        count, span_ms = divmod(span_ms, unit_ms)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def length_text(span_ms: float) -> str:
    """`10 min`, where `span_text` says `10 min 0 s`."""
    return span_text(round(span_ms)).removesuffix(" 0 s").removesuffix(" 0 min").removesuffix(" 0 h")


def too_few(count: int, name: str, several: str = "") -> str:
    """`1 window is too few`, `2 windows are too few`"""
    return f"{counted(count, name, several)} {'is' if count == 1 else 'are'} too few"


def times(count: float) -> str:
    """`once`, `twice`, `3 times`, `0.5 times`"""
    words: dict[float, str] = {1: "once", 2: "twice"}
    return words.get(count, f"{count:g} times")


def labelled(label: str, text: str, note: str = "", width: int = PAGE_WIDTH) -> list[str]:
    """Lines of a page: the text beside its label, and what it rests on in brackets behind or below it."""
    room = width - _LABEL
    lines = wrap(text, room, break_on_hyphens=False) or [""]
    bracketed = f"[{note}]"
    if note and len(lines[-1]) + 2 + len(bracketed) <= room:
        lines[-1] += f"  {bracketed}"
    elif note:
        lines += wrap(bracketed, room, break_on_hyphens=False)
    head = f"{_INDENT}{label}"
    if len(head) >= _LABEL:
        return [head, *(" " * _LABEL + line for line in lines)]
    return [f"{head:{_LABEL}}{lines[0]}", *(" " * _LABEL + line for line in lines[1:])]


def paragraph(text: str, indent: str = _INDENT, width: int = PAGE_WIDTH) -> list[str]:
    """Lines of a page, all but the first a step further in."""
    return wrap(text, width, initial_indent=indent, subsequent_indent=indent + _INDENT, break_on_hyphens=False)


def bar(done: int, total: int, what: str) -> str:
    """`[######------]  50%  BTC-USDT-SWAP/2026-01-31/03.jsonl`: of a path only what tells one file from another."""
    share = min(1.0, done / total) if total else 1.0
    filled = int(share * _BAR)
    telling = printable("/".join(what.split("/")[-_TELLING_PARTS:]))
    return f"[{'#' * filled}{'-' * (_BAR - filled)}] {share:4.0%}  {telling}"


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Yields what draws a bar on stderr, if that is a terminal, and wipes it at the end, however it ends."""
    is_terminal = sys.stderr.isatty()

    def show(done: int, total: int, what: str) -> None:
        if is_terminal:
            sys.stderr.write("\r" + bar(done, total, what)[:BAR_COLUMNS].ljust(BAR_COLUMNS))
            sys.stderr.flush()

    try:
        yield show
    finally:
        if is_terminal:
            sys.stderr.write("\r" + " " * BAR_COLUMNS + "\r")
            sys.stderr.flush()
