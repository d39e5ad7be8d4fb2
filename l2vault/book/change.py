"""One push of an order book on the wire, as a value. Knows nothing of JSON or sockets."""

import msgspec

Level = tuple[str, str, str, str]
"""`(price, quantity, "0", orders)`, the four strings exactly as OKX sent them. Quantity is in contracts for swaps."""


class BookChange(msgspec.Struct, frozen=True, gc=False):
    """A full book (`is_snapshot`) or the levels that changed; a level of quantity zero deletes its price.

    `ts_ms` is None where the push carries no usable time (`"0"` or empty); `seq_id`, `prev_seq_id` and `checksum`
    are None where it carries none (OKX before 2023 sent no sequence numbers). `recv_us` is when its frame was received,
    microseconds since the epoch by this machine's clock, stamped before anything could make it wait; 0 for what was not
    received so.
    """

    inst_id: str
    is_snapshot: bool
    bids: list[Level]
    asks: list[Level]
    ts_ms: int | None
    seq_id: int | None
    prev_seq_id: int | None
    checksum: int | None
    recv_us: int = 0


def contradicts_its_numbers(change: BookChange) -> bool:
    """OKX: a heartbeat, whose `seqId` equals its `prevSeqId`, says that nothing has changed: it has no levels."""
    return change.seq_id is not None and change.seq_id == change.prev_seq_id and bool(change.bids or change.asks)
