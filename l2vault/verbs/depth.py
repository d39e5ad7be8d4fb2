"""`l2vault depth`: what rests near mid, how it is spread over levels and orders, and what an order would cost."""

import argparse
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.format import NONE, exact_share, size, span_text, table
from l2vault.verbs.series import answer_of, configure_steps
from l2vault.verbs.words import amounts, numbers

if TYPE_CHECKING:
    from l2vault.analytics.books import Books, Result
    from l2vault.analytics.provenance import Provenance

HELP: Final = "measure what rests within bands of mid, and what orders of several sizes would cost"
EXAMPLE: Final = "l2vault depth BTC-USDT-SWAP --at 2026-01-31T12:00Z --sizes 100k,1M"


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    configure_steps(parser)
    parser.add_argument(
        "--bands",
        type=numbers,
        metavar="BPS,BPS",
        help="distances from mid, in bps (default: 2,5,10,25; deep: to 200)",
    )
    parser.add_argument(
        "--sizes",
        type=amounts,
        metavar="SIZE,SIZE",
        help="sizes of orders, in quote currency (default: 10k,50k,100k,500k,1M,5M,10M)",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer, is_instant=True)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.metrics import SIZES, depth_and_slippage

    result = depth_and_slippage(books, args.unit, args.bands, args.sizes or SIZES)
    every = [name for name in result.frame.columns[2:] if not name.endswith(("_avg", "_worst", "_ms"))]
    every = [name for name in every if not name.startswith("rpi_")]  # they have a table of their own
    costs = [name for name in every if _is_cost(name)]
    chosen = costs + [name for name in every if name not in costs]
    if args.step is not None:  # a row has room for what was asked for, or the bands
        bands = [name for name in chosen if name not in costs and name.endswith("bps")]
        chosen = (costs if args.sizes else []) + (bands if args.bands or not args.sizes else [])
    unit = result.provenance.unit
    answer = answer_of(result, args, chosen, _decimals, lambda name: _label(name, unit))
    return answer._replace(text=answer.text + _far_words(result.provenance) + _rpi_table(result))


def _far_words(provenance: "Provenance") -> str:
    """Where bands beyond the levels seen come from, and how old that is; nothing where none were filled."""
    settings = provenance.settings
    if "deep_books" not in settings:
        return ""
    last, oldest = (span_text(round(provenance.setting(f"deep_{name}_ms"))) for name in ("last", "oldest"))
    archived = settings.get("deep_archive_books")
    if provenance.books == 1:
        source = "books-full" if archived is None else "the 5000 levels of OKX's archive"
        return f"\nbands beyond the levels seen are from {source}, {last} old\n"
    books = f"{round(provenance.setting('deep_books'))} of {provenance.books} books"
    if archived is not None:
        books += f" ({archived} of them from OKX's archive)"
    return f"\nbands beyond the levels seen are from books-full in {books}: {oldest} old at most, {last} at the last\n"


def _rpi_table(result: "Result") -> str:
    """RPI orders by band, with where they come from and how old that is; nothing where no sample stood."""
    provenance = result.provenance
    if "rpi_books" not in provenance.settings:
        return ""
    from l2vault.analytics.resample import summary

    names = [name for name in result.frame.columns if name.startswith("rpi_") and name != "rpi_age_ms"]
    mean = {row["measure"]: row["mean"] for row in summary(result.frame.select("t_from", "t_to", *names)).to_dicts()}
    bands = [name.removeprefix("rpi_bid_") for name in names if name.startswith("rpi_bid_") and name.endswith("bps")]
    rows = []
    for band in bands:
        found = [mean[f"rpi_{side}_{band}{end}"] for side in ("bid", "ask") for end in ("", "_share")]
        if any(value is not None for value in found):
            shares = [NONE if value is None else exact_share(value) for value in found[1::2]]
            rows.append((f"within {band}", size(found[0]), shares[0], size(found[2]), shares[1]))
    last, oldest = (span_text(round(provenance.setting(f"rpi_{name}_ms"))) for name in ("last", "oldest"))
    of = f"books-rpi, {last} old"
    if provenance.books > 1:
        books = f"{round(provenance.setting('rpi_books'))} of {provenance.books} books"
        of = f"mean; books-rpi in {books}: {oldest} old at most, {last} at the last"
    names = ["of mid", f"bid, {provenance.unit}", "share", f"ask, {provenance.unit}", "share"]
    return f"\nRPI orders, which are in no figure above ({of})\n\n{table(names, rows, left=1)}"


def _is_cost(measure: str) -> bool:
    return measure.startswith(("buy_", "sell_"))


def _label(measure: str, unit: str) -> str:
    """With its unit, unless its name says it."""
    own = _unit(measure, unit)
    return measure if own == "bps" else f"{measure}, {own}"


def _unit(measure: str, unit: str) -> str:
    if _is_cost(measure) or measure.endswith("_visible_bps"):
        return "bps"
    return "share" if measure.endswith("_hhi") else unit


def _decimals(measure: str) -> int | None:
    if measure.endswith("_hhi"):
        return 3
    return 2 if _unit(measure, "") == "bps" else None
