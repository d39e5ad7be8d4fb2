"""The pictures of docs/screen.md, taken of the page itself in a real Chromium; in all sizes and colours with `--all`.

    python benchmarks/screen_pictures.py [--all DIR]

Records the demo for two minutes and opens it as a stranger does; the light one is of the six minutes of real
books that docs/intelligence-example.md names, and stays as it is where those captures are not. A thing to look at: a
page that does not name a wall and a hole ends it with an error, but what is drawn only eyes can judge.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from playwright.async_api import Browser, Page, async_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from support.captured import CAPTURES  # noqa: E402
from support.example_vault import make_example_vault  # noqa: E402

PICTURES: Final = ROOT / "docs" / "pictures"
PATIENCE_SEC: Final = 180
RECORDED_SEC: Final = 100
"""The hole comes after 30 s, and the whale of the demo's BTC stands for six minutes."""
READY: Final = """() => {
  const { pane, chart } = window.screenOfL2vault ?? {};
  return Boolean(pane?.walls && pane.zones && pane.status && pane.book && chart.grid && !chart.grid.unread_hours.length
    && chart.beside && !chart.beside.unread_hours?.length);
}"""
POINT: Final = """() => {
  const { pane, chart } = screenOfL2vault, { view, box } = chart, wall = pane.walls.walls[0];
  const [from, to] = wall.lives.at(-1), place = chart.canvas.getBoundingClientRect(), t = from + (to - from) * 0.4;
  const x = (t - view.t0) / (view.t1 - view.t0) * box.w, y = (view.p1 - wall.price) / (view.p1 - view.p0) * box.h;
  return [place.x + x, place.y + y];
}"""


class Shot(NamedTuple):
    """A picture: how large the page is, in which colours, what the address asks for, and where the cursor is."""

    name: str
    size: tuple[int, int]
    theme: str
    of_demo: bool = True
    address: str = ""
    is_pointing: bool = False


SHOTS: Final = (
    Shot("screen_dark", (1366, 768), "dark", is_pointing=True),
    Shot("screen_phone", (390, 844), "light"),
    Shot("screen_desk", (2560, 1440), "light"),
    Shot("screen_light", (1366, 768), "light", of_demo=False),
)
SIZES: Final = ((1366, 768), (2560, 1440), (390, 844))


def every() -> Iterator[Shot]:
    """All sizes in both colours, of the demo and of real books."""
    for width, height in SIZES:
        for theme in ("dark", "light"):
            for of_demo in (True, False):
                name = f"{'demo' if of_demo else 'real'}_{theme}_{width}"
                yield Shot(name, (width, height), theme, of_demo)


@contextmanager
def screen(*words: str) -> Iterator[str]:
    """The address of one, which ends with the block."""
    asked = ["screen", "--no-browser", "--no-cache", "--port", "0", *words]
    child = subprocess.Popen([sys.executable, "-m", "l2vault", *asked], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        match = re.search(r"http://\S+", child.stdout.readline())
        if match is None:
            raise SystemExit("the screen did not start")
        yield match[0]
    finally:
        child.terminate()
        child.wait()


async def take(browser: Browser, url: str, shot: Shot, folder: Path) -> None:
    width, height = shot.size
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=shot.theme)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.set_default_timeout(PATIENCE_SEC * 1000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    await page.goto(f"{url}{shot.address}")
    while not await page.evaluate(READY):  # noqa: ASYNC110 - the page has no event of its own
        await asyncio.sleep(0.3)
    await asyncio.sleep(2)
    if shot.is_pointing:
        await page.mouse.move(*await page.evaluate(POINT))
        await asyncio.sleep(2)
    await check(page, shot)
    if wrong:
        raise SystemExit(f"{shot.name}: the page says {wrong[0]}")
    await page.screenshot(path=folder / f"{shot.name}.png")
    await page.close()
    print(folder / f"{shot.name}.png", flush=True)


async def check(page: Page, shot: Shot) -> None:
    """What a stranger must be able to read there."""
    said = await page.locator("#glance").inner_text()
    if "Largest standing wall" not in said or (shot.of_demo and "the connection broke" not in said):
        raise SystemExit(f"{shot.name}: the page does not name the wall and the hole: {said}")


async def main(folder: Path, shots: list[Shot]) -> None:
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("no chromium here. Try: apt-get install -y --no-install-recommends chromium")
    async with async_playwright() as running:
        browser = await running.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        with tempfile.TemporaryDirectory() as kept:
            of_demo = [shot for shot in shots if shot.of_demo]
            with screen("--demo", "--vault", f"{kept}/demo") as url:
                await asyncio.sleep(RECORDED_SEC)
                for shot in of_demo:
                    await take(browser, url, shot, folder)
            if not (CAPTURES / "derived").is_dir():
                print("No captures of real books here: their pictures are left as they are. Try: L2_CAPTURES=FOLDER")
                return
            with screen("--vault", str(make_example_vault(Path(kept) / "example"))) as url:
                for shot in (shot for shot in shots if not shot.of_demo):
                    await take(browser, url, shot, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="DIR", help="every size and colour into this folder instead")
    asked = parser.parse_args()
    if asked.all:
        asked.all.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(asked.all or PICTURES, list(every()) if asked.all else list(SHOTS)))
