"""Every file and line of a vault re-checked: what contradicts its own place, form, order or contents is a finding.

Streams: memory is bounded by the times of one hour of one instrument. Changes nothing. Whether a missing line is a
loss is not asked here: that is coverage, told from the journal.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.census import scan
from l2vault.vault.compress import PACKING_SUFFIX, packed_path
from l2vault.vault.files import TIME, UNFLAGGED_END
from l2vault.vault.layout import HOUR_MS, ArchivedHour, HourFile, Layout
from l2vault.vault.linecheck import check_line
from l2vault.vault.removal import DELETING_SUFFIX
from l2vault.vault.stream import GzipDamage, Line, read_lines

Kind = Literal[
    "foreign",
    "leftover",
    "unreadable",
    "gzip",
    "torn",
    "line",
    "sorting",
    "altered",
    "order",
    "double",
    "misplaced",
    "archive",
]
"""foreign: a file that is none of ours. leftover: a temporary file of a run that was killed. gzip: truncated or
damaged. torn: a last line without its end. order: an older time after a newer one. double: a time that stands twice
unflagged. misplaced: lines of another instrument or hour. archive: one that contradicts itself. The rest: linecheck."""

LEFTOVER_SUFFIXES: Final = (PACKING_SUFFIX, DELETING_SUFFIX, ".tmp")

Progress = Callable[[int, int, str], None]
"""Told before each file: bytes done, bytes in all, the file whose turn it is."""

_Time = tuple[str, int]
"""An instrument and a time, or the hour it falls in."""


class Finding(msgspec.Struct, frozen=True):
    """`file` is relative to the vault; `offset` counts bytes of its uncompressed contents, None for the whole file."""

    file: str
    offset: int | None
    kind: Kind
    text: str


class Verification:
    """One walk through a vault; `files`, `lines` and `bytes_read` count what was checked."""

    def __init__(self, layout: Layout, now_ms: int) -> None:
        self._layout = layout
        self._now_ms = now_ms
        self.files = 0
        self.lines = 0
        self.bytes_read = 0

    def run(self, progress: Progress | None = None) -> Iterator[Finding]:
        """Every finding, instrument by instrument, oldest hour first. Raises OSError only for folders."""
        total_bytes = 0
        if progress is not None:
            total_bytes = sum(held.size_bytes for held in scan(self._layout))
        for entry in _entries(self._layout.raw):
            if not entry.is_dir():
                yield from self._check_stranger(entry)
                continue
            for day in _entries(entry):
                if self._layout.parse_hour_file(day / "00.jsonl") is None or not day.is_dir():
                    yield from self._check_stranger(day)
                else:
                    yield from self._check_day(day, progress, total_bytes)
        yield from self._check_archives(progress, total_bytes)

    def _check_day(self, day: Path, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        """A gzip form comes before the plain one of its hour: its lines are the older."""
        hours: dict[int, list[HourFile]] = {}
        for path in _entries(day):
            file = self._layout.parse_hour_file(path)
            if file is None or not path.is_file():
                yield from self._check_stranger(path)
            else:
                hours.setdefault(file.hour_ms, []).insert(0, file)
        for hour in hours.values():
            held: dict[_Time, int] = {}
            for file in hour:
                if progress is not None:
                    progress(self.bytes_read, total_bytes, self._name(file.path))
                yield from self._check_file(file, held)

    def _check_archives(self, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        """Each archive against itself: what it was made of is gone."""
        for path in _files(self._layout.archive):
            hour = self._layout.parse_archive_file(path)
            if hour is None or not hour.snapshots.exists():
                yield from self._check_stranger(path)
            elif path == hour.snapshots:
                if progress is not None:
                    progress(self.bytes_read, total_bytes, self._name(path))
                try:
                    trouble = self._archive_trouble(hour)
                except ImportError as error:
                    text = f'archives cannot be checked ({error}): pip install "l2vault[analysis]"'
                    yield Finding(self._name(self._layout.archive), None, "archive", text)
                    return
                if trouble is not None:
                    yield Finding(self._name(path), None, "archive", trouble)

    def _archive_trouble(self, hour: ArchivedHour) -> str | None:
        from l2vault.vault.archive import check_archive  # both need the analysis extra
        from l2vault.vault.archived import archived_times

        trouble = check_archive(hour)
        with suppress(FileNotFoundError):
            if trouble is None:
                self.lines += len(archived_times(hour, with_flagged=True))
            self.bytes_read += hour.levels.stat().st_size
        if not hour.snapshots.exists():  # deleted meanwhile
            return None
        self.bytes_read += hour.snapshots.stat().st_size
        self.files += 1
        return trouble

    def _check_stranger(self, path: Path) -> Iterator[Finding]:
        """A temporary file, and a half of an archive, may belong to work in progress while they are young."""
        is_half = self._layout.parse_archive_file(path) is not None
        if not is_half and path.suffix not in LEFTOVER_SUFFIXES:
            text = (
                "no data file, and no folder of data files" if path.is_dir() else "no data file by its place and name"
            )
            yield Finding(self._name(path), None, "foreign", text)
            return
        with suppress(FileNotFoundError):
            if abs(self._now_ms - path.stat().st_mtime_ns // 1_000_000) >= HOUR_MS:
                what = "half of an archive" if is_half else "a temporary file"
                yield Finding(self._name(path), None, "leftover", f"{what}, left by a run that was killed")

    def _check_file(self, file: HourFile, held: dict[_Time, int]) -> Iterator[Finding]:
        """`held` has the unflagged times of the hour's other form, and is given those of this one."""
        check = _FileCheck(self._layout, file, self._name(file.path), held)
        self.files += 1
        offset = 0
        try:
            self.bytes_read += file.path.stat().st_size
            for line in read_lines(file.path):
                self.lines += 1
                if line.is_ended:
                    offset = line.offset
                    yield from check.line(line)
                elif file.is_compressed or not self._is_young(file):
                    yield check.finding(line.offset, "torn", "the last line lacks its end")
        except GzipDamage as damage:
            yield check.finding(offset, "gzip", f"{damage.what}, after the line at this offset")
        except FileNotFoundError:  # compressed or deleted meanwhile
            packed = packed_path(file.path)
            if not file.is_compressed and not held and packed.exists():
                yield from self._check_file(file._replace(is_compressed=True, path=packed), held)
            return
        except OSError as error:
            yield check.finding(None, "unreadable", str(error))
        yield from check.end()

    def _is_young(self, file: HourFile) -> bool:
        """The hour being written, or ended less than an hour ago: its last line may be on its way."""
        return self._now_ms < file.hour_ms + 2 * HOUR_MS

    def _name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()


class _FileCheck:
    """The lines of one file against each other, against its place and against the other form of its hour."""

    def __init__(self, layout: Layout, file: HourFile, name: str, held: dict[_Time, int]) -> None:
        self._layout = layout
        self._place = (file.inst_id, file.hour_ms)
        self._name = name
        self._twin = dict(held)
        self._held = held
        self._last_ms: int | None = None
        self._seen: dict[_Time, int] = {}
        self._twice: list[Finding] = []
        self._strays: list[int] = []
        self._strays_place = self._place
        self._strays_offset = 0
        self._proper = layout.raw, frozenset[int]()

    def finding(self, offset: int | None, kind: Kind, text: str) -> Finding:
        return Finding(self._name, offset, kind, text)

    def line(self, line: Line) -> Iterator[Finding]:
        if line.text is None:
            yield self.finding(line.offset, "line", "far too long for a snapshot line")
            return
        snapshot, objections = check_line(line.text)
        for objection in objections:
            yield self.finding(line.offset, objection.kind, objection.text)
        if snapshot is not None:
            yield from self._check_place(line.offset, snapshot)
            yield from self._check_time(line.offset, snapshot)

    def end(self) -> Iterator[Finding]:
        """What can only be told once the whole file was seen."""
        yield from self._end_strays()
        if self._twice and len(self._twice) == len(self._seen):
            text = f"all its {len(self._twice)} times stand in its .gz too; `l2vault retain` makes the two one"
            yield self.finding(None, "double", text)
        else:
            yield from self._twice
        self._held.update(self._seen)

    def _check_time(self, offset: int, snapshot: Snapshot) -> Iterator[Finding]:
        time = (snapshot.inst_id, snapshot.ts_ms)
        is_double = False
        if not snapshot.gap_detected:
            if time in self._seen:
                is_double = True
                yield self.finding(offset, "double", f"{utc_text(time[1])} stands at offset {self._seen[time]} too")
            elif time in self._twin:
                text = f"{utc_text(time[1])} stands in the .gz of this hour too, at offset {self._twin[time]}"
                self._twice.append(self.finding(offset, "double", text))
            self._seen.setdefault(time, offset)
        if not is_double and self._last_ms is not None and time[1] < self._last_ms:
            text = f"{utc_text(time[1])} follows {utc_text(self._last_ms)}"
            yield self.finding(offset, "order", text)
        self._last_ms = time[1]

    def _check_place(self, offset: int, snapshot: Snapshot) -> Iterator[Finding]:
        """Lines of one wrong place that follow each other are one finding."""
        place = (snapshot.inst_id, snapshot.ts_ms - snapshot.ts_ms % HOUR_MS)
        if self._strays and place != self._strays_place:
            yield from self._end_strays()
        if place != self._place:
            if not self._strays:
                self._strays_place, self._strays_offset = place, offset
            self._strays.append(snapshot.ts_ms)

    def _end_strays(self) -> Iterator[Finding]:
        if not self._strays:
            return
        inst_id, hour_ms = self._strays_place
        proper = self._layout.hour_file(inst_id, hour_ms)
        text = f"{len(self._strays)} lines from here on are of {inst_id}, {utc_text(hour_ms)[:13]} h UTC"
        if self._proper[0] != proper:
            self._proper = proper, _times(self._layout, proper)
        there = self._proper[1].intersection(self._strays)
        if there:
            text += f", where {len(there)} of their times stand already"
        self._strays = []
        yield self.finding(self._strays_offset, "misplaced", text)


def _times(layout: Layout, plain: Path) -> frozenset[int]:
    """Times of the unflagged lines where strays belong; what does not read there is told when its turn comes."""
    found = set()
    for path in (packed_path(plain), plain):
        if layout.parse_hour_file(path) is None:  # an instrument's name that is no name of a folder
            continue
        with suppress(OSError, GzipDamage):
            for line in read_lines(path):
                if line.text is not None and line.text.endswith(UNFLAGGED_END):
                    with suppress(ValueError):
                        found.add(utc_ms(line.text[TIME].decode()))
    return frozenset(found)


def _files(folder: Path) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:  # never made, or removed meanwhile
        return []
