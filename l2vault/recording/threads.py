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


class NoThread(Exception):
    """The system has no room for one more thread at this moment."""


async def in_daemon_thread(act: Callable[_Args, _Result], *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
    """What `act` returns or raises. Cancelled, it returns at once; the thread goes on and its outcome is dropped.

    Whatever ends `act` ends the wait: what is no Exception, such as a panic of a library in Rust, is a RuntimeError
    here. Raises NoThread where `act` was not begun.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_Result] = loop.create_future()

    def work() -> None:
        try:
            settle = partial(_finish, outcome, act(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  (raised where it is awaited)
            settle = partial(_fail, outcome, error)
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # the loop has ended meanwhile, and nobody waits

    try:
        threading.Thread(target=work, name=getattr(act, "__name__", "task"), daemon=True).start()
    except RuntimeError as error:
        raise NoThread(str(error)) from error
    return await outcome


def _finish(outcome: "asyncio.Future[_Result]", result: _Result) -> None:
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: "asyncio.Future[_Result]", error: BaseException) -> None:
    if outcome.done():
        return
    if isinstance(error, StopIteration) or not isinstance(error, Exception):
        # A future takes no StopIteration, and what is no Exception would end the event loop.
        said = RuntimeError(f"a thread ended with {type(error).__name__}: {error}")
        said.__cause__ = error
        error = said
    outcome.set_exception(error)
