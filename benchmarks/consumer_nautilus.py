"""Run in nautilus_trader's own environment by `consumers.py`: its books at the times of a question, from its catalogue
or by its Tardis loader. Prints one line of JSON: for each time the bids and asks, quantity by price.
"""

import json
import sys
from pathlib import Path

from nautilus_trader.adapters.tardis.loaders import TardisCSVDataLoader
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDelta, TradeTick
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.catalog import ParquetDataCatalog


def main(path: str) -> None:
    question = json.loads(Path(path).read_text(encoding="utf-8"))
    inst_id = InstrumentId.from_str(f"{question['inst_id']}.OKX")
    deltas = list(_deltas(question, inst_id))
    assert all(one.ts_init <= other.ts_init for one, other in zip(deltas, deltas[1:], strict=False))
    book, at, books = OrderBook(inst_id, BookType.L2_MBP), 0, []
    for ns in question["times_ns"]:
        while at < len(deltas) and deltas[at].ts_init <= ns:
            book.apply_delta(deltas[at])
            at += 1
        books.append([_by_price(side) for side in (book.bids(), book.asks())])
    print(json.dumps(books))


def _deltas(question, inst_id):
    folder = Path(question["folder"])
    if question["form"] == "nautilus":
        catalog = ParquetDataCatalog(str(folder))
        (instrument,) = catalog.instruments()
        assert str(instrument.price_increment) == question["tick_size"], instrument
        assert float(instrument.multiplier) == question["contract_size"], instrument
        trades = catalog.query(TradeTick, identifiers=[str(inst_id)])
        label = json.loads((folder / "coverage.json").read_text(encoding="utf-8"))
        assert len(trades) == label["trades"]["rows"] > 0, len(trades)
        yield from catalog.query(OrderBookDelta, identifiers=[str(inst_id)])
        return
    for path in sorted(folder.glob("*incremental_book_L2*")):
        yield from TardisCSVDataLoader(instrument_id=inst_id).load_deltas(path)
    for path in sorted(folder.glob("*_trades_*")):
        assert TardisCSVDataLoader(instrument_id=inst_id).load_trades(path)


def _by_price(levels):
    """Its sizes are exact; as floats, large ones have an error behind the last decimal."""
    return {str(level.price): round(level.size(), 9) for level in levels}


main(sys.argv[1])
