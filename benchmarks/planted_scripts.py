"""What walls do in the planted market: each script is one wall, each `yield` a step of the feed.

One script at a time drives the price; the others let it come as it may. A script says what a wall wants; how it ended
is what the market then did to it.
"""

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from planted import CROWD, WALL_USD, Life, PlantedMarket, PlantedSide

Script = Iterator[None]

_STEPS_PER_SEC: Final = 9
_SIZES: Final = (1.2, 20.0)
"""Log-uniform, in `WALL_USD`."""
_MOVE_BPS: Final = (0.5, 4.0)
_MOVE_SEC: Final = (0.1, 3.0)
_FAR_RANKS: Final = (60, 340)
_NEAR_TICKS: Final = (8, 32)
_IDLE_CHANCE: Final = 1 / 900
"""A step, of a script that leaves the price alone to begin: about one in 100 s."""


class Scripts:
    """Runs them on a market. `step` belongs between `begin` and `push`."""

    def __init__(self, market: PlantedMarket) -> None:
        self._market = market
        self._rng = market.rng
        self._wall = 0
        self._driving: Script = iter(())
        self._idle: list[Script] = []

    def step(self) -> None:
        if next(self._driving, self) is self:
            self._market.drive, self._market.flow_usd = 0.0, None
            self._driving = self._begun(self._rng.choice(_DRIVING))
        if self._rng.random() < _IDLE_CHANCE:
            self._idle.append(self._begun(self._rng.choice(_IDLE)))
        self._idle = [script for script in self._idle if next(script, self) is not self]

    def _begun(self, script: Callable[["Stage"], Script]) -> Script:
        self._wall += 1
        return script(Stage(self._market, self._wall))


class Stage:
    """What scripts have in common: a wall, its side, and the ways of the market."""

    def __init__(self, market: PlantedMarket, wall: int) -> None:
        self.market = market
        self.wall = wall
        self.rng: Random = market.rng
        self.sign = 1 if self.rng.random() < 0.5 else -1
        self.usd = WALL_USD * self.between(_SIZES)
        self.orders = 1 + int(self.rng.random() ** 3 * 6)

    @property
    def side(self) -> PlantedSide:
        return self.market.side(self.sign)

    def between(self, bounds: tuple[float, float]) -> float:
        """Log-uniform."""
        low, high = bounds
        return low * math.exp(self.rng.random() * math.log(high / low))

    def sec(self, low: float, high: float) -> Script:
        """Wait so long."""
        for _ in range(int(self.between((low, high)) * _STEPS_PER_SEC) or 1):
            yield

    def ranked(self, low: int, high: int) -> Life:
        return self.at(self.side.keys[self.rng.randrange(low, high)])

    def ahead(self, low: int, high: int) -> Life:
        """So many ticks from the touch."""
        return self.at(self.side.best + self.rng.randrange(low, high))

    def at(self, key: int, lots: int = 0) -> Life:
        """The wall at this price, or the next one without a wall; of its whole size, unless so much is left of it."""
        while key in self.side.lives:
            key += 1
        return self.market.place(self.wall, self.sign, key, (lots or self.market.lots(self.usd), self.orders))

    def pull(self, life: Life) -> None:
        self.market.resize(life, 0)

    def arrive(self, life: Life, within: int, ticks: tuple[float, float]) -> Script:
        """Drive the price to so many ticks before the wall."""
        self.market.drive = self.sign * self.between(ticks)
        for _ in range(900):
            if not life.lots or life.key - self.side.best <= within:
                return
            yield

    def press(self, life: Life, usd: float, sec: int = 90) -> Script:
        """Trade it away, so much a step."""
        self.market.flow_usd = usd
        for _ in range(sec * _STEPS_PER_SEC):
            if not life.lots:
                return
            yield

    def leave(self, ticks: tuple[float, float], low: float, high: float) -> Script:
        """The price goes elsewhere."""
        self.market.drive = -self.sign * self.between(ticks)
        self.market.flow_usd = None
        yield from self.sec(low, high)


def _pulled_before_the_price_comes(on: Stage) -> Script:
    life = on.ahead(60, 300)
    yield from on.arrive(life, on.rng.randrange(*_NEAR_TICKS), (3, 10))
    on.pull(life)
    yield from on.sec(1, 4)


def _pulled_at_the_touch(on: Stage) -> Script:
    life = on.ahead(40, 200)
    yield from on.arrive(life, 0, (3, 10))
    on.market.flow_usd = on.usd / 400
    yield from on.sec(0.2, 8)
    on.pull(life)
    yield from on.sec(1, 4)


def _partly_filled(on: Stage) -> Script:
    """Then pulled, at once or when the price has gone."""
    life = on.ahead(40, 200)
    yield from on.arrive(life, 0, (3, 10))
    share = on.rng.uniform(0.2, 0.45)
    on.market.flow_usd = on.usd / on.rng.randrange(20, 200)
    for _ in range(900):
        if life.traded >= share * on.market.lots(on.usd) or not life.lots:
            break
        yield
    if on.rng.random() < 0.5:
        yield from on.leave((3, 8), 3, 12)
    on.pull(life)


def _consumed_slowly(on: Stage) -> Script:
    life = on.ahead(40, 200)
    yield from on.arrive(life, 0, (4, 10))
    yield from on.press(life, on.usd / on.rng.randrange(20, 250))
    yield from on.sec(1, 3)


def _swept(on: Stage) -> Script:
    life = on.ahead(100, 300)
    yield from on.sec(3, 20)
    on.market.flow_usd = 1e9
    yield from on.arrive(life, 0, (20, 60))
    yield from on.press(life, 1e9)
    on.market.drive = 0.0
    yield from on.sec(1, 6)


def _iceberg(on: Stage) -> Script:
    life = on.ahead(40, 200)
    yield from on.arrive(life, 0, (4, 10))
    full, on.market.flow_usd = on.market.lots(on.usd), on.usd / on.rng.randrange(10, 40)
    for _ in range(on.rng.randrange(2, 6)):
        while life.lots > 0.3 * full:
            yield
        life.is_iceberg = True
        on.market.resize(life, full)
    yield from on.press(life, on.usd / 20)


def _out_of_sight(on: Stage) -> Script:
    """And back, where it still stands or was pulled meanwhile."""
    life = on.ranked(200, 340)
    yield from on.sec(4, 15)
    on.market.drive = -on.sign * on.between((4, 12))
    for _ in range(900):
        if life.key > on.side.edge or not life.lots:
            break
        yield
    yield from on.sec(2, 4)
    on.market.drive = 0.0
    yield from on.sec(4, 40)
    if on.rng.random() < 0.4:
        on.pull(life)
    on.market.drive = on.sign * on.between((4, 12))
    for _ in range(900):
        if life.key < on.side.edge - 60:
            break
        yield
    on.market.drive = 0.0
    yield from on.sec(4, 20)
    on.pull(life)


def _pulled_far(on: Stage) -> Script:
    life = on.ranked(*_FAR_RANKS)
    yield from on.sec(3, 120)
    on.pull(life)


def _moved(on: Stage) -> Script:
    """Some times in a row, to either side, never past the touch or out of the window."""
    life = on.ranked(*_FAR_RANKS)
    for _ in range(on.rng.randrange(1, 6)):
        yield from on.sec(1, 30)
        if not life.lots:
            return
        ticks = int(on.between(_MOVE_BPS) * abs(life.key) / 10_000)
        keys = [key for key in (life.key - ticks, life.key + ticks) if on.side.best + 5 < key < on.side.edge - 20]
        if not keys:
            break
        life.is_moved = True
        lots = life.lots
        on.pull(life)
        yield from on.sec(*_MOVE_SEC)
        life = on.at(max(on.rng.choice(keys), on.side.best + 2), lots)
    yield from on.sec(5, 40)
    on.pull(life)


def _stepped(on: Stage) -> Script:
    """Grown and shrunk, never below three fifths of its first size."""
    life = on.ranked(*_FAR_RANKS)
    first = life.lots
    for _ in range(on.rng.randrange(3, 9)):
        yield from on.sec(2, 12)
        on.market.resize(life, int(first * on.rng.uniform(0.6, 2.0)))
    yield from on.sec(2, 12)
    on.pull(life)


def _crowd(on: Stage) -> Script:
    """Many small orders; in the end they leave one after the other."""
    on.orders = on.rng.randrange(CROWD, 5 * CROWD)
    life = on.ranked(*_FAR_RANKS)
    yield from on.sec(10, 90)
    while life.orders > 10 and life.lots:
        life.orders -= 10
        on.market.resize(life, int(life.lots * life.orders / (life.orders + 10)))
        yield
    on.pull(life)


def _standing(on: Stage) -> Script:
    """For so long that a hole, the end or the price comes over it."""
    life = on.ranked(*_FAR_RANKS)
    yield from on.sec(300, 1500)
    on.pull(life)


_DRIVING: Final = (
    _pulled_before_the_price_comes,
    _pulled_at_the_touch,
    _partly_filled,
    _consumed_slowly,
    _consumed_slowly,
    _swept,
    _iceberg,
    _out_of_sight,
    _out_of_sight,
)
_IDLE: Final = (_pulled_far, _pulled_far, _moved, _moved, _moved, _stepped, _crowd, _standing)
