"""What a pipeline says: each consequence of a frame or of time, as a value, in the order in which it takes effect."""

from dataclasses import dataclass, field
from typing import Literal

from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot
from l2vault.okx.context_messages import ContextFailure, ContextPush
from l2vault.okx.messages import Notice, Refusal, SchemaFailure, Traded, Unknown
from l2vault.okx.session import Dead, Refused

Trouble = Literal[
    "chain",
    "checksum",
    "invariant",
    "schema",
    "silence",
    "conflict",
    "audit",
    "clock",
    "implausible",
    "unverifiable",
]
Ending = Literal["disconnect", "notice", "our_restart"]


@dataclass(frozen=True, slots=True)
class Sampled:
    """The book that is due at `grid_ms`; the message of time `until_ms` shows that it stood unchanged until then.

    `recv_us` is our clock when that message arrived, in microseconds since the epoch; 0 where nobody said.
    """

    snapshot: Snapshot
    grid_ms: int
    until_ms: int
    recv_us: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Applied:
    """A push was applied to the book, which is believed, and has the time `ts_ms` now (None: none is known yet).

    Only where the pipeline was asked for changes. From `Synced` or from a full book on they come without a gap and in
    order, until `Lost`; the full book is the first of them. `book` is the origin of one of ours (`full_books`).
    """

    change: BookChange
    ts_ms: int | None
    origin: Literal["ws", "rest", "book"] = "ws"


@dataclass(frozen=True, slots=True)
class Synced:
    """A full book has come, in band or by REST, and is believed: from exchange time `ts_ms` the book is exact."""

    inst_id: str
    ts_ms: int | None
    seq_id: int | None
    source: Literal["stream", "rest"] = "stream"


@dataclass(frozen=True, slots=True)
class Lost:
    """The book after `from_ms` may be wrong; a resync has begun. `to_ms` is the time of the message that showed it.

    `from_ms` is None where no book of it was reported as in sync. `flagged` is the last good book to be written with
    its flag, where a chain broke; `frame` is the message that could not be read, where that is the cause.
    """

    inst_id: str
    cause: Trouble | Ending
    detail: str
    from_ms: int | None
    to_ms: int | None
    flagged: Snapshot | None = None
    frame: bytes | None = None


@dataclass(frozen=True, slots=True)
class NeedBook:
    """Updates flow but no full book came in band: fetch one by REST and hand it to `Pipeline.join_rest_book`."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class NeedSecondBook:
    """The full book has a side under 400 levels and waits up to 2 s: count another one and call `judge_short`."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class AuditSoon:
    """The book has just joined, or a message contradicts it: compare it with REST within 10 s."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class Unverifiable:
    """The stream carries neither sequence numbers nor a checksum, so a lost message would not show.

    It is left subscribed and without a book, unless the caller asked for its recording (`is_recorded`).
    """

    inst_id: str
    ts_ms: int | None
    is_recorded: bool


Output = (
    Sampled
    | Applied
    | Synced
    | Lost
    | NeedBook
    | NeedSecondBook
    | AuditSoon
    | Unverifiable
    | Traded
    | ContextPush
    | ContextFailure
    | Refused
    | Notice
    | Refusal
    | SchemaFailure
    | Unknown
    | Dead
)


@dataclass(slots=True)
class Counts:
    """Since the start, for the log: what arrived and what it said."""

    messages: int = 0
    checksums_verified: int = 0
    checksums_absent: int = 0
    unknown_deletes: int = 0
    duplicates: int = 0
    """Messages that repeated the last applied one and were dropped."""
    trades: int = 0
    """Pushes of trades, repeats included."""
    context: int = 0
    """Pushes of the channels beside books and trades."""
