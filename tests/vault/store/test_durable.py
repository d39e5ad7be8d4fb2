"""A file is replaced whole or not at all, and stays replaced."""

import errno
import os
from pathlib import Path

import pytest

from l2vault.errors import VaultError
from l2vault.vault.retention.compress import compress
from l2vault.vault.store import durable
from l2vault.vault.store.durable import (
    doomed_path,
    former_path,
    hidden,
    make_folders,
    remove,
    replace,
    sync_folder,
    unlink,
    write_atomically,
)
from support.acts import Disk


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_new_bytes_take_the_place_of_the_old(tmp_path):
    path = tmp_path / "a" / "b" / "row.json"
    write_atomically(path, b"old")
    write_atomically(path, iter([b"ne", b"w"]))
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["row.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_bytes_and_no_draft(tmp_path, monkeypatch, step):
    path = tmp_path / "row.json"
    write_atomically(path, b"old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["row.json"]


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    steps = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle):
        steps.append(f"fsync {os.fstat(handle).st_size}")
        real_fsync(handle)

    def replace(source, target):
        steps.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(durable, "sync_folder", lambda folder: steps.append(f"folder {folder.name}"))
    write_atomically(tmp_path / "row.json", b"12345")
    assert steps == ["fsync 5", "replace", f"folder {tmp_path.name}"]


def test_new_folders_are_named_to_be_synced_and_old_ones_are_not(tmp_path):
    assert set(make_folders(tmp_path / "a" / "b")) == {tmp_path, tmp_path / "a"}
    assert make_folders(tmp_path / "a" / "b") == []
    assert make_folders(tmp_path / "a" / "c") == [tmp_path / "a"]


def test_a_file_where_a_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OSError):
        make_folders(tmp_path / "a" / "b")


@pytest.mark.parametrize(("code", "is_raised"), [(errno.EINVAL, False), (errno.EBADF, False), (errno.EIO, True)])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync for folders")
def test_only_a_file_system_without_fsync_for_folders_is_excused(tmp_path, monkeypatch, code, is_raised):
    def refuse(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    if is_raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)


@pytest.mark.parametrize("refusals", [1, 5])
def test_on_windows_a_target_that_someone_reads_is_replaced_once_they_let_go(tmp_path, monkeypatch, refusals):
    path = tmp_path / "row.json"
    real_replace, left, pauses = os.replace, [None] * refusals, []

    def replace(source, target):
        if left:
            left.pop()
            raise PermissionError(errno.EACCES, "used by another process")
        real_replace(source, target)

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(durable.time, "sleep", pauses.append)
    monkeypatch.setattr(durable, "IS_WINDOWS", True)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(pauses) == refusals


def test_a_folder_without_permission_is_an_error_at_once_elsewhere(tmp_path, monkeypatch):
    calls = []

    def replace(source, target):
        calls.append(target)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(durable, "IS_WINDOWS", False)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "row.json", b"new")
    assert len(calls) == 1


@pytest.fixture
def refused_twice(monkeypatch):
    """Windows, where another program holds every file open for two attempts; gives the names that were refused."""
    refused = []

    def stubborn(name):
        real = getattr(os, name)

        def act(*paths):
            if refused.count((name, paths[0].name)) < 2:
                refused.append((name, paths[0].name))
                raise PermissionError(errno.EACCES, "used by another process")
            real(*paths)

        monkeypatch.setattr(os, name, act)

    stubborn("replace")
    stubborn("unlink")
    monkeypatch.setattr(durable.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(durable, "IS_WINDOWS", True)
    return refused


def test_on_windows_a_file_in_use_for_a_moment_is_renamed_and_deleted_all_the_same(tmp_path, refused_twice):
    path = tmp_path / "old"
    path.write_bytes(b"data")
    replace(path, tmp_path / "new")
    assert names(tmp_path) == ["new"]
    unlink(tmp_path / "new")
    assert names(tmp_path) == []
    assert len(refused_twice) == 4


def test_on_windows_an_hour_in_use_for_a_moment_is_compressed_and_deleted_all_the_same(tmp_path, refused_twice):
    plain = tmp_path / "03.jsonl"
    plain.write_bytes(b"{}\n")
    packed = compress(plain).packed
    assert names(tmp_path) == ["03.jsonl.gz"]
    notes = []
    remove(packed, lambda: notes.append(names(tmp_path)))
    assert names(tmp_path) == []
    assert notes == [[".03.gz.deleting"]]
    assert len(refused_twice) == 8


@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_interrupted_it_leaves_the_old_bytes_and_nothing_beside_them(tmp_path, monkeypatch, at):
    def interrupted(*_):
        raise KeyboardInterrupt

    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(durable.os, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("missing_ok", [False, True])
def test_what_is_not_there_is_an_error_unless_it_may_be_missing(tmp_path, missing_ok):
    if missing_ok:
        unlink(tmp_path / "none", missing_ok)
    else:
        with pytest.raises(FileNotFoundError):
            unlink(tmp_path / "none")


@pytest.mark.parametrize("name", ["23.jsonl", "23.jsonl.gz", "23.parquet"])
def test_a_file_being_deleted_or_replaced_is_no_data_file_by_its_name_and_its_own_name_comes_back(tmp_path, name):
    path = tmp_path / name
    for temporary in (doomed_path(path), hidden(path, ".tmp")):
        assert temporary.name.startswith(".")
        assert not temporary.match("*.jsonl*")
        assert not temporary.match("*.parquet")
    assert former_path(doomed_path(path)) == path
    assert former_path(path.with_name(f"{name}.deleting")) == path  # what earlier versions left


@pytest.mark.parametrize(("refused", "fault"), [("write", "full"), ("write", "error"), ("fsync", "error")])
def test_an_error_names_the_file_where_the_system_does_not(tmp_path, refused, fault):
    with Disk().watched() as disk:
        write_atomically(tmp_path / "row.json", b"data")
    at = next(nth for nth, act in enumerate(disk.acts, 1) if act.startswith(refused))
    with Disk(fault, at).watched(), pytest.raises(OSError, match="row.json") as found:
        write_atomically(tmp_path / "row.json", b"data")
    assert found.value.filename == str(tmp_path / "row.json")


@pytest.mark.parametrize(
    ("number", "cure"), [(28, "make room"), (13, "let this user write there"), (5, "see to that disk")]
)
def test_a_refusal_is_one_sentence_with_the_cure_of_its_cause(number, cure):
    says = f"x: why. It stands. Try: {cure}"
    with pytest.raises(VaultError, match=says), durable.refusals(Path("x"), "It stands"):
        raise OSError(number, "why")
