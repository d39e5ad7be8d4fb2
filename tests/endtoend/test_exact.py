"""Every capture through the exchange, the sockets and the recorder: each line equals a naive rebuild, key by key."""

import logging
from pathlib import Path

import pytest

from l2vault.config import Settings
from l2vault.vault.journal.events import Lost
from support.captured import CASES, as_swap, book_frames, capture, rewritten, shipped
from support.rebuilt import assert_rebuilt
from support.reference import NaiveMarket
from support.rig import Outcome, record_replay

SECONDS = 120
"""So much of each capture. All but the derived pair are shorter."""


@pytest.mark.parametrize("case", CASES)
def test_every_line_equals_a_naive_rebuild_key_by_key_and_one_from_the_changes(case: str, tmp_path: Path) -> None:
    names, inst_ids, cadence_sec, least_lines = CASES[case]
    captures = [rewritten(capture(name), tmp_path / f"{i}.jsonl", as_swap, SECONDS) for i, name in enumerate(names)]
    settings = Settings(instruments=inst_ids, cadence_sec=cadence_sec, changes=True)
    outcome = record_replay(tmp_path / "vault", captures, settings, speed=20)
    for inst_id in inst_ids:
        _assert_exact(outcome, inst_id, 400)
        assert len(outcome.lines(inst_id)) >= least_lines
    assert_rebuilt(outcome, settings)
    assert not [event for event in outcome.events if isinstance(event, Lost) and event.cause != "disconnect"]


SHIPPED = {
    "market_busy_seed7_30s.jsonl.zst": (("BTC-USDT-SWAP", "ETH-USDT-SWAP"), 14),
    "market_quiet_seed4_150s.jsonl.zst": (("SSV-USDT-SWAP", "LQTY-USDT-SWAP"), 10),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_line_of_a_shipped_capture_equals_a_naive_rebuild_of_its_file(name: str, tmp_path: Path) -> None:
    """In every clone: no capture from elsewhere is needed, and the judge reads the file, not the exchange."""
    inst_ids, least_lines = SHIPPED[name]
    outcome = record_replay(tmp_path / "vault", [shipped(name)], Settings(instruments=inst_ids))
    judge = NaiveMarket(2000)
    for push in book_frames(shipped(name)):
        judge.feed(push)
    outcome.market = judge
    for inst_id in inst_ids:
        _assert_exact(outcome, inst_id, 400)
        assert len(outcome.lines(inst_id)) >= least_lines
    assert not [event for event in outcome.events if isinstance(event, Lost) and event.cause != "disconnect"]


def test_the_quiet_capture_holds_heartbeats_and_both_cross_an_hour() -> None:
    pushes = list(book_frames(shipped("market_quiet_seed4_150s.jsonl.zst")))
    data = [push["data"][0] for push in pushes]
    assert {
        push["arg"]["instId"] for push, one in zip(pushes, data, strict=True) if one["seqId"] == one["prevSeqId"]
    } == {
        "SSV-USDT-SWAP",
        "LQTY-USDT-SWAP",
    }
    for name in SHIPPED:
        hours = {int(push["data"][0]["ts"]) // 3_600_000 for push in book_frames(shipped(name))}
        assert len(hours) == 2


def test_a_depth_of_25_writes_the_best_25_under_that_name(tmp_path: Path) -> None:
    source = capture("okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl")
    settings = Settings(instruments=("BTC-USDT-SWAP",), cadence_sec=0.1, depth=25)
    outcome = record_replay(tmp_path / "vault", [rewritten(source, tmp_path / "capture.jsonl", as_swap)], settings)
    _assert_exact(outcome, "BTC-USDT-SWAP", 25)
    assert len(outcome.lines("BTC-USDT-SWAP")[0]["bids_top25"]) == 25


def test_all_290_checksums_of_2022_verify_and_frames_without_sequence_numbers_are_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Verbatim: neither `seqId` nor `prevSeqId`, so the checksum alone vouches and both are null in the lines."""
    source = capture("okx-ws/cryptofeed_2022-05-13_books.log.zst")
    frames = rewritten(source, tmp_path / "capture.jsonl", as_swap)
    settings = Settings(instruments=CASES["2022 as captured"][1], cadence_sec=0.5)
    caplog.set_level(logging.INFO)
    outcome = record_replay(tmp_path / "vault", [frames], settings, verbatim=True)
    for inst_id in settings.instruments:
        _assert_exact(outcome, inst_id, 400)
        assert {line["seqId"] for line in outcome.lines(inst_id)} == {None}
    assert "checksums verified 290" in caplog.text
    assert not [record for record in caplog.records if "mismatch" in record.message]


def test_a_checksum_of_zero_raises_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T1: OKX's state since June 2026."""
    source = capture("okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl")
    settings = Settings(instruments=("BTC-USDT-SWAP",), cadence_sec=0.1)
    caplog.set_level(logging.INFO)
    record_replay(tmp_path / "vault", [rewritten(source, tmp_path / "c.jsonl", as_swap)], settings)
    assert "checksums" not in caplog.text, "nothing out of the ordinary"
    assert not [record for record in caplog.records if "hecksum mismatch" in record.message]


def _assert_exact(outcome: Outcome, inst_id: str, depth: int) -> None:
    expected = outcome.market.expected_lines(inst_id, depth)
    written = outcome.lines(inst_id)
    for line, wanted in zip(written, expected, strict=True):
        assert list(line) == list(wanted)
        for key, value in wanted.items():
            assert line[key] == value, (inst_id, line["timestamp_utc"], key)
