"""A process for each core, for verbs that do the same for many hours: threads share one core for what is Python."""

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Final

from l2vault.analytics.executors import spawned
from l2vault.own_process import is_own

LEAST_HOURS: Final = 4
"""Starting a process and loading the libraries takes about as long as an hour of books."""


@contextmanager
def process_for_each_core(hours: int) -> Iterator[Executor | None]:
    """An executor for work on so many hours; None where this process alone does it as quickly.

    What has not begun is left undone if the block is left by an exception. Raises VaultError where a process dies.
    """
    processes = min(os.cpu_count() or 1, hours)
    if processes < 2 or hours < LEAST_HOURS or not is_own():
        yield None
        return
    with spawned(processes) as executor:
        yield executor
