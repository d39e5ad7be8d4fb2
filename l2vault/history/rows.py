"""The rows of OKX's archive as the values that the rest of the project knows. Pure.

Forms: `{"instId","action","ts","asks","bids"}` with levels `[price, size, orders]` a line; CSV of six or seven columns
for trades, of three for funding, whose first row names them (in old files partly in Chinese) (OKX, 2024 to 2026).
"""

import re
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key
from l2vault.book.trade import TradePush, trade_fault
from l2vault.errors import LevelError, LineError

_TIME: Final = re.compile(r"[1-9][0-9]{0,13}", re.ASCII)
_RATE: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,30})?(?:[eE]-?[0-9]{1,3})?", re.ASCII)
_DIGIT: Final = re.compile(r"[0-9]")
_QUOTED: Final = 80
_COLUMNS: Final = (6, 7)
_FUNDING_COLUMNS: Final = (3,)
EVERY_LEVEL: Final = 10_000
"""More than a file of OKX's has a side."""


class _Book(msgspec.Struct, gc=False):
    instId: str
    action: Literal["snapshot", "update"]
    ts: str
    asks: list[tuple[str, str, str]]
    bids: list[tuple[str, str, str]]


_BOOKS: Final = msgspec.json.Decoder(_Book)
_is_count: Final = str.isdecimal


class Rate(NamedTuple):
    """What the period that ended at `time_ms` cost."""

    inst_id: str
    rate: str
    time_ms: int


def change_of(line: bytes, inst_id: str) -> BookChange:
    """A line of a file of books. Raises LineError for one that is none, or is another instrument's."""
    try:
        row = _BOOKS.decode(line)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise LineError(f"no line of books: {error}") from error
    if row.instId != inst_id:
        raise LineError(f"a line of {row.instId[:_QUOTED]!r}, where {inst_id} is expected")
    if not _TIME.fullmatch(row.ts):
        raise LineError(f"no line of books: ts is {row.ts[:_QUOTED]!r}")
    bids: list[Level] = [(price, size, "0", orders) for price, size, orders in row.bids]
    asks: list[Level] = [(price, size, "0", orders) for price, size, orders in row.asks]
    if not all(map(_is_count, (level[3] for level in (*bids, *asks)))):
        raise LineError("no line of books: a level without a number of orders")
    return BookChange(inst_id, row.action == "snapshot", bids, asks, int(row.ts), None, None, None)


def trade_of(line: bytes, inst_id: str) -> TradePush | None:
    """A row of a file of trades, whose time of receipt is 0; None for the one that names the columns, or is blank."""
    fields = _fields(line)
    if fields == [""] or _is_header(fields, _COLUMNS):
        return None
    if len(fields) not in _COLUMNS or fields[0] != inst_id:
        raise LineError(f"no row of trades of {inst_id}: {line[:_QUOTED]!r}")
    _, trade_id, side, price, size, ts, *source = fields
    push = TradePush(
        *(inst_id, trade_id, price, size, side.lower(), ts, None, source[0] if source else None, None, 0),
        "archive",
    )
    fault = trade_fault(push)
    if fault is not None:
        raise LineError(f"no row of trades: {fault}")
    return push


def rate_of(line: bytes) -> Rate | None:
    """A row of a file of funding; None for the one that names the columns, or is blank."""
    fields = _fields(line)
    if fields == [""] or _is_header(fields, _FUNDING_COLUMNS):
        return None
    if len(fields) not in _FUNDING_COLUMNS or not _TIME.fullmatch(fields[2]) or not _RATE.fullmatch(fields[1]):
        raise LineError(f"no row of funding: {line[:_QUOTED]!r}")
    return Rate(fields[0], fields[1], int(fields[2]))


def _is_header(fields: list[str], columns: tuple[int, ...]) -> bool:
    """Whether a row names the columns: no name of OKX's has a digit, and each row of values has an id or a time."""
    return len(fields) in columns and not any(_DIGIT.search(field) for field in fields)


def _fields(line: bytes) -> list[str]:
    return line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r").split(",")


def is_same_book(one: tuple[list[Level], list[Level]], other: tuple[list[Level], list[Level]]) -> bool:
    """Whether two books have the same levels as decimals, orders included: 2024 prints `365.0`, 2026 `365`."""
    return one == other or all(_numbers(left) == _numbers(right) for left, right in zip(one, other, strict=True))


def _numbers(levels: list[Level]) -> list[tuple[int, int, str]]:
    return [(price_key(price), price_key(size), orders) for price, size, _, orders in levels]


def apply_line(book: Book, change: BookChange) -> None:
    """Apply a line. Raises LineError where its numbers are none: the book is then half changed, drop it."""
    try:
        book.apply(change)
    except LevelError as error:
        raise LineError(f"no line of books: {error}") from error
