"""What data files there are: the one listing of the tree, and the one type for an hour that is stored in it.

Looks at names, sizes and times of change, and opens nothing. Whether a file reads is for whoever reads it to find out,
and goes into `Findings`, as does a folder that cannot be listed.
"""

import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.store.layout import Kind, Layout, packed_path

LATEST_MS: Final = utc_ms("9999-12-30T00:00:00.000Z")
"""No hour at or after this, or in the first day of 1970, is taken for one: no time could be written around it."""
EARLIEST_MS: Final = utc_ms("1970-01-02T00:00:00.000Z")

Form = Literal["plain", "gzip", "archive"]

_KIND_OF_REASON: Final = re.compile(r"[,:(]")
"""What comes before it in a reason is the same for every finding of a kind."""

_log = logging.getLogger(__name__)


class Finding(msgspec.Struct, frozen=True):
    """Something in a data file that is no line of it, or a file that is none.

    `offset` counts bytes of the contents, as if never compressed. `ts_ms` is the time that the line claims, where it is
    of the file's hour and stands out of order. `is_of_file`: nothing in the file can be relied on.
    """

    path: Path
    offset: int
    reason: str
    ts_ms: int | None = None
    is_of_file: bool = False


Report = Callable[[Finding], None]


def unreported(finding: Finding) -> None:
    """A `Report` for a look at what somebody else reads whole, and reports then."""


class Findings(list[Finding]):
    """Collects findings; the first of a kind in a file is also a warning in the log."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[tuple[Path, str]] = set()

    def report(self, finding: Finding) -> None:
        self.append(finding)
        kind = finding.path, _KIND_OF_REASON.split(finding.reason, maxsplit=1)[0]
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s at byte %d: %s", finding.path, finding.offset, finding.reason)


class StoredHour(NamedTuple):
    """One hour of one instrument in one form, as it was found.

    An archive is one, by the path of its snapshots and with the size of both its files. `written_ms` is the wall time
    of the last change. Both numbers are 0 where there is no `is_file`: what stands in the place is no regular file, or
    cannot be looked at.
    """

    kind: Kind
    inst_id: str
    hour_ms: int
    form: Form
    path: Path
    size_bytes: int
    written_ms: int
    is_file: bool = True

    @property
    def key(self) -> tuple[str, int]:
        """Instrument and hour."""
        return self.inst_id, self.hour_ms

    @property
    def kind_key(self) -> tuple[Kind, str, int]:
        """Kind, instrument and hour."""
        return self.kind, self.inst_id, self.hour_ms


class HourForms(NamedTuple):
    """Everything the vault has of one hour: the `.jsonl.gz` before the `.jsonl`, and the archive."""

    kind: Kind
    inst_id: str
    hour_ms: int
    raw: tuple[StoredHour, ...]
    archive: StoredHour | None

    @property
    def key(self) -> tuple[str, int]:
        """Instrument and hour."""
        return self.inst_id, self.hour_ms

    @property
    def every(self) -> tuple[StoredHour, ...]:
        """The archive, whose lines are the oldest, before the raw forms."""
        return self.raw if self.archive is None else (self.archive, *self.raw)


Refused = Callable[[Path, OSError], None]
"""Is given a folder that cannot be listed."""


def is_time_of_hour(hour_ms: int) -> bool:
    """Whether a vault can hold an hour, so that every time around it can be written."""
    return EARLIEST_MS <= hour_ms < LATEST_MS


def _passed_over(folder: Path, error: OSError) -> None:
    """Of this the reading of the hours, or `verify`, will say what there is to say."""


def _raise(folder: Path, error: OSError) -> None:
    raise error


def _reporting(report: Report) -> Refused:
    def refused(folder: Path, error: OSError) -> None:
        if not isinstance(error, NotADirectoryError):
            report(Finding(folder, 0, f"cannot be listed: {error.strerror or error}", is_of_file=True))

    return refused


def listed(folder: Path, refused: Refused) -> list[Path]:
    """What a folder holds, by name; nothing where there is none. `refused` decides about one that cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        refused(folder, error)
        return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _folders(folder: Path, refused: Refused = _passed_over) -> list[Path]:
    return [path for path in listed(folder, refused) if _is_folder(path)]


def _files_in(tree: Path) -> Iterator[Path]:
    """Whatever stands where data files do, two folders deep."""
    for folder in _folders(tree):
        for day in _folders(folder):
            yield from listed(day, _passed_over)


def _facts(path: Path) -> tuple[int, int, bool]:
    """Size, wall time of the last change in milliseconds, and whether it is a regular file, links followed."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0, False
    if not stat.S_ISREG(facts.st_mode):
        return 0, 0, False
    return facts.st_size, facts.st_mtime_ns // 1_000_000, True


class Catalog:
    """The data files of one kind (that of the layout). Each method lists anew, so it says what is there right now."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def instruments(self) -> list[str]:
        """Every instrument of which the vault holds an hour in any form."""
        found: set[str] = set()
        for folder in (*_folders(self.layout.raw), *_folders(self.layout.archived_snapshots)):
            hours = (stored for stored in self._in_folder(folder) if is_time_of_hour(stored.hour_ms))
            found.update(stored.inst_id for stored in islice(hours, 1))
        return sorted(found)

    def hours(self, inst_id: str, report: Report | None = None) -> list[HourForms]:
        """Every hour of the instrument, in order of time. `report` is given the folders that cannot be listed."""
        refused = _passed_over if report is None else _reporting(report)
        stored: dict[int, list[StoredHour]] = {}
        archives = self.layout.archived_hour(inst_id, 0).snapshots.parent.parent
        for folder in (self.layout.instrument_folder(inst_id), archives):
            for each in self._in_folder(folder, refused):
                if is_time_of_hour(each.hour_ms):
                    stored.setdefault(each.hour_ms, []).append(each)
        return [self._forms(inst_id, hour_ms, stored[hour_ms]) for hour_ms in sorted(stored)]

    def hour(self, inst_id: str, hour_ms: int) -> HourForms:
        """What there is of one hour."""
        if not is_time_of_hour(hour_ms):
            return self._forms(inst_id, hour_ms, [])
        plain = self.layout.hour_file(inst_id, hour_ms)
        paths = plain, packed_path(plain), self.layout.archived_hour(inst_id, hour_ms).snapshots
        found = (self._stored(path) for path in paths if os.path.lexists(path))
        return self._forms(inst_id, hour_ms, [each for each in found if each is not None])

    def files(self) -> list[StoredHour]:
        """Every regular data file of every instrument, whatever its hour, archives included; in no order."""
        folders = (*_folders(self.layout.raw), *_folders(self.layout.archived_snapshots))
        return self._files_in(folders)

    def archives(self) -> list[StoredHour]:
        """Those of them that are archives."""
        return self._files_in(_folders(self.layout.archived_snapshots))

    def _files_in(self, folders: Iterable[Path]) -> list[StoredHour]:
        return [stored for folder in folders for stored in self._in_folder(folder) if stored.is_file]

    def raw_newest_first(self, inst_id: str) -> Iterator[StoredHour]:
        """The raw files of an instrument; of one hour the plain one before the compressed one, whose lines are older.

        Lists one day's folder at a time, so that the years behind it cost nothing. Raises OSError for a folder that
        cannot be listed.
        """
        for day in reversed(self.days(inst_id, refused=_raise)):
            found = [stored for stored in self._in_day(day, _raise) if stored.is_file]
            yield from sorted(found, key=lambda stored: (-stored.hour_ms, stored.form == "gzip"))

    def raw_hours(self, inst_id: str, after_ms: int = -1) -> Iterator[int]:
        """The hours after a time of which there is something in the place of a raw file, oldest first, day by day."""
        first_date = utc_text(after_ms)[:10] if after_ms >= 0 else ""
        for day in self.days(inst_id):
            if day.name >= first_date:
                hours = {stored.hour_ms for stored in self._in_day(day)}
                yield from sorted(hour_ms for hour_ms in hours if hour_ms > after_ms)

    def newest_raw_hour(self, inst_id: str) -> int | None:
        """The newest of these hours."""
        for day in reversed(self.days(inst_id)):
            if hours := [stored.hour_ms for stored in self._in_day(day)]:
                return max(hours)
        return None

    def days(self, inst_id: str, refused: Refused = _passed_over) -> list[Path]:
        """The folders of the instrument in order of their names, which are dates where they are the vault's."""
        return _folders(self.layout.instrument_folder(inst_id), refused)

    def raw_instruments(self) -> list[str]:
        """Every instrument that has a folder of raw files, if only an empty one. Raises OSError where that cannot be
        listed."""
        return [path.name for path in _folders(self.layout.raw, _raise)]

    def halves(self) -> Iterator[Path]:
        """Levels of an archive without its snapshots: of a kill, or of an archive in the making."""
        for path in _files_in(self.layout.archived_levels):
            hour = self.layout.parse_archive_file(path)
            if hour is not None and not hour.snapshots.exists():
                yield path

    def leftovers(self, suffix: str) -> Iterator[Path]:
        """Files beside the data files whose name ends so: the temporary ones of work in progress, or cut short."""
        for tree in (self.layout.raw, self.layout.archived_snapshots, self.layout.archived_levels):
            yield from (path for path in _files_in(tree) if path.name.endswith(suffix))

    def _forms(self, inst_id: str, hour_ms: int, found: list[StoredHour]) -> HourForms:
        raw = sorted((each for each in found if each.form != "archive"), key=lambda each: each.form == "plain")
        archive = next((each for each in found if each.form == "archive"), None)
        return HourForms(self.layout.kind, inst_id, hour_ms, tuple(raw), archive)

    def _in_folder(self, folder: Path, refused: Refused = _passed_over) -> Iterator[StoredHour]:
        """Of an instrument, raw files or archives."""
        for day in _folders(folder, refused):
            yield from self._in_day(day, refused)

    def _in_day(self, day: Path, refused: Refused = _passed_over) -> Iterator[StoredHour]:
        for path in listed(day, refused):
            if (found := self._stored(path)) is not None:
                yield found

    def _stored(self, path: Path) -> StoredHour | None:
        """What its path says of it, and the file system; None for the path of no data file."""
        kind = self.layout.kind
        if (file := self.layout.parse_hour_file(path)) is not None:
            form: Form = "gzip" if file.is_compressed else "plain"
            return StoredHour(kind, file.inst_id, file.hour_ms, form, path, *_facts(path))
        hour = self.layout.parse_archive_file(path)
        if hour is None or path != hour.snapshots:
            return None
        size_bytes, written_ms, is_file = _facts(path)
        size_bytes += _facts(hour.levels)[0] if is_file else 0
        return StoredHour(kind, hour.inst_id, hour.hour_ms, "archive", path, size_bytes, written_ms, is_file)
