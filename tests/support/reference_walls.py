"""The wall ledger as a plain loop over books, levels and dictionaries: what the fast one must agree with."""

from collections.abc import Sequence
from itertools import pairwise

from l2vault.analytics.books import Books
from support.ladders import ladders_in

Level = tuple[float, float, int]
"""Price, size and orders."""


def lives(books: Books, unit: str, threshold: float) -> list[dict[str, object]]:
    """Every life of a level that reaches the threshold, without links, in order of birth, side and price."""
    every = [book for ladders in ladders_in(books) for book in _books(ladders, unit)]
    found = []
    for side in ("ask", "bid"):
        prices = {price for book in every for price, size, _ in book[side] if size >= threshold / 2}
        for price in prices:
            found += _at(every, side, price, threshold)
    return sorted(found, key=lambda life: (life["t_from"], life["side"], life["price"]))


def _books(ladders, unit):
    for at in range(len(ladders)):
        book = {
            "t_from": int(ladders.t_from[at]),
            "t_to": int(ladders.t_to[at]),
            "is_linked": bool(ladders.is_linked[at]),
        }
        for name in ("bid", "ask"):
            side, sizes = ladders.side(name), ladders.sizes(name, unit)
            book[name] = [
                (float(side.price[at, rank]), float(sizes[at, rank]), int(side.orders[at, rank]))
                for rank in range(side.count[at])
            ]
            book[f"{name}_full"] = side.count[at] >= ladders.depth[at]
        yield book


def _at(every, side: str, price: float, threshold: float) -> list[dict[str, object]]:
    """The lives of one price: runs of books that follow each other, from the first with the threshold on."""
    found: list[dict[str, object]] = []
    run: list[int] = []
    for number, book in enumerate([*every, None]):
        size = 0.0 if book is None else _size(book, side, price)
        goes_on = bool(run) and book is not None and book["is_linked"] and size >= threshold / 2
        if run and not goes_on:
            found.append(_life(every, side, price, run))
            run = []
        if goes_on or size >= threshold:
            run.append(number)
    return found


def _life(every, side: str, price: float, run: Sequence[int]) -> dict[str, object]:
    sign = 1 if side == "ask" else -1
    books = [every[number] for number in run]
    levels = [next(level for level in book[side] if level[0] == price) for book in books]
    ms = [book["t_to"] - book["t_from"] for book in books]
    steps = [(after[1] - before[1]) for before, after in pairwise(levels)]
    is_best = [book[side][0][0] == price for book in books]
    mids = [(book["bid"][0][0] + book["ask"][0][0]) / 2 if book["bid"] and book["ask"] else None for book in books]
    away = [None if mid is None else sign * (price - mid) / mid * 1e4 for mid in mids]
    first = books[0][side]
    rank = first.index(levels[0])
    around = [size for at, (_, size, _) in enumerate(first) if 0 < abs(at - rank) <= 10]
    after = every[run[-1] + 1] if run[-1] + 1 < len(every) else None
    return {
        "side": side,
        "price": price,
        "began": _began(every, side, price, run[0]),
        "end": _end(after, side, price, sign),
        "t_from": books[0]["t_from"],
        "t_to": books[-1]["t_to"],
        "size_born": levels[0][1],
        "grown": sum(step for step in steps if step > 0),
        "shrunk": -sum(step for step in steps if step < 0),
        "shrunk_at_touch": -sum(step for step, best in zip(steps, is_best[1:], strict=True) if step < 0 and best),
        "size_end": levels[-1][1],
        "size_left": None if after is None else _size(after, side, price),
        "peak": max(size for _, size, _ in levels),
        "mean": _mean([size for _, size, _ in levels], ms),
        "orders": _mean([orders for *_, orders in levels], ms),
        "times_around": levels[0][1] / (sum(around) / len(around)) if around else None,
        "distance_bps": None if None in away else _mean(away, ms),
        "nearest_bps": min((each for each in away if each is not None), default=None),
        "at_touch_share": sum(each for each, best in zip(ms, is_best, strict=True) if best) / sum(ms),
    }


def _began(every, side: str, price: float, number: int) -> str:
    if number == 0 or not every[number]["is_linked"]:
        return "found"
    before = every[number - 1]
    if _size(before, side, price):
        return "grown"
    return "entered view" if _is_beyond(before, side, price) else "placed"


def _end(after, side: str, price: float, sign: int) -> str:
    if after is None:
        return "standing"
    if not after["is_linked"]:
        return "gap"
    if not after[side] or sign * (price - after[side][0][0]) <= 0:
        return "consumed"
    return "left view" if _is_beyond(after, side, price) else "pulled"


def _is_beyond(book, side: str, price: float) -> bool:
    if not (book[f"{side}_full"] and book[side]):
        return False
    worst = book[side][-1][0]
    return price > worst if side == "ask" else price < worst


def _size(book, side: str, price: float) -> float:
    return next((size for level, size, _ in book[side] if level == price), 0.0)


def _mean(values, weights) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
