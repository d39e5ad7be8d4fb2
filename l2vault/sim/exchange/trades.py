"""The trades of the built-in exchange, made of what each push takes from the touch of a book. Pure.

It has random numbers of its own and changes no book: whoever subscribes to `books` gets the same bytes with or without
it. What is invented is only which of the losses were trades rather than cancellations, and who traded.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key
from l2vault.book.trade import TRADES, TradePush
from l2vault.errors import LevelError
from l2vault.sim.exchange.levels import price_text

_SWEPT_LEVELS: Final = 20
"""The most levels that one taker order goes through."""
TRADED_SHARE: Final = 0.7
"""At OKX's pace of 100 ms. A market of shorter steps has more of them."""
_RPI_CHANCE: Final = 0.02
"""Chance a push that a trade of source 1 comes with it: against an RPI order, which is in no `books`."""
MOST_RPI_UNITS: Final = 20
"""What such a trade takes at most, in units of the last digit of the quantity at the touch; `rpi` has as much there."""
_MOST_MATCHES: Final = 12
_KEPT: Final = 20_000
"""Trades of an instrument that REST can still name: an hour of the busiest, where OKX keeps three months."""


class Trade(NamedTuple):
    """One push of `trades`: the matches of one taker order at one price. `trade_id` is the last match's id.

    OKX pushes at once; here a trade leaves just before the push of the book that lacks what it took.
    """

    inst_id: str
    trade_id: int
    px: str
    sz: str
    side: str
    ts_ms: int
    matches: int
    source: str
    seq_id: int | None


class _Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str


class _Data(msgspec.Struct, gc=False):
    """The keys in the order of the wire, all strings but the last."""

    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str
    count: str
    source: str
    seqId: int | UnsetType


class _Push(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_Data]


class TradeRow(msgspec.Struct, gc=False):
    """One match in REST's form: no count, no seqId. The key order of OKX's documentation."""

    instId: str
    side: str
    sz: str
    source: str
    px: str
    tradeId: str
    ts: str


_ENCODER: Final = msgspec.json.Encoder()


def encode_trade(trade: Trade) -> str:
    """A push as OKX sends it: compact, one trade."""
    seq_id = UNSET if trade.seq_id is None else trade.seq_id
    data = _Data(
        trade.inst_id,
        str(trade.trade_id),
        trade.px,
        trade.sz,
        trade.side,
        str(trade.ts_ms),
        str(trade.matches),
        trade.source,
        seq_id,
    )
    return _ENCODER.encode(_Push(_Arg(TRADES, trade.inst_id), [data])).decode()


def trade_of(push: TradePush) -> Trade:
    """A push that was recorded on OKX, as one of ours."""
    ids = push.last_id - push.first_id + 1
    return Trade(
        *(push.inst_id, push.last_id, push.px, push.sz, push.side, push.ts_ms, ids, push.source or "0", push.seq_id)
    )


def split_trade(trade: Trade, first: int) -> tuple[Trade, Trade]:
    """The same matches in two pushes, the first of `first` matches; there must be more than that."""
    sizes = _split(price_key(trade.sz), trade.matches)
    left, right = price_text(sum(sizes[:first])), price_text(sum(sizes[first:]))
    return (
        trade._replace(trade_id=trade.trade_id - trade.matches + first, sz=left, matches=first),
        trade._replace(sz=right, matches=trade.matches - first),
    )


def single_matches(trade: Trade) -> list[Trade]:
    """The matches that a push sums up, one each, in the order of their ids."""
    first_id = trade.trade_id - trade.matches + 1
    sizes = _split(price_key(trade.sz), trade.matches)
    return [
        trade._replace(trade_id=first_id + place, sz=price_text(size), matches=1) for place, size in enumerate(sizes)
    ]


OnTrade = Callable[[Trade], None]
"""Told of every trade, in the order of their ids."""


class _Fill(NamedTuple):
    """What one taker order takes at one price, in units of 1e-18, from so many resting orders."""

    px: str
    amount: int
    orders: int


class _Tape:
    """The trades of one instrument so far."""

    def __init__(self, inst_id: str, seed: int, first_id: int) -> None:
        self.rng = Random(f"{seed} trades {inst_id}")
        self.last_id = first_id
        self.kept: list[Trade] = []

    def keep(self, trade: Trade) -> None:
        """Those beyond the bound go all at once, now and then."""
        self.last_id = trade.trade_id
        self.kept.append(trade)
        if len(self.kept) > 2 * _KEPT:
            del self.kept[:_KEPT]


class Trades:
    """All instruments' trades. `follow` every change of a book before it is applied.

    Whoever must know what was true may `watch`. Trades of `recorded` instruments are not made up: `note` those that a
    capture holds.
    """

    def __init__(
        self, seed: int = 0, recorded: frozenset[str] = frozenset(), traded_share: float = TRADED_SHARE
    ) -> None:
        """`traded_share`: how often a loss at the touch is a trade and not a cancellation."""
        self._traded_share = traded_share
        self._seed = seed
        self._recorded = recorded
        self._tapes: dict[str, _Tape] = {}
        self._watchers: list[OnTrade] = []

    def watch(self, on_trade: OnTrade) -> None:
        """Have every trade told from now on, whatever becomes of it on the wire."""
        self._watchers.append(on_trade)

    def note(self, trade: Trade) -> None:
        """A trade that was recorded on OKX happens again."""
        self._tape(trade.inst_id, trade.trade_id - trade.matches).keep(trade)
        for on_trade in self._watchers:
            on_trade(trade)

    def follow(self, change: BookChange, before: Book | None) -> list[Trade]:
        """The trades of the interval that ends with `change`, in order; `before` is the book of its beginning.

        Their `seqId` is greater than that book's and at most that of `change`. Ids have no gaps.
        """
        if before is None or change.is_snapshot or not (change.bids or change.asks):
            return []
        if change.inst_id in self._recorded:
            return []
        tape = self._tape(change.inst_id, before.seq_id or 1_000_000)
        try:
            orders = _taker_orders(change, before, tape.rng, self._traded_share)
        except (LevelError, ValueError):  # a capture may hold numbers that are none
            return []
        trades = list(_trades(orders, change, before, tape))
        for trade in trades:
            tape.keep(trade)
            for on_trade in self._watchers:
                on_trade(trade)
        return trades

    def rows(self, inst_id: str, older_than: int | None = None) -> Iterator[TradeRow]:
        """The single matches that are still known, newest first, from those of `older_than` on."""
        kept = self._tapes[inst_id].kept if inst_id in self._tapes else []
        end = len(kept)
        if older_than is not None:
            end = min(end, bisect_left(kept, older_than, key=lambda trade: trade.trade_id) + 1)
        for at in range(end - 1, -1, -1):
            trade = kept[at]
            for one in reversed(single_matches(trade)):
                yield TradeRow(inst_id, one.side, one.sz, one.source, one.px, str(one.trade_id), str(one.ts_ms))

    def page(self, inst_id: str, limit: int, older_than: int | None, newer_than: int | None) -> list[TradeRow]:
        """As `/market/history-trades` pages by trade id: at most `limit` rows within exclusive bounds."""
        rows = (
            row
            for row in self.rows(inst_id, older_than)
            if (older_than is None or int(row.tradeId) < older_than)
            and (newer_than is None or int(row.tradeId) > newer_than)
        )
        return list(islice(rows, limit))

    def _tape(self, inst_id: str, first_id: int) -> _Tape:
        tape = self._tapes.get(inst_id)
        if tape is None:
            tape = self._tapes[inst_id] = _Tape(inst_id, self._seed, first_id)
        return tape


def _taker_orders(
    change: BookChange, before: Book, rng: Random, traded_share: float
) -> list[tuple[str, str, list[_Fill]]]:
    """Side, source and fills of each taker order: at most one a side, and now and then one against an RPI order."""
    bids, asks = before.top(_SWEPT_LEVELS)
    orders = []
    for side, levels, changes in (("buy", asks, change.asks), ("sell", bids, change.bids)):
        fills = _losses(levels, changes)
        if fills and rng.random() < traded_share:
            orders.append((side, "0", fills))
    if bids and asks and rng.random() < _RPI_CHANCE:
        side, level = ("buy", asks[0]) if rng.random() < 0.5 else ("sell", bids[0])
        unit = unit_of(price_key(level[1]))
        orders.append((side, "1", [_Fill(level[0], unit * (1 + rng.randrange(MOST_RPI_UNITS)), 1)]))
    return orders


def _losses(levels: list[Level], changes: list[Level]) -> list[_Fill]:
    """What is gone from the best price on: whole levels, then a part of the next."""
    said = {level[0]: level for level in changes}  # a price has one text, that of the book
    fills: list[_Fill] = []
    for price, quantity, _, orders in levels:
        after = said.get(price)
        if after is None:
            break
        held, left = price_key(quantity), price_key(after[1])
        if left < held:
            fills.append(_Fill(price, held - left, max(1, int(orders) - int(after[3]))))
        if left:
            break
    return fills


def _trades(
    orders: list[tuple[str, str, list[_Fill]]], change: BookChange, before: Book, tape: _Tape
) -> Iterator[Trade]:
    """The orders spread over the interval; the fills of one share its time and `seqId`."""
    end_ms = change.ts_ms or before.ts_ms or 0
    span_ms = max(1, min(end_ms - (before.ts_ms or end_ms), 100))
    times = sorted(end_ms - tape.rng.randrange(span_ms) for _ in orders)
    for (side, source, fills), ts_ms in zip(orders, times, strict=True):
        seq_id = _seq_id(change, before, (end_ms - ts_ms) / span_ms)
        for px, amount, resting in fills:
            most = min(resting, _MOST_MATCHES, amount // unit_of(amount))
            count = 1 + tape.rng.randrange(most)
            tape.last_id += count
            yield Trade(change.inst_id, tape.last_id, px, price_text(amount), side, ts_ms, count, source, seq_id)


def _seq_id(change: BookChange, before: Book, share_left: float) -> int | None:
    """A number between the two books'; after a restart of the sequence, the small one."""
    first, last = before.seq_id, change.seq_id
    if first is None or last is None or last <= first:
        return last
    return last - int((last - first - 1) * share_left)


def unit_of(amount: int) -> int:
    """The largest power of ten that divides it: no smaller part of it is a number of lots."""
    unit = 1
    while amount % (unit * 10) == 0:
        unit *= 10
    return unit


def _split(amount: int, count: int) -> list[int]:
    """So many matches that make up the amount, each a whole number of lots."""
    unit = unit_of(amount)
    part = amount // unit // count * unit
    return [part] * (count - 1) + [amount - part * (count - 1)]
