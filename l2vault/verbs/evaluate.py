"""`l2vault evaluate`: whether walls and zones hold, and imbalance and flow know the next move, more than by chance."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault import grammar
from l2vault.book.utc import DAY_MS
from l2vault.errors import UsageError
from l2vault.foreign import printable, quoted
from l2vault.verbs import analysis, rates
from l2vault.verbs.context import Context
from l2vault.verbs.format import NONE, counted, figure, heading, length_text, table
from l2vault.verbs.words import duration, number

if TYPE_CHECKING:
    from l2vault.analytics.books import Books
    from l2vault.analytics.provenance import Provenance

HELP: Final = "test walls, zones, imbalance or flow against chance, on your own recording"
EXAMPLE: Final = "l2vault evaluate walls BTC-USDT-SWAP"

MEASURES: Final = ("walls", "zones", "imbalance", "flow")
_ALL: Final = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "measure",
        nargs="?",
        default=_ALL,
        metavar="MEASURE",
        help="what to test: walls, zones, imbalance, flow, or all (the default), of which q is over all questions",
    )
    analysis.configure_reading(parser, "all that the vault holds")
    add = parser.add_argument
    add(
        "--window",
        type=duration,
        default=600_000,
        metavar="SPAN",
        help="walls and zones are found in one window and tested in the next; it divides the hour (default: 10m)",
    )
    add(
        "--turn",
        type=number,
        metavar="BPS",
        help="a level holds if price turns by so much (default: a fifth of its range in a window)",
    )
    add("--seed", type=int, default=0, metavar="N", help="of what is drawn by chance (default: 0)")
    add("--no-keep", action="store_true", help="do not keep the rates in the vault for walls and zones to show")


def run(context: Context, args: argparse.Namespace) -> int:
    args.measure, args.inst_ids = _measure_and_instrument(args.measure, args.inst_ids)
    answer = partial(_answer, context.vault)
    return analysis.run(context, args, answer, last_ms=grammar.LONGEST_DURATION_MS)


def _measure_and_instrument(measure: str, inst_id: str | None) -> tuple[str, object]:
    """The two words in either order, and the instrument alone: a name of OKX's has a hyphen, and no measure has."""
    known = (*MEASURES, _ALL)
    if measure.lower() in known:
        return measure.lower(), inst_id
    if inst_id is not None and inst_id.lower() in known:
        return inst_id.lower(), measure
    if "-" not in measure:
        raise UsageError(f"{quoted(measure, 64)} is no measure.", f"one of {', '.join(known)}")
    return _ALL, [measure, *([] if inst_id is None else [inst_id])]


def _answer(vault: Path, books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.chance.evaluate import MEASURES as EVERY
    from l2vault.analytics.chance.evaluate import Ask, evaluate

    asked = EVERY if args.measure == _ALL else tuple(name for name in EVERY if name == args.measure)
    result = evaluate(books, asked, Ask(args.window, args.turn, seed=args.seed))
    rows, provenance = result.frame.to_dicts(), result.provenance
    is_of_all = args.start is None and args.end is None and args.last is None and args.at is None
    if is_of_all and not args.no_keep:
        try:
            rates.keep(vault, result)
        except OSError as error:
            sys.stderr.write(f"not kept for walls and zones to show: {printable(error)}\n")
    text = heading(provenance) + _rules(rows, provenance) + "\n" + _table(rows) + "\n" + _verdict(rows, provenance)
    return analysis.Answer(result.frame, provenance, text)


def _rules(rows: list[dict[str, Any]], provenance: "Provenance") -> str:
    """What is asked and how chance is drawn, in a few lines."""
    settings = provenance.settings
    asked = {row["measure"] for row in rows}
    text = ""
    if asked & {"walls", "zones"}:
        window = length_text(provenance.setting("window_ms"))
        text += f"{_names(asked, 'walls', 'zones')}: found in a window of {window}, tested in the next, "
        text += f"{_counts(provenance)}\n"
        if "turn_bps" in settings:
            near, turn = figure(provenance.setting("near_bps"), 2), figure(provenance.setting("turn_bps"), 2)
            text += f"  held: price came within {near} bps and turned by {turn} bps before it went through by as much\n"
        text += "  by chance: the same levels, as far from mid, in windows of like volatility\n"
    if "walls" in asked:
        text += f"  pulled: of the walls of the span that ended in sight, {_pulled(rows)}\n"
    block = length_text(provenance.setting("least_shift_ms"))
    if asked & {"imbalance", "flow"}:
        text += f"{_names(asked, 'imbalance', 'flow')}: the next move of mid had the sign of the signal\n"
        text += f"  by chance: the same signal, shifted in time by {block} or more\n"
    few = "" if provenance.setting("block_ms") >= DAY_MS else ", since the span has fewer than 5 days"
    return f"{text}95 %: blocks of {length_text(provenance.setting('block_ms'))} drawn as a whole{few}\n"


def _pulled(rows: list[dict[str, Any]]) -> str:
    if any(row["end_from"] == "trades" for row in rows):
        return "those that were cancelled and not traded, as the trades tell it"
    return "those that seem cancelled: inferred from the books, no trades were recorded in this span"


def _names(asked: set[str], *names: str) -> str:
    return ", ".join(name for name in names if name in asked)


def _counts(provenance: "Provenance") -> str:
    parts = [
        f"{counted(int(provenance.setting(f'{kind}_levels')), kind[:-1])} in "
        f"{counted(int(provenance.setting(f'{kind}_windows')), 'window')}"
        for kind in ("walls", "zones")
        if f"{kind}_levels" in provenance.settings
    ]
    return ", ".join(parts)


def _table(rows: list[dict[str, Any]]) -> str:
    names = ("question", "events", "open", "rate", "95 %", "by chance", "lift", "p", "q", "to break", "")
    lines = [
        (
            _question(row),
            str(row["events"]),
            str(row["open"]),
            _share(row["rate"]),
            NONE if row["low"] is None else f"{_share(row['low'], '')} to {_share(row['high'])}",
            _share(row["chance"]),
            figure(row["lift"], 2),
            figure(row["p"], 3),
            figure(row["q"], 3),
            _took(row),
            f"too little: {row['missing']}" if row["missing"] else "edge" if row["is_edge"] else "",
        )
        for row in rows
    ]
    widest = max(len(line[-1]) for line in lines)  # a note is flush left
    return table(names, [(*line[:-1], line[-1].ljust(widest)) for line in lines], left=1)


def _question(row: dict[str, Any]) -> str:
    if row["what"] == "hit":
        return f"{row['measure']} {row['signal']}, next {length_text(row['horizon_ms'])}"
    side = {"bid": ", bids", "ask": ", asks"}.get(row["side"], "")
    inferred = " (inferred)" if row["end_from"] == "inferred" else ""
    return f"{row['measure']} {row['what']}{side}{inferred}"


def _share(value: float | None, unit: str = " %") -> str:
    return NONE if value is None else f"{100 * value:.1f}{unit}"


def _took(row: dict[str, Any]) -> str:
    if row["median_ms"] is None:
        return NONE
    chance = row["chance_median_ms"]
    beside = "" if chance is None else f" ({length_text(round(chance / 1000) * 1000)})"
    return f"{length_text(round(row['median_ms'] / 1000) * 1000)}{beside}"


def _verdict(rows: list[dict[str, Any]], provenance: "Provenance") -> str:
    told = [row for row in rows if row["q"] is not None]
    edges = [row for row in told if row["is_edge"]]
    if edges:
        names = "; ".join(f"{_question(row)} (q = {row['q']:.2g})" for row in edges)
        return f"more than chance: {names}\nthat is no profit yet: fees, spread and your own orders are not in it\n"
    if told:
        return f"no edge measured: of {counted(len(told), 'rate')} none is above chance with a q below 0.05\n"
    start_ms, end_ms = provenance.span_ms
    if provenance.covered_share < provenance.setting("least_covered_share"):
        return "nothing can be told: less than 99 % of the span is covered\n"
    return f"nothing can be told: {_why_nothing(rows, length_text(end_ms - start_ms))}\n"


def _why_nothing(rows: list[dict[str, Any]], span: str) -> str:
    """A span may be too short, or long enough and hold too little of what was asked for."""
    from l2vault.analytics.chance.evaluate import FEW_SHIFTS, FEW_TRADES, FEW_WINDOWS, NO_TRADES

    missing = [row["missing"] or "" for row in rows]
    if any(FEW_WINDOWS in each or FEW_SHIFTS in each for each in missing):
        return f"{span} is too short a span"
    if all(NO_TRADES in each for each in missing):
        return NO_TRADES
    if all(FEW_TRADES in each for each in missing):
        return "trades are proved for less than 99 % of the span; see: l2vault coverage --kind trades"
    return f"{span} held too few events"
