"""A timeline played through a plan of faults without a socket: what each connection would have been sent, in order."""

import asyncio
import json

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.okx.messages import decode
from l2vault.okx.sequence import is_chained
from l2vault.sim.exchange.books import Exchange, Oracle, Tick
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.engine import Faults
from l2vault.sim.faults.frame import Frame, HangUp, SetHalfOpen
from l2vault.sim.faults.plan import ConnectionSlot, FaultPlan
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.peer import ServerSession
from l2vault.sim.server.playback import Pace, Playback, split_head

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
START_MS = 1_790_000_000_000
STEP_MS = 100
SEQ = 1000
SEQ_STEP = 10


def full_tick(inst_id=BTC, at=0):
    bids = [(f"{100 - rank * 0.5:g}", str(rank + 1), "0", "1") for rank in range(1, 6)]
    asks = [(f"{100 + rank * 0.5:g}", str(rank + 1), "0", "1") for rank in range(1, 6)]
    return Tick(START_MS + at, BookChange(inst_id, True, bids, asks, START_MS + at, SEQ, -1, 0), None)


def update_tick(number, inst_id=BTC, at=None):
    """The `number`-th update, 100 ms after the one before: the best ask gets a new size, every third time a bid too."""
    ts_ms = START_MS + (number * STEP_MS if at is None else at)
    seq_id = SEQ + number * SEQ_STEP
    asks = [("100.5", str(number + 10), "0", "1")]
    bids = [("99.5", str(number + 20), "0", "2")] if number % 3 == 0 else []
    return Tick(ts_ms, BookChange(inst_id, False, bids, asks, ts_ms, seq_id, seq_id - SEQ_STEP, 0), None)


def timeline(updates, *inst_ids):
    """A full book and `updates` updates of each instrument, at the same times."""
    inst_ids = inst_ids or (BTC,)
    ticks = [full_tick(inst_id) for inst_id in inst_ids]
    return ticks + [update_tick(number, inst_id) for number in range(1, updates + 1) for inst_id in inst_ids]


class Viewer:
    """A connection without a socket: what it is sent is kept."""

    def __init__(self, stage, slot):
        self.items = []
        conn_id = f"{slot.number:08x}"
        request_errors = stage.faults.request_errors(slot, stage.playback.exchange_ms)
        self.peer = ServerSession(stage.exchange, conn_id, 0, Limits(), request_errors)
        self._chain = stage.faults.chain(slot, conn_id, ScaledClock(stage.clock, 1.0))
        self._stage = stage
        stage.playback.links[self] = None

    def say(self, op, *inst_ids, channel="books", **more):
        args = [{"channel": channel, "instId": inst_id} for inst_id in inst_ids]
        before = len(self.items)
        for frame in self.peer.receive(json.dumps({"op": op, "args": args} | more), 0):
            self.emit(frame)
        self._stage.playback.note_audience()
        return self.items[before:]

    def emit(self, frame):
        self.items += self._chain.feed(frame)

    def pass_time(self, ts_ms, begun):
        self.items += self._chain.pass_time(ts_ms, begun)

    def settle(self):
        self.items += self._chain.settle()

    async def room(self):
        pass

    async def drained(self):
        pass

    @property
    def frames(self):
        return [item for item in self.items if isinstance(item, Frame)]

    @property
    def texts(self):
        return [frame.text for frame in self.frames]

    @property
    def pushes(self):
        """Every book frame that can be read, parsed from its text."""
        changes = [decode(frame.text.encode()) for frame in self.frames]
        return [change for change in changes if isinstance(change, BookChange)]

    def numbers(self, inst_id=BTC):
        """Which updates of `timeline` arrived, by number; 0 is a full book of the start."""
        return [(push.seq_id - SEQ) // SEQ_STEP for push in self.pushes if push.inst_id == inst_id]

    def breaks(self, inst_id=BTC):
        """The numbers of the updates that do not chain to what came before them."""
        last, broken = None, []
        for push in self.pushes:
            if push.inst_id == inst_id:
                if not push.is_snapshot and not is_chained(push, last):
                    broken.append((push.seq_id - SEQ) // SEQ_STEP)
                last = push.seq_id
        return broken

    def book(self, inst_id=BTC):
        """The book of a client that applies whatever comes."""
        book = Book()
        for push in self.pushes:
            if push.inst_id == inst_id:
                book.apply(push)
        return book

    @property
    def ends(self):
        return [item for item in self.items if isinstance(item, HangUp)]

    @property
    def deafenings(self):
        return [item.is_on for item in self.items if isinstance(item, SetHalfOpen)]


class Stage:
    """An exchange with a plan of faults, a timeline about to be played at full speed, and an oracle."""

    def __init__(self, clock, spec, ticks, seed=0):
        self.clock = clock
        inst_ids = list(dict.fromkeys(tick.change.inst_id for tick in ticks))
        self.exchange = Exchange(inst_ids, {inst_id: instrument_row(inst_id) for inst_id in inst_ids})
        self.oracle = Oracle()
        self.exchange.watch(self.oracle.note)
        head = split_head(iter(ticks), inst_ids)
        plan = parse_faults(spec) if spec else FaultPlan()
        self.faults = Faults(plan, seed, head.start_ms, self.exchange)
        self.playback = Playback(self.exchange, head, Pace(None, 0.0, clock.monotonic_ms()), clock, self.faults)
        self.viewers = []

    def enter(self, *inst_ids):
        """A connection that subscribes before the timeline begins."""
        number = len(self.viewers) + 1
        viewer = Viewer(self, ConnectionSlot(number, number))
        self.viewers.append(viewer)
        if inst_ids:
            viewer.say("subscribe", *inst_ids)
        return viewer

    async def play(self):
        async with asyncio.timeout(30):
            await self.playback.run()


async def rehearse(clock, spec, ticks, connections=1, seed=0):
    """The connections, subscribed to everything from the start, after the whole timeline was played."""
    stage = Stage(clock, spec, ticks, seed)
    for _ in range(connections):
        stage.enter(*sorted(stage.exchange.inst_ids))
    await stage.play()
    return stage
