"""ccxt.pro's `watch_order_book` in the loop its manual shows, counted where each message has been applied."""

import asyncio

import ccxt.pro
from meter import Meter, arguments


class Metered(ccxt.pro.okx):
    """One call of the user's loop may stand for several messages, so they are counted as they are applied."""

    meter: Meter

    def handle_order_book(self, client, message):  # type: ignore[no-untyped-def]
        super().handle_order_book(client, message)
        self.is_done = self.meter.note()


async def main() -> None:
    ws_url, rest_url, inst_id, count = arguments()
    exchange = Metered({"options": {"fetchMarkets": {"types": ["swap"]}}, "enableRateLimit": False})
    exchange.meter, exchange.is_done = Meter(count), False
    exchange.urls["api"]["ws"] = ws_url.removesuffix("/public")
    exchange.urls["api"]["rest"] = rest_url
    exchange.hostname = rest_url.removeprefix("http://")
    exchange.has["fetchCurrencies"] = False
    base, quote, _ = inst_id.split("-")
    symbol = f"{base}/{quote}:{quote}"
    book = None
    while not exchange.is_done:
        book = await exchange.watch_order_book(symbol)
    assert book is not None
    exchange.meter.report(book["bids"][0][0], book["asks"][0][0])
    await exchange.close()


asyncio.run(main())
