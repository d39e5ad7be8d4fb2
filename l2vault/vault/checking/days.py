"""The vault's day files re-checked, liquidations and OKX's announcements: each line against its form, its day and the
order in which it was received.

Their times are in no order, and the journal notes no contents of them: what is gone whole does not show.
"""

from collections.abc import Callable, Generator, Iterator
from functools import cached_property
from typing import Final

from l2vault.book.day_lines import DayLine, read_day_line
from l2vault.book.utc import DAY_MS, utc_ms, utc_text
from l2vault.errors import LineError
from l2vault.vault.checking.rows import Trouble, of_form
from l2vault.vault.journal.events import ClockStepped, Started
from l2vault.vault.journal.lines import read_journal
from l2vault.vault.store.days import DAY_KINDS, DayFile, day_files
from l2vault.vault.store.layout import HOUR_MS, DayKind, Layout
from l2vault.vault.store.stream import GzipDamage, Line, read_lines

BACK_MS: Final = 5_000
"""Our clock may go back by so much unnoted (`recording.sleepwatch`)."""
_NEAR_MS: Final = 60_000
"""A step of our clock is noted within that, by the clock before or after it."""


class DayCheck:
    """One walk through the day files; `files`, `lines`, `bytes_read` count what was checked."""

    def __init__(self, layout: Layout, now_ms: int) -> None:
        self._layout = layout
        self._now_ms = now_ms
        self.files = 0
        self.lines = 0
        self.bytes_read = 0

    def run(self, on_file: Callable[[DayFile], None] = lambda file: None) -> Iterator[Trouble]:
        """Kind by kind, oldest day first. `on_file` is told of each file before it is read."""
        for kind in DAY_KINDS:
            day_ms, packed = None, set[bytes]()
            for file in day_files(self._layout, kind):
                on_file(file)
                self.files += 1
                self.bytes_read += file.size_bytes
                if file.day_ms != day_ms:
                    day_ms, packed = file.day_ms, set()
                try:
                    yield from self._file(kind, file, packed)
                except FileNotFoundError:  # compressed or deleted meanwhile
                    continue
                except OSError as error:
                    yield Trouble(file.path, None, "unreadable", str(error))

    def _file(self, kind: DayKind, file: DayFile, packed: set[bytes]) -> Iterator[Trouble]:
        """`packed` has the lines of the day's compressed form, and is given them."""
        offset, received_us, repeated = 0, 0, 0
        try:
            for line in read_lines(file.path):
                self.lines += 1
                offset = line.offset
                if line.text is not None and line.text in packed and not file.is_compressed:
                    repeated += 1
                    continue
                if file.is_compressed and line.text is not None:
                    packed.add(line.text)
                found = yield from self._line(kind, file, line)
                if found is not None:
                    yield from self._order(file, line, received_us, found.recv_us)
                    received_us = found.recv_us
        except GzipDamage as damage:
            yield Trouble(file.path, offset, "gzip", f"{damage.what}, after the line at this offset")
        if repeated:
            text = f"{repeated} of its lines stand in its .gz too; `l2vault retain` makes the two one"
            yield Trouble(file.path, None, "double", text)

    def _line(self, kind: DayKind, file: DayFile, line: Line) -> Generator[Trouble, None, DayLine | None]:
        """Returns what stands in it, None for nothing that reads."""
        if line.text is None:
            yield Trouble(file.path, line.offset, "line", "far too long for a line of the vault")
            return None
        if not line.is_ended:
            if file.is_compressed or self._now_ms >= file.day_ms + DAY_MS + HOUR_MS:
                yield Trouble(file.path, line.offset, "torn", "the last line lacks its end")
            return None
        try:
            found = read_day_line(kind, line.text)
        except LineError as error:
            is_cut = line.text.startswith(b"{") and not line.text.endswith(b"}")
            text = "the line lacks its end: it was being written when a run was killed" if is_cut else error.message
            yield Trouble(file.path, line.offset, "torn" if is_cut else "line", text)
            return None
        for objection, text in of_form(line.text, found.canonical):
            yield Trouble(file.path, line.offset, objection, text)
        if found.ts_ms // DAY_MS * DAY_MS != file.day_ms:
            yield Trouble(file.path, line.offset, "misplaced", f"a line of another day, {utc_text(found.ts_ms)}")
        return found

    def _order(self, file: DayFile, line: Line, before_us: int, after_us: int) -> Iterator[Trouble]:
        before_ms, after_ms = before_us // 1000, after_us // 1000
        if before_ms - after_ms < BACK_MS:
            return
        if not any(after_ms - _NEAR_MS <= at_ms <= before_ms + _NEAR_MS for at_ms in self._clock_changes):
            text = f"received at {utc_text(after_ms)}, behind a line received at {utc_text(before_ms)}"
            yield Trouble(file.path, line.offset, "order", text)

    @cached_property
    def _clock_changes(self) -> list[int]:
        """When our clock was set while recording, or may have been before a start."""
        events = (event for event in read_journal(self._layout) if isinstance(event, ClockStepped | Started))
        return [utc_ms(event.at) for event in events]
