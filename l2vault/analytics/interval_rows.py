"""Levels as rows that last over several books, with what each book says of its two ends. Pure; needs numpy and polars.

A book of 800 levels differs from the one before it in about 400: the rows are half as many as the cells of the
matrices of `book_matrix`, and most questions need a few of them only.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from l2vault.analytics.book_matrix import SIDES, Bools, Ints, Side, SideName, side_of
from l2vault.analytics.contract import Contract, Floats, Unit
from l2vault.analytics.one_book import BPS

Numbers = npt.NDArray[np.int32]
"""Of books, which are never so many."""

_WIDEST_LOOKUP: Final = 1 << 25
"""Times are looked up in a table where they lie within so many steps; else they are searched for."""

_HASH_BITS: Final = 14
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio."""


@dataclass(frozen=True, slots=True)
class End:
    """The best or worst price of each side in each book, `(books,)` float64; NaN for an empty side."""

    bid: Floats
    ask: Floats

    def of(self, is_ask: Bools, book: Ints) -> Floats:
        """Of the row's side in a book, signed: more is nearer to the market on either side."""
        return np.where(is_ask, -self.ask[book], self.bid[book])


class BookRows:
    """Some books that follow each other, of one contract, and what is known of each without its levels.

    `books` (`t_from`, `t_to`, `depth`) is in order of time; it may have the columns `OF_BOOK` of the snapshots table.
    Where these are null, only a `Piece`, which has the levels, answers what they say: see `is_told`.
    """

    def __init__(self, books: pl.DataFrame, contract: Contract) -> None:
        self.contract = contract
        self.books = books
        self.t_from: Ints = books["t_from"].to_numpy()
        self.t_to: Ints = books["t_to"].to_numpy()
        self.depth: Ints = books["depth"].to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return len(self.t_from)

    @cached_property
    def is_told(self) -> bool:
        """Whether `books` says how many levels each has, its worst prices, and what rests at the touch."""
        return is_told(self.books)

    @cached_property
    def stood_ms(self) -> Ints:
        """`(books + 1,)`: for how long books stood before each of them, and in all."""
        return np.concatenate([[0], np.cumsum(self.t_to - self.t_from)])

    @cached_property
    def is_linked(self) -> Bools:
        """`(books,)`: nothing lies between a book and the one before it; of the first one nobody here knows."""
        return np.append(False, self.t_to[:-1] == self.t_from[1:])

    @cached_property
    def best(self) -> End:
        """Of each book."""
        return End(*(self._of_books(f"best_{name}") for name in SIDES))

    @cached_property
    def worst(self) -> End:
        """Of each book: how far it can be seen, where more may be."""
        return End(*(self._of_books(f"worst_{name}") for name in SIDES))

    @cached_property
    def mid(self) -> Floats:
        """`(books,)`: NaN where a side is empty."""
        return (self.best.bid + self.best.ask) / 2

    def count(self, name: SideName) -> Ints:
        """`(books,)`: how many levels a side has."""
        return self.books[f"{name}s"].to_numpy().astype(np.int64)

    @cached_property
    def is_full(self) -> dict[str, Bools]:
        """`(books,)` of each side: it has `depth` levels, so that more may lie beyond. Otherwise it is whole."""
        return {name: self.count(name) >= self.depth for name in SIDES}

    def visible_bps(self, name: SideName) -> Floats:
        """`(books,)`: how far from mid the farthest level of a side lies; infinite where it is whole."""
        worst = self.worst.ask if name == "ask" else self.worst.bid
        return np.where(self.is_full[name], np.abs(worst - self.mid) / self.mid * BPS, np.inf)

    def best_qty(self, name: SideName) -> Floats:
        """`(books,)`: contracts at the best price of a side; 0 where it is empty."""
        return np.nan_to_num(self._of_books(f"best_{name}_qty"))

    def _of_books(self, name: str) -> Floats:
        values: Floats = self.books[name].fill_null(np.nan).to_numpy()
        return values


def is_told(books: pl.DataFrame) -> bool:
    """Whether a frame of books says of each what `OF_BOOK` names."""
    return "bids" in books.columns and not books["bids"].null_count()


class Piece(BookRows):
    """Books with the levels that stand in them: `levels` has the columns of the level-interval table, in any order, cut
    to the books. What `books` does not say is found in the levels."""

    def __init__(self, levels: pl.DataFrame, books: pl.DataFrame, contract: Contract) -> None:
        super().__init__(books, contract)
        self.levels = levels
        is_standing = self.first < self.past
        if not is_standing.all():  # what stands between two books only
            self.levels = levels.filter(pl.Series(is_standing))
            del self.first, self.past

    @cached_property
    def first(self) -> Numbers:
        """`(rows,)`: the number of the first book in which each level stands."""
        return self._book_at(self.levels["t_from"].to_numpy())

    @cached_property
    def past(self) -> Numbers:
        """`(rows,)`: the number of the book behind the last one in which it stands."""
        return self._book_at(self.levels["t_to"].to_numpy())

    @cached_property
    def is_ask(self) -> Bools:
        """`(rows,)`, as all that follows."""
        is_ask = self.levels["side"] == "ask"
        return is_ask.cast(pl.UInt8).to_numpy().view(np.bool_)  # bit by bit numpy takes them four times slower

    @cached_property
    def price(self) -> Floats:
        """As recorded."""
        return self.levels["price"].to_numpy()

    @cached_property
    def orders(self) -> Ints:
        """0 where OKX sent no number."""
        return self.levels["orders"].fill_null(0).to_numpy().astype(np.int64)

    def sizes(self, unit: Unit) -> Floats:
        """`(rows,)`, float64."""
        return self.contract.sizes(self.levels["qty"].to_numpy(), self.price, unit)

    @cached_property
    def ms(self) -> Ints:
        """`(rows,)`: for how long each stands."""
        return self.stood_ms.take(self.past) - self.stood_ms.take(self.first)

    @cached_property
    def best(self) -> End:
        """Of each book."""
        columns = [self.books[name] for name in ("best_bid", "best_ask") if name in self.books.columns]
        if self.is_told or (columns and all(column.null_count() < len(column) for column in columns)):
            return super().best
        return End(*(self._extreme(name, is_best=True) for name in SIDES))

    @cached_property
    def worst(self) -> End:
        """Of each book: how far it can be seen, where more may be."""
        return super().worst if self.is_told else End(*(self._extreme(name, is_best=False) for name in SIDES))

    def count(self, name: SideName) -> Ints:
        """`(books,)`: how many levels a side has."""
        if self.is_told:
            return super().count(name)
        own = self.is_ask == (name == "ask")
        comes, goes = (np.bincount(at[own], minlength=len(self) + 1) for at in (self.first, self.past))
        return np.cumsum(comes - goes)[:-1]

    def is_beyond(self, is_ask: Bools, price: Floats, book: Ints) -> Bools:
        """Whether a price lies beyond the farthest visible one of a book, where more may be."""
        is_full = np.where(is_ask, self.is_full["ask"][book], self.is_full["bid"][book])
        return is_full & (np.where(is_ask, -price, price) < self.worst.of(is_ask, book))

    def best_qty(self, name: SideName) -> Floats:
        """`(books,)`: contracts at the best price of a side; 0 where it is empty.

        A row is at the touch in some of its books if it is no worse than the worst best price of them.
        """
        if self.is_told:
            return super().best_qty(name)
        sign = -1 if name == "ask" else 1
        best = sign * (self.best.ask if name == "ask" else self.best.bid)
        own = np.flatnonzero(self.is_ask == (name == "ask"))
        first, past, price = self.first[own], self.past[own], sign * self.price[own]
        is_near = price >= _least(best, first, past)
        own, first, price = own[is_near], first[is_near], price[is_near]
        times = past[is_near] - first
        row = np.repeat(np.arange(len(own)), times)
        book = np.arange(len(row)) - np.repeat(np.cumsum(times) - times - first, times)
        is_best = price[row] == best[book]
        qty = np.zeros(len(self))
        qty[book[is_best]] = self.levels["qty"].to_numpy()[own[row[is_best]]]
        return qty

    def ladder(self, name: SideName, books: Ints) -> Side:
        """One side of some of the books (ascending) as a matrix."""
        is_chosen = np.zeros(len(self) + 1, np.int64)
        is_chosen[books + 1] = 1
        chosen = np.cumsum(is_chosen)
        stands = (chosen[self.past] > chosen[self.first]) & (self.is_ask == (name == "ask"))
        rows = self.levels.select("price", "qty", "orders", "t_from", "t_to")[np.flatnonzero(stands)]
        return side_of(rows, self.t_from[books], name)

    def ends(self) -> "Ends":
        """What is kept of the piece to find what changed where the next one begins."""
        return Ends(self.book_alone(0), self.book_alone(len(self) - 1), self.contract)

    def book_alone(self, number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The levels of one book, and the book, as frames of which a piece can be made."""
        likely = np.flatnonzero(self.first <= number if 2 * number < len(self) else self.past > number)
        rows = likely[(self.first.take(likely) <= number) & (self.past.take(likely) > number)]
        times = {"t_from": int(self.t_from[number]), "t_to": int(self.t_to[number])}
        lasting = [pl.lit(ms, pl.Int64).alias(name) for name, ms in times.items()]
        side, orders = pl.col("side").cast(pl.String), pl.col("orders").cast(pl.Int32)  # lines and columns differ
        levels = self.levels[rows].select(side, "price", "qty", orders, *lasting)
        return levels, self.books[number].select(*lasting, pl.col("depth").cast(pl.Int32))

    def beside(self, some: Ints) -> Ints:
        """The rows, ascending, at the sides and prices of some rows: themselves and what was there before or after."""
        asked = np.unique(self._keys[some])
        is_likely = np.zeros(1 << _HASH_BITS, np.bool_)
        is_likely[_hashed(asked)] = True
        likely = np.flatnonzero(is_likely[_hashed(self._keys)])
        return likely[np.isin(self._keys[likely], asked)]

    @cached_property
    def _keys(self) -> Ints:
        """A number for each side and price, the same for equal ones: the double of bids, with its sign of asks."""
        return np.where(self.is_ask, -self.price, self.price).view(np.int64)

    def _book_at(self, t_ms: Ints) -> Numbers:
        """The number of the first book that begins at a time or later."""
        if not len(t_ms):
            return np.empty(0, np.int32)
        steps = t_ms - self.t_from[0]
        steps += self._step_ms - 1
        steps //= self._step_ms
        if len(self._table) > 16 * len(t_ms) or int(steps.view(np.uint64).max()) >= len(self._table):  # below 0 too
            return np.searchsorted(self.t_from, t_ms).astype(np.int32)
        found: Numbers = self._table.take(steps)
        return found

    @cached_property
    def _step_ms(self) -> int:
        """All books begin at whole numbers of it behind the first."""
        return int(np.gcd.reduce(np.diff(self.t_from))) or int(self.t_to[-1] - self.t_from[0])

    @cached_property
    def _table(self) -> Numbers:
        """The same of each step from the first book to the end of the last one; nothing where these are too many."""
        steps = -(
            -np.diff(np.append(self.t_from, self.t_to[-1]), prepend=self.t_from[0] - self._step_ms) // self._step_ms
        )
        if steps.sum() >= _WIDEST_LOOKUP:
            return np.empty(0, np.int32)
        return np.repeat(np.arange(len(self) + 1, dtype=np.int32), steps)

    def _extreme(self, name: SideName, is_best: bool) -> Floats:
        """Over the rows that stand in each book: a row goes into the two blocks of 1, 2, 4, ... books that cover its
        own, and what each block holds is handed on to its halves."""
        own = np.flatnonzero(self.is_ask == (name == "ask"))
        is_most = is_best == (name == "bid")
        first, past, price = self.first[own], self.past[own], self.price[own]
        books = len(self)
        power = np.frexp(past - first)[1].astype(np.int64) - 1
        blocks = np.full((int(power.max(initial=0)) + 1, books), -np.inf if is_most else np.inf)
        pick = np.maximum if is_most else np.minimum
        flat = blocks.reshape(-1)
        pick.at(flat, power * books + first, price)
        is_longer = power > 0
        last = past[is_longer] - (1 << power[is_longer])
        pick.at(flat, power[is_longer] * books + last, price[is_longer])
        for at in range(len(blocks) - 1, 0, -1):
            half, whole = 1 << (at - 1), blocks[at]
            pick(blocks[at - 1], whole, out=blocks[at - 1])
            pick(blocks[at - 1][half:], whole[:-half], out=blocks[at - 1][half:])
        return np.where(np.isfinite(blocks[0]), blocks[0], np.nan)


def order_of(numbers: Ints) -> Ints:
    """`np.argsort(numbers, kind="stable")` of whole numbers from 0 up. numpy sorts 16-bit numbers by radix, in a tenth
    of the time of a sort by comparison: so these are sorted 16 bits after 16, the lowest first."""
    bits = int(numbers.max(initial=0)).bit_length()
    order = np.argsort((numbers & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, bits, 16):
        digits = (numbers >> shift).astype(np.uint16)
        order = order.take(np.argsort(digits.take(order), kind="stable"))
    return order


@dataclass(frozen=True, slots=True)
class Ends:
    """The first and the last book of a piece, as frames of levels and of books."""

    opening: tuple[pl.DataFrame, pl.DataFrame]
    closing: tuple[pl.DataFrame, pl.DataFrame]
    contract: Contract

    def before(self, after: "Ends") -> Piece | None:
        """The last book and the first one of the piece that follows, as a piece of two; None where the contract is
        another one then."""
        if self.contract != after.contract:
            return None
        levels, books = (pl.concat(frames) for frames in zip(self.closing, after.opening, strict=True))
        return Piece(levels, books, self.contract)


def _hashed(keys: Ints) -> npt.NDArray[np.uint64]:
    """Of 2**_HASH_BITS values (Knuth, "The Art of Computer Programming" 3, 6.4: multiplicative hashing)."""
    mixed: npt.NDArray[np.uint64] = (keys.view(np.uint64) * _GOLDEN) >> np.uint64(64 - _HASH_BITS)
    return mixed


def _least(values: Floats, first: Numbers, past: Numbers) -> Floats:
    """Of each range of books, by the least of every 1, 2, 4, ... that follow each other."""
    power = np.frexp(past - first)[1].astype(np.int64) - 1
    blocks = [values]
    for at in range(int(power.max(initial=0))):
        half, narrow = 1 << at, blocks[-1]
        blocks.append(np.append(np.minimum(narrow[:-half], narrow[half:]), narrow[-half:]))
    every = np.stack(blocks)
    least: Floats = np.minimum(every[power, first], every[power, past - (1 << power)])
    return least
