"""Where lines ought to be and cannot be had: hours without a file, and what could not be read within one. Pure.

None of it may pass for recorded or quiet: the journal says what was recorded, not what is left of it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import HOUR_MS

RETENTION: Final = "retention"
"""The cause of an hour that the owner's own policy deleted: unknown by now, and never a loss."""

NO_FILE: Final = "no file"
"""The cause of an hour whose file is gone, and nobody noted why."""

UNREADABLE: Final = "unreadable"
"""The cause of time around a line, or the rest of a file, that cannot be read; its findings say more."""


NOT_PROVED: Final = "not proved"
"""The cause of an hour whose file is there though retention deleted it, and nothing shows that it is the same."""


class LinePosition(NamedTuple):
    """Where the line of a time is."""

    ts_ms: int
    path: Path
    offset: int


def missing_hours(held: Collection[int], deleted: Collection[int], span: tuple[int, int]) -> Iterator[MissingLines]:
    """Time of a span, in whole hours, that is not `held` in any form; of hours in `deleted` it is known that retention
    deleted them. Both by their start. Takes no time for hours without a mark, as to the end of all time."""
    first_ms, end_ms = span[0] // HOUR_MS * HOUR_MS, -(-span[1] // HOUR_MS) * HOUR_MS
    marks = sorted(hour_ms for hour_ms in {*held, *deleted} if first_ms <= hour_ms < end_ms)
    for hour_ms in marks:
        if first_ms < hour_ms:
            yield MissingLines(first_ms, hour_ms, NO_FILE)
        if hour_ms not in held:
            yield MissingLines(hour_ms, hour_ms + HOUR_MS, RETENTION)
        first_ms = hour_ms + HOUR_MS
    if first_ms < end_ms:
        yield MissingLines(first_ms, end_ms, NO_FILE)


def unreadable(
    positions: Sequence[LinePosition], findings: Iterable[Finding], hour_ms: int, slot_of: Callable[[int], int]
) -> Iterator[MissingLines]:
    """For each finding in the files of an hour the time from the slot of the line before it to the line after.

    Before and after are told by the place in the file, and by the time that a line out of order claims.
    """
    places: dict[Path, tuple[list[int], list[int]]] = {}
    for position in positions:
        offsets, times = places.setdefault(position.path, ([], []))
        offsets.append(position.offset)
        times.append(position.ts_ms)
    end_ms = hour_ms + HOUR_MS
    for finding in findings:
        if finding.is_of_file:
            yield MissingLines(hour_ms, end_ms, UNREADABLE)
            continue
        offsets, times = places.get(finding.path, ([], []))
        if finding.ts_ms is None:
            before, after = bisect_left(offsets, finding.offset), bisect_right(offsets, finding.offset)
        else:
            before, after = bisect_left(times, finding.ts_ms), bisect_right(times, finding.ts_ms)
        from_ms = slot_of(times[before - 1]) + 1 if before else hour_ms
        to_ms = times[after] if after < len(times) else end_ms
        if from_ms < to_ms:
            yield MissingLines(from_ms, to_ms, UNREADABLE)


def in_altered_files(positions: Sequence[LinePosition], findings: Iterable[Finding]) -> Iterator[MissingLines]:
    """The lines that read, but are of a file that contradicts its own checksum: any of them may be altered."""
    for path in {finding.path for finding in findings if finding.is_of_file}:
        times = [position.ts_ms for position in positions if position.path == path]
        if times:
            yield MissingLines(times[0], times[-1] + 1, UNREADABLE)
