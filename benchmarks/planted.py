"""A market in which every wall is known: what it was, where it stood, what was traded of it, and how it ended.

The background is that of the built-in market, with sizes as heavy-tailed as real ones. Orders of the background never
move and are no walls, however large. What walls do is written in `planted_scripts`.
"""

import math
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, NamedTuple

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange, Level
from l2vault.sim.exchange.market_shape import Shape, shape_of
from l2vault.sim.exchange.market_side import MarketSide, Size

INST: Final = "BTC-USDT-SWAP"
WALL_USD: Final = 1_000_000.0
"""Planted sizes are in it. It is about what 99.8 % of real levels are below: 0.97 M on 344 s of August 2024."""

CROWD: Final = 60
"""Orders from which on a wall is one of many; scripts plant whales of a few."""

_LEVEL_USD: Final = (3_000.0, 2.0)
_TOUCH_USD: Final = (180_000.0, 0.83)
_FLOW_USD: Final = (150_000.0, 1.0)
"""Median and spread of log-normal sizes. Those books: median 3 k, 99 % 270 k; at the touch 180 k and 1.2 M. The last is
what is traded in a step at one price, when the market trades."""

_LATENT_LEVELS: Final = 2_400
"""Six windows deep, so that a wall out of sight is not forgotten."""
_OCCUPIED: Final = 0.6
"""Of all ticks; 400 levels of those books reached 10 basis points."""
_CALM_TICKS: Final = 6.0
_PATIENCE: Final = 2.0
_TETHER: Final = 2e-4
"""Share of its way from where it started that the price comes back in a step."""
_STEP_MS: Final = 100
_STEP_EXTRA_MS: Final = 26


class Taken(NamedTuple):
    """What a taker took of one price in one step, in lots. The key of an ask is above 0, that of a bid below."""

    key: int
    lots: int


@dataclass(slots=True)
class Life:
    """A wall at one price, from when it was placed there until nothing of it was left; sizes in lots."""

    wall: int
    sign: int
    key: int
    orders: int
    lots: int
    from_ms: int
    until_ms: int | None = None
    traded: int = 0
    cancelled: int = 0
    first_trade_ms: int = 0
    is_moved: bool = False
    is_resized: bool = False
    is_iceberg: bool = False
    """It was filled up again while it was traded."""
    was_in_sight: bool = True
    """When it ended."""
    ticks_behind: int = 0
    """From the best price of its side, when it ended."""
    orders_placed: int = field(init=False)
    course: list[tuple[int, int, int]] = field(default_factory=list)
    """At each time at which anything left it, all that had been traded and cancelled by then."""
    seen: dict[int, int] = field(default_factory=dict)
    """Its size in each recorded book that shows it, by the number of the book."""

    def __post_init__(self) -> None:
        self.orders_placed = self.orders

    def note(self, now_ms: int) -> None:
        self.course.append((now_ms, self.traded, self.cancelled))

    def left_between(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """What was traded and what was cancelled of it after a time and up to another one."""
        before, until = (
            next((each[1:] for each in reversed(self.course) if each[0] <= at_ms), (0, 0)) for at_ms in (from_ms, to_ms)
        )
        return until[0] - before[0], until[1] - before[1]

    @property
    def is_crowd(self) -> bool:
        return self.orders_placed >= CROWD

    @property
    def end(self) -> str:
        """By what became of most of it; `standing` if it has not ended."""
        if self.until_ms is None:
            return "standing"
        if self.is_moved:
            return "moved"
        return "consumed" if self.traded > self.cancelled else "pulled"


class PlantedSide(MarketSide):
    """A side of the built-in market, with walls that only a script or a trade alters.

    A subclass, though the house has none: the window, the gaps and the stirring must be those of the built-in market,
    and its own walls are decided deep inside of them.
    """

    __slots__ = ("_under", "lives", "taken")

    def __init__(self, sign: int, best_tick: int, shape: Shape, rng: Random) -> None:
        self.lives: dict[int, Life] = {}
        self.taken: list[Taken] = []
        """All that was traded in this step."""
        self._under: dict[int, int] = {}
        super().__init__(sign, best_tick, shape, rng)

    @property
    def edge(self) -> int:
        """The worst key shown."""
        return self.keys[min(CHANNEL_DEPTH, len(self.keys)) - 1]

    def plant(self, life: Life) -> None:
        self._under[life.key] = self._sizes.get(life.key, (0, 0))[0]
        self.lives[life.key] = life
        self._walls[life.key] = (0, 0)
        self.resize(life, life.lots)

    def resize(self, life: Life, lots: int) -> None:
        """What stood at its price before stays beneath it, also when the wall is gone."""
        life.lots = lots
        total = lots + self._under[life.key]
        if lots <= 0:
            del self.lives[life.key], self._walls[life.key], self._under[life.key]
        if total > 0:
            self._put(life.key, (total, max(1, life.orders)))
        else:
            self._forget(life.key)
            self.keys.remove(life.key)

    def trade(self, limit: int, lots: float, now_ms: int) -> tuple[int, list[Life]]:
        """Take at most so many lots of each wall, and every other level better than `limit`.

        Returns the key the price has reached, and the walls of which nothing is left.
        """
        gone: list[Life] = []
        while len(self.keys) > 1 and self.keys[0] < limit:
            key = self.keys[0]
            life = self.lives.get(key)
            if life is None:
                self.taken.append(Taken(key, self._sizes[key][0]))
                self._drop(0)
                continue
            taken = int(min(life.lots, max(1.0, lots)))
            self.taken.append(Taken(key, taken + self._under[key]))
            self._under[key] = 0
            life.traded += taken
            life.first_trade_ms = life.first_trade_ms or now_ms
            life.note(now_ms)
            lots -= taken
            self.resize(life, life.lots - taken)
            if life.lots:
                break
            gone.append(life)
        return min(limit, self.keys[0]), gone

    def _nibble(self, key: int) -> None:
        """Other orders at the price of a wall come and go."""
        self._under[key] = self._ordinary_size(1)[0]
        self.resize(self.lives[key], self.lives[key].lots)

    def _touch_size(self) -> Size:
        return self._drawn(_TOUCH_USD), 4 + int(self._rng.random() ** 2 * 45)

    def _ordinary_size(self, rank: int) -> Size:
        return self._drawn(_LEVEL_USD), 1 + int(self._rng.random() ** 6 * 12)

    def _drawn(self, usd: tuple[float, float]) -> int:
        return max(1, int(self._rng.lognormvariate(math.log(usd[0]), usd[1]) * self._shape.lots_per_usd))


class PlantedMarket:
    """One swap, in steps of the feed. Scripts plant, resize and pull; `drive` and `flow_usd` are how they move it."""

    def __init__(self, seed: int, start_ms: int) -> None:
        self.seed = seed
        self.rng = Random(f"planted {seed}")
        self.shape = replace(
            shape_of(INST), levels=_LATENT_LEVELS, occupied=_OCCUPIED, calm_ticks=_CALM_TICKS, tight_share=0.98
        )
        start = self.shape.start_tick
        self.bids = PlantedSide(-1, start, self.shape, self.rng)
        self.asks = PlantedSide(1, start + 1, self.shape, self.rng)
        self.now_ms = start_ms
        self.planted: list[Life] = []
        self.drive = 0.0
        """Ticks a step by which the price is pushed."""
        self.flow_usd: float | None = None
        """What is traded of a wall in a step; None is at random."""
        self._fair = start + 0.5
        self.seq_id = 1_000_000

    def side(self, sign: int) -> PlantedSide:
        return self.asks if sign > 0 else self.bids

    def lots(self, usd: float) -> int:
        return int(usd * self.shape.lots_per_usd)

    def place(self, wall: int, sign: int, key: int, size: Size) -> Life:
        lots, orders = size
        life = Life(wall, sign, key, orders, lots, self.now_ms)
        self.planted.append(life)
        self.side(sign).plant(life)
        return life

    def resize(self, life: Life, lots: int) -> None:
        """Orders of the wall come or are cancelled; with 0 nothing is left of it."""
        if not life.lots:
            return
        life.cancelled += max(0, life.lots - lots)
        life.is_resized |= lots > 0
        life.note(self.now_ms)
        if not lots:
            self._ended(life)
        self.side(life.sign).resize(life, lots)

    def next_ms(self) -> int:
        return self.now_ms + _STEP_MS + int(self.rng.random() * _STEP_EXTRA_MS)

    def begin(self, now_ms: int) -> None:
        """Time passes and the price moves; scripts act after this and before `push`."""
        self.now_ms = now_ms
        self.bids.taken, self.asks.taken = [], []
        noise = 2 * (self.rng.random() + self.rng.random() + self.rng.random() - 1.5)
        home = (self.shape.start_tick - self._fair) * _TETHER if not self.drive else 0.0
        self._fair += _CALM_TICKS * noise + self.drive + home
        patience = _CALM_TICKS * _PATIENCE
        if self._fair > self.asks.best + patience:
            self._fair = self._sweep(self.asks, self.bids, self._fair)
        elif -self._fair > self.bids.best + patience:
            self._fair = -self._sweep(self.bids, self.asks, -self._fair)
        for side, other in ((self.bids, self.asks), (self.asks, self.bids)):
            side.stir(int(self.rng.expovariate(1 / self.shape.events)), -other.best)

    def push(self) -> BookChange:
        """What changed in this step."""
        self.bids.refill()
        self.asks.refill()
        return self._change(False, self.bids.changes(), self.asks.changes())

    def image(self) -> BookChange:
        """The full book, as OKX sends it on subscription."""
        return self._change(True, self.bids.image(), self.asks.image())

    def mark(self, number: int) -> None:
        """The book as it stands is the recorded one of this number."""
        for side in (self.bids, self.asks):
            edge = side.edge
            for key, life in side.lives.items():
                if key <= edge:
                    life.seen[number] = life.lots

    def _change(self, is_full: bool, bids: list[Level], asks: list[Level]) -> BookChange:
        last, self.seq_id = self.seq_id, self.seq_id + 100
        return BookChange(INST, is_full, bids, asks, self.now_ms, self.seq_id, -1 if is_full else last, 0)

    def _sweep(self, taken: PlantedSide, joined: PlantedSide, fair: float) -> float:
        """Trade one side up to `fair` and close in from the other; all in keys of the side taken."""
        usd = self.flow_usd or self.rng.lognormvariate(math.log(_FLOW_USD[0]), _FLOW_USD[1])
        reached, gone = taken.trade(math.floor(fair) + 1, usd * self.shape.lots_per_usd, self.now_ms)
        for life in gone:
            self._ended(life)
        joined.lay(1 - reached)
        taken.lay(reached if self.rng.random() < self.shape.tight_share else taken.best)
        return min(fair, float(reached))

    def _ended(self, life: Life) -> None:
        side = self.side(life.sign)
        life.until_ms = self.now_ms
        life.was_in_sight = life.key <= side.edge
        life.ticks_behind = max(0, life.key - side.best)
