"""The live tail of an instrument's changes: the book after each new push, out of a gzip file that is being written.

Shows itself to the recorder, which then brings the file up to date five times a second. A file is open only for the
moment of reading. What does not read is a finding.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

from l2vault.book.change_line import from_change_line
from l2vault.book.replay import Replay
from l2vault.book.snapshot import Snapshot
from l2vault.errors import LineError
from l2vault.vault.store.catalog import Catalog, Finding, Findings
from l2vault.vault.store.follower import TOUCH_SEC, touch
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path

_CHUNK_BYTES: Final = 1 << 18
_GZIP_WBITS: Final = 31


class _GrowingGzip:
    """The lines of a file that grows, each once, also where a recovery cut its end and completed it."""

    def __init__(self, layout: Layout, inst_id: str, hour_ms: int) -> None:
        self.path = packed_path(layout.hour_file(inst_id, hour_ms))
        self.hour_ms = hour_ms
        self._given = 0
        self._begin()

    def _begin(self) -> None:
        self._offset = self._seen = self._at = 0
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._rest = b""

    def new_lines(self) -> list[tuple[int, bytes]]:
        """Those that came since the last call, each with its offset in the contents. Raises OSError where the file
        cannot be read."""
        try:
            return list(self._read())
        except zlib.error:  # what was read before was cut, and other bytes stand there now
            self._begin()
            return list(self._read())

    def _read(self) -> Iterator[tuple[int, bytes]]:
        with self.path.open("rb") as file:
            if file.seek(0, 2) < self._offset:
                self._begin()
            file.seek(self._offset)
            while data := file.read(_CHUNK_BYTES):
                self._offset += len(data)
                yield from self._lines(data)

    def _lines(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP_WBITS)
            *ended, self._rest = (self._rest + self._member.decompress(data)).split(b"\n")
            data = self._member.unused_data
            for line in ended:
                at, self._at = self._at, self._at + len(line) + 1
                self._seen += 1
                if self._seen > self._given:
                    self._given = self._seen
                    yield at, line


class FollowChanges(Iterator[Snapshot]):
    """Books for ever: iterate it. `findings` has what could not be read.

    Begins behind what is there, or with `since_ms` at the first push of that time or later. Where there is nothing new,
    `sleep` is called with `poll_sec`; what it raises ends the iteration.
    """

    def __init__(
        self, layout: Layout, inst_id: str, since_ms: int | None, poll_sec: float, sleep: Callable[[float], None]
    ) -> None:
        self._layout = layout
        self._catalog = Catalog(layout.of("changes"))
        self._inst_id = inst_id
        self._since_ms = since_ms
        self._poll_sec = poll_sec
        self._sleep = sleep
        self._replay = Replay()
        self._books = self._run()
        self.findings = Findings()

    def __next__(self) -> Snapshot:
        return next(self._books)

    def _run(self) -> Iterator[Snapshot]:
        touch(self._layout)
        untouched_sec = 0.0
        file = self._first()
        if self._since_ms is None:
            for _ in self._new(file):
                pass
        while True:
            # Looked for first: once a later hour has begun, what the reading below finds is all of this one.
            later_ms = next(self._catalog.raw_hours(self._inst_id, file.hour_ms), None)
            is_idle = True
            for snapshot in self._new(file):
                is_idle = False
                yield snapshot
            if later_ms is not None:
                file = self._file(later_ms)
            elif is_idle:
                self._sleep(self._poll_sec)
                untouched_sec += self._poll_sec
            if untouched_sec >= TOUCH_SEC:
                untouched_sec = 0.0
                touch(self._layout)

    def _first(self) -> _GrowingGzip:
        if self._since_ms is not None:
            return self._file(self._since_ms // HOUR_MS * HOUR_MS)
        return self._file(self._catalog.newest_raw_hour(self._inst_id) or 0)

    def _file(self, hour_ms: int) -> _GrowingGzip:
        return _GrowingGzip(self._catalog.layout, self._inst_id, hour_ms)

    def _new(self, file: _GrowingGzip) -> Iterator[Snapshot]:
        try:
            lines = file.new_lines()
        except FileNotFoundError:
            return
        except (OSError, zlib.error) as error:
            self.findings.report(Finding(file.path, 0, f"a file that cannot be read: {error}", is_of_file=True))
            return
        for at, line in lines:
            try:
                recorded = from_change_line(line)
            except LineError as error:
                self.findings.report(Finding(file.path, at, error.message))
                continue
            follows, had_book = self._replay.follows(recorded), self._replay.book is not None
            if self._replay.apply(recorded) == "refused" and had_book:
                self.findings.report(Finding(file.path, at, f"a change that fits no book: {self._replay.why_refused}"))
            is_push = recorded.origin != "book" or not follows
            if self._replay.book is not None and is_push and recorded.ts_ms >= (self._since_ms or 0):
                yield self._replay.snapshot(self._inst_id)
