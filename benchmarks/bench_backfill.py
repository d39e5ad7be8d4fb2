"""What a day of OKX's archive costs to backfill, and whether one that is killed goes on where it was.

    python benchmarks/bench_backfill.py [--lines 60000] [--step 10]
    python benchmarks/bench_backfill.py --kill 20

The first makes lines of the built-in market at OKX's pace of 10 ms and prints microseconds of processor time a line,
what that is for a day of 8,640,000 lines, and the peak of resident memory. The second kills `l2vault backfill`, in a
process of its own, at so many moments spread over its run, lets it go on, and compares what comes of it with a run that
nobody disturbed, file by file.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from itertools import islice, takewhile
from pathlib import Path

import msgspec
import psutil

from l2vault.book.utc import DAY_MS, utc_ms
from l2vault.history.books import BookDay, Law
from l2vault.history.hours import HourKeeper
from l2vault.history.naming import parse_name
from l2vault.history.shelf import FileNote, Shelf
from l2vault.history.unpack import lines_of
from l2vault.sim.exchange.archive import make_archive
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.store.layout import Layout

INST = "BTC-USDT-SWAP"
START_MS = utc_ms("2026-01-02T00:00:00.000Z")
LINES_A_DAY = 8_640_000
AT = "2026-01-05T00:00:00.000Z"
KILLED_STEP_MS = 1_000
KILLED_SPAN_MS = 3 * 3_600_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=60_000)
    parser.add_argument("--step", type=int, default=10, help="milliseconds between two lines")
    parser.add_argument("--kill", type=int, default=0, help="how often to kill it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _kill(Path(folder), args.kill) if args.kill else _measure(Path(folder), args.lines, args.step)


def _measure(folder: Path, lines: int, step_ms: int) -> int:
    ticks = islice(Market([INST], 1, START_MS, step_ms).ticks(), lines)
    file = next(file for file in make_archive(folder / "files", ticks) if file.kind == "books400")
    layout = Layout(folder / "vault")
    keeper = HourKeeper(layout, "books", verb_journal(layout, "backfill", lambda: AT, lambda: 0), lambda: AT)
    day = BookDay(INST, Law(2_000, 400), keeper)
    begun = time.process_time()
    day.read(lines_of(file.path), (file.name, ""), (START_MS, START_MS + DAY_MS), lambda _: None)
    day.end(is_followed=False)
    spent = time.process_time() - begun
    each_us = spent / day.report.lines * 1e6
    peak = psutil.Process().memory_info().rss / 1e6
    print(f"{day.report.lines} lines, {day.report.books} books, {spent:.2f} s of processor: {each_us:.1f} us a line")
    print(f"a day of {LINES_A_DAY} lines: {each_us * LINES_A_DAY / 6e7:.1f} min of a core; {peak:.0f} MB resident")
    return 0


def _kill(folder: Path, times: int) -> int:
    ticks = takewhile(
        lambda tick: tick.ts_ms < START_MS + KILLED_SPAN_MS, Market([INST], 1, START_MS, KILLED_STEP_MS).ticks()
    )
    files = make_archive(folder / "files", ticks)
    vaults = {}
    for name in ("whole", "killed"):
        shelf = Shelf(Layout(folder / name))
        for file in files:
            wanted = parse_name(file.name, INST)
            assert wanted is not None
            shelf.path(wanted).parent.mkdir(parents=True, exist_ok=True)
            data = file.path.read_bytes()
            shelf.path(wanted).write_bytes(data)
            note = FileNote("", "listed", len(data), 0.0, sha256=hashlib.sha256(data).hexdigest())
            shelf.keep_note(wanted, note)
        row = Layout(folder / name).instrument_file(INST)
        row.parent.mkdir(parents=True)
        row.write_bytes(msgspec.json.encode(instrument_row(INST)))
        vaults[name] = folder / name
    begun = time.monotonic()
    assert _run(vaults["whole"]).wait() == 0
    whole_sec = time.monotonic() - begun
    killed = 0
    for nth in range(times):
        process = _run(vaults["killed"])
        try:
            process.wait(whole_sec * (nth + 1) / times)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    assert _run(vaults["killed"]).wait() == 0
    wanted_files, found_files = (_contents(vaults[name]) for name in ("whole", "killed"))
    is_same = wanted_files == found_files
    verified = subprocess.run(
        [sys.executable, "-m", "l2vault", "verify", "--vault", str(vaults["killed"] / "okx_archive")], check=False
    )
    print(
        f"killed {killed} times in {whole_sec:.1f} s: {'equal' if is_same else 'DIFFERENT'}, {len(found_files)} files"
    )
    return 0 if is_same and verified.returncode == 0 else 1


def _run(vault: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "l2vault", "backfill", "--vault", str(vault)], stdout=sys.stderr)


def _contents(vault: Path) -> dict[str, bytes]:
    """Every hour, by its place."""
    raw = vault / "okx_archive" / "raw"
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())
