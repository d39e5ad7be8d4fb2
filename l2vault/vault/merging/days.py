"""The day files of several vaults, liquidations and OKX's announcements, made one: each line once, as first received.

They are samples and announcements, of which nothing is proved, so that a union of lines is all that there is to do.
"""

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from l2vault.book.day_lines import read_day_line
from l2vault.errors import LineError
from l2vault.vault.store.days import DAY_KINDS, day_files
from l2vault.vault.store.durable import sync_folder, unlink, write_atomically
from l2vault.vault.store.layout import DayKind, Layout, packed_path
from l2vault.vault.store.stream import GzipDamage, read_lines

_RECEIVED: Final = re.compile(rb'"recv_utc":"[^"]*"')
"""Lines that are equal but for it are one (docs/format.md)."""


def merge_days(into: Layout, inputs: Sequence[Layout], deleted: Container[str]) -> None:
    """Write each day that is not what it was. Those whose file is among `deleted` stay deleted. Raises OSError where
    the disk refuses, with the day as it was."""
    for kind in DAY_KINDS:
        for day_ms in sorted({file.day_ms for layout in inputs for file in day_files(layout, kind)}):
            plain = into.day_file(kind, day_ms)
            held = [path for path in (packed_path(plain), plain) if path.exists()]
            names = {path.relative_to(into.root).as_posix() for path in (plain, packed_path(plain))}
            if not held and any(name in deleted for name in names):
                continue
            before = [line for path in held for line in _lines(path, kind)]
            found = _union(before, (line for each in inputs for line in _lines_of(each, kind, day_ms)))
            if found != before:
                write_atomically(plain, b"".join(line + b"\n" for line in found))
                for path in held:
                    if path != plain:  # its lines are in the other now
                        unlink(path)
                        sync_folder(path.parent)


def _union(before: Sequence[bytes], others: Iterator[bytes]) -> list[bytes]:
    """In order of receipt; of lines that are one the earliest."""
    found: dict[bytes, bytes] = {}
    for line in (*before, *others):
        key = _RECEIVED.sub(b"", line)
        found[key] = min(line, found.get(key, line), key=_received)
    return sorted(found.values(), key=_received)


def _received(line: bytes) -> bytes:
    match = _RECEIVED.search(line)
    return b"" if match is None else match[0]


def _lines_of(layout: Layout, kind: DayKind, day_ms: int) -> Iterator[bytes]:
    for file in day_files(layout, kind):
        if file.day_ms == day_ms:
            yield from _lines(file.path, kind)


def _lines(path: Path, kind: DayKind) -> Iterator[bytes]:
    """The whole lines that read."""
    with suppress(GzipDamage, FileNotFoundError):
        for line in read_lines(path):
            if line.text is not None and line.is_ended:
                with suppress(LineError):
                    read_day_line(kind, line.text)
                    yield line.text
