"""The vault's day files, which hold what comes seldom and of which each line stands alone: what there is, and lines
onto them.

No handle stays open between two appends. Knows no line, no queue, no clock and no journal. Not for several threads.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, get_args

from l2vault.book.utc import utc_ms
from l2vault.vault.store.appendfile import AppendFile
from l2vault.vault.store.layout import DayKind, Layout
from l2vault.vault.store.stream import GzipDamage, read_lines

DAY_KINDS: Final[tuple[DayKind, ...]] = get_args(DayKind)
_NAME: Final = re.compile(r"(\d{4}-\d\d-\d\d)\.jsonl(\.gz)?")
_NEWLINE: Final = b"\n"


class DayFile(NamedTuple):
    """One day of a kind in one form; `written_ms` is the wall time of its last change."""

    day_ms: int
    path: Path
    is_compressed: bool
    size_bytes: int
    written_ms: int


def day_files(layout: Layout, kind: DayKind) -> list[DayFile]:
    """By day, of one day the compressed form first. Nothing where the folder is not there or cannot be listed."""
    found: list[DayFile] = []
    with suppress(OSError):
        for path in layout.day_folder(kind).iterdir():
            match = _NAME.fullmatch(path.name)
            if match is None or path.is_symlink() or not path.is_file():
                continue
            with suppress(ValueError, OSError):
                facts = path.stat()
                day_ms = utc_ms(f"{match[1]}T00:00:00.000Z")
                found.append(DayFile(day_ms, path, match[2] is not None, facts.st_size, facts.st_mtime_ns // 1_000_000))
    return sorted(found, key=lambda each: (each.day_ms, not each.is_compressed))


class DayWriter:
    """Appends each line to the file of its kind and day."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._unsynced: dict[Path, AppendFile] = {}

    def newest_lines(self, kind: DayKind, days: int) -> list[bytes]:
        """The whole lines of the newest days, in order; what does not read is passed by, of a damaged
        file what comes behind the damage. Ends a line that a killed run
        left torn, so that the next one does not continue it."""
        held = day_files(self._layout, kind)
        wanted = sorted({each.day_ms for each in held})[-days:]
        lines: list[bytes] = []
        for file in held:
            if file.day_ms in wanted:
                with suppress(OSError, GzipDamage):
                    is_torn = False
                    for line in read_lines(file.path):
                        is_torn = not line.is_ended
                        if line.text is not None and line.is_ended:
                            lines.append(line.text)
                    if is_torn and not file.is_compressed:
                        with file.path.open("ab") as torn:
                            torn.write(_NEWLINE)
                            torn.flush()
                            os.fsync(torn.fileno())
        return lines

    def append(self, kind: DayKind, lines: Iterable[tuple[int, bytes]]) -> None:
        """Lines without their newline, each with its time. Raises OSError where the disk refuses one; no part of it
        stays, and those behind it are not written."""
        for ts_ms, line in lines:
            path = self._layout.day_file(kind, ts_ms)
            file = self._unsynced.setdefault(path, AppendFile(path))
            try:
                file.append(line + _NEWLINE, ts_ms)
            finally:
                file.abandon()

    def sync(self) -> None:
        """Put on the disk, past its caches, what was appended since the last time. Raises OSError if that fails, and
        owes it still."""
        for path, file in list(self._unsynced.items()):
            file.sync()
            file.abandon()
            del self._unsynced[path]
