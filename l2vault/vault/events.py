"""What the journal can say: every event as a type (docs/format.md defines each). Knows no file.

`at` is our wall clock when the event was noted; every other time is exchange time. Both are `utc_text`.
"""

from typing import Literal

import msgspec

Cause = Literal[
    "chain",
    "checksum",
    "invariant",
    "schema",
    "silence",
    "conflict",
    "audit",
    "disconnect",
    "notice",
    "our_restart",
    "disk_full",
]
"""Why an instrument could no longer be vouched for. The last two are our own doing."""


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """A recorder took the vault."""

    at: str
    version: str
    host: str
    pid: int
    platform: str
    instruments: list[str]
    cadence_ms: int
    depth: int
    lines: int
    config_digest: str


class Stopped(msgspec.Struct, frozen=True, tag_field="event", tag="stopped"):
    """The recorder ended by itself, every file closed."""

    at: str
    reason: str


class UncleanEnd(msgspec.Struct, frozen=True, tag_field="event", tag="unclean_end"):
    """Noted at start: the recorder before this one wrote no `stopped`. Its last sign of life bounds its end."""

    at: str
    last_sign_of_life: str


class Recovered(msgspec.Struct, frozen=True, tag_field="event", tag="recovered"):
    """Start-up recovery cut a torn end off a file and kept the bytes aside. Paths are relative to the vault."""

    at: str
    file: str
    offset: int
    cut_bytes: int
    kept_in: str


class Connected(msgspec.Struct, frozen=True, tag_field="event", tag="connected"):
    at: str
    line: int
    url: str


class Disconnected(msgspec.Struct, frozen=True, tag_field="event", tag="disconnected"):
    at: str
    line: int
    reason: str


class Synced(msgspec.Struct, frozen=True, tag_field="event", tag="synced"):
    """From exchange time `ts` on, this line holds an exact book of the instrument.

    `source` is where its full book came from: in band, or REST joined to the stream at one `seqId`.
    """

    at: str
    line: int
    inst_id: str
    ts: str | None
    seq_id: int | None
    source: Literal["stream", "rest"] = "stream"


class Lost(msgspec.Struct, frozen=True, tag_field="event", tag="lost", rename={"from_": "from"}):
    """The book after `from` cannot be vouched for, until the instrument's next `synced` on this line.

    `from` is the time of the last good book; `to` that of the message which showed the loss, null if none did.
    """

    at: str
    line: int
    inst_id: str
    cause: Cause
    from_: str | None
    to: str | None
    detail: str


class Refused(msgspec.Struct, frozen=True, tag_field="event", tag="refused"):
    """OKX refused the subscription of one instrument; it is asked again later."""

    at: str
    line: int
    inst_id: str
    code: str
    message: str


class Noticed(msgspec.Struct, frozen=True, tag_field="event", tag="notice"):
    at: str
    line: int
    code: str
    message: str


class Slots(msgspec.Struct, frozen=True, tag_field="event", tag="slots"):
    """Once a minute: lines written since the last one, and the time of each book in sync, by instrument.

    `doubled` counts lines held back because the vault already holds their time or a later one; `witnessed`,
    `uncomparable` and `conflicting` count what a second line said of the slots written.
    """

    at: str
    written: dict[str, int]
    book_times: dict[str, str]
    doubled: dict[str, int]
    witnessed: int = 0
    uncomparable: int = 0
    conflicting: int = 0


class Alive(msgspec.Struct, frozen=True, tag_field="event", tag="alive"):
    """A beat, so that a killed recorder leaves a bounded end."""

    at: str


class Conflicted(msgspec.Struct, frozen=True, tag_field="event", tag="conflict"):
    """Two lines held different levels at one `seqId`; the slot at `grid` was written by the first of `lines`."""

    at: str
    inst_id: str
    seq_id: int | None
    grid: str
    lines: tuple[int, int]


class Skipped(msgspec.Struct, frozen=True, tag_field="event", tag="skipped"):
    """The slot at `grid` came from this line only after a later one was written, so the file lacks it."""

    at: str
    line: int
    inst_id: str
    grid: str


class Audited(msgspec.Struct, frozen=True, tag_field="event", tag="audited"):
    """A line's book against OKX's own by REST; `mismatch` resyncs, `unavailable` means that REST gave none."""

    at: str
    line: int
    inst_id: str
    outcome: Literal["equal", "mismatch", "consistent", "inconclusive", "older", "ahead", "unavailable"]
    seq_id: int | None
    detail: str


class ClockStepped(msgspec.Struct, frozen=True, tag_field="event", tag="clock_step"):
    """The wall clock went `seconds` further than the time that passed: the host slept, or its clock was set."""

    at: str
    seconds: float


class DiskStalled(msgspec.Struct, frozen=True, tag_field="event", tag="disk_stalled"):
    """Written once the disk works again: for `seconds` it had taken nothing, and lines waited."""

    at: str
    seconds: float


class InstrumentNoted(msgspec.Struct, frozen=True, tag_field="event", tag="instrument"):
    """OKX's row of an instrument was first kept, has changed (the old row stays beside it), or cannot be had."""

    at: str
    inst_id: str
    what: Literal["first", "changed", "unavailable"]
    detail: str


class WriteFailed(msgspec.Struct, frozen=True, tag_field="event", tag="write_failed", rename={"from_": "from"}):
    """Lines lost on the way to the disk, noted once writing works again; both bounds are times of lost lines."""

    at: str
    inst_id: str
    lines: int
    from_: str
    to: str
    error: str


class Retained(msgspec.Struct, frozen=True, tag_field="event", tag="retained"):
    """The owner's policy at work on one file: never a loss, so never a gap."""

    at: str
    action: Literal["compress", "archive", "restore", "delete"]
    file: str
    reason: str
    bytes_before: int
    bytes_after: int


Event = (
    Started
    | Stopped
    | UncleanEnd
    | Recovered
    | Connected
    | Disconnected
    | Synced
    | Lost
    | Refused
    | Noticed
    | Slots
    | Alive
    | Conflicted
    | Skipped
    | Audited
    | ClockStepped
    | DiskStalled
    | InstrumentNoted
    | WriteFailed
    | Retained
)
