"""How a data file is deleted: renamed, noted, removed. So no deletion goes unnoted, and none is noted that was refused.

Knows neither why a file goes nor what the note says.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from l2vault.vault.durable import sync_folder

DELETING_SUFFIX: Final = ".deleting"
"""Ends the name of a file whose deletion has begun; finish it with `finish_removal`."""


def remove(path: Path, note: Callable[[], None]) -> None:
    """Raises OSError with the file in place where it cannot go: Windows refuses to rename what a reader has open."""
    doomed = path.with_name(path.name + DELETING_SUFFIX)
    path.replace(doomed)
    finish_removal(doomed, note)


def finish_removal(doomed: Path, note: Callable[[], None]) -> None:
    """A disk too full for the note is no reason to keep what fills it: then the file goes first."""
    try:
        note()
    except OSError:
        doomed.unlink()
        note()
    else:
        doomed.unlink()
    sync_folder(doomed.parent)
