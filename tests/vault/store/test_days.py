"""Day files: each line into the file of its day, whole or not at all, and no handle left open."""

import gzip
import os
from pathlib import Path

import pytest

from l2vault.book.utc import utc_ms
from l2vault.vault.store.days import DayWriter
from l2vault.vault.store.layout import Layout

EVENING_MS = utc_ms("2026-09-17T23:59:59.000Z")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def contents(layout: Layout) -> dict[str, bytes]:
    raw = layout.root / "raw" / "okx"
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in sorted(raw.rglob("*.jsonl"))}


def test_each_line_goes_into_the_file_of_its_kind_and_day(layout: Layout) -> None:
    days = DayWriter(layout)
    days.append("liquidations", [(EVENING_MS, b"{1}"), (EVENING_MS + 1000, b"{2}"), (EVENING_MS, b"{3}")])
    days.append("status", [(EVENING_MS, b"{4}")])

    assert contents(layout) == {
        "liquidations/2026-09-17.jsonl": b"{1}\n{3}\n",
        "liquidations/2026-09-18.jsonl": b"{2}\n",
        "status/2026-09-17.jsonl": b"{4}\n",
    }


def test_a_torn_end_of_a_crash_is_closed_before_the_next_line(layout: Layout) -> None:
    DayWriter(layout).append("status", [(EVENING_MS, b"{1}")])
    path = layout.day_file("status", EVENING_MS)
    path.write_bytes(b'{1}\n{"tor')
    DayWriter(layout).append("status", [(EVENING_MS, b"{2}")])

    assert path.read_bytes() == b'{1}\n{"tor\n{2}\n'


@pytest.mark.skipif(not hasattr(os, "listdir") or not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_handle_stays_open(layout: Layout) -> None:
    days = DayWriter(layout)
    before = len(os.listdir("/proc/self/fd"))
    for day in range(20):
        days.append("status", [(EVENING_MS + day * 86_400_000, b"{}")])
    days.sync()

    assert len(os.listdir("/proc/self/fd")) == before


def test_what_was_appended_is_synced_once_and_owed_until_it_is(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    days, synced = DayWriter(layout), []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 1:
            raise OSError(28, "No space left on device")
        real(handle)

    days.append("status", [(EVENING_MS, b"{}")])
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        days.sync()
    days.sync()
    done = len(synced)
    days.sync()

    assert done > 1
    assert len(synced) == done


def test_a_refused_line_leaves_no_part_of_it(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    days = DayWriter(layout)
    days.append("status", [(EVENING_MS, b"{1}")])

    def refuse(file: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("l2vault.vault.store.appendfile.write_all", refuse)
        with pytest.raises(OSError, match="No space left"):
            days.append("status", [(EVENING_MS, b"{2}")])
    days.append("status", [(EVENING_MS, b"{3}")])

    assert contents(layout) == {"status/2026-09-17.jsonl": b"{1}\n{3}\n"}


def test_what_stands_before_the_damage_of_a_compressed_day_is_read(layout: Layout) -> None:
    path = layout.day_file("status", EVENING_MS)
    path.parent.mkdir(parents=True)
    lines = [f'{{"number":{at}}}'.encode() for at in range(2000)]
    packed = gzip.compress(b"".join(line + b"\n" for line in lines))
    path.with_name(f"{path.name}.gz").write_bytes(packed[: len(packed) // 2])

    read = DayWriter(layout).newest_lines("status", 1)

    assert 100 < len(read) < 2000 and read == lines[: len(read)]
