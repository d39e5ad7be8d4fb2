"""`l2vault flow`: what takers bought and sold, what came to the book and left it, and what both did to the price."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from l2vault.book.utc import DAY_MS
from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import (
    NONE,
    clock,
    counted,
    exact_share,
    figure,
    heading,
    length_text,
    share,
    size,
    table,
    too_few,
)
from l2vault.verbs.words import at_least_1, duration, number, numbers

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books
    from l2vault.analytics.provenance import Provenance

HELP: Final = (
    "measure signed volume, large orders, order-flow imbalance, VPIN, price impact and resilience, step by step"
)
EXAMPLE: Final = "l2vault flow BTC-USDT-SWAP --last 1h --step 1m"

_SHOWN_LARGE: Final = 5
_DRAWN: Final = ("mid", "net_usd", "cum_usd", "ofi_touch_usd", "vpin", "basis_bps", "open_interest_contracts")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    add = parser.add_argument
    add("--step", type=duration, default=60_000, metavar="SPAN", help="length of each step (default: 1m)")
    add(
        "--bands",
        type=numbers,
        metavar="BPS,BPS",
        help="order-flow imbalance within these distances from mid, in bps, beside that of the touch (default: 2,5)",
    )
    add(
        "--large",
        type=number,
        metavar="SIZE",
        help="an order is large from this notional on (default: what 99 %% of the span's orders are below)",
    )
    add(
        "--bucket",
        type=number,
        metavar="CONTRACTS",
        help="volume of a bucket of VPIN (default: 1/50 of a day's; of a span shorter than a day 1/100 of "
        "its longest part without a hole in the trades)",
    )
    add("--top", type=at_least_1, default=60, metavar="N", help="print at most the last N steps (default: 60)")


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.flow.flow import BANDS, Ask, flow

    result = flow(books, Ask(args.step, args.bands or BANDS, args.large, args.bucket))
    rows, provenance = result.frame, result.provenance
    settings = provenance.settings
    span_ms = books.end_ms - books.start_ms
    text = heading(provenance) + _trades_line(rows, provenance)
    shown = rows.tail(args.top)
    text += f"\nsteps of {length_text(args.step)}\n{_table(shown, span_ms, args.bands or BANDS)}"
    if len(shown) < len(rows):
        text += f"... and {len(rows) - len(shown)} before them: --top, --json or --csv\n"
    text += _imbalance_line(rows)
    if settings["are_trades_recorded"]:
        text += f"\n{_large(settings, span_ms)}\n{_impact(settings, rows)}"
    text += _context_line(rows)

    def draw(path: Path) -> None:
        from l2vault.analytics.books import standing_times
        from l2vault.analytics.pictures import Steps, draw_series

        unproved = rows.filter(rows["proved_share"] < 1)
        steps = Steps(f"steps of {length_text(args.step)}", standing_times(books), unproved)
        draw_series(rows, _DRAWN, provenance, path, steps)

    return analysis.Answer(rows, provenance, text, draw)


def _trades_line(rows: "pl.DataFrame", provenance: "Provenance") -> str:
    """What was bought and sold in the span, and how much of it is proved."""
    if not provenance.settings["are_trades_recorded"]:
        return (
            "no trades were recorded in this span: no signed volume, VPIN, price impact and resilience.\n"
            f"Try: l2vault record, with trades = true; l2vault coverage {provenance.inst_id} --kind trades, for what"
            " there is\n"
        )
    bought, sold, net, matches = (
        float(rows[name].sum()) for name in ("buy_usd", "sell_usd", "net_contracts", "trades")
    )
    proved = provenance.setting("proved_share")
    archive = provenance.settings.get("archive_share")
    archived = f", {exact_share(archive)} by OKX's archive" if isinstance(archive, float) else ""
    holes = "" if proved == 1 else f"; see: l2vault coverage {provenance.inst_id} --kind trades"
    return (
        f"{matches:,.0f} trades: bought {size(bought).strip()}, sold {size(sold).strip()}, "
        f"net {_signed(bought - sold)} {provenance.unit} ({_signed(net)} contracts)\n"
        f"trades proved for {exact_share(proved)} of the span{archived}{holes}\n"
    )


def _table(rows: "pl.DataFrame", span_ms: int, bands: Sequence[float]) -> str:
    from l2vault.analytics.flow.order_flow_imbalance import ofi_name

    widest = ofi_name(max(bands))
    names: Sequence[str] = (
        "from (UTC)",
        "mid",
        "move bps",
        "bought",
        "sold",
        "net",
        "cum. delta",
        "large",
        "OFI touch",
    )
    names = (*names, f"OFI {max(bands):g} bps", "VPIN", "bps per M", "basis bps", "open interest")
    lines = [
        (
            clock(row["t_from"], span_ms),
            figure(row["mid"]),
            figure(row["mid_change_bps"], 1),
            size(row["buy_usd"]),
            size(row["sell_usd"]),
            *(_signed(row[name]) for name in ("net_usd", "cum_usd")),
            NONE if row["large_orders"] is None else str(row["large_orders"]),
            *(_signed(row[name]) for name in ("ofi_touch_usd", widest)),
            figure(row["vpin"], 2),
            figure(row["lambda_bps_per_musd"], 2),
            figure(row["basis_bps"], 1),
            size(row["open_interest_usd"]),
        )
        for row in rows.to_dicts()
    ]
    is_empty = [all(line[at] == NONE for line in lines) for at in range(len(names))]
    kept = [at for at, empty in enumerate(is_empty) if not empty or not at]
    return table([names[at] for at in kept], [[line[at] for at in kept] for line in lines], left=1)


def _imbalance_line(rows: "pl.DataFrame") -> str:
    found = rows["ofi_from"].drop_nulls().to_list()
    exact = found.count("changes")
    if exact == len(found):
        return "OFI: exact, from every change of the book\n" if found else ""
    if not exact:
        return "OFI: net of what happened between two recorded books (exact with: l2vault record --changes)\n"
    return f"OFI: exact in {exact} of {len(found)} steps; in the others the net between two recorded books\n"


def _large(settings: Mapping[str, Any], span_ms: int) -> str:
    least, largest = settings["large_usd"], settings["largest"]
    if least is None:
        few = too_few(settings["orders"], "order of takers", "orders of takers")
        return f"{few} to call any large: --large SIZE\n"
    if not largest:
        return f"no order of a taker was worth {size(least).strip()} or more\n"
    lines = [
        (
            row["at_utc"][11:23] if span_ms <= DAY_MS else row["at_utc"][5:19].replace("T", " "),
            row["side"],
            figure(row["price_first"]),
            figure(row["price_last"]),
            size(row["contracts"]),
            size(row["usd"]),
        )
        for row in largest[:_SHOWN_LARGE]
    ]
    head = f"largest orders of takers (large: {size(least).strip()} or more)\n"
    return head + table(("at (UTC)", "side", "first price", "last price", "contracts", "worth"), lines, left=2)


def _impact(settings: Mapping[str, Any], rows: "pl.DataFrame") -> str:
    text = ""
    if "lambda_bps_per_musd" in settings:
        value, error = settings["lambda_bps_per_musd"], settings["lambda_error"]
        text += f"price impact (Kyle's lambda): {value:.3g} bps per million net, standard error {error:.2g}, "
        text += f"{settings['lambda_moves']:,} moves from book to book\n"
    else:
        text += "price impact (Kyle's lambda): fewer than 10 moves between two books with all trades known\n"
    if not rows["vpin"].count():
        volume = size(settings["bucket_contracts"]).strip()
        text += f"VPIN: no {settings['buckets']} buckets of {volume} contracts without a hole in the trades; --bucket\n"
    found = settings["resilience"]
    for name, events in (("hits", "depth hit by takers"), ("withdrawals", "as much withdrawn")):
        text += f"{events}: {_recovery(found[name])}\n"
    if found["hits"]["events"] or found["withdrawals"]["events"]:
        text += "  100 %: all that had gone within 5 bps of mid; above: more came than had gone; below 0: more went\n"
    return text


def _recovery(found: Mapping[str, Any]) -> str:
    if not found["events"]:
        return "never in this span"
    back = ", ".join(
        f"{share(found[f'recovered_{sec}s_share'])} after {sec} s"
        for sec in (2, 10, 60)
        if found[f"recovered_{sec}s_share"] is not None
    )
    half = found["half_life_sec"]
    text = f"{counted(found['events'], 'time')}; back: {back or 'not seen'}"
    if half is None:
        return text
    end = share(found["recovered_in_the_end_share"])
    return f"{text}; a curve fitted to it levels off at {end}, half of that after {half:.1f} s"


def _context_line(rows: "pl.DataFrame") -> str:
    """The last values, where any were recorded."""
    last = {name: rows[name].drop_nulls() for name in ("mark", "index", "funding_rate", "open_interest_contracts")}
    if not any(len(values) for values in last.values()):
        return "no context was recorded in this span: no basis, funding and open interest (l2vault record)\n"
    parts = []
    if len(last["mark"]) and len(last["index"]):
        mark, index = last["mark"][-1], last["index"][-1]
        parts.append(f"mark {figure(mark)}, index {figure(index)}")
    if len(last["funding_rate"]):
        parts.append(f"funding {100 * last['funding_rate'][-1]:.4f} %")
    interest = last["open_interest_contracts"]
    if len(interest):
        change = interest[-1] - interest[0]
        parts.append(f"open interest {size(interest[-1]).strip()} contracts ({_signed(change)} over the steps)")
    return f"at the end: {'; '.join(parts)}\n"


def _signed(value: float | None) -> str:
    """With its sign, as what comes and what goes are compared."""
    if value is None:
        return NONE
    text = size(value).strip()
    return f"+{text}" if value > 0 else text
