"""Exact arithmetic on the decimal strings OKX sends. No float ever touches a price.

A price becomes an integer of 1e-18 so that it sorts and compares exactly: `"64223"` and `"64223.0"` are one price.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from l2vault.errors import LevelError

SCALE_DIGITS: Final = 18
"""Decimals a price may carry; the finest tick OKX lists has 12."""

_EXACT: Final = Context(prec=80, traps=[Inexact, InvalidOperation])
_TWO: Final = Decimal(2)
_ONE_TO_NINE: Final = frozenset("123456789")
_POWERS: Final = tuple(int(10 ** (SCALE_DIGITS - places)) for places in range(SCALE_DIGITS + 1))


def price_key(text: str) -> int:
    """The price as an integer of 1e-18; raises LevelError for anything but plain ASCII digits and one point."""
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii() and whole) or len(fraction) > SCALE_DIGITS:
        raise LevelError(f"{text!r} is not a plain decimal price")
    return int(digits) * _POWERS[len(fraction)]


def is_zero(quantity: str) -> bool:
    """Whether a quantity deletes its level; raises LevelError for anything but a plain decimal number."""
    if quantity == "0":
        return True
    if quantity[:1] in _ONE_TO_NINE and quantity.isdigit() and quantity.isascii():
        return False
    return price_key(quantity) == 0


def mid_price(best_bid: str, best_ask: str) -> str:
    """The exact half of bid plus ask, without exponent or trailing zeros: `"43250.75"`."""
    total = _EXACT.add(Decimal(best_bid), Decimal(best_ask))
    text = format(_EXACT.divide(total, _TWO), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
