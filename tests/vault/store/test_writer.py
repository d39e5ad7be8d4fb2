"""Lines land whole in the file of their hour; a disk that refuses costs lines, never bytes of others."""

import errno
import gzip
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot, from_line, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.store import appendfile
from l2vault.vault.store import writer as writer_module
from l2vault.vault.store.digest import HourDigest, hours_without_record
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.recovery import recover
from l2vault.vault.store.writer import ClosedHour, LineWriter, Vanished
from support.no_thread import no_thread

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
START_MS = utc_ms("2026-11-22T15:00:00.123Z")


def snapshot(ts_ms=START_MS, inst_id=BTC, gap_detected=False):
    bids, asks = [("100.1", "5", "0", "2")], [("100.2", "7.5", "0", "1")]
    return Snapshot(inst_id, ts_ms, 2, bids, asks, 0, ts_ms, ts_ms - 1, gap_detected)


def as_bytes(*snapshots):
    return b"".join(to_line(one) + b"\n" for one in snapshots)


class Disk:
    """A disk under test: takes `budget` bytes, then refuses; may refuse cuts too, and handles may die."""

    def __init__(self):
        self.budget = None
        self.takes_at_once = None
        self.refuses_cuts = False
        self.dead = set()
        self.opened = []

    def open(self, path, mode, buffering=-1):
        if "a" not in mode:
            return open(path, mode, buffering)
        assert buffering == 0, "a buffer would append a line in pieces of its own choosing"
        file = DiskFile(self, path, mode)
        self.opened.append(file)
        return file


class DiskFile(io.FileIO):
    def __init__(self, disk, path, mode):
        self.disk = disk
        self.writes = []
        super().__init__(path, mode)

    def write(self, data):
        self._check()
        taken = bytes(data)[: self.disk.takes_at_once]
        if self.disk.budget is not None:
            taken = taken[: self.disk.budget]
            if not taken:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.disk.budget -= len(taken)
        self.writes.append(taken)
        return super().write(taken)

    def truncate(self, size=None):
        self._check()
        if self.disk.refuses_cuts:
            raise OSError(errno.EIO, "Input/output error")
        return super().truncate(size)

    def seek(self, offset, whence=0):
        self._check()
        return super().seek(offset, whence)

    def _check(self):
        if self in self.disk.dead:
            raise OSError(errno.EIO, "the drive was unplugged")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering=-1: disk.open(path, mode, buffering))
    return disk


@pytest.fixture
def writer(layout):
    writer = LineWriter(layout)
    yield writer
    writer.close()


def test_lines_land_in_the_file_of_their_instrument_and_hour(layout, writer):
    last_of_hour = START_MS - START_MS % HOUR_MS + HOUR_MS - 1
    lines = [
        snapshot(START_MS),
        snapshot(START_MS, ETH),
        snapshot(last_of_hour),
        snapshot(last_of_hour + 1),
        snapshot(last_of_hour, ETH),
    ]
    for line in lines:
        writer.append(line)
    folder = layout.raw
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jsonl")} == {
        "BTC-USDT-SWAP/2026-11-22/15.jsonl": as_bytes(lines[0], lines[2]),
        "BTC-USDT-SWAP/2026-11-22/16.jsonl": as_bytes(lines[3]),
        "ETH-USDT-SWAP/2026-11-22/15.jsonl": as_bytes(lines[1], lines[4]),
    }


def test_a_line_can_be_read_as_soon_as_it_is_appended(layout, writer):
    writer.append(snapshot(gap_detected=True))
    written = layout.hour_file(BTC, START_MS).read_bytes()
    assert from_line(written.removesuffix(b"\n")) == snapshot(gap_detected=True)


def test_a_line_is_one_append_without_a_buffer(layout, disk, writer):
    writer.append(snapshot())
    assert disk.opened[0].writes == [as_bytes(snapshot())]


def test_a_disk_that_takes_a_line_in_pieces_gets_all_of_it(layout, disk, writer):
    disk.takes_at_once = 7
    writer.append(snapshot())
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot())


def test_one_file_is_open_per_instrument_and_the_old_hours_is_closed(disk, writer):
    for ts_ms in (START_MS, START_MS + 1, START_MS + HOUR_MS, START_MS + HOUR_MS + 1):
        writer.append(snapshot(ts_ms))
        writer.append(snapshot(ts_ms, ETH))
    writer.sync()
    assert [file.closed for file in disk.opened] == [True, True, False, False]


def test_the_old_hours_bytes_are_synced_before_it_is_closed(layout, writer, monkeypatch):
    writer.append(snapshot())
    synced = record_syncs(monkeypatch)
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    assert os.path.samestat(synced[0], layout.hour_file(BTC, START_MS).stat())


def test_of_an_instrument_that_somebody_is_about_to_change_nothing_is_held(layout, disk, writer):
    writer.append(snapshot())
    writer.append(snapshot(inst_id=ETH))
    writer.close_instrument(BTC)
    assert [file.closed for file in disk.opened] == [True, False]
    assert writer.open_hours() == [(ETH, START_MS // HOUR_MS * HOUR_MS)]
    layout.hour_file(BTC, START_MS).write_bytes(b"")
    later = snapshot(START_MS + 2_000)
    writer.append(later)
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(later)


def test_an_earlier_hour_can_be_written_again(layout, writer):
    lines = [snapshot(START_MS), snapshot(START_MS + HOUR_MS), snapshot(START_MS + 1, gap_detected=True)]
    for line in lines:
        writer.append(line)
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(lines[0], lines[2])


def test_a_restart_appends_to_what_is_there(layout, writer):
    writer.append(snapshot())
    writer.close()
    second = LineWriter(layout)
    second.append(snapshot(START_MS + 2000))
    second.close()
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 2000))


def test_an_hour_that_is_compressed_already_gets_a_plain_file_beside_it(layout, writer):
    packed = layout.hour_file(BTC, START_MS).with_suffix(".jsonl.gz")
    packed.parent.mkdir(parents=True)
    packed.write_bytes(b"as retention left it")
    writer.append(snapshot())
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot())
    assert packed.read_bytes() == b"as retention left it"


def test_a_closed_writer_writes_on(layout, writer):
    writer.append(snapshot())
    writer.close()
    writer.append(snapshot(START_MS + 1))
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 1))


def test_no_line_is_glued_to_a_torn_one(layout, writer):
    path = layout.hour_file(BTC, START_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(as_bytes(snapshot()) + b'{"timestamp_utc":"20')
    writer.append(snapshot(START_MS + 1))
    expected = as_bytes(snapshot()) + b'{"timestamp_utc":"20\n' + as_bytes(snapshot(START_MS + 1))
    assert path.read_bytes() == expected


@settings(deadline=None, max_examples=60)  # every example waits for the disk
@given(room=st.integers(0, 400))
def test_a_failed_append_leaves_no_byte_and_the_next_line_is_whole(tmp_path_factory, room):
    layout, disk = Layout(tmp_path_factory.mktemp("vault")), Disk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode, buffering=-1: disk.open(path, mode, buffering))
        writer = LineWriter(layout)
        writer.append(snapshot(START_MS))
        disk.budget = min(room, len(as_bytes(snapshot())) - 1)
        with pytest.raises(OSError, match="No space left"):
            writer.append(snapshot(START_MS + 1))
        assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(START_MS))
        disk.budget = None
        writer.append(snapshot(START_MS + 2))
        writer.close()
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(START_MS), snapshot(START_MS + 2))


def test_a_disk_that_refuses_cuts_too_gets_its_cut_before_the_next_line(layout, disk, writer):
    writer.append(snapshot())
    disk.budget, disk.refuses_cuts = 10, True
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    with pytest.raises(OSError, match="Input/output error"):
        writer.append(snapshot(START_MS + 2))
    path = layout.hour_file(BTC, START_MS)
    assert path.read_bytes() == as_bytes(snapshot()) + as_bytes(snapshot(START_MS + 1))[:10]
    disk.budget, disk.refuses_cuts = None, False
    writer.append(snapshot(START_MS + 3))
    assert path.read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 3))


def test_a_missed_cut_is_made_up_for_by_the_next_sync_even_after_the_hour_has_changed(layout, disk, writer):
    writer.append(snapshot())
    disk.budget, disk.refuses_cuts = 10, True
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    disk.budget = None
    writer.append(snapshot(START_MS + HOUR_MS))
    with pytest.raises(OSError, match="Input/output error"):
        writer.sync()
    disk.refuses_cuts = False
    writer.sync()
    old = layout.hour_file(BTC, START_MS)
    assert all(file.closed for file in disk.opened if Path(file.name) == old)
    assert old.read_bytes() == as_bytes(snapshot())
    assert layout.hour_file(BTC, START_MS + HOUR_MS).read_bytes() == as_bytes(snapshot(START_MS + HOUR_MS))


def test_a_cut_is_made_durable_by_the_next_sync(layout, disk, writer, monkeypatch):
    writer.append(snapshot())
    writer.sync()
    disk.budget = 10
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    synced = record_syncs(monkeypatch)
    writer.sync()
    assert [state.st_size for state in synced] == [len(as_bytes(snapshot()))]


def test_a_cut_missed_at_closing_is_made_when_the_file_is_opened_again(layout, disk, writer):
    writer.append(snapshot())
    disk.budget, disk.refuses_cuts = 10, True
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    with pytest.raises(OSError, match="Input/output error"):
        writer.close()
    disk.budget, disk.refuses_cuts = None, False
    writer.append(snapshot(START_MS + 2))
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 2))


def test_a_line_for_an_hour_that_awaits_its_cut_is_not_cut_with_it(layout, disk, writer):
    writer.append(snapshot())
    disk.budget, disk.refuses_cuts = 10, True
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    disk.budget = None
    writer.append(snapshot(START_MS + HOUR_MS))
    disk.refuses_cuts = False
    writer.append(snapshot(START_MS + 2, gap_detected=True))
    writer.sync()
    expected = as_bytes(snapshot(), snapshot(START_MS + 2, gap_detected=True))
    assert layout.hour_file(BTC, START_MS).read_bytes() == expected


def test_a_handle_that_died_is_replaced(layout, disk, writer):
    writer.append(snapshot())
    disk.dead.add(disk.opened[0])
    with pytest.raises(OSError, match="unplugged"):
        writer.append(snapshot(START_MS + 1))
    writer.append(snapshot(START_MS + 2))
    assert disk.opened[0].closed
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 2))


def test_a_folder_that_was_removed_is_made_again(layout, writer):
    writer.append(snapshot())
    writer.close()
    layout.hour_file(BTC, START_MS).unlink()
    layout.hour_file(BTC, START_MS).parent.rmdir()
    writer.append(snapshot(START_MS + 1))
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(START_MS + 1))


def test_one_instruments_trouble_does_not_touch_the_others(layout, writer):
    layout.raw.mkdir(parents=True)
    layout.instrument_folder(ETH).write_bytes(b"a file where the folder should be")
    writer.append(snapshot())
    with pytest.raises(OSError):
        writer.append(snapshot(START_MS, ETH))
    writer.append(snapshot(START_MS + 1))
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot(), snapshot(START_MS + 1))


def test_a_sync_reaches_each_changed_file_once(layout, writer, monkeypatch):
    writer.append(snapshot())
    writer.append(snapshot(START_MS, ETH))
    writer.sync()
    synced = record_syncs(monkeypatch)
    writer.append(snapshot(START_MS + 1))
    writer.sync()
    writer.sync()
    changed = layout.hour_file(BTC, START_MS).stat()
    assert len(synced) == 1
    assert os.path.samestat(synced[0], changed)
    assert synced[0].st_size == changed.st_size


def test_a_sync_makes_the_names_of_new_files_and_folders_durable(layout, writer, monkeypatch):
    synced = []
    monkeypatch.setattr(appendfile, "sync_folder", synced.append)
    writer.append(snapshot())
    writer.sync()
    folder = layout.hour_file(BTC, START_MS).parent
    assert set(synced) == {folder, *folder.parents} - set(layout.root.parent.parents)
    synced.clear()
    writer.append(snapshot(START_MS + 1))
    writer.sync()
    assert synced == []
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    assert set(synced) == {folder}


def test_a_sync_that_fails_for_one_file_reaches_the_others_and_is_tried_again(layout, writer, monkeypatch):
    writer.append(snapshot())
    writer.append(snapshot(START_MS, ETH))
    broken, real_fsync, synced = layout.hour_file(BTC, START_MS).stat(), os.fsync, []

    def fsync(handle):
        state = os.fstat(handle)
        if broken is not None and os.path.samestat(state, broken):
            raise OSError(errno.EIO, "Input/output error")
        synced.append(state)
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output error"):
        writer.sync()
    assert os.path.samestat(synced[0], layout.hour_file(ETH, START_MS).stat())
    mended, broken = broken, None
    writer.sync()
    assert any(os.path.samestat(state, mended) for state in synced)


def test_close_lets_go_of_every_file_even_if_the_disk_refuses(disk, writer, monkeypatch):
    writer.append(snapshot())
    writer.append(snapshot(START_MS, ETH))

    def refuse(handle):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output error"):
            writer.close()
    assert [file.closed for file in disk.opened] == [True, True]


@pytest.mark.skipif(sys.platform == "win32", reason="the system's own limit on file sizes is POSIX")
def test_a_real_short_write_is_cut_back(layout, writer):
    import resource

    writer.append(snapshot())
    whole = as_bytes(snapshot())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.append(snapshot(START_MS + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert layout.hour_file(BTC, START_MS).read_bytes() == whole


KILLED = """
import sys
from pathlib import Path
from l2vault.book.snapshot import Snapshot
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import LineWriter

writer = LineWriter(Layout(Path(sys.argv[1])))
levels = [(str(100000 - rank), "1", "0", "1") for rank in range(400)]
for ts_ms in range(int(sys.argv[2]), int(sys.argv[2]) + 10_000_000):
    writer.append(Snapshot("BTC-USDT-SWAP", ts_ms, 400, levels, levels, 0, ts_ms, ts_ms - 1))
"""


@pytest.mark.parametrize("size_at_death", [1, 100_000, 1_000_000])
def test_a_killed_writer_leaves_whole_lines_without_a_hole(layout, size_at_death):
    path = layout.hour_file(BTC, START_MS)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(layout.root), str(START_MS)])
    try:
        while not (path.exists() and path.stat().st_size >= size_at_death):
            assert process.poll() is None
            time.sleep(0)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (1 if os.name == "nt" else -signal.SIGKILL)
    recover(layout)
    times = [from_line(line).ts_ms for line in path.read_bytes().splitlines()]
    assert times == list(range(START_MS, START_MS + len(times)))


def record_syncs(monkeypatch):
    synced, real_fsync = [], os.fsync

    def fsync(handle):
        synced.append(os.fstat(handle))
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return synced


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
def test_a_file_deleted_under_the_writer_is_noticed_at_the_next_sync_and_written_anew(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    writer = LineWriter(layout)
    lost = [Snapshot("BTC-USDT-SWAP", 1_000 * n, 400, [], [], 0, n, n - 1) for n in (1, 2, 3)]
    for snapshot in lost:
        writer.append(snapshot)
    path = layout.hour_file("BTC-USDT-SWAP", 1_000)
    path.unlink()
    writer.sync()
    assert writer.take_vanished() == [Vanished("BTC-USDT-SWAP", path, 3, 1_000, 3_000)]
    kept = Snapshot("BTC-USDT-SWAP", 4_000, 400, [], [], 0, 4, 3)
    writer.append(kept)
    writer.close()
    assert path.read_bytes() == to_line(kept) + b"\n"
    assert writer.take_vanished() == []


def digest(data):
    return HourDigest(data.count(b"\n"), len(data), hashlib.sha256(data).hexdigest())


HOUR_START_MS = START_MS // HOUR_MS * HOUR_MS


def test_an_hour_is_closed_with_what_it_holds_once_a_later_one_begins(layout, writer):
    lines = [snapshot(START_MS), snapshot(START_MS + 1), snapshot(START_MS + 1, gap_detected=True)]
    for line in lines:
        writer.append(line)
    writer.append(snapshot(START_MS, ETH))
    writer.sync()
    assert writer.take_closed() == []
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    assert writer.take_closed() == [ClosedHour(BTC, HOUR_START_MS, digest(as_bytes(*lines)), False)]
    writer.sync()
    assert writer.take_closed() == []


def test_a_late_line_has_its_hour_closed_again_once_no_more_come(layout, writer):
    lines = [snapshot(), snapshot(START_MS + 1, gap_detected=True)]
    writer.append(lines[0])
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    writer.take_closed()
    writer.append(lines[1])
    writer.sync()
    assert writer.take_closed() == [], "more may come"
    writer.sync()
    assert writer.take_closed() == [ClosedHour(BTC, HOUR_START_MS, digest(as_bytes(*lines)), False)]


def test_a_late_line_of_an_hour_before_the_last_has_its_hour_closed_again_too(layout, writer):
    """It comes just as the hour after its own ends."""
    lines = [snapshot(), snapshot(START_MS + 1, gap_detected=True)]
    writer.append(lines[0])
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    writer.take_closed()
    writer.append(lines[1])
    writer.append(snapshot(START_MS + 2 * HOUR_MS))
    writer.sync()
    writer.sync()
    closed = {(hour.inst_id, hour.hour_ms): hour.digest for hour in writer.take_closed()}
    assert closed[BTC, HOUR_START_MS] == digest(as_bytes(*lines))
    assert set(closed) == {(BTC, HOUR_START_MS), (BTC, HOUR_START_MS + HOUR_MS)}


def test_at_the_end_the_hour_being_written_is_noted_as_open(layout, writer):
    writer.append(snapshot())
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.close(is_final=True)
    assert writer.take_closed() == [
        ClosedHour(BTC, HOUR_START_MS, digest(as_bytes(snapshot())), False),
        ClosedHour(BTC, HOUR_START_MS + HOUR_MS, digest(as_bytes(snapshot(START_MS + HOUR_MS))), True),
    ]


def test_what_was_there_before_is_part_of_what_the_hour_holds(layout, writer):
    plain = layout.hour_file(BTC, START_MS)
    plain.parent.mkdir(parents=True)
    packed = plain.with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(as_bytes(snapshot(START_MS - 2))))
    plain.write_bytes(as_bytes(snapshot(START_MS - 1)))
    writer.append(snapshot())
    writer.close(is_final=True)
    whole = as_bytes(snapshot(START_MS - 2), snapshot(START_MS - 1), snapshot())
    assert writer.take_closed() == [ClosedHour(BTC, HOUR_START_MS, digest(whole), True)]


@pytest.mark.parametrize("how", ["grown", "replaced", "replaced by a copy"])
def test_what_another_program_did_to_the_file_is_in_the_digest(layout, writer, how):
    writer.append(snapshot())
    path = layout.hour_file(BTC, START_MS)
    if how == "grown":
        with path.open("ab") as file:
            file.write(b"{}\n")
    else:
        path.with_name("other").write_bytes(path.read_bytes() if how == "replaced by a copy" else b"{}\n")
        path.with_name("other").replace(path)
    writer.append(snapshot(START_MS + HOUR_MS))
    writer.sync()
    (closed,) = writer.take_closed()
    assert closed.digest == digest(path.read_bytes())


def test_a_damaged_compressed_hour_has_no_record_and_is_written_all_the_same(layout, writer):
    packed = layout.hour_file(BTC, START_MS).with_suffix(".jsonl.gz")
    packed.parent.mkdir(parents=True)
    packed.write_bytes(b"no gzip at all")
    writer.append(snapshot())
    writer.close(is_final=True)
    assert writer.take_closed() == []
    assert layout.hour_file(BTC, START_MS).read_bytes() == as_bytes(snapshot())


def test_a_failed_append_is_in_no_digest(layout, disk, writer):
    writer.append(snapshot())
    disk.budget = 10
    with pytest.raises(OSError, match="No space left"):
        writer.append(snapshot(START_MS + 1))
    disk.budget = None
    writer.append(snapshot(START_MS + 2))
    writer.close(is_final=True)
    (closed,) = writer.take_closed()
    assert closed.digest == digest(as_bytes(snapshot(), snapshot(START_MS + 2)))


def test_the_last_hour_of_the_run_before_is_closed_by_the_next_one(layout, writer):
    writer.append(snapshot())
    writer.close()
    second = LineWriter(layout)
    second.resume({BTC: HOUR_START_MS})
    assert second.open_hours() == [(BTC, HOUR_START_MS)]
    second.append(snapshot(START_MS + HOUR_MS))
    second.close(is_final=True)
    assert second.take_closed()[0] == ClosedHour(BTC, HOUR_START_MS, digest(as_bytes(snapshot())), False)


def test_hours_that_have_ended_and_lack_a_record_are_found(layout, writer):
    for hour in range(12):
        writer.append(snapshot(START_MS + hour * HOUR_MS))
    writer.close()
    hours = [HOUR_START_MS + hour * HOUR_MS for hour in range(12)]
    closed = {(BTC, utc_text(hours[9]))}
    lacking = [(BTC, hours[hour]) for hour in (4, 5, 6, 7, 8, 10, 11)]
    assert hours_without_record(layout, closed, {ETH}) == lacking
    assert hours_without_record(layout, closed, {BTC}) == lacking[:-1], "its newest hour may go on"


def test_no_more_files_are_open_than_there_are_handles(layout, disk):
    writer = LineWriter(layout, open_files=4)
    names = [f"X{number}-USDT-SWAP" for number in range(20)]
    for turn in range(3):
        for name in names:
            writer.append(snapshot(START_MS + turn, name))
            assert sum(not file.closed for file in disk.opened) <= 4
        if turn == 1:
            writer.sync()
            assert sum(not file.closed for file in disk.opened) <= 5
    writer.close(is_final=True)
    assert all(file.closed for file in disk.opened)
    for name in names:
        whole = as_bytes(*[snapshot(START_MS + turn, name) for turn in range(3)])
        assert layout.hour_file(name, START_MS).read_bytes() == whole


def test_the_file_that_makes_room_is_the_one_written_least_recently(layout, disk):
    writer = LineWriter(layout, open_files=2)
    for name in (BTC, ETH, BTC, "SOL-USDT-SWAP"):
        writer.append(snapshot(inst_id=name))
    assert [Path(file.name).parents[1].name for file in disk.opened if not file.closed] == [BTC, "SOL-USDT-SWAP"]
    writer.close()


def test_a_file_without_a_handle_is_synced_too(layout, monkeypatch):
    writer = LineWriter(layout, open_files=1)
    for name in (BTC, ETH):
        writer.append(snapshot(START_MS, name))
    synced = record_syncs(monkeypatch)
    writer.sync()
    for name in (BTC, ETH):
        state = layout.hour_file(name, START_MS).stat()
        assert any(os.path.samestat(state, each) for each in synced)
    writer.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete open files")
def test_lines_of_a_file_that_was_deleted_while_it_had_no_handle_are_noticed(layout):
    writer = LineWriter(layout, open_files=1)
    writer.append(snapshot())
    writer.append(snapshot(START_MS, ETH))
    path = layout.hour_file(BTC, START_MS)
    path.unlink()
    writer.append(snapshot(START_MS + 1))
    writer.sync()
    assert writer.take_vanished() == [Vanished(BTC, path, 1, START_MS, START_MS)]
    writer.append(snapshot(START_MS + 2))
    writer.close()
    assert path.read_bytes() == as_bytes(snapshot(START_MS + 1), snapshot(START_MS + 2))


MANY = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from l2vault.book.snapshot import Snapshot
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import LineWriter
writer = LineWriter(Layout(Path(sys.argv[1])))
level = [("1", "1", "0", "1")]
for turn in range(2):
    for number in range(500):
        writer.append(Snapshot(f"X{number}-USDT-SWAP", int(sys.argv[2]) + turn, 1, level, level, 0, turn, -1))
    writer.sync()
writer.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on handles is POSIX")
def test_500_instruments_under_a_limit_of_256_handles_write_every_line(layout):
    subprocess.run([sys.executable, "-c", MANY, str(layout.root), str(START_MS)], check=True, timeout=60)
    files = list(layout.raw.rglob("*.jsonl"))
    assert len(files) == 500
    assert {path.read_bytes().count(b"\n") for path in files} == {2}


@pytest.mark.parametrize("count", [3, 200])
def test_no_sync_is_begun_once_it_is_late_and_the_next_one_makes_up_for_it(layout, monkeypatch, count):
    writer = LineWriter(layout)
    names = [f"X{number}-USDT-SWAP" for number in range(count)]
    for inst_id in names:
        writer.append(snapshot(inst_id=inst_id))
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    with pytest.raises(TimeoutError, match=f"{count} files"):
        writer.close(is_final=True, is_late=lambda: len(synced) >= 1)
    assert set(writer.unsynced()) < set(names), "one file at least was done"
    assert len(writer.unsynced()) >= count - writer_module.SYNC_THREADS
    assert {closed.inst_id for closed in writer.take_closed()} == set(names) - set(writer.unsynced())
    assert all(layout.hour_file(inst_id, START_MS).stat().st_size for inst_id in names)
    writer.sync()
    assert writer.unsynced() == []
    writer.abandon()


def test_where_the_system_has_no_more_threads_every_file_is_synced_all_the_same(layout, monkeypatch):
    writer = LineWriter(layout)
    names = [f"X{number}-USDT-SWAP" for number in range(40)]
    for inst_id in names:
        writer.append(snapshot(inst_id=inst_id))
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    writer.sync()
    assert writer.unsynced() == []
    writer.close()


def test_many_files_are_synced_by_several_threads_each_once(layout, monkeypatch):
    writer = LineWriter(layout, open_files=16)
    names = [f"X{number}-USDT-SWAP" for number in range(200)]
    for inst_id in names:
        writer.append(snapshot(inst_id=inst_id))
    threads, files, fsync = set(), [], os.fsync

    def seen(handle):
        threads.add(threading.current_thread())
        if stat.S_ISREG(os.fstat(handle).st_mode):
            files.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    writer.sync()
    assert len(files) == len(set(files)) == len(names)
    assert len(threads) > 1
    assert all(thread.daemon for thread in threads if thread is not threading.current_thread()), (
        "none keeps the process"
    )
    assert not any(thread.is_alive() for thread in threads if thread is not threading.current_thread())
    assert writer.unsynced() == []
    writer.abandon()
