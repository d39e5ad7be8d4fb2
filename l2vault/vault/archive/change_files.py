"""The two tables of an hour of changes as Parquet bytes and back. Knows no path; needs numpy and pyarrow.

What is small was measured on changes of 14 and of 77 levels a message: deletes apart from the rest, sides apart, and
within both by message and price, whole numbers split into byte streams. The order of the lines comes back by sorting.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from l2vault.errors import VaultError
from l2vault.vault.archive.change_columns import EVENTS, MESSAGES, ChangeTables, changes_of, in_order
from l2vault.vault.archive.parquet import Facts, encode_table, facts_of, opened
from l2vault.vault.store.layout import ArchivedHour

KIND: Final = "changes"
UNITS: Final = {
    "timestamp": "ms since 1970-01-01 UTC, exchange time: of the book once the message is applied",
    "ts": "ms since 1970-01-01 UTC, as the message carried it",
    "recv_us": "microseconds since 1970-01-01 UTC, this machine's clock",
    "message": "number of the message in the hour, from 0: the row of the messages' file",
    "price": "price_num / price_den, exact, in the quote currency",
    "qty": "qty_num / qty_den, exact, in contracts; 0 deletes the price",
    "orders": "orders resting at the price",
}
ROWS_PER_GROUP: Final = 131_072

_SPLIT: Final = "BYTE_STREAM_SPLIT"
_DELTA: Final = "DELTA_BINARY_PACKED"
_EVENT_ENCODINGS: Final = {"message": _DELTA, "price_num": _SPLIT, "qty_num": _SPLIT, "orders": _SPLIT}
_MESSAGE_ENCODINGS: Final = dict.fromkeys(("timestamp", "ts", "seqId", "prevSeqId", "recv_us"), _DELTA)


def encode_changes(tables: ChangeTables, facts: Facts) -> tuple[bytes, bytes]:
    """The bytes of the events' file and of the messages' file."""
    events = tables.events
    is_ask = pc.equal(events["side"], "ask").to_numpy()
    is_deleted = events["qty_num"].to_numpy() == 0
    order = np.lexsort((events["price_num"].to_numpy(), events["message"].to_numpy(), is_ask, is_deleted))
    ordered = events.take(pa.array(order))
    cuts = [*range(0, len(ordered), ROWS_PER_GROUP), len(ordered)] if len(ordered) else [0, 0]
    groups = [ordered.slice(at, to - at) for at, to in pairwise(cuts)]
    return (
        encode_table(groups, EVENTS, _EVENT_ENCODINGS, facts),
        encode_table([tables.messages], MESSAGES, _MESSAGE_ENCODINGS, facts),
    )


def decode_changes(events: pq.ParquetFile, messages: pq.ParquetFile) -> ChangeTables:
    """The tables of the two files, their rows in the order of the lines. Raises VaultError where they do not belong
    together."""
    facts = facts_of(events)
    if facts.kind != KIND or facts_of(messages) != facts:
        raise VaultError("two Parquet files that are not of one archive of changes.")
    return ChangeTables(
        messages.read(use_threads=False).cast(MESSAGES), in_order(events.read(use_threads=False).cast(EVENTS))
    )


def read_change_tables(archived: ArchivedHour) -> ChangeTables:
    """The tables of an archived hour."""
    with opened(archived.levels) as events, opened(archived.snapshots) as messages:
        return decode_changes(events, messages)


def archived_changes(archived: ArchivedHour) -> list[bytes]:
    """The lines of an archived hour of changes, without newlines, in the order in which they stood in the file."""
    return changes_of(read_change_tables(archived), archived.inst_id)
