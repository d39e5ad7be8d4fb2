"""How long the screen takes for a day and a week of BTC, and how much memory it holds.

python benchmarks/bench_screen.py --make DIR [--hours 168]    the vault: the built-in market, with columns
python benchmarks/bench_screen.py DIR                         a day and a week, first and again
python benchmarks/bench_screen.py --live 1800                 memory and processor with five pages on the demo
"""

import argparse
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import take_snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import HOUR_MS, Layout

INST: Final = "BTC-USDT-SWAP"
START_MS: Final = utc_ms("2024-08-20T00:00:00.000Z")
CADENCE_MS: Final = 2_000
DEPTH: Final = 400


def make(root: Path, hours: int, seed: int = 7) -> None:
    """So many hours of the built-in market as a recorder leaves them: gzipped lines, the journal, and columns."""
    layout, end_ms = Layout(root), START_MS + hours * HOUR_MS
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), START_MS)
    journal = Journal(layout)
    at = utc_text(START_MS)
    journal.append(noted.Started(at, "0", "host", 1, "os", [INST], CADENCE_MS, DEPTH, 1, "digest"))
    book = Book()
    lines: list[bytes] = []
    for tick in Market([INST], seed, START_MS).ticks():
        if book.ts_ms and due_grid_time(book.ts_ms, tick.ts_ms, CADENCE_MS) is not None:
            lines.append(to_line(take_snapshot(INST, book, DEPTH)) + b"\n")
        if lines and (tick.ts_ms >= end_ms or tick.ts_ms // HOUR_MS != book.ts_ms // HOUR_MS):
            path = layout.hour_file(INST, book.ts_ms)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(b"".join(lines), 1))
            lines.clear()
            print(f"\r{(book.ts_ms - START_MS) // HOUR_MS + 1} of {hours} hours", end="", flush=True)
        if tick.ts_ms >= end_ms:
            break
        is_first = not book.ts_ms
        book.apply(tick.change)
        if is_first:
            journal.append(noted.Synced(at, 1, INST, utc_text(tick.ts_ms), book.seq_id))
    journal.append(noted.Stopped(utc_text(end_ms), "the end"))
    before_ms = str(end_ms + HOUR_MS)
    while True:
        words = [sys.executable, "-m", "l2vault.recording.tasks.closed_hours_child", str(root), before_ms, "columns"]
        done = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        print(f"\rcolumns of {done} hours", flush=True)
        if not done or done[-1] == "0":
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("vault", type=Path, nargs="?")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--hours", type=int, default=168)
    args = parser.parse_args()
    if args.make:
        make(args.make, args.hours)
