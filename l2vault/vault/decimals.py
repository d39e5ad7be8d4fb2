"""Decimal strings as whole numbers of one power of ten, and back. Exact; needs numpy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from l2vault.book.price import SCALE_DIGITS, price_key
from l2vault.errors import LevelError

_PLAIN: Final = re.compile(r"(?:0|[1-9]\d{0,29})(?:\.\d{0,17}[1-9])?", re.ASCII)
_LARGEST: Final = 2**60
"""Leaves room for the factor by which an archive multiplies."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The value is exactly `num / den`, with `den` a power of ten.

    `is_plain` where `plain_text` gives the string back: no needless zero, as OKX spells its numbers.
    """

    num: npt.NDArray[np.int64]
    den: int
    is_plain: npt.NDArray[np.bool_]


def fixed_point(texts: Sequence[str]) -> Fixed:
    """Raises LevelError for what is not a plain decimal, or needs more than 60 bits beside the finest of the others."""
    is_plain = [_PLAIN.fullmatch(text) is not None for text in texts]
    parts = [_split(text) if plain else _reduce(text) for text, plain in zip(texts, is_plain, strict=True)]
    decimals = max((places for _, places in parts), default=0)
    powers = [10 ** (decimals - places) for places in range(decimals + 1)]
    numbers = [digits * powers[places] for digits, places in parts]
    if decimals > SCALE_DIGITS or (numbers and max(numbers) > _LARGEST):
        raise LevelError(f"{max(numbers)} units of 1e-{decimals} do not fit 60 bits")
    return Fixed(np.array(numbers, np.int64), 10**decimals, np.array(is_plain, np.bool_))


def _split(text: str) -> tuple[int, int]:
    """A plain number as its digits and how many of them are decimals."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction), len(fraction)


def _reduce(text: str) -> tuple[int, int]:
    """The same of any other decimal number, without needless zeros at its end."""
    digits, places = price_key(text), SCALE_DIGITS
    while places and digits % 10 == 0:
        digits, places = digits // 10, places - 1
    return digits, places


def plain_text(num: int, den: int) -> str:
    """The decimal string of `num / den` without a needless zero, as OKX spells it."""
    whole, fraction = divmod(num, den)
    if not fraction:
        return str(whole)
    return f"{whole}.{str(den + fraction)[1:].rstrip('0')}"
