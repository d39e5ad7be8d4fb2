"""What recording costs at OKX's pace: memory and CPU of the recorder process alone, the exchange being another one.

    python benchmarks/bench_light.py [--seconds 120]

Prints the resident memory (peak) and the share of one core over the run, without the first ten seconds.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from l2vault.verbs.words import seconds

WARM_UP_SEC = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=seconds, default=120)
    length_sec = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        vault = Path(folder, "vault")
        words = ["record", "--demo", "--vault", str(vault), "--log-file", str(Path(folder, "log"))]
        with subprocess.Popen([sys.executable, "-m", "l2vault", *words], stderr=subprocess.DEVNULL) as recorder:
            try:
                peak_bytes, cpu_share = _watch(psutil.Process(recorder.pid), length_sec)
            finally:
                recorder.terminate()
        lines = sum(path.read_bytes().count(b"\n") for path in vault.rglob("raw/**/*.jsonl"))
        written = sum(path.stat().st_size for path in vault.rglob("raw/**/*.jsonl"))
    print(f"{length_sec:.0f} s, 2 instruments every 2 s: {lines} lines, {written / 1e6:.1f} MB written")
    print(f"resident memory, peak: {peak_bytes / 1e6:.1f} MB")
    print(f"CPU: {cpu_share * 100:.2f} % of a core")
    return 0


def _watch(process: psutil.Process, seconds: float) -> tuple[int, float]:
    time.sleep(WARM_UP_SEC)
    began, cpu_before = time.monotonic(), _cpu_sec(process)
    peak_bytes = 0
    while time.monotonic() - began < seconds:
        peak_bytes = max(peak_bytes, process.memory_info().rss)
        time.sleep(0.5)
    return peak_bytes, (_cpu_sec(process) - cpu_before) / (time.monotonic() - began)


def _cpu_sec(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    sys.exit(main())
