"""An hour of changes as two Parquet files: every byte comes back, and they are small."""

import gzip
from random import Random

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from l2vault.book.change_line import RecordedChange, to_change_line
from l2vault.errors import VaultError
from l2vault.sim.exchange.market import Market
from l2vault.vault.archive.change_columns import changes_of, read_changes
from l2vault.vault.archive.change_files import KIND, UNITS, decode_changes, encode_changes
from l2vault.vault.archive.parquet import Facts

INST = "BTC-USDT-SWAP"
FACTS = Facts(INST, "2026-01-01T00", 0, 0, "", kind=KIND, units=UNITS)


def opened(content: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(content))


def market_lines(minutes: float) -> list[bytes]:
    """Of the built-in market, as a recorder would write them."""
    found, rng = [], Random(1)
    start_ms = 1_767_225_600_000
    for tick in Market((INST,), 7, start_ms).ticks():
        if tick.ts_ms >= start_ms + minutes * 60_000:
            return found
        recv_us = tick.ts_ms * 1000 + 66_000 + int(rng.expovariate(1 / 8_000))
        change = msgspec.structs.replace(tick.change, recv_us=recv_us)
        found.append(to_change_line(RecordedChange(tick.ts_ms, change, "ws", 1)))
    return found


def test_changes_come_back_byte_for_byte_from_less_than_half_of_their_gzip() -> None:
    lines = market_lines(minutes=10)
    assert len(lines) > 4_000
    events, messages = encode_changes(read_changes(lines, INST), FACTS)
    assert changes_of(decode_changes(opened(events), opened(messages)), INST) == lines
    packed = len(gzip.compress(b"".join(line + b"\n" for line in lines), 6))
    assert len(events) + len(messages) < packed / 2


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
