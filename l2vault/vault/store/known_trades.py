"""Which ids of trades an instrument's newest lines hold, so that a run goes on where the one before ended.

Reads backwards as far as holes may still be looked for: what filled them stands behind, so the last line alone would
not tell. Changes nothing; a line that cannot be read is passed by, and its ids are then unknown.
"""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from l2vault.book.trade import IdSpan, TradePush, trade_from_line
from l2vault.errors import LineError
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.newest import blaming, lines_backwards, raw_files

TAIL_MS: Final = 1_800_000
"""A start looks so far back from the newest trade: longer than a search of REST goes on for a hole."""
TAIL_BYTES: Final = 8 << 20
"""And reads no more than this of an instrument: 27,000 lines, a quarter of a second."""
_HOURS: Final = 2
_EDGE_MS: Final = 5_000
"""OKX's times of neighbouring ids may be out of order by a little, so that one of them stands before what is read."""
_EDGE_LINES: Final = 16
"""Where reading ends for its bytes, their newest time counts: among them may be one that was filled in late."""


def known_trades(layout: Layout, inst_id: str) -> list[IdSpan]:
    """By id and disjoint; empty where the vault has no trades of the instrument. `layout` is that of trades.

    Nothing is said of what is more than half an hour older than the newest trade: a hole there is reported by the
    journal, and nobody looks for it any more. Where OKX began its numbering anew, only what came after that is told.
    Raises VaultError for what the disk refuses.
    """
    pushes, edge_ms = _tail(_newest_hours(layout, inst_id))
    spans: list[IdSpan] = []
    for push in reversed(pushes):
        spans = _noted(spans, push)
    return _joined(sorted(spans), edge_ms)


def _newest_hours(layout: Layout, inst_id: str) -> Iterator[StoredHour]:
    """Newest first; of one hour the compressed file last."""
    hours: set[int] = set()
    for file in raw_files(layout, inst_id):
        hours.add(file.hour_ms)
        if len(hours) > _HOURS:
            return
        if file.is_file:
            yield file


def _tail(files: Iterable[StoredHour]) -> tuple[list[TradePush], int]:
    """Pushes from the last line backwards, and the time up to which their ids may have neighbours that were not read.

    An old trade that was written lately is no end, nor is a step of our own clock: both times have to be old.
    """
    pushes: list[TradePush] = []
    newest_ms = newest_us = size = edge_ms = 0
    until_ms: int | None = None
    for file in files:
        edge_ms = file.hour_ms
        with blaming(file.path):
            for line in _backwards(file):
                size += len(line)
                with suppress(LineError):
                    push = trade_from_line(line)
                    pushes.append(push)
                    newest_ms, newest_us = max(newest_ms, push.ts_ms), max(newest_us, push.recv_us)
                    if until_ms is not None and push.ts_ms < until_ms:
                        return pushes, push.ts_ms + _EDGE_MS
                    is_old = newest_ms - push.ts_ms > TAIL_MS and newest_us - push.recv_us > TAIL_MS * 1000
                    if until_ms is None and is_old:
                        until_ms = push.ts_ms - 2 * _EDGE_MS  # a hole that ends in the tail has its beginning too
                if size >= TAIL_BYTES:
                    edge_ms = max((push.ts_ms for push in pushes[-_EDGE_LINES:]), default=file.hour_ms)
                    return pushes, edge_ms + _EDGE_MS
    return pushes, edge_ms + _EDGE_MS


def _backwards(file: StoredHour) -> Iterator[bytes]:
    """The lines of a file, the last first; of a compressed one, which reads forwards only, so many as count."""
    if file.form == "gzip":
        yield from reversed(_end_of_compressed(file))
        return
    with file.path.open("rb") as opened:
        for _, line in lines_backwards(opened, opened.seek(0, os.SEEK_END)):
            yield line or b""


def _end_of_compressed(file: StoredHour) -> deque[bytes]:
    """`TAIL_BYTES` or a line more, so that whoever counts them ends with them. What is damaged is passed by."""
    kept: deque[bytes] = deque()
    size = 0
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), gzip.open(file.path) as lines:
        for line in lines:
            kept.append(line)
            size += len(line)
            while size - len(kept[0]) >= TAIL_BYTES:
                size -= len(kept.popleft())
    return kept


def _noted(spans: list[IdSpan], push: TradePush) -> list[IdSpan]:
    """Most pushes go on where the one before ended: then nothing grows."""
    new = IdSpan(push.first_id, push.last_id, push.ts_ms, push.ts_ms)
    if spans and new.first == spans[-1].last + 1:
        spans[-1] = spans[-1]._replace(last=new.last, to_ms=max(spans[-1].to_ms, new.to_ms))
        return spans
    newest = max(spans, key=lambda span: span.last, default=new)
    if push.is_renumbered(newest.last, newest.to_ms):
        return [new]
    spans.append(new)
    return spans


def _joined(spans: list[IdSpan], edge_ms: int) -> list[IdSpan]:
    """Spans that touch or overlap are one; so are those at the edge of what was read."""
    found: list[IdSpan] = []
    for span in spans:
        if found and (span.first <= found[-1].last + 1 or found[-1].to_ms < edge_ms):
            last = found[-1]
            found[-1] = IdSpan(
                last.first, max(last.last, span.last), last.from_ms, span.to_ms if span.last > last.last else last.to_ms
            )
        else:
            found.append(span)
    return found
