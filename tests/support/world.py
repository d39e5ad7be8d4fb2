"""An exchange in memory for tests of the whole recorder: connections without sockets, faults, and the truth.

Shares no code with the package: frames are built as text, books are dicts, so that a fault of the package's own book
cannot hide here.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from random import Random
from types import TracebackType
from typing import NamedTuple

from support.context_world import CHANNELS, OTHER_CHANNELS, ContextOf
from support.trade_judge import Match

STEP_MS = 100
LEVELS = 12
HEARTBEAT_MS = 60_000


class Image(NamedTuple):
    """A book of the exchange from `ts_ms` on: levels by price text, as `{price: [price, qty, "0", orders]}`."""

    ts_ms: int
    seq_id: int
    bids: dict[str, list[str]]
    asks: dict[str, list[str]]
    is_unchanged: bool = False
    """Whether its message changed no level: without a `ts` of its own it leaves the book's time."""


@dataclass
class Instrument:
    """One instrument's book as it moves; `images` is every state it had that a message brought about."""

    inst_id: str
    rng: Random
    seq_id: int
    is_quiet: bool
    mid: int = 10_000
    bids: dict[int, tuple[int, int]] = field(default_factory=dict)
    asks: dict[int, tuple[int, int]] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    calm_until_ms: int = 0
    last_ms: int = 0
    last_trade: int = 10**9
    matches: dict[int, Match] = field(default_factory=dict)
    """Every trade that happened, by its id."""
    skips: int = 0
    """So many ids are passed over before the next trade."""

    def __post_init__(self) -> None:
        self.trading = Random(f"trades {self.inst_id} {self.seq_id}")
        for away in range(1, LEVELS + 1):
            self.bids[self.mid - away] = (self.rng.randint(1, 900), 1)
            self.asks[self.mid + away] = (self.rng.randint(1, 900), 2)

    def full(self, ts_ms: int) -> dict:
        image = self.images[-1]
        bids = sorted(image.bids.values(), key=lambda level: -Decimal(level[0]))
        asks = sorted(image.asks.values(), key=lambda level: Decimal(level[0]))
        return self._frame("snapshot", asks, bids, image.ts_ms, image.seq_id, -1)

    def note(self, ts_ms: int) -> None:
        self.last_ms = ts_ms
        bids = {_text(price): _level(price, *self.bids[price]) for price in self.bids}
        asks = {_text(price): _level(price, *self.asks[price]) for price in self.asks}
        is_unchanged = bool(self.images) and (self.images[-1].bids, self.images[-1].asks) == (bids, asks)
        self.images.append(Image(ts_ms, self.seq_id, bids, asks, is_unchanged))

    def step(self, ts_ms: int) -> dict | None:
        """The next push, None where nothing changed. A quiet instrument rests for up to two minutes."""
        if ts_ms < self.calm_until_ms:
            if ts_ms - self.last_ms < HEARTBEAT_MS:
                return None
            self.note(ts_ms)
            return self._frame("update", [], [], ts_ms, self.seq_id, self.seq_id)
        if self.is_quiet and self.rng.random() < 0.05:
            self.calm_until_ms = ts_ms + self.rng.randint(3_000, 120_000)
            return None
        changed: dict[str, dict[int, list[str]]] = {"bids": {}, "asks": {}}
        if self.rng.random() < 0.1:
            self._shift(self.rng.choice((-1, 1)), changed)
        for _ in range(self.rng.randint(1, 3)):
            name = self.rng.choice(("bids", "asks"))
            side = self.bids if name == "bids" else self.asks
            price = self.rng.choice(sorted(side))
            side[price] = (side[price][0] % 900 + self.rng.randint(1, 50), self.rng.randint(1, 9))
            changed[name][price] = _level(price, *side[price])
        previous = self.seq_id
        self.seq_id += self.rng.randint(1, 300)
        self.note(ts_ms)
        asks = [changed["asks"][price] for price in sorted(changed["asks"])]
        bids = [changed["bids"][price] for price in sorted(changed["bids"], reverse=True)]
        return self._frame("update", asks, bids, ts_ms, self.seq_id, previous)

    def trade(self, ts_ms: int, book_seq_id: int) -> list[dict]:
        """The pushes of trades since the last step: each the matches of one taker order at one price."""
        pushes = []
        for _ in range(self.trading.choice((0, 0, 1, 1, 2))):
            side = self.trading.choice(("buy", "sell"))
            px = _text(self.mid + (1 if side == "buy" else -1))
            source = "1" if self.trading.random() < 0.1 else "0"
            self.last_trade += self.skips
            self.skips = 0
            sizes = [self.trading.randint(1, 90) for _ in range(self.trading.randint(1, 3))]
            for sz in sizes:
                self.last_trade += 1
                self.matches[self.last_trade] = Match(px, str(sz), side, str(ts_ms), source)
            data = {"instId": self.inst_id, "tradeId": str(self.last_trade), "px": px, "side": side}
            data |= {"sz": str(sum(sizes)), "ts": str(ts_ms), "count": str(len(sizes)), "source": source}
            data |= {"seqId": book_seq_id + 1, "sizes": sizes}  # the last is ours, for faults that split the push
            pushes.append({"arg": {"channel": "trades", "instId": self.inst_id}, "data": [data]})
        return pushes

    def rows(self, older_than: int | None, limit: int) -> list[dict]:
        """Single trades as REST pages them, newest first."""
        below = self.last_trade + 1 if older_than is None else older_than
        ids = [one for one in range(min(below - 1, self.last_trade), min(self.matches, default=0) - 1, -1)]
        found = [one for one in ids if one in self.matches][:limit]
        return [{"tradeId": str(one)} | self.matches[one]._asdict() for one in found]

    def reset(self, ts_ms: int) -> dict:
        """Maintenance: the numbers start anew, smaller, in one chained message without a change."""
        previous = self.seq_id
        self.seq_id = self.rng.randint(10, 500)
        self.note(ts_ms)
        return self._frame("update", [], [], ts_ms, self.seq_id, previous)

    def _shift(self, by: int, changed: dict[str, dict[int, list[str]]]) -> None:
        """The whole book moves by one tick: one level leaves each side, one comes."""
        self.mid += by
        for name, side, sign in (("bids", self.bids, -1), ("asks", self.asks, 1)):
            wanted = {self.mid + sign * away for away in range(1, LEVELS + 1)}
            for price in set(side) - wanted:
                del side[price]
                changed[name][price] = [_text(price), "0", "0", "0"]
            for price in wanted - set(side):
                side[price] = (self.rng.randint(1, 900), 1)
                changed[name][price] = _level(price, *side[price])

    def _frame(self, action: str, asks: list, bids: list, ts_ms: int, seq_id: int, previous: int) -> dict:
        data = {"asks": asks, "bids": bids, "ts": str(ts_ms), "checksum": 0, "seqId": seq_id, "prevSeqId": previous}
        return {"arg": {"channel": "books", "instId": self.inst_id}, "action": action, "data": [data]}


Change = Callable[[dict], list[dict]]
"""A fault of one connection: what it gets instead of a push."""


@dataclass
class Connection:
    """The exchange's end of one connection."""

    number: int
    socket: "Socket"
    subscribed: set[str] = field(default_factory=set)
    traded: set[str] = field(default_factory=set)
    context: set[tuple[str, str]] = field(default_factory=set)
    faults: deque[tuple[str, Change]] = field(default_factory=deque)
    """Each meets the next push of its instrument; of its trades where it is named `trades` and the instrument."""
    is_stalled: bool = False
    held: list[dict] = field(default_factory=list)


class World:
    """Instruments that move on true time, and whoever is connected to them."""

    def __init__(self, inst_ids: list[str], rng: Random, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.rng = rng
        quiet = set(inst_ids[1::2])
        self.instruments = {
            inst_id: Instrument(inst_id, Random(rng.random()), rng.randint(10**6, 10**9), inst_id in quiet)
            for inst_id in inst_ids
        }
        self.context = {inst_id: ContextOf(inst_id) for inst_id in inst_ids}
        self.connections: list[Connection] = []
        self.made = 0
        self.is_refusing = False
        self.lifetime_sec: tuple[float, float] | None = None
        """How long a connection lives, between these two; None: until something ends it."""
        self.is_rest_down = False
        self.full_disk = ""
        """What the disk refuses: `disk_lines`, `disk_journal` or `disk_full`."""
        self.snapshot_faults: dict[str, Change] = {}
        """By instrument: what becomes of the next full book sent in band."""
        for instrument in self.instruments.values():
            instrument.note(now_ms())

    def now_us(self) -> int:
        return self._now_ms() * 1000

    async def run(self) -> None:
        """Moves until cancelled."""
        while True:
            await asyncio.sleep(STEP_MS / 1000)
            for instrument in self.instruments.values():
                before = instrument.seq_id
                push = instrument.step(self._now_ms())
                if push is not None:
                    for trade in instrument.trade(self._now_ms(), before):
                        self.emit_trade(instrument.inst_id, trade)
                    self.emit(instrument.inst_id, push)
                for channel, value in self.context[instrument.inst_id].step(instrument.mid, self._now_ms()):
                    self.emit_context(channel, value)

    def emit_context(self, channel: str, push: dict) -> None:
        for connection in list(self.connections):
            if (channel, push["arg"]["instId"]) in connection.context:
                self.send(connection, push)

    def emit(self, inst_id: str, push: dict) -> None:
        for connection in list(self.connections):
            if inst_id in connection.subscribed:
                self._send_through_faults(connection, inst_id, push)

    def emit_trade(self, inst_id: str, push: dict) -> None:
        for connection in list(self.connections):
            if inst_id in connection.traded:
                self._send_through_faults(connection, f"trades {inst_id}", push)

    def _send_through_faults(self, connection: Connection, inst_id: str, push: dict) -> None:
        pushes = [push]
        for at, (meant, change) in enumerate(connection.faults):
            if meant == inst_id:
                del connection.faults[at]
                pushes = change(json.loads(json.dumps(push)))
                break
        for one in pushes:
            self.send(connection, one)

    def send(self, connection: Connection, frame: dict) -> None:
        if connection.is_stalled:
            connection.held.append(frame)
        else:
            connection.socket.put(json.dumps(frame, separators=(",", ":")).encode())

    def receive(self, connection: Connection, text: str) -> None:
        """A frame of the client."""
        if text == "ping":
            if not connection.is_stalled:
                connection.socket.put(b"pong")
            return
        request = json.loads(text)
        for arg in request["args"]:
            head = {"id": request["id"]} if "id" in request else {}
            self.send(connection, head | {"event": request["op"], "arg": arg, "connId": "a4d3ae55"})
            inst_id = arg.get("instId", "")
            if arg["channel"] in (*CHANNELS, *OTHER_CHANNELS):
                self._take_context(connection, request["op"], arg["channel"], inst_id)
            elif arg["channel"] == "trades":
                (connection.traded.add if request["op"] == "subscribe" else connection.traded.discard)(inst_id)
            elif request["op"] == "unsubscribe":
                connection.subscribed.discard(inst_id)
            elif inst_id not in connection.subscribed:
                connection.subscribed.add(inst_id)
                full = self.instruments[inst_id].full(self._now_ms())
                change = self.snapshot_faults.pop(inst_id, None)
                for one in [full] if change is None else change(full):
                    self.send(connection, one)

    def _take_context(self, connection: Connection, op: str, channel: str, name: str) -> None:
        key = channel, name
        if op == "unsubscribe":
            connection.context.discard(key)
        elif key not in connection.context:
            connection.context.add(key)
            for one in self.context.values() if channel in CHANNELS else ():
                push = one.now(channel) if one.name(channel) == name else None
                if push is not None:
                    self.send(connection, push)

    def connect(self) -> "Socket":
        self.made += 1
        socket = Socket(self)
        connection = Connection(self.made, socket)
        socket.connection = connection
        self.connections.append(connection)
        if self.lifetime_sec is not None:
            asyncio.get_running_loop().call_later(self.rng.uniform(*self.lifetime_sec), self.close, connection)
        return socket

    def close(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        connection.socket.end()

    def rest_book(self, inst_id: str) -> dict:
        """The body of REST's books, as one row."""
        return self.instruments[inst_id].full(self._now_ms())["data"][0]


class Socket:
    """The client's end, with what the recorder asks of a connection of `websockets`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._frames: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._is_ended = False
        self.connection: Connection
        self.transport = self
        self.flood: str | None = None
        self.closed: Callable[[], Exception] = lambda: ConnectionResetError("closed")

    def put(self, frame: bytes) -> None:
        if not self._is_ended:
            self._frames.append(frame)
            self._wake.set()

    def end(self) -> None:
        self._is_ended = True
        self._wake.set()

    async def recv(self, decode: bool | None = None) -> bytes:
        while not self._frames:
            if self._is_ended:
                raise self.closed()
            self._wake.clear()
            await self._wake.wait()
        return self._frames.popleft()

    def take_arrival_us(self) -> int:
        return self._world.now_us()

    async def send(self, text: str) -> None:
        if self._is_ended:
            raise self.closed()
        self._world.receive(self.connection, text)

    def abort(self) -> None:
        self._frames.clear()
        self._world.close(self.connection)

    async def close(self, *_: object) -> None:
        self._world.close(self.connection)

    async def __aenter__(self) -> "Socket":
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._world.close(self.connection)


@cache
def _text(price: int) -> str:
    text = f"{Decimal(price) / 10:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _level(price: int, quantity: int, orders: int) -> list[str]:
    return [_text(price), str(quantity), "0", str(orders)]
