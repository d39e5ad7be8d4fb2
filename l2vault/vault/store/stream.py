"""The bytes and the lines of a data file of either form, in pieces of bounded size.

Knows gzip and newlines, and nothing of what a line holds or whether the file stands in its place.
"""

import errno
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from l2vault.errors import VaultError
from l2vault.vault.store.line import joined

CHUNK_BYTES: Final = 256 * 1024
"""zlib and the digests release the GIL for pieces of this size, so a recorder in the same process keeps running."""

LARGEST_SMALL_FILE_BYTES: Final = 4 << 20
"""An instrument row has 2 KB; what a lock's holder and the last pass of retention note, some hundred bytes an hour."""

GZIP_SUFFIX: Final = ".gz"

_GZIP_WBITS: Final = 31
_CURE: Final = "fetch the file from a backup, or move it out of the vault"


class GzipDamage(VaultError):
    """A `.gz` that ends too early or whose contents contradict their checksum; `what` says which, without the path.

    `is_cut_short`: it ends too early, and nothing is against what comes before. Otherwise any of it may be altered.
    """

    def __init__(self, path: Path, what: str, is_cut_short: bool = False) -> None:
        super().__init__(f"{path}: {what}.", _CURE)
        self.what = what
        self.is_cut_short = is_cut_short


class Line(NamedTuple):
    """`text` is without its newline, None for a line too long to be one; only the last can lack its newline.

    `offset` counts bytes of the contents, so it is the same in both forms of a file.
    """

    offset: int
    text: bytes | None
    is_ended: bool


def stamp_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds, by which a changed file is known. Raises OSError."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def read_small(path: Path, most_bytes: int = LARGEST_SMALL_FILE_BYTES) -> bytes:
    """All of a file of which one of ours is small. Raises OSError for a larger one, and for what is no regular file: of
    a pipe the reader would wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "no regular file", str(path))
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"more than {most_bytes} bytes, which none of ours has", str(path))
    return data


def read_chunks(path: Path) -> Iterator[bytes]:
    """The contents. Every byte that can be had of a damaged `.gz` comes first, then GzipDamage is raised."""
    if path.suffix == GZIP_SUFFIX:
        yield from read_gzip(path)
        return
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def read_gzip(path: Path) -> Iterator[bytes]:
    """`read_chunks` of a file that is gzip whatever its name."""
    with path.open("rb") as file:
        yield from _inflate(file, path)


def read_lines(path: Path, on_chunk: Callable[[bytes], None] = lambda chunk: None) -> Iterator[Line]:
    """The lines. Every whole line that can be had of a damaged `.gz` comes first, then GzipDamage is raised.

    `on_chunk` is given all of the contents, piece by piece.
    """
    offset = 0
    rest: bytes | None = b""
    rest_bytes = 0
    for chunk in read_chunks(path):
        on_chunk(chunk)
        *ended, tail = chunk.split(b"\n")
        for piece in ended:
            yield Line(offset, joined(rest, piece), True)
            offset += rest_bytes + len(piece) + 1
            rest, rest_bytes = b"", 0
        rest, rest_bytes = joined(rest, tail), rest_bytes + len(tail)
    if rest_bytes:
        yield Line(offset, rest, False)


def _inflate(file: BinaryIO, path: Path) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_WBITS)
    is_between = False  # after a whole member: there the file may end, and zeros are padding as for gzip(1)
    pending = b""
    while pending := pending or file.read(CHUNK_BYTES):
        if is_between:
            if not (pending := pending.lstrip(b"\0")):
                continue
            member, is_between = zlib.decompressobj(_GZIP_WBITS), False
        before = member.copy()
        try:
            chunk = member.decompress(pending, CHUNK_BYTES)
        except zlib.error as error:
            yield from _salvage(before, pending)
            raise GzipDamage(path, f"damaged gzip data ({error})") from error
        if chunk:
            yield chunk
        is_between = member.eof
        pending = member.unused_data if is_between else member.unconsumed_tail
    if not is_between:
        if chunk := member.flush():
            yield chunk
        if not member.eof:
            raise GzipDamage(path, "the gzip data ends too early", is_cut_short=True)


def _salvage(member: "zlib._Decompress", pending: bytes) -> Iterator[bytes]:
    """zlib gives nothing of a piece it objects to, so what came before the damage is had byte by byte."""
    with suppress(zlib.error):
        for at in range(len(pending)):
            if chunk := member.decompress(pending[at : at + 1]):
                yield chunk
