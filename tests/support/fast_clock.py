"""A clock that runs faster than the world, so that minutes of deadlines pass in seconds over real sockets."""

from l2vault.clock import Clock


class FastClock(Clock):
    """`scale` seconds of it pass in a real one. Its wall time starts with the real one's."""

    def __init__(self, scale: int = 100) -> None:
        self._scale = scale
        self._since_ms = super().monotonic_ms()
        self._then_ms = self._since_ms * scale
        self._wall_offset_ms = super().wall_ms() - self._then_ms

    def go_on_at(self, scale: int) -> None:
        """From now on as fast as that. A stop whose bound is in seconds of the disk is tried at the world's pace."""
        self._then_ms, self._since_ms = self.monotonic_ms(), super().monotonic_ms()
        self._scale = scale

    def wall_ms(self) -> int:
        return self._wall_offset_ms + self.monotonic_ms()

    def wall_us(self) -> int:
        return self.wall_ms() * 1000

    def monotonic_ms(self) -> int:
        return self._then_ms + (super().monotonic_ms() - self._since_ms) * self._scale

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._scale)
