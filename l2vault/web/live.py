"""New lines of a vault to open pages: one thread an instrument follows its files, however many pages look at it.

A page that does not keep up loses the oldest messages, never the newest, and is told so.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from l2vault.vault.reading.follow import Follow, FollowTrades
from l2vault.vault.store.layout import Layout
from l2vault.web.answers import book_said

POLL_SEC: Final = 0.2
WAITING: Final = 16
"""Messages that wait for one page at most: half a minute of books at the usual cadence."""
MOST_TRADES: Final = 500
"""In one message, the newest."""
BEGUN: Final = msgspec.json.encode({"kind": "begun"})
"""What follows is every line from now on."""
SKIPPED: Final = msgspec.json.encode({"kind": "skipped"})


_log = logging.getLogger(__name__)

_Send = Callable[[Callable[[], None]], None]
"""Have the event loop do something; raises _Stopped where there is none any more."""


class _Stopped(Exception):
    """Ends the iteration over what is followed."""


class Page:
    """One open page: messages wait here until its socket has taken those before. Of the event loop's thread alone."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._is_behind = False

    def put(self, message: bytes) -> None:
        """Never waits: what is oldest gives way."""
        if self._waiting.full():
            self._waiting.get_nowait()
            self._is_behind = True
        self._waiting.put_nowait(message)

    async def next(self) -> bytes:
        """The next message, or that some were left out before it."""
        if self._is_behind:
            self._is_behind = False
            return SKIPPED
        return await self._waiting.get()


@dataclass(slots=True)
class _Followed:
    """One instrument: the pages that look at it, and what ends the threads that follow it."""

    stop: threading.Event = field(default_factory=threading.Event)
    pages: list[Page] = field(default_factory=list)
    has_begun: bool = False
    has_failed: bool = False
    """A thread of it ended before it was to: whoever opens a page now gets new ones."""


class Live:
    """Follows what open pages look at, and nothing else. Of the event loop's thread alone."""

    def __init__(self, root: Path, poll_sec: float = POLL_SEC) -> None:
        self._root = root
        self._poll_sec = poll_sec
        self._followed: dict[str, _Followed] = {}
        self._of: dict[Page, _Followed] = {}

    def open(self, inst_id: str) -> Page:
        """A page that gets every line from when it is told `BEGUN`. Call `close` with it in the end."""
        page = Page()
        followed = self._followed.get(inst_id)
        if followed is None or followed.has_failed:
            followed = self._begun(inst_id)
            self._followed[inst_id] = followed
        self._of[page] = followed
        followed.pages.append(page)
        if followed.has_begun:
            page.put(BEGUN)
        return page

    def _begun(self, inst_id: str) -> _Followed:
        followed, loop = _Followed(), asyncio.get_running_loop()
        try:
            for what, work in (("books", self._books), ("trades", self._trades)):
                run = partial(_followed_to_its_end, what, work, inst_id, followed, loop)
                threading.Thread(target=run, name=f"{what} of {inst_id}", daemon=True).start()
        except RuntimeError:  # the system has no room for one more thread
            followed.stop.set()
            raise
        return followed

    def close(self, inst_id: str, page: Page) -> None:
        """The last page of an instrument ends its threads, which notice it within the poll."""
        followed = self._of.pop(page)
        followed.pages.remove(page)
        if not followed.pages:
            followed.stop.set()
            if self._followed.get(inst_id) is followed:
                del self._followed[inst_id]

    def stop(self) -> None:
        """Every thread ends; pages get nothing more."""
        for followed in [*self._followed.values(), *self._of.values()]:
            followed.stop.set()

    def _books(self, inst_id: str, followed: _Followed, send: _Send) -> None:
        wait = _waiter(followed.stop)

        def begin_and_wait(seconds: float) -> None:
            if not followed.has_begun:  # what was there has been passed over
                send(partial(_begin, followed))
            wait(seconds)

        for book in Follow(Layout(self._root), inst_id, None, self._poll_sec, begin_and_wait):
            if followed.stop.is_set():
                return
            send(_saying(followed, {"kind": "book", **book_said(book)}))

    def _trades(self, inst_id: str, followed: _Followed, send: _Send) -> None:
        waiting: list[tuple[int, str, str | None, str]] = []
        wait = _waiter(followed.stop)

        def flush_and_wait(seconds: float) -> None:
            if waiting:
                rows = [(t, float(px), float(sz), side) for t, px, sz, side in waiting[-MOST_TRADES:] if sz is not None]
                send(_saying(followed, {"kind": "trades", "trades": rows}))
                waiting.clear()
            wait(seconds)

        for row in FollowTrades(Layout(self._root), inst_id, None, self._poll_sec, flush_and_wait):
            if followed.stop.is_set():
                return
            waiting.append((row.push.ts_ms, row.push.px, row.size, row.push.side))


def _followed_to_its_end(
    what: str,
    work: Callable[[str, _Followed, _Send], None],
    inst_id: str,
    followed: _Followed,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """A thread: whatever ends it before its pages are gone is said to them."""

    def send(act: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop has ended meanwhile, and every page with it
            raise _Stopped from None

    try:
        work(inst_id, followed, send)
    except _Stopped:
        return
    except Exception as error:  # noqa: BLE001 - said to the pages, which would wait for a thread that is no more
        _log.debug("%s of %s are no longer followed", what, inst_id, exc_info=error)
        with suppress(_Stopped):
            send(partial(_fail, followed, f"the {what} can no longer be followed: {error}"))


def _fail(followed: _Followed, text: str) -> None:
    followed.has_failed = True
    _saying(followed, {"kind": "error", "error": text})()


def _saying(followed: _Followed, said: dict[str, object]) -> Callable[[], None]:
    """Encoded here, in the thread that follows, and put by the event loop."""
    message = msgspec.json.encode(said)

    def put() -> None:
        for page in followed.pages:
            page.put(message)

    return put


def _begin(followed: _Followed) -> None:
    if not followed.has_begun:
        followed.has_begun = True
        for page in followed.pages:
            page.put(BEGUN)


def _waiter(stop: threading.Event) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    return wait
