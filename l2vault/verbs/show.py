"""`l2vault show`: one book as a ladder a person can read, what stood beside it, or the tape of trades."""

import argparse
import sys
from decimal import Decimal
from typing import Final

import msgspec

from l2vault.book.change import Level
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import MINUTE_MS, utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.names import held_instruments, one_of
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import span_text, table
from l2vault.verbs.words import asked_instruments, at_least_1, configure_instruments, duration, moment

HELP: Final = "show the book of an instrument at a time as a ladder"
EXAMPLE: Final = "l2vault show BTC-USDT-SWAP --at 2026-01-31T12:00:00Z --levels 10"

_BPS: Final = 10_000


class Rung(msgspec.Struct, frozen=True):
    """A level, and the quantity up to and including it; quantities are contracts, strings exact as recorded."""

    price: str
    qty: str
    orders: str
    cumulative_qty: str


class Ladder(msgspec.Struct, frozen=True):
    """`age_ms` is from the book's time to the time asked for; both sides are best first."""

    inst_id: str
    timestamp_utc: str
    asked_utc: str
    age_ms: int
    gap_detected: bool
    seq_id: int | None
    spread: str | None
    spread_bps: float | None
    mid_price: str | None
    asks: list[Rung]
    bids: list[Rung]


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--at", type=moment, metavar="TIME", help="the book of this time (default: now)")
    words = "the book (default); mark, index, funding, open interest and limits; or the tape of trades"
    parser.add_argument("--kind", choices=("books", "context", "trades"), default="books", help=words)
    words = "with --kind trades, the trades of so long (default: 1m) up to --at, or to the newest one"
    parser.add_argument("--last", type=duration, metavar="TIME", help=words)
    parser.add_argument("--levels", type=at_least_1, default=10, metavar="N", help="levels a side (default: 10)")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--json", action="store_true", help="print the ladder as one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    at_ms: int | None = args.at
    vault = open_vault(context.vault)
    if args.last is not None and args.kind != "trades":
        raise UsageError("--last is the length of a tape of trades.", "--kind trades --last 10m")
    if args.kind == "trades":
        from l2vault.verbs.trade_tables import show_tape

        tape = TradeReader(vault.layout)
        inst_id = _instrument(tape.instruments(), asked_instruments(args))
        show_tape(tape, inst_id, at_ms, args.last or MINUTE_MS, args.json)
        return 0
    if at_ms is None:
        from l2vault.clock import Clock  # it would load asyncio into whoever only asks for this verb's help

        at_ms = Clock().wall_ms()
    if args.kind == "context":
        from l2vault.verbs.context_tables import show_context

        reader = ContextReader(vault.layout)
        show_context(reader, _instrument(reader.instruments(), asked_instruments(args)), at_ms, args.json)
        return 0
    inst_id = _instrument(vault.instruments(), asked_instruments(args))
    found = vault.book_at(inst_id, at_ms, with_flagged=True)
    if found is None:
        raise VaultError(f"no book of {printable(inst_id)} at or before {utc_text(at_ms)}.", "l2vault ls")
    for finding in found.findings:
        place = f"{printable(finding.path)} at byte {finding.offset}"
        sys.stderr.write(f"skipped: {place}: {printable(finding.reason)}\n")
    ladder = _ladder(found.snapshot, at_ms, args.levels)
    sys.stdout.write(document("show", ladder) if args.json else _text(ladder))
    return 0


def _instrument(held: list[str], asked: list[str]) -> str:
    if len(asked) > 1:
        raise UsageError(f"{len(asked)} instruments are named.", "one at a time")
    if not asked and len(held) != 1:
        raise UsageError("no instrument is named.", one_of(held))
    return held_instruments(asked, held)[0] if asked else held[0]


def _ladder(book: Snapshot, at_ms: int, levels: int) -> Ladder:
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
        asks=_rungs(book.asks[:levels]),
        bids=_rungs(book.bids[:levels]),
    )


def _spread(book: Snapshot) -> tuple[str | None, float | None]:
    """Exact as text, and in basis points of the mid price; None where a side is empty."""
    if book.best_bid is None or book.best_ask is None or book.mid_price is None:
        return None, None
    spread, mid = Decimal(book.best_ask) - Decimal(book.best_bid), Decimal(book.mid_price)
    return format(spread, "f"), round(float(spread / mid * _BPS), 4) if mid else None


def _rungs(side: list[Level]) -> list[Rung]:
    total = Decimal(0)
    rungs = []
    for price, qty, _, orders in side:
        total += Decimal(qty)
        rungs.append(Rung(price, qty, orders, format(total, "f")))
    return rungs


def _text(ladder: Ladder) -> str:
    head = [f"{printable(ladder.inst_id)}  {ladder.timestamp_utc}  seqId {ladder.seq_id}"]
    head.append(f"age {span_text(ladder.age_ms)} at {ladder.asked_utc}")
    if ladder.gap_detected:
        head.append("gap_detected: the last good book before a break; nothing is known from then until the next line")
    if ladder.mid_price is None:
        middle = "(a side is empty)"
    else:
        middle = f"(spread {ladder.spread}, {ladder.spread_bps:g} bps; mid {ladder.mid_price})"
    names = ("", "price", "qty", "orders", "cumulative qty")
    rows = [("ask", each.price, each.qty, each.orders, each.cumulative_qty) for each in reversed(ladder.asks)]
    rows += [("bid", each.price, each.qty, each.orders, each.cumulative_qty) for each in ladder.bids]
    return "\n".join([*head, "", table(names, rows, rule=(len(ladder.asks), middle))])
