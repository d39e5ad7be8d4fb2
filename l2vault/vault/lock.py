"""One writer per vault, and a vault that can be written: both are certain before recording starts.

The operating system frees the lock of a process that dies, so nothing here ever has to judge whether one is alive.
"""

import os
import platform
import tempfile
from contextlib import suppress
from typing import Final

import msgspec
from filelock import FileLock, Timeout

from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.vault.durable import unlink, write_atomically
from l2vault.vault.layout import Layout

_PROBE_BYTES: Final = 65_536
"""A line with room to spare: a disk that does not take this much is full."""


class Owner(msgspec.Struct, frozen=True):
    """Who holds the lock, for people to read; it proves nothing, the lock does."""

    pid: int
    host: str
    started_at: str


class VaultLock:
    """Held from `acquire` to `release`, or until this object or the process ends."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Not bound to a thread: whoever ends the recorder may release what another thread acquired.
        self._lock = FileLock(str(layout.lock_file), thread_local=False)

    def acquire(self, at: str) -> None:
        """Take the vault, creating its folders. Raises VaultError if another holds it or it cannot be written."""
        if self._lock.is_locked:
            raise VaultError(f"the vault {self._layout.root} is already locked by this very object.", "acquire it once")
        try:
            self._layout.raw.mkdir(parents=True, exist_ok=True)
            self._layout.lock_file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise self._held() from None
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks, older filelock
            raise self._unwritable(error) from error
        try:
            self._probe()
            owner = Owner(os.getpid(), platform.node(), at)
            write_atomically(self._layout.owner_file, msgspec.json.encode(owner))
        except OSError as error:
            self._lock.release()
            raise self._unwritable(error) from error

    def release(self) -> None:
        """Give the vault back; without effect where it is not held."""
        if self._lock.is_locked:
            with suppress(OSError):  # someone may be reading it, on Windows; a stale one misleads nobody
                unlink(self._layout.owner_file)
            self._lock.release()

    def _probe(self) -> None:
        """The owner file shows that `meta` takes files; this shows it for the data, which may be on another disk."""
        with tempfile.TemporaryFile(dir=self._layout.raw) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())

    def _held(self) -> VaultError:
        owner = read_owner(self._layout)
        who = "another process"
        if owner is not None:
            who = f"process {owner.pid} on {owner.host}, since {owner.started_at}"
        cure = "stop that recorder first, or record into another folder with --vault"
        return VaultError(f"the vault {self._layout.root} is being recorded by {who}.", cure)

    def _unwritable(self, error: Exception) -> VaultError:
        cure = "make room on its disk, let this user write there, or choose another folder with --vault"
        return VaultError(f"the vault {self._layout.root} cannot be written: {error}.", cure)


def read_owner(layout: Layout) -> Owner | None:
    """Who took the vault last without giving it back; None where nobody did or the file does not read."""
    try:
        return msgspec.json.decode(layout.owner_file.read_bytes(), type=Owner)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None


def open_hours(layout: Layout) -> set[tuple[str, int]]:
    """Instrument and start of each hour that the recorder of this vault is writing; empty where nobody holds the lock.

    No other process may touch such an hour.
    """
    if not layout.lock_file.exists() or not _is_held(layout):
        return set()
    try:
        found = msgspec.json.decode(layout.owner_file.read_bytes(), type=_OpenHours).open_hours
        return {(each.inst_id, utc_ms(each.hour)) for each in found}
    except (OSError, ValueError):
        return set()


class _OpenHour(msgspec.Struct, frozen=True):
    inst_id: str
    hour: str


class _OpenHours(msgspec.Struct, frozen=True):
    open_hours: list[_OpenHour] = []


def _is_held(layout: Layout) -> bool:
    """Asked of the operating system by taking the lock for a moment."""
    lock = FileLock(str(layout.lock_file))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return True
    lock.release()
    return False
