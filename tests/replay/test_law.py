"""A recorder on a replay of a vault writes its lines again, byte for byte; and what else a client sees."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.config import Settings
from l2vault.replay.timeline import Replayed, replay_of
from l2vault.sim.exchange.books import TradeTick
from l2vault.sim.exchange.timeline import ContextTick, Cut
from l2vault.sim.server.server import SimOptions, Simulator
from l2vault.vault.journal.events import Disconnected
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import Layout
from support.captured import shipped
from support.hours import HOUR_AT_MS, journal_of, levels, line, lost, put, started, synced
from support.rig import Outcome, record_replay, record_timeline
from support.small_vault import FIRST_ID, small_vault
from support.virtual import over_sockets, running_clock

INST = "BTC-USDT-SWAP"
SETTINGS = Settings(instruments=(INST,), depth=25, feeds=1, changes=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root = tmp_path_factory.mktemp("recorded") / "vault"
    return record_replay(root, [shipped("market_busy_seed7_30s.jsonl.zst")], SETTINGS)


def whole(root: Path, start_ms: int | None = None) -> Replayed:
    vault = open_vault(root)
    first_ms, newest_ms = vault.first_line_ms(INST), vault.newest_line_ms(INST)
    assert first_ms is not None and newest_ms is not None
    findings: list[Finding] = []
    replayed = replay_of(vault, [INST], (start_ms or first_ms, newest_ms + 1), findings.append)
    assert not findings
    return replayed


def test_every_change_makes_the_same_lines(recorded: Outcome, tmp_path: Path) -> None:
    replayed = whole(recorded.root)
    assert replayed.parts[0].books == "changes"
    again = record_timeline(tmp_path / "again", replayed.timeline, SETTINGS)
    assert again.files() == recorded.files()
    keys = ("action", "asks", "bids", "ts", "checksum", "seqId", "prevSeqId")
    before, after = ([{key: row[key] for key in keys} for row in each.changes(INST)] for each in (recorded, again))
    # The replay begins with the book of the first line, in two pushes; a heartbeat is its last.
    at = next(place for place, row in enumerate(before) if row["seqId"] == after[1]["seqId"])
    assert len(after) > 200 and after[2:-1] == before[at + 1 : at + len(after) - 2]


def test_sampled_books_make_the_same_lines(recorded: Outcome, tmp_path: Path) -> None:
    root = shutil.copytree(recorded.root, tmp_path / "vault")
    shutil.rmtree(root / "raw" / "okx" / "book_changes")
    replayed = whole(root)
    assert replayed.parts[0].books == "samples"
    again = record_timeline(tmp_path / "again", replayed.timeline, SETTINGS)
    assert len(again.raw_lines(INST)) > 10
    assert again.files() == recorded.files()


def test_a_hole_is_a_disconnect_with_its_cause_and_a_full_book_follows(tmp_path: Path) -> None:
    layout, path = small_vault(tmp_path / "vault")
    (cut,) = (event for event in whole(layout.root).timeline.events if isinstance(event, Cut))
    assert cut.cause == "missing: chain"
    settings = Settings(instruments=(INST,), feeds=1, trades=False, context=False)
    again = record_timeline(tmp_path / "again", whole(layout.root).timeline, settings)
    assert b"\n".join(again.raw_lines(INST)) == path.read_bytes().strip()
    first, last = (event for event in again.events if isinstance(event, Disconnected))
    assert "missing: chain" in first.reason and "missing" not in last.reason


@pytest.mark.parametrize("has_changes", [True, False])
def test_a_broken_chain_breaks_again_behind_the_very_book_and_disconnects_once(
    tmp_path: Path, has_changes: bool
) -> None:
    """So the flagged line is written again."""
    layout = Layout(tmp_path / "vault")
    bids, asks = levels("10 1 1"), levels("11 1 1")
    flagged = line(100, bids, asks, seq_id=6, prev_seq_id=999, gap_detected=True)
    put(
        layout,
        [line(0, bids, asks, seq_id=5, prev_seq_id=4), flagged, line(5_000, bids, asks, seq_id=9, prev_seq_id=8)],
    )
    journal_of(layout, started(-1_000), synced(0), lost(100), synced(5_000, connection=2))
    if has_changes:
        writer = ChangeWriter(layout)
        for ms, is_full, seq_id, prev_seq_id in ((0, True, 5, -1), (100, False, 6, 5), (5_000, True, 9, -1)):
            change = BookChange(INST, is_full, bids, asks, HOUR_AT_MS + ms, seq_id, prev_seq_id, 0, 1)
            writer.write(RecordedChange(HOUR_AT_MS + ms, change, "ws", 1))
        writer.close()
    events = list(whole(layout.root).timeline.events)
    at = next(number for number, event in enumerate(events) if isinstance(event, Cut))
    assert [event.cause for event in events if isinstance(event, Cut)] == ["missing: chain"]
    before, broken, cut, after = events[at - 2 : at + 2]
    assert before.change.seq_id == 6 and (broken.change.prev_seq_id, broken.change.seq_id) == (999, 1000)
    assert cut.ts_ms == HOUR_AT_MS + 100 and (after.change.seq_id, after.change.is_snapshot) in ((9, True), (8, True))


def test_trades_and_values_beside_the_books_are_as_recorded(tmp_path: Path) -> None:
    layout, _ = small_vault(tmp_path / "vault")
    replayed = whole(layout.root)
    events = list(replayed.timeline.events)
    assert [event.ts_ms for event in events] == sorted(event.ts_ms for event in events)
    ids = [event.trade.trade_id for event in events if isinstance(event, TradeTick)]
    assert ids == sorted(ids) and ids[0] == FIRST_ID + 1 and len(ids) == 598
    pushes = [event.push for event in events if isinstance(event, ContextTick)]
    assert {(push.channel, push.name) for push in pushes} == {
        (channel, name) for channel, names in replayed.timeline.names.items() for name in names if name != "SWAP"
    }
    marks = [push.row for push in pushes if push.channel == "mark-price"]
    assert len(marks) == 300 and marks[0]["markPx"] == "60000.5"
    assert sum(push.channel == "price-limit" for push in pushes) == 1, "it never changed"


@over_sockets
async def test_who_comes_in_the_middle_gets_a_full_book_and_unknown_names_are_refused(recorded: Outcome) -> None:
    simulator = Simulator(SimOptions(speed=1.0), running_clock(), timeline=whole(recorded.root).timeline)
    await simulator.start()
    async with connect(simulator.ws_url, proxy=None) as early, connect(simulator.ws_url, proxy=None) as late:
        await early.send(_subscribe(INST))
        seen = [json.loads(await early.recv()) for _ in range(60)]
        assert [push["action"] for push in seen[1:]] == ["snapshot"] + ["update"] * 58
        await late.send(_subscribe(INST, "ETH-USDT-SWAP"))
        ack, refused, full = [json.loads(await late.recv()) for _ in range(3)]
        assert ack["event"] == "subscribe" and refused["code"] == "60018" and full["action"] == "snapshot"
        assert full["data"][0]["seqId"] == seen[-1]["data"][0]["seqId"]
        assert full["data"][0]["prevSeqId"] == -1 and len(full["data"][0]["bids"]) > 100
        answer = await asyncio.to_thread(_get, f"{simulator.rest_url}/api/v5/market/books?instId=ETH-USDT-SWAP")
        assert answer["code"] == "51001"
    await simulator.stop()


def _subscribe(*inst_ids: str) -> str:
    return json.dumps({"op": "subscribe", "args": [{"channel": "books", "instId": inst_id} for inst_id in inst_ids]})


def _get(url: str) -> dict[str, object]:
    import urllib.request

    with urllib.request.urlopen(url) as answer:
        found: dict[str, object] = json.load(answer)
        return found
