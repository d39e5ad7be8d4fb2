"""The wall ledger: from large levels, book by book, to lives with a beginning, a course and a cause of their end. Pure.

What no book can tell without trades is not told: whether a wall at the touch was hit or withdrawn in the last moment.
Whatever happened between two recorded books is seen only by what it left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.book_matrix import Bools, Ints
from l2vault.analytics.contract import Floats
from l2vault.analytics.walls.tracks import linked

Began = Literal["found", "returned", "entered view", "grown", "moved", "placed"]
"""`found`: it stood when the span or the time after a hole began. `entered view`: the visible range came to it.
`returned`: one of these, and a wall of like size had been lost from sight at this price."""

End = Literal["standing", "gap", "consumed", "left view", "moved", "pulled"]
"""`consumed`: the market reached its price, and it fell. `pulled`: it fell while better prices stood before it."""

FILLED_AT_TOUCH_SHARE: Final = 0.5
"""A consumed wall that lost so much of its peak while it was the best price was traded away: of such walls 98.6 %
were traded away, of those with less than half of it 34 % (benchmarks/bench_walls.py). Without it, who can tell."""

KEPT_SHARE: Final = 0.5
"""A wall lives on until it falls below this share of the threshold, lest every flicker at the threshold be another."""

LEDGER: Final = pl.Schema(
    {
        "wall": pl.Int64,
        "side": pl.String,
        "price": pl.Float64,
        "began": pl.String,
        "end": pl.String,
        "t_from": pl.Int64,
        "t_to": pl.Int64,
        "size_born": pl.Float64,
        "grown": pl.Float64,
        "shrunk": pl.Float64,
        "shrunk_at_touch": pl.Float64,
        "filled_at_touch_share": pl.Float64,
        "refilled": pl.Boolean,
        "size_end": pl.Float64,
        "size_left": pl.Float64,
        "peak": pl.Float64,
        "mean": pl.Float64,
        "orders": pl.Float64,
        "per_order": pl.Float64,
        "times_around": pl.Float64,
        "distance_bps": pl.Float64,
        "nearest_bps": pl.Float64,
        "at_touch_share": pl.Float64,
        "continues": pl.Int64,
        "continued_by": pl.Int64,
        "track": pl.Int64,
    }
)
"""A row is a life. `size_born + grown - shrunk = size_end`, the last size it had as a wall; `size_left` is what its
price held in the book after that, null where there is none; `filled_at_touch_share` is `shrunk_at_touch / peak`, at
most 1; `refilled` where more was taken from it at the touch than it ever held at once. Means are weighted by time;
`times_around` is its size at birth over the mean of its neighbours, `at_touch_share` the share of its life in which it
was the best price of its side. Lives that are one wall (moved, or back in sight) name each other and
share a `track`."""

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Birth:
    """What a level must have to become a wall, in the unit of its size; `relative` is in means of its neighbours."""

    threshold: float
    relative: float | None
    per_order: float | None

    def test(self) -> pl.Expr:
        """Over rows with `size`, `orders` and `around`: whether a wall is born there."""
        size, orders = pl.col("size"), pl.col("orders")
        is_born = size >= self.threshold
        if self.relative is not None:  # a level that stands alone is larger than all its neighbours
            is_born &= pl.col("around").is_nan() | (size >= self.relative * pl.col("around"))
        if self.per_order is not None:
            is_born &= (orders > 0) & (size >= self.per_order * orders)
        return is_born


@dataclass(frozen=True, slots=True)
class _Books:
    """What is known of each book, `(books,)` each; prices of asks are negated, so that more is nearer to market."""

    t_from: Ints
    t_to: Ints
    is_linked: Bools
    best: dict[str, Floats]
    worst: dict[str, Floats]
    is_full: dict[str, Bools]


def ledger_of(marks: pl.DataFrame, after: pl.DataFrame, books: pl.DataFrame, birth: Birth) -> pl.DataFrame:
    """The ledger of all levels that have, or as a wall might still have, the threshold.

    `marks` has a row per book (its number) and large level, `after` what its price held in the next book, `books` a row
    per book in order of time.
    """
    known = _books_of(books)
    kept = (
        marks.filter(pl.col("size") >= birth.threshold * KEPT_SHARE)
        .join(after, on=["book", "side", "price"], how="left")
        .sort("side", "price", "book")
        .with_columns(is_born=birth.test())
    )
    lives = _lives(kept, known)
    if not len(lives):
        return LEDGER.to_frame()
    lives = lives.with_columns(began=_beginnings(lives, known), end=_ends(lives, known))
    lives = lives.sort("first", "side", "price").with_row_index("wall").with_columns(pl.col("wall").cast(pl.Int64))
    return linked(lives).select(pl.col(name).cast(kind) for name, kind in LEDGER.items())


def _books_of(books: pl.DataFrame) -> _Books:
    arrays = {name: books[name].to_numpy() for name in books.columns}
    return _Books(
        arrays["t_from"],
        arrays["t_to"],
        arrays["is_linked"],
        {"bid": arrays["best_bid"], "ask": -arrays["best_ask"]},
        {"bid": arrays["worst_bid"], "ask": -arrays["worst_ask"]},
        {"bid": arrays["is_full_bid"], "ask": arrays["is_full_ask"]},
    )


def _lives(kept: pl.DataFrame, known: _Books) -> pl.DataFrame:
    """A row per unbroken run of books in which a price holds a wall, from the first book in which it may be born."""
    goes_on = (
        (pl.col("side") == pl.col("side").shift())
        & (pl.col("price") == pl.col("price").shift())
        & (pl.col("book") == pl.col("book").shift() + 1)
        & pl.Series(known.is_linked[kept["book"].to_numpy()])
    )
    is_at_touch = _of_side(kept, known.best, kept["book"].to_numpy()) == _signed_price(kept)
    runs = (
        kept.with_columns(run=(~goes_on.fill_null(False)).cum_sum(), is_at_touch=pl.Series(is_at_touch))
        .filter(pl.col("is_born").cum_max().over("run"))
        .with_columns(step=pl.col("size").diff().over("run").fill_null(0.0))
    )
    ms, shrunk = pl.col("ms"), pl.when(pl.col("step") < 0).then(-pl.col("step")).otherwise(0.0)
    lives = runs.group_by("run", maintain_order=True).agg(
        pl.col("side", "price").first(),
        first=pl.col("book").first(),
        last=pl.col("book").last(),
        size_born=pl.col("size").first(),
        size_before=pl.col("before").first(),
        grown=pl.col("step").clip(lower_bound=0).sum(),
        shrunk=shrunk.sum(),
        shrunk_at_touch=shrunk.filter("is_at_touch").sum(),
        size_end=pl.col("size").last(),
        size_left=pl.col("after").last(),
        peak=pl.col("size").max(),
        mean=(pl.col("size") * ms).sum() / ms.sum(),
        orders=(pl.col("orders") * ms).sum() / ms.sum(),
        times_around=(pl.col("size") / pl.col("around")).first().fill_nan(None),
        distance_bps=((pl.col("distance_bps") * ms).sum() / ms.sum()).fill_nan(None),
        nearest_bps=pl.col("distance_bps").min().fill_nan(None),
        at_touch_share=ms.filter("is_at_touch").sum() / ms.sum(),
    )
    return lives.with_columns(
        t_from=pl.Series(known.t_from[lives["first"].to_numpy()]),
        t_to=pl.Series(known.t_to[lives["last"].to_numpy()]),
        filled_at_touch_share=(pl.col("shrunk_at_touch") / pl.col("peak")).clip(upper_bound=1.0),
        refilled=pl.col("shrunk_at_touch") > pl.col("peak"),
        per_order=pl.when(pl.col("orders") > 0).then(pl.col("mean") / pl.col("orders")),
    )


def _beginnings(lives: pl.DataFrame, known: _Books) -> pl.Series:
    first = lives["first"].to_numpy()
    before = np.maximum(first - 1, 0)
    return _first_true(
        [
            (~known.is_linked[first] | (first == 0), "found"),
            (lives["size_before"].to_numpy() > 0, "grown"),
            (_is_beyond(lives, known, before), "entered view"),
        ],
        "placed",
    )


def _ends(lives: pl.DataFrame, known: _Books) -> pl.Series:
    after = lives["last"].to_numpy() + 1
    here = np.minimum(after, len(known.t_from) - 1)
    # Not "at most": where the whole side is gone its best is NaN, and the price was reached as well.
    is_reached = ~(_of_side(lives, known.best, here) > _signed_price(lives))
    return _first_true(
        [
            (after > here, "standing"),
            (~known.is_linked[here], "gap"),
            (is_reached, "consumed"),
            (_is_beyond(lives, known, here), "left view"),
        ],
        "pulled",
    )


def _of_side(rows: pl.DataFrame, values: dict[str, npt.NDArray[_Value]], book: Ints) -> npt.NDArray[_Value]:
    return np.where((rows["side"] == "bid").to_numpy(), values["bid"][book], values["ask"][book])


def _signed_price(rows: pl.DataFrame) -> Floats:
    price = rows["price"].to_numpy()
    return np.where((rows["side"] == "bid").to_numpy(), price, -price)


def _is_beyond(rows: pl.DataFrame, known: _Books, book: Ints) -> Bools:
    """Whether the price of each lies beyond the farthest visible one of a book, where more may be."""
    return _of_side(rows, known.is_full, book) & (_signed_price(rows) < _of_side(rows, known.worst, book))


def _first_true(choices: Sequence[tuple[Bools, str]], otherwise: str) -> pl.Series:
    return pl.Series(np.select([is_so for is_so, _ in choices], [name for _, name in choices], otherwise))
