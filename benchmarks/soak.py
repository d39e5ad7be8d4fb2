"""Records a day of exchange time with faults and watches for what grows: memory, handles, tasks. `make soak`.

    python benchmarks/soak.py [--hours 24] [--scale 40]      (--hours 0.5 to see that it works)

The exchange and the recorder share one process and one clock, `scale` times as fast as the world. Prints one row an
hour of exchange time; exits with 1 if live memory (Python's allocated blocks) or resident memory grew by more than a
tenth from the first to the second half of what follows the warm-up (a quarter of the run; medians, since both go up and
down within each hour), if handles or tasks grew, if an audit disagreed or the feeds did, or if any line does not read
back as it was written or is not the book that a naive reference made of what the exchange sent. Live and resident are
told apart because the allocator keeps freed memory: in the first hours resident grows while nothing live does.
"""

import argparse
import asyncio
import gc
import gzip
import json
import logging
import struct
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import BinaryIO, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from l2vault.book.snapshot import from_line, to_line  # noqa: E402
from l2vault.config import Settings  # noqa: E402
from l2vault.recorder import Recorder  # noqa: E402
from l2vault.sim.faults.spec import parse_faults  # noqa: E402
from l2vault.sim.server.server import SimOptions, Simulator  # noqa: E402
from l2vault.vault.journal.events import Audited, Conflicted, Lost, Minute  # noqa: E402
from l2vault.vault.journal.log import read_journal  # noqa: E402
from l2vault.vault.store.layout import Layout  # noqa: E402
from l2vault.verbs.words import hours  # noqa: E402
from support.fast_clock import FastClock, disk_in_real_time  # noqa: E402
from support.reference import NaiveReference, fingerprint  # noqa: E402

INST_IDS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
FAULTS = (
    "seed=1;drop:p=0.0003,conn=first;corrupt:inst=BTC-USDT-SWAP,at=300s,every=25m,how=flip,conn=second;"
    "close:at=600s,every=30m,code=1006,conn=first;notice:at=900s,every=1h,after=30s,conn=second;"
    "stall:at=1200s,every=40m,for=8s,conn=first;half-open:at=1500s,every=50m,for=60s,conn=second;"
    "reset:inst=ETH-USDT-SWAP,at=1800s,every=1h;rest:at=2000s,every=35m,for=60s,answer=429-html;"
    "close:at=2400s,every=2h,code=4004;heartbeat:inst=ETH-USDT-SWAP,at=100s,every=10m"
)


TRUE_BOOK = struct.Struct("<Bqq")
"""Instrument, `seqId` and fingerprint of a book the exchange had: a day of them lies on disk, not in memory."""
REFERENCE = "reference"


class Sample(NamedTuple):
    rss_mb: float
    blocks: int
    handles: int
    tasks: int


async def soak(hours: float, scale: int, folder: Path) -> list[Sample]:
    """One sample at the end of each hour of exchange time. The vault is in `folder`, and what the reference saw."""
    clock = FastClock(scale)
    with (folder / REFERENCE).open("wb") as file:
        options = SimOptions(inst_ids=INST_IDS, seed=1, faults=parse_faults(FAULTS))
        simulator = Simulator(options, clock, _reference(file))
        await simulator.start()
        with disk_in_real_time(scale):
            samples = await _record(hours, clock, simulator, folder / "vault")
        await simulator.stop(grace_sec=0.1)
    return samples


def _reference(file: BinaryIO) -> NaiveReference:
    def keep(inst_id: str, ts_ms: int, seq_id: int | None, levels: int) -> None:
        file.write(TRUE_BOOK.pack(INST_IDS.index(inst_id), seq_id or 0, levels))

    return NaiveReference(keep)


async def _record(hours: float, clock: FastClock, simulator: Simulator, root: Path) -> list[Sample]:
    settings = Settings(
        instruments=INST_IDS,
        ws_url=(simulator.ws_url,),
        rest_url=simulator.rest_url,
        compress_after_hours=2,
        columns=False,
    )
    stop = asyncio.Event()
    recorder = Recorder(settings, Layout(root), clock, Random(1), lambda status: None)
    recording = asyncio.create_task(recorder.run(stop))
    process, samples = psutil.Process(), []
    for hour in range(max(1, round(hours))):
        until_ms = clock.monotonic_ms() + round(3_600_000 * min(1.0, hours))
        while clock.monotonic_ms() < until_ms and not recording.done():
            await clock.sleep(60)
        gc.collect()
        sample = Sample(
            process.memory_info().rss / 1e6, sys.getallocatedblocks(), _handles(process), len(asyncio.all_tasks())
        )
        samples.append(sample)
        memory = f"{sample.rss_mb:6.1f} MB resident, {sample.blocks} blocks live"
        print(f"hour {hour + 1:3}: {memory}, {sample.handles} handles, {sample.tasks} tasks", flush=True)
    stop.set()
    await recording
    return samples


def complaints(samples: list[Sample], folder: Path) -> list[str]:
    """What is wrong with the run, in words."""
    found, root = _growth(samples), folder / "vault"
    events = list(read_journal(Layout(root)))
    outcomes = Counter(event.outcome for event in events if isinstance(event, Audited))
    print(f"audits: {dict(outcomes)}; losses: {dict(Counter(e.cause for e in events if isinstance(e, Lost)))}")
    print(f"lines: {sum(o.lines for e in events if isinstance(e, Minute) for o in e.instruments.values())}")
    if outcomes["mismatch"] or not outcomes["equal"]:
        found.append(f"audits did not agree: {dict(outcomes)}")
    if any(isinstance(event, Conflicted) for event in events):
        found.append("the two feeds disagreed")
    return found + _wrong_lines(folder)


def _growth(samples: list[Sample]) -> list[str]:
    """What grew after the warm-up, in words."""
    warm = samples[len(samples) // 4 :]
    early, late = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    if not early:
        print("too short to tell whether memory grows")
        return []
    found = []
    for name, limit in (("rss_mb", 1.1), ("blocks", 1.1), ("handles", 1.2), ("tasks", 1.1)):
        before, after = (median(getattr(sample, name) for sample in each) for each in (early, late))
        print(f"{name}: {before:.1f} in the first half after the warm-up, {after:.1f} in the second")
        if after > before * limit:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    return found


def _wrong_lines(folder: Path) -> list[str]:
    """Lines that do not read back as they were written, and lines whose levels the exchange never had."""
    found, said = [], defaultdict(list)
    for path, number, line in _lines(folder / "vault"):
        if to_line(from_line(line)) != line:
            found.append(f"{path}: line {number} is not what it says")
        row = json.loads(line)
        levels = fingerprint(row["bids_top400"], row["asks_top400"])
        said[INST_IDS.index(row["instId"]), row["seqId"], levels].append(f"{path}: line {number}")
    count = sum(map(len, said.values()))
    with (folder / REFERENCE).open("rb") as file:
        while data := file.read(TRUE_BOOK.size * 4096):
            for inst, seq_id, levels in TRUE_BOOK.iter_unpack(data):
                said.pop((inst, seq_id, levels), None)
    print(f"lines read: {count}; of another book than the exchange had: {sum(map(len, said.values()))}")
    return found + [f"{place} is no book that the exchange had" for places in said.values() for place in places]


def _lines(root: Path) -> Iterator[tuple[Path, int, bytes]]:
    for path in sorted([*root.rglob("l2_perps/**/*.jsonl"), *root.rglob("l2_perps/**/*.jsonl.gz")]):
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        for number, line in enumerate(text.splitlines(), 1):
            yield path, number, line


def _handles(process: psutil.Process) -> int:
    return int(process.num_handles() if sys.platform == "win32" else process.num_fds())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=hours, default=24)
    parser.add_argument("--scale", type=int, default=40)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        samples = asyncio.run(soak(args.hours, args.scale, Path(folder)))
        found = complaints(samples, Path(folder))
    for complaint in found:
        print(f"COMPLAINT: {complaint}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
