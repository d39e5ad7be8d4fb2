"""Where lines ought to be and cannot be had: hours without a file, and what could not be read within one. Pure.

Nothing there may pass for quiet: the journal vouches for what was recorded, not for what is left of it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.vault.coverage.compute import Absent
from l2vault.vault.files import Finding
from l2vault.vault.layout import HOUR_MS

RETENTION: Final = "retention"
"""The cause of an hour that the owner's own policy deleted: unknown by now, and never a loss."""

NO_FILE: Final = "no file"
"""The cause of an hour whose file is gone, and nobody noted why."""

UNREADABLE: Final = "unreadable"
"""The cause of time around a line, or the rest of a file, that cannot be read; its findings say more."""


class Stand(NamedTuple):
    """Where the line of a time stands."""

    ts_ms: int
    path: Path
    offset: int


def absent_hours(held: Collection[int], deleted: Collection[int], span: tuple[int, int]) -> Iterator[Absent]:
    """Hours of a span, by their start, that are not `held` in any form; `deleted` ones are known to be retention's."""
    for hour_ms in range(span[0] // HOUR_MS * HOUR_MS, span[1], HOUR_MS):
        if hour_ms not in held:
            yield Absent(hour_ms, hour_ms + HOUR_MS, RETENTION if hour_ms in deleted else NO_FILE)


def unreadable(
    stands: Sequence[Stand], findings: Iterable[Finding], hour_ms: int, slot_of: Callable[[int], int]
) -> Iterator[Absent]:
    """For each finding in the files of an hour the time from the slot of the line before it to the line after."""
    for finding in findings:
        beside = [stand for stand in stands if stand.path == finding.path]
        before_ms = max((stand.ts_ms for stand in beside if stand.offset < finding.offset), default=None)
        after_ms = min((stand.ts_ms for stand in beside if stand.offset > finding.offset), default=hour_ms + HOUR_MS)
        from_ms = hour_ms if before_ms is None else slot_of(before_ms) + 1
        if from_ms < after_ms:
            yield Absent(from_ms, after_ms, UNREADABLE)
