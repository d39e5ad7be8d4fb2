"""`l2vault imbalance`: which side has more resting, near the touch and within bands of mid."""

import argparse
from typing import TYPE_CHECKING, Final

from l2vault.verbs import analysis
from l2vault.verbs.context import Context
from l2vault.verbs.series import answer_of, configure_steps
from l2vault.verbs.words import counts, numbers

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

HELP: Final = "measure which side has more resting: (bids - asks) / (bids + asks)"
EXAMPLE: Final = "l2vault imbalance BTC-USDT-SWAP --levels 10 --bands 5 --step 1m"

_DECIMALS: Final = 3


def configure(parser: argparse.ArgumentParser) -> None:
    analysis.configure(parser)
    analysis.configure_unit(parser)
    configure_steps(parser)
    parser.add_argument(
        "--levels", type=counts, metavar="N,N", help="numbers of best levels a side (default: 1,5,10,50)"
    )
    parser.add_argument(
        "--bands", type=numbers, metavar="BPS,BPS", help="distances from mid, in bps (default: 2,5,10,25)"
    )


def run(context: Context, args: argparse.Namespace) -> int:
    return analysis.run(context, args, _answer, is_instant=True)


def _answer(books: "Books", args: argparse.Namespace) -> analysis.Answer:
    from l2vault.analytics.book_matrix import BANDS_BPS
    from l2vault.analytics.metrics import LEVELS, imbalance

    result = imbalance(books, args.unit, args.levels or LEVELS, args.bands or BANDS_BPS)
    return answer_of(result, args, result.frame.columns[2:], lambda measure: _DECIMALS)
