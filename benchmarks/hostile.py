"""Reads vaults that somebody wishes ill, each in a process of its own, and lists what ended in anything but an answer.

    .venv/bin/python benchmarks/hostile.py [--seeds 500] [--first 0] [--jobs 2] [--sparse-mb 64]

Each seed changes journal, hours, archive, rows and folders of a small vault (tests/support/hostile.py), then asks every
reading verb and the public door. Prints each complaint with its seed and what was changed, then the counts; exits with
1 on any complaint, and on a seed that takes over WITHIN_SEC or MOST_MB. Part of `make torture`.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections import Counter
from multiprocessing import TimeoutError, get_context
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

WITHIN_SEC: Final = 600
MOST_MB: Final = 700
"""Of resident memory; the analysis libraries alone take 250."""


class _Read(NamedTuple):
    changes: list[str]
    complaints: list[str]
    peak_mb: int


def _read(good: Path, seed: int) -> _Read:
    from support.hostile import read_all, spoil

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "Vault"
        shutil.copytree(good, root)
        changes = spoil(root, seed)
        return _Read(changes, list(read_all(root)), _peak_mb())


def _peak_mb() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sparse-mb", type=int, default=64, help="size of a hole put into a file")
    args = parser.parse_args()
    os.environ["L2_SPARSE_BYTES"] = str(args.sparse_mb << 20)
    from support.hostile import vault_of

    changes: Counter[str] = Counter()
    bad, peak_mb = 0, 0
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
        good = vault_of(Path(folder) / "good").root
        seeds = range(args.first, args.first + args.seeds)
        for seed, waiting in [(seed, pool.apply_async(_read, (good, seed))) for seed in seeds]:
            try:
                read = waiting.get(WITHIN_SEC)
            except TimeoutError:
                read = _Read([], [f"no end within {WITHIN_SEC} s"], 0)
            changes.update(read.changes)
            peak_mb = max(peak_mb, read.peak_mb)
            complaints = read.complaints + [f"{read.peak_mb} MB of memory"] * (read.peak_mb > MOST_MB)
            bad += bool(complaints)
            for complaint in complaints:
                print(f"seed {seed} ({', '.join(read.changes)}): {complaint}", flush=True)
    print(f"{args.seeds} vaults, {changes.total()} changes, {bad} with a complaint, at most {peak_mb} MB")
    print(", ".join(f"{count} {name}" for name, count in changes.most_common()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
