"""Gives memory that is free but kept back to the system. Only glibc needs and offers it; elsewhere this does nothing.

Measured over 20 h of exchange time: live memory flat, resident memory up by half a megabyte an hour; a trim ended that.
"""

import sys
from typing import Final

from l2vault.clock import Clock

TRIM_EVERY_SEC: Final = 3600.0


async def trim_regularly(clock: Clock) -> None:
    """Until cancelled."""
    while True:
        await clock.sleep(TRIM_EVERY_SEC)
        trim_heap()


def trim_heap() -> bool:
    """Whether the allocator was asked; takes a millisecond or so."""
    if sys.platform != "linux":
        return False
    import ctypes  # an hour into the run at the earliest: it is not worth its memory at the start

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is None:
        return False
    trim(0)
    return True
