"""`l2vault heatmap`: price against time, with what rests there as colour, walls marked, holes shown."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import counted, figure, heading
from l2vault.verbs.words import number

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books
    from l2vault.analytics.contract import Unit

HELP: Final = "draw price against time with liquidity as colour, walls marked and holes shown"
EXAMPLE: Final = "l2vault heatmap BTC-USDT-SWAP --last 2h --plot heatmap.png"


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser, plot="heatmap.png")
    analysis.configure_unit(parser)
    parser.add_argument(
        "--min-size", type=number, metavar="SIZE", help="mark every level of this size as a wall, not only whales"
    )
    parser.add_argument("--no-walls", action="store_true", help="draw no walls")
    parser.add_argument("--no-trades", action="store_true", help="draw no trades")
    parser.add_argument(
        "--around-mid",
        action="store_true",
        help="distance from mid in bps, in the place of price, as the vertical axis",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.heatmap.heatmap import heatmap, with_walls
    from l2vault.analytics.walls.walls import Criteria

    ledger: pl.DataFrame | None = None
    if args.no_walls:
        grid = heatmap(books, args.unit, is_around_mid=args.around_mid)
    else:
        grid, found = with_walls(books, args.unit, Criteria(args.min_size), args.around_mid)
        ledger = found.frame
    provenance = grid.provenance

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_heatmap

        draw_heatmap(grid, books.coverage, ledger, path, None if args.no_trades else _trades(books, args.unit))

    height = (
        f"{figure(provenance.setting('bin_bps'))} bps" if args.around_mid else figure(provenance.setting("bin_price"))
    )
    cell = f"{provenance.setting('bin_ms') / 1000:g} s by {height}"
    marked = ""
    if ledger is not None:
        lives = counted(len(ledger), "life", "lives")
        marked = f", {counted(ledger['track'].n_unique(), 'wall')} found ({lives})"
    text = f"{heading(provenance)}cells of {cell}{marked}\n"
    return analysis.Answer(grid.frame(), provenance, text, draw)


def _trades(books: "Books", unit: "Unit") -> "pl.DataFrame | None":
    """As the picture takes them; None where none were recorded."""
    import polars as pl

    from l2vault.analytics.trades import traded_sizes

    read = None if books.trades is None else books.trades.read((books.start_ms, books.end_ms))
    if read is None or not read.is_recorded:
        return None
    size = pl.Series(traded_sizes(read.frame, books.periods, unit), dtype=pl.Float64)
    return read.frame.select("t", "price", "is_buy", pl.col("matches").alias("count"), size=size)
