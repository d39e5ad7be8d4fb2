"""Hours of the archive's own vault, each written whole or left as it was, then noted in its journal.

Such a vault is one that `vault/merging` could have made of a single vault: a file of gzip and an event `merged` say all
that is known of an hour. A note of its own, written last, says of which file of OKX's it was made, and how.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.change_line import RecordedChange, from_change_line, to_change_line
from l2vault.book.utc import HOUR_MS, utc_ms, utc_text
from l2vault.errors import LineError
from l2vault.vault.journal.events import HourClosed
from l2vault.vault.journal.log import Journal, read_journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.journal.places import closed_hours
from l2vault.vault.store.digest import HourDigest, RunningDigest
from l2vault.vault.store.durable import (
    hidden,
    make_folders,
    named,
    replace,
    sync_folder,
    unlink,
    write_all,
    write_atomically,
)
from l2vault.vault.store.layout import Kind, Layout, packed_path
from l2vault.vault.store.stream import read_lines, read_small

_DRAFT: Final = ".draft"
_GZIP_WBITS: Final = 31
_LEVEL: Final = 6
_FLUSH_BYTES: Final = 1 << 18


class HourNote(msgspec.Struct, frozen=True):
    """Of which files of OKX's (their SHA-256) an hour was made, and by which law."""

    files: dict[str, str]
    cadence_ms: int
    depth: int
    lines: int
    sha256: str


class DayNote(msgspec.Struct, frozen=True):
    """A file of books of which every hour was made: its name and SHA-256, the law, digests of the books with which the
    day before ended and with which this one did (empty: with none), and the hours into which lines of it went."""

    name: str
    sha256: str
    cadence_ms: int
    depth: int
    began_with: str
    ended_with: str
    hours: list[str]


class Draft:
    """An hour while it is written, beside its place under a hidden name."""

    def __init__(self, plain: Path) -> None:
        self.place = packed_path(plain)
        self.digest = RunningDigest()
        self._path = hidden(self.place, _DRAFT)
        self._folders = {self.place.parent, *make_folders(self.place.parent)}
        self._file = self._path.open("wb", buffering=0)
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
        self._lines: list[bytes] = []
        self._held = 0

    def add(self, line: bytes) -> None:
        """A line without its newline."""
        self._lines.append(line)
        self._held += len(line)
        if self._held >= _FLUSH_BYTES:
            self._flush()

    def keep(self) -> None:
        """Give it its name, all of it on the disk."""
        self._flush()
        write_all(self._file, self._packer.flush())
        with named(self.place):
            os.fsync(self._file.fileno())
        self._file.close()
        replace(self._path, self.place)
        for folder in self._folders:
            sync_folder(folder)

    def drop(self) -> None:
        """Leave no trace."""
        self._file.close()
        unlink(self._path, missing_ok=True)

    @contextmanager
    def dropped_on_error(self) -> Iterator[None]:
        """Around what fills and keeps it: whatever goes wrong, no trace of it stays."""
        try:
            yield
        except BaseException:
            self.drop()
            raise

    def _flush(self) -> None:
        if self._lines:
            text = b"\n".join([*self._lines, b""])
            self._lines.clear()
            self._held = 0
            self.digest.add(text)
            if packed := self._packer.compress(text):
                write_all(self._file, packed)


class HourKeeper:
    """Writes hours of one kind of the vault `target`, whose lock the caller holds."""

    def __init__(self, target: Layout, kind: Kind, journal: Journal, wall_text: Callable[[], str]) -> None:
        self._target = target
        self._kind: Kind = kind
        self._journal = journal
        self._wall_text = wall_text
        self._noted: dict[tuple[str, str], Merged] = {}
        self._closed: dict[tuple[str, str], HourDigest] = {}
        for event in read_journal(target):
            if isinstance(event, Merged | HourClosed) and event.kind == kind:
                self._note(event)
        newest = closed_hours(target).newest_line
        self._previous = None if newest is None else sha256(newest).hexdigest()

    def draft(self, inst_id: str, hour_ms: int) -> Draft:
        """A new file for an hour."""
        return Draft(self._target.of(self._kind).hour_file(inst_id, hour_ms))

    def event(self, inst_id: str, hour_ms: int) -> Merged | None:
        """What the journal says of an hour."""
        return self._noted.get((inst_id, utc_text(hour_ms)))

    def note(self, inst_id: str, hour_ms: int) -> HourNote | None:
        """Of what an hour was made; None where it is not there, or not all of it was kept."""
        if not packed_path(self._target.of(self._kind).hour_file(inst_id, hour_ms)).is_file():
            return None
        try:
            return msgspec.json.decode(read_small(self._note_file(inst_id, hour_ms)), type=HourNote)
        except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return None

    def keep(self, inst_id: str, hour_ms: int, draft: Draft, event: Merged, note: HourNote) -> None:
        """The file under its name, then the journal, then its note: killed between, the hour is made again."""
        unlink(self._note_file(inst_id, hour_ms), missing_ok=True)
        draft.keep()
        digest = draft.digest.value()
        event = msgspec.structs.replace(event, at=self._wall_text())
        known = self.event(inst_id, hour_ms)
        if known is None or msgspec.structs.replace(known, at=event.at) != event:
            self._journal.append(event)
            self._note(event)
        if self._closed.get((inst_id, event.hour)) != digest:
            closed = HourClosed(event.at, inst_id, event.hour, *digest, kind=self._kind, previous=self._previous)
            self._journal.append(closed)
            self._note(closed)
            self._previous = sha256(self._journal.newest_line).hexdigest()
        whole = msgspec.structs.replace(note, lines=digest.lines, sha256=digest.sha256)
        write_atomically(self._note_file(inst_id, hour_ms), msgspec.json.encode(whole))

    def lines(self, inst_id: str, hour_ms: int) -> Iterator[bytes]:
        """Those of an hour that is there, without newlines. Raises OSError for one that does not read, GzipDamage for
        one that is torn."""
        for line in read_lines(packed_path(self._target.of(self._kind).hour_file(inst_id, hour_ms))):
            if line.text is not None:
                yield line.text

    def carry(self, inst_id: str, change: RecordedChange) -> None:
        """Keep the book with which a day ended."""
        write_atomically(self._target.carried_file(inst_id, change.ts_ms), to_change_line(change))

    def carried_digest(self, inst_id: str, day_ms: int) -> str:
        """Of that book; empty where nothing was kept."""
        try:
            return sha256(read_small(self._target.carried_file(inst_id, day_ms))).hexdigest()
        except OSError:
            return ""

    def keep_day(self, inst_id: str, day_ms: int, note: DayNote) -> None:
        """Note that a file was read to its end."""
        write_atomically(self._target.made_day_file(inst_id, day_ms), msgspec.json.encode(note))

    def made_of(self, inst_id: str, day_ms: int, like: DayNote) -> DayNote | None:
        """The note of a day, if it is of this file, law and beginning, and all that was made of it is there still."""
        try:
            note = msgspec.json.decode(read_small(self._target.made_day_file(inst_id, day_ms)), type=DayNote)
        except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return None
        ended_with = self.carried_digest(inst_id, day_ms)
        if note != msgspec.structs.replace(like, ended_with=ended_with, hours=note.hours):
            return None
        hours = [self.note(inst_id, utc_ms(hour)) for hour in note.hours]
        law = note.cadence_ms, note.depth
        return note if all(each is not None and (each.cadence_ms, each.depth) == law for each in hours) else None

    def carried(self, inst_id: str, day_ms: int) -> RecordedChange | None:
        """The book with which the day of `day_ms` ended; None where nothing was kept."""
        try:
            return from_change_line(read_small(self._target.carried_file(inst_id, day_ms)))
        except (OSError, LineError):
            return None

    def _note(self, event: Merged | HourClosed) -> None:
        """What the journal says, and need not be told again."""
        if isinstance(event, Merged):
            self._noted[event.inst_id, event.hour] = event
        else:
            self._closed[event.inst_id, event.hour] = HourDigest(event.lines, event.bytes, event.sha256)

    def _note_file(self, inst_id: str, hour_ms: int) -> Path:
        return self._target.of(self._kind).merged_file(inst_id, hour_ms // HOUR_MS * HOUR_MS)
