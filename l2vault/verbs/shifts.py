"""`l2vault shifts`: liquidity that came and went, window by window, and what was out of the ordinary."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import clock, figure, heading, size, table
from l2vault.verbs.words import at_least_1, duration, number, numbers

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books

HELP: Final = "measure what liquidity was added, pulled, consumed and moved, and which shifts were out of the ordinary"
EXAMPLE: Final = "l2vault shifts BTC-USDT-SWAP --last 2h --horizon 1m --alerts"

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
    add("--alert", type=number, default=3.0, metavar="Z", help="an alert is Z standard deviations off (default: 3)")
    add("--alerts", action="store_true", help="print the alerts alone")
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
    from l2vault.analytics.flow.liquidity_flow import shifts, totals

    result = shifts(books, args.unit, args.horizon, args.bands or BANDS_BPS, args.alert)
    rows, provenance = result.frame, result.provenance
    alerts = rows.filter("is_alert")

    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_shifts

        draw_shifts(rows, provenance, path)

    text = f"{heading(provenance)}\n{_totals(totals(rows))}\n"
    text += (
        f"{len(alerts)} alerts: windows of {args.horizon / 1000:g} s whose net flow is {args.alert:g} deviations off\n"
    )
    if len(alerts):
        text += "\n" + _table(_strongest(alerts).head(args.top), books.end_ms - books.start_ms)
    return analysis.Answer(alerts if args.alerts else rows, provenance, text, draw)


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
