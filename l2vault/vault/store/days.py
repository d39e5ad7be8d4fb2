"""Lines onto the vault's day files, which hold what comes seldom and of which each line stands alone.

No handle stays open between two appends. Knows no line, no queue, no clock and no journal. Not for several threads.
"""

from collections.abc import Iterable
from pathlib import Path

from l2vault.vault.store.appendfile import AppendFile
from l2vault.vault.store.layout import DayKind, Layout


class DayWriter:
    """Appends each line to the file of its kind and day."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._unsynced: dict[Path, AppendFile] = {}

    def append(self, kind: DayKind, lines: Iterable[tuple[int, bytes]]) -> None:
        """Lines without their newline, each with its time. Raises OSError where the disk refuses one; no part of it
        stays, and those behind it are not written."""
        for ts_ms, line in lines:
            path = self._layout.day_file(kind, ts_ms)
            file = self._unsynced.setdefault(path, AppendFile(path))
            try:
                file.append(line + b"\n", ts_ms)
            finally:
                file.abandon()

    def sync(self) -> None:
        """Put on the disk, past its caches, what was appended since the last time. Raises OSError if that fails, and
        owes it still."""
        for path, file in list(self._unsynced.items()):
            file.sync()
            file.abandon()
            del self._unsynced[path]
