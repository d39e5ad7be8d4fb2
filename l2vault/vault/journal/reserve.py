"""Room that is kept back on the disk for the journal, so that a full disk can still be told why its lines are missing.

A file of bytes without meaning; the journal shortens it by what an event needs when the disk takes no more. Knows no
event.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 1 << 20
"""An hour of two instruments on a full disk notes about 50 KB."""
PART_OF_FREE: Final = 16
"""At most this part of what is free is kept back: a small disk is for lines."""
_BLOCK: Final = 4_096


class Reserve:
    """The file at `path`. One process fills it; any may give of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Up to its size, as far as the disk has plenty of room; it is no trouble of anybody's if not."""
        with suppress(OSError):
            size = self._size()
            wanted = min(RESERVE_BYTES, shutil.disk_usage(self._path.parent).free // PART_OF_FREE)
            if size < wanted - _BLOCK:
                with self._path.open("ab", buffering=0) as file:
                    file.write(os.urandom(wanted - size))  # zeros take no room where a file system packs them

    def give(self, size: int) -> bool:
        """Free at least `size` bytes and a block, for whoever writes next; False where too little is left."""
        left = self._size() - (size // _BLOCK + 2) * _BLOCK
        if left < 0:
            return False
        with suppress(OSError):
            os.truncate(self._path, left)
            return True
        return False

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0
