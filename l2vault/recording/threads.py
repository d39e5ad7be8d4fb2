"""A blocking call in a daemon thread of its own.

Not `asyncio.to_thread`: the end of the event loop waits for the threads of that, so that one which hangs (a name
server, a disk) would keep the process from ending. A daemon thread ends with the process, wherever it is.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


async def in_daemon_thread(act: Callable[_Args, _Result], *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
    """What `act` returns or raises. Cancelled, it returns at once; the thread goes on and its outcome is dropped."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_Result] = loop.create_future()

    def work() -> None:
        try:
            settle = partial(_finish, outcome, act(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (raised where it is awaited)
            settle = partial(_fail, outcome, error)
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop has ended meanwhile, and nobody waits

    threading.Thread(target=work, name=getattr(act, "__name__", "task"), daemon=True).start()
    return await outcome


def _finish(outcome: "asyncio.Future[_Result]", result: _Result) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: "asyncio.Future[_Result]", error: Exception) -> None:
    if not outcome.done():
        outcome.set_exception(error)
