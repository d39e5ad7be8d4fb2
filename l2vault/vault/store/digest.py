"""What an hour holds, byte for byte: lines, bytes and SHA-256 of its uncompressed raw contents. Knows no journal.

Of one hour the compressed file comes first and the plain one continues it, as readers take them.
"""

import gzip
import hashlib
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

from l2vault.book.utc import utc_text
from l2vault.vault.store.layout import Layout, packed_path
from l2vault.vault.store.newest import raw_files, raw_instruments

_BLOCK_BYTES: Final = 1 << 20
_NEWEST: Final = 8
"""Hours of an instrument that are looked at for one that lacks its closing record: more than a run leaves behind."""


class HourDigest(NamedTuple):
    lines: int
    bytes: int
    sha256: str


class RunningDigest:
    """A digest that goes on with each append."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.lines = 0
        self.bytes = 0

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.lines += data.count(b"\n")
        self.bytes += len(data)

    def value(self) -> HourDigest:
        return HourDigest(self.lines, self.bytes, self._hash.hexdigest())


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a file as they stand. Raises OSError for what cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(plain: Path) -> RunningDigest:
    """Of what the hour of this `.jsonl` holds, both forms together. Raises OSError for what cannot be read."""
    digest = RunningDigest()
    packed = packed_path(plain)
    try:
        with gzip.open(packed) as file:
            for block in _blocks(file):
                digest.add(block)
    except FileNotFoundError:
        pass
    except (EOFError, zlib.error) as error:
        raise OSError(f"{packed} is damaged: {error}") from error
    if plain.exists():
        with plain.open("rb") as raw:
            for block in _blocks(raw):
                digest.add(block)
    return digest


def hours_without_record(
    layout: Layout, closed: set[tuple[str, str]], going_on: Container[str]
) -> list[tuple[str, int]]:
    """Instrument and beginning of each newer hour that has ended and is not in `closed` (instrument, hour as text).

    The newest hour of an instrument in `going_on` may go on and is not among them.
    """
    found: list[tuple[str, int]] = []
    for inst_id in raw_instruments(layout):
        hours: list[int] = []
        for file in raw_files(layout, inst_id):
            if file.hour_ms not in hours:
                hours.append(file.hour_ms)
            if len(hours) > _NEWEST:
                break
        lacking = [
            hour_ms for hour_ms in hours[inst_id in going_on : _NEWEST] if (inst_id, utc_text(hour_ms)) not in closed
        ]
        found += [(inst_id, hour_ms) for hour_ms in reversed(lacking)]
    return found


def _blocks(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block
