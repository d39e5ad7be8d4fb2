"""The two tables of an hour of changes as Parquet bytes and back. Knows no path; needs numpy and pyarrow.

What is small was measured on changes of 18 and of 75 levels a message (benchmarks/bench_kinds.py --changes): deletes
apart from the rest, sides apart, and within both by message and price, whole numbers split into byte streams, prices as
steps. The order of the lines comes back by sorting.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from l2vault.errors import VaultError
from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.change_columns import EVENTS, MESSAGES, ChangeTables, changes_of, in_order
from l2vault.vault.archive.parquet import Facts, encode_table, facts_of, opened, refuse_other_kind
from l2vault.vault.store.layout import ArchivedHour

KIND: Final = "changes"
UNITS: Final = {
    "timestamp": "ms since 1970-01-01 UTC, exchange time: of the book once the message is applied",
    "ts": "ms since 1970-01-01 UTC, as the message carried it",
    "recv_us": "microseconds since 1970-01-01 UTC, this machine's clock",
    "message": "number of the message in the hour, from 0: the row of the messages' file",
    "price": "price_num / price_den, exact, in the quote currency; price_step: price_num minus that of the row before,"
    " in the first row of a message (of its side, of its deletes) minus that of such a row before",
    "qty": "qty_num / qty_den, exact, in contracts; 0 deletes the price",
    "orders": "orders resting at the price",
}
ROWS_PER_GROUP: Final = 131_072

_SPLIT: Final = "BYTE_STREAM_SPLIT"
_DELTA: Final = "DELTA_BINARY_PACKED"
_STEP: Final = "price_step"
STEPPED_EVENTS: Final = pa.schema(
    [pa.field(_STEP, field.type, nullable=False) if field.name == "price_num" else field for field in EVENTS]
)
"""EVENTS as they stand in the file. Archives of before have `price_num` itself, 8 % larger with many levels."""
_EVENT_ENCODINGS: Final = {"message": _DELTA, _STEP: _SPLIT, "qty_num": _SPLIT, "orders": _SPLIT}
_MESSAGE_ENCODINGS: Final = dict.fromkeys(("timestamp", "ts", "seqId", "prevSeqId", "recv_us"), _DELTA)


def encode_changes(tables: ChangeTables, facts: Facts) -> tuple[bytes, bytes]:
    """The bytes of the events' file and of the messages' file."""
    events = tables.events
    is_ask = pc.equal(events["side"], "ask").to_numpy()
    is_deleted = events["qty_num"].to_numpy() == 0
    order = np.lexsort((events["price_num"].to_numpy(), events["message"].to_numpy(), is_ask, is_deleted))
    ordered = with_steps(events.take(pa.array(order)))
    cuts = [*range(0, len(ordered), ROWS_PER_GROUP), len(ordered)] if len(ordered) else [0, 0]
    groups = [ordered.slice(at, to - at) for at, to in pairwise(cuts)]
    return (
        encode_table(groups, STEPPED_EVENTS, _EVENT_ENCODINGS, facts),
        encode_table([tables.messages], MESSAGES, _MESSAGE_ENCODINGS, facts),
    )


def decode_changes(events: pq.ParquetFile, messages: pq.ParquetFile) -> ChangeTables:
    """The tables of the two files, their rows in the order of the lines. Raises VaultError where they do not belong
    together."""
    facts = facts_of(events)
    if facts.kind != KIND or facts_of(messages) != facts:
        raise VaultError("two Parquet files that are not of one archive of changes.")
    return ChangeTables(
        messages.read(use_threads=False).cast(MESSAGES), in_order(with_prices(events.read(use_threads=False)))
    )


def _begins(events: pa.Table) -> npt.NDArray[np.bool_]:
    """Of the rows of a file, which are the first of a message, of its side, of its deletes or the rest."""
    is_ask = pc.equal(events["side"], "ask").to_numpy().astype(np.int64)
    group = events["message"].to_numpy() * np.int64(4) + is_ask * 2 + (events["qty_num"].to_numpy() == 0)
    return np.concatenate(([True], group[1:] != group[:-1]))[: len(group)]


def with_steps(events: pa.Table) -> pa.Table:
    """Rows in the order of the file as they stand in it."""
    price, begins = events["price_num"].to_numpy(), _begins(events)
    steps = np.diff(price, prepend=np.int64(0))
    steps[begins] = np.diff(price[begins], prepend=np.int64(0))
    at = EVENTS.get_field_index("price_num")
    return events.set_column(at, STEPPED_EVENTS.field(at), pa.array(steps)).cast(STEPPED_EVENTS)


def with_prices(events: pa.Table) -> pa.Table:
    """The rows of a file, with prices in the place of steps. Of one of before, as they are."""
    if _STEP in events.schema.names:
        steps, begins = events[_STEP].to_numpy(), _begins(events)
        walked = np.cumsum(np.where(begins, 0, steps))
        start = np.cumsum(steps[begins]) - walked[begins]
        price = walked + start[np.cumsum(begins) - 1] if len(steps) else steps
        at = EVENTS.get_field_index("price_num")
        events = events.set_column(at, EVENTS.field(at), pa.array(price))
    return events.cast(EVENTS)


def read_change_tables(archived: ArchivedHour) -> ChangeTables:
    """The tables of an archived hour."""
    with opened(archived.levels) as events, opened(archived.snapshots) as messages:
        refuse_other_kind(messages, archived)
        return decode_changes(events, messages)


def archived_changes(archived: ArchivedHour) -> list[bytes]:
    """The lines of an archived hour of changes, without newlines, in the order in which they stood in the file."""
    return changes_of(read_change_tables(archived), archived.inst_id)
