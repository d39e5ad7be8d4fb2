"""Gives memory that is free but kept back to the system.

Measured over 20 h of exchange time: live memory flat, resident memory up by half a megabyte an hour; a trim ended that.
"""

from typing import Final

from l2vault import allocator
from l2vault.clock import Clock

TRIM_EVERY_SEC: Final = 3600.0


async def trim_regularly(clock: Clock) -> None:
    """Until cancelled."""
    while True:
        await clock.sleep(TRIM_EVERY_SEC)
        allocator.trim()
