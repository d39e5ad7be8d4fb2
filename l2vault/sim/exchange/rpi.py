"""The RPI orders of a made-up market, for REST `books-rpi`: at the touch of its book and on the ticks behind it.

Nothing of it is kept: what rests at a price follows from the seed, the price, the time and the book alone, so that the
channel's own pushes are the same whether or not anybody asks. At the touch there is always at least what a made-up
trade of source 1 takes (`trades`), whoever is filled puts as much in its place at once, and none rests inside the
spread, since those trades are at the touch. Pure.
"""

from random import Random
from typing import Final

from l2vault.book.change import Level
from l2vault.book.price import price_key
from l2vault.sim.exchange.deep import mixed, share
from l2vault.sim.exchange.levels import price_text
from l2vault.sim.exchange.market_shape import Shape, shape_of
from l2vault.sim.exchange.trades import MOST_RPI_UNITS, unit_of

RpiLevel = tuple[str, str, str, str]
"""Price, quantity in all, quantity without RPI orders, number of orders: the form of `books-rpi`."""

_TICKS: Final = 25
"""From the touch on, on which RPI orders rest."""
_TAKEN_SHARE: Final = 0.6
"""Of the time, just behind the touch; it falls to nothing over the ticks."""
_SHORTEST_LIFE_MS: Final = 2_000
_USD: Final = (1_500.0, 60_000.0)
_MOST_ORDERS: Final = 3
_SPREAD: Final = 0x9E3779B97F4A7C15
"""An odd number far from any pattern (2^64 over the golden ratio), so that neighbouring ticks get unlike bits."""
_WORD: Final = (1 << 64) - 1


class MarketRpi:
    """The RPI orders of any instrument of the market of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._shapes: dict[str, Shape] = {}
        self._sides: dict[tuple[str, bool], int] = {}

    def side(self, inst_id: str, shown: list[Level], is_bid: bool, ts_ms: int) -> list[RpiLevel]:
        """`shown`, a side of the book best first, with what RPI orders add to it at a time, best first too."""
        if not shown:
            return []
        shape = self._shapes.get(inst_id) or self._shapes.setdefault(inst_id, shape_of(inst_id))
        touch, step = shape.price.count(shown[0][0]), -1 if is_bid else 1
        added: dict[int, tuple[int, int]] = {}
        for distance in range(_TICKS):
            tick = touch + step * distance
            found = self._at(shape, self._bits(inst_id, is_bid, tick), distance, ts_ms) if tick > 0 else None
            if found is not None:
                added[tick] = found
        lots, orders = added[touch]
        added[touch] = max(lots, MOST_RPI_UNITS * unit_of(price_key(shown[0][1]))), orders
        levels: dict[int, RpiLevel] = {}
        for price, quantity, _, count in shown:
            more, makers = added.pop(shape.price.count(price), (0, 0))
            total = price_text(price_key(quantity) + more) if more else quantity
            levels[price_key(price)] = price, total, quantity, str(int(count) + makers)
        for tick, (amount, makers) in added.items():
            price = shape.price.text(tick)
            levels[price_key(price)] = price, price_text(amount), "0", str(makers)
        return [levels[key] for key in sorted(levels, reverse=is_bid)]

    def _bits(self, inst_id: str, is_bid: bool, tick: int) -> int:
        """64 random bits of a price of a side."""
        base = self._sides.get((inst_id, is_bid))
        if base is None:
            name = f"{self._seed} rpi {inst_id} {'bid' if is_bid else 'ask'}"
            base = self._sides[inst_id, is_bid] = Random(name).getrandbits(64)
        return mixed(base ^ tick * _SPREAD & _WORD)

    def _at(self, shape: Shape, own: int, distance: int, ts_ms: int) -> tuple[int, int] | None:
        """What rests at a tick at a time, in units of 1e-18 contracts, and of how many orders; None where nothing."""
        life_ms = _SHORTEST_LIFE_MS << (own >> 32 & 3)
        drawn = mixed(own ^ (ts_ms + (own >> 40) % life_ms) // life_ms)
        if distance and share(drawn) >= _TAKEN_SHARE * (1 - distance / _TICKS):
            return None
        low, high = _USD
        lots = int(low * (high / low) ** share(drawn >> 32) * shape.lots_per_usd) or 1
        return price_key(shape.quantity.text(lots)), 1 + int(share(drawn >> 48) * _MOST_ORDERS)
