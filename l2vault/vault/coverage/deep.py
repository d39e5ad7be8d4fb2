"""What is known of an instrument's deep book, or its RPI book, over a span: where a sample was taken as often as it was
to be. Pure.

It rests on the lines. Why samples are missing is in the journal (`deep_missed`, `rpi_missed`), if that could be
written.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from l2vault.book.deep import DEEP_EVERY_MS, DeepHead, DeepKind
from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.merged import lost_in_merged, merged_hours
from l2vault.vault.coverage.missing import NO_FILE
from l2vault.vault.coverage.proved import ProofState, ProvedSpan, TimeStretch, painted
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS
from l2vault.vault.journal.deep_events import MISSED
from l2vault.vault.journal.log import Entry

COVERS_MS: Final = DEEP_EVERY_MS * 3 // 2
"""A sample stands for the time up to the next one, where that comes about when it is due; else for this long."""


class DeepCoverage(ProvedSpan, frozen=True):
    """Where a span is sampled: `proved` where a sample is at most 45 s old. `samples` of it are in the files and can be
    rebuilt, `archive_samples` of them in those of OKX's archive."""

    samples: int
    archive_samples: int = 0

    def __repr__(self) -> str:
        return self._described(f"{self.samples:,} samples, ", "sampled")


def missed_samples(entries: Iterable[Entry], inst_id: str, kind: DeepKind = "deep") -> list[TimeStretch]:
    """What the journal says was missed. One that nothing ended goes on to the end of time: the samples after it end
    it."""
    open_: dict[int, str] = {}
    entries = list(entries)
    found = list(lost_in_merged(merged_hours(entries, inst_id, kind)))
    for entry in entries:
        event = entry.event
        if not isinstance(event, MISSED[kind]) or event.inst_id != inst_id:
            continue
        from_ms = ALWAYS_MS if event.from_ is None else utc_ms(event.from_)
        if event.to is None:
            open_.setdefault(from_ms, event.cause)
        else:
            open_.pop(from_ms, None)
            found.append(TimeStretch(from_ms + 1, utc_ms(event.to), "missing", event.cause))
    return [*(TimeStretch(from_ms + 1, NEVER_MS, "missing", cause) for from_ms, cause in open_.items()), *found]


def rebuilt_times(lines: Iterable[tuple[int, DeepHead | None]]) -> Iterator[int]:
    """Of the lines of an hour with their times in order: those whose sample can be rebuilt, each line before it being
    there."""
    before: str | None = None
    for ts_ms, head in lines:
        is_known = head is not None and (head.action == "snapshot" or head.before_utc == before)
        if head is None or not is_known:
            before = None
            continue
        before = head.timestamp_utc
        yield ts_ms


def cover_deep(
    inst_id: str,
    span: tuple[int, int],
    times: Sequence[int],
    missed: Iterable[TimeStretch],
    missing: Iterable[MissingLines],
) -> DeepCoverage:
    """The coverage of a span. `times` are those of the samples that can be rebuilt, in order, of the span and an hour
    around it; `missing` is time of which there is no file, or lines that do not read."""
    gone = [TimeStretch(each.from_ms, each.to_ms, "unknown", each.cause) for each in missing]
    marks = [each for each in gone if each.cause == NO_FILE]  # why there is none the journal may know
    for each in missed:
        end_ms = each.end_ms
        if end_ms == NEVER_MS:
            end_ms = next((ts_ms for ts_ms in times if ts_ms >= each.start_ms), span[1])
        marks.append(TimeStretch(each.start_ms, end_ms, each.state, each.cause))
    marks += [each for each in gone if each.cause != NO_FILE]
    marks += sampled(times, "proved")
    samples = sum(span[0] <= ts_ms < span[1] for ts_ms in times)
    return DeepCoverage(inst_id, *span, painted(span, marks), samples)


def sampled(times: Sequence[int], state: ProofState) -> Iterator[TimeStretch]:
    """The time for which samples stand, those that follow each other as one, in this state."""
    start_ms: int | None = None
    for ts_ms, next_ms in zip(times, [*times, NEVER_MS][1:], strict=True):
        start_ms = ts_ms if start_ms is None else start_ms
        if next_ms > ts_ms + COVERS_MS:
            yield TimeStretch(start_ms, ts_ms + COVERS_MS, state, "")
            start_ms = None
