"""What retention plans, as a table: files, time and room in; actions in their order out."""

import argparse
from dataclasses import dataclass, fields
from pathlib import PurePosixPath

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.utc import utc_ms
from l2vault.errors import UsageError
from l2vault.recording.start_words import policy_words
from l2vault.vault.retention.plan import ROOM_ORDER, SETTLE_MS, Clocks, Policy, policy_of, select
from l2vault.vault.retention.run import RETAINED
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, KINDS
from l2vault.verbs import retain


@dataclass
class Settings:
    """What `policy_of` needs of the settings."""

    compress_after_hours: float = 6.0
    delete_after_days: float = 5.0
    archive_days: float | None = None
    max_gb: float | None = None
    min_free_gb: float | None = None
    push_url: str = ""
    keep_until_pushed: bool = False


BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
NOW_MS = utc_ms("2026-11-22T15:30:00.000Z")
DAY_HOURS = 24
PLENTY = 10**15
SUFFIXES = {"plain": ".jsonl", "gzip": ".jsonl.gz", "archive": ".parquet"}


def hour_start(hours_ago):
    """Start of the hour that ended `hours_ago` whole hours and 30 minutes before NOW_MS; -1 is the current one."""
    return NOW_MS - 30 * 60_000 - (hours_ago + 1) * HOUR_MS


def held(hours_ago, form="plain", size=1000, inst_id=BTC, written_ms=None):
    hour_ms = hour_start(hours_ago)
    path = PurePosixPath("vault", inst_id, str(hour_ms), f"{hours_ago}{SUFFIXES[form]}")
    return StoredHour("books", inst_id, hour_ms, form, path, size, hour_ms if written_ms is None else written_ms)


def plan(policy, files, now_ms=NOW_MS, free_bytes=PLENTY, open_hours=()):
    return select(policy, files, Clocks(now_ms, now_ms), free_bytes, open_hours)


def brief(actions):
    return [(action.kind, action.held.path.name) for action in actions]


@pytest.mark.parametrize(
    ("hours_ago", "form", "kinds"),
    [
        (-1, "plain", []),
        (0, "plain", []),
        (5, "plain", []),
        (6, "plain", ["compress"]),
        (6, "gzip", []),
        (5 * DAY_HOURS - 1, "plain", ["compress"]),
        (5 * DAY_HOURS - 1, "gzip", []),
        (5 * DAY_HOURS, "plain", ["delete"]),
        (5 * DAY_HOURS, "gzip", ["delete"]),
        (9999, "archive", []),
    ],
)
def test_by_default_an_hour_is_compressed_after_6_hours_and_deleted_after_5_days(hours_ago, form, kinds):
    assert [action.kind for action in plan(Policy(), [held(hours_ago, form)])] == kinds


def test_age_counts_from_the_end_of_the_hour_to_the_millisecond():
    file = held(0)
    due_ms = file.hour_ms + HOUR_MS + 6 * HOUR_MS
    assert plan(Policy(), [file], due_ms - 1) == []
    assert brief(plan(Policy(), [file], due_ms)) == [("compress", "0.jsonl")]


def test_both_ages_can_be_set():
    policy = Policy(compress_after_hours=0, delete_after_days=0.5)
    files = [held(-1), held(0), held(11, "gzip"), held(12, "gzip")]
    assert brief(plan(policy, files)) == [("delete", "12.jsonl.gz"), ("compress", "0.jsonl")]


def test_deletions_come_before_compressions_and_the_oldest_hour_before_the_others():
    files = [
        held(7, inst_id=ETH),
        held(8),
        held(7),
        held(200, "gzip"),
        held(130, "gzip"),
        held(200, "gzip", inst_id=ETH),
    ]
    assert [(action.kind, action.held.inst_id, action.held.path.name) for action in plan(Policy(), files)] == [
        ("delete", BTC, "200.jsonl.gz"),
        ("delete", ETH, "200.jsonl.gz"),
        ("delete", BTC, "130.jsonl.gz"),
        ("compress", BTC, "8.jsonl"),
        ("compress", BTC, "7.jsonl"),
        ("compress", ETH, "7.jsonl"),
    ]


def test_an_hour_in_both_forms_is_made_one_before_its_time():
    files = [held(2), held(2, "gzip")]
    assert brief(plan(Policy(), files)) == [("compress", "2.jsonl")]


def test_an_old_hour_in_both_forms_loses_the_plain_one_first():
    files = [held(200, "gzip"), held(200)]
    assert brief(plan(Policy(), files)) == [("delete", "200.jsonl"), ("delete", "200.jsonl.gz")]


@pytest.mark.parametrize("since_ms", [0, SETTLE_MS - 1, 1 - SETTLE_MS])
@pytest.mark.parametrize("hours_ago", [6, 200])
def test_a_file_written_to_just_now_is_let_alone_however_old_its_hour(hours_ago, since_ms):
    files = [held(hours_ago, written_ms=NOW_MS - since_ms), held(hours_ago, "gzip")]
    assert plan(Policy(max_bytes=1), files) == []


@pytest.mark.parametrize("since_ms", [SETTLE_MS, -SETTLE_MS, -HOUR_MS])
def test_a_file_from_the_future_is_one_of_a_clock_that_was_set_back(since_ms):
    assert brief(plan(Policy(), [held(6, written_ms=NOW_MS - since_ms)])) == [("compress", "6.jsonl")]


ARCHIVING = Policy(archive_days=30)


def test_with_archive_days_an_hour_is_archived_and_only_then_deleted():
    actions = plan(ARCHIVING, [held(5 * DAY_HOURS, "gzip"), held(5 * DAY_HOURS - 1, "gzip")])
    assert brief(actions) == [("archive", "120.jsonl.gz"), ("delete", "120.jsonl.gz")]
    assert [action.once_archived for action in actions] == [False, True]


def test_an_hour_in_both_forms_is_made_one_before_it_is_archived():
    actions = plan(ARCHIVING, [held(200, "gzip"), held(200)])
    expected = [("compress", "200.jsonl"), ("archive", "200.jsonl.gz"), ("delete", "200.jsonl.gz")]
    assert brief(actions) == expected


def test_an_archive_goes_after_archive_days_and_a_younger_one_stays():
    files = [held(30 * DAY_HOURS, "archive"), held(30 * DAY_HOURS - 1, "archive")]
    assert brief(plan(ARCHIVING, files)) == [("delete", "720.parquet")]


def test_what_is_older_than_archive_days_is_not_archived_any_more():
    files = [held(30 * DAY_HOURS, "gzip"), held(30 * DAY_HOURS, "archive")]
    assert brief(plan(ARCHIVING, files)) == [("delete", "720.jsonl.gz"), ("delete", "720.parquet")]


def test_over_the_budget_it_compresses_then_deletes_the_oldest_but_never_the_current_hour():
    files = [held(-1), held(0), held(1), held(2, "gzip"), held(3, "gzip")]
    actions = plan(Policy(max_bytes=1), files)
    assert brief(actions) == [
        ("compress", "1.jsonl"),
        ("compress", "0.jsonl"),
        ("delete", "3.jsonl.gz"),
        ("delete", "2.jsonl.gz"),
        ("delete", "1.jsonl.gz"),
        ("delete", "0.jsonl.gz"),
    ]
    assert all(action.only_if_short for action in actions)


def test_over_the_budget_it_stops_as_soon_as_there_is_room():
    files = [held(-1), held(0), held(1), held(2, "gzip"), held(3, "gzip")]
    assert brief(plan(Policy(max_bytes=4999), files)) == [("compress", "1.jsonl")]
    assert plan(Policy(max_bytes=5000), files) == []


def test_what_age_frees_counts_before_anything_is_done_early():
    files = [held(200, "gzip"), held(7), held(0)]
    assert brief(plan(Policy(max_bytes=1999), files)) == [("delete", "200.jsonl.gz"), ("compress", "7.jsonl")]


def test_a_low_disk_degrades_in_the_same_order():
    files = [held(0), held(3, "gzip")]
    policy = Policy(min_free_bytes=10_000)
    assert plan(policy, files, free_bytes=10_000) == []
    assert brief(plan(policy, files, free_bytes=9_999)) == [("compress", "0.jsonl")]
    assert brief(plan(policy, files, free_bytes=9_000)) == [("compress", "0.jsonl"), ("delete", "3.jsonl.gz")]


def test_with_archive_days_want_of_room_archives_early_and_deletes_nothing_raw_that_is_not_archived():
    files = [held(0), held(3, "gzip"), held(300, "archive")]
    actions = plan(Policy(archive_days=30, max_bytes=1), files)
    assert brief(actions) == [
        ("compress", "0.jsonl"),
        ("archive", "3.jsonl.gz"),
        ("delete", "3.jsonl.gz"),
        ("archive", "0.jsonl.gz"),
        ("delete", "0.jsonl.gz"),
    ]
    assert [action.once_archived for action in actions if action.kind == "delete"] == [True, True]


def test_with_archive_days_a_low_disk_takes_the_oldest_archives_last_of_all():
    files = [held(3, "gzip"), held(300, "archive"), held(400, "archive")]
    actions = plan(Policy(archive_days=30, min_free_bytes=10_000), files, free_bytes=8_700)
    assert brief(actions) == [
        ("archive", "3.jsonl.gz"),
        ("delete", "3.jsonl.gz"),
        ("delete", "400.parquet"),
    ]


def test_the_budget_of_the_raw_tree_takes_no_archive():
    files = [held(-1), held(300, "archive")]
    assert plan(Policy(archive_days=30, max_bytes=1), files) == []


def test_without_archive_days_no_want_of_room_touches_an_archive():
    assert plan(Policy(min_free_bytes=10_000), [held(300, "archive")], free_bytes=0) == []


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"compress_after_hours": -1}, "compress_after_hours"),
        ({"compress_after_hours": float("nan")}, "compress_after_hours"),
        ({"delete_after_days": 0}, "delete_after_days"),
        ({"archive_days": 0}, "archive_days"),
        ({"archive_days": 5}, "archive_days"),
        ({"delete_after_days": float("inf")}, "delete_after_days"),
        ({"archive_days": float("nan")}, "archive_days"),
        ({"max_bytes": 0}, "max_gb"),
        ({"min_free_bytes": -1}, "min_free_gb"),
    ],
)
def test_a_policy_nobody_can_mean_is_refused_by_name(values, name):
    with pytest.raises(UsageError, match=name):
        Policy(**values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 1e-10])
@pytest.mark.parametrize("name", ["max_gb", "min_free_gb"])
def test_a_size_nobody_can_mean_is_refused_in_the_words_of_the_settings(name, value):
    with pytest.raises(UsageError, match=f"^{name} = .* is impossible"):
        policy_of(Settings(**{name: value}))


def test_every_number_of_the_policy_comes_from_the_settings():
    settings = Settings(7.0, 8.0, archive_days=9.0, max_gb=2.5, min_free_gb=0.5)
    assert policy_of(settings) == Policy(7.0, 8.0, 9.0, 2_500_000_000, 500_000_000)
    waiting = Settings(push_url="s3://bucket/l2", keep_until_pushed=True)
    assert policy_of(waiting) == Policy(keep_until_pushed="s3://bucket/l2")


@pytest.mark.parametrize("policy", [Policy(), Policy(0.5, 1.5, 30, 10**12, 1)])
def test_a_policy_goes_to_another_process_and_comes_back_the_same(policy):
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


def test_the_policy_in_words_says_what_is_compressed_and_deleted_and_when():
    assert policy_words(Policy()) == (
        "hours are gzipped after 6 h and DELETED after 5 days (archive_days keeps them as Parquet)"
    )
    assert policy_words(Policy(6, 5, 30, 2 * 10**9, 10**9)) == (
        "hours are gzipped after 6 h and DELETED after 5 days (their Parquet archive stays); archives are DELETED "
        "after 30 days; the oldest hours go beyond 2 GB; the oldest hours go below 1 GB free"
    )


@pytest.mark.parametrize("policy", [Policy(), Policy(6, 2.5), Policy(0.5, 1.5, 30, 123_456_789_012, 1)])
def test_a_command_with_the_flags_of_a_policy_acts_by_that_policy(policy):
    parser = argparse.ArgumentParser()
    retain.configure(parser)
    given = vars(parser.parse_args(policy.flags))
    numbers = {field.name: given[field.name] for field in fields(Settings) if given.get(field.name) is not None}
    assert policy_of(Settings(**numbers)) == policy


def test_an_hour_that_a_recorder_is_writing_is_let_alone_whatever_asks_for_it():
    files = [held(200), held(200, inst_id=ETH), held(7), held(300, "gzip")]
    opened = {(BTC, hour_start(200)), (BTC, hour_start(7)), (BTC, hour_start(300))}
    actions = plan(Policy(max_bytes=1), files, open_hours=opened)
    assert [(action.kind, action.held.inst_id) for action in actions] == [("delete", ETH)]


def test_ages_count_from_proved_time_and_freshness_from_the_clock_that_files_are_stamped_by():
    file = held(200, written_ms=NOW_MS + 30 * DAY_HOURS * HOUR_MS)
    assert select(Policy(), [file], Clocks(NOW_MS, file.written_ms), PLENTY) == []
    assert select(Policy(), [file], Clocks(file.hour_ms, NOW_MS), PLENTY) == []
    assert brief(select(Policy(), [file], Clocks(NOW_MS, NOW_MS), PLENTY)) == [("delete", "200.jsonl")]


hours = st.integers(-3, 400)
files_of_any_kind = st.lists(
    st.builds(held, hours, st.sampled_from(list(SUFFIXES)), st.integers(0, 5000), st.sampled_from([BTC, ETH])),
    unique_by=lambda each: (each.inst_id, each.hour_ms, each.form),
    max_size=12,
)
policies = st.builds(
    Policy,
    compress_after_hours=st.integers(0, 200),
    delete_after_days=st.integers(1, 9),
    archive_days=st.none() | st.integers(10, 15),
    max_bytes=st.none() | st.integers(1, 9000),
    min_free_bytes=st.none() | st.integers(1, 9000),
)


@settings(max_examples=300, deadline=None)
@given(policy=policies, files=files_of_any_kind, free_bytes=st.integers(0, 9000))
def test_no_plan_touches_an_unfinished_hour_or_anything_twice_or_deletes_what_archiving_is_to_keep(
    policy, files, free_bytes
):
    actions = plan(policy, files, free_bytes=free_bytes)
    assert all(action.held.hour_ms + HOUR_MS <= NOW_MS for action in actions)
    steps = [(action.kind, action.held.path) for action in actions]
    assert len(steps) == len(set(steps))
    for action in actions:
        days = (NOW_MS - action.held.hour_ms - HOUR_MS) / (DAY_HOURS * HOUR_MS)
        if action.kind == "delete" and action.held.form == "archive":
            assert policy.archive_days is not None
        elif action.kind == "delete" and policy.archive_days is not None and days < policy.archive_days:
            assert action.once_archived
        elif action.kind == "delete" and days < policy.delete_after_days:
            assert action.only_if_short
    early = [action.kind for action in actions if action.only_if_short]
    if policy.archive_days is None:
        assert early == sorted(early)  # compress, then delete


@settings(max_examples=100, deadline=None)
@given(files=files_of_any_kind, policy=policies, data=st.data())
def test_the_plan_does_not_depend_on_the_order_in_which_files_are_found(files, policy, data):
    assert plan(policy, data.draw(st.permutations(files))) == plan(policy, files)


def test_room_is_made_of_changes_before_any_hour_of_books() -> None:
    """Whatever their ages: books are the last to go."""
    files = [held(40, "gzip"), held(30, "gzip"), held(20, "gzip")._replace(kind="changes")]
    files.append(held(10, "gzip")._replace(kind="changes"))
    policy = Policy(max_bytes=1_500)
    done = [(action.held.kind, action.kind, action.hour[1]) for action in plan(policy, files)]
    assert done == [
        ("changes", "delete", hour_start(20)),
        ("changes", "delete", hour_start(10)),
        ("books", "delete", hour_start(40)),
    ]


def test_changes_of_the_same_hour_are_an_hour_of_their_own_and_wait_until_they_are_settled() -> None:
    fresh_ms = NOW_MS - SETTLE_MS + 1
    files = [held(130), held(130, "gzip", written_ms=fresh_ms)._replace(kind="changes")]
    assert [(action.held.kind, action.kind) for action in plan(Policy(), files)] == [("books", "delete")]
    settled = [files[0], files[1]._replace(written_ms=fresh_ms - 1)]
    assert sorted((action.held.kind, action.kind) for action in plan(Policy(), settled)) == [
        ("books", "delete"),
        ("changes", "delete"),
    ]


@pytest.mark.parametrize("kind", ["trades", "context", "changes"])
def test_every_kind_is_compressed_archived_and_deleted_by_the_same_ages(kind) -> None:
    files = [held(7), held(200, "gzip")]
    other = [each._replace(kind=kind) for each in files]
    for policy in (Policy(), Policy(archive_days=30), Policy(archive_days=8), Policy(archive_days=30, max_bytes=900)):
        assert brief(plan(policy, other)) == brief(plan(policy, files))
    assert ("archive", "200.jsonl.gz") in brief(plan(Policy(archive_days=30), other))


def test_every_kind_of_data_file_is_kept_by_the_policy() -> None:
    assert sorted(KINDS) == sorted(ROOM_ORDER) == sorted(RETAINED)
