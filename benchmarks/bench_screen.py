"""How long the screen takes for a day and a week of BTC, and how much memory it holds.

python benchmarks/bench_screen.py --make DIR [--hours 168] [--depth 400]    the vault
python benchmarks/bench_screen.py DIR                         a day and a week: first and again, after a new start,
                                                              and never looked at, but made ahead by the screen
python benchmarks/bench_screen.py --live 1800                 memory and processor of each minute with five pages on the
                                                              demo, which has an hour of books from the start; with
                                                              --chromium a sixth one in Chromium, and its memory
"""

import argparse
import asyncio
import gzip
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from urllib.request import urlopen

import msgspec
import psutil
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import Snapshot, take_snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.web.ahead import BACK_MS as AHEAD_MS
from l2vault.web.kept import SETTLED_MS

INST: Final = "BTC-USDT-SWAP"
START_MS: Final = utc_ms("2024-08-20T00:00:00.000Z")
CADENCE_MS: Final = 2_000
LOOK_SEC: Final = 2


def make(root: Path, hours: int, depth: int, seed: int = 7) -> None:
    """So many hours as a recorder leaves them (gzipped lines, the journal, the notes of what was checked, columns): one
    hour of the built-in market again and again, each at other times and prices."""
    layout, end_ms = Layout(root), START_MS + hours * HOUR_MS
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), START_MS)
    journal = Journal(layout)
    at = utc_text(START_MS)
    journal.append(noted.Started(at, "0", "host", 1, "os", [INST], CADENCE_MS, depth, 1, "digest"))
    one = list(_hour(depth, seed, START_MS))
    journal.append(noted.Synced(at, 1, INST, utc_text(one[0].ts_ms), one[0].seq_id))
    for hour in range(hours):
        lines = [to_line(_moved(snapshot, hour)) + b"\n" for snapshot in one]
        path = layout.hour_file(INST, START_MS + hour * HOUR_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(b"".join(lines), 1))
    journal.append(noted.Stopped(utc_text(end_ms), "the end"))
    while True:
        words = [sys.executable, "-m", "l2vault.recording.tasks.closed_hours_child", str(root), str(end_ms), "columns"]
        done = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        print(f"checked, columns of {done} hours", flush=True)
        if done == "0":
            return


def _hour(depth: int, seed: int, start_ms: int) -> Iterator[Snapshot]:
    book = Book()
    for tick in Market([INST], seed, start_ms).ticks():
        if tick.ts_ms >= start_ms + HOUR_MS:
            return
        if book.ts_ms and due_grid_time(book.ts_ms, tick.ts_ms, CADENCE_MS) is not None:
            yield take_snapshot(INST, book, depth)
        book.apply(tick.change)


def _moved(snapshot: Snapshot, hour: int) -> Snapshot:
    """So many hours later, a dollar higher with each."""
    bids, asks = ([(f"{float(px) + hour:.1f}", *rest) for px, *rest in side] for side in (snapshot.bids, snapshot.asks))
    ts_ms, seq_id = snapshot.ts_ms + hour * HOUR_MS, (snapshot.seq_id or 0) + hour * 1_000_000
    return msgspec.structs.replace(snapshot, ts_ms=ts_ms, seq_id=seq_id, bids=bids, asks=asks)


def make_last_hour(root: Path, depth: int = 400, seed: int = 7) -> None:
    """The hour up to now, as a recorder leaves it that has just stopped: whatever is measured of an hour has all."""
    layout, now_ms = Layout(root), time.time_ns() // 1_000_000
    start_ms = now_ms - HOUR_MS
    keep_row(layout, INST, msgspec.json.encode(instrument_row(INST)), start_ms)
    journal, at = Journal(layout), utc_text(start_ms)
    journal.append(noted.Started(at, "0", "host", 1, "os", [INST], CADENCE_MS, depth, 1, "digest"))
    synced = False
    for snapshot in _hour(depth, seed, start_ms):
        if not synced:
            journal.append(noted.Synced(at, 1, INST, utc_text(snapshot.ts_ms), snapshot.seq_id))
            synced = True
        path = layout.hour_file(INST, snapshot.ts_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(to_line(snapshot) + b"\n")
    journal.append(noted.Stopped(utc_text(now_ms), "the end"))


@contextmanager
def screen(vault: Path, cache: Path, *words: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address of one, and its process."""
    asked = ["screen", "--vault", str(vault), "--cache", str(cache), "--no-browser", "--port", "0", *words]
    child = subprocess.Popen([sys.executable, "-m", "l2vault", *asked], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        match = re.search(r"http://\S+", child.stdout.readline())
        assert match is not None
        yield match[0].rstrip("/"), psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait()


def get(url: str, path: str, **asked: object) -> bytes:
    with urlopen(f"{url}{path}?{urlencode(asked)}") as answer:
        found: bytes = answer.read()
    return found


def window(url: str, span: tuple[int, int], columns: int) -> float:
    """Seconds until all of a window is there, as the page asks for it."""
    begun = time.monotonic()
    while True:
        body = get(url, "/api/books", inst=INST, columns=columns, **{"from": span[0], "to": span[1]})
        head = json.loads(body[8 : 8 + struct.unpack("<I", body[4:8])[0]])
        if not head["unread_hours"]:
            return time.monotonic() - begun


def measure(vault: Path) -> None:
    """A day and a week: never read before, again, after a new start of the screen, and once they were made ahead."""
    with tempfile.TemporaryDirectory() as folder:
        for start in ("first", "new start", "ahead"):
            cache = Path(folder) / start.replace("new start", "first")
            with screen(vault, cache) as (url, process):
                (row,) = json.loads(get(url, "/api/instruments"))["instruments"]
                newest = row["newest_ms"] + 1
                if start == "ahead":
                    wait_until_made(cache, row["first_ms"], newest, process)
                for name, hours in (("24 h", 24), ("7 days", 168)):
                    span = max(row["first_ms"], newest - hours * HOUR_MS), newest
                    before = process.cpu_times()
                    took = [window(url, span, 2400) for _ in range(2)]
                    after = process.cpu_times()
                    used = after.user + after.system - before.user - before.system
                    memory = process.memory_info().rss >> 20
                    times = f"{took[0]:7.2f} s, again {took[1]:5.2f} s, {used:6.1f} s of processor"
                    print(f"{start:10} {name:7} {times}, {memory} MB")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.arrow"))
        print(f"cache: {size / 1e6:.1f} MB")


def wait_until_made(cache: Path, first_ms: int, newest_ms: int, process: psutil.Process) -> None:
    """Until the screen has made every settled hour of the last week by itself; what that took."""
    begin_ms = max(first_ms, newest_ms - AHEAD_MS) // HOUR_MS * HOUR_MS
    hours = (newest_ms - SETTLED_MS - begin_ms) // HOUR_MS
    begun, before = time.monotonic(), process.cpu_times()
    while len(list(cache.rglob("*_60000.arrow"))) < hours:
        time.sleep(0.5)
    after, took = process.cpu_times(), time.monotonic() - begun
    used = after.user + after.system - before.user - before.system
    print(f"ahead: {hours} hours in {took:.0f} s, {used:.1f} s of processor")


@asynccontextmanager
async def _in_chromium(url: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """The page itself, and what asks for its memory after its garbage was collected: the heap of its JavaScript, the
    nodes of its document, and what the process of the page holds that is no file."""
    from playwright.async_api import async_playwright

    async with async_playwright() as running:
        words = ["--no-sandbox", "--disable-gpu"]
        browser = await running.chromium.launch(executable_path=shutil.which("chromium"), args=words)
        page = await browser.new_page(viewport={"width": 1366, "height": 768})
        await page.goto(url)
        asked = await page.context.new_cdp_session(page)
        await asked.send("Performance.enable")

        async def memory() -> str:
            await asked.send("HeapProfiler.collectGarbage")
            told = (await asked.send("Performance.getMetrics"))["metrics"]
            found = {each["name"]: each["value"] for each in told}
            every = psutil.Process().children(recursive=True)
            held = max(_own(each) for each in every if "--type=renderer" in each.cmdline())
            heap = found["JSHeapUsedSize"] / (1 << 20)
            return f", page: heap {heap:.1f} MB, {found['Nodes']:.0f} nodes, process {held} MB"

        yield memory
        await browser.close()


@asynccontextmanager
async def _nowhere(url: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    async def nothing() -> str:
        return ""

    yield nothing


def _own(process: psutil.Process) -> int:
    """Resident MB that are no file of a library."""
    memory = process.memory_info()
    own: int = memory.rss - memory.shared >> 20
    return own


async def live(seconds: int, is_in_chromium: bool, pages: int = 5) -> None:
    """So many pages of the demo, each with its socket and the questions that a page asks, for so long. Of each minute
    the least and the most: resident memory, and that part of it which is no file of a library."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "demo"
        make_last_hour(root)
        with screen(root, Path(folder) / "cache", "--demo") as (url, process):
            browsing = _in_chromium(url) if is_in_chromium else _nowhere(url)
            async with browsing as of_page, asyncio.TaskGroup() as tasks:
                every = [tasks.create_task(_page(url)) for _ in range(pages)]
                before, begun = process.cpu_times(), time.monotonic()
                for minute in range(1, seconds // 60 + 1):
                    looks = []
                    while time.monotonic() < begun + 60 * minute:
                        await asyncio.sleep(LOOK_SEC)
                        looks.append((process.memory_info().rss >> 20, _own(process)))
                    now = process.cpu_times()
                    share = (now.user + now.system - before.user - before.system) / (time.monotonic() - begun)
                    rss, own = ((min(each), max(each)) for each in zip(*looks, strict=True))
                    memory_text = f"{rss[0]:4} to {rss[1]:4} MB, of it no file {own[0]:4} to {own[1]:4} MB"
                    used = f"{share:.1%} of a core{await of_page()}"
                    print(f"{minute:3} min {memory_text}, {used}", flush=True)
                for task in every:
                    task.cancel()


async def _page(url: str) -> None:
    """What an open page asks while nobody touches it: its socket; each 5 s the state, each 15 s walls, each 60 s zones
    and the window of the last quarter of an hour."""
    drain = asyncio.create_task(_drain(f"{url.replace('http', 'ws')}/live?inst={INST}"))
    for second in range(0, 1 << 30, 5):
        asked = ["/api/status"] + ["/api/walls"] * (second % 15 == 0) + ["/api/zones"] * (second % 60 == 0)
        for path in asked:
            await asyncio.to_thread(get, url, path, inst=INST)
        if second % 60 == 0:
            now_ms = time.time_ns() // 1_000_000
            await asyncio.to_thread(window, url, (now_ms - 900_000, now_ms), 1600)
        await asyncio.sleep(5)
    await drain


async def _drain(url: str) -> None:
    """Every message; anew where the connection broke, as it does where the machine is too busy to answer a ping."""
    async for socket in connect(url, ping_interval=None):
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("vault", type=Path, nargs="?")
    parser.add_argument("--make", type=Path)
    parser.add_argument("--hours", type=int, default=168)
    parser.add_argument("--depth", type=int, default=400)
    parser.add_argument("--live", type=int, metavar="SECONDS")
    parser.add_argument("--chromium", action="store_true")
    args = parser.parse_args()
    if args.make:
        make(args.make, args.hours, args.depth)
    elif args.live:
        asyncio.run(live(args.live, args.chromium))
    else:
        measure(args.vault)
