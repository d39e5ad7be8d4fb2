"""Every capture through the recorder with changes: books rebuilt from them are the recorded lines, byte for byte."""

from itertools import zip_longest
from pathlib import Path

import msgspec
import pytest

from l2vault.book.snapshot import to_line
from l2vault.config import Settings
from l2vault.vault.journal.change_events import ChangesLost, Latency
from l2vault.vault.reading.vault import open_vault
from support.captured import CASES, as_swap, book_frames, capture, rewritten, shipped
from support.rig import Outcome, record_replay

SHIPPED = {
    "market_busy_seed7_30s.jsonl.zst": ("BTC-USDT-SWAP", "ETH-USDT-SWAP"),
    "market_quiet_seed4_150s.jsonl.zst": ("SSV-USDT-SWAP", "LQTY-USDT-SWAP"),
}
EARLY_MS, LATE_MS = 10**12, 10**13 - 1


def assert_rebuilt(outcome: Outcome, settings: Settings) -> None:
    vault = open_vault(outcome.root)
    kept = vault.change_catalog.instruments()
    assert kept
    for inst_id in settings.instruments:
        if inst_id not in kept:  # its one full book was never believed
            assert outcome.raw_lines(inst_id) == []
            continue
        rebuilt = vault.snapshots(inst_id, EARLY_MS, LATE_MS, "changes", settings.cadence_ms)
        lines = [to_line(snapshot if settings.depth == 400 else _cut(snapshot, settings.depth)) for snapshot in rebuilt]
        differing = [pair for pair in zip_longest(lines, outcome.raw_lines(inst_id)) if pair[0] != pair[1]]
        assert [tuple(line and line[:60] + line[-90:] for line in pair) for pair in differing] == []
        assert rebuilt.findings == []


def _cut(snapshot: object, depth: int) -> object:
    return msgspec.structs.replace(snapshot, depth=depth, bids=snapshot.bids[:depth], asks=snapshot.asks[:depth])


@pytest.mark.parametrize("case", CASES)
async def test_the_books_of_a_capture_are_rebuilt_from_its_changes(case: str, tmp_path: Path) -> None:
    names, inst_ids, cadence_sec, _ = CASES[case]
    captures = [rewritten(capture(name), tmp_path / f"{at}.jsonl", as_swap) for at, name in enumerate(names)]
    settings = Settings(instruments=inst_ids, cadence_sec=cadence_sec, changes=True)
    assert_rebuilt(await record_replay(tmp_path / "vault", captures, settings), settings)


@pytest.mark.parametrize("name", SHIPPED)
async def test_the_books_of_a_shipped_capture_are_rebuilt_and_every_push_is_there(name: str, tmp_path: Path) -> None:
    settings = Settings(instruments=SHIPPED[name], depth=25, feeds=1, changes=True)
    outcome = await record_replay(tmp_path / "vault", [shipped(name)], settings)
    assert_rebuilt(outcome, settings)
    sent = list(book_frames(shipped(name)))
    for inst_id in settings.instruments:
        wanted = [push["data"][0] | {"action": push["action"]} for push in sent if push["arg"]["instId"] == inst_id]
        found = [row for row in outcome.changes(inst_id) if row["origin"] == "ws"]
        keys = ("action", "asks", "bids", "ts", "checksum", "seqId", "prevSeqId")
        assert [{key: row[key] for key in keys} for row in found] == [{key: one[key] for key in keys} for one in wanted]
        hours = {row["timestamp_utc"][:13] for row in outcome.changes(inst_id)}
        assert len(hours) == 2, "the capture crosses an hour"
        (own,) = [row for row in outcome.changes(inst_id) if row["origin"] == "book"]
        assert own["timestamp_utc"].endswith("00:00.000Z") and own["action"] == "snapshot"
    assert not [event for event in outcome.events if isinstance(event, ChangesLost)]
    latencies = [event for event in outcome.events if isinstance(event, Latency)]
    assert {event.feed for event in latencies} == {1}
    assert sum(event.pushes for event in latencies) == len(sent)


async def test_without_the_setting_no_change_is_kept(tmp_path: Path) -> None:
    name = "market_busy_seed7_30s.jsonl.zst"
    outcome = await record_replay(tmp_path / "vault", [shipped(name)], Settings(instruments=SHIPPED[name]))
    assert not (tmp_path / "vault" / "raw" / "okx" / "book_changes").exists()
    assert not [event for event in outcome.events if isinstance(event, ChangesLost | Latency)]
