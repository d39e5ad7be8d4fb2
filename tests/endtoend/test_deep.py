"""Deep books from REST to the files and back: each stored sample is what the exchange served, whatever goes wrong."""

import shutil
from pathlib import Path

import pytest

import l2vault
from l2vault.book.utc import utc_text
from l2vault.config import Settings
from l2vault.vault.journal.deep_events import DeepMissed
from l2vault.vault.journal.events import HourClosed, TaskFailed
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import Layout
from support.deep_rig import ask_at_once, clock_before_midnight, findings, noted, pass_sec, recording
from support.deep_world import DOGE, DeepWorld, lines_in, samples_in, served_sides
from support.manual_clock import until

SETTINGS = Settings(instruments=(DOGE,), deep=(DOGE,), feeds=1, retention=False, columns=False, context=False)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_at_once(monkeypatch)


async def test_each_stored_sample_is_the_book_that_was_served(tmp_path: Path) -> None:
    clock = clock_before_midnight()
    torn, refused = "rest:path=books-full,answer=torn,request=2,k=1", "rest:path=books-full,answer=429,request=2,k=1"
    world = DeepWorld(clock.wall_ms, f"{torn};{refused}")
    async with recording(tmp_path, world, clock, SETTINGS):
        await pass_sec(clock, 145)

    stored = samples_in(tmp_path)
    assert len(stored) == 5 and stored.keys() == world.served.keys()
    for ts_ms, sides in stored.items():
        assert sides == served_sides(world.served[ts_ms])
        assert len(sides["bids"]) == len(sides["asks"]) == 5000
        for side, channel in world.shown[ts_ms].items():
            assert len(channel) == 400 and channel.items() <= sides[side].items()
    lines = lines_in(tmp_path)
    whole = [line["timestamp_utc"] for line in lines if line["action"] == "snapshot"]
    hours = [line["timestamp_utc"][:13] for line in lines]
    assert [text[:13] for text in whole] == sorted(set(hours)) and len(whole) == 2, "one at the head of each hour"
    assert all(line["seqId"] is None and line["recv_utc"][:23] >= line["timestamp_utc"][:23] for line in lines)
    first_ms, second_ms, *_ = stored
    begun, ended = noted(tmp_path, DeepMissed)
    assert (begun.from_, begun.cause, begun.to) == (utc_text(first_ms), "unavailable", None)
    assert (ended.from_, ended.to, ended.samples) == (utc_text(first_ms), utc_text(second_ms), 2)
    (closed,) = [event for event in read_journal(Layout(tmp_path)) if isinstance(event, HourClosed)]
    assert closed.kind == "deep" and closed.lines == 3
    assert findings(tmp_path, clock.wall_ms()) == []

    deep = l2vault.open(tmp_path).deep(DOGE)
    assert [sample.ts_ms for sample in deep] == list(stored)
    (hole,) = [each for each in deep.coverage.stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (first_ms + 45_000, second_ms)
    assert (hole.state, hole.cause) == ("missing", "unavailable")


async def test_after_a_kill_the_file_goes_on_with_a_whole_book_behind_what_was_torn(tmp_path: Path) -> None:
    clock = clock_before_midnight()
    world = DeepWorld(clock.wall_ms)
    live, left = tmp_path / "live", tmp_path / "left"
    async with recording(live, world, clock, SETTINGS) as recorder:
        await pass_sec(clock, 35)
        await until(lambda: len(lines_in(live)) == 2 and not recorder._disk.waiting)
        shutil.copytree(live, left)
    (file,) = (left / "raw" / "okx" / "books_full").rglob("*.gz")
    file.write_bytes(file.read_bytes()[:-4000])
    (first_ms, _) = world.served

    async with recording(left, world, clock, SETTINGS):
        await pass_sec(clock, 35)

    stored, lines = samples_in(left), lines_in(left)
    assert [line["action"] for line in lines[:2]] == ["snapshot", "snapshot"]
    again_ms = sorted(stored)[1]
    assert stored.keys() == {first_ms, *(ts_ms for ts_ms in world.served if ts_ms >= again_ms)}
    assert all(sides == served_sides(world.served[ts_ms]) for ts_ms, sides in stored.items())
    (hole,) = noted(left, DeepMissed)
    assert (hole.from_, hole.to, hole.cause) == (utc_text(first_ms), utc_text(again_ms), "our_restart")
    assert [path.name[:10] for path in (left / "meta" / "okx" / "torn").iterdir()] == ["books_full"]
    assert findings(left, clock.wall_ms()) == []


async def test_what_its_code_raises_ends_nothing_and_the_next_sample_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clock_before_midnight()
    world = DeepWorld(clock.wall_ms)
    write = ChangeWriter.write
    async with recording(tmp_path, world, clock, SETTINGS):
        await until(lambda: len(lines_in(tmp_path)) == 1)

        def fail(*args: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(ChangeWriter, "write", fail)
        await pass_sec(clock, 30)
        await until(lambda: noted(tmp_path, TaskFailed))
        monkeypatch.setattr(ChangeWriter, "write", write)
        await pass_sec(clock, 35)

    assert [line["action"] for line in lines_in(tmp_path)] == ["snapshot", "snapshot"]
    (failed,) = noted(tmp_path, TaskFailed)
    assert failed.task == "deep" and "a fault of ours" in failed.error
    assert [(event.cause, event.to is None) for event in noted(tmp_path, DeepMissed)] == [("task_failed", False)]
