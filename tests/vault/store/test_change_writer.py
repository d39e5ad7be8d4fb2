"""Changes onto the disk: whole hours that read alone, and every hole named by what the files hold."""

import errno
import gzip
import hashlib
import zlib
from pathlib import Path

import msgspec
import pytest

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange, from_change_line
from l2vault.vault.store import gzip_append
from l2vault.vault.store.change_writer import LEAST_FREE_BYTES, ChangesHole, ChangeWriter
from l2vault.vault.store.layout import HOUR_MS, Layout

INST = "BTC-USDT-SWAP"
T0 = 1_767_225_600_000


def change(ts_ms: int, is_full: bool = False, inst_id: str = INST) -> RecordedChange:
    levels = [("99", "5", "0", "1")]
    return RecordedChange(ts_ms, BookChange(inst_id, is_full, levels, [], ts_ms, ts_ms, ts_ms - 100, 0, 7), "ws", 1)


def path_of(layout: Layout, ts_ms: int = T0, inst_id: str = INST) -> Path:
    plain = layout.hour_file(inst_id, ts_ms)
    return plain.with_name(f"{plain.name}.gz")


def times(layout: Layout, ts_ms: int = T0) -> list[int]:
    """Of every line that the file of the hour gives, finished or not."""
    text, rest = b"", path_of(layout, ts_ms).read_bytes()
    while rest:
        member = zlib.decompressobj(31)
        text += member.decompress(rest)
        rest = member.unused_data if member.eof else b""
    assert text.endswith(b"\n") or not text
    return [from_change_line(line).ts_ms for line in text.splitlines()]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "vault", "changes")


def test_what_was_flushed_reads_and_the_rest_is_not_there_yet(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0, True), "our_restart")
    writer.write(change(T0 + 100))
    writer.flush()
    writer.write(change(T0 + 200))
    assert times(layout) == [T0, T0 + 100]
    writer.close()
    assert gzip.decompress(path_of(layout).read_bytes()).count(b"\n") == 3
    assert writer.take_holes() == [] and writer.take_refused() == {}


def test_each_hour_is_a_file_that_is_completed_when_the_next_begins(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0 + HOUR_MS - 100, True), "our_restart")
    writer.write(change(T0 + HOUR_MS, True))
    writer.write(change(T0 + HOUR_MS + 100))
    writer.flush()
    assert len(gzip.decompress(path_of(layout).read_bytes()).splitlines()) == 1
    assert times(layout, T0 + HOUR_MS) == [T0 + HOUR_MS, T0 + HOUR_MS + 100]
    assert writer.take_holes() == []


def test_a_restart_goes_on_in_the_same_file_and_names_the_hole(layout: Layout) -> None:
    killed = ChangeWriter(layout)
    killed.write(change(T0, True), "our_restart")
    killed.write(change(T0 + 100))
    killed.flush()
    killed.write(change(T0 + 200))
    data = path_of(layout).read_bytes()
    path_of(layout).write_bytes(data + b"torn")
    writer = ChangeWriter(layout)
    writer.write(change(T0 + 5_000, True), "our_restart")
    writer.close()
    lines = gzip.decompress(path_of(layout).read_bytes()).splitlines()
    assert [from_change_line(line).ts_ms for line in lines] == [T0, T0 + 100, T0 + 5_000]
    assert writer.take_holes() == [ChangesHole(INST, T0 + 100, T0 + 5_000, "our_restart", 0, "")]
    assert [path.read_bytes() for path in layout.torn.iterdir()] == [b"torn"]


def test_a_restart_in_a_later_hour_completes_the_former_file(layout: Layout) -> None:
    killed = ChangeWriter(layout)
    killed.write(change(T0, True), "our_restart")
    killed.flush()
    writer = ChangeWriter(layout)
    writer.write(change(T0 + 2 * HOUR_MS, True), "our_restart")
    assert len(gzip.decompress(path_of(layout).read_bytes()).splitlines()) == 1
    writer.flush()
    assert writer.take_holes() == [ChangesHole(INST, T0, T0 + 2 * HOUR_MS, "our_restart", 0, "")]


def test_an_instrument_that_is_not_recorded_any_more_is_completed_too(layout: Layout) -> None:
    killed = ChangeWriter(layout)
    killed.write(change(T0, True), "our_restart")
    killed.flush()
    ChangeWriter(layout).complete_newest(INST)
    assert len(gzip.decompress(path_of(layout).read_bytes()).splitlines()) == 1
    ChangeWriter(layout).complete_newest("ETH-USDT-SWAP")


def refuse(file: object, data: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_costs_what_came_since_the_last_flush_up_to_a_full_book(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0, True), "our_restart")
    writer.flush()
    with monkeypatch.context() as full:
        full.setattr(gzip_append, "write_all", refuse)
        writer.write(change(T0 + 100))
        writer.write(change(T0 + 200))
        writer.flush()
        began = writer.take_holes()
        assert [hole[:5] for hole in began] == [(INST, T0, None, "disk_full", 2)]
        assert "No space" in began[0].detail
        assert writer.take_refused() == {INST: "disk_full"}
        writer.write(change(T0 + 300))
        writer.write(change(T0 + 350, True), "disk_full")
        writer.flush()
        assert writer.take_holes() == [], "it goes on"
        assert writer.take_refused() == {INST: "disk_full"}
    writer.write(change(T0 + 400))
    writer.write(change(T0 + 500, True), "disk_full")
    writer.write(change(T0 + 600))
    writer.close()
    assert [hole[:5] for hole in writer.take_holes()] == [(INST, T0, T0 + 500, "disk_full", 5)]
    assert times(layout) == [T0, T0 + 500, T0 + 600]
    gzip.decompress(path_of(layout).read_bytes())


def test_the_last_free_bytes_are_left_to_the_books(layout: Layout) -> None:
    free = [LEAST_FREE_BYTES - 1]
    writer = ChangeWriter(layout, lambda path: free[0])
    writer.write(change(T0, True), "our_restart")
    writer.flush()
    assert not path_of(layout).exists()
    assert [hole[:4] for hole in writer.take_holes()] == [(INST, None, None, "disk_full")]
    free[0] = LEAST_FREE_BYTES
    writer.write(change(T0 + 100, True), "disk_full")
    writer.close()
    assert times(layout) == [T0 + 100]


def test_a_file_that_vanished_begins_anew_with_a_full_book(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0 + 5_000, True), "our_restart")
    writer.flush()
    path_of(layout).unlink()
    writer.write(change(T0 + 5_100))
    writer.flush()
    assert [hole[:5] for hole in writer.take_holes()] == [(INST, T0, None, "file_gone", 1)]
    writer.write(change(T0 + 5_200))
    writer.write(change(T0 + 5_300, True), "file_gone")
    writer.close()
    assert [hole[:5] for hole in writer.take_holes()] == [(INST, T0, T0 + 5_300, "file_gone", 2)]
    assert times(layout) == [T0 + 5_300]


def test_time_that_goes_back_goes_to_the_file_of_its_hour_if_that_holds_nothing_later(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0 + 100, True), "our_restart")
    writer.write(change(T0 + 50 * HOUR_MS, True))
    writer.write(change(T0 + 50, True), "clock")
    assert writer.take_refused() == {INST: "clock"}
    writer.write(change(T0 + 200, True), "clock")
    writer.write(change(T0 + 300))
    writer.write(change(T0 + 250))
    assert writer.take_refused() == {INST: "clock"}
    writer.close()
    assert times(layout) == [T0 + 100, T0 + 200, T0 + 300]
    assert times(layout, T0 + 50 * HOUR_MS) == [T0 + 50 * HOUR_MS]
    gzip.decompress(path_of(layout).read_bytes())


def test_one_instruments_trouble_is_its_own(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    path_of(layout).parent.parent.mkdir(parents=True)
    path_of(layout).parent.write_text("in the way")
    for ts_ms in (T0, T0 + 100):
        writer.write(change(ts_ms, True), "our_restart")
        writer.write(change(ts_ms, True, "ETH-USDT-SWAP"))
    writer.flush()
    assert list(writer.take_refused()) == [INST]
    assert path_of(layout, inst_id="ETH-USDT-SWAP").exists()


def test_a_full_book_that_follows_names_no_hole(layout: Layout) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0, True), "our_restart")
    writer.write(msgspec.structs.replace(change(T0, True), origin="book"))
    writer.close()
    assert writer.take_holes() == []
    assert times(layout) == [T0, T0]


def test_holes_between_two_flushes_are_named_one_by_one_or_as_one_if_the_disk_refuses_them(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ChangeWriter(layout)
    writer.write(change(T0, True), "our_restart")
    writer.flush()
    writer.write(change(T0 + 1_000, True), "chain")
    writer.write(change(T0 + 2_000, True), "disconnect")
    writer.flush()
    assert [hole[:4] for hole in writer.take_holes()] == [
        (INST, T0, T0 + 1_000, "chain"),
        (INST, T0 + 1_000, T0 + 2_000, "disconnect"),
    ]
    writer.write(change(T0 + 3_000, True), "chain")
    writer.write(change(T0 + 4_000, True), "silence")
    with monkeypatch.context() as full:
        full.setattr(gzip_append, "write_all", refuse)
        writer.flush()
    assert [hole[:5] for hole in writer.take_holes()] == [(INST, T0 + 2_000, None, "chain", 2)]
    writer.write(change(T0 + 5_000, True), "disk_full")
    writer.close()
    assert [hole[:4] for hole in writer.take_holes()] == [(INST, T0 + 2_000, T0 + 5_000, "chain")]


def test_an_hour_that_is_over_has_no_record_before_its_file_is_complete(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest of a file that lacks its end would be another one, or none for ever."""
    writer = ChangeWriter(layout)
    for inst_id in (INST, "ETH-USDT-SWAP"):
        writer.write(change(T0, True, inst_id), "our_restart")
        writer.write(change(T0 + 100, inst_id=inst_id))
    writer.flush()
    writer.write(change(T0 + HOUR_MS, True))
    assert writer.close_hour() is None, "its last part is not in the file yet"
    with monkeypatch.context() as refusing:

        def refuse(file: gzip_append.GzipAppend) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        refusing.setattr(gzip_append.GzipAppend, "finish", refuse)
        writer.flush()
        writer.write(change(T0 + HOUR_MS, True, "ETH-USDT-SWAP"))
        assert writer.close_hour() is None, "the disk took no end of it"
    writer.flush()
    closed = [writer.close_hour() for _ in range(3)]
    text = gzip.decompress(path_of(layout).read_bytes())
    assert [each and each.inst_id for each in closed] == [INST, "ETH-USDT-SWAP", None]
    assert closed[0] is not None and closed[0].digest.sha256 == hashlib.sha256(text).hexdigest()
    assert (closed[0].digest.lines, closed[0].hour_ms) == (2, T0)
