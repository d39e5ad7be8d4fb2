"""Which ids of trades stand in an instrument's newest hours, so that a run goes on where the one before ended.

Reads two hours, whatever form they have, line by line: what was filled later stands behind, so their ends alone would
not tell. Changes nothing; a line that cannot be read is passed by, and its ids are then unknown.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from l2vault.book.trade import IdSpan, TradePush, trade_from_line
from l2vault.errors import LineError
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.newest import blaming, raw_files

_HOURS: Final = 2
_EDGE_MS: Final = 5_000
"""OKX's times of neighbouring ids may be out of order by a little, so that one of them stands in the hour before."""


def known_trades(layout: Layout, inst_id: str) -> list[IdSpan]:
    """By id and disjoint; empty where the vault has no trades of the instrument. `layout` is that of trades.

    Where OKX began its numbering anew, only what came after that is told. Raises VaultError for what the disk refuses.
    """
    files: list[StoredHour] = []
    hours: list[int] = []
    for file in raw_files(layout, inst_id):
        if file.hour_ms not in hours:
            if len(hours) == _HOURS:
                break
            hours.append(file.hour_ms)
        files += [file] if file.is_file else []
    spans: list[IdSpan] = []
    for file in reversed(files):  # of one hour the compressed file first
        with blaming(file.path):
            for push in _pushes(file):
                spans = _noted(spans, push)
    return _joined(sorted(spans), hours[-1] + _EDGE_MS) if hours else []


def _pushes(file: StoredHour) -> Iterator[TradePush]:
    """What is damaged is passed by."""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), _opened(file) as lines:
        for line in lines:
            with suppress(LineError):
                yield trade_from_line(line)


@contextmanager
def _opened(file: StoredHour) -> Iterator[Iterable[bytes]]:
    with gzip.open(file.path) if file.form == "gzip" else file.path.open("rb") as lines:
        yield lines


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
