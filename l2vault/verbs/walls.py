"""`l2vault walls`: the whales of the book: what stands now, and what became of the others."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault.book.utc import utc_text
from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import (
    NONE,
    clock,
    counted,
    figure,
    heading,
    share,
    size,
    span_text,
    table,
    times,
    too_few,
    with_cause,
)
from l2vault.verbs.rates import rests_on
from l2vault.verbs.words import at_least_1, number, stay

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books, Result
    from l2vault.analytics.provenance import Provenance

HELP: Final = "list whale walls: what stands now, since when, how large, and whether others were pulled or consumed"
EXAMPLE: Final = "l2vault walls BTC-USDT-SWAP --last 4h --standing"

_ENDS: Final = ("pulled", "moved", "consumed", "refilled", "unknown", "left view", "gap", "standing")
_CONSUMED: Final = ("consumed", "refilled")
_BY_TRADES: Final = ("pulled", "moved", "consumed", "refilled")
_ORDERS: Final = {
    "weight": "most size times time in sight first",
    "size": "largest first",
    "time": "longest in sight first",
    "near": "nearest to mid first",
}
_SORTS: Final = ("weight", "size", "time", "near")
_SECOND_MS: Final = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    add = parser.add_argument
    add("--standing", action="store_true", help="only walls that stand at the end of the span")
    add("--side", choices=("bid", "ask"), help="only walls of this side")
    add(
        "--sort",
        choices=_SORTS,
        help="by size times time in sight (weight, the default), size (the default of --lives), time in sight, or "
        "nearness to mid",
    )
    add("--min-life", type=stay, metavar="SPAN", help="least time in sight (default: 10s; of a size alone: none)")
    add(
        "--times-usual",
        type=number,
        metavar="K",
        help="least multiple of what is usual at a wall's distance from mid (default: 20)",
    )
    add("--min-size", type=number, metavar="SIZE", help="a wall is every level of this size, however short")
    add(
        "--percentile",
        type=number,
        metavar="P",
        help="a wall is every level that exceeds P %% of the span's level sizes (99.8 was the default before 0.2)",
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
    add("--top", type=at_least_1, default=20, metavar="N", help="print at most N rows (default: 20)")


def run(context: Context, args: argparse.Namespace) -> int:
    is_newest = analysis.is_of_newest(args)
    return analysis.run(context, args, partial(_answer, context.vault, is_newest))


def _answer(vault: Path, is_newest: bool, books: "Books", args: argparse.Namespace) -> analysis.Answer:
    import polars as pl

    from l2vault.analytics.walls.tracks import lives_sorted_by, sorted_by, tracks_of
    from l2vault.analytics.walls.walls import Criteria, walls

    criteria = Criteria(args.min_size, args.percentile, args.relative, args.per_order, args.times_usual, args.min_life)
    result = walls(books, args.unit, criteria)
    ledger, provenance = result.frame, result.provenance
    if args.side is not None:
        ledger = ledger.filter(pl.col("side") == args.side)
    last_mid = provenance.settings["last_mid"]
    last_mid = last_mid if isinstance(last_mid, float) else None
    tracks = tracks_of(ledger, last_mid)
    ranked = sorted_by(tracks, args.sort or "weight")
    standing = ranked.filter(pl.col("end") == "standing")
    is_now = args.standing or args.at is not None
    span_ms = books.end_ms - books.start_ms
    text = heading(provenance) + _what(provenance) + "\n" + _standing(standing, books, provenance, args.top, is_newest)
    if args.lives:
        shown = lives_sorted_by(ledger, args.sort or "size", last_mid)
        rows = ledger if args.sort is None else shown
    else:
        rows, shown = (tracks if args.sort is None and criteria.is_of_size_alone else ranked), ranked
    if is_now:
        rows = rows.filter(pl.col("end") == "standing")
    elif not len(shown):
        text += "nor was there one in the span\n"
    else:
        text += f"\n{_list_name(args, len(tracks))}\n{_table(shown.head(args.top), span_ms)}"
        if len(shown) > args.top:
            text += f"... and {len(shown) - args.top} more: --top, --json or --csv\n"
        text += _ends(ledger, books.trades is not None)
    text += "\n" + rests_on(vault, books.inst_id, "walls", criteria == Criteria())
    return analysis.Answer(rows, provenance, text, _drawing(books, result))


def _what(provenance: "Provenance") -> str:
    """What a wall is here, in a line."""
    from l2vault.analytics.tail import LEAST_LEVELS

    settings = provenance.settings
    text = f"a wall has {size(provenance.setting('threshold'))} or more"
    if "times_usual" in settings:
        text += f", {provenance.setting('times_usual'):g} times what is usual at its distance from mid"
    if "min_life_ms" in settings:
        text += f", and stood for {span_text(int(provenance.setting('min_life_ms')))} in sight"
    if "times_usual" in settings and provenance.setting("levels") < LEAST_LEVELS:
        few = too_few(round(provenance.setting("levels")), "level a book", "levels a book")
        text += f"\n{few} to tell a whale from chance: --min-size"
    return text + "\n"


def _standing(rows: "pl.DataFrame", books: "Books", provenance: "Provenance", top: int, is_newest: bool) -> str:
    """What stands at the end of the span, or why that is not known. It is `now` where that is the newest book."""
    span_ms = books.end_ms - books.start_ms
    when = "now" if is_newest else f"at {clock(books.end_ms, span_ms)} UTC"
    if provenance.behind_ms:
        known = "" if books.coverage is None else f": {with_cause(*books.coverage.at(books.end_ms - 1))}"
        until_ms = books.end_ms - provenance.behind_ms
        last = f"the last one stood until {clock(until_ms, span_ms)}. Try: --at {utc_text(until_ms - 1)}"
        return f"standing {when}: not known, no book is known then{known}; {last}\n"
    if not len(rows):
        return f"standing {when}: no whale in sight\n"
    return f"standing {when}\n{_standing_table(rows, top, span_ms)}"


def _standing_table(rows: "pl.DataFrame", top: int, span_ms: int) -> str:
    names = ("side", "price", "bps from mid", "size now", "orders", "in sight", "since (UTC)", "moved", "times usual")
    lines = [
        (
            row["side"],
            figure(row["price"]),
            figure(row["standing_bps"], 1),
            size(row["size_end"]),
            figure(row["orders"], 1),
            _in_sight(row["seen_ms"]),
            clock(row["t_from"], span_ms),
            times(row["moves"]) if row["moves"] else "never",
            figure(row["times_usual"], 0),
        )
        for row in rows.head(top).to_dicts()
    ]
    more = f"... and {len(rows) - top} more that stand: --top, --json or --csv\n" if len(rows) > top else ""
    return f"{table(names, lines, left=1)}{more}"


def _list_name(args: argparse.Namespace, count: int) -> str:
    if args.lives:
        return f"every life of a wall, {_ORDERS[args.sort or 'size']}"
    return f"{counted(count, 'wall')} of the span, {_ORDERS[args.sort or 'weight']}"


def _table(rows: "pl.DataFrame", span_ms: int) -> str:
    names = (
        "side",
        "price",
        "from (UTC)",
        "to",
        "in sight",
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
            _in_sight(row.get("seen_ms", row["t_to"] - row["t_from"])),
            size(row["peak"]),
            size(row["mean"]),
            figure(row["orders"], 1),
            figure(row["nearest_bps"], 1),
            row["began"],
            _end(row),
            _filled(row),
        )
        for row in rows.to_dicts()
    ]
    return table(names, lines, left=1)


def _in_sight(ms: int) -> str:
    """To whole seconds: no book is seen more often than that."""
    return span_text(ms if ms < _SECOND_MS else round(ms / _SECOND_MS) * _SECOND_MS)


def _end(row: dict[str, Any]) -> str:
    """Of an end that no trade tells the table says so, whether or not trades tell of another."""
    return f"{row['end']} (inferred)" if row["end_from"] == "inferred" else str(row["end"])


def _filled(row: dict[str, Any]) -> str:
    """Of what the wall lost, the share that was traded; without trades what it lost at the touch, over its peak."""
    if row["end_from"] == "trades":
        return share(row["consumed_share"]) if row["end"] in _BY_TRADES else NONE
    if row["end"] != "consumed":
        return NONE
    return share(row["filled_at_touch_share"]) + (" refilled" if row["refilled"] else "")


def _ends(ledger: "pl.DataFrame", are_trades_recorded: bool) -> str:
    """How all lives ended, how much of the removed size was pulled, and how sure that is."""
    import polars as pl

    ended = dict(ledger.group_by("end").agg(pl.len(), pl.col("size_end").sum()).rows_by_key("end"))
    counts = ", ".join(f"{ended[end][0][0]} {end} ({size(ended[end][0][1])})" for end in _ENDS if end in ended)
    text = f"\nends of {counted(len(ledger), 'life', 'lives')}: {counts or '-'}\n"
    return text + _cancelled_share(ledger) + _rests_on(ledger, are_trades_recorded)


def _cancelled_share(ledger: "pl.DataFrame") -> str:
    """How much of what left the walls was cancelled, and by what that is known. Where trades tell of any end, it is of
    those alone: `cancelled` over that and `traded`. Else it is inferred, as the ends are: at least what is inferred
    pulled, at most that and each wall inferred consumed that no book shows being filled.

    A wall that moved is not gone; of one whose end is unknown nobody knows how much was cancelled."""
    import polars as pl

    from l2vault.analytics.walls.ledger import FILLED_AT_TOUCH_SHARE

    gone = ledger.filter(pl.col("end").is_in(["pulled", *_CONSUMED]))
    name = "cancelled share of removed wall size"
    told = gone.filter(pl.col("end_from") == "trades")
    cancelled, traded = (float(told[column].sum()) for column in ("cancelled", "traded"))
    if cancelled + traded:
        figures = f"{size(traded).strip()} traded, {size(cancelled).strip()} cancelled"
        of = counted(len(gone), "wall that went", "walls that went")
        return f"{name}: {share(cancelled / (cancelled + traded))}, by the trades ({len(told)} of {of}: {figures})\n"
    removed = float(gone["size_end"].sum())
    if not removed:
        return ""
    is_shown = (pl.col("end") != "pulled") & (pl.col("filled_at_touch_share") >= FILLED_AT_TOUCH_SHARE)
    least, most = (
        share(float(gone.filter(own)["size_end"].sum()) / removed) for own in (pl.col("end") == "pulled", ~is_shown)
    )
    figures = least if least == most else f"{least.removesuffix(' %')} to {most}"
    return f"{name}: {figures}, inferred from the books: no trade says what was cancelled\n"


def _rests_on(ledger: "pl.DataFrame", are_trades_recorded: bool) -> str:
    """By what it is told apart whether a wall was consumed or pulled. Books alone do not always show that: of how many
    they do."""
    import polars as pl

    from l2vault.analytics.walls.ledger import FILLED_AT_TOUCH_SHARE

    told, inferred = (ledger.filter(pl.col("end_from") == each) for each in ("trades", "inferred"))
    text = ""
    if len(told):
        unknown = len(told.filter(pl.col("end") == "unknown"))
        holes = f"; {unknown} unknown: a hole in the trades, see: l2vault coverage --kind trades" if unknown else ""
        text += f"{counted(len(told), 'end')} by the trades at the price{holes}\n"
    if len(inferred):
        why = "then" if are_trades_recorded else "here"
        text += f"{counted(len(inferred), 'end')} inferred from the books: no trades were recorded {why}\n"
    consumed = inferred.filter(pl.col("end") == "consumed")
    if len(consumed):
        filled = len(consumed.filter(pl.col("filled_at_touch_share") >= FILLED_AT_TOUCH_SHARE))
        of = f"{len(consumed)} inferred consumed"
        text += f"half or more filled at the touch: {filled} of {of}; others may have been pulled there\n"
    return text


def _drawing(books: "Books", result: "Result") -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        from l2vault.analytics.metrics import spread
        from l2vault.analytics.pictures import draw_walls

        draw_walls(result.frame, result.provenance, path, spread(books).frame)

    return draw
