"""Recorded changes onto the disk, of books or of deep ones: one gzip file an instrument and hour, each beginning with a
full book.

What the disk refuses is dropped from the last flush on, and the instrument then waits for a full book: changes are the
first thing to give up. Knows what is on the disk, so it is this that names each hole. Knows no queue, no clock and no
journal. Not for several threads.
"""

import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from l2vault.vault.store.digest import digest_of
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.gzip_append import GzipAppend, Replaced, Whole, complete
from l2vault.vault.store.layout import HOUR_MS, Kind, Layout, packed_path
from l2vault.vault.store.line import time_ms
from l2vault.vault.store.writer import ClosedHour

LEAST_FREE_BYTES: Final = 256_000_000
"""Below it the disk is left to the books: two instruments' changes take some 10 MB an hour."""


class ChainedLine(Protocol):
    """What becomes a line that changes the one before it, or needs none before it."""

    @property
    def inst_id(self) -> str: ...
    @property
    def ts_ms(self) -> int: ...
    @property
    def is_full(self) -> bool: ...
    def line(self) -> bytes: ...


class ChangesHole(NamedTuple):
    """Changes of an instrument that are not in the files: after `from_ms` (None: from the first one on) up to the full
    book of `to_ms`, which is None while none is written. `lines` of them came and were dropped."""

    inst_id: str
    from_ms: int | None
    to_ms: int | None
    cause: str
    lines: int
    detail: str


@dataclass(slots=True)
class _Hole:
    from_ms: int | None
    cause: str
    detail: str
    to_ms: int | None = None
    """Time of the full book that ends it, once that was taken."""
    lines: int = 0
    is_noted: bool = False


@dataclass(slots=True)
class _Stream:
    """One instrument's changes. `last_ms` and `disk_ms` are the times of the last line taken and of the last one that
    is in the file; None where there is none. `waiting` lines were taken since the last flush."""

    inst_id: str
    hour_ms: int | None = None
    file: GzipAppend | None = None
    last_ms: int | None = None
    disk_ms: int | None = None
    waiting: int = 0
    needs_full: bool = True
    hole: _Hole | None = None
    """One that no full book has ended yet."""
    ended: list[_Hole] = field(default_factory=list)
    """Those whose full book is waiting."""


class ChangeWriter:
    """`write` each change, `flush` every few seconds, `close` at the end."""

    def __init__(
        self,
        layout: Layout,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        kind: Kind = "changes",
    ) -> None:
        self._kind: Final[Kind] = kind
        self._layout = layout.of(kind)
        self._free_bytes = free_bytes
        self._streams: dict[str, _Stream] = {}
        self._unfinished: list[GzipAppend] = []
        """Files of hours that are over, in the order in which they ended."""
        self._ended: list[tuple[str, int]] = []
        """Instruments and hours that are over and whose record is to be made."""
        self._holes: list[ChangesHole] = []
        self._refused: dict[str, str] = {}

    def write(self, recorded: ChainedLine, cause: str | None = None, dropped: int = 0) -> None:
        """Take one change. `cause` is given with one before which changes are missing, as before a full book that does
        not follow what was written before: why, and how many were dropped between the two.

        Never raises: what cannot be written becomes a hole, and `take_refused` names the instrument.
        """
        stream = self._streams.setdefault(recorded.inst_id, _Stream(recorded.inst_id))
        is_full = recorded.is_full
        if stream.needs_full and not is_full:
            self._drop(stream)
            return
        try:
            file = self._turn_to(stream, recorded.ts_ms // HOUR_MS * HOUR_MS)
        except OSError as error:
            self._refuse(stream, "disk_full", str(error))
            return
        if stream.last_ms is not None and recorded.ts_ms < stream.last_ms:
            self._refuse(stream, cause or "clock", "older than what the file of its hour holds")
            return
        if stream.needs_full and not is_full:
            self._refuse(stream, "file_gone", f"{file.path} has no full book to go on from")
            return
        if cause is not None and stream.hole is None and stream.last_ms is not None:
            stream.hole = _Hole(stream.last_ms, cause, "")
        if stream.hole is not None:
            stream.hole.to_ms, stream.hole.lines = recorded.ts_ms, stream.hole.lines + dropped
            stream.ended.append(stream.hole)
            stream.hole = None
        file.add(recorded.line() + b"\n")
        stream.needs_full = False
        stream.last_ms = recorded.ts_ms
        stream.waiting += 1

    def flush(self, is_to_sync: bool = True) -> None:
        """Bring every file up to date; with `is_to_sync` past the caches of the disk too."""
        is_short = self._is_short()
        for stream in self._streams.values():
            if stream.file is not None:
                if is_short and stream.waiting:
                    stream.file.drop()
                    self._lose(stream, "disk_full", f"less than {LEAST_FREE_BYTES // 1_000_000} MB are free")
                elif self._flushed(stream, stream.file) and is_to_sync:
                    with suppress(OSError):  # tried again at the next flush
                        stream.file.sync()
        self._finish_former(is_to_sync)

    def close(self) -> None:
        """Complete every file; the next change opens its file again. What the disk refuses the next start completes."""
        self.flush()
        for stream in self._streams.values():
            if stream.file is not None:
                with suppress(OSError):
                    stream.file.finish()
                    stream.file.sync()

    def complete_newest(self, inst_id: str) -> None:
        """Complete the file that a killed run left open, of an instrument that is not recorded now."""
        if inst_id not in self._streams:
            for path in self._newest_files(inst_id):
                self._complete(path)
                return

    def take_holes(self) -> list[ChangesHole]:
        """What became known since the last call: a hole that began, and one that ended, with both its bounds."""
        holes, self._holes = self._holes, []
        return holes

    def close_hour(self) -> ClosedHour | None:
        """What one hour holds that is over and complete: of those that wait for it the one that ended first. Reads all
        of its file, so not more than one at a time."""
        unfinished = {file.path for file in self._unfinished}
        for at, (inst_id, hour_ms) in enumerate(self._ended):
            plain = self._layout.hour_file(inst_id, hour_ms)
            if packed_path(plain) in unfinished:
                continue
            del self._ended[at]
            with suppress(OSError):  # deleted meanwhile, or damaged: then it has no record
                digest = digest_of(plain).value()
                return ClosedHour(inst_id, hour_ms, digest, False, self._kind) if digest.lines else None
            return None
        return None

    def take_refused(self) -> dict[str, str]:
        """Why an instrument's changes were dropped, by instrument: nothing of it is written before a full book."""
        refused, self._refused = self._refused, {}
        return refused

    # Files

    def _turn_to(self, stream: _Stream, hour_ms: int) -> GzipAppend:
        """The file of this hour. Raises OSError where the disk refuses."""
        if stream.hour_ms is None:
            self._resume(stream)
        if stream.file is not None and stream.hour_ms == hour_ms:
            return stream.file
        if stream.file is not None:
            self._flushed(stream, stream.file)
            self._unfinished.append(stream.file)
            stream.file = None
        if stream.hour_ms is not None and stream.hour_ms < hour_ms:
            self._ended.append((stream.inst_id, stream.hour_ms))
        path = packed_path(self._layout.hour_file(stream.inst_id, hour_ms))
        self._unfinished = [file for file in self._unfinished if file.path != path]  # completed here instead
        found = self._complete(path) if path.exists() else Whole(0, b"", 0, b"")
        if hour_ms != stream.hour_ms:
            stream.needs_full = stream.needs_full or not found.lines
            if found.lines or (stream.hour_ms is not None and hour_ms < stream.hour_ms):  # exchange time went back
                stream.last_ms = stream.disk_ms = time_ms(found.last) if found.lines else None
        stream.hour_ms, stream.file = hour_ms, GzipAppend(path, found.size)
        return stream.file

    def _resume(self, stream: _Stream) -> None:
        """What earlier runs left: the newest file is completed, and its last line is where the changes end."""
        for path in self._newest_files(stream.inst_id):
            found = self._complete(path)
            if found.lines:
                stream.last_ms = stream.disk_ms = time_ms(found.last)
                stream.hour_ms = stream.last_ms // HOUR_MS * HOUR_MS
                return

    def _newest_files(self, inst_id: str) -> Iterator[Path]:
        for day in sorted(self._layout.instrument_folder(inst_id).glob("????-??-??"), reverse=True):
            yield from sorted(day.glob("??.jsonl.gz"), reverse=True)

    def _complete(self, path: Path) -> Whole:
        def keep(file: BinaryIO, offset: int) -> None:
            file.seek(offset)
            torn = file.read()
            write_atomically(self._layout.torn_file(path, offset, zlib.crc32(torn)), torn)

        return complete(path, keep)

    def _finish_former(self, is_to_sync: bool) -> None:
        while self._unfinished:
            try:
                self._unfinished[0].finish()
                if is_to_sync:
                    self._unfinished[0].sync()
            except (Replaced, FileNotFoundError):
                pass  # nothing is left to complete
            except OSError:
                return  # the disk refuses: at the next flush
            self._unfinished.pop(0)

    def _is_short(self) -> bool:
        try:
            return self._free_bytes(self._layout.root) < LEAST_FREE_BYTES
        except OSError:
            return False  # then the writing itself shows it

    # Holes

    def _flushed(self, stream: _Stream, file: GzipAppend) -> bool:
        """Whether the file took what was waiting, and so the end of a hole too."""
        try:
            file.flush()
        except (Replaced, FileNotFoundError) as error:
            stream.file, stream.disk_ms = None, stream.hour_ms  # what it held is gone too
            self._lose(stream, "file_gone", str(error))
        except OSError as error:
            self._lose(stream, "disk_full", str(error))
        else:
            stream.disk_ms, stream.waiting = stream.last_ms, 0
            for hole in stream.ended:
                self._note(stream, hole)
            stream.ended.clear()
            return True
        return False

    def _lose(self, stream: _Stream, cause: str, detail: str) -> None:
        """What was taken since the last flush never came to the file."""
        lines, stream.waiting, stream.last_ms = stream.waiting, 0, stream.disk_ms
        if stream.ended:  # their full books are lost too: what they ended goes on
            stream.hole = stream.ended[0]
            stream.hole.lines = sum(hole.lines for hole in stream.ended)
            stream.ended.clear()
        self._refuse(stream, cause, detail, lines)

    def _refuse(self, stream: _Stream, cause: str, detail: str, lines: int = 1) -> None:
        """From here on nothing is written before a full book."""
        stream.needs_full = True
        self._refused[stream.inst_id] = cause
        if stream.hole is None:
            stream.hole = _Hole(stream.last_ms, cause, detail)
        stream.hole.to_ms, stream.hole.lines = None, stream.hole.lines + lines
        if not stream.hole.is_noted:
            stream.hole.is_noted = True
            self._note(stream, stream.hole)

    def _drop(self, stream: _Stream) -> None:
        if stream.hole is not None:
            stream.hole.lines += 1

    def _note(self, stream: _Stream, hole: _Hole) -> None:
        found = ChangesHole(stream.inst_id, hole.from_ms, hole.to_ms, hole.cause, hole.lines, hole.detail)
        self._holes.append(found)
