"""Order-flow imbalance: what came to bids and left asks, less the reverse, book by book. Pure.

From every change of the book it is exact; from books of each cadence it is the net of what happened between two.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Bools
from l2vault.analytics.books import Books
from l2vault.analytics.contract import Floats
from l2vault.analytics.coverage_meter import Tally, tally_of
from l2vault.analytics.flow.book_diff import ADDED, CAUSES, CONSUMED, MOVED_IN, MOVED_OUT, PULLED, row_changes
from l2vault.analytics.interval_rows import Ends, Piece
from l2vault.analytics.one_book import ROUNDING_BPS

_SIGN: Final = np.zeros(len(CAUSES))
_SIGN[[ADDED, MOVED_IN]] = 1.0
_SIGN[[PULLED, CONSUMED, MOVED_OUT]] = -1.0


def ofi_name(band_bps: float) -> str:
    """`ofi_5bps_usd`"""
    return f"ofi_{band_bps:g}bps_usd"


def imbalances(piece: Piece, bands_bps: Sequence[float]) -> dict[str, Floats]:
    """`(books,)` float64 of each: what a step to this book adds to `ofi_touch_usd` and to the OFI of each band; 0 in
    the first book and behind a hole, NaN where a band lies beyond what is visible.

    Of a band: all that came to bids within so much of mid less all that left them, less the same of asks; what came
    into view or left it is neither. It is the multi-level OFI of Xu, Gould, Howison 2019 ("Multi-Level Order-Flow
    Imbalance in a Limit Order Book", arXiv 1907.06230) with levels by their distance instead of their rank, since 400
    ranks of BTC reach 13 to 30 bps. Distance is from the mid of the earlier book.
    """
    best = piece.best.bid, piece.best.ask
    sizes = (piece.contract.sizes(piece.best_qty(name), price, "usd") for name, price in zip(SIDES, best, strict=True))
    of_bid, of_ask = map(np.nan_to_num, sizes)
    columns = {"ofi_touch_usd": touch_steps(best, (of_bid, of_ask), piece.is_linked)}
    flows = np.zeros((len(bands_bps), len(piece)))
    for changed, is_ask in row_changes(piece, "usd"):
        signed = np.where(is_ask, -_SIGN[changed.cause], _SIGN[changed.cause]) * changed.size
        for at, band_bps in enumerate(bands_bps):
            is_near = changed.distance_bps <= band_bps + ROUNDING_BPS
            flows[at] += np.bincount(changed.book, signed * is_near, len(piece))
    seen = np.minimum(*(piece.visible_bps(name) for name in SIDES))
    seen = np.fmin(seen, np.append(np.inf, seen[:-1]))
    for at, band_bps in enumerate(bands_bps):
        is_seen = (seen >= band_bps - ROUNDING_BPS) | ~piece.is_linked
        columns[ofi_name(band_bps)] = np.where(is_seen, flows[at], np.nan)
    return columns


@dataclass(frozen=True, slots=True)
class Steps:
    """Of a piece: a row per book, with `t_from`, `t_to`, `is_linked` and what was measured of the step to it."""

    frame: pl.DataFrame
    ends: Ends
    tally: Tally


def steps_of(pieces: Iterator[Piece], measure: Callable[[Piece], dict[str, Floats]]) -> list[Steps]:
    """The work on one hour."""
    return [Steps(_rows(piece, measure), piece.ends(), tally_of(piece)) for piece in pieces]


def _rows(piece: Piece, measure: Callable[[Piece], dict[str, Floats]]) -> pl.DataFrame:
    return pl.DataFrame({"t_from": piece.t_from, "t_to": piece.t_to, "is_linked": piece.is_linked} | measure(piece))


def all_steps(
    books: Books, measure: Callable[[Piece], dict[str, Floats]], on_tally: Callable[[Tally], None] = lambda tally: None
) -> pl.DataFrame:
    """The rows of `steps_of` of all books, those of the first book of a piece by the last one of the piece before.
    `measure` is pickled. Raises VaultError where no book stands."""
    frames: list[pl.DataFrame] = []
    before: Ends | None = None
    for hour in books.mapped(partial(steps_of, measure=measure)):
        for each in hour:
            on_tally(each.tally)
            step = None if before is None else before.before(each.ends)
            first = each.frame.head(1) if step is None else _rows(step, measure).tail(1)
            frames += [first, each.frame.slice(1)]
            before = each.ends
    if not frames:
        raise books.no_book()
    return pl.concat(frames)


def touch_steps(best: tuple[Floats, Floats], sizes: tuple[Floats, Floats], is_linked: Bools) -> Floats:
    """`(books,)` float64, in the unit of the sizes: with `b, a` the best prices (NaN for an empty side) and `qb, qa`
    what rests at them, of the step from book n-1 to book n

    `e_n = qb_n 1{b_n >= b_n-1} - qb_n-1 1{b_n <= b_n-1} - qa_n 1{a_n <= a_n-1} + qa_n-1 1{a_n >= a_n-1}`

    (Cont, Kukanov, Stoikov 2014, "The price impact of order book events"). 0 in the first book and behind a hole.
    """
    bid, ask = np.nan_to_num(best[0], nan=-np.inf), np.nan_to_num(best[1], nan=np.inf)
    of_bid, of_ask = sizes
    came = of_bid[1:] * (bid[1:] >= bid[:-1]) + of_ask[:-1] * (ask[1:] >= ask[:-1])
    went = of_bid[:-1] * (bid[1:] <= bid[:-1]) + of_ask[1:] * (ask[1:] <= ask[:-1])
    return np.append(0.0, np.where(is_linked[1:], came - went, 0.0))


def by_step(rows: pl.DataFrame, step_ms: int) -> pl.DataFrame:
    """Sums of the rows of books (`t_from`, `t_to`, imbalances), a step counting where its later book begins: a row per
    step with `covered_ms`, the time for which books stood in it. Null in a step in which any was not seen."""
    names = [name for name in rows.columns if name.startswith("ofi_")]
    sums = rows.group_by(step=pl.col("t_from") // step_ms, maintain_order=True).agg(
        pl.when(pl.col(name).is_nan().any()).then(None).otherwise(pl.col(name).sum()).alias(name) for name in names
    )
    first, last = pl.col("t_from") // step_ms, (pl.col("t_to") - 1) // step_ms
    stood = (
        rows.select("t_from", "t_to", step=pl.int_ranges(first, last + 1))
        .explode("step")
        .group_by("step")
        .agg(
            (
                pl.min_horizontal("t_to", (pl.col("step") + 1) * step_ms)
                - pl.max_horizontal("t_from", pl.col("step") * step_ms)
            )
            .sum()
            .alias("covered_ms")
        )
    )
    joined = stood.join(sums, "step", "left").sort("step")
    return joined.with_columns(t_from=pl.col("step") * step_ms).drop("step")


def of_changes(books: Books, bands_bps: Sequence[float], step_ms: int) -> pl.DataFrame:
    """`by_step` of every change of the book. Raises VaultError where none were recorded."""
    steps = all_steps(books, partial(imbalances, bands_bps=bands_bps)).drop("is_linked")
    return by_step(steps, step_ms)
