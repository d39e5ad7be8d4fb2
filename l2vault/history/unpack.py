"""The one member of an archive as a stream of lines: bounded, nothing extracted, nothing named on the disk.

A tar.gz or a zip of one regular file is all that OKX's archive has. Whatever else stands in one, a second member, a
link, a folder, ends it with the reason; so do a line over 4 MB and more than 100 bytes for each byte of the file.
"""

import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from l2vault.errors import VaultError
from l2vault.foreign import printable

LONGEST_LINE_BYTES: Final = 4 << 20
MOST_TIMES: Final = 100
"""Bytes for each byte of the file. JSON of books packs to a tenth."""

_SLACK_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 18
_TAR_BLOCK: Final = tarfile.BLOCKSIZE
_MOST_HEADER_BYTES: Final = 1 << 16
_PAX_SIZE: Final = re.compile(rb"\d+ size=(\d+)\n")
_REGULAR: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_OF_NEXT: Final = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME})
"""Headers that only say more of the member behind them."""
_CURE: Final = "delete the file, then l2vault fetch again; if it stays so, OKX has changed its archive"


class ArchiveDamage(VaultError):
    """A file of the archive that is none, or not whole, or not what a careful reader takes."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{printable(path, 400)}: {why}.", _CURE)


def lines_of(path: Path, is_sample: bool = False) -> Iterator[bytes]:
    """The lines of the member without their newlines, read as they are asked for. Of a sample they end where the file
    does, but for the last, torn one. Raises ArchiveDamage."""
    blocks = _unzipped(path) if path.suffix == ".zip" else _member(path, is_sample)
    rest, is_empty = b"", True
    for block in blocks:
        is_empty = False
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST_LINE_BYTES:
            raise ArchiveDamage(path, f"a line has more than {LONGEST_LINE_BYTES >> 20} MB")
        yield from lines
    if rest and not is_sample:
        yield rest
    if is_empty and not is_sample:
        raise ArchiveDamage(path, "its member is empty")


def _unzipped(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
            if len(members) != 1:
                raise ArchiveDamage(path, f"it holds {len(members)} members, where one file is expected")
            (member,) = members
            mode = member.external_attr >> 16
            if member.is_dir() or (mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG)) or member.flag_bits & 1:
                raise ArchiveDamage(path, "its member is no plain file")
            with packed.open(member) as file:
                yield from _bounded(path, file, path.stat().st_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise ArchiveDamage(path, f"it is torn or no zip ({printable(error)})") from error


def _bounded(path: Path, file: IO[bytes], packed_bytes: int) -> Iterator[bytes]:
    given = 0
    while block := file.read(_BLOCK_BYTES):
        given += len(block)
        _check_ratio(path, given, packed_bytes)
        yield block


def _check_ratio(path: Path, given: int, taken: int) -> None:
    if given > MOST_TIMES * taken + _SLACK_BYTES:
        raise ArchiveDamage(path, f"it unpacks to more than {MOST_TIMES} times its size")


def _member(path: Path, is_sample: bool) -> Iterator[bytes]:
    """The contents of the one member of a tar.gz, by its own header, whose name means nothing."""
    stream = _Gunzipped(path, is_sample)
    try:
        size = _size_of_member(path, stream)
        left = size
        while left:
            block = stream.read(min(left, _BLOCK_BYTES))
            if not block:
                if is_sample:
                    return
                raise ArchiveDamage(path, f"it ends {left} bytes before its member does")
            left -= len(block)
            yield block
        if is_sample:
            return
        stream.exactly(-size % _TAR_BLOCK)
        if stream.exactly(_TAR_BLOCK, may_end=True).strip(b"\0"):
            raise ArchiveDamage(path, "it holds a second member")
        while stream.read(_BLOCK_BYTES):
            pass  # to the checksum of the gzip
    finally:
        stream.close()


def _size_of_member(path: Path, stream: "_Gunzipped") -> int:
    told = -1
    while True:
        try:
            header = tarfile.TarInfo.frombuf(stream.exactly(_TAR_BLOCK), "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise ArchiveDamage(path, f"it holds no tar ({printable(error)})") from error
        if header.type in _OF_NEXT:
            if header.size > _MOST_HEADER_BYTES:
                raise ArchiveDamage(path, "a header of its tar has more than 64 kB")
            text = stream.exactly(-(-header.size // _TAR_BLOCK) * _TAR_BLOCK)
            match = _PAX_SIZE.search(text) if header.type == tarfile.XHDTYPE else None
            told = int(match[1]) if match else told
        elif header.type in _REGULAR and not header.issparse():
            return header.size if told < 0 else told
        else:
            raise ArchiveDamage(path, "its member is no plain file")


class _Gunzipped:
    """A gzip of one or several parts, unpacked piece by piece."""

    def __init__(self, path: Path, is_sample: bool) -> None:
        self._path = path
        self._is_sample = is_sample
        self._file = path.open("rb")
        self._unpack = zlib.decompressobj(31)
        self._held = b""
        self._taken = self._given = 0

    def close(self) -> None:
        self._file.close()

    def exactly(self, size: int, may_end: bool = False) -> bytes:
        """So many bytes. Raises ArchiveDamage where it ends before, unless it may."""
        data = b""
        while len(data) < size:
            block = self.read(size - len(data))
            if not block:
                if may_end:
                    break
                raise ArchiveDamage(self._path, "it ends within the header of its tar")
            data += block
        return data

    def read(self, most: int) -> bytes:
        """At most so many bytes, none at the end. Raises ArchiveDamage for a gzip that is none or is cut."""
        while not self._held:
            packed = self._unpack.unconsumed_tail or self._unpack.unused_data or self._file.read(_BLOCK_BYTES)
            if self._unpack.eof:
                if not packed.strip(b"\0"):
                    return b""
                self._unpack = zlib.decompressobj(31)
            try:
                self._held = self._unpack.decompress(packed, _BLOCK_BYTES)
            except zlib.error as error:
                raise ArchiveDamage(self._path, f"it is damaged or no gzip ({printable(error)})") from error
            if not packed and not self._held and not self._unpack.eof:
                if self._is_sample:
                    return b""
                raise ArchiveDamage(self._path, "it is torn: it ends too early")
            self._given += len(self._held)
            _check_ratio(self._path, self._given, self._file.tell())
        data, self._held = self._held[:most], self._held[most:]
        return data
