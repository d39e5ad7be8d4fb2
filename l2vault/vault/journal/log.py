"""Writes and reads the journal: one JSON line per event, appended and fsynced, in the file of its day.

Every line of form 2 carries the run it is of (`run`), its place in that run from 1 on (`n`) and monotonic milliseconds
(`mono_ms`). Readers get the events in the order of runs and places, whatever the wall clock said; lines of form 1
have none of these: they come first, in the order of the files. Knows no data file and draws no conclusion.
"""

import os
import platform
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from l2vault import __version__
from l2vault.book.utc import utc_ms
from l2vault.vault.durable import make_folders, sync_folder
from l2vault.vault.journal.events import SCHEMA, Alive, Event, Minute, Retained, Started, Stopped
from l2vault.vault.layout import Layout

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_DICT_DECODER: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_DAYS: Final = "????-??-??.jsonl"
_PLACE: Final = re.compile(rb',"run":"([0-9a-f]{1,32})","n":([0-9]{1,15}),"mono_ms":([0-9]{1,15})\}$')
_STARTED: Final = b'{"event":"started"'
_TIME_FIELDS: Final = ("at", "ts", "from_", "to", "grid", "last_sign_of_life", "since", "hour", "exchange")
_FORMER_KEYS: Final = {
    "started": {"lines": "feeds"},
    "conflict": {"lines": "feeds"},
}
"""Keys of form 1 that form 2 calls otherwise; besides these, `line`, a connection, became `feed`."""


class Entry(NamedTuple):
    """An event and its place. `run` is None for a line of form 1, whose `n` counts the lines of its file."""

    event: Event
    run: str | None
    n: int
    mono_ms: int | None


class BadLine(NamedTuple):
    """A line of the journal that cannot be read, by its number from 1 on. A torn last line is none."""

    path: Path
    number: int
    reason: str


class JournalFile(NamedTuple):
    """What one day's file holds, in the order of its lines."""

    entries: list[Entry]
    bad: list[BadLine]


class Place(NamedTuple):
    """The newest event of the vault, for the `started` of the next run."""

    run: str
    n: int


class Journal:
    """Appends the events of one run. Every event is on the disk when `append` returns.

    `begin` makes the run's `started`, written before the first event: a verb that changes nothing leaves no trace.
    """

    def __init__(
        self,
        layout: Layout,
        monotonic_ms: Callable[[], int] = lambda: 0,
        begin: Callable[[Place | None], Started] | None = None,
        run: str | None = None,
    ) -> None:
        self._layout = layout
        self._monotonic_ms = monotonic_ms
        self._begin = begin
        self.run = run or secrets.token_hex(6)
        self.n = 0
        """The place of the newest event on the disk; 0 before the first."""

    def append(self, event: Event) -> None:
        """Raises OSError where the disk refuses; a torn line it may leave is skipped by readers."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            try:
                self._append(begin(newest_place(self._layout)))
            except OSError:
                self._begin = begin
                raise
        self._append(event)

    def _append(self, event: Event) -> None:
        line = place_line(_ENCODER.encode(event), self.run, self.n + 1, self._monotonic_ms())
        path = self._layout.journal_file(utc_ms(event.at))
        changed_folders = {path.parent, *make_folders(path.parent)}
        with path.open("ab+") as file:
            is_new = file.tell() == 0
            torn = not is_new and _last_byte(path) != b"\n"
            file.write((b"\n" if torn else b"") + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.n += 1
        if is_new:
            for folder in changed_folders:
                sync_folder(folder)


def place_line(text: bytes, run: str, n: int, mono_ms: int) -> bytes:
    """An encoded event with its place behind its own keys."""
    return b'%b,"run":"%b","n":%d,"mono_ms":%d}' % (text[:-1], run.encode(), n, max(0, mono_ms))


def journal_files(layout: Layout) -> list[Path]:
    """The day files, oldest name first."""
    return sorted(path for path in layout.journal.glob(_DAYS) if path.is_file())


def read_file(path: Path) -> JournalFile:
    """Every entry of one day's file. Events of later versions are skipped; what cannot be read is in `bad`."""
    entries: list[Entry] = []
    bad: list[BadLine] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = _read_line(line, number)
        except ValueError as error:  # msgspec's errors and that of invalid UTF-8 are ValueErrors
            if number < len(lines):  # what follows the last newline is torn, or being written
                bad.append(BadLine(path, number, str(error)[:200]))
            continue
        if entry is not None:
            entries.append(entry)
    return JournalFile(entries, bad)


def read_events(path: Path) -> Iterator[Event]:
    """The events of one day's file, in the order of its lines."""
    return (entry.event for entry in read_file(path).entries)


def read_journal(layout: Layout) -> Iterator[Event]:
    """Every event of the vault in the order in which it happened (see `in_order`)."""
    files = [read_file(path) for path in journal_files(layout)]
    return (entry.event for entry in in_order(entry for file in files for entry in file.entries).entries)


class Ordered(NamedTuple):
    """Entries in the order in which they happened; `troubles` says what that order lacks, in words."""

    entries: list[Entry]
    troubles: list[str]


def in_order(entries: Iterable[Entry]) -> Ordered:
    """Form 1 first, as the files have it; then each recorder's run after the one its `started` names.

    A verb's run stands behind the event that its `started` names. A run whose predecessor is not there, and one that
    lacks events, is a trouble; it stands where its `started` was noted by the wall clock.
    """
    former: list[Entry] = []
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.run is None:
            former.append(entry)
        else:
            runs.setdefault(entry.run, []).append(entry)
    troubles: list[str] = []
    for name, run in runs.items():
        run.sort(key=lambda entry: entry.n)
        runs[name] = run = _once_each(run)
        if run[0].n != 1 or not isinstance(run[0].event, Started):
            troubles.append(f"run {name}: its beginning is missing, first event {run[0].n}")
        missing = run[-1].n - run[0].n + 1 - len(run)
        if missing:
            troubles.append(f"run {name}: {missing} of its {run[-1].n} events are missing")
    return Ordered([*former, *_Chain(runs, troubles).walk()], troubles)


class _Chain:
    """Runs as a tree: each hangs behind an event of its predecessor."""

    def __init__(self, runs: dict[str, list[Entry]], troubles: list[str]) -> None:
        self._runs = runs
        self._behind: dict[str, list[tuple[bool, int, str, str]]] = {}
        """By predecessor: whether a recorder, behind which event, when by the wall clock, and the run."""
        self._roots: list[tuple[str, str]] = []
        for name, run in runs.items():
            start = run[0].event
            previous = start.previous_run if isinstance(start, Started) else None
            if previous in runs and previous != name and isinstance(start, Started):
                is_recorder = start.program == "recorder"
                at_n = start.previous_n or 0
                self._behind.setdefault(previous, []).append((is_recorder, at_n, start.at, name))
                continue
            if previous is not None:
                troubles.append(f"run {name}: the run before it, {previous}, is missing")
            self._roots.append((start.at, name))

    def walk(self) -> Iterator[Entry]:
        """Without recursion: a vault may have thousands of runs, each behind the one before."""
        done: set[str] = set()
        # Last, what a circle that damage made keeps from every root: each of its runs once.
        for name in [*(name for _, name in sorted(self._roots)), *self._runs]:
            stack = [self._of(name, done)]
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
        verbs = [child for child in children if not child[0]]
        at = 0
        for entry in self._runs[name]:
            yield entry
            while at < len(verbs) and verbs[at][1] <= entry.n:
                yield verbs[at][3]
                at += 1
        yield from (child[3] for child in [*verbs[at:], *(child for child in children if child[0])])


class PreviousRun(NamedTuple):
    """The newest run of a recorder: when it last noted anything, and whether that was the `stopped` of a clean end."""

    run: str | None
    n: int
    at: str
    is_stopped: bool


def previous_run(layout: Layout) -> PreviousRun | None:
    """The recorder's run that a new one follows; None in a new vault."""
    files = [read_file(path) for path in journal_files(layout)]
    ordered = in_order(entry for file in files for entry in file.entries).entries
    verbs = {entry.run for entry in ordered if isinstance(entry.event, Started) and entry.event.program != "recorder"}
    for entry in reversed(ordered):
        if entry.run not in verbs and not isinstance(entry.event, Retained):
            return PreviousRun(entry.run, entry.n, entry.event.at, isinstance(entry.event, Stopped))
    return None


def newest_place(layout: Layout) -> Place | None:
    """The newest event of form 2, behind which a verb's run stands; None where there is none."""
    newest: dict[str, int] = {}
    started: list[Entry] = []
    for path in journal_files(layout):
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            found = _PLACE.search(line[-96:])
            if found is None:
                continue
            run, n = found[1].decode(), int(found[2])
            newest[run] = max(n, newest.get(run, 0))
            if line.startswith(_STARTED):
                started += [entry for entry in _tolerant(line, number) if entry.run is not None]
    heads = [entry for entry in in_order(started).entries if entry.run in newest]
    recorders = [entry for entry in heads if isinstance(entry.event, Started) and entry.event.program == "recorder"]
    if not heads:
        return Place(*max(newest.items(), key=lambda item: item[1])) if newest else None
    last = recorders[-1] if recorders else heads[-1]
    run = str(last.run)
    for entry in heads:  # verbs behind its newest event, each behind the one before
        start = entry.event
        if isinstance(start, Started) and start.previous_run == run and (start.previous_n or 0) >= newest[run]:
            run = str(entry.run)
    return Place(run, newest[run])


def start_of_run(at: str, program: str, previous: Place | None) -> Started:
    """The `started` of a run of this process; a recorder adds what it records."""
    run, n = (None, None) if previous is None else previous
    host, system = socket.gethostname(), platform.platform()
    return Started(
        at,
        __version__,
        host,
        os.getpid(),
        system,
        program=program,
        schema=SCHEMA,
        previous_run=run,
        previous_n=n,
    )


def verb_journal(layout: Layout, program: str, at: Callable[[], str], monotonic_ms: Callable[[], int]) -> Journal:
    """A journal for a verb that may change the vault: its run begins with its first event."""
    return Journal(layout, monotonic_ms, lambda place: start_of_run(at(), program, place))


def _once_each(run: list[Entry]) -> list[Entry]:
    """Sorted entries without those whose place stands twice: a copy of a line says nothing new."""
    return [entry for at, entry in enumerate(run) if at == 0 or entry.n != run[at - 1].n]


def _tolerant(line: bytes, number: int) -> list[Entry]:
    try:
        entry = _read_line(line, number)
    except ValueError:
        return []
    return [] if entry is None else [entry]


def _read_line(line: bytes, number: int) -> Entry | None:
    """The entry of a line; None for an event this version does not know. Raises ValueError for what is no event."""
    place = _PLACE.search(line[-96:])
    try:
        if place is None:
            event = msgspec.convert(_as_form_2(_DICT_DECODER.decode(line)), Event)
        else:
            event = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        if "Invalid value" in str(error) and "`$.event`" in str(error):  # of a later version
            return None
        raise
    _check_times(event)
    if place is None:
        return Entry(event, None, number, None)
    return Entry(event, place[1].decode(), int(place[2]), int(place[3]))


def _as_form_2(values: dict[str, Any]) -> dict[str, Any]:
    renamed = _FORMER_KEYS.get(values.get("event", ""), {"line": "feed"})
    return {renamed.get(key, key): value for key, value in values.items()}


def _check_times(event: Event) -> None:
    """Raises ValueError for a time that is none, so that no reader of meaning has to expect one."""
    if isinstance(event, Alive):
        utc_ms(event.at)
        return
    for name in _TIME_FIELDS:
        value = getattr(event, name, None)
        if isinstance(value, str):
            utc_ms(value)
    if isinstance(event, Minute):
        for one in event.instruments.values():
            quiet = [time for each in one.quiet for time in (each.since, each.first, each.last)]
            for time in (one.first, one.last, one.last_line, one.book_time, *quiet):
                if time is not None:
                    utc_ms(time)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
