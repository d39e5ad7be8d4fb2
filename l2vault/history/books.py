"""A day of OKX's archive of books sampled by our own law, as hours of the archive's vault.

The law is `book/sampler.py`, the state `book.Book`: what a recorder of just these lines would have written. A full book
in the file proves the stretch before it, where it is the one that was rebuilt; where it is not, the lines of that
stretch are `unverifiable`. Behind the last full book nothing proves them: they are `unaudited`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.book.price import price_key
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot, to_line
from l2vault.book.utc import HOUR_MS, MINUTE_MS, utc_ms, utc_text
from l2vault.errors import LineError
from l2vault.history.hours import Draft, HourKeeper, HourNote
from l2vault.history.rows import EVERY_LEVEL, apply_line, change_of, is_same_book
from l2vault.vault.journal.merge_events import Merged, MergedQuiet, MergedSpan

LONGEST_QUIET_MS: Final = 60_000
"""Of a file whose lines are 10 ms or a second apart, a longer silence is no evidence that nothing changed."""
SILENCE: Final = "archive silence"
NO_BOOK: Final = "not in the archive"
_STRAY_MS: Final = MINUTE_MS
"""A line may be so far outside its file's day, and no farther."""
_EVERY_LINES: Final = 20_000


class Law(NamedTuple):
    """How books are sampled."""

    cadence_ms: int
    depth: int


@dataclass(slots=True)
class DayReport:
    """What a file gave: its lines, the books of it that were written, full books and how many of them were as rebuilt,
    hours that were there already."""

    lines: int = 0
    books: int = 0
    whole: int = 0
    rebuilt: int = 0
    kept_hours: int = 0
    hours: int = 0


@dataclass(slots=True)
class _Hour:
    """An hour that is being filled; `draft` is None where it is there already."""

    draft: Draft | None
    files: dict[str, str]
    follows: bool = False
    """Whether the line before it is in the hour before, so that its book stands on into this one."""
    lines: int = 0
    quiet: list[MergedQuiet] = field(default_factory=list)
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    from_ms: int | None = None
    to_ms: int = 0
    before: Merged | None = None
    """What is known of the lines that were there already, of an hour that goes on."""


class _Stretch(NamedTuple):
    """Time between two full books, and whether the second was the one that was rebuilt; None: there is no second."""

    from_ms: int
    to_ms: int
    is_proved: bool | None


class BookDay:
    """Feed it the lines of one file with `add`, then `end`; the next day's file goes on with the same object, so that
    the grid time at midnight has its line. `only` restricts it to some hours."""

    def __init__(self, inst_id: str, law: Law, keeper: HourKeeper, only: Callable[[int], bool] | None = None) -> None:
        self._inst_id = inst_id
        self._law = law
        self._keeper = keeper
        self._only = only
        self._book = Book()
        self._has_book = False
        self._hours: dict[int, _Hour] = {}
        self._stretches: list[_Stretch] = []
        self._whole_ms = 0
        self._is_crossed = False
        self._is_first_whole = True
        self._is_line_kept = False
        """Whether the last line that was due is in an hour that is there."""
        self._due_ms = 0
        """The first grid time that the book as it stands can be due at."""
        self.filled: set[int] = set()
        """Hours into which lines went since the file that is read began."""
        self._file = self._reading = "", ""
        """The file in which the last line of the book stood, and the one that is read."""
        self.report = DayReport()

    def read(
        self, lines: Iterable[bytes], file: tuple[str, str], span: tuple[int, int], progress: Callable[[int], None]
    ) -> None:
        """All lines of a file by its name and SHA-256, whose day is `span`. Raises LineError, with the number of the
        line, for one that is none; hours before it are kept."""
        self._reading = file
        self.filled.clear()
        self._is_first_whole = True
        for number, line in enumerate(lines, 1):
            try:
                change = change_of(line, self._inst_id)
                ts_ms = time_within(change, span, self._book.ts_ms)
                self._take(change, ts_ms)
            except LineError as error:
                raise LineError(f"line {number}: {error}") from error
            if number % _EVERY_LINES == 0:
                progress(ts_ms)
            self.report.lines += 1

    def end(self, is_followed: bool) -> None:
        """The file is over. `is_followed`: the next day's comes at once, so that its last hour waits for that."""
        if self._has_book and self._book.ts_ms is not None:
            self._stretches.append(_Stretch(self._whole_ms, self._book.ts_ms + 1, None))
            self._whole_ms = self._book.ts_ms + 1
        newest_ms = max(self._hours, default=0)
        for hour_ms in sorted(self._hours):
            if not is_followed or hour_ms < newest_ms:
                self._keep(hour_ms)

    def begin_with(self, carried: RecordedChange, file: tuple[str, str]) -> None:
        """The book with which the day before ended, of the file of that day, before anything is read."""
        apply_line(self._book, carried.change)
        self._has_book, self._file = True, file
        self._whole_ms = carried.ts_ms + 1
        self._due_ms = -(-carried.ts_ms // self._law.cadence_ms) * self._law.cadence_ms

    def carried(self) -> RecordedChange | None:
        """The book as it stands, whole; None before the first."""
        if not self._has_book or self._book.ts_ms is None:
            return None
        bids, asks = self._book.top(EVERY_LEVEL)
        change = BookChange(self._inst_id, True, bids, asks, self._book.ts_ms, None, None, None)
        return RecordedChange(self._book.ts_ms, change, "book", 0)

    def drop(self) -> None:
        """Leave nothing of hours that are not kept yet."""
        for hour in self._hours.values():
            if hour.draft is not None:
                hour.draft.drop()
        self._hours.clear()

    def _take(self, change: BookChange, ts_ms: int) -> None:
        if self._has_book:
            if self._due_ms < ts_ms:
                self._sample(ts_ms)
        elif not change.is_snapshot:
            return  # nothing is known before the first full book
        if change.is_snapshot:
            self._check(change, ts_ms)
        apply_line(self._book, change)
        self._has_book, self._file = True, self._reading
        if self._due_ms < ts_ms:
            self._due_ms = -(-ts_ms // self._law.cadence_ms) * self._law.cadence_ms

    def _sample(self, ts_ms: int) -> None:
        """What is due before a line of `ts_ms` is applied."""
        book, law = self._book, self._law
        grid_ms = due_grid_time(book.ts_ms, ts_ms, law.cadence_ms)
        if grid_ms is None or book.ts_ms is None:
            return
        hour_ms = book.ts_ms // HOUR_MS * HOUR_MS
        hour = self._hour(hour_ms)
        if hour is not None and hour.draft is not None:
            snapshot = take_snapshot(self._inst_id, book, law.depth)
            self._is_crossed = self._is_crossed or _is_crossed(snapshot)
            hour.draft.add(to_line(snapshot))
            hour.lines += 1
            self.report.books += 1
        self._is_line_kept = hour is not None
        if hour is not None:
            self.filled.add(hour_ms)
            hour.from_ms = book.ts_ms if hour.from_ms is None else hour.from_ms
            hour.to_ms = min(ts_ms, hour_ms + HOUR_MS)
            self._between(hour, book.ts_ms, grid_ms, ts_ms)
        if ts_ms >= hour_ms + HOUR_MS:
            self._keep_ended(ts_ms)

    def _between(self, hour: _Hour, since_ms: int, grid_ms: int, ts_ms: int) -> None:
        """The grid times behind the line's own, up to the next one."""
        cadence_ms = self._law.cadence_ms
        first_ms, last_ms = grid_ms + cadence_ms, (ts_ms - 1) // cadence_ms * cadence_ms
        if first_ms > last_ms:
            return
        if ts_ms - since_ms <= LONGEST_QUIET_MS:
            hour.quiet.append(MergedQuiet(*map(utc_text, (since_ms, first_ms, last_ms))))
        else:
            hour.spans.append((first_ms, ts_ms, SILENCE))

    def _check(self, change: BookChange, ts_ms: int) -> None:
        """A full book against the one that was rebuilt, as far as it is written."""
        if self._has_book and not self._is_first_whole:  # between two files changes may lie that neither has
            self.report.whole += 1
            whole = Book()
            apply_line(whole, change)
            is_same = is_same_book(self._book.top(self._law.depth), whole.top(self._law.depth))
            is_proved = is_same and not self._is_crossed
            self.report.rebuilt += is_same
            if self._book.ts_ms is not None and self._whole_ms <= self._book.ts_ms:
                self._stretches.append(_Stretch(self._whole_ms, ts_ms, is_proved))
        self._is_first_whole = False
        self._whole_ms = ts_ms
        self._is_crossed = False
        self._keep_ended(ts_ms)

    def _hour(self, hour_ms: int) -> _Hour | None:
        """The hour to which a line of that time belongs; None if it is not among those that are asked for."""
        hour = self._hours.get(hour_ms)
        if hour is None and (self._only is None or self._only(hour_ms)):
            hour = self._hours[hour_ms] = self._begin(hour_ms)
            hour.follows = self._is_line_kept
        return hour

    def _begin(self, hour_ms: int) -> _Hour:
        files = dict([self._file])
        note = self._keeper.note(self._inst_id, hour_ms)
        if note is not None and self._is_made_so(note, files):
            event, stands_ms = self._keeper.event(self._inst_id, hour_ms), self._book.ts_ms or 0
            if event is None or event.to is None or utc_ms(event.to) > stands_ms:
                self.report.kept_hours += 1
                return _Hour(None, note.files)
            return self._again(hour_ms, note, event)
        return _Hour(self._keeper.draft(self._inst_id, hour_ms), files)

    def _again(self, hour_ms: int, note: HourNote, event: Merged) -> _Hour:
        """An hour that is there and goes on: a new file that begins with its lines."""
        hour = _Hour(self._keeper.draft(self._inst_id, hour_ms), note.files, before=event)
        assert hour.draft is not None
        with hour.draft.dropped_on_error():  # the hour is not yet among those that `drop` knows
            for line in self._keeper.lines(self._inst_id, hour_ms):
                hour.draft.add(line)
                hour.lines += 1
        hour.quiet, hour.from_ms = list(event.quiet), utc_ms(event.from_ or event.hour)
        hour.spans = [(utc_ms(each.from_), utc_ms(each.to), each.cause) for each in event.spans]
        return hour

    def _is_made_so(self, note: HourNote, files: dict[str, str]) -> bool:
        return files.items() <= note.files.items() and (note.cadence_ms, note.depth) == self._law

    def _keep_ended(self, ts_ms: int) -> None:
        """Hours that are over, once a full book has judged the end of them."""
        for hour_ms in sorted(self._hours):
            if hour_ms + HOUR_MS <= min(ts_ms, self._whole_ms):
                self._keep(hour_ms)

    def _keep(self, hour_ms: int) -> None:
        hour = self._hours.pop(hour_ms)
        end_ms = hour_ms + HOUR_MS
        if hour.draft is not None and hour.lines:
            event = self._event(hour, hour_ms)
            note = HourNote(hour.files, *self._law, 0, "")
            with hour.draft.dropped_on_error():
                self._keeper.keep(self._inst_id, hour_ms, hour.draft, event, note)
            self.report.hours += 1
        elif hour.draft is not None:
            hour.draft.drop()
        self._stretches = [each for each in self._stretches if each.to_ms > end_ms]

    def _event(self, hour: _Hour, hour_ms: int) -> Merged:
        cadence_ms, end_ms = self._law.cadence_ms, hour_ms + HOUR_MS
        from_ms, spans = hour.from_ms or hour_ms, list(hour.spans)
        if from_ms - hour_ms > cadence_ms and hour.before is None and not hour.follows:
            spans.insert(0, (hour_ms, from_ms, NO_BOOK))
        pairs: dict[bool | None, list[tuple[str, str]]] = {True: [], False: [], None: []}
        for each in self._stretches:
            first_ms = -(-max(each.from_ms, hour_ms) // cadence_ms) * cadence_ms
            if each.is_proved is None or each.to_ms > end_ms:
                last_ms = -(-min(each.to_ms - 1, end_ms - 1) // cadence_ms) * cadence_ms
            else:  # the grid time behind its end has a book of the next stretch
                last_ms = (each.to_ms - 1) // cadence_ms * cadence_ms
            if first_ms <= last_ms and each.from_ms < end_ms and each.to_ms > hour_ms:
                pairs[each.is_proved].append((utc_text(first_ms), utc_text(last_ms)))
        return Merged(
            "",
            self._inst_id,
            utc_text(hour_ms),
            "books",
            dict.fromkeys(hour.files, hour.lines),
            from_=utc_text(from_ms),
            to=utc_text(hour.to_ms),
            cadence_ms=cadence_ms,
            quiet=hour.quiet,
            spans=[MergedSpan(utc_text(one), utc_text(two), "missing", cause) for one, two, cause in spans],
            unverifiable=(hour.before.unverifiable if hour.before else []) + pairs[False],
            unaudited=(hour.before.unaudited if hour.before else []) + pairs[None],
        )


def time_within(change: BookChange, span: tuple[int, int], newest_ms: int | None) -> int:
    """The time of a line of the file whose day is `span`. Raises LineError where it is not of that day, or stands far
    behind one that is newer: give or take a minute, as OKX's are."""
    ts_ms = change.ts_ms or 0
    if not span[0] - _STRAY_MS <= ts_ms < span[1] + _STRAY_MS:
        raise LineError(f"a line of {utc_text(ts_ms)} in the file of {utc_text(span[0])[:10]}")
    if newest_ms is not None and ts_ms < newest_ms - _STRAY_MS:
        raise LineError(f"a line of {utc_text(ts_ms)} stands behind one of {utc_text(newest_ms)}")
    return ts_ms


def _is_crossed(snapshot: Snapshot) -> bool:
    bid, ask = snapshot.best_bid, snapshot.best_ask
    return bid is not None and ask is not None and price_key(bid) >= price_key(ask)
