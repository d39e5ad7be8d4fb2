"""The times and places of an instrument's lines, and what cannot be had of them: what coverage rests on.

Every file is read once as long as it does not change, and one that retention has read and found good not at all. A
line counts only if it reads and is of its instrument and hour.
"""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from l2vault.vault.coverage.checked import CheckedHour, checked_hours, contents_of
from l2vault.vault.coverage.compute import Lines, MissingLines, slot_of
from l2vault.vault.coverage.hour_notes import FileStamp, stamp_of
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import NOT_PROVED, LinePosition, in_altered_files, unreadable
from l2vault.vault.store.catalog import Catalog, Finding, HourForms
from l2vault.vault.store.forms import hour_times
from l2vault.vault.store.layout import HOUR_MS

_SLACK_MS: Final = 60_000
"""How far before a span its first line may lie: no cadence is longer."""


class _Hour(NamedTuple):
    """Times of the lines that read; where there are findings, `positions` tells where the unflagged ones are."""

    times: "array[int]"
    flagged: "array[int]"
    findings: list[Finding]
    positions: list[LinePosition]


class HourLines:
    """The lines of a vault's hours. Asked again, it reads only the hours that have changed since."""

    def __init__(self, catalog: Catalog, journal: JournalIndex) -> None:
        self._catalog = catalog
        self._journal = journal
        self.checked = checked_hours(catalog.layout)
        self._hours: dict[tuple[str, int, bool], tuple[list[FileStamp], _Hour]] = {}
        self._read_in_part: set[tuple[str, int, bool]] = set()

    def lines(
        self, inst_id: str, every: Sequence[HourForms], span: tuple[int, int]
    ) -> tuple[Lines, list[MissingLines]]:
        """The lines that bear on a span, `every` hour of the instrument being known, and where lines that there were
        cannot be had."""
        history = self._journal.history(inst_id)
        not_restored = self._journal.not_restored(inst_id)
        times, flagged = array("q"), array("q")
        missing: list[MissingLines] = []
        altered: list[MissingLines] = []
        for forms in every:
            if span[0] - _SLACK_MS - HOUR_MS < forms.hour_ms < span[1]:
                hour = self._hour(forms, forms is every[-1], span[0] - _SLACK_MS)
                missing += unreadable(hour.positions, hour.findings, forms.hour_ms, partial(slot_of, history))
                altered += in_altered_files(hour.positions, hour.findings)
                if forms.hour_ms in not_restored and forms.raw and not self._is_proved(forms):
                    gone = MissingLines(forms.hour_ms, forms.hour_ms + HOUR_MS, NOT_PROVED)
                    altered.append(gone)
                    missing.append(gone)
                times += hour.times
                flagged += hour.flagged
        from_ms, to_ms = span[0] - _SLACK_MS, span[1]
        inside = times[bisect_left(times, from_ms) : bisect_left(times, to_ms)]
        others = [each for each in flagged if from_ms <= each < to_ms]
        return Lines(inside, from_ms, to_ms, others, altered), missing

    def newest_ms(self, forms: HourForms) -> int | None:
        """The time of the newest line of an hour that reads; None if none does."""
        times = self._hour(forms, True).times
        return times[-1] if times else None

    def _hour(self, forms: HourForms, is_newest: bool, since_ms: int = 0) -> _Hour:
        """The hour, at first only its lines from a time on looked at as a whole: one question is all that most ask."""
        stamp, key = stamp_of(self._catalog.layout, forms), (forms.inst_id, forms.hour_ms, is_newest)
        kept = self._hours.get(key)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        checked = self.checked.hour(forms, stamp)
        if checked is not None:
            hour = _spared(checked, forms.hour_ms)
        elif since_ms > forms.hour_ms and key not in self._read_in_part:
            self._read_in_part.add(key)
            return self._read(forms, is_newest, since_ms)
        else:
            hour = self._read(forms, is_newest)
        self._hours[key] = stamp, hour
        return hour

    def _read(self, forms: HourForms, is_newest: bool, since_ms: int | None = None) -> _Hour:
        findings: list[Finding] = []
        times, flagged, positions = array("q"), array("q"), []
        for line in hour_times(self._catalog, forms, is_newest, findings.append, since_ms):
            if line.is_flagged:
                flagged.append(line.ts_ms)
            else:
                times.append(line.ts_ms)
                positions.append(LinePosition(line.ts_ms, line.path, line.offset))
        return _Hour(times, flagged, findings, positions if findings else [])

    def _is_proved(self, forms: HourForms) -> bool:
        """Whether raw files hold exactly what the newest record of the closed hour says."""
        closed = self._journal.closed_hours(forms.inst_id).get(forms.hour_ms)
        return closed is not None and contents_of(self._catalog.layout, forms) == (closed.bytes, closed.sha256)


def _spared(checked: CheckedHour, hour_ms: int) -> _Hour:
    return _Hour(checked.times(hour_ms), checked.flagged_times(hour_ms), [], [])
