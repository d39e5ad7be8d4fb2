"""Records under many seeded schedules of faults and judges what was written: `make torture`.

    python benchmarks/torture.py [--seeds 500] [--first 0] [--jobs 2]

Prints each complaint with its schedule, what became of all slots, and how long recovery took; exits with 1 on any.
"""

import argparse
import logging
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.torture import Verdict, schedule_of, torture  # noqa: E402


def _run_seed(seed: int) -> Verdict:
    logging.disable(logging.CRITICAL)
    schedule = schedule_of(seed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return torture(schedule, Path(folder))
        except TimeoutError:
            return Verdict(schedule, ["it hung"])
        except Exception as error:  # noqa: BLE001 - a crash is a finding like any other
            return Verdict(schedule, [f"it crashed: {error!r} {error.__cause__!r}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    slots: Counter[str] = Counter()
    recoveries: dict[str, list[float]] = defaultdict(list)
    bad = 0
    with ProcessPoolExecutor(args.jobs) as pool:
        for verdict in pool.map(_run_seed, range(args.first, args.first + args.seeds)):
            slots.update(verdict.slots)
            for cause, seconds in verdict.recoveries:
                recoveries[cause].append(seconds)
            bad += bool(verdict.complaints)
            for complaint in verdict.complaints:
                print(f"seed {verdict.schedule.seed} ({verdict.schedule.feeds} feeds): {complaint}")
            if verdict.complaints:
                print(f"    {verdict.schedule.faults}", flush=True)
    print(f"{args.seeds} schedules, {bad} with complaints; slots: {dict(slots.most_common())}")
    print("recovery of a feed, seconds of exchange time: cause, times, median, longest")
    for cause, seconds in sorted(recoveries.items()):
        print(f"  {cause:12} {len(seconds):6} {median(seconds):8.1f} {max(seconds):8.1f}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
