"""nautilus_trader's OKX websocket client (Rust) and its order book, without the engine, bus and cache in between."""

import asyncio

from meter import Meter, arguments
from nautilus_trader.core import nautilus_pyo3
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDeltas, capsule_to_data
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId


async def main() -> None:
    ws_url, rest_url, inst_id, count = arguments()
    meter, done = Meter(count), asyncio.Event()
    book = OrderBook(InstrumentId.from_str(f"{inst_id}.OKX"), BookType.L2_MBP)

    def on_message(message: object) -> None:
        if nautilus_pyo3.is_pycapsule(message):
            data = capsule_to_data(message)
            if isinstance(data, OrderBookDeltas):
                book.apply_deltas(data)
                if meter.note():
                    done.set()

    http = nautilus_pyo3.OKXHttpClient("none", "none", "none", base_url=rest_url)  # it wants to be given some
    instruments, _ = await http.request_instruments(nautilus_pyo3.OKXInstrumentType.SWAP)
    client = nautilus_pyo3.OKXWebSocketClient(url=ws_url, heartbeat=20)
    await client.connect(asyncio.get_running_loop(), instruments, on_message)
    await client.wait_until_active(timeout_secs=30.0)
    await client.subscribe_book_with_depth(nautilus_pyo3.InstrumentId.from_str(f"{inst_id}.OKX"), 400)
    await done.wait()
    meter.report(book.best_bid_price(), book.best_ask_price())
    await client.close()


asyncio.run(main())
