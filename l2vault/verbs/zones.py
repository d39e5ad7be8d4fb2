"""`l2vault zones`: support and resistance from what rested where, for how long, and whether it held."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import figure, heading, share, size, table
from l2vault.verbs.words import at_least_1, number

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books

HELP: Final = "rank price zones by the liquidity that rested there, and count how often they held when price came"
EXAMPLE: Final = "l2vault zones BTC-USDT-SWAP --last 6h --width 100"

_NAMES: Final = (
    "side",
    "from",
    "to",
    "mean",
    "peak",
    "persistence",
    "seen",
    "tests",
    "holds",
    "breaks",
    "bps",
    "score",
)


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    parser.add_argument(
        "--width", type=number, metavar="PRICE", help="height of a zone (default: by the visible range)"
    )
    parser.add_argument(
        "--top",
        type=at_least_1,
        default=10,
        metavar="N",
        help="print at most N rows a side (default: 10)",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.zones.zones import zones

    result = zones(books, args.unit, args.width)
    rows, provenance = result.frame, result.provenance

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_zones

        draw_zones(rows, provenance, provenance.setting("last_mid"), path)

    text = heading(provenance) + f"zones {provenance.setting('width'):g} wide, best score first\n"
    for side, name in (("ask", "resistance"), ("bid", "support")):
        own = rows.filter(rows["side"] == side)
        text += f"\n{name}\n{_table(own.head(args.top))}"
    return analysis.Answer(rows, provenance, text, draw)


def _table(rows: "pl.DataFrame") -> str:
    lines = [
        (
            row["side"],
            figure(row["price_from"]),
            figure(row["price_to"]),
            size(row["size"]),
            size(row["peak"]),
            share(row["persistence"]),
            share(row["seen_share"]),
            *(str(row[name]) for name in ("tests", "holds", "breaks")),
            figure(row["distance_bps"], 1),
            figure(row["score"], 2),
        )
        for row in rows.to_dicts()
    ]
    return table(_NAMES, lines, left=1)
