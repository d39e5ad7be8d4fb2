"""`l2vault heatmap`: price against time, with what rests there as colour, walls marked, holes shown."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.format import figure, heading

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

HELP: Final = "draw price against time with liquidity as colour, walls marked and holes shown"
EXAMPLE: Final = "l2vault heatmap BTC-USDT-SWAP --last 2h --plot heatmap.png"


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser, plot="heatmap.png")
    analysis.configure_unit(parser)
    parser.add_argument("--no-walls", action="store_true", help="mark no walls")


def run(args: argparse.Namespace) -> int:
    return analysis.run(args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.heatmap.heatmap import heat
    from l2vault.analytics.walls.walls import walls

    grid = heat(books, args.unit)
    ledger = None if args.no_walls else walls(books, args.unit).frame
    about = grid.about

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_heatmap

        draw_heatmap(grid, books.coverage, ledger, path)

    cell = f"{about.settings['bin_ms'] / 1000:g} s by {figure(about.settings['bin_price'])}"
    marked = "" if ledger is None else f", {len(ledger)} lives of walls marked"
    text = f"{heading(about)}cells of {cell}{marked}\n"
    return analysis.Answer(grid.frame(), about, text, draw)
