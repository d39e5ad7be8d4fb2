"""Writes the journal: one JSON line per event, appended and fsynced, in the file of its day.

Every line of form 2 carries the run it is of (`run`), its place in that run from 1 on (`n`) and monotonic milliseconds
(`mono_ms`). Readers get the events in the order of runs and places, whatever the wall clock said (`order`); lines of
form 1 have none of these: they come first, in the order of the files. Knows no data file and draws no conclusion.
"""

import os
import platform
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from l2vault.book.utc import utc_ms
from l2vault.vault.journal.events import SCHEMA, Event, Started
from l2vault.vault.journal.lines import (
    BadLine,
    JournalFile,
    journal_files,
    read_events,
    read_file,
    read_journal,
    read_ordered,
)
from l2vault.vault.journal.order import Entry, Ordered, Place, encoded, in_order
from l2vault.vault.journal.places import PreviousRun, newest_place, previous_run
from l2vault.vault.journal.reserve import Reserve
from l2vault.vault.store.durable import is_no_room, make_folders, named, sync_folder, write_all
from l2vault.vault.store.layout import Layout
from l2vault.version import __version__

__all__ = [
    "BadLine",
    "Entry",
    "Journal",
    "JournalFile",
    "Ordered",
    "Place",
    "PreviousRun",
    "in_order",
    "journal_files",
    "newest_place",
    "place_line",
    "previous_run",
    "read_events",
    "read_file",
    "read_journal",
    "read_ordered",
    "start_of_run",
    "verb_journal",
]


class Journal:
    """Appends the events of one run, from any thread. Every event is on the disk when `append` returns.

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
        self._start: Started | None = None
        self._alone = threading.Lock()
        self.run = run or secrets.token_hex(6)
        self.n = 0
        """The place of the newest event on the disk; 0 before the first."""
        self.newest_line = b""
        """That event as it stands in the file, without its newline."""
        self._unsynced: dict[Path, None] = {}
        self._reserve = Reserve(layout.journal_reserve)

    def keep_room(self) -> None:
        """Have some room of the disk kept for the time in which it is full: `append` then takes of it."""
        self._reserve.fill()

    def append(self, event: Event, is_synced: bool = True) -> None:
        """Raises OSError where the disk refuses; a torn line it may leave is skipped by readers.

        Where many events follow each other, one `sync` behind the last of them does for all.
        """
        with self._alone:
            if self._begin is not None:
                begin = self._begin
                # Made once: after a refusal a part of it may be in the file, and must not be the place before itself.
                self._start = self._start or begin(newest_place(self._layout))
                self._append(self._start, is_synced)
                self._begin = None
            self._append(event, is_synced)

    def sync(self) -> None:
        """Put on the disk what was appended. Raises OSError where it refuses."""
        with self._alone:
            self._sync()

    def leave_out(self, events: int) -> None:
        """So many events could not be kept until the disk took them: readers see that they are missing."""
        with self._alone:
            self.n += events

    def begin_again(self) -> Place:
        """The next event begins a new run; returns the newest place of the former one, for its `started`."""
        with self._alone:
            former = Place(self.run, self.n)
            self.run, self.n = secrets.token_hex(6), 0
            return former

    def _append(self, event: Event, is_synced: bool) -> None:
        line = place_line(encoded(event), self.run, self.n + 1, self._monotonic_ms())
        path = self._layout.journal_file(utc_ms(event.at))
        try:
            self._write(path, line)
        except OSError as error:
            if not is_no_room(error) or not self._reserve.give(len(line)):
                raise
            self._write(path, line)
        if is_synced:
            self._sync()  # an event that it refuses is appended again, at the same place
        self.n, self.newest_line = self.n + 1, line

    def _write(self, path: Path, line: bytes) -> None:
        changed_folders = {path.parent, *make_folders(path.parent)}
        with path.open("ab+", buffering=0) as file:  # one write a line: other processes append to this file too
            is_new = file.seek(0, os.SEEK_END) == 0
            torn = not is_new and _last_byte(path) != b"\n"
            write_all(file, (b"\n" if torn else b"") + line + b"\n")
        self._unsynced.update(dict.fromkeys([path, *(changed_folders if is_new else ())]))

    def _sync(self) -> None:
        while self._unsynced:
            path = next(iter(self._unsynced))
            if path.is_dir():
                sync_folder(path)
            else:
                with suppress(FileNotFoundError), named(path), path.open("ab", buffering=0) as file:
                    os.fsync(file.fileno())
            del self._unsynced[path]


def place_line(text: bytes, run: str, n: int, mono_ms: int) -> bytes:
    """An encoded event with its place behind its own keys."""
    return b'%b,"run":"%b","n":%d,"mono_ms":%d}' % (text[:-1], run.encode(), n, max(0, mono_ms))


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


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
