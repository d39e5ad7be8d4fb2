"""Exact arithmetic on the decimal strings OKX sends. No float ever touches a price.

A price becomes an integer of 1e-18 so that it sorts and compares exactly: `"64223"` and `"64223.0"` are one price.
"""

import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from l2vault.errors import LevelError

_T = TypeVar("_T")

SCALE_DIGITS: Final = 18
"""Decimals a price may carry; the finest tick OKX lists has 12."""
WHOLE_DIGITS: Final = 30
"""Digits before the point. Beyond any market; without a bound, `int` would raise its own error at 4,300 digits."""

_PLAINLY_MORE: Final = re.compile(rf"[1-9][0-9]{{0,{WHOLE_DIGITS - 1}}}(?:\.[0-9]{{0,{SCALE_DIGITS}}})?").fullmatch
"""Most quantities: one call says of them that they are numbers, and more than zero."""
_QUOTED_CHARS: Final = 60
_POWERS: Final = tuple(int(10 ** (SCALE_DIGITS - places)) for places in range(SCALE_DIGITS + 1))


def price_key(text: str) -> int:
    """The price as an integer of 1e-18; raises LevelError for anything but plain ASCII digits and one point."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii() and 0 < len(whole) <= WHOLE_DIGITS and len(fraction) <= SCALE_DIGITS):
        raise LevelError(f"{text[:_QUOTED_CHARS]!r} is not a plain decimal price")
    return int(digits) * _POWERS[len(fraction)]


def level_key(text: str) -> int:
    """`price_key` of a level of a book; raises LevelError for a price of zero too, which no order can have."""
    key = price_key(text)
    if not key:
        raise LevelError(f"a level at the price {text[:_QUOTED_CHARS]}")
    return key


def is_zero(quantity: str) -> bool:
    """Whether a quantity deletes its level; raises LevelError for anything but a plain decimal number."""
    if quantity == "0":
        return True
    if _PLAINLY_MORE(quantity):
        return False
    return price_key(quantity) == 0


class Memo(dict[str, _T], Generic[_T]):
    """What `compute` made of the strings looked up of late: a book names the same ones again and again.

    Holds at most `limit` and then forgets all of them, which costs less than keeping account of their age.
    """

    def __init__(self, compute: Callable[[str], _T], limit: int) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit

    def __missing__(self, text: str) -> _T:
        if len(self) >= self._limit:
            self.clear()
        value = self[text] = self._compute(text)
        return value


def mid_price(best_bid: str, best_ask: str) -> str:
    """The exact half of bid plus ask, without exponent or trailing zeros: `"43250.75"`. Raises as `price_key` does."""
    # Five tenths of the sum is its half, and a whole number of 1e-19.
    whole, fraction = divmod(5 * (price_key(best_bid) + price_key(best_ask)), 10 ** (SCALE_DIGITS + 1))
    decimals = f"{fraction:0{SCALE_DIGITS + 1}d}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
