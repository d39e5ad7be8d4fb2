"""One hour of context of several vaults: a line a grid time with the newest value of each kind, and what is known of
each. Pure: a value stands with its own time, so that none is older than the one before it.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from l2vault.book.context import KINDS, Context, Kind, Value
from l2vault.book.utc import utc_text
from l2vault.vault.coverage.context import ContextCoverage, ContextStretch
from l2vault.vault.journal.merge_events import MergedSpan

_Recorded = Literal["present", "stale", "lost", "unknown"]
_BEST_FIRST: Final[tuple[_Recorded, ...]] = get_args(_Recorded)
_BETWEEN: Final = ", "


def join_context(vaults: Sequence[Sequence[Context]]) -> list[tuple[Context, tuple[int, ...]]]:
    """The lines of an hour in order, each with the vaults that have one for its grid time. `vaults` has each one's, in
    order."""
    by_grid: dict[int, list[tuple[int, Context]]] = {}
    for nth, rows in enumerate(vaults):
        for row in rows:
            by_grid.setdefault(row.grid_ms, []).append((nth, row))
    found: list[tuple[Context, tuple[int, ...]]] = []
    newest: dict[Kind, Value] = {}
    for grid_ms in sorted(by_grid):
        for _, row in by_grid[grid_ms]:
            for kind in KINDS:
                value = row.value(kind)
                if value is not None and (kind not in newest or value.ts_ms > newest[kind].ts_ms):
                    newest[kind] = value
        first = by_grid[grid_ms][0][1]
        values = {kind: newest.get(kind) for kind in KINDS}
        found.append((msgspec.structs.replace(first, **values), tuple(nth for nth, _ in by_grid[grid_ms])))
    return found


def join_states(coverages: Sequence[ContextCoverage], span: tuple[int, int]) -> dict[str, list[MergedSpan]]:
    """Each value's states over a span: the best that any vault has, with the causes where it is not present."""
    return {kind: _states([_of(each, kind) for each in coverages], span) for kind in KINDS}


def _of(coverage: ContextCoverage, kind: Kind) -> list[ContextStretch]:
    return [each for each in coverage.stretches if each.kind == kind]


def _states(vaults: Sequence[Sequence[ContextStretch]], span: tuple[int, int]) -> list[MergedSpan]:
    inner = {bound for each in vaults for one in each for bound in (one.start_ms, one.end_ms)}
    bounds = sorted({*span, *(bound for bound in inner if span[0] < bound < span[1])})
    found: list[tuple[int, int, _Recorded, str]] = []
    for from_ms, to_ms in zip(bounds, bounds[1:], strict=False):
        here = [one for each in vaults for one in each if one.start_ms <= from_ms < one.end_ms]
        state: _Recorded = next((each for each in _BEST_FIRST if any(one.state == each for one in here)), "unknown")
        names = {name for one in here if one.state == state for name in one.cause.split(_BETWEEN)} - {""}
        cause = _BETWEEN.join(sorted(names))
        if found and found[-1][1:] == (from_ms, state, cause):
            found[-1] = found[-1][0], to_ms, state, cause
        else:
            found.append((from_ms, to_ms, state, cause))
    return [MergedSpan(utc_text(from_ms), utc_text(to_ms), state, cause) for from_ms, to_ms, state, cause in found]
