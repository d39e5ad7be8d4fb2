"""A span of a vault as tardis-machine's normalized messages.

Of books and trades they are made from the very events that exports are written from (`exports.events`). Beyond the
original, so that nobody who reads them keeps a book of which nothing is known: where the books end each level is
deleted (`amount` 0) before the `disconnect`, which names the instrument and the cause; and since a client may then
forget every book of the exchange, all that still stand come whole behind it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.context import Kind
from l2vault.book.utc import utc_micros_text, utc_text
from l2vault.exports.events import AtItsTime, BookEvent, Receipts, Span, TradeEvent
from l2vault.exports.source import shown_books, standing_books, trade_events
from l2vault.replay.beside import ValuesLost, context_events
from l2vault.replay.tardis.asked import EXCHANGE, Normalized
from l2vault.replay.tardis.computed import Bar, Bars, Snapshots, Top
from l2vault.replay.tardis.losses import BOOKS, TRADES, Loss, book_loss, trade_losses, value_loss
from l2vault.replay.tardis.numbers import NUMBERS, levels_json
from l2vault.sim.exchange.context import FUNDING, INDEX, INTEREST, MARK
from l2vault.sim.exchange.timeline import ContextTick
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.spans import split

_TICKER_KINDS: Final[tuple[Kind, ...]] = ("mark", "index", "funding", "open_interest")
_TICKER_KEYS: Final[dict[Kind, tuple[str, ...]]] = {
    "open_interest": ("openInterest",),
    "funding": ("fundingRate", "fundingTimestamp", "predictedFundingRate"),
    "index": ("indexPrice",),
    "mark": ("markPrice",),
}
"""Tardis's keys, in its order. `lastPrice` is of a channel that is not recorded."""
_EMPTY: Final = "{}"
"""What tardis-machine sends for a level that is not there."""


class Message(NamedTuple):
    """JSON, and the time by which messages are merged and paced: that of receipt, in microseconds."""

    local_us: int
    data: str
    is_disconnect: bool = False


class _Full(NamedTuple):
    """The book at the start of an hour that follows one which was read to its end: mostly the one that stands."""

    book: BookEvent

    @property
    def ts_ms(self) -> int:
        return self.book.ts_ms

    @property
    def recv_us(self) -> int:
        return self.book.recv_us


_Part = tuple[str, str]
"""`type` and the fields that only this type has, as JSON."""
_Happening = BookEvent | TradeEvent | ContextTick | Loss | _Full
_Placed = tuple[int, str, _Happening]
"""When it was received (microseconds), of which instrument."""


def normalized(vault: Vault, asked: Normalized, report: Report) -> Iterator[Message]:
    """In order of receipt. `report` is given what does not read."""
    feeds = [_received(vault, inst_id, asked, report) for inst_id in asked.inst_ids]
    writers = {inst_id: _Writer(inst_id, asked) for inst_id in asked.inst_ids}
    for local_us, inst_id, happening in merge(*feeds, key=itemgetter(0)):
        writer = writers[inst_id]
        for part in writer.take(happening):
            yield writer.message(part, local_us)
        if isinstance(happening, Loss) and asked.tells_disconnects:
            yield Message(local_us, disconnect_json(inst_id, happening.text, local_us), is_disconnect=True)
            for each in writers.values():
                for part in each.begin_anew():
                    yield each.message(part, local_us)


def disconnect_json(inst_id: str, cause: str, local_us: int) -> str:
    """Tardis's message, and of what it is: `symbols`, and why: `cause`."""
    body = {"type": "disconnect", "exchange": EXCHANGE, "localTimestamp": utc_micros_text(local_us)}
    return msgspec.json.encode(body | {"symbols": [inst_id], "cause": cause}).decode()


def _received(vault: Vault, inst_id: str, asked: Normalized, report: Report) -> Iterator[_Placed]:
    """All that happens to an instrument, in order of exchange time, with times of receipt that never go back."""
    receipts, last_us = Receipts(), 0
    for happening in _happenings(vault, inst_id, asked, report):
        timed = AtItsTime(happening.ts_ms) if isinstance(happening, ContextTick) else happening
        last_us = max(last_us, receipts.local_us(timed))
        yield last_us, inst_id, happening


def _happenings(vault: Vault, inst_id: str, asked: Normalized, report: Report) -> Iterator[_Happening]:
    """Of one time trades come first, then what is lost behind them, then values and the losses of values, then
    books."""
    streams: list[Iterator[_Happening]] = []
    if asked.needs_trades:
        trades = TradeReader(vault.layout)
        streams += [trade_events(trades, inst_id, asked.span, report), trade_losses(trades, inst_id, asked.span)]
    if "derivative_ticker" in asked.types:
        context = ContextReader(vault.layout)
        values = context_events(context, inst_id, asked.span, _TICKER_KINDS, report)
        streams.append(value_loss(each) if isinstance(each, ValuesLost) else each for each in values)
    if asked.needs_books:
        streams.append(_books(vault, inst_id, asked.span, report))
    return merge(*streams, key=attrgetter("ts_ms"))


def _books(vault: Vault, inst_id: str, span: Span, report: Report) -> Iterator[_Happening]:
    """Hour by hour; the end of what is known is told once, however many hours it lasts."""
    is_known: bool | None = None
    for hour in split(span, HOUR_MS):
        shown, coverage = shown_books(vault, inst_id, hour)
        for number, event in enumerate(shown.events(standing_books(vault, inst_id, hour, report))):
            if event.kind != "clear":
                yield _Full(event) if is_known and number == 0 else event
            elif is_known is not False:
                yield book_loss(coverage, event.ts_ms)
            is_known = event.kind != "clear"


class _Writer:
    """One instrument: its book and its values as the client has them, and what is computed of them."""

    def __init__(self, inst_id: str, asked: Normalized) -> None:
        self._asked = asked
        symbol = msgspec.json.encode(inst_id).decode()
        self._head = f'"symbol":{symbol},"exchange":"{EXCHANGE}",'
        self._book: Book | None = None
        self._values: dict[Kind, dict[str, str]] = {}
        self._value_ms = 0
        self._snapshots = [Snapshots(kind) for kind in asked.snapshots]
        self._depth = max((kind.depth for kind in asked.snapshots), default=0)
        self._bars = [Bars(kind) for kind in asked.bars]

    def message(self, part: _Part, local_us: int) -> Message:
        """With what every message has."""
        local = utc_micros_text(local_us)
        return Message(local_us, f'{{"type":"{part[0]}",{self._head}{part[1]},"localTimestamp":"{local}"}}')

    def take(self, happening: _Happening) -> Iterator[_Part]:
        """Messages of what happened. Take all of them."""
        if isinstance(happening, TradeEvent):
            yield from self._trade(happening)
        elif isinstance(happening, ContextTick):
            yield from self._value(happening)
        elif isinstance(happening, Loss):
            yield from self._lose(happening)
        elif isinstance(happening, _Full):
            if self._book is None or self._book.top(CHANNEL_DEPTH) != (happening.book.bids, happening.book.asks):
                yield from self._change(happening.book)
        else:
            yield from self._change(happening)

    def begin_anew(self) -> Iterator[_Part]:
        """Behind a disconnect: the book that stands comes whole, and what is computed of it begins with that."""
        self._snapshots = [Snapshots(kind) for kind in self._asked.snapshots]
        if self._book is not None:
            yield from self._shown(self._book.ts_ms or 0, True, *self._book.top(CHANNEL_DEPTH))

    def _change(self, event: BookEvent) -> Iterator[_Part]:
        is_full = event.kind == "full"
        if self._book is None:
            self._book = Book()
        self._book.apply(BookChange("", is_full, event.bids, event.asks, event.ts_ms, None, None, None))
        yield from self._shown(event.ts_ms, is_full, event.bids, event.asks)

    def _shown(self, ts_ms: int, is_full: bool, bids: list[Level], asks: list[Level]) -> Iterator[_Part]:
        if "book_change" in self._asked.types:
            yield _book_change(ts_ms, is_full, bids, asks)
        if self._snapshots and self._book is not None:
            tops = self._book.top(self._depth)
            for each in self._snapshots:
                depth = each.kind.depth
                for at_ms, top in each.feed(ts_ms, (tops[0][:depth], tops[1][:depth])):
                    yield _book_snapshot(each, at_ms, top)

    def _lose(self, loss: Loss) -> Iterator[_Part]:
        for kind in loss.kinds:
            self._values.pop(kind, None)
        if loss.what == TRADES:
            self._bars = [Bars(kind) for kind in self._asked.bars]
        if loss.what == BOOKS and self._book is not None:
            self._snapshots = [Snapshots(kind) for kind in self._asked.snapshots]
            if "book_change" in self._asked.types:
                gone = [[(level[0], "0", "0", "0") for level in side] for side in self._book.top(CHANNEL_DEPTH)]
                yield _book_change(loss.ts_ms, False, *gone)
            self._book = None

    def _trade(self, trade: TradeEvent) -> Iterator[_Part]:
        """One without a size is left out, as in every export."""
        if trade.size is None:
            return
        if "trade" in self._asked.types:
            price, size = NUMBERS[trade.price], NUMBERS[trade.size]
            yield (
                "trade",
                f'"id":"{trade.trade_id}","price":{price},"amount":{size},"side":"{trade.side}",'
                f'"timestamp":"{utc_text(trade.ts_ms)}"',
            )
        for each in self._bars:
            yield from map(partial(_trade_bar, each), each.feed(trade))

    def _value(self, tick: ContextTick) -> Iterator[_Part]:
        """As tardis-machine: a message for each push that changes something, the index alone waits for the next one."""
        push = tick.push
        found = _ticker_fields(push.channel, push.row)
        if found is None:
            return
        kind, fields = found
        is_new = self._values.get(kind) != fields
        self._values[kind] = fields
        self._value_ms = max(self._value_ms, push.ts_ms)
        if is_new and kind != "index":
            values = {key: value for each in self._values.values() for key, value in each.items()}
            shown = [f'"{key}":{values[key]},' for keys in _TICKER_KEYS.values() for key in keys if key in values]
            yield "derivative_ticker", f'{"".join(shown)}"timestamp":"{utc_text(self._value_ms)}"'


def _ticker_fields(channel: str, row: Mapping[str, Any]) -> tuple[Kind, dict[str, str]] | None:
    """Of OKX's row, as JSON; None for a channel of which the ticker has nothing."""
    if channel == MARK:
        return "mark", {"markPrice": NUMBERS[row["markPx"]]}
    if channel == INDEX:
        return "index", {"indexPrice": NUMBERS[row["idxPx"]]}
    if channel == INTEREST:
        return "open_interest", {"openInterest": NUMBERS[row["oi"]]}
    if channel != FUNDING:
        return None
    fields = {"fundingRate": NUMBERS[row["fundingRate"]], "fundingTimestamp": f'"{utc_text(int(row["fundingTime"]))}"'}
    if row["nextFundingRate"]:
        fields["predictedFundingRate"] = NUMBERS[row["nextFundingRate"]]
    return "funding", fields


def _book_change(ts_ms: int, is_full: bool, bids: list[Level], asks: list[Level]) -> _Part:
    kind = "true" if is_full else "false"
    sides = f'"bids":{levels_json(bids)},"asks":{levels_json(asks)}'
    return "book_change", f'"isSnapshot":{kind},{sides},"timestamp":"{utc_text(ts_ms)}"'


def _book_snapshot(of: Snapshots, ts_ms: int, top: Top) -> _Part:
    kind = of.kind
    sides = [_padded(side, kind.depth) for side in top]
    return (
        "book_snapshot",
        f'"name":"{kind.name}","depth":{kind.depth},"interval":{kind.interval_ms},'
        f'"bids":{sides[0]},"asks":{sides[1]},"timestamp":"{utc_text(ts_ms)}"',
    )


def _padded(side: Sequence[Level], depth: int) -> str:
    shown = levels_json(list(side))[1:-1]
    return "[" + ",".join(([shown] if shown else []) + [_EMPTY] * (depth - len(side))) + "]"


def _trade_bar(of: Bars, bar: Bar) -> _Part:
    kind = of.kind
    prices = ",".join(f'"{name}":{NUMBERS[getattr(bar, name)]}' for name in ("open", "high", "low", "close"))
    sums = {"volume": bar.volume, "buyVolume": bar.buy, "sellVolume": bar.sell}
    volumes = ",".join(f'"{name}":{value:f}' for name, value in sums.items())
    times = {"openTimestamp": bar.open_ms, "closeTimestamp": bar.close_ms, "timestamp": bar.ts_ms}
    shown = ",".join(f'"{name}":"{utc_text(at_ms)}"' for name, at_ms in times.items())
    return (
        "trade_bar",
        f'"name":"{kind.name}","interval":{kind.interval},"kind":"{kind.kind}",{prices},{volumes},'
        f'"trades":{bar.trades},"vwap":{float(bar.notional / bar.volume)!r},{shown}',
    )
