"""How late the pushes of each feed come: receive time minus the exchange's, counted exactly for a minute. Pure."""

from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import Final, NamedTuple

_UNITS_PER_MS: Final = 10
"""Tenths of a millisecond: the exchange's times are whole ones, and this machine's clock is hardly better."""
_UNIT_US: Final = 1_000 // _UNITS_PER_MS


class Percentiles(NamedTuple):
    """Of a minute, in milliseconds."""

    pushes: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class LatencyMeter:
    """`note` each push, `take` once a minute."""

    def __init__(self) -> None:
        self._feeds: dict[int, Counter[int]] = {}

    def note(self, feed: int, ts_ms: int, recv_us: int) -> None:
        self._feeds.setdefault(feed, Counter())[(recv_us - ts_ms * 1000) // _UNIT_US] += 1

    def take(self) -> dict[int, Percentiles]:
        """By feed, of what was noted since the last call."""
        feeds, self._feeds = self._feeds, {}
        return {feed: _percentiles(counts) for feed, counts in sorted(feeds.items())}


def _percentiles(counts: Counter[int]) -> Percentiles:
    """The value at a share is the smallest one that at least this share of the pushes does not exceed."""
    values = sorted(counts)
    seen = list(accumulate(counts[value] for value in values))
    least, most = values[0] / _UNITS_PER_MS, values[-1] / _UNITS_PER_MS
    p50, p90, p99 = (values[bisect_left(seen, share * seen[-1])] / _UNITS_PER_MS for share in (0.5, 0.9, 0.99))
    return Percentiles(seen[-1], least, p50, p90, p99, most)
