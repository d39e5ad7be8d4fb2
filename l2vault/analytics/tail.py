"""From what size on a level is larger than chance would have it: the numbers of that rule. Pure; needs no library.

The sizes above the 99th percentile would thin out as they do from the 90th to it: `chance = q99 * (q99 / q90) ** 2`.
"""

from collections.abc import Sequence
from typing import Final

TAIL_FROM: Final = 0.90
TAIL_TO: Final = 0.99
"""How sizes thin out is measured between these shares of the levels. Above are 8 of 800 levels: four whales may stand
all the time and not hide each other."""

LEAST_LEVELS: Final = 200
"""Of books of fewer levels, both sides together, two whales that stand all the time are in what they are compared
with, and nothing larger is seen."""

TAIL_STEPS: Final = 2
"""Further steps as that one from `TAIL_FROM` to `TAIL_TO`, each to a tenth of the levels: to one in 10,000."""


def beyond_chance(low: float, high: float) -> float:
    """From which size on next to none comes by chance, given those at `TAIL_FROM` and `TAIL_TO`; 0 where the lower one
    is 0, so that nothing can be said."""
    return high * (high / low) ** TAIL_STEPS if low else 0.0


def stands_out(sizes: Sequence[float]) -> float | None:
    """The same of the levels of some books, both sides together, in any order. None where it has too few of them."""
    if len(sizes) < LEAST_LEVELS:
        return None
    ordered = sorted(sizes)
    return beyond_chance(*(ordered[int(share * len(ordered))] for share in (TAIL_FROM, TAIL_TO))) or None
