"""The state of one instrument's order book: the exact strings OKX sent, in exact order of price.

Whether a change may be applied (the chain) and when the book is sampled are decided elsewhere.
"""

from bisect import insort
from itertools import islice
from typing import Final

from l2vault.book.change import BookChange, Level
from l2vault.book.price import Memo, is_zero, level_key
from l2vault.errors import LevelError

CHANNEL_DEPTH: Final = 400
"""OKX deletes what falls out of its window of 400, so more than 400 on a side means that a delete was missed."""


_MOST_PLACES: Final = 2 * CHANNEL_DEPTH
"""Of a side's prices in order; beyond it those without a level are given up."""
_REMEMBERED: Final = 8192
"""Prices and quantities, of all books together: 1.5 MB each. BTC-USDT names 3,700 and 8,000 in six minutes."""
_KEYS: Final = Memo(level_key, _REMEMBERED)
_ZEROS: Final = Memo(is_zero, _REMEMBERED)


class Side:
    """Levels by the key of their price, and the keys in ascending order: the best ask first, the best bid last.

    A price keeps its place in the order when its level is deleted, because most come back within moments. Empty places
    before the best price are given up at once, the others when there are many.
    """

    __slots__ = ("_best", "_levels", "_order", "_placed")

    def __init__(self, is_bid: bool) -> None:
        self._best = -1 if is_bid else 0
        """Where in the order the best place is."""
        self._levels: dict[int, Level] = {}
        self._order: list[int] = []
        self._placed: set[int] = set()
        """What stands in `_order`."""

    def count(self) -> int:
        """Of levels."""
        return len(self._levels)

    def best_key(self) -> int | None:
        """`price_key` of the best price, None for an empty side."""
        order, levels, best = self._order, self._levels, self._best
        while order and order[best] not in levels:
            self._placed.remove(order.pop(best))
        return order[best] if order else None

    def top(self, depth: int) -> list[Level]:
        """Best first; the list is the caller's own."""
        levels = self._levels
        best_first = reversed(self._order) if self._best else self._order
        return list(islice((levels[key] for key in best_first if key in levels), depth))

    def load(self, levels: list[Level]) -> None:
        """Replace everything. Order on the wire does not matter; a price sent twice raises LevelError."""
        held: dict[int, Level] = {}
        for level in levels:
            if _ZEROS[level[1]]:
                continue
            key = _KEYS[level[0]]
            if key in held:
                raise LevelError(f"price {level[0]} stands twice on one side of a full book")
            held[key] = level
        self._levels = held
        self._trim()

    def update(self, levels: list[Level]) -> int:
        """Set or delete each level; returns how many deletes named a price that was not there (legal)."""
        held, order, placed, keys, zeros = self._levels, self._order, self._placed, _KEYS, _ZEROS
        unknown = 0
        for level in levels:
            key, quantity = keys[level[0]], level[1]
            if quantity == "0" or zeros[quantity]:
                if held.pop(key, None) is None:
                    unknown += 1
            else:
                if key not in held and key not in placed:  # most are held, and so have their place
                    placed.add(key)
                    insort(order, key)
                held[key] = level
        if len(order) > _MOST_PLACES:
            self._trim()
        return unknown

    def copy(self) -> "Side":
        twin = Side(is_bid=self._best < 0)
        twin._levels = self._levels.copy()
        twin._trim()
        return twin

    def _trim(self) -> None:
        """Keep only the places that hold a level."""
        self._order = sorted(self._levels)
        self._placed = set(self._order)


class Book:
    """One instrument's book after the last applied change; `ts_ms` is its time and never moves backwards."""

    __slots__ = ("_asks", "_bids", "checksum", "prev_seq_id", "seq_id", "ts_ms", "unknown_deletes", "unknown_in_whole")

    def __init__(self) -> None:
        self._bids = Side(is_bid=True)
        self._asks = Side(is_bid=False)
        self.ts_ms: int | None = None
        self.seq_id: int | None = None
        self.prev_seq_id: int | None = None
        self.checksum: int | None = None
        self.unknown_deletes = 0
        self.unknown_in_whole = 0
        """The deletes among them on a side under 400 levels, which holds all of OKX's."""

    def counts(self) -> tuple[int, int]:
        """Bids and asks."""
        return self._bids.count(), self._asks.count()

    def apply(self, change: BookChange) -> None:
        """Replace the book by a full one, or change levels of it.

        Raises LevelError for a number it cannot read. The book is then half changed: drop it, never sample it.
        """
        if change.is_snapshot:
            self._bids.load(change.bids)
            self._asks.load(change.asks)
        else:
            bids, asks = self._bids.update(change.bids), self._asks.update(change.asks)
            if bids or asks:
                self.unknown_deletes += bids + asks
                self.unknown_in_whole += bids * (self._bids.count() < CHANNEL_DEPTH)
                self.unknown_in_whole += asks * (self._asks.count() < CHANNEL_DEPTH)
        if change.ts_ms is not None and (self.ts_ms is None or change.ts_ms > self.ts_ms):
            self.ts_ms = change.ts_ms
        self.seq_id = change.seq_id
        self.prev_seq_id = change.prev_seq_id
        self.checksum = change.checksum

    def copy(self) -> "Book":
        """A book of its own in the same state."""
        twin = Book()
        twin._bids, twin._asks = self._bids.copy(), self._asks.copy()
        twin.ts_ms, twin.seq_id, twin.prev_seq_id = self.ts_ms, self.seq_id, self.prev_seq_id
        twin.checksum = self.checksum
        return twin

    def top(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first, at most `depth` of each; the lists are the caller's own."""
        return self._bids.top(depth), self._asks.top(depth)

    def violation(self, is_live: bool) -> str | None:
        """The invariant this book breaks, in words, or None.

        Docs trick_en: in a call auction "the best ask price may be lower than the best bid price", so a crossed or
        locked book is a violation only while the instrument `is_live`.
        """
        bids, asks = self._bids, self._asks
        if bids.count() > CHANNEL_DEPTH or asks.count() > CHANNEL_DEPTH:
            return f"{bids.count()} bids and {asks.count()} asks, where OKX keeps {CHANNEL_DEPTH} a side"
        best_bid, best_ask = bids.best_key(), asks.best_key()
        if is_live and best_bid is not None and best_ask is not None and best_bid >= best_ask:
            return f"crossed: best bid {bids.top(1)[0][0]}, best ask {asks.top(1)[0][0]}"
        return None
