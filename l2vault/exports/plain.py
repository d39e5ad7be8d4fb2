"""Parquet and CSV for any tool: a row for each level that an event names, and one for each trade, a file of each a day.

Columns of the book: `time` (exchange), `received` (empty where no push was), `seq_id`, `event` (`full`, `update`,
`clear`), `side`, `price`, `qty`, `orders`, `origin`. Rows of one event stand together; a `clear` has one row, without a
side. Prices and quantities (contracts) are OKX's own text in CSV, floats in Parquet. `origin`, last and always there,
says what a row rests on: `recorded`, or `archive`, OKX's; a `clear` rests on nothing, and has none.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from l2vault.book.utc import utc_micros_text, utc_text
from l2vault.errors import extra
from l2vault.exports.csv_file import CsvFile
from l2vault.exports.events import BookEvent, TradeEvent
from l2vault.exports.label import Day, Subject

if TYPE_CHECKING:
    import pyarrow as pa

_BOOK: Final = ("time", "received", "seq_id", "event", "side", "price", "qty", "orders", "origin")
_TRADES: Final = ("time", "received", "trade_id", "count", "side", "price", "qty", "origin")
_SIDES: Final = ("bid", "ask")
_ROWS: Final = 1 << 17
"""Rows of a row group: they are in memory until it is full."""

_Row = tuple[object, ...]


class Csv:
    """Gzipped CSV, times as ISO text in UTC."""

    def __init__(self, folder: Path, subject: Subject, has_trades: bool) -> None:
        self.files: list[str] = []
        self.notes: list[str] = []
        self._open = ExitStack()
        self._folder = folder
        self._has_trades = has_trades
        self._name = subject.inst_id
        self._book: CsvFile | None = None
        self._trades: CsvFile | None = None

    def begin(self, day: Day) -> None:
        self._book = self._new(f"{self._name}_book_{day.day}.csv.gz", _BOOK)
        if self._has_trades:
            self._trades = self._new(f"{self._name}_trades_{day.day}.csv.gz", _TRADES)

    def book(self, event: BookEvent, local_us: int) -> None:
        assert self._book is not None
        received = utc_micros_text(event.recv_us) if event.recv_us else ""
        seq_id = "" if event.seq_id is None else event.seq_id
        head = f"{utc_text(event.ts_ms)},{received},{seq_id},{event.kind},"
        origin = _origin(event) or ""
        self._book.write(
            f"{head}{side or ''},{price},{qty},{orders},{origin}\n" for side, price, qty, orders in _levels_of(event)
        )

    def trade(self, event: TradeEvent, local_us: int) -> bool:
        """Always true: one without a size has an empty `qty`."""
        assert self._trades is not None
        received = utc_micros_text(event.recv_us) if event.recv_us else ""
        size = "" if event.size is None else event.size
        head = f"{utc_text(event.ts_ms)},{received},{event.trade_id},{event.count},"
        self._trades.write([f"{head}{event.side},{event.price},{size},{_origin(event)}\n"])
        return True

    def end(self, day: Day) -> None:
        self.close()

    def close(self) -> None:
        """What is still open."""
        self._open.close()

    def _new(self, name: str, columns: tuple[str, ...]) -> CsvFile:
        self.files.append(name)
        return self._open.enter_context(CsvFile(self._folder / name, ",".join(columns)))


class Parquet:
    """Parquet, zstd; times are `timestamp[ms, UTC]` and `timestamp[us, UTC]`; the metadata key `l2vault` says what the
    file's day rests on."""

    def __init__(self, folder: Path, subject: Subject, has_trades: bool) -> None:
        with extra("analysis"):
            import pyarrow as pa
        self.files: list[str] = []
        self.notes: list[str] = []
        self._open = ExitStack()
        self._folder = folder
        self._has_trades = has_trades
        self._name = subject.inst_id
        times = [("time", pa.timestamp("ms", "UTC")), ("received", pa.timestamp("us", "UTC"))]
        sizes = [("price", pa.float64()), ("qty", pa.float64())]
        names = pa.dictionary(pa.int8(), pa.string())
        of_level = ("side", names), *sizes, ("orders", pa.int32())
        of_trade = ("trade_id", pa.int64()), ("count", pa.int32()), ("side", names), *sizes
        self._book_schema = pa.schema([*times, ("seq_id", pa.int64()), ("event", names), *of_level, ("origin", names)])
        self._trade_schema = pa.schema([*times, *of_trade, ("origin", names)])
        self._book: _Table | None = None
        self._trades: _Table | None = None

    def begin(self, day: Day) -> None:
        self._book = self._new(f"{self._name}_book_{day.day}.parquet", self._book_schema)
        if self._has_trades:
            self._trades = self._new(f"{self._name}_trades_{day.day}.parquet", self._trade_schema)

    def book(self, event: BookEvent, local_us: int) -> None:
        assert self._book is not None
        head = event.ts_ms, event.recv_us or None, event.seq_id, event.kind
        origin = _origin(event)
        self._book.add([(*head, *_numbers(level), origin) for level in _levels_of(event)])

    def trade(self, event: TradeEvent, local_us: int) -> bool:
        """Always true: one without a size has a null `qty`."""
        assert self._trades is not None
        head = event.ts_ms, event.recv_us or None, event.trade_id, event.count, event.side
        size = None if event.size is None else float(event.size)
        self._trades.add([(*head, float(event.price), size, _origin(event))])
        return True

    def end(self, day: Day) -> None:
        about = msgspec.json.encode({"inst_id": self._name, **msgspec.to_builtins(day)})
        for table in (self._book, self._trades):
            if table is not None:
                table.end(about)
        self.close()

    def close(self) -> None:
        """What is still open."""
        self._open.close()

    def _new(self, name: str, schema: "pa.Schema") -> "_Table":
        self.files.append(name)
        return _Table(self._open.enter_context(_written(self._folder / name, schema)), schema)


class _Table:
    """A Parquet file that takes rows."""

    def __init__(self, file: Any, schema: "pa.Schema") -> None:
        self._schema = schema
        self._file = file
        self._rows: list[_Row] = []

    def add(self, rows: list[_Row]) -> None:
        self._rows += rows
        if len(self._rows) >= _ROWS:
            self._flush()

    def end(self, about: bytes) -> None:
        self._flush()
        self._file.add_key_value_metadata({"l2vault": about.decode()})

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._file.write_table(pa.table(arrays, schema=self._schema))
            self._rows = []


def _written(path: Path, schema: "pa.Schema") -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="zstd")


def _origin(event: BookEvent | TradeEvent) -> str | None:
    """None of a `clear`."""
    if isinstance(event, BookEvent) and event.kind == "clear":
        return None
    return "archive" if event.is_archive else "recorded"


def _levels_of(event: BookEvent) -> Iterator[tuple[str | None, str, str, str]]:
    """Side, price, quantity and orders of each; of an event without levels one row of nothing."""
    for side, levels in zip(_SIDES, (event.bids, event.asks), strict=True):
        for price, qty, _, orders in levels:
            yield side, price, qty, orders
    if not event.bids and not event.asks:
        yield None, "", "", ""


def _numbers(level: tuple[str | None, str, str, str]) -> _Row:
    side, price, qty, orders = level
    if side is None:
        return None, None, None, None
    return side, float(price), float(qty), int(orders) if orders.isdecimal() else None
