"""`l2vault archive` and `l2vault restore` of a day, this tree beside another commit of it, in turns: ratios.

    python benchmarks/bench_archive.py 08f4c4d [--hours 24] [--rounds 3]

Each runs the verbs as a user does, on hours of `.jsonl.gz` of its own: this tree once more on a vault whose hours have
their column files, as the recorder leaves them. Printed are seconds on the clock and of processor (all processes, where
the system tells), and the ratio of the other's to this tree's within each round: how many times as fast. What comes
back is compared with what went in. Needs the capture (see README.md).
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from against import checked_out
from looped_hour import looped_snapshots
from material import INST_ID
from report import ratio, spread
from venvs import ROOT

from l2vault.book.snapshot import to_line
from l2vault.book.utc import utc_ms
from l2vault.vault.store.layout import HOUR_MS, Layout

OLD_SEC = utc_ms("2024-08-20T00:00:00.000Z") // 1000
"""When the files were last written to: long ago, so that they count as settled."""
FOREVER = "9999999999999"


class Took(NamedTuple):
    wall_sec: float
    cpu_sec: float


def make_hours(hours: int) -> dict[int, bytes]:
    """The lines of each hour, compressed, by its start."""
    made = {}
    snapshots = looped_snapshots(INST_ID, hours, is_drifting=True)
    for hour, lines in groupby(snapshots, lambda snapshot: snapshot.ts_ms // HOUR_MS):
        made[hour * HOUR_MS] = gzip.compress(b"".join(to_line(line) + b"\n" for line in lines), 6)
    return made


def lay(root: Path, hours: dict[int, bytes]) -> None:
    for hour_ms, packed in hours.items():
        plain = Layout(root).hour_file(INST_ID, hour_ms)
        plain.parent.mkdir(parents=True, exist_ok=True)
        path = plain.with_name(f"{plain.name}.gz")
        path.write_bytes(packed)
        os.utime(path, (OLD_SEC, OLD_SEC))


def run(tree: Path, *words: str) -> Took:
    began, before = time.perf_counter(), os.times()
    environment = dict(os.environ, PYTHONPATH=str(tree))
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed\n{done.stderr[-2000:]}")
    after = os.times()
    cpu_sec = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(time.perf_counter() - began, cpu_sec)


def round_of(tree: Path, folder: Path, hours: dict[int, bytes], has_columns: bool) -> dict[str, Took]:
    vault, back = folder / "vault", folder / "back"
    lay(vault, hours)
    if has_columns:
        run(tree, "l2vault.recording.tasks.closed_hours_child", str(vault), FOREVER, "columns")
    took = {
        "archive": run(tree, "l2vault", "archive", "--vault", str(vault)),
        "restore": run(tree, "l2vault", "restore", "--vault", str(vault), "--into", str(back)),
    }
    for hour_ms, packed in hours.items():
        plain = Layout(back).hour_file(INST_ID, hour_ms)
        if gzip.decompress(plain.with_name(f"{plain.name}.gz").read_bytes()) != gzip.decompress(packed):
            raise SystemExit(f"{plain} did not come back as it was")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    hours = make_hours(args.hours)
    costs: dict[tuple[str, str], list[Took]] = {}
    with checked_out(args.commit) as other:
        contenders = {"other": (other, False), "lines": (ROOT, False), "columns": (ROOT, True)}
        for number in range(args.rounds):
            for name in list(contenders)[:: -1 if number % 2 else 1]:
                print(f"round {number + 1} of {args.rounds}: {name}", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as folder:
                    for verb, took in round_of(contenders[name][0], Path(folder), hours, contenders[name][1]).items():
                        costs.setdefault((verb, name), []).append(took)
    print(f"{args.hours} hours of {INST_ID}, {args.rounds} rounds in turns; median (lowest to highest)")
    for (verb, name), each in sorted(costs.items()):
        what = {"other": args.commit, "lines": "this tree", "columns": "this tree, hours with column files"}[name]
        line = f"{verb}, {what}:"
        for unit, at in (("s on the clock", 0), ("s of processor", 1)):
            line += f" {spread([took[at] for took in each])} {unit}"
            if name != "other":
                times = ratio([took[at] for took in costs[verb, "other"]], [took[at] for took in each])
                line += f", {times} times as fast"
            line += ";" if not at else ""
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
