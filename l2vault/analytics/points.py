"""Levels of many books in one row, their prices as whole numbers: they compare exactly, and both sides alike. Pure.

A point is larger the better the price is: ask points are negative. What is said of bids in points holds for asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from l2vault.analytics.contract import Contract, Floats
from l2vault.analytics.ladders import Ints, Ladders, SideName

NOWHERE: Final = -(1 << 62)
"""Where an empty side has its best point: below all."""

_FINER: Final = 2
"""Decimals beyond those of the tick, which may have been finer before the oldest instrument row that was kept."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A row per level, book by book, best first; `best` and `worst` are points, a row per book."""

    book: Ints
    price: Floats
    qty: Floats
    orders: npt.NDArray[np.int32]
    point: Ints
    best: Ints
    worst: Ints


def decimals_of(contracts: Sequence[Contract]) -> int:
    """Such that every price of the contracts is a whole number of points of `10 ** -decimals`."""
    return max(contract.tick_decimals for contract in contracts) + _FINER


def levels_of(ladders: Ladders, name: SideName, decimals: int) -> Levels:
    side = ladders.side(name)
    held = np.arange(side.price.shape[1]) < side.count[:, None]
    price = side.price[held]
    point = np.rint(price * (10**decimals if name == "bid" else -(10**decimals))).astype(np.int64)
    ends = side.count.cumsum()
    is_empty = side.count == 0
    around = np.append(point, NOWHERE)  # for the first and the last of an empty side
    return Levels(
        book=np.repeat(np.arange(len(side.count)), side.count),
        price=price,
        qty=side.qty[held],
        orders=side.orders[held],
        point=point,
        best=np.where(is_empty, NOWHERE, around[ends - side.count]),
        worst=np.where(is_empty, NOWHERE, around[ends - 1]),
    )
