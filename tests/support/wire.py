"""Frames of OKX's public websocket for tests, compact and with their keys in OKX's order."""

import json
from collections.abc import Iterable

NO_CHECKSUM = 0
CONN_ID = "a4d3ae55"
BIDS = [["100", "5", "0", "2"], ["99.5", "7", "0", "1"]]
ASKS = [["100.5", "3", "0", "1"], ["101", "4", "0", "4"]]


def as_bytes(frame: object) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def full(
    inst_id: str, ts_ms: int, seq_id: int, bids: Iterable = BIDS, asks: Iterable = ASKS, **fields: object
) -> bytes:
    """A full book; `fields` replace or add keys of the data object, and one of None leaves its key out."""
    return _books(inst_id, "snapshot", _data(ts_ms, seq_id, -1, bids, asks) | fields)


def update(
    inst_id: str, ts_ms: int, prev: int, seq_id: int, bids: Iterable = (), asks: Iterable = (), **fields: object
) -> bytes:
    """A change; by default without levels, as a heartbeat is."""
    return _books(inst_id, "update", _data(ts_ms, seq_id, prev, bids, asks) | fields)


def trade(
    inst_id: str, last_id: int, ts_ms: int, count: int | None = 1, seq_id: int | None = None, **fields: object
) -> bytes:
    """A push of trades: the ids up to `last_id`, `count` of them; `fields` as in `full`."""
    data = {
        "instId": inst_id,
        "tradeId": str(last_id),
        "px": "100.5",
        "sz": "3",
        "side": "buy",
        "ts": str(ts_ms),
        "count": None if count is None else str(count),
        "source": "0",
        "seqId": seq_id,
    }
    kept = {key: value for key, value in (data | fields).items() if value is not None}
    return as_bytes({"arg": {"channel": "trades", "instId": inst_id}, "data": [kept]})


def ack(
    op: str, inst_id: str, request_id: str | None = None, conn_id: str | None = CONN_ID, channel: str = "books"
) -> bytes:
    head = {} if request_id is None else {"id": request_id}
    tail = {} if conn_id is None else {"connId": conn_id}
    return as_bytes(head | {"event": op, "arg": {"channel": channel, "instId": inst_id}} | tail)


def error(code: str, msg: str, request_id: str | None = None) -> bytes:
    head = {} if request_id is None else {"id": request_id}
    return as_bytes(head | {"event": "error", "msg": msg, "code": code, "connId": CONN_ID})


def unknown_instrument(inst_id: str, request_id: str | None = None, channel: str = "books") -> bytes:
    """OKX's own words of 2026 for 60018."""
    words = "Please use the correct URL, channel and parameters referring to API document."
    return error("60018", f"Wrong URL or channel:{channel}, instId:{inst_id} doesn't exist. {words}", request_id)


def _data(ts_ms: int, seq_id: int, prev: int, bids: Iterable, asks: Iterable) -> dict[str, object]:
    return {
        "asks": list(asks),
        "bids": list(bids),
        "ts": str(ts_ms),
        "checksum": NO_CHECKSUM,
        "seqId": seq_id,
        "prevSeqId": prev,
    }


def _books(inst_id: str, action: str, data: dict[str, object]) -> bytes:
    kept = {key: value for key, value in data.items() if value is not None}
    return as_bytes({"arg": {"channel": "books", "instId": inst_id}, "action": action, "data": [kept]})
