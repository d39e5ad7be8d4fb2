"""`l2vault backfill`: what was fetched of OKX's archive made into books and trades, in a vault of their own."""

import argparse
import sys
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import RestError, UsageError, VaultError
from l2vault.foreign import printable
from l2vault.history.backfill import (
    Place,
    Progress,
    backfill_books,
    backfill_deep,
    backfill_funding,
    backfill_trades,
)
from l2vault.history.books import DayReport, Law
from l2vault.history.naming import WHATS, Wanted, What
from l2vault.history.shelf import Shelf
from l2vault.okx.hosts import addresses
from l2vault.okx.rest import OkxRest
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.store.durable import refusals
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small
from l2vault.verbs.context import Context
from l2vault.verbs.fetch import alone_in_archive, asked_days, configure_days
from l2vault.verbs.format import counted, progress_bar
from l2vault.verbs.words import asked_instruments, configure_instruments

HELP: Final = "make books and trades of the fetched days of OKX's archive, in a vault of their own"
EXAMPLE: Final = "l2vault backfill BTC-USDT-SWAP --from 2026-11-20 --to 2026-11-22"

WHOLE_BEFORE: Final = "The hours before are whole"
_NAMES: Final[dict[What, str]] = {"books400": "book", "books5000": "book", "trades": "trade", "funding": "rate"}
_TIMEOUT_SEC: Final = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "only these instruments (default: all of which days are here)")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    configure_days(parser, is_needed=False)
    words = "books400 (default), books5000 (with --deep as deep books), trades or funding (as context)"
    parser.add_argument("--what", choices=WHATS, default="books400", help=words)
    words = "of books5000 all 5000 levels each 30 s, as the setting deep records them, in the place of 400"
    parser.add_argument("--deep", dest="is_deep", action="store_true", help=words)
    parser.add_argument("--cadence", dest="cadence_sec", metavar="SEC", help="seconds between books (default: 2)")
    parser.add_argument("--depth", metavar="N", help="levels a side, 1 to 400 (default: 400)")
    parser.add_argument(
        "--region", metavar="NAME", help="where to ask for a row that is not here: global (default), ..."
    )
    parser.add_argument("--rest-url", metavar="URL", help="another REST address, such as l2vault sim's")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if every day that is here was made. A file that does not read ends it with what is wrong; what was made
    stays."""
    if args.is_deep and args.what != "books5000":
        raise UsageError(f"--deep means nothing for {args.what}.", "--what books5000 --deep")
    layout, settings = Layout(context.vault), context.settings
    shelf = Shelf(layout)
    inst_ids = asked_instruments(args) or shelf.instruments()
    if not inst_ids and args.what == "funding":  # the files have all swaps, so that their names say nothing
        raise UsageError("backfill of funding needs an instrument.", "l2vault backfill BTC-USDT-SWAP --what funding")
    files = {inst_id: chosen_files(shelf, args.what, inst_id, args) for inst_id in inst_ids}
    if not any(files.values()):
        raise VaultError(
            f"no fetched day of {args.what} is in {printable(shelf.root)}.", "l2vault fetch INST --from D --to D first"
        )
    clock = Clock()
    place = okx_place(layout, clock, "backfill")
    total = DayReport()
    with alone_in_archive(layout), progress_bar() as show:
        for inst_id, wanted in files.items():
            if not wanted:
                continue
            with refusals(layout.okx_archive.root, WHOLE_BEFORE):
                keep_instrument_row(layout, inst_id, settings.region, settings.rest_url, clock)
                found = _made(place, wanted, args, Law(settings.cadence_ms, settings.depth), show)
            for name in ("lines", "books", "whole", "rebuilt", "kept_hours", "hours"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
    sys.stdout.write(_told(total, args.what, layout))
    return 0


def _made(place: Place, wanted: list[Wanted], args: argparse.Namespace, law: Law, show: Progress) -> DayReport:
    if args.what == "trades":
        return backfill_trades(place, wanted, show)
    if args.what == "funding":
        return backfill_funding(place, wanted, show)
    return backfill_deep(place, wanted, show) if args.is_deep else backfill_books(place, wanted, law, show)


def okx_place(layout: Layout, clock: Clock, program: str) -> Place:
    """Where hours are made of the archive, and what notes them."""
    journal = verb_journal(layout.okx_archive, program, clock.wall_text, clock.monotonic_ms)
    return Place(layout, journal, clock.wall_text)


def chosen_files(shelf: Shelf, what: What, inst_id: str, args: argparse.Namespace) -> list[Wanted]:
    """The files that are here, of the days that are asked for."""
    if args.start is None:
        if args.end is not None:
            raise UsageError("--to without --from leaves the first day open.", "both, or neither for all days")
        return shelf.held(what, inst_id)
    return shelf.held_within(what, inst_id, asked_days(args))


def keep_instrument_row(layout: Layout, inst_id: str, region: str, rest_url: str, clock: Clock) -> None:
    """The instrument's row in the archive's vault, without which nothing can be measured: the recorder's, else OKX's
    own of today. Where neither is to be had it is said."""
    target = layout.okx_archive
    if target.instrument_file(inst_id).is_file():
        return
    try:
        row = read_small(layout.instrument_file(inst_id))
    except OSError:
        hosts = addresses(region, (), rest_url)
        try:
            row = OkxRest(hosts.rest_url, _TIMEOUT_SEC, hosts.headers).instrument(inst_id)
        except RestError as error:
            sys.stderr.write(f"l2vault: no row of {inst_id}: measures need one. {error}\n")
            return
    keep_row(target, inst_id, row, clock.wall_ms())


def _told(report: DayReport, what: What, layout: Layout) -> str:
    place = printable(layout.okx_archive.root)
    kept = f"; {counted(report.kept_hours, 'hour')} there already" if report.kept_hours else ""
    text = f"{counted(report.hours, 'hour')} made in {place}: {counted(report.books, _NAMES[what])}{kept}\n"
    if report.whole:
        exact = "all of them" if report.rebuilt == report.whole else str(report.rebuilt)
        text += f"rebuilt to {counted(report.whole, 'full book')} of the files: {exact} equal\n"
    return text
