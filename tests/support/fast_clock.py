"""A clock that runs faster than the world, so that minutes of deadlines pass in seconds over real sockets."""

from contextlib import AbstractContextManager
from unittest import mock

from l2vault.clock import Clock
from l2vault.recording import disk


class FastClock(Clock):
    """`scale` seconds of it pass in a real one. Its wall time starts with the real one's."""

    def __init__(self, scale: int = 100) -> None:
        self._scale = scale
        self._wall_start_ms = super().wall_ms()
        self._start_ms = super().monotonic_ms()

    def wall_ms(self) -> int:
        return self._wall_start_ms + self.monotonic_ms() - self._start_ms * self._scale

    def wall_us(self) -> int:
        return self.wall_ms() * 1000

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() * self._scale

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._scale)


def disk_in_real_time(scale: int) -> AbstractContextManager[object]:
    """The disk is no faster than ever: it has the seconds of the world to end in, not those of a fast clock."""
    seconds = {name: getattr(disk, name) * scale for name in ("END_WITHIN_SEC", "SYNC_WITHIN_SEC")}
    return mock.patch.multiple(disk, **seconds)
