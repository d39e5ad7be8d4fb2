"""A vault for reading: `.jsonl` being written, `.jsonl.gz` and archive alike, by instrument and span of exchange time.

Every result carries its coverage and its findings. Snapshots need no library beside msgspec; levels, and whatever must
come from an archive, need the extra `analysis`, loaded where asked for.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from l2vault.book.moments import Moment, as_ms, span_ms
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.vault.coverage.checked import columns_of
from l2vault.vault.coverage.compute import MissingLines, cover, reach, valid_until
from l2vault.vault.coverage.hour_lines import HourLines
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import NOT_PROVED, missing_hours
from l2vault.vault.coverage.model import Coverage, Source, State
from l2vault.vault.coverage.sync_history import UNVERIFIABLE
from l2vault.vault.reading.changes import change_book, change_bounds, change_hours, change_snapshots
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.follow import POLL_SEC, Follow
from l2vault.vault.reading.follow_changes import FollowChanges
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Catalog, Finding, Findings, HourForms, Report, StoredHour
from l2vault.vault.store.forms import first_ms, hour_book, hour_books
from l2vault.vault.store.instruments import Row, read_rows
from l2vault.vault.store.layout import HOUR_MS, ArchivedHour, Layout
from l2vault.vault.store.root import open_layout

if TYPE_CHECKING:
    from l2vault.vault.archive.intervals import Hour
    from l2vault.vault.reading.level_table import Levels

Resolution = Literal["lines", "changes"]
"""The books as they were sampled, or as every push left them, where the vault has the changes."""

_LONGEST_SILENCE_MS: Final = 31 * 24 * HOUR_MS


class BookAt(msgspec.Struct, frozen=True):
    """The last snapshot at or before a moment, how long before, and what can be said of the moment.

    `state` is `recorded` or `quiet` if the book still stood then; otherwise it is the last one known before a hole, or
    one that is `disputed` or `unverifiable` itself.
    """

    snapshot: Snapshot
    age_ms: int
    state: State
    cause: str
    findings: list[Finding]


class Snapshots(Iterable[Snapshot]):
    """Snapshots in order of time, read while iterated; flagged ones included. `findings` fills meanwhile."""

    def __init__(
        self,
        inst_id: str,
        span: tuple[int, int],
        read: Callable[[Report], Iterator[tuple[Source, Snapshot]]],
        vault: "Vault",
    ) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self.findings = Findings()
        self._read = read
        self._vault = vault

    def __iter__(self) -> Iterator[Snapshot]:
        return (book for _, book in self.labelled())

    def labelled(self) -> Iterator[tuple[Source, Snapshot]]:
        """The same, each with what it is of."""
        self.findings.clear()
        yield from self._read(self.findings.report)

    @cached_property
    def coverage(self) -> Coverage:
        """What is known of the span."""
        return self._vault.coverage(self.inst_id, self.start_ms, self.end_ms)


def open_vault(path: str | Path) -> "Vault":
    """The vault at `path`, the folder a recorder writes to. Raises VaultError if there is none."""
    return Vault(open_layout(path))


class Vault:
    """Moments are ISO text (UTC where it names no zone), aware datetimes or epoch milliseconds; spans are half-open."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.catalog = Catalog(layout)
        self.change_catalog = Catalog(layout.of("changes"))
        self.journal = JournalIndex(layout)
        self._hour_lines = HourLines(self.catalog, self.journal)

    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour in any form."""
        return self.catalog.instruments()

    def noted_instruments(self) -> list[str]:
        """Those and every one whose lines the journal noted and retention did not delete, though no file is left."""
        lost = {inst_id for inst_id in self.journal.instruments() if self._noted_starts(inst_id)}
        return sorted(lost.union(self.instruments()))

    def instrument_rows(self, inst_id: str) -> list[tuple[int | None, Row]]:
        """OKX's rows of the instrument, as `store.instruments.read_rows` gives them."""
        return read_rows(self.layout, inst_id)

    @property
    def source(self) -> Source:
        """Of what its own lines are."""
        return "recorded"

    @property
    def parts(self) -> "tuple[Vault, ...]":
        """The vaults whose files are read."""
        return (self,)

    def refresh(self) -> None:
        """Before each use of one that is kept for long: what others wrote since is seen."""

    @property
    def recorded(self) -> "Vault":
        """Without what stands in from elsewhere."""
        return self

    def sampled_parts(self, inst_id: str, span: tuple[int, int]) -> "Iterator[tuple[Vault, tuple[int, int]]]":
        """Whose lines are read in which part of a span, in order of time."""
        yield self, span

    def trades(self) -> TradeReader:
        """Its trades, of the same sources as its books."""
        return TradeReader(self.layout)

    def context(self) -> ContextReader:
        """What stood beside its books, of the same sources."""
        return ContextReader(self.layout)

    def deep(self) -> DeepReader:
        """Its deep books, of the same sources."""
        return DeepReader(self.layout)

    def rpi(self) -> DeepReader:
        """Its RPI books, which are always recorded ones: OKX has no archive of them."""
        return DeepReader(self.layout, kind="rpi")

    def days(self, inst_id: str) -> list[str]:
        """The dates, `2026-01-31`, of which there is an hour."""
        return sorted({utc_text(forms.hour_ms)[:10] for forms in self.catalog.hours(inst_id)})

    def spans(self, inst_id: str) -> list[StoredHour]:
        """Every hour, once for each form it has; the archive's comes last."""
        return [
            stored
            for forms in self.catalog.hours(inst_id)
            for stored in (*forms.raw, *([] if forms.archive is None else [forms.archive]))
        ]

    def snapshots(
        self,
        inst_id: str,
        start: Moment,
        end: Moment,
        resolution: Resolution = "lines",
        every_ms: int | None = None,
    ) -> Snapshots:
        """The lines of the span as typed objects, read as they are asked for.

        Of changes the book after each push, or with `every_ms` at each multiple of it, by the recorder's own law.
        Raises UsageError for `every_ms` of lines, VaultError where changes were not recorded.
        """
        span = span_ms(start, end)
        if resolution == "changes":
            self._insist_on_changes(inst_id)
            catalog = self.change_catalog
            return Snapshots(
                inst_id,
                span,
                lambda report: self._of_own(change_snapshots(catalog, inst_id, span, every_ms, report)),
                self,
            )
        if every_ms is not None:
            raise UsageError("lines have the cadence with which they were recorded.", "resolution='changes'")
        return Snapshots(inst_id, span, lambda report: self._of_own(self._snapshots(inst_id, span, report)), self)

    def _of_own(self, books: Iterator[Snapshot]) -> Iterator[tuple[Source, Snapshot]]:
        return zip(repeat(self.source), books)  # noqa: B905 - the one is endless

    def levels(
        self,
        inst_id: str,
        start: Moment,
        end: Moment,
        include_disputed: bool = False,
        resolution: Resolution = "lines",
        left_out: Sequence[tuple[int, int]] | None = None,
    ) -> "Levels":
        """The level-interval table of the span. Needs the extra `analysis`. `left_out` says, in the place of what the
        journal knows, where no book may stand.

        Disputed and unverifiable books are left out unless asked for. Of changes a row begins and ends with the very
        push; raises VaultError where they were not recorded.
        """
        with analysis_extra():
            from l2vault.vault.reading.level_table import Levels
        span = span_ms(start, end)
        hours = self._hours
        if resolution == "changes":
            self._insist_on_changes(inst_id)
            hours = self._change_hours
        return Levels(
            inst_id,
            span,
            lambda findings: hours(inst_id, span, findings),
            lambda: self.coverage(inst_id, *span),
            lambda: self._left_out(inst_id, span, include_disputed) if left_out is None else left_out,
        )

    def bearing_hours(self, inst_id: str, span: tuple[int, int], resolution: Resolution = "lines") -> list[int]:
        """The hours (ms) whose lines bear on a span: from the one whose book stands at its start."""
        if resolution == "changes":
            every = self.change_catalog.hours(inst_id)
            return [forms.hour_ms for forms in every if span[0] - HOUR_MS < forms.hour_ms < span[1]]
        every = self.catalog.hours(inst_id)
        return [forms.hour_ms for forms in every[self._first_bearing(every, span[0]) :] if forms.hour_ms < span[1]]

    def left_out(self, inst_id: str, span: tuple[int, int], include_disputed: bool = False) -> list[tuple[int, int]]:
        """Half-open spans in which lines that there are show no book that is beyond doubt."""
        return self._left_out(inst_id, span, include_disputed)

    def levels_of_hour(
        self,
        inst_id: str,
        span: tuple[int, int],
        hour_ms: int,
        left_out: Sequence[tuple[int, int]],
        resolution: Resolution = "lines",
    ) -> "Levels":
        """The level-interval table of one of the `bearing_hours` of a span, for who reads several at once; `left_out`
        is what `left_out` gave of the whole span."""
        with analysis_extra():
            from l2vault.vault.reading.level_table import Levels
        hours = self._change_hours if resolution == "changes" else self._hours
        return Levels(
            inst_id,
            span,
            lambda findings: hours(inst_id, span, findings, hour_ms),
            lambda: self.coverage(inst_id, *span),
            lambda: left_out,
        )

    def book_at(
        self, inst_id: str, t: Moment, with_flagged: bool = False, resolution: Resolution = "lines"
    ) -> BookAt | None:
        """The last unflagged snapshot at or before a moment; None if the vault has none so early.

        `with_flagged`: the last one of any, so that of two lines of one time the later, which may be the flagged one.
        Of changes the book after the last push at or before the moment; raises VaultError where they were not recorded.
        """
        if resolution == "changes":
            return self._book_of_changes(inst_id, as_ms(t))
        t_ms = as_ms(t)
        findings: list[Finding] = []
        hour_ms = t_ms // HOUR_MS * HOUR_MS
        here = self.catalog.hour(inst_id, hour_ms)
        snapshot = hour_book(self.catalog, here, t_ms, with_flagged, findings.append)
        if snapshot is None:
            earlier = [forms for forms in self.catalog.hours(inst_id) if forms.hour_ms < hour_ms]
            found = (hour_book(self.catalog, forms, t_ms, with_flagged, findings.append) for forms in reversed(earlier))
            snapshot = next((book for book in found if book is not None), None)
        if snapshot is None:
            return None
        state, cause = self._state(inst_id, snapshot.ts_ms, t_ms)
        return BookAt(snapshot, t_ms - snapshot.ts_ms, state, cause, findings)

    def coverage(self, inst_id: str, start: Moment | None = None, end: Moment | None = None) -> Coverage:
        """Every grid slot of the span in its state, and the holes with their causes: what can be proved, slot by slot.

        Without bounds from the first evidence to the newest: of the lines, and of what the journal noted of them.
        """
        return self._own_coverage(inst_id, span_ms(*self._bounds(inst_id, start, end)))

    def _own_coverage(self, inst_id: str, span: tuple[int, int]) -> Coverage:
        history = self.journal.history(inst_id)
        every = self.catalog.hours(inst_id)
        lines, missing = self._hour_lines.lines(inst_id, every, reach(history, span))
        return cover(history, inst_id, lines, span, [*missing, *self._missing_hours(inst_id, every, span)])

    def first_line_ms(self, inst_id: str) -> int | None:
        """The time of the oldest line of the instrument; None if none can be read."""
        every = self.catalog.hours(inst_id)
        return next((found for forms in every if (found := first_ms(forms)) is not None), None)

    def first_evidence_ms(self, inst_id: str) -> int | None:
        """The oldest exchange time of which there is a line, or was one by the journal and retention did not delete it.

        None if of none. A time in the journal counts if it is at most 31 days before the first line.
        """
        line_ms, noted = self.first_line_ms(inst_id), self._noted_starts(inst_id)
        if noted and line_ms is not None:
            return min([line_ms, *(each for each in noted if each >= line_ms - _LONGEST_SILENCE_MS)])
        return min(noted) if noted else line_ms

    def newest_line_ms(self, inst_id: str) -> int | None:
        """The time of the newest unflagged line of the instrument; None if none can be read."""
        for forms in reversed(self.catalog.hours(inst_id)):
            newest_ms = self._hour_lines.newest_ms(forms)
            if newest_ms is not None:
                return newest_ms
        return None

    def change_bounds(self, inst_id: str) -> tuple[int, int] | None:
        """The times of the oldest and the newest change of the instrument that can be read; None if there is none."""
        return change_bounds(self.change_catalog, inst_id)

    def newest_evidence_ms(self, inst_id: str) -> int | None:
        """The newest exchange time of which the vault knows anything of the instrument; None if of none.

        A time in the journal counts if it is at most 31 days behind the newest line: a damaged one opens no ages.
        """
        proved_ms, line_ms = self.journal.history(inst_id).newest_ms, self.newest_line_ms(inst_id)
        noted = [*self._noted_starts(inst_id), *([] if proved_ms is None else [proved_ms])]
        if line_ms is None:
            line_ms = min(self._noted_starts(inst_id), default=None)
        if line_ms is None:
            return None
        return max([line_ms, *(each for each in noted if each <= line_ms + _LONGEST_SILENCE_MS)])

    def follow(
        self,
        inst_id: str,
        since: Moment | None = None,
        poll_sec: float = POLL_SEC,
        sleep: Callable[[float], None] = time.sleep,
        resolution: Resolution = "lines",
    ) -> Follow | FollowChanges:
        """New snapshots as they are written, for ever; `since` a moment instead of from now on.

        Of changes the book after each push, within a fifth of a second where this user may write to the vault.
        """
        since_ms = None if since is None else as_ms(since)
        if resolution == "changes":
            return FollowChanges(self.layout, inst_id, since_ms, poll_sec, sleep)
        return Follow(self.layout, inst_id, since_ms, poll_sec, sleep)

    def _insist_on_changes(self, inst_id: str) -> None:
        if not self.change_catalog.hours(inst_id):
            raise VaultError(f"the vault holds no changes of {inst_id}.", "changes = true, or l2vault record --changes")

    def _book_of_changes(self, inst_id: str, t_ms: int) -> BookAt | None:
        """Its state is `recorded` where a later push shows that it still stood, or where it is of that very time."""
        self._insist_on_changes(inst_id)
        findings = Findings()
        standing = change_book(self.change_catalog, inst_id, t_ms, findings.report)
        if standing is None:
            return None
        snapshot, is_proved = standing
        state: State = "recorded" if is_proved or snapshot.ts_ms == t_ms else "unknown"
        if state == "recorded" and any(start <= t_ms < end for start, end in self._left_out(inst_id, (t_ms, t_ms + 1))):
            state = "disputed"
        return BookAt(snapshot, t_ms - snapshot.ts_ms, state, "", findings)

    def _change_hours(
        self, inst_id: str, span: tuple[int, int], findings: Findings, only_ms: int | None = None
    ) -> Iterator["Hour"]:
        return change_hours(self.change_catalog, inst_id, span, findings.report, only_ms)

    def _snapshots(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[Snapshot]:
        every = self.catalog.hours(inst_id)
        for forms in every:
            if span[0] - HOUR_MS < forms.hour_ms < span[1]:
                yield from hour_books(self.catalog, forms, span, forms is every[-1], report)

    def _hours(
        self, inst_id: str, span: tuple[int, int], findings: Findings, only_ms: int | None = None
    ) -> Iterator["Hour"]:
        """The hours that bear on a span, or the one of them that begins at `only_ms`."""
        from l2vault.vault.archive.build import read_columns_of_hour, read_hour

        history = self.journal.history(inst_id)
        every = self.catalog.hours(inst_id, findings.report)
        first = self._first_bearing(every, span[0]) if only_ms is None else 0
        for at in range(first, len(every)):
            if every[at].hour_ms >= span[1]:
                break
            if only_ms in (None, every[at].hour_ms):
                twin = None if every[at].archive is not None else self.column_files(every[at])
                hour = None if twin is None else read_columns_of_hour(twin, span)
                yield hour or read_hour(self.catalog, every, at, history, span, findings.report)

    def column_files(self, forms: HourForms) -> ArchivedHour | None:
        """The two files of an hour that hold all of its lines as columns: of the archive if that is all there is of
        it, else those that were made of just these lines; None where there are none."""
        if forms.archive is None:
            return columns_of(self.layout, self._hour_lines.checked.hour(forms), forms)
        hour = self.layout.archived_hour(forms.inst_id, forms.hour_ms)
        return None if forms.raw else hour

    def is_checked(self, forms: HourForms) -> bool:
        """Whether every row of an hour, as its files are now, was read before and found good."""
        return self._hour_lines.checked.hour(forms) is not None

    def _first_bearing(self, every: list[HourForms], start_ms: int) -> int:
        at = sum(forms.hour_ms <= start_ms for forms in every) - 1
        while at > 0:
            begin_ms = first_ms(every[at])
            if begin_ms is not None and begin_ms <= start_ms:
                break
            at -= 1
        return max(at, 0)

    def _left_out(self, inst_id: str, span: tuple[int, int], include_disputed: bool = False) -> list[tuple[int, int]]:
        """Where lines that there are tell no book that is beyond doubt."""
        history = self.journal.history(inst_id)
        if not (history.disputed or history.unverifiable or self.journal.not_restored(inst_id)):
            return []
        kinds = () if include_disputed else ("disputed", "unverifiable")
        causes = NOT_PROVED, UNVERIFIABLE
        holes = self._own_coverage(inst_id, span).holes
        return [(hole.start_ms, hole.end_ms) for hole in holes if hole.kind in kinds or hole.cause in causes]

    def _bounds(self, inst_id: str, start: Moment | None, end: Moment | None) -> tuple[Moment, Moment]:
        if start is None:
            start = self.first_evidence_ms(inst_id)
        if end is None:
            newest_ms = self.newest_evidence_ms(inst_id)
            end = None if newest_ms is None else newest_ms + 1
        if start is None or end is None:
            raise VaultError(f"the vault holds nothing of {inst_id}.", "l2vault ls, for what it holds")
        return start, end

    def _noted_starts(self, inst_id: str) -> list[int]:
        """Where the minutes begin that the journal noted lines of, but for hours that retention deleted."""
        history, deleted = self.journal.history(inst_id), self.journal.deleted_hours(inst_id)
        starts = [first_ms for first_ms, _ in (*history.due, *history.merged)]
        starts += [each.from_ms for each in history.counts if each.lines]
        if not starts:
            starts = [each.from_ms for each in history.intervals]
        oldest_ms = self.journal.oldest_ms(inst_id)
        if not starts and oldest_ms is not None:
            starts = [oldest_ms]
        return [each for each in starts if each // HOUR_MS * HOUR_MS not in deleted]

    def _missing_hours(self, inst_id: str, every: list[HourForms], span: tuple[int, int]) -> Iterator[MissingLines]:
        return missing_hours({forms.hour_ms for forms in every}, self.journal.deleted_hours(inst_id), span)

    def _state(self, inst_id: str, ts_ms: int, t_ms: int) -> tuple[State, str]:
        history = self.journal.history(inst_id)
        every = self.catalog.hours(inst_id)
        lines, missing = self._hour_lines.lines(inst_id, every, reach(history, (ts_ms, t_ms + 1)))
        if t_ms // HOUR_MS > ts_ms // HOUR_MS:
            missing += self._missing_hours(inst_id, every, (ts_ms, t_ms + 1))
        return valid_until(history, lines, ts_ms, t_ms, missing)
