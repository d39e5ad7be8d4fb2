"""A compressed hour holds the very lines of the plain one, which goes last; every oddity of the two forms is mended."""

import gzip
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.errors import VaultError
from l2vault.vault.retention import compress as compress_module
from l2vault.vault.retention.compress import PACKING_SUFFIX, compress
from l2vault.vault.store.layout import packed_path
from l2vault.vault.store.stream import GzipDamage

A, B, C = b'{"line":"a"}\n', b'{"line":"b"}\n', b'{"line":"c"}\n'
LONG = b"x" * 600_000 + b"\n"


@pytest.fixture
def plain(tmp_path):
    return tmp_path / "03.jsonl"


def names(plain):
    return sorted(path.name for path in plain.parent.iterdir())


def contents(plain):
    return gzip.decompress(packed_path(plain).read_bytes())


@pytest.mark.parametrize("data", [A + B, A + b'{"torn', b"", LONG * 3 + A, bytes(range(256)) * 5000])
def test_the_gz_holds_the_very_bytes_and_the_original_is_gone(plain, data):
    plain.write_bytes(data)
    result = compress(plain)
    assert names(plain) == ["03.jsonl.gz"]
    assert contents(plain) == data
    assert result == (packed_path(plain), len(data), packed_path(plain).stat().st_size)


def test_the_same_lines_give_the_same_gz_whenever_and_wherever_they_are_compressed(tmp_path):
    packed = []
    for folder in ("one", "two"):
        path = tmp_path / folder / f"{folder}.jsonl"
        path.parent.mkdir()
        path.write_bytes(A + B)
        packed.append(compress(path).packed.read_bytes())
    assert packed[0] == packed[1]
    assert packed[0][4:8] == bytes(4)  # the time in the header


@pytest.mark.parametrize(
    ("held", "late", "whole"),
    [
        (A + B, A + B, A + B),
        (A + B, A, A + B),
        (A + B, B, A + B),
        (A + B, C, A + B + C),
        (A + B, B + C, A + B + C),
        (A + B, C + C, A + B + C + C),
        (A + b'{"torn', C, A + b'{"torn\n' + C),
        (A + b'{"torn', A + b'{"torn', A + b'{"torn'),
        (A, b'{"torn', A + b'{"torn'),
        (A, b"", A),
        (b"", A, A),
        (LONG, LONG + A, LONG + A),
    ],
)
def test_an_hour_that_was_compressed_already_takes_exactly_the_lines_it_lacks(plain, held, late, whole):
    packed_path(plain).write_bytes(gzip.compress(held))
    plain.write_bytes(late)
    compress(plain)
    assert names(plain) == ["03.jsonl.gz"]
    assert contents(plain) == whole


def test_what_was_compressed_already_is_kept_as_it_is_and_only_added_to(plain):
    held = gzip.compress(A, 1)
    packed_path(plain).write_bytes(held)
    plain.write_bytes(B)
    compress(plain)
    assert packed_path(plain).read_bytes().startswith(held)


def test_an_empty_gz_file_holds_nothing_and_is_replaced(plain):
    packed_path(plain).write_bytes(b"")
    plain.write_bytes(A)
    compress(plain)
    assert contents(plain) == A


@pytest.mark.parametrize("cut", [1, 9, 12])
def test_a_damaged_gz_beside_new_lines_is_an_error_and_both_stay(plain, cut):
    damaged = gzip.compress(A * 50)[:-cut]
    packed_path(plain).write_bytes(damaged)
    plain.write_bytes(B)
    with pytest.raises(GzipDamage, match="ends too early"):
        compress(plain)
    assert (packed_path(plain).read_bytes(), plain.read_bytes()) == (damaged, B)
    assert names(plain) == ["03.jsonl", "03.jsonl.gz"]


@pytest.mark.parametrize("has_gz", [False, True])
def test_a_file_written_to_meanwhile_stays_with_all_its_lines(plain, monkeypatch, has_gz):
    plain.write_bytes(A + B)
    if has_gz:
        packed_path(plain).write_bytes(gzip.compress(A))
    check = compress_module._check

    def check_while_a_line_is_written(temporary, expected):
        check(temporary, expected)
        with plain.open("ab") as file:
            file.write(C)

    monkeypatch.setattr(compress_module, "_check", check_while_a_line_is_written)
    with pytest.raises(VaultError, match="written to while"):
        compress(plain)
    assert plain.read_bytes() == A + B + C
    assert names(plain) == (["03.jsonl", "03.jsonl.gz"] if has_gz else ["03.jsonl"])
    assert not has_gz or contents(plain) == A
    monkeypatch.undo()
    compress(plain)
    assert contents(plain) == A + B + C


def test_a_line_written_at_the_last_moment_keeps_the_original_for_the_next_time(plain, monkeypatch):
    plain.write_bytes(A)

    def sync_while_a_line_is_written(folder):
        with plain.open("ab") as file:
            file.write(B)

    monkeypatch.setattr(compress_module, "sync_folder", sync_while_a_line_is_written)
    with pytest.raises(VaultError, match="written to while"):
        compress(plain)
    monkeypatch.undo()
    assert plain.read_bytes() == A + B
    compress(plain)
    assert names(plain) == ["03.jsonl.gz"]
    assert contents(plain) == A + B


def test_a_copy_that_does_not_read_back_never_takes_the_place_of_the_original(plain, monkeypatch):
    plain.write_bytes(A * 1000)

    def flip(descriptor, sync=os.fsync):
        """The disk keeps another byte than it was given."""
        os.lseek(descriptor, 40, os.SEEK_SET)
        os.write(descriptor, b"\xff\xff")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", flip)
    with pytest.raises(VaultError):
        compress(plain)
    assert names(plain) == ["03.jsonl"]
    assert plain.read_bytes() == A * 1000


def test_a_copy_that_reads_back_as_something_else_is_refused_too(plain, monkeypatch):
    plain.write_bytes(A * 1000)
    other = gzip.compress(A * 999 + B, mtime=0)

    def swap(descriptor):
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.truncate(descriptor, 0)
        os.write(descriptor, other)

    monkeypatch.setattr(os, "fsync", swap)
    with pytest.raises(VaultError, match="reads back as"):
        compress(plain)
    assert names(plain) == ["03.jsonl"]


def test_a_full_disk_leaves_the_original_and_nothing_else(plain, monkeypatch):
    plain.write_bytes(A * 1000)

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        compress(plain)
    assert names(plain) == ["03.jsonl"]


def test_a_reader_that_keeps_the_original_open_on_windows_leaves_two_equal_forms_for_the_next_time(plain, monkeypatch):
    plain.write_bytes(A + B)

    def refuse(path, missing_ok=False):
        if path.name.endswith(PACKING_SUFFIX):
            return os.unlink(path)
        raise PermissionError(13, "being used by another process")

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        with pytest.raises(PermissionError):
            compress(plain)
    assert plain.read_bytes() == contents(plain) == A + B
    compress(plain)
    assert names(plain) == ["03.jsonl.gz"]
    assert contents(plain) == A + B


line = st.binary(max_size=6).map(lambda data: data.replace(b"\n", b"") + b"\n")
lines = st.lists(line, max_size=6).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(held=lines, late=lines, tail=st.binary(max_size=3))
def test_no_line_of_either_form_is_ever_lost(tmp_path_factory, held, late, tail):
    plain = tmp_path_factory.mktemp("hour") / "03.jsonl"
    packed_path(plain).write_bytes(gzip.compress(held + tail))
    plain.write_bytes(late)
    compress(plain)
    found = contents(plain).split(b"\n")
    assert found[: held.count(b"\n")] == held.split(b"\n")[:-1]
    assert set(late.split(b"\n")) <= {*found, b""}
    twice = contents(plain)
    plain.write_bytes(late)
    compress(plain)
    assert contents(plain) == twice


def test_a_file_far_larger_than_a_piece_is_never_in_memory_whole(plain):
    import tracemalloc

    with plain.open("wb") as file:
        for number in range(400):
            file.write(zlib.crc32(bytes([number % 251])).to_bytes(4, "big").hex().encode() * 5000 + b"\n")
    size = plain.stat().st_size
    tracemalloc.start()
    compress(plain)
    plain.write_bytes(A)
    compress(plain)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 15_000_000
    assert peak < 4_000_000
