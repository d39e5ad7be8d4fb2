"""The form of `{vault}/meta/okx/health.json`, which the recorder replaces every 5 s (docs/format.md). Knows no clock.

Every time is `utc_text`: `at`, `since`, `written` and `started` by this machine's clock, the others exchange time. An
age is that at `written`, so that whoever reads the file adds the age of the file to it.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from l2vault.book.utc import utc_ms
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

FORM: Final = 1
"""Keys may be added to a form; a key that goes or means something else makes the next one."""

_TIMES: Final = frozenset({"written", "started", "at", "since", "book", "line", "newest", "from", "to"}) | {
    "lines_lost_at",
    "audited_at",
}

FeedState = Literal["connecting", "up", "down"]
BookState = Literal["waiting", "in sync", "lost", "refused", "unverifiable"]


class FeedHealth(msgspec.Struct, frozen=True):
    """One feed. `reason` is why it is down; `message_age_sec` counts any message of its connection, pongs included."""

    feed: int
    state: FeedState
    since: str
    address: str | None
    reason: str | None
    message_age_sec: float | None
    reconnects: int


class LagHealth(msgspec.Struct, frozen=True):
    """Receive time by this machine's clock minus `ts`, of the messages of the last minute that made a line due, on any
    feed; null without one."""

    p50_ms: float | None
    p99_ms: float | None
    messages: int


class TradesHealth(msgspec.Struct, frozen=True):
    """`missing` ids are not known at this moment, and asked for."""

    newest: str | None
    lines: int
    missing: int


class ContextHealth(msgspec.Struct, frozen=True):
    """How many values of the instrument are in each state of the journal's event `context`."""

    newest: str | None
    lines: int
    present: int
    stale: int
    lost: int


class ChangesHealth(msgspec.Struct, frozen=True):
    """Whether every push is being kept; `lost` since the exchange time `since`, for the `cause`."""

    state: Literal["kept", "lost"]
    since: str | None
    cause: str | None


class InstrumentHealth(msgspec.Struct, frozen=True):
    """One instrument: `state` since `since`, and the feeds that hold its book in sync.

    `book` is the time of the newest book, `line` that of the newest line. `in_sync_share` is of the last hour, or of
    the run where that is shorter: the share in which at least one feed held the book in sync.
    """

    inst_id: str
    state: BookState
    since: str
    feeds: list[int]
    book: str | None
    book_age_sec: float | None
    line: str | None
    lines: int
    lag: LagHealth
    in_sync_share: float
    trades: TradesHealth | None
    context: ContextHealth | None
    changes: ChangesHealth | None


class QueueHealth(msgspec.Struct, frozen=True):
    """The way to the disk: items that wait, for how long the disk has taken nothing, lines that it refused for good."""

    waiting: int
    stalled_sec: float
    lines_lost: int
    lines_lost_at: str | None


class DiskHealth(msgspec.Struct, frozen=True):
    """`bytes_a_day` is what a day of this recording adds, once compressed; null before the first whole hour.

    `days_left` until the disk is full; null where that is not known, or where `bounded_by` names the setting by which
    retention deletes before. `unpushed_bytes` it keeps only because they are not pushed; null without
    `keep_until_pushed`.
    """

    free_bytes: int | None
    vault_bytes: int | None
    bytes_a_day: float | None
    days_left: float | None
    bounded_by: Literal["delete_after_days", "archive_days", "max_gb", "min_free_gb"] | None
    unpushed_bytes: int | None = None


class ClockHealth(msgspec.Struct, frozen=True):
    """This machine's clock minus OKX's when OKX last told its time, give or take `uncertain_ms`; null where it did
    not."""

    offset_ms: int | None
    uncertain_ms: int | None


class LossHealth(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A loss of one feed, as in the journal. `is_covered`: another feed held the book meanwhile, and nothing is
    missing."""

    at: str
    feed: int
    inst_id: str
    cause: str
    from_: str | None
    to: str | None
    is_covered: bool


class TaskHealth(msgspec.Struct, frozen=True):
    """The last failure of an optional task, which was started again."""

    at: str
    task: str
    error: str
    failures: int


class CountsHealth(msgspec.Struct, frozen=True):
    """Since the start of the run. `messages` are those of the books; `gaps` are losses that no other feed covered."""

    messages: int
    trade_messages: int
    context_messages: int
    unreadable: int
    lines: int
    trade_lines: int
    context_lines: int
    gaps: int
    losses: dict[str, int]
    """By cause, on any feed."""
    compared: dict[str, int]
    """Slots that a second feed brought too: `matched`, `unaligned`, `conflicting`."""
    audits: dict[str, int]
    """By the outcome of the journal's event `audited`."""
    audited_at: str | None
    """When REST last gave a book that could be compared."""


class Health(msgspec.Struct, frozen=True):
    """How a recorder was at `written`."""

    form: int
    written: str
    run: str
    pid: int
    host: str
    version: str
    python: str
    platform: str
    started: str
    cadence_sec: float
    feeds_wanted: int
    feeds: list[FeedHealth]
    instruments: list[InstrumentHealth]
    queue: QueueHealth
    disk: DiskHealth
    clock: ClockHealth
    losses: list[LossHealth]
    """The newest ones, at most 20, the newest first."""
    tasks: list[TaskHealth]
    counts: CountsHealth


def write_health(layout: Layout, health: Health) -> None:
    """Replace the file; whoever reads it finds the old one or the new one, whole. Raises OSError."""
    # Without a sync: after a power cut the recorder is gone too, and a file that does not read says the same.
    write_atomically(layout.health_file, msgspec.json.encode(health), is_durable=False)


def read_health(layout: Layout) -> Health | None:
    """What a recorder wrote last; None where there is no file, or none that reads as this form."""
    try:
        health = msgspec.json.decode(read_small(layout.health_file), type=Health)
        for text in _times(msgspec.to_builtins(health)):
            utc_ms(text)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    return health if health.form == FORM else None


def _times(value: object) -> Iterator[str]:
    """Every time of the form, wherever it stands."""
    if isinstance(value, list):
        for each in value:
            yield from _times(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _TIMES and isinstance(each, str):
                yield each
            else:
                yield from _times(each)
