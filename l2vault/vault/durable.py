"""Making bytes and names outlive a power cut, on every system. Knows no path and no format of the vault."""

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

IS_WINDOWS: Final = os.name == "nt"
_REPLACE_ATTEMPTS: Final = 20
_REPLACE_PAUSE_SEC: Final = 0.05
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
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(handle)


def write_atomically(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Whoever reads `path`, now or after a power cut, finds the old bytes or the new ones, whole; creates its folders.

    Raises OSError with the old bytes in place. One writer at a time for each path.
    """
    changed_folders = {path.parent, *make_folders(path.parent)}
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        _replace(draft, path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    for folder in changed_folders:
        sync_folder(folder)


def _replace(source: Path, target: Path) -> None:
    """Windows refuses while anyone, a reader or a virus scanner, has the target open: they let go within moments."""
    for _ in range(_REPLACE_ATTEMPTS - 1):
        try:
            source.replace(target)
        except PermissionError:
            if not IS_WINDOWS:
                raise
            time.sleep(_REPLACE_PAUSE_SEC)
        else:
            return
    source.replace(target)
