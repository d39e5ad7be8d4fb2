"""What deep books, or with `--kind rpi` RPI books, take: bytes a day on the disk and over the network, and processor
time of a sample.

    python benchmarks/bench_deep.py --hours 1

Samples the made-up market each 30 s through the recorder's own parts: REST's answer as text, read and checked, written
as changes to the one before. How often OKX's levels beyond 400 change is not known; the made-up ones stand for half a
minute to an hour. `--change 0.8` is a harder market: so large a share of all levels is another one in each sample.
"""

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

import msgspec

from l2vault.book.deep import DEEP_CHANNELS, DeepLevel
from l2vault.clock import Clock
from l2vault.okx.rest import OkxRest
from l2vault.okx.web import Reply, Web
from l2vault.recording.deep import DeepKeeper
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.deep import MarketTails
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.rpi import MarketRpi
from l2vault.sim.server.rest import answer
from l2vault.vault.store.layout import Layout

INST = "BTC-USDT-SWAP"
START_MS = 1_767_225_600_000
EVERY_MS = 30_000


class MarketClock(Clock):
    """Stands at the market's time."""

    now_ms = START_MS

    def wall_ms(self) -> int:
        return self.now_ms

    def wall_us(self) -> int:
        return self.now_ms * 1000

    def monotonic_ms(self) -> int:
        return self.now_ms


class MarketWeb(Web):
    """REST of the made-up market, without a socket."""

    received = 0

    def __init__(self, exchange: Exchange, change: float) -> None:
        super().__init__(1.0)
        self._exchange = exchange
        self._change = change
        self._rng = Random(1)

    def get(self, url: str, headers: object, now_ms: object) -> Reply:
        text = answer(self._exchange, url.removeprefix("http://127.0.0.1"), 0).body
        body = text.encode() if not self._change else self._changed(text)
        self.received += len(body)
        return Reply(200, {}, body, 0, 0)

    def _changed(self, text: str) -> bytes:
        """The same with other quantities on a share of the levels."""
        found = msgspec.json.decode(text)
        for side in ("bids", "asks"):
            found["data"][0][side] = [self._level(*level) for level in found["data"][0][side]]
        return msgspec.json.encode(found)

    def _level(self, price: str, quantity: str, *rest: str) -> DeepLevel:
        if self._rng.random() < self._change:
            quantity = f"{self._rng.lognormvariate(2, 2) + 0.01:.2f}".rstrip("0").rstrip(".")
            rest = (quantity, rest[-1]) if len(rest) > 1 else rest
        return price, quantity, *rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--change", type=float, default=0.0, help="share of levels that is another one each time")
    parser.add_argument("--kind", choices=DEEP_CHANNELS, default="deep", help="deep (default) or rpi")
    args = parser.parse_args()
    exchange = Exchange([INST], {INST: instrument_row(INST)}, 7, tails=MarketTails(7), rpi=MarketRpi(7))
    ticks = Market([INST], 7, START_MS).ticks()
    tick = next(ticks)
    web, clock = MarketWeb(exchange, args.change), MarketClock()
    rest = OkxRest("http://127.0.0.1", 1.0)
    rest._web = web
    ask = rest.full_book if args.kind == "deep" else rest.rpi_book
    used = missed = samples = 0.0
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        keeper = DeepKeeper(layout, clock, lambda item: item() if callable(item) else None, kind=args.kind)
        for due_ms in range(START_MS, START_MS + round(args.hours * 3_600_000), EVERY_MS):
            while tick.ts_ms <= due_ms:
                exchange.apply(tick.change)
                tick = next(ticks)
            clock.now_ms = due_ms
            begun = time.process_time()
            if keeper.is_due(INST):
                samples += keeper.take(ask(INST, clock.wall_us))
            else:
                missed += 1
            used += time.process_time() - begun
        keeper.finish()
        size = sum(path.stat().st_size for path in layout.of(args.kind).raw.rglob("*.gz"))
    days = args.hours / 24
    print(f"{samples:.0f} samples in {args.hours:g} h, {missed:.0f} left out; {size / samples / 1e3:.1f} KB a sample")
    print(f"on the disk {size / days / 1e6:.1f} MB a day, received {web.received / days / 1e9:.2f} GB a day")
    print(f"processor, with the market's own answer: {1000 * used / samples:.0f} ms a sample")


if __name__ == "__main__":
    main()
