"""The chain, the only proof of completeness that OKX still sends, and what makes a chained message unfit."""

from typing import Literal

from l2vault.book.change import BookChange


def is_chained(change: BookChange, last_seq_id: int | None) -> bool:
    """Whether `change` follows the book whose last `seqId` is `last_seq_id` with nothing missing between.

    OKX: `prevSeqId` of a push equals `seqId` of the one before. Nothing else is tested: on the 60 s heartbeat `seqId`
    equals `prevSeqId`, after maintenance it is smaller. A full book starts a chain, so it always follows. Feeds of
    before 2023 carry neither number; then both are None and only the checksum shows a loss.
    """
    return change.is_snapshot or change.prev_seq_id == last_seq_id


def is_repeat(change: BookChange, last: BookChange | None) -> bool:
    """Whether `change` is the last applied message once more: the same numbers and the same levels.

    A heartbeat is none: each has the numbers of the one before and brings the book's time on. The same numbers with
    other levels are no repeat, and then no chain either.
    """
    return (
        last is not None
        and change.seq_id == last.seq_id
        and change.prev_seq_id == last.prev_seq_id
        and change.seq_id is not None
        and change.seq_id != change.prev_seq_id
        and (change.ts_ms == last.ts_ms or not change.is_snapshot)
        and change.is_snapshot == last.is_snapshot
        and change.bids == last.bids
        and change.asks == last.asks
    )


def reject_reason(change: BookChange, last_seq_id: int | None) -> tuple[Literal["schema"], str] | None:
    """Why a chained change must not be applied, nor even show that the book before it was due; None if it may."""
    if change.seq_id is None and last_seq_id is not None:
        return "schema", "no seqId, where the messages before it had one"
    return None
