"""One tortured recording: a seeded schedule of faults, a recorder, and a judge who looks only at what was written.

The exchange runs its own market in virtual time and tells an oracle every true book and trade. The suite tortures a
few seeds; `make torture` (benchmarks/torture.py) 500.
"""

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

from l2vault.book.utc import utc_ms
from l2vault.config import Settings
from l2vault.recorder import Recorder
from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.sim.exchange.trades import Trade, single_matches
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.server import SimOptions, Simulator
from l2vault.vault.coverage.compute import Lines, cover
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS, SyncHistory
from l2vault.vault.journal.events import Event, Lost, Synced
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.layout import Layout
from support.judge_read_trades import judge_read_trades
from support.reference import NaiveReference, fingerprint
from support.trade_judge import Match, TradeVerdict, judge_trades
from support.virtual import VirtualClock, run_over_sockets

START_MS = 1_767_611_400_000
"""2026-01-05 11:10:00 UTC; each seed begins 61 s after the one before it, so that some cross an hour."""
END_WITHIN_SEC = 120
CADENCE_MS = 2000
BATCH_LAG_MS = 2_000
"""A connection that merges pushes knows the book that much later."""

Image = tuple[int, int | None, int]
"""A true book: its time, its `seqId`, the fingerprint of its levels."""


@dataclass
class Schedule:
    """What one seed tortures."""

    seed: int
    inst_ids: tuple[str, ...]
    feeds: int
    seconds: int
    faults: str


@dataclass
class Verdict:
    """What the judge found; only `complaints` count against the recorder."""

    schedule: Schedule
    complaints: list[str] = field(default_factory=list)
    slots: Counter[str] = field(default_factory=Counter)
    recoveries: list[tuple[str, float]] = field(default_factory=list)
    """Cause and seconds of exchange time until the next full book on that feed."""
    trades: dict[str, TradeVerdict] = field(default_factory=dict)


class Oracle(NaiveReference):
    """Every book the exchange had, by instrument, in order, rebuilt without a line of the package."""

    def __init__(self) -> None:
        self.images: dict[str, list[Image]] = defaultdict(list)
        super().__init__(lambda inst_id, *image: self.images[inst_id].append(image))


FAULTS = (
    "drop:inst={inst},at={at},k={few},conn={conn}",
    "drop:p=0.01,conn={conn},at={at},until={later}",
    "duplicate:inst={inst},at={at},conn={conn}",
    "reorder:inst={inst},at={at},conn={conn}",
    "corrupt:inst={inst},at={at},how=flip,conn={conn}",
    "corrupt:inst={inst},at={at},how=cut,conn={conn}",
    "corrupt:inst={inst},at={at},how=unquoted,conn={conn}",
    "missing:inst={inst},at={at},field=ts,conn={conn}",
    "missing:inst={inst},at={at},field=bids,conn={conn}",
    "missing:inst={inst},at={at},field=prevSeqId,conn={conn}",
    "missing:inst={inst},at={at},field=arg,conn={conn}",
    "unknown-field:inst={inst},at={at},where=data",
    "unknown-event:at={at}",
    "ts:inst={inst},at={at},how=zero,conn={conn}",
    "ts:inst={inst},at={at},how=back,conn={conn}",
    "ts:inst={inst},at={at},how=repeat,conn={conn}",
    "heartbeat:inst={inst},at={at}",
    "reset:inst={inst},at={at}",
    "reset:inst={inst},at={at},lost={conn}",
    "snapshot:inst={inst},at={at},conn={conn}",
    "no-snapshot:inst={inst},at={at},for={span},conn={conn}",
    "late-snapshot:inst={inst},at={at},conn={conn}",
    "levels:inst={inst},at={at},conn={conn}",
    "crossed:inst={inst},at={at},conn={conn}",
    "unknown-delete:inst={inst},at={at}",
    "resend:inst={inst},at={at}",
    "checksum:inst={inst},at={at},how=wrong,conn={conn}",
    "checksum:inst={inst},at={at},how=real",
    "notice:at={at},after=5s,conn={conn}",
    "close:at={at},code=1006,conn={conn}",
    "close:at={at},code=4004,conn={conn}",
    "close:at={at},code=4005,conn={conn}",
    "cut:at={at},conn={conn}",
    "big-frame:at={at}",
    "half-open:at={at},for={span},conn={conn}",
    "no-book:inst={inst},at={at},for={span},conn={conn}",
    "stall:at={at},for={span},conn={conn}",
    "refuse:at={at},for={span},how=503",
    "error:at={at},code=60018,inst={inst},conn={conn}",
    "error:at={at},code=60014,conn={conn}",
    "batch:conn=second,merge=3,offset=1",
    "rest:at={at},answer=429-html,for={span}",
    "rest:at={at},answer=older,for={span}",
    "state:inst={inst},at={at},for={span},to=preopen,crossed=yes",
)


class TradeOracle:
    """Every match of every instrument, by its id."""

    def __init__(self) -> None:
        self.matches: dict[str, dict[int, Match]] = defaultdict(dict)

    def __call__(self, trade: Trade) -> None:
        for one in single_matches(trade):
            self.matches[one.inst_id][one.trade_id] = Match(one.px, one.sz, one.side, str(one.ts_ms), one.source)


TRADE_FAULTS = (
    "drop:channel=trades,inst={inst},at={at},k={few},conn={conn}",
    "drop:channel=trades,p=0.02,conn={conn},at={at},until={later}",
    "duplicate:channel=trades,inst={inst},at={at},conn={conn}",
    "reorder:channel=trades,p=0.05,at={at},until={later},conn={conn}",
    "corrupt:channel=trades,inst={inst},at={at},how=flip,k={few},conn={conn}",
    "corrupt:channel=trades,inst={inst},at={at},how=cut,conn={conn}",
    "corrupt:channel=trades,inst={inst},at={at},how=unquoted,conn={conn}",
    "missing:channel=trades,inst={inst},at={at},field=tradeId,conn={conn}",
    "missing:channel=trades,inst={inst},at={at},field=px,conn={conn}",
    "unknown-field:channel=trades,inst={inst},at={at}",
    "trade-split:first=1,p=0.5,conn=first;trade-split:first=2,p=0.5,conn=second",
    "close:at={at},code=1006,conn=all",
    "rest:at={at},answer=503,path=history-trades,for={span}",
    "rest:at={at},answer=429-html,path=history-trades,for={span}",
    "rest:at={at},answer=empty,path=history-trades,for={span}",
)


def schedule_of(seed: int) -> Schedule:
    """Two or five instruments, one or two feeds, several faults at once: all of it from the seed."""
    rng = Random(seed)
    inst_ids = tuple(known_inst_ids(rng.choice((2, 2, 5))))
    seconds = rng.randint(50, 80)
    faults = [_filled_in(text, rng, seconds, inst_ids) for text in rng.sample(FAULTS, rng.randint(2, 6))]
    feeds = rng.choice((1, 2))
    of_trades = Random(f"trades {seed}")  # a number of its own, so that books meet what they met before
    for text in of_trades.sample(TRADE_FAULTS, of_trades.randint(0, 3)):
        faults.append(_filled_in(text, of_trades, seconds, inst_ids))
    return Schedule(seed, inst_ids, feeds, seconds, f"seed={seed};" + ";".join(faults))


def _filled_in(text: str, rng: Random, seconds: int, inst_ids: tuple[str, ...]) -> str:
    at = rng.uniform(3, seconds * 0.6)
    return text.format(
        inst=rng.choice(inst_ids),
        at=f"{at:.2f}s",
        later=f"{at + rng.uniform(1, 15):.2f}s",
        few=rng.randint(1, 4),
        span=f"{rng.uniform(2, 20):.1f}s",
        conn=rng.choice(("first", "second", "all", "all")),
    )


def torture(schedule: Schedule, root: Path) -> Verdict:
    """Record under the schedule in virtual time, over real sockets, then judge."""
    return run_over_sockets(
        lambda loop: _torture(schedule, root, VirtualClock(loop, START_MS + 61_000 * schedule.seed))
    )


async def _torture(schedule: Schedule, root: Path, clock: VirtualClock) -> Verdict:
    oracle, trades = Oracle(), TradeOracle()
    options = SimOptions(inst_ids=schedule.inst_ids, seed=schedule.seed, faults=parse_faults(schedule.faults))
    simulator = Simulator(options, clock, oracle, trades)
    await simulator.start()
    settings = Settings(
        columns=False,
        instruments=schedule.inst_ids,
        cadence_sec=CADENCE_MS / 1000,
        feeds=schedule.feeds,
        ws_url=(simulator.ws_url,),
        rest_url=simulator.rest_url,
        retention=False,
    )
    stop = asyncio.Event()
    recorder = Recorder(settings, Layout(root), clock, Random(schedule.seed), lambda status: None)
    await _record(recorder, stop, clock, schedule.seconds)
    await simulator.stop(grace_sec=0.1)
    verdict = Verdict(schedule)
    limits = simulator.limits
    if limits.violations:
        counts = f"{limits.connects_over} connections, {limits.requests_over} requests, {limits.rest_over} by REST"
        verdict.complaints.append(f"too many for OKX's limits: {counts}; {limits.oversized} requests too large")
    _judge(verdict, root, oracle)
    for inst_id in schedule.inst_ids:
        verdict.trades[inst_id] = judge_trades(root, inst_id, trades.matches[inst_id])
        verdict.complaints += verdict.trades[inst_id].complaints
        verdict.complaints += judge_read_trades(root, inst_id, trades.matches[inst_id])
    return verdict


async def _record(recorder: Recorder, stop: asyncio.Event, clock: VirtualClock, seconds: int) -> None:
    async with asyncio.timeout(seconds + END_WITHIN_SEC):
        recording = asyncio.create_task(recorder.run(stop))
        await clock.sleep(seconds)
        stop.set()
        await recording


def _judge(verdict: Verdict, root: Path, oracle: Oracle) -> None:
    events = list(read_journal(Layout(root)))
    index = JournalIndex(Layout(root))
    for inst_id in verdict.schedule.inst_ids:
        lines = written_lines(root, inst_id)
        images = oracle.images[inst_id]
        _judge_lines(verdict, inst_id, lines, images)
        _judge_slots(verdict, inst_id, lines, images, (events, index.history(inst_id)))
        verdict.recoveries += _recoveries(events, inst_id)


def _judge_lines(verdict: Verdict, inst_id: str, lines: list[dict], images: list[Image]) -> None:
    truth = defaultdict(list)
    for _, seq_id, levels in images:
        truth[seq_id].append(levels)
    for line in lines:
        if fingerprint(line["bids_top400"], line["asks_top400"]) not in truth[line["seqId"]] or not _is_sorted(line):
            flag = "flagged " if line["gap_detected"] else ""
            verdict.complaints.append(f"wrong {flag}line {inst_id} {line['timestamp_utc']} seqId {line['seqId']}")
    times = [line["timestamp_utc"] for line in lines if not line["gap_detected"]]
    if times != sorted(set(times)):
        verdict.complaints.append(f"doubled or unordered lines of {inst_id}")


def _is_sorted(line: dict) -> bool:
    bids = [Decimal(level[0]) for level in line["bids_top400"]]
    asks = [Decimal(level[0]) for level in line["asks_top400"]]
    return bids == sorted(set(bids), reverse=True) and asks == sorted(set(asks))


def _judge_slots(
    verdict: Verdict, inst_id: str, lines: list[dict], images: list[Image], told: tuple[list[Event], SyncHistory]
) -> None:
    events, history = told
    synced = [
        utc_ms(event.ts) for event in events if isinstance(event, Synced) and event.inst_id == inst_id and event.ts
    ]
    if not synced:
        verdict.complaints.append(f"{inst_id} was never in sync")
        return
    times = sorted(utc_ms(line["timestamp_utc"]) for line in lines if not line["gap_detected"])
    span = (min(synced), images[-1][0] - CADENCE_MS)
    coverage = cover(history, inst_id, Lines(times, ALWAYS_MS, NEVER_MS), span)
    for stretch in coverage.stretches:
        verdict.slots[stretch.state if stretch.state != "missing" else f"missing ({stretch.cause})"] += stretch.slots
        if stretch.state == "unknown":
            verdict.complaints.append(f"{stretch.slots} slots of {inst_id} unexplained from {stretch.first_ms}")
        if stretch.state == "quiet":
            for slot_ms in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms):
                _judge_quiet(verdict, inst_id, slot_ms, times, images)


def _judge_quiet(verdict: Verdict, inst_id: str, slot_ms: int, times: list[int], images: list[Image]) -> None:
    """A slot said to be quiet: nothing may have changed since the last line."""
    last_ms = max((ts_ms for ts_ms in times if ts_ms <= slot_ms), default=0)
    lag_ms = BATCH_LAG_MS if "batch:" in verdict.schedule.faults else 0
    changed = [
        after[0]
        for before, after in pairwise(images)
        if last_ms < after[0] <= slot_ms - lag_ms and before[2] != after[2]
    ]
    if changed:
        verdict.complaints.append(f"slot {slot_ms} of {inst_id} reads as quiet, but the book changed at {changed[0]}")


def _recoveries(events: list[Event], inst_id: str) -> list[tuple[str, float]]:
    found = []
    open_losses: dict[int, Lost] = {}
    for event in events:
        if isinstance(event, Lost) and event.inst_id == inst_id and event.from_ and event.cause != "our_restart":
            open_losses[event.feed] = event
        elif isinstance(event, Synced) and event.inst_id == inst_id and event.feed in open_losses:
            lost = open_losses.pop(event.feed)
            found.append((lost.cause, (utc_ms(event.at) - utc_ms(lost.at)) / 1000))
    return found


def written_lines(root: Path, inst_id: str) -> list[dict]:
    """Every line of the instrument's plain hours, in order."""
    files = sorted(root.glob(f"raw/okx/l2_perps/{inst_id}/*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
