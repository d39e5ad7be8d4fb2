"""A TCP connection made so that nothing of it can hold the process: each address in turn, names in a daemon thread.

asyncio looks names up in a pool whose threads are waited for at exit, and a resolver that does not answer takes up to
half a minute.
"""

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import Any, Final

EACH_SEC: Final = 3.0
"""For one of several addresses of a name: an IPv6 address that swallows everything must leave time for IPv4."""

_Found = list[tuple[Any, ...]]


async def open_socket(host: str, port: int) -> socket.socket:
    """Connected, non-blocking. Raises the OSError of the last address tried, UnicodeError for an impossible name."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await _look_up(host, port):
        try:
            made = socket.socket(family, kind, protocol)
        except OSError as error:  # a kernel without IPv6, of which the resolver does not know
            failure = error
            continue
        made.setblocking(False)
        try:
            async with asyncio.timeout(EACH_SEC):
                await loop.sock_connect(made, address)
        except OSError as error:  # a TimeoutError too
            made.close()
            failure = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise failure


async def _look_up(host: str, port: int) -> _Found:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[_Found] = loop.create_future()

    def settle(addresses: _Found, error: Exception | None) -> None:
        if found.done():
            return  # nobody waits any more
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        addresses: _Found = []
        failure: Exception | None = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, failure)

    Thread(target=look_up, name="name look-up", daemon=True).start()
    return await found
