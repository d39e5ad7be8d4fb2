"""A vault for reading: `.jsonl` being written, `.jsonl.gz` and archive alike, by instrument and span of exchange time.

Every result carries its coverage and its findings. Snapshots need no library beside msgspec; levels, and whatever must
come from an archive, need the extra `analysis`, loaded where asked for.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import LineError
from l2vault.vault.absence import Stand, absent_hours, unreadable
from l2vault.vault.coverage.compute import Absent, cover, slot_of, stands_until
from l2vault.vault.coverage.model import Coverage, State
from l2vault.vault.files import (
    TIME,
    UNFLAGGED_END,
    Finding,
    Findings,
    HourForms,
    PlacedLine,
    Report,
    analysis_extra,
    first_ms,
    hour_forms,
    hour_lines,
    hours,
    instruments,
)
from l2vault.vault.follow import POLL_SEC, Follow
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.moments import Moment, as_ms, span_ms
from l2vault.vault.root import open_layout
from l2vault.vault.witness import Witness

if TYPE_CHECKING:
    from l2vault.vault.levels import Hour
    from l2vault.vault.leveltable import Levels

Form = Literal["plain", "gzip", "archive"]

_SLACK_MS: Final = 60_000
"""How far before a span its first line may lie: no cadence is longer."""

_CANDIDATES: Final = 8
"""Newest lines held while looking for a book, should the very last not read."""


class HourSpan(msgspec.Struct, frozen=True):
    """One hour of an instrument in one form; an archive's size is that of its two files, its path the second's."""

    hour_ms: int
    form: Form
    size_bytes: int
    path: Path


class BookAt(msgspec.Struct, frozen=True):
    """The last unflagged snapshot at or before a moment, how long before, and what can be said of the moment.

    `state` is `recorded` or `quiet` if the book still stood then; otherwise it is the last one known before a hole.
    """

    snapshot: Snapshot
    age_ms: int
    state: State
    cause: str
    findings: list[Finding]


class Snapshots(Iterable[Snapshot]):
    """Snapshots in order of time, read while iterated; flagged ones included. `findings` fills meanwhile."""

    def __init__(
        self, inst_id: str, span: tuple[int, int], lines: Callable[[Report], Iterator[PlacedLine]], vault: "Vault"
    ) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self.findings = Findings()
        self._lines = lines
        self._vault = vault

    def __iter__(self) -> Iterator[Snapshot]:
        self.findings.clear()
        for line in self._lines(self.findings.report):
            snapshot = _snapshot(line, self.inst_id, self.findings.report)
            if snapshot is not None:
                yield snapshot

    @cached_property
    def coverage(self) -> Coverage:
        """What the vault can vouch for of the span."""
        return self._vault.coverage(self.inst_id, self.start_ms, self.end_ms)


def open_vault(path: str | Path) -> "Vault":
    """The vault at `path`, the folder a recorder writes to. Raises VaultError if there is none."""
    return Vault(open_layout(path))


class Vault:
    """Moments are ISO text (UTC where it names no zone), aware datetimes or epoch milliseconds; spans are half-open."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._witness = Witness(layout)

    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour in any form."""
        return instruments(self.layout)

    def days(self, inst_id: str) -> list[str]:
        """The dates, `2026-01-31`, of which there is an hour."""
        return sorted({utc_text(forms.hour_ms)[:10] for forms in hours(self.layout, inst_id)})

    def spans(self, inst_id: str) -> list[HourSpan]:
        """Every hour, once for each form it has."""
        found = []
        for forms in hours(self.layout, inst_id):
            for file in forms.raw:
                form: Form = "gzip" if file.is_compressed else "plain"
                found.append(HourSpan(forms.hour_ms, form, file.path.stat().st_size, file.path))
            if forms.archive is not None:
                archive = forms.archive
                size_bytes = archive.levels.stat().st_size + archive.snapshots.stat().st_size
                found.append(HourSpan(forms.hour_ms, "archive", size_bytes, archive.snapshots))
        return found

    def snapshots(self, inst_id: str, start: Moment, end: Moment) -> Snapshots:
        """The lines of the span as typed objects, read as they are asked for."""
        span = span_ms(start, end)
        return Snapshots(inst_id, span, lambda report: self._lines(inst_id, span, report), self)

    def levels(self, inst_id: str, start: Moment, end: Moment) -> "Levels":
        """The level-interval table of the span. Needs the extra `analysis`."""
        with analysis_extra():
            from l2vault.vault.leveltable import Levels
        span = span_ms(start, end)
        return Levels(
            inst_id, span, lambda findings: self._hours(inst_id, span, findings), lambda: self.coverage(inst_id, *span)
        )

    def book_at(self, inst_id: str, t: Moment) -> BookAt | None:
        """The last unflagged snapshot at or before a moment; None if the vault has none so early."""
        t_ms = as_ms(t)
        findings = Findings()
        here = hour_forms(self.layout, inst_id, t_ms // HOUR_MS * HOUR_MS)
        snapshot = self._last_book(here, t_ms, findings.report)
        if snapshot is None:
            earlier = [forms for forms in hours(self.layout, inst_id) if forms.hour_ms < here.hour_ms]
            found = (self._last_book(forms, t_ms, findings.report) for forms in reversed(earlier))
            snapshot = next((book for book in found if book is not None), None)
        if snapshot is None:
            return None
        state, cause = self._state(inst_id, snapshot.ts_ms, t_ms)
        return BookAt(snapshot, t_ms - snapshot.ts_ms, state, cause, findings)

    def coverage(self, inst_id: str, start: Moment, end: Moment) -> Coverage:
        """Every grid slot of the span as recorded, quiet, missing or unknown, and the holes with their causes."""
        span = span_ms(start, end)
        testimony = self._witness.testimony(inst_id)
        stands: list[Stand] = []
        absent = list(self._absent_hours(inst_id, span))
        every = hours(self.layout, inst_id)
        for forms in every:
            if span[0] - _SLACK_MS - HOUR_MS < forms.hour_ms < span[1]:
                found: list[Finding] = []
                here = list(self._stands(forms, forms is every[-1], found.append))
                absent += unreadable(here, found, forms.hour_ms, partial(slot_of, testimony))
                stands += here
        times = [stand.ts_ms for stand in stands if span[0] - _SLACK_MS <= stand.ts_ms < span[1]]
        return cover(testimony, inst_id, times, span, absent)

    def follow(
        self,
        inst_id: str,
        since: Moment | None = None,
        poll_sec: float = POLL_SEC,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Follow:
        """New snapshots as they are written, for ever; `since` a moment instead of from now on."""
        return Follow(self.layout, inst_id, None if since is None else as_ms(since), poll_sec, sleep)

    def _lines(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[PlacedLine]:
        first, last = (utc_text(bound).encode() for bound in span)
        every = hours(self.layout, inst_id)
        for forms in every:
            if span[0] - HOUR_MS < forms.hour_ms < span[1]:
                for line in hour_lines(self.layout, forms, forms is every[-1], report):
                    if first <= line.text[TIME] < last:
                        yield line

    def _hours(self, inst_id: str, span: tuple[int, int], findings: Findings) -> Iterator["Hour"]:
        """The hours that bear on a span: from the one whose book stands at its start."""
        from l2vault.vault.tables import read_hour

        testimony = self._witness.testimony(inst_id)
        every = hours(self.layout, inst_id)
        for at in range(self._first_bearing(every, span[0]), len(every)):
            if every[at].hour_ms >= span[1]:
                break
            yield read_hour(self.layout, every, at, testimony, span, findings.report)

    def _first_bearing(self, every: list[HourForms], start_ms: int) -> int:
        at = sum(forms.hour_ms <= start_ms for forms in every) - 1
        while at > 0:
            begin_ms = first_ms(every[at])
            if begin_ms is not None and begin_ms <= start_ms:
                break
            at -= 1
        return max(at, 0)

    def _stands(self, forms: HourForms, is_newest: bool, report: Report) -> Iterator[Stand]:
        """The unflagged lines, told by their beginnings and ends: whether they read is `verify`'s to say."""
        if forms.archive is not None and not forms.raw:
            with analysis_extra():
                from l2vault.vault.archived import CANNOT_READ, archived_times
            try:
                times = archived_times(forms.archive)
            except CANNOT_READ as error:
                report(Finding(forms.archive.snapshots, 0, f"an archive that cannot be read: {error}"))
                return
            yield from (Stand(ts_ms, forms.archive.snapshots, 0) for ts_ms in times)
            return
        for line in hour_lines(self.layout, forms, is_newest, report):
            if line.text.endswith(UNFLAGGED_END):
                yield Stand(utc_ms(line.text[TIME].decode()), line.path, line.offset)

    def _absent_hours(self, inst_id: str, span: tuple[int, int]) -> Iterator[Absent]:
        held = {forms.hour_ms for forms in hours(self.layout, inst_id)}
        return absent_hours(held, self._witness.deleted_hours(inst_id), span)

    def _last_book(self, forms: HourForms, t_ms: int, report: Report) -> Snapshot | None:
        if forms.archive is not None and not forms.raw:
            with analysis_extra():
                from l2vault.vault.archived import archived_book
            return archived_book(forms.archive, t_ms, report)
        last = utc_text(t_ms).encode()
        candidates: deque[PlacedLine] = deque(maxlen=_CANDIDATES)
        for line in hour_lines(self.layout, forms, True, report):
            if line.text[TIME] > last:
                break
            if line.text.endswith(UNFLAGGED_END):
                candidates.append(line)
        found = (_snapshot(line, forms.inst_id, report) for line in reversed(candidates))
        return next((snapshot for snapshot in found if snapshot is not None), None)

    def _state(self, inst_id: str, ts_ms: int, t_ms: int) -> tuple[State, str]:
        absent = self._absent_hours(inst_id, (ts_ms, t_ms + 1)) if t_ms // HOUR_MS > ts_ms // HOUR_MS else ()
        return stands_until(self._witness.testimony(inst_id), ts_ms, t_ms, absent)


def _snapshot(line: PlacedLine, inst_id: str, report: Report) -> Snapshot | None:
    try:
        snapshot = from_line(line.text)
        if snapshot.inst_id != inst_id:
            raise LineError(f"a line of {snapshot.inst_id} among those of {inst_id}")
    except LineError as error:
        report(Finding(line.path, line.offset, error.message))
        return None
    return snapshot
