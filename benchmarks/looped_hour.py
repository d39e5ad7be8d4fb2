"""Hours of vault lines made from the 344 s of real change frames in `../shared/data/derived`, looped in time.

Each repetition is shifted in time and in sequence numbers; where one ends and the next begins, an update leads from the
last book to the first, so that the whole is one exact, chained feed. It goes through our own `Book` and sampler.

A feed that comes back to the same books every 344 s is kinder to some compressors than any market is: `zstd -19` has
a whole repetition in its window of 8 MB. With `is_drifting` each repetition is at other prices, by whole ticks.
"""

import io
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import zstandard

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot
from l2vault.book.utc import utc_ms
from l2vault.okx.messages import decode
from l2vault.vault.store.layout import HOUR_MS

CADENCE_MS: Final = 2_000
DEPTH: Final = 400
START_MS: Final = utc_ms("2024-08-08T12:00:00.000Z")
"""Where the looped feed begins: the start of an hour and of a grid slot."""

_DRIFTS: Final = {"BTC-USDT-SWAP": Decimal("37.3"), "ETH-USDT-SWAP": Decimal("1.61")}
_FRAME_MS: Final = 100
_SEQ_STEP: Final = 100


def captures_folder() -> Path:
    """The folder of real data: `../shared/data` from the project's root unless L2_CAPTURES names another."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("L2_CAPTURES", default))


def capture_file(inst_id: str) -> Path:
    return captures_folder() / "derived" / f"DERIVED_{inst_id}_from-binance-20240808.jsonl.zst"


def looped_snapshots(inst_id: str, hours: int = 1, is_drifting: bool = False) -> Iterator[Snapshot]:
    """The lines of `hours` whole hours from `START_MS`, as the recorder would write them at a cadence of 2 s."""
    book = Book()
    end_ms = START_MS + hours * HOUR_MS
    for change in looped_changes(inst_id, START_MS, is_drifting):
        if due_grid_time(book.ts_ms, change.ts_ms, CADENCE_MS) is not None:
            snapshot = take_snapshot(inst_id, book, DEPTH)
            if snapshot.ts_ms >= end_ms:
                return
            yield snapshot
        if book.seq_id is not None and change.prev_seq_id != book.seq_id:
            raise ValueError(f"{inst_id}: the looped feed does not chain at {change.ts_ms}")
        book.apply(change)
        if (violation := book.violation(is_live=True)) is not None:
            raise ValueError(f"{inst_id}: the looped book is {violation} at {change.ts_ms}")


def looped_changes(inst_id: str, start_ms: int, is_drifting: bool = False) -> Iterator[BookChange]:
    """The capture's changes for ever, the first at `start_ms`, each repetition after the one before it."""
    changes = _capture(inst_id)
    first, last = changes[0], changes[-1]
    opening, closing = _book_of(changes[:1]).top(DEPTH), _book_of(changes).top(DEPTH)
    drift = _DRIFTS[inst_id] if is_drifting else Decimal(0)
    lap_ms = _known(last.ts_ms) - _known(first.ts_ms) + _FRAME_MS
    lap_seq = _known(last.seq_id) - _known(first.seq_id) + _SEQ_STEP
    yield _shifted(first, start_ms - _known(first.ts_ms), 0)
    lap = 0
    while True:
        shift_ms, shift_seq = start_ms - _known(first.ts_ms) + lap * lap_ms, lap * lap_seq
        for change in changes[1:]:
            yield _shifted(change, shift_ms, shift_seq, drift * lap)
        lap += 1
        bids, asks = (
            _difference(_moved(held, drift * (lap - 1)), _moved(wanted, drift * lap))
            for held, wanted in zip(closing, opening, strict=True)
        )
        yield BookChange(
            inst_id,
            False,
            bids,
            asks,
            _known(first.ts_ms) + shift_ms + lap_ms,
            _known(first.seq_id) + shift_seq + lap_seq,
            _known(last.seq_id) + shift_seq,
            first.checksum,
        )


def _capture(inst_id: str) -> list[BookChange]:
    with capture_file(inst_id).open("rb") as file:
        text = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
        messages = [decode(line) for line in text]
    return [message for message in messages if isinstance(message, BookChange)]


def _book_of(changes: list[BookChange]) -> Book:
    book = Book()
    for change in changes:
        book.apply(change)
    return book


def _difference(held: list[Level], wanted: list[Level]) -> list[Level]:
    """The levels of an update that turns one side into another."""
    prices = {level[0] for level in wanted}
    standing = set(held)
    deletes: list[Level] = [(level[0], "0", "0", "0") for level in held if level[0] not in prices]
    return deletes + [level for level in wanted if level not in standing]


def _moved(levels: list[Level], by: Decimal) -> list[Level]:
    """The levels at other prices, spelled as OKX does."""
    if not by:
        return levels
    return [(format((Decimal(price) + by).normalize(), "f"), *rest) for price, *rest in levels]  # type: ignore[misc]


def _shifted(change: BookChange, shift_ms: int, shift_seq: int, move: Decimal = Decimal(0)) -> BookChange:  # noqa: B008
    prev_seq_id = change.prev_seq_id if change.is_snapshot else _known(change.prev_seq_id) + shift_seq
    return BookChange(
        change.inst_id,
        change.is_snapshot,
        _moved(change.bids, move),
        _moved(change.asks, move),
        _known(change.ts_ms) + shift_ms,
        _known(change.seq_id) + shift_seq,
        prev_seq_id,
        change.checksum,
    )


def _known(value: int | None) -> int:
    if value is None:
        raise ValueError("a frame of the capture lacks its time or sequence number")
    return value
