"""Snapshot lines onto the disk: one append each, one file an hour, nothing torn left behind by a failure.

Knows no queue, no clock and no journal: what a failure means is the caller's business. Not for several threads.
"""

import errno
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.vault.durable import make_folders, sync_folder
from l2vault.vault.layout import HOUR_MS, Layout

_NEWLINE: Final = b"\n"

_Key = tuple[str, int]
"""Instrument and hour since the epoch: one data file."""


class Vanished(NamedTuple):
    """Lines that went into a file which is no longer where it was: moved, deleted, or its disk taken away."""

    inst_id: str
    path: Path
    lines: int
    from_ms: int
    to_ms: int


class LineWriter:
    """Appends each line to the file of its hour; keeps one file open per instrument.

    Where retention has compressed an hour already and a line of it still comes, a new `HH.jsonl` beside `HH.jsonl.gz`
    is right: readers take both, the compressed one first.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._vanished: list[Vanished] = []
        self._files: dict[_Key, _AppendFile] = {}
        self._current: dict[str, _Key] = {}

    def append(self, snapshot: Snapshot) -> None:
        """Write one line. Raises OSError where the disk refuses; the line is then lost, but no part of it stays.

        A line that comes after a failed one is as good as any: the file is cut back first, by path if need be.
        """
        line = to_line(snapshot) + _NEWLINE
        key = (snapshot.inst_id, snapshot.ts_ms // HOUR_MS)
        former = self._current.get(snapshot.inst_id)
        if former != key:
            self._current[snapshot.inst_id] = key
            if former is not None:
                with suppress(OSError):  # this line has a file of its own; `sync` tries again and reports
                    self._close(former)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = _AppendFile(self._layout.hour_file(snapshot.inst_id, snapshot.ts_ms))
        file.append(line, snapshot.ts_ms)

    def take_vanished(self) -> list[Vanished]:
        """What `sync` found gone since the last call. Nobody can read those lines; later ones go into a new file."""
        vanished, self._vanished = self._vanished, []
        return vanished

    def sync(self) -> None:
        """Put on the disk, past its caches, every file and folder changed since the last time.

        One file's trouble does not keep the others from it; the first OSError is raised at the end.
        """
        errors: list[OSError] = []
        for key, file in list(self._files.items()):
            try:
                gone = file.let_go_if_gone()
                if gone is not None:
                    self._vanished.append(Vanished(key[0], file.path, *gone))
                if self._current.get(key[0]) == key:
                    file.sync()
                else:
                    self._close(key)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Sync and close every file. No handle stays open even if OSError is raised; `append` opens files again."""
        self._current.clear()
        try:
            self.sync()
        finally:
            for file in self._files.values():  # those that could not be closed; what they owe is not forgotten
                file.abandon()

    def _close(self, key: _Key) -> None:
        self._files[key].close()
        del self._files[key]


class _AppendFile:
    """One data file. Opened when first needed, and anew when its handle can no longer be trusted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._recent: tuple[int, int, int] | None = None
        """How many lines, and the first and last time of those, since the file was last seen in its place."""
        self._file: FileIO | None = None
        self._torn_at: int | None = None
        """Where the file is to be cut before anything else is written: what follows is a part of a failed append."""
        self._is_dirty = False
        self._changed_folders: set[Path] = set()

    def append(self, data: bytes, ts_ms: int) -> None:
        file = self._file or self._open()
        try:
            self._torn_at = file.seek(0, os.SEEK_END)  # until the last byte is written
            _write_all(file, data)
            self._torn_at = None
        except OSError:
            self._cut_or_drop(file)
            raise
        self._is_dirty = True
        lines, from_ms, _ = self._recent or (0, ts_ms, ts_ms)
        self._recent = (lines + 1, from_ms, ts_ms)

    def let_go_if_gone(self) -> tuple[int, int, int] | None:
        """A handle outlives its file: what is written to it then is lost without any error. So look by path."""
        recent, self._recent = self._recent, None
        if recent is None or self._file is None:
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                return None
        self._torn_at = None
        self.abandon()
        return recent

    def sync(self) -> None:
        if self._torn_at is not None:
            self._open()
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
        self._file = file
        return file

    def _cut(self, file: FileIO) -> None:
        size = file.seek(0, os.SEEK_END)
        if self._torn_at is not None and size > self._torn_at:
            file.truncate(self._torn_at)
            self._is_dirty = True
        self._torn_at = None

    def _cut_or_drop(self, file: FileIO) -> None:
        """A handle that neither writes nor cuts may be dead (a drive unplugged, a share gone): open another later."""
        try:
            self._cut(file)
        except OSError:
            self.abandon()


def _write_all(file: FileIO, data: bytes) -> None:
    """A disk about to be full takes a part first and refuses at the next try."""
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if not written:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes", str(file.name))
        rest = rest[written:]


def _end_last_line(file: FileIO) -> None:
    """Recovery cuts torn ends at start-up. Should one be here all the same, no line may be glued to it."""
    if file.seek(0, os.SEEK_END) > 0:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != _NEWLINE:
            _write_all(file, _NEWLINE)
