"""Changes from the sockets to the files: books rebuilt from them are the recorded lines, byte for byte.

The captures from elsewhere are judged in `test_exact`, by the same replay.
"""

from pathlib import Path

import pytest

from l2vault.config import Settings
from l2vault.vault.journal.change_events import ChangesLost, Latency
from support.captured import book_frames, shipped
from support.rebuilt import assert_rebuilt
from support.rig import record_replay

SHIPPED = {
    "market_busy_seed7_30s.jsonl.zst": ("BTC-USDT-SWAP", "ETH-USDT-SWAP"),
    "market_quiet_seed4_150s.jsonl.zst": ("SSV-USDT-SWAP", "LQTY-USDT-SWAP"),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_books_of_a_shipped_capture_are_rebuilt_and_every_push_is_there(name: str, tmp_path: Path) -> None:
    settings = Settings(instruments=SHIPPED[name], depth=25, feeds=1, changes=True)
    outcome = record_replay(tmp_path / "vault", [shipped(name)], settings)
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


def test_without_the_setting_no_change_is_kept(tmp_path: Path) -> None:
    name = "market_busy_seed7_30s.jsonl.zst"
    outcome = record_replay(tmp_path / "vault", [shipped(name)], Settings(instruments=SHIPPED[name]))
    assert not (tmp_path / "vault" / "raw" / "okx" / "book_changes").exists()
    assert not [event for event in outcome.events if isinstance(event, ChangesLost | Latency)]
