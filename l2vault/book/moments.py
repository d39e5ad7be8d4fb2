"""A moment as the caller writes it, numpy and pandas included, as milliseconds since the epoch; loads neither."""

import math
import operator
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol, SupportsIndex, cast
from zoneinfo import ZoneInfo

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.errors import UsageError
from l2vault.foreign import printable, quoted


class Datetime64(Protocol):
    """numpy's, by what is needed of it."""

    def astype(self, dtype: str) -> Any: ...


Moment = str | float | date | SupportsIndex | Datetime64
"""ISO 8601 text (UTC where it names no zone), also with ` UTC` or a zone's name behind, `10:30` (today, UTC) or `now`;
an aware datetime (pandas too); a date or a numpy datetime64, which are UTC; any integer or float that is milliseconds
since the epoch."""

_EARLIEST_MS: Final = 10**11
"""A number below this (1973) is meant in seconds or is a slip: refused."""
_LATEST_MS: Final = 253_370_764_800_000
"""9999-01-01: no moment that is computed from an earlier one passes the end of the calendar."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LONGEST_TEXT: Final = 64
_CLOCK: Final = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d{1,6})?)?")
_DATED: Final = re.compile(r"(?:\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d(?:-?\d)?)(?:[Tt ].*)?", re.ASCII)
_ZONED: Final = re.compile(r"(.*\d)\s*([A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*)")
_OFFSET: Final = re.compile(r"(.*\d)\s+([+-]\d\d:?\d\d)")
_UTC_NAMES: Final = frozenset({"UTC", "GMT", "Z"})
_CURE: Final = "one such as 2026-01-31T12:00Z, 2026-01-31, '2026-01-31 12:00 Europe/Berlin', 10:30 or now"


def as_ms(moment: Moment, now_ms: int | None = None) -> int:
    """Fractions of a millisecond are cut off. Raises UsageError for anything that leaves a doubt.

    `now_ms` is what `now` and a time of day without a date refer to: the clock's time unless given.
    """
    found = _as_ms(moment, now_ms)
    if not 0 <= found < _LATEST_MS:
        raise UsageError(f"{_shown(moment)} is a time before 1970 or after 9998.", _CURE)
    return found


def span_ms(start: Moment, end: Moment) -> tuple[int, int]:
    """Both ends of a half-open span. Raises UsageError if it is empty or backwards."""
    start_ms, end_ms = as_ms(start), as_ms(end)
    if start_ms >= end_ms:
        bounds = f"{utc_text(start_ms)} to {utc_text(end_ms)}"
        raise UsageError(f"the span from {bounds} is empty.", "a start before the end")
    return start_ms, end_ms


def _as_ms(moment: Moment, now_ms: int | None) -> int:
    if isinstance(moment, str):
        moment = _parse(moment, now_ms)
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise UsageError(
                f"{_shown(moment)} names no time zone.", "datetime(..., tzinfo=UTC), or ISO text, which is UTC"
            )
        return int((moment - _EPOCH) // _MILLISECOND)
    if isinstance(moment, date):
        return (moment.toordinal() - _EPOCH.toordinal()) * DAY_MS
    if type(moment).__name__ == "datetime64":  # numpy's, which means UTC
        return operator.index(cast(Datetime64, moment).astype("datetime64[ms]").astype("int64"))
    return _number(moment)


def _number(moment: Moment) -> int:
    whole: int | None = None
    if isinstance(moment, float):  # numpy's float64 is one
        whole = int(moment) if math.isfinite(moment) else None
    elif isinstance(moment, SupportsIndex) and not isinstance(moment, bool):  # every integer type, numpy's too
        whole = operator.index(moment)
    if whole is None:
        raise UsageError(f"{_shown(moment)} is no moment.", "ISO text, an aware datetime, or milliseconds since 1970")
    if whole < _EARLIEST_MS:
        raise UsageError(f"{_shown(moment)} is no time in milliseconds since 1970.", "seconds times 1000")
    return whole


def _parse(text: str, now_ms: int | None) -> datetime | int:
    words = " ".join(text.split())
    if words.lower() == "now":
        return _now(now_ms)
    try:
        if len(text) > _LONGEST_TEXT:
            raise ValueError
        if match := _OFFSET.fullmatch(words):
            words = match[1] + match[2]
        zone: tzinfo = UTC
        moment = _iso(words, zone, now_ms)  # first: the T of 2026-01-31T12 begins no zone
        if moment is None:
            match = _ZONED.fullmatch(words)
            if match is None or _iso(match[1], UTC, now_ms) is None:
                raise ValueError
            zone = _zone(match[2])
            moment = _iso(match[1], zone, now_ms)
            if moment is None or moment.tzinfo is not None:
                raise ValueError
        if moment.tzinfo is None:
            moment = _in_zone(moment, zone, text)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{_shown(text)} is not a time.", _CURE) from None


def _iso(words: str, zone: tzinfo, now_ms: int | None) -> datetime | None:
    """What ISO 8601 says it is, aware if it names its offset; a time of day is that of today in the zone."""
    if _CLOCK.fullmatch(words):
        today = datetime.fromtimestamp(_now(now_ms) / 1000, UTC).astimezone(zone)
        words = f"{today:%Y-%m-%d}T{words.zfill(len(words) + (words[1] == ':'))}"
    if _DATED.fullmatch(words) is None:  # Python takes any character for the T: the - of 2026-01-31-05:00 too
        return None
    try:
        return datetime.fromisoformat(words)
    except ValueError:
        return None


def _in_zone(moment: datetime, zone: tzinfo, text: str) -> datetime:
    """Raises UsageError where the zone's clocks were set: an hour is there twice, and another not at all."""
    first, second = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise UsageError(
            f"{_shown(text)} is when the clocks of that zone are set, and no time there or two.",
            "an offset, as in 2026-10-25T02:30+01:00",
        )
    return first


def _zone(name: str) -> tzinfo:
    """Windows has no zone names of its own; there `pip install tzdata` brings them."""
    if name.upper() in _UTC_NAMES:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        raise UsageError(
            f"no time zone {quoted(name, 64)} is known here.", "an offset, as in 2026-01-31T12:00+01:00"
        ) from None


def _now(now_ms: int | None) -> int:
    if now_ms is not None:
        return now_ms
    from l2vault.clock import Clock

    return Clock().wall_ms()


def _shown(moment: Moment) -> str:
    return quoted(moment, 64) if isinstance(moment, str) else printable(repr(moment), 64)
