"""Lines of books and trades onto the disk: one append each, one file an hour, nothing torn left behind by a failure.

Opens a file for a write and closes the least recently written, so that any number of instruments works with few
handles. Knows what each hour holds: lines, bytes, SHA-256. Knows no queue, no clock and no journal: what a failure or a
closed hour means is the caller's business. Not for several threads.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.book.context import Context
from l2vault.book.context import to_line as context_to_line
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.vault.store.appendfile import AppendFile
from l2vault.vault.store.digest import HourDigest
from l2vault.vault.store.layout import HOUR_MS, Kind, Layout

OPEN_FILES: Final = 64
"""Handles that a writer holds at most."""
SYNC_THREADS: Final = 8
FILES_A_THREAD: Final = 16
"""A file system that journals commits the syncs that wait for it together: 250 files of ext4 took 0.9 s one after the
other, 0.05 s by eight threads (2026). Few files are not worth a thread."""
_NEWLINE: Final = b"\n"

Row = Snapshot | TradePush | Context
"""What one line is of."""


class _Stream(NamedTuple):
    """Lines that go into one row of hours."""

    kind: Kind
    inst_id: str


_Key = tuple[_Stream, int]
"""A stream and an hour since the epoch: one data file."""


class Vanished(NamedTuple):
    """Lines that went into a file which is no longer where it was: moved, deleted, or its disk taken away."""

    inst_id: str
    path: Path
    lines: int
    from_ms: int
    to_ms: int
    kind: Kind = "books"


class ClosedHour(NamedTuple):
    """What an hour holds in all its raw files of a kind. `is_open`: the recorder stops and may go on with it."""

    inst_id: str
    hour_ms: int
    digest: HourDigest
    is_open: bool
    kind: Kind = "books"


class LineWriter:
    """Appends each line to the file of its hour.

    Where retention has compressed an hour already and a line of it still comes, a new `HH.jsonl` beside `HH.jsonl.gz`
    is right: readers take both, the compressed one first.
    """

    def __init__(self, layout: Layout, open_files: int = OPEN_FILES) -> None:
        self._layout = layout
        self._open_files = open_files
        self._vanished: list[Vanished] = []
        self._files: dict[_Key, AppendFile] = {}
        self._handles: dict[_Key, None] = {}
        """Keys whose file has a handle, the least recently written first."""
        self._current: dict[_Stream, _Key] = {}
        self._ended: dict[_Key, None] = {}
        """Hours that wait for the sync after which they are closed."""
        self._former: dict[_Stream, _Key] = {}
        """Of each stream the hour that was closed last: a late line of it needs no reading of the whole file."""
        self._closed: list[ClosedHour] = []

    def resume(self, hours: Mapping[str, int], kind: Kind = "books") -> None:
        """The newest hour of each instrument that the vault holds: it is closed once a later one begins."""
        for inst_id, hour_ms in hours.items():
            key = _Stream(kind, inst_id), hour_ms // HOUR_MS
            self._current[key[0]] = key
            self._file(key)

    def append(self, row: Row) -> None:
        """Write one line. Raises OSError where the disk refuses; the line is then lost, but no part of it stays.

        A line that comes after a failed one is as good as any: the file is cut back first, by path if need be.
        """
        line = _line_of(row) + _NEWLINE
        ts_ms = row.ts_ms
        key = _Stream(kind_of(row), row.inst_id), ts_ms // HOUR_MS
        current = self._current.get(key[0])
        if current is None or key[1] > current[1]:
            self._current[key[0]] = key
            if current is not None:
                self._ended[current] = None
                self._file(current).is_busy = False
        elif key != current:
            self._ended[key] = None  # a late line: what the hour holds is to be noted again
        file = self._file(key)
        if not file.is_open:
            self._make_room()
        try:
            file.append(line, ts_ms)
        finally:
            self._handles.pop(key, None)
            if file.is_open:
                self._handles[key] = None

    def open_hours(self) -> list[tuple[str, int]]:
        """Instrument and beginning of each hour that is being written."""
        keys = dict.fromkeys([*self._current.values(), *self._ended])
        return list(dict.fromkeys((stream.inst_id, hour * HOUR_MS) for stream, hour in keys))

    def take_vanished(self) -> list[Vanished]:
        """What `sync` found gone since the last call. Nobody can read those lines; later ones go into a new file."""
        vanished, self._vanished = self._vanished, []
        return vanished

    def take_closed(self) -> list[ClosedHour]:
        """The hours that `sync` or `close` completed since the last call, with what they hold."""
        closed, self._closed = self._closed, []
        return closed

    def unsynced(self) -> list[str]:
        """The instruments whose newest lines are written but not synced: a power cut could still take them."""
        return list(dict.fromkeys(key[0].inst_id for key, file in self._files.items() if file.owes_sync))

    def sync(self, is_late: Callable[[], bool] = lambda: False) -> None:
        """Put on the disk, past its caches, every file and folder changed since the last time.

        An hour that has ended is closed, unless late lines came to it since the last time. One file's trouble does not
        keep the others from it; the first OSError is raised at the end. Once `is_late` no further file is begun with:
        that is a TimeoutError, and `unsynced` has their instruments.
        """
        for key, file in self._files.items():
            gone = file.let_go_if_gone()
            if gone is not None:
                self._vanished.append(Vanished(key[0].inst_id, file.path, *gone, key[0].kind))
        errors = self._sync_files([key for key, file in self._files.items() if file.owes_sync], is_late)
        for key, file in list(self._files.items()):
            if file.owes_sync:
                continue
            try:
                if key in self._ended and not file.is_busy:
                    self._end(key, file)
                file.is_busy = False
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def close(self, is_final: bool = False, is_late: Callable[[], bool] = lambda: False) -> None:
        """Sync and close every file. No handle stays open even if OSError is raised; `append` opens files again.

        With `is_final`, what the hours hold that are still being written is among the closed ones, as open.
        """
        try:
            self.sync(is_late)
        finally:
            if is_final:
                self._close_all_hours()
            self.abandon()  # those that could not be closed; what they owe is not forgotten

    def abandon(self) -> None:
        """Let go of every handle without another byte: the vault is another's now."""
        for file in self._files.values():
            file.abandon()
        self._handles.clear()

    def close_instrument(self, inst_id: str) -> None:
        """Let go of what is known of the files of an instrument's books: somebody is about to change them."""
        stream = _Stream("books", inst_id)
        for key in [key for key in self._files if key[0] == stream]:
            self._files[key].close()
            self._forget(key)
        self._current.pop(stream, None)

    def _close_all_hours(self) -> None:
        """But those that are not synced: what such an hour will hold after a power cut is not known."""
        for key in [key for key in self._ended if not self._file(key).owes_sync]:
            self._end(key, self._file(key))
        for key in self._current.values():
            file = self._files.get(key)
            if file is not None and file.was_written and not file.owes_sync:
                self._note_closed(key, file, True)

    def _note_closed(self, key: _Key, file: AppendFile, is_open: bool) -> None:
        digest = file.digest()
        if digest is not None:
            stream, hour = key
            self._closed.append(ClosedHour(stream.inst_id, hour * HOUR_MS, digest, is_open, stream.kind))

    def _sync_files(self, keys: Sequence[_Key], is_late: Callable[[], bool]) -> list[OSError]:
        """Returns what went wrong. Nobody else works on a file meanwhile."""
        waiting, errors = deque(keys), list[OSError]()

        def work() -> None:
            with suppress(IndexError):
                while not is_late():
                    file = self._files[waiting.popleft()]
                    was_open = file.is_open
                    try:
                        file.sync()
                    except OSError as error:
                        errors.append(error)
                    finally:
                        if not was_open:
                            file.abandon()  # opened for its sync; handles are for what is written

        threads = [
            threading.Thread(target=work, name="sync", daemon=True)
            for _ in range(min(SYNC_THREADS - 1, len(keys) // FILES_A_THREAD))
        ]
        begun = []
        with suppress(RuntimeError):  # the system has no room for more threads: those that are there do the work
            for thread in threads:
                thread.start()
                begun.append(thread)
        work()
        for thread in begun:
            thread.join()
        if waiting:
            errors.append(
                TimeoutError(f"{len(waiting)} of {len(keys)} files are written, but there was no time to sync them")
            )
        return errors

    def _end(self, key: _Key, file: AppendFile) -> None:
        """Note what the hour holds and close it. Its state is kept until the instrument's next hour ends."""
        file.close()
        self._handles.pop(key, None)
        del self._ended[key]
        self._note_closed(key, file, False)
        former = self._former.get(key[0])
        if former is not None and former != key and former not in self._ended:
            self._forget(former)
        self._former[key[0]] = key

    def _make_room(self) -> None:
        """Close the least recently written file. It is not synced for that: the next `sync` opens it again."""
        while len(self._handles) >= self._open_files:
            key = next(iter(self._handles))
            del self._handles[key]
            self._files[key].abandon()

    def _file(self, key: _Key) -> AppendFile:
        file = self._files.get(key)
        if file is None:
            stream, hour = key
            file = self._files[key] = AppendFile(self._layout.of(stream.kind).hour_file(stream.inst_id, hour * HOUR_MS))
        return file

    def _forget(self, key: _Key) -> None:
        self._files.pop(key, None)
        self._handles.pop(key, None)
        self._ended.pop(key, None)


def kind_of(row: Row) -> Kind:
    if isinstance(row, Snapshot):
        return "books"
    return "trades" if isinstance(row, TradePush) else "context"


def _line_of(row: Row) -> bytes:
    if isinstance(row, Snapshot):
        return to_line(row)
    return trade_to_line(row) if isinstance(row, TradePush) else context_to_line(row)
