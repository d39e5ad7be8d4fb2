"""The recorder's own way to a websocket, with the time of each stage; and whether a port is open.

Through a proxy the stages belong to the proxy, so that only the whole is timed, and that is said.
"""

import asyncio
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from l2vault.clock import Clock
from l2vault.okx.connection import Connection as WebSocket
from l2vault.okx.connection import open_connection
from l2vault.okx.dial import Steps, open_socket
from l2vault.okx.proxies import UnusableProxy, system_proxy
from l2vault.probe.findings import Connection


class Opened(NamedTuple):
    """A connection that stands, and what was seen while it was made."""

    websocket: WebSocket
    seen: Connection


def proxy_to(url: str) -> str | None:
    """The proxy that the recorder would take to this address, as it may be printed; None where it cannot be used."""
    try:
        proxy = system_proxy(url)
    except UnusableProxy:
        return None
    return None if proxy is None else proxy.address


async def open_websocket(
    url: str, clock: Clock, within_sec: float, compression: Literal["deflate"] | None = None
) -> Opened:
    """Connect as the recorder does. Raises `okx.connection.CannotConnect`."""
    began_ms = clock.monotonic_ms()
    steps = Steps(clock.monotonic_ms)
    websocket = await open_connection(url, clock.wall_us, within_sec, steps, compression)
    return Opened(websocket, _seen(url, began_ms, steps, bool(websocket.protocol.extensions)))


async def is_port_open(host: str, port: int, within_sec: float) -> str:
    """What one TCP connect came to: `open`, `refused`, `no answer`, or the error."""
    try:
        async with asyncio.timeout(within_sec):
            made = await open_socket(host, port)
    except TimeoutError:
        return f"no answer within {within_sec:g} s"
    except ConnectionRefusedError:
        return "refused"
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    made.close()
    return "open"


def _seen(url: str, began_ms: int, steps: Steps, is_deflated: bool) -> Connection:
    assert steps.stood_ms is not None and steps.upgraded_ms is not None
    if steps.resolved_ms is None or steps.connected_ms is None:
        proxy = proxy_to(url)
        took_ms = steps.upgraded_ms - began_ms
        return Connection(url, proxy or "", 0, proxy, None, None, None, took_ms, steps.tls, is_deflated)
    is_secure = urlsplit(url).scheme == "wss"
    return Connection(
        url,
        steps.address,
        steps.addresses,
        None,
        steps.resolved_ms - began_ms,
        steps.connected_ms - steps.resolved_ms,
        steps.stood_ms - steps.connected_ms if is_secure else None,
        steps.upgraded_ms - steps.stood_ms,
        steps.tls,
        is_deflated,
    )
