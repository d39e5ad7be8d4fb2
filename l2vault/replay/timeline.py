"""A span of a vault as the timeline of an exchange, and what a user must know of it."""

import logging
from collections.abc import Iterator, Sequence
from heapq import merge
from typing import Final, Literal, NamedTuple

from l2vault.book.context import KINDS
from l2vault.errors import UsageError
from l2vault.exports.events import Span
from l2vault.replay.beside import ValuesLost, channels_of, context_events, context_names, trade_ticks
from l2vault.replay.books import book_events
from l2vault.sim.exchange.books import TradeTick
from l2vault.sim.exchange.context import INSTRUMENTS, SWAP
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.timeline import ContextLost, ContextTick, Event, Timeline
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report
from l2vault.vault.store.instruments import Row, row_at
from l2vault.vault.store.layout import HOUR_MS

_log = logging.getLogger(__name__)

Books = Literal["changes", "samples", "both"]
SAMPLED: Final = (
    "the books were sampled (2 s unless the cadence was set): each sample becomes an update that leads on from the one "
    "before, so what changed between two of them is not there"
)


class Part(NamedTuple):
    """One instrument of a replay: what its books are made of, what else there is, and how many holes are cuts."""

    inst_id: str
    books: Books
    has_trades: bool
    context: list[str]
    holes: int


class Replayed(NamedTuple):
    """What is served, and what it is made of."""

    timeline: Timeline
    parts: list[Part]


def replay_of(vault: Vault, inst_ids: Sequence[str], span: Span, report: Report) -> Replayed:
    """The instruments of a vault over a span. Reads what coverage needs at once, and the lines while it is played, an
    hour at a time."""
    trades, context = TradeReader(vault.layout), ContextReader(vault.layout)
    traded, parts = trades.instruments(), []
    streams: list[Iterator[Event]] = []
    rows: dict[str, Row] = {}
    names: dict[str, frozenset[str]] = {INSTRUMENTS: frozenset({SWAP})}
    for inst_id in inst_ids:
        coverage = vault.coverage(inst_id, *span)
        if (row := _row(vault, inst_id, span)) is not None:
            rows[inst_id] = row
        own = context_names(context, inst_id, span)
        for channel, found in own.items():
            names[channel] = names.get(channel, frozenset()) | found
        parts.append(Part(inst_id, _books(vault, inst_id, span), inst_id in traded, sorted(own), len(coverage.holes)))
        streams += [
            trade_ticks(trades, inst_id, span, report),
            _values(context, inst_id, span, report),
            book_events(vault, inst_id, span, coverage, report),
        ]
    events = merge(*streams, key=_place)
    return Replayed(Timeline(span[0], list(inst_ids), rows, names, events), parts)


def _values(context: ContextReader, inst_id: str, span: Span, report: Report) -> Iterator[ContextTick | ContextLost]:
    for event in context_events(context, inst_id, span, KINDS, report):
        yield ContextLost(event.ts_ms, channels_of(inst_id, event.kinds)) if isinstance(event, ValuesLost) else event


def _place(event: Event) -> tuple[int, int]:
    """Of one time, trades come first: they took what the book then lacks."""
    rank = 0 if isinstance(event, TradeTick) else 1 if isinstance(event, ContextTick | ContextLost) else 2
    return event.ts_ms, rank


def _books(vault: Vault, inst_id: str, span: Span) -> Books:
    """By the hours of which there are changes."""
    changed, sampled = (
        {forms.hour_ms for forms in catalog.hours(inst_id) if span[0] - HOUR_MS < forms.hour_ms < span[1]}
        for catalog in (vault.change_catalog, vault.catalog)
    )
    if not changed:
        return "samples"
    return "changes" if sampled <= changed else "both"


def _row(vault: Vault, inst_id: str, span: Span) -> Row | None:
    """OKX's row as it was at the end of the span. Where none was kept, one as OKX would have it, which is made up."""
    rows = vault.instrument_rows(inst_id)
    if rows:
        return row_at(rows, span[1])
    try:
        row = instrument_row(inst_id)
    except UsageError:
        return None
    _log.warning("%s: no row of the instrument was kept, so /public/instruments gives one that is made up", inst_id)
    return row
