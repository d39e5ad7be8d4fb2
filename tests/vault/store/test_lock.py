"""One writer per vault; what cannot be written is found before recording starts."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import msgspec
import pytest

from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.vault.store import lock as lock_module
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock, is_held, open_hours, read_owner

AT = "2026-11-22T10:00:00.000Z"
EARLIER = "2026-11-22T09:00:00.000Z"

HOLDER = """
import sys
from pathlib import Path
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock

lock = VaultLock(Layout(Path(sys.argv[1])))
lock.acquire(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """Whether another process holds the vault is known at once here."""
    monkeypatch.setattr(lock_module, "_WAIT_SEC", 0.05)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


@contextmanager
def held_by_another_process(layout):
    """Yields that process; it dies a sudden death at the end."""
    command = [sys.executable, "-c", HOLDER, str(layout.root), EARLIER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"held"
            yield process
        finally:
            process.kill()


def refusal(layout):
    with pytest.raises(VaultError) as caught:
        VaultLock(layout).acquire(AT)
    return str(caught.value)


def test_a_vault_in_use_is_refused_with_who_has_it_and_the_cure(layout):
    with held_by_another_process(layout) as process:
        message = refusal(layout)
        assert str(layout.root) in message
        assert f"process {process.pid} on " in message
        assert f"since {EARLIER}" in message
        assert "Try: stop that recorder first, or record into another folder with --vault" in message
        assert read_owner(layout).pid == process.pid


def test_a_killed_owner_is_no_obstacle(layout):
    with held_by_another_process(layout) as process:
        killed = process.pid
    assert read_owner(layout).pid == killed
    lock = VaultLock(layout)
    lock.acquire(AT)
    assert read_owner(layout).pid == os.getpid()
    lock.release()


def test_the_owner_is_told_in_json_while_the_lock_is_held(layout):
    lock = VaultLock(layout)
    lock.acquire(AT, "ab12")
    assert json.loads(layout.owner_file.read_bytes()) == {
        "pid": os.getpid(),
        "host": lock_module.platform.node(),
        "started_at": AT,
        "run": "ab12",
        "open_hours": [],
    }
    lock.release()
    assert read_owner(layout) is None


def test_a_vault_that_was_given_back_can_be_taken_again(layout):
    lock = VaultLock(layout)
    for _ in range(2):
        lock.acquire(AT)
        assert "is being recorded by process" in refusal(layout)
        lock.release()
    lock.release()
    VaultLock(layout).release()


def test_taking_it_twice_is_a_mistake_and_does_not_give_it_away(layout):
    lock = VaultLock(layout)
    lock.acquire(AT)
    with pytest.raises(VaultError, match="already locked"):
        lock.acquire(AT)
    assert "is being recorded" in refusal(layout)
    lock.release()


def test_another_thread_may_give_it_back(layout):
    lock = VaultLock(layout)
    lock.acquire(AT)
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    VaultLock(layout).acquire(AT)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b'{"pid":"x"}', b"\xff"])
def test_an_owner_file_that_does_not_read_names_nobody(layout, content):
    with held_by_another_process(layout):
        layout.owner_file.write_bytes(content)
        assert read_owner(layout) is None
        assert "is being recorded by another process." in refusal(layout)


def test_two_vaults_are_two_locks(tmp_path):
    locks = [VaultLock(Layout(tmp_path / name)) for name in ("one", "two")]
    for lock in locks:
        lock.acquire(AT)
    for lock in locks:
        lock.release()


@pytest.mark.parametrize("place", ["root", "raw", "meta"])
def test_a_file_where_a_folder_should_be_is_named_with_the_cure(layout, place):
    in_the_way = {"root": layout.root, "raw": layout.raw, "meta": layout.lock_file.parent}[place]
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_bytes(b"")
    message = refusal(layout)
    assert f"the vault {layout.root} cannot be written: " in message
    assert "Try: make room on its disk, let this user write there, or choose another folder with --vault" in message


@pytest.mark.parametrize("step", ["probe", "owner"])
@pytest.mark.parametrize("reason", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_vault_that_takes_no_files_is_found_out_and_given_back(layout, monkeypatch, step, reason):
    def refuse(*_, **__):
        raise OSError(reason, os.strerror(reason))

    target = (lock_module.tempfile, "TemporaryFile") if step == "probe" else (lock_module, "write_atomically")
    with monkeypatch.context() as patch:
        patch.setattr(*target, refuse)
        assert os.strerror(reason) in refusal(layout)
    lock = VaultLock(layout)
    lock.acquire(AT)
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="the system's own limit on file sizes is POSIX")
def test_a_disk_with_less_room_than_a_line_is_full(layout):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        assert "File too large" in refusal(layout)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_system_without_locks_is_told_as_such(layout, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(lock_module.FileLock, "acquire", refuse)
    assert "support flock" in refusal(layout)


def test_the_probe_leaves_nothing_behind(layout):
    lock = VaultLock(layout)
    lock.acquire(AT)
    assert {path for path in layout.root.rglob("*") if path.is_file()} == {layout.lock_file, layout.owner_file}
    lock.release()


def test_nobody_owns_a_vault_that_does_not_exist(layout):
    assert read_owner(layout) is None
    assert not layout.root.exists()


HOUR_MS = 3_600_000
BTC = "BTC-USDT-SWAP"


def test_the_hours_being_written_are_kept_from_other_processes_while_the_lock_is_held(layout):
    lock = VaultLock(layout)
    assert open_hours(layout) == set()
    lock.acquire(AT, "ab12")
    lock.note("ab12", [(BTC, 2 * HOUR_MS), ("ETH-USDT-SWAP", HOUR_MS)])
    assert open_hours(layout) == {(BTC, 2 * HOUR_MS), ("ETH-USDT-SWAP", HOUR_MS)}
    owner = read_owner(layout)
    assert (owner.run, owner.started_at, owner.pid) == ("ab12", AT, os.getpid())
    lock.release()
    assert open_hours(layout) == set()


def test_a_killed_recorder_has_no_open_hour(layout):
    with held_by_another_process(layout):
        owner = msgspec.structs.replace(read_owner(layout), open_hours=[lock_module.OpenHour(BTC, utc_text(HOUR_MS))])
        layout.owner_file.write_bytes(msgspec.json.encode(owner))
        assert open_hours(layout) == {(BTC, HOUR_MS)}
    assert read_owner(layout) is not None
    assert open_hours(layout) == set()


def test_looking_at_a_vault_creates_nothing(layout):
    assert open_hours(layout) == set()
    assert not layout.root.exists()


def test_the_owner_is_written_again_only_when_something_is_new(layout, monkeypatch):
    lock = VaultLock(layout)
    lock.acquire(AT, "ab12")
    writes = []
    real = lock_module.write_atomically
    monkeypatch.setattr(lock_module, "write_atomically", lambda *words: (writes.append(words), real(*words)))
    for _ in range(3):
        lock.note("ab12", [(BTC, HOUR_MS)])
    assert len(writes) == 1
    lock.note("cd34", [(BTC, HOUR_MS)])
    assert len(writes) == 2
    lock.release()


def test_one_who_only_looks_does_not_make_a_start_fail(layout, monkeypatch):
    monkeypatch.setattr(lock_module, "_WAIT_SEC", 10)
    layout.lock_file.parent.mkdir(parents=True)
    probe = lock_module.FileLock(str(layout.lock_file), thread_local=False)
    probe.acquire()
    threading.Timer(0.05, probe.release).start()
    lock = VaultLock(layout)
    lock.acquire(AT)
    lock.release()


def test_nothing_is_to_be_done_while_the_vault_stays_in_its_place(layout):
    lock = VaultLock(layout)
    lock.acquire(AT)
    layout.journal.mkdir()
    lock.watch_journal()
    assert lock.check() == []
    lock.note("ab12", [(BTC, HOUR_MS)])
    assert lock.check() == [], "the owner's file is replaced by its owner"
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete open files")
@pytest.mark.parametrize("what", ["lock", "meta", "journal", "raw", "vault", "lock replaced"])
def test_a_vault_that_was_deleted_under_its_owner_is_taken_again(layout, what):
    lock = VaultLock(layout)
    lock.acquire(AT, "ab12")
    lock.note("ab12", [(BTC, HOUR_MS)])
    layout.journal.mkdir()
    lock.watch_journal()
    folders = {"meta": layout.root / "meta", "journal": layout.journal, "raw": layout.raw, "vault": layout.root}
    if what in folders:
        shutil.rmtree(folders[what])
    else:
        layout.lock_file.unlink()
    if what == "lock replaced":
        layout.lock_file.with_name("x").touch()
        layout.lock_file.with_name("x").replace(layout.lock_file)
    former = lock._lock
    replaced = lock.check()
    assert former.is_locked is (what in ("journal", "raw")), "of a file that is gone no handle is kept"
    expected = {"lock": "recorder.lock", "lock replaced": "recorder.lock", "journal": "journal", "raw": "l2_perps"}
    assert any(each.endswith(expected.get(what, "recorder.lock")) for each in replaced)
    assert lock.check() == []
    assert "is being recorded by process" in refusal(layout)
    assert open_hours(layout) == {(BTC, HOUR_MS)}
    lock.release()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not delete open files")
def test_a_vault_that_another_process_has_taken_meanwhile_is_given_up(layout):
    lock = VaultLock(layout)
    lock.acquire(EARLIER)
    layout.lock_file.unlink()
    with held_by_another_process(layout) as process:
        with pytest.raises(VaultError, match=f"is being recorded by process {process.pid} on "):
            lock.check()
        lock.release()
        assert read_owner(layout).pid == process.pid, "the other's file is left alone"


@pytest.mark.skipif(os.name == "nt", reason="Windows shares no lock: there a look waits for the other one")
def test_two_that_look_at_one_moment_do_not_take_each_other_for_a_recorder(layout, monkeypatch):
    import fcntl

    lock = VaultLock(layout)
    lock.acquire(AT)
    assert is_held(layout) is True
    lock.release()
    flock, seen = fcntl.flock, []

    def look_once_more(handle, how):
        flock(handle, how)
        if not seen:
            seen.append(None)
            seen.append(is_held(layout))  # while the first one still looks

    monkeypatch.setattr(fcntl, "flock", look_once_more)
    assert is_held(layout) is False
    assert seen == [None, False]
    monkeypatch.setattr(fcntl, "flock", lambda handle, how: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    assert is_held(layout) is None, "nor can anybody else say"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may open everything")
def test_a_lock_of_another_user_is_one_sentence(layout):
    layout.lock_file.parent.mkdir(parents=True)
    layout.lock_file.touch(mode=0o000)
    assert "is another user's" in refusal(layout)


def test_a_lock_that_cannot_be_opened_is_one_sentence(layout, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    layout.lock_file.parent.mkdir(parents=True)
    layout.lock_file.touch()
    monkeypatch.setattr(lock_module.FileLock, "acquire", refuse)
    message = refusal(layout)
    assert f"the lock of the vault, {layout.lock_file}, is another user's: " in message
    assert "Try: run as the user who recorded it" in message


@pytest.mark.parametrize("text", [b"[" * 100_000, b"", b"[]", b"\0" * 5_000_000])
def test_what_is_no_note_of_a_holder_is_none(layout, text):
    layout.owner_file.parent.mkdir(parents=True, exist_ok=True)
    layout.owner_file.write_bytes(text)
    assert read_owner(layout) is None
