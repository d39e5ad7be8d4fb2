"""One writer per vault; what cannot be written is found before recording starts."""

import errno
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from l2vault.errors import VaultError
from l2vault.vault import lock as lock_module
from l2vault.vault.layout import Layout
from l2vault.vault.lock import VaultLock, read_owner

AT = "2026-11-22T10:00:00.000Z"
EARLIER = "2026-11-22T09:00:00.000Z"

HOLDER = """
import sys
from pathlib import Path
from l2vault.vault.layout import Layout
from l2vault.vault.lock import VaultLock

lock = VaultLock(Layout(Path(sys.argv[1])))
lock.acquire(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


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
    lock.acquire(AT)
    assert json.loads(layout.owner_file.read_bytes()) == {
        "pid": os.getpid(),
        "host": lock_module.platform.node(),
        "started_at": AT,
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
