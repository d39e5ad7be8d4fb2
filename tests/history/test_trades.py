"""A file of the archive's trades as hours: in the order of the ids, also where OKX began them anew within an hour."""

import gzip
from pathlib import Path

from l2vault.book.trade import trade_from_line
from l2vault.book.utc import HOUR_MS, utc_ms, utc_text
from l2vault.history.books import DayReport
from l2vault.history.hours import HourKeeper
from l2vault.history.naming import Wanted
from l2vault.history.trades import TradeDay
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.store.layout import Layout, packed_path

INST = "BTC-USDT-SWAP"
HOUR_AT_MS = utc_ms("2026-03-04T20:00:00.000Z")


def kept(root: Path, *trades: tuple[int, int]) -> tuple[list[int], Merged]:
    """Of trades `(seconds into the hour, id)` in the order of the file: ids as the hour has them, and its event."""
    layout, ticks = Layout(root), iter(range(1, 100))
    journal = verb_journal(layout, "backfill", lambda: utc_text(HOUR_AT_MS + HOUR_MS), lambda: next(ticks))
    keeper = HourKeeper(layout, "trades", journal, lambda: utc_text(HOUR_AT_MS + HOUR_MS))
    day = TradeDay(Wanted("trades", INST, "2026-03-05"), keeper, "", DayReport())
    rows = [f"{INST},{trade_id},buy,100,1,{HOUR_AT_MS + 1_000 * second}".encode() for second, trade_id in trades]
    day.read(rows, lambda ts_ms: None)
    (event,) = [event for event in read_journal(layout) if isinstance(event, Merged)]
    lines = gzip.decompress(packed_path(layout.of("trades").hour_file(INST, HOUR_AT_MS)).read_bytes()).splitlines()
    return [trade_from_line(line).last_id for line in lines], event


def test_an_hour_is_in_the_order_of_its_ids_and_names_those_that_lack(tmp_path: Path) -> None:
    ids, event = kept(tmp_path, (1, 5_001), (1, 5_003), (1, 5_002), (4, 5_006))
    assert ids == [5_001, 5_002, 5_003, 5_006]
    assert [(each.first, each.last) for each in event.ids] == [(5_004, 5_005)]
    assert [each.id for each in event.begun] == [5_001]


def test_ids_begun_anew_within_an_hour_come_behind_the_others_and_nothing_lacks_between(tmp_path: Path) -> None:
    ids, event = kept(tmp_path, (1, 900_001), (2, 900_002), (100, 1), (100, 3), (100, 2), (130, 4))
    assert ids == [900_001, 900_002, 1, 2, 3, 4]
    assert event.ids == []
    assert [(each.id, each.ts) for each in event.begun] == [
        (900_001, utc_text(HOUR_AT_MS + 1_000)),
        (1, utc_text(HOUR_AT_MS + 100_000)),
    ]
