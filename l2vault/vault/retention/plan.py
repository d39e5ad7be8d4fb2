"""What retention is to do, as a pure function of what is there, the time and the free space. It touches no disk.

What age asks for is done in any case. What lack of room asks for degrades in one order: compress early, archive early
(only a policy with `archive_days` archives), delete the oldest hours; each step is taken only while room is lacking.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from l2vault.errors import UsageError
from l2vault.vault.census import Form, Held
from l2vault.vault.layout import HOUR_MS

GB: Final = 1_000_000_000
SETTLE_MS: Final = 10 * 60_000
"""An hour is let alone while a plain file of it was written to within this time, whatever the clock says of it."""

_DAY_MS: Final = 24 * HOUR_MS
_EARLY: Final = "early, for want of room"
_GZIP_SHARE: Final = 0.25
"""Forecast of gzip -6 against plain lines, twice what two real instruments gave (0.11 and 0.12), so that a plan names
enough; what of it is not needed after all is not done."""

_ARCHIVE_SHARE: Final = 0.6
"""Forecast of an archive against gzip, above the promised 0.5 for the same reason."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept, how and for how long. Ages count from the end of the hour a file covers.

    `max_bytes` bounds the raw tree, `min_free_bytes` what stays free on its disk. Without `archive_days` retention
    neither makes nor deletes an archive.
    """

    compress_after_hours: float = 6
    delete_after_days: float = 5
    archive_days: float | None = None
    max_bytes: int | None = None
    min_free_bytes: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a policy that nobody can mean."""
        if not self.compress_after_hours >= 0:
            raise UsageError(
                f"compress_after_hours = {self.compress_after_hours} is impossible.", "0 or more, such as 6"
            )
        for name in ("delete_after_days", "archive_days", "max_bytes", "min_free_bytes"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise UsageError(f"{name} = {value} is impossible.", "a number above 0, or leave it out")
        if self.archive_days is not None and self.archive_days <= self.delete_after_days:
            raise UsageError(
                f"archive_days = {self.archive_days} would delete at once what is archived after "
                f"{self.delete_after_days:g} days.",
                "more days than delete_after_days",
            )


def policy_of(values: Any) -> Policy:
    """Of flags or settings: each has the numbers by the same names, None where nothing was said."""
    names = ("compress_after_hours", "delete_after_days", "archive_days")
    given = {name: getattr(values, name) for name in names if getattr(values, name) is not None}
    for name, flag in (("max_bytes", "max_gb"), ("min_free_bytes", "min_free_gb")):
        if (gigabytes := getattr(values, flag)) is not None:
            given[name] = round(gigabytes * GB)
    return Policy(**given)


class Action(NamedTuple):
    """One step. `only_if_short`: for want of room, so to be left out if there is room again when its turn comes.

    `once_archived`: to be left out unless the hour has been archived before it in the same pass.
    """

    kind: Literal["compress", "archive", "delete"]
    held: Held
    reason: str
    only_if_short: bool = False
    once_archived: bool = False


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


def is_fresh(held: Held, now_ms: int) -> bool:
    """Whether someone may still be writing a file. A change far in the future is a clock set back since: no sign."""
    return held.form == "plain" and abs(now_ms - held.written_ms) < SETTLE_MS


class _Hour:
    """What there is of one hour of one instrument; forms leave as the plan takes them."""

    def __init__(self, held: list[Held]) -> None:
        self.forms: dict[Form, Held] = {each.form: each for each in held}
        self.end_ms = held[0].hour_ms + HOUR_MS

    @property
    def raw(self) -> list[Held]:
        """Plain before gzip, so that a deletion cut short leaves what was compressed."""
        return [self.forms[form] for form in ("plain", "gzip") if form in self.forms]

    def is_settled(self, now_ms: int) -> bool:
        """Whether nobody can still be writing it."""
        plain = self.forms.get("plain")
        return self.end_ms <= now_ms and (plain is None or not is_fresh(plain, now_ms))

    def pack(self) -> int:
        """Forecast the plain form becoming gzip; returns the bytes saved."""
        plain = self.forms.pop("plain")
        held = self.forms.get("gzip")
        size = int(plain.size_bytes * _GZIP_SHARE)
        total = size + (held.size_bytes if held else 0)
        path = plain.path.with_name(plain.path.name + ".gz")
        self.forms["gzip"] = plain._replace(form="gzip", path=path, size_bytes=total)
        return plain.size_bytes - size


def select(policy: Policy, files: Iterable[Held], now_ms: int, free_bytes: int) -> list[Action]:
    """The plan, in the order in which it is to be carried out, oldest hour first within each step:

    age: delete, or archive and then delete; delete old archives; compress. Room: compress, archive, delete. No action
    touches an hour that ends after `now_ms` or is still written to.
    """
    files = list(files)
    room = Room(policy, sum(each.size_bytes for each in files if each.form != "archive"), free_bytes)
    hours = [hour for hour in _by_hour(files) if hour.is_settled(now_ms)]
    plan: list[Action] = []
    for hour in hours:
        plan += _end_by_age(policy, hour, room, now_ms)
    for hour in hours:
        plan += _compress_by_age(policy, hour, room, now_ms)
    for make_room in (_compress_for_room, _archive_for_room, _delete_for_room):
        for hour in hours:
            if room.is_short:
                plan += make_room(policy, hour, room)
    return plan


def _by_hour(files: list[Held]) -> list[_Hour]:
    found: dict[tuple[int, str], list[Held]] = {}
    for each in files:
        found.setdefault((each.hour_ms, each.inst_id), []).append(each)
    return [_Hour(found[key]) for key in sorted(found)]


def _end_by_age(policy: Policy, hour: _Hour, room: Room, now_ms: int) -> Iterator[Action]:
    """Everything past its last day."""
    days = (now_ms - hour.end_ms) / _DAY_MS
    if hour.raw and days >= policy.delete_after_days:
        reason = f"its hour ended {policy.delete_after_days:g} days ago or more"
        if policy.archive_days is None or days >= policy.archive_days:
            yield from _delete_raw(hour, room, Action("delete", hour.raw[0], reason))
        else:
            yield from _archive(hour, room, Action("archive", hour.raw[0], reason))
    if policy.archive_days is not None and days >= policy.archive_days and "archive" in hour.forms:
        archive = hour.forms.pop("archive")
        room.take(0, archive.size_bytes)
        yield Action("delete", archive, f"its hour ended {policy.archive_days:g} days ago or more")


def _compress_by_age(policy: Policy, hour: _Hour, room: Room, now_ms: int) -> Iterator[Action]:
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


def _compress_for_room(policy: Policy, hour: _Hour, room: Room) -> Iterator[Action]:
    if plain := hour.forms.get("plain"):
        room.take(hour.pack())
        yield Action("compress", plain, _EARLY, only_if_short=True)


def _archive_for_room(policy: Policy, hour: _Hour, room: Room) -> Iterator[Action]:
    if policy.archive_days is not None and hour.raw:
        yield from _archive(hour, room, Action("archive", hour.raw[0], _EARLY, only_if_short=True))


def _delete_for_room(policy: Policy, hour: _Hour, room: Room) -> Iterator[Action]:
    """An archive frees nothing of the raw tree's budget, so only a low disk can ask for it."""
    if hour.raw and policy.archive_days is None:
        yield from _delete_raw(hour, room, Action("delete", hour.raw[0], _EARLY, only_if_short=True))
    elif room.is_disk_low and policy.archive_days is not None and "archive" in hour.forms:
        archive = hour.forms.pop("archive")
        room.take(0, archive.size_bytes)
        yield Action("delete", archive, _EARLY, only_if_short=True)


def _archive(hour: _Hour, room: Room, like: Action) -> Iterator[Action]:
    """Both raw forms are made one first: an archive is built from a whole hour."""
    if len(hour.raw) == 2:
        plain = hour.forms["plain"]
        room.take(hour.pack())
        yield like._replace(kind="compress", held=plain)
    held = hour.raw[0]
    room.take(0, -int(held.size_bytes * _ARCHIVE_SHARE * (1 if held.form == "gzip" else _GZIP_SHARE)))
    yield like._replace(held=held)
    yield from _delete_raw(hour, room, like._replace(only_if_short=False, once_archived=True))


def _delete_raw(hour: _Hour, room: Room, like: Action) -> Iterator[Action]:
    for held in hour.raw:
        del hour.forms[held.form]
        room.take(held.size_bytes)
        yield like._replace(kind="delete", held=held)
