"""The exchange's own books and their forms on the wire: full book, update, REST row. Pure: no socket, no clock.

What is applied here is the truth by definition, chained or not: whether a client can follow is the client's business.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.deep import DEEP_DEPTH, DeepLevel
from l2vault.errors import LevelError
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.messages import BOOKS
from l2vault.sim.exchange.context import INSTRUMENTS, SWAP, ContextMarket, ContextPush
from l2vault.sim.exchange.deep import MarketTails
from l2vault.sim.exchange.levels import Image
from l2vault.sim.exchange.rpi import MarketRpi, RpiLevel
from l2vault.sim.exchange.trades import Trade, Trades


class Tick(NamedTuple):
    """One push of one instrument. `ts_ms` is its place on the timeline and never goes back, whatever the frame says.

    `frame` is the text to send verbatim, or None where the exchange is to encode `change` itself.
    """

    ts_ms: int
    change: BookChange
    frame: str | None

    @property
    def inst_id(self) -> str:
        return self.change.inst_id


class TradeTick(NamedTuple):
    """One push of trades that was recorded on OKX, and its text. `ts_ms` is its place on the timeline; `recv_us` is
    when it was received (microseconds), 0 where that is not known."""

    ts_ms: int
    trade: Trade
    frame: str
    recv_us: int = 0

    @property
    def inst_id(self) -> str:
        return self.trade.inst_id


_NO_SEQ_ID: Final = -1
"""OKX: `prevSeqId` of a full book is -1."""


class _Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str


class _Data(msgspec.Struct, gc=False):
    """The keys in the order of the wire; the documentation prints the last two the other way round."""

    asks: list[Level]
    bids: list[Level]
    ts: str
    checksum: int | UnsetType
    seqId: int | UnsetType
    prevSeqId: int | UnsetType


class _Push(msgspec.Struct, gc=False):
    arg: _Arg
    action: str
    data: list[_Data]


class BooksRow(msgspec.Struct, gc=False):
    """`data[0]` of REST `/market/books`."""

    asks: list[Level]
    bids: list[Level]
    ts: str
    seqId: int | UnsetType


class FullRow(msgspec.Struct, gc=False):
    """`data[0]` of REST `/market/books-full`: levels of three, and no `seqId`."""

    asks: list[DeepLevel]
    bids: list[DeepLevel]
    ts: str


class RpiRow(msgspec.Struct, gc=False):
    """`data[0]` of REST `/market/books-rpi`: the third of a level is its quantity without RPI orders."""

    asks: list[RpiLevel]
    bids: list[RpiLevel]
    ts: str
    seqId: int | UnsetType


_RENEWED_MS: Final = 1_000
"""Docs: `books-full` is renewed once a second."""
_RPI_RENEWED_MS: Final = 200
"""Docs: `books-rpi` is renewed each 200 ms."""

_ENCODER: Final = msgspec.json.Encoder()

_Row = TypeVar("_Row")


def encode_push(change: BookChange) -> str:
    """A push as OKX sends it: compact, no key that the feed does not carry (`seqId` came in 2023)."""
    data = _Data(
        change.asks,
        change.bids,
        _ts(change.ts_ms),
        _or_unset(change.checksum),
        _or_unset(change.seq_id),
        _or_unset(change.prev_seq_id),
    )
    push = _Push(_Arg(BOOKS, change.inst_id), "snapshot" if change.is_snapshot else "update", [data])
    return _ENCODER.encode(push).decode()


class Beside(Protocol):
    """What the exchange says beside its books, as `ContextMarket` makes it up."""

    @property
    def names(self) -> Mapping[str, frozenset[str]]: ...

    def newest(self, channel: str, name: str) -> Sequence[Mapping[str, object]]: ...

    def announce(self, channel: str, name: str, row: Mapping[str, object]) -> None: ...

    def forget(self, names: Iterable[tuple[str, str]]) -> None: ...

    def pass_time(self, ts_ms: int) -> Sequence[ContextPush]: ...


OnTick = Callable[[str, BookChange, Book], None]
"""Told of every change of a book once it is applied: instrument, change, and the book itself, to be looked at only."""


class Exchange:
    """The books of all instruments it lists, and OKX's row of each as far as one is known.

    Whoever must know what was true may `watch`: all of it passes there, whatever becomes of it on the wire.
    """

    def __init__(  # noqa: PLR0913 - what it lists, and each thing that it has or has not beside its books
        self,
        inst_ids: list[str],
        rows: Mapping[str, dict[str, object]],
        seed: int = 0,
        recorded: frozenset[str] = frozenset(),
        tails: MarketTails | None = None,
        context: Beside | None = None,
        rpi: MarketRpi | None = None,
    ) -> None:
        """The trades of the `recorded` instruments are in a capture; all others' are made up, and so is what stands
        beside the books without a `context`. `tails` has what lies beyond the levels of the channel; without it nothing
        does that the pushes do not name. `rpi` has the RPI orders; without it there are none."""
        self.inst_ids = frozenset(inst_ids)
        self.trades = Trades(seed, recorded)
        self._rows = {inst_id: dict(row) for inst_id, row in rows.items()}
        self._books: dict[str, Book] = {}
        self._tails = tails
        self._full_rows: dict[str, tuple[int, FullRow]] = {}
        """What REST `books-full` answers, and the time of its book."""
        self._rpi = rpi
        self._rpi_rows: dict[str, tuple[int, RpiRow]] = {}
        """The same of `books-rpi`."""
        self._watchers: list[OnTick] = []
        self.context: Beside = context or ContextMarket(self._rows, seed, self.book)

    def watch(self, on_tick: OnTick) -> None:
        """Have every change told from now on, in order."""
        self._watchers.append(on_tick)

    def apply(self, change: BookChange) -> None:
        """Carry out what happened. A change of a book that there is not yet is nobody's: it leaves nothing.

        Raises LevelError for a number that cannot be read; the instrument then has no book until its next full one.
        """
        book = self._books.get(change.inst_id)
        if book is None:
            if not change.is_snapshot:
                return
            book = self._books[change.inst_id] = Book()
        try:
            book.apply(change)
        except LevelError:
            del self._books[change.inst_id]
            raise
        for on_tick in self._watchers:
            on_tick(change.inst_id, change, book)

    def forget(self, inst_id: str) -> None:
        """Nothing is known of its book, until its next full one."""
        self._books.pop(inst_id, None)
        self._full_rows.pop(inst_id, None)
        self._rpi_rows.pop(inst_id, None)

    def book(self, inst_id: str) -> Book | None:
        """The book of this moment itself, to be looked at only; None where there is none yet."""
        return self._books.get(inst_id)

    def full_book(self, inst_id: str) -> BookChange | None:
        """The push a new subscriber gets: the book of this moment, or None where there is none yet."""
        book = self._books.get(inst_id)
        if book is None:
            return None
        bids, asks = book.top(CHANNEL_DEPTH)
        prev_seq_id = None if book.seq_id is None else _NO_SEQ_ID
        # The checksum keeps to the feed's own habit: absent before it existed, 0 since 2026-06-23, real between.
        checksum = book_checksum(bids, asks) if is_provided(book.checksum) else book.checksum
        return BookChange(inst_id, True, bids, asks, book.ts_ms, book.seq_id, prev_seq_id, checksum)

    def books_row(self, inst_id: str, depth: int) -> BooksRow | None:
        """The book of this moment for REST, at most `depth` levels a side; None where there is none yet."""
        book = self._books.get(inst_id)
        if book is None:
            return None
        bids, asks = book.top(depth)
        return BooksRow(asks, bids, _ts(book.ts_ms), _or_unset(book.seq_id))

    def full_row(self, inst_id: str, depth: int) -> FullRow | None:
        """The book beyond the channel's levels for REST, at most `depth` (1 to 5000) a side; None where there is none
        yet. Renewed once a second, by the time of the book."""
        book = self._books.get(inst_id)
        if book is None:
            return None
        ts_ms = book.ts_ms or 0

        def made() -> FullRow:
            named_bids, named_asks = book.top(DEEP_DEPTH)  # a capture may name more levels than the channel has
            bids = self._deep_side(inst_id, named_bids, True, ts_ms)
            asks = self._deep_side(inst_id, named_asks, False, ts_ms)
            return FullRow(asks, bids, _ts(ts_ms))

        row = _renewed(self._full_rows, inst_id, ts_ms, _RENEWED_MS, made)
        return FullRow(row.asks[:depth], row.bids[:depth], row.ts)

    def rpi_row(self, inst_id: str, depth: int) -> RpiRow | None:
        """The book of this moment with its RPI orders for REST, at most `depth` (1 to 400) levels a side; None where
        there is none yet. Renewed each 200 ms, by the time of the book."""
        book = self._books.get(inst_id)
        if book is None:
            return None
        ts_ms = book.ts_ms or 0

        def made() -> RpiRow:
            bids, asks = book.top(CHANNEL_DEPTH)
            sides = self._rpi_side(inst_id, asks, False, ts_ms), self._rpi_side(inst_id, bids, True, ts_ms)
            return RpiRow(*sides, _ts(ts_ms), _or_unset(book.seq_id))

        row = _renewed(self._rpi_rows, inst_id, ts_ms, _RPI_RENEWED_MS, made)
        return RpiRow(row.asks[:depth], row.bids[:depth], row.ts, row.seqId)

    def _rpi_side(self, inst_id: str, levels: list[Level], is_bid: bool, ts_ms: int) -> list[RpiLevel]:
        if self._rpi is None:
            return [(price, quantity, quantity, orders) for price, quantity, _, orders in levels]
        return self._rpi.side(inst_id, levels, is_bid, ts_ms)

    def _deep_side(self, inst_id: str, levels: list[Level], is_bid: bool, ts_ms: int) -> list[DeepLevel]:
        named: list[DeepLevel] = [(price, quantity, orders) for price, quantity, _, orders in levels]
        if self._tails is None:
            return named
        return named + self._tails.levels(inst_id, levels, is_bid, ts_ms, DEEP_DEPTH - len(named))

    def amend_row(self, inst_id: str, **fields: object) -> None:
        """Change the row of an instrument that has one; the channel `instruments` pushes it, and no other row."""
        if inst_id in self._rows:
            self._rows[inst_id].update(fields)
            self.context.announce(INSTRUMENTS, SWAP, dict(self._rows[inst_id]))

    def row_value(self, inst_id: str, name: str) -> object:
        """One field of an instrument's row, None without a row."""
        return self._rows.get(inst_id, {}).get(name)

    def instrument_rows(self) -> list[dict[str, object]]:
        return list(self._rows.values())


def _renewed(
    kept: dict[str, tuple[int, _Row]], inst_id: str, ts_ms: int, every_ms: int, make: Callable[[], _Row]
) -> _Row:
    """What was made of an instrument less than so long before, by the time of its book; else it is made anew."""
    made_ms, row = kept.get(inst_id, (0, None))
    if row is None or not made_ms <= ts_ms < made_ms + every_ms:
        row = make()
        kept[inst_id] = ts_ms, row
    return row


def _ts(ts_ms: int | None) -> str:
    return str(ts_ms or 0)


def _or_unset(number: int | None) -> int | UnsetType:
    return UNSET if number is None else number


class Truth(NamedTuple):
    """The book after one change. `epoch` counts the restarts of the sequence, so (epoch, seq_id) names one state.

    `ts_ms` is the book's time, which never goes back; a heartbeat is a Truth of its own with the `seq_id` before it.
    """

    epoch: int
    seq_id: int | None
    prev_seq_id: int | None
    ts_ms: int | None
    checksum: int | None
    image: Image


class Due(NamedTuple):
    """A grid time at which a line was due, and the book it had to hold."""

    grid_ms: int
    truth: Truth


class Oracle:
    """The last `keep` states of each instrument, or all of them."""

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._truths: dict[str, deque[Truth]] = {}
        self._epochs: dict[str, int] = {}

    def note(self, inst_id: str, change: BookChange, book: Book) -> None:
        """One change, as `Exchange.watch` tells it."""
        restarts = (
            not change.is_snapshot
            and change.seq_id is not None
            and change.prev_seq_id is not None
            and change.seq_id < change.prev_seq_id
        )
        epoch = self._epochs[inst_id] = self._epochs.get(inst_id, 0) + restarts
        image = Image(*book.top(CHANNEL_DEPTH))
        truth = Truth(epoch, change.seq_id, change.prev_seq_id, book.ts_ms, change.checksum, image)
        self._truths.setdefault(inst_id, deque(maxlen=self._keep)).append(truth)

    @property
    def inst_ids(self) -> list[str]:
        return list(self._truths)

    def truths(self, inst_id: str) -> list[Truth]:
        """Every state of the instrument, in order."""
        return list(self._truths.get(inst_id, ()))

    def at(self, inst_id: str, seq_id: int | None) -> list[Truth]:
        """The states that carried this number: one, but for heartbeats and numbers used again after a reset."""
        return [truth for truth in self._truths.get(inst_id, ()) if truth.seq_id == seq_id]

    def due(self, inst_id: str, cadence_ms: int) -> Iterator[Due]:
        """The lines that an observer of every push writes: at the grid time `g` the book of time `s`, once a push of
        time `t` with `s <= g < t` has come. Of several grid times between two pushes the first names the line."""
        before: Truth | None = None
        for truth in self._truths.get(inst_id, ()):
            if before is not None and before.ts_ms is not None and truth.ts_ms is not None:
                grid_ms = -(-before.ts_ms // cadence_ms) * cadence_ms
                if grid_ms < truth.ts_ms:
                    yield Due(grid_ms, before)
            before = truth
