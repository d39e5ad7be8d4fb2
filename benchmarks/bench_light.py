"""What recording costs at OKX's pace: memory and CPU of the recorder process alone, the exchange being another one.

    python benchmarks/bench_light.py [--seconds 120] [--changes]

Prints the resident memory (peak) and the share of one core over the run, without the first ten seconds. `--changes`:
two recorders run at the same time, one with changes and one without, and what they cost is given as a ratio too.
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

from l2vault.verbs.words import seconds

WARM_UP_SEC = 10


class Cost(NamedTuple):
    peak_bytes: int
    cpu_share: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=seconds, default=120)
    parser.add_argument("--changes", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        every = pool.submit(_run, Path(folder, "changes"), args.seconds, "--changes") if args.changes else None
        plain = _run(Path(folder, "plain"), args.seconds)
        _print("2 instruments every 2 s", Path(folder, "plain"), plain, args.seconds)
        if every is not None:
            _print("the same with changes", Path(folder, "changes"), every.result(), args.seconds)
            memory, cpu = (after / before for after, before in zip(every.result(), plain, strict=True))
            print(f"with changes: {memory:.2f} times the memory, {cpu:.2f} times the processor")
    return 0


def _run(vault: Path, seconds: float, *flags: str) -> Cost:
    words = ["record", "--demo", "--vault", str(vault), "--log-file", str(vault.with_suffix(".log")), *flags]
    with subprocess.Popen([sys.executable, "-m", "l2vault", *words], stderr=subprocess.DEVNULL) as recorder:
        try:
            return _watch(psutil.Process(recorder.pid), seconds)
        finally:
            recorder.terminate()


def _print(name: str, vault: Path, cost: Cost, seconds: float) -> None:
    lines = sum(path.read_bytes().count(b"\n") for path in vault.rglob("raw/okx/l2_perps/**/*.jsonl"))
    written = sum(path.stat().st_size for path in vault.rglob("raw/okx/l2_perps/**/*.jsonl"))
    print(f"{seconds:.0f} s, {name}: {lines} lines, {written / 1e6:.1f} MB written")
    for path in sorted(vault.rglob("raw/okx/book_changes/*/*/*.gz")):
        per_hour = path.stat().st_size / (seconds + WARM_UP_SEC) * 3600
        print(f"changes of {path.parts[-3]}: {per_hour / 1e6:.1f} MB an hour")
    print(f"resident memory, peak: {cost.peak_bytes / 1e6:.1f} MB")
    print(f"CPU: {cost.cpu_share * 100:.2f} % of a core")


def _watch(process: psutil.Process, seconds: float) -> Cost:
    time.sleep(WARM_UP_SEC)
    began, cpu_before = time.monotonic(), _cpu_sec(process)
    peak_bytes = 0
    while time.monotonic() - began < seconds:
        peak_bytes = max(peak_bytes, process.memory_info().rss)
        time.sleep(0.5)
    return Cost(peak_bytes, (_cpu_sec(process) - cpu_before) / (time.monotonic() - began))


def _cpu_sec(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    sys.exit(main())
