"""OKX's checksum of the best 25 levels. Always 0 in production since 2026-06-23, which means "not provided"."""

import zlib
from typing import Final

from l2vault.book.change import Level

_DEPTH: Final = 25
_SIGN_BIT: Final = 1 << 31


def book_checksum(bids: list[Level], asks: list[Level]) -> int:
    """Signed CRC32 over `bid:qty:ask:qty:...` of the best 25, raw strings; the longer side just goes on.

    OKX docs, "Checksum": verified on 290 of 290 messages of a capture of 2022-05-13.
    """
    parts: list[str] = []
    for rank in range(_DEPTH):
        if rank < len(bids):
            parts += bids[rank][:2]
        if rank < len(asks):
            parts += asks[rank][:2]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - 2 * _SIGN_BIT if crc >= _SIGN_BIT else crc


def is_provided(checksum: int | None) -> bool:
    """0 and absent are not mismatches: OKX sends no checksum any more."""
    return checksum not in (None, 0)
