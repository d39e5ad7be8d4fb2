"""`l2vault spread`: what crossing the book costs before any size: spread, mid and microprice."""

import argparse
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.series import answer_of, configure_steps

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

HELP: Final = "tell the spread in price, basis points and ticks, the mid and the microprice"
EXAMPLE: Final = "l2vault spread BTC-USDT-SWAP --last 2h --step 5m --show max"

_SHOWN: Final = ("spread", "spread_bps", "spread_ticks", "mid", "microprice")


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    configure_steps(parser)


def run(args: argparse.Namespace) -> int:
    return analysis.run(args, _answer, is_instant=True)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.instant import spread

    decimals = books.contract.tick_decimals
    own = {"spread_bps": 3, "spread_ticks": 1, "microprice": decimals + 2, "mid": decimals + 1}
    return answer_of(spread(books), args, _SHOWN, lambda measure: own.get(measure, decimals + 1))
