"""What a verb does to the file system, act by act: the n-th one kills the process, or is refused by the disk.

An act is a file opened for writing, bytes written or cut off, a sync, a new name, a deletion, a folder made or removed.
A killed process does nothing more: what its own code would clean up stays, and a write that is the last one is torn.
Sees what goes through `open` and `os`: not what a library writes by itself, as pyarrow does.
"""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

Fault = Literal["none", "kill", "full", "quota", "error", "gone"]
"""`full` and `quota`: from that act on nothing that needs room is taken. `error`: that act alone fails. `gone`: from
that act on every act fails, as on a disk that was pulled out."""

_NUMBERS: Final = {"full": errno.ENOSPC, "quota": errno.EDQUOT, "error": errno.EIO, "gone": errno.EIO}
_NEED_ROOM: Final = frozenset({"open", "write", "mkdir"})
_WRITES: Final = frozenset("wax+")


class Killed(BaseException):
    """In place of SIGKILL, in the process itself: nothing catches it, and nothing can be done after it."""


class Disk:
    """Counts acts from 1 on; what `at` names happens at that one."""

    def __init__(self, fault: Fault = "none", at: int = 0, kill: Callable[[], None] | None = None) -> None:
        self.acts: list[str] = []
        self.refusals = 0
        self._fault = fault
        self._at = at
        self._kill = kill
        self._is_dead = False

    def act(self, kind: str, path: object, torn: Callable[[], None] | None = None) -> None:
        """Raises Killed or OSError in the place of the act; `torn` does the half of it that a write may leave."""
        if self._is_dead:
            raise Killed
        self.acts.append(f"{kind} {_named(path)}")
        if self._fault == "none" or len(self.acts) < self._at:
            return
        if self._fault == "kill":
            self._die(torn)
        if self._fault == "error" and len(self.acts) > self._at:
            return
        if self._fault in ("full", "quota") and kind not in _NEED_ROOM:
            return
        if torn is not None and self._fault in ("full", "quota") and len(self.acts) == self._at:
            torn()
        self.refusals += 1
        number = _NUMBERS[self._fault]
        named = () if kind in ("write", "fsync", "truncate") else (str(path),)  # the system names no file for these
        raise OSError(number, os.strerror(number), *named)

    def _die(self, torn: Callable[[], None] | None) -> None:
        if torn is not None:
            torn()
        if self._kill is not None:
            self._kill()
        self._is_dead = True
        raise Killed

    @contextmanager
    def watched(self) -> Iterator["Disk"]:
        """Around what is watched."""
        calls = {
            (io, "open"): self._open,
            (builtins, "open"): self._open,
            (os, "open"): self._os_open,
            (os, "fsync"): self._of("fsync", os.fsync),
            (os, "replace"): self._of("replace", os.replace),
            (os, "rename"): self._of("replace", os.rename),
            (os, "unlink"): self._of("unlink", os.unlink),
            (os, "remove"): self._of("unlink", os.remove),
            (os, "mkdir"): self._of("mkdir", os.mkdir),
            (os, "rmdir"): self._of("rmdir", os.rmdir),
        }
        patches = [mock.patch.object(place, name, call) for (place, name), call in calls.items()]
        for patch in patches:
            patch.start()
        try:
            yield self
        finally:
            for patch in patches:
                patch.stop()

    def _of(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*words: Any, **options: Any) -> Any:
            self.act(kind, words[-1] if kind == "replace" else words[0])
            return real(*words, **options)

        return acted

    def _os_open(self, path: Any, flags: int, *words: Any, **options: Any) -> int:
        if flags & (os.O_CREAT | os.O_TRUNC):
            self.act("open", path)
        return _REAL_OS_OPEN(path, flags, *words, **options)

    def _open(
        self, file: Any, mode: str = "r", buffering: int = -1, *words: Any, opener: Any = None, **options: Any
    ) -> Any:
        if not _WRITES & set(mode) or isinstance(file, int):
            return _REAL_OPEN(file, mode, buffering, *words, opener=opener, **options)
        self.act("open", file)
        raw = _Watched(self, file, mode.replace("b", "").replace("t", ""), opener)
        if buffering == 0:
            return raw
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, *words, **options)


class _Watched(io.FileIO):
    """A file whose writes are acts."""

    def __init__(self, disk: Disk, path: Any, mode: str, opener: Any) -> None:
        self._disk = disk
        super().__init__(path, mode, opener=opener)

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._disk.act("write", self.name, lambda: self._half(view))
        return super().write(view)

    def truncate(self, size: int | None = None) -> int:
        self._disk.act("truncate", self.name)
        return super().truncate(size)

    def _half(self, view: memoryview) -> None:
        super().write(view[: len(view) // 2])


def _named(path: object) -> str:
    return Path(os.fsdecode(path)).name if isinstance(path, str | bytes | os.PathLike) else ""


_REAL_OPEN: Final = io.open
_REAL_OS_OPEN: Final = os.open
