"""The folder of an export: whole, or not there, and written by one export at a time. Knows nothing of what is in it,
but the name of its label."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock, Timeout

from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.store.durable import cure_of, is_no_room, replace, sync_folder
from l2vault.vault.store.stream import read_small

LABEL: Final = "coverage.json"
SCHEMA: Final = "l2vault.export/1"

_DRAFT: Final = ".exporting"
_FORMER: Final = ".replaced"
_LOCK: Final = ".lock"


class _Schema(msgspec.Struct):
    schema: str


@contextmanager
def new_folder(out: Path, is_forced: bool) -> Iterator[Path]:
    """A folder beside `out` to write into, which becomes `out` at the end; nothing is left of it where that fails.

    Raises UsageError where `out` exists, unless `is_forced` and it is an export made before, which is then replaced,
    and VaultError where another export is writing it or it cannot be written.
    """
    if out.name in ("", ".."):
        raise UsageError(f"{printable(out)} names no new folder.", "--out with the name of one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with _alone(out):
            _bring_back(out)
            _check(out, is_forced)
            with _drafted(out) as draft:
                yield draft
                _sync(draft)
                _put_in_place(draft, out)
    except OSError as error:
        why = printable(error.strerror or error)
        cure = "another --out, with more room" if is_no_room(error) else f"another --out, or {cure_of(error)}"
        raise VaultError(f"cannot write {printable(out)}: {why}.", cure) from error


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Whatever stands beside `out` belongs to the export that holds this lock, or to one that was killed."""
    path = out.with_name(f".{out.name}{_LOCK}")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        cure = "another --out, or the same again when that one has ended"
        raise VaultError(f"another export is writing {printable(out)}.", cure) from None
    except NotImplementedError as error:  # a file system without locks, older filelock
        raise OSError(str(error)) from error
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held; what is open cannot go on Windows, where filelock deletes it
            path.unlink()
        lock.release()


@contextmanager
def _drafted(out: Path) -> Iterator[Path]:
    draft = out.with_name(f".{out.name}{_DRAFT}")
    shutil.rmtree(draft, ignore_errors=True)  # of an export that was killed
    try:
        draft.mkdir()
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _former(out: Path) -> Path:
    """Where an export waits while another one takes its name."""
    return out.with_name(f".{out.name}{_FORMER}")


def _bring_back(out: Path) -> None:
    """What a run left that was killed between two names: the export made before, where the new one has no name yet."""
    former = _former(out)
    if not former.is_dir() or former.is_symlink():
        return
    if out.exists() or out.is_symlink() or not _is_export(former):
        shutil.rmtree(former, ignore_errors=True)
    else:
        replace(former, out)


def _check(out: Path, is_forced: bool) -> None:
    if not (out.exists() or out.is_symlink()):
        return
    shown = printable(out)
    if not is_forced:
        raise UsageError(f"{shown} exists already.", "another --out, or --force, which replaces an export made before")
    if out.is_symlink() or not _is_export(out):
        raise UsageError(f"{shown} is no export of l2vault, so --force does not replace it.", "another --out")


def _is_export(out: Path) -> bool:
    """One of ours is labelled; an empty folder holds nothing to lose."""
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    try:
        label = msgspec.json.decode(read_small(out / LABEL), type=_Schema)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return False
    return label.schema == SCHEMA


def _put_in_place(draft: Path, out: Path) -> None:
    if not out.exists():
        replace(draft, out)
    else:
        former = _former(out)
        shutil.rmtree(former, ignore_errors=True)
        replace(out, former)
        try:
            replace(draft, out)
        except OSError:
            replace(former, out)
            raise
        shutil.rmtree(former, ignore_errors=True)
    sync_folder(out.parent)


def _sync(folder: Path) -> None:
    """Every file and name in it: the new name must not stand before what it names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)
