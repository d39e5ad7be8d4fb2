"""One data file and its gzip form: made, checked against each other, the original removed last.

Knows gzip and durability, and nothing of policy, hours or the journal. Whatever moment a process is killed at, every
line stands in a readable form, and calling `compress` again finishes the work.
"""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.errors import VaultError
from l2vault.vault.store.durable import replace, sync_folder, unlink
from l2vault.vault.store.layout import packed_path
from l2vault.vault.store.stream import CHUNK_BYTES, read_chunks, read_gzip, stamp_of

PACKING_SUFFIX: Final = ".packing"
"""Ends the name of every temporary file made here, such as `.23.4711.packing`, which no reader takes for data.

One found while no retention is at work is a killed run's."""

GZIP_LEVEL: Final = 6

_Span = tuple[int, int]


class Compressed(NamedTuple):
    """`bytes_before` counts every form that was there, `bytes_after` the one that is left."""

    packed: Path
    bytes_before: int
    bytes_after: int


@dataclass(slots=True)
class Tally:
    """What two streams of the same bytes have in common."""

    crc32: int = 0
    length: int = 0

    def feed(self, chunk: bytes) -> None:
        self.crc32 = zlib.crc32(chunk, self.crc32)
        self.length += len(chunk)


def compress(plain: Path) -> Compressed:
    """Put the lines of `plain` into its `.gz` and remove it; into an existing `.gz` go the lines it lacks.

    Raises GzipDamage if an existing `.gz` cannot be read, VaultError if `plain` is written to meanwhile or the result
    does not read back, OSError where the disk or another program refuses. `plain` is then untouched.
    """
    packed = packed_path(plain)
    before = stamp_of(plain)
    held_bytes = packed.stat().st_size if packed.exists() else 0
    if held_bytes:
        spans, tally, joint = _lines_lacking(plain, packed)
    else:
        spans, tally, joint = [(0, before[0])], Tally(), b""
    if spans:
        temporary = plain.with_name(f".{plain.stem}.{os.getpid()}{PACKING_SUFFIX}")
        try:
            _write(temporary, packed if held_bytes else None, _pieces(plain, spans, joint), tally)
            _check(temporary, tally)
            _refuse_if_written(plain, before)
            replace(temporary, packed)
        except BaseException:
            unlink(temporary, missing_ok=True)
            raise
    sync_folder(packed.parent)
    _refuse_if_written(plain, before)
    unlink(plain)
    sync_folder(packed.parent)
    return Compressed(packed, before[0] + held_bytes, packed.stat().st_size)


def _write(temporary: Path, onto: Path | None, pieces: Iterable[bytes], tally: Tally) -> None:
    """Members may follow one another in one gzip file (RFC 1952), so what is held already is copied as it is.

    Without a name and with time 0 in its header a member depends on its contents alone.
    """
    with temporary.open("wb") as file:
        if onto is not None:
            with onto.open("rb") as held:
                while chunk := held.read(CHUNK_BYTES):
                    file.write(chunk)
        with gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as member:
            for piece in pieces:
                tally.feed(piece)
                member.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _check(temporary: Path, expected: Tally) -> None:
    found = Tally()
    for chunk in read_gzip(temporary):
        found.feed(chunk)
    if found != expected:
        raise VaultError(f"{temporary}: reads back as {found}, where {expected} went in.", "check the disk")


def _pieces(plain: Path, spans: list[_Span], joint: bytes) -> Iterator[bytes]:
    if joint:
        yield joint
    with plain.open("rb") as file:
        for offset, length in spans:
            file.seek(offset)
            left = length
            while left and (piece := file.read(min(left, CHUNK_BYTES))):
                left -= len(piece)
                yield piece


def _lines_lacking(plain: Path, packed: Path) -> tuple[list[_Span], Tally, bytes]:
    """Where in `plain` stand lines that `packed` lacks, what `packed` holds, and what must go between the two.

    Between a torn end and the next line goes a newline, or both would be lost in one.
    """
    tally, last = Tally(), b"\n"

    def counted() -> Iterator[bytes]:
        nonlocal last
        for chunk in read_chunks(packed):
            tally.feed(chunk)
            last = chunk[-1:]
            yield chunk

    held = {digest for _, digest in _line_digests(counted())}
    spans = [span for span, digest in _line_digests(read_chunks(plain)) if digest not in held]
    return spans, tally, b"" if last == b"\n" else b"\n"


def _line_digests(chunks: Iterator[bytes]) -> Iterator[tuple[_Span, bytes]]:
    """Where each line stands, newline included, and the digest of it without; never a whole line in memory."""
    start = offset = 0
    digest = blake2b(digest_size=16)
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            digest.update(piece)
            offset += len(piece) + 1
            yield (start, offset - start), digest.digest()
            start, digest = offset, blake2b(digest_size=16)
        digest.update(rest)
        offset += len(rest)
    if offset > start:
        yield (start, offset - start), digest.digest()


def _refuse_if_written(plain: Path, before: tuple[int, int]) -> None:
    if stamp_of(plain) != before:
        raise VaultError(f"{plain}: written to while it was compressed, so it stays.", "wait for the next pass")
