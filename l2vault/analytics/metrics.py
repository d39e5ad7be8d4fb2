"""What one book says: spread, imbalance, depth, slippage, shape. One row per recorded book, pure arithmetic.

A measure is null where the book cannot answer: a side is empty, or the answer lies beyond the farthest visible level.
Every function returns a row per book in order of time, `t_from`, `t_to` (ms) first, and raises VaultError where the
span has no book, or none with both sides. Sizes are in `unit`. `docs/intelligence.md` has each formula and its source.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import BANDS_BPS, SIDES, Bools, Ints, SideName
from l2vault.analytics.books import Books, Result
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.coverage_meter import CoverageMeter, Tally, tally_of
from l2vault.analytics.deep import FAR_BANDS_BPS, FarBands, Reach
from l2vault.analytics.interval_rows import BookRows, Piece
from l2vault.analytics.one_book import BPS
from l2vault.analytics.rpi import RpiBands
from l2vault.analytics.side_levels import SideLevels, is_seen, near_sums, side_levels

LEVELS: Final = (1, 5, 10, 50)
SIZES: Final = (10_000.0, 50_000.0, 100_000.0, 500_000.0, 1_000_000.0, 5_000_000.0, 10_000_000.0)
"""Of orders, in the quote currency."""

Columns = dict[str, Floats]

_TAKEN: Final[dict[str, SideName]] = {"buy": "ask", "sell": "bid"}
"""Of which side a market order takes."""


def spread(books: Books, unit: Unit = "usd") -> Result:
    """`bid, ask, mid, microprice, spread` (prices), `spread_bps` (of mid), `spread_ticks`, and what rests at the touch,
    `bid_size` and `ask_size`."""
    meter = CoverageMeter(books)
    frames = []
    for hour in books.mapped_books(partial(spreads, unit=unit)):
        for frame, tally in hour:
            frames.append(frame)
            meter.count_in(tally)
    if not frames:
        raise books.no_book()
    return Result(pl.concat(frames), meter.provenance("spread/1", unit))


def spreads(pieces: Iterator[BookRows], unit: Unit) -> list[tuple[pl.DataFrame, Tally]]:
    """The work on one hour: the rows of `spread` of each piece, and what is known of its books."""
    return [(_framed(piece.t_from, piece.t_to, _spread(piece, unit)), tally_of(piece)) for piece in pieces]


def imbalance(
    books: Books, unit: Unit = "usd", levels: Sequence[int] = LEVELS, bands_bps: Sequence[float] = BANDS_BPS
) -> Result:
    """`(bids - asks) / (bids + asks)`, of the best N levels (`top10`) and of those within a band of mid (`5bps`). Null
    where N levels, or the band, reach beyond what was recorded of a side; a whole side has no more than it shows.

    Source: Cartea, Donnelly, Jaimungal, "Enhancing trading strategies with order book signals", 2018.
    """
    settings = {"levels": list(levels), "bands_bps": list(bands_bps)}
    measure = partial(imbalances, unit=unit, levels=levels, bands_bps=bands_bps)
    return _measured(books, "imbalance/2", unit, measure, settings)


def depth(books: Books, unit: Unit = "usd", bands_bps: Sequence[float] | None = None) -> Result:
    """What rests within bands of mid, `bid_5bps`, and in all that is visible: `bid_total`, `bid_visible_bps` (infinite
    where the side is whole), the `bid_largest` level, `bid_hhi` (Herfindahl index: 1/N if N levels are alike, 1 if one
    has all),
    `bid_per_order` and `bid_largest_per_order` (one whale or a crowd); the same for asks.

    Where deep books were recorded, bands that reach beyond what is visible are filled from them; `deep_age_ms` is how
    old the sample was. Where RPI books were recorded, `rpi_bid_5bps` and `rpi_bid_5bps_share` are what RPI orders held
    within each band of the newest one, which is in no other measure, and `rpi_age_ms` is how old that was."""
    return _with_samples(books, unit, bands_bps, (), {})


def slippage(books: Books, sizes: Sequence[float] = SIZES) -> Result:
    """What a market order of a size in quote currency would cost, walking the visible levels: for `buy_100k` and
    `sell_100k` the average (`_avg`) and worst price, and `_bps`, the average against mid. Without fees and impact."""
    return _measured(
        books,
        "slippage/1",
        "usd",
        partial(_slippage, sizes=sizes),
        {"sizes": [float(size) for size in sizes]},
    )


def depth_and_slippage(
    books: Books, unit: Unit = "usd", bands_bps: Sequence[float] | None = None, sizes: Sequence[float] = SIZES
) -> Result:
    """Both in one pass over the books."""
    settings = {"sizes": [float(size) for size in sizes]}
    return _with_samples(books, unit, bands_bps, sizes, settings)


def _with_samples(
    books: Books,
    unit: Unit,
    bands_bps: Sequence[float] | None,
    sizes: Sequence[float],
    settings: Mapping[str, object],
) -> Result:
    """Depth, filled from deep books where there are any, slippage of some sizes, and RPI orders where there are any."""
    bands = bands_bps or (BANDS_BPS if books.deep is None else (*BANDS_BPS, *FAR_BANDS_BPS))
    far = None if books.deep is None else FarBands(books.deep, unit, bands)
    rpi = None if books.rpi is None else RpiBands(books.rpi, unit, bands)

    def finished(measured: Measured) -> Columns:
        return filled(measured) | ({} if rpi is None else rpi.columns(measured.reach))

    def filled(measured: Measured) -> Columns:
        if far is None:
            return measured.columns
        costs = [name for name in measured.columns if name.startswith(("buy_", "sell_"))]
        columns = {name: values for name, values in measured.columns.items() if name not in costs}
        far.fill(measured.reach, columns)
        return columns | {name: measured.columns[name] for name in costs}

    measure = partial(_depth_and_costs, unit=unit, bands_bps=bands, sizes=sizes)
    result = _measured(books, "depth/1", unit, measure, {"bands_bps": list(bands), **settings}, finished)
    found: dict[str, int] = {}
    if far is not None and far.used:
        found |= {"deep_books": far.used, "deep_oldest_ms": far.oldest_ms, "deep_last_ms": far.last_ms}
        found |= {"deep_archive_books": far.used_archive} if far.used_archive else {}
    if rpi is not None and rpi.used:
        found |= {"rpi_books": rpi.used, "rpi_oldest_ms": rpi.oldest_ms, "rpi_last_ms": rpi.last_ms}
    if not found:
        return result
    provenance = replace(result.provenance, settings={**result.provenance.settings, **found})
    return Result(result.frame, provenance)


def size_name(size: float) -> str:
    """`10k`, `2.5M`: how a size is spelled in the name of a column."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return f"{size:g}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What the work on an hour says of some books."""

    reach: Reach
    t_to: Ints
    columns: Columns
    tally: Tally


def measured(pieces: Iterator[Piece], measure: Callable[[Piece], Columns]) -> list[Measured]:
    """The work on one hour."""
    found = []
    for piece in pieces:
        with np.errstate(invalid="ignore", divide="ignore"):  # an empty side has no price: null, not a warning
            columns = measure(piece)
        reach = Reach(piece.t_from, piece.mid, piece.worst, piece.contract)
        found.append(Measured(reach, piece.t_to, columns, tally_of(piece)))
    return found


def _measured(  # noqa: PLR0913 - what, how, and what is done with it
    books: Books,
    method: str,
    unit: Unit,
    measure: Callable[[Piece], Columns],
    settings: Mapping[str, object],
    finished: Callable[[Measured], Columns] = lambda measured: measured.columns,
) -> Result:
    """One frame of all pieces; a row a book."""
    meter = CoverageMeter(books)
    frames = []
    for hour in books.mapped(partial(measured, measure=measure)):
        for each in hour:
            meter.count_in(each.tally)
            frames.append(_framed(each.reach.t_from, each.t_to, finished(each)))
    if not frames:
        raise books.no_book()
    return Result(pl.concat(frames), meter.provenance(method, unit, **settings))


def _framed(t_from: Ints, t_to: Ints, columns: Columns) -> pl.DataFrame:
    times = {"t_from": t_from, "t_to": t_to}
    return pl.DataFrame(times | columns).with_columns(pl.col(list(columns)).fill_nan(None))


@np.errstate(invalid="ignore", divide="ignore")
def _spread(piece: BookRows, unit: Unit) -> Columns:
    bid, ask, contract = piece.best.bid, piece.best.ask, piece.contract
    bid_qty, ask_qty = piece.best_qty("bid"), piece.best_qty("ask")
    gap = np.round(ask - bid, contract.tick_decimals)
    return {
        "bid": bid,
        "ask": ask,
        "mid": piece.mid,
        # Each price weighted by what rests at the other: the side with less is likelier to be the next to give way
        # (Gatheral and Oomen, "Zero-intelligence realized variance estimation", 2010, there "weighted mid").
        "microprice": (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty),
        "spread": gap,
        "spread_bps": gap / piece.mid * BPS,
        "spread_ticks": np.round(gap / contract.tick, 6),
        "bid_size": contract.sizes(bid_qty, bid, unit),
        "ask_size": contract.sizes(ask_qty, ask, unit),
    }


def imbalances(piece: Piece, unit: Unit, levels: Sequence[int], bands_bps: Sequence[float]) -> Columns:
    """`(books,)` of each measure of `imbalance`, by its name; NaN where a book cannot answer."""
    sizes = piece.sizes(unit)
    names = [f"top{count}" for count in levels] + [f"{band_bps:g}bps" for band_bps in bands_bps]
    sums = {name: {each: np.zeros(len(piece)) for each in names} for name in SIDES}
    for name in SIDES:
        for side in side_levels(piece, name):
            own = side.own
            of_level = sizes[side.row]
            ranked = side.ranked(of_level)
            found = [ranked[:, :count].sum(axis=1) for count in levels]
            found += near_sums(piece, name, side, of_level, bands_bps)
            for each, values in zip(names, found, strict=True):
                sums[name][each][own] = values
    columns = {each: _balance(sums["bid"][each], sums["ask"][each]) for each in names}
    for count in levels:
        is_known = _is_ranked(piece, "bid", count) & _is_ranked(piece, "ask", count)
        columns[f"top{count}"] = np.where(is_known, columns[f"top{count}"], np.nan)
    for band_bps in bands_bps:
        is_known = is_seen(piece, "bid", band_bps) & is_seen(piece, "ask", band_bps)
        columns[f"{band_bps:g}bps"] = np.where(is_known, columns[f"{band_bps:g}bps"], np.nan)
    return columns


def _is_ranked(piece: Piece, name: SideName, levels: int) -> Bools:
    """`(books,)`: whether a side's best `levels` are all there to see: it has so many, or is whole and has fewer."""
    ranked: Bools = (piece.count(name) >= levels) | ~piece.is_full[name]
    return ranked


def _balance(bids: Floats, asks: Floats) -> Floats:
    return (bids - asks) / (bids + asks)


Sides = dict[SideName, list[SideLevels]]


def _depth_and_costs(piece: Piece, unit: Unit, bands_bps: Sequence[float], sizes: Sequence[float]) -> Columns:
    sides = {name: list(side_levels(piece, name)) for name in SIDES}
    columns: Columns = {}
    for name in SIDES:
        found = _side_depth(piece, name, sides[name], unit, bands_bps)
        columns |= {f"{name}_{measure}": values for measure, values in found.items()}
    return columns | (_costs(piece, sides, sizes) if sizes else {})


def _side_depth(
    piece: Piece, name: SideName, sides: list[SideLevels], unit: Unit, bands_bps: Sequence[float]
) -> Columns:
    sizes, orders = piece.sizes(unit), piece.orders
    bands = [f"{band_bps:g}bps" for band_bps in bands_bps]
    of_book = (*bands, "total", "visible_bps", "largest", "hhi", "per_order", "largest_per_order")
    columns = {measure: np.zeros(len(piece)) for measure in of_book}
    for side in sides:
        own = side.own
        size, count = sizes[side.row], orders[side.row]
        for band, sums in zip(bands, near_sums(piece, name, side, size, bands_bps), strict=True):
            columns[band][own] = sums
        total, is_counted = side.sums(size), count > 0
        columns["total"][own] = total
        columns["largest"][own] = side.most(size)
        columns["hhi"][own] = side.sums(size**2) / total**2
        columns["per_order"][own] = side.sums(size * is_counted) / side.sums(count.astype(np.float64))
        columns["largest_per_order"][own] = side.most(size * is_counted / np.maximum(count, 1))
    for band, band_bps in zip(bands, bands_bps, strict=True):
        columns[band] = np.where(is_seen(piece, name, band_bps), columns[band], np.nan)
    columns["visible_bps"] = piece.visible_bps(name)
    return columns


def _slippage(piece: Piece, sizes: Sequence[float]) -> Columns:
    return _costs(piece, {name: list(side_levels(piece, name)) for name in SIDES}, sizes)


def _costs(piece: Piece, sides: Sides, sizes: Sequence[float]) -> Columns:
    labels = {word: [f"{word}_{size_name(size)}" for size in sizes] for word in _TAKEN}
    names = (f"{label}_{what}" for each in labels.values() for label in each for what in ("avg", "worst", "bps"))
    columns = {name: np.full(len(piece), np.nan) for name in names}
    notional, coin = piece.sizes("usd"), piece.sizes("coin")
    for word, name in _TAKEN.items():
        for side in sides[name]:
            own = side.own
            price, *of_level = (side.ranked(values[side.row]) for values in (piece.price, notional, coin))
            both = [(each, each.cumsum(axis=1)) for each in of_level]
            mid = piece.mid[own]
            for label, size in zip(labels[word], sizes, strict=True):
                average, worst = _fill(size, price, *both)
                cost = (average - mid) if word == "buy" else (mid - average)
                columns[f"{label}_avg"][own] = average
                columns[f"{label}_worst"][own] = worst
                columns[f"{label}_bps"][own] = cost / mid * BPS
    return columns


def _fill(
    size: float, price: Floats, notional: tuple[Floats, Floats], coin: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Average and worst price of an order that takes levels until it has `size` of notional; NaN where they run out.

    `notional` and `coin` are of each level and up to and including it.
    """
    is_short: Bools = notional[1] < size
    can_fill = ~is_short[:, -1]
    last = np.minimum(is_short.sum(axis=1), price.shape[1] - 1)
    book = np.arange(len(price))
    before = notional[1][book, last] - notional[0][book, last]
    before_coin = coin[1][book, last] - coin[0][book, last]
    worst = price[book, last]
    average = size / (before_coin + (size - before) / worst)
    return np.where(can_fill, average, np.nan), np.where(can_fill, worst, np.nan)
