"""The whole recorder against the built-in exchange over real sockets on 127.0.0.1, in one event loop."""

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from l2vault.config import Settings
from l2vault.recorder import Recorder
from l2vault.recording import feeds
from l2vault.sim.exchange.timeline import Timeline
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.server import SimOptions, Simulator
from l2vault.vault.journal.events import Connected, Disconnected, Event
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from support.reference import NaiveMarket
from support.virtual import SOCKETS_START_MS, VirtualClock, run_over_sockets

WITHIN_SEC = 3600


@dataclass
class Outcome:
    """What a recorded replay left behind."""

    root: Path
    market: NaiveMarket
    statuses: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return list(read_journal(Layout(self.root)))

    @property
    def is_disconnected(self) -> bool:
        """Whether every connection that was made has ended, so that all its frames are through."""
        events = self.events
        made, ended = (sum(isinstance(event, kind) for event in events) for kind in (Connected, Disconnected))
        return 0 < made == ended

    def lines(self, inst_id: str) -> list[dict]:
        return [json.loads(line) for line in self.raw_lines(inst_id)]

    def raw_lines(self, inst_id: str) -> list[bytes]:
        files = sorted((self.root / "raw" / "okx" / "l2_perps" / inst_id).glob("*/*.jsonl"))
        return [line for file in files for line in file.read_bytes().splitlines()]

    def changes(self, inst_id: str) -> list[dict]:
        files = sorted((self.root / "raw" / "okx" / "book_changes" / inst_id).glob("*/*.jsonl.gz"))
        return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]

    def files(self) -> dict[str, bytes]:
        """Every data file of books by its path in the vault: only these are the same bytes in every run. Those of
        trades hold receive times, of which no two are the same."""
        raw = self.root / "raw"
        found = sorted((raw / "okx" / "l2_perps").rglob("*.jsonl"))
        return {path.relative_to(raw).as_posix(): path.read_bytes() for path in found}


def record_replay(
    root: Path,
    captures: list[Path],
    settings: Settings,
    speed: float | None = None,
    verbatim: bool = False,
    faults: str | None = None,
) -> Outcome:
    """Replay `captures` to the end into the vault `root`, beside a witness that rebuilds the books naively: in virtual
    time, over real sockets.

    With `faults` there is no witness: `first` and `second` are then the recorder's own connections. The replay begins
    once all of them that are made at the start are subscribed, however long the recorder takes.
    """
    plan = None if faults is None else parse_faults(faults)
    clients = (1 if feeds.STAGGER_SEC else settings.feeds) + (plan is None)
    options = SimOptions(
        replay=tuple(captures), speed=speed, verbatim=verbatim, hold_sec=0.3, clients=clients, faults=plan
    )
    return run_over_sockets(lambda loop: _record_replay(root, options, settings, VirtualClock(loop, SOCKETS_START_MS)))


def record_timeline(root: Path, timeline: Timeline, settings: Settings) -> Outcome:
    """The same of a timeline, without a witness: it is disconnected where the timeline has a cut."""
    options = SimOptions(speed=None, hold_sec=0.3)
    return run_over_sockets(
        lambda loop: _record_replay(root, options, settings, VirtualClock(loop, SOCKETS_START_MS), timeline)
    )


async def _record_replay(
    root: Path, options: SimOptions, settings: Settings, clock: VirtualClock, timeline: Timeline | None = None
) -> Outcome:
    simulator = Simulator(options, clock, timeline=timeline)
    await simulator.start()
    outcome = Outcome(root, NaiveMarket(settings.cadence_ms))
    stop = asyncio.Event()
    urls = {"ws_url": (simulator.ws_url,), "rest_url": simulator.rest_url}
    settings = settings_with(settings, **urls)
    recorder = Recorder(settings, Layout(root), clock, Random(7), lambda status: outcome.statuses.append(status(200)))
    async with asyncio.timeout(WITHIN_SEC), asyncio.TaskGroup() as group:
        recording = group.create_task(recorder.run(stop))
        if options.faults is None and timeline is None:
            group.create_task(_witness(simulator.ws_url, settings.instruments, outcome.market))
        await simulator.wait_ended()
        await simulator.stop()  # closes after the last frame, so a reader that saw the close has read them all
        while not outcome.is_disconnected:
            assert not recording.done()
            await asyncio.sleep(0.01)
        stop.set()
    return outcome


def settings_with(settings: Settings, **changes: object) -> Settings:
    import msgspec

    return msgspec.structs.replace(settings, **changes)


async def _witness(url: str, inst_ids: tuple[str, ...], market: NaiveMarket) -> None:
    async with connect(url, proxy=None, max_size=None) as websocket:
        args = [{"channel": "books", "instId": inst_id} for inst_id in inst_ids]
        await websocket.send(json.dumps({"op": "subscribe", "args": args}))
        try:
            while True:
                market.feed_frame(str(await websocket.recv()))
        except ConnectionClosed:
            return
