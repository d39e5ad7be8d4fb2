"""A TCP connection made so that nothing of it can hold the process: each address in turn, names in a daemon thread.

asyncio looks names up in a pool whose threads are waited for at exit, and a resolver that does not answer takes up to
half a minute. `Steps` keeps how far a connection came, and when, for whoever reports it.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final, Literal

EACH_SEC: Final = 3.0
"""For one of several addresses of a name: an IPv6 address that swallows everything must leave time for IPv4."""

Stage = Literal["name resolution", "TCP", "TLS", "upgrade", "proxy"]


@dataclass(slots=True)
class Steps:
    """How a connection was made, step by step, by the clock `now_ms`; None: not come so far, or it could not be seen.

    Through a proxy name and TCP are the proxy's, so that only `stood_ms` and `upgraded_ms` are noted.
    """

    now_ms: Callable[[], int]
    resolved_ms: int | None = None
    connected_ms: int | None = None
    stood_ms: int | None = None
    """Of the transport: for `wss` after TLS."""
    upgraded_ms: int | None = None
    addresses: int = 0
    """How many the name has."""
    address: str = ""
    """Of the peer, with its port."""
    tls: str = ""
    """Its version and who signed the certificate, in words; empty without TLS."""

    def failed_at(self, is_secure: bool, has_proxy: bool) -> Stage:
        """The stage in which a connection that could not be made was."""
        if self.stood_ms is not None:
            return "upgrade"
        if has_proxy:
            return "proxy"
        if self.resolved_ms is None:
            return "name resolution"
        return "TLS" if self.connected_ms is not None and is_secure else "TCP"


_Found = list[tuple[Any, ...]]


async def open_socket(host: str, port: int, steps: Steps | None = None) -> socket.socket:
    """Connected, non-blocking. Raises the OSError of the last address tried, UnicodeError for an impossible name."""
    loop = asyncio.get_running_loop()
    steps = steps or Steps(lambda: 0)
    failure: OSError = OSError(f"{host} has no address")
    found = await _look_up(host, port)
    steps.resolved_ms, steps.addresses = steps.now_ms(), len({each[4][0] for each in found})
    for family, kind, protocol, _, address in found:
        try:
            made = socket.socket(family, kind, protocol)
        except OSError as error:  # a family of addresses that this machine does not have
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
            steps.connected_ms, steps.address = steps.now_ms(), _shown(address)
            return made
    raise failure


def _shown(address: Any) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
