"""A gzip file that is appended to and can be read meanwhile: its bytes are whole up to each flush.

A flush ends on a byte (zlib's sync flush), so that what a kill or a full disk leaves can be cut there and completed:
an empty last block and the checksum make it a whole member, and a new one follows (RFC 1952 allows any number).
Knows no line but its newline, no path but its own, and no time.
"""

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from l2vault.vault.store.durable import make_folders, sync_folder, write_all

_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name and time 0: a member depends on its contents alone."""
_PLAIN_START: Final = b"\x1f\x8b\x08\x00"
"""Of a member without any optional field; what else stands in a header does not matter."""
_LAST_BLOCK: Final = b"\x03\x00"
_FLUSH_MARK: Final = b"\x00\x00\xff\xff"
"""Ends what a sync flush puts out. It may occur elsewhere by chance, and is checked."""
_LEVEL: Final = 6
_RAW_WBITS: Final = -15
_MEMORY_LEVEL: Final = 8
_CHUNK_BYTES: Final = 1 << 18


class Replaced(OSError):
    """The file is not what was left there: moved, deleted, cut, or written to by somebody else."""


class GzipAppend:
    """One file, opened for each flush by its path and never held open. Not for several threads."""

    def __init__(self, path: Path, size: int) -> None:
        """`size` is that of the file, 0 for one that is still to be made; it must end with a whole member."""
        self.path = path
        self._size = size
        self._deflate: zlib._Compress | None = None
        self._pending: list[bytes] = []
        self._crc32 = 0
        self._length = 0
        self._is_new = True
        """Whether the member that is being made has no byte in the file yet."""
        self._trailer = b""
        """Completes the member that stands in the file; empty where that is whole."""
        self._changed_folders: set[Path] = set()
        self._is_dirty = False

    def add(self, data: bytes) -> None:
        """Compress; nothing is in the file before `flush`."""
        if self._deflate is None:
            self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_WBITS, _MEMORY_LEVEL)
            self._crc32 = self._length = 0
            self._is_new = True
        self._pending.append(self._deflate.compress(data))
        self._crc32 = zlib.crc32(data, self._crc32)
        self._length += len(data)

    def flush(self) -> None:
        """Put everything added so far into the file.

        Raises OSError where the disk refuses. Then nothing of what was added since the last flush is in the file, nor
        will it be: the next `add` begins a member of its own.
        """
        if self._deflate is None or not self._pending:
            return
        before = self._trailer + _HEADER if self._is_new else b""
        chunk = b"".join([before, *self._pending, self._deflate.flush(zlib.Z_SYNC_FLUSH)])
        self._pending = []
        try:
            self._append(chunk)
        except OSError:
            self._deflate = None
            raise
        self._is_new = False
        self._trailer = _completing(self._crc32, self._length)

    def finish(self) -> None:
        """Flush, and complete the member. Raises OSError as `flush` does; it may be called again then."""
        self.flush()
        self._deflate = None
        if self._trailer:
            self._append(self._trailer)
            self._trailer = b""

    def drop(self) -> None:
        """Give up what was added since the last flush."""
        self._deflate, self._pending = None, []

    def sync(self) -> None:
        """Put the file on the disk, past its caches."""
        if self._is_dirty:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._is_dirty = False
        while self._changed_folders:
            sync_folder(next(iter(self._changed_folders)))
            self._changed_folders.pop()

    def _append(self, data: bytes) -> None:
        if not self._size:
            self._changed_folders.update([self.path.parent, *make_folders(self.path.parent)])
        with self.path.open("rb+" if self._size else "ab", buffering=0) as file:
            found = file.seek(0, os.SEEK_END)
            if found < self._size:
                raise Replaced(f"{self.path} has {found} bytes, where {self._size} were written")
            try:
                file.truncate(self._size)  # a part of a flush that failed may stand there
                file.seek(self._size)
                write_all(file, data)
            except OSError:
                with suppress(OSError):
                    file.truncate(self._size)
                raise
        self._size += len(data)
        self._is_dirty = True


def _completing(crc32: int, length: int) -> bytes:
    """What makes a member whole behind a flush."""
    return _LAST_BLOCK + struct.pack("<LL", crc32, length & 0xFFFFFFFF)


class Whole(NamedTuple):
    """What a file holds up to its last whole line that can be had: `size` bytes of the file, of which `missing` must
    follow to complete its last member; the lines, and the last of them without its newline."""

    size: int
    missing: bytes
    lines: int
    last: bytes


def whole_part(path: Path, on_chunk: Callable[[bytes], None] = lambda chunk: None) -> Whole:
    """Reads all of it, in pieces. `on_chunk` is given the contents, of a torn end more than is whole."""
    with path.open("rb") as file:
        found = Whole(0, b"", 0, b"")
        while True:
            member = _Member(file, found, on_chunk)
            after = member.read()
            if not member.is_whole:
                return after
            found = after


def complete(path: Path, keep: Callable[[BinaryIO, int], None] = lambda file, offset: None) -> Whole:
    """Make a file that a killed process left end with a whole member. Doing it twice is doing it once.

    What stands behind the last whole line is cut; before that `keep` is called with the open file and where it begins.
    """
    found = whole_part(path)
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size > found.size:
            keep(file, found.size)
            file.truncate(found.size)
        file.seek(found.size)
        file.write(found.missing)
        file.flush()
        if size > found.size or found.missing:
            os.fsync(file.fileno())
    return found._replace(size=found.size + len(found.missing), missing=b"")


class _Member:
    """One member, read from the end of what is whole so far."""

    def __init__(self, file: BinaryIO, before: Whole, on_chunk: Callable[[bytes], None]) -> None:
        self._file = file
        self._before = before
        self._on_chunk = on_chunk
        self._inflate = zlib.decompressobj(_RAW_WBITS)
        self._crc32 = 0
        self._length = 0
        self._tail = b""
        """What follows the last newline so far."""
        self._last = before.last
        self._lines = before.lines
        self.is_whole = False

    def read(self) -> Whole:
        """What is whole with this member, as far as it goes."""
        self._file.seek(self._before.size)
        header = self._file.read(len(_HEADER))
        if len(header) < len(_HEADER) or header[: len(_PLAIN_START)] != _PLAIN_START:
            return self._before
        whole, at, carried = self._before, self._file.tell(), b""
        while read := self._file.read(_CHUNK_BYTES):
            piece, fed = carried + read, len(carried)  # a mark may lie over the border of two pieces
            for end in _ends_of_marks(piece, fed):
                try:
                    self._take(piece[fed:end])
                except zlib.error:
                    return whole
                offset, fed = at + end - len(carried), end
                if self._inflate.eof:
                    return self._ended(offset - len(self._inflate.unused_data)) or whole
                if piece[:end].endswith(_FLUSH_MARK) and self._is_at_border():
                    whole = Whole(offset, _completing(self._crc32, self._length), self._lines, self._last)
            at, carried = at + len(read), piece[1 - len(_FLUSH_MARK) :]
        return whole

    def _ended(self, at: int) -> Whole | None:
        self._file.seek(at)
        checksums = self._file.read(8)
        if self._tail or checksums != _completing(self._crc32, self._length)[-8:]:
            return None
        self.is_whole = True
        return Whole(at + len(checksums), b"", self._lines, self._last)

    def _take(self, piece: bytes) -> None:
        while not self._inflate.eof:
            chunk = self._inflate.decompress(piece, _CHUNK_BYTES)
            piece = self._inflate.unconsumed_tail
            self._crc32 = zlib.crc32(chunk, self._crc32)
            self._length += len(chunk)
            self._on_chunk(chunk)
            self._count(chunk)
            if not piece and len(chunk) < _CHUNK_BYTES:
                return

    def _count(self, chunk: bytes) -> None:
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._tail += tail
            return
        self._lines += chunk.count(b"\n")
        _, newline, last = head.rpartition(b"\n")
        self._last = last if newline else self._tail + head
        self._tail = tail

    def _is_at_border(self) -> bool:
        """Whether the stream may end here: between two blocks, on a byte, and behind a newline."""
        if self._tail:
            return False
        trial = self._inflate.copy()
        with suppress(zlib.error):
            return not trial.decompress(_LAST_BLOCK) and trial.eof
        return False


def _ends_of_marks(piece: bytes, behind: int) -> list[int]:
    """Where marks end behind a place, and the end of the piece."""
    ends = []
    at = max(0, behind - len(_FLUSH_MARK) + 1)
    while (at := piece.find(_FLUSH_MARK, at)) >= 0:
        ends.append(at + len(_FLUSH_MARK))
        at += 1
    return [*ends, len(piece)]
