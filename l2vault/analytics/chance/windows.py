"""The work on an hour: what walls and zones each of its windows names, and what the next one must know to test them.

A window is a piece of time that divides the hour. What is found in a window uses nothing of any other; all that is kept
of it is small. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Bools, Ints
from l2vault.analytics.books import books_of, cut
from l2vault.analytics.contract import Contract, Floats
from l2vault.analytics.coverage_meter import Tally, tally_of
from l2vault.analytics.flow.order_flow_imbalance import touch_steps
from l2vault.analytics.interval_rows import Piece
from l2vault.analytics.metrics import imbalances
from l2vault.analytics.one_book import BPS
from l2vault.analytics.standing_walls import KEPT_SHARE
from l2vault.analytics.walls.large_levels import SLACK
from l2vault.analytics.walls.walls import walls
from l2vault.analytics.zones.zones import ahead, zones
from l2vault.errors import VaultError

STEP_MS: Final = 10_000
"""Signals are taken at its multiples."""
LEVELS: Final = (1, 10)
BANDS_BPS: Final = (5.0,)
IMBALANCES: Final = (*(f"top{count}" for count in LEVELS), *(f"{band_bps:g}bps" for band_bps in BANDS_BPS))
"""Signals of the state of the book, as `metrics.imbalance` names them."""
ZONES_A_SIDE: Final = 4
"""As many as `l2vault zones` prints."""

_FOUND: Final = {"is_ask": pl.Boolean, "price": pl.Float64, "least": pl.Float64}
_LARGE: Final = {
    "is_ask": pl.Boolean,
    "price": pl.Float64,
    "size": pl.Float64,
    "t_from": pl.Int64,
    "t_to": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of a window. `t_from`, `t_to`, `mid` (NaN without one) are `(books,)`, in order of time."""

    start_ms: int
    t_from: Ints
    t_to: Ints
    mid: Floats
    half_spread_bps: float
    """The median of its books; NaN where none has both sides."""
    tally: Tally
    walls: pl.DataFrame
    """Those that stand at its end: `is_ask`, `price`, and `least`, the size from which on each still is one."""
    zones: pl.DataFrame
    """The same of the zones that price has not passed, by the edge that faces it; `least` is 0."""
    large: pl.DataFrame
    """Rows of its large levels, in order of time: `_LARGE`."""
    signals: pl.DataFrame
    """`t` (multiples of `STEP_MS` at which a book stood) and `IMBALANCES`."""
    flows: pl.DataFrame
    """`t` (starts of steps) and `ofi`, what the touch gained of bids less asks in the step."""

    @property
    def stood_ms(self) -> int:
        """For how long books stood in it."""
        return self.tally.covered_ms


def seen(pieces: Iterator[Piece], window_ms: int, measures: frozenset[str]) -> list[Seen]:
    """The windows of an hour, of those that have a book, in order of time."""
    return [_seen(number * window_ms, piece, measures) for number, piece in _windows(pieces, window_ms)]


def _windows(pieces: Iterator[Piece], window_ms: int) -> Iterator[tuple[int, Piece]]:
    """Each window with its books, put together from the pieces in which they lie; a book belongs to the window in which
    it begins. Of a window in which the contract changes only what follows that."""
    number: int | None = None
    parts: list[tuple[pl.DataFrame, pl.DataFrame]] = []
    contract: Contract | None = None
    for piece in pieces:
        windows = piece.t_from // window_ms
        starts = np.flatnonzero(np.diff(windows, prepend=windows[0] - 1))
        for first, past in zip(starts.tolist(), [*starts[1:].tolist(), len(piece)], strict=True):
            if int(windows[first]) != number or piece.contract != contract:
                if number is not None and contract is not None and int(windows[first]) != number:
                    yield number, _joined(parts, contract)
                parts, number, contract = [], int(windows[first]), piece.contract
            books = piece.books.slice(first, past - first)
            parts.append((cut(piece.levels, books["t_from"][0], books["t_to"][-1]), books))
    if number is not None and contract is not None:
        yield number, _joined(parts, contract)


def _joined(parts: list[tuple[pl.DataFrame, pl.DataFrame]], contract: Contract) -> Piece:
    levels, books = (pl.concat(frames) for frames in zip(*parts, strict=True))
    return Piece(levels, books, contract)


def _seen(start_ms: int, piece: Piece, measures: frozenset[str]) -> Seen:
    spreads = (piece.best.ask - piece.best.bid) / piece.mid * BPS / 2
    spreads = spreads[np.isfinite(spreads)]
    found, large = _walls(piece) if "walls" in measures else (pl.DataFrame(schema=_FOUND), pl.DataFrame(schema=_LARGE))
    return Seen(
        start_ms,
        piece.t_from,
        piece.t_to,
        piece.mid,
        float(np.median(spreads)) if len(spreads) else np.nan,
        tally_of(piece),
        found,
        _zones(piece) if "zones" in measures else pl.DataFrame(schema=_FOUND),
        large,
        _signals(piece) if "imbalance" in measures else pl.DataFrame(),
        _flows(piece) if "flow" in measures else pl.DataFrame(),
    )


def _walls(piece: Piece) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The walls that stand at the end, by the default criteria of `walls` on this window alone; the large levels."""
    try:
        result = walls(books_of(piece.levels, piece.books, piece.contract))
    except VaultError:  # no book has both sides
        return pl.DataFrame(schema=_FOUND), pl.DataFrame(schema=_LARGE)
    threshold = result.provenance.setting("threshold")
    standing = result.frame.filter(end="standing")
    found = standing.select(is_ask=pl.col("side") == "ask", price="price", least=pl.lit(threshold * KEPT_SHARE))
    sizes = piece.sizes("usd")
    own = np.flatnonzero((sizes >= threshold * KEPT_SHARE * SLACK) & (sizes > 0))
    rows = piece.levels[own].select(
        is_ask=pl.Series(piece.is_ask[own]), price="price", size=pl.Series(sizes[own]), t_from="t_from", t_to="t_to"
    )
    return found.cast(pl.Schema(_FOUND)), rows.sort("t_from").cast(pl.Schema(_LARGE))


def _zones(piece: Piece) -> pl.DataFrame:
    try:
        frame = zones(books_of(piece.levels, piece.books, piece.contract)).frame
    except VaultError:
        return pl.DataFrame(schema=_FOUND)
    strongest = pl.concat([ahead(frame.filter(side=name), ZONES_A_SIDE) for name in SIDES])
    is_ask = pl.col("side") == "ask"
    edge = pl.when(is_ask).then("price_from").otherwise("price_to")
    return strongest.select(is_ask=is_ask, price=edge, least=pl.lit(0.0)).cast(pl.Schema(_FOUND))


def _signals(piece: Piece) -> pl.DataFrame:
    """Of the books that stand at the steps alone."""
    first = -(-int(piece.t_from[0]) // STEP_MS) * STEP_MS
    t_ms = np.arange(first, int(piece.t_to[-1]), STEP_MS)
    book = np.searchsorted(piece.t_from, t_ms, "right") - 1
    is_standing = t_ms < piece.t_to[book]
    t_ms, book = t_ms[is_standing], book[is_standing]
    chosen, at = np.unique(book, return_inverse=True)
    if not len(chosen):
        return pl.DataFrame(schema={"t": pl.Int64, **dict.fromkeys(IMBALANCES, pl.Float64)})
    some = Piece(piece.levels, piece.books[chosen], piece.contract)
    with np.errstate(invalid="ignore", divide="ignore"):  # an empty side has no imbalance
        columns = imbalances(some, "usd", LEVELS, BANDS_BPS)
    return pl.DataFrame({"t": t_ms, **{name: columns[name][at] for name in IMBALANCES}})


def _flows(piece: Piece) -> pl.DataFrame:
    best = piece.best.bid, piece.best.ask
    contract, is_linked = piece.contract, piece.is_linked
    bid, ask = (contract.sizes(piece.best_qty(name), price, "usd") for name, price in zip(SIDES, best, strict=True))
    steps = touch_steps(best, (np.nan_to_num(bid), np.nan_to_num(ask)), is_linked)
    t_ms = piece.t_from // STEP_MS * STEP_MS
    return pl.DataFrame({"t": t_ms, "ofi": steps}).group_by("t", maintain_order=True).agg(pl.col("ofi").sum())


def stands_until(large: pl.DataFrame, found: pl.DataFrame, start_ms: int, end_ms: int) -> Floats:
    """`(found,)`: for how long after the first book of a window (ms) each level still has its `least` size without a
    break, by the rows of the window's `large` levels; infinite up to its end."""
    until = np.zeros(len(found))
    by_place = large.partition_by("is_ask", "price", as_dict=True)
    for at, (is_ask, price, least) in enumerate(found.select("is_ask", "price", "least").rows()):
        own = by_place.get((is_ask, price))
        past_ms = start_ms
        for t_from, t_to, size in () if own is None else own.select("t_from", "t_to", "size").rows():
            if t_from > past_ms or size < least:
                break
            past_ms = t_to
        until[at] = np.inf if past_ms >= end_ms else past_ms - start_ms
    return until


def path_of(window: Seen) -> tuple[Ints, Floats, Bools]:
    """`t_ms` from the first book, `mid` and `is_linked` of the books that have both sides."""
    is_linked = np.append(False, window.t_to[:-1] == window.t_from[1:])
    told = np.isfinite(window.mid)
    before = np.append(False, told[:-1])
    return (window.t_from - window.t_from[0])[told], window.mid[told], (is_linked & before)[told]
