"""What makes one instrument's market differ from another's: its two grids and a handful of magnitudes.

All of it follows from the instrument's row and its place in the list; nothing here is random or changes.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from l2vault.sim.exchange.instruments import instrument_row, popularity, reference_price

_LATENT_LEVELS: Final = 480
"""Levels a full side holds: OKX's 400 and a reserve, so that a level rolled out comes back with the size it had."""

_SPARSE_FROM: Final = 200
"""From this place on books are shorter than the channel, as those of small swaps were in 2022 (57 to 127 a side)."""

_LULLS_FROM: Final = 150
"""From this place on trading sometimes pauses for minutes, so that OKX's heartbeat after 60 s is seen at all."""

_SPAN_SHARE: Final = 0.002
"""400 levels span 0.13 to 0.30 % of the price (BTC-USDT, July 2026)."""

_MOST_OCCUPIED: Final = 0.6
"""Share of ticks taken near the touch of a coarse book (UNI-USD-SWAP 2022: 25 levels on 40 ticks)."""

_LEAST_LOTS_PER_USD: Final = 1 / 30
"""Keeps the smallest orders of coarse lots from all being of one lot."""


class Grid:
    """Whole numbers of one step (a tick, a lot) and their text: a plain decimal, no trailing zeros, no exponent."""

    __slots__ = ("_scale", "_unit")

    def __init__(self, step: Decimal) -> None:
        self._scale = 10 ** max(0, -int(step.as_tuple().exponent))
        self._unit = int(step * self._scale)

    def count(self, text: str) -> int:
        """The inverse of `text`."""
        return int(Decimal(text) * self._scale) // self._unit

    def text(self, count: int) -> str:
        number, scale = count * self._unit, self._scale
        rest = number % scale
        if not rest:
            return str(number // scale)
        return f"{number // scale}.{str(scale + rest)[1:].rstrip('0')}"


@dataclass(frozen=True, slots=True)
class Shape:
    """The magnitudes of one instrument's market. `*_ticks` are of a step of the feed, about 112 ms."""

    price: Grid
    quantity: Grid
    start_tick: int
    lots_per_usd: float
    """Lots of an order that would be worth 1 USD on BTC-USDT-SWAP; orders are smaller where less is traded."""
    levels: int
    """Latent levels a side; 400 of them are shown."""
    occupied: float
    """Share of ticks that hold a level; gaps between neighbours are geometric with this parameter."""
    tight_share: float
    """How often a maker who improves the touch leaves no more than one tick of spread."""
    wall_grid: int
    """Walls stand on multiples of so many ticks: people like round prices."""
    events: float
    """Mean events a step and side at an ordinary pace."""
    calm_ticks: float
    """Standard deviation of the fair price in calm times."""
    seq_per_sec: float
    lull_chance: float
    """Chance a step that a pause of minutes follows."""


def shape_of(inst_id: str) -> Shape:
    row = instrument_row(inst_id)
    tick, lot, contract = (Decimal(str(row[key])) for key in ("tickSz", "lotSz", "ctVal"))
    price = reference_price(inst_id)
    place = popularity(inst_id)
    start_tick = int(price / tick)
    lot_usd = float(lot * contract * (1 if row["ctType"] == "inverse" else price))
    return Shape(
        price=Grid(tick),
        quantity=Grid(lot),
        start_tick=start_tick,
        lots_per_usd=max(8 / (8 + place) / lot_usd, _LEAST_LOTS_PER_USD),
        levels=_LATENT_LEVELS if place < _SPARSE_FROM else 60 + start_tick % 300,
        occupied=min(_MOST_OCCUPIED, 400 / (_SPAN_SHARE * start_tick)),
        tight_share=0.98 if place < 20 else 0.6,
        wall_grid=100 if start_tick > 100_000 else 10,
        events=6.5 / (1 + place / 20) ** 0.5,
        calm_ticks=start_tick * (8e-6 if place < 4 else 1.6e-5),
        seq_per_sec=max(20.0, 2000 / (1 + place) ** 0.6),
        lull_chance=1 / 4000 if place >= _LULLS_FROM else 0.0,
    )
