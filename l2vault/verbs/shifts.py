"""`l2vault shifts`: liquidity that came and went, window by window, and what was out of the ordinary."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import clock, counted, figure, heading, length_text, size, table, times, too_few
from l2vault.verbs.words import at_least_1, duration, number, numbers

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books
    from l2vault.analytics.provenance import Provenance

HELP: Final = "measure what liquidity was added, pulled, consumed and moved, and which shifts were out of the ordinary"
EXAMPLE: Final = "l2vault shifts BTC-USDT-SWAP --last 2h --horizon 1m --alerts"

_SHOWN: Final = 5
_FLOWS: Final = ("added", "pulled", "consumed", "moved_in", "moved_out", "entered_view", "left_view", "net")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    add = parser.add_argument
    add("--horizon", type=duration, default=60_000, metavar="SPAN", help="length of each window (default: 1m)")
    add(
        "--bands",
        type=numbers,
        metavar="BPS,BPS",
        help="limits of the bands: distances from mid, in bps (default: 2,5,10,25)",
    )
    add(
        "--alert",
        type=number,
        metavar="Z",
        help="an alert is Z standard deviations off, however many windows there are",
    )
    add(
        "--false-alarms",
        type=number,
        default=1.0,
        metavar="N",
        help="without --alert: an alert is what chance gives so often a day (default: 1)",
    )
    add("--alerts", action="store_true", help="print the alerts alone, and no totals")
    add(
        "--top",
        type=at_least_1,
        default=20,
        metavar="N",
        help="print at most N alerts, strongest first (default: 20)",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.book_matrix import BANDS_BPS
    from l2vault.analytics.flow.liquidity_flow import net_by_window, shifts, totals

    result = shifts(books, args.unit, args.horizon, args.bands or BANDS_BPS, args.alert, args.false_alarms)
    rows, provenance = result.frame, result.provenance
    alerts = rows.filter("is_alert")

    def draw(path: Path) -> None:
        from l2vault.analytics.books import standing_times
        from l2vault.analytics.pictures import draw_shifts

        draw_shifts(rows, provenance, path, standing_times(books))

    span_ms = books.end_ms - books.start_ms
    text = heading(provenance)
    if not args.alerts:
        text += f"\n{_totals(totals(rows))}\n"
        length = length_text(args.horizon)
        text += f"most net flow in {length}: what came less what went, over all bands that were seen\n"
        text += _net_table(net_by_window(rows).head(_SHOWN), span_ms) + "\n"
    text += _verdict(rows, len(alerts), args, provenance)
    if len(alerts):
        text += "\n" + _table(_strongest(alerts).head(args.top), span_ms)
    return analysis.Answer(alerts if args.alerts else rows, provenance, text, draw)


def _verdict(rows: "pl.DataFrame", alerts: int, args: argparse.Namespace, provenance: "Provenance") -> str:
    """How many alerts, by what rule; or that nothing could be told."""
    from l2vault.analytics.flow.liquidity_flow import LEAST_HISTORY

    windows, horizon = int(provenance.setting("windows")), length_text(args.horizon)
    if not rows["z"].count():
        why = "in no band were there 10 that saw it whole" if windows >= LEAST_HISTORY else "10 are needed"
        few = too_few(windows, f"window of {horizon}", f"windows of {horizon}")
        return f"alerts: {few} to tell what is out of the ordinary; {why}\n"
    limit = provenance.settings["alert_z"]
    by_chance = f"what chance gives {times(args.false_alarms)} a day"
    if limit is None:
        few = too_few(windows, f"window of {horizon}", f"windows of {horizon}")
        return f"alerts: {few} to tell {by_chance}. Try: a longer span, or --alert 10\n"
    z = f"{limit:.1f} deviations off"
    rule = f"z of --alert {args.alert:g}" if args.alert else by_chance
    return f"{counted(alerts, 'alert')}: windows of {horizon} whose net flow in a band is {z} ({rule})\n"


def _net_table(windows: "pl.DataFrame", span_ms: int) -> str:
    lines = [(clock(row["t_from"], span_ms), size(row["bid_net"]), size(row["ask_net"])) for row in windows.to_dicts()]
    return table(("from (UTC)", "bids", "asks"), lines, left=1)


def _strongest(alerts: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    return alerts.sort(pl.col("z").abs(), descending=True)


def _totals(rows: "pl.DataFrame") -> str:
    lines = [(row["side"], *(size(row[name]) for name in _FLOWS)) for row in rows.to_dicts()]
    return table(("side", *_FLOWS), lines, left=1)


def _table(rows: "pl.DataFrame", span_ms: int) -> str:
    lines = [
        (
            clock(row["t_from"], span_ms),
            row["side"],
            row["band"],
            *(size(row[name]) for name in _FLOWS),
            figure(row["z"], 1),
        )
        for row in rows.to_dicts()
    ]
    return table(("from (UTC)", "side", "bps", *_FLOWS, "z"), lines, left=2)
