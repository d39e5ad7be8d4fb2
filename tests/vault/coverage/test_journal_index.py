"""The journal as the reading half reads it: each day once, and no more of it than coverage needs."""

import msgspec

from l2vault.vault.coverage import journal_index
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.sync_history import sync_history
from l2vault.vault.journal import events as noted
from l2vault.vault.journal import log as journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_of, journal_v1_of, lost, started, synced

DAY_MS = 24 * HOUR_MS


def slots(noted_ms):
    return noted.Slots(at(noted_ms), {INST: 30}, {INST: at(noted_ms)}, {})


def deleted(noted_ms, file):
    return noted.Retained(at(noted_ms), "delete", file, "", 1, 0)


def busy_journal(layout):
    """Three days: a killed run and one that goes on."""
    journal_v1_of(layout, started(0), synced(100))
    for minute in range(1, 5):
        journal_v1_of(layout, noted.Alive(at(minute * 60_000 - 5)), slots(minute * 60_000))
    journal_v1_of(layout, noted.UncleanEnd(at(DAY_MS), at(240_000)), started(DAY_MS), synced(DAY_MS + 50))
    journal_v1_of(layout, slots(DAY_MS + 60_000), lost(DAY_MS + 70_000), synced(DAY_MS + 80_000))
    journal_v1_of(layout, slots(2 * DAY_MS), noted.Alive(at(2 * DAY_MS + 15_000)))


def everything(layout):
    files = [journal.read_file(path) for path in journal.journal_files(layout)]
    return sync_history(journal.in_order(entry for file in files for entry in file.entries).entries, INST)


def test_what_is_left_out_changes_nothing(tmp_path):
    layout = Layout(tmp_path)
    busy_journal(layout)
    assert JournalIndex(layout).history(INST) == everything(layout)


def test_only_days_that_changed_are_read_again(tmp_path, monkeypatch):
    layout = Layout(tmp_path)
    busy_journal(layout)
    read = []
    monkeypatch.setattr(journal_index, "read_file", lambda path: read.append(path.name) or journal.read_file(path))
    index = JournalIndex(layout)
    index.history(INST)
    assert sorted(read) == ["2024-08-20.jsonl", "2024-08-21.jsonl", "2024-08-22.jsonl"]
    read.clear()
    index.history(INST)
    index.history("ETH-USDT-SWAP")
    assert read == []
    journal_v1_of(layout, lost(2 * DAY_MS + 20_000))
    assert index.history(INST) == everything(layout)
    assert read == ["2024-08-22.jsonl"]


def test_deleted_hours_are_those_of_the_instrument(tmp_path):
    layout = Layout(tmp_path)
    folder = "raw/okx/l2_perps"
    journal_of(
        layout,
        deleted(0, f"{folder}/{INST}/2024-08-20/03.jsonl.gz"),
        deleted(0, f"{folder}/ETH-USDT-SWAP/2024-08-20/04.jsonl.gz"),
        deleted(0, "archive/okx/l2_perps/snapshots/inst_id=BTC-USDT-SWAP/date=2024-08-20/05.parquet"),
        noted.Retained(at(0), "compress", f"{folder}/{INST}/2024-08-20/06.jsonl", "", 1, 0),
    )
    assert JournalIndex(layout).deleted_hours(INST) == {HOUR_AT_MS}


def test_an_hour_that_was_brought_back_is_deleted_no_more(tmp_path):
    layout = Layout(tmp_path)
    files = [layout.hour_file(INST, HOUR_AT_MS + hour * HOUR_MS).relative_to(tmp_path).as_posix() for hour in (0, 1)]
    restored = noted.Restored(at(3000), INST, at(HOUR_MS), files[1], 1, "ef" * 32)
    journal_of(layout, deleted(1000, files[0]), deleted(2000, files[1]), restored)
    assert JournalIndex(layout).not_restored(INST) == {HOUR_AT_MS}


def test_the_record_of_an_hour_is_given_up_once_its_own_file_was_cut(tmp_path):
    layout, cut_layout = Layout(tmp_path / "other"), Layout(tmp_path / "own")
    closed = noted.HourClosed(at(HOUR_MS), INST, at(0), 5, 50, "ab" * 32)
    cut = noted.Recovered(at(HOUR_MS), f"raw/okx/l2_perps/{INST}/2024-08-20/03.jsonl", 4, 7, "torn", INST)
    foreign = [
        msgspec.structs.replace(cut, file=file)
        for file in ("raw/okx/l2_perps/ETH-USDT-SWAP/2024-08-20/03.jsonl", "no/hour/file")
    ]
    journal_of(layout, closed, *foreign)
    assert JournalIndex(layout).closed_hours(INST) == {HOUR_AT_MS: closed}
    journal_of(cut_layout, closed, cut)
    assert JournalIndex(cut_layout).closed_hours(INST) == {}


def test_a_vault_without_a_journal_has_nothing_to_say(tmp_path):
    assert JournalIndex(Layout(tmp_path)).history(INST) == sync_history([], INST)


def test_an_instrument_is_known_by_its_first_book_a_closed_hour_or_a_merged_one_without_any_minute(tmp_path):
    layout = Layout(tmp_path)
    closed = noted.HourClosed(at(HOUR_MS), "ETH-USDT-SWAP", at(0), 5, 50, "ab" * 32)
    of_trades = msgspec.structs.replace(closed, inst_id="SOL-USDT-SWAP", kind="trades")
    merged = Merged(at(HOUR_MS), "XRP-USDT-SWAP", at(0), "books", {"a": 5})
    journal_of(layout, started(0), synced(100), closed, of_trades, merged)
    assert JournalIndex(layout).instruments() == {INST, "ETH-USDT-SWAP", "XRP-USDT-SWAP"}
