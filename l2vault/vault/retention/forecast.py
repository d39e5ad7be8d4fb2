"""How long the disk lasts: what the recording of the newest day takes, against the policy and the free space. Pure."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from l2vault.vault.retention.plan import ARCHIVE_SHARE, GZIP_SHARE, Policy
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, WRITTEN_AS_GZIP, Kind

Bound = Literal["delete_after_days", "archive_days", "max_gb", "min_free_gb"]
_DAY_HOURS: Final = 24
_ARCHIVED: Final[frozenset[Kind]] = frozenset({"books", "changes"})


class Forecast(NamedTuple):
    """`bytes_a_day` is what a day of recording adds in the form in which it is kept; None before the first whole hour.

    `days_left` until the free space is used up; None where that is not known, or where `bounded_by` names the setting
    by which retention deletes before.
    """

    vault_bytes: int
    bytes_a_day: float | None
    days_left: float | None
    bounded_by: Bound | None


class Rate(NamedTuple):
    """Bytes a day: as written, as compressed, what an archive of it would take, and the column files beside it."""

    plain: float
    kept: float
    archived: float
    columns: float = 0.0


class Recording(NamedTuple):
    """What the vault holds, and how fast it grows; `rate` is None before the first whole hour."""

    vault_bytes: int
    rate: Rate | None


def measure(files: Sequence[StoredHour], columns: Sequence[StoredHour] = ()) -> Recording:
    """`files` are all data files of the vault, of every kind; `columns` the column files of its closed hours.

    The newest hour is left out, since it is still being written. The hours of the 24 before it that hold anything are
    taken for typical, so that a hole in the recording makes no disk last longer.
    """
    return Recording(sum(each.size_bytes for each in (*files, *columns)), _rate(files, columns))


def forecast(recording: Recording, policy: Policy | None, free_bytes: int) -> Forecast:
    """Without a `policy` nothing is ever compressed or deleted."""
    vault_bytes, rate = recording
    if rate is None:
        return Forecast(vault_bytes, None, None, None)
    if policy is None:
        a_day = rate.plain + rate.columns
        return Forecast(vault_bytes, a_day, free_bytes / a_day if a_day else None, None)
    a_day = rate.kept + rate.columns
    if policy.min_free_bytes is not None:
        return Forecast(vault_bytes, a_day, None, "min_free_gb")
    most, bounded_by = _most(rate, policy)
    if most - vault_bytes <= free_bytes or not a_day:
        return Forecast(vault_bytes, a_day, None, bounded_by)
    return Forecast(vault_bytes, a_day, free_bytes / a_day, None)


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
