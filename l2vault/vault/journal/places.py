"""Finds the newest runs of a vault without reading its journal whole: what a new run must name, and how the last ended.

Looks at the place at the end of each line and decodes only the lines it needs, so that years of journal cost seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from l2vault.vault.journal.events import HourClosed, Retained, Started, Stopped
from l2vault.vault.journal.lines import journal_files, place_of, raw_lines, read_line
from l2vault.vault.journal.order import Entry, Place, in_order, is_recorders
from l2vault.vault.store.layout import Layout

_HOUR_CLOSED: Final = b'{"event":"hour_closed"'
_NEWEST: Final = 64
"""Lines kept of the end of a run: behind its `stopped` only what retention noted may stand."""


class PreviousRun(NamedTuple):
    """The newest run of a recorder: when it last noted anything, and whether it noted the `stopped` of a clean end.

    `run` is None for one of journal form 1. `region` is the newest that any recorder named.
    """

    run: str | None
    n: int
    at: str
    is_stopped: bool
    region: str = ""


class ClosedHours(NamedTuple):
    """Instruments and hours of which the journal holds a final `hour_closed`, by the kind of their lines; and the
    newest line of that event."""

    by_kind: dict[str, set[tuple[str, str]]]
    newest_line: bytes | None

    def of(self, kind: str) -> set[tuple[str, str]]:
        return self.by_kind.get(kind, set())


@dataclass(slots=True)
class _Run:
    newest: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=_NEWEST))
    last_n: int = 0
    first: tuple[int, bytes] | None = None
    hour_closed: tuple[int, bytes] | None = None


@dataclass(slots=True)
class _Scan:
    """The runs of form 2 by name, and the newest lines of form 1."""

    runs: dict[str, _Run] = field(default_factory=dict)
    former: deque[bytes] = field(default_factory=lambda: deque(maxlen=_NEWEST * 16))
    hours: list[bytes] = field(default_factory=list)

    def heads(self) -> list[Entry]:
        """The first readable event of each run, in the order of runs."""
        found: list[Entry] = []
        for run in self.runs.values():
            lines = [run.first, *run.newest]
            entries = [entry for _, line in filter(None, lines) if (entry := read_line(line)) is not None]
            found += entries[:1]
        return in_order(found).entries


def previous_run(layout: Layout) -> PreviousRun | None:
    """The recorder's run that a new one follows; None in a new vault."""
    scan = _scan(layout)
    heads = [entry for entry in scan.heads() if is_recorders(entry)]
    starts = [entry.event for entry in heads if isinstance(entry.event, Started)]
    region = next((start.region for start in reversed(starts) if start.region), "")
    for head in reversed(heads):
        run = scan.runs[str(head.run)]
        lines = [line for _, line in sorted(run.newest)]
        end = _end_of(lines) or PreviousRun(None, 0, head.event.at, False)
        return end._replace(run=head.run, n=run.last_n, region=region)
    return _end_of(list(scan.former))


def newest_place(layout: Layout) -> Place | None:
    """The newest event of form 2, behind which a verb's run stands; None where there is none."""
    scan = _scan(layout)
    heads = scan.heads()
    if not heads:
        return None
    recorders = [entry for entry in heads if is_recorders(entry)]
    name = str((recorders or heads)[-1].run)
    for head in heads:  # verbs' runs behind its newest event, each behind the one before
        start = head.event
        if not isinstance(start, Started) or is_recorders(head) or start.previous_run != name:
            continue
        if (start.previous_n or 0) >= scan.runs[name].last_n:
            name = str(head.run)
    return Place(name, scan.runs[name].last_n)


def closed_hours(layout: Layout) -> ClosedHours:
    """What `hour_closed` lines the vault holds, for a recorder that goes on with their chain."""
    scan = _scan(layout)
    closed: dict[str, set[tuple[str, str]]] = {}
    for line in scan.hours:
        entry = read_line(line)
        if entry is not None and isinstance(entry.event, HourClosed) and not entry.event.is_open:
            closed.setdefault(entry.event.kind, set()).add((entry.event.inst_id, entry.event.hour))
    newest = [run.hour_closed for head in scan.heads() if (run := scan.runs[str(head.run)]).hour_closed is not None]
    return ClosedHours(closed, newest[-1][1] if newest and newest[-1] is not None else None)


def _scan(layout: Layout) -> _Scan:
    """One pass over the files, a line in memory at a time."""
    scan = _Scan()
    for path in journal_files(layout):
        for _, line, is_ended in raw_lines(path):
            if line is None or not is_ended:  # what follows the last newline is torn, or being written
                continue
            place = place_of(line)
            if place is None:
                scan.former.append(line)
            else:
                _note(scan, Place(*place[:2]), line)
    return scan


def _note(scan: _Scan, place: Place, line: bytes) -> None:
    run = scan.runs.setdefault(place.run, _Run())
    run.last_n = max(run.last_n, place.n)
    run.newest.append((place.n, line))
    if run.first is None or place.n < run.first[0]:
        run.first = place.n, line
    if line.startswith(_HOUR_CLOSED):
        scan.hours.append(line)
        if run.hour_closed is None or place.n >= run.hour_closed[0]:
            run.hour_closed = place.n, line


def _end_of(lines: list[bytes]) -> PreviousRun | None:
    """What the newest line that a recorder itself noted says; retention's own notes say nothing of the recorder."""
    for line in reversed(lines):
        entry = read_line(line)
        if entry is not None and not isinstance(entry.event, Retained):
            return PreviousRun(None, 0, entry.event.at, isinstance(entry.event, Stopped))
    return None
