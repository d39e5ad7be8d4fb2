"""Whale walls: levels far larger than the others, each followed from its birth to its end. Pure arithmetic.

`large_levels` finds, hour by hour, what may be (part of) a wall; here the hours are put together and the size is set
from which on a level is one; `ledger` makes lives of it. `docs/intelligence.md` has the rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import Bools
from l2vault.analytics.books import Books, Result
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.coverage_meter import CoverageMeter
from l2vault.analytics.standing_walls import KEPT_SHARE
from l2vault.analytics.walls.large_levels import Ask, Edge, Survey, survey
from l2vault.analytics.walls.ledger import Birth, ledger_of, runs_of
from l2vault.analytics.walls.trade_ends import told_of
from l2vault.analytics.walls.usual import chance_size
from l2vault.errors import UsageError

TIMES_USUAL: Final = 20.0
"""A wall is, on average over its life, so many times what is usual at its distance from mid. On the real books of
August 2024 the 30.9 M ask is 4,200 times that, the next that lasted are 80 to 210 times; at the touch, where much rests
and goes, the largest is 21 times."""

MIN_LIFE_MS: Final = 10_000
"""Five books at the usual cadence: of the 77 large levels in 344 s of those books 72 stood for less."""

CRUMBS_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Criteria:
    """What makes a level a wall; sizes are in the unit asked for. Raises UsageError for an impossible value.

    By default it has at least the `chance_size` of the span, on average `times_usual` times what is usual at its
    distance from mid, and stood for `min_life_ms` in sight, however often it moved. Of `min_size`, or of more than
    `percentile` per cent of the span's levels, each weighted by its time, nothing else is asked unless it is given too:
    `relative` times the mean size of the `NEIGHBOURS` levels to either side, and `per_order` on average in each order.
    """

    min_size: float | None = None
    percentile: float | None = None
    relative: float | None = None
    per_order: float | None = None
    times_usual: float | None = None
    min_life_ms: int | None = None

    def __post_init__(self) -> None:
        if self.percentile is not None and not 0 < self.percentile < 100:
            raise UsageError(f"a percentile of {self.percentile:g} is impossible.", "99.8")
        for name in ("min_size", "relative", "per_order", "times_usual"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} = {value:g} is impossible.", "a number above 0")
        if self.min_life_ms is not None and self.min_life_ms < 0:
            raise UsageError(f"min_life_ms = {self.min_life_ms} is impossible.", "0 or more")

    @property
    def is_of_size_alone(self) -> bool:
        """Whether a size or a percentile is given: what a wall was before version 0.2."""
        return self.min_size is not None or self.percentile is not None

    @property
    def least_life_ms(self) -> int:
        """As given, or by default."""
        if self.min_life_ms is not None:
            return self.min_life_ms
        return 0 if self.is_of_size_alone else MIN_LIFE_MS

    @property
    def least_times_usual(self) -> float:
        """As given, or by default; 0 where nothing is asked."""
        if self.times_usual is not None:
            return self.times_usual
        return 0.0 if self.is_of_size_alone else TIMES_USUAL

    def settings(self) -> dict[str, object]:
        """What a result says of them."""
        given: dict[str, object] = {
            name: value
            for name in ("percentile", "min_size", "relative", "per_order")
            if (value := getattr(self, name))
        }
        if self.min_size is not None:
            given.pop("percentile", None)
        asked = {"times_usual": self.least_times_usual, "min_life_ms": self.least_life_ms}
        return given | {name: value for name, value in asked.items() if value}


def walls(
    books: Books,
    unit: Unit = "usd",
    criteria: Criteria | None = None,
    looked: Mapping[int, list[Survey]] | None = None,
) -> Result:
    """A row per life of a wall as `ledger.LEDGER` says, in order of birth. Sizes are in `unit`, times ms since 1970.

    `looked` is what `survey` found in each hour (ms) by `first_look`, where a pass for another measure did that too.

    Where trades were recorded, they decide how those walls ended that were found without them.

    `settings` has the `threshold` that was used, the `last_mid`, and whether trades told of the ends. A wall stands at
    the end of the span only where the last book does (`behind_ms` of the provenance is 0). Raises VaultError where the
    span has no book, or none with two sides.
    """
    criteria = criteria or Criteria()
    surveys, threshold = _surveyed(books, first_look(unit, criteria), criteria, looked)
    if not surveys:
        raise books.no_book()
    meter = CoverageMeter(books)
    for each in surveys:
        meter.count_in(each.tally)
    crumbs_share = 0.0 if criteria.is_of_size_alone else CRUMBS_SHARE
    birth = Birth(threshold, criteria.relative, criteria.per_order, crumbs_share)
    runs = runs_of(_joined(surveys, is_seen_to_end=surveys[-1].t_to >= books.end_ms), birth)
    frame, is_told = _ended(books, runs, birth, unit, criteria)
    mids = [each.last_mid for each in surveys if each.last_mid is not None]
    settings = {"threshold": threshold, "kept_share": KEPT_SHARE} | criteria.settings()
    settings["levels"] = sum(each.level_ms for each in surveys) / max(1, sum(each.tally.covered_ms for each in surveys))
    settings["last_mid"] = mids[-1] if mids else None
    settings["is_ended_by_trades"] = is_told
    method = "walls/4" if is_told else "walls/2" if criteria.is_of_size_alone else "walls/3"
    return Result(frame.drop("run"), meter.provenance(method, unit, **settings))


def _ended(books: Books, runs: pl.DataFrame, birth: Birth, unit: Unit, criteria: Criteria) -> tuple[pl.DataFrame, bool]:
    """The ledger of the walls, and whether trades told of the end of any. They are asked only of walls whose end they
    may decide; where that makes another level part of a wall, since one that was pulled has moved there, of that too.
    """
    frame = _chosen(ledger_of(runs, birth), criteria)
    told: pl.DataFrame | None = None
    asked: set[int] = set()
    while books.trades is not None:
        ended = frame.filter(pl.col("end").is_in(["consumed", "pulled", "moved"]))
        new = set(ended["run"].to_list()) - asked
        own = runs.filter(pl.col("run").is_in(list(new)))
        more = told_of(own, books.trades, books.periods, unit) if new else None
        if more is None:
            break
        asked |= new
        told = more if told is None else pl.concat([told, more])
        frame = _chosen(ledger_of(runs, birth, told), criteria)
    return frame, told is not None and bool(told["is_told"].any())


def first_look(unit: Unit, criteria: Criteria) -> Ask:
    """What is asked of each hour before the size of a wall is known."""
    is_each_book = criteria.relative is not None
    ask = Ask(unit, criteria.percentile, None, is_each_book, not is_each_book and criteria.per_order is None)
    if criteria.min_size is None:
        return ask
    return replace(ask, percentile=None, cut=criteria.min_size * KEPT_SHARE)


def _surveyed(
    books: Books, ask: Ask, criteria: Criteria, looked: Mapping[int, list[Survey]] | None
) -> tuple[list[Survey], float]:
    """All pieces in order of time, cut low enough for the threshold, and that."""
    found = _by_hour(books, ask, books.hours) if looked is None else dict(looked)
    if criteria.min_size is not None:
        return _flat(found), criteria.min_size
    threshold = _threshold(_flat(found), criteria.percentile)
    cut = threshold * KEPT_SHARE
    again = [hour for hour, pieces in found.items() if any(piece.cut > cut for piece in pieces)]
    if again:  # what these hours left out can only have made a threshold by percentile too low
        found |= _by_hour(books, replace(ask, cut=cut), again)
        threshold = _threshold(_flat(found), criteria.percentile)
    return _flat(found), threshold


def _by_hour(books: Books, ask: Ask, hours: Sequence[int]) -> dict[int, list[Survey]]:
    return dict(zip(hours, books.mapped(partial(survey, ask=ask), hours), strict=True))


def _flat(found: dict[int, list[Survey]]) -> list[Survey]:
    return [piece for pieces in found.values() for piece in pieces]


def _threshold(surveys: list[Survey], percentile: float | None) -> float:
    """Of a percentile, the size that only the rest of the levels, by their time, have or exceed."""
    if not surveys:
        return 0.0
    if percentile is None:
        return chance_size(np.sum([each.by_size for each in surveys], axis=0))
    rows = pl.concat([each.rows.select("size", "ms") for each in surveys]).sort("size", descending=True)
    rest_ms = sum(each.level_ms for each in surveys) * (1 - percentile / 100)
    at = int(np.searchsorted(rows["ms"].cum_sum().to_numpy(), rest_ms))
    return float(rows["size"][min(at, len(rows) - 1)]) if len(rows) else 0.0


def _joined(surveys: list[Survey], *, is_seen_to_end: bool) -> pl.DataFrame:
    """The rows of all, with books numbered through and what lies at the edges of a piece taken from the next one. Where
    the last book does not stand until the end of the span, a hole follows it as any other."""
    frames = []
    number = 0
    for at, each in enumerate(surveys):
        before = surveys[at - 1] if at else None
        after = surveys[at + 1] if at + 1 < len(surveys) else None
        frames.append(_edged(each, before, after, is_seen_to_end).with_columns(pl.col("first", "past") + number))
        number += each.books
    return pl.concat(frames).sort("is_ask", "price", "first")


def _edged(each: Survey, before: Survey | None, after: Survey | None, is_seen_to_end: bool) -> pl.DataFrame:
    """The rows of a piece, with what the books next to it say of those at its two edges."""
    rows = each.rows
    is_first, is_last = pl.col("first") == 0, pl.col("past") == each.books
    usual = each.usual.at((rows["distance_ms"] / rows["ms"]).to_numpy())
    has_next = ~is_last | pl.lit(after is not None or not is_seen_to_end)
    changed = {"usual": pl.lit(pl.Series(usual, dtype=pl.Float64)), "has_next": has_next}
    if before is not None:
        is_linked = before.t_to == each.t_from and before.contract == each.contract
        beside = _beside(rows, rows["first"].to_numpy() == 0, before.closing)
        changed |= {
            "before": pl.when(is_first).then(pl.Series(beside.size)).otherwise("before"),
            "was_beyond": pl.when(is_first).then(pl.Series(beside.is_beyond)).otherwise("was_beyond"),
            "is_linked": pl.when(is_first).then(pl.lit(is_linked)).otherwise("is_linked"),
        }
    if after is not None:
        is_linked = each.t_to == after.t_from and each.contract == after.contract
        beside = _beside(rows, rows["past"].to_numpy() == each.books, after.opening)
        changed |= {
            "after": pl.when(is_last).then(pl.Series(beside.size)).otherwise("after"),
            "is_beyond": pl.when(is_last).then(pl.Series(beside.is_beyond)).otherwise("is_beyond"),
            "is_reached": pl.when(is_last).then(pl.Series(beside.is_reached)).otherwise("is_reached"),
            "is_linked_on": pl.when(is_last).then(pl.lit(is_linked)).otherwise("is_linked_on"),
        }
    else:
        changed["after"] = pl.when(~is_last).then("after")
    return rows.with_columns(**changed)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What another book says of the price of each row: `(rows,)`, of no meaning where it was not asked."""

    size: Floats
    is_beyond: Bools
    is_reached: Bools


def _beside(rows: pl.DataFrame, is_asked: Bools, edge: Edge) -> _Beside:
    is_ask, price = rows["is_ask"].to_numpy(), rows["price"].to_numpy()
    signed = np.where(is_ask, -price, price)
    size = np.zeros(len(rows))
    size[is_asked] = edge.size_at(signed[is_asked])
    best, worst = (np.where(is_ask, -ends[1], ends[0]) for ends in (edge.best, edge.worst))
    is_full = np.where(is_ask, edge.is_full[1], edge.is_full[0])
    return _Beside(size, is_full & (signed < worst), ~(best > signed))


def _chosen(ledger: pl.DataFrame, criteria: Criteria) -> pl.DataFrame:
    """The lives of the walls that were large enough for where they stood, and in sight for long enough."""
    if criteria.least_times_usual:
        ledger = ledger.filter(pl.col("times_usual").max().over("track") >= criteria.least_times_usual)
    if criteria.least_life_ms:
        ms = (pl.col("t_to") - pl.col("t_from")).sum().over("track")
        ledger = ledger.filter(ms >= criteria.least_life_ms)
    return ledger
