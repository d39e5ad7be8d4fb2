"""The live tail of one instrument: each new line as the recorder writes it, across hours and compression.

A file is open only for the moment of reading, so that no retention is refused because of a reader (Windows).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.book.utc import utc_text
from l2vault.errors import LineError
from l2vault.vault.files import TIME, Finding, Findings, PlacedLine, has_time, hour_forms, hour_lines
from l2vault.vault.layout import HOUR_MS, Layout

POLL_SEC: Final = 0.2

_TAIL_BYTES: Final = 1 << 20
"""Read at a time. A line has at most 50 KB, so its end is found in as much."""


@dataclass(slots=True)
class _Cursor:
    """How far an hour has been read: `offset` bytes of its `.jsonl`, and the newest lines, to find the place again."""

    hour_ms: int
    offset: int = 0
    time: bytes = b""
    texts: set[bytes] = field(default_factory=set)
    is_closed: bool = False
    """The `.jsonl` is gone and what took its place has been read."""

    def take(self, text: bytes) -> bool:
        """Whether the line is new, as far as its time can tell. Lines of an hour come in order of time."""
        if not has_time(text):
            return True
        if text[TIME] < self.time or text in self.texts:
            return False
        if text[TIME] > self.time:
            self.time = text[TIME]
            self.texts.clear()
        self.texts.add(text)
        return True


class Follow(Iterator[Snapshot]):
    """Snapshots for ever: iterate it. `findings` has what could not be read.

    Begins behind what is there, or with `since_ms` at the first line of that time or later. Where there is nothing new,
    `sleep` is called with `poll_sec`; what it raises ends the iteration.
    """

    def __init__(
        self, layout: Layout, inst_id: str, since_ms: int | None, poll_sec: float, sleep: Callable[[float], None]
    ) -> None:
        self._layout = layout
        self._inst_id = inst_id
        self._since_ms = since_ms
        self._poll_sec = poll_sec
        self._sleep = sleep
        self._snapshots = self._run()
        self.findings = Findings()

    def __next__(self) -> Snapshot:
        return next(self._snapshots)

    def _run(self) -> Iterator[Snapshot]:
        for line in self._lines():
            try:
                snapshot = from_line(line.text)
            except LineError as error:
                self.findings.report(Finding(line.path, line.offset, error.message))
                continue
            if self._since_ms is None or snapshot.ts_ms >= self._since_ms:
                yield snapshot

    def _lines(self) -> Iterator[PlacedLine]:
        cursor = self._begin()
        while True:
            # Looked for first: once a later hour has begun, what the reading below finds is all of this one.
            later_ms = self._hour_after(cursor.hour_ms)
            is_idle = True
            for line in self._appended(cursor):
                is_idle = False
                yield line
            if later_ms is not None:
                self._report_torn(cursor)
                cursor = _Cursor(later_ms)
            elif is_idle:
                self._sleep(self._poll_sec)

    def _begin(self) -> _Cursor:
        if self._since_ms is not None:
            return _Cursor(self._since_ms // HOUR_MS * HOUR_MS)
        newest_ms = 0
        while (later_ms := self._hour_after(newest_ms)) is not None:
            newest_ms = later_ms
        cursor = _Cursor(newest_ms)
        for _ in self._appended(cursor):
            pass
        return cursor

    def _appended(self, cursor: _Cursor) -> Iterator[PlacedLine]:
        """The whole lines that have come since; one whose end is still to come is left for the next time."""
        path = self._plain(cursor)
        while True:
            try:
                chunk = _read(path, cursor.offset)
            except FileNotFoundError:
                yield from self._moved(cursor)
                return
            whole, newline, _ = chunk.rpartition(b"\n")
            if not newline:
                return
            for text in whole.split(b"\n"):
                offset, cursor.offset = cursor.offset, cursor.offset + len(text) + 1
                if cursor.take(text):
                    yield PlacedLine(text, path, offset)
                else:
                    self.findings.report(Finding(path, offset, "a line that goes back in time or stands twice"))

    def _moved(self, cursor: _Cursor) -> Iterator[PlacedLine]:
        """The `.jsonl` has been compressed, or not been begun: what it held beyond the cursor, in whatever form."""
        forms = hour_forms(self._layout, self._inst_id, cursor.hour_ms)
        if cursor.is_closed or not (forms.raw or forms.archive):
            return
        cursor.is_closed = True
        for line in hour_lines(self._layout, forms, False, self.findings.report):
            if cursor.take(line.text):
                yield line

    def _report_torn(self, cursor: _Cursor) -> None:
        path = self._plain(cursor)
        try:
            is_torn = bool(_read(path, cursor.offset))
        except FileNotFoundError:
            return
        if is_torn:
            self.findings.report(Finding(path, cursor.offset, "a torn line, without its end"))

    def _hour_after(self, hour_ms: int) -> int | None:
        """The next hour of which there is a raw file."""
        folder = self._layout.instrument_folder(self._inst_id)
        date = utc_text(hour_ms)[:10]
        days = sorted(path for path in folder.glob("????-??-??") if path.name >= date)
        for day in days:
            files = [file for path in day.glob("*.jsonl*") if (file := self._layout.parse_hour_file(path)) is not None]
            later = [file.hour_ms for file in files if file.hour_ms > hour_ms]
            if later:
                return min(later)
        return None

    def _plain(self, cursor: _Cursor) -> Path:
        return self._layout.hour_file(self._inst_id, cursor.hour_ms)


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(_TAIL_BYTES)
