"""The level-interval table of any span: the hours' tables cut to it, and joined where a row goes on over an hour's end.

Needs numpy and pyarrow; polars and pandas only where asked for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from l2vault.vault.archive.intervals import LEVELS, OF_BOOK, SNAPSHOTS, Hour
from l2vault.vault.coverage.model import Coverage
from l2vault.vault.store.catalog import Findings

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

TABLE: Final = pa.schema(
    [
        LEVELS.field("side"),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("qty", pa.float64(), nullable=False),
        pa.field("orders", pa.int32()),
        pa.field("t_from", pa.int64(), nullable=False),
        pa.field("t_to", pa.int64(), nullable=False),
    ]
)
"""Prices and quantities are the doubles nearest to the exact decimals, whose shortest text is the one OKX sent; times
are milliseconds since the epoch, half-open."""

BOOKS: Final = pa.schema(
    [
        pa.field("t_from", pa.int64(), nullable=False),
        pa.field("t_to", pa.int64(), nullable=False),
        *(SNAPSHOTS.field(name) for name in ("depth", *OF_BOOK)),
    ]
)
"""A row per recorded book, in order of time: over `[t_from, t_to)` it stood unchanged, sampled to `depth` a side. No
two overlap, and between one and the next no book is known unless they touch. What its levels are `SNAPSHOTS` says."""

_KEY: Final = ["side", "price", "qty", "orders"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a span: rows of `levels` (as TABLE says) and of `books` (as BOOKS says), none going on beyond it."""

    levels: pa.Table
    books: pa.Table


Hours = Callable[[Findings], Iterator[Hour]]


class Levels:
    """A row per (side, price) for as long as its quantity and order count stay the same, cut to the span; in no order.

    `tables` and `parts` go hour by hour in bounded memory; `arrow` and its copies hold all of it, 37 bytes a row.
    `findings` fills while they are read. `left_out` gives half-open spans, in order, in which no book may stand.
    """

    def __init__(
        self,
        inst_id: str,
        span: tuple[int, int],
        hours: Hours,
        cover: Callable[[], Coverage],
        left_out: Callable[[], Sequence[tuple[int, int]]] = tuple,
    ) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self.findings = Findings()
        self._hours = hours
        self._cover = cover
        self._left_out = left_out

    def tables(self) -> Iterator[pa.Table]:
        """The rows in pieces of about an hour. Reads the files again each time it is called."""
        self.findings.clear()
        carried = TABLE.empty_table()
        for hour in self._hours(self.findings):
            if not len(hour.snapshots):
                continue
            part, carried = self._part(hour, carried)
            del hour  # while the next one is made, this one need not be kept
            yield part
            del part
        yield self._cut(carried)

    def parts(self) -> Iterator[Part]:
        """The levels with the books they stand in, hour by hour. Rows that go on behind an hour's last book are cut
        there and begin anew in the next part. Reads the files again each time it is called."""
        self.findings.clear()
        for hour in self._hours(self.findings):
            books = self._clip(_books(hour.snapshots), BOOKS)
            if len(books):
                yield Part(self._cut(_published(hour.levels)), books)

    @cached_property
    def arrow(self) -> pa.Table:
        return pa.concat_tables(self.tables()).unify_dictionaries()

    def to_polars(self) -> "pl.DataFrame":
        import polars

        frame = polars.from_arrow(self.arrow)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_pandas(self) -> "pd.DataFrame":
        frame: pd.DataFrame = self.arrow.to_pandas()
        return frame

    @cached_property
    def _omitted(self) -> Sequence[tuple[int, int]]:
        return self._left_out()

    @cached_property
    def coverage(self) -> Coverage:
        """What is known of the span."""
        return self._cover()

    def _part(self, hour: Hour, carried: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The rows of an hour that have ended, those carried into it among them, and those that go on behind it."""
        begin_ms, end_ms = hour.snapshots["timestamp"][0].as_py(), hour.snapshots["timestamp"][-1].as_py()
        rows, ended = _join(_published(hour.levels), carried, begin_ms)
        goes_on = rows["t_to"].to_numpy() > end_ms
        return self._cut(pa.concat_tables([ended, rows.filter(pa.array(~goes_on))])), rows.filter(pa.array(goes_on))

    def _cut(self, rows: pa.Table) -> pa.Table:
        return self._clip(rows, TABLE)

    def _clip(self, rows: pa.Table, schema: pa.Schema) -> pa.Table:
        """The rows with their times cut to the span and to what is not left out, without those that last no time."""
        for start_ms, end_ms in self._omitted:
            rows = _without(rows, start_ms, end_ms)
        t_from = np.maximum(rows["t_from"].to_numpy(), self.start_ms)
        t_to = np.minimum(rows["t_to"].to_numpy(), self.end_ms)
        cut = {"t_from": pa.array(t_from), "t_to": pa.array(t_to)}
        columns = [cut.get(name, rows[name]) for name in schema.names]
        clipped, lasts = pa.table(columns, schema=schema), t_from < t_to
        return clipped if lasts.all() else clipped.filter(pa.array(lasts))  # of a whole hour: a copy less


def _published(levels: pa.Table) -> pa.Table:
    """The columns for readers, with prices and quantities as doubles."""
    price = levels["price_num"].to_numpy() / levels["price_den"].to_numpy()
    qty = levels["qty_num"].to_numpy() / levels["qty_den"].to_numpy()
    columns = [levels["side"], pa.array(price), pa.array(qty), levels["orders"], levels["t_from"], levels["t_to"]]
    return pa.table(columns, schema=TABLE)


def _without(rows: pa.Table, start_ms: int, end_ms: int) -> pa.Table:
    """The rows but for a span: what goes on over it becomes two; the order of time is kept."""
    t_from, t_to = rows["t_from"].to_numpy(), rows["t_to"].to_numpy()
    if not ((t_from < end_ms) & (t_to > start_ms)).any():
        return rows
    before, after = np.flatnonzero(t_from < start_ms), np.flatnonzero(t_to > end_ms)
    head, tail = rows.take(pa.array(before)), rows.take(pa.array(after))
    head = _set(head, "t_to", np.minimum(head["t_to"].to_numpy(), start_ms))
    return pa.concat_tables([head, _set(tail, "t_from", np.maximum(tail["t_from"].to_numpy(), end_ms))])


def _set(rows: pa.Table, name: str, values: npt.NDArray[np.int64]) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(values))


def _books(snapshots: pa.Table) -> pa.Table:
    return pa.table([snapshots["timestamp"], *(snapshots[name] for name in BOOKS.names[1:])], schema=BOOKS)


def _join(rows: pa.Table, carried: pa.Table, begin_ms: int) -> tuple[pa.Table, pa.Table]:
    """Rows that begin where the same level was carried over go back to its beginning; returns the other carried rows.

    What was carried ends at `begin_ms`, the first line of the hour, unless a hole ended it before.
    """
    if not len(carried):
        return rows, carried
    met = _keyed(carried, carried["t_to"].to_numpy() == begin_ms)
    starts = rows["t_from"].to_numpy().copy()
    before = carried["t_from"].to_numpy()
    is_ended = np.ones(len(carried), np.bool_)
    for key, index in _keyed(rows, starts == begin_ms).items():
        if key in met:
            starts[index] = before[met[key]]
            is_ended[met[key]] = False
    joined = rows.set_column(rows.schema.get_field_index("t_from"), TABLE.field("t_from"), pa.array(starts))
    return joined, carried.filter(pa.array(is_ended))


def _keyed(rows: pa.Table, mask: npt.NDArray[np.bool_]) -> dict[tuple[object, ...], int]:
    """The numbers of the rows in the mask, by level."""
    columns = rows.select(_KEY).filter(pa.array(mask)).to_pydict()
    return dict(zip(zip(*columns.values(), strict=True), np.flatnonzero(mask).tolist(), strict=True))
