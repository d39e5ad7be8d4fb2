"""Run in hftbacktest's own environment by `consumers.py`: its books, by its engine, at the times of a question.

Of its own format the files as they are; of Tardis CSV what its converter makes of them. Prints one line of JSON: for
each time the bids and asks, quantity by price.
"""

import json
import sys
from pathlib import Path

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data import validate_event_order
from hftbacktest.data.utils import tardis
from numba import njit

_BUY = 1 << 29
_ROWS = 2_000_000


@njit
def _books(hbt, now, times, out, counts):
    """The levels of each time, behind each other. The engine begins at `now`, which it does not say yet."""
    at = 0
    for number in range(len(times)):
        wait = times[number] - now
        now = times[number]
        if wait > 0 and hbt.elapse(wait) != 0:
            return -number
        depth = hbt.depth(0)
        found = depth.snapshot()
        for row in found:
            out[at]["ev"] = row["ev"]
            out[at]["px"] = row["px"]
            out[at]["qty"] = row["qty"]
            at += 1
        counts[number] = len(found)
        depth.snapshot_free(found)
    return at


def main(path: str) -> None:
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    arrays = list(_arrays(question))
    for array in arrays:
        validate_event_order(array)
    tick = float(question["tick_size"])
    asset = (
        BacktestAsset()
        .data(arrays)
        .linear_asset(question["contract_size"])
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(tick)
        .lot_size(float(question["lot_size"]))
    )
    hbt = HashMapMarketDepthBacktest([asset])
    times = np.array(question["times_ns"], np.int64)
    out = np.zeros(1000 * len(times), arrays[0].dtype)
    counts = np.zeros(len(times), np.int64)
    done = _books(hbt, int(arrays[0]["exch_ts"][0]), times, out, counts)
    assert done > 0, f"the data ended at the time number {-done} of {len(times)}"
    decimals = len(question["tick_size"].partition(".")[2])
    books, at = [], 0
    for count in counts.tolist():
        sides = {}, {}
        for row in out[at : at + count]:
            sides[0 if row["ev"] & _BUY else 1][f"{row['px']:.{decimals}f}"] = float(row["qty"])
        books.append(sides)
        at += count
    print(json.dumps(books))


def _arrays(question):
    folder = Path(question["folder"])
    if question["form"] == "hftbacktest":
        for path in sorted(folder.glob("*.npz")):
            yield np.load(path)["data"]
        return
    for book in sorted(folder.glob("*incremental_book_L2*")):
        trades = book.with_name(book.name.replace("incremental_book_L2", "trades"))
        files = [str(each) for each in (trades, book) if each.exists()]
        yield tardis.convert(files, buffer_size=_ROWS, ss_buffer_size=10_000)


main(sys.argv[1])
