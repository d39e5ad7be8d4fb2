"""A market of our own: endless order book pushes of any number of instruments, shaped like OKX's `books` channel.

A fair price walks at random, calm for most of the time and in bursts that roll the whole window. The book follows by
being traded through, while orders come and go all over it (`market_side`). The same arguments give the same market, and
an instrument's pushes do not depend on what else is simulated. Reads no clock: times go on from the one it is told.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

from l2vault.book.change import BookChange, Level
from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.levels import Image
from l2vault.sim.exchange.market_shape import shape_of
from l2vault.sim.exchange.market_side import MarketSide
from l2vault.sim.exchange.whales import Whales

_STEP_MS: Final = 100
_STEP_EXTRA_MS: Final = 26
"""Steps of `ts` are spread evenly over 100 to 125 ms; BTC-USDT in 2022: p10 102, p50 114, p90 123."""

_HEARTBEAT_MS: Final = 60_000
"""OKX docs: without a change for about 60 s an update without levels is sent, its `seqId` equal to its `prevSeqId`."""

_SEQ_EPOCH_MS: Final = 1_609_459_200_000
"""2021-01-01. Sequence numbers count from here at the instrument's rate, so that a later start means larger ones."""

_MOST_SEQ_STEP: Final = 300

_LULL_MS: Final = (25_000, 240_000)
_BURST_CHANCE: Final = 1 / 700
_BURST_STEPS: Final = (5, 40)
_BURST_DRIFT: Final = (2.0, 14.0)
"""In standard deviations of a calm step; with `_BURST_STEPS` the price moves by 0.01 to 0.4 % at a time."""

_BURST_PACE: Final = 2.5
_PACES: Final = (0.4, 2.4)
_PACE_CHANCE: Final = 1 / 200
"""How busy the market is changes about every 20 s."""

_TETHER_SHARE: Final = 0.03
"""From about this distance, as a share of where it started, the price is pulled back: it may run for months."""

_PATIENCE: Final = 2.0
"""The fair price must pass the touch by so many calm standard deviations before anyone trades."""

_WALL_CHANCE: Final = 1 / 400
_WALL_LIFE_MS: Final = (20_000.0, 720_000.0)


class Market:
    """Some instruments traded side by side from `start_ms` on. Names must be those of swaps (UsageError)."""

    def __init__(
        self, inst_ids: Sequence[str], seed: int, start_ms: int, step_ms: int = _STEP_MS, has_whales: bool = False
    ) -> None:
        """`step_ms` is OKX's pace unless given: a slower market makes whole days in seconds. `has_whales`: now and then
        one order far larger than all others stands for minutes."""
        self._instruments = [
            _Instrument(inst_id, seed, start_ms, step_ms, has_whales) for inst_id in dict.fromkeys(inst_ids)
        ]

    def ticks(self) -> Iterator[Tick]:
        """The full book of each instrument, then every push of all of them in order of `ts_ms`, for ever.

        Drawing ticks is what makes time pass: asked again, it begins with full books as they then stand.
        """
        return heapq.merge(*(instrument.ticks() for instrument in self._instruments), key=lambda tick: tick.ts_ms)

    def standing(self, depth: int) -> Callable[[], Image]:
        """The orders of the first instrument as they stand behind its newest tick, by the market itself and not by what
        it pushed: at most `depth` levels a side. Call it, whenever you like, to have their texts made."""
        return self._instruments[0].standing(depth)


class _Instrument:
    """The two sides of one book, the price they follow, and the chain of its pushes."""

    def __init__(self, inst_id: str, seed: int, start_ms: int, step_ms: int, has_whales: bool) -> None:
        self._inst_id = inst_id
        self._step_ms = step_ms
        self._rng = Random(f"{seed} {inst_id}")
        self._shape = shape = shape_of(inst_id)
        self._bids = MarketSide(-1, shape.start_tick, shape, self._rng)
        self._asks = MarketSide(1, shape.start_tick + 1, shape, self._rng)
        self._whales = Whales(seed, inst_id, shape, start_ms) if has_whales else None
        self._fair = shape.start_tick + 0.5
        self._burst_steps = 0
        self._burst_drift = 0.0
        self._pace = 1.0
        self._ts_ms = start_ms
        elapsed_ms = max(0, start_ms - _SEQ_EPOCH_MS)
        self._seq_id = 1_000_000 + int(shape.seq_per_sec * elapsed_ms / 1000)

    def ticks(self) -> Iterator[Tick]:
        first = BookChange(
            self._inst_id, True, self._bids.image(), self._asks.image(), self._ts_ms, self._seq_id, -1, 0
        )
        yield Tick(self._ts_ms, first, None)
        ts_ms = self._ts_ms
        while True:
            ts_ms += self._wait_ms()
            while ts_ms - self._ts_ms > _HEARTBEAT_MS:
                yield self._push([], [], self._ts_ms + _HEARTBEAT_MS)
            self._step(ts_ms)
            bids, asks = self._bids.changes(), self._asks.changes()
            if bids or asks:
                yield self._push(bids, asks, ts_ms)

    def standing(self, depth: int) -> Callable[[], Image]:
        bids, asks = self._bids.held(depth), self._asks.held(depth)
        return lambda: Image(self._bids.levels(bids), self._asks.levels(asks))

    def _push(self, bids: list[Level], asks: list[Level], ts_ms: int) -> Tick:
        """The next update of the chain; without levels it is a heartbeat and `seqId` stays."""
        last = self._seq_id
        if bids or asks:
            grown = self._shape.seq_per_sec * (ts_ms - self._ts_ms) / 1000 * (0.7 + 0.6 * self._rng.random())
            self._seq_id += min(max(int(grown), 1), _MOST_SEQ_STEP)
        self._ts_ms = ts_ms
        return Tick(ts_ms, BookChange(self._inst_id, False, bids, asks, ts_ms, self._seq_id, last, 0), None)

    def _wait_ms(self) -> int:
        """Until the next image of the book; in quiet instruments now and then minutes."""
        random = self._rng.random
        if self._shape.lull_chance and random() < self._shape.lull_chance:
            return self._rng.randrange(*_LULL_MS)
        return self._step_ms + int(random() * _STEP_EXTRA_MS * self._step_ms / _STEP_MS)

    def _step(self, now_ms: int) -> None:
        """What happens in one interval of the feed: the price moves, walls come and go, orders stir."""
        bids, asks = self._bids, self._asks
        self._move_fair_price()
        self._trade()
        for side in (bids, asks):
            side.pull_walls(now_ms)
            if self._rng.random() < _WALL_CHANCE:
                side.raise_wall(now_ms + int(self._log_uniform(_WALL_LIFE_MS)))
        if self._whales is not None:
            self._whales.act(now_ms, bids, asks)
        if self._rng.random() < _PACE_CHANCE:
            self._pace = self._log_uniform(_PACES)
        rate = 1 / (self._shape.events * self._pace * (_BURST_PACE if self._burst_steps else 1))
        bids.stir(int(self._rng.expovariate(rate)), -asks.best)
        asks.stir(int(self._rng.expovariate(rate)), -bids.best)
        bids.refill()
        asks.refill()

    def _move_fair_price(self) -> None:
        random, calm, start = self._rng.random, self._shape.calm_ticks, self._shape.start_tick
        if self._burst_steps:
            self._burst_steps -= 1
        elif random() < _BURST_CHANCE:
            self._burst_steps = self._rng.randrange(*_BURST_STEPS)
            self._burst_drift = self._log_uniform(_BURST_DRIFT) * (1 if random() < 0.5 else -1)
        drift = self._burst_drift if self._burst_steps else 0.0
        noise = 2 * (random() + random() + random() - 1.5)  # nearly a bell, of deviation 1
        away = (self._fair - start) / (start * _TETHER_SHARE)
        self._fair += calm * (drift + noise - away**3 / 2)

    def _trade(self) -> None:
        """Where the fair price is well past the touch, whoever quotes there is traded away."""
        scaled_clock = self._shape.calm_ticks * _PATIENCE
        if self._fair > self._asks.best + scaled_clock:
            self._fair = self._sweep(self._asks, self._bids, self._fair)
        elif -self._fair > self._bids.best + scaled_clock:
            self._fair = -self._sweep(self._bids, self._asks, -self._fair)

    def _sweep(self, taken: MarketSide, joined: MarketSide, fair: float) -> float:
        """Trade one side up to `fair` and close in from the other; all in keys of the side taken.

        Returns the fair price afterwards: a wall that held holds that too.
        """
        reached = taken.eat(math.floor(fair) + 1)
        joined.lay(1 - reached)
        taken.lay(reached if self._rng.random() < self._shape.tight_share else taken.best)
        return min(fair, float(reached))

    def _log_uniform(self, bounds: tuple[float, float]) -> float:
        low, high = bounds
        return low * math.exp(self._rng.random() * math.log(high / low))
