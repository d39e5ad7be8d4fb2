"""What a frame of the screen costs, with a window of 2048 columns by 1024 rows, in a real Chromium.

    python benchmarks/screen_frames.py [--vault DIR] [--frames N]

Serves a vault on 127.0.0.1, opens the page, replaces its window by a made-up one of that size and prints the
milliseconds of JavaScript for a whole window (taken over and coloured), for a live book (its column and a frame) and
for a frame alone. It runs without a GPU; what the browser itself takes to paint is not counted.
"""

import argparse
import asyncio
import shutil
import socket
import sys
from pathlib import Path

import uvicorn
from playwright.async_api import async_playwright

from l2vault.clock import Clock
from l2vault.vault.reading.vault import open_vault
from l2vault.web.app import Screen
from l2vault.web.guard import Guard

COLUMNS, ROWS = 2048, 1024
READY = "window.screenOfL2vault?.chart?.grid && screenOfL2vault.pane.book && screenOfL2vault.chart.beside"
MEASURED = """([columns, rows, frames]) => {
  const { pane, chart } = window.screenOfL2vault, { book } = pane, bin = 2000;
  const start = Math.floor(book.book_ms / bin) * bin - columns * bin, step = 0.5;
  const from = book.bids[0][0] - rows * step / 2;
  const size = new Float32Array(columns * rows).map((_, i) => (i * 2654435761 % 1000) ** 2 + 1);
  const line = (price) => new Float64Array(columns).map((_, c) => price + 40 * Math.sin(c / 90));
  const grid = {
    ...chart.grid, start_ms: start, bin_ms: bin, columns, rows, size, price_from: from, price_step: step,
    read_to_ms: start + columns * bin, unread_hours: [], codes: new Uint8Array(columns).fill(1),
    best_bid: line(book.bids[0][0]), best_ask: line(book.asks[0][0]),
  };
  const timed = (times, work) => {
    const took = [];
    for (let i = 0; i < times; i++) { const begun = performance.now(); work(i); took.push(performance.now() - begun); }
    took.sort((a, b) => a - b);
    return [took[Math.floor(times / 2)], took[Math.floor(times * 0.95)]];
  };
  chart.firstMs = start;
  chart.view = { t0: start, t1: start + columns * bin * 1.05, p0: from, p1: from + rows * step };
  const whole = timed(5, () => chart.setGrid(grid));
  const live = timed(frames, (i) => {
    chart.addBook({ ...book, book_ms: start + (columns + i % 500) * bin }, pane.usd);
    chart.draw();
  });
  const frame = timed(frames, () => chart.draw());
  return { whole, live, frame, canvas: [chart.canvas.width, chart.canvas.height] };
}"""


async def measured(root: Path, frames: int) -> dict[str, list[float]]:
    """Median and 95th percentile, in ms, of each."""
    bound = socket.create_server(("127.0.0.1", 0))
    screen = Screen(root, Guard("127.0.0.1"), Clock())
    server = uvicorn.Server(uvicorn.Config(screen.app, log_config=None, lifespan="off", ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    async with async_playwright() as running:
        browser = await running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1920, "height": 1080})
        await page.goto(f"http://127.0.0.1:{bound.getsockname()[1]}")
        while not await page.evaluate(READY):  # noqa: ASYNC110 - the page has no event of its own
            await asyncio.sleep(0.2)
        found: dict[str, list[float]] = await page.evaluate(MEASURED, [COLUMNS, ROWS, frames])
        await browser.close()
    server.should_exit = True
    await serving
    screen.stop()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vault", type=Path, default=Path("demo"), metavar="DIR", help="any vault with books")
    parser.add_argument("--frames", type=int, default=200, metavar="N")
    args = parser.parse_args()
    if not open_vault(args.vault).instruments():
        sys.exit(f"{args.vault} holds no books yet. Try: make demo")
    found = asyncio.run(measured(args.vault, args.frames))
    print(f"{COLUMNS} columns by {ROWS} rows on a canvas of {found['canvas'][0]} by {found['canvas'][1]} pixels")
    for name, what in (
        ("whole", "a window taken over and coloured"),
        ("live", "a live book: its column and a frame"),
        ("frame", "a frame"),
    ):
        print(f"{what:40} median {found[name][0]:6.1f} ms, 95 % {found[name][1]:6.1f} ms")


if __name__ == "__main__":
    main()
