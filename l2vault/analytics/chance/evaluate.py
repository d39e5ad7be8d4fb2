"""The measures against chance: rates of the user's own books, what chance gives, and whether the difference is more.

Every row is a hypothesis. q is over all rows of one call that have a p: ask for all that you want to know at once.
Pure; docs/evaluate.md has the rules.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, get_args

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import Ints
from l2vault.analytics.books import Books, Result
from l2vault.analytics.chance.levels import Found, barriers_of, held_rates, trials_of
from l2vault.analytics.chance.signals import Sampling, Track, flow_rates, state_rates, steps_of
from l2vault.analytics.chance.statistics import (
    DRAWS,
    LEAST_COVERED_SHARE,
    LEAST_EVENTS,
    LEVEL,
    Rate,
    block_interval,
    q_values,
)
from l2vault.analytics.chance.windows import IMBALANCES, STEP_MS, Seen, seen
from l2vault.analytics.contract import Floats
from l2vault.analytics.coverage_meter import CoverageMeter
from l2vault.analytics.trades import traded_sizes
from l2vault.analytics.walls.walls import walls
from l2vault.book.utc import DAY_MS, HOUR_MS, MINUTE_MS
from l2vault.errors import UsageError

Measure = Literal["walls", "zones", "imbalance", "flow"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)

WINDOW_MS: Final = 10 * MINUTE_MS
BLOCK_MS: Final = 30 * MINUTE_MS
"""What is drawn as a whole, and by how much a signal is shifted at least, where the span has few days."""
LEAST_WINDOWS: Final = 5
LEAST_SHIFTS: Final = 20
"""Of less chance cannot be drawn: no p could be below 5 %."""
FEW_WINDOWS: Final = "windows to test in"
FEW_SHIFTS: Final = "shifts"
NO_TRADES: Final = "no trades were recorded in this span"
FEW_TRADES: Final = "trades proved"
"""What `missing` says: of the first two with how many there are, of how many that are needed; of the last with the
share of the span in which no trade can be missing."""
LEAST_DAYS: Final = 5
"""From a span of so many days on, whole days are drawn and signals are shifted by a day or more."""

EVALUATION: Final = pl.Schema(
    {
        "measure": pl.String,
        "what": pl.String,
        "signal": pl.String,
        "side": pl.String,
        "horizon_ms": pl.Int64,
        "events": pl.Int64,
        "successes": pl.Int64,
        "open": pl.Int64,
        "rate": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "chance": pl.Float64,
        "lift": pl.Float64,
        "p": pl.Float64,
        "q": pl.Float64,
        "is_edge": pl.Boolean,
        "median_ms": pl.Float64,
        "chance_median_ms": pl.Float64,
        "missing": pl.String,
        "end_from": pl.String,
    }
)
"""A row is a question. `what`: `held` (of the visits of a level, those after which price turned), `pulled` (of the
walls that ended by a trade or a cancellation, the cancelled), `hit` (of the moves, those that went the signal's way).
`rate` is `successes / events`; `low` and `high` are its 95 % interval; `open` are visits, walls or moves that were
neither. `median_ms` is how long a break took. `missing` says why there is no rate. `end_from` is of `pulled` alone:
`trades` where these tell how each of its walls ended, `inferred` where none were recorded in the span. Null where
nothing is known."""


@dataclass(frozen=True, slots=True)
class Ask:
    """`window_ms` divides the hour; `turn_bps` is how far price must turn or go through. Raises UsageError for an
    impossible value."""

    window_ms: int = WINDOW_MS
    turn_bps: float | None = None
    draws: int = DRAWS
    seed: int = 0

    def __post_init__(self) -> None:
        if not STEP_MS <= self.window_ms <= HOUR_MS or HOUR_MS % self.window_ms:
            raise UsageError(
                f"a window of {self.window_ms / 1000:g} s is impossible.", "one that divides the hour: 10m"
            )
        if self.turn_bps is not None and not 0 < self.turn_bps < np.inf:
            raise UsageError(f"a turn of {self.turn_bps:g} bps is impossible.", "a number above 0")
        if self.seed < 0:
            raise UsageError(f"a seed of {self.seed} is impossible.", "a whole number from 0 up")
        if self.draws < 1:
            raise UsageError(f"{self.draws} draws are impossible.", "1000")


def evaluate(books: Books, measures: Collection[Measure] = MEASURES, ask: Ask | None = None) -> Result:
    """A row per question, as `EVALUATION` says, in the order of `MEASURES`. `settings` has what was drawn and how.

    Raises UsageError for no measure, VaultError where the span has no book, or none with two sides.
    """
    ask = ask or Ask()
    if not measures or not set(measures) <= set(MEASURES):
        raise UsageError(f"no such measure: {', '.join(set(measures) - set(MEASURES)) or 'none'}.", ", ".join(MEASURES))
    work = partial(seen, window_ms=ask.window_ms, measures=frozenset(measures))
    windows = [window for hour in books.mapped(work) for window in hour]
    if not windows:
        raise books.no_book()
    meter = CoverageMeter(books)
    for window in windows:
        meter.count_in(window.tally)
    span_ms = books.start_ms, books.end_ms
    is_by_day = span_ms[1] - span_ms[0] >= LEAST_DAYS * DAY_MS
    block_ms = DAY_MS if is_by_day else BLOCK_MS
    sampling = Sampling(span_ms, block_ms, block_ms, ask.draws)
    settings: dict[str, object] = {
        "measures": [name for name in MEASURES if name in measures],
        "window_ms": ask.window_ms,
        "block_ms": block_ms,
        "least_shift_ms": sampling.least_shift_ms,
        "draws": ask.draws,
        "seed": ask.seed,
        "least_events": LEAST_EVENTS,
        "least_covered_share": LEAST_COVERED_SHARE,
        "level": LEVEL,
    }
    trades_share = None
    if {"walls", "flow"} & set(measures):
        settings["trades_proved_share"] = trades_share = _trades_share(books)
    rows = _Rows(meter.provenance("evaluate/2", "usd").covered_share, trades_share)
    _ask_levels(rows, books, windows, sampling, ask, settings)
    _ask_signals(rows, books, windows, sampling, ask, settings)
    return Result(rows.frame(), meter.provenance("evaluate/2", "usd", **settings))


def _trades_share(books: Books) -> float | None:
    """The share of the span in which no trade can be missing; None where none were recorded."""
    trades = None if books.trades is None else books.trades.covered((books.start_ms, books.end_ms))
    return None if trades is None or not trades.is_recorded else trades.proved_share


class _Rows:
    """Gathers questions and their answers."""

    def __init__(self, covered_share: float, trades_share: float | None) -> None:
        self._covered_share = covered_share
        self.trades_share = trades_share
        self._rows: list[dict[str, object]] = []

    def add(
        self, measure: Measure, what: str, rate: Rate, why: str = "", is_of_trades: bool = False, **asked: object
    ) -> None:
        """`why`: what else is missing, so that there can be no rate. `is_of_trades`: it rests on trades, which must
        cover as much of the span as books must."""
        missing = ", ".join(filter(None, (self._trades_missing() if is_of_trades else "", why, self._missing(rate))))
        row: dict[str, object] = {"measure": measure, "what": what, **asked}
        row |= {"events": rate.events, "successes": rate.successes, "open": rate.open, "missing": missing or None}
        if not missing:
            share = rate.successes / rate.events
            low, high = rate.interval or (None, None)
            lift = share / rate.chance if rate.chance else None
            row |= {"rate": share, "low": low, "high": high, "chance": rate.chance, "lift": lift, "p": rate.p}
            row |= {"median_ms": rate.median_ms, "chance_median_ms": rate.chance_median_ms}
        self._rows.append(row)

    def _missing(self, rate: Rate) -> str:
        found = [f"{rate.events} of {LEAST_EVENTS} events"] if rate.events < LEAST_EVENTS else []
        if self._covered_share < LEAST_COVERED_SHARE:
            found.append(f"covered {_below_99(self._covered_share)} % of 99 %")
        return ", ".join(found)

    def _trades_missing(self) -> str:
        if self.trades_share is None:
            return NO_TRADES
        if self.trades_share < LEAST_COVERED_SHARE:
            return f"{FEW_TRADES} for {_below_99(self.trades_share)} % of 99 %"
        return ""

    def frame(self) -> pl.DataFrame:
        told = [row for row in self._rows if row.get("p") is not None]
        for row, q in zip(told, q_values([float(str(row["p"])) for row in told]), strict=True):
            row |= {"q": float(q), "is_edge": bool(q < LEVEL)}
        columns = {name: [row.get(name) for row in self._rows] for name in EVALUATION}
        return pl.DataFrame(columns, EVALUATION)


def _below_99(share: float) -> str:
    """In per cent, and never rounded up to what would be enough."""
    return f"{min(100 * share, 98.99):.4g}"


def _ask_levels(
    rows: _Rows, books: Books, windows: Sequence[Seen], sampling: Sampling, ask: Ask, settings: dict[str, object]
) -> None:
    kinds: list[Found] = [kind for kind in ("walls", "zones") if kind in _measures(settings)]
    barriers = barriers_of(windows, ask.turn_bps) if kinds else None
    if barriers is not None:
        settings |= {"near_bps": barriers.near_bps, "turn_bps": barriers.turn_bps}
    for at, kind in enumerate(kinds):
        trials = trials_of(windows, kind, ask.window_ms)
        settings |= {
            f"{kind}_windows": len(trials),
            f"{kind}_levels": sum(len(trial.levels.is_ask) for trial in trials),
        }
        if barriers is None:
            rows.add(kind, "held", _NOTHING, "price never moved", side="both")
            continue
        rng = np.random.default_rng([ask.seed, at])
        for side, rate in held_rates(trials, barriers, sampling.block_ms, rng, ask.draws).items():
            few = f"{len(trials)} of {LEAST_WINDOWS} {FEW_WINDOWS}"
            rows.add(kind, "held", rate, few if len(trials) < LEAST_WINDOWS else "", side=side)
    if "walls" in kinds:
        end_from = "inferred" if rows.trades_share is None else "trades"
        rate = _pulled(books, end_from, sampling, np.random.default_rng([ask.seed, 9]))
        rows.add("walls", "pulled", rate, is_of_trades=end_from == "trades", side="both", end_from=end_from)


_NOTHING: Final = Rate(0, 0, None, None, None)


def _measures(settings: dict[str, object]) -> list[str]:
    found = settings["measures"]
    assert isinstance(found, list)
    return found


def _pulled(books: Books, end_from: str, sampling: Sampling, rng: np.random.Generator) -> Rate:
    """Of the walls of the whole span that were traded away or cancelled, as `walls` tells it, by trades or inferred;
    those of which that is `unknown`, or told otherwise than the others, are open."""
    ended = walls(books).frame.filter(pl.col("end").is_in(["pulled", "consumed", "refilled", "unknown"]))
    ledger = ended.filter(pl.col("end") != "unknown", pl.col("end_from") == end_from)
    still = len(ended) - len(ledger)
    if not len(ledger):
        return replace(_NOTHING, open=still)
    is_pulled = (ledger["end"] == "pulled").to_numpy()
    block = np.unique(ledger["t_to"].to_numpy() // sampling.block_ms, return_inverse=True)[1]
    counts = np.bincount(block)
    interval = block_interval(np.bincount(block[is_pulled], minlength=len(counts)), counts, rng, sampling.draws)
    return Rate(len(ledger), int(is_pulled.sum()), interval, None, None, still)


def _ask_signals(
    rows: _Rows, books: Books, windows: Sequence[Seen], sampling: Sampling, ask: Ask, settings: dict[str, object]
) -> None:
    asked = [name for name in ("imbalance", "flow") if name in _measures(settings)]
    if not asked:
        return
    track = _track(windows)
    steps = steps_of(sampling.span_ms)
    if "imbalance" in asked:
        signals = _at_steps(pl.concat([window.signals for window in windows]), IMBALANCES, steps)
        found = state_rates(signals, track, sampling, np.random.default_rng([ask.seed, 2]))
        for (name, horizon_ms), rate in found.items():
            rows.add("imbalance", "hit", rate, _few_shifts(rate), signal=name, horizon_ms=horizon_ms)
    if "flow" in asked:
        flows = _at_steps(pl.concat([window.flows for window in windows]), ("ofi",), steps, fill=0.0)
        net = takers_net(books, steps)
        settings["are_trades_recorded"] = net is not None
        flows["net"] = np.full(len(steps), np.nan) if net is None else net
        found = flow_rates(flows, track, sampling, np.random.default_rng([ask.seed, 3]))
        for (name, horizon_ms), rate in found.items():
            is_of_trades = name == "net"
            why = "" if is_of_trades and net is None else _few_shifts(rate)
            rows.add("flow", "hit", rate, why, is_of_trades, signal=name, horizon_ms=horizon_ms)


def _few_shifts(rate: Rate) -> str:
    if rate.draws >= LEAST_SHIFTS:
        return ""
    return f"{rate.draws} of {LEAST_SHIFTS} {FEW_SHIFTS}"


def _track(windows: Sequence[Seen]) -> Track:
    t_from, t_to = (np.concatenate([getattr(window, name) for window in windows]) for name in ("t_from", "t_to"))
    mid = np.concatenate([window.mid for window in windows])
    told = np.isfinite(mid)
    return Track(t_from[told], t_to[told], mid[told])


def _at_steps(frame: pl.DataFrame, names: Sequence[str], steps: Ints, fill: float = np.nan) -> dict[str, Floats]:
    """`(steps,)` of each column; `fill` at steps that have no row."""
    frame = frame.group_by("t", maintain_order=True).agg(pl.col(list(names)).sum()) if fill == 0.0 else frame
    frame = frame.filter(pl.col("t").is_between(int(steps[0]), int(steps[-1]))) if len(steps) else frame.clear()
    found = {}
    at = (frame["t"].to_numpy() - (steps[0] if len(steps) else 0)) // STEP_MS
    for name in names:
        values = np.full(len(steps), fill)
        values[at] = frame[name].to_numpy()
        found[name] = values
    return found


def takers_net(books: Books, steps: Ints) -> "Floats | None":
    """`(steps,)`: what takers bought less what they sold in each, of orders that are in the book, in quote currency;
    NaN where a trade may be missing. None where none were recorded. Reads a day at a time: the hours before and behind
    what is asked for are read with it."""
    if books.trades is None or not len(steps):
        return None
    net, is_recorded = np.full(len(steps), np.nan), False
    days = steps // DAY_MS
    for day in np.unique(days):
        own = np.flatnonzero(days == day)
        read = books.trades.read((int(steps[own[0]]), int(steps[own[-1]]) + STEP_MS))
        is_recorded |= read.is_recorded
        if not read.is_recorded:
            continue
        signed = traded_sizes(read.frame, books.periods, "usd")
        signed = np.where(read.frame["is_buy"].to_numpy(), signed, -signed)
        told = ~read.frame["is_rpi"].to_numpy()
        at = (read.frame["t"].to_numpy() - steps[own[0]]) // STEP_MS
        sums = np.bincount(at[told], signed[told], len(own))
        is_proved = read.proved_ms(steps[own], steps[own] + STEP_MS) == STEP_MS
        net[own] = np.where(is_proved, sums, np.nan)
    return net if is_recorded else None
