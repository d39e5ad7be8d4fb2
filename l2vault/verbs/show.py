"""`l2vault show`: one book as a ladder a person can read, what stood beside it, or the tape of trades."""

import argparse
import sys
from decimal import Decimal
from itertools import chain
from typing import Final

import msgspec
from msgspec.structs import replace

from l2vault.analytics.contract import Contract, contract_periods
from l2vault.analytics.standing_walls import PAST_MS, sized, standing_out
from l2vault.analytics.tail import LEAST_LEVELS
from l2vault.api.snapshot import Contracts
from l2vault.book.change import Level
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import MINUTE_MS, utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.coverage.model import COVERED, Source
from l2vault.vault.reading.sources import RECORDED, open_sources
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.names import held_instruments, one_of
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import aligned, size, span_text, table, with_cause
from l2vault.verbs.sources import sources_asked
from l2vault.verbs.words import asked_instruments, at_least_1, configure_instruments, duration, moment

HELP: Final = "show the book of an instrument at a time as a ladder"
EXAMPLE: Final = "l2vault show BTC-USDT-SWAP --at 2026-01-31T12:00:00Z --levels 10"

_BPS: Final = 10_000
_BAR: Final = 24
_DOUBTS: Final = {
    "disputed": "two sources contradict each other about the book of then",
    "unverifiable": "nothing could verify the book of then",
}


class Rung(msgspec.Struct, frozen=True):
    """A level, and the quantity up to and including it; quantities are contracts, strings exact as recorded. `usd` is
    in the quote currency, null where no instrument row says what a contract is worth. `is_wall`: it stands out."""

    price: str
    qty: str
    orders: str
    cumulative_qty: str
    usd: float | None = None
    cumulative_usd: float | None = None
    is_wall: bool = False


class Ladder(msgspec.Struct, frozen=True):
    """`age_ms` is from the book's time to the time asked for; both sides are best first. A wall has `wall_usd` or more:
    what stands out of `wall_books` books, those of the ten minutes up to this one. Null where they cannot tell.
    `state`, with its `cause`, is what coverage says of the time asked for: where that is not covered the book is the
    last one known."""

    inst_id: str
    timestamp_utc: str
    asked_utc: str
    age_ms: int
    gap_detected: bool
    seq_id: int | None
    spread: str | None
    spread_bps: float | None
    mid_price: str | None
    currency: str | None
    asks: list[Rung]
    bids: list[Rung]
    source: Source = "recorded"
    state: str = "recorded"
    cause: str = ""
    wall_usd: float | None = None
    wall_books: int = 0


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--at", type=moment, metavar="TIME", help="the book of this time (default: now)")
    words = "the book (default); mark, index, funding, open interest and limits; or the tape of trades"
    parser.add_argument("--kind", choices=("books", "context", "trades"), default="books", help=words)
    words = "with --kind trades, the trades of so long (default: 1m) up to --at, or to the newest one"
    parser.add_argument("--last", type=duration, metavar="TIME", help=words)
    parser.add_argument("--levels", type=at_least_1, default=10, metavar="N", help="levels a side (default: 10)")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    words = "recorded (default), archive (of OKX), or recorded,archive: that in its holes"
    parser.add_argument("--sources", type=sources_asked, default=RECORDED, metavar="LIST", help=words)
    parser.add_argument("--json", action="store_true", help="print the ladder as one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    at_ms: int | None = args.at
    vault = open_sources(context.vault, args.sources)
    if args.last is not None and args.kind != "trades":
        raise UsageError("--last is the length of a tape of trades.", "--kind trades --last 10m")
    if args.kind == "trades":
        from l2vault.verbs.trade_tables import show_tape

        tape = vault.trades()
        inst_id = _instrument(tape.instruments(), asked_instruments(args))
        show_tape(vault, inst_id, at_ms, args.last or MINUTE_MS, args.json)
        return 0
    if at_ms is None:
        from l2vault.clock import Clock  # it would load asyncio into whoever only asks for this verb's help

        at_ms = Clock().wall_ms()
    if args.kind == "context":
        from l2vault.verbs.context_tables import show_context

        reader = vault.context()
        show_context(reader, _instrument(reader.instruments(), asked_instruments(args)), at_ms, args.json)
        return 0
    _show_book(vault, _instrument(vault.instruments(), asked_instruments(args)), at_ms, args)
    return 0


def _show_book(vault: Vault, inst_id: str, at_ms: int, args: argparse.Namespace) -> None:
    found = vault.book_at(inst_id, at_ms, with_flagged=True)
    if found is None:
        raise VaultError(f"no book of {printable(inst_id)} at or before {utc_text(at_ms)}.", "l2vault ls")
    for finding in found.findings:
        place = f"{printable(finding.path)} at byte {finding.offset}"
        sys.stderr.write(f"skipped: {place}: {printable(finding.reason)}\n")
    book = found.snapshot
    contract = _contract(vault, inst_id, book.ts_ms)
    wall_usd, wall_books = (None, 0) if contract is None else _wall_usd(vault, book)
    ladder = replace(
        _ladder(book, at_ms, args.levels, contract, wall_usd),
        source="archive" if found.state == "archive" else "recorded",
        state=found.state,
        cause=found.cause,
        wall_usd=wall_usd,
        wall_books=wall_books,
    )
    sys.stdout.write(document("show", ladder) if args.json else _text(ladder, _beyond(book, args.levels)))


def _instrument(held: list[str], asked: list[str]) -> str:
    if len(asked) > 1:
        raise UsageError(f"{len(asked)} instruments are named.", "one at a time")
    if not asked and len(held) != 1:
        raise UsageError("no instrument is named.", one_of(held))
    return held_instruments(asked, held)[0] if asked else held[0]


def _ladder(book: Snapshot, at_ms: int, levels: int, contract: Contract | None, wall_usd: float | None) -> Ladder:
    spread, spread_bps = _spread(book)
    return Ladder(
        inst_id=book.inst_id,
        timestamp_utc=utc_text(book.ts_ms),
        asked_utc=utc_text(at_ms),
        age_ms=at_ms - book.ts_ms,
        gap_detected=book.gap_detected,
        seq_id=book.seq_id,
        spread=spread,
        spread_bps=spread_bps,
        mid_price=book.mid_price,
        currency=None if contract is None else contract.currency("usd"),
        asks=_rungs(book.asks[:levels], contract, wall_usd),
        bids=_rungs(book.bids[:levels], contract, wall_usd),
    )


def _contract(vault: Vault, inst_id: str, ts_ms: int) -> Contract | None:
    """What a contract was worth then; None where the vault has no row that says so."""
    try:
        return contract_periods(inst_id, vault.instrument_rows(inst_id), (ts_ms, ts_ms + 1))[-1].contract
    except VaultError:
        return None


def _wall_usd(vault: Vault, book: Snapshot) -> tuple[float | None, int]:
    """From which size on a level stands out as none would by chance, as `l2vault watch` has it, and of how many books:
    those of ten minutes, or this one alone where no other can be read. None where they have too few levels."""
    contracts = Contracts(vault.instrument_rows, book.inst_id)
    try:
        past = vault.snapshots(book.inst_id, max(0, book.ts_ms - PAST_MS), book.ts_ms)
        books = [sized(each, contracts.at(each.ts_ms)) for each in chain(past, (book,))]
    except (VaultError, OSError):  # the book itself was read: it is shown, and the answer says what it rests on
        books = [sized(book, contracts.at(book.ts_ms))]
    return standing_out(books), len(books)


def _beyond(book: Snapshot, levels: int) -> str:
    """Where more levels are asked for than a side shows, and more may lie behind them."""
    cut = [name for name, side in (("bids", book.bids), ("asks", book.asks)) if book.depth <= len(side) < levels]
    return f"{book.depth} levels a side were recorded: {' and '.join(cut)} beyond them are not known" if cut else ""


def _usd(level: Level, contract: Contract | None) -> float | None:
    return None if contract is None else contract.sizes(float(level[1]), float(level[0]), "usd")


def _spread(book: Snapshot) -> tuple[str | None, float | None]:
    """Exact as text, and in basis points of the mid price; None where a side is empty."""
    if book.best_bid is None or book.best_ask is None or book.mid_price is None:
        return None, None
    spread, mid = Decimal(book.best_ask) - Decimal(book.best_bid), Decimal(book.mid_price)
    return format(spread, "f"), round(float(spread / mid * _BPS), 4) if mid else None


def _rungs(side: list[Level], contract: Contract | None, wall_usd: float | None) -> list[Rung]:
    total, total_usd = Decimal(0), 0.0
    rungs = []
    for price, qty, third, orders in side:
        total += Decimal(qty)
        usd = _usd((price, qty, third, orders), contract)
        total_usd += usd or 0.0
        is_wall = wall_usd is not None and usd is not None and usd >= wall_usd
        cumulative_usd = None if usd is None else round(total_usd, 2)
        usd = None if usd is None else round(usd, 2)
        rungs.append(Rung(price, qty, orders, format(total, "f"), usd, cumulative_usd, is_wall))
    return rungs


def _text(ladder: Ladder, beyond: str = "") -> str:
    head = [f"{printable(ladder.inst_id)}  {ladder.timestamp_utc}  seqId {ladder.seq_id}"]
    head.append(f"age {span_text(ladder.age_ms)} at {ladder.asked_utc}")
    if ladder.state in _DOUBTS:
        head.append(f"{ladder.state}: {_DOUBTS[ladder.state]}")
    elif ladder.state not in COVERED and (ladder.state != "unknown" or ladder.age_ms > MINUTE_MS):
        why = with_cause(ladder.state, ladder.cause)
        head.append(f"no book is known then: {why}; this is the last one known")  # of now the next line will tell
    if ladder.source == "archive":
        head.append("not recorded: a book of OKX's archive")
    if ladder.gap_detected:
        head.append("gap_detected: the last good book before a break; nothing is known from then until the next line")
    if ladder.currency is not None:
        head.append(_walls(ladder))
    if beyond:
        head.append(beyond)
    if ladder.mid_price is None:
        middle = "(a side is empty)"
    else:
        middle = f"(spread {ladder.spread}, {ladder.spread_bps:g} bps; mid {ladder.mid_price})"
    rungs = [*reversed(ladder.asks), *ladder.bids]
    largest = max((each.usd or 0.0 for each in rungs), default=0.0)
    sides = ["ask"] * len(ladder.asks) + ["bid"] * len(ladder.bids)
    columns = [sides, aligned([each.price for each in rungs]), aligned([each.qty for each in rungs])]
    names = ["", "price", "contracts"]
    if ladder.currency is None:
        head.append("no instrument row says what a contract is worth: l2vault record keeps it")
        names.append("cumulative")
        columns.append(aligned([each.cumulative_qty for each in rungs]))
    else:
        names += [ladder.currency, "cumulative"]
        columns += [[size(each.usd) for each in rungs], [size(each.cumulative_usd) for each in rungs]]
    names += ["orders", ""]
    columns += [[each.orders for each in rungs], [_bar(each, largest) for each in rungs]]
    rows = [list(row) for row in zip(*columns, strict=True)]
    text = table(names, _padded_last(rows), left=1, rule=(len(ladder.asks), middle))
    return "\n".join([*head, "", text])


def _walls(ladder: Ladder) -> str:
    """From what size on a level is marked, and what that rests on."""
    if ladder.wall_usd is None:
        return f"no level is called a wall: that takes books of {LEAST_LEVELS} levels or more"
    alone = "this book alone, since none of the 10 min before could be read"
    of = alone if ladder.wall_books == 1 else f"the {ladder.wall_books} books of the 10 min up to it"
    return f"a wall has {size(ladder.wall_usd).strip()} or more: what stands out of {of}"


def _bar(rung: Rung, largest: float) -> str:
    """As long as its size beside the largest that is shown."""
    marks = "#" * max(1, round(_BAR * rung.usd / largest)) if rung.usd and largest else ""
    return f"{marks}  <- wall" if rung.is_wall else marks


def _padded_last(rows: list[list[str]]) -> list[list[str]]:
    """With the last column flush left."""
    width = max((len(row[-1]) for row in rows), default=0)
    return [[*row[:-1], row[-1].ljust(width)] for row in rows]
