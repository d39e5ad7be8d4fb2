"""Do walls and zones hold more often than any price so far away? The levels that one window found, tested in the next.

Chance is the same levels, at the same distances and of the same sides, laid into other windows of like volatility.
Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import Bools, Ints
from l2vault.analytics.chance.statistics import (
    DRAWS,
    Rate,
    block_interval,
    classes_of,
    drawn_sums,
    mean_of,
    p_value,
    shares,
)
from l2vault.analytics.chance.visits import Barriers, Levels, Path, Visits, visits
from l2vault.analytics.chance.windows import Seen, path_of, stands_until
from l2vault.analytics.contract import Floats
from l2vault.analytics.one_book import BPS

Found = Literal["walls", "zones"]
SideOrBoth = Literal["both", "bid", "ask"]
SIDES: Final[tuple[SideOrBoth, ...]] = ("both", "bid", "ask")

STEPS_OF_RANGE: Final = 5
"""A visit is decided when price turned, or went through, by a fifth of what it ranges over in a window."""
_NEAR_SHARE: Final = 0.25
_HALF_SPREADS: Final = 2.0
"""No mid comes nearer to a wall than half a spread."""
_LEAST_STOOD_SHARE: Final = 0.9
"""A window with larger holes neither finds nor tests."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The levels of the window before, and the path of the one that begins at `start_ms`."""

    start_ms: int
    path: Path
    levels: Levels


def barriers_of(windows: Sequence[Seen], turn_bps: float | None) -> Barriers | None:
    """`turn_bps`, or a fifth of the median range of mid in a window; a visit begins at a quarter of it, and not nearer
    than two half spreads. None where mid never moved."""
    ranges = [each for window in windows if (each := _range_bps(window)) is not None]
    spreads = [window.half_spread_bps for window in windows if np.isfinite(window.half_spread_bps)]
    if turn_bps is None:
        if not ranges or not np.median(ranges):
            return None
        turn_bps = float(np.median(ranges)) / STEPS_OF_RANGE
    near_bps = max(_NEAR_SHARE * turn_bps, _HALF_SPREADS * float(np.median(spreads)) if spreads else 0.0)
    return Barriers(near_bps, max(turn_bps, 2 * near_bps))


def _range_bps(window: Seen) -> float | None:
    mid = window.mid[np.isfinite(window.mid)]
    return float((mid.max() - mid.min()) / mid[0] * BPS) if len(mid) else None


def trials_of(windows: Sequence[Seen], kind: Found, window_ms: int) -> list[Trial]:
    """Of each two windows that follow each other and of which books stood nearly all the time, in order of time."""
    found = []
    least_ms = _LEAST_STOOD_SHARE * window_ms
    for before, after in zip(windows, windows[1:], strict=False):
        if after.start_ms - before.start_ms != window_ms or min(before.stood_ms, after.stood_ms) < least_ms:
            continue
        path = Path(*path_of(after))
        if len(path.mid):
            levels = _laid(before.walls if kind == "walls" else before.zones, kind, after, float(path.mid[0]))
            found.append(Trial(after.start_ms, path, levels))
    return found


def _laid(levels: pl.DataFrame, kind: Found, after: Seen, mid: float) -> Levels:
    is_ask, price = levels["is_ask"].to_numpy(), levels["price"].to_numpy()
    away: Floats = (price / mid - 1) * BPS
    until = np.full(len(levels), np.inf)
    if kind == "walls":
        until = stands_until(after.large, levels, int(after.t_from[0]), int(after.t_to[-1]))
    away = np.where(is_ask, away, -away)
    is_ahead = away > 0
    return Levels(is_ask[is_ahead], away[is_ahead], until[is_ahead])


def held_rates(
    trials: Sequence[Trial], barriers: Barriers, block_ms: int, rng: np.random.Generator, draws: int = DRAWS
) -> dict[SideOrBoth, Rate]:
    """Of all visits, and of those of each side: how many of the decided ones held, beside `draws` of chance."""
    if not trials:
        return dict.fromkeys(SIDES, Rate(0, 0, None, None, None))
    classes = classes_of(np.array([trial.path.volatility for trial in trials]))
    met = [_met([trials[at] for at in own], barriers) for own in classes]
    drawn = drawn_sums([each.tables() for each in met], rng, draws)
    blocks = np.unique([trials[at].start_ms // block_ms for own in classes for at in own], return_inverse=True)[1]
    found: dict[SideOrBoth, Rate] = {}
    for side in SIDES:
        begun, holds, breaks = (np.concatenate([each.real(side, column) for each in met]) for column in range(3))
        events = holds + breaks
        count, held = int(events.sum()), int(holds.sum())
        of_block = [np.rint(np.bincount(blocks, each)).astype(np.int64) for each in (holds, events)]
        rates = _drawn_rates(side, drawn)
        p = p_value(held / count, rates) if count else None
        took = [np.concatenate([each.break_ms(side, is_real) for each in met]) for is_real in (True, False)]
        found[side] = Rate(
            count,
            held,
            block_interval(of_block[0], of_block[1], rng, draws),
            mean_of(rates),
            p,
            int(begun.sum()) - count,
            len(rates),
            *(float(np.median(each)) if len(each) else None for each in took),
        )
    return found


def _drawn_rates(side: SideOrBoth, sums: Sequence[Ints]) -> Floats:
    held_bid, told_bid, held_ask, told_ask = sums
    if side == "both":
        return shares(held_bid + held_ask, told_bid + told_ask)
    return shares(held_bid, told_bid) if side == "bid" else shares(held_ask, told_ask)


@dataclass(frozen=True, slots=True)
class _Met:
    """Windows of a class, the levels of each laid into all: a row per level and window. `of` is the window whose level
    it is, `into` the one into which it was laid."""

    size: int
    of: Ints
    into: Ints
    is_ask: Bools
    visits: Visits

    def tables(self) -> list[Ints]:
        """`(windows, windows)` each: holds and decided visits of bids, and of asks."""
        found = []
        cell = self.of * self.size + self.into
        for is_side in (~self.is_ask, self.is_ask):
            for values in (self.visits.holds, self.visits.holds + self.visits.breaks):
                sums = np.bincount(cell[is_side], values[is_side], self.size**2)
                found.append(np.rint(sums).astype(np.int64).reshape(self.size, self.size))
        return found

    def real(self, side: SideOrBoth, column: int) -> Ints:
        """`(windows,)`: visits, holds or breaks of the levels of each in its own prices."""
        values = (self.visits.visits, self.visits.holds, self.visits.breaks)[column]
        chosen = (self.of == self.into) & self._is(side)
        return np.rint(np.bincount(self.of[chosen], values[chosen], self.size)).astype(np.int64)

    def break_ms(self, side: SideOrBoth, is_real: bool) -> Floats:
        """How long each break took, of the real levels or of the artificial ones."""
        took: Floats = self.visits.break_ms[((self.of == self.into) == is_real) & self._is(side)]
        return took[np.isfinite(took)]

    def _is(self, side: SideOrBoth) -> Bools:
        is_side: Bools = (self.is_ask == (side == "ask")) | (side == "both")
        return is_side


def _met(trials: Sequence[Trial], barriers: Barriers) -> _Met:
    levels = Levels(*(np.concatenate([getattr(trial.levels, name) for trial in trials]) for name in Levels.__slots__))
    of = np.repeat(np.arange(len(trials)), [len(trial.levels.is_ask) for trial in trials])
    every = [visits(trial.path, levels, barriers) for trial in trials]
    joined = Visits(*(np.concatenate([getattr(each, name) for each in every]) for name in Visits.__slots__))
    into = np.repeat(np.arange(len(trials)), len(of))
    return _Met(len(trials), np.tile(of, len(trials)), into, np.tile(levels.is_ask, len(trials)), joined)
