"""Pushes of trades for tests of the reading half."""

from l2vault.book.trade import TradePush
from support.hours import HOUR_AT_MS, INST


def push(last: int, offset_ms: int, count: int | None = 1, size: str | None = None, **changed: object) -> TradePush:
    """Of `count` matches of one contract each."""
    fields: dict[str, object] = {"px": "100.5", "side": "buy", "source": "0", "seq_id": last, "origin": "ws"} | changed
    if fields["origin"] == "rest":
        fields |= {"source": None, "seq_id": None}
        count = None
    ts_ms = HOUR_AT_MS + offset_ms
    return TradePush(
        inst_id=INST,
        trade_id=str(last),
        sz=size or str(count or 1),
        ts=str(ts_ms),
        count=None if count is None else str(count),
        recv_us=ts_ms * 1000 + 30_000,
        **fields,  # type: ignore[arg-type]
    )
