"""cryptofeed's OKX feed with its order book, at its defaults: one callback for each book message."""

import cryptofeed.connection
from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import OKX
from meter import Meter, arguments

INSTRUMENTS = ["/api/v5/public/instruments?instType=SPOT", "/api/v5/public/instruments?instType=SWAP"]


def main() -> None:
    ws_url, rest_url, inst_id, count = arguments()
    meter = Meter(count)
    base, quote, _ = inst_id.split("-")
    handler = FeedHandler()
    last: list[object] = []

    async def on_book(book: object, receipt_timestamp: float) -> None:
        if meter.note():
            last.append(book)
            handler.request_stop()

    connect = cryptofeed.connection.connect
    cryptofeed.connection.connect = lambda _, **options: connect(ws_url, **options)  # it insists on a wss address
    OKX.websocket_endpoints = [WebsocketEndpoint("wss://127.0.0.1", options={"compression": None})]
    OKX.rest_endpoints = [RestEndpoint(rest_url, routes=Routes(INSTRUMENTS))]
    OKX._symbol_endpoint_prepare = classmethod(_swaps_alone)
    feed = OKX(symbols=[f"{base}-{quote}-PERP"], channels=[L2_BOOK], callbacks={L2_BOOK: on_book})
    handler.add_feed(feed)
    handler.run(install_signal_handlers=False)
    book = last[0].book  # type: ignore[attr-defined]
    meter.report(book.bids.index(0)[0], book.asks.index(0)[0])


async def _swaps_alone(cls: type, endpoint: RestEndpoint, connection: object) -> object:
    """Without the options, whose list of underlyings the loopback exchange does not have."""
    return endpoint.route("instruments")


main()
