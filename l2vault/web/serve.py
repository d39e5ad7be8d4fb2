"""The screen as a process: a socket, a token where one is needed, uvicorn until it is asked to stop.

The token is said once, to who starts the screen; no log has it, since no request is logged.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn

from l2vault import allocator
from l2vault.clock import Clock
from l2vault.errors import UsageError
from l2vault.web.app import Screen
from l2vault.web.guard import Guard, is_loopback

_TOKEN_BYTES: Final = 32
_END_WITHIN_SEC: Final = 3
_MOST_SAID_BYTES: Final = 4096
"""By a page in one message: ours say nothing."""
_TRIM_EVERY_SEC: Final = 30.0
_BACKLOG: Final = 128


def address_of(host: str, port: int, token: str | None) -> str:
    """Where the page is. The token is behind `#`: no browser sends that part, so no server and no proxy logs it."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "localhost") else "[::1]" if host == "::" else host
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"
    return f"http://{shown}:{port}/{'' if token is None else f'#token={token}'}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where the port is taken or the host is none of this machine."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}.", "--port 0, for a free one"
        ) from error
    bound.setblocking(False)
    return bound


async def serve(
    root: Path, host: str, port: int, cache: Path | None, ready: Callable[[str], None], clock: Clock
) -> None:
    """Serve until interrupted; `ready` is called with the page's address once it can be opened. Memory that is free is
    given back twice a minute and behind heavy work: reading an hour takes over a hundred megabytes for a moment."""
    bound = listen(host, port)
    token = None if is_loopback(host) else secrets.token_urlsafe(_TOKEN_BYTES)
    screen = Screen(root, Guard(host, token), clock, cache=cache, trim=allocator.trim)
    config = uvicorn.Config(
        screen.app,
        access_log=False,
        log_config=None,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=_MOST_SAID_BYTES,
        timeout_graceful_shutdown=_END_WITHIN_SEC,
    )
    if cache is not None:
        screen.make_ahead()
    server = Announced(config, lambda: ready(address_of(host, bound.getsockname()[1], token)))
    trimming = asyncio.create_task(_trim_regularly(clock))
    try:
        await server.serve(sockets=[bound])
    finally:
        trimming.cancel()
        screen.stop()


async def _trim_regularly(clock: Clock) -> None:
    while True:
        await clock.sleep(_TRIM_EVERY_SEC)
        await asyncio.to_thread(allocator.trim)


class Announced(uvicorn.Server):
    """Says when it has begun."""

    def __init__(self, config: uvicorn.Config, begun: Callable[[], None]) -> None:
        super().__init__(config)
        self._begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._begun()
