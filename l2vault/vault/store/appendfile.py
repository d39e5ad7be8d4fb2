"""One data file that lines are appended to: whole or not at all, and by its path, not by a handle that may be dead.

Knows what the file's hour holds, without reading again what it wrote itself. Knows no line and no other file.
"""

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final

from l2vault.vault.store.digest import HourDigest, RunningDigest, digest_of
from l2vault.vault.store.durable import make_folders, sync_folder, write_all

_NEWLINE: Final = b"\n"

_Lines = tuple[int, int, int]
"""How many lines, and the first and last time of those."""


class AppendFile:
    """One data file. Opened when first needed, and anew when its handle can no longer be trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_busy = False
        """Whether a line was appended since the caller last reset this."""
        self.was_written = False
        self._recent: _Lines | None = None
        """The lines appended since the file was last seen in its place."""
        self._gone: _Lines | None = None
        """Lines in a file that was not there any more when it was opened again."""
        self._file: FileIO | None = None
        self._place: tuple[int, int] | None = None
        """Device and inode of the file that `_recent` lines went into."""
        self._end = 0
        """Its size then: an inode is used again for the next file, which is shorter."""
        self._torn_at: int | None = None
        """Where the file is to be cut before anything else is written: what follows is a part of a failed append."""
        self._is_dirty = False
        self._changed_folders: set[Path] = set()
        self._digest: RunningDigest | None = None
        """Of the hour, while the file has the size that this object has left it with."""
        self._digest_size = -1

    @property
    def is_open(self) -> bool:
        return self._file is not None

    @property
    def owes_sync(self) -> bool:
        """Whether something of it, or of its folders, is written but perhaps not on the disk."""
        return self._is_dirty or self._torn_at is not None or bool(self._changed_folders)

    def append(self, data: bytes, ts_ms: int) -> None:
        """Raises OSError where the disk refuses; no part of the line is left then."""
        file = self._file or self._open()
        if self._digest is None:
            self._begin_digest(file)
        try:
            self._torn_at = file.seek(0, os.SEEK_END)  # until the last byte is written
            write_all(file, data)
            self._end = self._torn_at + len(data)
            self._torn_at = None
        except OSError:
            self._cut_or_drop(file)
            raise
        self._is_dirty = self.was_written = self.is_busy = True
        if self._digest is not None:
            self._digest.add(data)
            self._digest_size += len(data)
        self._recent = _joined(self._recent, (1, ts_ms, ts_ms))

    def digest(self) -> HourDigest | None:
        """What the hour holds in its raw files; None where it has none, or one that cannot be read."""
        try:
            size = self.path.stat().st_size if self.path.exists() else 0
            if self._digest is None or size != self._digest_size:
                self._digest, self._digest_size = digest_of(self.path), size
        except OSError:
            return None
        return self._digest.value() if self._digest.bytes else None

    def let_go_if_gone(self) -> tuple[int, int, int] | None:
        """A handle outlives its file: what is written to it then is lost without any error. So look by path.

        Returns how many lines are gone since the last look, and the first and last time of those.
        """
        recent, self._recent = self._recent, None
        gone, self._gone = self._gone, None
        if recent is None or self._place is None:
            return gone
        with suppress(OSError):
            if self._is_in_place(self.path.stat()):
                return gone
        self._torn_at = self._digest = None
        self._is_dirty = False
        self.abandon()
        return _joined(gone, recent)

    def sync(self) -> None:
        if self._torn_at is not None or (self._is_dirty and self._file is None):
            self._file or self._open()
        if self._torn_at is not None and self._file is not None:
            self._cut(self._file)
        if self._file is not None and self._is_dirty:
            os.fsync(self._file.fileno())
            self._is_dirty = False
        while self._changed_folders:
            sync_folder(next(iter(self._changed_folders)))
            self._changed_folders.pop()

    def close(self) -> None:
        """Raises OSError with the file still open, so that it can be tried again."""
        self.sync()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the handle, whatever the disk says."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _open(self) -> FileIO:
        changed_folders = [self.path.parent, *make_folders(self.path.parent)]
        file = self.path.open("ab+", buffering=0)
        try:
            self._cut(file)
            _end_last_line(file)
        except OSError:
            file.close()
            raise
        self._changed_folders.update(changed_folders)
        state = os.fstat(file.fileno())
        place = state.st_dev, state.st_ino
        if self._recent is not None and not self._is_in_place(state):  # replaced while no handle was open
            self._gone, self._recent = _joined(self._gone, self._recent), None
        if place != self._place or state.st_size != self._digest_size:
            self._digest = None
        self._place, self._file = place, file
        return file

    def _is_in_place(self, state: os.stat_result) -> bool:
        return (state.st_dev, state.st_ino) == self._place and state.st_size >= self._end

    def _begin_digest(self, file: FileIO) -> None:
        """An hour that cannot be read, such as a damaged compressed one, has no digest and is written all the same."""
        with suppress(OSError):
            self._digest = digest_of(self.path)
            self._digest_size = os.fstat(file.fileno()).st_size

    def _cut(self, file: FileIO) -> None:
        size = file.seek(0, os.SEEK_END)
        if self._torn_at is not None and size > self._torn_at:
            file.truncate(self._torn_at)
            self._end = min(self._end, self._torn_at)
            self._is_dirty = True
        self._torn_at = None

    def _cut_or_drop(self, file: FileIO) -> None:
        """A handle that neither writes nor cuts may be dead (a drive unplugged, a share gone): open another later."""
        try:
            self._cut(file)
        except OSError:
            self.abandon()


def _joined(first: _Lines | None, second: _Lines) -> _Lines:
    return second if first is None else (first[0] + second[0], first[1], second[2])


def _end_last_line(file: FileIO) -> None:
    """Recovery cuts torn ends at start-up. Should one be here all the same, no line may be glued to it."""
    if file.seek(0, os.SEEK_END) > 0:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != _NEWLINE:
            write_all(file, _NEWLINE)
