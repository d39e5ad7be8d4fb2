"""The trades and the values of a vault as pushes of OKX.

A push of trades is as it was recorded; of one whose ids partly stood elsewhere, the rest, where its size is known. A
value stands in a line each 2 s beside the book: it is pushed at its own time, and what came between two lines is not
there.
"""

from collections.abc import Iterator
from typing import Final

from l2vault.book.context import KINDS, Context, Funding, Index, Kind, Limits, Mark, OpenInterest, Value
from l2vault.exports.events import Span
from l2vault.sim.exchange.books import TradeTick
from l2vault.sim.exchange.context import FUNDING, INDEX, INTEREST, LIMITS, MARK, SWAP, ContextPush, index_name
from l2vault.sim.exchange.timeline import ContextTick
from l2vault.sim.exchange.trades import encode_trade, trade_of
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Report

CHANNELS: Final[dict[Kind, str]] = {
    "mark": MARK,
    "index": INDEX,
    "funding": FUNDING,
    "open_interest": INTEREST,
    "limits": LIMITS,
}


def trade_ticks(trades: TradeReader, inst_id: str, span: Span, report: Report) -> Iterator[TradeTick]:
    """Each id of a span once, in order; a time that runs back is that of the trade before it."""
    now_ms = span[0]
    for row in trades.rows(inst_id, span, report):
        if row.size is not None:
            now_ms = max(now_ms, row.push.ts_ms)
            matches = row.last_id - row.first_id + 1
            trade = trade_of(row.push)._replace(trade_id=row.last_id, sz=row.size, matches=matches)
            recv_us = row.push.recv_us if row.push.origin == "ws" else 0
            yield TradeTick(now_ms, trade, encode_trade(trade), recv_us)


def context_ticks(context: ContextReader, inst_id: str, span: Span, report: Report) -> Iterator[ContextTick]:
    """Each value when it changes, in order of time; first those that stood at the start of the span."""
    now_ms = span[0]
    told: dict[Kind, Value] = {}
    before = context.at(inst_id, span[0] - 1)
    rows = [] if before is None else [before.context]
    for found in (iter(rows), context.rows(inst_id, span, report)):
        for row in found:
            new = [(kind, value) for kind in KINDS if (value := row.value(kind)) not in (None, told.get(kind))]
            for kind, value in sorted(new, key=lambda each: each[1].ts_ms if each[1] else 0):
                assert value is not None
                told[kind] = value
                now_ms = max(now_ms, value.ts_ms)
                yield ContextTick(now_ms, _push(inst_id, kind, value))


def context_names(context: ContextReader, inst_id: str, span: Span) -> dict[str, frozenset[str]]:
    """What may be subscribed to, by channel: the values that the span's last line has."""
    last = context.at(inst_id, span[1] - 1)
    if last is None or last.context.grid_ms < span[0]:
        return {}
    return {CHANNELS[kind]: frozenset({_name(inst_id, kind)}) for kind in KINDS if _has(last.context, kind)}


def _has(context: Context, kind: Kind) -> bool:
    return context.value(kind) is not None


def _name(inst_id: str, kind: Kind) -> str:
    return index_name(inst_id) if kind == "index" else inst_id


def _push(inst_id: str, kind: Kind, value: Value) -> ContextPush:
    name = _name(inst_id, kind)
    row = {"instId": name} | _fields(value) | {"ts": str(value.ts_ms)}
    return ContextPush(CHANNELS[kind], name, value.ts_ms, row)


def _fields(value: Value) -> dict[str, object]:
    """The keys of OKX's row that were recorded; what it left empty is empty."""
    if isinstance(value, Mark):
        return {"instType": SWAP, "markPx": value.price}
    if isinstance(value, Index):
        return {"idxPx": value.price}
    if isinstance(value, OpenInterest):
        return {"instType": SWAP, "oi": value.contracts, "oiCcy": value.coin or "", "oiUsd": value.usd or ""}
    if isinstance(value, Limits):
        return {"buyLmt": value.buy or "", "sellLmt": value.sell or "", "enabled": value.is_enabled}
    return {"instType": SWAP} | _funding(value)


def _funding(value: Funding) -> dict[str, object]:
    return {
        "fundingRate": value.rate,
        "fundingTime": value.time,
        "nextFundingRate": value.next_rate or "",
        "nextFundingTime": value.next_time or "",
        "premium": value.premium or "",
        "prevFundingTime": value.previous_time or "",
        "settFundingRate": value.settled_rate or "",
        "settState": value.settle_state or "",
    }
