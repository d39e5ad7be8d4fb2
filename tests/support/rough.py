"""A rough life for a whole recorder in virtual time: faults of feeds, host and files by a seed, and a judge at the end.

The recorder is the real one, from its connections to its files; only the sockets and REST are in memory. What coverage
then says of every slot is held against the exchange's own books and the lines in the files (`support.judge`).
"""

import asyncio
import gzip
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from random import Random
from unittest import mock

from websockets.exceptions import ConnectionClosedError

from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.trade import TradePush
from l2vault.config import Settings
from l2vault.errors import L2VaultError
from l2vault.okx.connection import CannotConnect
from l2vault.okx.rest import OkxRest, ServerTime, Unavailable
from l2vault.recorder import Network, Recorder, network_of
from l2vault.recording.tasks.closed_hours import ClosedHours
from l2vault.vault.checking.changes import ChangeCheck
from l2vault.vault.checking.rows import ROW_KINDS, RowCheck
from l2vault.vault.coverage.checked import MOST_HOURS, check_hours
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.health.form import Health, write_health
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.log import Journal
from l2vault.vault.reading.changes import change_coverage
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store import gzip_append
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.writer import LineWriter
from support.context_world import judge_context, shares
from support.judge import UNDATED_MS, Judgement, Truth, judge_lines, judge_slots, lines_of, ms, utc_day_hour
from support.judge_changes import judge_changes
from support.judge_read_trades import judge_read_trades
from support.trade_judge import judge_trades
from support.virtual import VirtualClock, VirtualLoop, run_virtually
from support.world import Connection, Socket, World

CADENCE_MS = 2_000
START_MS = 1_767_225_600_000 - 75_000
"""2025-12-31 23:58:45 UTC: most runs cross an hour, a day and a year."""
OLD_HOURS = range(6, 24 * 5 - 6, 6)
"""Hours of the days before that the vault holds, by their distance from the start: by true time none is due."""
INST_IDS = ("BTC-USDT-SWAP", "SLOW-USDT-SWAP")

FEED_ACTS = ("drop", "double", "swap", "other_levels", "ts_zero", "ts_far", "ts_back", "garbage", "crossed")
LINK_ACTS = ("close", "close_all", "stall", "refuse", "no_full_book", "part_of_book", "crossed_book")
WORLD_ACTS = ("reset", "rest_down", "wall_step", "sleep", "disk_lines", "disk_journal", "disk_full")
FLAP_SEC = (1.0, 1.4)
"""How long each connection lives under the act `flap`, which no seed draws."""
TRADE_ACTS = ("trade_drop", "trade_double", "trade_swap", "trade_split", "trade_half", "trade_garbage", "trade_skip")
UNDATED_ACTS = frozenset({"ts_zero", "ts_back"})
RUN_ACTS = ("restart", "kill")
DAMAGES = (
    "none", "none", "cut_end", "empty", "empty_gz", "gzip_cut", "remove", "swap_lines", "drop_lines",
    "no_journal_day", "journal_flip", "journal_cut",
)  # fmt: skip


@dataclass(frozen=True)
class Act:
    at_sec: float
    name: str
    inst_id: str
    which: int
    span_sec: float


@dataclass(frozen=True)
class Plan:
    """What one seed does to the recorder."""

    seed: int
    feeds: int
    seconds: int
    acts: tuple[Act, ...]
    damage: str

    def __str__(self) -> str:
        acts = "; ".join(
            f"{act.at_sec:.1f} {act.name} {act.inst_id[:3]} {act.which} {act.span_sec:.0f}" for act in self.acts
        )
        return f"seed {self.seed}, {self.feeds} feeds, {self.seconds} s: {acts}; then {self.damage}"


def plan_of(seed: int) -> Plan:
    rng = Random(f"rough {seed}")
    seconds = rng.randint(100, 200)
    if seed % 8 == 7:
        return _contradiction(seed, rng, seconds)
    names = [
        *rng.choices(FEED_ACTS, k=rng.randint(1, 5)),
        *rng.choices(LINK_ACTS, k=rng.randint(0, 3)),
        *rng.choices(WORLD_ACTS, k=rng.randint(0, 2)),
        *rng.choices(RUN_ACTS, k=rng.randint(0, 2)),
    ]
    acts = [
        Act(
            rng.uniform(3, seconds * 0.85),
            name,
            rng.choice(INST_IDS),
            rng.randint(0, 1),
            rng.choice((1, 5, 20, 40, 90)),
        )
        for name in names
    ]
    feeds, damage = rng.choice((1, 2, 2)), rng.choice(DAMAGES)
    acts += _trade_acts(seed, seconds)
    return Plan(seed, feeds, seconds, tuple(sorted(acts, key=lambda act: act.at_sec)), damage)


def _trade_acts(seed: int, seconds: int) -> list[Act]:
    """What befalls trades: of a number of its own, so that it changes nothing of what befalls the books."""
    rng = Random(f"rough trades {seed}")
    names = rng.choices(TRADE_ACTS, k=rng.randint(0, 6))
    return [
        Act(rng.uniform(3, seconds * 0.85), name, rng.choice(INST_IDS), rng.randint(0, 1), rng.choice((1, 5, 20)))
        for name in names
    ]


def _contradiction(seed: int, rng: Random, seconds: int) -> Plan:
    """A level goes wrong on one of two feeds, with the chain unbroken: only another voice can tell.

    Nothing else befalls the feeds then: with one feed alone, and no checksum, nobody could know before the next audit.
    """
    names = ["wrong_level", *rng.choices(("wrong_level", "wall_step", "restart", "rest_down"), k=rng.randint(0, 2))]
    acts = [Act(rng.uniform(30, seconds * 0.7), name, rng.choice(INST_IDS), rng.randint(0, 1), 20) for name in names]
    return Plan(seed, 2, seconds, tuple(sorted(acts, key=lambda act: act.at_sec)), "none")


def live_through(plan: Plan, folder: Path) -> Judgement:
    """Record under the plan, damage what was written, and judge what is said of it."""
    logging.disable(logging.CRITICAL)
    try:
        life = run_virtually(lambda loop: Life(plan, folder, loop).live())
        judgement = Judgement(crashes=life.crashes)
        _judge_changes(judgement, life)
        _damage(plan, life.root)
        return _judge(judgement, life)
    finally:
        logging.disable(logging.NOTSET)


def flapping(seconds: int, folder: Path) -> list[str]:
    """What is wrong after so long of two feeds that flap: each connection ends 1.0 to 1.4 s after it was made."""
    flaps = Act(0.5, "flap", INST_IDS[0], 0, seconds + 100)
    judgement = live_through(Plan(1, 2, seconds, (flaps,), "none"), folder)
    complaints, slots, every = list(judgement.complaints), judgement.slots, len(INST_IDS) * seconds * 1000 / CADENCE_MS
    # Of a quiet instrument nothing is known after its last message: that is up to a minute of the end, and no flap.
    lost = sum(count for state, count in slots.items() if state not in ("recorded", "quiet", "missing (our_restart)"))
    if lost > 0.05 * every or slots["recorded"] + slots["quiet"] <= 0.9 * every - 30:
        complaints.append(f"flapping cost too many slots: {dict(slots)}")
    if set(slots) - {"recorded", "quiet", "missing (our_restart)", "missing (disconnect)"}:
        complaints.append(f"flapping has another cause: {dict(slots)}")
    return complaints


def looked_at(
    folder: Path,
    harm: Callable[["Life"], object],
    look: Callable[["Life"], bool],
    seconds: tuple[int, int],
    every_sec: int = 5,
) -> tuple[list[bool], float | None]:
    """What `look` says each 5 s of two healthy feeds for the first of `seconds`; and how long after `harm` it says yes,
    None: not within the second."""
    logging.disable(logging.CRITICAL)
    try:
        return run_virtually(
            lambda loop: _look(Life(Plan(1, 2, 0, (), "none"), folder, loop), harm, look, seconds, every_sec)
        )
    finally:
        logging.disable(logging.NOTSET)


async def _look(
    life: "Life",
    harm: Callable[["Life"], object],
    look: Callable[["Life"], bool],
    seconds: tuple[int, int],
    every_sec: int,
) -> tuple[list[bool], float | None]:
    before: list[bool] = []
    took = None
    with _in_memory(life.world):
        moving = asyncio.create_task(life.world.run())
        life._start()
        for _ in range(0, seconds[0], every_sec):
            await asyncio.sleep(every_sec)
            before.append(look(life))
        harm(life)
        for passed in range(every_sec, seconds[1] + 1, every_sec):
            await asyncio.sleep(every_sec)
            if look(life):
                took = float(passed)
                break
        life.stop.set()
        moving.cancel()
        await asyncio.gather(moving, *life.tasks, return_exceptions=True)
    return before, took


@dataclass
class Life:
    plan: Plan
    folder: Path
    loop: VirtualLoop
    runs: int = 0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(f"life {self.plan.seed}")
        self.clock = VirtualClock(self.loop, START_MS)
        self.world = World(list(INST_IDS), Random(f"world {self.plan.seed}"), self.clock.true_ms)
        self.root = self.folder / "vault0"

    async def live(self) -> "Life":
        _put_old_hours(self.root)
        with _in_memory(self.world):
            moving = asyncio.create_task(self.world.run())
            self._start()
            begun = self.loop.time()
            for act in self.plan.acts:
                await asyncio.sleep(max(0.0, begun + act.at_sec - self.loop.time()))
                await self._do(act)
            await asyncio.sleep(max(0.0, begun + self.plan.seconds - self.loop.time()))
            await self._stop()
            self.end_ms = self.clock.true_ms()
            moving.cancel()
            await asyncio.gather(moving, *self.tasks, return_exceptions=True)
        return self

    def _start(self) -> None:
        settings = Settings(
            columns=False,
            instruments=INST_IDS,
            cadence_sec=CADENCE_MS / 1000,
            feeds=self.plan.feeds,
            ws_url=("ws://127.0.0.1:1/ws/v5/public", "ws://127.0.0.1:2/ws/v5/public"),
            rest_url="http://127.0.0.1:1",
            changes=True,
        )
        self.stop = asyncio.Event()
        self.runs += 1
        rng = Random(self.runs)
        feeds = network_of(settings, self.clock, rng).feeds
        network = Network(feeds, _Rest(self.world, self.clock))
        recorder = Recorder(settings, Layout(self.root), self.clock, rng, lambda status: None, network)
        self.running = asyncio.create_task(_run(recorder, self.stop, self.crashes))
        self.tasks.append(self.running)

    async def _stop(self) -> None:
        self.stop.set()
        await self.running

    async def _do(self, act: Act) -> None:
        linked = [one for one in self.world.connections if act.inst_id in one.subscribed]
        link = linked[act.which % len(linked)] if linked else None
        if act.name in RUN_ACTS:
            await self._do_to_run(act)
        elif act.name == "trade_skip":
            self.world.instruments[act.inst_id].skips = round(act.span_sec)
        elif act.name in TRADE_ACTS:
            if link is not None:
                link.faults.append((f"trades {act.inst_id}", getattr(_Faults, act.name)))
        elif act.name in WORLD_ACTS or act.name == "flap":
            self._do_to_world(act)
        elif act.name in LINK_ACTS:
            self._do_to_links(act, link)
        elif link is not None:
            fault = act.inst_id, getattr(_Faults, act.name)
            is_on_both = any(fault in one.faults for one in self.world.connections)
            if act.name == "wrong_level" and (is_on_both or len(linked) < 2):
                return  # of a level that is wrong on every feed there is, and right again before the next audit,
                # nobody could tell: no other feed brought the same push, and REST was not asked between
            link.faults.append(fault)

    async def _do_to_run(self, act: Act) -> None:
        """A kill leaves the vault as it was at that moment: the copy goes on, the killed one is not looked at again."""
        pause_sec = act.span_sec
        if act.name == "kill":
            killed, self.root = self.root, self.folder / f"vault{self.runs}"
            shutil.copytree(killed, self.root)
            pause_sec /= 10
        await self._stop()
        await asyncio.sleep(pause_sec)
        self._start()

    def _do_to_world(self, act: Act) -> None:
        world = self.world
        match act.name:
            case "rest_down":
                self._for_a_while(act, "is_rest_down", True, False)
            case "reset":
                world.emit(act.inst_id, world.instruments[act.inst_id].reset(self.clock.true_ms()))
            case "wall_step":
                self.clock.wall_error_ms = self.rng.choice((-86_400_000, -7_000, 0, 7_000, 3_600_000, 86_400_000 * 30))
            case "flap":
                self._for_a_while(act, "lifetime_sec", FLAP_SEC, None)
                self._close_all()
            case "sleep":
                self._close_all()
                self.clock.leap(act.span_sec * self.rng.choice((0.3, 1, 5)))
            case _:
                self._for_a_while(act, "full_disk", act.name, "")

    def _do_to_links(self, act: Act, link: Connection | None) -> None:
        if act.name == "stall":
            if link is not None:
                link.is_stalled = True
                self.loop.call_later(act.span_sec, _resume, self.world, link)
            return
        if act.name == "close_all":
            self._close_all()
        elif act.name == "refuse":
            self._for_a_while(act, "is_refusing", True, False)
        elif act.name != "close" and link is not None:
            # Of the very first book, where neither REST nor another feed answers, nobody could tell that it is a part.
            self.world.snapshot_faults[act.inst_id] = getattr(_Faults, act.name)
        if link is not None:
            self.world.close(link)

    def _for_a_while(self, act: Act, name: str, value: object, then: object) -> None:
        setattr(self.world, name, value)
        self.loop.call_later(act.span_sec, setattr, self.world, name, then)

    def _close_all(self) -> None:
        for one in list(self.world.connections):
            self.world.close(one)


class _Faults:
    """What a connection gets instead of one push."""

    @staticmethod
    def wrong_level(push: dict) -> list[dict]:
        data = push["data"][0]
        for name in ("bids", "asks"):
            for level in data[name]:
                if level[1] != "0":
                    level[1] = str(int(level[1]) + 1000)
                    return [push]
        return [push]

    @staticmethod
    def drop(push: dict) -> list[dict]:
        return []

    @staticmethod
    def double(push: dict) -> list[dict]:
        return [push, push]

    @staticmethod
    def swap(push: dict) -> list[dict]:
        other = {**push, "data": [{**push["data"][0], "seqId": push["data"][0]["seqId"] + 5, "prevSeqId": 7}]}
        return [other, push]

    @staticmethod
    def other_levels(push: dict) -> list[dict]:
        data = push["data"][0]
        other = {**data, "bids": [["1", "5", "0", "1"]], "asks": []}
        return [push, {**push, "data": [other]}]

    @staticmethod
    def ts_zero(push: dict) -> list[dict]:
        return [_at(push, 0)]

    @staticmethod
    def ts_far(push: dict) -> list[dict]:
        ts = int(push["data"][0]["ts"])
        return [_at(push, ts + (60_000, 590_000, 86_400_000 * 400)[ts % 3])]

    @staticmethod
    def ts_back(push: dict) -> list[dict]:
        return [_at(push, int(push["data"][0]["ts"]) - 120_000)]

    @staticmethod
    def garbage(push: dict) -> list[dict]:
        return [{**push, "data": [{**push["data"][0], "bids": [["1", "x", "0"]]}]}]

    @staticmethod
    def crossed(push: dict) -> list[dict]:
        return [{**push, "data": [{**push["data"][0], "bids": [["2000", "5", "0", "1"]]}]}]

    @staticmethod
    def trade_drop(push: dict) -> list[dict]:
        return []

    @staticmethod
    def trade_double(push: dict) -> list[dict]:
        return [push, push]

    @staticmethod
    def trade_split(push: dict) -> list[dict]:
        return _parts(push)

    @staticmethod
    def trade_swap(push: dict) -> list[dict]:
        return _parts(push)[::-1]

    @staticmethod
    def trade_half(push: dict) -> list[dict]:
        return _parts(push)[:1]

    @staticmethod
    def trade_garbage(push: dict) -> list[dict]:
        return [{**push, "data": [{**push["data"][0], "px": 5}]}]

    @staticmethod
    def no_full_book(push: dict) -> list[dict]:
        return []

    @staticmethod
    def part_of_book(push: dict) -> list[dict]:
        data = push["data"][0]
        return [{**push, "data": [{**data, "bids": data["bids"][:5]}]}]

    @staticmethod
    def crossed_book(push: dict) -> list[dict]:
        data = push["data"][0]
        return [{**push, "data": [{**data, "bids": [["2000", "5", "0", "1"], *data["bids"]]}]}]


def _parts(push: dict) -> list[dict]:
    """A push of several matches as two; World keeps sizes apart, and here the first match gets its own."""
    (data,) = push["data"]
    count, sizes = int(data["count"]), data.get("sizes")
    if count < 2 or sizes is None:
        return [push]
    last = int(data["tradeId"])
    first = {**data, "tradeId": str(last - count + 1), "count": "1", "sz": str(sizes[0])}
    rest = {**data, "count": str(count - 1), "sz": str(sum(sizes[1:]))}
    return [{**push, "data": [one]} for one in (first, rest)]


def _at(push: dict, ts_ms: int) -> dict:
    return {**push, "data": [{**push["data"][0], "ts": str(ts_ms)}]}


def _resume(world: World, link: Connection) -> None:
    link.is_stalled = False
    held, link.held = link.held, []
    for frame in held:
        world.send(link, frame)


async def _run(recorder: Recorder, stop: asyncio.Event, crashes: list[str]) -> None:
    """A recorder may refuse to start on a full disk; it never crashes."""
    try:
        await recorder.run(stop)
    except L2VaultError as error:
        if "crashed" in str(error):
            crashes.append(f"{error} {error.__cause__!r}")


class _AtOnce:
    """In place of a thread: does its work where it is started."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


class _Rest(OkxRest):
    """REST of the world in memory."""

    def __init__(self, world: World, clock: VirtualClock) -> None:
        self._world = world
        self._clock = clock

    def instrument(self, inst_id: str) -> bytes:
        self._check()
        return b'{"instId":"%b","state":"live","ctVal":"0.01","ctMult":"1"}' % inst_id.encode()

    def book(self, inst_id: str, depth: int) -> BookChange:
        self._check()
        row = self._world.rest_book(inst_id)
        sides = [[tuple(level) for level in row[name]] for name in ("bids", "asks")]
        return BookChange(inst_id, True, *sides, int(row["ts"]), row["seqId"], None, None)

    def trades(
        self, inst_id: str, older_than: int | None, now_us: Callable[[], int], limit: int = 100
    ) -> list[TradePush]:
        self._check()
        return [
            TradePush(inst_id, row["tradeId"], row["px"], row["sz"], row["side"], row["ts"], None, row["source"], None,
                      now_us(), "rest")
            for row in self._world.instruments[inst_id].rows(older_than, limit)
        ]  # fmt: skip

    def server_time(self, monotonic_ms: Callable[[], int]) -> ServerTime:
        self._check()
        return ServerTime(self._clock.true_ms(), 20, monotonic_ms())

    def swap_names(self) -> list[str]:
        self._check()
        return list(INST_IDS)

    def close(self) -> None:
        pass

    def _check(self) -> None:
        if self._world.is_rest_down:
            raise Unavailable("no answer.", "again later")


@contextmanager
def _no_room(world: World) -> Iterator[None]:
    """On a full disk not even `health.json` can be replaced, and whoever asks is told that nothing is free."""
    disk_usage = shutil.disk_usage

    def to_health(layout: Layout, health: Health) -> None:
        if world.full_disk == "disk_full":
            raise OSError(28, "No space left on device")
        write_health(layout, health)

    def usage(path: Path) -> object:
        found = disk_usage(path)
        return found._replace(free=0) if world.full_disk == "disk_full" else found

    with (
        mock.patch("l2vault.vault.health.form.write_health", to_health),
        mock.patch("shutil.disk_usage", usage),
    ):
        yield


@contextmanager
def _in_memory(world: World) -> Iterator[None]:
    async def open_connection(url: str, *_: object) -> Socket:
        if world.is_refusing:
            raise CannotConnect("refused", "TCP")
        socket = world.connect()
        socket.closed = lambda: ConnectionClosedError(None, None)
        return socket

    append_line, append_event, write_all = LineWriter.append, Journal.append, gzip_append.write_all

    def to_file(writer: LineWriter, snapshot: Snapshot | TradePush) -> None:
        if world.full_disk in ("disk_lines", "disk_full"):
            raise OSError(28, "No space left on device")
        append_line(writer, snapshot)

    def to_journal(journal: Journal, event: Event, *how: bool) -> None:
        if world.full_disk in ("disk_journal", "disk_full"):
            raise OSError(28, "No space left on device")
        append_event(journal, event, *how)

    def to_changes(file: FileIO, data: bytes) -> None:
        if world.full_disk in ("disk_lines", "disk_full"):
            write_all(file, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write_all(file, data)

    def check_here(task: ClosedHours) -> int:
        """In this process: another would neither know virtual time nor end in it."""
        return check_hours(task._layout, task._clock.wall_ms()) // MOST_HOURS

    with (
        mock.patch.object(gzip_append, "write_all", to_changes),
        mock.patch.object(LineWriter, "append", to_file),
        mock.patch.object(Journal, "append", to_journal),
        _no_room(world),
        mock.patch("l2vault.okx.websocket.open_connection", open_connection),
        mock.patch("l2vault.recording.threads.threading.Thread", _AtOnce),
        mock.patch.object(ClosedHours, "work", check_here),
        mock.patch("os.fsync"),  # a kill here is a copy of the files: what is synced makes no difference, but for time
    ):
        yield


def _put_old_hours(root: Path) -> None:
    """Hours of the days before, one in six: true time and the policy would keep them all."""
    for hours in OLD_HOURS:
        start_ms = START_MS // HOUR_MS * HOUR_MS - hours * HOUR_MS
        lines = [_old_line(start_ms + at * CADENCE_MS) for at in range(12)]
        day, hour = utc_day_hour(start_ms)
        path = root / "raw" / "okx" / "l2_perps" / INST_IDS[0] / day / f"{hour}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0))


def _old_line(ts_ms: int) -> bytes:
    levels = [("100", "1", "0", "1")], [("101", "1", "0", "1")]
    return to_line(Snapshot(INST_IDS[0], ts_ms, 400, *levels, 0, ts_ms, ts_ms - 1))


def kept_hours(root: Path) -> set[int]:
    """The old hours that are still there, by their start."""
    names = [
        "T".join((path.parent.name, path.name[:2])) + ":00:00.000Z"
        for path in root.glob(f"raw/okx/l2_perps/{INST_IDS[0]}/*/*.jsonl*")
        if not path.name.startswith(".")
    ]
    return {ms(name) for name in names}


def _judge_retention(judgement: Judgement, life: "Life") -> None:
    """By true time an hour is kept until it has ended `delete_after_days` ago."""
    kept = kept_hours(life.root)
    newest_ms = START_MS // HOUR_MS * HOUR_MS
    for hours in OLD_HOURS:
        hour_ms = newest_ms - hours * HOUR_MS
        is_due = hour_ms + HOUR_MS + Settings().delete_after_days * 24 * HOUR_MS <= life.end_ms
        if not is_due and hour_ms not in kept:
            judgement.deleted.append(f"the hour {hours} h before the start was deleted, which the policy keeps")


def _damage(plan: Plan, root: Path) -> None:
    """What befalls the files after all was written."""
    rng = Random(f"damage {plan.seed}")
    hours = ("2025-12-31/23.jsonl", "2026-01-01/00.jsonl")
    files = sorted(path for hour in hours for path in root.glob(f"raw/okx/l2_perps/*/{hour}"))
    days = sorted(root.glob("meta/okx/journal/*.jsonl"))
    if not files or not days:
        return
    if "journal" in plan.damage:
        _damage_journal(plan.damage, rng.choice(days), rng)
    else:
        _damage_file(plan.damage, rng.choice(files), rng)


def _damage_file(damage: str, path: Path, rng: Random) -> None:
    data = path.read_bytes()
    lines = data.split(b"\n")[:-1]
    if damage == "remove":
        path.unlink()
    elif damage in ("empty_gz", "gzip_cut"):
        packed = gzip.compress(data)
        path.with_name(path.name + ".gz").write_bytes(
            gzip.compress(b"") if damage == "empty_gz" else packed[: rng.randrange(len(packed))]
        )
        path.unlink()
    elif damage in ("empty", "cut_end"):
        path.write_bytes(b"" if damage == "empty" else data[: rng.randrange(len(data) + 1)])
    elif damage != "none" and len(lines) > 3:
        at, to = sorted(rng.sample(range(len(lines)), 2))
        if damage == "swap_lines":
            lines[at], lines[to] = lines[to], lines[at]
        else:
            del lines[at : at + rng.randint(1, 5)]
        path.write_bytes(b"".join(line + b"\n" for line in lines))


def _damage_journal(damage: str, day: Path, rng: Random) -> None:
    noted = bytearray(day.read_bytes())
    if damage == "no_journal_day":
        day.unlink()
    elif damage == "journal_cut":
        day.write_bytes(noted[: rng.randrange(len(noted))])
    else:
        noted[rng.randrange(len(noted))] ^= 1 << rng.randrange(7)
        day.write_bytes(noted)


def _judge_changes(judgement: Judgement, life: Life) -> None:
    """Before the files are damaged: by the exchange's truth, and as `verify` compares them with the lines."""
    undated_ms = UNDATED_MS if UNDATED_ACTS & {act.name for act in life.plan.acts} else 0
    layout = Layout(life.root).of("changes")
    could_be_named = not {"disk_journal", "disk_full"} & {act.name for act in life.plan.acts}
    for inst_id in INST_IDS:
        truth = Truth(life.world.instruments[inst_id].images, undated_ms)
        span = START_MS, life.end_ms + 30_000
        coverage = change_coverage(Catalog(layout), JournalIndex(layout), inst_id, span)
        proved = [(each.start_ms, each.end_ms) for each in coverage.stretches if each.state == "proved"]
        judgement.pushes += judge_changes(judgement, life.root, inst_id, truth, proved, could_be_named)
    check = ChangeCheck(Layout(life.root))
    judgement.lies += [f"verify: {trouble.kind} {trouble.path.name} {trouble.text}" for trouble in check.run()]
    for kind in ROW_KINDS:
        rows = RowCheck(Layout(life.root), kind, life.end_ms)
        judgement.lies += [f"verify: {trouble.kind} {trouble.path.name} {trouble.text}" for trouble in rows.run()]
    judgement.rebuilt += check.compared.equal
    judgement.not_rebuilt += check.compared.uncovered


def _judge(judgement: Judgement, life: Life) -> Judgement:
    _judge_retention(judgement, life)
    vault = open_vault(life.root)
    undated_ms = UNDATED_MS if UNDATED_ACTS & {act.name for act in life.plan.acts} else 0
    for inst_id in INST_IDS:
        truth = Truth(life.world.instruments[inst_id].images, undated_ms)
        lines = [line for line in lines_of(life.root, inst_id) if ms(line["timestamp_utc"]) >= START_MS]
        coverage = vault.coverage(inst_id, START_MS, life.end_ms + 30_000)
        states = {
            slot_ms: (stretch.state, stretch.cause)
            for stretch in coverage.stretches
            for slot_ms in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms)
        }
        disputed = {slot_ms for slot_ms, (state, _) in states.items() if state == "disputed"}
        matches, is_whole = life.world.instruments[inst_id].matches, "journal" not in life.plan.damage
        judgement.trades[inst_id] = judge_trades(life.root, inst_id, matches, is_whole)
        judgement.trades[inst_id].wrong += judge_read_trades(life.root, inst_id, matches, is_whole)
        if is_whole:
            span = START_MS, life.end_ms + 30_000
            judgement.context += judge_context(life.root, life.world.context[inst_id], span, CADENCE_MS)
            judgement.present[inst_id] = shares(life.root, inst_id, (START_MS, life.end_ms))
        judge_lines(judgement, inst_id, lines, truth, disputed, CADENCE_MS)
        judge_slots(judgement, inst_id, states, lines, truth, CADENCE_MS)
    return judgement
