"""A process for each core, for verbs that do the same for many hours: threads share one core for what is Python."""

import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final

from l2vault.errors import VaultError
from l2vault.own_process import keep_pandas_out

LEAST_HOURS: Final = 4
"""Starting a process and loading the libraries takes about as long as an hour of books."""
_MOST: Final = 8
"""Each may take 0.4 GB."""


@contextmanager
def process_for_each_core(hours: int) -> Iterator[Executor | None]:
    """An executor for work on so many hours; None where this process alone does it as quickly.

    What has not begun is left undone if the block is left by an exception. Raises VaultError where a process dies.
    """
    processes = min(os.cpu_count() or 1, hours, _MOST)
    if processes < 2 or hours < LEAST_HOURS:
        yield None
        return
    executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=keep_pandas_out)
    try:
        yield executor
    except BrokenExecutor as error:
        raise VaultError("a process at work on an hour was ended from outside.", "again, with more memory") from error
    finally:
        executor.shutdown(cancel_futures=True)
