"""Start-up recovery: cuts what a crash tore off the ends of data files, and tells how far each instrument is written.

Knows of a line only whether it reads. Deletes nothing: the bytes it cuts are kept aside first.
"""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.errors import LineError, VaultError
from l2vault.vault.durable import write_atomically
from l2vault.vault.journal.events import Recovered
from l2vault.vault.layout import HourFile, Layout

_BLOCK_BYTES: Final = 1 << 18
_LONGEST_LINE_BYTES: Final = 1 << 20
"""A line of 400 levels a side has 25 to 50 KB. What is longer is no line and is not gathered in memory."""
_FILES_CHECKED: Final = 2
"""Per instrument, newest first. Only the file being written can be torn; the one before may have waited for its cut."""
_UNFLAGGED_END: Final = b'"gap_detected":false}\n'
_COMPRESSED_CANDIDATES: Final = 8


class Recovery(NamedTuple):
    """What was cut, for the journal, and the time of the last unflagged line of each instrument the vault holds."""

    events: list[Recovered]
    last_ts_ms: dict[str, int]


def recover(layout: Layout, at: str) -> Recovery:
    """Make every data file end with its last whole line. Call it with the vault's lock held, before writing.

    Whole is a line that reads and has its newline. Doing it twice, or again after being killed at any moment, is
    doing it once. Raises VaultError naming the file that cannot be read or cut.
    """
    events: list[Recovered] = []
    last_ts_ms: dict[str, int] = {}
    for inst_id in _instruments(layout):
        plain = (file.path for file in _hour_files(layout, inst_id) if not file.is_compressed)
        for path in list(islice(plain, _FILES_CHECKED)):
            with _blaming(path):
                event = _cut_torn_end(layout, path, at)
            if event is not None:
                events.append(event)
        ts_ms = _last_unflagged_ms(layout, inst_id)
        if ts_ms is not None:
            last_ts_ms[inst_id] = ts_ms
    return Recovery(events, last_ts_ms)


def _instruments(layout: Layout) -> list[str]:
    with _blaming(layout.raw):
        return sorted(path.name for path in layout.raw.iterdir() if path.is_dir()) if layout.raw.is_dir() else []


def _hour_files(layout: Layout, inst_id: str) -> Iterator[HourFile]:
    """Newest first; of one hour the plain file before the compressed one, whose lines are older. Skips foreign files.

    One day's folder at a time, so that the years behind it cost nothing.
    """
    folder = layout.instrument_folder(inst_id)
    with _blaming(folder):
        for day in sorted(folder.iterdir(), reverse=True):
            if day.is_dir():
                found = [layout.parse_hour_file(path) for path in day.iterdir() if path.is_file()]
                files = [file for file in found if file is not None]
                yield from sorted(files, key=lambda file: (-file.hour_ms, file.is_compressed))


def _cut_torn_end(layout: Layout, path: Path, at: str) -> Recovered | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = _sound_end(file, size)
        if end == size:
            return None
        checksum = 0
        for chunk in _chunks(file, end):
            checksum = zlib.crc32(chunk, checksum)
        kept = layout.torn_file(path, end, checksum)
        write_atomically(kept, _chunks(file, end))
    with path.open("rb+") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    return Recovered(at, _name(layout, path), end, size - end, _name(layout, kept))


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()


def _sound_end(file: BinaryIO, size: int) -> int:
    """The offset behind the last line that reads and has its newline; 0 if there is none."""
    lines = _lines_backwards(file, size)
    end, _ = next(lines)
    for start, line in lines:
        if _read_line(line) is not None:
            return end
        end = start
    return end


def _lines_backwards(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes | None]]:
    """Offset and bytes of each line, last to first, read in blocks; None for one longer than any of ours.

    The first is what follows the last newline, often nothing; all others had their newline.
    """
    line: bytes | None = b""
    at = size
    while at > 0:
        end = min(_BLOCK_BYTES, at)
        at -= end
        file.seek(at)
        block = file.read(end)
        while (newline := block.rfind(b"\n", 0, end)) >= 0:
            yield at + newline + 1, _joined(block[newline + 1 : end], line)
            line, end = b"", newline
        line = _joined(block[:end], line)
    yield 0, line


def _joined(head: bytes, tail: bytes | None) -> bytes | None:
    return None if tail is None or len(head) + len(tail) > _LONGEST_LINE_BYTES else head + tail


def _chunks(file: BinaryIO, offset: int) -> Iterator[bytes]:
    file.seek(offset)
    while chunk := file.read(_BLOCK_BYTES):
        yield chunk


def _last_unflagged_ms(layout: Layout, inst_id: str) -> int | None:
    for file in _hour_files(layout, inst_id):
        with _blaming(file.path):
            ts_ms = _newest_in_compressed(file.path) if file.is_compressed else _newest_in_plain(file.path)
        if ts_ms is not None:
            return ts_ms
    return None


def _newest_in_plain(path: Path) -> int | None:
    with path.open("rb") as file:
        lines = _lines_backwards(file, file.seek(0, os.SEEK_END))
        return _first_unflagged_ms(line for _, line in lines)


def _newest_in_compressed(path: Path) -> int | None:
    """Compressed files can only be read forwards, so the last few candidates are held. What is damaged is passed by."""
    newest: deque[bytes] = deque(maxlen=_COMPRESSED_CANDIDATES)
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), gzip.open(path) as lines:
        newest.extend(line for line in lines if line.endswith(_UNFLAGGED_END))
    return _first_unflagged_ms(reversed(newest))


def _first_unflagged_ms(lines: Iterable[bytes | None]) -> int | None:
    for line in lines:
        snapshot = _read_line(line)
        if snapshot is not None and not snapshot.gap_detected:
            return snapshot.ts_ms
    return None


def _read_line(line: bytes | None) -> Snapshot | None:
    try:
        return None if line is None else from_line(line)
    except LineError:
        return None


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = "let this user read and write it, make room on its disk, or move it out of the vault; then start again"
        raise VaultError(f"the vault cannot be recovered because of {path}: {error}.", cure) from error
