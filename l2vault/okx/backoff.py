"""How long to wait before trying again. Pure: whoever waits asks for the next delay and reports what went well."""

from random import Random


class Backoff:
    """Doubles from `first_sec` to `longest_sec`; each delay lies at random between half of that and all of it.

    The jitter keeps what failed at one moment from being tried again at one moment.
    """

    def __init__(self, first_sec: float, longest_sec: float, rng: Random) -> None:
        self._first_sec = first_sec
        self._longest_sec = longest_sec
        self._rng = rng
        self._doublings = 0

    def next_sec(self) -> float:
        """Seconds to wait before the next try; the delay after it will be twice as long."""
        full_sec = min(self._longest_sec, self._first_sec * 2.0**self._doublings)
        if full_sec < self._longest_sec:
            self._doublings += 1
        return self._rng.uniform(full_sec / 2, full_sec)

    def reset(self) -> None:
        """It went well: the next delay is a first one again."""
        self._doublings = 0
