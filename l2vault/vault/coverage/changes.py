"""What is known of an instrument's changes over a span: where every push of the book is in the files. Pure.

It rests on the lines: where each follows the one before, nothing came between. Why pushes are missing is in the journal
(`changes_lost`), if that could be written.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from l2vault.book.change_line import ChangeHead
from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.merged import lost_in_merged, merged_hours
from l2vault.vault.coverage.proved import ProofState, ProvedSpan, TimeStretch, painted
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.log import Entry

_MAY_BE_WRONG: Final = frozenset({"conflict", "audit"})
"""Causes with which the changes are there, and were contradicted."""


class ChangeCoverage(ProvedSpan, frozen=True):
    """Where the changes of a span are whole. `lines` of it are in the files."""

    lines: int

    def __repr__(self) -> str:
        return self._described(f"{self.lines:,} lines, ", "proved")


def lost_changes(entries: Iterable[Entry], inst_id: str) -> list[TimeStretch]:
    """What the journal says was lost. One that nothing ended goes on to the end of time: the lines after it, of which
    the first is a full book, end it."""
    open_: dict[int, str] = {}
    entries = list(entries)
    found = list(lost_in_merged(merged_hours(entries, inst_id, "changes")))
    for entry in entries:
        event = entry.event
        if not isinstance(event, ChangesLost) or event.inst_id != inst_id:
            continue
        from_ms = ALWAYS_MS if event.from_ is None else utc_ms(event.from_)
        if event.to is None:
            open_[from_ms] = event.cause
        else:
            open_.pop(from_ms, None)
            state: ProofState = "unknown" if event.cause in _MAY_BE_WRONG else "missing"
            found.append(TimeStretch(from_ms + 1, utc_ms(event.to), state, event.cause))
    return [*found, *(TimeStretch(from_ms + 1, NEVER_MS, "missing", cause) for from_ms, cause in open_.items())]


def breaks_of(lines: Iterable[tuple[int, ChangeHead | None]]) -> Iterator[TimeStretch]:
    """Where a line does not follow the one before it, of lines with their times in order: up to it, or where it is no
    full book up to the next one that is, or for good, nothing is known."""
    before: ChangeHead | None = None
    known_ms: int | None = None
    for ts_ms, head in lines:
        if known_ms is not None and (before is None or head is None or not head.follows(before)):
            if head is None or head.action != "snapshot":
                before = None
                continue
            yield TimeStretch(known_ms + 1, ts_ms, "unknown", "")
        before, known_ms = head, ts_ms
    if known_ms is not None and before is None:
        yield TimeStretch(known_ms + 1, NEVER_MS, "unknown", "")


def cover_changes(
    inst_id: str,
    span: tuple[int, int],
    hours: Sequence[Sequence[int]],
    lost: Iterable[TimeStretch],
    missing: Iterable[MissingLines],
    breaks: Iterable[TimeStretch] = (),
) -> ChangeCoverage:
    """The coverage of a span. `hours` are the times of the lines of each hour in order, over the span and an hour
    around it, and `breaks` is time between lines that do not follow each other; `missing` is time of which there is no
    file, or lines that do not read."""
    times = [ts_ms for hour in hours for ts_ms in hour]
    marks: list[TimeStretch] = []
    if times:
        marks.append(TimeStretch(times[0], times[-1] + 1, "proved", ""))
    marks += breaks
    for each in lost:
        end_ms = each.end_ms
        if end_ms == NEVER_MS:
            end_ms = next((ts_ms for ts_ms in times if ts_ms > each.start_ms), span[1])
        marks.append(TimeStretch(each.start_ms, end_ms, each.state, each.cause))
    marks += [TimeStretch(each.from_ms, each.to_ms, "unknown", each.cause) for each in missing]
    lines = sum(span[0] <= ts_ms < span[1] for ts_ms in times)
    return ChangeCoverage(inst_id, *span, painted(span, marks), lines)
