"""An hour of changes as two Parquet files: every byte comes back, and they are small."""

import gzip
from decimal import Decimal
from random import Random

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange, to_change_line
from l2vault.errors import VaultError
from l2vault.sim.exchange.market import Market
from l2vault.vault.archive.change_columns import EVENTS, changes_of, read_changes
from l2vault.vault.archive.change_files import KIND, UNITS, decode_changes, encode_changes, with_prices, with_steps
from l2vault.vault.archive.parquet import Facts, encode_table

INST = "BTC-USDT-SWAP"
FACTS = Facts(INST, "2026-01-01T00", 0, 0, "", kind=KIND, units=UNITS)


def opened(content: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(content))


def market_lines(minutes: float, ticks: int = 1, inst_id: str = INST) -> list[bytes]:
    """Of the built-in market, as a recorder would write them; each message of so many ticks of it."""
    found, rng, start_ms = [], Random(1), 1_767_225_600_000
    waiting: list[BookChange] = []
    for tick in Market((inst_id,), 7, start_ms).ticks():
        if tick.ts_ms >= start_ms + minutes * 60_000:
            return found
        waiting.append(tick.change)
        if tick.change.is_snapshot or len(waiting) == ticks:
            recv_us = tick.ts_ms * 1000 + 66_000 + int(rng.expovariate(1 / 8_000))
            asks = {level[0]: level for change in waiting for level in change.asks}
            bids = {level[0]: level for change in waiting for level in change.bids}
            change = msgspec.structs.replace(
                tick.change,
                asks=sorted(asks.values(), key=lambda level: Decimal(level[0])),
                bids=sorted(bids.values(), key=lambda level: -Decimal(level[0])),
                prev_seq_id=waiting[0].prev_seq_id,
                recv_us=recv_us,
            )
            found.append(to_change_line(RecordedChange(tick.ts_ms, change, "ws", 1)))
            waiting.clear()
    return found


@pytest.mark.parametrize(("inst_id", "ticks", "most"), [(INST, 1, 0.48), ("ETH-USDT-SWAP", 5, 0.48)])
def test_changes_come_back_byte_for_byte_from_less_than_half_of_their_gzip(
    inst_id: str, ticks: int, most: float
) -> None:
    """At 18 levels a message, and at 75."""
    lines = market_lines(10, ticks, inst_id)
    assert len(lines) > 1_000
    events, messages = encode_changes(read_changes(lines, inst_id), FACTS)
    assert changes_of(decode_changes(opened(events), opened(messages)), inst_id) == lines
    packed = len(gzip.compress(b"".join(line + b"\n" for line in lines), 6))
    assert len(events) + len(messages) < packed * most


def test_archives_of_before_whose_prices_are_no_steps_still_read() -> None:
    lines = market_lines(0.2)
    tables = read_changes(lines, INST)
    _, messages = encode_changes(tables, FACTS)
    shuffled = list(range(len(tables.events)))
    Random(1).shuffle(shuffled)
    events = encode_table([tables.events.take(shuffled)], EVENTS, {"price_num": "BYTE_STREAM_SPLIT"}, FACTS)
    assert changes_of(decode_changes(opened(events), opened(messages)), INST) == lines


def test_steps_across_the_whole_range_of_prices_come_back() -> None:
    """The difference of two prices may not fit 64 bits; it wraps, and so does its sum."""
    events = read_changes(market_lines(0.2), INST).events
    prices = Random(1).choices((-(1 << 63), (1 << 63) - 1, 0, 1), k=len(events))
    at = EVENTS.get_field_index("price_num")
    events = events.set_column(at, EVENTS.field(at), pa.array(prices, pa.int64()))
    assert with_prices(with_steps(events)).equals(events)


def test_prices_stand_as_steps_from_the_row_before_and_from_group_to_group() -> None:
    """Files of today are read by every later version: in each message the deletes of a side are a group."""
    rows = [(0, "bid", 100, 0), (0, "bid", 99, 0), (0, "bid", 101, 5), (0, "bid", 98, 1), (0, "ask", 102, 1)]
    rows += [(1, "bid", 97, 1), (1, "bid", 95, 0), (1, "bid", 94, 0), (2, "bid", 93, 0)]
    names = "message", "side", "price_num", "qty_num"
    fixed = {"price_den": 1, "qty_den": 1, "orders": 1, "place": None, "level_text": None}
    events = pa.Table.from_pylist([dict(zip(names, row, strict=True)) | fixed for row in rows], schema=EVENTS)
    stepped = with_steps(events)
    assert stepped.column(EVENTS.get_field_index("price_num")).to_pylist() == [100, -1, 1, -3, 1, -5, -2, -1, -2]
    assert with_prices(stepped).equals(events)


def test_no_change_is_an_archive_too() -> None:
    events, messages = encode_changes(read_changes([], INST), FACTS)
    assert changes_of(decode_changes(opened(events), opened(messages)), INST) == []


def test_files_of_two_archives_are_refused() -> None:
    tables = read_changes(market_lines(0.1)[:5], INST)
    events, _ = encode_changes(tables, FACTS)
    _, messages = encode_changes(tables, Facts(INST, "2026-01-01T01", 0, 0, "", kind=KIND, units=UNITS))
    _, books = encode_changes(tables, Facts(INST, "2026-01-01T00", 0, 0, ""))
    for other in (messages, books):
        with pytest.raises(VaultError, match="not of one archive"):
            decode_changes(opened(events), opened(other))
