"""Processes that work for one of ours: spawned, out of reach of the terminal's Ctrl-C, and gone with their owner.

A pool's worker that Ctrl-C reaches prints a traceback, or leaves its piece of work in the middle; one whose owner was
killed waits for its next piece forever, with all its memory. Knows nothing of the work.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from threading import Thread


class Worker(SpawnProcess):
    """At Ctrl-C its owner decides what becomes of it; it ends at once where the owner does."""

    def start(self) -> None:
        with _ctrl_c_later():
            super().start()

    def run(self) -> None:
        """In the process itself."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        Thread(target=_end_with_owner, daemon=True).start()
        super().run()


class Workers(SpawnContext):
    """For `multiprocessing` and for `ProcessPoolExecutor(mp_context=...)`."""

    Process = Worker


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """What is started meanwhile never gets a Ctrl-C, from its first instruction on; here one that comes waits until the
    start is complete. Windows keeps no signal back: there a new process hears it until it runs."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_owner() -> None:
    owner = parent_process()
    if owner is not None:
        owner.join()
        os._exit(1)
