"""`l2vault spread`: what crossing the book costs before any size, and what rests at the touch."""

import argparse
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.series import answer_of, configure_steps

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

HELP: Final = "measure the spread in price, basis points and ticks, mid and microprice, and what rests at the touch"
EXAMPLE: Final = "l2vault spread BTC-USDT-SWAP --last 2h --step 5m --show max"

_SHOWN: Final = ("spread", "spread_bps", "spread_ticks", "mid", "microprice", "bid_size", "ask_size")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    configure_steps(parser)


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer, is_instant=True)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.metrics import spread

    decimals = books.contract.tick_decimals
    shown = {"spread_bps": 3, "spread_ticks": 1, "microprice": decimals + 2, "bid_size": None, "ask_size": None}
    return answer_of(spread(books, args.unit), args, _SHOWN, lambda measure: shown.get(measure, decimals + 1))
