"""Chunks and lines of a file are its bytes, in either form, damaged or not, however they fall into pieces."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.vault.store import stream
from l2vault.vault.store.stream import GzipDamage, Line, read_chunks, read_lines


def until_damage(items):
    """What an iterator gives, and whether it then raised GzipDamage."""
    found = []
    try:
        for item in items:
            found.append(item)
    except GzipDamage:
        return found, True
    return found, False


@settings(max_examples=150, deadline=None)
@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    padding=st.integers(0, 20),
    piece=st.integers(1, 64),
)
def test_a_gzip_of_any_members_reads_as_what_went_in(tmp_path_factory, members, padding, piece):
    path = tmp_path_factory.mktemp("gz") / "03.jsonl.gz"
    path.write_bytes(b"".join(gzip.compress(member) for member in members) + bytes(padding))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stream, "CHUNK_BYTES", piece)
        chunks = list(read_chunks(path))
    assert b"".join(chunks) == b"".join(members) == gzip.decompress(path.read_bytes())
    assert all(0 < len(chunk) <= max(piece, 300) for chunk in chunks)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), texts=st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"")), max_size=20))
def test_a_gzip_cut_or_altered_anywhere_gives_only_true_lines_and_then_the_damage(tmp_path_factory, data, texts):
    whole = b"".join(text + b"\n" for text in texts)
    packed = gzip.compress(whole, mtime=0)
    cut = data.draw(st.integers(0, len(packed) - 1))
    path = tmp_path_factory.mktemp("gz") / "03.jsonl.gz"
    path.write_bytes(packed[:cut])
    lines, is_damaged = until_damage(read_lines(path))
    assert is_damaged
    assert [line.text for line in lines] == texts[: len(lines)]
    assert all(line.is_ended for line in lines)


def test_everything_before_a_wrong_checksum_is_given(tmp_path):
    path = tmp_path / "03.jsonl.gz"
    packed = bytearray(gzip.compress(b"a\nb\nc"))
    packed[-8] ^= 1
    path.write_bytes(packed)
    chunks, is_damaged = until_damage(read_chunks(path))
    assert (b"".join(chunks), is_damaged) == (b"a\nb\nc", True)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@settings(max_examples=80, deadline=None)
@given(contents=st.lists(st.sampled_from([b"\n", b"ab", b"c", b"", b"\r"]), max_size=30).map(b"".join))
def test_lines_are_the_contents_at_their_offsets(tmp_path_factory, suffix, contents):
    path = tmp_path_factory.mktemp("lines") / f"03{suffix}"
    path.write_bytes(gzip.compress(contents) if suffix.endswith("gz") else contents)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stream, "CHUNK_BYTES", 3)
        lines = list(read_lines(path))
    assert b"".join((line.text or b"") + b"\n" * line.is_ended for line in lines) == contents
    for line in lines:
        assert contents[line.offset :].startswith((line.text or b"") + b"\n" * line.is_ended)
    assert [line.is_ended for line in lines[:-1]] == [True] * len(lines[:-1])


def test_a_line_too_long_has_no_text_and_the_next_ones_keep_their_offsets(tmp_path, monkeypatch):
    monkeypatch.setattr("l2vault.vault.store.line.LONGEST_LINE_BYTES", 5)
    monkeypatch.setattr(stream, "CHUNK_BYTES", 2)
    path = tmp_path / "03.jsonl"
    path.write_bytes(b"12345\n123456\n12\n1234567")
    assert list(read_lines(path)) == [
        Line(0, b"12345", True),
        Line(6, None, True),
        Line(13, b"12", True),
        Line(16, None, False),
    ]
