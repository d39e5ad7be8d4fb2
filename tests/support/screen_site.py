"""A vault of a quarter of an hour with a planted wall, a hole and trades; the screen served over it on 127.0.0.1."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from l2vault.book.trade import TradePush, trade_to_line
from l2vault.clock import Clock
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.web.app import Screen
from l2vault.web.guard import Guard
from l2vault.web.serve import Announced
from support import hours

WALL = ("60050", "400", "0", "2")
LINES = 450
HOLE = range(200, 230)


def book(number: int, without_wall: bool = False):
    """The line of slot `number`: 20 levels a side around 60000, and the wall above from slot 100 on."""
    bids = [(str(59999 - n * 5), "10", "0", "3") for n in range(20)]
    asks = [(str(60001 + n * 5), "10", "0", "3") for n in range(20)]
    if number >= 100 and not without_wall:
        asks = sorted([*asks, WALL], key=lambda level: float(level[0]))
    # The touch changes with each line, as it does in a market.
    bids[0] = (bids[0][0], str(10 + number % 7), "0", "3")
    return hours.line(number * 2000, bids, asks)


def trade(number: int) -> TradePush:
    """Trade `number`, two seconds after the one before, of so many contracts."""
    ts_ms = hours.HOUR_AT_MS + number * 2000
    return TradePush(
        hours.INST, str(1000 + number), "60001", str(number), "buy", str(ts_ms), "1", "0", number, ts_ms * 1000, "ws"
    )  # fmt: skip


def append(layout: Layout, number: int, without_wall: bool = False) -> None:
    """As a recorder does while others read."""
    path = layout.hour_file(hours.INST, hours.HOUR_AT_MS + number * 2000)
    with path.open("ab") as file:
        file.write(hours.contents([book(number, without_wall)]))


def write_vault(root: Path) -> Layout:
    layout = Layout(root)
    hours.put(layout, [book(n) for n in range(LINES) if n not in HOLE])
    hours.journal_of(
        layout,
        hours.started(0),
        hours.synced(0),
        hours.lost(HOLE.start * 2000 - 500),
        hours.synced(HOLE.stop * 2000),
        hours.minute(LINES * 2000),
    )
    trades = layout.of("trades").hour_file(hours.INST, hours.HOUR_AT_MS)
    trades.parent.mkdir(parents=True)
    trades.write_bytes(b"".join(trade_to_line(trade(n)) + b"\n" for n in range(1, 5)))
    row = layout.instrument_file(hours.INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(hours.INST)), encoding="utf-8")
    return layout


class Site:
    """The screen over a vault, on a port of the system's, or on one that it had before."""

    def __init__(self, root: Path, port: int = 0, guard: Guard | None = None) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.screen = Screen(root, guard or Guard("127.0.0.1"), Clock(), poll_sec=0.02)
        config = uvicorn.Config(
            self.screen.app, access_log=False, log_config=None, lifespan="off", ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.begun = asyncio.Event()
        self.server = Announced(config, self.begun.set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Site"]:
        task = asyncio.create_task(self.server.serve(sockets=[self.socket]))
        try:
            await self.begun.wait()
            yield self
        finally:
            self.server.should_exit = True
            await task
            self.screen.stop()
            self.socket.close()
