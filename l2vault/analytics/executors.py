"""Who works on the hours of a span: any executor of `concurrent.futures`, this machine's cores without one.

Knows what starting a process costs, and when it may not be done. Loads no analysis library, so that a worker can be
told how many threads polars may have before it loads it.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from l2vault.allocator import keep_freed
from l2vault.errors import VaultError
from l2vault.own_process import keep_pandas_out
from l2vault.worker import Workers

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

_RAW_HOUR_SEC: Final = 1.0
_COLUMN_HOUR_SEC: Final = 0.07
"""What an hour of 1,800 books takes, as lines and as columns."""

_LEAST_SEC: Final = 4.0
"""A process takes half a second to start; less work than this is done in threads, which share one core for what is
Python: of lines nearly all, of columns a fifth."""

_MOST_PROCESSES: Final = 8
"""Each may take 0.4 GB."""


@contextmanager
def spawned(processes: int, begin: Callable[[], None] = keep_pandas_out) -> Iterator[Executor]:
    """So many new processes, 8 at most, in each of which `begin` is called first.

    What has not begun is left undone if the block is left by an exception, Ctrl-C too; what has is done to its end.
    Raises VaultError where a process dies.
    """
    executor = ProcessPoolExecutor(min(processes, _MOST_PROCESSES), mp_context=Workers(), initializer=begin)
    try:
        yield executor
    except BrokenExecutor as error:
        raise VaultError("a process at work on an hour was ended from outside.", "again, with more memory") from error
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def worked_on(books: "Books", executor: Executor | None = None, *, is_guarded: bool = False) -> Iterator[None]:
    """While it lasts every measure of `books` has its hours worked on by `executor`, whatever measures there are.

    Any executor of `concurrent.futures` will do: a `ProcessPoolExecutor`, or a cluster's, such as Dask's
    `client.get_executor()`, whose workers see the vault at the same path. Its processes must be spawned, not forked
    (`mp_context=get_context("spawn")`): polars and pyarrow have threads. Without one all cores of this machine work: in
    threads, and where the span is worth their start in processes, 8 at most; where one of those dies, VaultError.

    A spawned process imports the main module. Where that is a script it would do its work again unless all of it stands
    under `if __name__ == "__main__":`, so that processes are started of themselves only where there is no script (a
    notebook, the prompt) or `is_guarded` says that it is so.
    """
    before = books.executor
    with ExitStack() as processes:
        if executor is None and _is_worth_processes(books) and (is_guarded or _has_no_script()):
            cores = min(os.cpu_count() or 1, len(books.hours))
            executor = processes.enter_context(spawned(cores, _begin))
        books.executor = executor
        try:
            yield
        finally:
            books.executor = before


def _is_worth_processes(books: "Books") -> bool:
    raw = len(books.raw_hours)
    if min(os.cpu_count() or 1, len(books.hours)) < 2:
        return False
    return raw * _RAW_HOUR_SEC + (len(books.hours) - raw) * _COLUMN_HOUR_SEC >= _LEAST_SEC


def _has_no_script() -> bool:
    main = sys.modules["__main__"]
    is_child = multiprocessing.parent_process() is not None
    return not is_child and getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None


def _begin() -> None:
    """There is a process for each core: threads of polars beside it would only get into each other's way."""
    keep_pandas_out()
    keep_freed()
    os.environ["POLARS_MAX_THREADS"] = "1"
