"""Retention carried out: killed anywhere, run twice, refused by the disk or by a reader, it never loses a line."""

import gzip
import os
import signal
import sys
import time
from types import ModuleType

import pytest
from filelock import FileLock

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import VaultError, install_command
from l2vault.vault.archive.read import files_of
from l2vault.vault.archive.write import restore_hour
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal, read_journal, verb_journal
from l2vault.vault.retention.pace import Allowance
from l2vault.vault.retention.plan import Clocks, Policy, Room, select
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Limits, Options, enforce, run_retention
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.durable import doomed_path
from l2vault.vault.store.forms import hour_lines
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.changes_vault import write_vault

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
NOW_MS = utc_ms("2024-08-20T15:30:00.000Z")
PLENTY = 10**15
DAY_HOURS = 24


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def hour_start(hours_ago):
    """Start of the hour that ended `hours_ago` whole hours and 30 minutes before NOW_MS; -1 is the current one."""
    return NOW_MS - 30 * 60_000 - (hours_ago + 1) * HOUR_MS


def lines(hours_ago, numbers, inst_id=BTC):
    """Made-up lines of one hour, the second of each its number."""
    side = [("100.5", "5", "0", "2")], [("101", "7", "0", "1")]
    times = [hour_start(hours_ago) + number * 1000 for number in numbers]
    return [to_line(Snapshot(inst_id, ts_ms, 400, *side, 0, ts_ms, ts_ms - 1)) + b"\n" for ts_ms in times]


def put(layout, hours_ago, data, packed=False, inst_id=BTC):
    path = layout.hour_file(inst_id, hour_start(hours_ago))
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(path.name + ".gz")
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    return path


def retain(layout, policy=Policy(), free_bytes=PLENTY, time=PassTime(NOW_MS, NOW_MS), **more):  # noqa: B008 - frozen
    read_free = free_bytes if callable(free_bytes) else lambda: free_bytes
    options = Options(free_bytes=read_free, **more)
    return run_retention(layout, policy, time, journal_of(layout), options)


def journal_of(layout):
    return verb_journal(layout, "retain", lambda: utc_text(NOW_MS), lambda: 0)


def carry_out(layout, plan, hours=None):
    limits = Limits(Room(Policy(), 0, PLENTY), lambda: PLENTY, Allowance(hours))
    return enforce(layout, plan, journal_of(layout), NOW_MS, limits)


def name(layout, path):
    return path.relative_to(layout.root).as_posix()


def raw_image(layout):
    """Every file of the raw tree, and its contents without compression."""
    files = (path for path in layout.raw.rglob("*") if path.is_file())
    return {name(layout, path): unpacked(path) for path in files}


def unpacked(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def retained(layout):
    return [event for event in read_journal(layout) if isinstance(event, Retained)]


def events(layout):
    return [(event.action, event.file) for event in retained(layout)]


class Sample:
    """A vault with one hour of each kind that retention has something to decide about."""

    def __init__(self, layout):
        self.young = put(layout, 2, b"".join(lines(2, range(3))))
        self.plain = put(layout, 7, b"".join(lines(7, range(5))))
        self.torn = put(layout, 8, b"".join(lines(8, range(2))) + b'{"timestamp_utc":"20')
        whole = b"".join(lines(9, range(4)))
        self.doubled = put(layout, 9, whole, packed=True), put(layout, 9, whole)
        early, late = lines(10, range(3)), lines(10, range(2, 6))
        self.late = put(layout, 10, b"".join(early), packed=True), put(layout, 10, b"".join(late))
        self.packed = put(layout, 20, b"".join(lines(20, range(3))), packed=True)
        self.old = put(layout, 130, b"".join(lines(130, range(3), ETH)), packed=True, inst_id=ETH)
        self.kept = {
            name(layout, path): data
            for path, data in [
                (self.young, b"".join(lines(2, range(3)))),
                (packed(self.plain), b"".join(lines(7, range(5)))),
                (packed(self.torn), b"".join(lines(8, range(2))) + b'{"timestamp_utc":"20'),
                (self.doubled[0], whole),
                (self.late[0], b"".join(lines(10, range(6)))),
                (self.packed, b"".join(lines(20, range(3)))),
            ]
        }


def packed(path):
    return path.with_name(path.name + ".gz")


def test_one_pass_leaves_every_hour_in_its_right_form_and_each_step_in_the_journal(layout):
    sample = Sample(layout)
    report = retain(layout)
    assert raw_image(layout) == sample.kept
    assert report.failures == []
    assert events(layout) == [
        ("delete", name(layout, sample.old)),
        ("compress", name(layout, sample.late[1])),
        ("compress", name(layout, sample.doubled[1])),
        ("compress", name(layout, sample.torn)),
        ("compress", name(layout, sample.plain)),
    ]
    assert [(done.action.kind, name(layout, done.action.held.path)) for done in report.done] == events(layout)


def test_the_journal_tells_bytes_time_and_reason(layout):
    data = b"".join(lines(7, range(50)))
    path = put(layout, 7, data)
    retain(layout)
    (event,) = retained(layout)
    size = packed(path).stat().st_size
    reason = "its hour ended 6 hours ago or more"
    assert event == Retained(utc_text(NOW_MS), "compress", name(layout, path), reason, len(data), size)


def test_a_second_pass_finds_nothing_to_do(layout):
    Sample(layout)
    retain(layout)
    before = raw_image(layout), events(layout)
    assert retain(layout).planned == []
    assert (raw_image(layout), events(layout)) == before


def test_a_dry_run_is_the_plan_that_is_then_carried_out_and_touches_nothing(layout):
    Sample(layout)
    before = raw_image(layout)
    dry = retain(layout, dry_run=True)
    assert raw_image(layout) == before
    assert not layout.lock_file.parent.exists()
    real = retain(layout)
    assert dry.planned == real.planned == [done.action for done in real.done]
    assert len(dry.planned) == 5


def test_the_same_plan_carried_out_twice_is_the_plan_carried_out_once(layout):
    sample = Sample(layout)
    plan = select(Policy(), Catalog(layout).files(), Clocks(NOW_MS, NOW_MS), PLENTY)
    for _ in range(2):
        report = carry_out(layout, plan)
        assert report.failures == []
    assert raw_image(layout) == sample.kept


# Killed.


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


def kill_before_change(number, act):
    """Run `act` in a process that SIGKILLs itself just before its `number`-th change to the disk; was it killed?"""
    pid = os.fork()
    if pid == 0:
        left = number

        def count():
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def watch(event, args):
            is_written = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if event in CHANGES or is_written:
                count()

        def counted(original):
            def call(*args):
                count()
                return original(*args)

            return call

        os.fsync = counted(os.fsync)
        gzip.GzipFile.write = counted(gzip.GzipFile.write)
        sys.addaudithook(watch)
        act()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to be killed many times in a short time")
def test_killed_before_any_change_to_the_disk_every_line_still_reads_and_the_next_pass_finishes(tmp_path):
    number = 0
    was_killed = True
    while was_killed:
        number += 1
        layout = Layout(tmp_path / str(number))
        sample = Sample(layout)
        was_killed = kill_before_change(number, lambda layout=layout: retain(layout))
        left = {path: data for path, data in raw_image(layout).items() if path.endswith((".jsonl", ".gz"))}
        for path, data in sample.kept.items():
            forms = left.get(path, b""), left.get(path.removesuffix(".gz"), b"")
            found = {line for form in forms for line in form.split(b"\n")}
            assert set(data.split(b"\n")) <= found, f"a line of {path} is gone, killed before change {number}"
        deleted = [path for action, path in events(layout) if action == "delete"]
        in_deletion = doomed_path(sample.old)
        assert sample.old.exists() or in_deletion.exists() or deleted
        assert retain(layout).failures == []
        assert raw_image(layout) == sample.kept, f"killed before change {number}"
        assert ("delete", name(layout, sample.old)) in events(layout)
        assert retain(layout).planned == []
    assert number > 40


# Two at once.


def test_a_pass_that_finds_another_at_work_does_nothing_and_says_so_at_once(layout, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waited"))
    Sample(layout)
    before = raw_image(layout)
    layout.lock_file.parent.mkdir(parents=True)
    with FileLock(layout.lock_file.with_name("retention.lock")):
        report = retain(layout)
    assert report.is_busy
    assert raw_image(layout) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to start two processes at one moment")
@pytest.mark.parametrize("is_locked", [True, False])
def test_two_processes_at_once_do_the_work_of_one(tmp_path, is_locked):
    """Without the lock too: it is the second line of defence, for file systems that do not lock."""
    for attempt in range(5):
        layout = Layout(tmp_path / str(attempt))
        sample = Sample(layout)
        plan = select(Policy(), Catalog(layout).files(), Clocks(NOW_MS, NOW_MS), PLENTY)
        gate, opener = os.pipe()

        def work(layout=layout, plan=plan, gate=gate, opener=opener):
            os.close(opener)
            os.read(gate, 1)
            if is_locked:
                retain(layout)
            else:
                carry_out(layout, plan)

        pids = [start(work) for _ in range(2)]
        os.close(opener)
        assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
        os.close(gate)
        retain(layout)
        assert raw_image(layout) == sample.kept


def start(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - reported to the test by the exit code
            os._exit(1)
    return pid


# Refused.


def test_a_file_a_reader_keeps_open_on_windows_is_reported_and_the_others_go_on(layout, monkeypatch):
    sample = Sample(layout)
    replace = os.replace

    def refuse(path, target):
        if path == sample.old:
            raise PermissionError(13, "being used by another process")
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        report = retain(layout)
    assert [failure.file for failure in report.failures] == [name(layout, sample.old)]
    assert "delete failed: [Errno 13] being used" in report.failures[0].text
    assert ("delete", name(layout, sample.old)) not in events(layout)
    assert raw_image(layout) == {**sample.kept, name(layout, sample.old): unpacked(sample.old)}
    assert retain(layout).failures == []
    assert raw_image(layout) == sample.kept


def test_a_damaged_gz_beside_late_lines_is_named_at_every_pass_and_the_others_go_on(layout):
    sample = Sample(layout)
    gz, plain = sample.late
    gz.write_bytes(gz.read_bytes()[:-3])
    for _ in range(2):
        report = retain(layout)
        assert [failure.file for failure in report.failures] == [name(layout, plain)]
        assert "ends too early" in report.failures[0].text
    assert plain.read_bytes() == b"".join(lines(10, range(2, 6)))
    assert packed(sample.plain).exists()


def test_a_disk_too_full_for_the_journal_does_not_keep_retention_from_making_room(layout, monkeypatch):
    sample = Sample(layout)
    append = Journal.append

    def refuse_while_full(journal, event):
        if any(layout.raw.rglob("*.deleting")):
            raise OSError(28, "No space left on device")
        append(journal, event)

    monkeypatch.setattr(Journal, "append", refuse_while_full)
    assert retain(layout).failures == []
    assert raw_image(layout) == sample.kept
    assert ("delete", name(layout, sample.old)) in events(layout)


def test_a_vault_that_is_not_there_is_an_error(layout):
    with pytest.raises(VaultError, match="no vault at"):
        retain(layout)


def test_a_progress_that_raises_ends_the_pass_between_two_files(layout):
    sample = Sample(layout)
    seen = []

    def stop_at_the_third(done, total, what):
        seen.append((done, total, what))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retain(layout, progress=stop_at_the_third)
    assert seen == [
        (0, 5, name(layout, sample.old)),
        (1, 5, name(layout, sample.late[1])),
        (2, 5, name(layout, sample.doubled[1])),
    ]
    retain(layout)
    assert raw_image(layout) == sample.kept


def test_a_file_just_written_to_is_let_alone_and_named(layout):
    path = put(layout, 7, b"".join(lines(7, range(3))))
    os.utime(path, ns=(NOW_MS * 1_000_000, NOW_MS * 1_000_000))
    report = retain(layout)
    assert [held.path for held in report.too_fresh] == [path]
    assert path.exists()


# Room.


def test_over_the_budget_only_as_much_is_done_as_is_needed_and_it_is_said(layout, caplog):
    data = b"".join(lines(1, range(200)))
    oldest, newest = put(layout, 3, data, packed=True), put(layout, 1, data)
    budget = len(data) + oldest.stat().st_size - 1
    report = retain(layout, Policy(max_bytes=budget))
    assert [done.action.held.path for done in report.done] == [newest]
    assert (report.not_needed, report.shortage) == ([], "")
    (event,) = retained(layout)
    assert event.reason == f"early, for want of room: the raw tree holds {budget + 1} bytes of at most {budget}"
    assert "early, for want of room" in caplog.text


def test_what_was_planned_for_want_of_room_is_spared_once_there_is_room(layout):
    data = b"".join(lines(1, range(200)))  # so regular that gzip does far better than was forecast
    paths = [put(layout, hours_ago, b"".join(lines(hours_ago, range(200)))) for hours_ago in (3, 2, 1)]
    report = retain(layout, Policy(max_bytes=len(data) // 4))
    assert [action.kind for action in report.planned] == ["compress"] * 3 + ["delete"] * 2
    assert [done.action.kind for done in report.done] == ["compress"] * 3
    assert [action.kind for action in report.not_needed] == ["delete"] * 2
    assert all(packed(path).exists() for path in paths)


def test_a_budget_that_only_the_current_hour_exceeds_is_said_to_be_lacking(layout, caplog):
    current = put(layout, -1, b"".join(lines(-1, range(100))))
    old = put(layout, 1, b"".join(lines(1, range(10))), packed=True)
    report = retain(layout, Policy(max_bytes=10))
    assert [done.action.held.path for done in report.done] == [old]
    assert f"holds {current.stat().st_size} bytes of at most 10" in report.shortage
    assert f"room is still lacking, {report.shortage}" in caplog.text
    assert current.exists()


def test_a_low_disk_is_asked_again_before_each_step(layout):
    paths = [put(layout, hours_ago, b"".join(lines(hours_ago, range(3))), packed=True) for hours_ago in (4, 3, 2, 1)]

    def free_bytes():
        return 1000 + 5000 * sum(not path.exists() for path in paths)

    report = retain(layout, Policy(min_free_bytes=10_000), free_bytes)
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert report.shortage == ""
    assert [action.held.path for action in report.not_needed] == paths[2:]


# Archive.


def archive_module(archive_hour):
    module = ModuleType("l2vault.vault.archive.write")
    module.archive_hour = archive_hour
    return module


ARCHIVING = Policy(archive_days=30)


def test_without_the_libraries_for_archives_nothing_is_deleted_and_the_cure_is_named(layout, monkeypatch):
    sample = Sample(layout)
    monkeypatch.setitem(sys.modules, "l2vault.vault.archive.write", None)
    report = retain(layout, ARCHIVING)
    assert [failure.file for failure in report.failures] == [name(layout, sample.old)]
    assert install_command("analysis") in report.failures[0].text
    assert raw_image(layout) == {**sample.kept, name(layout, sample.old): unpacked(sample.old)}


def test_an_hour_archived_for_want_of_room_is_deleted_even_if_there_is_room_by_then(layout, monkeypatch):
    path = put(layout, 3, b"".join(lines(3, range(3))), packed=True)
    free = [10]

    def archive_hour(layout, hour_file, journal):
        assert hour_file == layout.parse_hour_file(path)
        free[0] = 1000
        return 7

    monkeypatch.setitem(sys.modules, "l2vault.vault.archive.write", archive_module(archive_hour))
    size = path.stat().st_size
    policy = Policy(archive_days=30, min_free_bytes=1000)
    report = retain(layout, policy, lambda: free[0])
    assert not path.exists()
    assert [(done.action.kind, done.bytes_before, done.bytes_after) for done in report.done] == [
        ("archive", size, 7),
        ("delete", size, 0),
    ]


def test_an_hour_whose_archive_fails_is_kept(layout, monkeypatch):
    sample = Sample(layout)

    def refuse(layout, hour_file, journal):
        raise VaultError("it does not come back byte for byte.")

    monkeypatch.setitem(sys.modules, "l2vault.vault.archive.write", archive_module(refuse))
    report = retain(layout, ARCHIVING)
    assert [failure.file for failure in report.failures] == [name(layout, sample.old)]
    assert sample.old.exists()
    assert [action for action, _ in events(layout)] == ["compress"] * 4


def vault_bytes(layout):
    return sum(held.size_bytes for held in Catalog(layout).files())


def archived_lines(layout, inst_id, hours_ago):
    from l2vault.vault.archive.write import archived_lines

    return [line + b"\n" for line in archived_lines(layout.archived_hour(inst_id, hour_start(hours_ago)))]


def test_an_hour_is_archived_and_then_deleted_and_both_are_noted(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    sample = Sample(layout)
    size = sample.old.stat().st_size
    before = vault_bytes(layout)
    report = retain(layout, ARCHIVING)
    assert report.failures == []
    assert raw_image(layout) == sample.kept
    assert report.freed_bytes == before - vault_bytes(layout)
    assert archived_lines(layout, ETH, 130) == lines(130, range(3), ETH)
    archive_bytes = sum(held.size_bytes for held in Catalog(layout).files() if held.form == "archive")
    file = name(layout, sample.old)
    assert [(event.action, event.file, event.bytes_before, event.bytes_after) for event in retained(layout)][:2] == [
        ("archive", file, size, archive_bytes),
        ("delete", file, size, 0),
    ]
    assert retain(layout, ARCHIVING).planned == []


@pytest.mark.parametrize("is_packed", [False, True])
def test_an_hour_without_a_line_has_nothing_to_archive_and_goes(layout, is_packed):
    put(layout, 130, b"", packed=is_packed)
    assert retain(layout, ARCHIVING).failures == []
    assert raw_image(layout) == {}


def test_both_forms_of_an_hour_are_in_its_archive(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    put(layout, 130, b"".join(lines(130, range(4))), packed=True)
    put(layout, 130, b"".join(lines(130, range(3, 6))))
    assert retain(layout, ARCHIVING).failures == []
    assert raw_image(layout) == {}
    assert archived_lines(layout, BTC, 130) == lines(130, range(6))


def test_a_line_that_comes_after_its_hour_was_archived_is_archived_too(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    put(layout, 130, b"".join(lines(130, range(4))))
    retain(layout, ARCHIVING)
    put(layout, 130, b"".join(lines(130, [7])))
    assert retain(layout, ARCHIVING).failures == []
    assert raw_image(layout) == {}
    assert archived_lines(layout, BTC, 130) == lines(130, [0, 1, 2, 3, 7])


def test_an_old_archive_goes_with_both_its_files_and_its_folders(layout):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    put(layout, 130, b"".join(lines(130, range(4))))
    retain(layout, ARCHIVING)
    size = sum(path.stat().st_size for path in layout.archive.rglob("*.parquet"))
    report = retain(layout, Policy(delete_after_days=1, archive_days=2))
    assert [(done.action.kind, done.bytes_before) for done in report.done] == [("delete", size)]
    assert [path for path in layout.archive.rglob("*") if "=" in path.name] == []


def test_rows_of_an_archive_without_their_snapshots_go_unless_they_are_young(layout):
    layout.raw.mkdir(parents=True)
    files = layout.archived_hour(BTC, hour_start(130))
    files.levels.parent.mkdir(parents=True)
    files.levels.write_bytes(b"half")
    os.utime(files.levels, ns=(NOW_MS * 1_000_000,) * 2)
    retain(layout)
    assert files.levels.exists()
    os.utime(files.levels, ns=((NOW_MS - HOUR_MS) * 1_000_000,) * 2)
    retain(layout)
    assert not files.levels.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to be killed many times in a short time")
def test_killed_at_any_change_while_archiving_and_deleting_every_line_still_reads(tmp_path):
    pytest.importorskip("pyarrow", reason="archives need the analysis extra")
    from l2vault.vault.archive.write import archive_hour  # noqa: F401 - loaded before the processes part

    wanted = lines(130, range(6))
    number = 0
    was_killed = True
    while was_killed:
        number += 1
        layout = Layout(tmp_path / str(number))
        put(layout, 130, b"".join(wanted[:4]), packed=True)
        put(layout, 130, b"".join(wanted[3:]))
        was_killed = kill_before_change(number, lambda layout=layout: retain(layout, ARCHIVING))
        forms = Catalog(layout).hour(BTC, hour_start(130))
        found = [line.text + b"\n" for line in hour_lines(Catalog(layout), forms, False, pytest.fail)]
        assert found == wanted, f"killed before change {number}"
        assert retain(layout, ARCHIVING).failures == []
        assert raw_image(layout) == {}
        assert archived_lines(layout, BTC, 130) == wanted
    assert number > 20


# Folders and what a killed run left.


def test_folders_that_became_empty_go_and_todays_stay(layout):
    put(layout, 130, b"", inst_id=ETH)
    old, current = put(layout, 130, b""), put(layout, -1, b"")
    today = layout.raw / "NEW-USDT-SWAP" / utc_text(NOW_MS)[:10]
    today.mkdir(parents=True)
    retain(layout)
    assert not (layout.raw / ETH).exists()
    assert not old.parent.exists()
    assert current.exists()
    assert today.exists()


def test_a_folder_with_a_file_of_somebody_else_stays(layout):
    old = put(layout, 130, b"")
    other = old.with_name("notes.txt")
    other.write_text("mine")
    retain(layout)
    assert other.read_text() == "mine"
    assert not old.exists()


def test_what_a_killed_pass_left_goes_first(layout):
    path = put(layout, 2, b"".join(lines(2, range(3))))
    unfinished = path.with_name("05.jsonl.gz.4711.packing")
    unfinished.write_bytes(b"\x1f\x8b half")
    doomed = path.with_name("04.jsonl.gz.deleting")
    doomed.write_bytes(b"12345")
    retain(layout)
    assert list(path.parent.iterdir()) == [path]
    (event,) = retained(layout)
    file = name(layout, path.with_name("04.jsonl.gz"))
    assert event == Retained(utc_text(NOW_MS), "delete", file, "a deletion that was cut short", 5, 0)


def test_changes_are_archived_and_deleted_by_the_same_pass_and_come_back_byte_for_byte(tmp_path):
    sent = write_vault(tmp_path)
    layout = Layout(tmp_path)
    before = {path.name: path.read_bytes() for path in layout.of("changes").raw.rglob("*.gz")}
    later_ms = sent[-1].ts_ms + 6 * 24 * HOUR_MS
    for path in layout.of("changes").raw.rglob("*.gz"):
        os.utime(path, (later_ms / 1000 - 86_400,) * 2)
    report = retain(layout, Policy(archive_days=30), time=PassTime(later_ms, later_ms))
    assert report.failures == []
    assert not list(layout.of("changes").raw.rglob("*.gz"))
    archives = [stored for stored in Catalog(layout.of("changes")).files() if stored.form == "archive"]
    assert len(archives) == len(before) == 2
    for stored in archives:
        target = tmp_path / f"{stored.hour_ms}.jsonl.gz"
        restore_hour(files_of(stored), target)
        (name,) = [name for name in before if name == f"{stored.path.stem}.jsonl.gz"]
        assert gzip.decompress(target.read_bytes()) == gzip.decompress(before[name])
    last_ms = later_ms + 30 * 24 * HOUR_MS
    report = retain(layout, Policy(archive_days=30), time=PassTime(last_ms, last_ms))
    gone = {done.action.held.path: done.bytes_before for done in report.done if done.action.held.kind == "changes"}
    assert gone == {stored.path: stored.size_bytes for stored in archives}
    assert Catalog(layout.of("changes")).files() == []


@pytest.mark.parametrize("kind", ["trades", "context"])
def test_hours_of_trades_and_context_are_compressed_and_deleted_like_those_of_books(layout, kind):
    """What came late to a compressed hour is joined to it, whatever its time: no line is lost for its order."""
    of_kind = layout.of(kind)
    row = '{{"timestamp_utc":"{}","channel":"{}","nth":{}}}\n'
    hour_ms = NOW_MS // HOUR_MS * HOUR_MS - 9 * HOUR_MS

    def rows(*seconds):
        return b"".join(row.format(utc_text(hour_ms + 1000 * one), kind, one).encode() for one in seconds)

    plain = of_kind.hour_file(BTC, hour_ms)
    plain.parent.mkdir(parents=True, exist_ok=True)
    packed(plain).write_bytes(gzip.compress(rows(1, 5, 9)))
    plain.write_bytes(rows(7, 3))
    old = of_kind.hour_file(BTC, hour_ms - 130 * HOUR_MS)
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(b"x\n")

    retain(layout)

    assert not plain.exists() and not old.exists()
    found = gzip.decompress(packed(plain).read_bytes())
    assert sorted(found.splitlines()) == sorted(rows(1, 5, 9, 7, 3).splitlines())
    assert {event.action for event in retained(layout)} == {"compress", "delete"}
