"""Two recorders of one virtual market, each with faults, restarts and a vault of its own: what `merge` is for."""

import asyncio
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest import mock

from websockets.exceptions import ConnectionClosedError

from l2vault.config import Settings
from l2vault.recorder import Network, Recorder, network_of
from l2vault.vault.store.layout import Layout
from support import rough
from support.virtual import VirtualClock, VirtualLoop, run_virtually
from support.world import Connection, Socket, World

INST_IDS = rough.INST_IDS
START_MS = rough.START_MS
CADENCE_MS = rough.CADENCE_MS


@dataclass(frozen=True)
class Act:
    """What befalls one of the recorders. `pause_sec` is how long a restart, a silence or a refusal takes."""

    at_sec: float
    which: int
    name: str
    inst_id: str = INST_IDS[0]
    pause_sec: float = 5


@dataclass
class Recorded:
    """The vaults in the order of the recorders, the exchange's truth, and the time at which both had ended."""

    roots: list[Path]
    world: World
    end_ms: int


def record_two(folder: Path, seed: int, seconds: int, acts: list[Act]) -> Recorded:
    """Both from the start, of one feed each, with trades, context and changes."""
    logging.disable(logging.CRITICAL)
    try:
        return run_virtually(lambda loop: _Pair(folder, seed, loop).live(seconds, acts))
    finally:
        logging.disable(logging.NOTSET)


@dataclass
class _Pair:
    folder: Path
    seed: int
    loop: VirtualLoop
    owners: dict[int, int] = field(default_factory=dict)
    """Connection to recorder."""
    crashes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop, START_MS)
        self.world = World(list(INST_IDS), Random(f"pair {self.seed}"), self.clock.true_ms)
        self.roots = [self.folder / name for name in ("amsterdam", "tokyo")]
        self.stops = [asyncio.Event(), asyncio.Event()]
        self.running: list[asyncio.Task[None] | None] = [None, None]
        self.refusing: set[int] = set()
        self.runs = 0

    async def live(self, seconds: int, acts: list[Act]) -> Recorded:
        with rough._in_memory(self.world), mock.patch("l2vault.okx.websocket.open_connection", self._open):
            moving = asyncio.create_task(self.world.run())
            for which in (0, 1):
                self._start(which)
            begun = self.loop.time()
            doing = [asyncio.create_task(self._do(begun, act)) for act in acts]
            await asyncio.sleep(seconds)
            await asyncio.gather(*doing)
            for which in (0, 1):
                await self._stop(which)
            end_ms = self.clock.true_ms()
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)
        assert not self.crashes
        return Recorded(self.roots, self.world, end_ms)

    async def _open(self, url: str, *_: object) -> Socket:
        which = int(url.split(":")[2].split("/")[0]) - 1
        if which in self.refusing:
            raise rough.CannotConnect("refused", "TCP")
        socket = self.world.connect()
        self.owners[socket.connection.number] = which
        socket.closed = lambda: ConnectionClosedError(None, None)
        return socket

    def _links(self, which: int) -> list[Connection]:
        return [one for one in self.world.connections if self.owners.get(one.number) == which]

    def _start(self, which: int) -> None:
        self.runs += 1
        settings = Settings(
            columns=False,
            instruments=INST_IDS,
            cadence_sec=CADENCE_MS / 1000,
            feeds=1,
            ws_url=(f"ws://127.0.0.1:{which + 1}/ws/v5/public",),
            rest_url="http://127.0.0.1:1",
            changes=True,
        )
        self.stops[which] = asyncio.Event()
        rng = Random(self.runs)
        network = Network(network_of(settings, self.clock, rng).feeds, rough._Rest(self.world, self.clock))
        layout = Layout(self.roots[which])
        recorder = Recorder(settings, layout, self.clock, rng, lambda status: None, network)
        self.running[which] = asyncio.create_task(rough._run(recorder, self.stops[which], self.crashes))

    async def _stop(self, which: int) -> None:
        task = self.running[which]
        if task is not None:
            self.stops[which].set()
            await task
            self.running[which] = None

    async def _do(self, begun: float, act: Act) -> None:
        await asyncio.sleep(max(0.0, begun + act.at_sec - self.loop.time()))
        links = self._links(act.which)
        match act.name:
            case "restart":
                await self._stop(act.which)
                await asyncio.sleep(act.pause_sec)
                self._start(act.which)
            case "kill":
                killed = self.roots[act.which]
                self.roots[act.which] = self.folder / f"{killed.name}{self.runs}"
                shutil.copytree(killed, self.roots[act.which])
                await self._stop(act.which)
                await asyncio.sleep(act.pause_sec)
                self._start(act.which)
            case "stop":
                await self._stop(act.which)
            case "cut":
                self.refusing.add(act.which)
                self.loop.call_later(act.pause_sec, self.refusing.discard, act.which)
                for link in links:
                    self.world.close(link)
            case _:
                for link in links:
                    link.faults.append((act.inst_id, getattr(rough._Faults, act.name)))
