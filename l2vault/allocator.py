"""How much of what is freed glibc's allocator keeps, for this process as a whole. No other C library needs or offers
it: there, and on other systems, nothing is done."""

import sys
from collections.abc import Callable
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""`mallopt`'s, of glibc's malloc.h."""


def trim() -> bool:
    """Give what is free back to the system; whether the allocator was asked. Takes a millisecond or so."""
    ask = _of_glibc("malloc_trim")
    if ask is not None:
        ask(0)
    return ask is not None


def keep_little() -> bool:
    """For a reader of large arrays that lives long; before its threads. Two arenas serve all threads, and blocks of 256
    KB and more come from the system and go back to it at once."""
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
