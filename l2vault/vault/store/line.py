"""The form of a line of JSONL: the one module that knows where in its text something stands. Pure.

Lines of every kind (books, trades, ..) begin with their time, `{"timestamp_utc":"2026-01-31T12:00:00.000Z"`. What is
said of flags and levels is of lines of books, whose keys and their order are `book/snapshot.py`'s (docs/format.md).
"""

import re
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

import msgspec

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import LineError

LONGEST_LINE_BYTES: Final = 1 << 20
"""A line of 400 levels a side has 20 to 50 KB. What is longer is none of ours and is not gathered in memory."""

# Of every kind.

TIME_KEY: Final = "timestamp_utc"
_START: Final = b'{"timestamp_utc":"'
_TIME: Final = slice(len(_START), len(_START) + len("2026-01-31T12:00:00.000Z"))
_TIME_TEXT: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:[0-5]\d:[0-5]\d\.\d{3}Z")


def joined(head: bytes | None, tail: bytes | None) -> bytes | None:
    """Two pieces of one line, read one after the other; None where it is too long to be a line, and stays so."""
    if head is None or tail is None or len(head) + len(tail) > LONGEST_LINE_BYTES:
        return None
    return head + tail


def has_time(text: bytes) -> bool:
    """Whether a text begins as a line does, up to its time."""
    return text.startswith(_START) and _TIME_TEXT.fullmatch(text[_TIME]) is not None


def time_text(text: bytes) -> bytes:
    """The time of a line as it is written: such texts sort by time. Of what `has_time` refuses, anything."""
    return text[_TIME]


def as_time_text(ts_ms: int) -> bytes:
    """A time as `time_text` gives it, to compare with."""
    return utc_text(ts_ms).encode()


def time_ms(text: bytes) -> int:
    """The time of a line, milliseconds since the epoch. Raises ValueError where there is none."""
    return utc_ms(text[_TIME].decode())


def start_in_hour(hour_ms: int) -> bytes:
    """What every line of an hour begins with, for `time_in_hour`."""
    return _START + utc_text(hour_ms)[:13].encode()


def time_in_hour(text: bytes, start: bytes) -> bytes | None:
    """The `time_text` of a line of the hour that begins so; None for any other text."""
    time = text[_TIME]
    return time if text.startswith(start) and _TIME_TEXT.fullmatch(time) else None


class OfInstrument(Protocol):
    """What a line of any kind holds."""

    @property
    def inst_id(self) -> str: ...


R = TypeVar("R", bound=OfInstrument)


def of_another(found: str, inst_id: str) -> str:
    """What is said against a line of one instrument in a file of another; empty where it is the same."""
    return "" if found == inst_id else f"a line of {found} among those of {inst_id}"


def read_as(text: bytes, inst_id: str, decode: Callable[[bytes], R]) -> R:
    """What a line holds. Raises LineError for one that does not read or is of another instrument."""
    row = decode(text)
    if why := of_another(row.inst_id, inst_id):
        raise LineError(why)
    return row


def is_of_later_version(text: bytes, canonical: bytes) -> bool:
    """Whether a line is the one that this version would write, but for keys that stand behind its own."""
    try:
        found, known = _DICT.decode(text), _DICT.decode(canonical)
    except (ValueError, RecursionError):
        return False
    return len(found) > len(known) and list(found.items())[: len(known)] == list(known.items())


def is_object(line: bytes | None) -> bool:
    """Whether the bytes are one whole JSON object: a line, be it of this version or not, and not a torn one."""
    try:
        return line is not None and isinstance(_DICT.decode(line), dict)
    except (ValueError, RecursionError):
        return False


class PeekedLine(NamedTuple):
    """What a line of this or a later version says of itself; a kind without `seqId` has None, without a flag False."""

    ts_ms: int
    is_flagged: bool
    seq_id: int | None


def peek(line: bytes | None) -> PeekedLine | None:
    """Time, flag and `seqId` of a line of this or a later version; None for what is no line."""
    try:
        found = None if line is None else _PEEK.decode(line)
        if found is None:
            return None
        seq_id = found.seqId if found.seqId is None or -_INT64 <= found.seqId < _INT64 else None
        return PeekedLine(utc_ms(found.timestamp_utc), found.gap_detected, seq_id)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


class _Peek(msgspec.Struct):
    """Keys that a later version adds are passed over."""

    timestamp_utc: str
    gap_detected: bool = False
    seqId: int | None = None


_PEEK: Final[msgspec.json.Decoder[_Peek]] = msgspec.json.Decoder(_Peek)
_DICT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_INT64: Final = 1 << 63

# Of books.

_UNFLAGGED: Final = b'"gap_detected":false'
_UNFLAGGED_END: Final = _UNFLAGGED + b"}"
_MOST_NEWER_BYTES: Final = 64
"""Behind the flag there may be keys of a later version, as far as that."""


def is_flagged(text: bytes) -> bool:
    """Whether a line of books is the last one before a broken chain, as far as its end tells."""
    return not text.endswith(_UNFLAGGED_END)


def may_be_unflagged(line: bytes) -> bool:
    """Whether a line of this or a later version, newline included, may be unflagged; `peek` knows."""
    return _UNFLAGGED in line[-_MOST_NEWER_BYTES:]


_HEAD: Final = re.compile(
    rb'\{"timestamp_utc":"([^"\\]{24})","exchange":"okx","market":"perp","channel":"books",'
    rb'"instId":"([^"\\]+)","bids_top(\d{1,3})":\['
)
_BIDS: Final = b'":['
_TAIL: Final = b'],"best_bid":'
_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


def _between(depth: bytes) -> bytes:
    return b'],"asks_top' + depth + b'":['


class _Tail(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    best_bid: str | None
    best_ask: str | None
    mid_price: str | None
    checksum: _Number | None
    seqId: _Number | None
    prevSeqId: _Number | None
    gap_detected: bool


_TAIL_DECODER: Final = msgspec.json.Decoder(_Tail)


class Split(NamedTuple):
    """A line of books but its levels: bids, then asks, stand in `text[opens[i] : closes[i] + 1]`, brackets included."""

    ts_ms: int
    depth: int
    opens: tuple[int, int]
    closes: tuple[int, int]
    checksum: int | None
    seq_id: int | None
    prev_seq_id: int | None
    gap_detected: bool


def split(text: bytes, inst_id: str) -> Split:
    """Cut a line of the instrument that is written as `to_line` writes it; nothing is said of what its levels are.

    Raises LineError for any other.
    """
    head = _HEAD.match(text)
    if head is None or head[2] != inst_id.encode():
        raise LineError(f"not a snapshot line of {inst_id}")
    between = _between(head[3])
    bids_close = text.find(between, head.end())
    asks_open = bids_close + len(between) - 1
    asks_close = text.rfind(_TAIL)
    if bids_close < 0 or asks_close <= asks_open:
        raise LineError("not a snapshot line: its two sides do not follow each other")
    try:
        ts_ms = utc_ms(head[1].decode())
        tail = _TAIL_DECODER.decode(b"{" + text[asks_close + 2 :])
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a snapshot line: {error}") from error
    opens, closes = (head.end() - 1, asks_open), (bids_close, asks_close)
    return Split(ts_ms, int(head[3]), opens, closes, tail.checksum, tail.seqId, tail.prevSeqId, tail.gap_detected)


def with_levels(snapshot: Snapshot, bids: bytes, asks: bytes) -> bytes:
    """The line of a book, with these levels (the JSON between the brackets) instead of its own.

    The best of both must be the same: of a book whose levels are text already, it is enough to know the best.
    """
    head, opening, rest = to_line(snapshot).partition(_BIDS)
    _, between, rest = rest.partition(_between(str(snapshot.depth).encode()))
    return b"".join((head, opening, bids, between, asks, rest[rest.rindex(_TAIL) :]))
