"""Every file and line of a vault re-checked: what contradicts its own place, form, order or contents is a finding, and
so is what contradicts the journal.

Streams: memory is bounded by the times of one hour of one instrument and the minutes of the journal. Changes nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import msgspec

from l2vault.book.deep import DEEP_CHANNELS
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.errors import install_command
from l2vault.vault.checking.changes import ChangeCheck, Compared
from l2vault.vault.checking.days import DayCheck
from l2vault.vault.checking.deep import DeepCheck
from l2vault.vault.checking.journal import HourContents, JournalCheck, Trouble, broken_chain
from l2vault.vault.checking.rows import ROW_KINDS, RowCheck
from l2vault.vault.retention.compress import PACKING_SUFFIX
from l2vault.vault.store.catalog import Catalog, StoredHour, is_time_of_hour, listed
from l2vault.vault.store.days import DAY_KINDS, DayFile, day_files
from l2vault.vault.store.digest import file_digest
from l2vault.vault.store.durable import DELETING_SUFFIX
from l2vault.vault.store.layout import HOUR_MS, KINDS, ArchivedHour, HourFile, Layout, packed_path
from l2vault.vault.store.layout import Kind as FileKind
from l2vault.vault.store.line import is_flagged, time_ms
from l2vault.vault.store.linecheck import check_line
from l2vault.vault.store.stream import GzipDamage, Line, read_lines

Kind = Literal[
    "foreign",
    "leftover",
    "unreadable",
    "gzip",
    "torn",
    "line",
    "newer",
    "sorting",
    "altered",
    "order",
    "double",
    "misplaced",
    "archive",
    "link",
    "contents",
    "missing",
    "lacking",
    "fewer",
    "journal",
    "chain",
    "changes",
]
"""foreign: a file that is none of ours. link: a link in the place of a file or folder. leftover: a temporary file of a
run that was killed. gzip: truncated or damaged. torn: a last line without its end. order: an older time after a newer
one. double: a time that stands twice unflagged. misplaced: lines of another instrument or hour. archive: one that
contradicts itself. contents: not what the journal noted of the hour. missing: an hour that the journal noted and
nothing deleted. lacking: lines that the journal says were put on the disk. fewer: there are fewer lines than a journal
of form 1 counted. journal: what of it cannot be read or is not there. chain: an edited past. changes: a change
that fits no book, or a line of books that is not what the changes give. The rest: linecheck."""

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
        self._journal = JournalCheck(layout, now_ms)
        self._unlisted: list[Finding] = []
        self._bad_archives: set[str] = set()
        self.files = 0
        self.lines = 0
        self.bytes_read = 0
        self.compared = Compared()

    def run(self, progress: Progress | None = None) -> Iterator[Finding]:
        """Every finding: of the journal, then instrument by instrument, oldest hour first, then what is not there."""
        total_bytes = 0
        if progress is not None:
            layouts = [self._layout.of(kind) for kind in KINDS]
            total_bytes = sum(held.size_bytes for layout in layouts for held in Catalog(layout).files())
            total_bytes += sum(held.size_bytes for kind in DAY_KINDS for held in day_files(self._layout, kind))
        yield from map(self._of_journal, self._journal.journal_troubles())
        for entry in self._entries(self._layout.raw):
            if not _is_folder(entry):
                yield from self._check_stranger(entry)
                continue
            for day in self._entries(entry):
                if not self._is_day(day):
                    yield from self._check_stranger(day)
                else:
                    yield from self._check_day(day, progress, total_bytes)
        for finding in chain(
            self._check_archives(progress, total_bytes),
            self._check_changes(progress, total_bytes),
            *(self._check_rows(kind, progress, total_bytes) for kind in ROW_KINDS),
            *(self._walk(DeepCheck(self._layout, kind), progress, total_bytes) for kind in DEEP_CHANNELS),
            self._walk(DayCheck(self._layout, self._now_ms), progress, total_bytes),
        ):
            self._bad_archives |= {finding.file} if finding.kind == "archive" else set()
            yield finding
        yield from self._check_archive_bytes()
        for kind in KINDS:
            if kind != "books":
                yield from self._strangers(self._layout.of(kind))
        yield from self._day_strangers()
        yield from map(self._of_journal, self._journal.troubles_at_end())
        yield from self._unlisted

    def _check_changes(self, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        check = ChangeCheck(self._layout)
        yield from self._walk(check, progress, total_bytes)
        self.compared = check.compared

    def _check_rows(self, kind: FileKind, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        return self._walk(RowCheck(self._layout, kind, self._now_ms), progress, total_bytes)

    def _walk(
        self, check: ChangeCheck | RowCheck | DayCheck | DeepCheck, progress: Progress | None, total_bytes: int
    ) -> Iterator[Finding]:
        """What another kind's own check finds, and what it counted."""

        def show(file: StoredHour | DayFile) -> None:
            if progress is not None:
                progress(self.bytes_read + check.bytes_read, total_bytes, self._name(file.path))

        for trouble in check.run(show):
            yield Finding(self._name(trouble.path), trouble.offset, trouble.kind, trouble.text)
        self.files += check.files
        self.lines += check.lines
        self.bytes_read += check.bytes_read

    def chain(self) -> Iterator[Finding]:
        """The first place at which the journal shows that the past was edited, if there is one."""
        try:
            yield from map(self._of_journal, broken_chain(self._layout))
        except OSError as error:
            yield Finding(self._name(self._layout.journal), None, "unreadable", str(error))

    def _of_journal(self, trouble: Trouble) -> Finding:
        return Finding(self._name(trouble.path), None, trouble.kind, trouble.text)

    def _is_day(self, day: Path) -> bool:
        file = self._layout.parse_hour_file(day / "00.jsonl")
        return file is not None and is_time_of_hour(file.hour_ms) and _is_folder(day)

    def _check_day(self, day: Path, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        """A gzip form comes before the plain one of its hour: its lines are the older."""
        hours: dict[int, list[HourFile]] = {}
        for path in self._entries(day):
            file = self._layout.parse_hour_file(path)
            if file is None or path.is_symlink() or not _is_regular(path):
                yield from self._check_stranger(path)
            else:
                hours.setdefault(file.hour_ms, []).insert(0, file)
        for hour_ms, hour in hours.items():
            held: dict[_Time, int] = {}
            contents = self._journal.hour(hour[0].inst_id, hour_ms)
            for file in hour:
                if progress is not None:
                    progress(self.bytes_read, total_bytes, self._name(file.path))
                yield from self._check_file(file, held, contents)
            if any(file.path.exists() for file in hour):  # else deleted or compressed meanwhile
                yield from map(self._of_journal, self._journal.hour_trouble(hour[0].path, hour_ms, contents))

    def _check_archives(self, progress: Progress | None, total_bytes: int) -> Iterator[Finding]:
        """Each archive against itself: what it was made of is gone."""
        for path in self._files(self._layout.archive):
            hour = self._layout.parse_archive_file(path)
            if hour is None or path.is_symlink() or not _is_regular(hour.snapshots):
                yield from self._check_stranger(path)
            elif path == hour.snapshots:
                if progress is not None:
                    progress(self.bytes_read, total_bytes, self._name(path))
                try:
                    yield from self._check_archive(hour)
                except ImportError as error:
                    text = f"archives cannot be checked ({error}): {install_command('analysis')}"
                    yield Finding(self._name(self._layout.archive), None, "archive", text)
                    return

    def _check_archive(self, hour: ArchivedHour) -> Iterator[Finding]:
        from l2vault.vault.archive.write import checked_lines  # needs the analysis extra

        trouble, lines = checked_lines(hour)
        try:
            self.bytes_read += hour.snapshots.stat().st_size
        except OSError:  # deleted meanwhile
            return
        self.files += 1
        with suppress(OSError):
            self.bytes_read += hour.levels.stat().st_size
        if trouble is not None:
            self._journal.hour(hour.inst_id, hour.hour_ms)
            yield Finding(self._name(hour.snapshots), None, "archive", trouble)
            return
        self.lines += len(lines)
        contents = self._journal.hour(hour.inst_id, hour.hour_ms)
        contents.begin_file()
        for line in lines:
            contents.add(line + b"\n")
            self._journal.line(hour.inst_id, time_ms(line), is_flagged(line))
        if not any(_is_regular(path) for path in self._raw_forms(hour)):  # else the archive is behind them
            yield from map(self._of_journal, self._journal.hour_trouble(hour.snapshots, hour.hour_ms, contents))

    def _check_archive_bytes(self) -> Iterator[Finding]:
        """A byte that changes no line (padding, statistics, other metadata) shows in the digest that was noted when the
        archive was made. One that contradicts itself is named already."""
        for hour, path, noted in self._journal.archive_digests():
            if self._name(hour.snapshots) in self._bad_archives or not _is_regular(path):
                continue
            try:
                is_as_noted = file_digest(path) == noted
            except OSError as error:
                yield Finding(self._name(path), None, "unreadable", str(error))
                continue
            if not is_as_noted:
                text = "not the bytes that the journal noted when it was made, though it gives back its lines"
                yield Finding(self._name(path), None, "archive", text)

    def _raw_forms(self, hour: ArchivedHour) -> list[Path]:
        plain = self._layout.hour_file(hour.inst_id, hour.hour_ms)
        return [plain, packed_path(plain)]

    def _strangers(self, layout: Layout) -> Iterator[Finding]:
        """Whatever stands among the files of another kind and is none of them; those are checked by their own means."""
        for tree in (layout.raw, layout.archive):
            for path in self._files(tree):
                is_data = layout.parse_hour_file(path) or layout.parse_archive_file(path)
                if is_data is None or path.is_symlink() or not _is_regular(path):
                    yield from self._check_stranger(path)

    def _day_strangers(self) -> Iterator[Finding]:
        for kind in DAY_KINDS:
            known = {file.path for file in day_files(self._layout, kind)}
            for path in self._entries(self._layout.day_folder(kind)):
                if path not in known:
                    yield from self._check_stranger(path)

    def _check_stranger(self, path: Path) -> Iterator[Finding]:
        """A temporary file, and a half of an archive, may belong to work in progress while they are young."""
        if path.is_symlink():
            yield Finding(self._name(path), None, "link", "a link, in the place of a file or a folder of the vault")
            return
        is_half = self._layout.parse_archive_file(path) is not None
        if not is_half and path.suffix not in LEFTOVER_SUFFIXES:
            yield Finding(self._name(path), None, "foreign", self._why_foreign(path))
            return
        with suppress(OSError):
            if abs(self._now_ms - path.stat().st_mtime_ns // 1_000_000) >= HOUR_MS:
                what = "half of an archive" if is_half else "a temporary file"
                yield Finding(self._name(path), None, "leftover", f"{what}, left by a run that was killed")

    def _why_foreign(self, path: Path) -> str:
        if self._layout.parse_hour_file(path) is not None:
            return f"{'a folder' if _is_folder(path) else 'no regular file'}, in the place of a data file"
        return "no data file, and no folder of data files" if _is_folder(path) else "no data file by its place and name"

    def _check_file(self, file: HourFile, held: dict[_Time, int], contents: HourContents) -> Iterator[Finding]:
        """`held` has the unflagged times of the hour's other form, and is given those of this one."""
        check = _FileCheck(self._layout, file, self._name(file.path), (held, self._journal))
        contents.begin_file()
        self.files += 1
        offset = 0
        try:
            self.bytes_read += file.path.stat().st_size
            for line in read_lines(file.path, contents.add):
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
                yield from self._check_file(file._replace(is_compressed=True, path=packed), held, contents)
            return
        except OSError as error:
            yield check.finding(None, "unreadable", str(error))
        yield from check.end()

    def _is_young(self, file: HourFile) -> bool:
        """The hour being written, or ended less than an hour ago: its last line may be on its way."""
        return self._now_ms < file.hour_ms + 2 * HOUR_MS

    def _files(self, folder: Path) -> Iterator[Path]:
        for entry in self._entries(folder):
            if _is_folder(entry):
                yield from self._files(entry)
            else:
                yield entry

    def _entries(self, folder: Path) -> list[Path]:
        """What a folder holds; nothing where it was never made, or was removed meanwhile."""
        return listed(folder, self._not_listed)

    def _not_listed(self, folder: Path, error: OSError) -> None:
        self._unlisted.append(Finding(self._name(folder), None, "unreadable", error.strerror or str(error)))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._layout.root).as_posix()


class _FileCheck:
    """The lines of one file against each other, against its place and against the other form of its hour."""

    def __init__(self, layout: Layout, file: HourFile, name: str, known: tuple[dict[_Time, int], JournalCheck]) -> None:
        held, self._journal = known
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
        is_of_place = (snapshot.inst_id, snapshot.ts_ms - snapshot.ts_ms % HOUR_MS) == self._place
        if snapshot.gap_detected:
            if is_of_place:
                self._journal.line(snapshot.inst_id, snapshot.ts_ms, is_flagged=True)
        else:
            if time in self._seen:
                is_double = True
                yield self.finding(offset, "double", f"{utc_text(time[1])} stands at offset {self._seen[time]} too")
            elif is_of_place:
                self._journal.line(snapshot.inst_id, snapshot.ts_ms)
            if not is_double and time in self._twin:
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
                if line.text is not None and not is_flagged(line.text):
                    with suppress(ValueError):
                        found.add(time_ms(line.text))
    return frozenset(found)


def _is_folder(path: Path) -> bool:
    """A folder of the vault itself: none that a link leads to."""
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
