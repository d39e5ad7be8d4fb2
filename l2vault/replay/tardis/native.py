"""A span of a vault as OKX's own messages, each with the time at which it was received.

They are those of `l2vault replay` (`replay.books`, `replay.beside`). A connection that replays the past cannot end at a
hole and be made anew, as that one's do, so the disconnect is a message of its own; behind it all books that still stand
come whole, as after a new subscription.
"""

from collections.abc import Iterator, Mapping
from heapq import merge
from operator import attrgetter, itemgetter
from typing import NamedTuple

import msgspec

from l2vault.errors import LevelError
from l2vault.exports.events import AtItsTime, Receipts, Span
from l2vault.replay.beside import CHANNELS, ValuesLost, context_events, context_names, trade_ticks
from l2vault.replay.books import book_events
from l2vault.replay.tardis.asked import Native
from l2vault.replay.tardis.losses import BOOKS, TRADES, Loss, book_loss, trade_losses, value_loss
from l2vault.sim.exchange.books import Exchange, Tick, TradeTick, encode_push
from l2vault.sim.exchange.context import encode_context
from l2vault.sim.exchange.timeline import ContextTick, Cut, RecordedContext
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report

_Event = Tick | TradeTick | ContextTick | Loss
_Args = frozenset[tuple[str, str]]


class Pushed(NamedTuple):
    """One message. `local_us` is when it was received, in microseconds; never earlier than the one before."""

    local_us: int
    text: str
    is_disconnect: bool = False


def channels_of(vault: Vault, inst_id: str, span: Span) -> dict[str, str]:
    """What is there of an instrument, by channel the name of its arg."""
    names = {BOOKS: inst_id}
    if inst_id in TradeReader(vault.layout).instruments():
        names[TRADES] = inst_id
    for channel, found in context_names(ContextReader(vault.layout), inst_id, span).items():
        (names[channel],) = found
    return names


def native(vault: Vault, asked: Native, report: Report) -> Iterator[Pushed]:
    """In order of receipt. `report` is given what does not read."""
    feeds = [_received(vault, inst_id, asked.span, args, report) for inst_id, args in asked.wanted.items()]
    exchange = Exchange(list(asked.wanted), {}, context=RecordedContext({}))
    for local_us, inst_id, event in merge(*feeds, key=itemgetter(0)):
        if isinstance(event, Loss):
            if event.what == BOOKS:
                exchange.forget(inst_id)
            yield Pushed(local_us, _disconnect(inst_id, event), is_disconnect=True)
            for each in asked.wanted:
                if (full := exchange.full_book(each)) is not None:
                    yield Pushed(local_us, encode_push(full))
            continue
        if isinstance(event, Tick):
            _apply(exchange, event)
        yield Pushed(local_us, _text(event))


def _disconnect(inst_id: str, loss: Loss) -> str:
    """In the form of OKX's events, of which it has no such one."""
    channel = loss.what if loss.what in (BOOKS, TRADES) else CHANNELS[loss.kinds[0]]
    arg = {"channel": channel, "instId": inst_id}
    return msgspec.json.encode({"event": "disconnect", "arg": arg, "msg": loss.text}).decode()


def _text(event: Tick | TradeTick | ContextTick) -> str:
    if isinstance(event, TradeTick):
        return event.frame
    if isinstance(event, ContextTick):
        return encode_context(event.push.channel, event.push.name, [event.push.row])
    return encode_push(event.change) if event.frame is None else event.frame


def _apply(exchange: Exchange, tick: Tick) -> None:
    """A book that cannot be is none until its next full one; the client gets the push all the same."""
    try:
        exchange.apply(tick.change)
    except LevelError:
        exchange.forget(tick.inst_id)


def _received(vault: Vault, inst_id: str, span: Span, args: _Args, report: Report) -> Iterator[tuple[int, str, _Event]]:
    """All that happens to an instrument, in order of exchange time, with times of receipt that never go back."""
    receipts, last_us = Receipts(), 0
    for event in _events(vault, inst_id, span, dict(args), report):
        recv_us = event.change.recv_us if isinstance(event, Tick) else getattr(event, "recv_us", 0)
        last_us = max(last_us, receipts.local_us(AtItsTime(event.ts_ms, recv_us)))
        yield last_us, inst_id, event


def _events(vault: Vault, inst_id: str, span: Span, wanted: Mapping[str, str], report: Report) -> Iterator[_Event]:
    """Of one time trades come first, then what is lost behind them, then values and the losses of values, then
    books."""
    streams: list[Iterator[_Event]] = []
    if TRADES in wanted:
        trades = TradeReader(vault.layout)
        streams += [trade_ticks(trades, inst_id, span, report), trade_losses(trades, inst_id, span)]
    if kinds := [kind for kind, channel in CHANNELS.items() if channel in wanted]:
        context = ContextReader(vault.layout)
        values = context_events(context, inst_id, span, kinds, report)
        streams.append(value_loss(each) if isinstance(each, ValuesLost) else each for each in values)
    if BOOKS in wanted:
        streams.append(_books(vault, inst_id, span, report))
    return merge(*streams, key=attrgetter("ts_ms"))


def _books(vault: Vault, inst_id: str, span: Span, report: Report) -> Iterator[Tick | Loss]:
    """With a disconnect at the start if no book stands there."""
    coverage = vault.coverage(inst_id, *span)
    is_begun = False
    for event in book_events(vault, inst_id, span, coverage, report):
        if not is_begun and event.ts_ms > span[0]:
            yield book_loss(coverage, span[0])
        is_begun = True
        if event.ts_ms < span[1]:  # the heartbeat that shows how long the last book stood may be later
            yield Loss(event.ts_ms, BOOKS, event.cause) if isinstance(event, Cut) else event
    if not is_begun:
        yield book_loss(coverage, span[0])
