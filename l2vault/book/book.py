"""The state of one instrument's order book: the exact strings OKX sent, in exact order of price.

Whether a change may be applied (the chain) and when the book is sampled are decided elsewhere.
"""

from bisect import bisect_left
from itertools import pairwise
from typing import Final

from l2vault.book.change import BookChange, Level
from l2vault.book.price import is_zero, price_key
from l2vault.errors import LevelError

CHANNEL_DEPTH: Final = 400
"""OKX deletes what falls out of its window of 400, so more than 400 on a side means that a delete was missed."""


class Side:
    """Levels best first, beside their sort keys. `sign` is 1 for asks and -1 for bids, so that best is always least."""

    __slots__ = ("_sign", "keys", "levels")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.keys: list[int] = []
        self.levels: list[Level] = []

    def load(self, levels: list[Level]) -> None:
        """Replace everything. Order on the wire does not matter; a price sent twice raises LevelError."""
        keyed = [(self._sign * price_key(level[0]), level) for level in levels if not is_zero(level[1])]
        keyed.sort(key=lambda pair: pair[0])
        self.keys = [key for key, _ in keyed]
        self.levels = [level for _, level in keyed]
        for (key, level), (following, _) in pairwise(keyed):
            if key == following:
                raise LevelError(f"price {level[0]} stands twice on one side of a full book")

    def update(self, levels: list[Level]) -> int:
        """Set or delete each level; returns how many deletes named a price that was not there (legal)."""
        keys, own, sign = self.keys, self.levels, self._sign
        unknown = 0
        for level in levels:
            key = sign * price_key(level[0])
            at = bisect_left(keys, key)
            held = at < len(keys) and keys[at] == key
            if is_zero(level[1]):
                if held:
                    del keys[at], own[at]
                else:
                    unknown += 1
            elif held:
                own[at] = level
            else:
                keys.insert(at, key)
                own.insert(at, level)
        return unknown


class Book:
    """One instrument's book after the last applied change; `ts_ms` is its time and never moves backwards."""

    __slots__ = ("_asks", "_bids", "checksum", "prev_seq_id", "seq_id", "ts_ms", "unknown_deletes")

    def __init__(self) -> None:
        self._bids = Side(-1)
        self._asks = Side(1)
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
        for side, own in ((twin._bids, self._bids), (twin._asks, self._asks)):
            side.keys, side.levels = own.keys.copy(), own.levels.copy()
        twin.ts_ms, twin.seq_id, twin.prev_seq_id = self.ts_ms, self.seq_id, self.prev_seq_id
        twin.checksum = self.checksum
        return twin

    def top(self, depth: int) -> tuple[list[Level], list[Level]]:
        """Bids and asks, best first, at most `depth` of each; the lists are the caller's own."""
        return self._bids.levels[:depth], self._asks.levels[:depth]

    def breach(self, is_live: bool) -> str | None:
        """The invariant this book breaks, in words, or None.

        Docs trick_en: in a call auction "the best ask price may be lower than the best bid price", so a crossed or
        locked book is a breach only while the instrument `is_live`.
        """
        bids, asks = self._bids, self._asks
        if max(len(bids.keys), len(asks.keys)) > CHANNEL_DEPTH:
            return f"{len(bids.keys)} bids and {len(asks.keys)} asks, where OKX keeps {CHANNEL_DEPTH} a side"
        if is_live and bids.keys and asks.keys and -bids.keys[0] >= asks.keys[0]:
            return f"crossed: best bid {bids.levels[0][0]}, best ask {asks.levels[0][0]}"
        return None
