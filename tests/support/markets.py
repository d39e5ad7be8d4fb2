"""Small markets of any shape, for the laws of the intelligence."""

from hypothesis import strategies as st

from l2vault.analytics.books import Books
from l2vault.analytics.contract import Contract, ContractPeriod
from support.books import CADENCE_MS, T0_MS, Drawn, drawn, frames

TICK = 0.5
DEPTH = 4

_LEVELS = st.dictionaries(st.integers(1, 10), st.sampled_from(["1", "2", "3", "0.1", "0.3"]), max_size=8)


@st.composite
def markets(draw, center: float, has_holes: bool = True) -> list[Drawn]:
    """Books that wander around `center`, sampled to `DEPTH` levels a side; the first has both sides, others may not."""
    drawings: list[Drawn] = []
    for number in range(draw(st.integers(2, 9))):
        middle = draw(st.integers(-8, 8))
        sides = [draw(_LEVELS) or ({1: "1"} if not number else {}) for _ in range(2)]
        bids, asks = (
            ", ".join(f"{center + TICK * (middle + sign * away)} {side[away]} {away}" for away in sorted(side)[:DEPTH])
            for sign, side in zip((-1, 1), sides, strict=True)
        )
        drawings.append(drawn(number * CADENCE_MS, bids, asks))
        if number and has_holes and draw(st.integers(0, 5)) == 0:
            drawings[-2] = drawings[-2]._replace(until_ms=number * CADENCE_MS - 500)
    return drawings


def changing(drawings: list[Drawn], at_ms: int, contracts: tuple[Contract, Contract]) -> Books:
    """Books whose contract was another one before `at_ms` (after T0_MS)."""
    levels, held = frames(drawings)
    span = held["t_from"][0], held["t_to"][-1]
    terms = [ContractPeriod(span[0], T0_MS + at_ms, contracts[0]), ContractPeriod(T0_MS + at_ms, span[1], contracts[1])]
    return Books(contracts[0].inst_id, span, lambda: iter([(levels, held)]), terms)
