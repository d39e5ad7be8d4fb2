"""What walls, zones and spread of a day take beside the former edition and Polars' own query, in turns in one run.

    python benchmarks/bench_intelligence.py --old ../l2vault-0.1 [--hours 24] [--rounds 3] [--vault FOLDER]

`--old` is a checkout of the edition to compare with (`git worktree add ../l2vault-0.1 08f4c4d`). Each measurement is a
whole process: imports, reading, answering, printing to nowhere. Compare ratios: the machine may be shared. The vault is
the real session of `material`, looped over the hours and archived, unless `--vault` names one that is there already.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import msgspec
from looped_hour import START_MS, looped_snapshots

from l2vault.book.snapshot import to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs.words import at_least_1

INST: Final = "BTC-USDT-SWAP"
ROOT: Final = Path(__file__).resolve().parents[1]
_MEASURED: Final = """
import resource, runpy, sys
sys.argv = ["l2vault", *sys.argv[1:]]
try:
    runpy.run_module("l2vault", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
used = resource.getrusage(resource.RUSAGE_SELF)
pandas = "pandas" in sys.modules
print(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, pandas, file=sys.stderr)
"""
_POLARS: Final = """
import resource, sys
import polars as pl
levels = pl.scan_parquet(sys.argv[1] + "/archive/okx/l2_perps/levels/**/*.parquet", hive_partitioning=True)
size = pl.col("qty_num") / pl.col("qty_den") * pl.col("price_num") / pl.col("price_den") * 0.01
rows = levels.select("side", "price_num", "t_from", "t_to", size=size)
rows.filter(pl.col("size") >= float(sys.argv[2])).sort("side", "price_num", "t_from").collect()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, False, file=sys.stderr)
"""
"""The rows above half the threshold, sorted, is all of `walls` that a query alone can say."""


class Took(NamedTuple):
    wall_sec: float
    cpu_sec: float
    peak_mb: int
    has_pandas: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="a checkout of the former edition")
    parser.add_argument("--hours", type=at_least_1, default=24)
    parser.add_argument("--rounds", type=at_least_1, default=3)
    parser.add_argument("--vault", type=Path, help="an archived vault that is there already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        vault = asked.vault or make_vault(Path(folder) / "Vault", asked.hours)
        print(report(vault, asked.old, asked.hours, asked.rounds))
    return 0


def make_vault(root: Path, hours: int) -> Path:
    """The looped hours, archived."""
    layout = Layout(root)
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), START_MS)
    paths: list[Path] = []
    for snapshot in looped_snapshots(INST, hours, is_drifting=True):
        path = layout.hour_file(INST, snapshot.ts_ms)
        if path not in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            paths.append(path)
        with path.open("ab") as file:
            file.write(to_line(snapshot) + b"\n")
    for path in paths:
        hour = layout.parse_hour_file(path)
        assert hour is not None
        archive_hour(layout, hour)
        path.unlink()
    return root


def report(vault: Path, old: Path | None, hours: int, rounds: int) -> str:
    """A row a verb: the ratios of the medians, and the medians."""
    contenders: dict[tuple[str, str], list[Took]] = {}
    for _ in range(rounds):
        for verb in ("walls", "zones", "spread"):
            for name, root in (("new", ROOT), *([("old", old)] if old else [])):
                contenders.setdefault((verb, name), []).append(_verb(root, vault, verb, hours))
        contenders.setdefault(("walls", "Polars"), []).append(_query(vault))
    lines = [
        f"| {hours} h of {INST} | edition | wall, s | processor, s | MB | pandas | wall, old / this |",
        "|---" * 7 + "|",
    ]
    for (verb, name), took in contenders.items():
        against = contenders.get((verb, "old"))
        ratio = "" if against is None else f"{_median(against).wall_sec / _median(took).wall_sec:.1f}"
        each = _median(took)
        lines.append(
            f"| {verb} | {name} | {each.wall_sec:.2f} | {each.cpu_sec:.2f} | {each.peak_mb} "
            f"| {'loaded' if each.has_pandas else 'no'} | {ratio} |"
        )
    return "\n".join(lines)


def _median(took: list[Took]) -> Took:
    columns = list(zip(*took, strict=True))
    return Took(*(median(column) for column in columns[:2]), round(median(columns[2])), any(columns[3]))


def _verb(root: Path, vault: Path, verb: str, hours: int) -> Took:
    words = [verb, INST, "--vault", str(vault), "--last", f"{hours}h"]
    return _timed([sys.executable, "-c", _MEASURED, *words], {"PYTHONPATH": str(root)}, root)


def _query(vault: Path) -> Took:
    return _timed([sys.executable, "-c", _POLARS, str(vault), "3800000"], {}, ROOT)


def _timed(command: list[str], environment: dict[str, str], folder: Path) -> Took:
    began = time.perf_counter()
    done = subprocess.run(command, env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=True)
    wall_sec = time.perf_counter() - began
    cpu_sec, peak_mb, has_pandas = done.stderr.split()[-3:]
    return Took(wall_sec, float(cpu_sec), int(peak_mb), has_pandas == "True")


if __name__ == "__main__":
    sys.exit(main())
