"""Which lives of the wall ledger are one wall: it moved, or it was lost from sight and is back. Pure.

Judged by price and size alone: a book names no owners, so that a link is likely and never certain.
"""

from typing import Final, Literal, get_args

import polars as pl

from l2vault.analytics.one_book import BPS, MOVE_BPS
from l2vault.analytics.standing_walls import MOVE_ALIKE_AT_TOUCH_SHARE, MOVE_ALIKE_SHARE, MOVE_BOOKS

ALIKE_SHARE: Final = 0.8
"""A wall that was lost from sight and one at its price may be one and the same if the smaller is at least this share
of the other."""


def linked(lives: pl.DataFrame) -> pl.DataFrame:
    """The lives, in order of birth; those that are one wall name each other, and the first of them is their track."""
    moved, returned = _moves(lives), _returns(lives)
    links = pl.DataFrame(list((moved | returned).items()), {"wall": pl.Int64, "continued_by": pl.Int64}, orient="row")
    back = links.rename({"wall": "continues", "continued_by": "wall"})
    named = (
        lives.join(links, on="wall", how="left", maintain_order="left")
        .join(back, on="wall", how="left", maintain_order="left")
        .with_columns(
            end=pl.when(pl.col("wall").is_in(list(moved))).then(pl.lit("moved")).otherwise("end"),
            began=pl.when(pl.col("wall").is_in(list(moved.values())))
            .then(pl.lit("moved"))
            .when(pl.col("wall").is_in(list(returned.values())))
            .then(pl.lit("returned"))
            .otherwise("began"),
        )
    )
    tracks: dict[int, int] = {}
    for wall, continues in named.select("wall", "continues").rows():
        tracks[wall] = wall if continues is None else tracks[continues]
    return named.with_columns(track=pl.Series(list(tracks.values()), dtype=pl.Int64))


def _moves(lives: pl.DataFrame) -> dict[int, int]:
    """Pulled walls and new ones that are one at another price, each wall in one pair: those without a book between
    them first, since a wall that moves in every book is like all its places; among these the likest."""
    gone = lives.filter(pl.col("end") == "pulled").select(
        *("side", "last", "is_reached"),
        old="wall",
        old_price="price",
        fell=pl.col("size_end") - pl.col("size_left"),
    )
    come = lives.filter(pl.col("began").is_in(["placed", "grown"])).select(
        "side", "first", new="wall", new_price="price", rose=pl.col("size_born") - pl.col("size_before")
    )
    pairs = pl.concat(
        gone.with_columns(first=pl.col("last") + later, later=pl.lit(later)).join(come, on=["side", "first"])
        for later in range(1, MOVE_BOOKS + 1)
    ).with_columns(alike=_alike("fell", "rose"), apart=(pl.col("new_price") / pl.col("old_price") - 1).abs())
    least = pl.when("is_reached").then(MOVE_ALIKE_AT_TOUCH_SHARE).otherwise(MOVE_ALIKE_SHARE)
    pairs = pairs.filter(pl.col("alike") >= least, pl.col("apart") <= MOVE_BPS / BPS)
    moves: dict[int, int] = {}
    taken: set[int] = set()
    best_first = pairs.sort("later", -pl.col("alike"), "apart", "old", "new")
    for old, new in best_first.select("old", "new").rows():
        if old not in moves and new not in taken:
            moves[old] = new
            taken.add(new)
    return moves


def _returns(lives: pl.DataFrame) -> dict[int, int]:
    """Walls that were lost from sight and are the next one at their price when that comes into sight, and alike."""
    before = lives.sort("side", "price", "first").with_columns(
        pl.col("wall", "end", "size_end").shift().over("side", "price").name.suffix("_before")
    )
    was_lost = (pl.col("began") == "entered view") & (pl.col("end_before") == "left view")
    was_lost |= (pl.col("began") == "found") & pl.col("end_before").is_in(["gap", "left view"])
    found = before.filter(was_lost, _alike("size_end_before", "size_born") >= ALIKE_SHARE)
    return dict(found.select("wall_before", "wall").rows())


def _alike(one: str, other: str) -> pl.Expr:
    return pl.min_horizontal(one, other) / pl.max_horizontal(one, other)


Sort = Literal["weight", "size", "time", "near"]
"""By size times time in sight, by the largest size, by the time in sight, most first; or the nearest to mid first."""

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)


def tracks_of(ledger: pl.DataFrame, last_mid: float | None = None) -> pl.DataFrame:
    """A row per wall however often it moved or was lost from sight: `track, side, price` (the last one), `began` of its
    first life and `end` of its last, `t_from, t_to`, `seen_ms` (the sum of its lives), `lives, moves,
    filled_at_touch_share, refilled, end_from, consumed_share` (of the last life), `traded, cancelled` (of all), `peak,
    mean, orders, nearest_bps`; `size_end`, the last size it had; `times_usual`, the most of its lives; `weight`, its
    size times its time in sight, in units and seconds; and `standing_bps`, how far one that still stands is from
    `last_mid`. In order of birth."""
    ms = pl.col("t_to") - pl.col("t_from")
    away = (pl.col("price") / last_mid - 1).abs() * BPS if last_mid else pl.lit(None, pl.Float64)
    tracks = ledger.group_by("track", maintain_order=True).agg(
        pl.col("side").last(),
        pl.col("price").last(),
        pl.col("began").first(),
        pl.col("end").last(),
        pl.col("t_from").first(),
        pl.col("t_to").last(),
        seen_ms=ms.sum(),
        lives=pl.len(),
        moves=(pl.col("began") == "moved").sum(),
        filled_at_touch_share=pl.col("filled_at_touch_share").last(),
        refilled=pl.col("refilled").last(),
        peak=pl.col("peak").max(),
        mean=(pl.col("mean") * ms).sum() / ms.sum(),
        orders=(pl.col("orders") * ms).sum() / ms.sum(),
        nearest_bps=pl.col("nearest_bps").min(),
        size_end=pl.col("size_end").last(),
        times_usual=pl.col("times_usual").max(),
        end_from=pl.col("end_from").last(),
        consumed_share=pl.col("consumed_share").last(),
        traded=_known_sum("traded"),
        cancelled=_known_sum("cancelled"),
        weight=(pl.col("mean") * ms).sum() / 1000,
    )
    return tracks.with_columns(standing_bps=pl.when(pl.col("end") == "standing").then(away))


def _known_sum(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum())


def sorted_by(tracks: pl.DataFrame, sort: Sort) -> pl.DataFrame:
    """Of two alike the one that was born first."""
    if sort == "near":
        return tracks.sort(pl.coalesce("standing_bps", "nearest_bps"), maintain_order=True)
    column = {"weight": "weight", "size": "peak", "time": "seen_ms"}[sort]
    return tracks.sort(column, descending=True, maintain_order=True)


def lives_sorted_by(ledger: pl.DataFrame, sort: Sort, last_mid: float | None = None) -> pl.DataFrame:
    """The rows of a ledger in the order in which `sorted_by` puts tracks; one that stands is as near as it is to
    `last_mid`, any other as near as it ever was."""
    ms, nearest = pl.col("t_to") - pl.col("t_from"), pl.col("nearest_bps")
    if sort == "near":
        if last_mid:
            away = (pl.col("price") / last_mid - 1).abs() * BPS
            nearest = pl.when(pl.col("end") == "standing").then(away).otherwise(nearest)
        return ledger.sort(nearest, nulls_last=True, maintain_order=True)
    key = {"weight": pl.col("mean") * ms, "size": pl.col("peak"), "time": ms}[sort]
    return ledger.sort(key, descending=True, maintain_order=True)
