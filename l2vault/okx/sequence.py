"""The chain, the only proof of completeness that OKX still sends, and what makes a chained message unfit."""

from typing import Final, Literal

from l2vault.book.change import BookChange

LONGEST_STEP_MS: Final = 600_000
"""Of `ts` from one message to the next. Heartbeats come each minute, so a longer step is a wrong time; a book that took
it over would not be due again until the clock has caught up."""


def is_chained(change: BookChange, last_seq_id: int | None) -> bool:
    """Whether `change` follows the book whose last `seqId` is `last_seq_id` with nothing missing between.

    OKX: `prevSeqId` of a push equals `seqId` of the one before. Nothing else is tested: on the 60 s heartbeat `seqId`
    equals `prevSeqId`, after maintenance it is smaller. A full book starts a chain, so it always follows. Feeds of
    before 2023 carry neither number; then both are None and only the checksum vouches.
    """
    return change.is_snapshot or change.prev_seq_id == last_seq_id


def unfitness(
    change: BookChange, last_seq_id: int | None, book_ms: int | None
) -> tuple[Literal["schema", "invariant"], str] | None:
    """Why a chained change must not be applied, nor even show that the book before it was due; None if it may."""
    if change.seq_id is None and last_seq_id is not None:
        return "schema", "no seqId, where the messages before it had one"
    if change.ts_ms is not None and book_ms is not None and abs(change.ts_ms - book_ms) > LONGEST_STEP_MS:
        return "invariant", f"ts {change.ts_ms} is over {LONGEST_STEP_MS // 1000} s from the book's {book_ms}"
    return None
