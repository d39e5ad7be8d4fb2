"""`Snapshot`: one book and its measures, the same type from files, archive and live tail. Needs no analysis library."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from l2vault.analytics import one_book
from l2vault.analytics.contract import Contract, Unit, contract_periods
from l2vault.analytics.one_book import Cost, Sides
from l2vault.api.times import Amount, amount
from l2vault.book.change import Level
from l2vault.book.snapshot import Snapshot as Row
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError
from l2vault.vault.coverage.model import State
from l2vault.vault.store.instruments import Row as InstrumentRow
from l2vault.vault.store.layout import HOUR_MS

SIDES: Final = ("bid", "ask")


class PriceLevel(NamedTuple):
    """One level as numbers: the doubles nearest to the strings of OKX. `qty` is in contracts; `orders` None where OKX
    sent no number."""

    price: float
    qty: float
    orders: int | None


class Contracts:
    """What a contract of one instrument is worth at a time. Reads the rows anew for each hour that is asked for."""

    def __init__(self, rows_of: Callable[[str], Sequence[tuple[int | None, InstrumentRow]]], inst_id: str) -> None:
        """`rows_of` is a vault's `instrument_rows`."""
        self._rows_of = rows_of
        self._inst_id = inst_id
        self._hour: tuple[int, Contract] | None = None

    def at(self, ts_ms: int) -> Contract:
        """Raises VaultError where the vault has no row of the instrument."""
        hour = ts_ms // HOUR_MS
        if self._hour is None or self._hour[0] != hour:
            rows = self._rows_of(self._inst_id)
            self._hour = hour, contract_periods(self._inst_id, rows, (ts_ms, ts_ms + 1))[-1].contract
        return self._hour[1]


class Snapshot:
    """One recorded book. `bids` and `asks` are the exact strings OKX sent, best first; every other figure is a float.

    A measure is None where the book cannot tell it: a side is empty, or the answer lies beyond the farthest level that
    was recorded. `state` is `recorded`, or what is known of the time asked for (`quiet`, `missing`, ...) `age_ms`
    later, with the `cause` of a hole: see `Vault.book_at`.

    >>> book = l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:05:01Z")
    >>> book
    <Snapshot BTC-USDT-SWAP 2024-08-20T03:05:00.000Z: 59999 / 60001, 2 bids, 2 asks, 1 s old (recorded)>
    >>> book.best_bid, book.best_ask, book.mid, book.spread, round(book.spread_bps, 3)
    (59999.0, 60001.0, 60000.0, 2.0, 0.333)
    >>> book.bids[1]
    ('59990', '151', '0', '1')
    >>> book.levels("bid", 1)
    [PriceLevel(price=59999.0, qty=10.0, orders=3)]
    """

    __slots__ = ("_contracts", "_row", "age_ms", "cause", "state")

    def __init__(
        self, row: Row, contracts: Contracts, state: State = "recorded", cause: str = "", age_ms: int = 0
    ) -> None:
        self._row = row
        self._contracts = contracts
        self.state = state
        self.cause = cause
        self.age_ms = age_ms

    @property
    def inst_id(self) -> str:
        """OKX's name, such as `BTC-USDT-SWAP`."""
        return self._row.inst_id

    @property
    def ts_ms(self) -> int:
        """Exchange time of the last change in the book, milliseconds since 1970."""
        return self._row.ts_ms

    @property
    def time(self) -> datetime:
        """The same, aware, in UTC."""
        return datetime.fromtimestamp(self.ts_ms // 1000, UTC).replace(microsecond=self.ts_ms % 1000 * 1000)

    @property
    def bids(self) -> Sequence[Level]:
        """(price, quantity, "0", orders), the strings as received, best first. Quantities are contracts."""
        return self._row.bids

    @property
    def asks(self) -> Sequence[Level]:
        """As `bids`: the lowest price first."""
        return self._row.asks

    @property
    def max_levels(self) -> int:
        """How many levels a side were recorded at most, such as 400. A side with fewer is whole."""
        return self._row.depth

    @property
    def seq_id(self) -> int | None:
        """OKX's `seqId`."""
        return self._row.seq_id

    @property
    def gap_detected(self) -> bool:
        """Whether this is the last good book before a broken chain: nothing is known of what follows it."""
        return self._row.gap_detected

    @property
    def best_bid(self) -> float | None:
        """The highest bid price; None without bids."""
        return None if self._row.best_bid is None else float(self._row.best_bid)

    @property
    def best_ask(self) -> float | None:
        """The lowest ask price; None without asks."""
        return None if self._row.best_ask is None else float(self._row.best_ask)

    @property
    def mid(self) -> float | None:
        """Half of best bid plus best ask."""
        return one_book.mid(self._row)

    @property
    def spread(self) -> float | None:
        """Best ask minus best bid, in price."""
        return one_book.spread(self._row)

    @property
    def spread_bps(self) -> float | None:
        """The spread in basis points (1e-4) of mid."""
        return one_book.spread_bps(self._row)

    @property
    def microprice(self) -> float | None:
        """`(bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty)` at the touch (Gatheral and Oomen 2010, there
        "weighted mid").

        >>> round(l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:05Z").microprice, 4)
        60000.6
        """
        return one_book.microprice(self._row)

    def levels(self, side: Literal["bid", "ask"], count: int | None = None) -> list[PriceLevel]:
        """The best `count` levels of a side as numbers, best first; all of them without a count. Raises UsageError for
        what is no side."""
        if side not in SIDES:
            raise UsageError(f"{side!r} is no side of a book.", "'bid' or 'ask'")
        return [
            PriceLevel(float(price), float(qty), int(orders) if orders.isdecimal() else None)
            for price, qty, _, orders in (self.bids if side == "bid" else self.asks)[:count]
        ]

    def imbalance(self, levels: int = 10, unit: Unit = "usd") -> float | None:
        """`(bids - asks) / (bids + asks)` of the best `levels` a side, from -1 (asks alone) to 1 (bids alone); None of
        more levels than were recorded of a side behind which more may lie; as `Books.imbalance` gives `top10` (Cartea,
        Donnelly, Jaimungal 2018).

        Raises VaultError where the vault has no instrument row; `unit="contracts"` needs none.

        >>> round(l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:05Z").imbalance(1), 4)
        0.6
        """
        if levels < 1:
            raise UsageError(f"an imbalance of {levels} levels is impossible.", "10")
        return one_book.imbalance(self._row, levels, unit, self._contract(unit))

    def depth(self, bps: float, unit: Unit = "usd") -> Sides:
        """What rests within `bps` of mid: `.bid` and `.ask`, each None where the recorded levels end before that; as
        `Books.depth` gives `bid_10bps`. Raises as `imbalance` does.

        >>> book = l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:05Z")
        >>> book.depth(10, unit="contracts")
        Sides(bid=161.0, ask=2.5)
        """
        if not 0 < bps < float("inf"):
            raise UsageError(f"a band of {bps} bps is impossible.", "10")
        return one_book.depth(self._row, bps, unit, self._contract(unit))

    def slippage(self, size: Amount) -> Cost:
        """What market orders of `size` (quote currency) would cost, `.buy_bps` and `.sell_bps`: the average price
        against mid, walking the recorded levels, without fees; None where those run out; as `Books.slippage` gives
        `buy_100k_bps`. Raises VaultError where the vault has no instrument row.

        >>> cost = l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:05Z").slippage("1k")
        >>> round(cost.buy_bps, 4), round(cost.sell_bps, 4)
        (0.1667, 0.1667)
        """
        return one_book.slippage(self._row, amount(size), self._contracts.at(self.ts_ms))

    def _contract(self, unit: Unit) -> Contract | None:
        if unit not in ("contracts", "coin", "usd"):
            raise UsageError(f"{unit!r} is no unit.", "'usd', 'coin' or 'contracts'")
        return None if unit == "contracts" else self._contracts.at(self.ts_ms)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same record."""
        return isinstance(other, Snapshot) and self._row == other._row

    def __hash__(self) -> int:
        return hash((self.inst_id, self.ts_ms, self.seq_id))

    def __repr__(self) -> str:
        best = f"{self._row.best_bid or '-'} / {self._row.best_ask or '-'}"
        counts = f"{len(self.bids)} bids, {len(self.asks)} asks"
        cause = f": {self.cause}" if self.cause else ""
        is_plain = not self.age_ms and self.state == "recorded"
        age = "" if is_plain else f", {self.age_ms / 1000:g} s old ({self.state}{cause})"
        flag = ", before a gap" if self.gap_detected else ""
        return f"<Snapshot {self.inst_id} {utc_text(self.ts_ms)}: {best}, {counts}{age}{flag}>"
