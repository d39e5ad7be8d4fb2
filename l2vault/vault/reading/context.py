"""The context of a vault for reading: its lines by instrument and span, the last one before a time, and what is known
of each value. Needs no library beside msgspec.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from l2vault.book.context import Context, Kind, from_line
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.context import ContextCoverage, ContextHistory, ContextState, context_history, cover_context
from l2vault.vault.coverage.filled import context_of_archive
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import LinePosition, missing_hours, unreadable
from l2vault.vault.coverage.model import Source
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import PlacedLine, hour_lines, row_of
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.line import as_time_text, time_ms, time_text

_UNSAID_MS: Final = 20_000
"""A running recorder writes a line within seconds, and a beat each 15 s."""
_CANDIDATES: Final = 8
"""Newest lines held while looking for one, should the very last not read."""


class ContextAt(NamedTuple):
    """The last line at or before a moment, and what can be said of each value at that moment, with its cause."""

    context: Context
    states: dict[Kind, tuple[ContextState, str]]


class ContextReader:
    """Of one vault. Spans are half-open, in milliseconds of exchange time. `source`: what its values are of."""

    def __init__(self, layout: Layout, source: Source = "recorded") -> None:
        self._source: Source = source
        self.layout = layout.of("context")
        self._catalog = Catalog(self.layout)
        self._journal = JournalIndex(self.layout)

    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour of context."""
        return self._catalog.instruments()

    def rows(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[Context]:
        """The lines of a span in order of time; what does not read is reported."""
        return (row for _, row in self.labelled(inst_id, span, report))

    def labelled(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[tuple[Source, Context]]:
        """The same, each with where it comes from."""
        for line in self._lines(inst_id, span, report):
            row = row_of(line, inst_id, from_line, report)
            if row is not None:
                yield self._source, row

    def at(self, inst_id: str, t_ms: int) -> ContextAt | None:
        """What is known at a moment: the last line at or before it. None if the vault has none so early."""
        last = as_time_text(t_ms)
        for forms in reversed(self._catalog.hours(inst_id)):
            if forms.hour_ms > t_ms:
                continue
            candidates: deque[PlacedLine] = deque(maxlen=_CANDIDATES)
            for line in hour_lines(self._catalog, forms, True, unreported):
                if time_text(line.text) > last:
                    break
                candidates.append(line)
            rows = (row_of(line, inst_id, from_line, unreported) for line in reversed(candidates))
            found = next((row for row in rows if row is not None), None)
            if found is not None:
                return ContextAt(found, self._states(inst_id, found.grid_ms, t_ms))
        return None

    def bounds(self, inst_id: str) -> tuple[int, int] | None:
        """The times of the first and the newest line; None if none reads."""
        every = self._catalog.hours(inst_id)
        first_ms = next((times[0] for forms in every if (times := self._times(forms))), None)
        newest_ms = next((times[-1] for forms in reversed(every) if (times := self._times(forms))), None)
        return None if first_ms is None or newest_ms is None else (first_ms, newest_ms)

    def coverage(self, inst_id: str, span: tuple[int, int]) -> ContextCoverage:
        """What is known of each value over a span, from what was noted at the time and the lines that are there."""
        every = self._catalog.hours(inst_id)
        times: list[int] = []
        missing: list[MissingLines] = []
        for forms in every:
            if span[0] - 2 * HOUR_MS < forms.hour_ms < span[1] + HOUR_MS:
                findings: list[Finding] = []
                positions = list(self._positions(inst_id, forms, findings.append))
                times += [position.ts_ms for position in positions]
                missing += unreadable(positions, findings, forms.hour_ms, lambda ts_ms: ts_ms)
        missing += missing_hours({forms.hour_ms for forms in every}, self._journal.deleted_hours(inst_id), span)
        found = cover_context(self._history(inst_id), inst_id, span, times, missing)
        return found if self._source == "recorded" else context_of_archive(found)

    def _states(self, inst_id: str, grid_ms: int, t_ms: int) -> dict[Kind, tuple[ContextState, str]]:
        """At the moment; where a running recorder has not said anything of it yet, at the newest line before it."""
        states: dict[Kind, tuple[ContextState, str]] = {}
        times = (grid_ms, t_ms) if t_ms - grid_ms <= _UNSAID_MS else (t_ms,)
        for at_ms in times:
            for each in self.coverage(inst_id, (at_ms, at_ms + 1)).stretches:
                if (each.state, each.cause) != ("unknown", "") or each.kind not in states:
                    states[each.kind] = each.state, each.cause
        return states

    def _history(self, inst_id: str) -> ContextHistory:
        return context_history(self._journal.entries(), inst_id)

    def _times(self, forms: HourForms) -> Sequence[int]:
        return [time_ms(line.text) for line in hour_lines(self._catalog, forms, True, unreported)]

    def _positions(self, inst_id: str, forms: HourForms, report: Report) -> Iterator[LinePosition]:
        """Where each line that reads is: around one that does not, nothing is known."""
        for line in hour_lines(self._catalog, forms, True, report):
            row = row_of(line, inst_id, from_line, report)
            if row is not None:
                yield LinePosition(row.grid_ms, line.path, line.offset)

    def _lines(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[PlacedLine]:
        first, last = map(as_time_text, span)
        every = self._catalog.hours(inst_id, report)
        for forms in every:
            if span[0] - HOUR_MS < forms.hour_ms < span[1]:
                for line in hour_lines(self._catalog, forms, forms is every[-1], report):
                    if first <= time_text(line.text) < last:
                        yield line
