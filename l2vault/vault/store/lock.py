"""One writer per vault, and a vault that can be written: certain before recording starts, and looked at while it lasts.

The operating system frees the lock of a process that dies, so nothing here ever has to judge whether one is alive. A
lock is a file: deleted or replaced, it no longer keeps anybody out, so its holder compares it with its path.
"""

import os
import platform
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout

from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import VaultError
from l2vault.vault.store.durable import unlink, write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

_PROBE_BYTES: Final = 65_536
"""A line with room to spare: a disk that does not take this much is full."""
_WAIT_SEC: Final = 2.0
"""For another process that only looks whether the vault is held (`open_hours`)."""
_POLL_SEC: Final = 0.02
_LOOK_SEC: Final = 0.1
"""On Windows, which shares no lock: for another process that only looks, too."""


class VaultHeld(VaultError):
    """Another process writes the vault."""


_Place = tuple[int, int] | None
"""Device and inode of a path; None where nothing is."""


class OpenHour(msgspec.Struct, frozen=True):
    """The hour of an instrument that is being written, by its beginning as `utc_text`."""

    inst_id: str
    hour: str


class Owner(msgspec.Struct, frozen=True):
    """Who holds the lock, and which hours no other process may touch meanwhile. It proves nothing, the lock does."""

    pid: int
    host: str
    started_at: str
    run: str = ""
    open_hours: list[OpenHour] = []


class VaultLock:
    """Held from `acquire` to `release`, or until this object or the process ends."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._lock = self._new_lock()
        self._places: dict[Path, _Place] = {}
        self._owner = Owner(os.getpid(), platform.node(), "")

    def acquire(self, at: str, run: str = "") -> None:
        """Take the vault, creating its folders. Raises VaultError if another holds it or it cannot be written."""
        if self._lock.is_locked:
            raise VaultError(f"the vault {self._layout.root} is already locked by this very object.", "acquire it once")
        self._owner = Owner(os.getpid(), platform.node(), at, run)
        self._take(_WAIT_SEC)
        try:
            self._probe()
            self._write_owner()
        except OSError as error:
            self._lock.release()
            raise self._unwritable(error) from error
        self._places = self._look()

    def note(self, run: str, open_hours: list[tuple[str, int]]) -> None:
        """Say which hours are being written, where that has changed. Raises OSError where the disk refuses."""
        hours = [OpenHour(inst_id, utc_text(hour_ms)) for inst_id, hour_ms in sorted(open_hours)]
        owner = Owner(self._owner.pid, self._owner.host, self._owner.started_at, run, hours)
        if owner != self._owner:
            self._owner, former = owner, self._owner
            try:
                self._write_owner()
            except OSError:
                self._owner = former
                raise

    def is_in_place(self) -> bool:
        """Whether the lock's file is the one that is held, or at least there: one call of the system, for every batch
        of lines. If not, another process may hold the vault: `check` before anything is written."""
        return _place_of(self._layout.lock_file) == self._places.get(self._layout.lock_file)

    def check(self) -> list[str]:
        """Whether the vault is still ours: what was deleted or replaced since the last look, and is taken again.

        Call it every fsync round. Raises VaultError if another process holds the vault now, or it cannot be had again:
        then nothing more may be written.
        """
        replaced = [path for path, place in self._look().items() if place != self._places[path]]
        if not replaced:
            return []
        if self._layout.lock_file in replaced:
            former, self._lock = self._lock, self._new_lock()
            try:
                self._take(_WAIT_SEC)
            finally:
                former.release()
        try:
            self._layout.raw.mkdir(parents=True, exist_ok=True)
            self._layout.journal.mkdir(parents=True, exist_ok=True)
            self._write_owner()
        except OSError as error:
            raise self._unwritable(error) from error
        self._places = self._look()
        return [path.relative_to(self._layout.root.parent).as_posix() for path in replaced]

    def release(self) -> None:
        """Give the vault back; without effect where it is not held."""
        if self._lock.is_locked:
            owner = read_owner(self._layout)
            if owner is None or (owner.pid, owner.started_at) == (self._owner.pid, self._owner.started_at):
                with suppress(OSError):  # someone may be reading it, on Windows; a stale one misleads nobody
                    unlink(self._layout.owner_file)
            self._lock.release()

    def _new_lock(self) -> FileLock:
        # Not bound to a thread: whoever ends the recorder may release what another thread acquired.
        return FileLock(str(self._layout.lock_file), thread_local=False)

    def _take(self, wait_sec: float) -> None:
        try:
            self._layout.raw.mkdir(parents=True, exist_ok=True)
            self._layout.lock_file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=wait_sec, poll_interval=_POLL_SEC)
        except Timeout:
            raise self._held() from None
        except PermissionError as error:
            if self._layout.lock_file.exists():
                raise self._not_ours(error) from error
            raise self._unwritable(error) from error
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks, older filelock
            raise self._unwritable(error) from error

    def _look(self) -> dict[Path, _Place]:
        """What the vault stands on. On Windows nobody can delete what is open, and the lock file is."""
        paths = self._layout.lock_file, self._layout.lock_file.parent, self._layout.journal, self._layout.raw
        return {path: _place_of(path) for path in paths}

    def watch_journal(self) -> None:
        """The journal's folder is there by now: from here on it is looked at."""
        self._places[self._layout.journal] = _place_of(self._layout.journal)

    def _write_owner(self) -> None:
        write_atomically(self._layout.owner_file, msgspec.json.encode(self._owner))

    def _probe(self) -> None:
        """The owner file shows that `meta` takes files; this shows it for the data, which may be on another disk."""
        with tempfile.TemporaryFile(dir=self._layout.raw) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())

    def _held(self) -> "VaultHeld":
        owner = read_owner(self._layout)
        who = "another process"
        if owner is not None:
            who = f"process {owner.pid} on {owner.host}, since {owner.started_at}"
        cure = "stop that recorder first, or record into another folder with --vault"
        return VaultHeld(f"the vault {self._layout.root} is being recorded by {who}.", cure)

    def _unwritable(self, error: Exception) -> VaultError:
        cure = "make room on its disk, let this user write there, or choose another folder with --vault"
        return VaultError(f"the vault {self._layout.root} cannot be written: {error}.", cure)

    def _not_ours(self, error: Exception) -> VaultError:
        cure = "run as the user who recorded it, give this user the folder, or choose another one with --vault"
        return VaultError(f"the lock of the vault, {self._layout.lock_file}, is another user's: {error}.", cure)


def read_owner(layout: Layout) -> Owner | None:
    """Who took the vault last without giving it back; None where nobody did or the file does not read."""
    try:
        return msgspec.json.decode(read_small(layout.owner_file), type=Owner)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def open_hours(layout: Layout) -> set[tuple[str, int]]:
    """Instrument and beginning (milliseconds since the epoch) of each hour that a recorder writes at this moment.

    Empty where nobody holds the lock. Where that cannot be found out, what the owner's file says counts.
    """
    return set() if is_held(layout) is False else _hours_of(read_owner(layout))


def is_held(layout: Layout) -> bool | None:
    """Whether some process records into the vault at this moment; None where that cannot be found out, as where this
    user may not open the lock."""
    if not layout.lock_file.exists():
        return False
    if sys.platform == "win32":
        return _refuses(layout.lock_file, _LOOK_SEC)
    import fcntl

    try:
        handle = os.open(layout.lock_file, os.O_RDONLY)
    except OSError:
        return None if layout.lock_file.exists() else False
    try:
        # Shared: two processes that look at one moment do not take each other for a recorder.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that has no such locks
        return _refuses(layout.lock_file, 0)
    finally:
        os.close(handle)
    return False


def _refuses(lock_file: Path, within_sec: float) -> bool | None:
    """Whether the lock cannot be had within that time, for which another one may look at it too."""
    probe = FileLock(str(lock_file), thread_local=False)
    try:
        probe.acquire(timeout=within_sec, poll_interval=_POLL_SEC)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    probe.release()
    return False


def _hours_of(owner: Owner | None) -> set[tuple[str, int]]:
    try:
        return {(each.inst_id, utc_ms(each.hour)) for each in (owner.open_hours if owner is not None else [])}
    except ValueError:  # written by something else
        return set()


def _place_of(path: Path) -> _Place:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino
