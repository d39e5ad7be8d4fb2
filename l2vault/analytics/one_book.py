"""What one book says, in plain Python: the formulas of `metrics` for a book that just came. Pure; needs no library.

A test holds that both give the same figures. A measure is None where the book cannot tell it: a side is empty, or the
answer lies beyond the farthest visible level. `docs/intelligence.md` has each formula and its source.
"""

from itertools import islice
from typing import Final, NamedTuple

from l2vault.analytics.contract import Contract, Unit
from l2vault.book.price import price_key
from l2vault.book.snapshot import Snapshot

BPS: Final = 10_000
MOVE_BPS: Final = 5.0
"""Of size that leaves one price and comes to another at most so far away, it is assumed that it moved."""
ROUNDING_BPS: Final = 1e-9
"""A level at 5 bps is within a band of 5 bps, whatever the last bit of its distance says."""

_KEYS_OF_ONE: Final = 10**18
"""`price_key` counts in 1e-18."""


class Sides(NamedTuple):
    """One figure of each side; None where the book does not reach so far."""

    bid: float | None
    ask: float | None


class Cost(NamedTuple):
    """Basis points of mid that a market order pays on average; None where the visible levels run out."""

    buy_bps: float | None
    sell_bps: float | None


def mid(book: Snapshot) -> float | None:
    """Half of best bid plus best ask; None where a side is empty."""
    exact = book.mid_price
    return None if exact is None else float(exact)


def spread(book: Snapshot) -> float | None:
    """Exact, then the nearest double."""
    if book.best_bid is None or book.best_ask is None:
        return None
    return (price_key(book.best_ask) - price_key(book.best_bid)) / _KEYS_OF_ONE


def spread_bps(book: Snapshot) -> float | None:
    """The spread in basis points of mid; None where a side is empty."""
    gap, middle = spread(book), mid(book)
    return None if gap is None or middle is None else gap / middle * BPS


def microprice(book: Snapshot) -> float | None:
    """Each best price weighted by what rests at the other: the side with less is likelier to be the next to give way
    (Gatheral and Oomen, "Zero-intelligence realized variance estimation", 2010)."""
    if not (book.bids and book.asks):
        return None
    (bid, bid_qty), (ask, ask_qty) = _plain(book, "bid", 1)[0], _plain(book, "ask", 1)[0]
    return (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)


def imbalance(book: Snapshot, levels: int, unit: Unit, contract: Contract | None) -> float | None:
    """`(bids - asks) / (bids + asks)` of the best `levels` a side, from -1 to 1 (Cartea, Donnelly, Jaimungal,
    "Enhancing trading strategies with order book signals", 2018). None where more levels may lie behind those that a
    side shows than were asked for."""
    if any(book.depth <= len(side) < levels for side in (book.bids, book.asks)):
        return None
    bids, asks = (
        sum(_size(qty, price, unit, contract) for price, qty in _plain(book, side, levels)) for side in ("bid", "ask")
    )
    return (bids - asks) / (bids + asks) if bids + asks else None


def depth(book: Snapshot, bps: float, unit: Unit, contract: Contract | None) -> Sides:
    """What rests on each side up to `bps` from mid."""
    return Sides(_within(book, "bid", bps, unit, contract), _within(book, "ask", bps, unit, contract))


def slippage(book: Snapshot, size: float, contract: Contract) -> Cost:
    """What market orders of `size` in quote currency would pay, walking the visible levels. Without fees, impact."""
    return Cost(_cost_bps(book, "ask", size, contract), _cost_bps(book, "bid", size, contract))


def _plain(book: Snapshot, side: str, levels: int | None = None) -> list[tuple[float, float]]:
    """Price and quantity, best first."""
    return [(float(level[0]), float(level[1])) for level in islice(book.bids if side == "bid" else book.asks, levels)]


def _size(qty: float, price: float, unit: Unit, contract: Contract | None) -> float:
    return qty if contract is None else contract.sizes(qty, price, unit)


def _within(book: Snapshot, side: str, bps: float, unit: Unit, contract: Contract | None) -> float | None:
    middle = mid(book)
    if middle is None:
        return None
    levels = _plain(book, side)
    sign = 1 if side == "ask" else -1
    away = [sign * (price - middle) / middle * BPS for price, _ in levels]
    if len(levels) >= book.depth and away[-1] < bps - ROUNDING_BPS:  # the window is full: more may lie behind it
        return None
    near = zip(levels, away, strict=True)
    return sum((_size(qty, price, unit, contract) for (price, qty), far in near if far <= bps + ROUNDING_BPS), 0.0)


def _cost_bps(book: Snapshot, side: str, size: float, contract: Contract) -> float | None:
    middle = mid(book)
    left, coins = size, 0.0
    for price, qty in _plain(book, side):
        notional = contract.sizes(qty, price, "usd")
        if notional >= left:
            if middle is None:
                return None
            average = size / (coins + left / price)
            return (average - middle if side == "ask" else middle - average) / middle * BPS
        left -= notional
        coins += contract.sizes(qty, price, "coin")
    return None
