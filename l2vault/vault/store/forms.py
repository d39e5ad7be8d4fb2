"""How an hour is read, whatever forms it has: its lines, their times, the book at a time. Each form is registered once.

Lines of a `.jsonl.gz` and of the `.jsonl` that continues it are one hour; so are those of an archive beside them, which
a kill between archiving and deleting leaves: each comes once, in order, and bad ones are reported. Needs only what
recording needs; the archive's form, which needs more, is made in `vault/archive` and registered by the package.
"""

import heapq
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.errors import LineError
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, StoredHour, unreported
from l2vault.vault.store.layout import WRITTEN_AS_GZIP, Kind, Layout
from l2vault.vault.store.line import (
    R,
    as_time_text,
    has_time,
    is_flagged,
    read_as,
    start_in_hour,
    time_in_hour,
    time_ms,
    time_text,
)
from l2vault.vault.store.linecheck import why_unreadable
from l2vault.vault.store.stream import GzipDamage, Line, read_lines

UNORDERED: Final[frozenset[Kind]] = frozenset({"trades"})
"""Kinds whose lines stand in the order in which they came, which is not that of their times."""

_CANDIDATES: Final = 8
"""Newest lines held while looking for a book, should the very last not read."""

T = TypeVar("T")


class PlacedLine(NamedTuple):
    """A line without its newline, and where it stands; of an archive `offset` counts in the lines it gives back."""

    text: bytes
    path: Path
    offset: int


class TimedLine(NamedTuple):
    """What is known of a line without its levels. Of an archive `offset` is 0."""

    ts_ms: int
    is_flagged: bool
    path: Path
    offset: int


class Form(Protocol):
    """One form of an hour. What cannot be read is reported, but for a file that has gone: FileNotFoundError.

    `is_newest`: the file may be being written, so that a torn last line is no finding.
    """

    def lines(self, hour: StoredHour, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
        """Those that are of the hour and do not go back in time, in order; of UNORDERED kinds as they stand there."""

    def book_at(self, hour: StoredHour, t_ms: int, with_flagged: bool, report: Report) -> Snapshot | None:
        """The last snapshot at or before a time; of those of one time the later. None if none reads."""

    def first_ms(self, hour: StoredHour) -> int | None:
        """The time of the first line; None if none can be read. Reports nothing."""


class ArchiveForm(Form, Protocol):
    """Of the archive its two files are asked, and no line is made where none is asked for."""

    def books(self, hour: StoredHour, span: tuple[int, int], report: Report) -> Iterator[Snapshot]:
        """Those with a time in the span, in order; of an hour of books."""

    def times(self, hour: StoredHour, is_newest: bool, report: Report) -> Iterator[TimedLine]:
        """Those of `lines` that read and are of the instrument."""

    def all_times(self, hour: StoredHour, report: Report) -> list[int]:
        """The time of each line, in order, as far as one of the two files can tell."""

    def make(self, layout: Layout, hour: StoredHour) -> int:
        """Archive the hour of a raw file from all its raw forms, checked; returns the size of the two files."""


_ARCHIVE: Final[dict[Literal["archive"], ArchiveForm]] = {}


def register_archive(form: ArchiveForm) -> None:
    """Once, by the package that knows all its rooms."""
    _ARCHIVE["archive"] = form


def archive_form() -> ArchiveForm:
    """What raises VaultError with the cure, at its first use, where the libraries of the archive are absent."""
    return _ARCHIVE["archive"]


def form_of(hour: StoredHour) -> Form:
    """The way to read a stored hour."""
    return archive_form() if hour.form == "archive" else _RAW


def hour_lines(catalog: Catalog, forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
    """The lines of an hour, each once, in order of time; of UNORDERED kinds as they stand in the files.

    A file that retention compresses meanwhile is found again in its new form.
    """
    return _read_on(catalog, forms, lambda forms: _merged(forms, is_newest, report), report)


def hour_times(
    catalog: Catalog, forms: HourForms, is_newest: bool, report: Report, since_ms: int | None = None
) -> Iterator[TimedLine]:
    """Time and flag of each line of an hour that reads and is of the instrument, in order of time.

    Lines before `since_ms` need not be looked at as a whole: of them the time is enough.
    """

    def times(forms: HourForms) -> Iterator[TimedLine]:
        if forms.archive is not None and not forms.raw:
            return archive_form().times(forms.archive, is_newest, report)
        return _times_in(_merged(forms, is_newest, report), forms, report, since_ms)

    return _read_on(catalog, forms, times, report)


def hour_books(
    catalog: Catalog, forms: HourForms, span: tuple[int, int], is_newest: bool, report: Report
) -> Iterator[Snapshot]:
    """The books of the lines of an hour that read and have a time in the span, in order of time."""
    first, last = map(as_time_text, span)

    def books(forms: HourForms) -> Iterator[Snapshot]:
        if forms.archive is not None and not forms.raw:
            return archive_form().books(forms.archive, span, report)
        lines = (line for line in _merged(forms, is_newest, report) if first <= time_text(line.text) < last)
        found = (snapshot_of(line, forms.inst_id, report) for line in lines)
        return (book for book in found if book is not None)

    return _read_on(catalog, forms, books, report)


def hour_book(catalog: Catalog, forms: HourForms, t_ms: int, with_flagged: bool, report: Report) -> Snapshot | None:
    """The last snapshot of an hour at or before a time, flagged ones only where asked for; None if none reads."""

    def book(forms: HourForms) -> Iterator[Snapshot | None]:
        if len(forms.every) == 1:
            yield form_of(forms.every[0]).book_at(forms.every[0], t_ms, with_flagged, report)
        else:
            yield _book_in(_merged(forms, True, report), forms.inst_id, t_ms, with_flagged, report)

    return next(_read_on(catalog, forms, book, report), None)


def first_ms(forms: HourForms) -> int | None:
    """The time of the first line of an hour; None if it has none that can be read."""
    firsts = (form_of(stored).first_ms(stored) for stored in forms.every)
    return min((first for first in firsts if first is not None), default=None)


def row_of(line: PlacedLine, inst_id: str, decode: Callable[[bytes], R], report: Report) -> R | None:
    """What a line holds; None, and a finding, for one that does not read or is of another instrument."""
    try:
        return read_as(line.text, inst_id, decode)
    except LineError as error:
        report(Finding(line.path, line.offset, error.message))
        return None


def snapshot_of(line: PlacedLine, inst_id: str, report: Report) -> Snapshot | None:
    """The same of a line of books."""
    return row_of(line, inst_id, from_line, report)


def _read_on(
    catalog: Catalog, forms: HourForms, read: Callable[[HourForms], Iterator[T]], report: Report
) -> Iterator[T]:
    """What is read of the forms; where one of their files has gone, the rest from what there is of the hour then."""
    given = 0
    while True:
        try:
            for each in islice(read(forms), given, None):
                given += 1
                yield each
        except FileNotFoundError as error:
            found = catalog.hour(forms.inst_id, forms.hour_ms)
            if _paths(found) == _paths(forms):  # not moved but gone, as one of an archive's two files may be
                path = Path(error.filename) if error.filename else _paths(forms)[0]
                report(Finding(path, 0, "a file of this hour is missing", is_of_file=True))
                return
            forms = found
        else:
            return


def _paths(forms: HourForms) -> list[Path]:
    return [stored.path for stored in forms.every]


def _merged(forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
    """In order of time, or file after file; the same line in two files is given once."""
    streams = [form_of(stored).lines(stored, is_newest, report) for stored in forms.every]
    if len(streams) == 1:
        yield from streams[0]
        return
    if forms.kind in UNORDERED:
        yield from _one_after_the_other(streams)
        return
    time = b""
    seen: dict[bytes, Path] = {}
    for line in heapq.merge(*streams, key=lambda line: time_text(line.text)):
        if time_text(line.text) != time:
            time = time_text(line.text)
            seen.clear()
        if seen.setdefault(line.text, line.path) == line.path:
            yield line


def _one_after_the_other(streams: Iterable[Iterator[PlacedLine]]) -> Iterator[PlacedLine]:
    """A line that stands in an earlier file too is the same one; in one file it may stand twice."""
    known: set[bytes] = set()
    for stream in streams:
        here: set[bytes] = set()
        for line in stream:
            if line.text not in known:
                here.add(line.text)
                yield line
        known |= here


def _times_in(
    lines: Iterable[PlacedLine], forms: HourForms, report: Report, since_ms: int | None
) -> Iterator[TimedLine]:
    """Only lines of books have a flag, and are looked at as a whole."""
    is_of_books = forms.kind == "books"
    since = b"" if since_ms is None else as_time_text(since_ms)
    for line in lines:
        is_looked_at = is_of_books and time_text(line.text) >= since
        reason = why_unreadable(line.text, forms.inst_id) if is_looked_at else ""
        if reason:
            report(Finding(line.path, line.offset, reason))
        else:
            flag = is_of_books and is_flagged(line.text)
            yield TimedLine(time_ms(line.text), flag, line.path, line.offset)


def _book_in(
    lines: Iterable[PlacedLine], inst_id: str, t_ms: int, with_flagged: bool, report: Report
) -> Snapshot | None:
    last = as_time_text(t_ms)
    candidates: deque[PlacedLine] = deque(maxlen=_CANDIDATES)
    for line in lines:
        if time_text(line.text) > last:
            break
        if with_flagged or not is_flagged(line.text):
            candidates.append(line)
    found = (snapshot_of(line, inst_id, report) for line in reversed(candidates))
    return next((snapshot for snapshot in found if snapshot is not None), None)


class _Raw:
    """A `.jsonl` or a `.jsonl.gz`: everything is read from its lines."""

    def lines(self, hour: StoredHour, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
        """What there is beside those lines is reported."""
        start = start_in_hour(hour.hour_ms)
        newest, end = b"", 0
        is_being_written = is_newest and (hour.form == "plain" or hour.kind in WRITTEN_AS_GZIP)
        trouble = why_no_file(hour.path)
        if trouble:
            report(Finding(hour.path, 0, trouble, is_of_file=True))
            return
        try:
            for line in read_lines(hour.path):
                text = line.text
                end = line.offset + len(text or b"") + 1
                time = time_in_hour(text, start) if text is not None and line.is_ended else None
                if text is not None and time is not None and (time >= newest or hour.kind in UNORDERED):
                    newest = time
                    yield PlacedLine(text, hour.path, line.offset)
                elif line.is_ended or text is None or not (is_newest and hour.form == "plain"):
                    claimed_ms = None if text is None or time is None else time_ms(text)
                    report(Finding(hour.path, line.offset, _objection(line, time, newest), claimed_ms))
        except GzipDamage as damage:
            if not (damage.is_cut_short and is_being_written):
                report(Finding(hour.path, end, damage.what, is_of_file=not damage.is_cut_short))
        except FileNotFoundError:  # in another form meanwhile
            raise
        except OSError as error:
            report(Finding(hour.path, end, f"cannot be read: {error.strerror or error}", is_of_file=True))

    def book_at(self, hour: StoredHour, t_ms: int, with_flagged: bool, report: Report) -> Snapshot | None:
        return _book_in(self.lines(hour, True, report), hour.inst_id, t_ms, with_flagged, report)

    def first_ms(self, hour: StoredHour) -> int | None:
        first = next(self.lines(hour, False, unreported), None)
        return None if first is None else time_ms(first.text)


_RAW: Final = _Raw()


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


def _objection(line: Line, time: bytes | None, newest: bytes) -> str:
    """Why this is no line of its hour; `time` is its own, where that is of the hour."""
    if line.text is None:
        return "not a snapshot line: far too long"
    if not line.is_ended:
        return "a torn line, without its end"
    if not has_time(line.text):
        return "not a snapshot line"
    if time is None:
        return f"a line of another hour, {time_text(line.text).decode()}"
    return f"a line that goes back in time, {time.decode()} after {newest.decode()}"
