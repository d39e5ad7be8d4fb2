"""Books worked out by hand, for tests of the intelligence: each a time, its bids and its asks."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from l2vault.analytics.books import Books, books_of
from l2vault.analytics.contract import Contract
from support.hours import Side, levels

CADENCE_MS = 2_000
T0_MS = 1_724_122_800_000

LINEAR = Contract("BTC-USDT-SWAP", False, 0.01, "BTC", "USDT", 0.5, 1)
INVERSE = Contract("BTC-USD-SWAP", True, 100.0, "BTC", "USD", 0.5, 1)


class Drawn(NamedTuple):
    """A book that stands from `at_ms` on (ms after T0_MS) to the next one, or to `until_ms` where a hole follows."""

    at_ms: int
    bids: Side
    asks: Side
    until_ms: int | None = None


def drawn(at_ms: int, bids: str, asks: str, until_ms: int | None = None) -> Drawn:
    """`drawn(0, "99 5 2, 98 1 1", "101 7 3")`: price, contracts and orders of each level, best first."""
    return Drawn(at_ms, *(levels(*filter(None, text.split(", "))) for text in (bids, asks)), until_ms)


def frames(books: Sequence[Drawn], depth: int = 400) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The level-interval table of the books and the books; the last one stands for one cadence."""
    ends = [each.at_ms for each in books[1:]] + [books[-1].at_ms + CADENCE_MS]
    spans = [
        (T0_MS + each.at_ms, T0_MS + (end if each.until_ms is None else each.until_ms))
        for each, end in zip(books, ends, strict=True)
    ]
    rows = [
        (side, float(price), float(qty), int(orders), *span)
        for each, span in zip(books, spans, strict=True)
        for side, own in (("bid", each.bids), ("ask", each.asks))
        for price, qty, _, orders in own
    ]
    names = {
        "side": pl.String,
        "price": pl.Float64,
        "qty": pl.Float64,
        "orders": pl.Int32,
        "t_from": pl.Int64,
        "t_to": pl.Int64,
    }
    held = pl.DataFrame(spans, {"t_from": pl.Int64, "t_to": pl.Int64}, orient="row").with_columns(
        depth=pl.lit(depth, pl.Int32)
    )
    return pl.DataFrame(rows, names, orient="row"), held


def hand_made(*books: Drawn, contract: Contract = LINEAR, depth: int = 400) -> Books:
    """Books for any analysis, with no vault behind them."""
    return books_of(*frames(books, depth), contract)


def mirrored(books: Sequence[Drawn], about: float) -> list[Drawn]:
    """Bids and asks change places, every price reflected at `about`: what is said of one must be said of the other."""

    def turn(side: Side) -> Side:
        return [(repr(2 * about - float(price)), qty, third, orders) for price, qty, third, orders in side]

    return [Drawn(each.at_ms, turn(each.asks), turn(each.bids), each.until_ms) for each in books]
