"""`TradePush`, one push of OKX's channel `trades` (or one row of REST), and its one line of JSON (docs/format.md).

Shared by writers and readers; knows no file and no path. Whether its ids are new is the trade chain's business.
"""

import re
from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from l2vault.book.price import price_key
from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text
from l2vault.errors import LevelError, LineError

Origin = Literal["ws", "rest", "archive"]
"""Where the fields come from: the websocket, REST `history-trades`, or a file of OKX's archive."""

_EXCHANGE: Final = "okx"
_MARKET: Final = "perp"
TRADES: Final = "trades"
"""The channel, and the value of the line's key."""
RENUMBERED_MS: Final = 5_000
RENUMBERED_IDS: Final = 1_000
"""Ids that are so far back in a push that is so much newer are those of a numbering begun anew, and no repeat."""
_ID: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_TIME: Final = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_YEAR_9999_MS: Final = 253_370_764_800_000
_SIDES: Final = frozenset({"buy", "sell"})
_QUOTED_CHARS: Final = 60
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""What does not fit 64 bits is refused where it comes in, since no archive and no table could hold it."""


class TradePush(msgspec.Struct, frozen=True, gc=False):
    """The matches of one taker order at one price and source: the ids `tradeId - count + 1` to `tradeId`.

    Texts are as OKX sent them. `sz` is the sum of all matches, in contracts for swaps; `side` is the taker's. `count`,
    `source` and `seq_id` are None where the push carries none: OKX's pushes before 2025, and every row of REST, which
    is one match. `recv_us` is our clock when the frame arrived, in microseconds since the epoch.
    """

    inst_id: str
    trade_id: str
    px: str
    sz: str
    side: str
    ts: str
    count: str | None
    source: str | None
    seq_id: int | None
    recv_us: int
    origin: Origin
    overlap: bool = False
    """Some of its ids, but not all, stand in an earlier line."""

    @property
    def last_id(self) -> int:
        return int(self.trade_id)

    @property
    def first_id(self) -> int:
        """OKX: "tradeId 123, count 3 means 123, 122, 121" (changelog of 2026-07-22)."""
        return int(self.trade_id) - int(self.count or 1) + 1

    @property
    def ts_ms(self) -> int:
        return int(self.ts)

    def is_renumbered(self, head: int, head_ms: int) -> bool:
        """Whether its ids cannot be of the numbering whose greatest is `head`, of time `head_ms`: OKX began anew."""
        return self.last_id < head - RENUMBERED_IDS and self.ts_ms > head_ms + RENUMBERED_MS


class IdSpan(NamedTuple):
    """Ids that stand in the vault, both ends included, and the exchange times of the first and the last of them."""

    first: int
    last: int
    from_ms: int
    to_ms: int


class Numberings:
    """Which of OKX's numberings a push is of, where OKX began its ids anew: each is named by the time from which it
    counts, the oldest by 0.

    `begun_ms` are times of first pushes of new ones, as noted when they came. Others are found in the pushes that `see`
    is given in the order in which they came, by the law of the trade chain.
    """

    def __init__(self, begun_ms: Iterable[int] = ()) -> None:
        self._starts = sorted({0, *(_numbering_ms(ts_ms) for ts_ms in begun_ms)})
        self._heads: dict[int, tuple[int, int]] = {}

    def of(self, ts_ms: int) -> int:
        """The numbering of a trade of this time. Between two of them no trade came for some seconds."""
        return self._starts[bisect_right(self._starts, ts_ms) - 1]

    def see(self, push: TradePush) -> None:
        """Notice whether it is the first of a new numbering."""
        at = self.of(push.ts_ms)
        head = self._heads.get(at)
        if head is not None and push.is_renumbered(*head):
            at = _numbering_ms(push.ts_ms)
            insort(self._starts, at)
            head = None
        if head is None or push.last_id > head[0]:
            self._heads[at] = push.last_id, push.ts_ms


def _numbering_ms(begun_ms: int) -> int:
    """Behind the last trade of the numbering before, and before any of the new one, whatever their order."""
    return begun_ms - RENUMBERED_MS // 2


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    timestamp_utc: str
    exchange: str
    market: str
    channel: str
    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str
    count: str | None
    source: str | None
    seqId: Int64 | None
    recv_utc: str
    origin: Origin
    overlap: bool = False


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Line)


def trade_to_line(push: TradePush) -> bytes:
    """The line without its newline: compact JSON, the keys in the order of docs/format.md.

    The push must be one that `trade_fault` finds nothing wrong with.
    """
    row = _Line(
        utc_text(push.ts_ms),
        _EXCHANGE,
        _MARKET,
        TRADES,
        push.inst_id,
        push.trade_id,
        push.px,
        push.sz,
        push.side,
        push.ts,
        push.count,
        push.source,
        push.seq_id,
        utc_micros_text(push.recv_us),
        push.origin,
        push.overlap,
    )
    return _ENCODER.encode(row)


def trade_from_line(line: bytes) -> TradePush:
    """The push a line holds; raises LineError for a torn, foreign or altered line.

    Keys that a later version adds behind ours are passed over.
    """
    try:
        row = _DECODER.decode(line)
        ts_ms, recv_us = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a line of trades: {error}") from error
    if (row.exchange, row.market, row.channel) != (_EXCHANGE, _MARKET, TRADES):
        raise LineError(f"not a line of OKX perp trades: {row.exchange}, {row.market}, {row.channel}")
    push = TradePush(
        row.instId,
        row.tradeId,
        row.px,
        row.sz,
        row.side,
        row.ts,
        row.count,
        row.source,
        row.seqId,
        recv_us,
        row.origin,
        row.overlap,
    )
    fault = trade_fault(push)
    if fault is None and push.ts_ms != ts_ms:
        fault = f"timestamp_utc is {row.timestamp_utc}, and ts is {row.ts}"
    if fault is not None:
        raise LineError(f"not a line of trades: {fault}")
    return push


def trade_fault(push: TradePush) -> str | None:
    """Why this can be no trade, in words; None where it can."""
    for name, value, form in (("tradeId", push.trade_id, _ID), ("count", push.count or "1", _COUNT)):
        if not form.fullmatch(value):
            return f"{name} is {value[:_QUOTED_CHARS]!r}"
    if push.first_id < 0:
        return f"count {push.count} is more than tradeId {push.trade_id}"
    if not _TIME.fullmatch(push.ts) or push.ts_ms >= _YEAR_9999_MS:
        return f"ts is {push.ts[:_QUOTED_CHARS]!r}"
    if push.side not in _SIDES:
        return f"side is {push.side[:_QUOTED_CHARS]!r}"
    try:
        for name, value in (("px", push.px), ("sz", push.sz)):
            if price_key(value) <= 0:
                return f"{name} is {value[:_QUOTED_CHARS]!r}"
    except LevelError as error:
        return str(error)
    return None
