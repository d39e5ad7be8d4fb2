"""Walls of a given size from book to book, as each book comes: what stands, what came, what went. Plain Python, pure.

The rules are those of `walls.ledger` for walls of a size alone, and a test holds that both say the same; what cannot be
said before later books have come, such as that a wall moved, is said one book later. How a wall ended, only trades can
tell: `ending`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from l2vault.analytics.contract import Contract
from l2vault.analytics.one_book import BPS, MOVE_BPS, ROUNDING_BPS
from l2vault.analytics.tail import LEAST_LEVELS, stands_out
from l2vault.book.snapshot import Snapshot

KEPT_SHARE: Final = 0.5
"""A wall lives on until it falls below this share of the threshold, lest every flicker at the threshold be another."""
MOVE_ALIKE_SHARE: Final = 0.9
"""One that is pulled and one that comes elsewhere may be one and the same if the smaller is at least this share of the
other. Near the threshold many are alike by chance: 12 hours of the markets of `benchmarks/bench_walls.py` have 28 wrong
links with 0.8 and 16 with this, and 313 right ones with both."""
MOVE_ALIKE_AT_TOUCH_SHARE: Final = 0.97
"""The same of a wall that was pulled when the price had reached it, which only trades can tell: there much comes and
goes, and what is alike by chance outnumbers what moved."""
MOVE_BOOKS: Final = 2
"""A wall that is pulled and one alike that comes are one that moved, if they stand at most `MOVE_BPS` apart, and it
comes at most so many books later than the last one with the old."""
MOST_TRADED: Final = 0.5
"""A wall of which at least so much was traded, of all that left it, was consumed."""

PAST_MS: Final = 600_000
"""Without a size that was asked for, a wall stands out of the books of so long before. Of one book alone the answer
scatters: in a minute of the built-in market, in which a whale of 136 M stood, it lay between 94 M and 13.6 B,
and that of the ten minutes was 66 M."""

SIDES: Final[tuple["Side", ...]] = ("bid", "ask")

Side = Literal["bid", "ask"]
Began = Literal["found", "placed", "grown", "moved", "entered view"]
Ending = Literal["consumed", "pulled", "unknown"]


class SizedSide(NamedTuple):
    """One side of a book: sizes in the unit asked for by price, best first, and whether more may lie behind them."""

    sizes: dict[float, float]
    is_full: bool

    @property
    def best(self) -> float | None:
        """None where the side is empty."""
        return next(iter(self.sizes), None)

    @property
    def worst(self) -> float | None:
        """The farthest price that is seen."""
        return next(reversed(self.sizes), None)


class SizedBook(NamedTuple):
    """A book with its levels as numbers, sizes in the quote currency."""

    ts_ms: int
    bid: SizedSide
    ask: SizedSide

    def side(self, side: Side) -> SizedSide:
        """By name."""
        return self.bid if side == "bid" else self.ask

    @property
    def mid(self) -> float | None:
        """None where a side is empty."""
        bid, ask = self.bid.best, self.ask.best
        return None if bid is None or ask is None else (bid + ask) / 2

    def away_bps(self, price: float) -> float | None:
        """How far a price is from mid, whatever side; None without a mid."""
        return None if self.mid is None else abs(price / self.mid - 1) * BPS


def sized(book: Snapshot, contract: Contract) -> SizedBook:
    """A book as it was recorded, in the quote currency."""
    sides = []
    for levels in (book.bids, book.asks):
        plain = ((float(level[0]), float(level[1])) for level in levels)
        sides.append(SizedSide({px: contract.sizes(qty, px, "usd") for px, qty in plain}, len(levels) >= book.depth))
    return SizedBook(book.ts_ms, sides[0], sides[1])


def standing_out(books: Iterable[SizedBook]) -> float | None:
    """From what size on a level of these books is larger than chance would have it. None where they have too few levels
    to say so."""
    each = [[*book.bid.sizes.values(), *book.ask.sizes.values()] for book in books]
    if max(map(len, each), default=0) < LEAST_LEVELS:
        return None
    return stands_out([size for own in each for size in own])


def net_flow(before: SizedBook, after: SizedBook, side: Side, bps: float) -> float | None:
    """What came less what went on a side within `bps` of the earlier mid, as `flow.liquidity_flow` has `net_flow`;
    None where either book does not reach so far, or has no mid."""
    mid, old, new = before.mid, before.side(side), after.side(side)
    if mid is None or not (_reaches(before, side, bps) and _reaches(after, side, bps)):
        return None
    sign = 1 if side == "ask" else -1
    total = 0.0
    for price in old.sizes.keys() | new.sizes.keys():
        is_seen = not (_is_out_of_view(side, old, price) or _is_out_of_view(side, new, price))
        if is_seen and sign * (price - mid) / mid * BPS <= bps + ROUNDING_BPS:
            total += new.sizes.get(price, 0.0) - old.sizes.get(price, 0.0)
    return total


def _reaches(book: SizedBook, side: Side, bps: float) -> bool:
    own = book.side(side)
    away = None if own.worst is None else book.away_bps(own.worst)
    return not own.is_full or (away is not None and away >= bps - ROUNDING_BPS)


class Fall(NamedTuple):
    """A wall lost `size` after the one book and no later than the other."""

    after_ms: int
    until_ms: int
    size: float


class Wall:
    """One that stands. `size` is its newest, `born_size` its first; `away_bps` how far it is from mid now."""

    __slots__ = ("away_bps", "began", "born_ms", "born_size", "falls", "last_ms", "price", "rose", "side", "size")

    def __init__(self, side: Side, price: float, began: Began, ts_ms: int, size: float, rose: float) -> None:
        self.side: Side = side
        self.price = price
        self.began: Began = began
        self.born_ms = ts_ms
        self.born_size = size
        self.rose = rose
        self.size = size
        self.last_ms = ts_ms
        self.away_bps: float | None = None
        self.falls: list[Fall] = []


class Gone(NamedTuple):
    """A wall that stands no more since the book at `ts_ms`. `left view`: the visible range left it, it may stand yet.
    `gap`: it was lost from sight. `fell`: it was consumed or pulled, and its falls and the trades tell which."""

    wall: Wall
    ts_ms: int
    how: Literal["left view", "gap", "moved", "fell"]
    is_reached: bool


class Step(NamedTuple):
    """What a book brought: walls that came with it, and what went with it or, so that moves are known, with the book
    before it."""

    born: list[Wall]
    gone: list[Gone]


class StandingWalls:
    """Walls of at least `least` in the quote currency. Call `take` with each book, in order of time."""

    def __init__(self, least: float) -> None:
        self.least = least
        self._standing: dict[tuple[Side, float], Wall] = {}
        self._before: SizedBook | None = None
        self._fell: list[list[Gone]] = [[] for _ in range(MOVE_BOOKS - 1)]

    @property
    def standing(self) -> list[Wall]:
        """Largest first."""
        return sorted(self._standing.values(), key=lambda wall: -wall.size)

    def take(self, book: SizedBook, is_linked: bool) -> Step:
        """What it brought. Not `is_linked`: between the book before and this one some are missing."""
        before = self._before if is_linked else None
        gone = [] if is_linked else self._lost(book.ts_ms)
        fell: list[Gone] = []
        for key, wall in list(self._standing.items()):
            end = self._went_on(wall, book)
            if end is not None:
                del self._standing[key]
                (fell if end.how == "fell" else gone).append(end)
        born = self._born(book, before)
        self._fell.append(fell)
        self._mark_moves(born)
        gone += self._fell.pop(0)
        self._before = book
        return Step(born, gone)

    def _lost(self, ts_ms: int) -> list[Gone]:
        """A gap ends them all; what fell before it has not moved."""
        gone = [one for some in self._fell for one in some]
        gone += [Gone(wall, ts_ms, "gap", False) for wall in self._standing.values()]
        self._fell = [[] for _ in self._fell]
        self._standing = {}
        return gone

    def _went_on(self, wall: Wall, book: SizedBook) -> Gone | None:
        own = book.side(wall.side)
        size = own.sizes.get(wall.price, 0.0)
        is_beyond = _is_out_of_view(wall.side, own, wall.price)
        if size < wall.size and not is_beyond:
            wall.falls.append(Fall(wall.last_ms, book.ts_ms, wall.size - size))
        if size >= self.least * KEPT_SHARE:
            wall.size, wall.last_ms, wall.away_bps = size, book.ts_ms, book.away_bps(wall.price)
            return None
        is_reached = not _is_better(wall.side, own.best, wall.price)
        return Gone(wall, book.ts_ms, "left view" if is_beyond and not is_reached else "fell", is_reached)

    def _born(self, book: SizedBook, before: SizedBook | None) -> list[Wall]:
        born = []
        for side in SIDES:
            for price, size in book.side(side).sizes.items():
                if size < self.least or (side, price) in self._standing:
                    continue
                began, size_before = _beginning(side, price, before)
                wall = Wall(side, price, began, book.ts_ms, size, size - size_before)
                wall.away_bps = book.away_bps(price)
                self._standing[side, price] = wall
                born.append(wall)
        return born

    def _mark_moves(self, born: list[Wall]) -> None:
        """Those that the market had not reached first, then those without a book between them; among these the likest,
        then the nearest."""
        pairs = sorted(
            (gone.is_reached, later, -alike, apart, gone.wall.price, wall.price, at, wall)
            for later, some in enumerate(reversed(self._fell))
            for at, gone in enumerate(some)
            for wall in born
            if gone.how == "fell" and gone.wall.side == wall.side and wall.began in ("placed", "grown")
            for alike, apart in [_likeness(gone, wall)]
            if alike >= (MOVE_ALIKE_AT_TOUCH_SHARE if gone.is_reached else MOVE_ALIKE_SHARE) and apart <= MOVE_BPS / BPS
        )
        for _, later, _, _, _, _, at, wall in pairs:
            some = self._fell[-1 - later]
            if some[at].how == "fell" and wall.began != "moved":
                some[at] = some[at]._replace(how="moved")
                wall.began = "moved"


def _likeness(gone: Gone, wall: Wall) -> tuple[float, float]:
    """How like they are, and how far apart."""
    fell = gone.wall.falls[-1].size
    return min(fell, wall.rose) / max(fell, wall.rose), abs(wall.price / gone.wall.price - 1)


def _beginning(side: Side, price: float, before: SizedBook | None) -> tuple[Began, float]:
    """And what its price held in the book before."""
    if before is None:
        return "found", 0.0
    own = before.side(side)
    size = own.sizes.get(price, 0.0)
    if size:
        return "grown", size
    return ("entered view" if _is_out_of_view(side, own, price) else "placed"), 0.0


def _is_out_of_view(side: Side, own: SizedSide, price: float) -> bool:
    """Whether it may hold what this book does not show."""
    return own.is_full and _is_better(side, own.worst, price)


def _is_better(side: Side, one: float | None, other: float) -> bool:
    """Whether one price stands before the other on its side; no price stands before any."""
    return one is not None and (one > other if side == "bid" else one < other)


class Take(NamedTuple):
    """What takers of the other side took at the price of a wall."""

    ts_ms: int
    size: float


def ending(falls: Sequence[Fall], takes: Sequence[Take], is_proved: Callable[[int, int], bool]) -> Ending:
    """How a wall ended, by `walls.trade_ends`: of all that left its price at least half was traded (`consumed`) or less
    (`pulled`); `unknown` if a time in which trades are not proved leaves that open. `is_proved` of a half-open time."""
    filled = cancelled = unproved = 0.0
    for fall in falls:
        taken = sum(take.size for take in takes if fall.after_ms < take.ts_ms <= fall.until_ms)
        filled += min(fall.size, taken)
        rest = max(0.0, fall.size - taken)
        if is_proved(fall.after_ms + 1, fall.until_ms + 1):
            cancelled += rest
        else:
            unproved += rest
    left = filled + cancelled + unproved
    if not left or filled / left < MOST_TRADED <= (filled + unproved) / left:
        return "unknown"
    return "consumed" if filled / left >= MOST_TRADED else "pulled"
