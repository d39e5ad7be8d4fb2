"""What retention is to do, as a pure function of what is there, the time and the free space. It touches no disk.

How much of it one pass may delete is `pace`'s to say.

What age asks for is done in any case. What lack of room asks for degrades in one order: compress early, archive early
(only a policy with `archive_days` archives), delete the oldest hours; each step is taken only while room is lacking.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from l2vault.book.utc import DAY_MS
from l2vault.errors import UsageError
from l2vault.vault.store.catalog import Form, StoredHour
from l2vault.vault.store.layout import HOUR_MS, WRITTEN_AS_GZIP, Kind, packed_path

ROOM_ORDER: Final[tuple[Kind, ...]] = ("changes", "deep", "rpi", "context", "trades", "books")
"""What room is made of first: what can be had least of elsewhere goes last."""
GB: Final = 1_000_000_000
DEFAULT_COMPRESS_HOURS: Final = 6
DEFAULT_DELETE_DAYS: Final = 5

SETTLE_MS: Final = 10 * 60_000
"""An hour is left as it is while a plain file of it was written to within this time, whatever the clock says of it."""

_SIZE_CURE: Final = "a number of GB above 0, or leave it out"
_EARLY: Final = "early, for want of room"
GZIP_SHARE: Final = 0.25
"""Forecast of gzip -6 against plain lines, twice what two real instruments gave (0.11 and 0.12), so that a plan names
enough; what of it is not needed after all is not done."""

ARCHIVE_SHARE: Final = 0.6
"""Forecast of an archive against gzip, above the promised 0.5 for the same reason."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept, how and for how long. Ages count from the end of the hour a file covers.

    `max_bytes` bounds the raw tree, `min_free_bytes` what stays free on its disk. Without `archive_days` retention
    neither makes nor deletes an archive. With `keep_until_pushed`, an address, no hour is deleted that `l2vault push`
    has not noted as it is, as pushed there.
    """

    compress_after_hours: float = DEFAULT_COMPRESS_HOURS
    delete_after_days: float = DEFAULT_DELETE_DAYS
    archive_days: float | None = None
    max_bytes: int | None = None
    min_free_bytes: int | None = None
    keep_until_pushed: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError, in the words of the settings, for a policy that nobody can mean."""
        _refuse_unless(self.compress_after_hours, "compress_after_hours", "0 or more, such as 6", least=0)
        for name in ("delete_after_days", "archive_days"):
            _refuse_unless(getattr(self, name), name, "a number of days above 0, such as 5")
        for name, size in (("max_gb", self.max_bytes), ("min_free_gb", self.min_free_bytes)):
            _refuse_unless(None if size is None else size / GB, name, _SIZE_CURE)
        if self.archive_days is not None and self.archive_days <= self.delete_after_days:
            raise UsageError(
                f"archive_days = {self.archive_days} would delete at once what is archived after "
                f"{self.delete_after_days:g} days.",
                "more days than delete_after_days",
            )

    @property
    def flags(self) -> list[str]:
        """What `l2vault retain` needs to act by this policy: a flag for each number that is not the default."""
        given: dict[str, float | None] = {}
        if self.compress_after_hours != DEFAULT_COMPRESS_HOURS:
            given["--compress-after-hours"] = self.compress_after_hours
        if self.delete_after_days != DEFAULT_DELETE_DAYS:
            given["--delete-after-days"] = self.delete_after_days
        given["--archive-days"] = self.archive_days
        given["--max-gb"] = None if self.max_bytes is None else self.max_bytes / GB
        given["--min-free-gb"] = None if self.min_free_bytes is None else self.min_free_bytes / GB
        return [word for flag, value in given.items() if value is not None for word in (flag, f"{value:.12g}")]


class PolicySettings(Protocol):
    """The settings that make a policy."""

    @property
    def compress_after_hours(self) -> float: ...
    @property
    def delete_after_days(self) -> float: ...
    @property
    def archive_days(self) -> float | None: ...
    @property
    def max_gb(self) -> float | None: ...
    @property
    def min_free_gb(self) -> float | None: ...
    @property
    def push_url(self) -> str: ...
    @property
    def keep_until_pushed(self) -> bool: ...


def policy_of(settings: PolicySettings) -> Policy:
    """The policy that the settings ask for; raises UsageError naming the setting that nobody can mean."""
    if settings.keep_until_pushed and not settings.push_url:
        raise UsageError("keep_until_pushed = true needs the address.", 'push_url = "s3://bucket/prefix"')
    return Policy(
        settings.compress_after_hours,
        settings.delete_after_days,
        settings.archive_days,
        _bytes_of(settings.max_gb, "max_gb"),
        _bytes_of(settings.min_free_gb, "min_free_gb"),
        settings.push_url if settings.keep_until_pushed else "",
    )


def _bytes_of(gigabytes: float | None, name: str) -> int | None:
    _refuse_unless(gigabytes, name, _SIZE_CURE, least=1 / GB)
    return None if gigabytes is None else round(gigabytes * GB)


def _refuse_unless(value: float | None, name: str, cure: str, least: float | None = None) -> None:
    """Refuse what is no finite number above 0 (or from `least` on); `None` means that nothing was set."""
    if value is not None and not (math.isfinite(value) and (value > 0 if least is None else value >= least)):
        raise UsageError(f"{name} = {value:g} is impossible.", cure)


class Clocks(NamedTuple):
    """The two times of a pass: ages count from `proved_ms`, the times of files compare with `wall_ms`."""

    proved_ms: int
    wall_ms: int


class Action(NamedTuple):
    """One step. `only_if_short`: for want of room, so to be left out if there is room again when its turn comes.

    `once_archived`: to be left out unless the hour has been archived before it in the same pass.
    """

    kind: Literal["compress", "archive", "delete"]
    held: StoredHour
    reason: str
    only_if_short: bool = False
    once_archived: bool = False

    @property
    def hour(self) -> tuple[str, int]:
        return self.held.key

    @property
    def kind_hour(self) -> tuple[Kind, str, int]:
        return self.held.kind_key

    @property
    def is_irreversible(self) -> bool:
        """Whether it deletes lines that no other form of the hour holds: what has just been archived is still there."""
        return self.kind == "delete" and not self.once_archived


@dataclass(slots=True)
class Room:
    """Bytes of the raw tree and free bytes of the disk, against what the policy allows."""

    policy: Policy
    raw_bytes: int
    free_bytes: int

    @property
    def is_over_budget(self) -> bool:
        return self.policy.max_bytes is not None and self.raw_bytes > self.policy.max_bytes

    @property
    def is_disk_low(self) -> bool:
        return self.policy.min_free_bytes is not None and self.free_bytes < self.policy.min_free_bytes

    @property
    def is_short(self) -> bool:
        return self.is_over_budget or self.is_disk_low

    @property
    def shortage(self) -> str:
        """What is lacking, in words and numbers."""
        if self.is_over_budget:
            return f"the raw tree holds {self.raw_bytes} bytes of at most {self.policy.max_bytes}"
        return f"the disk has {self.free_bytes} bytes free of at least {self.policy.min_free_bytes}"

    def take(self, raw_bytes: int, archive_bytes: int = 0) -> None:
        """Forecast that this many bytes leave the raw tree and the archive (negative: enter it)."""
        self.raw_bytes -= raw_bytes
        self.free_bytes += raw_bytes + archive_bytes


def is_fresh(held: StoredHour, wall_ms: int) -> bool:
    """Whether someone may still be writing a file. A change far in the future is a clock set back since: no sign."""
    is_written_so = held.form == "plain" or (held.kind in WRITTEN_AS_GZIP and held.form == "gzip")
    return is_written_so and abs(wall_ms - held.written_ms) < SETTLE_MS


class _Forecast:
    """What there will be of one hour of one instrument: forms leave and change as the plan goes on."""

    def __init__(self, held: list[StoredHour], is_kept: bool) -> None:
        self.is_kept = is_kept
        self.forms: dict[Form, StoredHour] = {each.form: each for each in held}
        self.key = held[0].key
        self.kind = held[0].kind
        self.end_ms = held[0].hour_ms + HOUR_MS

    @property
    def raw(self) -> list[StoredHour]:
        """Plain before gzip, so that a deletion cut short leaves what was compressed."""
        return [self.forms[form] for form in ("plain", "gzip") if form in self.forms]

    def is_settled(self, clocks: Clocks) -> bool:
        """Whether nobody can still be writing it."""
        return self.end_ms <= clocks.proved_ms and not any(is_fresh(held, clocks.wall_ms) for held in self.raw)

    def pack(self) -> int:
        """Forecast the plain form becoming gzip; returns the bytes saved."""
        plain = self.forms.pop("plain")
        held = self.forms.get("gzip")
        size = int(plain.size_bytes * GZIP_SHARE)
        total = size + (held.size_bytes if held else 0)
        self.forms["gzip"] = plain._replace(form="gzip", path=packed_path(plain.path), size_bytes=total)
        return plain.size_bytes - size


def select(
    policy: Policy,
    files: Iterable[StoredHour],
    clocks: Clocks,
    free_bytes: int,
    open_hours: Collection[tuple[str, int]] = (),
    kept: Collection[tuple[Kind, str, int]] = (),
) -> list[Action]:
    """The plan, in the order in which it is to be carried out, oldest hour first within each step:

    age: delete, or archive and then delete; delete old archives; compress. Room, of changes first and of books last:
    compress, archive, delete. No action
    touches an hour that ends after `clocks.proved_ms`, is one of `open_hours` or may still be written to; of `kept`
    hours some form always stays.
    """
    files = list(files)
    room = Room(policy, sum(each.size_bytes for each in files if each.form != "archive"), free_bytes)
    hours = [hour for hour in _by_hour(files, kept) if hour.is_settled(clocks) and hour.key not in open_hours]
    plan: list[Action] = []
    for hour in hours:
        plan += _end_by_age(policy, hour, room, clocks.proved_ms)
    for hour in hours:
        plan += _compress_by_age(policy, hour, room, clocks.proved_ms)
    for kind in ROOM_ORDER:
        of_kind = [hour for hour in hours if hour.kind == kind]
        for make_room in (_compress_for_room, _archive_for_room, _delete_for_room):
            for hour in of_kind:
                if room.is_short:
                    plan += make_room(policy, hour, room)
    return plan


def due_by_age(
    policy: Policy,
    files: Iterable[StoredHour],
    clocks: Clocks,
    open_hours: Collection[tuple[str, int]] = (),
    kept: Collection[tuple[Kind, str, int]] = (),
) -> list[Action]:
    """The part of the plan that no want of room asks for."""
    ages = Policy(policy.compress_after_hours, policy.delete_after_days, policy.archive_days)
    return select(ages, files, clocks, 0, open_hours, kept)


def _by_hour(files: list[StoredHour], kept: Collection[tuple[Kind, str, int]]) -> list[_Forecast]:
    found: dict[tuple[int, str, str], list[StoredHour]] = {}
    for each in files:
        found.setdefault((each.hour_ms, each.inst_id, each.kind), []).append(each)
    return [_Forecast(found[key], found[key][0].kind_key in kept) for key in sorted(found)]


def _end_by_age(policy: Policy, hour: _Forecast, room: Room, now_ms: int) -> Iterator[Action]:
    """Everything past its last day."""
    days = (now_ms - hour.end_ms) / DAY_MS
    if hour.raw and days >= policy.delete_after_days:
        reason = f"its hour ended {policy.delete_after_days:g} days ago or more"
        if policy.archive_days is None or days >= policy.archive_days:
            if hour.is_kept:
                return
            yield from _delete_raw(hour, room, Action("delete", hour.raw[0], reason))
        else:
            yield from _archive(hour, room, Action("archive", hour.raw[0], reason))
    if policy.archive_days is not None and days >= policy.archive_days and "archive" in hour.forms and not hour.is_kept:
        archive = hour.forms.pop("archive")
        room.take(0, archive.size_bytes)
        yield Action("delete", archive, f"its hour ended {policy.archive_days:g} days ago or more")


def _compress_by_age(policy: Policy, hour: _Forecast, room: Room, now_ms: int) -> Iterator[Action]:
    plain = hour.forms.get("plain")
    if plain is None:
        return
    if "gzip" in hour.forms:
        reason = "its hour is compressed already"
    elif now_ms - hour.end_ms >= policy.compress_after_hours * HOUR_MS:
        reason = f"its hour ended {policy.compress_after_hours:g} hours ago or more"
    else:
        return
    room.take(hour.pack())
    yield Action("compress", plain, reason)


def _compress_for_room(policy: Policy, hour: _Forecast, room: Room) -> Iterator[Action]:
    if plain := hour.forms.get("plain"):
        room.take(hour.pack())
        yield Action("compress", plain, _EARLY, only_if_short=True)


def _archive_for_room(policy: Policy, hour: _Forecast, room: Room) -> Iterator[Action]:
    if policy.archive_days is not None and hour.raw:
        yield from _archive(hour, room, Action("archive", hour.raw[0], _EARLY, only_if_short=True))


def _delete_for_room(policy: Policy, hour: _Forecast, room: Room) -> Iterator[Action]:
    """An archive frees nothing of the raw tree's budget, so only a low disk can ask for it."""
    if hour.is_kept:
        return
    if hour.raw and policy.archive_days is None:
        yield from _delete_raw(hour, room, Action("delete", hour.raw[0], _EARLY, only_if_short=True))
    elif room.is_disk_low and policy.archive_days is not None and "archive" in hour.forms:
        archive = hour.forms.pop("archive")
        room.take(0, archive.size_bytes)
        yield Action("delete", archive, _EARLY, only_if_short=True)


def _archive(hour: _Forecast, room: Room, like: Action) -> Iterator[Action]:
    """Both raw forms are made one first: an archive is built from a whole hour."""
    if len(hour.raw) == 2:
        plain = hour.forms["plain"]
        room.take(hour.pack())
        yield like._replace(kind="compress", held=plain)
    held = hour.raw[0]
    room.take(0, -int(held.size_bytes * ARCHIVE_SHARE * (1 if held.form == "gzip" else GZIP_SHARE)))
    yield like._replace(held=held)
    yield from _delete_raw(hour, room, like._replace(only_if_short=False, once_archived=True))


def _delete_raw(hour: _Forecast, room: Room, like: Action) -> Iterator[Action]:
    for held in hour.raw:
        del hour.forms[held.form]
        room.take(held.size_bytes)
        yield like._replace(kind="delete", held=held)
