"""Time as the exchange keeps it towards its clients: the host's, or so many times faster for accelerated runs."""

import asyncio

from l2vault.clock import Clock


class ScaledClock:
    """`scale` 20 makes a minute of OKX's limits and delays pass in three seconds. `stop` ends all waiting."""

    def __init__(self, clock: Clock, scale: float) -> None:
        self._clock = clock
        self._scale = scale
        self._stopping = asyncio.Event()

    def now_ms(self) -> int:
        """Monotonic, scaled."""
        return int(self._clock.monotonic_ms() * self._scale)

    async def sleep(self, milliseconds: float) -> None:
        """That long in scaled time."""
        await self._clock.sleep(milliseconds / 1000 / self._scale)

    async def wait(self, milliseconds: float) -> None:
        """That long in scaled time, or until `stop`."""
        slept = asyncio.create_task(self.sleep(milliseconds))
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([slept, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            slept.cancel()
            stopped.cancel()

    @property
    def is_over(self) -> bool:
        """Whether `stop` has been called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()
