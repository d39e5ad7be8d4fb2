"""New lines to open pages, over a real socket."""

import asyncio
import json
import threading
from collections.abc import Callable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from l2vault.vault.store.layout import Layout
from l2vault.web import live
from l2vault.web.guard import Guard
from l2vault.web.live import SKIPPED, WAITING, Page
from support.hours import HOUR_AT_MS, INST
from support.screen_site import LINES, Site, append


async def _when(is_so: Callable[[], bool]) -> None:
    """Until something is so that no event says, or the test takes too long."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _followers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(("books of ", "trades of "))]


async def _next(page) -> dict:
    return json.loads(await asyncio.wait_for(page.recv(), 20))


async def test_a_line_reaches_every_open_page(vault: Layout) -> None:
    async with Site(vault.root).running() as site:
        url = f"ws://127.0.0.1:{site.port}/live?inst={INST}"
        async with connect(url) as one, connect(url) as other:
            for page in (one, other):
                assert await _next(page) == {"kind": "begun"}
            append(vault, LINES)
            for page in (one, other):
                said = await _next(page)
                assert (said["kind"], said["book_ms"]) == ("book", HOUR_AT_MS + LINES * 2000)
                assert [60050.0, 400.0, 2] in said["asks"]
            assert len(_followers()) == 2, "one thread for books and one for trades, however many pages look"
        await _when(lambda: not _followers())


async def test_an_instrument_that_is_not_in_the_catalogue_is_not_followed(vault: Layout) -> None:
    async with Site(vault.root).running() as site, connect(f"ws://127.0.0.1:{site.port}/live?inst=../x") as page:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(page.recv(), 20)
        assert page.close_code == 4404
        assert not _followers()


async def test_a_websocket_of_another_origin_or_without_the_token_is_refused(vault: Layout) -> None:
    async with Site(vault.root).running() as site:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{site.port}/live?inst={INST}", origin="https://evil.example")
    async with Site(vault.root, guard=Guard("0.0.0.0", "secret")).running() as site:
        url = f"ws://127.0.0.1:{site.port}/live?inst={INST}"
        with pytest.raises(InvalidStatus):
            await connect(url)
        async with connect(url, additional_headers={"Authorization": "Bearer secret"}) as page:
            assert await _next(page) == {"kind": "begun"}
            append(vault, LINES)
            assert (await _next(page))["kind"] == "book"


async def test_a_page_is_told_of_a_thread_that_ends_and_the_next_page_gets_a_new_one(
    vault: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = live.Follow
    monkeypatch.setattr(live, "Follow", lambda *words: 1 // 0)
    followed = live.Live(vault.root, 0.01)
    first = followed.open(INST)
    said = json.loads(await asyncio.wait_for(first.next(), 20))
    assert said == {"kind": "error", "error": "the books can no longer be followed: integer division or modulo by zero"}
    monkeypatch.setattr(live, "Follow", follow)
    later = followed.open(INST)
    assert await asyncio.wait_for(later.next(), 20) == live.BEGUN
    append(vault, LINES)
    assert json.loads(await asyncio.wait_for(later.next(), 20))["kind"] == "book"
    followed.close(INST, first)
    followed.close(INST, later)
    await _when(lambda: not _followers())


def test_a_thread_that_outlives_the_event_loop_ends_in_silence(vault: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles: list[object] = []
    has_ended = threading.Event()

    def follow(layout: Layout, inst_id: str, start: None, poll_sec: float, wait: Callable[[float], None]) -> list:
        assert has_ended.wait(20)
        wait(0)
        return []

    async def open_one() -> list[threading.Thread]:
        live.Live(vault.root).open(INST)
        return _followers()

    monkeypatch.setattr(threading, "excepthook", troubles.append)
    monkeypatch.setattr(live, "Follow", follow)
    monkeypatch.setattr(live, "FollowTrades", follow)
    threads = asyncio.run(open_one())
    has_ended.set()
    for thread in threads:
        thread.join(20)
    assert len(threads) == 2 and troubles == []


async def test_a_page_that_does_not_keep_up_keeps_the_newest_and_is_told() -> None:
    page = Page()
    for number in range(WAITING + 3):
        page.put(str(number).encode())
    assert await page.next() == SKIPPED
    assert [await page.next() for _ in range(WAITING)] == [str(n).encode() for n in range(3, WAITING + 3)]
