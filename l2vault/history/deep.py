"""A file of 5000 levels as deep books of the archive's vault: a sample each 30 s, as a recorder takes them of REST.

The law is the sampler's at the pace of deep books; every hour begins with a whole sample, so that it reads alone. A
deep book has no state but being there: samples of a stretch that the file's next full book denies are left out.
"""

from collections.abc import Callable, Iterable
from typing import Final

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.deep import DEEP_DEPTH, DEEP_EVERY_MS, DeepLevel, DeepSample, deep_line_of
from l2vault.book.sampler import due_grid_time
from l2vault.book.utc import HOUR_MS, utc_text
from l2vault.errors import LineError
from l2vault.history.books import NO_BOOK, SILENCE, DayReport, time_within
from l2vault.history.hours import Draft, HourKeeper, HourNote
from l2vault.history.naming import Wanted
from l2vault.history.rows import EVERY_LEVEL, apply_line, change_of, is_same_book
from l2vault.vault.coverage.sync_history import UNVERIFIABLE
from l2vault.vault.journal.merge_events import Merged, MergedSpan

_EVERY_LINES = 5_000
_MOST_UNPROVED: Final = 120
"""Samples that wait for a full book, which OKX has every 15 minutes: an hour of them, some 100 MB."""


class DeepDay:
    """Reads one file; holds one hour's file open, and samples until a full book proves them."""

    def __init__(self, wanted: Wanted, keeper: HourKeeper, sha256: str, report: DayReport) -> None:
        self._wanted = wanted
        self._keeper = keeper
        self._files = {wanted.name: sha256}
        self._book = Book()
        self._draft: Draft | None = None
        self._hour_ms = -1
        self._before: DeepSample | None = None
        self._times: list[int] = []
        self._unproved: list[DeepSample] = []
        self._whole_ms = 0
        self._denied: list[tuple[int, int]] = []
        self.report = report

    def read(self, lines: Iterable[bytes], progress: Callable[[int], None]) -> None:
        """All lines. Raises LineError, with the number of the line; hours before it are kept."""
        for number, line in enumerate(lines, 1):
            try:
                change = change_of(line, self._wanted.inst_id)
                ts_ms = time_within(change, self._wanted.span, self._book.ts_ms)
                due_ms = due_grid_time(self._book.ts_ms, ts_ms, DEEP_EVERY_MS)
                if due_ms is not None:
                    self._sample()
                if change.is_snapshot:
                    self._check(change)
                if change.is_snapshot or self._book.ts_ms is not None:
                    apply_line(self._book, change)
            except LineError as error:
                raise LineError(f"line {number}: {error}") from error
            self.report.lines += 1
            if number % _EVERY_LINES == 0:
                progress(ts_ms)
        self._write_samples()  # nothing behind the last full book says otherwise
        self._keep()

    def drop(self) -> None:
        """Leave nothing of an hour that is not kept yet."""
        if self._draft is not None:
            self._draft.drop()
            self._draft = None

    def _sample(self) -> None:
        bids, asks = (_deep(side) for side in self._book.top(DEEP_DEPTH))
        sample = DeepSample(self._wanted.inst_id, self._book.ts_ms or 0, bids, asks, None, 0)
        if not sample.fault:
            self._unproved.append(sample)
        if len(self._unproved) >= _MOST_UNPROVED:
            self._write_samples()

    def _check(self, change: BookChange) -> None:
        """A full book of the file against the one that was rebuilt up to it."""
        if self._book.ts_ms is not None:
            whole = Book()
            apply_line(whole, change)
            self.report.whole += 1
            if is_same_book(self._book.top(EVERY_LEVEL), whole.top(EVERY_LEVEL)):
                self.report.rebuilt += 1
                self._write_samples()
            else:
                self._unproved.clear()
                self._denied.append((self._whole_ms, change.ts_ms or 0))
        self._whole_ms = change.ts_ms or 0

    def _write_samples(self) -> None:
        for sample in self._unproved:
            hour_ms = sample.ts_ms // HOUR_MS * HOUR_MS
            if hour_ms != self._hour_ms:
                self._keep()
                self._begin(hour_ms)
            if self._draft is not None:
                self._draft.add(deep_line_of(sample, self._before).line())
                self._before = sample
                self._times.append(sample.ts_ms)
        self._unproved.clear()

    def _begin(self, hour_ms: int) -> None:
        self._hour_ms, self._before, self._times = hour_ms, None, []
        note = self._keeper.note(self._wanted.inst_id, hour_ms)
        if note is not None and note.files == self._files:
            self.report.kept_hours += 1
        else:
            self._draft = self._keeper.draft(self._wanted.inst_id, hour_ms)

    def _keep(self) -> None:
        draft, self._draft = self._draft, None
        if draft is None or not self._times:
            if draft is not None:
                draft.drop()
            return
        inst_id, hour_ms = self._wanted.inst_id, self._hour_ms
        spans = []
        if self._times[0] - hour_ms > DEEP_EVERY_MS:
            spans.append((hour_ms, self._times[0], self._why(hour_ms, self._times[0], NO_BOOK)))
        for one, two in zip(self._times, self._times[1:], strict=False):
            if two - one > 2 * DEEP_EVERY_MS:
                spans.append((one + DEEP_EVERY_MS, two, self._why(one, two, SILENCE)))
        event = Merged(
            "",
            inst_id,
            utc_text(hour_ms),
            "deep",
            dict.fromkeys(self._files, len(self._times)),
            spans=[MergedSpan(utc_text(one), utc_text(two), "missing", cause) for one, two, cause in spans],
        )
        with draft.dropped_on_error():
            self._keeper.keep(inst_id, hour_ms, draft, event, HourNote(self._files, DEEP_EVERY_MS, DEEP_DEPTH, 0, ""))
        self.report.hours += 1
        self.report.books += len(self._times)

    def _why(self, from_ms: int, to_ms: int, otherwise: str) -> str:
        """The cause of a hole between two samples."""
        is_denied = any(one < to_ms and two > from_ms for one, two in self._denied)
        return UNVERIFIABLE if is_denied else otherwise


def _deep(levels: list[Level]) -> list[DeepLevel]:
    return [(price, size, orders) for price, size, _, orders in levels]
