"""Virtual time for whole processes in one event loop: minutes of deadlines pass as fast as the processor can act.

The loop's time stands still while anything can run and jumps to the next timer when nothing can. Work for threads is
done at once, in the loop, so that a run is a function of its seed alone.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from l2vault.clock import Clock

_Result = TypeVar("_Result")
START_SEC = 1_000.0


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for time to pass, lets it have passed."""

    now = START_SEC

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout is None:
            return events or super().select(timeout)
        if timeout > 0:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time` is virtual; executors run what they are given at once."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the caller's, as from a thread
            future.set_exception(error)
        return future


class VirtualClock(Clock):
    """Wall time goes with the loop's, from `start_ms` on, and may be set wrong: `wall_error_ms`."""

    def __init__(self, loop: VirtualLoop, start_ms: int) -> None:
        self._loop = loop
        self._start_ms = start_ms
        self.wall_error_ms = 0

    def true_ms(self) -> int:
        return self._start_ms + round((self._loop.time() - START_SEC) * 1000)

    def wall_ms(self) -> int:
        return self.true_ms() + self.wall_error_ms

    def wall_us(self) -> int:
        return self.wall_ms() * 1000

    def monotonic_ms(self) -> int:
        return round(self._loop.time() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def leap(self, seconds: float) -> None:
        """The host slept: time has passed and nobody acted."""
        self._loop.selector.now += seconds


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
