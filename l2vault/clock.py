"""The only module that reads a clock. Everything else is handed the time it needs."""

import sys
import time

from l2vault.book.utc import utc_text


class Clock:
    """Wall time for what people read, monotonic time for deadlines, and sleep; tests put their own in its place."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May jump when the host corrects its clock."""
        return time.time_ns() // 1_000_000

    def wall_us(self) -> int:
        """The same in microseconds, for the times at which frames arrive."""
        return time.time_ns() // 1_000

    def wall_text(self) -> str:
        """Wall time as the journal writes it, such as `2023-12-14T15:30:45.123Z`."""
        return utc_text(self.wall_ms())

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back; only differences mean anything."""
        return time.monotonic_ns() // 1_000_000

    def elapsed_ms(self) -> int:
        """Monotonic milliseconds that go on while the host sleeps, where the system counts those."""
        return self.monotonic_ms() + _asleep_ms()

    async def sleep(self, seconds: float) -> None:
        import asyncio  # whoever only reads a vault never sleeps, and need not load it

        await asyncio.sleep(seconds)


def _asleep_ms() -> int:
    """For how long the host has slept since it started; 0 where `time.monotonic` goes on meanwhile, as on Windows."""
    # Linux and macOS stop `time.monotonic` while the host sleeps, and have another clock that goes on.
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    number = getattr(time, name, None)
    if number is None:
        return 0
    try:
        return max(0, time.clock_gettime_ns(number) - time.monotonic_ns()) // 1_000_000
    except OSError:  # a kernel without it
        return 0
