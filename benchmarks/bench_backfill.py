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
from l2vault.sim.exchange.archive import ArchivedFile, make_archive
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.store.layout import Layout

INST = "BTC-USDT-SWAP"
START_MS = utc_ms("2026-01-02T00:00:00.000Z")
LINES_A_DAY = 8_640_000
AT = "2026-01-05T00:00:00.000Z"
KILLED_STEP_MS = 2_000
KILLED_SPAN_MS = 4 * 3_600_000


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
    whole = folder / "whole"
    _put(whole, files)
    whole_sec = _spend(_run(whole), float("inf"))
    killed, is_same = 0, True
    for nth in range(times):
        vault = folder / f"killed-{nth}"
        _put(vault, files)
        process = _run(vault)
        _spend(process, whole_sec * (nth + 0.5) / times)
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
        assert _run(vault).wait() == 0
        verify = [sys.executable, "-m", "l2vault", "verify", "--vault", str(vault / "okx_archive")]
        is_good = subprocess.run(verify, check=False, capture_output=True).returncode == 0
        is_same = is_same and is_good and _contents(vault) == _contents(whole)
    verdict = "equal to the run that nobody disturbed, and verified" if is_same else "DIFFERENT"
    print(f"killed at {killed} of {times} moments of {whole_sec:.1f} s of processor, then let go on: {verdict}")
    return 0 if is_same else 1


def _put(vault: Path, files: list[ArchivedFile]) -> None:
    """A vault as `l2vault fetch` leaves it."""
    shelf = Shelf(Layout(vault))
    for file in files:
        wanted = parse_name(file.name, INST)
        assert wanted is not None
        shelf.path(wanted).parent.mkdir(parents=True, exist_ok=True)
        data = file.path.read_bytes()
        shelf.path(wanted).write_bytes(data)
        shelf.keep_note(wanted, FileNote("", "listed", len(data), 0.0, sha256=hashlib.sha256(data).hexdigest()))
    row = Layout(vault).instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_bytes(msgspec.json.encode(instrument_row(INST)))


def _spend(process: "subprocess.Popen[bytes]", most_sec: float) -> float:
    """Wait until it has ended or used so much processor time, which a busy machine leaves as it is; what it used."""
    spent, watched = 0.0, psutil.Process(process.pid)
    while process.poll() is None and spent < most_sec:
        try:
            times = watched.cpu_times()
        except psutil.NoSuchProcess:
            break
        spent = max(spent, times.user + times.system)
        time.sleep(0.005)
    return spent


def _run(vault: Path) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "l2vault", "backfill", "--vault", str(vault)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def _contents(vault: Path) -> dict[str, bytes]:
    """Every hour, by its place."""
    raw = vault / "okx_archive" / "raw"
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


if __name__ == "__main__":
    sys.exit(main())
