"""Start-up recovery: cuts what a crash tore off the ends of data files, and says how far each instrument is written.

Torn is what has no newline, is no JSON object, or is NUL bytes; a line that a later version wrote is none of these and
stays. Lines from the future are set aside once exchange time is proved. Deletes nothing: bytes are kept aside first.
"""

import os
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.durable import sync_folder, unlink, write_atomically
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.line import is_object, peek
from l2vault.vault.store.newest import (
    BLOCK_BYTES,
    LastLine,
    blaming,
    last_line,
    lines_backwards,
    raw_files,
    raw_instruments,
)

_FILES_CHECKED: Final = 2
"""Per instrument, newest first. Only the file being written can be torn; the one before may have waited for its cut."""


class Cut(NamedTuple):
    """A torn end that was cut off a file, its bytes kept. Paths are relative to the vault. `since_ms` is the time of
    the last unflagged line of the instrument that is left, None where none is."""

    inst_id: str
    file: str
    offset: int
    cut_bytes: int
    kept_in: str
    since_ms: int | None


class Aside(NamedTuple):
    """Lines that were moved out of a file, their bytes kept, and the span of their times. Paths are relative."""

    inst_id: str
    file: str
    lines: int
    from_ms: int
    to_ms: int
    kept_in: str


class Recovery(NamedTuple):
    """What was cut, and where the lines of each instrument end that has an unflagged one."""

    cuts: list[Cut]
    last: dict[str, LastLine]


class Future(NamedTuple):
    """The lines of one file that are later than proved exchange time: from `offset` to its end."""

    path: Path
    offset: int
    lines: int
    from_ms: int
    to_ms: int


def recover(layout: Layout) -> Recovery:
    """Make every data file end with its last whole line. Call it with the vault's lock held, before writing.

    Whole is a line that is a JSON object and has its newline. Doing it twice, or again after being killed at any
    moment, is doing it once. Raises VaultError naming the file that cannot be read or cut.
    """
    cuts: list[Cut] = []
    last: dict[str, LastLine] = {}
    for inst_id in raw_instruments(layout):
        plain = (file.path for file in raw_files(layout, inst_id) if file.form == "plain")
        found: list[Cut] = []
        for path in list(islice(plain, _FILES_CHECKED)):
            with blaming(path):
                cut = _cut_torn_end(layout, inst_id, path)
            if cut is not None:
                found.append(cut)
        line = last_line(layout, inst_id)
        if line is not None:
            last[inst_id] = line
        cuts += [cut._replace(since_ms=None if line is None else line.ts_ms) for cut in found]
    return Recovery(cuts, last)


def future_lines(layout: Layout, inst_id: str, limit_ms: int) -> list[Future]:
    """By file, newest first, the lines after the last one that is not later than `limit_ms`. Compressed files too, of
    which `lines` is 0: they are not read."""
    found: list[Future] = []
    for file in raw_files(layout, inst_id):
        if file.form == "gzip" and file.hour_ms > limit_ms:
            found.append(Future(file.path, 0, 0, file.hour_ms, file.hour_ms + HOUR_MS - 1))
            continue
        if file.form == "gzip" or file.hour_ms + HOUR_MS <= limit_ms:
            break
        with blaming(file.path):
            future = _future_in(file, limit_ms)
        if future is None:
            break
        found.append(future)
    return found


def set_aside(layout: Layout, inst_id: str, limit_ms: int) -> Aside | None:
    """Move the lines later than `limit_ms` out of the vault, their bytes kept, if they are in one plain file.

    None where there are none, and where they fill more than one file or a compressed one: so many lines are not a
    slip of one message, and stay for a person to judge. Call it with the lock held and the instrument's files closed.
    """
    found = future_lines(layout, inst_id, limit_ms)
    if len(found) != 1 or not found[0].lines:
        return None
    path, offset, lines, from_ms, to_ms = found[0]
    with path.open("rb") as file:
        kept = _keep(layout, path, file, offset)
    if offset:
        _cut(path, offset)
    else:
        unlink(path)
        sync_folder(path.parent)
    return Aside(inst_id, _name(layout, path), lines, from_ms, to_ms, _name(layout, kept))


def _future_in(file: StoredHour, limit_ms: int) -> Future | None:
    times: list[int] = []
    with file.path.open("rb") as opened:
        offset = opened.seek(0, os.SEEK_END)
        for start, line in lines_backwards(opened, offset):
            found = peek(line)
            if found is not None and found.ts_ms <= limit_ms:
                break
            if found is not None:
                times.append(found.ts_ms)
            offset = start
    return Future(file.path, offset, len(times), min(times), max(times)) if times else None


def _cut_torn_end(layout: Layout, inst_id: str, path: Path) -> Cut | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        end = _sound_end(file, size)
        if end == size:
            return None
        kept = _keep(layout, path, file, end)
    _cut(path, end)
    return Cut(inst_id, _name(layout, path), end, size - end, _name(layout, kept), None)


def _keep(layout: Layout, path: Path, file: BinaryIO, offset: int) -> Path:
    """Copy what stands from `offset` on to where cut bytes are kept."""
    checksum = 0
    for chunk in _chunks(file, offset):
        checksum = zlib.crc32(chunk, checksum)
    kept = layout.torn_file(path, offset, checksum)
    write_atomically(kept, _chunks(file, offset))
    return kept


def _cut(path: Path, offset: int) -> None:
    with path.open("rb+") as file:
        file.truncate(offset)
        os.fsync(file.fileno())


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()


def _sound_end(file: BinaryIO, size: int) -> int:
    """The offset behind the last line that is whole and has its newline; 0 if there is none."""
    lines = lines_backwards(file, size)
    end, _ = next(lines)
    for start, line in lines:
        if is_object(line):
            return end
        end = start
    return end


def _chunks(file: BinaryIO, offset: int) -> Iterator[bytes]:
    file.seek(offset)
    while chunk := file.read(BLOCK_BYTES):
        yield chunk
