"""Arithmetic on lists of levels: what changed between two books, levels of both, and prices as OKX writes them."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from l2vault.book.change import Level
from l2vault.book.price import SCALE_DIGITS, price_key

BID: Final = -1
ASK: Final = 1
"""The sign of a side: times a price it makes the key by which that side is in order, best first."""


class Image(NamedTuple):
    """All levels of a book, best first."""

    bids: list[Level]
    asks: list[Level]


def price_text(key: int) -> str:
    """OKX's text of a `price_key`: no exponent, no trailing zeros."""
    whole, fraction = divmod(key, 10**SCALE_DIGITS)
    return f"{whole}.{fraction:0{SCALE_DIGITS}d}".rstrip("0").rstrip(".")


def last_words(sides: Iterable[list[Level]], sign: int) -> list[Level]:
    """What the lists, one after the other, say last of each price; best first."""
    by_key = {sign * price_key(level[0]): level for levels in sides for level in levels}
    return [by_key[key] for key in sorted(by_key)]


def difference(before: list[Level], after: list[Level], sign: int) -> list[Level]:
    """The update that turns one side into the other: levels to set and prices to delete, best first."""
    kept = set(before)
    new_prices = {level[0] for level in after}
    gone: list[Level] = [(level[0], "0", "0", "0") for level in before if level[0] not in new_prices]
    return last_words([gone, [level for level in after if level not in kept]], sign)
