"""The chain: the only proof of completeness that OKX still sends."""

from l2vault.book.change import BookChange


def is_chained(change: BookChange, last_seq_id: int | None) -> bool:
    """Whether `change` follows the book whose last `seqId` is `last_seq_id` with nothing missing between.

    OKX: `prevSeqId` of a push equals `seqId` of the one before. Nothing else is tested: on the 60 s heartbeat `seqId`
    equals `prevSeqId`, after maintenance it is smaller. A full book starts a chain, so it always follows. Feeds of
    before 2023 carry neither number; then both are None and only the checksum vouches.
    """
    return change.is_snapshot or change.prev_seq_id == last_seq_id
