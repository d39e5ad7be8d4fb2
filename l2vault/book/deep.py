"""`DeepSample`, an order book as REST gave it once, and its form as a line: the changes to the sample before it, or all
of it (docs/format.md). `DeepChannel` describes what is sampled: the book far beyond the channel's 400 levels, or the
one that holds RPI orders too. Pure.

The lines prove themselves: each names the sample that it changes, and carries a checksum of the whole book after it.
"""

import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from l2vault.book.price import Memo, price_key
from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text
from l2vault.errors import LevelError, LineError

DEEP_DEPTH: Final = 5000
"""Levels a side at most (docs, "Get full order book", 2026-07)."""
RPI_DEPTH: Final = 400
"""Levels a side of `books-rpi` at most (docs, "GET / RPI order book", 2026-08)."""
DEEP_EVERY_MS: Final = 30_000
"""Between two samples of an instrument."""

DeepKind = Literal["deep", "rpi"]
"""What is sampled, as the settings, the vault's folders and `coverage --kind` name it."""

DeepLevel = tuple[str, ...]
"""OKX's own text: price, quantity in contracts, number of orders; of `books-rpi` price, quantity in all, quantity
without RPI orders, number of orders."""


class DeepChannel(NamedTuple):
    """One of OKX's REST books that are sampled. `name` is OKX's, `depth` the levels a side at most, `fields` the parts
    of a level, the last of which counts orders; `noun` is what a message calls such a book."""

    kind: DeepKind
    name: str
    depth: int
    fields: int
    noun: str

    @property
    def path(self) -> str:
        """Of the endpoint."""
        return f"/api/v5/market/{self.name}"


FULL: Final = DeepChannel("deep", "books-full", DEEP_DEPTH, 3, "deep book")
RPI: Final = DeepChannel("rpi", "books-rpi", RPI_DEPTH, 4, "RPI book")
"""RPI (retail price improvement) orders rest beside the book, are in no `books` and are filled by retail takers alone.
Levels are `[price, totalQty, nonRpiQty, count]`; what is hidden or cannot be traded is not in it."""
DEEP_CHANNELS: Final[dict[DeepKind, DeepChannel]] = {channel.kind: channel for channel in (FULL, RPI)}

_EXCHANGE: Final = "okx"
_MARKET: Final = "perp"
_REMEMBERED: Final = 65_536
_GONE: Final = "0"
"""Quantity, and every other part behind the price, of a level that the sample before had and this one has not."""
_CHECKSUM_BITS: Final = 0xFFFFFFFF

_Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Checksum = Annotated[int, msgspec.Meta(ge=0, le=_CHECKSUM_BITS)]

_KEYS: Final = Memo(price_key, _REMEMBERED)


class DeepSample(msgspec.Struct, frozen=True):
    """The book of one instrument at `ts_ms`, exchange time: bids and asks best first, at most 5000 of each, of the kind
    `rpi` at most 400 of each.

    `recv_us` is when its answer had been received, microseconds since the epoch by this machine's clock. `seq_id` is
    None where OKX gave none, as of `books-full`. `origin`: whether it was recorded, or is made of OKX's archive.
    """

    inst_id: str
    ts_ms: int
    bids: list[DeepLevel]
    asks: list[DeepLevel]
    seq_id: int | None
    recv_us: int
    origin: Literal["recorded", "archive"] = "recorded"
    kind: DeepKind = "deep"

    @property
    def fault(self) -> str:
        """Why this is no book of a market that trades; empty where it may be one. RPI orders that would cross are
        hidden by OKX (changelog, 2026-08-11), so that a book with them is not crossed either."""
        if not self.bids or not self.asks:
            return "a side is empty"
        return "crossed" if _KEYS[self.bids[0][0]] >= _KEYS[self.asks[0][0]] else ""


class DeepLine(msgspec.Struct, frozen=True):
    """A sample as a line: all levels where `before_ms` is None, else those that differ from the sample of that time.

    A level of quantity "0" was in that one and is gone. `checksum` is `checksum_of` the whole book.
    """

    inst_id: str
    ts_ms: int
    before_ms: int | None
    bids: list[DeepLevel]
    asks: list[DeepLevel]
    checksum: int
    seq_id: int | None
    recv_us: int
    kind: DeepKind = "deep"

    @property
    def is_full(self) -> bool:
        """Whether it needs no line before it."""
        return self.before_ms is None

    def line(self) -> bytes:
        """`to_deep_line` of it."""
        return to_deep_line(self)


class _Row(msgspec.Struct, gc=False):
    """The line, its keys in the order of docs/format.md. Keys that a later version adds are passed over."""

    timestamp_utc: str
    exchange: str
    market: str
    channel: str
    instId: str
    action: Literal["snapshot", "update"]
    before_utc: str | None
    asks: list[DeepLevel]
    bids: list[DeepLevel]
    checksum: _Checksum
    seqId: _Number | None
    recv_utc: str


class DeepHead(msgspec.Struct, frozen=True, gc=False):
    """A line without its levels: what shows which line it follows."""

    timestamp_utc: str
    action: Literal["snapshot", "update"]
    before_utc: str | None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Row)
_HEADS: Final = msgspec.json.Decoder(DeepHead)


def best_first(levels: Iterable[DeepLevel], is_bid: bool) -> list[DeepLevel]:
    """The levels of a side in order of their price. Raises LevelError for a price that is no plain decimal."""
    return sorted(levels, key=lambda level: _KEYS[level[0]], reverse=is_bid)


def rpi_quantity(level: DeepLevel) -> Decimal:
    """Of a level of `books-rpi`: what RPI orders hold of it, exactly, in contracts.

    OKX, "GET / RPI order book" (2026-08): "The tradeable RPI quantity at a price level is derived as `totalQty -
    nonRpiQty`."
    """
    return Decimal(level[1]) - Decimal(level[2])


def checksum_of(sample: DeepSample) -> int:
    """The sum, modulo 2^32, of the CRC-32 of each level's text: `b` or `a` and the parts of the level with a space
    between them. A sum, so that a change of a few levels changes it by as many terms."""
    return (_sum("b", sample.bids) + _sum("a", sample.asks)) & _CHECKSUM_BITS


def deep_line_of(sample: DeepSample, before: DeepSample | None) -> DeepLine:
    """The line of a sample: as changes to the one before it, or whole where that is None."""
    if before is None:
        before_ms, bids, asks = None, sample.bids, sample.asks
    else:
        before_ms = before.ts_ms
        gone = (_GONE,) * (DEEP_CHANNELS[sample.kind].fields - 1)
        bids, asks = _changed(before.bids, sample.bids, gone), _changed(before.asks, sample.asks, gone)
    rest = checksum_of(sample), sample.seq_id, sample.recv_us, sample.kind
    return DeepLine(sample.inst_id, sample.ts_ms, before_ms, bids, asks, *rest)


def to_deep_line(line: DeepLine) -> bytes:
    """The line without its newline: compact JSON, the keys in the order of docs/format.md."""
    row = _Row(
        utc_text(line.ts_ms),
        _EXCHANGE,
        _MARKET,
        DEEP_CHANNELS[line.kind].name,
        line.inst_id,
        "snapshot" if line.is_full else "update",
        None if line.before_ms is None else utc_text(line.before_ms),
        line.asks,
        line.bids,
        line.checksum,
        line.seq_id,
        utc_micros_text(line.recv_us),
    )
    return _ENCODER.encode(row)


def from_deep_line(text: bytes, channel: DeepChannel = FULL) -> DeepLine:
    """What a line holds; raises LineError for a torn or foreign one. `to_deep_line` gives an unaltered one back."""
    try:
        row = _DECODER.decode(text)
        ts_ms, recv_us = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
        before_ms = None if row.before_utc is None else utc_ms(row.before_utc)
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a line of {channel.noun}s: {error}") from error
    if (row.exchange, row.market, row.channel) != (_EXCHANGE, _MARKET, channel.name):
        raise LineError(f"not a line of OKX perp {channel.noun}s: {row.exchange}, {row.market}, {row.channel}")
    if (row.action == "snapshot") != (before_ms is None):
        raise LineError(f"not a line of {channel.noun}s: {row.action} with before_utc {row.before_utc}")
    if any(len(level) != channel.fields for side in (row.bids, row.asks) for level in side):
        raise LineError(f"not a line of {channel.noun}s: a level has not {channel.fields} parts")
    rest = row.checksum, row.seqId, recv_us, channel.kind
    return DeepLine(row.instId, ts_ms, before_ms, row.bids, row.asks, *rest)


def head_of_deep(text: bytes) -> DeepHead | None:
    """None for a line that is none of a deep book."""
    try:
        return _HEADS.decode(text)
    except ValueError:
        return None


class Refused(NamedTuple):
    """Why a line gives no sample."""

    why: str


class DeepReplay:
    """The samples of one instrument, line by line in the order of the files."""

    def __init__(self) -> None:
        self._sides: dict[str, dict[str, DeepLevel]] | None = None
        self._ts_ms = 0
        self._checksum = 0

    def apply(self, line: DeepLine) -> DeepSample | Refused:
        """The sample that a line stands for; after a refused one nothing is known before the next full line."""
        return Refused(why) if (why := self.step(line)) else self.sample(line)

    def step(self, line: DeepLine) -> str:
        """The same without putting the levels in order: why it is refused, empty where it is not."""
        if line.is_full:
            self._sides, self._checksum = {"b": {}, "a": {}}, 0
        elif self._sides is None or line.before_ms != self._ts_ms:
            return self._refuse(
                f"it changes the sample of {utc_text(line.before_ms or 0)}, which is not the one before it"
            )
        self._ts_ms = line.ts_ms
        try:
            for name, levels in (("b", line.bids), ("a", line.asks)):
                self._change(self._sides[name], name, levels)
        except LevelError as error:
            return self._refuse(error.message)
        if self._checksum != line.checksum:
            return self._refuse(f"its book has the checksum {self._checksum}, the line says {line.checksum}")
        return ""

    def sample(self, line: DeepLine) -> DeepSample:
        """Of the line that was taken last; call it only where that was not refused."""
        assert self._sides is not None
        bids, asks = best_first(self._sides["b"].values(), True), best_first(self._sides["a"].values(), False)
        return DeepSample(line.inst_id, line.ts_ms, bids, asks, line.seq_id, line.recv_us, kind=line.kind)

    def _refuse(self, why: str) -> str:
        self._sides = None
        return why

    def _change(self, held: dict[str, DeepLevel], name: str, levels: list[DeepLevel]) -> None:
        """Raises LevelError for a price that is no plain decimal."""
        for level in levels:
            _KEYS[level[0]]
            former = held.pop(level[0], None)
            if former is not None:
                self._checksum -= _crc(name, former)
            if level[1] != _GONE:
                held[level[0]] = level
                self._checksum += _crc(name, level)
        self._checksum &= _CHECKSUM_BITS


def _changed(before: list[DeepLevel], now: list[DeepLevel], gone: tuple[str, ...]) -> list[DeepLevel]:
    """What differs, in the order of the book: levels that are new or other, and those that are gone."""
    held = {level[0]: level for level in before}
    found = [level for level in now if held.pop(level[0], None) != level]
    return [*found, *((price, *gone) for price in held)]


def _sum(name: str, levels: list[DeepLevel]) -> int:
    return sum(_crc(name, level) for level in levels)


def _crc(name: str, level: DeepLevel) -> int:
    return zlib.crc32(f"{name} {' '.join(level)}".encode())
