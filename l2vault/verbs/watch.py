"""`l2vault watch`: the live book of one instrument in a terminal of 80 columns, with its walls and trades."""

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Final, Literal, NamedTuple

from l2vault.alerts.market import is_apart
from l2vault.alerts.market_feed import Holes
from l2vault.analytics import one_book
from l2vault.analytics.contract import Contract
from l2vault.analytics.figures import amount
from l2vault.analytics.standing_walls import (
    PAST_MS,
    SIDES,
    Side,
    SizedBook,
    StandingWalls,
    Wall,
    sized,
    standing_out,
)
from l2vault.api.snapshot import Contracts
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import UsageError, VaultError, extra
from l2vault.foreign import printable
from l2vault.vault.reading.follow import POLL_SEC, Follow, FollowTrades
from l2vault.vault.reading.trades import TradeReader, TradeRow
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.catalog import unreported
from l2vault.verbs.analysis import the_instrument
from l2vault.verbs.console import Asked, stop_thread_on_signals
from l2vault.verbs.context import Context
from l2vault.verbs.format import span_text
from l2vault.verbs.words import configure_instruments, number

HELP: Final = "show the live book of an instrument in a terminal: ladder, standing walls, imbalance, trades"
EXAMPLE: Final = "l2vault watch BTC-USDT-SWAP --once"

COLUMNS: Final = 80
LINES: Final = 24
"""Where there is no terminal that says how many it has."""

_LEFT: Final = 46
_HEAD: Final = 3
_MOST_A_SIDE: Final = 20
_MOST_WALLS: Final = 6
_MOST_TRADES: Final = 40
_BAR: Final = 6
"""Characters of the largest level that is shown."""
_REFRESH_MS: Final = 1_000
"""The age of the book is shown anew so often where no line comes."""

Style = Literal["", "bid", "ask", "dim", "bold"]
_COLOURS: Final[dict[Style, str]] = {"": "", "bid": "blue", "ask": "yellow", "dim": "dim", "bold": "bold"}
"""Blue and yellow, which colour-blind people tell apart; every line says its side in words too."""


class Piece(NamedTuple):
    """A part of a line."""

    text: str
    style: Style = ""


Line = list[Piece]


class Trade(NamedTuple):
    """One row of the tape; `size` in the quote currency, None where OKX gave none that fits."""

    ts_ms: int
    side: str
    price: float
    size: float | None


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    least = "a wall has at least so much, in quote currency (default: what stands out of the books of 10 min)"
    parser.add_argument("--min-size", type=number, metavar="SIZE", help=least)
    parser.add_argument("--once", action="store_true", help="print the newest book as plain text and end")


def run(context: Context, args: argparse.Namespace) -> int:
    vault = open_vault(context.vault)
    inst_id = the_instrument(vault, args)
    if args.once:
        watched = Watched(vault, inst_id, args.min_size)
        page = watched.page(Clock().wall_ms(), LINES)
        sys.stdout.write("\n".join("".join(piece.text for piece in line).rstrip() for line in page) + "\n")
        return 0
    with extra("watch"):
        import rich.live  # noqa: F401 - says at once that it lacks
    if not sys.stdout.isatty():
        raise UsageError("watch needs a terminal, and stdout is none.", f"l2vault watch {printable(inst_id)} --once")
    stop = stop_thread_on_signals()
    _show(Watched(vault, inst_id, args.min_size), Clock(), stop)
    return 0


class Watched:
    """What is known of one instrument now. Raises VaultError where the vault holds no book of it, or no row."""

    def __init__(self, vault: Vault, inst_id: str, least: float | None) -> None:
        self._inst_id = inst_id
        self._contracts = Contracts(vault.instrument_rows, inst_id)
        self._holes = Holes(vault, inst_id)
        self._books = Follow(vault.layout, inst_id, None, POLL_SEC, _never)
        self._tape = FollowTrades(vault.layout, inst_id, None, POLL_SEC, _never)
        self._line: Snapshot | None = None
        self._trades: deque[Trade] = deque(maxlen=_MOST_TRADES)
        self._read_ids: set[tuple[int, int, int]] = set()
        # Followed from before what is there is read, so that no line lies between; one that comes twice is passed over.
        came, traded = list(self._books.ready()), list(self._tape.ready())
        newest_ms = vault.newest_line_ms(inst_id)
        if newest_ms is None:
            raise VaultError(f"the vault holds no book of {printable(inst_id)} that can be read.", "l2vault verify")
        past = list(vault.snapshots(inst_id, newest_ms - PAST_MS, newest_ms + 1))
        # How far back walls and trades are looked for at the start: as long as what stands out is judged by.
        sizes = (sized(book, self._contracts.at(book.ts_ms)) for book in past)
        self._walls = StandingWalls(least or _standing_out(sizes))
        for book in (*past, *came):
            self._take(book)
        reader = TradeReader(vault.layout)
        if inst_id in reader.noted_instruments():
            for row in reader.rows(inst_id, (newest_ms - PAST_MS, newest_ms + PAST_MS), unreported):
                self._take_trade(row)
                self._read_ids.add((row.push.ts_ms, row.first_id, row.last_id))
        self._take_tape(traded)

    def take_new(self) -> bool:
        """Take what has been written since; whether there was anything."""
        is_new = False
        for book in self._books.ready():
            self._take(book)
            is_new = True
        return self._take_tape(self._tape.ready()) or is_new

    def page(self, now_ms: int, lines: int) -> list[Line]:
        """At most so many lines of COLUMNS columns."""
        assert self._line is not None  # the vault held one
        book, contract = self._line, self._contracts.at(self._line.ts_ms)
        holes = self._holes.near(max(now_ms, book.ts_ms))
        is_lost = is_apart(book, max(now_ms, book.ts_ms), holes)
        head = list(_head(self._inst_id, book, contract, now_ms, is_lost))
        count = min(_MOST_A_SIDE, max(1, (lines - _HEAD - 1) // 2))
        left = _ladder(sized(book, contract), book, count, self._walls.standing)
        room = 1 + 2 * count
        right = [*self._wall_lines(), [], *self._trade_lines(room)]
        nothing: Line = []
        beside = zip_longest(left, right[:room], fillvalue=nothing)
        return [*head, *([*_padded(own, _LEFT), *other] for own, other in beside)]

    def _take(self, book: Snapshot) -> None:
        before = self._line
        if before is not None and book.ts_ms <= before.ts_ms:
            return
        is_linked = before is not None and not is_apart(before, book.ts_ms, self._holes.near(book.ts_ms))
        self._walls.take(sized(book, self._contracts.at(book.ts_ms)), is_linked)
        self._line = book

    def _take_tape(self, rows: Iterable[TradeRow]) -> bool:
        """Those that were not read from the files already; whether there was any."""
        new = [row for row in rows if (row.push.ts_ms, row.first_id, row.last_id) not in self._read_ids]
        for row in new:
            self._take_trade(row)
        return bool(new)

    def _take_trade(self, row: TradeRow) -> None:
        push, price = row.push, float(row.push.px)
        contract = self._contracts.at(push.ts_ms)
        size = None if row.size is None else contract.sizes(float(row.size), price, "usd")
        self._trades.append(Trade(push.ts_ms, push.side, price, size))

    def _wall_lines(self) -> Iterator[Line]:
        standing = self._walls.standing
        yield [Piece(f"walls of {amount(self._walls.least)} or more", "bold")]
        if not standing:
            yield [Piece("none stands", "dim")]
        for wall in standing[:_MOST_WALLS]:
            away = "" if wall.away_bps is None else f"{wall.away_bps:.1f} bps"
            # One that was found stood before, nobody knows since when.
            since = f"{'<' if wall.began == 'found' else ' '}{_second(wall.born_ms)}"
            yield [Piece(f"{wall.side} {wall.price:<9.12g} {amount(wall.size, True):>7} {away:>8}", wall.side)]
            yield [Piece(f"    since {since} UTC, {wall.began}", "dim")]

    def _trade_lines(self, room: int) -> Iterator[Line]:
        yield [Piece("trades, newest first", "bold")]
        if not self._trades:
            yield [Piece("none recorded", "dim")]
        for trade in islice(reversed(self._trades), room):
            size = "?" if trade.size is None else amount(trade.size, True)
            text = f"{utc_text(trade.ts_ms)[11:21]} {trade.side:<4} {trade.price:<9.12g} {size:>7}"
            yield [Piece(text, "bid" if trade.side == "buy" else "ask")]


def _show(watched: Watched, clock: Clock, stop: Asked) -> None:
    """Until `stop`. The alternate screen and the cursor are given back however it ends."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)

    def drawn() -> Text:
        lines = watched.page(clock.wall_ms(), console.size.height)
        text = Text(no_wrap=True, overflow="crop", end="")
        text.append_text(Text("\n").join(_styled(Text(no_wrap=True), line) for line in lines))
        return text

    def _styled(text: Text, line: Line) -> Text:
        for piece in line:
            text.append(piece.text, _COLOURS[piece.style])
        return text

    with Live(drawn(), console=console, screen=True, auto_refresh=False) as live:
        _loop(watched, lambda: live.update(drawn(), refresh=True), clock, stop)


def _loop(watched: Watched, draw: Callable[[], None], clock: Clock, stop: Asked) -> None:
    """Draw each line as it comes, and the age of the newest one in between."""
    drawn_ms = clock.monotonic_ms()
    while not stop.wait(POLL_SEC):
        if watched.take_new() or clock.monotonic_ms() - drawn_ms >= _REFRESH_MS:
            draw()
            drawn_ms = clock.monotonic_ms()


def _head(inst_id: str, book: Snapshot, contract: Contract, now_ms: int, is_lost: bool) -> Iterator[Line]:
    age = f"{max(0, now_ms - book.ts_ms) / 1000:.0f} s" if now_ms - book.ts_ms < 60_000 else _long(now_ms - book.ts_ms)
    said = f"{printable(inst_id, 24)}  {utc_text(book.ts_ms)[:19].replace('T', ' ')} UTC, {age} ago"
    yield [Piece(said, "bold"), Piece("  NOT CURRENT" if is_lost else "", "ask")]
    mid, spread, bps = one_book.mid(book), one_book.spread(book), one_book.spread_bps(book)
    if mid is None or spread is None or bps is None:
        yield [Piece("a side of the book is empty")]
    else:
        yield [Piece(f"mid {mid:.12g}   spread {spread:.6g} ({bps:.3g} bps)   {_imbalances(book, contract)}")]
    within = []
    for band in (2.0, 5.0):
        bid, ask = one_book.depth(book, band, "usd", contract)
        within.append(f"{band:g} bps: {'?' if bid is None else amount(bid)} | {'?' if ask is None else amount(ask)}")
    yield [Piece(f"depth in {contract.currency('usd')}, bid | ask, within {', '.join(within)}"[:COLUMNS], "dim")]


def _imbalances(book: Snapshot, contract: Contract) -> str:
    found = [(levels, one_book.imbalance(book, levels, "usd", contract)) for levels in (1, 10, 50)]
    return "imbalance " + " ".join(
        f"{'?' if each is None else f'{round(each, 2) + 0.0:+.2f}'} of {levels}" for levels, each in found
    )


def _ladder(book: SizedBook, line: Snapshot, count: int, standing: Sequence[Wall]) -> list[Line]:
    """Asks above, highest first, the best of both in the middle; with cumulative sizes."""
    walls = {(wall.side, wall.price) for wall in standing}
    most = max((size for side in SIDES for size in islice(book.side(side).sizes.values(), count)), default=0.0)
    asks, bids = (list(_rungs(book, line, side, count, most, walls)) for side in ("ask", "bid"))
    names = f"{'':4}{'price':>10} {'size':>8} {'in all':>8} {'orders':>6}"
    return [[Piece(names, "dim")], *reversed(asks), *bids]


def _rungs(
    book: SizedBook, line: Snapshot, side: Side, count: int, most: float, walls: set[tuple[Side, float]]
) -> Iterator[Line]:
    total = 0.0
    levels = line.asks if side == "ask" else line.bids
    for (price, size), level in islice(zip(book.side(side).sizes.items(), levels, strict=False), count):
        total += size
        orders = level[3] if level[3].isdecimal() else "?"
        bar = "#" * round(_BAR * size / most) if most else ""
        mark = "*" if (side, price) in walls else " "
        sizes = f"{amount(size, True):>8} {amount(total, True):>8}"
        yield [Piece(f"{side} {price:>10.12g} {sizes} {orders[:5]:>5}{mark}", side), Piece(bar, "dim")]


def _standing_out(books: Iterable[SizedBook]) -> float:
    """From what size on a level of these books is larger than chance would have it; the largest where they have few."""
    held = list(books)
    sizes = (size for book in held for side in SIDES for size in book.side(side).sizes.values())
    return standing_out(held) or max(sizes, default=1.0)


def _padded(line: Line, width: int) -> Line:
    text = sum(len(piece.text) for piece in line)
    return [*line, Piece(" " * max(1, width - text))]


def _second(ms: int) -> str:
    return utc_text(ms)[11:19]


def _long(ms: int) -> str:
    return span_text(ms // 1000 * 1000)


def _never(seconds: float) -> None:
    raise AssertionError("what is ready is asked for, and nothing is waited for")
