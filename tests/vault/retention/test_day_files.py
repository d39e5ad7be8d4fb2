"""Day files under the owner's policy: compressed a day after their end, deleted by age, a few a pass."""

import gzip
import os
from pathlib import Path

import pytest

from l2vault.book.utc import DAY_MS, utc_ms, utc_text
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Options, RetentionReport, run_retention
from l2vault.vault.store.durable import doomed_path
from l2vault.vault.store.layout import DayKind, Layout

NOW_MS = utc_ms("2024-08-20T15:30:00.000Z")
KINDS: tuple[DayKind, ...] = ("liquidations", "status")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "Vault")
    for kind in KINDS:
        for days_ago in range(9):
            put(layout, kind, days_ago)
    return layout


def put(layout: Layout, kind: DayKind, days_ago: int, data: bytes = b"{}\n", packed: bool = False) -> Path:
    path = layout.day_file(kind, NOW_MS - days_ago * DAY_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(f"{path.name}.gz")
    path.write_bytes(gzip.compress(data) if packed else data)
    written = (NOW_MS - days_ago * DAY_MS) / 1000 if days_ago else NOW_MS / 1000
    os.utime(path, (written, written))
    return path


def retain(layout: Layout, policy: Policy | None = None, **options: bool) -> RetentionReport:
    journal = verb_journal(layout, "retain", lambda: utc_text(NOW_MS), lambda: 0)
    of_pass = Options(free_bytes=lambda: 1 << 50, **options)
    return run_retention(layout, policy or Policy(), PassTime(NOW_MS, NOW_MS), journal, of_pass)


def names(layout: Layout, kind: DayKind) -> list[str]:
    return sorted(path.name[8:] for path in layout.day_folder(kind).iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_is_compressed_a_day_after_its_end_and_deleted_by_age_a_few_a_pass(layout: Layout, kind: DayKind) -> None:
    retain(layout)
    kept = ["15.jsonl.gz", "16.jsonl.gz", "17.jsonl.gz", "18.jsonl.gz", "19.jsonl", "20.jsonl"]
    assert names(layout, kind) == ["14.jsonl", *kept], "two of three days that are due; the third waits"
    retain(layout)
    assert names(layout, kind) == kept
    assert gzip.decompress((layout.day_folder(kind) / "2024-08-18.jsonl.gz").read_bytes()) == b"{}\n"
    noted = [event for event in read_journal(layout) if isinstance(event, Retained) and kind in event.file]
    assert [event.action for event in noted] == ["delete", "delete", *["compress"] * 4, "delete"]


def test_all_that_is_due_goes_at_once_if_asked(layout: Layout) -> None:
    retain(layout, at_once=True)
    assert names(layout, "status")[0] == "15.jsonl.gz"


def test_a_dry_run_names_the_steps_and_touches_nothing(layout: Layout) -> None:
    report = retain(layout, dry_run=True)
    assert len(report.days) == 12
    assert "20.jsonl" in names(layout, "status") and len(names(layout, "status")) == 9


def test_where_hours_are_archived_day_files_stay_as_long_as_archives(layout: Layout) -> None:
    retain(layout, Policy(archive_days=30))
    assert len(names(layout, "status")) == 9
    retain(layout, Policy(archive_days=7), at_once=True)
    assert names(layout, "status")[0] == "13.jsonl.gz"


def test_late_lines_beside_a_compressed_day_are_joined_to_it(layout: Layout) -> None:
    put(layout, "status", 3, b"{}\n", packed=True)
    put(layout, "status", 3, b'{"late":1}\n')
    retain(layout)
    assert gzip.decompress((layout.day_folder("status") / "2024-08-17.jsonl.gz").read_bytes()) == b'{}\n{"late":1}\n'
    assert not (layout.day_folder("status") / "2024-08-17.jsonl").exists()


def test_a_day_that_is_being_written_is_left_and_one_of_another_name_too(layout: Layout) -> None:
    path = put(layout, "status", 3)
    os.utime(path, (NOW_MS / 1000, NOW_MS / 1000))
    (layout.day_folder("status") / "notes.txt").write_bytes(b"x")
    retain(layout)
    assert path.exists()
    assert (layout.day_folder("status") / "notes.txt").exists()


def test_what_a_killed_pass_left_is_cleared(layout: Layout) -> None:
    path = put(layout, "status", 8)
    os.replace(path, doomed_path(path))
    (layout.day_folder("status") / ".2024-08-17.1.packing").write_bytes(b"x")
    retain(layout)
    assert [path.name for path in layout.day_folder("status").glob(".*")] == []
    noted = [event for event in read_journal(layout) if isinstance(event, Retained)]
    assert ("delete", "raw/okx/status/2024-08-12.jsonl") in {(event.action, event.file) for event in noted}


def test_one_that_cannot_go_is_a_failure_and_the_others_go_on(layout: Layout) -> None:
    path = layout.day_file("status", NOW_MS - 3 * DAY_MS)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(b"damaged")
    report = retain(layout)
    assert [failure.file for failure in report.failures] == ["raw/okx/status/2024-08-17.jsonl"]
    assert path.exists()
    assert "16.jsonl.gz" in names(layout, "status")
