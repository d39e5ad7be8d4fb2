"""What the benchmarks are fed: real change frames looped in time, or the built-in market where there is no capture.

OKX has sent `checksum` 0 since June 2026, so frames carry 0 unless the real ones of the capture are asked for.
"""

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from looped_hour import CADENCE_MS, DEPTH, START_MS, capture_file, looped_changes, looped_snapshots

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot, to_line
from l2vault.okx.checksum import book_checksum
from l2vault.sim.exchange.books import encode_push
from l2vault.sim.exchange.market import Market
from l2vault.vault.store.layout import HOUR_MS

INST_ID: Final = "BTC-USDT-SWAP"
_SEED: Final = 1


class Feed(NamedTuple):
    """What was written to a file of frames, and where a client that has applied all of it must stand."""

    frames: int
    levels: int
    size_bytes: int
    best_bid: str
    best_ask: str


def source() -> str:
    if capture_file(INST_ID).exists():
        return f"the capture {capture_file(INST_ID).name}, looped at drifting prices"
    return "the built-in market (the capture is absent)"


def write_frames(path: Path, count: int, is_checksummed: bool, most_levels: int | None = None) -> Feed:
    """One push a line, the full book first, every one applied to our own book to know where it ends. With `most_levels`
    each update is cut into pushes of at most so many levels."""
    book, levels = Book(), 0
    with path.open("wb") as file:
        for change in islice(_changes() if most_levels is None else cut(_changes(), most_levels), count):
            book.apply(change)
            checksum = book_checksum(*book.top(25)) if is_checksummed else 0
            levels += len(change.bids) + len(change.asks)
            pushed = msgspec.structs.replace(change, checksum=checksum)
            file.write(encode_push(pushed).encode() + b"\n")
    bids, asks = book.top(1)
    return Feed(count, levels, path.stat().st_size, bids[0][0], asks[0][0])


def cut(changes: Iterable[BookChange], most_levels: int) -> Iterator[BookChange]:
    """The same updates in pushes of at most so many levels, of about equal size, in a chain of their own. What deletes
    comes first, so that no book between them is crossed or too deep."""
    seq_id = 0
    for change in changes:
        if change.is_snapshot:
            seq_id = change.seq_id or 0
            yield change
            continue
        levels = [(True, level) for level in change.bids] + [(False, level) for level in change.asks]
        levels.sort(key=lambda each: each[1][1] != "0")
        pushes = max(1, -(-len(levels) // most_levels))
        bounds = [len(levels) * at // pushes for at in range(pushes + 1)]
        for at, to in pairwise(bounds):
            bids, asks = ([level for is_bid, level in levels[at:to] if is_bid is wanted] for wanted in (True, False))
            yield msgspec.structs.replace(change, bids=bids, asks=asks, seq_id=seq_id + 1, prev_seq_id=seq_id)
            seq_id += 1


def hour_snapshots() -> Iterator[Snapshot]:
    """An hour of snapshots from `START_MS`, a cadence of 2 s."""
    if capture_file(INST_ID).exists():
        yield from looped_snapshots(INST_ID, is_drifting=True)
        return
    book = Book()
    for change in _changes():
        if due_grid_time(book.ts_ms, change.ts_ms, CADENCE_MS) is not None:
            snapshot = take_snapshot(INST_ID, book, DEPTH)
            if snapshot.ts_ms >= START_MS + HOUR_MS:
                return
            yield snapshot
        book.apply(change)


def hour_lines() -> bytes:
    return b"".join(to_line(snapshot) + b"\n" for snapshot in hour_snapshots())


def _changes() -> Iterator[BookChange]:
    if capture_file(INST_ID).exists():
        return looped_changes(INST_ID, START_MS, is_drifting=True)
    return (tick.change for tick in Market([INST_ID], _SEED, START_MS).ticks())
