"""How long to wait before trying again. Pure: whoever waits asks for the next delay and reports what went well."""

from random import Random
from typing import Final

_MOST_DOUBLINGS: Final = 40
"""Whatever is doubled that often is beyond any bound here, and 2.0**1024 would be no number."""


def delay_sec(doublings: int, first_sec: float, longest_sec: float, rng: Random) -> float:
    """After so many doublings of `first_sec`, at most `longest_sec`: at random between half of that and all of it.

    The jitter keeps what failed at one moment from being tried again at one moment.
    """
    full_sec = min(longest_sec, first_sec * 2.0 ** min(doublings, _MOST_DOUBLINGS))
    return rng.uniform(full_sec / 2, full_sec)


class Backoff:
    """`delay_sec` for one thing that is tried again and again: each delay is twice as long as the one before."""

    def __init__(self, first_sec: float, longest_sec: float, rng: Random) -> None:
        self._first_sec = first_sec
        self._longest_sec = longest_sec
        self._rng = rng
        self._doublings = 0

    def next_sec(self) -> float:
        """Seconds to wait before the next try; the delay after it will be twice as long."""
        self._doublings += 1
        return delay_sec(self._doublings - 1, self._first_sec, self._longest_sec, self._rng)

    def reset(self) -> None:
        """It went well: the next delay is a first one again."""
        self._doublings = 0
