"""Room kept on the disk for the journal: a full disk is told in the journal why its lines are missing."""

import errno
from pathlib import Path
from typing import NamedTuple

import pytest

from l2vault.book.utc import utc_text
from l2vault.vault.coverage.compute import Lines, cover
from l2vault.vault.coverage.sync_history import sync_history
from l2vault.vault.journal import log, reserve
from l2vault.vault.journal.events import Alive, Started, Synced, UncleanEnd, WriteFailed
from l2vault.vault.journal.log import Journal, Place, read_journal, read_ordered, start_of_run
from l2vault.vault.journal.reserve import PART_OF_FREE, RESERVE_BYTES, Reserve
from l2vault.vault.store.layout import Layout

BTC = "BTC-USDT-SWAP"
AT_MS = 1_767_225_600_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class SmallDisk:
    """A disk of `size` bytes that holds what is under `root`."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        self.other_bytes = 0

    @property
    def free(self) -> int:
        used = sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())
        return max(0, self.size - used - self.other_bytes)

    def usage(self, path: Path) -> Usage:
        assert path.is_relative_to(self.root)
        return Usage(self.size, self.size - self.free, self.free)

    def write_all(self, file: object, data: bytes) -> None:
        room = self.free
        file.write(data[:room])  # type: ignore[attr-defined]
        if room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallDisk:
    (tmp_path / "meta" / "okx").mkdir(parents=True)
    disk = SmallDisk(tmp_path, 100 << 20)
    monkeypatch.setattr(log, "write_all", disk.write_all)
    monkeypatch.setattr(reserve.shutil, "disk_usage", disk.usage)
    return disk


def at(second: int) -> str:
    return utc_text(AT_MS + second * 1000)


def test_what_the_disk_refuses_is_written_into_the_room_that_was_kept(disk: SmallDisk) -> None:
    layout = Layout(disk.root)
    journal = Journal(layout)
    journal.append(Alive(at(0)))
    journal.keep_room()
    assert layout.journal_reserve.stat().st_size == RESERVE_BYTES
    disk.other_bytes = disk.free - 20
    events = [Alive(at(second)) for second in range(1, 300)]
    for event in events:
        journal.append(event)
    assert list(read_journal(layout)) == [Alive(at(0)), *events]
    assert 0 < layout.journal_reserve.stat().st_size < RESERVE_BYTES, "no more was given than was needed"


def test_where_nothing_is_left_of_it_the_journal_refuses_and_it_is_filled_once_there_is_plenty_again(
    disk: SmallDisk,
) -> None:
    layout = Layout(disk.root)
    journal = Journal(layout)
    journal.keep_room()
    disk.other_bytes = disk.free
    taken = 0
    with pytest.raises(OSError, match="No space left"):
        while True:
            journal.append(WriteFailed(at(taken), BTC, 1, at(0), at(0), "x" * 50_000))
            taken += 1
    assert 15 <= taken <= RESERVE_BYTES // 50_000
    journal.keep_room()
    assert layout.journal_reserve.stat().st_size < 60_000, "a full disk keeps nothing back"
    disk.other_bytes = 0
    journal.keep_room()
    assert layout.journal_reserve.stat().st_size == RESERVE_BYTES


def test_of_a_small_disk_a_small_part_is_kept(disk: SmallDisk) -> None:
    disk.size = 1 << 20
    kept = Reserve(disk.root / "meta" / "okx" / "journal.reserve")
    kept.fill()
    kept.fill()
    assert (disk.size // PART_OF_FREE) * 0.9 < disk.size - disk.free <= disk.size // PART_OF_FREE


def test_a_disk_that_is_broken_rather_than_full_is_given_nothing(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(disk.root)
    journal = Journal(layout)
    journal.keep_room()

    def broken(file: object, data: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(log, "write_all", broken)
    with pytest.raises(OSError, match="Input/output"):
        journal.append(Alive(at(0)))
    assert layout.journal_reserve.stat().st_size == RESERVE_BYTES


def test_slots_lost_to_a_full_disk_have_that_cause_though_the_run_was_killed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    journal = Journal(layout)
    journal.append(Started(at(0), "0.2", "h", 1, "p", [BTC], 2000, 400, 1, schema=2))
    journal.append(Synced(at(0), 1, BTC, at(0), 5))
    lost = [utc_text(AT_MS + second * 1000 - 55) for second in (4, 6, 14)]
    journal.append(WriteFailed(at(4), BTC, 1, lost[0], lost[0], "No space left"))
    journal.append(WriteFailed(at(15), BTC, 5, *lost[1:], "No space left"))
    journal.append(Alive(at(15)))
    after = Journal(layout)
    after.append(start_of_run(at(60), "recorder", Place(journal.run, journal.n)))
    after.append(UncleanEnd(at(60), at(15)))
    history = sync_history(read_ordered(layout)[0].entries, BTC)
    times = [AT_MS, AT_MS + 2000]
    coverage = cover(history, BTC, Lines(times, AT_MS - 1, AT_MS + 60_000), (AT_MS, AT_MS + 30_000))
    found = [(each.state, each.cause, (each.first_ms - AT_MS) // 1000, each.slots) for each in coverage.stretches]
    assert found == [("recorded", "", 0, 2), ("missing", "disk_full", 4, 6), ("missing", "our_restart", 16, 7)]
