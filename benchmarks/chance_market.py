"""Markets of which it is known whether anything in them is more than chance, made directly as level-interval rows.

The price is a walk whose volatility comes and goes. Sizes are drawn anew from time to time at every price, whales come
and go on either side, the touch leans to one side, takers trade: in a market without an edge none of it knows anything
of the price to come.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.books import Books, books_of
from l2vault.analytics.contract import Contract
from l2vault.analytics.trades import TRADES, trades_of
from l2vault.book.utc import HOUR_MS, utc_ms
from l2vault.vault.coverage.proved import TimeStretch

START_MS: Final = utc_ms("2024-08-20T00:00:00.000Z")
CADENCE_MS: Final = 2_000
STEP_BOOKS: Final = 5
"""Books of a step of 10 s, at which the touch leans anew and takers trade."""
CONTRACT: Final = Contract("BTC-USDT-SWAP", False, 0.01, "BTC", "USDT", 1.0, 0)

_START_TICK: Final = 50_000
_DEPTH: Final = 400
_STEP_TICKS: Final = 2.0
"""Ticks of 0.2 bps that the price goes from book to book; half an hour ranges over about 20 bps."""
_VOLATILITY: Final = (0.9995, 0.4)
"""How much of its logarithm a book keeps of the one before, and its spread in the long run: half of it goes in 46 min.
"""
_SIZE: Final = (20.0, 1.0)
"""Contracts at a price: median and spread of a log-normal size, drawn anew every `_REDRAWN` books on average."""
_REDRAWN: Final = 150
_TOUCH: Final = 200.0
_LEANING: Final = 0.9
_WHALE: Final = 12_000.0
_WHALES_A_SIDE: Final = 2
_WHALE_TICKS: Final = (8, 30)
_WHALE_BOOKS: Final = 500
"""Mean life of a whale, unless the price passes it."""
_TRADED: Final = 40.0
_TURN_BOOKS, _TURN_TICKS = 25, 1.0
"""A whale that holds pushes the price away for so many books, by so many ticks in each."""
_CLEAR_TICKS: Final = 10

Ticks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Edge:
    """What is planted: of the visits of a whale so many (0 to 1) end with the price pushed away, beyond what the walk
    does; so much more than half of the leanings of the touch, and of the trades, go the way of the next move."""

    hold: float = 0.0
    lean: float = 0.0
    flow: float = 0.0


NO_EDGE: Final = Edge()
PLANTED: Final = Edge(0.7, 0.06, 0.06)


@dataclass(slots=True)
class _Whale:
    """`sign` 1 of a bid, -1 of an ask. Stands in the books from `first` up to `past`."""

    sign: int
    tick: int
    first: int
    past: int
    is_decided: bool = False

    @property
    def touch(self) -> int:
        """The best bid at which it is the best price of its side."""
        return self.tick - (self.sign < 0)

    def turns(self, best: int, book: int, is_holding: bool) -> bool:
        """Whether it pushes the price away at this best bid. It is gone once the price is behind it."""
        away = self.sign * (best - self.touch)
        if away > _CLEAR_TICKS:
            self.is_decided = False
        elif away <= 0 and book < self.past and not self.is_decided:
            self.is_decided = True
            if is_holding:
                return True
        if away < 0:
            self.past = min(self.past, book)
        return False


def market(seed: int, hours: float = 6.0, edge: Edge = NO_EDGE) -> Books:
    """Books every 2 s, and trades, over so many hours: the same for the same seed."""
    rng = np.random.default_rng([seed, 42])
    count = int(hours * HOUR_MS) // CADENCE_MS
    bid, whales = _walk(rng, count, edge.hold)
    leaning, net = _leaning(rng, bid, edge.lean), _net(rng, bid, edge.flow)
    times = START_MS + np.arange(count + 1) * CADENCE_MS
    books = pl.DataFrame({"t_from": times[:-1], "t_to": times[1:], "depth": np.full(count, _DEPTH, np.int32)})
    levels = _rows(rng, bid, whales, leaning, times)
    span = int(times[0]), int(times[-1])
    trades = trades_of(_tape(net, bid), [TimeStretch(*span, "proved", "")])
    return books_of(levels, books, CONTRACT, trades)


def _walk(rng: np.random.Generator, count: int, hold: float) -> tuple[Ticks, list[_Whale]]:
    """The best bid of each book (the best ask is a tick above), and all whales."""
    keep, spread = _VOLATILITY
    log = rng.normal(0, spread)
    shocks, noise = rng.normal(0, spread * np.sqrt(1 - keep**2), count).tolist(), rng.normal(0, 1, count).tolist()
    chances = rng.random(count).tolist()
    price, push, pushes = float(_START_TICK), 0.0, 0
    standing: list[_Whale] = []
    every: list[_Whale] = []
    ticks = np.empty(count, np.int64)
    for book in range(count):
        log = log * keep + shocks[book]
        step = noise[book] * _STEP_TICKS * np.exp(log)
        if pushes:
            step, pushes = abs(step) * np.sign(push) * 0.2 + push, pushes - 1
        price += step
        ticks[book] = best = round(price)
        for whale in standing:
            if whale.turns(best, book, chances[book] < hold):
                push, pushes = whale.sign * _TURN_TICKS, _TURN_BOOKS
                price, ticks[book] = float(whale.touch), whale.touch
        standing = [whale for whale in standing if whale.past > book]
        for sign in (1, -1):
            if sum(whale.sign == sign for whale in standing) < _WHALES_A_SIDE:
                tick = best + (sign < 0) - sign * int(rng.integers(*_WHALE_TICKS))
                standing.append(_Whale(sign, tick, book, book + 1 + int(rng.exponential(_WHALE_BOOKS))))
                every.append(standing[-1])
    for whale in standing:
        whale.past = min(whale.past, count)
    return ticks, every


def _signs(rng: np.random.Generator, bid: Ticks, share: float, first: int) -> npt.NDArray[np.float64]:
    """Of each step: the sign of a leaning that lasts for a while, or the sign of the move over the step that begins
    `first` steps later, so that this is right more often than not by `share`."""
    steps = len(bid) // STEP_BOOKS
    lasting = np.empty(steps)
    value = rng.normal()
    for step, shock in enumerate(rng.normal(0, np.sqrt(1 - _LEANING**2), steps).tolist()):
        value = value * _LEANING + shock
        lasting[step] = value
    at = np.minimum((np.arange(steps + 2) + first) * STEP_BOOKS, len(bid) - 1)
    move = np.sign(np.diff(bid[at]))[:steps]
    is_told = (rng.random(steps) < 2 * share) & (move != 0)
    return np.where(is_told, move * np.abs(lasting), lasting)


def _leaning(rng: np.random.Generator, bid: Ticks, share: float) -> npt.NDArray[np.float64]:
    return np.repeat(_signs(rng, bid, share, 0), STEP_BOOKS)


def _net(rng: np.random.Generator, bid: Ticks, share: float) -> npt.NDArray[np.float64]:
    return _signs(rng, bid, share, 1) * _TRADED


def _tape(net: npt.NDArray[np.float64], bid: Ticks) -> pl.DataFrame:
    """One trade a step, in the middle of it."""
    steps = np.arange(len(net))
    price = bid[steps * STEP_BOOKS] + (net > 0)
    columns = {
        "t": START_MS + steps * STEP_BOOKS * CADENCE_MS + CADENCE_MS * STEP_BOOKS // 2,
        "price": price.astype(np.float64),
        "qty": np.maximum(np.round(np.abs(net)), 1.0),
        "is_buy": net > 0,
        "is_rpi": np.zeros(len(net), np.bool_),
        "matches": np.ones(len(net), np.int64),
    }
    return pl.DataFrame(columns, TRADES)


def _rows(
    rng: np.random.Generator, bid: Ticks, whales: list[_Whale], leaning: npt.NDArray[np.float64], times: Ticks
) -> pl.DataFrame:
    """A row for as long as what stands at a price stays the same, price by price."""
    count = len(bid)
    own: dict[int, list[_Whale]] = {}
    for whale in whales:
        own.setdefault(whale.tick, []).append(whale)
    touch_step = np.arange(count) // STEP_BOOKS + 1
    frames = []
    for tick in range(int(bid.min()) - _DEPTH + 1, int(bid.max()) + _DEPTH + 1):
        behind = bid - tick  # of a bid 0 or more, of an ask -1 or less
        side = np.where((behind >= 0) & (behind < _DEPTH), 1, np.where((behind < 0) & (behind >= -_DEPTH), 2, 0))
        epoch = np.zeros(count, np.int64)
        np.add.at(epoch, rng.integers(0, count, rng.poisson(count / _REDRAWN)), 1)
        epoch = np.cumsum(epoch)
        touch = np.where((behind == 0) | (behind == -1), touch_step, 0)
        whale_size = np.zeros(count)
        for whale in own.get(tick, ()):
            whale_size[whale.first : whale.past] = _WHALE
        key = ((epoch * (count + 2) + touch) * 3 + side) * 2 + (whale_size > 0)
        first = np.flatnonzero(np.diff(key, prepend=-1))
        past = np.append(first[1:], count)
        is_shown = side[first] > 0
        first, past = first[is_shown], past[is_shown]
        drawn = rng.lognormal(np.log(_SIZE[0]), _SIZE[1], int(epoch[-1]) + 1)[epoch[first]]
        lean = np.where(
            side[first] == 1,
            leaning[np.minimum(first, len(leaning) - 1)],
            -leaning[np.minimum(first, len(leaning) - 1)],
        )
        qty = np.where(touch[first] > 0, _TOUCH * np.exp(lean / 2), drawn) + whale_size[first]
        frames.append((np.full(len(first), tick), side[first], np.maximum(np.round(qty), 1.0), first, past))
    tick, side, qty, first, past = (np.concatenate(columns) for columns in zip(*frames, strict=True))
    return pl.DataFrame(
        {
            "side": pl.Series(np.where(side == 1, "bid", "ask")),
            "price": tick.astype(np.float64),
            "qty": qty,
            "orders": np.full(len(tick), 3, np.int32),
            "t_from": times[first],
            "t_to": times[past],
        }
    )
