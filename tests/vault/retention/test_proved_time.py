"""What time retention believes, and how much of what is due it deletes by it."""

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.journal.events import RetentionHeld
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.retention.pace import hours_allowed, new_record, read_record, record_path
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime, Proved, confirmed_ms, newest_line, prove
from l2vault.vault.retention.run import Options, run_retention
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Layout

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
NOW_MS = utc_ms("2026-11-22T15:30:00.000Z")
DAY_MS = 24 * HOUR_MS
PLENTY = 10**15


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def line(inst_id, ts_ms):
    side = [("100.5", "5", "0", "2")], [("101", "7", "0", "1")]
    return to_line(Snapshot(inst_id, ts_ms, 400, *side, 0, ts_ms, ts_ms - 1)) + b"\n"


def put(layout, times, inst_id=BTC, packed=False):
    """Lines of these times, each in the file of its hour."""
    for ts_ms in times:
        path = layout.hour_file(inst_id, ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path = path.with_name(path.name + ".gz")
        with path.open("ab") as file:
            file.write(gzip.compress(line(inst_id, ts_ms)) if packed else line(inst_id, ts_ms))
        os.utime(path, ns=(ts_ms * 1_000_000,) * 2)


def up_to(ts_ms, count=11, step_ms=2000):
    return [ts_ms - back * step_ms for back in reversed(range(count))]


def hours_back(count, first=1, before_ms=NOW_MS):
    """One time in each of `count` hours, the newest of which ended `first` hours before the current one began."""
    current = before_ms // HOUR_MS * HOUR_MS
    return [current - back * HOUR_MS + 60_000 for back in range(first, first + count)]


def retain(layout, time, policy=Policy(), **options):  # noqa: B008 - frozen
    journal = verb_journal(layout, "retain", lambda: utc_text(time.wall_ms), lambda: 0)
    free = {"free_bytes": lambda: PLENTY}
    return run_retention(layout, policy, time, journal, Options(**{**free, **options}))


def hours_of(layout):
    return {(held.inst_id, held.hour_ms) for held in Catalog(layout).files()}


# Which line proves its time.


def test_the_newest_line_behind_ten_others_in_order_is_confirmed():
    assert confirmed_ms(up_to(NOW_MS)) == NOW_MS
    assert confirmed_ms(up_to(NOW_MS, 10)) is None
    assert confirmed_ms([]) is None


@pytest.mark.parametrize("ahead_ms", [60_000, HOUR_MS, 30 * DAY_MS])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_absurd_lines_from_the_future_prove_nothing(ahead_ms, count):
    absurd = [NOW_MS + ahead_ms + 2000 * number for number in range(count)]
    assert confirmed_ms(up_to(NOW_MS) + absurd) == NOW_MS


def test_lines_far_apart_confirm_each_other_where_that_is_their_usual_distance():
    assert confirmed_ms(up_to(NOW_MS, step_ms=HOUR_MS)) == NOW_MS
    assert confirmed_ms([*up_to(NOW_MS - DAY_MS), NOW_MS]) == NOW_MS - DAY_MS


@pytest.mark.parametrize("packed", [False, True])
def test_the_newest_confirmed_line_of_all_instruments_counts_across_hours_and_forms(layout, packed):
    put(layout, up_to(NOW_MS - 4000), ETH, packed)
    start = NOW_MS // HOUR_MS * HOUR_MS
    put(layout, up_to(start + 4000), BTC, packed)
    assert newest_line(Catalog(layout).files()) == NOW_MS - 4000
    put(layout, [NOW_MS + 40 * DAY_MS], BTC)
    assert newest_line(Catalog(layout).files()) == NOW_MS - 4000
    shutil.rmtree(layout.instrument_folder(ETH))
    assert newest_line(Catalog(layout).files()) == start + 4000


@pytest.mark.parametrize("newer", [BTC, ETH])
def test_in_whatever_order_instruments_are_found_the_newest_line_is_that_of_the_newest_hour(layout, newer):
    start = NOW_MS // HOUR_MS * HOUR_MS
    put(layout, up_to(start - 600_000), BTC if newer == ETH else ETH)
    put(layout, up_to(start + 600_000), newer)
    files = sorted(Catalog(layout).files())
    for order in (files, files[::-1]):
        assert newest_line(order) == start + 600_000


def test_the_newest_line_is_looked_for_in_two_days_of_hours_and_no_further(layout):
    """A vault of files that do not read must not cost an hour of reading at each pass."""
    old_ms = NOW_MS - 48 * HOUR_MS
    put(layout, up_to(old_ms))
    for back in range(47):
        layout.hour_file(BTC, NOW_MS - back * HOUR_MS).parent.mkdir(parents=True, exist_ok=True)
        layout.hour_file(BTC, NOW_MS - back * HOUR_MS).write_bytes(b"not a line\n")
    assert newest_line(Catalog(layout).files()) == old_ms
    layout.hour_file(BTC, NOW_MS - 47 * HOUR_MS).write_bytes(b"not a line\n")
    assert newest_line(Catalog(layout).files()) is None


def test_only_the_end_of_a_large_file_is_read_unless_it_confirms_no_line(layout, monkeypatch):
    monkeypatch.setattr("l2vault.vault.retention.proved_time.TAIL_BYTES", 6000)
    put(layout, up_to(NOW_MS, 200))
    path = layout.hour_file(BTC, NOW_MS)
    assert newest_line(Catalog(layout).files()) == NOW_MS
    with path.open("ab") as file:
        file.write(b"not a line\n" * 1000)
    assert newest_line(Catalog(layout).files()) == NOW_MS


def test_files_without_lines_and_lines_of_another_hour_prove_nothing(layout):
    put(layout, up_to(NOW_MS))
    path = layout.hour_file(BTC, NOW_MS)
    path.rename(layout.hour_file(BTC, NOW_MS + HOUR_MS))
    broken = layout.hour_file(BTC, NOW_MS).with_name("03.jsonl.gz")
    broken.write_bytes(b"no gzip")
    assert newest_line(Catalog(layout).files()) is None


def test_an_archive_proves_its_time_too(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour

    put(layout, up_to(NOW_MS))
    path = layout.hour_file(BTC, NOW_MS)
    file = layout.parse_hour_file(path)
    assert file is not None
    archive_hour(layout, file)
    path.unlink()
    assert newest_line(Catalog(layout).files()) == NOW_MS


# Which time is believed.


@pytest.mark.parametrize(
    ("time", "newest_ms", "server_ms", "now_ms", "source"),
    [
        (PassTime(9, exchange_ms=5, trust_clock=True), 7, 6, 5, "exchange"),
        (PassTime(9, trust_clock=True), 7, 6, 9, "trusted clock"),
        (PassTime(9), 7, 6, 6, "server"),
        (PassTime(9), 7, None, 7, "clock and newest line"),
        (PassTime(5), 7, None, 5, "clock and newest line"),
        (PassTime(9), None, None, 0, ""),
    ],
)
def test_the_best_proof_there_is_counts(time, newest_ms, server_ms, now_ms, source):
    assert prove(time, newest_ms, server_ms) == Proved(now_ms, source, newest_ms)


@pytest.mark.parametrize("ahead_ms", [DAY_MS, 30 * DAY_MS, 3650 * DAY_MS])
def test_a_clock_that_leaps_ahead_deletes_nothing_and_what_it_would_have_deleted_is_reported(layout, ahead_ms, caplog):
    put(layout, hours_back(110), packed=True)
    put(layout, up_to(NOW_MS))
    before = hours_of(layout)
    report = retain(layout, PassTime(NOW_MS + ahead_ms))
    assert hours_of(layout) == before
    (held_back,) = report.held_back
    assert held_back.command == f"l2vault retain --vault {layout.root} --trust-clock"
    assert "by this machine's clock alone" in held_back.reason
    assert f"{utc_text(NOW_MS)} (the earlier of this machine's clock and the newest line)" in held_back.reason
    assert "by this machine's clock alone" in caplog.text


@pytest.mark.parametrize("proof", ["exchange", "server"])
def test_where_okx_proves_the_time_nobody_is_advised_to_trust_a_clock_that_is_ahead(layout, proof):
    put(layout, hours_back(110), packed=True)
    put(layout, up_to(NOW_MS))
    before = hours_of(layout)
    ahead_ms = NOW_MS + 30 * DAY_MS
    if proof == "exchange":
        report = retain(layout, PassTime(ahead_ms, exchange_ms=NOW_MS))
    else:
        report = retain(layout, PassTime(ahead_ms, ask_server=lambda: NOW_MS))
    assert (report.held_back, hours_of(layout)) == ([], before)


def test_a_clock_that_is_behind_deletes_nothing_either(layout):
    put(layout, hours_back(200), packed=True)
    put(layout, up_to(NOW_MS))
    assert retain(layout, PassTime(NOW_MS - 30 * DAY_MS)).done == []


def test_a_vault_that_no_longer_grows_keeps_its_last_days_until_the_clock_is_trusted(layout):
    put(layout, hours_back(3), packed=True)
    put(layout, up_to(NOW_MS), packed=True)
    later = NOW_MS + 9 * DAY_MS
    assert retain(layout, PassTime(later)).done == []
    assert len(retain(layout, PassTime(later, trust_clock=True), at_once=True).done) == 4
    assert hours_of(layout) == set()


def test_the_server_is_asked_only_where_its_answer_can_make_a_difference(layout):
    asked = []

    def ask():
        asked.append(1)
        return NOW_MS + 6 * DAY_MS

    put(layout, up_to(NOW_MS), packed=True)
    for time in (
        PassTime(NOW_MS + 60_000, ask_server=ask),
        PassTime(NOW_MS - 9 * DAY_MS, ask_server=ask),
        PassTime(NOW_MS + 9 * DAY_MS, exchange_ms=NOW_MS, ask_server=ask),
    ):
        assert retain(layout, time).done == []
    assert asked == []
    report = retain(layout, PassTime(NOW_MS + 9 * DAY_MS, ask_server=ask))
    assert asked == [1]
    assert [done.action.kind for done in report.done] == ["delete"]
    assert report.proved == Proved(NOW_MS + 6 * DAY_MS, "server", NOW_MS)


def test_a_server_that_does_not_answer_has_proved_nothing(layout):
    put(layout, up_to(NOW_MS), packed=True)
    assert retain(layout, PassTime(NOW_MS + 9 * DAY_MS, ask_server=lambda: None)).done == []


def test_where_no_line_proves_any_time_nothing_is_touched(layout):
    path = layout.hour_file(BTC, NOW_MS - 30 * DAY_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no line\n")
    report = retain(layout, PassTime(NOW_MS), Policy(max_bytes=1))
    assert report.done == []
    assert path.exists()
    assert "no line proves any time" in report.held_back[0].reason


# How much a pass deletes.


def record(proved_ms, wall_ms, newest_ms=None):
    return new_record(Proved(proved_ms, "exchange", newest_ms), wall_ms, None)


@pytest.mark.parametrize(
    ("proved_hours", "wall_hours", "most"),
    [
        (0, 0, 2),
        (1, 1, 2),
        (1.5, 1.5, 3),
        (24, 24, 48),
        (24, 1, 2),
        (1, 24, 2),
        (720, 720, 1440),
        (-5, 10, 2),
        (10, -5, 2),
    ],
)
def test_a_pass_may_delete_twice_the_hours_that_all_clocks_say_have_passed(proved_hours, wall_hours, most):
    proved = Proved(NOW_MS + int(proved_hours * HOUR_MS), "exchange", None)
    assert hours_allowed(proved, NOW_MS + int(wall_hours * HOUR_MS), record(NOW_MS, NOW_MS)) == most


def test_a_trusted_clock_that_leaps_still_deletes_only_two_hours_a_pass():
    before = record(NOW_MS, NOW_MS, NOW_MS)
    later = NOW_MS + 30 * DAY_MS
    assert hours_allowed(Proved(later, "trusted clock", NOW_MS + HOUR_MS), later, before) == 2
    assert hours_allowed(Proved(later, "trusted clock", later), later, before) == 1440


def test_without_a_record_of_the_pass_before_a_pass_deletes_two_hours_of_each_instrument_oldest_first(layout):
    old = hours_back(10, 200)
    for inst_id in (BTC, ETH):
        put(layout, old, inst_id, packed=True)
    report = retain(layout, PassTime(NOW_MS, NOW_MS))
    oldest = [ts_ms // HOUR_MS * HOUR_MS for ts_ms in (old[-1], old[-2])]
    assert [done.action.hour for done in report.done] == [
        (inst_id, hour_ms) for hour_ms in oldest for inst_id in (BTC, ETH)
    ]
    (held_back,) = report.held_back
    assert held_back.hours == 16
    assert held_back.command == f"l2vault retain --vault {layout.root} --yes"


def test_a_record_that_cannot_be_read_allows_the_least(layout):
    put(layout, hours_back(10, 200), packed=True)
    record_path(layout).parent.mkdir(parents=True)
    record_path(layout).write_bytes(b'{"wall": "yesterday"}')
    assert len(retain(layout, PassTime(NOW_MS, NOW_MS)).done) == 2
    assert read_record(layout) is not None


def test_a_backlog_works_itself_off_by_hourly_passes(layout):
    put(layout, hours_back(20, 200), packed=True)
    left = []
    for hour in range(12):
        now_ms = NOW_MS + hour * HOUR_MS
        retain(layout, PassTime(now_ms, now_ms))
        left.append(len(hours_of(layout)))
    assert left == [18, 16, 14, 12, 10, 8, 6, 4, 2, 0, 0, 0]


def test_what_waits_is_reported_once_a_day_with_the_command_that_does_it(layout, caplog):
    put(layout, hours_back(100, 200), packed=True)
    for hour in range(30):
        now_ms = NOW_MS + hour * HOUR_MS
        retain(layout, PassTime(now_ms, now_ms))
    events = [event for event in read_journal(layout) if isinstance(event, RetentionHeld)]
    assert [(event.at, event.hours) for event in events] == [
        (utc_text(NOW_MS), 98),
        (utc_text(NOW_MS + DAY_MS), 50),
    ]
    assert all(event.command.endswith("--yes") and "at most 2 hours" in event.reason for event in events)
    assert events[0].bytes > events[1].bytes > 0
    assert len([entry for entry in caplog.records if "wait" in entry.getMessage()]) == 2


def test_asked_for_at_once_everything_due_goes(layout):
    put(layout, hours_back(20, 200), packed=True)
    report = retain(layout, PassTime(NOW_MS, NOW_MS), at_once=True)
    assert hours_of(layout) == set()
    assert report.held_back == []


def test_a_pass_that_is_stopped_has_used_up_what_it_was_allowed(layout):
    put(layout, hours_back(60, 200), packed=True)
    retain(layout, PassTime(NOW_MS, NOW_MS))

    def stop(done, total, what):
        if done == 3:
            raise KeyboardInterrupt

    later = NOW_MS + 10 * HOUR_MS
    with pytest.raises(KeyboardInterrupt):
        retain(layout, PassTime(later, later), progress=stop)
    assert len(hours_of(layout)) == 55
    retain(layout, PassTime(later, later))
    assert len(hours_of(layout)) == 53


def test_want_of_room_deletes_two_hours_of_each_instrument_in_five_minutes(layout):
    put(layout, hours_back(10), packed=True)
    policy = Policy(min_free_bytes=2 * PLENTY)
    left = []
    for minutes in (0, 1, 4, 5, 9, 10):
        at_ms = NOW_MS + minutes * 60_000
        report = retain(layout, PassTime(at_ms, at_ms), policy)
        left.append(len(hours_of(layout)))
        assert report.again_sec == 300
        assert "in 5 minutes" in report.held_back[-1].reason
    assert left == [8, 8, 8, 6, 6, 4]


def test_however_many_hours_age_may_delete_want_of_room_deletes_two(layout):
    put(layout, hours_back(10), packed=True)
    retain(layout, PassTime(NOW_MS - 5 * HOUR_MS, NOW_MS - 5 * HOUR_MS))
    retain(layout, PassTime(NOW_MS, NOW_MS), Policy(min_free_bytes=2 * PLENTY))
    assert len(hours_of(layout)) == 8


def test_hours_that_went_by_age_take_nothing_from_what_want_of_room_may_delete(layout):
    policy = Policy(min_free_bytes=2 * PLENTY)
    put(layout, hours_back(2, 200), packed=True)
    put(layout, hours_back(6), packed=True)
    retain(layout, PassTime(NOW_MS, NOW_MS))
    assert len(hours_of(layout)) == 6
    retain(layout, PassTime(NOW_MS + 60_000, NOW_MS + 60_000), policy)
    assert len(hours_of(layout)) == 4


def test_one_wrong_reading_of_the_free_space_costs_two_hours_at_most(layout):
    put(layout, hours_back(10), packed=True)
    policy = Policy(min_free_bytes=1000)
    retain(layout, PassTime(NOW_MS, NOW_MS), policy, free_bytes=lambda: 0)
    assert len(hours_of(layout)) == 8


def test_archives_that_are_too_old_wait_their_turn_too(layout):
    for ts_ms in hours_back(5, 800):
        hour = layout.archived_hour(BTC, ts_ms)
        for path in (hour.levels, hour.snapshots):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"any")
    retain(layout, PassTime(NOW_MS, NOW_MS), Policy(archive_days=30))
    assert len(hours_of(layout)) == 3


def test_a_dry_run_plans_what_a_pass_would_do_and_leaves_no_record(layout):
    put(layout, hours_back(10, 200), packed=True)
    dry = retain(layout, PassTime(NOW_MS, NOW_MS), dry_run=True)
    assert not record_path(layout).exists()
    real = retain(layout, PassTime(NOW_MS, NOW_MS))
    assert dry.planned == [done.action for done in real.done]
    assert dry.held_back == real.held_back


def test_a_disk_that_takes_no_record_is_still_given_room_at_the_least_pace(layout, monkeypatch):
    put(layout, hours_back(60, 200), packed=True)
    retain(layout, PassTime(NOW_MS, NOW_MS))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("l2vault.vault.retention.pace.write_atomically", refuse)
    later = NOW_MS + 10 * HOUR_MS
    assert len(retain(layout, PassTime(later, later)).done) == 2


def test_an_hour_opened_by_the_recorder_is_not_touched_and_is_named(layout, monkeypatch):
    put(layout, hours_back(1, 200), packed=True)
    put(layout, hours_back(1, 7))
    before = hours_of(layout)
    monkeypatch.setattr("l2vault.vault.retention.run.open_hours", lambda layout: before)
    report = retain(layout, PassTime(NOW_MS, NOW_MS))
    assert report.done == []
    assert {(held.inst_id, held.hour_ms) for held in report.open} == before


def test_an_hour_that_the_recorder_opens_during_a_pass_is_not_touched(layout, monkeypatch):
    put(layout, hours_back(2, 200), packed=True)
    opened = set()
    monkeypatch.setattr("l2vault.vault.retention.run.open_hours", lambda layout: opened)
    retain(layout, PassTime(NOW_MS, NOW_MS), progress=lambda done, total, what: opened.update(hours_of(layout)))
    assert len(hours_of(layout)) == 2


# The law.


class World:
    """A vault, the true time, and what this machine and the network say of it."""

    def __init__(self, layout, rng):
        self.layout = layout
        self.rng = rng
        self.true_ms = NOW_MS + rng.randrange(HOUR_MS)
        self.wall_offset_ms = 0
        for inst_id in (BTC, ETH)[: rng.choice((1, 2))]:
            for ts_ms in rng.sample(hours_back(8 * 24, before_ms=self.true_ms), rng.randrange(25)):
                put(layout, [ts_ms], inst_id, rng.random() < 0.7)
            newest_ms = self.true_ms - rng.choice((0, rng.randrange(10_000), rng.randrange(4 * DAY_MS)))
            put(layout, up_to(newest_ms, rng.choice((5, 11, 30))), inst_id)
            if rng.random() < 0.5:
                ahead_ms = rng.choice((rng.randrange(60_000, HOUR_MS), rng.randrange(HOUR_MS, 60 * DAY_MS)))
                put(layout, [newest_ms + ahead_ms], inst_id)

    def pass_time(self):
        if self.rng.random() < 0.5:
            self.wall_offset_ms = self.rng.choice((0, self.rng.randrange(-60 * DAY_MS, 60 * DAY_MS)))
        exchange_ms = self.true_ms - self.rng.randrange(5_000) if self.rng.random() < 0.4 else None
        server_ms = self.true_ms if self.rng.random() < 0.5 else None
        return PassTime(self.true_ms + self.wall_offset_ms, exchange_ms, ask_server=lambda: server_ms)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_the_clocks_say_nothing_is_deleted_that_policy_and_true_time_keep(seed):
    rng = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Layout(Path(folder) / "Vault"), rng)
        policy = Policy(rng.choice((0, 6, 30)), rng.choice((0.5, 1, 3, 5)))
        before_ms = None
        for _ in range(4):
            world.true_ms += rng.choice((0, 60_000, HOUR_MS, rng.randrange(2 * DAY_MS)))
            held = hours_of(world.layout)
            report = retain(world.layout, world.pass_time(), policy)
            gone = held - hours_of(world.layout)
            fresh = {(file.inst_id, file.hour_ms) for file in report.too_fresh}
            keep_from_ms = world.true_ms - policy.delete_after_days * DAY_MS
            assert [hour for hour in gone if hour[1] + HOUR_MS > keep_from_ms] == []
            passed_ms = report.proved.now_ms - before_ms if before_ms else 0
            for inst_id in (BTC, ETH):
                deleted = sorted(hour for name, hour in gone if name == inst_id)
                assert len(deleted) <= max(2, 2 * passed_ms / HOUR_MS)
                assert all(hour > max(deleted, default=0) for name, hour in held - gone - fresh if name == inst_id)
            before_ms = report.proved.now_ms if report.proved.source else None
