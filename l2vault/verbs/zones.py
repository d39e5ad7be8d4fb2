"""`l2vault zones`: support and resistance from what rested where, for how long, and whether it held."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import figure, heading, last_book, share, size, span_text, table
from l2vault.verbs.rates import rests_on
from l2vault.verbs.words import at_least_1, number

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books
    from l2vault.analytics.provenance import Provenance

HELP: Final = "name support below the price and resistance above it, and count how often each held when price came"
EXAMPLE: Final = "l2vault zones BTC-USDT-SWAP --last 6h"

_NAMES: Final = ("price from", "to", "bps away", "mean", "peak", "orders", "persistence", "seen", "tested", "score")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    parser.add_argument(
        "--width", type=number, metavar="PRICE", help="height of a zone (default: by how far price moved in the span)"
    )
    parser.add_argument("--all", action="store_true", help="print zones that price has passed too")
    parser.add_argument(
        "--top", type=at_least_1, default=4, metavar="N", help="print at most the N strongest zones a side (default: 4)"
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, partial(_answer, context.vault))


def _answer(vault: Path, books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.zones.zones import ahead, with_far, zones

    near = zones(books, args.unit, args.width)
    result = with_far(books, near, args.unit)
    every, rows, provenance = result.frame, near.frame, result.provenance
    mid = provenance.setting("last_mid")
    current = rows.filter("is_current")

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_zones

        draw_zones(rows if args.all else current, provenance, mid, path)

    text = heading(provenance) + f"price {figure(mid)}{last_book(provenance)}; "
    text += f"zones {provenance.setting('width'):g} wide{_seen(provenance)}\n"
    for side, name in (("ask", "resistance above"), ("bid", "support below")):
        strongest = ahead(rows.filter(side=side), args.top)
        text += f"\n{name} the price: the strongest, nearest first\n{_table(strongest, rows, side)}"
    if args.all:
        passed = rows.filter(~rows["is_current"]).head(args.top)
        text += f"\npassed by the price, best score first\n{_table(passed, rows, None)}"
    if len(every) > len(rows):
        text += _far(every.filter(source="books-full"), args.top, provenance)
    text += "\n" + rests_on(vault, books.inst_id, "zones", args.width is None)
    return analysis.Answer(every if args.all else every.filter("is_current"), provenance, text, draw)


def _far(rows: "pl.DataFrame", top: int, provenance: "Provenance") -> str:
    """The zones of the deep books, where the books themselves saw nothing."""
    from l2vault.analytics.zones.zones import ahead

    age = span_text(round(provenance.setting("deep_last_ms") / 1000) * 1000)
    samples = f"{provenance.setting('deep_samples'):g} samples of books-full"
    if (archived := provenance.settings.get("deep_archive_samples")) is not None:
        samples += f" ({archived} of them of OKX's archive)"
    text = f"\nbeyond the levels seen, from {samples}, {age} old\n"
    above, below = (ahead(rows.filter(side=side), top) for side in ("ask", "bid"))
    return text + _table(above.vstack(below), rows, None)


def _seen(provenance: "Provenance") -> str:
    """A warning where a zone may never be seen whole."""
    width, reach = provenance.setting("width"), provenance.settings["least_reach"]
    if not isinstance(reach, float) or width <= reach:
        return ""
    return f", which is wider than what is seen: {figure(reach, 1)} from mid at the least"


def _table(rows: "pl.DataFrame", every: "pl.DataFrame", side: str | None) -> str:
    if not len(rows):
        return _why_none(every, side)
    lines = [
        (
            *((row["side"],) if side is None else ()),
            figure(row["price_from"]),
            figure(row["price_to"]),
            figure(abs(row["distance_bps"]) if side is None else max(0.0, row["distance_bps"]), 1),
            size(row["size"]),
            size(row["peak"]),
            figure(row["orders"], 1),
            share(row["persistence"]),
            share(row["seen_share"]),
            tested(row),
            figure(row["score"], 2),
        )
        for row in rows.to_dicts()
    ]
    return table(_NAMES if side else ("side", *_NAMES), lines, left=0 if side else 1)


def tested(row: dict[str, Any]) -> str:
    """`held 3 of 4 decided, 2 open`: a test is open that the end of the span, or of what was seen, left so."""
    decided = row["holds"] + row["breaks"]
    still_open = row["tests"] - decided
    parts = [f"held {row['holds']} of {decided} decided"] if decided else []
    parts += [f"{still_open} open"] if still_open else []
    return ", ".join(parts) or "never"


def _why_none(every: "pl.DataFrame", side: str | None) -> str:
    if side is None:
        return "none\n"
    if len(every.filter(side=side)):
        return "none: price has passed every zone that was seen on this side (--all shows them)\n"
    return "none: no zone of this width was seen whole on this side (--width for a narrower one)\n"
