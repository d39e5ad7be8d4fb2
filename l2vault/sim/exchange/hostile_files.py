"""Files that a careful client of an archive must refuse, each made of a good one. Knows no server."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_BOMB_BYTES: Final = 8_000_000
_LONG_BYTES: Final = 5_000_000


def _torn(good: bytes) -> bytes:
    return good[: len(good) // 2]


def _two_members(good: bytes) -> bytes:
    return _tar(("first.data", b"{}\n"), ("second.data", b"{}\n"))


def _outside(good: bytes) -> bytes:
    """The good member under a name that points out of any folder: only the name is bad, and it means nothing."""
    with tarfile.open(fileobj=io.BytesIO(good), mode="r:gz") as tar:
        member = tar.next()
        held = None if member is None else tar.extractfile(member)
        assert held is not None
        return _tar(("../../../etc/cron.d/evil", held.read()))


def _link(good: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("day.data")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    return packed.getvalue()


def _bomb(good: bytes) -> bytes:
    return _tar(("day.data", (b"{}" + b" " * 97 + b"\n") * (_BOMB_BYTES // 100)))


def _long_line(good: bytes) -> bytes:
    return _tar(("day.data", bytes(range(32, 127)) * (_LONG_BYTES // 95) + b"\n"), level=0)


def _html(good: bytes) -> bytes:
    return b"<html><body>Please log in to this network</body></html>"


def _tar(*members: tuple[str, bytes], level: int = 9) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(packed.getvalue(), level)


MAKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "torn": _torn,
    "two-members": _two_members,
    "outside": _outside,
    "link": _link,
    "bomb": _bomb,
    "long-line": _long_line,
    "html": _html,
}


def hostile(kind: str, good: Path) -> bytes:
    """The bytes to serve in the place of a good file."""
    return MAKERS[kind](good.read_bytes())
