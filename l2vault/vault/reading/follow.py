"""The live tail of one instrument: each new line as the recorder writes it, across hours and compression; of books, of
the context, and of trades, whose lines have no order of time.

Each line comes once, whatever becomes of its file meanwhile: one that shrinks or is replaced is read again from its
beginning, and what had been given is known. What cannot be given in order of time is a finding: also what comes to an
hour, or is altered in it, once the next hour has begun (`followed_hours`). A file is open only for the moment of
reading, so that no retention is refused because of a reader (Windows).
"""

import errno
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.book.trade import Numberings, TradePush, trade_from_line
from l2vault.errors import LineError
from l2vault.vault.reading.followed_hours import FollowedHours, identity
from l2vault.vault.reading.trades import OnceById, TradeRow
from l2vault.vault.store.catalog import Catalog, Finding, Findings
from l2vault.vault.store.forms import UNORDERED, PlacedLine, hour_lines, why_no_file
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.line import has_time, start_in_hour, time_text

POLL_SEC: Final = 0.2


class Row(Protocol):
    """What a line of any kind holds."""

    @property
    def ts_ms(self) -> int: ...


R = TypeVar("R", bound=Row)


_TAIL_BYTES: Final = 1 << 20
"""Read at a time. A line has at most 50 KB, so its end is found in as much."""
_ANCHOR_BYTES: Final = 512
"""The end of a line has its `seqId` and checksum, which tell it from all others."""


@dataclass(slots=True)
class _Cursor:
    """How far an hour has been read: `offset` bytes of its `.jsonl`, of which `anchor` are the last ones; the lines
    that were given, and the time of the newest."""

    hour_ms: int
    offset: int = 0
    anchor: bytes = b""
    time: bytes = b""
    given: set[int] = field(default_factory=set)
    """Hashes of the lines: of an hour at most 36,000."""
    passed_over: set[int] = field(default_factory=set)
    """Of those that were met and not given, or are no lines of this hour."""
    begun: bytes = b""
    """The newest time that was there when following began: earlier lines are none of its."""
    other_forms: tuple[tuple[Path, int, int], ...] = ()
    """The `.jsonl.gz` and the archive that have been read, each with size and time of modification."""
    is_new: bool = True
    is_in_long_line: bool = False

    def place(self, offset: int, anchor: bytes) -> None:
        self.offset, self.anchor = offset, anchor[-_ANCHOR_BYTES:]

    def take(self, text: bytes, is_alone: bool, is_ordered: bool) -> Literal["new", "known", "late"]:
        """What the line is, as far as its time can tell, where lines of an hour come in order of time.

        One that is not `is_alone` has more before it in its row, so that nobody else reads it there.
        """
        key = hash(text)
        if key in self.given or key in self.passed_over:
            return "known"
        if not has_time(text):
            self.passed_over.add(key)
            return "new"
        time = time_text(text)
        if time < self.time and is_ordered:
            self.passed_over.add(key)
            return "known" if time <= self.begun else "late"
        self.time = max(time, self.time)
        is_own = is_alone and text.startswith(start_in_hour(self.hour_ms))
        (self.given if is_own else self.passed_over).add(key)
        return "new"


class FollowLines(Iterator[R]):
    """The rows of one kind, that of the layout, for ever: iterate it. `findings` has what could not be read, or not in
    order of time.

    Begins behind what is there, or with `since_ms` at the first line of that time or later. Where there is nothing new,
    `sleep` is called with `poll_sec`; what it raises ends the iteration.
    """

    def __init__(
        self,
        layout: Layout,
        inst_id: str,
        since_ms: int | None,
        poll_sec: float,
        sleep: Callable[[float], None],
        decode: Callable[[bytes], R],
    ) -> None:
        self._decode = decode
        self._is_ordered = layout.kind not in UNORDERED
        self._late: list[PlacedLine] = []
        """Lines without an order that came to an hour after the next one had begun."""
        self._layout = layout
        self._catalog = Catalog(layout)
        self._inst_id = inst_id
        self._since_ms = since_ms
        self._poll_sec = poll_sec
        self._sleep = sleep
        self._rows = self._run()
        self._refused: set[tuple[Path, str]] = set()
        take_late = None if self._is_ordered else self._late.append
        self._left = FollowedHours(layout, inst_id, self._report_once, take_late)
        self.findings = Findings()

    def __next__(self) -> R:
        while (row := next(self._rows)) is None:
            self._sleep(self._poll_sec)
        return row

    def ready(self) -> Iterator[R]:
        """What has come since, without waiting; ends where there is nothing new, and can be asked for again."""
        while (row := next(self._rows)) is not None:
            yield row

    def _run(self) -> Iterator[R | None]:
        """None wherever there is nothing new."""
        for line in self._lines():
            if line is None:
                yield None
                continue
            try:
                row = self._decode(line.text)
            except LineError as error:
                self._report(line.path, line.offset, error.message)
                continue
            if self._since_ms is None or row.ts_ms >= self._since_ms:
                yield row

    def _lines(self) -> Iterator[PlacedLine | None]:
        cursor = self._begin()
        while True:
            # Looked for first: once a later hour has begun, what the reading below finds is all of this one.
            later_ms = next(self._catalog.raw_hours(self._inst_id, cursor.hour_ms), None)
            is_idle = True
            for line in self._appended(cursor):
                is_idle = False
                yield line
            self._left.look(cursor.hour_ms, self._hours_between)
            yield from self._late
            self._late.clear()
            if later_ms is not None:
                self._report_torn(cursor)
                self._leave(cursor)
                cursor = _Cursor(later_ms)
            elif is_idle:
                yield None

    def _begin(self) -> _Cursor:
        if self._since_ms is not None:
            return _Cursor(self._since_ms // HOUR_MS * HOUR_MS)
        cursor = _Cursor(self._catalog.newest_raw_hour(self._inst_id) or 0)
        for _ in self._appended(cursor):
            pass
        cursor.begun = cursor.time
        return cursor

    def _appended(self, cursor: _Cursor) -> Iterator[PlacedLine]:
        """The whole lines that have come since; one whose end is still to come is left for the next time."""
        path = self._plain(cursor)
        if cursor.is_new:  # a `.jsonl` may go on where a `.jsonl.gz` ends
            cursor.is_new = False
            yield from self._in_other_forms(cursor)
        while True:
            try:
                chunk = _read(path, cursor)
            except FileNotFoundError:
                yield from self._in_other_forms(cursor)
                return
            except OSError as error:
                self._report_once(Finding(path, cursor.offset, f"a file that cannot be read: {error.strerror}"))
                return
            if chunk is None:
                self._report(path, cursor.offset, "the file became shorter or another one than had been read so far")
                cursor.place(0, b"")
                continue
            lines = self._whole_lines(cursor, path, chunk)
            if lines is None:
                return
            yield from lines

    def _whole_lines(self, cursor: _Cursor, path: Path, chunk: bytes) -> Iterator[PlacedLine] | None:
        """Those of a chunk read at the cursor; None if it has no end of a line."""
        whole, newline, _ = chunk.rpartition(b"\n")
        if newline:
            return self._taken(cursor, path, whole.split(b"\n"))
        if len(chunk) < _TAIL_BYTES:
            return None
        if not cursor.is_in_long_line:
            self._report(path, cursor.offset, "not a snapshot line: far too long")
        cursor.is_in_long_line = True
        cursor.place(cursor.offset + len(chunk), chunk)
        return iter(())

    def _taken(self, cursor: _Cursor, path: Path, texts: list[bytes]) -> Iterator[PlacedLine]:
        for text in texts:
            offset = cursor.offset
            cursor.place(offset + len(text) + 1, text + b"\n")
            if cursor.is_in_long_line:  # its end
                cursor.is_in_long_line = False
                continue
            line = text.lstrip(b"\0")
            if len(line) < len(text):
                self._report(path, offset, f"{len(text) - len(line)} bytes of nothing, as a power cut leaves them")
                offset += len(text) - len(line)
            yield from self._new(cursor, PlacedLine(line, path, offset), line == text)

    def _new(self, cursor: _Cursor, line: PlacedLine, is_alone: bool = True) -> Iterator[PlacedLine]:
        what = cursor.take(line.text, is_alone, self._is_ordered) if line.text else "known"
        if what == "new":
            yield line
        elif what == "late":
            self._report(line.path, line.offset, "a line that goes back in time")

    def _in_other_forms(self, cursor: _Cursor) -> Iterator[PlacedLine]:
        """What the hour holds beyond the cursor once it is, or was before, compressed or archived."""
        forms = self._catalog.hour(self._inst_id, cursor.hour_ms)
        others = (stored.path for stored in forms.every if stored.form != "plain")
        found = tuple(each for path in others if (each := identity(path)) is not None)
        if not found or found == cursor.other_forms:
            return
        cursor.other_forms = found
        cursor.place(0, b"")  # a `.jsonl` that comes from now on is another one
        for line in hour_lines(self._catalog, forms, True, self.findings.report):
            yield from self._new(cursor, line)

    def _leave(self, cursor: _Cursor) -> None:
        state = self._left.state(cursor.hour_ms)
        read = {path: size for path, size, _ in cursor.other_forms} | {self._plain(cursor): cursor.offset}
        is_all_read = all(read.get(path) == size for path, size, _ in state)
        self._left.add(cursor.hour_ms, cursor.given, cursor.passed_over, state if is_all_read else None)

    def _report_torn(self, cursor: _Cursor) -> None:
        if self._tail(cursor):
            self._report(self._plain(cursor), cursor.offset, "a torn line, without its end")

    def _tail(self, cursor: _Cursor) -> bytes:
        """What stands behind the cursor; nothing where that cannot be told."""
        try:
            return _read(self._plain(cursor), cursor) or b""
        except OSError:
            return b""

    def _report(self, path: Path, offset: int, reason: str) -> None:
        self.findings.report(Finding(path, offset, reason))

    def _report_once(self, finding: Finding) -> None:
        """Of what would be found again at every look."""
        if (finding.path, finding.reason) not in self._refused:
            self._refused.add((finding.path, finding.reason))
            self.findings.report(finding)

    def _hours_between(self, first_ms: int, last_ms: int) -> list[int]:
        """Both ends left out."""
        return list(takewhile(lambda hour_ms: hour_ms < last_ms, self._catalog.raw_hours(self._inst_id, first_ms)))

    def _plain(self, cursor: _Cursor) -> Path:
        return self._layout.hour_file(self._inst_id, cursor.hour_ms)


class Follow(FollowLines[Snapshot]):
    """Snapshots."""

    def __init__(
        self, layout: Layout, inst_id: str, since_ms: int | None, poll_sec: float, sleep: Callable[[float], None]
    ) -> None:
        super().__init__(layout, inst_id, since_ms, poll_sec, sleep, from_line)


class FollowTrades(Iterator[TradeRow]):
    """Rows of trades in the order in which they came, each id once; what REST brings into an hour before, too."""

    def __init__(
        self, layout: Layout, inst_id: str, since_ms: int | None, poll_sec: float, sleep: Callable[[float], None]
    ) -> None:
        of_trades = layout.of("trades")
        self._pushes = FollowLines(of_trades, inst_id, since_ms, poll_sec, sleep, trade_from_line)
        self._numberings = Numberings()
        self._once = OnceById()
        self._waiting: deque[TradeRow] = deque()

    @property
    def findings(self) -> Findings:
        """What could not be read."""
        return self._pushes.findings

    def __next__(self) -> TradeRow:
        while not self._waiting:
            self._take(next(self._pushes))
        return self._waiting.popleft()

    def ready(self) -> Iterator[TradeRow]:
        """What has come since, without waiting; ends where there is nothing new, and can be asked for again."""
        for push in self._pushes.ready():
            self._take(push)
            while self._waiting:
                yield self._waiting.popleft()

    def _take(self, push: TradePush) -> None:
        self._numberings.see(push)
        self._waiting += self._once.take(push, self._numberings.of(push.ts_ms))


def _read(path: Path, cursor: _Cursor) -> bytes | None:
    """What stands behind the cursor; None if what stands before it is no longer what was read."""
    trouble = why_no_file(path)
    if trouble:  # a pipe, for one, would be waited for
        raise OSError(errno.EINVAL, trouble)
    with path.open("rb") as file:
        file.seek(cursor.offset - len(cursor.anchor))
        found = file.read(len(cursor.anchor) + _TAIL_BYTES)
    return found[len(cursor.anchor) :] if found.startswith(cursor.anchor) else None
