"""The promises of a recording as a whole: deterministic, rotated right, and exact around a gap."""

import asyncio
import logging
from pathlib import Path

import pytest

from l2vault.config import Settings
from l2vault.okx.pipeline import Output, Pipeline
from l2vault.recording import feeds as lines
from l2vault.recording.tasks.clock import FIRST_WITHIN_SEC, ClockCheck
from l2vault.vault.journal.events import Lost, Minute, Synced
from support.captured import PAIR, as_swap, book_frames, capture, pair, rewritten, write_frames
from support.reference import seen_by_chain
from support.rig import record_replay

BTC, ETH = PAIR
MIDNIGHT_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, bytes]]:
    """24 s of captures, and the files that one line writes of them when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed")
    captures = pair(folder, seconds=24)
    outcome = record_replay(folder / "vault", captures, Settings(instruments=PAIR, feeds=1))
    return captures, outcome.files()


def test_the_same_replay_writes_the_same_bytes_at_any_speed_and_on_any_number_of_lines(tmp_path: Path) -> None:
    captures = pair(tmp_path, seconds=40)
    settings = Settings(instruments=PAIR)
    at_10 = record_replay(tmp_path / "at_10", captures, settings, speed=10)
    at_max = record_replay(tmp_path / "at_max", captures, settings)
    alone = record_replay(tmp_path / "alone", captures, Settings(instruments=PAIR, feeds=1))
    assert len(at_max.raw_lines(BTC)) == 20
    assert at_10.files() == at_max.files() == alone.files()


def test_a_recorder_that_is_slow_to_begin_misses_nothing_of_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that on a busy machine the laws here say what they say."""
    monkeypatch.setattr(ClockCheck, "first_asked", lambda self: asyncio.sleep(FIRST_WITHIN_SEC))
    outcome = record_replay(tmp_path / "vault", pair(tmp_path, seconds=4), Settings(instruments=PAIR, feeds=1))
    assert outcome.raw_lines(BTC) and outcome.lines(BTC) == outcome.market.expected_lines(BTC, 400)


def test_a_replay_across_midnight_lands_in_the_files_of_its_hours(tmp_path: Path) -> None:
    first = next(book_frames(capture(f"derived/DERIVED_{BTC}_from-binance-20240808.jsonl.zst")))
    by_ms = MIDNIGHT_MS - 20_000 - int(first["data"][0]["ts"])
    outcome = record_replay(tmp_path / "vault", pair(tmp_path, 40, by_ms), Settings(instruments=PAIR))
    assert list(outcome.files()) == [
        f"okx/l2_perps/{inst_id}/{hour}.jsonl" for inst_id in PAIR for hour in ("2025-12-31/23", "2026-01-01/00")
    ]
    for path, content in outcome.files().items():
        date, hour = path.split("/")[3], path.split("/")[4][:2]
        for line in content.splitlines():
            assert line.startswith(f'{{"timestamp_utc":"{date}T{hour}:'.encode())
    for inst_id in PAIR:
        assert outcome.lines(inst_id) == outcome.market.expected_lines(inst_id, 400)


def test_a_replay_across_an_hour_changes_the_file_and_not_the_folder(tmp_path: Path) -> None:
    first = next(book_frames(capture(f"derived/DERIVED_{BTC}_from-binance-20240808.jsonl.zst")))
    by_ms = MIDNIGHT_MS + 13 * 3_600_000 - 10_000 - int(first["data"][0]["ts"])
    outcome = record_replay(tmp_path / "vault", pair(tmp_path, 20, by_ms), Settings(instruments=PAIR))
    names = [path.removeprefix(f"okx/l2_perps/{BTC}/") for path in outcome.files() if BTC in path]
    assert names == ["2026-01-01/12.jsonl", "2026-01-01/13.jsonl"]
    assert outcome.lines(BTC) == outcome.market.expected_lines(BTC, 400)


def test_a_lost_update_gives_one_flagged_line_a_fresh_book_and_no_wrong_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    captures = pair(tmp_path, seconds=40)
    settings = Settings(instruments=PAIR, feeds=1)
    undisturbed = record_replay(tmp_path / "undisturbed", captures, settings, speed=30)
    lost_seq_id = list(book_frames(captures[0]))[300]["data"][0]["seqId"]
    breaking = next(p for p in book_frames(captures[0]) if p["data"][0]["prevSeqId"] == lost_seq_id)
    last_good = list(book_frames(captures[0]))[299]["data"][0]
    _lose_on_the_way(monkeypatch, f'"seqId":{lost_seq_id},'.encode())
    caplog.set_level(logging.INFO)
    outcome = record_replay(tmp_path / "vault", captures, settings, speed=30)

    flagged = [line for line in outcome.lines(BTC) if line["gap_detected"]]
    assert [(line["seqId"], line["prevSeqId"]) for line in flagged] == [
        (last_good["seqId"], breaking["data"][0]["prevSeqId"])
    ]
    expected = undisturbed.market.expected_lines(BTC, 400)
    good = [line for line in outcome.lines(BTC) if not line["gap_detected"]]
    lost = next(event for event in outcome.events if isinstance(event, Lost))
    assert (lost.inst_id, lost.cause) == (BTC, "chain")
    found_again = [event.ts for event in outcome.events if isinstance(event, Synced) and event.inst_id == BTC][1]
    assert found_again is not None and lost.from_ is not None
    kept = [line for line in expected if line["timestamp_utc"] < lost.from_ or line["timestamp_utc"] >= found_again]
    assert good == [seen_by_chain(line, wanted) for line, wanted in zip(good, kept, strict=True)]
    assert good[-1] == expected[-1], "the fresh book came before the end"
    assert outcome.raw_lines(ETH) == undisturbed.raw_lines(ETH)
    assert caplog.text.count("GAP DETECTED") == 1
    assert caplog.text.count("Forced resubscribe") == 1


def test_an_update_lost_on_one_of_two_lines_costs_nothing_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "STAGGER_SEC", 0.0)
    captures = pair(tmp_path, seconds=40)
    settings = Settings(instruments=PAIR, feeds=2)
    undisturbed = record_replay(tmp_path / "undisturbed", captures, settings, speed=30)
    lost_seq_id = list(book_frames(captures[0]))[300]["data"][0]["seqId"]
    _lose_on_the_way(monkeypatch, f'"seqId":{lost_seq_id},'.encode(), once=True)
    outcome = record_replay(tmp_path / "vault", captures, settings, speed=30)
    assert [(e.inst_id, e.cause) for e in outcome.events if isinstance(e, Lost) and e.cause != "disconnect"] == [
        (BTC, "chain")
    ]
    assert len([event for event in outcome.events if isinstance(event, Synced) and event.inst_id == BTC]) == 3
    assert outcome.files() == undisturbed.files()
    minutes = [event for event in outcome.events if isinstance(event, Minute)]
    assert sum(event.conflicting for event in minutes) == 0
    assert sum(event.matched for event in minutes) >= 28, "of 40 slots"


@pytest.mark.parametrize(
    "fault",
    [
        "drop:inst=BTC-USDT-SWAP,at=12s,k=3",
        "duplicate:inst=ETH-USDT-SWAP,at=12s",
        "reorder:inst=BTC-USDT-SWAP,at=12s",
        "corrupt:inst=BTC-USDT-SWAP,at=12s,how=flip",
        "missing:inst=ETH-USDT-SWAP,at=12s,field=bids",
        "ts:inst=BTC-USDT-SWAP,at=12s,how=zero",
        "ts:inst=BTC-USDT-SWAP,at=12s,how=back",
        "snapshot:inst=BTC-USDT-SWAP,at=12s",
        "levels:inst=BTC-USDT-SWAP,at=12s",
        "crossed:inst=BTC-USDT-SWAP,at=12s",
        "checksum:inst=BTC-USDT-SWAP,at=12s,how=wrong,k=3",
        "close:at=12s,code=1006",
        "notice:at=8s,after=12s",
        "cut:at=12s",
    ],
)
def test_a_fault_on_one_of_two_lines_leaves_no_trace_in_the_files(
    fault: str, undisturbed: tuple[list[Path], dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "STAGGER_SEC", 0.0)
    captures, files = undisturbed
    settings = Settings(instruments=PAIR, feeds=2)
    outcome = record_replay(tmp_path / "vault", captures, settings, speed=30, faults=f"{fault},conn=first")
    assert outcome.files() == files


def test_the_flagged_line_is_the_last_good_book_level_for_level(tmp_path: Path) -> None:
    """A real capture of July 2026 whose third message does not chain."""
    source = capture("okx-ws/l2-orderbook-pipeline_2026-07-12_BTC-USDT_books_3msgs.jsonl")
    pushes = [as_swap(push) for push in book_frames(source)]
    settings = Settings(instruments=(BTC,), cadence_sec=0.1)
    up_to_the_gap = write_frames(tmp_path / "two.jsonl", pushes[:2])
    whole = rewritten(source, tmp_path / "three.jsonl", as_swap)
    before = record_replay(tmp_path / "before", [up_to_the_gap], settings)
    outcome = record_replay(tmp_path / "vault", [whole], settings)
    assert len(outcome.lines(BTC)) == 2
    good, flagged = outcome.lines(BTC)
    assert before.lines(BTC) == [good]
    image = before.market.books[BTC].image()
    assert (flagged["bids_top400"], flagged["asks_top400"]) == (image["bids"], image["asks"])
    assert flagged["gap_detected"] is True
    assert (flagged["seqId"], flagged["prevSeqId"]) == (image["seqId"], pushes[2]["data"][0]["prevSeqId"])


def _lose_on_the_way(monkeypatch: pytest.MonkeyPatch, marked: bytes, once: bool = False) -> None:
    """The recorder, or with `once` its faster line, never sees the frame that holds `marked`; the exchange sent it."""
    receive = Pipeline.receive
    lost = []

    def lossy(self: Pipeline, frame: bytes, now_ms: int, recv_us: int = 0) -> list[Output]:
        if marked in frame and not (once and lost):
            lost.append(frame)
            return []
        return receive(self, frame, now_ms, recv_us)

    monkeypatch.setattr(Pipeline, "receive", lossy)
