"""The page in a real Chromium: what a trader sees is what the vault holds, and nothing else."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from l2vault.vault.store.layout import Layout
from l2vault.web.guard import Guard
from support.hours import HOUR_AT_MS, INST
from support.screen_site import HOLE, LINES, Site, append

playwright = pytest.importorskip("playwright.async_api", reason="needs playwright")

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAM = "chromium"
PATIENCE_SEC = 90
"""A browser on a machine that does much else at the same time is slow; nothing waits so long otherwise."""
BRIGHTEST = [254, 232, 56]
EMPTY = [0, 10, 28]
MISSING = [213, 94, 0]
PANEL = [21, 27, 35]
WALL_PRICE = 60050.5
"""The middle of the cell that the wall lies in."""
READY = "window.screenOfL2vault?.chart?.grid && !window.screenOfL2vault.chart.grid.unread_hours.length"
PIXEL = """([t, p, below]) => {
  const { chart } = window.screenOfL2vault, { view, box, ratio } = chart;
  chart.walls = []; chart.trades = []; chart.cursor = null; chart.draw();
  const x = box.x + (t - view.t0) / (view.t1 - view.t0) * box.w;
  const y = below ? box.h + 2 + 7 : box.y + (view.p1 - p) / (view.p1 - view.p0) * box.h;
  return [...chart.context.getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data].slice(0, 3);
}"""


COLOUR = PIXEL.replace("chart.walls = []; chart.trades = []; chart.cursor = null; ", "")
"""With all that lies over the cells."""
NEWEST = "t => document.documentElement.dataset.newest === String(t)"
PLACE = """([t, p]) => {
  const { view, box } = window.screenOfL2vault.chart;
  return [(t - view.t0) / (view.t1 - view.t0) * box.w, (view.p1 - p) / (view.p1 - view.p0) * box.h];
}"""


async def when(page, expression: str, argument: object = None) -> None:
    """Until it is so; `wait_for_function` would evaluate text in the page, which the policy forbids."""
    async with asyncio.timeout(PATIENCE_SEC):
        while not await page.evaluate(expression, argument):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[object]:
    program = shutil.which(PROGRAM)
    if program is None:
        if os.environ.get("L2_REQUIRE_PROGRAMS") == "1":
            pytest.fail(f"needs {PROGRAM}")
        pytest.skip(f"needs {PROGRAM}")
    async with playwright.async_playwright() as running:
        browser = await running.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site(vault: Layout) -> AsyncIterator[Site]:
    async with Site(vault.root).running() as running:
        yield running


@asynccontextmanager
async def opened(browser, site: Site, address: str = "", wait: str = READY, quiet: bool = True, **context):
    """A page over the whole vault; in the end nothing may have come from outside, and no error have been said."""
    context = await browser.new_context(
        **{"viewport": {"width": 1366, "height": 768}, "color_scheme": "dark"} | context
    )
    context.set_default_timeout(PATIENCE_SEC * 1000)
    page = await context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{site.url}/{address}")
    await when(page, wait)
    yield page
    await context.close()
    assert all(url.startswith((site.url, "blob:")) for url in asked), asked
    assert not quiet or not said, said


def at(slot: float) -> float:
    """The middle of the column of a slot."""
    return HOUR_AT_MS + slot * 2000 + 1000


async def _told_of_a_line_that_is_not_there(page, newest: int) -> None:
    """As a status does that was asked just behind the line: the page does not take it for there."""
    told = "t => { const { pane } = screenOfL2vault; pane.newestMs = t; pane.host.changed(pane, 'book') }"
    await page.evaluate(told, newest)
    assert not await page.evaluate(NEWEST, newest), "what was told is not on the page yet"


async def _pixel(page, slot: float, price: float = 0.0, on_strip: bool = False) -> list[int]:
    return await page.evaluate(PIXEL, [at(slot), price, on_strip])


async def test_a_planted_wall_shines_where_it_stands_and_nowhere_else(browser, site: Site) -> None:
    async with opened(browser, site) as page:
        for slot in (101, 150, 300, LINES - 3):
            assert await _pixel(page, slot, WALL_PRICE) == BRIGHTEST, slot
        for slot in (20, 98):
            assert await _pixel(page, slot, WALL_PRICE) == EMPTY, slot
        assert await _pixel(page, 150, WALL_PRICE - 3) == EMPTY


async def test_a_hole_is_hatched_over_the_whole_height_and_on_the_strip(browser, site: Site) -> None:
    async with opened(browser, site) as page:
        middle = (HOLE.start + HOLE.stop) / 2
        for price in (WALL_PRICE, 60000, 59950):
            seen = [await _pixel(page, middle + shift, price) for shift in range(-10, 10)]
            assert MISSING in seen
            assert BRIGHTEST not in seen and EMPTY not in seen, "nothing is filled in"
        assert await _pixel(page, middle, on_strip=True) == MISSING
        assert await _pixel(page, 150, on_strip=True) == [0, 158, 115]


async def test_the_cause_of_a_hole_is_told_where_the_cursor_is(browser, site: Site) -> None:
    async with opened(browser, site) as page:
        x = (await page.evaluate(PLACE, [at(215), 60000]))[0]
        canvas = await page.locator("#chart").bounding_box()
        await page.mouse.move(canvas["x"] + x, canvas["y"] + await page.evaluate("screenOfL2vault.chart.box.h") + 9)
        tip = await page.locator(".tip").text_content()
        assert "missing: chain\na message of OKX's stream was missing" in tip
        assert "03:06:39 to 03:07:40" in tip
        await when(page, "document.querySelector('#hole').textContent.includes('missing (chain)')")


async def test_orders_and_since_when_are_told_of_a_level(browser, site: Site) -> None:
    async with opened(
        browser, site, f"#inst={INST}&from=2024-08-20T03:00:00Z&to=2024-08-20T03:06:00Z&low=60000&high=60100"
    ) as page:
        place = await page.evaluate(PLACE, [at(150), WALL_PRICE])
        canvas = await page.locator("#chart").bounding_box()
        await page.mouse.move(canvas["x"] + place[0], canvas["y"] + place[1])
        await when(page, "document.querySelector('.tip').textContent.includes('since 03:03:20')")
        tip = await page.locator(".tip").text_content()
        assert "60 050.0: 400 contracts, 240 k USDT, 2 orders" in tip


@pytest.mark.parametrize("keys", [["Shift"], ["Control"]])
async def test_zoom_keeps_the_price_under_the_cursor(browser, site: Site, keys: list[str]) -> None:
    price = "y => { const {view, box} = screenOfL2vault.chart; return view.p1 - y / box.h * (view.p1 - view.p0) }"
    height = "() => screenOfL2vault.chart.view.p1 - screenOfL2vault.chart.view.p0"
    async with opened(browser, site) as page:
        canvas = await page.locator("#chart").bounding_box()
        await page.mouse.move(canvas["x"] + 400, canvas["y"] + 210)
        before, tall = await page.evaluate(price, 210), await page.evaluate(height)
        for key in keys:
            await page.keyboard.down(key)
        for _ in range(3):
            await page.mouse.wheel(0, -100)
        for key in keys:
            await page.keyboard.up(key)
        await when(page, f"tall => ({height})() < tall * 0.7", tall)
        assert await page.evaluate(price, 210) == pytest.approx(before, abs=1e-6)


async def test_a_line_is_on_the_page_once_it_is_in_the_file(browser, site: Site, vault: Layout) -> None:
    async with opened(browser, site) as page:
        await when(page, "screenOfL2vault.state.isConnected")
        newest = HOUR_AT_MS + LINES * 2000
        await _told_of_a_line_that_is_not_there(page, newest)
        append(vault, LINES)
        await when(page, NEWEST, newest)
        assert await _pixel(page, LINES, WALL_PRICE) == BRIGHTEST
        assert "newest, 03:15:00" in await page.locator("#ladder-when").text_content()
        end = await page.evaluate("screenOfL2vault.chart.view.t1")
        assert end > newest, "the newest line stays in view"


LADDER = """async ([depth, step]) => {
  const { showLadder } = await import("/panels.js"), table = document.createElement("table");
  table.createTBody();
  const book = { bids: [[99, 1, 1], [98, 2, 1], [94, 4, 1]], asks: [[101, 1, 1], [105, 2, 1]], depth };
  showLadder(table, book, { usd: (price, qty) => qty, step, decimals: 0, count: 9, quote: "USDT" });
  const shown = [...table.rows].filter((row) => row.className !== "spread");
  return shown.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent));
}"""


async def test_a_step_of_the_ladder_of_which_only_the_nearer_part_was_recorded_says_at_least(
    browser, site: Site
) -> None:
    """Three bids of three that are recorded, of which the last is at 94: a step of 5 ends at 90."""
    async with opened(browser, site) as page:
        asks = [["105", "2.0", "3.0"], ["101", "1.0", "1.0"]]
        assert await page.evaluate(LADDER, [3, 1]) == [
            *asks,
            ["99", "1.0", "1.0"],
            ["98", "2.0", "3.0"],
            ["94", "4.0", "7.0"],
        ]
        wide = await page.evaluate(LADDER, [3, 5])
        assert wide == [["105", "3.0", "3.0"], ["95", "3.0", "3.0"], ["90", "\u2265 4.0", "\u2265 7.0"]]
        whole = await page.evaluate(LADDER, [400, 5])
        assert whole[-1] == ["90", "4.0", "7.0"], "nothing lies behind a side that is whole"


APART = """() => {
  const { pane, chart } = screenOfL2vault, { grid } = chart, first = grid.columns - 3;
  const from = grid.start_ms + first * grid.bin_ms;
  const cells = () => [0, 1, 2].map((n) => chart.cellAt(from + n * grid.bin_ms, 60050.2).size);
  window.between = { from, cells, before: cells() };
  // As if its hour had been read four seconds before the first line came.
  grid.size.fill(NaN, first * grid.rows, (first + 2) * grid.rows);
  for (const each of [grid.codes, grid.books]) each.fill(0, first, first + 2);
  chart.paintColumns(first, grid.columns);
  [grid.read_to_ms, pane.recent, pane.liveFrom] = [from, [], from + 2 * grid.bin_ms];
  return [chart.unknown(), from, grid.bin_ms];
}"""
BRIDGED = """async () => {
  const { pane, chart } = screenOfL2vault, { from, cells, before } = window.between;
  await pane.bridge();
  await pane.bridge();
  return [before, cells(), chart.unknown(), pane.liveFrom === from, pane.recent.map((book) => book.book_ms - from)];
}"""


async def test_lines_between_what_was_read_and_the_first_live_one_are_asked_for(browser, site: Site) -> None:
    async with opened(browser, site, "#live=400000") as page:
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url) if "format=json" in request.url else None)
        await when(page, "screenOfL2vault.pane.asked && screenOfL2vault.pane.book")
        unknown, start, width = await page.evaluate(APART)
        assert unknown == [[start, start + 2 * width]] and width == 2000
        assert await _pixel(page, LINES - 3, WALL_PRICE) == PANEL, "not read yet: neither hatched nor beyond reach"
        before, after, unknown, is_joined, recent = await page.evaluate(BRIDGED)
        assert after == before and unknown == [] and is_joined and recent == [0, 2000]
        assert len(asked) == 1, "once"


async def test_a_slot_that_nothing_proves_is_not_filled_in(browser, site: Site, vault: Layout) -> None:
    async with opened(browser, site) as page:
        await when(page, "screenOfL2vault.state.isConnected")
        append(vault, LINES + 10)
        newest = HOUR_AT_MS + (LINES + 10) * 2000
        await when(page, NEWEST, newest)
        assert await _pixel(page, LINES + 10, WALL_PRICE) == BRIGHTEST
        assert await _pixel(page, LINES + 5, WALL_PRICE) not in (BRIGHTEST, EMPTY)


async def test_it_comes_back_after_the_server_was_started_again(browser, vault: Layout) -> None:
    async with Site(vault.root).running() as first:
        port = first.port
        manager = opened(browser, first, quiet=False)
        page = await manager.__aenter__()
        await when(page, "screenOfL2vault.state.isConnected")
    await when(page, "document.querySelector('#age').textContent === 'no connection to the screen'")
    async with Site(vault.root, port).running():
        await when(page, "screenOfL2vault.state.isConnected")
        newest = HOUR_AT_MS + LINES * 2000
        await _told_of_a_line_that_is_not_there(page, newest)
        append(vault, LINES)
        await when(page, NEWEST, newest)
        await manager.__aexit__(None, None, None)


async def test_everything_is_reached_by_keys(browser, site: Site) -> None:
    is_following = "screenOfL2vault.state.isFollowing"
    view = "(() => ({...screenOfL2vault.chart.view}))()"
    async with opened(browser, site) as page:
        before = await page.evaluate(view)
        await page.keyboard.press("ArrowLeft")
        after = await page.evaluate(view)
        assert after["t0"] < before["t0"] and after["p0"] == before["p0"]
        assert await page.evaluate(is_following) is False
        await page.keyboard.press("f")
        assert await page.evaluate(is_following) is True
        await page.keyboard.press("+")
        zoomed = await page.evaluate(view)
        assert zoomed["t1"] - zoomed["t0"] < before["t1"] - before["t0"]
        await page.keyboard.press("Shift+ArrowUp")
        assert (await page.evaluate(view))["p1"] < before["p1"]
        await page.keyboard.press("a")
        assert (await page.evaluate(view))["p1"] == pytest.approx(before["p1"])
        await page.keyboard.press("m")
        middle = await page.evaluate(
            "(screenOfL2vault.chart.view.p0 + screenOfL2vault.chart.view.p1) / 2 - screenOfL2vault.chart.mid"
        )
        assert middle == pytest.approx(0, abs=1e-6)
        await page.keyboard.press("t")
        assert await page.evaluate("document.documentElement.dataset.theme") == "light"
        await page.keyboard.press("Alt+ArrowRight")
        assert "UTC" in await page.locator(".tip").text_content()
        await when(page, "screenOfL2vault.state.status?.last_hole")
        await page.keyboard.press("h")
        span = await page.evaluate(view)
        assert span["t0"] < at(215) < span["t1"] and await page.evaluate(is_following) is False
        await page.keyboard.press("?")
        assert await page.locator("#keys kbd").count() > 15
        await page.keyboard.press("Escape")
        assert await page.locator("#keys").is_visible() is False


ADDED = """() => {
  const { pane, chart } = screenOfL2vault, { book } = pane, cell = () => chart.cellAt(book.book_ms, 60050.2).size;
  const before = cell(), smaller = (side) => side.map(([price, qty, orders]) => [price, qty / 4, orders]);
  chart.addBook({ ...book, bids: smaller(book.bids), asks: smaller(book.asks) }, pane.usd);
  const leans = chart.grid.imbalance.subarray(0, chart.grid.columns).some((value) => value === value);
  return [before, cell(), leans];
}"""


async def test_cells_show_the_mean_or_by_a_key_and_a_button_the_largest_level(browser, site: Site) -> None:
    cells = "of => screenOfL2vault.chart.grid?.of === of && screenOfL2vault.pane.book !== null"
    async with opened(browser, site, "#live=400000") as page:
        value = 400 * 0.01 * 60050
        await when(page, cells, "mean")
        before, after, leans = await page.evaluate(ADDED)
        assert before == pytest.approx(value) and after < 0.8 * value and leans
        await page.keyboard.press("x")
        await when(page, cells, "max")
        assert await page.locator("#of").text_content() == "largest"
        before, after, leans = await page.evaluate(ADDED)
        assert before == pytest.approx(value) and after == before, "another book makes it no smaller"
        assert not leans, "the largest levels are no sum of what rests"
        assert "largest level of a cell" in await page.locator("#legend").text_content()
        await when(page, "location.hash.includes('of=max')")
        await page.click("#of")
        await when(page, cells, "mean")


async def test_the_address_names_the_moment_and_the_view(browser, site: Site) -> None:
    address = f"#inst={INST}&from=2024-08-20T03:02:00.000Z&to=2024-08-20T03:04:00.000Z&low=59990&high=60060"
    async with opened(browser, site, address) as page:
        view = await page.evaluate("(() => ({...screenOfL2vault.chart.view}))()")
        assert view == {"t0": HOUR_AT_MS + 120_000, "t1": HOUR_AT_MS + 240_000, "p0": 59990, "p1": 60060}
        await page.keyboard.press("ArrowRight")
        await when(page, "decodeURIComponent(location.hash).includes('from=2024-08-20T03:02:14.400Z')")


async def test_text_out_of_the_vault_is_text(browser, site: Site) -> None:
    bad = "<img src=x onerror=window.isTaken=1>"
    status = (
        '{"now_ms": 1, "newest_ms": 1, "evidence_ms": 1, "recorder": {"state": "BAD"},'
        ' "coverage": {"from": 0, "to": 1, "holes": []},'
        ' "last_hole": {"from": 0, "to": 1, "kind": "missing", "cause": "BAD"}}'
    ).replace("BAD", bad)
    context = await browser.new_context()
    page = await context.new_page()
    await page.route("**/api/status*", lambda route: route.fulfill(body=status, content_type="application/json"))
    await page.goto(site.url)
    await when(page, "document.querySelector('#hole').textContent.includes('<img')")
    assert bad in await page.locator("#recorder").text_content()
    assert await page.evaluate("[document.querySelectorAll('img').length, window.isTaken]") == [0, None]
    await context.close()


async def test_the_token_leaves_the_address_and_opens_the_data(browser, vault: Layout) -> None:
    async with Site(vault.root, guard=Guard("0.0.0.0", "secret-token")).running() as site:
        async with opened(browser, site, wait="!document.querySelector('#note').hidden", quiet=False) as page:
            assert "the token is missing" in await page.locator("#note").text_content()
        async with opened(browser, site, "#token=secret-token") as page:
            assert "secret" not in page.url
            assert "secret" not in await page.evaluate("document.cookie")


@pytest.mark.parametrize("size", [(390, 844), (1366, 768), (2560, 1440)])
async def test_it_fits_a_phone_a_laptop_and_a_desk(browser, site: Site, size: tuple[int, int], tmp_path: Path) -> None:
    async with opened(browser, site, viewport={"width": size[0], "height": size[1]}) as page:
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = await page.locator("#chart").bounding_box()
        assert box["width"] > size[0] * 0.6 and box["height"] > size[1] * 0.5
        assert box["y"] < 90, "buttons and states take no more than two rows"


COUNTED = """() => {
  const counted = window.counted = { bytes: 0, calls: 0 }, kind = CanvasRenderingContext2D.prototype;
  for (const name of ["drawImage", "fillRect", "fill", "stroke", "fillText", "strokeText", "putImageData"]) {
    const own = kind[name];
    kind[name] = function (...words) {
      counted.calls += 1;
      if (name === "putImageData") counted.bytes += 4 * words[5] * words[6];
      return own.apply(this, words);
    };
  }
  return { ...screenOfL2vault.chart.work };
}"""


async def test_a_live_line_costs_one_column_and_one_frame(browser, site: Site, vault: Layout) -> None:
    async with opened(browser, site) as page:
        await when(
            page,
            "screenOfL2vault.state.isConnected && screenOfL2vault.state.status && screenOfL2vault.state.walls"
            " && screenOfL2vault.chart.beside",
        )
        before = await page.evaluate(COUNTED)
        append(vault, LINES)
        newest = HOUR_AT_MS + LINES * 2000
        await when(page, NEWEST, newest)
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        after = await page.evaluate(
            "({...screenOfL2vault.chart.work, ...counted, rows: screenOfL2vault.chart.grid.rows})"
        )
        frames = after["drawn"] - before["drawn"]
        assert after["painted"] - before["painted"] <= 3
        assert 0 < after["bytes"] <= 3 * 4 * after["rows"], "columns that changed are uploaded, and no other"
        assert after["calls"] <= 150 * frames, "whatever the number of cells"


async def test_a_live_book_stands_on_over_quiet_slots_and_not_into_a_hole(browser, site: Site, vault: Layout) -> None:
    async with opened(browser, site) as page:
        await when(page, "screenOfL2vault.state.isConnected")
        append(vault, LINES)
        append(vault, LINES + 20)
        await when(page, NEWEST, HOUR_AT_MS + (LINES + 20) * 2000)
        span = [HOUR_AT_MS + slot * 2000 for slot in (LINES, LINES + 6, LINES + 14, LINES + 20)]
        stood_on = """([from, lost, found, to]) => {
          const { pane, chart } = screenOfL2vault;
          pane.still();
          chart.addHoles({ from, to, holes: [[lost, found, "missing", "chain", 4]] });
          chart.standOn(from, to);
          chart.addHoles = chart.setGrid = () => {}; // what the server is still asked for says otherwise
        }"""
        await page.evaluate(stood_on, span)
        assert await _pixel(page, LINES + 3, WALL_PRICE) == BRIGHTEST
        seen = [await _pixel(page, LINES + 6 + part / 2, price) for part in range(15) for price in (WALL_PRICE, 60000)]
        assert MISSING in seen and BRIGHTEST not in seen and EMPTY not in seen
        assert await _pixel(page, LINES + 17, WALL_PRICE) not in (BRIGHTEST, EMPTY), "nor beyond it"


WALL = {
    "side": "ask", "price": 60050.0, "began": "placed", "t_from": HOUR_AT_MS + 200_000, "orders": 2.0, "moves": 0,
    "size_end": 240200.0, "times_usual": 40.0, "standing_bps": 8.3, "end_from": None,
}  # fmt: skip


def _walls() -> dict:
    """A wall that stands, and one that was cancelled."""
    end_ms = HOUR_AT_MS + LINES * 2000
    stands = WALL | {"track": 1, "end": "standing", "t_to": end_ms, "lives": [[WALL["t_from"], end_ms, 60050.0]]}
    gone_ms = HOUR_AT_MS + 300_000
    gone = WALL | {"track": 2, "price": 60020.0, "end": "pulled", "end_from": "trades", "t_to": gone_ms}
    gone["lives"] = [[WALL["t_from"], gone_ms, 60020.0]]
    return {"walls": [stands], "ended": [gone], "left_out": 0, "threshold": {}, "from": HOUR_AT_MS, "to": end_ms}


async def test_a_stranger_reads_the_largest_wall_the_last_hole_and_the_recorder(browser, site: Site) -> None:
    lag = {
        "lag_ms": 23.4,
        "feeds_wanted": 2,
        "feeds": [[1, "up", None], [2, "down", "refused"]],
        "disk_days_left": 93.2,
    }
    loss = {"at": "2024-08-20T03:06:40.000Z", "feed": 2, "cause": "chain", "is_covered": True}
    context = await browser.new_context(
        viewport={"width": 1366, "height": 768}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(PATIENCE_SEC * 1000)
    page = await context.new_page()

    async def status(route) -> None:
        said = await (await route.fetch()).json()
        said["recorder"] = {"state": "healthy", "reasons": [], "last_loss": loss, **lag}
        said["context"] = {
            "t": HOUR_AT_MS + LINES * 2000, "mark": {"price": "60060"}, "index": {"price": "60000"},
            "funding": {"rate": "0.0001", "time": "0"}, "open_interest": {"contracts": "5", "usd": "7000000"},
        }  # fmt: skip
        await route.fulfill(json=said)

    await page.route("**/api/status*", status)
    zone = {
        "side": "bid",
        "price_from": 59980.0,
        "price_to": 59990.0,
        "persistence": 1.0,
        "seen_share": 1.0,
        "tests": 0,
    }
    zones = {"zones": [zone | {"size": 5e5}], "from": HOUR_AT_MS, "to": HOUR_AT_MS + 1}
    await page.route("**/api/zones*", lambda route: route.fulfill(json=zones))
    await page.route("**/api/walls*", lambda route: route.fulfill(json=_walls()))
    await page.goto(site.url)
    await when(page, f"{READY} && screenOfL2vault.state.walls && screenOfL2vault.state.status")
    glance = await page.locator("#glance").inner_text()
    stood = "240 k USDT in 2 orders, for 11 min 40 s (since 03:03:20), 8.3 bps above the price; 40 times what is usual"
    assert f"Largest standing wall\nask 60 050.0\n{stood}" in glance
    assert "Last hole\n03:06:39, for 1 min 1 s\nmissing (chain): a message of OKX's stream was missing" in glance
    shown = [await page.locator(f"#{name}").text_content() for name in ("lag", "feeds", "loss", "disk")]
    assert shown == ["lag 23 ms", "feeds 1 of 2", "last loss 03:06:40: chain, feed 2, covered", "disk full in 93 days"]
    market = await page.locator("#market").inner_text()
    assert "+10.00 bps" in market and "+0.0100 %" in market and "7.00 M USD" in market
    await when(page, "screenOfL2vault.state.zones")
    ahead = [await page.evaluate(COLOUR, [at(LINES + 10), price, False]) for price in (59985, 59975)]
    assert ahead[0] != ahead[1], "a zone lies ahead of the newest line"
    canvas = await page.locator("#chart").bounding_box()
    x, y = await page.evaluate(PLACE, [HOUR_AT_MS + 250_000, 60020])
    await page.mouse.click(canvas["x"] + x, canvas["y"] + y)
    assert await page.evaluate("screenOfL2vault.chart.found") == 2
    tip = await page.locator(".tip").text_content()
    assert "wall: ask 60 020.0, 240 k USDT in 2 orders" in tip and "03:05:00: cancelled (pulled)" in tip
    await page.click("#glance button")
    assert await page.evaluate("screenOfL2vault.chart.found") == 1
    await page.keyboard.press("c")
    await when(page, "document.querySelector('#flash').textContent.includes('clipboard')")
    kinds = await page.evaluate("navigator.clipboard.read().then((items) => items.flatMap((item) => item.types))")
    assert kinds == ["image/png"]
    async with page.expect_download() as download:
        await page.keyboard.press("s")
    assert (await download.value).suggested_filename.startswith(INST)
    await context.close()


async def test_what_was_traded_and_how_the_book_leans_is_below_the_cells(browser, site: Site) -> None:
    async with opened(browser, site) as page:
        await when(page, "screenOfL2vault.chart.beside")
        first = await page.evaluate("t => screenOfL2vault.chart.beside.at(t)", HOUR_AT_MS)
        bought = await page.evaluate("at => screenOfL2vault.chart.beside.bought.slice(at, at + 6)", first)
        assert bought[1:5] == pytest.approx([n * 0.01 * 60001 for n in range(1, 5)]) and bought[5] is None
        leans = "t => screenOfL2vault.chart.grid.imbalance[screenOfL2vault.chart.columnAt(t)]"
        # Twelve levels of 10 contracts a side within 10 bps, and the wall of 400 among the asks; at the best bid more.
        assert await page.evaluate(leans, at(150)) == pytest.approx((120 - 520) / 640, abs=0.02)
        assert abs(await page.evaluate(leans, at(50))) < 0.05
        assert await page.evaluate(f"Number.isNaN(({leans})({at(HOLE.start + 5)}))"), "nothing is made up in a hole"
        tall = await page.evaluate("screenOfL2vault.chart.box.h")
        await page.keyboard.press("l")
        await page.keyboard.press("l")
        assert await page.evaluate("screenOfL2vault.chart.box.h") > tall + 100


async def test_two_charts_show_one_time_each_with_its_own_prices(browser, site: Site) -> None:
    views = "screenOfL2vault.panes.map(({ chart }) => ({ ...chart.view }))"
    async with opened(browser, site) as page:
        await page.keyboard.press("p")
        await when(page, "screenOfL2vault.panes.length === 2 && screenOfL2vault.panes.every(({ chart }) => chart.grid)")
        before = await page.evaluate(views)
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowUp")
        one, other = await page.evaluate(views)
        assert one["t0"] == other["t0"] < before[0]["t0"]
        assert other["p0"] > before[1]["p0"] and one["p0"] == before[0]["p0"]
        canvas = await page.locator("#chart").bounding_box()
        await page.mouse.move(canvas["x"] + 100, canvas["y"] + 100)
        pointed = await page.evaluate("screenOfL2vault.panes.map(({ chart }) => chart.cursorTime())")
        assert pointed[0] is not None and pointed[0] == pointed[1]
        start = "new Date(screenOfL2vault.chart.view.t0).toISOString()"
        await when(page, f"new URLSearchParams(location.hash.slice(1)).get('from') === {start}")
        again = await page.context.new_page()
        await again.goto(await page.evaluate("location.href"))
        await when(again, "window.screenOfL2vault?.panes.length === 2")
        assert [each["t0"] for each in await again.evaluate(views)] == [one["t0"]] * 2
        await page.keyboard.press("P")
        assert await page.evaluate("screenOfL2vault.panes.length") == 1
