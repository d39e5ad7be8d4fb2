"""How sizes, shares and spans are written, on terminals and in pictures. Needs no library."""

from typing import Final

from l2vault.book.utc import utc_text
from l2vault.vault.coverage.proved import percent as percent

_SCALES: Final = ((1e9, " B"), (1e6, " M"), (1e3, " k"))
_FIGURES: Final = 3


def amount(value: float, is_padded: bool = False) -> str:
    """`30.9 M`: three figures, as sizes are compared by eye; `6 M`, or padded `6.00 M`, which lines up in a column."""
    scale, name = next(((scale, name) for scale, name in _SCALES if abs(value) >= 0.9995 * scale), (1, ""))
    value = value / scale + 0.0  # the sum takes the sign off nothing
    text = f"{value:.{max(0, _FIGURES - len(str(int(abs(value)))))}f}"
    if not is_padded and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text + name


def counted(count: int, name: str, several: str = "") -> str:
    """`1 hole`, `2 holes`, `1,353 lives`"""
    return f"{count:,} {name if count == 1 else several or name + 's'}"


def time_span(start_ms: int, end_ms: int) -> str:
    """`2024-08-20 03:00:00 to 03:09:58 UTC`: the date of the end only where it is another one."""
    start, end = (utc_text(ms)[:19].replace("T", " ") for ms in (start_ms, end_ms))
    return f"{start} to {end[11:] if end[:10] == start[:10] else end} UTC"
