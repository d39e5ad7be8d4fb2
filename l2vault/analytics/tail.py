"""From what size on a level is larger than chance would have it: the numbers of that rule. Pure; needs no library.

The sizes above the 99th percentile would thin out as they do from the 90th to it: `chance = q99 * (q99 / q90) ** 2`.
"""

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
