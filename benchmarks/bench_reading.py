"""What reading costs and what the archive takes, on hours made of real change frames (looped_hour.py).

    python benchmarks/bench_reading.py [--rounds 5] [--hours 24]

Contenders take turns within each round; a figure is the median over the rounds. The memory is the peak of a process of
its own that asks one question of a whole day; `--hours` shortens that day, whose making takes 6 s an hour.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil
import zstandard
from looped_hour import START_MS, capture_file, looped_snapshots

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.archive import archive_hour
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.reader import open_vault

if TYPE_CHECKING:
    import pandas as pd

INSTRUMENTS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
GZIP_LEVEL, ZSTD_LEVEL = 6, 19
MOMENTS = 12
SAMPLE_SEC = 0.02

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
    parser.add_argument("--hours", type=int, default=24, help="length of the day whose question is measured")
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
        _measure_days(Path(folder), args.hours)
    return 0


def _compare_sizes(inst_id: str, what: str, snapshots: Iterator[Snapshot], raw: Path, archived: Path) -> None:
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


def _compare_tables(inst_id: str, raw: Path, rounds: int) -> None:
    """A `.jsonl.gz` hour as a level-interval table."""
    path = next(raw.rglob("*.jsonl.gz"))

    def ours() -> int:
        return len(open_vault(raw).levels(inst_id, START_MS, START_MS + HOUR_MS).arrow)

    def theirs() -> int:
        return len(_by_pandas(path))

    assert ours() == theirs(), "the two tables differ"
    took = _interleaved({"json.loads and pandas": theirs, "our reader": ours}, rounds)
    _print_ratios("a .jsonl.gz hour becomes a level-interval table", took)


def _by_pandas(path: Path) -> "pd.DataFrame":
    """What a careful user of pandas writes: one frame of all levels, runs by comparing each row with the one before."""
    import pandas as pd

    rows, times = [], []
    with gzip.open(path) as lines:
        for number, line in enumerate(lines):
            book = json.loads(line)
            times.append(utc_ms(book["timestamp_utc"]))
            for side, key in (("bid", "bids_top400"), ("ask", "asks_top400")):
                rows += [(side, price, qty, orders, number) for price, qty, _, orders in book[key]]
    frame = pd.DataFrame(rows, columns=["side", "price", "qty", "orders", "line"])
    frame = frame.astype({"side": "category", "price": float, "qty": float, "orders": int})
    frame = frame.sort_values(["side", "price", "line"], kind="stable")
    level = frame[["side", "price", "qty", "orders"]]
    is_new = (level != level.shift()).any(axis=1) | (frame.line != frame.line.shift() + 1)
    runs = frame.assign(last=frame.line).groupby(is_new.cumsum())
    table = runs.agg(dict.fromkeys(["side", "price", "qty", "orders", "line"], "first") | {"last": "last"})
    ends = pd.Series([*times[1:], times[-1] + 2_000])
    return table.assign(t_from=table.line.map(pd.Series(times)), t_to=table["last"].map(ends))


def _compare_books(inst_id: str, raw: Path, archived: Path, rounds: int) -> None:
    """The book at moments all over the hour; nothing of the data is kept from one to the next."""
    path = next(raw.rglob("*.jsonl.gz"))
    moments = [START_MS + (2 * at + 1) * HOUR_MS // (2 * MOMENTS) for at in range(MOMENTS)]

    def scan(t_ms: int) -> str | None:
        until, found = utc_text(t_ms), None
        with gzip.open(path) as lines:
            for line in lines:
                book = json.loads(line)
                if book["timestamp_utc"] > until:
                    break
                found = book["best_bid"]
        return found

    vaults = {name: open_vault(root) for name, root in (("raw", raw), ("archived", archived))}

    def ask(name: str) -> Callable[[], object]:
        return lambda: [vaults[name].book_at(inst_id, t_ms).snapshot.best_bid for t_ms in moments]  # type: ignore[union-attr]

    contenders = {
        "scanning with json.loads": lambda: [scan(t_ms) for t_ms in moments],
        "our reader on .jsonl.gz": ask("raw"),
        "our reader on the archive": ask("archived"),
    }
    answers = [contender() for contender in contenders.values()]
    assert answers[0] == answers[1] == answers[2], "the books differ"
    took = {name: seconds / MOMENTS for name, seconds in _interleaved(contenders, rounds).items()}
    _print_ratios(f"the book at a moment, mean of {MOMENTS} moments of the hour", took)


def _interleaved(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            took[name].append(time.perf_counter() - began)
    return {name: median(seconds) for name, seconds in took.items()}


def _print_ratios(what: str, took: dict[str, float]) -> None:
    print(f"  {what}:")
    slowest = next(iter(took.values()))
    for name, seconds in took.items():
        print(f"    {name:28}{seconds * 1000:>10.1f} ms   {slowest / seconds:6.1f} times as fast as the first")


def _measure_days(folder: Path, hours: int) -> None:
    """Peak memory and time of one question about a day of the first instrument."""
    inst_id = INSTRUMENTS[0]
    raw, archived = folder / "day" / "raw", folder / "day" / "archived"
    by_hour = groupby(looped_snapshots(inst_id, hours, is_drifting=True), lambda snapshot: snapshot.ts_ms // HOUR_MS)
    for hour, snapshots in by_hour:
        lines = b"".join(to_line(snapshot) + b"\n" for snapshot in snapshots)
        _store(inst_id, hour * HOUR_MS, gzip.compress(lines, GZIP_LEVEL), raw, archived)
    print(f"\nOne question about {hours} hours of {inst_id}, each in a process of its own")
    for what, question, root in (
        ("levels from the archive", "levels", archived),
        ("levels from .jsonl.gz", "levels", raw),
        ("depth a minute, DuckDB alone", "duckdb", archived),
    ):
        words = [sys.executable, __file__, "--ask", question, str(root), str(hours)]
        began = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            peak_bytes = _peak_bytes(psutil.Process(process.pid))
            answer = process.communicate()[0].strip()
        print(f"  {what:30}{peak_bytes / 1e6:>7.0f} MB   {time.perf_counter() - began:6.1f} s   {answer}")


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
