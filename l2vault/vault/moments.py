"""A moment as the caller writes it, as milliseconds since the epoch."""

from datetime import UTC, datetime, timedelta
from typing import Final

from l2vault.errors import UsageError

Moment = str | int | datetime
"""ISO 8601 text (UTC where it names no zone), an aware datetime, or milliseconds since the epoch."""

_EARLIEST_MS: Final = 10**11
"""A number below this (1973) is meant in seconds or is a slip: refused."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def as_ms(moment: Moment) -> int:
    """Fractions of a millisecond are cut off. Raises UsageError for anything that leaves a doubt."""
    if isinstance(moment, bool) or not isinstance(moment, str | int | datetime):
        raise UsageError(f"{moment!r} is no moment.", "ISO text, an aware datetime, or milliseconds since 1970")
    if isinstance(moment, int):
        if moment < _EARLIEST_MS:
            raise UsageError(f"{moment} is no time in milliseconds since 1970.", "seconds times 1000")
        return moment
    if isinstance(moment, str):
        moment = _parse(moment)
    if moment.tzinfo is None:
        raise UsageError(f"{moment!r} names no time zone.", "datetime(..., tzinfo=UTC), or ISO text, which is UTC")
    return (moment - _EPOCH) // _MILLISECOND


def span_ms(start: Moment, end: Moment) -> tuple[int, int]:
    """Both ends of a half-open span. Raises UsageError if it is empty or backwards."""
    start_ms, end_ms = as_ms(start), as_ms(end)
    if start_ms >= end_ms:
        raise UsageError(f"the span from {start} to {end} is empty.", "a start before the end")
    return start_ms, end_ms


def _parse(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no ISO time.", "one like 2026-01-31T12:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
