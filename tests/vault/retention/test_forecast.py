"""How long the disk lasts, by the policy: never, where retention deletes before it is full."""

from pathlib import PurePosixPath

import pytest

from l2vault.vault.retention.forecast import Forecast, forecast, measure
from l2vault.vault.retention.plan import Policy
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, Kind

MB = 1_000_000
SUFFIXES = {"plain": ".jsonl", "gzip": ".jsonl.gz", "archive": ".parquet"}


def hour(number: int, size: int = MB, form: str = "plain", kind: Kind = "books") -> StoredHour:
    path = PurePosixPath("vault", kind, f"{number}{SUFFIXES[form]}")
    return StoredHour(kind, "BTC-USDT-SWAP", (500_000 + number) * HOUR_MS, form, path, size, 0)  # type: ignore[arg-type]


DAY = [hour(number) for number in range(25)]
"""A whole day and the hour being written: 24 MB a day plain, 6 compressed."""


@pytest.mark.parametrize("files", [[], [hour(0)], [hour(0), hour(0, form="gzip")]])
def test_before_the_first_whole_hour_nothing_is_known(files: list[StoredHour]) -> None:
    size = sum(each.size_bytes for each in files)
    assert forecast(measure(files), Policy(), 1) == Forecast(size, None, None, None)


def test_a_policy_that_deletes_before_the_disk_is_full_bounds_it() -> None:
    most = 6 * MB + 4.75 * 6 * MB  # six hours plain, the rest of five days compressed
    enough = round(most - 25 * MB)
    assert forecast(measure(DAY), Policy(), enough) == Forecast(25 * MB, 6 * MB, None, "delete_after_days")
    assert forecast(measure(DAY), Policy(), enough - 1 * MB).days_left == pytest.approx((enough - MB) / (6 * MB))


def test_without_retention_every_plain_byte_stays() -> None:
    assert forecast(measure(DAY), None, 48 * MB) == Forecast(25 * MB, 24 * MB, 2.0, None)


def test_the_other_settings_bound_it_too() -> None:
    assert forecast(measure(DAY), Policy(min_free_bytes=1), 0).bounded_by == "min_free_gb"
    assert forecast(measure(DAY), Policy(max_bytes=26 * MB), MB).bounded_by == "max_gb"
    archive = forecast(measure(DAY), Policy(archive_days=365), 10**12)
    assert (archive.days_left, archive.bounded_by) == (None, "archive_days")
    assert forecast(measure(DAY), Policy(archive_days=365), 12 * MB).days_left == 2.0


def test_column_files_are_counted_as_long_as_the_raw_hours_stay() -> None:
    columns = [hour(number, MB // 2, "archive") for number in range(1, 25)]
    for number in range(1, 3):
        columns.append(hour(-number, 100 * MB, "archive"))  # of hours before those that are typical
    recording = measure(DAY, columns)
    assert recording.rate is not None and recording.rate.columns == 23 * MB // 2, "the newest has none to count"
    held = 25 * MB + 212 * MB
    most = 6 * MB + 4.75 * 6 * MB + 5 * 11.5 * MB
    assert forecast(recording, Policy(), 10**12) == Forecast(held, 17.5 * MB, None, "delete_after_days")
    plenty = Policy(delete_after_days=50)
    assert forecast(recording, plenty, 35 * MB) == Forecast(held, 17.5 * MB, 2.0, None)
    assert forecast(recording, None, 71 * MB) == Forecast(held, 35.5 * MB, 2.0, None)
    small = forecast(recording, Policy(max_bytes=round(most)), 0)
    assert small.bounded_by == "delete_after_days", "max_gb bounds the raw tree alone"


def test_a_hole_in_the_recording_makes_no_disk_last_longer() -> None:
    rate = measure([hour(0), hour(20), hour(24)]).rate
    assert rate is not None and rate.plain == 24 * MB


def test_compressed_hours_and_old_ones_are_taken_for_what_they_are() -> None:
    packed = measure([hour(0, MB // 4, "gzip"), hour(1)]).rate
    assert packed is not None and (packed.plain, packed.kept) == (24 * MB, 6 * MB)
    older = measure([hour(-24, 1000 * MB), *DAY, hour(3, 7 * MB, "archive")])
    assert older.rate is not None and older.rate.plain == 24 * MB
    assert older.vault_bytes == 1032 * MB
    changes = measure([hour(0, MB, "gzip", "changes"), hour(1, MB, "gzip", "changes")]).rate
    assert changes is not None and (changes.plain, changes.kept) == (24 * MB, 24 * MB)


def test_what_waits_for_a_push_bounds_nothing_until_it_is_pushed() -> None:
    policy = Policy(delete_after_days=0.5, max_bytes=25 * MB, keep_until_pushed="s3://bucket")
    pushed = Forecast(25 * MB, 6 * MB, None, "delete_after_days", 0)
    assert forecast(measure(DAY, policy=policy), policy, 12 * MB) == pushed
    late = {each.kind_key for each in DAY[13:]}
    assert forecast(measure(DAY, policy=policy, unpushed=late), policy, 12 * MB) == pushed, "none of it is due yet"
    early = {each.kind_key for each in DAY[:3]}
    held = Forecast(25 * MB, 6 * MB, 2.0, None, 3 * MB)
    assert forecast(measure(DAY, policy=policy, unpushed=early), policy, 12 * MB) == held
    for short in (
        Policy(max_bytes=24 * MB, keep_until_pushed="s3://b"),
        Policy(min_free_bytes=13 * MB, keep_until_pushed="s3://b"),
    ):
        assert forecast(measure(DAY, policy=short, unpushed=late), short, 12 * MB).unpushed_bytes == 12 * MB
    archived = Policy(delete_after_days=0.1, archive_days=0.5, keep_until_pushed="s3://bucket")
    assert forecast(measure(DAY, policy=archived, unpushed=late), archived, 10**12).bounded_by == "archive_days"
    assert forecast(measure(DAY[:1], policy=policy, unpushed=early), policy, 1).days_left is None
