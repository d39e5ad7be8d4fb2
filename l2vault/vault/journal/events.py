"""What the journal can say: every event as a type (docs/format.md defines each). Knows no file.

`at` is our wall clock when the event was noted; every other time is exchange time. Both are `utc_text`. A feed is one
websocket connection with its whole pipeline; its number is never used again within a run. Which run an event is of,
and its place in that run, stand beside it in its line (`log.Entry`).
"""

from typing import Literal

import msgspec

from l2vault.vault.journal.change_events import ChangesLost, Latency
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.journal.deep_events import SamplesMissed
from l2vault.vault.journal.merge_events import Merged, Repaired
from l2vault.vault.journal.trade_events import (
    TradesBegun,
    TradesFilled,
    TradesForeign,
    TradesHole,
    TradesMissing,
    TradesOf,
    TradesSkipped,
)

SCHEMA = 2
"""The form of the journal that this version writes. Lines of form 1 carry no run and no ordinal."""

# The first ten are `okx.outputs.Trouble` again: the vault may not import the wire, and mypy holds that they agree where
# the router makes the one into the other.
Cause = Literal[
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
    "disconnect",
    "notice",
    "our_restart",
    "disk_full",
]
"""Why the book of an instrument is no longer known. The last two are our own doing."""


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started", omit_defaults=True):
    """A run began: of the recorder, or of a verb (`program`) that changes the vault and lacks the recorder's keys.

    `previous_run` and `previous_n` name the newest event of the vault before it: runs are read in that order, whatever
    the wall clock said. A recorder names the recorder's run before it; a verb the event after which it stands.
    """

    at: str
    version: str
    host: str
    pid: int
    platform: str
    instruments: list[str] = []
    cadence_ms: int = 0
    depth: int = 0
    feeds: int = 0
    config_digest: str = ""
    program: str = "recorder"
    region: str = ""
    schema: int = 1
    trades: bool = False
    """Whether the run records trades too."""
    context: bool = False
    previous_run: str | None = None
    previous_n: int | None = None


class Stopped(msgspec.Struct, frozen=True, tag_field="event", tag="stopped", omit_defaults=True):
    """The recorder ended by itself, every file closed.

    `unsynced` are the instruments whose newest lines are written, but which the disk took too long to sync: the system
    puts them on the disk within moments, unless its power fails before.
    """

    at: str
    reason: str
    unsynced: list[str] = []


class UncleanEnd(msgspec.Struct, frozen=True, tag_field="event", tag="unclean_end"):
    """Noted at start: the recorder before this one wrote no `stopped`. Its last sign of life bounds its end."""

    at: str
    last_sign_of_life: str


class Recovered(msgspec.Struct, frozen=True, tag_field="event", tag="recovered", omit_defaults=True):
    """Start-up recovery cut a torn end off a file and kept the bytes aside. Paths are relative to the vault.

    Whatever the run before had noted of the instrument after `since`, the time of the last line that is left, ends
    there; null where no line is left.
    """

    at: str
    file: str
    offset: int
    cut_bytes: int
    kept_in: str
    inst_id: str | None = None
    since: str | None = None
    kind: str = "books"


class SetAside(msgspec.Struct, frozen=True, tag_field="event", tag="set_aside", rename={"from_": "from"}):
    """Lines later than proved exchange time were moved out of a file, their bytes kept. Paths are relative."""

    at: str
    inst_id: str
    file: str
    lines: int
    from_: str
    to: str
    kept_in: str


class Connected(msgspec.Struct, frozen=True, tag_field="event", tag="connected"):
    at: str
    feed: int
    url: str


class Disconnected(msgspec.Struct, frozen=True, tag_field="event", tag="disconnected"):
    at: str
    feed: int
    reason: str


class Synced(msgspec.Struct, frozen=True, tag_field="event", tag="synced"):
    """From exchange time `ts` on, this feed holds an exact book of the instrument.

    `source` is where its full book came from: in band, or REST joined to the stream at one `seqId`.
    """

    at: str
    feed: int
    inst_id: str
    ts: str | None
    seq_id: int | None
    source: Literal["stream", "rest"] = "stream"


class Confirmed(msgspec.Struct, frozen=True, tag_field="event", tag="confirmed"):
    """The book that this feed has held since its last `synced` was seen to equal another one: REST's or a feed's.

    A feed's stretch without this event is recorded, but marked unaudited.
    """

    at: str
    feed: int
    inst_id: str
    by: Literal["audit", "feed"]
    seq_id: int | None


class Lost(msgspec.Struct, frozen=True, tag_field="event", tag="lost", rename={"from_": "from"}):
    """The book after `from` is not known, until the instrument's next `synced` on this feed.

    `from` is the time of the last good book; `to` that of the message which showed the loss, null if none did.
    """

    at: str
    feed: int
    inst_id: str
    cause: Cause
    from_: str | None
    to: str | None
    detail: str


class Unverifiable(msgspec.Struct, frozen=True, tag_field="event", tag="unverifiable"):
    """The stream has neither sequence numbers nor checksums from `ts` on, so no loss could ever be seen.

    `is_recorded`: a setting asks to write its lines all the same; they are never called recorded.
    """

    at: str
    feed: int
    inst_id: str
    ts: str | None
    is_recorded: bool


class Disputed(msgspec.Struct, frozen=True, tag_field="event", tag="disputed", rename={"from_": "from"}):
    """The grid times in `[from, to]`, both included, may hold a wrong book: two sources contradicted each other.

    `cause` is `feeds` (two feeds differ at one `seqId`) or `audit` (REST differs from the feed that was written).
    """

    at: str
    inst_id: str
    from_: str
    to: str
    cause: Literal["feeds", "audit"]
    detail: str


class Refused(msgspec.Struct, frozen=True, tag_field="event", tag="refused", omit_defaults=True):
    """OKX refused the subscription of one instrument; it is asked again later."""

    at: str
    feed: int
    inst_id: str
    code: str
    message: str
    channel: str = "books"


class Noticed(msgspec.Struct, frozen=True, tag_field="event", tag="notice"):
    at: str
    feed: int
    code: str
    message: str


class Slots(msgspec.Struct, frozen=True, tag_field="event", tag="slots"):
    """Journal form 1 only, once a minute: lines queued since the last one, and the time of each book in sync."""

    at: str
    written: dict[str, int]
    book_times: dict[str, str]
    doubled: dict[str, int]
    witnessed: int = 0
    uncomparable: int = 0
    conflicting: int = 0


class Quiet(msgspec.Struct, frozen=True, array_like=True):
    """The book of time `since`, in sync, was seen by a later message to have stood unchanged over grid times `[first,
    last]`, both included. It holds only where the file has an unflagged line of time `since`."""

    since: str
    first: str
    last: str


class MinuteOf(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instrument in one `minute`: grid times in exchange time, lines as the disk took them.

    Of the grid times in `[first, last]` so many were `due`, that is, a book in sync was known for them: each has a line
    of this run or of one before it (`held_back`), or is in `quiet`. `lines` unflagged and `flagged` lines were put on
    disk since the record before, the last unflagged one of time `last_line`.
    """

    due: int = 0
    first: str | None = None
    last: str | None = None
    lines: int = 0
    flagged: int = 0
    last_line: str | None = None
    held_back: int = 0
    quiet: list[Quiet] = []
    book_time: str | None = None
    """Of the newest book in sync, null where none is."""


class Minute(msgspec.Struct, frozen=True, tag_field="event", tag="minute", omit_defaults=True):
    """Once a minute, and at the end of a run: what was put on disk and how many grid times were due since the last one.

    Written after the data files were synced. `matched`, `unaligned` and `conflicting` count the slots that a second
    feed brought too: the same book at one `seqId`; at another `seqId`; another book at one `seqId`.
    """

    at: str
    instruments: dict[str, MinuteOf] = {}
    matched: int = 0
    unaligned: int = 0
    conflicting: int = 0
    trades: dict[str, TradesOf] = {}


class HourClosed(msgspec.Struct, frozen=True, tag_field="event", tag="hour_closed", omit_defaults=True):
    """What the file of an hour holds: lines, bytes and SHA-256 of its uncompressed contents. The newest one counts.

    Noted when a later hour begins, when the recorder stops (`is_open`: the hour may go on) and when a late line comes.
    `previous` is the `sha256` of this vault's `hour_closed` before it (over that line of the journal), so that an
    edited past shows.
    """

    at: str
    inst_id: str
    hour: str
    lines: int
    bytes: int
    sha256: str
    kind: str = "books"
    is_open: bool = False
    previous: str | None = None


class Alive(msgspec.Struct, frozen=True, tag_field="event", tag="alive", omit_defaults=True):
    """A beat, so that a killed recorder leaves a bounded end. `exchange` is proved exchange time at `at`, if known."""

    at: str
    exchange: str | None = None


class Conflicted(msgspec.Struct, frozen=True, tag_field="event", tag="conflict"):
    """Two feeds held different levels at one `seqId`; the slot at `grid` was written by the first of `feeds`."""

    at: str
    inst_id: str
    seq_id: int | None
    grid: str
    feeds: tuple[int, int]


class Skipped(msgspec.Struct, frozen=True, tag_field="event", tag="skipped"):
    """The slot at `grid` came from this feed only after a later one was written, so the file lacks it."""

    at: str
    feed: int
    inst_id: str
    grid: str


class Audited(msgspec.Struct, frozen=True, tag_field="event", tag="audited"):
    """A feed's book against OKX's own by REST; `mismatch` resyncs, `unavailable` means that REST gave none."""

    at: str
    feed: int
    inst_id: str
    outcome: Literal["equal", "mismatch", "consistent", "inconclusive", "older", "ahead", "unavailable"]
    seq_id: int | None
    detail: str


class ClockStepped(msgspec.Struct, frozen=True, tag_field="event", tag="clock_step"):
    """The wall clock went `seconds` further than the time that passed: the host slept, or its clock was set."""

    at: str
    seconds: float


class HostSlept(msgspec.Struct, frozen=True, tag_field="event", tag="host_slept"):
    """For `seconds` nothing of this process ran: the host slept or was suspended, or the process was stopped."""

    at: str
    seconds: float


class ClockSkew(msgspec.Struct, frozen=True, tag_field="event", tag="clock_skew"):
    """Once a minute: receive time by this machine's clock minus exchange time of the messages, in milliseconds.

    It holds the delay of the network; `samples` messages were measured.
    """

    at: str
    min_ms: int
    median_ms: int
    p99_ms: int
    samples: int


class DiskStalled(msgspec.Struct, frozen=True, tag_field="event", tag="disk_stalled"):
    """Written once the disk works again: for `seconds` it had taken nothing, and lines waited."""

    at: str
    seconds: float


class VaultReplaced(msgspec.Struct, frozen=True, tag_field="event", tag="vault_replaced"):
    """The lock, the journal or a folder of the vault was deleted under the recorder, which took the vault again.

    What the journal said before may be gone: `started`, `synced` and the instrument rows follow anew.
    """

    at: str
    what: str


class TaskFailed(msgspec.Struct, frozen=True, tag_field="event", tag="task_failed"):
    """An optional task of the recorder (audit, metadata, retention, ...), or a part beside the books (trades, context,
    changes), failed; it is started again."""

    at: str
    task: str
    error: str
    retry_sec: float


class InstrumentNoted(msgspec.Struct, frozen=True, tag_field="event", tag="instrument"):
    """OKX's row of an instrument was first kept, has changed (the old row stays beside it), announces a change that is
    to come, or cannot be had."""

    at: str
    inst_id: str
    what: Literal["first", "changed", "announced", "unavailable"]
    detail: str


class WriteFailed(
    msgspec.Struct, frozen=True, tag_field="event", tag="write_failed", rename={"from_": "from"}, omit_defaults=True
):
    """Lines lost on the way to the disk since the last such event; both bounds are times of lost lines.

    `goes_on`: the disk takes no more of them yet; the event that ends this may have no line of its own.
    """

    at: str
    inst_id: str
    lines: int
    from_: str
    to: str
    error: str
    kind: str = "books"
    goes_on: bool = False


class Retained(msgspec.Struct, frozen=True, tag_field="event", tag="retained", omit_defaults=True):
    """The owner's policy at work on one file: never a loss, so never a gap.

    `sha256` has, where an archive was made, the digest of each of its files by its name in the vault, as it was then.
    """

    at: str
    action: Literal["compress", "archive", "restore", "delete"]
    file: str
    reason: str
    bytes_before: int
    bytes_after: int
    sha256: dict[str, str] = {}


class Restored(msgspec.Struct, frozen=True, tag_field="event", tag="restored"):
    """An hour was brought back into the vault by `l2vault restore`, with so many lines and this SHA-256 of them."""

    at: str
    inst_id: str
    hour: str
    file: str
    lines: int
    sha256: str


class RetentionHeld(msgspec.Struct, frozen=True, tag_field="event", tag="retention_held"):
    """Once a day: so many hours are due by policy and were not deleted, why, and the command that does it at once."""

    at: str
    hours: int
    bytes: int
    reason: str
    command: str


Event = (
    Started
    | Stopped
    | UncleanEnd
    | Recovered
    | SetAside
    | Connected
    | Disconnected
    | Synced
    | Confirmed
    | Lost
    | Unverifiable
    | Disputed
    | Refused
    | Noticed
    | Slots
    | Minute
    | TradesBegun
    | TradesHole
    | TradesFilled
    | TradesForeign
    | TradesSkipped
    | TradesMissing
    | HourClosed
    | Alive
    | Conflicted
    | Skipped
    | Audited
    | ClockStepped
    | HostSlept
    | ClockSkew
    | ChangesLost
    | Latency
    | DiskStalled
    | VaultReplaced
    | TaskFailed
    | InstrumentNoted
    | WriteFailed
    | Retained
    | Restored
    | RetentionHeld
    | ContextNoted
    | SamplesMissed
    | MaintenanceNoted
    | Merged
    | Repaired
)
