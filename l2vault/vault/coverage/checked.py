"""Which hours were read whole and found good, and the times of their lines: so that coverage need not read them again.

`{vault}/meta/okx/checked/{instId}/{date}.json.gz` holds a day of an instrument. An hour in it counts as long as its
files have the size and the time of change that they had when they were checked; any other is read. It is made by
retention, and is worth no more than the reading it spares: deleted, it is made again. `verify` never asks it.
"""

import gzip
import zlib
from array import array
from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from l2vault.book.utc import DAY_MS
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.store.catalog import Catalog, Finding, HourForms
from l2vault.vault.store.digest import digest_of
from l2vault.vault.store.durable import unlink, write_atomically
from l2vault.vault.store.forms import hour_times
from l2vault.vault.store.layout import HOUR_MS, ArchivedHour, Layout, levels_beside
from l2vault.vault.store.stream import read_small

MOST_HOURS: Final = 100
"""Hours that one call checks, a fifth of a second each: an old vault is worked off in several passes."""

DAY_BYTES: Final = 8 << 20

FileStamp = tuple[str, int, int]
"""Path from the vault's folder, size in bytes, time of the last change in nanoseconds; -1 twice for no file."""


class CheckedHour(msgspec.Struct, frozen=True):
    """An hour that was read whole. `is_good`: every line read, and nothing else was in its files.

    `steps` are the milliseconds from the start of the hour to its first unflagged line, and from each to the next;
    `flagged` those from the start of the hour to each flagged line. `columns` are the column files that were made of
    exactly these lines, empty where none were.
    """

    files: list[FileStamp]
    steps: list[int]
    flagged: list[int]
    is_good: bool = True
    columns: list[FileStamp] = []

    def times(self, hour_ms: int) -> "array[int]":
        """Exchange times of the unflagged lines, in order, milliseconds since the epoch."""
        return array("q", accumulate(self.steps, initial=hour_ms))[1:]

    def flagged_times(self, hour_ms: int) -> "array[int]":
        return array("q", [hour_ms + each for each in self.flagged])


class _Day(msgspec.Struct):
    """Hours by the start of each, milliseconds since the epoch as text."""

    form: int
    hours: dict[str, CheckedHour]


_FORM: Final = 1
_DECODER: Final = msgspec.json.Decoder(_Day)


class CheckedHours:
    """What was checked in a vault, each day read once as long as its file does not change."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._days: dict[tuple[str, int], tuple[tuple[int, int], _Day]] = {}

    def hour(self, forms: HourForms, files: list[FileStamp] | None = None) -> CheckedHour | None:
        """The record of a good hour whose files are those that were checked; None for any other. `files` are those
        of now, where `stamp_of` has been asked already."""
        checked = self.record(forms, files)
        return checked if checked is not None and checked.is_good else None

    def record(self, forms: HourForms, files: list[FileStamp] | None = None) -> CheckedHour | None:
        """The same, of an hour that is not good too."""
        checked = self._day(forms.inst_id, forms.hour_ms).hours.get(str(forms.hour_ms))
        if checked is None:
            return None
        return checked if checked.files == (files or stamp_of(self._layout, forms)) else None

    def columns(self, forms: HourForms) -> ArchivedHour | None:
        """The column files of an hour, if they are those that were made of the lines which it has now."""
        checked = self.hour(forms)
        if checked is None or not self.has_columns(checked, forms):
            return None
        return self._layout.columns.archived_hour(forms.inst_id, forms.hour_ms)

    def has_columns(self, checked: CheckedHour, forms: HourForms) -> bool:
        """Whether the column files that were made of a checked hour are there as they were made."""
        return checked.columns == columns_stamp(self._layout, forms.inst_id, forms.hour_ms)

    def _day(self, inst_id: str, hour_ms: int) -> _Day:
        path = self._layout.checked_file(inst_id, hour_ms)
        try:
            facts = path.stat()
        except OSError:
            return _Day(_FORM, {})
        key, stamp = (inst_id, hour_ms // DAY_MS), (facts.st_size, facts.st_mtime_ns)
        if key not in self._days or self._days[key][0] != stamp:
            self._days[key] = stamp, _read_day(path)
        return self._days[key][1]


def contents_of(layout: Layout, forms: HourForms) -> tuple[int, str] | None:
    """Bytes and SHA-256 of what the raw files of an hour hold, uncompressed; None where they cannot be had."""
    try:
        digest = digest_of(layout.hour_file(forms.inst_id, forms.hour_ms)).value()
    except OSError:
        return None
    return digest.bytes, digest.sha256


def stamp_of(layout: Layout, forms: HourForms) -> list[FileStamp]:
    """The files of an hour as the file system has them now."""
    paths = [stored.path for stored in forms.every]
    if forms.archive is not None:
        paths.append(levels_beside(forms.archive.path))
    return [_file_stamp(layout, path) for path in paths]


def columns_stamp(layout: Layout, inst_id: str, hour_ms: int) -> list[FileStamp]:
    """The column files of an hour as the file system has them now."""
    archived = layout.columns.archived_hour(inst_id, hour_ms)
    return [_file_stamp(layout, path) for path in (archived.levels, archived.snapshots)]


def closed_hours(every: list[HourForms], before_ms: int) -> list[HourForms]:
    """Those that ended before a time, the newest first; the newest hour that is held may still go on."""
    return [forms for forms in reversed(every[:-1]) if forms.hour_ms + HOUR_MS <= before_ms]


class ColumnWork(NamedTuple):
    """Hours that lack their column files, the newest first, and column files whose hour has no raw file any more."""

    lacking: list[HourForms]
    stray: list[Path]


def column_work(layout: Layout, before_ms: int) -> ColumnWork:
    """What there is to do for column files of hours that ended before a time; loads no library for them."""
    catalog, checked, columns = Catalog(layout), CheckedHours(layout), layout.columns
    lacking: list[HourForms] = []
    wanted: set[Path] = set()
    for inst_id in catalog.instruments():
        for forms in closed_hours(catalog.hours(inst_id), before_ms):
            if forms.raw and forms.archive is None:
                archived = columns.archived_hour(inst_id, forms.hour_ms)
                wanted.update((archived.levels, archived.snapshots))
                hour = checked.hour(forms)
                has_lines = hour is not None and bool(hour.steps or hour.flagged)
                if hour is not None and has_lines and not checked.has_columns(hour, forms):
                    lacking.append(forms)
    held = columns.archive.glob("*/*/*/*.parquet")
    stray = [path for path in held if path not in wanted and columns.parse_archive_file(path) is not None]
    return ColumnWork(lacking, stray)


def note_columns(layout: Layout, forms: HourForms) -> None:
    """Note that the column files of an hour were made of the lines that were checked. With the lock of retention."""
    day = _read_day(layout.checked_file(forms.inst_id, forms.hour_ms))
    name = str(forms.hour_ms)
    columns = columns_stamp(layout, forms.inst_id, forms.hour_ms)
    day.hours[name] = msgspec.structs.replace(day.hours[name], columns=columns)
    _write_day(layout, forms.inst_id, forms.hour_ms, day.hours)


def check_hours(layout: Layout, before_ms: int, before_each: Callable[[Path], object] = lambda path: None) -> int:
    """Read hours that ended before a time and are not yet checked, the newest first, and note those that are good.

    Returns how many were noted, `MOST_HOURS` at most. `before_each` is told which file comes; it may raise to end it.
    An hour is good if each of its lines reads, nothing else is in its files, and they hold what the journal noted when
    it was closed, where it did. Call it with the lock of retention held. Raises OSError where no note can be written.
    """
    catalog, journal, checked = Catalog(layout), JournalIndex(layout), CheckedHours(layout)
    left, noted = MOST_HOURS, 0
    for inst_id in catalog.instruments():
        every = catalog.hours(inst_id)
        lacking = [forms for forms in closed_hours(every, before_ms) if checked.record(forms) is None][:left]
        left -= len(lacking)
        for day, hours in groupby(lacking, lambda forms: forms.hour_ms // DAY_MS):
            found = {}
            for forms in hours:
                before_each(forms.every[0].path)
                found[str(forms.hour_ms)] = _check(catalog, journal, forms)
            _note(layout, inst_id, day * DAY_MS, found, every)
            noted += sum(hour.is_good for hour in found.values())
        folder = layout.checked_file(inst_id, 0).parent
        forget_files(folder, {layout.checked_file(inst_id, forms.hour_ms).name for forms in every})
    return noted


def _check(catalog: Catalog, journal: JournalIndex, forms: HourForms) -> CheckedHour:
    before = stamp_of(catalog.layout, forms)
    findings: list[Finding] = []
    lines = list(hour_times(catalog, forms, False, findings.append))
    times = [line.ts_ms for line in lines if not line.is_flagged]
    bad = CheckedHour(before, [], [], is_good=False)
    if findings or times != sorted(times) or before != stamp_of(catalog.layout, forms):
        return bad
    closed = journal.closed_hours(forms.inst_id).get(forms.hour_ms)
    if closed is not None and forms.raw and contents_of(catalog.layout, forms) != (closed.bytes, closed.sha256):
        return bad
    steps = [later - earlier for earlier, later in pairwise([forms.hour_ms, *times])]
    flagged = [line.ts_ms - forms.hour_ms for line in lines if line.is_flagged]
    return CheckedHour(before, steps, flagged)


def _note(layout: Layout, inst_id: str, day_ms: int, found: dict[str, CheckedHour], every: list[HourForms]) -> None:
    """Add hours to their day; those that are gone leave it."""
    there = {str(forms.hour_ms) for forms in every}
    hours = _read_day(layout.checked_file(inst_id, day_ms)).hours | found
    _write_day(layout, inst_id, day_ms, {name: hour for name, hour in hours.items() if name in there})


def _write_day(layout: Layout, inst_id: str, day_ms: int, hours: dict[str, CheckedHour]) -> None:
    path = layout.checked_file(inst_id, day_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, gzip.compress(msgspec.json.encode(_Day(_FORM, hours)), mtime=0))


def _read_day(path: Path) -> _Day:
    """Empty where there is none, or none that reads."""
    try:
        data = zlib.decompressobj(31).decompress(read_small(path), DAY_BYTES)
        day = _DECODER.decode(data)
        for name in day.hours:
            int(name)
    except (OSError, ValueError, zlib.error, RecursionError):  # msgspec's errors are ValueErrors
        return _Day(_FORM, {})
    return day if day.form == _FORM else _Day(_FORM, {})


def forget_files(folder: Path, kept: set[str]) -> None:
    """Notes of days of which no hour is left."""
    with suppress(OSError):  # there may be none, and what refuses to go does no harm
        for path in folder.iterdir():
            if path.name not in kept:
                unlink(path)


def _file_stamp(layout: Layout, path: Path) -> FileStamp:
    name = path.relative_to(layout.root).as_posix()
    try:
        facts = path.stat()
    except OSError:
        return name, -1, -1
    return name, facts.st_size, facts.st_mtime_ns
