"""`Context`: what stood beside a book at a grid time, and its one form as a line of JSON (docs/format.md).

Mark and index price, funding, open interest and price limits, each the last known at or before the grid time, with its
own exchange time. Every number is OKX's own string. Shared by writers and readers; knows no file and no path.
"""

from typing import Final, Literal, get_args

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import LineError

Kind = Literal["mark", "index", "funding", "open_interest", "limits"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_EXCHANGE: Final = "okx"
_MARKET: Final = "perp"
_CHANNEL: Final = "context"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The mark price: what positions are valued and liquidated at."""

    ts_ms: int
    price: str


class Index(msgspec.Struct, frozen=True, gc=False):
    """The price of the index, OKX's average of spot markets, that the swap follows."""

    ts_ms: int
    price: str


class Funding(msgspec.Struct, frozen=True, gc=False):
    """The funding rate of the period that ends at `time`, the coming settlement; times are OKX's text of milliseconds.

    The length of a period is `next_time - time`: 8, 6, 4, 2 or 1 h, and it changes. `settled_rate` is the one of
    the last settlement (`settle_state` `settled`), or of the one under way (`processing`). Positive: longs pay shorts.
    """

    ts_ms: int
    rate: str
    time: str
    next_rate: str | None = None
    next_time: str | None = None
    previous_time: str | None = None
    settled_rate: str | None = None
    settle_state: str | None = None
    premium: str | None = None


class OpenInterest(msgspec.Struct, frozen=True, gc=False):
    """Open positions, one side counted: in contracts, in coin, in USD."""

    ts_ms: int
    contracts: str
    coin: str | None = None
    usd: str | None = None


class Limits(msgspec.Struct, frozen=True, gc=False):
    """The highest price of a buy order and the lowest of a sell order; None while OKX has them off."""

    ts_ms: int
    buy: str | None
    sell: str | None
    is_enabled: bool


Value = Mark | Index | Funding | OpenInterest | Limits


class Context(msgspec.Struct, frozen=True):
    """Of one instrument at the grid time `grid_ms`: each value the last at or before it, None where none is known."""

    inst_id: str
    grid_ms: int
    mark: Mark | None = None
    index: Index | None = None
    funding: Funding | None = None
    open_interest: OpenInterest | None = None
    limits: Limits | None = None

    @property
    def ts_ms(self) -> int:
        """The time of its line, which is the grid time."""
        return self.grid_ms

    def value(self, kind: Kind) -> Value | None:
        """The value of this kind."""
        found: Value | None = getattr(self, kind)
        return found


class _Line(msgspec.Struct, gc=False):
    """The keys in their order. Names with a capital are OKX's own, with its string; the others are ours."""

    timestamp_utc: str
    exchange: str
    market: str
    channel: str
    instId: str
    mark_utc: str | None = None
    markPx: str | None = None
    index_utc: str | None = None
    idxPx: str | None = None
    funding_utc: str | None = None
    fundingRate: str | None = None
    fundingTime: str | None = None
    nextFundingRate: str | None = None
    nextFundingTime: str | None = None
    prevFundingTime: str | None = None
    settFundingRate: str | None = None
    settState: str | None = None
    premium: str | None = None
    oi_utc: str | None = None
    oi: str | None = None
    oiCcy: str | None = None
    oiUsd: str | None = None
    limits_utc: str | None = None
    buyLmt: str | None = None
    sellLmt: str | None = None
    limits_enabled: bool | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Line)


def to_line(context: Context) -> bytes:
    """The line without its newline: compact JSON, every key, in the order of docs/format.md."""
    line = _Line(utc_text(context.grid_ms), _EXCHANGE, _MARKET, _CHANNEL, context.inst_id)
    if (mark := context.mark) is not None:
        line.mark_utc, line.markPx = utc_text(mark.ts_ms), mark.price
    if (index := context.index) is not None:
        line.index_utc, line.idxPx = utc_text(index.ts_ms), index.price
    if (funding := context.funding) is not None:
        line.funding_utc, line.fundingRate, line.fundingTime = utc_text(funding.ts_ms), funding.rate, funding.time
        line.nextFundingRate, line.nextFundingTime = funding.next_rate, funding.next_time
        line.prevFundingTime, line.settFundingRate = funding.previous_time, funding.settled_rate
        line.settState, line.premium = funding.settle_state, funding.premium
    if (interest := context.open_interest) is not None:
        line.oi_utc, line.oi = utc_text(interest.ts_ms), interest.contracts
        line.oiCcy, line.oiUsd = interest.coin, interest.usd
    if (limits := context.limits) is not None:
        line.limits_utc, line.limits_enabled = utc_text(limits.ts_ms), limits.is_enabled
        line.buyLmt, line.sellLmt = limits.buy, limits.sell
    return _ENCODER.encode(line)


def from_line(line: bytes) -> Context:
    """The context a line holds; raises LineError for a torn, foreign or altered line. Keys of later versions pass."""
    try:
        row = _DECODER.decode(line)
        if (row.exchange, row.market, row.channel) != (_EXCHANGE, _MARKET, _CHANNEL):
            raise LineError(f"not a line of OKX perp context: {row.exchange}, {row.market}, {row.channel}")
        return _context(row)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a context line: {error}") from error


def _context(row: _Line) -> Context:
    """Raises ValueError where a value stands without its time, or a time without its value."""
    mark_ms, index_ms = _time("mark", row.mark_utc, row.markPx), _time("index", row.index_utc, row.idxPx)
    interest_ms, limits_ms = _time("oi", row.oi_utc, row.oi), _time("limits", row.limits_utc, row.limits_enabled)
    return Context(
        inst_id=row.instId,
        grid_ms=utc_ms(row.timestamp_utc),
        mark=None if mark_ms is None else Mark(mark_ms, row.markPx or ""),
        index=None if index_ms is None else Index(index_ms, row.idxPx or ""),
        funding=_funding(row),
        open_interest=None if interest_ms is None else OpenInterest(interest_ms, row.oi or "", row.oiCcy, row.oiUsd),
        limits=None if limits_ms is None else Limits(limits_ms, row.buyLmt, row.sellLmt, bool(row.limits_enabled)),
    )


def _funding(row: _Line) -> Funding | None:
    at = _time("funding", row.funding_utc, row.fundingRate)
    if at is None or row.fundingRate is None:
        return None
    if row.fundingTime is None:
        raise ValueError("a fundingRate without its fundingTime")
    return Funding(
        at,
        row.fundingRate,
        row.fundingTime,
        row.nextFundingRate,
        row.nextFundingTime,
        row.prevFundingTime,
        row.settFundingRate,
        row.settState,
        row.premium,
    )


def _time(name: str, text: str | None, value: object) -> int | None:
    if (text is None) != (value is None):
        raise ValueError(f"{name}_utc is {text!r}, its value {value!r}")
    return None if text is None else utc_ms(text)
