"""What was noted of hours that were read whole, so that coverage need not read them again: a file a day and instrument.

An hour's note counts as long as its files have the size and the time of change that they had when it was read. It is
worth no more than the reading it spares: deleted, it is made again. `verify` never asks it. `checked` (books) and
`checked_trades` say what is in a note.
"""

import gzip
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from l2vault.book.utc import DAY_MS
from l2vault.vault.store.catalog import Catalog, HourForms
from l2vault.vault.store.durable import unlink, write_atomically
from l2vault.vault.store.layout import HOUR_MS, Layout, levels_beside
from l2vault.vault.store.stream import read_small

FileStamp = tuple[str, int, int]
"""Path from the vault's folder, size in bytes, time of the last change in nanoseconds; -1 twice for no file."""

_FORM: Final = 1
_DAY_BYTES: Final = 8 << 20


class Note(Protocol):
    """`files` are those of the hour as they were read; `is_good` whether each line read, and nothing else was there."""

    @property
    def files(self) -> list[FileStamp]: ...

    @property
    def is_good(self) -> bool: ...


_N = TypeVar("_N", bound=Note)


class Day(msgspec.Struct, Generic[_N]):
    """Hours by the start of each, milliseconds since the epoch as text."""

    form: int
    hours: dict[str, _N]


class HourNotes(Generic[_N]):
    """The notes of one kind of a vault; `file_of` gives the file of an instrument and a time. Each day is read once as
    long as its file does not change."""

    def __init__(
        self, layout: Layout, file_of: Callable[[str, int], Path], decoder: "msgspec.json.Decoder[Day[_N]]"
    ) -> None:
        self._layout = layout
        self._file_of = file_of
        self._decoder = decoder
        self._days: dict[tuple[str, int], tuple[tuple[int, int], dict[str, _N]]] = {}

    def hour(self, forms: HourForms, files: list[FileStamp] | None = None) -> _N | None:
        """The note of a good hour whose files are those that were read; None for any other. `files` are those of now,
        where `stamp_of` has been asked already."""
        note = self.record(forms, files)
        return note if note is not None and note.is_good else None

    def record(self, forms: HourForms, files: list[FileStamp] | None = None) -> _N | None:
        """The same, of an hour that is not good too."""
        note = self._day(forms.inst_id, forms.hour_ms).get(str(forms.hour_ms))
        if note is None:
            return None
        return note if note.files == (files or stamp_of(self._layout, forms)) else None

    def put(self, inst_id: str, found: Mapping[int, _N], every: list[HourForms]) -> None:
        """Note hours by their start; those that are not among `every` leave their day, and a day without any goes.
        With the lock of retention held. Raises OSError where nothing can be written."""
        there = {str(forms.hour_ms) for forms in every}
        for day in sorted({hour_ms // DAY_MS for hour_ms in found}):
            of_day = {str(hour_ms): note for hour_ms, note in found.items() if hour_ms // DAY_MS == day}
            hours = self._read_day(inst_id, day * DAY_MS) | of_day
            self._write_day(inst_id, day * DAY_MS, {name: note for name, note in hours.items() if name in there})
        kept = {self._file_of(inst_id, forms.hour_ms).name for forms in every}
        with suppress(OSError):  # there may be no folder, and what refuses to go does no harm
            for path in self._file_of(inst_id, 0).parent.iterdir():
                if path.name not in kept:
                    unlink(path)

    def fill(
        self,
        catalog: Catalog,
        before_ms: int,
        most: int,
        check: Callable[[HourForms], _N],
        before_each: Callable[[Path], object],
        is_wanted: Callable[[HourForms], bool] = lambda forms: True,
    ) -> int:
        """Have hours checked that ended before a time and have no note, those of `is_wanted`, the newest first, and
        note them, a day at a time. Returns how many, `most` at most. With the lock of retention held. Raises OSError.
        """
        done = 0
        for inst_id in catalog.instruments():
            every = catalog.hours(inst_id)
            closed = closed_hours(every, before_ms)
            lacking = [forms for forms in closed if is_wanted(forms) and self.record(forms) is None]
            for _, hours in groupby(lacking[: most - done], lambda forms: forms.hour_ms // DAY_MS):
                found = {}
                for forms in hours:
                    before_each(forms.every[0].path)
                    found[forms.hour_ms] = check(forms)
                self.put(inst_id, found, every)
                done += len(found)
            self.put(inst_id, {}, every)
        return done

    def change(self, forms: HourForms, change: Callable[[_N], _N]) -> None:
        """Change the note of an hour, which must have one. With the lock of retention held. Raises OSError."""
        hours, name = self._read_day(forms.inst_id, forms.hour_ms), str(forms.hour_ms)
        self._write_day(forms.inst_id, forms.hour_ms, hours | {name: change(hours[name])})

    def _day(self, inst_id: str, hour_ms: int) -> dict[str, _N]:
        try:
            facts = self._file_of(inst_id, hour_ms).stat()
        except OSError:
            return {}
        key, stamp = (inst_id, hour_ms // DAY_MS), (facts.st_size, facts.st_mtime_ns)
        if key not in self._days or self._days[key][0] != stamp:
            self._days[key] = stamp, self._read_day(inst_id, hour_ms)
        return self._days[key][1]

    def _read_day(self, inst_id: str, ts_ms: int) -> dict[str, _N]:
        """Empty where there is none, or none that reads."""
        try:
            data = zlib.decompressobj(31).decompress(read_small(self._file_of(inst_id, ts_ms)), _DAY_BYTES)
            day = self._decoder.decode(data)
        except (OSError, ValueError, zlib.error, RecursionError):  # msgspec's errors are ValueErrors
            return {}
        return day.hours if day.form == _FORM else {}

    def _write_day(self, inst_id: str, ts_ms: int, hours: dict[str, _N]) -> None:
        path = self._file_of(inst_id, ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, gzip.compress(msgspec.json.encode(Day(_FORM, hours)), mtime=0))


def closed_hours(every: list[HourForms], before_ms: int) -> list[HourForms]:
    """Those that ended before a time, the newest first; the newest hour that is held may still go on."""
    return [forms for forms in reversed(every[:-1]) if forms.hour_ms + HOUR_MS <= before_ms]


def stamp_of(layout: Layout, forms: HourForms) -> list[FileStamp]:
    """The files of an hour as the file system has them now."""
    paths = [stored.path for stored in forms.every]
    if forms.archive is not None:
        paths.append(levels_beside(forms.archive.path))
    return [file_stamp(layout, path) for path in paths]


def file_stamp(layout: Layout, path: Path) -> FileStamp:
    """A file of the vault as the file system has it now."""
    name = path.relative_to(layout.root).as_posix()
    try:
        facts = path.stat()
    except OSError:
        return name, -1, -1
    return name, facts.st_size, facts.st_mtime_ns
