"""Many snapshot lines of one instrument at once, as columns. Knows no file; needs numpy and pyarrow.

Lines repeat most of their levels byte for byte, so each distinct level is parsed once however often it stands: cut
the text at every `]`, number the distinct pieces, read those. Whatever is not exactly as `to_line` spells it is refused
here and left to `readable_only`, which goes line by line.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from l2vault.book.change import Level
from l2vault.book.price import SCALE_DIGITS, price_key
from l2vault.book.snapshot import from_line, to_line
from l2vault.errors import LevelError, LineError
from l2vault.vault.archive import compute as pc
from l2vault.vault.store.line import read_as, split

_PLAIN: Final = re.compile(r"(?:0|[1-9]\d{0,29})(?:\.\d{0,17}[1-9])?", re.ASCII)
_LARGEST: Final = 2**60
"""Leaves room for the factor by which an archive multiplies."""


Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fixed:
    """The value is exactly `num / den`, with `den` a power of ten.

    `is_plain` where `plain_text` gives the string back: no needless zero, as OKX spells its numbers.
    """

    num: npt.NDArray[np.int64]
    den: int
    is_plain: npt.NDArray[np.bool_]


def fixed_point(texts: "Sequence[str] | pa.StringArray") -> Fixed:
    """Raises LevelError for what is not a plain decimal, or needs more than 60 bits beside the finest of the others."""
    some = [_parts(texts[at : at + _TEXTS_AT_ONCE]) for at in range(0, len(texts), _TEXTS_AT_ONCE)]
    digits, places, is_plain = (np.concatenate(each) for each in zip(*some, strict=True)) if some else _NO_PARTS
    decimals = int(places.max(initial=0))
    largest = max(
        (int(digits[places == each].max()) * 10 ** (decimals - each) for each in set(places.tolist())), default=0
    )
    if decimals > SCALE_DIGITS or largest > _LARGEST:
        raise LevelError(f"{largest} units of 1e-{decimals} do not fit 60 bits")
    return Fixed(digits * 10 ** (decimals - places), 10**decimals, is_plain)


_TEXTS_AT_ONCE: Final = 2048
"""Each is half a dozen objects of Python for a moment: those of an hour at once took 12 MB, which Python kept."""
_Parts = tuple[Ints, Ints, npt.NDArray[np.bool_]]
_NO_PARTS: Final[_Parts] = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_)


def _parts(texts: "Sequence[str] | pa.StringArray") -> _Parts:
    """The digits of each, how many of them are decimals, and whether it is plain."""
    if isinstance(texts, pa.StringArray):
        texts = texts.to_pylist()
    is_plain = [_PLAIN.fullmatch(text) is not None for text in texts]
    parts = [_split(text) if plain else _reduce(text) for text, plain in zip(texts, is_plain, strict=True)]
    digits, places = zip(*parts, strict=True)
    if max(digits) > _LARGEST:
        raise LevelError(f"{max(digits)} units of 1e-{places[digits.index(max(digits))]} do not fit 60 bits")
    return np.array(digits, np.int64), np.array(places, np.int64), np.array(is_plain, np.bool_)


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
    if den == 1:  # most quantities
        return str(num)
    whole, fraction = divmod(num, den)
    if not fraction:
        return str(whole)
    return f"{whole}.{str(den + fraction)[1:].rstrip('0')}"


_CLOSE: Final = ord("]")
_BETWEEN: Final = np.frombuffer(b"],[", np.uint8)
_QUOTES_AND_COMMAS: Final = 11
"""Characters of `"p","q","0","n"` beside those of its four members."""
_MEMBERS: Final = ["price", "qty", "third", "orders"]
_MOST_SHORT_BYTES: Final = 2**31 - 1
_BLOCK_BYTES: Final = 1 << 20
"""Searched at a time: measured, blocks that stay in the cache take half the time of the whole hour at once."""
_ORDERS: Final = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)
NO_ORDERS: Final = -1
"""Stands for an order count that is no plain number; its text is then kept."""


@dataclass(frozen=True, slots=True)
class DistinctLevels:
    """Each (price, quantity, orders) that stands anywhere, once, by number.

    `texts` has the JSON members of those that their numbers cannot give back, such as a price spelled `"64223.0"`.
    """

    price: Fixed
    qty: Fixed
    orders: npt.NDArray[np.int32]
    texts: dict[int, str]


@dataclass(frozen=True, slots=True)
class Columns:
    """Line by line: `counts` has the levels of each side, bids first, and `codes` their numbers in `levels`."""

    ts_ms: Ints
    depth: Ints
    checksum: list[int | None]
    seq_id: list[int | None]
    prev_seq_id: list[int | None]
    gap_detected: npt.NDArray[np.bool_]
    counts: Ints
    codes: npt.NDArray[np.int32]
    levels: DistinctLevels


class Readable(msgspec.Struct, frozen=True):
    """`lines` are as `to_line` writes them, `indexes` which of the given ones they are, `bad` what the others lack."""

    lines: list[bytes]
    indexes: list[int]
    bad: list[tuple[int, str]]


def read_columns(lines: Sequence[bytes], inst_id: str) -> Columns:
    """The columns of lines without newlines. Raises LineError, without saying where, if any is not as it should be."""
    heads = [split(line, inst_id) for line in lines]
    text = np.frombuffer(bytearray(b"\n").join(lines), np.uint8)
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])[:-1]
    opens = starts[:, None] + np.array([head.opens for head in heads], np.int64).reshape(-1, 2)
    closes = starts[:, None] + np.array([head.closes for head in heads], np.int64).reshape(-1, 2)
    between_cuts, first, counts = _cut(text, opens, closes)
    codes, pieces = _number(between_cuts, first, counts)
    return Columns(
        np.array([head.ts_ms for head in heads], np.int64),
        np.array([head.depth for head in heads], np.int64),
        [head.checksum for head in heads],
        [head.seq_id for head in heads],
        [head.prev_seq_id for head in heads],
        np.array([head.gap_detected for head in heads], np.bool_),
        counts,
        codes,
        _distinct_levels(pieces),
    )


def readable_only(lines: Sequence[bytes], inst_id: str) -> Readable:
    """What `read_columns` refuses together, line by line: which can be read after all, and what the others lack."""
    good, indexes, bad = [], [], []
    for index, line in enumerate(lines):
        try:
            canonical = to_line(read_as(line, inst_id, from_line))
            read_columns([canonical], inst_id)
        except (LineError, LevelError) as error:
            bad.append((index, error.message))
        else:
            good.append(canonical)
            indexes.append(index)
    return Readable(good, indexes, bad)


def _cut(text: npt.NDArray[np.uint8], opens: Ints, closes: Ints) -> tuple[pa.Array, Ints, Ints]:
    """The text between every two `]`, the index in it of each side's first level, and the levels of each side.

    The `:[[` before a side's first level becomes `],[`, so that each level is preceded by the same three bytes.
    """
    filled = closes > opens + 1
    places = opens[filled][:, None] + np.arange(-1, 2)
    if places.size:
        if (text[places] != np.frombuffer(b":[[", np.uint8)).any() or (text[closes[filled] - 1] != _CLOSE).any():
            raise LineError("not a snapshot line: a side is not a list of levels")
        text[places] = _BETWEEN
    is_short = len(text) <= _MOST_SHORT_BYTES
    places_type = np.int32 if is_short else np.int64
    blocks = range(0, len(text), _BLOCK_BYTES)
    found = [(np.flatnonzero(text[at : at + _BLOCK_BYTES] == _CLOSE) + at).astype(places_type) for at in blocks]
    cuts = np.concatenate(found or [np.empty(0, places_type)])
    buffers = [None, pa.py_buffer(cuts), pa.py_buffer(text)]
    binary = pa.binary() if is_short else pa.large_binary()
    first = np.searchsorted(cuts, (opens - 1).astype(places_type))
    counts = np.where(filled, np.searchsorted(cuts, (closes - 1).astype(places_type)) - first, 0)
    return pa.Array.from_buffers(binary, max(len(cuts) - 1, 0), buffers), first, counts


def _number(between_cuts: pa.Array, first: Ints, counts: Ints) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Number the distinct levels: the number of each level, in order, and the text of each number."""
    encoded = between_cuts.dictionary_encode()
    is_level = np.zeros(len(between_cuts), np.bool_)
    for at, count in zip(first.ravel().tolist(), counts.ravel().tolist(), strict=True):
        is_level[at : at + count] = True
    numbers = encoded.indices.to_numpy()[is_level]
    is_used = np.zeros(len(encoded.dictionary), np.bool_)
    is_used[numbers] = True
    renumbered = np.cumsum(is_used, dtype=np.int32) - 1
    return renumbered[numbers], encoded.dictionary.filter(pa.array(is_used))


def _distinct_levels(pieces: pa.Array) -> DistinctLevels:
    """Read the distinct levels, each `],["price","qty","0","orders"`, as the comma-separated values that they are."""
    if not len(pieces):
        return DistinctLevels(fixed_point([]), fixed_point([]), np.empty(0, np.int32), {})
    table = _read_csv(_text_of(pieces).replace(b"],[", b"\n")[1:])
    members = [table[name].combine_chunks() for name in _MEMBERS]
    lengths = sum(pc.binary_length(member).to_numpy() for member in members)
    if len(table) != len(pieces) or (lengths + _QUOTES_AND_COMMAS + 3 != _lengths(pieces)).any():
        raise LineError("not a snapshot line: a level is not four strings")
    return _levels_of_members(members, lambda code: pieces[code].as_py()[3:].decode())


def distinct_levels(levels: Sequence[Level]) -> DistinctLevels:
    """The same of levels that were decoded. Raises LineError for one whose price or quantity is no plain decimal, or
    needs more than 60 bits."""
    members = [pa.array([level[at] for level in levels], pa.string()) for at in range(len(_MEMBERS))]
    return _levels_of_members(members, lambda code: msgspec.json.encode(levels[code])[1:-1].decode())


def _levels_of_members(members: list[pa.StringArray], text: Callable[[int], str]) -> DistinctLevels:
    """`text` gives the JSON members of a level, which are kept of those that their numbers cannot give back."""
    price, is_price_plain = _fixed_column(members[0])
    qty, is_qty_plain = _fixed_column(members[1])
    orders, is_orders_plain = _orders_column(members[3])
    is_third_zero = pc.equal(members[2], "0").to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(~(is_price_plain & is_qty_plain & is_orders_plain & is_third_zero))
    texts = {int(code): text(int(code)) for code in odd}
    return DistinctLevels(price, qty, orders, texts)


def _text_of(pieces: pa.Array) -> bytes:
    """All of them, one after the other."""
    offsets = np.frombuffer(pieces.buffers()[1], np.int32 if pieces.type == pa.binary() else np.int64)
    begin, end = offsets[pieces.offset], offsets[pieces.offset + len(pieces)]
    text: bytes = pieces.buffers()[2].slice(int(begin), int(end - begin)).to_pybytes()
    return text


def _lengths(pieces: pa.Array) -> Ints:
    lengths: Ints = pc.binary_length(pieces).to_numpy()
    return lengths


def _read_csv(text: bytes) -> pa.Table:
    if b"\\" in text:
        raise LineError("not a snapshot line: a level with an escaped character")
    try:
        return pacsv.read_csv(
            pa.BufferReader(text),
            pacsv.ReadOptions(column_names=_MEMBERS, use_threads=False),
            pacsv.ParseOptions(double_quote=False, ignore_empty_lines=False),
            pacsv.ConvertOptions(column_types=dict.fromkeys(_MEMBERS, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise LineError(f"not a snapshot line: a level is not four strings ({error})") from error


def _fixed_column(column: pa.StringArray) -> tuple[Fixed, npt.NDArray[np.bool_]]:
    """Decimal strings as whole numbers of one unit, and whether each is spelled the plain way."""
    encoded = column.dictionary_encode()
    try:
        distinct = fixed_point(encoded.dictionary)
    except LevelError as error:
        raise LineError(f"not a snapshot line: {error.message}") from error
    indices = encoded.indices.to_numpy()
    return Fixed(distinct.num[indices], distinct.den, distinct.is_plain[indices]), distinct.is_plain[indices]


def _orders_column(column: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    encoded = column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    numbers = [int(text) if _ORDERS.fullmatch(text) else NO_ORDERS for text in texts]
    orders = np.array(numbers, np.int32)[encoded.indices.to_numpy()]
    return orders, orders != NO_ORDERS
