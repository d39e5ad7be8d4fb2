"""What one book says: spread, imbalance, depth, slippage, shape. One row per recorded book, pure arithmetic.

A measure is null where the book cannot answer: a side is empty, or the answer lies beyond the farthest visible level.
Every function returns a row per book in order of time, `t_from`, `t_to` (ms) first, and raises VaultError where the
span has no book, or none with both sides. Sizes are in `unit`. `docs/intelligence.md` has each formula and its source.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from l2vault.analytics.book_matrix import BANDS_BPS, SIDES, Bools, Ladders, SideName
from l2vault.analytics.books import Books, CoverageMeter, Result, Tally, tally_of
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.deep import FAR_BANDS_BPS, FarBands
from l2vault.analytics.interval_rows import BookRows
from l2vault.analytics.one_book import BPS, ROUNDING_BPS

LEVELS: Final = (1, 5, 10, 50)
SIZES: Final = (10_000.0, 50_000.0, 100_000.0, 500_000.0, 1_000_000.0, 5_000_000.0, 10_000_000.0)
"""Of orders, in the quote currency."""

Columns = dict[str, Floats]


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
    return [(_framed(piece, _spread(piece, unit)), tally_of(piece)) for piece in pieces]


def imbalance(
    books: Books, unit: Unit = "usd", levels: Sequence[int] = LEVELS, bands_bps: Sequence[float] = BANDS_BPS
) -> Result:
    """`(bids - asks) / (bids + asks)`, of the best N levels (`top10`) and of those within a band of mid (`5bps`).

    Source: Cartea, Donnelly, Jaimungal, "Enhancing trading strategies with order book signals", 2018.
    """
    settings = {"levels": list(levels), "bands_bps": list(bands_bps)}
    return _measured(books, "imbalance/1", unit, lambda ladders: imbalances(ladders, unit, levels, bands_bps), settings)


def depth(books: Books, unit: Unit = "usd", bands_bps: Sequence[float] | None = None) -> Result:
    """What rests within bands of mid, `bid_5bps`, and in all that is visible: `bid_total`, `bid_visible_bps` (infinite
    where the side is whole), the `bid_largest` level, `bid_hhi` (Herfindahl index: 1/N if N levels are alike, 1 if one
    has all),
    `bid_per_order` and `bid_largest_per_order` (one whale or a crowd); the same for asks.

    Where deep books were recorded, bands that reach beyond what is visible are filled from them; `deep_age_ms` is how
    old the sample was."""
    return _with_deep(books, unit, bands_bps, lambda ladders: {}, {})


def slippage(books: Books, sizes: Sequence[float] = SIZES) -> Result:
    """What a market order of a size in quote currency would cost, walking the visible levels: for `buy_100k` and
    `sell_100k` the average (`_avg`) and worst price, and `_bps`, the average against mid. Without fees and impact."""
    return _measured(
        books,
        "slippage/1",
        "usd",
        lambda ladders: _slippage(ladders, sizes),
        {"sizes": [float(size) for size in sizes]},
    )


def depth_and_slippage(
    books: Books, unit: Unit = "usd", bands_bps: Sequence[float] | None = None, sizes: Sequence[float] = SIZES
) -> Result:
    """Both in one pass over the books."""
    settings = {"sizes": [float(size) for size in sizes]}
    return _with_deep(books, unit, bands_bps, lambda ladders: _slippage(ladders, sizes), settings)


def _with_deep(
    books: Books,
    unit: Unit,
    bands_bps: Sequence[float] | None,
    more: Callable[[Ladders], Columns],
    settings: Mapping[str, object],
) -> Result:
    """Depth and `more` of it, filled from deep books where there are any."""
    bands = bands_bps or (BANDS_BPS if books.deep is None else (*BANDS_BPS, *FAR_BANDS_BPS))
    far = None if books.deep is None else FarBands(books.deep, unit, bands)

    def measure(ladders: Ladders) -> Columns:
        columns = _depth(ladders, unit, bands)
        if far is not None:
            far.fill(ladders, columns)
        return columns | more(ladders)

    result = _measured(books, "depth/1", unit, measure, {"bands_bps": list(bands), **settings})
    if far is None or not far.used:
        return result
    found = {"deep_books": far.used, "deep_oldest_ms": far.oldest_ms, "deep_last_ms": far.last_ms}
    if far.used_archive:
        found["deep_archive_books"] = far.used_archive
    provenance = replace(result.provenance, settings={**result.provenance.settings, **found})
    return Result(result.frame, provenance)


def size_name(size: float) -> str:
    """`10k`, `2.5M`: how a size is spelled in the name of a column."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return f"{size:g}"


def _measured(
    books: Books,
    method: str,
    unit: Unit,
    measure: Callable[[Ladders], Columns],
    settings: Mapping[str, object] | None = None,
) -> Result:
    """One frame of all pieces; a row a book."""
    meter = CoverageMeter(books)
    frames = []
    for ladders in books.ladders():
        meter.add(ladders)
        with np.errstate(invalid="ignore", divide="ignore"):  # an empty side has no price: null, not a warning
            columns = measure(ladders)
        frames.append(_framed(ladders, columns))
    return Result(pl.concat(frames), meter.provenance(method, unit, **(settings or {})))


def _framed(books: Ladders | BookRows, columns: Columns) -> pl.DataFrame:
    times = {"t_from": books.t_from, "t_to": books.t_to}
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


def imbalances(ladders: Ladders, unit: Unit, levels: Sequence[int], bands_bps: Sequence[float]) -> Columns:
    """`(books,)` of each measure of `imbalance`, by its name; NaN where a book cannot answer."""
    sizes = {name: ladders.sizes(name, unit) for name in SIDES}
    columns = {
        f"top{count}": _balance(sizes["bid"][:, :count].sum(axis=1), sizes["ask"][:, :count].sum(axis=1))
        for count in levels
    }
    for band_bps in bands_bps:
        within = {name: _within(ladders, name, sizes[name], band_bps) for name in SIDES}
        columns[f"{band_bps:g}bps"] = _balance(within["bid"], within["ask"])
    return columns


def _balance(bids: Floats, asks: Floats) -> Floats:
    return (bids - asks) / (bids + asks)


def _within(ladders: Ladders, name: SideName, sizes: Floats, band_bps: float) -> Floats:
    """What rests on a side within a band of mid; NaN where the band goes beyond the visible range."""
    is_near = ladders.distance_bps(name) <= band_bps + ROUNDING_BPS
    is_seen = ladders.visible_bps(name) >= band_bps - ROUNDING_BPS
    return np.where(is_seen & np.isfinite(ladders.mid), np.where(is_near, sizes, 0).sum(axis=1), np.nan)


def _depth(ladders: Ladders, unit: Unit, bands_bps: Sequence[float]) -> Columns:
    columns: Columns = {}
    for name in SIDES:
        sizes, orders = ladders.sizes(name, unit), ladders.side(name).orders
        total = sizes.sum(axis=1)
        for band_bps in bands_bps:
            columns[f"{name}_{band_bps:g}bps"] = _within(ladders, name, sizes, band_bps)
        columns[f"{name}_total"] = total
        columns[f"{name}_visible_bps"] = ladders.visible_bps(name)
        columns[f"{name}_largest"] = sizes.max(axis=1)
        columns[f"{name}_hhi"] = (sizes**2).sum(axis=1) / total**2
        columns[f"{name}_per_order"] = np.where(orders > 0, sizes, 0).sum(axis=1) / orders.sum(axis=1)
        columns[f"{name}_largest_per_order"] = np.where(orders > 0, sizes / np.maximum(orders, 1), 0).max(axis=1)
    return columns


def _slippage(ladders: Ladders, sizes: Sequence[float]) -> Columns:
    columns: Columns = {}
    for word, name in (("buy", "ask"), ("sell", "bid")):
        price = ladders.side(name).price  # type: ignore[arg-type]
        notional, coin = ladders.sizes(name, "usd"), ladders.sizes(name, "coin")  # type: ignore[arg-type]
        total, total_coin = notional.cumsum(axis=1), coin.cumsum(axis=1)
        for size in sizes:
            average, worst = _fill(size, price, (notional, total), (coin, total_coin))
            cost = (average - ladders.mid) if word == "buy" else (ladders.mid - average)
            label = f"{word}_{size_name(size)}"
            columns |= {f"{label}_avg": average, f"{label}_worst": worst, f"{label}_bps": cost / ladders.mid * BPS}
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
