"""Frames of the channels beside the books: mark, index, funding, open interest, limits, liquidations, status and
instruments, as types. Pure.

OKX's numbers stay the strings they came as. What it sends as empty text is None. A push that lacks what it must have
is a `ContextFailure`: it never concerns a book.
"""

import re
from collections.abc import Callable
from typing import Final, Generic, Literal, TypeVar, cast

import msgspec

from l2vault.book.context import Funding, Index, Kind, Limits, Mark, OpenInterest, Value
from l2vault.book.day_lines import Liquidation, Status
from l2vault.foreign import printable

Channel = Literal[
    "mark-price",
    "index-tickers",
    "funding-rate",
    "open-interest",
    "price-limit",
    "liquidation-orders",
    "status",
    "instruments",
]

CHANNEL_OF: Final[dict[Kind, Channel]] = {
    "mark": "mark-price",
    "index": "index-tickers",
    "funding": "funding-rate",
    "open_interest": "open-interest",
    "limits": "price-limit",
}
"""The channel of each value, one subscription an instrument; of `index` one an index."""

SWAP: Final = "SWAP"
BY_TYPE: Final = frozenset({"liquidation-orders", "instruments"})
"""Channels whose arg names a type of instruments and no instrument; `status` names nothing."""
_QUOTED_CHARS: Final = 60
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_TIME: Final = re.compile(r"[0-9]{1,15}")
_YEAR_10000_MS: Final = 253_402_300_800_000
_UNREADABLE: Final = (ValueError, RecursionError)
"""msgspec's errors and that of invalid UTF-8 are ValueErrors; the other is for nesting so deep that it gives up."""


class Update(msgspec.Struct, frozen=True):
    """A value of one instrument; of `index`, `name` is the index, such as BTC-USDT."""

    kind: Kind
    name: str
    value: Value


class InstrumentRow(msgspec.Struct, frozen=True):
    """OKX's row of one instrument, byte for byte. It may lack keys, and the push other instruments."""

    inst_id: str
    row: bytes


Item = Update | Liquidation | Status | InstrumentRow


class ContextPush(msgspec.Struct, frozen=True):
    """Everything a push holds, in its order. `name` is its arg's: an instrument, an index, a type, or nothing."""

    channel: Channel
    name: str
    items: list[Item]


class ContextFailure(msgspec.Struct, frozen=True):
    """A push of one of these channels that cannot be read as what it claims to be."""

    channel: str
    reason: str
    frame: bytes
    is_our_fault: bool = False
    """Our own code failed at it, where it may be well."""


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""
    instType: str = ""


class _Mark(msgspec.Struct, gc=False):
    instId: str
    markPx: str
    ts: str


class _Index(msgspec.Struct, gc=False):
    instId: str
    idxPx: str
    ts: str


class _Funding(msgspec.Struct, gc=False):
    instId: str
    fundingRate: str
    fundingTime: str
    ts: str
    nextFundingRate: str = ""
    nextFundingTime: str = ""
    prevFundingTime: str = ""
    settFundingRate: str = ""
    settState: str = ""
    premium: str = ""


class _OpenInterest(msgspec.Struct, gc=False):
    instId: str
    oi: str
    ts: str
    oiCcy: str = ""
    oiUsd: str = ""


class _Limits(msgspec.Struct, gc=False):
    instId: str
    ts: str
    buyLmt: str = ""
    sellLmt: str = ""
    enabled: bool = True


class _Detail(msgspec.Struct, gc=False):
    side: str
    bkPx: str
    sz: str
    ts: str
    posSide: str = ""
    bkLoss: str = ""
    ccy: str = ""


class _Liquidated(msgspec.Struct, gc=False):
    instId: str
    details: list[_Detail]


class _Named(msgspec.Struct, gc=False):
    instId: str


_Row = TypeVar("_Row")


class _Push(msgspec.Struct, Generic[_Row], gc=False):
    data: list[_Row]


class _Head(msgspec.Struct, gc=False):
    arg: _Arg
    event: str = ""


_HEAD: Final = msgspec.json.Decoder(_Head)
_NAMED: Final = msgspec.json.Decoder(_Named)


class _Unfit(ValueError):
    """A field holds what it cannot hold."""


def decode_context(frame: bytes) -> ContextPush | ContextFailure | None:
    """A push of one of these channels; None for every other frame, events such as acks included. Never raises."""
    try:
        head = _HEAD.decode(frame)
    except _UNREADABLE:
        return None
    channel, name = head.arg.channel, head.arg.instId or head.arg.instType
    reader = _READERS.get(channel)
    if reader is None or head.event:
        return None
    try:
        return ContextPush(cast(Channel, channel), name, reader(frame))
    except _UNREADABLE as error:
        return ContextFailure(channel, str(error), frame)
    except Exception as error:  # noqa: BLE001  (the context never ends the reading of books; reported as our fault)
        return ContextFailure(channel, fault_of(error), frame, True)


def fault_of(error: Exception) -> str:
    """Class and text of an exception of our own code, on one line."""
    return printable(f"{type(error).__name__}: {error}")


def _mark(frame: bytes) -> list[Item]:
    rows = _MARKS.decode(frame).data
    return [Update("mark", row.instId, Mark(_ms(row.ts), _number("markPx", row.markPx))) for row in rows]


def _index(frame: bytes) -> list[Item]:
    rows = _INDEXES.decode(frame).data
    return [Update("index", row.instId, Index(_ms(row.ts), _number("idxPx", row.idxPx))) for row in rows]


def _funding(frame: bytes) -> list[Item]:
    return [Update("funding", row.instId, _funding_of(row)) for row in _FUNDINGS.decode(frame).data]


def _funding_of(row: _Funding) -> Funding:
    for name in ("nextFundingTime", "prevFundingTime"):
        if text := getattr(row, name):
            _ms(text, name)
    for name in ("nextFundingRate", "settFundingRate", "premium"):
        if text := getattr(row, name):
            _number(name, text)
    _ms(row.fundingTime, "fundingTime")
    return Funding(
        _ms(row.ts),
        _number("fundingRate", row.fundingRate),
        row.fundingTime,
        row.nextFundingRate or None,
        row.nextFundingTime or None,
        row.prevFundingTime or None,
        row.settFundingRate or None,
        row.settState or None,
        row.premium or None,
    )


def _open_interest(frame: bytes) -> list[Item]:
    return [
        Update(
            "open_interest",
            row.instId,
            OpenInterest(
                _ms(row.ts),
                _number("oi", row.oi),  # float noise such as 2216113.01000000309 stays
                _number("oiCcy", row.oiCcy) if row.oiCcy else None,
                _number("oiUsd", row.oiUsd) if row.oiUsd else None,
            ),
        )
        for row in _INTERESTS.decode(frame).data
    ]


def _limits(frame: bytes) -> list[Item]:
    """Limits that are off have empty prices, and `enabled` false."""
    return [
        Update(
            "limits",
            row.instId,
            Limits(
                _ms(row.ts),
                _number("buyLmt", row.buyLmt) if row.buyLmt else None,
                _number("sellLmt", row.sellLmt) if row.sellLmt else None,
                row.enabled,
            ),
        )
        for row in _LIMITS.decode(frame).data
    ]


def _liquidations(frame: bytes) -> list[Item]:
    """All swaps come, whatever instrument the arg named (seen live, 2026-08-11): whoever wants one filters by its exact
    name. A prefix would also take BTC-USD-SWAP, whose contracts are of 100 USD."""
    return [
        Liquidation(
            row.instId,
            _ms(each.ts),
            each.side,
            each.posSide,
            _number("bkPx", each.bkPx) if each.bkPx else "",
            _number("sz", each.sz),
            each.bkLoss,
            each.ccy,
        )
        for row in _LIQUIDATED.decode(frame).data
        for each in row.details
    ]


def _statuses(frame: bytes) -> list[Item]:
    return [status_of(row) for row in _STATUSES.decode(frame).data]


def status_of(row: dict[str, object]) -> Status:
    """A row of the channel `status`, or of REST's `system/status`, which has no `ts`: then the time is 0.

    Raises ValueError for a row that is none.
    """
    texts = {name: value if isinstance(value, str) else _text(value) for name, value in row.items()}
    return Status(
        _ms(texts["ts"]) if texts.get("ts") else 0,
        _said(texts, "title"),
        _said(texts, "state"),
        _ms(texts["begin"], "begin") if texts.get("begin") else None,
        _ms(texts["end"], "end") if texts.get("end") else None,
        texts.get("serviceType", ""),
        texts.get("env", ""),
        texts,
    )


def _instruments(frame: bytes) -> list[Item]:
    return [InstrumentRow(_NAMED.decode(row).instId, bytes(row)) for row in _ROWS.decode(frame).data]


def _ms(text: str, name: str = "ts") -> int:
    ms = int(text) if _TIME.fullmatch(text) else 0
    if not 0 < ms < _YEAR_10000_MS:
        raise _Unfit(f"{name} is {text[:_QUOTED_CHARS]!r}")
    return ms


def _number(name: str, text: str) -> str:
    if not _NUMBER.fullmatch(text):
        raise _Unfit(f"{name} is {text[:_QUOTED_CHARS]!r}")
    return text


def _said(texts: dict[str, str], name: str) -> str:
    if name not in texts:
        raise _Unfit(f"no {name}")
    return texts[name]


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


_MARKS: Final = msgspec.json.Decoder(_Push[_Mark])
_INDEXES: Final = msgspec.json.Decoder(_Push[_Index])
_FUNDINGS: Final = msgspec.json.Decoder(_Push[_Funding])
_INTERESTS: Final = msgspec.json.Decoder(_Push[_OpenInterest])
_LIMITS: Final = msgspec.json.Decoder(_Push[_Limits])
_LIQUIDATED: Final = msgspec.json.Decoder(_Push[_Liquidated])
_STATUSES: Final = msgspec.json.Decoder(_Push[dict[str, object]])
_ROWS: Final = msgspec.json.Decoder(_Push[msgspec.Raw])

_READERS: Final[dict[str, Callable[[bytes], list[Item]]]] = {
    "mark-price": _mark,
    "index-tickers": _index,
    "funding-rate": _funding,
    "open-interest": _open_interest,
    "price-limit": _limits,
    "liquidation-orders": _liquidations,
    "status": _statuses,
    "instruments": _instruments,
}
CONTEXT_HEADS: Final = tuple(f'{{"arg":{{"channel":"{channel}"'.encode() for channel in _READERS)
"""How OKX writes the beginning of these pushes; spelt otherwise, they are read all the same, a little later."""
