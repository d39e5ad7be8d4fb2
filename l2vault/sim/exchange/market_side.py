"""One side of a simulated book: a latent book deeper than the channel, and the 400 levels of it that are shown.

A level's key is its tick for asks and minus its tick for bids, so that the best key is the least on both sides; sizes
are whole lots, and text is made only of what is sent. Knows no clock and not the other side: what may not be crossed is
handed in.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from random import Random
from typing import Final

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import Level
from l2vault.sim.exchange.market_shape import Shape

_BEYOND: Final = 1 << 62
"""A key no level reaches: the edge of a window that shows the whole side."""

_RANK_BANDS: Final = ((0, 0.07, 1), (1, 0.09, 4), (5, 0.25, 20), (25, 0.40, 75), (100, 0.19, 380))
"""First rank, share of all events, and ranks of each band; from where changes fell on BTC-USDT in 2022."""

_ORDER_COUNTS: Final = (1,) * 74 + (2,) * 15 + (3,) * 5 + (4,) * 3 + (5, 7, 12)
"""In hundredths, between the two sides of BTC-USDT in July 2026: 0.61 and 0.86 of the levels were one order."""

_ECHO_CHANCE: Final = 0.02
"""Chance an event re-sends a level unchanged or deletes a price that holds none: both are seen on the wire."""

_TOUCH_USD: Final = (150_000.0, 800_000.0)
_DUST_USD: Final = (15.0, 220.0)
_QUOTE_USD: Final = (1_500.0, 40_000.0)
_LARGE_USD: Final = (40_000.0, 400_000.0)
_WALL_USD: Final = (1_500_000.0, 9_000_000.0)
_MOST_WALLS: Final = 5
_BROKEN_SHARE: Final = 0.15
"""A wall eaten down to this share of its first size gives way."""

Size = tuple[int, int]
"""Lots and orders."""


class MarketSide:
    """Resting orders of one side, always at least one; every call that alters it is part of the next `changes`."""

    __slots__ = ("_bites", "_edge", "_gap_factor", "_rng", "_shape", "_sizes", "_touch", "_touched", "_walls", "keys")

    def __init__(self, sign: int, best_tick: int, shape: Shape, rng: Random) -> None:
        self._shape = shape
        self._rng = rng
        self._gap_factor = 1 / math.log(1 - shape.occupied)
        self.keys = [sign * best_tick]
        self._touch = self.keys[0]
        self._sizes: dict[int, Size] = {self._touch: self._touch_size()}
        self._walls: dict[int, tuple[int, int]] = {}
        """By key: until when each stands, and at how many lots it gives way."""
        self._bites: dict[int, tuple[int, int]] = {}
        """By key: the least and the most that a trade takes of a wall that is a whale."""
        self._touched: dict[int, Size | None] = {}
        self.refill()
        self._edge = self._window_edge()
        self._touched.clear()

    @property
    def best(self) -> int:
        return self.keys[0]

    def image(self) -> list[Level]:
        """The levels shown, best first."""
        return self.levels(self.held(CHANNEL_DEPTH))

    def held(self, depth: int) -> list[tuple[int, Size]]:
        """The best `depth` of the levels shown, without their texts, which take most of the time."""
        sizes = self._sizes
        return [(key, sizes[key]) for key in self.keys[: min(depth, CHANNEL_DEPTH)]]

    def levels(self, held: Sequence[tuple[int, Size]]) -> list[Level]:
        """What was `held`, as it is sent."""
        return [self._level_of(key, size) for key, size in held]

    def changes(self) -> list[Level]:
        """What became of the levels shown since the last call, best first.

        OKX deletes what is pushed out of its window of 400 and sends whole what comes back into it. A price whose
        level came and went in between is deleted though nobody holds it; a level that is as it was is sent again.
        """
        sizes, touched, old_edge = self._sizes, self._touched, self._edge
        edge = self._edge = self._window_edge()
        if edge != old_edge:
            rolled = slice(bisect_right(self.keys, min(edge, old_edge)), bisect_right(self.keys, max(edge, old_edge)))
            for key in self.keys[rolled]:
                touched.setdefault(key, sizes[key])
        levels: list[Level] = []
        for key in sorted(touched):
            if key <= edge and key in sizes:
                levels.append(self._level(key))
            elif key <= (edge if touched[key] is None else old_edge):
                levels.append((self._shape.price.text(abs(key)), "0", "0", "0"))
        touched.clear()
        return levels

    def stir(self, events: int, limit: int) -> None:
        """So many orders come, change or go, most of them near the touch; no key is set at or below `limit`.

        Each event draws a rank and a geometric gap and compares it with the gap that stands there. Smaller: a level is
        added that far behind its better neighbour. Equal: the level changes. Larger: it is cancelled. Adding and
        cancelling then balance in detail, so gaps stay geometric for ever, however events are spread over the ranks.
        """
        keys, random = self.keys, self._rng.random
        for _ in range(events):
            rank = _event_rank(random()) % len(keys)
            if rank == 0:
                self._stir_touch(limit)
                continue
            key, better = keys[rank], keys[rank - 1]
            behind = better + self._gap()
            if random() < _ECHO_CHANCE:
                self._touched.setdefault(behind, self._sizes.get(behind))
            elif behind < key:
                self._put(behind, self._ordinary_size(rank))
            elif key in self._walls:
                self._nibble(key)
            elif behind == key:
                self._put(key, self._ordinary_size(rank))
            else:
                self._drop(rank)

    def eat(self, limit: int) -> int:
        """Trade away every level better than `limit`, or up to a wall that holds or the last level of all.

        Returns the key the price has reached: `limit`, or the best level left where that is better.
        """
        keys = self.keys
        eaten = 0
        while eaten < len(keys) - 1 and keys[eaten] < limit and not self._wall_holds(keys[eaten]):
            eaten += 1
        for key in keys[:eaten]:
            self._forget(key)
        del keys[:eaten]
        return min(limit, keys[0])

    def lay(self, best: int) -> None:
        """Makers quote up to the new best key `best`, with gaps; nothing where the side is as good already."""
        key, held = best, self.keys[0]
        while key < held:
            self._put(key, self._ordinary_size(0))
            key += self._gap()

    def raise_wall(self, until_ms: int) -> None:
        """A very large order at a round price some way off, to be pulled at `until_ms` unless it is eaten before."""
        if len(self._walls) - len(self._bites) >= _MOST_WALLS:
            return
        away = self.keys[min(len(self.keys) - 1, 5 + int(self._rng.random() * 300))]
        grid = self._shape.wall_grid
        key = -(-away // grid) * grid
        if key in self._walls:
            return
        lots = self._lots(_WALL_USD)
        self._put(key, (lots, 1 + int(self._rng.random() ** 4 * 70)))
        self._walls[key] = (until_ms, int(lots * _BROKEN_SHARE))

    def pull_walls(self, now_ms: int) -> None:
        """Cancel the walls whose time is over; one at the touch stays as what it is worth there."""
        for key in [key for key, (until_ms, _) in self._walls.items() if until_ms <= now_ms]:
            self.pull_wall(key)

    def pull_wall(self, key: int) -> Size:
        """Cancel the wall at `key`, whatever its time; returns what it was."""
        size = self._sizes[key]
        del self._walls[key]
        self._bites.pop(key, None)
        if key == self.keys[0]:
            self._put(key, self._touch_size())
        else:
            self._drop(bisect_right(self.keys, key) - 1)
        return size

    def place_whale(self, key: int, size: Size, bite: tuple[int, int]) -> None:
        """A wall at `key`, behind the best, that no passing order alters: it stands until `pull_wall`, or until trades
        have eaten it, each of which takes lots between the two of `bite`."""
        self._put(key, size)
        self._walls[key] = (_BEYOND, int(size[0] * _BROKEN_SHARE))
        self._bites[key] = bite

    def has_wall(self, key: int) -> bool:
        return key in self._walls

    def rank(self, key: int) -> int:
        """How many levels are better than `key`."""
        return bisect_left(self.keys, key)

    def round_key(self, key: int) -> int:
        """The first key from `key` on, away from the touch, that is a round price without a wall."""
        grid = self._shape.wall_grid
        key = -(-key // grid) * grid
        while key in self._walls:
            key += grid
        return key

    def refill(self) -> None:
        """Restore the far end and the touch: the depth is kept, and the best level is a large one, no other."""
        keys, wanted = self.keys, self._shape.levels
        while len(keys) < wanted:
            self._put(keys[-1] + self._gap(), self._ordinary_size(len(keys)))
        while len(keys) > wanted + wanted // 8:
            self._drop(len(keys) - 1)
        best, former = keys[0], self._touch
        if best != former:
            self._touch = best
            if former in self._sizes and former not in self._walls:
                self._put(former, self._ordinary_size(1))
            if best not in self._walls:
                self._put(best, self._touch_size())

    def _stir_touch(self, limit: int) -> None:
        """Somebody narrows the spread, joins or leaves the best level, or the best level goes."""
        best, luck = self.keys[0], self._rng.random()
        narrowed = limit + self._spread()
        if narrowed < best:
            self._put(narrowed, self._touch_size())
        elif best in self._walls:
            self._nibble(best)
        elif luck < 0.04 and len(self.keys) > 1:
            self._drop(0)
        else:
            lots, orders = self._sizes[best]
            fresh_lots, fresh_orders = self._touch_size()
            self._put(best, ((3 * lots + fresh_lots) // 4 or 1, (3 * orders + fresh_orders) // 4 or 1))

    def _wall_holds(self, key: int) -> bool:
        """Whether a wall at `key` survives the trade that has come to it; it is smaller afterwards."""
        if key not in self._walls:
            return False
        lots, orders = self._sizes[key]
        luck, bite = self._rng.random(), self._bites.get(key)
        left = int(lots * (0.5 + 0.5 * luck)) if bite is None else lots - bite[0] - int(luck * (bite[1] - bite[0]))
        if left <= self._walls[key][1]:
            return False
        self._put(key, (left, orders))
        return True

    def _nibble(self, key: int) -> None:
        """A wall is neither cancelled nor replaced by passing orders: a little is taken from it or joins it."""
        if key in self._bites:
            return
        lots, orders = self._sizes[key]
        self._put(key, (max(1, int(lots * (0.95 + 0.1 * self._rng.random()))), orders))

    def _put(self, key: int, size: Size) -> None:
        before = self._sizes.get(key)
        if before is None:
            insort(self.keys, key)
        self._touched.setdefault(key, before)
        self._sizes[key] = size

    def _drop(self, rank: int) -> None:
        self._forget(self.keys.pop(rank))

    def _forget(self, key: int) -> None:
        self._touched.setdefault(key, self._sizes.pop(key))
        self._walls.pop(key, None)
        self._bites.pop(key, None)

    def _window_edge(self) -> int:
        """The worst key shown."""
        return self.keys[CHANNEL_DEPTH - 1] if len(self.keys) >= CHANNEL_DEPTH else _BEYOND

    def _level(self, key: int) -> Level:
        return self._level_of(key, self._sizes[key])

    def _level_of(self, key: int, size: Size) -> Level:
        lots, orders = size
        return self._shape.price.text(abs(key)), self._shape.quantity.text(lots), "0", str(orders)

    def _gap(self) -> int:
        return 1 + int(math.log(1 - self._rng.random()) * self._gap_factor)

    def _spread(self) -> int:
        return 1 if self._rng.random() < self._shape.tight_share else 1 + self._gap()

    def _lots(self, usd: tuple[float, float]) -> int:
        """Log-uniform between two values on BTC-USDT-SWAP, scaled to this instrument."""
        low, high = usd
        return int(low * (high / low) ** self._rng.random() * self._shape.lots_per_usd) or 1

    def _touch_size(self) -> Size:
        return self._lots(_TOUCH_USD), 4 + int(self._rng.random() ** 2 * 45)

    def _ordinary_size(self, rank: int) -> Size:
        """Small leftovers and makers' quotes, the former more often the deeper; now and then a large order."""
        random = self._rng.random
        luck = random()
        orders = _ORDER_COUNTS[int(random() * 100)]
        if luck < 0.03:
            return self._lots(_LARGE_USD), orders
        return self._lots(_DUST_USD if luck < (0.35 if rank < 100 else 0.65) else _QUOTE_USD), orders


def _event_rank(luck: float) -> int:
    for first, share, width in _RANK_BANDS:
        if luck < share:
            return first + int(luck / share * width)
        luck -= share
    return 0
