"""One websocket connection to OKX: direct or through a proxy, no redirect followed, floods of control frames ended.

Whatever keeps it from being made is one exception with one sentence. Knows nothing of subscriptions and books.
"""

import asyncio
import os
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from l2vault.foreign import printable
from l2vault.okx.dial import Stage, Steps, open_socket
from l2vault.okx.failures import explain
from l2vault.okx.proxies import Proxy, UnusableProxy, require_socks, system_proxy

OPEN_WITHIN_SEC: Final = 10.0
"""Name, TCP, proxy, TLS and handshake together."""
LARGEST_FRAME_BYTES: Final = 4 * 1024 * 1024
"""A full book is 26 KB; an unasked push of another channel may reach 1 MB."""
MOST_CONTROL_FRAMES: Final = 100
CONTROL_WINDOW_SEC: Final = 10.0
"""OKX's keepalive is a text frame; a proxy may ping every few seconds. Each ping costs an answer, so a flood of them
is ended. Data frames have no such bound: their number is OKX's business, and the queue behind them slows the reading.
"""

_DATA: Final = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
"""The most frequent first."""

_CANNOT_OPEN: Final = (
    OSError,  # DNS, TCP, TLS, SOCKS; TimeoutError
    WebSocketException,  # addresses, proxies, handshakes
    ValueError,  # a name or a port that cannot be; UnicodeError
    EOFError,
    # Of asyncio and the websockets library, where a peer or proxy goes away in the middle of starting TLS:
    RuntimeError,
    AssertionError,
    UnusableProxy,
)


class CannotConnect(Exception):
    """No connection could be made. The text is one printable sentence with its cure, without a full stop.

    `stage` is where it failed, `status` of an HTTP answer other than a websocket's. `is_certificate`: the peer's is not
    trusted.
    """

    def __init__(self, text: str, stage: Stage, status: int | None = None, is_certificate: bool = False) -> None:
        super().__init__(text)
        self.stage: Final = stage
        self.status: Final = status
        self.is_certificate: Final = is_certificate


class Connection(ClientConnection):
    """A connection that counts its control frames; `flood` says why it was ended, if they were too many.

    It notes by `now_us` when each message has arrived, before the library queues it.
    """

    steps: Steps
    """Set by a subclass, for the library makes the object."""

    def __init__(self, now_us: Callable[[], int], protocol: ClientProtocol, **limits: Any) -> None:
        super().__init__(protocol, **limits)
        self.flood: str | None = None
        self._control_at: deque[float] = deque(maxlen=MOST_CONTROL_FRAMES)
        self._now_us = now_us
        self._arrived_us: deque[int] = deque()
        self.take_arrival_us: Final = self._arrived_us.popleft
        """When the message that `recv` has returned last arrived. To be called once after each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the library once the transport stands: for `wss` after TLS."""
        self.steps.stood_ms, self.steps.tls = self.steps.now_ms(), _tls_text(transport)
        super().connection_made(transport)

    def process_event(self, event: Event) -> None:
        """Called by the library for every received frame; it has answered pings by then."""
        if isinstance(event, Frame):
            if event.opcode in _DATA:
                if event.fin:
                    self._arrived_us.append(self._now_us())
            elif event.opcode is not Opcode.CLOSE:
                self._count()
        super().process_event(event)

    def _count(self) -> None:
        now = self.loop.time()
        times = self._control_at
        is_full = len(times) == MOST_CONTROL_FRAMES
        if is_full and now - times[0] < CONTROL_WINDOW_SEC and self.flood is None:
            self.flood = f"more than {MOST_CONTROL_FRAMES} ping or pong frames within {CONTROL_WINDOW_SEC:g} s"
            self.transport.abort()
        times.append(now)


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Follow none: whoever answers with one is not the exchange, or not at this address any more."""
        return exc


async def open_connection(
    url: str,
    now_us: Callable[[], int],
    within_sec: float = OPEN_WITHIN_SEC,
    steps: Steps | None = None,
    compression: Literal["deflate"] | None = None,
) -> Connection:
    """A connection after its opening handshake. Raises CannotConnect. The caller ends it with `transport.abort()`.

    `steps` notes how far it came, and when. `compression` is what is offered to the server; the recorder offers none.
    """
    proxy: Proxy | None = None
    steps = steps or Steps(lambda: 0)
    try:
        proxy = system_proxy(url)
        if proxy is not None:
            require_socks(proxy)
        async with asyncio.timeout(within_sec):
            opened = await _open(url, proxy, steps, compression, now_us)
    except _CANNOT_OPEN as error:
        raise _cannot_connect(error, url, proxy, steps, within_sec) from error
    steps.upgraded_ms = steps.now_ms()
    assert isinstance(opened, Connection)
    return opened


def _cannot_connect(error: Exception, url: str, proxy: Proxy | None, steps: Steps, within_sec: float) -> CannotConnect:
    text = explain(error, url, proxy, within_sec, _missing_certificates())
    is_tls, has_proxy = isinstance(error, ssl.SSLError), proxy is not None or isinstance(error, UnusableProxy)
    stage: Stage = "TLS" if is_tls else steps.failed_at(urlsplit(url).scheme == "wss", has_proxy)
    status = error.response.status_code if isinstance(error, InvalidStatus) else None
    return CannotConnect(text, stage, status, isinstance(error, ssl.SSLCertVerificationError))


def _missing_certificates() -> str | None:
    """What SSL_CERT_FILE names, if nothing is there: OpenSSL passes over that without a word."""
    named = os.environ.get("SSL_CERT_FILE")
    return named if named and not os.path.isfile(named) else None


def _tls_text(transport: asyncio.BaseTransport) -> str:
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return ""
    certificate = tls.getpeercert() or {}
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "nobody named"
    return f"{tls.version()}, certificate of {printable(issuer, 80)}"


async def _open(
    url: str, proxy: Proxy | None, steps: Steps, compression: str | None, now_us: Callable[[], int]
) -> ClientConnection:
    class Noting(Connection):
        pass

    Noting.steps = steps
    parts = urlsplit(url)
    direct: dict[str, Any] = {}
    if proxy is None:
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        direct["sock"] = await open_socket(parts.hostname or "", port, steps)
    return await _Connect(
        url,
        open_timeout=None,  # bounded as a whole by the caller
        close_timeout=1,
        ping_interval=None,  # OKX's keepalive is the text frame `ping`; RFC 6455 pings are not relied on
        compression=compression,
        max_size=LARGEST_FRAME_BYTES,
        proxy=None if proxy is None else proxy.url,
        create_connection=cast(Any, partial(Noting, now_us)),
        **direct,
    )
