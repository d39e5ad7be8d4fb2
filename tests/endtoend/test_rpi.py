"""RPI books from REST to the files and back, beside deep books: each stored sample is what the exchange served."""

import argparse
import gzip
import logging
from pathlib import Path

import pytest

import l2vault
from l2vault.book.price import price_key
from l2vault.book.utc import utc_text
from l2vault.config import Settings, load_settings
from l2vault.vault.archive.write import archive_hour, restore_hour
from l2vault.vault.journal.deep_events import DeepMissed, RpiMissed
from l2vault.vault.journal.events import HourClosed, TaskFailed
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import Layout
from l2vault.verbs import record
from support.deep_rig import (
    ask_at_once,
    clock_before_midnight,
    findings,
    noted,
    pass_sec,
    recording,
)
from support.deep_world import DOGE, DeepWorld, lines_in, samples_in, served_sides
from support.manual_clock import until

SETTINGS = Settings(instruments=(DOGE,), rpi=(DOGE,), feeds=1, retention=False, columns=False, context=False)
BOTH = Settings(**{name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__} | {"deep": (DOGE,)})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_at_once(monkeypatch)


def rpi_in(root: Path) -> list[dict]:
    return lines_in(root, folder="books_rpi")


async def test_each_stored_sample_is_the_book_that_was_served_and_deep_books_go_on_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = clock_before_midnight()
    torn, refused = "rest:path=books-rpi,answer=torn,request=2,k=1", "rest:path=books-rpi,answer=429,request=2,k=1"
    world = DeepWorld(clock.wall_ms, f"{torn};{refused}")
    async with recording(tmp_path, world, clock, BOTH):
        await pass_sec(clock, 145)

    stored = samples_in(tmp_path, folder="books_rpi")
    assert len(stored) == 5 and stored.keys() == world.served_rpi.keys()
    for ts_ms, sides in stored.items():
        assert sides == served_sides(world.served_rpi[ts_ms])
        for side, channel in world.shown[ts_ms].items():
            organic = {price: parts for price, parts in sides[side].items() if parts[1] != "0"}
            assert len(sides[side]) == 400 and organic.keys() <= channel.keys()
            assert all(parts[1] == channel[price][0] for price, parts in organic.items())
            assert any(price_key(total) > price_key(own) for total, own, _ in sides[side].values())
    lines = rpi_in(tmp_path)
    assert {line["channel"] for line in lines} == {"books-rpi"}
    assert [line["seqId"] for line in lines] == [row["seqId"] for row in world.served_rpi.values()]
    whole = [line["timestamp_utc"][:13] for line in lines if line["action"] == "snapshot"]
    assert whole == sorted({line["timestamp_utc"][:13] for line in lines}) and len(whole) == 2, "one each hour"

    first_ms, second_ms, *_ = stored
    begun, ended = noted(tmp_path, RpiMissed)
    assert (begun.from_, begun.cause, begun.to) == (utc_text(first_ms), "unavailable", None)
    assert (ended.from_, ended.to, ended.samples) == (utc_text(first_ms), utc_text(second_ms), 2)
    assert noted(tmp_path, DeepMissed) == [] and len(samples_in(tmp_path)) == 5
    assert {(event.kind, event.lines) for event in noted(tmp_path, HourClosed)} == {("deep", 3), ("rpi", 3)}
    assert findings(tmp_path, clock.wall_ms()) == []
    assert "RPI books: DOGE-USDT-SWAP each 30 s by REST, 400 levels a side, into raw/okx/books_rpi" in caplog.text
    assert "up to 30 MB a day on the disk and 0.1 GB a day received" in caplog.text

    rpi = l2vault.open(tmp_path).rpi(DOGE)
    assert [sample.ts_ms for sample in rpi] == list(stored)
    for sample in rpi:
        row = world.served_rpi[sample.ts_ms]
        assert [list(level) for level in sample.bids] == row["bids"]
        assert [list(level) for level in sample.asks] == row["asks"]
    (hole,) = [each for each in rpi.coverage.stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (first_ms + 45_000, second_ms)
    assert (hole.state, hole.cause) == ("missing", "unavailable")


async def test_an_hour_goes_to_the_archive_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    clock = clock_before_midnight()
    world = DeepWorld(clock.wall_ms)
    async with recording(tmp_path, world, clock, SETTINGS):
        await pass_sec(clock, 145)
    before = {sample.ts_ms: sample for sample in l2vault.open(tmp_path).rpi(DOGE)}
    layout = Layout(tmp_path).of("rpi")
    for path in sorted(layout.raw.rglob("*.jsonl.gz")):
        written = gzip.decompress(path.read_bytes())
        hour = layout.parse_hour_file(path)
        assert hour is not None
        archive_hour(layout, hour)
        path.unlink()
        back = tmp_path / "back.jsonl"
        restore_hour(layout.archived_hour(DOGE, hour.hour_ms), back)
        assert back.read_bytes() == written
        back.unlink()
    assert {sample.ts_ms: sample for sample in l2vault.open(tmp_path).rpi(DOGE)} == before
    assert len(before) == 5
    assert findings(tmp_path, clock.wall_ms()) == []


async def test_an_exchange_that_has_no_rpi_book_of_it_is_noted_and_nothing_is_stored(tmp_path: Path) -> None:
    clock = clock_before_midnight()
    world = DeepWorld(clock.wall_ms, "rest:path=books-rpi,answer=51001,request=1,k=99")
    async with recording(tmp_path, world, clock, BOTH):
        await pass_sec(clock, 65)
    assert rpi_in(tmp_path) == [] and len(lines_in(tmp_path)) == 3
    (begun,) = noted(tmp_path, RpiMissed)
    assert (begun.inst_id, begun.from_, begun.cause, begun.to) == (DOGE, None, "refused", None)
    assert "books-rpi" in begun.detail and "51001" in begun.detail
    assert noted(tmp_path, DeepMissed) == []
    assert findings(tmp_path, clock.wall_ms()) == []


async def test_a_fault_in_its_code_ends_neither_the_run_nor_deep_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clock_before_midnight()
    world = DeepWorld(clock.wall_ms)
    write = ChangeWriter.write
    async with recording(tmp_path, world, clock, BOTH):
        await until(lambda: len(rpi_in(tmp_path)) == 1 and len(lines_in(tmp_path)) == 1)

        def fail(self: ChangeWriter, line: object, *args: object) -> None:
            if line.kind == "rpi":  # type: ignore[attr-defined]
                raise RuntimeError("a fault of ours")
            write(self, line, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(ChangeWriter, "write", fail)
        await pass_sec(clock, 30)
        await until(lambda: noted(tmp_path, TaskFailed))
        monkeypatch.setattr(ChangeWriter, "write", write)
        await pass_sec(clock, 35)

    assert [line["action"] for line in rpi_in(tmp_path)] == ["snapshot", "snapshot"]
    assert [line["action"] for line in lines_in(tmp_path)] == ["snapshot", "update", "update"]
    (failed,) = noted(tmp_path, TaskFailed)
    assert failed.task == "rpi" and "a fault of ours" in failed.error
    assert [(event.cause, event.to is None) for event in noted(tmp_path, RpiMissed)] == [("task_failed", False)]
    assert noted(tmp_path, DeepMissed) == []
    stored = samples_in(tmp_path, folder="books_rpi")
    assert all(sides == served_sides(world.served_rpi[ts_ms]) for ts_ms, sides in stored.items())


def test_the_flag_of_record_names_the_instruments() -> None:
    parser = argparse.ArgumentParser()
    record.configure(parser)
    args = parser.parse_args(["--inst", DOGE, "--inst", "BTC-USDT-SWAP", "--rpi", DOGE, "--rpi", "btc-usdt-swap"])
    flags = {name: value for name, value in vars(args).items() if name in Settings.__struct_fields__}
    assert load_settings(flags, {}, None, {}, Path("nowhere")).rpi == (DOGE, "BTC-USDT-SWAP")
    assert load_settings({}, {}, None, {}, Path("nowhere")).rpi == ()
