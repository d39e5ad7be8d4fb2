"""New lines of a vault to open pages: one thread an instrument follows its files, however many pages look at it.

A page that does not keep up loses the oldest messages, never the newest, and is told so.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from l2vault.errors import L2VaultError
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
    """One instrument: the pages that look at it, and what ends its threads."""

    stop: threading.Event = field(default_factory=threading.Event)
    pages: list[Page] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    has_begun: bool = False


class Live:
    """Follows what open pages look at, and nothing else. Of the event loop's thread alone."""

    def __init__(self, root: Path, poll_sec: float = POLL_SEC) -> None:
        self._root = root
        self._poll_sec = poll_sec
        self._followed: dict[str, _Followed] = {}

    def open(self, inst_id: str) -> Page:
        """A page that gets every line from when it is told `BEGUN`. Call `close` with it in the end."""
        page = Page()
        followed = self._followed.get(inst_id)
        if followed is None:
            followed = self._followed[inst_id] = _Followed()
            loop = asyncio.get_running_loop()
            for what, work in (("books", self._books), ("trades", self._trades)):
                thread = threading.Thread(
                    target=work, args=(inst_id, followed, loop), name=f"{what} of {inst_id}", daemon=True
                )
                followed.threads.append(thread)
                thread.start()
        followed.pages.append(page)
        if followed.has_begun:
            page.put(BEGUN)
        return page

    def close(self, inst_id: str, page: Page) -> None:
        """The last page of an instrument ends its threads, which notice it within the poll."""
        followed = self._followed[inst_id]
        followed.pages.remove(page)
        if not followed.pages:
            followed.stop.set()
            del self._followed[inst_id]

    def stop(self) -> None:
        """Every thread ends; pages get nothing more."""
        for followed in self._followed.values():
            followed.stop.set()

    def _books(self, inst_id: str, followed: _Followed, loop: asyncio.AbstractEventLoop) -> None:
        send, wait = _sender(followed, loop), _waiter(followed.stop)

        def begin_and_wait(seconds: float) -> None:
            if not followed.has_begun:  # what was there has been passed over
                loop.call_soon_threadsafe(_begin, followed)
            wait(seconds)

        try:
            lines = Follow(Layout(self._root), inst_id, None, self._poll_sec, begin_and_wait)
            for book in lines:
                if followed.stop.is_set():
                    return
                send({"kind": "book", **book_said(book)})
        except _Stopped:
            return
        except (L2VaultError, OSError) as error:
            send({"kind": "error", "error": f"the files can no longer be followed: {error}"})

    def _trades(self, inst_id: str, followed: _Followed, loop: asyncio.AbstractEventLoop) -> None:
        send = _sender(followed, loop)
        waiting: list[tuple[int, str, str | None, str]] = []
        wait = _waiter(followed.stop)

        def flush_and_wait(seconds: float) -> None:
            if waiting:
                rows = [(t, float(px), float(sz), side) for t, px, sz, side in waiting[-MOST_TRADES:] if sz is not None]
                send({"kind": "trades", "trades": rows})
                waiting.clear()
            wait(seconds)

        try:
            rows = FollowTrades(Layout(self._root), inst_id, None, self._poll_sec, flush_and_wait)
            for row in rows:
                if followed.stop.is_set():
                    return
                waiting.append((row.push.ts_ms, row.push.px, row.size, row.push.side))
        except _Stopped:
            return
        except (L2VaultError, OSError) as error:
            send({"kind": "error", "error": f"the trades can no longer be followed: {error}"})


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


def _sender(followed: _Followed, loop: asyncio.AbstractEventLoop) -> Callable[[dict[str, object]], None]:
    def put(message: bytes) -> None:
        for page in followed.pages:
            page.put(message)

    def send(said: dict[str, object]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(put, msgspec.json.encode(said))

    return send
