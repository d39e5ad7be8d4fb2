"""What forms each hour of an instrument has, and its lines from all of them: each once, in order, bad ones reported.

Lines of a `.jsonl.gz` and of the `.jsonl` that continues it are one hour; so are those of an archive beside them, which
a kill between archiving and deleting leaves. Needs only what recording needs, unless an archive must be read.
"""

import heapq
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError, install_command
from l2vault.vault.store.layout import ArchivedHour, HourFile, Layout
from l2vault.vault.store.line import has_time, hour_text, is_of_hour, time_ms, time_text
from l2vault.vault.store.stream import GzipDamage, Line, read_lines

LATEST_MS: Final = utc_ms("9999-12-30T00:00:00.000Z")
"""No hour at or after this, or in the first day of 1970, is taken for one: no time could be written around it."""
EARLIEST_MS: Final = utc_ms("1970-01-02T00:00:00.000Z")

_KIND: Final = re.compile(r"[,:(]")
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


class PlacedLine(NamedTuple):
    """A line without its newline, and where it stands; of an archive `offset` counts in the lines it gives back."""

    text: bytes
    path: Path
    offset: int


class HourForms(NamedTuple):
    """Everything the vault has of one hour: the `.jsonl.gz` before the `.jsonl`, and the archive."""

    inst_id: str
    hour_ms: int
    raw: tuple[HourFile, ...]
    archive: ArchivedHour | None


Report = Callable[[Finding], None]


class Findings(list[Finding]):
    """Collects findings; the first of a kind in a file is also a warning in the log."""

    def __init__(self) -> None:
        super().__init__()
        self._warned: set[tuple[Path, str]] = set()

    def report(self, finding: Finding) -> None:
        self.append(finding)
        kind = finding.path, _KIND.split(finding.reason, maxsplit=1)[0]
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("%s at byte %d: %s", finding.path, finding.offset, finding.reason)


@contextmanager
def analysis_extra() -> Iterator[None]:
    """Around the import of what the reading half needs: raises VaultError with the cure where that is absent."""
    try:
        yield
    except ImportError as error:
        raise VaultError(f"this needs the analysis extra ({error}).", install_command("analysis")) from error


def instruments(layout: Layout) -> list[str]:
    """Every instrument of which the vault holds an hour in any form."""
    found = {path.name for path in _folders(layout.raw, _ignore) if any(_raw_files(layout, path.name, _ignore))}
    for path in _folders(layout.archive / "snapshots", _ignore):
        inst_id = path.name.removeprefix("inst_id=")
        if inst_id != path.name and any(_archived(layout, inst_id, _ignore)):
            found.add(inst_id)
    return sorted(found)


def hours(layout: Layout, inst_id: str, report: Report | None = None) -> list[HourForms]:
    """Every hour of the instrument, in order of time. `report` is given the folders that cannot be listed."""
    raw: dict[int, list[HourFile]] = {}
    for file in _raw_files(layout, inst_id, report or _ignore):
        raw.setdefault(file.hour_ms, []).append(file)
    archives = {hour.hour_ms: hour for hour in _archived(layout, inst_id, report or _ignore)}
    every = sorted({*raw, *archives})
    return [_forms(inst_id, hour_ms, raw.get(hour_ms, []), archives.get(hour_ms)) for hour_ms in every]


def hour_forms(layout: Layout, inst_id: str, hour_ms: int) -> HourForms:
    """What there is of one hour, right now."""
    if not EARLIEST_MS <= hour_ms < LATEST_MS:
        return _forms(inst_id, hour_ms, [], None)
    plain = layout.hour_file(inst_id, hour_ms)
    paths = [path for path in (plain, plain.with_name(f"{plain.name}.gz")) if os.path.lexists(path)]
    archive = layout.archived_hour(inst_id, hour_ms)
    raw = [file for path in paths if (file := layout.parse_hour_file(path)) is not None]
    return _forms(inst_id, hour_ms, raw, archive if os.path.lexists(archive.snapshots) else None)


def hour_lines(layout: Layout, forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
    """The lines of an hour. `is_newest`: its `.jsonl` may be being written, so that a torn last line is no finding.

    A file that retention compresses meanwhile is found again in its new form.
    """
    given = 0
    while True:
        try:
            for line in islice(_merged(forms, is_newest, report), given, None):
                given += 1
                yield line
        except FileNotFoundError as error:
            found = hour_forms(layout, forms.inst_id, forms.hour_ms)
            if found == forms:  # not moved but gone, as one of an archive's two files may be
                path = Path(error.filename or forms.inst_id)
                report(Finding(path, 0, "a file of this hour is missing", is_of_file=True))
                return
            forms = found
        else:
            return


def first_ms(forms: HourForms) -> int | None:
    """The time of the first line of an hour; None if it has none that can be read."""
    firsts = [next(raw_lines(file, False, _ignore), None) for file in forms.raw]
    times = [time_ms(line.text) for line in firsts if line is not None]
    if forms.archive is not None:
        with analysis_extra():
            from l2vault.vault.archive.read import CANNOT_READ, archived_times
        with suppress(*CANNOT_READ):
            times += archived_times(forms.archive, with_flagged=True)[:1]
    return min(times, default=None)


def _ignore(finding: Finding) -> None:
    """Whoever reads the whole hour reports it."""


def raw_lines(file: HourFile, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
    """The lines of one raw file that are of its hour and do not go back in time; what else there is is reported."""
    hour = hour_text(file.hour_ms)
    newest, end = b"", 0
    trouble = why_no_file(file.path)
    if trouble:
        report(Finding(file.path, 0, trouble, is_of_file=True))
        return
    try:
        for line in read_lines(file.path):
            end = line.offset + len(line.text or b"") + 1
            reason = _objection(line, hour, newest, is_newest and not file.is_compressed)
            if reason:
                report(Finding(file.path, line.offset, reason, _claimed(line, hour)))
            elif line.text is not None and line.is_ended:
                newest = time_text(line.text)
                yield PlacedLine(line.text, file.path, line.offset)
    except GzipDamage as damage:
        report(Finding(file.path, end, damage.what, is_of_file=not damage.is_cut_short))
    except FileNotFoundError:  # in another form meanwhile
        raise
    except OSError as error:
        report(Finding(file.path, end, f"cannot be read: {error.strerror or error}", is_of_file=True))


def why_no_file(path: Path) -> str:
    """Why this is no file to read lines from, empty if it is one. Raises FileNotFoundError where nothing is there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            raise
        return "a link that leads nowhere"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if stat.S_ISREG(mode):
        return ""
    return "a folder in the place of a file" if stat.S_ISDIR(mode) else "no regular file"


def _claimed(line: Line, hour: bytes) -> int | None:
    """The time of a line of this hour that was refused."""
    if line.text is None or not line.is_ended or not has_time(line.text) or not is_of_hour(line.text, hour):
        return None
    return time_ms(line.text)


def _objection(line: Line, hour: bytes, newest: bytes, may_be_torn: bool) -> str:
    """Why this is no line of its hour, empty if it may be one."""
    if line.text is None:
        return "not a snapshot line: far too long"
    if not line.is_ended:
        return "" if may_be_torn else "a torn line, without its end"
    if not has_time(line.text):
        return "not a snapshot line"
    if not is_of_hour(line.text, hour):
        return f"a line of another hour, {time_text(line.text).decode()}"
    if time_text(line.text) < newest:
        return f"a line that goes back in time, {time_text(line.text).decode()} after {newest.decode()}"
    return ""


def _merged(forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
    """In order of time; the same line in two files is given once."""
    streams: list[Iterable[PlacedLine]] = [raw_lines(file, is_newest, report) for file in forms.raw]
    if forms.archive is not None:
        streams.insert(0, _archived_lines(forms.archive, report))
    if len(streams) == 1:
        yield from streams[0]
        return
    time = b""
    seen: dict[bytes, Path] = {}
    for line in heapq.merge(*streams, key=lambda line: time_text(line.text)):
        if time_text(line.text) != time:
            time = time_text(line.text)
            seen.clear()
        if seen.setdefault(line.text, line.path) == line.path:
            yield line


def unreadable_archive(hour: ArchivedHour, error: Exception) -> Finding:
    return Finding(hour.snapshots, 0, f"an archive that cannot be read: {error}", is_of_file=True)


def _archived_lines(hour: ArchivedHour, report: Report) -> Iterator[PlacedLine]:
    with analysis_extra():
        from l2vault.vault.archive.read import CANNOT_READ, archived_lines
    try:
        texts = archived_lines(hour)
    except FileNotFoundError:  # restored and removed meanwhile: looked for in its other form
        raise
    except CANNOT_READ as error:
        report(unreadable_archive(hour, error))
        return
    offset = 0
    for text in texts:
        yield PlacedLine(text, hour.snapshots, offset)
        offset += len(text) + 1


def _raw_files(layout: Layout, inst_id: str, report: Report) -> Iterator[HourFile]:
    for day in _folders(layout.instrument_folder(inst_id), report):
        for path in _listed(day, report):
            file = layout.parse_hour_file(path)
            if file is not None and EARLIEST_MS <= file.hour_ms < LATEST_MS:
                yield file


def _archived(layout: Layout, inst_id: str, report: Report) -> Iterator[ArchivedHour]:
    for day in _folders(layout.archived_hour(inst_id, 0).snapshots.parent.parent, report):
        for path in _listed(day, report):
            hour = layout.parse_archive_file(path)
            if hour is not None and EARLIEST_MS <= hour.hour_ms < LATEST_MS:
                yield hour


def _folders(folder: Path, report: Report) -> Iterator[Path]:
    return (path for path in _listed(folder, report) if _is_folder(path))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _listed(folder: Path, report: Report) -> list[Path]:
    """What a folder holds; nothing where there is none. One that cannot be listed is reported."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        report(Finding(folder, 0, f"cannot be listed: {error.strerror or error}", is_of_file=True))
        return []


def _forms(inst_id: str, hour_ms: int, raw: list[HourFile], archive: ArchivedHour | None) -> HourForms:
    return HourForms(inst_id, hour_ms, tuple(sorted(raw, key=lambda file: not file.is_compressed)), archive)


Form = Literal["plain", "gzip", "archive"]


class Held(NamedTuple):
    """One hour of one instrument in one form, as it was found. `written_ms` is the wall time of its last change."""

    inst_id: str
    hour_ms: int
    form: Form
    path: Path
    size_bytes: int
    written_ms: int


def scan(layout: Layout) -> list[Held]:
    """Every data file, in no order; foreign files, pipes, and what vanishes meanwhile, are left out.

    An archived hour is one: by the path of its snapshots, with the size of both its files.
    """
    return [*_stored_raw(layout), *_stored_archives(layout)]


def _stored_raw(layout: Layout) -> Iterator[Held]:
    for path in layout.raw.glob("*/*/*.jsonl*"):
        if (file := layout.parse_hour_file(path)) is None:
            continue
        with suppress(OSError):
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                continue
            form: Form = "gzip" if file.is_compressed else "plain"
            written_ms = facts.st_mtime_ns // 1_000_000
            yield Held(file.inst_id, file.hour_ms, form, path, facts.st_size, written_ms)


def _stored_archives(layout: Layout) -> Iterator[Held]:
    for path in (layout.archive / "snapshots").glob("*/*/*.parquet"):
        if (hour := layout.parse_archive_file(path)) is None:
            continue
        with suppress(OSError):
            facts = path.stat()
            size_bytes = facts.st_size + (hour.levels.stat().st_size if hour.levels.exists() else 0)
            written_ms = facts.st_mtime_ns // 1_000_000
            yield Held(hour.inst_id, hour.hour_ms, "archive", path, size_bytes, written_ms)
