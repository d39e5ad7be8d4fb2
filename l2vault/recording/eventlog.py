"""Journal events on their way to the disk: in order, kept in memory while it refuses, and the chain of closed hours.

For one thread. Knows no line and no queue.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from l2vault.vault.journal.events import Event, HourClosed, Started
from l2vault.vault.journal.log import Journal

JOURNAL_BACKLOG: Final = 10_000
"""Events kept in memory while the disk refuses them: hours of trouble; beyond it the oldest go."""

_log = logging.getLogger(__name__)


class EventLog:
    """`newest_hour_line` is the newest `hour_closed` of the vault as it stands in its file: the next one names it."""

    def __init__(self, journal: Journal, newest_hour_line: bytes | None = None) -> None:
        self._journal = journal
        self._hour_line = newest_hour_line
        self._backlog: list[Event] = []
        self._dropped = 0
        self._left_out = 0
        self._is_refused = False
        self._is_together = False

    @property
    def run(self) -> str:
        return self._journal.run

    @property
    def waiting(self) -> int:
        return len(self._backlog)

    def put(self, *events: Event) -> None:
        """Append them, oldest first, as far as the disk takes them."""
        self._backlog += events
        excess = max(0, len(self._backlog) - JOURNAL_BACKLOG)
        self._dropped += excess
        del self._backlog[:excess]
        try:
            while self._backlog:
                self._append(self._backlog[0])
                del self._backlog[0]
        except OSError as error:
            if not self._is_refused:
                _log.error("Cannot write the journal: %s. Events wait in memory", error)
            self._is_refused = True
            return
        if self._is_refused:
            _log.warning("The journal is written again; %d events were dropped", self._left_out)
        self._is_refused = False
        self._left_out = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is put meanwhile is written at once and synced at the end: 500 instruments that stop journal 1500
        events, and a sync of each would take seconds."""
        self._is_together = True
        try:
            yield
        finally:
            self._is_together = False
            try:
                self._journal.sync()
            except OSError as error:
                _log.error("Cannot sync the journal: %s", error)

    def begin_run(self, started: Started) -> None:
        """What waits belongs to the new run, behind its beginning."""
        self._backlog.insert(0, started)
        self.put()

    def _append(self, event: Event) -> None:
        if self._dropped:
            self._journal.leave_out(self._dropped)  # so that readers see that events are missing
            self._left_out += self._dropped
            self._dropped = 0
        if isinstance(event, HourClosed):
            previous = None if self._hour_line is None else hashlib.sha256(self._hour_line).hexdigest()
            event = msgspec.structs.replace(event, previous=previous)
        self._journal.append(event, not self._is_together)
        if isinstance(event, HourClosed):
            self._hour_line = self._journal.newest_line
