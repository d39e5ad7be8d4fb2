"""The journal keeps every event, survives torn lines, and can say how the last recorder ended."""

import json
import os
from typing import get_args

import pytest

from l2vault.vault.journal import events as noted
from l2vault.vault.journal import log as journal
from l2vault.vault.journal.log import Journal, last_event_at, read_events, read_journal
from l2vault.vault.layout import Layout

AT = "2026-11-22T10:00:00.000Z"
NEXT_DAY = "2026-11-23T00:00:00.000Z"
TS = "2026-11-22T09:59:58.123Z"

ONE_OF_EACH = [
    noted.Started(AT, "0.1.0", "host", 4711, "Linux", ["BTC-USDT-SWAP"], 2000, 400, 2, "ab12"),
    noted.Recovered(AT, "raw/okx/l2_perps/BTC-USDT-SWAP/2026-11-22/09.jsonl", 100, 7, "meta/okx/torn/x"),
    noted.UncleanEnd(AT, TS),
    noted.Connected(AT, 1, "wss://ws.okx.com:8443/ws/v5/public"),
    noted.Synced(AT, 1, "BTC-USDT-SWAP", TS, 78677952608),
    noted.Synced(AT, 1, "ETH-USDT-SWAP", None, None),
    noted.Slots(AT, {"BTC-USDT-SWAP": 30}, {"BTC-USDT-SWAP": TS}, {"BTC-USDT-SWAP": 1}),
    noted.Lost(AT, 1, "BTC-USDT-SWAP", "chain", TS, None, "prevSeqId 5, last seqId 4"),
    noted.Refused(AT, 1, "NO-SUCH-SWAP", "60018", "doesn't exist"),
    noted.Noticed(AT, 1, "64008", "service upgrade \u2028 \r\n"),
    noted.InstrumentNoted(AT, "BTC-USDT-SWAP", "changed", "state live"),
    noted.WriteFailed(AT, "BTC-USDT-SWAP", 3, TS, TS, "No space left on device"),
    noted.Retained(AT, "compress", "raw/okx/l2_perps/BTC-USDT-SWAP/2026-11-22/03.jsonl", "older than 6 h", 100, 10),
    noted.Disconnected(AT, 1, "1006"),
    noted.Alive(AT),
    noted.Conflicted(AT, "BTC-USDT-SWAP", 78677952608, TS, (1, 2)),
    noted.Skipped(AT, 2, "BTC-USDT-SWAP", TS),
    noted.Audited(AT, 1, "BTC-USDT-SWAP", "mismatch", 78677952608, "1 levels differ, first 64223"),
    noted.ClockStepped(AT, -3.5),
    noted.DiskStalled(AT, 12.25),
    noted.Stopped(AT, "asked to stop"),
]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def write(layout, *events):
    for event in events:
        Journal(layout).append(event)


def test_every_kind_of_event_is_read_back_as_it_was_written(layout):
    assert {type(event) for event in ONE_OF_EACH} == set(get_args(noted.Event))
    write(layout, *ONE_OF_EACH)
    assert list(read_journal(layout)) == ONE_OF_EACH


def test_an_event_is_one_json_line_that_names_its_kind(layout):
    write(layout, *ONE_OF_EACH)
    lines = layout.journal_file(journal.utc_ms(AT)).read_bytes().split(b"\n")
    assert lines.pop() == b""
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds[:3] == ["started", "recovered", "unclean_end"]
    assert len(kinds) == len(ONE_OF_EACH)


def test_the_bounds_of_a_loss_are_named_from_and_to(layout):
    write(layout, noted.Lost(AT, 1, "BTC-USDT-SWAP", "chain", TS, None, "why"))
    assert json.loads(layout.journal_file(journal.utc_ms(AT)).read_bytes()) == {
        "event": "lost",
        "at": AT,
        "line": 1,
        "inst_id": "BTC-USDT-SWAP",
        "cause": "chain",
        "from": TS,
        "to": None,
        "detail": "why",
    }


def test_days_are_read_in_their_order_whatever_was_written_first(layout):
    write(layout, noted.Alive(NEXT_DAY), noted.Alive(AT))
    assert [event.at for event in read_journal(layout)] == [AT, NEXT_DAY]


@pytest.mark.parametrize("torn", [b'{"event":"ali', b"\x00" * 300, b'{"event":"alive","at":"\xff\xfe"}', b"\xff", b"7"])
def test_a_torn_line_costs_no_other_event(layout, torn):
    write(layout, noted.Alive(AT))
    day = layout.journal_file(journal.utc_ms(AT))
    with day.open("ab") as file:
        file.write(torn)
    write(layout, noted.Stopped(AT, "later"))
    assert list(read_events(day)) == [noted.Alive(AT), noted.Stopped(AT, "later")]


def test_what_a_later_version_adds_is_passed_over(layout):
    write(layout, noted.Alive(AT))
    day = layout.journal_file(journal.utc_ms(AT))
    with day.open("ab") as file:
        file.write(b'{"event":"witnessed","at":"x"}\n{"event":"stopped","at":"y","reason":"z","mood":"good"}\n')
    assert list(read_events(day)) == [noted.Alive(AT), noted.Stopped("y", "z")]


def test_foreign_files_beside_the_days_are_left_alone(layout):
    write(layout, noted.Alive(AT))
    (layout.journal / "notes.jsonl").write_text('{"event":"alive","at":"never"}\n')
    assert [event.at for event in read_journal(layout)] == [AT]


def test_a_vault_without_a_journal_has_no_events(layout):
    assert list(read_journal(layout)) == []
    assert last_event_at(layout) is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([noted.Alive(AT), noted.Stopped(NEXT_DAY, "asked")], (NEXT_DAY, True)),
        ([noted.Stopped(AT, "asked"), noted.Alive(NEXT_DAY)], (NEXT_DAY, False)),
        ([noted.Stopped(AT, "asked"), noted.Retained(NEXT_DAY, "delete", "f", "old", 1, 0)], (AT, True)),
        ([noted.Alive(AT), noted.Retained(AT, "delete", "f", "old", 1, 0)], (AT, False)),
        ([noted.Retained(AT, "delete", "f", "old", 1, 0)], None),
    ],
)
def test_the_last_sign_of_life_is_the_recorders_own(layout, events, expected):
    write(layout, *events)
    assert last_event_at(layout) == expected


def test_an_event_is_on_the_disk_before_append_returns(layout, monkeypatch):
    sizes = []
    real_fsync = os.fsync

    def fsync(handle):
        sizes.append(os.fstat(handle).st_size)
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write(layout, noted.Alive(AT))
    assert sizes[0] == layout.journal_file(journal.utc_ms(AT)).stat().st_size


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync for folders")
def test_a_new_days_name_is_made_durable_too(layout, monkeypatch):
    synced = []
    monkeypatch.setattr(journal, "sync_folder", synced.append)
    write(layout, noted.Alive(AT))
    assert layout.journal in synced
    assert layout.root.parent in synced  # it got the new entry "Vault"
    synced.clear()
    write(layout, noted.Alive(AT))
    assert synced == []


def test_a_refusing_disk_is_told_to_the_caller(layout, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(layout, noted.Alive(AT))
