"""A data catalogue of nautilus_trader: the instrument, deltas of its book and its trades, written by its own API alone,
since the width of its prices depends on how its package was built.

`ts_event` is the exchange's time, `ts_init` the receive time, `sequence` OKX's `seqId`. Sizes are contracts, and the
instrument's `multiplier` is what one is worth.
"""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault.book.change import Level
from l2vault.errors import VaultError, extra
from l2vault.exports.events import BookEvent, Prices, TradeEvent
from l2vault.exports.label import Day, Subject
from l2vault.own_process import let_pandas_in

if TYPE_CHECKING:
    from l2vault.analytics.contract import Contract

VENUE: Final = "OKX"
_ROWS: Final = 100_000
"""Deltas or trades of a file, at least."""


class Nautilus:
    """Writes events as they come, a file of the catalogue for each row of them."""

    def __init__(self, folder: Path, subject: Subject, has_trades: bool) -> None:
        let_pandas_in()  # its catalogue imports it
        with extra("nautilus"):
            from nautilus_trader.model import data, enums, identifiers, objects
            from nautilus_trader.persistence.catalog import ParquetDataCatalog
        self._data, self._enums, self._objects, self._identifiers = data, enums, objects, identifiers
        self.files: list[str] = []
        self.notes: list[str] = []
        self._folder = folder
        self._catalog = ParquetDataCatalog(str(folder))
        self._id = identifiers.InstrumentId.from_str(f"{subject.inst_id}.{VENUE}")
        self._subject = subject
        self._price_decimals, self._size_decimals = _decimals(subject)
        self._sides = enums.OrderSide.BUY, enums.OrderSide.SELL
        self._flags = int(enums.RecordFlag.F_SNAPSHOT), int(enums.RecordFlag.F_LAST)
        self._is_begun = False
        self._prices = Prices()
        self._deltas = _Rows(self._catalog)
        self._trades = _Rows(self._catalog)

    def begin(self, day: Day) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._catalog.write_data([self._instrument(day.from_ms * 1_000_000)])

    def book(self, event: BookEvent, local_us: int) -> None:
        times = event.seq_id or 0, event.ts_ms * 1_000_000, self._deltas.in_order(local_us * 1000)
        actions = self._enums.BookAction
        rows: list[tuple[Any, int, Level | None]] = []
        if event.kind == "update":
            acts = {"added": actions.ADD, "changed": actions.UPDATE, "deleted": actions.DELETE}
            for side, levels in enumerate((event.bids, event.asks)):
                done = [(self._prices.update(side, level), level) for level in levels]
                rows += [(acts[what], side, level) for what, level in done if what != "none"]
            self._write(rows, 0, times)
            return
        for side, levels in enumerate((event.bids, event.asks)):
            self._prices.replace(side, levels)
            rows += [(actions.ADD, side, level) for level in levels]
        self._write([(actions.CLEAR, 0, None), *rows], self._flags[0], times)

    def trade(self, event: TradeEvent, local_us: int) -> bool:
        """Whether it is written: one without a size cannot be."""
        if event.size is None:
            return False
        sides, objects = self._enums.AggressorSide, self._objects
        price = objects.Price(float(event.price), self._price_decimals)
        size = objects.Quantity(float(event.size), self._size_decimals)
        side = sides.BUYER if event.side == "buy" else sides.SELLER
        trade_id = self._identifiers.TradeId(str(event.trade_id))
        times = event.ts_ms * 1_000_000, self._trades.in_order(local_us * 1000)
        self._trades.add([self._data.TradeTick(self._id, price, size, side, trade_id, *times)])
        return True

    def end(self, day: Day) -> None:
        """Everything of the day is in files."""
        self._deltas.flush()
        self._trades.flush()
        found = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.parquet"))
        self.files = sorted(found)

    def close(self) -> None:
        """Nothing is open between two events."""

    def _write(self, rows: list[tuple[Any, int, Level | None]], flags: int, times: tuple[int, int, int]) -> None:
        """The rows of one event; the last one is marked as the last."""
        last = self._flags[1]
        self._deltas.add(
            [
                self._delta(action, side, level, flags | (last if at == len(rows) - 1 else 0), times)
                for at, (action, side, level) in enumerate(rows)
            ]
        )

    def _delta(self, action: Any, side: int, level: Level | None, flags: int, times: tuple[int, int, int]) -> Any:
        order = None
        if level is not None:
            price = self._objects.Price(float(level[0]), self._price_decimals)
            order = self._data.BookOrder(
                self._sides[side], price, self._objects.Quantity(float(level[1]), self._size_decimals), 0
            )
        return self._data.OrderBookDelta(self._id, action, order, flags, *times)

    def _instrument(self, ts_ns: int) -> Any:
        from nautilus_trader.model.instruments import CryptoPerpetual

        contract, objects = _contract_of(self._subject), self._objects
        currency = objects.Currency.from_str
        settled = contract.coin if contract.is_inverse else contract.quote
        lot = Decimal(self._subject.text("lotSz") or "1")
        return CryptoPerpetual(
            instrument_id=self._id,
            raw_symbol=self._identifiers.Symbol(self._subject.inst_id),
            base_currency=currency(contract.coin),
            quote_currency=currency(contract.quote),
            settlement_currency=currency(settled),
            is_inverse=contract.is_inverse,
            price_precision=self._price_decimals,
            size_precision=self._size_decimals,
            price_increment=objects.Price(contract.tick, self._price_decimals),
            size_increment=objects.Quantity(lot, self._size_decimals),
            ts_event=ts_ns,
            ts_init=ts_ns,
            multiplier=objects.Quantity.from_str(f"{Decimal(repr(contract.value)):f}"),
            lot_size=objects.Quantity(lot, self._size_decimals),
        )


class _Rows:
    """Objects of one class on their way to the catalogue, whose files must not share a time."""

    def __init__(self, catalog: Any) -> None:
        self._catalog = catalog
        self._rows: list[Any] = []
        self._last_ns = 0

    def in_order(self, ts_ns: int) -> int:
        """The catalogue takes rows in order of `ts_init`: one that runs back is that of the row before."""
        if ts_ns > self._last_ns and len(self._rows) >= _ROWS:
            self.flush()
        self._last_ns = max(self._last_ns, ts_ns)
        return self._last_ns

    def add(self, rows: list[Any]) -> None:
        self._rows += rows

    def flush(self) -> None:
        """Whatever comes behind it is later than what is in the file."""
        if self._rows:
            self._catalog.write_data(self._rows)
            self._rows = []
            self._last_ns += 1


def _contract_of(subject: Subject) -> "Contract":
    if subject.contract is None:
        raise VaultError(
            f"the vault holds no instrument row of {subject.inst_id} that says what a contract is worth.",
            f"l2vault record --inst {subject.inst_id} --duration 10, which keeps it",
        )
    return subject.contract


def _decimals(subject: Subject) -> tuple[int, int]:
    contract = _contract_of(subject)
    return contract.tick_decimals, subject.decimals("lotSz") or 0
