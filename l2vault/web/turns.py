"""One heavy piece of work at a time: reading an hour takes a hundred megabytes for a moment, and two of them two."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """What answers a waiting page goes before what can wait. `after` is called behind each piece of work, by the thread
    that did it: it gives memory back that is free."""

    def __init__(self, after: Callable[[], object] = lambda: None) -> None:
        self._after = after
        self._changed = threading.Condition()
        self._is_taken = False
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """The next turn, before all that are patient."""
        with self._changed:
            self._urgent += 1
            self._changed.wait_for(lambda: not self._is_taken)
            self._urgent -= 1
            self._is_taken = True
        yield from self._work()

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A turn for which nobody else waits urgently."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_taken and not self._urgent)
            self._is_taken = True
        yield from self._work()

    def _work(self) -> Iterator[None]:
        try:
            yield
        finally:
            try:
                self._after()
            finally:
                with self._changed:
                    self._is_taken = False
                    self._changed.notify_all()
