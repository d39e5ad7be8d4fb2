"""One file of the archive onto the disk: streamed, resumed where it was, bounded, and given its name when it is whole.

A file that comes is `.name.part` with a note beside it. Whatever moment this is killed at, the next call asks for the
rest of the very same file (If-Range on its ETag) or begins anew. Knows nothing of what the bytes are but how an archive
begins.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from l2vault.errors import RestError, VaultError
from l2vault.foreign import printable
from l2vault.history.hosts import Hosts
from l2vault.history.naming import Wanted
from l2vault.history.shelf import FileNote, Shelf
from l2vault.okx.proxies import UnusableProxy
from l2vault.okx.rest import USER_AGENT, Forbidden, Unavailable, silence
from l2vault.okx.web import Stream, Web
from l2vault.vault.store.digest import file_digest
from l2vault.vault.store.durable import (
    cure_of,
    is_no_room,
    make_folders,
    named,
    replace,
    sync_folder,
    write_all,
)

_BLOCK_BYTES: Final = 1 << 18
_SYNC_BYTES: Final = 64 << 20
_TRIES: Final = 5
"""In a row without a byte more."""
_MOST_REDIRECTS: Final = 3
_MAGIC: Final = {".gz": b"\x1f\x8b", ".zip": b"PK\x03\x04"}
_MOST_TIMES: Final = 3
"""The index's size, over which a file cannot be what it names."""
_TOLERANCE_MB: Final = 0.011
"""The index rounds to two decimals."""
_MD5: Final = re.compile(r'"?([0-9a-fA-F]{32})"?')
"""An ETag of S3 or Alibaba's OSS, of a file that was put there in one piece."""
_UNITS: Final = (1_000_000, 1 << 20)
"""Nobody says which megabyte it means."""

Progress = Callable[[int, int], None]
"""Bytes of the file that are here, and how many it has."""


class Source(NamedTuple):
    """From where a file comes: `size_mb` is 0 where no index names it; then `source` is `unlisted`."""

    url: str
    size_mb: float
    source: str


class _Gone(Exception):
    """The server has no such file."""


class Downloader:
    """`pause` waits so many seconds; `wall_text` is when a file was fetched."""

    def __init__(
        self,
        shelf: Shelf,
        hosts: Hosts,
        timeout_sec: float,
        pause: Callable[[float], None],
        wall_text: Callable[[], str],
    ) -> None:
        self._shelf = shelf
        self._hosts = hosts
        self._timeout_sec = timeout_sec
        self._pause = pause
        self._wall_text = wall_text
        self._web = Web(timeout_sec)

    def size_of(self, url: str) -> int | None:
        """What a file at a documented address has, by a HEAD; None where there is none."""
        try:
            with self._open("HEAD", url, {}) as answer:
                length = answer.headers.get("content-length", "")
                return int(length) if length.isdecimal() else 0
        except _Gone:
            return None

    def fetch(self, wanted: Wanted, source: Source, sample_bytes: int | None, progress: Progress) -> FileNote:
        """The file under its name, whole (or its first `sample_bytes`). Raises RestError where the server fails or has
        something else, VaultError where the disk refuses; what came by then stays for the next call."""
        is_sample = sample_bytes is not None
        try:
            make_folders(self._shelf.path(wanted).parent)
            tries = 0
            while True:
                before = self._shelf.part_bytes(wanted, is_sample)
                try:
                    note = self._rest_of(wanted, source, sample_bytes, progress)
                    return self._finish(wanted, note)
                except (Unavailable, HTTPException) as error:
                    tries = 1 if self._shelf.part_bytes(wanted, is_sample) > before else tries + 1
                    if tries >= _TRIES:
                        raise _as_rest_error(source.url, error) from error
                    self._pause(min(30.0, 2.0**tries))
        except OSError as error:
            raise self._refused(wanted, error) from error
        except _Gone:
            raise RestError(f"there is no file at {source.url}.", "another day, or without --older") from None

    def _rest_of(self, wanted: Wanted, source: Source, sample_bytes: int | None, progress: Progress) -> FileNote:
        """Bring the part up to its whole size, from where it is."""
        is_sample = sample_bytes is not None
        part, known = self._shelf.part(wanted, is_sample), self._shelf.part_note(wanted, is_sample)
        here = self._shelf.part_bytes(wanted, is_sample)
        if known is None or not known.etag or known.url != source.url or here > known.size_bytes:
            known, here = None, 0
        if known is not None and here == known.size_bytes:
            return known
        headers = {}
        last = "" if sample_bytes is None else str(sample_bytes - 1)
        if here or last:
            headers["Range"] = f"bytes={here}-{last}"
        if known is not None and here:
            headers["If-Range"] = known.etag
        with self._open("GET", source.url, headers) as answer:
            begin, total = _range_of(answer, source.url)
            size = total if sample_bytes is None else min(total, sample_bytes)
            _check_size(size if not is_sample else 0, total, source)
            if begin != here:
                begin, here = 0, 0
            note = FileNote(
                source.url, source.source, size, source.size_mb, answer.headers.get("etag", ""), is_sample=is_sample
            )
            if here == 0:
                self._shelf.drop_part(wanted, is_sample)
                self._shelf.keep_part_note(wanted, note)
            self._receive(answer, part, (here, size), progress)
        return note

    def _receive(self, answer: Stream, part: Path, bounds: tuple[int, int], progress: Progress) -> None:
        here, size = bounds
        with synced_append(part, here, _SYNC_BYTES) as append:
            while here < size:
                try:
                    data = answer.read(min(_BLOCK_BYTES, size - here))
                except OSError as error:
                    raise silence(answer.url, error, self._timeout_sec) from error
                if not data:
                    raise Unavailable(f"GET {answer.url}: it ended after {here} of {size} bytes.", "the same again")
                if here == 0:
                    _check_beginning(part, data, answer.url)
                append(data)
                here += len(data)
                progress(here, size)

    def _finish(self, wanted: Wanted, note: FileNote) -> FileNote:
        part, path = self._shelf.part(wanted, note.is_sample), self._shelf.path(wanted, note.is_sample)
        if not note.is_sample and not _is_what_it_was(part, note.etag):
            self._shelf.drop_part(wanted)
            raise RestError(
                f"{note.url}: what came is not what the server has (its ETag differs).",
                "the same again: it begins anew",
            )
        whole = msgspec.structs.replace(note, sha256=file_digest(part), fetched_at=self._wall_text())
        self._shelf.keep_note(wanted, whole)
        replace(part, path)
        sync_folder(path.parent)
        self._shelf.drop_part(wanted, note.is_sample)
        return whole

    def _open(self, method: str, url: str, headers: dict[str, str]) -> Stream:
        """The answer with a body that is a file. Raises _Gone, and RestErrors for all others."""
        for _ in range(_MOST_REDIRECTS + 1):
            self._hosts.check(url)
            try:
                answer = self._web.stream(method, url, {"User-Agent": USER_AGENT, **headers})
            except (OSError, HTTPException, UnusableProxy) as error:
                raise silence(url, error, self._timeout_sec) from error
            if answer.status in (200, 206):
                return answer
            answer.close()
            location = answer.headers.get("location", "")
            if answer.status in (301, 302, 303, 307, 308) and location:
                url = self._hosts.redirected(url, location)
                continue
            raise _refusal(answer)
        raise RestError(f"{url} leads from one address to the next, {_MOST_REDIRECTS} times.", "again later")

    def _refused(self, wanted: Wanted, error: OSError) -> VaultError:
        where = printable(error.filename or self._shelf.path(wanted))
        if is_no_room(error):
            return VaultError(f"the disk is full: {where} is not whole.", "make room, then the same: it goes on there")
        return VaultError(f"{where}: {printable(error.strerror or error)}.", cure_of(error))


@contextmanager
def synced_append(path: Path, here: int, every_bytes: int) -> Iterator[Callable[[bytes], None]]:
    """Yields what appends to a file behind its first `here` bytes, and puts it on the disk now and then."""
    with named(path), path.open("r+b" if path.exists() else "w+b", buffering=0) as file:
        file.truncate(here)
        file.seek(here)
        owed = 0

        def append(data: bytes) -> None:
            nonlocal owed
            write_all(file, data)
            owed += len(data)
            if owed >= every_bytes:
                os.fsync(file.fileno())
                owed = 0

        try:
            yield append
        finally:
            os.fsync(file.fileno())


def _is_what_it_was(path: Path, etag: str) -> bool:
    """Whether the bytes have the MD5 that the ETag is, where it is one."""
    match = _MD5.fullmatch(etag)
    if match is None:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == match[1].lower()


def _as_rest_error(url: str, error: Exception) -> RestError:
    if isinstance(error, RestError):
        return error
    return Unavailable(f"GET {url}: {printable(str(error) or type(error).__name__)}.", "the same again, later")


def _refusal(answer: Stream) -> Exception:
    said = f"GET {answer.url} was answered with HTTP {answer.status}."
    if answer.status in (404, 410):
        return _Gone()
    if answer.status in (403, 451):
        return Forbidden(said, "another day: OKX answers so for files that it has not; or see whether it serves you")
    if answer.status == 429 or answer.status >= 500:
        return Unavailable(said, "again later")
    return RestError(said, "again later; if it stays so, OKX has changed its archive")


def _range_of(answer: Stream, url: str) -> tuple[int, int]:
    """Where the body begins, and how many bytes the file has. Raises RestError where the server does not say."""
    length, content = answer.headers.get("content-length", ""), answer.headers.get("content-range", "")
    if answer.status == 206:
        span, _, total = content.removeprefix("bytes ").partition("/")
        begin = span.partition("-")[0]
        if begin.isdecimal() and total.isdecimal():
            return int(begin), int(total)
    elif length.isdecimal() and int(length):
        return 0, int(length)
    raise RestError(f"GET {url}: the server does not say how large the file is.", "again later")


def _check_size(size: int, total: int, source: Source) -> None:
    """Against what the index says. Raises RestError."""
    if not source.size_mb:
        return
    said = f"{source.url} has {total / 1e6:.2f} MB, and OKX's index says {source.size_mb:g} MB"
    if total > _MOST_TIMES * source.size_mb * _UNITS[1] + _UNITS[1] * _TOLERANCE_MB:
        raise RestError(f"{said}: more than {_MOST_TIMES} times as much.", "do not trust it; again tomorrow")
    if size and all(abs(size / unit - source.size_mb) > _TOLERANCE_MB for unit in _UNITS):
        raise RestError(f"{said}: it is not the file that it names.", "again later: OKX may be replacing it")


def _check_beginning(part: Path, data: bytes, url: str) -> None:
    """A page of a proxy or a log-in is no archive."""
    magic = next(magic for suffix, magic in _MAGIC.items() if part.name.endswith(suffix.replace(".", "-") + ".part"))
    if not data.startswith(magic[: len(data)]):
        raise RestError(f"{url} gave no archive: it begins with {data[:24]!r}.", "see what stands between here and OKX")
