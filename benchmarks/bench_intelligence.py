"""What questions about liquidity take, of a day, beside Polars' and DuckDB's own query and a former edition, in turns.

    python benchmarks/bench_intelligence.py [--old ../l2vault-0.1] [--hours 24] [--rounds 3] [--vault FOLDER]

`--old` is a checkout of an edition to compare with (`git worktree add ../l2vault-0.1 08f4c4d`). Each measurement is a
whole process: imports, reading, answering, printing to nowhere. Compare ratios: the machine may be shared. The vault is
the real session of `material`, looped over the hours and archived, unless `--vault` names one that is there already.
A query alone says a part of the answer: the mean spread; the rows of large levels, sorted; what rested in each zone;
what began and ended to stand in each minute; what rested in cells of 72 s by 40 USDT, each row in that of its beginning
(and the picture is `l2vault`'s alone).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple, ParamSpec, TypeVar

import msgspec
from looped_hour import START_MS, looped_snapshots

from l2vault.book.snapshot import to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.coverage.checked import check_hours
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs.words import at_least_1

_P = ParamSpec("_P")
_T = TypeVar("_T")

INST: Final = "BTC-USDT-SWAP"
ROOT: Final = Path(__file__).resolve().parents[1]
TARGET_SEC: Final = {"spread": 0.6, "walls": 2.0, "zones": 2.0, "shifts": 2.0, "heatmap": 4.0}
"""Of a day of one instrument on two cores, set before anything was measured."""
_TELL: Final = """
import resource, sys
own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
cpu = sum(used.ru_utime + used.ru_stime for used in (own, others))
print(cpu, max(own.ru_maxrss, others.ru_maxrss) // 1024, "pandas" in sys.modules, file=sys.stderr)
"""
_MEASURED: Final = f"""
import runpy, sys
sys.argv = ["l2vault", *sys.argv[1:]]
try:
    runpy.run_module("l2vault", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
{_TELL}"""
_POLARS: Final = {
    "spread": """
books = pl.scan_parquet(snapshots, hive_partitioning=True).with_columns(ms=pl.col("t_to") - pl.col("timestamp"))
gap = pl.col("best_ask") - pl.col("best_bid")
print(books.select((gap * pl.col("ms")).sum() / pl.col("ms").sum()).collect())
""",
    "walls": """
size = pl.col("qty_num") / pl.col("qty_den") * pl.col("price_num") / pl.col("price_den") * 0.01
rows = pl.scan_parquet(levels, hive_partitioning=True).select("side", "price_num", "t_from", "t_to", size=size)
print(rows.filter(pl.col("size") >= 3_800_000).sort("side", "price_num", "t_from").collect())
""",
    "zones": """
price = pl.col("price_num") / pl.col("price_den")
size = pl.col("qty_num") / pl.col("qty_den") * price * 0.01 * (pl.col("t_to") - pl.col("t_from"))
rows = pl.scan_parquet(levels, hive_partitioning=True).select("side", (price // 20).alias("zone"), size.alias("size"))
print(rows.group_by("side", "zone").agg(pl.col("size").sum()).sort("side", "zone").collect())
""",
    "shifts": """
size = pl.col("qty_num") / pl.col("qty_den") * pl.col("price_num") / pl.col("price_den") * 0.01
rows = pl.scan_parquet(levels, hive_partitioning=True).select("side", "t_from", "t_to", size=size)
ends = [rows.select("side", "size", minute=pl.col(at) // 60_000).group_by("side", "minute").agg(pl.col("size").sum())
        for at in ("t_from", "t_to")]
print(ends[0].join(ends[1], on=("side", "minute"), suffix="_gone").sort("side", "minute").collect())
""",
    "heatmap": """
price = pl.col("price_num") / pl.col("price_den")
size = pl.col("qty_num") / pl.col("qty_den") * price * 0.01 * (pl.col("t_to") - pl.col("t_from"))
rows = pl.scan_parquet(levels, hive_partitioning=True).select(
    "side", (pl.col("t_from") // 72_000).alias("bin"), (price // 40).alias("row"), size.alias("size"))
print(rows.group_by("side", "bin", "row").agg(pl.col("size").sum()).sort("side", "bin", "row").collect())
""",
}
_DUCKDB: Final = {
    "spread": "SELECT sum((best_ask - best_bid) * (t_to - timestamp)) / sum(t_to - timestamp) FROM '{snapshots}'",
    "walls": """SELECT * FROM (SELECT side, price_num, t_from, t_to,
qty_num / qty_den * price_num / price_den * 0.01 AS size FROM '{levels}') WHERE size >= 3800000 ORDER BY 1, 2, 3""",
    "zones": """SELECT side, floor(price_num / price_den / 20) AS zone,
sum(qty_num / qty_den * price_num / price_den * 0.01 * (t_to - t_from)) FROM '{levels}' GROUP BY 1, 2 ORDER BY 1, 2""",
    "shifts": """WITH rows AS (SELECT side, t_from, t_to,
qty_num / qty_den * price_num / price_den * 0.01 AS size FROM '{levels}'),
came AS (SELECT side, t_from // 60000 AS minute, sum(size) AS came FROM rows GROUP BY 1, 2),
went AS (SELECT side, t_to // 60000 AS minute, sum(size) AS went FROM rows GROUP BY 1, 2)
SELECT * FROM came JOIN went USING (side, minute) ORDER BY 1, 2""",
    "heatmap": """SELECT side, t_from // 72000 AS bin, floor(price_num / price_den / 40) AS row,
sum(qty_num / qty_den * price_num / price_den * 0.01 * (t_to - t_from)) FROM '{levels}' GROUP BY 1, 2, 3
ORDER BY 1, 2, 3""",
}


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
        vault = asked.vault or _elsewhere(make_vault, Path(folder) / "Vault", asked.hours)
        print(report(vault, asked.old, asked.hours, asked.rounds))
    return 0


def make_vault(root: Path, hours: int) -> Path:
    """The looped hours, archived and noted as read, as `l2vault archive` and the recorder leave them."""
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
    check_hours(layout, sys.maxsize, most=len(paths))
    return root


def _elsewhere(work: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
    """By another process: Linux counts the memory of the one that starts a process as memory of that one, too."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(work, *args, **named).result()


def report(vault: Path, old: Path | None, hours: int, rounds: int) -> str:
    """A row a verb and contender: the medians, and how often this edition's time that is."""
    took: dict[tuple[str, str], list[Took]] = {}
    for _ in range(rounds):
        for verb in TARGET_SEC:
            for name, root in (("l2vault", ROOT), *([("former", old)] if old else [])):
                took.setdefault((verb, name), []).append(_verb(root, vault, verb, hours))
            for name in ("Polars", "DuckDB"):
                took.setdefault((verb, name), []).append(_query(name, verb, vault))
    lines = [
        f"| {hours} h of {INST} | by | wall, s | processor, s | MB | pandas | wall / l2vault's | target, s |",
        "|---" * 8 + "|",
    ]
    for (verb, name), each in took.items():
        middle, ours = _median(each), _median(took[verb, "l2vault"])
        is_judged = name == "l2vault" and hours == 24
        target = (
            f"{TARGET_SEC[verb]:g}, {'met' if middle.wall_sec <= TARGET_SEC[verb] else 'missed'}" if is_judged else ""
        )
        lines.append(
            f"| {verb} | {name} | {middle.wall_sec:.2f} | {middle.cpu_sec:.2f} | {middle.peak_mb} "
            f"| {'loaded' if middle.has_pandas else 'no'} | {middle.wall_sec / ours.wall_sec:.2f} | {target} |"
        )
    return "\n".join(lines)


def measure_intelligence(hours: int, rounds: int) -> str:
    """The section of the results page."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            vault = _elsewhere(make_vault, Path(folder) / "Vault", hours)
            table = _elsewhere(report, vault, None, hours, rounds)
        except FileNotFoundError as error:
            table = f"Not measured: {error}"
    said = (
        f"Whole processes, imports included, the middle of {rounds} rounds in which all take turns; by\n"
        "`bench_intelligence.py`. A query alone says a part of the answer: the mean spread, the rows of large levels,\n"
        "what rested in each zone, what began and ended to stand in each minute, what rested in each cell (without a\n"
        "picture).\n"
    )
    return f"\n## Questions about liquidity\n\n{said}\n{table}\n"


def _median(took: list[Took]) -> Took:
    columns = list(zip(*took, strict=True))
    return Took(*(median(column) for column in columns[:2]), round(median(columns[2])), any(columns[3]))


def _verb(root: Path, vault: Path, verb: str, hours: int) -> Took:
    words = [verb, INST, "--vault", str(vault), "--last", f"{hours}h"]
    with tempfile.TemporaryDirectory() as folder:
        words += ["--plot", str(Path(folder) / "heatmap.png")] if verb == "heatmap" else []
        return _timed([sys.executable, "-c", _MEASURED, *words], {"PYTHONPATH": str(root)}, root)


def _query(name: str, verb: str, vault: Path) -> Took:
    form = "archive" if (vault / "archive").is_dir() else "columns"
    at = f"{vault.as_posix()}/{form}/okx/l2_perps/{{}}/**/*.parquet"
    levels, snapshots = at.format("levels"), at.format("snapshots")
    if name == "Polars":
        code = f"import polars as pl\nlevels, snapshots = {levels!r}, {snapshots!r}{_POLARS[verb]}"
    else:
        sql = _DUCKDB[verb].format(levels=levels, snapshots=snapshots)
        code = f"import duckdb\nprint(duckdb.sql({sql!r}).fetchall()[:9])"
    return _timed([sys.executable, "-c", code + _TELL], {}, ROOT)


def _timed(command: list[str], environment: dict[str, str], folder: Path) -> Took:
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # as an installed package is
    began = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | compiled | environment, cwd=folder, capture_output=True, text=True, check=True
    )
    wall_sec = time.perf_counter() - began
    cpu_sec, peak_mb, has_pandas = done.stderr.split()[-3:]
    return Took(wall_sec, float(cpu_sec), int(peak_mb), has_pandas == "True")


if __name__ == "__main__":
    sys.exit(main())
