"""`l2vault heatmap`: price against time, with what rests there as colour, walls marked, holes shown."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import counted, figure, heading
from l2vault.verbs.words import number

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

HELP: Final = "draw price against time with liquidity as colour, walls marked and holes shown"
EXAMPLE: Final = "l2vault heatmap BTC-USDT-SWAP --last 2h --plot heatmap.png"


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser, plot="heatmap.png")
    analysis.configure_unit(parser)
    parser.add_argument(
        "--min-size", type=number, metavar="SIZE", help="mark every level of this size as a wall, not only whales"
    )
    parser.add_argument("--no-walls", action="store_true", help="draw no walls")


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.heatmap.heatmap import heatmap
    from l2vault.analytics.walls.walls import Criteria, walls

    grid = heatmap(books, args.unit)
    ledger = None if args.no_walls else walls(books, args.unit, Criteria(args.min_size)).frame
    provenance = grid.provenance

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_heatmap

        draw_heatmap(grid, books.coverage, ledger, path)

    cell = f"{provenance.setting('bin_ms') / 1000:g} s by {figure(provenance.setting('bin_price'))}"
    marked = "" if ledger is None else f", {counted(len(ledger), 'life', 'lives')} of walls found"
    text = f"{heading(provenance)}cells of {cell}{marked}\n"
    return analysis.Answer(grid.frame(), provenance, text, draw)
