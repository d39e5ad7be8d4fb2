"""What a full book must look like before it is believed, whether it came in band or by REST. Pure."""

from collections.abc import Iterable
from typing import Final

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange, Level
from l2vault.book.price import level_key, price_key
from l2vault.errors import LevelError

Counts = tuple[int, int]
"""Bids and asks of a book."""

_FEW: Final = 5
_TENTH: Final = 10
"""Books of one moment may differ by a few levels or a tenth: they are 100 ms and some changes apart."""


def unreadable(levels: Iterable[Level]) -> str | None:
    """The first number of one side that is no plain decimal, in words."""
    try:
        for price, quantity, _, _ in levels:
            level_key(price)
            price_key(quantity)
    except LevelError as error:
        return str(error)
    return None


def repeated(levels: Iterable[Level]) -> str | None:
    """The first price that stands twice on one side, by its number: "100" and "100.0" are one price."""
    seen: set[int] = set()
    for price, _, _, _ in levels:
        key = price_key(price)
        if key in seen:
            return f"price {price} stands twice on one side"
        seen.add(key)
    return None


def check_levels(levels: list[Level]) -> str | None:
    """Why one side of a full book cannot be used, in words; None if it can. Never raises."""
    if len(levels) > CHANNEL_DEPTH:
        return f"{len(levels)} levels on one side, where OKX keeps {CHANNEL_DEPTH}"
    return unreadable(levels) or repeated(levels)


def implausible(full: BookChange, is_live: bool) -> str | None:
    """Why a full book whose numbers can be read is not believed; an empty or crossed one is legal outside `live`."""
    for levels in (full.bids, full.asks):
        reason = check_levels(levels)
        if reason is not None:
            return reason
    if not is_live:
        return None
    bids, asks = _keys(full.bids), _keys(full.asks)
    if not bids or not asks:
        return f"{len(bids)} bids and {len(asks)} asks, while the instrument is live"
    if max(bids) >= min(asks):
        return "crossed, while the instrument is live"
    return None


def is_short(counts: Counts) -> bool:
    """Whether it may have been cut off: only a side of 400 is certainly all of OKX's window."""
    return min(counts) < CHANNEL_DEPTH


def is_clearly_longer(counts: Counts, than: Counts) -> bool:
    """Whether one side has more levels than chance and 100 ms explain."""
    return any(one > other + max(_FEW, other // _TENTH) for one, other in zip(counts, than, strict=True))


def is_like(counts: Counts, other: Counts) -> bool:
    """Whether two books of one instrument are of a size."""
    return not is_clearly_longer(counts, other) and not is_clearly_longer(other, counts)


def _keys(levels: list[Level]) -> list[int]:
    return [price_key(price) for price, quantity, _, _ in levels if price_key(quantity)]
