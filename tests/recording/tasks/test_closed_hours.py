"""Column files while recording: a child makes them of closed hours, readers take them, and only while they hold."""

import asyncio
import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("pyarrow", reason="columns need the analysis extra")

from l2vault.book.snapshot import Snapshot
from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.errors import VaultError
from l2vault.recorder import Recorder
from l2vault.recording.tasks import closed_hours, closed_hours_child
from l2vault.recording.tasks.closed_hours import (
    EVERY_SEC,
    FIRST_AFTER_SEC,
    SOON_SEC,
    ClosedHours,
    can_make_columns,
)
from l2vault.vault.archive import build, twins
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.coverage import checked
from l2vault.vault.coverage.checked import ColumnWork, check_hours, checked_hours, column_work, columns_of
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.retention.plan import SETTLE_MS, Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import locked, run_retention
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.durable import DRAFT_SUFFIX, hidden
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, contents, journal_of, line, put, started

FIRST_MS = HOUR_AT_MS
END_MS = FIRST_MS + 3 * HOUR_MS
NOW_MS = FIRST_MS + 4 * HOUR_MS


def books(hour: int, lines: int = 20) -> list[Snapshot]:
    """The best ask's size tells hour and line."""
    asks = [[("100.5", str(1000 * hour + at + 1), "0", "3")] for at in range(lines)]
    return [line(hour * HOUR_MS + at * 2000, asks=asks[at]) for at in range(lines)]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three hours, the middle one compressed."""
    layout = Layout(tmp_path / "Vault")
    for hour in range(3):
        put(layout, books(hour), packed=hour == 1)
    journal_of(layout, started(-1))
    return layout


def levels(layout: Layout) -> list[dict[str, object]]:
    table = open_vault(layout.root).levels(INST, FIRST_MS, END_MS).arrow
    return sorted(table.to_pylist(), key=str)


def files(layout: Layout) -> list[str]:
    return sorted(path.relative_to(layout.root).as_posix() for path in layout.root.glob("columns/**/*.parquet"))


def has_columns(layout: Layout, hour: int) -> bool:
    forms = Catalog(layout).hour(INST, FIRST_MS + hour * HOUR_MS)
    return columns_of(layout, checked_hours(layout).hour(forms), forms) is not None


def make(layout: Layout) -> int:
    with locked(layout):
        check_hours(layout, NOW_MS)
        return twins.make_columns(layout, column_work(layout, NOW_MS))


def test_a_reader_gets_from_columns_what_it_gets_from_lines(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = levels(layout)
    assert make(layout) == 2
    assert len(files(layout)) == 4, "levels and snapshots of the two closed hours"
    made: list[int] = []
    real = build.build_hour

    def noted(parsed: object, inst_id: str, hour_ms: int, setting: object) -> Hour:
        made.append(hour_ms)
        return real(parsed, inst_id, hour_ms, setting)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "build_hour", noted)
    assert levels(layout) == before
    assert made == [FIRST_MS + 2 * HOUR_MS], "only the newest hour is read from its lines"


def test_columns_of_other_lines_are_passed_by_and_made_anew(layout: Layout) -> None:
    make(layout)
    path = layout.hour_file(INST, FIRST_MS)
    path.write_bytes(path.read_bytes() + contents(books(0, 30)[20:]))
    assert not has_columns(layout, 0)
    longer = levels(layout)
    assert make(layout) == 1
    assert has_columns(layout, 0)
    assert levels(layout) == longer


def test_after_compression_the_same_files_count_again(layout: Layout) -> None:
    make(layout)
    archived = layout.columns.archived_hour(INST, FIRST_MS)
    before = archived.levels.stat().st_mtime_ns
    path = layout.hour_file(INST, FIRST_MS)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert not has_columns(layout, 0)
    assert make(layout) == 1
    assert has_columns(layout, 0)
    assert archived.levels.stat().st_mtime_ns == before, "they were not written again"


@pytest.mark.parametrize("part", ["levels", "snapshots"])
def test_damaged_columns_cost_nothing_but_time(layout: Layout, part: str) -> None:
    before = levels(layout)
    make(layout)
    path = getattr(layout.columns.archived_hour(INST, FIRST_MS), part)
    facts = path.stat()
    path.write_bytes(bytes(facts.st_size))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert has_columns(layout, 0), "nothing shows from outside"
    assert levels(layout) == before
    path.write_bytes(b"")
    assert not has_columns(layout, 0)
    assert make(layout) == 1
    assert levels(layout) == before


def test_columns_go_with_their_hour(layout: Layout) -> None:
    make(layout)
    journal = verb_journal(layout, "retention", lambda: "2024-08-20T14:00:00.000Z", lambda: 0)
    policy = Policy(compress_after_hours=None, delete_after_days=2 / 24)
    report = run_retention(layout, policy, PassTime(NOW_MS + HOUR_MS, NOW_MS + HOUR_MS), journal)
    assert [done.action.kind for done in report.done].count("delete") >= 1
    held = {path.parent.parent.name for path in layout.raw.glob("*/*/*")}
    assert held == {INST} or not held
    for hour in range(2):
        gone = not Catalog(layout).hour(INST, FIRST_MS + hour * HOUR_MS).raw
        archived = layout.columns.archived_hour(INST, FIRST_MS + hour * HOUR_MS)
        assert gone == (not archived.levels.exists()) == (not archived.snapshots.exists())


def test_an_hour_waits_until_what_was_quiet_to_its_end_is_noted(layout: Layout) -> None:
    """Columns made before would call those slots unknown for good."""
    ended_ms = FIRST_MS + 2 * HOUR_MS
    assert ClosedHours(layout, ClockAt(ended_ms + SETTLE_MS - 1), True).work() == 1
    assert has_columns(layout, 0) and not has_columns(layout, 1)
    assert ClosedHours(layout, ClockAt(ended_ms + SETTLE_MS), True).work() == 1
    assert has_columns(layout, 1)


def test_the_draft_of_a_child_that_was_ended_goes(layout: Layout) -> None:
    make(layout)
    draft = hidden(layout.columns.archived_hour(INST, FIRST_MS).levels, DRAFT_SUFFIX)
    draft.write_bytes(b"half of it")
    make(layout)
    assert not draft.exists() and has_columns(layout, 0)


def test_columns_do_not_outlive_a_deletion_by_hand(layout: Layout) -> None:
    task = ClosedHours(layout, ClockAt(NOW_MS), True)
    assert task.work() == 2
    layout.hour_file(INST, FIRST_MS).unlink()
    assert task.work() == 0
    assert [name for name in files(layout) if "/03.parquet" in name] == []
    assert has_columns(layout, 1)


def test_the_archive_is_left_alone(layout: Layout) -> None:
    path = layout.hour_file(INST, FIRST_MS)
    file = layout.parse_hour_file(path)
    assert file is not None
    archive_hour(layout, file)
    before = {path: path.read_bytes() for path in layout.archive.rglob("*.parquet")}
    make(layout)
    assert {path: path.read_bytes() for path in layout.archive.rglob("*.parquet")} == before
    assert [name for name in files(layout) if "/03.parquet" in name] == [], "an archived hour needs no columns"


def test_the_child_makes_them_and_gives_way_to_a_retention_pass(layout: Layout) -> None:
    task = ClosedHours(layout, ClockAt(NOW_MS), True)
    with locked(layout):
        assert task.work() == 0
    assert task.work() == 2
    assert task.work() == 0, "nothing is left to do"
    assert has_columns(layout, 0) and has_columns(layout, 1)


def test_without_the_libraries_a_child_checks_hours_all_the_same_and_loads_none(layout: Layout) -> None:
    assert ClosedHours(layout, ClockAt(NOW_MS), False).work() == 0
    assert files(layout) == []
    held = Catalog(layout).hours(INST)
    assert [checked_hours(layout).hour(forms) is not None for forms in held] == [True, True, False]
    words = ["child", str(layout.root), str(NOW_MS)]
    code = f"import sys; sys.argv = {words}; from {closed_hours_child.__name__} import main; main(); "
    code += "print(*[name for name in ('numpy', 'pyarrow', 'polars') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["0"]


def test_where_more_hours_wait_than_one_child_checks_the_next_comes_soon(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "nice", lambda by: by, raising=False)
    monkeypatch.setattr(sys, "argv", ["child", str(layout.root), str(NOW_MS)])
    for module in (checked, closed_hours_child):
        monkeypatch.setattr(module, "MOST_HOURS", 1)
    said = []
    for _ in range(3):
        closed_hours_child.main()
        said.append(capsys.readouterr().out)
    assert said == ["1\n", "1\n", "0\n"], "two closed hours, one at a time"


@pytest.mark.parametrize(("checked_now", "more"), [(0, "0\n"), (1, "0\n"), (2, "1\n")])
def test_the_same_of_hours_of_trades(
    layout: Layout,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checked_now: int,
    more: str,
) -> None:
    monkeypatch.setattr(os, "nice", lambda by: by, raising=False)
    monkeypatch.setattr(sys, "argv", ["child", str(layout.root), str(NOW_MS)])
    monkeypatch.setattr(closed_hours_child, "MOST_TRADE_HOURS", 2)
    monkeypatch.setattr(closed_hours_child, "check_trades", lambda layout, before_ms: checked_now)
    closed_hours_child.main()
    assert capsys.readouterr().out == more


def test_a_child_that_fails_is_named(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_hours, "_CHILD", "l2vault.no_such_module")
    with pytest.raises(VaultError, match="no_such_module"):
        ClosedHours(layout, ClockAt(NOW_MS), True).work()


async def test_it_comes_again_soon_where_there_was_much_and_every_ten_minutes_otherwise(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, answers = ClockAt(NOW_MS), [24, 24, 0, 0]
    task = ClosedHours(layout, clock, True)
    monkeypatch.setattr(task, "work", lambda: answers.pop(0))
    with pytest.raises(IndexError):
        await task.run()
    assert clock.slept == [FIRST_AFTER_SEC, SOON_SEC, SOON_SEC, EVERY_SEC, EVERY_SEC]


async def test_a_child_at_work_ends_with_the_recorder(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    class Working:
        returncode = -15

        def __init__(self) -> None:
            self.ended = threading.Event()
            started.append(self)
            began.set()

        def communicate(self, given: bytes) -> tuple[bytes, bytes]:
            assert self.ended.wait(10)
            return b"", b"terminated"

        def terminate(self) -> None:
            self.ended.set()

    started: list[Working] = []
    began = threading.Event()
    monkeypatch.setattr("l2vault.recording.child.start_child", lambda words, module, **popen: Working())
    running = asyncio.create_task(ClosedHours(layout, ClockAt(NOW_MS), True).run())
    assert await asyncio.to_thread(began.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert started[0].ended.is_set() and len(started) == 1


@pytest.mark.parametrize(
    ("columns", "is_there", "retention", "runs", "makes_columns"),
    [
        (True, True, False, True, True),
        (True, False, True, True, False),
        (False, True, True, True, False),
        (False, True, False, False, False),
        (True, False, False, False, False),
    ],
)
def test_the_recorder_runs_it_by_settings_and_library(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: bool,
    is_there: bool,
    retention: bool,
    runs: bool,
    makes_columns: bool,
) -> None:
    monkeypatch.setattr("l2vault.recorder.can_make_columns", lambda: is_there)
    settings = Settings(columns=columns, retention=retention)
    tasks = dict(Recorder(settings, Layout(tmp_path), Clock(), Random(1), lambda status: None)._optional())
    assert ("closed hours" in tasks) == runs
    if runs:
        assert tasks["closed hours"].__self__._makes_columns == makes_columns


def test_whether_the_libraries_are_there_is_told_without_loading_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_make_columns(), "as the tests have it"
    monkeypatch.setattr(closed_hours, "_NEEDED", ("numpy", "pyarrow"))
    assert can_make_columns()


@pytest.mark.skipif(sys.platform == "win32", reason="niceness is POSIX's")
def test_the_child_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    monkeypatch.setattr("os.nice", said.append)
    closed_hours_child._give_way()
    assert said == [10]


class ClockAt(Clock):
    """Stands still, and says how long it was asked to sleep."""

    def __init__(self, wall_ms: int) -> None:
        super().__init__()
        self.at_ms = wall_ms
        self.slept: list[float] = []

    def wall_ms(self) -> int:
        return self.at_ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize("content", [b"", b"rubbish\n"], ids=["no line", "no line that reads"])
def test_an_hour_of_which_no_columns_can_be_made_is_not_tried_again_and_again(layout: Layout, content: bytes) -> None:
    make(layout)
    layout.hour_file(INST, FIRST_MS).write_bytes(content)
    with locked(layout):
        check_hours(layout, NOW_MS)
    assert column_work(layout, NOW_MS) == ColumnWork([], [])
    assert make(layout) == 0
    assert not has_columns(layout, 0) and has_columns(layout, 1)


def test_an_hour_whose_lines_make_no_columns_is_named_once_and_tried_again_when_it_changes(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lines read, and its levels do not give them back."""
    unsorted = [("101", "1", "0", "1"), ("100.5", "1", "0", "1")]
    path = put(layout, [line(0, asks=unsorted)])
    task = ClosedHours(layout, ClockAt(NOW_MS), True)
    assert task.work() == 1, "the other closed hour"
    assert [record.getMessage().count(path.name) for record in caplog.records] == [2], "the hour, and where in it"
    assert task.work() == 0 and len(caplog.records) == 1
    assert column_work(layout, NOW_MS) == ColumnWork([], [])
    put(layout, books(0))
    assert make(layout) == 1 and has_columns(layout, 0)
