"""How sizes, moments and progress look to a person."""

from typing import Final

from l2vault.foreign import printable
from l2vault.verbs.words import moment

__all__ = ["bar", "moment", "size_text", "span_text"]

_STEP: Final = 1000
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_BAR: Final = 24
_TELLING_PARTS: Final = 3


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
