"""When OKX had announced maintenance, from what the journal noted of its channel `status` at the time. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.utc import utc_ms
from l2vault.vault.journal.context_events import MaintenanceNoted

MAINTENANCE: Final = "maintenance"
"""The cause of a hole whose own cause lies outside, and which began while a maintenance was announced."""

OUTSIDE: Final = frozenset({"disconnect", "silence", "notice"})
"""Causes of a loss that a maintenance may be the reason of: not what a message itself showed, and nothing of ours."""

_EARLY_MS: Final = 60_000
"""A hole begins with the last good book, and OKX announces the end of connections 60 s ahead (notice 64008)."""
_LONGEST_MS: Final = 24 * 3_600_000
"""Of one whose end is not named."""
_CANCELED: Final = "canceled"


@dataclass(slots=True)
class Maintenance:
    """The announcements in the order of the journal. `windows` are planned bounds in exchange time."""

    _newest: dict[tuple[str, str], list[MaintenanceNoted]] = field(default_factory=dict)
    """By title and service, in the order in which they were announced, of one maintenance the newest only."""

    def take(self, event: MaintenanceNoted) -> None:
        """A newer announcement of a title replaces the one before it, unless that had begun by then and this is of
        another beginning: OKX gives maintenances of the same kind the same title."""
        told = self._newest.setdefault((event.title, event.service), [])
        if told and (told[-1].from_ == event.from_ or _begin_ms(told[-1]) > utc_ms(event.at)):
            told.pop()
        told.append(event)

    def windows(self) -> list[tuple[int, int]]:
        """Both bounds included, in order."""
        found = []
        for event in (event for told in self._newest.values() for event in told if event.state != _CANCELED):
            begin_ms = _begin_ms(event)
            end_ms = begin_ms + _LONGEST_MS if event.to is None else utc_ms(event.to)
            found.append((begin_ms - _EARLY_MS, max(begin_ms, end_ms)))
        return sorted(found)


def is_within(windows: Iterable[tuple[int, int]], t_ms: int) -> bool:
    """Whether a maintenance was announced for this time."""
    return any(from_ms <= t_ms <= to_ms for from_ms, to_ms in windows)


def _begin_ms(event: MaintenanceNoted) -> int:
    """Where none is named, the time of the announcement: that of a disruption comes with it."""
    return utc_ms(event.at if event.from_ is None else event.from_)
