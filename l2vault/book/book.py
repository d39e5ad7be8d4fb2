"""The state of one instrument's order book: the exact strings OKX sent, in exact order of price.

Whether a change may be applied (the chain) and when the book is sampled are decided elsewhere.
"""

from bisect import bisect_left, insort
from typing import Final

from l2vault.book.change import BookChange, Level
from l2vault.book.price import Memo, is_zero, price_key
from l2vault.errors import LevelError

CHANNEL_DEPTH: Final = 400
"""OKX deletes what falls out of its window of 400, so more than 400 on a side means that a delete was missed."""


_REMEMBERED: Final = 8192
"""Of prices and of quantities, for all books together: a megabyte and a half each. BTC-USDT names 3,700 prices in 6 min."""
_KEYS: Final = Memo(price_key, _REMEMBERED)
_ZEROS: Final = Memo(is_zero, _REMEMBERED)


class Side:
    """Levels by the key of their price, and those keys in ascending order; the best bid is last, the best ask first."""

    __slots__ = ("_is_bid", "_keys", "_levels")

    def __init__(self, is_bid: bool) -> None:
        self._is_bid = is_bid
        self._keys: list[int] = []
        self._levels: dict[int, Level] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def best_key(self) -> int | None:
        if not self._keys:
            return None
        return self._keys[-1] if self._is_bid else self._keys[0]

    def top(self, depth: int) -> list[Level]:
        """Best first; the list is the caller's own."""
        keys = self._keys[: -depth - 1 : -1] if self._is_bid else self._keys[:depth]
        levels = self._levels
        return [levels[key] for key in keys]

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
        self._keys = sorted(held)

    def update(self, levels: list[Level]) -> int:
        """Set or delete each level; returns how many deletes named a price that was not there (legal)."""
        held, keys, key_of, deletes = self._levels, self._keys, _KEYS, _ZEROS
        unknown = 0
        for level in levels:
            price, quantity, _, _ = level
            key = key_of[price]
            if quantity == "0" or deletes[quantity]:
                if held.pop(key, None) is None:
                    unknown += 1
                else:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in held:
                    insort(keys, key)
                held[key] = level
        return unknown

    def copy(self) -> "Side":
        twin = Side(self._is_bid)
        twin._keys, twin._levels = self._keys.copy(), self._levels.copy()
        return twin


class Book:
    """One instrument's book after the last applied change; `ts_ms` is its time and never moves backwards."""

    __slots__ = ("_asks", "_bids", "checksum", "prev_seq_id", "seq_id", "ts_ms", "unknown_deletes")

    def __init__(self) -> None:
        self._bids = Side(is_bid=True)
        self._asks = Side(is_bid=False)
        self.ts_ms: int | None = None
        self.seq_id: int | None = None
        self.prev_seq_id: int | None = None
        self.checksum: int | None = None
        self.unknown_deletes = 0

    def apply(self, change: BookChange) -> None:
        """Replace the book by a full one, or change levels of it.

        Raises LevelError for a number it cannot read. The book is then half changed: drop it, never sample it.
        """
        if change.is_snapshot:
            self._bids.load(change.bids)
            self._asks.load(change.asks)
        else:
            self.unknown_deletes += self._bids.update(change.bids) + self._asks.update(change.asks)
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

    def breach(self, is_live: bool) -> str | None:
        """The invariant this book breaks, in words, or None.

        Docs trick_en: in a call auction "the best ask price may be lower than the best bid price", so a crossed or
        locked book is a breach only while the instrument `is_live`.
        """
        bids, asks = self._bids, self._asks
        if len(bids) > CHANNEL_DEPTH or len(asks) > CHANNEL_DEPTH:
            return f"{len(bids)} bids and {len(asks)} asks, where OKX keeps {CHANNEL_DEPTH} a side"
        best_bid, best_ask = bids.best_key(), asks.best_key()
        if is_live and best_bid is not None and best_ask is not None and best_bid >= best_ask:
            return f"crossed: best bid {bids.top(1)[0][0]}, best ask {asks.top(1)[0][0]}"
        return None
