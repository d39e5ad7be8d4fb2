"""`Trade`, and the trades of a span or of the live tail: each id once. Frames of them. Loads no analysis library before
one is asked for."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from l2vault.analytics.contract import Contract
from l2vault.api.frames import Frames
from l2vault.api.snapshot import Contracts
from l2vault.api.times import as_datetime, with_times
from l2vault.book.trade import Origin
from l2vault.book.utc import utc_text
from l2vault.errors import analysis_extra
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.reading.follow import FollowTrades
from l2vault.vault.reading.trades import TradeReader, TradeRow
from l2vault.vault.store.catalog import Finding

if TYPE_CHECKING:
    import polars as pl

_COLUMNS: Final = (
    *("time", "received", "first_id", "last_id", "price", "size", "coin", "usd"),
    *("side", "origin", "source", "seq_id"),
)


class Trade:
    """One row of trades: the matches of one taker order at one price, as OKX sums them up. It stands for all ids from
    `first_id` to `last_id`, `count` of them; OKX publishes no size of a single one.

    Prices and sizes are floats; `price_text` and `size_text` are exact. Sizes are None where the same matches came
    summed up in two ways that do not fit into each other: then nothing tells the share of these ids.

    >>> trade = next(iter(l2vault.open("Vault").trades("BTC-USDT-SWAP", last="1s")))
    >>> trade
    <Trade BTC-USDT-SWAP 2024-08-20T03:09:58.500Z: sell 4 at 59999, ids 2199 to 2200>
    >>> trade.count, trade.coin, trade.usd, trade.origin
    (2, 0.04, 2399.96, 'ws')
    """

    __slots__ = ("_contracts", "_row")

    def __init__(self, row: TradeRow, contracts: Contracts) -> None:
        self._row = row
        self._contracts = contracts

    @property
    def inst_id(self) -> str:
        """OKX's name, such as `BTC-USDT-SWAP`."""
        return self._row.push.inst_id

    @property
    def ts_ms(self) -> int:
        """Exchange time, milliseconds since 1970."""
        return self._row.push.ts_ms

    @property
    def time(self) -> datetime:
        """The same, aware, in UTC."""
        return as_datetime(self.ts_ms * 1000)

    @property
    def received(self) -> datetime:
        """When it came, by the recorder's clock, to the microsecond; of REST when the answer came."""
        return as_datetime(self._row.push.recv_us)

    @property
    def first_id(self) -> int:
        """The first of OKX's trade ids that the row stands for."""
        return self._row.first_id

    @property
    def last_id(self) -> int:
        """The last of them."""
        return self._row.last_id

    @property
    def count(self) -> int:
        """How many ids, and so matches."""
        return self.last_id - self.first_id + 1

    @property
    def price(self) -> float:
        """In the quote currency."""
        return float(self._row.push.px)

    @property
    def price_text(self) -> str:
        """As OKX sent it."""
        return self._row.push.px

    @property
    def size(self) -> float | None:
        """Contracts, of all matches together."""
        return None if self._row.size is None else float(self._row.size)

    @property
    def size_text(self) -> str | None:
        """The same exactly: as OKX sent it, or what is left of that without matches that another row has."""
        return self._row.size

    @property
    def coin(self) -> float | None:
        """The size in coin. Raises VaultError where the vault has no row of the instrument."""
        return None if self.size is None else self._contract.sizes(self.size, self.price, "coin")

    @property
    def usd(self) -> float | None:
        """The size in the quote currency. Raises VaultError where the vault has no row of the instrument."""
        return None if self.size is None else self._contract.sizes(self.size, self.price, "usd")

    @property
    def side(self) -> str:
        """`buy` or `sell`: what the taker did."""
        return self._row.push.side

    @property
    def origin(self) -> Origin:
        """`ws`, `rest` where no connection brought it, or `archive` where OKX's archive did."""
        return self._row.push.origin

    @property
    def source(self) -> str | None:
        """`0` an ordinary order, `1` one against an order that is in no book (RPI); None where OKX did not say."""
        return self._row.push.source

    @property
    def seq_id(self) -> int | None:
        """In the number space of the books: it came before the book of the next greater `seq_id`. None by REST."""
        return self._row.push.seq_id

    @property
    def _contract(self) -> Contract:
        return self._contracts.at(self.ts_ms)

    def __repr__(self) -> str:
        push = self._row.push
        ids = f"id {self.last_id}" if self.count == 1 else f"ids {self.first_id} to {self.last_id}"
        return f"<Trade {push.inst_id} {utc_text(self.ts_ms)}: {push.side} {self._row.size or '?'} at {push.px}, {ids}>"


class Trades(Frames, Iterable[Trade]):
    """The trades of one instrument over a half-open span of exchange time: each of OKX's trade ids once, in order of
    ids, whatever feed or REST brought it and wherever its line stands. Read anew each time it is iterated.

    Where OKX began its ids anew, those of the new numbering follow those of the old one.

    >>> trades = l2vault.open("Vault").trades("BTC-USDT-SWAP", last="1m")
    >>> trades
    <Trades of BTC-USDT-SWAP, 2024-08-20T03:08:58.501Z to 2024-08-20T03:09:58.501Z>
    >>> sum(trade.count for trade in trades), trades.coverage.missing_ids
    (120, 0)
    >>> trades.frame.select("side", "size").group_by("side").sum().sort("side").rows()
    [('buy', 180.0), ('sell', 120.0)]
    """

    def __init__(self, reader: TradeReader, inst_id: str, span: tuple[int, int], contracts: Contracts) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self._reader = reader
        self._contracts = contracts
        super().__init__()

    def __iter__(self) -> Iterator[Trade]:
        return (Trade(row, self._contracts) for row in self._rows())

    @cached_property
    def coverage(self) -> TradeCoverage:
        """Which ids are there, which are missing and why, and how much of the time is proved."""
        return self._reader.coverage(self.inst_id, (self.start_ms, self.end_ms))

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """A row per `Trade`, in order: `time` (`Datetime("ms", "UTC")`), `received` (`Datetime("us", "UTC")`, by the
        recorder's clock; null of OKX's archive), `first_id`, `last_id`, `price`, `size` (contracts), `coin`, `usd`
        (quote currency), `side` (of the taker), `origin`, `source`, `seq_id`. A row is all matches of
        `last_id - first_id + 1` ids.

        With `raw` times are integers, of milliseconds and microseconds. Raises VaultError without the extra `analysis`,
        or where the vault has no row of the instrument.

        >>> l2vault.open("Vault").trades("BTC-USDT-SWAP", last="1m").to_polars().columns[:8]
        ['time', 'received', 'first_id', 'last_id', 'price', 'size', 'coin', 'usd']
        """
        with analysis_extra():
            import polars as pl
        texts = dict.fromkeys(("side", "origin", "source"), pl.String())
        floats = dict.fromkeys(("price", "size", "coin", "usd"), pl.Float64())
        schema = {name: {**texts, **floats}.get(name, pl.Int64()) for name in _COLUMNS}
        frame = pl.DataFrame([_flat(row, self._contracts) for row in self._rows()], schema, orient="row")
        return frame if raw else with_times(frame)

    def __repr__(self) -> str:
        return f"<Trades of {self.inst_id}, {utc_text(self.start_ms)} to {utc_text(self.end_ms)}>"

    def _rows(self) -> Iterator[TradeRow]:
        self._findings.clear()
        yield from self._reader.rows(self.inst_id, (self.start_ms, self.end_ms), self._findings.report)


class TradeTail(Iterator[Trade]):
    """The live tail of trades: `next` waits for the next row. In the order in which they came, each id once; where the
    recorder fills a hole by REST, those come behind newer ones. Never ends by itself.

    >>> from itertools import islice
    >>> tail = l2vault.open("Vault").follow("BTC-USDT-SWAP", since="2024-08-20T03:00Z", kind="trades")
    >>> [(trade.side, trade.size, trade.price) for trade in islice(tail, 2)]
    [('sell', 4.0, 59999.0), ('buy', 6.0, 60001.0)]
    """

    def __init__(self, inst_id: str, rows: FollowTrades, contracts: Contracts) -> None:
        self.inst_id = inst_id
        self._rows = rows
        self._contracts = contracts

    def __next__(self) -> Trade:
        return Trade(next(self._rows), self._contracts)

    @property
    def findings(self) -> Sequence[Finding]:
        """What could not be read so far."""
        return self._rows.findings

    def __repr__(self) -> str:
        return f"<TradeTail of {self.inst_id}>"


def _flat(row: TradeRow, contracts: Contracts) -> tuple[object, ...]:
    """In the order of the columns."""
    push, price = row.push, float(row.push.px)
    size = coin = usd = None
    if row.size is not None:
        contract, size = contracts.at(push.ts_ms), float(row.size)
        coin, usd = contract.sizes(size, price, "coin"), contract.sizes(size, price, "usd")
    of_size = price, size, coin, usd
    return (
        *(push.ts_ms, push.recv_us or None, row.first_id, row.last_id),
        *of_size,
        *(push.side, push.origin, push.source, push.seq_id),
    )
