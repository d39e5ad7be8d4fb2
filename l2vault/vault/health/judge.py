"""Whether a recorder is healthy, and if not, why, in sentences. Pure: the file, the time and the lock are handed in.

The thresholds stand here and nowhere else; `l2vault status --help` and docs/operate.md print them.
"""

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from l2vault.book.utc import utc_ms
from l2vault.foreign import printable
from l2vault.vault.health.form import Health, InstrumentHealth

GB: Final = 1_000_000_000
STALE_SEC: Final = 30
"""The file is replaced every 5 s; one this old shows that nothing does so any more."""
FEED_DOWN_SEC: Final = 60
"""A feed that was closed is back within seconds; the other one carries the books meanwhile."""
BOOK_OLD_SEC: Final = 90
"""OKX sends a heartbeat every 60 s, and a book without one for 75 s is lost."""
STALLED_SEC: Final = 10
LINES_LOST_SEC: Final = 600
"""For how long lines that the disk refused keep a recorder from being called healthy."""
DAYS_LEFT: Final = 2
FREE_BYTES: Final = GB
NO_ROOM_BYTES: Final = 1_000_000
"""With less the file cannot be replaced: its age then shows that the disk is full, not that the recorder has gone."""
CLOCK_MS: Final = 1_000
"""Beyond its uncertainty. Recording is exact all the same; times of receipt and of the journal are not."""

State = Literal["healthy", "not healthy", "no recorder"]

THRESHOLDS: Final = (
    f"Not healthy: no feed is connected, or one is down for {FEED_DOWN_SEC} s; an instrument that no feed holds in "
    f"sync, or whose newest book is older than {BOOK_OLD_SEC} s; the disk has taken nothing for {STALLED_SEC} s, has "
    f"refused lines in the last {LINES_LOST_SEC // 60} min, has less than {FREE_BYTES // GB} GB free or is full within "
    f"{DAYS_LEFT} days; the clock is off by more than {CLOCK_MS // 1000} s. No recorder: nobody holds the lock, or "
    f"health.json is older than {STALE_SEC} s while the disk has room for it."
)


class Reason(NamedTuple):
    """Why a recorder is not healthy: a word for programs, of which instrument or feed, a sentence, what to do."""

    code: str
    of: str
    text: str
    cure: str


class Verdict(NamedTuple):
    """`age_sec` is that of the file, None where there is none."""

    state: State
    reasons: list[Reason]
    age_sec: float | None


class Look(NamedTuple):
    """The recorder at one moment. `now_ms` is this machine's clock; `is_held` says whether a process holds the vault's
    lock, None: not known; `free_bytes` is what the vault's disk has free, as who looks sees it, None: not known."""

    now_ms: int
    health: Health | None
    is_held: bool | None
    verdict: Verdict
    free_bytes: int | None = None

    @property
    def is_there(self) -> bool:
        """Whether a recorder is at work and its file can be believed."""
        return self.health is not None and self.verdict.state != "no recorder" and not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether the disk has no room even for the file, which is then of an earlier time."""
        return any(reason.code == "disk_full" for reason in self.verdict.reasons)


def judge(health: Health | None, now_ms: int, is_held: bool | None, free_bytes: int | None = None) -> Verdict:
    """The arguments are as in `Look`."""
    age_sec = None if health is None else age_of(health, now_ms)
    if is_held is False or (is_held is None and age_sec is None):
        return Verdict("no recorder", [_absent(health)], age_sec)
    if health is None or age_sec is None:
        text = "A recorder holds the vault's lock, and no health.json can be read: it is of a version before 0.2.0, "
        text += "has just started, or cannot write."
        cure = "wait 10 s; then look at its log, or start it anew with this version"
        return Verdict("not healthy", [Reason("no_health_file", "", text, cure)], None)
    if not -STALE_SEC <= age_sec <= STALE_SEC:
        if is_held and age_sec > 0 and free_bytes is not None and free_bytes < NO_ROOM_BYTES:
            return Verdict("not healthy", [_full(health)], age_sec)
        return Verdict("no recorder", [_stale(health, age_sec, is_held)], age_sec)
    reasons = list(_reasons(health, now_ms, free_bytes))
    return Verdict("not healthy" if reasons else "healthy", reasons, age_sec)


def age_of(health: Health, now_ms: int) -> float:
    """Seconds since the file was written; below 0 where the clock was set back since."""
    return (now_ms - utc_ms(health.written)) / 1000


def seconds_since(text: str, now_ms: int) -> float:
    """Of this machine's clock, and never below 0."""
    return max(0, now_ms - utc_ms(text)) / 1000


def _absent(health: Health | None) -> Reason:
    since = "and none has left a health.json" if health is None else f"the last sign of life was at {health.written}"
    return Reason("no_recorder", "", f"Nobody records into this vault: {since}.", "start it: l2vault record")


def _stale(health: Health, age_sec: float, is_held: bool | None) -> Reason:
    who = f"process {health.pid} on {printable(health.host)}"
    if age_sec < 0:
        text = f"health.json is of {health.written}, {-age_sec:.0f} s ahead of this machine's clock: the clock was set."
        return Reason("clock_set", "", text, "set the clock by NTP; if the recorder has ended, start it")
    if is_held:
        text = f"The recorder ({who}) holds the lock and has given no sign of life since {health.written}: it is "
        text += "stopped or hangs, the host slept, or its disk takes nothing."
        return Reason("hangs", "", text, "look at its log and its disk; end it and start it: l2vault record")
    text = f"No sign of life of the recorder ({who}) since {health.written}; whether it still runs cannot be seen: "
    text += "this user may not open the vault's lock."
    return Reason("stale", "", text, "start it: l2vault record")


def _full(health: Health) -> Reason:
    who = f"process {health.pid} on {printable(health.host)}"
    text = f"The disk is full: the recorder ({who}) holds the lock and could write nothing since {health.written}, not "
    text += "even health.json. Lines are lost."
    return Reason("disk_full", "", text, "make room on it; then set max_gb or min_free_gb: docs/retention.md")


def _reasons(health: Health, now_ms: int, free_bytes: int | None) -> Iterator[Reason]:
    yield from _of_feeds(health, now_ms)
    for one in health.instruments:
        yield from _of_instrument(one, age_of(health, now_ms))
    known = [each for each in (health.disk.free_bytes, free_bytes) if each is not None]
    yield from _of_disk(health, now_ms, min(known, default=None))
    offset_ms, uncertain_ms = health.clock.offset_ms, health.clock.uncertain_ms
    if offset_ms is not None and abs(offset_ms) - (uncertain_ms or 0) > CLOCK_MS:
        way = "ahead of" if offset_ms > 0 else "behind"
        text = f"This machine's clock is {abs(offset_ms) / 1000:.1f} s {way} OKX's; recording is exact all the same."
        cure = "set it by NTP (Linux: timedatectl set-ntp true; Windows: w32tm /resync)"
        yield Reason("clock_off", "", text, cure)


def _of_feeds(health: Health, now_ms: int) -> Iterator[Reason]:
    cure = "docs/network.md; l2vault probe shows what is reachable from here"
    if not any(feed.state == "up" for feed in health.feeds):
        why = next((f": {printable(feed.reason)}" for feed in health.feeds if feed.reason), "")
        yield Reason("no_feed", "", f"No feed is connected{why}.", cure)
        return
    for feed in health.feeds:
        down_sec = seconds_since(feed.since, now_ms)
        if feed.state != "up" and down_sec > FEED_DOWN_SEC:
            why = f": {printable(feed.reason)}" if feed.reason else ""
            text = f"Feed {feed.feed} is down for {down_sec:.0f} s{why}; another one is connected."
            yield Reason("feed_down", str(feed.feed), text, cure)


def _of_instrument(one: InstrumentHealth, file_age_sec: float) -> Iterator[Reason]:
    inst_id = printable(one.inst_id)
    if one.state == "unverifiable":
        text = f"{inst_id} has neither sequence numbers nor checksums, so that no loss could be seen."
        yield Reason("unverifiable", inst_id, text, "leave it out, or record_unverifiable = true")
    elif one.state == "refused":
        text = f"OKX refuses {inst_id} since {one.since}."
        yield Reason("refused", inst_id, text, "check its name at OKX; the others go on")
    elif one.state != "in sync":
        text = f"No feed holds the book of {inst_id} in sync since {one.since}."
        yield Reason("not_in_sync", inst_id, text, "the log says why; docs/troubleshooting.md")
    elif one.book_age_sec is None or one.book_age_sec + file_age_sec > BOOK_OLD_SEC:
        age = "of no known age" if one.book_age_sec is None else f"{one.book_age_sec + file_age_sec:.0f} s old"
        text = f"The newest book of {inst_id} is {age}."
        yield Reason("book_old", inst_id, text, "the log says why; docs/troubleshooting.md")


def _of_disk(health: Health, now_ms: int, free_bytes: int | None) -> Iterator[Reason]:
    queue, disk = health.queue, health.disk
    if queue.stalled_sec >= STALLED_SEC:
        text = f"The disk has taken nothing for {queue.stalled_sec:.0f} s; {queue.waiting} items wait."
        yield Reason("disk_stalled", "", text, "look after the disk of the vault")
    if queue.lines_lost_at is not None and seconds_since(queue.lines_lost_at, now_ms) <= LINES_LOST_SEC:
        text = f"The disk refused lines: {queue.lines_lost} since the start, the last ones at {queue.lines_lost_at}."
        yield Reason("lines_lost", "", text, "make room on it, and let the recorder's user write there")
    push = "l2vault push: what is not pushed is not deleted (keep_until_pushed)" if disk.unpushed_bytes else ""
    if free_bytes is not None and free_bytes < FREE_BYTES:
        text = f"The disk has {free_bytes / GB:.2f} GB free."
        yield Reason("disk_low", "", text, push or "make room on it, or set min_free_gb: docs/retention.md")
    elif disk.days_left is not None and disk.days_left < DAYS_LEFT:
        text = f"The disk is full in {disk.days_left:.1f} days at the present rate."
        cure = "make room on it, or set max_gb or delete_after_days: docs/retention.md"
        yield Reason("disk_low", "", text, push or cure)
