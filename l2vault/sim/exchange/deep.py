"""What a made-up market holds beyond the 400 levels of the channel, for REST `books-full`.

Nothing of it is kept: whether a price holds a level, and which, follows from the seed, the price and the time alone, so
that the channel's own pushes are the same whether or not anybody asks. A level stands for half a minute to an hour; one
that comes within the 400 is replaced by whatever the market has there. Pure.
"""

from random import Random
from typing import Final

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import Level
from l2vault.book.deep import DeepLevel
from l2vault.sim.exchange.market_shape import Shape, shape_of

_SHORTEST_LIFE_MS: Final = 30_000
_TAKEN_SHARE: Final = 0.75
"""Of the time, at a price at which there is a level now and then."""
_DUST_USD: Final = (15.0, 220.0)
_QUOTE_USD: Final = (1_500.0, 40_000.0)
_LARGE_USD: Final = (40_000.0, 400_000.0)
_WALL_USD: Final = (3_000_000.0, 20_000_000.0)
_WALL_CHANCE: Final = 0.04
"""Of a round price: one that stands."""

_BLOCK: Final = 1024
"""Ticks whose random numbers are drawn together."""
_BLOCKS_KEPT: Final = 512
_WORD: Final = (1 << 64) - 1
_Block = list[int]


class MarketTails:
    """The levels behind those shown, of any instrument of the market of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._shapes: dict[str, Shape] = {}
        self._blocks: dict[str, _Block] = {}

    def levels(self, inst_id: str, shown: list[Level], is_bid: bool, ts_ms: int, most: int) -> list[DeepLevel]:
        """At most `most` levels behind `shown`, which is a side best first, as they stand at a time. None where the
        side is shorter than the channel: then all of it is shown."""
        if len(shown) < CHANNEL_DEPTH:
            return []
        shape = self._shapes.get(inst_id) or self._shapes.setdefault(inst_id, shape_of(inst_id))
        limit = round(min(1.0, shape.occupied / _TAKEN_SHARE) * 0xFFFF)
        side = f"{self._seed} {inst_id} {'bid' if is_bid else 'ask'}"
        tick, step = shape.price.count(shown[-1][0]), -1 if is_bid else 1
        found: list[DeepLevel] = []
        while len(found) < most and (tick := tick + step) > 0:
            own = self._block(side, tick // _BLOCK)[tick % _BLOCK]
            is_wall = tick % shape.wall_grid == 0 and share(own >> 16) < _WALL_CHANCE
            if is_wall or own & 0xFFFF < limit:
                level = _level(shape, tick, own, ts_ms, is_wall)
                if level is not None:
                    found.append(level)
        return found

    def _block(self, side: str, number: int) -> _Block:
        """64 random bits for each tick of a block."""
        name = f"{side} {number}"
        block = self._blocks.get(name)
        if block is None:
            if len(self._blocks) >= _BLOCKS_KEPT:
                self._blocks.clear()
            block = self._blocks[name] = [*memoryview(Random(name).randbytes(8 * _BLOCK)).cast("Q")]
        return block


def _level(shape: Shape, tick: int, own: int, ts_ms: int, is_wall: bool) -> DeepLevel | None:
    """What stands at a tick at a time; None where nothing does."""
    life_ms = _SHORTEST_LIFE_MS << (own >> 32 & 7)
    drawn = mixed(own ^ (ts_ms + (own >> 40) % life_ms) // life_ms)
    if not is_wall and share(drawn) >= _TAKEN_SHARE:
        return None
    kind = share(drawn >> 16)
    usd = _LARGE_USD if kind < 0.03 else _DUST_USD if kind < 0.65 else _QUOTE_USD
    low, high = _WALL_USD if is_wall else usd
    lots = int(low * (high / low) ** share(drawn >> 32) * shape.lots_per_usd) or 1
    orders = 1 + int(share(drawn >> 48) ** 8 * 12)
    return shape.price.text(tick), shape.quantity.text(lots), str(orders)


def mixed(number: int) -> int:
    """A number whose bits look random (the end of splitmix64; Steele, Lea and Flood, 2014)."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _WORD
    return number ^ number >> 31


def share(bits: int) -> float:
    """The lowest 16 bits as a number from 0 up to 1."""
    return (bits & 0xFFFF) / 65_536
