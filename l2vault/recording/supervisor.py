"""The one supervisor of optional tasks: whatever one raises is logged, journaled, and followed by a restart.

Knows nothing of what a task does. Feeds and disk do not run under it: only they may end a run.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from random import Random
from typing import Final

from l2vault.clock import Clock
from l2vault.foreign import printable
from l2vault.okx.backoff import Backoff
from l2vault.vault.journal.events import Event, TaskFailed

FIRST_RETRY_SEC: Final = 1.0
LONGEST_RETRY_SEC: Final = 300.0
STABLE_SEC: Final = 600.0
"""A task that ran for this long starts its back-off anew, and its next failure is logged again."""

_SAID_CHARS: Final = 400

_log = logging.getLogger(__name__)


class Supervisor:
    """`note` gets a `TaskFailed` for each failure; `clock` is what the back-off waits by."""

    def __init__(self, note: Callable[[Event], None], clock: Clock, rng: Random) -> None:
        self._note = note
        self._clock = clock
        self._rng = rng

    async def run(self, name: str, task: Callable[[], Coroutine[object, object, object]]) -> None:
        """Run the coroutine that `task` makes, and a new one after each failure, until one returns.

        Raises nothing but CancelledError, and that only when this run is cancelled itself.
        """
        backoff = Backoff(FIRST_RETRY_SEC, LONGEST_RETRY_SEC, self._rng)
        logged = ""
        while True:
            began_ms = self._clock.monotonic_ms()
            try:
                await task()
                return
            except asyncio.CancelledError as cancelled:
                this = asyncio.current_task()
                if this is not None and this.cancelling():
                    raise
                error: BaseException = cancelled  # something that the task waited for was cancelled, not the task
            except Exception as failure:  # noqa: BLE001  (the supervisor: logged and journaled just below)
                error = failure
            if self._clock.monotonic_ms() - began_ms >= STABLE_SEC * 1000:
                backoff.reset()
                logged = ""
            retry_sec = backoff.next_sec()
            logged = self._tell(name, error, retry_sec, logged)
            await self._clock.sleep(retry_sec)

    def _tell(self, name: str, error: BaseException, retry_sec: float, logged: str) -> str:
        """Journal a failure, and log it unless it repeats the one before; returns how it is called."""
        said = _said(error)
        self._note(TaskFailed(self._clock.wall_text(), name, said, round(retry_sec, 1)))
        level = logging.DEBUG if said == logged else logging.ERROR
        words = "Task %s failed, recording goes on; starting it again in %.1f s. It was: %s"
        _log.log(level, words, name, retry_sec, said, exc_info=error if level == logging.ERROR else None)
        return said


def _said(error: BaseException) -> str:
    """Class and text on one line; an error that cannot be put into words is no second failure."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return printable("".join(traceback.format_exception_only(error)).strip(), _SAID_CHARS)
