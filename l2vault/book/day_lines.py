"""The lines of the vault's day files, both ways: liquidations and OKX's announcements of maintenance (docs/format.md).

Shared by writers and readers; knows no file and no path.
"""

from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.utc import utc_micros, utc_micros_text, utc_ms, utc_text
from l2vault.errors import LineError

LIQUIDATION_SAMPLE: Final = "liquidation_sample"
"""The value of the line's key `channel`: OKX's channel `liquidation-orders` "does not represent the total"."""
STATUS: Final = "status"

_EXCHANGE: Final = "okx"
_MARKET: Final = "perp"


class Liquidation(msgspec.Struct, frozen=True):
    """One liquidated order of `liquidation-orders`: one of a sample. Texts are as OKX sent them.

    `side` is the liquidating order's, `position_side` that of the position it closes; `price` is the bankruptcy price,
    at which it need not have been filled; `size` is in contracts. They do not come in order of time.
    """

    inst_id: str
    ts_ms: int
    side: str
    position_side: str
    price: str
    size: str
    loss: str
    currency: str


class Status(msgspec.Struct, frozen=True):
    """A maintenance of OKX's, as announced. `begin_ms`, `end_ms` are None where it names none; `ts_ms` is 0 where the
    announcement has no time of its own.

    `row` is what OKX sent, every value as text, in its order.
    """

    ts_ms: int
    title: str
    state: str
    begin_ms: int | None
    end_ms: int | None
    service: str
    environment: str
    row: dict[str, str]


class _Liquidation(msgspec.Struct, gc=False):
    timestamp_utc: str
    exchange: str
    market: str
    channel: str
    instId: str
    side: str
    posSide: str
    bkPx: str
    sz: str
    bkLoss: str
    ccy: str
    recv_utc: str


class _Status(msgspec.Struct, gc=False):
    timestamp_utc: str
    exchange: str
    channel: str
    recv_utc: str
    status: dict[str, str]


_ENCODER: Final = msgspec.json.Encoder()
_LIQUIDATION_DECODER: Final = msgspec.json.Decoder(_Liquidation)
_STATUS_DECODER: Final = msgspec.json.Decoder(_Status)


def liquidation_to_line(one: Liquidation, recv_us: int) -> bytes:
    """The line without its newline: compact JSON, the keys in the order of docs/format.md. `recv_us` is our clock."""
    of_order = one.side, one.position_side, one.price, one.size, one.loss, one.currency
    head = utc_text(one.ts_ms), _EXCHANGE, _MARKET, LIQUIDATION_SAMPLE, one.inst_id
    return _ENCODER.encode(_Liquidation(*head, *of_order, utc_micros_text(recv_us)))


def liquidation_from_line(line: bytes) -> tuple[Liquidation, int]:
    """What a line holds, and when it was received; raises LineError for a torn, foreign or altered one."""
    try:
        row = _LIQUIDATION_DECODER.decode(line)
        ts_ms, recv_us = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a line of liquidations: {error}") from error
    if (row.exchange, row.channel) != (_EXCHANGE, LIQUIDATION_SAMPLE):
        raise LineError(f"not a line of OKX's liquidations: {row.exchange}, {row.channel}")
    of_order = row.side, row.posSide, row.bkPx, row.sz, row.bkLoss, row.ccy
    return Liquidation(row.instId, ts_ms, *of_order), recv_us


class DayLine(NamedTuple):
    """A line of a day file: its time, when it was received (by our clock, microseconds since the epoch), and the line
    as this version writes it."""

    ts_ms: int
    recv_us: int
    canonical: bytes


def read_day_line(kind: Literal["liquidations", "status"], line: bytes) -> DayLine:
    """What a line of either kind holds; raises LineError for a torn, foreign or altered one."""
    if kind == "liquidations":
        one, recv_us = liquidation_from_line(line)
        return DayLine(one.ts_ms, recv_us, liquidation_to_line(one, recv_us))
    row = _status_of(line)
    ts_ms, recv_us = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
    announced = row.status.get("ts", "")
    if announced != str(ts_ms) and ts_ms != recv_us // 1000:  # without a time of its own it has that of its receipt
        raise LineError(f"not a line of status: timestamp_utc is {row.timestamp_utc}, and ts is {announced[:40]!r}")
    canonical = _Status(utc_text(ts_ms), _EXCHANGE, STATUS, utc_micros_text(recv_us), row.status)
    return DayLine(ts_ms, recv_us, _ENCODER.encode(canonical))


def status_row_of(line: bytes) -> dict[str, str]:
    """OKX's announcement as a line of status holds it; raises LineError for a torn, foreign or altered one."""
    return _status_of(line).status


def _status_of(line: bytes) -> _Status:
    try:
        row = _STATUS_DECODER.decode(line)
        _ = utc_ms(row.timestamp_utc), utc_micros(row.recv_utc)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise LineError(f"not a line of status: {error}") from error
    if (row.exchange, row.channel) != (_EXCHANGE, STATUS):
        raise LineError(f"not a line of OKX's status: {row.exchange}, {row.channel}")
    return row


def status_to_line(status: Status, recv_us: int) -> bytes:
    """The line without its newline. Without a time of its own, its time is that of its receipt."""
    at = utc_text(status.ts_ms or recv_us // 1000)
    return _ENCODER.encode(_Status(at, _EXCHANGE, STATUS, utc_micros_text(recv_us), status.row))
