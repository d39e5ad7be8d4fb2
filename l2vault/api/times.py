"""How times, lengths and sizes enter at the public door, and how times leave it in frames. Knows no file."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, cast

from l2vault import grammar
from l2vault.book.moments import Moment, as_ms
from l2vault.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

TIMES: Final = frozenset(
    {
        *("time", "t_from", "t_to", "t_first", "t_last"),
        *("mark_at", "index_at", "funding_at", "open_interest_at", "limits_at"),
        *("funding_time", "next_funding_time", "previous_funding_time"),
    }
)
"""Columns that are exchange time, whatever the frame."""
RECEIVED: Final = frozenset({"received"})
"""Columns that are receive time by the recorder's clock, in microseconds."""


class ArrowScalar(Protocol):
    """A value of an Arrow table, by what is needed of it."""

    def as_py(self) -> object:
        """The value as Python's own type: a timestamp as an aware datetime."""


TimeLike = Moment | ArrowScalar
"""ISO 8601 text (UTC where it names no zone), `10:30` (today, UTC) or `now`; an aware `datetime`, a pandas Timestamp
too; a `date` or a numpy `datetime64`, which are UTC; an integer of any kind or a float: milliseconds since 1970. So a
value taken from any of our frames is one."""

Duration = str | timedelta
"""`90s`, `15m`, `2h`, `1d` or `1h30m`; or a timedelta."""

Amount = str | float
"""`5M`, `250k`, `1e6` or a number."""


def to_ms(time: TimeLike) -> int:
    """Milliseconds since 1970, UTC; fractions of one are cut off. Raises UsageError for what is no time."""
    if hasattr(time, "as_py"):
        return as_ms(cast(Moment, time.as_py()))  # a timestamp gives an aware datetime
    return as_ms(time)


def duration_ms(length: Duration) -> int:
    """Milliseconds, at least 1. Raises UsageError for what is no length of time."""
    if isinstance(length, timedelta):
        found = length // timedelta(milliseconds=1)
        if not 0 < found <= grammar.LONGEST_DURATION_MS:
            raise UsageError(f"a length of {length} is impossible.", "one such as timedelta(hours=2)")
        return found
    if not isinstance(length, str):
        raise UsageError(f"{length!r} is no length of time.", "text such as '90s', '15m', '2h', or a timedelta")
    return grammar.duration_ms(length)


def amount(size: Amount) -> float:
    """Raises UsageError for what is no number above 0."""
    return grammar.number(size if isinstance(size, str) else repr(float(size)))


def amounts(sizes: Amount | Sequence[Amount]) -> tuple[float, ...]:
    """One or several, each as `amount` reads it."""
    return tuple(amount(size) for size in ([sizes] if isinstance(sizes, str | int | float) else sizes))


def as_datetime(us: int) -> datetime:
    """Microseconds since 1970 as an aware time in UTC."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def with_times(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Every column of exchange time as `Datetime("ms", "UTC")`, of receive time as `Datetime("us", "UTC")`."""
    import polars as pl

    of_exchange = [name for name in frame.columns if name in TIMES]
    of_receipt = [name for name in frame.columns if name in RECEIVED]
    return frame.with_columns(
        pl.col(of_exchange).cast(pl.Datetime("ms", "UTC")), pl.col(of_receipt).cast(pl.Datetime("us", "UTC"))
    )
