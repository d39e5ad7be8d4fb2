"""The deep books of a vault, or its RPI books, for reading: samples by instrument and span, the last one at a time, and
what is known of how often they were taken. Needs no library beside msgspec, but for archives.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from l2vault.book.deep import (
    DEEP_CHANNELS,
    DeepChannel,
    DeepKind,
    DeepLine,
    DeepReplay,
    DeepSample,
    from_deep_line,
    head_of_deep,
)
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.deep import DeepCoverage, cover_deep, missed_samples, rebuilt_times
from l2vault.vault.coverage.filled import of_archive
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import LinePosition, missing_hours, unreadable
from l2vault.vault.coverage.model import Source
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import PlacedLine, hour_lines, row_of
from l2vault.vault.store.layout import HOUR_MS, MAY_BE_WRITTEN, Layout
from l2vault.vault.store.line import time_ms


class PlacedSample(NamedTuple):
    """A line of a deep book, and why no sample can be rebuilt from it, empty where one can. `make` gives the sample, as
    long as no later line is asked for."""

    line: PlacedLine
    deep: DeepLine
    why: str
    make: Callable[[], DeepSample]


class DeepReader:
    """Of one vault. Spans are half-open, in milliseconds of exchange time. `source`: what its samples are of, `kind`:
    which book was sampled."""

    def __init__(self, layout: Layout, source: Source = "recorded", kind: DeepKind = "deep") -> None:
        self._source: Source = source
        self.channel = DEEP_CHANNELS[kind]
        self.layout = layout.of(kind)
        self._catalog = Catalog(self.layout)
        self._journal = JournalIndex(self.layout)

    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour of such books."""
        return self._catalog.instruments()

    def samples(self, inst_id: str, span: tuple[int, int], report: Report, every_ms: int = 0) -> Iterator[DeepSample]:
        """Those of a span in order of time, each at least `every_ms` after the one given before it; what does not read,
        or cannot be rebuilt, is reported."""
        every = self._catalog.hours(inst_id, report)
        due_ms = span[0]
        for forms in every:
            if span[0] - HOUR_MS < forms.hour_ms < span[1]:
                for placed in self._of_hour(forms, forms in every[-MAY_BE_WRITTEN:], report):
                    if due_ms <= placed.deep.ts_ms < span[1]:
                        due_ms = placed.deep.ts_ms + every_ms
                        yield self._sample(placed)

    def at(self, inst_id: str, t_ms: int, report: Report = unreported) -> DeepSample | None:
        """The last sample at or before a time; None if there is none so early."""
        for forms in reversed(self._catalog.hours(inst_id)):
            if forms.hour_ms > t_ms:
                continue
            found = (placed.deep.ts_ms for placed in self._of_hour(forms, True, report))
            last_ms = max((ts_ms for ts_ms in found if ts_ms <= t_ms), default=None)
            if last_ms is not None:
                again = self._of_hour(forms, True, unreported)
                return next((self._sample(placed) for placed in again if placed.deep.ts_ms == last_ms), None)
        return None

    def bounds(self, inst_id: str) -> tuple[int, int] | None:
        """The times of the first and the newest line; None if none reads."""
        every = self._catalog.hours(inst_id)
        first = next((times[0] for forms in every if (times := self._line_times(forms))), None)
        newest = next((times[-1] for forms in reversed(every) if (times := self._line_times(forms))), None)
        return None if first is None or newest is None else (first, newest)

    def coverage(self, inst_id: str, span: tuple[int, int]) -> DeepCoverage:
        """Where a span is sampled, from what was noted at the time and the lines that are there."""
        missed = missed_samples(self._journal.entries(), inst_id, self.channel.kind)  # before the files
        times, gone = self._times_and_gone(inst_id, span)
        found = cover_deep(inst_id, span, times, missed, gone)
        return found if self._source == "recorded" else of_archive(found)

    def times(self, inst_id: str, span: tuple[int, int]) -> list[int]:
        """Those of the samples of a span that can be rebuilt, in order."""
        return [ts_ms for ts_ms in self._times_and_gone(inst_id, span)[0] if span[0] <= ts_ms < span[1]]

    def _times_and_gone(self, inst_id: str, span: tuple[int, int]) -> tuple[list[int], list[MissingLines]]:
        """Of the span and an hour around it: times of samples that can be rebuilt, and what cannot be read."""
        every = self._catalog.hours(inst_id)
        times: list[int] = []
        gone: list[MissingLines] = []
        for forms in every:
            if span[0] - 2 * HOUR_MS < forms.hour_ms < span[1] + HOUR_MS:
                findings: list[Finding] = []
                lines = list(hour_lines(self._catalog, forms, forms in every[-MAY_BE_WRITTEN:], findings.append))
                positions = [LinePosition(time_ms(line.text), line.path, line.offset) for line in lines]
                heads = (head_of_deep(line.text) for line in lines)
                times += rebuilt_times(zip((each.ts_ms for each in positions), heads, strict=True))
                gone += unreadable(positions, findings, forms.hour_ms, lambda ts_ms: ts_ms)
        gone += missing_hours({forms.hour_ms for forms in every}, self._journal.deleted_hours(inst_id), span)
        return times, gone

    def _sample(self, placed: PlacedSample) -> DeepSample:
        sample = placed.make()
        return sample if self._source == "recorded" else replace(sample, origin=self._source)

    def _of_hour(self, forms: HourForms, is_newest: bool, report: Report) -> Iterator[PlacedSample]:
        """Those that can be rebuilt."""
        for placed in samples_of_hour(self._catalog, forms, is_newest, report, self.channel):
            if not placed.why:
                yield placed
            else:
                why = f"no {self.channel.noun} can be rebuilt: {placed.why}"
                report(Finding(placed.line.path, placed.line.offset, why))

    def _line_times(self, forms: HourForms) -> list[int]:
        return [time_ms(line.text) for line in hour_lines(self._catalog, forms, True, unreported)]


def samples_of_hour(
    catalog: Catalog, forms: HourForms, is_newest: bool, report: Report, channel: DeepChannel
) -> Iterator[PlacedSample]:
    """Each line of an hour that reads, with its sample. An hour needs none before it: its first line is whole."""
    replay, read = DeepReplay(), partial(from_deep_line, channel=channel)
    for line in hour_lines(catalog, forms, is_newest, report):
        deep = row_of(line, forms.inst_id, read, report)
        if deep is not None:
            yield PlacedSample(line, deep, replay.step(deep), partial(replay.sample, deep))
