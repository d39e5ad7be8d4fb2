"""Does a signal know the next move? The share of moves that went its way, beside that of the signal shifted in time.

Knows nothing of walls and zones. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from l2vault.analytics.book_matrix import Bools, Ints
from l2vault.analytics.chance.statistics import (
    DRAWS,
    Rate,
    block_interval,
    mean_of,
    p_value,
    shares,
    shifted_hits,
    shifts_of,
)
from l2vault.analytics.chance.windows import STEP_MS
from l2vault.analytics.contract import Floats

HORIZONS_MS: Final = (10_000, 60_000, 300_000)
"""Over which the next move is taken; each is a multiple of `STEP_MS`."""


@dataclass(frozen=True, slots=True)
class Track:
    """Mid over a span: `(books,)` in order of time, of all that have both sides."""

    t_from: Ints
    t_to: Ints
    mid: Floats

    def at(self, t_ms: Ints) -> Floats:
        """`(times,)`: mid of the book that stands at each time, NaN where none does."""
        book = np.maximum(np.searchsorted(self.t_from, t_ms, "right") - 1, 0)
        is_standing = (self.t_from[book] <= t_ms) & (t_ms < self.t_to[book])
        return np.where(is_standing, self.mid[book], np.nan)

    def is_whole(self, t_from: Ints, t_to: Ints) -> Bools:
        """Whether books stood over the whole of each time."""
        passed = np.concatenate([[0], np.cumsum(self.t_to - self.t_from)])
        bounds = np.stack([self.t_from, self.t_to], axis=1).reshape(-1)
        held = np.stack([passed[:-1], passed[1:]], axis=1).reshape(-1)
        stood = np.interp(t_to, bounds, held) - np.interp(t_from, bounds, held)
        is_whole: Bools = np.rint(stood) == t_to - t_from
        return is_whole


@dataclass(frozen=True, slots=True)
class Sampling:
    """`block_ms` is drawn as a whole for the interval; a signal is shifted by `least_shift_ms` or more."""

    span_ms: tuple[int, int]
    block_ms: int
    least_shift_ms: int
    draws: int = DRAWS


def state_rates(
    signals: Mapping[str, Floats], track: Track, sampling: Sampling, rng: np.random.Generator
) -> dict[tuple[str, int], Rate]:
    """Of signals of the state at each step (`(steps,)`, from the first multiple of `STEP_MS` in the span on, NaN where
    unknown), by name and horizon (ms): the sign of the signal against that of the move over the horizon that follows.
    """
    found = {}
    for horizon_ms in HORIZONS_MS:
        every = horizon_ms // STEP_MS
        t_ms, first = _times(sampling, horizon_ms)
        move = _moves(track, t_ms, horizon_ms)
        for name, values in signals.items():
            found[name, horizon_ms] = _rate(values[first::every][: len(t_ms)], move, t_ms, horizon_ms, sampling, rng)
    return found


def flow_rates(
    flows: Mapping[str, Floats], track: Track, sampling: Sampling, rng: np.random.Generator
) -> dict[tuple[str, int], Rate]:
    """The same of what flowed in each step: its sum over the horizon before, against the move over the one after."""
    found = {}
    for horizon_ms in HORIZONS_MS:
        every = horizon_ms // STEP_MS
        t_ms, first = _times(sampling, horizon_ms)
        move = _moves(track, t_ms, horizon_ms)
        is_seen = track.is_whole(t_ms - horizon_ms, t_ms)
        for name, values in flows.items():
            padded = np.concatenate([np.full(every, np.nan), values])
            before = np.lib.stride_tricks.sliding_window_view(padded, every).sum(axis=1)[first::every][: len(t_ms)]
            before = np.where(is_seen, before, np.nan)
            found[name, horizon_ms] = _rate(before, move, t_ms, horizon_ms, sampling, rng)
    return found


def steps_of(span_ms: tuple[int, int]) -> Ints:
    """The multiples of `STEP_MS` in a half-open span."""
    return np.arange(-(-span_ms[0] // STEP_MS), -(-span_ms[1] // STEP_MS)) * STEP_MS


def _times(sampling: Sampling, horizon_ms: int) -> tuple[Ints, int]:
    """The multiples of the horizon in the span, and the number of the first among its steps: moves do not overlap."""
    steps = steps_of(sampling.span_ms)
    first = int(-steps[0] // STEP_MS % (horizon_ms // STEP_MS)) if len(steps) else 0
    return steps[first :: horizon_ms // STEP_MS], first


def _moves(track: Track, t_ms: Ints, horizon_ms: int) -> Floats:
    moves = track.at(t_ms + horizon_ms) - track.at(t_ms)
    return np.where(track.is_whole(t_ms, t_ms + horizon_ms), moves, np.nan)


def _rate(
    signal: Floats, move: Floats, t_ms: Ints, horizon_ms: int, sampling: Sampling, rng: np.random.Generator
) -> Rate:
    hits, pairs = shifted_hits(signal, move)
    events, successes = (int(each[0]) if len(each) else 0 for each in (pairs, hits))
    told = np.isfinite(signal) & np.isfinite(move)
    still = int(told.sum()) - events
    if not events:
        return Rate(0, 0, None, None, None, still)
    is_pair = told & (signal != 0) & (move != 0)
    block = (t_ms // sampling.block_ms) - t_ms[0] // sampling.block_ms
    of_block = np.bincount(block[is_pair])
    hits_of_block = np.bincount(block[is_pair & (np.sign(signal) == np.sign(move))], minlength=len(of_block))
    shifts = shifts_of(len(t_ms), -(-sampling.least_shift_ms // horizon_ms), rng, sampling.draws)
    interval = block_interval(hits_of_block, of_block, rng, sampling.draws)
    if not len(shifts):
        return Rate(events, successes, interval, None, None, still)
    rates = shares(hits[shifts], pairs[shifts])
    p = p_value(successes / events, rates)
    return Rate(events, successes, interval, mean_of(rates), p, still, len(rates))
