"""What reading costs and what the archive takes, on hours made of real change frames (looped_hour.py).

    python benchmarks/bench_reading.py [--rounds 5] [--hours 24]

Contenders take turns within each round; a figure is the median over the rounds. The memory is the peak of a process of
its own that asks one question of a whole day; `--hours` shortens that day, whose making takes 6 s an hour.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from statistics import median

import msgspec
import psutil
import zstandard
from looped_hour import START_MS, capture_file, looped_snapshots
from material import hour_snapshots, source
from reading_peers import (
    book_by_duckdb,
    book_by_polars,
    book_by_scan,
    table_by_duckdb,
    table_by_pandas,
    table_by_polars,
)

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_text
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.verbs.words import hours

INSTRUMENTS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
GZIP_LEVEL, ZSTD_LEVEL = 6, 19
MOMENTS = 12
SAMPLE_SEC = 0.02
INTELLIGENCE = ("spread", "depth", "walls", "zones", "shifts", "heatmap")
OURS = "l2vault's reader"
TABLE = "a .jsonl.gz hour becomes a level-interval table"
BOOK = f"the book at a moment, mean of {MOMENTS} moments of the hour"

DEPTH_SQL = """
WITH mids AS (
  SELECT unnest(range((timestamp + 59999) // 60000 * 60000, t_to, 60000)) AS t, (best_bid + best_ask) / 2 AS mid
  FROM '{archive}/snapshots/**/*.parquet'
), standing AS (
  SELECT unnest(range((t_from + 59999) // 60000 * 60000, t_to, 60000)) AS t, price_num / price_den AS price,
         qty_num / qty_den AS qty
  FROM '{archive}/levels/**/*.parquet'
)
SELECT t, sum(qty) AS depth FROM mids JOIN standing USING (t) WHERE abs(price - mid) <= mid * 10 / 10000 GROUP BY t
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hours", type=hours, default=24, help="length of the day whose question is measured")
    parser.add_argument("--ask", nargs=3, metavar=("QUESTION", "VAULT", "HOURS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        print(_ask(args.ask[0], Path(args.ask[1]), int(args.ask[2])))
        return 0
    if not all(capture_file(inst_id).exists() for inst_id in INSTRUMENTS):
        print(f"nothing measured: {capture_file(INSTRUMENTS[0])} is absent")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for inst_id in INSTRUMENTS:
            raw, archived = Path(folder, inst_id, "raw"), Path(folder, inst_id, "archived")
            _compare_sizes(inst_id, "as looped", looped_snapshots(inst_id), raw, archived)
            drifting = looped_snapshots(inst_id, is_drifting=True)
            _compare_sizes(inst_id, "each loop at other prices", drifting, *(Path(folder, inst_id, n) for n in "ab"))
            _compare_tables(inst_id, raw, args.rounds)
            _compare_books(inst_id, raw, archived, args.rounds)
        _measure_days(Path(folder), round(args.hours))
    return 0


def measure_reading(rounds: int) -> tuple[dict[str, dict[str, list[float]]], dict[str, int]]:
    """Seconds of each contender by question, one value a round, and the sizes of one hour by form."""
    inst_id = INSTRUMENTS[0]
    with tempfile.TemporaryDirectory() as folder:
        raw, archived = Path(folder, "raw"), Path(folder, "archived")
        sizes = _compare_sizes(inst_id, source(), hour_snapshots(), raw, archived)
        tables = _compare_tables(inst_id, raw, rounds)
        return {TABLE: tables, BOOK: _compare_books(inst_id, raw, archived, rounds)}, sizes


def _compare_sizes(inst_id: str, what: str, snapshots: Iterator[Snapshot], raw: Path, archived: Path) -> dict[str, int]:
    """Leaves the hour gzipped in the vault `raw` and archived in the vault `archived`."""
    lines = b"".join(to_line(snapshot) + b"\n" for snapshot in snapshots)
    packed = gzip.compress(lines, GZIP_LEVEL)
    began = time.perf_counter()
    archive_bytes = _store(inst_id, START_MS, packed, raw, archived)
    archive_sec = time.perf_counter() - began
    sizes = {
        "JSON lines": len(lines),
        "gzip -6": len(packed),
        "zstd -19": len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(lines)),
        "archive": archive_bytes,
    }
    print(f"\n{inst_id}, an hour of {lines.count(b'{')} lines, {what}; archived and checked in {archive_sec:.1f} s")
    for name, size_bytes in sizes.items():
        print(f"  {name:28}{size_bytes:>12,} bytes   archive / this = {archive_bytes / size_bytes:.3f}")
    return sizes


def _store(inst_id: str, hour_ms: int, packed: bytes, raw: Path, archived: Path) -> int:
    for root in (raw, archived):
        plain = Layout(root).hour_file(inst_id, hour_ms)
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.with_name(f"{plain.name}.gz").write_bytes(packed)
    layout = Layout(archived)
    path = layout.hour_file(inst_id, hour_ms).with_suffix(".jsonl.gz")
    hour_file = layout.parse_hour_file(path)
    assert hour_file is not None
    archive_bytes = archive_hour(layout, hour_file)
    path.unlink()
    return archive_bytes


def _compare_tables(inst_id: str, raw: Path, rounds: int) -> dict[str, list[float]]:
    """A `.jsonl.gz` hour as a level-interval table."""
    path = next(raw.rglob("*.jsonl.gz"))

    def ours() -> int:
        return len(open_vault(raw).levels(inst_id, START_MS, START_MS + HOUR_MS).arrow)

    contenders: dict[str, Callable[[], int]] = {
        "json.loads and pandas": lambda: len(table_by_pandas(path)),
        "Polars read_ndjson": lambda: len(table_by_polars(path)),
        "DuckDB read_json": lambda: table_by_duckdb(path),
        OURS: ours,
    }
    rows = {name: contender() for name, contender in contenders.items()}
    assert len(set(rows.values())) == 1, f"the tables differ: {rows}"
    took = _interleaved(contenders, rounds)
    _print_ratios(TABLE, took)
    return took


def _compare_books(inst_id: str, raw: Path, archived: Path, rounds: int) -> dict[str, list[float]]:
    """The book at moments all over the hour; nothing of the data is kept from one to the next."""
    path = next(raw.rglob("*.jsonl.gz"))
    moments = [START_MS + (2 * at + 1) * HOUR_MS // (2 * MOMENTS) for at in range(MOMENTS)]

    vaults = {name: open_vault(root) for name, root in (("raw", raw), ("archived", archived))}

    def ask(name: str) -> Callable[[], list[str | None]]:
        return lambda: [vaults[name].book_at(inst_id, t_ms).snapshot.best_bid for t_ms in moments]  # type: ignore[union-attr]

    contenders: dict[str, Callable[[], list[str | None]]] = {
        "scanning with json.loads": lambda: [book_by_scan(path, t_ms) for t_ms in moments],
        "Polars read_ndjson": lambda: [book_by_polars(path, t_ms) for t_ms in moments],
        "DuckDB read_json": lambda: [book_by_duckdb(path, t_ms) for t_ms in moments],
        f"{OURS} on .jsonl.gz": ask("raw"),
        f"{OURS} on the archive": ask("archived"),
    }
    answers = [contender() for contender in contenders.values()]
    assert all(answer == answers[0] for answer in answers), "the books differ"
    timed = _interleaved(contenders, rounds)
    took = {name: [seconds / MOMENTS for seconds in each] for name, each in timed.items()}
    _print_ratios(BOOK, took)
    return took


def _interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, one value a round."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            took[name].append(time.perf_counter() - began)
    return took


def _print_ratios(what: str, took: dict[str, list[float]]) -> None:
    print(f"  {what}:")
    slowest = median(next(iter(took.values())))
    for name, seconds in ((name, median(each)) for name, each in took.items()):
        print(f"    {name:28}{seconds * 1000:>10.1f} ms   {slowest / seconds:6.1f} times as fast as the first")


def _measure_days(folder: Path, hours: int) -> None:
    """Peak memory and time of one question about a day of the first instrument."""
    inst_id = INSTRUMENTS[0]
    raw, archived = folder / "day" / "raw", folder / "day" / "archived"
    by_hour = groupby(looped_snapshots(inst_id, hours, is_drifting=True), lambda snapshot: snapshot.ts_ms // HOUR_MS)
    for hour, snapshots in by_hour:
        lines = b"".join(to_line(snapshot) + b"\n" for snapshot in snapshots)
        _store(inst_id, hour * HOUR_MS, gzip.compress(lines, GZIP_LEVEL), raw, archived)
    for root in (raw, archived):
        row = Layout(root).instrument_file(inst_id)
        row.parent.mkdir(parents=True)
        row.write_bytes(msgspec.json.encode(instrument_row(inst_id)))
    print(f"\nOne question about {hours} hours of {inst_id}, each in a process of its own")
    for what, question, root in (
        ("levels from the archive", "levels", archived),
        ("levels from .jsonl.gz", "levels", raw),
        ("depth a minute, DuckDB alone", "duckdb", archived),
    ):
        _measure(what, [__file__, "--ask", question, str(root), str(hours)])
    span = ["--from", utc_text(START_MS), "--to", utc_text(START_MS + hours * HOUR_MS)]
    for verb in INTELLIGENCE:
        for form, root in (("the archive", archived), (".jsonl.gz", raw)):
            drawn = ["--plot", str(folder / "heatmap.png")] if verb == "heatmap" else []
            _measure(f"l2vault {verb}, {form}", ["-m", "l2vault", verb, "--vault", str(root), *span, *drawn])


def _measure(what: str, words: list[str]) -> None:
    """Print the peak memory and the time of a command of Python."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak_bytes = _peak_bytes(psutil.Process(process.pid))
        code = process.wait()
    assert code == 0, f"{words} ended with {code}"
    print(f"  {what:30}{peak_bytes / 1e6:>7.0f} MB   {time.perf_counter() - began:6.1f} s")


def _ask(question: str, root: Path, hours: int) -> str:
    return _ask_levels(root, START_MS, START_MS + hours * HOUR_MS) if question == "levels" else _ask_duckdb(root)


def _ask_levels(root: Path, start_ms: int, end_ms: int) -> str:
    """Contract-seconds that rested, piece by piece."""
    rows, total = 0, 0.0
    for part in open_vault(root).levels(INSTRUMENTS[0], start_ms, end_ms).tables():
        rows += len(part)
        total += float((part["qty"].to_numpy() * (part["t_to"].to_numpy() - part["t_from"].to_numpy())).sum()) / 1000
    return f"{rows} rows, {total:.6g} contract-seconds"


def _ask_duckdb(root: Path) -> str:
    """The mean over the minutes of what rests within 10 basis points of the mid price."""
    import duckdb

    query = DEPTH_SQL.format(archive=Layout(root).archive.as_posix())
    rows = duckdb.sql(query).fetchall()
    return f"{len(rows)} minutes, mean depth {sum(depth for _, depth in rows) / len(rows):.1f} contracts"


def _peak_bytes(process: psutil.Process) -> int:
    """The most it held while it ran. (What the system counts as the peak of a child may include its parent's.)"""
    peak_bytes = 0
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            peak_bytes = max(peak_bytes, process.memory_info().rss)
            time.sleep(SAMPLE_SEC)
    return peak_bytes


if __name__ == "__main__":
    sys.exit(main())
