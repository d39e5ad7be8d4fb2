"""The one supervisor of what recording can do without: whatever it raises is logged, journaled, and followed by a
restart. A task runs by itself; a part is called on the way of the books, and in the disk's thread.

Knows nothing of what either does. Feeds and disk do not run under it: only they may end a run.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from random import Random
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.okx.backoff import Backoff
from l2vault.vault.journal.events import Event, TaskFailed

FIRST_RETRY_SEC: Final = 1.0
LONGEST_RETRY_SEC: Final = 300.0
STABLE_SEC: Final = 600.0
"""A task that ran for this long starts its back-off anew, and its next failure is logged again."""

_SAID_CHARS: Final = 400

_log = logging.getLogger(__name__)


Chore = Callable[[], list[Event]]


class _Failures:
    """The failures of one task or part: each is an event, each new one is logged, the next start later and later."""

    def __init__(self, words: str, name: str, clock: Clock, rng: Random) -> None:
        self._words = words
        self._name = name
        self._clock = clock
        self._backoff = Backoff(FIRST_RETRY_SEC, LONGEST_RETRY_SEC, rng)
        self._logged = ""
        self._began_ms = clock.monotonic_ms()

    def began(self) -> None:
        self._began_ms = self._clock.monotonic_ms()

    def note(self, error: BaseException) -> TaskFailed:
        """What the journal is to hold; `retry_sec` is when to start again. Logged, unless it repeats the one before."""
        if self._clock.monotonic_ms() - self._began_ms >= STABLE_SEC * 1000:
            self._backoff.reset()
            self._logged = ""
        retry_sec, said = self._backoff.next_sec(), said_of(error)
        level = logging.DEBUG if said == self._logged else logging.ERROR
        self._logged = said
        _log.log(level, self._words, self._name, retry_sec, said, exc_info=error if level == logging.ERROR else None)
        return TaskFailed(self._clock.wall_text(), self._name, said, round(retry_sec, 1))


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
        words = "Task %s failed, recording goes on; starting it again in %.1f s. It was: %s"
        failures = _Failures(words, name, self._clock, self._rng)
        while True:
            failures.began()
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
            failed = failures.note(error)
            self._note(failed)
            await self._clock.sleep(failed.retry_sec)

    def part(self, name: str, give_up: Callable[[], None], begin_again: Callable[[], None]) -> "Part":
        """`give_up` notes what is not known from a failure on; `begin_again` is called some time after it."""
        return Part(name, self._note, give_up, begin_again, self._clock, self._rng)


class Part:
    """What the books' way calls and can do without. After a failure nothing of it runs before `tick` begins it again.

    All but `chore`'s result is called in the event loop.
    """

    def __init__(  # noqa: PLR0913 - made by `Supervisor.part` alone
        self,
        name: str,
        note: Callable[[Event], None],
        give_up: Callable[[], None],
        begin_again: Callable[[], None],
        clock: Clock,
        rng: Random,
    ) -> None:
        words = "Part %s of the recording failed, the books go on; it begins anew in %.1f s. It was: %s"
        self._failures = _Failures(words, name, clock, rng)
        self._note = note
        self._give_up = give_up
        self._begin_again = begin_again
        self._clock = clock
        self._retry_ms: int | None = None
        """Monotonic: when to begin again; None while it works."""
        self._failed_in_thread: TaskFailed | None = None
        self._beginnings = 0
        self._report_after_ms = 0

    @property
    def is_working(self) -> bool:
        return self._retry_ms is None and self._failed_in_thread is None

    def call(self, act: Callable[[], object]) -> bool:
        """Whether it was done, and nothing was raised."""
        if self._retry_ms is not None:
            return False
        try:
            act()
        except Exception as error:  # noqa: BLE001  (the supervisor: logged and journaled just below)
            self._fail(error)
            return False
        return True

    def chore(self, act: Chore) -> Chore:
        """The same for the disk's thread: what the part put there before it failed is not done after it. An OSError is
        the disk's trouble, and not the part's."""
        beginning = self._beginnings

        def guarded() -> list[Event]:
            if beginning != self._beginnings or self._failed_in_thread is not None:
                return []
            try:
                return act()
            except (OSError, VaultError):
                raise
            except Exception as error:  # noqa: BLE001  (the supervisor: logged and journaled just below)
                self._failed_in_thread = self._failures.note(error)
                return [self._failed_in_thread]

        return guarded

    def report(self, what: str) -> None:
        """A failure in what the part is given, which costs it that and nothing more: told now and then."""
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._report_after_ms:
            failed = self._failures.note(RuntimeError(what))
            self._report_after_ms = now_ms + round(failed.retry_sec * 1000)
            self._note(failed)

    def tick(self) -> None:
        """Call it about once a second."""
        failed, self._failed_in_thread = self._failed_in_thread, None
        if failed is not None and self._retry_ms is None:
            self._stop(failed)
        if self._retry_ms is not None and self._clock.monotonic_ms() >= self._retry_ms:
            self._retry_ms = None
            self._failures.began()
            self.call(self._begin_again)

    def _fail(self, error: Exception) -> None:
        failed = self._failures.note(error)
        self._note(failed)
        self._stop(failed)

    def _stop(self, failed: TaskFailed) -> None:
        self._beginnings += 1
        self._retry_ms = self._clock.monotonic_ms() + round(failed.retry_sec * 1000)
        try:
            self._give_up()
        except Exception as error:  # noqa: BLE001  (the supervisor: logged and journaled just below)
            self._note(self._failures.note(error))


def said_of(error: BaseException) -> str:
    """Class and text on one line; an error that cannot be put into words is no second failure."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return printable("".join(traceback.format_exception_only(error)).strip(), _SAID_CHARS)
