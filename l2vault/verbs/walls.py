"""`l2vault walls`: whale walls and what became of them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import clock, figure, heading, share, size, span_text, table
from l2vault.verbs.words import at_least_1, number

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books, Result

HELP: Final = "list whale walls: since when, how large, and whether they were pulled, consumed or lost from view"
EXAMPLE: Final = "l2vault walls BTC-USDT-SWAP --last 4h --top 10 --plot walls.png"

_ENDS: Final = ("pulled", "moved", "consumed", "left view", "gap", "standing")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    add = parser.add_argument
    add("--min-size", type=number, metavar="SIZE", help="least size of a wall, instead of a percentile")
    add(
        "--percentile",
        type=number,
        metavar="P",
        help="a wall exceeds P %% of the span's level sizes (default: 99.8)",
    )
    add("--relative", type=number, metavar="K", help="a wall also has K times the mean of the 10 levels to either side")
    add(
        "--per-order",
        type=number,
        metavar="SIZE",
        help="a wall also has this mean size an order: a whale, no crowd",
    )
    add(
        "--lives",
        action="store_true",
        help="print a row for each unbroken stay, which a move or leaving view ends",
    )
    add(
        "--top",
        type=at_least_1,
        default=20,
        metavar="N",
        help="print at most N rows, largest first (default: 20)",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    import polars as pl

    from l2vault.analytics.walls.tracks import tracks_of
    from l2vault.analytics.walls.walls import PERCENTILE, Criteria, walls

    criteria = Criteria(args.min_size, args.percentile or PERCENTILE, args.relative, args.per_order)
    result = walls(books, args.unit, criteria)
    ledger = result.frame
    rows = ledger if args.lives else tracks_of(ledger)
    if args.at is not None:
        rows = rows.filter(pl.col("end") == "standing")
    provenance = result.provenance
    text = heading(provenance)
    text += f"walls of {size(provenance.setting('threshold'))} and more\n\n"
    text += _table(rows.sort("peak", descending=True).head(args.top), books.end_ms - books.start_ms)
    if len(rows) > args.top:
        text += f"... and {len(rows) - args.top} smaller ones: --top, --json or --csv\n"
    return analysis.Answer(rows, provenance, text + _ends(ledger), _drawing(books, result))


def _table(rows: "pl.DataFrame", span_ms: int) -> str:
    names = (
        "side",
        "price",
        "from (UTC)",
        "to",
        "in view",
        "peak",
        "mean",
        "orders",
        "nearest bps",
        "began",
        "end",
        "filled",
    )
    lines = [
        (
            row["side"],
            figure(row["price"]),
            clock(row["t_from"], span_ms),
            clock(row["t_to"], span_ms),
            span_text(row.get("seen_ms", row["t_to"] - row["t_from"])),
            size(row["peak"]),
            size(row["mean"]),
            figure(row["orders"], 1),
            figure(row["nearest_bps"], 1),
            row["began"],
            row["end"],
            _filled_at_touch(row) if row["end"] == "consumed" else "-",
        )
        for row in rows.to_dicts()
    ]
    return table(names, lines, left=1)


def _filled_at_touch(row: dict[str, Any]) -> str:
    return share(row["filled_at_touch_share"]) + (" refilled" if row["refilled"] else "")


def _ends(ledger: "pl.DataFrame") -> str:
    """How all lives ended, how much of the removed size was pulled, and how sure that is."""
    import polars as pl

    ended = dict(ledger.group_by("end").agg(pl.len(), pl.col("size_end").sum()).rows_by_key("end"))
    counts = ", ".join(f"{ended[end][0][0]} {end} ({size(ended[end][0][1])})" for end in _ENDS if end in ended)
    pulled, consumed = (ended[end][0][1] if end in ended else 0.0 for end in ("pulled", "consumed"))
    pulled_share = share(pulled / (pulled + consumed)) if pulled + consumed else "-"
    lives = "1 life" if len(ledger) == 1 else f"{len(ledger)} lives"
    return f"\nends of {lives}: {counts or '-'}\n{_consumed(ledger, pulled_share)}"


def _consumed(ledger: "pl.DataFrame", pulled: str) -> str:
    """Books alone do not always show whether a wall was consumed or pulled in the last moment: of how many they do."""
    import polars as pl

    from l2vault.analytics.walls.ledger import FILLED_AT_TOUCH_SHARE

    consumed = ledger.filter(pl.col("end") == "consumed")
    filled = len(consumed.filter(pl.col("filled_at_touch_share") >= FILLED_AT_TOUCH_SHARE))
    return (
        f"cancelled share of removed wall size: {pulled}\n"
        f"half or more filled at the touch: {filled} of {len(consumed)} consumed; others may have been pulled there\n"
    )


def _drawing(books: "Books", result: "Result") -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        from l2vault.analytics.metrics import spread
        from l2vault.analytics.pictures import draw_walls

        draw_walls(result.frame, result.provenance, path, spread(books).frame)

    return draw
