"""A gzip file that can be read while it is written, and completed wherever a kill left it."""

import errno
import gzip
import io
import os
import zlib
from pathlib import Path
from random import Random

import pytest

from l2vault.vault.store import gzip_append
from l2vault.vault.store.gzip_append import GzipAppend, Replaced, complete, whole_part


def lines(first: int, count: int) -> list[bytes]:
    rng = Random(first)
    return [b'{"n":%d,"x":"%d"}\n' % (first + at, rng.randrange(10**12)) for at in range(count)]


def readable(data: bytes) -> bytes:
    """What gzip -dc gives of it before it complains."""
    out, rest = b"", data
    while rest:
        member = zlib.decompressobj(31)
        out += member.decompress(rest)
        rest = member.unused_data
        if not member.eof:
            break
    return out


def write(path: Path, *flushes: list[bytes], is_finished: bool = False) -> list[int]:
    """Returns the size after each flush."""
    file, sizes = GzipAppend(path, path.stat().st_size if path.exists() else 0), []
    for batch in flushes:
        for line in batch:
            file.add(line)
        file.flush()
        sizes.append(path.stat().st_size)
    if is_finished:
        file.finish()
    return sizes


def test_every_flush_can_be_read_while_the_member_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a" / "13.jsonl.gz"
    file, written = GzipAppend(path, 0), b""
    for at in range(0, 100, 10):
        for line in lines(at, 10):
            file.add(line)
            written += line
        file.flush()
        assert readable(path.read_bytes()) == written
    with pytest.raises(EOFError):
        gzip.decompress(path.read_bytes())
    file.finish()
    assert gzip.decompress(path.read_bytes()) == written
    file.sync()


def test_a_finished_file_goes_on_with_another_member(tmp_path: Path) -> None:
    path = tmp_path / "13.jsonl.gz"
    write(path, lines(0, 5), is_finished=True)
    write(path, lines(5, 5), is_finished=True)
    file = GzipAppend(path, path.stat().st_size)
    file.flush()
    file.finish()
    assert gzip.decompress(path.read_bytes()) == b"".join(lines(0, 5) + lines(5, 5))


def test_cut_at_any_byte_it_is_completed_with_every_flush_before_and_what_is_cut_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "13.jsonl.gz"
    batches = [lines(0, 3), lines(3, 1), lines(4, 6), lines(10, 2)]
    write(path, *batches[:2], is_finished=True)
    first = path.stat().st_size
    sizes = write(path, *batches[2:])
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        torn = whole[:cut]
        path.write_bytes(torn)
        kept: list[bytes] = []
        found = complete(path, lambda file, offset: kept.append(torn[offset:]))  # noqa: B023
        wanted = sum((batches[at] for at, size in enumerate((None, None, *sizes)) if size and size <= cut), [])
        if cut >= first:
            wanted = batches[0] + batches[1] + wanted
        elif wanted == []:
            wanted = _flushed_before(whole, cut, batches)
        assert gzip.decompress(path.read_bytes()) == b"".join(wanted), cut
        assert (found.lines, found.last) == (len(wanted), wanted[-1][:-1] if wanted else b"")
        assert path.stat().st_size == found.size
        assert b"".join(kept) in torn
        again = path.read_bytes()
        assert complete(path, _nothing_is_cut) == found
        assert path.read_bytes() == again
        GzipAppend(path, found.size)


@pytest.mark.parametrize("torn", [b"", b"half a flush"])
def test_what_was_completed_or_cut_is_on_the_disk_and_a_whole_file_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    path, synced = tmp_path / "13.jsonl.gz", list[int]()
    write(path, lines(0, 3), is_finished=bool(torn))
    path.write_bytes(path.read_bytes() + torn)
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    complete(path)
    assert synced == [path.stat().st_size]
    complete(path)
    assert len(synced) == 1


def _flushed_before(whole: bytes, cut: int, batches: list[list[bytes]]) -> list[bytes]:
    """Of the first member: the batches that can be read whole from so many bytes, up to a flush."""
    text, found = zlib.decompressobj(31).decompress(whole[:cut]), []
    for batch in batches[:2]:
        end = len(b"".join(found + batch))
        marks = whole[:cut].count(b"\x00\x00\xff\xff")
        if len(text) >= end and marks >= batches.index(batch) + 1:
            found = found + batch
    return found


def _nothing_is_cut(file: object, offset: int) -> None:
    raise AssertionError("nothing is left to cut")


@pytest.mark.parametrize("seed", range(30))
def test_altered_bytes_cost_only_what_stands_behind_them(seed: int, tmp_path: Path) -> None:
    rng, path = Random(seed), tmp_path / "13.jsonl.gz"
    batches = [lines(at * 40, rng.randint(1, 40)) for at in range(12)]
    sizes = write(path, *batches, is_finished=rng.random() < 0.5)
    data = bytearray(path.read_bytes())
    at = rng.randrange(10, sizes[-1])
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data + b"\0" * rng.choice((0, 5000)))
    complete(path)
    given = gzip.decompress(path.read_bytes())
    sound = b"".join(sum((batch for batch, size in zip(batches, sizes, strict=True) if size <= at), []))
    assert given.startswith(sound)
    assert given.endswith(b"\n") or not given


@pytest.mark.parametrize("left", ["nothing", "half", "all but a byte"])
def test_a_flush_that_the_disk_refuses_leaves_nothing_and_the_next_begins_a_member(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "13.jsonl.gz"
    file = GzipAppend(path, 0)
    for line in lines(0, 5):
        file.add(line)
    file.flush()

    def refuse(raw: io.FileIO, data: bytes) -> None:
        raw.write(data[: {"nothing": 0, "half": len(data) // 2, "all but a byte": len(data) - 1}[left]])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(gzip_append, "write_all", refuse)
        file.add(b"lost\n")
        with pytest.raises(OSError, match="No space"):
            file.flush()
        file.add(b"lost too\n")
        with pytest.raises(OSError, match="No space"):
            file.finish()
        with pytest.raises(OSError, match="No space"):
            file.finish()
    assert readable(path.read_bytes()) == b"".join(lines(0, 5))
    for line in lines(9, 3):
        file.add(line)
    file.flush()
    assert readable(path.read_bytes()) == b"".join(lines(0, 5) + lines(9, 3))
    file.finish()
    assert gzip.decompress(path.read_bytes()) == b"".join(lines(0, 5) + lines(9, 3))


def test_a_file_that_is_gone_or_shorter_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "13.jsonl.gz"
    file = GzipAppend(path, 0)
    file.add(b"one\n")
    file.flush()
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    file.add(b"two\n")
    with pytest.raises(Replaced):
        file.flush()
    path.unlink()
    file.add(b"two\n")
    with pytest.raises(FileNotFoundError):
        file.flush()


def test_what_is_dropped_never_comes_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "13.jsonl.gz"
    file = GzipAppend(path, 0)
    file.add(b"one\n")
    file.flush()
    file.add(b"two\n")
    file.drop()
    file.add(b"three\n")
    file.finish()
    assert gzip.decompress(path.read_bytes()) == b"one\nthree\n"


def test_a_large_file_is_read_in_pieces_with_marks_over_their_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "13.jsonl.gz"
    batches = [lines(at * 7, 7) for at in range(200)]
    write(path, *batches)
    data = path.read_bytes()
    for size in (1, 2, 3, 5, 64):
        monkeypatch.setattr(gzip_append, "_CHUNK_BYTES", size)
        path.write_bytes(data[:-3] if size == 64 else data)
        found = whole_part(path)
        assert found.lines == 7 * (199 if size == 64 else 200)


def test_a_part_of_a_flush_that_could_not_be_cut_off_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "13.jsonl.gz"
    file = GzipAppend(path, 0)
    file.add(b"one\n")
    file.flush()
    with path.open("ab") as left:
        left.write(b"a part of a flush, longer than what comes next is" * 9)
    file.add(b"two\n")
    file.finish()
    assert gzip.decompress(path.read_bytes()) == b"one\ntwo\n"
