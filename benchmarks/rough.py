"""Lives through many rough lives of a recorder in virtual time and judges what is claimed; a half of `make torture`.

    .venv/bin/python benchmarks/rough.py [--seeds 500] [--first 0] [--jobs 2]

Each seed is a plan of faults of feeds, links, REST, disk, clocks and the process, and then of the files
(tests/support/rough.py). The last life has ten minutes of two feeds whose connections end each second. Prints each
complaint with its plan, and the counts; exits with 1 on any complaint.
"""

import argparse
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.judge import Judgement  # noqa: E402
from support.rough import flapping, live_through, plan_of  # noqa: E402


def _live(seed: int) -> Judgement | str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return live_through(plan_of(seed), Path(folder))
        except Exception as error:  # noqa: BLE001 - a crash is a finding like any other
            return f"it crashed: {error!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    slots: Counter[str] = Counter()
    found: Counter[str] = Counter()
    seeds = range(args.first, args.first + args.seeds)
    with ProcessPoolExecutor(args.jobs) as pool:
        for seed, judgement in zip(seeds, pool.map(_live, seeds), strict=True):
            if isinstance(judgement, str):
                found["crashes"] += 1
                print(f"{plan_of(seed)}\n    {judgement}", flush=True)
                continue
            slots.update(judgement.slots)
            found["wrong unflagged lines"] += len(judgement.wrong_lines)
            found["doubled lines"] += len(judgement.doubles)
            found["slots called recorded or quiet that are not"] += len(judgement.lies)
            found["crashes"] += len(judgement.crashes)
            found["hours deleted that policy and true time would keep"] += len(judgement.deleted)
            if judgement.complaints:
                print(plan_of(seed))
                print("".join(f"    {complaint}\n" for complaint in judgement.complaints[:5]), end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for complaint in flapping(600, Path(folder)):
            found["complaints of ten minutes of flapping"] += 1
            print(complaint)
    print(f"{args.seeds} rough lives: {', '.join(f'{count} {what}' for what, count in found.items())}")
    print(f"slots: {dict(slots.most_common())}")
    return 1 if sum(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
