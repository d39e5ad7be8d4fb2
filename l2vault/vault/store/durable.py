"""Making bytes and names outlive a power cut, on every system. Knows no path and no format of the vault."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final

from l2vault.errors import VaultError
from l2vault.foreign import printable

DRAFT_SUFFIX: Final = ".tmp"
"""Ends the name of what `write_atomically` has not finished."""

IS_WINDOWS: Final = os.name == "nt"
_ATTEMPTS: Final = 20
_PAUSE_SEC: Final = 0.05
_NO_ROOM: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_SHOWN_CHARS: Final = 400
_CANNOT_SYNC_FOLDERS: Final = frozenset({errno.EBADF, errno.EINVAL})
"""What network and FUSE file systems answer that have no fsync for folders; PostgreSQL ignores the same two."""


def make_folders(folder: Path) -> list[Path]:
    """Create `folder` and what is missing above it; returns the folders that got a new entry, for `sync_folder`."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return [path.parent for path in missing]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Nothing to do on Windows, which journals names and cannot open a folder."""
    if IS_WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with named(folder):
            os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes | Iterable[bytes], is_durable: bool = True) -> None:
    """Whoever reads `path`, now or after a power cut, finds the old bytes or the new ones, whole; creates its folders.

    Raises OSError with the old bytes in place. One writer at a time for each path. Without `is_durable` nothing waits
    for the disk, and after a power cut the file may be anything.
    """
    changed_folders = {path.parent, *make_folders(path.parent)}
    draft = hidden(path, DRAFT_SUFFIX)
    try:
        with named(path), draft.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        replace(draft, path)
    except BaseException:  # Ctrl-C too
        with suppress(OSError):
            unlink(draft, missing_ok=True)
        raise
    for folder in changed_folders if is_durable else ():
        sync_folder(folder)


def replace(source: Path, target: Path) -> None:
    """Rename, over whatever has the name already. The one way in which a file of the vault gets another name."""
    _insist(partial(os.replace, source, target))


def unlink(path: Path, missing_ok: bool = False) -> None:
    """Delete a file. The one way in which a file of the vault is deleted."""
    try:
        _insist(partial(os.unlink, path))
    except FileNotFoundError:
        if not missing_ok:
            raise


def hidden(path: Path, suffix: str) -> Path:
    """A temporary name beside `path`: hidden, and matched by no pattern that looks for data, such as `*.jsonl*`."""
    return path.with_name(f".{path.name.replace('.', '-')}{suffix}")


def _insist(act: Callable[[], None]) -> None:
    """Windows refuses while anyone, a reader or a virus scanner, has the file open: they let go within moments."""
    for _ in range(_ATTEMPTS - 1):
        try:
            act()
        except PermissionError:
            if not IS_WINDOWS:
                raise
            time.sleep(_PAUSE_SEC)
        else:
            return
    act()


def write_all(file: FileIO, data: bytes) -> None:
    """All of `data`, or OSError: a disk about to be full takes a part first and refuses at the next try."""
    rest = memoryview(data)
    while rest:
        with named(file.name):
            written = file.write(rest)
        if not written:
            raise OSError(errno.ENOSPC, "the disk takes no more bytes", str(file.name))
        rest = rest[written:]


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Around bytes and syncs of a file, of which the system refuses some without saying where."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def is_no_room(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in _NO_ROOM


def cure_of(error: OSError) -> str:
    """What helps where the disk refused something."""
    if is_no_room(error):
        return "make room, then the same again"
    if error.errno in _NOT_ALLOWED:
        return "let this user write there, then the same again"
    return "see to that disk, then the same again"


@contextmanager
def refusals(place: Path, stands: str = "") -> Iterator[None]:
    """What the disk refuses becomes one sentence: which file (`place` where the system names none), why, `stands`, and
    the cure. Raises VaultError."""
    try:
        yield
    except OSError as error:
        where, why = printable(error.filename or place, _SHOWN_CHARS), printable(error.strerror or error)
        raise VaultError(f"{where}: {why}.{f' {stands}.' if stands else ''}", cure_of(error)) from error


DELETING_SUFFIX: Final = ".deleting"
"""Ends the name of a file whose deletion has begun; finish it with `finish_removal`."""

_LINES: Final = ".jsonl"


def doomed_path(path: Path) -> Path:
    """The name of `path` once its deletion has begun: `.23.gz.deleting` for `23.jsonl.gz`, which no reader takes."""
    return path.with_name(f".{path.name.replace(_LINES, '', 1)}{DELETING_SUFFIX}")


def former_path(doomed: Path) -> Path:
    """The inverse of `doomed_path`, for the names of earlier versions too, which only had the suffix."""
    name = doomed.name.removesuffix(DELETING_SUFFIX)
    if not name.startswith("."):
        return doomed.with_name(name)
    stem, dot, suffix = name[1:].partition(".")
    return doomed.with_name(f"{stem}{'' if suffix == 'parquet' else _LINES}{dot}{suffix}")


def remove(path: Path, note: Callable[[], None]) -> None:
    """Raises OSError with the file in place where it cannot go: Windows refuses to rename what a reader has open."""
    doomed = doomed_path(path)
    replace(path, doomed)
    finish_removal(doomed, note)


def finish_removal(doomed: Path, note: Callable[[], None]) -> None:
    """A disk too full for the note is no reason to keep what fills it: then the file goes first."""
    try:
        note()
    except OSError:
        unlink(doomed)
        note()
    else:
        unlink(doomed)
    sync_folder(doomed.parent)
