"""How much of what is freed the allocators keep: glibc's, and those of the libraries, for this process as a whole. No
other C library than glibc needs or offers it: there, and on other systems, it is asked nothing."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""`mallopt`'s, of glibc's malloc.h."""
_PYTHON: Final = "PYTHONMALLOC"
_LIBRARIES: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",  # jemalloc's, in Polars
}


def begin_anew() -> None:
    """For a reader that lives long: its program again from the start, in this process, with Python's small objects in
    glibc's allocator too. Python's own gives a megabyte back once nothing in it is used, and something nearly always
    is, so that what was needed at once the most stays taken. Returns where that is done, where the environment says
    something else, and without glibc."""
    if os.environ.get(_PYTHON) == "malloc":
        del os.environ[_PYTHON]  # it is not for the processes that this one starts
    elif _PYTHON not in os.environ and sys.executable and _of_glibc("malloc_trim") is not None:
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {_PYTHON: "malloc"})


def trim() -> bool:
    """Give what is free back to the system; whether the allocator was asked. Takes a millisecond or so."""
    ask = _of_glibc("malloc_trim")
    if ask is not None:
        ask(0)
    return ask is not None


def keep_little() -> bool:
    """For a reader of large arrays that lives long; before its threads, and before Arrow and Polars are loaded, which
    then choose their allocators. Two arenas serve all threads, and blocks of 256 KB and more come from the system and
    go back to it at once; Arrow keeps none of its own, and Polars' gives back what is free."""
    for name, value in _LIBRARIES.items():
        os.environ.setdefault(name, value)
    return _set({_M_ARENA_MAX: 2, _M_MMAP_THRESHOLD: 256 << 10})


def keep_freed() -> bool:
    """For a reader that ends with its answer. To get each array from the system anew, page by page, takes a tenth of
    the time of a day's `shifts`."""
    return _set({_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: 1 << 30, _M_TOP_PAD: 64 << 20})


def _set(values: dict[int, int]) -> bool:
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and all([mallopt(name, value) for name, value in values.items()])


def _of_glibc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # an hour into a recording at the earliest: it is not worth its memory at the start

    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)  # musl has neither
    return found
