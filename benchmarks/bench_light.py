"""What recording costs at OKX's pace: memory and CPU of the recorder process alone, the exchange being another one.

    python benchmarks/bench_light.py [--seconds 120] [--changes] [--instruments 2]

Prints the resident memory (peak) and the share of one core over the run, without the first ten seconds (a second for
each instrument, if these are more). `--changes`: two recorders run at the same time, one with changes and one without,
and what they cost is given as a ratio too; with more than two instruments only the one with changes. The share is of a
second of exchange time: where the machine is too busy for the exchange to keep its pace, less of it passes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psutil

from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.verbs.words import seconds

WARM_UP_SEC = 10
CADENCE_SEC = 2


class Cost(NamedTuple):
    peak_bytes: int
    cpu_share: float
    exchange_sec: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=seconds, default=120)
    parser.add_argument("--changes", action="store_true")
    parser.add_argument("--instruments", type=int, default=2)
    args = parser.parse_args()
    if args.instruments > 2:
        inst_ids = known_inst_ids(args.instruments)
        with tempfile.TemporaryDirectory() as folder:
            flags = (*inst_ids, *(["--changes"] if args.changes else []))
            cost = _run(Path(folder, "many"), args.seconds, *flags, instruments=args.instruments)
            kinds = "books, trades, context and changes" if args.changes else "books, trades and context"
            _print(f"{args.instruments} instruments, {kinds}, two feeds", Path(folder, "many"), cost, args.seconds)
        return 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        every = pool.submit(_run, Path(folder, "changes"), args.seconds, "--changes") if args.changes else None
        plain = _run(Path(folder, "plain"), args.seconds)
        _print("2 instruments every 2 s", Path(folder, "plain"), plain, args.seconds)
        if every is not None:
            _print("the same with changes", Path(folder, "changes"), every.result(), args.seconds)
            memory, cpu = (after / before for after, before in zip(every.result()[:2], plain[:2], strict=True))
            print(f"with changes: {memory:.2f} times the memory, {cpu:.2f} times the processor")
    return 0


def _run(vault: Path, seconds: float, *flags: str, instruments: int = 2) -> Cost:
    words = ["record", "--demo", "--vault", str(vault), "--log-file", str(vault.with_suffix(".log")), *flags]
    with subprocess.Popen([sys.executable, "-m", "l2vault", *words], stderr=subprocess.DEVNULL) as recorder:
        try:
            return _watch(psutil.Process(recorder.pid), vault, seconds, instruments)
        finally:
            recorder.terminate()


def _print(name: str, vault: Path, cost: Cost, seconds: float) -> None:
    lines = _lines(vault)
    written = sum(path.stat().st_size for path in vault.rglob("raw/okx/l2_perps/**/*.jsonl"))
    print(f"{seconds:.0f} s, {name}: {lines} lines, {written / 1e6:.1f} MB written")
    for path in sorted(vault.rglob("raw/okx/book_changes/*/*/*.gz")):
        per_hour = path.stat().st_size / (seconds + WARM_UP_SEC) * 3600
        print(f"changes of {path.parts[-3]}: {per_hour / 1e6:.1f} MB an hour")
    print(f"resident memory, peak: {cost.peak_bytes / 1e6:.1f} MB")
    print(f"CPU: {cost.cpu_share * 100:.2f} % of a core, over {cost.exchange_sec:.0f} s of exchange time")


def _watch(process: psutil.Process, vault: Path, seconds: float, instruments: int) -> Cost:
    time.sleep(max(WARM_UP_SEC, instruments))
    began, cpu_before, lines_before = time.monotonic(), _cpu_sec(process), _lines(vault)
    peak_bytes = 0
    while time.monotonic() - began < seconds:
        peak_bytes = max(peak_bytes, process.memory_info().rss)
        time.sleep(0.5)
    cpu_sec, lines = _cpu_sec(process) - cpu_before, _lines(vault) - lines_before
    exchange_sec = lines * CADENCE_SEC / instruments
    return Cost(peak_bytes, cpu_sec / exchange_sec, exchange_sec)


def _lines(vault: Path) -> int:
    """Of books: each instrument has one in each two seconds of exchange time."""
    return sum(path.read_bytes().count(b"\n") for path in vault.rglob("raw/okx/l2_perps/**/*.jsonl"))


def _cpu_sec(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    sys.exit(main())
