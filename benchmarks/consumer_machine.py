"""Run in nautilus_trader's own environment by `consumers.py`: its Tardis Machine client on `l2vault replay`, and its
books at the times of a question. Prints one line of JSON: for each time the bids and asks, quantity by price.
"""

import asyncio
import datetime as dt
import json
import sys
from collections import Counter
from pathlib import Path

from nautilus_trader.adapters.tardis.common import create_replay_normalized_request_options
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDeltas, capsule_to_data
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId


def main(path: str) -> None:
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    name = f"{question['inst_id']}.OKEX"
    precisions = (len(question[key].partition(".")[2]) for key in ("tick_size", "lot_size"))
    of_rust = nautilus_pyo3.InstrumentId.from_str(name)
    info = nautilus_pyo3.TardisInstrumentMiniInfo(of_rust, question["inst_id"], "okex-swap", *precisions)
    days = [dt.date.fromisoformat(question[key]) for key in ("first_day", "day_after")]
    found, bars = asyncio.run(_replayed(question, info, days))
    kinds = Counter(type(each).__name__ for each in found)
    assert kinds["TradeTick"] == question["trades"], (kinds, question["trades"])
    assert kinds["QuoteTick"] and kinds["FundingRateUpdate"] and bars, kinds
    inst_id = InstrumentId.from_str(name)
    deltas = [each for each in found if isinstance(each, OrderBookDeltas)]
    book, at, books = OrderBook(inst_id, BookType.L2_MBP), 0, []
    for ns in question["times_ns"]:
        while at < len(deltas) and deltas[at].ts_init <= ns:
            book.apply_deltas(deltas[at])
            at += 1
        books.append([_by_price(side) for side in (book.bids(), book.asks())])
    print(json.dumps(books))


async def _replayed(question, info, days):
    """What the client made of its data, and of its bars."""
    client = nautilus_pyo3.TardisMachineClient(question["url"], True)
    found = []

    def take(message):
        is_rate = isinstance(message, nautilus_pyo3.FundingRateUpdate)
        found.append(message if is_rate else capsule_to_data(message))

    def options(types):
        return [create_replay_normalized_request_options("okex-swap", [question["inst_id"]], *days, types)]

    await client.replay([info], options(question["types"]), take)
    return found, await client.replay_bars([info], options(["trade_bar_10s"]))


def _by_price(levels):
    """Its sizes are exact; as floats, large ones have an error behind the last decimal."""
    return {str(level.price): round(level.size(), 9) for level in levels}


main(sys.argv[1])
