"""The newest lines of an instrument, read backwards: how far it is written, whatever version wrote the lines.

Changes nothing. A line counts if it is one JSON object with a time; that this version can read all of it is not asked.
"""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from l2vault.errors import VaultError
from l2vault.vault.store.catalog import Catalog, StoredHour
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.line import joined, may_be_unflagged, peek

BLOCK_BYTES: Final = 1 << 18
_CANDIDATES: Final = 8


class LastLine(NamedTuple):
    """Where the lines end: time and `seqId` of the newest unflagged line, and the newest time of any; -1 for none."""

    ts_ms: int
    seq_id: int | None
    newest_ms: int


def raw_instruments(layout: Layout) -> list[str]:
    """Every instrument that has a folder of raw files."""
    with blaming(layout.raw):
        return Catalog(layout).raw_instruments()


def raw_files(layout: Layout, inst_id: str) -> Iterator[StoredHour]:
    """Newest first; see `Catalog.raw_newest_first`."""
    with blaming(layout.instrument_folder(inst_id)):
        yield from Catalog(layout).raw_newest_first(inst_id)


def last_line(layout: Layout, inst_id: str, limit_ms: int | None = None) -> LastLine | None:
    """Where the instrument's lines end, those later than `limit_ms` left out; None where it has no unflagged line."""
    newest_ms = -1
    for file in raw_files(layout, inst_id):
        if limit_ms is not None and file.hour_ms > limit_ms:
            continue
        with blaming(file.path):
            found = _last_in(file, limit_ms)
        newest_ms = max(newest_ms, found.newest_ms)
        if found.ts_ms >= 0:
            return found._replace(newest_ms=max(newest_ms, found.ts_ms))
    return None


def last_line_of_hour(layout: Layout, inst_id: str, hour_ms: int) -> LastLine:
    """The same of one hour, in whatever form it is. To an hour that is archived nothing can be added."""
    forms = Catalog(layout).hour(inst_id, hour_ms)
    if forms.archive is not None:
        return LastLine(hour_ms + HOUR_MS - 1, None, hour_ms + HOUR_MS - 1)
    newest_ms = -1
    for file in reversed(forms.raw):
        if not file.is_file:
            continue
        found = _last_in(file, None)
        newest_ms = max(newest_ms, found.newest_ms)
        if found.ts_ms >= 0:
            return found._replace(newest_ms=newest_ms)
    return LastLine(-1, None, newest_ms)


def _last_in(file: StoredHour, limit_ms: int | None) -> LastLine:
    if file.form == "gzip":
        return _last_of(reversed(_ends_of_compressed(file.path)), limit_ms)
    with file.path.open("rb") as opened:
        lines = lines_backwards(opened, opened.seek(0, os.SEEK_END))
        return _last_of((line for _, line in lines), limit_ms)


def _last_of(lines: Iterable[bytes | None], limit_ms: int | None) -> LastLine:
    newest_ms = -1
    for line in lines:
        found = peek(line)
        if found is None or (limit_ms is not None and found.ts_ms > limit_ms):
            continue
        newest_ms = max(newest_ms, found.ts_ms)
        if not found.is_flagged:
            return LastLine(found.ts_ms, found.seq_id, newest_ms)
    return LastLine(-1, None, newest_ms)


def _ends_of_compressed(path: Path) -> deque[bytes]:
    """Compressed files can only be read forwards, so the last few lines are held, those that seem unflagged too.

    What is damaged is passed by.
    """
    unflagged: deque[bytes] = deque(maxlen=_CANDIDATES)
    newest: deque[bytes] = deque(maxlen=_CANDIDATES)
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), gzip.open(path) as lines:
        for line in lines:
            newest.append(line)
            if may_be_unflagged(line):
                unflagged.append(line)
    return deque([*unflagged, *(line for line in newest if line not in unflagged)])


def lines_backwards(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes | None]]:
    """Offset and bytes of each line, last to first, read in blocks; None for one longer than any of ours.

    The first is what follows the last newline, often nothing; all others had their newline.
    """
    line: bytes | None = b""
    at = size
    while at > 0:
        end = min(BLOCK_BYTES, at)
        at -= end
        file.seek(at)
        block = file.read(end)
        while (newline := block.rfind(b"\n", 0, end)) >= 0:
            yield at + newline + 1, joined(block[newline + 1 : end], line)
            line, end = b"", newline
        line = joined(block[:end], line)
    yield 0, line


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Raises VaultError naming `path` for what the disk refuses."""
    try:
        yield
    except OSError as error:
        cure = "let this user read and write it, make room on its disk, or move it out of the vault; then start again"
        raise VaultError(f"the vault cannot be recovered because of {path}: {error}.", cure) from error
