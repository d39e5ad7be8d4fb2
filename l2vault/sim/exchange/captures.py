"""Recorded websocket frames as a timeline: any file of `books` pushes and the `trades` among them, many files on one.

Knows how captures are written down and how OKX numbers its pushes; knows no socket and keeps no book. Every file is
streamed: memory does not grow with its size.
"""

import gzip
import heapq
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import msgspec

from l2vault.book.change import BookChange
from l2vault.errors import CaptureError
from l2vault.okx.messages import SchemaFailure, Traded, decode
from l2vault.sim.exchange.books import Tick, TradeTick
from l2vault.sim.exchange.trades import trade_of

_log = logging.getLogger(__name__)

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC: Final = b"\x1f\x8b"

_LINE: Final = re.compile(rb"(?:\d+(?:\.\d+)?: )?(\{.*)", re.DOTALL)
"""A received frame, alone or after the time it was received. `URL <- TIME: FRAME` was sent, so it does not match."""

_TRADES_HEAD: Final = b'{"arg":{"channel":"trades"'
_INST_ID: Final = re.compile(rb'"instId"\s*:\s*"([^"]+)"')


class _Placed(NamedTuple):
    """A push and its place on the timeline of its file: the latest `ts` up to it."""

    ts_ms: int
    message: BookChange | Traded
    frame: str


class Survey(NamedTuple):
    """The instruments that have a `books` push, in order of appearance, and those among them that have `trades`."""

    inst_ids: list[str]
    traded: frozenset[str]


def read_captures(paths: Sequence[Path], verbatim: bool) -> Iterator[Tick | TradeTick]:
    """Every push of `books` and `trades` in the files, merged by time; the order inside a file stays as it was.

    A push has the place of the latest `ts` its file has shown so far, so one whose `ts` is 0 or older stays where it
    was received. Books of before OKX numbered them get numbers unless `verbatim`; everything else keeps its text byte
    for byte. Raises CaptureError, naming the file, for one that cannot be read or holds no push of books.
    """
    merged = heapq.merge(*(_placed(path) for path in paths), key=lambda placed: placed.ts_ms)
    numbers = _Numbers()
    for ts_ms, message, frame in merged:
        if isinstance(message, Traded):
            for push in message.pushes:
                yield TradeTick(ts_ms, trade_of(push), frame)
        elif verbatim or numbers.note(message):
            yield Tick(ts_ms, message, frame)
        else:
            yield numbers.numbered(ts_ms, message, frame)


def survey(paths: Sequence[Path]) -> Survey:
    """What the files hold. Raises as `read_captures` does.

    It reads every file to its end, but parses only frames that name an instrument not yet found.
    """
    found: dict[str, None] = {}
    traded: set[str] = set()
    for path in paths:
        books: set[bytes] = set()
        trades: set[bytes] = set()
        for frame in _frames(path):
            match = _INST_ID.search(frame)
            seen = trades if frame.startswith(_TRADES_HEAD) else books
            if match is None or match[1] in seen:
                continue
            message = decode(frame)
            if isinstance(message, BookChange | Traded):
                seen.add(match[1])
            if isinstance(message, BookChange):
                found[message.inst_id] = None
            elif isinstance(message, Traded):
                traded.add(message.inst_id)
        if not books:
            raise _no_books(path)
    return Survey(list(found), frozenset(traded & found.keys()))


class _Numbers:
    """The `seqId` chain of each instrument, for frames recorded before OKX sent one (2023)."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def note(self, change: BookChange) -> bool:
        """Whether the push carries a number of its own, from which the chain then goes on."""
        if change.seq_id is None:
            return False
        self._last[change.inst_id] = change.seq_id
        return True

    def numbered(self, ts_ms: int, change: BookChange, text: str) -> Tick:
        """The same push with `seqId` and `prevSeqId`, its keys in OKX's order: `..., checksum, seqId, prevSeqId`."""
        seq_id, prev_seq_id = self._next(ts_ms, change)
        frame: dict[str, Any] = msgspec.json.decode(text)
        data = frame["data"][0]
        if "checksum" in data:
            data["checksum"] = data.pop("checksum")
        data["seqId"], data["prevSeqId"] = seq_id, prev_seq_id
        change = msgspec.structs.replace(change, seq_id=seq_id, prev_seq_id=prev_seq_id)
        return Tick(ts_ms, change, msgspec.json.encode(frame).decode())

    def _next(self, ts_ms: int, change: BookChange) -> tuple[int, int]:
        """OKX's rules: a full book follows -1, every other push the one before it, a heartbeat keeps the number.

        The first number is the time of the push, which has the size of OKX's own; steps are as uneven as theirs,
        so that nobody comes to rely on `seqId + 1`.
        """
        last = self._last.get(change.inst_id, ts_ms)
        levels = len(change.bids) + len(change.asks)
        seq_id = last + levels if levels or not change.is_snapshot else last + 1
        self._last[change.inst_id] = seq_id
        return seq_id, -1 if change.is_snapshot else last


def _placed(path: Path) -> Iterator[_Placed]:
    """The pushes of one file with their places; those before the first known `ts` share the place of that one."""
    early: list[tuple[BookChange | Traded, str]] = []
    latest_ms: int | None = None
    for message, frame in _changes(path):
        if isinstance(message, BookChange) and message.ts_ms is not None:
            latest_ms = max(latest_ms or 0, message.ts_ms)
        early.append((message, frame))
        if latest_ms is not None:
            for known in early:
                yield _Placed(latest_ms, *known)
            early.clear()
    for known in early:
        yield _Placed(0, *known)


def _changes(path: Path) -> Iterator[tuple[BookChange | Traded, str]]:
    """The pushes of one file, parsed and as text. A frame that cannot be read is skipped and reported."""
    kept = unreadable = 0
    first_reason = ""
    for frame in _frames(path):
        message = decode(frame)
        if isinstance(message, BookChange | Traded):
            kept += isinstance(message, BookChange)
            yield message, frame.decode(errors="replace")
        elif isinstance(message, SchemaFailure):
            unreadable += 1
            first_reason = first_reason or message.reason
    if unreadable:
        _log.warning("%s: %d unreadable frames skipped; the first: %s", path, unreadable, first_reason)
    if not kept:
        raise _no_books(path)


def _frames(path: Path) -> Iterator[bytes]:
    """Each received JSON frame of the file, without the time before it and the line end after it."""
    with _lines(path) as lines:
        for line in lines:
            match = _LINE.fullmatch(line.rstrip(b"\r\n"))
            if match is not None:
                yield match[1]


def _no_books(path: Path) -> CaptureError:
    return CaptureError(
        f"{path} holds no push of the channel `books`.",
        "a capture with one received websocket frame a line, plain, gzip or Zstandard",
    )


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """The file opened for its lines, decompressed by what it is, whatever its name. Damage is a CaptureError."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_ZSTD_MAGIC))
            file.seek(0)
            if magic == _ZSTD_MAGIC:
                with _zstd_lines(path, file) as lines:
                    yield lines
            elif magic.startswith(_GZIP_MAGIC):
                with gzip.open(file, "rb") as lines:
                    yield cast(IO[bytes], lines)
            else:
                yield file
    except (OSError, EOFError, zlib.error) as error:  # gzip: EOFError where it was cut short, the others where damaged
        raise _unreadable(path, error) from error


@contextmanager
def _zstd_lines(path: Path, file: IO[bytes]) -> Iterator[IO[bytes]]:
    """As `_lines`, for Zstandard; the library is loaded only here, because a plain replay does without it."""
    try:
        import zstandard
    except ImportError as error:
        raise CaptureError(
            f"{path} is compressed with Zstandard, which needs the package `zstandard`.", "pip install zstandard"
        ) from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
            yield BufferedReader(cast(RawIOBase, reader))
    except zstandard.ZstdError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CaptureError:
    return CaptureError(f"{path} cannot be read: {error}.", "the path, or a whole copy of the file")
