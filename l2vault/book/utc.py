"""Times as text, both ways: exchange time in milliseconds since the epoch, receive time in microseconds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"
_TEXT: Final = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
"""`fromisoformat` reads other forms of the same length too, such as week dates, and hour 24 from Python 3.14 on."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROS_CHARS: Final = len("2023-12-14T15:30:45.123456Z")


def utc_text(ms: int) -> str:
    """`2023-12-14T15:30:45.123Z`: UTC, always three decimals."""
    seconds, millis = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):{_FORMAT}}.{millis:03d}Z"


def utc_ms(text: str) -> int:
    """The inverse of `utc_text`; raises ValueError for any other form."""
    if not _TEXT.fullmatch(text):
        raise ValueError(f"not a time like 2023-12-14T15:30:45.123Z: {text!r}")
    moment = datetime.fromisoformat(text)
    return (moment - _EPOCH) // _MILLISECOND


def utc_micros_text(us: int) -> str:
    """`2023-12-14T15:30:45.123456Z`: microseconds since the epoch, always six decimals."""
    seconds, micros = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):{_FORMAT}}.{micros:06d}Z"


def utc_micros(text: str) -> int:
    """The inverse of `utc_micros_text`; raises ValueError for any other form."""
    if len(text) != _MICROS_CHARS or not text.endswith("Z") or not text[-4:-1].isdecimal() or not text.isascii():
        raise ValueError(f"not a time like 2023-12-14T15:30:45.123456Z: {text!r}")
    return utc_ms(text[:-4] + "Z") * 1000 + int(text[-4:-1])
