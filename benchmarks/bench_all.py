"""Every measure in one run on one machine: `make bench`, or `make bench BENCH=--quick` to see that all of it works.

    python benchmarks/bench_all.py [--quick] [--rounds 5]

Writes `benchmarks/results.md` and `benchmarks/results.png`; a quick run writes to `build/` instead. It talks to
127.0.0.1 alone, apart from the installation of the peers, and ends by itself after about half an hour.
"""

import argparse
import sys
import time
from pathlib import Path

from bench_feed import measure_feed
from bench_intelligence import measure_intelligence
from bench_job import CONFIGURATIONS, QUICK, measure_jobs
from bench_reading import measure_reading
from bench_storage import measure_storage
from material import hour_lines
from pages import Findings, page
from picture import draw
from venvs import ROOT

MESSAGES, QUICK_MESSAGES = 20_000, 3_000
JOB_SEC, QUICK_JOB_SEC = 120.0, 70.0
"""The quick one is long enough for retention, which begins a minute after the recorder."""
SMALLER = (15, 54)
"""The most levels a message, beside the feed as it comes: OKX's own pushes have about 14."""
SHORT_ROUNDS = 3
"""Of the reading measures, each of which takes half a minute a round."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller and less exact, into build/")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    is_quick = args.quick
    rounds = 2 if is_quick else args.rounds
    began = time.time()
    messages = QUICK_MESSAGES if is_quick else MESSAGES
    feed, runs = fed = measure_feed(messages, rounds)
    smaller = [measure_feed(messages, rounds, most) for most in SMALLER]
    storage = measure_storage(rounds)
    reading, sizes = measure_reading(1 if is_quick else min(rounds, SHORT_ROUNDS))
    jobs = measure_jobs(QUICK if is_quick else CONFIGURATIONS, QUICK_JOB_SEC if is_quick else JOB_SEC, hour_lines())
    liquidity = measure_intelligence(2 if is_quick else 24, 1 if is_quick else SHORT_ROUNDS)
    findings = Findings(
        began, time.time(), rounds, is_quick, feed, runs, storage, reading, sizes, jobs, [*smaller, fed]
    )
    folder = ROOT / "build" if is_quick else ROOT / "benchmarks"
    folder.mkdir(exist_ok=True)
    Path(folder, "results.md").write_text(page(findings) + liquidity, encoding="utf-8", newline="\n")
    draw(findings, folder / "results.png")
    print(f"written: {folder / 'results.md'} and results.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
