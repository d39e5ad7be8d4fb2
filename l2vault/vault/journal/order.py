"""The order of the journal: from lines in any order to the order in which their events happened. Pure; knows no file.

Every event of form 2 has a place, its run and its number in that run; every run's `started` names the event of the
vault before it. What that order lacks is reported in words and never raises.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from l2vault.vault.journal.events import Event, Restored, Retained, RetentionHeld, Started

RECORDER: Final = "recorder"
_OF_VERBS_TOO: Final = (Restored, Retained, RetentionHeld)


class Entry(NamedTuple):
    """An event and its place. `run` is None for a line of form 1, whose `n` counts the lines of its file."""

    event: Event
    run: str | None
    n: int
    mono_ms: int | None


class Place(NamedTuple):
    """One event of the vault by its run and its number in that run."""

    run: str
    n: int


class Ordered(NamedTuple):
    """Entries in the order in which they happened; `troubles` says what that order lacks, in words."""

    entries: list[Entry]
    troubles: list[str]


def in_order(entries: Iterable[Entry], passed_over: Iterable[Place] = ()) -> Ordered:
    """Form 1 first, as the files have it; then each recorder's run after the one its `started` names.

    A verb's run stands behind the event that its `started` names. A run whose predecessor is not there, one that
    lacks events, one that holds two events at one place, two recorders' runs behind one, and runs that name each other
    in a circle are troubles; each run still stands once, by the wall clock of its beginning where nothing better is
    known. `passed_over` are the places of lines that a later version wrote: they are not missing.
    """
    former: list[Entry] = []
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.run is None:
            former.append(entry)
        else:
            runs.setdefault(entry.run, []).append(entry)
    foreign: dict[str, set[int]] = {}
    for place in passed_over:
        foreign.setdefault(place.run, set()).add(place.n)
    troubles: list[str] = []
    for name, run in runs.items():
        run.sort(key=lambda entry: entry.n)
        runs[name] = run = _once_each(name, run, troubles)
        troubles += _lacking(name, run, foreign.get(name, set()))
    return Ordered([*former, *_Chain(runs, troubles).walk()], troubles)


def is_recorders(entry: Entry) -> bool:
    """Whether the run that begins with `entry` is a recorder's; one without its beginning counts as one."""
    event = entry.event
    return event.program == RECORDER if isinstance(event, Started) else not isinstance(event, _OF_VERBS_TOO)


def _once_each(name: str, run: list[Entry], troubles: list[str]) -> list[Entry]:
    """Sorted entries, one a place. The same event again is a second try at a disk that refused: it says nothing new."""
    kept: list[Entry] = []
    for entry in run:
        if not kept or entry.n != kept[-1].n:
            kept.append(entry)
        elif entry.event != kept[-1].event:
            troubles.append(f"run {name}: two different events stand at place {entry.n}")
    return kept


def _lacking(name: str, run: list[Entry], foreign: set[int]) -> Iterator[str]:
    first, last = run[0].n, run[-1].n
    if first != 1 or not isinstance(run[0].event, Started):
        yield f"run {name}: its beginning is missing, first event {first}"
    missing = last - first + 1 - len(run) - sum(first < n < last for n in foreign.difference(each.n for each in run))
    if missing > 0:
        yield f"run {name}: {missing} of its {last} events are missing"


class _Child(NamedTuple):
    """A run behind another's event. Verbs' runs sort before recorders', each by where and when it began."""

    is_recorder: bool
    at_n: int
    at: str
    name: str


class _Chain:
    """Runs as a tree: each hangs behind an event of its predecessor."""

    def __init__(self, runs: dict[str, list[Entry]], troubles: list[str]) -> None:
        self._runs = runs
        self._troubles = troubles
        self._behind: dict[str, list[_Child]] = {}
        self._roots: list[tuple[str, str]] = []
        for name, run in runs.items():
            self._place(name, run[0])
        for name, children in self._behind.items():
            followers = [child.name for child in sorted(children) if child.is_recorder]
            if len(followers) > 1:
                troubles.append(f"run {name}: more than one recorder's run follows it: {', '.join(followers)}")

    def _place(self, name: str, first: Entry) -> None:
        start = first.event
        previous = start.previous_run if isinstance(start, Started) else None
        if isinstance(start, Started) and previous in self._runs and previous != name:
            child = _Child(is_recorders(first), start.previous_n or 0, start.at, name)
            self._behind.setdefault(previous, []).append(child)
            return
        if previous is not None:
            self._troubles.append(f"run {name}: the run before it, {previous}, is missing")
        self._roots.append((start.at, name))

    def walk(self) -> Iterator[Entry]:
        """Without recursion: a vault may have thousands of runs, each behind the one before."""
        done: set[str] = set()
        for _, name in sorted(self._roots):
            yield from self._walk_from(name, done)
        # What a circle keeps from every root: each of its runs once, the earliest by the wall clock first.
        for at, name in sorted((run[0].event.at, name) for name, run in self._runs.items()):
            if name not in done:
                self._troubles.append(f"run {name}, begun at {at}: it stands before itself, in a circle of runs")
                yield from self._walk_from(name, done)

    def _walk_from(self, root: str, done: set[str]) -> Iterator[Entry]:
        stack = [self._of(root, done)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step, Entry):
                yield step
            else:
                stack.append(self._of(step, done))

    def _of(self, name: str, done: set[str]) -> Iterator["Entry | str"]:
        """The entries of a run and, each in its place, the names of those that hang behind it."""
        if name in done:
            return
        done.add(name)
        children = sorted(self._behind.get(name, ()))
        verbs = [child for child in children if not child.is_recorder]
        at = 0
        for entry in self._runs[name]:
            while at < len(verbs) and verbs[at].at_n < entry.n:
                yield verbs[at].name
                at += 1
            yield entry
        yield from (child.name for child in [*verbs[at:], *(child for child in children if child.is_recorder)])


def encoded(event: Event) -> bytes:
    """An event as one line of JSON without a place."""
    return _ENCODER.encode(event)


_ENCODER = msgspec.json.Encoder()
