"""Whales of the built-in market: now and then one resting order far larger than all others, at most one an instrument.

A whale stands until its time is over, or until the market has left it behind, and is pulled. Some move to another price
now and then, and any of them may be traded away by a market that comes to it. Reads no clock.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Final

from l2vault.sim.exchange.market_shape import Shape
from l2vault.sim.exchange.market_side import MarketSide

_FIRST_MS: Final = 8_000
"""After the start, so that whoever records from the start on sees it being placed."""
_REST_MS: Final = (30_000, 150_000)
"""Between the end of one and the next."""
_LIFE_MS: Final = (240_000.0, 1_200_000.0)
_STAY_MS: Final = (90_000.0, 300_000.0)
"""At one price, of a whale that moves."""
_MOVES_SHARE: Final = 0.5
_MOVE_SHARE: Final = 0.0003
"""At most so far, as a share of the price: what moves less than 5 bps is the same wall to `l2vault walls`."""

_USD: Final = (80e6, 140e6)
"""Of BTC-USDT-SWAP. A level of this market exceeds 24 to 53 M USD by chance once in 10,000 (`l2vault walls`), since one
order in 30 is of `_LARGE_USD`."""
_BITE_USD: Final = (0.5e6, 6e6)
"""What a trade that has come to it takes of it."""
_ORDERS: Final = (1, 4)
_AWAY_SHARE: Final = (0.0003, 0.0007)
"""Where it is placed, from the touch, as a share of the price: in sight, and not before a burst has come so far."""
_FAR_RANK: Final = 370
"""Behind so many levels it is pulled and another one placed near, before it is out of the 400 that are shown."""
_FAR_REST_MS: Final = (1_000, 4_000)


@dataclass(slots=True)
class _Whale:
    side: MarketSide
    key: int
    until_ms: int
    moves_ms: int | None
    """When it moves next."""


class Whales:
    """Those of one instrument. `act` once in each step of the market, behind its trades."""

    def __init__(self, seed: int, inst_id: str, shape: Shape, start_ms: int) -> None:
        self._rng = Random(f"{seed} large {inst_id}")
        self._shape = shape
        self._whale: _Whale | None = None
        self._next_ms = start_ms + _FIRST_MS

    def act(self, now_ms: int, bids: MarketSide, asks: MarketSide) -> None:
        """Place one, move it, pull it, or see that it was traded away."""
        whale = self._whale
        if whale is None:
            if now_ms >= self._next_ms:
                self._place(now_ms, bids if self._rng.random() < 0.5 else asks)
        elif not whale.side.has_wall(whale.key):
            self._end(now_ms)
        elif now_ms >= whale.until_ms:
            whale.side.pull_wall(whale.key)
            self._end(now_ms)
        elif whale.side.rank(whale.key) > _FAR_RANK:
            whale.side.pull_wall(whale.key)
            self._end(now_ms, _FAR_REST_MS)
        elif whale.moves_ms is not None and now_ms >= whale.moves_ms:
            self._move(now_ms, whale)

    def _place(self, now_ms: int, side: MarketSide) -> None:
        away = self._uniform(_AWAY_SHARE) * self._shape.start_tick
        key = side.round_key(side.best + int(away))
        lots = int(self._uniform(_USD) * self._shape.lots_per_usd)
        side.place_whale(key, (max(1, lots), self._rng.randint(*_ORDERS)), self._bite())
        moves_ms = self._later(now_ms, _STAY_MS) if self._rng.random() < _MOVES_SHARE else None
        self._whale = _Whale(side, key, self._later(now_ms, _LIFE_MS), moves_ms)

    def _move(self, now_ms: int, whale: _Whale) -> None:
        """To another price in the same step, with all that is left of it; away from a market that is near."""
        most = max(1, int(_MOVE_SHARE * self._shape.start_tick))
        by = self._rng.randint(1, most)
        is_near = whale.key - whale.side.best < 2 * most
        key = whale.side.round_key(whale.key + by if is_near or self._rng.random() < 0.5 else whale.key - by)
        size = whale.side.pull_wall(whale.key)
        whale.side.place_whale(key, size, self._bite())
        whale.key, whale.moves_ms = key, self._later(now_ms, _STAY_MS)

    def _end(self, now_ms: int, rest_ms: tuple[int, int] = _REST_MS) -> None:
        self._whale, self._next_ms = None, now_ms + self._rng.randint(*rest_ms)

    def _bite(self) -> tuple[int, int]:
        low, high = _BITE_USD
        return max(1, int(low * self._shape.lots_per_usd)), max(2, int(high * self._shape.lots_per_usd))

    def _later(self, now_ms: int, length_ms: tuple[float, float]) -> int:
        low, high = length_ms
        return now_ms + int(low * math.exp(self._rng.random() * math.log(high / low)))

    def _uniform(self, bounds: tuple[float, float]) -> float:
        return bounds[0] + (bounds[1] - bounds[0]) * self._rng.random()
