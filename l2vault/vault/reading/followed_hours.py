"""The hours that a live tail has left behind: what changes in them afterwards can no longer be given in order of time.

A reader of `follow` was given each line of an hour once; a line that comes to that hour later, or is altered in it, is
a finding, whether the hour was compressed meanwhile or not. Deleting an hour is none: retention does so.
"""

from array import array
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.vault.store.catalog import Catalog, Finding, Report
from l2vault.vault.store.forms import PlacedLine, hour_lines
from l2vault.vault.store.layout import HOUR_MS, Layout

WATCHED_HOURS: Final = 24
"""Retention compresses after 6 hours unless configured; at 10 lines a second 24 hours are 7 MB of hashes."""

CAME_LATE: Final = "lines came to this hour after the next one had begun"
GONE: Final = "lines of this hour that were given cannot be found there any more"
HOUR_CAME_LATE: Final = "this hour came after a later one had begun"

State = tuple[tuple[Path, int, int], ...]
"""The raw files of an hour, each with its size and time of modification."""


class _Hour(NamedTuple):
    """An hour by the hashes of its lines: those given, and those passed over, which are findings already."""

    given: "array[int]"
    passed_over: frozenset[int]
    state: State | None
    """As it was when all of it had been read; None where that is not known."""


class FollowedHours:
    """Watches the newest WATCHED_HOURS of them, one at each call of `look`, in turn.

    `report` is given what is found, again at every look: it has to know what it was given already.
    """

    def __init__(
        self, layout: Layout, inst_id: str, report: Report, take_late: Callable[[PlacedLine], None] | None = None
    ) -> None:
        """`take_late` is given the lines that came late, of a kind of which that is as good as any other time."""
        self._take_late = take_late
        self._layout = layout
        self._catalog = Catalog(layout)
        self._inst_id = inst_id
        self._report = report
        self._hours: dict[int, _Hour] = {}
        self._turn: list[int] = []

    def add(self, hour_ms: int, given: Collection[int], passed_over: Collection[int], state: State | None) -> None:
        """An hour of which all lines were read, now that the next one has begun."""
        self._hours[hour_ms] = _Hour(array("q", given), frozenset(passed_over), state)
        for old in sorted(self._hours)[:-WATCHED_HOURS]:
            del self._hours[old]
        self._turn.clear()

    def look(self, current_ms: int, hours_between: Callable[[int, int], Collection[int]]) -> None:
        """`current_ms` is the hour being followed; `hours_between` lists those with a raw file, both ends left out."""
        if not self._hours:
            return
        if not self._turn:
            self._turn = sorted(self._hours)
            first_ms = max(self._turn[0], current_ms - WATCHED_HOURS * HOUR_MS)
            self._look_for_others(hours_between(first_ms, current_ms))
        self._check(self._turn.pop())

    def state(self, hour_ms: int) -> State:
        forms = self._catalog.hour(self._inst_id, hour_ms)
        return tuple(each for file in forms.raw if (each := identity(file.path)) is not None)

    def _look_for_others(self, there: Collection[int]) -> None:
        for hour_ms in sorted(set(there) - self._hours.keys()):
            if self._take_late is not None:
                self._hours[hour_ms] = _Hour(array("q"), frozenset(), None)
                continue
            self._report(Finding(self._layout.hour_file(self._inst_id, hour_ms), 0, HOUR_CAME_LATE))

    def _check(self, hour_ms: int) -> None:
        hour, state = self._hours[hour_ms], self.state(hour_ms)
        if not state or state == hour.state:
            return
        known = hour.passed_over.union(hour.given)
        late: list[PlacedLine] = []
        found: set[int] = set()
        # An archive is left out: it was compared with these files before they could be deleted.
        forms = self._catalog.hour(self._inst_id, hour_ms)._replace(archive=None)
        for line in hour_lines(self._catalog, forms, True, _told_when_followed):
            found.add(hash(line.text))
            if hash(line.text) not in known:
                late.append(line)
        if self.state(hour_ms) != state:
            return  # compressed or written meanwhile: looked at again
        if self._take_late is not None:
            for line in late:
                self._take_late(line)
        elif late:
            self._report(Finding(late[0].path, late[0].offset, CAME_LATE))
        if not found.issuperset(hour.given):
            self._report(Finding(state[0][0], 0, GONE))
        self._hours[hour_ms] = _Hour(array("q", found), hour.passed_over, state)


def identity(path: Path) -> tuple[Path, int, int] | None:
    """A file by its size and time of modification; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return path, stat.st_size, stat.st_mtime_ns


def _told_when_followed(finding: Finding) -> None:
    """What is no line of its hour was a finding when it was met; a damaged file lacks lines that were given."""
