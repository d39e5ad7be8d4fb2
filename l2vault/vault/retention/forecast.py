"""How long the disk lasts: what the recording of the newest day takes, against the policy and the free space. Pure."""

import math
from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

from l2vault.book.utc import DAY_MS
from l2vault.vault.retention.plan import ARCHIVE_SHARE, GZIP_SHARE, Policy
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, WRITTEN_AS_GZIP, Kind

Bound = Literal["delete_after_days", "archive_days", "max_gb", "min_free_gb"]
_DAY_HOURS: Final = 24
_ARCHIVED: Final[frozenset[Kind]] = frozenset({"books", "changes"})


class Forecast(NamedTuple):
    """`bytes_a_day` is what a day of recording adds in the form in which it is kept; None before the first whole hour.

    `days_left` until the free space is used up; None where that is not known, or where `bounded_by` names the setting
    by which retention deletes before. `unpushed_bytes` are those that it would have deleted and keeps because they are
    not pushed: while there are any nothing bounds the vault. None without `keep_until_pushed`.
    """

    vault_bytes: int
    bytes_a_day: float | None
    days_left: float | None
    bounded_by: Bound | None
    unpushed_bytes: int | None = None


class Rate(NamedTuple):
    """Bytes a day: as written, as compressed, what an archive of it would take, and the column files beside it."""

    plain: float
    kept: float
    archived: float
    columns: float = 0.0


class Recording(NamedTuple):
    """What the vault holds, and how fast it grows; `rate` is None before the first whole hour. Of what is not pushed
    all, and what is so old that it would have been deleted; 0 where nothing waits for a push."""

    vault_bytes: int
    rate: Rate | None
    unpushed_bytes: int = 0
    overdue_bytes: int = 0


def measure(
    files: Sequence[StoredHour],
    columns: Sequence[StoredHour] = (),
    policy: Policy | None = None,
    unpushed: Collection[tuple[Kind, str, int]] = (),
) -> Recording:
    """`files` are all data files of the vault, of every kind; `columns` the column files of its closed hours;
    `unpushed` the hours that `policy` keeps until they are pushed. Ages count from the newest hour.

    The newest hour is left out, since it is still being written. The hours of the 24 before it that hold anything are
    taken for typical, so that a hole in the recording makes no disk last longer.
    """
    vault_bytes = sum(each.size_bytes for each in (*files, *columns))
    waiting = [each for each in files if each.kind_key in unpushed]
    if policy is None or not waiting:
        return Recording(vault_bytes, _rate(files, columns))
    due_ms = max(each.hour_ms for each in files) - (policy.archive_days or policy.delete_after_days) * DAY_MS
    unpushed_bytes, overdue_bytes = (
        sum(each.size_bytes for each in waiting if each.hour_ms <= last_ms) for last_ms in (math.inf, due_ms)
    )
    return Recording(vault_bytes, _rate(files, columns), unpushed_bytes, overdue_bytes)


def forecast(recording: Recording, policy: Policy | None, free_bytes: int) -> Forecast:
    """Without a `policy` nothing is ever compressed or deleted."""
    vault_bytes, rate = recording.vault_bytes, recording.rate
    waiting = _waiting_bytes(recording, policy, free_bytes)
    if rate is None:
        return Forecast(vault_bytes, None, None, None, waiting)
    if policy is None:
        a_day = rate.plain + rate.columns
        return Forecast(vault_bytes, a_day, free_bytes / a_day if a_day else None, None)
    a_day = rate.kept + rate.columns
    if waiting and a_day:
        return Forecast(vault_bytes, a_day, free_bytes / a_day, None, waiting)
    if policy.min_free_bytes is not None:
        return Forecast(vault_bytes, a_day, None, "min_free_gb", waiting)
    most, bounded_by = _most(rate, policy)
    if most - vault_bytes <= free_bytes or not a_day:
        return Forecast(vault_bytes, a_day, None, bounded_by, waiting)
    return Forecast(vault_bytes, a_day, free_bytes / a_day, None, waiting)


def _waiting_bytes(recording: Recording, policy: Policy | None, free_bytes: int) -> int | None:
    """What a push would let retention delete now: all that is not pushed, where want of room asks for it."""
    if policy is None or not policy.keep_until_pushed:
        return None
    is_short = policy.min_free_bytes is not None and free_bytes < policy.min_free_bytes
    is_large = policy.max_bytes is not None and recording.vault_bytes > policy.max_bytes
    return recording.unpushed_bytes if is_short or is_large else recording.overdue_bytes


def _most(rate: Rate, policy: Policy) -> tuple[float, Bound]:
    """How large the vault gets under a policy, and by which of its settings it grows no further. Column files go with
    their hour, and no setting bounds them by itself."""
    days = policy.delete_after_days
    plain_days = min(policy.compress_after_hours / _DAY_HOURS, days)
    raw = rate.plain * plain_days + rate.kept * (days - plain_days)
    bounded_by: Bound = "delete_after_days"
    if policy.max_bytes is not None and policy.max_bytes < raw:
        days, raw, bounded_by = days * policy.max_bytes / raw, policy.max_bytes, "max_gb"
    raw += rate.columns * days
    if policy.archive_days is None:
        return raw, bounded_by
    return raw + rate.archived * (policy.archive_days - policy.delete_after_days), "archive_days"


def _rate(files: Sequence[StoredHour], column_files: Sequence[StoredHour]) -> Rate | None:
    newest_ms = max((each.hour_ms for each in files if each.form != "archive"), default=0)
    typical = [
        each
        for each in files
        if each.form != "archive" and newest_ms - _DAY_HOURS * HOUR_MS <= each.hour_ms < newest_ms
    ]
    hours = len({each.hour_ms for each in typical})
    if not hours:
        return None
    plain = kept = archived = 0.0
    for each in typical:
        is_compressed = each.form == "gzip"
        packed = each.size_bytes if is_compressed else each.size_bytes * GZIP_SHARE
        kept += packed
        plain += each.size_bytes / GZIP_SHARE if is_compressed and each.kind not in WRITTEN_AS_GZIP else each.size_bytes
        archived += packed * ARCHIVE_SHARE if each.kind in _ARCHIVED else packed
    days = hours / _DAY_HOURS
    own = {each.key for each in typical}
    columns = sum(each.size_bytes for each in column_files if each.key in own)
    return Rate(plain / days, kept / days, archived / days, columns / days)
