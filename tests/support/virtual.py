"""Virtual time for whole processes in one event loop: minutes of deadlines pass as fast as the processor can act.

The loop's time stands still while anything can run and jumps to the next timer when nothing can. Under `run_virtually`
work for threads is done at once, in the loop, so that a run is a function of its seed alone. Under `run_over_sockets`
there are real sockets and threads, which time waits for.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from l2vault.clock import Clock
from support.fast_clock import disk_in_real_time

_Result = TypeVar("_Result")
_Loop = TypeVar("_Loop", bound=asyncio.SelectorEventLoop)
START_SEC = 1_000.0
SOCKETS_START_MS = 1_790_853_000_000
"""2026-10-01 11:10:00 UTC, later than every capture."""
PACE = 25
"""So many times as fast as the world's goes the time of `run_over_sockets` while a thread is at work."""


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


class _SocketSelector(_Selector):
    """The same beside threads and sockets of 127.0.0.1: time is skipped only when no thread is at work.

    While one is (it writes to the disk, or asks REST), time goes on at `PACE` times the world's, so that what the loop
    owes that thread comes about.
    """

    _LONGEST_WAIT_SEC = 0.001

    def __init__(self) -> None:
        super().__init__()
        self._others = set(threading.enumerate())
        self.in_executors = 0
        """What `run_in_executor` was given and has not returned. The threads of executors live on without work."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0 or not self._is_busy():
            return super().select(timeout)
        began = time.monotonic()
        left = float("inf") if timeout is None else timeout
        events = selectors.DefaultSelector.select(self, min(left / PACE, self._LONGEST_WAIT_SEC))
        self.now += min(left, (time.monotonic() - began) * PACE)
        return events

    def _is_busy(self) -> bool:
        new = (thread for thread in threading.enumerate() if thread not in self._others)
        return bool(self.in_executors) or any(not thread.name.startswith("asyncio_") for thread in new)


class SocketLoop(asyncio.SelectorEventLoop):
    """Virtual time for processes that speak over sockets and work in threads: what they do takes no time, waiting is
    skipped. How fast the machine is, and what else it does, decides nothing but the order within threads."""

    def __init__(self) -> None:
        self.selector = _SocketSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self.selector.in_executors += 1
        future.add_done_callback(self._note_returned)
        return future

    def _note_returned(self, _future: asyncio.Future[Any]) -> None:
        self.selector.in_executors -= 1


class VirtualClock(Clock):
    """Wall time goes with the loop's, from `start_ms` on, and may be set wrong: `wall_error_ms`."""

    def __init__(self, loop: VirtualLoop | SocketLoop, start_ms: int) -> None:
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
    return _run(VirtualLoop(), main)


def run_over_sockets(main: Callable[[SocketLoop], Coroutine[Any, Any, _Result]]) -> _Result:
    """The same for what speaks over sockets of 127.0.0.1, or works in threads."""
    with disk_in_real_time(PACE):
        return _run(SocketLoop(), main)


def _run(loop: _Loop, main: Callable[[_Loop], Coroutine[Any, Any, _Result]]) -> _Result:
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def over_sockets(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, run by `run_over_sockets`; `running_clock()` is its clock."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_over_sockets(lambda loop: test(*args, **kwargs))

    return run


def running_clock() -> VirtualClock:
    """The clock of the loop that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SocketLoop)
    return VirtualClock(loop, SOCKETS_START_MS)
