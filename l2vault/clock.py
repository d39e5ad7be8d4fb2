"""The only module that reads a clock. Everything else is handed the time it needs."""

import time


class Clock:
    """Wall time for what people read, monotonic time for deadlines, and sleep; tests put their own in its place."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May jump when the host corrects its clock."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back; only differences mean anything."""
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        import asyncio  # whoever only reads a vault never sleeps, and need not load it

        await asyncio.sleep(seconds)
